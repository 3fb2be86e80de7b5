/* SPDX-License-Identifier: Apache-2.0 */
/* The device record: label, fields, and the owner's Ed25519 signature over exactly those bytes. */
#include "attest/record.h"

#define RECORD_LABEL "kith-record-v1"

static void device_record_code(struct coder *c, struct device_record *v)
{
	char label[] = RECORD_LABEL;

	CODE_TEXT(c, label);
	code_check(c, strcmp(label, RECORD_LABEL) == 0);
	code_u8(c, &v->version);
	code_check(c, v->version == RECORD_VERSION);
	code_name(c, v->name);
	code_check(c, v->name[0]);
	CODE_ENUM(c, v->role, _DEVICE_ROLE_MAX);
	CODE_BYTES(c, v->sign_pk);
	code_check(c, !sodium_is_zero(v->sign_pk, sizeof(v->sign_pk)));
	CODE_ARRAY(c, v->ak_public, &v->ak_public_len);
	CODE_BYTES(c, v->ek_hash);
	CODE_ENUM(c, v->tier, _TPM_TIER_MAX);
	code_check(c, v->ak_public_len > 0 || v->tier == TPM_TIER_NONE);
	CODE_BYTES(c, v->owner_pk);
	code_check(c, !sodium_is_zero(v->owner_pk, sizeof(v->owner_pk)));
	code_u64(c, &v->issued);
	code_u64(c, &v->expires);
	code_check(c, v->issued < v->expires);
}
DEFINE_CODEC(device_record)

int record_sign(const struct device_record *rec,
		int (*sign)(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN]),
		void *ctx, struct wbuf *w)
{
	uint8_t body[RECORD_MAX], sig[SIGN_LEN];
	struct wbuf b = wbuf_init(body, sizeof(body) - SIGN_LEN);
	int r;

	device_record_put(&b, rec);
	if (wbuf_error(&b) < 0)
		return wbuf_error(&b);
	r = sign(ctx, body, b.len, sig);
	if (r < 0)
		return r;
	if (crypto_sign_verify_detached(sig, body, b.len, rec->owner_pk) != 0)
		return -EKEYREJECTED;
	wbuf_bytes(w, body, b.len);
	wbuf_bytes(w, sig, sizeof(sig));
	return wbuf_error(w);
}

static int sign_with_key(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ctx) == 0 ? 0 : -EIO;
}

int record_sign_with_key(const struct device_record *rec, const uint8_t owner_sk[64],
			 struct wbuf *w)
{
	return record_sign(rec, sign_with_key, (void *)owner_sk, w);
}

int record_decode(const uint8_t *data, size_t len, struct device_record *ret)
{
	struct device_record rec;
	struct rbuf r;

	if (len <= SIGN_LEN || len > RECORD_MAX)
		return -EBADMSG;
	r = rbuf_init(data, len - SIGN_LEN);
	if (device_record_get(&r, &rec) < 0 || rbuf_end(&r) < 0)
		return -EBADMSG;
	*ret = rec;
	return 0;
}

int record_verify(const uint8_t *data, size_t len, const uint8_t owner_pk[SIGN_PK_LEN],
		  uint64_t now, struct device_record *ret, struct kerr *err)
{
	struct device_record rec;

	if (record_decode(data, len, &rec) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The device record is malformed or of another version.");
	if (memcmp(rec.owner_pk, owner_pk, SIGN_PK_LEN) != 0)
		return kerr_set(err, EKEYREJECTED, KCODE_PEER_KEY,
				"The record of %s names another owner than expected.", rec.name);
	if (crypto_sign_verify_detached(data + len - SIGN_LEN, data, len - SIGN_LEN, owner_pk) != 0)
		return kerr_set(err, EKEYREJECTED, KCODE_PEER_KEY,
				"The record of %s is not signed by its owner.", rec.name);
	if (now >= rec.expires)
		return kerr_set(err, EKEYEXPIRED, KCODE_ATTEST_REPLAY,
				"The record of %s has expired; pair it again.", rec.name);
	*ret = rec;
	return 0;
}
