/* SPDX-License-Identifier: Apache-2.0 */
/* ECDSA and certificates; chains are verified by OpenSSL as a TLS peer would. */
#include <glib.h>
#include <openssl/evp.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sodium.h>

#include "attest/pk.h"
#include "base/buf.h"
#include "tests/unit/golden.h"

#define NOW 1767225600 /* 2026-01-01 */

static const uint8_t seed[32] = {7, 7, 7};

static void test_ecdsa(void)
{
	uint8_t secret[P256_LEN], digest[HASH_LEN] = {1};
	struct p256_public public, other;
	struct p256_signature sig, bad;

	g_assert_cmpint(pk_p256_generate(secret, &public), ==, 0);
	g_assert_cmpint(pk_p256_sign(secret, &public, digest, &sig), ==, 0);
	g_assert_cmpint(pk_p256_verify(&public, digest, &sig), ==, 0);
	digest[31] ^= 1;
	g_assert_cmpint(pk_p256_verify(&public, digest, &sig), ==, -EKEYREJECTED);
	digest[31] ^= 1;
	bad = sig;
	bad.r[0] ^= 1;
	g_assert_cmpint(pk_p256_verify(&public, digest, &bad), ==, -EKEYREJECTED);
	memset(&bad, 0, sizeof(bad));
	g_assert_cmpint(pk_p256_verify(&public, digest, &bad), ==, -EKEYREJECTED);
	memset(&bad, 0xff, sizeof(bad));
	g_assert_cmpint(pk_p256_verify(&public, digest, &bad), ==, -EKEYREJECTED);
	other = public;
	other.y[0] ^= 1;
	g_assert_cmpint(pk_p256_verify(&other, digest, &sig), ==, -EINVAL);
	memset(&other, 0, sizeof(other));
	g_assert_cmpint(pk_p256_verify(&other, digest, &sig), ==, -EINVAL);
	g_assert_cmpint(pk_p256_generate(secret, &other), ==, 0);
	g_assert_cmpint(pk_p256_verify(&other, digest, &sig), ==, -EKEYREJECTED);
}

/* RFC 6979, A.2.5: P-256, SHA-256, message "sample". */
static void test_ecdsa_vector(void)
{
	struct p256_public public;
	struct p256_signature sig;
	uint8_t digest[HASH_LEN];

	hex_decode("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6", public.x,
		   32);
	hex_decode("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299", public.y,
		   32);
	hex_decode("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716", sig.r, 32);
	hex_decode("f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8", sig.s, 32);
	crypto_hash_sha256(digest, (const uint8_t *)"sample", 6);
	g_assert_cmpint(pk_p256_verify(&public, digest, &sig), ==, 0);
}

static size_t spki_make(const char *type, const char *group, uint8_t *ret)
{
	EVP_PKEY *key = group ? EVP_PKEY_Q_keygen(NULL, NULL, type, group)
			      : EVP_PKEY_Q_keygen(NULL, NULL, type);
	uint8_t *at = ret;
	int len = i2d_PUBKEY(key, &at);

	EVP_PKEY_free(key);
	return len > 0 ? (size_t)len : 0;
}

/* Verifies leaf <- device as a TLS endpoint does, for a purpose and a time. 1 = good. */
static int chain_verify(const uint8_t *leaf, size_t leaf_len, const uint8_t *device,
			size_t device_len, int purpose, time_t at)
{
	X509 *l = d2i_X509(NULL, &leaf, (long)leaf_len);
	X509 *d = d2i_X509(NULL, &device, (long)device_len);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int ok;

	X509_STORE_add_cert(store, d);
	X509_STORE_CTX_init(ctx, store, l, NULL);
	X509_STORE_CTX_set_purpose(ctx, purpose);
	X509_STORE_CTX_set_time(ctx, 0, at);
	X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
	ok = X509_verify_cert(ctx);
	if (ok != 1)
		g_test_message("%s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(l);
	X509_free(d);
	return ok;
}

static void test_chain(void)
{
	static const struct {
		const char *type, *group;
	} kinds[] = {{"ED25519", NULL}, {"EC", "P-256"}};
	uint8_t device[CERT_DER_MAX], other[CERT_DER_MAX], leaf[CERT_DER_MAX], spki[SPKI_DER_MAX];
	const uint8_t other_seed[32] = {9};
	size_t device_len, other_len, leaf_len, spki_len;

	g_assert_cmpint(pk_device_cert(seed, device, &device_len), ==, 0);
	g_assert_cmpint(pk_device_cert(other_seed, other, &other_len), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		spki_len = spki_make(kinds[i].type, kinds[i].group, spki);
		g_assert_cmpint(pk_leaf_cert(seed, spki, spki_len, NOW, 30, leaf, &leaf_len), ==,
				0);
		g_assert_cmpint(chain_verify(leaf, leaf_len, device, device_len,
					     X509_PURPOSE_SSL_SERVER, NOW + 60),
				==, 1);
		g_assert_cmpint(chain_verify(leaf, leaf_len, device, device_len,
					     X509_PURPOSE_SSL_CLIENT, NOW + 60),
				==, 1);
		/* Another device's certificate, too early, too late. */
		g_assert_cmpint(chain_verify(leaf, leaf_len, other, other_len,
					     X509_PURPOSE_SSL_SERVER, NOW + 60),
				!=, 1);
		g_assert_cmpint(chain_verify(leaf, leaf_len, device, device_len,
					     X509_PURPOSE_SSL_SERVER, NOW - 60),
				!=, 1);
		g_assert_cmpint(chain_verify(leaf, leaf_len, device, device_len,
					     X509_PURPOSE_SSL_SERVER, NOW + 31 * 86400),
				!=, 1);
	}
}

/* A leaf cannot issue: no third certificate hangs under it. */
static void test_shape(void)
{
	uint8_t device[CERT_DER_MAX], leaf[CERT_DER_MAX], spki[SPKI_DER_MAX];
	size_t device_len, leaf_len, spki_len = spki_make("ED25519", NULL, spki);
	const uint8_t *d = device, *l = leaf;
	X509 *dev, *lf;

	g_assert_cmpint(pk_device_cert(seed, device, &device_len), ==, 0);
	g_assert_cmpint(pk_leaf_cert(seed, spki, spki_len, NOW, 1, leaf, &leaf_len), ==, 0);
	dev = d2i_X509(NULL, &d, (long)device_len);
	lf = d2i_X509(NULL, &l, (long)leaf_len);
	g_assert_cmpint(X509_get_pathlen(dev), ==, 0);
	g_assert_true(X509_get_extension_flags(dev) & EXFLAG_CA);
	g_assert_false(X509_get_extension_flags(lf) & EXFLAG_CA);
	g_assert_cmpuint(X509_get_extended_key_usage(lf), ==, XKU_SSL_SERVER | XKU_SSL_CLIENT);
	g_assert_cmpuint(X509_get_key_usage(lf), ==, KU_DIGITAL_SIGNATURE);
	X509_free(dev);
	X509_free(lf);
}

static void test_device_key(void)
{
	uint8_t device[CERT_DER_MAX], again[CERT_DER_MAX];
	uint8_t pk[SIGN_PK_LEN], want[SIGN_PK_LEN], sk[64], id[HASH_LEN], old[32];
	char hex[2 * 8 + 1];
	size_t device_len, again_len, pk_len = sizeof(pk);
	const uint8_t *at = device;
	X509 *cert;

	crypto_sign_seed_keypair(want, sk, seed);
	crypto_hash_sha256(id, want, sizeof(want));
	hex_encode(id, 8, hex);
	g_assert_cmpint(pk_device_cert(seed, device, &device_len), ==, 0);
	g_assert_cmpint(pk_device_cert(seed, again, &again_len), ==, 0);
	g_assert_cmpmem(device, (int)device_len, again,
			(int)again_len); /* depends on the key only */
	g_assert_nonnull(memmem(device, device_len, hex, 16));
	/* Peers have pinned it. */
	memset(old, 0x42, sizeof(old));
	g_assert_cmpint(pk_device_cert(old, device, &device_len), ==, 0);
	again_len = golden_read("evidence.txt", "device-cert", again, sizeof(again));
	g_assert_cmpmem(device, (int)device_len, again, (int)again_len);
	g_assert_cmpint(pk_device_cert(seed, device, &device_len), ==, 0);
	cert = d2i_X509(NULL, &at, (long)device_len);
	g_assert_cmpint(EVP_PKEY_get_raw_public_key(X509_get0_pubkey(cert), pk, &pk_len), ==, 1);
	g_assert_cmpmem(pk, pk_len, want, sizeof(want));
	X509_free(cert);
}

static void test_leaf_refused(void)
{
	uint8_t leaf[CERT_DER_MAX], spki[SPKI_DER_MAX], rsa[2048];
	size_t leaf_len = 77, len;

	len = spki_make("EC", "P-384", spki);
	g_assert_cmpint(pk_leaf_cert(seed, spki, len, NOW, 1, leaf, &leaf_len), ==, -EINVAL);
	len = spki_make("X25519", NULL, spki);
	g_assert_cmpint(pk_leaf_cert(seed, spki, len, NOW, 1, leaf, &leaf_len), ==, -EINVAL);
	g_assert_cmpint(pk_leaf_cert(seed, rsa, sizeof(rsa), NOW, 1, leaf, &leaf_len), ==, -EINVAL);
	len = spki_make("ED25519", NULL, spki);
	g_assert_cmpint(pk_leaf_cert(seed, spki, len - 1, NOW, 1, leaf, &leaf_len), ==, -EINVAL);
	g_assert_cmpint(pk_leaf_cert(seed, spki, len + 1, NOW, 1, leaf, &leaf_len), ==, -EINVAL);
	g_assert_cmpint(pk_leaf_cert(seed, spki, len, NOW, 0, leaf, &leaf_len), ==, -EINVAL);
	g_assert_cmpint(pk_leaf_cert(seed, spki, len, -1, 1, leaf, &leaf_len), ==, -EINVAL);
	g_assert_cmpuint(leaf_len, ==, 77);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0)
		return 1;
	g_test_add_func("/pk/ecdsa", test_ecdsa);
	g_test_add_func("/pk/ecdsa RFC 6979", test_ecdsa_vector);
	g_test_add_func("/pk/chain", test_chain);
	g_test_add_func("/pk/shape", test_shape);
	g_test_add_func("/pk/device key", test_device_key);
	g_test_add_func("/pk/leaf keys refused", test_leaf_refused);
	return g_test_run();
}
