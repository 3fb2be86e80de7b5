/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt's RPC framing and the bodies of six procedures (libvirt 9.0.0, virnetprotocol.x and
 * remote_protocol.x). */
#include "mover/filter/rpc.h"

#include <libvirt/virterror.h>
#include <string.h>

/* ---- frames ---- */

struct rpc_stream {
	uint8_t *data;
	size_t start, len, size; /* unread bytes are data[start .. len) */
	size_t max;
	bool dead;
};

int rpc_stream_new(size_t max_frame, struct rpc_stream **ret)
{
	struct rpc_stream *s;

	if (max_frame < RPC_HEADER_LEN || max_frame > RPC_FRAME_MAX)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->max = max_frame;
	*ret = s;
	return 0;
}

struct rpc_stream *rpc_stream_free(struct rpc_stream *s)
{
	if (s) {
		free(s->data);
		free(s);
	}
	return NULL;
}

/* Length of the first frame: 0 = not known yet, -EBADMSG = impossible. */
static ssize_t stream_frame_len(struct rpc_stream *s)
{
	struct xdr_in in = xdr_in_init(s->data + s->start, s->len - s->start);
	uint32_t len = xdr_get_u32(&in);

	if (in.error)
		return 0;
	if (len < RPC_HEADER_LEN || len > s->max) {
		s->dead = true;
		return -EBADMSG;
	}
	return (ssize_t)len;
}

/* Moves the unread bytes to the front, so that the buffer does not grow over whole frames. */
static void stream_compact(struct rpc_stream *s)
{
	if (s->start == 0)
		return;
	memmove(s->data, s->data + s->start, s->len - s->start);
	s->len -= s->start;
	s->start = 0;
}

int rpc_stream_push(struct rpc_stream *s, const void *data, size_t len)
{
	size_t size;

	if (s->dead)
		return -EBADMSG;
	if (len == 0)
		return 0;
	stream_compact(s);
	/* Whole frames are taken out between pushes; what stays is less than one frame. */
	if (len > 2 * s->max || s->len > 4 * s->max - len) {
		s->dead = true;
		return -EBADMSG;
	}
	size = s->size ? s->size : 4096;
	while (size < s->len + len)
		size *= 2;
	if (size != s->size) {
		uint8_t *grown = realloc(s->data, size);

		if (!grown)
			return -ENOMEM;
		s->data = grown;
		s->size = size;
	}
	memcpy(s->data + s->len, data, len);
	s->len += len;
	return stream_frame_len(s) < 0 ? -EBADMSG : 0;
}

int rpc_stream_next(struct rpc_stream *s, struct rpc_msg *ret)
{
	ssize_t len;
	int r;

	if (s->dead)
		return -EBADMSG;
	if (!s->data)
		return 0;
	len = stream_frame_len(s);
	if (len <= 0)
		return (int)len;
	if ((size_t)len > s->len - s->start)
		return 0;
	r = rpc_parse(s->data + s->start, (size_t)len, ret);
	if (r < 0) {
		s->dead = true;
		return r;
	}
	s->start += (size_t)len;
	return 1;
}

int rpc_parse(const void *frame, size_t len, struct rpc_msg *ret)
{
	struct xdr_in in = xdr_in_init(frame, len);
	struct rpc_msg msg = {.frame = frame, .frame_len = len};
	uint32_t declared = xdr_get_u32(&in);

	msg.h.program = xdr_get_u32(&in);
	msg.h.version = xdr_get_u32(&in);
	msg.h.procedure = xdr_get_u32(&in);
	msg.h.type = xdr_get_u32(&in);
	msg.h.serial = xdr_get_u32(&in);
	msg.h.status = xdr_get_u32(&in);
	if (in.error || declared != len || len > RPC_FRAME_MAX)
		return -EBADMSG;
	msg.body = in.data;
	msg.len = in.left;
	*ret = msg;
	return 0;
}

/* ---- decoders ---- */

int rpc_get_open(const struct rpc_msg *msg, struct rpc_open_args *ret)
{
	struct xdr_in in = xdr_in_init(msg->body, msg->len);
	struct rpc_open_args args = {0};

	args.name = xdr_get_optional(&in, XDR_STRING_MAX, &args.name_len);
	args.flags = xdr_get_u32(&in);
	if (xdr_in_end(&in) < 0)
		return -EBADMSG;
	*ret = args;
	return 0;
}

int rpc_get_int_ret(const struct rpc_msg *msg, int32_t *ret_value)
{
	struct xdr_in in = xdr_in_init(msg->body, msg->len);
	int32_t v = (int32_t)xdr_get_u32(&in);

	if (xdr_in_end(&in) < 0)
		return -EBADMSG;
	*ret_value = v;
	return 0;
}

int rpc_get_feature(const struct rpc_msg *msg, int32_t *ret_feature)
{
	return rpc_get_int_ret(msg, ret_feature);
}

int rpc_get_auth_list_ret(const struct rpc_msg *msg, bool *ret_none, bool *ret_polkit)
{
	struct xdr_in in = xdr_in_init(msg->body, msg->len);
	uint32_t n = xdr_get_u32(&in);
	bool none = n == 1, polkit = false;

	if (n > 20) /* REMOTE_AUTH_TYPE_LIST_MAX */
		return -EBADMSG;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t type = xdr_get_u32(&in);

		none = none && type == 0;
		polkit = polkit || type == 2;
	}
	if (xdr_in_end(&in) < 0)
		return -EBADMSG;
	*ret_none = none;
	*ret_polkit = polkit;
	return 0;
}

int rpc_get_prepare(const struct rpc_msg *msg, struct rpc_prepare_args *ret)
{
	struct xdr_in in = xdr_in_init(msg->body, msg->len);

	xdr_get_params(&in, &ret->params);
	ret->cookie = xdr_get_opaque(&in, RPC_COOKIE_MAX, &ret->cookie_len);
	ret->flags = xdr_get_u32(&in);
	return xdr_in_end(&in) < 0 ? -EBADMSG : 0;
}

int rpc_get_prepare_ret(const struct rpc_msg *msg, struct rpc_prepare_ret *ret)
{
	struct xdr_in in = xdr_in_init(msg->body, msg->len);
	struct rpc_prepare_ret v = {0};

	v.cookie = xdr_get_opaque(&in, RPC_COOKIE_MAX, &v.cookie_len);
	v.uri = xdr_get_optional(&in, XDR_STRING_MAX, &v.uri_len);
	if (xdr_in_end(&in) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

int rpc_get_finish(const struct rpc_msg *msg, struct rpc_finish_args *ret)
{
	struct xdr_in in = xdr_in_init(msg->body, msg->len);

	xdr_get_params(&in, &ret->params);
	ret->cookie = xdr_get_opaque(&in, RPC_COOKIE_MAX, &ret->cookie_len);
	ret->flags = xdr_get_u32(&in);
	ret->cancelled = (int32_t)xdr_get_u32(&in);
	return xdr_in_end(&in) < 0 ? -EBADMSG : 0;
}

int rpc_get_finish_ret(const struct rpc_msg *msg, struct rpc_finish_ret *ret)
{
	struct xdr_in in = xdr_in_init(msg->body, msg->len);
	struct rpc_finish_ret v = {0};

	v.name = xdr_get_string(&in, RPC_DOMAIN_NAME_MAX, &v.name_len);
	xdr_get_fixed(&in, v.uuid, sizeof(v.uuid));
	v.id = (int32_t)xdr_get_u32(&in);
	v.cookie = xdr_get_opaque(&in, RPC_COOKIE_MAX, &v.cookie_len);
	if (xdr_in_end(&in) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

int rpc_get_error(const struct rpc_msg *msg, struct rpc_error *ret)
{
	struct xdr_in in = xdr_in_init(msg->body, msg->len);
	struct rpc_error v = {0};

	v.code = (int32_t)xdr_get_u32(&in);
	v.domain = (int32_t)xdr_get_u32(&in);
	v.message = xdr_get_optional(&in, XDR_STRING_MAX, &v.message_len);
	/* The rest (level, objects, strings) is of no use here. */
	if (in.error)
		return -EBADMSG;
	*ret = v;
	return 0;
}

/* ---- encoders ---- */

struct rpc_header rpc_call_header(uint32_t procedure, uint32_t serial)
{
	return (struct rpc_header){
		.program = RPC_PROGRAM_REMOTE,
		.version = RPC_VERSION,
		.procedure = procedure,
		.type = RPC_TYPE_CALL,
		.serial = serial,
		.status = RPC_STATUS_OK,
	};
}

struct rpc_header rpc_reply_header(const struct rpc_header *call, enum rpc_status status)
{
	struct rpc_header h = *call;

	h.type = RPC_TYPE_REPLY;
	h.status = status;
	return h;
}

static size_t begin(struct xdr_out *out, const struct rpc_header *h)
{
	size_t start = out->len;

	xdr_put_u32(out, 0);
	xdr_put_u32(out, h->program);
	xdr_put_u32(out, h->version);
	xdr_put_u32(out, h->procedure);
	xdr_put_u32(out, h->type);
	xdr_put_u32(out, h->serial);
	xdr_put_u32(out, h->status);
	return start;
}

static int end(struct xdr_out *out, size_t start)
{
	if (!out->error && out->len - start > RPC_FRAME_MAX)
		out->error = -ENOBUFS;
	if (!out->error)
		xdr_patch_u32(out, start, (uint32_t)(out->len - start));
	return out->error;
}

int rpc_put_empty(struct xdr_out *out, const struct rpc_header *h)
{
	return end(out, begin(out, h));
}

int rpc_put_int(struct xdr_out *out, const struct rpc_header *h, int32_t value)
{
	size_t start = begin(out, h);

	xdr_put_u32(out, (uint32_t)value);
	return end(out, start);
}

int rpc_put_open(struct xdr_out *out, const struct rpc_header *h, const char *name, uint32_t flags)
{
	size_t start = begin(out, h);

	xdr_put_optional(out, name);
	xdr_put_u32(out, flags);
	return end(out, start);
}

int rpc_put_auth_list_none(struct xdr_out *out, const struct rpc_header *h)
{
	size_t start = begin(out, h);

	xdr_put_u32(out, 1);
	xdr_put_u32(out, 0); /* REMOTE_AUTH_NONE */
	return end(out, start);
}

int rpc_put_prepare(struct xdr_out *out, const struct rpc_header *h,
		    const struct rpc_prepare_args *args)
{
	size_t start = begin(out, h);

	xdr_put_params(out, &args->params);
	xdr_put_opaque(out, args->cookie, args->cookie_len);
	xdr_put_u32(out, args->flags);
	return end(out, start);
}

int rpc_put_prepare_ret(struct xdr_out *out, const struct rpc_header *h, const void *cookie,
			size_t cookie_len, const char *uri)
{
	size_t start = begin(out, h);

	xdr_put_opaque(out, cookie, cookie_len);
	xdr_put_optional(out, uri);
	return end(out, start);
}

int rpc_put_finish(struct xdr_out *out, const struct rpc_header *h,
		   const struct rpc_finish_args *args)
{
	size_t start = begin(out, h);

	xdr_put_params(out, &args->params);
	xdr_put_opaque(out, args->cookie, args->cookie_len);
	xdr_put_u32(out, args->flags);
	xdr_put_u32(out, (uint32_t)args->cancelled);
	return end(out, start);
}

int rpc_put_finish_ret(struct xdr_out *out, const struct rpc_header *h,
		       const struct rpc_finish_ret *ret)
{
	size_t start = begin(out, h);

	xdr_put_string(out, ret->name, ret->name_len);
	xdr_put_fixed(out, ret->uuid, sizeof(ret->uuid));
	xdr_put_u32(out, (uint32_t)ret->id);
	xdr_put_opaque(out, ret->cookie, ret->cookie_len);
	return end(out, start);
}

int rpc_put_error(struct xdr_out *out, const struct rpc_header *call, const char *message)
{
	struct rpc_header h = rpc_reply_header(call, RPC_STATUS_ERROR);
	size_t start = begin(out, &h);

	/* virNetMessageError: OPERATION_FAILED of the QEMU driver is what a migration that did
	 * not work gives, so the client takes its ordinary way back. */
	xdr_put_u32(out, VIR_ERR_OPERATION_FAILED);
	xdr_put_u32(out, VIR_FROM_QEMU);
	xdr_put_optional(out, message);
	xdr_put_u32(out, VIR_ERR_ERROR);
	xdr_put_u32(out, 0);		/* no domain */
	xdr_put_optional(out, "%s");	/* str1: the format, as libvirt sends it */
	xdr_put_optional(out, message); /* str2 */
	xdr_put_optional(out, NULL);	/* str3 */
	xdr_put_u32(out, 0);		/* int1 */
	xdr_put_u32(out, 0);		/* int2 */
	xdr_put_u32(out, 0);		/* no network */
	return end(out, start);
}

int rpc_put_pong(struct xdr_out *out)
{
	struct rpc_header h = {
		.program = RPC_PROGRAM_KEEPALIVE,
		.version = RPC_VERSION,
		.procedure = RPC_KEEPALIVE_PONG,
		.type = RPC_TYPE_MESSAGE,
	};

	return rpc_put_empty(out, &h);
}
