/* SPDX-License-Identifier: Apache-2.0 */
/* What a paired device is trusted by: its evidence judged, recorded, and remembered. */
#pragma once

#include "attest/evidence.h"

struct core;
struct store_peer;

/* Whose evidence it is, and what it was made for. */
struct trust_case {
	const uint8_t *peer;		 /* id */
	const uint8_t *qualifying;	 /* what the quote has to be bound to, HASH_LEN bytes */
	const struct quote_info *before; /* its last quote when the nonce was made (M3), or NULL */
	const char *person, *vm;	 /* for the audit: who wants it, for which VM */
	bool peer_began; /* what a peer caused does not push out what the owner did */
};

/* The verdict on a paired device's evidence, against the measurements that the owner accepted and
 * against what its TPM quoted before. Evidence, verdict and audit record are committed when this
 * returns; TRUSTED is never said of what could not be recorded: that is UNKNOWN. Everything but
 * TRUSTED has a reason in *err. */
enum verdict trust_judge(struct core *core, const struct trust_case *c, const struct evidence *ev,
			 struct kerr *err);

/* The first evidence of a device, at its pairing, is what it is measured by from now on. */
void trust_begin(struct store_peer *peer, const struct pcr_set *reference,
		 const struct quote_info *quote, const char *versions);
