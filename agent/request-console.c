/* SPDX-License-Identifier: Apache-2.0 */
/* A console of a VM on another device: the two policyds agree; the mover does the rest. */
#include <string.h>

#include "agent/call.h"

static void on_agreed(void *user, const struct kerr *err)
{
	struct call *c = user;

	if (err->code == KCODE_OK)
		call_reply(c, json_pack("{s:b}", "agreed", 1));
	else
		call_fail(c, err);
}

static void on_may_ask(void *user)
{
	struct call *c = user;
	struct kerr err = {0};

	if (!call_find_paired(c, &err)) {
		call_fail(c, &err);
		return;
	}
	whereabouts_find(c->parts->whereabouts, c->target.id, c->target.id_len, &c->target);
	viewings_add(c->parts->viewings, c->request.hid, true, c->target.id);
	peers_console(c->parts->peers, c->request.hid, &c->target, on_agreed, c);
}

void request_console(struct call *c)
{
	overview_refresh(c->parts->overview, on_may_ask, c);
}
