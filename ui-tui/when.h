/* SPDX-License-Identifier: Apache-2.0 */
/* Times as people write them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* "30s", "10m", "2h", "3d", a number from 0 to `max`: in seconds. False: it is none of these. */
bool when_span(const char *text, unsigned long max, uint64_t *ret);

/* when_span() before `now`; "12:00" today; "2026-11-28", "2026-11-28 12:00" or with
 * seconds; "today", "yesterday": all in local time, as Unix seconds. False: it is none of these. */
bool when_read(const char *text, uint64_t now, uint64_t *ret);
