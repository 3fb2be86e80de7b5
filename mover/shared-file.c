/* SPDX-License-Identifier: Apache-2.0 */
#include "mover/shared-file.h"

#include <endian.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

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

int shared_file_qcow2(const uint8_t *head, size_t len, uint64_t *ret_capacity, struct kerr *err)
{
	struct qcow2_header h = {0};
	uint32_t version;

	memcpy(&h, head, len < sizeof(h) ? len : sizeof(h));
	version = be32toh(h.version);
	if (len < offsetof(struct qcow2_header, incompatible_features) ||
	    be32toh(h.magic) != QCOW2_MAGIC || version < 2 || version > 3)
		return unlike("is no qcow2 image", err);
	if (h.backing_file_offset)
		return unlike("has a backing file", err);
	if (h.crypt_method)
		return unlike("is encrypted", err);
	if (version == 3 &&
	    (len < sizeof(h) || (be64toh(h.incompatible_features) & ~QCOW2_FEATURES)))
		return unlike("is damaged, or has its contents in another file", err);
	*ret_capacity = be64toh(h.size);
	return 0;
}

int shared_file_look(const char *path, struct shared_file *ret, struct kerr *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? kerr_set(err, ENOENT, KCODE_NOT_FOUND,
						  "There is no such file on the shared storage.")
				       : kerr_set(err, ENXIO, KCODE_NOT_READY,
						  "The folder of the shared storage cannot be "
						  "searched on this device: %s.",
						  strerror(errno));
	if (!S_ISREG(st.st_mode) || !st.st_ino)
		return unlike("is not a plain file", err);
	*ret = (struct shared_file){.number = st.st_ino, .capacity = (uint64_t)st.st_size};
	return 0;
}
