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

/* Places for sessions in a command: the first is that of its handle. */
#define SESSION(first) (first), ESYS_TR_NONE, ESYS_TR_NONE
#define NO_SESSION SESSION(ESYS_TR_NONE)

/* Runs Esys_COMMAND(context, ...), again and again while the TPM only asks for patience (D11),
 * about five seconds in all. */
#define TPM_CALL(t, command, ...)                                                   \
	({                                                                          \
		TSS2_RC _rc;                                                        \
		unsigned _tries = 0;                                                \
                                                                                    \
		do                                                                  \
			_rc = (t)->broken ? TSS2_TCTI_RC_NO_CONNECTION              \
					  : Esys_##command((t)->esys, __VA_ARGS__); \
		while (tpm_again((t), _rc, &_tries));                               \
		_rc;                                                                \
	})
bool tpm_again(struct tpm *t, TSS2_RC rc, unsigned *tries);

/* True if `rc` is one of the TPM's response codes named, whatever parameter, handle or session
 * number it carries. */
#define tpm_rc_is(rc, ...) \
	tpm_rc_in(rc, (const TPM2_RC[]){__VA_ARGS__}, ARRAY_SIZE(((const TPM2_RC[]){__VA_ARGS__})))
bool tpm_rc_in(TSS2_RC rc, const TPM2_RC *codes, size_t n);

/* Every public call begins with this, and only those: connects again if an earlier call lost the
 * connection. Handles do not survive that. */
int tpm_enter(struct tpm *t, struct kerr *err);

/* 0 if `rc` says so; otherwise -EIO, with KCODE_TPM and "Kith could not <what>: ...". */
int tpm_result(TSS2_RC rc, const char *what, struct kerr *err);

/* Both: TPM_DO(t, err, "seal a secret", Create, ...). */
#define TPM_DO(t, err, what, command, ...) tpm_result(TPM_CALL(t, command, __VA_ARGS__), what, err)

/* A P-256 key for a template: one with `decrypt` is a primary or storage key (AES-128-CFB), any
 * other signs by ECDSA with SHA-256. */
TPM2B_PUBLIC tpm_ecc_template(TPMA_OBJECT attributes);

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

/* What most calls begin with: tpm_enter(), the storage key, and a session salted with it. */
int tpm_begin(struct tpm *t, TPM2_SE type, struct tpm_handle *ret_srk,
	      struct tpm_handle *ret_session, struct kerr *err);

/* Makes a child of the storage key. `session` encrypts what is sealed in it. */
int tpm_create(struct tpm *t, ESYS_TR srk, ESYS_TR session, const TPM2B_SENSITIVE_CREATE *secret,
	       const TPM2B_PUBLIC *template, const char *what, struct tpm_blob *ret_pub,
	       struct tpm_blob *ret_priv, struct kerr *err);

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

/* Wire form of a TSS structure in an array and its length; -EBADMSG if it does not fit, or is not
 * exactly that. */
#define TPM_PUT(type, value, array, ret_len)                                                   \
	({                                                                                     \
		*(ret_len) = 0;                                                                \
		Tss2_MU_##type##_Marshal(value, array, sizeof(array), ret_len) ? -EBADMSG : 0; \
	})
#define TPM_GET(type, array, len, ret)                                                        \
	({                                                                                    \
		size_t _at = 0;                                                               \
                                                                                              \
		(len) > sizeof(array) || Tss2_MU_##type##_Unmarshal(array, len, &_at, ret) || \
				_at != (len)                                                  \
			? -EBADMSG                                                            \
			: 0;                                                                  \
	})
#define TPM_BLOB_PUT(type, value, blob) TPM_PUT(type, value, (blob)->data, &(blob)->len)
#define TPM_BLOB_GET(type, blob, ret) TPM_GET(type, (blob)->data, (blob)->len, ret)

/* A public area, besides checked to be canonical. */
int tpm_blob_get_public(const struct tpm_blob *b, TPM2B_PUBLIC *ret);

TPML_PCR_SELECTION tpm_pcr_selection(uint32_t mask);

/* tpm_pcr_read() inside another call. */
int tpm_pcr_snapshot(struct tpm *t, uint32_t mask, uint8_t ret[PCR_COUNT][HASH_LEN],
		     struct kerr *err);
