/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that is a file on a file system which several hosts have mounted: which file it is, and
 * whether it is all there is to the disk. Nothing is changed. */
#pragma once

#include "base/kerr.h"
#include "mover/filter/domain.h"

struct shared_file {
	uint64_t number;   /* the server's of the file, the same on every host; never 0 */
	uint64_t capacity; /* size of the disk in it, in bytes */
};

/* Opens it for reading; blocks as long as its server does not answer. A qcow2 image must not be
 * made of other files: another host would look for those at a path that somebody else chose (H17).
 * NOT_FOUND; NOT_READY if it cannot be read here; DOMAIN if it is not such a disk. */
int shared_file_look(const char *path, enum disk_format format, struct shared_file *ret,
		     struct kerr *err);
