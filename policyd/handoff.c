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
	if (ho->policy)
		store_policy_clear(ho->policy);
	free(ho->policy);
	free(ho->chain);
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

	if (ho->state != HANDOFF_TAKEN)
		return clock_ms() > ho->deadline_ms;
	return clock_ms() > ho->deadline_ms &&
	       store_custody_by_hid(ho->core->store, ho->hid, &view, NULL) < 0;
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

struct handoff_case *handoff_case_free(struct handoff_case *c)
{
	if (c)
		store_policy_clear(&c->policy);
	free(c);
	return NULL;
}

static int handoff_case_load(struct core *core, const uint8_t uuid[UUID_LEN],
			     const uint8_t device[DEVICE_ID_LEN], struct handoff_case **ret,
			     struct kerr *err)
{
	_cleanup_(handoff_case_freep) struct handoff_case *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	r = store_peer_get(core->store, device, &c->peer, err);
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
	if (r == 0)
		*ret = TAKE_PTR(c);
	return r;
}

/* "Own" means: of the VM's owner, who may be somebody else than this device's. */
enum person_role handoff_dest_person(const struct handoff_case *c)
{
	if (memcmp(c->peer.owner_pk, c->policy.owner_pk, SIGN_PK_LEN) == 0)
		return PERSON_ROLE_OWNER;
	return c->foreign || c->peer.own ? PERSON_ROLE_GUEST : c->peer.person_role;
}

/* May the VM leave for that device? `fresh`: the verdict is from this very session. */
static int handoff_decide_out(const struct handoff_case *c, enum person_role person, bool fresh,
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
	struct core *core = h->core;
	_cleanup_(handoff_case_freep) struct handoff_case *c = NULL;
	struct policy_decision d = {0};
	int r = handoff_case_load(core, uuid, device, &c, err);

	*ret = (struct policyd_plan){0};
	if (r == 0) {
		ret->verdict = c->peer.verdict;
		snprintf(ret->device, sizeof(ret->device), "%s", c->peer.name);
		r = handoff_decide_out(c, person, false, c->peer.verdict, &d, err);
		snprintf(ret->rule, sizeof(ret->rule), "%s", d.rule);
	}
	ret->allowed = r == 0;
	ret->reason = *err;
	return r;
}

int handoff_request(struct handoffs *h, enum person_role person, const uint8_t uuid[UUID_LEN],
		    const uint8_t device[DEVICE_ID_LEN], uint8_t ret_hid[HID_LEN], struct kerr *err)
{
	struct core *core = h->core;
	struct store_request req = {.time = clock_ms()};
	struct custody_view view = {0};
	struct policyd_plan plan;
	int r = handoff_plan(h, person, uuid, device, &plan, err);

	if (store_custody_get(core->store, uuid, &view, NULL) < 0)
		view.name[0] = '\0';
	if (r == 0) {
		randombytes_buf(req.hid, sizeof(req.hid));
		memcpy(req.uuid, uuid, UUID_LEN);
		memcpy(req.device, device, DEVICE_ID_LEN);
		snprintf(req.person, sizeof(req.person), "%s", core->id.owner_name);
		if (req.time > HANDOFF_REQUEST_MS)
			store_request_expire(core->store, req.time - HANDOFF_REQUEST_MS, NULL);
		r = store_request_put(core->store, &req, err);
	}
	if (r < 0) {
		core_audit(core, core->id.owner_name, plan.device, view.name, "move", err);
		return r;
	}
	core_audit(core, core->id.owner_name, plan.device, view.name, "move", NULL);
	r = store_commit(core->store, COMMIT_PLAIN, err);
	if (r == 0)
		memcpy(ret_hid, req.hid, HID_LEN);
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

static int on_offer(void *ctx, struct wbuf *w, struct kerr *err)
{
	struct handoff *ho = ctx;
	_cleanup_(handoff_case_freep) struct handoff_case *c = NULL;
	struct policy_decision d;
	int r = handoff_case_load(ho->core, ho->uuid, ho->peer, &c, err);

	/* The decision that counts: with the evidence just judged. */
	if (r == 0)
		r = handoff_decide_out(c, PERSON_ROLE_OWNER, true, ho->verdict, &d, err);
	if (r < 0)
		return r;
	ho->dest_person = handoff_dest_person(c);
	return handoff_offer_put(ho, w, err);
}

static int on_accept(void *ctx, const uint8_t *offer, size_t len, struct kerr *err)
{
	return handoff_offer_accept(ctx, offer, len, err);
}

static const struct session_ops ops = {
	.quote = on_quote,
	.judge = on_judge,
	.seen = on_seen,
	.offer = on_offer,
	.accept = on_accept,
};

static enum conversation_state settle(struct handoff *ho, enum conversation_state state,
				      struct kerr *err)
{
	switch (state) {
	case CONVERSATION_SEND:
	case CONVERSATION_WAIT_OWNER:
		return state;
	case CONVERSATION_DONE:
		ho->deadline_ms = clock_ms() + HANDOFF_GRANT_MS;
		handoff_enter(ho, HANDOFF_GRANTED);
		return state;
	case CONVERSATION_REFUSED:
	case _CONVERSATION_STATE_MAX:
		break;
	}
	/* What a peer caused does not push out what the owner did. */
	(ho->source ? core_audit : core_audit_peer)(ho->core, ho->person, ho->peer_name, ho->vm,
						    ho->source ? "move-out" : "move-in", err);
	if (ho->source && store_request_delete(ho->core->store, ho->hid, NULL) == 0)
		store_commit(ho->core->store, COMMIT_PLAIN, NULL);
	handoff_enter(ho, HANDOFF_FREE);
	return CONVERSATION_REFUSED;
}

static struct handoff *begin(struct handoffs *h, const uint8_t hid[HID_LEN],
			     const uint8_t peer[DEVICE_ID_LEN],
			     const uint8_t exporter[EXPORTER_LEN], bool source, struct kerr *err)
{
	struct session_config config = {.source = source};
	struct core *core = h->core;
	struct store_peer known;
	struct handoff *ho;
	int r;

	if (handoff_find(h, hid)) {
		kerr_set(err, EEXIST, KCODE_ATTEST_REPLAY, "This hand-off is under way already.");
		return NULL;
	}
	if (store_peer_get(core->store, peer, &known, err) < 0)
		return NULL;
	if (!source && handoff_admit(h, &known, err) < 0)
		return NULL;
	ho = handoff_add(h, hid);
	if (!ho) {
		kerr_set(err, EBUSY, KCODE_BUSY, "Too many hand-offs are under way here.");
		return NULL;
	}
	ho->source = source;
	ho->peer_own = known.own;
	ho->quoted = known.quoted;
	ho->before = known.quote;
	memcpy(ho->exporter, exporter, EXPORTER_LEN);
	memcpy(ho->peer, peer, DEVICE_ID_LEN);
	memcpy(ho->peer_name, known.name, sizeof(ho->peer_name));
	memcpy(ho->person, known.person, sizeof(ho->person));
	memcpy(config.hid, hid, HID_LEN);
	memcpy(config.exporter, exporter, EXPORTER_LEN);
	memcpy(config.own, core->id.id, DEVICE_ID_LEN);
	memcpy(config.peer, peer, DEVICE_ID_LEN);
	r = session_new(&config, &ops, ho, clock_ms(), &ho->session);
	ho->deadline_ms = clock_ms() + SESSION_MAX_MS;
	handoff_enter(ho, HANDOFF_SESSION);
	if (r < 0) {
		kerr_set(err, -r, KCODE_FAILED, "The session could not start: %s.", strerror(-r));
		handoff_enter(ho, HANDOFF_FREE);
		return NULL;
	}
	return ho;
}

enum conversation_state handoff_session_start(struct handoffs *h, const uint8_t hid[HID_LEN],
					      const uint8_t exporter[EXPORTER_LEN],
					      struct wbuf *out, struct kerr *err)
{
	struct core *core = h->core;
	struct store_request req;
	struct custody_view view;
	struct handoff *ho;

	if (store_request_get(core->store, hid, &req, err) < 0)
		return CONVERSATION_REFUSED;
	/* Asked for later than now is asked for before a reboot. */
	if (clock_ms() > req.time + HANDOFF_REQUEST_MS || clock_ms() < req.time) {
		kerr_set(err, ETIMEDOUT, KCODE_ATTEST_REPLAY,
			 "The request to move is more than a minute old. Ask again.");
		return CONVERSATION_REFUSED;
	}
	if (store_custody_get(core->store, req.uuid, &view, err) < 0)
		return CONVERSATION_REFUSED;
	ho = begin(h, hid, req.device, exporter, true, err);
	if (!ho)
		return CONVERSATION_REFUSED;
	memcpy(ho->uuid, req.uuid, UUID_LEN);
	memcpy(ho->vm, view.name, sizeof(ho->vm));
	memcpy(ho->person, req.person, sizeof(ho->person));
	ho->epoch = view.epoch;
	return settle(ho, session_start(ho->session, out, err), err);
}

/* M10: who knows the number of somebody else's hand-off cannot end it. */
static bool is_its_peer(const struct handoff *ho, const uint8_t peer[DEVICE_ID_LEN],
			const uint8_t exporter[EXPORTER_LEN])
{
	return memcmp(ho->peer, peer, DEVICE_ID_LEN) == 0 &&
	       sodium_memcmp(ho->exporter, exporter, EXPORTER_LEN) == 0;
}

enum conversation_state handoff_session_step(struct handoffs *h, const uint8_t hid[HID_LEN],
					     const uint8_t peer[DEVICE_ID_LEN],
					     const uint8_t exporter[EXPORTER_LEN],
					     const uint8_t *data, size_t len, struct wbuf *out,
					     struct kerr *err)
{
	struct handoff *ho = handoff_find(h, hid);

	if (!ho)
		ho = begin(h, hid, peer, exporter, false, err);
	if (!ho)
		return CONVERSATION_REFUSED;
	if (!is_its_peer(ho, peer, exporter)) {
		kerr_set(err, EACCES, KCODE_ATTEST_BINDING,
			 "A message of the hand-off came over another channel or from another "
			 "device.");
		return CONVERSATION_REFUSED;
	}
	if (ho->state != HANDOFF_SESSION) {
		kerr_set(err, EPROTO, KCODE_ATTEST_REPLAY,
			 "This hand-off is past the point where devices prove themselves.");
		return CONVERSATION_REFUSED;
	}
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
