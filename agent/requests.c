/* SPDX-License-Identifier: Apache-2.0 */
/* The table, and who may. */
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
	{"plan", API_VM, API_DEVICE, ASKERS_OWNER, false, request_plan},
	{"offers", API_DEVICE, 0, ASKERS_OWNER, false, request_offers},
	{"handoff", API_HID | API_DEVICE, API_ADDRESS, ASKERS_OWNER, true, request_handoff},
	{"console", API_HID | API_DEVICE, 0, ASKERS_OWNER, true, request_console},
	{"jobs", 0, 0, ASKERS_OWNER, false, request_jobs},
	{"cancel", API_HID, 0, ASKERS_OWNER, true, request_cancel},
	{"watch", 0, 0, ASKERS_OWNER, false, request_watch},
	{0},
};

void requests_handle(struct requests *q, const struct asker *asker, const struct api_request *r)
{
	const struct api_row *row = r->row;
	struct call *c = call_new(&q->calls, &q->parts, asker, r);
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
		"Only this device's owner and root may ask kithd for this; everybody may see `kith "
		"status` and `kith devices`.");
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
	while (q->calls)
		call_forget(q->calls->data);
	g_free(q);
	return NULL;
}
