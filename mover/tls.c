/* SPDX-License-Identifier: Apache-2.0 */
/* The one file that knows OpenSSL. */
#include "mover/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sodium.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"

#define IDENTITY_MAX (2 * HID_LEN + 1 + 5 + 1)

/* One read(2) may bring many records: fewer system calls on bulk channels. */
#define READ_AHEAD_BYTES ((size_t)256 * 1024)

struct tls {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	bool client;
	char identity[IDENTITY_MAX];
	uint8_t key[TLS_KEY_LEN]; /* wiped once the handshake is over */
	short read_events, write_events;
};

int tls_channel_key(const uint8_t grant_key[TLS_KEY_LEN], uint16_t channel,
		    uint8_t ret[TLS_KEY_LEN])
{
	static const char label[] = "kith-data-v1";
	uint8_t text[sizeof(label) - 1 + 2];
	struct wbuf w = wbuf_init(text, sizeof(text));

	wbuf_bytes(&w, label, sizeof(label) - 1);
	wbuf_u16(&w, channel);
	if (wbuf_error(&w) < 0 ||
	    crypto_generichash(ret, TLS_KEY_LEN, text, sizeof(text), grant_key, TLS_KEY_LEN) != 0)
		return -EIO;
	return 0;
}

/* The session that stands for the PSK: OpenSSL takes an external PSK in no other way that lets
 * us choose SHA-384. */
static SSL_SESSION *psk_session(SSL *ssl, const struct tls *t)
{
	static const unsigned char aes_256_gcm_sha384[] = {0x13, 0x02};
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, aes_256_gcm_sha384);
	SSL_SESSION *s = SSL_SESSION_new();

	if (!s)
		return NULL;
	if (!cipher || !SSL_SESSION_set1_master_key(s, t->key, sizeof(t->key)) ||
	    !SSL_SESSION_set_cipher(s, cipher) ||
	    !SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION)) {
		SSL_SESSION_free(s);
		return NULL;
	}
	return s;
}

static int on_use_session(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len,
			  SSL_SESSION **ret)
{
	struct tls *t = SSL_get_app_data(ssl);

	*ret = NULL;
	/* Asked again with the negotiated hash: only ours will do. */
	if (md && EVP_MD_get_type(md) != NID_sha384)
		return 0;
	*ret = psk_session(ssl, t);
	*id = (const unsigned char *)t->identity;
	*id_len = strlen(t->identity);
	return *ret != NULL;
}

static int on_find_session(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **ret)
{
	struct tls *t = SSL_get_app_data(ssl);

	*ret = NULL;
	if (id_len != strlen(t->identity) || CRYPTO_memcmp(id, t->identity, id_len) != 0)
		return 1; /* no such PSK: without a certificate the handshake then fails */
	*ret = psk_session(ssl, t);
	return *ret != NULL;
}

static SSL_CTX *make_context(bool client)
{
	SSL_CTX *ctx = SSL_CTX_new(client ? TLS_client_method() : TLS_server_method());

	if (!ctx)
		return NULL;
	if (!SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384") ||
	    !SSL_CTX_set1_groups_list(ctx, "X25519") || !SSL_CTX_set_num_tickets(ctx, 0)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	/* No trust anchors: a server that answers with a certificate instead of the PSK fails. The
	 * server has no certificate, so that a client without the PSK fails too. */
	SSL_CTX_set_verify(ctx, client ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD_BYTES);
	if (client)
		SSL_CTX_set_psk_use_session_callback(ctx, on_use_session);
	else
		SSL_CTX_set_psk_find_session_callback(ctx, on_find_session);
	return ctx;
}

int tls_new(bool client, const uint8_t hid[HID_LEN], uint16_t channel,
	    const uint8_t key[TLS_KEY_LEN], int fd, struct tls **ret)
{
	_cleanup_(tls_freep) struct tls *t = calloc(1, sizeof(*t));
	char hex[2 * HID_LEN + 1];

	if (!t)
		return -ENOMEM;
	t->fd = -EBADF;
	t->client = client;
	memcpy(t->key, key, sizeof(t->key));
	hex_encode(hid, HID_LEN, hex);
	snprintf(t->identity, sizeof(t->identity), "%s-%u", hex, channel);
	t->ctx = make_context(client);
	t->ssl = t->ctx ? SSL_new(t->ctx) : NULL;
	if (!t->ssl || !SSL_set_app_data(t->ssl, t) || !SSL_set_fd(t->ssl, fd))
		return -ENOMEM;
	if (client)
		SSL_set_connect_state(t->ssl);
	else
		SSL_set_accept_state(t->ssl);
	t->fd = fd;
	t->read_events = t->write_events = client ? POLLOUT : POLLIN;
	*ret = TAKE_PTR(t);
	return 0;
}

struct tls *tls_free(struct tls *t)
{
	if (!t)
		return NULL;
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
	if (t->fd >= 0)
		close(t->fd);
	sodium_memzero(t->key, sizeof(t->key));
	free(t);
	return NULL;
}

int tls_fd(const struct tls *t)
{
	return t->fd;
}

/* Translates OpenSSL's answer; *events learns what a repeated call waits for. */
static int failure(struct tls *t, int r, short *events, short usual)
{
	int saved = errno, e = SSL_get_error(t->ssl, r);

	*events = usual;
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
		*events = e == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		return -EAGAIN;
	}
	ERR_clear_error();
	if (e == SSL_ERROR_ZERO_RETURN)
		return 0;
	if (e == SSL_ERROR_SYSCALL && saved && saved != EAGAIN)
		return -saved;
	return -ECONNRESET;
}

int tls_handshake(struct tls *t)
{
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_do_handshake(t->ssl);
	if (r != 1) {
		bool protocol;

		r = SSL_get_error(t->ssl, r);
		/* Who hangs up has shown no wrong key. */
		protocol = r == SSL_ERROR_SSL &&
			   ERR_GET_REASON(ERR_peek_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING;
		if (r == SSL_ERROR_WANT_READ || r == SSL_ERROR_WANT_WRITE) {
			t->read_events = t->write_events =
				r == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
			return 0;
		}
		r = errno;
		ERR_clear_error();
		return protocol ? -EACCES : r && r != EAGAIN ? -r : -ECONNRESET;
	}
	sodium_memzero(t->key, sizeof(t->key));
	t->read_events = POLLIN;
	t->write_events = POLLOUT;
	/* The PSK must really have been used, whatever else was negotiated. */
	if (!SSL_session_reused(t->ssl) || SSL_get0_peer_certificate(t->ssl) ||
	    SSL_version(t->ssl) != TLS1_3_VERSION)
		return -EACCES;
	return 1;
}

int tls_read(struct tls *t, void *buf, size_t len)
{
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_read(t->ssl, buf, len > INT_MAX ? INT_MAX : (int)len);
	if (r > 0) {
		t->read_events = POLLIN;
		return r;
	}
	return failure(t, r, &t->read_events, POLLIN);
}

int tls_write(struct tls *t, const void *buf, size_t len)
{
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_write(t->ssl, buf, len > INT_MAX ? INT_MAX : (int)len);
	if (r > 0) {
		t->write_events = POLLOUT;
		return r;
	}
	r = failure(t, r, &t->write_events, POLLOUT);
	return r ? r : -ECONNRESET;
}

short tls_read_events(const struct tls *t)
{
	return t->read_events;
}

short tls_write_events(const struct tls *t)
{
	return t->write_events;
}

int tls_close_write(struct tls *t)
{
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_shutdown(t->ssl);
	if (r >= 0)
		return 0;
	r = failure(t, r, &t->write_events, POLLOUT);
	/* WANT_READ means: ours is sent, the peer's has not come. */
	return r == -EAGAIN && t->write_events == POLLIN ? 0 : r;
}
