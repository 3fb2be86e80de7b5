/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets in locked memory that does not reach swap or core dumps and is wiped on release. */
#pragma once

#include "base/cleanup.h"

/* Bytes in a guarded, locked, MADV_DONTDUMP allocation of libsodium. */
struct secret {
	uint8_t *data;
	size_t len;
};

/* Call once per process before anything else: libsodium, no core dumps, not dumpable (D14). */
int secret_process_setup(void);

/* Keeps all memory of the process, now and later, out of swap (D14, M6): for the one that has
 * long-term keys in more than struct secret. -EPERM or -ENOMEM where RLIMIT_MEMLOCK forbids it. */
int secret_lock_process(void);

/* Allocates `len` zero bytes. -ENOMEM where locking fails: raise RLIMIT_MEMLOCK. Owned by the
 * caller, released with secret_clear(). */
int secret_new(size_t len, struct secret *ret);
int secret_from(const void *data, size_t len, struct secret *ret);
int secret_random(size_t len, struct secret *ret);
void secret_clear(struct secret *s);

#define _cleanup_secret_ _cleanup_(secret_clear)
#define SECRET_INIT     \
	(struct secret) \
	{               \
		NULL, 0 \
	}
