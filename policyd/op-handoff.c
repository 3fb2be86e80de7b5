/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of one hand-off, from a person's wish to the last custody record. */
#include <string.h>

#include "policyd/core.h"
#include "policyd/dispatch.h"
#include "policyd/handoff.h"

/* A5: a move asks for new evidence, so the last one decides nothing; but who is told "allowed" of a
 * device that is known to be changed learns the truth only when it is refused. */
static void count_known_evidence(struct core *core, const uint8_t device[DEVICE_ID_LEN],
				 struct policyd_plan *plan)
{
	struct store_peer peer;

	if (!plan->allowed || plan->verdict != VERDICT_UNTRUSTED ||
	    store_peer_get(core->store, device, &peer, NULL) < 0)
		return;
	plan->allowed = 0;
	kerr_set(&plan->reason, EACCES,
		 peer.reason.code == KCODE_OK ? KCODE_ATTEST_PCR : peer.reason.code,
		 "The policy allows it, but \"%s\" was untrusted when it last proved itself. %s",
		 peer.name, peer.reason.text);
}

OP_HANDLER(op_plan)
{
	const struct policyd_target *q = request;

	handoff_plan(caller->handoffs, PERSON_ROLE_OWNER, q->uuid, q->device, reply, err);
	kerr_clear(err); /* a refusal is what the plan says, not a failed request */
	count_known_evidence(caller->core, q->device, reply);
	return 0;
}

OP_HANDLER(op_why)
{
	return handoff_why(caller->core, request, reply, err);
}

OP_HANDLER(op_move_request)
{
	const struct policyd_move *q = request;
	struct policyd_hid *ret = reply;

	return handoff_request(caller->handoffs, PERSON_ROLE_OWNER, q, ret->hid, err);
}

OP_HANDLER(op_fetch)
{
	struct policyd_hid *ret = reply;

	return handoff_fetch(caller->handoffs, request, ret->hid, err);
}

OP_HANDLER(op_fetch_status)
{
	const struct policyd_hid *q = request;

	return handoff_fetch_status(caller->handoffs, q->hid, reply, err);
}

OP_HANDLER(op_wanted)
{
	handoff_wanted(caller->handoffs, reply);
	return 0;
}

OP_HANDLER(op_abort_request)
{
	const struct policyd_hid *q = request;

	return handoff_abort_request(caller->handoffs, PERSON_ROLE_OWNER, q->hid, err);
}

OP_HANDLER(op_abort_allowed)
{
	const struct policyd_hid *q = request;

	return handoff_abort_allowed(caller->handoffs, q->hid, err);
}

OP_HANDLER(op_requote)
{
	const struct policyd_hid *q = request;

	return handoff_requote(caller->handoffs, q->hid, err);
}

OP_HANDLER(op_grant_take)
{
	const struct policyd_side *q = request;

	return handoff_grant_take(caller->handoffs, q->hid, q->source, caller->connection, reply,
				  err);
}

OP_HANDLER(op_journal)
{
	const struct policyd_entry *q = request;
	const struct handoff_entry entry = {.hid = q->hid,
					    .record = q->record,
					    .proof = q->proof.bytes,
					    .proof_len = q->proof.len,
					    .worker = caller->connection,
					    .copy_gone = q->copy_gone};

	return handoff_journal(caller->handoffs, &entry, reply, err);
}

OP_HANDLER(op_open_list)
{
	struct core *core = caller->core;
	_cleanup_free_ struct custody_view *views = NULL;
	size_t n = 0;
	int r = core->store ? store_custody_list(core->store, &views, &n, err) : 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct policyd_open o;

		if (!views[i].handoff)
			continue;
		custody_to_open(&views[i], &o);
		record_list_add(reply, &o);
	}
	return r;
}

OP_HANDLER(op_custody_check)
{
	const struct policyd_use *q = request;

	return handoff_custody_check(caller->handoffs, q->uuid, q->use, err);
}

OP_HANDLER(op_custody_step)
{
	const struct policyd_letter *q = request;

	return handoff_custody_step(caller->handoffs, q->peer, q->statement, q->len, reply, err);
}

OP_HANDLER(op_custody_outbox)
{
	return handoff_custody_outbox(caller->handoffs, reply, err);
}

OP_HANDLER(op_custody_inbox)
{
	const struct policyd_hid *q = request;

	handoff_custody_inbox(caller->handoffs, q->hid, reply);
	return 0;
}

OP_HANDLER(op_custody_accept)
{
	const struct policyd_word *q = request;

	return handoff_custody_accept(caller->handoffs, q->hid, q->statement.bytes,
				      q->statement.len, err);
}

/* Without a store nothing was ever handed off; locked, the one who asks has to go by the markers.
 */
OP_HANDLER(op_ward)
{
	int r;

	if (caller->core->state == POLICYD_STATE_NO_CLOUD)
		return 0;
	r = core_require_ready(caller->core, err);
	return r < 0 ? r : handoff_bound_list(caller->handoffs, reply, err);
}

OP_HANDLER(op_fence)
{
	handoff_end_workers(caller->handoffs);
	return op_ward(caller, request, reply, err);
}

OP_HANDLER(op_alarm)
{
	const struct policyd_alarm *q = request;

	if (!q->text[0])
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "An alarm has a plain sentence.");
	return handoff_alarm(caller->handoffs, q->uuid, q->text, err);
}
