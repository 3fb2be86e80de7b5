/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a temporary folder, a TPM counter in shared memory, and system calls that fail or kill
 * on order. Included by one .c file per test program: the calls below stand before libc's. */
#pragma once

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "policyd/store-sql.h"

/* -- System calls -- */

enum fault { FAULT_NONE, FAULT_ERROR, FAULT_ALL_ERRORS, FAULT_KILL_BEFORE, FAULT_KILL_AFTER };

static enum fault fault;
static int fault_at, fault_errno; /* counts down to 0 */

/* 1 = fail now, 2 = do it and die. */
static _unused_ int fault_now(void)
{
	if (fault == FAULT_NONE)
		return 0;
	if (--fault_at > 0 || (fault_at < 0 && fault != FAULT_ALL_ERRORS))
		return 0;
	if (fault == FAULT_KILL_BEFORE)
		raise(SIGKILL);
	errno = fault_errno;
	return fault == FAULT_KILL_AFTER ? 2 : 1;
}

static _unused_ long after(int what, long result)
{
	if (what == 2)
		raise(SIGKILL);
	return result;
}

ssize_t write(int fd, const void *data, size_t len)
{
	int what = fd > 2 ? fault_now() : 0;

	/* The log: what fails here fails on purpose. */
	if (fd == STDERR_FILENO)
		return (ssize_t)len;
	/* A full disk may take a part. */
	if (what == 1 && len > 1 && fault_errno == ENOSPC) {
		syscall(SYS_write, fd, data, len / 2);
		errno = ENOSPC;
	}
	return what == 1 ? -1 : after(what, syscall(SYS_write, fd, data, len));
}

int fsync(int fd)
{
	int what = fault_now();

	return what == 1 ? -1 : (int)after(what, syscall(SYS_fsync, fd));
}

int renameat(int olddir, const char *oldname, int newdir, const char *newname)
{
	int what = fault_now();

	return what == 1
		       ? -1
		       : (int)after(what, syscall(SYS_renameat, olddir, oldname, newdir, newname));
}

int unlinkat(int dir, const char *name, int flags)
{
	int what = fault_now();

	return what == 1 ? -1 : (int)after(what, syscall(SYS_unlinkat, dir, name, flags));
}

int openat(int dir, const char *name, int flags, ...)
{
	int what = fault_now();
	mode_t mode = 0;
	va_list ap;

	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return what == 1 ? -1 : (int)after(what, syscall(SYS_openat, dir, name, flags, mode));
}

static _unused_ void arm(enum fault kind, int at, int num)
{
	fault = kind;
	fault_at = at;
	fault_errno = num;
}

/* True if the fault was reached. */
static _unused_ bool disarm(void)
{
	bool reached = fault_at <= 0;

	fault = FAULT_NONE;
	return reached;
}

/* -- A TPM counter in memory that survives a killed child -- */

struct counter {
	uint64_t value;
	int fail_increment; /* that many times, without counting */
	int fail_after;	    /* counts, but reports failure */
	int fail_read;
	bool kill_before, kill_after;
};

static _unused_ int counter_read(void *ctx, uint64_t *ret)
{
	struct counter *c = ctx;

	if (c->fail_read > 0 && c->fail_read--)
		return -EIO;
	*ret = c->value;
	return 0;
}

static _unused_ int counter_increment(void *ctx, uint64_t *ret)
{
	struct counter *c = ctx;

	if (c->kill_before)
		raise(SIGKILL);
	if (c->fail_increment > 0 && c->fail_increment--)
		return -EIO;
	c->value++;
	if (c->kill_after)
		raise(SIGKILL);
	if (c->fail_after > 0 && c->fail_after--)
		return -EIO;
	*ret = c->value;
	return 0;
}

/* -- Fixture -- */

struct fixture {
	char *path;
	int dir;
	struct secret key;
	struct counter *counter;
	struct store_guard guard;
	struct store *s;
};

/* A new store, written. */
static _unused_ int make_store(struct fixture *f)
{
	int r = store_create(f->dir, &f->key, &f->guard, &f->s, NULL);

	if (r == 0)
		r = store_commit(f->s, COMMIT_GUARDED, NULL);
	if (r < 0)
		f->s = store_free(f->s);
	else
		f->s->marker_dir = f->dir;
	return r;
}

static _unused_ void setup(struct fixture *f, const void *data _unused_)
{
	memset(f, 0, sizeof(*f));
	f->path = g_dir_make_tmp("kith-store-XXXXXX", NULL);
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->counter = mmap(NULL, sizeof(*f->counter), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	f->counter->value = 100;
	f->guard = (struct store_guard){counter_read, counter_increment, f->counter};
	g_assert_cmpint(secret_random(STORE_KEY_LEN, &f->key), ==, 0);
	g_assert_cmpint(make_store(f), ==, 0);
}

static _unused_ void teardown(struct fixture *f, const void *data _unused_)
{
	g_autoptr(GDir) dir = NULL;
	const char *name;

	store_free(f->s);
	secret_clear(&f->key);
	munmap(f->counter, sizeof(*f->counter));
	dir = g_dir_open(f->path, 0, NULL);
	while (dir && (name = g_dir_read_name(dir)))
		unlinkat(f->dir, name, 0);
	close(f->dir);
	g_assert_cmpint(g_rmdir(f->path), ==, 0);
	g_free(f->path);
}

static _unused_ int reopen(struct fixture *f, struct kerr *err)
{
	int r;

	f->s = store_free(f->s);
	r = store_open(f->dir, &f->key, &f->guard, &f->s, err);
	if (r == 0)
		f->s->marker_dir = f->dir;
	return r;
}

static _unused_ void must_reopen(struct fixture *f)
{
	struct kerr err = {0};

	g_assert_cmpint(reopen(f, &err), ==, 0);
	g_assert_cmpstr(err.text, ==, "");
	g_assert_cmpint(store_verify(f->s, &err), ==, 0);
}

/* Two values that only ever change together: a mixture would show. */
static _unused_ int write_pair(struct store *s, uint64_t value, struct kerr *err)
{
	uint8_t long_value[3000];
	int r = store_meta_set(s, "left", &value, sizeof(value), err);

	memset(long_value, (int)value, sizeof(long_value));
	if (r == 0)
		r = store_meta_set(s, "middle", long_value, sizeof(long_value), err);
	return r < 0 ? r : store_meta_set(s, "right", &value, sizeof(value), err);
}

static _unused_ uint64_t read_pair(struct store *s)
{
	uint64_t left = 0, right = 0;
	uint8_t middle[3000];
	size_t len;

	g_assert_cmpint(store_meta_get(s, "left", &left, sizeof(left), &len, NULL), ==, 0);
	g_assert_cmpint(store_meta_get(s, "right", &right, sizeof(right), &len, NULL), ==, 0);
	g_assert_cmpint(store_meta_get(s, "middle", middle, sizeof(middle), &len, NULL), ==, 0);
	g_assert_cmpuint(left, ==, right);
	g_assert_cmpuint(middle[0], ==, (uint8_t)left);
	g_assert_cmpuint(middle[2999], ==, (uint8_t)left);
	return left;
}

static _unused_ void commit_pair(struct fixture *f, uint64_t value, enum commit_kind kind)
{
	g_assert_cmpint(write_pair(f->s, value, NULL), ==, 0);
	g_assert_cmpint(store_commit(f->s, kind, NULL), ==, 0);
}
