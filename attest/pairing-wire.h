/* SPDX-License-Identifier: Apache-2.0 */
/* Codecs and hashes of pairing, private to attest/pairing.c and the tests. */
#pragma once

#include "attest/pairing.h"

#define PAIRING_VERSION 2
#define PAIRING_MATERIAL_MAX 2560 /* encoded */

/* Messages: u8 type, u8 version, blob body. One blob carries one or two of them. */
enum pairing_message {
	PAIRING_COMMIT = 1, /* initiator: hash32 */
	PAIRING_ANSWER,	    /* responder: nonce32, blob material */
	PAIRING_REVEAL,	    /* initiator: nonce32, blob material */
	PAIRING_CONFIRM,    /* both: signature64, u8 known, blob id object, blob encrypted secret */
	PAIRING_PROOF,	    /* both: hash32, evidence */
	PAIRING_RESULT,	    /* both: blob record for the peer or empty, blob own record or empty */
	PAIRING_REFUSED,    /* both: u8 pairing_why, kerr */
};

/* Why a device ended it, as far as people are the reason: the other one has a sentence of its own
 * for each, so that nobody else's words are needed. */
enum pairing_why {
	PAIRING_WHY_FAILURE, /* see the error */
	PAIRING_WHY_NO,	     /* the person said that the codes differ */
	PAIRING_WHY_GAVE_UP, /* the person stopped it */
	PAIRING_WHY_SLOW,    /* the sender's person did not compare the code in time */
	PAIRING_WHY_LATE,    /* the receiver's did not */
	PAIRING_WHY_NOBODY,  /* neither did */
	_PAIRING_WHY_MAX,
};

struct pairing_hello {
	uint8_t nonce[ATTEST_NONCE_LEN];
	uint8_t material[PAIRING_MATERIAL_MAX]; /* the bytes as sent: what is hashed */
	size_t material_len;
};

struct pairing_confirm {
	uint8_t signature[SIGN_LEN]; /* over pairing_confirm_body() */
	bool known;
	struct pairing_credential challenge;
};

/* True if another device would accept it: names, keys on their curves, AK and EK as they should
 * be. *err says what is wrong. */
bool pairing_material_valid(const struct pairing_material *m, struct kerr *err);

DECLARE_CODEC(pairing_material);
DECLARE_CODEC(pairing_hello);
DECLARE_CODEC(pairing_confirm);

int pairing_material_encode(const struct pairing_material *m, struct pairing_hello *ret);
int pairing_material_decode(const struct pairing_hello *hello, struct pairing_material *ret);

/* The record that an owner of this key would sign of the device, valid from `now` on. */
void pairing_record_of(const struct pairing_material *m, const uint8_t owner_pk[SIGN_PK_LEN],
		       uint64_t now, uint64_t validity_s, struct device_record *ret);

/* SHA-256 commitment of the initiator to what it will reveal. */
void pairing_commitment(const struct pairing_hello *hello, uint8_t ret[HASH_LEN]);

/* Hash of the exporter and all that both sides said. */
void pairing_transcript(const uint8_t exporter[EXPORTER_LEN], const uint8_t commitment[HASH_LEN],
			const struct pairing_hello *initiator,
			const struct pairing_hello *responder, uint8_t ret[HASH_LEN]);

/* The short code of a transcript: 7 digits, 23.25 bits. */
void pairing_code_of(const uint8_t transcript[HASH_LEN], char ret[PAIRING_CODE_LEN + 1]);

/* What a device's confirmation signs: label, its role, the transcript, whether it knows the other
 * one already, and its challenge. */
#define PAIRING_CONFIRM_BODY_MAX 128
size_t pairing_confirm_body(const uint8_t transcript[HASH_LEN], bool by_initiator, bool known,
			    const struct pairing_credential *challenge,
			    uint8_t ret[PAIRING_CONFIRM_BODY_MAX]);

/* The answer to a challenge: shows the secret, for this transcript and role only. */
void pairing_activation(const uint8_t transcript[HASH_LEN], bool by_initiator,
			const uint8_t secret[32], uint8_t ret[HASH_LEN]);
