/* SPDX-License-Identifier: Apache-2.0 */
/* Who finds a place at kithd's two doors, what those hear who do not; and the way to others'. */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "agent/client.h"
#include "agent/control.h"
#include "agent/dial.h"
#include "agent/jobs.h"
#include "agent/places.h"
#include "agent/race.h"
#include "base/clock.h"
#include "base/pace.h"

#define OWNER 1000u
#define NOBODY 65534u

static void test_local(void)
{
	uid_t uids[64];
	size_t n = 0;

	for (size_t i = 0; i < PLACES_STRANGER_MAX; i++) {
		g_assert_cmpint(places_local(uids, n, 2000, OWNER), ==, PLACES_ROOM);
		uids[n++] = 2000;
	}
	g_assert_cmpint(places_local(uids, n, 2000, OWNER), ==, PLACES_USER_FULL);
	while (places_local(uids, n, 3000u + (uid_t)n / 4, OWNER) == PLACES_ROOM) {
		uids[n] = 3000u + (uid_t)n / 4;
		n++;
	}
	g_assert_cmpuint(n, ==, PLACES_STRANGERS_MAX);
	g_assert_cmpint(places_local(uids, n, 4000, OWNER), ==, PLACES_STRANGERS_FULL);
	/* However many others there are, owner and root find all of their places. */
	for (size_t i = 0; i < PLACES_OWN_MAX; i++) {
		g_assert_cmpint(places_local(uids, n, OWNER, OWNER), ==, PLACES_ROOM);
		uids[n++] = OWNER;
	}
	g_assert_cmpint(places_local(uids, n, OWNER, OWNER), ==, PLACES_USER_FULL);
	g_assert_cmpint(places_local(uids, n, 0, OWNER), ==, PLACES_ROOM);
}

static void test_yield(void)
{
	const struct place waiting[] = {
		{PLACES_ANNOUNCED, 1}, {PLACES_UNKNOWN, 5}, {PLACES_PROVEN, 0},
		{PLACES_UNKNOWN, 3},   {PLACES_UNKNOWN, 9},
	};
	const struct place proven[] = {{PLACES_PROVEN, 4}, {PLACES_PROVEN, 2}};

	/* The oldest stranger goes, whoever comes. */
	for (int rank = PLACES_UNKNOWN; rank <= PLACES_PROVEN; rank++)
		g_assert_cmpint(places_yield(waiting, 5, (enum places_rank)rank), ==, 3);
	/* Nobody pushes one away of whom more is known. */
	g_assert_cmpint(places_yield(waiting, 1, PLACES_UNKNOWN), ==, -1);
	g_assert_cmpint(places_yield(proven, 2, PLACES_ANNOUNCED), ==, -1);
	g_assert_cmpint(places_yield(proven, 2, PLACES_PROVEN), ==, 1);
	g_assert_cmpint(places_yield(NULL, 0, PLACES_PROVEN), ==, -1);
}

static void test_bucket(void)
{
	uint64_t b = 0;
	unsigned n = 0;

	for (int i = 0; i < 100; i++)
		n += clock_pace(&b, 250, 8, 1000);
	g_assert_cmpuint(n, ==, 8);
	for (uint64_t now = 1000; now < 11000; now++)
		n += clock_pace(&b, 250, 8, now);
	g_assert_cmpuint(n, >=, 8 + 39);
	g_assert_cmpuint(n, <=, 8 + 41);
	g_assert_true(clock_pace(&b, 250, 8, 60000));
}

/* -- the addresses of a device, tried side by side -- */

static void test_race(void)
{
	struct race r = race_begin(31, RACE_STEP_MS, 1000);
	size_t i = 99, n = 0;

	g_assert_true(race_next(&r, true, 1000, &i));
	g_assert_cmpuint(i, ==, 0);
	g_assert_false(race_next(&r, false, 1000, &i));
	g_assert_cmpint(race_wait(&r, 1000), ==, 250);
	g_assert_false(race_next(&r, false, 1249, &i));
	g_assert_true(race_next(&r, false, 1250, &i));
	g_assert_cmpuint(i, ==, 1);
	g_assert_false(race_next(&r, false, 1250, &i));
	/* With nothing under way there is nothing to wait for. */
	g_assert_true(race_next(&r, true, 1250, &i));
	/* Thirty dead addresses cost less than two seconds. */
	for (uint64_t now = 1000; now < 1000 + 2000; now++)
		while (race_next(&r, false, now, &i))
			n = i;
	g_assert_cmpuint(n, ==, 30);
	g_assert_cmpint(race_wait(&r, 1000), ==, -1);
}

/* An address that proved itself has time before others get theirs. */
static void test_head_start(void)
{
	struct race r = race_begin(3, 2000, 0);
	size_t i;

	g_assert_true(race_next(&r, true, 0, &i));
	g_assert_false(race_next(&r, false, 1999, &i));
	g_assert_true(race_next(&r, false, 2000, &i));
	r = race_begin(0, 2000, 0);
	g_assert_false(race_next(&r, true, 0, &i));
	g_assert_cmpint(race_wait(&r, 0), ==, -1);
}

struct outcome {
	int fd;
	bool over;
	struct endpoint used;
	GMainLoop *loop;
};

static void on_dialled(void *arg, int fd, const struct endpoint *used)
{
	struct outcome *o = arg;

	o->fd = fd;
	o->over = true;
	o->used = *used;
	g_main_loop_quit(o->loop);
}

static uint16_t listen_on_loopback(int *ret_fd)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g_assert_cmpint(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), ==, 0);
	g_assert_cmpint(listen(fd, 1), ==, 0);
	g_assert_cmpint(getsockname(fd, (struct sockaddr *)&sa, &len), ==, 0);
	*ret_fd = fd;
	return ntohs(sa.sin_port);
}

static void test_dial(void)
{
	struct outcome o = {.fd = -1, .loop = g_main_loop_new(NULL, FALSE)};
	struct endpoint e[3] = {{"127.0.0.1", 1}, {"no address", 9}, {"127.0.0.1", 0}};
	int listener;

	e[2].port = listen_on_loopback(&listener);
	/* Those that refuse and those that are none cost nothing. */
	dial_new(e, 3, 60000, on_dialled, &o);
	g_assert_false(o.over);
	g_main_loop_run(o.loop);
	g_assert_cmpint(o.fd, >=, 0);
	g_assert_cmpint(o.used.port, ==, e[2].port);
	close(o.fd);
	close(listener);
	/* None is left: the last reason, from the main loop. */
	dial_new(e, 3, 60000, on_dialled, &o);
	g_main_loop_run(o.loop);
	g_assert_cmpint(o.fd, ==, -ECONNREFUSED);
	dial_new(e, 0, 60000, on_dialled, &o);
	g_main_loop_run(o.loop);
	g_assert_cmpint(o.fd, ==, -EHOSTUNREACH);
	g_main_loop_unref(o.loop);
}

/* -- a control socket whose every answer is long -- */

struct door {
	char *dir, *path;
	struct control *control;
	size_t answer, served;
};

static void on_request(void *ctx, const struct asker *asker, const struct api_request *r)
{
	struct door *d = ctx;
	g_autofree char *text = g_strnfill(d->answer, 'x');

	d->served++;
	asker->ops->reply(asker, api_reply(r->id, json_pack("{s:s}", "text", text)));
}

static const struct api_row rows[] = {
	{"status", 0, 0, ASKERS_ALL, false, NULL},
	{"devices", 0, 0, ASKERS_ALL, false, NULL},
	{"jobs", 0, 0, ASKERS_OWNER, false, NULL},
	{0},
};

static void door_open(struct door *d, uid_t owner, size_t answer)
{
	static char name[16];

	g_snprintf(name, sizeof(name), "%u", owner);
	*d = (struct door){.dir = g_dir_make_tmp("kith-places-XXXXXX", NULL), .answer = answer};
	g_assert_cmpint(chmod(d->dir, 0711), ==, 0);
	d->path = g_build_filename(d->dir, "control.sock", NULL);
	g_assert_cmpint(control_new(d->path, name, rows, on_request, d, &d->control), ==, 0);
}

static void door_close(struct door *d)
{
	control_free(d->control);
	g_rmdir(d->dir);
	g_free(d->dir);
	g_free(d->path);
}

static void serve(void)
{
	for (int i = 0; i < 100; i++)
		while (g_main_context_iteration(NULL, FALSE))
			;
}

static int knock(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	g_strlcpy(sa.sun_path, path, sizeof(sa.sun_path));
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 ? fd : -1;
}

static void test_full(void)
{
	size_t room = geteuid() == 0 ? PLACES_OWN_MAX : PLACES_STRANGER_MAX;
	_cleanup_(agent_client_freep) struct agent_client *late = NULL, *early = NULL;
	struct kerr err = {0};
	struct door d;
	int fds[PLACES_OWN_MAX];

	door_open(&d, OWNER + 7, 10);
	for (size_t i = 0; i < room; i++)
		fds[i] = knock(d.path);
	serve();
	/* Turned away before it asked, and after: both hear why. */
	g_assert_cmpint(agent_client_new(d.path, &late, &err), ==, 0);
	serve();
	g_assert_cmpint(agent_client_call(late, "status", NULL, 1000, NULL, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_BUSY);
	g_assert_nonnull(strstr(err.text, "Too many programs of this user"));
	close(fds[0]);
	serve();
	g_assert_cmpint(agent_client_new(d.path, &early, &err), ==, 0);
	serve();
	for (size_t i = 1; i < room; i++)
		close(fds[i]);
	door_close(&d);
	/* And a kithd that ends is not mistaken for a full one. */
	err = (struct kerr){0};
	g_assert_cmpint(agent_client_call(early, "status", NULL, 1000, NULL, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_INTERRUPTED);
}

/* 40 connections of another user, which say something and stay until the pipe is closed. */
static pid_t crowd(const char *path, const char *say, const int until[2], const int ready[2])
{
	pid_t pid = fork();
	char byte = 0;

	if (pid)
		return pid;
	close(until[1]);
	if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(1);
	for (int i = 0; i < 40; i++) {
		int fd = knock(path);

		for (int k = 0; k < 200; k++)
			(void)!send(fd, say, strlen(say), MSG_NOSIGNAL);
	}
	(void)!write(ready[1], &byte, 1);
	(void)!read(until[0], &byte, 1);
	_exit(0);
}

/* However much they ask, each has one answer in the works; and root is served. */
static void crowded(const char *say, size_t answer, size_t served_max)
{
	struct door d;
	int until[2], ready[2], fd, status;
	char line[256] = "", byte;
	pid_t pid;

	if (geteuid() != 0) {
		g_test_skip("only root can be another user");
		return;
	}
	door_open(&d, OWNER, answer);
	g_assert_cmpint(pipe(until) | pipe(ready), ==, 0);
	pid = crowd(d.path, say, until, ready);
	close(until[0]);
	g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
	serve();
	g_assert_cmpuint(d.served, <=, served_max);
	fd = knock(d.path);
	g_assert_cmpint(send(fd, "{\"id\":1,\"op\":\"jobs\"}\n", 21, 0), ==, 21);
	serve();
	g_assert_cmpint(recv(fd, line, sizeof(line) - 1, 0), >, 0);
	g_assert_nonnull(strstr(line, "\"id\":1,\"ok\":true"));
	close(fd);
	close(until[1]);
	waitpid(pid, &status, 0);
	g_assert_cmpint(status, ==, 0);
	close(ready[0]);
	close(ready[1]);
	door_close(&d);
}

static void test_crowd(void)
{
	crowded("", 10, 0);
}

/* Answers so small that all of them fit the sockets' own buffers: only the pace holds them back. */
static void test_crowd_paced(void)
{
	/* Of 8,000; on a busy machine time passes meanwhile, and some more are let in. */
	crowded("{\"id\":1,\"op\":\"devices\"}\n", 10, 4 * CONTROL_STRANGER_BURST);
}

static void test_crowd_asks(void)
{
	/* Some answers fit the socket's own buffers. */
	crowded("{\"id\":1,\"op\":\"devices\"}\n", 100000, PLACES_STRANGER_MAX * 8);
}

/* The owner's program that asks and never reads is hung up on, before what waits for it becomes
 * much; another's is not heard until it reads. */
static void test_never_reads(void)
{
	static const char ask[] = "{\"id\":1,\"op\":\"devices\"}\n";
	size_t room = geteuid() == 0 ? PLACES_OWN_MAX : PLACES_STRANGER_MAX, hung_up = 0;
	int fds[PLACES_OWN_MAX];
	struct door d;

	door_open(&d, OWNER + 7, 100000);
	for (size_t i = 0; i < room; i++)
		fds[i] = knock(d.path);
	for (int round = 0; round < 40; round++) {
		for (size_t i = 0; i < room; i++)
			(void)!send(fds[i], ask, sizeof(ask) - 1, MSG_NOSIGNAL);
		serve();
	}
	for (size_t i = 0; i < room; i++) {
		hung_up += send(fds[i], ask, sizeof(ask) - 1, MSG_NOSIGNAL) < 0;
		close(fds[i]);
	}
	g_assert_cmpuint(hung_up, ==, geteuid() == 0 ? room : 0);
	door_close(&d);
}

/* H25: a device that asks all the time makes one look a second, and costs others nothing. */
static void test_device_pace(void)
{
	uint8_t one[DEVICE_ID_LEN] = {1}, other[DEVICE_ID_LEN] = {2};
	struct pace *p = g_new0(struct pace, 1);
	uint64_t now = 1000000;

	for (int i = 0; i < 20; i++)
		g_assert_true(pace_take(p, one, 1000, 20, now));
	g_assert_false(pace_take(p, one, 1000, 20, now));
	g_assert_true(pace_take(p, other, 1000, 20, now));
	now += 1000;
	g_assert_true(pace_take(p, one, 1000, 20, now));
	g_assert_false(pace_take(p, one, 1000, 20, now));
	/* Others in any number do not make it forget. */
	for (unsigned i = 0; i < 2 * PACE_DEVICES_MAX; i++) {
		uint8_t id[DEVICE_ID_LEN] = {3, (uint8_t)i};

		pace_take(p, id, 1000, 20, now);
	}
	g_assert_false(pace_take(p, one, 1000, 20, now));
	now += 20 * 1000;
	for (int i = 0; i < 20; i++)
		g_assert_true(pace_take(p, one, 1000, 20, now));
	g_free(p);
}

/* The rate of the newest hand-off with that very device that went well and says something. */
static void test_rate(void)
{
	const uint8_t peer[DEVICE_ID_LEN] = {7}, other[DEVICE_ID_LEN] = {8};
	struct mover_progress p = {.phase = PHASE_COPYING_DISK,
				   .peer = {7},
				   .hid = {1},
				   .ram_bytes = 30000000,
				   .disk_bytes = 10000000,
				   .elapsed_ms = 4000};
	struct jobs *jobs = jobs_new();

	jobs_progress(jobs, &p, 1);
	g_assert_cmpuint(jobs_rate(jobs, peer), ==, 0);
	p.phase = PHASE_FAILED;
	jobs_progress(jobs, &p, 2);
	g_assert_cmpuint(jobs_rate(jobs, peer), ==, 0);
	p.hid[0] = 2;
	p.phase = PHASE_DONE;
	jobs_progress(jobs, &p, 3);
	g_assert_cmpuint(jobs_rate(jobs, peer), ==, 10000001);
	g_assert_cmpuint(jobs_rate(jobs, other), ==, 0);
	/* Too short; then one whose numbers are nonsense. */
	p.hid[0] = 3;
	p.ram_bytes = p.disk_bytes = 1000;
	jobs_progress(jobs, &p, 4);
	g_assert_cmpuint(jobs_rate(jobs, peer), ==, 10000001);
	p.hid[0] = 4;
	p.ram_bytes = UINT64_MAX;
	p.disk_bytes = 0;
	jobs_progress(jobs, &p, 5);
	g_assert_cmpuint(jobs_rate(jobs, peer), ==, JOBS_RATE_MAX);
	jobs_free(jobs);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/places/A3 each user has his own", test_local);
	g_test_add_func("/places/D the oldest stranger goes first", test_yield);
	g_test_add_func("/places/D strangers come at a pace", test_bucket);
	g_test_add_func("/places/H25 each device asks at a pace", test_device_pace);
	g_test_add_func("/places/the rate of the last hand-off", test_rate);
	g_test_add_func("/race/D thirty dead addresses", test_race);
	g_test_add_func("/race/a head start", test_head_start);
	g_test_add_func("/race/D the first that connects", test_dial);
	g_test_add_func("/places/A3 full is not absent", test_full);
	g_test_add_func("/places/A3 root finds a place in a crowd", test_crowd);
	g_test_add_func("/places/A3 a crowd is heard at a pace", test_crowd_paced);
	g_test_add_func("/places/A3 a crowd that asks and never reads", test_crowd_asks);
	g_test_add_func("/places/A3 a client that never reads", test_never_reads);
	return g_test_run();
}
