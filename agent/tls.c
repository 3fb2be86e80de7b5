/* SPDX-License-Identifier: Apache-2.0 */
/* The peer channel's use of OpenSSL. No CA, no names, no CRLs: a chain is two certificates, and
 * what counts is the hash of the device key in the second. */
#include "agent/tls.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <time.h>

#include "base/log.h"

/* Clocks may be off, by a time zone say. A leaf lives for a day, so half a day of grace is enough.
 */
#define CLOCK_GRACE_S (12 * 3600)
#define CERT_LIST_MAX 8192
#define TLS_SUITES "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"

/* Contexts that take part in a renewal: the server vhost's and our client one. */
#define CONTEXTS_MAX 2

struct tls_identity {
	EVP_PKEY *key;
	X509 *leaf, *device;
	uint8_t id[DEVICE_ID_LEN];
	SSL_CTX *contexts[CONTEXTS_MAX];
	size_t context_count;
	SSL_CTX *client;
	struct tls_hooks hooks;
};

DEFINE_CLEANUP(X509 *, X509_free)
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)

int tls_identity_new(const struct tls_hooks *hooks, struct tls_identity **ret)
{
	_cleanup_(tls_identity_freep) struct tls_identity *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->hooks = *hooks;
	t->key = EVP_EC_gen("P-256");
	if (!t->key)
		return -EIO;
	*ret = TAKE_PTR(t);
	return 0;
}

struct tls_identity *tls_identity_free(struct tls_identity *t)
{
	if (!t)
		return NULL;
	SSL_CTX_free(t->client);
	for (size_t i = 0; i < t->context_count; i++)
		SSL_CTX_free(t->contexts[i]);
	EVP_PKEY_free(t->key);
	X509_free(t->leaf);
	X509_free(t->device);
	free(t);
	return NULL;
}

int tls_identity_spki(const struct tls_identity *t, uint8_t **ret, size_t *ret_len)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(t->key, &der);

	if (n <= 0)
		return -EIO;
	*ret = malloc((size_t)n);
	if (*ret)
		memcpy(*ret, der, (size_t)n);
	OPENSSL_free(der);
	if (!*ret)
		return -ENOMEM;
	*ret_len = (size_t)n;
	return 0;
}

static X509 *parse(const void *der, size_t len)
{
	const unsigned char *p = der;
	X509 *x = len <= CERT_LIST_MAX ? d2i_X509(NULL, &p, (long)len) : NULL;

	/* Trailing bytes would be covered by no signature. */
	if (x && p != (const unsigned char *)der + len) {
		X509_free(x);
		return NULL;
	}
	return x;
}

static bool in_time(const X509 *x)
{
	time_t now = time(NULL), early = now - CLOCK_GRACE_S, late = now + CLOCK_GRACE_S;

	return X509_cmp_time(X509_get0_notBefore(x), &late) < 0 &&
	       X509_cmp_time(X509_get0_notAfter(x), &early) > 0;
}

/* Judges a chain: exactly a leaf and the self-signed Ed25519 device certificate that issued it.
 * ret_id = SHA-256 of the raw device key. -EBADMSG otherwise. */
static int check_pair(X509 *leaf, X509 *device, uint8_t ret_id[DEVICE_ID_LEN])
{
	EVP_PKEY *issuer = X509_get0_pubkey(device), *key = X509_get0_pubkey(leaf);
	uint8_t raw[SIGN_PK_LEN], id[DEVICE_ID_LEN];
	size_t len = sizeof(raw);

	if (!issuer || !key || EVP_PKEY_get_base_id(issuer) != EVP_PKEY_ED25519 ||
	    EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
	    EVP_PKEY_get_raw_public_key(issuer, raw, &len) != 1 || len != sizeof(raw))
		return -EBADMSG;
	if (X509_verify(device, issuer) != 1 || X509_verify(leaf, issuer) != 1 || !in_time(leaf))
		return -EBADMSG;
	if (EVP_Digest(raw, sizeof(raw), id, NULL, EVP_sha256(), NULL) != 1)
		return -EIO;
	memcpy(ret_id, id, sizeof(id));
	return 0;
}

static int use_chain(const struct tls_identity *t, SSL_CTX *ctx)
{
	if (SSL_CTX_use_certificate(ctx, t->leaf) != 1 || SSL_CTX_clear_chain_certs(ctx) != 1 ||
	    SSL_CTX_add1_chain_cert(ctx, t->device) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, t->key) != 1)
		return -EIO;
	return 0;
}

int tls_identity_set_chain(struct tls_identity *t, const void *leaf, size_t leaf_len,
			   const void *device, size_t device_len)
{
	_cleanup_(X509_freep) X509 *l = parse(leaf, leaf_len);
	_cleanup_(X509_freep) X509 *d = parse(device, device_len);
	uint8_t id[DEVICE_ID_LEN];
	int r = l && d ? check_pair(l, d, id) : -EBADMSG;

	if (r == 0 && X509_check_private_key(l, t->key) != 1)
		r = -EBADMSG;
	if (r < 0)
		return r;
	X509_free(t->leaf);
	X509_free(t->device);
	t->leaf = TAKE_PTR(l);
	t->device = TAKE_PTR(d);
	memcpy(t->id, id, sizeof(t->id));
	for (size_t i = 0; i < t->context_count && r == 0; i++)
		r = use_chain(t, t->contexts[i]);
	return r;
}

bool tls_identity_ready(const struct tls_identity *t, uint8_t *ret_id)
{
	if (!t->leaf)
		return false;
	if (ret_id)
		memcpy(ret_id, t->id, DEVICE_ID_LEN);
	return true;
}

/* Seconds from `a` to `b`; 0 if they cannot be told. */
static int64_t time_between(const ASN1_TIME *a, const ASN1_TIME *b)
{
	int days = 0, seconds = 0;

	if (!ASN1_TIME_diff(&days, &seconds, a, b))
		return 0;
	return (int64_t)days * 86400 + seconds;
}

bool tls_identity_due(const struct tls_identity *t, int64_t unix_now)
{
	ASN1_TIME *now = t->leaf ? ASN1_TIME_set(NULL, (time_t)unix_now) : NULL;
	const ASN1_TIME *begin, *end;
	int64_t life, left;

	if (!now)
		return true;
	begin = X509_get0_notBefore(t->leaf);
	end = X509_get0_notAfter(t->leaf);
	life = time_between(begin, end);
	left = time_between(now, end);
	ASN1_TIME_free(now);
	return left < life / 2 || left > life;
}

/* Replaces X509_verify_cert() as a whole. Every refusal gives the same alert (P10). */
static int on_verify(X509_STORE_CTX *store, void *arg)
{
	const struct tls_identity *t = arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store);
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	uint8_t id[DEVICE_ID_LEN];
	bool good = leaf && sk_X509_num(chain) == 2 &&
		    check_pair(leaf, sk_X509_value(chain, 1), id) == 0;

	if (!t->hooks.judge(t->hooks.arg, SSL_get_fd(ssl), good ? id : NULL) || !good) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
		return 0;
	}
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

static void on_info(const SSL *ssl, int where, int value)
{
	const struct tls_identity *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value & 0xff) == SSL_AD_UNKNOWN_CA)
		t->hooks.refused(t->hooks.arg, SSL_get_fd(ssl));
}

int tls_setup_ctx(struct tls_identity *t, void *ssl_ctx)
{
	SSL_CTX *ctx = ssl_ctx;

	if (t->context_count == CONTEXTS_MAX)
		return -ENOBUFS;
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, TLS_SUITES) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, "X25519:P-256") != 1 ||
	    SSL_CTX_set1_sigalgs_list(ctx, "ECDSA+SHA256") != 1 ||
	    SSL_CTX_set_num_tickets(ctx, 0) != 1)
		return -EIO;
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ctx, CERT_LIST_MAX);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, on_verify, t);
	SSL_CTX_set_app_data(ctx, t);
	SSL_CTX_set_info_callback(ctx, on_info);
	if (t->leaf && use_chain(t, ctx) < 0)
		return -EIO;
	SSL_CTX_up_ref(ctx);
	t->contexts[t->context_count++] = ctx;
	return 0;
}

void *tls_client_ctx(struct tls_identity *t)
{
	if (!t->client) {
		t->client = SSL_CTX_new(TLS_client_method());
		if (t->client && tls_setup_ctx(t, t->client) < 0) {
			SSL_CTX_free(t->client);
			t->client = NULL;
		}
	}
	return t->client;
}

int tls_exporter(void *ssl, uint8_t ret[EXPORTER_LEN])
{
	static const char label[] = "EXPORTER-Channel-Binding";

	if (SSL_version(ssl) != TLS1_3_VERSION ||
	    SSL_export_keying_material(ssl, ret, EXPORTER_LEN, label, sizeof(label) - 1, NULL, 0,
				       0) != 1)
		return -EPROTO;
	return 0;
}
