/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of people that wait for their hand-off. */
#include "policyd/store-sql.h"

static void request_row(struct sql *q, void *v)
{
	struct store_request *r = v;

	ROW_BYTES(q, "hid", r->hid);
	ROW_BYTES(q, "uuid", r->uuid);
	ROW_BYTES(q, "device", r->device);
	ROW_TEXT(q, "person", r->person);
	ROW_U64(q, "time", r->time);
}

const struct sql_table request_table =
	SQL_TABLE("requests", "PRIMARY KEY(hid)", store_request, request_row, "request",
		  KCODE_NOT_FOUND, "There is no request with this number.");

int store_request_put(struct store *s, const struct store_request *q, struct kerr *err)
{
	uint64_t used, n;
	int r = sql_number(s, err, &used,
			   "SELECT (SELECT count(*) FROM requests WHERE hid=?1) +"
			   " (SELECT count(*) FROM journal WHERE hid=?1)",
			   SQL_HID(q->hid));

	if (r == 0)
		r = sql_number(s, err, &n, "SELECT count(*) FROM requests");
	if (r < 0)
		return r;
	if (used)
		return kerr_set(err, EEXIST, KCODE_EXISTS, "This hand-off number was used before.");
	if (n >= STORE_REQUESTS_MAX)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"%d requests wait for their hand-off already. Try again later.",
				STORE_REQUESTS_MAX);
	r = store_room(s, sizeof(*q), err);
	return r < 0 ? r : sql_put(s, err, &request_table, "INSERT", q);
}

int store_request_get(struct store *s, const uint8_t hid[HID_LEN], struct store_request *ret,
		      struct kerr *err)
{
	return sql_need(s, err, &request_table, ret, "WHERE hid=?1", SQL_HID(hid));
}

int store_request_delete(struct store *s, const uint8_t hid[HID_LEN], struct kerr *err)
{
	int r = sql_change(s, err, "DELETE FROM requests WHERE hid=?1", SQL_HID(hid));

	return r < 0 ? r : sql_found(sqlite3_changes(s->db), &request_table, err);
}

#define EXPIRED                                      \
	"FROM requests WHERE time<?1 AND hid NOT IN" \
	" (SELECT hid FROM custody WHERE hid IS NOT NULL)"

int store_request_expire(struct store *s, uint64_t before, struct kerr *err)
{
	uint64_t n;
	int r;

	before = MIN_OF(before, (uint64_t)INT64_MAX);
	/* Nothing to do changes nothing: the caller calls often. */
	r = sql_number(s, err, &n, "SELECT count(*) " EXPIRED, SQL_U64(before));
	if (r == 0 && n)
		r = sql_change(s, err, "DELETE " EXPIRED, SQL_U64(before));
	return r < 0 ? r : (int)n;
}
