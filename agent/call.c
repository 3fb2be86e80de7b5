/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a request. */
#include "agent/call.h"

#include "agent/naming.h"

struct call *call_new(GList **list, const struct requests_parts *parts, const struct asker *asker,
		      const struct api_request *r)
{
	struct call *c = g_new0(struct call, 1);

	c->list = list;
	c->parts = parts;
	c->asker = *asker;
	c->request = *r;
	*list = g_list_prepend(*list, c);
	return c;
}

static void call_free(struct call *c)
{
	*c->list = g_list_remove(*c->list, c);
	if (c->state)
		c->state_free(c->state);
	g_free(c);
}

void call_reply(struct call *c, json_t *result)
{
	c->asker.ops->reply(&c->asker, api_reply(c->request.id, result));
	call_free(c);
}

void call_fail(struct call *c, const struct kerr *err)
{
	c->asker.ops->reply(&c->asker, api_reply_error(c->request.id, err));
	call_free(c);
}

void call_forget(struct call *c)
{
	asks_forget(c->parts->asks, c);
	overview_forget(c->parts->overview, c);
	call_free(c);
}

const struct policyd_peer *call_find_paired(struct call *c, struct kerr *err)
{
	size_t count;
	const struct policyd_peer *peers = overview_peers(c->parts->overview, &count);
	int r = naming_paired(peers, count, c->request.device, &c->target, err);

	if (r == 0)
		kerr_set(err, ENOENT, KCODE_PEER_UNKNOWN,
			 "No device \"%s\" is paired with this one.", c->request.device);
	return r > 0 ? overview_peer(c->parts->overview, c->target.id) : NULL;
}
