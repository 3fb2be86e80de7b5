/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: the domain filter. What it accepts must come out as a fixed point, with the
 * destination's paths only (H12, H13, N1). */
#include <stdint.h>
#include <string.h>

#include "tests/unit/domain-map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every value that begins like a path is one of ours. */
static void check_paths(const char *xml)
{
	static const char *const ours[] = {"/KITH/", "/usr/bin/qemu", "/dev/urandom<", "/>",
					   "/LOG'"};

	for (const char *p = xml; (p = strpbrk(p, "'>")); p++) {
		bool ok = p[1] != '/';

		for (size_t i = 0; i < ARRAY_SIZE(ours) && !ok; i++)
			ok = strncmp(p + 1, ours[i], strlen(ours[i])) == 0;
		/* Text for people may begin with anything. */
		if (!ok && p > xml + 7 &&
		    (strncmp(p - 6, "<title>", 7) == 0 ||
		     strncmp(p - 12, "<description>", 13) == 0))
			ok = true;
		if (!ok &&
		    (strncmp(p - 7, "<serial>", 8) == 0 || strncmp(p - 7, "<vendor>", 8) == 0 ||
		     strncmp(p - 8, "<product>", 9) == 0))
			ok = true;
		if (!ok)
			__builtin_trap();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct domain_facts facts, again_facts;
	static struct domain_disk_map map;
	static const struct domain_networks networks = {1, {{.name = "kithnet"}}, "kithnet"};
	static const struct domain_host host = {
		.kvm = 1,
		.spice = 1,
		.tpm = 1,
		.cpu = {{.model = "a"}, {.model = "a"}},
		.firmware_count = 1,
		.firmware = {{{1, 1, 1, 1}, 1, 1, "/KITH/code", "/KITH/vars"}},
	};
	static const struct domain_origin origin = {1, {1, 1, 1, 1}, {.model = "a"}};
	struct domain_limits limits = {
		.networks = &networks,
		.emulator = "/usr/bin/qemu",
		.serial_path = "/LOG",
		.host = &host,
		.origin = &origin,
		.nvram_path = "/KITH/nvram",
	};
	_cleanup_free_ char *xml = NULL, *again = NULL;
	struct kerr err = {0};

	if (domain_disks((const char *)data, size, &facts, &err) < 0) {
		if (err.code == KCODE_OK || !err.text[0])
			__builtin_trap();
		return 0;
	}
	map_disks(&facts, "/KITH", &map);
	map_shared(&facts, false, &map);
	limits.expect_name = facts.name;
	memcpy(limits.expect_uuid, facts.uuid, UUID_LEN);
	if (domain_rebuild((const char *)data, size, &limits, &map, &xml, NULL, &err) < 0)
		__builtin_trap();
	check_paths(xml);
	map_shared(&facts, true, &map);
	if (domain_rebuild(xml, strlen(xml), &limits, &map, &again, &again_facts, &err) < 0 ||
	    strcmp(xml, again) != 0 || again_facts.memory_bytes < facts.memory_bytes)
		__builtin_trap();
	return 0;
}
