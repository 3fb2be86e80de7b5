/* SPDX-License-Identifier: Apache-2.0 */
/* What the domain filter says of files: for each a line "ok FILE", or "no FILE CODE SENTENCE", with
 * tabs between. What it takes must come out as a fixed point on a host that has everything. Ends
 * with 1 if one of its promises is broken. */
#include "mover/arrival.h"
#include "tests/unit/domain-map.h"
#include "tests/unit/mover-fixtures.h"

static bool broken;

static void complain(const char *path, const char *what)
{
	broken = true;
	printf("broken\t%s\t%s\n", path, what);
}

/* -- switched off: fitted to a host that has next to nothing, and then to one that has all -- */

struct stay {
	struct offers *offers;
	struct offers_need need;
	struct frame_offer offer;
	const struct domain_limits *limits;
	const struct domain_disk_map *map;
};

static char *arrive(const char *path, const struct stay *s, const char *xml)
{
	struct kerr err = {0};
	char *out = NULL;
	struct fit fit;

	if (arrival_definition(s->offers, &s->need, s->limits, s->map, xml, strlen(xml), NULL, &fit,
			       &out, &err) < 0)
		complain(path, err.text);
	return out;
}

static void all(struct offers *o, bool kvm, uint32_t machine)
{
	o->host = fix_host;
	o->host.kvm = kvm;
	o->host.machine = machine;
	for (size_t i = 0; i < G_N_ELEMENTS(o->host.cpu); i++)
		if (!kvm)
			o->host.cpu[i] = (struct cpu){.model = "486"};
}

/* What carries it can be taken by the poorest. */
static void carry(const char *path, const char *xml, const struct stay *s)
{
	g_autofree char *vehicle = NULL, *out = NULL;
	struct domain_limits l = *s->limits;
	struct kerr err = {0};

	l.host = &s->offers->host;
	if (fit_vehicle(xml, &vehicle, &err) < 0 ||
	    domain_rebuild(vehicle, strlen(vehicle), &l, s->map, &out, NULL, &err) < 0)
		complain(path, err.text);
	else if (!strstr(out, "type='qemu'"))
		complain(path, "it needs KVM to be carried");
}

static void fit(const char *path, const char *xml, const struct domain_limits *l,
		const struct domain_disk_map *map)
{
	g_autofree struct offers *o = g_new0(struct offers, 1);
	struct stay s = {.offers = o, .limits = l, .map = map};
	g_autofree char *rich = NULL, *poor = NULL, *back = NULL;

	o->networks = *l->networks;
	s.offer.memory_bytes = UINT64_C(1) << 43;
	s.offer.vcpus = 512;
	s.offer.origin = *l->origin;
	s.need = (struct offers_need){.name = l->expect_name, .offer = &s.offer};
	memcpy(s.need.uuid, l->expect_uuid, UUID_LEN);
	all(o, true, 9999);
	rich = arrive(path, &s, xml);
	all(o, false, 100);
	poor = arrive(path, &s, xml);
	all(o, false, 702);
	carry(path, xml, &s);
	all(o, true, 9999);
	back = poor ? arrive(path, &s, poor) : NULL;
	if (poor && strstr(poor, "<domain type='kvm'"))
		complain(path, "it needs KVM where there is none");
	if (rich && back && strcmp(rich, back) != 0)
		complain(path, "it does not come back as it was");
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
	map_shared(facts, false, map);
	fit(path, xml, &l, map);
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
