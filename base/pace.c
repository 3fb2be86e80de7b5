/* SPDX-License-Identifier: Apache-2.0 */
/* A pace for each device. */
#include "base/pace.h"

#include <string.h>

#include "base/clock.h"

/* The device's entry; else the one that is full again soonest, which remembers the least. */
static uint64_t *pace_of(struct pace *p, const uint8_t id[DEVICE_ID_LEN])
{
	size_t at = 0;

	for (size_t i = 0; i < PACE_DEVICES_MAX; i++) {
		if (memcmp(p->rows[i].id, id, DEVICE_ID_LEN) == 0)
			return &p->rows[i].full_ms;
		if (p->rows[i].full_ms < p->rows[at].full_ms)
			at = i;
	}
	memcpy(p->rows[at].id, id, DEVICE_ID_LEN);
	p->rows[at].full_ms = 0;
	return &p->rows[at].full_ms;
}

bool pace_take(struct pace *p, const uint8_t id[DEVICE_ID_LEN], uint64_t every_ms, unsigned at_once,
	       uint64_t now_ms)
{
	return clock_pace(pace_of(p, id), every_ms, at_once, now_ms);
}
