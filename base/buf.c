/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded cursors; lengths are compared with the bytes left, never added to a position. */
#include "base/buf.h"

#include <errno.h>
#include <string.h>

struct rbuf rbuf_init(const void *data, size_t len)
{
	return (struct rbuf){.data = data, .left = data ? len : 0};
}

void rbuf_fail(struct rbuf *r, int error)
{
	if (!r->error)
		r->error = error;
	r->left = 0;
}

int rbuf_error(const struct rbuf *r)
{
	return r->error;
}

int rbuf_end(const struct rbuf *r)
{
	if (r->error)
		return r->error;
	return r->left ? -EBADMSG : 0;
}

const uint8_t *rbuf_view(struct rbuf *r, size_t len)
{
	const uint8_t *at = r->data;

	if (r->error || len > r->left) {
		rbuf_fail(r, -EBADMSG);
		return NULL;
	}
	r->data += len;
	r->left -= len;
	return at;
}

void rbuf_bytes(struct rbuf *r, void *ret, size_t len)
{
	const uint8_t *at = rbuf_view(r, len);

	if (at && len)
		memcpy(ret, at, len);
	else if (len)
		memset(ret, 0, len);
}

static uint64_t get_le(struct rbuf *r, size_t len)
{
	const uint8_t *at = rbuf_view(r, len);
	uint64_t v = 0;

	for (size_t i = 0; at && i < len; i++)
		v |= (uint64_t)at[i] << (8 * i);
	return v;
}

uint8_t rbuf_u8(struct rbuf *r)
{
	return (uint8_t)get_le(r, 1);
}

uint16_t rbuf_u16(struct rbuf *r)
{
	return (uint16_t)get_le(r, 2);
}

uint32_t rbuf_u32(struct rbuf *r)
{
	return (uint32_t)get_le(r, 4);
}

uint64_t rbuf_u64(struct rbuf *r)
{
	return get_le(r, 8);
}

const uint8_t *rbuf_blob(struct rbuf *r, size_t max, size_t *ret_len)
{
	size_t len = rbuf_u32(r);
	const uint8_t *at;

	*ret_len = 0;
	if (len > max)
		rbuf_fail(r, -EBADMSG);
	at = rbuf_view(r, len);
	if (at)
		*ret_len = len;
	return at;
}

void rbuf_string(struct rbuf *r, char *ret, size_t size)
{
	size_t len = rbuf_u16(r);
	const uint8_t *at;

	ret[0] = '\0';
	if (len >= size)
		rbuf_fail(r, -EBADMSG);
	at = rbuf_view(r, len);
	if (!at)
		return;
	if (!text_bytes_clean(at, len)) {
		rbuf_fail(r, -EBADMSG);
		return;
	}
	memcpy(ret, at, len);
	ret[len] = '\0';
}

struct wbuf wbuf_init(void *data, size_t size)
{
	return (struct wbuf){.data = data, .size = size};
}

void wbuf_bytes(struct wbuf *w, const void *data, size_t len)
{
	if (w->error)
		return;
	if (len > w->size - w->len) {
		w->error = -ENOBUFS;
		return;
	}
	if (len)
		memcpy(w->data + w->len, data, len);
	w->len += len;
}

static void put_le(struct wbuf *w, uint64_t v, size_t len)
{
	uint8_t b[8];

	for (size_t i = 0; i < len; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	wbuf_bytes(w, b, len);
}

void wbuf_u8(struct wbuf *w, uint8_t v)
{
	put_le(w, v, 1);
}

void wbuf_u16(struct wbuf *w, uint16_t v)
{
	put_le(w, v, 2);
}

void wbuf_u32(struct wbuf *w, uint32_t v)
{
	put_le(w, v, 4);
}

void wbuf_u64(struct wbuf *w, uint64_t v)
{
	put_le(w, v, 8);
}

void wbuf_blob(struct wbuf *w, const void *data, size_t len)
{
	if (len > UINT32_MAX)
		w->error = -ENOBUFS;
	wbuf_u32(w, (uint32_t)len);
	wbuf_bytes(w, data, len);
}

void wbuf_string(struct wbuf *w, const char *text)
{
	size_t len = strlen(text);

	if (len > UINT16_MAX)
		w->error = -ENOBUFS;
	wbuf_u16(w, (uint16_t)len);
	wbuf_bytes(w, text, len);
}

int wbuf_error(const struct wbuf *w)
{
	return w->error;
}

void hex_encode(const void *data, size_t len, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = data;

	for (size_t i = 0; i < len; i++) {
		ret[2 * i] = digits[b[i] >> 4];
		ret[2 * i + 1] = digits[b[i] & 15];
	}
	ret[2 * len] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_decode(const char *text, void *ret, size_t len)
{
	uint8_t *out = ret;

	if (strlen(text) != 2 * len)
		return -EBADMSG;
	for (size_t i = 0; i < 2 * len; i++)
		if (hex_value(text[i]) < 0)
			return -EBADMSG;
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
	return 0;
}
