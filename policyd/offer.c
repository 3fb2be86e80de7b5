/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of the offer and of a signed policy. Nothing is decided here. */
#include "policyd/offer.h"

#include <string.h>

#include "attest/wire.h"

#define OFFER_VERSION 3

static void offer_code(struct coder *c, struct offer *v)
{
	struct store_policy *p = &v->policy;
	const uint8_t *text = (const uint8_t *)p->text, *compiled = p->compiled;
	uint8_t version = OFFER_VERSION;

	code_u8(c, &version);
	code_check(c, version == OFFER_VERSION);
	CODE_BYTES(c, p->uuid);
	code_name(c, v->vm);
	code_u64(c, &v->epoch);
	CODE_TEXT(c, v->person);
	CODE_ENUM(c, v->dest_person, _PERSON_ROLE_MAX);
	code_u64(c, &p->version);
	code_name(c, p->name);
	CODE_BYTES(c, p->owner_pk);
	CODE_BYTES(c, p->signature);
	CODE_ARRAY(c, p->record, &p->record_len);
	code_blob(c, &text, &p->text_len, STORE_POLICY_MAX);
	code_blob(c, &compiled, &p->compiled_len, STORE_POLICY_MAX);
	code_blob(c, &v->chain, &v->chain_len, CUSTODY_CHAIN_ROOM * CUSTODY_LINK_LEN);
	code_check(c, p->name[0] && strcmp(v->vm, p->name) == 0 && v->epoch <= CUSTODY_EPOCH_MAX);
	p->text = (char *)(uintptr_t)text;
	p->compiled = (uint8_t *)(uintptr_t)compiled;
}
DEFINE_CODEC(offer)

void offer_policy_digest(const struct store_policy *policy, uint8_t ret[HASH_LEN])
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
