/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and small enums that every part shares: identifiers, roles, tiers, verdicts. */
#pragma once

#include <stdint.h>

#include "base/names.h"

#define HID_LEN 16	 /* random hand-off id */
#define UUID_LEN 16	 /* libvirt domain UUID, raw bytes */
#define DEVICE_ID_LEN 32 /* SHA-256 of the raw Ed25519 device public key */
#define EXPORTER_LEN 32	 /* RFC 9266 TLS exporter of the peer channel */
#define NAME_MAX_LEN 63	 /* bytes of a device, person or VM name, without the NUL */
#define SIGN_PK_LEN 32	 /* Ed25519 public key */
#define SIGN_LEN 64	 /* Ed25519 signature */
#define HASH_LEN 32	 /* SHA-256 */
#define PCR_COUNT 24
#define PCR_MASK_ALL ((1u << PCR_COUNT) - 1)

/* Goes through the PCRs in a mask, the lowest first. */
#define for_each_pcr(i, mask)                        \
	for (unsigned i = 0; (i) < PCR_COUNT; (i)++) \
		if ((mask) >> (i)&1)

/* Anybody on the device can reset these two (TCG PC Client PTP): they prove nothing (B9). */
#define PCR_MASK_RESETTABLE (1u << 16 | 1u << 23)

/* The enum order is the wire value: append only. */
enum device_role {
	DEVICE_ROLE_PHONE,
	DEVICE_ROLE_LAPTOP,
	DEVICE_ROLE_DESKTOP,
	DEVICE_ROLE_SERVER,
	_DEVICE_ROLE_MAX,
};
DECLARE_NAMES(device_role, enum device_role);

/* Who a person is to the owner of this cloud (kith-policy(7)). */
enum person_role {
	PERSON_ROLE_OWNER,
	PERSON_ROLE_FAMILY,
	PERSON_ROLE_GUEST,
	PERSON_ROLE_ADMIN,
	_PERSON_ROLE_MAX,
};
DECLARE_NAMES(person_role, enum person_role);

/* How well the TPM itself is known. Higher is better. */
enum tpm_tier {
	TPM_TIER_NONE,	   /* no TPM: controller only */
	TPM_TIER_SOFTWARE, /* swtpm */
	TPM_TIER_PINNED,   /* EK pinned at pairing */
	TPM_TIER_HARDWARE, /* EK certificate verified */
	_TPM_TIER_MAX,
};
DECLARE_NAMES(tpm_tier, enum tpm_tier);

enum verdict {
	VERDICT_UNKNOWN, /* never measured, or the verifier failed (B12) */
	VERDICT_TRUSTED,
	VERDICT_STALE,	   /* was trusted, evidence too old */
	VERDICT_UNTRUSTED, /* sticky until a fresh good quote */
	_VERDICT_MAX,
};
DECLARE_NAMES(verdict, enum verdict);

/* What a conversation of two policyds, carried by kithd, wants next. */
enum conversation_state {
	CONVERSATION_SEND,	 /* send what there is (may be nothing) and wait for the peer */
	CONVERSATION_WAIT_OWNER, /* send it if any; people compare the code, here or there */
	CONVERSATION_DONE,	 /* send it if any; complete (session: the grant is ready) */
	CONVERSATION_REFUSED,	 /* send it if any; the error says why; over */
	_CONVERSATION_STATE_MAX,
};

/* What is measured into a PCR, in words, e.g. "the boot loader or kernel" for 4. Never NULL. */
const char *pcr_meaning(unsigned pcr);

/* Several of them: "the firmware (PCR 0), ... and the Secure Boot policy (PCR 7)", cut to `size`.
 */
void pcr_words(uint32_t mask, char *ret, size_t size);
