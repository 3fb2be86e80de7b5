/* SPDX-License-Identifier: Apache-2.0 */
/* The control channel between the two workers: small frames over TLS, never blocking. */
#pragma once

#include "mover/frames-wire.h"
#include "mover/tls.h"

#define FRAMES_QUEUE_MAX ((size_t)8 << 20)

struct frame {
	enum frame_type type;
	const uint8_t *body; /* borrowed until the next call */
	size_t len;
};

struct frames;

/* Takes over `tls`, on which the handshake may still be under way. */
int frames_new(struct tls *tls, struct frames **ret);
struct frames *frames_free(struct frames *c);
DEFINE_CLEANUP(struct frames *, frames_free)

int frames_fd(const struct frames *c);
short frames_events(const struct frames *c);

/* Queues one frame and sends what the socket takes. -ENOBUFS when the peer does not read;
 * -EMSGSIZE; a broken connection shows up in frames_next(). */
int frames_send(struct frames *c, enum frame_type type, const void *body, size_t len);

/* Cuts any number of bytes into FRAME_RPC frames. */
int frames_send_rpc(struct frames *c, const void *data, size_t len);

/* Reads and writes what is possible: 1 = *ret is the next frame, 0 = wait, -ECONNRESET and others
 * = the channel is dead, -EBADMSG = the peer broke the format, -EACCES = another key. */
int frames_next(struct frames *c, struct frame *ret);

/* Bytes that came so far: a frame may take long on a slow link. */
uint64_t frames_received(const struct frames *c);

/* True once both ends proved the key. */
bool frames_ready(const struct frames *c);

/* True if everything queued is with the kernel. */
bool frames_flushed(const struct frames *c);

/* Says goodbye and waits, at most `timeout_ms`, until the peer has read everything: closing a
 * socket that still has unread input would cut off what was sent last. */
void frames_bye(struct frames *c, int timeout_ms);

/* Parses one frame in memory (frames_next() and the fuzz target): 1, 0 = more bytes are needed,
 * -EBADMSG. *ret_used counts header and body. */
int frames_parse(const uint8_t *data, size_t len, struct frame *ret, size_t *ret_used);
