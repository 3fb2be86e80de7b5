/* SPDX-License-Identifier: Apache-2.0 */
/* Two answers that become one. */
#include "ui-tui/model/outlook.h"

#include <string.h>

#include "base/advice.h"
#include "base/buf.h"

bool outlook_begin(const struct policyd_plan *plan, struct outlook *ret)
{
	*ret = (struct outlook){.plan = *plan, .rung = mover_rung_to_string(MOVER_RUNG_NONE)};
	return plan->allowed;
}

void outlook_release(struct outlook *o)
{
	json_decref(o->rungs);
	json_decref(o->fitted);
	o->rungs = o->fitted = NULL;
}

json_t *outlook_request(const struct target *t)
{
	char uuid[MODEL_UUID_TEXT], device[MODEL_ID_TEXT];

	hex_encode(t->uuid, UUID_LEN, uuid);
	hex_encode(t->device, DEVICE_ID_LEN, device);
	return json_pack("{s:s, s:s, s:s}", "op", "plan", "vm", uuid, "device", device);
}

void outlook_take(struct outlook *o, const json_t *answer)
{
	const json_t *reason = json_object_get(answer, "reason");
	int rung = mover_rung_from_string(model_text(answer, "rung"));

	o->memory_bytes = model_number(answer, "memory_bytes");
	o->disk_bytes = model_number(answer, "disk_bytes");
	o->rewired = model_number(answer, "rewired");
	o->shared = model_number(answer, "shared");
	o->least_ms = model_number(answer, "least_ms");
	o->most_ms = model_number(answer, "most_ms");
	o->reached = model_flag(answer, "reached");
	o->off = model_flag(answer, "off");
	o->roams = model_flag(answer, "roams");
	json_decref(o->rungs);
	o->rungs = json_incref(json_object_get(answer, "rungs"));
	json_decref(o->fitted);
	o->fitted = json_incref(json_object_get(answer, "fitted"));
	o->asked = true;
	if (json_is_object(reason))
		model_error(reason, &o->plan.reason);
	else if (rung > MOVER_RUNG_NONE)
		o->rung = mover_rung_to_string((enum mover_rung)rung);
	else
		kerr_set(&o->plan.reason, EBADMSG, KCODE_BAD_MESSAGE,
			 "kithd does not say whether it would work.");
	o->plan.allowed = o->plan.reason.code == KCODE_OK;
}

void outlook_fail(struct outlook *o, const struct kerr *why)
{
	o->plan.allowed = 0;
	o->plan.reason = *why;
}

static void say_bytes(const struct outlook *o, char *ret, size_t size)
{
	char memory[32], disk[32];

	model_bytes(o->memory_bytes, memory, sizeof(memory));
	model_bytes(o->disk_bytes, disk, sizeof(disk));
	if (!o->memory_bytes)
		snprintf(ret, size, "about %s of disk to be sent", disk);
	else if (o->disk_bytes)
		snprintf(ret, size, "about %s of memory and %s of disk to be sent", memory, disk);
	else
		snprintf(ret, size, "about %s of memory to be sent", memory);
}

static void say_pause(const json_t *row, char *ret, size_t size)
{
	uint64_t pause = model_number(row, "pause_ms");

	*ret = '\0';
	if (!json_is_integer(json_object_get(row, "pause_ms")))
		snprintf(ret, size, "; how long it does not run is not known yet");
	else if (pause)
		snprintf(ret, size, "; it does not run for about %llu s",
			 (unsigned long long)(pause + 999) / 1000);
}

/* As kithd lists it; NULL if it does not. */
static const json_t *row_of(const struct outlook *o, enum move_rung rung)
{
	json_t *row;
	size_t i;

	json_array_foreach(o->rungs, i, row)
	{
		if (strcmp(model_text(row, "rung"), move_rung_to_string(rung)) == 0)
			return row;
	}
	return NULL;
}

bool outlook_can(const struct outlook *o, enum move_rung rung)
{
	const json_t *row = row_of(o, rung);

	return row && !json_is_object(json_object_get(row, "reason"));
}

bool outlook_why_not(const struct outlook *o, enum move_rung rung, struct kerr *ret)
{
	const json_t *row = row_of(o, rung), *reason = json_object_get(row, "reason");

	if (row && !json_is_object(reason))
		return false;
	if (row)
		model_error(reason, ret);
	else
		*ret = o->plan.reason;
	return ret->code != KCODE_OK;
}

enum move_rung outlook_first(const struct outlook *o)
{
	if (o->off || !o->plan.allowed)
		return MOVE_RUNG_ANY;
	for (enum move_rung i = MOVE_RUNG_LIVE; i < _MOVE_RUNG_MAX; i++)
		if (outlook_can(o, i))
			return i;
	return MOVE_RUNG_ANY;
}

enum move_rung outlook_next(const struct outlook *o, enum move_rung from, bool back)
{
	for (int i = (int)from + (back ? -1 : 1); i >= MOVE_RUNG_LIVE && i < _MOVE_RUNG_MAX;
	     i += back ? -1 : 1)
		if (outlook_can(o, (enum move_rung)i))
			return (enum move_rung)i;
	return from;
}

/* What stands before a rung: how it is chosen, where it can be. */
static const char *rung_mark(enum move_rung rung, enum move_rung chosen, bool can)
{
	if (chosen == MOVE_RUNG_ANY)
		return "  ";
	if (!can)
		return "   x  ";
	return rung == chosen ? OUTLOOK_CHOSEN " " : "  ( ) ";
}

/* Each way in which it can be asked to go. */
static void say_rungs(const struct outlook *o, enum move_rung chosen, struct sheet *ret)
{
	static const char *const words[_MOVE_RUNG_MAX][2] = {
		[MOVE_RUNG_LIVE] = {"would work, while it runs"},
		[MOVE_RUNG_WARM] = {"would work, it stands still while its memory is sent"},
		[MOVE_RUNG_COLD] = {"would work, the guest is shut down first and boots there",
				    "would work, it is switched off and stays so"},
	};
	json_t *row;
	size_t i;

	json_array_foreach(o->rungs, i, row)
	{
		int rung = move_rung_from_string(model_text(row, "rung"));
		const json_t *reason = json_object_get(row, "reason");
		char pause[64];

		if (rung < MOVE_RUNG_LIVE)
			continue;
		say_pause(row, pause, sizeof(pause));
		if (json_is_object(reason))
			sheet_add(ret, STYLE_DIM, "%s%s: %s",
				  rung_mark((enum move_rung)rung, chosen, false),
				  model_text(row, "rung"), model_text(reason, "text"));
		else
			sheet_add(ret, rung == (int)chosen ? STYLE_STRONG : STYLE_PLAIN,
				  "%s%s: %s%s%s.", rung_mark((enum move_rung)rung, chosen, true),
				  model_text(row, "rung"),
				  words[rung][o->off] ? words[rung][o->off] : "would work", pause,
				  rung == MOVE_RUNG_COLD && !o->off ? ", and as its guest needs"
								    : "");
	}
}

/* It is fitted to the device, and what it was comes back with it. */
static void say_fitted(const struct outlook *o, const struct target *t, struct sheet *ret)
{
	const char *lacks = model_text(o->fitted, "cpu_lacks");

	if (model_flag(o->fitted, "emulated"))
		sheet_add(ret, STYLE_WARN,
			  "  KVM: \"%s\" has none. It will be emulated there, which is many times "
			  "slower.",
			  t->name);
	if (model_flag(o->fitted, "other_cpu"))
		sheet_add(ret, STYLE_WARN,
			  "  CPU: it will have another one there, the nearest that \"%s\" can "
			  "give%s%s%s.",
			  t->name, *lacks ? " (its own needs " : "", lacks, *lacks ? ")" : "");
	if (*model_text(o->fitted, "machine_to"))
		sheet_add(ret, STYLE_WARN,
			  "  machine: its type will be that of QEMU %s there, and not %s.",
			  model_text(o->fitted, "machine_to"),
			  model_text(o->fitted, "machine_from"));
	if (model_flag(o->fitted, "emulated") || model_flag(o->fitted, "other_cpu") ||
	    *model_text(o->fitted, "machine_to"))
		sheet_add(
			ret, STYLE_PLAIN,
			"  On a device that can give it what it has now, it will have that again.");
}

static void say_how(const struct outlook *o, const struct target *t, struct sheet *ret)
{
	static const char *const words[_MOVER_RUNG_MAX] = {
		[MOVER_RUNG_NONE] = "not at all",
		[MOVER_RUNG_LIVE] = "while it runs",
		[MOVER_RUNG_LIVE_DISK] = "while it runs, with its disks",
		[MOVER_RUNG_COLD] = "switched off, with its disks",
	};
	int rung = mover_rung_from_string(o->rung);
	char bytes[128];

	say_bytes(o, bytes, sizeof(bytes));
	sheet_add(ret, STYLE_PLAIN, "  how: %s; %s", words[rung < 0 ? MOVER_RUNG_NONE : rung],
		  bytes);
	if (o->most_ms)
		sheet_add(ret, STYLE_PLAIN,
			  "  time: between %llu and %llu s, if it is as fast as the last hand-off "
			  "with \"%s\".",
			  (unsigned long long)(o->least_ms / 1000),
			  (unsigned long long)(o->most_ms / 1000 + 1), t->name);
	say_rungs(o, t->rung, ret);
	if (o->rewired)
		sheet_add(ret, STYLE_WARN,
			  "  network: %llu of its cards will be on another network there, which "
			  "\"%s\" has for that (other_network in its kith.conf).",
			  (unsigned long long)o->rewired, t->name);
	say_fitted(o, t, ret);
	if (o->roams)
		sheet_add(
			ret, STYLE_WARN,
			"  CPU: the one of `kith vm roam` waits for the next start. A move before "
			"that leaves it behind: run `kith vm roam` there again.");
	if (o->shared)
		sheet_add(ret, STYLE_PLAIN,
			  "  storage: %llu of its disks %s on shared storage, and not sent.",
			  (unsigned long long)o->shared, o->shared == 1 ? "is" : "are");
	if (!o->reached)
		sheet_add(ret, STYLE_PLAIN,
			  "  \"%s\" is another person's device: what it has room for it tells "
			  "nobody beforehand.",
			  t->name);
	sheet_add(ret, STYLE_PLAIN,
		  "  last verdict on \"%s\": %s; both devices prove themselves again before "
		  "anything leaves.",
		  t->name, verdict_to_string(o->plan.verdict));
}

void outlook_say(const struct outlook *o, const struct target *t, struct sheet *ret)
{
	const struct policyd_plan *plan = &o->plan;

	sheet_add(ret, plan->allowed ? STYLE_GOOD : STYLE_BAD, "%s \"%s\" to \"%s\": %s",
		  plan->allowed ? "+" : "!", t->vm, t->name, plan->allowed ? "allowed" : "refused");
	if (plan->rule[0])
		sheet_add(ret, STYLE_PLAIN, "  rule: %s", plan->rule);
	if (plan->allowed) {
		say_how(o, t, ret);
		return;
	}
	sheet_add(ret, STYLE_PLAIN, "  %s (code: %s)", plan->reason.text,
		  kcode_to_string(plan->reason.code));
	sheet_add(ret, STYLE_PLAIN, "  %s", kcode_next_step(plan->reason.code));
	if (outlook_can(o, MOVE_RUNG_COLD)) {
		sheet_add(ret, STYLE_STRONG,
			  "  It would work with its guest shut down first, which then boots there: "
			  "`kith move --rung cold %s %s`.",
			  t->vm, t->name);
		say_fitted(o, t, ret);
	}
}

void outlook_because(const struct policyd_plan *plan, const struct target *t, struct sheet *ret)
{
	sheet_add(ret, plan->allowed ? STYLE_GOOD : STYLE_BAD, "%c to %s%s%s",
		  plan->allowed ? '+' : '!', t->name, plan->rule[0] ? ": " : ": no rule",
		  plan->rule);
	if (!plan->allowed)
		sheet_add(ret, STYLE_PLAIN, "  %s (code: %s)", plan->reason.text,
			  kcode_to_string(plan->reason.code));
}

static json_t *time_json(const struct outlook *o, uint64_t ms)
{
	return o->most_ms ? json_integer((json_int_t)ms) : json_null();
}

json_t *outlook_json(const struct outlook *o, const struct target *t)
{
	return json_pack(
		"{s:s, s:s, s:b, s:s, s:s, s:s, s:b, s:o, s:I, s:I, s:I, s:b, s:I, s:o, s:o, s:o, "
		"s:o}",
		"vm", t->vm, "device", t->name, "allowed", o->plan.allowed, "rule", o->plan.rule,
		"verdict", verdict_to_string(o->plan.verdict), "rung", o->rung, "off", o->off,
		"rungs", o->rungs ? json_incref(o->rungs) : json_array(), "memory_bytes",
		(json_int_t)o->memory_bytes, "disk_bytes", (json_int_t)o->disk_bytes, "rewired",
		(json_int_t)o->rewired, "roams", o->roams, "shared", (json_int_t)o->shared,
		"fitted", o->fitted ? json_incref(o->fitted) : json_null(), "reached",
		o->asked ? json_boolean(o->reached) : json_null(), "least_ms",
		time_json(o, o->least_ms), "most_ms", time_json(o, o->most_ms));
}
