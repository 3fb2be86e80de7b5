/* SPDX-License-Identifier: Apache-2.0 */
/* What a person wants: may the VM leave for that device, and shall a hand-off stop? */
#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "policyd/handoff-internal.h"

void handoff_case_clear(struct handoff_case *c)
{
	store_policy_clear(&c->policy);
}

int handoff_case_vm(struct core *core, const uint8_t uuid[UUID_LEN], struct handoff_case *c,
		    struct kerr *err)
{
	int r = store_custody_get(core->store, uuid, &c->view, err);

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

int handoff_case_load(struct core *core, const uint8_t uuid[UUID_LEN],
		      const uint8_t device[DEVICE_ID_LEN], struct handoff_case *c, struct kerr *err)
{
	int r = store_peer_get(core->store, device, &c->peer, err);

	return r < 0 ? r : handoff_case_vm(core, uuid, c, err);
}

/* "Own" means: of the VM's owner, who may be somebody else than this device's. */
enum person_role handoff_dest_person(const struct handoff_case *c)
{
	if (memcmp(c->peer.owner_pk, c->policy.owner_pk, SIGN_PK_LEN) == 0)
		return PERSON_ROLE_OWNER;
	return c->foreign || c->peer.own ? PERSON_ROLE_GUEST : c->peer.person_role;
}

struct policy_facts handoff_facts_of(const struct store_peer *peer)
{
	return (struct policy_facts){
		.dest_role = peer->role,
		.dest_name = peer->name,
		.verdict = peer->verdict,
		.tier = peer->tier,
		.minute = clock_minute(),
		.pcrs = pcrs_extended(peer->evidence_mask, peer->evidence),
	};
}

struct policy_facts handoff_facts_here(const struct core *core)
{
	return (struct policy_facts){
		.dest_role = core->config.role,
		.dest_name = core->config.name,
		.tier = core->tpm ? tpm_facts(core->tpm)->tier : TPM_TIER_NONE,
		.minute = clock_minute(),
	};
}

int handoff_decide_out(const struct handoff_case *c, enum person_role person, bool fresh,
		       enum verdict verdict, struct policy_decision *ret, struct kerr *err)
{
	struct policy_facts facts = handoff_facts_of(&c->peer);

	facts.person = c->foreign ? PERSON_ROLE_GUEST : person;
	facts.action = POLICY_ACTION_MOVE_OUT;
	facts.fresh = fresh;
	facts.dest_person = handoff_dest_person(c);
	facts.verdict = verdict;
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

/* Where the question is about this device, it is its VM owner's as the device is. */
static int question_facts(struct core *core, const struct policyd_question *q,
			  struct handoff_case *c, struct policy_facts *f, struct kerr *err)
{
	int r;

	if (memcmp(q->device, core->id.id, DEVICE_ID_LEN) == 0) {
		r = handoff_case_vm(core, q->uuid, c, err);
		*f = handoff_facts_here(core);
		f->dest_person = c->foreign ? PERSON_ROLE_GUEST : PERSON_ROLE_OWNER;
		return r;
	}
	r = handoff_case_load(core, q->uuid, q->device, c, err);
	if (r < 0)
		return r;
	*f = handoff_facts_of(&c->peer);
	f->dest_person = handoff_dest_person(c);
	return 0;
}

int handoff_why(struct core *core, const struct policyd_question *q, struct policyd_plan *ret,
		struct kerr *err)
{
	_cleanup_(handoff_case_clear) struct handoff_case c = {0};
	struct policy_facts f;
	struct policy_decision d;
	int r = question_facts(core, q, &c, &f, err);

	*ret = (struct policyd_plan){0};
	if (r < 0)
		return r;
	f.action = q->action;
	f.person = c.foreign ? PERSON_ROLE_GUEST : q->person;
	policy_decide(&c.rules, c.view.name, &f, &d);
	ret->allowed = d.allowed;
	ret->verdict = f.verdict;
	ret->reason = d.reason;
	snprintf(ret->device, sizeof(ret->device), "%s", f.dest_name);
	snprintf(ret->rule, sizeof(ret->rule), "%s", d.rule);
	return 0;
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

static void keep_wish(struct handoffs *h, const uint8_t hid[HID_LEN], enum move_rung rung)
{
	struct handoff_wish *w = &h->wishes[h->wish_next++ % ARRAY_SIZE(h->wishes)];

	memcpy(w->hid, hid, HID_LEN);
	w->rung = rung;
}

int handoff_wish(const struct handoffs *h, const uint8_t hid[HID_LEN], enum move_rung *ret,
		 struct kerr *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(h->wishes); i++)
		if (memcmp(h->wishes[i].hid, hid, HID_LEN) == 0) {
			*ret = h->wishes[i].rung;
			return 0;
		}
	return kerr_set(err, EBUSY, KCODE_BUSY,
			"Too many moves were asked for after this one. Ask again.");
}

int handoff_request(struct handoffs *h, enum person_role person, const struct policyd_move *move,
		    uint8_t ret_hid[HID_LEN], struct kerr *err)
{
	struct core *core = h->core;
	struct custody_view view = {0};
	struct policyd_plan plan;
	uint8_t hid[HID_LEN] = {0};
	int r = handoff_plan(h, person, move->uuid, move->device, &plan, err);

	store_custody_get(core->store, move->uuid, &view, NULL);
	if (r == 0)
		r = keep_request(core, move->uuid, move->device, hid, err);
	core_audit(core, core->id.owner_name, plan.device, view.name, "move", r < 0 ? err : NULL);
	if (r == 0)
		r = store_commit(core->store, COMMIT_PLAIN, err);
	if (r < 0)
		return r;
	keep_wish(h, hid, move->rung);
	memcpy(ret_hid, hid, HID_LEN);
	return 0;
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
