/* SPDX-License-Identifier: Apache-2.0 */
/* Pairing: the four modes, and everybody who wants to be in between (P6, P7, B3, B5). */
#include <glib.h>

#include "attest/pairing-wire.h"
#include "tests/unit/softtpm.h"

#define START_MS 777
#define UNIX_NOW 1800000000

struct person {
	char name[NAME_MAX_LEN + 1];
	uint8_t pk[SIGN_PK_LEN], sk[64];
};

/* One device with its machine. */
struct end {
	struct softtpm tpm; /* first: softtpm_op_quote() */
	uint8_t sign_pk[SIGN_PK_LEN], sign_sk[64];
	const struct person *owner; /* NULL: no cloud */
	bool owner_key_elsewhere;   /* in the cloud, but cannot sign for its owner */
	bool refuse_peer, knows_peer, tpm_broken, wrong_secret;
	enum tpm_tier tier;
	struct pairing_config config;
	struct pairing_ops ops;
	struct pairing *pairing;

	enum conversation_state state;
	uint8_t out[ATTEST_BLOB_MAX];
	size_t len;
	struct kerr err;
};

static struct person tom = {.name = "Tom"}, bob = {.name = "Bob"};
static struct end laptop, desktop;

static int op_make(_unused_ void *ctx, const uint8_t *ek_public, size_t ek_public_len,
		   const uint8_t ak_name[TPM_NAME_LEN], const uint8_t secret[32],
		   struct pairing_credential *ret, _unused_ struct kerr *err)
{
	softtpm_make_credential(ek_public, ek_public_len, ak_name, secret, ret);
	return 0;
}

static int op_activate(void *ctx, const struct pairing_credential *credential,
		       uint8_t ret_secret[32], struct kerr *err)
{
	struct end *e = ctx;

	if (e->tpm_broken || softtpm_activate(&e->tpm, credential, ret_secret) < 0)
		return kerr_set(err, EIO, KCODE_TPM, "The TPM does not open the challenge.");
	if (e->wrong_secret)
		ret_secret[3] ^= 1;
	return 0;
}

static int op_sign(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ((struct end *)ctx)->sign_sk);
}

static int op_owner_sign(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
{
	return crypto_sign_detached(ret_sig, NULL, data, len, ((struct end *)ctx)->owner->sk);
}

static int op_check_peer(void *ctx, const struct pairing_material *peer, struct kerr *err)
{
	if (((struct end *)ctx)->refuse_peer)
		return kerr_set(err, EACCES, KCODE_PEER_KEY, "%s was known with another TPM.",
				peer->name);
	return ((struct end *)ctx)->knows_peer;
}

/* The own record of a device, signed by its owner. */
static void own_record_make(struct end *e)
{
	const struct pairing_material *m = &e->config.own;
	struct wbuf w = wbuf_init(e->config.own_record, sizeof(e->config.own_record));
	struct device_record rec;

	pairing_record_of(m, m->owner_pk, UNIX_NOW - 10, 1010, &rec);
	g_assert_cmpint(record_sign_with_key(&rec, e->owner->sk, &w), ==, 0);
	e->config.own_record_len = w.len;
}

static void material_make(struct end *e, const char *name)
{
	struct pairing_material *m = &e->config.own;

	snprintf(m->name, sizeof(m->name), "%s", name);
	m->role = DEVICE_ROLE_LAPTOP;
	m->tier = e->tier;
	memcpy(m->sign_pk, e->sign_pk, sizeof(m->sign_pk));
	memcpy(m->ak_public, e->tpm.ak_public, m->ak_public_len = e->tpm.ak_public_len);
	memcpy(m->ek_public, e->tpm.ek_public, m->ek_public_len = e->tpm.ek_public_len);
	memcpy(m->versions, e->tpm.versions, sizeof(m->versions));
	if (e->owner) {
		m->has_cloud = true;
		memcpy(m->owner_pk, e->owner->pk, sizeof(m->owner_pk));
		memcpy(m->owner_name, e->owner->name, sizeof(m->owner_name));
		own_record_make(e);
	}
}

static void end_open(struct end *e, const char *name, bool initiator, const uint8_t *exporter)
{
	e->ops = (struct pairing_ops){
		.make_credential = op_make,
		.activate_credential = op_activate,
		.quote = softtpm_op_quote,
		.sign = op_sign,
		.owner_sign = e->owner && !e->owner_key_elsewhere ? op_owner_sign : NULL,
		.check_peer = op_check_peer,
	};
	e->config = (struct pairing_config){
		.initiator = initiator,
		.required_pcrs = SOFTTPM_PCRS,
		.unix_now = UNIX_NOW,
		.record_validity_s = 3600,
	};
	memcpy(e->config.exporter, exporter, EXPORTER_LEN);
	material_make(e, name);
	e->pairing = pairing_free(e->pairing);
	e->len = 0;
	kerr_clear(&e->err);
	g_assert_cmpint(pairing_new(&e->config, &e->ops, e, START_MS, &e->pairing), ==, 0);
}

static void reset_faults(struct end *e)
{
	e->owner_key_elsewhere = e->refuse_peer = e->knows_peer = e->tpm_broken = e->wrong_secret =
		e->tpm.lies = false;
	e->tier = TPM_TIER_PINNED;
}

static void open_as(const struct person *of_laptop, const struct person *of_desktop)
{
	uint8_t exporter[EXPORTER_LEN];

	randombytes_buf(exporter, sizeof(exporter));
	laptop.owner = of_laptop;
	desktop.owner = of_desktop;
	end_open(&laptop, "laptop", true, exporter);
	end_open(&desktop, "desktop", false, exporter);
}

static void start(struct end *e)
{
	struct wbuf w = wbuf_init(e->out, sizeof(e->out));

	e->state = pairing_start(e->pairing, &w, &e->err);
	e->len = w.len;
}

static void deliver(struct end *to, const struct end *from)
{
	struct wbuf w = wbuf_init(to->out, sizeof(to->out));

	to->state = pairing_step(to->pairing, from->out, from->len, START_MS + 5, &w, &to->err);
	to->len = w.len;
}

static void owner_says(struct end *e, bool same)
{
	struct wbuf w = wbuf_init(e->out, sizeof(e->out));

	e->state = pairing_owner(e->pairing, same, START_MS + 9, &w, &e->err);
	e->len = w.len;
}

/* Up to the code on both screens. */
static void meet(void)
{
	start(&desktop);
	g_assert_cmpuint(desktop.len, ==, 0);
	start(&laptop);
	deliver(&desktop, &laptop);
	deliver(&laptop, &desktop);
	deliver(&desktop, &laptop);
}

/* Both owners confirm, laptop first; then messages go back and forth until none is left. */
static void conclude(void)
{
	owner_says(&laptop, true);
	deliver(&desktop, &laptop);
	owner_says(&desktop, true);
	for (int i = 0; i < 6 && desktop.len; i++) {
		deliver(&laptop, &desktop);
		desktop.len = 0;
		if (laptop.len)
			deliver(&desktop, &laptop);
	}
}

static void assert_refused(const struct end *e, enum kcode code)
{
	g_assert_cmpint(e->state, ==, CONVERSATION_REFUSED);
	g_assert_cmpstr(kcode_to_string(e->err.code), ==, kcode_to_string(code));
	g_assert_null(pairing_result(e->pairing));
	g_assert_null(pairing_code(e->pairing));
}

static const struct pairing_result *assert_done(const struct end *e, enum pairing_mode mode,
						const struct end *peer)
{
	const struct pairing_result *r = pairing_result(e->pairing);
	struct device_record rec;
	struct kerr err = {0};
	uint8_t id[DEVICE_ID_LEN];

	g_assert_cmpint(e->state, ==, CONVERSATION_DONE);
	g_assert_cmpstr(e->err.text, ==, "");
	g_assert_nonnull(r);
	if (!r)
		return NULL;
	g_assert_cmpstr(pairing_mode_to_string(r->mode), ==, pairing_mode_to_string(mode));
	device_id_of(peer->sign_pk, id);
	g_assert_cmpmem(r->peer_id, sizeof(id), id, sizeof(id));
	g_assert_cmpstr(r->peer.name, ==, peer->config.own.name);
	g_assert_cmpuint(r->reference.mask, ==, SOFTTPM_PCRS);
	g_assert_cmpmem(r->reference.values, sizeof(r->reference.values), peer->tpm.pcrs.values,
			sizeof(peer->tpm.pcrs.values));
	g_assert_cmpstr(r->versions, ==, peer->tpm.versions);
	g_assert_cmpuint(r->quote.reset_count, ==, peer->tpm.info.reset_count);
	g_assert_cmpint(record_decode(r->peer_record, r->peer_record_len, &rec), ==, 0);
	g_assert_cmpint(record_verify(r->peer_record, r->peer_record_len, rec.owner_pk, UNIX_NOW,
				      &rec, &err),
			==, 0);
	g_assert_cmpmem(rec.sign_pk, SIGN_PK_LEN, peer->sign_pk, SIGN_PK_LEN);
	return r;
}

static void test_join(void)
{
	const struct pairing_result *l, *d;
	struct device_record rec = {0};

	open_as(NULL, &tom);
	meet();
	g_assert_cmpint(laptop.state, ==, CONVERSATION_WAIT_OWNER);
	g_assert_cmpint(desktop.state, ==, CONVERSATION_WAIT_OWNER);
	g_assert_cmpstr(pairing_code(laptop.pairing), ==, pairing_code(desktop.pairing));
	g_assert_cmpuint(strlen(pairing_code(laptop.pairing)), ==, PAIRING_CODE_LEN);
	g_assert_null(pairing_result(laptop.pairing));
	conclude();
	l = assert_done(&laptop, PAIRING_MODE_JOINED, &desktop);
	d = assert_done(&desktop, PAIRING_MODE_ADOPTED, &laptop);
	g_assert_cmpuint(d->own_record_len, ==, 0);
	g_assert_cmpint(
		record_verify(l->own_record, l->own_record_len, tom.pk, UNIX_NOW, &rec, NULL), ==,
		0);
	g_assert_cmpmem(rec.sign_pk, SIGN_PK_LEN, laptop.sign_pk, SIGN_PK_LEN);
	g_assert_cmpuint(rec.expires, ==, UNIX_NOW + 3600);
	g_assert_cmpmem(l->own_record, (int)l->own_record_len, d->peer_record,
			(int)d->peer_record_len);
}

/* The other way round: the initiator has the cloud, and the other owner is the faster one. */
static void test_join_mirrored(void)
{
	open_as(&tom, NULL);
	meet();
	owner_says(&desktop, true);
	g_assert_cmpint(desktop.state, ==, CONVERSATION_WAIT_OWNER);
	deliver(&laptop, &desktop);
	g_assert_cmpint(laptop.state, ==, CONVERSATION_WAIT_OWNER);
	g_assert_cmpuint(laptop.len, ==, 0);
	owner_says(&laptop, true);
	for (int i = 0; i < 6 && laptop.len; i++) {
		deliver(&desktop, &laptop);
		laptop.len = 0;
		if (desktop.len)
			deliver(&laptop, &desktop);
	}
	assert_done(&desktop, PAIRING_MODE_JOINED, &laptop);
	assert_done(&laptop, PAIRING_MODE_ADOPTED, &desktop);
}

/* Both confirm before they hear of each other. */
static void test_crossing(void)
{
	static struct end held;

	open_as(&tom, &bob);
	meet();
	owner_says(&laptop, true);
	owner_says(&desktop, true);
	memcpy(held.out, desktop.out, held.len = desktop.len);
	deliver(&desktop, &laptop);
	deliver(&laptop, &held); /* both now have a proof to send */
	for (int i = 0; i < 3; i++) {
		memcpy(held.out, desktop.out, held.len = desktop.len);
		desktop.len = 0;
		if (laptop.len)
			deliver(&desktop, &laptop);
		laptop.len = 0;
		if (held.len)
			deliver(&laptop, &held);
	}
	assert_done(&laptop, PAIRING_MODE_MET, &desktop);
	assert_done(&desktop, PAIRING_MODE_MET, &laptop);
}

static void test_meet(void)
{
	const struct pairing_result *r;

	open_as(&tom, &bob);
	meet();
	conclude();
	r = assert_done(&laptop, PAIRING_MODE_MET, &desktop);
	g_assert_cmpstr(r->peer.owner_name, ==, "Bob");
	g_assert_cmpmem(r->peer.owner_pk, SIGN_PK_LEN, bob.pk, SIGN_PK_LEN);
	r = assert_done(&desktop, PAIRING_MODE_MET, &laptop);
	g_assert_cmpmem(r->peer.owner_pk, SIGN_PK_LEN, tom.pk, SIGN_PK_LEN);
}

static void test_again(void)
{
	open_as(&tom, &tom);
	meet();
	conclude();
	assert_done(&laptop, PAIRING_MODE_REPAIRED, &desktop);
	assert_done(&desktop, PAIRING_MODE_REPAIRED, &laptop);
}

static void test_nobody(void)
{
	open_as(NULL, NULL);
	start(&desktop);
	start(&laptop);
	deliver(&desktop, &laptop);
	deliver(&laptop, &desktop);
	assert_refused(&laptop, KCODE_PAIRING);
	g_assert_nonnull(strstr(laptop.err.text, "kith init"));
	deliver(&desktop, &laptop);
	assert_refused(&desktop, KCODE_PAIRING);
	g_assert_nonnull(strstr(desktop.err.text, "kith init"));
}

/* A joined device cannot adopt others. */
static void test_no_owner_key(void)
{
	desktop.owner_key_elsewhere = true;
	open_as(NULL, &tom);
	meet();
	reset_faults(&desktop);
	assert_refused(&desktop, KCODE_NOT_READY);
	deliver(&laptop, &desktop);
	assert_refused(&laptop, KCODE_NOT_READY);
}

/* A claim of a hardware TPM is worth no more than "pinned"; a record of the own owner is. */
static void test_tier(void)
{
	static const struct {
		const struct person *laptop, *desktop;
		enum tpm_tier claimed, got;
	} cases[] = {
		{NULL, &tom, TPM_TIER_HARDWARE, TPM_TIER_PINNED},
		{NULL, &tom, TPM_TIER_SOFTWARE, TPM_TIER_SOFTWARE},
		{&tom, &bob, TPM_TIER_HARDWARE, TPM_TIER_PINNED},
		{&tom, &bob, TPM_TIER_SOFTWARE, TPM_TIER_SOFTWARE},
		{&tom, &tom, TPM_TIER_HARDWARE, TPM_TIER_HARDWARE},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		laptop.tier = cases[i].claimed;
		open_as(cases[i].laptop, cases[i].desktop);
		meet();
		conclude();
		reset_faults(&laptop);
		g_assert_nonnull(pairing_result(desktop.pairing));
		g_assert_cmpint(pairing_result(desktop.pairing)->peer.tier, ==, cases[i].got);
	}
}

/* -- attacks -- */

/* P6 (CVE-2016-6271): the initiator reveals other things than it committed to. */
static void test_commitment(void)
{
	for (size_t at = 6; at < 60; at += 9) {
		open_as(NULL, &tom);
		start(&desktop);
		start(&laptop);
		deliver(&desktop, &laptop);
		deliver(&laptop, &desktop);
		laptop.out[at] ^= 1; /* its nonce or material */
		deliver(&desktop, &laptop);
		assert_refused(&desktop, KCODE_PAIRING);
		g_assert_nonnull(strstr(desktop.err.text, at < 38 || at > 42 ? "committed" : ""));
	}
	open_as(NULL, &tom);
	start(&desktop);
	start(&laptop);
	laptop.out[6] ^= 1; /* the commitment itself */
	deliver(&desktop, &laptop);
	deliver(&laptop, &desktop);
	deliver(&desktop, &laptop);
	assert_refused(&desktop, KCODE_PAIRING);
}

/* P6: a man in the middle, a machine of his own towards each side. He may be lucky with 2^-23; in
 * 2,000 tries twice or more has a probability below 10^-7. */
static void test_middle(void)
{
	static struct end to_laptop, to_desktop;
	unsigned equal = 0;

	softtpm_init(&to_laptop.tpm, 5);
	softtpm_init(&to_desktop.tpm, 6);
	reset_faults(&to_laptop);
	reset_faults(&to_desktop);
	crypto_sign_keypair(to_laptop.sign_pk, to_laptop.sign_sk);
	crypto_sign_keypair(to_desktop.sign_pk, to_desktop.sign_sk);
	to_laptop.owner = &tom; /* claims what the other one would say */
	for (int i = 0; i < 2000; i++) {
		uint8_t other[EXPORTER_LEN];

		open_as(NULL, &tom);
		randombytes_buf(other, sizeof(other));
		end_open(&to_laptop, "desktop", false, laptop.config.exporter);
		end_open(&to_desktop, "laptop", true, other);
		end_open(&desktop, "desktop", false, other);
		start(&laptop);
		start(&desktop);
		start(&to_laptop);
		start(&to_desktop);
		/* He waits for the desktop's answer before he answers the laptop. */
		deliver(&desktop, &to_desktop);
		deliver(&to_desktop, &desktop);
		deliver(&desktop, &to_desktop);
		deliver(&to_laptop, &laptop);
		deliver(&laptop, &to_laptop);
		g_assert_cmpint(laptop.state, ==, CONVERSATION_WAIT_OWNER);
		g_assert_cmpint(desktop.state, ==, CONVERSATION_WAIT_OWNER);
		equal += strcmp(pairing_code(laptop.pairing), pairing_code(desktop.pairing)) == 0;
	}
	g_assert_cmpuint(equal, <=, 1);
	pairing_free(to_laptop.pairing);
	pairing_free(to_desktop.pairing);
}

/* The codes of many pairings spread over the whole range. */
static void test_code(void)
{
	unsigned first[10] = {0};

	for (unsigned i = 0; i < 5000; i++) {
		uint8_t transcript[HASH_LEN] = {(uint8_t)i, (uint8_t)(i >> 8)};
		char code[PAIRING_CODE_LEN + 1];

		pairing_code_of(transcript, code);
		g_assert_cmpuint(strspn(code, "0123456789"), ==, 3);
		g_assert_cmpint(code[3], ==, ' ');
		g_assert_cmpuint(strspn(code + 4, "0123456789"), ==, 4);
		first[code[0] - '0']++;
	}
	for (unsigned i = 0; i < 10; i++) {
		g_assert_cmpuint(first[i], >, 400);
		g_assert_cmpuint(first[i], <, 600);
	}
}

/* B1: pure relay, messages untouched, but two TLS legs: different codes; and even two careless
 * owners do not help, because the confirmation signs the channel. */
static void test_relay(void)
{
	uint8_t other[EXPORTER_LEN] = {3};

	open_as(NULL, &tom);
	end_open(&desktop, "desktop", false, other);
	meet();
	g_assert_cmpstr(pairing_code(laptop.pairing), !=, pairing_code(desktop.pairing));
	owner_says(&laptop, true);
	owner_says(&desktop, true);
	deliver(&desktop, &laptop);
	assert_refused(&desktop, KCODE_PAIRING);
	g_assert_nonnull(strstr(desktop.err.text, "not signed"));
}

static void test_reflection(void)
{
	static struct end mirror;

	open_as(&tom, &tom);
	start(&laptop);
	deliver(&laptop, &laptop); /* the commitment comes back */
	assert_refused(&laptop, KCODE_PAIRING);
	/* A responder that shows our own material, commitment and all. */
	memcpy(&mirror, &laptop, sizeof(mirror));
	mirror.pairing = NULL;
	open_as(&tom, &tom);
	end_open(&mirror, "laptop", false, laptop.config.exporter);
	start(&mirror);
	start(&laptop);
	deliver(&mirror, &laptop);
	deliver(&laptop, &mirror);
	assert_refused(&laptop, KCODE_PAIRING);
	g_assert_nonnull(strstr(laptop.err.text, "own keys"));
	/* Another device key on a copy of our TPM. */
	open_as(&tom, &tom);
	crypto_sign_keypair(mirror.sign_pk, mirror.sign_sk);
	end_open(&mirror, "laptop", false, laptop.config.exporter);
	start(&mirror);
	start(&laptop);
	deliver(&mirror, &laptop);
	deliver(&laptop, &mirror);
	assert_refused(&laptop, KCODE_PAIRING);
	pairing_free(mirror.pairing);
}

static void test_owner_says_no(void)
{
	open_as(NULL, &tom);
	meet();
	owner_says(&desktop, false);
	assert_refused(&desktop, KCODE_PAIRING);
	g_assert_nonnull(strstr(desktop.err.text, "You said that the codes differ"));
	deliver(&laptop, &desktop);
	assert_refused(&laptop, KCODE_PAIRING);
	g_assert_nonnull(strstr(laptop.err.text, "The other one said no"));
	g_assert_cmpuint(laptop.len, ==, 0);
	/* And no second thoughts. */
	owner_says(&desktop, true);
	assert_refused(&desktop, KCODE_PAIRING);
	g_assert_cmpuint(desktop.len, ==, 0);
	/* A yes before there is a code is none. */
	open_as(NULL, &tom);
	owner_says(&laptop, true);
	g_assert_cmpint(laptop.state, ==, CONVERSATION_SEND);
	g_assert_cmpuint(laptop.len, ==, 0);
	meet();
	g_assert_cmpint(laptop.state, ==, CONVERSATION_WAIT_OWNER);
}

/* A8: a device that knows the other one already says so, signed with its yes. */
static void test_known(void)
{
	desktop.knows_peer = true;
	open_as(&tom, &tom);
	meet();
	g_assert_false(pairing_known_there(laptop.pairing));
	conclude();
	reset_faults(&desktop);
	assert_done(&laptop, PAIRING_MODE_REPAIRED, &desktop);
	assert_done(&desktop, PAIRING_MODE_REPAIRED, &laptop);
	g_assert_true(pairing_known_there(laptop.pairing));
	g_assert_false(pairing_known_there(desktop.pairing));
	desktop.knows_peer = true;
	open_as(&tom, &tom);
	meet();
	owner_says(&desktop, true);
	reset_faults(&desktop);
	desktop.out[6 + SIGN_LEN] ^= 1;
	deliver(&laptop, &desktop);
	assert_refused(&laptop, KCODE_PAIRING);
}

static void poll_at(struct end *e, uint64_t now)
{
	struct wbuf w = wbuf_init(e->out, sizeof(e->out));

	e->state = pairing_poll(e->pairing, now, &w, &e->err);
	e->len = w.len;
}

/* P7: nothing stays open. */
static void test_timeout(void)
{
	open_as(NULL, &tom);
	meet();
	/* People have all of it from when the code is shown. */
	poll_at(&desktop, START_MS + 5 + PAIRING_CONFIRM_MS - 1);
	g_assert_cmpint(desktop.state, ==, CONVERSATION_WAIT_OWNER);
	poll_at(&desktop, START_MS + 5 + PAIRING_CONFIRM_MS);
	assert_refused(&desktop, KCODE_PAIRING);
	g_assert_cmpuint(desktop.len, >, 0);
	deliver(&laptop, &desktop);
	assert_refused(&laptop, KCODE_PAIRING);
	g_assert_cmpstr(laptop.err.text, ==, "Nobody compared the code in time.");
	/* One side confirmed, the other did not: each reads who was slow, whoever notices. */
	for (int i = 0; i < 2; i++) {
		struct end *notices = i ? &laptop : &desktop, *hears = i ? &desktop : &laptop;

		open_as(NULL, &tom);
		meet();
		owner_says(&desktop, true);
		deliver(&laptop, &desktop);
		poll_at(notices, START_MS + 5 + PAIRING_CONFIRM_MS);
		assert_refused(notices, KCODE_PAIRING);
		deliver(hears, notices);
		assert_refused(hears, KCODE_PAIRING);
		g_assert_nonnull(strstr(desktop.err.text, "The other one was too slow"));
		g_assert_nonnull(strstr(laptop.err.text, "on this device in time"));
	}
	/* Confirmed in time, but no proof follows. */
	open_as(NULL, &tom);
	meet();
	owner_says(&laptop, true);
	deliver(&desktop, &laptop);
	owner_says(&desktop, true); /* at START_MS + 9 */
	poll_at(&desktop, START_MS + 8 + PAIRING_PROOF_MS);
	g_assert_cmpint(desktop.state, ==, CONVERSATION_SEND);
	poll_at(&desktop, START_MS + 9 + PAIRING_PROOF_MS);
	assert_refused(&desktop, KCODE_PAIRING);
}

/* B3: the AK is not in the TPM whose EK was shown. */
static void test_activation(void)
{
	laptop.wrong_secret = true;
	open_as(NULL, &tom);
	meet();
	conclude();
	reset_faults(&laptop);
	assert_refused(&desktop, KCODE_ATTEST_QUOTE);
	g_assert_cmpint(laptop.state, !=, CONVERSATION_DONE);
	laptop.tpm_broken = true;
	open_as(NULL, &tom);
	meet();
	conclude();
	reset_faults(&laptop);
	assert_refused(&laptop, KCODE_TPM);
	assert_refused(&desktop, KCODE_TPM);
}

/* B3: a software key shown as the AK next to the EK of a genuine TPM. */
static void test_foreign_ak(void)
{
	struct softtpm genuine = laptop.tpm, software;

	softtpm_init(&software, 1);
	memcpy(laptop.tpm.ak_public, software.ak_public, software.ak_public_len);
	laptop.tpm.ak = software.ak;
	memcpy(laptop.tpm.ak_secret, software.ak_secret, sizeof(software.ak_secret));
	open_as(NULL, &tom);
	/* The real TPM only knows its own AK: activation is for that name. */
	laptop.tpm = genuine;
	meet();
	conclude();
	assert_refused(&laptop, KCODE_TPM);
	g_assert_cmpint(desktop.state, ==, CONVERSATION_REFUSED);
}

/* B1: evidence of the other role. */
static void test_evidence_role(void)
{
	laptop.tpm.lies = true;
	laptop.tpm.lie = EVIDENCE_ROLE_PAIRING_RESPONDER;
	open_as(NULL, &tom);
	meet();
	conclude();
	reset_faults(&laptop);
	assert_refused(&desktop, KCODE_ATTEST_BINDING);
}

/* B8: a device without measured boot has nothing to accept. */
static void test_unmeasured(void)
{
	struct softtpm measured = laptop.tpm;

	memset(laptop.tpm.pcrs.values[0], 0, HASH_LEN);
	open_as(NULL, &tom);
	meet();
	conclude();
	laptop.tpm = measured;
	assert_refused(&desktop, KCODE_ATTEST_PCR);
	g_assert_nonnull(strstr(desktop.err.text, "the firmware (PCR 0)"));
}

/* B5: policyd knows this device with another TPM. No code is even shown. */
static void test_takeover(void)
{
	desktop.refuse_peer = true;
	open_as(NULL, &tom);
	meet();
	reset_faults(&desktop);
	assert_refused(&desktop, KCODE_PEER_KEY);
}

static void test_bad_material(void)
{
	struct softtpm good = laptop.tpm;
	struct pairing *p = NULL;

	open_as(NULL, &tom);
	laptop.config.own.tier = TPM_TIER_NONE;
	g_assert_cmpint(pairing_new(&laptop.config, &laptop.ops, NULL, 0, &p), ==, -EINVAL);
	laptop.config.own.tier = TPM_TIER_PINNED;
	laptop.config.own.name[0] = '\x1b';
	g_assert_cmpint(pairing_new(&laptop.config, &laptop.ops, NULL, 0, &p), ==, -EINVAL);
	laptop.config.own.name[0] = 'l';
	laptop.config.own.has_cloud = true;
	g_assert_cmpint(pairing_new(&laptop.config, &laptop.ops, NULL, 0, &p), ==, -EINVAL);
	laptop.config.own.has_cloud = false;
	memcpy(laptop.config.own.ak_public, good.ek_public, good.ek_public_len);
	laptop.config.own.ak_public_len = good.ek_public_len;
	g_assert_cmpint(pairing_new(&laptop.config, &laptop.ops, NULL, 0, &p), ==, -EINVAL);
	g_assert_null(p);
}

/* The same material, changed on the wire and committed to afresh by a hostile initiator. */
static void test_hostile_material(void)
{
	static const struct {
		const char *what;
		enum kcode code;
	} cases[] = {{"sign key", KCODE_PAIRING},
		     {"no TPM", KCODE_TIER},
		     {"name", KCODE_PAIRING},
		     {"AK", KCODE_ATTEST_QUOTE},
		     {"owner", KCODE_PAIRING}};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		static struct pairing_hello hello;
		struct pairing_material m;
		struct wbuf w;
		uint8_t hash[HASH_LEN];

		open_as(NULL, &tom);
		m = laptop.config.own;
		if (i == 0)
			memset(m.sign_pk, 0, sizeof(m.sign_pk));
		else if (i == 1)
			m.tier = TPM_TIER_NONE;
		else if (i == 2)
			m.name[0] = '\n';
		else if (i == 3)
			m.ak_public[9] ^= TPMA_OBJECT_FIXEDTPM;
		else
			m.owner_name[0] = 'T';
		g_assert_cmpint(pairing_material_encode(&m, &hello), ==, 0);
		start(&desktop);
		pairing_commitment(&hello, hash);
		w = wbuf_init(laptop.out, sizeof(laptop.out));
		wbuf_u8(&w, PAIRING_COMMIT);
		wbuf_u8(&w, PAIRING_VERSION);
		wbuf_blob(&w, hash, sizeof(hash));
		laptop.len = w.len;
		deliver(&desktop, &laptop);
		w = wbuf_init(laptop.out, sizeof(laptop.out));
		wbuf_u8(&w, PAIRING_REVEAL);
		wbuf_u8(&w, PAIRING_VERSION);
		wbuf_u32(&w, (uint32_t)(ATTEST_NONCE_LEN + 4 + hello.material_len));
		wbuf_bytes(&w, hello.nonce, sizeof(hello.nonce));
		wbuf_blob(&w, hello.material, hello.material_len);
		laptop.len = w.len;
		deliver(&desktop, &laptop);
		g_test_message("%s: %s", cases[i].what, desktop.err.text);
		assert_refused(&desktop, cases[i].code);
	}
}

/* Records in the last message: of another key, of another owner, missing, expired. */
static void test_records(void)
{
	for (int i = 0; i < 4; i++) {
		open_as(&tom, &bob);
		if (i == 0) { /* its owner signed another device */
			struct end spare = desktop;

			crypto_sign_keypair(spare.config.own.sign_pk, spare.sign_sk);
			own_record_make(&spare);
			desktop.config = spare.config;
			memcpy(desktop.config.own.sign_pk, desktop.sign_pk, SIGN_PK_LEN);
		} else if (i == 1) { /* Tom's record, though it claims to be Bob's device */
			memcpy(desktop.config.own.owner_pk, tom.pk, SIGN_PK_LEN);
			desktop.owner = &tom;
			own_record_make(&desktop);
			desktop.owner = &bob;
			memcpy(desktop.config.own.owner_pk, bob.pk, SIGN_PK_LEN);
		} else if (i == 2) {
			desktop.config.own_record[40] ^= 1;
		} else {
			laptop.config.unix_now = UNIX_NOW + 1000;
			laptop.pairing = pairing_free(laptop.pairing);
			g_assert_cmpint(pairing_new(&laptop.config, &laptop.ops, &laptop, START_MS,
						    &laptop.pairing),
					==, 0);
		}
		desktop.pairing = pairing_free(desktop.pairing);
		g_assert_cmpint(pairing_new(&desktop.config, &desktop.ops, &desktop, START_MS,
					    &desktop.pairing),
				==, 0);
		meet();
		conclude();
		assert_refused(&laptop, i == 3 ? KCODE_ATTEST_REPLAY : KCODE_PEER_KEY);
	}
}

/* One changed byte in whatever the laptop sends, from the commitment to the result: the desktop is
 * never paired, and nothing else breaks. */
static void test_tampering(void)
{
	struct {
		size_t len;
		bool tried;
	} sent[4] = {{0, false}};

	for (unsigned which = 0; which < 4; which++) {
		for (size_t at = 0; !sent[which].tried || at < sent[which].len; at += 5) {
			unsigned nth = 0;

			open_as(&tom, &bob);
			start(&desktop);
			start(&laptop);
			for (int i = 0; i < 8 && laptop.len; i++, nth++) {
				if (nth == which) {
					sent[which].len = laptop.len;
					sent[which].tried = true;
					laptop.out[at] ^= 0x20;
				}
				deliver(&desktop, &laptop);
				if (desktop.state == CONVERSATION_WAIT_OWNER)
					owner_says(&desktop, true);
				laptop.len = 0;
				if (desktop.len)
					deliver(&laptop, &desktop);
				if (laptop.state == CONVERSATION_WAIT_OWNER && !laptop.len)
					owner_says(&laptop, true);
			}
			g_assert_cmpint(desktop.state, !=, CONVERSATION_DONE);
		}
		g_test_message("message %u: %zu bytes", which + 1, sent[which].len);
		g_assert_cmpuint(sent[which].len, >, 30);
	}
}

/* Each message again, too early, too long or cut. */
static void test_order(void)
{
	static uint8_t seen[8][ATTEST_BLOB_MAX];
	static struct end spare;
	size_t lens[8] = {0};
	unsigned count = 0;

	open_as(NULL, &tom);
	start(&desktop);
	start(&laptop);
	memcpy(seen[count], laptop.out, lens[count] = laptop.len);
	count++;
	deliver(&desktop, &laptop);
	memcpy(seen[count], desktop.out, lens[count] = desktop.len);
	count++;
	deliver(&laptop, &desktop);
	memcpy(seen[count], laptop.out, lens[count] = laptop.len);
	count++;
	deliver(&desktop, &laptop);
	owner_says(&laptop, true);
	memcpy(seen[count], laptop.out, lens[count] = laptop.len);
	count++;
	deliver(&desktop, &laptop);
	owner_says(&desktop, true);
	memcpy(seen[count], desktop.out, lens[count] = desktop.len);
	count++;
	for (unsigned i = 0; i < count; i++) {
		memcpy(spare.out, seen[i], spare.len = lens[i]);
		/* A fresh initiator takes none of them, a fresh responder only the first. */
		open_as(NULL, &tom);
		start(&laptop);
		start(&desktop);
		deliver(&laptop, &spare);
		g_assert_cmpint(laptop.state, ==,
				i == 1 ? CONVERSATION_WAIT_OWNER : CONVERSATION_REFUSED);
		deliver(&desktop, &spare);
		g_assert_cmpint(desktop.state, ==,
				i == 0 ? CONVERSATION_SEND : CONVERSATION_REFUSED);
		/* While codes are compared, old messages are none. */
		open_as(NULL, &tom);
		meet();
		deliver(&desktop, &spare);
		assert_refused(&desktop, KCODE_PAIRING);
		for (size_t cut = 0; cut < lens[i]; cut += 1 + cut / 8) {
			spare.len = cut;
			open_as(NULL, &tom);
			start(&desktop);
			deliver(&desktop, &spare);
			assert_refused(&desktop, KCODE_PAIRING);
		}
	}
	open_as(NULL, &tom);
	start(&desktop);
	spare.len = ATTEST_BLOB_MAX;
	memset(spare.out, 1, sizeof(spare.out));
	deliver(&desktop, &spare);
	assert_refused(&desktop, KCODE_PAIRING);
	open_as(NULL, &tom);
	meet();
	owner_says(&laptop, true);
	deliver(&desktop, &laptop);
	deliver(&desktop, &laptop); /* confirmed twice */
	assert_refused(&desktop, KCODE_PAIRING);
}

static void test_version(void)
{
	open_as(NULL, &tom);
	start(&desktop);
	start(&laptop);
	laptop.out[1] = PAIRING_VERSION + 1;
	deliver(&desktop, &laptop);
	assert_refused(&desktop, KCODE_PAIRING);
	g_assert_nonnull(strstr(desktop.err.text, "another version"));
}

static void test_no_room(void)
{
	uint8_t small[16];
	struct wbuf w = wbuf_init(small, sizeof(small));

	open_as(NULL, &tom);
	laptop.state = pairing_start(laptop.pairing, &w, &laptop.err);
	assert_refused(&laptop, KCODE_FAILED);
	g_assert_cmpuint(w.len, ==, 0);
}

static void add_attacks(void)
{
	g_test_add_func("/pairing/P6 wrong commitment", test_commitment);
	g_test_add_func("/pairing/P6 man in the middle", test_middle);
	g_test_add_func("/pairing/P6 code", test_code);
	g_test_add_func("/pairing/B1 relay", test_relay);
	g_test_add_func("/pairing/P6 reflection", test_reflection);
	g_test_add_func("/pairing/P6 owner says no", test_owner_says_no);
	g_test_add_func("/pairing/A8 the other one still knows us", test_known);
	g_test_add_func("/pairing/P7 A4 timeout", test_timeout);
	g_test_add_func("/pairing/B3 activation fails", test_activation);
	g_test_add_func("/pairing/B3 foreign attestation key", test_foreign_ak);
	g_test_add_func("/pairing/B1 evidence of the other role", test_evidence_role);
	g_test_add_func("/pairing/B8 unmeasured device", test_unmeasured);
	g_test_add_func("/pairing/B5 takeover", test_takeover);
	g_test_add_func("/pairing/bad own material", test_bad_material);
	g_test_add_func("/pairing/hostile material", test_hostile_material);
	g_test_add_func("/pairing/records", test_records);
	g_test_add_func("/pairing/tampering", test_tampering);
	g_test_add_func("/pairing/order", test_order);
	g_test_add_func("/pairing/version", test_version);
	g_test_add_func("/pairing/no room", test_no_room);
}

int main(int argc, char **argv)
{
	int status;

	g_setenv("TSS2_LOG", "all+NONE", TRUE);
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0)
		return 1;
	softtpm_init(&laptop.tpm, 1);
	softtpm_init(&desktop.tpm, 2);
	reset_faults(&laptop);
	reset_faults(&desktop);
	crypto_sign_keypair(laptop.sign_pk, laptop.sign_sk);
	crypto_sign_keypair(desktop.sign_pk, desktop.sign_sk);
	crypto_sign_keypair(tom.pk, tom.sk);
	crypto_sign_keypair(bob.pk, bob.sk);
	g_test_add_func("/pairing/join", test_join);
	g_test_add_func("/pairing/join the other way round", test_join_mirrored);
	g_test_add_func("/pairing/confirmations cross", test_crossing);
	g_test_add_func("/pairing/meet", test_meet);
	g_test_add_func("/pairing/pair again", test_again);
	g_test_add_func("/pairing/nobody has a cloud", test_nobody);
	g_test_add_func("/pairing/owner's key elsewhere", test_no_owner_key);
	g_test_add_func("/pairing/B14 tier", test_tier);
	add_attacks();
	status = g_test_run();
	pairing_free(laptop.pairing);
	pairing_free(desktop.pairing);
	return status;
}
