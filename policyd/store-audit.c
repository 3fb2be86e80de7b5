/* SPDX-License-Identifier: Apache-2.0 */
/* Audit records, and the requests of people that wait for their hand-off. */
#include "policyd/audit.h"

#include <string.h>

#include "policyd/store-sql.h"

/* -- Audit -- */

/* Oldest records beyond the limit go, many at a time; the anchor keeps the chain verifiable. */
#define AUDIT_PRUNE 512

static int prune(struct store *s, uint64_t newest, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	struct store_anchor base;
	struct sql_row row;
	int r;

	r = store_anchor_get(s, STORE_AUDIT_BASE, &base, err);
	if (r < 0 || newest - base.seq <= STORE_AUDIT_KEEP + AUDIT_PRUNE)
		return r;
	base.seq = newest - STORE_AUDIT_KEEP;
	r = sql_query(s, "SELECT hash FROM audit WHERE seq=?1", SQL_ARGS(SQL_U64(base.seq)), &stmt,
		      err);
	if (r == 0)
		r = sql_step(s, stmt, err);
	if (r <= 0)
		return r < 0 ? r : kerr_set(err, EBADMSG, KCODE_FAILED, "The audit log has a gap.");
	row = sql_row(stmt);
	sql_row_bytes(&row, base.hash, HASH_LEN);
	r = sql_row_end(&row, err);
	if (r == 0)
		r = store_anchor_set(s, STORE_AUDIT_BASE, &base, err);
	if (r == 0)
		r = sql_change(s, "DELETE FROM audit WHERE seq<=?1", SQL_ARGS(SQL_U64(base.seq)),
			       err);
	return r;
}

int store_audit_append(struct store *s, struct policyd_audit *record, struct kerr *err)
{
	struct policyd_audit a = *record;
	struct store_anchor head;
	int r = store_anchor_get(s, STORE_AUDIT_HEAD, &head, err);

	if (r < 0)
		return r;
	a.seq = head.seq + 1;
	if (audit_hash(head.hash, &a, a.hash) < 0)
		return kerr_set(err, EINVAL, KCODE_FAILED,
				"An audit record has an impossible name or value.");
	r = sql_change(s,
		       "INSERT INTO audit(seq, time, allowed, person, device, vm, action,"
		       " reason_code, reason_text, prev, hash)"
		       " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
		       SQL_ARGS(SQL_U64(a.seq), SQL_U64(a.time), SQL_U64(a.allowed),
				SQL_TEXT(a.person), SQL_TEXT(a.device), SQL_TEXT(a.vm),
				SQL_TEXT(a.action), SQL_U64(a.reason.code), SQL_TEXT(a.reason.text),
				SQL_BLOB(head.hash, HASH_LEN), SQL_BLOB(a.hash, HASH_LEN)),
		       err);
	if (r < 0)
		return r;
	head.seq = a.seq;
	memcpy(head.hash, a.hash, HASH_LEN);
	r = store_anchor_set(s, STORE_AUDIT_HEAD, &head, err);
	if (r == 0)
		r = prune(s, a.seq, err);
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

int store_audit_list(struct store *s, uint64_t from, size_t max, struct policyd_audit **ret,
		     size_t *ret_n, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	_cleanup_free_ void *list = NULL;
	size_t n = 0;
	int r;

	r = sql_query(s,
		      "SELECT seq, time, allowed, person, device, vm, action, reason_code,"
		      " reason_text, hash FROM audit WHERE seq>=?1 ORDER BY seq LIMIT ?2",
		      SQL_ARGS(SQL_U64(MIN_OF(from, (uint64_t)INT64_MAX)),
			       SQL_U64(MIN_OF(max, (size_t)2 * STORE_AUDIT_KEEP))),
		      &stmt, err);
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

static int broken_link(uint64_t seq, uint64_t *ret_seq, struct kerr *err)
{
	*ret_seq = seq;
	return kerr_set(err, EBADMSG, KCODE_FAILED,
			"The audit log was changed: record %llu does not fit the chain.",
			(unsigned long long)seq);
}

int store_audit_verify(struct store *s, uint64_t *ret_seq, struct kerr *err)
{
	_cleanup_free_ struct policyd_audit *list = NULL;
	struct store_anchor base, head;
	size_t n, at;
	int r;

	*ret_seq = 0;
	r = store_anchor_get(s, STORE_AUDIT_BASE, &base, err);
	if (r == 0)
		r = store_anchor_get(s, STORE_AUDIT_HEAD, &head, err);
	if (r == 0)
		r = store_audit_list(s, 0, SIZE_MAX, &list, &n, err);
	if (r < 0)
		return r;
	if (n && list[0].seq != base.seq + 1)
		return broken_link(base.seq + 1, ret_seq, err);
	if (audit_verify(base.hash, list, n, &at) < 0)
		return broken_link(base.seq + 1 + at, ret_seq, err);
	/* Records that were cut off at the end. */
	if (base.seq + n != head.seq ||
	    memcmp(n ? list[n - 1].hash : base.hash, head.hash, HASH_LEN) != 0)
		return broken_link(base.seq + n + 1, ret_seq, err);
	return 0;
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

int store_request_set_abort(struct store *s, const uint8_t hid[HID_LEN], struct kerr *err)
{
	int r = sql_change(s, "UPDATE requests SET abort=1 WHERE hid=?1",
			   SQL_ARGS(SQL_BLOB(hid, HID_LEN)), err);

	return r < 0 || sqlite3_changes(s->db) ? r : no_request(err);
}

int store_request_delete(struct store *s, const uint8_t hid[HID_LEN], struct kerr *err)
{
	int r = sql_change(s, "DELETE FROM requests WHERE hid=?1", SQL_ARGS(SQL_BLOB(hid, HID_LEN)),
			   err);

	return r < 0 || sqlite3_changes(s->db) ? r : no_request(err);
}

int store_request_list(struct store *s, struct store_request **ret, size_t *ret_n, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	_cleanup_free_ void *list = NULL;
	size_t n = 0;
	int r = sql_query(s, REQUEST_SELECT " ORDER BY time, hid", NULL, 0, &stmt, err);

	if (r < 0)
		return r;
	while ((r = sql_step(s, stmt, err)) > 0) {
		struct store_request *q = sql_list_grow(&list, &n, sizeof(*q));

		if (!q)
			return kerr_set(err, ENOMEM, KCODE_FAILED, "There is no memory left.");
		r = read_request(stmt, q, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
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
