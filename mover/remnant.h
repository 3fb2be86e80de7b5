/* SPDX-License-Identifier: Apache-2.0 */
/* What a hand-off may leave behind on this host, noted before it is made, so that a crash at any
 * moment leaves nothing that recovery does not know (W2, H23). */
#pragma once

#include "base/buf.h"
#include "mover/filter/domain.h"

#define REMNANT_XML_MAX 262144u
#define REMNANT_IMAGES_MAX (DOMAIN_DISKS_MAX + 1)

struct remnant {
	uint8_t hid[HID_LEN], uuid[UUID_LEN];
	uint8_t peer[DEVICE_ID_LEN]; /* the other device */
	char vm[NAME_MAX_LEN + 1], peer_name[NAME_MAX_LEN + 1];
	bool source;
	size_t count; /* images: S: all of the VM's, D: those made for it */
	struct remnant_image {
		char path[DOMAIN_PATH_MAX + 1];
		bool made; /* by Kith: it goes when the VM is elsewhere; others are their owner's */
	} images[REMNANT_IMAGES_MAX]; /* and the file of its UEFI variables */
	bool paused;		      /* D: the owner paused the guest, it is not resumed */
	bool off; /* the VM is switched off: S: what runs of it is ended, not resumed; D: it is
		     defined, not started */
	/* S: it ran, and its guest was asked to shut down for this hand-off: wherever the VM is
	 * kept off here, it is started again. A guest that did not obey until then (Unix seconds)
	 * will not. 0 = nobody asked. D: not 0 = such a one came, and is started here. */
	uint64_t again_until;
	char *xml; /* D: the rebuilt domain once known, malloced; or NULL */
};

void remnant_clear(struct remnant *r);
/* Enters an image that fits; at most REMNANT_IMAGES_MAX. */
void remnant_add(struct remnant *r, const char *path, bool made);
/* Does the note name this image as one of Kith's? */
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
