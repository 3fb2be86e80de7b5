/* SPDX-License-Identifier: Apache-2.0 */
/* The attested exchange of a hand-off: relays, replays, swaps, tampering, refusals (B1, B2, B6). */
#include <glib.h>

#include "attest/session.h"
#include "tests/unit/softtpm.h"

#define START_MS 5000

/* One end: a device with its TPM, and what it knows of the other. */
struct end {
	struct softtpm tpm; /* first: softtpm_op_quote() */
	uint8_t id[DEVICE_ID_LEN];
	const struct softtpm *peer; /* pinned AK, accepted PCRs */
	struct session *session;
	bool seen;
	enum verdict verdict_forced;
	bool force_verdict;
	enum kcode accept_code;
	unsigned offers, accepts;
	char got[64];

	enum conversation_state state;
	uint8_t out[ATTEST_BLOB_MAX];
	size_t len;
	struct kerr err;
};

static struct end source, destination;
static uint8_t exporter[EXPORTER_LEN], hid[HID_LEN];

static enum verdict op_judge(void *ctx, const struct evidence *peer,
			     const uint8_t qualifying[HASH_LEN], struct kerr *err)
{
	struct end *e = ctx;

	if (e->force_verdict)
		return e->verdict_forced;
	return evidence_judge(peer, e->peer->ak_public, e->peer->ak_public_len, qualifying,
			      &e->peer->pcrs, NULL, err);
}

static bool op_seen(void *ctx, _unused_ const uint8_t *id,
		    _unused_ const uint8_t nonce[ATTEST_NONCE_LEN])
{
	return ((struct end *)ctx)->seen;
}

static int op_offer(void *ctx, struct wbuf *w, _unused_ struct kerr *err)
{
	((struct end *)ctx)->offers++;
	wbuf_string(w, "offer of a guest, epoch 7");
	return 0;
}

static int op_accept(void *ctx, const uint8_t *offer, size_t len, struct kerr *err)
{
	struct end *e = ctx;
	struct rbuf r = rbuf_init(offer, len);

	e->accepts++;
	rbuf_string(&r, e->got, sizeof(e->got));
	if (e->accept_code)
		return kerr_set(err, EACCES, e->accept_code, "This guest may not come here.");
	return rbuf_end(&r);
}

static const struct session_ops ops = {
	.quote = softtpm_op_quote,
	.judge = op_judge,
	.seen = op_seen,
	.offer = op_offer,
	.accept = op_accept,
};

static void end_open(struct end *e, bool is_source, const struct end *peer, const uint8_t *channel)
{
	struct session_config config = {.source = is_source};

	memcpy(config.hid, hid, sizeof(hid));
	memcpy(config.exporter, channel, EXPORTER_LEN);
	memcpy(config.own, e->id, sizeof(e->id));
	memcpy(config.peer, peer->id, sizeof(peer->id));
	e->session = session_free(e->session);
	e->peer = &peer->tpm;
	e->offers = e->accepts = e->tpm.quotes = 0;
	e->len = 0;
	kerr_clear(&e->err);
	g_assert_cmpint(session_new(&config, &ops, e, START_MS, &e->session), ==, 0);
}

static void open_both(void)
{
	end_open(&source, true, &destination, exporter);
	end_open(&destination, false, &source, exporter);
}

static void start(void)
{
	struct wbuf w = wbuf_init(source.out, sizeof(source.out));

	source.state = session_start(source.session, &w, &source.err);
	source.len = w.len;
}

/* `to` reads what `from` last sent. */
static void deliver_on(struct end *to, const struct end *from, const uint8_t *channel, uint64_t now)
{
	struct wbuf w = wbuf_init(to->out, sizeof(to->out));

	to->state = session_step(to->session, from->id, channel, from->out, from->len, now, &w,
				 &to->err);
	to->len = w.len;
}

static void deliver(struct end *to, const struct end *from)
{
	deliver_on(to, from, exporter, START_MS + 10);
}

static void assert_refused(const struct end *e, enum kcode code)
{
	struct secret key = SECRET_INIT;

	g_assert_cmpint(e->state, ==, CONVERSATION_REFUSED);
	g_assert_cmpstr(kcode_to_string(e->err.code), ==, kcode_to_string(code));
	g_assert_cmpint(session_data_key(e->session, &key), ==, -EACCES);
}

static void test_good(void)
{
	_cleanup_secret_ struct secret a = SECRET_INIT, b = SECRET_INIT;

	open_both();
	start();
	g_assert_cmpint(source.state, ==, CONVERSATION_SEND);
	deliver(&destination, &source);
	g_assert_cmpint(destination.state, ==, CONVERSATION_SEND);
	deliver(&source, &destination);
	g_assert_cmpint(source.state, ==, CONVERSATION_SEND);
	g_assert_cmpint(session_data_key(source.session, &a), ==, -EACCES);
	g_assert_null(memmem(source.out, source.len, "offer of a guest", 16)); /* sealed */
	g_assert_cmpint(session_data_key(destination.session, &b), ==, -EACCES);
	deliver(&destination, &source);
	g_assert_cmpint(destination.state, ==, CONVERSATION_DONE);
	g_assert_cmpstr(destination.got, ==, "offer of a guest, epoch 7");
	deliver(&source, &destination);
	g_assert_cmpint(source.state, ==, CONVERSATION_DONE);
	g_assert_cmpuint(source.len, ==, 0);
	g_assert_cmpint(session_data_key(source.session, &a), ==, 0);
	g_assert_cmpint(session_data_key(destination.session, &b), ==, 0);
	g_assert_cmpmem(a.data, SESSION_KEY_LEN, b.data, SESSION_KEY_LEN);
	g_assert_false(sodium_is_zero(a.data, a.len));
	/* A further message, even a late one, ends it. */
	deliver(&source, &destination);
	assert_refused(&source, KCODE_BAD_MESSAGE);
}

static void test_keys_differ(void)
{
	_cleanup_secret_ struct secret a = SECRET_INIT, b = SECRET_INIT;

	for (int i = 0; i < 2; i++) {
		open_both();
		start();
		deliver(&destination, &source);
		deliver(&source, &destination);
		deliver(&destination, &source);
		session_data_key(destination.session, i ? &b : &a);
	}
	g_assert_cmpuint(a.len, ==, SESSION_KEY_LEN);
	g_assert_cmpint(memcmp(a.data, b.data, SESSION_KEY_LEN), !=, 0);
}

/* B1: a man in the middle with a TLS leg to each side passes everything on. */
static void test_relay(void)
{
	uint8_t other[EXPORTER_LEN];

	memcpy(other, exporter, sizeof(other));
	other[0] ^= 1;
	end_open(&source, true, &destination, exporter);
	end_open(&destination, false, &source, other);
	start();
	deliver_on(&destination, &source, other, START_MS);
	g_assert_cmpint(destination.state, ==, CONVERSATION_SEND);
	deliver(&source, &destination);
	assert_refused(&source, KCODE_ATTEST_BINDING);
	g_assert_cmpuint(source.offers, ==, 0);
	g_assert_cmpuint(source.tpm.quotes, ==, 0);
	/* The other side hears the reason. */
	deliver_on(&destination, &source, other, START_MS);
	assert_refused(&destination, KCODE_ATTEST_BINDING);
	g_assert_cmpuint(destination.len, ==, 0);
	g_assert_nonnull(strstr(destination.err.text, "The other device refused and says"));
}

/* B1: the relay only bends the source's leg, so that the destination has to notice. */
static void test_relay_source(void)
{
	open_both();
	source.tpm.lies = true;
	source.tpm.lie = EVIDENCE_ROLE_DESTINATION;
	start();
	deliver(&destination, &source);
	deliver(&source, &destination);
	deliver(&destination, &source);
	source.tpm.lies = false;
	assert_refused(&destination, KCODE_ATTEST_BINDING);
	g_assert_cmpuint(destination.accepts, ==, 0);
}

static void test_role_swap(void)
{
	static const enum evidence_role wrong[] = {EVIDENCE_ROLE_SOURCE,
						   EVIDENCE_ROLE_PAIRING_INITIATOR,
						   EVIDENCE_ROLE_PAIRING_RESPONDER};

	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		open_both();
		destination.tpm.lies = true;
		destination.tpm.lie = wrong[i];
		start();
		deliver(&destination, &source);
		deliver(&source, &destination);
		destination.tpm.lies = false;
		assert_refused(&source, KCODE_ATTEST_BINDING);
	}
}

/* B1, S1-01: a genuine TPM, but not the paired one. */
static void test_cuckoo(void)
{
	static struct end cuckoo;

	softtpm_init(&cuckoo.tpm, 4);
	cuckoo.tpm.pcrs = destination.tpm.pcrs;
	memcpy(cuckoo.id, destination.id, sizeof(cuckoo.id));
	open_both();
	end_open(&cuckoo, false, &source, exporter);
	start();
	deliver(&cuckoo, &source);
	deliver(&source, &cuckoo);
	assert_refused(&source, KCODE_ATTEST_QUOTE);
	cuckoo.session = session_free(cuckoo.session);
}

/* B2: blob 2 of one exchange in the next one, on the same channel and for the same hand-off. */
static void test_replay(void)
{
	static uint8_t old[ATTEST_BLOB_MAX];
	size_t old_len;

	open_both();
	start();
	deliver(&destination, &source);
	memcpy(old, destination.out, old_len = destination.len);
	open_both();
	start();
	memcpy(destination.out, old, destination.len = old_len);
	deliver(&source, &destination);
	assert_refused(&source, KCODE_ATTEST_BINDING);
}

static void test_seen(void)
{
	open_both();
	start();
	destination.seen = true;
	deliver(&destination, &source);
	destination.seen = false;
	assert_refused(&destination, KCODE_ATTEST_REPLAY);
	g_assert_cmpuint(destination.tpm.quotes, ==, 0);
	open_both();
	start();
	deliver(&destination, &source);
	source.seen = true;
	deliver(&source, &destination);
	source.seen = false;
	assert_refused(&source, KCODE_ATTEST_REPLAY);
}

static void test_too_old(void)
{
	open_both();
	start();
	deliver_on(&destination, &source, exporter, START_MS + SESSION_MAX_MS - 1);
	g_assert_cmpint(destination.state, ==, CONVERSATION_SEND);
	deliver_on(&source, &destination, exporter, START_MS + SESSION_MAX_MS);
	assert_refused(&source, KCODE_ATTEST_REPLAY);
	open_both();
	start();
	deliver_on(&destination, &source, exporter, START_MS + SESSION_MAX_MS);
	assert_refused(&destination, KCODE_ATTEST_REPLAY);
	g_assert_cmpuint(destination.len, >, 0);
}

/* The session belongs to one channel and one device. */
static void test_moved(void)
{
	uint8_t other[EXPORTER_LEN] = {1};
	struct end stranger;

	open_both();
	start();
	deliver_on(&destination, &source, other, START_MS);
	assert_refused(&destination, KCODE_ATTEST_BINDING);
	open_both();
	start();
	memcpy(&stranger, &source, sizeof(stranger));
	stranger.id[0] ^= 1;
	deliver(&destination, &stranger);
	assert_refused(&destination, KCODE_ATTEST_BINDING);
}

/* X25519 points of low order (RFC 7748, 6.1), in either hello. */
static void test_low_order(void)
{
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(points); i++) {
		open_both();
		start();
		hex_decode(points[i], source.out + 2 + ATTEST_NONCE_LEN, 32);
		deliver(&destination, &source);
		assert_refused(&destination, KCODE_BAD_MESSAGE);
		g_assert_nonnull(strstr(destination.err.text, "weak key"));
		open_both();
		start();
		deliver(&destination, &source);
		hex_decode(points[i], destination.out + 2 + ATTEST_NONCE_LEN, 32);
		deliver(&source, &destination);
		assert_refused(&source, KCODE_BAD_MESSAGE);
	}
}

static void test_reflection(void)
{
	uint8_t hello[64];

	open_both();
	start();
	memcpy(hello, source.out + 2, sizeof(hello));
	deliver(&destination, &source);
	memcpy(destination.out + 2, hello, sizeof(hello));
	deliver(&source, &destination);
	assert_refused(&source, KCODE_ATTEST_REPLAY);
	open_both();
	start();
	deliver(&source, &source); /* blob 1 itself, and not even from the peer */
	assert_refused(&source, KCODE_ATTEST_BINDING);
}

/* One flipped byte, anywhere in any of the four blobs: the source never gets a key. */
static void test_tamper(void)
{
	struct end *const reader[] = {&destination, &source, &destination, &source};
	struct end *const writer[] = {&source, &destination, &source, &destination};

	for (unsigned blob = 0; blob < 4; blob++) {
		size_t at = 0, len = 1;

		for (; at < len; at += blob == 0 || blob == 3 ? 1 : 7) {
			struct secret key = SECRET_INIT;

			open_both();
			start();
			for (unsigned i = 0; i < 4; i++) {
				if (i == blob) {
					len = writer[i]->len;
					writer[i]->out[at] ^= 0x10;
				}
				if (!writer[i]->len)
					break;
				deliver(reader[i], writer[i]);
			}
			g_assert_cmpint(source.state, ==, CONVERSATION_REFUSED);
			g_assert_cmpint(session_data_key(source.session, &key), ==, -EACCES);
			if (blob < 3) {
				g_assert_cmpint(session_data_key(destination.session, &key), ==,
						-EACCES);
				g_assert_cmpuint(destination.accepts, ==, 0);
			}
		}
		g_test_message("blob %u: %zu bytes", blob + 1, len);
	}
}

/* S1-11: nothing about the guest before the verdict; S1-10: the reason reaches both. */
static void test_untrusted_destination(void)
{
	struct softtpm expected = destination.tpm;

	expected.pcrs.values[4][0] ^= 1;
	open_both();
	source.peer = &expected;
	start();
	deliver(&destination, &source);
	deliver(&source, &destination);
	assert_refused(&source, KCODE_ATTEST_PCR);
	g_assert_nonnull(strstr(source.err.text, "kernel (PCR 4)"));
	g_assert_cmpuint(source.offers, ==, 0);
	deliver(&destination, &source);
	assert_refused(&destination, KCODE_ATTEST_PCR);
	g_assert_nonnull(strstr(destination.err.text, "kernel (PCR 4)"));
}

static void test_untrusted_source(void)
{
	struct softtpm expected = source.tpm;

	expected.pcrs.values[7][0] ^= 1;
	open_both();
	destination.peer = &expected;
	start();
	deliver(&destination, &source);
	deliver(&source, &destination);
	deliver(&destination, &source);
	assert_refused(&destination, KCODE_ATTEST_PCR);
	g_assert_cmpuint(destination.accepts, ==, 0);
	deliver(&source, &destination);
	assert_refused(&source, KCODE_ATTEST_PCR);
}

/* B12: any verdict but trusted refuses, with or without a reason. */
static void test_verdicts(void)
{
	static const enum verdict not_enough[] = {VERDICT_UNKNOWN, VERDICT_STALE, VERDICT_UNTRUSTED,
						  _VERDICT_MAX};

	for (size_t i = 0; i < G_N_ELEMENTS(not_enough); i++) {
		open_both();
		source.force_verdict = true;
		source.verdict_forced = not_enough[i];
		start();
		deliver(&destination, &source);
		deliver(&source, &destination);
		source.force_verdict = false;
		assert_refused(&source, KCODE_ATTEST_ERROR);
		g_assert_cmpuint(source.offers, ==, 0);
	}
}

/* The destination's policy says no: the source's owner reads why; nobody else does. */
static void test_not_accepted(void)
{
	open_both();
	destination.accept_code = KCODE_POLICY;
	start();
	deliver(&destination, &source);
	deliver(&source, &destination);
	deliver(&destination, &source);
	destination.accept_code = KCODE_OK;
	assert_refused(&destination, KCODE_POLICY);
	g_assert_cmpuint(destination.accepts, ==, 1);
	g_assert_null(memmem(destination.out, destination.len, "may not come", 12));
	deliver(&source, &destination);
	assert_refused(&source, KCODE_POLICY);
	g_assert_nonnull(strstr(source.err.text, "This guest may not come here."));
	g_assert_cmpuint(source.len, ==, 0);
}

static void test_tpm_fails(void)
{
	open_both();
	destination.tpm.broken = true;
	start();
	deliver(&destination, &source);
	destination.tpm.broken = false;
	assert_refused(&destination, KCODE_TPM);
	deliver(&source, &destination);
	assert_refused(&source, KCODE_TPM);
	open_both();
	source.tpm.broken = true;
	start();
	deliver(&destination, &source);
	deliver(&source, &destination);
	source.tpm.broken = false;
	assert_refused(&source, KCODE_TPM);
	g_assert_cmpuint(source.offers, ==, 0);
}

/* Every blob at every wrong moment. */
static void test_order(void)
{
	static struct end spare;
	static uint8_t blobs[4][ATTEST_BLOB_MAX];
	size_t lens[4];

	open_both();
	start();
	memcpy(blobs[0], source.out, lens[0] = source.len);
	deliver(&destination, &source);
	memcpy(blobs[1], destination.out, lens[1] = destination.len);
	deliver(&source, &destination);
	memcpy(blobs[2], source.out, lens[2] = source.len);
	deliver(&destination, &source);
	memcpy(blobs[3], destination.out, lens[3] = destination.len);
	for (unsigned i = 0; i < 4; i++) {
		memcpy(spare.id, source.id, sizeof(spare.id));
		memcpy(spare.out, blobs[i], spare.len = lens[i]);
		if (i != 0) {
			open_both();
			deliver(&destination, &spare);
			assert_refused(&destination, KCODE_BAD_MESSAGE);
		}
		open_both();
		start();
		deliver(&destination, &source);
		deliver(&destination, &spare); /* waits for blob 3 of this exchange */
		g_assert_cmpint(destination.state, ==, CONVERSATION_REFUSED);
		memcpy(spare.id, destination.id, sizeof(spare.id));
		open_both();
		start();
		deliver(&source, &spare);
		g_assert_cmpint(source.state, ==, CONVERSATION_REFUSED);
	}
	open_both();
	start();
	start();
	assert_refused(&source, KCODE_BAD_MESSAGE);
}

static void test_malformed(void)
{
	static struct end spare;
	size_t len;

	memcpy(spare.id, source.id, sizeof(spare.id));
	open_both();
	spare.len = 0;
	deliver(&destination, &spare);
	assert_refused(&destination, KCODE_BAD_MESSAGE);
	open_both();
	start();
	len = source.len;
	memcpy(spare.out, source.out, len);
	spare.len = len + 1;
	deliver(&destination, &spare);
	assert_refused(&destination, KCODE_BAD_MESSAGE);
	open_both();
	spare.len = len;
	spare.out[1] = 2; /* another version */
	deliver(&destination, &spare);
	assert_refused(&destination, KCODE_BAD_MESSAGE);
	g_assert_nonnull(strstr(destination.err.text, "another version"));
	open_both();
	start();
	for (size_t cut = 1; cut < source.len; cut++) {
		end_open(&destination, false, &source, exporter);
		memcpy(spare.out, source.out, spare.len = cut);
		deliver(&destination, &spare);
		g_assert_cmpint(destination.state, ==, CONVERSATION_REFUSED);
	}
}

/* A refusal from the peer at any time, even one that claims to be fine. */
static void test_refusal(void)
{
	static struct end spare;
	struct wbuf w = wbuf_init(spare.out, sizeof(spare.out));

	memcpy(spare.id, destination.id, sizeof(spare.id));
	wbuf_u8(&w, 5);
	wbuf_u8(&w, 1);
	kerr_put(&w, &(struct kerr){.code = KCODE_OK, .text = "All is fine."});
	spare.len = w.len;
	open_both();
	start();
	deliver(&source, &spare);
	assert_refused(&source, KCODE_BAD_MESSAGE);
	g_assert_cmpuint(source.len, ==, 0);
}

static void test_config(void)
{
	struct session_config config = {.source = true};
	struct session_ops some = ops;
	struct session *s = NULL;

	g_assert_cmpint(session_new(&config, &ops, NULL, 0, &s), ==, -EINVAL); /* own == peer */
	config.own[0] = 1;
	some.offer = NULL;
	g_assert_cmpint(session_new(&config, &some, NULL, 0, &s), ==, -EINVAL);
	some = ops;
	some.accept = NULL;
	g_assert_cmpint(session_new(&config, &some, NULL, 0, &s), ==, 0);
	s = session_free(s);
	config.source = false;
	g_assert_cmpint(session_new(&config, &some, NULL, 0, &s), ==, -EINVAL);
	some = ops;
	some.seen = NULL;
	g_assert_cmpint(session_new(&config, &some, NULL, 0, &s), ==, -EINVAL);
	g_assert_null(s);
}

static void test_no_room(void)
{
	uint8_t small[20];
	struct wbuf w = wbuf_init(small, sizeof(small));

	open_both();
	source.state = session_start(source.session, &w, &source.err);
	assert_refused(&source, KCODE_FAILED);
	g_assert_cmpuint(w.len, ==, 0);
}

static void add_attacks(void)
{
	g_test_add_func("/session/B1 relay with another exporter", test_relay);
	g_test_add_func("/session/B1 source's evidence bent", test_relay_source);
	g_test_add_func("/session/B1 role swap", test_role_swap);
	g_test_add_func("/session/B1 S1-01 another genuine TPM", test_cuckoo);
	g_test_add_func("/session/B2 replay across sessions", test_replay);
	g_test_add_func("/session/B2 hand-off or nonce seen before", test_seen);
	g_test_add_func("/session/B2 too old", test_too_old);
	g_test_add_func("/session/B1 moved to another channel", test_moved);
	g_test_add_func("/session/low-order points", test_low_order);
	g_test_add_func("/session/reflection", test_reflection);
	g_test_add_func("/session/tampering", test_tamper);
}

int main(int argc, char **argv)
{
	int status;

	g_setenv("TSS2_LOG", "all+NONE", TRUE);
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0)
		return 1;
	softtpm_init(&source.tpm, 1);
	softtpm_init(&destination.tpm, 2);
	randombytes_buf(source.id, sizeof(source.id));
	randombytes_buf(destination.id, sizeof(destination.id));
	randombytes_buf(exporter, sizeof(exporter));
	randombytes_buf(hid, sizeof(hid));
	g_test_add_func("/session/good", test_good);
	g_test_add_func("/session/keys differ", test_keys_differ);
	add_attacks();
	g_test_add_func("/session/S1-10 S1-11 untrusted destination", test_untrusted_destination);
	g_test_add_func("/session/untrusted source", test_untrusted_source);
	g_test_add_func("/session/B12 verdicts", test_verdicts);
	g_test_add_func("/session/not accepted", test_not_accepted);
	g_test_add_func("/session/TPM fails", test_tpm_fails);
	g_test_add_func("/session/order", test_order);
	g_test_add_func("/session/malformed", test_malformed);
	g_test_add_func("/session/B12 refusal that says OK", test_refusal);
	g_test_add_func("/session/configuration", test_config);
	g_test_add_func("/session/no room", test_no_room);
	status = g_test_run();
	session_free(source.session);
	session_free(destination.session);
	return status;
}
