/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON requests of the control socket: never accepted and refused at once, never silent. */
#include "agent/requests.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct api_request r;
	struct kerr err = {0};
	int e = api_parse((const char *)data, size, requests_rows, &r, &err);
	char *line;

	if ((e < 0) != (err.code != KCODE_OK))
		abort();
	if (e == 0 && !r.row)
		abort();
	/* The refusal is one line of JSON, whatever was asked. */
	if (e < 0) {
		line = api_reply_error(r.id, &err);
		if (!line || strchr(line, '\n') != line + strlen(line) - 1)
			abort();
		free(line);
	}
	return 0;
}
