/* SPDX-License-Identifier: Apache-2.0 */
/* The table, and the life of a request. */
#include "agent/requests.h"

#include "agent/call.h"
#include "base/log.h"

struct requests {
	struct requests_parts parts;
	GList *calls; /* that wait for something */
};

static void request_watch(struct call *c)
{
	c->asker.ops->watch(&c->asker);
	call_reply(c, json_pack("{s:b}", "watching", 1));
}

/* All answers but those of `status` and `devices` name VMs or hand-offs, and a hand-off's number is
 * what a data connection is known by (N10): the device's owner and root (policyd decides once
 * more). */
const struct api_row requests_rows[] = {
	{"status", 0, 0, ASKERS_ALL, false, request_status},
	{"devices", 0, 0, ASKERS_ALL, false, request_devices},
	{"pair", API_DEVICE, 0, ASKERS_OWNER, true, request_pair},
	{"vms", 0, 0, ASKERS_OWNER, false, request_vms},
	{"handoff", API_HID | API_DEVICE, API_ADDRESS, ASKERS_OWNER, true, request_handoff},
	{"jobs", 0, 0, ASKERS_OWNER, false, request_jobs},
	{"cancel", API_HID, 0, ASKERS_OWNER, true, request_cancel},
	{"watch", 0, 0, ASKERS_OWNER, false, request_watch},
	{0},
};

static struct call *call_new(struct requests *q, const struct asker *asker,
			     const struct api_request *r)
{
	struct call *c = g_new0(struct call, 1);

	c->parts = &q->parts;
	c->asker = *asker;
	c->request = *r;
	c->list = &q->calls;
	q->calls = g_list_prepend(q->calls, c);
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

void requests_handle(struct requests *q, const struct asker *asker, const struct api_request *r)
{
	const struct api_row *row = r->row;
	struct call *c = call_new(q, asker, r);
	struct kerr err = {0};

	if (row->who & 1u << asker->kind) {
		if (row->logged)
			log_info("control", "%s: %s", asker->principal, row->name);
		row->handle(c);
		return;
	}
	log_debug("control", "%s may not ask for %s", asker->principal, row->name);
	kerr_set(
		&err, EPERM, KCODE_NOT_ALLOWED,
		"Only this device's owner and root may ask kithd for \"%s\"; this user may ask for "
		"\"status\" and \"devices\".",
		row->name);
	call_fail(c, &err);
}

struct requests *requests_new(const struct requests_parts *parts)
{
	struct requests *q = g_new0(struct requests, 1);

	q->parts = *parts;
	return q;
}

struct requests *requests_free(struct requests *q)
{
	if (!q)
		return NULL;
	while (q->calls) {
		struct call *c = q->calls->data;

		asks_forget(q->parts.asks, c);
		overview_forget(q->parts.overview, c);
		call_free(c);
	}
	g_free(q);
	return NULL;
}
