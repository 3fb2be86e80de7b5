/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite as the store uses it: in memory, locked down, wiped; and its schema. */
#include "policyd/store-sql.h"

#include <string.h>

/* -- Memory: images hold private keys, so nothing is given back unwiped (D14) -- */

/* Size in front of each block; keeps the alignment of malloc(). */
#define BLOCK_HEAD 16

static void *wipe_malloc(int size)
{
	uint8_t *p = size > 0 ? malloc((size_t)size + BLOCK_HEAD) : NULL;
	uint64_t n = (uint64_t)size;

	if (!p)
		return NULL;
	memcpy(p, &n, sizeof(n));
	return p + BLOCK_HEAD;
}

static int wipe_size(void *block)
{
	uint64_t n = 0;

	if (block)
		memcpy(&n, (uint8_t *)block - BLOCK_HEAD, sizeof(n));
	return (int)n;
}

static void wipe_free(void *block)
{
	if (!block)
		return;
	explicit_bzero(block, (size_t)wipe_size(block));
	free((uint8_t *)block - BLOCK_HEAD);
}

/* Never realloc(): it would leave the old place unwiped. */
static void *wipe_realloc(void *block, int size)
{
	void *p = wipe_malloc(size);

	if (!p)
		return NULL;
	memcpy(p, block, (size_t)MIN_OF(wipe_size(block), size));
	wipe_free(block);
	return p;
}

static int wipe_roundup(int size)
{
	return (size + 7) & ~7;
}

static int wipe_init(void *ctx _unused_)
{
	return SQLITE_OK;
}

static void wipe_shutdown(void *ctx _unused_)
{
}

int sql_setup(void)
{
	static const sqlite3_mem_methods methods = {.xMalloc = wipe_malloc,
						    .xFree = wipe_free,
						    .xRealloc = wipe_realloc,
						    .xSize = wipe_size,
						    .xRoundup = wipe_roundup,
						    .xInit = wipe_init,
						    .xShutdown = wipe_shutdown};
	static bool done;

	if (done)
		return 0;
	/* Lookaside and page slots would be recycled inside SQLite, without our free(). */
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK ||
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

int sql_serialize(sqlite3 *db, uint8_t **ret, size_t *ret_len)
{
	sqlite3_int64 len = 0;
	uint8_t *image = sqlite3_serialize(db, "main", &len, 0);

	if (!image || len <= 0) {
		sqlite3_free(image);
		return -ENOMEM;
	}
	*ret = image;
	*ret_len = (size_t)len;
	return 0;
}

/* -- Schema -- */

static const char schema[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL)"
	" STRICT, WITHOUT ROWID;"
	"CREATE TABLE peers("
	" id BLOB PRIMARY KEY NOT NULL CHECK(length(id)=32),"
	" sign_pk BLOB NOT NULL, name TEXT NOT NULL, role INTEGER NOT NULL,"
	" tier INTEGER NOT NULL, own INTEGER NOT NULL, person TEXT NOT NULL,"
	" person_role INTEGER NOT NULL, owner_pk BLOB NOT NULL, ak_public BLOB NOT NULL,"
	" ek_hash BLOB NOT NULL, record BLOB NOT NULL, reference_mask INTEGER NOT NULL,"
	" reference BLOB NOT NULL, evidence_time INTEGER NOT NULL,"
	" evidence_mask INTEGER NOT NULL, evidence BLOB NOT NULL, versions TEXT NOT NULL,"
	" verdict INTEGER NOT NULL, reason_code INTEGER NOT NULL, reason_text TEXT NOT NULL,"
	" receive INTEGER NOT NULL DEFAULT 0,"
	" quoted INTEGER NOT NULL DEFAULT 0, quote_clock INTEGER NOT NULL DEFAULT 0,"
	" quote_resets INTEGER NOT NULL DEFAULT 0, quote_restarts INTEGER NOT NULL DEFAULT 0,"
	" quote_safe INTEGER NOT NULL DEFAULT 0, quote_signer BLOB,"
	" revoked INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;"
	"CREATE UNIQUE INDEX peers_name ON peers(name) WHERE revoked=0;"
	"CREATE TABLE policies("
	" uuid BLOB PRIMARY KEY NOT NULL CHECK(length(uuid)=16), name TEXT NOT NULL,"
	" version INTEGER NOT NULL, owner_pk BLOB NOT NULL, text BLOB NOT NULL,"
	" compiled BLOB NOT NULL, signature BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	/* What came with an offer, by hand-off, until OWN takes it or VOID drops it. */
	"CREATE TABLE offers("
	" hid BLOB PRIMARY KEY NOT NULL CHECK(length(hid)=16), uuid BLOB NOT NULL,"
	" name TEXT NOT NULL, version INTEGER NOT NULL, owner_pk BLOB NOT NULL,"
	" text BLOB NOT NULL, compiled BLOB NOT NULL, signature BLOB NOT NULL,"
	" links BLOB NOT NULL, measured BLOB NOT NULL DEFAULT x'') STRICT, WITHOUT ROWID;"
	"CREATE TABLE custody("
	" uuid BLOB PRIMARY KEY NOT NULL CHECK(length(uuid)=16), name TEXT NOT NULL UNIQUE,"
	" epoch INTEGER NOT NULL CHECK(epoch>0), holder BLOB NOT NULL,"
	" holder_name TEXT NOT NULL, here INTEGER NOT NULL,"
	" doubt INTEGER NOT NULL, nonce BLOB NOT NULL, told_epoch INTEGER NOT NULL,"
	/* The hand-off: all NULL, or none. */
	" hid BLOB UNIQUE, source INTEGER, fresh INTEGER, started INTEGER, record INTEGER,"
	" handoff_epoch INTEGER, peer BLOB, peer_name TEXT) STRICT, WITHOUT ROWID;"
	"CREATE TABLE chains("
	" uuid BLOB PRIMARY KEY NOT NULL CHECK(length(uuid)=16), links BLOB NOT NULL)"
	" STRICT, WITHOUT ROWID;"
	/* Peers that said of a VM in doubt that it is not there. */
	"CREATE TABLE answers(uuid BLOB NOT NULL, peer BLOB NOT NULL, PRIMARY KEY(uuid, peer))"
	" STRICT, WITHOUT ROWID;"
	/* VMs that left Kith's care: an old hand-off of theirs stays old (HO7). */
	"CREATE TABLE forgotten("
	" uuid BLOB PRIMARY KEY NOT NULL CHECK(length(uuid)=16), epoch INTEGER NOT NULL)"
	" STRICT, WITHOUT ROWID;"
	"CREATE TABLE journal("
	" seq INTEGER PRIMARY KEY NOT NULL, time INTEGER NOT NULL, record INTEGER NOT NULL,"
	" hid BLOB NOT NULL, uuid BLOB NOT NULL, epoch INTEGER NOT NULL,"
	" handoff_epoch INTEGER NOT NULL, peer BLOB NOT NULL, source INTEGER NOT NULL,"
	" proof BLOB NOT NULL, prev BLOB NOT NULL, hash BLOB NOT NULL) STRICT;"
	"CREATE INDEX journal_hid ON journal(hid);"
	"CREATE INDEX journal_uuid ON journal(uuid, epoch);"
	"CREATE TABLE requests("
	" hid BLOB PRIMARY KEY NOT NULL CHECK(length(hid)=16), uuid BLOB NOT NULL,"
	" device BLOB NOT NULL, person TEXT NOT NULL, time INTEGER NOT NULL,"
	" abort INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE audit("
	" seq INTEGER PRIMARY KEY NOT NULL, kind INTEGER NOT NULL,"
	" time INTEGER NOT NULL, allowed INTEGER NOT NULL,"
	" person TEXT NOT NULL, device TEXT NOT NULL, vm TEXT NOT NULL, action TEXT NOT NULL,"
	" reason_code INTEGER NOT NULL, reason_text TEXT NOT NULL, prev BLOB NOT NULL,"
	" hash BLOB NOT NULL) STRICT;"
	"CREATE INDEX audit_kind ON audit(kind, seq);";

int sql_schema_create(sqlite3 *db)
{
	char version[64];
	int r = sql_exec(db, schema);

	snprintf(version, sizeof(version), "PRAGMA user_version=%d", STORE_SCHEMA);
	return r < 0 ? r : sql_exec(db, version);
}

/* First column of the first row, as a number or whether it is the text `want`. */
static int pragma_value(sqlite3 *db, const char *sql, const char *want, int *ret)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	const unsigned char *text;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_NOMEM)
		return -ENOMEM;
	if (rc != SQLITE_ROW)
		return -EBADMSG;
	text = want ? sqlite3_column_text(stmt, 0) : NULL;
	*ret = want ? text && strcmp((const char *)text, want) == 0 : sqlite3_column_int(stmt, 0);
	return 0;
}

int sql_schema_check(sqlite3 *db)
{
	int version = 0, good = 0;
	int r = pragma_value(db, "PRAGMA user_version", NULL, &version);

	if (r == 0)
		r = pragma_value(db, "PRAGMA integrity_check", "ok", &good);
	if (r < 0)
		return r;
	if (!good)
		return -EBADMSG;
	return version == STORE_SCHEMA ? 0 : -EPROTONOSUPPORT;
}

/* -- Statements -- */

static int fail(struct store *s, struct kerr *err)
{
	int rc = sqlite3_errcode(s->db);

	return kerr_set(err, (rc & 0xff) == SQLITE_NOMEM ? ENOMEM : EIO, KCODE_FAILED,
			"The store of this device failed: %s.", sqlite3_errmsg(s->db));
}

static int refuse_broken(struct kerr *err)
{
	return kerr_set(err, EIO, KCODE_NOT_READY,
			"Writing the store failed and it is not certain what is on the disk. "
			"Restart kith-policyd; it will find the old or the new state.");
}

static int bind(sqlite3_stmt *stmt, int at, const struct sql_arg *a)
{
	switch (a->type) {
	case SQL_ARG_BLOB:
		/* A NULL pointer would bind NULL, not an empty blob. */
		return sqlite3_bind_blob64(stmt, at, a->n ? a->data : "", a->n, SQLITE_STATIC);
	case SQL_ARG_TEXT:
		return sqlite3_bind_text(stmt, at, a->data, -1, SQLITE_STATIC);
	case SQL_ARG_U64:
		if (a->n > INT64_MAX)
			return SQLITE_RANGE;
		return sqlite3_bind_int64(stmt, at, (sqlite3_int64)a->n);
	case SQL_ARG_NULL:
		break;
	}
	return sqlite3_bind_null(stmt, at);
}

int sql_query(struct store *s, const char *sql, const struct sql_arg *args, size_t n,
	      sqlite3_stmt **ret, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;

	if (s->broken)
		return refuse_broken(err);
	if (sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return fail(s, err);
	for (size_t i = 0; i < n; i++) {
		int rc = bind(stmt, (int)i + 1, &args[i]);

		if (rc == SQLITE_RANGE)
			return kerr_set(err, ERANGE, KCODE_USAGE,
					"A number is too large to be stored.");
		if (rc != SQLITE_OK)
			return fail(s, err);
	}
	*ret = TAKE_PTR(stmt);
	return 0;
}

int sql_step(struct store *s, sqlite3_stmt *stmt, struct kerr *err)
{
	int rc = sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : fail(s, err);
}

int sql_change(struct store *s, const char *sql, const struct sql_arg *args, size_t n,
	       struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r;

	if (s->broken)
		return refuse_broken(err);
	if (!s->changed) {
		if (sql_exec(s->db, "BEGIN IMMEDIATE") < 0)
			return fail(s, err);
		s->changed = true;
	}
	r = sql_query(s, sql, args, n, &stmt, err);
	return r < 0 ? r : sql_step(s, stmt, err);
}

int sql_number(struct store *s, const char *sql, const struct sql_arg *args, size_t n,
	       uint64_t *ret, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = sql_query(s, sql, args, n, &stmt, err);

	if (r == 0)
		r = sql_step(s, stmt, err);
	if (r < 0)
		return r;
	*ret = r ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
	return 0;
}

int sql_blob(struct store *s, const char *sql, const struct sql_arg *args, size_t n, void *ret,
	     size_t max, size_t *ret_len, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	struct sql_row row;
	int r = sql_query(s, sql, args, n, &stmt, err);

	if (r == 0)
		r = sql_step(s, stmt, err);
	if (r <= 0)
		return r;
	row = sql_row(stmt);
	sql_row_blob(&row, ret, max, ret_len);
	r = sql_row_end(&row, err);
	return r < 0 ? r : 1;
}

/* -- Room -- */

/* One record with its proof and its place in the indexes, amply. */
#define JOURNAL_ROW_MAX 512
#define JOURNAL_ROWS_MAX (STORE_JOURNAL_KEEP + STORE_JOURNAL_PRUNE)

/* What the journal can still grow by before it prunes itself, and the reserve. */
static int kept_free(struct store *s, uint64_t *ret, struct kerr *err)
{
	struct store_anchor base, head;
	uint64_t rows;
	int r = store_anchor_get(s, STORE_JOURNAL_BASE, &base, err);

	if (r == 0)
		r = store_anchor_get(s, STORE_JOURNAL_HEAD, &head, err);
	if (r < 0)
		return r;
	rows = MIN_OF(head.seq - base.seq, (uint64_t)JOURNAL_ROWS_MAX);
	*ret = STORE_RESERVE + (JOURNAL_ROWS_MAX - rows) * JOURNAL_ROW_MAX;
	return 0;
}

int store_room(struct store *s, size_t need, struct kerr *err)
{
	uint64_t pages = 0, unused = 0, size = 0, reserve = 0;
	int r = sql_number(s, "PRAGMA page_count", NULL, 0, &pages, err);

	if (r == 0)
		r = sql_number(s, "PRAGMA freelist_count", NULL, 0, &unused, err);
	if (r == 0)
		r = sql_number(s, "PRAGMA page_size", NULL, 0, &size, err);
	if (r == 0)
		r = kept_free(s, &reserve, err);
	if (r < 0 || (pages - unused) * size + need + reserve <= STORE_IMAGE_MAX)
		return r;
	return kerr_set(
		err, ENOSPC, KCODE_ROOM,
		"Kith's store on this device is full. What it holds goes on working, but it "
		"takes nothing new until policies of VMs here are made shorter.");
}

/* -- Columns -- */

struct sql_row sql_row(sqlite3_stmt *stmt)
{
	return (struct sql_row){.stmt = stmt};
}

uint64_t sql_row_u64(struct sql_row *r)
{
	int at = r->column++;
	sqlite3_int64 v = sqlite3_column_int64(r->stmt, at);

	if (sqlite3_column_type(r->stmt, at) != SQLITE_INTEGER || v < 0)
		r->error = -EBADMSG;
	return r->error ? 0 : (uint64_t)v;
}

unsigned sql_row_enum(struct sql_row *r, unsigned max)
{
	uint64_t v = sql_row_u64(r);

	if (v >= max)
		r->error = -EBADMSG;
	return r->error ? 0 : (unsigned)v;
}

bool sql_row_bool(struct sql_row *r)
{
	return sql_row_enum(r, 2);
}

void sql_row_blob(struct sql_row *r, void *ret, size_t max, size_t *ret_len)
{
	int at = r->column++;
	const void *data = sqlite3_column_blob(r->stmt, at);
	size_t len = (size_t)sqlite3_column_bytes(r->stmt, at);

	if (sqlite3_column_type(r->stmt, at) != SQLITE_BLOB || len > max)
		r->error = -EBADMSG;
	*ret_len = r->error ? 0 : len;
	if (*ret_len)
		memcpy(ret, data, *ret_len);
}

void sql_row_bytes(struct sql_row *r, void *ret, size_t len)
{
	size_t n;

	sql_row_blob(r, ret, len, &n);
	if (n != len)
		r->error = -EBADMSG;
}

void sql_row_text(struct sql_row *r, char *ret, size_t size)
{
	int at = r->column++;
	const unsigned char *text = sqlite3_column_text(r->stmt, at);
	size_t len = (size_t)sqlite3_column_bytes(r->stmt, at);

	if (!text || len >= size || strlen((const char *)text) != len)
		r->error = -EBADMSG;
	if (r->error)
		len = 0;
	else
		memcpy(ret, text, len);
	ret[len] = '\0';
}

bool sql_row_null(struct sql_row *r)
{
	if (sqlite3_column_type(r->stmt, r->column) != SQLITE_NULL)
		return false;
	r->column++;
	return true;
}

int sql_row_end(const struct sql_row *r, struct kerr *err)
{
	if (!r->error)
		return 0;
	return kerr_set(err, EBADMSG, KCODE_FAILED,
			"A record in the store is not as it should be.");
}

void *sql_list_grow(void **list, size_t *n, size_t size)
{
	uint8_t *p;

	/* Doubles at powers of two. */
	if ((*n & (*n - 1)) == 0) {
		void *grown = reallocarray(*list, *n ? 2 * *n : 1, size);

		if (!grown)
			return NULL;
		*list = grown;
	}
	p = (uint8_t *)*list + *n * size;
	memset(p, 0, size);
	(*n)++;
	return p;
}
