/* SPDX-License-Identifier: Apache-2.0 */
/* The same care as base/file.c, but for a file whose owner and mode are somebody's choice. */
#include "ui-tui/config-file.h"

#include <fcntl.h>
#include <string.h>

#include "base/config.h"
#include "base/file.h"

int config_file_read(const char *path, struct config_file *ret, struct kerr *err)
{
	struct config_file f = {.path = path};
	uint8_t *data = NULL;
	size_t len = 0;
	int r = file_read(AT_FDCWD, path, CONFIG_SIZE_MAX, &data, &len);

	if (r == 0) {
		f.exists = lstat(path, &f.was) == 0;
		f.text = (char *)data;
	} else if (r == -ENOENT) {
		f.text = calloc(1, 1);
		r = f.text ? 0 : -ENOMEM;
	}
	if (r == 0 && strlen(f.text) != len)
		r = -EINVAL;
	if (r < 0) {
		free(f.text);
		return kerr_set(err, -r, KCODE_FAILED, "Cannot read %s: %s.", path,
				r == -ELOOP ? "it is a symbolic link" : strerror(-r));
	}
	*ret = f;
	return 0;
}

void config_file_release(struct config_file *f)
{
	free(f->text);
	*f = (struct config_file){0};
}

static bool is_unchanged(const struct config_file *f)
{
	struct stat now;

	if (lstat(f->path, &now) < 0)
		return errno == ENOENT && !f->exists;
	return f->exists && now.st_ino == f->was.st_ino && now.st_size == f->was.st_size &&
	       now.st_mtim.tv_sec == f->was.st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == f->was.st_mtim.tv_nsec;
}

static int put_text(int fd, const struct config_file *f, const char *text)
{
	size_t len = strlen(text);

	if (f->exists && fchown(fd, f->was.st_uid, f->was.st_gid) < 0)
		return -errno;
	if (fchmod(fd, f->exists ? f->was.st_mode & 0777 : 0644) < 0)
		return -errno;
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n < 0 ? 0 : (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* `name` is that of the file in its folder. */
static int replace(int dir, const char *name, const struct config_file *f, const char *text)
{
	_cleanup_close_ int fd = -EBADF;
	char tmp[256];
	int r = snprintf(tmp, sizeof(tmp), ".%s.new.%d", name, (int)getpid());

	if (r < 0 || (size_t)r >= sizeof(tmp))
		return -ENAMETOOLONG;
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = put_text(fd, f, text);
	if (r == 0 && !is_unchanged(f))
		r = -ESTALE;
	if (r == 0 && renameat(dir, tmp, dir, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir, tmp, 0);
	return r == 0 && fsync(dir) < 0 ? -errno : r;
}

static int explain(int r, const char *path, struct kerr *err)
{
	if (r == -EACCES || r == -EPERM)
		return kerr_set(err, -r, KCODE_NOT_ALLOWED,
				"Only root may change %s: run the command with sudo.", path);
	if (r == -ESTALE)
		return kerr_set(err, -r, KCODE_BUSY,
				"%s was changed by somebody else at the same moment; nothing was "
				"written. Try again.",
				path);
	return kerr_set(err, -r, KCODE_FAILED, "Cannot write %s: %s. It is as it was.", path,
			strerror(-r));
}

int config_file_save(const struct config_file *f, const char *text, struct kerr *err)
{
	_cleanup_free_ char *folder = strdup(f->path);
	_cleanup_close_ int dir = -EBADF;
	char *slash = folder ? strrchr(folder, '/') : NULL;
	struct config parsed;
	int r = folder ? config_parse(text, &parsed, err) : -ENOMEM;

	if (r == 0 && strlen(text) > CONFIG_SIZE_MAX)
		r = -EFBIG;
	if (r == -EINVAL)
		return r;
	if (slash)
		*slash = '\0';
	if (r == 0)
		r = dir_open(slash ? (*folder ? folder : "/") : ".", 0755, &dir);
	if (r == 0)
		r = replace(dir, slash ? slash + 1 : f->path, f, text);
	return r < 0 ? explain(r, f->path, err) : 0;
}
