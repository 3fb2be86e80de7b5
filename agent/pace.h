/* SPDX-License-Identifier: Apache-2.0 */
/* How often each device may ask for something: some at once, then one in a while. Pure. */
#pragma once

#include <stdbool.h>

#include "base/ids.h"

#define PACE_AT_ONCE 20
#define PACE_EVERY_MS 1000
#define PACE_DEVICES_MAX 64

/* Zeroed: nobody asked yet. */
struct pace {
	struct {
		uint8_t id[DEVICE_ID_LEN];
		uint64_t full_ms;
	} rows[PACE_DEVICES_MAX];
};

/* True if this device may now; counted only then. */
bool pace_take(struct pace *p, const uint8_t id[DEVICE_ID_LEN], uint64_t now_ms);
