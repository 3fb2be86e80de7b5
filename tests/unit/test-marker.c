/* SPDX-License-Identifier: Apache-2.0 */
/* Custody markers: what the hook may conclude from them while kith-policyd is down. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "mover/marker.h"
#include "policyd/custody-marker.h"

static const uint8_t VM[UUID_LEN] = {0xaa, 0xbb, 0xcc, 0xdd, 0x11, 0x22, 0x33, 0x44,
				     0x55, 0x66, 0x77, 0x88, 0x99, 0x00, 0xee, 0xff};
#define VM_FILE "aabbccdd-1122-3344-5566-77889900eeff"

struct fixture {
	char *path;
	int dir;
};

static void setup(struct fixture *f, const void *data _unused_)
{
	f->path = g_dir_make_tmp("kith-marker-XXXXXX", NULL);
	g_assert_nonnull(f->path);
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g_assert_cmpint(f->dir, >=, 0);
}

static void teardown(struct fixture *f, const void *data _unused_)
{
	unlinkat(f->dir, VM_FILE, 0);
	close(f->dir);
	g_assert_cmpint(g_rmdir(f->path), ==, 0);
	g_free(f->path);
}

#define IN_DOUBT -2

static struct custody_view make_view(bool here, int record)
{
	struct custody_view v = {.known = true, .here = here, .epoch = 3};

	memcpy(v.uuid, VM, UUID_LEN);
	g_strlcpy(v.name, "work", sizeof(v.name));
	g_strlcpy(v.holder_name, here ? "laptop" : "desktop", sizeof(v.holder_name));
	v.doubt = record == IN_DOUBT ? CUSTODY_ASKING : CUSTODY_SURE;
	if (record >= 0) {
		v.handoff = true;
		v.record = (enum custody_record)record;
		v.source = record == CUSTODY_PREP || record == CUSTODY_RELEASED ||
			   record == CUSTODY_ABORTED || record == CUSTODY_RECLAIM;
		g_strlcpy(v.peer_name, "server", sizeof(v.peer_name));
	}
	return v;
}

static void test_states(struct fixture *f, const void *data _unused_)
{
	static const struct {
		bool here;
		int record;
		enum custody_marker state;
		const char *holder, *word;
	} rows[] = {
		{true, -1, CUSTODY_MARKER_HERE, "laptop", "belongs to this device"},
		{false, -1, CUSTODY_MARKER_ELSEWHERE, "desktop", "is on \"desktop\""},
		{true, CUSTODY_PREP, CUSTODY_MARKER_LEAVING, "server", "handed over"},
		{false, CUSTODY_RELEASED, CUSTODY_MARKER_RELEASED, "server", "handed over"},
		{true, CUSTODY_ABORTED, CUSTODY_MARKER_KEPT, "laptop", "given up"},
		{true, CUSTODY_RECLAIM, CUSTODY_MARKER_HERE, "laptop", "belongs"},
		{false, CUSTODY_RECV, CUSTODY_MARKER_ARRIVING, "server", "arriving"},
		{false, CUSTODY_PREPARED, CUSTODY_MARKER_PREPARED, "server", "arriving"},
		{true, CUSTODY_OWN, CUSTODY_MARKER_HERE, "laptop", "belongs"},
		{true, IN_DOUBT, CUSTODY_MARKER_DOUBT, "laptop", "Nobody said yet"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct custody_view v = make_view(rows[i].here, rows[i].record);
		bool allowed = rows[i].state == CUSTODY_MARKER_HERE;
		g_autofree char *path = g_build_filename(f->path, VM_FILE, NULL);
		g_autofree char *text = NULL;
		struct marker info;
		struct kerr err = {0};

		g_assert_cmpint(custody_marker_write(f->dir, &v), ==, 0);
		g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
		g_assert_nonnull(strstr(text, rows[i].word));
		g_assert_cmpint(marker_read(f->dir, VM, &info), ==, 0);
		g_assert_cmpint((int)info.state, ==, (int)rows[i].state);
		g_assert_cmpstr(info.holder, ==, rows[i].holder);
		g_assert_cmpstr(info.name, ==, "work");
		g_assert_cmpuint(info.epoch, ==, 3);
		g_assert_cmpint(marker_may_start(f->dir, VM, CUSTODY_USE_START, &err), ==,
				allowed ? 0 : -EACCES);
		g_assert_cmpint((int)err.code, ==, allowed ? KCODE_OK : KCODE_CUSTODY);
		/* Without policyd nothing comes in, expected or not. */
		g_assert_cmpint(marker_may_start(f->dir, VM, CUSTODY_USE_INCOMING, NULL), ==,
				-EACCES);
	}
}

static void test_unknown(struct fixture *f, const void *data _unused_)
{
	struct custody_view v = make_view(false, -1);
	struct marker info;

	g_assert_cmpint(marker_read(f->dir, VM, &info), ==, -ENOENT);
	g_assert_cmpint(marker_may_start(f->dir, VM, CUSTODY_USE_START, NULL), ==, 0);
	g_assert_cmpint(marker_may_start(f->dir, VM, CUSTODY_USE_INCOMING, NULL), ==, -EACCES);
	g_assert_cmpint(custody_marker_write(f->dir, &v), ==, 0);
	g_assert_cmpint(marker_may_start(f->dir, VM, CUSTODY_USE_START, NULL), ==, -EACCES);
	v.known = false;
	g_assert_cmpint(custody_marker_write(f->dir, &v), ==, 0);
	g_assert_cmpint(custody_marker_write(f->dir, &v), ==, 0);
	g_assert_cmpint(marker_may_start(f->dir, VM, CUSTODY_USE_START, NULL), ==, 0);
}

/* Cut or edited anywhere, a marker that does not read forbids. */
static void test_damaged(struct fixture *f, const void *data _unused_)
{
	static const char *const texts[] = {
		"",
		"here",
		"x\nstate here\n",
		"x\nstate there\nepoch 3\nname work\nholder laptop\n",
		"x\nstate here\nepoch -3\nname work\nholder laptop\n",
		"x\nstate here\nepoch 99999999999999999999\nname work\nholder laptop\n",
		"x\nstate here\nepoch 3\nname \nholder laptop\n",
		"x\nstate here\nepoch 3\nname wo\x1brk\nholder laptop\n",
		"x\nstate here\nepoch 3\nname work\nholder laptop",
		"x\nstate here\nepoch 3\nname work\nholder laptop\nmore\n",
		"x\nepoch 3\nstate here\nname work\nholder laptop\n",
	};
	static const char good[] = "x\nstate here\nepoch 3\nname work\nholder laptop\n";
	struct marker info;

	g_assert_cmpint(file_write_atomic(f->dir, VM_FILE, good, strlen(good), 0644), ==, 0);
	g_assert_cmpint(marker_may_start(f->dir, VM, CUSTODY_USE_START, NULL), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		struct kerr err = {0};

		g_assert_cmpint(
			file_write_atomic(f->dir, VM_FILE, texts[i], strlen(texts[i]), 0644), ==,
			0);
		g_assert_cmpint(marker_read(f->dir, VM, &info), ==, -EBADMSG);
		g_assert_cmpint(marker_may_start(f->dir, VM, CUSTODY_USE_START, &err), ==, -EACCES);
		g_assert_nonnull(strstr(err.text, "damaged"));
	}
	for (size_t n = 0; n < strlen(good); n++) {
		g_assert_cmpint(file_write_atomic(f->dir, VM_FILE, good, n, 0644), ==, 0);
		g_assert_cmpint(marker_may_start(f->dir, VM, CUSTODY_USE_START, NULL), ==, -EACCES);
	}
	/* A NUL must not hide the rest; neither may a link or a folder stand in. */
	g_assert_cmpint(file_write_atomic(f->dir, VM_FILE, good, sizeof(good), 0644), ==, 0);
	g_assert_cmpint(marker_read(f->dir, VM, &info), ==, -EBADMSG);
	unlinkat(f->dir, VM_FILE, 0);
	g_assert_cmpint(symlinkat("/etc/hostname", f->dir, VM_FILE), ==, 0);
	g_assert_cmpint(marker_read(f->dir, VM, &info), ==, -EBADMSG);
}

static void test_uuid(void)
{
	char text[CUSTODY_UUID_TEXT];
	uint8_t back[UUID_LEN];

	custody_uuid_text(VM, text);
	g_assert_cmpstr(text, ==, VM_FILE);
	g_assert_cmpint(custody_uuid_parse(text, back), ==, 0);
	g_assert_cmpmem(back, UUID_LEN, VM, UUID_LEN);
	g_assert_cmpint(custody_uuid_parse("", back), ==, -EBADMSG);
	g_assert_cmpint(custody_uuid_parse(VM_FILE "0", back), ==, -EBADMSG);
	g_assert_cmpint(custody_uuid_parse("aabbccdd11-22-3344-5566-77889900eeff", back), ==,
			-EBADMSG);
	g_assert_cmpint(custody_uuid_parse("gabbccdd-1122-3344-5566-77889900eeff", back), ==,
			-EBADMSG);
	g_assert_cmpint(custody_uuid_parse("-abbccdd-1122-3344-5566-77889900eeff", back), ==,
			-EBADMSG);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
	g_test_add("/marker/H10 each state of custody", struct fixture, NULL, setup, test_states,
		   teardown);
	g_test_add("/marker/a VM unknown to Kith may start but not come in", struct fixture, NULL,
		   setup, test_unknown, teardown);
	g_test_add("/marker/R5 a damaged marker forbids", struct fixture, NULL, setup, test_damaged,
		   teardown);
	g_test_add_func("/marker/UUID text", test_uuid);
	return g_test_run();
}
