/* SPDX-License-Identifier: Apache-2.0 */
/* The travelling policy: text and binary. What compiles must encode and decode to the same. */
#include <string.h>

#include "policyd/api/policy.h"
#include "ui-tui/policytext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy a, b;
	static uint8_t buf[65536];
	_cleanup_free_ char *text = malloc(size + 1);
	struct policy_facts facts = {.dest_name = "x"};
	struct policy_decision d;
	size_t len;

	memcpy(text, data, size);
	text[size] = '\0';
	if (policy_decode(data, size, &a, NULL) == 0)
		policy_decide(&a, "vm", &facts, &d);
	if (policytext_compile(text, &a, NULL) < 0)
		return 0;
	if (policytext_encode(&a, buf, sizeof(buf), &len) < 0 ||
	    policy_decode(buf, len, &b, NULL) < 0 || memcmp(&a, &b, sizeof(a)) != 0)
		abort();
	return 0;
}
