/* SPDX-License-Identifier: Apache-2.0 */
/* What the source tells the destination of a VM, and what a VM's owner signs. */
#pragma once

#include "policyd/store.h"

/* Inside the attested session. Policy and chain point at bytes of somebody else's: where read, at
 * those of the message, and no NUL ends the text. */
struct offer {
	char vm[NAME_MAX_LEN + 1]; /* its name; another one in the policy is refused (H21) */
	uint64_t epoch;
	char person[NAME_MAX_LEN + 1]; /* a claim: who asks is whose device it is (M7) */
	enum person_role dest_person;  /* whose the destination is, for the VM's owner */
	struct store_policy policy;    /* with the VM's UUID */
	const uint8_t *chain;
	size_t chain_len;
};
DECLARE_CODEC(offer);

/* What the signature of a policy covers: that of its owner, or of a device of his. */
void offer_policy_digest(const struct store_policy *policy, uint8_t ret[HASH_LEN]);
