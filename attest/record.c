/* SPDX-License-Identifier: Apache-2.0 */
/* The device record: label, fields, and the owner's Ed25519 signature over exactly those bytes. */
#include "attest/record.h"

#define RECORD_LABEL "kith-record-v1"

static void record_put(struct wbuf *w, const struct device_record *rec)
{
	wbuf_string(w, RECORD_LABEL);
	wbuf_u8(w, rec->version);
	wbuf_string(w, rec->name);
	wbuf_u8(w, (uint8_t)rec->role);
	wbuf_bytes(w, rec->sign_pk, sizeof(rec->sign_pk));
	wbuf_blob(w, rec->ak_public, rec->ak_public_len);
	wbuf_bytes(w, rec->ek_hash, sizeof(rec->ek_hash));
	wbuf_u8(w, (uint8_t)rec->tier);
	wbuf_bytes(w, rec->owner_pk, sizeof(rec->owner_pk));
	wbuf_u64(w, rec->issued);
	wbuf_u64(w, rec->expires);
}

static bool record_valid(const struct device_record *rec)
{
	return rec->version == RECORD_VERSION && text_is_name(rec->name, NAME_MAX_LEN) &&
	       (unsigned)rec->role < _DEVICE_ROLE_MAX && (unsigned)rec->tier < _TPM_TIER_MAX &&
	       !sodium_is_zero(rec->sign_pk, sizeof(rec->sign_pk)) &&
	       !sodium_is_zero(rec->owner_pk, sizeof(rec->owner_pk)) &&
	       rec->issued < rec->expires && rec->ak_public_len <= sizeof(rec->ak_public) &&
	       (rec->ak_public_len > 0 || rec->tier == TPM_TIER_NONE);
}

int record_sign(const struct device_record *rec,
		int (*sign)(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN]),
		void *ctx, struct wbuf *w)
{
	uint8_t body[RECORD_MAX], sig[SIGN_LEN];
	struct wbuf b = wbuf_init(body, sizeof(body) - SIGN_LEN);
	int r;

	if (!record_valid(rec))
		return -EINVAL;
	record_put(&b, rec);
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

static void record_get(struct rbuf *r, struct device_record *rec)
{
	char label[sizeof(RECORD_LABEL)];
	const uint8_t *ak;

	rbuf_string(r, label, sizeof(label));
	if (strcmp(label, RECORD_LABEL) != 0)
		rbuf_fail(r, -EBADMSG);
	rec->version = rbuf_u8(r);
	rbuf_string(r, rec->name, sizeof(rec->name));
	rec->role = (enum device_role)rbuf_u8(r);
	rbuf_bytes(r, rec->sign_pk, sizeof(rec->sign_pk));
	ak = rbuf_blob(r, sizeof(rec->ak_public), &rec->ak_public_len);
	if (ak && rec->ak_public_len)
		memcpy(rec->ak_public, ak, rec->ak_public_len);
	rbuf_bytes(r, rec->ek_hash, sizeof(rec->ek_hash));
	rec->tier = (enum tpm_tier)rbuf_u8(r);
	rbuf_bytes(r, rec->owner_pk, sizeof(rec->owner_pk));
	rec->issued = rbuf_u64(r);
	rec->expires = rbuf_u64(r);
}

int record_decode(const uint8_t *data, size_t len, struct device_record *ret)
{
	struct device_record rec = {0};
	struct rbuf r;

	if (len <= SIGN_LEN || len > RECORD_MAX)
		return -EBADMSG;
	r = rbuf_init(data, len - SIGN_LEN);
	record_get(&r, &rec);
	if (rbuf_end(&r) < 0 || !record_valid(&rec))
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
