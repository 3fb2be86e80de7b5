/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in the views: a table of what each does where. */
#include <string.h>

#include "base/buf.h"
#include "ui-tui/model/ui-internal.h"

#define PAGE 10

/* -- moving about -- */

/* True if the keys scroll the text instead of the list. */
static bool in_text(const struct ui *ui)
{
	return ui->pane == 1 && ui->view != VIEW_HOME;
}

static void move_by(struct ui *ui, long rows)
{
	struct list *l = ui_selection(ui, ui_list(ui));

	if (in_text(ui)) {
		ui->top = rows < 0 ? ui->top - MIN_OF(ui->top, (size_t)-rows)
				   : ui->top + (size_t)rows;
		return;
	}
	l->index = rows < 0 ? l->index - MIN_OF(l->index, (size_t)-rows) : l->index + (size_t)rows;
	l->key[0] = '\0';
	ui->top = 0;
	ui_changed(ui);
}

static void on_up(struct ui *ui)
{
	move_by(ui, -1);
}

static void on_down(struct ui *ui)
{
	move_by(ui, 1);
}

static void on_page_up(struct ui *ui)
{
	move_by(ui, -PAGE);
}

static void on_page_down(struct ui *ui)
{
	move_by(ui, PAGE);
}

static void on_home(struct ui *ui)
{
	move_by(ui, -STATE_ROWS_MAX);
}

static void on_end(struct ui *ui)
{
	move_by(ui, in_text(ui) ? PAGE : STATE_ROWS_MAX);
}

static void on_left(struct ui *ui)
{
	ui->pane = 0;
}

static void on_right(struct ui *ui)
{
	ui->pane = 1;
}

static void on_tab(struct ui *ui)
{
	ui->pane = !ui->pane;
}

static void enter_view(struct ui *ui, enum view view)
{
	ui_goto(ui, view);
	if (view == VIEW_LOG)
		ui_wish(ui, WISH_LOG);
	if (view == VIEW_DOCTOR && !ui->state->check_count)
		ui_wish(ui, WISH_DOCTOR);
	ui_changed(ui);
}

static void on_escape(struct ui *ui)
{
	struct list *l = ui_selection(ui, ui_list(ui));

	if (l->filter[0]) {
		l->filter[0] = '\0';
		ui_settle(ui, ui_list(ui));
	} else if (ui->pane) {
		ui->pane = 0;
	} else if (ui->view != VIEW_HOME) {
		enter_view(ui, VIEW_HOME);
	}
}

static void on_filter(struct ui *ui)
{
	ui->filtering = true;
	ui->message[0] = '\0';
}

static void on_help(struct ui *ui)
{
	ui_open(ui, DIALOG_HELP, "Keys");
	ui_help(ui);
}

static void on_mouse(struct ui *ui)
{
	ui->mouse = !ui->mouse;
	ui_say(ui, STYLE_PLAIN,
	       ui->mouse ? "A click selects, the wheel scrolls; with Shift the terminal selects "
			   "text as before. m ends this."
			 : "The mouse is the terminal's again.");
}

/* Who began it so is held to it. */
static void on_look_only(struct ui *ui)
{
	if (ui->read_only && ui->always_read_only)
		ui_say(ui, STYLE_WARN, "This is read-only (--read-only) until it ends.");
	else
		ui->read_only = !ui->read_only;
}

static void on_quit(struct ui *ui)
{
	ui_wish(ui, WISH_QUIT);
}

static void on_refresh(struct ui *ui)
{
	ui_wish(ui, ui->view == VIEW_DOCTOR ? WISH_DOCTOR : WISH_REFRESH);
	if (ui->view == VIEW_LOG)
		ui_wish(ui, WISH_LOG);
}

/* -- moving VMs -- */

static void open_plan(struct ui *ui, const struct model_vm *vm, const struct model_device *d)
{
	struct dialog *dialog = ui_open(ui, DIALOG_PLAN, "The plan");
	struct target *t = &dialog->target;

	if (hex_decode(vm->uuid, t->uuid, UUID_LEN) < 0 ||
	    hex_decode(d->id, t->device, DEVICE_ID_LEN) < 0) {
		ui_close(ui);
		ui_say(ui, STYLE_BAD, "! \"%s\" is not paired with this device: press 7.", d->name);
		return;
	}
	snprintf(t->vm, sizeof(t->vm), "%s", vm->name);
	snprintf(t->name, sizeof(t->name), "%s", d->name);
	dialog->waiting = true;
	sheet_add(&dialog->text, STYLE_PLAIN, "Asking both devices about \"%s\" to \"%s\" ...",
		  t->vm, t->name);
	ui_wish(ui, WISH_PLAN)->target = *t;
}

/* From here only what is here goes; what is elsewhere is asked for. Its plan is that device's. */
static void ask_fetch(struct ui *ui, const struct model_vm *vm)
{
	const char *holder = *vm->holder_name ? vm->holder_name : "another device";
	struct dialog *d = ui_open(ui, DIALOG_FETCH, "Bring it here?");

	if (hex_decode(vm->uuid, d->target.uuid, UUID_LEN) < 0) {
		ui_close(ui);
		return;
	}
	snprintf(d->target.vm, sizeof(d->target.vm), "%s", vm->name);
	snprintf(d->target.name, sizeof(d->target.name), "%s", holder);
	d->question = true;
	sheet_add(&d->text, STYLE_PLAIN,
		  "\"%s\" is on \"%s\". Ask that device to hand it over to this one? It decides by "
		  "the policy, and both devices prove themselves before anything leaves. It goes "
		  "on while it is copied, if it runs.",
		  vm->name, holder);
}

static bool may_leave(struct ui *ui, const struct model_vm *vm)
{
	if (vm->here || vm->locked || !vm->managed)
		return true;
	if (ui->read_only)
		ui_say(ui, STYLE_WARN, "! \"%s\" is on \"%s\".", vm->name,
		       *vm->holder_name ? vm->holder_name : "another device");
	else
		ask_fetch(ui, vm);
	return false;
}

static const struct model_vm *selected_vm(const struct ui *ui)
{
	struct row row;

	return ui_selected(ui, LIST_VMS, &row) ? state_vm(ui->state, row.key) : NULL;
}

static void on_home_enter(struct ui *ui)
{
	const struct model_vm *vm = selected_vm(ui);
	const struct model_device *d = NULL;
	struct row row;

	if (!vm) {
		ui_say(ui, STYLE_WARN, "There is no VM to move.");
		return;
	}
	if (!may_leave(ui, vm))
		return;
	if (ui->pane == 0) {
		ui->pane = 1;
		ui_say(ui, STYLE_PLAIN, "Where shall \"%s\" go? Choose a device, and Enter.",
		       vm->name);
		return;
	}
	if (ui_selected(ui, LIST_TARGETS, &row))
		d = state_device(ui->state, row.key);
	if (d)
		open_plan(ui, vm, d);
}

static void on_back(struct ui *ui)
{
	const struct model_vm *vm = selected_vm(ui);
	const struct model_device *d;
	struct row row;

	if (ui->view == VIEW_JOBS) {
		const struct model_job *job =
			ui_selected(ui, LIST_JOBS, &row) ? state_job(ui->state, row.key) : NULL;

		vm = job ? state_vm(ui->state, job->uuid) : NULL;
	}
	if (!vm || !may_leave(ui, vm))
		return;
	d = state_origin(ui->state, vm->uuid);
	if (d)
		open_plan(ui, vm, d);
	else
		ui_say(ui, STYLE_WARN,
		       "Nobody remembers from where \"%s\" came: choose a device, and Enter.",
		       vm->name);
}

static const struct model_job *job_to_cancel(const struct ui *ui)
{
	const struct model_vm *vm;
	struct row row;

	if (ui->view == VIEW_JOBS)
		return ui_selected(ui, LIST_JOBS, &row) ? state_job(ui->state, row.key) : NULL;
	vm = selected_vm(ui);
	return vm ? state_job_of(ui->state, vm->uuid) : NULL;
}

static void on_cancel(struct ui *ui)
{
	const struct model_job *job = job_to_cancel(ui);
	struct dialog *d;

	if (!job || model_is_over(job)) {
		ui_say(ui, STYLE_WARN, "No hand-off of this VM is under way.");
		return;
	}
	d = ui_open(ui, DIALOG_CANCEL, "Cancel?");
	d->question = true;
	memcpy(d->hid, job->hid, sizeof(d->hid));
	snprintf(d->target.vm, sizeof(d->target.vm), "%s", job->vm);
	sheet_add(&d->text, STYLE_PLAIN,
		  "Stop the hand-off of \"%s\" %s \"%s\"? The VM goes on where it is.", job->vm,
		  job->source ? "to" : "from", job->device_name);
}

/* -- devices, policies, pairing -- */

static void on_edit(struct ui *ui)
{
	struct row row;
	struct wish *w;

	if (!ui_selected(ui, LIST_POLICIES, &row))
		return;
	w = ui_wish(ui, WISH_EDIT);
	snprintf(w->target.vm, sizeof(w->target.vm), "%s", row.name);
	if (hex_decode(row.key, w->target.uuid, UUID_LEN) < 0)
		ui->wish_count--;
}

static void on_why(struct ui *ui)
{
	struct dialog *d;
	struct row row;

	if (!ui_selected(ui, LIST_POLICIES, &row))
		return;
	d = ui_open(ui, DIALOG_WHY, "Where may it go, and why?");
	if (hex_decode(row.key, d->target.uuid, UUID_LEN) < 0) {
		ui_close(ui);
		return;
	}
	snprintf(d->target.vm, sizeof(d->target.vm), "%s", row.name);
	sheet_add(&d->text, STYLE_DIM, "No device is paired to which \"%s\" could go.", row.name);
	d->waiting = true;
	ui_wish(ui, WISH_WHY)->target = d->target;
}

static void on_pair(struct ui *ui)
{
	if (ui->state->pairing.running)
		ui_say(ui, STYLE_WARN, "A pairing window is open already; x closes it.");
	else
		ui_wish(ui, WISH_PAIR)->role = ui->role;
}

static void on_pair_selected(struct ui *ui)
{
	struct wish *w;
	struct row row;

	if (ui->state->pairing.running || !ui_selected(ui, LIST_STRANGERS, &row)) {
		on_pair(ui);
		return;
	}
	w = ui_wish(ui, WISH_PAIR);
	w->role = ui->role;
	snprintf(w->word, sizeof(w->word), "%s", row.name);
}

/* The next one that another person can have. */
static void on_role(struct ui *ui)
{
	ui->role = ui->role + 1 < _PERSON_ROLE_MAX ? ui->role + 1 : PERSON_ROLE_OWNER + 1;
}

static void on_start(struct ui *ui)
{
	if (ui_is_nobodys(ui))
		ui_first(ui);
	else
		ui_say(ui, STYLE_WARN, "This device has an owner already.");
}

static void on_pair_stop(struct ui *ui)
{
	if (ui->state->pairing.running)
		ui_wish(ui, WISH_PAIR_STOP);
}

/* A text that does not fit its place, whole. */
static void on_more(struct ui *ui)
{
	struct row row;
	struct dialog *d;

	if (!ui_selected(ui, ui_list(ui), &row))
		return;
	d = ui_open(ui, DIALOG_TEXT, row.name);
	ui_text(ui, &d->text);
}

static const struct {
	int key;
	unsigned where;
	bool changes; /* not with --read-only */
	void (*fn)(struct ui *ui);
} bindings[] = {
	{PRESS_UP, WHERE_VIEWS, false, on_up},
	{'k', WHERE_VIEWS, false, on_up},
	{PRESS_DOWN, WHERE_VIEWS, false, on_down},
	{'j', WHERE_VIEWS, false, on_down},
	{PRESS_LEFT, WHERE_VIEWS, false, on_left},
	{'h', WHERE_VIEWS, false, on_left},
	{PRESS_RIGHT, WHERE_VIEWS, false, on_right},
	{'l', WHERE_VIEWS, false, on_right},
	{PRESS_TAB, WHERE_VIEWS, false, on_tab},
	{PRESS_PAGE_UP, WHERE_VIEWS, false, on_page_up},
	{PRESS_PAGE_DOWN, WHERE_VIEWS, false, on_page_down},
	{PRESS_HOME, WHERE_VIEWS, false, on_home},
	{PRESS_END, WHERE_VIEWS, false, on_end},
	{PRESS_ESC, WHERE_VIEWS, false, on_escape},
	{'/', WHERE_VIEWS, false, on_filter},
	{'?', WHERE_VIEWS, false, on_help},
	{'m', WHERE_VIEWS, false, on_mouse},
	{'o', WHERE_VIEWS, false, on_look_only},
	{'q', WHERE_VIEWS, false, on_quit},
	{'r', WHERE_VIEWS, false, on_refresh},
	{PRESS_ENTER, WHERE_VIEW(VIEW_HOME), false, on_home_enter},
	{'b', WHERE_VIEW(VIEW_HOME) | WHERE_VIEW(VIEW_JOBS), true, on_back},
	{'c', WHERE_VIEW(VIEW_HOME) | WHERE_VIEW(VIEW_JOBS), true, on_cancel},
	{'a', WHERE_VIEW(VIEW_DEVICES), true, ui_ask_accept},
	{'t', WHERE_VIEW(VIEW_DEVICES), true, ui_ask_take},
	{'f', WHERE_VIEW(VIEW_DEVICES), true, ui_ask_forget},
	{'e', WHERE_VIEW(VIEW_POLICY), true, on_edit},
	{'w', WHERE_VIEW(VIEW_POLICY), false, on_why},
	{PRESS_ENTER, WHERE_VIEW(VIEW_PAIR), true, on_pair_selected},
	{'p', WHERE_VIEW(VIEW_PAIR), true, on_pair},
	{'x', WHERE_VIEW(VIEW_PAIR), true, on_pair_stop},
	{'a', WHERE_VIEW(VIEW_PAIR), true, on_role},
	{'s', WHERE_VIEW(VIEW_PAIR), true, on_start},
	{PRESS_ENTER, WHERE_VIEWS, false, on_more},
};

static void view_key(struct ui *ui, int key)
{
	ui->message[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(bindings); i++) {
		if (bindings[i].key != key || !(bindings[i].where & WHERE_VIEW(ui->view)))
			continue;
		if (bindings[i].changes && ui->read_only)
			ui_say(ui, STYLE_WARN,
			       "This is read-only: o ends that, unless it was begun so.");
		else
			bindings[i].fn(ui);
		return;
	}
	if (key >= '1' && key < '1' + _VIEW_MAX)
		enter_view(ui, (enum view)(key - '1'));
}

/* A clipboard fills in what is being typed, and decides nothing: not even where it has a newline,
 * and not the word that confirms a code (N12). */
static void paste_key(struct ui *ui, int key)
{
	bool typed =
		ui->filtering || ui->dialog.kind == DIALOG_NAME || ui->dialog.kind == DIALOG_HELP;

	if (key == PRESS_PASTE_END) {
		ui->pasting = false;
		if (ui->pasted)
			ui_say(ui, STYLE_WARN,
			       "What was pasted was left out: keys here have to be typed.");
		return;
	}
	if (!typed || key < ' ' || key >= PRESS_UP)
		ui->pasted = true;
	else if (ui->filtering)
		ui_filter_key(ui, key);
	else
		ui_dialog_key(ui, key);
}

static void click_row(struct ui *ui, unsigned pane, size_t row)
{
	ui->pane = pane;
	ui->message[0] = '\0';
	if (in_text(ui))
		return;
	ui_selection(ui, ui_list(ui))->index = row;
	ui_selection(ui, ui_list(ui))->key[0] = '\0';
	ui->top = 0;
	ui_changed(ui);
}

void ui_click(struct ui *ui, enum hit hit, size_t row)
{
	bool asked = ui->dialog.kind != DIALOG_NONE;

	/* What is under a dialog, or not seen, is not clicked. */
	if (ui->small || ui->filtering)
		return;
	switch (hit) {
	case HIT_TAB:
		if (!asked && row < _VIEW_MAX)
			enter_view(ui, (enum view)row);
		break;
	case HIT_FIRST:
	case HIT_OTHER:
	case HIT_TEXT:
		if (!asked)
			click_row(ui, hit != HIT_FIRST, row);
		break;
	case HIT_YES:
	case HIT_NO:
		if (ui->dialog.question)
			ui_dialog_key(ui, hit == HIT_YES ? 'y' : 'n');
		break;
	case HIT_NONE:
		break;
	}
}

void ui_key(struct ui *ui, int key)
{
	if (key == PRESS_PASTE) {
		ui->pasting = true;
		ui->pasted = false;
		return;
	}
	if (ui->pasting) {
		paste_key(ui, key);
		return;
	}
	/* What is not seen is not answered. */
	if (ui->small && key == 'q')
		ui_wish(ui, WISH_QUIT);
	else if (ui->small)
		return;
	else if (ui->dialog.kind != DIALOG_NONE)
		ui_dialog_key(ui, key);
	else if (ui->filtering)
		ui_filter_key(ui, key);
	else
		view_key(ui, key);
}
