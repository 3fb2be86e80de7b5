/* SPDX-License-Identifier: Apache-2.0 */
/* Session and grant: a hand-off begins only after both sides proved themselves. */
#include "policyd/handoff.h"

#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "policyd/handoff-internal.h"
#include "policyd/trust.h"

static int on_quote(void *ctx, const struct evidence_binding *binding, struct evidence *ret,
		    struct kerr *err)
{
	struct handoff *ho = ctx;
	int r = measure_state(ho->core, &ho->own, err);

	if (r == 0)
		r = measure_quote(ho->core, binding, ret, err);
	ho->measured = r == 0;
	return r;
}

static enum verdict on_judge(void *ctx, const struct evidence *ev,
			     const uint8_t qualifying[HASH_LEN], struct kerr *err)
{
	struct handoff *ho = ctx;
	const struct trust_case c = {.peer = ho->peer,
				     .qualifying = qualifying,
				     .before = ho->quoted ? &ho->before : NULL,
				     .person = ho->person,
				     .vm = ho->vm,
				     .peer_began = !ho->source};

	return ho->verdict = trust_judge(ho->core, &c, ev, err);
}

static bool on_seen(void *ctx, const uint8_t hid[HID_LEN], const uint8_t nonce[ATTEST_NONCE_LEN])
{
	struct handoff *ho = ctx;
	struct journal_entry last;
	bool seen = replays_seen(&ho->all->replays, nonce, ATTEST_NONCE_LEN);

	if (ho->source)
		return seen;
	/* The journal remembers ids over restarts. */
	return replays_seen(&ho->all->replays, hid, HID_LEN) || seen ||
	       store_journal_last(ho->core->store, hid, &last, NULL) == 0;
}

static const struct session_ops ops = {
	.quote = on_quote,
	.judge = on_judge,
	.seen = on_seen,
	.offer = handoff_offer_put,
	.accept = handoff_offer_accept,
};

static enum conversation_state settle(struct handoff *ho, enum conversation_state state,
				      struct kerr *err)
{
	if (state == CONVERSATION_SEND)
		return state;
	if (state == CONVERSATION_DONE) {
		ho->deadline_ms = clock_ms() + HANDOFF_GRANT_MS;
		handoff_enter(ho, HANDOFF_GRANTED);
		return state;
	}
	handoff_audit_end(ho, err);
	if (ho->source && store_request_delete(ho->core->store, ho->hid, NULL) == 0)
		store_commit(ho->core->store, COMMIT_PLAIN, NULL);
	handoff_enter(ho, HANDOFF_FREE);
	return CONVERSATION_REFUSED;
}

static struct session_config config_of(const struct handoffs *h, bool source,
				       const uint8_t hid[HID_LEN],
				       const uint8_t peer[DEVICE_ID_LEN],
				       const uint8_t exporter[EXPORTER_LEN])
{
	struct session_config c = {.source = source};

	memcpy(c.hid, hid, HID_LEN);
	memcpy(c.exporter, exporter, EXPORTER_LEN);
	memcpy(c.own, h->core->id.id, DEVICE_ID_LEN);
	memcpy(c.peer, peer, DEVICE_ID_LEN);
	return c;
}

/* Whom it is with, as he is known when the nonce is made. */
static void take_peer(struct handoff *ho, const struct store_peer *peer)
{
	memcpy(ho->peer, peer->id, DEVICE_ID_LEN);
	memcpy(ho->peer_name, peer->name, sizeof(ho->peer_name));
	memcpy(ho->person, peer->person, sizeof(ho->person));
	ho->peer_own = peer->own;
	ho->quoted = peer->quoted;
	ho->before = peer->quote;
}

static int begin(struct handoffs *h, const struct session_config *c, struct handoff **ret,
		 struct kerr *err)
{
	struct store_peer peer;
	struct handoff *ho;
	int r;

	if (handoff_find(h, c->hid))
		return kerr_set(err, EEXIST, KCODE_ATTEST_REPLAY,
				"This hand-off is under way already.");
	r = store_peer_get(h->core->store, c->peer, &peer, err);
	if (r == 0 && !c->source)
		r = handoff_admit(h, &peer, err);
	if (r < 0)
		return r;
	ho = handoff_add(h, c->hid);
	if (!ho)
		return kerr_set(err, EBUSY, KCODE_BUSY, "Too many hand-offs are under way here.");
	ho->source = c->source;
	memcpy(ho->exporter, c->exporter, EXPORTER_LEN);
	take_peer(ho, &peer);
	ho->deadline_ms = clock_ms() + SESSION_MAX_MS;
	handoff_enter(ho, HANDOFF_SESSION);
	r = session_new(c, &ops, ho, clock_ms(), &ho->session);
	if (r < 0) {
		handoff_enter(ho, HANDOFF_FREE);
		return kerr_set(err, -r, KCODE_FAILED, "The session could not start: %s.",
				strerror(-r));
	}
	*ret = ho;
	return 0;
}

/* At the source: what was asked for under this id. */
static int begin_requested(struct handoffs *h, const uint8_t hid[HID_LEN],
			   const uint8_t exporter[EXPORTER_LEN], struct handoff **ret,
			   struct kerr *err)
{
	struct session_config config;
	enum move_rung rung = MOVE_RUNG_ANY;
	struct store_request req;
	struct custody_view view;
	int r = store_request_get(h->core->store, hid, &req, err);

	if (r < 0)
		return r;
	/* Asked for later than now is asked for before a reboot. */
	if (clock_ms() > req.time + HANDOFF_REQUEST_MS || clock_ms() < req.time)
		return kerr_set(err, ETIMEDOUT, KCODE_ATTEST_REPLAY,
				"The request to move is more than a minute old. Ask again.");
	config = config_of(h, true, hid, req.device, exporter);
	r = handoff_wish(h, hid, &rung, err);
	if (r == 0)
		r = store_custody_get(h->core->store, req.uuid, &view, err);
	if (r == 0)
		r = begin(h, &config, ret, err);
	if (r < 0)
		return r;
	(*ret)->rung = rung;
	memcpy((*ret)->uuid, req.uuid, UUID_LEN);
	memcpy((*ret)->vm, view.name, sizeof((*ret)->vm));
	memcpy((*ret)->person, req.person, sizeof((*ret)->person));
	(*ret)->epoch = view.epoch;
	return 0;
}

enum conversation_state handoff_session_start(struct handoffs *h, const uint8_t hid[HID_LEN],
					      const uint8_t exporter[EXPORTER_LEN],
					      struct wbuf *out, struct kerr *err)
{
	struct handoff *ho;

	if (begin_requested(h, hid, exporter, &ho, err) < 0)
		return CONVERSATION_REFUSED;
	return settle(ho, session_start(ho->session, out, err), err);
}

/* The hand-off to which a message of the peer belongs; the first one begins it here. */
static int continue_with(struct handoffs *h, const struct session_config *c, struct handoff **ret,
			 struct kerr *err)
{
	struct handoff *ho = handoff_find(h, c->hid);

	if (!ho)
		return begin(h, c, ret, err);
	/* M10: who knows the number of somebody else's hand-off cannot end it. */
	if (memcmp(ho->peer, c->peer, DEVICE_ID_LEN) != 0 ||
	    sodium_memcmp(ho->exporter, c->exporter, EXPORTER_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_ATTEST_BINDING,
				"A message of the hand-off came over another channel or from "
				"another device.");
	if (ho->state != HANDOFF_SESSION)
		return kerr_set(err, EPROTO, KCODE_ATTEST_REPLAY,
				"This hand-off is past the point where devices prove themselves.");
	*ret = ho;
	return 0;
}

enum conversation_state handoff_session_step(struct handoffs *h, const uint8_t hid[HID_LEN],
					     const uint8_t peer[DEVICE_ID_LEN],
					     const uint8_t exporter[EXPORTER_LEN],
					     const uint8_t *data, size_t len, struct wbuf *out,
					     struct kerr *err)
{
	const struct session_config c = config_of(h, false, hid, peer, exporter);
	struct handoff *ho;

	if (continue_with(h, &c, &ho, err) < 0)
		return CONVERSATION_REFUSED;
	return settle(ho,
		      session_step(ho->session, peer, exporter, data, len, clock_ms(), out, err),
		      err);
}

void handoff_session_end(struct handoffs *h, const uint8_t hid[HID_LEN],
			 const uint8_t exporter[EXPORTER_LEN])
{
	struct handoff *ho = handoff_find(h, hid);

	if (ho && sodium_memcmp(ho->exporter, exporter, EXPORTER_LEN) == 0 &&
	    (ho->state == HANDOFF_SESSION || ho->state == HANDOFF_GRANTED))
		handoff_enter(ho, HANDOFF_FREE);
}

int handoff_grant_take(struct handoffs *h, const uint8_t hid[HID_LEN], bool source, uint64_t worker,
		       struct policyd_grant *ret, struct kerr *err)
{
	_cleanup_secret_ struct secret key = SECRET_INIT;
	struct handoff *ho = handoff_find(h, hid);
	struct policyd_grant g = {0};

	if (!ho || ho->state != HANDOFF_GRANTED || ho->source != source ||
	    clock_ms() > ho->deadline_ms)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"There is no grant for this hand-off, or it was taken.");
	if (session_data_key(ho->session, &key) < 0 || key.len != sizeof(g.key))
		return kerr_set(err, EIO, KCODE_FAILED, "The session has no data key.");
	memcpy(g.uuid, ho->uuid, UUID_LEN);
	memcpy(g.vm, ho->vm, sizeof(g.vm));
	g.epoch = ho->epoch;
	memcpy(g.peer, ho->peer, DEVICE_ID_LEN);
	memcpy(g.peer_name, ho->peer_name, sizeof(g.peer_name));
	memcpy(g.key, key.data, sizeof(g.key));
	g.rung = ho->rung;
	ho->session = session_free(ho->session);
	ho->deadline_ms = clock_ms() + HANDOFF_GRANT_MS;
	ho->worker = worker;
	handoff_enter(ho, HANDOFF_TAKEN);
	*ret = g;
	sodium_memzero(&g, sizeof(g));
	return 0;
}
