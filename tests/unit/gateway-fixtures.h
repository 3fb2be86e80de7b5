/* SPDX-License-Identifier: Apache-2.0 */
/* Plays both neighbours of the gateway: frames of the source and answers of the local libvirtd. */
#pragma once

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "mover-fixtures.h"
#include "mover/filter/gateway.h"

#define RAM_URI "unix:///run/kith/mover/h1-ram.sock"
#define NBD_URI "unix:///run/kith/mover/h1-nbd.sock"
#define SOURCE_URI "unix:///run/kith/mover/s1-ram.sock"
#define FLAGS (VIR_MIGRATE_LIVE | VIR_MIGRATE_PAUSED | VIR_MIGRATE_NON_SHARED_DISK)

static void fix_config(struct gateway_config *c)
{
	*c = (struct gateway_config){
		.limits = fix_limits(),
		.migrate_uri = RAM_URI,
		.disks_uri = NBD_URI,
		.source_uri = SOURCE_URI,
	};
	fix_map(&c->map);
}

static struct gateway *new_gateway(void)
{
	g_autofree struct gateway_config *c = g_new0(struct gateway_config, 1);
	struct gateway *g = NULL;

	fix_config(c);
	g_assert_cmpint(gateway_new(c, &g), ==, 0);
	return g;
}

/* Frames are built in one buffer that lives until the next one is built. */
static struct xdr_out frame;

static void start_frame(void)
{
	xdr_out_done(&frame);
	frame = xdr_out_init(RPC_FRAME_MAX);
}

static void feed(struct gateway *g, bool from_source, struct gateway_action *a)
{
	struct rpc_msg m;

	g_assert_cmpint(frame.error, ==, 0);
	g_assert_cmpint(rpc_parse(frame.data, frame.len, &m), ==, 0);
	if (from_source)
		g_assert_cmpint(gateway_from_source(g, &m, a), ==, 0);
	else
		g_assert_cmpint(gateway_from_libvirt(g, &m, a), ==, 0);
}

static inline void call(struct gateway *g, uint32_t procedure, uint32_t serial,
			struct gateway_action *a)
{
	struct rpc_header h = rpc_call_header(procedure, serial);

	start_frame();
	rpc_put_empty(&frame, &h);
	feed(g, true, a);
}

static struct rpc_header reply_to(uint32_t procedure, uint32_t serial)
{
	struct rpc_header h = rpc_call_header(procedure, serial);

	return rpc_reply_header(&h, RPC_STATUS_OK);
}

static void empty_reply(struct gateway *g, uint32_t procedure, uint32_t serial,
			struct gateway_action *a)
{
	struct rpc_header h = reply_to(procedure, serial);

	start_frame();
	rpc_put_empty(&frame, &h);
	feed(g, false, a);
}

/* What the source sends in Prepare3 and Finish3. */
static void fill_params(struct xdr_params *p, const char *xml)
{
	static const char *const uris[] = {"unix:///run/source/ram", "unix:///run/source/nbd"};

	p->count = 0;
	xdr_params_add_string(p, VIR_MIGRATE_PARAM_URI, uris[0], strlen(uris[0]));
	xdr_params_add_string(p, VIR_MIGRATE_PARAM_DISKS_URI, uris[1], strlen(uris[1]));
	xdr_params_add_string(p, VIR_MIGRATE_PARAM_DEST_XML, xml, strlen(xml));
}

static struct rpc_prepare_args *prepare_args(void)
{
	struct rpc_prepare_args *p = g_new0(struct rpc_prepare_args, 1);

	fill_params(&p->params, fix_domain);
	p->cookie = (const uint8_t *)fix_cookies[COOKIE_STEP_PREPARE];
	p->cookie_len = strlen(fix_cookies[COOKIE_STEP_PREPARE]) + 1;
	p->flags = FLAGS;
	return p;
}

static struct rpc_finish_args *finish_args(void)
{
	struct rpc_finish_args *f = g_new0(struct rpc_finish_args, 1);

	fill_params(&f->params, fix_domain);
	xdr_params_add_string(&f->params, VIR_MIGRATE_PARAM_DEST_NAME, FIX_NAME, strlen(FIX_NAME));
	f->cookie = (const uint8_t *)fix_cookies[COOKIE_STEP_FINISH];
	f->cookie_len = strlen(fix_cookies[COOKIE_STEP_FINISH]) + 1;
	f->flags = FLAGS;
	return f;
}

static void send_prepare(struct gateway *g, const struct rpc_prepare_args *p,
			 struct gateway_action *a)
{
	struct rpc_header h = rpc_call_header(RPC_PROC_PREPARE3_PARAMS, 6);

	start_frame();
	rpc_put_prepare(&frame, &h, p);
	feed(g, true, a);
}

static void send_finish(struct gateway *g, const struct rpc_finish_args *f,
			struct gateway_action *a)
{
	struct rpc_header h = rpc_call_header(RPC_PROC_FINISH3_PARAMS, 7);

	start_frame();
	rpc_put_finish(&frame, &h, f);
	feed(g, true, a);
}

static void answer_prepare(struct gateway *g, struct gateway_action *a)
{
	const char *cookie = fix_cookies[COOKIE_STEP_PREPARE_RET];
	struct rpc_header h = reply_to(RPC_PROC_PREPARE3_PARAMS, 6);

	start_frame();
	rpc_put_prepare_ret(&frame, &h, cookie, strlen(cookie) + 1, RAM_URI);
	feed(g, false, a);
}

static void answer_finish_as(struct gateway *g, uint32_t serial, const char *name, uint8_t xor,
			     struct gateway_action *a)
{
	const char *cookie = fix_cookies[COOKIE_STEP_FINISH_RET];
	struct rpc_header h = reply_to(RPC_PROC_FINISH3_PARAMS, serial);
	struct rpc_finish_ret r = {
		.name = name,
		.name_len = strlen(name),
		.id = 5,
		.cookie = (const uint8_t *)cookie,
		.cookie_len = strlen(cookie) + 1,
	};

	g_assert_cmpint(domain_uuid_parse(FIX_UUID, r.uuid), ==, 0);
	r.uuid[15] ^= xor;
	start_frame();
	rpc_put_finish_ret(&frame, &h, &r);
	feed(g, false, a);
}

static void answer_finish(struct gateway *g, const char *name, uint8_t xor,
			  struct gateway_action *a)
{
	answer_finish_as(g, 7, name, xor, a);
}

/* Brings a gateway to a state along the ordinary way. */
static inline struct gateway *at_state(enum gateway_state state)
{
	struct gateway *g = new_gateway();
	_cleanup_gateway_action_ struct gateway_action a = {0};
	struct rpc_header h = rpc_call_header(RPC_PROC_OPEN, 2);
	g_autofree struct rpc_prepare_args *p = prepare_args();
	g_autofree struct rpc_finish_args *f = finish_args();

	if (state == GATEWAY_STATE_NEW)
		return g;
	start_frame();
	rpc_put_open(&frame, &h, "qemu:///system", 0);
	feed(g, true, &a);
	if (state == GATEWAY_STATE_OPENING)
		return g;
	empty_reply(g, RPC_PROC_OPEN, 2, &a);
	if (state == GATEWAY_STATE_OPEN)
		return g;
	send_prepare(g, p, &a);
	if (state == GATEWAY_STATE_PREPARE)
		return g;
	answer_prepare(g, &a);
	if (state == GATEWAY_STATE_PREPARED)
		return g;
	send_finish(g, f, &a);
	if (state == GATEWAY_STATE_FINISH)
		return g;
	answer_finish(g, FIX_NAME, 0, &a);
	if (state == GATEWAY_STATE_HELD)
		return g;
	g_assert_cmpint(gateway_release_finish(g, &a), ==, 0);
	return g;
}

static const struct xdr_param *find_param(const struct xdr_params *p, const char *field,
					  unsigned nth)
{
	for (size_t i = 0; i < p->count; i++)
		if (strcmp(p->items[i].field, field) == 0 && nth-- == 0)
			return &p->items[i];
	return NULL;
}

static void assert_param(const struct xdr_params *p, const char *field, unsigned nth,
			 const char *want)
{
	const struct xdr_param *item = find_param(p, field, nth);

	g_assert_nonnull(item);
	g_assert_cmpmem(item->text, (int)item->text_len, want, (int)strlen(want));
}

static void assert_refused(struct gateway *g, const struct gateway_action *a, enum kcode code)
{
	g_assert_cmpint(a->verdict, ==, GATEWAY_REFUSE);
	g_assert_cmpint(gateway_state(g), ==, GATEWAY_STATE_REFUSED);
	if (a->err.code != code)
		g_error("%s: %s", kcode_to_string(a->err.code), a->err.text);
	g_assert_cmpint(a->event, ==, GATEWAY_EVENT_NONE);
}

/* The error reply is one that libvirt's client understands. */
static inline void assert_error_reply(const struct gateway_action *a, uint32_t procedure,
				      uint32_t serial)
{
	struct rpc_error e;
	struct rpc_msg m;

	g_assert_nonnull(a->data);
	g_assert_cmpint(rpc_parse(a->data, a->len, &m), ==, 0);
	g_assert_cmpuint(m.h.procedure, ==, procedure);
	g_assert_cmpuint(m.h.serial, ==, serial);
	g_assert_cmpuint(m.h.type, ==, RPC_TYPE_REPLY);
	g_assert_cmpuint(m.h.status, ==, RPC_STATUS_ERROR);
	g_assert_cmpint(rpc_get_error(&m, &e), ==, 0);
	g_assert_cmpint(e.code, ==, VIR_ERR_OPERATION_FAILED);
	g_assert_cmpint(e.domain, ==, VIR_FROM_QEMU);
	g_assert_cmpuint(e.message_len, >, 8);
}
