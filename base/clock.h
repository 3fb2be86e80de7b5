/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks: one that never goes back, for every deadline, and one for people. */
#pragma once

#include <stdint.h>

/* Milliseconds since an arbitrary start; never goes back, counts suspend (D13). */
uint64_t clock_ms(void);

/* Unix seconds; may jump. For people and records only, never for a safety decision. */
uint64_t clock_unix(void);
