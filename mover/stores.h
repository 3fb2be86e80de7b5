/* SPDX-License-Identifier: Apache-2.0 */
/* Storage that several hosts reach over the network, as libvirt on this host knows it by its pools:
 * a disk on it stays where it is when its VM moves. Nothing here is changed, made or removed. */
#pragma once

#include "mover/virt.h"

#define STORES_MAX 4

struct stores {
	size_t count;
	struct domain_store list[STORES_MAX];
};

/* Those that the owner opened to VMs that arrive: storage pools by their names, commas between.
 * Asks no server. Never fails: what does not work is `missing`. */
void stores_look(struct virt *v, const char *pools, struct stores *ret);

struct stores_volume {
	const struct domain_store *store;
	char name[DOMAIN_VOLUME_MAX + 1];
	size_t users; /* VMs of this host, running or not, that have it as a disk */
	uint8_t user[UUID_LEN];
};

/* What libvirt knows to be in them, at most `max`, and who uses it. Asks no server. Returns the
 * number; what cannot be listed is not there. */
size_t stores_volumes(struct virt *v, const struct stores *stores, struct stores_volume *ret,
		      size_t max);

/* Disks of a VM of this host that are files in these pools count as shared from here on, if they
 * can stay there; the others are images of this host's, and are copied. */
void stores_claim(struct virt *v, const char *pools, struct domain_facts *facts);

/* What a disk of a VM of this host is: of a volume of a pool, that pool is asked. NOT_FOUND;
 * DOMAIN if the pool is none whose volumes other hosts know. */
int stores_resolve(struct virt *v, const struct domain_disk *disk, struct domain_shared *ret,
		   struct kerr *err);

/* Size in bytes, by a pool of this host that it is in; asks the server. libvirt 9.0 counts one
 * block too few for iSCSI. -ENOENT without such a pool or volume. */
int stores_size(struct virt *v, const struct domain_shared *shared, uint64_t *ret,
		struct kerr *err);

/* Likewise of a file, in this store of this host's, which has to be the very one that is shared.
 * Besides, as shared_file_look() and shared_file_qcow2(); IDENTITY, NOT_READY if it cannot be read.
 */
int stores_file_size(struct virt *v, const struct domain_store *store,
		     const struct domain_shared *shared, enum disk_format format, uint64_t *ret,
		     struct kerr *err);
