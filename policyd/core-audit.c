/* SPDX-License-Identifier: Apache-2.0 */
/* What is recorded of what was done and refused; and what is not recorded each time. */
#include "policyd/core-audit.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

static struct policyd_audit make(const char *person, const char *device, const char *vm,
				 const char *action, const struct kerr *reason)
{
	struct policyd_audit a = {.time = clock_unix(), .allowed = 1};

	snprintf(a.person, sizeof(a.person), "%s", person);
	snprintf(a.device, sizeof(a.device), "%s", device);
	snprintf(a.vm, sizeof(a.vm), "%s", vm);
	snprintf(a.action, sizeof(a.action), "%s", action);
	if (reason && reason->code != KCODE_OK) {
		a.allowed = 0;
		a.reason = *reason;
	}
	return a;
}

static int append(struct core *core, enum store_log log, struct policyd_audit *a)
{
	struct kerr err = {0};
	int r = store_audit_append(core->store, log, a, &err);

	if (r == 0 && !a->allowed)
		r = store_commit(core->store, COMMIT_PLAIN, &err);
	if (r < 0)
		log_error("audit", "%s was not recorded: %s", a->action, err.text);
	return r == -ENOSPC ? 0 : r;
}

int core_audit(struct core *core, const char *person, const char *device, const char *vm,
	       const char *action, const struct kerr *reason)
{
	struct policyd_audit a = make(person, device, vm, action, reason);

	if (!core->store)
		return -ENODATA;
	if (!a.allowed)
		store_rollback(core->store);
	return append(core, STORE_AUDIT, &a);
}

/* -- Refusals that repeat -- */

static bool is_same(const struct policyd_audit *a, const struct policyd_audit *b)
{
	return strcmp(a->device, b->device) == 0 && strcmp(a->vm, b->vm) == 0 &&
	       strcmp(a->action, b->action) == 0 && a->reason.code == b->reason.code;
}

static uint64_t age_ms(const struct audit_run *run)
{
	return clock_ms() - run->started_ms;
}

static void end_run(struct core *core, struct audit_run *run)
{
	struct policyd_audit a = run->first;

	if (run->repeats) {
		a.time = clock_unix();
		kerr_clear(&a.reason);
		kerr_set(&a.reason, 0, run->first.reason.code, "%.400s (%llu more times in %llu s)",
			 run->first.reason.text, (unsigned long long)run->repeats,
			 (unsigned long long)(age_ms(run) / 1000));
		append(core, STORE_PEER_AUDIT, &a);
	}
	*run = (struct audit_run){0};
}

/* The run that `a` belongs to; else a free place, or that of the oldest, which ends early. */
static struct audit_run *find_run(struct audit_runs *runs, const struct policyd_audit *a)
{
	struct audit_run *place = runs->list;

	for (size_t i = 0; i < AUDIT_RUNS_MAX; i++) {
		struct audit_run *run = &runs->list[i];

		if (is_same(&run->first, a))
			return run;
		if (run->started_ms < place->started_ms)
			place = run;
	}
	return place;
}

int core_audit_peer(struct core *core, const char *person, const char *device, const char *vm,
		    const char *action, const struct kerr *reason)
{
	struct policyd_audit a = make(person, device, vm, action, reason);
	struct audit_run *run;

	if (!core->store)
		return -ENODATA;
	if (a.allowed)
		return append(core, STORE_PEER_AUDIT, &a);
	store_rollback(core->store);
	if (!core->refusals)
		core->refusals = calloc(1, sizeof(*core->refusals));
	if (!core->refusals)
		return append(core, STORE_PEER_AUDIT, &a);
	run = find_run(core->refusals, &a);
	if (is_same(&run->first, &a) && age_ms(run) < CORE_AUDIT_RUN_MS) {
		run->repeats++;
		return 0;
	}
	end_run(core, run);
	*run = (struct audit_run){.first = a, .started_ms = clock_ms()};
	return append(core, STORE_PEER_AUDIT, &a);
}

int core_audit_tick(struct core *core)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; core->refusals && core->store && i < AUDIT_RUNS_MAX; i++) {
		struct audit_run *run = &core->refusals->list[i];

		if (age_ms(run) >= CORE_AUDIT_RUN_MS)
			end_run(core, run);
		else
			next = MIN_OF(next, CORE_AUDIT_RUN_MS - age_ms(run));
	}
	return next == UINT64_MAX ? -1 : (int)next;
}

void core_audit_end(struct core *core)
{
	for (size_t i = 0; core->refusals && core->store && i < AUDIT_RUNS_MAX; i++)
		end_run(core, &core->refusals->list[i]);
	free(core->refusals);
	core->refusals = NULL;
}
