/* SPDX-License-Identifier: Apache-2.0 */
/* Disks on storage that several hosts reach over the network: what they are called, in one spelling
 * whoever spells it, and how libvirt writes them down. */
#pragma once

#include "mover/filter/domain.h"
#include "mover/filter/xml-filter.h"

/* Reads <source> of a disk of type 'network'. *ret_why of a refusal: what is wrong with the disk,
 * as "is on a storage server over nbd; only ..."; static. -ENOTSUP. */
int storage_read_source(const xmlNode *source, struct domain_shared *ret, const char **ret_why);

/* Reads libvirt's own XML of a storage pool. -ENOTSUP if its kind is not one whose volumes Kith
 * knows by what they are; -EBADMSG. `pool` and `missing` are left to the caller. */
int storage_read_pool(const char *xml, struct domain_store *ret);

/* The volume that libvirt calls so in a pool of that store: its LUN, or its image. -ENOTSUP. */
int storage_read_volume(const struct domain_store *store, const char *name,
			char ret[DOMAIN_VOLUME_MAX + 1]);

/* May another device call a disk so? Both empty, or both of one of the two forms. */
bool storage_name_ok(const struct domain_shared *shared);

/* Calls `fn` for each disk of a VM's XML that is on such storage, or is a volume of a pool (then
 * `pool` is its name, and shared->volume the volume's name there). -EBADMSG if it cannot be read.
 */
typedef void (*storage_disk_fn)(void *ctx, const char *pool, const struct domain_shared *shared);
int storage_each_disk(const char *xml, storage_disk_fn fn, void *ctx);

/* Writes <source> of a disk, all of it this host's. */
void storage_put_source(struct filter *f, const struct domain_store *store, const char *volume);
