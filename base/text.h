/* SPDX-License-Identifier: Apache-2.0 */
/* Characters that may not come from outside; text_is_clean() and text_is_name() are in buf.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* True for the controls that turn the direction of the rest of a line around (UAX 9). */
bool text_turns_lines(uint32_t c);
