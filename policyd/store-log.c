/* SPDX-License-Identifier: Apache-2.0 */
/* The logs: two audits and the custody journal, each chained by hash and of a bounded length. */
#include <string.h>

#include "policyd/hash-chain.h"
#include "policyd/store-sql.h"

/* -- Records -- */

static void audit_row(struct sql *q, void *v)
{
	struct policyd_audit *a = v;

	ROW_U64(q, "seq", a->seq);
	ROW_U64(q, "time", a->time);
	ROW_FLAG(q, "allowed", a->allowed);
	ROW_TEXT(q, "person", a->person);
	ROW_TEXT(q, "device", a->device);
	ROW_TEXT(q, "vm", a->vm);
	ROW_TEXT(q, "action", a->action);
	ROW_NUMBER(q, "reason_code", a->reason.code, _KCODE_MAX);
	ROW_TEXT(q, "reason_text", a->reason.text);
	ROW_BYTES(q, "hash", a->hash);
}

#define AUDIT_TABLE(name)                                                                       \
	SQL_TABLE(name, "PRIMARY KEY(seq)", policyd_audit, audit_row, "audit record", KCODE_OK, \
		  NULL)
const struct sql_table audit_table = AUDIT_TABLE("audit");
const struct sql_table peer_audit_table = AUDIT_TABLE("peer_audit");

static void journal_row(struct sql *q, void *v)
{
	struct journal_entry *e = v;

	ROW_U64(q, "seq", e->seq);
	ROW_U64(q, "time", e->time);
	ROW_NUMBER(q, "record", e->record, 256);
	ROW_BYTES(q, "hid", e->hid);
	ROW_BYTES(q, "uuid", e->uuid);
	ROW_U64(q, "epoch", e->epoch);
	ROW_U64(q, "handoff_epoch", e->handoff_epoch);
	ROW_BYTES(q, "peer", e->peer);
	ROW_FLAG(q, "source", e->source);
	row_blob(q, "proof", e->proof, &e->proof_len, sizeof(e->proof));
	ROW_BYTES(q, "hash", e->hash);
}

const struct sql_table journal_table =
	SQL_TABLE("journal", "PRIMARY KEY(seq)", journal_entry, journal_row, "journal record",
		  KCODE_NOT_FOUND, "There is no hand-off with this number here.");

/* -- The logs -- */

static const struct {
	const struct hash_chain *chain;
	const struct sql_table *table;
	const char *name;
	uint64_t keep, prune; /* so many go at a time */
} logs[_STORE_LOG_MAX] = {
	[STORE_AUDIT] = {&audit_chain, &audit_table, "audit log", STORE_AUDIT_KEEP, 512},
	[STORE_PEER_AUDIT] = {&audit_chain, &peer_audit_table, "audit log", STORE_PEER_AUDIT_KEEP,
			      64},
	[STORE_JOURNAL] = {&journal_chain, &journal_table, "custody journal", STORE_JOURNAL_KEEP,
			   STORE_JOURNAL_PRUNE},
};

/* What is kept apart of a log, so that records cut off at either end are missed. */
struct log_ends {
	uint64_t log, kept;	/* `kept` records */
	struct chain_link base; /* the one before the oldest kept */
	struct chain_link head; /* the newest */
};

static void log_row(struct sql *q, void *v)
{
	struct log_ends *e = v;

	ROW_NUMBER(q, "log", e->log, _STORE_LOG_MAX);
	ROW_U64(q, "kept", e->kept);
	ROW_U64(q, "base_seq", e->base.seq);
	ROW_BYTES(q, "base_hash", e->base.hash);
	ROW_U64(q, "head_seq", e->head.seq);
	ROW_BYTES(q, "head_hash", e->head.hash);
}

const struct sql_table log_table =
	SQL_TABLE("logs", "PRIMARY KEY(log)", log_ends, log_row, "log", KCODE_OK, NULL);

/* Zeros where nothing was written yet. */
static int get_ends(struct store *s, enum store_log log, struct log_ends *ret, struct kerr *err)
{
	int r;

	*ret = (struct log_ends){.log = log};
	r = sql_get(s, err, &log_table, ret, "WHERE log=?1", SQL_U64(log));
	return r < 0 ? r : 0;
}

/* A query with the log's table in it. */
#define SQL_OF(log, head, tail) sql_of((char[160]){0}, log, head, tail)
static const char *sql_of(char buf[160], enum store_log log, const char *head, const char *tail)
{
	snprintf(buf, 160, "%s %s %s", head, logs[log].table->name, tail);
	return buf;
}

/* Records beyond the limit go, but none from `held` on. The hash of the newest that went keeps the
 * chain verifiable. */
static int prune(struct store *s, struct log_ends *ends, uint64_t held, struct kerr *err)
{
	enum store_log log = (enum store_log)ends->log;
	uint64_t last;
	size_t len;
	int r;

	if (ends->kept <= logs[log].keep + logs[log].prune)
		return 0;
	r = sql_number(s, err, &last,
		       SQL_OF(log, "SELECT max(seq) FROM (SELECT seq FROM",
			      "ORDER BY seq DESC LIMIT -1 OFFSET ?1) WHERE ?2=0 OR seq<?2"),
		       SQL_U64(logs[log].keep), SQL_U64(held));
	if (r < 0 || !last)
		return r;
	ends->base.seq = last;
	r = sql_blob(s, err, ends->base.hash, HASH_LEN, &len,
		     SQL_OF(log, "SELECT hash FROM", "WHERE seq=?1"), SQL_U64(last));
	if (r > 0)
		r = sql_change(s, err, SQL_OF(log, "DELETE FROM", "WHERE seq<=?1"), SQL_U64(last));
	ends->kept -= (uint64_t)sqlite3_changes(s->db);
	return r;
}

int store_log_append(struct store *s, enum store_log log, void *record, uint64_t held,
		     struct kerr *err)
{
	struct log_ends ends;
	uint64_t newest = 0;
	int r = get_ends(s, log, &ends, err);

	/* Both audits have one numbering. */
	if (r == 0)
		r = sql_number(s, err, &newest, "SELECT max(head_seq) FROM logs WHERE (log=?1)=?2",
			       SQL_U64(STORE_JOURNAL), SQL_U64(log == STORE_JOURNAL));
	if (r < 0)
		return r;
	if (chain_append(logs[log].chain, &ends.head, newest + 1, record) < 0)
		return kerr_set(err, EINVAL, KCODE_FAILED,
				"The %s has an impossible name or value.", logs[log].table->what);
	ends.kept++;
	r = sql_put(s, err, logs[log].table, "INSERT", record);
	if (r == 0)
		r = prune(s, &ends, held, err);
	return r < 0 ? r : sql_put(s, err, &log_table, "INSERT OR REPLACE", &ends);
}

static int verify(struct store *s, enum store_log log, struct log_ends *ends, struct kerr *err)
{
	_cleanup_free_ void *list = NULL;
	struct chain_link at;
	size_t n;
	int r = get_ends(s, log, ends, err);

	if (r == 0)
		r = sql_list(s, err, logs[log].table, &list, &n, "ORDER BY seq");
	if (r < 0)
		return r;
	at = ends->base;
	/* Where all hold that are there, the newest may be missing. */
	if (chain_follow(logs[log].chain, &at, list, n) == 0 &&
	    memcmp(&at, &ends->head, sizeof(at)) == 0)
		return 0;
	return kerr_set(err, EBADMSG, KCODE_FAILED,
			"The %s was changed: what follows record %llu does not fit the chain.",
			logs[log].name, (unsigned long long)at.seq);
}

int store_log_verify(struct store *s, enum store_log log, struct kerr *err)
{
	struct log_ends ends;

	return verify(s, log, &ends, err);
}

int store_verify(struct store *s, struct kerr *err)
{
	int r = sql_usable(s, err);

	if (r == 0 && sql_schema_check(s->db) < 0)
		return store_refuse_damaged(err);
	for (int log = 0; r == 0 && log < _STORE_LOG_MAX; log++)
		r = store_log_verify(s, (enum store_log)log, err);
	return r;
}

/* -- Audit -- */

int store_audit_append(struct store *s, enum store_log log, struct policyd_audit *record,
		       struct kerr *err)
{
	int r = store_room(s, sizeof(*record), err);

	return r < 0 ? r : store_log_append(s, log, record, 0, err);
}

int store_audit_verify(struct store *s, enum store_log log, struct policyd_audit_log *ret,
		       struct kerr *err)
{
	struct log_ends ends;
	int r = verify(s, log, &ends, err);

	if (r < 0)
		return r;
	ret->kept = ends.kept;
	ret->last = ends.head.seq;
	memcpy(ret->head, ends.head.hash, HASH_LEN);
	return sql_number(s, err, &ret->first,
			  SQL_OF(log, "SELECT coalesce(min(seq), 0) FROM", ""));
}

int store_audit_list(struct store *s, uint64_t from, size_t max, struct policyd_audit **ret,
		     size_t *ret_n, struct kerr *err)
{
	static const struct sql_table both =
		AUDIT_TABLE("(SELECT * FROM audit UNION ALL SELECT * FROM peer_audit)");

	return sql_list(s, err, &both, ret, ret_n, "WHERE seq>=?1 ORDER BY seq LIMIT ?2",
			SQL_U64(MIN_OF(from, (uint64_t)INT64_MAX)),
			SQL_U64(MIN_OF(max, (size_t)2 * STORE_AUDIT_KEEP)));
}
