/* SPDX-License-Identifier: Apache-2.0 */
/* Classification of a connection by the bytes that were peeked at. */
#include "agent/preface.h"

/* RFC 8446 5.1: ContentType handshake(22), legacy_record_version 0x0301 or 0x0303. */
#define TLS_HANDSHAKE 0x16
#define TLS_MAJOR 0x03

enum preface_kind preface_classify(const uint8_t *data, size_t len, uint8_t ret_hid[HID_LEN],
				   uint16_t *ret_channel)
{
	if (len < DATA_PREFACE_LEN)
		return PREFACE_BAD;
	if (data[0] == TLS_HANDSHAKE && data[1] == TLS_MAJOR)
		return PREFACE_TLS;
	return data_preface_get(data, ret_hid, ret_channel) == 0 ? PREFACE_DATA : PREFACE_BAD;
}
