/* SPDX-License-Identifier: Apache-2.0 */
/* One request is out, the others stand behind it. */
#include "ui-tui/screen/core-wire.h"

#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/ipc.h"

#define REPLY_MS 60000 /* a slow TPM may take seconds */
#define REQUEST_MAX 1024
#define QUEUE_MAX 32

struct question {
	enum policyd_op op;
	core_wire_fn fn;
	void *user;
	uint8_t body[REQUEST_MAX];
	size_t len;
};

struct core_wire {
	const char *path;
	int fd;
	bool out; /* the first question is */
	uint64_t end_ms;
	uint32_t serial;
	struct question queue[QUEUE_MAX];
	size_t count;
	uint8_t buf[IPC_MAX_FRAME];
};

struct core_wire *core_wire_new(const char *path)
{
	struct core_wire *w = calloc(1, sizeof(*w));

	if (w) {
		w->path = path;
		w->fd = -EBADF;
	}
	return w;
}

struct core_wire *core_wire_free(struct core_wire *w)
{
	if (!w)
		return NULL;
	if (w->fd >= 0)
		close(w->fd);
	free(w);
	return NULL;
}

int core_wire_fd(const struct core_wire *w)
{
	return w->fd;
}

int core_wire_wait_ms(const struct core_wire *w)
{
	uint64_t now = clock_ms();

	if (!w->count)
		return -1;
	if (!w->out)
		return 0;
	return w->end_ms > now ? (int)(w->end_ms - now) : 0;
}

static void hang_up(struct core_wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -EBADF;
	w->out = false;
}

/* The first question is answered. */
static void answer(struct core_wire *w, struct rbuf *reply, const struct kerr *err)
{
	struct question q = w->queue[0];

	w->out = false;
	memmove(w->queue, w->queue + 1, --w->count * sizeof(w->queue[0]));
	q.fn(q.user, reply, err);
}

static void lose(struct core_wire *w, enum kcode code, const char *why)
{
	size_t count = w->count;
	struct kerr err = {0};

	hang_up(w);
	kerr_set(&err, ECONNRESET, code,
		 "kith-policyd does not answer: %s. Start it with `systemctl start kith-policyd`.",
		 why);
	/* Those that are asked meanwhile try once more. */
	while (count--)
		answer(w, NULL, &err);
}

static int dial(struct core_wire *w)
{
	struct sockaddr_un sa;
	int r = ipc_address(w->path, &sa);

	if (r < 0)
		return r;
	w->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return 0;
}

static void send_first(struct core_wire *w)
{
	const struct question *q = &w->queue[0];
	int r = w->fd < 0 ? dial(w) : 0;

	if (r < 0) {
		lose(w, KCODE_NOT_READY, strerror(-r));
		return;
	}
	r = ipc_send(w->fd, (uint16_t)q->op, 0, ++w->serial, q->body, q->len, -EBADF);
	if (r < 0) {
		lose(w, KCODE_INTERRUPTED, strerror(-r));
		return;
	}
	w->out = true;
	w->end_ms = clock_ms() + REPLY_MS;
}

static void take(struct core_wire *w, const struct ipc_msg *m)
{
	struct rbuf r = rbuf_init(m->body, m->len);
	struct kerr err = {0};

	if (!w->out || !(m->flags & IPC_FLAG_REPLY) || m->serial != w->serial)
		return;
	if (!(m->flags & IPC_FLAG_ERROR)) {
		answer(w, &r, NULL);
		return;
	}
	if (kerr_get(&r, &err) < 0 || err.code == KCODE_OK)
		kerr_set(&err, EBADMSG, KCODE_BAD_MESSAGE,
			 "kith-policyd sent an unreadable refusal.");
	answer(w, NULL, &err);
}

static void read_all(struct core_wire *w)
{
	for (;;) {
		struct ipc_msg m = {.fd = -EBADF};
		int r = ipc_recv(w->fd, w->buf, &m);

		if (r == -EAGAIN || r == -EINTR)
			return;
		if (r <= 0) {
			/* With nothing asked it may go whenever it likes. */
			if (w->out)
				lose(w, KCODE_INTERRUPTED, r ? strerror(-r) : "it went away");
			else
				hang_up(w);
			return;
		}
		ipc_msg_release(&m);
		take(w, &m);
	}
}

void core_wire_run(struct core_wire *w, bool readable)
{
	if (readable && w->fd >= 0)
		read_all(w);
	if (w->out && clock_ms() >= w->end_ms)
		lose(w, KCODE_INTERRUPTED, "it is too slow");
	if (w->count && !w->out)
		send_first(w);
}

void core_wire_ask(struct core_wire *w, enum policyd_op op, const struct record *request,
		   const void *v, core_wire_fn fn, void *user)
{
	struct question *q = &w->queue[w->count];
	struct kerr err = {0};
	struct wbuf body;

	if (w->count == QUEUE_MAX) {
		kerr_set(&err, EBUSY, KCODE_BUSY, "Too many questions to kith-policyd are open.");
		fn(user, NULL, &err);
		return;
	}
	*q = (struct question){.op = op, .fn = fn, .user = user};
	body = wbuf_init(q->body, sizeof(q->body));
	if (record_put(&body, request, v) < 0) {
		kerr_set(&err, EINVAL, KCODE_USAGE, "What was given is not plain text.");
		fn(user, NULL, &err);
		return;
	}
	q->len = body.len;
	w->count++;
}

bool core_wire_take(struct rbuf *reply, const struct record *record, void *ret, struct kerr *err)
{
	if (reply && record_get(reply, record, ret) == 0 && rbuf_end(reply) == 0)
		return true;
	kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
		 "kith-policyd sent an answer that this program does not understand.");
	return false;
}
