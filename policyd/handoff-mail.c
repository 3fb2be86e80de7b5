/* SPDX-License-Identifier: Apache-2.0 */
/* Custody statements between devices whose hand-off lost its channel: said again until answered.
 * Nothing is decided here; the mover writes the records, with these as proofs. */
#include <string.h>

#include "policyd/handoff-internal.h"

/* Which side has to keep talking: a released source, a prepared destination. */
static bool must_speak(const struct custody_view *v)
{
	return v->handoff &&
	       (v->source ? v->record == CUSTODY_RELEASED : v->record == CUSTODY_PREPARED);
}

int handoff_custody_outbox(struct core *core, struct wbuf *out, struct kerr *err)
{
	_cleanup_free_ struct custody_view *views = NULL;
	size_t n, count = 0;
	int r = store_custody_list(core->store, &views, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		count += must_speak(&views[i]);
	wbuf_u16(out, (uint16_t)count);
	for (size_t i = 0; i < n; i++) {
		struct custody_statement st;

		if (!must_speak(&views[i]))
			continue;
		custody_statement_for(&views[i], core->id.id, &st);
		wbuf_bytes(out, views[i].peer, DEVICE_ID_LEN);
		handoff_sign_statement(core, &st, out);
	}
	return wbuf_error(out);
}

/* Keeps what the mover has to act on; the newest of a hand-off counts. */
static void keep(struct handoffs *h, const uint8_t hid[HID_LEN], const uint8_t *data, size_t len)
{
	size_t at = h->inbox_next % HANDOFFS_MAX;

	if (len != CUSTODY_STATEMENT_LEN)
		return;
	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		if (h->inbox[i].full && memcmp(h->inbox[i].hid, hid, HID_LEN) == 0)
			at = i;
	if (at == h->inbox_next % HANDOFFS_MAX)
		h->inbox_next++;
	memcpy(h->inbox[at].hid, hid, HID_LEN);
	memcpy(h->inbox[at].statement, data, len);
	h->inbox[at].full = true;
}

/* Does this statement move the hand-off on, as it stands in the journal? */
static bool wanted(const struct custody_view *v, enum custody_statement_kind kind)
{
	if (v->source && v->record == CUSTODY_RELEASED)
		return kind == CUSTODY_STATEMENT_ACK || kind == CUSTODY_STATEMENT_NACK;
	if (v->source && (v->record == CUSTODY_PREP || v->record == CUSTODY_ABORTED))
		return kind == CUSTODY_STATEMENT_VOTE;
	if (!v->source && v->record == CUSTODY_PREPARED)
		return kind == CUSTODY_STATEMENT_RELEASE || kind == CUSTODY_STATEMENT_ABORT;
	return false;
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

/* What this side said when its last record was written, for one that asks again. */
static int answer(struct core *core, const struct custody_statement *theirs, struct wbuf *out,
		  struct kerr *err)
{
	struct custody_statement ours = {0};
	struct journal_entry last;
	int record, r = store_journal_last(core->store, theirs->hid, &last, err);

	if (r < 0)
		return r;
	if (memcmp(last.peer, theirs->from, DEVICE_ID_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_ATTEST_BINDING,
				"That hand-off is with another device.");
	record = decided(&last);
	if (record >= 0 && record < _CUSTODY_RECORD_MAX)
		custody_statement_of((enum custody_record)record, last.hid, last.uuid,
				     last.handoff_epoch, core->id.id, theirs->from, &ours);
	handoff_sign_statement(core, &ours, out);
	return 0;
}

int handoff_custody_step(struct core *core, const uint8_t peer[DEVICE_ID_LEN], const uint8_t *data,
			 size_t len, struct wbuf *out, struct kerr *err)
{
	struct custody_statement st;
	struct custody_view view;
	int r = handoff_check_proof(core, data, len, &st, err);

	if (r < 0)
		return r;
	if (memcmp(st.from, peer, DEVICE_ID_LEN) != 0 ||
	    memcmp(st.to, core->id.id, DEVICE_ID_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_ATTEST_BINDING,
				"The statement is not from that device to this one.");
	r = store_custody_by_hid(core->store, st.hid, &view, NULL);
	if (r == 0 && wanted(&view, st.kind)) {
		keep(core->handoffs, st.hid, data, len);
		wbuf_blob(out, NULL, 0);
		return 0;
	}
	return answer(core, &st, out, err);
}

int handoff_custody_inbox(struct core *core, const uint8_t hid[HID_LEN], struct wbuf *out,
			  struct kerr *err)
{
	struct handoffs *h = core->handoffs;

	(void)err;
	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		if (h->inbox[i].full && memcmp(h->inbox[i].hid, hid, HID_LEN) == 0) {
			wbuf_u8(out, h->inbox[i].statement[16]);
			wbuf_blob(out, h->inbox[i].statement, CUSTODY_STATEMENT_LEN);
			return 0;
		}
	wbuf_u8(out, CUSTODY_STATEMENT_NONE);
	wbuf_blob(out, NULL, 0);
	return 0;
}

static const struct custody_statement *inbox_find(struct handoffs *h, const uint8_t hid[HID_LEN],
						  struct custody_statement *room)
{
	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		if (h->inbox[i].full && memcmp(h->inbox[i].hid, hid, HID_LEN) == 0 &&
		    custody_statement_parse(h->inbox[i].statement, CUSTODY_STATEMENT_LEN, room) ==
			    0)
			return room;
	return NULL;
}

/* NACK: the copy here is the last one and will be reclaimed; libvirtd may have it. */
static bool must_fence(struct handoffs *h, const struct custody_view *v, enum fence_verdict *ret)
{
	struct custody_statement room;
	const struct custody_statement *st;

	if (!v->handoff || !v->source || v->record != CUSTODY_RELEASED)
		return false;
	st = inbox_find(h, v->hid, &room);
	if (st && st->kind == CUSTODY_STATEMENT_NACK)
		return false;
	*ret = st && st->kind == CUSTODY_STATEMENT_ACK ? FENCE_KILL : FENCE_FREEZE;
	return true;
}

int handoff_fence(struct core *core, struct wbuf *out, struct kerr *err)
{
	_cleanup_free_ struct custody_view *views = NULL;
	enum fence_verdict verdict;
	size_t n, count = 0;
	int r = store_custody_list(core->store, &views, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		core->handoffs->list[i].worker = 0;
	for (size_t i = 0; i < n; i++)
		count += must_fence(core->handoffs, &views[i], &verdict);
	wbuf_u16(out, (uint16_t)count);
	for (size_t i = 0; i < n; i++) {
		if (!must_fence(core->handoffs, &views[i], &verdict))
			continue;
		wbuf_bytes(out, views[i].uuid, UUID_LEN);
		wbuf_string(out, views[i].name);
		wbuf_string(out, views[i].peer_name);
		wbuf_u8(out, (uint8_t)verdict);
	}
	return wbuf_error(out);
}
