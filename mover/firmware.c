/* SPDX-License-Identifier: Apache-2.0 */
/* Reads QEMU's firmware descriptors. They are root's own files, and still only data. */
#include "mover/firmware.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#define FILE_MAX 65536u
#define FILES_MAX 64

static const char *const host_folders[] = {"/usr/share/qemu/firmware", "/etc/qemu/firmware", NULL};

static void free_json(json_t **j)
{
	json_decref(*j);
}
#define _cleanup_json_ _cleanup_(free_json)

/* -- one descriptor -- */

static bool lists(const json_t *array, const char *word)
{
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *)array, i,
			   v) if (json_is_string(v) &&
				  strcmp(json_string_value(v), word) == 0) return true;
	return false;
}

/* A raw image by an absolute path. */
static bool read_image(const json_t *image, char ret[DOMAIN_FIRMWARE_PATH_MAX + 1])
{
	const char *file = json_string_value(json_object_get(image, "filename"));
	const char *format = json_string_value(json_object_get(image, "format"));

	if (!file || file[0] != '/' || !text_is_name(file, DOMAIN_FIRMWARE_PATH_MAX) || !format ||
	    strcmp(format, "raw") != 0)
		return false;
	snprintf(ret, DOMAIN_FIRMWARE_PATH_MAX + 1, "%s", file);
	return true;
}

static bool read_mapping(const json_t *mapping, struct domain_firmware_here *ret)
{
	const char *device = json_string_value(json_object_get(mapping, "device"));
	const char *mode = json_string_value(json_object_get(mapping, "mode"));

	return device && strcmp(device, "flash") == 0 && (!mode || strcmp(mode, "split") == 0) &&
	       read_image(json_object_get(mapping, "executable"), ret->code) &&
	       read_image(json_object_get(mapping, "nvram-template"), ret->vars);
}

/* Which of the two families of PCs it is for. */
static void read_targets(const json_t *targets, struct domain_firmware_here *ret)
{
	const json_t *target, *machine;
	size_t i, k;

	json_array_foreach((json_t *)targets, i, target)
	{
		const char *arch = json_string_value(json_object_get(target, "architecture"));

		if (!arch || strcmp(arch, "x86_64") != 0)
			continue;
		json_array_foreach(json_object_get(target, "machines"), k, machine)
		{
			const char *pattern = json_string_value(machine) ?: "";

			ret->q35 |= fnmatch(pattern, "pc-q35-7.2", 0) == 0;
			ret->i440fx |= fnmatch(pattern, "pc-i440fx-7.2", 0) == 0;
		}
	}
}

int firmware_parse(const char *json, size_t len, struct domain_firmware_here *ret)
{
	_cleanup_json_ json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *features = json_object_get(root, "features");
	struct domain_firmware_here f = {0};

	if (!json_is_object(root) || !json_is_array(features))
		return -EBADMSG;
	read_targets(json_object_get(root, "targets"), &f);
	if (!lists(json_object_get(root, "interface-types"), "uefi") ||
	    !read_mapping(json_object_get(root, "mapping"), &f) || (!f.q35 && !f.i440fx))
		return -ENOTSUP;
	f.does.secure_boot = lists(features, "secure-boot");
	f.does.enrolled_keys = lists(features, "enrolled-keys");
	*ret = f;
	return 0;
}

/* -- all of them -- */

static uint64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static bool read_file(const char *path, struct domain_firmware_here *ret)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t len;
	int r = file_read(AT_FDCWD, path, FILE_MAX, &data, &len);

	if (r == 0 && len == 0) /* an empty file masks one of that name */
		return false;
	if (r == 0)
		r = firmware_parse((const char *)data, len, ret);
	if (r < 0) {
		log_debug("firmware", "%s: %s", path, strerror(-r));
		return false;
	}
	ret->does.code_size = size_of(ret->code);
	ret->does.vars_size = size_of(ret->vars);
	return ret->does.code_size && ret->does.vars_size;
}

struct found {
	const char *name; /* into `path` */
	char path[288];
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

/* Enters a descriptor; one of a later folder takes the place of one of the same name. */
static void enter(struct found *list, size_t *n, const char *path)
{
	struct found *at = &list[*n];
	const char *name = strrchr(path, '/') + 1;

	for (size_t i = 0; i < *n; i++)
		if (strcmp(list[i].name, name) == 0)
			at = &list[i];
	if (strlen(path) >= sizeof(at->path) || at == &list[FILES_MAX])
		return;
	snprintf(at->path, sizeof(at->path), "%s", path);
	at->name = strrchr(at->path, '/') + 1;
	*n += at == &list[*n];
}

void firmware_each(const char *const *folders, firmware_fn fn, void *ctx)
{
	_cleanup_free_ struct found *list = calloc(FILES_MAX + 1, sizeof(*list));
	_cleanup_free_ struct domain_firmware_here *file = calloc(1, sizeof(*file));
	size_t n = 0;

	for (; list && *folders; folders++) {
		char pattern[256];
		glob_t g;

		snprintf(pattern, sizeof(pattern), "%s/*.json", *folders);
		if (glob(pattern, 0, NULL, &g) != 0)
			continue;
		for (size_t i = 0; i < g.gl_pathc; i++)
			enter(list, &n, g.gl_pathv[i]);
		globfree(&g);
	}
	if (!list || !file)
		return;
	qsort(list, n, sizeof(*list), by_name);
	for (size_t i = 0; i < n; i++)
		if (read_file(list[i].path, file) && fn(ctx, file))
			return;
}

static bool add(void *ctx, const struct domain_firmware_here *file)
{
	struct domain_host *host = ctx;

	host->firmware[host->firmware_count++] = *file;
	return host->firmware_count == DOMAIN_FIRMWARE_MAX;
}

void firmware_list(struct domain_host *ret)
{
	ret->firmware_count = 0;
	firmware_each(host_folders, add, ret);
}

struct wanted {
	const char *code;
	struct domain_firmware *ret;
	bool found;
};

static bool match(void *ctx, const struct domain_firmware_here *file)
{
	struct wanted *w = ctx;

	w->found = strcmp(file->code, w->code) == 0;
	if (w->found)
		*w->ret = file->does;
	return w->found;
}

int firmware_of(const char *code, struct domain_firmware *ret)
{
	struct wanted w = {code, ret, false};

	firmware_each(host_folders, match, &w);
	return w.found ? 0 : -ENOENT;
}
