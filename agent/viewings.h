/* SPDX-License-Identifier: Apache-2.0 */
/* Consoles whose two policyds agreed here: where their data connections go, and who may make them.
 * Their end is the movers' business: of each kind the last ones are remembered. */
#pragma once

#include <stdbool.h>

#include "discovery/discovery.h"
#include "mover/proto.h"

#define VIEWINGS_MAX 16 /* of each kind: twice what a policyd has open */

struct viewing {
	uint8_t hid[HID_LEN];
	uint8_t peer[DEVICE_ID_LEN];
	bool viewer;		  /* it is seen here; else the VM is here */
	struct endpoint endpoint; /* where the peer proved to be; port 0: where it came from */
	uint64_t strangers;	  /* pace of data connections from other addresses */
};

struct viewings;
struct viewings *viewings_new(void);
struct viewings *viewings_free(struct viewings *c);
DEFINE_CLEANUP(struct viewings *, viewings_free)

/* Enters one, in the place of the oldest of its kind. Borrowed until the next is entered. */
struct viewing *viewings_add(struct viewings *c, const uint8_t hid[HID_LEN], bool viewer,
			     const uint8_t peer[DEVICE_ID_LEN]);
/* NULL: there is none, or it is forgotten. */
struct viewing *viewings_find(struct viewings *c, const uint8_t hid[HID_LEN], bool viewer);
