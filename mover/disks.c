/* SPDX-License-Identifier: Apache-2.0 */
/* Lists where images are made and which old ones are here, and removes an old one. */
#include "mover/disks.h"

#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "mover/disk.h"
#include "mover/disks-client.h"
#include "mover/oneshot.h"
#include "mover/stale.h"
#include "mover/usage.h"
#include "mover/worker.h"

#define STALE_SHOWN_MAX 40 /* of the longest paths, in one frame */

/* -- the list -- */

static void tell_place(struct workplace *p, struct disks_place *ret)
{
	_cleanup_place_ struct disk_place place = {.fd = -EBADF};
	struct disk_room room;
	struct kerr err = {0};

	if (disk_place_open(p->virt, &p->config, &place, &err) < 0 ||
	    disk_place_room(&place, &room, &err) < 0) {
		ret->why = err;
		return;
	}
	ret->free_bytes = room.free_bytes;
	ret->total_bytes = room.total_bytes;
	memcpy(ret->pool, place.pool.name, sizeof(ret->pool));
	memcpy(ret->folder, place.folder, sizeof(ret->folder));
	ret->why = place.why_none;
}

static void tell_file(struct disks_stale *s)
{
	struct stat st;

	if (lstat(s->path, &st) == 0) {
		s->state = DISKS_STATE_THERE;
		s->bytes = (uint64_t)st.st_blocks * 512;
	} else {
		s->state = errno == ENOENT ? DISKS_STATE_GONE : DISKS_STATE_UNKNOWN;
	}
}

static const struct policyd_vm *find_vm(const struct policyd_vm *vms, size_t n,
					const uint8_t uuid[UUID_LEN])
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(vms[i].uuid, uuid, UUID_LEN) == 0)
			return &vms[i];
	return NULL;
}

static void tell_stale(const struct stale *from, const struct policyd_vm *vm,
		       struct disks_stale *ret)
{
	*ret = (struct disks_stale){.time = from->time, .made = from->made};
	memcpy(ret->uuid, from->uuid, UUID_LEN);
	memcpy(ret->peer, from->peer, DEVICE_ID_LEN);
	memcpy(ret->vm, from->vm, sizeof(ret->vm));
	memcpy(ret->peer_name, from->peer_name, sizeof(ret->peer_name));
	memcpy(ret->path, from->path, sizeof(ret->path));
	ret->here = vm && vm->here;
	tell_file(ret);
}

static int read_vms(struct workplace *p, struct policyd_vm **ret, size_t *ret_n, struct kerr *err)
{
	int r = workplace_policyd(p);

	if (r < 0)
		return kerr_set(err, -r, KCODE_INTERRUPTED, "kith-policyd cannot be reached.");
	return policyd_client_vms(p->policyd, ret, ret_n, err);
}

static int disks_list(struct workplace *p, struct wbuf *w, struct kerr *err)
{
	_cleanup_free_ struct policyd_vm *vms = NULL;
	_cleanup_free_ struct stale *stale = NULL;
	struct disks_place place = {0};
	struct kerr ignored = {0};
	struct record_list list;
	size_t n = 0, vm_count = 0;

	if (stale_list(p->folder, &stale, &n) < 0)
		return kerr_set(err, EIO, KCODE_FAILED, "The notes of old images cannot be read.");
	/* Without it nobody knows who is here again; the list counts all the same. */
	(void)read_vms(p, &vms, &vm_count, &ignored);
	tell_place(p, &place);
	disks_place_put(w, &place);
	record_list_begin(&list, w, &disks_stale_record);
	if (n > STALE_SHOWN_MAX)
		log_warning("disks", "Only %d of %zu old images are listed.", STALE_SHOWN_MAX, n);
	for (size_t i = 0; i < n && i < STALE_SHOWN_MAX; i++) {
		struct disks_stale told;

		tell_stale(&stale[i], find_vm(vms, vm_count, stale[i].uuid), &told);
		record_list_add(&list, &told);
	}
	record_list_end(&list);
	return wbuf_error(w);
}

/* -- removing one -- */

/* What a VM left here is of no use only while another device holds it. */
static int check_custody(struct workplace *p, const struct stale *s, struct kerr *err)
{
	_cleanup_free_ struct policyd_vm *vms = NULL;
	const struct policyd_vm *vm;
	size_t n = 0;
	int r = read_vms(p, &vms, &n, err);

	if (r < 0)
		return r;
	vm = find_vm(vms, n, s->uuid);
	if (!vm || vm->doubt)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"Where the VM \"%s\" is now is not known here, so its old image is "
				"not removed.",
				s->vm);
	if (vm->open)
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"A hand-off of the VM \"%s\" is open; its old image is not removed "
				"before that has ended.",
				s->vm);
	if (vm->here)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"The VM \"%s\" is on this device again; Kith removes its old image "
				"only while it is elsewhere.",
				s->vm);
	return 0;
}

/* By libvirt, if the file is in a pool; what an owner put elsewhere is not ours to unlink. */
static int remove_owners(struct workplace *p, const char *path, struct kerr *err)
{
	char folder[DOMAIN_PATH_MAX + 1];
	struct stat st;
	struct pool pool;
	int r;

	if (lstat(path, &st) < 0 && errno == ENOENT)
		return -ENOENT;
	snprintf(folder, sizeof(folder), "%.*s", (int)(pool_volume_name(path) - path - 1), path);
	r = pool_at(p->virt, folder, &pool, err);
	if (r == -ENOENT)
		return -EPERM;
	return r < 0 ? r : pool_remove(p->virt, pool.uuid, path, err);
}

static int remove_file(struct workplace *p, const struct stale *s, struct kerr *err)
{
	if (disk_was_made(p->folder, s->path))
		return disk_remove(p->virt, p->folder, s->path, err);
	return remove_owners(p, s->path, err);
}

static int disks_remove(struct workplace *p, const char *path, enum disks_outcome *ret,
			struct kerr *err)
{
	struct stale s;
	int r = stale_read(p->folder, path, &s);

	if (r < 0)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"Kith has no note that a VM left %.300s here; it removes nothing "
				"else. `kith disks` lists what it may remove.",
				path);
	r = check_custody(p, &s, err);
	if (r == 0)
		r = usage_check(p->virt, path, err);
	if (r < 0)
		return r;
	r = remove_file(p, &s, err);
	if (r == -EPERM && err->code == KCODE_OK) {
		*ret = DISKS_OUTCOME_BY_HAND;
		return 0;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	*ret = r < 0 ? DISKS_OUTCOME_GONE : DISKS_OUTCOME_REMOVED;
	/* The note last: a crash before it leaves one for nothing. */
	stale_forget(p->folder, path);
	log_notice("disks", "The image %s that \"%s\" left here is removed, as its owner wished.",
		   path, s.vm);
	return 0;
}

static int disks_forget(struct workplace *p, const char *path, enum disks_outcome *ret,
			struct kerr *err)
{
	if (stale_forget(p->folder, path) < 0)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "Kith has no note of %.300s.", path);
	*ret = DISKS_OUTCOME_GONE;
	return 0;
}

/* -- the process -- */

static int disks_answer(const struct config *config, const char *mode, const char *path,
			struct wbuf *w, struct kerr *err)
{
	static struct workplace p;
	struct disks_answer answer = {0};
	int r = workplace_open(&p, config, err);

	if (r == 0 && !path)
		return disks_list(&p, w, err);
	if (r == 0)
		r = (strcmp(mode, DISKS_MODE_FORGET) == 0 ? disks_forget : disks_remove)(
			&p, path, &answer.outcome, err);
	return r < 0 ? r : disks_answer_put(w, &answer);
}

void disks_main(const struct config *config, const char *mode, const char *path)
{
	static uint8_t body[IPC_MAX_BODY];
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct kerr err = {0};
	int r;

	log_setup("kith-mover disks");
	r = disks_answer(config, mode, path, &w, &err);
	oneshot_answer(path ? MOVER_OP_DISK_REMOVE : MOVER_OP_DISKS, r, &w, &err,
		       "The disk images cannot be told.");
}
