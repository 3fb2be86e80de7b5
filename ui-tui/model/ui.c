/* SPDX-License-Identifier: Apache-2.0 */
/* Views, selections, messages. */
#include "ui-tui/model/ui.h"

#include <stdarg.h>
#include <string.h>

#include "base/advice.h"
#include "ui-tui/model/ui-internal.h"

static const struct {
	const char *name;
	enum list_kind list;
} views[_VIEW_MAX] = {
	[VIEW_HOME] = {"Move", LIST_VMS},	   [VIEW_DEVICES] = {"Devices", LIST_DEVICES},
	[VIEW_JOBS] = {"Hand-offs", LIST_JOBS},	   [VIEW_LOG] = {"Log", LIST_LOG},
	[VIEW_POLICY] = {"Policy", LIST_POLICIES}, [VIEW_DOCTOR] = {"Doctor", LIST_CHECKS},
	[VIEW_PAIR] = {"Pair", LIST_STRANGERS},	   [VIEW_PEOPLE] = {"People", LIST_PEOPLE},
};

const char *ui_view_name(enum view view)
{
	return views[view].name;
}

enum list_kind ui_list(const struct ui *ui)
{
	return ui->view == VIEW_HOME && ui->pane ? LIST_TARGETS : views[ui->view].list;
}

void ui_begin(struct ui *ui, const struct state *state, bool read_only)
{
	*ui = (struct ui){.state = state,
			  .read_only = read_only,
			  .always_read_only = read_only,
			  .role = PERSON_ROLE_GUEST};
}

void ui_release(struct ui *ui)
{
	ui_close(ui);
}

void ui_say(struct ui *ui, enum style style, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(ui->message, sizeof(ui->message), fmt, args);
	va_end(args);
	ui->message_style = style;
}

void ui_resized(struct ui *ui, unsigned lines, unsigned columns)
{
	ui->small = lines < UI_LINES_MIN || columns < UI_COLUMNS_MIN;
}

/* -- selections -- */

struct list *ui_selection(struct ui *ui, enum list_kind kind)
{
	return &ui->lists[kind];
}

bool ui_selected(const struct ui *ui, enum list_kind kind, struct row *ret)
{
	const struct list *l = &ui->lists[kind];
	struct rows rows;
	bool found;

	rows_make(ui->state, kind, l->filter, &rows);
	found = l->index < rows.count;
	if (found)
		*ret = rows.row[l->index];
	rows_release(&rows);
	return found;
}

/* The row with the same key, or the one that is now where it was. */
void ui_settle(struct ui *ui, enum list_kind kind)
{
	struct list *l = &ui->lists[kind];
	struct rows rows;

	rows_make(ui->state, kind, l->filter, &rows);
	for (size_t i = 0; i < rows.count; i++)
		if (*l->key && strcmp(rows.row[i].key, l->key) == 0)
			l->index = i;
	if (l->index >= rows.count)
		l->index = rows.count ? rows.count - 1 : 0;
	if (rows.count)
		snprintf(l->key, sizeof(l->key), "%s", rows.row[l->index].key);
	rows_release(&rows);
}

/* -- wishes -- */

struct wish *ui_wish(struct ui *ui, enum wish_kind kind)
{
	struct wish *w;

	if (ui->wish_count == UI_WISHES_MAX)
		ui->wish_count--;
	w = &ui->wishes[ui->wish_count++];
	*w = (struct wish){.kind = kind};
	return w;
}

bool ui_take_wish(struct ui *ui, struct wish *ret)
{
	if (!ui->wish_count)
		return false;
	*ret = ui->wishes[0];
	ui->wish_count--;
	memmove(ui->wishes, ui->wishes + 1, ui->wish_count * sizeof(ui->wishes[0]));
	return true;
}

/* -- dialogs -- */

void ui_close(struct ui *ui)
{
	sheet_clear(&ui->dialog.text);
	outlook_release(&ui->dialog.outlook);
	ui->dialog = (struct dialog){0};
}

struct dialog *ui_open(struct ui *ui, enum dialog_kind kind, const char *title)
{
	ui_close(ui);
	ui->dialog.kind = kind;
	snprintf(ui->dialog.title, sizeof(ui->dialog.title), "%s", title);
	return &ui->dialog;
}

void ui_show_plan(struct ui *ui)
{
	struct dialog *d = &ui->dialog;
	const struct outlook *o = &d->outlook;

	sheet_clear(&d->text);
	outlook_say(o, &d->target, &d->text);
	d->question = o->plan.allowed && !ui->read_only;
	/* What ends all that runs in the guest is not begun by an Enter too many. */
	d->yes = d->question && d->target.rung != MOVE_RUNG_COLD;
	if (ui->read_only && o->plan.allowed)
		sheet_add(&d->text, STYLE_WARN, "This is read-only.");
}

void ui_planned(struct ui *ui, const struct outlook *o)
{
	struct dialog *d = &ui->dialog;

	if (d->kind != DIALOG_PLAN || !d->waiting)
		return;
	d->waiting = false;
	d->outlook = *o;
	json_incref(d->outlook.rungs);
	json_incref(d->outlook.fitted);
	if (!ui->read_only)
		d->target.rung = outlook_first(o);
	ui_show_plan(ui);
}

bool ui_because(struct ui *ui, const struct target *t, const struct policyd_plan *plan)
{
	struct dialog *d = &ui->dialog;

	if (d->kind != DIALOG_WHY || memcmp(d->target.uuid, t->uuid, UUID_LEN) != 0)
		return false;
	if (d->waiting)
		sheet_clear(&d->text);
	d->waiting = false;
	outlook_because(plan, t, &d->text);
	return true;
}

void ui_failed(struct ui *ui, const char *title, const struct kerr *why)
{
	const char *next = kcode_next_step(why->code);
	struct dialog *d = ui_open(ui, DIALOG_TEXT, title);

	sheet_add(&d->text, STYLE_BAD, "! %s", why->text);
	if (*next && !strstr(why->text, next))
		sheet_add(&d->text, STYLE_PLAIN, "  %s", next);
	sheet_add(&d->text, STYLE_DIM, "  (code: %s)", kcode_to_string(why->code));
}

bool ui_type(char *text, size_t size, int key)
{
	size_t len = strlen(text);
	char utf8[5] = "";

	if (key == PRESS_BACK) {
		while (len && (text[--len] & 0xc0) == 0x80)
			;
		text[len] = '\0';
		return true;
	}
	if (key < ' ' || key == 0x7f || key >= PRESS_UP)
		return false;
	if (key < 0x80)
		snprintf(utf8, sizeof(utf8), "%c", key);
	else if (key < 0x800)
		snprintf(utf8, sizeof(utf8), "%c%c", 0xc0 | key >> 6, 0x80 | (key & 0x3f));
	else if (key < 0x10000)
		snprintf(utf8, sizeof(utf8), "%c%c%c", 0xe0 | key >> 12, 0x80 | (key >> 6 & 0x3f),
			 0x80 | (key & 0x3f));
	if (*utf8 && len + strlen(utf8) < size)
		memcpy(text + len, utf8, strlen(utf8) + 1);
	return true;
}

void ui_goto(struct ui *ui, enum view view)
{
	ui->view = view;
	ui->pane = 0;
	ui->top = 0;
	ui->message[0] = '\0';
}

bool ui_is_nobodys(const struct ui *ui)
{
	const char *none = policyd_state_to_string(POLICYD_STATE_NO_CLOUD);

	return ui->state->kithd && strcmp(ui->state->here.state, none) == 0;
}
