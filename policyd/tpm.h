/* SPDX-License-Identifier: Apache-2.0 */
/* The TPM 2.0 of this device: keys, quotes, credentials, counter, sealing. Only policyd/tpm*.c
 * know the TSS; everything here is plain bytes. One thread, one call at a time, calls block.
 *
 * Every call that fails returns a negative errno and fills *err (may be NULL):
 *   KCODE_TPM     the TPM, or the way to it, failed; the text holds the decoded response code
 *   KCODE_LOCKED  sealed data does not open in this state or on this TPM
 *   others        as said at the function.
 * No object or session stays loaded after a call, whether it succeeded or not. Answers such as
 * "retry" and "NV rate" are repeated for a bounded time (D11). */
#pragma once

#include "attest/evidence.h"
#include "attest/pk.h"
#include "base/secret.h"

#define TPM_BLOB_MAX 1024
#define TPM_SECRET_MAX 128 /* most that one sealed object holds (TPM spec part 2, 11.1.14) */
#define TPM_COUNTER_FIRST 0x01800000u /* owner range of NV indices */
#define TPM_COUNTER_LAST 0x01bfffffu

/* A structure in TPM wire form (big-endian, as marshalled by the TSS). */
struct tpm_blob {
	size_t len;
	uint8_t data[TPM_BLOB_MAX];
};

struct tpm_facts {
	char manufacturer[5]; /* such as "IBM" or "INTC": printable ASCII, trimmed */
	enum tpm_tier tier; /* SOFTWARE (swtpm, a hypervisor's) or PINNED, never better from here */
};

/* TPM2_ReadClock: what tells a reboot or suspend between two quotes (B6, B9). */
struct tpm_clock {
	uint64_t clock_ms;
	uint32_t reset_count, restart_count;
};

struct tpm;

/* Connects by the TCTI configuration `tcti`, used exactly as it stands ("device:/dev/tpmrm0",
 * "swtpm:path=..."). Starts the TPM up if nobody did; without a resource manager also flushes
 * what a crashed predecessor left loaded. After a call in which the connection itself failed or an
 * answer was altered on its way, the next one connects again by itself; the storage key stays
 * pinned. */
int tpm_open(const char *tcti, struct tpm **ret, struct kerr *err);
struct tpm *tpm_free(struct tpm *t);
DEFINE_CLEANUP(struct tpm *, tpm_free)

/* Read at tpm_open(); borrowed. */
const struct tpm_facts *tpm_facts(const struct tpm *t);
int tpm_clock(struct tpm *t, struct tpm_clock *ret, struct kerr *err);

/* SHA-256 bank. PCRs outside `mask` come back as zeros. Values are one consistent snapshot. */
int tpm_pcr_read(struct tpm *t, uint32_t mask, uint8_t ret[PCR_COUNT][HASH_LEN], struct kerr *err);

/* -- Endorsement and attestation keys, quotes (TPM spec part 3, 12.5, 13.6, 18.4) -- */

/* Public area (TPM2B_PUBLIC) of the endorsement key by the TCG default template: ECC P-256, or
 * RSA 2048 where the TPM cannot do the first. The key is recreated whenever it is needed. It is
 * a permanent identifier: show it to paired peers only. */
int tpm_ek_public(struct tpm *t, struct tpm_blob *ret, struct kerr *err);

/* An attestation key as its owner stores it: TPM2B_PUBLIC and TPM2B_PRIVATE (wrapped by the
 * storage key, useless elsewhere, but keep it in the sealed store). */
struct tpm_ak {
	struct tpm_blob pub, priv;
};

/* Makes a restricted ECDSA P-256 / SHA-256 signing key under the storage key, attributes
 * fixedTPM fixedParent sensitiveDataOrigin userWithAuth noDA restricted sign. */
int tpm_ak_create(struct tpm *t, struct tpm_ak *ret, struct kerr *err);

/* Loads and drops the key: 0 if this TPM can use it. -EXDEV with KCODE_LOCKED if it belongs to
 * another TPM (or this one was cleared). */
int tpm_ak_check(struct tpm *t, const struct tpm_ak *ak, struct kerr *err);

/* Quotes the PCRs of `mask` into *ret: quote, signature and PCRs of it. The values are read and the
 * quote repeated (a few times at most) until both agree; -EAGAIN if PCRs change all the time. */
int tpm_quote(struct tpm *t, const struct tpm_ak *ak, const uint8_t qualifying[32], uint32_t mask,
	      struct evidence *ret, struct kerr *err);

/* -- Credential activation: proof that an AK lives in the TPM of an EK (B3) -- */

/* Verifier's side, on the verifier's own TPM: wraps `secret` so that only the TPM of `ek_pub`
 * opens it, and only for a loaded object named `ak_name`. -EBADMSG with KCODE_ATTEST_QUOTE if
 * `ek_pub` is not a key by a TCG default template. */
int tpm_make_credential(struct tpm *t, const struct tpm_blob *ek_pub,
			const uint8_t ak_name[TPM_NAME_LEN], const uint8_t secret[32],
			struct pairing_credential *ret, struct kerr *err);

/* Prover's side. -EACCES with KCODE_ATTEST_BINDING if the credential was made for another EK or
 * another AK. `ret` is secret: the caller wipes it. */
int tpm_activate_credential(struct tpm *t, const struct tpm_ak *ak,
			    const struct pairing_credential *credential, uint8_t ret[32],
			    struct kerr *err);

/* -- Monotonic counter against roll-back (D4, D5) -- */

#define TPM_COUNTER_AUTH_LEN 32

/* Makes the counter if it is not there, with `auth` as its password, and brings it to its first
 * value. One of the same form that does not take `auth` is replaced. An index with the same
 * number but other attributes is somebody else's: -EEXIST with KCODE_EXISTS. The value of a new
 * counter is above every value any counter of this TPM ever had. */
int tpm_counter_create(struct tpm *t, uint32_t index, const uint8_t auth[TPM_COUNTER_AUTH_LEN],
		       uint64_t *ret, struct kerr *err);

/* -ENOENT with KCODE_NOT_FOUND if the index is missing (TPM cleared or replaced, D10), -ENODATA
 * with KCODE_NOT_FOUND if a crash left it without its first value: create again. -EACCES with
 * KCODE_LOCKED if it does not take `auth` (M9). Replies are authenticated by a salted session. */
int tpm_counter_read(struct tpm *t, uint32_t index, const uint8_t auth[TPM_COUNTER_AUTH_LEN],
		     uint64_t *ret, struct kerr *err);

/* Adds one; the new value in *ret. The NV memory wears: once per commit, never per heartbeat. */
int tpm_counter_increment(struct tpm *t, uint32_t index, const uint8_t auth[TPM_COUNTER_AUTH_LEN],
			  uint64_t *ret, struct kerr *err);

/* -- Sealing under PCR states that an authority key approves (D6, D7) -- */

/* A sealed object: opens only on the TPM it was made on. */
struct tpm_sealed {
	struct tpm_blob pub, priv;
	uint8_t srk_name[TPM_NAME_LEN];
};

/* A PCR state approved by the authority: its signature over tpm_approval_hash(). */
struct tpm_approval {
	struct pcr_set pcrs;
	struct p256_signature sig;
};

/* What the authority signs to approve a state: SHA-256(policy || policyRef), where the policy is
 * PolicyPCR alone over these values (part 3, 23.7 and 23.16); pure computation. With an empty mask
 * every state matches: refuse that before signing. */
void tpm_approval_hash(const struct pcr_set *state, uint8_t ret[HASH_LEN]);

/* Seals at most TPM_SECRET_MAX bytes; opens in any state approved by `authority`. The object has
 * no password and is outside the dictionary lockout (D9). */
int tpm_seal(struct tpm *t, const struct p256_public *authority, const struct secret *secret,
	     struct tpm_sealed *ret, struct kerr *err);

/* -EPERM   KCODE_LOCKED  the PCRs are not those of the approval
 * -EXDEV   KCODE_LOCKED  "sealed to another TPM": made elsewhere, or the TPM was cleared
 * -EKEYREJECTED KCODE_LOCKED  the approval is not signed by `authority`, or the object asks for
 *          another authority
 * -EBADMSG KCODE_LOCKED  the object is damaged
 * *ret is allocated here, released by the caller. */
int tpm_unseal(struct tpm *t, const struct tpm_sealed *sealed, const struct p256_public *authority,
	       const struct tpm_approval *approval, struct secret *ret, struct kerr *err);
