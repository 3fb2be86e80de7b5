/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that move: plan, move with its progress, cancel. */
#include <string.h>
#include <sys/ioctl.h>

#include "base/buf.h"
#include "policyd/api/client.h"
#include "ui-tui/cli.h"
#include "ui-tui/model/moving.h"
#include "ui-tui/model/progress.h"
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

static void ask_devices(struct cli *cli, const struct target *t, struct outlook *o)
{
	struct kerr err = {0};
	json_t *answer;

	if (cli_agent(cli, outlook_request(t), &answer, &err) < 0) {
		outlook_fail(o, &err);
		return;
	}
	outlook_take(o, answer);
	json_decref(answer);
}

static void print_plan(const struct cli *cli, const struct outlook *o, const struct target *t)
{
	struct sheet sheet = {0};
	json_t *json;

	if (cli->json) {
		json = outlook_json(o, t);
		json_object_set_new(json, "reason", cli_kerr_json(&o->plan.reason));
		cli_print_json(json);
		return;
	}
	outlook_say(o, t, &sheet);
	sheet_print(&sheet, stdout);
	sheet_clear(&sheet);
}

int cmd_plan(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	struct outlook outlook;
	struct policyd_plan plan;
	struct target t;
	int r = find_target(cli, argv, &t, err);

	(void)argc;
	if (r == 0)
		r = policyd_client_plan(cli->policyd, t.uuid, t.device, &plan, err);
	if (r < 0)
		return r;
	if (outlook_begin(&plan, &outlook))
		ask_devices(cli, &t, &outlook);
	/* The answer is "no", and a script sees it by the status; the plan itself succeeded. */
	cli->status = kcode_exit_status(outlook.plan.reason.code);
	print_plan(cli, &outlook, &t);
	outlook_release(&outlook);
	return 0;
}

/* Columns of the terminal. */
static unsigned columns_of(int fd)
{
	struct winsize size;

	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

/* One progress event: a redrawn line on a terminal, which never wraps, else one line per phase. */
static void show_progress(const struct cli *cli, const struct model_job *job, enum phase *last)
{
	char line[256];

	if (cli->terminal) {
		progress_line(job, MIN_OF(columns_of(STDOUT_FILENO) - 1, 200u), line, sizeof(line));
		printf("\r\033[K%s", line);
	} else if (job->phase != *last) {
		printf("%s\n", phase_to_string(job->phase));
	}
	fflush(stdout);
	*last = job->phase;
}

/* What was told last. */
struct seen {
	enum phase phase;
	uint64_t memory; /* of which advise() speaks */
};

/* The job of the next progress event (new reference); *ret NULL if none came. */
static int next_progress(struct cli *cli, json_t **ret, struct kerr *err)
{
	json_t *event, *job;
	int r = cli_agent_event(cli, EVENT_WAIT_MS, &event, err);

	*ret = NULL;
	if (r < 0 || !event)
		return r;
	job = json_object_get(event, "job");
	if (strcmp(model_text(event, "event"), "progress") == 0 && json_is_object(job)) {
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
	uint64_t sent = model_number(e, "ram_bytes");
	char bytes[32];

	if (cli->json || t->rung > MOVE_RUNG_LIVE || *first == UINT64_MAX ||
	    strcmp(model_text(e, "phase"), "copying memory") != 0)
		return;
	if (!*first)
		*first = model_number(e, "ram_total");
	if (!*first || sent / 4 < *first)
		return;
	*first = UINT64_MAX;
	model_bytes(sent, bytes, sizeof(bytes));
	fprintf(stderr,
		"%s\"%s\" changes its memory about as fast as it is sent (%s so far). If this does "
		"not end, stop it with `kith cancel`, and let it stand still for that: `kith move "
		"--rung warm`.\n",
		cli->terminal ? "\r\033[K" : "", t->vm, bytes);
}

/* Waits for the next word of kithd about the hand-off, and shows it. */
static int follow(struct cli *cli, struct moving *m, struct seen *seen, struct kerr *err)
{
	struct model_job job;
	json_t *e;
	int r = next_progress(cli, &e, err);

	if (r < 0 || !e)
		return r;
	model_read_job(e, &job);
	if (!moving_progress(m, &job))
		json_decref(e);
	else if (cli->json)
		cli_print_json(e);
	else {
		show_progress(cli, &job, &seen->phase);
		advise(cli, &m->target, e, &seen->memory);
		json_decref(e);
	}
	return 0;
}

/* What runs in a guest that was shut down is gone: what both devices have against the move is asked
 * before. The policy speaks with the move itself. */
static int ask_first(struct cli *cli, const struct target *t, struct kerr *err)
{
	const struct policyd_plan any = {.allowed = 1};
	struct outlook o;
	int r = 0;

	if (t->rung != MOVE_RUNG_COLD)
		return 0;
	outlook_begin(&any, &o);
	ask_devices(cli, t, &o);
	if (!o.plan.allowed)
		r = kerr_set(err, EREMOTEIO, o.plan.reason.code, "%s", o.plan.reason.text);
	outlook_release(&o);
	return r;
}

static int step(struct cli *cli, struct moving *m, struct seen *seen, struct kerr *err)
{
	struct ipc_client *policyd;
	uint8_t hid[HID_LEN];
	json_t *result;
	int r;

	if (m->step == MOVING_FOLLOW)
		return follow(cli, m, seen, err);
	if (m->step != MOVING_REQUEST) {
		r = cli_agent(cli, moving_request(m), &result, err);
		if (r < 0)
			return r;
		json_decref(result);
		moving_answered(m);
		return 0;
	}
	r = cli_policyd(cli, &policyd, err);
	if (r == 0)
		r = ask_first(cli, &m->target, err);
	if (r == 0)
		r = policyd_client_move_request(policyd, m->target.uuid, m->target.device,
						m->target.rung, hid, err);
	if (r == 0)
		moving_allowed(m, hid);
	return r;
}

static int finish(struct cli *cli, const struct moving *m, struct kerr *err)
{
	char sentence[512];

	if (cli->terminal && !cli->json)
		printf("\r\033[K");
	if (m->error.code != KCODE_OK)
		return kerr_set(err, EREMOTEIO, m->error.code, "%s", m->error.text);
	if (cli->json)
		return 0;
	progress_end(&m->job, sentence, sizeof(sentence));
	puts(sentence);
	cli_tell_stale(cli, m->target.uuid);
	return 0;
}

static int move_one(struct cli *cli, const struct target *t, struct kerr *err)
{
	struct seen seen = {.phase = _PHASE_MAX};
	struct moving m;

	moving_begin(&m, t);
	while (m.step != MOVING_OVER)
		if (step(cli, &m, &seen, err) < 0)
			moving_refused(&m, err);
	return finish(cli, &m, err);
}

int cmd_move(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	const char *rung = cli->given[OPT_RUNG];
	struct target t = {.rung = MOVE_RUNG_ANY};
	int r;

	if (rung)
		t.rung = (enum move_rung)move_rung_from_string(rung);
	if (cli->given[OPT_ALL])
		return cli->given[OPT_EJECT]
			       ? kerr_set(err, EINVAL, KCODE_USAGE,
					  "--eject is for one VM: `kith move --eject VM DEVICE`.")
			       : move_all(cli, argv[0], t.rung, move_one, err);
	r = find_target(cli, argv, &t, err);
	if (r == 0 && cli->given[OPT_EJECT])
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
		const char *phase = model_text(job, "phase");
		bool over = strcmp(phase, "done") == 0 || strcmp(phase, "failed") == 0;

		if (!over && (!word || strcmp(model_text(job, "vm"), word) == 0 ||
			      strcmp(model_text(job, "hid"), word) == 0))
			r = hex_decode(model_text(job, "hid"), ret_hid, HID_LEN);
	}
	json_decref(result);
	if (r < 0)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "No hand-off is under way here.");
	return 0;
}

int cmd_cancel(struct cli *cli, int argc, char **argv, struct kerr *err)
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
