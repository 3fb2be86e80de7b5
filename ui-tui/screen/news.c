/* SPDX-License-Identifier: Apache-2.0 */
/* What kithd answers and tells goes into the state; who waits for a hand-off hears of it. */
#include <string.h>

#include "base/clock.h"
#include "ui-tui/model/progress.h"
#include "ui-tui/screen/session.h"

#define LOOK_MS 20000  /* VMs are started and stopped without kithd hearing of it */
#define IDLE_MS 300000 /* with nobody at the keys nobody looks either */

static void ask(struct session *s, const char *op, agent_wire_fn fn)
{
	agent_wire_ask(s->agent, json_pack("{s:s}", "op", op), fn, s);
}

static void changed(struct session *s)
{
	ui_changed(&s->ui);
	s->dirty = true;
}

/* Most refusals are about the same thing, and the status says it; the first one counts. */
static void refused(struct session *s, const struct kerr *err)
{
	if (!s->ui.message[0])
		ui_say(&s->ui, STYLE_BAD, "! %s", err->text);
	s->dirty = true;
}

static void on_status(void *user, const json_t *result, const struct kerr *err)
{
	struct session *s = user;

	if (result)
		state_take_here(&s->state, result);
	else
		refused(s, err);
	changed(s);
}

static void on_devices(void *user, const json_t *result, const struct kerr *err)
{
	struct session *s = user;

	if (result)
		state_take_devices(&s->state, result);
	else
		refused(s, err);
	changed(s);
}

static void on_doubt(void *user, struct rbuf *reply, const struct kerr *err)
{
	struct session *s = user;
	void *vms = NULL;
	size_t n = 0;

	(void)err;
	if (reply && record_list_get(reply, &policyd_vm_record, &vms, &n) == 0)
		state_take_doubt(&s->state, vms, n);
	free(vms);
	changed(s);
}

static void on_vms(void *user, const json_t *result, const struct kerr *err)
{
	static const struct policyd_nothing nothing;
	struct session *s = user;

	if (!result) {
		refused(s, err);
		return;
	}
	state_take_vms(&s->state, result);
	/* Whether custody of one is in doubt is policyd's to say. */
	core_wire_ask(s->core, POLICYD_OP_VMS, &policyd_nothing_record, &nothing, on_doubt, s);
	changed(s);
}

/* -- hand-offs -- */

static void tell_end(struct session *s, const struct model_job *job)
{
	char sentence[KERR_TEXT_MAX + 128];

	progress_end(job, sentence, sizeof(sentence));
	ui_say(&s->ui, job->phase == PHASE_DONE ? STYLE_GOOD : STYLE_BAD, "%c %s",
	       job->phase == PHASE_DONE ? '+' : '!', sentence);
}

static void on_jobs(void *user, const json_t *result, const struct kerr *err)
{
	struct session *s = user;

	if (!result) {
		refused(s, err);
		return;
	}
	state_take_jobs(&s->state, result);
	/* While kithd was away one may have ended. */
	for (size_t i = 0; i < s->state.job_count; i++)
		moves_tell(s, &s->state.jobs[i]);
	changed(s);
}

static void on_progress(struct session *s, const json_t *event)
{
	struct model_job job;

	model_read_job(json_object_get(event, "job"), &job);
	if (!*job.hid)
		return;
	if (state_take_job(&s->state, &job)) {
		tell_end(s, &job);
		news_look(s);
	}
	moves_tell(s, &job);
	changed(s);
}

/* kith-policyd knows something new, of whatever kind. */
static void on_store(struct session *s)
{
	ask(s, "status", on_status);
	ui_text_aged(&s->ui);
	news_look(s);
}

static void on_event(void *ctx, const json_t *event)
{
	const char *kind = model_text(event, "event");
	struct session *s = ctx;

	if (strcmp(kind, "progress") == 0)
		on_progress(s, event);
	else if (strcmp(kind, "changed") == 0)
		on_store(s);
	else
		news_look(s);
}

/* -- kithd comes and goes -- */

void news_look(struct session *s)
{
	if (!s->state.kithd)
		return;
	s->look_ms = clock_ms() + LOOK_MS;
	if (s->key_ms + IDLE_MS < clock_ms())
		s->look_ms = UINT64_MAX;
	ask(s, "devices", on_devices);
	ask(s, "vms", on_vms);
}

void news_refresh(struct session *s)
{
	ask(s, "status", on_status);
	ask(s, "jobs", on_jobs);
	news_look(s);
	s->state.trust_of[0] = '\0';
	s->state.policy_of[0] = '\0';
}

static void on_up(void *ctx)
{
	struct session *s = ctx;

	state_connected(&s->state);
	news_refresh(s);
	changed(s);
}

static void on_down(void *ctx, const struct kerr *why)
{
	struct session *s = ctx;

	state_lost(&s->state, why);
	changed(s);
}

const struct agent_wire_hooks news_hooks = {on_up, on_down, on_event};
