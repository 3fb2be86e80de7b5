/* SPDX-License-Identifier: Apache-2.0 */
/* VMs in doubt: whom to ask, what answers change, and the owner's word. */
#include <string.h>

#include "base/log.h"
#include "policyd/custody-doubt.h"
#include "policyd/handoff-internal.h"

/* So many questions in one outbox; the others come with the next one. */
#define QUESTIONS_MAX 64

static int end(struct core *core, const struct custody_view *before,
	       const struct custody_view *after, int record, const uint8_t *proof, size_t proof_len,
	       struct kerr *err)
{
	log_notice("custody", "\"%s\" is no longer in doubt: it is %s.", after->name,
		   after->here ? "here" : "not here");
	return store_doubt_end(core->store, before, after, record, proof, proof_len, err);
}

/* Over when nobody is left to ask: all answered, or were forgotten by the owner. */
static int settle(struct core *core, const struct custody_view *view, size_t unheard,
		  struct kerr *err)
{
	struct custody_view after;

	if (unheard)
		return 0;
	custody_doubt_over(view, &after);
	return end(core, view, &after, JOURNAL_DOUBT_OVER, NULL, 0, err);
}

static int ask(struct core *core, const struct custody_view *view, struct record_list *out,
	       size_t *count, struct kerr *err)
{
	_cleanup_free_ struct store_peer *peers = NULL;
	size_t n;
	int r = store_doubt_unheard(core->store, view->uuid, &peers, &n, err);

	for (size_t i = 0; r == 0 && i < n && *count < QUESTIONS_MAX; i++) {
		struct custody_statement st;

		custody_doubt_ask(view, core->id.id, peers[i].id, &st);
		handoff_add_letter(core, &st, out);
		(*count)++;
	}
	return r < 0 ? r : settle(core, view, n, err);
}

int handoff_doubt_outbox(struct handoffs *h, const struct custody_view *views, size_t n,
			 struct record_list *out, struct kerr *err)
{
	struct core *core = h->core;
	size_t first = h->doubt_next, count = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		size_t at = (first + i) % n;

		/* Full: the next outbox goes on here, so that none waits for ever. */
		if (count == QUESTIONS_MAX) {
			h->doubt_next = at;
			break;
		}
		if (custody_in_doubt(&views[at]))
			r = ask(core, &views[at], out, &count, err);
	}
	return r;
}

static int heard_not_there(struct core *core, const struct custody_view *view,
			   const struct custody_statement *said, struct kerr *err)
{
	_cleanup_free_ struct store_peer *peers = NULL;
	size_t n;
	int r = store_doubt_answered(core->store, view->uuid, said->from, err);

	if (r == 0)
		r = store_commit(core->store, COMMIT_PLAIN, err);
	if (r == 0)
		r = store_doubt_unheard(core->store, view->uuid, &peers, &n, err);
	return r < 0 ? r : settle(core, view, n, err);
}

static int heard_elsewhere(struct core *core, const struct custody_view *view,
			   const struct custody_statement *said, const uint8_t *data, size_t len,
			   struct kerr *err)
{
	struct custody_view after;
	struct store_peer peer;
	int r = store_peer_get(core->store, said->from, &peer, err);

	if (r < 0)
		return r;
	custody_doubt_elsewhere(view, said, peer.name, &after);
	return end(core, view, &after, JOURNAL_HEARSAY, data, len, err);
}

bool handoff_is_about_doubt(enum custody_statement_kind kind)
{
	return kind == CUSTODY_STATEMENT_WHERE || kind == CUSTODY_STATEMENT_HELD ||
	       kind == CUSTODY_STATEMENT_NOT_HELD;
}

int handoff_doubt_step(struct core *core, const struct custody_statement *said, const uint8_t *data,
		       size_t len, struct policyd_statement *out, struct kerr *err)
{
	struct custody_statement ours = {0};
	enum custody_hearing heard;
	struct custody_view view;
	int r = store_custody_get(core->store, said->uuid, &view, err);

	if (r < 0)
		return r;
	heard = custody_doubt_hear(&view, core->id.id, said);
	if (said->kind == CUSTODY_STATEMENT_WHERE)
		custody_doubt_answer(&view, said, core->id.id, &ours);
	else if (heard == CUSTODY_HEARD_NOT_THERE)
		r = heard_not_there(core, &view, said, err);
	else if (heard == CUSTODY_HEARD_ELSEWHERE)
		r = heard_elsewhere(core, &view, said, data, len, err);
	if (r == 0)
		handoff_sign_statement(core, &ours, out);
	return r;
}

/* -- The owner's word -- */

/* Only the owner of the VM, and where his key is not kept a link that says so. */
static int claim_link(struct core *core, const struct custody_view *after, struct kerr *err)
{
	_cleanup_(store_policy_clear) struct store_policy policy = {0};
	struct custody_chain chain;
	uint8_t bytes[CUSTODY_STATEMENT_LEN];
	struct custody_statement st;
	int r = store_policy_get(core->store, after->uuid, &policy, err);

	if (r == 0)
		r = store_chain_get(core->store, after->uuid, &chain, err);
	if (r < 0)
		return r;
	if (memcmp(policy.owner_pk, core->id.owner_pk, SIGN_PK_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_POLICY,
				"\"%s\" belongs to another owner; only they can claim it.",
				after->name);
	custody_chain_claim(after->uuid, after->epoch, core->id.id, &st);
	custody_statement_sign(&st, core->id.device_sk.data, bytes);
	if (core->id.owner_here || custody_chain_add(&chain, bytes, core->id.sign_pk) < 0)
		return 0;
	return store_chain_put(core->store, after->uuid, &chain, err);
}

int handoff_claim(struct handoffs *h, const uint8_t uuid[UUID_LEN], uint64_t *ret_epoch,
		  struct kerr *err)
{
	struct core *core = h->core;
	struct custody_view before = {0}, after;
	int r = store_custody_get(core->store, uuid, &before, err);

	if (r == 0)
		r = custody_claim(&before, core->id.id, core->config.name, &after, err);
	if (r == 0)
		r = claim_link(core, &after, err);
	core_audit(core, core->id.owner_name, core->config.name, before.name, "claim",
		   r < 0 ? err : NULL);
	if (r == 0)
		r = end(core, &before, &after, JOURNAL_CLAIM, NULL, 0, err);
	if (r == 0)
		*ret_epoch = after.epoch;
	return r;
}
