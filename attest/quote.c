/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of TPM structures, field by field. The only user of tss2-mu. */
#include "attest/quote.h"

#include <sodium.h>
#include <tss2/tss2_mu.h>

#include "attest/pk.h"
#include "base/code.h"

#define FAIL(err, ...) kerr_set(err, EKEYREJECTED, KCODE_ATTEST_QUOTE, __VA_ARGS__)

/* Bits of a PCR selection: three octets cover the 24 PCRs of a PC (TPM 2.0 Part 2, 10.6.2). */
#define SELECT_OCTETS 3

static const struct {
	TPMA_OBJECT bit;
	const char *name;
} attributes[] = {
	{TPMA_OBJECT_FIXEDTPM, "fixedTPM"},
	{TPMA_OBJECT_FIXEDPARENT, "fixedParent"},
	{TPMA_OBJECT_SENSITIVEDATAORIGIN, "sensitiveDataOrigin"},
	{TPMA_OBJECT_USERWITHAUTH, "userWithAuth"},
	{TPMA_OBJECT_RESTRICTED, "restricted"},
	{TPMA_OBJECT_SIGN_ENCRYPT, "sign"},
	{TPMA_OBJECT_DECRYPT, "decrypt"},
};

/* Either kind of key lives in its TPM only, and does one thing. userWithAuth is clear in the
 * default EK template: its use needs the endorsement policy. */
#define IN_ITS_TPM                                                                          \
	(TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | \
	 TPMA_OBJECT_RESTRICTED)
#define AK_ATTRIBUTES (IN_ITS_TPM | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT)
#define EK_ATTRIBUTES (IN_ITS_TPM | TPMA_OBJECT_DECRYPT)

/* -- PCRs -- */

void pcr_set_code(struct coder *c, struct pcr_set *v)
{
	code_u32(c, &v->mask);
	code_check(c, v->mask && !(v->mask & ~PCR_MASK_ALL));
	for_each_pcr(i, v->mask)
		code_bytes(c, v->values[i], HASH_LEN);
}

uint32_t pcr_set_changed(const struct pcr_set *pcrs, const uint8_t now[PCR_COUNT][HASH_LEN])
{
	uint32_t changed = 0;

	for_each_pcr(i, pcrs->mask)
		if (memcmp(pcrs->values[i], now[i], HASH_LEN) != 0)
			changed |= 1u << i;
	return changed;
}

/* All bytes zero or all 0xff: nothing was measured, or the bank is off (B8, CVE-2021-42299). */
static bool pcr_degenerate(const uint8_t value[HASH_LEN])
{
	return (value[0] == 0x00 || value[0] == 0xff) &&
	       memcmp(value, value + 1, HASH_LEN - 1) == 0;
}

uint32_t pcrs_extended(uint32_t mask, const uint8_t values[PCR_COUNT][HASH_LEN])
{
	uint32_t ret = 0;

	for_each_pcr(i, mask)
		if (!pcr_degenerate(values[i]))
			ret |= 1u << i;
	return ret;
}

void pcr_set_digest(const struct pcr_set *pcrs, uint8_t ret[HASH_LEN])
{
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	for_each_pcr(i, pcrs->mask)
		crypto_hash_sha256_update(&state, pcrs->values[i], HASH_LEN);
	crypto_hash_sha256_final(&state, ret);
}

/* -- Keys -- */

/* Exactly one TPM2B_PUBLIC, nothing before or behind; its own length field must agree. */
static int public_decode(const uint8_t *data, size_t len, TPM2B_PUBLIC *ret)
{
	size_t at = 0;

	memset(ret, 0, sizeof(*ret));
	if (len < 2 || len > TPM_PUBLIC_MAX || ((size_t)data[0] << 8 | data[1]) != len - 2)
		return -EBADMSG;
	if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(data, len, &at, ret) != TSS2_RC_SUCCESS || at != len)
		return -EBADMSG;
	return 0;
}

static int attributes_check(TPMA_OBJECT got, TPMA_OBJECT needed, const char *what, struct kerr *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (needed & ~got & attributes[i].bit)
			return FAIL(err,
				    "The %s of that device lacks the attribute %s, so it may not "
				    "live in its TPM only.",
				    what, attributes[i].name);
	if (got & (TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_DECRYPT) & ~needed)
		return FAIL(err, "The %s of that device may %s as well, which an %s must not.",
			    what, needed & TPMA_OBJECT_DECRYPT ? "sign" : "decrypt", what);
	return 0;
}

static int ak_decode(const uint8_t *ak_public, size_t len, TPM2B_PUBLIC *ret, struct kerr *err)
{
	const TPMS_ECC_PARMS *ecc = &ret->publicArea.parameters.eccDetail;

	if (public_decode(ak_public, len, ret) < 0)
		return FAIL(err, "The attestation key of that device is not a TPM public key.");
	if (ret->publicArea.type != TPM2_ALG_ECC || ret->publicArea.nameAlg != TPM2_ALG_SHA256)
		return FAIL(err, "The attestation key of that device is not an ECC key with a "
				 "SHA-256 name.");
	if (ecc->curveID != TPM2_ECC_NIST_P256)
		return FAIL(err, "The attestation key of that device is not on curve P-256.");
	if (ecc->scheme.scheme != TPM2_ALG_ECDSA ||
	    ecc->scheme.details.ecdsa.hashAlg != TPM2_ALG_SHA256)
		return FAIL(err, "The attestation key of that device is not fixed to ECDSA with "
				 "SHA-256.");
	return attributes_check(ret->publicArea.objectAttributes, AK_ATTRIBUTES, "attestation key",
				err);
}

int quote_ak_check(const uint8_t *ak_public, size_t len, struct kerr *err)
{
	TPM2B_PUBLIC public;

	return ak_decode(ak_public, len, &public, err);
}

static bool ek_strong(const TPMT_PUBLIC *area)
{
	TPMI_ECC_CURVE curve = area->parameters.eccDetail.curveID;

	if (area->type == TPM2_ALG_RSA)
		return area->parameters.rsaDetail.keyBits >= 2048 &&
		       area->unique.rsa.size == area->parameters.rsaDetail.keyBits / 8;
	return area->type == TPM2_ALG_ECC &&
	       (curve == TPM2_ECC_NIST_P256 || curve == TPM2_ECC_NIST_P384);
}

int quote_ek_check(const uint8_t *ek_public, size_t len, struct kerr *err)
{
	TPM2B_PUBLIC public;

	if (public_decode(ek_public, len, &public) < 0)
		return FAIL(err, "The endorsement key of that device is not a TPM public key.");
	if (!ek_strong(&public.publicArea))
		return FAIL(err, "The endorsement key of that device is of a kind or size that is "
				 "not accepted.");
	return attributes_check(public.publicArea.objectAttributes, EK_ATTRIBUTES,
				"endorsement key", err);
}

int quote_ak_name(const uint8_t *public, size_t len, uint8_t ret_name[TPM_NAME_LEN])
{
	TPM2B_PUBLIC decoded;

	if (public_decode(public, len, &decoded) < 0 ||
	    decoded.publicArea.nameAlg != TPM2_ALG_SHA256)
		return -EBADMSG;
	ret_name[0] = TPM2_ALG_SHA256 >> 8;
	ret_name[1] = TPM2_ALG_SHA256 & 0xff;
	/* The name covers the TPMT_PUBLIC: the bytes behind the TPM2B length. */
	crypto_hash_sha256(ret_name + 2, public + 2, len - 2);
	return 0;
}

/* A TPM2B coordinate of at most 32 bytes, padded on the left. */
static int p256_field(const BYTE *bytes, size_t len, uint8_t ret[P256_LEN])
{
	if (!len || len > P256_LEN)
		return -EBADMSG;
	memset(ret, 0, P256_LEN);
	memcpy(ret + P256_LEN - len, bytes, len);
	return 0;
}

static int attest_decode(const uint8_t *quote, size_t len, TPMS_ATTEST *ret, struct kerr *err)
{
	uint8_t start[6] = {0};
	size_t at = 0;

	memset(ret, 0, sizeof(*ret));
	if (!len || len > QUOTE_MAX)
		return FAIL(err, "The quote of that device has an impossible size.");
	memcpy(start, quote, MIN_OF(len, sizeof(start)));
	/* Magic and type are read by hand first: what follows is only a quote's if they are. */
	if (start[0] != 0xff || start[1] != 'T' || start[2] != 'C' || start[3] != 'G')
		return FAIL(err, "The quote of that device was not made inside a TPM.");
	if ((start[4] << 8 | start[5]) != TPM2_ST_ATTEST_QUOTE)
		return FAIL(err, "That device sent another TPM statement instead of a quote.");
	if (Tss2_MU_TPMS_ATTEST_Unmarshal(quote, len, &at, ret) != TSS2_RC_SUCCESS)
		return FAIL(err, "The quote of that device is malformed.");
	if (at != len)
		return FAIL(err, "The quote of that device has bytes behind its end.");
	return 0;
}

static int signer_check(const TPMS_ATTEST *attest, const uint8_t *pinned, struct kerr *err)
{
	const TPM2B_NAME *signer = &attest->qualifiedSigner;

	if (signer->size != TPM_NAME_LEN ||
	    (signer->name[0] << 8 | signer->name[1]) != TPM2_ALG_SHA256)
		return FAIL(err, "The quote of that device names no key of the accepted kind.");
	if (pinned && memcmp(signer->name, pinned, TPM_NAME_LEN) != 0)
		return FAIL(err, "The quote of that device names another key than the one that was "
				 "paired.");
	return 0;
}

static int selection_check(const TPMS_ATTEST *attest, uint32_t mask, struct kerr *err)
{
	const TPML_PCR_SELECTION *list = &attest->attested.quote.pcrSelect;
	const TPMS_PCR_SELECTION *one = &list->pcrSelections[0];
	uint32_t got = 0;

	if (list->count != 1)
		return FAIL(err, "The quote of that device covers %u PCR banks instead of one.",
			    (unsigned)list->count);
	if (one->hash != TPM2_ALG_SHA256)
		return FAIL(err, "The quote of that device is not over the SHA-256 bank.");
	if (one->sizeofSelect != SELECT_OCTETS)
		return FAIL(err, "The quote of that device selects PCRs in an unknown form.");
	for (unsigned i = 0; i < SELECT_OCTETS; i++)
		got |= (uint32_t)one->pcrSelect[i] << (8 * i);
	if (got != mask)
		return FAIL(err, "The quote of that device covers other PCRs than its values say.");
	return 0;
}

static int pcr_digest_check(const TPMS_ATTEST *attest, const struct pcr_set *pcrs, struct kerr *err)
{
	const TPM2B_DIGEST *got = &attest->attested.quote.pcrDigest;
	uint8_t want[HASH_LEN];

	pcr_set_digest(pcrs, want);
	if (got->size != HASH_LEN || memcmp(got->buffer, want, HASH_LEN) != 0)
		return FAIL(err, "The PCR values of that device are not the ones its TPM quoted.");
	return 0;
}

static int signature_decode(const uint8_t *sig, size_t len, struct p256_signature *ret,
			    struct kerr *err)
{
	TPMT_SIGNATURE tpm = {0};
	const TPMS_SIGNATURE_ECC *ecc = &tpm.signature.ecdsa;
	size_t at = 0;

	if (!len || len > QUOTE_SIGNATURE_MAX ||
	    Tss2_MU_TPMT_SIGNATURE_Unmarshal(sig, len, &at, &tpm) != TSS2_RC_SUCCESS || at != len)
		return FAIL(err, "The signature of that device's quote is malformed.");
	if (tpm.sigAlg != TPM2_ALG_ECDSA)
		return FAIL(err, "The signature of that device's quote is not ECDSA.");
	if (ecc->hash != TPM2_ALG_SHA256)
		return FAIL(err, "The signature of that device's quote does not use SHA-256.");
	if (p256_field(ecc->signatureR.buffer, ecc->signatureR.size, ret->r) < 0 ||
	    p256_field(ecc->signatureS.buffer, ecc->signatureS.size, ret->s) < 0)
		return FAIL(err, "The signature of that device's quote has an impossible size.");
	return 0;
}

static int signature_check(const TPM2B_PUBLIC *ak, const uint8_t *quote, size_t quote_len,
			   const uint8_t *sig, size_t sig_len, struct kerr *err)
{
	const TPMS_ECC_POINT *point = &ak->publicArea.unique.ecc;
	struct p256_signature halves;
	struct p256_public public;
	uint8_t digest[HASH_LEN];
	int r = signature_decode(sig, sig_len, &halves, err);

	if (r < 0)
		return r;
	if (p256_field(point->x.buffer, point->x.size, public.x) < 0 ||
	    p256_field(point->y.buffer, point->y.size, public.y) < 0)
		return FAIL(err, "The attestation key of that device has an impossible size.");
	crypto_hash_sha256(digest, quote, quote_len);
	r = pk_p256_verify(&public, digest, &halves);
	if (r == -EINVAL)
		return FAIL(err, "The attestation key of that device is not a point of its curve.");
	if (r == -EKEYREJECTED)
		return FAIL(err, "The quote of that device is not signed by the attestation key "
				 "that was paired.");
	if (r < 0)
		return kerr_set(err, -r, KCODE_ATTEST_ERROR,
				"The signature of that device's quote could not be checked (%s).",
				strerror(-r));
	return 0;
}

/* Last of all checks, so that ATTEST_BINDING means: genuine, but made for something else. */
static int binding_check(const TPMS_ATTEST *attest, const uint8_t *qualifying, struct kerr *err)
{
	const TPM2B_DATA *extra = &attest->extraData;

	if (extra->size != HASH_LEN || sodium_memcmp(extra->buffer, qualifying, HASH_LEN) != 0)
		return kerr_set(err, EKEYREJECTED, KCODE_ATTEST_BINDING,
				"The quote of that device is genuine, but was made for another "
				"channel, role or hand-off.");
	return 0;
}

static void info_fill(const TPMS_ATTEST *attest, struct quote_info *ret)
{
	*ret = (struct quote_info){
		.clock = attest->clockInfo.clock,
		.reset_count = attest->clockInfo.resetCount,
		.restart_count = attest->clockInfo.restartCount,
		.safe = attest->clockInfo.safe,
		.firmware = attest->firmwareVersion,
	};
	memcpy(ret->signer, attest->qualifiedSigner.name, TPM_NAME_LEN);
}

int quote_verify(const struct quote_expect *expect, const uint8_t *quote, size_t quote_len,
		 const uint8_t *sig, size_t sig_len, struct quote_info *ret_info, struct kerr *err)
{
	TPM2B_PUBLIC ak;
	TPMS_ATTEST attest;
	int r;

	if (!expect->pcrs->mask || (expect->pcrs->mask & ~PCR_MASK_ALL))
		return FAIL(err, "That device sent no PCR values, or of PCRs that do not exist.");
	r = ak_decode(expect->ak_public, expect->ak_public_len, &ak, err);
	if (r >= 0)
		r = attest_decode(quote, quote_len, &attest, err);
	if (r >= 0)
		r = signer_check(&attest, expect->signer, err);
	if (r >= 0)
		r = selection_check(&attest, expect->pcrs->mask, err);
	if (r >= 0)
		r = pcr_digest_check(&attest, expect->pcrs, err);
	if (r >= 0)
		r = signature_check(&ak, quote, quote_len, sig, sig_len, err);
	if (r >= 0)
		r = binding_check(&attest, expect->qualifying, err);
	if (r >= 0 && ret_info)
		info_fill(&attest, ret_info);
	return r;
}

bool quote_is_newer(const struct quote_info *a, const struct quote_info *b)
{
	if (a->reset_count != b->reset_count)
		return a->reset_count > b->reset_count;
	if (a->restart_count != b->restart_count)
		return a->restart_count > b->restart_count;
	return a->clock > b->clock;
}

int quote_clock_check(const struct quote_info *before, const struct quote_info *now, bool same_boot,
		      struct kerr *err)
{
	if (memcmp(before->signer, now->signer, TPM_NAME_LEN) != 0)
		return FAIL(err, "The two quotes of that device name different keys.");
	/* A power cut may lose the last minutes of the clock; then the TPM says that it is not safe
	 * until it has caught up (TPM 2.0 Part 1, "Clock"). */
	if (now->clock < before->clock && (now->safe || now->reset_count <= before->reset_count))
		return kerr_set(err, EKEYREJECTED, KCODE_ATTEST_REPLAY,
				"The clock of that device's TPM went back: the TPM was replaced by "
				"an older copy of itself.");
	if (now->reset_count < before->reset_count ||
	    (now->reset_count == before->reset_count && now->restart_count < before->restart_count))
		return kerr_set(err, EKEYREJECTED, KCODE_ATTEST_REPLAY,
				"The reset counters of that device's TPM went back: the TPM was "
				"replaced by an older copy of itself.");
	if (same_boot && (now->reset_count != before->reset_count ||
			  now->restart_count != before->restart_count))
		return kerr_set(err, EKEYREJECTED, KCODE_ATTEST_PCR,
				"That device was restarted or slept since its last evidence.");
	return 0;
}
