/* SPDX-License-Identifier: Apache-2.0 */
/* What a person decides goes to kith-policyd; kithd is told what policyd allowed. */
#include <string.h>

#include "base/advice.h"
#include "base/buf.h"
#include "policyd/api/client.h"
#include "ui-tui/policytext.h"
#include "ui-tui/screen/session.h"

/* -- plans -- */

static void show_plan(struct session_plan *p)
{
	struct session *s = p->session;
	const struct target *shown = &s->ui.dialog.target;

	p->open = false;
	/* The person may have closed it, or asked for another one. */
	if (memcmp(shown->uuid, p->target.uuid, UUID_LEN) == 0 &&
	    memcmp(shown->device, p->target.device, DEVICE_ID_LEN) == 0)
		ui_planned(&s->ui, &p->outlook);
	outlook_release(&p->outlook);
	s->dirty = true;
}

static void on_devices_told(void *user, const json_t *result, const struct kerr *err)
{
	struct session_plan *p = user;

	if (result)
		outlook_take(&p->outlook, result);
	else
		outlook_fail(&p->outlook, err);
	show_plan(p);
}

static void on_policy_told(void *user, struct rbuf *reply, const struct kerr *err)
{
	struct session_plan *p = user;
	struct policyd_plan plan = {0};
	struct kerr why = err ? *err : (struct kerr){0};

	if (!core_wire_take(reply, &policyd_plan_record, &plan, &why)) {
		plan = (struct policyd_plan){.reason = why};
		outlook_begin(&plan, &p->outlook);
		show_plan(p);
	} else if (outlook_begin(&plan, &p->outlook)) {
		agent_wire_ask(p->session->agent, outlook_request(&p->target), on_devices_told, p);
	} else {
		show_plan(p);
	}
}

static void plan(struct session *s, const struct target *t)
{
	struct policyd_target q;

	memcpy(q.uuid, t->uuid, UUID_LEN);
	memcpy(q.device, t->device, DEVICE_ID_LEN);
	for (size_t i = 0; i < SESSION_PLANS_MAX; i++) {
		struct session_plan *p = &s->plans[i];

		if (p->open)
			continue;
		*p = (struct session_plan){.session = s, .open = true, .target = *t};
		core_wire_ask(s->core, POLICYD_OP_PLAN, &policyd_target_record, &q, on_policy_told,
			      p);
		return;
	}
	ui_say(&s->ui, STYLE_WARN, "! Earlier plans are still being asked for.");
}

/* -- cancel -- */

static void on_cancelled(void *user, const json_t *result, const struct kerr *err)
{
	struct session *s = user;

	if (result)
		ui_say(&s->ui, STYLE_PLAIN, "Cancelling; the VM goes on where it is.");
	else
		ui_failed(&s->ui, "It cannot be cancelled", err);
	s->dirty = true;
}

static void on_abort_noted(void *user, struct rbuf *reply, const struct kerr *err)
{
	struct session *s = user;

	if (!reply) {
		ui_failed(&s->ui, "It cannot be cancelled", err);
		s->dirty = true;
		return;
	}
	agent_wire_ask(s->agent, json_pack("{s:s, s:s}", "op", "cancel", "hid", s->cancelling),
		       on_cancelled, s);
}

static void cancel(struct session *s, const char *hid)
{
	struct policyd_hid q;

	if (hex_decode(hid, q.hid, HID_LEN) < 0)
		return;
	snprintf(s->cancelling, sizeof(s->cancelling), "%s", hid);
	core_wire_ask(s->core, POLICYD_OP_ABORT_REQUEST, &policyd_hid_record, &q, on_abort_noted,
		      s);
}

/* -- trust -- */

static void on_trust(void *user, struct rbuf *reply, const struct kerr *err)
{
	struct session *s = user;
	struct policyd_trust trust;
	struct kerr why = err ? *err : (struct kerr){0};
	char id[MODEL_ID_TEXT];

	s->asking_trust = false;
	hex_encode(s->asked.device, DEVICE_ID_LEN, id);
	if (core_wire_take(reply, &policyd_trust_record, &trust, &why))
		state_take_trust(&s->state, &trust);
	else
		state_no_trust(&s->state, id, &why);
	/* Meanwhile another one may have been chosen. */
	ui_changed(&s->ui);
	s->dirty = true;
}

static void show_trust(struct session *s, const struct target *t)
{
	struct policyd_device q;

	if (s->asking_trust)
		return;
	s->asking_trust = true;
	memcpy(s->asked.device, t->device, DEVICE_ID_LEN);
	memcpy(q.id, t->device, DEVICE_ID_LEN);
	core_wire_ask(s->core, POLICYD_OP_TRUST_SHOW, &policyd_device_record, &q, on_trust, s);
}

/* What the owner decided about a device was done, or not. */
static void decided(struct session *s, bool done, const struct kerr *err, const char *good,
		    const char *bad)
{
	if (done)
		ui_say(&s->ui, STYLE_GOOD, "%s", good);
	else
		ui_failed(&s->ui, bad, err);
	news_refresh(s);
	ui_changed(&s->ui);
	s->dirty = true;
}

static void on_accepted(void *user, struct rbuf *reply, const struct kerr *err)
{
	decided(user, reply, err, "+ It is accepted as it ran at its last evidence.",
		"It was not accepted");
}

static void accept_device(struct session *s, const struct wish *w)
{
	struct policyd_accept q;

	memcpy(q.id, w->target.device, DEVICE_ID_LEN);
	memcpy(q.shown, w->shown, HASH_LEN);
	core_wire_ask(s->core, POLICYD_OP_TRUST_ACCEPT, &policyd_accept_record, &q, on_accepted, s);
}

static void on_taken(void *user, struct rbuf *reply, const struct kerr *err)
{
	decided(user, reply, err, "+ That is so from now on.", "Nothing was changed");
}

static void take_from(struct session *s, const struct wish *w)
{
	struct policyd_receive q = {.on = w->on};

	memcpy(q.id, w->target.device, DEVICE_ID_LEN);
	core_wire_ask(s->core, POLICYD_OP_PEER_RECEIVE, &policyd_receive_record, &q, on_taken, s);
}

static void on_forgotten(void *user, struct rbuf *reply, const struct kerr *err)
{
	decided(user, reply, err,
		"+ It is forgotten; `kith trust forget` there ends it on that side too.",
		"It was not forgotten");
}

static void forget(struct session *s, const struct target *t)
{
	struct policyd_device q;

	memcpy(q.id, t->device, DEVICE_ID_LEN);
	core_wire_ask(s->core, POLICYD_OP_PEER_FORGET, &policyd_device_record, &q, on_forgotten, s);
}

/* -- log -- */

static void ask_log(struct session *s);

static void on_log(void *user, struct rbuf *reply, const struct kerr *err)
{
	struct session *s = user;
	void *records = NULL;
	size_t n = 0;

	s->asking_log = false;
	if (!reply)
		ui_failed(&s->ui, "The log cannot be read", err);
	else if (record_list_get(reply, &policyd_audit_record, &records, &n) == 0 && n)
		state_take_log(&s->state, records, n);
	if (n || s->log_again)
		ask_log(s);
	free(records);
	ui_changed(&s->ui);
	s->dirty = true;
}

/* Piece by piece, until none is left. */
static void ask_log(struct session *s)
{
	const struct state *st = &s->state;
	struct policyd_range q = {.max = 64};

	s->log_again = s->asking_log;
	if (s->asking_log)
		return;
	s->asking_log = true;
	if (st->log_count)
		q.from = st->log[st->log_count - 1].seq + 1;
	core_wire_ask(s->core, POLICYD_OP_AUDIT_READ, &policyd_range_record, &q, on_log, s);
}

/* -- policy -- */

static char *text_of(const struct policyd_rules_held *rules)
{
	return rules->text ? strndup((const char *)rules->text, rules->text_len) : strdup("");
}

static void on_policy(void *user, struct rbuf *reply, const struct kerr *err)
{
	struct session *s = user;
	struct policyd_rules_held rules;
	_cleanup_free_ char *text = NULL;
	struct kerr why = err ? *err : (struct kerr){0};
	char uuid[MODEL_UUID_TEXT];

	s->asking_policy = false;
	hex_encode(s->asked.uuid, UUID_LEN, uuid);
	if (!core_wire_take(reply, &policyd_rules_held_record, &rules, &why))
		state_no_policy(&s->state, uuid, &why);
	else if ((text = text_of(&rules)))
		state_take_policy(&s->state, s->asked.uuid, rules.version, text);
	ui_changed(&s->ui);
	s->dirty = true;
}

static void ask_policy(struct session *s, const uint8_t uuid[UUID_LEN], core_wire_fn fn)
{
	struct policyd_uuid q;

	memcpy(q.uuid, uuid, UUID_LEN);
	core_wire_ask(s->core, POLICYD_OP_POLICY_GET, &policyd_uuid_record, &q, fn, s);
}

static void show_policy(struct session *s, const struct target *t)
{
	if (s->asking_policy)
		return;
	s->asking_policy = true;
	memcpy(s->asked.uuid, t->uuid, UUID_LEN);
	ask_policy(s, t->uuid, on_policy);
}

static void on_policy_to_edit(void *user, struct rbuf *reply, const struct kerr *err)
{
	struct session *s = user;
	struct policyd_rules_held rules;
	_cleanup_free_ char *text = NULL;
	struct kerr why = err ? *err : (struct kerr){0};

	if (core_wire_take(reply, &policyd_rules_held_record, &rules, &why))
		text = text_of(&rules);
	else if (why.code == KCODE_NOT_FOUND)
		text = strdup(policytext_default);
	else
		ui_failed(&s->ui, "The policy cannot be read", &why);
	if (text)
		errands_edit(s, &s->edit.target, text);
	s->dirty = true;
}

static void edit(struct session *s, const struct target *t)
{
	/* A draft that was refused is gone on with. */
	if (*s->edit.draft && memcmp(s->edit.target.uuid, t->uuid, UUID_LEN) == 0) {
		errands_edit(s, t, NULL);
		return;
	}
	s->edit.target = *t;
	ask_policy(s, t->uuid, on_policy_to_edit);
}

/* -- all of them -- */

static void answer_code(struct session *s, const char *word)
{
	child_tell(&s->pair, word);
	s->state.pairing.answered = true;
	ui_changed(&s->ui);
}

static void fulfil(struct session *s, const struct wish *w)
{
	switch (w->kind) {
	case WISH_QUIT:
		s->over = true;
		break;
	case WISH_REFRESH:
		news_refresh(s);
		ui_changed(&s->ui);
		break;
	case WISH_PLAN:
		plan(s, &w->target);
		break;
	case WISH_MOVE:
		moves_begin(s, &w->target);
		break;
	case WISH_CANCEL:
		cancel(s, w->hid);
		break;
	case WISH_TRUST:
		show_trust(s, &w->target);
		break;
	case WISH_ACCEPT:
		accept_device(s, w);
		break;
	case WISH_TAKE:
		take_from(s, w);
		break;
	case WISH_FORGET:
		forget(s, &w->target);
		break;
	case WISH_FETCH:
		errands_fetch(s, &w->target);
		break;
	case WISH_LOG:
		ask_log(s);
		break;
	case WISH_POLICY:
		show_policy(s, &w->target);
		break;
	case WISH_EDIT:
		edit(s, &w->target);
		break;
	case WISH_DOCTOR:
		errands_doctor(s);
		break;
	case WISH_PAIR:
		errands_pair(s, w->word, w->role);
		break;
	case WISH_ANSWER:
		answer_code(s, w->word);
		break;
	case WISH_PAIR_STOP:
		child_stop(&s->pair);
		break;
	case WISH_WHY:
		why_begin(s, &w->target);
		break;
	case WISH_INIT:
		errands_init(s, w->word);
		break;
	}
}

void wishes_fulfil(struct session *s)
{
	struct wish w;

	while (ui_take_wish(&s->ui, &w)) {
		fulfil(s, &w);
		s->dirty = true;
	}
}
