/* SPDX-License-Identifier: Apache-2.0 */
/* A small poll loop over kithd's connections and the workers' socketpairs. */
#include "mover/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/user.h"
#include "mover/plan.h"
#include "mover/recover.h"
#include "mover/supervisor-internal.h"
#include "mover/worker.h"

/* -- connections -- */

/* Progress goes to everyone; a dial only to one, or the destination would see two. */
static void send_event(struct supervisor *s, const struct child *c, const struct ipc_msg *m)
{
	for (size_t i = 0; i < CONNS_MAX; i++) {
		size_t at = c->owner < CONNS_MAX ? (c->owner + i) % CONNS_MAX : i;

		if (s->conns[at].fd < 0 || !(s->conns[at].who & WHO_KITHD))
			continue;
		ipc_send(s->conns[at].fd, m->op, IPC_FLAG_EVENT, 0, m->body, m->len, -EBADF);
		if (m->op == MOVER_EVENT_DIAL)
			return;
	}
}

static void remember(struct supervisor *s, const struct mover_progress *p)
{
	if (s->ended_count == ENDED_MAX) {
		memmove(s->ended, s->ended + 1, sizeof(s->ended[0]) * (ENDED_MAX - 1));
		s->ended_count--;
	}
	s->ended[s->ended_count++] = *p;
}

static void conn_close(struct supervisor *s, size_t conn)
{
	close(s->conns[conn].fd);
	s->conns[conn].fd = -EBADF;
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (s->pending[i].used && s->pending[i].conn == conn)
			s->pending[i].conn = CONNS_MAX;
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *c = &s->children[i];

		if (c->kind != CHILD_WORKER || c->owner != conn)
			continue;
		c->owner = CONNS_MAX;
		ipc_send(c->fd, WORKER_OP_LONELY, IPC_FLAG_EVENT, 0, NULL, 0, -EBADF);
	}
}

static void on_conn(struct supervisor *s, size_t conn)
{
	struct ipc_msg m = {.fd = -EBADF};
	int r = ipc_recv(s->conns[conn].fd, s->buf, &m);

	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		conn_close(s, conn);
		return;
	}
	supervisor_request(s, conn, &m);
	ipc_msg_release(&m);
}

/* A free place, CONNS_MAX = none. */
static size_t free_conn(const struct supervisor *s)
{
	size_t slot = 0;

	while (slot < CONNS_MAX && s->conns[slot].fd >= 0)
		slot++;
	return slot;
}

static void turn_away(struct supervisor *s, const struct ipc_peer *peer, int fd)
{
	uint64_t now = worker_now_ms();

	close(fd);
	if (now < s->complain_at)
		return;
	s->complain_at = now + COMPLAIN_MS;
	log_warning("mover",
		    "A program of uid %u connected, which may ask for nothing here, or there is no "
		    "room; more of this is not logged for a minute.",
		    (unsigned)peer->uid);
}

/* What the peer may ask for, 0 = nothing. Root could become both. */
static unsigned who_is(const struct supervisor *s, uid_t uid)
{
	uid_t owner;

	return (uid == 0 || uid == s->kithd_uid ? WHO_KITHD : 0u) |
	       (uid == 0 || (user_find(s->config.owner, &owner) && uid == owner) ? WHO_OWNER : 0u);
}

/* The owner's programs leave places for kithd (F11). */
static bool has_place(const struct supervisor *s, unsigned who)
{
	size_t n = 0;

	for (size_t i = 0; i < CONNS_MAX; i++)
		n += s->conns[i].fd >= 0 && s->conns[i].who == WHO_OWNER;
	return who && (who != WHO_OWNER || n < OWNER_CONNS_MAX);
}

/* Whoever may ask for nothing takes no place (F11). */
static void on_listen(struct supervisor *s)
{
	struct ipc_peer peer;
	int fd;

	for (int i = 0; i < ACCEPTS_PER_TURN && ipc_accept(s->listen_fd, &peer, &fd) == 0; i++) {
		unsigned who = who_is(s, peer.uid);
		size_t slot = has_place(s, who) ? free_conn(s) : CONNS_MAX;

		if (slot == CONNS_MAX)
			turn_away(s, &peer, fd);
		else
			s->conns[slot] = (struct conn){fd, who};
	}
}

/* -- messages and ends of children -- */

static void on_child_reply(struct supervisor *s, size_t child, const struct ipc_msg *m)
{
	for (size_t i = 0; i < PENDING_MAX; i++) {
		struct pending *p = &s->pending[i];

		if (!p->used || p->child != child || p->child_serial != m->serial || p->op != m->op)
			continue;
		p->used = false;
		supervisor_reply(s, p->conn, p->op, p->serial, m->flags & IPC_FLAG_ERROR, m->body,
				 m->len);
	}
}

static void on_child_message(struct supervisor *s, size_t child, const struct ipc_msg *m)
{
	struct child *c = &s->children[child];
	struct rbuf r = rbuf_init(m->body, m->len);
	struct mover_progress p;

	if (m->flags & IPC_FLAG_REPLY) {
		if (c->kind == CHILD_VMS && !(m->flags & IPC_FLAG_ERROR))
			listing_complete(&s->sizes, s->buf + IPC_HEADER_LEN, m->len);
		c->answered = true;
		on_child_reply(s, child, m);
		return;
	}
	if (c->kind == CHILD_CONSOLE && m->op == MOVER_EVENT_DIAL)
		send_event(s, c, m);
	if (c->kind != CHILD_WORKER || !(m->flags & IPC_FLAG_EVENT))
		return;
	if (m->op == MOVER_EVENT_PROGRESS && mover_progress_get(&r, &p) == 0) {
		c->last = p;
		c->progressed = true;
	}
	send_event(s, c, m);
}

/* Reads what is there; false when the child closed its end. */
static bool on_child(struct supervisor *s, size_t child)
{
	for (;;) {
		struct ipc_msg m = {.fd = -EBADF};
		int r = ipc_recv(s->children[child].fd, s->buf, &m);

		if (r == -EAGAIN)
			return true;
		if (r <= 0)
			return false;
		on_child_message(s, child, &m);
		ipc_msg_release(&m);
	}
}

/* A worker that died without a last word: its hand-off failed here, recovery knows the rest. */
static void last_word(struct supervisor *s, struct child *c)
{
	uint8_t body[2048];
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct ipc_msg m = {.op = MOVER_EVENT_PROGRESS, .fd = -EBADF};

	if (c->last.phase != PHASE_DONE && c->last.phase != PHASE_FAILED) {
		memcpy(c->last.hid, c->hid, HID_LEN);
		c->last.phase = PHASE_FAILED;
		kerr_set(
			&c->last.error, EIO, KCODE_INTERRUPTED,
			"The hand-off's worker died; Kith now makes sure that the VM is in order.");
		if (mover_progress_put(&w, &c->last) == 0) {
			m.body = body;
			m.len = w.len;
			send_event(s, c, &m);
		}
	}
	remember(s, &c->last);
}

static void child_end(struct supervisor *s, size_t child, int status)
{
	struct child *c = &s->children[child];
	struct kerr err = {0};
	bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	on_child(s, child);
	kerr_set(&err, EIO, KCODE_NOT_READY, "%s",
		 c->kind == CHILD_WORKER    ? "The hand-off's worker died."
		 : c->kind == CHILD_CONSOLE ? "The console's process ended."
		 : c->kind == CHILD_OFFERS  ? "libvirt at the destination does not answer."
					    : "libvirt on this device does not answer.");
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (s->pending[i].used && s->pending[i].child == child) {
			s->pending[i].used = false;
			supervisor_reply_error(s, s->pending[i].conn, s->pending[i].op,
					       s->pending[i].serial, &err);
		}
	if (c->kind == CHILD_WORKER) {
		last_word(s, c);
		if (!clean) {
			log_notice("mover", "A worker ended with status %#x; recovery follows.",
				   (unsigned)status);
			s->recover_at = worker_now_ms();
			s->recovering_again = false;
		}
	}
	if (c->kind == CHILD_RECOVER)
		s->recovered = true;
	if (c->kind == CHILD_RECOVER && !clean && !s->recover_at) {
		s->recover_at = worker_now_ms() + RECOVER_MS;
		s->recovering_again = true;
	}
	close(c->fd);
	*c = (struct child){0};
}

/* The first time that it is asked what its QEMU can do, libvirtd may need longer than anybody waits
 * for a plan: so that time is now. */
static void warm_up(struct supervisor *s)
{
	char *argv[] = {(char *)"kith-mover", (char *)"-c", s->config_path,
			(char *)PLAN_MODE_OFFERS, NULL};
	struct child *c;

	if (!s->stopping)
		(void)child_start(s, CHILD_WARM, argv, &c);
}

static void reap(struct supervisor *s)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid <= 0)
			return;
		for (size_t i = 0; i < CHILDREN_MAX; i++)
			if (s->children[i].kind != CHILD_NONE && s->children[i].pid == pid) {
				bool before = s->recovered;

				child_end(s, i, status);
				if (!before && s->recovered)
					warm_up(s);
			}
	}
}

/* -- time and signals -- */

static void start_recovery(struct supervisor *s, uint64_t now)
{
	char *argv[] = {(char *)"kith-mover", (char *)"-c", s->config_path,
			(char *)(uintptr_t)(s->recovering_again ? "--recover-again" : "--recover"),
			NULL};
	struct child *c;

	if (!s->recover_at || now < s->recover_at || child_count(s, CHILD_RECOVER) || s->stopping)
		return;
	s->recover_at = child_start(s, CHILD_RECOVER, argv, &c) < 0 ? now + RECOVER_MS : 0;
}

/* Orderly: hand-offs before their decision are stopped, the others finish or are recovered. */
static void begin_stop(struct supervisor *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	s->stop_at = worker_now_ms() + STOP_MS;
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (s->children[i].kind == CHILD_WORKER)
			ipc_send(s->children[i].fd, WORKER_OP_STOP, IPC_FLAG_EVENT, 0, NULL, 0,
				 -EBADF);
		else if (s->children[i].kind != CHILD_NONE)
			kill(s->children[i].pid, SIGKILL);
}

/* -- configuration -- */

/* Children are started with a copy of the file as it was taken here, so that one which is just
 * being edited, or waits for a restart, is not theirs. */
static int copy_config(struct supervisor *s, const char *text)
{
	_cleanup_close_ int fd = -EBADF;
	char dir[128];
	int r;

	snprintf(dir, sizeof(dir), "%s/mover", s->config.run);
	/* 0711: QEMU's user passes through to the folder of a hand-off, whose name it is told. */
	r = dir_open(dir, 0711, &fd);
	return r < 0 ? r : file_write_atomic(fd, "kith.conf", text, strlen(text), 0644);
}

static int first_config(struct supervisor *s)
{
	_cleanup_free_ char *text = NULL;
	struct config fresh;
	int r = config_read(s->config.path, &fresh, &text, NULL);

	if (r < 0)
		return r;
	s->config = fresh;
	r = config_run_path(&s->config, CONFIG_MOVER_COPY, s->config_path, sizeof(s->config_path));
	return r < 0 ? r : copy_config(s, text);
}

/* As a whole or not at all: the children read a file, not what became of it here. */
static void next_config(struct supervisor *s)
{
	_cleanup_free_ char *text = NULL;
	struct config fresh, next = s->config;
	struct kerr err = {0};
	int r = config_read(s->config.path, &fresh, &text, &err);

	if (r == 0) {
		config_renew(&next, &fresh, CONFIG_MOVER);
		memcpy(s->config.later, next.later, sizeof(next.later));
		if (next.later[0])
			r = kerr_set(&err, EAGAIN, KCODE_NOT_READY,
				     "%s was changed, and is not taken before a restart because of "
				     "%s.",
				     next.path, next.later);
	}
	if (r == 0)
		r = copy_config(s, text);
	if (r < 0) {
		log_error("config", "%s What was in force before stays in force.",
			  err.code == KCODE_OK ? strerror(-r) : err.text);
		return;
	}
	s->config = next;
	log_notice("config", "%s was read again.", next.path);
}

static void on_signal(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(s);
		else if (info.ssi_signo == SIGHUP)
			next_config(s);
		else
			begin_stop(s);
	}
}

/* A libvirt call may hang as long as a QEMU does. Recovery may die at any moment, and is repeated.
 */
static void supervisor_tick(struct supervisor *s)
{
	static const uint64_t patience[] = {
		[CHILD_NONE] = UINT64_MAX,     [CHILD_WORKER] = UINT64_MAX,
		[CHILD_CONSOLE] = UINT64_MAX,  [CHILD_VMS] = VMS_MS,
		[CHILD_RECOVER] = RECOVERY_MS, [CHILD_DISKS] = DISKS_MS,
		[CHILD_OFFERS] = OFFERS_MS,    [CHILD_PLAN] = PLAN_MS,
		[CHILD_ROAM] = ROAM_MS,	       [CHILD_WARM] = RECOVERY_MS,
	};
	uint64_t now = worker_now_ms();

	start_recovery(s, now);
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (now - s->children[i].started_ms > patience[s->children[i].kind])
			kill(s->children[i].pid, SIGKILL);
}

/* With no child to look after and no recovery to come it sleeps until somebody calls. */
static int supervisor_wait_ms(const struct supervisor *s)
{
	bool idle = !s->recover_at && !s->stopping;

	for (size_t i = 0; i < CHILDREN_MAX; i++)
		idle = idle && s->children[i].kind == CHILD_NONE;
	return idle ? -1 : TICK_MS;
}

static bool supervisor_stopped(const struct supervisor *s)
{
	return s->stopping && (child_count(s, CHILD_WORKER) == 0 || worker_now_ms() >= s->stop_at);
}

/* What the loop waits for; -1 in poll(2) stands for nobody. */
union watched {
	struct {
		struct pollfd signal, listen, conns[CONNS_MAX], children[CHILDREN_MAX];
	};
	struct pollfd all[2 + CONNS_MAX + CHILDREN_MAX];
};

static void watch_all(const struct supervisor *s, union watched *ret)
{
	ret->signal.fd = s->signal_fd;
	ret->listen.fd = s->listen_fd;
	for (size_t i = 0; i < CONNS_MAX; i++)
		ret->conns[i].fd = s->conns[i].fd;
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		ret->children[i].fd = s->children[i].kind ? s->children[i].fd : -1;
	for (size_t i = 0; i < ARRAY_SIZE(ret->all); i++)
		ret->all[i].events = POLLIN;
}

static void supervisor_run(struct supervisor *s)
{
	while (!supervisor_stopped(s)) {
		union watched w = {0};
		int wait_ms = notify_turn(supervisor_wait_ms(s), "Ready.");

		watch_all(s, &w);
		if (poll(w.all, ARRAY_SIZE(w.all), wait_ms) < 0 && errno != EINTR)
			return;
		for (size_t i = 0; i < CONNS_MAX; i++)
			if (w.conns[i].revents && s->conns[i].fd == w.conns[i].fd)
				on_conn(s, i);
		/* A child that closed its end is about to be reaped: no busy loop until then. */
		for (size_t i = 0; i < CHILDREN_MAX; i++)
			if (w.children[i].revents && s->children[i].kind && !on_child(s, i))
				usleep(1000);
		if (w.signal.revents)
			on_signal(s);
		if (w.listen.revents)
			on_listen(s);
		supervisor_tick(s);
	}
}

static int open_all(struct supervisor *s)
{
	struct passwd *kithd = getpwnam(KITHD_USER);
	char path[160];
	sigset_t set;
	int r;

	s->kithd_uid = kithd ? kithd->pw_uid : 0;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	worker_ignore(SIGPIPE);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return -errno;
	r = first_config(s);
	if (r == 0)
		r = config_run_path(&s->config, MOVER_SOCKET, path, sizeof(path));
	/* Whoever is neither kithd, owner nor root is closed at once, by SO_PEERCRED. */
	return r < 0 ? r : ipc_listen(path, 0666, &s->listen_fd);
}

int supervisor_main(const struct config *config)
{
	static struct supervisor s;
	int r;

	log_setup("kith-mover");
	s.config = *config;
	s.recover_at = 1; /* at once */
	for (size_t i = 0; i < CONNS_MAX; i++)
		s.conns[i].fd = -EBADF;
	r = open_all(&s);
	if (r < 0) {
		log_error("mover", "Cannot start: %s.", strerror(-r));
		return 1;
	}
	log_info("mover", "Ready.");
	supervisor_run(&s);
	log_info("mover", "Stopped.");
	return 0;
}
