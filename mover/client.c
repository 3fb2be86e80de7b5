/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous client: kithd must never wait for the mover. */
#include "mover/client.h"

#include <fcntl.h>
#include <string.h>

#include "base/ipc-client.h"

#define PENDING_MAX 64

struct pending {
	uint16_t op; /* 0 = free */
	uint32_t serial;
	mover_done_fn done;
	mover_jobs_fn jobs;
	mover_vms_fn vms;
	mover_offers_fn offers;
	mover_plan_fn plan;
	void *arg;
};

struct mover_client {
	int fd;
	bool lost;
	uint32_t serial;
	const struct mover_client_events *events;
	void *ctx;
	struct pending pending[PENDING_MAX];
	uint8_t buf[IPC_MAX_FRAME];
};

int mover_client_new(const char *path, const struct mover_client_events *events, void *ctx,
		     struct mover_client **ret)
{
	_cleanup_(mover_client_freep) struct mover_client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->fd = -EBADF;
	c->events = events;
	c->ctx = ctx;
	r = ipc_connect(path, &c->fd);
	if (r < 0)
		return r;
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	*ret = TAKE_PTR(c);
	return 0;
}

int mover_client_fd(const struct mover_client *c)
{
	return c->fd;
}

/* `record` NULL: the request has no body. */
static int send_request(struct mover_client *c, const struct record *record, const void *v, int fd,
			const struct pending *want)
{
	uint8_t body[MOVER_PLAN_ASK_MAX]; /* the longest */
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct pending *slot = NULL;
	int r;

	if (c->lost)
		return -ECONNRESET;
	if (record && record_put(&w, record, v) < 0)
		return wbuf_error(&w);
	for (size_t i = 0; i < PENDING_MAX && !slot; i++)
		if (!c->pending[i].op)
			slot = &c->pending[i];
	if (!slot)
		return -EBUSY;
	if (++c->serial == 0)
		c->serial = 1;
	r = ipc_send(c->fd, want->op, 0, c->serial, body, w.len, fd);
	if (r < 0)
		return r;
	*slot = *want;
	slot->serial = c->serial;
	return 0;
}

int mover_client_start(struct mover_client *c, const uint8_t hid[HID_LEN], bool source,
		       mover_done_fn done, void *arg)
{
	struct mover_start v = {.source = source};

	memcpy(v.hid, hid, HID_LEN);
	return send_request(c, &mover_start_record, &v, -EBADF,
			    &(struct pending){.op = MOVER_OP_START, .done = done, .arg = arg});
}

int mover_client_show(struct mover_client *c, const uint8_t hid[HID_LEN], mover_done_fn done,
		      void *arg)
{
	struct mover_handoff v;

	memcpy(v.hid, hid, HID_LEN);
	return send_request(c, &mover_handoff_record, &v, -EBADF,
			    &(struct pending){.op = MOVER_OP_SHOW, .done = done, .arg = arg});
}

int mover_client_conn(struct mover_client *c, const uint8_t hid[HID_LEN], uint16_t channel, int fd,
		      mover_done_fn done, void *arg)
{
	struct mover_conn v = {.channel = channel};

	memcpy(v.hid, hid, HID_LEN);
	return send_request(c, &mover_conn_record, &v, fd,
			    &(struct pending){.op = MOVER_OP_CONN, .done = done, .arg = arg});
}

int mover_client_cancel(struct mover_client *c, const uint8_t hid[HID_LEN], mover_done_fn done,
			void *arg)
{
	struct mover_handoff v;

	memcpy(v.hid, hid, HID_LEN);
	return send_request(c, &mover_handoff_record, &v, -EBADF,
			    &(struct pending){.op = MOVER_OP_CANCEL, .done = done, .arg = arg});
}

int mover_client_gone(struct mover_client *c, const uint8_t hid[HID_LEN], const struct kerr *why)
{
	struct mover_gone v = {.why = *why};

	memcpy(v.hid, hid, HID_LEN);
	return send_request(c, &mover_gone_record, &v, -EBADF,
			    &(struct pending){.op = MOVER_OP_GONE});
}

int mover_client_jobs(struct mover_client *c, mover_jobs_fn done, void *arg)
{
	return send_request(c, NULL, NULL, -EBADF,
			    &(struct pending){.op = MOVER_OP_JOBS, .jobs = done, .arg = arg});
}

int mover_client_vms(struct mover_client *c, mover_vms_fn done, void *arg)
{
	return send_request(c, NULL, NULL, -EBADF,
			    &(struct pending){.op = MOVER_OP_VMS, .vms = done, .arg = arg});
}

int mover_client_offers(struct mover_client *c, mover_offers_fn done, void *arg)
{
	return send_request(c, NULL, NULL, -EBADF,
			    &(struct pending){.op = MOVER_OP_OFFERS, .offers = done, .arg = arg});
}

int mover_client_plan(struct mover_client *c, const struct mover_plan_ask *ask, mover_plan_fn done,
		      void *arg)
{
	return send_request(c, &mover_plan_ask_record, ask, -EBADF,
			    &(struct pending){.op = MOVER_OP_PLAN, .plan = done, .arg = arg});
}

static int bad_answer(struct kerr *err)
{
	return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The mover's answer is unreadable.");
}

static void answer_jobs(const struct pending *p, int r, struct kerr *err, struct rbuf *body)
{
	_cleanup_free_ void *jobs = NULL;
	size_t n = 0;

	if (r >= 0 && record_list_get(body, &mover_progress_record, &jobs, &n) < 0)
		r = bad_answer(err);
	if (p->jobs)
		p->jobs(p->arg, r, err, jobs, n);
}

static void answer_vms(const struct pending *p, int r, struct kerr *err, struct rbuf *body)
{
	_cleanup_free_ void *vms = NULL;
	size_t n = 0;

	if (r >= 0 && record_list_get(body, &mover_vm_record, &vms, &n) < 0)
		r = bad_answer(err);
	if (p->vms)
		p->vms(p->arg, r, err, vms, n);
}

static void answer_offers(const struct pending *p, int r, struct kerr *err, struct rbuf *body)
{
	size_t len = r < 0 ? 0 : body->left;
	const uint8_t *offers = rbuf_view(body, len);

	if (r >= 0 && (!len || len > MOVER_OFFERS_MAX))
		r = bad_answer(err);
	if (p->offers)
		p->offers(p->arg, r, err, offers, len);
}

static void answer_plan(const struct pending *p, int r, struct kerr *err, struct rbuf *body)
{
	struct mover_plan plan;

	if (r >= 0 && (record_get(body, &mover_plan_record, &plan) < 0 || rbuf_end(body) < 0))
		r = bad_answer(err);
	if (p->plan)
		p->plan(p->arg, r, err, r < 0 ? NULL : &plan);
}

/* Frees the slot before the callback, which may send the next request. */
static void client_answer(struct pending *slot, int r, struct kerr *err, struct rbuf *body)
{
	struct pending p = *slot;

	*slot = (struct pending){0};
	if (p.op == MOVER_OP_JOBS)
		answer_jobs(&p, r, err, body);
	else if (p.op == MOVER_OP_VMS)
		answer_vms(&p, r, err, body);
	else if (p.op == MOVER_OP_OFFERS)
		answer_offers(&p, r, err, body);
	else if (p.op == MOVER_OP_PLAN)
		answer_plan(&p, r, err, body);
	else if (p.done)
		p.done(p.arg, r, err);
}

static void on_reply(struct mover_client *c, const struct ipc_msg *m)
{
	struct rbuf body = rbuf_init(m->body, m->len);
	struct kerr err = {0};
	int r = 0;

	if (m->flags & IPC_FLAG_ERROR) {
		if (kerr_get(&body, &err) < 0 || err.code == KCODE_OK) {
			kerr_clear(&err);
			kerr_set(&err, EBADMSG, KCODE_BAD_MESSAGE,
				 "The mover sent an unreadable refusal.");
		}
		r = -EREMOTEIO;
	}
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (c->pending[i].op == m->op && c->pending[i].serial == m->serial) {
			client_answer(&c->pending[i], r, &err, &body);
			return;
		}
}

static void on_event(struct mover_client *c, const struct ipc_msg *m)
{
	struct rbuf r = rbuf_init(m->body, m->len);

	if (m->op == MOVER_EVENT_DIAL) {
		struct mover_conn v;

		if (record_get(&r, &mover_conn_record, &v) == 0 && rbuf_end(&r) == 0 &&
		    c->events->dial)
			c->events->dial(c->ctx, v.hid, v.channel);
	} else if (m->op == MOVER_EVENT_PROGRESS) {
		struct mover_progress p;

		if (mover_progress_get(&r, &p) == 0 && rbuf_end(&r) == 0 && c->events->progress)
			c->events->progress(c->ctx, &p);
	}
}

static int lose(struct mover_client *c)
{
	c->lost = true;
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (c->pending[i].op) {
			struct kerr err = {0};
			struct rbuf none = rbuf_init(NULL, 0);
			int r = kerr_set(&err, ECONNRESET, KCODE_INTERRUPTED,
					 "The mover went away; the VM stays where it is.");

			client_answer(&c->pending[i], r, &err, &none);
		}
	return -ECONNRESET;
}

int mover_client_dispatch(struct mover_client *c)
{
	/* Bounded, so that a busy mover cannot keep the caller's main loop. */
	for (int i = 0; i < 32 && !c->lost; i++) {
		struct ipc_msg m = {.fd = -EBADF};
		int r = ipc_recv(c->fd, c->buf, &m);

		if (r == -EAGAIN)
			return 0;
		if (r <= 0)
			return lose(c);
		ipc_msg_release(&m);
		if (m.flags & IPC_FLAG_REPLY)
			on_reply(c, &m);
		else if (m.flags & IPC_FLAG_EVENT)
			on_event(c, &m);
	}
	return c->lost ? -ECONNRESET : 0;
}

struct mover_client *mover_client_free(struct mover_client *c)
{
	if (!c)
		return NULL;
	if (!c->lost)
		lose(c);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
	return NULL;
}
