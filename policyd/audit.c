/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing and checking of the audit chain; no storage. */
#include "policyd/audit.h"

#include <sodium.h>

static const char label[] = "kith-audit-v1";

/* Longest encoding: five texts, two kerr fields, fixed fields. */
#define ENCODED_MAX 1024

int audit_hash(const uint8_t prev[HASH_LEN], const struct policyd_audit *record,
	       uint8_t ret[HASH_LEN])
{
	uint8_t buf[ENCODED_MAX];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	crypto_hash_sha256_state state;

	policyd_audit_put(&w, record);
	if (wbuf_error(&w) < 0)
		return -EINVAL;
	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, (const uint8_t *)label, sizeof(label) - 1);
	crypto_hash_sha256_update(&state, prev, HASH_LEN);
	/* The hash is the last field and not part of what is hashed. */
	crypto_hash_sha256_update(&state, buf, w.len - HASH_LEN);
	crypto_hash_sha256_final(&state, ret);
	return 0;
}

int audit_verify(const uint8_t prev[HASH_LEN], const struct policyd_audit *records, size_t n,
		 size_t *ret_index)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t hash[HASH_LEN];

		if ((i == 0 || records[i].seq > records[i - 1].seq) &&
		    audit_hash(prev, &records[i], hash) == 0 &&
		    memcmp(hash, records[i].hash, HASH_LEN) == 0) {
			prev = records[i].hash;
			continue;
		}
		*ret_index = i;
		return -EBADMSG;
	}
	return 0;
}
