/* SPDX-License-Identifier: Apache-2.0 */
/* The audit chain: any edited, removed, added or moved record is found at its place. */
#include <glib.h>
#include <sodium.h>
#include <string.h>

#include "policyd/api/proto.h"
#include "policyd/hash-chain.h"

#define COUNT 12

static void fill(struct policyd_audit *a, size_t n)
{
	struct chain_link at = {0};

	memset(a, 0, n * sizeof(*a));
	for (size_t i = 0; i < n; i++) {
		a[i].time = 1700000000 + i;
		a[i].allowed = i % 2 == 0;
		g_snprintf(a[i].person, sizeof(a[i].person), "tom");
		g_snprintf(a[i].device, sizeof(a[i].device), "desktop");
		g_snprintf(a[i].vm, sizeof(a[i].vm), "work");
		g_snprintf(a[i].action, sizeof(a[i].action), "move-out");
		if (!a[i].allowed)
			kerr_set(&a[i].reason, EACCES, KCODE_POLICY, "Rule %zu denies.", i);
		g_assert_cmpint(chain_append(&audit_chain, &at, i + 1, &a[i]), ==, 0);
	}
}

/* `good` is the number of the last one that holds. */
static void check_broken(const struct policyd_audit *a, size_t n, uint64_t good)
{
	struct chain_link at = {0};

	g_assert_cmpint(chain_follow(&audit_chain, &at, a, n), ==, -EBADMSG);
	g_assert_cmpuint(at.seq, ==, good);
}

static void test_good(void)
{
	struct policyd_audit a[COUNT];
	struct chain_link at = {0};

	fill(a, COUNT);
	g_assert_cmpint(chain_follow(&audit_chain, &at, a, 0), ==, 0);
	g_assert_cmpuint(at.seq, ==, 0);
	g_assert_cmpint(chain_follow(&audit_chain, &at, a, 5), ==, 0);
	g_assert_cmpuint(at.seq, ==, 5);
	g_assert_cmpmem(at.hash, HASH_LEN, a[4].hash, HASH_LEN);
	/* A part of the chain, from the record before it. */
	g_assert_cmpint(chain_follow(&audit_chain, &at, a + 5, COUNT - 5), ==, 0);
	g_assert_cmpuint(at.seq, ==, COUNT);
}

static void test_edited(void)
{
	struct policyd_audit a[COUNT];

	for (unsigned field = 0; field < 9; field++) {
		struct policyd_audit *x = &a[7];

		fill(a, COUNT);
		switch (field) {
		case 0:
			x->seq++;
			break;
		case 1:
			x->time--;
			break;
		case 2:
			x->allowed = !x->allowed;
			break;
		case 3:
			x->person[0] = 'b';
			break;
		case 4:
			x->device[0] = 'D';
			break;
		case 5:
			x->vm[3] = '\0';
			break;
		case 6:
			x->action[0] = 'n';
			break;
		case 7:
			x->reason.code = KCODE_TIER;
			break;
		case 8:
			x->hash[31] ^= 1;
			break;
		}
		check_broken(a, COUNT, 7);
	}
}

static void test_moved(void)
{
	struct policyd_audit a[COUNT], spare;
	struct chain_link at = {.seq = 7};

	fill(a, COUNT);
	memmove(&a[3], &a[4], (COUNT - 4) * sizeof(a[0]));
	check_broken(a, COUNT - 1, 3);

	fill(a, COUNT);
	spare = a[5];
	a[5] = a[6];
	a[6] = spare;
	check_broken(a, COUNT, 5);

	/* A forger who recomputes one hash breaks the next link. */
	fill(a, COUNT);
	a[7].allowed = !a[7].allowed;
	memcpy(at.hash, a[6].hash, HASH_LEN);
	g_assert_cmpint(chain_append(&audit_chain, &at, 8, &a[7]), ==, 0);
	check_broken(a, COUNT, 8);

	/* The first record without what stood before it. */
	fill(a, COUNT);
	check_broken(a + 1, COUNT - 1, 0);
}

static void test_impossible(void)
{
	struct chain_link at = {0};
	struct policyd_audit a[1];

	fill(a, 1);
	a[0].person[0] = '\x1b';
	g_assert_cmpint(chain_append(&audit_chain, &at, 1, &a[0]), ==, -EINVAL);
	check_broken(a, 1, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
	g_test_add_func("/audit/an untouched chain holds", test_good);
	g_test_add_func("/audit/S2-05 an edited field is found", test_edited);
	g_test_add_func("/audit/S2-05 a removed or moved record is found", test_moved);
	g_test_add_func("/audit/a record that does not encode is refused", test_impossible);
	return g_test_run();
}
