/* SPDX-License-Identifier: Apache-2.0 */
/* Who is who on the peer channel: our leaf key, and how a peer's certificate chain is judged. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/ids.h"

struct tls_identity;

/* What the owner of the connections wants to be asked and told during handshakes. */
struct tls_hooks {
	/* The peer on `fd` proved to be device `id`; NULL: its chain does not verify. Only true
	 * lets the handshake go on. Must not block. */
	bool (*judge)(void *arg, int fd, const uint8_t *id);
	/* The peer on `fd` sent the fatal alert "unknown CA": it does not know us. */
	void (*refused)(void *arg, int fd);
	void *arg;
};

/* Makes a fresh P-256 key (never stored). `hooks` is copied. -EIO if OpenSSL fails. */
int tls_identity_new(const struct tls_hooks *hooks, struct tls_identity **ret);
struct tls_identity *tls_identity_free(struct tls_identity *t);
DEFINE_CLEANUP(struct tls_identity *, tls_identity_free)

/* The public key as DER SubjectPublicKeyInfo, for POLICYD_OP_TLS_LEAF. *ret is malloced. */
int tls_identity_spki(const struct tls_identity *t, uint8_t **ret, size_t *ret_len);

/* Sets (or renews) the chain: a leaf for our key, issued by the device certificate. It is in
 * force for handshakes that start later. -EBADMSG if it is not such a chain. */
int tls_identity_set_chain(struct tls_identity *t, const void *leaf, size_t leaf_len,
			   const void *device, size_t device_len);

/* True once a chain is set; ret_id (may be NULL) is then our own device id. */
bool tls_identity_ready(const struct tls_identity *t, uint8_t *ret_id);

/* True if the leaf should be renewed at `unix_now` (Unix seconds): there is none, half of its time
 * is over, or the clock is not within it. Counts by the clock that the leaf is judged by, so that a
 * device that slept notices. */
bool tls_identity_due(const struct tls_identity *t, int64_t unix_now);

/* Configures an SSL_CTX (as libwebsockets hands it out): TLS 1.3 only, one suite list, no
 * resumption (a resumed session would skip the check of the chain), mutual certificates, chain
 * checked by exactly one rule (B11, P1). `t` has to outlive it. */
int tls_setup_ctx(struct tls_identity *t, void *ssl_ctx);

/* A client SSL_CTX of our own, set up like that; owned by `t`, NULL without memory. */
void *tls_client_ctx(struct tls_identity *t);

/* RFC 9266 tls-exporter channel binding of an established TLS 1.3 connection. */
int tls_exporter(void *ssl, uint8_t ret[EXPORTER_LEN]);
