/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks: one that never goes back, for every deadline, and one for people; and a pace. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds since an arbitrary start; never goes back, counts suspend (D13). */
uint64_t clock_ms(void);

/* Unix seconds; may jump. For people and records only, never for a safety decision. */
uint64_t clock_unix(void);

/* Minute of the day in this device's time zone, 0 to 1439. As clock_unix(), it may jump. */
uint32_t clock_minute(void);

/* How often something may happen: `at_once` times, then once each `every_ms`. True if it may at
 * `now_ms`, and counts it. *full_ms starts as 0: the time at which all of it may happen again. */
bool clock_pace(uint64_t *full_ms, uint64_t every_ms, unsigned at_once, uint64_t now_ms);
