/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs compared by what they can do: descriptions as libvirt writes them, and hostile ones. */
#include <glib.h>
#include <string.h>

#include "mover/filter/cpu.h"
#include "mover/filter/xml-filter.h"

#define FEATURE(policy, name) "<feature policy='" policy "' name='" name "'/>"

/* A server of 2019, a notebook of 2012, and a notebook of another maker. */
static const struct cpu server = {"Cascadelake-Server", "Intel", 0,
				  "aes avx avx2 avx512bw avx512cd avx512dq avx512f avx512vl "
				  "avx512vnni bmi1 fpu sse4.1 sse4.2 vmx"},
			notebook = {"IvyBridge", "Intel", 0, "aes avx fpu sse4.1 sse4.2 vmx"},
			other = {"EPYC", "AMD", 0, "aes avx avx2 bmi1 fpu sse4.1 sse4.2 svm"};

static int read_xml(const char *xml, struct cpu *ret)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	struct kerr err = {0};

	g_assert_cmpint(filter_parse(xml, strlen(xml), 1 << 20, 24, "CPU", &doc, &err), ==, 0);
	return cpu_read(xmlDocGetRootElement(doc), ret);
}

static void test_read(void)
{
	struct cpu cpu;

	g_assert_cmpint(
		read_xml("<cpu mode='custom' match='exact'>\n"
			 "  <model fallback='forbid'>Nehalem</model><vendor>Intel</vendor>\n"
			 "  <topology sockets='1' dies='1' cores='2' threads='1'/>\n" FEATURE(
				 "require", "sse4.2") FEATURE("disable", "vme")
				 FEATURE("force", "fpu") FEATURE("optional", "hle")
					 FEATURE("forbid", "rtm") "</cpu>",
			 &cpu),
		==, 0);
	g_assert_cmpstr(cpu.model, ==, "Nehalem");
	g_assert_cmpstr(cpu.vendor, ==, "Intel");
	g_assert_cmpstr(cpu.features, ==, "fpu sse4.2");
	/* As the capabilities of a host have it, in whatever order. */
	g_assert_cmpint(read_xml("<cpu><arch>x86_64</arch><model>486</model><feature name='sse'/>"
				 "<feature name='3dnow'/><feature name='sse2'/></cpu>",
				 &cpu),
			==, 0);
	g_assert_cmpstr(cpu.vendor, ==, "");
	g_assert_cmpstr(cpu.features, ==, "3dnow sse sse2");
	g_assert_cmpint(read_xml("<cpu><model>486</model></cpu>", &cpu), ==, 0);
	g_assert_cmpstr(cpu.features, ==, "");
}

/* N1: what does not fit is no CPU, and nothing is taken of it. */
static void test_read_hostile(void)
{
	static const char *const bad[] = {
		"<cpu/>",
		"<cpu><model/></cpu>",
		"<cpu><model>a b</model></cpu>",
		"<cpu><model>-x</model></cpu>",
		"<cpu><model>a</model><vendor>A&amp;B</vendor></cpu>",
		"<cpu><model>a</model><vendor>abcdefghijklmnopq</vendor></cpu>",
		"<cpu><model>a</model><feature policy='require'/></cpu>",
		"<cpu><model>a</model>" FEATURE("require", "") "</cpu>",
		"<cpu><model>a</model>" FEATURE("require", "a b") "</cpu>",
		"<cpu><model>a</model>" FEATURE("require", "../a") "</cpu>",
		"<cpu><model>a</model>" FEATURE("require", "a\xc3\xa4") "</cpu>",
		"<cpu><model>a</model>" FEATURE("require", "a") FEATURE("require", "b")
			FEATURE("force", "a") "</cpu>",
	};
	struct cpu cpu = {.model = "untouched"};
	g_autofree char *longest = g_strnfill(CPU_NAME_MAX, 'a');
	g_autofree char *xml = NULL;

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_assert_cmpint(read_xml(bad[i], &cpu), ==, -EBADMSG);
		g_assert_cmpstr(cpu.model, ==, "untouched");
	}
	xml = g_strdup_printf("<cpu><model>a</model><feature name='%sa'/></cpu>", longest);
	g_assert_cmpint(read_xml(xml, &cpu), ==, -EBADMSG);
	g_free(xml);
	xml = g_strdup_printf("<cpu><model>a</model><feature name='%s'/></cpu>", longest);
	g_assert_cmpint(read_xml(xml, &cpu), ==, 0);
	g_assert_cmpstr(cpu.features, ==, longest);
}

/* Thousands of features, each a good one; and as many as there may be. */
static void test_read_many(void)
{
	struct cpu cpu = {.model = "untouched"};

	for (unsigned n = 1100; n > 0; n = n == 1100 ? 1000 : 0) {
		g_autoptr(GString) xml = g_string_new("<cpu><model>a</model>");

		for (unsigned i = 0; i < n; i++)
			g_string_append_printf(xml, FEATURE("require", "f%u"), i);
		g_string_append(xml, "</cpu>");
		g_assert_cmpint(read_xml(xml->str, &cpu), ==, n == 1100 ? -EBADMSG : 0);
		g_assert_cmpstr(cpu.model, ==, n == 1100 ? "untouched" : "a");
	}
	g_assert_true(g_str_has_prefix(cpu.features, "f0 f1 f10 f100 f101 "));
	g_assert_true(g_str_has_suffix(cpu.features, " f997 f998 f999"));
}

/* -- the record -- */

static size_t put_freely(const char *model, const char *vendor, const char *features, uint8_t *buf,
			 size_t size)
{
	struct wbuf w = wbuf_init(buf, size);

	wbuf_string(&w, model);
	wbuf_string(&w, vendor);
	wbuf_u32(&w, 7002);
	wbuf_string(&w, features);
	g_assert_cmpint(wbuf_error(&w), ==, 0);
	return w.len;
}

static bool comes_through(const char *model, const char *vendor, const char *features)
{
	static uint8_t buf[4 * CPU_FEATURES_MAX], again[4 * CPU_FEATURES_MAX];
	struct cpu cpu = {0};
	size_t len = put_freely(model, vendor, features, buf, sizeof(buf));
	struct rbuf r = rbuf_init(buf, len);
	struct wbuf w = wbuf_init(again, sizeof(again));

	cpu_code(&(struct coder){.r = &r}, &cpu);
	if (rbuf_end(&r) < 0)
		return false;
	cpu_code(&(struct coder){.w = &w}, &cpu);
	g_assert_cmpmem(again, w.len, buf, len);
	g_assert_cmpstr(cpu.model, ==, model);
	g_assert_cmpstr(cpu.features, ==, features);
	return true;
}

static void test_record(void)
{
	static const char *const bad[] = {
		" ",
		" fpu",
		"fpu ",
		"avx  fpu",
		"fpu avx",
		"avx avx",
		"a\tb",
		"avx\nfpu",
		"-fpu",
		".fpu",
		"a/b",
		"a'/><x",
		"\xc3\xa4",
		"avx\x1b[m",
		"a\xe2\x80\xae",
		"avx\xc2\xa0"
		"fpu",
	};

	g_assert_true(comes_through("EPYC-Milan", "AMD", "3dnow amd-ssbd fpu lahf_lm sse4.1"));
	g_assert_true(comes_through("", "", ""));
	g_assert_true(comes_through("486", "", ""));
	g_assert_true(comes_through("486", "", "avx avx2 avx512f"));
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_false(comes_through("EPYC", "AMD", bad[i]));
	/* Features of nothing. */
	g_assert_false(comes_through("", "", "fpu"));
	g_assert_false(comes_through("a b", "", ""));
	g_assert_false(comes_through("a", "A'D", ""));
	g_assert_false(comes_through("a", "abcdefghijklmnopq", ""));
}

static void test_record_limits(void)
{
	g_autoptr(GString) list = g_string_new(NULL);
	g_autofree char *name = g_strnfill(CPU_NAME_MAX, 'x');
	g_autofree char *longer = g_strnfill(CPU_NAME_MAX + 1, 'x');
	g_autofree char *model = g_strnfill(CPU_MODEL_MAX + 1, 'x');

	g_assert_true(comes_through("a", "", name));
	g_assert_false(comes_through("a", "", longer));
	g_assert_false(comes_through(model, "", ""));
	model[CPU_MODEL_MAX] = '\0';
	g_assert_true(comes_through(model, "", ""));
	for (unsigned i = 0; list->len + 8 < CPU_FEATURES_MAX; i++)
		g_string_append_printf(list, "%sf%06u", i ? " " : "", i);
	g_assert_true(comes_through("a", "", list->str));
	g_string_append(list, " zzzzzzzzz");
	g_assert_false(comes_through("a", "", list->str));
}

/* -- comparing -- */

static void lacks(const struct cpu *have, const struct cpu *want, size_t count, const char *words)
{
	char text[CPU_WORDS_MAX];

	g_assert_cmpuint(cpu_lacks(have, want, text), ==, count);
	g_assert_cmpstr(text, ==, words);
}

static void test_lacks(void)
{
	lacks(&server, &notebook, 0, "");
	lacks(&server, &server, 0, "");
	lacks(&notebook, &server, 8, "avx2, avx512bw, avx512cd, avx512dq, avx512f and 3 more");
	lacks(&other, &notebook, 1, "vmx");
	lacks(&notebook, &other, 3, "avx2, bmi1, svm");
	/* One that is only the beginning of another. */
	lacks(&(struct cpu){.features = "avx512f"}, &(struct cpu){.features = "avx"}, 1, "avx");
	lacks(&(struct cpu){.features = "avx"}, &(struct cpu){.features = "avx512f"}, 1, "avx512f");
	lacks(&(struct cpu){.features = ""}, &(struct cpu){.features = "a b c d e f"}, 6,
	      "a, b, c, d, e and 1 more");
	lacks(&(struct cpu){.features = ""}, &(struct cpu){.features = ""}, 0, "");
}

/* The words fit, however long the names are. */
static void test_lacks_longest(void)
{
	g_autoptr(GString) list = g_string_new(NULL);
	struct cpu want = {.model = "a"};
	static const struct cpu none;
	char text[CPU_WORDS_MAX];

	for (unsigned i = 0; list->len + CPU_NAME_MAX + 2 < CPU_FEATURES_MAX; i++)
		g_string_append_printf(list, "%s%048u", i ? " " : "", i);
	g_strlcpy(want.features, list->str, sizeof(want.features));
	g_assert_cmpuint(cpu_lacks(&none, &want, text), >, 100);
	g_assert_true(g_str_has_suffix(text, " more"));
}

static void test_same(void)
{
	static const struct cpu unknown;
	struct cpu copy = server;

	g_assert_true(cpu_is_same(&server, &copy));
	copy.qemu = 7002;
	g_assert_false(cpu_is_same(&server, &copy));
	copy = server;
	copy.features[0] = 'b';
	g_assert_false(cpu_is_same(&server, &copy));
	copy = server;
	copy.vendor[0] = 'i';
	g_assert_false(cpu_is_same(&server, &copy));
	g_assert_false(cpu_is_same(&server, &notebook));
	/* Two that nobody knows are not the same. */
	g_assert_false(cpu_is_same(&unknown, &unknown) || cpu_is_known(&unknown));
}

static void test_vendor(void)
{
	struct cpu any = other;

	g_assert_false(cpu_other_vendor(&server, &notebook));
	g_assert_true(cpu_other_vendor(&server, &other));
	any.vendor[0] = '\0';
	g_assert_false(cpu_other_vendor(&server, &any) || cpu_other_vendor(&any, &server));
}

static void test_keep(void)
{
	struct cpu cpu = server;

	cpu_drop(&cpu, &other);
	g_assert_cmpstr(cpu.features, ==,
			"avx512bw avx512cd avx512dq avx512f avx512vl avx512vnni vmx");
	cpu_drop(&cpu, &server);
	g_assert_cmpstr(cpu.features, ==, "");
	cpu = server;

	cpu_keep(&cpu, &other);
	g_assert_cmpstr(cpu.features, ==, "aes avx avx2 bmi1 fpu sse4.1 sse4.2");
	cpu_keep(&cpu, &server);
	g_assert_cmpstr(cpu.features, ==, "aes avx avx2 bmi1 fpu sse4.1 sse4.2");
	cpu_keep(&cpu, &(const struct cpu){.features = "zzz"});
	g_assert_cmpstr(cpu.features, ==, "");
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/cpu/libvirt's element", test_read);
	g_test_add_func("/cpu/N1 no such element", test_read_hostile);
	g_test_add_func("/cpu/N1 thousands of features", test_read_many);
	g_test_add_func("/cpu/N1 the record", test_record);
	g_test_add_func("/cpu/N1 limits of the record", test_record_limits);
	g_test_add_func("/cpu/what one lacks", test_lacks);
	g_test_add_func("/cpu/the longest names", test_lacks_longest);
	g_test_add_func("/cpu/the same", test_same);
	g_test_add_func("/cpu/makers", test_vendor);
	g_test_add_func("/cpu/what both have", test_keep);
	return g_test_run();
}
