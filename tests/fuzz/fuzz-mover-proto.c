/* SPDX-License-Identifier: Apache-2.0 */
/* What the mover reads from kithd, from the other worker and from its own notes. The first byte
 * chooses the decoder; what decodes must encode to the same bytes again. */
#include <string.h>

#include "base/buf.h"
#include "mover/frames.h"
#include "mover/offers.h"
#include "mover/proto.h"
#include "mover/remnant.h"
#include "mover/warden-wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const struct wbuf *w, const uint8_t *data, size_t size)
{
	if (w->error || w->len != size || memcmp(w->data, data, size) != 0)
		abort();
}

static void progress(const uint8_t *data, size_t size)
{
	struct rbuf r = rbuf_init(data, size);
	struct mover_progress p;
	uint8_t out[2048];
	struct wbuf w = wbuf_init(out, sizeof(out));

	if (mover_progress_get(&r, &p) < 0 || rbuf_end(&r) < 0)
		return;
	mover_progress_put(&w, &p);
	same(&w, data, size);
}

static void vm(const uint8_t *data, size_t size)
{
	struct rbuf r = rbuf_init(data, size);
	struct mover_vm v;
	uint8_t out[256];
	struct wbuf w = wbuf_init(out, sizeof(out));

	if (mover_vm_get(&r, &v) < 0 || rbuf_end(&r) < 0)
		return;
	mover_vm_put(&w, &v);
	same(&w, data, size);
}

static void offer(const uint8_t *data, size_t size)
{
	struct rbuf r = rbuf_init(data, size);
	struct frame_offer o;
	uint8_t out[2048];
	struct wbuf w = wbuf_init(out, sizeof(out));

	if (frame_offer_get(&r, &o) < 0 || rbuf_end(&r) < 0)
		return;
	for (size_t i = 0; i < o.count; i++)
		if (strpbrk(o.disks[i].target, "/. ") || !o.disks[i].target[0])
			abort();
	frame_offer_put(&w, &o);
	same(&w, data, size);
}

static void frames(const uint8_t *data, size_t size)
{
	struct frame f;
	size_t used;

	while (frames_parse(data, size, &f, &used) == 1) {
		if (used > size || f.len > FRAMES_BODY_MAX)
			abort();
		data += used;
		size -= used;
	}
}

static void remnant(const uint8_t *data, size_t size)
{
	static uint8_t out[512 * 1024];
	struct wbuf w = wbuf_init(out, sizeof(out));
	struct rbuf r = rbuf_init(data, size);
	struct remnant v;

	if (remnant_get(&r, &v) < 0)
		return;
	if (remnant_put(&w, &v) < 0)
		abort();
	remnant_clear(&v);
}

/* Whatever it says, it leads to an answer, and a refusal says why. */
static void offers(const uint8_t *data, size_t size)
{
	static const struct frame_offer wish = {
		.memory_bytes = 1 << 20,
		.count = 1,
		.disks = {{"vda", DISK_FORMAT_RAW, 1 << 20, 1 << 20}}};
	static const struct offers_need need = {.name = "work", .offer = &wish};
	static uint8_t out[OFFERS_MAX];
	static struct offers o;
	struct wbuf w = wbuf_init(out, sizeof(out));
	struct rbuf r = rbuf_init(data, size);
	struct kerr err = {0};

	if (offers_get(&r, &o) < 0 || rbuf_end(&r) < 0)
		return;
	offers_put(&w, &o);
	same(&w, data, size);
	if ((offers_judge(&o, &need, &err) < 0) != (err.code != KCODE_OK))
		abort();
}

static void preface(const uint8_t *data, size_t size)
{
	struct rbuf r = rbuf_init(data, size);
	struct data_preface v;
	uint8_t again[DATA_PREFACE_LEN];
	struct wbuf w = wbuf_init(again, sizeof(again));

	if (data_preface_get(&r, &v) < 0 || rbuf_end(&r) < 0)
		return;
	data_preface_put(&w, &v);
	same(&w, data, size);
}

/* What is asked of the mover and of the warden, and what else is in frames. */
static void small(const uint8_t *data, size_t size)
{
	static const struct record *const records[] = {
		&mover_start_record,	&mover_conn_record, &mover_handoff_record,
		&mover_gone_record,	&warden_vm_record,  &warden_answer_record,
		&frame_header_record,	&frame_ack_record,  &frame_moved_record,
		&mover_plan_ask_record, &mover_plan_record,
	};
	static _Alignas(max_align_t) uint8_t v[RECORD_SIZE_MAX];
	static uint8_t out[MOVER_PLAN_ASK_MAX];
	struct wbuf w = wbuf_init(out, sizeof(out));
	struct rbuf r = rbuf_init(data + 1, size ? size - 1 : 0);
	const struct record *record;

	if (!size)
		return;
	record = records[data[0] % ARRAY_SIZE(records)];
	if (record_get(&r, record, v) < 0 || rbuf_end(&r) < 0)
		return;
	record_put(&w, record, v);
	same(&w, data + 1, size - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(const uint8_t *data, size_t size) = {
		progress, vm, offer, frames, remnant, preface, small, offers,
	};

	if (size > 0)
		targets[data[0] % ARRAY_SIZE(targets)](data + 1, size - 1);
	return 0;
}
