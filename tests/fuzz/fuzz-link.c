/* SPDX-License-Identifier: Apache-2.0 */
/* The peer channel: single messages, and whole conversations of hostile events. The first byte
 * picks the role, then each step takes a selector and a length-prefixed piece. */
#include <string.h>

#include "agent/link.h"
#include "agent/preface.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_message(const uint8_t *data, size_t size)
{
	static uint8_t again[LINK_MESSAGE_MAX];
	struct wbuf w = wbuf_init(again, sizeof(again));
	struct link_message m;
	struct kerr err;

	if (link_decode(data, size, &m) < 0)
		return;
	if (link_encode(&w, &m) < 0 || w.len != size || memcmp(again, data, size) != 0)
		abort();
	if (link_decode_error(&m, &err) == 0 && err.code == KCODE_OK)
		abort();
}

static void check(const struct link *l, const struct link_actions *out, unsigned *results)
{
	bool finished = false;

	if (out->count > LINK_ACTIONS_MAX)
		abort();
	for (size_t i = 0; i < out->count; i++) {
		*results += out->list[i].act == LINK_ACT_RESULT;
		finished |= out->list[i].act == LINK_ACT_FINISH;
		if (out->list[i].act == LINK_ACT_SEND && out->list[i].message.len &&
		    !out->list[i].message.blob)
			abort();
	}
	/* One end, and it is the end. */
	if (*results > 1 || finished != (l->step == LINK_OVER && out->count > 0))
		abort();
}

static void conversation(const uint8_t *data, size_t size)
{
	struct rbuf r = rbuf_init(data, size);
	struct link_actions out;
	struct link l;
	int64_t now = 1;
	unsigned results = 0;
	uint8_t first = rbuf_u8(&r);

	link_init(&l, (enum link_role)(first % _LINK_ROLE_MAX), NULL, now);
	link_set_known(&l, first & 0x80);
	link_set_own(&l, first & 0x40);
	while (r.left > 0 && rbuf_error(&r) == 0) {
		uint8_t select = rbuf_u8(&r), extra = rbuf_u8(&r), len = rbuf_u8(&r);
		size_t n = MIN_OF((size_t)len, r.left);
		const uint8_t *piece = rbuf_view(&r, n);
		struct link_event ev = {
			.kind = (enum link_event_kind)(select % (LINK_EV_TICK + 1))};

		ev.message = (struct link_message){.blob = piece, .len = piece ? n : 0};
		ev.message.kind = (enum link_kind)(extra % _LINK_KIND_MAX);
		ev.state = (enum conversation_state)(extra % _CONVERSATION_STATE_MAX);
		if (extra & 0x40)
			kerr_set(&ev.error, 1, KCODE_FAILED, "x");
		now += extra * 20;
		link_feed(&l, &ev, now, &out);
		check(&l, &out, &results);
	}
	link_clear(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t hid[HID_LEN];
	uint16_t channel;

	one_message(data, size);
	conversation(data, size);
	preface_classify(data, size, hid, &channel);
	return 0;
}
