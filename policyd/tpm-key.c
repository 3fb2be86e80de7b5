/* SPDX-License-Identifier: Apache-2.0 */
/* Endorsement and attestation keys, quotes, credential activation. */
#include <sodium.h>
#include <tss2/tss2_mu.h>

#include "policyd/tpm-internal.h"

#define QUOTE_TRIES 5

/* -- Endorsement key -- */

/* TCG EK Credential Profile 2.x, PolicyA: PolicySecret(TPM_RH_ENDORSEMENT), SHA-256. */
static const uint8_t ek_policy[HASH_LEN] = {
	0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc,
	0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52,
	0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
};

static const TPMT_SYM_DEF_OBJECT aes128_cfb = {.algorithm = TPM2_ALG_AES,
					       .keyBits.aes = 128,
					       .mode.aes = TPM2_ALG_CFB};

/* Templates L-1 (RSA 2048) and L-2 (ECC P-256); `unique` is zeros of the full size. */
static TPM2B_PUBLIC ek_template(TPMI_ALG_PUBLIC type)
{
	TPM2B_PUBLIC p = {0};
	TPMT_PUBLIC *a = &p.publicArea;

	a->type = type;
	a->nameAlg = TPM2_ALG_SHA256;
	a->objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
			      TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_ADMINWITHPOLICY |
			      TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
	a->authPolicy.size = HASH_LEN;
	memcpy(a->authPolicy.buffer, ek_policy, HASH_LEN);
	if (type == TPM2_ALG_RSA) {
		a->parameters.rsaDetail.symmetric = aes128_cfb;
		a->parameters.rsaDetail.scheme.scheme = TPM2_ALG_NULL;
		a->parameters.rsaDetail.keyBits = 2048;
		a->unique.rsa.size = 256;
	} else {
		a->parameters.eccDetail.symmetric = aes128_cfb;
		a->parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
		a->parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
		a->parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
		a->unique.ecc.x.size = 32;
		a->unique.ecc.y.size = 32;
	}
	return p;
}

/* True if `pub` is what a TPM makes of one of the templates: all but `unique` is equal. */
static bool is_ek(const TPM2B_PUBLIC *pub)
{
	TPM2B_PUBLIC want, got = *pub;
	struct tpm_blob a, b;

	if (got.publicArea.type != TPM2_ALG_RSA && got.publicArea.type != TPM2_ALG_ECC)
		return false;
	want = ek_template(got.publicArea.type);
	got.publicArea.unique = want.publicArea.unique;
	got.size = 0;
	return tpm_blob_put_public(&want, &a) == 0 && tpm_blob_put_public(&got, &b) == 0 &&
	       a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static int ek_create(struct tpm *t, struct tpm_handle *ret, TPM2B_PUBLIC **ret_pub,
		     struct kerr *err)
{
	TPM2B_PUBLIC template = ek_template(t->ek_type);
	TSS2_RC rc;

	rc = tpm_primary(t, ESYS_TR_RH_ENDORSEMENT, &template, ret, ret_pub);
	if (t->ek_type == TPM2_ALG_ECC &&
	    (tpm_rc_is(rc, TPM2_RC_CURVE) || tpm_rc_is(rc, TPM2_RC_TYPE) ||
	     tpm_rc_is(rc, TPM2_RC_VALUE) || tpm_rc_is(rc, TPM2_RC_ASYMMETRIC))) {
		t->ek_type = TPM2_ALG_RSA;
		template = ek_template(t->ek_type);
		rc = tpm_primary(t, ESYS_TR_RH_ENDORSEMENT, &template, ret, ret_pub);
	}
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "make the endorsement key in the TPM", err);
	return 0;
}

int tpm_ek_public(struct tpm *t, struct tpm_blob *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle ek = TPM_HANDLE_INIT(t);
	_cleanup_esys_ TPM2B_PUBLIC *pub = NULL;
	int r;

	r = tpm_enter(t, err);
	if (r == 0)
		r = ek_create(t, &ek, &pub, err);
	if (r < 0)
		return r;
	pub->size = 0;
	if (tpm_blob_put_public(pub, ret) < 0)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's endorsement key is malformed.");
	return 0;
}

/* -- Attestation key -- */

static const TPM2B_PUBLIC ak_template = {
	.publicArea =
		{
			.type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					    TPMA_OBJECT_SENSITIVEDATAORIGIN |
					    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
					    TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT,
			.parameters.eccDetail =
				{
					.symmetric.algorithm = TPM2_ALG_NULL,
					.scheme =
						{
							.scheme = TPM2_ALG_ECDSA,
							.details.ecdsa.hashAlg = TPM2_ALG_SHA256,
						},
					.curveID = TPM2_ECC_NIST_P256,
					.kdf.scheme = TPM2_ALG_NULL,
				},
		},
};

int tpm_ak_create(struct tpm *t, struct tpm_ak *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t), session = TPM_HANDLE_INIT(t);
	_cleanup_esys_ TPM2B_PRIVATE *priv = NULL;
	_cleanup_esys_ TPM2B_PUBLIC *pub = NULL;
	const TPM2B_SENSITIVE_CREATE sensitive = {0};
	const TPML_PCR_SELECTION no_pcr = {0};
	const TPM2B_DATA outside = {0};
	struct tpm_ak ak;
	TSS2_RC rc;
	int r;

	r = tpm_enter(t, err);
	if (r == 0)
		r = tpm_srk(t, &srk, err);
	if (r == 0)
		r = tpm_session(t, TPM2_SE_HMAC, srk.tr, &session, err);
	if (r < 0)
		return r;
	rc = TPM_CALL(t, Esys_Create(t->esys, srk.tr, session.tr, ESYS_TR_NONE, ESYS_TR_NONE,
				     &sensitive, &ak_template, &outside, &no_pcr, &priv, &pub, NULL,
				     NULL, NULL));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "make an attestation key in the TPM", err);
	pub->size = 0;
	if (tpm_blob_put_public(pub, &ak.pub) < 0 || tpm_blob_put_private(priv, &ak.priv) < 0)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's attestation key is malformed.");
	*ret = ak;
	return 0;
}

int tpm_ak_check(struct tpm *t, const struct tpm_ak *ak, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle h = TPM_HANDLE_INIT(t);
	int r = tpm_enter(t, err);

	return r < 0 ? r : tpm_load(t, &ak->pub, &ak->priv, &h, err);
}

/* -- Quotes -- */

static int put_quote(const TPM2B_ATTEST *attest, const TPMT_SIGNATURE *signature,
		     struct tpm_quote *ret)
{
	size_t offset = 0;

	if (attest->size > sizeof(ret->attest.data) ||
	    Tss2_MU_TPMT_SIGNATURE_Marshal(signature, ret->signature.data,
					   sizeof(ret->signature.data), &offset) != TSS2_RC_SUCCESS)
		return -EBADMSG;
	memcpy(ret->attest.data, attest->attestationData, attest->size);
	ret->attest.len = attest->size;
	ret->signature.len = (uint16_t)offset;
	return 0;
}

/* True if the PCR values just read are those that the TPM signed. */
static bool quote_covers(const TPM2B_ATTEST *attest, uint32_t mask,
			 const uint8_t pcr[PCR_COUNT][HASH_LEN])
{
	uint8_t digest[HASH_LEN];
	TPMS_ATTEST a = {0};
	size_t offset = 0;

	if (Tss2_MU_TPMS_ATTEST_Unmarshal(attest->attestationData, attest->size, &offset, &a) !=
		    TSS2_RC_SUCCESS ||
	    a.type != TPM2_ST_ATTEST_QUOTE)
		return false;
	tpm_pcr_digest(mask, pcr, digest);
	return a.attested.quote.pcrDigest.size == HASH_LEN &&
	       memcmp(a.attested.quote.pcrDigest.buffer, digest, HASH_LEN) == 0;
}

/* 1 = a consistent quote, 0 = PCRs moved meanwhile. */
static int quote_once(struct tpm *t, ESYS_TR ak, const TPM2B_DATA *qualifying, uint32_t mask,
		      struct tpm_quote *ret, struct kerr *err)
{
	const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
	TPML_PCR_SELECTION selection = tpm_pcr_selection(mask);
	_cleanup_esys_ TPMT_SIGNATURE *signature = NULL;
	_cleanup_esys_ TPM2B_ATTEST *attest = NULL;
	TSS2_RC rc;
	int r;

	r = tpm_pcr_snapshot(t, mask, ret->pcr, err);
	if (r < 0)
		return r;
	rc = TPM_CALL(t, Esys_Quote(t->esys, ak, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
				    qualifying, &scheme, &selection, &attest, &signature));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "quote the PCRs", err);
	if (!quote_covers(attest, mask, ret->pcr))
		return 0;
	if (put_quote(attest, signature, ret) < 0)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's quote is malformed.");
	return 1;
}

int tpm_quote(struct tpm *t, const struct tpm_ak *ak, const uint8_t qualifying[32], uint32_t mask,
	      struct tpm_quote *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle h = TPM_HANDLE_INIT(t);
	struct tpm_quote q = {.pcr_mask = mask};
	TPM2B_DATA data = {.size = 32};
	int r;

	if (!mask || mask & ~TPM_PCR_MASK_ALL)
		return kerr_set(err, EINVAL, KCODE_USAGE, "A quote needs PCRs from 0 to 23.");
	memcpy(data.buffer, qualifying, 32);
	r = tpm_enter(t, err);
	if (r == 0)
		r = tpm_load(t, &ak->pub, &ak->priv, &h, err);
	if (r < 0)
		return r;
	for (unsigned tries = 0; tries < QUOTE_TRIES; tries++) {
		r = quote_once(t, h.tr, &data, mask, &q, err);
		if (r < 0)
			return r;
		if (r > 0) {
			*ret = q;
			return 0;
		}
	}
	return kerr_set(err, EAGAIN, KCODE_TPM, "The PCRs change all the time.");
}

/* -- Credential activation -- */

static int load_peer_ek(struct tpm *t, const struct tpm_blob *ek_pub, struct tpm_handle *ret,
			struct kerr *err)
{
	TPM2B_PUBLIC pub;
	TSS2_RC rc;

	if (tpm_blob_get_public(ek_pub, &pub) < 0 || !is_ek(&pub))
		return kerr_set(err, EBADMSG, KCODE_ATTEST_QUOTE,
				"The other device's endorsement key is not one by the TCG default "
				"templates.");
	rc = TPM_CALL(t, Esys_LoadExternal(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
					   &pub, ESYS_TR_RH_NULL, &ret->tr));
	if (tpm_rc_is(rc, TPM2_RC_ECC_POINT) || tpm_rc_is(rc, TPM2_RC_SIZE) ||
	    tpm_rc_is(rc, TPM2_RC_KEY) || tpm_rc_is(rc, TPM2_RC_VALUE))
		return kerr_set(err, EBADMSG, KCODE_ATTEST_QUOTE,
				"The other device's endorsement key is not a valid key.");
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "load the other device's endorsement key", err);
	return 0;
}

static int put_credential(const TPM2B_ID_OBJECT *blob, const TPM2B_ENCRYPTED_SECRET *secret,
			  struct tpm_credential *ret)
{
	struct tpm_credential c = {0};
	size_t n = 0, m = 0;

	if (Tss2_MU_TPM2B_ID_OBJECT_Marshal(blob, c.blob.data, sizeof(c.blob.data), &n) !=
		    TSS2_RC_SUCCESS ||
	    Tss2_MU_TPM2B_ENCRYPTED_SECRET_Marshal(secret, c.secret.data, sizeof(c.secret.data),
						   &m) != TSS2_RC_SUCCESS)
		return -EBADMSG;
	c.blob.len = (uint16_t)n;
	c.secret.len = (uint16_t)m;
	*ret = c;
	return 0;
}

int tpm_make_credential(struct tpm *t, const struct tpm_blob *ek_pub,
			const uint8_t ak_name[TPM_NAME_LEN], const uint8_t secret[32],
			struct tpm_credential *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle session = TPM_HANDLE_INIT(t), ek = TPM_HANDLE_INIT(t);
	_cleanup_esys_ TPM2B_ENCRYPTED_SECRET *wrapped = NULL;
	_cleanup_esys_ TPM2B_ID_OBJECT *blob = NULL;
	TPM2B_NAME name = {.size = TPM_NAME_LEN};
	TPM2B_DIGEST credential = {.size = 32};
	TSS2_RC rc;
	int r;

	r = tpm_enter(t, err);
	if (r == 0)
		r = load_peer_ek(t, ek_pub, &ek, err);
	if (r == 0)
		r = tpm_session_srk(t, &session, err);
	if (r < 0)
		return r;
	memcpy(name.name, ak_name, TPM_NAME_LEN);
	memcpy(credential.buffer, secret, 32);
	tpm_session_use(t, session.tr, TPMA_SESSION_DECRYPT);
	rc = TPM_CALL(t, Esys_MakeCredential(t->esys, ek.tr, session.tr, ESYS_TR_NONE, ESYS_TR_NONE,
					     &credential, &name, &blob, &wrapped));
	sodium_memzero(&credential, sizeof(credential));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "make a credential", err);
	if (put_credential(blob, wrapped, ret) < 0)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's credential is malformed.");
	return 0;
}

static int get_credential(const struct tpm_credential *c, TPM2B_ID_OBJECT *ret_blob,
			  TPM2B_ENCRYPTED_SECRET *ret_secret)
{
	size_t n = 0, m = 0;

	if (c->blob.len > sizeof(c->blob.data) || c->secret.len > sizeof(c->secret.data) ||
	    Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(c->blob.data, c->blob.len, &n, ret_blob) !=
		    TSS2_RC_SUCCESS ||
	    Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(c->secret.data, c->secret.len, &m,
						     ret_secret) != TSS2_RC_SUCCESS)
		return -EBADMSG;
	return n == c->blob.len && m == c->secret.len ? 0 : -EBADMSG;
}

/* The endorsement key with a session that may use it. */
static int ek_authorize(struct tpm *t, struct tpm_handle *ret_ek, struct tpm_handle *ret_policy,
			struct kerr *err)
{
	TSS2_RC rc;
	int r;

	r = ek_create(t, ret_ek, NULL, err);
	if (r == 0)
		r = tpm_session(t, TPM2_SE_POLICY, ESYS_TR_NONE, ret_policy, err);
	if (r < 0)
		return r;
	rc = TPM_CALL(t, Esys_PolicySecret(t->esys, ESYS_TR_RH_ENDORSEMENT, ret_policy->tr,
					   ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL,
					   NULL, 0, NULL, NULL));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "use the endorsement key", err);
	return 0;
}

/* Which refusals mean "not for this EK or this AK" (part 3, 12.5) and not a broken TPM. The
 * reference code answers FAILURE where RSA-OAEP does not decrypt, though it is in good health:
 * a TPM in failure mode could not tell the time. */
static bool is_misbound(struct tpm *t, TSS2_RC rc)
{
	static const TPM2_RC codes[] = {TPM2_RC_INTEGRITY,    TPM2_RC_VALUE,	 TPM2_RC_SIZE,
					TPM2_RC_INSUFFICIENT, TPM2_RC_ECC_POINT, TPM2_RC_KEY};
	_cleanup_esys_ TPMS_TIME_INFO *info = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (tpm_rc_is(rc, codes[i]))
			return true;
	return tpm_rc_is(rc, TPM2_RC_FAILURE) &&
	       TPM_CALL(t, Esys_ReadClock(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
					  &info)) == TSS2_RC_SUCCESS;
}

static int activate(struct tpm *t, ESYS_TR ak, ESYS_TR session, const TPM2B_ID_OBJECT *blob,
		    const TPM2B_ENCRYPTED_SECRET *wrapped, uint8_t ret[32], struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle ek = TPM_HANDLE_INIT(t), policy = TPM_HANDLE_INIT(t);
	TPM2B_DIGEST *secret = NULL;
	bool right_size;
	TSS2_RC rc;
	int r;

	r = ek_authorize(t, &ek, &policy, err);
	if (r < 0)
		return r;
	tpm_session_use(t, session, TPMA_SESSION_ENCRYPT);
	rc = TPM_CALL(t, Esys_ActivateCredential(t->esys, ak, ek.tr, session, policy.tr,
						 ESYS_TR_NONE, blob, wrapped, &secret));
	if (is_misbound(t, rc))
		return kerr_set(err, EACCES, KCODE_ATTEST_BINDING,
				"The credential was not made for this TPM and this attestation "
				"key.");
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "activate a credential", err);
	right_size = secret->size == 32;
	if (right_size)
		memcpy(ret, secret->buffer, 32);
	sodium_memzero(secret, sizeof(*secret));
	Esys_Free(secret);
	tpm_scrub(t);
	return right_size ? 0
			  : kerr_set(err, EACCES, KCODE_ATTEST_BINDING,
				     "The credential holds no 32-byte secret.");
}

int tpm_activate_credential(struct tpm *t, const struct tpm_ak *ak,
			    const struct tpm_credential *credential, uint8_t ret[32],
			    struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle session = TPM_HANDLE_INIT(t), h = TPM_HANDLE_INIT(t);
	_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t);
	TPM2B_ENCRYPTED_SECRET wrapped = {0};
	TPM2B_ID_OBJECT blob = {0};
	int r;

	if (get_credential(credential, &blob, &wrapped) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The credential is malformed.");
	r = tpm_enter(t, err);
	if (r == 0)
		r = tpm_srk(t, &srk, err);
	if (r == 0)
		r = tpm_session(t, TPM2_SE_HMAC, srk.tr, &session, err);
	if (r == 0)
		r = tpm_load_under(t, srk.tr, &ak->pub, &ak->priv, &h, err);
	if (r < 0)
		return r;
	/* Two slots are left for the two keys. */
	tpm_handle_release(&srk);
	return activate(t, h.tr, session.tr, &blob, &wrapped, ret, err);
}
