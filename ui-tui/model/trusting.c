/* SPDX-License-Identifier: Apache-2.0 */
/* What a person decides about another device, each after a question in which no has the focus. */
#include <string.h>

#include "base/buf.h"
#include "ui-tui/model/says.h"
#include "ui-tui/model/ui-internal.h"

/* The selected one; NULL, and it was said, if none that is paired is. */
static const struct model_device *selected(struct ui *ui)
{
	const struct model_device *d;
	struct row row;

	d = ui_selected(ui, LIST_DEVICES, &row) ? state_device(ui->state, row.key) : NULL;
	if (d && d->paired == MAYBE_YES)
		return d;
	ui_say(ui, STYLE_WARN, "Choose a paired device.");
	return NULL;
}

static struct dialog *ask(struct ui *ui, enum dialog_kind kind, const char *title,
			  const struct model_device *device)
{
	struct dialog *d = ui_open(ui, kind, title);

	d->question = true;
	snprintf(d->target.name, sizeof(d->target.name), "%s", device->name);
	if (hex_decode(device->id, d->target.device, DEVICE_ID_LEN) == 0)
		return d;
	ui_close(ui);
	return NULL;
}

void ui_ask_accept(struct ui *ui)
{
	const struct model_device *device = selected(ui);
	const struct state *s = ui->state;
	struct dialog *d;

	if (!device)
		return;
	if (strcmp(device->id, s->trust_of) != 0 || s->no_trust.code != KCODE_OK) {
		ui_say(ui, STYLE_WARN, "What \"%s\" proved is not known yet.", device->name);
		return;
	}
	d = ask(ui, DIALOG_ACCEPT, "Accept it as it runs now?", device);
	if (!d)
		return;
	says_changes(&s->trust, s->now, &d->text);
	sheet_add(&d->text, STYLE_WARN, "Accept \"%s\"? Only if you changed it yourself.",
		  device->name);
	memcpy(d->shown, s->trust.hash, HASH_LEN);
}

void ui_ask_take(struct ui *ui)
{
	const struct model_device *device = selected(ui);
	struct dialog *d;

	if (!device)
		return;
	if (device->own) {
		ui_say(ui, STYLE_WARN, "\"%s\" is your own: what comes from it is taken.",
		       device->name);
		return;
	}
	d = ask(ui, DIALOG_TAKE, device->receive ? "No VMs from it any more?" : "Take VMs from it?",
		device);
	if (!d)
		return;
	d->on = !device->receive;
	sheet_add(&d->text, STYLE_PLAIN,
		  d->on ? "Take VMs of %s that come from \"%s\"? They run here, each as its own "
			  "policy says; both devices prove themselves before."
			: "Take no VMs of %s from \"%s\" any more? Those that are here stay.",
		  device->person, device->name);
}

/* What is on a device that is forgotten cannot come home from it (A8). */
void ui_ask_forget(struct ui *ui)
{
	const struct model_device *device = selected(ui);
	const struct state *s = ui->state;
	struct dialog *d = NULL;

	if (device)
		d = ask(ui, DIALOG_FORGET, "Forget it?", device);
	if (!d)
		return;
	for (size_t i = 0; i < s->vm_count; i++)
		if (s->vms[i].managed && !s->vms[i].here &&
		    strcmp(s->vms[i].holder, device->id) == 0)
			sheet_add(&d->text, STYLE_BAD,
				  "! It holds \"%s\", which cannot come back from it then; move it "
				  "here first.",
				  s->vms[i].name);
	sheet_add(&d->text, STYLE_WARN,
		  "Forget \"%s\" of %s? It has to be paired again to come back.", device->name,
		  device->person);
}
