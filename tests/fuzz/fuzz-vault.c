/* SPDX-License-Identifier: Apache-2.0 */
/* The sealed vault's file: it lies on a disk that others may write. */
#include "policyd/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vault_file file;

	vault_parse(data, size, &file);
	return 0;
}
