/* SPDX-License-Identifier: Apache-2.0 */
/* What the two exchanges say, byte for byte: whole runs with a chance that is none and TPMs whose
 * quotes were recorded. Devices of today and of tomorrow have to understand each other. */
#include <glib.h>

#include "attest/pairing-wire.h"
#include "attest/session.h"
#include "tests/unit/golden.h"

#define FILE_NAME "attest.txt"
#define UNIX_NOW 1800000000

/* One device: its keys, and its TPM as recorded. */
struct end {
	const char *name;
	uint8_t id[DEVICE_ID_LEN];
	uint8_t sign_sk[64], owner_sk[64];
	struct pairing_config config;
	struct pairing *pairing;
	struct session *session;
	struct evidence recorded;
	uint8_t qualifying[HASH_LEN]; /* that the quote was made for */

	uint8_t out[ATTEST_BLOB_MAX];
	size_t len;
	struct kerr err;
};

static struct end ends[2] = {{.name = "laptop"}, {.name = "desktop"}};
static bool accepts;

/* -- chance -- */

static uint32_t drawn;

static const char *chance_name(void)
{
	return "none";
}

static uint32_t chance_u32(void)
{
	return drawn++;
}

static void chance_fill(void *const ret, const size_t len)
{
	uint8_t seed[randombytes_SEEDBYTES] = {(uint8_t)drawn++};

	randombytes_buf_deterministic(ret, len, seed);
}

static randombytes_implementation chance = {.implementation_name = chance_name,
					    .random = chance_u32,
					    .buf = chance_fill};

/* -- bytes -- */

/* The recorded bytes of this device. */
static size_t recorded(const struct end *e, const char *what, uint8_t *ret, size_t size)
{
	g_autofree char *name = g_strdup_printf("%s-%s", e->name, what);

	return golden_read(FILE_NAME, name, ret, size);
}

static void same(const char *name, const void *got, size_t len)
{
	static uint8_t want[ATTEST_BLOB_MAX];
	size_t n = golden_read(FILE_NAME, name, want, sizeof(want));

	g_test_message("%s: %zu bytes", name, len);
	g_assert_cmpmem(got, len, want, n);
}

static void said(const struct end *e, const char *name)
{
	same(name, e->out, e->len);
}

/* -- operations -- */

static int op_quote(void *ctx, const struct evidence_binding *binding, struct evidence *ret,
		    _unused_ struct kerr *err)
{
	const struct end *e = ctx;
	uint8_t qualifying[HASH_LEN];

	*ret = e->recorded;
	evidence_qualifying(binding, ret, qualifying);
	g_assert_cmpmem(qualifying, HASH_LEN, e->qualifying, HASH_LEN);
	return 0;
}

/* In a session the quote is the qualifying data itself. */
static int op_session_quote(_unused_ void *ctx, const struct evidence_binding *binding,
			    struct evidence *ret, _unused_ struct kerr *err)
{
	ret->pcrs.mask = 1u << 4;
	ret->quote_len = HASH_LEN;
	ret->signature_len = 1;
	evidence_qualifying(binding, ret, ret->quote);
	return 0;
}

static enum verdict op_judge(_unused_ void *ctx, const struct evidence *peer,
			     const uint8_t qualifying[HASH_LEN], _unused_ struct kerr *err)
{
	g_assert_cmpmem(peer->quote, peer->quote_len, qualifying, HASH_LEN);
	return VERDICT_TRUSTED;
}

static bool op_seen(_unused_ void *ctx, _unused_ const uint8_t *hid,
		    _unused_ const uint8_t nonce[ATTEST_NONCE_LEN])
{
	return false;
}

static int op_offer(_unused_ void *ctx, struct wbuf *w, _unused_ struct kerr *err)
{
	wbuf_string(w, "offer of a guest, epoch 7");
	return 0;
}

static int op_accept(_unused_ void *ctx, _unused_ const uint8_t *offer, _unused_ size_t len,
		     struct kerr *err)
{
	return accepts ? 0 : kerr_set(err, EACCES, KCODE_POLICY, "This guest may not come here.");
}

static const struct session_ops session_ops = {op_session_quote, op_judge, op_seen, op_offer,
					       op_accept};

static int op_make(_unused_ void *ctx, _unused_ const uint8_t *ek, _unused_ size_t ek_len,
		   const uint8_t name[TPM_NAME_LEN], const uint8_t secret[32],
		   struct pairing_credential *ret, _unused_ struct kerr *err)
{
	memcpy(ret->blob, name, ret->blob_len = TPM_NAME_LEN);
	memcpy(ret->secret, secret, ret->secret_len = 32);
	return 0;
}

static int op_activate(_unused_ void *ctx, const struct pairing_credential *credential,
		       uint8_t ret_secret[32], _unused_ struct kerr *err)
{
	memcpy(ret_secret, credential->secret, 32);
	return 0;
}

static int op_sign(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ((struct end *)ctx)->sign_sk);
}

static int op_owner_sign(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ((struct end *)ctx)->owner_sk);
}

static const struct pairing_ops pairing_ops = {op_make, op_activate,   op_quote,
					       op_sign, op_owner_sign, NULL};

/* -- runs -- */

static void session_open(struct end *e, const struct end *peer)
{
	struct session_config config = {.source = e == &ends[0], .hid = {7}, .exporter = {9}};

	memcpy(config.own, e->id, sizeof(e->id));
	memcpy(config.peer, peer->id, sizeof(peer->id));
	e->session = session_free(e->session);
	kerr_clear(&e->err);
	g_assert_cmpint(session_new(&config, &session_ops, e, 0, &e->session), ==, 0);
}

static void session_feed(struct end *to, const struct end *from)
{
	static const uint8_t exporter[EXPORTER_LEN] = {9};
	struct wbuf w = wbuf_init(to->out, sizeof(to->out));

	session_step(to->session, from->id, exporter, from->out, from->len, 1, &w, &to->err);
	to->len = w.len;
}

/* Up to the answer, which is sealed. */
static void session_run(bool good)
{
	struct wbuf w = wbuf_init(ends[0].out, sizeof(ends[0].out));

	drawn = 100;
	accepts = good;
	session_open(&ends[0], &ends[1]);
	session_open(&ends[1], &ends[0]);
	session_start(ends[0].session, &w, &ends[0].err);
	ends[0].len = w.len;
	said(&ends[0], "session-hello");
	session_feed(&ends[1], &ends[0]);
	said(&ends[1], "session-evidence");
	session_feed(&ends[0], &ends[1]);
	said(&ends[0], "session-offer");
	session_feed(&ends[1], &ends[0]);
}

static void test_session(void)
{
	_cleanup_secret_ struct secret key = SECRET_INIT;

	session_run(true);
	said(&ends[1], "session-answer");
	g_assert_cmpint(session_data_key(ends[1].session, &key), ==, 0);
	same("session-key", key.data, key.len);
	session_feed(&ends[0], &ends[1]);
	secret_clear(&key);
	g_assert_cmpint(session_data_key(ends[0].session, &key), ==, 0);
	same("session-key", key.data, key.len);
}

static void test_session_refused(void)
{
	session_run(false);
	said(&ends[1], "session-answer-no");
	ends[1].out[20] ^= 1;
	session_feed(&ends[0], &ends[1]);
	said(&ends[0], "session-refused");
}

static void material_make(struct end *e)
{
	struct pairing_material *m = &e->config.own;

	e->config.initiator = e == &ends[0];
	e->config.required_pcrs = e->recorded.pcrs.mask;
	e->config.unix_now = UNIX_NOW;
	e->config.record_validity_s = 3600;
	snprintf(m->name, sizeof(m->name), "%s", e->name);
	m->role = e->config.initiator ? DEVICE_ROLE_LAPTOP : DEVICE_ROLE_DESKTOP;
	m->tier = TPM_TIER_PINNED;
	memcpy(m->versions, e->recorded.versions, sizeof(m->versions));
	crypto_sign_keypair(m->sign_pk, e->sign_sk);
	device_id_of(m->sign_pk, e->id);
	m->ak_public_len = recorded(e, "ak", m->ak_public, sizeof(m->ak_public));
	m->ek_public_len = recorded(e, "ek", m->ek_public, sizeof(m->ek_public));
}

/* The desktop has an owner, who signed its record. */
static void cloud_make(struct end *e)
{
	struct pairing_material *m = &e->config.own;
	struct wbuf w = wbuf_init(e->config.own_record, sizeof(e->config.own_record));
	struct device_record rec;

	m->has_cloud = true;
	snprintf(m->owner_name, sizeof(m->owner_name), "Tom");
	crypto_sign_keypair(m->owner_pk, e->owner_sk);
	pairing_record_of(m, m->owner_pk, UNIX_NOW - 10, 1010, &rec);
	g_assert_cmpint(record_sign_with_key(&rec, e->owner_sk, &w), ==, 0);
	e->config.own_record_len = w.len;
}

static void end_init(struct end *e)
{
	struct evidence *ev = &e->recorded;

	ev->quote_len = recorded(e, "quote", ev->quote, sizeof(ev->quote));
	ev->signature_len = recorded(e, "signature", ev->signature, sizeof(ev->signature));
	recorded(e, "qualifying", e->qualifying, sizeof(e->qualifying));
	snprintf(ev->versions, sizeof(ev->versions), "kernel=6.1.0\nkith=0.1");
	for (unsigned i = 0; i < 8; i += 2) {
		ev->pcrs.mask |= 1u << i;
		memset(ev->pcrs.values[i], (int)(0x40 + i), HASH_LEN);
	}
	material_make(e);
}

static void pairing_open(struct end *e)
{
	struct wbuf w = wbuf_init(e->out, sizeof(e->out));

	e->pairing = pairing_free(e->pairing);
	kerr_clear(&e->err);
	g_assert_cmpint(pairing_new(&e->config, &pairing_ops, e, 0, &e->pairing), ==, 0);
	pairing_start(e->pairing, &w, &e->err);
	e->len = w.len;
}

static void pairing_feed(struct end *to, const struct end *from)
{
	struct wbuf w = wbuf_init(to->out, sizeof(to->out));

	pairing_step(to->pairing, from->out, from->len, 1, &w, &to->err);
	to->len = w.len;
}

static void pairing_confirm(struct end *e, bool same_code)
{
	struct wbuf w = wbuf_init(e->out, sizeof(e->out));

	pairing_owner(e->pairing, same_code, 2, &w, &e->err);
	e->len = w.len;
}

/* Up to the code on both screens. */
static void pairing_run(void)
{
	drawn = 200;
	pairing_open(&ends[1]);
	pairing_open(&ends[0]);
	said(&ends[0], "pairing-commit");
	pairing_feed(&ends[1], &ends[0]);
	said(&ends[1], "pairing-answer");
	pairing_feed(&ends[0], &ends[1]);
	said(&ends[0], "pairing-reveal");
	pairing_feed(&ends[1], &ends[0]);
	same("pairing-hash", pairing_hash(ends[0].pairing), HASH_LEN);
	same("pairing-hash", pairing_hash(ends[1].pairing), HASH_LEN);
	g_assert_cmpstr(pairing_code(ends[0].pairing), ==, "855 2475");
	g_assert_cmpstr(pairing_code(ends[1].pairing), ==, "855 2475");
}

static void test_pairing(void)
{
	const struct pairing_result *r;

	pairing_run();
	pairing_confirm(&ends[0], true);
	said(&ends[0], "pairing-confirm");
	pairing_feed(&ends[1], &ends[0]);
	pairing_confirm(&ends[1], true);
	said(&ends[1], "pairing-confirm-proof");
	pairing_feed(&ends[0], &ends[1]);
	said(&ends[0], "pairing-proof-result");
	pairing_feed(&ends[1], &ends[0]);
	said(&ends[1], "pairing-result");
	pairing_feed(&ends[0], &ends[1]);
	g_assert_cmpstr(ends[0].err.text, ==, "");
	r = pairing_result(ends[0].pairing);
	g_assert_nonnull(r);
	same("record-laptop", r->own_record, r->own_record_len);
	same("record-desktop", r->peer_record, r->peer_record_len);
}

static void test_pairing_refused(void)
{
	pairing_run();
	pairing_confirm(&ends[0], false);
	said(&ends[0], "pairing-refused");
}

int main(int argc, char **argv)
{
	int status;

	g_setenv("TSS2_LOG", "all+NONE", TRUE);
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	randombytes_set_implementation(&chance);
	if (sodium_init() < 0)
		return 1;
	drawn = 1;
	end_init(&ends[0]);
	end_init(&ends[1]);
	cloud_make(&ends[1]);
	g_test_add_func("/exchange/golden session", test_session);
	g_test_add_func("/exchange/golden session refused", test_session_refused);
	g_test_add_func("/exchange/golden pairing", test_pairing);
	g_test_add_func("/exchange/golden pairing refused", test_pairing_refused);
	status = g_test_run();
	for (unsigned i = 0; i < 2; i++) {
		pairing_free(ends[i].pairing);
		session_free(ends[i].session);
	}
	return status;
}
