/* SPDX-License-Identifier: Apache-2.0 */
/* The second way into the vault, without its TPM: the file vault.recovery. */
#pragma once

#include "policyd/recovery-key.h"
#include "policyd/vault-keys.h"

#define VAULT_RECOVERY_FILE "vault.recovery"

/* Opens with the recovery key; uses no TPM. The text is read tolerantly: case, spaces and dashes
 * do not matter, O is 0, I and L are 1. -EINVAL with KCODE_USAGE for a mistyped key (checksum),
 * -EKEYREJECTED with KCODE_LOCKED for a well-formed key that does not open this vault. */
int vault_recover(int dirfd, const char *recovery, struct vault_keys *ret, struct kerr *err);

/* Replaces the recovery key in two steps: vault_recovery_add() makes one and leaves the earlier one
 * valid; vault_recovery_settle() keeps the newest alone when its owner has seen it, or takes it
 * away again where the change that it belongs to failed. So nobody is locked out who was shown a
 * key, whatever happens between the two. */
int vault_recovery_add(int dirfd, const struct vault_keys *keys,
		       char ret_recovery[VAULT_RECOVERY_TEXT], struct kerr *err);
int vault_recovery_settle(int dirfd, bool newest);

/* The same for a vault that is being made: whatever lies there opens nothing any more. */
int vault_recovery_first(int dirfd, const struct vault_keys *keys,
			 char ret_recovery[VAULT_RECOVERY_TEXT], struct kerr *err);
