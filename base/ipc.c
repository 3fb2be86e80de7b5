/* SPDX-License-Identifier: Apache-2.0 */
/* Framing over SOCK_SEQPACKET; nothing here allocates by a length that a peer chose. */
#include "base/ipc.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define IPC_MAGIC 0x4854494bu /* "KITH" */

const struct ipc_op *ipc_op_check(const struct ipc_op *table, size_t count, unsigned who,
				  const struct ipc_msg *msg, struct kerr *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct ipc_op *op = &table[i];

		if (op->op != msg->op)
			continue;
		if (!(op->who & who)) {
			kerr_set(err, EPERM, KCODE_NOT_ALLOWED,
				 "This user or program may not ask for this here.");
			return NULL;
		}
		if (msg->len > op->max_body || (msg->fd >= 0 && !op->fd_allowed)) {
			kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				 "The request is too long or carries a descriptor it may not "
				 "carry.");
			return NULL;
		}
		return op;
	}
	kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "There is no request number %u.", msg->op);
	return NULL;
}

int ipc_address(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return 0;
}

int ipc_listen(const char *path, mode_t mode, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	struct sockaddr_un sa;
	mode_t old;
	int r = ipc_address(path, &sa);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	old = umask((mode_t)(~mode & 0777));
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(old);
	if (r < 0)
		return r;
	if (listen(fd, 64) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int ipc_accept(int listen_fd, struct ipc_peer *ret_peer, int *ret_fd)
{
	_cleanup_close_ int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	*ret_peer = (struct ipc_peer){cred.pid, cred.uid, cred.gid};
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int ipc_send(int sock, uint16_t op, uint32_t flags, uint32_t serial, const void *body, size_t len,
	     int fd)
{
	uint8_t head[IPC_HEADER_LEN];
	struct wbuf w = wbuf_init(head, sizeof(head));
	struct iovec iov[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)body, len}};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = len ? 2 : 1};

	if (len > IPC_MAX_BODY)
		return -EMSGSIZE;
	wbuf_u32(&w, IPC_MAGIC);
	wbuf_u16(&w, IPC_VERSION);
	wbuf_u16(&w, op);
	wbuf_u32(&w, flags);
	wbuf_u32(&w, serial);
	wbuf_u32(&w, (uint32_t)len);
	if (fd >= 0) {
		struct cmsghdr *c;

		mh.msg_control = control.buf;
		mh.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	while (sendmsg(sock, &mh, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int ipc_parse(const uint8_t *data, size_t len, struct ipc_msg *ret)
{
	struct rbuf r = rbuf_init(data, len);
	struct ipc_msg m = {.fd = -EBADF};
	uint32_t magic = rbuf_u32(&r);
	uint16_t version = rbuf_u16(&r);

	m.op = rbuf_u16(&r);
	m.flags = rbuf_u32(&r);
	m.serial = rbuf_u32(&r);
	m.body = rbuf_blob(&r, IPC_MAX_BODY, &m.len);
	if (rbuf_end(&r) < 0 || magic != IPC_MAGIC || version != IPC_VERSION)
		return -EBADMSG;
	*ret = m;
	return 0;
}

/* Takes the descriptors out of the control data: keeps one, closes any more. */
static int take_fds(struct msghdr *mh, int *ret_fd)
{
	int count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (count++ == 0)
				*ret_fd = fd;
			else
				close(fd);
		}
	}
	return count;
}

int ipc_recv(int sock, uint8_t *buf, struct ipc_msg *ret)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct iovec iov = {buf, IPC_MAX_FRAME};
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.buf,
			    .msg_controllen = sizeof(control.buf)};
	_cleanup_close_ int fd = -EBADF;
	ssize_t n;
	int count, r;

	do {
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	count = take_fds(&mh, &fd);
	if (n == 0)
		return 0;
	if (count > 1 || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return -EBADMSG;
	r = ipc_parse(buf, (size_t)n, ret);
	if (r < 0)
		return r;
	ret->fd = TAKE_FD(fd);
	return 1;
}

void ipc_msg_release(struct ipc_msg *msg)
{
	if (msg->fd >= 0)
		close(msg->fd);
	msg->fd = -EBADF;
}
