/* SPDX-License-Identifier: Apache-2.0 */
/* The nonces and ids of the last sessions: none of them is good for another one (B2). */
#pragma once

#include <stdbool.h>

#include "base/ids.h"

#define REPLAYS_MAX 256

/* Zeroed: nothing was seen yet. */
struct replays {
	uint8_t seen[REPLAYS_MAX][HASH_LEN];
	size_t next;
};

/* Was it seen before? If not, it is from now on; of more than REPLAYS_MAX the oldest is forgotten.
 */
bool replays_seen(struct replays *r, const uint8_t *data, size_t len);
