/* SPDX-License-Identifier: Apache-2.0 */
/* The store's file: encrypted whole, replaced whole, tied to the TPM's counter (D1 to D5); and the
 * single values. */
#include "policyd/store.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>

#include "base/box.h"
#include "base/file.h"
#include "base/log.h"
#include "policyd/store-sql.h"

/* magic 8, u32 version, u32 zero, u64 counter; then a box, which stands for all before its
 * ciphertext. */
#define FILE_MAGIC "KITHSTOR"
#define FILE_VERSION 1
#define FILE_HEADER_LEN 24

/* -- The file's form -- */

static int file_encrypt(const struct secret *key, uint64_t counter, const uint8_t *image,
			size_t len, uint8_t **ret, size_t *ret_len)
{
	uint8_t *file;
	struct wbuf w;

	if (len > STORE_FILE_MAX - FILE_HEADER_LEN - BOX_OVERHEAD)
		return -EFBIG;
	file = malloc(FILE_HEADER_LEN + len + BOX_OVERHEAD);
	if (!file)
		return -ENOMEM;
	w = wbuf_init(file, FILE_HEADER_LEN);
	wbuf_bytes(&w, FILE_MAGIC, 8);
	wbuf_u32(&w, FILE_VERSION);
	wbuf_u32(&w, 0);
	wbuf_u64(&w, counter);
	box_seal(key->data, file, FILE_HEADER_LEN + BOX_NONCE_LEN, image, len,
		 file + FILE_HEADER_LEN);
	*ret = file;
	*ret_len = FILE_HEADER_LEN + len + BOX_OVERHEAD;
	return 0;
}

/* The image comes in SQLite's memory, which wipes when it is freed. */
static int file_decrypt(const struct secret *key, const uint8_t *file, size_t len,
			uint64_t *ret_counter, uint8_t **ret, size_t *ret_len)
{
	struct rbuf r = rbuf_init(file, len);
	const uint8_t *magic = rbuf_view(&r, 8);
	uint32_t version = rbuf_u32(&r), zero = rbuf_u32(&r);
	uint64_t counter = rbuf_u64(&r);
	uint8_t *image;

	if (r.left <= BOX_OVERHEAD || memcmp(magic, FILE_MAGIC, 8) != 0 ||
	    version != FILE_VERSION || zero)
		return -EBADMSG;
	image = sqlite3_malloc64(r.left - BOX_OVERHEAD);
	if (!image)
		return -ENOMEM;
	if (box_open(key->data, file, FILE_HEADER_LEN + BOX_NONCE_LEN, r.data, r.left, image) < 0) {
		sqlite3_free(image);
		return -EBADMSG;
	}
	*ret_counter = counter;
	*ret = image;
	*ret_len = r.left - BOX_OVERHEAD;
	return 0;
}

/* -- Life -- */

/* Each image is sealed with a nonce of its own. */
_Static_assert(STORE_MARK_LEN == BOX_NONCE_LEN, "the mark is the nonce");
void store_mark(const struct store *s, uint8_t ret[STORE_MARK_LEN])
{
	memset(ret, 0, STORE_MARK_LEN);
	if (s->sealed)
		memcpy(ret, s->sealed + FILE_HEADER_LEN, STORE_MARK_LEN);
}

struct store *store_free(struct store *s)
{
	if (!s)
		return NULL;
	sqlite3_close(s->db);
	secret_clear(&s->key);
	free(s->sealed);
	if (s->dirfd >= 0)
		close(s->dirfd);
	free(s);
	return NULL;
}

static int store_new(int dirfd, const struct secret *db_key, const struct store_guard *guard,
		     struct store **ret, struct kerr *err)
{
	_cleanup_(store_freep) struct store *s = calloc(1, sizeof(*s));

	if (s)
		*s = (struct store){.dirfd = -EBADF, .marker_dir = -EBADF, .guard = *guard};
	if (db_key->len != STORE_KEY_LEN)
		return kerr_set(err, EINVAL, KCODE_FAILED, "The store's key has a wrong length.");
	if (!s || sql_setup() < 0 || secret_from(db_key->data, db_key->len, &s->key) < 0)
		return kerr_set(err, ENOMEM, KCODE_FAILED,
				"There is not enough memory for the store.");
	s->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	if (s->dirfd < 0)
		return kerr_set(err, errno, KCODE_FAILED, "The state directory is not open.");
	*ret = TAKE_PTR(s);
	return 0;
}

/* Puts the image that s->sealed holds in place of the one in memory. */
static int load_sealed(struct store *s)
{
	sqlite3 *db = NULL;
	uint64_t counter;
	uint8_t *image;
	size_t len;
	int r;

	r = file_decrypt(&s->key, s->sealed, s->sealed_len, &counter, &image, &len);
	if (r == 0)
		r = sql_open(image, len, &db);
	if (r < 0)
		return r;
	sqlite3_close(s->db);
	s->db = db;
	s->counter = counter;
	s->changed = false;
	return 0;
}

static void set_broken(struct store *s)
{
	log_error("store", "what is on the disk is not certain; refusing all until a restart");
	s->broken = true;
}

/* -- Commit -- */

/* Makes sure that the disk holds the last committed file, after a new one failed or was given up.
 * Nothing to do in most cases: the rename did not happen. */
static void put_old_back(struct store *s)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t len = 0;
	int r;

	r = file_read(s->dirfd, STORE_FILE, STORE_FILE_MAX, &data, &len);
	if (!s->sealed) {
		if (r != -ENOENT && unlinkat(s->dirfd, STORE_FILE, 0) < 0)
			set_broken(s);
		return;
	}
	if (r == 0 && len == s->sealed_len && memcmp(data, s->sealed, len) == 0)
		return;
	if (file_write_atomic(s->dirfd, STORE_FILE, s->sealed, s->sealed_len, 0600) < 0)
		set_broken(s);
}

/* The file with counter + 1 is on the disk; now the TPM (D5). A TPM that fails may still have
 * counted: if it did not, the old file comes back; if nobody knows, the file stays, because it is
 * valid with either value. */
static int raise_guard(struct store *s, uint64_t target, struct kerr *err)
{
	uint64_t now = 0;
	bool known;

	/* A store that has no TPM beside it counts alone. */
	if (!s->guard.increment)
		return 0;
	if (s->guard.increment(s->guard.ctx, &now) == 0 && now == target)
		return 0;
	known = s->guard.read(s->guard.ctx, &now) == 0;
	if (known && now == target)
		return 0;
	if (known && now == target - 1)
		put_old_back(s);
	else
		set_broken(s);
	return kerr_set(err, EIO, KCODE_TPM,
			"The TPM's counter could not be raised, so the change was not made.");
}

static int write_file(struct store *s, enum commit_kind kind, struct kerr *err)
{
	_cleanup_free_ uint8_t *box = NULL;
	uint64_t counter = s->counter + (kind == COMMIT_GUARDED);
	sqlite3_int64 image_len = 0;
	uint8_t *image = sqlite3_serialize(s->db, "main", &image_len, 0);
	size_t len = 0;
	int r = -ENOMEM;

	if (image && image_len > 0)
		r = file_encrypt(&s->key, counter, image, (size_t)image_len, &box, &len);
	/* This wipes it. */
	sqlite3_free(image);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The store could not be encrypted: %s.",
				strerror(-r));
	r = file_write_atomic(s->dirfd, STORE_FILE, box, len, 0600);
	if (r < 0) {
		put_old_back(s);
		return kerr_set(err, -r, KCODE_FAILED,
				"The store could not be written: %s. Nothing was changed.",
				strerror(-r));
	}
	if (kind == COMMIT_GUARDED) {
		r = raise_guard(s, counter, err);
		if (r < 0)
			return r;
	}
	free(s->sealed);
	s->sealed = TAKE_PTR(box);
	s->sealed_len = len;
	s->counter = counter;
	return 0;
}

int store_commit(struct store *s, enum commit_kind kind, struct kerr *err)
{
	int r = sql_usable(s, err);

	if (r < 0 || (!s->changed && kind == COMMIT_PLAIN))
		return r;
	if (s->changed && sql_exec(s->db, "COMMIT") < 0)
		r = kerr_set(err, ENOMEM, KCODE_FAILED, "The store could not take the change.");
	if (r == 0) {
		s->changed = false;
		r = write_file(s, kind, err);
	}
	if (r == 0)
		return 0;
	/* Memory follows the disk. A store that was just made has nothing to go back to. */
	if (s->sealed && !s->broken && load_sealed(s) < 0)
		set_broken(s);
	return r;
}

void store_rollback(struct store *s)
{
	if (s->broken || !s->changed)
		return;
	s->changed = false;
	if (sql_exec(s->db, "ROLLBACK") < 0 && load_sealed(s) < 0)
		set_broken(s);
}

/* -- Create and open -- */

static int read_guard(const struct store_guard *guard, uint64_t *ret, struct kerr *err)
{
	int r = guard->read(guard->ctx, ret);

	if (r == -ENOENT || r == -ENODATA || r == -EACCES)
		return kerr_set(err, -r, KCODE_LOCKED,
				"The TPM's counter, which guards the store, is gone or is another "
				"one: the TPM was cleared, or another program removed it.");
	if (r < 0)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's counter could not be read.");
	return 0;
}

int store_create(int dirfd, const struct secret *db_key, const struct store_guard *guard,
		 struct store **ret, struct kerr *err)
{
	_cleanup_(store_freep) struct store *s = NULL;
	int r = store_new(dirfd, db_key, guard, &s, err);

	if (r < 0)
		return r;
	if (faccessat(dirfd, STORE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
		return kerr_set(err, EEXIST, KCODE_EXISTS, "This device has a store already.");
	r = read_guard(guard, &s->counter, err);
	if (r < 0)
		return r;
	r = sql_open(NULL, 0, &s->db);
	if (r == 0)
		r = sql_schema_create(s->db);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "A new store could not be made: %s.",
				strerror(-r));
	*ret = TAKE_PTR(s);
	return 0;
}

int store_refuse_damaged(struct kerr *err)
{
	return kerr_set(err, EBADMSG, KCODE_LOCKED,
			"The store of this device does not open: it was damaged or changed, or "
			"belongs to another key. Nothing is allowed until it is restored.");
}

static int load_file(struct store *s, struct kerr *err)
{
	int r = file_read(s->dirfd, STORE_FILE, STORE_FILE_MAX, &s->sealed, &s->sealed_len);

	if (r == -ENOENT)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "There is no store here yet.");
	if (r == -EFBIG || r == -EINVAL)
		return store_refuse_damaged(err);
	if (r == 0)
		r = load_sealed(s);
	if (r == 0)
		r = sql_schema_check(s->db);
	if (r == -EBADMSG)
		return store_refuse_damaged(err);
	if (r == -EPROTONOSUPPORT)
		return kerr_set(err, EPROTONOSUPPORT, KCODE_LOCKED,
				"The store was written by another version of Kith.");
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The store could not be read: %s.",
				strerror(-r));
	return 0;
}

/* D5: the same value, or one ahead where a crash came between write and increment. */
static int check_guard(struct store *s, uint64_t tpm, struct kerr *err)
{
	uint64_t now = 0;

	if (s->counter == tpm)
		return 0;
	if (s->counter < tpm)
		return kerr_set(err, ESTALE, KCODE_ROLLBACK,
				"The store is an older copy: its counter is %llu, the TPM's is "
				"%llu. Hand-offs are refused, running VMs are not touched.",
				(unsigned long long)s->counter, (unsigned long long)tpm);
	if (s->counter - tpm != 1)
		return kerr_set(
			err, ESTALE, KCODE_ROLLBACK,
			"The store does not belong to this TPM's counter: it says %llu, the "
			"TPM %llu. Hand-offs are refused, running VMs are not touched.",
			(unsigned long long)s->counter, (unsigned long long)tpm);
	log_debug("store", "rolling the counter forward to %llu", (unsigned long long)s->counter);
	if (s->guard.increment(s->guard.ctx, &now) < 0 || now != s->counter)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM's counter could not be raised.");
	return 0;
}

/* *ret_tpm is untouched where the guard is none. */
static int open_file(int dirfd, const struct secret *db_key, const struct store_guard *guard,
		     struct store **ret, uint64_t *ret_tpm, struct kerr *err)
{
	int r = store_new(dirfd, db_key, guard, ret, err);

	if (r == 0)
		r = load_file(*ret, err);
	if (r == 0 && guard->read)
		r = read_guard(guard, ret_tpm, err);
	return r;
}

int store_open(int dirfd, const struct secret *db_key, const struct store_guard *guard,
	       struct store **ret, struct kerr *err)
{
	_cleanup_(store_freep) struct store *s = NULL;
	uint64_t tpm;
	int r = open_file(dirfd, db_key, guard, &s, &tpm, err);

	if (r == 0)
		r = check_guard(s, tpm, err);
	if (r == 0)
		*ret = TAKE_PTR(s);
	return r;
}

/* State may be lost: every known VM is in doubt, each under a number of its own. Where nobody else
 * is, nothing can have gone. */
static int doubt_all(struct store *s, struct kerr *err)
{
	_cleanup_free_ struct custody_view *views = NULL;
	uint64_t peers;
	size_t n;
	int r = sql_number(s, err, &peers, "SELECT count(*) FROM peers");

	if (r < 0 || !peers)
		return r;
	r = sql_list(s, err, &custody_table, &views, &n, "");
	if (r == 0)
		r = sql_change(s, err, "DELETE FROM answers");
	for (size_t i = 0; r == 0 && i < n; i++) {
		uint8_t nonce[HID_LEN];

		randombytes_buf(nonce, sizeof(nonce));
		r = sql_change(s, err,
			       "UPDATE custody SET doubt=?2, nonce=?3, told_epoch=0 WHERE uuid=?1",
			       SQL_UUID(views[i].uuid), SQL_U64(CUSTODY_ASKING), SQL_HID(nonce));
	}
	return r;
}

int store_open_rebase(int dirfd, const struct secret *db_key, const struct store_guard *guard,
		      struct store **ret, bool *ret_lost, struct kerr *err)
{
	_cleanup_(store_freep) struct store *s = NULL;
	uint64_t tpm;
	bool lost;
	int r = open_file(dirfd, db_key, guard, &s, &tpm, err);

	if (r < 0)
		return r;
	/* One ahead is a crash, which lost nothing (check_guard()). */
	lost = s->counter != tpm && s->counter != tpm + 1;
	if (lost) {
		log_warning("store", "counter %llu accepted in place of %llu by recovery key",
			    (unsigned long long)s->counter, (unsigned long long)tpm);
		r = doubt_all(s, err);
	}
	s->counter = tpm;
	if (r == 0)
		r = store_commit(s, COMMIT_GUARDED, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	*ret_lost = lost;
	return 0;
}

int store_open_unguarded(int dirfd, const struct secret *db_key, struct store **ret,
			 struct kerr *err)
{
	static const struct store_guard none;
	_cleanup_(store_freep) struct store *s = NULL;
	int r = open_file(dirfd, db_key, &none, &s, NULL, err);

	if (r == 0)
		r = doubt_all(s, err);
	if (r == 0)
		r = store_commit(s, COMMIT_GUARDED, err);
	if (r == 0)
		*ret = TAKE_PTR(s);
	return r;
}

/* -- Single values -- */

int store_meta_set(struct store *s, const char *key, const void *value, size_t len,
		   struct kerr *err)
{
	if (len > STORE_META_MAX)
		return kerr_set(err, EMSGSIZE, KCODE_FAILED, "The value \"%s\" is too long.", key);
	return sql_change(s, err, "INSERT OR REPLACE INTO meta VALUES(?1, ?2)", SQL_TEXT(key),
			  SQL_BLOB(value, len));
}

int store_meta_delete(struct store *s, const char *key, struct kerr *err)
{
	return sql_change(s, err, "DELETE FROM meta WHERE key=?1", SQL_TEXT(key));
}

/* The value lives as long as the statement. */
static int meta_find(struct sql *q, const char *key, const void **ret, size_t *ret_len)
{
	int r = sql_first(q, "SELECT value FROM meta WHERE key=?1", SQL_TEXT(key));

	if (r == 0)
		return kerr_set(q->err, ENOENT, KCODE_NOT_FOUND, "The store has no \"%s\".", key);
	if (r < 0)
		return r;
	*ret = sqlite3_column_blob(q->stmt, 0);
	*ret_len = (size_t)sqlite3_column_bytes(q->stmt, 0);
	return 0;
}

int store_meta_get(struct store *s, const char *key, void *ret, size_t size, size_t *ret_len,
		   struct kerr *err)
{
	_cleanup_(sql_end) struct sql q = {.s = s, .err = err};
	const void *data;
	size_t len;
	int r = meta_find(&q, key, &data, &len);

	if (r < 0)
		return r;
	if (len > size)
		return kerr_set(err, EMSGSIZE, KCODE_FAILED, "The value \"%s\" is too long.", key);
	if (len)
		memcpy(ret, data, len);
	*ret_len = len;
	return 0;
}

int store_meta_get_text(struct store *s, const char *key, char *ret, size_t size, struct kerr *err)
{
	size_t len;
	int r = store_meta_get(s, key, ret, size - 1, &len, err);

	if (r == 0 && memchr(ret, '\0', len))
		r = kerr_set(err, EBADMSG, KCODE_FAILED, "The value \"%s\" is no text.", key);
	if (r == 0)
		ret[len] = '\0';
	return r;
}

int store_meta_get_secret(struct store *s, const char *key, struct secret *ret, struct kerr *err)
{
	_cleanup_(sql_end) struct sql q = {.s = s, .err = err};
	const void *data;
	size_t len;
	int r = meta_find(&q, key, &data, &len);

	if (r == 0 && secret_from(data ? data : "", len, ret) < 0)
		r = kerr_set(err, ENOMEM, KCODE_FAILED, "There is no locked memory left.");
	return r;
}
