/* SPDX-License-Identifier: Apache-2.0 */
/* The keys in an open vault, and what its two files have in common. */
#pragma once

#include "policyd/tpm.h"

struct coder;

#define VAULT_KEY_LEN 32
#define VAULT_FILE_MAX 8192

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

/* Magic and version that both files begin with. */
void vault_mark(struct coder *c, uint32_t magic);

/* Both keys in a row, and back; *ret is untouched on failure. */
#define VAULT_SECRETS_LEN (2 * VAULT_KEY_LEN)
void vault_pack(const struct vault_keys *k, uint8_t ret[VAULT_SECRETS_LEN]);
int vault_unpack(const uint8_t secrets[VAULT_SECRETS_LEN], const struct p256_public *pub,
		 struct vault_keys *ret);
