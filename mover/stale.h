/* SPDX-License-Identifier: Apache-2.0 */
/* Images that a VM left on this host when it went to another: noted before the hand-off is
 * forgotten, until their owner removes them. A crash may note too much, never too little. */
#pragma once

#include "base/code.h"
#include "mover/filter/domain.h"

struct stale {
	uint8_t uuid[UUID_LEN], peer[DEVICE_ID_LEN];
	char vm[NAME_MAX_LEN + 1], peer_name[NAME_MAX_LEN + 1]; /* where it went */
	char path[DOMAIN_PATH_MAX + 1];
	uint64_t time; /* Unix seconds */
	uint8_t made;  /* Kith made it, and could not remove it */
};

/* Atomic and durable; a path has one note, and the newest counts. `folder` as in remnant.h. */
int stale_write(int folder, const struct stale *s);

/* All that can be read; *ret is malloced. */
int stale_list(int folder, struct stale **ret, size_t *ret_n);
int stale_read(int folder, const char *path, struct stale *ret);

/* -ENOENT if there is none. */
int stale_forget(int folder, const char *path);

/* Codec, for the files and the tests. */
DECLARE_CODEC(stale);
