/* SPDX-License-Identifier: Apache-2.0 */
/* Requests, sessions and grants: who may move what, and only after both sides proved themselves. */
#include "policyd/handoff.h"

#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "policyd/handoff-internal.h"
#include "policyd/trust.h"

static const char *const handoff_state_names[_HANDOFF_STATE_MAX] = {
	[HANDOFF_FREE] = "free",
	[HANDOFF_SESSION] = "session",
	[HANDOFF_GRANTED] = "granted",
	[HANDOFF_TAKEN] = "taken",
};

int handoffs_new(struct core *core, struct handoffs **ret)
{
	struct handoffs *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->core = core;
	*ret = h;
	return 0;
}

void handoff_enter(struct handoff *ho, enum handoff_state state)
{
	char hid[2 * HID_LEN + 1];

	hex_encode(ho->hid, HID_LEN, hid);
	log_info("handoff", "%.8s %s -> %s", hid, handoff_state_names[ho->state],
		 handoff_state_names[state]);
	ho->state = state;
	if (state != HANDOFF_FREE)
		return;
	session_free(ho->session);
	if (ho->offered)
		store_policy_clear(&ho->offered->policy);
	free(ho->offered);
	*ho = (struct handoff){.all = ho->all, .core = ho->core};
}

struct handoffs *handoffs_free(struct handoffs *h)
{
	for (size_t i = 0; h && i < HANDOFFS_MAX; i++)
		if (h->list[i].state != HANDOFF_FREE)
			handoff_enter(&h->list[i], HANDOFF_FREE);
	free(h);
	return NULL;
}

struct handoff *handoff_find(struct handoffs *h, const uint8_t hid[HID_LEN])
{
	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		if (h->list[i].state != HANDOFF_FREE && memcmp(h->list[i].hid, hid, HID_LEN) == 0)
			return &h->list[i];
	return NULL;
}

/* Sessions and grants have deadlines. A taken one ends with its custody records; if its mover
 * died without any, nothing is open in the journal and the place is reclaimed here. */
bool handoff_is_over(const struct handoff *ho)
{
	struct custody_view view;

	return clock_ms() > ho->deadline_ms &&
	       (ho->state != HANDOFF_TAKEN ||
		store_custody_by_hid(ho->core->store, ho->hid, &view, NULL) < 0);
}

bool handoff_is_under_way(struct handoffs *h, const uint8_t uuid[UUID_LEN])
{
	const struct handoff *list = h->list;

	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		if (list[i].state != HANDOFF_FREE && !handoff_is_over(&list[i]) &&
		    memcmp(list[i].uuid, uuid, UUID_LEN) == 0)
			return true;
	return false;
}

/* How one ended that came to nothing. What a peer caused does not push out what the owner did. */
static void audit_end(const struct handoff *ho, const struct kerr *reason)
{
	(ho->source ? core_audit : core_audit_peer)(ho->core, ho->person, ho->peer_name, ho->vm,
						    ho->source ? "move-out" : "move-in", reason);
}

struct handoff *handoff_add(struct handoffs *h, const uint8_t hid[HID_LEN])
{
	for (size_t i = 0; i < HANDOFFS_MAX; i++) {
		struct handoff *ho = &h->list[i];

		if (ho->state != HANDOFF_FREE && handoff_is_over(ho))
			handoff_enter(ho, HANDOFF_FREE);
		if (ho->state != HANDOFF_FREE)
			continue;
		ho->all = h;
		ho->core = h->core;
		memcpy(ho->hid, hid, HID_LEN);
		return ho;
	}
	return NULL;
}

/* -- Decisions -- */

void handoff_case_clear(struct handoff_case *c)
{
	store_policy_clear(&c->policy);
}

int handoff_case_load(struct core *core, const uint8_t uuid[UUID_LEN],
		      const uint8_t device[DEVICE_ID_LEN], struct handoff_case *c, struct kerr *err)
{
	int r = store_peer_get(core->store, device, &c->peer, err);

	if (r == 0)
		r = store_custody_get(core->store, uuid, &c->view, err);
	if (r < 0)
		return r;
	if (!c->view.known)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"This VM is not in Kith's care yet: it has no policy, and what has "
				"none may not leave. Give it one with `kith policy set VM`.");
	r = store_policy_get(core->store, uuid, &c->policy, err);
	if (r == -ENOENT && !c->view.here)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"\"%s\" is just arriving on this device; it is not here yet.",
				c->view.name);
	if (r == 0)
		r = policy_decode(c->policy.compiled, c->policy.compiled_len, &c->rules, err);
	c->foreign = r == 0 && memcmp(c->policy.owner_pk, core->id.owner_pk, SIGN_PK_LEN) != 0;
	return r;
}

/* "Own" means: of the VM's owner, who may be somebody else than this device's. */
enum person_role handoff_dest_person(const struct handoff_case *c)
{
	if (memcmp(c->peer.owner_pk, c->policy.owner_pk, SIGN_PK_LEN) == 0)
		return PERSON_ROLE_OWNER;
	return c->foreign || c->peer.own ? PERSON_ROLE_GUEST : c->peer.person_role;
}

int handoff_decide_out(const struct handoff_case *c, enum person_role person, bool fresh,
		       enum verdict verdict, struct policy_decision *ret, struct kerr *err)
{
	struct policy_facts facts = {
		.person = c->foreign ? PERSON_ROLE_GUEST : person,
		.action = POLICY_ACTION_MOVE_OUT,
		.fresh = fresh,
		.dest_person = handoff_dest_person(c),
		.dest_role = c->peer.role,
		.dest_name = c->peer.name,
		.verdict = verdict,
		.tier = c->peer.tier,
	};

	*ret = (struct policy_decision){0};
	if (c->view.doubt == CUSTODY_ASKING)
		return kerr_set(
			err, EACCES, KCODE_CUSTODY,
			"Whether \"%s\" is on this device is in doubt; it cannot be moved now.",
			c->view.name);
	if (!c->view.here)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"\"%s\" is not on this device; it is on \"%s\".", c->view.name,
				c->view.holder_name[0] ? c->view.holder_name : "another one");
	if (custody_is_open(&c->view))
		return kerr_set(err, EBUSY, KCODE_BUSY, "A hand-off of \"%s\" to \"%s\" is open.",
				c->view.name, c->view.peer_name);
	/* S1-18: without a TPM a device can only be a controller, whatever the policy says. */
	if (c->peer.tier == TPM_TIER_NONE)
		return kerr_set(err, EACCES, KCODE_TIER,
				"\"%s\" has no TPM, so it cannot prove what it runs and cannot "
				"receive a VM.",
				c->peer.name);
	policy_decide(&c->rules, c->view.name, &facts, ret);
	return ret->allowed ? 0 : kerr_set(err, EACCES, ret->reason.code, "%s", ret->reason.text);
}

int handoff_plan(struct handoffs *h, enum person_role person, const uint8_t uuid[UUID_LEN],
		 const uint8_t device[DEVICE_ID_LEN], struct policyd_plan *ret, struct kerr *err)
{
	_cleanup_(handoff_case_clear) struct handoff_case c = {0};
	struct policy_decision d = {0};
	int r = handoff_case_load(h->core, uuid, device, &c, err);

	*ret = (struct policyd_plan){0};
	if (r == 0) {
		ret->verdict = c.peer.verdict;
		snprintf(ret->device, sizeof(ret->device), "%s", c.peer.name);
		r = handoff_decide_out(&c, person, false, c.peer.verdict, &d, err);
		snprintf(ret->rule, sizeof(ret->rule), "%s", d.rule);
	}
	ret->allowed = r == 0;
	ret->reason = *err;
	return r;
}

/* Remembered for a minute; those of before are forgotten. */
static int keep_request(struct core *core, const uint8_t uuid[UUID_LEN],
			const uint8_t device[DEVICE_ID_LEN], uint8_t ret_hid[HID_LEN],
			struct kerr *err)
{
	struct store_request req = {.time = clock_ms()};

	randombytes_buf(req.hid, sizeof(req.hid));
	memcpy(req.uuid, uuid, UUID_LEN);
	memcpy(req.device, device, DEVICE_ID_LEN);
	memcpy(req.person, core->id.owner_name, sizeof(req.person));
	memcpy(ret_hid, req.hid, HID_LEN);
	if (req.time > HANDOFF_REQUEST_MS)
		store_request_expire(core->store, req.time - HANDOFF_REQUEST_MS, NULL);
	return store_request_put(core->store, &req, err);
}

int handoff_request(struct handoffs *h, enum person_role person, const uint8_t uuid[UUID_LEN],
		    const uint8_t device[DEVICE_ID_LEN], uint8_t ret_hid[HID_LEN], struct kerr *err)
{
	struct core *core = h->core;
	struct custody_view view = {0};
	struct policyd_plan plan;
	uint8_t hid[HID_LEN];
	int r = handoff_plan(h, person, uuid, device, &plan, err);

	store_custody_get(core->store, uuid, &view, NULL);
	if (r == 0)
		r = keep_request(core, uuid, device, hid, err);
	core_audit(core, core->id.owner_name, plan.device, view.name, "move", r < 0 ? err : NULL);
	if (r == 0)
		r = store_commit(core->store, COMMIT_PLAIN, err);
	if (r == 0)
		memcpy(ret_hid, hid, HID_LEN);
	return r;
}

int handoff_abort_request(struct handoffs *h, enum person_role person, const uint8_t hid[HID_LEN],
			  struct kerr *err)
{
	struct core *core = h->core;
	struct handoff *ho = handoff_find(h, hid);
	struct custody_view view;
	int r;

	/* Both owner's devices may stop it; what is asked is the right `abort` of the policy, which
	 * at the moment only the owner's local user can have. */
	if (person != PERSON_ROLE_OWNER)
		return kerr_set(err, EACCES, KCODE_POLICY, "Only the owner may stop a hand-off.");
	if (!ho)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "There is no such hand-off here.");
	if (store_custody_by_hid(core->store, hid, &view, NULL) == 0 &&
	    (view.record == CUSTODY_RELEASED || view.record == CUSTODY_OWN))
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"\"%s\" is switching over; it is too late to stop. Bring it back "
				"with `kith move` afterwards.",
				ho->vm);
	ho->abort = true;
	core_audit(core, core->id.owner_name, ho->peer_name, ho->vm, "abort", NULL);
	r = store_commit(core->store, COMMIT_PLAIN, err);
	return r;
}

int handoff_abort_allowed(struct handoffs *h, const uint8_t hid[HID_LEN], struct kerr *err)
{
	const struct handoff *ho = handoff_find(h, hid);

	if (ho && ho->abort)
		return 0;
	return kerr_set(err, EACCES, KCODE_NOT_ALLOWED, "Nobody asked to stop this hand-off.");
}

/* -- The session -- */

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

static bool remember(struct handoffs *h, const uint8_t *data, size_t len)
{
	uint8_t hash[HASH_LEN];

	crypto_hash_sha256(hash, data, len);
	for (size_t i = 0; i < HANDOFF_SEEN_MAX; i++)
		if (memcmp(h->seen[i], hash, HASH_LEN) == 0)
			return true;
	memcpy(h->seen[h->seen_next++ % HANDOFF_SEEN_MAX], hash, HASH_LEN);
	return false;
}

static bool on_seen(void *ctx, const uint8_t hid[HID_LEN], const uint8_t nonce[ATTEST_NONCE_LEN])
{
	struct handoff *ho = ctx;
	struct journal_entry last;
	bool seen = remember(ho->all, nonce, ATTEST_NONCE_LEN);

	if (ho->source)
		return seen;
	/* The journal remembers ids over restarts. */
	return remember(ho->all, hid, HID_LEN) || seen ||
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
	audit_end(ho, err);
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
	r = store_custody_get(h->core->store, req.uuid, &view, err);
	if (r == 0)
		r = begin(h, &config, ret, err);
	if (r < 0)
		return r;
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
	ho->session = session_free(ho->session);
	ho->deadline_ms = clock_ms() + HANDOFF_GRANT_MS;
	ho->worker = worker;
	handoff_enter(ho, HANDOFF_TAKEN);
	*ret = g;
	sodium_memzero(&g, sizeof(g));
	return 0;
}
