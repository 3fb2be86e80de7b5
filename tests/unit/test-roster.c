/* SPDX-License-Identifier: Apache-2.0 */
/* Sightings: merged per device, aged, bounded, and not to be flooded out. */
#include <glib.h>
#include <string.h>

#include "discovery/roster.h"

struct fixture {
	struct roster *r;
};

static void setup(struct fixture *f, gconstpointer data)
{
	(void)data;
	f->r = roster_new();
}

static void teardown(struct fixture *f, gconstpointer data)
{
	(void)data;
	roster_free(f->r);
}

static struct advert advert(uint32_t n)
{
	struct advert a = {.role = DEVICE_ROLE_LAPTOP};

	memcpy(a.id, &n, sizeof(n));
	return a;
}

static struct roster_source source(const char *name, int interface, int protocol)
{
	struct roster_source s = {.interface = interface, .protocol = protocol};

	g_strlcpy(s.name, name, sizeof(s.name));
	return s;
}

static bool see(struct roster *r, uint32_t n, const char *address, const char *name, int interface,
		int protocol, int64_t now)
{
	struct advert a = advert(n);
	struct roster_source s = source(name, interface, protocol);
	struct endpoint e = {.port = 4747};

	g_strlcpy(e.address, address, sizeof(e.address));
	return roster_seen(r, &a, &e, &s, now);
}

static const struct sighting *get(struct roster *r, uint32_t n)
{
	struct advert a = advert(n);

	return roster_find(r, a.id);
}

static void lose(struct roster *r, const char *name, int interface, int protocol, int64_t now)
{
	struct roster_source s = source(name, interface, protocol);

	roster_lost(r, &s, now);
}

static void test_merge(struct fixture *f, gconstpointer data)
{
	struct endpoint e[ROSTER_ADDRESSES_MAX];

	(void)data;
	g_assert_true(see(f->r, 1, "fe80::1%eth0", "kith-1", 2, 6, 10));
	g_assert_true(see(f->r, 1, "2001:db8::1", "kith-1", 3, 6, 11));
	g_assert_true(see(f->r, 1, "10.0.0.1", "kith-1", 2, 4, 12));
	g_assert_true(see(f->r, 1, "10.0.0.1", "kith-1", 2, 4, 13));
	g_assert_cmpuint(roster_count(f->r), ==, 1);
	g_assert_cmpuint(sighting_endpoints(get(f->r, 1), e, ROSTER_ADDRESSES_MAX), ==, 3);
	g_assert_cmpstr(e[0].address, ==, "10.0.0.1");
	g_assert_cmpstr(e[1].address, ==, "2001:db8::1");
	g_assert_cmpstr(e[2].address, ==, "fe80::1%eth0");
	g_assert_cmpuint(sighting_endpoints(get(f->r, 1), e, 1), ==, 1);
	/* A new address of the same source replaces the old one. */
	g_assert_true(see(f->r, 1, "10.0.0.9", "kith-1", 2, 4, 14));
	g_assert_cmpuint(sighting_endpoints(get(f->r, 1), e, ROSTER_ADDRESSES_MAX), ==, 3);
	g_assert_cmpstr(e[0].address, ==, "10.0.0.9");
}

static void test_age(struct fixture *f, gconstpointer data)
{
	struct endpoint e[2];
	int64_t age = -1;

	(void)data;
	see(f->r, 1, "10.0.0.1", "kith-1", 2, 4, 1000);
	see(f->r, 1, "fe80::1%eth0", "kith-1", 2, 6, 1000);
	g_assert_true(sighting_live(get(f->r, 1), 900000, &age));
	g_assert_cmpint(age, ==, 0);
	lose(f->r, "kith-1", 2, 4, 2000);
	g_assert_true(sighting_live(get(f->r, 1), 2500, &age));
	g_assert_cmpuint(sighting_endpoints(get(f->r, 1), e, 2), ==, 2);
	g_assert_cmpstr(e[0].address, ==, "fe80::1%eth0");
	lose(f->r, "kith-1", 2, 6, 3000);
	g_assert_false(sighting_live(get(f->r, 1), 5000, &age));
	g_assert_cmpint(age, ==, 2000);
	g_assert_false(roster_expire(f->r, 2999 + ROSTER_EXPIRE_MS));
	g_assert_cmpuint(roster_count(f->r), ==, 1);
	g_assert_true(roster_expire(f->r, 3000 + ROSTER_EXPIRE_MS));
	g_assert_cmpuint(roster_count(f->r), ==, 0);
}

static void test_daemon_lost(struct fixture *f, gconstpointer data)
{
	(void)data;
	see(f->r, 1, "10.0.0.1", "kith-1", 2, 4, 1000);
	see(f->r, 2, "10.0.0.2", "kith-2", 2, 4, 1000);
	roster_all_lost(f->r, 0, 2000);
	g_assert_cmpuint(roster_count(f->r), ==, 2);
	g_assert_false(sighting_live(get(f->r, 2), 2000, NULL));
	see(f->r, 1, "10.0.0.1", "kith-1", 2, 4, 3000);
	g_assert_true(sighting_live(get(f->r, 1), 3000, NULL));
	roster_expire(f->r, 2000 + ROSTER_EXPIRE_MS);
	g_assert_nonnull(get(f->r, 1));
	g_assert_null(get(f->r, 2));
}

/* What one means of discovery loses another one may still see. */
static void test_other_means(struct fixture *f, gconstpointer data)
{
	struct advert a = advert(1);
	struct roster_source mdns = source("kith-1", 2, 4), other = mdns;
	struct endpoint e = {.address = "10.0.0.1", .port = 4747};

	(void)data;
	other.number = 1;
	g_assert_true(roster_seen(f->r, &a, &e, &mdns, 1000));
	g_assert_true(roster_seen(f->r, &a, &e, &other, 1000));
	roster_all_lost(f->r, 0, 2000);
	g_assert_true(sighting_live(get(f->r, 1), 2000, NULL));
	roster_lost(f->r, &mdns, 2500);
	g_assert_true(sighting_live(get(f->r, 1), 2500, NULL));
	roster_all_lost(f->r, 1, 3000);
	g_assert_false(sighting_live(get(f->r, 1), 3000, NULL));
}

static void see_named(struct roster *r, const char *name, const char *instance, int64_t now)
{
	struct advert a = advert(1);
	struct roster_source s = source(instance, 2, 4);
	struct endpoint e = {.address = "10.0.0.1", .port = 4747};

	g_strlcpy(a.name, name, sizeof(a.name));
	g_assert_true(roster_seen(r, &a, &e, &s, now));
}

static void test_name(struct fixture *f, gconstpointer data)
{
	(void)data;
	see_named(f->r, "", "kith-1", 1000);
	g_assert_cmpstr(get(f->r, 1)->name, ==, "");
	see_named(f->r, "laptop", "kith-1", 1001);
	g_assert_cmpstr(get(f->r, 1)->name, ==, "laptop");
	see_named(f->r, "", "kith-1", 1002);
	g_assert_cmpstr(get(f->r, 1)->name, ==, "");
	/* It goes with the last that vouches for the device. */
	see_named(f->r, "laptop", "kith-1", 1003);
	see_named(f->r, "laptop", "kith-1b", 1003);
	lose(f->r, "kith-1", 2, 4, 1004);
	g_assert_cmpstr(get(f->r, 1)->name, ==, "laptop");
	lose(f->r, "kith-1b", 2, 4, 1005);
	g_assert_cmpstr(get(f->r, 1)->name, ==, "");
	see_named(f->r, "laptop", "kith-1", 1006);
	roster_all_lost(f->r, 0, 1007);
	g_assert_cmpstr(get(f->r, 1)->name, ==, "");
}

static void test_other_id(struct fixture *f, gconstpointer data)
{
	(void)data;
	see(f->r, 1, "10.0.0.1", "kith-1", 2, 4, 1000);
	see(f->r, 2, "10.0.0.1", "kith-1", 2, 4, 1001);
	g_assert_null(get(f->r, 1));
	g_assert_nonnull(get(f->r, 2));
}

static void flood(struct roster *r, uint32_t from, uint32_t count, int64_t now)
{
	for (uint32_t i = from; i < from + count; i++) {
		g_autofree char *name = g_strdup_printf("flood-%u", i);

		see(r, i, "10.9.9.9", name, 2, 4, now + i);
	}
}

static void test_flood(struct fixture *f, gconstpointer data)
{
	struct advert known = advert(7);
	uint8_t ids[1][ADVERT_ID_LEN];

	(void)data;
	memcpy(ids[0], known.id, ADVERT_ID_LEN);
	roster_set_known(f->r, (const uint8_t(*)[ADVERT_ID_LEN])ids, 1);
	see(f->r, 7, "10.0.0.7", "kith-7", 2, 4, 1);
	see(f->r, 8, "10.0.0.8", "kith-8", 2, 4, 2);
	flood(f->r, 1000, 10000, 100);
	g_assert_cmpuint(roster_count(f->r), ==, ROSTER_MAX);
	g_assert_nonnull(get(f->r, 7));
	g_assert_null(get(f->r, 8)); /* a stranger like the others, and the oldest */
	g_assert_nonnull(get(f->r, 10999));
	/* One that comes into a full table gets in. */
	see(f->r, 9, "10.0.0.9", "kith-9", 2, 4, 50000);
	g_assert_nonnull(get(f->r, 9));
	roster_set_known(f->r, NULL, 0);
	g_assert_false(get(f->r, 7)->known);
}

static void test_lost_first(struct fixture *f, gconstpointer data)
{
	(void)data;
	flood(f->r, 0, ROSTER_MAX, 0);
	lose(f->r, "flood-200", 2, 4, 9999);
	see(f->r, 5000, "10.0.0.1", "kith", 2, 4, 10000);
	g_assert_null(get(f->r, 200));
	g_assert_nonnull(get(f->r, 0));
}

static void test_address_flood(struct fixture *f, gconstpointer data)
{
	struct endpoint e[ROSTER_ADDRESSES_MAX];

	(void)data;
	see(f->r, 1, "10.0.0.1", "kith-1", 2, 4, 1);
	for (int i = 0; i < 100; i++) {
		g_autofree char *name = g_strdup_printf("fake-%d", i);

		g_assert_cmpint(see(f->r, 1, "10.6.6.6", name, 2, 4, 2 + i), ==,
				i < ROSTER_STRANGER_MAX - 1);
	}
	g_assert_cmpuint(sighting_endpoints(get(f->r, 1), e, ROSTER_ADDRESSES_MAX), ==,
			 ROSTER_STRANGER_MAX);
	g_assert_cmpstr(e[0].address, ==, "10.0.0.1");
	/* Room is made by what is gone. */
	lose(f->r, "fake-0", 2, 4, 500);
	g_assert_true(see(f->r, 1, "10.0.0.2", "kith-1b", 3, 4, 600));
}

/* Thirty lies about a paired device leave room for the truth; a stranger's do not grow on us. */
static void test_poison(struct fixture *f, gconstpointer data)
{
	struct endpoint e[ROSTER_ADDRESSES_MAX];
	struct advert paired = advert(1);

	(void)data;
	roster_set_known(f->r, (const uint8_t(*)[ADVERT_ID_LEN])paired.id, 1);
	for (int i = 0; i < 30; i++) {
		g_autofree char *name = g_strdup_printf("fake-%d", i);
		g_autofree char *address = g_strdup_printf("10.6.6.%d", i);

		g_assert_true(see(f->r, 1, address, name, 2, 4, i));
	}
	g_assert_true(see(f->r, 1, "10.0.0.1", "kith-1", 2, 4, 50));
	g_assert_cmpuint(sighting_endpoints(get(f->r, 1), e, ROSTER_ADDRESSES_MAX), ==, 31);
	g_assert_true(roster_announces(f->r, "10.0.0.1"));
	lose(f->r, "kith-1", 2, 4, 60);
	g_assert_false(roster_announces(f->r, "10.0.0.1"));
	see(f->r, 2, "10.0.0.2", "kith-2", 2, 4, 70);
	g_assert_false(roster_announces(f->r, "10.0.0.2"));
}

#define TEST(name, fn) g_test_add(name, struct fixture, NULL, setup, fn, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	TEST("/roster/addresses of one device are merged", test_merge);
	TEST("/roster/ages and expiry", test_age);
	TEST("/roster/P3 discovery restarts", test_daemon_lost);
	TEST("/roster/P3 another means still sees it", test_other_means);
	TEST("/roster/a name while pairing", test_name);
	TEST("/roster/a source speaks for one device", test_other_id);
	TEST("/roster/P2 a flood of devices", test_flood);
	TEST("/roster/those out of sight give way first", test_lost_first);
	TEST("/roster/P1 a flood of addresses of one device", test_address_flood);
	TEST("/roster/D thirty addresses that are lies", test_poison);
	return g_test_run();
}
