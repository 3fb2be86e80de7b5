/* SPDX-License-Identifier: Apache-2.0 */
/* The paired devices with the trust table, and the policies of VMs. */
#include <sodium.h>
#include <string.h>

#include "attest/wire.h"
#include "policyd/store-sql.h"

/* -- Peers -- */

#define PEER_COLUMNS                                                                           \
	"id, sign_pk, name, role, tier, own, person, person_role, owner_pk, ak_public,"        \
	" ek_hash, record, reference_mask, reference, evidence_time, evidence_mask, evidence," \
	" versions, verdict, reason_code, reason_text, receive, quoted, quote_clock,"          \
	" quote_resets, quote_restarts, quote_safe, quote_signer"

static int read_peer(sqlite3_stmt *stmt, struct store_peer *ret, struct kerr *err)
{
	struct sql_row r = sql_row(stmt);

	*ret = (struct store_peer){0};
	sql_row_bytes(&r, ret->id, sizeof(ret->id));
	sql_row_bytes(&r, ret->sign_pk, sizeof(ret->sign_pk));
	sql_row_text(&r, ret->name, sizeof(ret->name));
	ret->role = (enum device_role)sql_row_enum(&r, _DEVICE_ROLE_MAX);
	ret->tier = (enum tpm_tier)sql_row_enum(&r, _TPM_TIER_MAX);
	ret->own = sql_row_bool(&r);
	sql_row_text(&r, ret->person, sizeof(ret->person));
	ret->person_role = (enum person_role)sql_row_enum(&r, _PERSON_ROLE_MAX);
	sql_row_bytes(&r, ret->owner_pk, sizeof(ret->owner_pk));
	sql_row_blob(&r, ret->ak_public, sizeof(ret->ak_public), &ret->ak_public_len);
	sql_row_bytes(&r, ret->ek_hash, sizeof(ret->ek_hash));
	sql_row_blob(&r, ret->record, sizeof(ret->record), &ret->record_len);
	ret->reference_mask = (uint32_t)sql_row_enum(&r, 1u << PCR_COUNT);
	sql_row_bytes(&r, ret->reference, sizeof(ret->reference));
	ret->evidence_time = sql_row_u64(&r);
	ret->evidence_mask = (uint32_t)sql_row_enum(&r, 1u << PCR_COUNT);
	sql_row_bytes(&r, ret->evidence, sizeof(ret->evidence));
	sql_row_text(&r, ret->versions, sizeof(ret->versions));
	ret->verdict = (enum verdict)sql_row_enum(&r, _VERDICT_MAX);
	ret->reason.code = (enum kcode)sql_row_enum(&r, _KCODE_MAX);
	sql_row_text(&r, ret->reason.text, sizeof(ret->reason.text));
	ret->receive = sql_row_bool(&r);
	ret->quoted = sql_row_bool(&r);
	ret->quote.clock = sql_row_u64(&r);
	ret->quote.reset_count = (uint32_t)sql_row_u64(&r);
	ret->quote.restart_count = (uint32_t)sql_row_u64(&r);
	ret->quote.safe = sql_row_bool(&r);
	sql_row_bytes(&r, ret->quote.signer, sizeof(ret->quote.signer));
	return sql_row_end(&r, err);
}

static int check_peer(const struct store_peer *p, struct kerr *err)
{
	if (text_is_name(p->name, NAME_MAX_LEN) && text_is_name(p->person, NAME_MAX_LEN) &&
	    (unsigned)p->role < _DEVICE_ROLE_MAX && (unsigned)p->tier < _TPM_TIER_MAX &&
	    (unsigned)p->person_role < _PERSON_ROLE_MAX && (unsigned)p->verdict < _VERDICT_MAX &&
	    (unsigned)p->reason.code < _KCODE_MAX && !(p->reference_mask >> PCR_COUNT) &&
	    !(p->evidence_mask >> PCR_COUNT) && p->ak_public_len <= sizeof(p->ak_public) &&
	    p->record_len <= sizeof(p->record))
		return 0;
	return kerr_set(err, EINVAL, KCODE_BAD_MESSAGE,
			"The other device's record has an impossible name or value.");
}

/* A name is a person's only handle of a device: no second peer may have it. */
static int check_room(struct store *s, const struct store_peer *p, struct kerr *err)
{
	uint64_t n;
	int r;

	r = sql_number(s, "SELECT count(*) FROM peers WHERE name=?1 AND id<>?2 AND revoked=0",
		       SQL_ARGS(SQL_TEXT(p->name), SQL_BLOB(p->id, DEVICE_ID_LEN)), &n, err);
	if (r < 0)
		return r;
	if (n)
		return kerr_set(err, EEXIST, KCODE_EXISTS,
				"Another paired device is called \"%s\" already. Rename one of "
				"them, or forget the old one, then pair again.",
				p->name);
	r = sql_number(s, "SELECT count(*) FROM peers WHERE id<>?1 AND revoked=0",
		       SQL_ARGS(SQL_BLOB(p->id, DEVICE_ID_LEN)), &n, err);
	if (r < 0)
		return r;
	if (n >= STORE_PEERS_MAX)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"This device is paired with %d others, which is the most it can "
				"be. Forget one first.",
				STORE_PEERS_MAX);
	/* What is learnt about a known one always has room. */
	r = sql_number(s, "SELECT count(*) FROM peers WHERE id=?1",
		       SQL_ARGS(SQL_BLOB(p->id, DEVICE_ID_LEN)), &n, err);
	return r < 0 || n ? r : store_room(s, sizeof(*p), err);
}

int store_peer_put(struct store *s, const struct store_peer *p, struct kerr *err)
{
	int r = check_peer(p, err);

	if (r == 0)
		r = check_room(s, p, err);
	if (r < 0)
		return r;
	return sql_change(
		s,
		"INSERT OR REPLACE INTO peers(" PEER_COLUMNS ", revoked)"
		" VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,"
		"?21,?22,?23,?24,?25,?26,?27,?28,0)",
		SQL_ARGS(SQL_BLOB(p->id, sizeof(p->id)), SQL_BLOB(p->sign_pk, sizeof(p->sign_pk)),
			 SQL_TEXT(p->name), SQL_U64(p->role), SQL_U64(p->tier), SQL_U64(p->own),
			 SQL_TEXT(p->person), SQL_U64(p->person_role),
			 SQL_BLOB(p->owner_pk, sizeof(p->owner_pk)),
			 SQL_BLOB(p->ak_public, p->ak_public_len),
			 SQL_BLOB(p->ek_hash, sizeof(p->ek_hash)),
			 SQL_BLOB(p->record, p->record_len), SQL_U64(p->reference_mask),
			 SQL_BLOB(p->reference, sizeof(p->reference)), SQL_U64(p->evidence_time),
			 SQL_U64(p->evidence_mask), SQL_BLOB(p->evidence, sizeof(p->evidence)),
			 SQL_TEXT(p->versions), SQL_U64(p->verdict), SQL_U64(p->reason.code),
			 SQL_TEXT(p->reason.text), SQL_U64(p->receive), SQL_U64(p->quoted),
			 SQL_U64(MIN_OF(p->quote.clock, (uint64_t)INT64_MAX)),
			 SQL_U64(p->quote.reset_count), SQL_U64(p->quote.restart_count),
			 SQL_U64(p->quote.safe != 0),
			 SQL_BLOB(p->quote.signer, sizeof(p->quote.signer))),
		err);
}

static int find_peer(struct store *s, const char *sql, const struct sql_arg *args, size_t n,
		     struct store_peer *ret, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	struct store_peer p;
	int r = sql_query(s, sql, args, n, &stmt, err);

	if (r == 0)
		r = sql_step(s, stmt, err);
	if (r == 0)
		return kerr_set(err, ENOENT, KCODE_PEER_UNKNOWN,
				"That device is not paired with this one.");
	if (r > 0)
		r = read_peer(stmt, &p, err);
	if (r < 0)
		return r;
	*ret = p;
	return 0;
}

int store_peer_get(struct store *s, const uint8_t id[DEVICE_ID_LEN], struct store_peer *ret,
		   struct kerr *err)
{
	return find_peer(s, "SELECT " PEER_COLUMNS " FROM peers WHERE id=?1 AND revoked=0",
			 SQL_ARGS(SQL_BLOB(id, DEVICE_ID_LEN)), ret, err);
}

int store_peer_by_name(struct store *s, const char *name, struct store_peer *ret, struct kerr *err)
{
	return find_peer(s, "SELECT " PEER_COLUMNS " FROM peers WHERE name=?1 AND revoked=0",
			 SQL_ARGS(SQL_TEXT(name)), ret, err);
}

int store_peer_list(struct store *s, struct store_peer **ret, size_t *ret_n, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	_cleanup_free_ void *list = NULL;
	size_t n = 0;
	int r;

	r = sql_query(s, "SELECT " PEER_COLUMNS " FROM peers WHERE revoked=0 ORDER BY name", NULL,
		      0, &stmt, err);
	if (r < 0)
		return r;
	while ((r = sql_step(s, stmt, err)) > 0) {
		struct store_peer *p = sql_list_grow(&list, &n, sizeof(*p));

		if (!p)
			return kerr_set(err, ENOMEM, KCODE_FAILED, "There is no memory left.");
		r = read_peer(stmt, p, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
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
	for (unsigned i = 0; i < PCR_COUNT; i++)
		if (mask & 1u << i)
			memcpy(to[i], from[i], HASH_LEN);
		else
			memset(to[i], 0, HASH_LEN);
}

int store_peer_set_evidence(struct store *s, const uint8_t id[DEVICE_ID_LEN],
			    const struct store_evidence *evidence, enum verdict verdict,
			    const struct kerr *reason, struct kerr *err)
{
	struct store_peer p;
	int r = store_peer_get(s, id, &p, err);

	if (r < 0)
		return r;
	p.evidence_time = evidence->time;
	p.evidence_mask = evidence->pcrs->mask;
	take_pcrs(p.evidence, evidence->pcrs->values, evidence->pcrs->mask);
	snprintf(p.versions, sizeof(p.versions), "%s", evidence->versions);
	if (!p.quoted || quote_is_newer(evidence->quote, &p.quote))
		p.quote = *evidence->quote;
	p.quoted = true;
	merge_verdict(&p, verdict, reason);
	return store_peer_put(s, &p, err);
}

int store_peer_set_verdict(struct store *s, const uint8_t id[DEVICE_ID_LEN], enum verdict verdict,
			   const struct kerr *reason, struct kerr *err)
{
	struct store_peer p;
	int r = store_peer_get(s, id, &p, err);

	if (r < 0)
		return r;
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
	struct store_peer p;
	int r = store_peer_get(s, id, &p, err);

	if (r < 0)
		return r;
	return sql_change(s,
			  "UPDATE peers SET revoked=1, verdict=?2, reason_code=?3, reason_text='',"
			  " ak_public=x'', record=x'', reference_mask=0, evidence_mask=0,"
			  " evidence_time=0, versions='' WHERE id=?1",
			  SQL_ARGS(SQL_BLOB(id, DEVICE_ID_LEN), SQL_U64(VERDICT_UNTRUSTED),
				   SQL_U64(KCODE_PEER_UNKNOWN)),
			  err);
}

int store_peer_is_revoked(struct store *s, const uint8_t id[DEVICE_ID_LEN])
{
	uint64_t n;
	int r = sql_number(s, "SELECT count(*) FROM peers WHERE id=?1 AND revoked=1",
			   SQL_ARGS(SQL_BLOB(id, DEVICE_ID_LEN)), &n, NULL);

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
	for (unsigned i = 0; i < PCR_COUNT; i++) {
		if (p->evidence_mask & 1u << i)
			memcpy(ret->now[i], p->evidence[i], HASH_LEN);
		if (p->reference_mask & 1u << i)
			memcpy(ret->want[i], p->reference[i], HASH_LEN);
	}
	snprintf(ret->versions, sizeof(ret->versions), "%s", p->versions);
	shown_hash(p, ret->hash);
}

/* -- Policies -- */

void store_policy_clear(struct store_policy *p)
{
	free(p->text);
	free(p->compiled);
	*p = (struct store_policy){0};
}

static int copy_blob(sqlite3_stmt *stmt, int column, uint8_t **ret, size_t *ret_len)
{
	const void *data = sqlite3_column_blob(stmt, column);
	size_t len = (size_t)sqlite3_column_bytes(stmt, column);
	uint8_t *copy;

	if (len > STORE_POLICY_MAX)
		return -EBADMSG;
	copy = calloc(1, len + 1);
	if (!copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, data, len);
	*ret = copy;
	*ret_len = len;
	return 0;
}

static int read_policy(sqlite3_stmt *stmt, struct store_policy *ret, struct kerr *err)
{
	_cleanup_(store_policy_clear) struct store_policy p = {0};
	_cleanup_free_ uint8_t *text = NULL;
	struct sql_row r = sql_row(stmt);
	int e;

	sql_row_bytes(&r, p.uuid, sizeof(p.uuid));
	sql_row_text(&r, p.name, sizeof(p.name));
	p.version = sql_row_u64(&r);
	sql_row_bytes(&r, p.owner_pk, sizeof(p.owner_pk));
	sql_row_bytes(&r, p.signature, sizeof(p.signature));
	e = sql_row_end(&r, err);
	if (e < 0)
		return e;
	e = copy_blob(stmt, r.column, &text, &p.text_len);
	if (e == 0)
		e = copy_blob(stmt, r.column + 1, &p.compiled, &p.compiled_len);
	if (e < 0)
		return kerr_set(err, -e, KCODE_FAILED, "The policy could not be read: %s.",
				strerror(-e));
	p.text = (char *)TAKE_PTR(text);
	*ret = p;
	p.text = NULL;
	p.compiled = NULL;
	return 0;
}

int store_policy_get(struct store *s, const uint8_t uuid[UUID_LEN], struct store_policy *ret,
		     struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_query(s,
		      "SELECT uuid, name, version, owner_pk, signature, text, compiled"
		      " FROM policies WHERE uuid=?1",
		      SQL_ARGS(SQL_BLOB(uuid, UUID_LEN)), &stmt, err);
	if (r == 0)
		r = sql_step(s, stmt, err);
	if (r == 0)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "This VM has no policy yet.");
	return r < 0 ? r : read_policy(stmt, ret, err);
}

int store_policy_version(struct store *s, const uint8_t uuid[UUID_LEN], uint64_t *ret,
			 struct kerr *err)
{
	return sql_number(s, "SELECT version FROM policies WHERE uuid=?1",
			  SQL_ARGS(SQL_BLOB(uuid, UUID_LEN)), ret, err);
}

static bool same_policy(const struct store_policy *a, const struct store_policy *b)
{
	return strcmp(a->name, b->name) == 0 && a->compiled_len == b->compiled_len &&
	       a->text_len == b->text_len &&
	       (!a->compiled_len || memcmp(a->compiled, b->compiled, a->compiled_len) == 0) &&
	       (!a->text_len || memcmp(a->text, b->text, a->text_len) == 0);
}

int store_policy_check(struct store *s, const struct store_policy *p, struct kerr *err)
{
	_cleanup_(store_policy_clear) struct store_policy old = {0};
	struct kerr ignored = {0};
	int r;

	if (!text_is_name(p->name, NAME_MAX_LEN) || p->version == 0 ||
	    p->text_len > STORE_POLICY_MAX || p->compiled_len > STORE_POLICY_MAX)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"The policy is too long, or has no name or version.");
	r = store_policy_get(s, p->uuid, &old, &ignored);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return kerr_set(err, -r, ignored.code, "%s", ignored.text);
	if (memcmp(old.owner_pk, p->owner_pk, SIGN_PK_LEN) != 0)
		return kerr_set(err, EPERM, KCODE_IDENTITY,
				"The VM \"%s\" belongs to another owner; only that owner can give "
				"it a policy.",
				old.name);
	if (p->version == old.version && same_policy(p, &old))
		return 1;
	if (p->version <= old.version)
		return kerr_set(err, ESTALE, KCODE_ROLLBACK,
				"This policy of the VM \"%s\" is version %llu, but this device has "
				"version %llu already.",
				old.name, (unsigned long long)p->version,
				(unsigned long long)old.version);
	return 0;
}

int store_policy_put(struct store *s, const struct store_policy *p, struct kerr *err)
{
	int r = store_policy_check(s, p, err);

	if (r > 0)
		return 0;
	if (r == 0)
		r = store_room(s, p->text_len + p->compiled_len, err);
	if (r < 0)
		return r;
	return sql_change(s,
			  "INSERT OR REPLACE INTO policies"
			  "(uuid, name, version, owner_pk, signature, text, compiled)"
			  " VALUES(?1,?2,?3,?4,?5,?6,?7)",
			  SQL_ARGS(SQL_BLOB(p->uuid, UUID_LEN), SQL_TEXT(p->name),
				   SQL_U64(p->version), SQL_BLOB(p->owner_pk, SIGN_PK_LEN),
				   SQL_BLOB(p->signature, SIGN_LEN), SQL_BLOB(p->text, p->text_len),
				   SQL_BLOB(p->compiled, p->compiled_len)),
			  err);
}
