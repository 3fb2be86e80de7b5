/* SPDX-License-Identifier: Apache-2.0 */
/* Classification of a connection by the bytes that were peeked at. */
#include "agent/preface.h"

#include <string.h>

/* RFC 8446 5.1: ContentType handshake(22), legacy_record_version 0x0301 or 0x0303. */
#define TLS_HANDSHAKE 0x16
#define TLS_MAJOR 0x03

enum preface_kind preface_classify(const uint8_t *data, size_t len, uint8_t ret_hid[HID_LEN],
				   uint16_t *ret_channel)
{
	struct rbuf r = rbuf_init(data, len);
	struct data_preface v;

	if (len < DATA_PREFACE_LEN)
		return PREFACE_BAD;
	if (data[0] == TLS_HANDSHAKE && data[1] == TLS_MAJOR)
		return PREFACE_TLS;
	if (data_preface_get(&r, &v) < 0)
		return PREFACE_BAD;
	memcpy(ret_hid, v.hid, HID_LEN);
	*ret_channel = v.channel;
	return PREFACE_DATA;
}
