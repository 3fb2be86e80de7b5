/* SPDX-License-Identifier: Apache-2.0 */
/* Two honest machines, two hasty owners and a network that does what the input says. Whoever read
 * a changed byte is never paired; whoever is paired has the other's key. */
#include "attest/pairing.h"
#include "tests/unit/softtpm.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct end {
	struct softtpm tpm;
	struct end *peer;
	uint8_t sk[64], owner_sk[64];
	struct pairing_config config;
	struct pairing *pairing;
	enum conversation_state state;
	bool tainted;
	uint8_t out[ATTEST_BLOB_MAX], sent[ATTEST_BLOB_MAX];
	size_t len, sent_len;
};

static struct end ends[2];

static int op_make(_unused_ void *ctx, const uint8_t *ek, size_t ek_len,
		   const uint8_t name[TPM_NAME_LEN], const uint8_t secret[32],
		   struct pairing_credential *ret, _unused_ struct kerr *err)
{
	softtpm_make_credential(ek, ek_len, name, secret, ret);
	return 0;
}

static int op_activate(void *ctx, const struct pairing_credential *credential,
		       uint8_t ret_secret[32], _unused_ struct kerr *err)
{
	return softtpm_activate(&((struct end *)ctx)->tpm, credential, ret_secret);
}

static int op_quote(void *ctx, const struct evidence_binding *binding, struct evidence *ret,
		    _unused_ struct kerr *err)
{
	softtpm_evidence(&((struct end *)ctx)->tpm, binding, ret);
	return 0;
}

static int op_sign(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ((struct end *)ctx)->sk);
}

static int op_owner(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ((struct end *)ctx)->owner_sk);
}

static const struct pairing_ops ops = {op_make, op_activate, op_quote, op_sign, op_owner, NULL};

static void record_make(struct end *e)
{
	struct pairing_material *m = &e->config.own;
	struct wbuf w = wbuf_init(e->config.own_record, RECORD_MAX);
	struct device_record rec = {
		.version = RECORD_VERSION, .tier = TPM_TIER_PINNED, .issued = 1, .expires = 100};

	memcpy(rec.name, m->name, sizeof(rec.name));
	memcpy(rec.sign_pk, m->sign_pk, SIGN_PK_LEN);
	memcpy(rec.ak_public, m->ak_public, rec.ak_public_len = m->ak_public_len);
	crypto_hash_sha256(rec.ek_hash, m->ek_public, m->ek_public_len);
	memcpy(rec.owner_pk, m->owner_pk, SIGN_PK_LEN);
	if (record_sign_with_key(&rec, e->owner_sk, &w) < 0)
		abort();
	e->config.own_record_len = w.len;
}

static void end_init(struct end *e, uint8_t seed)
{
	struct pairing_material *m = &e->config.own;

	softtpm_init(&e->tpm, seed);
	e->config.initiator = seed == 0;
	e->config.required_pcrs = SOFTTPM_PCRS;
	e->config.unix_now = 10;
	e->config.record_validity_s = 10;
	snprintf(m->name, sizeof(m->name), "device %u", seed);
	m->tier = TPM_TIER_PINNED;
	crypto_sign_keypair(m->sign_pk, e->sk);
	memcpy(m->ak_public, e->tpm.ak_public, m->ak_public_len = e->tpm.ak_public_len);
	memcpy(m->ek_public, e->tpm.ek_public, m->ek_public_len = e->tpm.ek_public_len);
}

static void cloud_give(struct end *e)
{
	struct pairing_material *m = &e->config.own;

	crypto_sign_keypair(m->owner_pk, e->owner_sk);
	snprintf(m->owner_name, sizeof(m->owner_name), "Tom");
	m->has_cloud = true;
	record_make(e);
}

int LLVMFuzzerInitialize(_unused_ int *argc, _unused_ char ***argv)
{
	setenv("TSS2_LOG", "all+NONE", 1);
	if (sodium_init() < 0)
		return -1;
	for (uint8_t i = 0; i < 2; i++) {
		end_init(&ends[i], i);
		ends[i].peer = &ends[!i];
	}
	cloud_give(&ends[1]);
	return 0;
}

static void output_take(struct end *e, const struct wbuf *w, const struct kerr *err)
{
	e->len = e->sent_len = w->len;
	memcpy(e->sent, e->out, w->len);
	if ((e->state == CONVERSATION_REFUSED) != (err->code != KCODE_OK) ||
	    !text_is_clean(err->text))
		abort();
	if ((e->state == CONVERSATION_DONE) != (pairing_result(e->pairing) != NULL))
		abort();
	if (e->state == CONVERSATION_DONE &&
	    (e->tainted || memcmp(pairing_result(e->pairing)->peer.sign_pk,
				  e->peer->config.own.sign_pk, SIGN_PK_LEN) != 0))
		abort();
}

static void feed(struct end *e, const uint8_t *data, size_t len)
{
	struct wbuf w = wbuf_init(e->out, sizeof(e->out));
	struct kerr err = {0};

	if (len != e->peer->sent_len || memcmp(data, e->peer->sent, len) != 0)
		e->tainted = true;
	e->state = pairing_step(e->pairing, data, len, 1, &w, &err);
	output_take(e, &w, &err);
}

static void begin(struct end *e)
{
	struct wbuf w = wbuf_init(e->out, sizeof(e->out));
	struct kerr err = {0};

	e->tainted = false;
	if (pairing_new(&e->config, &ops, e, 0, &e->pairing) < 0)
		abort();
	e->state = pairing_start(e->pairing, &w, &err);
	output_take(e, &w, &err);
}

static void owner(struct end *e, bool same)
{
	struct wbuf w = wbuf_init(e->out, sizeof(e->out));
	struct kerr err = {0};

	e->state = pairing_owner(e->pairing, same, 1, &w, &err);
	output_take(e, &w, &err);
}

static void one(struct rbuf *r)
{
	uint8_t op = rbuf_u8(r);
	struct end *e = &ends[op & 1];
	uint16_t at;
	size_t len;
	const uint8_t *raw;

	switch (op >> 1 & 3) {
	case 0: /* the peer's last words arrive */
		feed(e, e->peer->out, e->peer->len);
		break;
	case 1: /* the owner speaks */
		owner(e, !(op & 0x80));
		break;
	case 2: /* one byte of what this end sent changes */
		at = rbuf_u16(r);
		if (at < e->len)
			e->out[at] ^= rbuf_u8(r);
		break;
	case 3: /* something else arrives */
		len = rbuf_u16(r);
		len = MIN_OF(len, r->left);
		raw = rbuf_view(r, len);
		if (raw)
			feed(e, raw, len);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rbuf r = rbuf_init(data, size);

	begin(&ends[0]);
	begin(&ends[1]);
	for (int i = 0; i < 24 && r.left; i++)
		one(&r);
	ends[0].pairing = pairing_free(ends[0].pairing);
	ends[1].pairing = pairing_free(ends[1].pairing);
	return 0;
}
