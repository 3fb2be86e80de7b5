/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that calls the cipher. */
#include "base/box.h"

#include <errno.h>
#include <sodium.h>

_Static_assert(BOX_KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES &&
		       BOX_NONCE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES &&
		       BOX_OVERHEAD == BOX_NONCE_LEN + crypto_aead_xchacha20poly1305_ietf_ABYTES,
	       "sizes of XChaCha20-Poly1305");

void box_seal(const uint8_t key[BOX_KEY_LEN], const void *aad, size_t aad_len, const void *plain,
	      size_t len, uint8_t *ret)
{
	randombytes_buf(ret, BOX_NONCE_LEN);
	crypto_aead_xchacha20poly1305_ietf_encrypt(ret + BOX_NONCE_LEN, NULL, plain, len, aad,
						   aad_len, NULL, ret, key);
}

int box_open(const uint8_t key[BOX_KEY_LEN], const void *aad, size_t aad_len, const void *box,
	     size_t len, void *ret)
{
	const uint8_t *nonce = box;

	if (len < BOX_OVERHEAD)
		return -EBADMSG;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(ret, NULL, NULL, nonce + BOX_NONCE_LEN,
						       len - BOX_NONCE_LEN, aad, aad_len, nonce,
						       key) == 0)
		return 0;
	sodium_memzero(ret, len - BOX_OVERHEAD);
	return -EBADMSG;
}
