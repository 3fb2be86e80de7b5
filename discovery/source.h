/* SPDX-License-Identifier: Apache-2.0 */
/* What a means of discovery offers and tells. Each is one file, which makes one source_ops, and a
 * row in discovery.c. */
#pragma once

#include "discovery/roster.h"

/* All are called in the default main context. Which of the sources it was is filled in behind
 * them: roster_source.number stays 0 here. */
struct source_events {
	void (*seen)(void *ctx, const struct advert *a, const struct endpoint *e,
		     const struct roster_source *source);
	void (*lost)(void *ctx, const struct roster_source *source);
	void (*all_lost)(void *ctx);
};

struct source_ops {
	/* Starts it. `events` is static. Never fails: what it needs may come later. */
	void *(*new)(const struct source_events *events, void *ctx);
	/* Nothing is told any more after that. */
	void (*free)(void *source);
	/* As discovery_publish() and discovery_set_known() say. */
	void (*publish)(void *source, const struct advert *a, uint16_t port);
	void (*set_known)(void *source, const uint8_t (*ids)[ADVERT_ID_LEN], size_t count);
	/* True while it works. */
	bool (*running)(const void *source);
};

/* mDNS/DNS-SD by the Avahi daemon. It runs in a thread of its own, because Avahi's client calls
 * block for as long as its daemon hangs (P3). */
extern const struct source_ops mdns_source;
