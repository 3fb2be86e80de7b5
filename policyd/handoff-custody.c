/* SPDX-License-Identifier: Apache-2.0 */
/* Custody of a hand-off: each record in its order, with the other side's signed word for it. */
#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "policyd/handoff-internal.h"

/* Statement `proof`: its signer must be a known peer; what it says is the journal's business. */
int handoff_check_proof(struct core *core, const uint8_t *proof, size_t len,
			struct custody_statement *ret, struct kerr *err)
{
	struct store_peer peer;

	if (custody_statement_parse(proof, len, ret) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The other device's custody statement cannot be read.");
	if (store_peer_get(core->store, ret->from, &peer, err) < 0)
		return -EACCES;
	return custody_statement_verify(proof, len, peer.sign_pk, ret, err);
}

static int need_handoff(const struct handoff *ho, struct kerr *err)
{
	if (ho && ho->state == HANDOFF_TAKEN)
		return 0;
	return kerr_set(err, EACCES, KCODE_NOT_FOUND,
			"No granted hand-off has this id; the devices have to prove themselves "
			"first.");
}

/* The VM leaves under the policy that the other side was shown, or not at all: else each device
 * ends with another one, and the VM can never come back. */
static int check_policy_version(struct core *core, const struct handoff *ho, struct kerr *err)
{
	uint64_t version;
	int r = store_policy_version(core->store, ho->uuid, &version, err);

	if (r < 0 || version == ho->policy_version)
		return r;
	return kerr_set(err, ESTALE, KCODE_POLICY,
			"The policy of \"%s\" was changed after it was offered to \"%s\". Ask for "
			"the move again.",
			ho->vm, ho->peer_name);
}

/* S1-14: the policy is sealed here before the guest can resume here. A restart of policyd must not
 * forget what was measured either; the source has no such need (check_unchanged()). */
static int seal_offer(struct core *core, const struct handoff *ho, struct kerr *err)
{
	uint8_t own[MEASURE_STATE_LEN];
	struct wbuf w = wbuf_init(own, sizeof(own));

	measure_state_put(&w, &ho->own);
	return store_offer_put(core->store, ho->hid, &ho->offered->policy, &ho->offered->chain, own,
			       w.len, err);
}

/* The first record of each side takes its facts from what was granted, not from the mover. */
static int fill_first(struct handoff_writing *w, struct kerr *err)
{
	struct custody_step *step = &w->step;
	const struct handoff *ho = w->ho;
	int r;

	if (step->record != CUSTODY_PREP && step->record != CUSTODY_RECV)
		return 0;
	r = need_handoff(ho, err);
	if (r < 0)
		return r;
	if (ho->source != (step->record == CUSTODY_PREP))
		return kerr_set(err, EPROTO, KCODE_USAGE, "This record is the other side's.");
	memcpy(step->uuid, ho->uuid, UUID_LEN);
	memcpy(step->peer, ho->peer, DEVICE_ID_LEN);
	memcpy(step->peer_name, ho->peer_name, sizeof(step->peer_name));
	memcpy(step->name, ho->vm, sizeof(step->name));
	step->epoch = ho->epoch;
	return ho->source ? check_policy_version(w->core, ho, err) : seal_offer(w->core, ho, err);
}

/* Of the hand-off's session; from the store if policyd was restarted since. */
static int load_measured(const struct handoff_writing *w, struct measure_state *ret,
			 struct kerr *err)
{
	uint8_t buf[MEASURE_STATE_LEN];
	struct rbuf from;
	size_t len;
	int r;

	if (w->ho && w->ho->measured) {
		*ret = w->ho->own;
		return 0;
	}
	r = store_offer_measured(w->core->store, w->step.hid, buf, sizeof(buf), &len, err);
	if (r < 0)
		return r;
	from = rbuf_init(buf, len);
	if (measure_state_get(&from, ret) == 0 && rbuf_end(&from) == 0)
		return 0;
	return kerr_set(err, EACCES, KCODE_ATTEST_PCR,
			"Nobody knows any more what this device was when it proved itself.");
}

/* B6: between quote and commit this device must not have changed. A release after the copy here is
 * gone (R1) is not bound to that: the data left long ago, and what it frees is the last copy. */
static int check_unchanged(struct handoff_writing *w, struct kerr *err)
{
	struct measure_state before;
	int r;

	if (w->step.record != CUSTODY_PREPARED && w->step.record != CUSTODY_RELEASED)
		return 0;
	if (w->step.record == CUSTODY_RELEASED && w->step.copy_gone && !w->ho)
		return 0;
	r = load_measured(w, &before, err);
	return r < 0 ? r : measure_unchanged(w->core, &before, err);
}

void handoff_sign_statement(struct core *core, const struct custody_statement *st,
			    struct policyd_statement *ret)
{
	*ret = (struct policyd_statement){0};
	if (st->kind == CUSTODY_STATEMENT_NONE)
		return;
	custody_statement_sign(st, core->id.device_sk.data, ret->bytes);
	ret->len = CUSTODY_STATEMENT_LEN;
}

void handoff_add_letter(struct core *core, const struct custody_statement *st,
			struct record_list *out)
{
	struct policyd_letter letter = {.len = CUSTODY_STATEMENT_LEN};

	memcpy(letter.peer, st->to, sizeof(letter.peer));
	custody_statement_sign(st, core->id.device_sk.data, letter.statement);
	record_list_add(out, &letter);
}

/* R1: only the incarnation that ran the migration knows that the guest did not run since; another
 * one, or the same one after the fence, may release only if there is no copy that could. */
static int check_worker(struct handoff_writing *w, struct kerr *err)
{
	if (w->step.record != CUSTODY_RELEASED || w->step.copy_gone)
		return 0;
	if (w->ho && w->ho->worker && w->ho->worker == w->entry->worker)
		return 0;
	return kerr_set(err, EPERM, KCODE_INTERRUPTED,
			"The worker of this hand-off was replaced, so it may not be released any "
			"more; the VM goes on here.");
}

static int take_proof(struct handoff_writing *w, struct kerr *err)
{
	if (!w->entry->proof_len)
		return 0;
	w->step.proof = &w->proof;
	return handoff_check_proof(w->core, w->entry->proof, w->entry->proof_len, &w->proof, err);
}

/* What has to hold, be known or be stored before a record is written, in this order. Each lets the
 * records pass that it is not about; that one may follow the last is asked with the writing. */
static int (*const steps[])(struct handoff_writing *w, struct kerr *err) = {
	check_worker, take_proof, fill_first, check_unchanged, handoff_chain_grow,
};

static void audit_record(const struct handoff_writing *w)
{
	const struct handoff *ho = w->ho;
	struct custody_view view = {0};
	struct store_peer peer;
	char action[32];

	snprintf(action, sizeof(action), "custody-%s", custody_record_to_string(w->step.record));
	if (ho) {
		core_audit(w->core, ho->person, ho->peer_name, ho->vm, action, NULL);
		return;
	}
	if (store_custody_by_hid(w->core->store, w->step.hid, &view, NULL) < 0)
		return;
	/* After a restart: who asked is whose the source is. */
	if (view.source || store_peer_get(w->core->store, view.peer, &peer, NULL) < 0)
		memcpy(peer.person, w->core->id.owner_name, sizeof(peer.person));
	core_audit(w->core, peer.person, view.peer_name, view.name, action, NULL);
}

static int write_record(struct handoff_writing *w, struct custody_view *ret_after, struct kerr *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
		r = steps[i](w, err);
	if (r < 0)
		return r;
	audit_record(w);
	r = store_custody_step(w->core->store, &w->step, w->entry->proof, w->entry->proof_len,
			       ret_after, err);
	/* It was there: what was changed for it is not wanted. */
	if (r > 0)
		store_rollback(w->core->store);
	return r;
}

/* After these the hand-off needs no memory of policyd any more. */
static const bool ends[_CUSTODY_RECORD_MAX] = {
	[CUSTODY_ABORTED] = true, [CUSTODY_DONE] = true, [CUSTODY_RECLAIM] = true,
	[CUSTODY_OWN] = true,	  [CUSTODY_VOID] = true,
};

static void finish(const struct handoff_writing *w)
{
	if (w->ho)
		handoff_enter(w->ho, HANDOFF_FREE);
	if (store_request_delete(w->core->store, w->step.hid, NULL) == 0)
		store_commit(w->core->store, COMMIT_PLAIN, NULL);
}

int handoff_journal(struct handoffs *h, const struct handoff_entry *entry,
		    struct policyd_statement *ret, struct kerr *err)
{
	struct handoff_writing w = {
		.core = h->core,
		.ho = handoff_find(h, entry->hid),
		.entry = entry,
		.step = {.record = entry->record, .copy_gone = entry->copy_gone}};
	struct custody_statement ours;
	struct custody_view after;
	int r;

	memcpy(w.step.hid, entry->hid, HID_LEN);
	memcpy(w.step.self, h->core->id.id, DEVICE_ID_LEN);
	memcpy(w.step.self_name, h->core->config.name, sizeof(w.step.self_name));
	/* An answer that was lost must be had again, whoever asks (F3). */
	r = store_custody_repeated(h->core->store, &w.step, &after, err);
	if (r == 0)
		r = write_record(&w, &after, err);
	if (r < 0)
		return r;
	log_notice("custody", "\"%s\" epoch %llu: %s", after.name, (unsigned long long)after.epoch,
		   custody_record_to_string(entry->record));
	custody_statement_for(&after, h->core->id.id, &ours);
	handoff_sign_statement(h->core, &ours, ret);
	if (ends[entry->record])
		finish(&w);
	return 0;
}

int handoff_requote(struct handoffs *h, const uint8_t hid[HID_LEN], struct kerr *err)
{
	const struct handoff *ho = handoff_find(h, hid);
	int r = need_handoff(ho, err);

	return r < 0 ? r : measure_unchanged(h->core, &ho->own, err);
}

static uint8_t *incoming_slot(struct handoffs *h, const uint8_t uuid[UUID_LEN])
{
	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		if (memcmp(h->incoming[i], uuid, UUID_LEN) == 0)
			return h->incoming[i];
	return NULL;
}

/* What an allowed question changes here: an incoming copy may go on to start; a start from disk
 * after a hand-off was given up must be known before it happens (F6). */
static int note_use(struct handoffs *h, const struct custody_view *view, enum custody_use use,
		    uint8_t *slot, struct kerr *err)
{
	static const uint8_t none[UUID_LEN];
	struct core *core = h->core;

	if (use == CUSTODY_USE_START && custody_must_note_start(view)) {
		core_audit(core, "", core->config.name, view->name, "start", NULL);
		return store_custody_started(core->store, view->uuid, err);
	}
	if (use != CUSTODY_USE_INCOMING || slot)
		return 0;
	slot = incoming_slot(h, none);
	if (!slot)
		return kerr_set(err, EBUSY, KCODE_BUSY, "Too many VMs arrive at once.");
	memcpy(slot, view->uuid, UUID_LEN);
	return 0;
}

int handoff_custody_check(struct handoffs *h, const uint8_t uuid[UUID_LEN], enum custody_use use,
			  struct kerr *err)
{
	struct core *core = h->core;
	uint8_t *slot = incoming_slot(h, uuid);
	struct custody_view view = {0};
	int r;

	/* The one who asks goes by the markers, which still know whose turn it is. */
	if (!core->store)
		return kerr_set(err, EAGAIN, KCODE_LOCKED,
				"No record of VMs is open here; their marks decide.");
	r = store_custody_get(core->store, uuid, &view, err);
	if (r == 0)
		r = custody_may_start(&view, use, slot != NULL, core->config.name, err);
	if (r == 0)
		r = note_use(h, &view, use, slot, err);
	if (use == CUSTODY_USE_START && slot)
		sodium_memzero(slot, UUID_LEN);
	if (r < 0)
		core_audit(core, "", core->config.name, view.name, "start", err);
	return r;
}

int handoff_alarm(struct handoffs *h, const uint8_t uuid[UUID_LEN], const char *text,
		  struct kerr *err)
{
	struct core *core = h->core;
	struct kerr reason = {0};
	struct custody_view view = {0};
	int r = core_require_ready(core, err);

	/* Shown in any case; whoever raises it tries again until it is recorded too. */
	core->alarm_time = clock_unix();
	snprintf(core->alarm, sizeof(core->alarm), "%s", text);
	log_error("alarm", "%s", text);
	if (r == 0)
		r = store_custody_get(core->store, uuid, &view, err);
	if (r < 0)
		return r;
	kerr_set(&reason, EPERM, KCODE_CUSTODY, "%s", text);
	r = core_audit(core, "", core->config.name, view.name, "alarm", &reason);
	return r == 0 ? 0 : kerr_set(err, -r, KCODE_FAILED, "The alarm could not be recorded.");
}
