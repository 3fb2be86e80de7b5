/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite as the store uses it: in memory, locked down, wiped. */
#include "policyd/store-sql.h"

#include <string.h>

/* -- Memory: images hold private keys, so nothing is given back unwiped (D14) -- */

static sqlite3_mem_methods plain;

static void wipe_free(void *block)
{
	explicit_bzero(block, (size_t)plain.xSize(block));
	plain.xFree(block);
}

/* Never realloc(): it would leave the old place unwiped. */
static void *wipe_realloc(void *block, int size)
{
	void *p = plain.xMalloc(size);

	if (!p)
		return NULL;
	memcpy(p, block, (size_t)MIN_OF(plain.xSize(block), size));
	wipe_free(block);
	return p;
}

int sql_setup(void)
{
	sqlite3_mem_methods wiping;
	static bool done;

	if (done)
		return 0;
	/* A second try must not take ours for the plain ones. */
	if (!plain.xMalloc && sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain) != SQLITE_OK)
		return -EIO;
	wiping = plain;
	wiping.xFree = wipe_free;
	wiping.xRealloc = wipe_realloc;
	/* Lookaside and page slots would be recycled inside SQLite, without our free(). */
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &wiping) != SQLITE_OK ||
	    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) != SQLITE_OK ||
	    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) != SQLITE_OK ||
	    sqlite3_initialize() != SQLITE_OK)
		return -EIO;
	done = true;
	return 0;
}

/* -- The connection -- */

int sql_exec(sqlite3 *db, const char *sql)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		return 0;
	return rc == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

static int lock_down(sqlite3 *db)
{
	static const struct {
		int option, value;
	} options[] = {
		{SQLITE_DBCONFIG_DEFENSIVE, 1},
		{SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
		{SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
		{SQLITE_DBCONFIG_ENABLE_FKEY, 1},
		{SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
		{SQLITE_DBCONFIG_ENABLE_VIEW, 0},
		{SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0},
		{SQLITE_DBCONFIG_DQS_DML, 0},
		{SQLITE_DBCONFIG_DQS_DDL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int now = -1;

		if (sqlite3_db_config(db, options[i].option, options[i].value, &now) != SQLITE_OK ||
		    now != options[i].value)
			return -EIO;
	}
	sqlite3_extended_result_codes(db, 1);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 1 << 20);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	/* No temporary files: journal and sorter stay in memory. No WAL, which would not
	 * deserialise again. Deleted content is overwritten with zeros. */
	return sql_exec(db, "PRAGMA journal_mode=MEMORY; PRAGMA temp_store=MEMORY;"
			    "PRAGMA secure_delete=ON; PRAGMA cell_size_check=ON;");
}

int sql_open(uint8_t *image, size_t len, sqlite3 **ret)
{
	sqlite3 *db = NULL;
	sqlite3_int64 limit = STORE_IMAGE_MAX;
	int rc, r;

	rc = sqlite3_open_v2(":memory:", &db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX |
				     SQLITE_OPEN_PRIVATECACHE,
			     NULL);
	if (rc != SQLITE_OK) {
		sqlite3_free(image);
		sqlite3_close(db);
		return rc == SQLITE_NOMEM ? -ENOMEM : -EIO;
	}
	if (image) {
		/* Takes the image over, even when it fails. */
		rc = sqlite3_deserialize(db, "main", image, (sqlite3_int64)len, (sqlite3_int64)len,
					 SQLITE_DESERIALIZE_FREEONCLOSE |
						 SQLITE_DESERIALIZE_RESIZEABLE);
		if (rc == SQLITE_OK)
			sqlite3_file_control(db, "main", SQLITE_FCNTL_SIZE_LIMIT, &limit);
	}
	r = rc == SQLITE_OK ? lock_down(db) : rc == SQLITE_NOMEM ? -ENOMEM : -EBADMSG;
	if (r < 0) {
		sqlite3_close(db);
		return r;
	}
	*ret = db;
	return 0;
}
