/* SPDX-License-Identifier: Apache-2.0 */
/* One small file for each hand-off under way. */
#include "mover/remnant.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/code.h"
#include "base/file.h"

#define REMNANT_VERSION 5
#define REMNANT_VERSION_KEPT 4 /* shut no guest down; an update may find one, or... */
#define REMNANT_VERSION_LIVE 3 /* ...one that knew no VM that is off */
#define FILE_MAX (REMNANT_XML_MAX + REMNANT_IMAGES_MAX * (DOMAIN_PATH_MAX + 4) + 512)
#define LIST_MAX 256

void remnant_clear(struct remnant *r)
{
	free(r->xml);
	r->xml = NULL;
}

void remnant_add(struct remnant *r, const char *path, bool made)
{
	struct remnant_image *image = &r->images[r->count++];

	snprintf(image->path, sizeof(image->path), "%s", path);
	image->made = made;
}

bool remnant_has(const struct remnant *r, const char *path)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->images[i].made && strcmp(r->images[i].path, path) == 0)
			return true;
	return false;
}

int remnant_folder_open(const char *state, int *ret_fd)
{
	char path[160];
	int n = snprintf(path, sizeof(path), "%s/mover", state);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return dir_open(path, 0700, ret_fd);
}

/* `xml` apart, as one direction allocates what the other borrows. */
static void remnant_code(struct coder *c, struct remnant *r, const uint8_t **xml, size_t *xml_len)
{
	uint16_t version = REMNANT_VERSION;

	code_u16(c, &version);
	code_check(c, version >= REMNANT_VERSION_LIVE && version <= REMNANT_VERSION);
	CODE_BYTES(c, r->hid);
	CODE_BYTES(c, r->uuid);
	CODE_BYTES(c, r->peer);
	code_name(c, r->vm);
	code_name(c, r->peer_name);
	CODE_FLAG(c, r->source);
	CODE_FLAG(c, r->paused);
	if (version >= REMNANT_VERSION_KEPT)
		CODE_FLAG(c, r->off);
	if (version == REMNANT_VERSION)
		code_u64(c, &r->again_until);
	CODE_COUNT(c, r->count, r->images);
	for (size_t i = 0; i < r->count; i++) {
		CODE_TEXT(c, r->images[i].path);
		CODE_FLAG(c, r->images[i].made);
	}
	code_blob(c, xml, xml_len, REMNANT_XML_MAX);
}

int remnant_put(struct wbuf *w, const struct remnant *r)
{
	const uint8_t *xml = (const uint8_t *)r->xml;
	size_t len = xml ? strlen(r->xml) : 0;
	struct coder c = {.w = w};
	struct remnant copy = *r;

	remnant_code(&c, &copy, &xml, &len);
	return wbuf_error(w);
}

int remnant_get(struct rbuf *in, struct remnant *ret)
{
	struct coder c = {.r = in};
	struct remnant r = {0};
	const uint8_t *xml = NULL;
	size_t len = 0;

	remnant_code(&c, &r, &xml, &len);
	if (rbuf_end(in) < 0 || (len && memchr(xml, 0, len)))
		return -EBADMSG;
	if (len) {
		r.xml = strndup((const char *)xml, len);
		if (!r.xml)
			return -ENOMEM;
	}
	*ret = r;
	return 0;
}

static void file_name(const uint8_t hid[HID_LEN], char ret[2 * HID_LEN + 1])
{
	hex_encode(hid, HID_LEN, ret);
}

int remnant_write(int folder, const struct remnant *r)
{
	_cleanup_free_ uint8_t *data = malloc(FILE_MAX);
	char name[2 * HID_LEN + 1];
	struct wbuf w;
	int n;

	if (!data)
		return -ENOMEM;
	w = wbuf_init(data, FILE_MAX);
	n = remnant_put(&w, r);
	if (n < 0)
		return n;
	file_name(r->hid, name);
	return file_write_atomic(folder, name, data, w.len, 0600);
}

int remnant_read(int folder, const uint8_t hid[HID_LEN], struct remnant *ret)
{
	_cleanup_free_ uint8_t *data = NULL;
	char name[2 * HID_LEN + 1];
	struct rbuf in;
	size_t len;
	int n;

	file_name(hid, name);
	n = file_read(folder, name, FILE_MAX, &data, &len);
	if (n < 0)
		return n;
	in = rbuf_init(data, len);
	return remnant_get(&in, ret);
}

int remnant_remove(int folder, const uint8_t hid[HID_LEN])
{
	char name[2 * HID_LEN + 1];

	file_name(hid, name);
	if (unlinkat(folder, name, 0) < 0)
		return -errno;
	return fsync(folder) < 0 ? -errno : 0;
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

int remnant_list(int folder, uint8_t (**ret)[HID_LEN], size_t *ret_n)
{
	_cleanup_(close_dir) DIR *dir = NULL;
	_cleanup_free_ uint8_t(*list)[HID_LEN] = calloc(LIST_MAX, HID_LEN);
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	size_t n = 0;

	if (fd < 0 || !list) {
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (n < LIST_MAX && (e = readdir(dir)))
		if (hex_decode(e->d_name, list[n], HID_LEN) == 0)
			n++;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}
