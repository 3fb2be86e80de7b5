/* SPDX-License-Identifier: Apache-2.0 */
/* Codecs and hashes of pairing. */
#include "attest/pairing-wire.h"

#define CONFIRM_LABEL "kith-pairing-confirm-v2"

static bool keys_valid(const struct pairing_material *m)
{
	return crypto_core_ed25519_is_valid_point(m->sign_pk) &&
	       (!m->has_cloud || crypto_core_ed25519_is_valid_point(m->owner_pk));
}

static bool owner_consistent(const struct pairing_material *m)
{
	if (m->has_cloud)
		return text_is_name(m->owner_name, NAME_MAX_LEN);
	return sodium_is_zero(m->owner_pk, sizeof(m->owner_pk)) && !m->owner_name[0];
}

bool pairing_material_valid(const struct pairing_material *m, struct kerr *err)
{
	if (!text_is_name(m->name, NAME_MAX_LEN) || !owner_consistent(m) ||
	    !evidence_versions_valid(m->versions))
		kerr_set(err, EBADMSG, KCODE_PAIRING,
			 "What that device says about itself is "
			 "malformed.");
	else if (!keys_valid(m))
		kerr_set(err, EBADMSG, KCODE_PAIRING,
			 "That device shows a key that is not a "
			 "valid Ed25519 key.");
	else if (m->tier == TPM_TIER_NONE)
		kerr_set(err, EBADMSG, KCODE_TIER,
			 "%s has no TPM, so it cannot prove what it "
			 "runs.",
			 m->name);
	else
		return quote_ak_check(m->ak_public, m->ak_public_len, err) >= 0 &&
		       quote_ek_check(m->ek_public, m->ek_public_len, err) >= 0;
	return false;
}

/* Names are names where pairing_material_valid() says so, which knows the sentences. */
static void pairing_material_code(struct coder *c, struct pairing_material *v)
{
	CODE_TEXT(c, v->name);
	CODE_ENUM(c, v->role, _DEVICE_ROLE_MAX);
	CODE_BYTES(c, v->sign_pk);
	CODE_ENUM(c, v->tier, _TPM_TIER_MAX);
	CODE_ARRAY(c, v->ak_public, &v->ak_public_len);
	CODE_ARRAY(c, v->ek_public, &v->ek_public_len);
	CODE_FLAG(c, v->has_cloud);
	CODE_BYTES(c, v->owner_pk);
	CODE_TEXT(c, v->owner_name);
	CODE_TEXT(c, v->versions);
}
DEFINE_CODEC(pairing_material)

static void pairing_hello_code(struct coder *c, struct pairing_hello *v)
{
	CODE_BYTES(c, v->nonce);
	CODE_ARRAY(c, v->material, &v->material_len);
}
DEFINE_CODEC(pairing_hello)

static void pairing_confirm_code(struct coder *c, struct pairing_confirm *v)
{
	CODE_BYTES(c, v->signature);
	CODE_FLAG(c, v->known);
	CODE_ARRAY(c, v->challenge.blob, &v->challenge.blob_len);
	CODE_ARRAY(c, v->challenge.secret, &v->challenge.secret_len);
	code_check(c, v->challenge.blob_len && v->challenge.secret_len);
}
DEFINE_CODEC(pairing_confirm)

int pairing_material_encode(const struct pairing_material *m, struct pairing_hello *ret)
{
	struct wbuf w = wbuf_init(ret->material, sizeof(ret->material));

	pairing_material_put(&w, m);
	ret->material_len = w.len;
	return wbuf_error(&w);
}

int pairing_material_decode(const struct pairing_hello *hello, struct pairing_material *ret)
{
	struct rbuf r = rbuf_init(hello->material, hello->material_len);
	int e = pairing_material_get(&r, ret);

	return e < 0 ? e : rbuf_end(&r);
}

void pairing_record_of(const struct pairing_material *m, const uint8_t owner_pk[SIGN_PK_LEN],
		       uint64_t now, uint64_t validity_s, struct device_record *ret)
{
	*ret = (struct device_record){
		.version = RECORD_VERSION,
		.role = m->role,
		.tier = m->tier,
		.ak_public_len = m->ak_public_len,
		.issued = now,
		.expires = now + validity_s,
	};
	memcpy(ret->name, m->name, sizeof(ret->name));
	memcpy(ret->sign_pk, m->sign_pk, sizeof(ret->sign_pk));
	memcpy(ret->ak_public, m->ak_public, m->ak_public_len);
	crypto_hash_sha256(ret->ek_hash, m->ek_public, m->ek_public_len);
	memcpy(ret->owner_pk, owner_pk, sizeof(ret->owner_pk));
}

void pairing_commitment(const struct pairing_hello *hello, uint8_t ret[HASH_LEN])
{
	struct digest d;

	digest_begin(&d, "kith-pairing-commit-v1");
	digest_field(&d, hello->material, hello->material_len);
	digest_field(&d, hello->nonce, sizeof(hello->nonce));
	digest_end(&d, ret);
}

void pairing_transcript(const uint8_t exporter[EXPORTER_LEN], const uint8_t commitment[HASH_LEN],
			const struct pairing_hello *initiator,
			const struct pairing_hello *responder, uint8_t ret[HASH_LEN])
{
	struct digest d;

	digest_begin(&d, "kith-pairing-v1");
	digest_field(&d, exporter, EXPORTER_LEN);
	digest_field(&d, commitment, HASH_LEN);
	digest_field(&d, initiator->material, initiator->material_len);
	digest_field(&d, responder->material, responder->material_len);
	digest_field(&d, initiator->nonce, sizeof(initiator->nonce));
	digest_field(&d, responder->nonce, sizeof(responder->nonce));
	digest_end(&d, ret);
}

void pairing_code_of(const uint8_t transcript[HASH_LEN], char ret[PAIRING_CODE_LEN + 1])
{
	uint8_t hash[HASH_LEN];
	struct digest d;
	struct rbuf r;
	unsigned code;

	digest_begin(&d, "kith-pairing-code-v1");
	digest_field(&d, transcript, HASH_LEN);
	digest_end(&d, hash);
	r = rbuf_init(hash, sizeof(hash));
	/* 64 bits modulo 10^7: the bias is below 2^-40. */
	code = (unsigned)(rbuf_u64(&r) % 10000000);
	snprintf(ret, PAIRING_CODE_LEN + 1, "%03u %04u", code / 10000 % 1000, code % 10000);
}

size_t pairing_confirm_body(const uint8_t transcript[HASH_LEN], bool by_initiator, bool known,
			    const struct pairing_credential *challenge,
			    uint8_t ret[PAIRING_CONFIRM_BODY_MAX])
{
	struct wbuf w = wbuf_init(ret, PAIRING_CONFIRM_BODY_MAX);
	uint8_t hash[HASH_LEN];
	struct digest d;

	digest_begin(&d, "kith-pairing-challenge-v1");
	digest_field(&d, challenge->blob, challenge->blob_len);
	digest_field(&d, challenge->secret, challenge->secret_len);
	digest_end(&d, hash);
	wbuf_string(&w, CONFIRM_LABEL);
	wbuf_u8(&w, by_initiator);
	wbuf_u8(&w, known);
	wbuf_bytes(&w, transcript, HASH_LEN);
	wbuf_bytes(&w, hash, sizeof(hash));
	return w.len;
}

void pairing_activation(const uint8_t transcript[HASH_LEN], bool by_initiator,
			const uint8_t secret[32], uint8_t ret[HASH_LEN])
{
	uint8_t role = by_initiator;
	struct digest d;

	digest_begin(&d, "kith-pairing-activated-v1");
	digest_field(&d, transcript, HASH_LEN);
	digest_field(&d, &role, sizeof(role));
	digest_field(&d, secret, 32);
	digest_end(&d, ret);
}
