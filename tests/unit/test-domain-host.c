/* SPDX-License-Identifier: Apache-2.0 */
/* The domain filter on hosts of different kinds: firmware, TPM, SPICE, CPU; and machines as
 * virt-install makes them. */
#include "domain-output.h"

/* What a destination without SPICE, TPM, firmware and that CPU makes of a VM: `want` is in the
 * output, or in the sentence. */
static const struct change bare[] = {
	{"spice becomes vnc", "<graphics type='vnc' port='5900'", "<graphics type='spice'",
	 "<graphics type='vnc' port='-1'", 0},
	{"a viewer's channel", "<channel type='unix'>", SPICE "<channel type='spicevmc'>",
	 "<channel type='null'>", 0},
	{"USB redirection", DEV(SPICE REDIRDEV), "<redirdev type='null' bus='usb'>", 0},
	{"qxl", "<model type='virtio' heads='1' primary='yes'/>", "<model type='qxl'/>",
	 "needs QEMU with SPICE", KCODE_DOMAIN},
	{"tpm", DEV(TPM("")), "apt install swtpm", KCODE_DOMAIN},
	{"UEFI", "<os>", "<os firmware='efi'>", "apt install ovmf", KCODE_DOMAIN},
	{"CPU of the host", "mode='custom' match='exact' check='full'", "mode='host-passthrough'",
	 "(host-passthrough), and the destination's processor lacks lahf_lm, sse4.1. `kith vm "
	 "roam " FIX_NAME "`",
	 KCODE_DOMAIN},
	{"CPU by name", "<os>", "<os>",
	 "destination's processor lacks: lahf_lm, sse4.1. `kith vm roam " FIX_NAME "`",
	 KCODE_DOMAIN},
	{"kvm", "<domain type='qemu' id='7'>", "<domain type='kvm'>", "hardware virtualisation",
	 KCODE_DOMAIN},
};

static void test_bare(gconstpointer data)
{
	static const struct domain_host host = {.machine = 702};
	struct domain_host lesser = host;
	const struct change *c = data;
	g_autofree char *xml = fix_replace(fix_domain, c->find, c->replace), *out = NULL;
	struct domain_limits limits = fix_limits();
	struct domain_disk_map map;
	struct kerr err = {0};
	int r;

	fix_map(&map);
	lesser.cpu[false] = (struct cpu){"qemu64", "AMD", 7002, "fpu hypervisor"};
	limits.host = strstr(c->what, "CPU") ? &lesser : &host;
	r = domain_rebuild(xml, strlen(xml), &limits, &map, &out, NULL, &err);
	if (c->code == KCODE_OK) {
		g_assert_cmpint(r, ==, 0);
		check_output(out);
	} else {
		g_assert_cmpint(r, ==, -EPERM);
		g_assert_cmpint(err.code, ==, c->code);
	}
	if (!strstr(c->code == KCODE_OK ? out : err.text, c->want))
		g_error("%s %s", out, err.text);
}

/* An encrypted TPM passes where libvirt has its secret, among others. */
static void test_secret(void)
{
	g_autofree char *xml =
		fix_replace(fix_domain, DEV(TPM("<encryption secret='" FIX_UUID "'/>")));
	struct domain_host host = fix_host;
	struct domain_limits limits = fix_limits();
	struct domain_disk_map map;

	fix_map(&map);
	limits.host = &host;
	for (host.secret_count = 0; host.secret_count <= 2; host.secret_count++) {
		g_autofree char *out = NULL;
		struct kerr err = {0};
		int r;

		domain_uuid_parse(FIX_UUID, host.secrets[1]);
		r = domain_rebuild(xml, strlen(xml), &limits, &map, &out, NULL, &err);
		g_assert_cmpint(r, ==, host.secret_count == 2 ? 0 : -EPERM);
		if (r < 0)
			continue;
		check_output(out);
		g_assert_nonnull(strstr(out, "<encryption secret='" FIX_UUID "'/>"));
	}
}

/* What virt-install 4.1 writes by default for the usual systems (tests/data/domains). */
static void try_ordinary(const char *path)
{
	g_autofree struct domain_facts *facts = g_new0(struct domain_facts, 1);
	g_autofree struct domain_disk_map *map = g_new0(struct domain_disk_map, 1);
	g_autofree char *xml = NULL, *out = NULL, *again = NULL;
	struct domain_limits limits = fix_limits();
	struct kerr err = {0};

	g_assert_true(g_file_get_contents(path, &xml, NULL, NULL));
	if (domain_disks(xml, strlen(xml), facts, &err) < 0)
		g_error("%s: %s", path, err.text);
	g_assert_cmpuint(facts->disk_count, >=, 1);
	g_assert_cmpint(facts->uefi, ==, strstr(xml, "firmware='efi'") != NULL);
	limits.expect_name = facts->name;
	memcpy(limits.expect_uuid, facts->uuid, UUID_LEN);
	limits.max_memory_bytes = 0;
	map->count = facts->disk_count;
	for (size_t i = 0; i < map->count; i++) {
		memcpy(map->disks[i].target, facts->disks[i].target, sizeof(map->disks[i].target));
		g_strlcpy(map->disks[i].path, FIX_PATH0, sizeof(map->disks[i].path));
		map->disks[i].format = facts->disks[i].format;
	}
	if (domain_rebuild(xml, strlen(xml), &limits, map, &out, NULL, &err) < 0)
		g_error("%s: %s", path, err.text);
	check_output(out);
	g_assert_cmpint(domain_rebuild(out, strlen(out), &limits, map, &again, NULL, &err), ==, 0);
	g_assert_cmpstr(out, ==, again);
}

static void test_ordinary(void)
{
	const char *top = g_getenv("top_srcdir");
	g_autofree char *folder =
		g_build_filename(top ? top : ".", "tests", "data", "domains", NULL);
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;
	unsigned n = 0;

	g_assert_nonnull(dir);
	while ((name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);

		try_ordinary(path);
		n++;
	}
	g_assert_cmpuint(n, >=, 50);
}

/* Firmware is what it does: another size, other keys or another machine is another one. */
static void test_firmware(void)
{
	struct domain_firmware want = fix_host.firmware[1].does;

	g_assert_true(domain_firmware_find(&fix_host, &want, true) == &fix_host.firmware[1]);
	g_assert_null(domain_firmware_find(&fix_host, &want, false)); /* for q35 only */
	g_assert_null(domain_firmware_find(NULL, &want, true));
	want.enrolled_keys = 0;
	g_assert_null(domain_firmware_find(&fix_host, &want, true));
	want = fix_host.firmware[0].does;
	g_assert_true(domain_firmware_find(&fix_host, &want, false) == &fix_host.firmware[0]);
	want.vars_size++;
	g_assert_null(domain_firmware_find(&fix_host, &want, true));
}

/* To be kept it says what the firmware does, and libvirt finds the files at each start. */
static void test_permanent(void)
{
	g_autofree char *xml =
		fix_replace(fix_domain, "<boot dev='hd'/>",
			    "<loader readonly='yes' type='pflash'>/CODE.fd</loader>");
	g_autofree char *out = NULL, *again = NULL;
	struct domain_limits limits = fix_limits();
	struct domain_disk_map map;
	struct kerr err = {0};

	fix_map(&map);
	limits.permanent = true;
	g_assert_cmpint(domain_rebuild(xml, strlen(xml), &limits, &map, &out, NULL, &err), ==, 0);
	check_output(out);
	g_assert_nonnull(strstr(out,
				"<os firmware='efi'>\n<firmware>\n<feature enabled='no' "
				"name='enrolled-keys'/>\n<feature enabled='no' "
				"name='secure-boot'/>\n</firmware>\n<nvram>" FIX_NVRAM "</nvram>"));
	g_assert_null(strstr(out, "loader"));
	g_assert_cmpint(domain_rebuild(out, strlen(out), &limits, &map, &again, NULL, &err), ==, 0);
	g_assert_cmpstr(out, ==, again);
}

/* What the source learns of its own VM, and that a UEFI one comes only if it was announced. */
static void test_uefi_facts(void)
{
	g_autofree char *xml = fix_replace(
		fix_domain, "<boot dev='hd'/>",
		"<loader readonly='yes' type='pflash'>/CODE.fd</loader><nvram>/VARS.fd</nvram>");
	g_autofree struct domain_facts *facts = g_new0(struct domain_facts, 1);
	struct domain_limits limits = fix_limits();
	struct domain_disk_map map;
	struct kerr err = {0};
	char *out = NULL;

	g_assert_cmpint(domain_disks(xml, strlen(xml), facts, &err), ==, 0);
	g_assert_true(facts->uefi);
	g_assert_cmpstr(facts->loader, ==, "/CODE.fd");
	g_assert_cmpstr(facts->nvram, ==, "/VARS.fd");
	fix_map(&map);
	limits.origin = NULL;
	g_assert_cmpint(domain_rebuild(xml, strlen(xml), &limits, &map, &out, NULL, &err), ==,
			-EPERM);
	g_assert_null(out);
	g_assert_nonnull(strstr(err.text, "not announced"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	for (size_t i = 0; i < G_N_ELEMENTS(bare); i++) {
		g_autofree char *name = g_strdup_printf("/domain-host/bare host %s", bare[i].what);

		g_test_add_data_func(name, &bare[i], test_bare);
	}
	g_test_add_func("/domain-host/H13 an encrypted TPM and its secret", test_secret);
	g_test_add_func("/domain-host/ordinary machines", test_ordinary);
	g_test_add_func("/domain-host/firmware by what it does", test_firmware);
	g_test_add_func("/domain-host/firmware to be kept", test_permanent);
	g_test_add_func("/domain-host/H13 UEFI that was not announced", test_uefi_facts);
	return g_test_run();
}
