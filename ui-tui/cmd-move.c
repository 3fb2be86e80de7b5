/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that move: plan and move. */
#include <poll.h>
#include <string.h>

#include "policyd/api/client.h"
#include "ui-tui/cli.h"
#include "ui-tui/follow.h"
#include "ui-tui/move.h"

#define RETRY_MS 2000 /* between attempts of a move that waits */

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

/* What runs in a guest that was shut down is gone: what both devices have against the move is asked
 * before. The policy speaks with the move itself. */
static int ask_first(struct cli *cli, const struct target *t, struct kerr *err)
{
	const struct policyd_plan any = {.allowed = 1};
	struct kerr why = {0};
	struct outlook o;
	int r = 0;

	if (t->rung != MOVE_RUNG_COLD)
		return 0;
	outlook_begin(&any, &o);
	ask_devices(cli, t, &o);
	if (outlook_why_not(&o, MOVE_RUNG_COLD, &why))
		r = kerr_set(err, EREMOTEIO, why.code, "%s", why.text);
	outlook_release(&o);
	return r;
}

static int step(struct cli *cli, struct moving *m, struct followed *seen, struct kerr *err)
{
	struct ipc_client *policyd;
	uint8_t hid[HID_LEN];
	json_t *result;
	int r;

	if (m->step == MOVING_FOLLOW)
		return follow_step(cli, m, seen, err);
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

static int try_move(struct cli *cli, const struct target *t, struct kerr *err)
{
	_cleanup_(followed_release) struct followed seen = FOLLOWED_NONE;
	struct moving m;

	moving_begin(&m, t);
	while (m.step != MOVING_OVER) {
		enum moving_step before = m.step;

		if (step(cli, &m, &seen, err) < 0)
			moving_refused(&m, err);
		if (m.step == MOVING_FOLLOW && before != MOVING_FOLLOW)
			follow_begin(cli, &m);
	}
	return follow_end(cli, &m, err);
}

/* What may pass by itself. */
static bool may_pass(enum kcode code)
{
	return code == KCODE_BUSY || code == KCODE_UNREACHABLE || code == KCODE_NOT_READY;
}

/* With --wait a move that cannot be made yet is tried again until it can, or --timeout ends it. */
static int move_one(struct cli *cli, const struct target *t, struct kerr *err)
{
	bool told = false;

	for (;;) {
		struct kerr why = {0};
		int r = try_move(cli, t, &why);

		if (r >= 0 || !cli->given[OPT_WAIT] || !may_pass(why.code) ||
		    !cli_left(cli, RETRY_MS))
			return r < 0 ? kerr_set(err, -r, why.code, "%s", why.text) : 0;
		if (!told)
			fprintf(stderr, "Waiting: %s\n", why.text);
		told = true;
		poll(NULL, 0, RETRY_MS);
	}
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
