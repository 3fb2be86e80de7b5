/* SPDX-License-Identifier: Apache-2.0 */
/* The asking side: nothing of it is in kith-policyd, which only answers. */
#include "base/ipc-client.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* `patience_ms` also bounds the wait for a place in the other's queue; -1 = for ever. */
static int dial(const char *path, int patience_ms, int *ret_fd)
{
	const struct timeval patience = {patience_ms / 1000, patience_ms % 1000 * 1000};
	_cleanup_close_ int fd = -EBADF;
	struct sockaddr_un sa;
	int r = ipc_address(path, &sa);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    (patience_ms >= 0 &&
	     setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0) ||
	    connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int ipc_connect(const char *path, int *ret_fd)
{
	return dial(path, -1, ret_fd);
}

struct ipc_client {
	int fd, patience_ms;
	uint32_t serial;
	uint8_t buf[IPC_MAX_FRAME];
};

int ipc_client_new(const char *path, struct ipc_client **ret)
{
	return ipc_client_patient(path, -1, ret);
}

int ipc_client_patient(const char *path, int patience_ms, struct ipc_client **ret)
{
	_cleanup_(ipc_client_freep) struct ipc_client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->fd = -EBADF;
	c->patience_ms = patience_ms;
	r = dial(path, patience_ms, &c->fd);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct ipc_client *ipc_client_free(struct ipc_client *c)
{
	if (!c)
		return NULL;
	if (c->fd >= 0)
		close(c->fd);
	/* Replies may have held secrets. */
	explicit_bzero(c->buf, sizeof(c->buf));
	free(c);
	return NULL;
}

int ipc_client_fd(const struct ipc_client *c)
{
	return c->fd;
}

static int lost(struct kerr *err, int num)
{
	return kerr_set(err, num, KCODE_INTERRUPTED, "The local service went away or is too slow.");
}

static int read_reply(struct ipc_msg *m, struct rbuf *ret_reply, struct kerr *err)
{
	struct rbuf r = rbuf_init(m->body, m->len);
	struct kerr remote;

	if (!(m->flags & IPC_FLAG_ERROR)) {
		*ret_reply = r;
		return 0;
	}
	if (kerr_get(&r, &remote) < 0 || remote.code == KCODE_OK)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The local service sent an unreadable refusal.");
	return kerr_set(err, EREMOTEIO, remote.code, "%s", remote.text);
}

int ipc_call(struct ipc_client *c, uint16_t op, const struct wbuf *request, int timeout_ms,
	     struct rbuf *ret_reply, struct kerr *err)
{
	return ipc_call_fd(c, op, request, -EBADF, timeout_ms, ret_reply, err);
}

int ipc_ask(struct ipc_client *c, uint16_t op, const struct wbuf *request, int fd, struct kerr *err)
{
	if (request && wbuf_error(request) < 0)
		return kerr_set(err, EMSGSIZE, KCODE_USAGE, "The request is too long.");
	if (ipc_send(c->fd, op, 0, ++c->serial, request ? request->data : NULL,
		     request ? request->len : 0, fd) < 0)
		return lost(err, ECONNRESET);
	return 0;
}

int ipc_answer(struct ipc_client *c, uint16_t op, int timeout_ms, struct rbuf *ret_reply,
	       struct kerr *err)
{
	int r;

	for (;;) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		struct ipc_msg m = {.fd = -EBADF};

		r = poll(&p, 1, timeout_ms);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return lost(err, ETIMEDOUT);
		r = ipc_recv(c->fd, c->buf, &m);
		if (r <= 0)
			return lost(err, ECONNRESET);
		ipc_msg_release(&m);
		if ((m.flags & IPC_FLAG_REPLY) && m.serial == c->serial && m.op == op)
			return read_reply(&m, ret_reply, err);
	}
}

int ipc_call_fd(struct ipc_client *c, uint16_t op, const struct wbuf *request, int fd,
		int timeout_ms, struct rbuf *ret_reply, struct kerr *err)
{
	int r = ipc_ask(c, op, request, fd, err);

	if (c->patience_ms >= 0 && (timeout_ms < 0 || timeout_ms > c->patience_ms))
		timeout_ms = c->patience_ms;
	return r < 0 ? r : ipc_answer(c, op, timeout_ms, ret_reply, err);
}
