/* SPDX-License-Identifier: Apache-2.0 */
/* Images that a VM left here: the notes of them, and who still needs one (on libvirt's own test
 * driver). */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sodium.h>
#include <string.h>

#include "mover/disks-client.h"
#include "mover/filter/mention.h"
#include "mover/stale.h"
#include "mover/usage.h"
#include "mover/virt-internal.h"
#include "tests/unit/golden.h"

/* -- notes -- */

static struct stale sample(const char *path)
{
	struct stale s = {
		.uuid = {1}, .peer = {2}, .vm = "work", .peer_name = "desktop", .time = 1000};

	g_strlcpy(s.path, path, sizeof(s.path));
	return s;
}

static void same_as_golden(const char *name, const struct wbuf *w)
{
	uint8_t want[1024];
	size_t n = golden_read("mover.txt", name, want, sizeof(want));

	g_assert_cmpmem(w->data, w->len, want, n);
}

static void test_codec(void)
{
	struct stale in = sample("/images/a"), out;
	uint8_t buf[2048];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	g_assert_cmpint(stale_put(&w, &in), ==, 0);
	same_as_golden("stale", &w);
	for (size_t len = 0; len < w.len; len++) {
		r = rbuf_init(buf, len);
		g_assert_cmpint(stale_get(&r, &out), ==, -EBADMSG);
	}
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(stale_get(&r, &out), ==, 0);
	g_assert_cmpstr(out.path, ==, "/images/a");
	buf[0] = 2; /* version */
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(stale_get(&r, &out), ==, -EBADMSG);
	/* Neither is written that would not be read. */
	in = sample("images/a");
	w = wbuf_init(buf, sizeof(buf));
	g_assert_cmpint(stale_put(&w, &in), <, 0);
}

static void test_files(void)
{
	_cleanup_free_ struct stale *list = NULL;
	char *top = g_dir_make_tmp("kith-stale-XXXXXX", NULL);
	int folder = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stale a = sample("/images/a"), b = sample("/images/b'c d"), out;
	size_t n = 9;

	g_assert_cmpint(stale_list(folder, &list, &n), ==, 0);
	g_assert_cmpuint(n, ==, 0);
	g_clear_pointer(&list, free);
	b.time = 500;
	g_assert_cmpint(stale_write(folder, &a), ==, 0);
	g_assert_cmpint(stale_write(folder, &b), ==, 0);
	a.time = 2000;
	g_assert_cmpint(stale_write(folder, &a), ==, 0); /* replaces */
	g_assert_cmpint(stale_list(folder, &list, &n), ==, 0);
	g_assert_cmpuint(n, ==, 2);
	g_assert_cmpstr(list[0].path, ==, b.path); /* the oldest first */
	g_assert_cmpuint(list[1].time, ==, 2000);
	/* Never by a path that was not noted. */
	g_assert_cmpint(stale_read(folder, "/images/c", &out), ==, -ENOENT);
	g_assert_cmpint(stale_read(folder, "/images//a", &out), ==, -ENOENT);
	g_assert_cmpint(stale_read(folder, "/images/a", &out), ==, 0);
	g_assert_cmpint(stale_forget(folder, "/images/c"), ==, -ENOENT);
	g_assert_cmpint(stale_forget(folder, a.path), ==, 0);
	g_assert_cmpint(stale_forget(folder, a.path), ==, -ENOENT);
	g_assert_cmpint(stale_forget(folder, b.path), ==, 0);
	close(folder);
	g_assert_cmpint(g_rmdir(top), ==, 0); /* nothing else was left in it */
	g_free(top);
}

static void test_broken_file(void)
{
	_cleanup_free_ struct stale *list = NULL;
	char *top = g_dir_make_tmp("kith-stale-XXXXXX", NULL);
	char *broken = g_build_filename(top, "stale-00", NULL);
	int folder = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stale a = sample("/images/a");
	size_t n = 9;

	g_assert_true(g_file_set_contents(broken, "x", 1, NULL));
	g_assert_cmpint(stale_write(folder, &a), ==, 0);
	g_assert_cmpint(stale_list(folder, &list, &n), ==, 0);
	g_assert_cmpuint(n, ==, 1);
	g_assert_cmpint(stale_forget(folder, a.path), ==, 0);
	g_unlink(broken);
	close(folder);
	g_rmdir(top);
	g_free(broken);
	g_free(top);
}

/* -- the wish on the wire -- */

static void test_wish(void)
{
	struct disks_wish in = {.path = "/images/a", .forget = 1}, out;
	uint8_t buf[2048];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	g_assert_cmpint(disks_wish_put(&w, &in), ==, 0);
	same_as_golden("wish", &w);
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(disks_wish_get(&r, &out), ==, 0);
	g_assert_cmpstr(out.path, ==, in.path);
	for (size_t len = 0; len < w.len; len++) {
		r = rbuf_init(buf, len);
		g_assert_cmpint(disks_wish_get(&r, &out), ==, -EBADMSG);
	}
	buf[2] = '-'; /* an option for the child, not a path */
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(disks_wish_get(&r, &out), ==, -EBADMSG);
}

/* -- what a document names -- */

static bool is_same(void *ctx, const char *value)
{
	return strcmp(ctx, value) == 0;
}

static void test_mention(void)
{
	static const char xml[] =
		"<domain><name>/n</name><disk><driver type='qcow2'/><source file='/a'/>"
		"<backingStore type='file'><source file='/b'/><backingStore/></backingStore></disk>"
		"<disk><source file='/off'/><driver type='qcow2'/></disk>"
		"<disk><source file='/raw'/><driver type='raw'/></disk>"
		"<x y='no'><z>/deep</z></x></domain>";
	static const char *const named[] = {"/n", "/a", "/b", "/off", "/raw", "/deep"};

	for (size_t i = 0; i < G_N_ELEMENTS(named); i++)
		g_assert_cmpint(mention_any(xml, is_same, (void *)named[i]), ==, 1);
	g_assert_cmpint(mention_any(xml, is_same, (void *)"/c"), ==, 0);
	g_assert_cmpint(mention_any("<domain", is_same, (void *)"/c"), ==, -EBADMSG);
	/* Only the one of which nobody says what it stands on. */
	for (size_t i = 0; i < G_N_ELEMENTS(named); i++)
		g_assert_cmpint(mention_unknown_chain(xml, is_same, (void *)named[i]), ==, i == 3);
}

/* -- who needs it -- */

#define UUID "4a2d5c1e-0000-4000-8000-000000000001"

struct host {
	struct virt *virt;
	char *top, *path, *other;
};

static void silent(void *ctx, virErrorPtr e)
{
	(void)ctx;
	(void)e;
}

static void setup(struct host *h, const void *data)
{
	virDomainPtr usual;

	(void)data;
	virSetErrorFunc(NULL, silent);
	h->virt = virt_new();
	h->virt->conn = virConnectOpen("test:///default");
	usual = virDomainLookupByName(h->virt->conn, "test");
	g_assert_cmpint(virDomainDestroy(usual), ==, 0);
	virDomainUndefine(usual);
	virDomainFree(usual);
	h->top = g_dir_make_tmp("kith-stale-XXXXXX", NULL);
	h->path = g_build_filename(h->top, "old.img", NULL);
	h->other = g_build_filename(h->top, "new.img", NULL);
	g_assert_true(g_file_set_contents(h->path, "x", 1, NULL));
	g_assert_true(g_file_set_contents(h->other, "y", 1, NULL));
}

static void teardown(struct host *h, const void *data)
{
	char *argv[] = {(char *)"rm", (char *)"-r", h->top, NULL};

	(void)data;
	virt_free(h->virt);
	g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
	g_free(h->top);
	g_free(h->path);
	g_free(h->other);
}

static virDomainPtr define(struct host *h, const char *format, const char *file)
{
	g_autofree char *xml = g_strdup_printf(
		"<domain type='test'><name>work</name><uuid>" UUID "</uuid><memory>1024</memory>"
		"<os><type>hvm</type></os><devices><disk type='file' device='disk'>"
		"<driver name='qemu' type='%s'/><source file='%s'/><target dev='vda'/></disk>"
		"</devices></domain>",
		format, file);
	virDomainPtr dom = virDomainDefineXML(h->virt->conn, xml);

	g_assert_nonnull(dom);
	return dom;
}

static void expect(struct host *h, int wanted, const char *words)
{
	struct kerr err = {0};

	g_assert_cmpint(usage_check(h->virt, h->path, &err), ==, wanted);
	if (words)
		g_assert_nonnull(strstr(err.text, words));
	else
		g_assert_cmpint(err.code, ==, KCODE_OK);
}

static void test_defined(struct host *h, const void *data)
{
	virDomainPtr dom = define(h, "raw", h->path);

	(void)data;
	expect(h, -EBUSY, "the VM \"work\"");
	virDomainUndefine(dom);
	virDomainFree(dom);
	expect(h, 0, NULL);
	dom = define(h, "raw", h->other);
	expect(h, 0, NULL);
	virDomainFree(dom);
}

/* As it runs it has another disk than as it is defined. */
static void test_running(struct host *h, const void *data)
{
	virDomainPtr dom = define(h, "raw", h->path), again;

	(void)data;
	g_assert_cmpint(virDomainCreate(dom), ==, 0);
	again = define(h, "raw", h->other);
	expect(h, -EBUSY, "the VM \"work\"");
	virDomainDestroy(dom);
	expect(h, 0, NULL);
	virDomainFree(again);
	virDomainFree(dom);
}

/* By another name of the same file. */
static void test_other_name(struct host *h, const void *data)
{
	g_autofree char *soft = g_build_filename(h->top, "soft", NULL);
	g_autofree char *hard = g_build_filename(h->top, "hard", NULL);
	const char *names[] = {soft, hard};

	(void)data;
	g_assert_cmpint(symlink(h->path, soft), ==, 0);
	g_assert_cmpint(link(h->path, hard), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		virDomainPtr dom = define(h, "raw", names[i]);

		expect(h, -EBUSY, "the VM \"work\"");
		virDomainUndefine(dom);
		virDomainFree(dom);
	}
	expect(h, 0, NULL);
}

/* A VM that is off, on a qcow2 image of which libvirt tells nothing, and then on one in a pool. */
static void test_chain(struct host *h, const void *data)
{
	g_autofree char *pool_xml = g_strdup_printf(
		"<pool type='dir'><name>p</name><target><path>%s</path></target></pool>", h->top);
	virDomainPtr dom = define(h, "qcow2", h->other);
	virStoragePoolPtr pool;
	virStorageVolPtr over;
	g_autofree char *xml = NULL;

	(void)data;
	expect(h, -EBUSY, "cannot be seen");
	pool = virStoragePoolCreateXML(h->virt->conn, pool_xml, 0);
	g_assert_nonnull(pool);
	virStorageVolFree(virStorageVolCreateXML(
		pool, "<volume><name>new.img</name><capacity>1</capacity></volume>", 0));
	expect(h, 0, NULL);
	/* A volume that stands on it is a use, whether a VM has that one or not. */
	xml = g_strdup_printf("<volume><name>over</name><capacity>1</capacity><target>"
			      "<format type='qcow2'/></target><backingStore><path>%s</path>"
			      "</backingStore></volume>",
			      h->path);
	over = virStorageVolCreateXML(pool, xml, 0);
	g_assert_nonnull(over);
	expect(h, -EBUSY, "the volume \"over\"");
	virStorageVolDelete(over, 0);
	virStorageVolFree(over);
	/* It names itself, and is no use of itself. */
	virStorageVolFree(virStorageVolCreateXML(
		pool, "<volume><name>old.img</name><capacity>1</capacity></volume>", 0));
	expect(h, 0, NULL);
	virStoragePoolFree(pool);
	virDomainFree(dom);
}

static void test_snapshot(struct host *h, const void *data)
{
	virDomainPtr dom = define(h, "raw", h->path), again;
	virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(
		dom, "<domainsnapshot><name>s</name></domainsnapshot>", 0);

	(void)data;
	g_assert_nonnull(snapshot);
	again = define(h, "raw", h->other);
	expect(h, -EBUSY, "snapshot");
	virDomainSnapshotDelete(snapshot, 0);
	expect(h, 0, NULL);
	virDomainSnapshotFree(snapshot);
	virDomainFree(again);
	virDomainFree(dom);
}

#define ADD(name, f) g_test_add("/stale/" name, struct host, NULL, setup, f, teardown)

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0)
		return 1;
	g_test_add_func("/stale/a note", test_codec);
	g_test_add_func("/stale/notes as files", test_files);
	g_test_add_func("/stale/a note that cannot be read", test_broken_file);
	g_test_add_func("/stale/N1 the wish to remove one", test_wish);
	g_test_add_func("/stale/what a document names", test_mention);
	ADD("H23 a defined VM needs it", test_defined);
	ADD("H23 a running VM needs it", test_running);
	ADD("H23 a VM needs it by another name", test_other_name);
	ADD("H23 another image stands on it", test_chain);
	ADD("H23 a snapshot needs it", test_snapshot);
	return g_test_run();
}
