/* SPDX-License-Identifier: Apache-2.0 */
/* From policyd's list to a job and a session, as if the owner had asked here. */
#include "agent/wishes.h"

#include <string.h>

#include "agent/call.h"
#include "base/log.h"

struct wishes {
	struct requests_parts parts;
	bool asked; /* policyd... */
	bool again; /* ...and there may be more since */
};

static void wishes_begin(struct wishes *w, const struct policyd_wanted *start)
{
	struct peers_target to = {.id_len = DEVICE_ID_LEN};
	struct kerr err = {0};

	/* It is under way, or was: policyd goes on naming it until its minute is over. */
	if (jobs_find(w->parts.jobs, start->hid))
		return;
	memcpy(to.id, start->device, DEVICE_ID_LEN);
	whereabouts_label(w->parts.whereabouts, to.id, to.label, sizeof(to.label));
	if (handoff_begin(&w->parts, start->hid, &to, &err) < 0)
		log_warning("wishes", "\"%s\" wants a VM, and does not get it: %s", to.label,
			    err.text);
	else
		log_notice("wishes", "\"%s\" wants a VM, and gets it.", to.label);
}

static void on_wanted(struct ask *ask, void *user)
{
	struct wishes *w = user;
	bool again = w->again;

	w->asked = w->again = false;
	for (size_t i = 0; ask->r == 0 && i < ask->wanted_count; i++)
		wishes_begin(w, &ask->wanted[i]);
	if (again)
		wishes_look(w);
}

void wishes_look(struct wishes *w)
{
	w->again |= w->asked;
	if (w->asked)
		return;
	w->asked = true;
	asks_submit(w->parts.asks, ask_new(ask_wanted, on_wanted, w));
}

struct wishes *wishes_new(const struct requests_parts *parts)
{
	struct wishes *w = g_new0(struct wishes, 1);

	w->parts = *parts;
	return w;
}

struct wishes *wishes_free(struct wishes *w)
{
	if (!w)
		return NULL;
	asks_forget(w->parts.asks, w);
	g_free(w);
	return NULL;
}
