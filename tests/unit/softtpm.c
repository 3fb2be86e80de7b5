/* SPDX-License-Identifier: Apache-2.0 */
/* A TPM for tests. It aborts on any failure of its own: a broken double must not pass. */
#include "tests/unit/softtpm.h"

#define MUST(x)                                                      \
	do {                                                         \
		if (!(x)) {                                          \
			fprintf(stderr, "softtpm: %s failed\n", #x); \
			abort();                                     \
		}                                                    \
	} while (0)

static void point_set(TPM2B_ECC_PARAMETER *to, const uint8_t from[P256_LEN])
{
	to->size = P256_LEN;
	memcpy(to->buffer, from, P256_LEN);
}

static size_t public_write(const TPM2B_PUBLIC *public, uint8_t ret[TPM_PUBLIC_MAX])
{
	size_t len = 0;

	MUST(Tss2_MU_TPM2B_PUBLIC_Marshal(public, ret, TPM_PUBLIC_MAX, &len) == 0);
	return len;
}

size_t softtpm_ak_public(const struct softtpm *t, void (*change)(TPMT_PUBLIC *area),
			 uint8_t ret[TPM_PUBLIC_MAX])
{
	TPM2B_PUBLIC public = {0};
	TPMT_PUBLIC *area = &public.publicArea;

	area->type = TPM2_ALG_ECC;
	area->nameAlg = TPM2_ALG_SHA256;
	area->objectAttributes = SOFTTPM_AK_ATTRIBUTES;
	area->parameters.eccDetail.symmetric.algorithm = TPM2_ALG_NULL;
	area->parameters.eccDetail.scheme.scheme = TPM2_ALG_ECDSA;
	area->parameters.eccDetail.scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
	area->parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
	area->parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
	point_set(&area->unique.ecc.x, t->ak.x);
	point_set(&area->unique.ecc.y, t->ak.y);
	if (change)
		change(area);
	return public_write(&public, ret);
}

static size_t ek_public(const struct softtpm *t, uint8_t ret[TPM_PUBLIC_MAX])
{
	TPM2B_PUBLIC public = {0};
	TPMT_PUBLIC *area = &public.publicArea;

	area->type = TPM2_ALG_ECC;
	area->nameAlg = TPM2_ALG_SHA256;
	area->objectAttributes = SOFTTPM_EK_ATTRIBUTES;
	area->parameters.eccDetail.symmetric.algorithm = TPM2_ALG_AES;
	area->parameters.eccDetail.symmetric.keyBits.aes = 128;
	area->parameters.eccDetail.symmetric.mode.aes = TPM2_ALG_CFB;
	area->parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
	area->parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
	area->parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
	point_set(&area->unique.ecc.x, t->ek.x);
	point_set(&area->unique.ecc.y, t->ek.y);
	return public_write(&public, ret);
}

void softtpm_init(struct softtpm *t, uint8_t seed)
{
	uint8_t unused[P256_LEN];

	memset(t, 0, sizeof(*t));
	MUST(pk_p256_generate(t->ak_secret, &t->ak) == 0);
	MUST(pk_p256_generate(unused, &t->ek) == 0);
	t->ak_public_len = softtpm_ak_public(t, NULL, t->ak_public);
	t->ek_public_len = ek_public(t, t->ek_public);
	t->pcrs.mask = SOFTTPM_PCRS;
	for (unsigned i = 0; i < PCR_COUNT; i++)
		if (t->pcrs.mask & (1u << i)) {
			memset(t->pcrs.values[i], (int)(0x40 + i), HASH_LEN);
			t->pcrs.values[i][0] = seed;
		}
	t->info = (struct quote_info){.clock = 1000000,
				      .reset_count = 7,
				      .restart_count = 2,
				      .safe = 1,
				      .firmware = 0x2022};
	t->info.signer[1] = 0x0b;
	randombytes_buf(t->info.signer + 2, 32);
	snprintf(t->versions, sizeof(t->versions),
		 "kernel=6.1.0\nqemu=7.2.22\nlibvirt=9.0.0\n"
		 "kith=0.1");
}

static void attest_fill(const struct softtpm *t, const uint8_t qualifying[HASH_LEN], TPMS_ATTEST *a)
{
	crypto_hash_sha256_state state;

	memset(a, 0, sizeof(*a));
	a->magic = TPM2_GENERATED_VALUE;
	a->type = TPM2_ST_ATTEST_QUOTE;
	a->qualifiedSigner.size = TPM_NAME_LEN;
	memcpy(a->qualifiedSigner.name, t->info.signer, TPM_NAME_LEN);
	a->extraData.size = HASH_LEN;
	memcpy(a->extraData.buffer, qualifying, HASH_LEN);
	a->clockInfo.clock = t->info.clock;
	a->clockInfo.resetCount = t->info.reset_count;
	a->clockInfo.restartCount = t->info.restart_count;
	a->clockInfo.safe = t->info.safe;
	a->firmwareVersion = t->info.firmware;
	a->attested.quote.pcrSelect.count = 1;
	a->attested.quote.pcrSelect.pcrSelections[0].hash = TPM2_ALG_SHA256;
	a->attested.quote.pcrSelect.pcrSelections[0].sizeofSelect = 3;
	for (unsigned i = 0; i < 3; i++)
		a->attested.quote.pcrSelect.pcrSelections[0].pcrSelect[i] =
			(uint8_t)(t->pcrs.mask >> (8 * i));
	crypto_hash_sha256_init(&state);
	for (unsigned i = 0; i < PCR_COUNT; i++)
		if (t->pcrs.mask & (1u << i))
			crypto_hash_sha256_update(&state, t->pcrs.values[i], HASH_LEN);
	a->attested.quote.pcrDigest.size = HASH_LEN;
	crypto_hash_sha256_final(&state, a->attested.quote.pcrDigest.buffer);
}

void softtpm_quote(const struct softtpm *t, const uint8_t qualifying[HASH_LEN],
		   const struct softtpm_mutant *mutant, struct evidence *ret)
{
	TPMT_SIGNATURE sig = {.sigAlg = TPM2_ALG_ECDSA};
	struct p256_signature halves;
	uint8_t digest[HASH_LEN];
	TPMS_ATTEST attest;

	attest_fill(t, qualifying, &attest);
	if (mutant && mutant->attest)
		mutant->attest(&attest);
	ret->quote_len = 0;
	MUST(Tss2_MU_TPMS_ATTEST_Marshal(&attest, ret->quote, sizeof(ret->quote),
					 &ret->quote_len) == 0);
	crypto_hash_sha256(digest, ret->quote, ret->quote_len);
	MUST(pk_p256_sign(t->ak_secret, &t->ak, digest, &halves) == 0);
	sig.signature.ecdsa.hash = TPM2_ALG_SHA256;
	point_set(&sig.signature.ecdsa.signatureR, halves.r);
	point_set(&sig.signature.ecdsa.signatureS, halves.s);
	if (mutant && mutant->signature)
		mutant->signature(&sig);
	ret->signature_len = 0;
	MUST(Tss2_MU_TPMT_SIGNATURE_Marshal(&sig, ret->signature, sizeof(ret->signature),
					    &ret->signature_len) == 0);
	ret->pcrs = t->pcrs;
	if (mutant && mutant->evidence)
		mutant->evidence(ret);
}

void softtpm_evidence(const struct softtpm *t, const struct evidence_binding *binding,
		      struct evidence *ret)
{
	uint8_t qualifying[HASH_LEN];

	memcpy(ret->versions, t->versions, sizeof(ret->versions));
	evidence_qualifying(binding, ret, qualifying);
	softtpm_quote(t, qualifying, NULL, ret);
}

int softtpm_op_quote(void *ctx, const struct evidence_binding *binding, struct evidence *ret,
		     struct kerr *err)
{
	struct softtpm *t = ctx;
	struct evidence_binding b = *binding;

	t->quotes++;
	if (t->broken)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM does not answer.");
	if (t->lies)
		b.role = t->lie;
	softtpm_evidence(t, &b, ret);
	return 0;
}

static void credential_key(const uint8_t *ek_public, size_t len, const uint8_t *ak_name,
			   uint8_t ret[32])
{
	struct digest d;

	digest_begin(&d, "softtpm");
	digest_field(&d, ek_public, len);
	digest_field(&d, ak_name, TPM_NAME_LEN);
	digest_end(&d, ret);
}

void softtpm_make_credential(const uint8_t *ek_public, size_t ek_public_len,
			     const uint8_t ak_name[TPM_NAME_LEN], const uint8_t secret[32],
			     struct pairing_credential *ret)
{
	uint8_t key[32];

	credential_key(ek_public, ek_public_len, ak_name, key);
	ret->blob_len = crypto_secretbox_NONCEBYTES;
	randombytes_buf(ret->blob, ret->blob_len);
	ret->secret_len = 32 + crypto_secretbox_MACBYTES;
	MUST(crypto_secretbox_easy(ret->secret, secret, 32, ret->blob, key) == 0);
}

int softtpm_activate(const struct softtpm *t, const struct pairing_credential *credential,
		     uint8_t ret_secret[32])
{
	uint8_t key[32], name[TPM_NAME_LEN];

	MUST(quote_ak_name(t->ak_public, t->ak_public_len, name) == 0);
	credential_key(t->ek_public, t->ek_public_len, name, key);
	if (credential->blob_len != crypto_secretbox_NONCEBYTES ||
	    credential->secret_len != 32 + crypto_secretbox_MACBYTES ||
	    crypto_secretbox_open_easy(ret_secret, credential->secret, credential->secret_len,
				       credential->blob, key) != 0)
		return -EKEYREJECTED;
	return 0;
}
