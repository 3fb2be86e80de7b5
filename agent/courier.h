/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to kith-mover: kept up, whatever happens to the mover. */
#pragma once

#include "mover/client.h"

struct courier;

struct courier_events {
	struct mover_client_events mover;
	/* The mover is there (again): what is known of its jobs may be out of date. */
	void (*connected)(void *ctx);
	/* It went away; its workers end what they can. */
	void (*lost)(void *ctx);
};

/* Connects from the main loop, with back-off from 0.25 to 5 s. `events` has to be static. */
struct courier *courier_new(const char *path, const struct courier_events *events, void *ctx);
struct courier *courier_free(struct courier *c);
DEFINE_CLEANUP(struct courier *, courier_free)

/* The client to send requests by; NULL while the mover is away. Not to be kept. */
struct mover_client *courier_client(struct courier *c);
