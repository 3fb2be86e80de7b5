/* SPDX-License-Identifier: Apache-2.0 */
/* The engine under every record: a field in either direction. */
#include "base/code.h"

#include <string.h>

static void code_fail(struct coder *c)
{
	if (c->r)
		rbuf_fail(c->r, -EBADMSG);
	else if (!c->w->error)
		c->w->error = -EINVAL;
}

void code_check(struct coder *c, bool good)
{
	if (!good)
		code_fail(c);
}

bool code_good(const struct coder *c)
{
	return (c->r ? rbuf_error(c->r) : wbuf_error(c->w)) == 0;
}

void code_u8(struct coder *c, uint8_t *v)
{
	if (c->r)
		*v = rbuf_u8(c->r);
	else
		wbuf_u8(c->w, *v);
}

void code_u16(struct coder *c, uint16_t *v)
{
	if (c->r)
		*v = rbuf_u16(c->r);
	else
		wbuf_u16(c->w, *v);
}

void code_u32(struct coder *c, uint32_t *v)
{
	if (c->r)
		*v = rbuf_u32(c->r);
	else
		wbuf_u32(c->w, *v);
}

void code_u64(struct coder *c, uint64_t *v)
{
	if (c->r)
		*v = rbuf_u64(c->r);
	else
		wbuf_u64(c->w, *v);
}

void code_bytes(struct coder *c, void *v, size_t len)
{
	if (c->r)
		rbuf_bytes(c->r, v, len);
	else
		wbuf_bytes(c->w, v, len);
}

unsigned code_enum(struct coder *c, unsigned v, unsigned max)
{
	uint8_t byte = (uint8_t)v;

	if (c->w)
		code_check(c, v < max);
	code_u8(c, &byte);
	code_check(c, byte < max);
	return byte < max ? byte : 0;
}

size_t code_count(struct coder *c, size_t n, size_t max)
{
	uint16_t count = (uint16_t)n;

	if (c->w)
		code_check(c, n <= max);
	code_u16(c, &count);
	code_check(c, count <= max);
	return code_good(c) ? count : 0;
}

void code_text(struct coder *c, char *v, size_t size)
{
	if (c->r) {
		rbuf_string(c->r, v, size);
		return;
	}
	/* A text without its end is found before it is read to its end. */
	code_check(c, strnlen(v, size) < size && text_is_clean(v));
	if (code_good(c))
		wbuf_string(c->w, v);
}

void code_name(struct coder *c, char v[NAME_MAX_LEN + 1])
{
	code_text(c, v, NAME_MAX_LEN + 1);
	if (code_good(c) && v[0])
		code_check(c, text_is_name(v, NAME_MAX_LEN));
}

void code_kerr(struct coder *c, struct kerr *v)
{
	uint16_t code = (uint16_t)v->code;

	if (c->w) {
		code_check(c, (unsigned)v->code < _KCODE_MAX);
		v->text[sizeof(v->text) - 1] = '\0';
		text_mend(v->text);
	}
	code_u16(c, &code);
	CODE_TEXT(c, v->text);
	code_check(c, code < _KCODE_MAX);
	if (c->r)
		v->code = code < _KCODE_MAX ? (enum kcode)code : KCODE_OK;
}

void code_blob(struct coder *c, const uint8_t **v, size_t *len, size_t max)
{
	if (c->r) {
		*v = rbuf_blob(c->r, max, len);
		return;
	}
	code_check(c, *len <= max);
	if (code_good(c))
		wbuf_blob(c->w, *v, *len);
}

void code_array(struct coder *c, uint8_t *v, size_t *len, size_t max)
{
	const uint8_t *at = v;

	code_blob(c, &at, len, max);
	if (c->r && *len)
		memcpy(v, at, *len);
}

/* Both ways go through a copy: the struct of the caller is const where it is written, and stays as
 * it was where reading fails. Some records hold keys. */
int record_put(struct wbuf *w, const struct record *record, const void *v)
{
	_Alignas(max_align_t) uint8_t copy[RECORD_SIZE_MAX];
	struct coder c = {.w = w};

	memcpy(copy, v, record->size);
	record->code(&c, copy);
	explicit_bzero(copy, record->size);
	return wbuf_error(w);
}

int record_get(struct rbuf *r, const struct record *record, void *ret)
{
	_Alignas(max_align_t) uint8_t copy[RECORD_SIZE_MAX];
	struct coder c = {.r = r};
	bool good;

	memset(copy, 0, record->size);
	record->code(&c, copy);
	good = code_good(&c);
	if (good)
		memcpy(ret, copy, record->size);
	explicit_bzero(copy, record->size);
	return good ? 0 : -EBADMSG;
}

void record_list_begin(struct record_list *list, struct wbuf *w, const struct record *record)
{
	*list = (struct record_list){w, record, w->len, 0};
	wbuf_u16(w, 0);
}

void record_list_add(struct record_list *list, const void *v)
{
	record_put(list->w, list->record, v);
	list->count++;
}

void record_list_end(struct record_list *list)
{
	struct wbuf *w = list->w;
	struct wbuf count = wbuf_init(w->data + list->at, 2);

	if (!w->error && list->count > UINT16_MAX)
		w->error = -EINVAL;
	if (!w->error)
		wbuf_u16(&count, (uint16_t)list->count);
}

int record_list_get(struct rbuf *r, const struct record *record, void **ret, size_t *ret_n)
{
	_cleanup_free_ uint8_t *list = NULL;
	size_t n = rbuf_u16(r);

	/* Every element has more than one byte: a count beyond the bytes left is a lie. */
	if (rbuf_error(r) < 0 || n > r->left)
		return -EBADMSG;
	if (n) {
		list = calloc(n, record->size);
		if (!list)
			return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		if (record_get(r, record, list + i * record->size) < 0)
			return -EBADMSG;
	if (rbuf_end(r) < 0)
		return -EBADMSG;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}
