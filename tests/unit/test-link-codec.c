/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the peer channel: one form each, everything else is refused. */
#include <glib.h>
#include <string.h>

#include "agent/link-codec.h"
#include "tests/unit/golden.h"

static const uint8_t hid[HID_LEN] = {1};
static uint8_t wire[LINK_MESSAGE_MAX];

static size_t encode(enum link_kind kind, bool with_hid, const void *blob, size_t len)
{
	struct link_message m = {.kind = kind, .blob = blob, .len = len};
	struct wbuf w = wbuf_init(wire, sizeof(wire));

	if (with_hid)
		memcpy(m.hid, hid, HID_LEN);
	g_assert_cmpint(link_encode(&w, &m), ==, 0);
	return w.len;
}

/* A hostile device writes what it likes. */
static size_t put_freely(const struct link_message *m)
{
	struct wbuf w = wbuf_init(wire, sizeof(wire));

	wbuf_u8(&w, (uint8_t)(m->kind + 1));
	wbuf_u8(&w, LINK_VERSION);
	wbuf_u16(&w, 0);
	wbuf_bytes(&w, m->hid, HID_LEN);
	wbuf_blob(&w, m->blob, m->len);
	g_assert_cmpint(wbuf_error(&w), ==, 0);
	return w.len;
}

static int decode(size_t len)
{
	struct link_message m;

	return link_decode(wire, len, &m);
}

static void test_round(void)
{
	struct link_message m;
	size_t len = encode(LINK_SESSION, true, "blob", 4);

	g_assert_cmpuint(len, ==, LINK_HEADER_LEN + 4);
	g_assert_cmpint(link_decode(wire, len, &m), ==, 0);
	g_assert_cmpint(m.kind, ==, LINK_SESSION);
	g_assert_cmpmem(m.hid, HID_LEN, hid, HID_LEN);
	g_assert_cmpmem(m.blob, (int)m.len, "blob", 4);
}

static void test_rules(void)
{
	static const struct {
		enum link_kind kind;
		bool hid, blob;
		int want;
	} rows[] = {
		{LINK_PAIR, false, true, 0},	       {LINK_PAIR, true, true, -EBADMSG},
		{LINK_SESSION, true, true, 0},	       {LINK_SESSION, false, true, -EBADMSG},
		{LINK_CUSTODY, false, true, 0},	       {LINK_CUSTODY, true, true, -EBADMSG},
		{LINK_REFUSED, false, true, 0},	       {LINK_REFUSED, true, true, 0},
		{LINK_BYE, false, false, 0},	       {LINK_BYE, true, false, 0},
		{LINK_BYE, false, true, -EBADMSG},     {LINK_PAIR, false, false, 0},
		{LINK_OFFERS, false, true, 0},	       {LINK_OFFERS, false, false, 0},
		{LINK_OFFERS, true, true, -EBADMSG},   {LINK_CONSOLE, true, true, 0},
		{LINK_CONSOLE, false, true, -EBADMSG},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct link_message m = {.kind = rows[i].kind, .blob = (const uint8_t *)"x"};
		struct wbuf w = wbuf_init(wire, sizeof(wire));

		m.len = rows[i].blob;
		m.hid[HID_LEN - 1] = rows[i].hid;
		g_assert_cmpint(decode(put_freely(&m)), ==, rows[i].want);
		/* The writer refuses the same. */
		g_assert_cmpint(link_encode(&w, &m), ==, rows[i].want ? -EINVAL : 0);
	}
}

static void test_torn(void)
{
	size_t len = encode(LINK_SESSION, true, "blob", 4);
	struct wbuf w;

	for (size_t n = 0; n < len; n++)
		g_assert_cmpint(decode(n), ==, -EBADMSG);
	g_assert_cmpint(decode(len + 1), ==, -EBADMSG);
	/* kind, version, reserved, length: any change is seen */
	for (size_t at = 0; at < LINK_HEADER_LEN; at++) {
		if (at >= 4 && at < 4 + HID_LEN)
			continue;
		encode(LINK_SESSION, true, "blob", 4);
		wire[at] ^= 0x80;
		g_assert_cmpint(decode(len), ==, -EBADMSG);
	}
	encode(LINK_SESSION, true, "blob", 4);
	wire[0] = 0;
	g_assert_cmpint(decode(len), ==, -EBADMSG);
	wire[0] = _LINK_KIND_MAX + 1;
	g_assert_cmpint(decode(len), ==, -EBADMSG);
	w = wbuf_init(wire, sizeof(wire));
	g_assert_cmpint(link_encode(&w, &(struct link_message){.kind = _LINK_KIND_MAX}), ==,
			-EINVAL);
}

static void test_size(void)
{
	static uint8_t blob[LINK_BLOB_MAX + 1];
	struct link_message m = {.kind = LINK_PAIR, .blob = blob, .len = LINK_BLOB_MAX + 1};
	struct wbuf w = wbuf_init(wire, sizeof(wire));

	g_assert_cmpint(link_encode(&w, &m), ==, -EINVAL);
	w = wbuf_init(wire, sizeof(wire));
	m.len = LINK_BLOB_MAX;
	g_assert_cmpint(link_encode(&w, &m), ==, 0);
	g_assert_cmpuint(w.len, ==, LINK_MESSAGE_MAX);
	g_assert_cmpint(decode(w.len), ==, 0);
}

static void test_error(void)
{
	uint8_t blob[600];
	struct wbuf w = wbuf_init(blob, sizeof(blob));
	struct kerr err = {0}, got = {0};
	struct link_message m = {.kind = LINK_REFUSED, .blob = blob};

	kerr_set(&err, 1, KCODE_ROOM, "There is no room.");
	kerr_put(&w, &err);
	m.len = w.len;
	g_assert_cmpint(link_decode_error(&m, &got), ==, 0);
	g_assert_cmpint(got.code, ==, KCODE_ROOM);
	g_assert_cmpstr(got.text, ==, "There is no room.");
	m.len = w.len - 1;
	g_assert_cmpint(link_decode_error(&m, &got), ==, -EBADMSG);
	m.len = w.len;
	m.kind = LINK_PAIR;
	g_assert_cmpint(link_decode_error(&m, &got), ==, -EBADMSG);
	m.kind = LINK_REFUSED;
	memset(blob, 0, 2); /* "ok" refuses nothing */
	g_assert_cmpint(link_decode_error(&m, &got), ==, -EBADMSG);
	blob[1] = 0x7f;
	g_assert_cmpint(link_decode_error(&m, &got), ==, -EBADMSG);
}

static void test_golden(void)
{
	struct kerr err = {0};
	uint8_t blob[64];
	struct wbuf w = wbuf_init(blob, sizeof(blob));

	kerr_set(&err, EIO, KCODE_INTERRUPTED, "The link broke.");
	g_assert_cmpint(kerr_put(&w, &err), ==, 0);
	golden_same("link.txt", "pair", wire, encode(LINK_PAIR, false, "blob", 4));
	golden_same("link.txt", "session", wire, encode(LINK_SESSION, true, "blob", 4));
	golden_same("link.txt", "refused", wire, encode(LINK_REFUSED, false, blob, w.len));
	golden_same("link.txt", "custody", wire, encode(LINK_CUSTODY, false, "blob", 4));
	golden_same("link.txt", "bye", wire, encode(LINK_BYE, true, NULL, 0));
	golden_same("link.txt", "offers", wire, encode(LINK_OFFERS, false, "blob", 4));
	golden_same("link.txt", "console", wire, encode(LINK_CONSOLE, true, "blob", 4));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/link-codec/round", test_round);
	g_test_add_func("/link-codec/what each kind may carry", test_rules);
	g_test_add_func("/link-codec/N1 torn and altered", test_torn);
	g_test_add_func("/link-codec/N1 size", test_size);
	g_test_add_func("/link-codec/golden bytes", test_golden);
	g_test_add_func("/link-codec/refusals", test_error);
	return g_test_run();
}
