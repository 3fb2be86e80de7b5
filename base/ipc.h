/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between processes of one device: SOCK_SEQPACKET, one record = one message. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/kerr.h"

#define IPC_MAX_FRAME 65536 /* header included */
#define IPC_HEADER_LEN 20
#define IPC_MAX_BODY (IPC_MAX_FRAME - IPC_HEADER_LEN)
#define IPC_VERSION 1

/* Header flags. */
#define IPC_FLAG_REPLY 0x1u /* answers the request with the same op and serial */
#define IPC_FLAG_ERROR 0x2u /* with REPLY: the body is a kerr */
#define IPC_FLAG_EVENT 0x4u /* unsolicited, no reply expected, serial 0 */

/* One received message. `body` points into the buffer given to ipc_recv(). An unclaimed `fd`
 * (>= 0) is closed by ipc_msg_release(); claim it with TAKE_FD(). */
struct ipc_msg {
	uint16_t op;
	uint32_t flags, serial;
	const uint8_t *body;
	size_t len;
	int fd;
};

struct ipc_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* One row of an op table: the review surface of a socket. `who` is a bit set that the server
 * defines; a message that breaks its row is refused before the handler sees it. */
struct ipc_op {
	uint16_t op;
	const char *name;
	unsigned who;
	size_t max_body;
	bool fd_allowed;
	/* Reads the request from `r` (the table code checks rbuf_end() is possible only by the
	 * handler), writes the reply body to `w`. 0, or negative with *err filled. `ctx` is the
	 * server's connection object, `msg` the raw message (for the descriptor). */
	int (*handle)(void *ctx, struct ipc_msg *msg, struct rbuf *r, struct wbuf *w,
		      struct kerr *err);
};

/* Finds the row of `op`, checks caller bits, size and descriptor. NULL with *err filled
 * (BAD_MESSAGE or NOT_ALLOWED) if the message may not pass. */
const struct ipc_op *ipc_op_check(const struct ipc_op *table, size_t count, unsigned who,
				  const struct ipc_msg *msg, struct kerr *err);

/* The address of a socket; -ENAMETOOLONG. */
int ipc_address(const char *path, struct sockaddr_un *ret);

/* Makes, binds and listens on `path`; a stale socket is replaced. The mode is in force from the
 * first moment (umask), never loosened later. Non-blocking. */
int ipc_listen(const char *path, mode_t mode, int *ret_fd);

/* Accepts one connection (CLOEXEC, non-blocking) with its SO_PEERCRED. -EAGAIN if none. */
int ipc_accept(int listen_fd, struct ipc_peer *ret_peer, int *ret_fd);

/* Sends one message, passing a duplicate of `fd` if >= 0. -EMSGSIZE above IPC_MAX_BODY. */
int ipc_send(int sock, uint16_t op, uint32_t flags, uint32_t serial, const void *body, size_t len,
	     int fd);

/* Receives one message into `buf` (IPC_MAX_FRAME bytes). 1 = a message, 0 = peer closed,
 * -EAGAIN = none now, -EBADMSG = a broken frame (hang up), other negative errno. */
int ipc_recv(int sock, uint8_t *buf, struct ipc_msg *ret);
void ipc_msg_release(struct ipc_msg *msg);

/* Parses a frame that is already in memory (used by ipc_recv() and the fuzz target). */
int ipc_parse(const uint8_t *data, size_t len, struct ipc_msg *ret);
