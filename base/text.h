/* SPDX-License-Identifier: Apache-2.0 */
/* Which characters may stand in names and in sentences of others. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True for valid UTF-8 without control bytes but tab and newline, without NUL, and without what
 * turns the direction of the rest of a line around (UAX 9). */
bool text_bytes_clean(const uint8_t *text, size_t len);

/* The same of a terminated text. A name is not empty, has at
 * most `max` bytes, and besides tab and newline also no format characters (Unicode's Cf: unseen,
 * they make two names look alike), and no more than two combining marks on a letter. */
bool text_is_clean(const char *text);
bool text_is_name(const char *text, size_t max);

/* Makes `text` clean: what is not becomes '?', and a character that was cut at the end goes. */
void text_mend(char *text);
