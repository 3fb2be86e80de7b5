/* SPDX-License-Identifier: Apache-2.0 */
/* Moves that were begun on this screen, each at its own step. */
#include <string.h>

#include "ui-tui/screen/session.h"

static void advance(struct session_move *m);

static void on_allowed(void *user, struct rbuf *reply, const struct kerr *err)
{
	struct session_move *m = user;
	struct policyd_hid hid;
	struct kerr why = err ? *err : (struct kerr){0};

	if (core_wire_take(reply, &policyd_hid_record, &hid, &why))
		moving_allowed(&m->moving, hid.hid);
	else
		moving_refused(&m->moving, &why);
	advance(m);
}

static void on_begun(void *user, const json_t *result, const struct kerr *err)
{
	struct session_move *m = user;

	/* Its end may have been told before. */
	if (m->moving.step == MOVING_OVER)
		return;
	if (result)
		moving_answered(&m->moving);
	else
		moving_refused(&m->moving, err);
	advance(m);
}

static void advance(struct session_move *m)
{
	const struct target *t = &m->moving.target;
	struct policyd_move q = {.rung = t->rung};
	char title[NAME_MAX_LEN + 32];

	m->session->dirty = true;
	switch (m->moving.step) {
	case MOVING_REQUEST:
		memcpy(q.uuid, t->uuid, UUID_LEN);
		memcpy(q.device, t->device, DEVICE_ID_LEN);
		core_wire_ask(m->session->core, POLICYD_OP_MOVE_REQUEST, &policyd_move_record, &q,
			      on_allowed, m);
		break;
	case MOVING_WATCH:
	case MOVING_START:
		agent_wire_ask(m->session->agent, moving_request(&m->moving), on_begun, m);
		break;
	case MOVING_OVER:
		m->open = false;
		snprintf(title, sizeof(title), "\"%s\" was not moved", t->vm);
		if (m->moving.error.code != KCODE_OK)
			ui_failed(&m->session->ui, title, &m->moving.error);
		break;
	case MOVING_FOLLOW:
	case _MOVING_STEP_MAX:
		break;
	}
}

void moves_begin(struct session *s, const struct target *t)
{
	for (size_t i = 0; i < SESSION_MOVES_MAX; i++) {
		struct session_move *m = &s->moves[i];

		if (m->open)
			continue;
		*m = (struct session_move){.session = s, .open = true};
		moving_begin(&m->moving, t);
		ui_say(&s->ui, STYLE_PLAIN, "Moving \"%s\" to \"%s\" ...", t->vm, t->name);
		advance(m);
		return;
	}
	ui_say(&s->ui, STYLE_WARN, "! Too many moves are under way.");
}

void moves_tell(struct session *s, const struct model_job *job)
{
	for (size_t i = 0; i < SESSION_MOVES_MAX; i++)
		/* Only its end is news: kithd tells of a hand-off before it answers that it began.
		 */
		if (s->moves[i].open && moving_progress(&s->moves[i].moving, job) &&
		    s->moves[i].moving.step == MOVING_OVER)
			advance(&s->moves[i]);
}
