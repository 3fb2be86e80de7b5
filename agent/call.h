/* SPDX-License-Identifier: Apache-2.0 */
/* A request that is being answered, and what answers which. */
#pragma once

#include "agent/requests.h"

/* It waits for policyd, the mover, the name server or a peer, and ends with call_reply() or
 * call_fail(), which free it. */
struct call {
	const struct requests_parts *parts;
	struct asker asker;
	struct api_request request;
	struct peers_target target; /* the device that it is about */
	void *state;		    /* what else its handler needs until then... */
	GDestroyNotify state_free;  /* ...and how it is released */
	GList **list;		    /* in which it is */
};

/* Enters it in the list. */
struct call *call_new(GList **list, const struct requests_parts *parts, const struct asker *asker,
		      const struct api_request *r);
void call_reply(struct call *c, json_t *result);
void call_fail(struct call *c, const struct kerr *err);
/* kithd ends: nobody is told. */
void call_forget(struct call *c);

/* The paired device that the request names, which is then the target; NULL with *err. */
const struct policyd_peer *call_find_paired(struct call *c, struct kerr *err);

/* address.c: adds what host[:port] means to the target and calls `next`, perhaps later; or fails
 * the call. */
void address_resolve(struct call *c, const char *text, void (*next)(struct call *c));

/* request-devices.c */
void request_status(struct call *c);
void request_devices(struct call *c);
void request_pair(struct call *c);
/* request-console.c */
void request_console(struct call *c);
/* request-handoffs.c */
/* Opens the job and begins the session with that paired device, whose endpoints are added to *to;
 * policyd has to have allowed it. EXISTS, BUSY. */
int handoff_begin(const struct requests_parts *p, const uint8_t hid[HID_LEN],
		  struct peers_target *to, struct kerr *err);
void request_handoff(struct call *c);
void request_jobs(struct call *c);
void request_cancel(struct call *c);
/* request-plan.c */
void request_plan(struct call *c);
void request_offers(struct call *c);
/* request-vms.c */
void request_vms(struct call *c);
