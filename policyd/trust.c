/* SPDX-License-Identifier: Apache-2.0 */
/* One way for a verdict to come about, whoever asks: judged, recorded, and only then worth
 * something. */
#include "policyd/trust.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "policyd/core.h"

/* A text cut inside a character could be neither stored nor shown. */
_Static_assert(POLICYD_VERSIONS_MAX == EVIDENCE_VERSIONS_MAX + 1, "versions are kept whole");

/* M3: the same TPM as at the last genuine quote, and not an older copy of it. Compared is with what
 * was known when the nonce was made: of two sessions at once, the quote that was made first may
 * come last. */
static enum verdict check_history(const struct trust_case *c, const struct store_peer *peer,
				  const struct quote_info *now, enum verdict v, struct kerr *err)
{
	struct kerr why = {0};

	if (!now->safe)
		log_info("trust", "The TPM of \"%s\" lost some of its clock in a power cut.",
			 peer->name);
	if (!c->before || quote_clock_check(c->before, now, false, &why) == 0)
		return v;
	*err = why;
	return VERDICT_UNTRUSTED;
}

/* Only a genuine quote replaces what is known of the device; a forged one is not its. H1: what is
 * kept of genuine evidence is what counts here, and only if all of it is there: no peer can show
 * its owner less, or something that is never compared. */
static int keep(struct core *core, const struct store_peer *peer, const struct evidence *ev,
		const struct quote_info *info, enum verdict v, const struct kerr *why,
		struct kerr *err)
{
	struct pcr_set kept = ev->pcrs;
	const struct store_evidence seen = {clock_unix(), &kept, ev->versions, info};
	bool genuine = v == VERDICT_TRUSTED || why->code == KCODE_ATTEST_PCR;

	kept.mask &= (core->config.pcrs | peer->reference_mask) & ~PCR_MASK_RESETTABLE;
	genuine = genuine && evidence_covers(&kept, peer->reference_mask, NULL) == 0;
	return store_peer_set_verdict(core->store, peer->id, v, why, genuine ? &seen : NULL, err);
}

enum verdict trust_judge(struct core *core, const struct trust_case *c, const struct evidence *ev,
			 struct kerr *err)
{
	struct kerr failed = {0};
	struct quote_info info = {0};
	struct pcr_set reference;
	struct store_peer peer;
	enum verdict v;
	int r;

	if (store_peer_get(core->store, c->peer, &peer, err) < 0)
		return VERDICT_UNKNOWN;
	peer.reference_mask &= ~PCR_MASK_RESETTABLE;
	reference.mask = peer.reference_mask;
	memcpy(reference.values, peer.reference, sizeof(reference.values));
	v = evidence_judge(ev, peer.ak_public, peer.ak_public_len, c->qualifying, &reference, &info,
			   err);
	if (v == VERDICT_TRUSTED || err->code == KCODE_ATTEST_PCR)
		v = check_history(c, &peer, &info, v, err);
	/* First, because the record of a refusal drops what is not committed. */
	r = (c->peer_began ? core_audit_peer : core_audit)(core, c->person, peer.name, c->vm,
							   "attest", err);
	if (r == 0)
		r = keep(core, &peer, ev, &info, v, err, &failed);
	if (r == 0)
		r = store_commit(core->store, COMMIT_PLAIN, &failed);
	if (r < 0) {
		store_rollback(core->store);
		v = VERDICT_UNKNOWN;
		kerr_set(err, -r, KCODE_ATTEST_ERROR,
			 "What \"%s\" proved could not be recorded, so it counts for nothing: %s",
			 peer.name, failed.code == KCODE_OK ? strerror(-r) : failed.text);
	}
	log_info("trust", "\"%s\" is %s%s%s", peer.name, verdict_to_string(v),
		 err->code != KCODE_OK ? ": " : "", err->text);
	return v;
}

void trust_begin(struct store_peer *peer, const struct pcr_set *reference,
		 const struct quote_info *quote, const char *versions)
{
	peer->reference_mask = peer->evidence_mask = reference->mask;
	memcpy(peer->reference, reference->values, sizeof(peer->reference));
	memcpy(peer->evidence, reference->values, sizeof(peer->evidence));
	snprintf(peer->versions, sizeof(peer->versions), "%s", versions);
	peer->quoted = true;
	peer->quote = *quote;
	peer->evidence_time = clock_unix();
	peer->verdict = VERDICT_TRUSTED;
}
