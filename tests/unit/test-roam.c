/* SPDX-License-Identifier: Apache-2.0 */
/* Another CPU in a VM's definition: nothing else changes, and the way back is byte for byte. */
#include "mover-fixtures.h"
#include "mover/filter/roam-xml.h"
#include "mover/filter/xml-filter.h"
#include "mover/proto.h"
#include "mover/roam-client.h"

#define HEAD "<domain type=\"kvm\">\n  <name>a</name>\n"
#define TAIL "\n  <devices/>\n</domain>"
#define OWN "<cpu mode=\"host-passthrough\" check=\"none\" migratable=\"on\"/>"
#define BASELINE                                                                       \
	"<cpu mode='custom' match='exact'>\n  <model fallback='forbid'>EPYC</model>\n" \
	"  <vendor>AMD</vendor>\n  <feature policy='require' name='clwb'/>\n"          \
	"  <feature policy='disable' name='vme'/>\n</cpu>"
#define KEPT(cpu) "<kith:roam xmlns:kith=\"" ROAM_XML_NS "\">" cpu "</kith:roam>"

static char *set(const char *xml)
{
	struct kerr err = {0};
	char *out = NULL;

	if (roam_xml_set(xml, BASELINE, &out, &err) < 0)
		g_error("%s", err.text);
	return out;
}

static char *replaced(char *text, const char *pattern, const char *by)
{
	g_autoptr(GRegex) regex = g_regex_new(pattern, G_REGEX_DOTALL, 0, NULL);
	g_autofree char *old = text;

	return g_regex_replace(regex, old, -1, 0, by, 0, NULL);
}

/* The definition without its CPU. */
static char *rest(const char *xml)
{
	char *text = replaced(g_strdup(xml), "<kith:roam[^>]*/>|<kith:roam.*?</kith:roam>", "");

	text = replaced(text, "<metadata(/>|></metadata>)", "");
	return replaced(text, "<cpu\\b[^>]*/>|<cpu\\b.*?</cpu>", "CPU");
}

static void back_and_forth(const char *xml)
{
	g_autofree char *there = set(xml), *again = NULL, *back = NULL;
	g_autofree char *before = rest(xml), *after = rest(there);
	struct kerr err = {0};

	g_assert_false(roam_xml_kept(xml));
	g_assert_true(roam_xml_kept(there));
	if (strstr(xml, "<cpu"))
		g_assert_cmpstr(after, ==, before);
	g_assert_nonnull(strstr(there, ">EPYC</model>"));
	/* A second time keeps the first. */
	again = set(there);
	g_assert_cmpint(roam_xml_undo(again, &back, &err), ==, 0);
	g_assert_cmpstr(back, ==, xml);
	g_assert_false(roam_xml_kept(back));
}

static void test_set(void)
{
	back_and_forth(HEAD OWN TAIL);
	back_and_forth(HEAD "<cpu mode=\"host-model\"/>" TAIL);
	back_and_forth(HEAD TAIL);
	back_and_forth(
		HEAD "<metadata><x:y xmlns:x=\"u\"><x:z a=\"1\">t</x:z></x:y></metadata>" OWN TAIL);
	back_and_forth(HEAD "<cpu mode=\"custom\" match=\"exact\" check=\"full\">\n"
			    "    <model fallback=\"forbid\">Nehalem</model>\n"
			    "    <feature policy=\"require\" name=\"avx2\"/>\n  </cpu>" TAIL);
	/* Secrets and what Kith knows nothing of are as they were. */
	back_and_forth(HEAD OWN "<devices><graphics type=\"vnc\" passwd=\"a&amp;b\"/><hostdev/>"
				"</devices><q:commandline xmlns:q=\"u\"><q:arg value=\"-x\"/>"
				"</q:commandline></domain>");
}

/* What is not the processor's stays, and what was taken away stays away. */
static void test_stays(void)
{
	g_autofree char *out =
		set(HEAD "<cpu mode=\"host-passthrough\"><topology sockets=\"1\" cores=\"2\"/>"
			 "<cache mode=\"passthrough\"/><maxphysaddr mode=\"passthrough\"/>"
			 "<feature policy=\"disable\" name=\"svm\"/>"
			 "<feature policy=\"forbid\" name=\"clwb\"/>"
			 "<feature policy=\"require\" name=\"avx512f\"/>"
			 "<numa><cell id=\"0\"/></numa></cpu>" TAIL);
	const char *cpu = strstr(out, "<cpu mode=\"custom\"");
	g_autofree char *element = cpu ? g_strndup(cpu, strstr(cpu, "</cpu>") - cpu) : NULL;

	g_assert_nonnull(element);
	g_assert_nonnull(strstr(element, "check=\"partial\""));
	g_assert_nonnull(strstr(element, "<topology sockets=\"1\" cores=\"2\"/>"));
	g_assert_nonnull(strstr(element, "<numa><cell id=\"0\"/></numa>"));
	g_assert_nonnull(strstr(element, "<feature policy=\"disable\" name=\"svm\"/>"));
	g_assert_nonnull(strstr(element, "<feature policy=\"forbid\" name=\"clwb\"/>"));
	g_assert_null(strstr(element, "passthrough"));
	g_assert_null(strstr(element, "avx512f"));
}

static void test_refused(void)
{
	static const char *const bad[] = {
		"", "<domain", "<network/>", "<!DOCTYPE a []><domain/>", "<domain>\x01</domain>",
	};
	struct kerr err = {0};
	char *out = NULL;

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		kerr_clear(&err);
		g_assert_cmpint(roam_xml_set(bad[i], BASELINE, &out, &err), ==, -EBADMSG);
		g_assert_cmpint(err.code, ==, KCODE_DOMAIN);
	}
	kerr_clear(&err);
	g_assert_cmpint(roam_xml_set(HEAD OWN TAIL, "<gpu/>", &out, &err), ==, -EBADMSG);
	kerr_clear(&err);
	g_assert_cmpint(roam_xml_undo(HEAD OWN TAIL, &out, &err), ==, -ENOENT);
	g_assert_cmpint(err.code, ==, KCODE_NOT_FOUND);
	kerr_clear(&err);
	/* Of another namespace it is another program's. */
	g_assert_cmpint(roam_xml_undo(HEAD "<metadata><k:roam xmlns:k='u'/></metadata>" OWN TAIL,
				      &out, &err),
			==, -ENOENT);
	g_assert_null(out);
}

static void word(const char *cpu, const char *want, bool there)
{
	g_autofree char *xml = g_strdup_printf(HEAD "%s" TAIL, cpu);
	g_autofree char *text = NULL;
	char name[ROAM_XML_WORD_MAX + 1];

	g_assert_cmpint(roam_xml_cpu(xml, name, &text), ==, 0);
	g_assert_cmpstr(name, ==, want);
	g_assert_cmpint(text != NULL, ==, there);
}

static void test_word(void)
{
	word(OWN, "host-passthrough", true);
	word("<cpu mode='custom'><model>EPYC</model></cpu>", "EPYC", true);
	word("<cpu><model>486</model></cpu>", "486", true);
	word("<cpu mode='custom'/>", "", true);
	word("", "", false);
}

/* -- on the way to another device -- */

static char *handed_over(const char *metadata)
{
	g_autofree char *xml = fix_replace(fix_domain,
					   "<metadata><x:foo xmlns:x='http://example.org/x' "
					   "path='/etc/shadow'>bar</x:foo></metadata>",
					   metadata);
	struct domain_limits limits = fix_limits();
	struct domain_disk_map map;
	struct kerr err = {0};
	char *out = NULL;

	fix_map(&map);
	if (domain_rebuild(xml, strlen(xml), &limits, &map, &out, NULL, &err) < 0)
		g_error("%s", err.text);
	return out;
}

/* It goes with the VM, so that the way back is there as well. */
static void test_travels(void)
{
	g_autofree char *out = handed_over("<metadata>" KEPT(
		"<cpu mode=\"host-passthrough\" migratable=\"on\">"
		"<feature policy=\"disable\" name=\"svm\"/></cpu>") "</metadata>");
	g_autofree char *back = NULL, *none = handed_over("<metadata>" KEPT("") "</metadata>");
	struct kerr err = {0};
	char name[ROAM_XML_WORD_MAX + 1];
	g_autofree char *text = NULL;

	g_assert_true(roam_xml_kept(out) && roam_xml_kept(none));
	g_assert_cmpint(roam_xml_undo(out, &back, &err), ==, 0);
	g_assert_cmpint(roam_xml_cpu(back, name, &text), ==, 0);
	g_assert_cmpstr(name, ==, "host-passthrough");
	g_assert_nonnull(strstr(text, "svm"));
}

/* H13: what is no CPU of the table stays behind, and the VM comes without it. */
static void test_hostile_kept(void)
{
	static const char *const bad[] = {
		KEPT("<cpu mode='evil'/>"),
		KEPT("<cpu mode='custom'><model>../../etc</model></cpu>"),
		KEPT("<cpu mode='custom'><numa/></cpu>"),
		KEPT("<cpu mode='custom'><path>/etc/shadow</path></cpu>"),
		KEPT("<cpu mode='custom' file='/etc/shadow'/>"),
		KEPT("<cpu><feature policy='require' name='a b'/></cpu>"),
		"<k:roam xmlns:k='urn:kith:roam:2'><cpu mode='host-model'/></k:roam>",
		"<roam><cpu mode='host-model'/></roam>",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *xml = g_strdup_printf("<metadata>%s</metadata>", bad[i]);
		g_autofree char *out = handed_over(xml);

		g_assert_false(roam_xml_kept(out));
		g_assert_null(strstr(out, "metadata"));
		g_assert_null(strstr(out, "shadow"));
	}
}

/* Beside it only the CPU of the table is written. */
static void test_only_that(void)
{
	g_autofree char *out = handed_over("<metadata><a:b xmlns:a='u'>secret</a:b>" KEPT(
		"<cpu mode='host-model'/><extra>/etc/shadow</extra>") "</metadata>");

	g_assert_true(roam_xml_kept(out));
	g_assert_null(strstr(out, "shadow"));
	g_assert_null(strstr(out, "secret"));
}

/* -- what is asked -- */

static void test_wire(void)
{
	static uint8_t buf[ROAM_DATA_MAX + 512], data[ROAM_DATA_MAX + 1];
	struct roam_wish wish = {
		.uuid = {1}, .step = ROAM_STEP_SET, .hash = {2}, .data = data, .len = 3};
	struct roam_wish got = {0};
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	g_assert_cmpint(roam_wish_put(&w, &wish), ==, 0);
	r = rbuf_init(buf, w.len);
	g_assert_true(roam_wish_get(&r, &got) == 0 && rbuf_end(&r) == 0);
	g_assert_true(got.step == ROAM_STEP_SET && got.len == 3 && got.hash[0] == 2);
	for (size_t n = 0; n < w.len; n++) {
		r = rbuf_init(buf, n);
		g_assert_cmpint(roam_wish_get(&r, &got), ==, -EBADMSG);
	}
	buf[UUID_LEN] = _ROAM_STEP_MAX;
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(roam_wish_get(&r, &got), ==, -EBADMSG);
	w = wbuf_init(buf, sizeof(buf));
	wish.len = ROAM_DATA_MAX + 1;
	g_assert_cmpint(roam_wish_put(&w, &wish), <, 0);
	w = wbuf_init(buf, sizeof(buf));
	wish.len = ROAM_DATA_MAX;
	g_assert_cmpint(roam_wish_put(&w, &wish), ==, 0);
}

static void test_answer(void)
{
	static uint8_t buf[1024];
	struct roam_answer answer = {.waits = 1,
				     .now = "host-model",
				     .next = "EPYC",
				     .lost_count = 2,
				     .lost = "avx2, bmi1"};
	struct roam_answer got;
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	g_assert_cmpint(roam_answer_put(&w, &answer), ==, 0);
	r = rbuf_init(buf, w.len);
	g_assert_true(roam_answer_get(&r, &got) == 0 && rbuf_end(&r) == 0);
	g_assert_cmpstr(got.lost, ==, "avx2, bmi1");
	buf[0] = 2;
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(roam_answer_get(&r, &got), ==, -EBADMSG);
	buf[0] = 0;
	buf[5] = 0x1b; /* N9: what a terminal would take for a command */
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(roam_answer_get(&r, &got), ==, -EBADMSG);
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/roam/there and back", test_set);
	g_test_add_func("/roam/what stays", test_stays);
	g_test_add_func("/roam/no definition", test_refused);
	g_test_add_func("/roam/a CPU in a word", test_word);
	g_test_add_func("/roam/it goes with the VM", test_travels);
	g_test_add_func("/roam/H13 a hostile one stays behind", test_hostile_kept);
	g_test_add_func("/roam/H13 only the CPU", test_only_that);
	g_test_add_func("/roam/N1 what is asked", test_wire);
	g_test_add_func("/roam/N9 what is answered", test_answer);
	return g_test_run();
}
