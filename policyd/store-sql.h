/* SPDX-License-Identifier: Apache-2.0 */
/* Private to policyd/store*.c: the store's inside and a few lines over SQLite's API. */
#pragma once

#include <sqlite3.h>

#include "policyd/store.h"

#define STORE_SCHEMA 2

struct store {
	int dirfd;
	struct secret key;
	struct store_guard guard;
	sqlite3 *db;
	uint64_t counter; /* of the file */
	uint8_t *sealed;  /* the file as last committed; NULL before the first commit */
	size_t sealed_len;
	bool changed; /* a transaction is open */
	bool broken;  /* nobody knows what is on the disk */
};

/* -- The connection -- */

/* Installs the allocator that wipes what SQLite frees; once per process. */
int sql_setup(void);

/* A connection to an image in memory, locked down. `image` comes from sqlite3_malloc64() and is
 * consumed in any case; NULL gives an empty database. */
int sql_open(uint8_t *image, size_t len, sqlite3 **ret);
int sql_schema_create(sqlite3 *db);

/* 0 if the image has our schema and passes SQLite's own check, -EBADMSG or -EPROTONOSUPPORT. */
int sql_schema_check(sqlite3 *db);

/* The image; released with sqlite3_free(), which wipes. */
int sql_serialize(sqlite3 *db, uint8_t **ret, size_t *ret_len);
int sql_exec(sqlite3 *db, const char *sql);

/* -- Statements -- */

struct sql_arg {
	enum { SQL_ARG_BLOB, SQL_ARG_TEXT, SQL_ARG_U64, SQL_ARG_NULL } type;
	const void *data;
	uint64_t n; /* length of a blob, or the value */
};
#define SQL_BLOB(p, len) ((struct sql_arg){SQL_ARG_BLOB, (p), (len)})
#define SQL_TEXT(p) ((struct sql_arg){SQL_ARG_TEXT, (p), 0})
#define SQL_U64(v) ((struct sql_arg){SQL_ARG_U64, NULL, (uint64_t)(v)})
#define SQL_NULL ((struct sql_arg){SQL_ARG_NULL, NULL, 0})

/* The arguments of ?1, ?2, ... and their number. */
#define SQL_ARGS(...)                          \
	(const struct sql_arg[]){__VA_ARGS__}, \
		sizeof((const struct sql_arg[]){__VA_ARGS__}) / sizeof(struct sql_arg)

/* Reading needs an unbroken store... */
int sql_query(struct store *s, const char *sql, const struct sql_arg *args, size_t n,
	      sqlite3_stmt **ret, struct kerr *err);
/* ...and gives 1 = a row, 0 = no more, negative errno. */
int sql_step(struct store *s, sqlite3_stmt *stmt, struct kerr *err);

/* A change; opens the transaction if there is none. */
int sql_change(struct store *s, const char *sql, const struct sql_arg *args, size_t n,
	       struct kerr *err);

/* Is there room for `need` bytes more of what is not needed for safety? -ENOSPC/`room`. The rest is
 * kept for custody and its journal, which do not ask (H4). */
int store_room(struct store *s, size_t need, struct kerr *err);

/* One number, 0 where the query gives no row or NULL. */
int sql_number(struct store *s, const char *sql, const struct sql_arg *args, size_t n,
	       uint64_t *ret, struct kerr *err);

/* The one blob of the first row, at most `max` bytes: 1, or 0 where the query gives no row. */
int sql_blob(struct store *s, const char *sql, const struct sql_arg *args, size_t n, void *ret,
	     size_t max, size_t *ret_len, struct kerr *err);

static inline void sql_finalizep(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
}
#define _cleanup_stmt_ _cleanup_(sql_finalizep)

/* -- Columns, read in order; the first that is not as expected sticks, like rbuf -- */

struct sql_row {
	sqlite3_stmt *stmt;
	int column;
	int error;
};

struct sql_row sql_row(sqlite3_stmt *stmt);
uint64_t sql_row_u64(struct sql_row *r);
bool sql_row_bool(struct sql_row *r);
unsigned sql_row_enum(struct sql_row *r, unsigned max);
void sql_row_bytes(struct sql_row *r, void *ret, size_t len);
void sql_row_blob(struct sql_row *r, void *ret, size_t max, size_t *ret_len);
void sql_row_text(struct sql_row *r, char *ret, size_t size);
/* True (and skipped) if the next column is NULL. */
bool sql_row_null(struct sql_row *r);
int sql_row_end(const struct sql_row *r, struct kerr *err);

/* Grows a malloced array by one zeroed element; NULL without memory. */
void *sql_list_grow(void **list, size_t *n, size_t size);

/* -- Meta values that the store itself keeps -- */
#define STORE_AUDIT_BASE ".audit-base" /* u64 seq, hash: the record before the oldest kept one */
#define STORE_AUDIT_HEAD ".audit-head" /* u64 seq, hash: the newest one */
#define STORE_PEER_AUDIT_BASE ".peer-audit-base" /* of the records of peers, likewise */
#define STORE_PEER_AUDIT_HEAD ".peer-audit-head"
#define STORE_JOURNAL_BASE ".journal-base" /* likewise */
#define STORE_JOURNAL_HEAD ".journal-head"

struct store_anchor {
	uint64_t seq;
	uint8_t hash[HASH_LEN];
};
/* Zeros where nothing was stored yet. */
int store_anchor_get(struct store *s, const char *key, struct store_anchor *ret, struct kerr *err);
int store_anchor_set(struct store *s, const char *key, const struct store_anchor *anchor,
		     struct kerr *err);
int store_journal_verify(struct store *s, struct kerr *err);

/* OWN: the policy of the offer is the VM's; VOID: it is forgotten. Others: nothing. */
int store_offer_settle(struct store *s, const uint8_t hid[HID_LEN], enum custody_record record,
		       struct kerr *err);

/* Row, journal record and marker of one change, committed. store-custody.c */
int store_view_write(struct store *s, int marker_dir, const struct custody_view *before,
		     const struct custody_view *after, int record, uint64_t time, const void *proof,
		     size_t proof_len, bool guarded, struct kerr *err);
