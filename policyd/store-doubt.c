/* SPDX-License-Identifier: Apache-2.0 */
/* VMs in doubt in the store: which, under which number each is asked about, who answered. */
#include <sodium.h>
#include <string.h>

#include "policyd/store-sql.h"

static int mark(struct store *s, const uint8_t uuid[UUID_LEN], struct kerr *err)
{
	uint8_t nonce[HID_LEN];

	randombytes_buf(nonce, sizeof(nonce));
	return sql_change(s, "UPDATE custody SET doubt=?2, nonce=?3, told_epoch=0 WHERE uuid=?1",
			  SQL_ARGS(SQL_BLOB(uuid, UUID_LEN), SQL_U64(CUSTODY_ASKING),
				   SQL_BLOB(nonce, HID_LEN)),
			  err);
}

int store_doubt_all(struct store *s, struct kerr *err)
{
	_cleanup_free_ struct custody_view *views = NULL;
	uint64_t peers;
	size_t n;
	int r = sql_number(s, "SELECT count(*) FROM peers WHERE revoked=0", NULL, 0, &peers, err);

	/* Where nobody else is, nothing can have gone. */
	if (r < 0 || !peers)
		return r;
	r = store_custody_list(s, &views, &n, err);
	if (r == 0)
		r = sql_change(s, "DELETE FROM answers", NULL, 0, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = mark(s, views[i].uuid, err);
	return r;
}

int store_doubt_answered(struct store *s, const uint8_t uuid[UUID_LEN],
			 const uint8_t peer[DEVICE_ID_LEN], struct kerr *err)
{
	return sql_change(s, "INSERT OR IGNORE INTO answers(uuid, peer) VALUES(?1,?2)",
			  SQL_ARGS(SQL_BLOB(uuid, UUID_LEN), SQL_BLOB(peer, DEVICE_ID_LEN)), err);
}

int store_doubt_unheard(struct store *s, const uint8_t uuid[UUID_LEN], struct doubt_peer **ret,
			size_t *ret_n, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	_cleanup_free_ void *list = NULL;
	size_t n = 0;
	int r = sql_query(s,
			  "SELECT id FROM peers WHERE revoked=0 AND id NOT IN"
			  " (SELECT peer FROM answers WHERE uuid=?1) ORDER BY id",
			  SQL_ARGS(SQL_BLOB(uuid, UUID_LEN)), &stmt, err);

	if (r < 0)
		return r;
	while ((r = sql_step(s, stmt, err)) > 0) {
		struct doubt_peer *p = sql_list_grow(&list, &n, sizeof(*p));
		struct sql_row row = sql_row(stmt);

		if (!p)
			return kerr_set(err, ENOMEM, KCODE_FAILED, "There is no memory left.");
		sql_row_bytes(&row, p->id, sizeof(p->id));
		r = sql_row_end(&row, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

int store_doubt_end(struct store *s, int marker_dir, const struct custody_view *before,
		    const struct custody_view *after, int record, uint64_t time, const void *proof,
		    size_t proof_len, struct kerr *err)
{
	int r = sql_change(s, "DELETE FROM answers WHERE uuid=?1",
			   SQL_ARGS(SQL_BLOB(after->uuid, UUID_LEN)), err);

	if (r == 0)
		return store_view_write(s, marker_dir, before, after, record, time, proof,
					proof_len, record == JOURNAL_CLAIM, err);
	store_rollback(s);
	return r;
}
