/* SPDX-License-Identifier: Apache-2.0 */
/* Quotes and attestation keys: one mutant per field (B3, B4), and a quote of a real swtpm. */
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/wait.h>

#include "attest/quote.h"
#include "tests/unit/softtpm.h"

static struct softtpm tpm;
static uint8_t qualifying[HASH_LEN];

static int verify(const struct evidence *ev, struct quote_info *ret_info, struct kerr *err)
{
	const struct quote_expect expect = {
		.ak_public = tpm.ak_public,
		.ak_public_len = tpm.ak_public_len,
		.qualifying = qualifying,
		.pcrs = &ev->pcrs,
		.signer = tpm.info.signer,
	};

	return quote_verify(&expect, ev->quote, ev->quote_len, ev->signature, ev->signature_len,
			    ret_info, err);
}

static void test_genuine(void)
{
	struct evidence ev = {0};
	struct quote_info info = {0};
	struct kerr err = {0};

	softtpm_quote(&tpm, qualifying, NULL, &ev);
	g_assert_cmpint(verify(&ev, &info, &err), ==, 0);
	g_assert_cmpint(err.code, ==, KCODE_OK);
	g_assert_cmpuint(info.clock, ==, 1000000);
	g_assert_cmpuint(info.reset_count, ==, 7);
	g_assert_cmpuint(info.restart_count, ==, 2);
	g_assert_cmpmem(info.signer, TPM_NAME_LEN, tpm.info.signer, TPM_NAME_LEN);
}

/* -- B4 -- */

static void m_magic(TPMS_ATTEST *a)
{
	a->magic = 0x00544347;
}
static void m_magic_low(TPMS_ATTEST *a)
{
	a->magic = 0xff544348;
}
static void m_type_certify(TPMS_ATTEST *a)
{
	TPM2B_NAME name = {.size = 0};

	a->type = TPM2_ST_ATTEST_CERTIFY;
	a->attested.certify.name = name;
	a->attested.certify.qualifiedName = name;
}
static void m_type_time(TPMS_ATTEST *a)
{
	a->type = TPM2_ST_ATTEST_TIME;
	memset(&a->attested, 0, sizeof(a->attested));
}
static void m_signer_empty(TPMS_ATTEST *a)
{
	a->qualifiedSigner.size = 0;
}
static void m_signer_short(TPMS_ATTEST *a)
{
	a->qualifiedSigner.size = 33;
}
static void m_signer_alg(TPMS_ATTEST *a)
{
	a->qualifiedSigner.name[1] = 0x04;
}
static void m_signer_other(TPMS_ATTEST *a)
{
	a->qualifiedSigner.name[20] ^= 1;
}
static void m_extra_bit(TPMS_ATTEST *a)
{
	a->extraData.buffer[31] ^= 1;
}
static void m_extra_empty(TPMS_ATTEST *a)
{
	a->extraData.size = 0;
}
static void m_extra_short(TPMS_ATTEST *a)
{
	a->extraData.size = 31;
}
static void m_extra_long(TPMS_ATTEST *a)
{
	a->extraData.size = 33;
}
static void m_select_none(TPMS_ATTEST *a)
{
	a->attested.quote.pcrSelect.count = 0;
}
static void m_select_two(TPMS_ATTEST *a)
{
	a->attested.quote.pcrSelect.count = 2;
	a->attested.quote.pcrSelect.pcrSelections[1] = a->attested.quote.pcrSelect.pcrSelections[0];
	a->attested.quote.pcrSelect.pcrSelections[1].hash = TPM2_ALG_SHA1;
}
static void m_select_sha1(TPMS_ATTEST *a)
{
	a->attested.quote.pcrSelect.pcrSelections[0].hash = TPM2_ALG_SHA1;
}
static void m_select_sha384(TPMS_ATTEST *a)
{
	a->attested.quote.pcrSelect.pcrSelections[0].hash = TPM2_ALG_SHA384;
}
static void m_select_short(TPMS_ATTEST *a)
{
	a->attested.quote.pcrSelect.pcrSelections[0].sizeofSelect = 2;
}
static void m_select_long(TPMS_ATTEST *a)
{
	a->attested.quote.pcrSelect.pcrSelections[0].sizeofSelect = 4;
}
static void m_select_less(TPMS_ATTEST *a)
{
	a->attested.quote.pcrSelect.pcrSelections[0].pcrSelect[0] &= 0x7f;
}
static void m_select_more(TPMS_ATTEST *a)
{
	a->attested.quote.pcrSelect.pcrSelections[0].pcrSelect[2] |= 0x80;
}
static void m_select_empty(TPMS_ATTEST *a)
{
	memset(a->attested.quote.pcrSelect.pcrSelections[0].pcrSelect, 0, 3);
}
static void m_digest_bit(TPMS_ATTEST *a)
{
	a->attested.quote.pcrDigest.buffer[0] ^= 0x80;
}
static void m_digest_empty(TPMS_ATTEST *a)
{
	a->attested.quote.pcrDigest.size = 0;
}
static void m_digest_short(TPMS_ATTEST *a)
{
	a->attested.quote.pcrDigest.size = 20;
}

static void s_alg_rsa(TPMT_SIGNATURE *s)
{
	s->sigAlg = TPM2_ALG_RSASSA;
	s->signature.rsassa.hash = TPM2_ALG_SHA256;
	s->signature.rsassa.sig.size = 16;
}
static void s_alg_null(TPMT_SIGNATURE *s)
{
	s->sigAlg = TPM2_ALG_NULL;
}
static void s_hash(TPMT_SIGNATURE *s)
{
	s->signature.ecdsa.hash = TPM2_ALG_SHA1;
}
static void s_r_bit(TPMT_SIGNATURE *s)
{
	s->signature.ecdsa.signatureR.buffer[5] ^= 4;
}
static void s_s_bit(TPMT_SIGNATURE *s)
{
	s->signature.ecdsa.signatureS.buffer[31] ^= 1;
}
static void s_r_empty(TPMT_SIGNATURE *s)
{
	s->signature.ecdsa.signatureR.size = 0;
}
static void s_s_long(TPMT_SIGNATURE *s)
{
	s->signature.ecdsa.signatureS.size = 33;
}
static void s_zero(TPMT_SIGNATURE *s)
{
	memset(s->signature.ecdsa.signatureR.buffer, 0, 32);
	memset(s->signature.ecdsa.signatureS.buffer, 0, 32);
}
static void s_out_of_range(TPMT_SIGNATURE *s)
{
	memset(s->signature.ecdsa.signatureR.buffer, 0xff, 32);
}

static void e_value(struct evidence *ev)
{
	ev->pcrs.values[4][9] ^= 1;
}
static void e_mask_more(struct evidence *ev)
{
	ev->pcrs.mask |= 1u << 1;
}
static void e_mask_less(struct evidence *ev)
{
	ev->pcrs.mask &= ~(1u << 7);
}
static void e_mask_none(struct evidence *ev)
{
	ev->pcrs.mask = 0;
}
static void e_mask_beyond(struct evidence *ev)
{
	ev->pcrs.mask |= 1u << 24;
}
static void e_quote_tail(struct evidence *ev)
{
	ev->quote[ev->quote_len++] = 0;
}
static void e_quote_cut(struct evidence *ev)
{
	ev->quote_len--;
}
static void e_quote_empty(struct evidence *ev)
{
	ev->quote_len = 0;
}
static void e_clock(struct evidence *ev)
{
	ev->quote[6 + 2 + TPM_NAME_LEN + 2 + HASH_LEN + 7] ^= 1;
}
static void e_reset(struct evidence *ev)
{
	ev->quote[6 + 2 + TPM_NAME_LEN + 2 + HASH_LEN + 8 + 3] ^= 1;
}
static void e_firmware(struct evidence *ev)
{
	ev->quote[6 + 2 + TPM_NAME_LEN + 2 + HASH_LEN + 17] ^= 1;
}
static void e_signature_tail(struct evidence *ev)
{
	ev->signature[ev->signature_len++] = 0;
}
static void e_signature_cut(struct evidence *ev)
{
	ev->signature_len--;
}
static void e_signature_empty(struct evidence *ev)
{
	ev->signature_len = 0;
}

static const struct {
	const char *name;
	struct softtpm_mutant mutant;
	enum kcode code;
	const char *word; /* of the sentence: each check has its own */
} mutants[] = {
	{"magic", {.attest = m_magic}, KCODE_ATTEST_QUOTE, "not made inside a TPM"},
	{"magic last byte", {.attest = m_magic_low}, KCODE_ATTEST_QUOTE, "not made inside a TPM"},
	{"type certify", {.attest = m_type_certify}, KCODE_ATTEST_QUOTE, "another TPM statement"},
	{"type time", {.attest = m_type_time}, KCODE_ATTEST_QUOTE, "another TPM statement"},
	{"signer empty", {.attest = m_signer_empty}, KCODE_ATTEST_QUOTE, "names no key"},
	{"signer short", {.attest = m_signer_short}, KCODE_ATTEST_QUOTE, "names no key"},
	{"signer algorithm", {.attest = m_signer_alg}, KCODE_ATTEST_QUOTE, "names no key"},
	{"signer other", {.attest = m_signer_other}, KCODE_ATTEST_QUOTE, "names another key"},
	{"extra data bit", {.attest = m_extra_bit}, KCODE_ATTEST_BINDING, "another channel"},
	{"extra data empty", {.attest = m_extra_empty}, KCODE_ATTEST_BINDING, "another channel"},
	{"extra data short", {.attest = m_extra_short}, KCODE_ATTEST_BINDING, "another channel"},
	{"extra data long", {.attest = m_extra_long}, KCODE_ATTEST_BINDING, "another channel"},
	{"no selection", {.attest = m_select_none}, KCODE_ATTEST_QUOTE, "0 PCR banks"},
	{"two selections", {.attest = m_select_two}, KCODE_ATTEST_QUOTE, "2 PCR banks"},
	{"bank SHA-1", {.attest = m_select_sha1}, KCODE_ATTEST_QUOTE, "SHA-256 bank"},
	{"bank SHA-384", {.attest = m_select_sha384}, KCODE_ATTEST_QUOTE, "SHA-256 bank"},
	{"selection of 2 octets", {.attest = m_select_short}, KCODE_ATTEST_QUOTE, "unknown form"},
	{"selection of 4 octets", {.attest = m_select_long}, KCODE_ATTEST_QUOTE, "unknown form"},
	{"PCR 7 not selected", {.attest = m_select_less}, KCODE_ATTEST_QUOTE, "other PCRs"},
	{"PCR 23 selected", {.attest = m_select_more}, KCODE_ATTEST_QUOTE, "other PCRs"},
	{"selection empty", {.attest = m_select_empty}, KCODE_ATTEST_QUOTE, "other PCRs"},
	{"digest bit", {.attest = m_digest_bit}, KCODE_ATTEST_QUOTE, "not the ones"},
	{"digest empty", {.attest = m_digest_empty}, KCODE_ATTEST_QUOTE, "not the ones"},
	{"digest short", {.attest = m_digest_short}, KCODE_ATTEST_QUOTE, "not the ones"},
	{"signature RSA", {.signature = s_alg_rsa}, KCODE_ATTEST_QUOTE, "not ECDSA"},
	{"signature null", {.signature = s_alg_null}, KCODE_ATTEST_QUOTE, "signature of"},
	{"signature hash", {.signature = s_hash}, KCODE_ATTEST_QUOTE, "does not use SHA-256"},
	{"signature r", {.signature = s_r_bit}, KCODE_ATTEST_QUOTE, "not signed by"},
	{"signature s", {.signature = s_s_bit}, KCODE_ATTEST_QUOTE, "not signed by"},
	{"signature r empty", {.signature = s_r_empty}, KCODE_ATTEST_QUOTE, "impossible size"},
	{"signature s long", {.signature = s_s_long}, KCODE_ATTEST_QUOTE, "impossible size"},
	{"signature zero", {.signature = s_zero}, KCODE_ATTEST_QUOTE, "not signed by"},
	{"signature r too large",
	 {.signature = s_out_of_range},
	 KCODE_ATTEST_QUOTE,
	 "not signed by"},
	{"value", {.evidence = e_value}, KCODE_ATTEST_QUOTE, "not the ones"},
	{"mask claims more", {.evidence = e_mask_more}, KCODE_ATTEST_QUOTE, "other PCRs"},
	{"mask claims less", {.evidence = e_mask_less}, KCODE_ATTEST_QUOTE, "other PCRs"},
	{"mask empty", {.evidence = e_mask_none}, KCODE_ATTEST_QUOTE, "no PCR values"},
	{"mask beyond 23", {.evidence = e_mask_beyond}, KCODE_ATTEST_QUOTE, "do not exist"},
	{"bytes behind quote", {.evidence = e_quote_tail}, KCODE_ATTEST_QUOTE, "behind its end"},
	{"quote cut", {.evidence = e_quote_cut}, KCODE_ATTEST_QUOTE, "malformed"},
	{"quote empty", {.evidence = e_quote_empty}, KCODE_ATTEST_QUOTE, "impossible size"},
	{"clock after signing", {.evidence = e_clock}, KCODE_ATTEST_QUOTE, "not signed by"},
	{"reset after signing", {.evidence = e_reset}, KCODE_ATTEST_QUOTE, "not signed by"},
	{"firmware after signing", {.evidence = e_firmware}, KCODE_ATTEST_QUOTE, "not signed by"},
	{"bytes behind signature", {.evidence = e_signature_tail}, KCODE_ATTEST_QUOTE, "malformed"},
	{"signature cut", {.evidence = e_signature_cut}, KCODE_ATTEST_QUOTE, "malformed"},
	{"signature empty", {.evidence = e_signature_empty}, KCODE_ATTEST_QUOTE, "malformed"},
};

static void test_mutants(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(mutants); i++) {
		struct evidence ev = {0};
		struct quote_info info = {.clock = 42};
		struct kerr err = {0};

		softtpm_quote(&tpm, qualifying, &mutants[i].mutant, &ev);
		g_test_message("%s", mutants[i].name);
		g_assert_cmpint(verify(&ev, &info, &err), <, 0);
		g_assert_cmpstr(kcode_to_string(err.code), ==, kcode_to_string(mutants[i].code));
		if (!strstr(err.text, mutants[i].word)) {
			g_test_message("got: %s", err.text);
			g_test_fail();
		}
		g_assert_cmpuint(info.clock, ==, 42); /* never clobbered on failure */
	}
}

/* Every single bit of quote and signature matters. */
static void test_every_bit(void)
{
	struct evidence good = {0};

	softtpm_quote(&tpm, qualifying, NULL, &good);
	for (size_t bit = 0; bit < 8 * (good.quote_len + good.signature_len); bit++) {
		struct evidence ev = good;
		struct kerr err = {0};
		size_t at = bit / 8;

		if (at < ev.quote_len)
			ev.quote[at] ^= (uint8_t)(1u << bit % 8);
		else
			ev.signature[at - ev.quote_len] ^= (uint8_t)(1u << bit % 8);
		if (verify(&ev, NULL, &err) == 0 || err.code == KCODE_OK) {
			g_test_message("bit %zu may be flipped", bit);
			g_test_fail();
		}
	}
}

static void test_cut_anywhere(void)
{
	struct evidence good = {0};

	softtpm_quote(&tpm, qualifying, NULL, &good);
	for (size_t len = 0; len < good.quote_len; len++) {
		struct evidence ev = good;

		ev.quote_len = len;
		g_assert_cmpint(verify(&ev, NULL, NULL), <, 0);
	}
	for (size_t len = 0; len < good.signature_len; len++) {
		struct evidence ev = good;

		ev.signature_len = len;
		g_assert_cmpint(verify(&ev, NULL, NULL), <, 0);
	}
}

/* S1-01: an unknown AK. */
static void test_other_ak(void)
{
	struct evidence ev = {0};
	struct kerr err = {0};
	struct softtpm other;

	softtpm_init(&other, 1);
	other.pcrs = tpm.pcrs;
	other.info = tpm.info;
	softtpm_quote(&other, qualifying, NULL, &ev);
	g_assert_cmpint(verify(&ev, NULL, &err), ==, -EKEYREJECTED);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_QUOTE);
	g_assert_nonnull(strstr(err.text, "not signed by"));
}

/* -- B3 -- */

static void a_fixed_tpm(TPMT_PUBLIC *p)
{
	p->objectAttributes &= ~TPMA_OBJECT_FIXEDTPM;
}
static void a_fixed_parent(TPMT_PUBLIC *p)
{
	p->objectAttributes &= ~TPMA_OBJECT_FIXEDPARENT;
}
static void a_origin(TPMT_PUBLIC *p)
{
	p->objectAttributes &= ~TPMA_OBJECT_SENSITIVEDATAORIGIN;
}
static void a_auth(TPMT_PUBLIC *p)
{
	p->objectAttributes &= ~TPMA_OBJECT_USERWITHAUTH;
}
static void a_restricted(TPMT_PUBLIC *p)
{
	p->objectAttributes &= ~TPMA_OBJECT_RESTRICTED;
}
static void a_sign(TPMT_PUBLIC *p)
{
	p->objectAttributes &= ~TPMA_OBJECT_SIGN_ENCRYPT;
}
static void a_decrypt(TPMT_PUBLIC *p)
{
	p->objectAttributes |= TPMA_OBJECT_DECRYPT;
}
static void a_name_alg(TPMT_PUBLIC *p)
{
	p->nameAlg = TPM2_ALG_SHA1;
}
static void a_curve(TPMT_PUBLIC *p)
{
	p->parameters.eccDetail.curveID = TPM2_ECC_NIST_P384;
}
static void a_scheme_null(TPMT_PUBLIC *p)
{
	p->parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
}
static void a_scheme_hash(TPMT_PUBLIC *p)
{
	p->parameters.eccDetail.scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA1;
}
static void a_type(TPMT_PUBLIC *p)
{
	p->type = TPM2_ALG_RSA;
	memset(&p->parameters, 0, sizeof(p->parameters));
	p->parameters.rsaDetail.symmetric.algorithm = TPM2_ALG_NULL;
	p->parameters.rsaDetail.scheme.scheme = TPM2_ALG_NULL;
	p->parameters.rsaDetail.keyBits = 2048;
	memset(&p->unique, 0, sizeof(p->unique));
	p->unique.rsa.size = 256;
}

static const struct {
	const char *name;
	void (*change)(TPMT_PUBLIC *area);
	const char *word;
} ak_cases[] = {
	{"fixedTPM", a_fixed_tpm, "attribute fixedTPM"},
	{"fixedParent", a_fixed_parent, "attribute fixedParent"},
	{"sensitiveDataOrigin", a_origin, "attribute sensitiveDataOrigin"},
	{"userWithAuth", a_auth, "attribute userWithAuth"},
	{"restricted", a_restricted, "attribute restricted"},
	{"sign", a_sign, "attribute sign"},
	{"decrypt", a_decrypt, "decrypt"},
	{"name algorithm", a_name_alg, "SHA-256 name"},
	{"curve", a_curve, "P-256"},
	{"no scheme", a_scheme_null, "ECDSA"},
	{"scheme hash", a_scheme_hash, "ECDSA"},
	{"RSA", a_type, "not an ECC key"},
};

/* Each is refused by the check of the key and, with a genuine signature, by quote_verify(). */
static void test_ak_attributes(void)
{
	struct evidence ev = {0};
	struct kerr err = {0};

	softtpm_quote(&tpm, qualifying, NULL, &ev);
	g_assert_cmpint(quote_ak_check(tpm.ak_public, tpm.ak_public_len, &err), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(ak_cases); i++) {
		uint8_t public[TPM_PUBLIC_MAX];
		struct quote_expect expect = {
			.ak_public = public,
			.ak_public_len = softtpm_ak_public(&tpm, ak_cases[i].change, public),
			.qualifying = qualifying,
			.pcrs = &ev.pcrs,
		};

		g_test_message("%s", ak_cases[i].name);
		kerr_clear(&err);
		g_assert_cmpint(quote_ak_check(public, expect.ak_public_len, &err), <, 0);
		g_assert_cmpint(err.code, ==, KCODE_ATTEST_QUOTE);
		g_assert_nonnull(strstr(err.text, ak_cases[i].word));
		g_assert_cmpint(quote_verify(&expect, ev.quote, ev.quote_len, ev.signature,
					     ev.signature_len, NULL, NULL),
				<, 0);
	}
}

static void test_ak_off_curve(void)
{
	struct evidence ev = {0};
	struct kerr err = {0};
	struct softtpm bent = tpm;
	struct quote_expect expect = {.qualifying = qualifying, .pcrs = &ev.pcrs};

	bent.ak.y[31] ^= 1;
	bent.ak_public_len = softtpm_ak_public(&bent, NULL, bent.ak_public);
	softtpm_quote(&tpm, qualifying, NULL, &ev);
	expect.ak_public = bent.ak_public;
	expect.ak_public_len = bent.ak_public_len;
	g_assert_cmpint(quote_verify(&expect, ev.quote, ev.quote_len, ev.signature,
				     ev.signature_len, NULL, &err),
			<, 0);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_QUOTE);
	g_assert_nonnull(strstr(err.text, "point of its curve"));
}

static void test_public_form(void)
{
	uint8_t public[TPM_PUBLIC_MAX + 1] = {0};
	uint8_t name[TPM_NAME_LEN], again[TPM_NAME_LEN];

	memcpy(public, tpm.ak_public, tpm.ak_public_len);
	g_assert_cmpint(quote_ak_name(public, tpm.ak_public_len, name), ==, 0);
	g_assert_cmpuint(name[0] << 8 | name[1], ==, TPM2_ALG_SHA256);
	for (size_t len = 0; len < tpm.ak_public_len; len++) {
		g_assert_cmpint(quote_ak_check(public, len, NULL), <, 0);
		g_assert_cmpint(quote_ak_name(public, len, again), <, 0);
	}
	g_assert_cmpint(quote_ak_check(public, tpm.ak_public_len + 1, NULL), <, 0);
	/* Two length fields that disagree are two views of one key (CVE-2022-1053). */
	public[1]++;
	g_assert_cmpint(quote_ak_check(public, tpm.ak_public_len, NULL), <, 0);
	g_assert_cmpint(quote_ak_check(public, tpm.ak_public_len + 1, NULL), <, 0);
}

static void test_ek(void)
{
	struct kerr err = {0};

	g_assert_cmpint(quote_ek_check(tpm.ek_public, tpm.ek_public_len, &err), ==, 0);
	g_assert_cmpint(quote_ek_check(tpm.ak_public, tpm.ak_public_len, &err), <, 0);
	g_assert_nonnull(strstr(err.text, "attribute decrypt"));
	kerr_clear(&err);
	g_assert_cmpint(quote_ek_check(tpm.ek_public, tpm.ek_public_len - 1, &err), <, 0);
	g_assert_cmpint(quote_ak_check(tpm.ek_public, tpm.ek_public_len, NULL), <, 0);
}

static void test_clock(void)
{
	struct quote_info before = tpm.info, now = tpm.info;
	struct kerr err = {0};

	now.clock++;
	g_assert_cmpint(quote_clock_check(&before, &now, true, &err), ==, 0);
	g_assert_cmpint(quote_clock_check(&now, &before, false, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_REPLAY);
	g_assert_true(quote_is_newer(&now, &before));
	g_assert_false(quote_is_newer(&before, &now) || quote_is_newer(&now, &now));
	kerr_clear(&err);
	now.restart_count++; /* slept */
	now.clock = before.clock + 1;
	g_assert_true(quote_is_newer(&now, &before));
	g_assert_cmpint(quote_clock_check(&before, &now, false, &err), ==, 0);
	g_assert_cmpint(quote_clock_check(&before, &now, true, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_PCR);
	kerr_clear(&err);
	now.reset_count++;
	now.restart_count = 0; /* rebooted */
	g_assert_cmpint(quote_clock_check(&before, &now, false, &err), ==, 0);
	g_assert_cmpint(quote_clock_check(&before, &now, true, &err), <, 0);
	kerr_clear(&err);
	/* A power cut cost it some minutes, and it says so; without a reset that is a lie. */
	now.clock = before.clock - 1;
	now.safe = 0;
	g_assert_cmpint(quote_clock_check(&before, &now, false, &err), ==, 0);
	g_assert_true(quote_is_newer(&now, &before));
	now.safe = 1;
	g_assert_cmpint(quote_clock_check(&before, &now, false, &err), <, 0);
	kerr_clear(&err);
	now.safe = 0;
	now.reset_count = before.reset_count;
	g_assert_cmpint(quote_clock_check(&before, &now, false, &err), <, 0);
	kerr_clear(&err);
	now = before;
	now.reset_count = before.reset_count - 1;
	g_assert_cmpint(quote_clock_check(&before, &now, false, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_REPLAY);
	now = before;
	now.signer[9] ^= 1;
	g_assert_cmpint(quote_clock_check(&before, &now, false, NULL), <, 0);
}

/* -- a real TPM 2.0 implementation -- */

static bool run(const char *dir, const char *const *argv)
{
	g_autofree char *tcti = g_strdup_printf("swtpm:path=%s/sock", dir), *out = NULL,
			*errors = NULL;
	g_auto(GStrv) env = g_environ_setenv(g_get_environ(), "TPM2TOOLS_TCTI", tcti, TRUE);
	g_autoptr(GError) error = NULL;
	int status = -1;

	if (!g_spawn_sync(dir, (char **)argv, env, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &errors,
			  &status, &error) ||
	    !g_spawn_check_wait_status(status, NULL)) {
		g_test_message("%s: %s%s", argv[0], error ? error->message : "", errors);
		return false;
	}
	return true;
}

static GPid swtpm_start(const char *dir)
{
	g_autofree char *state = g_strdup_printf("dir=%s", dir);
	g_autofree char *server = g_strdup_printf("type=unixio,path=%s/sock", dir);
	g_autofree char *ctrl = g_strdup_printf("type=unixio,path=%s/sock.ctrl", dir);
	g_autofree char *sock = g_strdup_printf("%s/sock.ctrl", dir);
	const char *argv[] = {"swtpm",
			      "socket",
			      "--tpm2",
			      "--tpmstate",
			      state,
			      "--server",
			      server,
			      "--ctrl",
			      ctrl,
			      "--flags",
			      "not-need-init,startup-clear",
			      NULL};
	GPid pid = 0;

	if (!g_spawn_async(dir, (char **)argv, NULL,
			   G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
				   G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
			   NULL, NULL, &pid, NULL))
		return 0;
	for (int i = 0; i < 100 && !g_file_test(sock, G_FILE_TEST_EXISTS); i++)
		g_usleep(50000);
	return pid;
}

static size_t load(const char *dir, const char *name, uint8_t *ret, size_t size)
{
	g_autofree char *path = g_build_filename(dir, name, NULL), *data = NULL;
	size_t len = 0;

	if (!g_file_get_contents(path, &data, &len, NULL) || len > size) {
		g_test_message("%s: missing or too large", name);
		g_test_fail();
		return 0;
	}
	memcpy(ret, data, len);
	return len;
}

static bool swtpm_quote(const char *dir)
{
	char hex[2 * HASH_LEN + 1];
	const char *extend[] = {
		"tpm2_pcrextend",
		"4:sha256=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", NULL};
	const char *ek[] = {"tpm2_createek", "-c", "ek.ctx", "-G", "ecc", "-u", "ek.pub", NULL};
	const char *ak[] = {"tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", "-G", "ecc",     "-g",
			    "sha256",	     "-s", "ecdsa",  "-u", "ak.pub", "-n", "ak.name", NULL};
	const char *rsa[] = {"tpm2_createek", "-c", "rsa.ctx", "-G", "rsa", "-u", "rsa.pub", NULL};
	const char *flush[] = {"tpm2_flushcontext", "-t", NULL};
	const char *quote[] = {"tpm2_quote", "-c", "ak.ctx", "-l", "sha256:0,4", "-q",
			       hex,	     "-m", "quote",  "-s", "sig",	 "-o",
			       "pcrs",	     "-F", "values", NULL};

	hex_encode(qualifying, HASH_LEN, hex);
	return run(dir, extend) && run(dir, rsa) && run(dir, flush) && run(dir, ek) &&
	       run(dir, flush) && run(dir, ak) && run(dir, flush) && run(dir, quote);
}

static void swtpm_check(const char *dir)
{
	uint8_t values[2 * HASH_LEN], name[TPM_NAME_LEN], want[TPM_NAME_LEN];
	uint8_t ak[TPM_PUBLIC_MAX], ek[TPM_PUBLIC_MAX];
	struct evidence ev = {.pcrs = {.mask = 1u << 0 | 1u << 4}};
	struct quote_expect expect = {.ak_public = ak, .qualifying = qualifying, .pcrs = &ev.pcrs};
	struct quote_info info = {0};
	struct kerr err = {0};
	size_t ek_len = load(dir, "ek.pub", ek, sizeof(ek));

	expect.ak_public_len = load(dir, "ak.pub", ak, sizeof(ak));
	ev.quote_len = load(dir, "quote", ev.quote, sizeof(ev.quote));
	ev.signature_len = load(dir, "sig", ev.signature, sizeof(ev.signature));
	g_assert_cmpuint(load(dir, "pcrs", values, sizeof(values)), ==, sizeof(values));
	memcpy(ev.pcrs.values[0], values, HASH_LEN);
	memcpy(ev.pcrs.values[4], values + HASH_LEN, HASH_LEN);
	g_assert_cmpint(quote_verify(&expect, ev.quote, ev.quote_len, ev.signature,
				     ev.signature_len, &info, &err),
			==, 0);
	g_assert_cmpstr(err.text, ==, "");
	g_assert_cmpuint(info.clock, >, 0);
	g_assert_cmpint(quote_ek_check(ek, ek_len, &err), ==, 0);
	ek_len = load(dir, "rsa.pub", ek, sizeof(ek));
	g_assert_cmpint(quote_ek_check(ek, ek_len, &err), ==, 0);
	g_assert_cmpint(quote_ak_check(ek, ek_len, NULL), <, 0);
	g_assert_cmpint(quote_ak_name(ak, expect.ak_public_len, name), ==, 0);
	g_assert_cmpuint(load(dir, "ak.name", want, sizeof(want)), ==, TPM_NAME_LEN);
	g_assert_cmpmem(name, TPM_NAME_LEN, want, TPM_NAME_LEN);
	/* PCR 0 of a TPM without firmware was never extended: genuine, yet refused (B8). */
	g_assert_cmpint(
		evidence_verify(&ev, ak, expect.ak_public_len, qualifying, 1u << 4, NULL, &err), ==,
		0);
	g_assert_cmpint(
		evidence_verify(&ev, ak, expect.ak_public_len, qualifying, 1u << 0, NULL, &err), <,
		0);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_PCR);
	/* And the twin: another nonce. */
	qualifying[0] ^= 1;
	kerr_clear(&err);
	g_assert_cmpint(quote_verify(&expect, ev.quote, ev.quote_len, ev.signature,
				     ev.signature_len, NULL, &err),
			<, 0);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_BINDING);
	qualifying[0] ^= 1;
}

static void dir_remove(const char *dir)
{
	GDir *d = g_dir_open(dir, 0, NULL);
	const char *name;

	while (d && (name = g_dir_read_name(d))) {
		g_autofree char *path = g_build_filename(dir, name, NULL);

		g_unlink(path);
	}
	if (d)
		g_dir_close(d);
	g_rmdir(dir);
}

static void test_swtpm(void)
{
	g_autofree char *swtpm = g_find_program_in_path("swtpm");
	g_autofree char *tools = g_find_program_in_path("tpm2_quote");
	g_autofree char *dir = NULL;
	GPid pid;

	if (!swtpm || !tools) {
		g_test_skip("swtpm or tpm2-tools is not installed");
		return;
	}
	dir = g_dir_make_tmp("kith-quote-XXXXXX", NULL);
	g_assert_nonnull(dir);
	pid = swtpm_start(dir);
	g_assert_cmpint(pid, >, 0);
	if (pid > 0 && swtpm_quote(dir))
		swtpm_check(dir);
	else
		g_test_fail();
	if (pid > 0) {
		kill(pid, SIGTERM);
		waitpid(pid, NULL, 0);
	}
	dir_remove(dir);
}

int main(int argc, char **argv)
{
	g_setenv("TSS2_LOG", "all+NONE", TRUE); /* mutants are refused loudly otherwise */
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0)
		return 1;
	softtpm_init(&tpm, 9);
	memset(qualifying, 0x5a, sizeof(qualifying));
	g_test_add_func("/quote/genuine", test_genuine);
	g_test_add_func("/quote/B4 one mutant per field", test_mutants);
	g_test_add_func("/quote/B4 every bit", test_every_bit);
	g_test_add_func("/quote/B4 cut anywhere", test_cut_anywhere);
	g_test_add_func("/quote/B4 B6 B9 clock and counters", test_clock);
	g_test_add_func("/quote/B3 attributes of the attestation key", test_ak_attributes);
	g_test_add_func("/quote/B3 key off its curve", test_ak_off_curve);
	g_test_add_func("/quote/B3 form of public areas", test_public_form);
	g_test_add_func("/quote/B3 endorsement key", test_ek);
	g_test_add_func("/quote/S1-01 unknown attestation key", test_other_ak);
	g_test_add_func("/quote/S1-01 swtpm", test_swtpm);
	return g_test_run();
}
