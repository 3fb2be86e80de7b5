/* SPDX-License-Identifier: Apache-2.0 */
/* Hash chains over records: editing, removing or reordering one is found (S2-05). */
#pragma once

#include "base/code.h"

/* One kind of chain. h_i = SHA-256(label || h_{i-1} || canonical encoding of record i without its
 * hash, which is its last field); before the first record ever stand zeros. */
struct hash_chain {
	const char *label;
	const struct record *record;
	size_t seq, hash; /* where in the struct */
};

extern const struct hash_chain audit_chain, journal_chain;

/* A record's place in its chain. */
struct chain_link {
	uint64_t seq;
	uint8_t hash[HASH_LEN];
};

/* Makes *v, with number `seq`, the next one after *at: fills both. -EINVAL, only for a record that
 * does not encode. */
int chain_append(const struct hash_chain *chain, struct chain_link *at, uint64_t seq, void *v);

/* Walks `n` consecutive records of which the first follows *at. 0 if all hold, else -EBADMSG: the
 * number of one does not go up (another chain may have used numbers between), or its hash does not
 * follow. *at is the last one that holds. */
int chain_follow(const struct hash_chain *chain, struct chain_link *at, const void *records,
		 size_t n);
