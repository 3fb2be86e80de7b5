/* SPDX-License-Identifier: Apache-2.0 */
/* One poll loop that never blocks: a request is answered when its copy stands as it should. */
#include "mover/warden-server.h"

#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/notify.h"
#include "mover/warden-core.h"
#include "mover/warden-talk.h"

#define MOVER_USER "kith-mover"
#define CLIENTS_MAX 32
#define ROUND_MS 1000
#define IDLE_ROUND_MS 10000 /* while nothing is held or bound, and changed markers are told */
#define WATCH_MS 10	    /* between two looks at a frozen copy */
#define STEP_MS 1	    /* ... while somebody waits */
#define WORD_MS 2000

/* A client has at most one request under way. */
struct client {
	int fd; /* -1 = free */
	bool waits;
	uint16_t op;
	uint32_t serial;
	struct warden_vm vm;
	uint64_t ticket; /* policyd's answer that has to come first, 0 = none */
	uint64_t word_until, until;
};

struct server {
	struct warden warden;
	struct warden_talk *talk;
	uid_t mover;
	int listen_fd, notify_fd;
	uint64_t round_at;
	struct client clients[CLIENTS_MAX];
	uint8_t in[IPC_MAX_FRAME];
};

static volatile sig_atomic_t stop_requested;

static void on_stop(int signo _unused_)
{
	stop_requested = 1;
}

/* Only so that poll() ends and qemu_reap() runs. */
static void on_child(int signo _unused_)
{
}

static void on_alarm(void *ctx, const uint8_t uuid[UUID_LEN])
{
	struct server *s = ctx;
	char name[NAME_MAX_LEN + 1], text[KERR_TEXT_MAX];

	warden_name(&s->warden, uuid, name);
	snprintf(text, sizeof(text),
		 "Somebody woke the frozen copy of \"%s\" on this device; it was stopped again.",
		 name);
	warden_talk_alarm(s->talk, uuid, text);
}

/* -- answers -- */

static void server_reply(struct client *c, int r, enum warden_copy copy, const struct kerr *err)
{
	uint8_t body[KERR_TEXT_MAX + 8];
	struct wbuf w = wbuf_init(body, sizeof(body));

	if (r < 0)
		kerr_put(&w, err);
	else if (c->op != WARDEN_OP_PING)
		record_put(&w, &warden_answer_record, &(struct warden_answer){copy});
	c->waits = false;
	ipc_send(c->fd, c->op, IPC_FLAG_REPLY | (r < 0 ? IPC_FLAG_ERROR : 0), c->serial, body,
		 w.len, -EBADF);
}

/* Answers if the copy stands as it should, or will not in time. */
static void go_on(struct server *s, struct client *c)
{
	enum warden_copy copy = WARDEN_COPY_FREE;
	struct kerr err = {0};
	uint64_t now = clock_ms();
	int r;

	if (c->ticket && now < c->word_until)
		return;
	r = warden_apply(&s->warden, c->vm.uuid,
			 c->op == WARDEN_OP_FREEZE ? WARDEN_FREEZE : WARDEN_SETTLE,
			 WARDEN_WORD_NONE, &copy, &err);
	if (r == -EAGAIN && now < c->until)
		return;
	if (r == -EAGAIN)
		r = kerr_set(&err, ETIMEDOUT, KCODE_NOT_READY,
			     "The VM's process did not stop or end in time.");
	server_reply(c, r, copy, &err);
}

/* -- requests -- */

static int op_ping(void *ctx, struct ipc_msg *msg _unused_, struct rbuf *r, struct wbuf *w _unused_,
		   struct kerr *err)
{
	(void)ctx;
	return rbuf_end(r) < 0 ? kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "Malformed.") : 0;
}

static int op_copy(void *ctx, struct ipc_msg *msg _unused_, struct rbuf *r, struct wbuf *w _unused_,
		   struct kerr *err)
{
	struct client *c = ctx;

	if (record_get(r, &warden_vm_record, &c->vm) < 0 || rbuf_end(r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "Malformed.");
	c->waits = true;
	return 0;
}

static const struct ipc_op ops[] = {
	{WARDEN_OP_PING, "ping", 1, 0, false, op_ping},
	{WARDEN_OP_FREEZE, "freeze", 1, UUID_LEN, false, op_copy},
	{WARDEN_OP_SETTLE, "settle", 1, UUID_LEN, false, op_copy},
};

static void request(struct server *s, struct client *c, struct ipc_msg *msg)
{
	struct rbuf r = rbuf_init(msg->body, msg->len);
	struct kerr err = {0};
	const struct ipc_op *op = ipc_op_check(ops, ARRAY_SIZE(ops), 1, msg, &err);
	uint64_t now = clock_ms();
	int e;

	c->op = msg->op;
	c->serial = msg->serial;
	e = op ? op->handle(c, msg, &r, NULL, &err) : -EBADMSG;
	if (e < 0 || !c->waits) {
		server_reply(c, e, WARDEN_COPY_FREE, &err);
		return;
	}
	/* Whether the other side's word is here decides about the end of a copy. */
	c->ticket = c->op == WARDEN_OP_SETTLE ? warden_talk_ask(s->talk) : 0;
	c->word_until = now + WORD_MS;
	c->until = now + (c->ticket ? WORD_MS : 0) + HOLD_STOP_MS;
	go_on(s, c);
}

static void drop(struct client *c)
{
	closep(&c->fd);
	*c = (struct client){.fd = -EBADF};
}

static void serve(struct server *s, struct client *c)
{
	struct ipc_msg msg = {.fd = -EBADF};
	int r = ipc_recv(c->fd, s->in, &msg);

	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r <= 0 || msg.flags || c->waits)
		drop(c);
	else
		request(s, c, &msg);
	ipc_msg_release(&msg);
}

/* Whoever may not ask takes no place away from those who may. */
static void accept_all(struct server *s)
{
	struct ipc_peer peer;
	int fd;

	while (ipc_accept(s->listen_fd, &peer, &fd) == 0) {
		size_t i = 0;

		while (i < CLIENTS_MAX && s->clients[i].fd >= 0)
			i++;
		if ((peer.uid != 0 && peer.uid != s->mover) || i == CLIENTS_MAX) {
			log_warning("warden", "A connection of user %u was closed.", peer.uid);
			close(fd);
			continue;
		}
		s->clients[i] = (struct client){.fd = fd};
	}
}

/* -- loop -- */

static void hear_word(struct server *s)
{
	_cleanup_free_ struct policyd_fence *list = NULL;
	size_t n = 0;
	uint64_t ticket = warden_talk_take(s->talk, &list, &n);

	warden_obey(&s->warden, list, n);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (s->clients[i].ticket <= ticket)
			s->clients[i].ticket = 0;
}

static void round_now(struct server *s)
{
	bool watched, bound;
	char path[160];

	snprintf(path, sizeof(path), "%s/" CUSTODY_MARKER_DIR, s->warden.config.state);
	/* Once more does no harm, and the folder may be a new one. */
	watched = inotify_add_watch(s->notify_fd, path,
				    IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_ONLYDIR) >= 0;
	bound = warden_round(&s->warden);
	if (holds_any(&s->warden.holds))
		warden_talk_ask(s->talk);
	s->round_at =
		clock_ms() +
		(watched && !bound && !holds_any(&s->warden.holds) ? IDLE_ROUND_MS : ROUND_MS);
}

static int wait_ms(const struct server *s)
{
	uint64_t now = clock_ms();

	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (s->clients[i].waits)
			return STEP_MS;
	if (holds_any(&s->warden.holds))
		return WATCH_MS;
	return s->round_at > now ? (int)(s->round_at - now) : 0;
}

static const char *status_of(const struct server *s)
{
	return holds_any(&s->warden.holds) ? "A copy that may not run is frozen." : "Ready.";
}

static void server_tick(struct server *s, const struct pollfd *fds)
{
	uint8_t events[4096];

	holds_watch(&s->warden.holds);
	if (fds[1].revents) {
		while (read(s->notify_fd, events, sizeof(events)) > 0)
			;
		warden_round(&s->warden);
		s->round_at = MIN_OF(s->round_at, clock_ms() + ROUND_MS);
	}
	if (fds[2].revents)
		hear_word(s);
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (fds[3 + i].revents)
			serve(s, &s->clients[i]);
		if (s->clients[i].waits)
			go_on(s, &s->clients[i]);
	}
	if (fds[0].revents)
		accept_all(s);
	if (clock_ms() >= s->round_at)
		round_now(s);
	qemu_reap();
}

static void server_run(struct server *s)
{
	while (!stop_requested) {
		struct pollfd fds[3 + CLIENTS_MAX] = {
			{.fd = s->listen_fd, .events = POLLIN},
			{.fd = s->notify_fd, .events = POLLIN},
			{.fd = warden_talk_fd(s->talk), .events = POLLIN},
		};

		for (size_t i = 0; i < CLIENTS_MAX; i++)
			fds[3 + i] = (struct pollfd){.fd = s->clients[i].fd, .events = POLLIN};
		if (poll(fds, ARRAY_SIZE(fds), notify_turn(wait_ms(s), status_of(s))) < 0)
			for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
				fds[i].revents = 0;
		server_tick(s, fds);
	}
}

static int setup_signals(void)
{
	struct sigaction stop = {.sa_handler = on_stop}, child = {.sa_handler = on_child},
			 ignore = {.sa_handler = SIG_IGN};

	if (sigaction(SIGTERM, &stop, NULL) < 0 || sigaction(SIGINT, &stop, NULL) < 0 ||
	    sigaction(SIGCHLD, &child, NULL) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0)
		return -errno;
	return 0;
}

static int open_all(struct server *s, const struct config *config)
{
	const struct passwd *pw = getpwnam(MOVER_USER);
	char path[256];
	int r = warden_open(&s->warden, config);

	for (size_t i = 0; i < CLIENTS_MAX; i++)
		s->clients[i].fd = -EBADF;
	s->mover = pw ? pw->pw_uid : (uid_t)-1;
	s->warden.holds.alarm = on_alarm;
	s->warden.holds.ctx = s;
	s->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (r == 0 && s->notify_fd < 0)
		r = -errno;
	if (r == 0)
		r = setup_signals();
	if (r == 0)
		r = warden_talk_new(config, &s->talk);
	if (r == 0)
		r = config_run_path(config, WARDEN_SOCKET, path, sizeof(path));
	if (r < 0)
		return r;
	/* What was frozen is held again before anybody may ask. */
	round_now(s);
	holds_watch(&s->warden.holds);
	return ipc_listen(path, 0666, &s->listen_fd);
}

int warden_main(const struct config *config)
{
	static struct server s;
	int r = open_all(&s, config);

	if (r < 0) {
		log_error("warden", "Cannot start: %s.", strerror(-r));
		return 1;
	}
	log_info("warden", "Ready.");
	server_run(&s);
	log_info("warden", "Stopped.");
	return 0;
}
