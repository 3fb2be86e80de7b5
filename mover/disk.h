/* SPDX-License-Identifier: Apache-2.0 */
/* Images that the destination makes for an incoming VM: new files, its own names, in its own
 * folder, never an image that came from elsewhere (H12, H17, H23). */
#pragma once

#include "base/kerr.h"
#include "mover/filter/domain.h"
#include "mover/frames.h"

/* Room that must stay free besides what the VM brings. */
#define DISK_MARGIN_BYTES ((uint64_t)64 << 20)

/* Opens the folder (made with 0711 if absent: QEMU's user passes through, nobody lists it). No
 * symlink in any part of the path. */
int disk_folder_open(const char *images, int *ret_fd, struct kerr *err);

/* Is there room for the offer in this folder? ROOM if what the source has allocated, plus a
 * margin, does not fit, or if a virtual size is larger than the whole file system. */
int disk_check_room(int folder, const struct frame_offer *offer, struct kerr *err);

/* Chooses a random name for each disk of the offer; makes nothing. */
int disk_plan(const char *images, const struct frame_offer *offer, struct domain_disk_map *ret,
	      struct kerr *err);

/* Makes one planned image and notes in `notes` (the mover's folder) that it is Kith's: O_EXCL, mode
 * 0600; raw sparse, qcow2 by qemu-img without backing file. On failure nothing is left. *ret_fd
 * stays open for fdatasync(). */
int disk_create(int notes, int folder, const struct domain_disk_target *disk, int *ret_fd,
		struct kerr *err);

/* True if `path` names a file directly in `images`. */
bool disk_is_ours(const char *images, const char *path);

/* True if disk_create() made it: an image that an owner put into the folder is his (H23). */
bool disk_was_made(int notes, const char *images, const char *path);

/* Removes an image that disk_create() made; -EPERM for another one, -ENOENT if it is gone. */
int disk_remove(int notes, int folder, const char *images, const char *path);
