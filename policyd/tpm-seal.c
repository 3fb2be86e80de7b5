/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing under PolicyAuthorize: the object stays, the approved PCR states change (D7). */
#include <sodium.h>

#include "policyd/tpm-internal.h"

/* Keeps an approval for the vault from meaning anything else under the same key. */
static const TPM2B_NONCE policy_ref = {.size = 13, .buffer = "kith vault v1"};

#define DAMAGED "The sealed vault is damaged. Use the recovery key."

/* -- Policy digests in software -- */

static void put_be32(uint32_t v, uint8_t ret[4])
{
	for (int i = 0; i < 4; i++)
		ret[i] = (uint8_t)(v >> (24 - 8 * i));
}

void tpm_policy_digest(uint32_t mask, const uint8_t pcr[PCR_COUNT][HASH_LEN], uint8_t ret[HASH_LEN])
{
	/* TPML_PCR_SELECTION: one selection, SHA-256, three octets. */
	uint8_t selection[10] = {0, 0, 0, 1, TPM2_ALG_SHA256 >> 8, TPM2_ALG_SHA256 & 0xff, 3};
	uint8_t digest[HASH_LEN] = {0}, cc[4];
	crypto_hash_sha256_state h;

	for (unsigned i = 0; i < 3; i++)
		selection[7 + i] = (uint8_t)(mask >> (8 * i));
	put_be32(TPM2_CC_PolicyPCR, cc);
	crypto_hash_sha256_init(&h);
	crypto_hash_sha256_update(&h, digest, HASH_LEN);
	crypto_hash_sha256_update(&h, cc, sizeof(cc));
	crypto_hash_sha256_update(&h, selection, sizeof(selection));
	tpm_pcr_digest(mask, pcr, digest);
	crypto_hash_sha256_update(&h, digest, HASH_LEN);
	crypto_hash_sha256_final(&h, ret);
}

void tpm_approval_hash(const uint8_t policy[HASH_LEN], uint8_t ret[HASH_LEN])
{
	crypto_hash_sha256_state h;

	crypto_hash_sha256_init(&h);
	crypto_hash_sha256_update(&h, policy, HASH_LEN);
	crypto_hash_sha256_update(&h, policy_ref.buffer, policy_ref.size);
	crypto_hash_sha256_final(&h, ret);
}

static TPM2B_PUBLIC authority_public(const struct tpm_p256 *key)
{
	TPM2B_PUBLIC p = {
		.publicArea =
			{
				.type = TPM2_ALG_ECC,
				.nameAlg = TPM2_ALG_SHA256,
				.objectAttributes =
					TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT,
				.parameters.eccDetail =
					{
						.symmetric.algorithm = TPM2_ALG_NULL,
						.scheme =
							{
								.scheme = TPM2_ALG_ECDSA,
								.details.ecdsa.hashAlg =
									TPM2_ALG_SHA256,
							},
						.curveID = TPM2_ECC_NIST_P256,
						.kdf.scheme = TPM2_ALG_NULL,
					},
				.unique.ecc = {.x.size = 32, .y.size = 32},
			},
	};

	memcpy(p.publicArea.unique.ecc.x.buffer, key->x, 32);
	memcpy(p.publicArea.unique.ecc.y.buffer, key->y, 32);
	return p;
}

/* PolicyAuthorize (part 3, 23.16): H(H(0 || code || name of the key) || policyRef). */
static int authorize_digest(const struct tpm_p256 *authority, uint8_t ret[HASH_LEN])
{
	uint8_t name[TPM_NAME_LEN], digest[HASH_LEN] = {0}, cc[4];
	TPM2B_PUBLIC pub = authority_public(authority);
	crypto_hash_sha256_state h;
	struct tpm_blob blob;

	if (tpm_blob_put_public(&pub, &blob) < 0 || tpm_public_name(&blob, name) < 0)
		return -EBADMSG;
	put_be32(TPM2_CC_PolicyAuthorize, cc);
	crypto_hash_sha256_init(&h);
	crypto_hash_sha256_update(&h, digest, HASH_LEN);
	crypto_hash_sha256_update(&h, cc, sizeof(cc));
	crypto_hash_sha256_update(&h, name, sizeof(name));
	crypto_hash_sha256_final(&h, digest);
	tpm_approval_hash(digest, ret);
	return 0;
}

/* -- Sealing -- */

static TPM2B_PUBLIC sealed_template(const uint8_t policy[HASH_LEN])
{
	TPM2B_PUBLIC p = {
		.publicArea =
			{
				.type = TPM2_ALG_KEYEDHASH,
				.nameAlg = TPM2_ALG_SHA256,
				/* No userWithAuth: the policy is the only way in. */
				.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
						    TPMA_OBJECT_NODA,
				.authPolicy.size = HASH_LEN,
				.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
			},
	};

	memcpy(p.publicArea.authPolicy.buffer, policy, HASH_LEN);
	return p;
}

static TSS2_RC create_sealed(struct tpm *t, ESYS_TR srk, ESYS_TR session,
			     const TPM2B_PUBLIC *template, const struct secret *secret,
			     TPM2B_PRIVATE **ret_priv, TPM2B_PUBLIC **ret_pub)
{
	TPM2B_SENSITIVE_CREATE in = {.sensitive.data.size = (UINT16)secret->len};
	const TPML_PCR_SELECTION no_pcr = {0};
	const TPM2B_DATA outside = {0};
	TSS2_RC rc;

	memcpy(in.sensitive.data.buffer, secret->data, secret->len);
	tpm_session_use(t, session, TPMA_SESSION_DECRYPT);
	rc = TPM_CALL(t,
		      Esys_Create(t->esys, srk, session, ESYS_TR_NONE, ESYS_TR_NONE, &in, template,
				  &outside, &no_pcr, ret_priv, ret_pub, NULL, NULL, NULL));
	sodium_memzero(&in, sizeof(in));
	return rc;
}

int tpm_seal(struct tpm *t, const struct tpm_p256 *authority, const struct secret *secret,
	     struct tpm_sealed *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t), session = TPM_HANDLE_INIT(t);
	_cleanup_esys_ TPM2B_PRIVATE *priv = NULL;
	_cleanup_esys_ TPM2B_PUBLIC *pub = NULL;
	uint8_t policy[HASH_LEN];
	TPM2B_PUBLIC template;
	struct tpm_sealed s;
	TSS2_RC rc;
	int r;

	if (!secret->len || secret->len > TPM_SECRET_MAX)
		return kerr_set(err, EINVAL, KCODE_USAGE, "A sealed secret has 1 to %d bytes.",
				TPM_SECRET_MAX);
	if (authorize_digest(authority, policy) < 0)
		return kerr_set(err, EINVAL, KCODE_USAGE, "The authority key is malformed.");
	template = sealed_template(policy);
	r = tpm_enter(t, err);
	if (r == 0)
		r = tpm_srk(t, &srk, err);
	if (r == 0)
		r = tpm_session(t, TPM2_SE_HMAC, srk.tr, &session, err);
	if (r < 0)
		return r;
	rc = create_sealed(t, srk.tr, session.tr, &template, secret, &priv, &pub);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "seal a secret", err);
	pub->size = 0;
	memcpy(s.srk_name, t->srk_name, TPM_NAME_LEN);
	if (tpm_blob_put_public(pub, &s.pub) < 0 || tpm_blob_put_private(priv, &s.priv) < 0)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's sealed object is malformed.");
	*ret = s;
	return 0;
}

/* -- Unsealing -- */

static int pcr_changed(struct kerr *err)
{
	return kerr_set(err, EPERM, KCODE_LOCKED,
			"The vault does not open: this device is not in the state you approved. "
			"Use the recovery key, then approve the present state.");
}

/* Has the TPM check the authority's signature; the ticket is its memory of that. */
static int verify_approval(struct tpm *t, const struct tpm_p256 *authority,
			   const struct tpm_approval *approval, TPM2B_NAME **ret_name,
			   TPMT_TK_VERIFIED **ret_ticket, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle key = TPM_HANDLE_INIT(t);
	TPM2B_PUBLIC pub = authority_public(authority);
	TPMT_SIGNATURE sig = {.sigAlg = TPM2_ALG_ECDSA};
	TPM2B_DIGEST hash = {.size = HASH_LEN};
	TSS2_RC rc;

	sig.signature.ecdsa.hash = TPM2_ALG_SHA256;
	sig.signature.ecdsa.signatureR.size = sig.signature.ecdsa.signatureS.size = 32;
	memcpy(sig.signature.ecdsa.signatureR.buffer, approval->r, 32);
	memcpy(sig.signature.ecdsa.signatureS.buffer, approval->s, 32);
	tpm_approval_hash(approval->policy, hash.buffer);
	rc = TPM_CALL(t, Esys_LoadExternal(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
					   &pub, ESYS_TR_RH_OWNER, &key.tr));
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_TR_GetName(t->esys, key.tr, ret_name);
	if (rc == TSS2_RC_SUCCESS)
		rc = TPM_CALL(t, Esys_VerifySignature(t->esys, key.tr, ESYS_TR_NONE, ESYS_TR_NONE,
						      ESYS_TR_NONE, &hash, &sig, ret_ticket));
	if (tpm_rc_is(rc, TPM2_RC_SIGNATURE) || tpm_rc_is(rc, TPM2_RC_ECC_POINT))
		return kerr_set(err, EKEYREJECTED, KCODE_LOCKED,
				"The approval of this state is not signed by the vault's "
				"authority key.");
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "verify the approval of this state", err);
	return 0;
}

/* PolicyPCR over the present values; -EPERM unless that gives the approved policy. */
static int policy_present(struct tpm *t, ESYS_TR policy, const struct tpm_approval *approval,
			  struct kerr *err)
{
	TPML_PCR_SELECTION selection = tpm_pcr_selection(approval->pcr_mask);
	_cleanup_esys_ TPM2B_DIGEST *digest = NULL;
	const TPM2B_DIGEST any = {0};
	TSS2_RC rc;

	rc = TPM_CALL(t, Esys_PolicyPCR(t->esys, policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
					&any, &selection));
	if (rc == TSS2_RC_SUCCESS)
		rc = TPM_CALL(t, Esys_PolicyGetDigest(t->esys, policy, ESYS_TR_NONE, ESYS_TR_NONE,
						      ESYS_TR_NONE, &digest));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "compare the PCRs", err);
	if (digest->size != HASH_LEN || memcmp(digest->buffer, approval->policy, HASH_LEN) != 0)
		return pcr_changed(err);
	return 0;
}

static int satisfy_policy(struct tpm *t, ESYS_TR policy, const struct tpm_p256 *authority,
			  const struct tpm_approval *approval, struct kerr *err)
{
	_cleanup_esys_ TPMT_TK_VERIFIED *ticket = NULL;
	TPM2B_DIGEST approved = {.size = HASH_LEN};
	_cleanup_esys_ TPM2B_NAME *name = NULL;
	TSS2_RC rc;
	int r;

	r = policy_present(t, policy, approval, err);
	if (r == 0)
		r = verify_approval(t, authority, approval, &name, &ticket, err);
	if (r < 0)
		return r;
	memcpy(approved.buffer, approval->policy, HASH_LEN);
	rc = TPM_CALL(t, Esys_PolicyAuthorize(t->esys, policy, ESYS_TR_NONE, ESYS_TR_NONE,
					      ESYS_TR_NONE, &approved, &policy_ref, name, ticket));
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "apply the approval of this state", err);
	return 0;
}

static int unseal_object(struct tpm *t, ESYS_TR object, ESYS_TR policy, struct secret *ret,
			 struct kerr *err)
{
	TPM2B_SENSITIVE_DATA *data = NULL;
	TSS2_RC rc;
	int r;

	tpm_session_use(t, policy, TPMA_SESSION_ENCRYPT);
	rc = TPM_CALL(t, Esys_Unseal(t->esys, object, policy, ESYS_TR_NONE, ESYS_TR_NONE, &data));
	/* A PCR moved since PolicyPCR. */
	if (tpm_rc_is(rc, TPM2_RC_PCR_CHANGED) || tpm_rc_is(rc, TPM2_RC_POLICY_FAIL))
		return pcr_changed(err);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(rc, "unseal the vault", err);
	r = secret_from(data->buffer, data->size, ret);
	sodium_memzero(data, sizeof(*data));
	Esys_Free(data);
	tpm_scrub(t);
	return r < 0 ? kerr_set(err, -r, KCODE_FAILED, "No locked memory for a secret.") : 0;
}

/* What can be said without the object: right TPM, right authority, readable. */
static int check_sealed(const struct tpm *t, const struct tpm_sealed *sealed,
			const struct tpm_p256 *authority, struct kerr *err)
{
	uint8_t policy[HASH_LEN];
	TPM2B_PUBLIC pub;

	if (memcmp(t->srk_name, sealed->srk_name, TPM_NAME_LEN) != 0)
		return kerr_set(err, EXDEV, KCODE_LOCKED,
				"The vault was sealed to another TPM, or this TPM was cleared. Use "
				"the recovery key.");
	if (tpm_blob_get_public(&sealed->pub, &pub) < 0)
		return kerr_set(err, EBADMSG, KCODE_LOCKED, DAMAGED);
	if (authorize_digest(authority, policy) < 0 || pub.publicArea.authPolicy.size != HASH_LEN ||
	    memcmp(pub.publicArea.authPolicy.buffer, policy, HASH_LEN) != 0)
		return kerr_set(err, EKEYREJECTED, KCODE_LOCKED,
				"The vault was sealed under another authority key.");
	return 0;
}

static int load_sealed(struct tpm *t, ESYS_TR srk, const struct tpm_sealed *sealed,
		       struct tpm_handle *ret, struct kerr *err)
{
	struct kerr why = {0};
	int r;

	r = tpm_load_under(t, srk, &sealed->pub, &sealed->priv, ret, &why);
	/* The storage key is the right one, so the object itself is wrong. */
	if (r == -EXDEV || r == -EBADMSG)
		return kerr_set(err, EBADMSG, KCODE_LOCKED, DAMAGED);
	return r < 0 ? kerr_set(err, -r, why.code, "%s", why.text) : 0;
}

int tpm_unseal(struct tpm *t, const struct tpm_sealed *sealed, const struct tpm_p256 *authority,
	       const struct tpm_approval *approval, struct secret *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle policy = TPM_HANDLE_INIT(t), object = TPM_HANDLE_INIT(t);
	_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t);
	int r;

	r = tpm_enter(t, err);
	if (r == 0)
		r = tpm_srk(t, &srk, err);
	if (r == 0)
		r = check_sealed(t, sealed, authority, err);
	if (r == 0)
		r = tpm_session(t, TPM2_SE_POLICY, srk.tr, &policy, err);
	if (r == 0)
		r = satisfy_policy(t, policy.tr, authority, approval, err);
	if (r == 0)
		r = load_sealed(t, srk.tr, sealed, &object, err);
	return r < 0 ? r : unseal_object(t, object.tr, policy.tr, ret, err);
}
