/* SPDX-License-Identifier: Apache-2.0 */
/* The paired devices, with the trust table. */
#include <sodium.h>
#include <string.h>

#include "attest/wire.h"
#include "policyd/store-sql.h"

static void peer_row(struct sql *q, void *v)
{
	struct store_peer *p = v;
	/* Some TPM said it, and may say anything. */
	uint64_t clock = MIN_OF(p->quote.clock, (uint64_t)INT64_MAX);

	ROW_BYTES(q, "id", p->id);
	ROW_BYTES(q, "sign_pk", p->sign_pk);
	row_name(q, "name", p->name);
	ROW_NUMBER(q, "role", p->role, _DEVICE_ROLE_MAX);
	ROW_NUMBER(q, "tier", p->tier, _TPM_TIER_MAX);
	ROW_FLAG(q, "own", p->own);
	row_name(q, "person", p->person);
	ROW_NUMBER(q, "person_role", p->person_role, _PERSON_ROLE_MAX);
	ROW_BYTES(q, "owner_pk", p->owner_pk);
	row_blob(q, "ak_public", p->ak_public, &p->ak_public_len, sizeof(p->ak_public));
	ROW_BYTES(q, "ek_hash", p->ek_hash);
	row_blob(q, "record", p->record, &p->record_len, sizeof(p->record));
	ROW_NUMBER(q, "reference_mask", p->reference_mask, 1u << PCR_COUNT);
	ROW_BYTES(q, "reference", p->reference);
	ROW_U64(q, "evidence_time", p->evidence_time);
	ROW_NUMBER(q, "evidence_mask", p->evidence_mask, 1u << PCR_COUNT);
	ROW_BYTES(q, "evidence", p->evidence);
	ROW_TEXT(q, "versions", p->versions);
	ROW_NUMBER(q, "verdict", p->verdict, _VERDICT_MAX);
	ROW_NUMBER(q, "reason_code", p->reason.code, _KCODE_MAX);
	ROW_TEXT(q, "reason_text", p->reason.text);
	ROW_FLAG(q, "receive", p->receive);
	ROW_FLAG(q, "quoted", p->quoted);
	ROW_U64(q, "quote_clock", clock);
	ROW_U32(q, "quote_resets", p->quote.reset_count);
	ROW_U32(q, "quote_restarts", p->quote.restart_count);
	ROW_FLAG(q, "quote_safe", p->quote.safe);
	ROW_BYTES(q, "quote_signer", p->quote.signer);
	if (q->way == SQL_READ)
		p->quote.clock = clock;
}

const struct sql_table peer_table = SQL_TABLE("peers", "PRIMARY KEY(id), UNIQUE(name)", store_peer,
					      peer_row, "other device's record", KCODE_PEER_UNKNOWN,
					      "That device is not paired with this one.");

/* A name is a person's only handle of a device: no second peer may have it. */
static int check_room(struct store *s, const struct store_peer *p, struct kerr *err)
{
	uint64_t namesakes, others, known;
	int r = sql_number(s, err, &namesakes,
			   "SELECT count(*) FROM peers WHERE name=?1 AND id<>?2", SQL_TEXT(p->name),
			   SQL_DEVICE(p->id));

	if (r == 0)
		r = sql_number(s, err, &others, "SELECT count(*) FROM peers WHERE id<>?1",
			       SQL_DEVICE(p->id));
	if (r == 0)
		r = sql_number(s, err, &known, "SELECT count(*) FROM peers WHERE id=?1",
			       SQL_DEVICE(p->id));
	if (r < 0)
		return r;
	if (namesakes)
		return kerr_set(err, EEXIST, KCODE_EXISTS,
				"Another paired device is called \"%s\" already. Rename one of "
				"them, or forget the old one, then pair again.",
				p->name);
	if (others >= STORE_PEERS_MAX)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"This device is paired with %d others, which is the most it can "
				"be. Forget one first.",
				STORE_PEERS_MAX);
	/* What is learnt about a known one always has room. */
	return known ? 0 : store_room(s, sizeof(*p), err);
}

int store_peer_put(struct store *s, const struct store_peer *p, struct kerr *err)
{
	int r = check_room(s, p, err);

	if (r == 0)
		r = sql_put(s, err, &peer_table, "INSERT OR REPLACE", p);
	return r < 0 ? r : sql_change(s, err, "DELETE FROM revoked WHERE id=?1", SQL_DEVICE(p->id));
}

int store_peer_get(struct store *s, const uint8_t id[DEVICE_ID_LEN], struct store_peer *ret,
		   struct kerr *err)
{
	return sql_need(s, err, &peer_table, ret, "WHERE id=?1", SQL_DEVICE(id));
}

int store_peer_by_name(struct store *s, const char *name, struct store_peer *ret, struct kerr *err)
{
	return sql_need(s, err, &peer_table, ret, "WHERE name=?1", SQL_TEXT(name));
}

int store_peer_list(struct store *s, struct store_peer **ret, size_t *ret_n, struct kerr *err)
{
	return sql_list(s, err, &peer_table, ret, ret_n, "ORDER BY name");
}

/* `untrusted` stays until fresh good evidence says `trusted`. */
static void merge_verdict(struct store_peer *p, enum verdict verdict, const struct kerr *reason)
{
	if (p->verdict == VERDICT_UNTRUSTED && verdict != VERDICT_TRUSTED &&
	    verdict != VERDICT_UNTRUSTED)
		return;
	p->verdict = verdict;
	p->reason = verdict == VERDICT_TRUSTED ? (struct kerr){0} : *reason;
}

/* Those of `mask`, the others zero. */
static void take_pcrs(uint8_t to[PCR_COUNT][HASH_LEN], const uint8_t from[PCR_COUNT][HASH_LEN],
		      uint32_t mask)
{
	memset(to, 0, PCR_COUNT * HASH_LEN);
	for_each_pcr(i, mask)
		memcpy(to[i], from[i], HASH_LEN);
}

int store_peer_set_verdict(struct store *s, const uint8_t id[DEVICE_ID_LEN], enum verdict verdict,
			   const struct kerr *reason, const struct store_evidence *evidence,
			   struct kerr *err)
{
	struct store_peer p;
	int r = store_peer_get(s, id, &p, err);

	if (r < 0)
		return r;
	if (evidence) {
		p.evidence_time = evidence->time;
		p.evidence_mask = evidence->pcrs->mask;
		take_pcrs(p.evidence, evidence->pcrs->values, evidence->pcrs->mask);
		snprintf(p.versions, sizeof(p.versions), "%s", evidence->versions);
		if (!p.quoted || quote_is_newer(evidence->quote, &p.quote))
			p.quote = *evidence->quote;
		p.quoted = true;
	}
	merge_verdict(&p, verdict, reason);
	return store_peer_put(s, &p, err);
}

/* What is shown of a peer's evidence, as one value: who says yes says it to this. */
static void shown_hash(const struct store_peer *p, uint8_t ret[HASH_LEN])
{
	struct digest d;

	digest_begin(&d, "kith-shown-v1");
	digest_field(&d, p->id, sizeof(p->id));
	digest_u64(&d, p->evidence_time);
	digest_u64(&d, p->evidence_mask);
	digest_field(&d, p->evidence, sizeof(p->evidence));
	digest_u64(&d, p->reference_mask);
	digest_field(&d, p->reference, sizeof(p->reference));
	digest_field(&d, p->versions, strlen(p->versions));
	digest_end(&d, ret);
}

static int check_acceptable(const struct store_peer *p, uint32_t required,
			    const uint8_t shown[HASH_LEN], struct kerr *err)
{
	struct pcr_set set = {.mask = p->evidence_mask};
	uint8_t hash[HASH_LEN];

	if (!p->evidence_mask || !p->evidence_time)
		return kerr_set(err, EAGAIN, KCODE_NOT_READY,
				"\"%s\" has not been measured yet, so there is nothing to accept.",
				p->name);
	/* Another TPM, a forged quote, less than is asked for: no measurement makes up for it. */
	if (p->verdict == VERDICT_UNTRUSTED && p->reason.code != KCODE_ATTEST_PCR)
		return kerr_set(err, EACCES, p->reason.code,
				"What \"%s\" measures is not why it is distrusted, so there is "
				"nothing to accept. %s",
				p->name, p->reason.text);
	shown_hash(p, hash);
	if (sodium_memcmp(hash, shown, sizeof(hash)) != 0)
		return kerr_set(err, ESTALE, KCODE_ATTEST_PCR,
				"\"%s\" proved something else since that was shown, so nothing was "
				"accepted. Look again: `kith trust %s`.",
				p->name, p->name);
	memcpy(set.values, p->evidence, sizeof(set.values));
	return evidence_covers(&set, required, err);
}

int store_peer_accept(struct store *s, const uint8_t id[DEVICE_ID_LEN], uint32_t required,
		      const uint8_t shown[HASH_LEN], struct kerr *err)
{
	struct store_peer p;
	int r = store_peer_get(s, id, &p, err);

	if (r < 0)
		return r;
	/* H1: never less than it was measured by, and nothing that can be reset. */
	required = (required | p.reference_mask) & ~PCR_MASK_RESETTABLE;
	r = check_acceptable(&p, required, shown, err);
	if (r < 0)
		return r;
	p.reference_mask = required;
	take_pcrs(p.reference, p.evidence, required);
	merge_verdict(&p, VERDICT_TRUSTED, NULL);
	return store_peer_put(s, &p, err);
}

int store_peer_set_receive(struct store *s, const uint8_t id[DEVICE_ID_LEN], bool on,
			   struct kerr *err)
{
	struct store_peer p;
	int r = store_peer_get(s, id, &p, err);

	if (r < 0)
		return r;
	if (p.own)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"\"%s\" is your own device: it may always send VMs here, as their "
				"policies allow.",
				p.name);
	p.receive = on;
	return store_peer_put(s, &p, err);
}

int store_peer_revoke(struct store *s, const uint8_t id[DEVICE_ID_LEN], struct kerr *err)
{
	int r = sql_change(s, err, "DELETE FROM peers WHERE id=?1", SQL_DEVICE(id));

	if (r == 0)
		r = sql_found(sqlite3_changes(s->db), &peer_table, err);
	return r < 0 ? r : sql_change(s, err, "INSERT INTO revoked VALUES(?1)", SQL_DEVICE(id));
}

int store_peer_is_revoked(struct store *s, const uint8_t id[DEVICE_ID_LEN])
{
	uint64_t n;
	int r = sql_number(s, NULL, &n, "SELECT count(*) FROM revoked WHERE id=?1", SQL_DEVICE(id));

	return r < 0 ? r : n > 0;
}

void store_peer_to_wire(const struct store_peer *p, struct policyd_peer *ret)
{
	*ret = (struct policyd_peer){.role = p->role,
				     .tier = p->tier,
				     .own = p->own,
				     .person_role = p->person_role,
				     .verdict = p->verdict,
				     .reason = p->reason,
				     .evidence_time = p->evidence_time,
				     .receive = p->own || p->receive};
	memcpy(ret->id, p->id, sizeof(ret->id));
	memcpy(ret->sign_pk, p->sign_pk, sizeof(ret->sign_pk));
	snprintf(ret->name, sizeof(ret->name), "%s", p->name);
	snprintf(ret->person, sizeof(ret->person), "%s", p->person);
}

/* A PCR that only one side has shows as zeros on the other. */
void store_peer_to_trust(const struct store_peer *p, struct policyd_trust *ret)
{
	*ret = (struct policyd_trust){.pcrs = p->reference_mask | p->evidence_mask};
	store_peer_to_wire(p, &ret->peer);
	take_pcrs(ret->now, p->evidence, p->evidence_mask);
	take_pcrs(ret->want, p->reference, p->reference_mask);
	snprintf(ret->versions, sizeof(ret->versions), "%s", p->versions);
	shown_hash(p, ret->hash);
}
