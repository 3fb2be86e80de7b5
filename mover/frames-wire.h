/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the frames of the control channel. Wire forms as base/code.h has them. */
#pragma once

#include "base/code.h"
#include "mover/filter/domain.h"

/* Wire: u8 type, u32 length, body. Append only. */
enum frame_type {
	FRAME_RPC = 1,	   /* bytes of the libvirt RPC stream, in either direction */
	FRAME_OFFER,	   /* S: frame_offer, its first word */
	FRAME_DISKS_READY, /* D: frame_ready, its first word: images are made, RPC may start */
	FRAME_VOTE,	   /* D: signed VOTE */
	FRAME_RELEASE,	   /* S: signed RELEASE */
	FRAME_ACK,	   /* D: frame_ack */
	FRAME_NACK,	   /* D: signed NACK */
	FRAME_ABORT,	   /* S: signed ABORT, or empty before the destination voted */
	FRAME_PROGRESS,	   /* S: mover_progress, for the other screen */
	FRAME_ERROR,	   /* either: kerr, the sender gives up */
	FRAME_MOVED,	   /* S: frame_moved; all is done */
	FRAME_BEAT,	   /* either: alive; empty */
	FRAME_PAUSED,	   /* S, before RELEASE: the owner paused the guest; empty */
	FRAME_LUGGAGE, /* S, after OFFER: frame_luggage, until all that was announced is there */
	FRAME_CONSOLE, /* D of a console: mover_console, its first word */
	_FRAME_MAX,
};
DECLARE_NAMES(frame_type, enum frame_type);

/* Of the frames and what is in them. Each side says its own with its first word, OFFER or
 * DISKS_READY, and goes on with its equal only. */
#define FRAMES_VERSION 5

#define FRAMES_HEADER_LEN 5
#define FRAMES_BODY_MAX 65536

struct frame_header {
	enum frame_type type;
	uint32_t len;
};

/* What belongs to a VM besides memory and disks (mover/luggage.h). */
enum luggage_kind {
	LUGGAGE_NVRAM, /* UEFI variables of a VM that is off: QEMU writes them only while it runs */
	LUGGAGE_DEFINITION, /* of a VM that is off: what carries it is another one; text of XML */
	_LUGGAGE_MAX,
};
DECLARE_NAMES(luggage_kind, enum luggage_kind);
#define LUGGAGE_LEN_MAX (1u << 20)
#define LUGGAGE_HASH_LEN 32

/* What the destination has to make room for, before Prepare. */
struct frame_offer {
	uint64_t memory_bytes;
	uint32_t vcpus;
	struct domain_origin origin;
	bool off;   /* the VM is switched off: its copy never ran, and never will; and only then its
		     * definition is in the luggage */
	bool boots; /* it was shut down for this, and is started where it arrives */
	struct frame_packed {
		uint32_t len; /* at most LUGGAGE_LEN_MAX; 0 = there is none */
		uint8_t hash[LUGGAGE_HASH_LEN];
	} luggage[_LUGGAGE_MAX];
	size_t count;
	struct frame_disk {
		char target[DOMAIN_TARGET_MAX + 1]; /* letters and digits, none twice */
		enum disk_format format;
		uint64_t capacity; /* virtual size in bytes: a multiple of 512 below 2^62 */
		uint64_t used;	   /* bytes allocated at the source: what will be written */
		struct domain_shared shared; /* it stays there, and nothing is written */
	} disks[DOMAIN_DISKS_MAX];
};
#define FRAME_OFFER_MAX                                                               \
	(46 + CPU_MODEL_MAX + CPU_VENDOR_MAX + CPU_FEATURES_MAX + _LUGGAGE_MAX * 36 + \
	 DOMAIN_DISKS_MAX * (DOMAIN_TARGET_MAX + 27 + DOMAIN_STORE_MAX + DOMAIN_VOLUME_MAX + 4))

static inline bool frame_disk_is_shared(const struct frame_disk *disk)
{
	return disk->shared.volume[0] != '\0';
}

struct frame_ack {
	uint64_t late_us;   /* since the guest ran again */
	bool off;	    /* it was to boot there, and does not */
	const uint8_t *ack; /* the signed statement, borrowed */
	size_t len;
};

struct frame_luggage {
	enum luggage_kind kind;
	const uint8_t *piece; /* borrowed */
	size_t len;
};

struct frame_moved {
	uint64_t downtime_ms;
};

DECLARE_CODEC(frame_header);
DECLARE_CODEC(frame_ack);
DECLARE_CODEC(frame_luggage);
DECLARE_CODEC(frame_moved);

/* The two first words. get: -EPROTONOSUPPORT if the version is another one or missing, -EBADMSG,
 * -ENOMEM; *ret is untouched then. */
int frame_offer_put(struct wbuf *w, const struct frame_offer *offer);
int frame_offer_get(struct rbuf *r, struct frame_offer *ret);
int frame_ready_put(struct wbuf *w);
int frame_ready_get(struct rbuf *r);
