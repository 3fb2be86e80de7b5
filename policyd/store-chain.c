/* SPDX-License-Identifier: Apache-2.0 */
/* The custody chain of each VM, as it came and grew here. Nothing is judged in this file. */
#include <string.h>

#include "policyd/store-sql.h"

int store_chain_put(struct store *s, const uint8_t uuid[UUID_LEN],
		    const struct custody_chain *chain, struct kerr *err)
{
	return sql_change(s, "INSERT OR REPLACE INTO chains(uuid, links) VALUES(?1,?2)",
			  SQL_ARGS(SQL_BLOB(uuid, UUID_LEN), SQL_BLOB(chain->data, chain->len)),
			  err);
}

int store_chain_get(struct store *s, const uint8_t uuid[UUID_LEN], struct custody_chain *ret,
		    struct kerr *err)
{
	int r;

	ret->len = 0;
	r = sql_blob(s, "SELECT links FROM chains WHERE uuid=?1",
		     SQL_ARGS(SQL_BLOB(uuid, UUID_LEN)), ret->data, sizeof(ret->data), &ret->len,
		     err);
	return r < 0 ? r : 0;
}
