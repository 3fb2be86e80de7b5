/* SPDX-License-Identifier: Apache-2.0 */
/* One function a list: it fills one row, or says that the fact is not of this list. */
#include "ui-tui/model/rows.h"

#include <string.h>

#include "ui-tui/model/progress.h"
#include "ui-tui/model/says.h"

static void row_look(struct row *r, char mark, enum style style)
{
	r->mark = mark;
	r->style = style;
}

/* -- VMs -- */

static void vm_look(const struct model_vm *vm, struct row *r)
{
	if (vm->locked)
		row_look(r, '?', STYLE_DIM);
	else if (vm->doubt)
		row_look(r, '!', STYLE_BAD);
	else if (!vm->managed)
		row_look(r, ' ', STYLE_DIM);
	else if (vm->here)
		row_look(r, '*', STYLE_STRONG);
	else
		row_look(r, '-', STYLE_PLAIN);
}

/* Short: a list beside another one has little room. */
static void vm_words(const struct model_vm *vm, const struct model_job *job, char *ret, size_t size)
{
	char memory[32] = "", where[384];

	if (vm->memory_bytes)
		model_bytes(vm->memory_bytes, memory, sizeof(memory));
	model_where(vm, where, sizeof(where));
	if (job)
		snprintf(ret, size, "%s %s: %s", job->source ? "to" : "from", job->device_name,
			 phase_to_string(job->phase));
	else if (vm->managed && vm->here && !vm->doubt && !vm->locked)
		snprintf(ret, size, "here, %s%s%s",
			 vm->defined ? vm->state : "without a definition", *memory ? ", " : "",
			 memory);
	else
		snprintf(ret, size, "%s%s%s", vm->state, *vm->state ? ", " : "", where);
}

static bool vm_row(const struct state *s, size_t i, struct row *r)
{
	const struct model_vm *vm = &s->vms[i];

	snprintf(r->key, sizeof(r->key), "%s", vm->uuid);
	snprintf(r->name, sizeof(r->name), "%s", vm->name);
	vm_words(vm, state_job_of(s, vm->uuid), r->text, sizeof(r->text));
	vm_look(vm, r);
	return true;
}

static bool policy_row(const struct state *s, size_t i, struct row *r)
{
	const struct model_vm *vm = &s->vms[i];

	vm_row(s, i, r);
	snprintf(r->text, sizeof(r->text), "%s", vm->managed ? "has a policy" : "no policy yet");
	return true;
}

/* -- devices -- */

static bool device_row(const struct state *s, size_t i, struct row *r)
{
	const struct model_device *d = &s->devices[i];
	char seen[48], standing[KERR_TEXT_MAX + 96];

	model_announced(d, seen, sizeof(seen));
	model_standing(d, standing, sizeof(standing));
	snprintf(r->key, sizeof(r->key), "%s", d->id);
	snprintf(r->name, sizeof(r->name), "%s", d->name);
	snprintf(r->text, sizeof(r->text), "%s; %s%s%s", seen, d->role, *d->role ? ", " : "",
		 standing);
	if (d->paired != MAYBE_YES)
		row_look(r, '?', STYLE_DIM);
	else if (model_is_trusted(d))
		row_look(r, '+', d->nearby ? STYLE_GOOD : STYLE_PLAIN);
	else
		row_look(r, '!', STYLE_BAD);
	return true;
}

/* The verdict first: on a narrow screen the end is cut. */
static bool target_row(const struct state *s, size_t i, struct row *r)
{
	const struct model_device *d = &s->devices[i];
	char seen[48];

	device_row(s, i, r);
	if (d->paired != MAYBE_YES)
		return true;
	model_announced(d, seen, sizeof(seen));
	snprintf(r->text, sizeof(r->text), "%s, %s%s%s%s%s", d->verdict, seen,
		 d->own ? "" : ", of ", d->own ? "" : d->person, *d->reason ? ": " : "", d->reason);
	return true;
}

static bool stranger_row(const struct state *s, size_t i, struct row *r)
{
	return s->devices[i].paired != MAYBE_YES && device_row(s, i, r);
}

static bool person_row(const struct state *s, size_t i, struct row *r)
{
	const struct state_person *p = &s->people[i];

	snprintf(r->key, sizeof(r->key), "%s", p->key);
	snprintf(r->name, sizeof(r->name), "%s", p->name);
	snprintf(r->text, sizeof(r->text), "%s, %s%zu device%s", p->role,
		 p->own ? "this device and " : "", p->devices, p->devices == 1 ? "" : "s");
	row_look(r, p->own ? '*' : ' ', p->own ? STYLE_STRONG : STYLE_PLAIN);
	return true;
}

/* What can be used now comes first. */
static int device_rank(const struct model_device *d)
{
	if (d->paired == MAYBE_YES)
		return d->nearby ? 0 : 1;
	return d->pairing ? 2 : 3;
}

/* -- hand-offs, log, checks -- */

static bool job_row(const struct state *s, size_t i, struct row *r)
{
	const struct model_job *job = &s->jobs[i];
	char line[160];

	snprintf(r->key, sizeof(r->key), "%s", job->hid);
	snprintf(r->name, sizeof(r->name), "%s", job->vm);
	if (model_is_over(job))
		progress_end(job, r->text, sizeof(r->text));
	else {
		progress_line(job, 72, line, sizeof(line));
		snprintf(r->text, sizeof(r->text), "%s %s: %s", job->source ? "to" : "from",
			 job->device_name, line);
	}
	if (job->phase == PHASE_FAILED)
		row_look(r, '!', STYLE_BAD);
	else
		row_look(r, job->phase == PHASE_DONE ? '+' : '~',
			 job->phase == PHASE_DONE ? STYLE_GOOD : STYLE_STRONG);
	return true;
}

/* The newest first. */
static bool log_row(const struct state *s, size_t i, struct row *r)
{
	const struct policyd_audit *a = &s->log[s->log_count - 1 - i];
	char record[320];

	says_record(a, record, sizeof(record));
	snprintf(r->key, sizeof(r->key), "%llu", (unsigned long long)a->seq);
	says_time(a->time, r->name, sizeof(r->name));
	snprintf(r->text, sizeof(r->text), "%s%s%s", record, a->allowed ? "" : ": ",
		 a->allowed ? "" : a->reason.text);
	row_look(r, a->allowed ? '+' : '!', a->allowed ? STYLE_PLAIN : STYLE_WARN);
	return true;
}

static bool check_row(const struct state *s, size_t i, struct row *r)
{
	static const struct {
		const char *verdict;
		char mark;
		enum style style;
	} looks[] = {
		{"ok", '+', STYLE_GOOD},
		{"warn", '-', STYLE_WARN},
		{"bad", '!', STYLE_BAD},
	};
	const struct state_check *c = &s->checks[i];

	snprintf(r->key, sizeof(r->key), "%s", c->name);
	snprintf(r->name, sizeof(r->name), "%s", c->name);
	snprintf(r->text, sizeof(r->text), "%s%s%s", c->sentence, *c->remedy ? " " : "", c->remedy);
	row_look(r, '?', STYLE_DIM);
	for (size_t k = 0; k < ARRAY_SIZE(looks); k++)
		if (strcmp(c->verdict, looks[k].verdict) == 0)
			row_look(r, looks[k].mark, looks[k].style);
	return true;
}

/* -- a list -- */

#define COUNT(member) offsetof(struct state, member)

static const struct {
	size_t count; /* where in struct state it stands */
	bool (*row)(const struct state *s, size_t i, struct row *r);
	bool ranked; /* devices by device_rank() */
	const char *none;
} lists[_LIST_MAX] = {
	[LIST_VMS] = {COUNT(vm_count), vm_row, false,
		      "No VM is known here. Make one with virt-install or virt-manager."},
	[LIST_TARGETS] = {COUNT(device_count), target_row, true,
			  "No other device is paired or in sight. Press 7 to pair one."},
	[LIST_DEVICES] = {COUNT(device_count), device_row, true,
			  "No other device is paired or in sight. Press 7 to pair one."},
	[LIST_JOBS] = {COUNT(job_count), job_row, false, "No hand-off since kithd was started."},
	[LIST_LOG] = {COUNT(log_count), log_row, false, "Nothing is in the log."},
	[LIST_POLICIES] = {COUNT(vm_count), policy_row, false, "No VM is known here."},
	[LIST_CHECKS] = {COUNT(check_count), check_row, false, "Looking ..."},
	[LIST_PEOPLE] = {COUNT(person_count), person_row, false,
			 "This device has no owner yet. Press 7 to join a cloud or start one."},
	[LIST_STRANGERS] = {COUNT(device_count), stranger_row, true,
			    "No device is in sight that is not paired. Enter waits for one."},
};

const char *rows_none(enum list_kind kind)
{
	return lists[kind].none;
}

static void add_matching(const struct state *s, enum list_kind kind, size_t i, const char *filter,
			 struct rows *ret)
{
	struct row *r = &ret->row[ret->count];

	*r = (struct row){0};
	if (!lists[kind].row(s, i, r))
		return;
	if (*filter && !strcasestr(r->name, filter) && !strcasestr(r->text, filter))
		ret->hidden++;
	else
		ret->count++;
}

void rows_make(const struct state *s, enum list_kind kind, const char *filter, struct rows *ret)
{
	size_t n = *(const size_t *)((const char *)s + lists[kind].count);

	*ret = (struct rows){.row = reallocarray(NULL, n + 1, sizeof(*ret->row))};
	for (int rank = 0; ret->row && rank <= (lists[kind].ranked ? 3 : 0); rank++)
		for (size_t i = 0; i < n; i++)
			if (!lists[kind].ranked || device_rank(&s->devices[i]) == rank)
				add_matching(s, kind, i, filter, ret);
}

void rows_release(struct rows *r)
{
	free(r->row);
	*r = (struct rows){0};
}
