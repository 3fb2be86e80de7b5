/* SPDX-License-Identifier: Apache-2.0 */
/* VMs in doubt in the store: who answered, and what comes of it. */
#include "policyd/store-sql.h"

int store_doubt_answered(struct store *s, const uint8_t uuid[UUID_LEN],
			 const uint8_t peer[DEVICE_ID_LEN], struct kerr *err)
{
	return sql_change(s, err, "INSERT OR IGNORE INTO answers VALUES(?1,?2)", SQL_UUID(uuid),
			  SQL_DEVICE(peer));
}

int store_doubt_unheard(struct store *s, const uint8_t uuid[UUID_LEN], struct store_peer **ret,
			size_t *ret_n, struct kerr *err)
{
	return sql_list(s, err, &peer_table, ret, ret_n,
			"WHERE id NOT IN (SELECT peer FROM answers WHERE uuid=?1) ORDER BY id",
			SQL_UUID(uuid));
}

int store_doubt_end(struct store *s, const struct custody_view *before,
		    const struct custody_view *after, int record, const void *proof,
		    size_t proof_len, struct kerr *err)
{
	const struct custody_change c = {*before, *after, record, proof, proof_len};
	int r = sql_change(s, err, "DELETE FROM answers WHERE uuid=?1", SQL_UUID(after->uuid));

	if (r == 0)
		return store_custody_write(s, &c, err);
	store_rollback(s);
	return r;
}
