/* SPDX-License-Identifier: Apache-2.0 */
/* What the conversations of attest/ share: labelled hashes, the refusal message. */
#pragma once

#include <sodium.h>

#include "base/buf.h"
#include "base/ids.h"
#include "base/kerr.h"

/* Longest blob a conversation makes or accepts (the local IPC carries it in one frame). */
#define ATTEST_BLOB_MAX 49152
#define ATTEST_NONCE_LEN 32

/* SHA-256 over length-prefixed fields (u32 little-endian + bytes), the label first, so that no
 * two different lists of fields give the same input. */
struct digest {
	crypto_hash_sha256_state state;
};

void digest_begin(struct digest *d, const char *label);
void digest_field(struct digest *d, const void *data, size_t len);
void digest_u64(struct digest *d, uint64_t v);
void digest_end(struct digest *d, uint8_t ret[HASH_LEN]);

/* Device id of a raw Ed25519 public key: its SHA-256. */
void device_id_of(const uint8_t sign_pk[SIGN_PK_LEN], uint8_t ret_id[DEVICE_ID_LEN]);

/* Reads the peer's refusal (kerr_put()) and sets *err: its code, and its text marked as the other
 * device's words. A refusal that says OK or does not decode becomes BAD_MESSAGE: a refusal is never
 * read as success (B12). Always negative. */
int refusal_get(struct rbuf *r, struct kerr *err);
