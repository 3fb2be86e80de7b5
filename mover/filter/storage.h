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

/* May another device call a disk so? All empty, or all of one of the forms of domain_shared. */
bool storage_name_ok(const struct domain_shared *shared);

/* Are the volumes of that store files of a file system, as its name says? */
bool storage_is_files(const char *store);

/* The volume that a path is in such a store of this host. -ENOTSUP if it is none. */
int storage_read_file(const struct domain_store *store, const char *path,
		      char ret[DOMAIN_VOLUME_MAX + 1]);

/* The path of a volume of such a store. -ENAMETOOLONG. */
int storage_path(const struct domain_store *store, const char *volume,
		 char ret[DOMAIN_PATH_MAX + 1]);

/* A disk of a VM: a file, a volume that libvirt knows by its pool, or one that `shared` names. */
struct storage_disk {
	const char *file, *pool, *volume;
	struct domain_shared shared;
};

/* Calls `fn` for each disk of a VM's XML that may be on such storage. -EBADMSG if it cannot be
 * read. */
typedef void (*storage_disk_fn)(void *ctx, const struct storage_disk *disk);
int storage_each_disk(const char *xml, storage_disk_fn fn, void *ctx);

/* Writes <source> of a disk, all of it this host's. Negative with the error set as filter_refuse().
 */
int storage_put_source(struct filter *f, const struct domain_store *store, const char *volume);
