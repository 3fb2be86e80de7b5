/* SPDX-License-Identifier: Apache-2.0 */
#include "mover/shared-file.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/* docs/interop/qcow2.txt of QEMU 7.2. All numbers are big-endian. */
struct qcow2_header {
	uint32_t magic, version;
	uint64_t backing_file_offset;
	uint32_t backing_file_size, cluster_bits;
	uint64_t size;
	uint32_t crypt_method, l1_size;
	uint64_t l1_table_offset, refcount_table_offset;
	uint32_t refcount_table_clusters, nb_snapshots;
	uint64_t snapshots_offset, incompatible_features;
} __attribute__((packed));

#define QCOW2_MAGIC 0x514649fbu
/* Dirty, compression type, extended L2 entries: what is not here is a damaged image, one whose
 * contents are in another file, or something new. */
#define QCOW2_FEATURES (UINT64_C(1) << 0 | UINT64_C(1) << 3 | UINT64_C(1) << 4)

static int unlike(const char *what, struct kerr *err)
{
	return kerr_set(err, EPERM, KCODE_DOMAIN,
			"The disk's file on the shared storage %s, so it cannot stay there.", what);
}

static int read_qcow2(int fd, uint64_t *ret, struct kerr *err)
{
	struct qcow2_header h = {0};
	ssize_t n = pread(fd, &h, sizeof(h), 0);
	uint32_t version = be32toh(h.version);

	if (n < (ssize_t)offsetof(struct qcow2_header, snapshots_offset) ||
	    be32toh(h.magic) != QCOW2_MAGIC || version < 2 || version > 3)
		return unlike("is no qcow2 image", err);
	if (h.backing_file_offset)
		return unlike("has a backing file", err);
	if (h.crypt_method)
		return unlike("is encrypted", err);
	if (version == 3 &&
	    (n < (ssize_t)sizeof(h) || (be64toh(h.incompatible_features) & ~QCOW2_FEATURES)))
		return unlike("is damaged, or has its contents in another file", err);
	*ret = be64toh(h.size);
	return 0;
}

static int open_failed(int number, struct kerr *err)
{
	if (number == ENOENT)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"There is no such file on the shared storage.");
	return kerr_set(err, ENXIO, KCODE_NOT_READY,
			"The disk's file on the shared storage cannot be read by this device: %s. "
			"Does its server let root in (NFS: no_root_squash)?",
			strerror(number));
}

int shared_file_look(const char *path, enum disk_format format, struct shared_file *ret,
		     struct kerr *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct shared_file f = {0};
	struct stat st;
	int r = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return open_failed(errno, err);
	if (!S_ISREG(st.st_mode) || !st.st_ino)
		return unlike("is not a plain file", err);
	f.number = st.st_ino;
	f.capacity = (uint64_t)st.st_size;
	if (format == DISK_FORMAT_QCOW2)
		r = read_qcow2(fd, &f.capacity, err);
	if (r == 0)
		*ret = f;
	return r;
}
