/* SPDX-License-Identifier: Apache-2.0 */
/* Words of others on a terminal: nothing in them moves the cursor, hides or turns what stands
 * beside it, and how many columns they take is known. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define PLAIN_GLYPH_MAX 16 /* bytes of a character with its marks and the NUL */

/* A character with the marks on it: what takes one or two columns. */
struct glyph {
	char text[PLAIN_GLYPH_MAX];
	unsigned width;
};

/* The next one of `*at`, any bytes up to a NUL; goes past it. False at the end. What is no UTF-8,
 * no printable character of the locale, a control or a format character (Cf), or a mark without a
 * letter is '?'; tabs and newlines are blanks; a third mark on a letter is left out. */
bool plain_next(const char **at, struct glyph *ret);

/* Columns that `text` takes, made plain. */
unsigned plain_width(const char *text);

/* `text` made plain and cut to `columns`, with a mark at its end where it was cut; into `size`
 * bytes. Returns the columns that it takes. */
unsigned plain_cut(const char *text, unsigned columns, char *ret, size_t size);

/* What stands for the rest of a text that was cut: an ellipsis where the locale has one. */
const char *plain_rest(void);
