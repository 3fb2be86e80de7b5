/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: RPC reassembly, XDR bodies and the gateway, from either side (N1). The first byte
 * chooses the state the conversation is in and who speaks; the rest is that side's stream. */
#include <stdint.h>
#include <string.h>

#include "mover/filter/gateway.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gateway *new_gateway(void)
{
	static const struct domain_networks networks = {.count = 1, .list = {{.name = "kithnet"}}};
	static struct gateway_config c;
	struct gateway *g = NULL;

	c = (struct gateway_config){
		.limits = {.expect_name = "web", .networks = &networks, .serial_path = "/log/web"},
		.map = {.count = 1,
			.disks = {{.target = "vda", .path = "/pool/vda", .capacity = 8388608}}},
		.migrate_uri = "unix:///run/ram",
		.disks_uri = "unix:///run/nbd",
		.source_uri = "unix:///run/src",
	};
	if (domain_uuid_parse("c7a5fdbd-cdaf-4c0a-9a57-0123456789ab", c.limits.expect_uuid) < 0 ||
	    gateway_new(&c, &g) < 0)
		__builtin_trap();
	return g;
}

/* Opens the connection, as every useful input would have to. */
static void open_gateway(struct gateway *g)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(4096);
	_cleanup_gateway_action_ struct gateway_action a = {0};
	struct rpc_header h = rpc_call_header(RPC_PROC_OPEN, 1);
	struct rpc_msg m;

	rpc_put_open(&out, &h, "qemu:///system", 0);
	if (rpc_parse(out.data, out.len, &m) < 0 || gateway_from_source(g, &m, &a) < 0)
		__builtin_trap();
	xdr_out_done(&out);
	out = xdr_out_init(4096);
	h = rpc_reply_header(&h, RPC_STATUS_OK);
	rpc_put_empty(&out, &h);
	if (rpc_parse(out.data, out.len, &m) < 0 || gateway_from_libvirt(g, &m, &a) < 0 ||
	    gateway_state(g) != GATEWAY_STATE_OPEN)
		__builtin_trap();
}

static bool contains(const uint8_t *data, size_t len, const char *text)
{
	return len && memmem(data, len, text, strlen(text));
}

/* What must hold for every action, whatever the input was. */
static void check_action(const struct gateway *g, const struct gateway_action *a, bool from_source)
{
	struct rpc_msg m;

	if ((a->verdict == GATEWAY_REFUSE) != (gateway_state(g) == GATEWAY_STATE_REFUSED) &&
	    from_source)
		__builtin_trap();
	if (a->verdict == GATEWAY_REFUSE && a->err.code == KCODE_OK)
		__builtin_trap();
	if ((a->verdict == GATEWAY_HOLD || a->verdict == GATEWAY_DROP) && a->data)
		__builtin_trap();
	if ((a->verdict == GATEWAY_FORWARD || a->verdict == GATEWAY_REPLY) &&
	    rpc_parse(a->data, a->len, &m) < 0)
		__builtin_trap();
	if (from_source && a->verdict == GATEWAY_FORWARD &&
	    (contains(a->data, a->len, "/etc/") || contains(a->data, a->len, "commandline") ||
	     contains(a->data, a->len, "hostdev")))
		__builtin_trap();
}

/* The local libvirtd takes the VM, so that Finish3 comes within reach. */
static void accept_prepare(struct gateway *g, uint32_t serial)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(4096);
	_cleanup_gateway_action_ struct gateway_action a = {0};
	struct rpc_header call = rpc_call_header(RPC_PROC_PREPARE3_PARAMS, serial);
	struct rpc_header h = rpc_reply_header(&call, RPC_STATUS_OK);
	struct rpc_msg m;

	rpc_put_prepare_ret(&out, &h, NULL, 0, "unix:///run/ram");
	if (rpc_parse(out.data, out.len, &m) < 0 || gateway_from_libvirt(g, &m, &a) < 0 ||
	    a.event != GATEWAY_EVENT_PREPARED)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(gateway_freep) struct gateway *g = new_gateway();
	_cleanup_(rpc_stream_freep) struct rpc_stream *s = NULL;
	bool from_source = size == 0 || !(data[0] & 1);
	size_t step;
	struct rpc_msg m;

	if (size < 2 || rpc_stream_new(1u << 20, &s) < 0)
		return 0;
	if (data[0] & 2)
		open_gateway(g);
	step = 1 + (size_t)(data[0] >> 2) * 64;
	for (size_t at = 1; at < size; at += step) {
		if (rpc_stream_push(s, data + at, MIN_OF(step, size - at)) < 0)
			break;
		while (rpc_stream_next(s, &m) == 1) {
			_cleanup_gateway_action_ struct gateway_action a = {0};

			(from_source ? gateway_from_source : gateway_from_libvirt)(g, &m, &a);
			check_action(g, &a, from_source);
			if (a.event == GATEWAY_EVENT_PREPARE)
				accept_prepare(g, m.h.serial);
		}
	}
	return 0;
}
