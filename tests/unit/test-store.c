/* SPDX-License-Identifier: Apache-2.0 */
/* The store's file under failing disks, kills, flipped bits, old copies and a failing TPM. */
#include <sys/wait.h>

#include "tests/unit/store-fixture.h"

/* -- The file -- */

static void test_basic(struct fixture *f, const void *data _unused_)
{
	struct store *second = NULL;
	struct kerr err = {0};

	g_assert_cmpuint(f->s->counter, ==, 101);
	g_assert_cmpint(store_create(f->dir, &f->key, &f->guard, &second, &err), ==, -EEXIST);
	g_assert_cmpint((int)err.code, ==, KCODE_EXISTS);
	commit_pair(f, 1, COMMIT_PLAIN);
	g_assert_cmpuint(f->counter->value, ==, 101);
	commit_pair(f, 2, COMMIT_GUARDED);
	g_assert_cmpuint(f->counter->value, ==, 102);
	g_assert_cmpint(write_pair(f->s, 3, NULL), ==, 0);
	g_assert_cmpuint(read_pair(f->s), ==, 3);
	store_rollback(f->s);
	g_assert_cmpuint(read_pair(f->s), ==, 2);
	must_reopen(f);
	g_assert_cmpuint(read_pair(f->s), ==, 2);
	g_assert_cmpuint(f->s->counter, ==, 102);
	/* What was not committed is not there after a restart. */
	g_assert_cmpint(write_pair(f->s, 4, NULL), ==, 0);
	must_reopen(f);
	g_assert_cmpuint(read_pair(f->s), ==, 2);
	g_assert_cmpuint(f->counter->value, ==, 102);
}

static void test_missing(struct fixture *f, const void *data _unused_)
{
	struct kerr err = {0};

	g_assert_cmpint(unlinkat(f->dir, STORE_FILE, 0), ==, 0);
	g_assert_cmpint(reopen(f, &err), ==, -ENOENT);
	g_assert_cmpint((int)err.code, ==, KCODE_NOT_FOUND);
	g_assert_null(f->s);
}

/* Nothing of the content can be read in the file. */
static void test_secrecy(struct fixture *f, const void *data _unused_)
{
	static const char marker[] = "MARKER-of-a-private-key-0123456789";
	_cleanup_free_ uint8_t *file = NULL;
	struct secret out = SECRET_INIT;
	size_t len;

	g_assert_cmpint(store_meta_set(f->s, STORE_DEVICE_SK, marker, sizeof(marker), NULL), ==, 0);
	g_assert_cmpint(store_commit(f->s, COMMIT_PLAIN, NULL), ==, 0);
	g_assert_cmpint(file_read(f->dir, STORE_FILE, STORE_FILE_MAX, &file, &len), ==, 0);
	g_assert_null(memmem(file, len, marker, 8));
	g_assert_null(memmem(file, len, "device_sk", 9));
	g_assert_null(memmem(file, len, "SQLite", 6));
	g_assert_nonnull(memmem(file, len, "KITHSTOR", 8));
	must_reopen(f);
	g_assert_cmpint(store_meta_get_secret(f->s, STORE_DEVICE_SK, &out, NULL), ==, 0);
	g_assert_cmpmem(out.data, out.len, marker, sizeof(marker));
	secret_clear(&out);
}

static void test_wrong_key(struct fixture *f, const void *data _unused_)
{
	struct secret other = SECRET_INIT;
	struct store *s = NULL;
	struct kerr err = {0};

	g_assert_cmpint(secret_random(STORE_KEY_LEN, &other), ==, 0);
	g_assert_cmpint(store_open(f->dir, &other, &f->guard, &s, &err), ==, -EBADMSG);
	g_assert_cmpint((int)err.code, ==, KCODE_LOCKED);
	g_assert_null(s);
	secret_clear(&other);
	must_reopen(f);
}

static void test_bit_flips(struct fixture *f, const void *data _unused_)
{
	_cleanup_free_ uint8_t *good = NULL;
	struct store *s = NULL;
	size_t len;

	commit_pair(f, 1, COMMIT_PLAIN);
	g_assert_cmpint(file_read(f->dir, STORE_FILE, STORE_FILE_MAX, &good, &len), ==, 0);
	for (unsigned i = 0; i < 10000; i++) {
		/* Every bit of the header, then anywhere. */
		size_t bit = i < 8 * 64 ? i : randombytes_uniform((uint32_t)(8 * len));
		int fd = openat(f->dir, STORE_FILE, O_WRONLY | O_CLOEXEC);
		uint8_t byte = good[bit / 8] ^ (uint8_t)(1u << bit % 8);
		struct kerr err = {0};

		g_assert_cmpint(pwrite(fd, &byte, 1, (off_t)(bit / 8)), ==, 1);
		g_assert_cmpint(store_open(f->dir, &f->key, &f->guard, &s, &err), ==, -EBADMSG);
		g_assert_cmpint((int)err.code, ==, KCODE_LOCKED);
		g_assert_null(s);
		g_assert_cmpint(pwrite(fd, &good[bit / 8], 1, (off_t)(bit / 8)), ==, 1);
		close(fd);
	}
	must_reopen(f);
	g_assert_cmpuint(read_pair(f->s), ==, 1);
}

static void test_truncated(struct fixture *f, const void *data _unused_)
{
	_cleanup_free_ uint8_t *good = NULL;
	struct store *s = NULL;
	size_t len;

	g_assert_cmpint(file_read(f->dir, STORE_FILE, STORE_FILE_MAX, &good, &len), ==, 0);
	for (size_t n = 0; n < len; n += n < 100 ? 1 : 997) {
		struct kerr err = {0};

		g_assert_cmpint(file_write_atomic(f->dir, STORE_FILE, good, n, 0600), ==, 0);
		g_assert_cmpint(store_open(f->dir, &f->key, &f->guard, &s, &err), ==, -EBADMSG);
		g_assert_cmpint((int)err.code, ==, KCODE_LOCKED);
	}
	g_assert_cmpint(file_write_atomic(f->dir, STORE_FILE, good, len + 1, 0600), ==, 0);
	g_assert_cmpint(store_open(f->dir, &f->key, &f->guard, &s, NULL), ==, -EBADMSG);
	g_assert_cmpint(file_write_atomic(f->dir, STORE_FILE, good, len, 0600), ==, 0);
	must_reopen(f);
}

/* -- Old copies -- */

static void test_rollback(struct fixture *f, const void *data _unused_)
{
	bool lost = false;
	uint8_t *copy[11];
	size_t len[11];
	struct kerr err = {0};

	for (unsigned i = 0; i <= 10; i++) {
		commit_pair(f, i, COMMIT_GUARDED);
		g_assert_cmpint(file_read(f->dir, STORE_FILE, STORE_FILE_MAX, &copy[i], &len[i]),
				==, 0);
	}
	for (unsigned age = 1; age <= 10; age++) {
		struct store *s = NULL;

		kerr_clear(&err);
		g_assert_cmpint(
			file_write_atomic(f->dir, STORE_FILE, copy[10 - age], len[10 - age], 0600),
			==, 0);
		g_assert_cmpint(store_open(f->dir, &f->key, &f->guard, &s, &err), ==, -ESTALE);
		g_assert_cmpint((int)err.code, ==, KCODE_ROLLBACK);
		g_assert_nonnull(strstr(err.text, "is an older copy"));
		g_assert_null(s);
	}
	g_assert_cmpint(file_write_atomic(f->dir, STORE_FILE, copy[10], len[10], 0600), ==, 0);
	must_reopen(f);
	g_assert_cmpuint(read_pair(f->s), ==, 10);

	/* The owner gives the recovery key: the old copy is taken, under a fresh counter... */
	f->s = store_free(f->s);
	g_assert_cmpint(file_write_atomic(f->dir, STORE_FILE, copy[4], len[4], 0600), ==, 0);
	g_assert_cmpint(store_open_rebase(f->dir, &f->key, &f->guard, &f->s, &lost, NULL), ==, 0);
	g_assert_true(lost);
	g_assert_cmpuint(read_pair(f->s), ==, 4);
	must_reopen(f);
	g_assert_cmpuint(read_pair(f->s), ==, 4);
	/* Nothing is lost where the counter fits. */
	f->s = store_free(f->s);
	g_assert_cmpint(store_open_rebase(f->dir, &f->key, &f->guard, &f->s, &lost, NULL), ==, 0);
	g_assert_false(lost);
	/* ...and the newest of before is now an older copy itself. */
	g_assert_cmpint(file_write_atomic(f->dir, STORE_FILE, copy[10], len[10], 0600), ==, 0);
	g_assert_cmpint(reopen(f, NULL), ==, -ESTALE);
	for (unsigned i = 0; i <= 10; i++)
		free(copy[i]);
}

static void test_foreign(struct fixture *f, const void *data _unused_)
{
	struct kerr err = {0};

	f->counter->value -= 2;
	g_assert_cmpint(reopen(f, &err), ==, -ESTALE);
	g_assert_cmpint((int)err.code, ==, KCODE_ROLLBACK);
	g_assert_nonnull(strstr(err.text, "does not belong"));
	g_assert_cmpuint(f->counter->value, ==, 99);
	/* One ahead is a crash in between. */
	f->counter->value += 1;
	must_reopen(f);
	g_assert_cmpuint(f->counter->value, ==, 101);
}

/* -- The TPM between write and increment -- */

static void test_increment_fails(struct fixture *f, const void *data _unused_)
{
	struct kerr err = {0};

	commit_pair(f, 1, COMMIT_GUARDED);
	/* It did not count: the old file comes back. */
	f->counter->fail_increment = 1;
	g_assert_cmpint(write_pair(f->s, 2, NULL), ==, 0);
	g_assert_cmpint(store_commit(f->s, COMMIT_GUARDED, &err), <, 0);
	g_assert_cmpint((int)err.code, ==, KCODE_TPM);
	g_assert_false(f->s->broken);
	g_assert_cmpuint(read_pair(f->s), ==, 1);
	must_reopen(f);
	g_assert_cmpuint(read_pair(f->s), ==, 1);
	/* It counted, only the answer was lost. */
	f->counter->fail_after = 1;
	commit_pair(f, 3, COMMIT_GUARDED);
	must_reopen(f);
	g_assert_cmpuint(read_pair(f->s), ==, 3);
}

/* Nobody knows whether it counted: the store refuses all until it is opened again. */
static void test_increment_unknown(struct fixture *f, const void *data _unused_)
{
	for (int counted = 0; counted < 2; counted++) {
		uint64_t value = 10 + (uint64_t)counted, pair;
		struct kerr err = {0};
		size_t len;

		commit_pair(f, 1, COMMIT_GUARDED);
		*(counted ? &f->counter->fail_after : &f->counter->fail_increment) = 1;
		f->counter->fail_read = 1;
		g_assert_cmpint(write_pair(f->s, value, NULL), ==, 0);
		g_assert_cmpint(store_commit(f->s, COMMIT_GUARDED, NULL), <, 0);
		g_assert_true(f->s->broken);
		g_assert_cmpint(store_commit(f->s, COMMIT_PLAIN, &err), ==, -EIO);
		g_assert_cmpint((int)err.code, ==, KCODE_NOT_READY);
		g_assert_cmpint(write_pair(f->s, 5, NULL), ==, -EIO);
		g_assert_cmpint(store_meta_get(f->s, "left", &pair, sizeof(pair), &len, NULL), ==,
				-EIO);
		must_reopen(f);
		g_assert_cmpuint(read_pair(f->s), ==, value);
		g_assert_cmpuint(f->s->counter, ==, f->counter->value);
	}
}

/* Runs one commit in a child that dies where it was told to. */
static void die_in_commit(struct fixture *f, uint64_t value, enum commit_kind kind, enum fault how,
			  int at)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (how != FAULT_NONE)
			arm(how, at, EIO);
		if (write_pair(f->s, value, NULL) == 0)
			store_commit(f->s, kind, NULL);
		_exit(fault == FAULT_NONE || fault_at > 0 ? 0 : 1);
	}
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
}

static void test_kill_at_gaps(struct fixture *f, const void *data _unused_)
{
	commit_pair(f, 0, COMMIT_GUARDED);
	for (unsigned i = 1; i <= 200; i++) {
		bool before = i % 2;

		f->counter->kill_before = before;
		f->counter->kill_after = !before;
		die_in_commit(f, i, COMMIT_GUARDED, FAULT_NONE, 0);
		f->counter->kill_before = f->counter->kill_after = false;
		/* The file was complete: rolled forward, no false alarm. */
		must_reopen(f);
		g_assert_cmpuint(read_pair(f->s), ==, i);
		g_assert_cmpuint(f->s->counter, ==, f->counter->value);
	}
}

/* -- Failing disks -- */

static void test_fail_each_call(struct fixture *f, const void *data)
{
	static const int errors[] = {EIO, ENOSPC, EROFS};
	enum commit_kind kind = *(const enum commit_kind *)data;
	unsigned failures = 0;
	uint64_t value = 1;

	commit_pair(f, value, kind);
	for (size_t e = 0; e < G_N_ELEMENTS(errors); e++) {
		for (int n = 1;; n++) {
			bool reached;
			int r;

			g_assert_cmpint(write_pair(f->s, value + 1, NULL), ==, 0);
			arm(FAULT_ERROR, n, errors[e]);
			r = store_commit(f->s, kind, NULL);
			reached = disarm();
			if (r < 0) {
				failures++;
				/* One failure is always undone. */
				g_assert_false(f->s->broken);
				g_assert_cmpuint(read_pair(f->s), ==, value);
				must_reopen(f);
				g_assert_cmpuint(read_pair(f->s), ==, value);
			} else {
				value++;
				g_assert_cmpuint(read_pair(f->s), ==, value);
				must_reopen(f);
				g_assert_cmpuint(read_pair(f->s), ==, value);
			}
			if (!reached)
				break;
			g_assert_cmpint(n, <, 50);
		}
	}
	g_test_message("%u failed commits", failures);
	g_assert_cmpuint(failures, >=, 15);
}

/* From the Nth call on the disk takes nothing any more. */
static void test_fail_for_good(struct fixture *f, const void *data)
{
	enum commit_kind kind = *(const enum commit_kind *)data;
	uint64_t value = 1;
	unsigned broken = 0;

	commit_pair(f, value, kind);
	for (int n = 1;; n++) {
		bool reached;
		int r;

		g_assert_cmpint(write_pair(f->s, value + 1, NULL), ==, 0);
		arm(FAULT_ALL_ERRORS, n, EIO);
		r = store_commit(f->s, kind, NULL);
		reached = disarm();
		if (r < 0 && f->s->broken) {
			uint64_t found;

			broken++;
			g_assert_cmpint(write_pair(f->s, 99, NULL), <, 0);
			must_reopen(f);
			found = read_pair(f->s);
			g_assert_true(found == value || found == value + 1);
			value = found;
		} else {
			value += r == 0;
			g_assert_cmpuint(read_pair(f->s), ==, value);
			must_reopen(f);
			g_assert_cmpuint(read_pair(f->s), ==, value);
		}
		if (!reached)
			break;
		g_assert_cmpint(n, <, 50);
	}
	g_assert_cmpuint(broken, >=, 1);
}

static void test_kill_each_call(struct fixture *f, const void *data)
{
	enum commit_kind kind = *(const enum commit_kind *)data;
	uint64_t value = 1;
	unsigned old = 0, fresh = 0;

	commit_pair(f, value, kind);
	for (int how = FAULT_KILL_BEFORE; how <= FAULT_KILL_AFTER; how++) {
		for (int n = 1; n < 10; n++) {
			uint64_t found;

			die_in_commit(f, value + 1, kind, (enum fault)how, n);
			must_reopen(f);
			found = read_pair(f->s);
			g_assert_true(found == value || found == value + 1);
			*(found == value ? &old : &fresh) += 1;
			value = found;
		}
	}
	g_assert_cmpuint(old, >=, 4);
	g_assert_cmpuint(fresh, >=, 4);
}

/* Memory runs out at every possible place inside SQLite. */
static void test_fail_memory(struct fixture *f, const void *data _unused_)
{
	uint64_t value = 1;
	unsigned failures = 0;

	commit_pair(f, value, COMMIT_PLAIN);
	for (sqlite3_int64 room = 1024;; room += 2048) {
		int r;

		sqlite3_hard_heap_limit64(sqlite3_memory_used() + room);
		r = write_pair(f->s, value + 1, NULL);
		if (r == 0)
			r = store_commit(f->s, COMMIT_PLAIN, NULL);
		else
			store_rollback(f->s);
		sqlite3_hard_heap_limit64(0);
		if (r == 0)
			break;
		failures++;
		if (!f->s->broken)
			g_assert_cmpuint(read_pair(f->s), ==, value);
		must_reopen(f);
		g_assert_cmpuint(read_pair(f->s), ==, value);
		g_assert_cmpint(room, <, 8 << 20);
	}
	g_test_message("%u failures", failures);
	g_assert_cmpuint(failures, >=, 5);
	g_assert_cmpuint(read_pair(f->s), ==, value + 1);
}

static void test_create_fails(struct fixture *f, const void *data _unused_)
{
	f->s = store_free(f->s);
	for (int n = 1;; n++) {
		bool reached;
		int r;

		unlinkat(f->dir, STORE_FILE, 0);
		arm(FAULT_ERROR, n, EIO);
		r = make_store(f);
		reached = disarm();
		if (r == 0)
			f->s = store_free(f->s);
		else
			g_assert_cmpint(faccessat(f->dir, STORE_FILE, F_OK, 0), ==, -1);
		if (!reached)
			break;
		g_assert_cmpint(n, <, 50);
	}
	/* A TPM that fails leaves no file either. */
	unlinkat(f->dir, STORE_FILE, 0);
	f->counter->fail_increment = 1;
	g_assert_cmpint(make_store(f), <, 0);
	g_assert_cmpint(faccessat(f->dir, STORE_FILE, F_OK, 0), ==, -1);
	g_assert_cmpint(make_store(f), ==, 0);
}

int main(int argc, char **argv)
{
	static const enum commit_kind plain = COMMIT_PLAIN, guarded = COMMIT_GUARDED;

	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
#define ADD(name, data, fn) g_test_add(name, struct fixture, data, setup, fn, teardown)
	ADD("/store/commit, rollback, reopen", NULL, test_basic);
	ADD("/store/a missing file is no empty store", NULL, test_missing);
	ADD("/store/the file is unreadable", NULL, test_secrecy);
	ADD("/store/a wrong key is locked", NULL, test_wrong_key);
	ADD("/store/D1 each call fails once, plain", &plain, test_fail_each_call);
	ADD("/store/D1 each call fails once, guarded", &guarded, test_fail_each_call);
	ADD("/store/D1 the disk fails for good, plain", &plain, test_fail_for_good);
	ADD("/store/D1 the disk fails for good, guarded", &guarded, test_fail_for_good);
	ADD("/store/D1 killed at each call, plain", &plain, test_kill_each_call);
	ADD("/store/D1 killed at each call, guarded", &guarded, test_kill_each_call);
	ADD("/store/D1 memory runs out", NULL, test_fail_memory);
	ADD("/store/D1 creation fails", NULL, test_create_fails);
	ADD("/store/D3 flipped bits", NULL, test_bit_flips);
	ADD("/store/D3 truncated file", NULL, test_truncated);
	ADD("/store/D4 older copies", NULL, test_rollback);
	ADD("/store/D5 a foreign counter, and one ahead", NULL, test_foreign);
	ADD("/store/D5 the increment fails", NULL, test_increment_fails);
	ADD("/store/D5 nobody knows whether it counted", NULL, test_increment_unknown);
	ADD("/store/D5 killed at both gaps", NULL, test_kill_at_gaps);
	return g_test_run();
}
