/* SPDX-License-Identifier: Apache-2.0 */
/* What cannot be seen counts as a use. */
#include "mover/usage.h"

#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "mover/filter/mention.h"
#include "mover/virt-internal.h"

struct usage {
	struct virt *virt;
	const char *path;
	bool exists;
	struct stat st; /* of the file, if it exists and may be looked at */
	char other[DOMAIN_PATH_MAX + 1];
};

static bool is_file(void *ctx, const char *value)
{
	const struct usage *u = ctx;
	struct stat st;

	if (strcmp(value, u->path) == 0)
		return true;
	if (value[0] != '/') /* a part of a command line, say */
		return strstr(value, u->path);
	return u->exists && stat(value, &st) == 0 && st.st_dev == u->st.st_dev &&
	       st.st_ino == u->st.st_ino;
}

/* Of a volume libvirt looked into the file. */
static bool is_no_volume(void *ctx, const char *value)
{
	struct usage *u = ctx;
	virStorageVolPtr volume = virStorageVolLookupByPath(u->virt->conn, value);

	if (!volume) {
		snprintf(u->other, sizeof(u->other), "%s", value);
		return true;
	}
	virStorageVolFree(volume);
	return false;
}

static const char *plain(const char *name)
{
	return name && text_is_clean(name) ? name : "?";
}

static int in_use(const struct usage *u, const char *what, const char *name, struct kerr *err)
{
	return kerr_set(err, EBUSY, KCODE_BUSY,
			"The image %.200s is in use: %s \"%.63s\" needs it.", u->path, what,
			plain(name));
}

static int unreadable(const char *what, const char *name, struct kerr *err)
{
	return kerr_set(err, EBUSY, KCODE_BUSY,
			"What %s \"%.63s\" needs cannot be read, so nothing is removed.", what,
			plain(name));
}

/* Takes the document over. */
static int check_document(struct usage *u, char *xml, const char *what, const char *name,
			  struct kerr *err)
{
	int r = xml ? mention_any(xml, is_file, u) : -EIO;

	free(xml);
	if (r > 0)
		return in_use(u, what, name, err);
	return r < 0 ? unreadable(what, name, err) : 0;
}

/* Of a VM that is off libvirt does not say what its images stand on; pools do, of their volumes. */
static int check_chain(struct usage *u, virDomainPtr dom, struct kerr *err)
{
	char *xml = virDomainGetXMLDesc(dom, 0);
	int r = xml ? mention_unknown_chain(xml, is_no_volume, u) : -EIO;

	free(xml);
	if (r > 0)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"Whether the disk %.150s of the VM \"%.63s\" stands on that image "
				"cannot be seen: the VM is off, and its disk is in no storage "
				"pool.",
				u->other, plain(virDomainGetName(dom)));
	return r < 0 ? unreadable("the VM", virDomainGetName(dom), err) : 0;
}

static int check_snapshots(struct usage *u, virDomainPtr dom, struct kerr *err)
{
	virDomainSnapshotPtr *list = NULL;
	int n = virDomainListAllSnapshots(dom, &list, 0), r = 0;

	if (n < 0)
		return unreadable("the VM", virDomainGetName(dom), err);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = check_document(u, virDomainSnapshotGetXMLDesc(list[i], 0),
					   "a snapshot of the VM", virDomainGetName(dom), err);
		virDomainSnapshotFree(list[i]);
	}
	free(list);
	return r;
}

/* As it runs, and as it is defined. */
static int check_domain(struct usage *u, virDomainPtr dom, struct kerr *err)
{
	const char *name = virDomainGetName(dom);
	int r = check_document(u, virDomainGetXMLDesc(dom, 0), "the VM", name, err);

	if (r == 0 && virDomainIsPersistent(dom) == 1)
		r = check_document(u, virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE), "the VM",
				   name, err);
	if (r == 0)
		r = check_chain(u, dom, err);
	return r == 0 ? check_snapshots(u, dom, err) : r;
}

static int check_domains(struct usage *u, struct kerr *err)
{
	virDomainPtr *list = NULL;
	int n = virConnectListAllDomains(u->virt->conn, &list, 0), r = 0;

	if (n < 0)
		return virt_fail(err, "Listing the VMs");
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = check_domain(u, list[i], err);
		virDomainFree(list[i]);
	}
	free(list);
	return r;
}

/* A volume names itself as well; only what it stands on counts. */
static int check_volume(struct usage *u, virStorageVolPtr volume, struct kerr *err)
{
	char *path = virStorageVolGetPath(volume);
	bool self = path && is_file(u, path);

	free(path);
	return self ? 0
		    : check_document(u, virStorageVolGetXMLDesc(volume, 0), "the volume",
				     virStorageVolGetName(volume), err);
}

static int check_pool(struct usage *u, virStoragePoolPtr pool, struct kerr *err)
{
	virStorageVolPtr *list = NULL;
	int n, r = 0;

	if (virStoragePoolRefresh(pool, 0) < 0)
		return unreadable("the storage pool", virStoragePoolGetName(pool), err);
	n = virStoragePoolListAllVolumes(pool, &list, 0);
	if (n < 0)
		return unreadable("the storage pool", virStoragePoolGetName(pool), err);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = check_volume(u, list[i], err);
		virStorageVolFree(list[i]);
	}
	free(list);
	return r;
}

static int check_pools(struct usage *u, struct kerr *err)
{
	virStoragePoolPtr *list = NULL;
	int n = virConnectListAllStoragePools(u->virt->conn, &list,
					      VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);
	int r = 0;

	if (n < 0) /* without a storage driver there are no volumes */
		return virGetLastErrorCode() == VIR_ERR_NO_SUPPORT
			       ? 0
			       : virt_fail(err, "Listing the storage pools");
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = check_pool(u, list[i], err);
		virStoragePoolFree(list[i]);
	}
	free(list);
	return r;
}

int usage_check(struct virt *v, const char *path, struct kerr *err)
{
	struct usage u = {.virt = v, .path = path};
	int r = virt_ensure(v, err);

	if (r < 0)
		return r;
	u.exists = stat(path, &u.st) == 0;
	/* Pools first: refreshed, they know of what domains stand on. */
	r = check_pools(&u, err);
	return r == 0 ? check_domains(&u, err) : r;
}
