/* SPDX-License-Identifier: Apache-2.0 */
/* kith-policyd as one object: the core, and what stands on it. */
#pragma once

#include "policyd/console.h"
#include "policyd/core.h"
#include "policyd/handoff.h"
#include "policyd/pairdesk.h"

struct policyd {
	struct core *core;
	struct pairdesk *pairdesk;
	struct handoffs *handoffs;
	struct consoles *consoles;
};

/* core_new() and what stands on it; on failure *ret is empty. */
int policyd_start(const struct config *config, struct policyd *ret, struct kerr *err);
void policyd_stop(struct policyd *p);
