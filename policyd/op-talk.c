/* SPDX-License-Identifier: Apache-2.0 */
/* The conversations that kithd carries to another policyd: one verb for all of them. */
#include "policyd/console.h"
#include "policyd/core.h"
#include "policyd/dispatch.h"
#include "policyd/handoff.h"
#include "policyd/pairdesk.h"

#define TALK(name)                                                                               \
	static enum conversation_state name(struct caller *caller, const struct policyd_talk *t, \
					    struct wbuf *out _unused_, struct kerr *err _unused_)

TALK(talk_pairing_start)
{
	pairdesk_set_carrier(caller->pairdesk, caller->connection);
	return pairdesk_start(caller->pairdesk, t->initiator, t->exporter, out, err);
}

TALK(talk_pairing_step)
{
	return pairdesk_step(caller->pairdesk, t->blob, t->len, out, err);
}

TALK(talk_pairing_poll)
{
	(void)t;
	return pairdesk_poll(caller->pairdesk, out, err);
}

TALK(talk_pairing_end)
{
	(void)t;
	pairdesk_end(caller->pairdesk);
	return CONVERSATION_DONE;
}

TALK(talk_session_start)
{
	return handoff_session_start(caller->handoffs, t->hid, t->exporter, out, err);
}

TALK(talk_session_step)
{
	return handoff_session_step(caller->handoffs, t->hid, t->peer, t->exporter, t->blob, t->len,
				    out, err);
}

TALK(talk_session_end)
{
	handoff_session_end(caller->handoffs, t->hid, t->exporter);
	return CONVERSATION_DONE;
}

TALK(talk_console_start)
{
	return console_session_start(caller->consoles, t->hid, t->exporter, out, err);
}

TALK(talk_console_step)
{
	return console_session_step(caller->consoles, t->hid, t->peer, t->exporter, t->blob, t->len,
				    out, err);
}

TALK(talk_console_end)
{
	console_session_end(caller->consoles, t->hid, t->exporter);
	return CONVERSATION_DONE;
}

/* A pairing that began needs no more than it had then; the end of anything needs nothing. */
static const struct {
	enum op_needs needs;
	bool tpm;
	enum conversation_state (*run)(struct caller *caller, const struct policyd_talk *t,
				       struct wbuf *out, struct kerr *err);
} talks[_TALK_KIND_MAX][_TALK_VERB_MAX] = {
	[TALK_PAIRING] =
		{
			[TALK_START] = {NEEDS_DEVICE, true, talk_pairing_start},
			[TALK_STEP] = {NEEDS_NOTHING, false, talk_pairing_step},
			[TALK_POLL] = {NEEDS_NOTHING, false, talk_pairing_poll},
			[TALK_END] = {NEEDS_NOTHING, false, talk_pairing_end},
		},
	[TALK_SESSION] =
		{
			[TALK_START] = {NEEDS_READY, true, talk_session_start},
			[TALK_STEP] = {NEEDS_READY, true, talk_session_step},
			[TALK_END] = {NEEDS_NOTHING, false, talk_session_end},
		},
	[TALK_CONSOLE] =
		{
			[TALK_START] = {NEEDS_READY, true, talk_console_start},
			[TALK_STEP] = {NEEDS_READY, true, talk_console_step},
			[TALK_END] = {NEEDS_NOTHING, false, talk_console_end},
		},
};

/* A refusal is an answer of the conversation, not a failed request, because kithd has to carry it.
 */
OP_HANDLER(op_converse)
{
	const struct policyd_talk *t = request;
	struct policyd_conversation *ret = reply;
	struct wbuf out = op_room();
	int r;

	if (!talks[t->kind][t->verb].run)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"There is no such step of a conversation.");
	r = op_require(caller->core, talks[t->kind][t->verb].needs, err);
	if (r == 0 && talks[t->kind][t->verb].tpm)
		r = core_require_tpm(caller->core, err);
	if (r < 0)
		return r;
	ret->state = talks[t->kind][t->verb].run(caller, t, &out, err);
	ret->error = *err;
	ret->blob = out.data;
	ret->len = out.len;
	kerr_clear(err);
	return wbuf_error(&out);
}
