/* SPDX-License-Identifier: Apache-2.0 */
/* Two honest machines, two hasty owners and a network that does what the input says. Whoever read
 * a changed byte is never paired; whoever is paired has the other's key. */
#include "attest/pairing-wire.h"
#include "tests/unit/ends.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct device {
	struct end end; /* first: it is what the machine is given */
	uint8_t sk[64], owner_sk[64];
	struct pairing_config config;
	struct pairing *pairing;
};

static struct device devices[2];

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
	return softtpm_activate(&((struct device *)ctx)->end.tpm, credential, ret_secret);
}

static int op_sign(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ((struct device *)ctx)->sk);
}

static int op_owner(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ((struct device *)ctx)->owner_sk);
}

static const struct pairing_ops ops = {op_make, op_activate, softtpm_op_quote,
				       op_sign, op_owner,    NULL};

static void record_make(struct device *e)
{
	struct pairing_material *m = &e->config.own;
	struct wbuf w = wbuf_init(e->config.own_record, RECORD_MAX);
	struct device_record rec;

	pairing_record_of(m, m->owner_pk, 1, 99, &rec);
	if (record_sign_with_key(&rec, e->owner_sk, &w) < 0)
		abort();
	e->config.own_record_len = w.len;
}

static void device_init(struct device *e, uint8_t seed)
{
	struct pairing_material *m = &e->config.own;

	softtpm_init(&e->end.tpm, seed);
	e->config.initiator = seed == 0;
	e->config.required_pcrs = SOFTTPM_PCRS;
	e->config.unix_now = 10;
	e->config.record_validity_s = 10;
	snprintf(m->name, sizeof(m->name), "device %u", seed);
	m->tier = TPM_TIER_PINNED;
	crypto_sign_keypair(m->sign_pk, e->sk);
	memcpy(m->ak_public, e->end.tpm.ak_public, m->ak_public_len = e->end.tpm.ak_public_len);
	memcpy(m->ek_public, e->end.tpm.ek_public, m->ek_public_len = e->end.tpm.ek_public_len);
}

static void cloud_give(struct device *e)
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
		device_init(&devices[i], i);
		devices[i].end.peer = &devices[!i].end;
	}
	cloud_give(&devices[1]);
	return 0;
}

/* Whoever is paired has a result, with the other's key. */
static enum conversation_state checked(const struct device *d, enum conversation_state state)
{
	const struct pairing_result *result = pairing_result(d->pairing);
	const struct device *peer = (const struct device *)d->end.peer;

	if ((state == CONVERSATION_DONE) != (result != NULL))
		abort();
	if (result && memcmp(result->peer.sign_pk, peer->config.own.sign_pk, SIGN_PK_LEN) != 0)
		abort();
	return state;
}

static enum conversation_state input_start(struct end *e, _unused_ const uint8_t *data,
					   _unused_ size_t len, struct wbuf *w, struct kerr *err)
{
	struct device *d = (struct device *)e;

	return checked(d, pairing_start(d->pairing, w, err));
}

static enum conversation_state input_step(struct end *e, const uint8_t *data, size_t len,
					  struct wbuf *w, struct kerr *err)
{
	struct device *d = (struct device *)e;

	return checked(d, pairing_step(d->pairing, data, len, 1, w, err));
}

static enum conversation_state input_yes(struct end *e, _unused_ const uint8_t *data,
					 _unused_ size_t len, struct wbuf *w, struct kerr *err)
{
	struct device *d = (struct device *)e;

	return checked(d, pairing_owner(d->pairing, true, 1, w, err));
}

static enum conversation_state input_no(struct end *e, _unused_ const uint8_t *data,
					_unused_ size_t len, struct wbuf *w, struct kerr *err)
{
	struct device *d = (struct device *)e;

	return checked(d, pairing_owner(d->pairing, false, 1, w, err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rbuf r = rbuf_init(data, size);

	for (unsigned i = 0; i < 2; i++) {
		struct device *d = &devices[i];

		d->end.tainted = false;
		if (pairing_new(&d->config, &ops, d, 0, &d->pairing) < 0)
			abort();
		end_feed(&d->end, input_start, NULL, 0);
	}
	ends_run(&devices[0].end, &devices[1].end, &r, input_step, input_yes, input_no);
	devices[0].pairing = pairing_free(devices[0].pairing);
	devices[1].pairing = pairing_free(devices[1].pairing);
	return 0;
}
