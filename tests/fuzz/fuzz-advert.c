/* SPDX-License-Identifier: Apache-2.0 */
/* TXT records of anybody on the network; what is accepted has one written form. */
#include <string.h>

#include "base/cleanup.h"
#include "discovery/advert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct advert a, b;
	uint8_t txt[ADVERT_TXT_MAX];
	int len;

	if (advert_parse(data, size, &a) < 0)
		return 0;
	len = advert_build(&a, txt, sizeof(txt));
	if (len < 0 || advert_parse(txt, (size_t)len, &b) < 0 ||
	    memcmp(a.id, b.id, sizeof(a.id)) != 0 || a.role != b.role)
		abort();
	return 0;
}
