/* SPDX-License-Identifier: Apache-2.0 */
/* Which rule lets a VM go where: policyd is asked of one paired device after the other. */
#include <string.h>

#include "base/buf.h"
#include "ui-tui/screen/session.h"

static void ask_next(struct session *s);

static void on_reason(void *user, struct rbuf *reply, const struct kerr *err)
{
	struct policyd_plan plan = {0};
	struct session *s = user;

	s->why.asking = false;
	s->dirty = true;
	if (err)
		plan.reason = *err;
	if (reply && !core_wire_take(reply, &policyd_plan_record, &plan, &plan.reason))
		plan.allowed = 0;
	/* The person may have asked about another VM meanwhile, or closed it. */
	ui_because(&s->ui, &s->why.asked, &plan);
	if (s->ui.dialog.kind == DIALOG_WHY)
		ask_next(s);
}

/* The next paired one; the list may have changed meanwhile, which at worst leaves one out. */
static void ask_next(struct session *s)
{
	struct target *t = &s->why.asked;
	struct policyd_target q;

	*t = s->why.target;
	while (s->why.next < s->state.device_count) {
		const struct model_device *d = &s->state.devices[s->why.next++];

		if (d->paired != MAYBE_YES || hex_decode(d->id, t->device, DEVICE_ID_LEN) < 0)
			continue;
		snprintf(t->name, sizeof(t->name), "%s", d->name);
		memcpy(q.uuid, t->uuid, UUID_LEN);
		memcpy(q.device, t->device, DEVICE_ID_LEN);
		s->why.asking = true;
		core_wire_ask(s->core, POLICYD_OP_PLAN, &policyd_target_record, &q, on_reason, s);
		return;
	}
}

void why_begin(struct session *s, const struct target *t)
{
	s->why.target = *t;
	s->why.next = 0;
	/* An answer that is still out goes on with it. */
	if (!s->why.asking)
		ask_next(s);
}
