/* SPDX-License-Identifier: Apache-2.0 */
/* The vault: database key and authority key, sealed to this TPM and, second way in, wrapped by
 * the recovery key; and the AEAD box that keeps a file under the database key.
 *
 * Two files in the state directory:
 *   vault.sealed    TPM object, authority public key, the PCR states approved so far
 *   vault.recovery  the same two keys under the recovery key (no TPM needed)
 * An approval once signed cannot be taken back from someone who kept a copy of vault.sealed and
 * can bring the TPM into that very state again; it only opens on this TPM. */
#pragma once

#include "policyd/tpm.h"

#define VAULT_SEALED_FILE "vault.sealed"
#define VAULT_RECOVERY_FILE "vault.recovery"
#define VAULT_KEY_LEN 32
#define VAULT_RECOVERY_TEXT 42 /* "XXXXX-" seven times, the last dash is the NUL */
#define VAULT_APPROVALS_MAX 4
#define VAULT_LABEL_MAX 32

/* P-256 in software, supplied by the caller (attest/pk.c). 0 or negative errno. */
struct vault_signer {
	void *ctx;
	int (*generate)(void *ctx, uint8_t ret_d[32], struct tpm_p256 *ret_pub);
	int (*sign)(void *ctx, const uint8_t d[32], const uint8_t digest[32], uint8_t ret_r[32],
		    uint8_t ret_s[32]);
};

/* The open vault. Owned by the caller, released with vault_keys_clear(). */
struct vault_keys {
	struct secret db;	 /* VAULT_KEY_LEN, encrypts the store */
	struct secret authority; /* P-256 scalar that approves PCR states */
	struct tpm_p256 authority_pub;
};
void vault_keys_clear(struct vault_keys *k);

/* Password of the TPM's counter, derived from the database key: whoever has the vault open, by
 * TPM or recovery key, has it too (M9). The caller wipes it. */
void vault_counter_auth(const struct vault_keys *k, uint8_t ret[TPM_COUNTER_AUTH_LEN]);
#define _cleanup_vault_keys_ _cleanup_(vault_keys_clear)

/* One approved state with the values themselves, so that a refusal can name what changed. */
struct vault_approval {
	struct tpm_approval tpm;
	uint8_t pcr[PCR_COUNT][HASH_LEN];
};

struct vault_file {
	struct tpm_sealed sealed;
	struct tpm_p256 authority;
	unsigned n_approvals;
	struct vault_approval approvals[VAULT_APPROVALS_MAX];
};

/* Decodes vault.sealed; -EBADMSG for anything but a complete, consistent file. Fuzz target. */
int vault_parse(const void *data, size_t len, struct vault_file *ret);

/* 1 if there is a vault in the directory, 0 if not, negative errno. */
int vault_exists(int dirfd);

/* Makes new keys, seals them to the present values of the PCRs in `pcr_mask`, writes both files.
 * `ret_recovery` is shown to the owner once: the caller wipes it. -EEXIST with KCODE_EXISTS if
 * there is a vault already; -EINVAL with KCODE_USAGE for an empty or resettable (16, 23) PCR
 * (B9). */
int vault_create(struct tpm *t, int dirfd, uint32_t pcr_mask, const struct vault_signer *signer,
		 char ret_recovery[VAULT_RECOVERY_TEXT], struct vault_keys *ret, struct kerr *err);

/* Opens with the TPM. Errors as tpm_unseal(), and -ENOENT with KCODE_NOT_READY without a vault,
 * -EBADMSG with KCODE_LOCKED for a damaged file. *ret_changed (may be NULL) = the PCRs that
 * differ from the approved state that comes closest; only meaningful with -EPERM. */
int vault_open(struct tpm *t, int dirfd, struct vault_keys *ret, uint32_t *ret_changed,
	       struct kerr *err);

/* Opens with the recovery key; uses no TPM. The text is read tolerantly: case, spaces and dashes
 * do not matter, O is 0, I and L are 1. -EINVAL with KCODE_USAGE for a mistyped key (checksum),
 * -EKEYREJECTED with KCODE_LOCKED for a well-formed key that does not open this vault. */
int vault_recover(int dirfd, const char *recovery, struct vault_keys *ret, struct kerr *err);

/* Approves the present values of the PCRs in `pcr_mask` as the only state (one step, D7). On a
 * new or cleared TPM, or without a readable vault.sealed, it also seals the keys anew. */
int vault_reseal(struct tpm *t, int dirfd, uint32_t pcr_mask, const struct vault_keys *keys,
		 const struct vault_signer *signer, struct kerr *err);

/* Approves one more state, given by its values (a predicted one, before an update). The oldest
 * goes if there are more than VAULT_APPROVALS_MAX. */
int vault_approve(int dirfd, uint32_t pcr_mask, const uint8_t pcr[PCR_COUNT][HASH_LEN],
		  const struct vault_keys *keys, const struct vault_signer *signer,
		  struct kerr *err);

/* Replaces the recovery key in two steps: vault_recovery_add() makes one and leaves the earlier one
 * valid; vault_recovery_settle() keeps the newest alone when its owner has seen it, or takes it
 * away again where the change that it belongs to failed. So nobody is locked out who was shown a
 * key, whatever happens between the two. */
int vault_recovery_add(int dirfd, const struct vault_keys *keys,
		       char ret_recovery[VAULT_RECOVERY_TEXT], struct kerr *err);
int vault_recovery_settle(int dirfd, bool newest);

/* -- Files under the database key: XChaCha20-Poly1305, random nonce -- */

/* Encrypts. `label` (1 to VAULT_LABEL_MAX bytes) says what the file is, `counter` which version
 * of it (D4); both are authenticated, neither is secret. *ret is malloced. */
int vault_seal_blob(const struct secret *key, const char *label, uint64_t counter,
		    const void *plain, size_t len, uint8_t **ret, size_t *ret_len);

/* Decrypts into the caller's `size` bytes (for example from sqlite3_malloc64()). -EBADMSG if any
 * bit, the label or the key is not right (D3); then *ret_plain holds zeros. */
int vault_open_blob(const struct secret *key, const char *label, const void *data, size_t len,
		    void *ret_plain, size_t size, size_t *ret_len, uint64_t *ret_counter);
