/* SPDX-License-Identifier: Apache-2.0 */
/* The control channel between the two workers: small frames over TLS, never blocking. */
#pragma once

#include "base/buf.h"
#include "base/cleanup.h"
#include "mover/filter/domain.h"
#include "mover/proto.h"
#include "mover/tls.h"

/* Wire: u8 type, u32 length, body. Append only. */
enum frame_type {
	FRAME_RPC = 1,	   /* bytes of the libvirt RPC stream, in either direction */
	FRAME_OFFER,	   /* S: version, what will come (frame_offer) */
	FRAME_DISKS_READY, /* D: images are made, RPC may start; version */
	FRAME_VOTE,	   /* D: signed VOTE */
	FRAME_RELEASE,	   /* S: signed RELEASE */
	FRAME_ACK,	   /* D: u64 microseconds since the guest ran again, blob signed ACK */
	FRAME_NACK,	   /* D: signed NACK */
	FRAME_ABORT,	   /* S: signed ABORT, or empty before the destination voted */
	FRAME_PROGRESS,	   /* S: mover_progress, for the other screen */
	FRAME_ERROR,	   /* either: kerr, the sender gives up */
	FRAME_MOVED,	   /* S: u64 downtime_ms; all is done */
	FRAME_BEAT,	   /* either: alive; empty */
	FRAME_PAUSED,	   /* S, before RELEASE: the owner paused the guest; empty */
	_FRAME_MAX,
};
DECLARE_NAMES(frame_type, enum frame_type);

/* Of the frames and what is in them. Each side says its own with its first word, OFFER or
 * DISKS_READY, and goes on with its equal only. */
#define FRAMES_VERSION 1

#define FRAMES_HEADER_LEN 5
#define FRAMES_BODY_MAX 65536
#define FRAMES_QUEUE_MAX ((size_t)8 << 20)

/* What the destination has to make room for, before Prepare. */
struct frame_offer {
	uint64_t memory_bytes;
	uint32_t vcpus;
	size_t count;
	struct frame_disk {
		char target[DOMAIN_TARGET_MAX + 1];
		enum disk_format format;
		uint64_t capacity; /* virtual size in bytes */
		uint64_t used;	   /* bytes allocated at the source: what will be written */
	} disks[DOMAIN_DISKS_MAX];
};

int frame_offer_put(struct wbuf *w, const struct frame_offer *offer);

/* The version byte. -EPROTONOSUPPORT if it is another one or missing. */
int frame_version_get(struct rbuf *r);

/* -EPROTONOSUPPORT as above. Checks counts, formats, target names (letters and digits, no
 * duplicates) and that sizes are multiples of 512 below 2^62. -EBADMSG leaves *ret untouched. */
int frame_offer_get(struct rbuf *r, struct frame_offer *ret);

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
