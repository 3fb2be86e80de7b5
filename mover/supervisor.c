/* SPDX-License-Identifier: Apache-2.0 */
/* A small poll loop over kithd's connections and the workers' socketpairs. */
#include "mover/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
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
#include "mover/console.h"
#include "mover/discs.h"
#include "mover/disks-client.h"
#include "mover/disks.h"
#include "mover/listing.h"
#include "mover/plan.h"
#include "mover/proto.h"
#include "mover/recover.h"
#include "mover/roam-client.h"
#include "mover/roam.h"
#include "mover/worker.h"

#define CONNS_MAX 8
#define ACCEPTS_PER_TURN 16
#define COMPLAIN_MS 60000
#define CHILDREN_MAX                                                                         \
	32 /* 16 hand-offs, 8 consoles, a listing, recovery, offers twice, a plan, two about \
	    * disks, a CPU */
#define WORKERS_MAX 16
#define CONSOLES_MAX 8
#define DISKS_MAX 2
#define OWNER_CONNS_MAX 2 /* of CONNS_MAX */
#define PENDING_MAX 64
#define ENDED_MAX 16
#define KITHD_USER "kith"

#define RECOVER_MS 3000
#define VMS_MS 8000
#define DISKS_MS 60000
#define OFFERS_MS 2000 /* the other device waits for 3 s in all */
#define PLAN_MS 5000
#define ROAM_MS 20000
#define RECOVERY_MS 40000
#define STOP_MS 5000
#define TICK_MS 500

enum who {
	WHO_KITHD = 1,
	WHO_OWNER = 2,
};

enum child_kind {
	CHILD_NONE,
	CHILD_WORKER,
	CHILD_CONSOLE,
	CHILD_VMS,
	CHILD_RECOVER,
	CHILD_DISKS,
	CHILD_OFFERS,
	CHILD_PLAN,
	CHILD_ROAM,
	CHILD_WARM,
};

struct conn {
	int fd; /* -1 = free */
	unsigned who;
};

struct child {
	enum child_kind kind;
	pid_t pid;
	int fd; /* our end of the socketpair */
	uint8_t hid[HID_LEN];
	size_t owner; /* connection that started it; CONNS_MAX = gone */
	uint64_t started_ms;
	bool progressed, answered;
	struct mover_progress last;
};

/* A request that a child has to answer. */
struct pending {
	bool used;
	size_t conn, child;
	uint16_t op;
	uint32_t serial, child_serial;
};

struct supervisor {
	struct config config;
	char config_path[160]; /* CONFIG_MOVER_COPY */
	uid_t kithd_uid;
	int listen_fd, signal_fd;
	struct conn conns[CONNS_MAX];
	struct child children[CHILDREN_MAX];
	struct pending pending[PENDING_MAX];
	uint32_t serial;
	struct mover_progress ended[ENDED_MAX];
	size_t ended_count;
	struct listing_memory sizes;
	uint64_t recover_at, stop_at, complain_at;
	bool recovering_again, recovered, stopping;
	uint8_t buf[IPC_MAX_FRAME], out[IPC_MAX_BODY];
};

/* What a handler gets: the supervisor and who asks. */
struct asker {
	struct supervisor *s;
	size_t conn;
	const struct ipc_msg *msg;
	bool deferred; /* a child will answer */
};

/* -- children -- */

static struct child *child_find(struct supervisor *s, enum child_kind kind,
				const uint8_t hid[HID_LEN])
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (s->children[i].kind == kind && memcmp(s->children[i].hid, hid, HID_LEN) == 0)
			return &s->children[i];
	return NULL;
}

static size_t child_count(const struct supervisor *s, enum child_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < CHILDREN_MAX; i++)
		n += s->children[i].kind == kind;
	return n;
}

static struct child *child_free_slot(struct supervisor *s)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (s->children[i].kind == CHILD_NONE)
			return &s->children[i];
	return NULL;
}

static int spawn(char *const argv[], int fd, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int r;

	sigemptyset(&none);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attr) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	r = -posix_spawn_file_actions_adddup2(&actions, fd, WORKER_FD);
	if (r == 0)
		r = -posix_spawnattr_setsigmask(&attr, &none);
	if (r == 0)
		r = -posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	/* The same program, whatever happened to the file on disk since. */
	if (r == 0)
		r = -posix_spawn(ret_pid, "/proc/self/exe", &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

static int child_start(struct supervisor *s, enum child_kind kind, char *const argv[],
		       struct child **ret)
{
	struct child *c = child_free_slot(s);
	int pair[2], r;

	if (!c)
		return -EBUSY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*c = (struct child){.owner = CONNS_MAX, .started_ms = worker_now_ms()};
	r = spawn(argv, pair[1], &c->pid);
	close(pair[1]);
	if (r < 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
		close(pair[0]);
		return r < 0 ? r : -errno;
	}
	c->fd = pair[0];
	c->kind = kind;
	*ret = c;
	return 0;
}

static void remember(struct supervisor *s, const struct mover_progress *p)
{
	if (s->ended_count == ENDED_MAX) {
		memmove(s->ended, s->ended + 1, sizeof(s->ended[0]) * (ENDED_MAX - 1));
		s->ended_count--;
	}
	s->ended[s->ended_count++] = *p;
}

/* -- messages out -- */

static void reply(struct supervisor *s, size_t conn, uint16_t op, uint32_t serial, uint32_t flags,
		  const void *body, size_t len)
{
	if (conn < CONNS_MAX && s->conns[conn].fd >= 0)
		ipc_send(s->conns[conn].fd, op, flags | IPC_FLAG_REPLY, serial, body, len, -EBADF);
}

static void reply_error(struct supervisor *s, size_t conn, uint16_t op, uint32_t serial,
			const struct kerr *err)
{
	uint8_t body[KERR_TEXT_MAX + 8];
	struct wbuf w = wbuf_init(body, sizeof(body));

	kerr_put(&w, err);
	reply(s, conn, op, serial, IPC_FLAG_ERROR, body, w.len);
}

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

static int expect(struct supervisor *s, const struct asker *a, const struct child *c,
		  uint32_t *ret_serial)
{
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (!s->pending[i].used) {
			s->pending[i] = (struct pending){
				.used = true,
				.conn = a->conn,
				.child = (size_t)(c - s->children),
				.op = a->msg->op,
				.serial = a->msg->serial,
				.child_serial = *ret_serial ? *ret_serial : ++s->serial,
			};
			*ret_serial = s->pending[i].child_serial;
			return 0;
		}
	return -EBUSY;
}

/* -- requests of kithd -- */

/* What a hand-off would be refused for now, and a plan is too. */
static int check_ready(const struct supervisor *s, struct kerr *err)
{
	if (s->stopping)
		return kerr_set(err, EAGAIN, KCODE_NOT_READY, "kith-mover is being stopped.");
	if (!s->recovered)
		return kerr_set(err, EAGAIN, KCODE_NOT_READY,
				"kith-mover still puts earlier hand-offs in order.");
	if (child_count(s, CHILD_WORKER) >= WORKERS_MAX)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"Too many hand-offs are running on this device.");
	return 0;
}

static int op_start(void *ctx, struct ipc_msg *msg _unused_, struct rbuf *r,
		    struct wbuf *w _unused_, struct kerr *err)
{
	struct asker *a = ctx;
	struct supervisor *s = a->s;
	char hex[2 * HID_LEN + 1];
	char *argv[] = {(char *)"kith-mover", (char *)"-c", s->config_path, NULL, hex, NULL};
	struct child *c;
	uint32_t serial = 1; /* the worker's first answer */
	struct mover_start v;
	int n;

	if (record_get(r, &mover_start_record, &v) < 0 || rbuf_end(r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.");
	n = check_ready(s, err);
	if (n < 0)
		return n;
	if (child_find(s, CHILD_WORKER, v.hid))
		return kerr_set(err, EBUSY, KCODE_BUSY, "This hand-off runs already.");
	hex_encode(v.hid, HID_LEN, hex);
	argv[3] = (char *)(uintptr_t)(v.source ? "--source" : "--destination");
	n = child_start(s, CHILD_WORKER, argv, &c);
	if (n < 0)
		return kerr_set(err, -n, KCODE_FAILED, "Cannot start a worker: %s.", strerror(-n));
	memcpy(c->hid, v.hid, HID_LEN);
	c->owner = a->conn;
	a->deferred = expect(s, a, c, &serial) == 0;
	return 0;
}

/* Whose hand-off it is; the rest is the worker's. */
static int op_forward(void *ctx, struct ipc_msg *msg, struct rbuf *r, struct wbuf *w _unused_,
		      struct kerr *err)
{
	struct asker *a = ctx;
	struct child *c;
	uint32_t serial = 0;
	struct mover_handoff v = {0};

	if (record_get(r, &mover_handoff_record, &v) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.");
	c = child_find(a->s, CHILD_WORKER, v.hid);
	if (!c)
		c = child_find(a->s, CHILD_CONSOLE, v.hid);
	/* A console's connections are its owner's to bring; a hand-off's are not. */
	if (!c || (msg->op == MOVER_OP_ATTACH && c->kind != CHILD_CONSOLE))
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"There is no such hand-off or console on this device.");
	if (expect(a->s, a, c, &serial) < 0 ||
	    ipc_send(c->fd, msg->op, 0, serial, msg->body, msg->len, msg->fd) < 0)
		return kerr_set(err, EBUSY, KCODE_BUSY, "The hand-off's worker is too busy.");
	a->deferred = true;
	return 0;
}

/* policyd knows whether there is such a console: the process asks it. */
static int start_console(struct asker *a, const char *mode, struct rbuf *r, struct child **ret,
			 struct kerr *err)
{
	struct supervisor *s = a->s;
	char hex[2 * HID_LEN + 1];
	char *argv[] = {(char *)"kith-mover",	 (char *)"-c", s->config_path,
			(char *)(uintptr_t)mode, hex,	       NULL};
	struct mover_handoff v;
	int n;

	if (record_get(r, &mover_handoff_record, &v) < 0 || rbuf_end(r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.");
	if (s->stopping)
		return kerr_set(err, EAGAIN, KCODE_NOT_READY, "kith-mover is being stopped.");
	if (child_find(s, CHILD_CONSOLE, v.hid))
		return kerr_set(err, EBUSY, KCODE_BUSY, "This console is open already.");
	if (child_count(s, CHILD_CONSOLE) >= CONSOLES_MAX)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"Too many consoles are open on this device. Close one of them.");
	hex_encode(v.hid, HID_LEN, hex);
	n = child_start(s, CHILD_CONSOLE, argv, ret);
	if (n < 0)
		return kerr_set(err, -n, KCODE_FAILED, "Cannot start a console: %s.", strerror(-n));
	memcpy((*ret)->hid, v.hid, HID_LEN);
	return 0;
}

static int op_show(void *ctx, struct ipc_msg *msg _unused_, struct rbuf *r, struct wbuf *w _unused_,
		   struct kerr *err)
{
	struct asker *a = ctx;
	struct child *c;
	uint32_t serial = 1;
	int n = start_console(a, CONSOLE_MODE_SHOW, r, &c, err);

	if (n < 0)
		return n;
	a->deferred = expect(a->s, a, c, &serial) == 0;
	return 0;
}

static int op_console(void *ctx, struct ipc_msg *msg, struct rbuf *r, struct wbuf *w _unused_,
		      struct kerr *err)
{
	struct asker *a = ctx;
	struct child *c;
	uint32_t serial = 0;
	int n = start_console(a, CONSOLE_MODE_OPEN, r, &c, err);

	if (n < 0)
		return n;
	/* Without its request the process ends by itself, as this end is closed then. */
	if (expect(a->s, a, c, &serial) < 0 ||
	    ipc_send(c->fd, msg->op, 0, serial, msg->body, msg->len, msg->fd) < 0) {
		kill(c->pid, SIGKILL);
		return kerr_set(err, EBUSY, KCODE_BUSY, "Too many requests at once.");
	}
	a->deferred = true;
	return 0;
}

static int op_jobs(void *ctx, struct ipc_msg *msg _unused_, struct rbuf *r _unused_, struct wbuf *w,
		   struct kerr *err)
{
	struct asker *a = ctx;
	struct supervisor *s = a->s;
	struct record_list list;

	record_list_begin(&list, w, &mover_progress_record);
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (s->children[i].kind == CHILD_WORKER && s->children[i].progressed)
			record_list_add(&list, &s->children[i].last);
	for (size_t i = s->ended_count; i > 0; i--)
		record_list_add(&list, &s->ended[i - 1]);
	record_list_end(&list);
	return wbuf_error(w) < 0 ? kerr_set(err, ENOBUFS, KCODE_FAILED, "Too many jobs.") : 0;
}

static struct child *child_at_work(struct supervisor *s, enum child_kind kind)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (s->children[i].kind == kind && !s->children[i].answered)
			return &s->children[i];
	return NULL;
}

/* libvirt may hang, so a short-lived process asks it; one serves all who wait. */
static int ask_helper(struct asker *a, enum child_kind kind, const char *mode, struct kerr *err)
{
	struct supervisor *s = a->s;
	char *argv[] = {(char *)"kith-mover", (char *)"-c", s->config_path, (char *)(uintptr_t)mode,
			NULL};
	struct child *c = child_at_work(s, kind);
	uint32_t serial = 1;
	int n = c ? 0 : child_start(s, kind, argv, &c);

	if (n < 0 || expect(s, a, c, &serial) < 0)
		return kerr_set(err, EBUSY, KCODE_BUSY, "Too many requests at once.");
	a->deferred = true;
	return 0;
}

static int op_vms(void *ctx, struct ipc_msg *msg _unused_, struct rbuf *r _unused_,
		  struct wbuf *w _unused_, struct kerr *err)
{
	return ask_helper(ctx, CHILD_VMS, "--vms", err);
}

static int op_offers(void *ctx, struct ipc_msg *msg _unused_, struct rbuf *r _unused_,
		     struct wbuf *w _unused_, struct kerr *err)
{
	struct asker *a = ctx;
	int n = check_ready(a->s, err);

	return n < 0 ? n : ask_helper(a, CHILD_OFFERS, PLAN_MODE_OFFERS, err);
}

/* One at a time; the request itself is the helper's to read. */
static int hand_on(struct asker *a, enum child_kind kind, const char *mode, struct kerr *err)
{
	const struct ipc_msg *msg = a->msg;
	struct child *c;
	int n;

	if (child_at_work(a->s, kind))
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"Another %s is being made on this device; try again.",
				kind == CHILD_PLAN ? "plan" : "CPU");
	n = ask_helper(a, kind, mode, err);
	c = child_at_work(a->s, kind);
	if (n == 0 && ipc_send(c->fd, msg->op, 0, 1, msg->body, msg->len, -EBADF) < 0)
		log_warning("mover", "%s does not take its question.", mode);
	return n;
}

static int op_plan(void *ctx, struct ipc_msg *msg _unused_, struct rbuf *r, struct wbuf *w _unused_,
		   struct kerr *err)
{
	struct asker *a = ctx;
	struct mover_plan_ask ask;
	int n = check_ready(a->s, err);

	if (n < 0)
		return n;
	if (record_get(r, &mover_plan_ask_record, &ask) < 0 || rbuf_end(r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.");
	return hand_on(a, CHILD_PLAN, PLAN_MODE_ASK, err);
}

static int op_roam(void *ctx, struct ipc_msg *msg _unused_, struct rbuf *r, struct wbuf *w _unused_,
		   struct kerr *err)
{
	struct asker *a = ctx;
	struct roam_wish wish;
	int n = check_ready(a->s, err);

	if (n < 0)
		return n;
	if (roam_wish_get(r, &wish) < 0 || rbuf_end(r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.");
	return hand_on(a, CHILD_ROAM, ROAM_MODE, err);
}

/* `ask` NULL: what is asked for is in the two words. */
static int start_disks(struct asker *a, const char *mode, const char *path,
		       const struct ipc_msg *ask, struct kerr *err)
{
	struct supervisor *s = a->s;
	char *argv[] = {(char *)"kith-mover",	 (char *)"-c",
			s->config_path,		 (char *)(uintptr_t)mode,
			(char *)(uintptr_t)path, NULL};
	struct child *c;
	uint32_t serial = 1;

	if (child_count(s, CHILD_DISKS) >= DISKS_MAX || child_start(s, CHILD_DISKS, argv, &c) < 0 ||
	    expect(s, a, c, &serial) < 0)
		return kerr_set(err, EBUSY, KCODE_BUSY, "Too many requests at once.");
	if (ask && ipc_send(c->fd, ask->op, 0, 1, ask->body, ask->len, -EBADF) < 0)
		log_warning("mover", "A process for discs does not take its question.");
	a->deferred = true;
	return 0;
}

static int op_discs(void *ctx, struct ipc_msg *msg, struct rbuf *r, struct wbuf *w _unused_,
		    struct kerr *err)
{
	static struct disks_disc disc;

	if (disks_disc_get(r, &disc) < 0 || rbuf_end(r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.");
	return start_disks(ctx, msg->op == MOVER_OP_EJECT ? DISCS_MODE_EJECT : DISCS_MODE_LIST,
			   NULL, msg, err);
}

static int op_disks(void *ctx, struct ipc_msg *msg _unused_, struct rbuf *r _unused_,
		    struct wbuf *w _unused_, struct kerr *err)
{
	return start_disks(ctx, DISKS_MODE_LIST, NULL, NULL, err);
}

static int op_disk_remove(void *ctx, struct ipc_msg *msg _unused_, struct rbuf *r,
			  struct wbuf *w _unused_, struct kerr *err)
{
	struct disks_wish wish;

	if (disks_wish_get(r, &wish) < 0 || rbuf_end(r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.");
	return start_disks(ctx, wish.forget ? DISKS_MODE_FORGET : DISKS_MODE_REMOVE, wish.path,
			   NULL, err);
}

static const struct ipc_op ops[] = {
	{MOVER_OP_START, "start", WHO_KITHD, HID_LEN + 1, false, op_start},
	{MOVER_OP_CONN, "conn", WHO_KITHD, HID_LEN + 2, true, op_forward},
	{MOVER_OP_CANCEL, "cancel", WHO_KITHD, HID_LEN, false, op_forward},
	{MOVER_OP_JOBS, "jobs", WHO_KITHD, 0, false, op_jobs},
	{MOVER_OP_VMS, "vms", WHO_KITHD, 0, false, op_vms},
	{MOVER_OP_GONE, "gone", WHO_KITHD, MOVER_GONE_MAX, false, op_forward},
	{MOVER_OP_DISKS, "disks", WHO_OWNER, 0, false, op_disks},
	{MOVER_OP_DISK_REMOVE, "disk-remove", WHO_OWNER, sizeof(struct disks_wish) + 8, false,
	 op_disk_remove},
	{MOVER_OP_OFFERS, "offers", WHO_KITHD, 0, false, op_offers},
	{MOVER_OP_DISCS, "discs", WHO_OWNER, sizeof(struct disks_disc) + 8, false, op_discs},
	{MOVER_OP_EJECT, "eject", WHO_OWNER, sizeof(struct disks_disc) + 8, false, op_discs},
	{MOVER_OP_PLAN, "plan", WHO_KITHD, MOVER_PLAN_ASK_MAX, false, op_plan},
	{MOVER_OP_ROAM, "roam", WHO_OWNER, ROAM_DATA_MAX + 64, false, op_roam},
	{MOVER_OP_SHOW, "show", WHO_KITHD, HID_LEN, false, op_show},
	{MOVER_OP_CONSOLE, "console", WHO_OWNER, HID_LEN, true, op_console},
	{MOVER_OP_ATTACH, "attach", WHO_OWNER, HID_LEN, true, op_forward},
};

static void on_request(struct supervisor *s, size_t conn, struct ipc_msg *m)
{
	struct asker a = {.s = s, .conn = conn, .msg = m};
	struct rbuf r = rbuf_init(m->body, m->len);
	struct wbuf w = wbuf_init(s->out, sizeof(s->out));
	struct kerr err = {0};
	const struct ipc_op *op = ipc_op_check(ops, ARRAY_SIZE(ops), s->conns[conn].who, m, &err);

	if (!op || op->handle(&a, m, &r, &w, &err) < 0)
		reply_error(s, conn, m->op, m->serial, &err);
	else if (!a.deferred)
		reply(s, conn, m->op, m->serial, 0, s->out, w.len);
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
	on_request(s, conn, &m);
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
		reply(s, p->conn, p->op, p->serial, m->flags & IPC_FLAG_ERROR, m->body, m->len);
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
			reply_error(s, s->pending[i].conn, s->pending[i].op, s->pending[i].serial,
				    &err);
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

		watch_all(s, &w);
		if (poll(w.all, ARRAY_SIZE(w.all), notify_turn(TICK_MS, "Ready.")) < 0 &&
		    errno != EINTR)
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
