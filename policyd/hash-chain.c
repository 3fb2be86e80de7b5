/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing and checking of the chains; no storage. */
#include "policyd/hash-chain.h"

#include <sodium.h>

#include "policyd/custody-wire.h"

const struct hash_chain audit_chain = {"kith-audit-v1", &policyd_audit_record,
				       offsetof(struct policyd_audit, seq),
				       offsetof(struct policyd_audit, hash)};
const struct hash_chain journal_chain = {"kith-journal-v1", &journal_entry_record,
					 offsetof(struct journal_entry, seq),
					 offsetof(struct journal_entry, hash)};

/* Longest encoding: of an audit record, four texts and a sentence. */
#define ENCODED_MAX 1024

static int hash_next(const struct hash_chain *chain, const uint8_t prev[HASH_LEN], const void *v,
		     uint8_t ret[HASH_LEN])
{
	uint8_t buf[ENCODED_MAX];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	crypto_hash_sha256_state state;

	record_put(&w, chain->record, v);
	if (wbuf_error(&w) < 0)
		return -EINVAL;
	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, (const uint8_t *)chain->label, strlen(chain->label));
	crypto_hash_sha256_update(&state, prev, HASH_LEN);
	crypto_hash_sha256_update(&state, buf, w.len - HASH_LEN);
	crypto_hash_sha256_final(&state, ret);
	return 0;
}

int chain_append(const struct hash_chain *chain, struct chain_link *at, uint64_t seq, void *v)
{
	uint8_t *record = v, hash[HASH_LEN];

	memcpy(record + chain->seq, &seq, sizeof(seq));
	if (hash_next(chain, at->hash, v, hash) < 0)
		return -EINVAL;
	memcpy(record + chain->hash, hash, HASH_LEN);
	memcpy(at->hash, hash, HASH_LEN);
	at->seq = seq;
	return 0;
}

int chain_follow(const struct hash_chain *chain, struct chain_link *at, const void *records,
		 size_t n)
{
	for (const uint8_t *v = records; n; n--, v += chain->record->size) {
		uint8_t hash[HASH_LEN];
		uint64_t seq;

		memcpy(&seq, v + chain->seq, sizeof(seq));
		if (seq <= at->seq || hash_next(chain, at->hash, v, hash) < 0 ||
		    memcmp(v + chain->hash, hash, HASH_LEN) != 0)
			return -EBADMSG;
		at->seq = seq;
		memcpy(at->hash, hash, HASH_LEN);
	}
	return 0;
}
