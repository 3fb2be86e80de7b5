/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the domain filter that need thought: identity, caps, and everything that names
 * something of a host, which the destination replaces by its own. */
#include "mover/filter/domain.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "mover/filter/domain-rules.h"
#include "mover/filter/fit-xml.h"
#include "mover/filter/roam-xml.h"

#define CPUS_MAX 512u
#define MEMORY_MAX (1ull << 44) /* bytes; keeps sums far from wrapping */

static const char *const disk_format_names[_DISK_FORMAT_MAX] = {
	[DISK_FORMAT_RAW] = "raw",
	[DISK_FORMAT_QCOW2] = "qcow2",
};

DEFINE_NAMES(disk_format, enum disk_format, _DISK_FORMAT_MAX)

static const char *const domain_serial_names[_DOMAIN_SERIAL_MAX] = {
	[DOMAIN_SERIAL_PTY] = "pty",
	[DOMAIN_SERIAL_FILE] = "file",
	[DOMAIN_SERIAL_UNIX] = "unix",
};

DEFINE_NAMES(domain_serial, enum domain_serial, _DOMAIN_SERIAL_MAX)

void domain_uuid_text(const uint8_t uuid[UUID_LEN], char ret[DOMAIN_UUID_TEXT])
{
	char *at = ret;

	for (size_t i = 0; i < UUID_LEN; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		hex_encode(&uuid[i], 1, at);
		at += 2;
	}
}

int domain_uuid_parse(const char *text, uint8_t ret[UUID_LEN])
{
	static const struct filter_attr rule = {.kind = FILTER_UUID};
	char canonical[DOMAIN_UUID_TEXT], hex[2 * UUID_LEN + 1];
	size_t n = 0;

	if (filter_value(&rule, text, canonical, sizeof(canonical)) < 0)
		return -EBADMSG;
	for (size_t i = 0; canonical[i]; i++)
		if (canonical[i] != '-')
			hex[n++] = canonical[i];
	hex[n] = '\0';
	return hex_decode(hex, ret, UUID_LEN);
}

const struct domain_disk_target *domain_disk_map_find(const struct domain_disk_map *map,
						      const char *target)
{
	for (size_t i = 0; i < map->count && i < DOMAIN_DISKS_MAX; i++)
		if (strcmp(map->disks[i].target, target) == 0)
			return &map->disks[i];
	return NULL;
}

size_t domain_disk_map_copied(const struct domain_disk_map *map)
{
	size_t n = 0;

	for (size_t i = 0; i < map->count && i < DOMAIN_DISKS_MAX; i++)
		n += map->disks[i].store == NULL;
	return n;
}

/* Judges an element whose place the destination fills itself: what it wrote is taken back. */
int domain_judge_only(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct filter_rule plain = *rule;
	size_t len = f->len;
	bool in_tag = f->in_tag;
	int r;

	plain.enter = NULL;
	r = filter_element(f, node, &plain);
	if (r < 0)
		return r;
	f->len = len;
	f->in_tag = in_tag;
	return 1;
}

int domain_no_room(struct filter *f, const char *what, uint64_t wanted, uint64_t most)
{
	return kerr_set(f->err, ENOSPC, KCODE_ROOM,
			"The VM wants %" PRIu64 " %s, and this device gives it at most %" PRIu64
			".",
			wanted, what, most);
}

/* ---- identity and size ---- */

int domain_enter_domain(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	const char *type = filter_prop(node, "type");

	(void)rule;
	w->facts.kvm = type && strcmp(type, "kvm") == 0;
	w->facts.vcpus = 1;
	if (w->facts.kvm && w->limits && !w->limits->fits && w->limits->host &&
	    !w->limits->host->kvm)
		return filter_refuse(f, "The VM needs hardware virtualisation (KVM), and the "
					"destination has none, or it is switched off in its "
					"firmware's settings.");
	return 0;
}

int domain_enter_name(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	const char *text = filter_text_of(node);

	if (!text || !text_is_name(text, NAME_MAX_LEN) || strchr(text, '/') || node->properties)
		return filter_refuse(f,
				     "The VM's name is longer than %d bytes or has characters "
				     "that cannot be handed over.",
				     NAME_MAX_LEN);
	if (w->limits && strcmp(text, w->limits->expect_name) != 0)
		return kerr_set(f->err, EACCES, KCODE_IDENTITY,
				"The other device sent a VM with another name than '%s', which was "
				"agreed; nothing was started.",
				w->limits->expect_name);
	snprintf(w->facts.name, sizeof(w->facts.name), "%s", text);
	filter_put_element(f, rule->name, w->facts.name);
	return 1;
}

int domain_enter_uuid(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	const char *text = filter_text_of(node);
	char canonical[DOMAIN_UUID_TEXT];

	if (!text || node->properties || domain_uuid_parse(text, w->facts.uuid) < 0)
		return filter_refuse(f, "The VM's UUID is not a UUID.");
	if (w->limits && memcmp(w->facts.uuid, w->limits->expect_uuid, UUID_LEN) != 0)
		return kerr_set(f->err, EACCES, KCODE_IDENTITY,
				"The other device sent a VM with another UUID than the agreed one; "
				"nothing was started.");
	domain_uuid_text(w->facts.uuid, canonical);
	filter_put_element(f, rule->name, canonical);
	return 1;
}

static int parse_memory(const xmlNode *node, uint64_t *ret_bytes)
{
	static const struct {
		const char *name;
		uint64_t bytes;
	} units[] = {
		{"KiB", 1ull << 10}, {"b", 1},		{"bytes", 1},	     {"KB", 1000},
		{"k", 1ull << 10},   {"MB", 1000000},	{"M", 1ull << 20},   {"MiB", 1ull << 20},
		{"GB", 1000000000},  {"G", 1ull << 30}, {"GiB", 1ull << 30}, {"T", 1ull << 40},
		{"TiB", 1ull << 40},
	};
	const char *text = filter_text_of(node), *unit = filter_prop(node, "unit");
	uint64_t n;

	for (const xmlAttr *a = node->properties; a; a = a->next)
		if (a->ns || (strcmp((const char *)a->name, "unit") != 0 &&
			      strcmp((const char *)a->name, "dumpCore") != 0))
			return -EBADMSG;
	if (!text || filter_number(text, MEMORY_MAX, &n) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(unit ? unit : "KiB", units[i].name) == 0) {
			if (n > MEMORY_MAX / units[i].bytes)
				return -EBADMSG;
			*ret_bytes = n * units[i].bytes;
			return 0;
		}
	return -EBADMSG;
}

int domain_enter_memory(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	bool current = strcmp(rule->name, "currentMemory") == 0;
	uint64_t bytes;
	char kib[24];

	if (parse_memory(node, &bytes) < 0 || bytes == 0)
		return filter_refuse(f, "The VM's <%s> is not a size that can be handed over.",
				     rule->name);
	if (w->limits && w->limits->max_memory_bytes && bytes > w->limits->max_memory_bytes)
		return domain_no_room(f, "MiB of memory", bytes >> 20,
				      w->limits->max_memory_bytes >> 20);
	if (current)
		w->current_bytes = bytes;
	else
		w->facts.memory_bytes = bytes;
	snprintf(kib, sizeof(kib), "%" PRIu64, (bytes + 1023) / 1024);
	filter_open(f, rule->name);
	filter_put_attr(f, "unit", "KiB");
	filter_put_text(f, kib);
	filter_close(f, rule->name);
	return 1;
}

int domain_enter_vcpu(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	const char *text = filter_text_of(node);
	uint64_t n;

	(void)rule;
	if (!text || filter_number(text, CPUS_MAX, &n) < 0)
		return filter_refuse(f, "The VM's number of processors cannot be handed over.");
	if (w->limits && w->limits->max_vcpus && n > w->limits->max_vcpus)
		return domain_no_room(f, "processors", n, w->limits->max_vcpus);
	w->facts.vcpus = (uint32_t)n;
	return 0;
}

/* ---- for people's tools ---- */

#define LIBOSINFO "http://libosinfo.org/xmlns/libvirt/domain/1.0"

static const xmlNode *child_in(const xmlNode *node, const char *ns, const char *name)
{
	for (const xmlNode *c = node->children; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE && c->ns && c->ns->href &&
		    strcmp((const char *)c->ns->href, ns) == 0 &&
		    strcmp((const char *)c->name, name) == 0)
			return c;
	return NULL;
}

static bool os_id_ok(const char *id)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.+-:/";
	size_t len = id ? strlen(id) : 0;

	return len > 7 && len <= 128 && strncmp(id, "http://", 7) == 0 &&
	       strspn(id, allowed) == len;
}

static void put_os(struct filter *f, const char *id)
{
	filter_open(f, "libosinfo:libosinfo");
	filter_put_attr(f, "xmlns:libosinfo", LIBOSINFO);
	filter_open(f, "libosinfo:os");
	filter_put_attr(f, "id", id);
	filter_close(f, "libosinfo:os");
	filter_close(f, "libosinfo:libosinfo");
}

/* The CPU before that of `kith vm roam`, so that it can be gone back to there as well. */
static int put_kept(struct filter *f, const xmlNode *kept)
{
	const xmlNode *cpu = filter_child(kept, "cpu");
	int r;

	filter_open(f, "kith:roam");
	filter_put_attr(f, "xmlns:kith", ROAM_XML_NS);
	r = cpu ? filter_element(f, cpu, &domain_kept_cpu_rule) : 0;
	if (r == 0)
		filter_close(f, "kith:roam");
	return r;
}

/* What the VM was before it was fitted to a host, so that it can be that again. */
static int put_fit(struct filter *f, const xmlNode *fit)
{
	static const char *const kvm[] = {"kvm", NULL};
	static const struct filter_attr rules[] = {
		{.name = "type", .kind = FILTER_ENUM, .values = kvm},
		{.name = "machine", .kind = FILTER_TOKEN, .max = 40},
	};
	const xmlNode *cpu = filter_child(fit, "cpu");
	char text[64];

	filter_open(f, "kith:fit");
	filter_put_attr(f, "xmlns:kith", FIT_XML_NS);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		const char *value = filter_prop(fit, rules[i].name);

		if (value && filter_value(&rules[i], value, text, sizeof(text)) < 0)
			return -EBADMSG;
		if (value)
			filter_put_attr(f, rules[i].name, text);
	}
	if (cpu && filter_element(f, cpu, &domain_kept_cpu_rule) < 0)
		return -EBADMSG;
	filter_close(f, "kith:fit");
	return 0;
}

/* One that cannot be handed over stays behind, and keeps no VM here. */
static void try_note(struct filter *f, const xmlNode *note,
		     int (*put)(struct filter *f, const xmlNode *note))
{
	struct kerr *err = f->err, ignored = {0};
	size_t len = f->len;
	bool in_tag = f->in_tag;

	f->err = &ignored;
	if (put(f, note) < 0) {
		f->len = len;
		f->in_tag = in_tag;
	}
	f->err = err;
}

/* What other programs wrote about the VM stays on the old host, but for the name of its operating
 * system: virt-manager and its like choose icons and defaults by it. */
int domain_enter_metadata(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const xmlNode *info = child_in(node, LIBOSINFO, "libosinfo");
	const xmlNode *os = info ? child_in(info, LIBOSINFO, "os") : NULL;
	const xmlNode *kept = child_in(node, ROAM_XML_NS, "roam");
	const xmlNode *fit = child_in(node, FIT_XML_NS, "fit");
	const char *id = os ? filter_prop(os, "id") : NULL;
	size_t len = f->len, begun;
	bool in_tag = f->in_tag;

	filter_open(f, rule->name);
	begun = f->len;
	if (os_id_ok(id))
		put_os(f, id);
	if (kept)
		try_note(f, kept, put_kept);
	if (fit)
		try_note(f, fit, put_fit);
	if (f->len != begun) {
		filter_close(f, rule->name);
	} else {
		f->len = len;
		f->in_tag = in_tag;
	}
	return 1;
}

/* ---- entry ---- */

static int check_whole(struct filter *f)
{
	struct domain_walk *w = f->ctx;

	if (w->current_bytes > w->facts.memory_bytes)
		return filter_refuse(f, "The VM's current memory is larger than its memory.");
	if (w->map && w->facts.disk_count != w->map->count)
		return filter_refuse(f,
				     "The VM has %zu disks, but %zu were announced; nothing was "
				     "started.",
				     w->facts.disk_count, w->map->count);
	return 0;
}

static int domain_run(const char *xml, size_t len, struct domain_walk *w, char **ret_xml,
		      struct kerr *err)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	_cleanup_filter_ struct filter f = {.ctx = w, .err = err};
	const xmlNode *root;
	int r;

	r = filter_parse(xml, len, DOMAIN_XML_MAX, DOMAIN_DEPTH_MAX, "VM configuration", &doc, err);
	if (r < 0)
		return r;
	root = xmlDocGetRootElement(doc);
	if (root->ns || strcmp((const char *)root->name, "domain") != 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The other device sent no VM configuration.");
	r = filter_element(&f, root, &domain_rule);
	if (r == 0)
		r = check_whole(&f);
	if (r == 0)
		r = filter_take(&f, ret_xml, NULL);
	if (r < 0)
		kerr_set(err, -r, KCODE_FAILED, "There is not enough memory.");
	return r;
}

int domain_rebuild(const char *xml, size_t len, const struct domain_limits *limits,
		   const struct domain_disk_map *map, char **ret_xml,
		   struct domain_facts *ret_facts, struct kerr *err)
{
	_cleanup_free_ struct domain_walk *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "There is not enough memory.");
	w->limits = limits;
	w->map = map;
	r = domain_run(xml, len, w, ret_xml, err);
	if (r == 0 && ret_facts)
		*ret_facts = w->facts;
	return r;
}

int domain_disks(const char *xml, size_t len, struct domain_facts *ret_facts, struct kerr *err)
{
	_cleanup_free_ char *unused = NULL;

	return domain_rebuild(xml, len, NULL, NULL, &unused, ret_facts, err);
}
