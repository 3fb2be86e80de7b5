/* SPDX-License-Identifier: Apache-2.0 */
/* kith.conf on disk: read as a whole, replaced as a whole. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/kerr.h"

struct config_file {
	const char *path; /* borrowed */
	char *text;	  /* "" where there is none */
	bool exists;
	struct stat was;
};

int config_file_read(const char *path, struct config_file *ret, struct kerr *err);
void config_file_release(struct config_file *f);

/* Replaces it by `text`: new file, fsync, rename, with owner and mode of the old one (0644 if there
 * was none, and its folder is made). What services would refuse is refused here, in the same words;
 * so is a file that somebody else changed since it was read. */
int config_file_save(const struct config_file *f, const char *text, struct kerr *err);
