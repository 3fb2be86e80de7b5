/* SPDX-License-Identifier: Apache-2.0 */
/* Codec of the peer channel. */
#include "agent/link-codec.h"

#include <sodium.h>

#include "base/code.h"

static const char *const link_kind_names[_LINK_KIND_MAX] = {
	[LINK_PAIR] = "pair",	    [LINK_SESSION] = "session", [LINK_REFUSED] = "refused",
	[LINK_CUSTODY] = "custody", [LINK_BYE] = "bye",		[LINK_OFFERS] = "offers",
	[LINK_CONSOLE] = "console",
};
DEFINE_NAMES(link_kind, enum link_kind, _LINK_KIND_MAX)

static const struct {
	bool hid_wanted, hid_allowed, blob_allowed;
} rules[_LINK_KIND_MAX] = {
	[LINK_PAIR] = {false, false, true},   [LINK_SESSION] = {true, true, true},
	[LINK_REFUSED] = {false, true, true}, [LINK_CUSTODY] = {false, false, true},
	[LINK_BYE] = {false, true, false},    [LINK_OFFERS] = {false, false, true},
	[LINK_CONSOLE] = {true, true, true},
};

/* What the kind allows besides itself. */
static bool fits_kind(const struct link_message *m)
{
	bool has_hid = !sodium_is_zero(m->hid, HID_LEN);

	return (has_hid || !rules[m->kind].hid_wanted) &&
	       (!has_hid || rules[m->kind].hid_allowed) && (!m->len || rules[m->kind].blob_allowed);
}

static void link_message_code(struct coder *c, struct link_message *v)
{
	/* 0 is no kind on the wire. */
	unsigned kind = code_enum(c, (unsigned)v->kind + 1, _LINK_KIND_MAX + 1);
	uint8_t version = LINK_VERSION;
	uint16_t reserved = 0;

	code_check(c, kind != 0);
	code_u8(c, &version);
	code_check(c, version == LINK_VERSION);
	code_u16(c, &reserved);
	code_check(c, reserved == 0);
	CODE_BYTES(c, v->hid);
	code_blob(c, &v->blob, &v->len, LINK_BLOB_MAX);
	if (!code_good(c))
		return;
	v->kind = (enum link_kind)(kind - 1);
	code_check(c, fits_kind(v));
}
DEFINE_RECORD(link_message)

int link_encode(struct wbuf *w, const struct link_message *m)
{
	return record_put(w, &link_message_record, m);
}

int link_decode(const uint8_t *data, size_t len, struct link_message *ret)
{
	struct rbuf r = rbuf_init(data, len);
	struct link_message m;

	if (record_get(&r, &link_message_record, &m) < 0 || rbuf_end(&r) < 0)
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
