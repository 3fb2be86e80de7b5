/* SPDX-License-Identifier: Apache-2.0 */
/* Asks libvirt's storage driver, and QEMU whether it can open such disks. */
#include "mover/stores.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "mover/filter/storage.h"
#include "mover/names.h"
#include "mover/shared-file.h"
#include "mover/virt-internal.h"

#define QEMU_IMG "/usr/bin/qemu-img"
#define KINDS (VIR_CONNECT_LIST_STORAGE_POOLS_ISCSI_DIRECT | VIR_CONNECT_LIST_STORAGE_POOLS_RBD)

static void free_pool(virStoragePoolPtr *p)
{
	if (*p)
		virStoragePoolFree(*p);
}

#define _cleanup_pool_ _cleanup_(free_pool)

static int read_pool(virStoragePoolPtr p, struct domain_store *ret)
{
	char *xml = virStoragePoolGetXMLDesc(p, 0);
	int r = xml ? storage_read_pool(xml, ret) : -EIO;

	free(xml);
	if (r == 0)
		snprintf(ret->pool, sizeof(ret->pool), "%s", virStoragePoolGetName(p));
	return r;
}

/* -- which are open to VMs that arrive -- */

static void say_undefined(struct domain_store *s)
{
	kerr_set(&s->missing, ENOENT, KCODE_NOT_READY,
		 "The destination's kith.conf names \"%s\" in shared_pools, but libvirt has no "
		 "such storage pool there.",
		 s->pool);
}

static void say_inactive(struct domain_store *s)
{
	kerr_set(&s->missing, ENXIO, KCODE_NOT_READY,
		 "The VM's disk is in the storage pool \"%s\", which is not started at the "
		 "destination. Do there `virsh pool-start %s`, and `virsh pool-autostart %s` so "
		 "that it is started after each start of the computer.",
		 s->pool, s->pool, s->pool);
}

/* Its value is libvirt's, and nobody asks for it. */
static bool has_secret(struct virt *v, const struct domain_store *s)
{
	virSecretPtr secret;

	if (!s->user[0])
		return true;
	if (s->by_uuid)
		secret = virSecretLookupByUUIDString(v->conn, s->secret);
	else
		secret = virSecretLookupByUsage(v->conn,
						s->protocol == STORAGE_ISCSI
							? VIR_SECRET_USAGE_TYPE_ISCSI
							: VIR_SECRET_USAGE_TYPE_CEPH,
						s->secret);
	if (!secret)
		return false;
	virSecretFree(secret);
	return true;
}

static int ask_qemu(const char *options, int err_fd)
{
	char *argv[] = {(char *)"qemu-img", (char *)"info", (char *)"--image-opts",
			(char *)(uintptr_t)options, NULL};
	char *envp[] = {(char *)"LC_ALL=C", NULL};
	posix_spawn_file_actions_t actions;
	int r, status;
	pid_t pid;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	r = -posix_spawn_file_actions_adddup2(&actions, err_fd, STDERR_FILENO);
	if (r == 0)
		r = -posix_spawn(&pid, QEMU_IMG, &actions, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	while (r == 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return r;
}

/* On Debian QEMU's drivers for this are in a package of their own. Asked without an address, so
 * that no server is: QEMU complains of that, or of a driver that it does not know. */
static bool has_driver(enum storage_protocol protocol)
{
	_cleanup_close_ int out = -EBADF, in = -EBADF;
	char said[512] = "";
	ssize_t n;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return true;
	out = fds[0];
	in = fds[1];
	if (ask_qemu(protocol == STORAGE_ISCSI ? "driver=iscsi" : "driver=rbd", in) < 0)
		return true;
	closep(&in);
	in = -EBADF;
	n = read(out, said, sizeof(said) - 1);
	return n <= 0 || !strstr(said, "Unknown driver");
}

static void look_closer(struct virt *v, virStoragePoolPtr p, struct domain_store *s)
{
	struct domain_store found = {0};
	int r = read_pool(p, &found);

	if (r < 0) {
		kerr_set(&s->missing, ENOTSUP, KCODE_NOT_READY,
			 "The destination's storage pool \"%s\" in shared_pools is of none of the "
			 "kinds iscsi-direct, rbd and netfs, with the address of its server; its "
			 "volumes cannot be told from others.",
			 s->pool);
		return;
	}
	*s = found;
	if (virStoragePoolIsActive(p) != 1)
		say_inactive(s);
	else if (!has_secret(v, s))
		kerr_set(
			&s->missing, ENOENT, KCODE_NOT_READY,
			"The storage pool \"%s\" of the destination needs the secret \"%s\", which "
			"libvirt does not have there (`virsh secret-define`, then `virsh "
			"secret-set-value`).",
			s->pool, s->secret);
}

static void look_up(struct virt *v, struct domain_store *s)
{
	_cleanup_pool_ virStoragePoolPtr p = NULL;
	virErrorPtr e;

	if (virt_ensure(v, &s->missing) < 0)
		return;
	p = virStoragePoolLookupByName(v->conn, s->pool);
	if (p) {
		look_closer(v, p, s);
		return;
	}
	e = virGetLastError();
	if (e && (e->code == VIR_ERR_NO_STORAGE_POOL || e->code == VIR_ERR_NO_SUPPORT))
		say_undefined(s);
	else
		virt_fail(&s->missing, "Looking the storage pool up");
}

static void look_all(struct virt *v, const char *pools, struct stores *ret)
{
	char name[NAME_MAX_LEN + 1];

	*ret = (struct stores){0};
	while (*pools) {
		if (!names_next(&pools, name))
			continue;
		if (ret->count == STORES_MAX) {
			log_warning("stores",
				    "More than %d pools in shared_pools of kith.conf; \"%s\" does "
				    "not count.",
				    STORES_MAX, name);
			continue;
		}
		memcpy(ret->list[ret->count].pool, name, sizeof(name));
		look_up(v, &ret->list[ret->count++]);
	}
}

void stores_look(struct virt *v, const char *pools, struct stores *ret)
{
	look_all(v, pools, ret);
	for (size_t i = 0; i < ret->count; i++) {
		struct domain_store *s = &ret->list[i];

		if (s->missing.code == KCODE_OK && !storage_is_files(s->store) &&
		    !has_driver(s->protocol))
			kerr_set(
				&s->missing, ENOTSUP, KCODE_NOT_READY,
				"QEMU at the destination cannot open disks on such storage. "
				"Install "
				"its driver there (on Debian `apt install qemu-block-extra`), then "
				"hand the VM over again.");
	}
}

/* -- what is in them -- */

struct listing {
	const struct stores *stores;
	struct stores_volume *volumes;
	size_t count, max;
	uint8_t uuid[UUID_LEN]; /* of the VM whose configuration is read */
};

static void list_volume(struct listing *l, const struct domain_store *s, const char *name)
{
	struct stores_volume v = {.store = s};

	if (!name || storage_read_volume(s, name, v.name) < 0)
		return;
	if (l->count == l->max) {
		log_warning("stores", "Only %zu volumes of the shared pools are told.", l->max);
		return;
	}
	l->volumes[l->count++] = v;
}

/* What other hosts made there since libvirt looked is seen as well. -EACCES and others. */
static int list_folder(struct listing *l, const struct domain_store *s)
{
	DIR *folder = opendir(s->folder);
	const struct dirent *e;

	if (!folder)
		return -errno;
	while ((e = readdir(folder)))
		if (e->d_type == DT_REG || e->d_type == DT_UNKNOWN)
			list_volume(l, s, e->d_name);
	closedir(folder);
	return 0;
}

static void list_pool(struct virt *v, struct listing *l, const struct domain_store *s)
{
	_cleanup_pool_ virStoragePoolPtr p = virStoragePoolLookupByName(v->conn, s->pool);
	virStorageVolPtr *list = NULL;
	int n = p ? virStoragePoolListAllVolumes(p, &list, 0) : -1;

	for (int i = 0; i < n; i++) {
		list_volume(l, s, virStorageVolGetName(list[i]));
		virStorageVolFree(list[i]);
	}
	free(list);
}

static bool same_volume(const struct stores_volume *v, const struct storage_disk *d)
{
	char name[DOMAIN_VOLUME_MAX + 1] = "";

	if (d->file)
		storage_read_file(v->store, d->file, name);
	else if (d->pool && strcmp(v->store->pool, d->pool) == 0)
		storage_read_volume(v->store, d->volume, name);
	else if (!d->pool && strcmp(v->store->store, d->shared.store) == 0)
		return strcmp(v->name, d->shared.volume) == 0;
	return strcmp(v->name, name) == 0;
}

/* A VM's two configurations mostly name the same disk. */
static void note_user(void *ctx, const struct storage_disk *disk)
{
	struct listing *l = ctx;

	for (size_t i = 0; i < l->count; i++) {
		struct stores_volume *v = &l->volumes[i];

		if (!same_volume(v, disk) ||
		    (v->users == 1 && memcmp(v->user, l->uuid, UUID_LEN) == 0))
			continue;
		v->users++;
		memcpy(v->user, l->uuid, UUID_LEN);
	}
}

static void read_domain(struct listing *l, virDomainPtr dom)
{
	static const unsigned kinds[] = {0, VIR_DOMAIN_XML_INACTIVE};

	if (virDomainGetUUID(dom, l->uuid) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char *xml = virDomainGetXMLDesc(dom, kinds[i]);

		if (xml && storage_each_disk(xml, note_user, l) < 0)
			log_warning("stores", "A VM's configuration cannot be read.");
		free(xml);
	}
}

static void read_domains(struct virt *v, struct listing *l)
{
	virDomainPtr *list = NULL;
	int n = virConnectListAllDomains(v->conn, &list, 0);

	for (int i = 0; i < n; i++) {
		read_domain(l, list[i]);
		virDomainFree(list[i]);
	}
	free(list);
}

size_t stores_volumes(struct virt *v, const struct stores *stores, struct stores_volume *ret,
		      size_t max)
{
	struct listing l = {.stores = stores, .volumes = ret, .max = max};
	struct kerr ignored = {0};

	if (!stores->count || virt_ensure(v, &ignored) < 0)
		return 0;
	for (size_t i = 0; i < stores->count; i++)
		if (stores->list[i].missing.code == KCODE_OK &&
		    (!stores->list[i].folder[0] || list_folder(&l, &stores->list[i]) < 0))
			list_pool(v, &l, &stores->list[i]);
	if (l.count)
		read_domains(v, &l);
	return l.count;
}

/* -- one disk -- */

/* Also one that another host has made since libvirt looked last. */
static virStorageVolPtr find_volume(struct virt *v, const char *pool, const char *path)
{
	virStorageVolPtr vol = virStorageVolLookupByPath(v->conn, path);
	_cleanup_pool_ virStoragePoolPtr p = vol ? NULL : virStoragePoolLookupByName(v->conn, pool);

	return p && virStoragePoolRefresh(p, 0) == 0 ? virStorageVolLookupByPath(v->conn, path)
						     : vol;
}

/* libvirt reads as root, whom an NFS server may let in where it keeps Kith's own user out. Returns
 * the number of bytes, or -1. */
static ssize_t read_head(struct virt *v, const struct domain_store *s, const char *path,
			 uint8_t head[SHARED_FILE_HEAD])
{
	virStorageVolPtr vol = find_volume(v, s->pool, path);
	virStreamPtr stream = virStreamNew(v->conn, 0);
	ssize_t n = -1, got = 0;

	if (vol && stream && virStorageVolDownload(vol, stream, 0, SHARED_FILE_HEAD, 0) == 0) {
		while (got < (ssize_t)SHARED_FILE_HEAD &&
		       (n = virStreamRecv(stream, (char *)head + got,
					  SHARED_FILE_HEAD - (size_t)got)) > 0)
			got += n;
		virStreamAbort(stream);
	}
	if (stream)
		virStreamFree(stream);
	if (vol)
		virStorageVolFree(vol);
	return got ? got : n;
}

static int look_at_file(struct virt *v, const struct domain_store *s, const char *path,
			enum disk_format format, struct shared_file *ret, struct kerr *err)
{
	uint8_t head[SHARED_FILE_HEAD];
	int r = shared_file_look(path, ret, err);
	ssize_t n;

	if (r < 0 || format != DISK_FORMAT_QCOW2)
		return r;
	n = read_head(v, s, path, head);
	if (n < 0)
		return kerr_set(err, ENXIO, KCODE_NOT_READY,
				"The disk's file on the shared storage cannot be read on this "
				"device. Does its server let root in (NFS: no_root_squash)?");
	return shared_file_qcow2(head, (size_t)n, &ret->capacity, err);
}

static bool claim(struct virt *v, const struct stores *stores, struct domain_disk *d)
{
	struct domain_shared shared = {0};
	struct shared_file file;
	struct kerr why = {0};

	for (size_t i = 0; i < stores->count; i++) {
		const struct domain_store *s = &stores->list[i];

		if (s->missing.code != KCODE_OK ||
		    storage_read_file(s, d->source, shared.volume) < 0)
			continue;
		if (look_at_file(v, s, d->source, d->format, &file, &why) < 0) {
			log_info("stores", "Disk %s is copied. %s", d->target, why.text);
			return false;
		}
		memcpy(shared.store, s->store, sizeof(shared.store));
		shared.file = file.number;
		d->shared = shared;
		d->is_shared = true;
		return true;
	}
	return false;
}

void stores_claim(struct virt *v, const char *pools, struct domain_facts *facts)
{
	_cleanup_free_ struct stores *stores = NULL;

	if (domain_facts_copied(facts) && (stores = malloc(sizeof(*stores))))
		look_all(v, pools, stores);
	for (size_t i = 0; stores && i < facts->disk_count; i++)
		if (!facts->disks[i].is_shared && !facts->disks[i].unflushed)
			facts->shared_count += claim(v, stores, &facts->disks[i]);
}

int stores_file_size(struct virt *v, const struct domain_store *store,
		     const struct domain_shared *shared, enum disk_format format, uint64_t *ret,
		     struct kerr *err)
{
	char path[DOMAIN_PATH_MAX + 1];
	struct shared_file file;
	int r = storage_path(store, shared->volume, path);

	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "A path on the shared storage is too long.");
	r = virt_ensure(v, err);
	if (r == 0)
		r = look_at_file(v, store, path, format, &file, err);
	if (r < 0)
		return r;
	*ret = file.capacity;
	return file.number == shared->file
		       ? 0
		       : kerr_set(err, EBADF, KCODE_IDENTITY,
				  "The disk is the file \"%s\" on shared storage, but that of this "
				  "name at the destination is another one. Do the addresses in the "
				  "storage pools lead to the same server?",
				  shared->volume);
}

static int no_pool(const struct domain_disk *disk, struct kerr *err)
{
	return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
			"Disk %s of the VM is a volume of the storage pool \"%s\", which libvirt "
			"does not have here.",
			disk->target, disk->source);
}

int stores_resolve(struct virt *v, const struct domain_disk *disk, struct domain_shared *ret,
		   struct kerr *err)
{
	_cleanup_pool_ virStoragePoolPtr p = NULL;
	struct domain_shared shared = disk->shared;
	struct domain_store store;
	int r = virt_ensure(v, err);

	if (r == 0 && !shared.store[0]) {
		p = virStoragePoolLookupByName(v->conn, disk->source);
		r = p ? read_pool(p, &store) : no_pool(disk, err);
		if (p && r == 0 && storage_is_files(store.store))
			r = -ENOTSUP;
		if (p && r == 0)
			r = storage_read_volume(&store, disk->shared.volume, shared.volume);
		if (p && r < 0)
			return kerr_set(err, EPERM, KCODE_DOMAIN,
					"Disk %s of the VM is a volume of the storage pool \"%s\", "
					"which is neither of kind iscsi-direct nor rbd. Name the "
					"volume's file instead (`virsh edit`; type='file'), then "
					"hand the VM over.",
					disk->target, disk->source);
		if (r == 0)
			memcpy(shared.store, store.store, sizeof(shared.store));
	}
	if (r == 0)
		*ret = shared;
	return r;
}

static int size_in(virStoragePoolPtr p, const struct domain_shared *shared, uint64_t *ret,
		   struct kerr *err)
{
	struct domain_store store;
	char name[DOMAIN_VOLUME_MAX + 1];
	virStorageVolPtr *list = NULL;
	virStorageVolInfo info;
	int n, r = -ENOENT;

	if (read_pool(p, &store) < 0 || strcmp(store.store, shared->store) != 0)
		return -ENOENT;
	n = virStoragePoolListAllVolumes(p, &list, 0);
	for (int i = 0; i < n; i++) {
		const char *listed = virStorageVolGetName(list[i]);

		if (r == -ENOENT && listed && storage_read_volume(&store, listed, name) == 0 &&
		    strcmp(name, shared->volume) == 0)
			r = virStorageVolGetInfo(list[i], &info) < 0
				    ? virt_fail(err, "Asking the storage server for a disk's size")
				    : 0;
		virStorageVolFree(list[i]);
	}
	free(list);
	if (r == 0)
		*ret = info.capacity;
	return r;
}

int stores_size(struct virt *v, const struct domain_shared *shared, uint64_t *ret, struct kerr *err)
{
	virStoragePoolPtr *list = NULL;
	int n, r = virt_ensure(v, err);

	if (r < 0)
		return r;
	n = virConnectListAllStoragePools(v->conn, &list,
					  VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE | KINDS);
	r = -ENOENT;
	for (int i = 0; i < n; i++) {
		if (r == -ENOENT)
			r = size_in(list[i], shared, ret, err);
		virStoragePoolFree(list[i]);
	}
	free(list);
	return r;
}
