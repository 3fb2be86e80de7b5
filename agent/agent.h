/* SPDX-License-Identifier: Apache-2.0 */
/* kithd as a whole: owns every part and joins them on one main loop. */
#pragma once

#include "base/cleanup.h"
#include "base/config.h"

struct agent;

/* Makes everything and starts it; policyd, the mover and Avahi may come later. */
int agent_new(const struct config *config, struct agent **ret, struct kerr *err);
struct agent *agent_free(struct agent *a);
DEFINE_CLEANUP(struct agent *, agent_free)

/* Serves until SIGTERM or SIGINT. */
void agent_run(struct agent *a);
