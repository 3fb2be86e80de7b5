/* SPDX-License-Identifier: Apache-2.0 */
/* TCP connections to a peer, without waiting: several addresses side by side. */
#pragma once

#include "base/cleanup.h"
#include "discovery/discovery.h"

#define DIAL_TIMEOUT_MS 5000 /* for each address */
#define DIAL_MAX 8

struct dial;

/* The outcome, once, from the main loop: a connected, non-blocking descriptor that the callee
 * owns and the address that worked, or a negative errno (of the last address). */
typedef void (*dial_done_fn)(void *arg, int fd, const struct endpoint *used);

/* Tries the (numeric) endpoints as race.h says; the first that connects is taken, which for all but
 * the first is no proof of anything. The object is gone after `done`. */
struct dial *dial_new(const struct endpoint *endpoints, size_t count, int64_t head_ms,
		      dial_done_fn done, void *arg);
/* Gives up; `done` is not called any more. */
struct dial *dial_free(struct dial *d);
