/* SPDX-License-Identifier: Apache-2.0 */
/* A short text as the square that cameras read. */
#pragma once

#include "ui-tui/model/canvas.h"

/* Draws it with its margin, two modules to a character, into at most that many lines and columns;
 * returns the lines that it takes. 0, and nothing is drawn: there is no room, the locale has no
 * characters for it, or `text` is too long. */
unsigned qr_draw(struct canvas *c, unsigned line, unsigned column, unsigned lines, unsigned columns,
		 const char *text);
/* The columns that it takes; 0 as above, but for the room. */
unsigned qr_columns(const char *text);
