/* SPDX-License-Identifier: Apache-2.0 */
/* Hears from policyd when something changed, so that nobody has to look at the clock for it. */
#pragma once

#include "base/cleanup.h"

struct changes;

/* `path` is policyd's socket. Calls `changed` in the main loop when policyd is there (again), and
 * after each change of its state, pairing window or store; `lost` when it goes away. Connects anew
 * by itself. */
struct changes *changes_new(const char *path, void (*changed)(void *ctx), void (*lost)(void *ctx),
			    void *ctx);
struct changes *changes_free(struct changes *c);
DEFINE_CLEANUP(struct changes *, changes_free)
