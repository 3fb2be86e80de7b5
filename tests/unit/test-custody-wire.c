/* SPDX-License-Identifier: Apache-2.0 */
/* Signed statements and hashed records: what two devices, and one device later, must agree on. */
#include <glib.h>
#include <sodium.h>
#include <string.h>

#include "policyd/custody-wire.h"
#include "policyd/hash-chain.h"
#include "tests/unit/golden.h"

static struct custody_statement make_statement(enum custody_statement_kind kind)
{
	struct custody_statement t = {
		.kind = kind, .epoch = UINT64_C(0x0102030405060705), .hid = {7, 7}, .uuid = {9, 1}};
	bool by_source = kind % 2;

	t.epoch += kind == CUSTODY_STATEMENT_RELEASE || kind == CUSTODY_STATEMENT_ACK;
	t.from[0] = by_source ? 1 : 2;
	t.to[0] = by_source ? 2 : 1;
	return t;
}

static void test_signature(void)
{
	struct custody_statement t = make_statement(CUSTODY_STATEMENT_RELEASE), got;
	uint8_t pk[32], sk[64], other_pk[32], other_sk[64], blob[CUSTODY_STATEMENT_LEN + 1] = {0};
	struct kerr err = {0};

	crypto_sign_keypair(pk, sk);
	crypto_sign_keypair(other_pk, other_sk);
	custody_statement_sign(&t, sk, blob);
	g_assert_cmpint(custody_statement_verify(blob, CUSTODY_STATEMENT_LEN, pk, &got, NULL), ==,
			0);
	g_assert_cmpmem(&got, sizeof(got), &t, sizeof(t));
	g_assert_cmpint(custody_statement_verify(blob, CUSTODY_STATEMENT_LEN, other_pk, &got, &err),
			==, -EBADMSG);
	g_assert_cmpint((int)err.code, ==, KCODE_ATTEST_BINDING);
	for (size_t n = 0; n < CUSTODY_STATEMENT_LEN; n++)
		g_assert_cmpint(custody_statement_verify(blob, n, pk, &got, NULL), ==, -EBADMSG);
	g_assert_cmpint(custody_statement_verify(blob, sizeof(blob), pk, &got, NULL), ==, -EBADMSG);
	for (size_t bit = 0; bit < 8 * CUSTODY_STATEMENT_LEN; bit++) {
		blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
		g_assert_cmpint(
			custody_statement_verify(blob, CUSTODY_STATEMENT_LEN, pk, &got, NULL), ==,
			-EBADMSG);
		blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void test_hash(void)
{
	struct journal_entry e = {.time = 4,
				  .record = CUSTODY_RELEASED,
				  .epoch = 6,
				  .handoff_epoch = 5,
				  .source = true,
				  .proof = {1, 2, 3},
				  .proof_len = 3};
	struct chain_link zero = {0}, at = {0}, first;

	e.uuid[0] = 9;
	g_assert_cmpint(chain_append(&journal_chain, &at, 3, &e), ==, 0);
	first = at;
	for (unsigned i = 0; i < 10; i++) {
		struct journal_entry x = e;

		x.seq += i == 0;
		x.time += i == 1;
		x.record += i == 2;
		x.hid[15] ^= i == 3;
		x.uuid[15] ^= i == 4;
		x.epoch += i == 5;
		x.handoff_epoch += i == 6;
		x.peer[31] ^= i == 7;
		x.source ^= i == 8;
		x.proof_len -= i == 9;
		at = zero;
		g_assert_cmpint(chain_follow(&journal_chain, &at, &x, 1), ==, -EBADMSG);
	}
	at = zero;
	g_assert_cmpint(chain_follow(&journal_chain, &at, &e, 1), ==, 0);
	g_assert_cmpmem(&at, sizeof(at), &first, sizeof(first));
	at = zero;
	at.hash[0] ^= 1;
	g_assert_cmpint(chain_follow(&journal_chain, &at, &e, 1), ==, -EBADMSG);
}

/* What other devices signed already, and what is in their journals. */
static void test_golden(void)
{
	static const uint8_t seed[crypto_sign_SEEDBYTES] = {5};
	uint8_t got[CUSTODY_STATEMENT_LEN], want[CUSTODY_STATEMENT_LEN], pk[32], sk[64];
	struct chain_link at = {.hash = {8}};
	struct journal_entry e = {.time = 4,
				  .record = JOURNAL_CLAIM,
				  .epoch = 6,
				  .handoff_epoch = 5,
				  .source = true,
				  .proof = {1, 2, 3},
				  .proof_len = 3,
				  .hid = {7, 7},
				  .uuid = {9, 2},
				  .peer = {3}};

	crypto_sign_seed_keypair(pk, sk, seed);
	for (unsigned kind = CUSTODY_STATEMENT_NONE + 1; kind < _CUSTODY_STATEMENT_MAX; kind++) {
		struct custody_statement t = make_statement(kind), back;
		const char *name = custody_statement_kind_to_string(kind);

		custody_statement_sign(&t, sk, got);
		g_assert_cmpmem(got, sizeof(got), want,
				golden_read("custody.txt", name, want, sizeof(want)));
		g_assert_cmpint(custody_statement_verify(want, sizeof(want), pk, &back, NULL), ==,
				0);
		g_assert_cmpmem(&back, sizeof(back), &t, sizeof(t));
	}
	g_assert_cmpint(chain_append(&journal_chain, &at, 3, &e), ==, 0);
	g_assert_cmpmem(e.hash, HASH_LEN, want,
			golden_read("custody.txt", "hash of a record", want, sizeof(want)));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
	g_test_add_func("/custody-wire/statement signatures", test_signature);
	g_test_add_func("/custody-wire/the hash covers every field", test_hash);
	g_test_add_func("/custody-wire/signed bytes as they always were", test_golden);
	return g_test_run();
}
