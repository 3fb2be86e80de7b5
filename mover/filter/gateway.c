/* SPDX-License-Identifier: Apache-2.0 */
/* What the source may call, when, and rewritten how; and the machine that says so. */
#include "mover/filter/gateway-internal.h"

#include <inttypes.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"

#define FEATURE_KEEPALIVE 10 /* VIR_DRV_FEATURE_PROGRAM_KEEPALIVE */

static const char *const gateway_state_names[_GATEWAY_STATE_MAX] = {
	[GATEWAY_STATE_NEW] = "new",	       [GATEWAY_STATE_OPENING] = "opening",
	[GATEWAY_STATE_OPEN] = "open",	       [GATEWAY_STATE_PREPARE] = "prepare",
	[GATEWAY_STATE_PREPARED] = "prepared", [GATEWAY_STATE_FINISH] = "finish",
	[GATEWAY_STATE_HELD] = "held",	       [GATEWAY_STATE_FINISHED] = "finished",
	[GATEWAY_STATE_CLOSED] = "closed",     [GATEWAY_STATE_REFUSED] = "refused",
};

DEFINE_NAMES(gateway_state, enum gateway_state, _GATEWAY_STATE_MAX)

static const char *const gateway_verdict_names[_GATEWAY_VERDICT_MAX] = {
	[GATEWAY_FORWARD] = "forward", [GATEWAY_REPLY] = "reply",   [GATEWAY_HOLD] = "hold",
	[GATEWAY_DROP] = "drop",       [GATEWAY_REFUSE] = "refuse",
};

DEFINE_NAMES(gateway_verdict, enum gateway_verdict, _GATEWAY_VERDICT_MAX)

/* ---- what may pass ---- */

/* VIR_MIGRATE_* bits. A bit without a row is refused too. */
enum flag_rule {
	FLAG_REFUSE, /* also what bits 21..31 get: nothing is allowed that is not named here */
	FLAG_KEEP,
	FLAG_STRIP, /* means something at the source only */
};

static const struct {
	enum flag_rule rule;
	const char *name;
} flag_rules[32] = {
	[0] = {FLAG_KEEP, "LIVE"},
	[1] = {FLAG_REFUSE, "PEER2PEER"},
	[2] = {FLAG_REFUSE, "TUNNELLED"},
	[3] = {FLAG_REFUSE, "PERSIST_DEST"}, /* H14 */
	[4] = {FLAG_STRIP, "UNDEFINE_SOURCE"},
	[5] = {FLAG_KEEP, "PAUSED"}, /* and forced: the stopped copy is the vote (R6) */
	[6] = {FLAG_KEEP, "NON_SHARED_DISK"},
	[7] = {FLAG_REFUSE, "NON_SHARED_INC"},
	[8] = {FLAG_STRIP, "CHANGE_PROTECTION"},
	[9] = {FLAG_REFUSE, "UNSAFE"},
	[10] = {FLAG_REFUSE, "OFFLINE"},
	[11] = {FLAG_REFUSE, "COMPRESSED"},
	[12] = {FLAG_STRIP, "ABORT_ON_ERROR"},
	[13] = {FLAG_STRIP, "AUTO_CONVERGE"},
	[14] = {FLAG_REFUSE, "RDMA_PIN_ALL"},
	[15] = {FLAG_REFUSE, "POSTCOPY"}, /* W18 */
	[16] = {FLAG_REFUSE, "TLS"},
	[17] = {FLAG_REFUSE, "PARALLEL"},
	[18] = {FLAG_REFUSE, "NON_SHARED_SYNCHRONOUS_WRITES"},
	[19] = {FLAG_REFUSE, "POSTCOPY_RESUME"},
	[20] = {FLAG_REFUSE, "ZEROCOPY"},
};

/* VIR_MIGRATE_PARAM_*. What has no row is refused (compression, parallel, TLS, listen address,
 * disks port, persistent XML, post-copy and whatever comes later). */
enum param_rule {
	PARAM_OWN,    /* the destination writes its own value instead */
	PARAM_XML,    /* rebuilt */
	PARAM_NAME,   /* must be the VM's name */
	PARAM_TARGET, /* must be a disk of the map; may come several times */
};

static const struct {
	const char *field;
	enum xdr_param_type type;
	enum param_rule rule;
} param_rules[] = {
	{VIR_MIGRATE_PARAM_URI, XDR_PARAM_STRING, PARAM_OWN},
	{VIR_MIGRATE_PARAM_DISKS_URI, XDR_PARAM_STRING, PARAM_OWN},
	{VIR_MIGRATE_PARAM_BANDWIDTH, XDR_PARAM_ULLONG, PARAM_OWN},
	{VIR_MIGRATE_PARAM_DEST_XML, XDR_PARAM_STRING, PARAM_XML},
	{VIR_MIGRATE_PARAM_DEST_NAME, XDR_PARAM_STRING, PARAM_NAME},
	{VIR_MIGRATE_PARAM_MIGRATE_DISKS, XDR_PARAM_STRING, PARAM_TARGET},
};

/* VIR_DRV_FEATURE_* that are asked of the local libvirtd; any other gets the answer 0 here. */
static const int32_t forwarded_features[] = {
	6,  /* MIGRATION_V3 */
	9,  /* TYPED_PARAM_STRING */
	11, /* XML_MIGRATABLE */
	13, /* MIGRATION_PARAMS */
	14, /* REMOTE_EVENT_CALLBACK */
	15, /* REMOTE_CLOSE_CALLBACK */
};

#define IN(state) (1u << GATEWAY_STATE_##state)

static int call_auth_list(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret);
static int call_feature(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret);
static int call_open(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret);
static int call_prepare(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret);
static int call_finish(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret);
static int call_close(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret);

/* The six procedures (finding 7) and the states in which each may be called. */
static const struct {
	uint32_t procedure;
	unsigned states;
	int (*call)(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret);
} call_rules[] = {
	{RPC_PROC_AUTH_LIST, IN(NEW), call_auth_list},
	{RPC_PROC_SUPPORTS_FEATURE, IN(NEW) | IN(OPEN), call_feature},
	{RPC_PROC_OPEN, IN(NEW), call_open},
	{RPC_PROC_PREPARE3_PARAMS, IN(OPEN), call_prepare},
	{RPC_PROC_FINISH3_PARAMS, IN(PREPARED), call_finish},
	{RPC_PROC_CLOSE, IN(OPEN) | IN(PREPARED) | IN(FINISHED), call_close},
};

/* ---- small things ---- */

void gateway_action_clear(struct gateway_action *a)
{
	free(a->data);
	*a = (struct gateway_action){.verdict = GATEWAY_DROP};
}

void gateway_enter(struct gateway *g, enum gateway_state state)
{
	if (g->state == state)
		return;
	log_debug("gateway", "%s -> %s", gateway_state_to_string(g->state),
		  gateway_state_to_string(state));
	g->state = state;
}

int gateway_give(struct gateway_action *ret, enum gateway_verdict verdict, struct xdr_out *out)
{
	if (out->error)
		return kerr_set(&ret->err, -out->error, KCODE_FAILED,
				"There is not enough memory.");
	ret->verdict = verdict;
	ret->len = out->len;
	ret->data = TAKE_PTR(out->data);
	return 0;
}

void gateway_set_pending(struct gateway *g, const struct rpc_header *h, bool own, bool cancelled)
{
	g->pending = (struct pending_call){.h = *h, .own = own, .cancelled = cancelled};
}

int gateway_forward_as_is(const struct rpc_msg *m, struct gateway_action *ret)
{
	uint8_t *data = malloc(m->frame_len);

	if (!data)
		return -ENOMEM;
	memcpy(data, m->frame, m->frame_len);
	ret->verdict = GATEWAY_FORWARD;
	ret->data = data;
	ret->len = m->frame_len;
	return 0;
}

static int bad_message(struct gateway_action *ret, const char *what)
{
	return kerr_set(&ret->err, EBADMSG, KCODE_BAD_MESSAGE,
			"The other device sent a broken %s message; nothing was changed here.",
			what);
}

/* ---- calls of the source ---- */

static int call_auth_list(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret)
{
	if (m->len != 0)
		return bad_message(ret, "auth_list");
	gateway_set_pending(g, &m->h, false, false);
	return gateway_forward_as_is(m, ret);
}

static int call_feature(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	struct rpc_header h = rpc_reply_header(&m->h, RPC_STATUS_OK);
	int32_t feature;

	if (rpc_get_feature(m, &feature) < 0)
		return bad_message(ret, "supports_feature");
	/* libvirtd starts its own pings when it hears of this one, and a withheld reply would
	 * then look like a dead peer (W5): the gateway is the one who keeps alive. */
	for (size_t i = 0; i < ARRAY_SIZE(forwarded_features); i++)
		if (g->state == GATEWAY_STATE_OPEN && forwarded_features[i] == feature) {
			gateway_set_pending(g, &m->h, false, false);
			return gateway_forward_as_is(m, ret);
		}
	rpc_put_int(&out, &h, feature == FEATURE_KEEPALIVE);
	return gateway_give(ret, GATEWAY_REPLY, &out);
}

static int call_open(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	struct rpc_open_args args;
	int r;

	if (rpc_get_open(m, &args) < 0)
		return bad_message(ret, "open");
	rpc_put_open(&out, &m->h, RPC_LIBVIRTD_URI, 0);
	r = gateway_give(ret, GATEWAY_FORWARD, &out);
	if (r < 0)
		return r;
	gateway_set_pending(g, &m->h, false, false);
	gateway_enter(g, GATEWAY_STATE_OPENING);
	return 0;
}

static int call_close(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret)
{
	int r;

	if (m->len != 0)
		return bad_message(ret, "close");
	r = gateway_forward_as_is(m, ret);
	if (r < 0)
		return r;
	gateway_set_pending(g, &m->h, false, false);
	gateway_enter(g, GATEWAY_STATE_CLOSED);
	ret->event = GATEWAY_EVENT_CLOSED;
	return 0;
}

/* Flags for the local libvirtd, or -EPERM. */
static int check_flags(const struct gateway *g, uint32_t flags, uint32_t *ret_flags,
		       struct kerr *err)
{
	uint32_t kept = 0;

	for (unsigned bit = 0; bit < 32; bit++) {
		if (!(flags & 1u << bit))
			continue;
		switch (flag_rules[bit].rule) {
		case FLAG_REFUSE:
			return kerr_set(err, EPERM, KCODE_BAD_MESSAGE,
					"The other device asked for the migration option %s (bit "
					"%u), which is never accepted.",
					flag_rules[bit].name ?: "of an unknown kind", bit);
		case FLAG_KEEP:
			kept |= 1u << bit;
			break;
		case FLAG_STRIP:
			break;
		}
	}
	if (domain_disk_map_copied(&g->map) && !(kept & VIR_MIGRATE_NON_SHARED_DISK))
		return kerr_set(err, EPERM, KCODE_BAD_MESSAGE,
				"The other device wants to send a VM without the contents of its "
				"disks; nothing was started.");
	/* Without a list libvirt would copy over shared disks as well. */
	if (!domain_disk_map_copied(&g->map))
		kept &= ~(uint32_t)VIR_MIGRATE_NON_SHARED_DISK;
	*ret_flags = kept | VIR_MIGRATE_PAUSED;
	return 0;
}

/* What check_params() found. Borrowed from the frame. */
struct seen_params {
	unsigned fields; /* bit = row of param_rules */
	uint32_t disks;	 /* bit = disk of the map */
	const struct xdr_param *xml;
	bool name;
};

static bool param_is(const struct xdr_param *p, const char *text)
{
	return p->text_len == strlen(text) && memcmp(p->text, text, p->text_len) == 0;
}

static int check_target(const struct gateway *g, const struct xdr_param *p,
			struct seen_params *seen, struct kerr *err)
{
	for (size_t i = 0; i < g->map.count; i++)
		if (param_is(p, g->map.disks[i].target) && !g->map.disks[i].store &&
		    !(seen->disks & 1u << i)) {
			seen->disks |= 1u << i;
			return 0;
		}
	return kerr_set(err, EPERM, KCODE_BAD_MESSAGE,
			"The other device wants to copy a disk that was not announced, one that is "
			"on shared storage, or one twice; nothing was started.");
}

static int check_param(const struct gateway *g, const struct xdr_param *p, size_t row,
		       struct seen_params *seen, struct kerr *err)
{
	enum param_rule rule = param_rules[row].rule;

	if (p->type != param_rules[row].type || (rule != PARAM_TARGET && seen->fields & 1u << row))
		return kerr_set(
			err, EBADMSG, KCODE_BAD_MESSAGE,
			"The other device sent the migration parameter '%s' twice or with a "
			"wrong type.",
			param_rules[row].field);
	seen->fields |= 1u << row;
	switch (rule) {
	case PARAM_OWN:
		return 0;
	case PARAM_XML:
		seen->xml = p;
		return 0;
	case PARAM_NAME:
		seen->name = true;
		if (param_is(p, g->name))
			return 0;
		return kerr_set(
			err, EACCES, KCODE_IDENTITY,
			"The other device wants to give the VM another name than the agreed "
			"one; nothing was started.");
	case PARAM_TARGET:
		return check_target(g, p, seen, err);
	}
	return -EPERM;
}

static int check_params(const struct gateway *g, const struct xdr_params *params,
			struct seen_params *seen, struct kerr *err)
{
	uint32_t all = 0;

	*seen = (struct seen_params){0};
	for (size_t i = 0; i < params->count; i++) {
		const struct xdr_param *p = &params->items[i];
		size_t row = 0;
		int r;

		while (row < ARRAY_SIZE(param_rules) &&
		       strcmp(param_rules[row].field, p->field) != 0)
			row++;
		if (row == ARRAY_SIZE(param_rules))
			return kerr_set(
				err, EPERM, KCODE_BAD_MESSAGE,
				"The other device set the migration parameter '%s', which is "
				"never accepted.",
				p->field);
		r = check_param(g, p, row, seen, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < g->map.count; i++)
		all |= g->map.disks[i].store ? 0 : 1u << i;
	if (seen->disks && seen->disks != all)
		return kerr_set(err, EPERM, KCODE_BAD_MESSAGE,
				"The other device wants to leave a disk of the VM behind; nothing "
				"was started.");
	return 0;
}

/* Our own values only; the source's list gave permission, not content. */
static int own_params(const struct gateway *g, struct xdr_params *ret)
{
	int r = xdr_params_add_string(ret, VIR_MIGRATE_PARAM_URI, g->migrate_uri,
				      strlen(g->migrate_uri));

	if (r == 0 && g->disks_uri)
		r = xdr_params_add_string(ret, VIR_MIGRATE_PARAM_DISKS_URI, g->disks_uri,
					  strlen(g->disks_uri));
	if (r == 0)
		r = xdr_params_add_string(ret, VIR_MIGRATE_PARAM_DEST_XML, g->xml, strlen(g->xml));
	for (size_t i = 0; r == 0 && i < g->map.count; i++)
		r = g->map.disks[i].store
			    ? 0
			    : xdr_params_add_string(ret, VIR_MIGRATE_PARAM_MIGRATE_DISKS,
						    g->map.disks[i].target,
						    strlen(g->map.disks[i].target));
	return r;
}

/* For the copy, and to be kept. */
static int rebuild_domain(struct gateway *g, const struct xdr_param *xml, struct kerr *err)
{
	struct domain_limits permanent = g->limits;
	int r = domain_rebuild(xml->text, xml->text_len, &g->limits, &g->map, &g->xml, NULL, err);

	permanent.permanent = true;
	return r < 0 ? r
		     : domain_rebuild(xml->text, xml->text_len, &permanent, &g->map, &g->permanent,
				      &g->facts, err);
}

/* Everything of Prepare3 that is rebuilt; nothing of the gateway changes if it fails. */
static int rebuild_prepare(struct gateway *g, const struct rpc_prepare_args *args,
			   const struct rpc_header *h, struct gateway_action *ret)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	_cleanup_free_ struct rpc_prepare_args *own = calloc(1, sizeof(*own));
	_cleanup_free_ char *cookie = NULL;
	struct seen_params seen;
	int r;

	if (!own)
		return -ENOMEM;
	r = check_flags(g, args->flags, &own->flags, &ret->err);
	if (r == 0)
		r = check_params(g, &args->params, &seen, &ret->err);
	if (r == 0 && !seen.xml)
		return bad_message(ret, "prepare3 (no configuration in it)");
	if (r == 0)
		r = cookie_rebuild(COOKIE_STEP_PREPARE, args->cookie, args->cookie_len, &g->limits,
				   &g->map, &cookie, &own->cookie_len, &ret->err);
	if (r == 0)
		r = rebuild_domain(g, seen.xml, &ret->err);
	if (r < 0)
		return r;
	own->cookie = (const uint8_t *)cookie;
	r = own_params(g, &own->params);
	if (r < 0)
		return r;
	rpc_put_prepare(&out, h, own);
	g->flags = own->flags;
	return gateway_give(ret, GATEWAY_FORWARD, &out);
}

static int call_prepare(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret)
{
	_cleanup_free_ struct rpc_prepare_args *args = calloc(1, sizeof(*args));
	int r;

	if (!args)
		return -ENOMEM;
	if (rpc_get_prepare(m, args) < 0)
		return bad_message(ret, "prepare3");
	r = rebuild_prepare(g, args, &m->h, ret);
	if (r < 0)
		return r;
	gateway_set_pending(g, &m->h, false, false);
	gateway_enter(g, GATEWAY_STATE_PREPARE);
	ret->event = GATEWAY_EVENT_PREPARE;
	return 0;
}

/* Finish3 in our own words. */
static int put_finish(struct gateway *g, const struct rpc_header *h, const char *cookie,
		      size_t cookie_len, bool cancelled, struct gateway_action *ret)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	_cleanup_free_ struct rpc_finish_args *own = calloc(1, sizeof(*own));
	int r;

	if (!own)
		return -ENOMEM;
	own->cookie = (const uint8_t *)cookie;
	own->cookie_len = cookie_len;
	own->flags = g->flags;
	own->cancelled = cancelled;
	r = xdr_params_add_string(&own->params, VIR_MIGRATE_PARAM_DEST_NAME, g->name,
				  strlen(g->name));
	if (r < 0)
		return r;
	rpc_put_finish(&out, h, own);
	return gateway_give(ret, GATEWAY_FORWARD, &out);
}

static int check_finish(struct gateway *g, const struct rpc_finish_args *args, char **ret_cookie,
			size_t *ret_len, struct gateway_action *ret)
{
	struct seen_params seen;
	uint32_t flags;
	int r = check_flags(g, args->flags, &flags, &ret->err);

	if (r == 0)
		r = check_params(g, &args->params, &seen, &ret->err);
	if (r < 0)
		return r;
	if (!seen.name || flags != g->flags || (args->cancelled != 0 && args->cancelled != 1))
		return bad_message(ret, "finish3");
	return cookie_rebuild(COOKIE_STEP_FINISH, args->cookie, args->cookie_len, &g->limits,
			      &g->map, ret_cookie, ret_len, &ret->err);
}

static int call_finish(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret)
{
	_cleanup_free_ struct rpc_finish_args *args = calloc(1, sizeof(*args));
	_cleanup_free_ char *cookie = NULL;
	size_t cookie_len = 0;
	int r;

	if (!args)
		return -ENOMEM;
	if (rpc_get_finish(m, args) < 0)
		return bad_message(ret, "finish3");
	r = check_finish(g, args, &cookie, &cookie_len, ret);
	if (r == 0)
		r = put_finish(g, &m->h, cookie, cookie_len, args->cancelled, ret);
	if (r < 0)
		return r;
	gateway_set_pending(g, &m->h, false, args->cancelled);
	gateway_enter(g, GATEWAY_STATE_FINISH);
	ret->event = args->cancelled ? GATEWAY_EVENT_FINISH_CANCEL : GATEWAY_EVENT_FINISH;
	return 0;
}

/* ---- judging the source's messages ---- */

/* Keepalive of either side: 1 = was one and is answered, 0 = is none, negative = broken. */
int gateway_keepalive(const struct rpc_msg *m, struct gateway_action *ret)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_HEADER_LEN);

	if (m->h.program != RPC_PROGRAM_KEEPALIVE)
		return 0;
	if (m->h.version != RPC_VERSION || m->h.type != RPC_TYPE_MESSAGE || m->h.status != 0 ||
	    m->h.serial != 0 || m->len != 0 ||
	    (m->h.procedure != RPC_KEEPALIVE_PING && m->h.procedure != RPC_KEEPALIVE_PONG))
		return bad_message(ret, "keepalive");
	if (m->h.procedure == RPC_KEEPALIVE_PONG) {
		ret->verdict = GATEWAY_DROP;
		return 1;
	}
	rpc_put_pong(&out);
	return gateway_give(ret, GATEWAY_REPLY, &out) < 0 ? -ENOMEM : 1;
}

static int judge_call(struct gateway *g, const struct rpc_msg *m, struct gateway_action *ret)
{
	size_t row = 0;

	if (m->h.program != RPC_PROGRAM_REMOTE || m->h.version != RPC_VERSION ||
	    m->h.type != RPC_TYPE_CALL || m->h.status != RPC_STATUS_OK)
		return kerr_set(&ret->err, EPERM, KCODE_BAD_MESSAGE,
				"The other device sent a message that no hand-off needs (program "
				"0x%" PRIx32 ", type %" PRIu32 ").",
				m->h.program, m->h.type);
	while (row < ARRAY_SIZE(call_rules) && call_rules[row].procedure != m->h.procedure)
		row++;
	if (row == ARRAY_SIZE(call_rules))
		return kerr_set(&ret->err, EPERM, KCODE_BAD_MESSAGE,
				"The other device called libvirt's procedure %" PRIu32
				", which no hand-off needs.",
				m->h.procedure);
	if (g->pending.h.procedure || !(call_rules[row].states & 1u << g->state))
		return kerr_set(&ret->err, EPERM, KCODE_BAD_MESSAGE,
				"The other device called libvirt's procedure %" PRIu32
				" out of order (in state %s).",
				m->h.procedure, gateway_state_to_string(g->state));
	return call_rules[row].call(g, m, ret);
}

int gateway_refuse(struct gateway *g, const struct rpc_header *call, struct gateway_action *ret,
		   int error)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	char text[KERR_TEXT_MAX + 8];

	kerr_set(&ret->err, -error, KCODE_FAILED, "There is not enough memory.");
	gateway_enter(g, GATEWAY_STATE_REFUSED);
	free(ret->data);
	ret->data = NULL;
	ret->len = 0;
	ret->event = GATEWAY_EVENT_NONE;
	ret->verdict = GATEWAY_REFUSE;
	if (!call || (call->type != RPC_TYPE_CALL && call->type != RPC_TYPE_CALL_WITH_FDS))
		return error == -ENOMEM ? error : 0;
	snprintf(text, sizeof(text), "Kith: %s", ret->err.text);
	if (rpc_put_error(&out, call, text) == 0) {
		ret->len = out.len;
		ret->data = TAKE_PTR(out.data);
	}
	return error == -ENOMEM ? error : 0;
}

int gateway_from_source(struct gateway *g, const struct rpc_msg *msg, struct gateway_action *ret)
{
	int r;

	gateway_action_clear(ret);
	if (g->state == GATEWAY_STATE_REFUSED) {
		r = kerr_set(&ret->err, EPERM, KCODE_BAD_MESSAGE,
			     "The other device went on after it was refused.");
		return gateway_refuse(g, &msg->h, ret, r);
	}
	r = gateway_keepalive(msg, ret);
	if (r == 0)
		r = judge_call(g, msg, ret);
	return r < 0 ? gateway_refuse(g, &msg->h, ret, r) : 0;
}

/* ---- the commit decision ---- */

int gateway_release_finish(struct gateway *g, struct gateway_action *ret)
{
	if (g->state != GATEWAY_STATE_HELD)
		return -EPROTO;
	gateway_action_clear(ret);
	ret->verdict = GATEWAY_FORWARD;
	ret->len = g->held_len;
	ret->data = TAKE_PTR(g->held);
	gateway_enter(g, GATEWAY_STATE_FINISHED);
	return 0;
}

enum gateway_state gateway_state(const struct gateway *g)
{
	return g->state;
}

const char *gateway_domain_xml(const struct gateway *g)
{
	return g->permanent;
}

const struct domain_facts *gateway_domain_facts(const struct gateway *g)
{
	return &g->facts;
}

/* ---- making one ---- */

static bool path_ok(const char *path)
{
	return path[0] == '/' && path[1] && !strstr(path, "/../") && !strstr(path, "//") &&
	       strlen(path) <= DOMAIN_PATH_MAX && text_is_name(path, DOMAIN_PATH_MAX) &&
	       (strlen(path) < 3 || strcmp(path + strlen(path) - 3, "/..") != 0);
}

static bool uri_ok(const char *uri)
{
	return uri && strncmp(uri, "unix://", 7) == 0 && path_ok(uri + 7) && !strpbrk(uri, "?#%");
}

static bool limits_ok(const struct domain_limits *l)
{
	return l->expect_name && text_is_name(l->expect_name, NAME_MAX_LEN) &&
	       (!l->emulator || path_ok(l->emulator)) &&
	       (!l->serial_path || path_ok(l->serial_path)) &&
	       (!l->nvram_path || path_ok(l->nvram_path));
}

static bool disks_ok(const struct domain_disk_map *map)
{
	if (map->count > DOMAIN_DISKS_MAX)
		return false;
	for (size_t i = 0; i < map->count; i++) {
		const struct domain_disk_target *d = &map->disks[i];

		/* Found is the first of that name: no target comes twice. */
		if (!(d->store ? d->volume[0] : path_ok(d->path)) || !d->target[0] ||
		    domain_disk_map_find(map, d->target) != d)
			return false;
	}
	return true;
}

/* A URI for the disks may be absent only if none is copied. */
static bool uris_ok(const struct gateway_config *c)
{
	return uri_ok(c->migrate_uri) && uri_ok(c->source_uri) &&
	       (c->disks_uri ? uri_ok(c->disks_uri) : domain_disk_map_copied(&c->map) == 0);
}

static bool config_ok(const struct gateway_config *c)
{
	return limits_ok(&c->limits) && uris_ok(c) && disks_ok(&c->map);
}

/* strdup() of a string that may be absent. */
static int copy(const char *text, char **ret)
{
	if (!text)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static int copy_config(struct gateway *g, const struct gateway_config *c)
{
	g->limits = c->limits;
	g->map = c->map;
	if (copy(c->limits.expect_name, &g->name) < 0 ||
	    copy(c->limits.emulator, &g->emulator) < 0 ||
	    copy(c->limits.serial_path, &g->serial_path) < 0 ||
	    copy(c->limits.nvram_path, &g->nvram_path) < 0 ||
	    copy(c->migrate_uri, &g->migrate_uri) < 0 || copy(c->disks_uri, &g->disks_uri) < 0 ||
	    copy(c->source_uri, &g->source_uri) < 0)
		return -ENOMEM;
	g->limits.expect_name = g->name;
	g->limits.emulator = g->emulator;
	g->networks = c->limits.networks ? *c->limits.networks : (struct domain_networks){0};
	g->limits.networks = &g->networks;
	g->host = c->limits.host ? *c->limits.host : (struct domain_host){0};
	g->limits.host = &g->host;
	g->origin = c->limits.origin ? *c->limits.origin : (struct domain_origin){0};
	g->limits.origin = &g->origin;
	g->limits.nvram_path = g->nvram_path;
	g->limits.serial_path = g->serial_path;
	return 0;
}

int gateway_new(const struct gateway_config *config, struct gateway **ret)
{
	_cleanup_(gateway_freep) struct gateway *g = NULL;

	if (!config_ok(config))
		return -EINVAL;
	g = calloc(1, sizeof(*g));
	if (!g || copy_config(g, config) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(g);
	return 0;
}

struct gateway *gateway_free(struct gateway *g)
{
	if (!g)
		return NULL;
	free(g->name);
	free(g->emulator);
	free(g->serial_path);
	free(g->nvram_path);
	free(g->migrate_uri);
	free(g->disks_uri);
	free(g->source_uri);
	free(g->xml);
	free(g->permanent);
	free(g->held);
	free(g);
	return NULL;
}
