/* SPDX-License-Identifier: Apache-2.0 */
/* The offer: VM, epoch and the signed policy that travels with it; and the receiver's decision. */
#include <sodium.h>
#include <string.h>

#include "attest/wire.h"
#include "policyd/handoff-internal.h"

#define OFFER_VERSION 2

void handoff_policy_digest(const struct store_policy *policy, uint8_t ret[HASH_LEN])
{
	struct digest d;

	digest_begin(&d, "kith-policy-v1");
	digest_field(&d, policy->uuid, UUID_LEN);
	digest_field(&d, policy->name, strlen(policy->name));
	digest_u64(&d, policy->version);
	digest_field(&d, policy->owner_pk, SIGN_PK_LEN);
	digest_field(&d, policy->text, policy->text_len);
	digest_field(&d, policy->compiled, policy->compiled_len);
	digest_end(&d, ret);
}

static void offer_write(struct handoff *ho, const struct store_policy *p,
			const struct custody_chain *chain, struct wbuf *w)
{
	wbuf_u8(w, OFFER_VERSION);
	wbuf_bytes(w, ho->uuid, UUID_LEN);
	wbuf_string(w, ho->vm);
	wbuf_u64(w, ho->epoch);
	wbuf_string(w, ho->person);
	wbuf_u8(w, (uint8_t)ho->dest_person);
	wbuf_u64(w, p->version);
	wbuf_string(w, p->name);
	wbuf_bytes(w, p->owner_pk, sizeof(p->owner_pk));
	wbuf_bytes(w, p->signature, sizeof(p->signature));
	wbuf_blob(w, p->text, p->text_len);
	wbuf_blob(w, p->compiled, p->compiled_len);
	wbuf_blob(w, chain->data, chain->len);
}

int handoff_offer_put(struct handoff *ho, struct wbuf *w, struct kerr *err)
{
	_cleanup_(store_policy_clear) struct store_policy p = {0};
	_cleanup_free_ struct custody_chain *chain = malloc(sizeof(*chain));
	struct custody_view view;
	int r;

	if (!chain)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	r = store_policy_get(ho->core->store, ho->uuid, &p, err);
	if (r == 0)
		r = store_custody_get(ho->core->store, ho->uuid, &view, err);
	if (r == 0)
		r = handoff_chain_of(ho->core, &view, &p, chain, err);
	if (r < 0)
		return r;
	ho->policy_version = p.version;
	offer_write(ho, &p, chain, w);
	if (wbuf_error(w) < 0)
		return kerr_set(
			err, EMSGSIZE, KCODE_POLICY,
			"The policy of \"%s\" and the proof of its %zu hops are too long for "
			"one offer. Make the policy shorter, or move the VM to the device "
			"that made its owner's cloud once.",
			ho->vm, chain->len / CUSTODY_LINK_LEN);
	return 0;
}

static int copy_blob(struct rbuf *r, uint8_t **ret, size_t *ret_len)
{
	size_t len;
	const uint8_t *at = rbuf_blob(r, STORE_POLICY_MAX, &len);

	if (!at)
		return -EBADMSG;
	*ret = calloc(1, len + 1);
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, at, len);
	*ret_len = len;
	return 0;
}

static int chain_get(struct rbuf *r, struct custody_chain *ret)
{
	size_t len;
	const uint8_t *at = rbuf_blob(r, sizeof(ret->data), &len);

	if (!at)
		return -EBADMSG;
	memcpy(ret->data, at, len);
	ret->len = len;
	return 0;
}

static int offer_get(struct handoff *ho, struct rbuf *r, struct store_policy *p,
		     struct custody_chain *chain)
{
	uint8_t version = rbuf_u8(r), *text = NULL, dest_person;
	char person[NAME_MAX_LEN + 1]; /* a claim: who asks is whose device it is (M7) */
	int ret;

	rbuf_bytes(r, ho->uuid, UUID_LEN);
	rbuf_string(r, ho->vm, sizeof(ho->vm));
	ho->epoch = rbuf_u64(r);
	rbuf_string(r, person, sizeof(person));
	dest_person = rbuf_u8(r);
	p->version = rbuf_u64(r);
	rbuf_string(r, p->name, sizeof(p->name));
	rbuf_bytes(r, p->owner_pk, sizeof(p->owner_pk));
	rbuf_bytes(r, p->signature, sizeof(p->signature));
	memcpy(p->uuid, ho->uuid, UUID_LEN);
	ret = copy_blob(r, &text, &p->text_len);
	p->text = (char *)text;
	if (ret == 0)
		ret = copy_blob(r, &p->compiled, &p->compiled_len);
	if (ret == 0)
		ret = chain_get(r, chain);
	if (ret == 0 && (version != OFFER_VERSION || ho->epoch > CUSTODY_EPOCH_MAX ||
			 !text_is_name(ho->vm, NAME_MAX_LEN) || strcmp(ho->vm, p->name) != 0 ||
			 dest_person >= _PERSON_ROLE_MAX))
		ret = -EBADMSG;
	if (ret == 0)
		ho->dest_person = (enum person_role)dest_person;
	return ret < 0 ? ret : rbuf_end(r);
}

/* Whose VM it is, seen from here: the policy is worth what its signer is. */
static int check_signer(struct handoff *ho, const struct store_peer *peer,
			const struct store_policy *p, struct kerr *err)
{
	uint8_t digest[HASH_LEN];

	if (memcmp(p->owner_pk, ho->core->id.owner_pk, SIGN_PK_LEN) != 0 &&
	    memcmp(p->owner_pk, peer->owner_pk, SIGN_PK_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_POLICY,
				"\"%s\" belongs to somebody this device does not know.", ho->vm);
	handoff_policy_digest(p, digest);
	if (crypto_sign_verify_detached(p->signature, digest, sizeof(digest), p->owner_pk) < 0)
		return kerr_set(err, EACCES, KCODE_POLICY,
				"The policy of \"%s\" is not signed by its owner.", ho->vm);
	return 0;
}

/* Who asks, as the VM's owner sees it: himself, from a device of his, or the person to whose device
 * it went, in the role that he has here (M7). */
static enum person_role asker(const struct store_peer *peer, const struct store_policy *p)
{
	if (memcmp(peer->owner_pk, p->owner_pk, SIGN_PK_LEN) == 0)
		return PERSON_ROLE_OWNER;
	return peer->person_role == PERSON_ROLE_OWNER ? PERSON_ROLE_GUEST : peer->person_role;
}

static int decide_in(struct handoff *ho, const struct store_peer *peer,
		     const struct store_policy *p, struct kerr *err)
{
	_cleanup_free_ struct policy *rules = calloc(1, sizeof(*rules));
	const struct core *core = ho->core;
	bool ours = memcmp(p->owner_pk, core->id.owner_pk, SIGN_PK_LEN) == 0;
	/* What somebody else's VM may do here is its owner's word, carried by a device that proved
	 * itself; that this device is "own" is never taken from it. */
	enum person_role claimed =
		ho->dest_person == PERSON_ROLE_OWNER ? PERSON_ROLE_GUEST : ho->dest_person;
	struct policy_facts facts = {
		.person = asker(peer, p),
		.action = POLICY_ACTION_MOVE_IN,
		.fresh = true,
		.dest_person = ours ? PERSON_ROLE_OWNER : claimed,
		.dest_role = core->config.role,
		.dest_name = core->config.name,
		.verdict = ho->verdict,
		.tier = tpm_facts(core->tpm)->tier,
	};
	struct policy_decision d;
	int r;

	if (!rules)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	/* This device's owner is asked before the VM's (H4). */
	r = ours ? 0 : handoff_may_send(core, peer, err);
	if (r == 0)
		r = policy_decode(p->compiled, p->compiled_len, rules, err);
	if (r < 0)
		return r;
	policy_decide(rules, ho->vm, &facts, &d);
	return d.allowed ? 0 : kerr_set(err, EACCES, d.reason.code, "%s", d.reason.text);
}

/* An older policy would undo what the owner changed since (S3-04). */
static int check_age(struct handoff *ho, const struct store_policy *p, struct kerr *err)
{
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

int handoff_offer_accept(struct handoff *ho, const uint8_t *data, size_t len, struct kerr *err)
{
	struct rbuf r = rbuf_init(data, len);
	struct store_peer peer;
	int ret;

	ho->policy = calloc(1, sizeof(*ho->policy));
	ho->chain = calloc(1, sizeof(*ho->chain));
	if (!ho->policy || !ho->chain)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	ret = offer_get(ho, &r, ho->policy, ho->chain);
	if (ret < 0)
		return kerr_set(err, -ret, KCODE_BAD_MESSAGE,
				"The other device's offer cannot be read.");
	ret = store_peer_get(ho->core->store, ho->peer, &peer, err);
	if (ret == 0)
		ret = check_signer(ho, &peer, ho->policy, err);
	if (ret == 0)
		ret = check_age(ho, ho->policy, err);
	if (ret == 0)
		ret = handoff_chain_check(ho, &peer, ho->policy, ho->chain, err);
	if (ret == 0)
		ret = decide_in(ho, &peer, ho->policy, err);
	return ret;
}
