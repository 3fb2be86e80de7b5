/* SPDX-License-Identifier: Apache-2.0 */
/* One data channel: TLS 1.3 with an external PSK (RFC 8446 section 4.2.11) on a connected socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"

#define TLS_KEY_LEN 32

struct tls;

/* Key of one channel: BLAKE2b-256 keyed with the grant's key over "kith-data-v1" || u16 channel
 * (little-endian). So no two channels, and no two hand-offs, share a key. 0 or -EIO. */
int tls_channel_key(const uint8_t grant_key[TLS_KEY_LEN], uint16_t channel,
		    uint8_t ret[TLS_KEY_LEN]);

/* Takes over `fd` (non-blocking, connected) on success. The client is the hand-off's source. The
 * PSK identity is hex(hid)-channel; the peer must name exactly it. TLS 1.3 only, AES-256-GCM with
 * SHA-384 only, PSK with (EC)DHE only, no certificates, no tickets, no early data (B11). The key
 * is copied and wiped. The process must ignore SIGPIPE: OpenSSL writes without MSG_NOSIGNAL. */
int tls_new(bool client, const uint8_t hid[HID_LEN], uint16_t channel,
	    const uint8_t key[TLS_KEY_LEN], int fd, struct tls **ret);
struct tls *tls_free(struct tls *t);
static inline void tls_freep(struct tls **t)
{
	tls_free(*t);
}

int tls_fd(const struct tls *t);

/* 1 = both sides proved the key; 0 = call again after tls_events() came; -EACCES = the peer has
 * another key, identity or protocol; other negative errno from the socket. */
int tls_handshake(struct tls *t);

/* Bytes read or written (> 0); 0 from tls_read() = the peer closed in order; -EAGAIN = wait for
 * tls_events(); -ECONNRESET = cut off without a close, or a record was changed under way (H11).
 * After -EAGAIN tls_write() must be called again with at least the same bytes. */
int tls_read(struct tls *t, void *buf, size_t len);
int tls_write(struct tls *t, const void *buf, size_t len);

/* What the last handshake, read or write that said "again" waits for, as poll(2) bits. */
short tls_read_events(const struct tls *t);
short tls_write_events(const struct tls *t);

/* Tells the peer that no more data comes from here; reading goes on. 0, -EAGAIN, or negative. */
int tls_close_write(struct tls *t);
