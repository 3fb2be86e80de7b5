/* SPDX-License-Identifier: Apache-2.0 */
/* Audit records, and the requests of people that wait for their hand-off. */
#include "policyd/audit.h"

#include <string.h>

#include "policyd/store-sql.h"

/* -- Audit -- */

static const struct {
	const char *base, *head;
	uint64_t keep, prune; /* so many go at a time */
} kinds[_AUDIT_KIND_MAX] = {
	[AUDIT_OWN] = {STORE_AUDIT_BASE, STORE_AUDIT_HEAD, STORE_AUDIT_KEEP, 512},
	[AUDIT_PEER] = {STORE_PEER_AUDIT_BASE, STORE_PEER_AUDIT_HEAD, STORE_PEER_AUDIT_KEEP, 64},
};

/* Oldest records beyond the limit go, many at a time; the anchor keeps the chain verifiable. */
static int prune(struct store *s, enum audit_kind kind, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	struct store_anchor base;
	struct sql_row row;
	uint64_t n;
	int r = sql_number(s, "SELECT count(*) FROM audit WHERE kind=?1", SQL_ARGS(SQL_U64(kind)),
			   &n, err);

	if (r < 0 || n <= kinds[kind].keep + kinds[kind].prune)
		return r;
	r = sql_query(s,
		      "SELECT seq, hash FROM audit WHERE kind=?1 ORDER BY seq DESC LIMIT 1 OFFSET "
		      "?2",
		      SQL_ARGS(SQL_U64(kind), SQL_U64(kinds[kind].keep)), &stmt, err);
	if (r == 0)
		r = sql_step(s, stmt, err);
	if (r <= 0)
		return r < 0 ? r : kerr_set(err, EBADMSG, KCODE_FAILED, "The audit log has a gap.");
	row = sql_row(stmt);
	base.seq = sql_row_u64(&row);
	sql_row_bytes(&row, base.hash, HASH_LEN);
	r = sql_row_end(&row, err);
	if (r == 0)
		r = store_anchor_set(s, kinds[kind].base, &base, err);
	if (r == 0)
		r = sql_change(s, "DELETE FROM audit WHERE kind=?1 AND seq<=?2",
			       SQL_ARGS(SQL_U64(kind), SQL_U64(base.seq)), err);
	return r;
}

/* The head of one chain, and the number after the newest of both. */
static int find_head(struct store *s, enum audit_kind kind, struct store_anchor *ret,
		     uint64_t *ret_next, struct kerr *err)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct store_anchor head;
		int r = store_anchor_get(s, kinds[i].head, &head, err);

		if (r < 0)
			return r;
		if (head.seq > newest)
			newest = head.seq;
		if (i == kind)
			*ret = head;
	}
	*ret_next = newest + 1;
	return 0;
}

int store_audit_append(struct store *s, enum audit_kind kind, struct policyd_audit *record,
		       struct kerr *err)
{
	struct policyd_audit a = *record;
	struct store_anchor head = {0};
	int r = find_head(s, kind, &head, &a.seq, err);

	if (r < 0)
		return r;
	if (audit_hash(head.hash, &a, a.hash) < 0)
		return kerr_set(err, EINVAL, KCODE_FAILED,
				"An audit record has an impossible name or value.");
	r = store_room(s, sizeof(a), err);
	if (r == 0)
		r = sql_change(s,
			       "INSERT INTO audit(seq, kind, time, allowed, person, device, vm,"
			       " action, reason_code, reason_text, prev, hash)"
			       " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
			       SQL_ARGS(SQL_U64(a.seq), SQL_U64(kind), SQL_U64(a.time),
					SQL_U64(a.allowed), SQL_TEXT(a.person), SQL_TEXT(a.device),
					SQL_TEXT(a.vm), SQL_TEXT(a.action), SQL_U64(a.reason.code),
					SQL_TEXT(a.reason.text), SQL_BLOB(head.hash, HASH_LEN),
					SQL_BLOB(a.hash, HASH_LEN)),
			       err);
	if (r < 0)
		return r;
	head.seq = a.seq;
	memcpy(head.hash, a.hash, HASH_LEN);
	r = store_anchor_set(s, kinds[kind].head, &head, err);
	if (r == 0)
		r = prune(s, kind, err);
	if (r < 0)
		return r;
	*record = a;
	return 0;
}

static int read_audit(sqlite3_stmt *stmt, struct policyd_audit *ret, struct kerr *err)
{
	struct sql_row r = sql_row(stmt);

	ret->seq = sql_row_u64(&r);
	ret->time = sql_row_u64(&r);
	ret->allowed = sql_row_bool(&r);
	sql_row_text(&r, ret->person, sizeof(ret->person));
	sql_row_text(&r, ret->device, sizeof(ret->device));
	sql_row_text(&r, ret->vm, sizeof(ret->vm));
	sql_row_text(&r, ret->action, sizeof(ret->action));
	ret->reason.code = (enum kcode)sql_row_enum(&r, _KCODE_MAX);
	sql_row_text(&r, ret->reason.text, sizeof(ret->reason.text));
	sql_row_bytes(&r, ret->hash, sizeof(ret->hash));
	return sql_row_end(&r, err);
}

#define AUDIT_SELECT                                                                             \
	"SELECT seq, time, allowed, person, device, vm, action, reason_code, reason_text, hash " \
	"FROM audit"

static int list_audit(struct store *s, const char *sql, const struct sql_arg *args, size_t n_args,
		      struct policyd_audit **ret, size_t *ret_n, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	_cleanup_free_ void *list = NULL;
	size_t n = 0;
	int r = sql_query(s, sql, args, n_args, &stmt, err);

	if (r < 0)
		return r;
	while ((r = sql_step(s, stmt, err)) > 0) {
		struct policyd_audit *a = sql_list_grow(&list, &n, sizeof(*a));

		if (!a)
			return kerr_set(err, ENOMEM, KCODE_FAILED, "There is no memory left.");
		r = read_audit(stmt, a, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

int store_audit_list(struct store *s, uint64_t from, size_t max, struct policyd_audit **ret,
		     size_t *ret_n, struct kerr *err)
{
	return list_audit(s, AUDIT_SELECT " WHERE seq>=?1 ORDER BY seq LIMIT ?2",
			  SQL_ARGS(SQL_U64(MIN_OF(from, (uint64_t)INT64_MAX)),
				   SQL_U64(MIN_OF(max, (size_t)2 * STORE_AUDIT_KEEP))),
			  ret, ret_n, err);
}

/* `seq` is the last record of its chain that holds; the numbers of the other chain are left out. */
static int broken_link(struct store *s, uint64_t seq, enum audit_kind kind, uint64_t *ret_seq,
		       struct kerr *err)
{
	uint64_t others;

	do {
		seq++;
	} while (sql_number(s, "SELECT count(*) FROM audit WHERE seq=?1 AND kind<>?2",
			    SQL_ARGS(SQL_U64(seq), SQL_U64(kind)), &others, NULL) == 0 &&
		 others);
	*ret_seq = seq;
	return kerr_set(err, EBADMSG, KCODE_FAILED,
			"The audit log was changed: record %llu does not fit the chain.",
			(unsigned long long)seq);
}

static int verify_kind(struct store *s, enum audit_kind kind, uint64_t *ret_seq, struct kerr *err)
{
	_cleanup_free_ struct policyd_audit *list = NULL;
	struct store_anchor base, head;
	uint64_t last;
	size_t n, at;
	int r;

	r = store_anchor_get(s, kinds[kind].base, &base, err);
	if (r == 0)
		r = store_anchor_get(s, kinds[kind].head, &head, err);
	if (r == 0)
		r = list_audit(s, AUDIT_SELECT " WHERE kind=?1 ORDER BY seq",
			       SQL_ARGS(SQL_U64(kind)), &list, &n, err);
	if (r < 0)
		return r;
	if (audit_verify(base.hash, list, n, &at) < 0)
		return broken_link(s, at ? list[at - 1].seq : base.seq, kind, ret_seq, err);
	/* Records that were cut off at the end. */
	last = n ? list[n - 1].seq : base.seq;
	if (last != head.seq || memcmp(n ? list[n - 1].hash : base.hash, head.hash, HASH_LEN) != 0)
		return broken_link(s, last, kind, ret_seq, err);
	return 0;
}

int store_audit_verify(struct store *s, uint64_t *ret_seq, struct kerr *err)
{
	uint64_t n;
	int r = sql_number(s, "SELECT count(*) FROM audit WHERE kind>=?1",
			   SQL_ARGS(SQL_U64(_AUDIT_KIND_MAX)), &n, err);

	*ret_seq = 0;
	if (r == 0 && n)
		r = kerr_set(err, EBADMSG, KCODE_FAILED, "The audit log has a foreign record.");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++)
		r = verify_kind(s, (enum audit_kind)i, ret_seq, err);
	return r;
}

/* -- Requests -- */

int store_request_put(struct store *s, const struct store_request *q, struct kerr *err)
{
	uint64_t used, n;
	int r;

	r = sql_number(s,
		       "SELECT (SELECT count(*) FROM requests WHERE hid=?1) +"
		       " (SELECT count(*) FROM journal WHERE hid=?1)",
		       SQL_ARGS(SQL_BLOB(q->hid, HID_LEN)), &used, err);
	if (r == 0)
		r = sql_number(s, "SELECT count(*) FROM requests", NULL, 0, &n, err);
	if (r < 0)
		return r;
	if (used)
		return kerr_set(err, EEXIST, KCODE_EXISTS, "This hand-off number was used before.");
	if (n >= STORE_REQUESTS_MAX)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"%d requests wait for their hand-off already. Try again later.",
				STORE_REQUESTS_MAX);
	r = store_room(s, sizeof(*q), err);
	if (r < 0)
		return r;
	return sql_change(s,
			  "INSERT INTO requests(hid, uuid, device, person, time, abort)"
			  " VALUES(?1,?2,?3,?4,?5,?6)",
			  SQL_ARGS(SQL_BLOB(q->hid, HID_LEN), SQL_BLOB(q->uuid, UUID_LEN),
				   SQL_BLOB(q->device, DEVICE_ID_LEN), SQL_TEXT(q->person),
				   SQL_U64(q->time), SQL_U64(q->abort)),
			  err);
}

#define REQUEST_SELECT "SELECT hid, uuid, device, person, time, abort FROM requests"

static int read_request(sqlite3_stmt *stmt, struct store_request *ret, struct kerr *err)
{
	struct sql_row r = sql_row(stmt);

	sql_row_bytes(&r, ret->hid, sizeof(ret->hid));
	sql_row_bytes(&r, ret->uuid, sizeof(ret->uuid));
	sql_row_bytes(&r, ret->device, sizeof(ret->device));
	sql_row_text(&r, ret->person, sizeof(ret->person));
	ret->time = sql_row_u64(&r);
	ret->abort = sql_row_bool(&r);
	return sql_row_end(&r, err);
}

static int no_request(struct kerr *err)
{
	return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "There is no request with this number.");
}

int store_request_get(struct store *s, const uint8_t hid[HID_LEN], struct store_request *ret,
		      struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	struct store_request q = {0};
	int r = sql_query(s, REQUEST_SELECT " WHERE hid=?1", SQL_ARGS(SQL_BLOB(hid, HID_LEN)),
			  &stmt, err);

	if (r == 0)
		r = sql_step(s, stmt, err);
	if (r == 0)
		return no_request(err);
	if (r > 0)
		r = read_request(stmt, &q, err);
	if (r < 0)
		return r;
	*ret = q;
	return 0;
}

int store_request_delete(struct store *s, const uint8_t hid[HID_LEN], struct kerr *err)
{
	int r = sql_change(s, "DELETE FROM requests WHERE hid=?1", SQL_ARGS(SQL_BLOB(hid, HID_LEN)),
			   err);

	return r < 0 || sqlite3_changes(s->db) ? r : no_request(err);
}

int store_request_expire(struct store *s, uint64_t before, struct kerr *err)
{
	uint64_t n;
	int r;

	before = MIN_OF(before, (uint64_t)INT64_MAX);
	/* Nothing to do changes nothing: the caller calls often. */
	r = sql_number(s,
		       "SELECT count(*) FROM requests WHERE time<?1 AND hid NOT IN"
		       " (SELECT hid FROM custody WHERE hid IS NOT NULL)",
		       SQL_ARGS(SQL_U64(before)), &n, err);
	if (r < 0 || n == 0)
		return r;
	r = sql_change(s,
		       "DELETE FROM requests WHERE time<?1 AND hid NOT IN"
		       " (SELECT hid FROM custody WHERE hid IS NOT NULL)",
		       SQL_ARGS(SQL_U64(before)), err);
	return r < 0 ? r : (int)n;
}
