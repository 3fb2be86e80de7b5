/* SPDX-License-Identifier: Apache-2.0 */
/* Codec of what is in the frames. */
#include "mover/frames-wire.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "mover/filter/storage.h"
#include "policyd/api/proto.h"

static const char *const frame_type_names[_FRAME_MAX] = {
	[FRAME_RPC] = "rpc",	   [FRAME_OFFER] = "offer",	[FRAME_DISKS_READY] = "disks-ready",
	[FRAME_VOTE] = "vote",	   [FRAME_RELEASE] = "release", [FRAME_ACK] = "ack",
	[FRAME_NACK] = "nack",	   [FRAME_ABORT] = "abort",	[FRAME_PROGRESS] = "progress",
	[FRAME_ERROR] = "error",   [FRAME_MOVED] = "moved",	[FRAME_BEAT] = "beat",
	[FRAME_PAUSED] = "paused", [FRAME_LUGGAGE] = "luggage", [FRAME_CONSOLE] = "console",
};
DEFINE_NAMES(frame_type, enum frame_type, _FRAME_MAX)

static void frame_header_code(struct coder *c, struct frame_header *v)
{
	CODE_ENUM(c, v->type, _FRAME_MAX);
	code_check(c, v->type != 0);
	code_u32(c, &v->len);
	code_check(c, v->len <= FRAMES_BODY_MAX);
}
DEFINE_CODEC(frame_header)

static void frame_ack_code(struct coder *c, struct frame_ack *v)
{
	code_u64(c, &v->late_us);
	CODE_FLAG(c, v->off);
	code_blob(c, &v->ack, &v->len, POLICYD_PROOF_MAX);
}
DEFINE_CODEC(frame_ack)

static void frame_luggage_code(struct coder *c, struct frame_luggage *v)
{
	CODE_ENUM(c, v->kind, _LUGGAGE_MAX);
	code_blob(c, &v->piece, &v->len, FRAMES_BODY_MAX - 16);
}
DEFINE_CODEC(frame_luggage)

static void frame_moved_code(struct coder *c, struct frame_moved *v)
{
	code_u64(c, &v->downtime_ms);
}
DEFINE_CODEC(frame_moved)

/* -- the first words -- */

static void version_code(struct coder *c)
{
	uint8_t version = FRAMES_VERSION;

	code_u8(c, &version);
	code_check(c, version == FRAMES_VERSION);
}

/* Another version is not a broken message, so it is looked at first. */
static bool version_is_ours(struct rbuf r)
{
	return rbuf_u8(&r) == FRAMES_VERSION;
}

/* Targets become part of file names: letters and digits only. */
static bool target_ok(const char *t)
{
	if (!islower((unsigned char)t[0]))
		return false;
	for (; *t; t++)
		if (!islower((unsigned char)*t) && !isdigit((unsigned char)*t))
			return false;
	return true;
}

static bool known_target(const struct frame_offer *v, size_t before)
{
	for (size_t i = 0; i < before; i++)
		if (strcmp(v->disks[i].target, v->disks[before].target) == 0)
			return true;
	return false;
}

static void frame_disk_code(struct coder *c, struct frame_disk *v)
{
	CODE_TEXT(c, v->target);
	code_check(c, code_good(c) && target_ok(v->target));
	CODE_ENUM(c, v->format, _DISK_FORMAT_MAX);
	code_u64(c, &v->capacity);
	code_check(c, v->capacity && v->capacity % 512 == 0 && !(v->capacity >> 62));
	code_u64(c, &v->used);
	code_check(c, !(v->used >> 62));
	CODE_TEXT(c, v->shared.store);
	CODE_TEXT(c, v->shared.volume);
	code_u64(c, &v->shared.file);
	code_check(c, code_good(c) && storage_name_ok(&v->shared));
	code_check(c, !frame_disk_is_shared(v) || v->shared.file || v->format == DISK_FORMAT_RAW);
}

static void origin_code(struct coder *c, struct domain_origin *v)
{
	CODE_FLAG(c, v->uefi);
	CODE_FLAG(c, v->firmware.secure_boot);
	CODE_FLAG(c, v->firmware.enrolled_keys);
	code_u64(c, &v->firmware.code_size);
	code_u64(c, &v->firmware.vars_size);
	cpu_code(c, &v->cpu);
}

static void frame_offer_code(struct coder *c, struct frame_offer *v)
{
	version_code(c);
	code_u64(c, &v->memory_bytes);
	code_u32(c, &v->vcpus);
	origin_code(c, &v->origin);
	CODE_FLAG(c, v->off);
	CODE_FLAG(c, v->boots);
	code_check(c, v->off || !v->boots);
	for (size_t i = 0; i < _LUGGAGE_MAX; i++) {
		code_u32(c, &v->luggage[i].len);
		code_check(c, v->luggage[i].len <= LUGGAGE_LEN_MAX);
		CODE_BYTES(c, v->luggage[i].hash);
	}
	code_check(c, !v->luggage[LUGGAGE_NVRAM].len ||
			      (v->origin.uefi &&
			       v->luggage[LUGGAGE_NVRAM].len == v->origin.firmware.vars_size));
	code_check(c, v->off == (v->luggage[LUGGAGE_DEFINITION].len != 0));
	CODE_COUNT(c, v->count, v->disks);
	for (size_t i = 0; code_good(c) && i < v->count; i++) {
		frame_disk_code(c, &v->disks[i]);
		code_check(c, code_good(c) && !known_target(v, i));
	}
}

/* Too large for a record of base/code.h. */
int frame_offer_put(struct wbuf *w, const struct frame_offer *offer)
{
	_cleanup_free_ struct frame_offer *copy = malloc(sizeof(*copy));
	struct coder c = {.w = w};

	if (!copy)
		return -ENOMEM;
	*copy = *offer;
	frame_offer_code(&c, copy);
	return wbuf_error(w);
}

int frame_offer_get(struct rbuf *r, struct frame_offer *ret)
{
	_cleanup_free_ struct frame_offer *offer = calloc(1, sizeof(*offer));
	struct coder c = {.r = r};

	if (!version_is_ours(*r))
		return -EPROTONOSUPPORT;
	if (!offer)
		return -ENOMEM;
	frame_offer_code(&c, offer);
	if (rbuf_error(r) < 0)
		return -EBADMSG;
	*ret = *offer;
	return 0;
}

int frame_ready_put(struct wbuf *w)
{
	struct coder c = {.w = w};

	version_code(&c);
	return wbuf_error(w);
}

int frame_ready_get(struct rbuf *r)
{
	struct coder c = {.r = r};

	if (!version_is_ours(*r))
		return -EPROTONOSUPPORT;
	version_code(&c);
	return rbuf_error(r);
}
