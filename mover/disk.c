/* SPDX-License-Identifier: Apache-2.0 */
/* Making and removing disk images. */
#include "mover/disk.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sodium.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/file.h"

#define RANDOM_LEN 16
#define QEMU_IMG "/usr/bin/qemu-img"
#define NOTE_MAX 256

static int open_beneath(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.mode = mode,
		.resolve = resolve | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int disk_folder_open(const char *images, int *ret_fd, struct kerr *err)
{
	int fd;

	if (mkdir(images, 0711) < 0 && errno != EEXIST)
		return kerr_set(err, errno, KCODE_FAILED, "Cannot make the folder %s: %s.", images,
				strerror(errno));
	fd = open_beneath(AT_FDCWD, images, O_RDONLY | O_DIRECTORY, 0, 0);
	if (fd < 0)
		return kerr_set(err, -fd, KCODE_FAILED, "Cannot use the folder %s for images: %s.",
				images, strerror(-fd));
	*ret_fd = fd;
	return 0;
}

int disk_check_room(int folder, const struct frame_offer *offer, struct kerr *err)
{
	struct statvfs fs;
	uint64_t unit, avail, total, used = 0;

	if (fstatvfs(folder, &fs) < 0)
		return kerr_set(err, errno, KCODE_FAILED, "Cannot read the free space: %s.",
				strerror(errno));
	unit = fs.f_frsize;
	avail = fs.f_bavail * unit;
	total = fs.f_blocks * unit;
	for (size_t i = 0; i < offer->count; i++) {
		const struct frame_disk *d = &offer->disks[i];

		if (d->capacity > total)
			return kerr_set(err, ENOSPC, KCODE_ROOM,
					"The disk \"%s\" of %llu MiB is larger than the "
					"destination's whole file system.",
					d->target, (unsigned long long)(d->capacity >> 20));
		/* capacity <= total <= 2^63, at most 16 of them: no overflow of the sum. */
		used += MIN_OF(d->used, d->capacity) / DOMAIN_DISKS_MAX;
	}
	if (used > (avail > DISK_MARGIN_BYTES ? avail - DISK_MARGIN_BYTES : 0) / DOMAIN_DISKS_MAX)
		return kerr_set(err, ENOSPC, KCODE_ROOM,
				"The VM's disks need %llu MiB, but the destination has %llu MiB "
				"free.",
				(unsigned long long)((used * DOMAIN_DISKS_MAX) >> 20),
				(unsigned long long)(avail >> 20));
	return 0;
}

int disk_plan(const char *images, const struct frame_offer *offer, struct domain_disk_map *ret,
	      struct kerr *err)
{
	struct domain_disk_map map = {.count = offer->count};

	for (size_t i = 0; i < offer->count; i++) {
		const struct frame_disk *d = &offer->disks[i];
		struct domain_disk_target *t = &map.disks[i];
		uint8_t random[RANDOM_LEN];
		char hex[2 * RANDOM_LEN + 1];
		int n;

		randombytes_buf(random, sizeof(random));
		hex_encode(random, sizeof(random), hex);
		snprintf(t->target, sizeof(t->target), "%s", d->target);
		t->format = d->format;
		t->capacity = d->capacity;
		n = snprintf(t->path, sizeof(t->path), "%s/%s-%s.%s", images, hex, d->target,
			     disk_format_to_string(d->format));
		if (n < 0 || (size_t)n >= sizeof(t->path))
			return kerr_set(err, ENAMETOOLONG, KCODE_FAILED,
					"The path of the images folder is too long.");
	}
	*ret = map;
	return 0;
}

/* Lets qemu-img write into the file that we made: it never sees a path of ours or theirs. */
static int format_qcow2(int fd, uint64_t capacity)
{
	char size[24];
	char *argv[] = {(char *)"qemu-img", (char *)"create",	 (char *)"-q", (char *)"-f",
			(char *)"qcow2",    (char *)"/dev/fd/3", size,	       NULL};
	char *envp[] = {(char *)"LC_ALL=C", NULL};
	posix_spawn_file_actions_t actions;
	int status, r;
	pid_t pid;

	snprintf(size, sizeof(size), "%llu", (unsigned long long)capacity);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	r = -posix_spawn_file_actions_adddup2(&actions, fd, 3);
	if (r == 0)
		r = -posix_spawn(&pid, QEMU_IMG, &actions, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The note is an empty file beside those of the hand-offs. */
static int note_name(const char *path, char *ret, size_t size)
{
	int n = snprintf(ret, size, "image-%s", base_name(path));

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int note_made(int notes, const char *path)
{
	char name[NOTE_MAX];
	int r = note_name(path, name, sizeof(name));

	return r < 0 ? r : file_write_atomic(notes, name, "", 0, 0600);
}

static void note_gone(int notes, const char *path)
{
	char name[NOTE_MAX];

	if (note_name(path, name, sizeof(name)) == 0)
		unlinkat(notes, name, 0);
}

bool disk_was_made(int notes, const char *images, const char *path)
{
	char name[NOTE_MAX];

	return disk_is_ours(images, path) && note_name(path, name, sizeof(name)) == 0 &&
	       faccessat(notes, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int disk_create(int notes, int folder, const struct domain_disk_target *disk, int *ret_fd,
		struct kerr *err)
{
	const char *name = base_name(disk->path);
	_cleanup_close_ int fd =
		open_beneath(folder, name, O_CREAT | O_EXCL | O_RDWR, 0600, RESOLVE_BENEATH);
	int r = fd;

	if (r >= 0)
		r = note_made(notes, disk->path);
	if (r >= 0 && disk->format == DISK_FORMAT_QCOW2)
		r = format_qcow2(fd, disk->capacity);
	else if (r >= 0)
		r = ftruncate(fd, (off_t)disk->capacity) < 0 ? -errno : 0;
	if (r >= 0)
		r = fsync(fd) < 0 || fsync(folder) < 0 ? -errno : 0;
	if (r < 0) {
		if (fd >= 0)
			unlinkat(folder, name, 0);
		if (fd >= 0)
			note_gone(notes, disk->path);
		return kerr_set(err, -r, r == -ENOSPC || r == -EFBIG ? KCODE_ROOM : KCODE_FAILED,
				"The destination cannot make an image for the disk \"%s\": %s.",
				disk->target, strerror(-r));
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

bool disk_is_ours(const char *images, const char *path)
{
	size_t len = strlen(images);
	const char *name = path + len + 1;

	return strncmp(path, images, len) == 0 && path[len] == '/' && name[0] &&
	       !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int disk_remove(int notes, int folder, const char *images, const char *path)
{
	int r = 0;

	if (!disk_is_ours(images, path))
		return -EPERM;
	if (!disk_was_made(notes, images, path))
		return faccessat(folder, base_name(path), F_OK, AT_SYMLINK_NOFOLLOW) < 0 ? -errno
											 : -EPERM;
	if (unlinkat(folder, base_name(path), 0) < 0)
		r = -errno;
	if (r == 0 || r == -ENOENT)
		note_gone(notes, path);
	return r;
}
