/* SPDX-License-Identifier: Apache-2.0 */
/* Tells from its first bytes whether a connection is for the mover or for the peer channel. */
#pragma once

#include "mover/proto.h"

enum preface_kind {
	PREFACE_TLS,  /* begins like a TLS handshake record */
	PREFACE_DATA, /* a data connection: hid and channel are filled */
	PREFACE_BAD,  /* neither, or cut off */
};

/* `data`: the first `len` bytes, DATA_PREFACE_LEN of them unless the peer stopped before (a
 * ClientHello is longer than that too). It proves nothing: TLS or the PSK does. */
enum preface_kind preface_classify(const uint8_t *data, size_t len, uint8_t ret_hid[HID_LEN],
				   uint16_t *ret_channel);
