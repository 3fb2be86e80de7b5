/* SPDX-License-Identifier: Apache-2.0 */
/* A screen in memory: what is drawn is drawn here, and shown by whoever has a terminal. All text
 * passes through plain_next() on its way in. */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "ui-tui/model/plain.h"
#include "ui-tui/model/style.h"

/* What a click is for. */
enum hit {
	HIT_NONE,
	HIT_TAB,   /* `row`: the view */
	HIT_FIRST, /* `row` of the first list */
	HIT_OTHER, /* `row` of the list beside it */
	HIT_TEXT,
	HIT_YES,
	HIT_NO,
};

struct cell {
	char text[PLAIN_GLYPH_MAX]; /* "": the second half of a wide character before it */
	uint8_t style;
	bool reverse; /* what the next key is for */
	uint8_t hit;
	uint16_t row;
};

struct canvas {
	unsigned lines, columns;
	struct cell *cells;
};

/* Blanks everywhere. -ENOMEM, and then it is as it was. */
int canvas_resize(struct canvas *c, unsigned lines, unsigned columns);
void canvas_release(struct canvas *c);

const struct cell *canvas_at(const struct canvas *c, unsigned line, unsigned column);

/* Writes at most `room` columns; what does not fit is cut. Outside of the canvas nothing is
 * written. Returns the columns used. */
unsigned canvas_put(struct canvas *c, unsigned line, unsigned column, unsigned room,
		    enum style style, const char *text);
/* Blanks. */
void canvas_blank(struct canvas *c, unsigned line, unsigned column, unsigned room);
/* Says what a click there is for. */
void canvas_hit(struct canvas *c, unsigned line, unsigned column, unsigned room, enum hit hit,
		size_t row);
/* Reverses what stands there. */
void canvas_reverse(struct canvas *c, unsigned line, unsigned column, unsigned room);
