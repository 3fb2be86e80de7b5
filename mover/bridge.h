/* SPDX-License-Identifier: Apache-2.0 */
/* Where libvirt's RPC crosses a worker: a local socket (of libvirt's client at the source, of
 * libvirtd at the destination) on one side, the other worker's frames on the other. */
#pragma once

#include "mover/filter/rpc.h"

#define BRIDGE_FRAME_MAX ((size_t)4 << 20)

struct bridge {
	int fd;				 /* -EBADF = nobody there */
	struct rpc_stream *local, *peer; /* what came from there, cut into messages */
	struct xdr_out out;		 /* bytes `out_at`.. of it wait for the socket */
	size_t out_at;
};

/* Nobody is connected yet, and nothing can be read before bridge_open(). */
void bridge_init(struct bridge *b);
int bridge_open(struct bridge *b);
void bridge_close(struct bridge *b);

/* Queues bytes and sends what the socket takes; the rest goes with POLLOUT. */
void bridge_send(struct bridge *b, const void *data, size_t len);

/* What to wait for, as poll(2) bits. */
short bridge_events(const struct bridge *b);

/* Sends what waits, if `revents` says so, and reads what is there. 1 = `local` may have messages;
 * 0 = nothing came; -ECONNRESET = the connection ended; others = the bytes are no RPC. */
int bridge_read(struct bridge *b, short revents);
