/* SPDX-License-Identifier: Apache-2.0 */
/* Codecs of the records that kithd, the mover and its workers exchange. */
#include "mover/proto.h"

#include <string.h>

#include "base/buf.h"

static const char *const mover_vm_state_names[_MOVER_VM_STATE_MAX] = {
	[MOVER_VM_RUNNING] = "running",
	[MOVER_VM_PAUSED] = "paused",
	[MOVER_VM_OFF] = "off",
	[MOVER_VM_OTHER] = "other",
};
DEFINE_NAMES(mover_vm_state, enum mover_vm_state, _MOVER_VM_STATE_MAX)

int mover_progress_put(struct wbuf *w, const struct mover_progress *p)
{
	wbuf_bytes(w, p->hid, sizeof(p->hid));
	wbuf_bytes(w, p->uuid, sizeof(p->uuid));
	wbuf_bytes(w, p->peer, sizeof(p->peer));
	wbuf_string(w, p->vm);
	wbuf_string(w, p->peer_name);
	wbuf_u8(w, p->source);
	wbuf_u8(w, (uint8_t)p->phase);
	wbuf_u64(w, p->ram_bytes);
	wbuf_u64(w, p->ram_total);
	wbuf_u64(w, p->disk_bytes);
	wbuf_u64(w, p->disk_total);
	wbuf_u64(w, p->rate_bytes_s);
	wbuf_u64(w, p->elapsed_ms);
	wbuf_u64(w, p->left_ms);
	wbuf_u64(w, p->downtime_ms);
	return kerr_put(w, &p->error);
}

int mover_progress_get(struct rbuf *r, struct mover_progress *ret)
{
	struct mover_progress p = {0};
	uint8_t phase;

	rbuf_bytes(r, p.hid, sizeof(p.hid));
	rbuf_bytes(r, p.uuid, sizeof(p.uuid));
	rbuf_bytes(r, p.peer, sizeof(p.peer));
	rbuf_string(r, p.vm, sizeof(p.vm));
	rbuf_string(r, p.peer_name, sizeof(p.peer_name));
	p.source = rbuf_u8(r);
	phase = rbuf_u8(r);
	p.ram_bytes = rbuf_u64(r);
	p.ram_total = rbuf_u64(r);
	p.disk_bytes = rbuf_u64(r);
	p.disk_total = rbuf_u64(r);
	p.rate_bytes_s = rbuf_u64(r);
	p.elapsed_ms = rbuf_u64(r);
	p.left_ms = rbuf_u64(r);
	p.downtime_ms = rbuf_u64(r);
	if (kerr_get(r, &p.error) < 0 || p.source > 1 || phase >= _PHASE_MAX)
		return -EBADMSG;
	p.phase = (enum phase)phase;
	*ret = p;
	return 0;
}

int mover_vm_put(struct wbuf *w, const struct mover_vm *vm)
{
	wbuf_bytes(w, vm->uuid, sizeof(vm->uuid));
	wbuf_string(w, vm->name);
	wbuf_u8(w, (uint8_t)vm->state);
	wbuf_u64(w, vm->memory_bytes);
	wbuf_u64(w, vm->disk_bytes);
	wbuf_u32(w, vm->vcpus);
	return wbuf_error(w);
}

int mover_vm_get(struct rbuf *r, struct mover_vm *ret)
{
	struct mover_vm vm = {0};
	uint8_t state;

	rbuf_bytes(r, vm.uuid, sizeof(vm.uuid));
	rbuf_string(r, vm.name, sizeof(vm.name));
	state = rbuf_u8(r);
	vm.memory_bytes = rbuf_u64(r);
	vm.disk_bytes = rbuf_u64(r);
	vm.vcpus = rbuf_u32(r);
	if (rbuf_error(r) < 0 || state >= _MOVER_VM_STATE_MAX)
		return -EBADMSG;
	vm.state = (enum mover_vm_state)state;
	*ret = vm;
	return 0;
}

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
