/* SPDX-License-Identifier: Apache-2.0 */
/* A plan: what the other host offers, held against a real VM's configuration. */
#include <sodium.h>

#include "mover-fixtures.h"
#include "mover/departure.h"
#include "mover/plan.h"

#define MIB ((uint64_t)1 << 20)

/* As the source reads it. */
static void make_vm(const char *xml, struct plan_vm *ret)
{
	struct kerr err = {0};

	*ret = (struct plan_vm){.xml = xml};
	g_assert_cmpint(domain_disks(xml, strlen(xml), &ret->facts, &err), ==, 0);
	ret->offer = (struct frame_offer){.memory_bytes = ret->facts.memory_bytes,
					  .vcpus = ret->facts.vcpus,
					  .origin = fix_origin,
					  .count = ret->facts.disk_count};
	for (size_t i = 0; i < ret->offer.count; i++) {
		struct frame_disk *d = &ret->offer.disks[i];

		g_strlcpy(d->target, ret->facts.disks[i].target, sizeof(d->target));
		d->format = ret->facts.disks[i].format;
		d->capacity = 8 * MIB;
		d->used = 3 * MIB;
	}
}

static struct offers *good(void)
{
	struct offers *o = g_new0(struct offers, 1);

	o->memory_bytes = 1024 * MIB;
	o->host = fix_host;
	o->host.kvm = 1;
	o->room = (struct disk_room){.free_bytes = 1024 * MIB, .total_bytes = 1024 * MIB};
	o->networks.count = 1;
	g_strlcpy(o->networks.list[0].name, "kithnet", NAME_MAX_LEN);
	return o;
}

static void refused(const struct plan_vm *vm, const struct offers *o, enum kcode code,
		    const char *words)
{
	struct kerr err = {0};
	struct mover_plan plan = {0};

	g_assert_cmpint(plan_judge(vm, o, &plan, &err), <, 0);
	g_assert_cmpint(err.code, ==, code);
	g_assert_nonnull(strstr(err.text, words));
}

static void fits(const struct plan_vm *vm, const struct offers *o)
{
	struct kerr err = {0};
	struct mover_plan plan = {.rewired = 9};

	g_assert_cmpint(plan_judge(vm, o, &plan, &err), ==, 0);
	g_assert_cmpint(err.code, ==, KCODE_OK);
	g_assert_cmpuint(plan.rewired, ==, o->networks.other[0] != '\0');
}

static void test_fits(void)
{
	g_autofree struct plan_vm *vm = g_new0(struct plan_vm, 1);
	g_autofree struct offers *o = good();

	make_vm(fix_domain, vm);
	fits(vm, o);
}

static void test_networks(void)
{
	g_autofree struct plan_vm *vm = g_new0(struct plan_vm, 1);
	g_autofree struct offers *o = good();

	make_vm(fix_domain, vm);
	kerr_set(&o->networks.list[0].missing, ENETDOWN, KCODE_NOT_READY, "Start it there.");
	refused(vm, o, KCODE_NOT_READY, "Start it there.");
	kerr_clear(&o->networks.list[0].missing);
	fits(vm, o);
	o->networks.list[0].name[0] = 'K';
	refused(vm, o, KCODE_DOMAIN, "network \"kithnet\"");
	g_strlcpy(o->networks.other, "Kithnet", NAME_MAX_LEN); /* which is for all others */
	fits(vm, o);
	o->networks.other[0] = '\0';
	o->networks.list[0].name[0] = 'k';
	fits(vm, o);
}

static void test_kvm(void)
{
	g_autofree char *xml = fix_replace(fix_domain, "<domain type='qemu'", "<domain type='kvm'");
	g_autofree struct plan_vm *vm = g_new0(struct plan_vm, 1);
	g_autofree struct offers *o = good();

	make_vm(xml, vm);
	fits(vm, o);
	o->host.kvm = 0;
	refused(vm, o, KCODE_DOMAIN, "KVM");
	make_vm(fix_domain, vm);
	fits(vm, o);
}

/* What else a host may lack. UEFI is found by what it does: no path comes from there. */
static void test_host(void)
{
	static const struct {
		const char *find, *replace, *words;
	} rows[] = {
		{"<os>", "<os firmware='efi'>", "apt install ovmf"},
		{"mode='custom' match='exact' check='full'", "mode='host-passthrough'",
		 "host-passthrough"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *xml = fix_replace(fix_domain, rows[i].find, rows[i].replace);
		g_autofree struct plan_vm *vm = g_new0(struct plan_vm, 1);
		g_autofree struct offers *o = good();

		make_vm(xml, vm);
		for (size_t k = 0; k < o->host.firmware_count; k++)
			o->host.firmware[k].code[0] = o->host.firmware[k].vars[0] = '\0';
		fits(vm, o);
		o->host = (struct domain_host){.machine = 702};
		refused(vm, o, KCODE_DOMAIN, rows[i].words);
	}
}

/* What the worker looks at first is told first. */
static void test_order(void)
{
	g_autofree struct plan_vm *vm = g_new0(struct plan_vm, 1);
	g_autofree struct offers *o = good();

	make_vm(fix_domain, vm);
	o->networks.count = 0;
	o->memory_bytes = MIB;
	refused(vm, o, KCODE_ROOM, "of memory");
	o->memory_bytes = 0;
	refused(vm, o, KCODE_DOMAIN, "network");
}

static void test_count(void)
{
	g_autofree struct plan_vm *vm = g_new0(struct plan_vm, 1);
	struct mover_plan p = {0};

	make_vm(fix_domain, vm);
	plan_count(vm, COPY_RUNS, &p);
	g_assert_cmpint(p.rung, ==, MOVER_RUNG_LIVE_DISK);
	g_assert_cmpuint(p.memory_bytes, ==, 64 * MIB);
	g_assert_cmpuint(p.disk_bytes, ==, 6 * MIB);
	/* What QEMU says to be allocated counts up to the size that it has. */
	vm->offer.disks[0].used = 100 * MIB;
	plan_count(vm, COPY_RUNS, &p);
	g_assert_cmpuint(p.disk_bytes, ==, 11 * MIB);
	plan_count(vm, COPY_GONE, &p);
	g_assert_cmpint(p.rung, ==, MOVER_RUNG_COLD);
	g_assert_true(p.memory_bytes == 0 && p.disk_bytes == 11 * MIB);
	vm->offer.count = 0;
	plan_count(vm, COPY_RUNS, &p);
	g_assert_cmpint(p.rung, ==, MOVER_RUNG_LIVE);
	g_assert_cmpuint(p.disk_bytes, ==, 0);
}

/* -- at the source -- */

static void leaves(enum copy_state state, const char *granted, enum kcode code, const char *words)
{
	struct virt_domain d = {
		.name = FIX_NAME, .xml = (char *)(uintptr_t)fix_domain, .copy.state = state};
	struct domain_facts facts;
	struct kerr err = {0};
	int r = departure_check(&d, granted, &facts, &err);

	g_assert_cmpint(r < 0, ==, code != KCODE_OK);
	g_assert_cmpint(err.code, ==, code);
	g_assert_nonnull(strstr(err.text, words));
}

static void test_departure(void)
{
	leaves(COPY_RUNS, FIX_NAME, KCODE_OK, "");
	leaves(COPY_RUNS, NULL, KCODE_OK, "");
	leaves(COPY_RUNS, "other", KCODE_IDENTITY, "is called \"" FIX_NAME "\" here");
	leaves(COPY_PAUSED, FIX_NAME, KCODE_NOT_RUNNING, "is paused");
	leaves(COPY_GONE, FIX_NAME, KCODE_OK, "");
	leaves(COPY_HALTED, FIX_NAME, KCODE_NOT_RUNNING, "neither runs nor is off");
}

/* In which way may be chosen only as far as the VM's state allows it. */
static void test_rungs(void)
{
	static const struct {
		enum copy_state state;
		bool defined;
		const char *words[_MOVE_RUNG_MAX]; /* of the refusal */
	} rows[] = {
		{COPY_RUNS, true, {NULL}},
		/* It would be gone. */
		{COPY_RUNS, false, {[MOVE_RUNG_COLD] = "has no definition"}},
		{COPY_GONE,
		 true,
		 {[MOVE_RUNG_LIVE] = "is switched off", [MOVE_RUNG_WARM] = "can move warm"}},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct virt_domain d = {
			.name = FIX_NAME,
			.copy = {.state = rows[i].state, .defined = rows[i].defined}};
		struct mover_plan p = {0};

		plan_rungs(&d, &p);
		g_assert_cmpint(p.off, ==, rows[i].state == COPY_GONE);
		for (int k = MOVE_RUNG_ANY; k < _MOVE_RUNG_MAX; k++) {
			const char *words = rows[i].words[k];
			struct kerr err = {0};
			int r = departure_rung(&d, (enum move_rung)k, &err);

			g_assert_cmpint(r < 0, ==, words != NULL);
			g_assert_cmpint(err.code, ==, words ? KCODE_NOT_RUNNING : KCODE_OK);
			g_assert_true(!words || strstr(err.text, words));
			g_assert_cmpstr(p.rungs[k].text, ==, err.text);
		}
	}
}

/* What libvirt keeps beside the definition would be left behind. */
static void test_kept(void)
{
	struct virt_domain d = {.name = FIX_NAME, .xml = (char *)(uintptr_t)fix_domain};
	struct domain_facts facts;
	struct kerr err = {0};

	d.copy.state = COPY_RUNS;
	d.snapshots = 2;
	g_strlcpy(d.snapshot_names, "\"one\", \"two\"", sizeof(d.snapshot_names));
	g_assert_cmpint(departure_check(&d, NULL, &facts, &err), ==, -EPERM);
	g_assert_nonnull(strstr(err.text, "virsh snapshot-delete " FIX_NAME));
	g_assert_nonnull(strstr(err.text, "(\"one\", \"two\")"));
	kerr_clear(&err);
	d.snapshots = VIRT_SNAPSHOTS_NAMED + 1;
	g_assert_cmpint(departure_check(&d, NULL, &facts, &err), ==, -EPERM);
	g_assert_nonnull(strstr(err.text, "and more)"));
	kerr_clear(&err);
	d.snapshots = 0;
	d.checkpoints = 1;
	g_assert_cmpint(departure_check(&d, NULL, &facts, &err), ==, -EPERM);
	g_assert_nonnull(strstr(err.text, "virsh checkpoint-delete " FIX_NAME));
	kerr_clear(&err);
	d.checkpoints = 0;
	d.saved = true; /* of one that runs it is an old one */
	g_assert_cmpint(departure_check(&d, NULL, &facts, &err), ==, 0);
	d.copy.state = COPY_GONE;
	g_assert_cmpint(departure_check(&d, NULL, &facts, &err), ==, -EINVAL);
	g_assert_nonnull(strstr(err.text, "managedsave"));
}

static void test_hostdev(void)
{
	g_autofree char *xml = fix_replace(fix_domain, "<devices>",
					   "<devices><hostdev mode='subsystem' type='usb'/>");
	struct virt_domain d = {.name = FIX_NAME, .xml = xml, .copy.state = COPY_RUNS};
	struct domain_facts facts;
	struct kerr err = {0};

	g_assert_cmpint(departure_check(&d, FIX_NAME, &facts, &err), ==, -EPERM);
	g_assert_cmpint(err.code, ==, KCODE_DOMAIN);
}

/* A disk on storage that both reach is not sent, and has to be opened there. */
static void test_shared(void)
{
	static const char source[] =
		"<source protocol='iscsi' name='iqn.2004-10.com.example:nas/1'>"
		"<host name='nas'/></source>";
	g_autofree char *begun = fix_replace(fix_domain, "<disk type='file' device='disk'>",
					     "<disk type='network' device='disk'>");
	g_autofree char *xml =
		fix_replace(begun, "<source file='/home/old/a.img' index='2'/>", source);
	g_autofree struct plan_vm *vm = g_new0(struct plan_vm, 1);
	g_autofree struct offers *o = good();
	uint8_t mark[crypto_generichash_BYTES_MIN];
	crypto_generichash_state state;
	struct mover_plan p = {0};

	make_vm(xml, vm);
	vm->offer.disks[0].shared = vm->facts.disks[0].shared;
	plan_count(vm, COPY_RUNS, &p);
	g_assert_cmpuint(p.shared, ==, 1);
	g_assert_cmpuint(p.disk_bytes, ==, 3 * MIB);
	g_assert_cmpint(p.rung, ==, MOVER_RUNG_LIVE_DISK);
	refused(vm, o, KCODE_DOMAIN, "shared_pools");
	o->stores.count = 1;
	g_strlcpy(o->stores.list[0].pool, "nas", NAME_MAX_LEN);
	g_strlcpy(o->stores.list[0].store, vm->offer.disks[0].shared.store, DOMAIN_STORE_MAX);
	refused(vm, o, KCODE_NOT_READY, "virsh pool-refresh nas");
	o->volume_count = 1;
	crypto_generichash_init(&state, o->salt, sizeof(o->salt), sizeof(mark));
	crypto_generichash_update(&state, (const uint8_t *)o->stores.list[0].store,
				  strlen(o->stores.list[0].store));
	crypto_generichash_update(&state, (const uint8_t *)"/1", 2);
	crypto_generichash_final(&state, mark, sizeof(mark));
	memcpy(o->volumes[0].name, mark, sizeof(o->volumes[0].name));
	fits(vm, o);
	vm->offer.count = 1; /* nothing else */
	plan_count(vm, COPY_RUNS, &p);
	g_assert_cmpint(p.rung, ==, MOVER_RUNG_LIVE);
	g_assert_cmpuint(p.disk_bytes, ==, 0);
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0)
		return 1;
	g_test_add_func("/plan/it would move", test_fits);
	g_test_add_func("/plan/networks of the destination", test_networks);
	g_test_add_func("/plan/KVM at the destination", test_kvm);
	g_test_add_func("/plan/firmware and CPU of the destination", test_host);
	g_test_add_func("/plan/the first reason", test_order);
	g_test_add_func("/plan/bytes and rung", test_count);
	g_test_add_func("/plan/departure", test_departure);
	g_test_add_func("/plan/rungs that may be chosen", test_rungs);
	g_test_add_func("/plan/what libvirt keeps of it", test_kept);
	g_test_add_func("/plan/departure with a device of the host", test_hostdev);
	g_test_add_func("/plan/shared storage", test_shared);
	return g_test_run();
}
