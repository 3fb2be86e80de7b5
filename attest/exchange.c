/* SPDX-License-Identifier: Apache-2.0 */
/* Takes messages apart, hands them on by stage, and ends it all at the first failure. */
#include "attest/exchange.h"

#include "base/log.h"

void exchange_init(struct exchange *x, const struct exchange_kind *kind, void *self, unsigned stage,
		   uint64_t deadline_ms)
{
	*x = (struct exchange){.kind = kind, .self = self, .stage = stage, .deadline = deadline_ms};
}

void exchange_stage_set(struct exchange *x, unsigned stage)
{
	log_debug(x->kind->name, "%s -> %s", x->kind->stages[x->stage].name,
		  x->kind->stages[stage].name);
	x->stage = stage;
}

static enum conversation_state exchange_state(const struct exchange *x)
{
	return x->kind->stages[x->stage].state;
}

int exchange_fail(struct exchange *x, const char *sentence)
{
	return kerr_set(&x->error, EBADMSG, x->kind->code, "%s", sentence);
}

/* -- what goes out -- */

size_t exchange_length_begin(struct exchange *x)
{
	wbuf_u32(x->out, 0);
	return x->out->len;
}

void exchange_length_end(struct exchange *x, size_t start)
{
	struct wbuf length = wbuf_init(x->out->data + start - 4, 4);

	wbuf_u32(&length, (uint32_t)(x->out->len - start));
}

void exchange_message_begin(struct exchange *x, uint8_t type)
{
	wbuf_u8(x->out, type);
	wbuf_u8(x->out, x->kind->version);
	x->body = x->kind->framed ? exchange_length_begin(x) : x->out->len;
}

int exchange_no_room(struct exchange *x)
{
	return kerr_set(&x->error, ENOBUFS, KCODE_FAILED, "%s", x->kind->no_room);
}

int exchange_message_end(struct exchange *x)
{
	if (wbuf_error(x->out) < 0)
		return exchange_no_room(x);
	if (x->kind->framed)
		exchange_length_end(x, x->body);
	return 0;
}

int exchange_evidence_put(struct exchange *x,
			  int (*quote)(void *ctx, const struct evidence_binding *binding,
				       struct evidence *ret, struct kerr *err),
			  void *ctx, const struct evidence_binding *binding)
{
	struct evidence ev = {0};
	int r = quote(ctx, binding, &ev, &x->error);

	if (r < 0)
		return r;
	r = evidence_put(x->out, &ev);
	if (r < 0)
		return kerr_set(&x->error, -r, KCODE_FAILED,
				"This device's evidence is too large.");
	return 0;
}

/* -- what comes in -- */

static const struct exchange_message *message_find(const struct exchange *x, uint8_t type)
{
	for (size_t i = 0; i < x->kind->message_count; i++) {
		const struct exchange_message *m = &x->kind->messages[i];

		if (m->type == type && (m->stages & EXCHANGE_IN(x->stage)))
			return m;
	}
	return NULL;
}

/* Takes one message off `r`. */
static int message_take(struct exchange *x, struct rbuf *r)
{
	uint8_t type = rbuf_u8(r), version = rbuf_u8(r);
	size_t len = r->left;
	const uint8_t *at =
		x->kind->framed ? rbuf_blob(r, ATTEST_BLOB_MAX, &len) : rbuf_view(r, len);
	const struct exchange_message *m;
	struct rbuf body;

	if (rbuf_error(r) < 0)
		return exchange_fail(x, x->kind->malformed);
	if (version != x->kind->version)
		return exchange_fail(x, x->kind->other_version);
	m = message_find(x, type);
	if (!m)
		return exchange_fail(x, x->kind->out_of_order);
	body = rbuf_init(at, len);
	return m->handle(x->self, &body);
}

int exchange_refused(struct exchange *x, struct rbuf *r)
{
	x->peer_refused = true;
	return refusal_get(r, &x->error);
}

/* -- inputs -- */

int exchange_begin(struct exchange *x, struct wbuf *out)
{
	x->out = out;
	x->out_start = out->len;
	if (x->stage == x->kind->refused)
		return -ECONNABORTED;
	kerr_clear(&x->error);
	if (wbuf_error(out) < 0)
		return kerr_set(&x->error, EINVAL, KCODE_FAILED, "There is no room for an answer.");
	return 0;
}

int exchange_in_time(struct exchange *x, uint64_t now_ms)
{
	x->now = now_ms;
	if (exchange_state(x) == CONVERSATION_DONE || now_ms < x->deadline)
		return 0;
	return x->kind->late(x->self);
}

int exchange_take(struct exchange *x, const uint8_t *data, size_t len, uint64_t now_ms)
{
	struct rbuf r = rbuf_init(data, len);
	int e;

	if (!len || len > ATTEST_BLOB_MAX)
		return exchange_fail(x, x->kind->bad_size);
	e = exchange_in_time(x, now_ms);
	while (e >= 0 && r.left)
		e = message_take(x, &r);
	return e;
}

static void out_rewind(struct exchange *x)
{
	sodium_memzero(x->out->data + x->out_start, x->out->len - x->out_start);
	x->out->len = x->out_start;
	x->out->error = 0;
}

static void exchange_abort(struct exchange *x)
{
	kerr_set(&x->error, EIO, KCODE_FAILED, "%s", x->kind->failed);
	out_rewind(x);
	if (!x->peer_refused && x->kind->refusal(x->self) < 0)
		out_rewind(x);
	x->kind->wipe(x->self);
	exchange_stage_set(x, x->kind->refused);
}

enum conversation_state exchange_end(struct exchange *x, int r, struct kerr *err)
{
	if (r < 0 && x->stage != x->kind->refused)
		exchange_abort(x);
	if (x->stage == x->kind->refused)
		*err = x->error;
	x->out = NULL;
	return exchange_state(x);
}
