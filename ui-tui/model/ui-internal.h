/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that handle keys share. */
#pragma once

#include "ui-tui/model/ui.h"

/* Where a key counts: a view, or a dialog that is open over it. */
#define WHERE_VIEW(view) (1u << (view))
#define WHERE_VIEWS ((1u << _VIEW_MAX) - 1)
#define WHERE_QUESTION (1u << 16)
#define WHERE_CODE (1u << 17)
#define WHERE_TEXT (1u << 18)
#define WHERE_FILTER (1u << 19)
#define WHERE_CHOICE (1u << 20) /* a question with more than one yes */
#define WHERE_FIRST (1u << 21)
#define WHERE_NAME (1u << 22)
unsigned ui_where(const struct ui *ui);

/* A row of the help: what a key does in some places. */
struct hint {
	unsigned where;
	bool changes; /* not with --read-only */
	bool brief;   /* in the line at the bottom, too */
	bool always;  /* there at its end, however narrow it is */
	const char *key, *word, *help;
};
/* The rows by number; NULL behind the last. */
const struct hint *ui_hint(size_t i);

struct list *ui_selection(struct ui *ui, enum list_kind kind);
/* After a change of the list or its filter. */
void ui_settle(struct ui *ui, enum list_kind kind);

struct wish *ui_wish(struct ui *ui, enum wish_kind kind);
void ui_close(struct ui *ui);
struct dialog *ui_open(struct ui *ui, enum dialog_kind kind, const char *title);

/* Keys while a dialog is open; while a filter is typed. */
void ui_dialog_key(struct ui *ui, int key);
void ui_filter_key(struct ui *ui, int key);
/* Writes the plan that is open anew, for the rung that is chosen; asks for a yes if it may. */
void ui_show_plan(struct ui *ui);
/* This device has no owner yet. */
bool ui_is_nobodys(const struct ui *ui);
void ui_goto(struct ui *ui, enum view view);

/* -- first.c -- */

/* Asks what to do about that. */
void ui_first(struct ui *ui);
void ui_first_key(struct ui *ui, int key);
void ui_name_key(struct ui *ui, int key);

/* -- trusting.c -- */

void ui_ask_accept(struct ui *ui);
void ui_ask_take(struct ui *ui);
void ui_ask_forget(struct ui *ui);

/* Fills the help with the rows in which its filter is. */
void ui_help(struct ui *ui);
/* Appends a typed character as UTF-8, or takes the last one away; false for other keys. */
bool ui_type(char *text, size_t size, int key);
