/* SPDX-License-Identifier: Apache-2.0 */
/* mDNS/DNS-SD by the Avahi daemon. It runs in a thread of its own, because Avahi's client calls
 * block for as long as its daemon hangs (P3). */
#pragma once

#include <stdbool.h>

#include "discovery/roster.h"

/* All are called in the default main context. */
struct mdns_events {
	void (*seen)(void *ctx, const struct advert *a, const struct endpoint *e,
		     const struct roster_source *source);
	void (*lost)(void *ctx, const struct roster_source *source);
	void (*all_lost)(void *ctx);
};

struct mdns;

/* Starts the thread, browses from now on. `events` has to be static. Never fails for want of a
 * daemon: it waits for one. */
struct mdns *mdns_new(const struct mdns_events *events, void *ctx);
struct mdns *mdns_free(struct mdns *m);
DEFINE_CLEANUP(struct mdns *, mdns_free)

/* Publishes our own service or changes what it says; NULL withdraws it. What carries our id is
 * never reported as seen. */
void mdns_publish(struct mdns *m, const struct advert *a, uint16_t port);

/* Ids of paired devices: what announces them is not pushed out by a flood (P2). Copied. */
void mdns_set_known(struct mdns *m, const uint8_t (*ids)[ADVERT_ID_LEN], size_t count);

/* True while the daemon answers. */
bool mdns_running(const struct mdns *m);
