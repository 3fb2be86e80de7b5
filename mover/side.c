/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the machine of one side: events in, one state, its actions carried out by the side. */
#include "mover/side.h"

#include <stdarg.h>
#include <string.h>

#include "base/log.h"
#include "mover/images.h"
#include "mover/worker.h"

#define DEFER_MS 1000

bool side_has_room(const struct worker *w)
{
	return w->machine.event_count + 2 + SIDE_EVENTS_OWN <= ARRAY_SIZE(w->machine.events);
}

void side_post(struct worker *w, enum transfer_event event)
{
	struct side_machine *m = &w->machine;

	/* Many data connections may break at once; one STOP says it all. */
	for (size_t i = 0; event == TRANSFER_EVENT_STOP && i < m->event_count; i++)
		if (m->events[i] == event)
			return;
	if (m->event_count == ARRAY_SIZE(m->events)) {
		log_error("worker", "Too many events at once; \"%s\" is dropped.",
			  transfer_event_to_string(event));
		return;
	}
	m->events[m->event_count++] = event;
}

void side_stop_err(struct worker *w, const struct kerr *err)
{
	if (!w->side->can_stop(w)) {
		log_info("worker", "No longer stopped by this: %s", err->text);
		return;
	}
	if (w->failure.code == KCODE_OK)
		w->failure = *err;
	log_notice("worker", "The hand-off stops: %s", err->text);
	side_post(w, TRANSFER_EVENT_STOP);
}

void side_stop(struct worker *w, int num, enum kcode code, const char *fmt, ...)
{
	char text[KERR_TEXT_MAX];
	struct kerr err = {0};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	kerr_set(&err, num, code, "%s", text);
	side_stop_err(w, &err);
}

void side_stop_version(struct worker *w)
{
	side_stop(w, EPROTONOSUPPORT, KCODE_BAD_MESSAGE,
		  "\"%s\" runs another version of Kith, which speaks otherwise during a hand-off; "
		  "install the same version on both devices.",
		  w->grant.peer_name);
}

void side_defer(struct worker *w, enum transfer_action action)
{
	struct side_machine *m = &w->machine;
	size_t at = SIDE_DEFERRED_MAX;

	for (size_t i = 0; i < SIDE_DEFERRED_MAX; i++) {
		if (m->deferred[i].action == action) {
			at = i;
			break;
		}
		if (m->deferred[i].action == TRANSFER_ACTION_NONE && at == SIDE_DEFERRED_MAX)
			at = i;
	}
	/* No state has more kinds of them than there are slots. */
	if (at == SIDE_DEFERRED_MAX)
		return;
	m->deferred[at].action = action;
	m->deferred[at].state = m->state;
	m->deferred[at].at_ms = worker_now_ms() + DEFER_MS;
}

static void side_act(struct worker *w, enum transfer_action action)
{
	if (w->side->acts[action])
		w->side->acts[action](w);
}

void side_run_deferred(struct worker *w, uint64_t now)
{
	struct side_machine *m = &w->machine;

	for (size_t i = 0; i < SIDE_DEFERRED_MAX; i++) {
		enum transfer_action action = m->deferred[i].action;

		if (action == TRANSFER_ACTION_NONE || now < m->deferred[i].at_ms)
			continue;
		m->deferred[i].action = TRANSFER_ACTION_NONE;
		if (m->deferred[i].state == m->state)
			side_act(w, action);
	}
}

static void side_enter(struct worker *w, int next)
{
	struct side_machine *m = &w->machine;

	if (m->state == next)
		return;
	log_info(w->side->name, "%s: %s after %s.", w->place.hex, w->side->state_name(next),
		 w->side->state_name(m->state));
	m->state = next;
	m->entered_ms = worker_now_ms();
}

static void side_event(struct worker *w, enum transfer_event event)
{
	const struct side *side = w->side;
	int before = w->machine.state;
	struct transfer_step step = side->step(before, event);

	if (side->notice)
		side->notice(w, event);
	if (!step.legal) {
		log_warning(side->name, "\"%s\" has no place in state \"%s\" and is ignored.",
			    transfer_event_to_string(event), side->state_name(before));
		return;
	}
	log_debug(side->name, "Event \"%s\" in \"%s\".", transfer_event_to_string(event),
		  side->state_name(before));
	side_enter(w, step.next);
	/* policyd is away: the same question again, not in a busy loop. */
	if (event == TRANSFER_EVENT_DOUBT && step.next == before && step.actions[0]) {
		side_defer(w, step.actions[0]);
		return;
	}
	for (size_t i = 0; i < TRANSFER_ACTIONS_MAX && step.actions[i]; i++)
		side_act(w, step.actions[i]);
}

void side_drain(struct worker *w)
{
	struct side_machine *m = &w->machine;

	while (m->event_count) {
		enum transfer_event e = m->events[0];

		m->event_count--;
		memmove(m->events, m->events + 1, m->event_count * sizeof(m->events[0]));
		side_event(w, e);
	}
}

/* -- statements and records -- */

void side_hear(struct worker *w, enum custody_statement_kind kind, const void *data, size_t len)
{
	enum transfer_event event = w->side->words[kind];
	uint8_t *copy;

	if (event == TRANSFER_EVENT_GRANTED)
		return;
	copy = malloc(len ? len : 1);
	if (copy) {
		memcpy(copy, data, len);
		free(w->machine.words[kind].data);
		w->machine.words[kind] = (struct statement){copy, len};
	}
	side_post(w, event);
}

void side_say(struct worker *w, enum frame_type type, enum custody_statement_kind kind)
{
	worker_send(w, type, w->machine.words[kind].data, w->machine.words[kind].len);
}

enum transfer_event side_write(struct worker *w, enum custody_record record,
			       enum custody_statement_kind proof, enum custody_statement_kind says)
{
	struct statement got = {0};
	struct kerr err = {0};
	enum transfer_event e =
		workplace_journal(&w->place, record, &w->machine.words[proof], &got, &err);

	if (e != TRANSFER_EVENT_JOURNALLED && w->failure.code == KCODE_OK)
		w->failure = err;
	if (e == TRANSFER_EVENT_JOURNALLED && says != CUSTODY_STATEMENT_NONE) {
		free(w->machine.words[says].data);
		w->machine.words[says] = got;
	} else {
		free(got.data);
	}
	return e;
}

bool side_journal(struct worker *w, enum custody_record record, enum custody_statement_kind proof,
		  enum custody_statement_kind says)
{
	enum transfer_event e = side_write(w, record, proof, says);

	/* What is written stays written, whatever a second try gets for an answer. */
	if (record == CUSTODY_DONE && e == TRANSFER_EVENT_JOURNALLED)
		w->clean = true;
	side_post(w, e);
	return e == TRANSFER_EVENT_JOURNALLED;
}

struct drop_task {
	struct worker *w;
	int result;
	struct kerr err;
};

static void drop_work(void *arg)
{
	struct drop_task *t = arg;

	t->result = images_drop(&t->w->place, &t->err);
}

static void drop_done(void *arg)
{
	struct drop_task *t = arg;

	t->w->dropping = false;
	if (t->result < 0) {
		log_warning(t->w->side->name, "%s", t->err.text);
		t->w->clean = false;
	}
	free(t);
}

void side_drop_images(struct worker *w)
{
	struct drop_task *t = calloc(1, sizeof(*t));

	if (t)
		t->w = w;
	w->dropping = true;
	if (t && tasks_run(w->tasks, drop_work, drop_done, t) == 0)
		return;
	free(t); /* what is under way for ever is left to recovery */
}
