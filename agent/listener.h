/* SPDX-License-Identifier: Apache-2.0 */
/* The peer port: accepts, looks at the first bytes, hands the connection to whom it is for. */
#pragma once

#include "agent/places.h"
#include "base/cleanup.h"
#include "mover/proto.h"

/* Connections whose first bytes have not come yet (N3). A hand-off opens at most
 * DATA_CHANNEL_MAX at once from one address. When all places are taken places_yield() says who
 * goes, so that those who keep silent do not shut the door. */
#define LISTENER_MAX 128
#define LISTENER_PER_ADDRESS_MAX 40
#define LISTENER_FIRST_BYTES_MS 4000

struct listener;

/* The latter two take the descriptor over; nothing was read from it. */
struct listener_events {
	enum places_rank (*rank)(void *ctx, const char *address);
	void (*tls)(void *ctx, int fd);
	void (*data)(void *ctx, int fd, const uint8_t hid[HID_LEN], uint16_t channel);
};

/* Listens on `port` of all addresses, IPv6 and IPv4 (0: any free one, see listener_port()).
 * `events` has to be static. */
int listener_new(uint16_t port, const struct listener_events *events, void *ctx,
		 struct listener **ret);
struct listener *listener_free(struct listener *l);
DEFINE_CLEANUP(struct listener *, listener_free)
uint16_t listener_port(const struct listener *l);
