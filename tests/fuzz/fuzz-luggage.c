/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: luggage in pieces. The first byte is what was announced, in KiB; each piece begins
 * with its length. Never more than was announced is taken (H23). */
#include <sodium.h>
#include <stdint.h>
#include <string.h>

#include "mover/luggage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_packed announced = {0};
	struct luggage l = {0};
	int r = 0;

	if (size < 2 || sodium_init() < 0)
		return 0;
	announced.len = data[0] * 16u;
	/* Half of the time the hash is that of what really follows. */
	if (data[0] & 1 && size - 1 >= announced.len)
		crypto_generichash(announced.hash, sizeof(announced.hash), data + 1, announced.len,
				   NULL, 0);
	for (size_t at = 1; r == 0 && at < size;) {
		size_t n = MIN_OF((size_t)data[at] + 1, size - at);

		r = luggage_take(&l, &announced, data + at, n);
		at += n;
		if (l.len > announced.len || (r == 1 && l.len != announced.len))
			__builtin_trap();
	}
	if (r != 0 && r != 1 && r != -EBADMSG)
		__builtin_trap();
	luggage_clear(&l);
	return 0;
}
