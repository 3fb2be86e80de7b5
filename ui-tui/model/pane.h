/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the screen: a list with its selection, a text that is wrapped and scrolled. */
#pragma once

#include "ui-tui/model/canvas.h"
#include "ui-tui/model/ui.h"

struct box {
	unsigned line, column, lines, columns;
};

/* Appends to *ret the same lines, none wider than `columns`: they are broken between words, and
 * what follows stands below the first word, or below the second column. */
void pane_wrap(const struct sheet *s, unsigned columns, struct sheet *ret);

/* A text, from line `top` of what it is wrapped to; as far as it goes. Returns how many lines it
 * has in this width. */
size_t pane_text(struct canvas *c, const struct box *box, const struct sheet *s, size_t top);

/* The rows around the selected one, below a heading. */
void pane_list(struct canvas *c, const struct box *box, const struct ui *ui, enum list_kind kind,
	       const char *heading, bool focused);
