/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are either the old or the new version, never a mixture (D1). */
#pragma once

#include <sys/types.h>

#include "base/cleanup.h"

/* Writes `name` in the directory `dirfd`: new temporary file, fsync, rename, fsync of the
 * directory. On any failure the old file is untouched and the temporary one removed. */
int file_write_atomic(int dirfd, const char *name, const void *data, size_t len, mode_t mode);

/* Writes all of it, whatever a signal interrupts. */
int file_write_all(int fd, const void *data, size_t len);

/* Reads a regular file of at most `max` bytes; no symlink is followed. *ret is malloced, one
 * extra zero byte behind the data. -ENOENT, -EFBIG, or another negative errno. */
int file_read(int dirfd, const char *name, size_t max, uint8_t **ret, size_t *ret_len);

/* Opens a directory (O_CLOEXEC, no symlink as last component), making it with `mode` if absent. */
int dir_open(const char *path, mode_t mode, int *ret_fd);
