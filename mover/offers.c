/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting, coding and judging what a host offers. */
#include "mover/offers.h"

#include <sodium.h>
#include <string.h>

#include "base/log.h"
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

int offers_judge(const struct offers *o, const struct offers_need *need, struct kerr *err)
{
	int r = refuse_as(&o->why, EAGAIN, err);

	if (r == 0)
		r = judge_taken(o, need, err);
	if (r == 0)
		r = judge_memory(o, need, err);
	if (r == 0)
		r = refuse_as(&o->no_place, EIO, err);
	return r == 0 ? disk_check_room(&o->room, need->offer, err) : r;
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
