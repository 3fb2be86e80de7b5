/* SPDX-License-Identifier: Apache-2.0 */
/* S1-28: a VM that is off is fitted to the host where it arrives, and is what it was on one that
 * can give it that. */
#include "mover-fixtures.h"
#include "mover/arrival.h"
#include "mover/plan.h"

#define KVM "<domain type='kvm'"
#define OWN_CPU "<cpu mode='host-passthrough' check='none' migratable='on'>" TOPOLOGY "</cpu>"
#define TOPOLOGY "<topology sockets='1' dies='1' cores='2' threads='1'/>"
#define EPYC                                                       \
	"<cpu mode='custom' match='exact' check='partial'><model " \
	"fallback='allow'>EPYC</model></cpu>"

/* The fixture's machine with another accelerator, machine type and CPU. */
static char *machine(const char *type, const char *number, const char *cpu)
{
	g_autoptr(GRegex) regex =
		g_regex_new("<cpu\\b.*?</cpu>", G_REGEX_DOTALL, (GRegexMatchFlags)0, NULL);
	g_autofree char *bare =
		g_regex_replace_literal(regex, fix_domain, -1, 0, cpu, (GRegexMatchFlags)0, NULL);
	g_autofree char *typed = fix_replace(bare, "<domain type='qemu'", type);
	g_autofree char *want = g_strdup_printf("machine='pc-q35-%s'", number);

	return fix_replace(typed, "machine='pc-q35-7.2'", want);
}

static struct domain_host host_of(bool kvm, uint32_t number)
{
	struct domain_host h = fix_host;

	h.kvm = kvm;
	h.machine = number;
	for (size_t i = 0; i < G_N_ELEMENTS(h.cpu); i++)
		h.cpu[i] = (struct cpu){"Nehalem", "Intel", 0, "aes sse4.1"};
	return h;
}

static char *fitted(const char *xml, const struct domain_host *host, const struct cpu *cpu,
		    struct fit *ret)
{
	struct kerr err = {0};
	char *out = NULL;

	if (fit_definition(xml, host, cpu, ret, &out, &err) < 0)
		g_error("%s", err.text);
	return out;
}

static void has(const char *xml, const char *words)
{
	if (!strstr(xml, words))
		g_error("\"%s\" is missing in %s", words, xml);
}

static void has_not(const char *xml, const char *words)
{
	if (strstr(xml, words))
		g_error("\"%s\" is in %s", words, xml);
}

static const struct cpu unknown, weak = {"Nehalem", "Intel", 0, "aes"},
				 strong = {"EPYC", "", 0, "aes avx2"},
				 other = {"EPYC", "AMD", 0, "aes"};

/* The host can give everything: nothing changes and nothing is noted. */
static void test_nothing(void)
{
	g_autofree char *xml = machine(KVM, "7.2", OWN_CPU);
	struct domain_host host = host_of(true, 702);
	struct fit fit;
	g_autofree char *out = fitted(xml, &host, &unknown, &fit);

	g_assert_false(fit.emulated || fit.cpu || fit.machine_to);
	has(out, "type=\"kvm\"");
	has(out, "host-passthrough");
	has_not(out, FIT_XML_NS);
}

static void test_kvm(void)
{
	g_autofree char *xml = machine(KVM, "7.2", OWN_CPU);
	struct domain_host poor = host_of(false, 702), rich = host_of(true, 702);
	struct fit fit;
	g_autofree char *out = fitted(xml, &poor, &unknown, &fit), *back = NULL;

	g_assert_true(fit.emulated && fit.cpu && !fit.machine_to);
	has(out, "<domain type=\"qemu\"");
	has(out, "mode=\"maximum\"");
	has(out, "cores=\"2\""); /* which is no matter of the processor's */
	has(out, FIT_XML_NS);
	back = fitted(out, &rich, &unknown, &fit);
	g_assert_false(fit.emulated || fit.cpu);
	has(back, "<domain type=\"kvm\"");
	has(back, "host-passthrough");
	has_not(back, FIT_XML_NS);
}

static void test_machine(void)
{
	g_autofree char *xml = machine(KVM, "9.1", OWN_CPU);
	struct domain_host old = host_of(true, 702), less = host_of(true, 800),
			   now = host_of(true, 1000);
	struct fit fit;
	g_autofree char *out = fitted(xml, &old, &unknown, &fit), *third = NULL, *back = NULL;

	g_assert_cmpuint(fit.machine_from, ==, 901);
	g_assert_cmpuint(fit.machine_to, ==, 702);
	has(out, "machine=\"pc-q35-7.2\"");
	/* From there to a third one: what counts is what its owner wished, not where it was. */
	third = fitted(out, &less, &unknown, &fit);
	g_assert_cmpuint(fit.machine_from, ==, 901);
	has(third, "machine=\"pc-q35-8.0\"");
	back = fitted(third, &now, &unknown, &fit);
	g_assert_cmpuint(fit.machine_to, ==, 0);
	has(back, "machine=\"pc-q35-9.1\"");
	has_not(back, FIT_XML_NS);
}

/* A CPU of a name becomes the host's nearest one where the host's lacks something. */
static void test_cpu(void)
{
	static const struct {
		const struct cpu *has;
		bool changes;
		const char *lacks;
	} rows[] = {{&weak, false, ""},
		    {&strong, true, "avx2"},
		    {&other, true, ""},
		    {&unknown, false, ""}};
	struct domain_host host = host_of(true, 702);

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *xml = machine(KVM, "7.2", EPYC);
		struct fit fit;
		g_autofree char *out = fitted(xml, &host, rows[i].has, &fit), *wish = NULL;
		struct kerr err = {0};
		bool kvm;

		g_assert_cmpint(fit.cpu, ==, rows[i].changes);
		g_assert_cmpstr(fit.lacks, ==, rows[i].lacks);
		g_assert_cmpint(strstr(out, "mode=\"host-model\"") != NULL, ==, rows[i].changes);
		g_assert_cmpint(fit_wish(out, &wish, &kvm, &err), ==, 0);
		g_assert_true(kvm);
		has(wish, ">EPYC</model>");
		has_not(wish, "host-model");
	}
}

/* Whatever it is, what carries it can be started anywhere, and says nothing of a processor. */
static void test_vehicle(void)
{
	g_autofree char *xml = machine(KVM, "9.1", OWN_CPU), *own = NULL;
	g_autofree char *full =
		fix_replace(xml, "<features>",
			    "<features><hyperv mode='custom'><relaxed state='on'/></hyperv>"
			    "<kvm><hidden state='on'/></kvm><ioapic driver='kvm'/>");
	struct kerr err = {0};

	g_assert_cmpint(fit_vehicle(full, &own, &err), ==, 0);
	has(own, "<domain type=\"qemu\"");
	has(own, "machine=\"pc-q35-7.2\"");
	has(own, "cores=\"2\"");
	has_not(own, "host-passthrough");
	has_not(own, "hyperv");
	has_not(own, "<kvm>");
	has_not(own, "ioapic");
	has(own, "<acpi/>");
	has(own, "<name>" FIX_NAME "</name>");
	g_assert_cmpint(fit_vehicle("<os/>", &own, &err), ==, -EBADMSG);
	kerr_clear(&err);
	g_assert_cmpint(fit_vehicle("<domain", &own, &err), ==, -EBADMSG);
}

/* -- as it arrives -- */

struct arrival {
	struct offers offers;
	struct frame_offer offer;
	struct domain_disk_map map;
	struct offers_need need;
};

static struct arrival *arriving(const char *xml)
{
	struct arrival *a = g_new0(struct arrival, 1);
	g_autofree struct domain_facts *facts = g_new0(struct domain_facts, 1);
	struct kerr err = {0};

	g_assert_cmpint(domain_disks(xml, strlen(xml), facts, &err), ==, 0);
	a->offer = (struct frame_offer){.memory_bytes = facts->memory_bytes,
					.vcpus = facts->vcpus,
					.origin = fix_origin,
					.count = facts->disk_count};
	a->offers.host = host_of(false, 702);
	a->offers.networks.count = 1;
	g_strlcpy(a->offers.networks.list[0].name, "kithnet", NAME_MAX_LEN);
	a->map.count = facts->disk_count;
	for (size_t i = 0; i < a->map.count; i++) {
		struct domain_disk_target *t = &a->map.disks[i];

		g_strlcpy(t->target, facts->disks[i].target, sizeof(t->target));
		g_snprintf(t->path, sizeof(t->path), "/new/%zu", i);
		t->format = facts->disks[i].format;
		g_strlcpy(a->offer.disks[i].target, t->target, sizeof(t->target));
		a->offer.disks[i].format = t->format;
		a->offer.disks[i].capacity = UINT64_C(1) << 20;
	}
	a->need = (struct offers_need){.name = facts->name, .offer = &a->offer};
	a->need.name = FIX_NAME;
	memcpy(a->need.uuid, facts->uuid, UUID_LEN);
	return a;
}

static int arrive(const struct arrival *a, const char *xml, char **ret, struct kerr *err)
{
	const struct domain_limits limits = {.serial_path = "/serial", .nvram_path = "/nvram"};
	struct fit fit;

	return arrival_definition(&a->offers, &a->need, &limits, &a->map, xml, strlen(xml), NULL,
				  &fit, ret, err);
}

/* There it is fitted, and what it was survives the filter of the next host. */
static void test_arrives(void)
{
	g_autofree char *xml = machine(KVM, "9.1", OWN_CPU);
	g_autofree struct arrival *a = arriving(xml);
	g_autofree char *out = NULL, *back = NULL;
	struct kerr err = {0};

	g_assert_cmpint(arrive(a, xml, &out, &err), ==, 0);
	has(out, "type='qemu'");
	has(out, "/new/0");
	has(out, "machine='pc-q35-9.1'");
	a->offers.host = host_of(true, 901);
	g_assert_cmpint(arrive(a, out, &back, &err), ==, 0);
	has(back, "type='kvm'");
	has(back, "host-passthrough");
	has(back, "machine='pc-q35-9.1'");
	has_not(back, FIT_XML_NS);
}

/* H12, H21: the definition in the luggage is held against what was agreed as any other. */
static void test_hostile(void)
{
	static const struct {
		const char *find, *replace;
		enum kcode code;
	} rows[] = {
		{"<name>" FIX_NAME, "<name>another", KCODE_IDENTITY},
		{"</os>", "<kernel>/etc/shadow</kernel></os>", KCODE_DOMAIN},
		{"</memory>", "000</memory>", KCODE_ROOM},
		{"network='kithnet'", "network='other'", KCODE_DOMAIN},
		{"<features>", "<launchSecurity type='sev'/><features>", KCODE_DOMAIN},
		{"<features>", "<features><features>", KCODE_BAD_MESSAGE},
		/* What it shall have been is no way round the filter. */
		{"<metadata>", "<metadata><k:fit xmlns:k='" FIT_XML_NS "' machine='pcx'/>",
		 KCODE_DOMAIN},
		{"<metadata>",
		 "<metadata><k:fit xmlns:k='" FIT_XML_NS "'><cpu mode='evil'/></k:fit>",
		 KCODE_DOMAIN},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *xml = machine(KVM, "7.2", OWN_CPU);
		g_autofree struct arrival *a = arriving(xml);
		g_autofree char *bad = fix_replace(xml, rows[i].find, rows[i].replace);
		g_autofree char *out = NULL, *good = NULL;
		struct kerr err = {0};

		g_assert_cmpint(arrive(a, xml, &good, &err), ==, 0); /* its twin */
		g_assert_cmpint(arrive(a, bad, &out, &err), <, 0);
		if (err.code != rows[i].code)
			g_error("row %zu: %s: %s", i, kcode_to_string(err.code), err.text);
		g_assert_null(out);
	}
}

/* Nonsense in the note of what it was is left out, and keeps no VM from arriving. */
static void test_nonsense(void)
{
	static const char *const notes[] = {
		"type='xen'",
		"machine='../x'",
		"machine=''",
		"machine='microvm'",
		"type='kvm'><os><kernel>/x</kernel></os></k:fit><k:x xmlns:k='u'",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(notes); i++) {
		g_autofree char *xml = machine("<domain type='qemu'", "7.2", "");
		g_autofree char *note =
			g_strdup_printf("<metadata><k:fit xmlns:k='" FIT_XML_NS "' %s/>", notes[i]);
		g_autofree char *bad = fix_replace(xml, "<metadata>", note);
		g_autofree struct arrival *a = arriving(xml);
		g_autofree char *out = NULL;
		struct kerr err = {0};

		if (arrive(a, bad, &out, &err) < 0)
			g_error("%s: %s", notes[i], err.text);
		has_not(out, "xen");
		has_not(out, "microvm");
		has_not(out, "kernel");
		has_not(out, "../x");
	}
}

/* The plan says so beforehand; of a VM that runs nothing is fitted. */
static void test_plan(void)
{
	g_autofree char *xml = machine(KVM, "7.2", OWN_CPU);
	g_autofree struct arrival *a = arriving(xml);
	g_autofree struct plan_vm *vm = g_new0(struct plan_vm, 1);
	struct mover_plan plan = {0};
	struct kerr err = {0};

	vm->xml = xml;
	vm->off = true;
	vm->offer = a->offer;
	g_assert_cmpint(domain_disks(xml, strlen(xml), &vm->facts, &err), ==, 0);
	a->offers.memory_bytes = UINT64_C(1) << 40;
	a->offers.room = (struct disk_room){.free_bytes = UINT64_C(1) << 50,
					    .total_bytes = UINT64_C(1) << 50};
	if (plan_judge(vm, &a->offers, &plan, &err) < 0)
		g_error("%s", err.text);
	g_assert_true(plan.fitted.emulated && plan.fitted.other_cpu && !plan.fitted.machine_to);
	vm->off = false;
	plan = (struct mover_plan){0};
	g_assert_cmpint(plan_judge(vm, &a->offers, &plan, &err), <, 0);
	g_assert_nonnull(strstr(err.text, "KVM"));
	g_assert_false(plan.fitted.emulated);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fit/S1-28 nothing to fit", test_nothing);
	g_test_add_func("/fit/S1-28 without KVM, and back", test_kvm);
	g_test_add_func("/fit/S1-28 an older QEMU, a third host, and back", test_machine);
	g_test_add_func("/fit/S1-28 a CPU of a name", test_cpu);
	g_test_add_func("/fit/vehicle", test_vehicle);
	g_test_add_func("/fit/arrives", test_arrives);
	g_test_add_func("/fit/H12 H21 hostile definitions", test_hostile);
	g_test_add_func("/fit/nonsense in the note", test_nonsense);
	g_test_add_func("/fit/plan", test_plan);
	return g_test_run();
}
