/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the store together: how they are made and checked, and their room. */
#include "policyd/store-sql.h"

static const struct sql_table *const tables[] = {
	&peer_table,	&policy_table, &offer_table,	  &custody_table, &journal_table,
	&request_table, &audit_table,  &peer_audit_table, &log_table,
};

/* What has no record of its own, and the indexes. */
static const char schema[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL)"
	" STRICT, WITHOUT ROWID;"
	/* Devices that were forgotten: they stay unknown until they are paired anew (P9). */
	"CREATE TABLE revoked(id BLOB PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE chains(uuid BLOB PRIMARY KEY NOT NULL, links BLOB NOT NULL)"
	" STRICT, WITHOUT ROWID;"
	/* Peers that said of a VM in doubt that it is not there. */
	"CREATE TABLE answers(uuid BLOB NOT NULL, peer BLOB NOT NULL, PRIMARY KEY(uuid, peer))"
	" STRICT, WITHOUT ROWID;"
	"CREATE INDEX journal_hid ON journal(hid);"
	"CREATE INDEX journal_uuid ON journal(uuid, epoch);";

int sql_schema_create(sqlite3 *db)
{
	char version[64];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(tables); i++)
		r = sql_declare(db, tables[i]);
	if (r == 0)
		r = sql_exec(db, schema);
	snprintf(version, sizeof(version), "PRAGMA user_version=%d", STORE_SCHEMA);
	return r < 0 ? r : sql_exec(db, version);
}

int sql_schema_check(sqlite3 *db)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0, rc = sqlite3_prepare_v2(db,
					   "SELECT integrity_check='ok', user_version"
					   " FROM pragma_integrity_check, pragma_user_version",
					   -1, &stmt, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc != SQLITE_ROW)
		r = rc == SQLITE_NOMEM ? -ENOMEM : -EBADMSG;
	else if (!sqlite3_column_int(stmt, 0))
		r = -EBADMSG;
	else if (sqlite3_column_int(stmt, 1) != STORE_SCHEMA)
		r = -EPROTONOSUPPORT;
	sqlite3_finalize(stmt);
	return r;
}

/* -- Room -- */

/* One record with its proof and its place in the indexes, amply. */
#define JOURNAL_ROW_MAX 512
#define JOURNAL_ROWS_MAX (STORE_JOURNAL_KEEP + STORE_JOURNAL_PRUNE)

int store_room(struct store *s, size_t need, struct kerr *err)
{
	uint64_t used = 0;
	/* What is used, and what the journal can still grow by before it prunes itself. */
	int r = sql_number(s, err, &used,
			   "SELECT (page_count - freelist_count) * page_size"
			   " + max(0, ?1 - (SELECT count(*) FROM journal)) * ?2"
			   " FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
			   SQL_U64(JOURNAL_ROWS_MAX), SQL_U64(JOURNAL_ROW_MAX));

	if (r < 0 || used + STORE_RESERVE + need <= STORE_IMAGE_MAX)
		return r;
	return kerr_set(
		err, ENOSPC, KCODE_ROOM,
		"Kith's store on this device is full. What it holds goes on working, but it "
		"takes nothing new until policies of VMs here are made shorter.");
}
