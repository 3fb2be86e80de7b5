/* SPDX-License-Identifier: Apache-2.0 */
/* Codecs and names of policyd/proto.h: fields in the order of the structs, nothing else. */
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

/* -- Fields -- */

static void put_fail(struct wbuf *w)
{
	if (!w->error)
		w->error = -EINVAL;
}

static void put_enum(struct wbuf *w, unsigned value, unsigned max)
{
	if (value >= max)
		put_fail(w);
	wbuf_u8(w, (uint8_t)value);
}

static unsigned get_enum(struct rbuf *r, unsigned max)
{
	unsigned value = rbuf_u8(r);

	if (value < max)
		return value;
	rbuf_fail(r, -EBADMSG);
	return 0;
}

static void put_flag(struct wbuf *w, unsigned value)
{
	put_enum(w, value, 2);
}

static uint8_t get_flag(struct rbuf *r)
{
	return (uint8_t)get_enum(r, 2);
}

/* `size` is that of the array, so that a text without its end is found. */
static void put_text(struct wbuf *w, const char *text, size_t size)
{
	if (strnlen(text, size) == size || !text_is_clean(text)) {
		put_fail(w);
		return;
	}
	wbuf_string(w, text);
}

/* A name, or nothing: the empty string. */
static void put_name(struct wbuf *w, const char name[NAME_MAX_LEN + 1])
{
	put_text(w, name, NAME_MAX_LEN + 1);
	if (!w->error && name[0] && !text_is_name(name, NAME_MAX_LEN))
		put_fail(w);
}

static void get_name(struct rbuf *r, char ret[NAME_MAX_LEN + 1])
{
	rbuf_string(r, ret, NAME_MAX_LEN + 1);
	if (ret[0] && !text_is_name(ret, NAME_MAX_LEN))
		rbuf_fail(r, -EBADMSG);
}

/* A text that snprintf() cut inside a character must not make its whole message unreadable. */
static void scrub(char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x7f || (c < 0x20 && c != '\t' && c != '\n'))
			*text = '?';
	}
}

static void put_kerr(struct wbuf *w, const struct kerr *v)
{
	struct kerr copy = *v;

	if ((unsigned)v->code >= _KCODE_MAX) {
		put_fail(w);
		return;
	}
	copy.text[sizeof(copy.text) - 1] = '\0';
	if (!text_is_clean(copy.text))
		scrub(copy.text);
	kerr_put(w, &copy);
}

static void get_kerr(struct rbuf *r, struct kerr *ret)
{
	if (kerr_get(r, ret) < 0)
		rbuf_fail(r, -EBADMSG);
}

/* -- Structs -- */

void policyd_status_put(struct wbuf *w, const struct policyd_status *v)
{
	put_enum(w, v->state, _POLICYD_STATE_MAX);
	wbuf_bytes(w, v->device_id, sizeof(v->device_id));
	put_name(w, v->name);
	put_enum(w, v->role, _DEVICE_ROLE_MAX);
	put_enum(w, v->tier, _TPM_TIER_MAX);
	put_name(w, v->owner);
	wbuf_bytes(w, v->owner_id, sizeof(v->owner_id));
	put_text(w, v->detail, sizeof(v->detail));
	put_text(w, v->alarm, sizeof(v->alarm));
	wbuf_u64(w, v->alarm_time);
}

int policyd_status_get(struct rbuf *r, struct policyd_status *ret)
{
	struct policyd_status v = {0};

	v.state = (enum policyd_state)get_enum(r, _POLICYD_STATE_MAX);
	rbuf_bytes(r, v.device_id, sizeof(v.device_id));
	get_name(r, v.name);
	v.role = (enum device_role)get_enum(r, _DEVICE_ROLE_MAX);
	v.tier = (enum tpm_tier)get_enum(r, _TPM_TIER_MAX);
	get_name(r, v.owner);
	rbuf_bytes(r, v.owner_id, sizeof(v.owner_id));
	rbuf_string(r, v.detail, sizeof(v.detail));
	rbuf_string(r, v.alarm, sizeof(v.alarm));
	v.alarm_time = rbuf_u64(r);
	if (rbuf_error(r) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

void policyd_pair_status_put(struct wbuf *w, const struct policyd_pair_status *v)
{
	put_flag(w, v->open);
	put_flag(w, v->waiting);
	put_flag(w, v->done);
	put_text(w, v->code, sizeof(v->code));
	put_name(w, v->peer_name);
	put_name(w, v->peer_owner);
	put_enum(w, v->peer_role, _DEVICE_ROLE_MAX);
	put_enum(w, v->peer_tier, _TPM_TIER_MAX);
	wbuf_u32(w, v->seconds_left);
	put_kerr(w, &v->error);
	wbuf_bytes(w, v->hash, sizeof(v->hash));
	put_enum(w, v->past, _PAIR_PAST_MAX);
	put_flag(w, v->known_there);
}

int policyd_pair_status_get(struct rbuf *r, struct policyd_pair_status *ret)
{
	struct policyd_pair_status v = {0};

	v.open = get_flag(r);
	v.waiting = get_flag(r);
	v.done = get_flag(r);
	rbuf_string(r, v.code, sizeof(v.code));
	get_name(r, v.peer_name);
	get_name(r, v.peer_owner);
	v.peer_role = (enum device_role)get_enum(r, _DEVICE_ROLE_MAX);
	v.peer_tier = (enum tpm_tier)get_enum(r, _TPM_TIER_MAX);
	v.seconds_left = rbuf_u32(r);
	get_kerr(r, &v.error);
	rbuf_bytes(r, v.hash, sizeof(v.hash));
	v.past = (enum pair_past)get_enum(r, _PAIR_PAST_MAX);
	v.known_there = get_flag(r);
	if (rbuf_error(r) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

void policyd_peer_put(struct wbuf *w, const struct policyd_peer *v)
{
	wbuf_bytes(w, v->id, sizeof(v->id));
	wbuf_bytes(w, v->sign_pk, sizeof(v->sign_pk));
	put_name(w, v->name);
	put_enum(w, v->role, _DEVICE_ROLE_MAX);
	put_enum(w, v->tier, _TPM_TIER_MAX);
	put_flag(w, v->own);
	put_name(w, v->person);
	put_enum(w, v->person_role, _PERSON_ROLE_MAX);
	put_enum(w, v->verdict, _VERDICT_MAX);
	put_kerr(w, &v->reason);
	wbuf_u64(w, v->evidence_time);
	put_flag(w, v->receive);
}

int policyd_peer_get(struct rbuf *r, struct policyd_peer *ret)
{
	struct policyd_peer v = {0};

	rbuf_bytes(r, v.id, sizeof(v.id));
	rbuf_bytes(r, v.sign_pk, sizeof(v.sign_pk));
	get_name(r, v.name);
	v.role = (enum device_role)get_enum(r, _DEVICE_ROLE_MAX);
	v.tier = (enum tpm_tier)get_enum(r, _TPM_TIER_MAX);
	v.own = get_flag(r);
	get_name(r, v.person);
	v.person_role = (enum person_role)get_enum(r, _PERSON_ROLE_MAX);
	v.verdict = (enum verdict)get_enum(r, _VERDICT_MAX);
	get_kerr(r, &v.reason);
	v.evidence_time = rbuf_u64(r);
	v.receive = get_flag(r);
	if (rbuf_error(r) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

/* Values follow for the PCRs in the mask only. */
void policyd_trust_put(struct wbuf *w, const struct policyd_trust *v)
{
	policyd_peer_put(w, &v->peer);
	if (v->pcrs >> PCR_COUNT)
		put_fail(w);
	wbuf_u32(w, v->pcrs);
	for (unsigned i = 0; i < PCR_COUNT; i++) {
		if (!(v->pcrs & 1u << i))
			continue;
		wbuf_bytes(w, v->now[i], HASH_LEN);
		wbuf_bytes(w, v->want[i], HASH_LEN);
	}
	put_text(w, v->versions, sizeof(v->versions));
	wbuf_bytes(w, v->hash, sizeof(v->hash));
}

int policyd_trust_get(struct rbuf *r, struct policyd_trust *ret)
{
	struct policyd_trust v = {0};

	if (policyd_peer_get(r, &v.peer) < 0)
		return -EBADMSG;
	v.pcrs = rbuf_u32(r);
	if (v.pcrs >> PCR_COUNT)
		rbuf_fail(r, -EBADMSG);
	for (unsigned i = 0; i < PCR_COUNT; i++) {
		if (!(v.pcrs & 1u << i))
			continue;
		rbuf_bytes(r, v.now[i], HASH_LEN);
		rbuf_bytes(r, v.want[i], HASH_LEN);
	}
	rbuf_string(r, v.versions, sizeof(v.versions));
	rbuf_bytes(r, v.hash, sizeof(v.hash));
	if (rbuf_error(r) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

void policyd_plan_put(struct wbuf *w, const struct policyd_plan *v)
{
	put_flag(w, v->allowed);
	put_kerr(w, &v->reason);
	put_text(w, v->rule, sizeof(v->rule));
	put_enum(w, v->verdict, _VERDICT_MAX);
	put_name(w, v->device);
}

int policyd_plan_get(struct rbuf *r, struct policyd_plan *ret)
{
	struct policyd_plan v = {0};

	v.allowed = get_flag(r);
	get_kerr(r, &v.reason);
	rbuf_string(r, v.rule, sizeof(v.rule));
	v.verdict = (enum verdict)get_enum(r, _VERDICT_MAX);
	get_name(r, v.device);
	if (rbuf_error(r) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

/* The hash stays last: audit_hash() covers what stands before it. */
void policyd_audit_put(struct wbuf *w, const struct policyd_audit *v)
{
	wbuf_u64(w, v->seq);
	wbuf_u64(w, v->time);
	put_flag(w, v->allowed);
	put_name(w, v->person);
	put_name(w, v->device);
	put_name(w, v->vm);
	put_text(w, v->action, sizeof(v->action));
	put_kerr(w, &v->reason);
	wbuf_bytes(w, v->hash, sizeof(v->hash));
}

int policyd_audit_get(struct rbuf *r, struct policyd_audit *ret)
{
	struct policyd_audit v = {0};

	v.seq = rbuf_u64(r);
	v.time = rbuf_u64(r);
	v.allowed = get_flag(r);
	get_name(r, v.person);
	get_name(r, v.device);
	get_name(r, v.vm);
	rbuf_string(r, v.action, sizeof(v.action));
	get_kerr(r, &v.reason);
	rbuf_bytes(r, v.hash, sizeof(v.hash));
	if (rbuf_error(r) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

void policyd_vm_put(struct wbuf *w, const struct policyd_vm *v)
{
	wbuf_bytes(w, v->uuid, sizeof(v->uuid));
	put_name(w, v->name);
	wbuf_u64(w, v->epoch);
	wbuf_u64(w, v->policy_version);
	put_flag(w, v->here);
	wbuf_bytes(w, v->holder, sizeof(v->holder));
	put_name(w, v->holder_name);
	put_flag(w, v->open);
	wbuf_bytes(w, v->hid, sizeof(v->hid));
	put_flag(w, v->doubt);
}

int policyd_vm_get(struct rbuf *r, struct policyd_vm *ret)
{
	struct policyd_vm v = {0};

	rbuf_bytes(r, v.uuid, sizeof(v.uuid));
	get_name(r, v.name);
	v.epoch = rbuf_u64(r);
	v.policy_version = rbuf_u64(r);
	v.here = get_flag(r);
	rbuf_bytes(r, v.holder, sizeof(v.holder));
	get_name(r, v.holder_name);
	v.open = get_flag(r);
	rbuf_bytes(r, v.hid, sizeof(v.hid));
	v.doubt = get_flag(r);
	if (rbuf_error(r) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

void policyd_grant_put(struct wbuf *w, const struct policyd_grant *v)
{
	wbuf_bytes(w, v->uuid, sizeof(v->uuid));
	put_name(w, v->vm);
	wbuf_u64(w, v->epoch);
	wbuf_bytes(w, v->peer, sizeof(v->peer));
	put_name(w, v->peer_name);
	wbuf_bytes(w, v->key, sizeof(v->key));
}

int policyd_grant_get(struct rbuf *r, struct policyd_grant *ret)
{
	struct policyd_grant v = {0};
	int error;

	rbuf_bytes(r, v.uuid, sizeof(v.uuid));
	get_name(r, v.vm);
	v.epoch = rbuf_u64(r);
	rbuf_bytes(r, v.peer, sizeof(v.peer));
	get_name(r, v.peer_name);
	rbuf_bytes(r, v.key, sizeof(v.key));
	error = rbuf_error(r);
	if (error == 0)
		*ret = v;
	explicit_bzero(&v, sizeof(v));
	return error < 0 ? -EBADMSG : 0;
}

void policyd_open_put(struct wbuf *w, const struct policyd_open *v)
{
	wbuf_bytes(w, v->hid, sizeof(v->hid));
	wbuf_bytes(w, v->uuid, sizeof(v->uuid));
	wbuf_bytes(w, v->peer, sizeof(v->peer));
	put_name(w, v->vm);
	wbuf_u64(w, v->epoch);
	put_flag(w, v->source);
	put_enum(w, v->record, _CUSTODY_RECORD_MAX);
	put_flag(w, v->fresh);
	put_flag(w, v->started);
}

int policyd_open_get(struct rbuf *r, struct policyd_open *ret)
{
	struct policyd_open v = {0};

	rbuf_bytes(r, v.hid, sizeof(v.hid));
	rbuf_bytes(r, v.uuid, sizeof(v.uuid));
	rbuf_bytes(r, v.peer, sizeof(v.peer));
	get_name(r, v.vm);
	v.epoch = rbuf_u64(r);
	v.source = get_flag(r);
	v.record = (enum custody_record)get_enum(r, _CUSTODY_RECORD_MAX);
	v.fresh = get_flag(r);
	v.started = get_flag(r);
	if (rbuf_error(r) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

void policyd_conversation_put(struct wbuf *w, const struct policyd_conversation *v)
{
	put_enum(w, v->state, _CONVERSATION_STATE_MAX);
	put_kerr(w, &v->error);
	if (v->len > POLICYD_BLOB_MAX)
		put_fail(w);
	wbuf_blob(w, v->blob, v->len);
}

int policyd_conversation_get(struct rbuf *r, struct policyd_conversation *ret)
{
	struct policyd_conversation v = {0};

	v.state = (enum conversation_state)get_enum(r, _CONVERSATION_STATE_MAX);
	get_kerr(r, &v.error);
	v.blob = rbuf_blob(r, POLICYD_BLOB_MAX, &v.len);
	if (rbuf_error(r) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

/* -- Lists -- */

size_t policyd_count_begin(struct wbuf *w)
{
	size_t at = w->len;

	wbuf_u16(w, 0);
	return at;
}

void policyd_count_end(struct wbuf *w, size_t at, size_t count)
{
	if (count > UINT16_MAX || at > w->len || w->len - at < 2)
		put_fail(w);
	if (w->error)
		return;
	w->data[at] = (uint8_t)count;
	w->data[at + 1] = (uint8_t)(count >> 8);
}
