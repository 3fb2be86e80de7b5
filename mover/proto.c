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
	[PHASE_SHUTTING_DOWN] = "shutting down",
};
DEFINE_NAMES(phase, enum phase, _PHASE_MAX)

static const char *const mover_vm_state_names[_MOVER_VM_STATE_MAX] = {
	[MOVER_VM_RUNNING] = "running",
	[MOVER_VM_PAUSED] = "paused",
	[MOVER_VM_OFF] = "off",
	[MOVER_VM_OTHER] = "other",
};
DEFINE_NAMES(mover_vm_state, enum mover_vm_state, _MOVER_VM_STATE_MAX)

static const char *const mover_rung_names[_MOVER_RUNG_MAX] = {
	[MOVER_RUNG_NONE] = "none",
	[MOVER_RUNG_LIVE] = "live",
	[MOVER_RUNG_LIVE_DISK] = "live-disk",
	[MOVER_RUNG_COLD] = "cold",
};
DEFINE_NAMES(mover_rung, enum mover_rung, _MOVER_RUNG_MAX)

static const char *const mover_display_names[_MOVER_DISPLAY_MAX] = {
	[MOVER_DISPLAY_SERIAL] = "serial",
	[MOVER_DISPLAY_VNC] = "vnc",
	[MOVER_DISPLAY_SPICE] = "spice",
};
DEFINE_NAMES(mover_display, enum mover_display, _MOVER_DISPLAY_MAX)

static void mover_progress_code(struct coder *c, struct mover_progress *v)
{
	CODE_BYTES(c, v->hid);
	CODE_BYTES(c, v->uuid);
	CODE_BYTES(c, v->peer);
	CODE_TEXT(c, v->vm);
	CODE_TEXT(c, v->peer_name);
	CODE_FLAG(c, v->source);
	CODE_FLAG(c, v->off);
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

static void mover_handoff_code(struct coder *c, struct mover_handoff *v)
{
	CODE_BYTES(c, v->hid);
}
DEFINE_RECORD(mover_handoff)

static void mover_console_code(struct coder *c, struct mover_console *v)
{
	CODE_ENUM(c, v->display, _MOVER_DISPLAY_MAX);
}
DEFINE_RECORD(mover_console)

static void mover_start_code(struct coder *c, struct mover_start *v)
{
	CODE_BYTES(c, v->hid);
	CODE_FLAG(c, v->source);
}
DEFINE_RECORD(mover_start)

static void channel_code(struct coder *c, uint16_t *v)
{
	code_u16(c, v);
	code_check(c, *v < DATA_CHANNEL_MAX);
}

static void mover_conn_code(struct coder *c, struct mover_conn *v)
{
	CODE_BYTES(c, v->hid);
	channel_code(c, &v->channel);
}
DEFINE_RECORD(mover_conn)

static void mover_gone_code(struct coder *c, struct mover_gone *v)
{
	CODE_BYTES(c, v->hid);
	code_kerr(c, &v->why);
	code_check(c, v->why.code != KCODE_OK);
}
DEFINE_RECORD(mover_gone)

static void mover_plan_ask_code(struct coder *c, struct mover_plan_ask *v)
{
	CODE_BYTES(c, v->uuid);
	code_blob(c, &v->offers, &v->len, MOVER_OFFERS_MAX);
}
DEFINE_RECORD(mover_plan_ask)

/* It would move, or there is a reason why not. */
static void mover_plan_code(struct coder *c, struct mover_plan *v)
{
	CODE_ENUM(c, v->rung, _MOVER_RUNG_MAX);
	code_kerr(c, &v->reason);
	code_check(c, (v->rung == MOVER_RUNG_NONE) == (v->reason.code != KCODE_OK));
	CODE_FLAG(c, v->there);
	CODE_FLAG(c, v->off);
	for (size_t i = MOVE_RUNG_LIVE; i < _MOVE_RUNG_MAX; i++)
		code_kerr(c, &v->rungs[i]);
	code_u64(c, &v->memory_bytes);
	code_u64(c, &v->disk_bytes);
	code_u32(c, &v->rewired);
	CODE_FLAG(c, v->roams);
	code_u32(c, &v->shared);
	CODE_FLAG(c, v->fitted.emulated);
	CODE_FLAG(c, v->fitted.other_cpu);
	code_u32(c, &v->fitted.machine_from);
	code_u32(c, &v->fitted.machine_to);
	CODE_TEXT(c, v->fitted.cpu_lacks);
}
DEFINE_RECORD(mover_plan)

static void data_preface_code(struct coder *c, struct data_preface *v)
{
	char magic[] = DATA_PREFACE_MAGIC;
	uint16_t version = DATA_PREFACE_VERSION;

	code_bytes(c, magic, sizeof(magic) - 1);
	code_check(c, strcmp(magic, DATA_PREFACE_MAGIC) == 0);
	code_u16(c, &version);
	code_check(c, version == DATA_PREFACE_VERSION);
	channel_code(c, &v->channel);
	CODE_BYTES(c, v->hid);
}
DEFINE_CODEC(data_preface)
