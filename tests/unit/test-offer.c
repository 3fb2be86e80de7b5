/* SPDX-License-Identifier: Apache-2.0 */
/* The offer's bytes: as they always were, cut at every byte, and with values that are refused. */
#include <glib.h>
#include <sodium.h>
#include <string.h>

#include "policyd/offer.h"
#include "tests/unit/golden.h"

#define OFFER_ROOM 1024

static struct offer make(void)
{
	static const char text[] = "allow owner move-out\n";
	static uint8_t chain[2 * CUSTODY_LINK_LEN];
	struct offer o = {.vm = "work",
			  .epoch = 0x0102030405060708,
			  .person = "tom",
			  .dest_person = PERSON_ROLE_GUEST,
			  .policy = {.version = 9,
				     .name = "work",
				     .record_len = 5,
				     .text = (char *)(uintptr_t)text,
				     .text_len = sizeof(text) - 1,
				     .compiled = (uint8_t *)(uintptr_t) "\x01\x02",
				     .compiled_len = 3},
			  .chain = chain,
			  .chain_len = sizeof(chain)};

	memset(o.policy.uuid, 0x61, sizeof(o.policy.uuid));
	memset(o.policy.owner_pk, 0x62, sizeof(o.policy.owner_pk));
	memset(o.policy.signature, 0x63, sizeof(o.policy.signature));
	memset(o.policy.record, 0x65, o.policy.record_len);
	memset(chain, 0x64, sizeof(chain));
	return o;
}

static void test_golden(void)
{
	uint8_t got[OFFER_ROOM], want[OFFER_ROOM], digest[HASH_LEN];
	struct wbuf w = wbuf_init(got, sizeof(got));
	struct offer o = make();
	size_t n = golden_read("offer.txt", "offer", want, sizeof(want));

	offer_put(&w, &o);
	g_assert_cmpint(wbuf_error(&w), ==, 0);
	g_assert_cmpmem(got, w.len, want, n);

	offer_policy_digest(&o.policy, digest);
	n = golden_read("offer.txt", "policy-digest", want, sizeof(want));
	g_assert_cmpmem(digest, sizeof(digest), want, n);
}

/* What is read is written again as it was. */
static int again(const uint8_t *data, size_t len)
{
	uint8_t bytes[OFFER_ROOM];
	struct wbuf w = wbuf_init(bytes, sizeof(bytes));
	struct rbuf r = rbuf_init(data, len);
	struct offer o;

	if (offer_get(&r, &o) < 0)
		return -EBADMSG;
	offer_put(&w, &o);
	g_assert_cmpint(wbuf_error(&w), ==, 0);
	g_assert_cmpmem(bytes, w.len, data, len - r.left);
	return rbuf_end(&r);
}

static void test_cuts(void)
{
	uint8_t bytes[OFFER_ROOM];
	size_t n = golden_read("offer.txt", "offer", bytes, sizeof(bytes) - 1);

	g_assert_cmpint(again(bytes, n), ==, 0);
	for (size_t i = 0; i < n; i++) {
		/* On the heap, so that a sanitizer sees one byte too many. */
		g_autofree uint8_t *cut = g_memdup2(bytes, i ? i : 1);

		g_assert_cmpint(again(cut, i), ==, -EBADMSG);
	}
	bytes[n] = 0;
	g_assert_cmpint(again(bytes, n + 1), ==, -EBADMSG);
}

static void test_values(void)
{
	static const struct {
		size_t at; /* this byte... */
		uint8_t value;
	} faults[] = {
		{0, 2},	    /* an older version */
		{0, 4},	    /* a newer one */
		{19, 'p'},  /* the VM's name is not the policy's */
		{19, '\n'}, /* no name */
		{30, 0x80}, /* an epoch that cannot be stored */
		{34, 0x1b}, /* a person that is no text */
		{36, 0xff}, /* a role that there is not */
	};
	uint8_t good[OFFER_ROOM], bad[OFFER_ROOM];
	size_t n = golden_read("offer.txt", "offer", good, sizeof(good));

	for (size_t i = 0; i < G_N_ELEMENTS(faults); i++) {
		memcpy(bad, good, n);
		bad[faults[i].at] = faults[i].value;
		g_test_message("byte %zu", faults[i].at);
		g_assert_cmpint(again(bad, n), ==, -EBADMSG);
	}
	g_assert_cmpint(again(good, n), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
	g_test_add_func("/offer/bytes as they always were", test_golden);
	g_test_add_func("/offer/cut at every byte", test_cuts);
	g_test_add_func("/offer/values that are refused", test_values);
	return g_test_run();
}
