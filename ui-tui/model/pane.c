/* SPDX-License-Identifier: Apache-2.0 */
/* What is selected is marked by a glyph and by reverse video, so no colour is needed. */
#include "ui-tui/model/pane.h"

#include <string.h>

/* Bytes of `text` that go into `columns`, up to a blank if there is one. */
static size_t break_at(const char *text, unsigned columns)
{
	const char *at = text, *blank = NULL, *before = text;
	unsigned used = 0;
	struct glyph g;

	while (plain_next(&at, &g)) {
		used += g.width;
		if (used > columns)
			break;
		if (*at == ' ' && g.text[0] != ' ')
			blank = at;
		before = at;
	}
	if (used <= columns)
		return strlen(text);
	/* At least one character, however wide, so that it ends. */
	if (before == text)
		plain_next(&before, &g);
	return (size_t)((blank ? blank : before) - text);
}

/* Columns before the text that the next lines stand below: the first word, or the second column
 * where two blanks set it off. */
static unsigned hanging(const char *text, unsigned columns)
{
	unsigned indent = (unsigned)strspn(text, " ");
	const char *gap = strstr(text + indent, "  ");
	unsigned second = gap ? plain_width(text) - plain_width(gap + strspn(gap, " ")) : indent;

	return second <= columns / 3 ? second : MIN_OF(indent, columns / 3);
}

void pane_wrap(const struct sheet *s, unsigned columns, struct sheet *ret)
{
	for (size_t i = 0; i < s->count; i++) {
		const char *text = s->lines[i].text;
		unsigned indent = 0;

		do {
			size_t len = break_at(text, columns - indent);

			sheet_add(ret, s->lines[i].style, "%*s%.*s", (int)indent, "", (int)len,
				  text);
			text += len + strspn(text + len, " ");
			indent = hanging(s->lines[i].text, columns);
		} while (*text);
	}
}

size_t pane_text(struct canvas *c, const struct box *box, const struct sheet *s, size_t top)
{
	struct sheet wrapped = {0};
	size_t count;

	pane_wrap(s, box->columns, &wrapped);
	count = wrapped.count;
	if (top + box->lines > count)
		top = count > box->lines ? count - box->lines : 0;
	for (size_t i = top; i < count && i - top < box->lines; i++)
		canvas_put(c, box->line + (unsigned)(i - top), box->column, box->columns,
			   wrapped.lines[i].style, wrapped.lines[i].text);
	if (top + box->lines < count && box->columns > 8)
		canvas_put(c, box->line + box->lines - 1, box->column + box->columns - 7, 7,
			   STYLE_DIM, " (more)");
	sheet_clear(&wrapped);
	return count;
}

static unsigned name_columns(enum list_kind kind, unsigned columns)
{
	if (kind == LIST_LOG)
		return 19;
	return columns < 40 ? 10 : 16;
}

static void put_row(struct canvas *c, const struct box *box, unsigned line, const struct row *row,
		    enum list_kind kind, bool selected)
{
	unsigned name = name_columns(kind, box->columns);
	char mark[3] = {selected ? '>' : ' ', row->mark, '\0'};
	enum style style = selected && row->style == STYLE_PLAIN ? STYLE_STRONG : row->style;

	canvas_put(c, line, box->column, 2, style, mark);
	canvas_put(c, line, box->column + 3, name, selected ? STYLE_STRONG : row->style, row->name);
	if (box->columns > name + 5)
		canvas_put(c, line, box->column + name + 4, box->columns - name - 4, style,
			   row->text);
}

static void put_heading(struct canvas *c, const struct box *box, const struct list *l,
			const struct rows *rows, const char *heading)
{
	char text[256];

	if (l->filter[0])
		snprintf(text, sizeof(text), "%s /%s (%zu of %zu)", heading, l->filter, rows->count,
			 rows->count + rows->hidden);
	else
		snprintf(text, sizeof(text), "%s (%zu)", heading, rows->count);
	canvas_put(c, box->line, box->column, box->columns, STYLE_TITLE, text);
}

static const char *why_none(const struct ui *ui, enum list_kind kind, bool filtered)
{
	if (filtered)
		return "No row has these letters; Esc shows all.";
	/* That nothing was told is not that there is nothing. */
	if (!ui->state->kithd && kind != LIST_LOG && kind != LIST_CHECKS)
		return "Not known while kithd does not answer.";
	return rows_none(kind);
}

static void put_none(struct canvas *c, const struct box *box, const char *why)
{
	struct box inner = {box->line + 1, box->column + 1, box->lines - 1, box->columns - 1};
	struct sheet sheet = {0};

	sheet_add(&sheet, STYLE_DIM, "%s", why);
	pane_text(c, &inner, &sheet, 0);
	sheet_clear(&sheet);
}

void pane_list(struct canvas *c, const struct box *box, const struct ui *ui, enum list_kind kind,
	       const char *heading, bool focused)
{
	const struct list *l = &ui->lists[kind];
	size_t room = box->lines - 1, top = 0;
	struct rows rows;

	rows_make(ui->state, kind, l->filter, &rows);
	put_heading(c, box, l, &rows, heading);
	if (!rows.count)
		put_none(c, box, why_none(ui, kind, rows.hidden > 0));
	if (rows.count > room && l->index > room / 2)
		top = MIN_OF(l->index - room / 2, rows.count - room);
	for (size_t i = top; i < rows.count && i - top < room; i++) {
		unsigned line = box->line + 1 + (unsigned)(i - top);

		put_row(c, box, line, &rows.row[i], kind, i == l->index);
		canvas_hit(c, line, box->column, box->columns,
			   kind == LIST_TARGETS ? HIT_OTHER : HIT_FIRST, i);
		if (i == l->index && focused)
			canvas_reverse(c, line, box->column, box->columns);
	}
	rows_release(&rows);
}
