/* SPDX-License-Identifier: Apache-2.0 */
/* XDR cursors: lengths are compared with the bytes left before anything is read or allocated. */
#include "mover/filter/xdr.h"

#include <string.h>

struct xdr_in xdr_in_init(const void *data, size_t len)
{
	return (struct xdr_in){.data = data, .left = data ? len : 0};
}

static void xdr_fail(struct xdr_in *in, int error)
{
	if (!in->error)
		in->error = error;
	in->left = 0;
}

int xdr_in_end(const struct xdr_in *in)
{
	if (in->error)
		return in->error;
	return in->left ? -EBADMSG : 0;
}

static const uint8_t *take(struct xdr_in *in, size_t len)
{
	const uint8_t *at = in->data;

	if (in->error || len > in->left) {
		xdr_fail(in, -EBADMSG);
		return NULL;
	}
	in->data += len;
	in->left -= len;
	return at;
}

uint32_t xdr_get_u32(struct xdr_in *in)
{
	const uint8_t *at = take(in, 4);

	if (!at)
		return 0;
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

uint64_t xdr_get_hyper(struct xdr_in *in)
{
	uint64_t high = xdr_get_u32(in);
	uint64_t low = xdr_get_u32(in);

	return in->error ? 0 : high << 32 | low;
}

bool xdr_get_bool(struct xdr_in *in)
{
	uint32_t v = xdr_get_u32(in);

	if (v > 1)
		xdr_fail(in, -EBADMSG);
	return v == 1;
}

/* Padding to the next multiple of 4; anything but zeros there is a way to smuggle bytes. */
static void take_padding(struct xdr_in *in, size_t len)
{
	size_t pad = (4 - len % 4) % 4;
	const uint8_t *at = take(in, pad);

	for (size_t i = 0; at && i < pad; i++)
		if (at[i])
			xdr_fail(in, -EBADMSG);
}

void xdr_get_fixed(struct xdr_in *in, void *ret, size_t len)
{
	const uint8_t *at = take(in, len);

	take_padding(in, len);
	if (at && !in->error)
		memcpy(ret, at, len);
	else
		memset(ret, 0, len);
}

const uint8_t *xdr_get_opaque(struct xdr_in *in, size_t max, size_t *ret_len)
{
	size_t len = xdr_get_u32(in);
	const uint8_t *at;

	*ret_len = 0;
	if (len > max)
		xdr_fail(in, -EBADMSG);
	at = take(in, len);
	take_padding(in, len);
	if (!at || in->error)
		return NULL;
	*ret_len = len;
	return at;
}

const char *xdr_get_string(struct xdr_in *in, size_t max, size_t *ret_len)
{
	const uint8_t *at = xdr_get_opaque(in, max, ret_len);

	if (at && *ret_len && memchr(at, 0, *ret_len)) {
		xdr_fail(in, -EBADMSG);
		*ret_len = 0;
		return NULL;
	}
	return (const char *)at;
}

const char *xdr_get_optional(struct xdr_in *in, size_t max, size_t *ret_len)
{
	*ret_len = 0;
	return xdr_get_bool(in) ? xdr_get_string(in, max, ret_len) : NULL;
}

/* ---- output ---- */

struct xdr_out xdr_out_init(size_t cap)
{
	return (struct xdr_out){.cap = cap};
}

void xdr_out_done(struct xdr_out *out)
{
	free(out->data);
	out->data = NULL;
	out->len = out->size = 0;
}

static uint8_t *reserve(struct xdr_out *out, size_t len)
{
	size_t size = out->size ? out->size : 256;
	uint8_t *grown;

	if (out->error)
		return NULL;
	if (len > out->cap - out->len) {
		out->error = -ENOBUFS;
		return NULL;
	}
	while (size < out->len + len)
		size *= 2;
	if (size != out->size) {
		grown = realloc(out->data, size);
		if (!grown) {
			out->error = -ENOMEM;
			return NULL;
		}
		out->data = grown;
		out->size = size;
	}
	out->len += len;
	return out->data + out->len - len;
}

static void store_u32(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 24);
	at[1] = (uint8_t)(v >> 16);
	at[2] = (uint8_t)(v >> 8);
	at[3] = (uint8_t)v;
}

void xdr_put_u32(struct xdr_out *out, uint32_t v)
{
	uint8_t *at = reserve(out, 4);

	if (at)
		store_u32(at, v);
}

void xdr_put_hyper(struct xdr_out *out, uint64_t v)
{
	xdr_put_u32(out, (uint32_t)(v >> 32));
	xdr_put_u32(out, (uint32_t)v);
}

void xdr_put_fixed(struct xdr_out *out, const void *data, size_t len)
{
	size_t pad = (4 - len % 4) % 4;
	uint8_t *at;

	if (len > SIZE_MAX - pad) {
		out->error = out->error ? out->error : -ENOBUFS;
		return;
	}
	at = reserve(out, len + pad);
	if (!at)
		return;
	if (len)
		memcpy(at, data, len);
	memset(at + len, 0, pad);
}

void xdr_put_opaque(struct xdr_out *out, const void *data, size_t len)
{
	if (len > UINT32_MAX) {
		out->error = out->error ? out->error : -ENOBUFS;
		return;
	}
	xdr_put_u32(out, (uint32_t)len);
	xdr_put_fixed(out, data, len);
}

void xdr_put_string(struct xdr_out *out, const char *text, size_t len)
{
	xdr_put_opaque(out, text, len);
}

void xdr_put_optional(struct xdr_out *out, const char *text)
{
	xdr_put_u32(out, text != NULL);
	if (text)
		xdr_put_string(out, text, strlen(text));
}

void xdr_patch_u32(struct xdr_out *out, size_t at, uint32_t v)
{
	if (!out->error && at <= out->len && out->len - at >= 4)
		store_u32(out->data + at, v);
}

/* ---- typed parameters ---- */

static bool field_ok(const char *text, size_t len)
{
	if (len == 0 || len > XDR_FIELD_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-",
			    text[i]))
			return false;
	return true;
}

static void get_value(struct xdr_in *in, struct xdr_param *p, uint32_t type)
{
	p->type = (enum xdr_param_type)type;
	switch (p->type) {
	case XDR_PARAM_INT:
		p->number = (uint64_t)(int64_t)(int32_t)xdr_get_u32(in);
		return;
	case XDR_PARAM_UINT:
		p->number = xdr_get_u32(in);
		return;
	case XDR_PARAM_LLONG:
	case XDR_PARAM_ULLONG:
	case XDR_PARAM_DOUBLE:
		p->number = xdr_get_hyper(in);
		return;
	case XDR_PARAM_BOOLEAN:
		p->number = xdr_get_bool(in);
		return;
	case XDR_PARAM_STRING:
		p->text = xdr_get_string(in, XDR_STRING_MAX, &p->text_len);
		return;
	}
	xdr_fail(in, -EBADMSG);
}

void xdr_get_params(struct xdr_in *in, struct xdr_params *ret)
{
	uint32_t count = xdr_get_u32(in);

	ret->count = 0;
	if (count > XDR_PARAMS_MAX)
		xdr_fail(in, -EBADMSG);
	for (uint32_t i = 0; i < count && !in->error; i++) {
		struct xdr_param *p = &ret->items[i];
		const char *field;
		size_t len;

		*p = (struct xdr_param){.type = XDR_PARAM_INT};
		field = xdr_get_string(in, XDR_FIELD_MAX, &len);
		if (!field || !field_ok(field, len)) {
			xdr_fail(in, -EBADMSG);
			break;
		}
		memcpy(p->field, field, len);
		get_value(in, p, xdr_get_u32(in));
		ret->count = i + 1;
	}
	if (in->error)
		ret->count = 0;
}

static void put_value(struct xdr_out *out, const struct xdr_param *p)
{
	switch (p->type) {
	case XDR_PARAM_INT:
	case XDR_PARAM_UINT:
	case XDR_PARAM_BOOLEAN:
		xdr_put_u32(out, (uint32_t)p->number);
		return;
	case XDR_PARAM_LLONG:
	case XDR_PARAM_ULLONG:
	case XDR_PARAM_DOUBLE:
		xdr_put_hyper(out, p->number);
		return;
	case XDR_PARAM_STRING:
		xdr_put_string(out, p->text, p->text_len);
		return;
	}
}

void xdr_put_params(struct xdr_out *out, const struct xdr_params *params)
{
	xdr_put_u32(out, (uint32_t)params->count);
	for (size_t i = 0; i < params->count; i++) {
		const struct xdr_param *p = &params->items[i];

		xdr_put_string(out, p->field, strlen(p->field));
		xdr_put_u32(out, (uint32_t)p->type);
		put_value(out, p);
	}
}

int xdr_params_add_string(struct xdr_params *p, const char *field, const char *text, size_t len)
{
	struct xdr_param *item;
	size_t field_len = strlen(field);

	if (p->count >= XDR_PARAMS_MAX || !field_ok(field, field_len))
		return -ENOBUFS;
	item = &p->items[p->count++];
	*item = (struct xdr_param){.type = XDR_PARAM_STRING, .text = text, .text_len = len};
	memcpy(item->field, field, field_len);
	return 0;
}
