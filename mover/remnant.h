/* SPDX-License-Identifier: Apache-2.0 */
/* What a hand-off may leave behind on this host, noted before it is made, so that a crash at any
 * moment leaves nothing that recovery does not know (W2, H23). */
#pragma once

#include "base/buf.h"
#include "mover/filter/domain.h"

#define REMNANT_XML_MAX 262144u

struct remnant {
	uint8_t hid[HID_LEN], uuid[UUID_LEN];
	bool source;
	size_t count; /* images: S: those that go when the VM is gone; */
	char paths[DOMAIN_DISKS_MAX][DOMAIN_PATH_MAX + 1]; /* D: those made for it */
	bool paused; /* D: the owner paused the guest, it is not resumed */
	char *xml;   /* D: the rebuilt domain once known, malloced; or NULL */
};

void remnant_clear(struct remnant *r);
/* Does the note name this image? */
bool remnant_has(const struct remnant *r, const char *path);
#define _cleanup_remnant_ _cleanup_(remnant_clear)

/* Opens <state>/mover, made if absent. */
int remnant_folder_open(const char *state, int *ret_fd);

/* Atomic and durable. */
int remnant_write(int folder, const struct remnant *r);
int remnant_read(int folder, const uint8_t hid[HID_LEN], struct remnant *ret);
int remnant_remove(int folder, const uint8_t hid[HID_LEN]);

/* The hand-offs that have one; *ret is malloced. */
int remnant_list(int folder, uint8_t (**ret)[HID_LEN], size_t *ret_n);

/* Codec, for the files and the tests. -EBADMSG, -ENOMEM. */
int remnant_put(struct wbuf *w, const struct remnant *r);
int remnant_get(struct rbuf *in, struct remnant *ret);
