/* SPDX-License-Identifier: Apache-2.0 */
/* Records and names of policyd/proto.h: fields in the order of the structs, nothing else. */
#include "policyd/proto.h"

static const char *const policyd_state_names[_POLICYD_STATE_MAX] = {
	[POLICYD_STATE_NO_CLOUD] = "no-cloud", [POLICYD_STATE_READY] = "ready",
	[POLICYD_STATE_LOCKED] = "locked",     [POLICYD_STATE_ROLLBACK] = "rollback",
	[POLICYD_STATE_NO_TPM] = "no-tpm",
};
DEFINE_NAMES(policyd_state, enum policyd_state, _POLICYD_STATE_MAX)

static const char *const pair_past_names[_PAIR_PAST_MAX] = {
	[PAIR_PAST_NONE] = "none",
	[PAIR_PAST_PAIRED] = "paired",
	[PAIR_PAST_FORGOTTEN] = "forgotten",
	[PAIR_PAST_REPLACED] = "replaced",
};
DEFINE_NAMES(pair_past, enum pair_past, _PAIR_PAST_MAX)

static const char *const conversation_state_names[_CONVERSATION_STATE_MAX] = {
	[CONVERSATION_SEND] = "send",
	[CONVERSATION_WAIT_OWNER] = "wait-owner",
	[CONVERSATION_DONE] = "done",
	[CONVERSATION_REFUSED] = "refused",
};
DEFINE_NAMES(conversation_state, enum conversation_state, _CONVERSATION_STATE_MAX)

static const char *const custody_record_names[_CUSTODY_RECORD_MAX] = {
	[CUSTODY_PREP] = "prep",	 [CUSTODY_RELEASED] = "released",
	[CUSTODY_ABORTED] = "aborted",	 [CUSTODY_DONE] = "done",
	[CUSTODY_RECLAIM] = "reclaim",	 [CUSTODY_RECV] = "recv",
	[CUSTODY_PREPARED] = "prepared", [CUSTODY_OWN] = "own",
	[CUSTODY_VOID] = "void",
};
DEFINE_NAMES(custody_record, enum custody_record, _CUSTODY_RECORD_MAX)

static const char *const custody_use_names[_CUSTODY_USE_MAX] = {
	[CUSTODY_USE_START] = "start",
	[CUSTODY_USE_INCOMING] = "incoming",
};
DEFINE_NAMES(custody_use, enum custody_use, _CUSTODY_USE_MAX)

/* -- Records -- */

static void policyd_status_code(struct coder *c, struct policyd_status *v)
{
	CODE_ENUM(c, v->state, _POLICYD_STATE_MAX);
	CODE_BYTES(c, v->device_id);
	code_name(c, v->name);
	CODE_ENUM(c, v->role, _DEVICE_ROLE_MAX);
	CODE_ENUM(c, v->tier, _TPM_TIER_MAX);
	code_name(c, v->owner);
	CODE_BYTES(c, v->owner_id);
	CODE_TEXT(c, v->detail);
	CODE_TEXT(c, v->alarm);
	code_u64(c, &v->alarm_time);
}
DEFINE_CODEC(policyd_status)

static void policyd_pair_status_code(struct coder *c, struct policyd_pair_status *v)
{
	CODE_FLAG(c, v->open);
	CODE_FLAG(c, v->waiting);
	CODE_FLAG(c, v->done);
	CODE_TEXT(c, v->code);
	code_name(c, v->peer_name);
	code_name(c, v->peer_owner);
	CODE_ENUM(c, v->peer_role, _DEVICE_ROLE_MAX);
	CODE_ENUM(c, v->peer_tier, _TPM_TIER_MAX);
	code_u32(c, &v->seconds_left);
	code_kerr(c, &v->error);
	CODE_BYTES(c, v->hash);
	CODE_ENUM(c, v->past, _PAIR_PAST_MAX);
	CODE_FLAG(c, v->known_there);
}
DEFINE_CODEC(policyd_pair_status)

static void policyd_peer_code(struct coder *c, struct policyd_peer *v)
{
	CODE_BYTES(c, v->id);
	CODE_BYTES(c, v->sign_pk);
	code_name(c, v->name);
	CODE_ENUM(c, v->role, _DEVICE_ROLE_MAX);
	CODE_ENUM(c, v->tier, _TPM_TIER_MAX);
	CODE_FLAG(c, v->own);
	code_name(c, v->person);
	CODE_ENUM(c, v->person_role, _PERSON_ROLE_MAX);
	CODE_ENUM(c, v->verdict, _VERDICT_MAX);
	code_kerr(c, &v->reason);
	code_u64(c, &v->evidence_time);
	CODE_FLAG(c, v->receive);
}
DEFINE_CODEC(policyd_peer)

/* Values follow for the PCRs in the mask only. */
static void policyd_trust_code(struct coder *c, struct policyd_trust *v)
{
	policyd_peer_code(c, &v->peer);
	code_u32(c, &v->pcrs);
	code_check(c, !(v->pcrs >> PCR_COUNT));
	for (unsigned i = 0; i < PCR_COUNT; i++) {
		if (!(v->pcrs & 1u << i))
			continue;
		CODE_BYTES(c, v->now[i]);
		CODE_BYTES(c, v->want[i]);
	}
	CODE_TEXT(c, v->versions);
	CODE_BYTES(c, v->hash);
}
DEFINE_CODEC(policyd_trust)

static void policyd_plan_code(struct coder *c, struct policyd_plan *v)
{
	CODE_FLAG(c, v->allowed);
	code_kerr(c, &v->reason);
	CODE_TEXT(c, v->rule);
	CODE_ENUM(c, v->verdict, _VERDICT_MAX);
	code_name(c, v->device);
}
DEFINE_CODEC(policyd_plan)

/* The hash stays last: audit_hash() covers what stands before it. */
static void policyd_audit_code(struct coder *c, struct policyd_audit *v)
{
	code_u64(c, &v->seq);
	code_u64(c, &v->time);
	CODE_FLAG(c, v->allowed);
	code_name(c, v->person);
	code_name(c, v->device);
	code_name(c, v->vm);
	CODE_TEXT(c, v->action);
	code_kerr(c, &v->reason);
	CODE_BYTES(c, v->hash);
}
DEFINE_CODEC(policyd_audit)

static void policyd_vm_code(struct coder *c, struct policyd_vm *v)
{
	CODE_BYTES(c, v->uuid);
	code_name(c, v->name);
	code_u64(c, &v->epoch);
	code_u64(c, &v->policy_version);
	CODE_FLAG(c, v->here);
	CODE_BYTES(c, v->holder);
	code_name(c, v->holder_name);
	CODE_FLAG(c, v->open);
	CODE_BYTES(c, v->hid);
	CODE_FLAG(c, v->doubt);
}
DEFINE_CODEC(policyd_vm)

static void policyd_grant_code(struct coder *c, struct policyd_grant *v)
{
	CODE_BYTES(c, v->uuid);
	code_name(c, v->vm);
	code_u64(c, &v->epoch);
	CODE_BYTES(c, v->peer);
	code_name(c, v->peer_name);
	CODE_BYTES(c, v->key);
}
DEFINE_CODEC(policyd_grant)

static void policyd_open_code(struct coder *c, struct policyd_open *v)
{
	CODE_BYTES(c, v->hid);
	CODE_BYTES(c, v->uuid);
	CODE_BYTES(c, v->peer);
	code_name(c, v->vm);
	code_u64(c, &v->epoch);
	CODE_FLAG(c, v->source);
	CODE_ENUM(c, v->record, _CUSTODY_RECORD_MAX);
	CODE_FLAG(c, v->fresh);
	CODE_FLAG(c, v->started);
}
DEFINE_CODEC(policyd_open)

static void policyd_conversation_code(struct coder *c, struct policyd_conversation *v)
{
	CODE_ENUM(c, v->state, _CONVERSATION_STATE_MAX);
	code_kerr(c, &v->error);
	code_blob(c, &v->blob, &v->len, POLICYD_BLOB_MAX);
}
DEFINE_CODEC(policyd_conversation)

/* -- Lists -- */

size_t policyd_count_begin(struct wbuf *w)
{
	size_t at = w->len;

	wbuf_u16(w, 0);
	return at;
}

void policyd_count_end(struct wbuf *w, size_t at, size_t count)
{
	if (!w->error && (count > UINT16_MAX || at > w->len || w->len - at < 2))
		w->error = -EINVAL;
	if (w->error)
		return;
	w->data[at] = (uint8_t)count;
	w->data[at + 1] = (uint8_t)(count >> 8);
}
