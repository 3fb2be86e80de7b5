/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing under PolicyAuthorize: the object stays, the approved PCR states change (D7). */
#include <sodium.h>
#include <tss2/tss2_mu.h>

#include "policyd/tpm-internal.h"

/* Keeps an approval for the vault from meaning anything else under the same key. */
static const TPM2B_NONCE policy_ref = {.size = 13, .buffer = "kith vault v1"};

#define DAMAGED "The sealed vault is damaged. Use the recovery key."

/* -- Policy digests in software -- */

/* One step of a policy (part 1, 19.7): the digest is hashed with the command and what it adds. */
static void policy_extend(uint8_t digest[HASH_LEN], TPM2_CC command, const void *data, size_t len)
{
	const uint8_t code[] = {(uint8_t)(command >> 24), (uint8_t)(command >> 16),
				(uint8_t)(command >> 8), (uint8_t)command};
	crypto_hash_sha256_state h;

	crypto_hash_sha256_init(&h);
	crypto_hash_sha256_update(&h, digest, HASH_LEN);
	crypto_hash_sha256_update(&h, code, sizeof(code));
	crypto_hash_sha256_update(&h, data, len);
	crypto_hash_sha256_final(&h, digest);
}

/* PolicyPCR alone: the selection as the TPM writes it, and the digest of the values. */
static void state_policy(const struct pcr_set *state, uint8_t ret[HASH_LEN])
{
	const TPML_PCR_SELECTION selection = tpm_pcr_selection(state->mask);
	uint8_t data[sizeof(selection) + HASH_LEN];
	size_t len = 0;

	/* Cannot fail: the wire form is shorter than the struct. */
	Tss2_MU_TPML_PCR_SELECTION_Marshal(&selection, data, sizeof(selection), &len);
	pcr_set_digest(state, data + len);
	memset(ret, 0, HASH_LEN);
	policy_extend(ret, TPM2_CC_PolicyPCR, data, len + HASH_LEN);
}

static void hash_with_ref(const uint8_t policy[HASH_LEN], uint8_t ret[HASH_LEN])
{
	crypto_hash_sha256_state h;

	crypto_hash_sha256_init(&h);
	crypto_hash_sha256_update(&h, policy, HASH_LEN);
	crypto_hash_sha256_update(&h, policy_ref.buffer, policy_ref.size);
	crypto_hash_sha256_final(&h, ret);
}

void tpm_approval_hash(const struct pcr_set *state, uint8_t ret[HASH_LEN])
{
	uint8_t policy[HASH_LEN];

	state_policy(state, policy);
	hash_with_ref(policy, ret);
}

static TPM2B_PUBLIC authority_public(const struct p256_public *key)
{
	TPM2B_PUBLIC p = tpm_ecc_template(TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT);
	TPMS_ECC_POINT *point = &p.publicArea.unique.ecc;

	point->x.size = point->y.size = P256_LEN;
	memcpy(point->x.buffer, key->x, P256_LEN);
	memcpy(point->y.buffer, key->y, P256_LEN);
	return p;
}

/* PolicyAuthorize (part 3, 23.16): H(H(0 || code || name of the key) || policyRef). */
static int authorize_digest(const struct p256_public *authority, uint8_t ret[HASH_LEN])
{
	uint8_t name[TPM_NAME_LEN], digest[HASH_LEN] = {0};
	TPM2B_PUBLIC pub = authority_public(authority);
	struct tpm_blob blob;

	if (TPM_BLOB_PUT(TPM2B_PUBLIC, &pub, &blob) < 0 ||
	    quote_ak_name(blob.data, blob.len, name) < 0)
		return -EBADMSG;
	policy_extend(digest, TPM2_CC_PolicyAuthorize, name, sizeof(name));
	hash_with_ref(digest, ret);
	return 0;
}

/* -- Sealing -- */

static TPM2B_PUBLIC sealed_template(const uint8_t policy[HASH_LEN])
{
	TPM2B_PUBLIC p = {0};
	TPMT_PUBLIC *area = &p.publicArea;

	area->type = TPM2_ALG_KEYEDHASH;
	area->nameAlg = TPM2_ALG_SHA256;
	/* No userWithAuth: the policy is the only way in. */
	area->objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA;
	area->authPolicy.size = HASH_LEN;
	memcpy(area->authPolicy.buffer, policy, HASH_LEN);
	area->parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
	return p;
}

int tpm_seal(struct tpm *t, const struct p256_public *authority, const struct secret *secret,
	     struct tpm_sealed *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t), session = TPM_HANDLE_INIT(t);
	TPM2B_SENSITIVE_CREATE in = {.sensitive.data.size = (UINT16)secret->len};
	uint8_t policy[HASH_LEN];
	TPM2B_PUBLIC template;
	struct tpm_sealed s;
	int r;

	if (!secret->len || secret->len > TPM_SECRET_MAX)
		return kerr_set(err, EINVAL, KCODE_USAGE, "A sealed secret has 1 to %d bytes.",
				TPM_SECRET_MAX);
	if (authorize_digest(authority, policy) < 0)
		return kerr_set(err, EINVAL, KCODE_USAGE, "The authority key is malformed.");
	template = sealed_template(policy);
	r = tpm_begin(t, TPM2_SE_HMAC, &srk, &session, err);
	if (r < 0)
		return r;
	memcpy(in.sensitive.data.buffer, secret->data, secret->len);
	tpm_session_use(t, session.tr, TPMA_SESSION_DECRYPT);
	r = tpm_create(t, srk.tr, session.tr, &in, &template, "seal a secret", &s.pub, &s.priv,
		       err);
	sodium_memzero(&in, sizeof(in));
	if (r < 0)
		return r;
	memcpy(s.srk_name, t->srk_name, TPM_NAME_LEN);
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
static int verify_approval(struct tpm *t, const struct p256_public *authority,
			   const struct tpm_approval *approval, TPM2B_NAME **ret_name,
			   TPMT_TK_VERIFIED **ret_ticket, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle key = TPM_HANDLE_INIT(t);
	const TPM2B_PUBLIC pub = authority_public(authority);
	TPMT_SIGNATURE sig = {.sigAlg = TPM2_ALG_ECDSA};
	TPMS_SIGNATURE_ECC *ecdsa = &sig.signature.ecdsa;
	TPM2B_DIGEST hash = {.size = HASH_LEN};
	TSS2_RC rc;

	ecdsa->hash = TPM2_ALG_SHA256;
	ecdsa->signatureR.size = ecdsa->signatureS.size = P256_LEN;
	memcpy(ecdsa->signatureR.buffer, approval->sig.r, P256_LEN);
	memcpy(ecdsa->signatureS.buffer, approval->sig.s, P256_LEN);
	tpm_approval_hash(&approval->pcrs, hash.buffer);
	rc = TPM_CALL(t, LoadExternal, NO_SESSION, NULL, &pub, ESYS_TR_RH_OWNER, &key.tr);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_TR_GetName(t->esys, key.tr, ret_name);
	if (rc == TSS2_RC_SUCCESS)
		rc = TPM_CALL(t, VerifySignature, key.tr, NO_SESSION, &hash, &sig, ret_ticket);
	if (tpm_rc_is(rc, TPM2_RC_SIGNATURE, TPM2_RC_ECC_POINT))
		return kerr_set(err, EKEYREJECTED, KCODE_LOCKED,
				"The approval of this state is not signed by the vault's "
				"authority key.");
	return tpm_result(rc, "verify the approval of this state", err);
}

/* PolicyPCR over the present values; -EPERM unless that gives the policy `approved`. */
static int policy_present(struct tpm *t, ESYS_TR policy, uint32_t mask,
			  const TPM2B_DIGEST *approved, struct kerr *err)
{
	const TPML_PCR_SELECTION selection = tpm_pcr_selection(mask);
	_cleanup_esys_ TPM2B_DIGEST *digest = NULL;
	const TPM2B_DIGEST any = {0};
	TSS2_RC rc = TPM_CALL(t, PolicyPCR, policy, NO_SESSION, &any, &selection);

	if (rc == TSS2_RC_SUCCESS)
		rc = TPM_CALL(t, PolicyGetDigest, policy, NO_SESSION, &digest);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_result(rc, "compare the PCRs", err);
	if (digest->size != HASH_LEN || memcmp(digest->buffer, approved->buffer, HASH_LEN) != 0)
		return pcr_changed(err);
	return 0;
}

static int satisfy_policy(struct tpm *t, ESYS_TR policy, const struct p256_public *authority,
			  const struct tpm_approval *approval, struct kerr *err)
{
	_cleanup_esys_ TPMT_TK_VERIFIED *ticket = NULL;
	TPM2B_DIGEST approved = {.size = HASH_LEN};
	_cleanup_esys_ TPM2B_NAME *name = NULL;
	int r;

	state_policy(&approval->pcrs, approved.buffer);
	r = policy_present(t, policy, approval->pcrs.mask, &approved, err);
	if (r == 0)
		r = verify_approval(t, authority, approval, &name, &ticket, err);
	if (r == 0)
		r = TPM_DO(t, err, "apply the approval of this state", PolicyAuthorize, policy,
			   NO_SESSION, &approved, &policy_ref, name, ticket);
	return r;
}

static int unseal_object(struct tpm *t, ESYS_TR object, ESYS_TR policy, struct secret *ret,
			 struct kerr *err)
{
	TPM2B_SENSITIVE_DATA *data = NULL;
	TSS2_RC rc;
	int r;

	tpm_session_use(t, policy, TPMA_SESSION_ENCRYPT);
	rc = TPM_CALL(t, Unseal, object, SESSION(policy), &data);
	/* A PCR moved since PolicyPCR. */
	if (tpm_rc_is(rc, TPM2_RC_PCR_CHANGED, TPM2_RC_POLICY_FAIL))
		return pcr_changed(err);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_result(rc, "unseal the vault", err);
	r = secret_from(data->buffer, data->size, ret);
	sodium_memzero(data, sizeof(*data));
	Esys_Free(data);
	tpm_scrub(t);
	return r < 0 ? kerr_set(err, -r, KCODE_FAILED, "No locked memory for a secret.") : 0;
}

/* What can be said without the object: right TPM, right authority, readable. */
static int check_sealed(const struct tpm *t, const struct tpm_sealed *sealed,
			const struct p256_public *authority, struct kerr *err)
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

int tpm_unseal(struct tpm *t, const struct tpm_sealed *sealed, const struct p256_public *authority,
	       const struct tpm_approval *approval, struct secret *ret, struct kerr *err)
{
	_cleanup_handle_ struct tpm_handle policy = TPM_HANDLE_INIT(t), object = TPM_HANDLE_INIT(t);
	_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t);
	int r = tpm_enter(t, err);

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
