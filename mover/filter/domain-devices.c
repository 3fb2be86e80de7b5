/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of the domain filter: whatever names something of a host is replaced by the
 * destination's own. */
#include <string.h>

#include "base/text.h"
#include "mover/filter/domain-rules.h"
#include "mover/filter/storage.h"

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

/* A drive for discs or floppies; only an empty one travels. */
static int enter_drive(struct filter *f, const xmlNode *node, const char *target)
{
	static const char *const names[] = {"file", "dev", "name", "volume", "dir"};
	const xmlNode *source = filter_child(node, "source");
	struct domain_walk *w = f->ctx;

	for (size_t i = 0; source && i < ARRAY_SIZE(names); i++)
		if (filter_prop(source, names[i]))
			return filter_refuse(f,
					     "There is a disc in the VM's drive %s, which stays on "
					     "the old host. Eject it, then hand the VM over: `kith "
					     "move --eject %s DEVICE` does both, `virsh "
					     "change-media %s %s --eject` the first.",
					     target, w->facts.name, w->facts.name, target);
	return 0;
}

/* The path at the source is a fact for the tool at the source; it is never written anywhere. */
static int read_file(struct filter *f, const xmlNode *node, struct domain_disk *disk)
{
	const xmlNode *source = filter_child(node, "source");
	const char *file = source ? filter_prop(source, "file") : NULL;

	if (!file || file[0] != '/' || strlen(file) > DOMAIN_PATH_MAX)
		return filter_refuse(f,
				     "Disk %s of the VM is not an image file with an absolute "
				     "path.",
				     disk->target);
	snprintf(disk->source, sizeof(disk->source), "%s", file);
	return 0;
}

/* What a volume of a pool is, only the host knows whose pool it is. */
static int read_volume(struct filter *f, const xmlNode *node, struct domain_disk *disk)
{
	static const struct filter_attr token = {.kind = FILTER_TOKEN, .max = DOMAIN_VOLUME_MAX};
	const xmlNode *source = filter_child(node, "source");
	const char *pool = source ? filter_prop(source, "pool") : NULL;
	const char *volume = source ? filter_prop(source, "volume") : NULL;

	if (!pool || !text_is_name(pool, NAME_MAX_LEN) || !volume ||
	    filter_value(&token, volume, disk->shared.volume, sizeof(disk->shared.volume)) < 0)
		return filter_refuse(f,
				     "Disk %s of the VM is a volume of a storage pool, by a name "
				     "that cannot be handed over.",
				     disk->target);
	snprintf(disk->source, sizeof(disk->source), "%s", pool);
	return 0;
}

static int read_shared(struct filter *f, const xmlNode *node, struct domain_disk *disk)
{
	const char *why;

	disk->is_shared = true;
	if (strcmp(filter_prop(node, "type"), "volume") == 0)
		return read_volume(f, node, disk);
	if (storage_read_source(filter_child(node, "source"), &disk->shared, &why) < 0)
		return filter_refuse(f, "Disk %s of the VM %s.", disk->target, why);
	return 0;
}

static int read_disk(struct filter *f, const xmlNode *node, struct domain_disk *disk)
{
	const xmlNode *driver = filter_child(node, "driver");
	const char *type = driver ? filter_prop(driver, "type") : NULL;
	int format = disk_format_from_string(type);
	int r = strcmp(filter_prop(node, "type"), "file") == 0 ? read_file(f, node, disk)
							       : read_shared(f, node, disk);

	if (r < 0)
		return r;
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
	disk->unflushed = strcmp(filter_prop(driver, "cache") ?: "", "unsafe") == 0;
	return 0;
}

/* A disk that stays where it is must not be one that has to be copied, nor the reverse: the first
 * would be lost, the second written over. */
static bool same_kind(const struct domain_disk *disk, const struct domain_disk_target *at)
{
	bool files = at->store && storage_is_files(at->store->store);

	/* Where a file lies at the source says nothing here. */
	if (!disk->is_shared)
		return !at->store || files;
	if (!at->store || files)
		return false;
	return !disk->shared.store[0] || (strcmp(disk->shared.store, at->store->store) == 0 &&
					  strcmp(disk->shared.volume, at->volume) == 0);
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
	if (!same_kind(disk, w->at))
		return filter_refuse(f,
				     "Disk %s of the VM is on other storage than announced; "
				     "nothing was started.",
				     disk->target);
	return 0;
}

/* libvirt there knows the storage by its own pool; a volume of one becomes what it stands for. */
static int put_shared(struct filter *f, const xmlNode *node)
{
	const struct filter_rule *rule = &domain_shared_disk_rule;
	int r;

	filter_open(f, rule->name);
	filter_put_attr(f, "type", "network");
	r = filter_attrs(f, node, rule);
	if (r == 0)
		r = filter_children(f, node, rule);
	if (r < 0)
		return r;
	filter_close(f, rule->name);
	return 1;
}

/* Types of disks with contents. */
static bool may_be_disk(const char *type)
{
	return strcmp(type, "file") == 0 || strcmp(type, "network") == 0 ||
	       strcmp(type, "volume") == 0;
}

int domain_enter_disk(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	const char *device = filter_prop(node, "device"), *type = filter_prop(node, "type") ?: "";
	uint32_t most = w->limits ? w->limits->max_disks : 0;
	struct domain_disk disk = {0};
	bool by_name;
	int r;

	(void)rule;
	w->at = NULL;
	r = check_disk_target(f, node, disk.target, sizeof(disk.target));
	if (r < 0)
		return r;
	if (device && (strcmp(device, "cdrom") == 0 || strcmp(device, "floppy") == 0))
		return enter_drive(f, node, disk.target);
	if (strcmp(type, "block") == 0)
		return filter_refuse(f, "%s", DOMAIN_NOT_A_FILE);
	/* Another kind: the table has the sentence for it. */
	if ((device && strcmp(device, "disk") != 0) || !may_be_disk(type))
		return 0;
	most = most && most < DOMAIN_DISKS_MAX ? most : DOMAIN_DISKS_MAX;
	if (w->facts.disk_count >= most)
		return domain_no_room(f, "disks", w->facts.disk_count + 1, most);
	r = read_disk(f, node, &disk);
	if (r == 0)
		r = find_disk_target(f, &disk);
	if (r < 0)
		return r;
	by_name = disk.is_shared;
	disk.is_shared = by_name || (w->at && w->at->store);
	w->facts.disks[w->facts.disk_count++] = disk;
	w->facts.shared_count += disk.is_shared;
	return by_name ? put_shared(f, node) : 0;
}

int domain_enter_disk_source(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	int r = domain_judge_only(f, node, rule);

	if (r < 0 || !w->at)
		return r;
	if (w->at->store) {
		r = storage_put_source(f, w->at->store, w->at->volume);
		return r < 0 ? r : 1;
	}
	filter_open(f, rule->name);
	filter_put_attr(f, "file", w->at->path);
	filter_close(f, rule->name);
	return 1;
}

/* The copy has the contents of the whole chain: they come as blocks into one new image (H17). */
int domain_enter_backing(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	(void)node;
	filter_open(f, rule->name);
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

static int refuse_network(struct filter *f, const char *name)
{
	if (name)
		return filter_refuse(f,
				     "A network card of the VM is on the libvirt network \"%s\", "
				     "and VMs that arrive at this device may not join one of that "
				     "name. If it is the right network there, its owner can add it "
				     "to \"networks\" in the section [libvirt] of kith.conf, or "
				     "choose one for such cards by \"other_network\".",
				     name);
	return filter_refuse(f,
			     "A network card of the VM is on a bridge or a card of the old host, "
			     "and this device has no network for such cards: its owner can choose "
			     "one by \"other_network\" in the section [libvirt] of kith.conf.");
}

/* Of the same name, and only one that was opened to VMs that arrive: what a name means is for each
 * host to say. Else the one that its owner chose for all others. `name` NULL: it has none. */
static int find_network(struct filter *f, const char *name, const struct domain_network **ret)
{
	struct domain_walk *w = f->ctx;

	if (!w->limits)
		return 0;
	*ret = name ? lookup_network(w->limits, name) : NULL;
	if (!*ret && w->limits->networks && w->limits->networks->other[0]) {
		*ret = lookup_network(w->limits, w->limits->networks->other);
		w->facts.rewired_count++;
	}
	if (!*ret)
		return refuse_network(f, name);
	if ((*ret)->missing.code != KCODE_OK) {
		*f->err = (*ret)->missing;
		return -ENONET;
	}
	return 0;
}

/* A card that is on no network of libvirt's has no name to look for. */
static int enter_wire(struct filter *f, const xmlNode *node, const char *type,
		      const struct domain_network **ret)
{
	const xmlNode *source = filter_child(node, "source");
	const char *name = source ? filter_prop(source, "network") : NULL;

	if (strcmp(type, "network") != 0)
		return find_network(f, NULL, ret);
	if (!name || !text_is_name(name, NAME_MAX_LEN))
		return filter_refuse(f, "A network card of the VM is on a libvirt network without "
					"a proper name.");
	return find_network(f, name, ret);
}

/* A port group that the network here does not have is ignored by libvirt. */
static int put_network(struct filter *f, const xmlNode *node, const char *name)
{
	static const struct filter_attr rule = {.kind = FILTER_TOKEN, .max = 64};
	const xmlNode *source = filter_child(node, "source");
	const char *group = source ? filter_prop(source, "portgroup") : NULL;
	char value[65];

	if (group && filter_value(&rule, group, value, sizeof(value)) < 0)
		return filter_refuse(f, "A network card of the VM is in a port group whose name "
					"cannot be handed over.");
	filter_open(f, "source");
	filter_put_attr(f, "network", name);
	if (group)
		filter_put_attr(f, "portgroup", value);
	filter_close(f, "source");
	return 0;
}

int domain_enter_interface(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	const char *type = filter_prop(node, "type");
	bool network = type && (strcmp(type, "network") == 0 || strcmp(type, "bridge") == 0 ||
				strcmp(type, "direct") == 0);
	const struct domain_network *own = NULL;
	int r;

	if (!network && (!type || strcmp(type, "user") != 0))
		return filter_refuse(f, "A network card of the VM is wired to a program of the old "
					"host; only cards on a libvirt network, on a bridge or of "
					"type 'user' can be handed over.");
	if (network) {
		r = enter_wire(f, node, type, &own);
		if (r < 0)
			return r;
	}
	filter_open(f, rule->name);
	filter_put_attr(f, "type", network ? "network" : "user");
	r = filter_attrs(f, node, rule);
	if (r < 0)
		return r;
	if (own) {
		r = put_network(f, node, own->name);
		if (r < 0)
			return r;
	}
	r = filter_children(f, node, rule);
	if (r < 0)
		return r;
	filter_close(f, rule->name);
	w->facts.interface_count++;
	return 1;
}

/* An attribute of <source>; no name = no such element. */
struct source {
	const char *name, *value;
	bool append; /* to the file */
};
static const struct source no_source;

/* Writes a device of a type, and with a source, that are the destination's. */
static int put_backed(struct filter *f, const xmlNode *node, const struct filter_rule *rule,
		      const char *type, struct source source)
{
	int r;

	filter_open(f, rule->name);
	filter_put_attr(f, "type", type);
	r = filter_attrs(f, node, rule);
	if (r < 0)
		return r;
	if (source.name) {
		filter_open(f, "source");
		filter_put_attr(f, source.name, source.value);
		if (source.append)
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
	struct source file = no_source;

	if (type < 0)
		return refuse_chardev(f, "serial port");
	if (w->facts.serial_count < DOMAIN_SERIALS_MAX)
		w->facts.serials[w->facts.serial_count++] = (enum domain_serial)type;
	if (type == DOMAIN_SERIAL_FILE && !w->serial_file_used && w->limits) {
		w->serial_file_used = true;
		if (w->limits->serial_path)
			file = (struct source){"path", w->limits->serial_path, true};
	}
	return put_backed(f, node, rule, file.name ? "file" : "pty", file);
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
		return domain_judge_only(f, node, rule);
	return put_backed(f, node, rule, "pty", no_source);
}

/* The viewer's end of a channel, at a copy that has a SPICE display; nobody's, where it has none.
 */
static int put_spice_chardev(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const struct domain_walk *w = f->ctx;

	return put_backed(f, node, rule, w->spice ? "spicevmc" : "null", no_source);
}

/* A port of SPICE by its name, as GNOME Boxes has one for shared folders. */
static int put_spiceport(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	static const struct filter_attr token = {.kind = FILTER_TOKEN, .max = 64};
	const struct domain_walk *w = f->ctx;
	const xmlNode *source = filter_child(node, "source");
	const char *name = source ? filter_prop(source, "channel") : NULL;
	char value[65];

	if (!name || filter_value(&token, name, value, sizeof(value)) < 0)
		return filter_refuse(f, "A SPICE channel of the VM has no proper name.");
	if (!w->spice)
		return put_backed(f, node, rule, "null", no_source);
	return put_backed(f, node, rule, "spiceport", (struct source){"channel", value, false});
}

int domain_enter_channel(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	static const char *const plain[] = {"unix", "pty", "null"};
	const char *type = filter_prop(node, "type");
	const xmlNode *target = filter_child(node, "target");
	bool named = target && filter_prop(target, "name");

	if (!type)
		return refuse_chardev(f, "channel");
	if (strcmp(type, "spicevmc") == 0)
		return put_spice_chardev(f, node, rule);
	if (strcmp(type, "spiceport") == 0)
		return put_spiceport(f, node, rule);
	/* Without a path libvirt chooses a socket in its own directory, but not without a name. */
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (strcmp(type, plain[i]) == 0)
			return put_backed(f, node, rule, i == 0 && !named ? "pty" : plain[i],
					  no_source);
	return refuse_chardev(f, "channel");
}

/* A USB device that is redirected right now is one that the guest sees unplugged; idle as it nearly
 * always is, it waits for a viewer at the destination. QEMU's stream demands the device itself. */
int domain_enter_redirdev(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const char *type = filter_prop(node, "type");

	if (!type || (strcmp(type, "spicevmc") != 0 && strcmp(type, "null") != 0))
		return filter_refuse(f, "The VM has a USB device redirected over the network of "
					"the old host (<redirdev>), which cannot be handed over.");
	return put_spice_chardev(f, node, rule);
}

int domain_enter_smartcard(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const char *mode = filter_prop(node, "mode"), *type = filter_prop(node, "type");

	if (!mode || !type || strcmp(mode, "passthrough") != 0 ||
	    (strcmp(type, "spicevmc") != 0 && strcmp(type, "null") != 0))
		return filter_refuse(f, "The VM uses a smart card of the old host (<smartcard>), "
					"which cannot be handed over.");
	return put_spice_chardev(f, node, rule);
}

int domain_enter_graphics(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	const char *type = filter_prop(node, "type");
	int r;

	if (!type || (strcmp(type, "vnc") != 0 && strcmp(type, "spice") != 0))
		return filter_refuse(f, "The VM shows its screen on the old host itself; only VNC "
					"and SPICE displays can be handed over.");
	r = domain_judge_only(f, node, rule);
	if (r < 0 || w->graphics_written)
		return r;
	w->graphics_written = true;
	filter_open(f, rule->name);
	filter_put_attr(f, "type", w->spice ? "spice" : "vnc");
	filter_put_attr(f, "port", "-1");
	filter_put_attr(f, "autoport", "yes");
	filter_open(f, "listen");
	filter_put_attr(f, "type", "address");
	filter_put_attr(f, "address", "127.0.0.1");
	filter_close(f, "listen");
	filter_close(f, rule->name);
	return 1;
}

/* The guest's sound card stays; what plays it is the viewer's, or nobody's. */
int domain_enter_audio(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	static const char *const known[] = {"none", "spice", "pulseaudio", "alsa", "oss",
					    "sdl",  "jack",  "coreaudio",  "dbus"};
	const struct domain_walk *w = f->ctx;
	const char *type = filter_prop(node, "type");
	bool found = false;

	for (size_t i = 0; type && i < ARRAY_SIZE(known); i++)
		found |= strcmp(type, known[i]) == 0;
	if (!found)
		return filter_refuse(f, "The VM records its sound into a file of the old host, "
					"which cannot be handed over.");
	return put_backed(f, node, rule, w->spice && strcmp(type, "none") != 0 ? "spice" : "none",
			  no_source);
}

/* ---- what only some hosts have ---- */

static bool has_spice(const xmlNode *devices)
{
	for (const xmlNode *c = devices->children; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE && strcmp((const char *)c->name, "graphics") == 0 &&
		    strcmp(filter_prop(c, "type") ?: "", "spice") == 0)
			return true;
	return false;
}

/* Known before the first of them, since a display and its channels come in any order. */
int domain_enter_devices(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;
	bool here = !w->limits || (w->limits->host && w->limits->host->spice);

	(void)rule;
	w->spice = here && has_spice(node);
	return 0;
}

int domain_enter_video_model(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const struct domain_walk *w = f->ctx;
	const char *type = filter_prop(node, "type");

	(void)rule;
	if (type && strcmp(type, "qxl") == 0 && w->limits &&
	    !(w->limits->host && w->limits->host->spice))
		return filter_refuse(f, "The VM's graphics card (QXL) needs QEMU with SPICE, which "
					"the destination does not have. Choose the model 'virtio' "
					"for it (`virsh edit`), and start it anew.");
	return 0;
}

int domain_enter_tpm(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct domain_walk *w = f->ctx;

	(void)node;
	(void)rule;
	w->facts.tpm = true;
	if (w->limits && !(w->limits->host && w->limits->host->tpm))
		return filter_refuse(f, "The VM has a virtual TPM, and the destination cannot "
					"emulate one. Install swtpm there (on Debian `apt install "
					"swtpm swtpm-tools`), then hand it over again.");
	return 0;
}

static bool has_secret(const struct domain_host *host, const uint8_t uuid[UUID_LEN])
{
	for (size_t i = 0; host && i < host->secret_count; i++)
		if (memcmp(host->secrets[i], uuid, UUID_LEN) == 0)
			return true;
	return false;
}

/* swtpm stores the state with a key made of the secret's value, and with the same one hands it to
 * the destination's. libvirt tells nobody values, so whether they are equal only the move shows. */
int domain_enter_tpm_secret(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const struct domain_walk *w = f->ctx;
	const char *text = filter_prop(node, "secret");
	uint8_t uuid[UUID_LEN];

	(void)rule;
	if (!w->limits || !text || domain_uuid_parse(text, uuid) < 0 ||
	    has_secret(w->limits->host, uuid))
		return 0;
	return filter_refuse(f,
			     "The VM's virtual TPM is stored encrypted, with the secret %s of "
			     "libvirt, which the destination does not have. Define one there with "
			     "that UUID and usage type 'vtpm' (`virsh secret-define`), and give it "
			     "the same value (`virsh secret-set-value`).",
			     text);
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
