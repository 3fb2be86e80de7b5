/* SPDX-License-Identifier: Apache-2.0 */
/* Storage pools, on libvirt's own test driver: its pools and volumes are in memory, so the folders
 * of some are made here, and what libvirtd would put into them. */
#include <fcntl.h>
#include <glib.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "mover/disk.h"
#include "mover/virt-internal.h"

struct host {
	struct virt *virt;
	char *top;
	struct config config;
	int notes;
};

static void silent(void *ctx, virErrorPtr e)
{
	(void)ctx;
	(void)e;
}

static void setup(struct host *h, const void *data)
{
	struct kerr err = {0};

	(void)data;
	virSetErrorFunc(NULL, silent);
	h->virt = virt_new();
	h->virt->conn = virConnectOpen("test:///default");
	g_assert_nonnull(h->virt->conn);
	h->top = g_dir_make_tmp("kith-pool-XXXXXX", NULL);
	g_assert_cmpint(config_parse("", &h->config, &err), ==, 0);
	g_snprintf(h->config.images, sizeof(h->config.images), "%s/images", h->top);
	h->notes = open(h->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void teardown(struct host *h, const void *data)
{
	char *argv[] = {(char *)"rm", (char *)"-r", h->top, NULL};

	(void)data;
	virt_free(h->virt);
	close(h->notes);
	g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
	g_free(h->top);
}

/* A pool of this type; its folder is made below the top. */
static char *add_pool(struct host *h, const char *type, const char *name, bool start)
{
	char *folder = g_build_filename(h->top, name, NULL);
	char *xml = g_strdup_printf(
		"<pool type='%s'><name>%s</name><source><name>%s</name><host name='h'/>"
		"<dir path='/x'/><device path='/dev/%s'/></source>"
		"<target><path>%s</path></target></pool>",
		type, name, name, name, folder);
	virStoragePoolPtr p = virStoragePoolDefineXML(h->virt->conn, xml, 0);

	g_assert_nonnull(p);
	if (start)
		g_assert_cmpint(virStoragePoolCreate(p, 0), ==, 0);
	virStoragePoolFree(p);
	mkdir(folder, 0711);
	g_free(xml);
	return folder;
}

static void config_pool(struct host *h, const char *name)
{
	g_strlcpy(h->config.pool, name, sizeof(h->config.pool));
}

static struct domain_disk_target target(const char *folder, const char *name)
{
	struct domain_disk_target t = {.target = "vda", .capacity = 1 << 20};

	g_snprintf(t.path, sizeof(t.path), "%s/%s", folder, name);
	return t;
}

static void test_kinds(struct host *h, const void *data)
{
	static const struct {
		const char *type;
		bool good;
	} kinds[] = {
		{"dir", true}, {"fs", true}, {"netfs", true}, {"logical", false}, {"iscsi", false}};
	struct kerr err = {0};
	struct pool p;

	(void)data;
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		g_autofree char *folder = add_pool(h, kinds[i].type, kinds[i].type, true);

		kerr_clear(&err);
		g_assert_cmpint(pool_get(h->virt, kinds[i].type, &p, &err), ==,
				kinds[i].good ? 0 : -ENOENT);
		if (kinds[i].good)
			g_assert_cmpstr(p.folder, ==, folder);
		else
			g_assert_nonnull(strstr(err.text, "not files"));
	}
}

static void test_absent(struct host *h, const void *data)
{
	g_autofree char *folder = add_pool(h, "dir", "mine", false);
	struct kerr err = {0};
	struct pool p;

	(void)data;
	g_assert_cmpint(pool_get(h->virt, "other", &p, &err), ==, -ENOENT);
	g_assert_nonnull(strstr(err.text, "no storage pool \"other\""));
	kerr_clear(&err);
	g_assert_cmpint(pool_get(h->virt, "mine", &p, &err), ==, -ENOENT);
	g_assert_nonnull(strstr(err.text, "virsh pool-start mine"));
	kerr_clear(&err);
	g_assert_cmpint(pool_at(h->virt, folder, &p, &err), ==, -ENOENT);
}

static void test_place(struct host *h, const void *data)
{
	g_autofree char *folder = add_pool(h, "dir", "default", true);
	struct disk_place place = {.fd = -1};
	struct kerr err = {0};

	(void)data;
	g_assert_cmpint(disk_place_open(h->virt, &h->config, &place, &err), ==, 0);
	g_assert_cmpstr(place.pool.name, ==, "default");
	g_assert_cmpstr(place.folder, ==, folder);
	disk_place_close(&place);
	/* "none" is the folder, whatever pools there are. */
	config_pool(h, "none");
	g_assert_cmpint(disk_place_open(h->virt, &h->config, &place, &err), ==, 0);
	g_assert_cmpstr(place.pool.name, ==, "");
	g_assert_cmpstr(place.folder, ==, h->config.images);
	disk_place_close(&place);
}

/* The usual pool is taken if it can be; one that somebody named has to be there. */
static void test_fallback(struct host *h, const void *data)
{
	struct disk_place place = {.fd = -1};
	struct kerr err = {0};

	(void)data;
	g_assert_cmpint(disk_place_open(h->virt, &h->config, &place, &err), ==, 0);
	g_assert_cmpstr(place.folder, ==, h->config.images);
	g_assert_nonnull(strstr(place.why_none.text, "no storage pool \"default\""));
	disk_place_close(&place);
	config_pool(h, "mine");
	g_assert_cmpint(disk_place_open(h->virt, &h->config, &place, &err), ==, -ENOENT);
	g_assert_cmpint(err.code, ==, KCODE_NOT_READY);
	g_assert_cmpint(place.fd, <, 0);
	g_free(add_pool(h, "dir", "mine", true));
	kerr_clear(&err);
	g_assert_cmpint(disk_place_open(h->virt, &h->config, &place, &err), ==, 0);
	g_assert_cmpstr(place.pool.name, ==, "mine");
	disk_place_close(&place);
}

/* A folder behind a symlink, one that is gone, one that everybody may write to; and each repaired.
 */
static void test_odd_folders(struct host *h, const void *data)
{
	g_autofree char *folder = add_pool(h, "dir", "mine", true);
	g_autofree char *real = g_build_filename(h->top, "real", NULL);
	struct disk_place place = {.fd = -1};
	struct kerr err = {0};

	(void)data;
	config_pool(h, "mine");
	g_assert_cmpint(rename(folder, real), ==, 0);
	g_assert_cmpint(disk_place_open(h->virt, &h->config, &place, &err), ==, -ENOENT);
	g_assert_cmpint(symlink(real, folder), ==, 0);
	kerr_clear(&err);
	g_assert_cmpint(disk_place_open(h->virt, &h->config, &place, &err), ==, -ELOOP);
	g_assert_cmpint(unlink(folder), ==, 0);
	g_assert_cmpint(rename(real, folder), ==, 0);
	g_assert_cmpint(chmod(folder, 01777), ==, 0);
	kerr_clear(&err);
	g_assert_cmpint(disk_place_open(h->virt, &h->config, &place, &err), ==, -EPERM);
	g_assert_cmpint(chmod(folder, 0775), ==, 0);
	kerr_clear(&err);
	g_assert_cmpint(disk_place_open(h->virt, &h->config, &place, &err), ==, 0);
	disk_place_close(&place);
}

static void test_volumes(struct host *h, const void *data)
{
	g_autofree char *folder = add_pool(h, "dir", "mine", true);
	struct domain_disk_target t = target(folder, "a.raw"), his = target(folder, "his.raw");
	virStoragePoolPtr lib = virStoragePoolLookupByName(h->virt->conn, "mine");
	struct kerr err = {0};
	struct pool p;

	(void)data;
	g_assert_cmpint(pool_get(h->virt, "mine", &p, &err), ==, 0);
	g_assert_cmpint(pool_make(h->virt, &p, &t, &err), ==, 0);
	g_assert_cmpint(pool_make(h->virt, &p, &his, &err), ==, 0);
	g_assert_cmpint(virStoragePoolNumOfVolumes(lib), ==, 2);
	/* H12: a name that is taken. */
	g_assert_cmpint(pool_make(h->virt, &p, &t, &err), <, 0);
	g_assert_cmpint(virStoragePoolNumOfVolumes(lib), ==, 2);
	kerr_clear(&err);
	g_assert_cmpint(pool_remove(h->virt, p.uuid, t.path, &err), ==, 0);
	g_assert_cmpint(virStoragePoolNumOfVolumes(lib), ==, 1);
	g_assert_cmpint(pool_remove(h->virt, p.uuid, t.path, &err), ==, -ENOENT);
	g_assert_cmpint(err.code, ==, KCODE_OK);
	virStoragePoolFree(lib);
}

/* One of the same name elsewhere is not the one that is meant. */
static void test_other_path(struct host *h, const void *data)
{
	g_autofree char *folder = add_pool(h, "dir", "mine", true);
	struct domain_disk_target t = target(folder, "a.raw");
	struct kerr err = {0};
	struct pool p;

	(void)data;
	g_assert_cmpint(pool_get(h->virt, "mine", &p, &err), ==, 0);
	g_assert_cmpint(pool_make(h->virt, &p, &t, &err), ==, 0);
	g_assert_cmpint(pool_remove(h->virt, p.uuid, "/elsewhere/a.raw", &err), ==, -ENXIO);
	kerr_clear(&err);
	g_assert_cmpint(pool_remove(h->virt, p.uuid, t.path, &err), ==, 0);
}

/* It is stopped, or undefined, between two of our calls. */
static void test_vanishes(struct host *h, const void *data)
{
	g_autofree char *folder = add_pool(h, "dir", "mine", true);
	virStoragePoolPtr lib = virStoragePoolLookupByName(h->virt->conn, "mine");
	struct domain_disk_target a = target(folder, "a.raw"), b = target(folder, "b.raw");
	struct kerr err = {0};
	struct pool p;

	(void)data;
	g_assert_cmpint(pool_get(h->virt, "mine", &p, &err), ==, 0);
	g_assert_cmpint(pool_make(h->virt, &p, &a, &err), ==, 0);
	virStoragePoolDestroy(lib);
	g_assert_cmpint(pool_make(h->virt, &p, &b, &err), ==, -ENXIO);
	kerr_clear(&err);
	g_assert_cmpint(pool_remove(h->virt, p.uuid, a.path, &err), ==, -ENXIO);
	virStoragePoolUndefine(lib);
	virStoragePoolFree(lib);
	kerr_clear(&err);
	g_assert_cmpint(pool_remove(h->virt, p.uuid, a.path, &err), ==, -ENXIO);
	g_assert_cmpint(err.code, ==, KCODE_NOT_READY);
}

/* A volume without a file, as from a pool that lies: it goes, and its mark too. */
static void test_no_file(struct host *h, const void *data)
{
	g_autofree char *folder = add_pool(h, "dir", "default", true);
	virStoragePoolPtr lib = virStoragePoolLookupByName(h->virt->conn, "default");
	struct domain_disk_target t = target(folder, "a.raw");
	struct disk_place place = {.fd = -1};
	struct kerr err = {0};
	int fd = -1;

	(void)data;
	g_assert_cmpint(disk_place_open(h->virt, &h->config, &place, &err), ==, 0);
	g_assert_cmpint(disk_create(&place, h->notes, &t, &fd, &err), ==, -ENOENT);
	g_assert_cmpint(fd, ==, -1);
	g_assert_cmpint(virStoragePoolNumOfVolumes(lib), ==, 0);
	g_assert_false(disk_was_made(h->notes, t.path));
	/* The twin: with a file. */
	kerr_clear(&err);
	g_assert_true(g_file_set_contents(t.path, "", 0, NULL));
	g_assert_cmpint(disk_create(&place, h->notes, &t, &fd, &err), ==, 0);
	g_assert_cmpint(fd, >=, 0);
	g_assert_true(disk_was_made(h->notes, t.path));
	g_assert_cmpint(disk_remove(h->virt, h->notes, t.path, &err), ==, 0);
	g_assert_cmpint(virStoragePoolNumOfVolumes(lib), ==, 0);
	g_assert_false(disk_was_made(h->notes, t.path));
	virStoragePoolFree(lib);
	disk_place_close(&place);
	close(fd);
}

#define ADD(name, f) g_test_add("/pool/" name, struct host, NULL, setup, f, teardown)

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0)
		return 1;
	ADD("only pools of files", test_kinds);
	ADD("absent or not started", test_absent);
	ADD("the usual place is the pool", test_place);
	ADD("a pool that was named has to be there", test_fallback);
	ADD("N11 folders of pools", test_odd_folders);
	ADD("H12 a volume's name is taken", test_volumes);
	ADD("H23 a volume of that name elsewhere stays", test_other_path);
	ADD("a pool vanishes in the middle", test_vanishes);
	ADD("H23 a volume without a file leaves nothing", test_no_file);
	return g_test_run();
}
