/* SPDX-License-Identifier: Apache-2.0 */
/* The vault: database key and authority key, sealed to this TPM and, second way in, wrapped by
 * the recovery key.
 *
 * Two files in the state directory:
 *   vault.sealed    TPM object, authority public key, the PCR states approved so far
 *   vault.recovery  the same two keys under the recovery key (no TPM needed)
 * An approval once signed cannot be taken back from someone who kept a copy of vault.sealed and
 * can bring the TPM into that very state again; it only opens on this TPM. */
#pragma once

#include "policyd/recovery-key.h"
#include "policyd/tpm.h"

struct coder;

#define VAULT_SEALED_FILE "vault.sealed"
#define VAULT_RECOVERY_FILE "vault.recovery"
#define VAULT_KEY_LEN 32
#define VAULT_FILE_MAX 8192
#define VAULT_APPROVALS_MAX 4

/* The open vault. Owned by the caller, released with vault_keys_clear(). */
struct vault_keys {
	struct secret db;	 /* VAULT_KEY_LEN, encrypts the store */
	struct secret authority; /* P-256 scalar that approves PCR states */
	struct p256_public authority_pub;
};
void vault_keys_clear(struct vault_keys *k);

/* Password of the TPM's counter, derived from the database key: whoever has the vault open, by
 * TPM or recovery key, has it too (M9). The caller wipes it. */
void vault_counter_auth(const struct vault_keys *k, uint8_t ret[TPM_COUNTER_AUTH_LEN]);
#define _cleanup_vault_keys_ _cleanup_(vault_keys_clear)

/* What vault.sealed holds. */
struct vault_file {
	struct tpm_sealed sealed;
	struct p256_public authority;
	uint8_t n_approvals;
	struct tpm_approval approvals[VAULT_APPROVALS_MAX];
};

/* Decodes vault.sealed; -EBADMSG for anything but a complete, consistent file. Fuzz target. */
int vault_parse(const void *data, size_t len, struct vault_file *ret);

/* 1 if there is a vault in the directory, 0 if not, negative errno. */
int vault_exists(int dirfd);

/* Makes new keys, seals them to the present values of the PCRs in `pcr_mask`, writes both files.
 * `ret_recovery` is shown to the owner once: the caller wipes it. -EEXIST with KCODE_EXISTS if
 * there is a vault already; -EINVAL with KCODE_USAGE for an empty or resettable (16, 23) PCR
 * (B9). */
int vault_create(struct tpm *t, int dirfd, uint32_t pcr_mask,
		 char ret_recovery[VAULT_RECOVERY_TEXT], struct vault_keys *ret, struct kerr *err);

/* Opens with the TPM. Errors as tpm_unseal(), and -ENOENT with KCODE_NOT_READY without a vault,
 * -EBADMSG with KCODE_LOCKED for a damaged file. *ret_changed (may be NULL) = the PCRs that
 * differ from the approved state that comes closest; only meaningful with -EPERM. */
int vault_open(struct tpm *t, int dirfd, struct vault_keys *ret, uint32_t *ret_changed,
	       struct kerr *err);

/* Approves the present values of the PCRs in `pcr_mask` as the only state (one step, D7). On a
 * new or cleared TPM, or without a readable vault.sealed, it also seals the keys anew. */
int vault_reseal(struct tpm *t, int dirfd, uint32_t pcr_mask, const struct vault_keys *keys,
		 struct kerr *err);

/* Approves one more state, given by its values (a predicted one, before an update). The oldest
 * goes if there are more than VAULT_APPROVALS_MAX. */
int vault_approve(int dirfd, const struct pcr_set *state, const struct vault_keys *keys,
		  struct kerr *err);

/* -- The second way in (policyd/seal-recovery.c) -- */

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

/* -- Between the two -- */

/* Magic and version that both files begin with. */
void vault_mark(struct coder *c, uint32_t magic);

/* Both keys in a row, and back; *ret is untouched on failure. */
#define VAULT_SECRETS_LEN (2 * VAULT_KEY_LEN)
void vault_pack(const struct vault_keys *k, uint8_t ret[VAULT_SECRETS_LEN]);
int vault_unpack(const uint8_t secrets[VAULT_SECRETS_LEN], const struct p256_public *pub,
		 struct vault_keys *ret);
