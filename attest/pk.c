/* SPDX-License-Identifier: Apache-2.0 */
/* ECDSA P-256 and X.509 on OpenSSL 3; nothing else in attest/ includes its headers. */
#include "attest/pk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sodium.h>

#include "base/buf.h"
#include "base/cleanup.h"

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
DEFINE_CLEANUP(EVP_PKEY_CTX *, EVP_PKEY_CTX_free)
DEFINE_CLEANUP(OSSL_PARAM_BLD *, OSSL_PARAM_BLD_free)
DEFINE_CLEANUP(BIGNUM *, BN_clear_free)
DEFINE_CLEANUP(ECDSA_SIG *, ECDSA_SIG_free)
DEFINE_CLEANUP(X509 *, X509_free)
DEFINE_CLEANUP(X509_EXTENSION *, X509_EXTENSION_free)
DEFINE_CLEANUP(ASN1_TIME *, ASN1_TIME_free)

#define CERT_DEVICE_FROM 1577836800 /* 2020-01-01 */
#define DAY_S 86400

/* Uncompressed point as OpenSSL takes it (SEC 1, 2.3.3). */
static void point_encode(const struct p256_public *public, uint8_t ret[1 + 2 * P256_LEN])
{
	ret[0] = 4;
	memcpy(ret + 1, public->x, P256_LEN);
	memcpy(ret + 1 + P256_LEN, public->y, P256_LEN);
}

/* The library says "out of memory" only through its error queue. */
static int library_error(void)
{
	int r = ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE ? -ENOMEM : -EIO;

	ERR_clear_error();
	return r;
}

/* OSSL_PARAM_free() leaves the scalar in the heap (M6). */
static void params_free(OSSL_PARAM *params)
{
	OSSL_PARAM *scalar = params ? OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PRIV_KEY) : NULL;

	if (scalar)
		OPENSSL_cleanse(scalar->data, scalar->data_size);
	OSSL_PARAM_free(params);
}
DEFINE_CLEANUP(OSSL_PARAM *, params_free)

static int params_build(const uint8_t *secret, const uint8_t *point, size_t point_len,
			OSSL_PARAM **ret)
{
	_cleanup_(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	_cleanup_(BN_clear_freep) BIGNUM *scalar = NULL;

	if (!bld || !OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) ||
	    !OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, point_len))
		return library_error();
	if (secret) {
		scalar = BN_bin2bn(secret, P256_LEN, NULL);
		if (!scalar || !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, scalar))
			return library_error();
	}
	*ret = OSSL_PARAM_BLD_to_param(bld);
	return *ret ? 0 : library_error();
}

/* True unless the last failure is one of memory: then the key is not to blame. */
static int key_or_library_error(void)
{
	return library_error() == -ENOMEM ? -ENOMEM : -EINVAL;
}

/* Imports a key; EVP_PKEY_fromdata() refuses points that are not on the curve. */
static int p256_import(const uint8_t *secret, const struct p256_public *public, EVP_PKEY **ret)
{
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
	_cleanup_(params_freep) OSSL_PARAM *params = NULL;
	uint8_t point[1 + 2 * P256_LEN];
	int r;

	ERR_clear_error();
	point_encode(public, point);
	r = params_build(secret, point, sizeof(point), &params);
	if (r < 0)
		return r;
	ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1)
		return library_error();
	if (EVP_PKEY_fromdata(ctx, ret, secret ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) !=
	    1)
		return key_or_library_error();
	return 0;
}

int pk_p256_generate(uint8_t ret_secret[P256_LEN], struct p256_public *ret_public)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
	_cleanup_(BN_clear_freep) BIGNUM *d = NULL, *x = NULL, *y = NULL;
	struct p256_public public;

	if (!key || !EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d) ||
	    !EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) ||
	    !EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y))
		return library_error();
	if (BN_bn2binpad(x, public.x, P256_LEN) < 0 || BN_bn2binpad(y, public.y, P256_LEN) < 0 ||
	    BN_bn2binpad(d, ret_secret, P256_LEN) < 0)
		return library_error();
	*ret_public = public;
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

static int signature_join(const struct p256_signature *sig, uint8_t ret[80], size_t *ret_len)
{
	_cleanup_(ECDSA_SIG_freep) ECDSA_SIG *ec = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(sig->r, P256_LEN, NULL), *s = BN_bin2bn(sig->s, P256_LEN, NULL);
	uint8_t *at = ret;
	int len;

	if (!ec || !r || !s || !ECDSA_SIG_set0(ec, r, s)) {
		BN_free(r);
		BN_free(s);
		return library_error();
	}
	len = i2d_ECDSA_SIG(ec, NULL);
	if (len <= 0 || len > 80 || i2d_ECDSA_SIG(ec, &at) != len)
		return library_error();
	*ret_len = (size_t)len;
	return 0;
}

int pk_p256_sign(const uint8_t secret[P256_LEN], const struct p256_public *public,
		 const uint8_t digest[HASH_LEN], struct p256_signature *ret)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
	uint8_t der[80];
	size_t len = sizeof(der);
	int r = p256_import(secret, public, &key);

	if (r < 0)
		return r;
	ctx = EVP_PKEY_CTX_new(key, NULL);
	if (!ctx || EVP_PKEY_sign_init(ctx) != 1 ||
	    EVP_PKEY_sign(ctx, der, &len, digest, HASH_LEN) != 1)
		return library_error();
	return signature_split(der, len, ret);
}

static int verify_once(const struct p256_public *public, const uint8_t digest[HASH_LEN],
		       const struct p256_signature *sig)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
	uint8_t der[80];
	size_t len = 0;
	int r = p256_import(NULL, public, &key);

	if (r >= 0)
		r = signature_join(sig, der, &len);
	if (r < 0)
		return r;
	ctx = EVP_PKEY_CTX_new(key, NULL);
	if (!ctx || EVP_PKEY_verify_init(ctx) != 1)
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

static int ed25519_key(const uint8_t seed[32], EVP_PKEY **ret, uint8_t ret_pk[SIGN_PK_LEN])
{
	size_t len = SIGN_PK_LEN;

	*ret = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	if (!*ret || EVP_PKEY_get_raw_public_key(*ret, ret_pk, &len) != 1 || len != SIGN_PK_LEN)
		return library_error();
	return 0;
}

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
	_cleanup_(BN_clear_freep) BIGNUM *bn = NULL;
	uint8_t positive[16];

	memcpy(positive, bytes, sizeof(positive));
	positive[0] = (uint8_t)((positive[0] & 0x7f) | 0x40);
	bn = BN_bin2bn(positive, sizeof(positive), NULL);
	return bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));
}

static int extension_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
	_cleanup_(X509_EXTENSION_freep) X509_EXTENSION *ext = NULL;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&ctx);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	return ext && X509_add_ext(cert, ext, -1);
}

/* Signs (Ed25519 hashes by itself: no digest) and writes the DER. */
static int cert_finish(X509 *cert, EVP_PKEY *key, uint8_t *ret, size_t *ret_len)
{
	uint8_t *at = ret;
	int len;

	if (!X509_sign(cert, key, NULL))
		return library_error();
	len = i2d_X509(cert, NULL);
	if (len <= 0 || len > CERT_DER_MAX)
		return len > 0 ? -ENOBUFS : library_error();
	if (i2d_X509(cert, &at) != len)
		return library_error();
	*ret_len = (size_t)len;
	return 0;
}

static int device_cert_build(EVP_PKEY *key, const uint8_t pk[SIGN_PK_LEN], X509 **ret)
{
	_cleanup_(X509_freep) X509 *cert = X509_new();
	_cleanup_(ASN1_TIME_freep) ASN1_TIME *never = ASN1_TIME_new();
	uint8_t id[DEVICE_ID_LEN];

	crypto_hash_sha256(id, pk, SIGN_PK_LEN);
	if (!cert || !never || !X509_set_version(cert, X509_VERSION_3) ||
	    !serial_set(cert, id + 16) || !name_set(X509_get_subject_name(cert), id) ||
	    !name_set(X509_get_issuer_name(cert), id) ||
	    !ASN1_TIME_set(X509_getm_notBefore(cert), CERT_DEVICE_FROM) ||
	    !ASN1_TIME_set_string_X509(never, "99991231235959Z") ||
	    !X509_set1_notAfter(cert, never) || !X509_set_pubkey(cert, key))
		return library_error();
	if (!extension_add(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !extension_add(cert, cert, NID_key_usage, "critical,keyCertSign") ||
	    !extension_add(cert, cert, NID_subject_key_identifier, "hash"))
		return library_error();
	*ret = TAKE_PTR(cert);
	return 0;
}

int pk_device_cert(const uint8_t seed[32], uint8_t *ret, size_t *ret_len)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(X509_freep) X509 *cert = NULL;
	uint8_t pk[SIGN_PK_LEN];
	int r = ed25519_key(seed, &key, pk);

	if (r >= 0)
		r = device_cert_build(key, pk, &cert);
	if (r < 0)
		return r;
	return cert_finish(cert, key, ret, ret_len);
}

/* Takes the two key types that a peer's TLS stack uses, and only the named curve. */
static int spki_import(const uint8_t *der, size_t len, EVP_PKEY **ret)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	const uint8_t *at = der;
	char group[32] = "";

	if (!len || len > SPKI_DER_MAX)
		return -EINVAL;
	key = d2i_PUBKEY(NULL, &at, (long)len);
	if (!key || at != der + len)
		return key_or_library_error();
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
		if (!EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) ||
		    strcmp(group, SN_X9_62_prime256v1) != 0)
			return -EINVAL;
	} else if (EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519) {
		return -EINVAL;
	}
	*ret = TAKE_PTR(key);
	return 0;
}

static const struct {
	int nid;
	const char *value;
} leaf_extensions[] = {
	{NID_basic_constraints, "critical,CA:FALSE"},
	{NID_key_usage, "critical,digitalSignature"},
	{NID_ext_key_usage, "serverAuth,clientAuth"},
	{NID_subject_key_identifier, "hash"},
	{NID_authority_key_identifier, "keyid:always"},
};

static int leaf_build(X509 *issuer, EVP_PKEY *leaf, const uint8_t hash[HASH_LEN],
		      int64_t not_before, unsigned days, X509 **ret)
{
	_cleanup_(X509_freep) X509 *cert = X509_new();
	uint8_t serial[16];

	randombytes_buf(serial, sizeof(serial));
	if (!cert || !X509_set_version(cert, X509_VERSION_3) || !serial_set(cert, serial) ||
	    !name_set(X509_get_subject_name(cert), hash) ||
	    !X509_set_issuer_name(cert, X509_get_subject_name(issuer)) ||
	    !ASN1_TIME_set(X509_getm_notBefore(cert), not_before) ||
	    !ASN1_TIME_set(X509_getm_notAfter(cert), not_before + (int64_t)days * DAY_S) ||
	    !X509_set_pubkey(cert, leaf))
		return library_error();
	for (size_t i = 0; i < ARRAY_SIZE(leaf_extensions); i++)
		if (!extension_add(cert, issuer, leaf_extensions[i].nid, leaf_extensions[i].value))
			return library_error();
	*ret = TAKE_PTR(cert);
	return 0;
}

int pk_leaf_cert(const uint8_t seed[32], const uint8_t *spki_der, size_t spki_len,
		 int64_t not_before, unsigned days, uint8_t *ret, size_t *ret_len)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL, *leaf = NULL;
	_cleanup_(X509_freep) X509 *issuer = NULL, *cert = NULL;
	uint8_t pk[SIGN_PK_LEN], hash[HASH_LEN];
	int r;

	ERR_clear_error();
	/* 9999-12-31 bounds what GeneralizedTime can say. */
	if (not_before < 0 || not_before > 253370764800 || !days || days > 3650)
		return -EINVAL;
	r = spki_import(spki_der, spki_len, &leaf);
	if (r >= 0)
		r = ed25519_key(seed, &key, pk);
	if (r >= 0)
		r = device_cert_build(key, pk, &issuer);
	if (r < 0)
		return r;
	crypto_hash_sha256(hash, spki_der, spki_len);
	r = leaf_build(issuer, leaf, hash, not_before, days, &cert);
	if (r < 0)
		return r;
	return cert_finish(cert, key, ret, ret_len);
}
