/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of hashes. */
#include "policyd/replays.h"

#include <sodium.h>
#include <string.h>

bool replays_seen(struct replays *r, const uint8_t *data, size_t len)
{
	uint8_t hash[HASH_LEN];

	crypto_hash_sha256(hash, data, len);
	for (size_t i = 0; i < REPLAYS_MAX; i++)
		if (memcmp(r->seen[i], hash, HASH_LEN) == 0)
			return true;
	memcpy(r->seen[r->next++ % REPLAYS_MAX], hash, HASH_LEN);
	return false;
}
