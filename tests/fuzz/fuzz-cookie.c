/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: the cookie filter; the first byte chooses the message it belongs to (H14, N1). */
#include <stdint.h>
#include <string.h>

#include "mover/filter/cookie.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct domain_disk_map map = {
		.count = 2,
		.disks = {{.target = "vda", .path = "/pool/vda", .capacity = 8388608},
			  {.target = "sda", .path = "/pool/sda", .capacity = 16777216}},
	};
	struct domain_limits limits = {.expect_name = "web"};
	_cleanup_free_ char *out = NULL, *again = NULL;
	size_t len = 0, len2 = 0;
	struct kerr err = {0};
	enum cookie_step step;

	if (size == 0 ||
	    domain_uuid_parse("c7a5fdbd-cdaf-4c0a-9a57-0123456789ab", limits.expect_uuid) < 0)
		return 0;
	step = (enum cookie_step)(data[0] % _COOKIE_STEP_MAX);
	if (cookie_rebuild(step, data + 1, size - 1, &limits, &map, &out, &len, &err) < 0) {
		if (err.code == KCODE_OK || out)
			__builtin_trap();
		return 0;
	}
	if (!out)
		return 0;
	if (len != strlen(out) + 1 || strstr(out, "<domain") || strstr(out, "<lockstate") ||
	    strstr(out, "/etc/"))
		__builtin_trap();
	if (cookie_rebuild(step, out, len, &limits, &map, &again, &len2, &err) < 0 ||
	    strcmp(out, again) != 0)
		__builtin_trap();
	return 0;
}
