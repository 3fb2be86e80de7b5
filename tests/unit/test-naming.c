/* SPDX-License-Identifier: Apache-2.0 */
/* Which device a text means: a claim of the network never wins over what is proved. */
#include <glib.h>
#include <string.h>

#include "agent/naming.h"

#define FULL "0123456789abcdef000000000000000000000000000000000000000000000001"

static void set_id(uint8_t *id, size_t len, uint64_t first)
{
	memset(id, 0, len);
	for (size_t i = 0; i < 8; i++)
		id[i] = (uint8_t)(first >> (56 - 8 * i));
}

static struct policyd_peer paired(const char *name, uint64_t first)
{
	struct policyd_peer p = {0};

	set_id(p.id, DEVICE_ID_LEN, first);
	p.id[DEVICE_ID_LEN - 1] = 1;
	g_strlcpy(p.name, name, sizeof(p.name));
	return p;
}

/* Announced by whoever likes to. */
static void see(struct roster *r, const char *name, uint64_t first)
{
	struct advert a = {.role = DEVICE_ROLE_LAPTOP};
	struct roster_source s = {.interface = 2, .protocol = 4};
	struct endpoint e = {.address = "10.0.0.1", .port = 4747};

	set_id(a.id, sizeof(a.id), first);
	g_strlcpy(a.name, name, sizeof(a.name));
	snprintf(s.name, sizeof(s.name), "kith-%016" G_GINT64_MODIFIER "x", first);
	g_assert_true(roster_seen(r, &a, &e, &s, 1000));
}

static void test_fits(void)
{
	static const struct {
		const char *text;
		bool all, announced; /* of a device known entirely, by its announcement only */
	} rows[] = {
		{"0123", true, true},
		{"012", false, false},
		{"", false, false},
		{"device-0123", true, true},
		{"device-012", false, false},
		{"device-", false, false},
		{"Device-0123", false, false},
		{"0124", false, false},
		{"0123456789ABCDEF", true, true},
		{"0123456789abcdef0", true, false},
		{"0123456789abcdef1", false, false},
		{FULL, true, true},
		{"device-" FULL, true, true},
		{FULL "0", false, false},
		{"0123 ", false, false},
		{"0123456789abcdef000000000000000000000000000000000000000000000002", false, true},
		{"1123456789abcdef000000000000000000000000000000000000000000000001", false, false},
	};
	struct policyd_peer p = paired("x", 0x0123456789abcdef);

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("\"%s\"", rows[i].text);
		g_assert_cmpint(naming_fits(rows[i].text, p.id, DEVICE_ID_LEN), ==, rows[i].all);
		g_assert_cmpint(naming_fits(rows[i].text, p.id, ADVERT_ID_LEN), ==,
				rows[i].announced);
	}
}

/* Whose id it is shall not be asked of a name server. */
static void test_is_id(void)
{
	static const char *const ids[] = {"01234567", "DEADBEEF", "device-0123", "device-", FULL};
	static const char *const others[] = {"0123456",	       "desktop",  "10.0.0.1",
					     "deadbeef.local", "device-x", "cafe::1"};

	for (size_t i = 0; i < G_N_ELEMENTS(ids); i++)
		g_assert_true(naming_is_id(ids[i]));
	for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
		g_assert_false(naming_is_id(others[i]));
}

static void test_label(void)
{
	struct policyd_peer p = paired("desktop", 0x0123456789abcdef);
	struct sighting s = {.name = "liar"};
	char label[NAME_MAX_LEN + 1];

	naming_label(&p, &s, p.id, label, sizeof(label));
	g_assert_cmpstr(label, ==, "desktop");
	naming_label(NULL, &s, p.id, label, sizeof(label));
	g_assert_cmpstr(label, ==, "liar");
	s.name[0] = '\0';
	naming_label(NULL, &s, p.id, label, sizeof(label));
	g_assert_cmpstr(label, ==, "device-01234567");
	naming_label(NULL, NULL, p.id, label, sizeof(label));
	g_assert_cmpstr(label, ==, "device-01234567");
}

static void test_paired(void)
{
	struct policyd_peer peers[] = {
		paired("desktop", 0xaaaa000000000000),
		paired("attic", 0xaaaa100000000000),
		/* Its name is the beginning of another one's id. */
		paired("aaaa0000", 0xbbbb000000000000),
	};
	struct peers_target t = {0};
	struct kerr err = {0};

	g_assert_cmpint(naming_paired(peers, 3, "attic", &t, &err), ==, 1);
	g_assert_cmpmem(t.id, t.id_len, peers[1].id, DEVICE_ID_LEN);
	g_assert_cmpstr(t.label, ==, "attic");
	g_assert_cmpint(naming_paired(peers, 3, "aaaa1", &t, &err), ==, 1);
	g_assert_cmpint(naming_paired(peers, 3, "cellar", &t, &err), ==, 0);
	g_assert_cmpint(naming_paired(peers, 0, "attic", &t, &err), ==, 0);
	g_assert_cmpint(err.code, ==, KCODE_OK);
	g_assert_cmpint(naming_paired(peers, 3, "aaaa", &t, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_USAGE);
	err = (struct kerr){0};
	g_assert_cmpint(naming_paired(peers, 3, "aaaa0000", &t, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_USAGE);
}

/* P1: what is announced is never taken for a device that it only resembles. */
static void test_pairable(void)
{
	_cleanup_(roster_freep) struct roster *r = roster_new();
	struct policyd_peer peers[] = {paired("desktop", 0xaaaa000000000000)};
	struct peers_target t = {0};
	struct kerr err = {0};

	see(r, "laptop", 0xcccc000000000000);
	g_assert_cmpint(naming_pairable(peers, 1, r, "laptop", &t, &err), ==, 1);
	g_assert_cmpuint(t.id_len, ==, ADVERT_ID_LEN);
	g_assert_cmpint(t.id[0], ==, 0xcc);
	g_assert_cmpstr(t.label, ==, "laptop");
	/* A paired device may be paired again, in sight or not: then all of its id is known. */
	g_assert_cmpint(naming_pairable(peers, 1, r, "desktop", &t, &err), ==, 1);
	g_assert_cmpuint(t.id_len, ==, DEVICE_ID_LEN);
	see(r, "desktop", 0xaaaa000000000000);
	g_assert_cmpint(naming_pairable(peers, 1, r, "desktop", &t, &err), ==, 1);
	g_assert_cmpuint(t.id_len, ==, DEVICE_ID_LEN);
	g_assert_cmpint(naming_pairable(peers, 1, r, "cellar", &t, &err), ==, 0);
	/* A stranger of that name: the person has to say which. */
	see(r, "desktop", 0xdddd000000000000);
	g_assert_cmpint(naming_pairable(peers, 1, r, "desktop", &t, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_USAGE);
	err = (struct kerr){0};
	g_assert_cmpint(naming_pairable(peers, 1, r, "dddd", &t, &err), ==, 1);
	g_assert_cmpint(t.id[0], ==, 0xdd);
	/* One that is out of sight too. */
	roster_free(r);
	r = roster_new();
	see(r, "desktop", 0xdddd000000000000);
	g_assert_cmpint(naming_pairable(peers, 1, r, "desktop", &t, &err), <, 0);
	g_assert_nonnull(strstr(err.text, "aaaa000000000000, dddd000000000000"));
}

/* P2: a crowd of one name does not make the sentence longer than there is room. */
static void test_crowd(void)
{
	_cleanup_(roster_freep) struct roster *r = roster_new();
	struct peers_target t = {0};
	struct kerr err = {0};

	for (uint64_t i = 0; i < 100; i++)
		see(r, "desktop", 0xeeee000000000000 + i);
	g_assert_cmpint(naming_pairable(NULL, 0, r, "desktop", &t, &err), <, 0);
	g_assert_nonnull(strstr(err.text, "eeee000000000003. Name it by its id"));
	g_assert_null(strstr(err.text, "eeee000000000004"));
	/* Nobody is called nothing, though most announce no name. */
	see(r, "", 0xffff000000000000);
	g_assert_cmpint(naming_pairable(NULL, 0, r, "device-ffff", &t, NULL), ==, 1);
	g_assert_cmpstr(t.label, ==, "device-ffff0000");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/naming/a prefix of an id", test_fits);
	g_test_add_func("/naming/an id is no address", test_is_id);
	g_test_add_func("/naming/what a device is called", test_label);
	g_test_add_func("/naming/a paired device", test_paired);
	g_test_add_func("/naming/P1 a stranger of the same name", test_pairable);
	g_test_add_func("/naming/P2 a crowd of one name", test_crowd);
	return g_test_run();
}
