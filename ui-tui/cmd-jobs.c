/* SPDX-License-Identifier: Apache-2.0 */
/* Hand-offs that are under way: which there are, how one goes on, and to call one off. */
#include <string.h>

#include "base/buf.h"
#include "policyd/api/client.h"
#include "ui-tui/cli.h"
#include "ui-tui/follow.h"
#include "ui-tui/model/progress.h"

/* The hand-offs that kithd knows (new reference), newest first. */
static int read_jobs(struct cli *cli, json_t **ret, struct kerr *err)
{
	json_t *result;
	int r = cli_agent(cli, json_pack("{s:s}", "op", "jobs"), &result, err);

	if (r < 0)
		return r;
	*ret = json_incref(json_object_get(result, "jobs"));
	json_decref(result);
	return 0;
}

/* -- the list -- */

static json_t *job_json(const json_t *row, const struct model_job *job)
{
	json_t *o = json_copy((json_t *)(uintptr_t)row);
	int percent = progress_percent(job);

	json_object_set_new(o, "percent", percent < 0 ? json_null() : json_integer(percent));
	return o;
}

static void print_job(const json_t *row, const struct model_job *job)
{
	char age[32], left[48], percent[16] = "";

	model_age(model_number(row, "age_ms") / 1000, age, sizeof(age));
	progress_left(job, left, sizeof(left));
	if (progress_percent(job) >= 0)
		snprintf(percent, sizeof(percent), ", %d %%", progress_percent(job));
	printf("%s %-16s %-4s %-16s %s%s%s%s%s, began %s ago\n",
	       cli_glyph(job->phase == PHASE_DONE     ? '+'
			 : job->phase == PHASE_FAILED ? '!'
						      : '~'),
	       job->vm, job->source ? "to" : "from", job->device_name, phase_to_string(job->phase),
	       job->off ? ", switched off" : "", model_is_over(job) ? "" : percent,
	       *left ? ", " : "", left, age);
	if (job->error.code != KCODE_OK)
		printf("  %s (code: %s)\n", job->error.text, kcode_to_string(job->error.code));
}

int cmd_jobs(struct cli *cli, int argc _unused_, char **argv _unused_, struct kerr *err)
{
	json_t *jobs, *row, *list = json_array();
	struct model_job job;
	size_t i;
	int r = read_jobs(cli, &jobs, err);

	if (r < 0) {
		json_decref(list);
		return r;
	}
	json_array_foreach(jobs, i, row)
	{
		model_read_job(row, &job);
		if (!cli->given[OPT_ALL] && model_is_over(&job))
			continue;
		json_array_append_new(list, job_json(row, &job));
		if (!cli->json)
			print_job(row, &job);
	}
	if (cli->json)
		cli_print_json(json_pack("{s:O}", "jobs", list));
	else if (!json_array_size(list))
		puts("No hand-off is under way here; `kith jobs --all` shows the last ones.");
	json_decref(list);
	json_decref(jobs);
	return 0;
}

/* -- one of them -- */

/* What the others are called where one has to be chosen. */
static void name_open(const json_t *jobs, char *ret, size_t size)
{
	struct wbuf w = wbuf_init(ret, size - 1);
	struct model_job job;
	json_t *row;
	size_t i;

	json_array_foreach(jobs, i, row)
	{
		char one[2 * NAME_MAX_LEN + 32];
		int len;

		model_read_job(row, &job);
		if (model_is_over(&job))
			continue;
		len = snprintf(one, sizeof(one), "%s\"%s\" %s \"%s\"", w.len ? ", " : "", job.vm,
			       job.source ? "to" : "from", job.device_name);
		wbuf_bytes(&w, one, (size_t)len);
	}
	ret[w.len] = '\0';
}

/* The open hand-off of a VM, or the one with this id; without a word the only one. */
static int find_job(struct cli *cli, const char *word, struct model_job *ret, struct kerr *err)
{
	char names[300];
	json_t *jobs, *row;
	struct model_job job;
	size_t i, found = 0;
	int r = read_jobs(cli, &jobs, err);

	if (r < 0)
		return r;
	json_array_foreach(jobs, i, row)
	{
		model_read_job(row, &job);
		if (model_is_over(&job) ||
		    (word && strcmp(job.vm, word) != 0 && strcmp(job.hid, word) != 0 &&
		     strcmp(job.uuid, word) != 0))
			continue;
		*ret = job;
		found++;
	}
	name_open(jobs, names, sizeof(names));
	json_decref(jobs);
	if (!found && word)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"No hand-off of \"%.63s\" is under way here.", word);
	if (!found)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "No hand-off is under way here.");
	if (found > 1)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"%zu hand-offs are under way here: %s. Say which VM is meant.",
				found, names);
	return 0;
}

/* Events first, so that the end is not missed. */
static int find_watched(struct cli *cli, const char *word, struct moving *ret, struct kerr *err)
{
	int r = cli_watch(cli, err);

	if (r < 0)
		return r;
	*ret = (struct moving){.step = MOVING_FOLLOW};
	r = find_job(cli, word, &ret->job, err);
	if (r < 0)
		return r;
	memcpy(ret->hid, ret->job.hid, sizeof(ret->hid));
	snprintf(ret->target.vm, sizeof(ret->target.vm), "%s", ret->job.vm);
	return hex_decode(ret->job.uuid, ret->target.uuid, UUID_LEN) < 0 ? -EBADMSG : 0;
}

static int follow_all(struct cli *cli, struct moving *m, struct followed how, struct kerr *err)
{
	_cleanup_(followed_release) struct followed seen = how;
	int r = 0;

	while (r == 0 && m->step != MOVING_OVER)
		r = follow_step(cli, m, &seen, err);
	return r;
}

int cmd_watch(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	struct moving m;
	int r = find_watched(cli, argc ? argv[0] : NULL, &m, err);

	if (r < 0)
		return r;
	if (!cli->json)
		printf("\"%s\" %s \"%s\"\n", m.job.vm, m.job.source ? "goes to" : "comes from",
		       m.job.device_name);
	follow_begin(cli, &m);
	r = follow_all(cli, &m, FOLLOWED_NONE, err);
	return r < 0 ? r : follow_end(cli, &m, err);
}

/* -- calling one off -- */

static void print_cancelling(const struct cli *cli, const struct model_job *job)
{
	if (cli->json)
		cli_print_json(json_pack("{s:s, s:s, s:s}", "cancelling", job->hid, "vm", job->vm,
					 "device", job->device_name));
	else
		printf("Cancelling: \"%s\" does not %s \"%s\", and goes on where it is.\n", job->vm,
		       job->source ? "go to" : "come from", job->device_name);
	fflush(stdout);
}

/* With --wait: whether it was stopped is known when it has ended. */
static int wait_cancelled(struct cli *cli, struct moving *m, struct kerr *err)
{
	int r = follow_all(cli, m, (struct followed){.silent = true}, err);

	if (r < 0)
		return r;
	if (m->error.code == KCODE_OK)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"It was too late: \"%s\" has moved. `kith move` brings it back.",
				m->job.vm);
	if (!cli->json)
		printf("\"%s\" stays: %s\n", m->job.vm, m->error.text);
	return 0;
}

int cmd_cancel(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	struct ipc_client *policyd;
	uint8_t hid[HID_LEN];
	struct moving m;
	json_t *result;
	int r = cli_policyd(cli, &policyd, err);

	if (r == 0)
		r = find_watched(cli, argc ? argv[0] : NULL, &m, err);
	if (r == 0 && hex_decode(m.hid, hid, HID_LEN) < 0)
		r = -EBADMSG;
	if (r == 0)
		r = policyd_client_abort_request(policyd, hid, err);
	if (r < 0)
		return r;
	r = cli_agent(cli, json_pack("{s:s, s:s}", "op", "cancel", "hid", m.hid), &result, err);
	if (r < 0)
		return r;
	json_decref(result);
	print_cancelling(cli, &m.job);
	return cli->given[OPT_WAIT] ? wait_cancelled(cli, &m, err) : 0;
}
