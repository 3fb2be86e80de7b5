/* SPDX-License-Identifier: Apache-2.0 */
/* Images that the destination makes for an incoming VM: new files, its own names, in one place of
 * its own, never an image that came from elsewhere (H12, H17, H23). */
#pragma once

#include "base/config.h"
#include "mover/frames.h"
#include "mover/pool.h"

/* Room that must stay free besides what the VM brings. */
#define DISK_MARGIN_BYTES ((uint64_t)64 << 20)

/* Where new images are made: a storage pool of libvirt, or a plain folder. */
struct disk_place {
	struct virt *virt; /* borrowed; asked where there is a pool */
	struct pool pool;  /* name "" = none */
	char folder[DOMAIN_PATH_MAX + 1];
	int fd;		      /* the folder: to look and to open beneath, not to list */
	struct kerr why_none; /* why it is not the pool that was meant; OK = it is */
};

void disk_place_close(struct disk_place *place);
#define _cleanup_place_ _cleanup_(disk_place_close)

/* Chooses the place: the pool of [libvirt] pool, or the folder of [paths] images (made with 0711 if
 * absent: QEMU's user passes through, nobody lists it). A pool that is not there, cannot be used,
 * or whose folder everybody may write to, is an error if it was named, and else a reason to take
 * the folder. No symlink in any part of the path (N11). `virt` NULL = folder. */
int disk_place_open(struct virt *virt, const struct config *config, struct disk_place *ret,
		    struct kerr *err);

/* Of the place's file system; no path, so that another device may read it. */
struct disk_room {
	char pool[NAME_MAX_LEN + 1]; /* "" = a plain folder */
	uint64_t free_bytes, total_bytes;
};

int disk_place_room(const struct disk_place *place, struct disk_room *ret, struct kerr *err);

/* Does the offer fit? ROOM if what the source has allocated, plus a margin, does not, or if a
 * virtual size is larger than the whole file system. */
int disk_check_room(const struct disk_room *room, const struct frame_offer *offer,
		    struct kerr *err);

/* Chooses a random name, with that of the VM before it where it is harmless, for each disk of the
 * offer but shared ones; makes nothing. */
int disk_plan(const struct disk_place *place, const char *vm, const struct frame_offer *offer,
	      struct domain_disk_map *ret, struct kerr *err);

/* Notes in `notes` (the mover's folder) that the planned image is Kith's, then makes it: what is
 * there already is never opened; raw sparse, qcow2 without backing file. On failure nothing is
 * left. *ret_fd stays open for fdatasync(). */
int disk_create(const struct disk_place *place, int notes, const struct domain_disk_target *disk,
		int *ret_fd, struct kerr *err);

/* Chooses a path in the folder of [paths] images for the UEFI variables of a VM that arrives, and
 * notes that it is Kith's. What is there is libvirt's to make, from firmware's template, unless
 * disk_fill_variables() does. */
int disk_plan_variables(const struct config *config, int notes, const char *vm,
			char ret[DOMAIN_PATH_MAX + 1], struct kerr *err);

/* Makes that file, with this content. Durable. */
int disk_fill_variables(const struct config *config, const char *path, const void *data, size_t len,
			struct kerr *err);

/* True if disk_create() made it: an image that an owner put beside it is his (H23). */
bool disk_was_made(int notes, const char *path);

/* Removes an image that disk_create() made, through its pool where it has one; -EPERM for another
 * one, -ENOENT if it is gone, else as pool_remove(). *err is filled, but for -ENOENT. */
int disk_remove(struct virt *virt, int notes, const char *path, struct kerr *err);

/* Puts the name of a VM into a file name where it is harmless there; else "". */
void disk_plain_name(const char *vm, char *ret, size_t size);
