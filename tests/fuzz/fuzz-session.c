/* SPDX-License-Identifier: Apache-2.0 */
/* Two honest machines and a network that does what the input says: deliver, change, repeat, mix.
 * Whoever read a changed byte never ends with a key; if both end, with the same one. */
#include "attest/session.h"
#include "tests/unit/softtpm.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct end {
	struct softtpm tpm;
	struct end *peer;
	uint8_t id[DEVICE_ID_LEN];
	struct session *session;
	enum conversation_state state;
	bool tainted; /* read something the peer did not send */
	uint8_t out[ATTEST_BLOB_MAX], sent[ATTEST_BLOB_MAX];
	size_t len, sent_len;
};

static struct end ends[2];
static uint8_t exporter[EXPORTER_LEN];

static int op_quote(void *ctx, const struct evidence_binding *binding, struct evidence *ret,
		    _unused_ struct kerr *err)
{
	softtpm_evidence(&((struct end *)ctx)->tpm, binding, ret);
	return 0;
}

static enum verdict op_judge(void *ctx, const struct evidence *ev,
			     const uint8_t qualifying[HASH_LEN], struct kerr *err)
{
	const struct softtpm *peer = &((struct end *)ctx)->peer->tpm;

	return evidence_judge(ev, peer->ak_public, peer->ak_public_len, qualifying, &peer->pcrs,
			      NULL, err);
}

static bool op_seen(_unused_ void *ctx, _unused_ const uint8_t *hid,
		    _unused_ const uint8_t nonce[ATTEST_NONCE_LEN])
{
	return false;
}

static int op_offer(_unused_ void *ctx, struct wbuf *w, _unused_ struct kerr *err)
{
	wbuf_string(w, "offer");
	return 0;
}

static int op_accept(_unused_ void *ctx, const uint8_t *offer, size_t len,
		     _unused_ struct kerr *err)
{
	if (len != 7 || memcmp(offer + 2, "offer", 5) != 0)
		abort();
	return 0;
}

static const struct session_ops ops = {op_quote, op_judge, op_seen, op_offer, op_accept};

int LLVMFuzzerInitialize(_unused_ int *argc, _unused_ char ***argv)
{
	setenv("TSS2_LOG", "all+NONE", 1);
	if (sodium_init() < 0)
		return -1;
	for (unsigned i = 0; i < 2; i++) {
		softtpm_init(&ends[i].tpm, (uint8_t)i);
		memset(ends[i].id, (int)i + 1, DEVICE_ID_LEN);
		ends[i].peer = &ends[!i];
	}
	return 0;
}

static void end_open(struct end *e)
{
	struct session_config config = {.source = e == &ends[0]};

	memcpy(config.own, e->id, DEVICE_ID_LEN);
	memcpy(config.peer, e->peer->id, DEVICE_ID_LEN);
	memcpy(config.exporter, exporter, EXPORTER_LEN);
	e->state = CONVERSATION_SEND;
	e->tainted = false;
	e->len = e->sent_len = 0;
	if (session_new(&config, &ops, e, 0, &e->session) < 0)
		abort();
}

static void output_take(struct end *e, const struct wbuf *w, const struct kerr *err)
{
	e->len = e->sent_len = w->len;
	memcpy(e->sent, e->out, w->len);
	if ((e->state == CONVERSATION_REFUSED) != (err->code != KCODE_OK) ||
	    !text_is_clean(err->text))
		abort();
}

/* `e` reads these bytes; the peer had sent its `sent`. */
static void feed(struct end *e, const uint8_t *data, size_t len)
{
	struct wbuf w = wbuf_init(e->out, sizeof(e->out));
	struct kerr err = {0};

	if (len != e->peer->sent_len || memcmp(data, e->peer->sent, len) != 0)
		e->tainted = true;
	e->state = session_step(e->session, e->peer->id, exporter, data, len, 1, &w, &err);
	output_take(e, &w, &err);
	if (e->tainted && e->state == CONVERSATION_DONE)
		abort();
}

static void begin(void)
{
	struct wbuf w = wbuf_init(ends[0].out, sizeof(ends[0].out));
	struct kerr err = {0};

	ends[0].state = session_start(ends[0].session, &w, &err);
	output_take(&ends[0], &w, &err);
}

static void check(void)
{
	_cleanup_secret_ struct secret a = SECRET_INIT, b = SECRET_INIT;
	int ra = session_data_key(ends[0].session, &a), rb = session_data_key(ends[1].session, &b);

	if ((ra == 0) != (ends[0].state == CONVERSATION_DONE) ||
	    (rb == 0) != (ends[1].state == CONVERSATION_DONE))
		abort();
	if (ra == 0 && rb == 0 && memcmp(a.data, b.data, SESSION_KEY_LEN) != 0)
		abort();
}

static void one(struct rbuf *r)
{
	uint8_t op = rbuf_u8(r);
	struct end *e = &ends[op & 1];
	uint16_t at;
	size_t len;
	const uint8_t *raw;

	switch (op >> 1 & 3) {
	case 0: /* the peer's last words arrive */
	case 1:
		feed(e, e->peer->out, e->peer->len);
		break;
	case 2: /* one byte of what this end sent changes */
		at = rbuf_u16(r);
		if (at < e->len)
			e->out[at] ^= rbuf_u8(r);
		break;
	case 3: /* something else arrives */
		len = rbuf_u16(r);
		len = MIN_OF(len, r->left);
		raw = rbuf_view(r, len);
		if (raw)
			feed(e, raw, len);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rbuf r = rbuf_init(data, size);

	end_open(&ends[0]);
	end_open(&ends[1]);
	begin();
	for (int i = 0; i < 24 && r.left; i++)
		one(&r);
	check();
	ends[0].session = session_free(ends[0].session);
	ends[1].session = session_free(ends[1].session);
	return 0;
}
