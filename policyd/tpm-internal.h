/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by policyd/tpm*.c only: the TSS context, scope-bound handles, response codes. */
#pragma once

#include <tss2/tss2_esys.h>

#include "policyd/tpm.h"

struct tpm {
	char *conf;
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;
	bool broken;	/* out of step or cut off; no further command is sent */
	bool srk_known; /* srk_name is pinned */
	uint8_t srk_name[TPM_NAME_LEN];
	TPMI_ALG_PUBLIC ek_type; /* TPM2_ALG_ECC, or RSA after the first was refused */
	struct tpm_facts facts;
};

/* A loaded object or session, flushed when it goes out of scope; an NV index is only forgotten
 * by the library, not removed from the TPM. */
struct tpm_handle {
	struct tpm *t;
	ESYS_TR tr;
	bool is_nv;
};
#define TPM_HANDLE_INIT(tpm)               \
	(struct tpm_handle)                \
	{                                  \
		(tpm), ESYS_TR_NONE, false \
	}
void tpm_handle_release(struct tpm_handle *h);
#define _cleanup_handle_ _cleanup_(tpm_handle_release)

/* Memory that the TSS allocated. */
static inline void esys_freep(void *p)
{
	Esys_Free(*(void **)p);
}
#define _cleanup_esys_ _cleanup_(esys_freep)

/* Runs one TSS call, again and again while the TPM only asks for patience (D11), about five
 * seconds in all. `expr` must have no effect when it fails. */
#define TPM_CALL(tpm, expr)                                                        \
	({                                                                         \
		TSS2_RC _rc;                                                       \
		unsigned _tries = 0;                                               \
                                                                                   \
		do                                                                 \
			_rc = (tpm)->broken ? TSS2_TCTI_RC_NO_CONNECTION : (expr); \
		while (tpm_again((tpm), _rc, &_tries));                            \
		_rc;                                                               \
	})
bool tpm_again(struct tpm *t, TSS2_RC rc, unsigned *tries);

/* True if `rc` is the TPM's response code `code`, whatever parameter, handle or session number
 * it carries. */
bool tpm_rc_is(TSS2_RC rc, TPM2_RC code);

/* Every public call begins with this, and only those: connects again if an earlier call lost the
 * connection. Handles do not survive that. */
int tpm_enter(struct tpm *t, struct kerr *err);

/* Fills *err with KCODE_TPM and "Kith could not <what>: ..."; returns -EIO. */
int tpm_fail(TSS2_RC rc, const char *what, struct kerr *err);

/* The storage primary key, made from its template. Its name says which TPM (and which owner seed:
 * TPM2_Clear changes it) this is. The first one seen is pinned for the life of `t`: another one
 * later is an error, because sessions are salted with this key (D12). */
int tpm_srk(struct tpm *t, struct tpm_handle *ret, struct kerr *err);

/* A primary key in `hierarchy` without outside information. The name may be NULL. */
TSS2_RC tpm_primary(struct tpm *t, ESYS_TR hierarchy, const TPM2B_PUBLIC *template,
		    struct tpm_handle *ret, TPM2B_PUBLIC **ret_pub);

/* A session (TPM2_SE_HMAC or TPM2_SE_POLICY) salted with the key `salt` (D12), AES-128-CFB. */
int tpm_session(struct tpm *t, TPM2_SE type, ESYS_TR salt, struct tpm_handle *ret,
		struct kerr *err);

/* An HMAC session salted with the storage key, which is not kept loaded. */
int tpm_session_srk(struct tpm *t, struct tpm_handle *ret, struct kerr *err);

/* What the next command does with its first parameter: TPMA_SESSION_DECRYPT (secret goes in),
 * _ENCRYPT (secret comes out), 0. The session always stays alive. */
void tpm_session_use(struct tpm *t, ESYS_TR session, TPMA_SESSION flags);

/* Loads a child of the storage key, made for the moment or already loaded as `srk`; -EXDEV if
 * the child was made on another TPM, -EBADMSG if it is malformed. */
int tpm_load_under(struct tpm *t, ESYS_TR srk, const struct tpm_blob *pub,
		   const struct tpm_blob *priv, struct tpm_handle *ret, struct kerr *err);
int tpm_load(struct tpm *t, const struct tpm_blob *pub, const struct tpm_blob *priv,
	     struct tpm_handle *ret, struct kerr *err);

/* Overwrites the library's response buffer, in which a decrypted secret may still lie (D14). */
void tpm_scrub(struct tpm *t);

/* Wire form, checked to be canonical and complete: -EBADMSG otherwise. */
int tpm_blob_get_public(const struct tpm_blob *b, TPM2B_PUBLIC *ret);
int tpm_blob_put_public(const TPM2B_PUBLIC *pub, struct tpm_blob *ret);
int tpm_blob_put_private(const TPM2B_PRIVATE *priv, struct tpm_blob *ret);

TPML_PCR_SELECTION tpm_pcr_selection(uint32_t mask);

/* tpm_pcr_read() inside another call. */
int tpm_pcr_snapshot(struct tpm *t, uint32_t mask, uint8_t ret[PCR_COUNT][HASH_LEN],
		     struct kerr *err);

/* SHA-256 over the values of the PCRs in `mask`, lowest first. */
void tpm_pcr_digest(uint32_t mask, const uint8_t pcr[PCR_COUNT][HASH_LEN], uint8_t ret[HASH_LEN]);
