/* SPDX-License-Identifier: Apache-2.0 */
/* Where devices are and what they are called: what discovery says, and what proved to be true. */
#pragma once

#include "agent/peers.h"

struct whereabouts;

/* The parts have to outlive it. `port`: where a device most likely listens of which only is known
 * from which address it came. */
struct whereabouts *whereabouts_new(const struct overview *overview,
				    const struct discovery *discovery, uint16_t port);
struct whereabouts *whereabouts_free(struct whereabouts *w);
DEFINE_CLEANUP(struct whereabouts *, whereabouts_free)

/* naming_label() by all that is known. */
void whereabouts_label(const struct whereabouts *w, const uint8_t id[DEVICE_ID_LEN], char *ret,
		       size_t size);

/* Appends one address, unless it is there already. */
void whereabouts_add(struct peers_target *t, const struct endpoint *e);

/* Appends what is known of where the target's device is: what proved true last, then sightings.
 * Anybody can announce any address for any device, hence the order. */
void whereabouts_find(const struct whereabouts *w, const uint8_t *id, size_t len,
		      struct peers_target *t);

/* A device proved its key there; port 0: it came from there. */
void whereabouts_reached(struct whereabouts *w, const uint8_t id[DEVICE_ID_LEN],
			 const struct endpoint *at);

/* What is known of an address from which somebody comes. */
enum places_rank whereabouts_rank(const struct whereabouts *w, const char *address);
