/* SPDX-License-Identifier: Apache-2.0 */
/* Locked memory for secrets, on libsodium's guarded heap. */
#include "base/secret.h"

#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int secret_process_setup(void)
{
	struct rlimit none = {0, 0};

	if (sodium_init() < 0)
		return -EIO;
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

int secret_lock_process(void)
{
	/* Locked as they are touched: a sanitizer's shadow would not fit into memory. */
	return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0 ? -errno : 0;
}

int secret_new(size_t len, struct secret *ret)
{
	uint8_t *data = sodium_malloc(len ? len : 1);

	if (!data)
		return -ENOMEM;
	/* sodium_malloc() tolerates a failed mlock(); we do not. */
	if (sodium_mlock(data, len ? len : 1) < 0) {
		sodium_free(data);
		return -ENOMEM;
	}
	memset(data, 0, len);
	*ret = (struct secret){data, len};
	return 0;
}

int secret_from(const void *data, size_t len, struct secret *ret)
{
	int r = secret_new(len, ret);

	if (r < 0)
		return r;
	memcpy(ret->data, data, len);
	return 0;
}

int secret_random(size_t len, struct secret *ret)
{
	int r = secret_new(len, ret);

	if (r < 0)
		return r;
	randombytes_buf(ret->data, len);
	return 0;
}

void secret_clear(struct secret *s)
{
	if (s->data)
		sodium_free(s->data);
	*s = SECRET_INIT;
}
