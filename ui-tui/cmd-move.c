/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that move: plan, move with its progress, cancel. */
#include <string.h>

#include "base/buf.h"
#include "mover/proto.h"
#include "policyd/api/client.h"
#include "ui-tui/cli.h"
#include "ui-tui/move.h"

#define EVENT_WAIT_MS 2000

static int find_target(struct cli *cli, char **argv, struct target *ret, struct kerr *err)
{
	struct ipc_client *policyd;
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = cli_find_vm(cli, argv[0], ret->uuid, ret->vm, err);
	if (r == 0)
		r = cli_find_device(cli, argv[1], ret->device, ret->name, err);
	return r;
}

static uint64_t number_of(const json_t *object, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(object, key));

	return v < 0 ? 0 : (uint64_t)v;
}

/* What both devices say of a hand-off that the policy allows. */
struct outlook {
	const char *rung; /* a name of enum mover_rung; "none" while it is not known */
	uint64_t memory_bytes, disk_bytes;
	uint64_t rewired;	    /* network cards that would be on another network there */
	uint64_t shared;	    /* disks on storage that both reach */
	uint64_t least_ms, most_ms; /* as fast as the last hand-off with that device; 0 = none */
	bool roams;		    /* another CPU waits for its next start */
	bool asked, reached;	    /* whether the other device told */
	bool off;		    /* the VM is switched off */
	json_t *rungs;		    /* as kithd lists them, or NULL */
};

/* What the policy allows may still not work (A5). The sentence is the one that the move would end
 * with. */
static void plan_hosts(struct policyd_plan *plan, const json_t *answer, struct outlook *ret)
{
	const json_t *reason = json_object_get(answer, "reason");
	int rung = mover_rung_from_string(cli_text(answer, "rung"));
	int code = kcode_from_string(cli_text(reason, "code"));

	ret->memory_bytes = number_of(answer, "memory_bytes");
	ret->disk_bytes = number_of(answer, "disk_bytes");
	ret->rewired = number_of(answer, "rewired");
	ret->shared = number_of(answer, "shared");
	ret->least_ms = number_of(answer, "least_ms");
	ret->most_ms = number_of(answer, "most_ms");
	ret->reached = json_is_true(json_object_get(answer, "reached"));
	ret->off = json_is_true(json_object_get(answer, "off"));
	ret->rungs = json_incref(json_object_get(answer, "rungs"));
	ret->roams = json_is_true(json_object_get(answer, "roams"));
	ret->asked = true;
	if (json_is_object(reason))
		kerr_set(&plan->reason, EREMOTEIO, code > 0 ? (enum kcode)code : KCODE_FAILED, "%s",
			 cli_text(reason, "text"));
	else if (rung > MOVER_RUNG_NONE)
		ret->rung = mover_rung_to_string((enum mover_rung)rung);
	else
		kerr_set(&plan->reason, EBADMSG, KCODE_BAD_MESSAGE,
			 "kithd does not say whether it would work.");
	plan->allowed = plan->reason.code == KCODE_OK;
}

static void plan_outlook(struct cli *cli, const struct target *t, struct policyd_plan *plan,
			 struct outlook *ret)
{
	char uuid[2 * UUID_LEN + 1], device[2 * DEVICE_ID_LEN + 1];
	struct kerr err = {0};
	json_t *answer;

	if (!plan->allowed)
		return;
	hex_encode(t->uuid, UUID_LEN, uuid);
	hex_encode(t->device, DEVICE_ID_LEN, device);
	if (cli_agent(cli, json_pack("{s:s, s:s, s:s}", "op", "plan", "vm", uuid, "device", device),
		      &answer, &err) < 0) {
		plan->allowed = 0;
		plan->reason = err;
		return;
	}
	plan_hosts(plan, answer, ret);
	json_decref(answer);
}

static void print_bytes(const struct outlook *o)
{
	char memory[32], disk[32];

	cli_bytes(o->memory_bytes, memory, sizeof(memory));
	cli_bytes(o->disk_bytes, disk, sizeof(disk));
	if (!o->memory_bytes)
		printf("about %s of disk to be sent\n", disk);
	else if (o->disk_bytes)
		printf("about %s of memory and %s of disk to be sent\n", memory, disk);
	else
		printf("about %s of memory to be sent\n", memory);
}

static void print_pause(const json_t *row)
{
	const json_t *pause = json_object_get(row, "pause_ms");

	if (!json_is_integer(pause))
		printf("; how long it does not run is not known yet");
	else if (number_of(row, "pause_ms"))
		printf("; it does not run for about %llu s",
		       (unsigned long long)(number_of(row, "pause_ms") + 999) / 1000);
}

/* Each way in which it can be asked to go. */
static void print_rungs(const struct outlook *o)
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
		int rung = move_rung_from_string(cli_text(row, "rung"));
		const json_t *reason = json_object_get(row, "reason");

		if (rung < MOVE_RUNG_LIVE)
			continue;
		printf("  %s: %s", cli_text(row, "rung"),
		       json_is_object(reason) ? cli_text(reason, "text") : words[rung][o->off]);
		if (!json_is_object(reason)) {
			print_pause(row);
			printf("%s.",
			       rung == MOVE_RUNG_COLD && !o->off ? ", and as its guest needs" : "");
		}
		puts("");
	}
}

static void print_outlook(const struct target *t, const struct policyd_plan *plan,
			  const struct outlook *o)
{
	static const char *const words[_MOVER_RUNG_MAX] = {
		[MOVER_RUNG_NONE] = "not at all",
		[MOVER_RUNG_LIVE] = "while it runs",
		[MOVER_RUNG_LIVE_DISK] = "while it runs, with its disks",
		[MOVER_RUNG_COLD] = "switched off, with its disks",
	};
	int rung = mover_rung_from_string(o->rung);

	printf("  how: %s; ", words[rung < 0 ? MOVER_RUNG_NONE : rung]);
	print_bytes(o);
	if (o->most_ms)
		printf("  time: between %llu and %llu s, if it is as fast as the last hand-off "
		       "with \"%s\".\n",
		       (unsigned long long)(o->least_ms / 1000),
		       (unsigned long long)(o->most_ms / 1000 + 1), t->name);
	print_rungs(o);
	if (o->rewired)
		printf("  network: %llu of its cards will be on another network there, which "
		       "\"%s\" has for that (other_network in its kith.conf).\n",
		       (unsigned long long)o->rewired, t->name);
	if (o->roams)
		puts("  CPU: the one of `kith vm roam` waits for the next start. A move before "
		     "that "
		     "leaves it behind: run `kith vm roam` there again.");
	if (o->shared)
		printf("  storage: %llu of its disks %s on shared storage, and not sent.\n",
		       (unsigned long long)o->shared, o->shared == 1 ? "is" : "are");
	if (!o->reached)
		printf("  \"%s\" is another person's device: what it has room for it tells "
		       "nobody beforehand.\n",
		       t->name);
	printf("  last verdict on \"%s\": %s; both devices prove themselves again before "
	       "anything leaves.\n",
	       t->name, verdict_to_string(plan->verdict));
}

static void print_plan(const struct target *t, const struct policyd_plan *plan,
		       const struct outlook *o)
{
	printf("%s \"%s\" to \"%s\": %s\n", cli_mark(plan->allowed), t->vm, t->name,
	       plan->allowed ? "allowed" : "refused");
	if (plan->rule[0])
		printf("  rule: %s\n", plan->rule);
	if (plan->allowed) {
		print_outlook(t, plan, o);
		return;
	}
	printf("  %s (code: %s)\n  %s\n", plan->reason.text, kcode_to_string(plan->reason.code),
	       kcode_next_step(plan->reason.code));
}

static json_t *time_json(const struct outlook *o, uint64_t ms)
{
	return o->most_ms ? json_integer((json_int_t)ms) : json_null();
}

static json_t *plan_json(const struct target *t, const struct policyd_plan *plan,
			 const struct outlook *o)
{
	return json_pack("{s:s, s:s, s:b, s:s, s:s, s:o, s:s, s:b, s:o, s:I, s:I, s:I, s:b, s:I, "
			 "s:o, s:o, s:o}",
			 "vm", t->vm, "device", t->name, "allowed", plan->allowed, "rule",
			 plan->rule, "verdict", verdict_to_string(plan->verdict), "reason",
			 cli_kerr_json(&plan->reason), "rung", o->rung, "off", o->off, "rungs",
			 o->rungs ? json_incref(o->rungs) : json_array(), "memory_bytes",
			 (json_int_t)o->memory_bytes, "disk_bytes", (json_int_t)o->disk_bytes,
			 "rewired", (json_int_t)o->rewired, "roams", o->roams, "shared",
			 (json_int_t)o->shared, "reached",
			 o->asked ? json_boolean(o->reached) : json_null(), "least_ms",
			 time_json(o, o->least_ms), "most_ms", time_json(o, o->most_ms));
}

static int cmd_plan(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	struct outlook outlook = {.rung = mover_rung_to_string(MOVER_RUNG_NONE)};
	struct policyd_plan plan;
	struct target t;
	int r = find_target(cli, argv, &t, err);

	(void)argc;
	if (r == 0)
		r = policyd_client_plan(cli->policyd, t.uuid, t.device, &plan, err);
	if (r < 0)
		return r;
	plan_outlook(cli, &t, &plan, &outlook);
	/* The answer is "no", and a script sees it by the status; the plan itself succeeded. */
	cli->status = kcode_exit_status(plan.reason.code);
	if (cli->json)
		cli_print_json(plan_json(&t, &plan, &outlook));
	else
		print_plan(&t, &plan, &outlook);
	json_decref(outlook.rungs);
	return 0;
}

static void print_bar(const json_t *e, const char *phase)
{
	uint64_t total = number_of(e, "ram_total") + number_of(e, "disk_total");
	uint64_t done = number_of(e, "ram_bytes") + number_of(e, "disk_bytes");
	const json_t *left = json_object_get(e, "left_ms");
	char bytes[32], rate[32], eta[40] = "estimating";
	unsigned cells = total ? (unsigned)(MIN_OF(done, total) * 24 / total) : 0;

	cli_bytes(done, bytes, sizeof(bytes));
	cli_bytes(number_of(e, "rate_bytes_s"), rate, sizeof(rate));
	if (json_is_integer(left) && json_integer_value(left) >= 0) {
		cli_age(number_of(e, "left_ms") / 1000 + 1, eta, sizeof(eta));
		memmove(eta + 6, eta, strlen(eta) + 1);
		memcpy(eta, "about ", 6);
	}
	printf("\r\033[K%-15s [%.*s%.*s] %s, %s/s, %s", phase, (int)cells,
	       "########################", (int)(24 - cells), "........................", bytes,
	       rate, eta);
	fflush(stdout);
}

/* One progress event: a redrawn line on a terminal, else one line per phase. */
static void show_progress(const struct cli *cli, json_t *e, char *last_phase, size_t size)
{
	const char *phase = cli_text(e, "phase");

	if (cli->json) {
		json_incref(e);
		cli_print_json(e);
		return;
	}
	if (cli->terminal)
		print_bar(e, phase);
	else if (strcmp(phase, last_phase) != 0)
		printf("%s\n", phase);
	fflush(stdout);
	snprintf(last_phase, size, "%s", phase);
}

static int finish_done(struct cli *cli, const struct target *t, const json_t *e)
{
	char ram[32], disk[32];

	if (cli->json)
		return 0;
	cli_bytes(number_of(e, "ram_bytes"), ram, sizeof(ram));
	cli_bytes(number_of(e, "disk_bytes"), disk, sizeof(disk));
	if (cli->terminal)
		printf("\r\033[K");
	if (json_is_true(json_object_get(e, "off")))
		printf("\"%s\" is on \"%s\" now, switched off: %.1f s in all, %s of disk.\n", t->vm,
		       t->name, (double)number_of(e, "elapsed_ms") / 1000, disk);
	else
		printf("\"%s\" runs on \"%s\" now: %.1f s in all, %llu ms pause, %s of memory, %s "
		       "of disk.\n",
		       t->vm, t->name, (double)number_of(e, "elapsed_ms") / 1000,
		       (unsigned long long)number_of(e, "downtime_ms"), ram, disk);
	cli_tell_stale(cli, t->uuid);
	return 0;
}

static int finish_failed(const struct cli *cli, const json_t *e, struct kerr *err)
{
	const json_t *error = json_object_get(e, "error");
	int code = kcode_from_string(cli_text(error, "code"));

	if (cli->terminal && !cli->json)
		printf("\r\033[K");
	return kerr_set(err, EREMOTEIO, code > 0 ? (enum kcode)code : KCODE_FAILED, "%s",
			*cli_text(error, "text") ? cli_text(error, "text")
						 : "The hand-off failed without a reason.");
}

/* The job of the next progress event, flat (new reference); *ret NULL if none came. */
static int next_progress(struct cli *cli, json_t **ret, struct kerr *err)
{
	json_t *event, *job;
	int r = cli_agent_event(cli, EVENT_WAIT_MS, &event, err);

	*ret = NULL;
	if (r < 0 || !event)
		return r;
	job = json_object_get(event, "job");
	if (strcmp(cli_text(event, "event"), "progress") == 0 && json_is_object(job)) {
		*ret = json_incref(job);
		json_object_set_new(job, "event", json_string("progress"));
	}
	json_decref(event);
	return 0;
}

/* Memory that is sent for the fourth time is changed as fast as it is sent: that may never end.
 * Said once, to people. */
static void advise(const struct cli *cli, const struct target *t, const json_t *e, uint64_t *first)
{
	uint64_t sent = number_of(e, "ram_bytes");
	char bytes[32];

	if (cli->json || t->rung > MOVE_RUNG_LIVE || *first == UINT64_MAX ||
	    strcmp(cli_text(e, "phase"), "copying memory") != 0)
		return;
	if (!*first)
		*first = number_of(e, "ram_total");
	if (!*first || sent / 4 < *first)
		return;
	*first = UINT64_MAX;
	cli_bytes(sent, bytes, sizeof(bytes));
	fprintf(stderr,
		"%s\"%s\" changes its memory about as fast as it is sent (%s so far). If this does "
		"not end, stop it with `kith cancel`, and let it stand still for that: `kith move "
		"--rung warm`.\n",
		cli->terminal ? "\r\033[K" : "", t->vm, bytes);
}

/* Follows the events of one hand-off to its end. */
static int follow(struct cli *cli, const struct target *t, const char *hid, struct kerr *err)
{
	char phase[32] = "";
	uint64_t memory = 0;

	for (;;) {
		json_t *e;
		int r = next_progress(cli, &e, err);
		bool done, failed;

		if (r < 0)
			return r;
		if (!e)
			continue;
		if (strcmp(cli_text(e, "hid"), hid) != 0) {
			json_decref(e);
			continue;
		}
		done = strcmp(cli_text(e, "phase"), "done") == 0;
		failed = strcmp(cli_text(e, "phase"), "failed") == 0;
		show_progress(cli, e, phase, sizeof(phase));
		advise(cli, t, e, &memory);
		if (done)
			r = finish_done(cli, t, e);
		else if (failed)
			r = finish_failed(cli, e, err);
		json_decref(e);
		if (done || failed)
			return r;
	}
}

/* What runs in a guest that was shut down is gone: what both devices have against the move is asked
 * before. The policy speaks with the move itself. */
static int ask_first(struct cli *cli, const struct target *t, struct kerr *err)
{
	struct policyd_plan plan = {.allowed = 1};
	struct outlook outlook = {0};

	if (t->rung != MOVE_RUNG_COLD)
		return 0;
	plan_outlook(cli, t, &plan, &outlook);
	json_decref(outlook.rungs);
	return plan.allowed ? 0
			    : kerr_set(err, EREMOTEIO, plan.reason.code, "%s", plan.reason.text);
}

static int move_one(struct cli *cli, const struct target *t, struct kerr *err)
{
	uint8_t hid[HID_LEN];
	char hid_text[2 * HID_LEN + 1], device_text[2 * DEVICE_ID_LEN + 1];
	json_t *result = NULL;
	struct ipc_client *policyd;
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = ask_first(cli, t, err);
	if (r == 0)
		r = policyd_client_move_request(policyd, t->uuid, t->device, t->rung, hid, err);
	if (r < 0)
		return r;
	hex_encode(hid, HID_LEN, hid_text);
	hex_encode(t->device, DEVICE_ID_LEN, device_text);
	/* First listen, then start: the end must not be missed. */
	r = cli_agent(cli, json_pack("{s:s}", "op", "watch"), &result, err);
	if (r < 0)
		return r;
	json_decref(result);
	r = cli_agent(cli,
		      json_pack("{s:s, s:s, s:s}", "op", "handoff", "hid", hid_text, "device",
				device_text),
		      &result, err);
	if (r < 0)
		return r;
	json_decref(result);
	return follow(cli, t, hid_text, err);
}

/* `--rung RUNG` before the two words; returns how many words it was. */
static int read_rung(int argc, char **argv, enum move_rung *ret, struct kerr *err)
{
	int rung;

	*ret = MOVE_RUNG_ANY;
	if (argc == 2 && strcmp(argv[0], "--rung") != 0)
		return 0;
	rung = argc == 4 && strcmp(argv[0], "--rung") == 0 ? move_rung_from_string(argv[1]) : -1;
	if (rung < MOVE_RUNG_LIVE)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"It is `kith move [--eject] [--rung live|warm|cold] VM DEVICE`.");
	*ret = (enum move_rung)rung;
	return 2;
}

static int cmd_move(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	bool eject = strcmp(argv[0], "--eject") == 0;
	enum move_rung rung;
	struct target t;
	int r = read_rung(argc - eject, argv + eject, &rung, err);

	if (r < 0)
		return r;
	argv += r + eject;
	if (strcmp(argv[0], "--all") == 0)
		return eject ? kerr_set(err, EINVAL, KCODE_USAGE,
					"--eject is for one VM: `kith move --eject VM DEVICE`.")
			     : move_all(cli, argv[1], rung, move_one, err);
	r = find_target(cli, argv, &t, err);
	t.rung = rung;
	if (r == 0 && eject)
		r = move_eject(cli, &t, err);
	return r < 0 ? r : move_one(cli, &t, err);
}

/* The open job of a VM, or the one with this id. */
static int find_job(struct cli *cli, const char *word, uint8_t ret_hid[HID_LEN], struct kerr *err)
{
	json_t *result, *job;
	size_t i;
	int r = cli_agent(cli, json_pack("{s:s}", "op", "jobs"), &result, err);

	if (r < 0)
		return r;
	r = -ENOENT;
	json_array_foreach(json_object_get(result, "jobs"), i, job)
	{
		const char *phase = cli_text(job, "phase");
		bool over = strcmp(phase, "done") == 0 || strcmp(phase, "failed") == 0;

		if (!over && (!word || strcmp(cli_text(job, "vm"), word) == 0 ||
			      strcmp(cli_text(job, "hid"), word) == 0))
			r = hex_decode(cli_text(job, "hid"), ret_hid, HID_LEN);
	}
	json_decref(result);
	if (r < 0)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "No hand-off is under way here.");
	return 0;
}

static int cmd_cancel(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	char hid_text[2 * HID_LEN + 1];
	uint8_t hid[HID_LEN];
	struct ipc_client *policyd;
	json_t *result;
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = find_job(cli, argc ? argv[0] : NULL, hid, err);
	if (r == 0)
		r = policyd_client_abort_request(policyd, hid, err);
	if (r < 0)
		return r;
	hex_encode(hid, HID_LEN, hid_text);
	r = cli_agent(cli, json_pack("{s:s, s:s}", "op", "cancel", "hid", hid_text), &result, err);
	if (r < 0)
		return r;
	json_decref(result);
	if (cli->json)
		cli_print_json(json_pack("{s:s}", "cancelling", hid_text));
	else
		puts("Cancelling; the VM goes on where it is.");
	return 0;
}

const struct cli_command cli_move_commands[] = {
	{"plan", "plan VM DEVICE", "would the move be allowed, and would it work", 2, 2, cmd_plan},
	{"move", "move [--eject] [--rung live|warm|cold] VM|--all DEVICE",
	 "move a VM, running or off, to another device", 2, 5, cmd_move},
	{"cancel", "cancel [VM]", "stop a hand-off; the VM goes on where it is", 0, 1, cmd_cancel},
	{0},
};
