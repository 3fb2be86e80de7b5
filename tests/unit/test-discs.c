/* SPDX-License-Identifier: Apache-2.0 */
/* Discs in drives: found, and taken out of just the drive that is meant. */
#include "mover-fixtures.h"
#include "mover/disks-client.h"
#include "mover/filter/discs.h"

#define DRIVE(device, type, source, dev)                                                       \
	"<disk type='" type "' device='" device "'><driver name='qemu' type='raw'/>" source    \
	"<backingStore/><target dev='" dev "' bus='sata' tray='closed'/><readonly/><alias "    \
	"name='sata0-0-0'/><address type='drive' controller='0' bus='0' target='0' unit='0'/>" \
	"</disk>"
#define VM(devices) "<domain type='qemu'><name>vm</name><devices>" devices "</devices></domain>"

static const char several[] = VM(
	DRIVE("cdrom", "file", "<source file='/iso/a &amp; b.iso' index='1'/>", "sda") DRIVE(
		"cdrom", "file", "", "sdb") DRIVE("disk", "file", "<source file='/a.img'/>", "sdc")
		DRIVE("floppy", "block", "<source dev='/dev/fd0'/>", "fda")
			DRIVE("cdrom", "network",
			      "<source protocol='https' name='pub/x.iso'><host name='h'/></source>",
			      "sdd"));

static void test_read(void)
{
	g_autofree struct disc_drive *discs = g_new0(struct disc_drive, DISCS_MAX);
	size_t n = 99;

	g_assert_cmpint(discs_read(several, discs, &n), ==, 0);
	g_assert_cmpuint(n, ==, 3);
	g_assert_cmpstr(discs[0].target, ==, "sda");
	g_assert_cmpstr(discs[0].what, ==, "/iso/a & b.iso");
	g_assert_cmpstr(discs[1].what, ==, "/dev/fd0");
	g_assert_cmpstr(discs[2].what, ==, "pub/x.iso");
	g_assert_cmpint(discs_read(fix_domain, discs, &n), ==, 0);
	g_assert_cmpuint(n, ==, 0);
	g_assert_cmpint(discs_read("<domain/>", discs, &n), ==, 0);
	g_assert_cmpint(discs_read("<domain", discs, &n), ==, -EBADMSG);
}

/* More than there is room for are not told, and none is written beyond it. */
static void test_many(void)
{
	g_autoptr(GString) xml = g_string_new("<domain><devices>");
	g_autofree struct disc_drive *discs = g_new0(struct disc_drive, DISCS_MAX);
	size_t n = 0;

	for (char c = 'a'; c <= 'z'; c++)
		g_string_append_printf(xml,
				       "<disk device='cdrom'><source file='/x'/><target "
				       "dev='sd%c'/></disk>",
				       c);
	g_string_append(xml, "</devices></domain>");
	g_assert_cmpint(discs_read(xml->str, discs, &n), ==, 0);
	g_assert_cmpuint(n, ==, DISCS_MAX);
	g_assert_cmpstr(discs[DISCS_MAX - 1].target, ==, "sdh");
}

static void test_without(void)
{
	struct disc_drive disc = {"sda", "/iso/a & b.iso"};
	g_autofree char *drive = NULL;

	g_assert_cmpint(discs_without(several, &disc, &drive), ==, 0);
	g_assert_null(strstr(drive, "<source"));
	g_assert_null(strstr(drive, "<backingStore"));
	/* libvirt refuses a change of anything else. */
	g_assert_nonnull(strstr(drive, "<target dev=\"sda\" bus=\"sata\""));
	g_assert_nonnull(strstr(drive, "<readonly/>"));
	g_assert_nonnull(strstr(drive, "<alias name=\"sata0-0-0\"/>"));
	g_assert_null(strstr(drive, "sdb"));
}

/* Another disc by now, an empty drive, a disk that is none to eject. */
static void test_gone(void)
{
	static const struct disc_drive rows[] = {
		{"sda", "/iso/other.iso"}, {"sdb", ""},
		{"sdb", "/iso/a & b.iso"}, {"sdc", "/a.img"},
		{"sdz", "/iso/a & b.iso"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		char *drive = NULL;

		g_assert_cmpint(discs_without(several, &rows[i], &drive), ==, -ENOENT);
		g_assert_null(drive);
	}
}

/* N1: what kith and kith-mover say to each other about it. */
static void test_record(void)
{
	g_autofree struct disks_disc *in = g_new0(struct disks_disc, 1);
	g_autofree struct disks_disc *out = g_new0(struct disks_disc, 1);
	uint8_t buf[sizeof(*in) + 8];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	memset(in->uuid, 7, sizeof(in->uuid));
	g_strlcpy(in->target, "sda", sizeof(in->target));
	memset(in->what, 'x', DISKS_PATH_MAX);
	g_assert_cmpint(disks_disc_put(&w, in), ==, 0);
	for (size_t cut = 0; cut < w.len; cut++) {
		r = rbuf_init(buf, cut);
		g_assert_cmpint(disks_disc_get(&r, out), ==, -EBADMSG);
	}
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(disks_disc_get(&r, out), ==, 0);
	g_assert_cmpmem(out, sizeof(*out), in, sizeof(*in));
	in->what[0] = '\x1b';
	w = wbuf_init(buf, sizeof(buf));
	g_assert_cmpint(disks_disc_put(&w, in), <, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/discs/what is in drives", test_read);
	g_test_add_func("/discs/too many", test_many);
	g_test_add_func("/discs/a drive without its disc", test_without);
	g_test_add_func("/discs/not there any more", test_gone);
	g_test_add_func("/discs/N1 the record", test_record);
	return g_test_run();
}
