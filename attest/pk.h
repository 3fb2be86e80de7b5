/* SPDX-License-Identifier: Apache-2.0 */
/* Public-key operations that libsodium lacks: ECDSA P-256 and X.509. The only OpenSSL user. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"

#define P256_LEN 32	  /* one coordinate, scalar or signature half, big-endian */
#define CERT_DER_MAX 1024 /* room that every certificate made here fits in */
#define SPKI_DER_MAX 256

struct p256_public {
	uint8_t x[P256_LEN], y[P256_LEN];
};

struct p256_signature {
	uint8_t r[P256_LEN], s[P256_LEN];
};

/* Makes a P-256 key pair (OpenSSL's generator). The caller wipes `ret_secret`. -EIO. */
int pk_p256_generate(uint8_t ret_secret[P256_LEN], struct p256_public *ret_public);

/* Signs a SHA-256 digest (ECDSA, FIPS 186-4). `public` must belong to `secret`. -EINVAL, -EIO. */
int pk_p256_sign(const uint8_t secret[P256_LEN], const struct p256_public *public,
		 const uint8_t digest[HASH_LEN], struct p256_signature *ret);

/* 0 if the signature over the digest is good, -EKEYREJECTED if it is not, -EINVAL if the key is
 * not a point of the curve, -EIO or -ENOMEM if the library failed (B12: not the same thing). */
int pk_p256_verify(const struct p256_public *public, const uint8_t digest[HASH_LEN],
		   const struct p256_signature *sig);

/* Makes the device certificate: self-signed by the Ed25519 device key of `seed`, CA:TRUE with path
 * length 0, subject "kith-" and 16 hex digits of the device id, valid from 2020 to 9999 (RFC 5280,
 * 4.1.2.5: no expiry; the signed device record carries the expiry). The bytes depend on the key
 * only. `ret` has CERT_DER_MAX bytes. -EIO. */
int pk_device_cert(const uint8_t seed[32], uint8_t *ret, size_t *ret_len);

/* Issues a leaf for the TLS key of `spki_der` (SubjectPublicKeyInfo; Ed25519 or P-256, anything
 * else is -EINVAL) under the device key: CA:FALSE, digitalSignature, serverAuth and clientAuth,
 * random serial, subject "kith-" and 16 hex digits of the SPKI's hash. `not_before` is Unix
 * seconds, `days` 1 to 3650. `ret` has CERT_DER_MAX bytes. */
int pk_leaf_cert(const uint8_t seed[32], const uint8_t *spki_der, size_t spki_len,
		 int64_t not_before, unsigned days, uint8_t *ret, size_t *ret_len);
