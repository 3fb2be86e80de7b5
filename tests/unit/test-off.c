/* SPDX-License-Identifier: Apache-2.0 */
/* VMs that are off, or shut down for their hand-off, at the source (on libvirt's own test driver).
 */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mover/departure.h"
#include "mover/off.h"
#include "mover/virt-internal.h"

struct here {
	struct workplace place;
	virDomainPtr vm;
	char *folder;
};

static void silent(void *ctx, virErrorPtr err)
{
	(void)ctx;
	(void)err;
}

/* A VM that runs and a folder for notes. */
static void set_up(struct here *h, const void *data)
{
	struct workplace *p = &h->place;

	(void)data;
	virSetErrorFunc(NULL, silent);
	p->virt = virt_new();
	p->virt->conn = virConnectOpen("test:///default");
	h->vm = virDomainLookupByName(p->virt->conn, "test");
	g_assert_cmpint(virDomainGetUUID(h->vm, p->uuid), ==, 0);
	h->folder = g_dir_make_tmp("kith-off-XXXXXX", NULL);
	p->folder = open(h->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->remnant.hid[0] = p->hid[0] = 1;
	p->remnant.source = true;
	memcpy(p->remnant.uuid, p->uuid, UUID_LEN);
}

static void tear_down(struct here *h, const void *data)
{
	(void)data;
	remnant_remove(h->place.folder, h->place.hid);
	close(h->place.folder);
	g_rmdir(h->folder);
	g_free(h->folder);
	virDomainFree(h->vm);
	virt_free(h->place.virt);
}

static enum copy_state state(struct here *h)
{
	struct virt_copy copy;

	virt_copy_get(h->place.virt, h->place.uuid, &copy);
	return copy.state;
}

/* F14: noted before the guest is asked, so that whoever finds the note starts it again, once. */
static void test_shut_down(struct here *h, const void *data)
{
	struct remnant found = {0};
	struct kerr err = {0};

	(void)data;
	g_assert_cmpint(state(h), ==, COPY_RUNS);
	g_assert_cmpint(off_shut_down(&h->place, &err), ==, 0);
	g_assert_cmpint(state(h), ==, COPY_GONE);
	g_assert_cmpint(remnant_read(h->place.folder, h->place.hid, &found), ==, 0);
	g_assert_true(found.again_until > (uint64_t)time(NULL) && !found.off);
	g_assert_cmpint(off_again(&h->place, &err), ==, 0);
	g_assert_cmpint(state(h), ==, COPY_RUNS);
	g_assert_cmpint(err.code, ==, KCODE_OK);
}

/* One that runs may still be about to obey, until its time is up. */
static void test_may_obey(struct here *h, const void *data)
{
	struct kerr err = {0};

	(void)data;
	h->place.remnant.again_until = (uint64_t)time(NULL) + 60;
	g_assert_cmpint(off_again(&h->place, &err), ==, 1);
	h->place.remnant.again_until = (uint64_t)time(NULL) - 1;
	g_assert_cmpint(off_again(&h->place, &err), ==, 0);
	g_assert_cmpint(state(h), ==, COPY_RUNS);
}

/* Nothing is noted, nothing is asked. */
static void test_no_note(struct here *h, const void *data)
{
	struct kerr err = {0};
	int folder = h->place.folder;

	(void)data;
	h->place.folder = -EBADF;
	g_assert_cmpint(off_shut_down(&h->place, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_FAILED);
	g_assert_cmpint(state(h), ==, COPY_RUNS);
	h->place.folder = folder;
}

/* Of one that is off nothing is started that cannot be read. One that runs proves that it can. */
static void test_starts(struct here *h, const void *data)
{
	char xml[] = "<domain/>";
	struct virt_domain d = {.copy.state = COPY_GONE, .xml = xml};
	struct kerr err = {0};

	(void)data;
	g_assert_cmpint(departure_starts(h->place.virt, &d, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_BAD_MESSAGE);
	kerr_clear(&err);
	d.copy.state = COPY_RUNS;
	g_assert_cmpint(departure_starts(h->place.virt, &d, &err), ==, 0);
}

/* What it would be at its next start is judged before it is shut down, and said to be that. */
static void test_next_start(struct here *h, const void *data)
{
	static const uint8_t nobody[UUID_LEN] = {1};
	struct kerr err = {0};

	(void)data;
	/* Its definition is one of libvirt's test driver, which no device could take. */
	g_assert_cmpint(departure_again(h->place.virt, h->place.uuid, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_DOMAIN);
	g_assert_nonnull(strstr(err.text, "next start"));
	kerr_clear(&err);
	g_assert_cmpint(departure_again(h->place.virt, nobody, &err), ==, -ENOENT);
	g_assert_cmpint(err.code, ==, KCODE_NOT_FOUND);
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(virt_setup(), ==, 0);
	g_test_add("/off/F14 shut down, and on again", struct here, NULL, set_up, test_shut_down,
		   tear_down);
	g_test_add("/off/F14 a guest that may still obey", struct here, NULL, set_up, test_may_obey,
		   tear_down);
	g_test_add("/off/F14 not asked without a note", struct here, NULL, set_up, test_no_note,
		   tear_down);
	g_test_add("/off/starts", struct here, NULL, set_up, test_starts, tear_down);
	g_test_add("/off/F14 what the next start would be", struct here, NULL, set_up,
		   test_next_start, tear_down);
	return g_test_run();
}
