/* SPDX-License-Identifier: Apache-2.0 */
/* The device record: what an owner signs about a device of theirs. */
#pragma once

#include "attest/quote.h"
#include "attest/wire.h"
#include "base/code.h"

#define RECORD_MAX 1024 /* encoded and signed */
#define RECORD_VERSION 1

struct device_record {
	uint8_t version;
	char name[NAME_MAX_LEN + 1];
	enum device_role role;
	uint8_t sign_pk[SIGN_PK_LEN];	   /* device id = its SHA-256: device_id_of() */
	uint8_t ak_public[TPM_PUBLIC_MAX]; /* TPM2B_PUBLIC */
	size_t ak_public_len;
	uint8_t ek_hash[HASH_LEN]; /* SHA-256 of the EK's TPM2B_PUBLIC */
	enum tpm_tier tier;
	uint8_t owner_pk[SIGN_PK_LEN];
	uint64_t issued, expires; /* Unix seconds */
};

/* The fields without the signature. */
DECLARE_CODEC(device_record);

/* Encodes the record, has `sign` (ctx, bytes, Ed25519 signature of the owner; negative errno)
 * sign exactly those bytes, checks the signature against rec->owner_pk and appends it to `w`.
 * -EINVAL for a record that would not decode. */
int record_sign(const struct device_record *rec,
		int (*sign)(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN]),
		void *ctx, struct wbuf *w);

/* The same with libsodium's 64-byte Ed25519 secret key. */
int record_sign_with_key(const struct device_record *rec, const uint8_t owner_sk[64],
			 struct wbuf *w);

/* Decodes without judging the signature; for fuzzing and display only. -EBADMSG. */
int record_decode(const uint8_t *data, size_t len, struct device_record *ret);

/* Decodes, and checks that `owner_pk` signed it and `now` (Unix seconds) is before its expiry.
 * *err: BAD_MESSAGE (form), PEER_KEY (another owner or signature), ATTEST_REPLAY (expired). */
int record_verify(const uint8_t *data, size_t len, const uint8_t owner_pk[SIGN_PK_LEN],
		  uint64_t now, struct device_record *ret, struct kerr *err);
