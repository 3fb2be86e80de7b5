/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of text that say something at length: a plan, what a device proved, help. The command line
 * prints them, the screen wraps and scrolls them. */
#pragma once

#include "base/cleanup.h"
#include "ui-tui/model/style.h"

struct sheet_line {
	char *text;
	enum style style;
};

struct sheet {
	struct sheet_line *lines;
	size_t count, room;
};

/* A line; with no memory left it is left out. */
void sheet_add(struct sheet *s, enum style style, const char *fmt, ...) _printf_(3, 4);
void sheet_clear(struct sheet *s);

/* As they are, one below the other. */
void sheet_print(const struct sheet *s, FILE *to);
