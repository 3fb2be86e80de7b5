/* SPDX-License-Identifier: Apache-2.0 */
/* The offer: VM, epoch and the signed policy that travels with it; and the receiver's decision. */
#include <sodium.h>
#include <string.h>

#include "policyd/handoff-internal.h"
#include "policyd/offer.h"
#include "policyd/policy-sign.h"

/* -- The source -- */

int handoff_offer_put(void *ctx, struct wbuf *w, struct kerr *err)
{
	struct handoff *ho = ctx;
	_cleanup_(handoff_case_clear) struct handoff_case c = {0};
	struct offer offer;
	struct custody_chain chain;
	struct policy_decision d;
	int r = handoff_case_load(ho->core, ho->uuid, ho->peer, &c, err);

	/* The decision that counts: with the evidence just judged. */
	if (r == 0)
		r = handoff_decide_out(&c, PERSON_ROLE_OWNER, true, ho->verdict, &d, err);
	if (r == 0)
		r = handoff_chain_of(ho->core, &c.view, &c.policy, &chain, err);
	if (r < 0)
		return r;
	ho->policy_version = c.policy.version;
	offer = (struct offer){.epoch = ho->epoch,
			       .dest_person = handoff_dest_person(&c),
			       .policy = c.policy,
			       .chain = chain.data,
			       .chain_len = chain.len};
	memcpy(offer.vm, ho->vm, sizeof(offer.vm));
	memcpy(offer.person, ho->person, sizeof(offer.person));
	if (strcmp(ho->vm, c.policy.name) != 0)
		return kerr_set(err, EACCES, KCODE_IDENTITY,
				"The policy of \"%s\" is that of a VM called \"%s\". Set it again.",
				ho->vm, c.policy.name);
	offer_put(w, &offer);
	if (wbuf_error(w) < 0)
		return kerr_set(
			err, EMSGSIZE, KCODE_POLICY,
			"The policy of \"%s\" and the proof of its %zu hops are too long for "
			"one offer. Make the policy shorter, or move the VM to the device "
			"that made its owner's cloud once.",
			ho->vm, chain.len / CUSTODY_LINK_LEN);
	return 0;
}

/* -- The destination -- */

static void *copy_of(const void *data, size_t len)
{
	uint8_t *copy = calloc(1, len + 1);

	if (copy)
		memcpy(copy, data, len);
	return copy;
}

/* The message ends; what it says of the VM is needed until OWN. */
static int keep(struct handoff *ho, const struct offer *o, struct kerr *err)
{
	struct store_policy *p;

	ho->offered = calloc(1, sizeof(*ho->offered));
	if (!ho->offered)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	p = &ho->offered->policy;
	*p = o->policy;
	p->text = copy_of(p->text, p->text_len);
	p->compiled = copy_of(p->compiled, p->compiled_len);
	if (!p->text || !p->compiled)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	memcpy(ho->offered->chain.data, o->chain, o->chain_len);
	ho->offered->chain.len = o->chain_len;
	memcpy(ho->uuid, p->uuid, sizeof(ho->uuid));
	memcpy(ho->vm, p->name, sizeof(ho->vm));
	ho->epoch = o->epoch;
	ho->dest_person = o->dest_person;
	return 0;
}

/* Whose VM it is, seen from here: the policy is worth what its signer is. */
static int check_signer(const struct handoff *ho, const struct store_peer *peer, struct kerr *err)
{
	const struct store_policy *p = &ho->offered->policy;

	if (memcmp(p->owner_pk, ho->core->id.owner_pk, SIGN_PK_LEN) != 0 &&
	    memcmp(p->owner_pk, peer->owner_pk, SIGN_PK_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_POLICY,
				"\"%s\" belongs to somebody this device does not know.", ho->vm);
	return policy_signed(ho->core, p, err);
}

/* Who asks, as the VM's owner sees it: himself, from a device of his, or the person to whose device
 * it went, in the role that he has here (M7). */
static enum person_role asker(const struct store_peer *peer, const struct store_policy *p)
{
	if (memcmp(peer->owner_pk, p->owner_pk, SIGN_PK_LEN) == 0)
		return PERSON_ROLE_OWNER;
	return peer->person_role == PERSON_ROLE_OWNER ? PERSON_ROLE_GUEST : peer->person_role;
}

static int decide_in(const struct handoff *ho, const struct store_peer *peer, struct kerr *err)
{
	const struct store_policy *p = &ho->offered->policy;
	const struct core *core = ho->core;
	bool ours = memcmp(p->owner_pk, core->id.owner_pk, SIGN_PK_LEN) == 0;
	/* What somebody else's VM may do here is its owner's word, carried by a device that proved
	 * itself; that this device is "own" is never taken from it. */
	enum person_role claimed =
		ho->dest_person == PERSON_ROLE_OWNER ? PERSON_ROLE_GUEST : ho->dest_person;
	struct policy_facts facts = handoff_facts_here(core);
	struct policy_decision d;
	struct policy rules;
	int r;

	facts.person = asker(peer, p);
	facts.action = POLICY_ACTION_MOVE_IN;
	facts.fresh = true;
	facts.dest_person = ours ? PERSON_ROLE_OWNER : claimed;
	facts.verdict = ho->verdict;
	facts.pcrs = pcrs_extended(ho->measured ? core->config.pcrs : 0, ho->own.pcr);
	/* This device's owner is asked before the VM's (H4). */
	r = ours ? 0 : handoff_may_send(core, peer, err);
	if (r == 0)
		r = policy_decode(p->compiled, p->compiled_len, &rules, err);
	if (r < 0)
		return r;
	policy_decide(&rules, ho->vm, &facts, &d);
	return d.allowed ? 0 : kerr_set(err, EACCES, d.reason.code, "%s", d.reason.text);
}

/* An older policy would undo what the owner changed since (S3-04). */
static int check_age(const struct handoff *ho, struct kerr *err)
{
	const struct store_policy *p = &ho->offered->policy;
	struct custody_view view;
	uint64_t known;
	int r = store_policy_version(ho->core->store, ho->uuid, &known, err);

	if (r == 0)
		r = store_custody_get(ho->core->store, ho->uuid, &view, err);
	if (r < 0)
		return r;
	if (p->version < known)
		return kerr_set(err, ESTALE, KCODE_STALE_EPOCH,
				"The offered policy of \"%s\" is older than the one known here.",
				ho->vm);
	if (view.here)
		return kerr_set(err, EEXIST, KCODE_STALE_EPOCH, "\"%s\" is here already.", ho->vm);
	/* Another owner's policy for a VM that is known here. */
	r = store_policy_check(ho->core->store, p, err);
	if (r < 0)
		return r;
	if (ho->epoch < view.epoch)
		return kerr_set(err, ESTALE, KCODE_STALE_EPOCH,
				"The offer of \"%s\" is of epoch %llu; epoch %llu was seen here.",
				ho->vm, (unsigned long long)ho->epoch,
				(unsigned long long)view.epoch);
	return 0;
}

int handoff_offer_accept(void *ctx, const uint8_t *data, size_t len, struct kerr *err)
{
	struct handoff *ho = ctx;
	struct rbuf from = rbuf_init(data, len);
	struct store_peer peer;
	struct offer offer;
	int r;

	if (offer_get(&from, &offer) < 0 || rbuf_end(&from) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The other device's offer cannot be read.");
	r = keep(ho, &offer, err);
	if (r == 0)
		r = store_peer_get(ho->core->store, ho->peer, &peer, err);
	if (r == 0)
		r = check_signer(ho, &peer, err);
	if (r == 0)
		r = check_age(ho, err);
	if (r == 0)
		r = handoff_chain_check(ho, &peer, err);
	return r < 0 ? r : decide_in(ho, &peer, err);
}
