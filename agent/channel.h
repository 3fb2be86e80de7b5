/* SPDX-License-Identifier: Apache-2.0 */
/* Data connections of hand-offs and consoles: kithd makes or takes them and passes them to the
 * mover, unread. */
#pragma once

#include "agent/courier.h"
#include "agent/jobs.h"
#include "agent/viewings.h"
#include "agent/whereabouts.h"

struct channel; /* all of them */

/* The parts have to outlive it. */
struct channel *channel_new(struct courier *courier, struct jobs *jobs, struct viewings *viewings,
			    const struct whereabouts *whereabouts);
/* Gives up those that are being made. */
struct channel *channel_free(struct channel *c);
DEFINE_CLEANUP(struct channel *, channel_free)

/* The mover wants one to the peer of a hand-off or console. */
void channel_dial(struct channel *c, const uint8_t hid[HID_LEN], uint16_t number);

/* A peer brought one: takes the descriptor over. */
void channel_accept(struct channel *c, int fd, const uint8_t hid[HID_LEN], uint16_t number);
