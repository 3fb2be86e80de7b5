/* SPDX-License-Identifier: Apache-2.0 */
/* Who is in sight, by whatever means; the one header of this folder that others include. */
#pragma once

#include "discovery/roster.h"

struct discovery;

/* All are called in the default main context. */
struct discovery_events {
	/* Something is known of those in sight that was not before. */
	void (*changed)(void *ctx);
	/* This device was not in sight until now. */
	void (*appeared)(void *ctx, const uint8_t id[ADVERT_ID_LEN]);
};

/* Starts every source. `events` has to be static. NULL without memory; a source that does not work
 * now waits until it does. */
struct discovery *discovery_new(const struct discovery_events *events, void *ctx);
struct discovery *discovery_free(struct discovery *d);
DEFINE_CLEANUP(struct discovery *, discovery_free)

/* Publishes our own service or changes what it says. What carries our id is never in sight. */
void discovery_publish(struct discovery *d, const struct advert *a, uint16_t port);

/* Ids of paired devices: what announces them is not pushed out by a flood (P2). Copied. */
void discovery_set_known(struct discovery *d, const uint8_t (*ids)[ADVERT_ID_LEN], size_t count);

/* Forgets who is out of sight for long. To be called every few seconds. */
void discovery_expire(struct discovery *d);

/* True while at least one source works. */
bool discovery_running(const struct discovery *d);

/* Who is in sight; borrowed. */
const struct roster *discovery_roster(const struct discovery *d);
