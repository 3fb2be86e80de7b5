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

/* Templates L-1 (RSA 2048) and L-2 (ECC P-256); `unique` is zeros of the full size. */
static TPM2B_PUBLIC ek_template(TPMI_ALG_PUBLIC type)
{
	TPM2B_PUBLIC p = tpm_ecc_template(
		TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
		TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT);
	TPMT_PUBLIC *a = &p.publicArea;

	a->authPolicy.size = HASH_LEN;
	memcpy(a->authPolicy.buffer, ek_policy, HASH_LEN);
	if (type == TPM2_ALG_RSA) {
		TPMS_RSA_PARMS rsa = {
			.symmetric = a->parameters.eccDetail.symmetric,
			.scheme.scheme = TPM2_ALG_NULL,
			.keyBits = 2048,
		};

		a->type = type;
		a->parameters.rsaDetail = rsa;
		a->unique = (TPMU_PUBLIC_ID){.rsa.size = 256};
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
	return TPM_BLOB_PUT(TPM2B_PUBLIC, &want, &a) == 0 &&
	       TPM_BLOB_PUT(TPM2B_PUBLIC, &got, &b) == 0 && a.len == b.len &&
	       memcmp(a.data, b.data, a.len) == 0;
}

static int ek_create(struct tpm *t, struct tpm_handle *ret, TPM2B_PUBLIC **ret_pub,
		     struct kerr *err)
{
	TPM2B_PUBLIC template = ek_template(t->ek_type);
	TSS2_RC rc = tpm_primary(t, ESYS_TR_RH_ENDORSEMENT, &template, ret, ret_pub);

	if (t->ek_type == TPM2_ALG_ECC &&
	    tpm_rc_is(rc, TPM2_RC_CURVE, TPM2_RC_TYPE, TPM2_RC_VALUE, TPM2_RC_ASYMMETRIC)) {
		t->ek_type = TPM2_ALG_RSA;
		template = ek_template(t->ek_type);
		rc = tpm_primary(t, ESYS_TR_RH_ENDORSEMENT, &template, ret, ret_pub);
	}
	return tpm_result(rc, "make the endorsement key in the TPM", err);
}

int tpm_ek_public(struct tpm *t, struct tpm_blob *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle ek = TPM_HANDLE_INIT(t);
	_cleanup_esys_ TPM2B_PUBLIC *pub = NULL;
	int r = tpm_enter(t, err);

	if (r == 0)
		r = ek_create(t, &ek, &pub, err);
	if (r < 0)
		return r;
	pub->size = 0;
	if (TPM_BLOB_PUT(TPM2B_PUBLIC, pub, ret) < 0)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's endorsement key is malformed.");
	return 0;
}

/* -- Attestation key -- */

static TPM2B_PUBLIC ak_template(void)
{
	return tpm_ecc_template(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
				TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
				TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED |
				TPMA_OBJECT_SIGN_ENCRYPT);
}

int tpm_ak_create(struct tpm *t, struct tpm_ak *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t), session = TPM_HANDLE_INIT(t);
	const TPM2B_SENSITIVE_CREATE nothing = {0};
	const TPM2B_PUBLIC template = ak_template();
	struct tpm_ak ak;
	int r = tpm_begin(t, TPM2_SE_HMAC, &srk, &session, err);

	if (r == 0)
		r = tpm_create(t, srk.tr, session.tr, &nothing, &template,
			       "make an attestation key in the TPM", &ak.pub, &ak.priv, err);
	if (r == 0)
		*ret = ak;
	return r;
}

int tpm_ak_check(struct tpm *t, const struct tpm_ak *ak, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle h = TPM_HANDLE_INIT(t);
	int r = tpm_enter(t, err);

	return r < 0 ? r : tpm_load(t, &ak->pub, &ak->priv, &h, err);
}

/* -- Quotes -- */

/* True if the PCR values just read are those that the TPM signed. */
static bool quote_covers(const TPM2B_ATTEST *attest, const struct pcr_set *pcrs)
{
	uint8_t digest[HASH_LEN];
	TPMS_ATTEST a = {0};
	size_t offset = 0;

	if (Tss2_MU_TPMS_ATTEST_Unmarshal(attest->attestationData, attest->size, &offset, &a) !=
		    TSS2_RC_SUCCESS ||
	    a.type != TPM2_ST_ATTEST_QUOTE)
		return false;
	pcr_set_digest(pcrs, digest);
	return a.attested.quote.pcrDigest.size == HASH_LEN &&
	       memcmp(a.attested.quote.pcrDigest.buffer, digest, HASH_LEN) == 0;
}

/* 1 = a consistent quote, 0 = PCRs moved meanwhile. */
static int quote_once(struct tpm *t, ESYS_TR ak, const TPM2B_DATA *qualifying, struct evidence *ret,
		      struct kerr *err)
{
	const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
	const TPML_PCR_SELECTION selection = tpm_pcr_selection(ret->pcrs.mask);
	_cleanup_esys_ TPMT_SIGNATURE *signature = NULL;
	_cleanup_esys_ TPM2B_ATTEST *attest = NULL;
	int r = tpm_pcr_snapshot(t, ret->pcrs.mask, ret->pcrs.values, err);

	if (r == 0)
		r = TPM_DO(t, err, "quote the PCRs", Quote, ak, SESSION(ESYS_TR_PASSWORD),
			   qualifying, &scheme, &selection, &attest, &signature);
	if (r < 0)
		return r;
	if (!quote_covers(attest, &ret->pcrs))
		return 0;
	if (attest->size > sizeof(ret->quote))
		return kerr_set(err, EMSGSIZE, KCODE_TPM,
				"The TPM's quote is larger than expected.");
	if (TPM_PUT(TPMT_SIGNATURE, signature, ret->signature, &ret->signature_len) < 0)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's quote is malformed.");
	memcpy(ret->quote, attest->attestationData, attest->size);
	ret->quote_len = attest->size;
	return 1;
}

int tpm_quote(struct tpm *t, const struct tpm_ak *ak, const uint8_t qualifying[32], uint32_t mask,
	      struct evidence *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle h = TPM_HANDLE_INIT(t);
	TPM2B_DATA data = {.size = 32};
	int r;

	if (!mask || mask & ~PCR_MASK_ALL)
		return kerr_set(err, EINVAL, KCODE_USAGE, "A quote needs PCRs from 0 to 23.");
	memcpy(data.buffer, qualifying, 32);
	ret->pcrs.mask = mask;
	r = tpm_enter(t, err);
	if (r == 0)
		r = tpm_load(t, &ak->pub, &ak->priv, &h, err);
	for (unsigned tries = 0; r == 0 && tries < QUOTE_TRIES; tries++)
		r = quote_once(t, h.tr, &data, ret, err);
	if (r == 0)
		return kerr_set(err, EAGAIN, KCODE_TPM, "The PCRs change all the time.");
	return r < 0 ? r : 0;
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
	rc = TPM_CALL(t, LoadExternal, NO_SESSION, NULL, &pub, ESYS_TR_RH_NULL, &ret->tr);
	if (tpm_rc_is(rc, TPM2_RC_ECC_POINT, TPM2_RC_SIZE, TPM2_RC_KEY, TPM2_RC_VALUE))
		return kerr_set(err, EBADMSG, KCODE_ATTEST_QUOTE,
				"The other device's endorsement key is not a valid key.");
	return tpm_result(rc, "load the other device's endorsement key", err);
}

int tpm_make_credential(struct tpm *t, const struct tpm_blob *ek_pub,
			const uint8_t ak_name[TPM_NAME_LEN], const uint8_t secret[32],
			struct pairing_credential *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle session = TPM_HANDLE_INIT(t), ek = TPM_HANDLE_INIT(t);
	_cleanup_esys_ TPM2B_ENCRYPTED_SECRET *wrapped = NULL;
	_cleanup_esys_ TPM2B_ID_OBJECT *blob = NULL;
	TPM2B_NAME name = {.size = TPM_NAME_LEN};
	TPM2B_DIGEST credential = {.size = 32};
	int r = tpm_enter(t, err);

	if (r == 0)
		r = load_peer_ek(t, ek_pub, &ek, err);
	if (r == 0)
		r = tpm_session_srk(t, &session, err);
	if (r < 0)
		return r;
	memcpy(name.name, ak_name, TPM_NAME_LEN);
	memcpy(credential.buffer, secret, 32);
	tpm_session_use(t, session.tr, TPMA_SESSION_DECRYPT);
	r = TPM_DO(t, err, "make a credential", MakeCredential, ek.tr, SESSION(session.tr),
		   &credential, &name, &blob, &wrapped);
	sodium_memzero(&credential, sizeof(credential));
	if (r < 0)
		return r;
	if (TPM_PUT(TPM2B_ID_OBJECT, blob, ret->blob, &ret->blob_len) < 0 ||
	    TPM_PUT(TPM2B_ENCRYPTED_SECRET, wrapped, ret->secret, &ret->secret_len) < 0)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's credential is malformed.");
	return 0;
}

/* The endorsement key with a session that may use it. */
static int ek_authorize(struct tpm *t, struct tpm_handle *ret_ek, struct tpm_handle *ret_policy,
			struct kerr *err)
{
	int r = ek_create(t, ret_ek, NULL, err);

	if (r == 0)
		r = tpm_session(t, TPM2_SE_POLICY, ESYS_TR_NONE, ret_policy, err);
	if (r < 0)
		return r;
	return TPM_DO(t, err, "use the endorsement key", PolicySecret, ESYS_TR_RH_ENDORSEMENT,
		      ret_policy->tr, SESSION(ESYS_TR_PASSWORD), NULL, NULL, NULL, 0, NULL, NULL);
}

/* Which refusals mean "not for this EK or this AK" (part 3, 12.5) and not a broken TPM. The
 * reference code answers FAILURE where RSA-OAEP does not decrypt, though it is in good health:
 * a TPM in failure mode could not tell the time. */
static bool is_misbound(struct tpm *t, TSS2_RC rc)
{
	_cleanup_esys_ TPMS_TIME_INFO *info = NULL;

	return tpm_rc_is(rc, TPM2_RC_INTEGRITY, TPM2_RC_VALUE, TPM2_RC_SIZE, TPM2_RC_INSUFFICIENT,
			 TPM2_RC_ECC_POINT, TPM2_RC_KEY) ||
	       (tpm_rc_is(rc, TPM2_RC_FAILURE) &&
		TPM_CALL(t, ReadClock, NO_SESSION, &info) == TSS2_RC_SUCCESS);
}

static int activate(struct tpm *t, ESYS_TR ak, ESYS_TR session, const TPM2B_ID_OBJECT *blob,
		    const TPM2B_ENCRYPTED_SECRET *wrapped, uint8_t ret[32], struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle ek = TPM_HANDLE_INIT(t), policy = TPM_HANDLE_INIT(t);
	TPM2B_DIGEST *secret = NULL;
	TSS2_RC rc;
	int r = ek_authorize(t, &ek, &policy, err);

	if (r < 0)
		return r;
	tpm_session_use(t, session, TPMA_SESSION_ENCRYPT);
	rc = TPM_CALL(t, ActivateCredential, ak, ek.tr, session, policy.tr, ESYS_TR_NONE, blob,
		      wrapped, &secret);
	if (is_misbound(t, rc))
		return kerr_set(err, EACCES, KCODE_ATTEST_BINDING,
				"The credential was not made for this TPM and this attestation "
				"key.");
	r = tpm_result(rc, "activate a credential", err);
	if (r < 0)
		return r;
	if (secret->size == 32)
		memcpy(ret, secret->buffer, 32);
	else
		r = kerr_set(err, EACCES, KCODE_ATTEST_BINDING,
			     "The credential holds no 32-byte secret.");
	sodium_memzero(secret, sizeof(*secret));
	Esys_Free(secret);
	tpm_scrub(t);
	return r;
}

int tpm_activate_credential(struct tpm *t, const struct tpm_ak *ak,
			    const struct pairing_credential *credential, uint8_t ret[32],
			    struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle session = TPM_HANDLE_INIT(t), h = TPM_HANDLE_INIT(t);
	_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t);
	TPM2B_ENCRYPTED_SECRET wrapped = {0};
	TPM2B_ID_OBJECT blob = {0};
	int r;

	if (TPM_GET(TPM2B_ID_OBJECT, credential->blob, credential->blob_len, &blob) < 0 ||
	    TPM_GET(TPM2B_ENCRYPTED_SECRET, credential->secret, credential->secret_len, &wrapped) <
		    0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The credential is malformed.");
	r = tpm_begin(t, TPM2_SE_HMAC, &srk, &session, err);
	if (r == 0)
		r = tpm_load_under(t, srk.tr, &ak->pub, &ak->priv, &h, err);
	if (r < 0)
		return r;
	/* Two slots are left for the two keys. */
	tpm_handle_release(&srk);
	return activate(t, h.tr, session.tr, &blob, &wrapped, ret, err);
}
