/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys as people read it: the line at the bottom, and the help. */
#include <string.h>

#include "ui-tui/model/ui-internal.h"

#define HOME WHERE_VIEW(VIEW_HOME)
#define DEVICES WHERE_VIEW(VIEW_DEVICES)
#define JOBS WHERE_VIEW(VIEW_JOBS)
#define LOG WHERE_VIEW(VIEW_LOG)
#define POLICY WHERE_VIEW(VIEW_POLICY)
#define DOCTOR WHERE_VIEW(VIEW_DOCTOR)
#define PAIR WHERE_VIEW(VIEW_PAIR)
#define DIALOGS (WHERE_QUESTION | WHERE_CODE | WHERE_TEXT)
#define FIRST (WHERE_FIRST | WHERE_NAME)
#define QUESTIONS (WHERE_QUESTION | WHERE_CHOICE)

static const struct hint hints[] = {
	{HOME, false, true, false, "Enter", "choose",
	 "on a VM: choose it, or bring it here; on a device: show the plan, and ask"},
	{HOME | JOBS, true, true, false, "b", "bring back",
	 "send a VM back to where it came from, or bring one here; the plan is shown, or it asks"},
	{HOME | JOBS, true, true, false, "c", "cancel",
	 "stop the hand-off of the VM, after a question"},
	{DEVICES, true, true, false, "a", "accept",
	 "take what the device proved last as right, after what changed was shown"},
	{DEVICES, true, true, false, "t", "take",
	 "another person's device: take VMs from it, or not any more, after a question"},
	{DEVICES, true, true, false, "f", "forget",
	 "end the pairing with the device, after a question that names what is on it"},
	{POLICY, false, true, false, "w", "why",
	 "say of each device which rule lets the VM go there, or keeps it"},
	{POLICY, true, true, false, "e", "edit",
	 "edit the VM's policy in $VISUAL or $EDITOR, and sign it"},
	{DOCTOR, false, true, false, "r", "look again", "run all checks of `kith doctor` again"},
	{PAIR, true, true, false, "Enter", "pair", "pair with the selected device"},
	{PAIR, true, true, false, "p", "wait", "pair with whichever other device waits"},
	{PAIR, true, true, false, "a", "as",
	 "what the owner of the other device becomes here, if that is another person"},
	{PAIR, true, true, false, "x", "stop", "close the pairing window"},
	{PAIR, true, false, false, "s", "start",
	 "on a device that is nobody's: start a new cloud, or join one"},
	{QUESTIONS, false, true, false, "y", "yes", "yes"},
	{QUESTIONS, false, true, false, "n", "no", "no; Esc is the same"},
	{WHERE_CHOICE, false, true, false, "Up/Down", "how",
	 "in a plan: choose how the VM goes: live, warm or cold"},
	{WHERE_CHOICE, false, true, false, "PgUp/PgDn", "scroll", "scroll"},
	{WHERE_CODE, false, true, false, "yes/no Enter", "answer", "the whole word"},
	{DIALOGS, false, true, false, "Up/Down", "scroll", "scroll"},
	{WHERE_TEXT, false, true, false, "Esc", "close", "close this"},
	{WHERE_FIRST, false, true, false, "Up/Down", "choose", "choose"},
	{WHERE_FIRST, false, true, false, "Enter", "go on", "go on"},
	{WHERE_FIRST, false, true, false, "Esc", "look around", "close this"},
	{WHERE_NAME, false, true, false, "Enter", "start", "start the cloud"},
	{WHERE_NAME, false, true, false, "Esc", "back", "back"},
	{WHERE_FILTER, false, true, false, "Enter", "keep", "keep the filter"},
	{WHERE_FILTER, false, true, false, "Esc", "all", "show all again"},
	{WHERE_VIEWS, false, true, false, "Tab", "side", "to the other list, or into the text"},
	{WHERE_VIEWS, false, true, false, "/", "filter", "show only rows with these letters"},
	{WHERE_VIEWS, false, true, true, "?", "help", "all keys; type to search"},
	{WHERE_VIEWS, false, true, true, "q", "quit", "leave; hand-offs go on"},
	{WHERE_VIEWS, false, false, false, "1 .. 8", "views",
	 "Move, Devices, Hand-offs, Log, Policy, Doctor, Pair, People"},
	{WHERE_VIEWS, false, false, false, "Up Down k j", "select",
	 "one row up, down; in the text: a line"},
	{WHERE_VIEWS, false, false, false, "Left Right h l", "side",
	 "to the list on the left, right"},
	{WHERE_VIEWS, false, false, false, "PageUp PageDown Home End", "far",
	 "a page, or to the end"},
	{WHERE_VIEWS, false, false, false, "Esc", "back", "no filter; then back to the first view"},
	{WHERE_VIEWS, false, false, false, "r", "refresh", "ask the services again"},
	{WHERE_VIEWS, false, false, false, "o", "look only",
	 "nothing can be changed from here any more, or again"},
	{WHERE_VIEWS, false, false, false, "m", "mouse",
	 "clicks select and the wheel scrolls, or not any more"},
	{WHERE_VIEWS, false, false, false, "Ctrl-L", "redraw", "draw the screen anew"},
	{WHERE_VIEWS, false, false, false, "Ctrl-Z", "stop",
	 "back to the shell; fg comes back here"},
};

const struct hint *ui_hint(size_t i)
{
	return i < ARRAY_SIZE(hints) ? &hints[i] : NULL;
}

unsigned ui_where(const struct ui *ui)
{
	if (ui->filtering)
		return WHERE_FILTER;
	switch (ui->dialog.kind) {
	case DIALOG_NONE:
		return WHERE_VIEW(ui->view);
	case DIALOG_CODE:
		return WHERE_CODE;
	case DIALOG_PLAN:
		if (ui->dialog.question && ui->dialog.target.rung != MOVE_RUNG_ANY)
			return WHERE_CHOICE;
		return ui->dialog.question ? WHERE_QUESTION : WHERE_TEXT;
	case DIALOG_CANCEL:
	case DIALOG_ACCEPT:
	case DIALOG_TAKE:
	case DIALOG_FORGET:
	case DIALOG_FETCH:
		return ui->dialog.question ? WHERE_QUESTION : WHERE_TEXT;
	case DIALOG_FIRST:
		return WHERE_FIRST;
	case DIALOG_NAME:
		return WHERE_NAME;
	case DIALOG_WHY:
	case DIALOG_TEXT:
	case DIALOG_HELP:
		break;
	}
	return WHERE_TEXT;
}

static bool counts(const struct ui *ui, const struct hint *h, bool always)
{
	return (h->where & ui_where(ui)) && h->brief && !(h->changes && ui->read_only) &&
	       h->always == always;
}

static size_t add_hint(const struct hint *h, char *ret, size_t size)
{
	return (size_t)snprintf(ret, size, "[%s] %s ", h->key, h->word);
}

void ui_hints(const struct ui *ui, unsigned columns, char *ret, size_t size)
{
	char last[64] = "", one[64];
	const struct hint *h;
	size_t len = 0;

	for (size_t i = 0; (h = ui_hint(i)); i++)
		if (counts(ui, h, true))
			len += add_hint(h, last + len, sizeof(last) - len);
	columns -= (unsigned)MIN_OF(len, (size_t)columns);
	len = 0;
	for (size_t i = 0; (h = ui_hint(i)); i++) {
		size_t more = counts(ui, h, false) ? add_hint(h, one, sizeof(one)) : 0;

		if (len + more > columns || len + more >= size)
			break;
		memcpy(ret + len, one, more);
		len += more;
	}
	snprintf(ret + len, size - len, "%s", last);
}

/* "Devices: " before what a key does in some views only. */
static void say_where(const struct hint *h, char *ret, size_t size)
{
	size_t len = 0;

	*ret = '\0';
	if (!(h->where & WHERE_VIEWS) || (h->where & WHERE_VIEWS) == WHERE_VIEWS)
		return;
	for (enum view view = 0; view < _VIEW_MAX; view++)
		if ((h->where & WHERE_VIEW(view)) && len < size)
			len += (size_t)snprintf(ret + len, size - len, "%s%s", len ? ", " : "",
						ui_view_name(view));
	if (len < size)
		snprintf(ret + len, size - len, ": ");
}

void ui_help(struct ui *ui)
{
	struct dialog *d = &ui->dialog;
	const struct hint *h;
	char where[64];

	sheet_clear(&d->text);
	d->top = 0;
	sheet_add(&d->text, STYLE_STRONG, "Search: %s_", d->typed);
	for (size_t i = 0; (h = ui_hint(i)); i++) {
		bool found = strcasestr(h->key, d->typed) || strcasestr(h->word, d->typed) ||
			     strcasestr(h->help, d->typed);

		say_where(h, where, sizeof(where));
		found = found || strcasestr(where, d->typed);
		if (found && !(h->where & (DIALOGS | FIRST)) && !(h->changes && ui->read_only))
			sheet_add(&d->text, STYLE_PLAIN, "%-14s %s%s", h->key, where, h->help);
	}
	if (d->text.count == 1)
		sheet_add(&d->text, STYLE_DIM, "No key is about that.");
	sheet_add(&d->text, STYLE_DIM,
		  "* held here   - on another device   + trusted, done   ! not trusted, refused   "
		  "? not known   ~ under way");
}
