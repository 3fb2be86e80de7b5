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

/* A restart of policyd must not forget it; the source has no such need (check_unchanged()). */
static int save_measured(struct core *core, const struct handoff *ho, struct kerr *err)
{
	uint8_t buf[MEASURE_STATE_LEN];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	measure_state_put(&w, &ho->own);
	return store_offer_set_measured(core->store, ho->hid, buf, w.len, err);
}

/* The first record of each side takes its facts from what was granted, not from the mover. */
static int fill_first(struct core *core, const struct handoff *ho, struct custody_step *step,
		      struct kerr *err)
{
	int r = need_handoff(ho, err);

	if (r < 0)
		return r;
	if (ho->source != (step->record == CUSTODY_PREP))
		return kerr_set(err, EPROTO, KCODE_USAGE, "This record is the other side's.");
	memcpy(step->uuid, ho->uuid, UUID_LEN);
	memcpy(step->peer, ho->peer, DEVICE_ID_LEN);
	memcpy(step->peer_name, ho->peer_name, sizeof(step->peer_name));
	memcpy(step->name, ho->vm, sizeof(step->name));
	step->epoch = ho->epoch;
	if (step->record == CUSTODY_PREP)
		return check_policy_version(core, ho, err);
	/* S1-14: the policy is sealed here before the guest can resume here. */
	r = store_offer_put(core->store, step->hid, &ho->offered->policy, &ho->offered->chain, err);
	return r < 0 ? r : save_measured(core, ho, err);
}

/* Of the hand-off's session; from the store if policyd was restarted since. */
static int load_measured(struct handoffs *h, const uint8_t hid[HID_LEN], struct measure_state *ret,
			 struct kerr *err)
{
	const struct handoff *ho = handoff_find(h, hid);
	uint8_t buf[MEASURE_STATE_LEN];
	struct rbuf from;
	size_t len;
	int r;

	if (ho && ho->measured) {
		*ret = ho->own;
		return 0;
	}
	r = store_offer_measured(h->core->store, hid, buf, sizeof(buf), &len, err);
	if (r < 0)
		return r;
	from = rbuf_init(buf, len);
	if (measure_state_get(&from, ret) == 0)
		return 0;
	return kerr_set(err, EACCES, KCODE_ATTEST_PCR,
			"Nobody knows any more what this device was when it proved itself.");
}

/* B6: between quote and commit this device must not have changed. A release after the copy here is
 * gone (R1) is not bound to that: the data left long ago, and what it frees is the last copy. */
static int check_unchanged(struct handoffs *h, const struct handoff_entry *entry, struct kerr *err)
{
	struct measure_state before;
	int r;

	if (entry->record != CUSTODY_PREPARED && entry->record != CUSTODY_RELEASED)
		return 0;
	if (entry->record == CUSTODY_RELEASED && entry->copy_gone && !handoff_find(h, entry->hid))
		return 0;
	r = load_measured(h, entry->hid, &before, err);
	return r < 0 ? r : measure_unchanged(h->core, &before, err);
}

static void finish(struct core *core, struct handoff *ho, const uint8_t hid[HID_LEN],
		   enum custody_record record)
{
	switch (record) {
	case CUSTODY_PREP:
	case CUSTODY_RECV:
	case CUSTODY_PREPARED:
	case CUSTODY_RELEASED:
		return;
	case CUSTODY_ABORTED:
	case CUSTODY_DONE:
	case CUSTODY_RECLAIM:
	case CUSTODY_OWN:
	case CUSTODY_VOID:
	case _CUSTODY_RECORD_MAX:
		break;
	}
	if (ho)
		handoff_enter(ho, HANDOFF_FREE);
	if (store_request_delete(core->store, hid, NULL) == 0)
		store_commit(core->store, COMMIT_PLAIN, NULL);
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

static void audit_step(struct core *core, const struct handoff *ho, const uint8_t hid[HID_LEN],
		       enum custody_record record)
{
	struct custody_view view = {0};
	struct store_peer peer;
	char action[32];

	snprintf(action, sizeof(action), "custody-%s", custody_record_to_string(record));
	if (!ho && store_custody_by_hid(core->store, hid, &view, NULL) < 0)
		return;
	if (ho) {
		core_audit(core, ho->person, ho->peer_name, ho->vm, action, NULL);
		return;
	}
	/* After a restart: who asked is whose the source is. */
	if (view.source || store_peer_get(core->store, view.peer, &peer, NULL) < 0)
		memcpy(peer.person, core->id.owner_name, sizeof(peer.person));
	core_audit(core, peer.person, view.peer_name, view.name, action, NULL);
}

/* R1: only the incarnation that ran the migration knows that the guest did not run since; another
 * one, or the same one after the fence, may release only if there is no copy that could. */
static int check_worker(const struct handoff *ho, const struct handoff_entry *entry,
			struct kerr *err)
{
	if (entry->record != CUSTODY_RELEASED || entry->copy_gone)
		return 0;
	if (ho && ho->worker && ho->worker == entry->worker)
		return 0;
	return kerr_set(err, EPERM, KCODE_INTERRUPTED,
			"The worker of this hand-off was replaced, so it may not be released any "
			"more; the VM goes on here.");
}

/* The statement that the record obliges us to make, and the end of what it ended. */
static void conclude(struct core *core, struct handoff *ho, const struct custody_view *after,
		     const uint8_t hid[HID_LEN], enum custody_record record,
		     struct policyd_statement *out)
{
	struct custody_statement ours;

	log_notice("custody", "\"%s\" epoch %llu: %s", after->name,
		   (unsigned long long)after->epoch, custody_record_to_string(record));
	custody_statement_for(after, core->id.id, &ours);
	handoff_sign_statement(core, &ours, out);
	finish(core, ho, hid, record);
}

static int write_record(struct handoffs *h, struct handoff *ho, const struct handoff_entry *entry,
			struct custody_step *step, struct custody_view *ret_after, struct kerr *err)
{
	struct custody_statement statement;
	struct core *core = h->core;
	int r = check_worker(ho, entry, err);

	if (r == 0 && entry->proof_len) {
		r = handoff_check_proof(core, entry->proof, entry->proof_len, &statement, err);
		step->proof = &statement;
	}
	if (r == 0 && (entry->record == CUSTODY_PREP || entry->record == CUSTODY_RECV))
		r = fill_first(core, ho, step, err);
	if (r == 0)
		r = check_unchanged(h, entry, err);
	if (r == 0)
		r = handoff_chain_grow(core, step, entry, err);
	if (r < 0)
		return r;
	audit_step(core, ho, entry->hid, entry->record);
	r = store_custody_step(core->store, core->marker_fd, step, clock_unix(), entry->proof,
			       entry->proof_len, ret_after, err);
	step->proof = NULL;
	return r;
}

int handoff_journal(struct handoffs *h, const struct handoff_entry *entry,
		    struct policyd_statement *out, struct kerr *err)
{
	struct core *core = h->core;
	struct handoff *ho = handoff_find(h, entry->hid);
	struct custody_step step = {.record = entry->record, .copy_gone = entry->copy_gone};
	struct custody_view after;
	int r;

	memcpy(step.hid, entry->hid, HID_LEN);
	memcpy(step.self, core->id.id, DEVICE_ID_LEN);
	snprintf(step.self_name, sizeof(step.self_name), "%s", core->config.name);
	r = store_custody_repeated(core->store, &step, &after, err);
	if (r == 0)
		r = write_record(h, ho, entry, &step, &after, err);
	if (r < 0)
		return r;
	if (r == 1)
		store_rollback(core->store);
	conclude(core, ho, &after, entry->hid, entry->record, out);
	return 0;
}

int handoff_requote(struct handoffs *h, const uint8_t hid[HID_LEN], struct kerr *err)
{
	struct core *core = h->core;
	const struct handoff *ho = handoff_find(h, hid);
	int r = need_handoff(ho, err);

	return r < 0 ? r : measure_unchanged(core, &ho->own, err);
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
		return kerr_set(err, EAGAIN, KCODE_LOCKED, "The custody of VMs is locked.");
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
