/* SPDX-License-Identifier: Apache-2.0 */
/* Hand-offs that other devices of the owner's wanted and policyd allowed: begun from here. */
#pragma once

#include "agent/requests.h"

struct wishes;

/* The parts have to outlive it. */
struct wishes *wishes_new(const struct requests_parts *parts);
struct wishes *wishes_free(struct wishes *w);
DEFINE_CLEANUP(struct wishes *, wishes_free)

/* Asks policyd for those that are to be begun; when it said that something changed. */
void wishes_look(struct wishes *w);
