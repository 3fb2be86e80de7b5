/* SPDX-License-Identifier: Apache-2.0 */
/* What the domain filter says of files: for each a line "ok FILE", or "no FILE CODE SENTENCE", with
 * tabs between. What it takes must come out as a fixed point on a host that has everything. Ends
 * with 1 if one of its promises is broken. */
#include "tests/unit/domain-map.h"
#include "tests/unit/mover-fixtures.h"

static bool broken;

static void complain(const char *path, const char *what)
{
	broken = true;
	printf("broken\t%s\t%s\n", path, what);
}

/* As a destination does it, twice. */
static void rebuild(const char *path, const char *xml, const struct domain_facts *facts)
{
	g_autofree struct domain_disk_map *map = g_new0(struct domain_disk_map, 1);
	g_autofree char *once = NULL, *twice = NULL;
	struct domain_origin origin = fix_origin;
	struct domain_limits l = fix_limits();
	struct kerr err = {0};

	map_disks(facts, "/pool", map);
	map_shared(facts, false, map);
	l.expect_name = facts->name;
	memcpy(l.expect_uuid, facts->uuid, UUID_LEN);
	l.max_memory_bytes = 0;
	l.max_vcpus = l.max_disks = 0;
	origin.cpu = fix_host.cpu[facts->kvm];
	l.origin = &origin;
	if (domain_rebuild(xml, strlen(xml), &l, map, &once, NULL, &err) < 0) {
		printf("no\t%s\t%s\t%s\n", path, kcode_to_string(err.code), err.text);
		return;
	}
	map_shared(facts, true, map);
	if (domain_rebuild(once, strlen(once), &l, map, &twice, NULL, &err) < 0)
		complain(path, err.text);
	else if (strcmp(once, twice) != 0)
		complain(path, "it is no fixed point");
	else
		printf("ok\t%s\n", path);
}

static void check(const char *path)
{
	g_autofree struct domain_facts *facts = g_new0(struct domain_facts, 1);
	g_autofree char *xml = NULL;
	struct kerr err = {0};
	size_t len;

	if (!g_file_get_contents(path, &xml, &len, NULL))
		complain(path, "it cannot be read");
	else if (domain_disks(xml, len, facts, &err) == 0)
		rebuild(path, xml, facts);
	else if (err.code == KCODE_OK || err.code == KCODE_FAILED || strlen(err.text) < 24)
		complain(path, "it is refused without a reason");
	else
		printf("no\t%s\t%s\t%s\n", path, kcode_to_string(err.code), err.text);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		check(argv[i]);
	return broken;
}
