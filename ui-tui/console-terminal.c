/* SPDX-License-Identifier: Apache-2.0 */
/* A serial console in this terminal. Ctrl-] leaves it, as with virsh; the terminal is put back
 * whatever ends this. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>

#include "ui-tui/console.h"

#define LEAVE_KEY 0x1d /* Ctrl-] */
#define PIECE_BYTES 4096

struct terminal {
	struct console *c;
	int vm;		       /* our end of the connection; -EBADF */
	bool raw, input, left; /* input: the keyboard has not ended */
	struct termios before;
	char typed[PIECE_BYTES]; /* bytes `at`..`len` wait for the VM */
	size_t at, len;
};

static bool has_raw(struct terminal *t)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &t->before) < 0)
		return false;
	raw = t->before;
	cfmakeraw(&raw);
	return tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == 0;
}

static void put_back(struct terminal *t)
{
	if (t->raw)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->before);
	t->raw = false;
}

/* A line between what the VM says; a raw terminal goes to no new line by itself. */
static void tell(const struct terminal *t, const char *verb)
{
	fprintf(stderr, "\r\n[\"%s\" %s on \"%s\"; Ctrl-] leaves the console]\r\n", t->c->vm, verb,
		t->c->place.here ? t->c->cli->config.name : t->c->place.device_name);
	fflush(stderr);
}

static int attach(struct terminal *t, struct kerr *err)
{
	_cleanup_close_ int own = -EBADF, theirs = -EBADF;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return kerr_set(err, errno, KCODE_FAILED, "There is no socket left.");
	own = pair[0];
	theirs = pair[1];
	r = console_client_attach(&t->c->cli->config, t->c->place.hid, theirs, err);
	if (r < 0)
		return r;
	if (fcntl(own, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	t->vm = TAKE_FD(own);
	t->at = t->len = 0;
	return 0;
}

static void read_keys(struct terminal *t)
{
	ssize_t n = read(STDIN_FILENO, t->typed, sizeof(t->typed));
	const char *leave = n > 0 ? memchr(t->typed, LEAVE_KEY, (size_t)n) : NULL;

	t->at = 0;
	t->len = leave ? (size_t)(leave - t->typed) : n > 0 ? (size_t)n : 0;
	t->left = leave != NULL;
	t->input = n > 0 || (n < 0 && errno == EINTR);
}

static void send_keys(struct terminal *t)
{
	ssize_t n = send(t->vm, t->typed + t->at, t->len - t->at, MSG_NOSIGNAL);

	if (n > 0)
		t->at += (size_t)n;
}

static void hang_up(struct terminal *t)
{
	closep(&t->vm);
	t->vm = -EBADF;
}

/* False: the VM says nothing more. */
static bool show(struct terminal *t)
{
	char piece[PIECE_BYTES];
	ssize_t n = recv(t->vm, piece, sizeof(piece), 0);

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	for (ssize_t at = 0, done; at < n; at += done) {
		done = write(STDOUT_FILENO, piece + at, (size_t)(n - at));
		if (done < 0 && errno == EINTR && !console_stop)
			done = 0;
		if (done < 0) {
			t->left = true;
			return true;
		}
	}
	return true;
}

/* Keys while nobody can take them: only the one that leaves counts. */
static bool wants_to_leave(void *ctx, int timeout_ms)
{
	struct terminal *t = ctx;
	struct pollfd p = {.fd = t->input ? STDIN_FILENO : -1, .events = POLLIN};

	if (poll(&p, 1, timeout_ms) > 0)
		read_keys(t);
	return t->left || console_stop;
}

/* True while it is open. */
static bool pump(struct terminal *t)
{
	bool waits = t->at < t->len;
	struct pollfd p[] = {
		{.fd = t->vm, .events = (short)(POLLIN | (waits ? POLLOUT : 0))},
		{.fd = t->input && !waits ? STDIN_FILENO : -1, .events = POLLIN},
		{.fd = t->c->life, .events = POLLIN},
	};

	if (poll(p, ARRAY_SIZE(p), -1) < 0)
		return true;
	if (p[1].revents)
		read_keys(t);
	if (t->at < t->len && t->vm >= 0)
		send_keys(t);
	if (p[0].revents & (POLLIN | POLLHUP | POLLERR) && !show(t))
		hang_up(t);
	/* What it said last is shown first. */
	return !p[2].revents || (p[0].revents & POLLIN && t->vm >= 0);
}

static int run(struct terminal *t, struct kerr *err)
{
	int r;

	for (;;) {
		while (!t->left && !console_stop && pump(t))
			;
		hang_up(t);
		if (t->left || console_stop)
			return 0;
		console_client_end(t->c->life, &t->c->end);
		r = console_follow(t->c, wants_to_leave, t, err);
		if (r == 0)
			r = attach(t, err);
		if (r < 0)
			return t->left || console_stop ? 0 : r;
		tell(t, "goes on");
	}
}

int console_terminal(struct console *c, struct kerr *err)
{
	struct terminal t = {.c = c, .vm = -EBADF, .input = true};
	int r = attach(&t, err);

	if (r < 0)
		return r;
	t.raw = has_raw(&t);
	tell(&t, "is");
	r = run(&t, err);
	put_back(&t);
	hang_up(&t);
	fputs("\n", stderr);
	return r;
}
