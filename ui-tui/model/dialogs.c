/* SPDX-License-Identifier: Apache-2.0 */
/* Keys while something is asked, shown or typed. */
#include <string.h>

#include "base/buf.h"
#include "ui-tui/model/ui-internal.h"

void ui_filter_key(struct ui *ui, int key)
{
	struct list *l = ui_selection(ui, ui_list(ui));

	if (key == PRESS_ESC)
		l->filter[0] = '\0';
	if (key == PRESS_ESC || key == PRESS_ENTER)
		ui->filtering = false;
	else
		ui_type(l->filter, sizeof(l->filter), key);
	ui_settle(ui, ui_list(ui));
}

static void scroll(struct dialog *d, int key)
{
	size_t last = d->text.count ? d->text.count - 1 : 0;

	d->follow = false;
	if (key == PRESS_UP && d->top)
		d->top--;
	else if (key == PRESS_DOWN)
		d->top = MIN_OF(d->top + 1, last);
	else if (key == PRESS_PAGE_UP)
		d->top -= MIN_OF(d->top, (size_t)8);
	else if (key == PRESS_PAGE_DOWN)
		d->top = MIN_OF(d->top + 8, last);
}

/* Each yes counts for what was shown. */
static void take_yes(struct ui *ui)
{
	static const struct {
		enum dialog_kind dialog;
		enum wish_kind wish;
	} answers[] = {
		{DIALOG_PLAN, WISH_MOVE},     {DIALOG_CANCEL, WISH_CANCEL},
		{DIALOG_ACCEPT, WISH_ACCEPT}, {DIALOG_TAKE, WISH_TAKE},
		{DIALOG_FORGET, WISH_FORGET}, {DIALOG_FETCH, WISH_FETCH},
	};
	const struct dialog *d = &ui->dialog;

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct wish *w;

		if (answers[i].dialog != d->kind)
			continue;
		w = ui_wish(ui, answers[i].wish);
		w->target = d->target;
		w->on = d->on;
		memcpy(w->hid, d->hid, sizeof(w->hid));
		memcpy(w->shown, d->shown, sizeof(w->shown));
	}
	ui_close(ui);
}

/* The rung of the plan by the keys that select rows. */
static bool choose_rung(struct ui *ui, int key)
{
	bool back = key == PRESS_UP || key == 'k', on = key == PRESS_DOWN || key == 'j';
	struct dialog *d = &ui->dialog;

	if (d->kind != DIALOG_PLAN || d->target.rung == MOVE_RUNG_ANY || (!back && !on))
		return false;
	d->target.rung = outlook_next(&d->outlook, d->target.rung, back);
	d->follow = true;
	ui_show_plan(ui);
	return true;
}

static void question_key(struct ui *ui, int key)
{
	struct dialog *d = &ui->dialog;

	if (choose_rung(ui, key))
		return;
	if (key == 'y' || key == 'Y' || (key == PRESS_ENTER && d->yes))
		take_yes(ui);
	else if (key == 'n' || key == 'N' || key == 'q' || key == PRESS_ESC || key == PRESS_ENTER)
		ui_close(ui);
	else if (key == PRESS_TAB || key == PRESS_LEFT || key == PRESS_RIGHT || key == 'h' ||
		 key == 'l')
		d->yes = !d->yes;
	else
		scroll(d, key);
}

/* Strict on purpose: a key hit by reflex must not pair. */
static void code_key(struct ui *ui, int key)
{
	struct dialog *d = &ui->dialog;
	bool yes = strcasecmp(d->typed, "yes") == 0, no = strcasecmp(d->typed, "no") == 0;

	if (key != PRESS_ENTER) {
		if (!ui_type(d->typed, sizeof(d->typed), key))
			scroll(d, key);
		return;
	}
	if (!yes && !no) {
		d->typed[0] = '\0';
		ui_say(ui, STYLE_WARN, "Type the whole word, yes or no.");
		return;
	}
	snprintf(ui_wish(ui, WISH_ANSWER)->word, NAME_MAX_LEN + 1, "%s", yes ? "yes" : "no");
	ui_close(ui);
}

static void help_key(struct ui *ui, int key)
{
	struct dialog *d = &ui->dialog;

	if (key == PRESS_ESC || key == PRESS_ENTER)
		ui_close(ui);
	else if (ui_type(d->typed, sizeof(d->typed), key))
		ui_help(ui);
	else
		scroll(d, key);
}

void ui_dialog_key(struct ui *ui, int key)
{
	switch (ui->dialog.kind) {
	case DIALOG_CODE:
		code_key(ui, key);
		return;
	case DIALOG_HELP:
		help_key(ui, key);
		return;
	case DIALOG_FIRST:
		ui_first_key(ui, key);
		return;
	case DIALOG_NAME:
		ui_name_key(ui, key);
		return;
	case DIALOG_PLAN:
	case DIALOG_CANCEL:
	case DIALOG_ACCEPT:
	case DIALOG_TAKE:
	case DIALOG_FORGET:
	case DIALOG_FETCH:
	case DIALOG_WHY:
	case DIALOG_TEXT:
	case DIALOG_NONE:
		break;
	}
	if (ui->dialog.question)
		question_key(ui, key);
	else if (key == PRESS_ESC || key == PRESS_ENTER || key == 'q' || key == 'n')
		ui_close(ui);
	else
		scroll(&ui->dialog, key);
}
