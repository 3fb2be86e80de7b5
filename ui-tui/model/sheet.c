/* SPDX-License-Identifier: Apache-2.0 */
/* A growing array of lines. */
#include "ui-tui/model/sheet.h"

#include <stdarg.h>
#include <string.h>

static void append(struct sheet *s, enum style style, char *text)
{
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 16;
		struct sheet_line *lines = reallocarray(s->lines, room, sizeof(*lines));

		if (!lines) {
			free(text);
			return;
		}
		s->lines = lines;
		s->room = room;
	}
	s->lines[s->count++] = (struct sheet_line){text, style};
}

void sheet_add(struct sheet *s, enum style style, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) >= 0)
		append(s, style, text);
	va_end(args);
}

void sheet_clear(struct sheet *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->lines[i].text);
	free(s->lines);
	*s = (struct sheet){0};
}

void sheet_print(const struct sheet *s, FILE *to)
{
	for (size_t i = 0; i < s->count; i++)
		fprintf(to, "%s\n", s->lines[i].text);
}
