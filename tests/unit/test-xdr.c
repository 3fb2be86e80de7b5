/* SPDX-License-Identifier: Apache-2.0 */
/* XDR cursors: bounds, padding, typed parameters (N1). */
#include "mover/filter/xdr.h"

#include <glib.h>
#include <string.h>

static void test_scalars(void)
{
	static const uint8_t bytes[] = {0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe, 1, 2,
					3, 4, 5, 6, 7,	  8,	0,    0,    0, 1};
	struct xdr_in in = xdr_in_init(bytes, sizeof(bytes));

	g_assert_cmpuint(xdr_get_u32(&in), ==, 1);
	g_assert_cmpuint(xdr_get_u32(&in), ==, 0xfffffffe);
	g_assert_cmpuint(xdr_get_hyper(&in), ==, 0x0102030405060708);
	g_assert_cmpint(xdr_in_end(&in), ==, -EBADMSG);
	g_assert_true(xdr_get_bool(&in));
	g_assert_cmpint(xdr_in_end(&in), ==, 0);
	g_assert_cmpuint(xdr_get_u32(&in), ==, 0);
	g_assert_cmpint(xdr_in_end(&in), ==, -EBADMSG);
}

static void test_round_trip(void)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(4096);
	struct xdr_in in;
	char fixed[5];
	size_t len;

	xdr_put_u32(&out, 7);
	xdr_put_hyper(&out, 1ull << 40);
	xdr_put_fixed(&out, "abcde", 5);
	xdr_put_opaque(&out, "\0\1", 2);
	xdr_put_string(&out, "hello", 5);
	xdr_put_optional(&out, NULL);
	xdr_put_optional(&out, "x");
	xdr_patch_u32(&out, 0, 8);
	g_assert_cmpint(out.error, ==, 0);
	g_assert_cmpuint(out.len % 4, ==, 0);
	in = xdr_in_init(out.data, out.len);
	g_assert_cmpuint(xdr_get_u32(&in), ==, 8);
	g_assert_cmpuint(xdr_get_hyper(&in), ==, 1ull << 40);
	xdr_get_fixed(&in, fixed, 5);
	g_assert_cmpmem(fixed, 5, "abcde", 5);
	const uint8_t *opaque = xdr_get_opaque(&in, 2, &len);
	g_assert_cmpmem(opaque, (int)len, "\0\1", 2);
	const char *text = xdr_get_string(&in, 5, &len);
	g_assert_cmpmem(text, (int)len, "hello", 5);
	g_assert_null(xdr_get_optional(&in, 5, &len));
	text = xdr_get_optional(&in, 5, &len);
	g_assert_cmpmem(text, (int)len, "x", 1);
	g_assert_cmpint(xdr_in_end(&in), ==, 0);
}

static void test_bad(void)
{
	static const struct {
		const char *what;
		uint8_t bytes[8];
		size_t len, max;
	} cases[] = {
		{"longer than the buffer", {0, 0, 0, 5, 'a', 'b', 'c', 'd'}, 8, 100},
		{"longer than the limit", {0, 0, 0, 4, 'a', 'b', 'c', 'd'}, 8, 3},
		{"padding is not zero", {0, 0, 0, 1, 'a', 0, 0, 1}, 8, 100},
		{"padding is missing", {0, 0, 0, 1, 'a'}, 5, 100},
		{"4 GiB", {0xff, 0xff, 0xff, 0xff}, 4, SIZE_MAX},
		{"NUL inside", {0, 0, 0, 3, 'a', 0, 'b', 0}, 8, 100},
		{"cut in the length", {0, 0, 0}, 3, 100},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct xdr_in in = xdr_in_init(cases[i].bytes, cases[i].len);
		size_t len = 77;

		g_test_message("%s", cases[i].what);
		g_assert_null(xdr_get_string(&in, cases[i].max, &len));
		g_assert_cmpuint(len, ==, 0);
		g_assert_cmpint(xdr_in_end(&in), ==, -EBADMSG);
		g_assert_cmpuint(xdr_get_u32(&in), ==, 0);
	}
	struct xdr_in two = xdr_in_init("\0\0\0\2", 4);
	xdr_get_bool(&two);
	g_assert_cmpint(xdr_in_end(&two), ==, -EBADMSG);
}

static void test_cap(void)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(12);

	xdr_put_u32(&out, 1);
	xdr_put_opaque(&out, "abcd", 4);
	g_assert_cmpint(out.error, ==, 0);
	xdr_put_u32(&out, 2);
	g_assert_cmpint(out.error, ==, -ENOBUFS);
	g_assert_cmpuint(out.len, ==, 12);
	xdr_put_hyper(&out, 2);
	g_assert_cmpint(out.error, ==, -ENOBUFS);
}

static void encode(struct xdr_out *out, const struct xdr_params *p)
{
	xdr_put_params(out, p);
	g_assert_cmpint(out->error, ==, 0);
}

static int add_number(struct xdr_params *p, const char *field, uint64_t v)
{
	int r = xdr_params_add_string(p, field, NULL, 0);

	if (r == 0) {
		p->items[p->count - 1].type = XDR_PARAM_ULLONG;
		p->items[p->count - 1].number = v;
	}
	return r;
}

static void test_params(void)
{
	static struct xdr_params p, q;
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(65536);
	struct xdr_in in;

	p.count = 0;
	g_assert_cmpint(xdr_params_add_string(&p, "destination_name", "web", 3), ==, 0);
	g_assert_cmpint(add_number(&p, "bandwidth", UINT64_MAX), ==, 0);
	for (int type = XDR_PARAM_INT; type <= XDR_PARAM_BOOLEAN; type++) {
		g_assert_cmpint(add_number(&p, "x.y", 1), ==, 0);
		p.items[p.count - 1].type = (enum xdr_param_type)type;
	}
	p.items[2].number = (uint64_t)-5;
	encode(&out, &p);
	in = xdr_in_init(out.data, out.len);
	xdr_get_params(&in, &q);
	g_assert_cmpint(xdr_in_end(&in), ==, 0);
	g_assert_cmpuint(q.count, ==, p.count);
	for (size_t i = 0; i < p.count; i++) {
		g_assert_cmpstr(q.items[i].field, ==, p.items[i].field);
		g_assert_cmpint(q.items[i].type, ==, p.items[i].type);
		g_assert_cmpuint(q.items[i].number, ==, p.items[i].number);
	}
	g_assert_cmpmem(q.items[0].text, (int)q.items[0].text_len, "web", 3);
	/* every truncation fails */
	for (size_t len = 0; len < out.len; len++) {
		in = xdr_in_init(out.data, len);
		xdr_get_params(&in, &q);
		g_assert_cmpint(xdr_in_end(&in), ==, -EBADMSG);
		g_assert_cmpuint(q.count, ==, 0);
	}
}

static void test_bad_params(void)
{
	static struct xdr_params p, q;
	struct xdr_in in;

	/* full at 64 */
	for (unsigned i = 0; i < XDR_PARAMS_MAX; i++)
		g_assert_cmpint(add_number(&p, "a", i), ==, 0);
	g_assert_cmpint(add_number(&p, "a", 0), ==, -ENOBUFS);
	_cleanup_xdr_out_ struct xdr_out full = xdr_out_init(65536);
	encode(&full, &p);
	in = xdr_in_init(full.data, full.len);
	xdr_get_params(&in, &q);
	g_assert_cmpint(xdr_in_end(&in), ==, 0);
	g_assert_cmpuint(q.count, ==, XDR_PARAMS_MAX);
	/* 65 whole ones */
	xdr_put_string(&full, "a", 1);
	xdr_put_u32(&full, XDR_PARAM_ULLONG);
	xdr_put_hyper(&full, 1);
	xdr_patch_u32(&full, 0, XDR_PARAMS_MAX + 1);
	in = xdr_in_init(full.data, full.len);
	xdr_get_params(&in, &q);
	g_assert_cmpint(in.error, ==, -EBADMSG);
	xdr_patch_u32(&full, 0, UINT32_MAX);
	in = xdr_in_init(full.data, full.len);
	xdr_get_params(&in, &q);
	g_assert_cmpint(in.error, ==, -EBADMSG);
	/* types 0 and 8 */
	for (uint32_t type = 0; type <= 8; type += 8) {
		xdr_patch_u32(&full, 0, XDR_PARAMS_MAX);
		xdr_patch_u32(&full, 12, type);
		in = xdr_in_init(full.data, full.len);
		xdr_get_params(&in, &q);
		g_assert_cmpint(in.error, ==, -EBADMSG);
	}
	/* field names: empty, too long, odd */
	g_autofree char *longest = g_strnfill(XDR_FIELD_MAX, 'a'),
			*longer = g_strnfill(XDR_FIELD_MAX + 1, 'a');
	p.count = 0;
	g_assert_cmpint(add_number(&p, longest, 0), ==, 0);
	g_assert_cmpint(add_number(&p, longer, 0), ==, -ENOBUFS);
	g_assert_cmpint(add_number(&p, "", 0), ==, -ENOBUFS);
	g_assert_cmpint(add_number(&p, "a b", 0), ==, -ENOBUFS);
	g_assert_cmpint(xdr_params_add_string(&p, "a\n", "", 0), ==, -ENOBUFS);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/xdr/scalars", test_scalars);
	g_test_add_func("/xdr/round trip", test_round_trip);
	g_test_add_func("/xdr/N1 lengths and padding", test_bad);
	g_test_add_func("/xdr/N1 output cap", test_cap);
	g_test_add_func("/xdr/typed parameters", test_params);
	g_test_add_func("/xdr/N1 typed parameters", test_bad_params);
	return g_test_run();
}
