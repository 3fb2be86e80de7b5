/* SPDX-License-Identifier: Apache-2.0 */
/* kithd's end of the mover socket: requests with a callback each, events with a handler each. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "mover/proto.h"

struct mover_client;

/* Unsolicited messages. Called only from mover_client_dispatch(). */
struct mover_client_events {
	/* Connect to the peer of this hand-off, write the preface, hand the descriptor over with
	 * mover_client_conn(). If that fails, say so by mover_client_gone(). */
	void (*dial)(void *ctx, const uint8_t hid[HID_LEN], uint16_t channel);
	void (*progress)(void *ctx, const struct mover_progress *p);
};

/* The answer to one request: r = 0, or negative with *err as the mover wrote it. A mover that
 * went away answers everything with -ECONNRESET and code INTERRUPTED. Called exactly once, from
 * mover_client_dispatch() or mover_client_free(), never from inside the request function. */
typedef void (*mover_done_fn)(void *arg, int r, const struct kerr *err);
typedef void (*mover_jobs_fn)(void *arg, int r, const struct kerr *err,
			      const struct mover_progress *jobs, size_t count);
typedef void (*mover_vms_fn)(void *arg, int r, const struct kerr *err, const struct mover_vm *vms,
			     size_t count);

/* *plan is NULL where r < 0. */
typedef void (*mover_plan_fn)(void *arg, int r, const struct kerr *err,
			      const struct mover_plan *plan);
/* Of the record only the length was looked at; borrowed. */
typedef void (*mover_offers_fn)(void *arg, int r, const struct kerr *err, const uint8_t *offers,
				size_t len);

/* Connects to the socket at `path`. `events` is borrowed and must outlive the client. */
int mover_client_new(const char *path, const struct mover_client_events *events, void *ctx,
		     struct mover_client **ret);
struct mover_client *mover_client_free(struct mover_client *c);
DEFINE_CLEANUP(struct mover_client *, mover_client_free)

/* Watch this descriptor for input (and hang-up), then call mover_client_dispatch(): it reads
 * what is there and returns 0, or -ECONNRESET once when the mover is gone (all open requests are
 * answered before it returns; free the client and connect anew later). */
int mover_client_fd(const struct mover_client *c);
int mover_client_dispatch(struct mover_client *c);

/* Requests. They send at once and return 0, or a negative errno with nothing sent (then `done`
 * is not called). `fd` is duplicated: the caller still owns and closes its own. */
int mover_client_start(struct mover_client *c, const uint8_t hid[HID_LEN], bool source,
		       mover_done_fn done, void *arg);
/* The VM of a console that a peer was granted: it can be seen, and the peer may connect. */
int mover_client_show(struct mover_client *c, const uint8_t hid[HID_LEN], mover_done_fn done,
		      void *arg);
int mover_client_conn(struct mover_client *c, const uint8_t hid[HID_LEN], uint16_t channel, int fd,
		      mover_done_fn done, void *arg);
int mover_client_cancel(struct mover_client *c, const uint8_t hid[HID_LEN], mover_done_fn done,
			void *arg);
/* The other side of a hand-off gave up, or its kithd is gone: nobody waits for the answer. */
int mover_client_gone(struct mover_client *c, const uint8_t hid[HID_LEN], const struct kerr *why);
int mover_client_jobs(struct mover_client *c, mover_jobs_fn done, void *arg);
int mover_client_vms(struct mover_client *c, mover_vms_fn done, void *arg);
/* What this host offers to VMs that arrive. */
int mover_client_offers(struct mover_client *c, mover_offers_fn done, void *arg);
/* What would become of a hand-off of this VM to a device that offers this (`len` 0: not known). */
int mover_client_plan(struct mover_client *c, const struct mover_plan_ask *ask, mover_plan_fn done,
		      void *arg);
