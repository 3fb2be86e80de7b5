/* SPDX-License-Identifier: Apache-2.0 */
/* Storage pools of the local libvirt, as a place for images. All calls block: use them from a task
 * thread. */
#pragma once

#include "mover/virt.h"

struct pool {
	char name[NAME_MAX_LEN + 1]; /* "" = none */
	uint8_t uuid[UUID_LEN];
	char folder[DOMAIN_PATH_MAX + 1]; /* its volumes are files in it */
};

/* The started pool of this name, if its volumes are files in one folder (kinds dir, fs, netfs).
 * -ENOENT with a sentence that says what it lacks, or what virt.h says of all calls. */
int pool_get(struct virt *v, const char *name, struct pool *ret, struct kerr *err);

/* The started pool of such a kind that has this folder; -ENOENT without one. */
int pool_at(struct virt *v, const char *folder, struct pool *ret, struct kerr *err);

/* What is behind the last slash: the name of a volume of those kinds. */
const char *pool_volume_name(const char *path);

/* Makes one volume at disk->path, in the pool's folder: sparse, without backing file; our group may
 * read it until libvirt gives it to a QEMU. Fails if there is something of that name. */
int pool_make(struct virt *v, const struct pool *pool, const struct domain_disk_target *disk,
	      struct kerr *err);

/* Removes the volume at `path`. -ENOENT if it is gone; -ENXIO if the pool is not there, is not
 * started, or has another folder now. */
int pool_remove(struct virt *v, const uint8_t uuid[UUID_LEN], const char *path, struct kerr *err);
