/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting, coding and judging what a host offers. */
#include "mover/offers.h"

#include <sodium.h>
#include <string.h>

#include "base/log.h"
#include "mover/filter/storage.h"
#include "mover/network.h"

/* -- the record -- */

static void offers_network_code(struct coder *c, struct domain_network *v)
{
	code_name(c, v->name);
	code_check(c, code_good(c) && v->name[0]);
	code_kerr(c, &v->missing);
}

static void offers_taken_code(struct coder *c, struct offers_taken *v)
{
	CODE_BYTES(c, v->name);
	CODE_BYTES(c, v->uuid);
	CODE_FLAG(c, v->stays);
}

static void offers_store_code(struct coder *c, struct domain_store *v)
{
	code_name(c, v->pool);
	CODE_TEXT(c, v->store);
	code_kerr(c, &v->missing);
	code_check(c, code_good(c) && v->pool[0]);
}

static void offers_volume_code(struct coder *c, struct offers_volume *v)
{
	CODE_BYTES(c, v->name);
	code_u8(c, &v->users);
	code_check(c, v->users <= 2);
	CODE_BYTES(c, v->user);
}

static void offers_room_code(struct coder *c, struct disk_room *v)
{
	code_name(c, v->pool);
	code_u64(c, &v->free_bytes);
	code_u64(c, &v->total_bytes);
	code_check(c, v->free_bytes <= v->total_bytes);
}

static void offers_firmware_code(struct coder *c, struct domain_firmware_here *v)
{
	CODE_FLAG(c, v->does.secure_boot);
	CODE_FLAG(c, v->does.enrolled_keys);
	code_u64(c, &v->does.code_size);
	code_u64(c, &v->does.vars_size);
	CODE_FLAG(c, v->i440fx);
	CODE_FLAG(c, v->q35);
}

static void offers_host_code(struct coder *c, struct domain_host *v)
{
	CODE_FLAG(c, v->kvm);
	CODE_FLAG(c, v->spice);
	CODE_FLAG(c, v->tpm);
	code_u32(c, &v->machine);
	cpu_code(c, &v->cpu[false]);
	cpu_code(c, &v->cpu[true]);
	CODE_COUNT(c, v->secret_count, v->secrets);
	for (size_t i = 0; code_good(c) && i < v->secret_count; i++)
		CODE_BYTES(c, v->secrets[i]);
	CODE_COUNT(c, v->firmware_count, v->firmware);
	for (size_t i = 0; code_good(c) && i < v->firmware_count; i++)
		offers_firmware_code(c, &v->firmware[i]);
}

static void offers_code(struct coder *c, struct offers *v)
{
	uint8_t version = OFFERS_VERSION;

	code_u8(c, &version);
	code_check(c, version == OFFERS_VERSION);
	code_kerr(c, &v->why);
	code_u64(c, &v->memory_bytes);
	code_kerr(c, &v->no_place);
	offers_room_code(c, &v->room);
	offers_host_code(c, &v->host);
	CODE_COUNT(c, v->networks.count, v->networks.list);
	for (size_t i = 0; code_good(c) && i < v->networks.count; i++)
		offers_network_code(c, &v->networks.list[i]);
	code_name(c, v->networks.other);
	CODE_BYTES(c, v->salt);
	CODE_COUNT(c, v->taken_count, v->taken);
	for (size_t i = 0; code_good(c) && i < v->taken_count; i++)
		offers_taken_code(c, &v->taken[i]);
	CODE_COUNT(c, v->stores.count, v->stores.list);
	for (size_t i = 0; code_good(c) && i < v->stores.count; i++)
		offers_store_code(c, &v->stores.list[i]);
	CODE_COUNT(c, v->volume_count, v->volumes);
	for (size_t i = 0; code_good(c) && i < v->volume_count; i++)
		offers_volume_code(c, &v->volumes[i]);
}

/* Too large for a record of base/code.h. */
int offers_put(struct wbuf *w, const struct offers *o)
{
	_cleanup_free_ struct offers *copy = malloc(sizeof(*copy));
	struct coder c = {.w = w};

	if (!copy)
		return -ENOMEM;
	*copy = *o;
	offers_code(&c, copy);
	return wbuf_error(w);
}

int offers_get(struct rbuf *r, struct offers *ret)
{
	_cleanup_free_ struct offers *o = calloc(1, sizeof(*o));
	struct rbuf first = *r;
	struct coder c = {.r = r};
	uint8_t version = rbuf_u8(&first);

	if (!o)
		return -ENOMEM;
	if (rbuf_error(&first) == 0 && version != OFFERS_VERSION)
		return -EPROTONOSUPPORT;
	offers_code(&c, o);
	if (rbuf_error(r) < 0)
		return -EBADMSG;
	*ret = *o;
	return 0;
}

/* -- looking -- */

static uint64_t memory_available(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	return kib * 1024;
}

static void offers_mark(const uint8_t salt[OFFERS_SALT_LEN], const void *data, size_t len,
			uint8_t ret[OFFERS_MARK_LEN])
{
	uint8_t hash[crypto_generichash_BYTES_MIN];

	crypto_generichash(hash, sizeof(hash), data, len, salt, OFFERS_SALT_LEN);
	memcpy(ret, hash, OFFERS_MARK_LEN);
}

static bool is_known(const struct policyd_vm *known, size_t n, const uint8_t uuid[UUID_LEN])
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(known[i].uuid, uuid, UUID_LEN) == 0)
			return true;
	return false;
}

/* A definition alone makes room for its VM when that comes back; a process does not. */
static bool vm_stays(struct virt *v, const struct mover_vm *vm, const struct policyd_vm *known,
		     size_t n)
{
	struct virt_copy copy;

	if (!is_known(known, n, vm->uuid))
		return true;
	if (vm->state != MOVER_VM_OTHER)
		return vm->state != MOVER_VM_OFF;
	virt_copy_get(v, vm->uuid, &copy);
	return copy.state != COPY_GONE;
}

static int say_silent(struct kerr *err)
{
	return kerr_set(err, EAGAIN, KCODE_NOT_READY,
			"libvirt at the destination does not answer.");
}

static int look_taken(struct virt *v, const struct policyd_vm *known, size_t known_count,
		      struct offers *ret)
{
	_cleanup_free_ struct mover_vm *vms = NULL;
	struct kerr ignored = {0};
	size_t n = 0;

	if (virt_list(v, &vms, &n, &ignored) < 0)
		return say_silent(&ret->why);
	if (n > OFFERS_TAKEN_MAX)
		log_warning("offers", "Only %d of %zu VMs are told.", OFFERS_TAKEN_MAX, n);
	randombytes_buf(ret->salt, sizeof(ret->salt));
	for (size_t i = 0; i < n && i < OFFERS_TAKEN_MAX; i++) {
		struct offers_taken *t = &ret->taken[ret->taken_count++];

		offers_mark(ret->salt, vms[i].name, strlen(vms[i].name), t->name);
		offers_mark(ret->salt, vms[i].uuid, UUID_LEN, t->uuid);
		t->stays = vm_stays(v, &vms[i], known, known_count);
	}
	return 0;
}

static void look_place(struct virt *v, const struct config *config, struct offers *ret)
{
	_cleanup_place_ struct disk_place place = {.fd = -EBADF};

	if (disk_place_open(v, config, &place, &ret->no_place) == 0)
		disk_place_room(&place, &ret->room, &ret->no_place);
}

static void mark_volume(const uint8_t salt[OFFERS_SALT_LEN], const char *store, const char *volume,
			uint8_t ret[OFFERS_MARK_LEN])
{
	char text[DOMAIN_STORE_MAX + DOMAIN_VOLUME_MAX + 2];

	snprintf(text, sizeof(text), "%s/%s", store, volume);
	offers_mark(salt, text, strlen(text), ret);
}

static void look_stores(struct virt *v, const struct config *config, struct offers *ret)
{
	_cleanup_free_ struct stores_volume *list = calloc(OFFERS_VOLUMES_MAX, sizeof(*list));

	stores_look(v, config->shared_pools, &ret->stores);
	if (!list)
		return;
	ret->volume_count = stores_volumes(v, &ret->stores, list, OFFERS_VOLUMES_MAX);
	for (size_t i = 0; i < ret->volume_count; i++) {
		struct offers_volume *o = &ret->volumes[i];

		mark_volume(ret->salt, list[i].store->store, list[i].name, o->name);
		o->users = (uint8_t)MIN_OF(list[i].users, 2u);
		if (o->users)
			offers_mark(ret->salt, list[i].user, UUID_LEN, o->user);
	}
}

void offers_look(struct virt *v, const struct config *config, const struct policyd_vm *known,
		 size_t known_count, struct offers *ret)
{
	*ret = (struct offers){0};
	if (look_taken(v, known, known_count, ret) < 0)
		return;
	ret->memory_bytes = memory_available();
	host_look(v, &ret->host);
	network_look(v, config->networks, config->other_network, &ret->networks);
	look_place(v, config, ret);
	look_stores(v, config, ret);
}

/* -- judging -- */

static int say_uuid(struct kerr *err)
{
	return kerr_set(err, EEXIST, KCODE_IDENTITY,
			"libvirt at the destination has a VM with this UUID already.");
}

/* H21: a VM is its UUID and its custody; another one of that name must not be mixed up with it. */
static int say_name(const char *name, struct kerr *err)
{
	return kerr_set(err, EEXIST, KCODE_IDENTITY,
			"The destination has another VM called \"%s\" already.", name);
}

static int judge_taken(const struct offers *o, const struct offers_need *need, struct kerr *err)
{
	uint8_t name[OFFERS_MARK_LEN], uuid[OFFERS_MARK_LEN];
	bool named = false;

	offers_mark(o->salt, need->name, strlen(need->name), name);
	offers_mark(o->salt, need->uuid, UUID_LEN, uuid);
	for (size_t i = 0; i < o->taken_count; i++) {
		const struct offers_taken *t = &o->taken[i];
		bool self = memcmp(t->uuid, uuid, sizeof(uuid)) == 0;

		if (self && t->stays)
			return say_uuid(err);
		named = named || (!self && memcmp(t->name, name, sizeof(name)) == 0);
	}
	return named ? say_name(need->name, err) : 0;
}

static int judge_memory(const struct offers *o, const struct offers_need *need, struct kerr *err)
{
	uint64_t avail = o->memory_bytes, wanted = need->offer->memory_bytes;

	if (avail && wanted > avail)
		return kerr_set(err, ENOSPC, KCODE_ROOM,
				"The VM needs %llu MiB of memory, but the destination has %llu "
				"MiB available.",
				(unsigned long long)(wanted >> 20),
				(unsigned long long)(avail >> 20));
	return 0;
}

static int refuse_as(const struct kerr *why, int num, struct kerr *err)
{
	return why->code == KCODE_OK ? 0 : kerr_set(err, num, why->code, "%s", why->text);
}

static const struct domain_store *find_store(const struct offers *o, const struct frame_disk *d)
{
	for (size_t i = 0; i < o->stores.count; i++)
		if (o->stores.list[i].store[0] &&
		    strcmp(o->stores.list[i].store, d->shared.store) == 0)
			return &o->stores.list[i];
	return NULL;
}

/* A pool that is named and not there may be the one. */
static int say_no_store(const struct offers *o, const struct frame_disk *d, struct kerr *err)
{
	for (size_t i = 0; i < o->stores.count; i++)
		if (!o->stores.list[i].store[0] && o->stores.list[i].missing.code != KCODE_OK)
			return refuse_as(&o->stores.list[i].missing, ENXIO, err);
	return kerr_set(
		err, EPERM, KCODE_DOMAIN,
		"The disk \"%s\" is on shared storage, %.200s, and the destination has opened "
		"no storage pool for that to VMs that arrive. Its owner can define one like "
		"the source's, and add its name to \"shared_pools\" in the section [libvirt] "
		"of kith.conf.",
		d->target, d->shared.store);
}

static int say_no_volume(const struct frame_disk *d, const struct domain_store *s, struct kerr *err)
{
	const char *pool = s ? s->pool : "POOL";

	return kerr_set(err, ENOENT, KCODE_NOT_READY,
			"The disk \"%s\" is \"%s\" on shared storage, and the destination does not "
			"see it there. Do there `virsh pool-refresh %s`; if it is still missing in "
			"`virsh vol-list %s`, the storage does not show it to that device.",
			d->target, d->shared.volume, pool, pool);
}

static int judge_volume(const struct offers *o, const struct offers_need *need,
			const struct frame_disk *d, const struct domain_store *s, struct kerr *err)
{
	uint8_t name[OFFERS_MARK_LEN], user[OFFERS_MARK_LEN];
	const struct offers_volume *v = NULL;

	mark_volume(o->salt, d->shared.store, d->shared.volume, name);
	offers_mark(o->salt, need->uuid, UUID_LEN, user);
	for (size_t i = 0; i < o->volume_count; i++)
		if (memcmp(o->volumes[i].name, name, sizeof(name)) == 0)
			v = &o->volumes[i];
	if (!v)
		return say_no_volume(d, s, err);
	if (v->users > 1 || (v->users && memcmp(v->user, user, sizeof(user)) != 0))
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"The disk \"%s\" on shared storage is a disk of another VM at the "
				"destination, too; two VMs would write to it.",
				d->target);
	return 0;
}

/* The owner's word opens a pool, not what his own VMs have in it. */
static int judge_shared(const struct offers *o, const struct offers_need *need, struct kerr *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < need->offer->count; i++) {
		const struct frame_disk *d = &need->offer->disks[i];
		const struct domain_store *s;

		if (!frame_disk_is_shared(d))
			continue;
		s = find_store(o, d);
		r = s ? refuse_as(&s->missing, ENXIO, err) : say_no_store(o, d, err);
		if (r == 0)
			r = judge_volume(o, need, d, s, err);
	}
	return r;
}

int offers_judge(const struct offers *o, const struct offers_need *need, struct kerr *err)
{
	int r = refuse_as(&o->why, EAGAIN, err);

	if (r == 0)
		r = judge_taken(o, need, err);
	if (r == 0)
		r = judge_memory(o, need, err);
	if (r == 0)
		r = refuse_as(&o->no_place, EIO, err);
	if (r == 0)
		r = disk_check_room(&o->room, need->offer, err);
	return r == 0 ? judge_shared(o, need, err) : r;
}

int offers_place_shared(const struct offers *o, const struct frame_offer *offer,
			struct domain_disk_map *map, struct kerr *err)
{
	for (size_t i = 0; i < offer->count; i++) {
		const struct frame_disk *d = &offer->disks[i];

		if (!frame_disk_is_shared(d))
			continue;
		map->disks[i].path[0] = '\0';
		map->disks[i].store = find_store(o, d);
		memcpy(map->disks[i].volume, d->shared.volume, sizeof(d->shared.volume));
		if (!map->disks[i].store)
			return say_no_store(o, d, err);
	}
	return 0;
}

/* libvirt 9.0 tells the number of an iSCSI disk's last block, where QEMU counts them. */
#define SIZE_SLACK 4096u

static int check_size(struct virt *v, const struct offers *o, const struct frame_disk *d,
		      struct kerr *err)
{
	const struct domain_store *s = find_store(o, d);
	uint64_t here = 0;
	int r = s && storage_is_files(s->store)
			? stores_file_size(v, s, &d->shared, d->format, &here, err)
			: stores_size(v, &d->shared, &here, err);

	if (r == -ENOENT)
		return say_no_volume(d, s, err);
	if (r < 0 || (here <= d->capacity && d->capacity - here <= SIZE_SLACK))
		return r;
	return kerr_set(
		err, EBADF, KCODE_IDENTITY,
		"The disk \"%s\" is on shared storage, but the one of that name has %llu "
		"bytes at the destination, and not %llu: it is another one. Do the addresses "
		"in the storage pools lead to the same server?",
		d->target, (unsigned long long)here, (unsigned long long)d->capacity);
}

int offers_check_shared(struct virt *v, const struct offers *o, const struct frame_offer *offer,
			struct kerr *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < offer->count; i++)
		if (frame_disk_is_shared(&offer->disks[i]))
			r = check_size(v, o, &offer->disks[i], err);
	return r;
}

void offers_limits(const struct offers *o, const struct offers_need *need,
		   struct domain_limits *limits)
{
	limits->expect_name = need->name;
	memcpy(limits->expect_uuid, need->uuid, UUID_LEN);
	limits->max_memory_bytes = need->offer->memory_bytes;
	limits->max_vcpus = need->offer->vcpus;
	limits->host = &o->host;
	limits->origin = &need->offer->origin;
	limits->networks = &o->networks;
}

int offers_check_uuid(struct virt *v, const uint8_t uuid[UUID_LEN], bool was_here, struct kerr *err)
{
	struct virt_copy copy;

	virt_copy_get(v, uuid, &copy);
	if (copy.state == COPY_UNKNOWN)
		return say_silent(err);
	return copy.state != COPY_GONE || (copy.defined && !was_here) ? say_uuid(err) : 0;
}

int offers_check_name(struct virt *v, const char *name, struct kerr *err)
{
	int r = virt_find_name(v, name, err);

	return r > 0 ? say_name(name, err) : r;
}
