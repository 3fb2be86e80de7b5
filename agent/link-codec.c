/* SPDX-License-Identifier: Apache-2.0 */
/* Codec of the peer channel. */
#include "agent/link-codec.h"

#include <string.h>

static const char *const link_kind_names[_LINK_KIND_MAX] = {
	[LINK_PAIR] = "pair",	    [LINK_SESSION] = "session", [LINK_REFUSED] = "refused",
	[LINK_CUSTODY] = "custody", [LINK_BYE] = "bye",
};
DEFINE_NAMES(link_kind, enum link_kind, _LINK_KIND_MAX)

static const struct {
	bool hid_wanted, hid_allowed, blob_allowed;
} rules[_LINK_KIND_MAX] = {
	[LINK_PAIR] = {false, false, true},   [LINK_SESSION] = {true, true, true},
	[LINK_REFUSED] = {false, true, true}, [LINK_CUSTODY] = {false, false, true},
	[LINK_BYE] = {false, true, false},
};

int link_encode(struct wbuf *w, const struct link_message *m)
{
	if (m->len > LINK_BLOB_MAX)
		return -EMSGSIZE;
	wbuf_u8(w, (uint8_t)(m->kind + 1));
	wbuf_u8(w, LINK_VERSION);
	wbuf_u16(w, 0);
	wbuf_bytes(w, m->hid, HID_LEN);
	wbuf_blob(w, m->blob, m->len);
	return wbuf_error(w);
}

static bool is_zero(const uint8_t *data, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= data[i];
	return any == 0;
}

int link_decode(const uint8_t *data, size_t len, struct link_message *ret)
{
	struct rbuf r = rbuf_init(data, len);
	struct link_message m = {0};
	uint8_t kind = rbuf_u8(&r), version = rbuf_u8(&r);
	uint16_t reserved = rbuf_u16(&r);
	bool has_hid;

	rbuf_bytes(&r, m.hid, HID_LEN);
	m.blob = rbuf_blob(&r, LINK_BLOB_MAX, &m.len);
	if (rbuf_end(&r) < 0 || kind < 1 || kind > _LINK_KIND_MAX || version != LINK_VERSION ||
	    reserved)
		return -EBADMSG;
	m.kind = (enum link_kind)(kind - 1);
	has_hid = !is_zero(m.hid, HID_LEN);
	if ((rules[m.kind].hid_wanted && !has_hid) || (!rules[m.kind].hid_allowed && has_hid) ||
	    (!rules[m.kind].blob_allowed && m.len))
		return -EBADMSG;
	*ret = m;
	return 0;
}

int link_decode_error(const struct link_message *m, struct kerr *ret)
{
	struct rbuf r = rbuf_init(m->blob, m->len);
	struct kerr err;

	if (m->kind != LINK_REFUSED || kerr_get(&r, &err) < 0 || rbuf_end(&r) < 0 ||
	    err.code == KCODE_OK)
		return -EBADMSG;
	*ret = err;
	return 0;
}
