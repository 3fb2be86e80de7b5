/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the domain filter that need thought: identity, caps, and everything that names
 * something of a host, which the destination replaces by its own. */
#include "mover/filter/domain.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "mover/filter/domain-rules.h"

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

/* Judges an element whose place the destination fills itself: what it wrote is taken back. */
static int judge_only(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	size_t len = f->len;
	bool in_tag = f->in_tag;
	int r;

	filter_open(f, rule->name);
	r = filter_attrs(f, node, rule);
	if (r >= 0)
		r = filter_children(f, node, rule);
	if (r < 0)
		return r;
	f->len = len;
	f->in_tag = in_tag;
	return 1;
}

static int no_room(struct filter *f, const char *what, uint64_t wanted, uint64_t most)
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
		return no_room(f, "MiB of memory", bytes >> 20, w->limits->max_memory_bytes >> 20);
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
		return no_room(f, "processors", n, w->limits->max_vcpus);
	w->facts.vcpus = (uint32_t)n;
	return 0;
}

int domain_enter_os_type(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const char *machine = filter_prop(node, "machine");

	(void)rule;
	if (machine && strcmp(machine, "pc") != 0 && strcmp(machine, "q35") != 0 &&
	    strncmp(machine, "pc-", 3) != 0)
		return filter_refuse(f, "The VM is not an ordinary PC (machine type q35 or pc); it "
					"cannot be handed over.");
	return 0;
}

/* ---- what names something of a host ---- */

int domain_enter_emulator(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;

	if (node->properties || !filter_text_of(node))
		return filter_refuse(f,
				     "The VM's <emulator> is not plain text; it cannot be handed "
				     "over.");
	if (w->limits && w->limits->emulator)
		filter_put_element(f, rule->name, w->limits->emulator);
	return 1;
}

static int check_disk_target(struct filter *f, const xmlNode *node, char *ret, size_t size)
{
	static const struct filter_attr rule = {.kind = FILTER_TOKEN, .max = DOMAIN_TARGET_MAX};
	struct domain_walk *w = f->ctx;
	const xmlNode *target = filter_child(node, "target");
	const char *dev = target ? filter_prop(target, "dev") : NULL;

	if (!dev || filter_value(&rule, dev, ret, size) < 0)
		return filter_refuse(f, "A disk of the VM has no proper target name.");
	for (size_t i = 0; i < w->facts.disk_count; i++)
		if (strcmp(w->facts.disks[i].target, ret) == 0)
			return filter_refuse(f, "Two disks of the VM have the same target name.");
	return 0;
}

static int enter_cdrom(struct filter *f, const xmlNode *node)
{
	const xmlNode *source = filter_child(node, "source");

	if (source && filter_prop(source, "file"))
		return filter_refuse(f,
				     "There is a disc image in the VM's CD drive. Eject it, then "
				     "hand the VM over.");
	return 0;
}

/* The path at the source is a fact for the tool at the source; it is never written anywhere. */
static int read_disk(struct filter *f, const xmlNode *node, struct domain_disk *disk)
{
	const xmlNode *source = filter_child(node, "source");
	const xmlNode *driver = filter_child(node, "driver");
	const char *file = source ? filter_prop(source, "file") : NULL;
	const char *type = driver ? filter_prop(driver, "type") : NULL;
	int format = disk_format_from_string(type);

	if (!file || file[0] != '/' || strlen(file) > DOMAIN_PATH_MAX)
		return filter_refuse(f,
				     "Disk %s of the VM is not an image file with an absolute "
				     "path.",
				     disk->target);
	if (format < 0)
		return filter_refuse(f,
				     "Disk %s of the VM is neither raw nor qcow2; it cannot be "
				     "handed over.",
				     disk->target);
	if (filter_child(node, "readonly"))
		return filter_refuse(f,
				     "Disk %s of the VM is read-only; this version of Kith does "
				     "not copy such disks.",
				     disk->target);
	disk->format = (enum disk_format)format;
	snprintf(disk->source, sizeof(disk->source), "%s", file);
	return 0;
}

static int find_disk_target(struct filter *f, const struct domain_disk *disk)
{
	struct domain_walk *w = f->ctx;

	if (!w->map)
		return 0;
	w->at = domain_disk_map_find(w->map, disk->target);
	if (!w->at)
		return filter_refuse(f,
				     "The VM has a disk %s that was not announced; nothing was "
				     "started.",
				     disk->target);
	if (w->at->format != disk->format)
		return filter_refuse(f,
				     "Disk %s of the VM has another format than announced; "
				     "nothing was started.",
				     disk->target);
	return 0;
}

int domain_enter_disk(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	const char *device = filter_prop(node, "device");
	uint32_t most = w->limits ? w->limits->max_disks : 0;
	struct domain_disk disk = {0};
	int r;

	(void)rule;
	w->at = NULL;
	r = check_disk_target(f, node, disk.target, sizeof(disk.target));
	if (r < 0)
		return r;
	if (device && strcmp(device, "cdrom") == 0)
		return enter_cdrom(f, node);
	/* Another kind: the table has the sentence for it. */
	if ((device && strcmp(device, "disk") != 0) ||
	    strcmp(filter_prop(node, "type") ?: "", "file") != 0)
		return 0;
	most = most && most < DOMAIN_DISKS_MAX ? most : DOMAIN_DISKS_MAX;
	if (w->facts.disk_count >= most)
		return no_room(f, "disks", w->facts.disk_count + 1, most);
	r = read_disk(f, node, &disk);
	if (r == 0)
		r = find_disk_target(f, &disk);
	if (r < 0)
		return r;
	w->facts.disks[w->facts.disk_count++] = disk;
	return 0;
}

int domain_enter_disk_source(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	int r = judge_only(f, node, rule);

	if (r < 0 || !w->at)
		return r;
	filter_open(f, rule->name);
	filter_put_attr(f, "file", w->at->path);
	filter_close(f, rule->name);
	return 1;
}

static const struct domain_network *lookup_network(const struct domain_limits *limits,
						   const char *name)
{
	for (size_t i = 0; limits->networks && i < limits->networks->count; i++)
		if (strcmp(limits->networks->list[i].name, name) == 0)
			return &limits->networks->list[i];
	return NULL;
}

/* Of the same name, and only one that was opened to VMs that arrive: what a name means is for each
 * host to say. */
static int find_network(struct filter *f, const xmlNode *node, const struct domain_network **ret)
{
	struct domain_walk *w = f->ctx;
	const xmlNode *source = filter_child(node, "source");
	const char *name = source ? filter_prop(source, "network") : NULL;

	if (!name || !text_is_name(name, NAME_MAX_LEN))
		return filter_refuse(f, "A network card of the VM is on a libvirt network without "
					"a proper name.");
	if (!w->limits)
		return 0;
	*ret = lookup_network(w->limits, name);
	if (!*ret)
		return filter_refuse(f,
				     "A network card of the VM is on the libvirt network \"%s\", "
				     "and VMs that arrive at this device may not join one of that "
				     "name. If it is the right network there, its owner can add it "
				     "to \"networks\" in the section [libvirt] of kith.conf.",
				     name);
	if ((*ret)->missing.code != KCODE_OK) {
		*f->err = (*ret)->missing;
		return -ENONET;
	}
	return 0;
}

int domain_enter_interface(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	const char *type = filter_prop(node, "type");
	bool network = type && strcmp(type, "network") == 0;
	const struct domain_network *own = NULL;
	int r;

	if (!network && (!type || strcmp(type, "user") != 0))
		return filter_refuse(f,
				     "A network card of the VM is wired to the old host's own "
				     "network; only cards on a libvirt network or of type 'user' "
				     "can be handed over.");
	if (network) {
		r = find_network(f, node, &own);
		if (r < 0)
			return r;
	}
	filter_open(f, rule->name);
	filter_put_attr(f, "type", network ? "network" : "user");
	r = filter_attrs(f, node, rule);
	if (r < 0)
		return r;
	if (own) {
		filter_open(f, "source");
		filter_put_attr(f, "network", own->name);
		filter_close(f, "source");
	}
	r = filter_children(f, node, rule);
	if (r < 0)
		return r;
	filter_close(f, rule->name);
	w->facts.interface_count++;
	return 1;
}

/* Writes a character device whose backend is the destination's; `path` NULL = none. */
static int put_chardev(struct filter *f, const xmlNode *node, const struct filter_rule *rule,
		       const char *type, const char *path)
{
	int r;

	filter_open(f, rule->name);
	filter_put_attr(f, "type", type);
	r = filter_attrs(f, node, rule);
	if (r < 0)
		return r;
	if (path) {
		filter_open(f, "source");
		filter_put_attr(f, "path", path);
		filter_put_attr(f, "append", "on");
		filter_close(f, "source");
	}
	r = filter_children(f, node, rule);
	if (r < 0)
		return r;
	filter_close(f, rule->name);
	return 1;
}

static int refuse_chardev(struct filter *f, const char *what)
{
	return filter_refuse(f,
			     "A %s of the VM is connected to a device, network address or "
			     "program of the old host, which cannot be handed over.",
			     what);
}

int domain_enter_serial(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	int type = domain_serial_from_string(filter_prop(node, "type"));
	const char *path = NULL;

	if (type < 0)
		return refuse_chardev(f, "serial port");
	if (w->facts.serial_count < DOMAIN_SERIALS_MAX)
		w->facts.serials[w->facts.serial_count++] = (enum domain_serial)type;
	if (type == DOMAIN_SERIAL_FILE && !w->serial_file_used && w->limits) {
		path = w->limits->serial_path;
		w->serial_file_used = true;
	}
	return put_chardev(f, node, rule, path ? "file" : "pty", path);
}

int domain_enter_console(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const xmlNode *target = filter_child(node, "target");
	const char *type = target ? filter_prop(target, "type") : NULL;

	if (domain_serial_from_string(filter_prop(node, "type")) < 0)
		return refuse_chardev(f, "console");
	/* Only a mirror of the first serial port: libvirt adds it again by itself. Without a
	 * serial port the console stands for one. */
	if ((!type || strcmp(type, "serial") == 0) && filter_child(node->parent, "serial"))
		return judge_only(f, node, rule);
	return put_chardev(f, node, rule, "pty", NULL);
}

int domain_enter_channel(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	static const struct {
		const char *from, *to;
	} types[] = {
		{"unix", "unix"}, /* without a path libvirt chooses one in its own directory */
		{"pty", "pty"},
		{"null", "null"},
		{"spicevmc", "null"}, /* there is no SPICE server at the destination */
	};
	const char *type = filter_prop(node, "type");
	const xmlNode *target = filter_child(node, "target");
	bool named = target && filter_prop(target, "name");

	for (size_t i = 0; type && i < ARRAY_SIZE(types); i++)
		if (strcmp(type, types[i].from) == 0)
			return put_chardev(f, node, rule, i == 0 && !named ? "pty" : types[i].to,
					   NULL);
	return refuse_chardev(f, "channel");
}

int domain_enter_graphics(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	const char *type = filter_prop(node, "type");
	int r;

	if (!type || (strcmp(type, "vnc") != 0 && strcmp(type, "spice") != 0))
		return filter_refuse(f, "The VM shows its screen on the old host itself; only VNC "
					"and SPICE displays can be handed over.");
	r = judge_only(f, node, rule);
	if (r < 0 || w->graphics_written)
		return r;
	w->graphics_written = true;
	filter_open(f, rule->name);
	filter_put_attr(f, "type", "vnc");
	filter_put_attr(f, "port", "-1");
	filter_put_attr(f, "autoport", "yes");
	filter_open(f, "listen");
	filter_put_attr(f, "type", "address");
	filter_put_attr(f, "address", "127.0.0.1");
	filter_close(f, "listen");
	filter_close(f, rule->name);
	return 1;
}

int domain_enter_audio(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const char *type = filter_prop(node, "type");
	int r;

	if (!type || (strcmp(type, "none") != 0 && strcmp(type, "spice") != 0))
		return filter_refuse(f, "The VM plays its sound on a device of the old host, which "
					"cannot be handed over.");
	filter_open(f, rule->name);
	filter_put_attr(f, "type", "none");
	r = filter_attrs(f, node, rule);
	if (r >= 0)
		r = filter_children(f, node, rule);
	if (r < 0)
		return r;
	filter_close(f, rule->name);
	return 1;
}

int domain_enter_rng_backend(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const char *model = filter_prop(node, "model"), *text = filter_text_of(node);
	bool builtin = model && text && strcmp(model, "builtin") == 0 && !text[0];
	bool random =
		model && text && strcmp(model, "random") == 0 &&
		(!text[0] || strcmp(text, "/dev/urandom") == 0 || strcmp(text, "/dev/random") == 0);

	if ((!builtin && !random) || node->properties->next)
		return filter_refuse(f, "The VM takes random numbers from a device or program of "
					"the old host, which cannot be handed over.");
	filter_open(f, rule->name);
	filter_put_attr(f, "model", builtin ? "builtin" : "random");
	if (random)
		filter_put_text(f, "/dev/urandom");
	filter_close(f, rule->name);
	return 1;
}

int domain_enter_seclabel(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const char *type = filter_prop(node, "type");

	(void)rule;
	if (type && strcmp(type, "none") == 0)
		return filter_refuse(f, "The VM asks to run without the host's protection "
					"(<seclabel type='none'>); that is never accepted.");
	return 1; /* the destination labels it itself */
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
