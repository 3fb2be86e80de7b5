/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes are made and removed by libvirtd, which may do so, and whose list stays true. */
#include "mover/pool.h"

#include <string.h>

#include "base/buf.h"
#include "mover/filter/xml-filter.h"
#include "mover/virt-internal.h"

#define XML_MAX 65536u
#define XML_DEPTH_MAX 16
/* Kinds whose volumes are files. */
#define KINDS                                                                     \
	(VIR_CONNECT_LIST_STORAGE_POOLS_DIR | VIR_CONNECT_LIST_STORAGE_POOLS_FS | \
	 VIR_CONNECT_LIST_STORAGE_POOLS_NETFS)

static void free_pool(virStoragePoolPtr *p)
{
	if (*p)
		virStoragePoolFree(*p);
}

static void free_volume(virStorageVolPtr *v)
{
	if (*v)
		virStorageVolFree(*v);
}

#define _cleanup_pool_ _cleanup_(free_pool)
#define _cleanup_volume_ _cleanup_(free_volume)

static bool last_was(int code)
{
	virErrorPtr e = virGetLastError();

	return e && e->code == code;
}

/* What is in <target><path> of libvirt's own words. */
static int read_folder(const char *xml, char *ret, size_t size, struct kerr *err)
{
	_cleanup_doc_ xmlDoc *doc = NULL;
	const xmlNode *node = NULL;
	struct kerr ignored = {0};
	const char *path;

	if (filter_parse(xml, strlen(xml), XML_MAX, XML_DEPTH_MAX, "pool", &doc, &ignored) == 0)
		node = filter_child(xmlDocGetRootElement(doc), "target");
	node = node ? filter_child(node, "path") : NULL;
	path = node ? filter_text_of(node) : NULL;
	if (!path || path[0] != '/' || !text_is_name(path, size - 1))
		return kerr_set(err, ENOENT, KCODE_NOT_READY,
				"The path of a storage pool cannot be used.");
	snprintf(ret, size, "%s", path);
	return 0;
}

static int pool_read(virStoragePoolPtr from, struct pool *ret, struct kerr *err)
{
	struct pool p = {0};
	char *xml;
	int r;

	if (!text_is_name(virStoragePoolGetName(from), NAME_MAX_LEN))
		return kerr_set(err, ENOENT, KCODE_NOT_READY,
				"The name of a storage pool is too long or not clean text.");
	snprintf(p.name, sizeof(p.name), "%s", virStoragePoolGetName(from));
	xml = virStoragePoolGetXMLDesc(from, 0);
	if (!xml || virStoragePoolGetUUID(from, p.uuid) < 0) {
		free(xml);
		return virt_fail(err, "Reading the storage pool");
	}
	r = read_folder(xml, p.folder, sizeof(p.folder), err);
	free(xml);
	if (r == 0)
		*ret = p;
	return r;
}

static int pool_pick(virStoragePoolPtr *list, int n, const char *name, const char *folder,
		     struct pool *ret, struct kerr *err)
{
	for (int i = 0; i < n; i++) {
		struct kerr ignored = {0};
		struct pool p;

		if (name && strcmp(virStoragePoolGetName(list[i]), name) == 0)
			return pool_read(list[i], ret, err);
		if (folder && pool_read(list[i], &p, &ignored) == 0 &&
		    strcmp(p.folder, folder) == 0) {
			*ret = p;
			return 0;
		}
	}
	return -ENOENT;
}

/* By name, or by folder where that is NULL. *err stays clean if there is none. */
static int pool_find(struct virt *v, const char *name, const char *folder, struct pool *ret,
		     struct kerr *err)
{
	virStoragePoolPtr *list = NULL;
	int n, r = virt_ensure(v, err);

	if (r < 0)
		return r;
	n = virConnectListAllStoragePools(v->conn, &list,
					  VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE | KINDS);
	/* A libvirt without its storage driver has no pools. */
	if (n < 0)
		return last_was(VIR_ERR_NO_SUPPORT) ? -ENOENT
						    : virt_fail(err, "Listing the storage pools");
	r = pool_pick(list, n, name, folder, ret, err);
	for (int i = 0; i < n; i++)
		virStoragePoolFree(list[i]);
	free(list);
	return r;
}

int pool_get(struct virt *v, const char *name, struct pool *ret, struct kerr *err)
{
	_cleanup_pool_ virStoragePoolPtr p = NULL;
	int r = pool_find(v, name, NULL, ret, err);

	if (r != -ENOENT || err->code != KCODE_OK)
		return r;
	p = virStoragePoolLookupByName(v->conn, name);
	if (!p)
		return kerr_set(err, ENOENT, KCODE_NOT_READY,
				"libvirt has no storage pool \"%s\" here.", name);
	if (virStoragePoolIsActive(p) != 1)
		return kerr_set(err, ENOENT, KCODE_NOT_READY,
				"The storage pool \"%s\" is not started; start it with `virsh "
				"pool-start %s`.",
				name, name);
	return kerr_set(err, ENOENT, KCODE_NOT_READY,
			"The volumes of the storage pool \"%s\" are not files in a folder.", name);
}

int pool_at(struct virt *v, const char *folder, struct pool *ret, struct kerr *err)
{
	return pool_find(v, NULL, folder, ret, err);
}

const char *pool_volume_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The name has letters, digits and "._-" only: nothing to escape. */
static int volume_xml(const struct domain_disk_target *disk, char *ret, size_t size)
{
	bool qcow2 = disk->format == DISK_FORMAT_QCOW2;
	int n = snprintf(ret, size,
			 "<volume><name>%s</name><capacity unit='bytes'>%llu</capacity>"
			 "<allocation>0</allocation><target><format type='%s'/>"
			 "<permissions><mode>0640</mode><group>%u</group></permissions>"
			 "%s</target></volume>",
			 pool_volume_name(disk->path), (unsigned long long)disk->capacity,
			 disk_format_to_string(disk->format), (unsigned)getegid(),
			 qcow2 ? "<compat>1.1</compat>" : "");

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int lookup_pool(struct virt *v, const uint8_t uuid[UUID_LEN], virStoragePoolPtr *ret,
		       struct kerr *err)
{
	int r = virt_ensure(v, err);

	if (r < 0)
		return r;
	*ret = virStoragePoolLookupByUUID(v->conn, uuid);
	if (!*ret && (last_was(VIR_ERR_NO_STORAGE_POOL) || last_was(VIR_ERR_NO_SUPPORT)))
		return kerr_set(err, ENXIO, KCODE_NOT_READY,
				"libvirt does not have the storage pool of the image any more.");
	if (!*ret)
		return virt_fail(err, "Looking the storage pool up");
	if (virStoragePoolIsActive(*ret) != 1)
		return kerr_set(err, ENXIO, KCODE_NOT_READY,
				"The storage pool \"%.63s\" is not started.",
				virStoragePoolGetName(*ret));
	return 0;
}

int pool_make(struct virt *v, const struct pool *pool, const struct domain_disk_target *disk,
	      struct kerr *err)
{
	_cleanup_pool_ virStoragePoolPtr p = NULL;
	_cleanup_volume_ virStorageVolPtr made = NULL;
	char xml[1024];
	int r = lookup_pool(v, pool->uuid, &p, err);

	if (r == 0 && volume_xml(disk, xml, sizeof(xml)) < 0)
		r = kerr_set(err, ENAMETOOLONG, KCODE_FAILED, "The image's name is too long.");
	if (r < 0)
		return r;
	/* What libvirt does not know yet, because it came by another way, is not written over
	 * either: it looks at the path before it makes the file. */
	made = virStorageVolCreateXML(p, xml, 0);
	return made ? 0 : virt_fail(err, "Making a volume");
}

/* A file that came by another way shows after a refresh. */
static int lookup_volume(virStoragePoolPtr p, const char *path, virStorageVolPtr *ret,
			 struct kerr *err)
{
	const char *name = pool_volume_name(path);
	char *where;
	bool same;

	*ret = virStorageVolLookupByName(p, name);
	if (!*ret && virStoragePoolRefresh(p, 0) < 0)
		return virt_fail(err, "Refreshing the storage pool");
	if (!*ret)
		*ret = virStorageVolLookupByName(p, name);
	if (!*ret)
		return last_was(VIR_ERR_NO_STORAGE_VOL) ? -ENOENT
							: virt_fail(err, "Looking the volume up");
	where = virStorageVolGetPath(*ret);
	same = where && strcmp(where, path) == 0;
	free(where);
	return same ? 0
		    : kerr_set(err, ENXIO, KCODE_NOT_READY,
			       "The storage pool \"%.63s\" has another folder now.",
			       virStoragePoolGetName(p));
}

int pool_remove(struct virt *v, const uint8_t uuid[UUID_LEN], const char *path, struct kerr *err)
{
	_cleanup_pool_ virStoragePoolPtr p = NULL;
	_cleanup_volume_ virStorageVolPtr volume = NULL;
	int r = lookup_pool(v, uuid, &p, err);

	if (r == 0)
		r = lookup_volume(p, path, &volume, err);
	if (r < 0)
		return r;
	return virStorageVolDelete(volume, 0) < 0 ? virt_fail(err, "Removing the volume") : 0;
}
