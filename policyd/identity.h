/* SPDX-License-Identifier: Apache-2.0 */
/* Who this device is: its keys, its owner, and what it signs. */
#pragma once

#include <stdbool.h>

#include "attest/record.h"
#include "policyd/store.h"
#include "policyd/tpm.h"

struct identity {
	bool present;		 /* device keys exist */
	bool cloud;		 /* an owner is known */
	bool owner_here;	 /* the owner key is kept on this device */
	struct secret device_sk; /* Ed25519, libsodium form */
	uint8_t sign_pk[SIGN_PK_LEN], id[DEVICE_ID_LEN];
	struct tpm_ak ak;
	struct tpm_blob ek_pub;
	uint8_t owner_pk[SIGN_PK_LEN], owner_id[HASH_LEN];
	char owner_name[NAME_MAX_LEN + 1];
};

/* Makes the device keys in a new store; the caller commits. */
int identity_create(struct store *store, struct tpm *tpm, struct identity *ret, struct kerr *err);

/* Makes the owner key in the store and this device's own record; the caller commits. */
int identity_found_cloud(struct store *store, struct identity *id, const struct device_record *own,
			 const char *person, struct kerr *err);

/* Makes another attestation key, for another TPM; the caller commits (H7). */
int identity_renew_ak(struct store *store, struct tpm *tpm, struct identity *id, struct kerr *err);

/* This device's own record anew, about the keys that it has now. Where the owner key is not kept,
 * the record that fits no more is removed: the next pairing with the owner's device brings one. */
int identity_renew_record(struct store *store, const struct identity *id,
			  const struct device_record *own, struct kerr *err);

/* Reads everything back. Without a TPM (NULL) there is no endorsement key. */
int identity_load(struct store *store, struct tpm *tpm, struct identity *ret, struct kerr *err);
void identity_clear(struct identity *id);

/* Ed25519 by the device key. */
int identity_sign(const struct identity *id, const uint8_t *data, size_t len,
		  uint8_t ret_sig[SIGN_LEN]);

/* Ed25519 by the owner key, read from the store for this one signature. -ENOKEY with a sentence
 * where this device does not keep it. */
int identity_owner_sign(struct store *store, const uint8_t *data, size_t len,
			uint8_t ret_sig[SIGN_LEN], struct kerr *err);
