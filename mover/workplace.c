/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of policyd, kith-warden and the file system for one hand-off. */
#include "mover/workplace.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <pwd.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/log.h"

static const char *const socket_kinds[_WORKPLACE_SOCKET_MAX] = {
	[WORKPLACE_RPC] = "rpc",
	[WORKPLACE_RAM] = "ram",
	[WORKPLACE_NBD] = "nbd",
};
/* In the folder of a hand-off: "libvirt-" with the UUID is what AppArmor calls the guest's QEMU, so
 * one rule lets each QEMU make the sockets of its own hand-off and no other's (O2). */
#define SOCKET_NAME "libvirt-%s.%s"
#define SOCKET_NAME_LEN (8 + CUSTODY_UUID_TEXT - 1 + 4)

int workplace_open(struct workplace *p, const struct config *config, struct kerr *err)
{
	int r;

	p->config = *config;
	p->folder = p->dir_fd = -EBADF;
	p->virt = virt_new();
	if (!p->virt || virt_setup() < 0)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "The worker could not start.");
	r = remnant_folder_open(config->state, &p->folder);
	return r < 0 ? kerr_set(err, -r, KCODE_FAILED, "Cannot use %s/mover: %s.", config->state,
				strerror(-r))
		     : 0;
}

/* -- policyd and kith-warden -- */

int workplace_policyd(struct workplace *p)
{
	char path[160];
	int r;

	if (p->policyd)
		return 0;
	r = config_run_path(&p->config, POLICYD_SOCKET, path, sizeof(path));
	return r < 0 ? r : ipc_client_new(path, &p->policyd);
}

void workplace_policyd_drop(struct workplace *p)
{
	p->policyd = ipc_client_free(p->policyd);
}

int workplace_known(struct workplace *p, const uint8_t uuid[UUID_LEN], struct policyd_vm *ret,
		    struct kerr *err)
{
	_cleanup_free_ struct policyd_vm *vms = NULL;
	size_t n = 0;
	int r = workplace_policyd(p);

	if (r < 0)
		return kerr_set(err, -r, KCODE_INTERRUPTED, "kith-policyd cannot be reached.");
	r = policyd_client_vms(p->policyd, &vms, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (memcmp(vms[i].uuid, uuid, UUID_LEN) == 0) {
			*ret = vms[i];
			return 1;
		}
	return r;
}

/* A refusal by rule: the record is not written. Anything else (a TPM that failed half way, a lost
 * connection) leaves it open. */
static bool is_certain(enum kcode code)
{
	static const enum kcode certain[] = {
		KCODE_USAGE,	    KCODE_BAD_MESSAGE,	  KCODE_NOT_ALLOWED,   KCODE_NOT_FOUND,
		KCODE_BUSY,	    KCODE_POLICY,	  KCODE_PEER_UNKNOWN,  KCODE_ATTEST_PCR,
		KCODE_ATTEST_QUOTE, KCODE_ATTEST_BINDING, KCODE_ATTEST_REPLAY, KCODE_CUSTODY,
		KCODE_STALE_EPOCH,  KCODE_IDENTITY,
	};

	for (size_t i = 0; i < ARRAY_SIZE(certain); i++)
		if (certain[i] == code)
			return true;
	return false;
}

int workplace_record(struct workplace *p, struct policyd_open *ret)
{
	_cleanup_free_ struct policyd_open *list = NULL;
	struct kerr err = {0};
	size_t n = 0;
	int r = workplace_policyd(p);

	if (r < 0)
		return r;
	r = policyd_client_open_list(p->policyd, &list, &n, &err);
	if (r < 0)
		return r == -ENOENT ? -EIO : r;
	for (size_t i = 0; i < n; i++)
		if (memcmp(list[i].hid, p->hid, HID_LEN) == 0) {
			*ret = list[i];
			return 0;
		}
	return -ENOENT;
}

static int workplace_ask(struct workplace *p, enum custody_record record,
			 const struct statement *proof, struct statement *ret, struct kerr *err)
{
	int r = workplace_policyd(p);

	if (r < 0)
		return kerr_set(err, -r, KCODE_INTERRUPTED, "kith-policyd cannot be reached.");
	/* W12: the rule that only the worker which ran the copy may release it is about a copy
	 * that still exists (R1). */
	if (record == CUSTODY_RELEASED && p->copy_gone)
		return policyd_client_release_forward(p->policyd, p->hid, proof->data, proof->len,
						      &ret->data, &ret->len, err);
	return policyd_client_journal(p->policyd, p->hid, record, proof->data, proof->len,
				      &ret->data, &ret->len, err);
}

enum transfer_event workplace_journal(struct workplace *p, enum custody_record record,
				      const struct statement *proof, struct statement *ret,
				      struct kerr *err)
{
	struct policyd_open last = {.record = _CUSTODY_RECORD_MAX};
	struct kerr again = {0};
	int r;

	if (workplace_ask(p, record, proof, ret, err) == 0)
		return TRANSFER_EVENT_JOURNALLED;
	log_warning("worker", "policyd did not write \"%s\": %s", custody_record_to_string(record),
		    err->text);
	p->refusal = is_certain(err->code) ? err->code : KCODE_OK;
	if (p->refusal != KCODE_OK)
		return TRANSFER_EVENT_REFUSED;
	workplace_policyd_drop(p);
	r = workplace_record(p, &last);
	if (r == -ENOENT || (r == 0 && last.record != record))
		return TRANSFER_EVENT_REFUSED;
	/* It is there after all: asking again only makes the statement anew. */
	if (r == 0 && workplace_ask(p, record, proof, ret, &again) == 0)
		return TRANSFER_EVENT_JOURNALLED;
	return TRANSFER_EVENT_DOUBT;
}

int workplace_settle(struct workplace *p)
{
	enum warden_copy copy;
	struct kerr err = {0};
	int r = warden_settle(&p->config, p->uuid, &copy, &err);

	if (r < 0)
		log_warning("worker", "%s", err.text);
	else if (copy == WARDEN_COPY_FROZEN)
		r = -EBUSY;
	return r;
}

/* -- the folder -- */

static uid_t qemu_user(void)
{
	static const char *const names[] = {"libvirt-qemu", "qemu"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct passwd *p = getpwnam(names[i]);

		if (p)
			return p->pw_uid;
	}
	return 0;
}

/* One entry of a POSIX ACL as the kernel takes it. */
static void acl_entry(struct wbuf *b, uint16_t tag, uint16_t permissions, uint32_t id)
{
	wbuf_u16(b, tag);
	wbuf_u16(b, permissions);
	wbuf_u32(b, id);
}

/* acl(5), <linux/posix_acl_xattr.h>: entries sorted by tag, users by number. */
static struct wbuf acl(uint8_t *room, size_t size, uid_t low, uid_t high, uint16_t rest)
{
	struct wbuf b = wbuf_init(room, size);

	wbuf_u32(&b, POSIX_ACL_XATTR_VERSION);
	acl_entry(&b, ACL_USER_OBJ, 7, UINT32_MAX);
	if (low)
		acl_entry(&b, ACL_USER, 7, low);
	if (high && high != low)
		acl_entry(&b, ACL_USER, 7, high);
	acl_entry(&b, ACL_GROUP_OBJ, rest, UINT32_MAX);
	acl_entry(&b, ACL_MASK, 7, UINT32_MAX);
	acl_entry(&b, ACL_OTHER, rest, UINT32_MAX);
	return b;
}

/* QEMU makes its sockets here at the destination and reaches ours at the source; we must reach
 * the ones that it makes. Each side's user is named, nobody else gets more than passage. */
static int share_with_qemu(int fd, uid_t qemu)
{
	uid_t own = geteuid();
	uint8_t room[64];
	struct wbuf b = acl(room, sizeof(room), 0, qemu, 1);

	if (fsetxattr(fd, "system.posix_acl_access", room, b.len, 0) < 0)
		return -errno;
	b = acl(room, sizeof(room), MIN_OF(own, qemu), own > qemu ? own : qemu, 0);
	return fsetxattr(fd, "system.posix_acl_default", room, b.len, 0) < 0 ? -errno : 0;
}

int workplace_lock(struct workplace *p, const uint8_t hid[HID_LEN], struct kerr *err)
{
	_cleanup_close_ int fd = -EBADF;
	int n;

	memcpy(p->hid, hid, HID_LEN);
	hex_encode(hid, HID_LEN, p->hex);
	p->qemu_uid = qemu_user();
	n = snprintf(p->dir, sizeof(p->dir), "%s/mover/%s", p->config.run, p->hex);
	/* sockaddr_un ends at 107 bytes. */
	if (n < 0 || n + 1 + SOCKET_NAME_LEN > 107)
		return kerr_set(err, ENAMETOOLONG, KCODE_FAILED,
				"The run folder's path is too long.");
	if (mkdir(p->dir, 0711) < 0 && errno != EEXIST)
		return kerr_set(err, errno, KCODE_FAILED, "Cannot make %s: %s.", p->dir,
				strerror(errno));
	fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return kerr_set(err, EBUSY, KCODE_BUSY, "Another worker has this hand-off.");
	n = share_with_qemu(fd, p->qemu_uid);
	if (n < 0)
		return kerr_set(err, -n, KCODE_FAILED, "Cannot let QEMU into %s: %s.", p->dir,
				strerror(-n));
	p->dir_fd = TAKE_FD(fd);
	return 0;
}

void workplace_name_sockets(struct workplace *p)
{
	char uuid[CUSTODY_UUID_TEXT];

	custody_uuid_text(p->uuid, uuid);
	for (size_t i = 0; i < _WORKPLACE_SOCKET_MAX; i++)
		snprintf(p->sockets[i], sizeof(p->sockets[i]), "%s/" SOCKET_NAME, p->dir, uuid,
			 socket_kinds[i]);
}

/* Whatever is in it is this hand-off's: recovery may not know the VM's UUID any more. */
static void empty_folder(int fd)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

void workplace_remove(struct workplace *p)
{
	int fd;

	if (p->dir_fd < 0)
		return;
	fd = openat(p->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		empty_folder(fd);
	rmdir(p->dir);
}
