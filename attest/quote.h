/* SPDX-License-Identifier: Apache-2.0 */
/* TPM 2.0 quotes and attestation keys: every field is checked (B3, B4). */
#pragma once

#include <stdbool.h>

#include "base/ids.h"
#include "base/kerr.h"

struct coder;

#define TPM_NAME_LEN 34		/* u16 nameAlg + SHA-256 */
#define TPM_PUBLIC_MAX 640	/* TPM2B_PUBLIC bytes of an AK or EK */
#define QUOTE_MAX 512		/* TPMS_ATTEST bytes */
#define QUOTE_SIGNATURE_MAX 128 /* TPMT_SIGNATURE bytes, ECDSA P-256 needs 72 */

/* PCR values of the SHA-256 bank; only those of `mask` count. */
struct pcr_set {
	uint32_t mask;
	uint8_t values[PCR_COUNT][HASH_LEN];
};

/* Wire form: u32 mask (some PCR, none that does not exist), then the values, the lowest first. */
void pcr_set_code(struct coder *c, struct pcr_set *v);

/* Those of the set that have another value now. */
uint32_t pcr_set_changed(const struct pcr_set *pcrs, const uint8_t now[PCR_COUNT][HASH_LEN]);

/* Those of `mask` into which something was measured: neither all zeros nor all ones (B8, S1-19). */
uint32_t pcrs_extended(uint32_t mask, const uint8_t values[PCR_COUNT][HASH_LEN]);

/* SHA-256 over the values, the lowest first: what a TPM quotes and what a policy asks for. */
void pcr_set_digest(const struct pcr_set *pcrs, uint8_t ret[HASH_LEN]);

/* What a genuine quote says besides the PCRs. */
struct quote_info {
	uint64_t clock; /* ms the TPM was powered, since its last clear */
	uint32_t reset_count, restart_count;
	uint8_t safe; /* no later clock value was lost */
	uint64_t firmware;
	uint8_t signer[TPM_NAME_LEN]; /* qualified name of the AK: the same for ever */
};

/* TPM2_MakeCredential's two outputs. */
struct pairing_credential {
	uint8_t blob[256]; /* TPM2B_ID_OBJECT */
	size_t blob_len;
	uint8_t secret[640]; /* TPM2B_ENCRYPTED_SECRET */
	size_t secret_len;
};

struct quote_expect {
	const uint8_t *ak_public; /* TPM2B_PUBLIC as pinned */
	size_t ak_public_len;
	const uint8_t *qualifying;  /* HASH_LEN bytes */
	const struct pcr_set *pcrs; /* exact selection, and the values it has to cover */
	const uint8_t *signer;	    /* TPM_NAME_LEN bytes pinned earlier, or NULL */
};

/* Verifies TPMS_ATTEST bytes `quote` and TPMT_SIGNATURE bytes `sig` (TPM 2.0 Part 2, 10.12 and
 * 11.3): magic, type, qualified signer, exactly one SHA-256 selection with exactly the mask, PCR
 * digest recomputed, AK template, ECDSA/SHA-256 signature, and last the qualifying data. 0, or
 * negative with *err: ATTEST_QUOTE with a sentence per check, ATTEST_BINDING where the qualifying
 * data alone is wrong, ATTEST_ERROR where the verifier itself failed. `ret_info` may be NULL. */
int quote_verify(const struct quote_expect *expect, const uint8_t *quote, size_t quote_len,
		 const uint8_t *sig, size_t sig_len, struct quote_info *ret_info, struct kerr *err);

/* Checks that TPM2B_PUBLIC bytes are an attestation key: ECC P-256, ECDSA/SHA-256, name SHA-256,
 * fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign, not decrypt (B3;
 * CVE-2022-1053, CVE-2021-3406). ATTEST_QUOTE with a sentence that names the attribute. */
int quote_ak_check(const uint8_t *ak_public, size_t len, struct kerr *err);

/* Checks that TPM2B_PUBLIC bytes are shaped like an endorsement key (TCG EK Credential Profile):
 * RSA 2048 or more, or ECC P-256/P-384, fixed, restricted, decrypt, not sign. */
int quote_ek_check(const uint8_t *ek_public, size_t len, struct kerr *err);

/* TPM name of a public area whose nameAlg is SHA-256 (TPM 2.0 Part 1, 16). -EBADMSG. */
int quote_ak_name(const uint8_t *public, size_t len, uint8_t ret_name[TPM_NAME_LEN]);

/* Compares the counters of two genuine quotes of one AK, the older first (B4, B6, B9): time and
 * counters never go back (ATTEST_REPLAY), but for a clock that says after a reset that it lost
 * time. With `same_boot` the TPM must not have been reset or restarted in between either
 * (ATTEST_PCR). */
int quote_clock_check(const struct quote_info *before, const struct quote_info *now, bool same_boot,
		      struct kerr *err);

/* Was `a` made after `b`, by their counters? Both genuine, of one AK. */
bool quote_is_newer(const struct quote_info *a, const struct quote_info *b);
