/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's RPC filter: order, parameters, flags, procedures (H12, H14, H15, H16, H21). */
#include "gateway-fixtures.h"

/* ---- the ordinary way ---- */

static void check_prepare(const struct gateway_action *a)
{
	g_autofree struct rpc_prepare_args *p = g_new0(struct rpc_prepare_args, 1);
	const struct xdr_param *xml;
	struct rpc_msg m;

	g_assert_cmpint(a->verdict, ==, GATEWAY_FORWARD);
	g_assert_cmpint(a->event, ==, GATEWAY_EVENT_PREPARE);
	g_assert_cmpint(rpc_parse(a->data, a->len, &m), ==, 0);
	g_assert_cmpint(rpc_get_prepare(&m, p), ==, 0);
	g_assert_cmpuint(p->flags, ==, FLAGS);
	g_assert_cmpuint(p->params.count, ==, 5);
	assert_param(&p->params, VIR_MIGRATE_PARAM_URI, 0, RAM_URI);
	assert_param(&p->params, VIR_MIGRATE_PARAM_DISKS_URI, 0, NBD_URI);
	assert_param(&p->params, VIR_MIGRATE_PARAM_MIGRATE_DISKS, 0, "vda");
	assert_param(&p->params, VIR_MIGRATE_PARAM_MIGRATE_DISKS, 1, "sda");
	xml = find_param(&p->params, VIR_MIGRATE_PARAM_DEST_XML, 0);
	g_assert_nonnull(xml);
	g_assert_null(g_strstr_len(xml->text, (gssize)xml->text_len, "/home/old"));
	g_assert_nonnull(g_strstr_len(xml->text, (gssize)xml->text_len, FIX_PATH0));
	g_assert_cmpuint(p->cookie[p->cookie_len - 1], ==, 0);
}

static void test_whole(void)
{
	_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_OPEN);
	_cleanup_gateway_action_ struct gateway_action a = {0};
	g_autofree struct rpc_prepare_args *p = prepare_args();
	g_autofree struct rpc_finish_args *f = finish_args();
	g_autofree struct rpc_finish_args *f2 = g_new0(struct rpc_finish_args, 1);
	struct rpc_prepare_ret pr;
	struct rpc_finish_ret fr;
	struct rpc_msg m;

	g_assert_null(gateway_domain_xml(g));
	send_prepare(g, p, &a);
	check_prepare(&a);
	g_assert_nonnull(strstr(gateway_domain_xml(g), FIX_PATH1));

	answer_prepare(g, &a);
	g_assert_cmpint(a.event, ==, GATEWAY_EVENT_PREPARED);
	g_assert_cmpint(rpc_parse(a.data, a.len, &m), ==, 0);
	g_assert_cmpint(rpc_get_prepare_ret(&m, &pr), ==, 0);
	g_assert_cmpmem(pr.uri, (int)pr.uri_len, SOURCE_URI, (int)strlen(SOURCE_URI));

	send_finish(g, f, &a);
	g_assert_cmpint(a.event, ==, GATEWAY_EVENT_FINISH);
	g_assert_cmpint(rpc_parse(a.data, a.len, &m), ==, 0);
	g_assert_cmpint(rpc_get_finish(&m, f2), ==, 0);
	g_assert_cmpuint(f2->params.count, ==, 1);
	assert_param(&f2->params, VIR_MIGRATE_PARAM_DEST_NAME, 0, FIX_NAME);
	g_assert_cmpuint(f2->flags, ==, FLAGS);
	g_assert_cmpint(f2->cancelled, ==, 0);

	answer_finish(g, FIX_NAME, 0, &a);
	g_assert_cmpint(a.verdict, ==, GATEWAY_HOLD);
	g_assert_cmpint(a.event, ==, GATEWAY_EVENT_FINISHED);
	g_assert_null(a.data);
	g_assert_cmpint(gateway_release_finish(g, &a), ==, 0);
	g_assert_cmpint(rpc_parse(a.data, a.len, &m), ==, 0);
	g_assert_cmpuint(m.h.serial, ==, 7);
	g_assert_cmpint(rpc_get_finish_ret(&m, &fr), ==, 0);
	g_assert_cmpmem(fr.name, (int)fr.name_len, FIX_NAME, (int)strlen(FIX_NAME));
	g_assert_cmpint(gateway_release_finish(g, &a), ==, -EPROTO);

	call(g, RPC_PROC_CLOSE, 8, &a);
	g_assert_cmpint(a.event, ==, GATEWAY_EVENT_CLOSED);
	empty_reply(g, RPC_PROC_CLOSE, 8, &a);
	g_assert_cmpint(a.verdict, ==, GATEWAY_FORWARD);
}

static void test_open(void)
{
	static const char *const names[] = {"qemu:///system",  "lxc:///", "qemu+tcp://evil/system",
					    "test:///default", "",	  NULL};

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		_cleanup_(gateway_freep) struct gateway *g = new_gateway();
		_cleanup_gateway_action_ struct gateway_action a = {0};
		struct rpc_header h = rpc_call_header(RPC_PROC_OPEN, 2);
		struct rpc_open_args args;
		struct rpc_msg m;

		start_frame();
		rpc_put_open(&frame, &h, names[i], UINT32_MAX);
		feed(g, true, &a);
		g_assert_cmpint(a.verdict, ==, GATEWAY_FORWARD);
		g_assert_cmpint(rpc_parse(a.data, a.len, &m), ==, 0);
		g_assert_cmpint(rpc_get_open(&m, &args), ==, 0);
		g_assert_cmpmem(args.name, (int)args.name_len, RPC_LIBVIRTD_URI,
				(int)strlen(RPC_LIBVIRTD_URI));
		g_assert_cmpuint(args.flags, ==, 0);
	}
}

static void test_polkit(void)
{
	_cleanup_(gateway_freep) struct gateway *g = new_gateway();
	_cleanup_gateway_action_ struct gateway_action a = {0};
	struct rpc_header h = reply_to(RPC_PROC_AUTH_LIST, 0);
	bool none = false, polkit;
	struct rpc_msg m;
	size_t start;

	call(g, RPC_PROC_AUTH_LIST, 0, &a);
	g_assert_cmpint(a.verdict, ==, GATEWAY_FORWARD);
	start_frame();
	rpc_put_empty(&frame, &h);
	start = frame.len;
	xdr_put_u32(&frame, 1);
	xdr_put_u32(&frame, 2);
	xdr_patch_u32(&frame, 0, (uint32_t)(start + 8));
	feed(g, false, &a);
	g_assert_cmpint(a.verdict, ==, GATEWAY_REPLY);
	g_assert_cmpint(rpc_parse(a.data, a.len, &m), ==, 0);
	g_assert_cmpuint(m.h.procedure, ==, RPC_PROC_AUTH_POLKIT);
	h = rpc_reply_header(&m.h, RPC_STATUS_OK);
	start_frame();
	rpc_put_int(&frame, &h, 1);
	feed(g, false, &a);
	g_assert_cmpint(a.verdict, ==, GATEWAY_FORWARD);
	g_assert_cmpint(rpc_parse(a.data, a.len, &m), ==, 0);
	g_assert_cmpuint(m.h.procedure, ==, RPC_PROC_AUTH_LIST);
	g_assert_cmpint(rpc_get_auth_list_ret(&m, &none, &polkit), ==, 0);
	g_assert_true(none);
	/* the source itself may not call it */
	call(g, RPC_PROC_AUTH_POLKIT, 1, &a);
	assert_refused(g, &a, KCODE_BAD_MESSAGE);
}

static void test_features(void)
{
	for (int32_t feature = -1; feature < 40; feature++) {
		_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_OPEN);
		_cleanup_gateway_action_ struct gateway_action a = {0};
		struct rpc_header h = rpc_call_header(RPC_PROC_SUPPORTS_FEATURE, 3);
		bool forward = feature == 6 || feature == 9 || feature == 11 ||
			       (feature >= 13 && feature <= 15);
		int32_t v = -1;
		struct rpc_msg m;

		start_frame();
		rpc_put_int(&frame, &h, feature);
		feed(g, true, &a);
		g_assert_cmpint(a.verdict, ==, forward ? GATEWAY_FORWARD : GATEWAY_REPLY);
		if (forward)
			continue;
		g_assert_cmpint(rpc_parse(a.data, a.len, &m), ==, 0);
		g_assert_cmpint(rpc_get_int_ret(&m, &v), ==, 0);
		/* keepalive is the gateway's own: libvirtd must not hear of it (W5) */
		g_assert_cmpint(v, ==, feature == 10);
	}
}

static void test_keepalive(void)
{
	_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_FINISH);
	_cleanup_gateway_action_ struct gateway_action a = {0};
	struct rpc_header h = {RPC_PROGRAM_KEEPALIVE, 1, RPC_KEEPALIVE_PING,
			       RPC_TYPE_MESSAGE,      0, 0};

	for (int from_source = 0; from_source < 2; from_source++) {
		struct rpc_msg m;

		h.procedure = RPC_KEEPALIVE_PING;
		start_frame();
		rpc_put_empty(&frame, &h);
		feed(g, from_source, &a);
		g_assert_cmpint(a.verdict, ==, GATEWAY_REPLY);
		g_assert_cmpint(rpc_parse(a.data, a.len, &m), ==, 0);
		g_assert_cmpuint(m.h.procedure, ==, RPC_KEEPALIVE_PONG);
		h.procedure = RPC_KEEPALIVE_PONG;
		start_frame();
		rpc_put_empty(&frame, &h);
		feed(g, from_source, &a);
		g_assert_cmpint(a.verdict, ==, GATEWAY_DROP);
		g_assert_null(a.data);
	}
	g_assert_cmpint(gateway_state(g), ==, GATEWAY_STATE_FINISH);
	h.procedure = 3;
	start_frame();
	rpc_put_empty(&frame, &h);
	feed(g, true, &a);
	assert_refused(g, &a, KCODE_BAD_MESSAGE);
	g_assert_null(a.data); /* nobody waits for an answer to that */
}

/* ---- H16 ---- */

/* A well-formed message for each of the six, in the state that expects it. */
static void put_body(uint32_t procedure, const struct rpc_header *h)
{
	g_autofree struct rpc_prepare_args *p = prepare_args();
	g_autofree struct rpc_finish_args *f = finish_args();

	start_frame();
	switch (procedure) {
	case RPC_PROC_OPEN:
		rpc_put_open(&frame, h, "qemu:///system", 0);
		break;
	case RPC_PROC_SUPPORTS_FEATURE:
		rpc_put_int(&frame, h, 13);
		break;
	case RPC_PROC_PREPARE3_PARAMS:
		rpc_put_prepare(&frame, h, p);
		break;
	case RPC_PROC_FINISH3_PARAMS:
		rpc_put_finish(&frame, h, f);
		break;
	default:
		rpc_put_empty(&frame, h);
	}
}

/* The six and the states they belong to, written down a second time. */
static bool may_pass(uint32_t procedure, enum gateway_state state)
{
	bool idle_end = state == GATEWAY_STATE_PREPARED || state == GATEWAY_STATE_FINISHED;

	switch (procedure) {
	case RPC_PROC_AUTH_LIST:
	case RPC_PROC_OPEN:
		return state == GATEWAY_STATE_NEW;
	case RPC_PROC_SUPPORTS_FEATURE:
		return state == GATEWAY_STATE_NEW || state == GATEWAY_STATE_OPEN;
	case RPC_PROC_PREPARE3_PARAMS:
		return state == GATEWAY_STATE_OPEN;
	case RPC_PROC_FINISH3_PARAMS:
		return state == GATEWAY_STATE_PREPARED;
	case RPC_PROC_CLOSE:
		return state == GATEWAY_STATE_OPEN || idle_end;
	}
	return false;
}

/* Each procedure in each state of the conversation: order is enforced. */
static void test_order(void)
{
	static const uint32_t six[] = {1, 2, 60, 66, 303, 306};
	unsigned passed = 0;

	for (int state = GATEWAY_STATE_NEW; state <= GATEWAY_STATE_FINISHED; state++)
		for (size_t i = 0; i < G_N_ELEMENTS(six); i++) {
			_cleanup_(gateway_freep) struct gateway *g =
				at_state((enum gateway_state)state);
			_cleanup_gateway_action_ struct gateway_action a = {0};
			struct rpc_header h = rpc_call_header(six[i], 9);

			g_assert_cmpint(gateway_state(g), ==, state);
			put_body(six[i], &h);
			feed(g, true, &a);
			if (may_pass(six[i], (enum gateway_state)state)) {
				g_assert_true(a.verdict == GATEWAY_FORWARD ||
					      a.verdict == GATEWAY_REPLY);
				passed++;
				continue;
			}
			assert_refused(g, &a, KCODE_BAD_MESSAGE);
			assert_error_reply(&a, six[i], 9);
		}
	g_assert_cmpuint(passed, ==, 9);
}

/* One call at a time: the next one waits for the answer. */
static void test_one_call(void)
{
	_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_OPEN);
	_cleanup_gateway_action_ struct gateway_action a = {0};
	struct rpc_header h = rpc_call_header(RPC_PROC_SUPPORTS_FEATURE, 3);
	struct rpc_header answer = rpc_reply_header(&h, RPC_STATUS_OK);

	for (int i = 0; i < 2; i++) {
		start_frame();
		rpc_put_int(&frame, &h, 13);
		feed(g, true, &a);
		g_assert_cmpint(a.verdict, ==, GATEWAY_FORWARD);
		if (i == 1)
			break;
		start_frame();
		rpc_put_int(&frame, &answer, 1);
		feed(g, false, &a);
		g_assert_cmpint(a.verdict, ==, GATEWAY_FORWARD);
	}
	h = rpc_call_header(RPC_PROC_PREPARE3_PARAMS, 4);
	put_body(RPC_PROC_PREPARE3_PARAMS, &h);
	feed(g, true, &a);
	assert_refused(g, &a, KCODE_BAD_MESSAGE);
	g_assert_null(gateway_domain_xml(g));
}

static void test_all_procedures(void)
{
	static const uint32_t programs[] = {RPC_PROGRAM_REMOTE,
					    0x20008087 /* qemu */,
					    0x20008088 /* lxc */,
					    0x06900690 /* admin */,
					    0,
					    RPC_PROGRAM_KEEPALIVE};
	static const enum gateway_state states[] = {GATEWAY_STATE_NEW, GATEWAY_STATE_OPEN,
						    GATEWAY_STATE_PREPARED};
	unsigned passed = 0, refused = 0;

	for (size_t s = 0; s < G_N_ELEMENTS(states); s++) {
		struct gateway *g = at_state(states[s]);

		for (size_t p = 0; p < G_N_ELEMENTS(programs); p++)
			for (uint32_t procedure = 0; procedure <= 500; procedure++)
				for (uint32_t type = 0; type <= 6; type++) {
					_cleanup_gateway_action_ struct gateway_action a = {0};
					struct rpc_header h = {programs[p], 1, procedure,
							       type,	    9, 0};
					bool remote = programs[p] == RPC_PROGRAM_REMOTE;

					put_body(remote && !type ? procedure : 0, &h);
					feed(g, true, &a);
					if (remote && type == RPC_TYPE_CALL &&
					    may_pass(procedure, states[s])) {
						g_assert_cmpint(a.verdict, ==,
								procedure == 60 && s == 0
									? GATEWAY_REPLY
									: GATEWAY_FORWARD);
						passed++;
					} else {
						assert_refused(g, &a, KCODE_BAD_MESSAGE);
						g_assert_cmpint(
							!!a.data, ==,
							type == RPC_TYPE_CALL ||
								type == RPC_TYPE_CALL_WITH_FDS);
						refused++;
					}
					gateway_free(g);
					g = at_state(states[s]);
				}
		gateway_free(g);
	}
	g_assert_cmpuint(passed, ==, 8);
	g_assert_cmpuint(refused, ==, 3 * 6 * 501 * 7 - 8);
}

static void test_headers(void)
{
	static const struct rpc_header bad[] = {
		{RPC_PROGRAM_REMOTE, 0, RPC_PROC_AUTH_LIST, 0, 1, 0},
		{RPC_PROGRAM_REMOTE, 2, RPC_PROC_AUTH_LIST, 0, 1, 0},
		{RPC_PROGRAM_REMOTE, 1, RPC_PROC_AUTH_LIST, 0, 1, 1},
		{RPC_PROGRAM_REMOTE, 1, RPC_PROC_AUTH_LIST, 0, 1, 2},
		{RPC_PROGRAM_REMOTE, 1, 0x80000042, 0, 1, 0},
		{RPC_PROGRAM_KEEPALIVE, 1, RPC_KEEPALIVE_PING, 0, 0, 0},
		{RPC_PROGRAM_KEEPALIVE, 1, RPC_KEEPALIVE_PING, 2, 1, 0},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		_cleanup_(gateway_freep) struct gateway *g = new_gateway();
		_cleanup_gateway_action_ struct gateway_action a = {0};

		start_frame();
		rpc_put_empty(&frame, &bad[i]);
		feed(g, true, &a);
		assert_refused(g, &a, KCODE_BAD_MESSAGE);
		/* and a refused conversation never revives */
		call(g, RPC_PROC_AUTH_LIST, 2, &a);
		assert_refused(g, &a, KCODE_BAD_MESSAGE);
		assert_error_reply(&a, RPC_PROC_AUTH_LIST, 2);
	}
}

/* Trailing or missing bytes in each of the six. */
static void test_bodies(void)
{
	static const struct {
		uint32_t procedure;
		enum gateway_state state;
	} six[] = {
		{RPC_PROC_AUTH_LIST, GATEWAY_STATE_NEW},
		{RPC_PROC_OPEN, GATEWAY_STATE_NEW},
		{RPC_PROC_SUPPORTS_FEATURE, GATEWAY_STATE_OPEN},
		{RPC_PROC_PREPARE3_PARAMS, GATEWAY_STATE_OPEN},
		{RPC_PROC_FINISH3_PARAMS, GATEWAY_STATE_PREPARED},
		{RPC_PROC_CLOSE, GATEWAY_STATE_OPEN},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(six); i++)
		for (int grow = -4; grow <= 4; grow += 8) {
			_cleanup_(gateway_freep) struct gateway *g = at_state(six[i].state);
			_cleanup_gateway_action_ struct gateway_action a = {0};
			struct rpc_header h = rpc_call_header(six[i].procedure, 9);

			put_body(six[i].procedure, &h);
			if (grow > 0)
				xdr_put_u32(&frame, 0);
			else if (frame.len > RPC_HEADER_LEN)
				frame.len -= 4;
			else
				continue;
			xdr_patch_u32(&frame, 0, (uint32_t)frame.len);
			feed(g, true, &a);
			assert_refused(g, &a, KCODE_BAD_MESSAGE);
			assert_error_reply(&a, six[i].procedure, 9);
		}
}

/* ---- H15 ---- */

static void test_flags(void)
{
	const uint32_t ignored = VIR_MIGRATE_UNDEFINE_SOURCE | VIR_MIGRATE_ABORT_ON_ERROR |
				 VIR_MIGRATE_AUTO_CONVERGE | VIR_MIGRATE_CHANGE_PROTECTION;

	for (unsigned one = 0; one < 32; one++)
		for (unsigned two = one; two < 32; two++) {
			_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_OPEN);
			_cleanup_gateway_action_ struct gateway_action a = {0};
			g_autofree struct rpc_prepare_args *p = prepare_args();
			uint32_t bits = 1u << one | 1u << two;

			p->flags |= bits;
			send_prepare(g, p, &a);
			if (bits & ~(uint32_t)(FLAGS | ignored)) {
				assert_refused(g, &a, KCODE_BAD_MESSAGE);
				assert_error_reply(&a, RPC_PROC_PREPARE3_PARAMS, 6);
				g_assert_null(gateway_domain_xml(g));
			} else {
				check_prepare(&a); /* flags come out as FLAGS exactly */
			}
		}
}

static void test_finish_flags(void)
{
	for (unsigned bit = 0; bit < 32; bit++) {
		_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_PREPARED);
		_cleanup_gateway_action_ struct gateway_action a = {0};
		g_autofree struct rpc_finish_args *f = finish_args();
		bool stripped = bit == 4 || bit == 8 || bit == 12 || bit == 13;

		f->flags |= 1u << bit;
		send_finish(g, f, &a);
		if ((1u << bit) & FLAGS || stripped)
			g_assert_cmpint(a.event, ==, GATEWAY_EVENT_FINISH);
		else
			assert_refused(g, &a, KCODE_BAD_MESSAGE);
	}
}

static void test_flags_cleared(void)
{
	g_autofree struct rpc_prepare_args *p = prepare_args();
	g_autofree struct rpc_prepare_args *out = g_new0(struct rpc_prepare_args, 1);
	_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_OPEN);
	_cleanup_gateway_action_ struct gateway_action a = {0};
	struct rpc_msg m;

	/* PAUSED is forced */
	p->flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_NON_SHARED_DISK;
	send_prepare(g, p, &a);
	g_assert_cmpint(rpc_parse(a.data, a.len, &m), ==, 0);
	g_assert_cmpint(rpc_get_prepare(&m, out), ==, 0);
	g_assert_cmpuint(out->flags, ==, FLAGS);
	/* a VM without the contents of its disks is no hand-off */
	gateway_free(g);
	g = at_state(GATEWAY_STATE_OPEN);
	p->flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PAUSED;
	send_prepare(g, p, &a);
	assert_refused(g, &a, KCODE_BAD_MESSAGE);
}

/* Every parameter that libvirt 9.0.0 knows, and some it does not. */
static const struct {
	const char *field;
	enum xdr_param_type type;
	bool ok; /* dropped or replaced; else refused */
} params[] = {
	{VIR_MIGRATE_PARAM_BANDWIDTH, XDR_PARAM_ULLONG, true},
	{VIR_MIGRATE_PARAM_DEST_NAME, XDR_PARAM_STRING, true},
	{VIR_MIGRATE_PARAM_GRAPHICS_URI, XDR_PARAM_STRING, false},
	{VIR_MIGRATE_PARAM_LISTEN_ADDRESS, XDR_PARAM_STRING, false},
	{VIR_MIGRATE_PARAM_DISKS_PORT, XDR_PARAM_INT, false},
	{VIR_MIGRATE_PARAM_COMPRESSION, XDR_PARAM_STRING, false},
	{VIR_MIGRATE_PARAM_COMPRESSION_MT_LEVEL, XDR_PARAM_INT, false},
	{VIR_MIGRATE_PARAM_COMPRESSION_MT_THREADS, XDR_PARAM_INT, false},
	{VIR_MIGRATE_PARAM_COMPRESSION_MT_DTHREADS, XDR_PARAM_INT, false},
	{VIR_MIGRATE_PARAM_COMPRESSION_XBZRLE_CACHE, XDR_PARAM_ULLONG, false},
	{VIR_MIGRATE_PARAM_PERSIST_XML, XDR_PARAM_STRING, false},
	{VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL, XDR_PARAM_INT, false},
	{VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT, XDR_PARAM_INT, false},
	{VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY, XDR_PARAM_ULLONG, false},
	{VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, XDR_PARAM_INT, false},
	{VIR_MIGRATE_PARAM_TLS_DESTINATION, XDR_PARAM_STRING, false},
	{"zerocopy", XDR_PARAM_BOOLEAN, false},
	{"a.param.of.the.future", XDR_PARAM_DOUBLE, false},
	/* twice what may come once, and wrong types */
	{VIR_MIGRATE_PARAM_URI, XDR_PARAM_STRING, false},
	{VIR_MIGRATE_PARAM_DISKS_URI, XDR_PARAM_STRING, false},
	{VIR_MIGRATE_PARAM_DEST_XML, XDR_PARAM_STRING, false},
	{VIR_MIGRATE_PARAM_BANDWIDTH, XDR_PARAM_STRING, false},
	{VIR_MIGRATE_PARAM_DEST_NAME, XDR_PARAM_INT, false},
	{VIR_MIGRATE_PARAM_MIGRATE_DISKS, XDR_PARAM_INT, false},
};

static void add_param(struct xdr_params *p, size_t i)
{
	g_assert_cmpint(xdr_params_add_string(p, params[i].field, FIX_NAME, strlen(FIX_NAME)), ==,
			0);
	p->items[p->count - 1].type = params[i].type;
}

static void test_params(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(params); i++)
		for (size_t k = i; k < G_N_ELEMENTS(params); k++) { /* alone and in pairs */
			_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_OPEN);
			_cleanup_gateway_action_ struct gateway_action a = {0};
			g_autofree struct rpc_prepare_args *p = prepare_args();

			add_param(&p->params, i);
			if (k != i)
				add_param(&p->params, k);
			send_prepare(g, p, &a);
			if (params[i].ok && params[k].ok) {
				check_prepare(&a);
				continue;
			}
			assert_refused(g, &a, KCODE_BAD_MESSAGE);
			g_assert_null(gateway_domain_xml(g));
		}
}

static void test_finish_params(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(params); i++) {
		_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_PREPARED);
		_cleanup_gateway_action_ struct gateway_action a = {0};
		g_autofree struct rpc_finish_args *f = finish_args();
		bool again = strcmp(params[i].field, VIR_MIGRATE_PARAM_DEST_NAME) == 0;

		add_param(&f->params, i);
		send_finish(g, f, &a);
		if (params[i].ok && !again)
			g_assert_cmpint(a.event, ==, GATEWAY_EVENT_FINISH);
		else
			assert_refused(g, &a, KCODE_BAD_MESSAGE);
	}
}

static void test_names(void)
{
	_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_OPEN);
	_cleanup_gateway_action_ struct gateway_action a = {0};
	g_autofree struct rpc_prepare_args *p = prepare_args();
	g_autofree struct rpc_finish_args *f = finish_args();
	g_autofree char *other = fix_replace(fix_domain, "<name>web<", "<name>db<");

	xdr_params_add_string(&p->params, VIR_MIGRATE_PARAM_DEST_NAME, "webb", 4);
	send_prepare(g, p, &a);
	assert_refused(g, &a, KCODE_IDENTITY);
	gateway_free(g);

	g = at_state(GATEWAY_STATE_OPEN);
	fill_params(&p->params, other);
	send_prepare(g, p, &a);
	assert_refused(g, &a, KCODE_IDENTITY);
	gateway_free(g);

	g = at_state(GATEWAY_STATE_PREPARED);
	f->params.items[f->params.count - 1].text = "wev";
	send_finish(g, f, &a);
	assert_refused(g, &a, KCODE_IDENTITY);
	gateway_free(g);

	g = at_state(GATEWAY_STATE_PREPARED);
	f->params.count--; /* no name at all */
	send_finish(g, f, &a);
	assert_refused(g, &a, KCODE_BAD_MESSAGE);
}

static void test_disk_list(void)
{
	static const struct {
		const char *disks[3];
		bool ok;
	} cases[] = {
		{{"vda", "sda"}, true},	  {{"sda", "vda"}, true}, {{"vda"}, false},
		{{"vda", "vda"}, false},  {{"vdb"}, false},	  {{"vda", "sda", "sdb"}, false},
		{{"/etc/shadow"}, false}, {{"vd"}, false},	  {{"vda", "sda", "vda"}, false},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_OPEN);
		_cleanup_gateway_action_ struct gateway_action a = {0};
		g_autofree struct rpc_prepare_args *p = prepare_args();

		for (size_t k = 0; k < 3 && cases[i].disks[k]; k++)
			xdr_params_add_string(&p->params, VIR_MIGRATE_PARAM_MIGRATE_DISKS,
					      cases[i].disks[k], strlen(cases[i].disks[k]));
		send_prepare(g, p, &a);
		if (cases[i].ok)
			check_prepare(&a);
		else
			assert_refused(g, &a, KCODE_BAD_MESSAGE);
	}
}

/* ---- H13, H14 through the gateway ---- */

static void test_content(void)
{
	g_autofree char *evil = fix_replace(fix_domain, "<watchdog", "<filesystem/><watchdog");
	g_autofree char *cookie = fix_replace(fix_cookies[COOKIE_STEP_FINISH], "</qemu-migration>",
					      "<domain/></qemu-migration>");
	_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_OPEN);
	_cleanup_gateway_action_ struct gateway_action a = {0};
	g_autofree struct rpc_prepare_args *p = prepare_args();
	g_autofree struct rpc_finish_args *f = finish_args();

	fill_params(&p->params, evil);
	send_prepare(g, p, &a);
	assert_refused(g, &a, KCODE_DOMAIN);
	g_assert_nonnull(strstr(a.err.text, "<filesystem>"));
	gateway_free(g);

	g = at_state(GATEWAY_STATE_OPEN);
	fill_params(&p->params, fix_domain);
	p->params.count = 2; /* no configuration */
	send_prepare(g, p, &a);
	assert_refused(g, &a, KCODE_BAD_MESSAGE);
	gateway_free(g);

	g = at_state(GATEWAY_STATE_OPEN);
	fill_params(&p->params, fix_domain);
	p->cookie_len = 0;
	send_prepare(g, p, &a);
	assert_refused(g, &a, KCODE_BAD_MESSAGE);
	gateway_free(g);

	g = at_state(GATEWAY_STATE_PREPARED);
	f->cookie = (const uint8_t *)cookie;
	f->cookie_len = strlen(cookie) + 1;
	send_finish(g, f, &a);
	assert_refused(g, &a, KCODE_DOMAIN);
	assert_error_reply(&a, RPC_PROC_FINISH3_PARAMS, 7);
}

/* ---- the local libvirtd's side ---- */

static void test_replies(void)
{
	static const struct rpc_header bad[] = {
		{RPC_PROGRAM_REMOTE, 1, RPC_PROC_FINISH3_PARAMS, RPC_TYPE_REPLY, 8, 0},
		{RPC_PROGRAM_REMOTE, 1, RPC_PROC_PREPARE3_PARAMS, RPC_TYPE_REPLY, 7, 0},
		{RPC_PROGRAM_REMOTE, 1, RPC_PROC_FINISH3_PARAMS, RPC_TYPE_CALL, 7, 0},
		{RPC_PROGRAM_REMOTE, 1, RPC_PROC_FINISH3_PARAMS, RPC_TYPE_REPLY, 7, 2},
		{RPC_PROGRAM_REMOTE, 1, RPC_PROC_FINISH3_PARAMS, RPC_TYPE_REPLY, 7,
		 0}, /* no body */
		{0x20008087, 1, RPC_PROC_FINISH3_PARAMS, RPC_TYPE_REPLY, 7, 0},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_FINISH);
		_cleanup_gateway_action_ struct gateway_action a = {0};

		start_frame();
		rpc_put_empty(&frame, &bad[i]);
		feed(g, false, &a);
		assert_refused(g, &a, KCODE_FAILED);
		assert_error_reply(&a, RPC_PROC_FINISH3_PARAMS, 7);
	}
	/* a whole answer to a call that was never made */
	struct gateway *stray = at_state(GATEWAY_STATE_FINISH);
	struct gateway_action b = {0};

	answer_finish_as(stray, 8, FIX_NAME, 0, &b);
	assert_refused(stray, &b, KCODE_FAILED);
	gateway_action_clear(&b);
	gateway_free(stray);
	/* an event that nobody asked for is kept from the source */
	_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_FINISH);
	_cleanup_gateway_action_ struct gateway_action a = {0};
	struct rpc_header event = {RPC_PROGRAM_REMOTE, 1, 400, RPC_TYPE_MESSAGE, 0, 0};

	start_frame();
	rpc_put_empty(&frame, &event);
	feed(g, false, &a);
	g_assert_cmpint(a.verdict, ==, GATEWAY_DROP);
	g_assert_null(a.data);
	answer_finish(g, FIX_NAME, 0, &a);
	g_assert_cmpint(a.verdict, ==, GATEWAY_HOLD);
}

static void test_errors(void)
{
	_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_PREPARE);
	_cleanup_gateway_action_ struct gateway_action a = {0};
	struct rpc_header h = rpc_call_header(RPC_PROC_PREPARE3_PARAMS, 6);
	g_autofree struct rpc_finish_args *f = finish_args();

	start_frame();
	rpc_put_error(&frame, &h, "Could not open '/var/lib/kith/images/secret.img'");
	feed(g, false, &a);
	g_assert_cmpint(a.verdict, ==, GATEWAY_FORWARD);
	g_assert_cmpint(a.event, ==, GATEWAY_EVENT_PREPARE_FAILED);
	/* The paths of this device are not the source's business; that it failed is. */
	g_assert_nonnull(strstr(a.err.text, "The destination cannot take the VM"));
	g_assert_null(strstr(a.err.text, "secret"));
	g_assert_null(memmem(a.data, a.len, "secret", 6));
	g_assert_nonnull(memmem(a.data, a.len, "cannot take the VM", 18));
	assert_error_reply(&a, RPC_PROC_PREPARE3_PARAMS, 6);
	g_assert_cmpint(gateway_state(g), ==, GATEWAY_STATE_FINISHED);
	gateway_free(g);

	g = at_state(GATEWAY_STATE_PREPARED);
	f->cancelled = 1;
	f->cookie_len = 0;
	send_finish(g, f, &a);
	g_assert_cmpint(a.event, ==, GATEWAY_EVENT_FINISH_CANCEL);
	h = rpc_call_header(RPC_PROC_FINISH3_PARAMS, 7);
	start_frame();
	rpc_put_error(&frame, &h, "migration successfully aborted");
	feed(g, false, &a);
	g_assert_cmpint(a.verdict, ==, GATEWAY_FORWARD);
	g_assert_cmpint(a.event, ==, GATEWAY_EVENT_FINISH_FAILED);
	gateway_free(g);

	/* neither 0 nor 1 */
	g = at_state(GATEWAY_STATE_PREPARED);
	f->cancelled = 2;
	send_finish(g, f, &a);
	assert_refused(g, &a, KCODE_BAD_MESSAGE);
}

static void test_wrong_vm(void)
{
	_cleanup_(gateway_freep) struct gateway *g = at_state(GATEWAY_STATE_FINISH);
	_cleanup_gateway_action_ struct gateway_action a = {0};

	answer_finish(g, "wev", 0, &a);
	assert_refused(g, &a, KCODE_IDENTITY);
	gateway_free(g);
	g = at_state(GATEWAY_STATE_FINISH);
	answer_finish(g, FIX_NAME, 1, &a);
	assert_refused(g, &a, KCODE_IDENTITY);
	assert_error_reply(&a, RPC_PROC_FINISH3_PARAMS, 7);
	g_assert_cmpint(gateway_release_finish(g, &a), ==, -EPROTO);
}

static void test_decision(void)
{
	for (int state = GATEWAY_STATE_NEW; state <= GATEWAY_STATE_FINISHED; state++) {
		_cleanup_(gateway_freep) struct gateway *g = at_state((enum gateway_state)state);
		_cleanup_gateway_action_ struct gateway_action a = {0};

		if (state == GATEWAY_STATE_HELD)
			g_assert_cmpint(gateway_release_finish(g, &a), ==, 0);
		g_assert_cmpint(gateway_release_finish(g, &a), ==, -EPROTO);
	}
}

static void test_config(void)
{
	static const char *const bad_uris[] = {
		NULL,	    "", "tcp://x:1", "unix:relative", "unix:///a/../b", "unix:///a?x=y",
		"unix:///",
	};
	g_autofree struct gateway_config *c = g_new0(struct gateway_config, 1);
	struct gateway *g = NULL;

	for (size_t i = 0; i < G_N_ELEMENTS(bad_uris); i++) {
		fix_config(c);
		c->migrate_uri = bad_uris[i];
		g_assert_cmpint(gateway_new(c, &g), ==, -EINVAL);
		fix_config(c);
		c->disks_uri = bad_uris[i];
		g_assert_cmpint(gateway_new(c, &g), ==, -EINVAL);
	}
	fix_config(c);
	g_strlcpy(c->map.disks[1].path, "/pool/../etc/shadow", sizeof(c->map.disks[1].path));
	g_assert_cmpint(gateway_new(c, &g), ==, -EINVAL);
	fix_config(c);
	g_strlcpy(c->map.disks[1].target, "vda", sizeof(c->map.disks[1].target));
	g_assert_cmpint(gateway_new(c, &g), ==, -EINVAL);
	fix_config(c);
	c->map.count = DOMAIN_DISKS_MAX + 1;
	g_assert_cmpint(gateway_new(c, &g), ==, -EINVAL);
	fix_config(c);
	c->limits.serial_path = "log";
	g_assert_cmpint(gateway_new(c, &g), ==, -EINVAL);
	g_assert_null(g);
}

int main(int argc, char **argv)
{
	int r;

	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/gateway/whole hand-off", test_whole);
	g_test_add_func("/gateway/H16 open is rewritten", test_open);
	g_test_add_func("/gateway/polkit is asked here", test_polkit);
	g_test_add_func("/gateway/H16 features", test_features);
	g_test_add_func("/gateway/keepalive is answered here", test_keepalive);
	g_test_add_func("/gateway/H16 order", test_order);
	g_test_add_func("/gateway/H16 one call at a time", test_one_call);
	g_test_add_func("/gateway/H16 program x procedure x type", test_all_procedures);
	g_test_add_func("/gateway/H16 headers", test_headers);
	g_test_add_func("/gateway/N1 bodies", test_bodies);
	g_test_add_func("/gateway/H15 flags alone and in pairs", test_flags);
	g_test_add_func("/gateway/H15 flags in Finish", test_finish_flags);
	g_test_add_func("/gateway/H15 cleared flags", test_flags_cleared);
	g_test_add_func("/gateway/H15 parameters alone and in pairs", test_params);
	g_test_add_func("/gateway/H15 parameters in Finish", test_finish_params);
	g_test_add_func("/gateway/H21 names", test_names);
	g_test_add_func("/gateway/H15 list of disks", test_disk_list);
	g_test_add_func("/gateway/H13 H14 content", test_content);
	g_test_add_func("/gateway/replies of libvirtd", test_replies);
	g_test_add_func("/gateway/errors of libvirtd", test_errors);
	g_test_add_func("/gateway/H21 libvirtd finished another VM", test_wrong_vm);
	g_test_add_func("/gateway/decision only when held", test_decision);
	g_test_add_func("/gateway/H12 configuration", test_config);
	r = g_test_run();
	xdr_out_done(&frame);
	return r;
}
