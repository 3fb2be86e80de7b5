/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that are files on a file system which both hosts have mounted: which file it is, what it is
 * called, and that a peer gets none opened that was not agreed (H12), nor one that leads to other
 * files of this host (H17). */
#include <glib/gstdio.h>

#include "domain-output.h"
#include "mover-fixtures.h"
#include "mover/filter/storage.h"
#include "mover/shared-file.h"

#define NFS_STORE "nfs://nas:2049/srv/vms"
#define POOL(source, path)                                                                 \
	"<pool type='netfs'><name>vms</name><source><host name='nas'/>" source "</source>" \
	"<target><path>" path "</path></target></pool>"
#define EXPORT "<dir path='/srv/vms'/>"

static void test_pools(void)
{
	static const struct {
		const char *xml, *store;
	} rows[] = {
		{POOL(EXPORT "<format type='nfs'/>", "/mnt/vms"), NFS_STORE},
		{POOL(EXPORT "<format type='auto'/>", "/mnt/vms"), NFS_STORE},
		{POOL(EXPORT, "/mnt/vms"), NFS_STORE},
		{POOL("<dir path='/vol'/><format type='glusterfs'/>", "/mnt/vms"),
		 "gluster://nas:24007/vol"},
		{POOL("<dir path='vol'/><format type='glusterfs'/>", "/mnt/vms"),
		 "gluster://nas:24007/vol"},
		{POOL(EXPORT "<format type='cifs'/>", "/mnt/vms"), NULL},
		{POOL("<dir path='/srv/../etc'/>", "/mnt/vms"), NULL},
		{POOL("<dir path='/srv//vms'/>", "/mnt/vms"), NULL},
		{POOL("<dir path='/'/>", "/mnt/vms"), NULL},
		{POOL("<dir path='/a b'/>", "/mnt/vms"), NULL},
		{POOL(EXPORT, "mnt"), NULL},
		{POOL("", "/mnt/vms"), NULL},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct domain_store s = {0};
		int r = storage_read_pool(rows[i].xml, &s);

		if ((r == 0) != (rows[i].store != NULL))
			g_error("%s: %d", rows[i].xml, r);
		g_assert_cmpstr(s.store, ==, rows[i].store ?: "");
		g_assert_cmpstr(s.folder, ==, rows[i].store ? "/mnt/vms" : "");
		g_assert_true(storage_is_files(s.store) == (rows[i].store != NULL));
	}
	g_assert_false(storage_is_files("iscsi://nas:3260/iqn.2004-10.com.example:nas"));
	g_assert_false(storage_is_files("/srv/vms"));
}

/* H12: as they come from another device. */
static void test_names(void)
{
	static const struct {
		struct domain_shared s;
		bool ok;
	} rows[] = {
		{{NFS_STORE, "web.qcow2", 12}, true},
		{{NFS_STORE, "a_b-c+d@e.img", 12}, true},
		{{"gluster://nas:24007/vol", "web.qcow2", 12}, true},
		{{NFS_STORE, "web.qcow2", 0}, false},
		{{NFS_STORE, "../web.qcow2", 12}, false},
		{{NFS_STORE, "sub/web.qcow2", 12}, false},
		{{NFS_STORE, ".web.qcow2", 12}, false},
		{{NFS_STORE, "-web", 12}, false},
		{{NFS_STORE, "", 12}, false},
		{{NFS_STORE, "a b", 12}, false},
		{{NFS_STORE, "a'/><x", 12}, false},
		{{"nfs://nas:2049/srv/../etc", "shadow", 12}, false},
		{{"nfs://nas:2049//etc", "shadow", 12}, false},
		{{"nfs://nas:2049/", "shadow", 12}, false},
		{{"nfs://nas:2049", "shadow", 12}, false},
		{{"gluster://nas:24007/vol/sub", "web", 12}, false},
		{{"", "", 12}, false},
		{{"", "", 0}, true},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		if (storage_name_ok(&rows[i].s) != rows[i].ok)
			g_error("%s and %s", rows[i].s.store, rows[i].s.volume);
}

static const struct domain_store here = {
	.pool = "vms",
	.store = NFS_STORE,
	.protocol = STORAGE_NFS,
	.host_count = 1,
	.hosts = {{"nas", 0}},
	.name = "srv/vms",
	.folder = "/mnt/vms",
};

static void test_paths(void)
{
	static const struct domain_store lun = {.protocol = STORAGE_ISCSI};
	static const char *const bad[] = {"/mnt/vms/",	  "/mnt/vms/a/b", "/mnt/vmsx/a",
					  "/mnt/vms/.a",  "mnt/vms/a",	  "/mnt/vms",
					  "/mnt/vms/../a"};
	char name[DOMAIN_VOLUME_MAX + 1] = "kept", path[DOMAIN_PATH_MAX + 1];

	g_assert_cmpint(storage_read_file(&here, "/mnt/vms/a.img", name), ==, 0);
	g_assert_cmpstr(name, ==, "a.img");
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_cmpint(storage_read_file(&here, bad[i], name), ==, -ENOTSUP);
	g_assert_cmpint(storage_read_file(&lun, "/mnt/vms/a.img", name), ==, -ENOTSUP);
	g_assert_cmpstr(name, ==, "a.img");
	g_assert_cmpint(storage_path(&here, "a.img", path), ==, 0);
	g_assert_cmpstr(path, ==, "/mnt/vms/a.img");
}

/* -- the VM's configuration -- */

static int rebuild(const char *xml, const struct domain_store *store, char **ret,
		   struct domain_facts *facts, struct kerr *err)
{
	g_autofree struct domain_disk_map *map = g_new0(struct domain_disk_map, 1);
	struct domain_limits limits = fix_limits();

	fix_map(map);
	map->disks[0].path[0] = '\0';
	map->disks[0].store = store;
	g_strlcpy(map->disks[0].volume, "a.img", sizeof(map->disks[0].volume));
	return domain_rebuild(xml, strlen(xml), &limits, map, ret, facts, err);
}

/* Wherever it lies at the source, here it is where this host has that file system. */
static void test_accepted(void)
{
	g_autofree struct domain_facts *facts = g_new0(struct domain_facts, 1);
	g_autofree char *out = NULL;
	struct kerr err = {0};

	if (rebuild(fix_domain, &here, &out, facts, &err) < 0)
		g_error("%s", err.text);
	check_output(out);
	g_assert_nonnull(strstr(out, "<source file='" FIX_ON_NFS "'/>"));
	g_assert_null(strstr(out, "/home/old/a.img"));
	g_assert_nonnull(strstr(out, FIX_PATH1));
	g_assert_cmpuint(facts->shared_count, ==, 1);
	g_assert_true(facts->disks[0].is_shared && !facts->disks[1].is_shared);
}

/* Announced as a file there, and then something else: not opened, whatever it is. */
static void test_hostile(void)
{
	static const char *const sources[][2] = {
		{"network", "<source protocol='iscsi' name='iqn.2004-10.com.example:nas/1'>"
			    "<host name='nas'/></source>"},
		{"network", "<source protocol='nfs' name='srv/vms/a.img'><host "
			    "name='nas'/></source>"},
		{"volume", "<source pool='vms' volume='a.img'/>"},
		{"block", "<source dev='/dev/sda'/>"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(sources); i++) {
		g_autofree char *disk =
			g_strdup_printf("<disk type='%s' device='disk'>", sources[i][0]);
		g_autofree char *begun =
			fix_replace(fix_domain, "<disk type='file' device='disk'>", disk);
		g_autofree char *xml = fix_replace(
			begun, "<source file='/home/old/a.img' index='2'/>", sources[i][1]);
		g_autofree char *out = NULL;
		struct kerr err = {0};

		g_assert_cmpint(rebuild(xml, &here, &out, NULL, &err), ==, -EPERM);
		g_assert_cmpint(err.code, ==, KCODE_DOMAIN);
		g_assert_null(out);
	}
}

/* -- files -- */

static char *folder;

static char *put(const char *name, const void *data, size_t len)
{
	char *path = g_build_filename(folder, name, NULL);

	g_assert_true(g_file_set_contents(path, data, (gssize)len, NULL));
	return path;
}

/* Bytes of a version 3 header, docs/interop/qcow2.txt: here is where its numbers are. */
static void put_number(uint8_t *header, size_t at, size_t len, uint64_t n)
{
	for (size_t i = 0; i < len; i++)
		header[at + i] = (uint8_t)(n >> (8 * (len - 1 - i)));
}

static void test_file(void)
{
	g_autofree char *path = put("a.raw", "x", 1),
			*link = g_build_filename(folder, "link", NULL);
	struct shared_file f = {0}, again;
	struct kerr err = {0};
	GStatBuf st;

	g_assert_cmpint(shared_file_look(path, &f, &err), ==, 0);
	g_assert_cmpint(g_stat(path, &st), ==, 0);
	g_assert_cmpuint(f.number, ==, st.st_ino);
	g_assert_cmpuint(f.capacity, ==, 1);
	g_assert_cmpint(symlink("a.raw", link), ==, 0);
	g_assert_cmpint(shared_file_look(link, &again, &err), <, 0);
	g_assert_cmpint(shared_file_look(folder, &again, &err), ==, -EPERM);
	g_assert_cmpint(shared_file_look("/dev/null", &again, &err), ==, -EPERM);
	g_unlink(path);
	g_unlink(link);
	err = (struct kerr){0};
	g_assert_cmpint(shared_file_look(path, &again, &err), ==, -ENOENT);
	g_assert_cmpint(err.code, ==, KCODE_NOT_FOUND);
}

/* H17: an image that is made of other files is opened on no other host. */
static void test_qcow2(void)
{
	static const struct {
		size_t at, len;
		uint64_t number;
		const char *words; /* NULL = it does */
	} rows[] = {
		{4, 4, 3, NULL},
		{4, 4, 2, NULL},
		{72, 8, 1, NULL},      /* dirty */
		{72, 8, 8 + 16, NULL}, /* another compression, extended entries */
		{0, 4, 0x514649fa, "no qcow2"},
		{4, 4, 4, "no qcow2"},
		{4, 4, 1, "no qcow2"},
		{8, 8, 512, "backing file"},
		{32, 4, 2, "encrypted"},
		{72, 8, 2, "damaged"},
		{72, 8, 4, "contents in another file"},
		{72, 8, UINT64_C(1) << 40, "damaged"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint8_t header[SHARED_FILE_HEAD] = "QFI\xfb";
		uint64_t capacity = 0;
		struct kerr err = {0};
		int r;

		put_number(header, 4, 4, 3);
		put_number(header, 24, 8, 1 << 20);
		put_number(header, rows[i].at, rows[i].len, rows[i].number);
		r = shared_file_qcow2(header, sizeof(header), &capacity, &err);
		g_assert_cmpint(r, ==, rows[i].words ? -EPERM : 0);
		if (rows[i].words)
			g_assert_nonnull(strstr(err.text, rows[i].words));
		g_assert_cmpuint(capacity, ==, rows[i].words ? 0 : 1 << 20);
	}
}

/* The header ends at 80; what is behind it belongs to the image. */
static void test_short(void)
{
	uint8_t header[80] = "QFI\xfb";
	uint64_t capacity;

	put_number(header, 4, 4, 3);
	for (size_t len = 0; len <= sizeof(header); len++) {
		g_autofree uint8_t *exact = g_memdup2(header, len);
		struct kerr err = {0};

		g_assert_cmpint(shared_file_qcow2(len ? exact : header, len, &capacity, &err), ==,
				len < sizeof(header) ? -EPERM : 0);
	}
}

int main(int argc, char *argv[])
{
	int r;

	g_test_init(&argc, &argv, NULL);
	folder = g_dir_make_tmp("kith-netfs-XXXXXX", NULL);
	g_assert_nonnull(folder);
	g_test_add_func("/netfs/pools", test_pools);
	g_test_add_func("/netfs/H12 names", test_names);
	g_test_add_func("/netfs/paths", test_paths);
	g_test_add_func("/netfs/accepted", test_accepted);
	g_test_add_func("/netfs/H12 other storage than announced", test_hostile);
	g_test_add_func("/netfs/which file it is", test_file);
	g_test_add_func("/netfs/H17 images made of other files", test_qcow2);
	g_test_add_func("/netfs/H17 images cut short", test_short);
	r = g_test_run();
	g_rmdir(folder);
	g_free(folder);
	return r;
}
