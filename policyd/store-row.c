/* SPDX-License-Identifier: Apache-2.0 */
/* Statements, and records as rows of their tables. */
#include <string.h>

#include "policyd/store-sql.h"

/* -- Failures: the first sticks in the statement, with its sentence -- */

static int fail(struct sql *q)
{
	int rc = sqlite3_errcode(q->s->db);

	if (!q->error)
		q->error =
			kerr_set(q->err, (rc & 0xff) == SQLITE_NOMEM ? ENOMEM : EIO, KCODE_FAILED,
				 "The store of this device failed: %s.", sqlite3_errmsg(q->s->db));
	return q->error;
}

static int no_memory(struct sql *q)
{
	q->error = kerr_set(q->err, ENOMEM, KCODE_FAILED, "There is no memory left.");
	return q->error;
}

/* The value at hand cannot be. */
static void bad(struct sql *q)
{
	if (q->error)
		return;
	if (q->way == SQL_READ)
		q->error = kerr_set(q->err, EBADMSG, KCODE_FAILED,
				    "A record in the store is not as it should be.");
	else
		q->error = kerr_set(q->err, EINVAL, KCODE_BAD_MESSAGE,
				    "The %s has an impossible name or value.", q->table->what);
}

/* -- Statements -- */

/* To the place after the one that was bound last. */
static void bind(struct sql *q, struct sql_arg a)
{
	int rc = SQLITE_OK;

	if (a.type == SQLITE_INTEGER && a.n <= INT64_MAX)
		rc = sqlite3_bind_int64(q->stmt, q->column, (sqlite3_int64)a.n);
	else if (a.type == SQLITE_INTEGER)
		q->error = kerr_set(q->err, ERANGE, KCODE_USAGE,
				    "A number is too large to be stored.");
	else if (a.type == SQLITE_TEXT)
		rc = sqlite3_bind_text64(q->stmt, q->column, a.data, a.n, SQLITE_STATIC,
					 SQLITE_UTF8);
	else
		/* A NULL pointer would bind NULL, not an empty blob. */
		rc = sqlite3_bind_blob64(q->stmt, q->column, a.n ? a.data : "", a.n, SQLITE_STATIC);
	if (rc != SQLITE_OK)
		fail(q);
}

int sql_usable(const struct store *s, struct kerr *err)
{
	if (!s->broken)
		return 0;
	return kerr_set(err, EIO, KCODE_NOT_READY,
			"Writing the store failed and it is not certain what is on the disk. "
			"Restart kith-policyd; it will find the old or the new state.");
}

static int prepare(struct sql *q, const char *sql, struct sql_args args)
{
	int r = sql_usable(q->s, q->err);

	if (r < 0)
		return r;
	if (q->way == SQL_WRITE && !q->s->changed) {
		if (sql_exec(q->s->db, "BEGIN IMMEDIATE") < 0)
			return fail(q);
		q->s->changed = true;
	}
	if (sqlite3_prepare_v2(q->s->db, sql, -1, &q->stmt, NULL) != SQLITE_OK)
		return fail(q);
	for (size_t i = 0; i < args.n && !q->error; i++) {
		q->column = (int)i + 1;
		bind(q, args.list[i]);
	}
	return q->error;
}

/* 1 = a row, 0 = no more. */
static int step(struct sql *q)
{
	int rc = q->error ? SQLITE_ERROR : sqlite3_step(q->stmt);

	q->column = 0;
	q->optional = q->null = false;
	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : fail(q);
}

int sql_first_args(struct sql *q, const char *sql, struct sql_args args)
{
	int r = prepare(q, sql, args);

	return r < 0 ? r : step(q);
}

int sql_change_args(struct store *s, struct kerr *err, const char *sql, struct sql_args args)
{
	_cleanup_(sql_end) struct sql q = {.s = s, .err = err, .way = SQL_WRITE};

	return sql_first_args(&q, sql, args);
}

int sql_number_args(struct store *s, struct kerr *err, uint64_t *ret, const char *sql,
		    struct sql_args args)
{
	_cleanup_(sql_end) struct sql q = {.s = s, .err = err};
	int r = sql_first_args(&q, sql, args);

	if (r < 0)
		return r;
	*ret = r ? (uint64_t)sqlite3_column_int64(q.stmt, 0) : 0;
	return 0;
}

int sql_blob_args(struct store *s, struct kerr *err, void *ret, size_t max, size_t *ret_len,
		  const char *sql, struct sql_args args)
{
	_cleanup_(sql_end) struct sql q = {.s = s, .err = err, .way = SQL_READ};
	int r = sql_first_args(&q, sql, args);

	if (r > 0)
		row_blob(&q, "", ret, ret_len, max);
	return q.error ? q.error : r;
}

/* -- Columns -- */

/* Says the next column; false if there is nothing to read or write in it. */
static bool next(struct sql *q, const char *name, int type)
{
	static const char *const types[] = {
		[SQLITE_INTEGER] = "INTEGER", [SQLITE_TEXT] = "TEXT", [SQLITE_BLOB] = "BLOB"};

	q->column++;
	if (q->declared)
		sqlite3_str_appendf(q->declared, "%s %s%s,", name, types[type],
				    q->optional ? "" : " NOT NULL");
	if (q->way == SQL_DECLARE || q->null)
		return false;
	if (q->way == SQL_READ && sqlite3_column_type(q->stmt, q->column - 1) != type)
		bad(q);
	return !q->error;
}

uint64_t row_number(struct sql *q, const char *name, uint64_t v, uint64_t max)
{
	if (!next(q, name, SQLITE_INTEGER))
		return 0;
	if (q->way == SQL_READ)
		v = (uint64_t)sqlite3_column_int64(q->stmt, q->column - 1);
	if (v >= max && (q->way == SQL_READ || max <= INT64_MAX))
		bad(q);
	else if (q->way == SQL_WRITE)
		bind(q, SQL_U64(v));
	return q->error ? 0 : v;
}

/* A blob or text of at most `max` bytes. */
static void column_data(struct sql *q, int type, void *v, size_t *len, size_t max)
{
	size_t n = q->way == SQL_READ ? (size_t)sqlite3_column_bytes(q->stmt, q->column - 1) : *len;

	if (n > max)
		bad(q);
	else if (q->way == SQL_WRITE)
		bind(q, (struct sql_arg){type, v, n});
	else if (n)
		memcpy(v, sqlite3_column_blob(q->stmt, q->column - 1), n);
	*len = q->error ? 0 : n;
}

void row_blob(struct sql *q, const char *name, void *v, size_t *len, size_t max)
{
	if (next(q, name, SQLITE_BLOB))
		column_data(q, SQLITE_BLOB, v, len, max);
}

void row_bytes(struct sql *q, const char *name, void *v, size_t len)
{
	size_t n = len;

	row_blob(q, name, v, &n, len);
	if (n != len)
		bad(q);
}

void row_copy(struct sql *q, const char *name, uint8_t **v, size_t *len, size_t max)
{
	if (q->way == SQL_READ && !q->error) {
		*v = calloc(1, (size_t)sqlite3_column_bytes(q->stmt, q->column) + 1);
		if (!*v)
			no_memory(q);
	}
	row_blob(q, name, *v, len, max);
}

void row_text(struct sql *q, const char *name, char *v, size_t size)
{
	size_t len = strnlen(v, size);

	if (next(q, name, SQLITE_TEXT))
		column_data(q, SQLITE_TEXT, v, &len, size - 1);
	if (q->way == SQL_READ && memchr(v, '\0', len))
		bad(q);
}

void row_name(struct sql *q, const char *name, char v[NAME_MAX_LEN + 1])
{
	row_text(q, name, v, NAME_MAX_LEN + 1);
	if (q->way == SQL_WRITE && !q->error && !text_is_name(v, NAME_MAX_LEN))
		bad(q);
}

bool row_present(struct sql *q, bool present)
{
	q->optional = true;
	if (q->way == SQL_READ)
		present = sqlite3_column_type(q->stmt, q->column) != SQLITE_NULL;
	q->null = !present;
	return present;
}

/* -- Tables -- */

int sql_declare(sqlite3 *db, const struct sql_table *t)
{
	struct sql q = {.way = SQL_DECLARE, .declared = sqlite3_str_new(db)};
	_cleanup_free_ void *blank = calloc(1, t->size);
	char *sql;
	int r = -ENOMEM;

	sqlite3_str_appendf(q.declared, "CREATE TABLE %s(", t->name);
	if (blank)
		t->row(&q, blank);
	sqlite3_str_appendf(q.declared, "%s) STRICT, WITHOUT ROWID", t->keys);
	sql = sqlite3_str_finish(q.declared);
	if (blank && sql)
		r = sql_exec(db, sql);
	sqlite3_free(sql);
	return r;
}

/* As many as the widest table needs. */
#define PLACES "?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?"

int sql_put(struct store *s, struct kerr *err, const struct sql_table *t, const char *how,
	    const void *v)
{
	_cleanup_(sql_end) struct sql q = {.s = s, .err = err, .table = t, .way = SQL_WRITE};
	struct sql count = {.way = SQL_DECLARE};
	char sql[256];
	int r;

	t->row(&count, (void *)v);
	snprintf(sql, sizeof(sql), "%s INTO %s VALUES(%.*s)", how, t->name, 2 * count.column - 1,
		 PLACES);
	r = prepare(&q, sql, SQL_ARGS());
	if (r < 0)
		return r;
	t->row(&q, (void *)v);
	return step(&q);
}

static int find(struct sql *q, const struct sql_table *t, const char *tail, struct sql_args args)
{
	char sql[512];

	q->table = t;
	q->way = SQL_READ;
	snprintf(sql, sizeof(sql), "SELECT * FROM %s %s", t->name, tail);
	return sql_first_args(q, sql, args);
}

int sql_get_args(struct store *s, struct kerr *err, const struct sql_table *t, void *ret,
		 const char *tail, struct sql_args args)
{
	_cleanup_(sql_end) struct sql q = {.s = s, .err = err};
	_cleanup_free_ void *v = calloc(1, t->size);
	int r = v ? find(&q, t, tail, args) : no_memory(&q);

	if (r <= 0)
		return r;
	t->row(&q, v);
	if (q.error)
		return q.error;
	memcpy(ret, v, t->size);
	return 1;
}

int sql_found(int r, const struct sql_table *t, struct kerr *err)
{
	if (r == 0)
		return kerr_set(err, ENOENT, t->missing_code, "%s", t->missing);
	return r < 0 ? r : 0;
}

int sql_list_args(struct store *s, struct kerr *err, const struct sql_table *t, void *ret,
		  size_t *ret_n, const char *tail, struct sql_args args)
{
	_cleanup_(sql_end) struct sql q = {.s = s, .err = err};
	_cleanup_free_ uint8_t *list = NULL;
	size_t n = 0;
	int r;

	for (r = find(&q, t, tail, args); r > 0; r = step(&q)) {
		/* Doubles at powers of two. */
		if ((n & (n - 1)) == 0) {
			void *grown = reallocarray(list, n ? 2 * n : 1, t->size);

			if (!grown)
				return no_memory(&q);
			list = grown;
		}
		memset(list + n * t->size, 0, t->size);
		t->row(&q, list + n++ * t->size);
	}
	if (r < 0)
		return r;
	memcpy(ret, &list, sizeof(list));
	list = NULL;
	*ret_n = n;
	return 0;
}
