/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file. */
#include <string.h>

#include "base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);
	struct config c;
	struct kerr err = {0};

	memcpy(text, data, size);
	text[size] = '\0';
	if (config_parse(text, &c, &err) < 0 && err.code == KCODE_OK)
		abort();
	return 0;
}
