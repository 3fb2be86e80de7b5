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

#include "base/code.h"
#include "base/file.h"
#include "base/log.h"

#define RANDOM_LEN 16
#define QEMU_IMG "/usr/bin/qemu-img"
#define NOTE_MAX 256
#define NO_POOL "none"

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

/* -- the place -- */

void disk_place_close(struct disk_place *place)
{
	closep(&place->fd);
	place->fd = -EBADF;
}

/* Of a pool's folder we may pass through, not read it. */
static int open_folder(const char *path, int *ret_fd, struct kerr *err)
{
	int fd = open_beneath(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, 0);

	if (fd == -ELOOP)
		return kerr_set(err, ELOOP, KCODE_FAILED,
				"The folder %.300s for images is, or lies behind, a symbolic link; "
				"give the real path.",
				path);
	if (fd < 0)
		return kerr_set(err, -fd, KCODE_FAILED,
				"Cannot use the folder %.300s for images: %s.", path,
				strerror(-fd));
	*ret_fd = fd;
	return 0;
}

static int place_in_pool(struct disk_place *place, const char *name, struct kerr *err)
{
	struct stat st;
	int r = pool_get(place->virt, name, &place->pool, err);

	if (r == 0)
		r = open_folder(place->pool.folder, &place->fd, err);
	if (r < 0)
		return r;
	if (fstat(place->fd, &st) < 0 || st.st_mode & S_IWOTH)
		return kerr_set(err, EPERM, KCODE_FAILED,
				"Everybody may write to the folder %.300s of the storage pool "
				"\"%s\"; no image is made there.",
				place->pool.folder, place->pool.name);
	memcpy(place->folder, place->pool.folder, sizeof(place->folder));
	return 0;
}

static int place_in_folder(struct disk_place *place, const char *images, struct kerr *err)
{
	if (mkdir(images, 0711) < 0 && errno != EEXIST)
		return kerr_set(err, errno, KCODE_FAILED, "Cannot make the folder %s: %s.", images,
				strerror(errno));
	snprintf(place->folder, sizeof(place->folder), "%s", images);
	return open_folder(images, &place->fd, err);
}

int disk_place_open(struct virt *virt, const struct config *config, struct disk_place *ret,
		    struct kerr *err)
{
	struct disk_place place = {.virt = virt, .fd = -EBADF};
	bool named = strcmp(config->pool, CONFIG_POOL_DEFAULT) != 0;
	int r = -ENOENT;

	if (virt && strcmp(config->pool, NO_POOL) != 0) {
		r = place_in_pool(&place, config->pool, named ? err : &place.why_none);
		if (r < 0 && named)
			goto fail;
	}
	if (r < 0) {
		disk_place_close(&place);
		place.pool = (struct pool){0};
		r = place_in_folder(&place, config->images, err);
	}
	if (r == 0) {
		*ret = place;
		return 0;
	}
fail:
	disk_place_close(&place);
	return r;
}

int disk_place_room(const struct disk_place *place, struct disk_room *ret, struct kerr *err)
{
	struct statvfs fs;

	if (fstatvfs(place->fd, &fs) < 0)
		return kerr_set(err, errno, KCODE_FAILED, "Cannot read the free space: %s.",
				strerror(errno));
	*ret = (struct disk_room){.free_bytes = fs.f_bavail * (uint64_t)fs.f_frsize,
				  .total_bytes = fs.f_blocks * (uint64_t)fs.f_frsize};
	memcpy(ret->pool, place->pool.name, sizeof(ret->pool));
	return 0;
}

/* As the other device may read it: no path of ours. */
static void place_name(const struct disk_room *room, char *ret, size_t size)
{
	if (room->pool[0])
		snprintf(ret, size, "storage pool \"%s\"", room->pool);
	else
		snprintf(ret, size, "folder for images");
}

int disk_check_room(const struct disk_room *room, const struct frame_offer *offer, struct kerr *err)
{
	uint64_t avail = room->free_bytes, used = 0;
	char where[NAME_MAX_LEN + 24];

	place_name(room, where, sizeof(where));
	for (size_t i = 0; i < offer->count; i++) {
		const struct frame_disk *d = &offer->disks[i];

		if (frame_disk_is_shared(d))
			continue;
		if (d->capacity > room->total_bytes)
			return kerr_set(err, ENOSPC, KCODE_ROOM,
					"The disk \"%s\" of %llu MiB is larger than the "
					"destination's whole file system, where its %s is.",
					d->target, (unsigned long long)(d->capacity >> 20), where);
		/* Shares, so that the sum of at most DOMAIN_DISKS_MAX of them cannot overflow. */
		used += MIN_OF(d->used, d->capacity) / DOMAIN_DISKS_MAX;
	}
	if (used > (avail > DISK_MARGIN_BYTES ? avail - DISK_MARGIN_BYTES : 0) / DOMAIN_DISKS_MAX)
		return kerr_set(err, ENOSPC, KCODE_ROOM,
				"The VM's disks need %llu MiB, but the destination has %llu MiB "
				"free in its %s.",
				(unsigned long long)((used * DOMAIN_DISKS_MAX) >> 20),
				(unsigned long long)(avail >> 20), where);
	return 0;
}

void disk_plain_name(const char *vm, char *ret, size_t size)
{
	static const char ok[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	bool plain = strspn(vm, ok) == strlen(vm) && vm[0] != '.';

	snprintf(ret, size, "%s", plain ? vm : "");
}

int disk_plan(const struct disk_place *place, const char *vm, const struct frame_offer *offer,
	      struct domain_disk_map *ret, struct kerr *err)
{
	struct domain_disk_map map = {.count = offer->count};
	char name[NAME_MAX_LEN + 1];

	disk_plain_name(vm, name, sizeof(name));
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
		if (frame_disk_is_shared(d))
			continue;
		n = snprintf(t->path, sizeof(t->path), "%s/%s%s%s-%s.%s", place->folder, name,
			     name[0] ? "-" : "", hex, d->target, disk_format_to_string(d->format));
		if (n < 0 || (size_t)n >= sizeof(t->path))
			return kerr_set(err, ENAMETOOLONG, KCODE_FAILED,
					"The path of the images folder is too long.");
	}
	*ret = map;
	return 0;
}

/* -- marks: a file for each image that is Kith's, beside the notes of the hand-offs -- */

struct mark {
	char path[DOMAIN_PATH_MAX + 1];
	uint8_t pooled; /* it is a volume of this pool */
	uint8_t pool[UUID_LEN];
};

static void mark_code(struct coder *c, struct mark *v)
{
	CODE_TEXT(c, v->path);
	CODE_FLAG(c, v->pooled);
	CODE_BYTES(c, v->pool);
}

static int mark_name(const char *path, char *ret, size_t size)
{
	int n = snprintf(ret, size, "image-%s", pool_volume_name(path));

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int mark_write(int notes, const struct disk_place *place, const char *path)
{
	struct mark m = {.pooled = place->pool.name[0] != '\0'};
	uint8_t body[sizeof(m) + 16];
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct coder c = {.w = &w};
	char name[NOTE_MAX];
	int r = mark_name(path, name, sizeof(name));

	snprintf(m.path, sizeof(m.path), "%s", path);
	memcpy(m.pool, place->pool.uuid, UUID_LEN);
	mark_code(&c, &m);
	if (r == 0)
		r = wbuf_error(&w);
	return r < 0 ? r : file_write_atomic(notes, name, body, w.len, 0600);
}

/* -ENOENT: there is none for this very path. */
static int mark_read(int notes, const char *path, struct mark *ret)
{
	_cleanup_free_ uint8_t *data = NULL;
	char name[NOTE_MAX];
	struct rbuf in;
	struct coder c = {.r = &in};
	size_t len;
	int r = mark_name(path, name, sizeof(name));

	if (r == 0)
		r = file_read(notes, name, sizeof(*ret) + 16, &data, &len);
	if (r < 0)
		return r;
	in = rbuf_init(data, len);
	*ret = (struct mark){0};
	mark_code(&c, ret);
	if (rbuf_end(&in) < 0)
		return -EBADMSG;
	return strcmp(ret->path, path) == 0 ? 0 : -ENOENT;
}

static void mark_drop(int notes, const char *path)
{
	char name[NOTE_MAX];

	if (mark_name(path, name, sizeof(name)) == 0)
		unlinkat(notes, name, 0);
}

bool disk_was_made(int notes, const char *path)
{
	struct mark m;

	return mark_read(notes, path, &m) == 0;
}

/* -- images -- */

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

/* The entry of a file in its folder; of a folder that we may not open, libvirt did it. */
static int sync_folder(const struct disk_place *place)
{
	_cleanup_close_ int fd = open_beneath(place->fd, ".", O_RDONLY | O_DIRECTORY, 0, 0);

	if (fd == -EACCES)
		return 0;
	return fd < 0 ? fd : fsync(fd) < 0 ? -errno : 0;
}

static int cannot_make(const struct domain_disk_target *disk, int r, struct kerr *err)
{
	return kerr_set(err, -r, r == -ENOSPC || r == -EFBIG ? KCODE_ROOM : KCODE_FAILED,
			"The destination cannot make an image for the disk \"%s\": %s.",
			disk->target, strerror(-r));
}

static int create_file(const struct disk_place *place, const struct domain_disk_target *disk,
		       int *ret_fd, struct kerr *err)
{
	const char *name = pool_volume_name(disk->path);
	_cleanup_close_ int fd =
		open_beneath(place->fd, name, O_CREAT | O_EXCL | O_RDWR, 0600, RESOLVE_BENEATH);
	int r = fd;

	if (r >= 0 && disk->format == DISK_FORMAT_QCOW2)
		r = format_qcow2(fd, disk->capacity);
	else if (r >= 0)
		r = ftruncate(fd, (off_t)disk->capacity) < 0 ? -errno : 0;
	if (r >= 0)
		r = fsync(fd) < 0 ? -errno : sync_folder(place);
	if (r < 0) {
		if (fd >= 0)
			unlinkat(place->fd, name, 0);
		return cannot_make(disk, r, err);
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* What libvirt says of a pool may be old: the file is there, beneath the folder that was looked at,
 * and may be flushed by us. */
static int open_volume(const struct disk_place *place, const struct domain_disk_target *disk,
		       int *ret_fd, struct kerr *err)
{
	_cleanup_close_ int fd =
		open_beneath(place->fd, pool_volume_name(disk->path), O_RDONLY, 0, RESOLVE_BENEATH);
	struct stat st;
	int r = fd;

	if (r >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
		r = -ENOTSUP;
	if (r >= 0)
		r = fsync(fd) < 0 ? -errno : sync_folder(place);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED,
				"The image for the disk \"%s\" in the destination's storage pool "
				"\"%s\" cannot be reached by Kith: %s.",
				disk->target, place->pool.name, strerror(-r));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int create_volume(const struct disk_place *place, const struct domain_disk_target *disk,
			 int *ret_fd, struct kerr *err)
{
	struct kerr ignored = {0};
	int r = pool_make(place->virt, &place->pool, disk, err);

	if (r < 0)
		return r;
	r = open_volume(place, disk, ret_fd, err);
	if (r < 0 && pool_remove(place->virt, place->pool.uuid, disk->path, &ignored) < 0)
		log_warning("disk", "The volume %s stays: %s", disk->path, ignored.text);
	return r;
}

int disk_create(const struct disk_place *place, int notes, const struct domain_disk_target *disk,
		int *ret_fd, struct kerr *err)
{
	/* Marked first: what a crash leaves is known to be Kith's. Nobody can have guessed the
	 * name. */
	int r = mark_write(notes, place, disk->path);

	if (r < 0)
		return cannot_make(disk, r, err);
	r = place->pool.name[0] ? create_volume(place, disk, ret_fd, err)
				: create_file(place, disk, ret_fd, err);
	if (r < 0)
		mark_drop(notes, disk->path);
	return r;
}

int disk_plan_variables(const struct config *config, int notes, const char *vm,
			char ret[DOMAIN_PATH_MAX + 1], struct kerr *err)
{
	_cleanup_place_ struct disk_place place = {.fd = -EBADF};
	char name[NAME_MAX_LEN + 1], hex[2 * RANDOM_LEN + 1];
	uint8_t random[RANDOM_LEN];
	int n, r = disk_place_open(NULL, config, &place, err);

	if (r < 0)
		return r;
	disk_plain_name(vm, name, sizeof(name));
	randombytes_buf(random, sizeof(random));
	hex_encode(random, sizeof(random), hex);
	n = snprintf(ret, DOMAIN_PATH_MAX + 1, "%s/%s%s%s_VARS.fd", place.folder, name,
		     name[0] ? "-" : "", hex);
	r = n < 0 || n > DOMAIN_PATH_MAX ? -ENAMETOOLONG : mark_write(notes, &place, ret);
	return r < 0 ? kerr_set(err, -r, KCODE_FAILED,
				"Cannot note where the VM's UEFI variables go: %s.", strerror(-r))
		     : 0;
}

int disk_fill_variables(const struct config *config, const char *path, const void *data, size_t len,
			struct kerr *err)
{
	_cleanup_place_ struct disk_place place = {.fd = -EBADF};
	_cleanup_close_ int fd = -EBADF;
	int r = disk_place_open(NULL, config, &place, err);

	if (r < 0)
		return r;
	fd = open_beneath(place.fd, pool_volume_name(path), O_CREAT | O_EXCL | O_WRONLY, 0600,
			  RESOLVE_BENEATH);
	r = fd;
	if (r >= 0)
		r = file_write_all(fd, data, len);
	if (r >= 0)
		r = fsync(fd) < 0 ? -errno : sync_folder(&place);
	return r < 0 ? kerr_set(err, -r, r == -ENOSPC ? KCODE_ROOM : KCODE_FAILED,
				"The destination cannot keep the VM's UEFI variables: %s.",
				strerror(-r))
		     : 0;
}

static int remove_file(const char *path, struct kerr *err)
{
	_cleanup_close_ int fd = -EBADF;
	char folder[DOMAIN_PATH_MAX + 1];
	const char *name = pool_volume_name(path);
	int r;

	snprintf(folder, sizeof(folder), "%.*s", (int)(name - path), path);
	r = open_folder(folder, &fd, err);
	if (r < 0 || unlinkat(fd, name, 0) == 0)
		return r;
	return errno == ENOENT ? -ENOENT
			       : kerr_set(err, errno, KCODE_FAILED, "Cannot remove %.300s: %s.",
					  path, strerror(errno));
}

int disk_remove(struct virt *virt, int notes, const char *path, struct kerr *err)
{
	struct mark m;
	int r;

	if (mark_read(notes, path, &m) < 0)
		return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT
			       ? -ENOENT
			       : kerr_set(err, EPERM, KCODE_FAILED,
					  "%.300s is not an image of Kith's.", path);
	r = m.pooled ? pool_remove(virt, m.pool, path, err) : remove_file(path, err);
	if (r == 0 || r == -ENOENT)
		mark_drop(notes, path);
	return r;
}
