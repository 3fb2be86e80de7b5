/* SPDX-License-Identifier: Apache-2.0 */
/* One line that is redrawn, or one for each phase; and what an interrupt leaves behind. */
#include "ui-tui/follow.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "policyd/api/client.h"
#include "ui-tui/model/progress.h"

#define EVENT_WAIT_MS 2000

/* Of a kithd that went away: an upgrade, or systemd, starts it again. */
#define AGAIN_MS 60000
#define AGAIN_STEP_MS 500
#define UNKNOWN_MS 5000 /* it hears what its mover does after a moment */

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

/* The job of the next progress event (new reference); *ret NULL if none came. */
static int next_progress(struct cli *cli, json_t **ret, struct kerr *err)
{
	json_t *event, *job;
	int r;

	*ret = NULL;
	if (!cli_left(cli, 0))
		return kerr_set(err, EAGAIN, KCODE_BUSY,
				"--timeout ends the wait; the hand-off goes on. `kith watch` shows "
				"it again.");
	r = cli_agent_event(cli, EVENT_WAIT_MS, &event, err);
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

void followed_release(struct followed *seen)
{
	json_decref(seen->last);
	seen->last = NULL;
}

/* An event, taken over. */
static void take_progress(struct cli *cli, struct moving *m, struct followed *seen, json_t *e)
{
	struct model_job job;

	model_read_job(e, &job);
	if (!moving_progress(m, &job)) {
		json_decref(e);
		return;
	}
	followed_release(seen);
	seen->last = e;
	if (seen->silent)
		return;
	if (cli->json) {
		cli_print_json(json_incref(e));
		return;
	}
	show_progress(cli, &job, &seen->phase);
	advise(cli, &m->target, e, &seen->memory);
}

/* -- kithd goes away, and comes back -- */

/* kithd's job of this hand-off, as an event (new reference); *ret NULL if it knows of none. */
static int attach(struct cli *cli, const struct moving *m, json_t **ret, struct kerr *err)
{
	json_t *result, *job;
	size_t i;
	int r = cli_watch(cli, err);

	*ret = NULL;
	if (r == 0)
		r = cli_agent(cli, json_pack("{s:s}", "op", "jobs"), &result, err);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(result, "jobs"), i, job)
	{
		if (strcmp(model_text(job, "hid"), m->hid) != 0)
			continue;
		json_object_set_new(job, "event", json_string("progress"));
		*ret = json_incref(job);
	}
	json_decref(result);
	return 0;
}

/* How a hand-off ended that kithd knows nothing of, by what kith-policyd recorded; false: it has
 * not ended. */
static bool look_up_end(struct cli *cli, struct moving *m, struct followed *seen)
{
	_cleanup_free_ struct policyd_vm *vms = NULL;
	struct kerr why = {0};
	struct ipc_client *policyd;
	size_t n = 0, i = 0;

	if (cli_policyd(cli, &policyd, &why) < 0 || policyd_client_vms(policyd, &vms, &n, &why) < 0)
		return false;
	while (i < n && memcmp(vms[i].uuid, m->target.uuid, UUID_LEN) != 0)
		i++;
	if (i == n || vms[i].open || !seen->last)
		return false;
	if (vms[i].here == m->job.source) {
		kerr_set(&why, EINTR, KCODE_INTERRUPTED,
			 "\"%s\" was not handed over: kithd ended in the middle of it. Try again.",
			 m->target.vm);
		moving_refused(m, &why);
	} else {
		json_object_set_new(seen->last, "phase", json_string(phase_to_string(PHASE_DONE)));
		take_progress(cli, m, seen, json_incref(seen->last));
	}
	return true;
}

/* The mover does not need kithd for what it does. `err` says what was lost, and is cleared when the
 * hand-off is in sight again, or its end. */
static int follow_again(struct cli *cli, struct moving *m, struct followed *seen, struct kerr *err)
{
	uint64_t until = clock_ms() + AGAIN_MS, known = 0;

	if (!cli->json)
		fprintf(stderr, "%skithd went away; the hand-off goes on without it. Waiting.\n",
			cli->terminal ? "\r\033[K" : "");
	while (clock_ms() < until && cli_left(cli, AGAIN_STEP_MS)) {
		struct kerr why = {0};
		json_t *job;

		cli_hang_up(cli);
		poll(NULL, 0, AGAIN_STEP_MS);
		if (attach(cli, m, &job, &why) < 0)
			continue;
		if (!known)
			known = clock_ms();
		if (job)
			take_progress(cli, m, seen, job);
		if (job || (clock_ms() - known > UNKNOWN_MS && look_up_end(cli, m, seen))) {
			kerr_clear(err);
			return 0;
		}
	}
	return -EIO;
}

/* Waits for the next word of kithd about the hand-off, and shows it. */
int follow_step(struct cli *cli, struct moving *m, struct followed *seen, struct kerr *err)
{
	json_t *e;
	int r = next_progress(cli, &e, err);

	if (r < 0)
		return err->code == KCODE_INTERRUPTED ? follow_again(cli, m, seen, err) : r;
	if (e)
		take_progress(cli, m, seen, e);
	return 0;
}

/* -- an interrupt -- */

static char farewell[2 * NAME_MAX_LEN + 256];

static void catch_interrupts(void (*handler)(int sig))
{
	const struct sigaction action = {.sa_handler = handler, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* Says so, and ends as it would have. */
static void on_interrupt(int sig)
{
	ssize_t ignored = write(STDERR_FILENO, farewell, strlen(farewell));

	(void)ignored;
	raise(sig);
}

void follow_begin(const struct cli *cli, const struct moving *m)
{
	const char *vm = *m->job.vm ? m->job.vm : m->target.vm;

	if (cli->json)
		return;
	snprintf(farewell, sizeof(farewell),
		 "\nThe hand-off of \"%s\" goes on. `kith watch %s` shows it again, `kith cancel "
		 "%s` stops it.\n",
		 vm, vm, vm);
	catch_interrupts(on_interrupt);
}

int follow_end(struct cli *cli, const struct moving *m, struct kerr *err)
{
	char sentence[512];

	catch_interrupts(SIG_DFL);
	if (cli->terminal && !cli->json)
		printf("\r\033[K");
	if (m->error.code != KCODE_OK)
		return kerr_set(err, EREMOTEIO, m->error.code, "%s", m->error.text);
	if (cli->json)
		return 0;
	progress_end(&m->job, sentence, sizeof(sentence));
	puts(sentence);
	if (m->job.source)
		cli_tell_stale(cli, m->target.uuid);
	return 0;
}
