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

/* From one link to that of *v, whatever hash *v says it has. */
static int go_on(const struct hash_chain *chain, struct chain_link *at, const void *v)
{
	uint8_t buf[ENCODED_MAX];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	crypto_hash_sha256_state state;

	record_put(&w, chain->record, v);
	if (wbuf_error(&w) < 0)
		return -EINVAL;
	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, (const uint8_t *)chain->label, strlen(chain->label));
	crypto_hash_sha256_update(&state, at->hash, HASH_LEN);
	crypto_hash_sha256_update(&state, buf, w.len - HASH_LEN);
	crypto_hash_sha256_final(&state, at->hash);
	memcpy(&at->seq, (const uint8_t *)v + chain->seq, sizeof(at->seq));
	return 0;
}

int chain_append(const struct hash_chain *chain, struct chain_link *at, uint64_t seq, void *v)
{
	int r;

	memcpy((uint8_t *)v + chain->seq, &seq, sizeof(seq));
	r = go_on(chain, at, v);
	if (r == 0)
		memcpy((uint8_t *)v + chain->hash, at->hash, HASH_LEN);
	return r;
}

int chain_follow(const struct hash_chain *chain, struct chain_link *at, const void *records,
		 size_t n)
{
	for (const uint8_t *v = records; n; n--, v += chain->record->size) {
		struct chain_link next = *at;

		if (go_on(chain, &next, v) < 0 || next.seq <= at->seq ||
		    memcmp(v + chain->hash, next.hash, HASH_LEN) != 0)
			return -EBADMSG;
		*at = next;
	}
	return 0;
}
