/* SPDX-License-Identifier: Apache-2.0 */
/* Firmware descriptors: which are understood, in which order, and what overrides what. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "mover/firmware.h"

#define GOOD                                                                                   \
	"{\"interface-types\":[\"uefi\"],\"mapping\":{\"device\":\"flash\",\"executable\":{"   \
	"\"filename\":\"/fw/CODE.fd\",\"format\":\"raw\"},\"nvram-template\":{\"filename\":\"" \
	"/fw/VARS.fd\",\"format\":\"raw\"}},\"targets\":[{\"architecture\":\"x86_64\","        \
	"\"machines\":[\"pc-q35-*\"]}],\"features\":[\"secure-boot\",\"requires-smm\"]}"

static char *replace(const char *find, const char *with)
{
	const char *at = strstr(GOOD, find);

	g_assert_nonnull(at);
	return g_strdup_printf("%.*s%s%s", (int)(at - GOOD), GOOD, with, at + strlen(find));
}

static void test_good(void)
{
	struct domain_firmware_here f;

	g_assert_cmpint(firmware_parse(GOOD, strlen(GOOD), &f), ==, 0);
	g_assert_cmpstr(f.code, ==, "/fw/CODE.fd");
	g_assert_cmpstr(f.vars, ==, "/fw/VARS.fd");
	g_assert_true(f.does.secure_boot && !f.does.enrolled_keys && f.q35 && !f.i440fx);
}

static const struct {
	const char *what, *find, *with;
	int error;
} others[] = {
	{"BIOS", "\"uefi\"", "\"bios\"", -ENOTSUP},
	{"memory device", "\"flash\"", "\"memory\"", -ENOTSUP},
	{"one image for both", "\"device\":\"flash\"", "\"device\":\"flash\",\"mode\":\"combined\"",
	 -ENOTSUP},
	{"no template", "nvram-template", "nvram-templates", -ENOTSUP},
	{"qcow2", "\"raw\"", "\"qcow2\"", -ENOTSUP},
	{"relative path", "/fw/CODE.fd", "fw/CODE.fd", -ENOTSUP},
	{"path that is a number", "\"/fw/CODE.fd\"", "7", -ENOTSUP},
	{"other architecture", "x86_64", "aarch64", -ENOTSUP},
	{"other machine", "pc-q35-*", "microvm", -ENOTSUP},
	{"machines that are no list", "[\"pc-q35-*\"]", "\"pc-q35-*\"", -ENOTSUP},
	{"targets that are no list", "[{\"architecture\"", "{\"x\":[{\"architecture\"", -EBADMSG},
	{"features that are no list", "[\"secure-boot\",\"requires-smm\"]", "{}", -EBADMSG},
	{"no JSON", "{\"interface-types\"", "\"interface-types\"", -EBADMSG},
	{"a name twice", "\"features\"", "\"features\":[],\"features\"", -EBADMSG},
};

static void test_others(void)
{
	struct domain_firmware_here f = {.code = "untouched"};

	for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
		g_autofree char *json = replace(others[i].find, others[i].with);
		int r = firmware_parse(json, strlen(json), &f);

		if (r != others[i].error)
			g_error("%s: %d", others[i].what, r);
		g_assert_cmpstr(f.code, ==, "untouched");
	}
}

/* -- folders -- */

struct folders {
	char *top, *vendor, *admin;
	GString *seen;
};

static void put(const char *folder, const char *name, const char *text)
{
	g_autofree char *path = g_build_filename(folder, name, NULL);

	g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* A descriptor whose images are there, called by its code's name. */
static void put_descriptor(struct folders *f, const char *folder, const char *name,
			   const char *code)
{
	g_autofree char *json = g_strdup_printf(
		"{\"interface-types\":[\"uefi\"],\"mapping\":{\"device\":\"flash\",\"executable\":{"
		"\"filename\":\"%s/%s\",\"format\":\"raw\"},\"nvram-template\":{\"filename\":"
		"\"%s/vars\",\"format\":\"raw\"}},\"targets\":[{\"architecture\":\"x86_64\","
		"\"machines\":[\"pc-i440fx-*\"]}],\"features\":[]}",
		f->top, code, f->top);

	put(folder, name, json);
	put(f->top, code, "code");
}

static bool note(void *ctx, const struct domain_firmware_here *file)
{
	struct folders *f = ctx;

	g_string_append_printf(f->seen, "%s ", strrchr(file->code, '/') + 1);
	g_assert_cmpuint(file->does.code_size, ==, 4);
	g_assert_cmpuint(file->does.vars_size, ==, 6);
	return strcmp(f->seen->str, "stop ") == 0;
}

static void test_folders(void)
{
	struct folders f = {.seen = g_string_new(NULL)};
	const char *both[3] = {0}, *none[] = {"/nonexistent", NULL};

	f.top = g_dir_make_tmp("kith-firmware-XXXXXX", NULL);
	f.vendor = g_build_filename(f.top, "vendor", NULL);
	f.admin = g_build_filename(f.top, "admin", NULL);
	g_assert_cmpint(g_mkdir(f.vendor, 0755) + g_mkdir(f.admin, 0755), ==, 0);
	put(f.top, "vars", "abcdef");
	put_descriptor(&f, f.vendor, "50-b.json", "b");
	put_descriptor(&f, f.vendor, "40-a.json", "a");
	put_descriptor(&f, f.vendor, "60-masked.json", "masked");
	put_descriptor(&f, f.vendor, "70-replaced.json", "old");
	put_descriptor(&f, f.vendor, "80-no.txt", "no");
	put(f.admin, "60-masked.json", "");
	put_descriptor(&f, f.admin, "70-replaced.json", "new");
	put_descriptor(&f, f.admin, "45-between.json", "between");
	put(f.vendor, "90-broken.json", "{");
	both[0] = f.vendor;
	both[1] = f.admin;
	firmware_each(both, note, &f);
	g_assert_cmpstr(f.seen->str, ==, "a between b new ");

	put_descriptor(&f, f.admin, "10-stop.json", "stop");
	g_string_truncate(f.seen, 0);
	firmware_each(both, note, &f);
	g_assert_cmpstr(f.seen->str, ==, "stop ");

	g_string_truncate(f.seen, 0);
	firmware_each(none, note, &f);
	g_assert_cmpstr(f.seen->str, ==, "");
	g_spawn_sync(NULL, (char *[]){(char *)"rm", (char *)"-r", f.top, NULL}, NULL,
		     G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
	g_string_free(f.seen, TRUE);
	g_free(f.admin);
	g_free(f.vendor);
	g_free(f.top);
}

/* Debian's own, which the tests have installed. */
static void test_host(void)
{
	struct domain_host host = {0};
	struct domain_firmware secure = {0};

	firmware_list(&host);
	g_assert_cmpuint(host.firmware_count, >=, 2);
	g_assert_cmpint(firmware_of("/usr/share/OVMF/OVMF_CODE_4M.ms.fd", &secure), ==, 0);
	g_assert_true(secure.secure_boot && secure.enrolled_keys && secure.code_size);
	g_assert_nonnull(domain_firmware_find(&host, &secure, true));
	g_assert_cmpint(firmware_of("/etc/shadow", &secure), ==, -ENOENT);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/firmware/descriptor", test_good);
	g_test_add_func("/firmware/what is no flash image for PCs", test_others);
	g_test_add_func("/firmware/folders", test_folders);
	g_test_add_func("/firmware/this host", test_host);
	return g_test_run();
}
