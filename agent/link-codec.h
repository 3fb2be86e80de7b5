/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the peer channel: u8 kind, u8 version, u16 zero, hid16, u32 length, blob. */
#pragma once

#include "base/buf.h"
#include "base/ids.h"
#include "base/kerr.h"

#define LINK_VERSION 1
#define LINK_HEADER_LEN 24
#define LINK_MESSAGE_MAX 65536
#define LINK_BLOB_MAX (LINK_MESSAGE_MAX - LINK_HEADER_LEN)

/* The order is the wire value minus one: append only. */
enum link_kind {
	LINK_PAIR,    /* a pairing blob of policyd; hid zero */
	LINK_SESSION, /* a session blob of policyd */
	LINK_REFUSED, /* a kerr: over; hid zero in a pairing */
	LINK_CUSTODY, /* a signed statement; hid zero */
	LINK_BYE,     /* no blob: over, nothing is wrong */
	LINK_OFFERS,  /* hid zero; empty: what do you offer to VMs? Else the mover's record of it */
	LINK_CONSOLE, /* a blob of policyd, of a session before a console */
	_LINK_KIND_MAX,
};
DECLARE_NAMES(link_kind, enum link_kind);

/* One message; `blob` is borrowed from what was decoded. */
struct link_message {
	enum link_kind kind;
	uint8_t hid[HID_LEN];
	const uint8_t *blob;
	size_t len;
};

/* Appends the message to `w`. -EINVAL for one that link_decode() would refuse, -ENOBUFS. */
int link_encode(struct wbuf *w, const struct link_message *m);

/* Reads exactly one message of `len` bytes (N1). -EBADMSG for anything but a well-formed one:
 * unknown kind or version, reserved bits, a hid where there must be none or none where there
 * must be one, a blob where there is none, bytes left over. */
int link_decode(const uint8_t *data, size_t len, struct link_message *ret);

/* The error in a REFUSED message. -EBADMSG if there is none; code OK is none. */
int link_decode_error(const struct link_message *m, struct kerr *ret);
