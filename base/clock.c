/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, and a pace. */
#include "base/clock.h"

#include <time.h>

uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t clock_unix(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

uint32_t clock_minute(void)
{
	time_t now = time(NULL);
	struct tm tm = {0};

	localtime_r(&now, &tm);
	return (uint32_t)(tm.tm_hour * 60 + tm.tm_min);
}

bool clock_pace(uint64_t *full_ms, uint64_t every_ms, unsigned at_once, uint64_t now_ms)
{
	uint64_t from = *full_ms > now_ms ? *full_ms : now_ms;

	if (from - now_ms > every_ms * (at_once - 1))
		return false;
	*full_ms = from + every_ms;
	return true;
}
