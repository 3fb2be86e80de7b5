/* SPDX-License-Identifier: Apache-2.0 */
/* Pairing of two devices by a short code with hash commitment: a pure machine (P6, P7). */
#pragma once

#include "attest/evidence.h"
#include "attest/record.h"

/* The owner has this long to compare the code, from when it is shown; then the devices to prove
 * themselves. */
#define PAIRING_CONFIRM_MS 120000
#define PAIRING_PROOF_MS 60000
#define PAIRING_CODE_LEN 8 /* "123 4567" */

/* What one device says about itself. A device without a cloud has owner_pk all zeros and no owner
 * name. */
struct pairing_material {
	char name[NAME_MAX_LEN + 1];
	enum device_role role;
	uint8_t sign_pk[SIGN_PK_LEN];
	enum tpm_tier tier; /* as claimed; a result never says more than PINNED on a claim alone */
	uint8_t ak_public[TPM_PUBLIC_MAX], ek_public[TPM_PUBLIC_MAX]; /* TPM2B_PUBLIC */
	size_t ak_public_len, ek_public_len;
	uint8_t owner_pk[SIGN_PK_LEN];
	char owner_name[NAME_MAX_LEN + 1];
	bool has_cloud;
	char versions[EVIDENCE_VERSIONS_MAX + 1];
};

/* What the machine cannot do itself. Each returns 0 or a negative errno, with *err filled where
 * it is given (TPM, LOCKED, ...). `owner_sign` may be NULL without a cloud, `check_peer` if all
 * peers are welcome. */
struct pairing_ops {
	/* Encrypts `secret` so that only the TPM of that EK that also holds the key of that name
	 * gives it back (TPM 2.0 Part 1, 24). */
	int (*make_credential)(void *ctx, const uint8_t *ek_public, size_t ek_public_len,
			       const uint8_t ak_name[TPM_NAME_LEN], const uint8_t secret[32],
			       struct pairing_credential *ret, struct kerr *err);
	/* Decrypts with the own EK and AK. */
	int (*activate_credential)(void *ctx, const struct pairing_credential *credential,
				   uint8_t ret_secret[32], struct kerr *err);
	/* Fills *ret: versions and logs, evidence_qualifying(), quote, signature, PCRs. */
	int (*quote)(void *ctx, const struct evidence_binding *binding, struct evidence *ret,
		     struct kerr *err);
	/* Ed25519 by the device key, by the owner key. */
	int (*sign)(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN]);
	int (*owner_sign)(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN]);
	/* Called once, before the code is shown: may refuse, e.g. a known device id with another
	 * EK (B5). 1 if the peer is paired with this device already, which it is told (A8). */
	int (*check_peer)(void *ctx, const struct pairing_material *peer, struct kerr *err);
};

struct pairing_config {
	bool initiator;
	uint8_t exporter[EXPORTER_LEN];
	struct pairing_material own;
	uint8_t own_record[RECORD_MAX]; /* signed by the own owner; empty without a cloud */
	size_t own_record_len;
	uint32_t required_pcrs;	    /* that the peer's evidence has to cover */
	uint64_t unix_now;	    /* for records issued and checked */
	uint64_t record_validity_s; /* of a record issued to a joining device */
};

enum pairing_mode {
	PAIRING_MODE_JOINED,   /* this device joined the peer's cloud */
	PAIRING_MODE_ADOPTED,  /* the peer joined this device's cloud */
	PAIRING_MODE_MET,      /* two owners: each now knows the other */
	PAIRING_MODE_REPAIRED, /* both belonged to one owner already */
	_PAIRING_MODE_MAX,
};
DECLARE_NAMES(pairing_mode, enum pairing_mode);

struct pairing_result {
	enum pairing_mode mode;
	struct pairing_material peer; /* tier: what was proven, not what was claimed */
	uint8_t peer_id[DEVICE_ID_LEN];
	uint8_t peer_record[RECORD_MAX]; /* signed by the peer's owner (ADOPTED: by ours) */
	size_t peer_record_len;
	uint8_t own_record[RECORD_MAX]; /* JOINED: ours, signed by our new owner; else empty */
	size_t own_record_len;
	struct pcr_set reference; /* from the peer's evidence: `required_pcrs` of it */
	struct quote_info quote;
	char versions[EVIDENCE_VERSIONS_MAX + 1];
};

struct pairing;

/* Starts a machine. `ops` and `ctx` are borrowed. `now_ms` is any clock that never goes back.
 * -EINVAL if the own material would be refused by the peer. */
int pairing_new(const struct pairing_config *config, const struct pairing_ops *ops, void *ctx,
		uint64_t now_ms, struct pairing **ret);
struct pairing *pairing_free(struct pairing *p);
DEFINE_CLEANUP(struct pairing *, pairing_free)

/* Inputs. Each appends what is to be sent to `out` (ATTEST_BLOB_MAX bytes of room, else the
 * pairing fails) and returns the state; on CONVERSATION_REFUSED *err says why, and the machine
 * stays refused for ever: one failure, new code. `err` must be given.
 *
 * pairing_start(): once; the initiator's first message, nothing for the responder.
 * pairing_step():  a blob from the peer.
 * pairing_owner(): the owner's answer to "is it the same code?"
 * pairing_stop():  the owner gave up; the peer is told so.
 * pairing_poll():  time passes; nothing to send unless it ran out.
 *
 * From when the code is known until both owners confirmed the state is CONVERSATION_WAIT_OWNER:
 * people are waited for, here or there. */
enum conversation_state pairing_start(struct pairing *p, struct wbuf *out, struct kerr *err);
enum conversation_state pairing_step(struct pairing *p, const uint8_t *data, size_t len,
				     uint64_t now_ms, struct wbuf *out, struct kerr *err);
enum conversation_state pairing_owner(struct pairing *p, bool same_code, uint64_t now_ms,
				      struct wbuf *out, struct kerr *err);
enum conversation_state pairing_stop(struct pairing *p, struct wbuf *out, struct kerr *err);
enum conversation_state pairing_poll(struct pairing *p, uint64_t now_ms, struct wbuf *out,
				     struct kerr *err);

/* The code as people read it ("123 4567", PAIRING_CODE_LEN characters); NULL before it is known
 * and after a refusal. Borrowed. */
const char *pairing_code(const struct pairing *p);

/* SHA-256 over all that the code stands for (HASH_LEN bytes): another one for each machine, and
 * longer than a code, of which two may look alike (C1). NULL when pairing_code() is. Borrowed. */
const uint8_t *pairing_hash(const struct pairing *p);

/* True once the peer said that it counts this device as paired already. */
bool pairing_known_there(const struct pairing *p);

/* The result after CONVERSATION_DONE, NULL otherwise. Borrowed. */
const struct pairing_result *pairing_result(const struct pairing *p);
