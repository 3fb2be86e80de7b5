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

#include "policyd/seal-recovery.h"

#define VAULT_SEALED_FILE "vault.sealed"
#define VAULT_APPROVALS_MAX 4

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
