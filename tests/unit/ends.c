/* SPDX-License-Identifier: Apache-2.0 */
/* The network of the fuzz targets of exchanges. */
#include "tests/unit/ends.h"

void end_feed(struct end *e, end_input *input, const uint8_t *data, size_t len)
{
	struct wbuf w = wbuf_init(e->out, sizeof(e->out));
	struct kerr err = {0};

	if (data && (len != e->peer->sent_len || memcmp(data, e->peer->sent, len) != 0))
		e->tainted = true;
	e->state = input(e, data, len, &w, &err);
	e->len = e->sent_len = w.len;
	memcpy(e->sent, e->out, w.len);
	if ((e->state == CONVERSATION_REFUSED) != (err.code != KCODE_OK) ||
	    !text_is_clean(err.text))
		abort();
	if (e->state == CONVERSATION_DONE && e->tainted)
		abort();
}

static void one(struct end *e, struct rbuf *r, uint8_t op, end_input *step, end_input *owner)
{
	uint16_t at;
	size_t len;
	const uint8_t *raw;

	switch (op >> 1 & 3) {
	case 0: /* the peer's last words arrive */
		end_feed(e, step, e->peer->out, e->peer->len);
		break;
	case 1: /* the owner speaks */
		if (owner)
			end_feed(e, owner, NULL, 0);
		else
			end_feed(e, step, e->peer->out, e->peer->len);
		break;
	case 2: /* one byte of what this end sent changes */
		at = rbuf_u16(r);
		if (at < e->len)
			e->out[at] ^= rbuf_u8(r);
		break;
	case 3: /* something else arrives */
		len = rbuf_u16(r);
		len = MIN_OF(len, r->left);
		raw = rbuf_view(r, len);
		if (raw)
			end_feed(e, step, raw, len);
		break;
	}
}

void ends_run(struct end *a, struct end *b, struct rbuf *r, end_input *step, end_input *yes,
	      end_input *no)
{
	for (int i = 0; i < 24 && r->left; i++) {
		uint8_t op = rbuf_u8(r);

		one(op & 1 ? b : a, r, op, step, op & 0x80 ? no : yes);
	}
}
