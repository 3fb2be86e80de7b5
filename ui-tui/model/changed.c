/* SPDX-License-Identifier: Apache-2.0 */
/* What a change of the facts, or of the selection, means for what is open and what is asked for. */
#include <string.h>

#include "base/buf.h"
#include "ui-tui/model/says.h"
#include "ui-tui/model/ui-internal.h"

/* What the text beside the list is about has to be asked for. */
static void want_text(struct ui *ui)
{
	const struct state *s = ui->state;
	bool aged = ui->aged;
	struct row row;

	ui->aged = false;

	if (ui->view == VIEW_DEVICES && ui_selected(ui, LIST_DEVICES, &row)) {
		const struct model_device *d = state_device(s, row.key);
		struct wish *w;

		if (!d || d->paired != MAYBE_YES || (strcmp(s->trust_of, row.key) == 0 && !aged))
			return;
		w = ui_wish(ui, WISH_TRUST);
		if (hex_decode(row.key, w->target.device, DEVICE_ID_LEN) < 0)
			ui->wish_count--;
	} else if (ui->view == VIEW_POLICY && ui_selected(ui, LIST_POLICIES, &row) &&
		   (strcmp(s->policy_of, row.key) != 0 || aged)) {
		struct wish *w = ui_wish(ui, WISH_POLICY);

		if (hex_decode(row.key, w->target.uuid, UUID_LEN) < 0)
			ui->wish_count--;
	}
}

void ui_text_aged(struct ui *ui)
{
	ui->aged = true;
	if (ui->view == VIEW_LOG)
		ui_wish(ui, WISH_LOG);
}

static void show_code(struct ui *ui)
{
	const struct state_pairing *p = &ui->state->pairing;
	int past = pair_past_from_string(p->past);
	struct dialog *d;

	if (!p->asking || p->answered) {
		if (ui->dialog.kind == DIALOG_CODE)
			ui_close(ui);
		return;
	}
	if (ui->dialog.kind == DIALOG_CODE)
		return;
	d = ui_open(ui, DIALOG_CODE, "Is it the same code on both screens?");
	d->typing = true;
	/* The same on both screens, as the code is. */
	snprintf(d->picture, sizeof(d->picture), "KITH %.16s", p->code);
	sheet_add(&d->text, STYLE_TITLE, "     %s", p->code);
	sheet_add(&d->text, STYLE_PLAIN, " ");
	sheet_add(&d->text, STYLE_PLAIN, "\"%s\" (%s%s%s, TPM: %s) shows a code too.", p->peer,
		  p->peer_role, *p->peer_owner ? " of " : "", p->peer_owner, p->peer_tier);
	if (past > PAIR_PAST_NONE)
		sheet_add(&d->text, STYLE_WARN, "%s", says_past((enum pair_past)past));
	sheet_add(&d->text, STYLE_WARN,
		  "If the two differ, somebody is between the devices: answer no.");
	sheet_add(&d->text, STYLE_STRONG, "Type yes or no, and Enter.");
}

void ui_changed(struct ui *ui)
{
	/* Those of other views are settled when they are gone to: a log is long. */
	ui_settle(ui, ui_list(ui));
	if (ui->view == VIEW_HOME)
		ui_settle(ui, ui->pane ? LIST_VMS : LIST_TARGETS);
	want_text(ui);
	show_code(ui);
	if (ui_is_nobodys(ui) && !ui->first && !ui->read_only && !ui->small &&
	    ui->dialog.kind == DIALOG_NONE) {
		ui->first = true;
		ui_first(ui);
	}
}
