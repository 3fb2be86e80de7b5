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
	char *top, *images;
	int folder, notes;
};

static void setup(struct room *r, const void *data)
{
	struct kerr err = {0};

	(void)data;
	r->top = g_dir_make_tmp("kith-disk-XXXXXX", NULL);
	r->images = g_build_filename(r->top, "images", NULL);
	g_assert_cmpint(disk_folder_open(r->images, &r->folder, &err), ==, 0);
	r->notes = open(r->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g_assert_cmpint(r->notes, >=, 0);
}

static void teardown(struct room *r, const void *data)
{
	char *argv[] = {(char *)"rm", (char *)"-r", r->top, NULL};

	(void)data;
	close(r->folder);
	close(r->notes);
	g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
	g_free(r->images);
	g_free(r->top);
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
	int fd = -1, again = -1;

	(void)data;
	g_assert_cmpint(disk_check_room(r->folder, &o, &err), ==, 0);
	g_assert_cmpint(disk_plan(r->images, &o, &map, &err), ==, 0);
	g_assert_cmpint(files_in(r->images), ==, 0);
	g_assert_true(disk_is_ours(r->images, map.disks[0].path));
	g_assert_cmpint(disk_create(r->notes, r->folder, &map.disks[0], &fd, &err), ==, 0);
	g_assert_cmpint(stat(map.disks[0].path, &st), ==, 0);
	g_assert_cmpint(st.st_size, ==, 8 << 20);
	g_assert_cmpint(st.st_blocks, <, 64);
	g_assert_cmpint(st.st_mode & 07777, ==, 0600);
	g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	/* H12: what exists is never opened. */
	g_assert_cmpint(disk_create(r->notes, r->folder, &map.disks[0], &again, &err), ==, -EEXIST);
	g_assert_cmpint(stat(map.disks[0].path, &st), ==, 0);
	g_assert_cmpint(disk_remove(r->notes, r->folder, r->images, map.disks[0].path), ==, 0);
	g_assert_cmpint(disk_remove(r->notes, r->folder, r->images, map.disks[0].path), ==,
			-ENOENT);
	g_assert_cmpint(files_in(r->images), ==, 0);
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
	g_assert_cmpint(disk_plan(r->images, &o, &map, &err), ==, 0);
	g_assert_cmpint(disk_create(r->notes, r->folder, &map.disks[0], &fd, &err), ==, 0);
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
	disk_plan(r->images, &o, &a, &err);
	disk_plan(r->images, &o, &b, &err);
	g_assert_cmpstr(a.disks[0].path, !=, b.disks[0].path);
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
	disk_plan(r->images, &o, &map, &err);
	g_assert_cmpint(symlink(secret, map.disks[0].path), ==, 0);
	g_assert_cmpint(disk_create(r->notes, r->folder, &map.disks[0], &fd, &err), <, 0);
	g_assert_cmpint(err.code, !=, KCODE_OK);
	g_file_get_contents(secret, &text, NULL, NULL);
	g_assert_cmpstr(text, ==, "canary");
	g_free(text);
	g_free(secret);
}

static void test_symlink_folder(struct room *r, const void *data)
{
	char *link_path = g_build_filename(r->top, "link", NULL);
	char *below = g_build_filename(link_path, "x", NULL);
	struct kerr err = {0};
	int fd = -1;

	(void)data;
	g_assert_cmpint(symlink(r->images, link_path), ==, 0);
	g_assert_cmpint(disk_folder_open(link_path, &fd, &err), <, 0);
	kerr_clear(&err);
	g_assert_cmpint(disk_folder_open(below, &fd, &err), <, 0);
	g_assert_cmpint(fd, ==, -1);
	g_free(below);
	g_free(link_path);
}

static void test_ours(struct room *r, const void *data)
{
	static const char *const not_ours[] = {
		"",	     "/",	    "/etc/passwd",  "/images",	  "/images/", "/images/..",
		"/images/.", "/images/a/b", "/images/../x", "/imagesx/a", "images/a", "/images//a"};

	(void)data;
	for (size_t i = 0; i < G_N_ELEMENTS(not_ours); i++) {
		g_assert_false(disk_is_ours("/images", not_ours[i]));
		g_assert_cmpint(disk_remove(r->notes, r->folder, "/images", not_ours[i]), ==,
				-EPERM);
	}
	g_assert_true(disk_is_ours("/images", "/images/a"));
	g_assert_true(disk_is_ours("/images", "/images/..a"));
}

/* H23: an image that its owner put into the folder is not Kith's to delete. */
static void test_owners(struct room *r, const void *data)
{
	struct frame_offer o = offer(DISK_FORMAT_RAW, 1 << 20, 0);
	char *his = g_build_filename(r->images, "his.raw", NULL);
	struct domain_disk_map map;
	struct kerr err = {0};
	int fd = -1;

	(void)data;
	g_assert_true(g_file_set_contents(his, "precious", -1, NULL));
	g_assert_true(disk_is_ours(r->images, his));
	g_assert_false(disk_was_made(r->notes, r->images, his));
	g_assert_cmpint(disk_remove(r->notes, r->folder, r->images, his), ==, -EPERM);
	g_assert_true(g_file_test(his, G_FILE_TEST_EXISTS));
	/* The twin: what was made goes, and its note with it. */
	g_assert_cmpint(disk_plan(r->images, &o, &map, &err), ==, 0);
	g_assert_cmpint(disk_create(r->notes, r->folder, &map.disks[0], &fd, &err), ==, 0);
	g_assert_true(disk_was_made(r->notes, r->images, map.disks[0].path));
	g_assert_cmpint(disk_remove(r->notes, r->folder, r->images, map.disks[0].path), ==, 0);
	g_assert_false(disk_was_made(r->notes, r->images, map.disks[0].path));
	close(fd);
	g_free(his);
}

static void test_room(struct room *r, const void *data)
{
	struct frame_offer o = offer(DISK_FORMAT_RAW, (UINT64_C(1) << 62) - 512, 0);
	struct kerr err = {0};

	(void)data;
	g_assert_cmpint(disk_check_room(r->folder, &o, &err), ==, -ENOSPC);
	g_assert_cmpint(err.code, ==, KCODE_ROOM);
	/* 16 disks whose sum would overflow. */
	kerr_clear(&err);
	o.count = DOMAIN_DISKS_MAX;
	for (size_t i = 0; i < o.count; i++)
		o.disks[i] = (struct frame_disk){"vda", DISK_FORMAT_RAW, (UINT64_C(1) << 61),
						 (UINT64_C(1) << 61)};
	g_assert_cmpint(disk_check_room(r->folder, &o, &err), ==, -ENOSPC);
	kerr_clear(&err);
	o = offer(DISK_FORMAT_RAW, 1 << 20, 1 << 20);
	g_assert_cmpint(disk_check_room(r->folder, &o, &err), ==, 0);
}

/* A file larger than the file system takes: nothing may be left. */
static void test_failed_create(struct room *r, const void *data)
{
	struct domain_disk_target t = {"vda", "", DISK_FORMAT_RAW, UINT64_C(1) << 63};
	struct kerr err = {0};
	int fd = -1;

	(void)data;
	g_snprintf(t.path, sizeof(t.path), "%s/huge", r->images);
	g_assert_cmpint(disk_create(r->notes, r->folder, &t, &fd, &err), <, 0);
	g_assert_cmpint(fd, ==, -1);
	g_assert_cmpint(files_in(r->images), ==, 0);
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
	ADD("H12 only files directly in the folder are removed", test_ours);
	ADD("H23 an owner's image stays", test_owners);
	ADD("H23 declared sizes and free space", test_room);
	ADD("H23 a failed image leaves nothing", test_failed_create);
	return g_test_run();
}
