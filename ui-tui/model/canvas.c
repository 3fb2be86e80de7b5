/* SPDX-License-Identifier: Apache-2.0 */
/* Cells in rows. */
#include "ui-tui/model/canvas.h"

#include <string.h>

static struct cell *cell_at(const struct canvas *c, unsigned line, unsigned column)
{
	return line < c->lines && column < c->columns ? &c->cells[line * c->columns + column]
						      : NULL;
}

const struct cell *canvas_at(const struct canvas *c, unsigned line, unsigned column)
{
	return cell_at(c, line, column);
}

/* Whatever stood there goes; of a wide character both halves. */
static void clear_cell(struct canvas *c, unsigned line, unsigned column)
{
	struct cell *cell = cell_at(c, line, column), *next = cell_at(c, line, column + 1);
	struct cell *before = column ? cell_at(c, line, column - 1) : NULL;

	if (!cell)
		return;
	if (before && !*cell->text)
		snprintf(before->text, sizeof(before->text), " ");
	if (next && !*next->text)
		snprintf(next->text, sizeof(next->text), " ");
	snprintf(cell->text, sizeof(cell->text), " ");
}

void canvas_blank(struct canvas *c, unsigned line, unsigned column, unsigned room)
{
	for (unsigned i = 0; i < room; i++) {
		struct cell *cell = cell_at(c, line, column + i);

		clear_cell(c, line, column + i);
		if (cell)
			*cell = (struct cell){.text = " "};
	}
}

void canvas_reverse(struct canvas *c, unsigned line, unsigned column, unsigned room)
{
	for (unsigned i = 0; i < room; i++) {
		struct cell *cell = cell_at(c, line, column + i);

		if (cell)
			cell->reverse = true;
	}
}

void canvas_hit(struct canvas *c, unsigned line, unsigned column, unsigned room, enum hit hit,
		size_t row)
{
	for (unsigned i = 0; i < room; i++) {
		struct cell *cell = cell_at(c, line, column + i);

		if (!cell)
			continue;
		cell->hit = (uint8_t)hit;
		cell->row = (uint16_t)row;
	}
}

int canvas_resize(struct canvas *c, unsigned lines, unsigned columns)
{
	struct cell *cells = c->cells;

	if (lines != c->lines || columns != c->columns) {
		cells = reallocarray(c->cells, (size_t)lines * columns + 1, sizeof(*cells));
		if (!cells)
			return -ENOMEM;
	}
	*c = (struct canvas){lines, columns, cells};
	for (size_t i = 0; i < (size_t)lines * columns; i++)
		cells[i] = (struct cell){.text = " "};
	return 0;
}

void canvas_release(struct canvas *c)
{
	free(c->cells);
	*c = (struct canvas){0};
}

/* One character; a wide one leaves an empty cell behind it. */
static void put_glyph(struct canvas *c, unsigned line, unsigned column, enum style style,
		      const struct glyph *g)
{
	struct cell *cell = cell_at(c, line, column), *second = cell_at(c, line, column + 1);

	if (!cell || (g->width > 1 && !second))
		return;
	clear_cell(c, line, column);
	if (g->width > 1)
		clear_cell(c, line, column + 1);
	memcpy(cell->text, g->text, sizeof(cell->text));
	cell->style = (uint8_t)style;
	if (g->width > 1) {
		second->text[0] = '\0';
		second->style = (uint8_t)style;
	}
}

unsigned canvas_put(struct canvas *c, unsigned line, unsigned column, unsigned room,
		    enum style style, const char *text)
{
	bool cut = plain_width(text) > room;
	struct glyph g, rest = {.width = 1};
	unsigned used = 0;

	if (!room)
		return 0;
	while (plain_next(&text, &g) && used + g.width <= room - cut) {
		put_glyph(c, line, column + used, style, &g);
		used += g.width;
	}
	if (cut) {
		snprintf(rest.text, sizeof(rest.text), "%s", plain_rest());
		put_glyph(c, line, column + used++, style, &rest);
	}
	return used;
}
