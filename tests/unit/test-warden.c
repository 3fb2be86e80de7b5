/* SPDX-License-Identifier: Apache-2.0 */
/* kith-warden: its rules, and a real process that is frozen, woken, let go and ended. */
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "mover/warden-core.h"

#define FREE false
#define HELD true

/* -- rules -- */

static void test_aims(void)
{
	static const struct {
		int marker;
		/* Nobody asks, the copy is free; it is held; a FREEZE request of a free one. */
		enum warden_aim free, held, asked;
		/* policyd's list says freeze, or kill. */
		enum warden_aim freeze, kill;
	} rows[] = {
		{CUSTODY_MARKER_HERE, WARDEN_LEAVE, WARDEN_THAW, WARDEN_REFUSE, WARDEN_LEAVE,
		 WARDEN_LEAVE},
		{CUSTODY_MARKER_KEPT, WARDEN_LEAVE, WARDEN_THAW, WARDEN_REFUSE, WARDEN_LEAVE,
		 WARDEN_LEAVE},
		{CUSTODY_MARKER_ELSEWHERE, WARDEN_LEAVE, WARDEN_END, WARDEN_REFUSE, WARDEN_HOLD,
		 WARDEN_END},
		{CUSTODY_MARKER_LEAVING, WARDEN_LEAVE, WARDEN_HOLD, WARDEN_HOLD, WARDEN_HOLD,
		 WARDEN_LEAVE},
		{CUSTODY_MARKER_ARRIVING, WARDEN_LEAVE, WARDEN_HOLD, WARDEN_HOLD, WARDEN_HOLD,
		 WARDEN_LEAVE},
		{CUSTODY_MARKER_RELEASED, WARDEN_HOLD, WARDEN_HOLD, WARDEN_HOLD, WARDEN_HOLD,
		 WARDEN_END},
		{CUSTODY_MARKER_PREPARED, WARDEN_HOLD, WARDEN_HOLD, WARDEN_HOLD, WARDEN_HOLD,
		 WARDEN_END},
		{CUSTODY_MARKER_DOUBT, WARDEN_LEAVE, WARDEN_HOLD, WARDEN_REFUSE, WARDEN_HOLD,
		 WARDEN_END},
		{WARDEN_MARKER_NONE, WARDEN_LEAVE, WARDEN_HOLD, WARDEN_REFUSE, WARDEN_HOLD,
		 WARDEN_END},
		{WARDEN_MARKER_BAD, WARDEN_LEAVE, WARDEN_HOLD, WARDEN_REFUSE, WARDEN_HOLD,
		 WARDEN_END},
	};

	g_assert_cmpuint(ARRAY_SIZE(rows), ==, WARDEN_MARKERS);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int m = rows[i].marker;

		g_test_message("marker %d", m);
		g_assert_cmpint(warden_aim(m, WARDEN_WORD_NONE, FREE, WARDEN_WATCH), ==,
				rows[i].free);
		g_assert_cmpint(warden_aim(m, WARDEN_WORD_NONE, FREE, WARDEN_SETTLE), ==,
				rows[i].free);
		g_assert_cmpint(warden_aim(m, WARDEN_WORD_NONE, HELD, WARDEN_WATCH), ==,
				rows[i].held);
		g_assert_cmpint(warden_aim(m, WARDEN_WORD_NONE, HELD, WARDEN_SETTLE), ==,
				rows[i].held);
		g_assert_cmpint(warden_aim(m, WARDEN_WORD_NONE, FREE, WARDEN_FREEZE), ==,
				rows[i].asked);
		g_assert_cmpint(warden_aim(m, WARDEN_WORD_FREEZE, FREE, WARDEN_WATCH), ==,
				rows[i].freeze);
		g_assert_cmpint(warden_aim(m, WARDEN_WORD_KILL, FREE, WARDEN_WATCH), ==,
				rows[i].kill);
	}
}

/* Over everything that can come: what it did not stop it never lets go, what the marker allows it
 * never stops or ends, what may not run it never lets go. */
static void test_never(void)
{
	for (int m = -1; m <= WARDEN_MARKERS; m++)
		for (int word = 0; word < _WARDEN_WORD_MAX; word++)
			for (int held = 0; held < 2; held++)
				for (int ask = WARDEN_WATCH; ask <= WARDEN_SETTLE; ask++) {
					bool here = m == CUSTODY_MARKER_HERE ||
						    m == CUSTODY_MARKER_KEPT;
					enum warden_aim aim =
						warden_aim(m, (enum warden_word)word, held,
							   (enum warden_request)ask);

					g_assert_false(aim == WARDEN_THAW && !(held && here));
					g_assert_false(here &&
						       (aim == WARDEN_HOLD || aim == WARDEN_END));
					g_assert_false(m >= WARDEN_MARKER_NONE && !held &&
						       word == WARDEN_WORD_NONE &&
						       aim != WARDEN_LEAVE && aim != WARDEN_REFUSE);
				}
}

static void test_acts(void)
{
	static const struct {
		enum warden_aim aim;
		bool held;
		enum qemu_state state;
		enum warden_act act;
	} rows[] = {
		{WARDEN_HOLD, FREE, QEMU_RUNNING, WARDEN_TAKE},
		{WARDEN_HOLD, FREE, QEMU_STOPPED, WARDEN_TAKE},
		{WARDEN_HOLD, HELD, QEMU_STOPPED, WARDEN_NOTHING},
		{WARDEN_HOLD, HELD, QEMU_RUNNING, WARDEN_STOP},
		{WARDEN_HOLD, HELD, QEMU_WOKEN, WARDEN_STOP},
		{WARDEN_HOLD, HELD, QEMU_GONE, WARDEN_FORGET},
		{WARDEN_HOLD, FREE, QEMU_GONE, WARDEN_NOTHING},
		{WARDEN_THAW, HELD, QEMU_STOPPED, WARDEN_LET_GO},
		{WARDEN_THAW, HELD, QEMU_WOKEN, WARDEN_LET_GO},
		{WARDEN_THAW, FREE, QEMU_STOPPED, WARDEN_NOTHING},
		{WARDEN_END, HELD, QEMU_STOPPED, WARDEN_KILL},
		{WARDEN_END, FREE, QEMU_RUNNING, WARDEN_KILL},
		{WARDEN_END, HELD, QEMU_GONE, WARDEN_FORGET},
		{WARDEN_LEAVE, FREE, QEMU_STOPPED, WARDEN_NOTHING},
		{WARDEN_LEAVE, FREE, QEMU_RUNNING, WARDEN_NOTHING},
		{WARDEN_REFUSE, FREE, QEMU_RUNNING, WARDEN_NOTHING},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		g_assert_cmpint(warden_act(rows[i].aim, rows[i].held, rows[i].state), ==,
				rows[i].act);
}

/* -- a process -- */

struct fixture {
	char *folder;
	uint8_t uuid[UUID_LEN];
	char text[CUSTODY_UUID_TEXT];
	pid_t pid;
	struct warden w;
	unsigned alarms;
};

static void on_alarm(void *ctx, const uint8_t uuid[UUID_LEN] _unused_)
{
	((struct fixture *)ctx)->alarms++;
}

static void nap(void)
{
	nanosleep(&(struct timespec){0, 5000000}, NULL);
}

/* A shell that counts, with a command line as QEMU's. */
static pid_t start_process(const char *uuid)
{
	char *argv[] = {(char *)"sh",
			(char *)"-c",
			(char *)"ulimit -t 60; while :; do :; done",
			(char *)"-uuid",
			(char *)(uintptr_t)uuid,
			NULL};
	pid_t pid;

	g_assert_cmpint(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), ==, 0);
	return pid;
}

static void mark(const struct fixture *f, const char *state)
{
	char *path = g_build_filename(f->folder, "custody", f->text, NULL);
	char *text =
		g_strdup_printf("x\nstate %s\nepoch 1\nname no-such-vm\nholder there\n", state);

	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	g_free(text);
	g_free(path);
}

static void make_config(const struct fixture *f, struct config *ret)
{
	struct kerr err = {0};

	g_assert_cmpint(config_parse("", ret, &err), ==, 0);
	g_strlcpy(ret->state, f->folder, sizeof(ret->state));
	g_strlcpy(ret->run, f->folder, sizeof(ret->run));
}

static void open_warden(struct fixture *f)
{
	struct config config;

	make_config(f, &config);
	g_assert_cmpint(warden_open(&f->w, &config), ==, 0);
	f->w.holds.alarm = on_alarm;
	f->w.holds.ctx = f;
}

/* posix_spawn() is back a moment before the kernel has put it there. */
static void wait_for_command_line(const struct fixture *f)
{
	struct qemu_process p = QEMU_PROCESS_NONE;
	int r = -ENOENT;

	for (int i = 0; i < 200 && r < 0; i++) {
		nap();
		r = qemu_reopen(f->uuid, f->pid, 0, &p);
	}
	g_assert_cmpint(r, ==, 0);
	qemu_close(&p);
}

static void setup(struct fixture *f, const void *data _unused_)
{
	char *custody;

	f->folder = g_dir_make_tmp("kith-warden-XXXXXX", NULL);
	g_assert_nonnull(f->folder);
	custody = g_build_filename(f->folder, "custody", NULL);
	g_assert_cmpint(g_mkdir(custody, 0755), ==, 0);
	g_free(custody);
	for (size_t i = 0; i < UUID_LEN; i++)
		f->uuid[i] = (uint8_t)g_random_int();
	custody_uuid_text(f->uuid, f->text);
	f->pid = start_process(f->text);
	wait_for_command_line(f);
	open_warden(f);
}

static void teardown(struct fixture *f, const void *data _unused_)
{
	char *argv[] = {(char *)"rm", (char *)"-rf", f->folder, NULL};

	kill(f->pid, SIGKILL);
	qemu_reap();
	g_assert_true(g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
				   NULL, NULL));
	close(f->w.custody_fd);
	close(f->w.holds.notes_fd);
	g_free(f->folder);
}

static int64_t cpu_us(const struct fixture *f)
{
	clockid_t id;
	struct timespec t;

	g_assert_cmpint(clock_getcpuclockid(f->pid, &id), ==, 0);
	g_assert_cmpint(clock_gettime(id, &t), ==, 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* To stop costs a little time too. */
static bool runs(const struct fixture *f)
{
	int64_t until = cpu_us(f) + 10000;

	for (int i = 0; i < 40 && cpu_us(f) < until; i++)
		nap();
	return cpu_us(f) >= until;
}

static void take(struct fixture *f)
{
	struct qemu_process p = QEMU_PROCESS_NONE;
	struct hold *hold;

	g_assert_cmpint(qemu_reopen(f->uuid, f->pid, 0, &p), ==, 0);
	g_assert_cmpint(holds_take(&f->w.holds, f->uuid, &p), ==, 0);
	hold = holds_find(&f->w.holds, f->uuid);
	g_assert_nonnull(hold);
	for (int i = 0; i < 100 && !hold->stopped; i++) {
		nap();
		holds_watch(&f->w.holds);
	}
	g_assert_true(hold->stopped);
	g_assert_false(runs(f));
}

static int apply(struct fixture *f, enum warden_request request, enum warden_copy *ret)
{
	struct kerr err = {0};
	int r = -EAGAIN;

	for (int i = 0; i < 400 && r == -EAGAIN; i++) {
		r = warden_apply(&f->w, f->uuid, request, WARDEN_WORD_NONE, ret, &err);
		qemu_reap();
		nap();
	}
	return r;
}

static void test_identity(struct fixture *f, const void *data _unused_)
{
	struct qemu_process p = QEMU_PROCESS_NONE;
	uint8_t other[UUID_LEN] = {1};

	g_assert_cmpint(qemu_reopen(other, f->pid, 0, &p), ==, -ENOENT);
	g_assert_cmpint(qemu_reopen(f->uuid, getpid(), 0, &p), ==, -ENOENT);
	g_assert_cmpint(qemu_reopen(f->uuid, f->pid, 1, &p), ==, -ENOENT);
	g_assert_cmpint(qemu_reopen(f->uuid, f->pid, 0, &p), ==, 0);
	g_assert_cmpint(qemu_state(&p), ==, QEMU_RUNNING);
	qemu_close(&p);
}

static void test_woken(struct fixture *f, const void *data _unused_)
{
	struct hold *hold;

	take(f);
	hold = holds_find(&f->w.holds, f->uuid);
	g_assert_cmpint(kill(f->pid, SIGCONT), ==, 0);
	/* Bolted, it does not run even until the next look. */
	if (hold->p.bolted)
		g_assert_false(runs(f));
	for (int i = 0; i < 3; i++) {
		holds_watch(&f->w.holds);
		nap();
	}
	g_assert_false(runs(f));
	g_assert_cmpuint(f->alarms, ==, 1);
	g_assert_cmpuint(hold->woken, ==, 1);
}

static void test_thaw(struct fixture *f, const void *data _unused_)
{
	enum warden_copy copy;

	take(f);
	mark(f, "leaving");
	g_assert_cmpint(apply(f, WARDEN_SETTLE, &copy), ==, 0);
	g_assert_cmpint(copy, ==, WARDEN_COPY_FROZEN);
	/* Also without a marker, or with one that cannot be read, it stays as it is. */
	mark(f, "nonsense");
	warden_round(&f->w);
	g_assert_false(runs(f));
	mark(f, "here");
	g_assert_cmpint(apply(f, WARDEN_SETTLE, &copy), ==, 0);
	g_assert_cmpint(copy, !=, WARDEN_COPY_FROZEN);
	g_assert_true(runs(f));
	g_assert_null(holds_find(&f->w.holds, f->uuid));
	/* Whose VM runs by right is not stopped by a request, and not by a list that is older. */
	g_assert_cmpint(apply(f, WARDEN_FREEZE, &copy), ==, -EACCES);
	g_assert_true(runs(f));
}

static void test_end(struct fixture *f, const void *data _unused_)
{
	enum warden_copy copy;

	take(f);
	mark(f, "elsewhere");
	g_assert_cmpint(apply(f, WARDEN_SETTLE, &copy), ==, 0);
	g_assert_cmpint(copy, ==, WARDEN_COPY_GONE);
	g_assert_cmpint(kill(f->pid, 0), ==, -1);
	g_assert_null(holds_find(&f->w.holds, f->uuid));
	g_assert_cmpuint(f->alarms, ==, 0);
}

/* One kith-warden dies, the next goes on from the note. */
static void test_heir(struct fixture *f, const void *data _unused_)
{
	pid_t first = fork();
	int status;

	if (first == 0) {
		struct qemu_process p = QEMU_PROCESS_NONE;
		struct hold *hold;

		if (qemu_reopen(f->uuid, f->pid, 0, &p) < 0 ||
		    holds_take(&f->w.holds, f->uuid, &p) < 0)
			_exit(1);
		hold = holds_find(&f->w.holds, f->uuid);
		while (!hold->stopped)
			holds_watch(&f->w.holds);
		raise(SIGKILL);
	}
	g_assert_cmpint(waitpid(first, &status, 0), ==, first);
	g_assert_true(WIFSIGNALED(status));
	g_assert_false(runs(f));
	mark(f, "released");
	warden_round(&f->w);
	for (int i = 0; i < 3; i++)
		holds_watch(&f->w.holds);
	g_assert_nonnull(holds_find(&f->w.holds, f->uuid));
	g_assert_false(runs(f));
	g_assert_cmpuint(f->alarms, ==, 0);
	mark(f, "here");
	warden_round(&f->w);
	g_assert_true(runs(f));
}

/* Somebody woke it while no kith-warden lived: it is stopped again, and that is an alarm. */
static void test_woken_alone(struct fixture *f, const void *data _unused_)
{
	struct qemu_process p = QEMU_PROCESS_NONE;
	char *path = g_build_filename(f->folder, "warden", "frozen", f->text, NULL);
	char *text;

	g_assert_cmpint(qemu_reopen(f->uuid, f->pid, 0, &p), ==, 0);
	text = g_strdup_printf("%d %llu stopped\n", (int)f->pid, (unsigned long long)p.start);
	qemu_close(&p);
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	mark(f, "leaving");
	warden_round(&f->w);
	for (int i = 0; i < 10; i++) {
		holds_watch(&f->w.holds);
		nap();
	}
	g_assert_false(runs(f));
	g_assert_cmpuint(f->alarms, ==, 1);
	g_free(text);
	g_free(path);
}

/* A note of a process that is gone, or of another one with its number, is thrown away. */
static void test_old_note(struct fixture *f, const void *data _unused_)
{
	char *path = g_build_filename(f->folder, "warden", "frozen", f->text, NULL);
	char *text = g_strdup_printf("%d 12 stopped\n", (int)f->pid);

	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	mark(f, "leaving");
	warden_round(&f->w);
	g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	g_assert_null(holds_find(&f->w.holds, f->uuid));
	g_assert_true(runs(f));
	g_free(text);
	g_free(path);
}

#define ADD(name, fn) g_test_add("/warden/" name, struct fixture, NULL, setup, fn, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/warden/aims", test_aims);
	g_test_add_func("/warden/never thaws or stops against the marker", test_never);
	g_test_add_func("/warden/acts", test_acts);
	ADD("a process is told by number, start and UUID", test_identity);
	ADD("F2 a woken copy does not run, and is an alarm", test_woken);
	ADD("custody here lets it go", test_thaw);
	ADD("custody elsewhere ends it", test_end);
	ADD("a killed warden's copy stays frozen, the next one goes on", test_heir);
	ADD("woken while nobody watched", test_woken_alone);
	ADD("an old note means nobody", test_old_note);
	return g_test_run();
}
