/* SPDX-License-Identifier: Apache-2.0 */
/* The text beside or below the list of a view: what is selected, at length. */
#include <string.h>

#include "base/advice.h"
#include "ui-tui/model/progress.h"
#include "ui-tui/model/says.h"
#include "ui-tui/model/ui-internal.h"

static void say_pairing(const struct ui *ui, struct sheet *ret)
{
	sheet_add(ret, STYLE_PLAIN,
		  "Enter pairs with the selected device, p with whichever other one waits. Both "
		  "show a code, which has to be the same.%s",
		  ui_is_nobodys(ui) ? " s starts a new cloud instead." : "");
	if (!ui_is_nobodys(ui))
		sheet_add(
			ret, STYLE_PLAIN,
			"If it is another person's, that person is \"%s\" to the policies here; a "
			"changes that.",
			person_role_to_string(ui->role));
}

static void pair_text(const struct ui *ui, struct sheet *ret)
{
	const struct state_pairing *p = &ui->state->pairing;

	if (p->running && !p->asking)
		sheet_add(ret, STYLE_STRONG,
			  "Waiting for another device, for 120 s. Press 7 there too, or run "
			  "`kith pair`. x stops this.");
	else if (p->running && p->answered)
		sheet_add(ret, STYLE_STRONG, "Waiting for the answer at the other one ...");
	else if (*p->end)
		sheet_add(ret, p->paired ? STYLE_GOOD : STYLE_BAD, "%s %s", p->paired ? "+" : "!",
			  p->end);
	else
		say_pairing(ui, ret);
	if (*p->recovery) {
		sheet_add(ret, STYLE_WARN,
			  "Recovery key of this device. Write it down and keep it away from the "
			  "device; it is shown only until you leave this program:");
		sheet_add(ret, STYLE_TITLE, "    %s", p->recovery);
	}
}

/* The selected row, whole. */
static void row_text(const struct ui *ui, const struct row *row, struct sheet *ret)
{
	(void)ui;
	sheet_add(ret, row->style, "%c %s: %s", row->mark, row->name, row->text);
}

static void device_text(const struct ui *ui, const struct row *row, struct sheet *ret)
{
	const struct state *s = ui->state;

	if (strcmp(s->trust_of, row->key) != 0)
		row_text(ui, row, ret);
	else if (s->no_trust.code != KCODE_OK)
		sheet_add(ret, STYLE_BAD, "! %s", s->no_trust.text);
	else
		says_trust(&s->trust, s->now, ret);
}

static void job_text(const struct ui *ui, const struct row *row, struct sheet *ret)
{
	const struct model_job *job = state_job(ui->state, row->key);

	row_text(ui, row, ret);
	if (job)
		progress_say(job, ret);
}

static void log_text(const struct ui *ui, const struct row *row, struct sheet *ret)
{
	const struct policyd_audit *a = state_record(ui->state, row->key);

	if (a)
		says_audit(a, ret);
}

static void policy_text(const struct ui *ui, const struct row *row, struct sheet *ret)
{
	const struct sheet *policy = &ui->state->policy;

	if (strcmp(ui->state->policy_of, row->key) != 0)
		return;
	for (size_t i = 0; i < policy->count; i++)
		sheet_add(ret, policy->lines[i].style, "%s", policy->lines[i].text);
}

/* -- people -- */

static void say_device(const struct model_device *d, struct sheet *ret)
{
	char seen[48];

	model_announced(d, seen, sizeof(seen));
	sheet_add(ret, model_is_trusted(d) ? STYLE_PLAIN : STYLE_BAD, "  %c %s (%s): %s, %s%s",
		  model_is_trusted(d) ? '+' : '!', d->name, d->role, d->verdict, seen,
		  d->own       ? ""
		  : d->receive ? "; VMs from it are taken here"
			       : "; VMs from it are not taken here (`kith trust receive`)");
}

static void owner_text(const struct state *s, struct sheet *ret)
{
	sheet_add(ret, STYLE_STRONG,
		  "%s owns this device: pairs it, says what it trusts, and signs what may be done "
		  "with the VMs of this cloud.",
		  s->here.owner);
	if (*s->acts)
		sheet_add(ret, STYLE_PLAIN,
			  "Here the user \"%s\" acts for the owner (people.owner in kith.conf).",
			  s->acts);
	sheet_add(ret, STYLE_PLAIN, "Devices besides this one:");
}

static void person_text(const struct ui *ui, const struct row *row, struct sheet *ret)
{
	const struct state *s = ui->state;
	const struct state_person *p = state_person(s, row->key);
	size_t before;

	if (!p)
		return;
	if (p->own)
		owner_text(s, ret);
	else
		sheet_add(ret, STYLE_STRONG,
			  "%s is %s here: what a VM's policy (view 5) allows to \"%s\" it allows "
			  "to %s. Devices:",
			  p->name, p->role, p->role, p->name);
	before = ret->count;
	for (size_t i = 0; i < s->device_count; i++)
		if (state_is_of(&s->devices[i], p))
			say_device(&s->devices[i], ret);
	if (ret->count == before)
		sheet_add(ret, STYLE_DIM, "  none");
}

/* -- each -- */

static void (*const texts[_LIST_MAX])(const struct ui *ui, const struct row *row,
				      struct sheet *ret) = {
	[LIST_DEVICES] = device_text,  [LIST_JOBS] = job_text,	    [LIST_LOG] = log_text,
	[LIST_POLICIES] = policy_text, [LIST_PEOPLE] = person_text,
};

void ui_text(const struct ui *ui, struct sheet *ret)
{
	enum list_kind kind = ui_list(ui);
	struct row row;

	if (kind == LIST_STRANGERS)
		pair_text(ui, ret);
	else if (ui_selected(ui, kind, &row))
		(texts[kind] ? texts[kind] : row_text)(ui, &row, ret);
}
