/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence: codec, binding (B1), degenerate PCRs (B8), and a verdict that fails closed (B12). */
#include <glib.h>
#include <openssl/crypto.h>

#include "attest/evidence.h"
#include "tests/unit/golden.h"
#include "tests/unit/softtpm.h"

static struct softtpm tpm;
static struct evidence_binding binding;

/* -- OpenSSL allocations that fail on demand -- */

static long fail_after = -1; /* -1: never */
static bool fail_persists;   /* one failure, or all from there on */
static bool failed;

static bool fails_now(void)
{
	if (fail_after < 0 || fail_after-- > 0)
		return false;
	failed = true;
	fail_after = fail_persists ? 0 : -1;
	return true;
}

static void *test_malloc(size_t len, _unused_ const char *file, _unused_ int line)
{
	return fails_now() ? NULL : malloc(len);
}

static void *test_realloc(void *p, size_t len, _unused_ const char *file, _unused_ int line)
{
	return fails_now() ? NULL : realloc(p, len);
}

static void test_free(void *p, _unused_ const char *file, _unused_ int line)
{
	free(p);
}

/* -- helpers -- */

static void evidence_make(struct evidence *ev)
{
	memset(ev, 0, sizeof(*ev));
	softtpm_evidence(&tpm, &binding, ev);
}

static enum verdict judge_as(const struct evidence *ev, const struct evidence_binding *b,
			     const struct pcr_set *reference, struct kerr *err)
{
	uint8_t qualifying[HASH_LEN];

	kerr_clear(err);
	evidence_qualifying(b, ev, qualifying);
	return evidence_judge(ev, tpm.ak_public, tpm.ak_public_len, qualifying, reference, NULL,
			      err);
}

static void test_trusted(void)
{
	struct evidence ev;
	struct quote_info info = {0};
	struct kerr err = {0};
	uint8_t qualifying[HASH_LEN];

	evidence_make(&ev);
	g_assert_cmpint(judge_as(&ev, &binding, &tpm.pcrs, &err), ==, VERDICT_TRUSTED);
	g_assert_cmpint(err.code, ==, KCODE_OK);
	evidence_qualifying(&binding, &ev, qualifying);
	evidence_judge(&ev, tpm.ak_public, tpm.ak_public_len, qualifying, &tpm.pcrs, &info, &err);
	g_assert_cmpuint(info.reset_count, ==, tpm.info.reset_count);
}

static struct evidence_binding binding_changed(size_t at)
{
	struct evidence_binding b = binding;

	switch (at) {
	case 0:
		b.role = EVIDENCE_ROLE_DESTINATION;
		break;
	case 1:
		b.exporter[0] ^= 1;
		break;
	case 2:
		b.source[31] ^= 1;
		break;
	case 3:
		b.destination[5] ^= 1;
		break;
	case 4:
		b.nonce_source[7] ^= 1;
		break;
	case 5:
		b.nonce_destination[7] ^= 1;
		break;
	case 6:
		b.eph_source[0] ^= 1;
		break;
	case 7:
		b.eph_destination[31] ^= 1;
		break;
	case 8:
		b.hid[15] ^= 1;
		break;
	case 9: /* the same bytes, the other way round */
		memcpy(b.source, binding.destination, sizeof(b.source));
		memcpy(b.destination, binding.source, sizeof(b.source));
		break;
	case 10:
		memcpy(b.nonce_source, binding.nonce_destination, sizeof(b.nonce_source));
		memcpy(b.nonce_destination, binding.nonce_source, sizeof(b.nonce_source));
		break;
	case 11:
		b.role = EVIDENCE_ROLE_PAIRING_INITIATOR;
		break;
	}
	return b;
}

static void test_binding(void)
{
	struct evidence ev;
	struct kerr err = {0};

	evidence_make(&ev);
	for (size_t i = 0; i < 12; i++) {
		struct evidence_binding other = binding_changed(i);

		g_test_message("field %zu", i);
		g_assert_cmpint(judge_as(&ev, &other, &tpm.pcrs, &err), ==, VERDICT_UNTRUSTED);
		g_assert_cmpint(err.code, ==, KCODE_ATTEST_BINDING);
	}
}

/* Versions and logs are vouched for by the quote as well (S1-02). */
static void test_contents_bound(void)
{
	struct evidence ev;
	struct kerr err = {0};

	evidence_make(&ev);
	ev.versions[strlen(ev.versions) - 1] = '9';
	g_assert_cmpint(judge_as(&ev, &binding, &tpm.pcrs, &err), ==, VERDICT_UNTRUSTED);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_BINDING);
	evidence_make(&ev);
	ev.event_log = (const uint8_t *)"x";
	ev.event_log_len = 1;
	g_assert_cmpint(judge_as(&ev, &binding, &tpm.pcrs, &err), ==, VERDICT_UNTRUSTED);
	ev.ima_log = ev.event_log;
	ev.ima_log_len = 1;
	ev.event_log = NULL;
	ev.event_log_len = 0;
	g_assert_cmpint(judge_as(&ev, &binding, &tpm.pcrs, &err), ==, VERDICT_UNTRUSTED);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_BINDING);
}

static void test_pcr(void)
{
	struct pcr_set reference = tpm.pcrs;
	struct evidence ev;
	struct kerr err = {0};

	evidence_make(&ev);
	reference.values[4][31] ^= 1;
	g_assert_cmpint(judge_as(&ev, &binding, &reference, &err), ==, VERDICT_UNTRUSTED);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_PCR);
	g_assert_cmpstr(err.text, ==,
			"That device does not run what its owner accepted. Changed: the boot "
			"loader or kernel (PCR 4).");
	reference.values[7][0] ^= 1;
	judge_as(&ev, &binding, &reference, &err);
	g_assert_nonnull(strstr(err.text, "kernel (PCR 4) and the Secure Boot policy (PCR 7)."));
	reference.values[0][0] ^= 1;
	judge_as(&ev, &binding, &reference, &err);
	g_assert_nonnull(strstr(err.text, "the firmware (PCR 0), the boot loader or kernel"));
	/* A PCR that is not asked for may differ; one that is asked for must be there. */
	reference = tpm.pcrs;
	reference.mask = 1u << 0;
	reference.values[4][0] ^= 1;
	g_assert_cmpint(judge_as(&ev, &binding, &reference, &err), ==, VERDICT_TRUSTED);
	reference = tpm.pcrs;
	reference.mask |= 1u << 10;
	g_assert_cmpint(judge_as(&ev, &binding, &reference, &err), ==, VERDICT_UNTRUSTED);
	g_assert_cmpint(err.code, ==,
			KCODE_ATTEST_QUOTE); /* H1: nothing that an owner may accept */
	g_assert_nonnull(strstr(err.text, "does not report the programs that ran (PCR 10)"));
	for (unsigned i = 0; i < PCR_COUNT; i++)
		g_assert_cmpuint(strlen(pcr_meaning(i)), >, 8);
	g_assert_nonnull(pcr_meaning(1000));
}

/* All changed at once still is a terminated sentence. */
static void test_pcr_all(void)
{
	struct softtpm full = tpm;
	struct pcr_set reference;
	struct evidence ev = {0};
	struct kerr err = {0};

	full.pcrs.mask = ((1u << PCR_COUNT) - 1) & ~(1u << 16 | 1u << 23);
	for (unsigned i = 0; i < PCR_COUNT; i++)
		full.pcrs.values[i][3] = 0x77;
	reference = full.pcrs;
	for (unsigned i = 0; i < PCR_COUNT; i++)
		reference.values[i][0] ^= 1;
	softtpm_evidence(&full, &binding, &ev);
	g_assert_cmpint(judge_as(&ev, &binding, &reference, &err), ==, VERDICT_UNTRUSTED);
	g_assert_cmpuint(strlen(err.text), <, KERR_TEXT_MAX);
	g_assert_cmpuint(strlen(err.text), >, 300);
}

/* B8, S1-19: all-zero and all-ones required PCRs, even where the reference says the same. */
static void test_degenerate(void)
{
	static const uint8_t fill[] = {0x00, 0xff};

	for (size_t i = 0; i < G_N_ELEMENTS(fill); i++) {
		struct softtpm bare = tpm;
		struct evidence ev = {0};
		struct kerr err = {0};

		memset(bare.pcrs.values[7], fill[i], HASH_LEN);
		softtpm_evidence(&bare, &binding, &ev);
		g_assert_cmpint(judge_as(&ev, &binding, &bare.pcrs, &err), ==, VERDICT_UNTRUSTED);
		g_assert_cmpint(err.code, ==, KCODE_ATTEST_PCR);
		g_assert_nonnull(strstr(err.text, "Secure Boot policy (PCR 7)"));
		/* The twin: one bit of difference is a measurement. */
		bare.pcrs.values[7][31] ^= 1;
		softtpm_evidence(&bare, &binding, &ev);
		g_assert_cmpint(judge_as(&ev, &binding, &bare.pcrs, &err), ==, VERDICT_TRUSTED);
	}
}

/* B9, B12: a reference that proves nothing gives no verdict. */
static void test_reference_useless(void)
{
	struct pcr_set reference = {0};
	struct evidence ev;
	struct kerr err = {0};

	evidence_make(&ev);
	g_assert_cmpint(judge_as(&ev, &binding, &reference, &err), ==, VERDICT_UNKNOWN);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_ERROR);
	reference = tpm.pcrs;
	reference.mask |= 1u << 16;
	g_assert_cmpint(judge_as(&ev, &binding, &reference, &err), ==, VERDICT_UNKNOWN);
	reference.mask = tpm.pcrs.mask | 1u << 23;
	g_assert_cmpint(judge_as(&ev, &binding, &reference, &err), ==, VERDICT_UNKNOWN);
	reference.mask = tpm.pcrs.mask | 1u << 24;
	g_assert_cmpint(judge_as(&ev, &binding, &reference, &err), ==, VERDICT_UNKNOWN);
}

static enum verdict judge_failing(const struct evidence *ev, long nth, bool persists)
{
	struct kerr err = {0};
	enum verdict v;

	failed = false;
	fail_persists = persists;
	fail_after = nth;
	v = judge_as(ev, &binding, &tpm.pcrs, &err);
	fail_after = -1;
	g_assert_true((v == VERDICT_TRUSTED) == (err.code == KCODE_OK));
	g_assert_true((v == VERDICT_UNKNOWN) == (err.code == KCODE_ATTEST_ERROR));
	return v;
}

/* B12 (CVE-2022-3500): the verifier's nth allocation fails, alone or with all that follow. Good
 * evidence is then unknown or still trusted, never untrusted (that is sticky); bad evidence is
 * never trusted. */
static void test_fault_injection(void)
{
	unsigned unknown = 0, trusted = 0;
	struct evidence good, bad;

	evidence_make(&good);
	evidence_make(&bad);
	bad.signature[20] ^= 1;
	for (long n = 0; n < 5000; n++) {
		enum verdict once = judge_failing(&good, n, false);
		bool reached = failed;
		enum verdict from_there = judge_failing(&good, n, true);

		if (!reached) { /* all were tried */
			g_assert_cmpint(once, ==, VERDICT_TRUSTED);
			break;
		}
		g_assert_cmpint(once, !=, VERDICT_UNTRUSTED);
		g_assert_cmpint(from_there, !=, VERDICT_UNTRUSTED);
		g_assert_cmpint(judge_failing(&bad, n, false), !=, VERDICT_TRUSTED);
		g_assert_cmpint(judge_failing(&bad, n, true), !=, VERDICT_TRUSTED);
		unknown += (once == VERDICT_UNKNOWN) + (from_there == VERDICT_UNKNOWN);
		trusted += (once == VERDICT_TRUSTED) + (from_there == VERDICT_TRUSTED);
	}
	g_test_message("%u faults gave unknown, %u were survived", unknown, trusted);
	g_assert_cmpuint(unknown, >, 10);
}

/* -- codec -- */

static size_t encode(const struct evidence *ev, uint8_t *ret, size_t size)
{
	struct wbuf w = wbuf_init(ret, size);

	return evidence_put(&w, ev) < 0 ? 0 : w.len;
}

static void test_codec(void)
{
	uint8_t bytes[EVIDENCE_MAX], again[EVIDENCE_MAX];
	struct evidence back = {0};
	struct evidence ev;
	struct rbuf r;
	size_t len;

	evidence_make(&ev);
	ev.event_log = (const uint8_t *)"event log";
	ev.event_log_len = 9;
	len = encode(&ev, bytes, sizeof(bytes));
	g_assert_cmpuint(len, >, 300);
	r = rbuf_init(bytes, len);
	g_assert_cmpint(evidence_get(&r, &back), ==, 0);
	g_assert_cmpuint(back.pcrs.mask, ==, SOFTTPM_PCRS);
	g_assert_cmpmem(back.event_log, (int)back.event_log_len, "event log", 9);
	g_assert_cmpuint(back.ima_log_len, ==, 0);
	g_assert_cmpuint(encode(&back, again, sizeof(again)), ==, len);
	g_assert_cmpmem(bytes, (int)len, again, (int)len);
	for (size_t cut = 0; cut < len; cut++) {
		struct evidence untouched = {.quote_len = 77};

		r = rbuf_init(bytes, cut);
		g_assert_cmpint(evidence_get(&r, &untouched), ==, -EBADMSG);
		g_assert_cmpuint(untouched.quote_len, ==, 77);
	}
}

/* Both are signed or stored: the bytes may not change. */
static void test_golden(void)
{
	const struct evidence_binding of = {
		.role = EVIDENCE_ROLE_PAIRING_RESPONDER,
		.exporter = {[0 ... 31] = 1},
		.source = {[0 ... 31] = 2},
		.destination = {[0 ... 31] = 3},
		.nonce_source = {[0 ... ATTEST_NONCE_LEN - 1] = 4},
		.nonce_destination = {[0 ... ATTEST_NONCE_LEN - 1] = 5},
		.eph_source = {[0 ... 31] = 6},
		.eph_destination = {[0 ... 31] = 7},
		.hid = {[0 ... HID_LEN - 1] = 8},
	};
	uint8_t bytes[1024], again[1024], want[HASH_LEN], got[HASH_LEN];
	struct evidence ev = {0};
	size_t len = golden_read("evidence.txt", "evidence", bytes, sizeof(bytes));
	struct rbuf r = rbuf_init(bytes, len);

	g_assert_cmpint(evidence_get(&r, &ev), ==, 0);
	g_assert_cmpmem(ev.quote, (int)ev.quote_len, "\x11\x12\x13", 3);
	g_assert_cmpmem(ev.signature, (int)ev.signature_len, "\x21\x22", 2);
	g_assert_cmphex(ev.pcrs.mask, ==, 1u << 4 | 1u << 23);
	g_assert_true(ev.pcrs.values[4][31] == 0x34 && ev.pcrs.values[23][0] == 0x3a);
	g_assert_cmpstr(ev.versions, ==, "kernel=6.1\nqemu=7.2");
	g_assert_cmpmem(ev.event_log, (int)ev.event_log_len, "QRST", 4);
	g_assert_cmpuint(ev.ima_log_len, ==, 0);
	g_assert_cmpuint(encode(&ev, again, sizeof(again)), ==, len);
	g_assert_cmpmem(again, (int)len, bytes, (int)len);
	golden_read("evidence.txt", "qualifying", want, sizeof(want));
	evidence_qualifying(&of, &ev, got);
	g_assert_cmpmem(got, HASH_LEN, want, HASH_LEN);
}

/* B13: nothing larger than the limit is made or taken. */
static void test_limits(void)
{
	static uint8_t bytes[2 * EVIDENCE_MAX], log[EVIDENCE_MAX];
	struct evidence ev, back = {0};
	struct wbuf w = wbuf_init(bytes, sizeof(bytes));
	struct rbuf r;
	size_t room;

	evidence_make(&ev);
	room = EVIDENCE_MAX - encode(&ev, bytes, sizeof(bytes));
	ev.event_log = log;
	ev.event_log_len = room + 1;
	g_assert_cmpint(evidence_put(&w, &ev), ==, -EMSGSIZE);
	ev.event_log_len = room;
	w = wbuf_init(bytes, sizeof(bytes));
	g_assert_cmpint(evidence_put(&w, &ev), ==, 0);
	g_assert_cmpuint(w.len, ==, EVIDENCE_MAX);
	r = rbuf_init(bytes, w.len + 1);
	g_assert_cmpint(evidence_get(&r, &back), ==, -EBADMSG);
	r = rbuf_init(bytes, w.len);
	g_assert_cmpint(evidence_get(&r, &back), ==, 0);
}

/* What a verifier would not read is not sent. */
static void test_not_written(void)
{
	static const char *const versions[] = {"kernel", "a=1\na=2", "a=\x01"};
	uint8_t bytes[4096];
	struct evidence good, ev;

	evidence_make(&good);
	g_assert_cmpuint(encode(&good, bytes, sizeof(bytes)), >, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(versions); i++) {
		ev = good;
		g_strlcpy(ev.versions, versions[i], sizeof(ev.versions));
		g_assert_cmpuint(encode(&ev, bytes, sizeof(bytes)), ==, 0);
	}
	ev = good;
	ev.quote_len = 0;
	g_assert_cmpuint(encode(&ev, bytes, sizeof(bytes)), ==, 0);
	ev.quote_len = sizeof(ev.quote) + 1;
	g_assert_cmpuint(encode(&ev, bytes, sizeof(bytes)), ==, 0);
	ev = good;
	ev.signature_len = 0;
	g_assert_cmpuint(encode(&ev, bytes, sizeof(bytes)), ==, 0);
	ev = good;
	ev.pcrs.mask = 1u << PCR_COUNT;
	g_assert_cmpuint(encode(&ev, bytes, sizeof(bytes)), ==, 0);
}

static void test_versions(void)
{
	static const char *const good[] = {"",	 "kernel=6.1", "a=1\nb=2",	    "a=1\n",
					   "a=", "a=b=c",      "libvirt-x=\xc3\xa9"};
	static const char *const bad[] = {"kernel", "=1",    "a=1\na=2",      "a=1\n\nb=2",
					  "A=1",    "a =1",  "a=1\nb=2\na=3", "a=\t",
					  "a=\x01", "a=\xff"};
	char long_text[EVIDENCE_VERSIONS_MAX + 2];

	for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
		g_assert_true(evidence_versions_valid(good[i]));
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_false(evidence_versions_valid(bad[i]));
	memset(long_text, 'a', sizeof(long_text));
	long_text[1] = '=';
	long_text[EVIDENCE_VERSIONS_MAX + 1] = '\0';
	g_assert_false(evidence_versions_valid(long_text));
	long_text[EVIDENCE_VERSIONS_MAX] = '\0';
	g_assert_true(evidence_versions_valid(long_text));
}

/* A refusal is never read as success, and hostile or cut text stays text. */
static void test_refusal(void)
{
	uint8_t bytes[1024];
	struct kerr out = {.code = KCODE_POLICY}, in = {0};
	struct wbuf w = wbuf_init(bytes, sizeof(bytes));
	struct rbuf r;

	/* The longest one: behind "says:" it is cut, inside a character. */
	memset(out.text, 'x', KERR_TEXT_MAX - 1);
	for (size_t i = 101; i + 2 < KERR_TEXT_MAX; i += 2)
		memcpy(out.text + i, "ü", 2);
	kerr_put(&w, &out);
	g_assert_cmpint(wbuf_error(&w), ==, 0);
	r = rbuf_init(bytes, w.len);
	g_assert_cmpint(refusal_get(&r, &in), <, 0);
	g_assert_cmpint(in.code, ==, KCODE_POLICY);
	g_assert_true(g_str_has_prefix(in.text, "The other device refused and says: xxx"));
	g_assert_true(text_is_clean(in.text));
	w = wbuf_init(bytes, sizeof(bytes));
	out = (struct kerr){.code = KCODE_OK};
	kerr_put(&w, &out);
	kerr_clear(&in);
	r = rbuf_init(bytes, w.len);
	g_assert_cmpint(refusal_get(&r, &in), <, 0);
	g_assert_cmpint(in.code, ==, KCODE_BAD_MESSAGE);
	kerr_clear(&in);
	r = rbuf_init(bytes, 1);
	g_assert_cmpint(refusal_get(&r, &in), <, 0);
	g_assert_cmpint(in.code, ==, KCODE_BAD_MESSAGE);
}

int main(int argc, char **argv)
{
	bool injectable = CRYPTO_set_mem_functions(test_malloc, test_realloc, test_free) == 1;

	g_setenv("TSS2_LOG", "all+NONE", TRUE);
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0 || !injectable)
		return 1;
	softtpm_init(&tpm, 3);
	randombytes_buf(&binding, sizeof(binding));
	binding.role = EVIDENCE_ROLE_SOURCE;
	g_test_add_func("/evidence/trusted", test_trusted);
	g_test_add_func("/evidence/B1 every field of the binding", test_binding);
	g_test_add_func("/evidence/S1-02 versions and logs are bound", test_contents_bound);
	g_test_add_func("/evidence/changed PCRs in words", test_pcr);
	g_test_add_func("/evidence/all PCRs changed", test_pcr_all);
	g_test_add_func("/evidence/B8 S1-19 zero and ones", test_degenerate);
	g_test_add_func("/evidence/B9 B12 useless references", test_reference_useless);
	g_test_add_func("/evidence/B12 fault injection", test_fault_injection);
	g_test_add_func("/evidence/codec", test_codec);
	g_test_add_func("/evidence/what nobody reads is not written", test_not_written);
	g_test_add_func("/evidence/bytes as first written", test_golden);
	g_test_add_func("/evidence/B13 limits", test_limits);
	g_test_add_func("/evidence/versions", test_versions);
	g_test_add_func("/evidence/B12 refusals", test_refusal);
	return g_test_run();
}
