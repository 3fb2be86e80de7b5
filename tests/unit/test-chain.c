/* SPDX-License-Identifier: Apache-2.0 */
/* Custody chains: what proves itself, and every way in which one does not. */
#include <glib.h>
#include <sodium.h>
#include <string.h>

#include "policyd/custody-chain.h"

static const uint8_t VM[UUID_LEN] = {9, 1};

struct key {
	uint8_t pk[SIGN_PK_LEN], sk[64], id[DEVICE_ID_LEN];
};

/* Owner, his devices A and B, a stranger X. */
static struct key O, A, B, X;

static void make_key(struct key *k)
{
	crypto_sign_keypair(k->pk, k->sk);
	crypto_hash_sha256(k->id, k->pk, SIGN_PK_LEN);
}

static struct custody_statement word(enum custody_statement_kind kind, uint8_t hid, uint64_t epoch,
				     const struct key *from, const struct key *to)
{
	struct custody_statement s = {.kind = kind, .hid = {hid}, .epoch = epoch};

	memcpy(s.uuid, VM, UUID_LEN);
	memcpy(s.from, from->id, DEVICE_ID_LEN);
	memcpy(s.to, to->id, DEVICE_ID_LEN);
	return s;
}

static void add(struct custody_chain *c, const struct custody_statement *s, const struct key *by)
{
	uint8_t bytes[CUSTODY_STATEMENT_LEN];

	custody_statement_sign(s, by->sk, bytes);
	g_assert_cmpint(custody_chain_add(c, bytes, by->pk), ==, 0);
}

static void add_adopt(struct custody_chain *c, uint64_t epoch, const struct key *holder)
{
	struct custody_statement s;

	custody_chain_adoption(VM, epoch, O.pk, holder->id, &s);
	add(c, &s, &O);
}

static void add_release(struct custody_chain *c, uint8_t hid, uint64_t epoch,
			const struct key *from, const struct key *to)
{
	struct custody_statement s = word(CUSTODY_STATEMENT_RELEASE, hid, epoch, from, to);

	add(c, &s, from);
}

static bool own(void *ctx _unused_, const uint8_t id[DEVICE_ID_LEN])
{
	return memcmp(id, A.id, DEVICE_ID_LEN) == 0 || memcmp(id, B.id, DEVICE_ID_LEN) == 0;
}

static struct custody_chain_rules rules(void)
{
	return (struct custody_chain_rules){.uuid = VM, .owner_pk = O.pk, .is_own = own};
}

/* Where it ends; an epoch of 0 = refused, with a sentence. */
static struct custody_chain_end ends(const struct custody_chain *c)
{
	struct custody_chain_rules r = rules();
	struct custody_chain_end end = {0};
	struct kerr err = {0};

	if (custody_chain_verify(c->data, c->len, &r, &end, &err) < 0) {
		g_assert_cmpint((int)err.code, ==, KCODE_CUSTODY);
		g_assert_cmpuint(strlen(err.text), >, 20);
		g_assert_cmpuint(end.epoch, ==, 0);
	}
	return end;
}

static void check_end(const struct custody_chain *c, uint64_t epoch, const struct key *holder,
		      size_t links)
{
	struct custody_chain_end end = ends(c);

	g_assert_cmpuint(end.epoch, ==, epoch);
	g_assert_cmpmem(end.holder, DEVICE_ID_LEN, holder->id, DEVICE_ID_LEN);
	g_assert_cmpuint(end.links, ==, links);
}

static void test_good(void)
{
	struct custody_chain c = {0};
	struct custody_statement s;

	add_adopt(&c, 5, &A);
	check_end(&c, 5, &A, 1);
	add_release(&c, 1, 6, &A, &X);
	check_end(&c, 6, &X, 2);
	add_release(&c, 2, 7, &X, &A);
	check_end(&c, 7, &A, 3);
	/* A hop that failed: B would have got it and never will. */
	add_release(&c, 3, 8, &A, &B);
	s = word(CUSTODY_STATEMENT_NACK, 3, 7, &B, &A);
	add(&c, &s, &B);
	check_end(&c, 9, &A, 5);
	add_release(&c, 4, 10, &A, &B);
	check_end(&c, 10, &B, 6);
	/* The owner's decision after a doubt. */
	custody_chain_claim(VM, 10 + CUSTODY_CLAIM_JUMP, A.id, &s);
	add(&c, &s, &A);
	check_end(&c, 10 + CUSTODY_CLAIM_JUMP, &A, 7);
}

/* Every bit of every link counts. */
static void test_flipped(void)
{
	struct custody_chain c = {0};

	add_adopt(&c, 5, &A);
	add_release(&c, 1, 6, &A, &B);
	for (size_t at = 0; at < c.len; at++) {
		c.data[at] ^= 1;
		g_assert_cmpuint(ends(&c).epoch, ==, 0);
		c.data[at] ^= 1;
	}
	for (size_t len = 0; len < c.len; len++) {
		struct custody_chain cut = c;

		cut.len = len;
		g_assert_cmpuint(ends(&cut).epoch, ==, len == CUSTODY_LINK_LEN ? 5 : 0);
	}
	check_end(&c, 6, &B, 2);
}

static void test_first(void)
{
	struct custody_statement s;
	struct custody_chain c = {0};

	/* The owner's word by another key; by the owner, but about another VM; at epoch 0. */
	custody_chain_adoption(VM, 5, X.pk, A.id, &s);
	add(&c, &s, &X);
	g_assert_cmpuint(ends(&c).epoch, ==, 0);
	c.len = 0;
	custody_chain_adoption(VM, 5, O.pk, A.id, &s);
	s.uuid[0] ^= 1;
	add(&c, &s, &O);
	g_assert_cmpuint(ends(&c).epoch, ==, 0);
	c.len = 0;
	add_adopt(&c, 0, &A);
	g_assert_cmpuint(ends(&c).epoch, ==, 0);
	c.len = 0;
	add_adopt(&c, CUSTODY_EPOCH_MAX - 1, &A);
	g_assert_cmpuint(ends(&c).epoch, ==, 0);
	/* Nothing else begins one. */
	c.len = 0;
	add_release(&c, 1, 1, &A, &B);
	g_assert_cmpuint(ends(&c).epoch, ==, 0);
	c.len = 0;
	custody_chain_claim(VM, CUSTODY_CLAIM_JUMP, A.id, &s);
	add(&c, &s, &A);
	g_assert_cmpuint(ends(&c).epoch, ==, 0);
	/* And it stands at the beginning only. */
	c.len = 0;
	add_adopt(&c, 5, &A);
	add_adopt(&c, 6, &A);
	g_assert_cmpuint(ends(&c).epoch, ==, 0);
}

/* One wrong link after a good beginning that ends with A at 6, released by hand-off 1 from B. */
static void test_wrong_links(void)
{
	for (int i = 0; i < 11; i++) {
		struct custody_statement s = word(CUSTODY_STATEMENT_RELEASE, 2, 7, &A, &B);
		const struct key *by = &A;
		struct custody_chain c = {0};

		add_adopt(&c, 5, &B);
		add_release(&c, 1, 6, &B, &A);
		if (i == 1) /* who does not hold it */
			s = word(CUSTODY_STATEMENT_RELEASE, 2, 7, &B, &X), by = &B;
		else if (i == 2) /* in another's name */
			by = &X;
		else if (i == 3 || i == 4) /* an epoch skipped, or used again */
			s.epoch = i == 3 ? 8 : 6;
		else if (i == 5) /* a refusal by somebody else than the one who would get it */
			s = word(CUSTODY_STATEMENT_NACK, 1, 5, &X, &B), by = &X;
		else if (i == 6) /* of another hand-off */
			s = word(CUSTODY_STATEMENT_NACK, 2, 5, &A, &B);
		else if (i == 7) /* to somebody else */
			s = word(CUSTODY_STATEMENT_NACK, 1, 5, &A, &X);
		else if (i == 8) /* a claim by a stranger */
			custody_chain_claim(VM, 6 + CUSTODY_CLAIM_JUMP, X.id, &s), by = &X;
		else if (i == 9) /* a claim that does not jump */
			custody_chain_claim(VM, 5 + CUSTODY_CLAIM_JUMP, A.id, &s);
		else if (i == 10) /* a word that is no hop */
			s = word(CUSTODY_STATEMENT_ACK, 2, 7, &A, &B);
		add(&c, &s, by);
		g_assert_cmpuint(ends(&c).epoch, ==, i == 0 ? 7 : 0);
	}
}

/* H3: what a device knows from its own journal, a chain that passes there has to say too. */
static void test_h3_known(void)
{
	struct custody_chain_rules r = rules();
	struct custody_chain_end end;
	struct custody_chain c = {0};

	/* A got it from the owner, gave it to B at 6; later A forks by hops to a key of its own. */
	add_adopt(&c, 5, &A);
	add_release(&c, 1, 6, &A, &X);
	add_release(&c, 2, 7, &X, &A);
	r.known_epoch = 6;
	r.known_holder = B.id;
	g_assert_cmpint(custody_chain_verify(c.data, c.len, &r, &end, NULL), ==, -EBADMSG);
	r.known_holder = X.id;
	g_assert_cmpint(custody_chain_verify(c.data, c.len, &r, &end, NULL), ==, 0);
	/* The owner's newer word needs no such memory. */
	c.len = 0;
	add_adopt(&c, 7, &A);
	r.known_holder = B.id;
	g_assert_cmpint(custody_chain_verify(c.data, c.len, &r, &end, NULL), ==, 0);
}

static void test_room(void)
{
	struct custody_chain *c = g_new0(struct custody_chain, 1);
	uint8_t bytes[CUSTODY_STATEMENT_LEN];

	add_adopt(c, 1, &A);
	for (unsigned i = 1; i < CUSTODY_CHAIN_ROOM; i++)
		add_release(c, (uint8_t)i, i + 1, i % 2 ? &A : &B, i % 2 ? &B : &A);
	check_end(c, CUSTODY_CHAIN_ROOM, &B, CUSTODY_CHAIN_ROOM);
	memcpy(bytes, c->data, sizeof(bytes));
	g_assert_cmpint(custody_chain_add(c, bytes, O.pk), ==, -ENOBUFS);
	g_free(c);
}

static void add_own_adopt(struct custody_chain *c, uint64_t epoch, const struct key *by,
			  const struct key *holder)
{
	struct custody_statement s;

	custody_chain_adoption(VM, epoch, by->pk, holder->id, &s);
	add(c, &s, by);
}

/* A device of the owner's begins the chain of a VM that is new, and on itself: nothing else. */
static void test_own_adoption(void)
{
	struct custody_chain c = {.len = 0};

	add_own_adopt(&c, 1, &A, &A);
	check_end(&c, 1, &A, 1);
	add_release(&c, 7, 2, &A, &B);
	check_end(&c, 2, &B, 2);
	/* In the middle it is none of the device's. */
	add_own_adopt(&c, 1, &B, &B);
	g_assert_cmpuint(ends(&c).epoch, ==, 0);
	c.len = 0;
	add_own_adopt(&c, 1, &X, &X);
	g_assert_cmpuint(ends(&c).epoch, ==, 0);
	c.len = 0;
	add_own_adopt(&c, 2, &A, &A);
	g_assert_cmpuint(ends(&c).epoch, ==, 0);
	c.len = 0;
	add_own_adopt(&c, 1, &A, &B);
	g_assert_cmpuint(ends(&c).epoch, ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
	make_key(&O);
	make_key(&A);
	make_key(&B);
	make_key(&X);
	g_test_add_func("/chain/H3 every kind of hop", test_good);
	g_test_add_func("/chain/H3 any bit changed", test_flipped);
	g_test_add_func("/chain/H3 only the owner begins one", test_first);
	g_test_add_func("/chain/H3 links that do not follow", test_wrong_links);
	g_test_add_func("/chain/H3 nothing against what is known here", test_h3_known);
	g_test_add_func("/chain/room", test_room);
	g_test_add_func("/chain/H3 a device of the owner's takes in what is new, and on it",
			test_own_adoption);
	return g_test_run();
}
