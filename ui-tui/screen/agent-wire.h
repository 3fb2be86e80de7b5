/* SPDX-License-Identifier: Apache-2.0 */
/* The screen's connection to kithd: it comes back when kithd does, and nobody waits for it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/kerr.h"

struct agent_wire;

struct agent_wire_hooks {
	void (*up)(void *ctx);				 /* it answers */
	void (*down)(void *ctx, const struct kerr *why); /* it does not, (still) */
	void (*event)(void *ctx, const json_t *event);
};

/* `result` (borrowed) is NULL if it was refused, or kithd went away: *err says why. */
typedef void (*agent_wire_fn)(void *user, const json_t *result, const struct kerr *err);

/* `path` and `hooks` are borrowed. */
struct agent_wire *agent_wire_new(const char *path, const struct agent_wire_hooks *hooks,
				  void *ctx);
/* Nobody is called any more. */
struct agent_wire *agent_wire_free(struct agent_wire *w);

/* For the poll loop: the descriptor (negative: none), how long to wait at most (-1: no matter),
 * and what to do after it. */
int agent_wire_fd(const struct agent_wire *w);
int agent_wire_wait_ms(const struct agent_wire *w);
void agent_wire_run(struct agent_wire *w, bool readable);

/* Asks; `request` has its "op", and is taken over. `fn` is called once, perhaps at once. */
void agent_wire_ask(struct agent_wire *w, json_t *request, agent_wire_fn fn, void *user);
