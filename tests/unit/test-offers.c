/* SPDX-License-Identifier: Apache-2.0 */
/* What a host offers to VMs that arrive: the record, hostile bytes in it, and how it is judged. */
#include <glib.h>
#include <glib/gstdio.h>
#include <sodium.h>
#include <string.h>

#include "mover/offers.h"
#include "mover/virt-internal.h"
#include "tests/unit/golden.h"

#define MIB ((uint64_t)1 << 20)
#define STORE "iscsi://nas:3260/iqn.2004-10.com.example:nas"

static const uint8_t VM[UUID_LEN] = {1, 2, 3}, OTHER[UUID_LEN] = {4, 5, 6};

static void mark(const struct offers *o, const void *data, size_t len, uint8_t *ret)
{
	uint8_t hash[16];

	crypto_generichash(hash, sizeof(hash), data, len, o->salt, sizeof(o->salt));
	memcpy(ret, hash, OFFERS_MARK_LEN);
}

static void take(struct offers *o, const char *name, const uint8_t uuid[UUID_LEN], bool stays)
{
	struct offers_taken *t = &o->taken[o->taken_count++];

	mark(o, name, strlen(name), t->name);
	mark(o, uuid, UUID_LEN, t->uuid);
	t->stays = stays;
}

static void add_volume(struct offers *o, const char *name, const uint8_t *user)
{
	struct offers_volume *v = &o->volumes[o->volume_count++];

	mark(o, name, strlen(name), v->name);
	v->users = user != NULL;
	if (user)
		mark(o, user, UUID_LEN, v->user);
}

/* A host with 1 GiB of memory and 2 of 4 GiB of room, on whose network VMs may be. */
static struct offers *good(void)
{
	struct offers *o = g_new0(struct offers, 1);

	o->memory_bytes = 1024 * MIB;
	o->host = (struct domain_host){
		.kvm = 1,
		.spice = 1,
		.machine = 702,
		.cpu = {{"EPYC", "AMD", 7002, "avx2 fpu"}, {"Nehalem", "Intel", 0, "fpu sse4.2"}},
		.firmware_count = 1,
		.firmware = {{{1, 0, 1 << 20, 1 << 17}, 0, 1}}};
	o->room = (struct disk_room){
		.pool = "fast", .free_bytes = 2048 * MIB, .total_bytes = 4096 * MIB};
	o->networks.count = 2;
	g_strlcpy(o->networks.list[0].name, "default", NAME_MAX_LEN);
	g_strlcpy(o->networks.list[1].name, "lab", NAME_MAX_LEN);
	kerr_set(&o->networks.list[1].missing, ENETDOWN, KCODE_NOT_READY, "Start it.");
	g_strlcpy(o->networks.other, "default", NAME_MAX_LEN);
	memset(o->salt, 7, sizeof(o->salt));
	take(o, "other", OTHER, true);
	o->stores.count = 1;
	g_strlcpy(o->stores.list[0].pool, "store", NAME_MAX_LEN);
	g_strlcpy(o->stores.list[0].store, STORE, DOMAIN_STORE_MAX);
	add_volume(o, STORE "/1", NULL);
	return o;
}

static struct frame_offer offer(void)
{
	return (struct frame_offer){.memory_bytes = 512 * MIB,
				    .vcpus = 2,
				    .count = 1,
				    .disks = {{"vda", DISK_FORMAT_RAW, 1024 * MIB, 100 * MIB}}};
}

static int judge(const struct offers *o, const struct frame_offer *f, struct kerr *err)
{
	struct offers_need need = {.name = "work", .offer = f};

	memcpy(need.uuid, VM, UUID_LEN);
	kerr_clear(err);
	return offers_judge(o, &need, err);
}

/* Refused with this code and these words. */
static void refused(const struct offers *o, const struct frame_offer *f, enum kcode code,
		    const char *words)
{
	struct kerr err = {0};

	g_assert_cmpint(judge(o, f, &err), <, 0);
	g_assert_cmpint(err.code, ==, code);
	g_assert_nonnull(strstr(err.text, words));
}

static void fits(const struct offers *o, const struct frame_offer *f)
{
	struct kerr err = {0};

	g_assert_cmpint(judge(o, f, &err), ==, 0);
	g_assert_cmpint(err.code, ==, KCODE_OK);
}

/* -- the record -- */

static void test_golden(void)
{
	g_autofree struct offers *o = good(), *again = g_new0(struct offers, 1);
	static uint8_t buf[OFFERS_MAX];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	/* Where a host has its files is told to nobody. */
	g_strlcpy(o->host.firmware[0].code, "/usr/share/code.fd", DOMAIN_FIRMWARE_PATH_MAX);
	g_assert_cmpint(offers_put(&w, o), ==, 0);
	memset(o->host.firmware[0].code, 0, sizeof(o->host.firmware[0].code));
	golden_same("mover.txt", "offers", w.data, w.len);
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(offers_get(&r, again), ==, 0);
	g_assert_cmpint(rbuf_end(&r), ==, 0);
	g_assert_cmpmem(again, sizeof(*again), o, sizeof(*o));
}

/* The fullest record fits where it is sent. */
static void test_largest(void)
{
	g_autofree struct offers *o = good(), *again = g_new0(struct offers, 1);
	static uint8_t buf[OFFERS_MAX];
	char text[KERR_TEXT_MAX], name[NAME_MAX_LEN + 1];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	kerr_set(&o->why, EIO, KCODE_FAILED, "%s", text);
	kerr_set(&o->no_place, EIO, KCODE_FAILED, "%s", text);
	memcpy(o->room.pool, name, sizeof(name));
	o->networks.count = DOMAIN_NETWORKS_MAX;
	for (size_t i = 0; i < DOMAIN_NETWORKS_MAX; i++) {
		memcpy(o->networks.list[i].name, name, sizeof(name));
		kerr_clear(&o->networks.list[i].missing);
		kerr_set(&o->networks.list[i].missing, EIO, KCODE_FAILED, "%s", text);
	}
	o->host.firmware_count = DOMAIN_FIRMWARE_MAX;
	for (size_t i = 0; i < 2; i++) {
		struct cpu *cpu = &o->host.cpu[i];

		memset(cpu->model, 'm', CPU_MODEL_MAX);
		memset(cpu->vendor, 'v', CPU_VENDOR_MAX);
		for (size_t k = 0; k + 9 < CPU_FEATURES_MAX; k += 8)
			g_snprintf(cpu->features + k, 10, "f%06zu ", k);
		g_strchomp(cpu->features);
	}
	o->taken_count = OFFERS_TAKEN_MAX;
	o->stores.count = STORES_MAX;
	for (size_t i = 0; i < STORES_MAX; i++) {
		memcpy(o->stores.list[i].pool, name, sizeof(name));
		memset(o->stores.list[i].store, 's', DOMAIN_STORE_MAX);
		kerr_set(&o->stores.list[i].missing, EIO, KCODE_FAILED, "%s", text);
	}
	o->volume_count = OFFERS_VOLUMES_MAX;
	g_assert_cmpint(offers_put(&w, o), ==, 0);
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(offers_get(&r, again), ==, 0);
	g_assert_cmpint(rbuf_end(&r), ==, 0);
	/* One more of either is not written. */
	w = wbuf_init(buf, sizeof(buf));
	o->taken_count++;
	g_assert_cmpint(offers_put(&w, o), <, 0);
	o->taken_count--;
	o->networks.count++;
	w = wbuf_init(buf, sizeof(buf));
	g_assert_cmpint(offers_put(&w, o), <, 0);
}

/* N1: cut anywhere, and with each byte replaced: refused, or read as something that is clean. */
static void test_hostile_bytes(void)
{
	g_autofree struct offers *o = good(), *out = g_new0(struct offers, 1);
	uint8_t buf[1024], bad[1024];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	g_assert_cmpint(offers_put(&w, o), ==, 0);
	for (size_t len = 0; len < w.len; len++) {
		out->host.kvm = 0xaa;
		r = rbuf_init(buf, len);
		g_assert_cmpint(offers_get(&r, out), ==, -EBADMSG);
		g_assert_cmpint(out->host.kvm, ==, 0xaa);
	}
	for (size_t i = 0; i < w.len; i++) {
		static const uint8_t bytes[] = {0x00, 0x01, 0x1b, 0x7f, 0x80, 0xff};

		for (size_t k = 0; k < G_N_ELEMENTS(bytes); k++) {
			memcpy(bad, buf, w.len);
			bad[i] = bytes[k];
			r = rbuf_init(bad, w.len);
			if (offers_get(&r, out) < 0)
				continue;
			g_assert_cmpint(out->host.kvm, <=, 1);
			g_assert_cmpuint(out->host.firmware_count, <=, DOMAIN_FIRMWARE_MAX);
			g_assert_cmpuint(out->networks.count, <=, DOMAIN_NETWORKS_MAX);
			g_assert_cmpuint(out->taken_count, <=, OFFERS_TAKEN_MAX);
			g_assert_true(text_is_clean(out->room.pool) &&
				      text_is_clean(out->networks.list[0].name) &&
				      text_is_clean(out->networks.list[1].missing.text));
		}
	}
}

static void test_version(void)
{
	g_autofree struct offers *o = good(), *out = g_new0(struct offers, 1);
	uint8_t buf[1024];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct rbuf r;

	g_assert_cmpint(offers_put(&w, o), ==, 0);
	buf[0] = OFFERS_VERSION + 1;
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(offers_get(&r, out), ==, -EPROTONOSUPPORT);
	buf[0] = OFFERS_VERSION;
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(offers_get(&r, out), ==, 0);
}

/* N9, N1: rules that the writer keeps as the reader does. */
static void test_rules(void)
{
	g_autofree struct offers *o = good();
	uint8_t buf[1024];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	g_strlcpy(o->networks.list[0].name, "a\x1b[31mb", NAME_MAX_LEN);
	g_assert_cmpint(offers_put(&w, o), <, 0);
	o->networks.list[0].name[0] = '\0';
	w = wbuf_init(buf, sizeof(buf));
	g_assert_cmpint(offers_put(&w, o), <, 0);
	o->networks.list[0].name[0] = 'a';
	o->networks.list[0].name[1] = '\0';
	w = wbuf_init(buf, sizeof(buf));
	g_assert_cmpint(offers_put(&w, o), ==, 0);
	o->room.free_bytes = o->room.total_bytes + 1;
	w = wbuf_init(buf, sizeof(buf));
	g_assert_cmpint(offers_put(&w, o), <, 0);
}

/* -- judging: each reason, and its twin -- */

static void test_memory(void)
{
	g_autofree struct offers *o = good();
	struct frame_offer f = offer();

	fits(o, &f);
	f.memory_bytes = 1024 * MIB;
	fits(o, &f);
	f.memory_bytes++;
	refused(o, &f, KCODE_ROOM, "needs 1024 MiB of memory, but the destination has 1024 MiB");
	o->memory_bytes = 0; /* not known */
	fits(o, &f);
}

static void test_room(void)
{
	g_autofree struct offers *o = good();
	struct frame_offer f = offer();

	f.disks[0].used = f.disks[0].capacity = 2048 * MIB;
	refused(o, &f, KCODE_ROOM, "has 2048 MiB free in its storage pool \"fast\"");
	f.disks[0].used = 2048 * MIB - DISK_MARGIN_BYTES;
	fits(o, &f);
	f.disks[0].capacity = 8192 * MIB;
	refused(o, &f, KCODE_ROOM, "larger than the destination's whole file system");
	o->room.pool[0] = '\0';
	refused(o, &f, KCODE_ROOM, "where its folder for images is");
	f.count = 0;
	fits(o, &f);
}

static void test_name(void)
{
	g_autofree struct offers *o = good();
	struct frame_offer f = offer();

	take(o, "work", OTHER, true);
	refused(o, &f, KCODE_IDENTITY, "another VM called \"work\"");
	o->taken_count--;
	take(o, "Work", OTHER, true);
	fits(o, &f);
	/* Switched off, and not known to policyd there: it stays, too. */
	o->taken_count--;
	take(o, "work", OTHER, false);
	refused(o, &f, KCODE_IDENTITY, "another VM called \"work\"");
}

/* F7: its own definition, left when it went away, makes room; a process of it does not. */
static void test_uuid(void)
{
	g_autofree struct offers *o = good();
	struct frame_offer f = offer();

	take(o, "work", VM, false);
	fits(o, &f);
	o->taken[o->taken_count - 1].stays = 1;
	refused(o, &f, KCODE_IDENTITY, "a VM with this UUID");
	o->taken_count--;
	take(o, "renamed", VM, true);
	refused(o, &f, KCODE_IDENTITY, "a VM with this UUID");
}

static void test_nothing_arrives(void)
{
	g_autofree struct offers *o = good();
	struct frame_offer f = offer();

	kerr_set(&o->no_place, EPERM, KCODE_FAILED, "Everybody may write there.");
	refused(o, &f, KCODE_FAILED, "Everybody may write there.");
	kerr_set(&o->why, EAGAIN, KCODE_NOT_READY, "libvirt does not answer.");
	refused(o, &f, KCODE_NOT_READY, "libvirt does not answer.");
	kerr_clear(&o->why);
	kerr_clear(&o->no_place);
	fits(o, &f);
}

/* The order is that of a hand-off: what it would meet first is told. */
static void test_order(void)
{
	g_autofree struct offers *o = good();
	struct frame_offer f = offer();

	kerr_set(&o->why, EAGAIN, KCODE_NOT_READY, "first");
	take(o, "work", OTHER, true);
	f.memory_bytes = 4096 * MIB;
	kerr_set(&o->no_place, EPERM, KCODE_FAILED, "fourth");
	refused(o, &f, KCODE_NOT_READY, "first");
	kerr_clear(&o->why);
	refused(o, &f, KCODE_IDENTITY, "work");
	o->taken_count--;
	refused(o, &f, KCODE_ROOM, "memory");
	f.memory_bytes = MIB;
	refused(o, &f, KCODE_FAILED, "fourth");
	kerr_clear(&o->no_place);
	fits(o, &f);
}

/* H1: a hijacked device's numbers lead to an answer, whatever they are. */
static void test_absurd(void)
{
	g_autofree struct offers *o = good();
	struct frame_offer f = offer();
	struct kerr err = {0};

	f.count = DOMAIN_DISKS_MAX;
	for (size_t i = 0; i < f.count; i++)
		f.disks[i] = (struct frame_disk){.target = "vda",
						 .capacity = (UINT64_C(1) << 62) - 512,
						 .used = (UINT64_C(1) << 62) - 512};
	o->room.free_bytes = o->room.total_bytes = UINT64_MAX;
	g_assert_cmpint(judge(o, &f, &err), ==, -ENOSPC);
	o->room.free_bytes = o->room.total_bytes = 0;
	refused(o, &f, KCODE_ROOM, "whole file system");
	o->room = (struct disk_room){.free_bytes = 1, .total_bytes = UINT64_MAX};
	refused(o, &f, KCODE_ROOM, "free in its folder");
	o->memory_bytes = UINT64_MAX;
	o->taken_count = OFFERS_TAKEN_MAX;
	f = offer();
	o->room.free_bytes = UINT64_MAX;
	fits(o, &f);
}

/* The list tells nobody a name: another salt, another list. */
static void test_marks(void)
{
	g_autofree struct offers *o = good();
	struct frame_offer f = offer();

	take(o, "work", OTHER, true);
	refused(o, &f, KCODE_IDENTITY, "work");
	o->salt[0] ^= 1;
	fits(o, &f);
}

static void test_limits(void)
{
	g_autofree struct offers *o = good();
	struct frame_offer f = offer();
	struct offers_need need = {.name = "work", .uuid = {1, 2, 3}, .offer = &f};
	struct domain_limits l = {0};

	offers_limits(o, &need, &l);
	g_assert_true(l.networks == &o->networks && l.host == &o->host);
	g_assert_true(l.origin == &f.origin);
	g_assert_true(l.max_memory_bytes == 512 * MIB && l.max_vcpus == 2);
	g_assert_cmpstr(l.expect_name, ==, "work");
	g_assert_cmpmem(l.expect_uuid, UUID_LEN, VM, UUID_LEN);
}

/* -- looking, on libvirt's own test driver: it runs a VM "test" and has the network "default" -- */

static void silent(void *ctx, virErrorPtr e)
{
	(void)ctx;
	(void)e;
}

static void look(struct virt *v, const char *images, const struct policyd_vm *known,
		 struct offers *ret)
{
	static struct config config;

	g_strlcpy(config.images, images, sizeof(config.images));
	g_strlcpy(config.networks, "default,other", sizeof(config.networks));
	g_strlcpy(config.pool, "none", sizeof(config.pool));
	offers_look(v, &config, known, known ? 1 : 0, ret);
}

static int judge_test(const struct offers *o, const uint8_t uuid[UUID_LEN])
{
	struct frame_offer f = {.memory_bytes = MIB};
	struct offers_need need = {.name = "test", .offer = &f};
	struct kerr err = {0};

	memcpy(need.uuid, uuid, UUID_LEN);
	return offers_judge(o, &need, &err);
}

static void test_look(void)
{
	g_autofree char *images = g_dir_make_tmp("kith-offers-XXXXXX", NULL);
	g_autofree struct offers *o = g_new0(struct offers, 1);
	struct virt *v = virt_new();
	struct policyd_vm known = {0};
	virDomainPtr test;

	virSetErrorFunc(NULL, silent);
	v->conn = virConnectOpen("test:///default");
	g_assert_nonnull(v->conn);
	look(v, images, NULL, o);
	g_assert_cmpint(o->why.code, ==, KCODE_OK);
	g_assert_cmpint(o->no_place.code, ==, KCODE_OK);
	g_assert_true(o->memory_bytes > 0 && o->room.total_bytes > 0);
	g_assert_cmpint(o->host.kvm, ==, 0); /* nor has it anything of QEMU */
	g_assert_cmpuint(o->networks.count, ==, 2);
	g_assert_cmpint(o->networks.list[0].missing.code, ==, KCODE_OK);
	g_assert_cmpint(o->networks.list[1].missing.code, ==, KCODE_NOT_READY);
	g_assert_cmpuint(o->taken_count, ==, 1);
	g_assert_cmpint(judge_test(o, OTHER), ==, -EEXIST);
	/* F7: it runs; then it is off; then it is off and policyd knows it. */
	test = virDomainLookupByName(v->conn, "test");
	g_assert_cmpint(virDomainGetUUID(test, known.uuid), ==, 0);
	look(v, images, &known, o);
	g_assert_cmpint(judge_test(o, known.uuid), ==, -EEXIST);
	g_assert_cmpint(virDomainDestroy(test), ==, 0);
	look(v, images, NULL, o);
	g_assert_cmpint(judge_test(o, known.uuid), ==, -EEXIST);
	look(v, images, &known, o);
	g_assert_cmpint(judge_test(o, known.uuid), ==, 0);
	g_assert_cmpint(judge_test(o, OTHER), ==, -EEXIST);
	virDomainFree(test);
	/* No place for images is told as that. */
	look(v, "/dev/null/images", &known, o);
	g_assert_cmpint(o->no_place.code, ==, KCODE_FAILED);
	g_assert_cmpint(judge_test(o, known.uuid), <, 0);
	virt_free(v);
	g_rmdir(images);
}

/* -- shared storage -- */

/* Its only disk is LUN `lun` of a store. */
static struct frame_offer on_store(const char *store, const char *lun)
{
	struct frame_offer f = offer();

	g_strlcpy(f.disks[0].shared.store, store, sizeof(f.disks[0].shared.store));
	g_strlcpy(f.disks[0].shared.volume, lun, sizeof(f.disks[0].shared.volume));
	return f;
}

/* Judged and placed: both or neither. */
static void test_shared(void)
{
	g_autofree struct offers *o = good();
	g_autofree struct domain_disk_map *map = g_new0(struct domain_disk_map, 1);
	struct frame_offer f = on_store(STORE, "1");
	struct kerr err = {0};

	/* Nothing is written, so there needs to be no room. */
	o->room.free_bytes = o->room.total_bytes = 0;
	fits(o, &f);
	g_assert_cmpint(offers_place_shared(o, &f, map, &err), ==, 0);
	g_assert_true(map->disks[0].store == &o->stores.list[0]);
	g_assert_cmpstr(map->disks[0].volume, ==, "1");
	add_volume(o, STORE "/2", OTHER);
	add_volume(o, STORE "/3", VM); /* as it was defined here once */
	f = on_store(STORE, "2");
	refused(o, &f, KCODE_BUSY, "two VMs would write");
	f = on_store(STORE, "3");
	fits(o, &f);
	o->volumes[o->volume_count - 1].users = 2; /* and another one */
	refused(o, &f, KCODE_BUSY, "two VMs would write");
	f = on_store(STORE, "4");
	refused(o, &f, KCODE_NOT_READY, "virsh pool-refresh store");
}

/* H12: no owner here opened it. */
static void test_shared_elsewhere(void)
{
	static const char *const other[] = {
		"iscsi://nas:3261/iqn.2004-10.com.example:nas",
		"iscsi://nas2:3260/iqn.2004-10.com.example:nas",
		"iscsi://nas:3260/iqn.2004-10.com.example:nas2",
		"iscsi://nas:3260/iqn.2004-10.com.example:na",
		"iscsi://nas:3260/iqn.2004-10.com.Example:nas",
		"rbd://nas:3260/nas",
	};
	g_autofree struct offers *o = good();
	struct frame_offer f;
	struct kerr err = {0};

	for (size_t i = 0; i < G_N_ELEMENTS(other); i++) {
		g_autofree struct domain_disk_map *map = g_new0(struct domain_disk_map, 1);

		f = on_store(other[i], "1");
		refused(o, &f, KCODE_DOMAIN, "shared_pools");
		g_assert_cmpint(offers_place_shared(o, &f, map, &err), <, 0);
		g_assert_null(map->disks[0].store);
	}
	f = on_store(STORE, "1");
	fits(o, &f);
	kerr_set(&o->stores.list[0].missing, ENXIO, KCODE_NOT_READY, "Start the pool.");
	refused(o, &f, KCODE_NOT_READY, "Start the pool.");
	/* Of a pool that is not there nobody knows what it is. */
	o->stores.list[0].store[0] = '\0';
	refused(o, &f, KCODE_NOT_READY, "Start the pool.");
	o->stores.count = 0;
	refused(o, &f, KCODE_DOMAIN, "shared_pools");
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0)
		return 1;
	g_test_add_func("/offers/what is written", test_golden);
	g_test_add_func("/offers/the largest record", test_largest);
	g_test_add_func("/offers/N1 hostile bytes", test_hostile_bytes);
	g_test_add_func("/offers/another version", test_version);
	g_test_add_func("/offers/N9 rules of the record", test_rules);
	g_test_add_func("/offers/memory", test_memory);
	g_test_add_func("/offers/room", test_room);
	g_test_add_func("/offers/H21 name", test_name);
	g_test_add_func("/offers/F7 UUID", test_uuid);
	g_test_add_func("/offers/nothing arrives", test_nothing_arrives);
	g_test_add_func("/offers/the first reason", test_order);
	g_test_add_func("/offers/absurd numbers", test_absurd);
	g_test_add_func("/offers/names are not told", test_marks);
	g_test_add_func("/offers/limits of the filter", test_limits);
	g_test_add_func("/offers/looking", test_look);
	g_test_add_func("/offers/shared storage", test_shared);
	g_test_add_func("/offers/H12 storage that nobody opened", test_shared_elsewhere);
	return g_test_run();
}
