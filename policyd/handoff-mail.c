/* SPDX-License-Identifier: Apache-2.0 */
/* Custody statements between devices whose hand-off lost its channel: said again until answered.
 * Nothing is decided here: the journal says whether a statement belongs to the hand-off as it
 * stands (C2), the mover writes the records, with these as proofs. */
#include <sodium.h>
#include <string.h>

#include "policyd/handoff-internal.h"

int handoff_custody_outbox(struct handoffs *h, struct record_list *out, struct kerr *err)
{
	struct core *core = h->core;
	_cleanup_free_ struct custody_view *views = NULL;
	size_t n;
	int r = store_custody_list(core->store, &views, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct custody_statement st;

		custody_statement_again(&views[i], core->id.id, &st);
		if (st.kind == CUSTODY_STATEMENT_NONE)
			continue;
		handoff_add_letter(core, &st, out);
	}
	handoff_fetch_outbox(h, out);
	return handoff_doubt_outbox(h, views, n, out, err);
}

static struct handoff_news *find_news(struct handoffs *h, const uint8_t hid[HID_LEN])
{
	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		if (h->inbox[i].said.kind != CUSTODY_STATEMENT_NONE &&
		    memcmp(h->inbox[i].said.hid, hid, HID_LEN) == 0)
			return &h->inbox[i];
	return NULL;
}

/* Keeps what the mover has to act on; the newest of a hand-off counts. */
static void keep(struct handoffs *h, const struct custody_statement *said, const uint8_t *data)
{
	struct handoff_news *news = find_news(h, said->hid);

	if (!news)
		news = &h->inbox[h->inbox_next++ % HANDOFFS_MAX];
	news->said = *said;
	memcpy(news->bytes, data, sizeof(news->bytes));
}

/* The statement that is kept for a hand-off, if the journal still waits for it: a record that was
 * written since makes it old. */
static const struct handoff_news *kept(struct handoffs *h, const struct custody_view *v)
{
	const struct handoff_news *news = find_news(h, v->hid);

	return news && custody_accepts(v, h->core->id.id, &news->said, NULL) == 0 ? news : NULL;
}

/* The record that decided a hand-off, if it may be told: ABORT only once the source runs again
 * (R2), which DONE says; what DONE closed shows in the epoch. */
static int decided(const struct journal_entry *last)
{
	if (last->record == CUSTODY_ABORTED)
		return -1;
	if (last->record != CUSTODY_DONE)
		return last->record;
	if (!last->source)
		return CUSTODY_OWN;
	return last->epoch == last->handoff_epoch ? CUSTODY_ABORTED : -1;
}

/* Whoever is asked about a hand-off that the journal does not know any more, or never knew, can
 * neither release nor own it from now on (M12). A later epoch of the VM says that it did. */
static int answer_unknown(struct handoffs *h, const struct custody_statement *theirs,
			  struct custody_statement *ret, struct kerr *err)
{
	enum custody_statement_kind kind = CUSTODY_STATEMENT_NACK;
	struct core *core = h->core;
	struct custody_view view;
	int r = store_custody_get(core->store, theirs->uuid, &view, err);

	if (r < 0)
		return r;
	/* Granted, and its first record may come any moment. */
	if (handoff_find(h, theirs->hid))
		return 0;
	/* What was lost with a roll-back is not known to be over. */
	if (theirs->kind == CUSTODY_STATEMENT_RELEASE && view.doubt != CUSTODY_SURE)
		return 0;
	if (theirs->kind == CUSTODY_STATEMENT_VOTE)
		kind = CUSTODY_STATEMENT_ABORT;
	else if (theirs->kind == CUSTODY_STATEMENT_RELEASE && view.epoch >= theirs->epoch)
		kind = CUSTODY_STATEMENT_ACK;
	custody_statement_make(kind, theirs->hid, theirs->uuid,
			       custody_statement_handoff_epoch(theirs), core->id.id, theirs->from,
			       ret);
	return 0;
}

static int answer_known(struct core *core, const struct custody_statement *theirs,
			const struct journal_entry *last, struct custody_statement *ret,
			struct kerr *err)
{
	int record = decided(last);

	if (memcmp(last->peer, theirs->from, DEVICE_ID_LEN) != 0 ||
	    memcmp(last->uuid, theirs->uuid, UUID_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_ATTEST_BINDING,
				"That hand-off is with another device, or of another VM.");
	if (record >= 0 && record < _CUSTODY_RECORD_MAX)
		custody_statement_make(custody_statement_of((enum custody_record)record), last->hid,
				       last->uuid, last->handoff_epoch, core->id.id, theirs->from,
				       ret);
	return 0;
}

/* Only these want to hear something; an answer to an answer would go to and fro for ever. */
static bool is_question(enum custody_statement_kind kind)
{
	return kind == CUSTODY_STATEMENT_VOTE || kind == CUSTODY_STATEMENT_RELEASE ||
	       kind == CUSTODY_STATEMENT_ASK;
}

/* What this side said when its last record was written, for one that asks again. */
static int answer(struct handoffs *h, const struct custody_statement *theirs,
		  struct policyd_statement *out, struct kerr *err)
{
	struct custody_statement ours = {0};
	struct core *core = h->core;
	struct journal_entry last;
	int r = 0;

	if (is_question(theirs->kind)) {
		r = store_journal_last(core->store, theirs->hid, &last, NULL);
		if (r == -ENOENT)
			r = answer_unknown(h, theirs, &ours, err);
		else if (r == 0)
			r = answer_known(core, theirs, &last, &ours, err);
	}
	if (r < 0)
		return r;
	handoff_sign_statement(core, &ours, out);
	return 0;
}

int handoff_custody_step(struct handoffs *h, const uint8_t peer[DEVICE_ID_LEN], const uint8_t *data,
			 size_t len, struct policyd_statement *out, struct kerr *err)
{
	struct core *core = h->core;
	struct custody_statement st;
	struct custody_view view;
	int r = handoff_check_proof(core, data, len, &st, err);

	if (r < 0)
		return r;
	if (memcmp(st.from, peer, DEVICE_ID_LEN) != 0 ||
	    memcmp(st.to, core->id.id, DEVICE_ID_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_ATTEST_BINDING,
				"The statement is not from that device to this one.");
	if (handoff_is_about_fetch(st.kind)) {
		handoff_fetch_step(h, &st, out);
		return 0;
	}
	if (handoff_is_about_doubt(st.kind))
		return handoff_doubt_step(core, &st, data, len, out, err);
	r = store_custody_by_hid(core->store, st.hid, &view, NULL);
	if (r == 0 && custody_accepts(&view, core->id.id, &st, NULL) == 0) {
		keep(h, &st, data);
		out->len = 0;
		return 0;
	}
	return answer(h, &st, out, err);
}

int handoff_custody_accept(struct handoffs *h, const uint8_t hid[HID_LEN], const uint8_t *data,
			   size_t len, struct kerr *err)
{
	struct core *core = h->core;
	struct custody_statement st;
	struct custody_view view;
	int r = handoff_check_proof(core, data, len, &st, err);

	if (r == 0)
		r = store_custody_by_hid(core->store, hid, &view, err);
	if (r == 0)
		r = custody_accepts(&view, core->id.id, &st, err);
	if (r == 0)
		keep(h, &st, data);
	return r;
}

void handoff_custody_inbox(struct handoffs *h, const uint8_t hid[HID_LEN], struct policyd_news *ret)
{
	const struct handoff_news *news = NULL;
	struct custody_view view;

	*ret = (struct policyd_news){0};
	if (store_custody_by_hid(h->core->store, hid, &view, NULL) == 0)
		news = kept(h, &view);
	if (!news)
		return;
	ret->kind = news->said.kind;
	ret->statement.len = sizeof(news->bytes);
	memcpy(ret->statement.bytes, news->bytes, sizeof(news->bytes));
}

/* A copy that may not run until the other side spoke; with its ACK it never may again. With its
 * NACK (or an ABORT at the destination) the journal has to say so first. */
static bool is_bound(struct handoffs *h, const struct custody_view *v, enum fence_verdict *ret)
{
	const struct handoff_news *news = kept(h, v);

	if (!v->handoff || (v->record != CUSTODY_RELEASED && v->record != CUSTODY_PREPARED))
		return false;
	*ret = news && news->said.kind == CUSTODY_STATEMENT_ACK ? FENCE_KILL : FENCE_FREEZE;
	return true;
}

int handoff_bound_list(struct handoffs *h, struct record_list *out, struct kerr *err)
{
	_cleanup_free_ struct custody_view *views = NULL;
	size_t n;
	int r = store_custody_list(h->core->store, &views, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct policyd_fence f;

		if (!is_bound(h, &views[i], &f.verdict))
			continue;
		memcpy(f.uuid, views[i].uuid, sizeof(f.uuid));
		memcpy(f.name, views[i].name, sizeof(f.name));
		memcpy(f.peer_name, views[i].peer_name, sizeof(f.peer_name));
		record_list_add(out, &f);
	}
	return 0;
}

void handoff_end_workers(struct handoffs *h)
{
	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		h->list[i].worker = 0;
}
