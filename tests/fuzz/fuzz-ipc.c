/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between local processes, and the error record inside them. */
#include "base/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_msg m;

	if (ipc_parse(data, size, &m) == 0) {
		struct rbuf r = rbuf_init(m.body, m.len);
		struct kerr err;

		if (kerr_get(&r, &err) == 0 && !text_is_clean(err.text))
			abort();
	}
	return 0;
}
