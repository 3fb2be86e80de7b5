/* SPDX-License-Identifier: Apache-2.0 */
/* The box that keeps bytes from all who do not have its key: XChaCha20-Poly1305, random nonce. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BOX_KEY_LEN 32
#define BOX_NONCE_LEN 24
#define BOX_OVERHEAD (BOX_NONCE_LEN + 16) /* a box is nonce, ciphertext, tag */

/* Fills `ret` with len + BOX_OVERHEAD bytes. What the box is and stands in is said by `aad`, which
 * is authenticated but not in the box; it may be NULL, and may reach into the box's nonce. `plain`
 * may stand where it will be sealed, behind the nonce. */
void box_seal(const uint8_t key[BOX_KEY_LEN], const void *aad, size_t aad_len, const void *plain,
	      size_t len, uint8_t *ret);

/* `ret` has len - BOX_OVERHEAD bytes. -EBADMSG if any bit, `aad` or the key is not right (D3);
 * then it holds zeros. */
int box_open(const uint8_t key[BOX_KEY_LEN], const void *aad, size_t aad_len, const void *box,
	     size_t len, void *ret);
