/* SPDX-License-Identifier: Apache-2.0 */
/* Codecs of the records that kithd, the mover and its workers exchange. */
#include "mover/proto.h"

#include <string.h>

static const char *const phase_names[_PHASE_MAX] = {
	[PHASE_CHECKING] = "checking",
	[PHASE_ATTESTING] = "attesting",
	[PHASE_PREPARING] = "preparing",
	[PHASE_COPYING_DISK] = "copying disk",
	[PHASE_COPYING_MEMORY] = "copying memory",
	[PHASE_SWITCHING] = "switching over",
	[PHASE_DONE] = "done",
	[PHASE_FAILED] = "failed",
};
DEFINE_NAMES(phase, enum phase, _PHASE_MAX)

static const char *const mover_vm_state_names[_MOVER_VM_STATE_MAX] = {
	[MOVER_VM_RUNNING] = "running",
	[MOVER_VM_PAUSED] = "paused",
	[MOVER_VM_OFF] = "off",
	[MOVER_VM_OTHER] = "other",
};
DEFINE_NAMES(mover_vm_state, enum mover_vm_state, _MOVER_VM_STATE_MAX)

static void mover_progress_code(struct coder *c, struct mover_progress *v)
{
	CODE_BYTES(c, v->hid);
	CODE_BYTES(c, v->uuid);
	CODE_BYTES(c, v->peer);
	CODE_TEXT(c, v->vm);
	CODE_TEXT(c, v->peer_name);
	CODE_FLAG(c, v->source);
	CODE_ENUM(c, v->phase, _PHASE_MAX);
	code_u64(c, &v->ram_bytes);
	code_u64(c, &v->ram_total);
	code_u64(c, &v->disk_bytes);
	code_u64(c, &v->disk_total);
	code_u64(c, &v->rate_bytes_s);
	code_u64(c, &v->elapsed_ms);
	code_u64(c, &v->left_ms);
	code_u64(c, &v->downtime_ms);
	code_kerr(c, &v->error);
}
DEFINE_CODEC(mover_progress)

static void mover_vm_code(struct coder *c, struct mover_vm *v)
{
	CODE_BYTES(c, v->uuid);
	CODE_TEXT(c, v->name);
	CODE_ENUM(c, v->state, _MOVER_VM_STATE_MAX);
	code_u64(c, &v->memory_bytes);
	code_u64(c, &v->disk_bytes);
	code_u32(c, &v->vcpus);
}
DEFINE_CODEC(mover_vm)

void data_preface_put(uint8_t ret[DATA_PREFACE_LEN], const uint8_t hid[HID_LEN], uint16_t channel)
{
	struct wbuf w = wbuf_init(ret, DATA_PREFACE_LEN);

	wbuf_bytes(&w, DATA_PREFACE_MAGIC, 8);
	wbuf_u16(&w, DATA_PREFACE_VERSION);
	wbuf_u16(&w, channel);
	wbuf_bytes(&w, hid, HID_LEN);
}

int data_preface_get(const uint8_t preface[DATA_PREFACE_LEN], uint8_t ret_hid[HID_LEN],
		     uint16_t *ret_channel)
{
	struct rbuf r = rbuf_init(preface, DATA_PREFACE_LEN);
	uint8_t magic[8];
	uint16_t version, channel;

	rbuf_bytes(&r, magic, sizeof(magic));
	version = rbuf_u16(&r);
	channel = rbuf_u16(&r);
	if (memcmp(magic, DATA_PREFACE_MAGIC, sizeof(magic)) != 0 ||
	    version != DATA_PREFACE_VERSION || channel >= DATA_CHANNEL_MAX)
		return -EBADMSG;
	rbuf_bytes(&r, ret_hid, HID_LEN);
	*ret_channel = channel;
	return 0;
}
