/* SPDX-License-Identifier: Apache-2.0 */
/* Records and names of policyd/api/proto.h: fields in the order of the structs, nothing else. */
#include "policyd/api/proto.h"

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

static const char *const custody_statement_kind_names[_CUSTODY_STATEMENT_MAX] = {
	[CUSTODY_STATEMENT_NONE] = "none",	 [CUSTODY_STATEMENT_VOTE] = "vote",
	[CUSTODY_STATEMENT_RELEASE] = "release", [CUSTODY_STATEMENT_ABORT] = "abort",
	[CUSTODY_STATEMENT_ACK] = "ack",	 [CUSTODY_STATEMENT_NACK] = "nack",
	[CUSTODY_STATEMENT_ASK] = "ask",	 [CUSTODY_STATEMENT_WHERE] = "where",
	[CUSTODY_STATEMENT_HELD] = "held",	 [CUSTODY_STATEMENT_NOT_HELD] = "not-held",
	[CUSTODY_STATEMENT_ADOPT] = "adopt",	 [CUSTODY_STATEMENT_CLAIM] = "claim",
	[CUSTODY_STATEMENT_WANT] = "want",	 [CUSTODY_STATEMENT_COMING] = "coming",
	[CUSTODY_STATEMENT_STAYS] = "stays",
};
DEFINE_NAMES(custody_statement_kind, enum custody_statement_kind, _CUSTODY_STATEMENT_MAX)

static const char *const custody_record_names[_CUSTODY_RECORD_MAX] = {
	[CUSTODY_PREP] = "prep",	 [CUSTODY_RELEASED] = "released",
	[CUSTODY_ABORTED] = "aborted",	 [CUSTODY_DONE] = "done",
	[CUSTODY_RECLAIM] = "reclaim",	 [CUSTODY_RECV] = "recv",
	[CUSTODY_PREPARED] = "prepared", [CUSTODY_OWN] = "own",
	[CUSTODY_VOID] = "void",
};
DEFINE_NAMES(custody_record, enum custody_record, _CUSTODY_RECORD_MAX)

static const char *const move_rung_names[_MOVE_RUNG_MAX] = {
	[MOVE_RUNG_ANY] = "any",
	[MOVE_RUNG_LIVE] = "live",
	[MOVE_RUNG_WARM] = "warm",
	[MOVE_RUNG_COLD] = "cold",
};
DEFINE_NAMES(move_rung, enum move_rung, _MOVE_RUNG_MAX)

static const char *const console_kind_names[_CONSOLE_KIND_MAX] = {
	[CONSOLE_SERIAL] = "serial",
	[CONSOLE_GRAPHICS] = "graphics",
};
DEFINE_NAMES(console_kind, enum console_kind, _CONSOLE_KIND_MAX)

static const char *const custody_use_names[_CUSTODY_USE_MAX] = {
	[CUSTODY_USE_START] = "start",
	[CUSTODY_USE_INCOMING] = "incoming",
};
DEFINE_NAMES(custody_use, enum custody_use, _CUSTODY_USE_MAX)

static const char *const custody_marker_names[_CUSTODY_MARKER_MAX] = {
	[CUSTODY_MARKER_HERE] = "here",		[CUSTODY_MARKER_ELSEWHERE] = "elsewhere",
	[CUSTODY_MARKER_LEAVING] = "leaving",	[CUSTODY_MARKER_ARRIVING] = "arriving",
	[CUSTODY_MARKER_RELEASED] = "released", [CUSTODY_MARKER_PREPARED] = "prepared",
	[CUSTODY_MARKER_KEPT] = "kept",		[CUSTODY_MARKER_DOUBT] = "in doubt",
};
DEFINE_NAMES(custody_marker, enum custody_marker, _CUSTODY_MARKER_MAX)

/* -- UUIDs -- */

void custody_uuid_text(const uint8_t uuid[UUID_LEN], char ret[CUSTODY_UUID_TEXT])
{
	static const uint8_t group[] = {4, 2, 2, 2, 6};
	size_t in = 0, out = 0;

	for (size_t i = 0; i < ARRAY_SIZE(group); i++) {
		if (i)
			ret[out++] = '-';
		hex_encode(uuid + in, group[i], ret + out);
		in += group[i];
		out += 2u * group[i];
	}
}

int custody_uuid_parse(const char *text, uint8_t ret[UUID_LEN])
{
	char digits[2 * UUID_LEN + 1];
	size_t n = 0;

	if (strlen(text) != CUSTODY_UUID_TEXT - 1)
		return -EBADMSG;
	for (size_t i = 0; text[i]; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash != (text[i] == '-'))
			return -EBADMSG;
		if (!dash)
			digits[n++] = text[i];
	}
	digits[n] = '\0';
	return hex_decode(digits, ret, UUID_LEN);
}

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
	CODE_BYTES(c, v->config_mark);
	CODE_TEXT(c, v->config_later);
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
	for_each_pcr(i, v->pcrs) {
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

/* The hash stays last: it covers what stands before it (hash-chain.h). */
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

static void policyd_audit_log_code(struct coder *c, struct policyd_audit_log *v)
{
	CODE_FLAG(c, v->peers);
	code_u64(c, &v->kept);
	code_u64(c, &v->first);
	code_u64(c, &v->last);
	CODE_BYTES(c, v->head);
}
DEFINE_RECORD(policyd_audit_log)

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
	CODE_ENUM(c, v->rung, _MOVE_RUNG_MAX);
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

static void policyd_nothing_code(struct coder *c _unused_, struct policyd_nothing *v _unused_)
{
}
DEFINE_RECORD(policyd_nothing)

static void policyd_flag_code(struct coder *c, struct policyd_flag *v)
{
	CODE_FLAG(c, v->on);
}
DEFINE_RECORD(policyd_flag)

static void policyd_mark_code(struct coder *c, struct policyd_mark *v)
{
	CODE_BYTES(c, v->bytes);
}
DEFINE_RECORD(policyd_mark)

static void policyd_number_code(struct coder *c, struct policyd_number *v)
{
	code_u64(c, &v->value);
}
DEFINE_RECORD(policyd_number)

static void policyd_uuid_code(struct coder *c, struct policyd_uuid *v)
{
	CODE_BYTES(c, v->uuid);
}
DEFINE_RECORD(policyd_uuid)

static void policyd_hid_code(struct coder *c, struct policyd_hid *v)
{
	CODE_BYTES(c, v->hid);
}
DEFINE_RECORD(policyd_hid)

static void policyd_device_code(struct coder *c, struct policyd_device *v)
{
	CODE_BYTES(c, v->id);
}
DEFINE_RECORD(policyd_device)

static void policyd_person_code(struct coder *c, struct policyd_person *v)
{
	CODE_TEXT(c, v->name);
}
DEFINE_RECORD(policyd_person)

static void policyd_recovery_code(struct coder *c, struct policyd_recovery *v)
{
	CODE_TEXT(c, v->key);
}
DEFINE_RECORD(policyd_recovery)

static void policyd_window_code(struct coder *c, struct policyd_window *v)
{
	CODE_ENUM(c, v->role, _PERSON_ROLE_MAX);
	code_u32(c, &v->seconds);
	CODE_FLAG(c, v->replace);
}
DEFINE_RECORD(policyd_window)

static void policyd_yes_code(struct coder *c, struct policyd_yes *v)
{
	CODE_BYTES(c, v->hash);
	CODE_FLAG(c, v->same);
}
DEFINE_RECORD(policyd_yes)

static void policyd_accept_code(struct coder *c, struct policyd_accept *v)
{
	CODE_BYTES(c, v->id);
	CODE_BYTES(c, v->shown);
}
DEFINE_RECORD(policyd_accept)

static void policyd_receive_code(struct coder *c, struct policyd_receive *v)
{
	CODE_BYTES(c, v->id);
	CODE_FLAG(c, v->on);
}
DEFINE_RECORD(policyd_receive)

static void policyd_rules_code(struct coder *c, struct policyd_rules *v)
{
	CODE_BYTES(c, v->uuid);
	CODE_TEXT(c, v->name);
	code_blob(c, &v->text, &v->text_len, POLICYD_POLICY_MAX);
	code_blob(c, &v->compiled, &v->compiled_len, POLICYD_POLICY_MAX);
}
DEFINE_RECORD(policyd_rules)

static void policyd_rules_held_code(struct coder *c, struct policyd_rules_held *v)
{
	code_u64(c, &v->version);
	CODE_BYTES(c, v->owner_id);
	CODE_TEXT(c, v->name);
	code_blob(c, &v->text, &v->text_len, POLICYD_POLICY_MAX);
}
DEFINE_RECORD(policyd_rules_held)

static void policyd_target_code(struct coder *c, struct policyd_target *v)
{
	CODE_BYTES(c, v->uuid);
	CODE_BYTES(c, v->device);
}
DEFINE_RECORD(policyd_target)

static void policyd_question_code(struct coder *c, struct policyd_question *v)
{
	CODE_BYTES(c, v->uuid);
	CODE_BYTES(c, v->device);
	CODE_ENUM(c, v->action, _POLICY_ACTION_MAX);
	CODE_ENUM(c, v->person, _PERSON_ROLE_MAX);
}
DEFINE_RECORD(policyd_question)

static void policyd_move_code(struct coder *c, struct policyd_move *v)
{
	CODE_BYTES(c, v->uuid);
	CODE_BYTES(c, v->device);
	CODE_ENUM(c, v->rung, _MOVE_RUNG_MAX);
}
DEFINE_RECORD(policyd_move)

static void policyd_fetch_code(struct coder *c, struct policyd_fetch *v)
{
	CODE_BYTES(c, v->uuid);
	CODE_ENUM(c, v->rung, _MOVE_RUNG_MAX);
}
DEFINE_RECORD(policyd_fetch)

static void policyd_fetched_code(struct coder *c, struct policyd_fetched *v)
{
	CODE_ENUM(c, v->state, _FETCH_STATE_MAX);
	CODE_BYTES(c, v->hid);
	code_kerr(c, &v->reason);
}
DEFINE_RECORD(policyd_fetched)

static void policyd_wanted_code(struct coder *c, struct policyd_wanted *v)
{
	CODE_BYTES(c, v->hid);
	CODE_BYTES(c, v->device);
}
DEFINE_RECORD(policyd_wanted)

static void policyd_range_code(struct coder *c, struct policyd_range *v)
{
	code_u64(c, &v->from);
	code_u16(c, &v->max);
}
DEFINE_RECORD(policyd_range)

static void policyd_spki_code(struct coder *c, struct policyd_spki *v)
{
	code_blob(c, &v->der, &v->len, POLICYD_SPKI_MAX);
}
DEFINE_RECORD(policyd_spki)

static void policyd_leaf_code(struct coder *c, struct policyd_leaf *v)
{
	code_blob(c, &v->leaf, &v->leaf_len, POLICYD_CERT_MAX);
	code_blob(c, &v->device, &v->device_len, POLICYD_CERT_MAX);
}
DEFINE_RECORD(policyd_leaf)

static void policyd_talk_code(struct coder *c, struct policyd_talk *v)
{
	CODE_ENUM(c, v->kind, _TALK_KIND_MAX);
	CODE_ENUM(c, v->verb, _TALK_VERB_MAX);
	CODE_FLAG(c, v->initiator);
	CODE_BYTES(c, v->hid);
	CODE_BYTES(c, v->peer);
	CODE_BYTES(c, v->exporter);
	code_blob(c, &v->blob, &v->len, POLICYD_BLOB_MAX);
}
DEFINE_CODEC(policyd_talk)

static void policyd_statement_code(struct coder *c, struct policyd_statement *v)
{
	code_array(c, v->bytes, &v->len, POLICYD_PROOF_MAX);
}
DEFINE_RECORD(policyd_statement)

static void policyd_letter_code(struct coder *c, struct policyd_letter *v)
{
	CODE_BYTES(c, v->peer);
	code_array(c, v->statement, &v->len, POLICYD_PROOF_MAX);
}
DEFINE_CODEC(policyd_letter)

static void policyd_word_code(struct coder *c, struct policyd_word *v)
{
	CODE_BYTES(c, v->hid);
	policyd_statement_code(c, &v->statement);
}
DEFINE_RECORD(policyd_word)

static void policyd_news_code(struct coder *c, struct policyd_news *v)
{
	CODE_ENUM(c, v->kind, _CUSTODY_STATEMENT_MAX);
	policyd_statement_code(c, &v->statement);
	code_check(c, (v->kind == CUSTODY_STATEMENT_NONE) == (v->statement.len == 0));
}
DEFINE_RECORD(policyd_news)

static void policyd_side_code(struct coder *c, struct policyd_side *v)
{
	CODE_BYTES(c, v->hid);
	CODE_FLAG(c, v->source);
}
DEFINE_RECORD(policyd_side)

static void policyd_entry_code(struct coder *c, struct policyd_entry *v)
{
	CODE_BYTES(c, v->hid);
	CODE_ENUM(c, v->record, _CUSTODY_RECORD_MAX);
	policyd_statement_code(c, &v->proof);
	CODE_FLAG(c, v->copy_gone);
}
DEFINE_RECORD(policyd_entry)

static void policyd_use_code(struct coder *c, struct policyd_use *v)
{
	CODE_BYTES(c, v->uuid);
	CODE_ENUM(c, v->use, _CUSTODY_USE_MAX);
}
DEFINE_RECORD(policyd_use)

static void policyd_alarm_code(struct coder *c, struct policyd_alarm *v)
{
	CODE_BYTES(c, v->uuid);
	CODE_TEXT(c, v->text);
}
DEFINE_RECORD(policyd_alarm)

static void policyd_console_wish_code(struct coder *c, struct policyd_console_wish *v)
{
	CODE_BYTES(c, v->uuid);
	CODE_ENUM(c, v->kind, _CONSOLE_KIND_MAX);
	CODE_FLAG(c, v->force);
	code_check(c, !v->force || v->kind == CONSOLE_SERIAL);
}
DEFINE_RECORD(policyd_console_wish)

static void policyd_console_place_code(struct coder *c, struct policyd_console_place *v)
{
	CODE_BYTES(c, v->hid);
	CODE_FLAG(c, v->here);
	CODE_BYTES(c, v->device);
	code_name(c, v->device_name);
}
DEFINE_RECORD(policyd_console_place)

static void policyd_console_grant_code(struct coder *c, struct policyd_console_grant *v)
{
	CODE_ENUM(c, v->side, _CONSOLE_SIDE_MAX);
	policyd_console_wish_code(c, &v->wish);
	code_name(c, v->vm);
	code_name(c, v->peer_name);
	CODE_BYTES(c, v->key);
}
DEFINE_RECORD(policyd_console_grant)

static void policyd_fence_code(struct coder *c, struct policyd_fence *v)
{
	CODE_BYTES(c, v->uuid);
	code_name(c, v->name);
	code_name(c, v->peer_name);
	CODE_ENUM(c, v->verdict, _FENCE_VERDICT_MAX);
}
DEFINE_CODEC(policyd_fence)
