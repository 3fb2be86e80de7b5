/* SPDX-License-Identifier: Apache-2.0 */
/* How often each device may ask for something: some at once, then one in a while. Pure. */
#pragma once

#include <stdbool.h>

#include "base/ids.h"

#define PACE_DEVICES_MAX 64

/* Zeroed: nobody asked yet. */
struct pace {
	struct {
		uint8_t id[DEVICE_ID_LEN];
		uint64_t full_ms;
	} rows[PACE_DEVICES_MAX];
};

/* True if this device may now, `at_once` times and then once each `every_ms`; counted only then.
 * Of more devices than PACE_DEVICES_MAX, the one that remembers the least is forgotten. */
bool pace_take(struct pace *p, const uint8_t id[DEVICE_ID_LEN], uint64_t every_ms, unsigned at_once,
	       uint64_t now_ms);
