/* SPDX-License-Identifier: Apache-2.0 */
/* Two honest machines and a network that does what the input says: deliver, change, repeat, mix.
 * Whoever read a changed byte never ends with a key; if both end, with the same one. */
#include "attest/session.h"
#include "tests/unit/ends.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct device {
	struct end end; /* first: it is what the machine is given */
	uint8_t id[DEVICE_ID_LEN];
	struct session *session;
};

static struct device devices[2];
static uint8_t exporter[EXPORTER_LEN];

static struct device *device_of(struct end *e)
{
	return (struct device *)e;
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

static const struct session_ops ops = {softtpm_op_quote, op_judge, op_seen, op_offer, op_accept};

int LLVMFuzzerInitialize(_unused_ int *argc, _unused_ char ***argv)
{
	setenv("TSS2_LOG", "all+NONE", 1);
	if (sodium_init() < 0)
		return -1;
	for (unsigned i = 0; i < 2; i++) {
		softtpm_init(&devices[i].end.tpm, (uint8_t)i);
		memset(devices[i].id, (int)i + 1, DEVICE_ID_LEN);
		devices[i].end.peer = &devices[!i].end;
	}
	return 0;
}

static enum conversation_state input_start(struct end *e, _unused_ const uint8_t *data,
					   _unused_ size_t len, struct wbuf *w, struct kerr *err)
{
	return session_start(device_of(e)->session, w, err);
}

static enum conversation_state input_step(struct end *e, const uint8_t *data, size_t len,
					  struct wbuf *w, struct kerr *err)
{
	return session_step(device_of(e)->session, device_of(e->peer)->id, exporter, data, len, 1,
			    w, err);
}

static void device_open(struct device *d)
{
	struct session_config config = {.source = d == &devices[0]};

	memcpy(config.own, d->id, DEVICE_ID_LEN);
	memcpy(config.peer, device_of(d->end.peer)->id, DEVICE_ID_LEN);
	memcpy(config.exporter, exporter, EXPORTER_LEN);
	d->end.state = CONVERSATION_SEND;
	d->end.tainted = false;
	d->end.len = d->end.sent_len = 0;
	if (session_new(&config, &ops, d, 0, &d->session) < 0)
		abort();
}

static void check(void)
{
	_cleanup_secret_ struct secret a = SECRET_INIT, b = SECRET_INIT;
	int ra = session_data_key(devices[0].session, &a),
	    rb = session_data_key(devices[1].session, &b);

	if ((ra == 0) != (devices[0].end.state == CONVERSATION_DONE) ||
	    (rb == 0) != (devices[1].end.state == CONVERSATION_DONE))
		abort();
	if (ra == 0 && rb == 0 && memcmp(a.data, b.data, SESSION_KEY_LEN) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rbuf r = rbuf_init(data, size);

	device_open(&devices[0]);
	device_open(&devices[1]);
	end_feed(&devices[0].end, input_start, NULL, 0);
	ends_run(&devices[0].end, &devices[1].end, &r, input_step, NULL, NULL);
	check();
	devices[0].session = session_free(devices[0].session);
	devices[1].session = session_free(devices[1].session);
	return 0;
}
