/* SPDX-License-Identifier: Apache-2.0 */
/* The CONTROL channel between the two workers: small frames over TLS, never blocking. */
#pragma once

#include "base/buf.h"
#include "base/cleanup.h"
#include "mover/domain.h"
#include "mover/proto.h"
#include "mover/tls.h"

/* Wire: u8 type, u32 length, body. Append only. */
enum control_type {
	CONTROL_RPC = 1,     /* bytes of the libvirt RPC stream, in either direction */
	CONTROL_OFFER,	     /* S: version, what will come (control_offer) */
	CONTROL_DISKS_READY, /* D: images are made, RPC may start; version */
	CONTROL_VOTE,	     /* D: signed VOTE */
	CONTROL_RELEASE,     /* S: signed RELEASE */
	CONTROL_ACK,	     /* D: u64 microseconds since the guest ran again, blob signed ACK */
	CONTROL_NACK,	     /* D: signed NACK */
	CONTROL_ABORT,	     /* S: signed ABORT, or empty before the destination voted */
	CONTROL_PROGRESS,    /* S: mover_progress, for the other screen */
	CONTROL_ERROR,	     /* either: kerr, the sender gives up */
	CONTROL_MOVED,	     /* S: u64 downtime_ms; all is done */
	CONTROL_BEAT,	     /* either: alive; empty */
	CONTROL_PAUSED,	     /* S, before RELEASE: the owner paused the guest; empty */
	_CONTROL_MAX,
};
DECLARE_NAMES(control_type, enum control_type);

/* Of the frames and what is in them. Each side says its own with its first word, OFFER or
 * DISKS_READY, and goes on with its equal only. */
#define CONTROL_VERSION 1

#define CONTROL_HEADER_LEN 5
#define CONTROL_BODY_MAX 65536
#define CONTROL_QUEUE_MAX ((size_t)8 << 20)

/* What the destination has to make room for, before Prepare. */
struct control_offer {
	uint64_t memory_bytes;
	uint32_t vcpus;
	size_t count;
	struct control_disk {
		char target[DOMAIN_TARGET_MAX + 1];
		enum disk_format format;
		uint64_t capacity; /* virtual size in bytes */
		uint64_t used;	   /* bytes allocated at the source: what will be written */
	} disks[DOMAIN_DISKS_MAX];
};

int control_offer_put(struct wbuf *w, const struct control_offer *offer);

/* The version byte. -EPROTONOSUPPORT if it is another one or missing. */
int control_version_get(struct rbuf *r);

/* -EPROTONOSUPPORT as above. Checks counts, formats, target names (letters and digits, no
 * duplicates) and that sizes are multiples of 512 below 2^62. -EBADMSG leaves *ret untouched. */
int control_offer_get(struct rbuf *r, struct control_offer *ret);

struct control_frame {
	enum control_type type;
	const uint8_t *body; /* borrowed until the next call */
	size_t len;
};

struct control;

/* Takes over `tls`, on which the handshake may still be under way. */
int control_new(struct tls *tls, struct control **ret);
struct control *control_free(struct control *c);
DEFINE_CLEANUP(struct control *, control_free)

int control_fd(const struct control *c);
short control_events(const struct control *c);

/* Queues one frame and sends what the socket takes. -ENOBUFS when the peer does not read;
 * -EMSGSIZE; a broken connection shows up in control_next(). */
int control_send(struct control *c, enum control_type type, const void *body, size_t len);

/* Cuts any number of bytes into CONTROL_RPC frames. */
int control_send_rpc(struct control *c, const void *data, size_t len);

/* Reads and writes what is possible: 1 = *ret is the next frame, 0 = wait, -ECONNRESET and others
 * = the channel is dead, -EBADMSG = the peer broke the format, -EACCES = another key. */
int control_next(struct control *c, struct control_frame *ret);

/* Bytes that came so far: a frame may take long on a slow link. */
uint64_t control_received(const struct control *c);

/* True once both ends proved the key. */
bool control_ready(const struct control *c);

/* True if everything queued is with the kernel. */
bool control_flushed(const struct control *c);

/* Says goodbye and waits, at most `timeout_ms`, until the peer has read everything: closing a
 * socket that still has unread input would cut off what was sent last. */
void control_bye(struct control *c, int timeout_ms);

/* Parses one frame in memory (control_next() and the fuzz target): 1, 0 = more bytes are needed,
 * -EBADMSG. *ret_used counts header and body. */
int control_parse(const uint8_t *data, size_t len, struct control_frame *ret, size_t *ret_used);
