/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt's RPC frames: codecs against recorded frames of libvirt 9.0.0, reassembly, N1. */
#include "mover/filter/rpc.h"

#include <glib.h>
#include <string.h>

#include "base/buf.h"

/* Recorded between virsh and libvirtd 9.0.0 in a managed migration. */
static const struct {
	const char *what, *hex;
	struct rpc_header h;
} recorded[] = {
	{"auth_list",
	 "0000001c2000808600000001000000420000000000000000"
	 "00000000",
	 {RPC_PROGRAM_REMOTE, 1, RPC_PROC_AUTH_LIST, RPC_TYPE_CALL, 0, 0}},
	{"auth_list reply",
	 "000000242000808600000001000000420000000100000000"
	 "000000000000000100000000",
	 {RPC_PROGRAM_REMOTE, 1, RPC_PROC_AUTH_LIST, RPC_TYPE_REPLY, 0, 0}},
	{"supports_feature",
	 "0000002020008086000000010000003c0000000000000001"
	 "000000000000000a",
	 {RPC_PROGRAM_REMOTE, 1, RPC_PROC_SUPPORTS_FEATURE, RPC_TYPE_CALL, 1, 0}},
	{"open",
	 "00000038200080860000000100000001000000000000000200000000000000010000000e71656d753a2f2f2f"
	 "73797374656d000000000000",
	 {RPC_PROGRAM_REMOTE, 1, RPC_PROC_OPEN, RPC_TYPE_CALL, 2, 0}},
	{"close reply",
	 "0000001c2000808600000001000000020000000100000008"
	 "00000000",
	 {RPC_PROGRAM_REMOTE, 1, RPC_PROC_CLOSE, RPC_TYPE_REPLY, 8, 0}},
};

static size_t unhex(const char *hex, uint8_t *ret, size_t size)
{
	size_t len = strlen(hex) / 2;

	g_assert_cmpuint(len, <=, size);
	g_assert_cmpint(hex_decode(hex, ret, len), ==, 0);
	return len;
}

static void test_recorded(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(recorded); i++) {
		uint8_t frame[128];
		size_t len = unhex(recorded[i].hex, frame, sizeof(frame));
		struct rpc_msg m;

		g_test_message("%s", recorded[i].what);
		g_assert_cmpint(rpc_parse(frame, len, &m), ==, 0);
		g_assert_cmpint(memcmp(&m.h, &recorded[i].h, sizeof(m.h)), ==, 0);
		g_assert_cmpuint(m.len, ==, len - RPC_HEADER_LEN);
	}
}

/* What we encode is byte for byte what libvirt encodes. */
static void test_encode(void)
{
	uint8_t frame[128];
	struct rpc_header h = rpc_call_header(RPC_PROC_AUTH_LIST, 0), reply;
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(4096);
	size_t at = 0;

	rpc_put_empty(&out, &h);
	reply = rpc_reply_header(&h, RPC_STATUS_OK);
	rpc_put_auth_list_none(&out, &reply);
	h = rpc_call_header(RPC_PROC_SUPPORTS_FEATURE, 1);
	rpc_put_int(&out, &h, 10);
	h = rpc_call_header(RPC_PROC_OPEN, 2);
	rpc_put_open(&out, &h, "qemu:///system", 0);
	h = rpc_call_header(RPC_PROC_CLOSE, 8);
	reply = rpc_reply_header(&h, RPC_STATUS_OK);
	rpc_put_empty(&out, &reply);
	g_assert_cmpint(out.error, ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(recorded); i++) {
		size_t len = unhex(recorded[i].hex, frame, sizeof(frame));

		g_assert_cmpuint(out.len - at, >=, len);
		g_assert_cmpmem(out.data + at, (int)len, frame, (int)len);
		at += len;
	}
	g_assert_cmpuint(at, ==, out.len);
}

static void parse_one(const struct xdr_out *out, struct rpc_msg *m)
{
	g_assert_cmpint(out->error, ==, 0);
	g_assert_cmpint(rpc_parse(out->data, out->len, m), ==, 0);
}

static void test_bodies(void)
{
	g_autofree struct rpc_prepare_args *p = g_new0(struct rpc_prepare_args, 1);
	g_autofree struct rpc_prepare_args *p2 = g_new0(struct rpc_prepare_args, 1);
	g_autofree struct rpc_finish_args *f = g_new0(struct rpc_finish_args, 1);
	g_autofree struct rpc_finish_args *f2 = g_new0(struct rpc_finish_args, 1);
	struct rpc_header h = rpc_call_header(RPC_PROC_PREPARE3_PARAMS, 6);
	_cleanup_xdr_out_ struct xdr_out a = xdr_out_init(4096), b = xdr_out_init(4096),
					 c = xdr_out_init(4096), d = xdr_out_init(4096),
					 e = xdr_out_init(4096);
	struct rpc_prepare_ret pr;
	struct rpc_finish_ret fr = {.name = "web", .name_len = 3, .id = -1}, fr2;
	struct rpc_error error;
	struct rpc_msg m;

	xdr_params_add_string(&p->params, "destination_xml", "<domain/>", 9);
	p->cookie = (const uint8_t *)"cookie";
	p->cookie_len = 7;
	p->flags = 0x61;
	rpc_put_prepare(&a, &h, p);
	parse_one(&a, &m);
	g_assert_cmpint(rpc_get_prepare(&m, p2), ==, 0);
	g_assert_cmpmem(p2->cookie, (int)p2->cookie_len, "cookie", 7);
	g_assert_cmpuint(p2->flags, ==, 0x61);
	g_assert_cmpuint(p2->params.count, ==, 1);
	for (size_t cut = 1; cut <= m.len; cut++) {
		struct rpc_msg shorter = m;

		shorter.len -= cut;
		g_assert_cmpint(rpc_get_prepare(&shorter, p2), ==, -EBADMSG);
	}

	rpc_put_prepare_ret(&b, &h, "c", 2, "unix:///x");
	parse_one(&b, &m);
	g_assert_cmpint(rpc_get_prepare_ret(&m, &pr), ==, 0);
	g_assert_cmpmem(pr.uri, (int)pr.uri_len, "unix:///x", 9);
	g_assert_cmpint(rpc_get_finish(&m, f2), ==, -EBADMSG);

	f->flags = 0x20;
	f->cancelled = 1;
	rpc_put_finish(&c, &h, f);
	parse_one(&c, &m);
	g_assert_cmpint(rpc_get_finish(&m, f2), ==, 0);
	g_assert_cmpint(f2->cancelled, ==, 1);
	/* the last four bytes are `cancelled`, as measured */
	g_assert_cmpmem(m.body + m.len - 4, 4, "\0\0\0\1", 4);

	memset(fr.uuid, 0xab, sizeof(fr.uuid));
	rpc_put_finish_ret(&d, &h, &fr);
	parse_one(&d, &m);
	g_assert_cmpint(rpc_get_finish_ret(&m, &fr2), ==, 0);
	g_assert_cmpmem(fr2.name, (int)fr2.name_len, "web", 3);
	g_assert_cmpint(fr2.id, ==, -1);
	g_assert_cmpmem(fr2.uuid, 16, fr.uuid, 16);

	rpc_put_error(&e, &h, "It failed.");
	parse_one(&e, &m);
	g_assert_cmpuint(m.h.type, ==, RPC_TYPE_REPLY);
	g_assert_cmpuint(m.h.status, ==, RPC_STATUS_ERROR);
	g_assert_cmpuint(m.h.serial, ==, 6);
	g_assert_cmpint(rpc_get_error(&m, &error), ==, 0);
	g_assert_cmpmem(error.message, (int)error.message_len, "It failed.", 10);
}

static void test_auth(void)
{
	static const struct {
		const char *body;
		int r;
		bool none, polkit;
	} cases[] = {
		{"0000000100000000", 0, true, false},	      {"0000000100000002", 0, false, true},
		{"000000020000000000000002", 0, false, true}, {"00000000", 0, false, false},
		{"00000001", -EBADMSG, false, false},	      {"00000015", -EBADMSG, false, false},
		{"ffffffff", -EBADMSG, false, false},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint8_t body[32];
		struct rpc_msg m = {.body = body, .len = unhex(cases[i].body, body, sizeof(body))};
		bool none = false, polkit = false;

		g_assert_cmpint(rpc_get_auth_list_ret(&m, &none, &polkit), ==, cases[i].r);
		g_assert_cmpint(none, ==, cases[i].none);
		g_assert_cmpint(polkit, ==, cases[i].polkit);
	}
}

static void test_stream(void)
{
	for (size_t step = 1; step < 200; step += 7) {
		_cleanup_(rpc_stream_freep) struct rpc_stream *s = NULL;
		uint8_t all[512];
		size_t len = 0, seen = 0;
		struct rpc_msg m;

		for (size_t i = 0; i < G_N_ELEMENTS(recorded); i++)
			len += unhex(recorded[i].hex, all + len, sizeof(all) - len);
		g_assert_cmpint(rpc_stream_new(4096, &s), ==, 0);
		g_assert_cmpint(rpc_stream_next(s, &m), ==, 0);
		for (size_t at = 0; at < len; at += step) {
			g_assert_cmpint(rpc_stream_push(s, all + at, MIN_OF(step, len - at)), ==,
					0);
			while (rpc_stream_next(s, &m) == 1) {
				g_assert_cmpuint(m.h.procedure, ==, recorded[seen].h.procedure);
				seen++;
			}
		}
		g_assert_cmpuint(seen, ==, G_N_ELEMENTS(recorded));
		g_assert_cmpint(rpc_stream_next(s, &m), ==, 0);
	}
}

static void test_stream_bad(void)
{
	static const uint32_t lengths[] = {0, 1, 4, 27, 4097, 0x7fffffff, 0xffffffff};
	struct rpc_stream *s = NULL;
	struct rpc_msg m;

	for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
		uint8_t word[4] = {(uint8_t)(lengths[i] >> 24), (uint8_t)(lengths[i] >> 16),
				   (uint8_t)(lengths[i] >> 8), (uint8_t)lengths[i]};

		g_assert_cmpint(rpc_stream_new(4096, &s), ==, 0);
		g_assert_cmpint(rpc_stream_push(s, word, 3), ==, 0);
		g_assert_cmpint(rpc_stream_push(s, word + 3, 1), ==, -EBADMSG);
		g_assert_cmpint(rpc_stream_next(s, &m), ==, -EBADMSG);
		g_assert_cmpint(rpc_stream_push(s, word, 4), ==, -EBADMSG);
		s = rpc_stream_free(s);
	}
	/* a second frame that is bad kills the stream too */
	uint8_t two[RPC_HEADER_LEN + 4] = {0, 0, 0, RPC_HEADER_LEN};
	g_assert_cmpint(rpc_stream_new(4096, &s), ==, 0);
	g_assert_cmpint(rpc_stream_push(s, two, sizeof(two)), ==, 0);
	g_assert_cmpint(rpc_stream_next(s, &m), ==, 1);
	g_assert_cmpint(rpc_stream_next(s, &m), ==, -EBADMSG);
	s = rpc_stream_free(s);
	/* nobody takes the frames out: bounded, not endless */
	g_autofree uint8_t *many = g_malloc0(4096);
	int r = 0;
	unsigned pushes = 0;

	many[3] = RPC_HEADER_LEN;
	g_assert_cmpint(rpc_stream_new(4096, &s), ==, 0);
	while (r == 0 && pushes++ < 1000)
		r = rpc_stream_push(s, many, 4096);
	g_assert_cmpint(r, ==, -EBADMSG);
	g_assert_cmpuint(pushes, <, 10);
	s = rpc_stream_free(s);
	g_assert_cmpint(rpc_stream_new(RPC_HEADER_LEN - 1, &s), ==, -EINVAL);
	g_assert_cmpint(rpc_stream_new(RPC_FRAME_MAX + 1, &s), ==, -EINVAL);
}

static void test_parse_bad(void)
{
	uint8_t frame[RPC_HEADER_LEN + 4] = {0, 0, 0, RPC_HEADER_LEN + 4};
	struct rpc_msg m;

	g_assert_cmpint(rpc_parse(frame, sizeof(frame), &m), ==, 0);
	for (size_t len = 0; len < sizeof(frame); len++)
		g_assert_cmpint(rpc_parse(frame, len, &m), ==, -EBADMSG);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/rpc/recorded frames decode", test_recorded);
	g_test_add_func("/rpc/encoder gives recorded bytes", test_encode);
	g_test_add_func("/rpc/bodies round trip", test_bodies);
	g_test_add_func("/rpc/auth list", test_auth);
	g_test_add_func("/rpc/reassembly", test_stream);
	g_test_add_func("/rpc/N1 impossible lengths", test_stream_bad);
	g_test_add_func("/rpc/N1 truncated header", test_parse_bad);
	return g_test_run();
}
