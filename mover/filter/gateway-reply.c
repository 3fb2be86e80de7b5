/* SPDX-License-Identifier: Apache-2.0 */
/* What the local libvirtd answers to the calls of the source, and what that one hears of it. */
#include <inttypes.h>
#include <libvirt/virterror.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "mover/filter/gateway-internal.h"

#define REMOTE_ERROR_MAX 1024u /* bytes of an error message shown to the source */

/* libvirt's words name this device's paths, users and versions: they stay in its own journal. */
static const struct {
	int32_t code;
	const char *sentence;
} error_rules[] = {
	{VIR_ERR_CONFIG_UNSUPPORTED, "libvirt or QEMU there does not support this VM's settings"},
	{VIR_ERR_XML_ERROR, "libvirt there does not take this VM's settings"},
	{VIR_ERR_XML_DETAIL, "libvirt there does not take this VM's settings"},
	{VIR_ERR_AUTH_UNAVAILABLE, "libvirt there does not let Kith manage VMs"},
	{VIR_ERR_AUTH_CANCELLED, "libvirt there does not let Kith manage VMs"},
	{VIR_ERR_ACCESS_DENIED, "libvirt there does not let Kith manage VMs"},
	{VIR_ERR_NO_MEMORY, "there is not enough memory there"},
	{VIR_ERR_OPERATION_TIMEOUT, "libvirt there was busy with this VM for too long"},
	{VIR_ERR_HOOK_SCRIPT_FAILED, "Kith's hook there refused the VM"},
};

static const char *sentence_of(int32_t code)
{
	for (size_t i = 0; i < ARRAY_SIZE(error_rules); i++)
		if (error_rules[i].code == code)
			return error_rules[i].sentence;
	return "libvirt there refused it, for a reason that its journal tells";
}

static int error_of(const struct rpc_msg *m, struct kerr *err)
{
	char text[REMOTE_ERROR_MAX + 1] = "";
	struct rpc_error e;
	size_t len;

	if (rpc_get_error(m, &e) < 0)
		return -EBADMSG;
	len = MIN_OF(e.message_len, REMOTE_ERROR_MAX);
	if (e.message)
		memcpy(text, e.message, len);
	text[len] = '\0';
	for (size_t i = 0; i < len; i++)
		if ((uint8_t)text[i] < 0x20 || (uint8_t)text[i] > 0x7e)
			text[i] = '?';
	log_notice("gateway", "libvirt says (error %" PRId32 "): %s", e.code, text);
	kerr_set(err, EIO, KCODE_FAILED, "The destination cannot take the VM: %s.",
		 sentence_of(e.code));
	return 0;
}

/* The same for the client at the source, which acts on the fact only. */
static int put_error(const struct rpc_msg *m, const struct kerr *err, struct gateway_action *ret)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	struct rpc_header call = m->h;
	char text[KERR_TEXT_MAX + 8];
	int r;

	snprintf(text, sizeof(text), "Kith: %s", err->text);
	r = rpc_put_error(&out, &call, text);
	return r < 0 ? r : gateway_give(ret, GATEWAY_FORWARD, &out);
}

static int reply_prepare(struct gateway *g, const struct rpc_msg *m,
			 const struct pending_call *call _unused_, struct gateway_action *ret)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	struct rpc_prepare_ret reply;
	_cleanup_free_ char *cookie = NULL;
	size_t cookie_len = 0;
	int r;

	if (rpc_get_prepare_ret(m, &reply) < 0)
		return -EBADMSG;
	r = cookie_rebuild(COOKIE_STEP_PREPARE_RET, reply.cookie, reply.cookie_len, &g->limits,
			   &g->map, &cookie, &cookie_len, &ret->err);
	if (r < 0)
		return r;
	rpc_put_prepare_ret(&out, &m->h, cookie, cookie_len, g->source_uri);
	r = gateway_give(ret, GATEWAY_FORWARD, &out);
	if (r < 0)
		return r;
	gateway_enter(g, GATEWAY_STATE_PREPARED);
	ret->event = GATEWAY_EVENT_PREPARED;
	return 0;
}

static int build_held(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	struct rpc_finish_ret reply;
	_cleanup_free_ char *cookie = NULL;
	size_t cookie_len = 0;
	int r;

	if (rpc_get_finish_ret(m, &reply) < 0)
		return -EBADMSG;
	if (reply.name_len != strlen(g->name) || memcmp(reply.name, g->name, reply.name_len) != 0 ||
	    memcmp(reply.uuid, g->limits.expect_uuid, UUID_LEN) != 0)
		return kerr_set(&ret->err, EACCES, KCODE_IDENTITY,
				"libvirt on the destination finished another VM than the agreed "
				"one.");
	r = cookie_rebuild(COOKIE_STEP_FINISH_RET, reply.cookie, reply.cookie_len, &g->limits,
			   &g->map, &cookie, &cookie_len, &ret->err);
	if (r < 0)
		return r;
	reply.cookie = (const uint8_t *)cookie;
	reply.cookie_len = cookie_len;
	if (rpc_put_finish_ret(&out, &m->h, &reply) < 0)
		return out.error;
	g->held_len = out.len;
	g->held = TAKE_PTR(out.data);
	return 0;
}

static int reply_finish(struct gateway *g, const struct rpc_msg *m, const struct pending_call *call,
			struct gateway_action *ret)
{
	int r;

	if (call->cancelled)
		return kerr_set(
			&ret->err, EIO, KCODE_FAILED,
			"libvirt on the destination kept a VM that it was told to give up.");
	r = build_held(g, m, ret);
	if (r < 0)
		return r;
	gateway_enter(g, GATEWAY_STATE_HELD);
	ret->verdict = GATEWAY_HOLD;
	ret->event = GATEWAY_EVENT_FINISHED;
	return 0;
}

/* Debian's libvirtd asks local clients that are not root for polkit's consent. That is this
 * host's own matter: the gateway sees to it and tells the source that nothing is needed. */
static int reply_auth_list(struct gateway *g, const struct rpc_msg *m,
			   const struct pending_call *call, struct gateway_action *ret)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	struct rpc_header h = rpc_call_header(RPC_PROC_AUTH_POLKIT, OWN_SERIAL);
	bool none, polkit;

	if (rpc_get_auth_list_ret(m, &none, &polkit) < 0)
		return -EBADMSG;
	if (none)
		return gateway_forward_as_is(m, ret);
	if (!polkit)
		return kerr_set(&ret->err, EACCES, KCODE_NOT_READY,
				"libvirt on this device wants a password of every client. Allow "
				"the mover's user in libvirtd.conf (auth_unix_rw).");
	g->auth_call = call->h;
	gateway_set_pending(g, &h, true, false);
	rpc_put_empty(&out, &h);
	return gateway_give(ret, GATEWAY_REPLY, &out);
}

static int reply_polkit(struct gateway *g, const struct rpc_msg *m,
			const struct pending_call *call _unused_, struct gateway_action *ret)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	struct rpc_header h = rpc_reply_header(&g->auth_call, RPC_STATUS_OK);
	int32_t complete;

	if (m->h.status != RPC_STATUS_OK || rpc_get_int_ret(m, &complete) < 0 || complete != 1)
		return kerr_set(&ret->err, EACCES, KCODE_NOT_READY,
				"polkit on this device does not let the mover manage VMs. Put its "
				"user into the group libvirt.");
	rpc_put_auth_list_none(&out, &h);
	return gateway_give(ret, GATEWAY_FORWARD, &out);
}

/* libvirtd said no. */
static int reply_error(struct gateway *g, const struct rpc_msg *m, const struct pending_call *call,
		       struct gateway_action *ret)
{
	int r = error_of(m, &ret->err);

	if (r < 0)
		return r;
	r = put_error(m, &ret->err, ret);
	if (r < 0)
		return r;
	if (call->h.procedure == RPC_PROC_PREPARE3_PARAMS)
		ret->event = GATEWAY_EVENT_PREPARE_FAILED;
	if (call->h.procedure == RPC_PROC_FINISH3_PARAMS)
		ret->event = GATEWAY_EVENT_FINISH_FAILED;
	if (call->h.procedure == RPC_PROC_OPEN || ret->event != GATEWAY_EVENT_NONE)
		gateway_enter(g, GATEWAY_STATE_FINISHED);
	return 0;
}

static int reply_feature(struct gateway *g _unused_, const struct rpc_msg *m,
			 const struct pending_call *call _unused_, struct gateway_action *ret)
{
	int32_t answer;

	return rpc_get_int_ret(m, &answer) < 0 ? -EBADMSG : gateway_forward_as_is(m, ret);
}

static int reply_open(struct gateway *g, const struct rpc_msg *m,
		      const struct pending_call *call _unused_, struct gateway_action *ret)
{
	gateway_enter(g, GATEWAY_STATE_OPEN);
	return m->len ? -EBADMSG : gateway_forward_as_is(m, ret);
}

static int reply_close(struct gateway *g _unused_, const struct rpc_msg *m,
		       const struct pending_call *call _unused_, struct gateway_action *ret)
{
	return m->len ? -EBADMSG : gateway_forward_as_is(m, ret);
}

/* What becomes of the reply to each call. */
static const struct {
	uint32_t procedure;
	bool errors; /* judges libvirtd's error itself, it is not the source's business */
	int (*reply)(struct gateway *g, const struct rpc_msg *m, const struct pending_call *call,
		     struct gateway_action *ret);
} reply_rules[] = {
	{RPC_PROC_AUTH_LIST, false, reply_auth_list},
	{RPC_PROC_AUTH_POLKIT, true, reply_polkit},
	{RPC_PROC_SUPPORTS_FEATURE, false, reply_feature},
	{RPC_PROC_OPEN, false, reply_open},
	{RPC_PROC_PREPARE3_PARAMS, false, reply_prepare},
	{RPC_PROC_FINISH3_PARAMS, false, reply_finish},
	{RPC_PROC_CLOSE, false, reply_close},
};

/* Only the reply to the call under way is one. */
static bool answers(const struct rpc_msg *m, const struct rpc_header *call)
{
	return m->h.type == RPC_TYPE_REPLY && m->h.status <= RPC_STATUS_ERROR && call->procedure &&
	       m->h.procedure == call->procedure && m->h.serial == call->serial;
}

static int judge_reply(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret)
{
	struct pending_call call = g->pending;

	if (m->h.type == RPC_TYPE_MESSAGE) { /* an event nobody asked for */
		ret->verdict = GATEWAY_DROP;
		return 0;
	}
	if (!answers(m, &call.h))
		return -EBADMSG;
	g->pending = (struct pending_call){0};
	for (size_t i = 0; i < ARRAY_SIZE(reply_rules); i++) {
		if (reply_rules[i].procedure != call.h.procedure)
			continue;
		if (m->h.status == RPC_STATUS_ERROR && !reply_rules[i].errors)
			return reply_error(g, m, &call, ret);
		return reply_rules[i].reply(g, m, &call, ret);
	}
	return -EBADMSG;
}

int gateway_from_libvirt(struct gateway *g, const struct rpc_msg *msg, struct gateway_action *ret)
{
	struct rpc_header call = g->pending.own ? g->auth_call : g->pending.h;
	int r;

	gateway_action_clear(ret);
	if (g->state == GATEWAY_STATE_REFUSED) /* whatever was under way no longer matters */
		return 0;
	r = gateway_keepalive(msg, ret);
	if (r > 0)
		return 0;
	if (r == 0 && (msg->h.program != RPC_PROGRAM_REMOTE || msg->h.version != RPC_VERSION))
		r = -EBADMSG;
	if (r == 0)
		r = judge_reply(g, msg, ret);
	if (r == 0)
		return 0;
	kerr_set(&ret->err, -r, KCODE_FAILED,
		 "libvirt on the destination gave an answer that Kith does not understand.");
	return gateway_refuse(g, call.procedure ? &call : NULL, ret, r);
}
