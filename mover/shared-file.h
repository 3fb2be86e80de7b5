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

/* What of an image says how it is made up. */
#define SHARED_FILE_HEAD 112u

/* Which file it is; its capacity is that of a raw image. Reads nothing of it, and blocks as long as
 * its server does not answer. NOT_FOUND; NOT_READY if its folder cannot be searched here; DOMAIN if
 * it is not a plain file. */
int shared_file_look(const char *path, struct shared_file *ret, struct kerr *err);

/* By its first bytes (`len`, at most SHARED_FILE_HEAD count): is it a qcow2 image, and of how many
 * bytes? It must not be made of other files: another host would look for those at a path that
 * somebody else chose (H17). DOMAIN. */
int shared_file_qcow2(const uint8_t *head, size_t len, uint64_t *ret_capacity, struct kerr *err);
