/* SPDX-License-Identifier: Apache-2.0 */
/* A client of kithd's control socket: one that waits for its answers, and one in a poll loop. */
#pragma once

#include <jansson.h>

#include "base/cleanup.h"
#include "base/kerr.h"

#define AGENT_SOCKET "kithd/control.sock" /* below the run directory */

struct agent_client;

/* Connects. NOT_READY with a sentence if kithd does not run. */
int agent_client_new(const char *path, struct agent_client **ret, struct kerr *err);
struct agent_client *agent_client_free(struct agent_client *c);
DEFINE_CLEANUP(struct agent_client *, agent_client_free)

/* Sends {"id":..,"op":op} with the members of `arguments` (taken over, may be NULL) and waits at
 * most `timeout_ms` for its reply. *ret_result (may be NULL if not wanted) is a new reference.
 * A refusal comes back as -EREMOTEIO with *err as kithd wrote it; kithd gone as -ECONNRESET with
 * code INTERRUPTED. Events that arrive meanwhile are kept (the last 64). */
int agent_client_call(struct agent_client *c, const char *op, json_t *arguments, int timeout_ms,
		      json_t **ret_result, struct kerr *err);

/* The next event (after a "watch"): 1 and a new reference in *ret, 0 after `timeout_ms` without
 * one (-1 = for ever), negative with *err. */
int agent_client_event(struct agent_client *c, int timeout_ms, json_t **ret, struct kerr *err);

/* -- in a poll loop: nothing of this waits -- */

/* Connects at once or not at all. */
int agent_client_new_nowait(const char *path, struct agent_client **ret, struct kerr *err);
int agent_client_fd(const struct agent_client *c);

/* Sends a request; its reply, which agent_client_take() brings, has the id *ret_id. */
int agent_client_ask(struct agent_client *c, const char *op, json_t *arguments, json_int_t *ret_id,
		     struct kerr *err);
/* The next reply or event that is here (new reference): 1, 0 = none yet, negative with *err. */
int agent_client_take(struct agent_client *c, json_t **ret, struct kerr *err);
/* What a reply says, as agent_client_call() has it. */
int agent_client_result(json_t *reply, json_t **ret_result, struct kerr *err);
