/* SPDX-License-Identifier: Apache-2.0 */
/* The cookie filter: H14 (every element mutated), H21, H23, N1. */
#include "mover-fixtures.h"

#include "mover/filter/cookie.h"

static int rebuild(enum cookie_step step, const char *text, char **ret, size_t *ret_len,
		   struct kerr *err)
{
	struct domain_limits limits = fix_limits();
	struct domain_disk_map map;

	fix_map(&map);
	return cookie_rebuild(step, text, text ? strlen(text) + 1 : 0, &limits, &map, ret, ret_len,
			      err);
}

static void test_real(void)
{
	static const char *const want[] = {"pause-before-switchover", "<downtime>36</downtime>",
					   "capacity='16777216'", "<delta>-2</delta>"};

	for (int step = 0; step < _COOKIE_STEP_MAX; step++) {
		g_autofree char *out = NULL, *again = NULL;
		size_t len = 0, len2 = 0;
		struct kerr err = {0};
		int r = rebuild((enum cookie_step)step, fix_cookies[step], &out, &len, &err);

		if (r < 0)
			g_error("%s: %s", cookie_step_to_string((enum cookie_step)step), err.text);
		g_assert_cmpuint(len, ==, strlen(out) + 1);
		g_assert_nonnull(strstr(out, "<hostname>old</hostname>"));
		for (size_t i = 0; i < G_N_ELEMENTS(want); i++)
			g_assert_cmpint(!strstr(out, want[i]), ==,
					!strstr(fix_cookies[step], want[i]));
		g_assert_cmpint(rebuild((enum cookie_step)step, out, &again, &len2, &err), ==, 0);
		g_assert_cmpstr(out, ==, again);
	}
}

static void test_empty(void)
{
	for (int step = 0; step < _COOKIE_STEP_MAX; step++) {
		char *out = (char *)"untouched";
		size_t len = 99;
		struct kerr err = {0};
		int r = rebuild((enum cookie_step)step, NULL, &out, &len, &err);

		if (step == COOKIE_STEP_PREPARE) { /* libvirtd 9.0.0 would crash on it */
			g_assert_cmpint(r, ==, -EBADMSG);
			g_assert_cmpint(err.code, ==, KCODE_BAD_MESSAGE);
			g_assert_cmpuint(len, ==, 99);
		} else {
			g_assert_cmpint(r, ==, 0);
			g_assert_null(out);
			g_assert_cmpuint(len, ==, 0);
		}
	}
}

struct change {
	const char *what;
	enum cookie_step step;
	const char *find, *replace, *want;
	enum kcode code;
};

#define TAIL(extra) "</qemu-migration>", extra "</qemu-migration>"

static const struct change refused[] = {
	{"H14 persistent definition in Finish", COOKIE_STEP_FINISH,
	 TAIL("<domain type='qemu'><name>web</name><devices><emulator>/bin/sh</emulator></devices>"
	      "</domain>"),
	 "store", KCODE_DOMAIN},
	{"H14 persistent definition in Prepare", COOKIE_STEP_PREPARE, TAIL("<domain/>"), "store",
	 KCODE_DOMAIN},
	{"H14 persistent definition in a reply", COOKIE_STEP_FINISH_RET, TAIL("<domain/>"), "store",
	 KCODE_DOMAIN},
	{"H14 feature persistent", COOKIE_STEP_FINISH, TAIL("<feature name='persistent'/>"),
	 "feature", KCODE_DOMAIN},
	{"H14 feature memory-hotplug", COOKIE_STEP_PREPARE,
	 TAIL("<feature name='memory-hotplug'/>"), "feature", KCODE_DOMAIN},
	{"H14 feature unknown", COOKIE_STEP_PREPARE, TAIL("<feature name='x'/>"), "feature",
	 KCODE_DOMAIN},
	{"H14 feature without name", COOKIE_STEP_PREPARE, TAIL("<feature/>"), "feature",
	 KCODE_DOMAIN},
	{"H14 lock state", COOKIE_STEP_PREPARE,
	 TAIL("<lockstate driver='sanlock'><leases>x</leases></lockstate>"), "lock manager",
	 KCODE_DOMAIN},
	{"H14 Open vSwitch data", COOKIE_STEP_FINISH,
	 TAIL("<network><interface index='0' "
	      "vporttype='openvswitch'><portdata>x</portdata></interface>"
	      "</network>"),
	 "switch", KCODE_DOMAIN},
	{"H14 dirty bitmaps", COOKIE_STEP_PREPARE,
	 TAIL("<blockDirtyBitmaps><disk target='vda'><bitmap name='a' "
	      "alias='b'/></disk></blockDirtyBitmaps>"),
	 "bitmaps", KCODE_DOMAIN},
	{"H14 graphics from the source", COOKIE_STEP_PREPARE,
	 TAIL("<graphics type='spice' port='1' listen='evil' tlsPort='2'/>"), "graphics",
	 KCODE_DOMAIN},
	{"H14 unknown element", COOKIE_STEP_PREPARE, TAIL("<tls/>"), "<tls>", KCODE_DOMAIN},
	{"H14 statistics in Prepare", COOKIE_STEP_PREPARE, TAIL("<statistics/>"), "statistics",
	 KCODE_DOMAIN},
	{"H14 text in statistics", COOKIE_STEP_FINISH, ">36<", ">36 <", "<downtime>", KCODE_DOMAIN},
	{"H14 number above 64 bits", COOKIE_STEP_FINISH, ">36<", ">18446744073709551616<",
	 "<downtime>", KCODE_DOMAIN},
	{"H14 unknown number", COOKIE_STEP_FINISH, "downtime>36</downtime", "evil>36</evil", "evil",
	 KCODE_DOMAIN},
	{"H14 unknown capability", COOKIE_STEP_PREPARE, "name='xbzrle'", "name='x'", "<cap>",
	 KCODE_DOMAIN},
	{"H14 host name with markup", COOKIE_STEP_PREPARE, ">old<", ">&lt;b&gt;<", "hostname",
	 KCODE_DOMAIN},
	{"H14 no host UUID", COOKIE_STEP_PREPARE,
	 "<hostuuid>11111111-2222-4333-8444-555555555501</hostuuid>", "", "hostuuid", KCODE_DOMAIN},
	{"H14 host's own CPU", COOKIE_STEP_PREPARE, "mode='custom'", "mode='host-passthrough'",
	 "<cpu>", KCODE_DOMAIN},
	{"H14 CPU model with options", COOKIE_STEP_PREPARE, ">qemu64<", ">qemu64,x=y<", "<model>",
	 KCODE_DOMAIN},
	{"H14 CPU feature with options", COOKIE_STEP_PREPARE, "name='lahf_lm'", "name='a,b=/c'",
	 "<feature>", KCODE_DOMAIN},
	{"H14 two CPUs", COOKIE_STEP_PREPARE, TAIL("<cpu mode='custom'/>"), "<cpu>", KCODE_DOMAIN},
	{"H14 other document", COOKIE_STEP_PREPARE, "<qemu-migration>", "<qemu-migrations>",
	 "well-formed", KCODE_BAD_MESSAGE},
	{"H14 namespace", COOKIE_STEP_PREPARE, "<qemu-migration>", "<qemu-migration xmlns='x'>",
	 "no migration data", KCODE_BAD_MESSAGE},
	{"H21 other name", COOKIE_STEP_PREPARE, ">web<", ">db<", "name", KCODE_IDENTITY},
	{"H21 other UUID", COOKIE_STEP_FINISH, "0123456789ab<", "0123456789ac<", "UUID",
	 KCODE_IDENTITY},
	{"H21 no name", COOKIE_STEP_FINISH, "<name>web</name>", "", "<name>", KCODE_DOMAIN},
	{"H23 8 EiB disk", COOKIE_STEP_PREPARE, "capacity='8388608'",
	 "capacity='9223372036854775808'", "announced", KCODE_ROOM},
	{"H23 smaller disk", COOKIE_STEP_PREPARE, "capacity='8388608'", "capacity='512'",
	 "announced", KCODE_ROOM},
	{"H23 negative size", COOKIE_STEP_PREPARE, "capacity='8388608'", "capacity='-1'",
	 "announced", KCODE_DOMAIN},
	{"H12 unannounced disk", COOKIE_STEP_PREPARE, "target='vda'", "target='/etc/shadow'",
	 "announced", KCODE_DOMAIN},
	{"H12 one disk twice", COOKIE_STEP_FINISH, "target='sda' capacity='16777216'",
	 "target='vda' capacity='8388608'", "twice", KCODE_DOMAIN},
	{"N1 DTD", COOKIE_STEP_PREPARE, "<qemu-migration>", "<!DOCTYPE x []><qemu-migration>",
	 "well-formed", KCODE_BAD_MESSAGE},
	{"N1 depth", COOKIE_STEP_PREPARE, TAIL("<a><a><a><a><a><a><a/></a></a></a></a></a></a>"),
	 "well-formed", KCODE_BAD_MESSAGE},
};

static void test_refused(gconstpointer data)
{
	const struct change *c = data;
	g_autofree char *text = fix_replace(fix_cookies[c->step], c->find, c->replace);
	struct kerr err = {0};
	char *out = NULL;
	size_t len = 0;

	g_assert_cmpint(rebuild(c->step, text, &out, &len, &err), <, 0);
	g_assert_null(out);
	if (err.code != c->code || !strstr(err.text, c->want))
		g_error("%s: %s", kcode_to_string(err.code), err.text);
}

/* Dropped, not refused: what the destination's own libvirt says about its display. */
static void test_dropped(void)
{
	g_autofree char *text = fix_replace(fix_cookies[COOKIE_STEP_PREPARE_RET], "<nbd>",
					    "<graphics type='spice' port='5900' listen='192.0.2.1' "
					    "tlsPort='-1'/><nbd port='4711'>");
	g_autofree char *out = NULL;
	struct kerr err = {0};
	size_t len;

	g_assert_cmpint(rebuild(COOKIE_STEP_PREPARE_RET, text, &out, &len, &err), ==, 0);
	g_assert_null(strstr(out, "graphics"));
	g_assert_null(strstr(out, "192.0.2.1"));
	g_assert_null(strstr(out, "4711"));
}

/* H14: each element of each cookie gets an unknown attribute, and an unknown child: refused. */
static void test_each_element(void)
{
	unsigned tried = 0;

	for (int step = 0; step < _COOKIE_STEP_MAX; step++) {
		const char *text = fix_cookies[step];

		for (const char *at = strchr(text, '<'); at; at = strchr(at + 1, '<')) {
			size_t name = strcspn(at + 1, " />") + 1;
			const char *end = strchr(at, '>');
			struct kerr err = {0};
			char *out = NULL;
			size_t len;

			if (at[1] == '/')
				continue;
			g_autofree char *attr = g_strdup_printf(
				"%.*s evil='1'%s", (int)(at + name - text), text, at + name);
			g_assert_cmpint(rebuild((enum cookie_step)step, attr, &out, &len, &err), <,
					0);
			g_assert_null(out);
			g_autofree char *child = g_strdup_printf(
				"%.*s<evil/>%s", (int)(end + 1 - text), text, end + 1);
			if (end[-1] != '/')
				g_assert_cmpint(
					rebuild((enum cookie_step)step, child, &out, &len, &err), <,
					0);
			g_assert_null(out);
			tried++;
		}
	}
	g_assert_cmpuint(tried, >, 40);
}

static void test_size(void)
{
	g_autofree char *fill = g_strnfill(COOKIE_MAX, ' ');
	g_autofree char *big = fix_replace(fix_cookies[0], "<nbd>", fill), *cut = NULL, *out = NULL;
	struct domain_limits limits = fix_limits();
	struct domain_disk_map map;
	struct kerr err = {0};
	size_t len;

	fix_map(&map);
	g_assert_cmpint(rebuild(COOKIE_STEP_PREPARE, big, &out, &len, &err), ==, -EBADMSG);
	g_assert_null(out);
	/* every shorter form of a real cookie is refused or, whole, accepted */
	cut = g_strdup(fix_cookies[0]);
	for (size_t n = 1; n + 2 < strlen(cut); n++)
		g_assert_cmpint(cookie_rebuild(COOKIE_STEP_PREPARE, cut, n, &limits, &map, &out,
					       &len, &err),
				<, 0);
	g_assert_cmpint(cookie_rebuild(COOKIE_STEP_PREPARE, cut, strlen(cut), &limits, &map, &out,
				       &len, &err),
			==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/cookie/H14 real cookies are accepted", test_real);
	g_test_add_func("/cookie/empty", test_empty);
	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
		g_autofree char *name = g_strdup_printf("/cookie/refused %s", refused[i].what);

		g_test_add_data_func(name, &refused[i], test_refused);
	}
	g_test_add_func("/cookie/H14 own display is not told", test_dropped);
	g_test_add_func("/cookie/H14 unknown part of each element", test_each_element);
	g_test_add_func("/cookie/N1 size", test_size);
	return g_test_run();
}
