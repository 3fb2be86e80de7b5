/* SPDX-License-Identifier: Apache-2.0 */
/* The timetable. */
#include "agent/race.h"

struct race race_begin(size_t count, int64_t head_ms, int64_t now_ms)
{
	return (struct race){.count = count, .begin_ms = now_ms, .head_ms = head_ms};
}

/* 0; head; head + 1 step, twice; head + 2 steps, four times; ... */
static int64_t due(const struct race *r, size_t i)
{
	int64_t steps = -1;

	for (size_t n = i; n; n /= 2)
		steps++;
	return i == 0 ? r->begin_ms : r->begin_ms + r->head_ms + steps * RACE_STEP_MS;
}

bool race_next(struct race *r, bool idle, int64_t now_ms, size_t *ret)
{
	if (r->started >= r->count)
		return false;
	if (!idle && now_ms < due(r, r->started))
		return false;
	*ret = r->started++;
	return true;
}

int64_t race_wait(const struct race *r, int64_t now_ms)
{
	int64_t left;

	if (r->started >= r->count)
		return -1;
	left = due(r, r->started) - now_ms;
	return left > 0 ? left : 0;
}
