/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence: what a quote is bound to, and the verdict machine. */
#include "attest/evidence.h"

#define EVIDENCE_LABEL "kith-evidence-v1"

/* -- binding -- */

static void logs_digest(const struct evidence *ev, uint8_t ret[HASH_LEN])
{
	struct digest d;

	digest_begin(&d, "kith-logs-v1");
	digest_field(&d, ev->event_log, ev->event_log_len);
	digest_field(&d, ev->ima_log, ev->ima_log_len);
	digest_end(&d, ret);
}

void evidence_qualifying(const struct evidence_binding *binding, const struct evidence *ev,
			 uint8_t ret[HASH_LEN])
{
	uint8_t role = (uint8_t)binding->role, versions[HASH_LEN], logs[HASH_LEN];
	struct digest d;

	crypto_hash_sha256(versions, (const uint8_t *)ev->versions, strlen(ev->versions));
	logs_digest(ev, logs);
	digest_begin(&d, EVIDENCE_LABEL);
	digest_field(&d, &role, sizeof(role));
	digest_field(&d, binding->exporter, sizeof(binding->exporter));
	digest_field(&d, binding->source, sizeof(binding->source));
	digest_field(&d, binding->destination, sizeof(binding->destination));
	digest_field(&d, binding->nonce_source, sizeof(binding->nonce_source));
	digest_field(&d, binding->nonce_destination, sizeof(binding->nonce_destination));
	digest_field(&d, binding->eph_source, sizeof(binding->eph_source));
	digest_field(&d, binding->eph_destination, sizeof(binding->eph_destination));
	digest_field(&d, binding->hid, sizeof(binding->hid));
	digest_field(&d, versions, sizeof(versions));
	digest_field(&d, logs, sizeof(logs));
	digest_end(&d, ret);
}

/* -- verdict -- */

int evidence_covers(const struct pcr_set *pcrs, uint32_t required, struct kerr *err)
{
	for_each_pcr(i, required) {
		if (!(pcrs->mask & (1u << i)))
			return kerr_set(err, EKEYREJECTED, KCODE_ATTEST_QUOTE,
					"That device does not report %s (PCR %u), by which it is "
					"measured here.",
					pcr_meaning(i), i);
		if (!pcrs_extended(1u << i, pcrs->values))
			return kerr_set(err, EKEYREJECTED, KCODE_ATTEST_PCR,
					"Nothing was measured into %s (PCR %u) of that device: its "
					"measured boot is off.",
					pcr_meaning(i), i);
	}
	return 0;
}

int evidence_verify(const struct evidence *ev, const uint8_t *ak_public, size_t ak_public_len,
		    const uint8_t qualifying[HASH_LEN], uint32_t required,
		    struct quote_info *ret_info, struct kerr *err)
{
	const struct quote_expect expect = {
		.ak_public = ak_public,
		.ak_public_len = ak_public_len,
		.qualifying = qualifying,
		.pcrs = &ev->pcrs,
	};
	int r;

	if (!required || (required & ~PCR_MASK_ALL) || (required & PCR_MASK_RESETTABLE))
		return kerr_set(err, EINVAL, KCODE_ATTEST_ERROR,
				"No measurements that could be relied on are accepted for that "
				"device yet.");
	r = quote_verify(&expect, ev->quote, ev->quote_len, ev->signature, ev->signature_len,
			 ret_info, err);
	return r < 0 ? r : evidence_covers(&ev->pcrs, required, err);
}

static int reference_check(const struct pcr_set *pcrs, const struct pcr_set *reference,
			   struct kerr *err)
{
	uint32_t changed = pcr_set_changed(reference, pcrs->values);
	char list[KERR_TEXT_MAX - 80];

	if (!changed)
		return 0;
	pcr_words(changed, list, sizeof(list));
	return kerr_set(err, EKEYREJECTED, KCODE_ATTEST_PCR,
			"That device does not run what its owner accepted. Changed: %s.", list);
}

/* Only what was proven to be wrong is untrusted; whatever else failed is unknown (B12). */
static enum verdict verdict_of(const struct kerr *err)
{
	if (err->code == KCODE_ATTEST_QUOTE || err->code == KCODE_ATTEST_BINDING ||
	    err->code == KCODE_ATTEST_PCR)
		return VERDICT_UNTRUSTED;
	return VERDICT_UNKNOWN;
}

enum verdict evidence_judge(const struct evidence *ev, const uint8_t *ak_public,
			    size_t ak_public_len, const uint8_t qualifying[HASH_LEN],
			    const struct pcr_set *reference, struct quote_info *ret_info,
			    struct kerr *err)
{
	struct kerr cause = {0};
	int r;

	r = evidence_verify(ev, ak_public, ak_public_len, qualifying, reference->mask, ret_info,
			    &cause);
	if (r >= 0)
		r = reference_check(&ev->pcrs, reference, &cause);
	if (r < 0) {
		kerr_set(&cause, EIO, KCODE_ATTEST_ERROR, "The evidence could not be judged.");
		kerr_set(err, EACCES, cause.code, "%s", cause.text);
		return verdict_of(&cause);
	}
	return VERDICT_TRUSTED;
}
