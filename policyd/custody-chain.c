/* SPDX-License-Identifier: Apache-2.0 */
/* Custody chains: made link by link, checked as a walk whose every step has one rule. */
#include "policyd/custody-chain.h"

#include <sodium.h>

int custody_chain_add(struct custody_chain *chain, const uint8_t statement[CUSTODY_STATEMENT_LEN],
		      const uint8_t sign_pk[SIGN_PK_LEN])
{
	if (sizeof(chain->data) - chain->len < CUSTODY_LINK_LEN)
		return -ENOBUFS;
	memcpy(chain->data + chain->len, statement, CUSTODY_STATEMENT_LEN);
	memcpy(chain->data + chain->len + CUSTODY_STATEMENT_LEN, sign_pk, SIGN_PK_LEN);
	chain->len += CUSTODY_LINK_LEN;
	return 0;
}

static void make(enum custody_statement_kind kind, const uint8_t uuid[UUID_LEN], uint64_t epoch,
		 const uint8_t from[DEVICE_ID_LEN], const uint8_t to[DEVICE_ID_LEN],
		 struct custody_statement *ret)
{
	*ret = (struct custody_statement){.kind = kind, .epoch = epoch};
	memcpy(ret->uuid, uuid, UUID_LEN);
	memcpy(ret->from, from, DEVICE_ID_LEN);
	memcpy(ret->to, to, DEVICE_ID_LEN);
}

void custody_chain_adoption(const uint8_t uuid[UUID_LEN], uint64_t epoch,
			    const uint8_t signer_pk[SIGN_PK_LEN],
			    const uint8_t holder[DEVICE_ID_LEN], struct custody_statement *ret)
{
	uint8_t signer[DEVICE_ID_LEN];

	crypto_hash_sha256(signer, signer_pk, SIGN_PK_LEN);
	make(CUSTODY_STATEMENT_ADOPT, uuid, epoch, signer, holder, ret);
}

void custody_chain_claim(const uint8_t uuid[UUID_LEN], uint64_t epoch,
			 const uint8_t holder[DEVICE_ID_LEN], struct custody_statement *ret)
{
	make(CUSTODY_STATEMENT_CLAIM, uuid, epoch, holder, holder, ret);
}

/* -- The walk -- */

struct walk {
	const struct custody_chain_rules *rules;
	struct custody_chain_end end;
	struct custody_statement last; /* kind NONE before the first link */
	uint8_t holder_before[DEVICE_ID_LEN];
};

static bool by_holder(const struct walk *w, const struct custody_statement *s)
{
	return memcmp(s->from, w->end.holder, DEVICE_ID_LEN) == 0;
}

/* Owner's word: the beginning, and only that. A device of his may say it of a VM that is new, and
 * of itself: so a device that was broken into cannot give itself a VM at an epoch of its choice. */
static bool follows_adopt(const struct walk *w, const struct custody_statement *s,
			  const uint8_t *sign_pk)
{
	if (w->last.kind != CUSTODY_STATEMENT_NONE || s->epoch < CUSTODY_EPOCH_FIRST)
		return false;
	if (memcmp(sign_pk, w->rules->owner_pk, SIGN_PK_LEN) == 0)
		return true;
	return s->epoch == CUSTODY_EPOCH_FIRST && memcmp(s->from, s->to, DEVICE_ID_LEN) == 0 &&
	       w->rules->is_own(w->rules->ctx, s->from);
}

static bool follows_release(const struct walk *w, const struct custody_statement *s,
			    const uint8_t *sign_pk _unused_)
{
	return w->last.kind != CUSTODY_STATEMENT_NONE && by_holder(w, s) &&
	       s->epoch == w->end.epoch + 1;
}

/* The device that would have got it says that it never will, to the one that released it. */
static bool follows_nack(const struct walk *w, const struct custody_statement *s,
			 const uint8_t *sign_pk _unused_)
{
	return w->last.kind == CUSTODY_STATEMENT_RELEASE && by_holder(w, s) &&
	       memcmp(s->hid, w->last.hid, HID_LEN) == 0 && s->epoch + 1 == w->end.epoch &&
	       memcmp(s->to, w->holder_before, DEVICE_ID_LEN) == 0;
}

static bool follows_claim(const struct walk *w, const struct custody_statement *s,
			  const uint8_t *sign_pk _unused_)
{
	return w->last.kind != CUSTODY_STATEMENT_NONE &&
	       memcmp(s->from, s->to, DEVICE_ID_LEN) == 0 && s->epoch > w->end.epoch &&
	       s->epoch - w->end.epoch >= CUSTODY_CLAIM_JUMP &&
	       w->rules->is_own(w->rules->ctx, s->from);
}

/* What may be a link, when it follows, and what it adds to the epoch that it names. */
static const struct {
	bool (*follows)(const struct walk *w, const struct custody_statement *s,
			const uint8_t *sign_pk);
	uint64_t step;
} links[_CUSTODY_STATEMENT_MAX] = {
	[CUSTODY_STATEMENT_ADOPT] = {follows_adopt, 0},
	[CUSTODY_STATEMENT_RELEASE] = {follows_release, 0},
	[CUSTODY_STATEMENT_NACK] = {follows_nack, 2}, /* e, and the reclaim makes e + 2 */
	[CUSTODY_STATEMENT_CLAIM] = {follows_claim, 0},
};

static bool is_genuine(const struct walk *w, const uint8_t *link, struct custody_statement *ret)
{
	const uint8_t *sign_pk = link + CUSTODY_STATEMENT_LEN;
	uint8_t id[DEVICE_ID_LEN];

	crypto_hash_sha256(id, sign_pk, SIGN_PK_LEN);
	return custody_statement_verify(link, CUSTODY_STATEMENT_LEN, sign_pk, ret, NULL) == 0 &&
	       memcmp(ret->from, id, DEVICE_ID_LEN) == 0 &&
	       memcmp(ret->uuid, w->rules->uuid, UUID_LEN) == 0 &&
	       ret->epoch <= CUSTODY_EPOCH_MAX - 2;
}

/* One link. False if it is not what may follow here. */
static bool walk_on(struct walk *w, const uint8_t *link)
{
	const struct custody_chain_rules *rules = w->rules;
	struct custody_statement s;

	if (!is_genuine(w, link, &s) || !links[s.kind].follows ||
	    !links[s.kind].follows(w, &s, link + CUSTODY_STATEMENT_LEN))
		return false;
	memcpy(w->holder_before, w->end.holder, DEVICE_ID_LEN);
	memcpy(w->end.holder, s.to, DEVICE_ID_LEN);
	w->end.epoch = s.epoch + links[s.kind].step;
	w->end.links++;
	w->last = s;
	return !rules->known_epoch || w->end.epoch != rules->known_epoch ||
	       memcmp(w->end.holder, rules->known_holder, DEVICE_ID_LEN) == 0;
}

int custody_chain_verify(const uint8_t *data, size_t len, const struct custody_chain_rules *rules,
			 struct custody_chain_end *ret, struct kerr *err)
{
	struct walk w = {.rules = rules};

	if (!len || len % CUSTODY_LINK_LEN || len / CUSTODY_LINK_LEN > CUSTODY_CHAIN_ROOM)
		return kerr_set(err, EBADMSG, KCODE_CUSTODY,
				"There is no readable proof of how this VM came to be held.");
	for (size_t at = 0; at < len; at += CUSTODY_LINK_LEN)
		if (!walk_on(&w, data + at))
			return kerr_set(err, EBADMSG, KCODE_CUSTODY,
					"The proof of how this VM came to be held breaks at its "
					"hop %zu: that device did not hold it, or signed it away "
					"twice.",
					at / CUSTODY_LINK_LEN + 1);
	*ret = w.end;
	return 0;
}
