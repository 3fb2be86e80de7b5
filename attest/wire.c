/* SPDX-License-Identifier: Apache-2.0 */
/* Labelled hashes and the reading of refusals. */
#include "attest/wire.h"

void digest_begin(struct digest *d, const char *label)
{
	crypto_hash_sha256_init(&d->state);
	digest_field(d, label, strlen(label));
}

void digest_field(struct digest *d, const void *data, size_t len)
{
	uint8_t prefix[4] = {(uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16),
			     (uint8_t)(len >> 24)};

	crypto_hash_sha256_update(&d->state, prefix, sizeof(prefix));
	if (len)
		crypto_hash_sha256_update(&d->state, data, len);
}

void digest_u64(struct digest *d, uint64_t v)
{
	uint8_t bytes[8];
	struct wbuf w = wbuf_init(bytes, sizeof(bytes));

	wbuf_u64(&w, v);
	digest_field(d, bytes, sizeof(bytes));
}

void digest_end(struct digest *d, uint8_t ret[HASH_LEN])
{
	crypto_hash_sha256_final(&d->state, ret);
	sodium_memzero(d, sizeof(*d));
}

void device_id_of(const uint8_t sign_pk[SIGN_PK_LEN], uint8_t ret_id[DEVICE_ID_LEN])
{
	crypto_hash_sha256(ret_id, sign_pk, SIGN_PK_LEN);
}

int refusal_get(struct rbuf *r, struct kerr *err)
{
	struct kerr peer = {0};

	if (kerr_get(r, &peer) < 0 || rbuf_end(r) < 0 || peer.code == KCODE_OK)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The other device refused, but its reason cannot be read.");
	kerr_set(err, ECONNREFUSED, peer.code, "The other device refused and says: %s",
		 peer.text[0] ? peer.text : "it gave no reason.");
	return -ECONNREFUSED;
}
