/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: firmware descriptors. What is taken has two absolute paths and a machine. */
#include <stdint.h>

#include "mover/firmware.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct domain_firmware_here file;
	int r = firmware_parse((const char *)data, size, &file);

	if (r == 0 && (file.code[0] != '/' || file.vars[0] != '/' || (!file.q35 && !file.i440fx) ||
		       file.does.code_size))
		__builtin_trap();
	if (r != 0 && r != -EBADMSG && r != -ENOTSUP)
		__builtin_trap();
	return 0;
}
