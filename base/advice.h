/* SPDX-License-Identifier: Apache-2.0 */
/* What to do about an error. */
#pragma once

#include "base/kerr.h"

/* Exit status of the `kith` command for this code (0, 1, 2, 3, 4, 5, 6, 75, 130). */
int kcode_exit_status(enum kcode code);

/* The usual next step for a person, a sentence, never NULL ("" where there is none). */
const char *kcode_next_step(enum kcode code);
