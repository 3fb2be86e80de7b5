/* SPDX-License-Identifier: Apache-2.0 */
/* The clock of kithd's main loop. */
#pragma once

#include <glib.h>

/* Milliseconds of the monotonic clock: what all `now` and deadlines of kithd are. */
static inline int64_t now_ms(void)
{
	return g_get_monotonic_time() / 1000;
}
