/* SPDX-License-Identifier: Apache-2.0 */
/* Custody chains in a hand-off: shown with the offer, checked by the destination, grown with OWN
 * and RECLAIM. */
#include <sodium.h>
#include <string.h>

#include "attest/wire.h"
#include "policyd/handoff-internal.h"

/* Whose own a device is, for the owner of the VM. */
struct owner_of {
	struct core *core;
	const uint8_t *owner_pk;
};

static bool is_own(void *ctx, const uint8_t id[DEVICE_ID_LEN])
{
	const struct owner_of *o = ctx;
	struct store_peer peer;

	if (memcmp(id, o->core->id.id, DEVICE_ID_LEN) == 0)
		return memcmp(o->core->id.owner_pk, o->owner_pk, SIGN_PK_LEN) == 0;
	return store_peer_get(o->core->store, id, &peer, NULL) == 0 &&
	       memcmp(peer.owner_pk, o->owner_pk, SIGN_PK_LEN) == 0;
}

/* Hearsay is no knowledge. */
static bool knows_holder(const struct custody_view *view)
{
	return view->known && view->doubt == CUSTODY_SURE;
}

static int verify(struct core *core, const struct custody_chain *chain,
		  const struct custody_view *view, const uint8_t owner_pk[SIGN_PK_LEN],
		  struct custody_chain_end *ret, struct kerr *err)
{
	struct owner_of owner = {core, owner_pk};
	struct custody_chain_rules rules = {.uuid = view->uuid,
					    .owner_pk = owner_pk,
					    .is_own = is_own,
					    .ctx = &owner,
					    .known_epoch = knows_holder(view) ? view->epoch : 0,
					    .known_holder = view->holder};

	return custody_chain_verify(chain->data, chain->len, &rules, ret, err);
}

/* -- The source -- */

/* The owner's word, given anew where his key is: the chain is short again. */
static int adopt(struct core *core, const struct custody_view *view, struct custody_chain *ret,
		 struct kerr *err)
{
	uint8_t bytes[CUSTODY_STATEMENT_LEN];
	struct custody_statement st;
	int r;

	custody_chain_adoption(view->uuid, view->epoch, core->id.owner_pk, core->id.id, &st);
	custody_statement_body(&st, bytes);
	r = identity_owner_sign(core->store, bytes, CUSTODY_STATEMENT_BODY,
				bytes + CUSTODY_STATEMENT_BODY, err);
	ret->len = 0;
	return r < 0 ? r : custody_chain_add(ret, bytes, core->id.owner_pk);
}

int handoff_chain_begin(struct core *core, const uint8_t uuid[UUID_LEN], struct kerr *err)
{
	uint8_t bytes[CUSTODY_STATEMENT_LEN];
	struct custody_chain chain = {.len = 0};
	struct custody_statement st;
	struct custody_view view;
	int r = store_custody_get(core->store, uuid, &view, err);

	if (r < 0 || core->id.owner_here)
		return r;
	if (view.epoch + 1 != CUSTODY_EPOCH_FIRST)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"This VM was on its way to this device once. Take it into Kith's "
				"care on the device where `kith init` was run.");
	custody_chain_adoption(uuid, CUSTODY_EPOCH_FIRST, core->id.sign_pk, core->id.id, &st);
	custody_statement_sign(&st, core->id.device_sk.data, bytes);
	r = custody_chain_add(&chain, bytes, core->id.sign_pk);
	return r < 0 ? r : store_chain_put(core->store, uuid, &chain, err);
}

int handoff_chain_of(struct core *core, const struct custody_view *view,
		     const struct store_policy *policy, struct custody_chain *ret, struct kerr *err)
{
	struct custody_chain_end end;
	int r;

	if (core->id.owner_here && memcmp(policy->owner_pk, core->id.owner_pk, SIGN_PK_LEN) == 0)
		return adopt(core, view, ret, err);
	r = store_chain_get(core->store, view->uuid, ret, err);
	if (r == 0)
		r = verify(core, ret, view, policy->owner_pk, &end, err);
	if (r < 0)
		return r;
	if (end.epoch != view->epoch || memcmp(end.holder, core->id.id, DEVICE_ID_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"This device cannot prove to another one that it holds \"%s\".",
				view->name);
	return 0;
}

/* -- The destination -- */

/* A device of somebody else than the VM's owner only gives back what it got: a former holder of it
 * could else offer an old copy to whoever knows no better. */
static int check_lender(const struct handoff *ho, const struct store_peer *peer,
			const struct custody_view *view, struct kerr *err)
{
	uint64_t epoch = view->doubt == CUSTODY_HEARSAY ? view->told_epoch : view->epoch;

	if (memcmp(peer->owner_pk, ho->offered->policy.owner_pk, SIGN_PK_LEN) == 0)
		return 0;
	if (view->known && epoch == ho->epoch && memcmp(view->holder, ho->peer, DEVICE_ID_LEN) == 0)
		return 0;
	return kerr_set(
		err, EACCES, KCODE_CUSTODY,
		"\"%s\" is no device of the owner of \"%s\": it may give the VM back only to "
		"the device from which it got it.",
		ho->peer_name, ho->vm);
}

static int check_length(const struct handoff *ho, const struct custody_chain_end *end,
			struct kerr *err)
{
	if (end->links < CUSTODY_CHAIN_MAX || ho->core->id.owner_here)
		return 0;
	return kerr_set(
		err, EACCES, KCODE_CUSTODY,
		"\"%s\" was handed over %zu times since it was last on the device that made "
		"its owner's cloud. Move it there once.",
		ho->vm, end->links);
}

int handoff_chain_check(const struct handoff *ho, const struct store_peer *peer, struct kerr *err)
{
	struct custody_chain_end end;
	struct custody_view view;
	int r = store_custody_get(ho->core->store, ho->uuid, &view, err);

	if (r == 0)
		r = verify(ho->core, &ho->offered->chain, &view, ho->offered->policy.owner_pk, &end,
			   err);
	if (r < 0)
		return r;
	if (end.epoch != ho->epoch || memcmp(end.holder, ho->peer, DEVICE_ID_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"\"%s\" offers \"%s\" but does not prove that it holds it (epoch "
				"%llu).",
				ho->peer_name, ho->vm, (unsigned long long)ho->epoch);
	r = check_lender(ho, peer, &view, err);
	return r < 0 ? r : check_length(ho, &end, err);
}

/* -- With the record -- */

/* The hop that the proof of OWN, or of RECLAIM, completes. Its content is the journal's business,
 * which refuses the record and all that was changed for it. */
static int grow(const struct handoff_writing *w, const struct custody_view *view,
		struct custody_chain *chain, struct kerr *err)
{
	const struct identity *id = &w->core->id;
	uint8_t ours[CUSTODY_STATEMENT_LEN];
	struct custody_statement released;
	struct store_peer peer;
	int r = store_peer_get(w->core->store, w->proof.from, &peer, err);

	if (r == 0 && w->step.record == CUSTODY_RECLAIM) {
		custody_statement_make(CUSTODY_STATEMENT_RELEASE, view->hid, view->uuid,
				       view->handoff_epoch, id->id, view->peer, &released);
		custody_statement_sign(&released, id->device_sk.data, ours);
		r = custody_chain_add(chain, ours, id->sign_pk);
	}
	return r < 0 ? r : custody_chain_add(chain, w->entry->proof, peer.sign_pk);
}

int handoff_chain_grow(struct handoff_writing *w, struct kerr *err)
{
	enum custody_record record = w->step.record;
	struct store *s = w->core->store;
	struct custody_chain chain;
	struct custody_view view;
	int r;

	if ((record != CUSTODY_OWN && record != CUSTODY_RECLAIM) || !w->step.proof ||
	    store_custody_by_hid(s, w->step.hid, &view, NULL) < 0)
		return 0;
	r = record == CUSTODY_OWN ? store_offer_chain(s, w->step.hid, &chain, err)
				  : store_chain_get(s, view.uuid, &chain, err);
	if (r == 0)
		r = grow(w, &view, &chain, err);
	/* Custody does not fail for want of a proof: without it the VM cannot move on from here. */
	if (r == -ENOBUFS && record == CUSTODY_RECLAIM)
		return 0;
	return r < 0 && r != -ENOBUFS ? r : store_chain_put(s, view.uuid, &chain, err);
}
