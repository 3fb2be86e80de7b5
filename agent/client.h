/* SPDX-License-Identifier: Apache-2.0 */
/* A blocking client of kithd's control socket, for the CLI and the TUI. */
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
