/* SPDX-License-Identifier: Apache-2.0 */
/* ECDSA P-256 and X.509 on OpenSSL 3; nothing else in attest/ includes its headers. */
#include "attest/pk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sodium.h>

#include "base/buf.h"
#include "base/cleanup.h"

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
DEFINE_CLEANUP(EVP_PKEY_CTX *, EVP_PKEY_CTX_free)
DEFINE_CLEANUP(BIGNUM *, BN_clear_free)
DEFINE_CLEANUP(ECDSA_SIG *, ECDSA_SIG_free)
DEFINE_CLEANUP(X509 *, X509_free)
DEFINE_CLEANUP(X509_EXTENSION *, X509_EXTENSION_free)

#define CERT_DEVICE_FROM INT64_C(1577836800) /* 2020-01-01 */
#define CERT_NEVER INT64_C(253402300799)     /* 9999-12-31, the last that GeneralizedTime can say */
#define DAY_S 86400
#define POINT_LEN (1 + 2 * P256_LEN) /* uncompressed (SEC 1, 2.3.3) */

/* The library says "out of memory" only through its error queue. */
static int library_error(void)
{
	int r = ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE ? -ENOMEM : -EIO;

	ERR_clear_error();
	return r;
}

/* -EINVAL unless the last failure is one of memory: then the key is not to blame. */
static int key_or_library_error(void)
{
	return library_error() == -ENOMEM ? -ENOMEM : -EINVAL;
}

/* To sign or verify with a key; EVP_PKEY_fromdata() refuses points that are not on the curve. */
static int p256_import(const uint8_t *secret, const struct p256_public *public, EVP_PKEY_CTX **ret)
{
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	uint8_t point[POINT_LEN] = {4}, scalar[P256_LEN];
	char group[] = "P-256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, POINT_LEN),
		OSSL_PARAM_construct_end(),
		OSSL_PARAM_construct_end(),
	};
	int r;

	ERR_clear_error();
	memcpy(point + 1, public->x, P256_LEN);
	memcpy(point + 1 + P256_LEN, public->y, P256_LEN);
	ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1)
		return library_error();
	if (secret) {
		/* Numbers are given in the byte order of the machine. */
		_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian");
		for (size_t i = 0; i < P256_LEN; i++)
			scalar[i] = secret[P256_LEN - 1 - i];
		params[2] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, scalar, P256_LEN);
	}
	r = EVP_PKEY_fromdata(ctx, &key, secret ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params);
	OPENSSL_cleanse(scalar, sizeof(scalar));
	if (r != 1)
		return key_or_library_error();
	*ret = EVP_PKEY_CTX_new(key, NULL);
	return *ret ? 0 : library_error();
}

int pk_p256_generate(uint8_t ret_secret[P256_LEN], struct p256_public *ret_public)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
	_cleanup_(BN_clear_freep) BIGNUM *d = NULL;
	uint8_t point[POINT_LEN];
	size_t len;

	if (!key || !EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d) ||
	    !EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
					     &len) ||
	    len != POINT_LEN || BN_bn2binpad(d, ret_secret, P256_LEN) < 0)
		return library_error();
	memcpy(ret_public->x, point + 1, P256_LEN);
	memcpy(ret_public->y, point + 1 + P256_LEN, P256_LEN);
	return 0;
}

/* DER signature to the two halves a TPM uses. */
static int signature_split(const uint8_t *der, size_t len, struct p256_signature *ret)
{
	_cleanup_(ECDSA_SIG_freep) ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);

	if (!sig || BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret->r, P256_LEN) < 0 ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret->s, P256_LEN) < 0)
		return library_error();
	return 0;
}

/* ASN.1 INTEGER: no zeros in front but the one that keeps it positive. */
static size_t der_integer(const uint8_t v[P256_LEN], uint8_t *ret)
{
	size_t skip = 0, pad;

	while (skip < P256_LEN - 1 && !v[skip])
		skip++;
	pad = v[skip] >> 7;
	ret[0] = 2;
	ret[1] = (uint8_t)(pad + P256_LEN - skip);
	ret[2] = 0;
	memcpy(ret + 2 + pad, v + skip, P256_LEN - skip);
	return 2 + ret[1];
}

static size_t signature_join(const struct p256_signature *sig, uint8_t ret[80])
{
	size_t len = der_integer(sig->r, ret + 2);

	len += der_integer(sig->s, ret + 2 + len);
	ret[0] = 0x30;
	ret[1] = (uint8_t)len;
	return 2 + len;
}

int pk_p256_sign(const uint8_t secret[P256_LEN], const struct p256_public *public,
		 const uint8_t digest[HASH_LEN], struct p256_signature *ret)
{
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
	uint8_t der[80];
	size_t len = sizeof(der);
	int r = p256_import(secret, public, &ctx);

	if (r < 0)
		return r;
	if (EVP_PKEY_sign_init(ctx) != 1 || EVP_PKEY_sign(ctx, der, &len, digest, HASH_LEN) != 1)
		return library_error();
	return signature_split(der, len, ret);
}

static int verify_once(const struct p256_public *public, const uint8_t digest[HASH_LEN],
		       const struct p256_signature *sig)
{
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
	uint8_t der[80];
	size_t len = signature_join(sig, der);
	int r = p256_import(NULL, public, &ctx);

	if (r < 0)
		return r;
	if (EVP_PKEY_verify_init(ctx) != 1)
		return library_error();
	r = EVP_PKEY_verify(ctx, der, len, digest, HASH_LEN);
	if (r == 1)
		return 0;
	/* Zero is "wrong"; anything else, such as r or s out of range, is wrong too unless the
	 * library ran out of memory. */
	return r == 0 || library_error() != -ENOMEM ? -EKEYREJECTED : -ENOMEM;
}

/* RFC 6979, A.2.5: P-256, SHA-256, message "sample". */
static const struct {
	struct p256_public public;
	struct p256_signature sig;
	uint8_t digest[HASH_LEN];
} known_good = {
	.public =
		{
			.x = {0x60, 0xfe, 0xd4, 0xba, 0x25, 0x5a, 0x9d, 0x31, 0xc9, 0x61, 0xeb,
			      0x74, 0xc6, 0x35, 0x6d, 0x68, 0xc0, 0x49, 0xb8, 0x92, 0x3b, 0x61,
			      0xfa, 0x6c, 0xe6, 0x69, 0x62, 0x2e, 0x60, 0xf2, 0x9f, 0xb6},
			.y = {0x79, 0x03, 0xfe, 0x10, 0x08, 0xb8, 0xbc, 0x99, 0xa4, 0x1a, 0xe9,
			      0xe9, 0x56, 0x28, 0xbc, 0x64, 0xf2, 0xf1, 0xb2, 0x0c, 0x2d, 0x7e,
			      0x9f, 0x51, 0x77, 0xa3, 0xc2, 0x94, 0xd4, 0x46, 0x22, 0x99},
		},
	.sig =
		{
			.r = {0xef, 0xd4, 0x8b, 0x2a, 0xac, 0xb6, 0xa8, 0xfd, 0x11, 0x40, 0xdd,
			      0x9c, 0xd4, 0x5e, 0x81, 0xd6, 0x9d, 0x2c, 0x87, 0x7b, 0x56, 0xaa,
			      0xf9, 0x91, 0xc3, 0x4d, 0x0e, 0xa8, 0x4e, 0xaf, 0x37, 0x16},
			.s = {0xf7, 0xcb, 0x1c, 0x94, 0x2d, 0x65, 0x7c, 0x41, 0xd4, 0x36, 0xc7,
			      0xa1, 0xb6, 0xe2, 0x9f, 0x65, 0xf3, 0xe9, 0x00, 0xdb, 0xb9, 0xaf,
			      0xf4, 0x06, 0x4d, 0xc4, 0xab, 0x2f, 0x84, 0x3a, 0xcd, 0xa8},
		},
	.digest = {0xaf, 0x2b, 0xdb, 0xe1, 0xaa, 0x9b, 0x6e, 0xc1, 0xe2, 0xad, 0xe1,
		   0xd6, 0x94, 0xf4, 0x1f, 0xc7, 0x1a, 0x83, 0x1d, 0x02, 0x68, 0xe9,
		   0x89, 0x15, 0x62, 0x11, 0x3d, 0x8a, 0x62, 0xad, 0xd1, 0xbf},
};

/* The library hides some of its own failures behind "bad key" and "bad signature". A rejection
 * counts only if it repeats and a signature known to be good is accepted right after (B12). */
int pk_p256_verify(const struct p256_public *public, const uint8_t digest[HASH_LEN],
		   const struct p256_signature *sig)
{
	int r = verify_once(public, digest, sig);

	if (r < 0)
		r = verify_once(public, digest, sig);
	if (r < 0 && verify_once(&known_good.public, known_good.digest, &known_good.sig) < 0)
		return -EIO;
	return r;
}

/* -- certificates -- */

struct extension {
	int nid;
	const char *value;
};

static const struct extension device_extensions[] = {
	{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
	{NID_key_usage, "critical,keyCertSign"},
	{NID_subject_key_identifier, "hash"},
	{0, NULL},
};

static const struct extension leaf_extensions[] = {
	{NID_basic_constraints, "critical,CA:FALSE"},
	{NID_key_usage, "critical,digitalSignature"},
	{NID_ext_key_usage, "serverAuth,clientAuth"},
	{NID_subject_key_identifier, "hash"},
	{NID_authority_key_identifier, "keyid:always"},
	{0, NULL},
};

struct cert {
	EVP_PKEY *key;
	uint8_t hash[HASH_LEN]; /* names it */
	uint8_t serial[16];
	int64_t from, until;
	const struct extension *extensions;
};

/* "kith-" and the first 16 hex digits of a hash: names nobody. */
static int name_set(X509_NAME *name, const uint8_t hash[HASH_LEN])
{
	char text[5 + 16 + 1] = "kith-";

	hex_encode(hash, 8, text + 5);
	return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)text, -1, -1,
					  0);
}

/* A positive serial of 16 bytes (RFC 5280, 4.1.2.2). */
static int serial_set(X509 *cert, const uint8_t bytes[16])
{
	uint8_t positive[16];

	memcpy(positive, bytes, sizeof(positive));
	positive[0] = (uint8_t)((positive[0] & 0x7f) | 0x40);
	return ASN1_STRING_set(X509_get_serialNumber(cert), positive, sizeof(positive));
}

static int extension_add(X509 *cert, X509 *issuer, const struct extension *e)
{
	_cleanup_(X509_EXTENSION_freep) X509_EXTENSION *ext = NULL;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&ctx);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, e->nid, e->value);
	return ext && X509_add_ext(cert, ext, -1);
}

/* Without an issuer it is its own. */
static int cert_build(const struct cert *c, X509 *issuer, X509 **ret)
{
	_cleanup_(X509_freep) X509 *cert = X509_new();
	X509 *by = issuer ? issuer : cert;

	if (!cert || !X509_set_version(cert, X509_VERSION_3) || !serial_set(cert, c->serial) ||
	    !name_set(X509_get_subject_name(cert), c->hash) ||
	    !X509_set_issuer_name(cert, X509_get_subject_name(by)) ||
	    !ASN1_TIME_set(X509_getm_notBefore(cert), c->from) ||
	    !ASN1_TIME_set(X509_getm_notAfter(cert), c->until) || !X509_set_pubkey(cert, c->key))
		return library_error();
	for (const struct extension *e = c->extensions; e->value; e++)
		if (!extension_add(cert, by, e))
			return library_error();
	*ret = TAKE_PTR(cert);
	return 0;
}

/* Signs (Ed25519 hashes by itself: no digest) and writes the DER. */
static int cert_finish(X509 *cert, EVP_PKEY *key, uint8_t *ret, size_t *ret_len)
{
	uint8_t *at = ret;
	int len;

	if (!X509_sign(cert, key, NULL))
		return library_error();
	len = i2d_X509(cert, NULL);
	if (len > CERT_DER_MAX)
		return -ENOBUFS;
	if (len <= 0 || i2d_X509(cert, &at) != len)
		return library_error();
	*ret_len = (size_t)len;
	return 0;
}

static int device_cert(const uint8_t seed[32], EVP_PKEY **ret_key, X509 **ret)
{
	struct cert c = {
		.from = CERT_DEVICE_FROM, .until = CERT_NEVER, .extensions = device_extensions};
	uint8_t pk[SIGN_PK_LEN];
	size_t len = sizeof(pk);

	*ret_key = c.key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	if (!c.key || EVP_PKEY_get_raw_public_key(c.key, pk, &len) != 1)
		return library_error();
	crypto_hash_sha256(c.hash, pk, sizeof(pk));
	memcpy(c.serial, c.hash + 16, sizeof(c.serial));
	return cert_build(&c, NULL, ret);
}

int pk_device_cert(const uint8_t seed[32], uint8_t *ret, size_t *ret_len)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(X509_freep) X509 *cert = NULL;
	int r = device_cert(seed, &key, &cert);

	return r < 0 ? r : cert_finish(cert, key, ret, ret_len);
}

/* Takes the two key types that a peer's TLS stack uses, and only the named curve. */
static int spki_import(const uint8_t *der, size_t len, EVP_PKEY **ret)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	const uint8_t *at = der;
	char group[32] = "";
	int kind;

	if (!len || len > SPKI_DER_MAX)
		return -EINVAL;
	key = d2i_PUBKEY(NULL, &at, (long)len);
	if (!key || at != der + len)
		return key_or_library_error();
	kind = EVP_PKEY_get_base_id(key);
	if (kind == EVP_PKEY_EC)
		EVP_PKEY_get_group_name(key, group, sizeof(group), NULL);
	if (kind != EVP_PKEY_ED25519 && strcmp(group, SN_X9_62_prime256v1) != 0)
		return -EINVAL;
	*ret = TAKE_PTR(key);
	return 0;
}

int pk_leaf_cert(const uint8_t seed[32], const uint8_t *spki_der, size_t spki_len,
		 int64_t not_before, unsigned days, uint8_t *ret, size_t *ret_len)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL, *leaf = NULL;
	_cleanup_(X509_freep) X509 *issuer = NULL, *cert = NULL;
	struct cert c = {.from = not_before, .extensions = leaf_extensions};
	int r;

	ERR_clear_error();
	if (!days || days > 3650 || not_before < 0 ||
	    not_before > CERT_NEVER - (int64_t)days * DAY_S)
		return -EINVAL;
	r = spki_import(spki_der, spki_len, &leaf);
	if (r >= 0)
		r = device_cert(seed, &key, &issuer);
	if (r < 0)
		return r;
	c.key = leaf;
	c.until = not_before + (int64_t)days * DAY_S;
	crypto_hash_sha256(c.hash, spki_der, spki_len);
	randombytes_buf(c.serial, sizeof(c.serial));
	r = cert_build(&c, issuer, &cert);
	return r < 0 ? r : cert_finish(cert, key, ret, ret_len);
}
