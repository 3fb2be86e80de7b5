/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor is asked for: the table of requests, and which child does each. */
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "mover/console.h"
#include "mover/discs.h"
#include "mover/disks-client.h"
#include "mover/disks.h"
#include "mover/plan.h"
#include "mover/roam-client.h"
#include "mover/roam.h"
#include "mover/supervisor-internal.h"
#include "mover/worker.h"

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
	a->deferred = supervisor_expect(s, a, c, &serial) == 0;
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
	if (supervisor_expect(a->s, a, c, &serial) < 0 ||
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
	a->deferred = supervisor_expect(a->s, a, c, &serial) == 0;
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
	if (supervisor_expect(a->s, a, c, &serial) < 0 ||
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

	if (n < 0 || supervisor_expect(s, a, c, &serial) < 0)
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
	    supervisor_expect(s, a, c, &serial) < 0)
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

void supervisor_request(struct supervisor *s, size_t conn, struct ipc_msg *m)
{
	struct asker a = {.s = s, .conn = conn, .msg = m};
	struct rbuf r = rbuf_init(m->body, m->len);
	struct wbuf w = wbuf_init(s->out, sizeof(s->out));
	struct kerr err = {0};
	const struct ipc_op *op = ipc_op_check(ops, ARRAY_SIZE(ops), s->conns[conn].who, m, &err);

	if (!op || op->handle(&a, m, &r, &w, &err) < 0)
		supervisor_reply_error(s, conn, m->op, m->serial, &err);
	else if (!a.deferred)
		supervisor_reply(s, conn, m->op, m->serial, 0, s->out, w.len);
}
