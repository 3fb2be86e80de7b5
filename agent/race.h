/* SPDX-License-Identifier: Apache-2.0 */
/* In which order and when the addresses of a device are tried: side by side, after RFC 8305. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RACE_STEP_MS 250

struct race {
	size_t count, started;
	int64_t begin_ms, head_ms;
};

/* `count` addresses, the best first; it has `head_ms` for itself. Then one more starts, after each
 * further RACE_STEP_MS twice as many, so that a crowd of dead ones costs little. */
struct race race_begin(size_t count, int64_t head_ms, int64_t now_ms);

/* True if an address is to be tried now: its number is in *ret. `idle`: none is being tried, so
 * that there is nothing to wait for. */
bool race_next(struct race *r, bool idle, int64_t now_ms, size_t *ret);

/* Milliseconds until race_next() may have one, -1 = never. */
int64_t race_wait(const struct race *r, int64_t now_ms);
