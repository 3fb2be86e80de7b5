/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM boots with: firmware by what it can do, machine type, and a CPU that may be the host's
 * own. */
#include <string.h>

#include "mover/filter/domain-rules.h"

static bool same_firmware(const struct domain_firmware *a, const struct domain_firmware *b)
{
	return a->secure_boot == b->secure_boot && a->enrolled_keys == b->enrolled_keys &&
	       a->code_size == b->code_size && a->vars_size == b->vars_size;
}

const struct domain_firmware_here *domain_firmware_find(const struct domain_host *host,
							const struct domain_firmware *want,
							bool q35)
{
	for (size_t i = 0; host && i < host->firmware_count; i++)
		if (same_firmware(&host->firmware[i].does, want) &&
		    (q35 ? host->firmware[i].q35 : host->firmware[i].i440fx))
			return &host->firmware[i];
	return NULL;
}

/* ---- machine ---- */

uint32_t domain_machine_number(const char *machine)
{
	const char *dash = strrchr(machine, '-');
	unsigned major, minor;

	if (!dash || sscanf(dash, "-%2u.%2u", &major, &minor) != 2)
		return 0;
	return 100 * major + minor;
}

static int check_machine(struct filter *f, const char *machine)
{
	const struct domain_walk *w = f->ctx;
	const struct domain_host *host = w->limits ? w->limits->host : NULL;
	uint32_t number = domain_machine_number(machine);

	if (host && !w->limits->fits && host->machine && number > host->machine)
		return filter_refuse(f,
				     "The VM's machine type is of QEMU %u.%u, and the destination "
				     "has QEMU %u.%u, which does not know it. Update QEMU there.",
				     number / 100, number % 100, host->machine / 100,
				     host->machine % 100);
	return 0;
}

int domain_enter_os_type(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	const char *machine = filter_prop(node, "machine");

	(void)rule;
	if (machine && strcmp(machine, "pc") != 0 && strcmp(machine, "q35") != 0 &&
	    strncmp(machine, "pc-", 3) != 0)
		return filter_refuse(f, "The VM is not an ordinary PC (machine type q35 or pc); it "
					"cannot be handed over.");
	w->facts.q35 = machine && (strcmp(machine, "q35") == 0 || strstr(machine, "-q35-"));
	return machine ? check_machine(f, machine) : 0;
}

/* ---- UEFI ---- */

static bool is_uefi(const xmlNode *os)
{
	const xmlNode *loader = filter_child(os, "loader");

	return strcmp(filter_prop(os, "firmware") ?: "", "efi") == 0 ||
	       (loader && strcmp(filter_prop(loader, "type") ?: "", "pflash") == 0) ||
	       filter_child(os, "nvram");
}

static void copy_path(const xmlNode *node, char ret[DOMAIN_PATH_MAX + 1])
{
	const char *text = node ? filter_text_of(node) : NULL;

	if (text && text[0] == '/' && strlen(text) <= DOMAIN_PATH_MAX)
		snprintf(ret, DOMAIN_PATH_MAX + 1, "%s", text);
}

/* What libvirt shall look for, of a VM that is off. */
static void read_features(const xmlNode *os, struct domain_facts *ret)
{
	const xmlNode *firmware = filter_child(os, "firmware");

	for (const xmlNode *c = firmware ? firmware->children : NULL; c; c = c->next) {
		const char *name = c->type == XML_ELEMENT_NODE ? filter_prop(c, "name") : NULL;
		const char *enabled = name ? filter_prop(c, "enabled") : NULL;
		bool keys = name && strcmp(name, "enrolled-keys") == 0;

		if (enabled)
			snprintf(keys ? ret->enrolled_keys : ret->secure_boot,
				 sizeof(ret->secure_boot), "%s", enabled);
	}
}

static void put_feature(struct filter *f, const char *name, bool enabled)
{
	filter_open(f, "feature");
	filter_put_attr(f, "enabled", enabled ? "yes" : "no");
	filter_put_attr(f, "name", name);
	filter_close(f, "feature");
}

/* By what it does: libvirt finds the files at each start. */
static void put_choice(struct filter *f, const struct domain_firmware *does)
{
	filter_open(f, "firmware");
	put_feature(f, "enrolled-keys", does->enrolled_keys);
	put_feature(f, "secure-boot", does->secure_boot);
	filter_close(f, "firmware");
}

static void put_files(struct filter *f, const struct domain_firmware_here *fw)
{
	filter_open(f, "loader");
	filter_put_attr(f, "readonly", "yes");
	filter_put_attr(f, "secure", fw->does.secure_boot ? "yes" : "no");
	filter_put_attr(f, "type", "pflash");
	filter_put_text(f, fw->code);
	filter_close(f, "loader");
}

static void put_firmware(struct filter *f, const struct domain_firmware_here *fw)
{
	const struct domain_limits *l = ((const struct domain_walk *)f->ctx)->limits;

	if (l->permanent)
		put_choice(f, &fw->does);
	else
		put_files(f, fw);
	if (l->permanent && !l->nvram_path)
		return;
	filter_open(f, "nvram");
	if (!l->permanent)
		filter_put_attr(f, "template", fw->vars);
	if (l->nvram_path)
		filter_put_text(f, l->nvram_path);
	filter_close(f, "nvram");
}

static int choose_firmware(struct filter *f, const xmlNode *os,
			   const struct domain_firmware_here **ret)
{
	const struct domain_walk *w = f->ctx;
	const struct domain_origin *origin = w->limits->origin;
	const xmlNode *type = filter_child(os, "type");
	const char *machine = type ? filter_prop(type, "machine") : NULL;

	if (!origin || !origin->uefi)
		return filter_refuse(f, "The VM boots with UEFI firmware that was not announced; "
					"nothing was started.");
	*ret = domain_firmware_find(w->limits->host, &origin->firmware,
				    machine && strstr(machine, "q35"));
	if (!*ret)
		return filter_refuse(
			f,
			"The VM boots with UEFI firmware %s Secure Boot%s of %llu KiB, and the "
			"destination has no such one. Install it there (on Debian `apt install "
			"ovmf`), of the same version as here.",
			origin->firmware.secure_boot ? "with" : "without",
			origin->firmware.enrolled_keys ? " and Microsoft's keys," : ",",
			(unsigned long long)(origin->firmware.code_size >> 10));
	return 0;
}

int domain_enter_os(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	static const struct filter_attr attrs[] = {{.name = "firmware", .kind = FILTER_DROP}, {0}};
	const struct domain_firmware_here *fw = NULL;
	bool by_files;
	int r;

	if (!is_uefi(node))
		return 0;
	w->facts.uefi = true;
	copy_path(filter_child(node, "loader"), w->facts.loader);
	copy_path(filter_child(node, "nvram"), w->facts.nvram);
	read_features(node, &w->facts);
	if (w->limits) {
		r = choose_firmware(f, node, &fw);
		if (r < 0)
			return r;
	}
	by_files = w->limits && !w->limits->permanent;
	filter_open(f, rule->name);
	if (!by_files)
		filter_put_attr(f, "firmware", "efi");
	r = filter_attrs(f, node, &(const struct filter_rule){.name = rule->name, .attrs = attrs});
	if (r < 0)
		return r;
	if (fw)
		put_firmware(f, fw);
	r = filter_children(f, node, rule);
	if (r < 0)
		return r;
	filter_close(f, rule->name);
	return 1;
}

/* ---- CPU ---- */

#define CPU_WAY_OUT "`kith vm roam %.64s` and a restart of the guest would make it possible."

/* The guest sees what its host has, and would see another CPU from one instruction to the next. */
static int judge_own(struct filter *f, const struct cpu *want, const struct cpu *have,
		     const char *mode)
{
	const struct domain_walk *w = f->ctx;
	char words[CPU_WORDS_MAX];

	if (cpu_is_same(want, have))
		return 0;
	if (cpu_is_known(want) && cpu_is_known(have) && cpu_lacks(have, want, words))
		return filter_refuse(f,
				     "The VM sees its host's own CPU (%s), and the destination's "
				     "processor lacks %s. " CPU_WAY_OUT,
				     mode, words, w->facts.name);
	return filter_refuse(f,
			     "The VM sees its host's own CPU (%s), and the destination's is "
			     "another one, or it is not known. " CPU_WAY_OUT,
			     mode, w->facts.name);
}

/* It has what it was given by name, and no more is wanted than that. What neither libvirt can
 * say, the destination's says when the copy is made. */
static int judge_given(struct filter *f, const struct cpu *want, const struct cpu *have)
{
	const struct domain_walk *w = f->ctx;
	char words[CPU_WORDS_MAX];

	if (!cpu_is_known(want) || !cpu_is_known(have) || !cpu_lacks(have, want, words))
		return 0;
	return filter_refuse(
		f, "The VM's CPU has what the destination's processor lacks: %s. " CPU_WAY_OUT,
		words, w->facts.name);
}

/* libvirt lets no VM of one maker's CPU run on another's. */
static int judge_vendor(struct filter *f, const struct cpu *want, const struct cpu *have)
{
	if (!cpu_other_vendor(want, have))
		return 0;
	return filter_refuse(f,
			     "The VM's CPU is one of %s, and the destination has one of %s; no VM "
			     "goes from one to the other while it runs.",
			     want->vendor, have->vendor);
}

static int judge_cpu(struct filter *f, const struct domain_limits *l, const char *mode, bool own)
{
	static const struct cpu unknown;
	const struct domain_walk *w = f->ctx;
	const struct cpu *want = l->origin ? &l->origin->cpu : &unknown;
	const struct cpu *have = l->host ? &l->host->cpu[w->facts.kvm] : &unknown;
	int r = judge_vendor(f, want, have);

	if (r < 0)
		return r;
	return own ? judge_own(f, want, have, mode) : judge_given(f, want, have);
}

int domain_enter_cpu(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const struct domain_walk *w = f->ctx;
	const char *mode = filter_prop(node, "mode");
	bool own = mode && (strcmp(mode, "host-passthrough") == 0 || strcmp(mode, "maximum") == 0);

	(void)rule;
	/* Without either it is QEMU's own, that each host has; only its topology is told. */
	if (!mode && !filter_child(node, "model"))
		return 0;
	return w->limits && !w->limits->fits ? judge_cpu(f, w->limits, mode, own) : 0;
}
