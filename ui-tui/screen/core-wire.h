/* SPDX-License-Identifier: Apache-2.0 */
/* The screen's questions to kith-policyd, one after another, without waiting for the answers. */
#pragma once

#include <stdbool.h>

#include "policyd/api/proto.h"

struct core_wire;

/* `reply` is NULL if it was refused, or policyd went away: *err says why. */
typedef void (*core_wire_fn)(void *user, struct rbuf *reply, const struct kerr *err);

/* `path` is borrowed. */
struct core_wire *core_wire_new(const char *path);
/* Nobody is called any more. */
struct core_wire *core_wire_free(struct core_wire *w);

/* For the poll loop, as of agent_wire. */
int core_wire_fd(const struct core_wire *w);
int core_wire_wait_ms(const struct core_wire *w);
void core_wire_run(struct core_wire *w, bool readable);

/* Asks with the struct of that request (policyd/api/requests.h). `fn` is called once; at
 * once only if the question cannot be put. */
void core_wire_ask(struct core_wire *w, enum policyd_op op, const struct record *request,
		   const void *v, core_wire_fn fn, void *user);

/* Reads a reply that is one struct. False if there is none, or it does not decode: *err then says
 * so, unless it was set before. */
bool core_wire_take(struct rbuf *reply, const struct record *record, void *ret, struct kerr *err);
