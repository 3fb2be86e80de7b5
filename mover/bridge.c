/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in and out of libvirt's own socket, never waiting. */
#include "mover/bridge.h"

#include <poll.h>
#include <sys/socket.h>

void bridge_init(struct bridge *b)
{
	*b = (struct bridge){.fd = -EBADF, .out = xdr_out_init(BRIDGE_FRAME_MAX)};
}

int bridge_open(struct bridge *b)
{
	int r = rpc_stream_new(BRIDGE_FRAME_MAX, &b->local);

	return r < 0 ? r : rpc_stream_new(BRIDGE_FRAME_MAX, &b->peer);
}

void bridge_close(struct bridge *b)
{
	closep(&b->fd);
	b->fd = -EBADF;
}

static void bridge_flush(struct bridge *b)
{
	while (b->fd >= 0 && b->out_at < b->out.len) {
		ssize_t n =
			send(b->fd, b->out.data + b->out_at, b->out.len - b->out_at, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		b->out_at += (size_t)n;
	}
	b->out.len = b->out_at = 0;
}

void bridge_send(struct bridge *b, const void *data, size_t len)
{
	xdr_put_fixed(&b->out, data, len);
	bridge_flush(b);
}

short bridge_events(const struct bridge *b)
{
	return (short)(POLLIN | (b->out_at < b->out.len ? POLLOUT : 0));
}

int bridge_read(struct bridge *b, short revents)
{
	static uint8_t buf[65536];
	ssize_t n;
	int r;

	if (revents & POLLOUT)
		bridge_flush(b);
	n = recv(b->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -ECONNRESET;
	r = rpc_stream_push(b->local, buf, (size_t)n);
	return r < 0 ? r : 1;
}
