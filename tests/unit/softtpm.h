/* SPDX-License-Identifier: Apache-2.0 */
/* A TPM for tests: keys in memory, genuine structures, and mutants of them at every field. */
#pragma once

#include <tss2/tss2_mu.h>

#include "attest/evidence.h"
#include "attest/pairing.h"
#include "attest/pk.h"

#define SOFTTPM_PCRS (1u << 0 | 1u << 2 | 1u << 4 | 1u << 7)
#define SOFTTPM_AK_ATTRIBUTES                                                               \
	(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | \
	 TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT)
#define SOFTTPM_EK_ATTRIBUTES                                                               \
	(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | \
	 TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)

struct softtpm {
	uint8_t ak_secret[P256_LEN];
	struct p256_public ak, ek;
	uint8_t ak_public[TPM_PUBLIC_MAX], ek_public[TPM_PUBLIC_MAX];
	size_t ak_public_len, ek_public_len;
	struct pcr_set pcrs;
	struct quote_info info;
	char versions[EVIDENCE_VERSIONS_MAX + 1];

	/* Of softtpm_op_quote(). */
	bool broken, lies;
	enum evidence_role lie; /* what it says to be, if it lies */
	unsigned quotes;
};

/* What a test spoils: before signing (a TPM that lies, or a quote of something else), in the
 * signature structure, or in the evidence as sent. Any may be NULL. */
struct softtpm_mutant {
	void (*attest)(TPMS_ATTEST *attest);
	void (*signature)(TPMT_SIGNATURE *sig);
	void (*evidence)(struct evidence *ev);
};

/* New keys; PCR values from `seed`. Aborts the test on failure. */
void softtpm_init(struct softtpm *t, uint8_t seed);

/* The AK's public area, changed by `change` if given. */
size_t softtpm_ak_public(const struct softtpm *t, void (*change)(TPMT_PUBLIC *area),
			 uint8_t ret[TPM_PUBLIC_MAX]);

/* Quotes over t->pcrs with this qualifying data. */
void softtpm_quote(const struct softtpm *t, const uint8_t qualifying[HASH_LEN],
		   const struct softtpm_mutant *mutant, struct evidence *ret);

/* As a quote op of sessions and pairings: versions first, then the qualifying data. */
void softtpm_evidence(const struct softtpm *t, const struct evidence_binding *binding,
		      struct evidence *ret);

/* The quote op itself; `ctx` is a struct that begins with the TPM. */
int softtpm_op_quote(void *ctx, const struct evidence_binding *binding, struct evidence *ret,
		     struct kerr *err);

/* Credential activation with a stand-in for the TPM's encryption: only the TPM with this EK that
 * also holds the AK of this name gets the secret back. */
void softtpm_make_credential(const uint8_t *ek_public, size_t ek_public_len,
			     const uint8_t ak_name[TPM_NAME_LEN], const uint8_t secret[32],
			     struct pairing_credential *ret);
int softtpm_activate(const struct softtpm *t, const struct pairing_credential *credential,
		     uint8_t ret_secret[32]);
