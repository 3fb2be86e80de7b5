/* SPDX-License-Identifier: Apache-2.0 */
/* Luggage: nothing but what was announced is taken, and it is whole or not there. */
#include <glib.h>
#include <sodium.h>
#include <string.h>

#include "mover/luggage.h"

#define LEN 100000u

static struct luggage packed(void)
{
	struct luggage l = {g_malloc(LEN), LEN};

	for (size_t i = 0; i < LEN; i++)
		l.data[i] = (uint8_t)(i * 7 + i / 251);
	return l;
}

static void test_whole(void)
{
	struct luggage from = packed(), to = {0};
	struct frame_packed announced;
	int r = 0;

	luggage_announce(&from, &announced);
	g_assert_cmpuint(announced.len, ==, LEN);
	for (size_t at = 0; at < LEN; at += LUGGAGE_PIECE_MAX) {
		size_t n = MIN_OF(LEN - at, LUGGAGE_PIECE_MAX);

		g_assert_cmpint(r, ==, 0);
		r = luggage_take(&to, &announced, from.data + at, n);
	}
	g_assert_cmpint(r, ==, 1);
	g_assert_cmpmem(to.data, to.len, from.data, from.len);
	/* One byte more, also where nothing is missing any more. */
	g_assert_cmpint(luggage_take(&to, &announced, from.data, 1), ==, -EBADMSG);
	luggage_clear(&from);
	luggage_clear(&to);
}

static void test_other(void)
{
	struct luggage from = packed(), to = {0};
	struct frame_packed announced;

	luggage_announce(&from, &announced);
	from.data[LEN - 1] ^= 1;
	g_assert_cmpint(luggage_take(&to, &announced, from.data, LEN), ==, -EBADMSG);
	luggage_clear(&to);
	from.data[LEN - 1] ^= 1;
	g_assert_cmpint(luggage_take(&to, &announced, from.data, LEN), ==, 1); /* its twin */
	luggage_clear(&to);
	g_assert_cmpint(luggage_take(&to, &announced, from.data, LEN + 1), ==, -EBADMSG);
	g_assert_null(to.data);
	g_assert_cmpint(luggage_take(&to, &announced, from.data, 0), ==, -EBADMSG);
	announced.len = 0;
	g_assert_cmpint(luggage_take(&to, &announced, from.data, 1), ==, -EBADMSG);
	luggage_clear(&from);
}

static void test_none(void)
{
	static const struct luggage none;
	struct frame_packed announced = {7, {7}};

	luggage_announce(&none, &announced);
	g_assert_cmpuint(announced.len, ==, 0);
	g_assert_cmpuint(announced.hash[0], ==, 0);
}

static void test_frame(void)
{
	struct frame_luggage in = {LUGGAGE_NVRAM, (const uint8_t *)"abc", 3}, out;
	uint8_t buf[64];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	g_assert_cmpint(frame_luggage_put(&w, &in), ==, 0);
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(frame_luggage_get(&r, &out), ==, 0);
	g_assert_cmpmem(out.piece, out.len, "abc", 3);
	for (size_t n = 0; n < w.len; n++) {
		r = rbuf_init(buf, n);
		g_assert_cmpint(frame_luggage_get(&r, &out), ==, -EBADMSG);
	}
	buf[0] = _LUGGAGE_MAX;
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(frame_luggage_get(&r, &out), ==, -EBADMSG);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0)
		return 1;
	g_test_add_func("/luggage/whole", test_whole);
	g_test_add_func("/luggage/H23 other than announced", test_other);
	g_test_add_func("/luggage/none", test_none);
	g_test_add_func("/luggage/frame", test_frame);
	return g_test_run();
}
