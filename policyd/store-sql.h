/* SPDX-License-Identifier: Apache-2.0 */
/* Private to policyd/store*.c: the store's inside, its tables, and a few lines over SQLite's API.
 */
#pragma once

#include <sqlite3.h>

#include "policyd/store.h"

/* Raise it with every change of a row function or a table: an image of another one is refused. */
#define STORE_SCHEMA 3

struct store {
	int dirfd;
	int marker_dir; /* below 0: no markers */
	struct secret key;
	struct store_guard guard;
	sqlite3 *db;
	uint64_t counter; /* of the file */
	uint8_t *sealed;  /* the file as last committed; NULL before the first commit */
	size_t sealed_len;
	bool changed; /* a transaction is open */
	bool broken;  /* nobody knows what is on the disk */
};

/* -- The connection: store-sql.c -- */

/* Installs the allocator that wipes what SQLite frees; once per process. */
int sql_setup(void);

/* A connection to an image in memory, locked down. `image` comes from sqlite3_malloc64() and is
 * consumed in any case; NULL gives an empty database. */
int sql_open(uint8_t *image, size_t len, sqlite3 **ret);
int sql_exec(sqlite3 *db, const char *sql);

/* -- Statements: store-row.c. Their arguments ?1, ?2, ... follow the text. -- */

struct sql_arg {
	int type; /* SQLITE_INTEGER, _TEXT or _BLOB */
	const void *data;
	uint64_t n; /* bytes, or the number */
};
#define SQL_BLOB(p, len) ((struct sql_arg){SQLITE_BLOB, (p), (len)})
#define SQL_UUID(p) SQL_BLOB(p, UUID_LEN)
#define SQL_HID(p) SQL_BLOB(p, HID_LEN)
#define SQL_DEVICE(p) SQL_BLOB(p, DEVICE_ID_LEN)
#define SQL_TEXT(p) ((struct sql_arg){SQLITE_TEXT, (p), strlen(p)})
#define SQL_U64(v) ((struct sql_arg){SQLITE_INTEGER, NULL, (uint64_t)(v)})

struct sql_args {
	const struct sql_arg *list;
	size_t n;
};
#define SQL_ARGS(...)                                                      \
	((struct sql_args){(const struct sql_arg[]){__VA_ARGS__},          \
			   sizeof((const struct sql_arg[]){__VA_ARGS__}) / \
				   sizeof(struct sql_arg)})

/* 0, or -EIO/`not-ready` of a store that broke. All that follow ask it. */
int sql_usable(const struct store *s, struct kerr *err);

/* A change; opens the transaction if there is none. */
#define sql_change(s, err, sql, ...) sql_change_args(s, err, sql, SQL_ARGS(__VA_ARGS__))
int sql_change_args(struct store *s, struct kerr *err, const char *sql, struct sql_args args);

/* One number, 0 where the query gives no row or NULL. */
#define sql_number(s, err, ret, sql, ...) sql_number_args(s, err, ret, sql, SQL_ARGS(__VA_ARGS__))
int sql_number_args(struct store *s, struct kerr *err, uint64_t *ret, const char *sql,
		    struct sql_args args);

/* The one blob of the first row, at most `max` bytes: 1, or 0 where the query gives no row. */
#define sql_blob(s, err, ret, max, ret_len, sql, ...) \
	sql_blob_args(s, err, ret, max, ret_len, sql, SQL_ARGS(__VA_ARGS__))
int sql_blob_args(struct store *s, struct kerr *err, void *ret, size_t max, size_t *ret_len,
		  const char *sql, struct sql_args args);

/* -- Tables: one function per record says its columns in order. It makes the table, writes a row
 * and reads one, so that the three cannot drift apart; a value that would not be read is not
 * written. -- */

/* A statement, and the column that was said last. */
struct sql {
	struct store *s;
	struct kerr *err;
	const struct sql_table *table;
	enum { SQL_DECLARE, SQL_WRITE, SQL_READ } way;
	sqlite3_str *declared; /* NULL = the columns are only counted */
	sqlite3_stmt *stmt;
	int column;
	bool optional; /* from here on a column may be NULL... */
	bool null;     /* ...and is */
	int error;     /* the first one sticks, and has filled *err */
};

/* The first row: 1 and the statement on it, 0 = none, negative errno. */
#define sql_first(q, sql, ...) sql_first_args(q, sql, SQL_ARGS(__VA_ARGS__))
int sql_first_args(struct sql *q, const char *sql, struct sql_args args);

static inline void sql_end(struct sql *q)
{
	sqlite3_finalize(q->stmt);
}

struct sql_table {
	const char *name;
	const char *keys;		     /* PRIMARY KEY(...) and other constraints */
	const char *what;		     /* for people */
	size_t size;			     /* of the struct */
	void (*row)(struct sql *q, void *v); /* changes *v only where it reads */
	enum kcode missing_code;
	const char *missing; /* the sentence where a row is needed and is not there */
};

#define SQL_TABLE(name, keys, type, row, what, missing_code, missing)             \
	{                                                                         \
		name, keys, what, sizeof(struct type), row, missing_code, missing \
	}

extern const struct sql_table peer_table, policy_table, offer_table, custody_table, journal_table,
	request_table, audit_table, peer_audit_table, log_table;

uint64_t row_number(struct sql *q, const char *name, uint64_t v, uint64_t max);
void row_bytes(struct sql *q, const char *name, void *v, size_t len);
void row_blob(struct sql *q, const char *name, void *v, size_t *len, size_t max);
/* Terminated; `size` is that of the array. */
void row_text(struct sql *q, const char *name, char *v, size_t size);
/* A text that is a name (text_is_name()). */
void row_name(struct sql *q, const char *name, char v[NAME_MAX_LEN + 1]);
/* Reading mallocs *v, with a zero byte behind it. */
void row_copy(struct sql *q, const char *name, uint8_t **v, size_t *len, size_t max);
/* All columns that follow are NULL, or none is, as `present` says; gives it back. */
bool row_present(struct sql *q, bool present);

#define ROW_NUMBER(q, name, field, max)                                      \
	do {                                                                 \
		uint64_t _v = row_number(q, name, (uint64_t)(field), (max)); \
		if ((q)->way == SQL_READ)                                    \
			(field) = (__typeof__(field))_v;                     \
	} while (0)
#define ROW_FLAG(q, name, field) ROW_NUMBER(q, name, field, 2)
#define ROW_U32(q, name, field) ROW_NUMBER(q, name, field, UINT64_C(1) << 32)
#define ROW_U64(q, name, field) ROW_NUMBER(q, name, field, UINT64_C(1) << 63)
#define ROW_BYTES(q, name, array) row_bytes(q, name, array, sizeof(array))
#define ROW_TEXT(q, name, array) row_text(q, name, array, sizeof(array))

int sql_declare(sqlite3 *db, const struct sql_table *table);

/* `how` is INSERT or INSERT OR REPLACE. */
int sql_put(struct store *s, struct kerr *err, const struct sql_table *table, const char *how,
	    const void *v);

/* The first row, as `tail` (WHERE..., ORDER BY...) picks it: 1, 0 = none, negative errno. *ret
 * stays as it was but for 1. */
#define sql_get(s, err, table, ret, tail, ...) \
	sql_get_args(s, err, table, ret, tail, SQL_ARGS(__VA_ARGS__))
int sql_get_args(struct store *s, struct kerr *err, const struct sql_table *table, void *ret,
		 const char *tail, struct sql_args args);

/* Likewise, but 0 is found, and -ENOENT with the table's sentence none. */
#define sql_need(s, err, table, ret, tail, ...) \
	sql_found(sql_get(s, err, table, ret, tail, ##__VA_ARGS__), table, err)
int sql_found(int r, const struct sql_table *table, struct kerr *err);

/* All rows that `tail` picks. `ret` is the address of a pointer to structs: malloced, NULL for
 * none. */
#define sql_list(s, err, table, ret, ret_n, tail, ...) \
	sql_list_args(s, err, table, ret, ret_n, tail, SQL_ARGS(__VA_ARGS__))
int sql_list_args(struct store *s, struct kerr *err, const struct sql_table *table, void *ret,
		  size_t *ret_n, const char *tail, struct sql_args args);

/* -- The tables together: store-schema.c -- */

int sql_schema_create(sqlite3 *db);

/* 0 if the image has our schema and passes SQLite's own check, -EBADMSG or -EPROTONOSUPPORT. */
int sql_schema_check(sqlite3 *db);

/* Is there room for `need` bytes more of what is not needed for safety? -ENOSPC/`room`. The rest is
 * kept for custody and its journal, which do not ask (H4). */
int store_room(struct store *s, size_t need, struct kerr *err);

/* -- Between the files of the store -- */

/* -EBADMSG/`locked`: what is there is not what this device wrote. store.c */
int store_refuse_damaged(struct kerr *err);

/* Fills the record's sequence number and hash, and writes it. Records from `held` on stay, however
 * many there are (0 = none has to). store-log.c */
int store_log_append(struct store *s, enum store_log log, void *record, uint64_t held,
		     struct kerr *err);

/* OWN: the policy of the offer is the VM's; VOID: it is forgotten. Others: nothing. */
int store_offer_settle(struct store *s, const uint8_t hid[HID_LEN], int record, struct kerr *err);

/* One change of custody: row, journal record and marker, committed as the record needs it. */
struct custody_change {
	struct custody_view before, after;
	int record; /* enum custody_record or JOURNAL_... */
	const void *proof;
	size_t proof_len;
};

/* What fails drops all uncommitted changes. store-custody.c */
int store_custody_write(struct store *s, const struct custody_change *c, struct kerr *err);
