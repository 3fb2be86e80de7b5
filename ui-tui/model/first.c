/* SPDX-License-Identifier: Apache-2.0 */
/* The first minutes of a device that belongs to nobody: it can begin a cloud or join one. */
#include <string.h>

#include "ui-tui/model/ui-internal.h"

enum first {
	FIRST_NEW,
	FIRST_JOIN,
	FIRST_LOOK,
	_FIRST_MAX,
};

static const char *const ways[_FIRST_MAX] = {
	[FIRST_NEW] = "Start a new cloud, of which this device is the first.",
	[FIRST_JOIN] = "Join mine: pair with a device of mine that is in it already.",
	[FIRST_LOOK] = "Look around. Nothing is changed.",
};

static void say_first(struct dialog *d)
{
	sheet_clear(&d->text);
	sheet_add(&d->text, STYLE_PLAIN,
		  "A cloud is the devices of one person. Before a VM goes from one to another they "
		  "prove to each other what they run.");
	sheet_add(&d->text, STYLE_PLAIN, " ");
	for (unsigned i = 0; i < _FIRST_MAX; i++)
		sheet_add(&d->text, i == d->choice ? STYLE_STRONG : STYLE_PLAIN, "%s %s",
			  i == d->choice ? OUTLOOK_CHOSEN : "  ( )", ways[i]);
	sheet_add(&d->text, STYLE_PLAIN, " ");
	sheet_add(&d->text, STYLE_PLAIN,
		  "Then it shows its recovery key, once. That opens this device's secrets if its "
		  "TPM is cleared or exchanged, or if it starts other software than before. "
		  "Have paper at hand, and keep it away from the device.");
}

void ui_first(struct ui *ui)
{
	struct dialog *d = ui_open(ui, DIALOG_FIRST, "This device belongs to nobody yet");

	d->follow = true;
	say_first(d);
}

static void ask_name(struct ui *ui)
{
	struct dialog *d = ui_open(ui, DIALOG_NAME, "Whose cloud is it?");

	d->typing = true;
	snprintf(d->typed, sizeof(d->typed), "%s", ui->state->user);
	sheet_add(&d->text, STYLE_PLAIN,
		  "Type your name, as your devices and the people whom you pair with shall see "
		  "it, and Enter.");
}

void ui_first_key(struct ui *ui, int key)
{
	struct dialog *d = &ui->dialog;

	if (key == PRESS_ENTER && d->choice == FIRST_NEW) {
		ask_name(ui);
	} else if (key == PRESS_ENTER && d->choice == FIRST_JOIN) {
		ui_close(ui);
		ui_goto(ui, VIEW_PAIR);
		ui_wish(ui, WISH_PAIR)->role = ui->role;
	} else if (key == PRESS_ENTER || key == PRESS_ESC || key == 'q') {
		ui_close(ui);
	} else if (key == PRESS_UP || key == 'k') {
		d->choice -= d->choice > 0;
	} else if (key == PRESS_DOWN || key == 'j') {
		d->choice += d->choice + 1 < _FIRST_MAX;
	}
	if (d->kind == DIALOG_FIRST)
		say_first(d);
}

void ui_name_key(struct ui *ui, int key)
{
	struct dialog *d = &ui->dialog;

	if (key == PRESS_ESC) {
		ui_first(ui);
	} else if (key != PRESS_ENTER) {
		ui_type(d->typed, sizeof(d->typed), key);
	} else if (*d->typed) {
		snprintf(ui_wish(ui, WISH_INIT)->word, NAME_MAX_LEN + 1, "%s", d->typed);
		ui_close(ui);
		ui_goto(ui, VIEW_PAIR);
		ui_say(ui, STYLE_PLAIN, "Making the cloud ...");
	}
}
