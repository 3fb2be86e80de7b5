/* SPDX-License-Identifier: Apache-2.0 */
/* Images at the destination: new files only, in one folder only, nothing left behind (H12, H23). */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "mover/disk.h"

struct room {
	char *top;
	struct config config;
	struct disk_place place;
	int notes;
};

static void setup(struct room *r, const void *data)
{
	struct kerr err = {0};

	(void)data;
	r->top = g_dir_make_tmp("kith-disk-XXXXXX", NULL);
	g_assert_cmpint(config_parse("", &r->config, &err), ==, 0);
	g_snprintf(r->config.images, sizeof(r->config.images), "%s/images", r->top);
	g_assert_cmpint(disk_place_open(NULL, &r->config, &r->place, &err), ==, 0);
	g_assert_cmpstr(r->place.folder, ==, r->config.images);
	r->notes = open(r->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g_assert_cmpint(r->notes, >=, 0);
}

static void teardown(struct room *r, const void *data)
{
	char *argv[] = {(char *)"rm", (char *)"-r", r->top, NULL};

	(void)data;
	disk_place_close(&r->place);
	close(r->notes);
	g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
	g_free(r->top);
}

static int make(struct room *r, const struct domain_disk_target *disk, int *ret_fd,
		struct kerr *err)
{
	return disk_create(&r->place, r->notes, disk, ret_fd, err);
}

static int drop(struct room *r, const char *path)
{
	struct kerr err = {0};
	int n = disk_remove(NULL, r->notes, path, &err);

	/* A refusal says why; what is gone needs no words. */
	g_assert_cmpint(err.code != KCODE_OK, ==, n < 0 && n != -ENOENT);
	return n;
}

static bool is_ours(struct room *r, const char *path)
{
	return disk_was_made(r->notes, path);
}

static int check_room(struct room *r, const struct frame_offer *o, struct kerr *err)
{
	struct disk_room room;
	int n = disk_place_room(&r->place, &room, err);

	return n < 0 ? n : disk_check_room(&room, o, err);
}

static struct frame_offer offer(enum disk_format format, uint64_t capacity, uint64_t used)
{
	return (struct frame_offer){.count = 1, .disks = {{"vda", format, capacity, used}}};
}

static guint files_in(const char *path)
{
	GDir *d = g_dir_open(path, 0, NULL);
	guint n = 0;

	while (g_dir_read_name(d))
		n++;
	g_dir_close(d);
	return n;
}

static void test_raw(struct room *r, const void *data)
{
	struct frame_offer o = offer(DISK_FORMAT_RAW, 8 << 20, 4096);
	struct domain_disk_map map;
	struct kerr err = {0};
	struct stat st;
	int fd = -1;

	(void)data;
	g_assert_cmpint(check_room(r, &o, &err), ==, 0);
	g_assert_cmpint(disk_plan(&r->place, "work", &o, &map, &err), ==, 0);
	g_assert_cmpint(files_in(r->config.images), ==, 0);
	g_assert_true(g_str_has_prefix(map.disks[0].path, r->config.images));
	g_assert_cmpint(make(r, &map.disks[0], &fd, &err), ==, 0);
	g_assert_cmpint(stat(map.disks[0].path, &st), ==, 0);
	g_assert_cmpint(st.st_size, ==, 8 << 20);
	g_assert_cmpint(st.st_blocks, <, 64);
	g_assert_cmpint(st.st_mode & 07777, ==, 0600);
	g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	g_assert_cmpint(drop(r, map.disks[0].path), ==, 0);
	g_assert_cmpint(drop(r, map.disks[0].path), ==, -ENOENT);
	g_assert_cmpint(files_in(r->config.images), ==, 0);
	close(fd);
}

static void test_qcow2(struct room *r, const void *data)
{
	struct frame_offer o = offer(DISK_FORMAT_QCOW2, 64 << 20, 0);
	struct domain_disk_map map;
	struct kerr err = {0};
	uint8_t head[104] = {0};
	int fd = -1;

	(void)data;
	g_assert_cmpint(disk_plan(&r->place, "work", &o, &map, &err), ==, 0);
	g_assert_cmpint(make(r, &map.disks[0], &fd, &err), ==, 0);
	g_assert_cmpint(pread(fd, head, sizeof(head), 0), ==, sizeof(head));
	g_assert_cmpmem(head, 4, "QFI\xfb", 4);
	/* H17: no backing file; the virtual size is the declared one. */
	g_assert_cmpmem(head + 8, 12, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
	g_assert_cmpmem(head + 24, 8, "\0\0\0\0\x04\0\0\0", 8);
	close(fd);
}

static void test_names(struct room *r, const void *data)
{
	struct frame_offer o = offer(DISK_FORMAT_RAW, 512, 0);
	struct domain_disk_map a, b;
	struct kerr err = {0};

	(void)data;
	disk_plan(&r->place, "work", &o, &a, &err);
	disk_plan(&r->place, "work", &o, &b, &err);
	g_assert_cmpstr(a.disks[0].path, !=, b.disks[0].path);
	g_assert_nonnull(strstr(a.disks[0].path, "/work-"));
	/* A VM's name goes into it only where it means nothing to a file system. */
	disk_plan(&r->place, "../work", &o, &b, &err);
	g_assert_cmpuint(strlen(b.disks[0].path), ==, strlen(a.disks[0].path) - 5);
}

static void test_symlink_in_folder(struct room *r, const void *data)
{
	struct frame_offer o = offer(DISK_FORMAT_RAW, 4096, 0);
	char *secret = g_build_filename(r->top, "secret", NULL);
	struct domain_disk_map map;
	struct kerr err = {0};
	char *text = NULL;
	int fd = -1;

	(void)data;
	g_file_set_contents(secret, "canary", -1, NULL);
	disk_plan(&r->place, "work", &o, &map, &err);
	g_assert_cmpint(symlink(secret, map.disks[0].path), ==, 0);
	g_assert_cmpint(make(r, &map.disks[0], &fd, &err), <, 0);
	g_assert_cmpint(err.code, !=, KCODE_OK);
	g_file_get_contents(secret, &text, NULL, NULL);
	g_assert_cmpstr(text, ==, "canary");
	g_free(text);
	g_free(secret);
}

static void test_symlink_folder(struct room *r, const void *data)
{
	char *real = g_strdup(r->config.images);
	struct disk_place place = {.fd = -1};
	struct kerr err = {0};
	char *link_path = g_build_filename(r->top, "link", NULL);

	(void)data;
	g_assert_cmpint(symlink(real, link_path), ==, 0);
	g_snprintf(r->config.images, sizeof(r->config.images), "%s", link_path);
	g_assert_cmpint(disk_place_open(NULL, &r->config, &place, &err), ==, -ELOOP);
	g_assert_nonnull(strstr(err.text, "symbolic link"));
	kerr_clear(&err);
	g_snprintf(r->config.images, sizeof(r->config.images), "%s/x", link_path);
	g_assert_cmpint(mkdir(r->config.images, 0700), ==, 0);
	g_assert_cmpint(disk_place_open(NULL, &r->config, &place, &err), ==, -ELOOP);
	g_assert_cmpint(place.fd, ==, -1);
	/* The twin: the same folder by its real path. */
	kerr_clear(&err);
	g_snprintf(r->config.images, sizeof(r->config.images), "%s/x", real);
	g_assert_cmpint(disk_place_open(NULL, &r->config, &place, &err), ==, 0);
	disk_place_close(&place);
	g_free(link_path);
	g_free(real);
}

/* Only a path that was made by this very name is removed, whatever else is called like it. */
static void test_ours(struct room *r, const void *data)
{
	static const char *const ways[] = {"/", "/./", "//", "/images/../images/", "/images//"};
	struct frame_offer o = offer(DISK_FORMAT_RAW, 4096, 0);
	struct domain_disk_map map;
	struct kerr err = {0};
	int fd = -1;

	(void)data;
	disk_plan(&r->place, "work", &o, &map, &err);
	g_assert_cmpint(make(r, &map.disks[0], &fd, &err), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
		char *path =
			g_strconcat(r->top, ways[i], strrchr(map.disks[0].path, '/') + 1, NULL);

		if (i == 0)
			g_assert_true(g_file_set_contents(path, "his", -1, NULL));
		g_assert_false(is_ours(r, path));
		g_assert_cmpint(drop(r, path), <, 0);
		g_free(path);
	}
	g_assert_cmpint(drop(r, ""), <, 0);
	g_assert_cmpint(drop(r, "/"), ==, -EPERM);
	g_assert_cmpint(drop(r, "/etc/passwd"), ==, -EPERM);
	g_assert_cmpint(files_in(r->config.images), ==, 1);
	g_assert_true(is_ours(r, map.disks[0].path));
	g_assert_cmpint(drop(r, map.disks[0].path), ==, 0);
	close(fd);
}

/* The mark comes first; a crash before the image leaves one that stands for nothing. */
static void test_marked_first(struct room *r, const void *data)
{
	struct frame_offer o = offer(DISK_FORMAT_RAW, 4096, 0);
	struct domain_disk_map map;
	struct kerr err = {0};
	int fd = -1;

	(void)data;
	disk_plan(&r->place, "work", &o, &map, &err);
	g_assert_cmpint(make(r, &map.disks[0], &fd, &err), ==, 0);
	g_assert_cmpint(unlink(map.disks[0].path), ==, 0);
	g_assert_true(is_ours(r, map.disks[0].path));
	g_assert_cmpint(drop(r, map.disks[0].path), ==, -ENOENT);
	g_assert_false(is_ours(r, map.disks[0].path));
	/* A name that is taken is not marked: what is there is not ours. */
	g_assert_true(g_file_set_contents(map.disks[0].path, "his", -1, NULL));
	g_assert_cmpint(make(r, &map.disks[0], &fd, &err), ==, -EEXIST);
	g_assert_false(is_ours(r, map.disks[0].path));
	g_assert_cmpint(drop(r, map.disks[0].path), ==, -EPERM);
	close(fd);
}

/* H23: an image that its owner put into the folder is not Kith's to delete. */
static void test_owners(struct room *r, const void *data)
{
	struct frame_offer o = offer(DISK_FORMAT_RAW, 1 << 20, 0);
	char *his = g_build_filename(r->config.images, "his.raw", NULL);
	struct domain_disk_map map;
	struct kerr err = {0};
	int fd = -1;

	(void)data;
	g_assert_true(g_file_set_contents(his, "precious", -1, NULL));
	g_assert_false(is_ours(r, his));
	g_assert_cmpint(drop(r, his), ==, -EPERM);
	g_assert_true(g_file_test(his, G_FILE_TEST_EXISTS));
	/* The twin: what was made goes, and its note with it. */
	g_assert_cmpint(disk_plan(&r->place, "work", &o, &map, &err), ==, 0);
	g_assert_cmpint(make(r, &map.disks[0], &fd, &err), ==, 0);
	g_assert_true(is_ours(r, map.disks[0].path));
	g_assert_cmpint(drop(r, map.disks[0].path), ==, 0);
	g_assert_false(is_ours(r, map.disks[0].path));
	close(fd);
	g_free(his);
}

static void test_room(struct room *r, const void *data)
{
	struct frame_offer o = offer(DISK_FORMAT_RAW, (UINT64_C(1) << 62) - 512, 0);
	struct kerr err = {0};

	(void)data;
	g_assert_cmpint(check_room(r, &o, &err), ==, -ENOSPC);
	g_assert_cmpint(err.code, ==, KCODE_ROOM);
	/* 16 disks whose sum would overflow. */
	kerr_clear(&err);
	o.count = DOMAIN_DISKS_MAX;
	for (size_t i = 0; i < o.count; i++)
		o.disks[i] = (struct frame_disk){
			.target = "vda", .capacity = UINT64_C(1) << 61, .used = UINT64_C(1) << 61};
	g_assert_cmpint(check_room(r, &o, &err), ==, -ENOSPC);
	kerr_clear(&err);
	o = offer(DISK_FORMAT_RAW, 1 << 20, 1 << 20);
	g_assert_cmpint(check_room(r, &o, &err), ==, 0);
}

/* A file larger than the file system takes: nothing may be left. */
static void test_failed_create(struct room *r, const void *data)
{
	struct domain_disk_target t = {.target = "vda", .capacity = UINT64_C(1) << 63};
	struct kerr err = {0};
	int fd = -1;

	(void)data;
	g_snprintf(t.path, sizeof(t.path), "%s/huge", r->config.images);
	g_assert_cmpint(make(r, &t, &fd, &err), <, 0);
	g_assert_cmpint(fd, ==, -1);
	g_assert_cmpint(files_in(r->config.images), ==, 0);
}

#define ADD(name, f) g_test_add("/disk/" name, struct room, NULL, setup, f, teardown)

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0)
		return 1;
	ADD("H12 a raw image is a new file", test_raw);
	ADD("H17 a qcow2 image has no backing file", test_qcow2);
	ADD("H12 names are not to be guessed", test_names);
	ADD("H12 a symlink waits in the folder", test_symlink_in_folder);
	ADD("N11 the folder is a symlink", test_symlink_folder);
	ADD("H12 only what was made by this very path is removed", test_ours);
	ADD("H23 marked before it is made, and only then", test_marked_first);
	ADD("H23 an owner's image stays", test_owners);
	ADD("H23 declared sizes and free space", test_room);
	ADD("H23 a failed image leaves nothing", test_failed_create);
	return g_test_run();
}
