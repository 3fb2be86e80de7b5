/* SPDX-License-Identifier: Apache-2.0 */
/* Fitting definitions to hosts. */
#include "mover/filter/fit-xml.h"

#include <string.h>

#include "mover/filter/edit-xml.h"

#define OLDEST_QEMU 702u /* Debian 12's */

/* Paravirtual clocks and such that make no sense without the accelerator they are of. */
static const char *const accelerators[] = {"hyperv", "kvm", NULL};

static xmlNode *type_of(const xmlNode *domain)
{
	return edit_child(edit_child(domain, "os"), "type");
}

static const char *machine_of(const xmlNode *domain)
{
	const xmlNode *type = type_of(domain);

	return (type ? filter_prop(type, "machine") : NULL) ?: "";
}

static void set(xmlNode *node, const char *name, const char *value)
{
	xmlSetProp(node, BAD_CAST name, BAD_CAST value);
}

static bool is_kvm(const xmlNode *domain)
{
	return strcmp(filter_prop(domain, "type") ?: "", "kvm") == 0;
}

/* "pc-q35-8.0" with another number behind it. */
static void set_machine(xmlNode *domain, uint32_t number)
{
	char text[64];
	const char *machine = machine_of(domain), *dash = strrchr(machine, '-');

	snprintf(text, sizeof(text), "%.*s-%u.%u", dash ? (int)(dash - machine) : 0, machine,
		 number / 100, number % 100);
	set(type_of(domain), "machine", text);
}

/* An interrupt controller in the kernel needs KVM. */
static void emulate(xmlNode *domain)
{
	xmlNode *ioapic = edit_child(edit_child(domain, "features"), "ioapic");

	set(domain, "type", "qemu");
	if (ioapic)
		edit_drop(ioapic);
}

static int parse(const char *xml, xmlDoc **ret, xmlNode **ret_domain, struct kerr *err)
{
	int r = edit_parse(xml, ret, ret_domain, err);

	if (r == 0 && (!edit_is(*ret_domain, "domain") || !type_of(*ret_domain)))
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The VM's definition is none that Kith can read.");
	return r;
}

/* -- the vehicle -- */

/* How many sockets, cores and threads is no matter of the host's CPU. */
static void strip_cpu(xmlNode *cpu)
{
	xmlNode *next;

	for (xmlNode *c = cpu->children; c; c = next) {
		next = c->next;
		if (!edit_is(c, "topology"))
			edit_drop(c);
	}
	while (cpu->properties)
		xmlRemoveProp(cpu->properties);
	if (!xmlFirstElementChild(cpu))
		edit_drop(cpu);
}

static void strip_features(const xmlNode *domain)
{
	const xmlNode *features = edit_child(domain, "features");

	for (size_t i = 0; accelerators[i]; i++) {
		xmlNode *node = edit_child(features, accelerators[i]);

		if (node)
			edit_drop(node);
	}
}

static void strip_timers(const xmlNode *domain)
{
	const xmlNode *clock = edit_child(domain, "clock");
	xmlNode *next;

	for (xmlNode *c = clock ? clock->children : NULL; c; c = next) {
		const char *name = edit_is(c, "timer") ? filter_prop(c, "name") : NULL;

		next = c->next;
		if (name && (strcmp(name, "tsc") == 0 || strcmp(name, "kvmclock") == 0 ||
			     strcmp(name, "hypervclock") == 0))
			edit_drop(c);
	}
}

int fit_vehicle(const char *definition, char **ret_xml, struct kerr *err)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	xmlNode *domain, *cpu;
	int r = parse(definition, &doc, &domain, err);

	if (r < 0)
		return r;
	emulate(domain);
	if (domain_machine_number(machine_of(domain)) > OLDEST_QEMU)
		set_machine(domain, OLDEST_QEMU);
	cpu = edit_child(domain, "cpu");
	if (cpu)
		strip_cpu(cpu);
	strip_features(domain);
	strip_timers(domain);
	return edit_text(domain, ret_xml, err);
}

/* -- the wish -- */

static bool is_machine(const char *text)
{
	return strncmp(text, "pc", 2) == 0 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(text);
}

/* A note that makes no sense changes nothing. */
static int grant_wish(xmlNode *domain)
{
	xmlNode *note = edit_note(domain, FIT_XML_NS, "fit");
	const char *type, *machine;
	xmlNode *cpu;

	if (!note)
		return 0;
	type = filter_prop(note, "type");
	machine = filter_prop(note, "machine");
	cpu = edit_child(note, "cpu");
	if (type && strcmp(type, "kvm") == 0)
		set(domain, "type", type);
	if (machine && is_machine(machine))
		set(type_of(domain), "machine", machine);
	if (cpu) {
		xmlUnlinkNode(cpu);
		if (edit_replace(domain, edit_child(domain, "cpu"), cpu) < 0)
			return -ENOMEM;
	}
	edit_note_drop(note);
	return 0;
}

int fit_wish(const char *definition, char **ret_xml, bool *ret_kvm, struct kerr *err)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	xmlNode *domain;
	int r = parse(definition, &doc, &domain, err);

	if (r < 0)
		return r;
	if (grant_wish(domain) < 0)
		return edit_no_memory(err);
	*ret_kvm = is_kvm(domain);
	return edit_text(domain, ret_xml, err);
}

/* -- the host -- */

/* One CPU of a name, that the host cannot give; or one that only an accelerator gives. */
static const char *other_cpu(const xmlNode *cpu, const struct domain_host *host,
			     const struct cpu *has, bool kvm, struct fit *ret)
{
	const struct cpu *here = &host->cpu[kvm];
	const char *mode = filter_prop(cpu, "mode") ?: "custom";

	if (strcmp(mode, "host-passthrough") == 0)
		return kvm ? NULL : "maximum";
	if (strcmp(mode, "custom") != 0 || !edit_child(cpu, "model"))
		return NULL;
	if (cpu_other_vendor(has, here))
		return "host-model";
	if (!cpu_is_known(has) || !cpu_is_known(here) || !cpu_lacks(here, has, ret->lacks))
		return NULL;
	return "host-model";
}

static int put_cpu(xmlNode *domain, xmlNode *old, const char *mode)
{
	const xmlNode *topology = edit_child(old, "topology");
	xmlNode *cpu = xmlNewDocNode(domain->doc, NULL, BAD_CAST "cpu", NULL);

	if (!cpu)
		return -ENOMEM;
	set(cpu, "mode", mode);
	if (topology && !edit_copy(cpu, topology)) {
		xmlFreeNode(cpu);
		return -ENOMEM;
	}
	return edit_replace(domain, old, cpu);
}

static xmlNode *note_of(xmlNode *domain)
{
	xmlNode *note = edit_note(domain, FIT_XML_NS, "fit");

	return note ? note : edit_note_add(domain, FIT_XML_NS, "fit");
}

static int fit_machine(xmlNode *domain, const struct domain_host *host, struct fit *ret)
{
	uint32_t number = domain_machine_number(machine_of(domain));
	xmlNode *note;

	if (!host->machine || number <= host->machine)
		return 0;
	note = note_of(domain);
	if (!note)
		return -ENOMEM;
	set(note, "machine", machine_of(domain));
	set_machine(domain, host->machine);
	ret->machine_from = number;
	ret->machine_to = host->machine;
	return 0;
}

static int fit_type(xmlNode *domain, const struct domain_host *host, struct fit *ret)
{
	xmlNode *note;

	if (!is_kvm(domain) || host->kvm)
		return 0;
	note = note_of(domain);
	if (!note)
		return -ENOMEM;
	set(note, "type", "kvm");
	emulate(domain);
	ret->emulated = true;
	return 0;
}

static int fit_cpu(xmlNode *domain, const struct domain_host *host, const struct cpu *has,
		   struct fit *ret)
{
	xmlNode *cpu = edit_child(domain, "cpu");
	const char *mode = cpu ? other_cpu(cpu, host, has, is_kvm(domain), ret) : NULL;
	xmlNode *note;

	if (!mode)
		return 0;
	note = note_of(domain);
	if (!note || !edit_copy(note, cpu))
		return -ENOMEM;
	ret->cpu = true;
	return put_cpu(domain, cpu, mode);
}

int fit_definition(const char *definition, const struct domain_host *host, const struct cpu *cpu,
		   struct fit *ret, char **ret_xml, struct kerr *err)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	xmlNode *domain;
	int r = parse(definition, &doc, &domain, err);

	*ret = (struct fit){0};
	if (r < 0)
		return r;
	r = grant_wish(domain);
	if (r == 0)
		r = fit_machine(domain, host, ret);
	if (r == 0)
		r = fit_type(domain, host, ret);
	if (r == 0)
		r = fit_cpu(domain, host, cpu, ret);
	return r < 0 ? edit_no_memory(err) : edit_text(domain, ret_xml, err);
}
