/* SPDX-License-Identifier: Apache-2.0 */
/* One small file for each image, named by the hash of its path. */
#include "mover/stale.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"

#define STALE_VERSION 1
#define PREFIX "stale-"
#define HASH_BYTES 16
#define NAME_LEN (sizeof(PREFIX) + 2 * HASH_BYTES) /* with the NUL */
#define FILE_MAX (sizeof(struct stale) + 32)
#define LIST_MAX 256

static void stale_code(struct coder *c, struct stale *v)
{
	uint8_t version = STALE_VERSION;

	code_u8(c, &version);
	code_check(c, version == STALE_VERSION);
	CODE_BYTES(c, v->uuid);
	CODE_BYTES(c, v->peer);
	code_name(c, v->vm);
	code_name(c, v->peer_name);
	CODE_TEXT(c, v->path);
	code_check(c, v->path[0] == '/');
	code_u64(c, &v->time);
	CODE_FLAG(c, v->made);
}
DEFINE_CODEC(stale)

static void file_name(const char *path, char ret[NAME_LEN])
{
	uint8_t hash[HASH_BYTES];

	crypto_generichash(hash, sizeof(hash), (const uint8_t *)path, strlen(path), NULL, 0);
	memcpy(ret, PREFIX, sizeof(PREFIX) - 1);
	hex_encode(hash, sizeof(hash), ret + sizeof(PREFIX) - 1);
}

int stale_write(int folder, const struct stale *s)
{
	uint8_t body[FILE_MAX];
	struct wbuf w = wbuf_init(body, sizeof(body));
	char name[NAME_LEN];
	int r = stale_put(&w, s);

	file_name(s->path, name);
	return r < 0 ? r : file_write_atomic(folder, name, body, w.len, 0600);
}

static int read_file(int folder, const char *name, struct stale *ret)
{
	_cleanup_free_ uint8_t *data = NULL;
	struct rbuf in;
	struct stale s;
	size_t len;
	int r = file_read(folder, name, FILE_MAX, &data, &len);

	if (r < 0)
		return r;
	in = rbuf_init(data, len);
	if (stale_get(&in, &s) < 0 || rbuf_end(&in) < 0)
		return -EBADMSG;
	*ret = s;
	return 0;
}

int stale_read(int folder, const char *path, struct stale *ret)
{
	char name[NAME_LEN];
	struct stale s;
	int r;

	file_name(path, name);
	r = read_file(folder, name, &s);
	if (r < 0)
		return r;
	if (strcmp(s.path, path) != 0)
		return -ENOENT;
	*ret = s;
	return 0;
}

int stale_forget(int folder, const char *path)
{
	char name[NAME_LEN];

	file_name(path, name);
	if (unlinkat(folder, name, 0) < 0)
		return -errno;
	return fsync(folder) < 0 ? -errno : 0;
}

static int compare(const void *a, const void *b)
{
	const struct stale *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return strcmp(x->path, y->path);
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int open_dir(int folder, DIR **ret)
{
	_cleanup_close_ int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret = fdopendir(fd);
	if (!*ret)
		return -ENOMEM;
	TAKE_FD(fd);
	return 0;
}

int stale_list(int folder, struct stale **ret, size_t *ret_n)
{
	_cleanup_(close_dir) DIR *dir = NULL;
	_cleanup_free_ struct stale *list = calloc(LIST_MAX, sizeof(*list));
	struct dirent *e;
	size_t n = 0;
	int r = list ? open_dir(folder, &dir) : -ENOMEM;

	if (r < 0)
		return r;
	while (n < LIST_MAX && (e = readdir(dir))) {
		if (strncmp(e->d_name, PREFIX, sizeof(PREFIX) - 1) != 0)
			continue;
		r = read_file(folder, e->d_name, &list[n]);
		if (r == 0)
			n++;
		else
			log_warning("mover", "The note %s cannot be read: %s.", e->d_name,
				    strerror(-r));
	}
	qsort(list, n, sizeof(*list), compare);
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}
