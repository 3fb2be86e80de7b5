/* SPDX-License-Identifier: Apache-2.0 */
/* What two devices sign for each other about custody, and what a device chains in its journal:
 * bytes that may never change. */
#pragma once

#include "policyd/api/proto.h"

/* -- Signed statements between the two policyds -- */

struct custody_statement {
	enum custody_statement_kind kind;
	uint8_t hid[HID_LEN], uuid[UUID_LEN];
	uint64_t epoch;
	uint8_t from[DEVICE_ID_LEN], to[DEVICE_ID_LEN];
};

/* label 16, u8 kind, hid16, uuid16, u64 epoch, id32 from, id32 to, Ed25519 signature 64 */
#define CUSTODY_STATEMENT_LEN 185
#define CUSTODY_STATEMENT_BODY (CUSTODY_STATEMENT_LEN - SIGN_LEN)

/* Signs with the Ed25519 device key (64 bytes, libsodium form). Infallible. */
void custody_statement_sign(const struct custody_statement *statement, const uint8_t sign_sk[64],
			    uint8_t ret[CUSTODY_STATEMENT_LEN]);

/* What a signature of it covers; for a key that signs elsewhere. */
void custody_statement_body(const struct custody_statement *statement,
			    uint8_t ret[CUSTODY_STATEMENT_BODY]);

/* Parses only. -EBADMSG. The caller learns `from` here, looks up its pinned key, then verifies. */
int custody_statement_parse(const void *data, size_t len, struct custody_statement *ret);

/* Parses and checks the signature; -EBADMSG with *err filled. Whether it is the right statement
 * for a hand-off is custody_step()'s business. */
int custody_statement_verify(const void *data, size_t len, const uint8_t sign_pk[SIGN_PK_LEN],
			     struct custody_statement *ret, struct kerr *err);

/* -- The hash chain of records -- */

/* A `record` beside those of enum custody_record. */
#define JOURNAL_ADOPT 64
#define JOURNAL_DOUBT_OVER 66 /* after a roll-back no peer had the VM, all asked... */
#define JOURNAL_HEARSAY 67    /* ...or one that it is elsewhere; proof: its word... */
#define JOURNAL_CLAIM 68      /* ...or the owner decided */
#define JOURNAL_PROOF_MAX 512

/* One written record. */
struct journal_entry {
	uint64_t seq, time; /* time in Unix seconds, for people only (D13) */
	int record;	    /* enum custody_record or JOURNAL_... */
	uint8_t hid[HID_LEN], uuid[UUID_LEN];
	uint64_t epoch;		/* of the VM after this record */
	uint64_t handoff_epoch; /* `e` of the hand-off */
	uint8_t peer[DEVICE_ID_LEN];
	bool source;
	uint8_t proof[JOURNAL_PROOF_MAX]; /* signed statement as received */
	size_t proof_len;
	uint8_t hash[HASH_LEN]; /* hash-chain.h */
};
extern const struct record journal_entry_record;
