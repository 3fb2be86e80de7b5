/* SPDX-License-Identifier: Apache-2.0 */
/* The custody chain: how a VM came from its owner's word to the device that offers it (H3).
 *
 * A chain is a row of links, each a signed statement and the Ed25519 key that signed it. A device's
 * id is the hash of its key, so a chain needs no other source to be checked. It begins with ADOPT
 * by the VM owner's key, or, where the VM is new, by the device of his on which it is; every hop
 * is the RELEASE of the holder before it, or RELEASE and NACK where the VM went back; CLAIM is the
 * owner's decision after a doubt, on a device of his.
 *
 * It proves that each hop was signed by the holder before it. It does not prove that a holder did
 * not sign twice: two chains that differ at one epoch convict the device that signed both, and a
 * device that knows one of them refuses the other. */
#pragma once

#include "policyd/custody.h"

#define CUSTODY_LINK_LEN (CUSTODY_STATEMENT_LEN + SIGN_PK_LEN)
/* So many links are taken; a device that keeps the owner's key begins anew instead. */
#define CUSTODY_CHAIN_MAX 128
/* So many can be carried: a hop that failed adds two, and the way to the owner's device stays open.
 */
#define CUSTODY_CHAIN_ROOM 160
/* What a claim adds to the epoch: far ahead of whatever was not heard of. */
#define CUSTODY_CLAIM_JUMP (UINT64_C(1) << 32)

struct custody_chain {
	uint8_t data[CUSTODY_CHAIN_ROOM * CUSTODY_LINK_LEN];
	size_t len;
};

/* Adds one link. -ENOBUFS if there is no room. */
int custody_chain_add(struct custody_chain *chain, const uint8_t statement[CUSTODY_STATEMENT_LEN],
		      const uint8_t sign_pk[SIGN_PK_LEN]);

/* The statement of a first link, to be signed by the key of which `signer_pk` is the public part:
 * the owner's, or the holder's own (then `epoch` has to be CUSTODY_EPOCH_FIRST); and of a claim, to
 * be signed by the device that holds the VM from `epoch` on. */
#define CUSTODY_EPOCH_FIRST 1
void custody_chain_adoption(const uint8_t uuid[UUID_LEN], uint64_t epoch,
			    const uint8_t signer_pk[SIGN_PK_LEN],
			    const uint8_t holder[DEVICE_ID_LEN], struct custody_statement *ret);
void custody_chain_claim(const uint8_t uuid[UUID_LEN], uint64_t epoch,
			 const uint8_t holder[DEVICE_ID_LEN], struct custody_statement *ret);

/* What the one who checks knows. */
struct custody_chain_rules {
	const uint8_t *uuid, *owner_pk;
	/* Is that device one of the VM owner's own? Asked for claims, and for its own adoptions. */
	bool (*is_own)(void *ctx, const uint8_t id[DEVICE_ID_LEN]);
	void *ctx;
	/* Who holds the VM at this epoch for all this device knows (0 = it knows nothing): a chain
	 * that passes by there must say the same. */
	uint64_t known_epoch;
	const uint8_t *known_holder;
};

struct custody_chain_end {
	uint64_t epoch;
	uint8_t holder[DEVICE_ID_LEN];
	size_t links;
};

/* Walks the chain from its first link; pure. 0 and where it ends, or -EBADMSG/`custody` with a
 * sentence. */
int custody_chain_verify(const uint8_t *data, size_t len, const struct custody_chain_rules *rules,
			 struct custody_chain_end *ret, struct kerr *err);
