/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's display: a private socket to which a viewer connects, and the viewer. The socket stays
 * where it is while the VM moves. */
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "ui-tui/console.h"
#include "ui-tui/tool.h"

#define VIEWER "remote-viewer"
#define VIEWER_PATH "/usr/bin/remote-viewer"
#define TURN_MS 200
#define QUIET_MS 2000 /* a viewer that ends may have seen the VM go before we did */

struct viewer {
	struct console *c;
	char folder[96], path[108];
	int listener; /* at `path` */
	int loopback; /* for viewers that know no unix sockets; -EBADF */
	uint16_t port;
	pid_t pid;  /* 0: none runs */
	bool start; /* one is to be started */
};

/* -- sockets -- */

static int make_folder(struct viewer *v, struct kerr *err)
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (!run || run[0] != '/' || strlen(run) > 60)
		run = "/tmp";
	snprintf(v->folder, sizeof(v->folder), "%s/kith-XXXXXX", run);
	if (!mkdtemp(v->folder)) {
		v->folder[0] = '\0';
		return kerr_set(err, errno, KCODE_FAILED, "No folder can be made in %s: %s.", run,
				strerror(errno));
	}
	return 0;
}

/* Below a folder that nobody else may enter. */
static int listen_unix(struct viewer *v, struct kerr *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	snprintf(v->path, sizeof(v->path), "%s/display", v->folder);
	memcpy(sa.sun_path, v->path, strlen(v->path) + 1);
	v->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (v->listener < 0 || bind(v->listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(v->listener, 16) < 0)
		return kerr_set(err, errno, KCODE_FAILED, "No socket can be made at %s: %s.",
				v->path, strerror(errno));
	return 0;
}

static int listen_loopback(struct viewer *v, struct kerr *err)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(sa);

	v->loopback = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (v->loopback < 0 || bind(v->loopback, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(v->loopback, 16) < 0 ||
	    getsockname(v->loopback, (struct sockaddr *)&sa, &len) < 0)
		return kerr_set(err, errno, KCODE_FAILED, "No loopback port can be had: %s.",
				strerror(errno));
	v->port = ntohs(sa.sin_port);
	return 0;
}

/* Whose socket is connected to our loopback port from `port`, by the kernel's list: no password
 * is needed then, and nobody else on this machine gets in. */
static bool is_ours(uint16_t from, uint16_t to)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/net/tcp", "re");
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		unsigned host, local, remote, uid;

		if (sscanf(line, " %*u: %x:%x %*x:%x %*x %*x:%*x %*x:%*x %*x %u", &host, &local,
			   &remote, &uid) == 4 &&
		    host == htonl(INADDR_LOOPBACK) && local == from && remote == to &&
		    uid == getuid())
			return true;
	}
	return false;
}

static bool may_enter(const struct viewer *v, int listener, const struct sockaddr_in *from)
{
	return listener == v->listener || is_ours(ntohs(from->sin_port), v->port);
}

static void on_viewer(struct viewer *v, int listener)
{
	struct sockaddr_storage from = {0};
	socklen_t len = sizeof(from);
	_cleanup_close_ int fd =
		accept4(listener, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct kerr err = {0};

	if (fd < 0 || !may_enter(v, listener, (const struct sockaddr_in *)&from))
		return;
	if (console_client_attach(&v->c->cli->config, v->c->place.hid, fd, &err) < 0)
		fprintf(stderr, "kith: %s\n", err.text);
}

/* -- the viewer -- */

static void uri_of(const struct viewer *v, bool loopback, char *ret, size_t size)
{
	if (loopback)
		snprintf(ret, size, "vnc://127.0.0.1:%u", v->port);
	else
		snprintf(ret, size, "%s+unix://%s", mover_display_to_string(v->c->display),
			 v->path);
}

/* As whoever runs this, in his session. */
static int start_viewer(struct viewer *v, struct kerr *err)
{
	bool loopback = v->c->display == MOVER_DISPLAY_VNC;
	char uri[160], title[NAME_MAX_LEN + 16];
	char *argv[] = {(char *)VIEWER, (char *)"--title", title, uri, NULL};
	int r = loopback && v->loopback < 0 ? listen_loopback(v, err) : 0;

	if (r < 0)
		return r;
	uri_of(v, loopback, uri, sizeof(uri));
	snprintf(title, sizeof(title), "%s", v->c->vm);
	r = -posix_spawn(&v->pid, VIEWER_PATH, NULL, NULL, argv, environ);
	return r < 0 ? kerr_set(err, -r, KCODE_FAILED, "%s cannot be started: %s.", VIEWER_PATH,
				strerror(-r))
		     : 0;
}

static void stop_viewer(struct viewer *v)
{
	if (!v->pid)
		return;
	kill(v->pid, SIGTERM);
	while (waitpid(v->pid, NULL, 0) < 0 && errno == EINTR)
		;
	v->pid = 0;
}

/* The viewer that we started is closed. */
static bool viewer_ended(struct viewer *v)
{
	if (!v->pid || waitpid(v->pid, NULL, WNOHANG) <= 0)
		return false;
	v->pid = 0;
	return true;
}

static bool has_session(void)
{
	return getenv("DISPLAY") || getenv("WAYLAND_DISPLAY");
}

static void tell(const struct viewer *v)
{
	const struct cli *cli = v->c->cli;
	const char *device = v->c->place.here ? cli->config.name : v->c->place.device_name;
	char uri[160];

	uri_of(v, false, uri, sizeof(uri));
	if (cli->json) {
		cli_print_json(json_pack("{s:s, s:s, s:s, s:s}", "vm", v->c->vm, "device", device,
					 "uri", uri, "socket", v->path));
		return;
	}
	fprintf(stderr, "\"%s\" is on \"%s\".\n", v->c->vm, device);
	if (v->start)
		return;
	puts(uri);
	fflush(stdout);
	fputs("Ctrl-C closes it.\n", stderr);
}

static void tell_missing(bool print)
{
	if (print)
		return;
	fprintf(stderr, "%s\n",
		has_session() ? "There is no viewer here: install the package virt-viewer, or "
				"connect another one to this socket."
			      : "There is no desktop session here (DISPLAY, WAYLAND_DISPLAY): "
				"connect a viewer to this socket.");
}

/* -- life -- */

/* True when the display ended; `v->c->life` then says why. */
static bool turn(struct viewer *v, int timeout_ms)
{
	struct pollfd p[] = {
		{.fd = v->listener, .events = POLLIN},
		{.fd = v->loopback, .events = POLLIN},
		{.fd = v->c->life, .events = POLLIN},
	};

	if (poll(p, ARRAY_SIZE(p), timeout_ms) < 0)
		return false;
	if (p[0].revents)
		on_viewer(v, v->listener);
	if (p[1].revents)
		on_viewer(v, v->loopback);
	return p[2].revents != 0;
}

static bool wants_to_leave(void *ctx, int timeout_ms)
{
	(void)ctx;
	poll(NULL, 0, timeout_ms);
	return console_stop;
}

/* True when the display ended by itself, false when somebody closed it. */
static bool watch(struct viewer *v)
{
	while (!console_stop) {
		if (turn(v, TURN_MS))
			return true;
		if (!viewer_ended(v))
			continue;
		for (int left = QUIET_MS; left > 0; left -= TURN_MS)
			if (turn(v, TURN_MS))
				return true;
		return false;
	}
	return false;
}

static int run(struct viewer *v, struct kerr *err)
{
	int r = 0;

	for (;;) {
		if (r == 0 && v->start && !v->pid)
			r = start_viewer(v, err);
		if (r < 0)
			return console_stop ? 0 : r;
		tell(v);
		if (!watch(v))
			return 0;
		console_client_end(v->c->life, &v->c->end);
		r = console_follow(v->c, wants_to_leave, v, err);
		viewer_ended(v);
	}
}

int console_viewer(struct console *c, bool print, struct kerr *err)
{
	struct viewer v = {.c = c, .listener = -EBADF, .loopback = -EBADF};
	int r = make_folder(&v, err);

	v.start = !print && !c->cli->json && has_session() && tool_there(VIEWER);
	if (r == 0)
		r = listen_unix(&v, err);
	if (r == 0 && !v.start)
		tell_missing(print || c->cli->json);
	if (r == 0)
		r = run(&v, err);
	stop_viewer(&v);
	closep(&v.listener);
	closep(&v.loopback);
	if (v.path[0])
		unlink(v.path);
	if (v.folder[0])
		rmdir(v.folder);
	return r;
}
