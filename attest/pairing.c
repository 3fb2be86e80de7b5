/* SPDX-License-Identifier: Apache-2.0 */
/* The pairing machine: commit, answer, reveal, compare, prove, conclude. */
#include "attest/pairing.h"

#include "attest/exchange.h"
#include "attest/pairing-wire.h"

enum stage {
	STAGE_NEW,
	STAGE_WAIT_COMMIT, /* responder */
	STAGE_WAIT_ANSWER, /* initiator */
	STAGE_WAIT_REVEAL, /* responder */
	STAGE_COMPARE,	   /* the code is known; both owners have to confirm */
	STAGE_PROVE,	   /* both did: proofs, then results */
	STAGE_DONE,
	STAGE_REFUSED,
	_STAGE_MAX,
};

static const struct exchange_stage stages[_STAGE_MAX] = {
	[STAGE_NEW] = {"new", CONVERSATION_SEND},
	[STAGE_WAIT_COMMIT] = {"wait-commit", CONVERSATION_SEND},
	[STAGE_WAIT_ANSWER] = {"wait-answer", CONVERSATION_SEND},
	[STAGE_WAIT_REVEAL] = {"wait-reveal", CONVERSATION_SEND},
	[STAGE_COMPARE] = {"compare", CONVERSATION_WAIT_OWNER},
	[STAGE_PROVE] = {"prove", CONVERSATION_SEND},
	[STAGE_DONE] = {"done", CONVERSATION_DONE},
	[STAGE_REFUSED] = {"refused", CONVERSATION_REFUSED},
};

#define SLOW_HERE "The code was not compared on this device in time."
#define SLOW_THERE "The other one was too slow: nobody compared the code there in time."

/* What is read of an end that a person is the reason of: on the device that ends it, and on the
 * other one. */
static const struct {
	const char *here, *there;
} whys[_PAIRING_WHY_MAX] = {
	[PAIRING_WHY_NO] = {"You said that the codes differ; the devices are not paired.",
			    "The other one said no: the codes differ there. The devices are not "
			    "paired."},
	[PAIRING_WHY_GAVE_UP] = {"Pairing was stopped on this device; the devices are not paired.",
				 "The other one gave up; the devices are not paired."},
	[PAIRING_WHY_SLOW] = {SLOW_HERE, SLOW_THERE},
	[PAIRING_WHY_LATE] = {SLOW_THERE, SLOW_HERE},
	[PAIRING_WHY_NOBODY] = {"Nobody compared the code in time.",
				"Nobody compared the code in time."},
};

static const char *const pairing_mode_names[_PAIRING_MODE_MAX] = {
	[PAIRING_MODE_JOINED] = "joined",
	[PAIRING_MODE_ADOPTED] = "adopted",
	[PAIRING_MODE_MET] = "met",
	[PAIRING_MODE_REPAIRED] = "repaired",
};
DEFINE_NAMES(pairing_mode, enum pairing_mode, _PAIRING_MODE_MAX)

struct pairing {
	struct pairing_config config;
	const struct pairing_ops *ops;
	void *ctx;
	struct exchange x;

	struct pairing_hello own, peer; /* bytes as sent */
	uint8_t commitment[HASH_LEN], transcript[HASH_LEN];
	char code[PAIRING_CODE_LEN + 1];

	enum pairing_why why; /* what the peer is told of a refusal */

	bool known, known_there; /* paired already, as this device and as the peer sees it */
	bool confirmed, peer_confirmed;
	uint8_t challenge_secret[32];		  /* that the peer has to show */
	struct pairing_credential peer_challenge; /* that this device has to answer */
	bool peer_proven, result_sent;
	struct pairing_result result;
};

static int pairing_end(struct pairing *p, enum pairing_why why)
{
	p->why = why;
	return exchange_fail(&p->x, whys[why].here);
}

/* -- commit, answer, reveal -- */

static int hello_send(struct pairing *p, enum pairing_message type)
{
	exchange_message_begin(&p->x, (uint8_t)type);
	pairing_hello_put(p->x.out, &p->own);
	return exchange_message_end(&p->x);
}

static bool same_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* The peer sends our own words back, or runs on our own TPM. */
static bool reflected(const struct pairing *p, const struct pairing_material *peer)
{
	const struct pairing_material *own = &p->config.own;

	return memcmp(peer->sign_pk, own->sign_pk, SIGN_PK_LEN) == 0 ||
	       memcmp(p->peer.nonce, p->own.nonce, ATTEST_NONCE_LEN) == 0 ||
	       same_bytes(peer->ak_public, peer->ak_public_len, own->ak_public,
			  own->ak_public_len) ||
	       same_bytes(peer->ek_public, peer->ek_public_len, own->ek_public, own->ek_public_len);
}

static int mode_choose(struct pairing *p)
{
	const struct pairing_material *own = &p->config.own, *peer = &p->result.peer;

	if (!own->has_cloud && !peer->has_cloud)
		return exchange_fail(&p->x, "Neither device belongs to anybody yet: run `kith "
					    "init` on one of them.");
	if (!own->has_cloud)
		p->result.mode = PAIRING_MODE_JOINED;
	else if (!peer->has_cloud)
		p->result.mode = PAIRING_MODE_ADOPTED;
	else if (memcmp(own->owner_pk, peer->owner_pk, SIGN_PK_LEN) == 0)
		p->result.mode = PAIRING_MODE_REPAIRED;
	else
		p->result.mode = PAIRING_MODE_MET;
	if (p->result.mode == PAIRING_MODE_ADOPTED && !p->ops->owner_sign)
		return kerr_set(&p->x.error, ENOKEY, KCODE_NOT_READY,
				"%s cannot sign for its owner: pair with the device on which the "
				"cloud was made.",
				own->name);
	return 0;
}

/* Both hellos are known: checks the peer, computes the code. */
static int hello_accept(struct pairing *p)
{
	const struct pairing_hello *own = &p->own, *peer = &p->peer;
	struct pairing_material *m = &p->result.peer;
	int r;

	if (pairing_material_decode(peer, m) < 0)
		return exchange_fail(&p->x, "What that device says about itself is malformed.");
	if (reflected(p, m))
		return exchange_fail(&p->x, "That device answers with this device's own keys.");
	if (!pairing_material_valid(m, &p->x.error))
		return -EBADMSG;
	r = mode_choose(p);
	if (r < 0)
		return r;
	if (p->ops->check_peer) {
		r = p->ops->check_peer(p->ctx, m, &p->x.error);
		if (r < 0)
			return r;
		p->known = r > 0;
	}
	device_id_of(m->sign_pk, p->result.peer_id);
	pairing_transcript(p->config.exporter, p->commitment, p->config.initiator ? own : peer,
			   p->config.initiator ? peer : own, p->transcript);
	pairing_code_of(p->transcript, p->code);
	p->x.deadline = p->x.now + PAIRING_CONFIRM_MS;
	exchange_stage_set(&p->x, STAGE_COMPARE);
	return 0;
}

static int on_commit(void *self, struct rbuf *r)
{
	struct pairing *p = self;

	rbuf_bytes(r, p->commitment, sizeof(p->commitment));
	if (rbuf_end(r) < 0)
		return exchange_fail(&p->x, "The commitment is malformed.");
	exchange_stage_set(&p->x, STAGE_WAIT_REVEAL);
	return hello_send(p, PAIRING_ANSWER);
}

static int on_answer(void *self, struct rbuf *r)
{
	struct pairing *p = self;
	int e;

	if (pairing_hello_get(r, &p->peer) < 0 || rbuf_end(r) < 0)
		return exchange_fail(&p->x, "The answer of that device is malformed.");
	e = hello_accept(p);
	return e < 0 ? e : hello_send(p, PAIRING_REVEAL);
}

static int on_reveal(void *self, struct rbuf *r)
{
	struct pairing *p = self;
	uint8_t hash[HASH_LEN];

	if (pairing_hello_get(r, &p->peer) < 0 || rbuf_end(r) < 0)
		return exchange_fail(&p->x, "The second message of that device is malformed.");
	/* Without this check a man in the middle may search for a matching code
	 * (CVE-2016-6271). */
	pairing_commitment(&p->peer, hash);
	if (sodium_memcmp(hash, p->commitment, sizeof(hash)) != 0)
		return exchange_fail(&p->x, "That device did not keep to what it committed to: "
					    "somebody may sit between the devices.");
	return hello_accept(p);
}

/* -- confirm -- */

static int confirm_send(struct pairing *p)
{
	const struct pairing_material *peer = &p->result.peer;
	uint8_t body[PAIRING_CONFIRM_BODY_MAX], name[TPM_NAME_LEN];
	struct pairing_confirm m = {.known = p->known};
	size_t len;
	int r;

	randombytes_buf(p->challenge_secret, sizeof(p->challenge_secret));
	r = quote_ak_name(peer->ak_public, peer->ak_public_len, name);
	if (r >= 0)
		r = p->ops->make_credential(p->ctx, peer->ek_public, peer->ek_public_len, name,
					    p->challenge_secret, &m.challenge, &p->x.error);
	if (r < 0)
		return r;
	len = pairing_confirm_body(p->transcript, p->config.initiator, m.known, &m.challenge, body);
	r = p->ops->sign(p->ctx, body, len, m.signature);
	if (r < 0)
		return r;
	exchange_message_begin(&p->x, PAIRING_CONFIRM);
	pairing_confirm_put(p->x.out, &m);
	return exchange_message_end(&p->x);
}

static struct evidence_binding binding_of(const struct pairing *p, bool by_initiator)
{
	bool initiator = p->config.initiator;
	struct evidence_binding b = {
		.role = by_initiator ? EVIDENCE_ROLE_PAIRING_INITIATOR
				     : EVIDENCE_ROLE_PAIRING_RESPONDER,
	};

	memcpy(b.exporter, p->config.exporter, sizeof(b.exporter));
	device_id_of(p->config.own.sign_pk, initiator ? b.source : b.destination);
	memcpy(initiator ? b.destination : b.source, p->result.peer_id, DEVICE_ID_LEN);
	memcpy(initiator ? b.nonce_source : b.nonce_destination, p->own.nonce, ATTEST_NONCE_LEN);
	memcpy(initiator ? b.nonce_destination : b.nonce_source, p->peer.nonce, ATTEST_NONCE_LEN);
	memcpy(b.eph_source, p->transcript, sizeof(b.eph_source));
	return b;
}

/* Answers the peer's challenge and shows evidence. */
static int proof_send(struct pairing *p)
{
	struct evidence_binding binding = binding_of(p, p->config.initiator);
	uint8_t secret[32], hash[HASH_LEN];
	int r = p->ops->activate_credential(p->ctx, &p->peer_challenge, secret, &p->x.error);

	if (r < 0)
		return r;
	pairing_activation(p->transcript, p->config.initiator, secret, hash);
	sodium_memzero(secret, sizeof(secret));
	exchange_message_begin(&p->x, PAIRING_PROOF);
	wbuf_bytes(p->x.out, hash, sizeof(hash));
	r = exchange_evidence_put(&p->x, p->ops->quote, p->ctx, &binding);
	return r < 0 ? r : exchange_message_end(&p->x);
}

/* Goes on to the proofs once both owners have confirmed. */
static int confirmed_both(struct pairing *p)
{
	if (!p->confirmed || !p->peer_confirmed)
		return 0;
	p->x.deadline = p->x.now + PAIRING_PROOF_MS;
	exchange_stage_set(&p->x, STAGE_PROVE);
	return proof_send(p);
}

static int on_confirm(void *self, struct rbuf *r)
{
	struct pairing *p = self;
	uint8_t body[PAIRING_CONFIRM_BODY_MAX];
	struct pairing_confirm m;
	size_t len;

	if (p->peer_confirmed)
		return exchange_fail(&p->x, "That device confirmed twice.");
	if (pairing_confirm_get(r, &m) < 0 || rbuf_end(r) < 0)
		return exchange_fail(&p->x, "The confirmation of that device is malformed.");
	len = pairing_confirm_body(p->transcript, !p->config.initiator, m.known, &m.challenge,
				   body);
	if (crypto_sign_verify_detached(m.signature, body, len, p->result.peer.sign_pk) != 0)
		return exchange_fail(&p->x, "The confirmation is not signed by the device that "
					    "this pairing is with.");
	p->peer_challenge = m.challenge;
	p->known_there = m.known;
	p->peer_confirmed = true;
	return confirmed_both(p);
}

/* -- prove, conclude -- */

/* The best tier that a device's own word is good for. */
static enum tpm_tier tier_of_claim(enum tpm_tier claimed)
{
	return claimed > TPM_TIER_PINNED ? TPM_TIER_PINNED : claimed;
}

/* The owner of this device vouches for the one that joins. */
static int adopt(struct pairing *p)
{
	struct wbuf w = wbuf_init(p->result.peer_record, sizeof(p->result.peer_record));
	struct device_record rec;
	int r;

	pairing_record_of(&p->result.peer, p->config.own.owner_pk, p->config.unix_now,
			  p->config.record_validity_s, &rec);
	rec.tier = tier_of_claim(rec.tier);
	r = record_sign(&rec, p->ops->owner_sign, p->ctx, &w);
	if (r < 0)
		return kerr_set(&p->x.error, -r, KCODE_NOT_READY,
				"The owner's key could not sign the record of %s (%s).", rec.name,
				strerror(-r));
	p->result.peer_record_len = w.len;
	p->result.peer.tier = rec.tier;
	return 0;
}

static int result_send(struct pairing *p)
{
	int r = p->result.mode == PAIRING_MODE_ADOPTED ? adopt(p) : 0;

	if (r < 0)
		return r;
	exchange_message_begin(&p->x, PAIRING_RESULT);
	/* Empty but for who adopts: the peer's own one comes after this message. */
	wbuf_blob(p->x.out, p->result.peer_record, p->result.peer_record_len);
	wbuf_blob(p->x.out, p->config.own_record, p->config.own_record_len);
	p->result_sent = true;
	return exchange_message_end(&p->x);
}

static void reference_keep(struct pairing *p, const struct evidence *ev)
{
	struct pcr_set *ref = &p->result.reference;

	ref->mask = p->config.required_pcrs;
	for_each_pcr(i, ref->mask)
		memcpy(ref->values[i], ev->pcrs.values[i], HASH_LEN);
	memcpy(p->result.versions, ev->versions, sizeof(p->result.versions));
}

static int on_proof(void *self, struct rbuf *r)
{
	struct pairing *p = self;
	const struct pairing_material *peer = &p->result.peer;
	struct evidence_binding binding = binding_of(p, !p->config.initiator);
	struct evidence ev = {0};
	uint8_t got[HASH_LEN], want[HASH_LEN], qualifying[HASH_LEN];
	int e;

	if (p->peer_proven)
		return exchange_fail(&p->x, "That device sent its proof twice.");
	rbuf_bytes(r, got, sizeof(got));
	if (evidence_get(r, &ev) < 0)
		return exchange_fail(&p->x, "The proof of that device is malformed.");
	pairing_activation(p->transcript, !p->config.initiator, p->challenge_secret, want);
	if (sodium_memcmp(got, want, sizeof(want)) != 0)
		return kerr_set(&p->x.error, EKEYREJECTED, KCODE_ATTEST_QUOTE,
				"The attestation key of %s does not live in the TPM that it "
				"showed.",
				peer->name);
	evidence_qualifying(&binding, &ev, qualifying);
	e = evidence_verify(&ev, peer->ak_public, peer->ak_public_len, qualifying,
			    p->config.required_pcrs, &p->result.quote, &p->x.error);
	if (e < 0)
		return e;
	reference_keep(p, &ev);
	p->peer_proven = true;
	sodium_memzero(p->challenge_secret, sizeof(p->challenge_secret));
	return result_send(p);
}

/* A record that the peer's owner signed, about exactly the keys that were paired. */
static int record_take(struct pairing *p, const struct pairing_material *m, const uint8_t *data,
		       size_t len, struct device_record *ret)
{
	uint8_t ek_hash[HASH_LEN];
	int r = record_verify(data, len, p->result.peer.owner_pk, p->config.unix_now, ret,
			      &p->x.error);

	if (r < 0)
		return r;
	crypto_hash_sha256(ek_hash, m->ek_public, m->ek_public_len);
	if (memcmp(ret->sign_pk, m->sign_pk, SIGN_PK_LEN) != 0 ||
	    !same_bytes(ret->ak_public, ret->ak_public_len, m->ak_public, m->ak_public_len) ||
	    memcmp(ret->ek_hash, ek_hash, HASH_LEN) != 0)
		return kerr_set(&p->x.error, EKEYREJECTED, KCODE_PEER_KEY,
				"The signed record of %s is about other keys than it shows.",
				m->name);
	return 0;
}

static int on_result(void *self, struct rbuf *r)
{
	struct pairing *p = self;
	struct pairing_result *to = &p->result;
	size_t ours_len, theirs_len;
	const uint8_t *ours = rbuf_blob(r, RECORD_MAX, &ours_len);
	const uint8_t *theirs = rbuf_blob(r, RECORD_MAX, &theirs_len);
	struct device_record rec;
	int e;

	if (!p->peer_proven || !p->result_sent)
		return exchange_fail(&p->x, "That device wants to conclude before its proof.");
	if (rbuf_end(r) < 0 || !ours_len != (to->mode != PAIRING_MODE_JOINED) ||
	    !theirs_len != (to->mode == PAIRING_MODE_ADOPTED))
		return exchange_fail(&p->x, "The last message of that device is malformed.");
	if (to->mode == PAIRING_MODE_JOINED) {
		e = record_take(p, &p->config.own, ours, ours_len, &rec);
		if (e < 0)
			return e;
		memcpy(to->own_record, ours, to->own_record_len = ours_len);
	}
	if (to->mode != PAIRING_MODE_ADOPTED) {
		e = record_take(p, &to->peer, theirs, theirs_len, &rec);
		if (e < 0)
			return e;
		memcpy(to->peer_record, theirs, to->peer_record_len = theirs_len);
		/* Only the own owner's word, not a stranger's, can raise a tier above PINNED. */
		to->peer.tier = to->mode == PAIRING_MODE_MET ? tier_of_claim(rec.tier) : rec.tier;
	}
	exchange_stage_set(&p->x, STAGE_DONE);
	return 0;
}

static int on_refused(void *self, struct rbuf *r)
{
	struct pairing *p = self;
	uint8_t why = rbuf_u8(r);

	p->x.peer_refused = true;
	if (why < _PAIRING_WHY_MAX && whys[why].there)
		return exchange_fail(&p->x, whys[why].there);
	return exchange_refused(&p->x, r);
}

/* -- the machine -- */

static int pairing_late(void *self)
{
	struct pairing *p = self;

	if (p->x.stage != STAGE_COMPARE)
		return exchange_fail(&p->x, "The other device did not finish in time.");
	return pairing_end(p, p->confirmed	  ? PAIRING_WHY_LATE
			      : p->peer_confirmed ? PAIRING_WHY_SLOW
						  : PAIRING_WHY_NOBODY);
}

static int pairing_refusal(void *self)
{
	struct pairing *p = self;

	exchange_message_begin(&p->x, PAIRING_REFUSED);
	wbuf_u8(p->x.out, (uint8_t)p->why);
	kerr_put(p->x.out, &p->x.error);
	return exchange_message_end(&p->x);
}

static void pairing_wipe(void *self)
{
	struct pairing *p = self;

	sodium_memzero(p->challenge_secret, sizeof(p->challenge_secret));
	p->code[0] = '\0';
}

static const struct exchange_message messages[] = {
	{PAIRING_COMMIT, EXCHANGE_IN(STAGE_WAIT_COMMIT), on_commit},
	{PAIRING_ANSWER, EXCHANGE_IN(STAGE_WAIT_ANSWER), on_answer},
	{PAIRING_REVEAL, EXCHANGE_IN(STAGE_WAIT_REVEAL), on_reveal},
	{PAIRING_CONFIRM, EXCHANGE_IN(STAGE_COMPARE), on_confirm},
	{PAIRING_PROOF, EXCHANGE_IN(STAGE_PROVE), on_proof},
	{PAIRING_RESULT, EXCHANGE_IN(STAGE_PROVE), on_result},
	{PAIRING_REFUSED, EXCHANGE_IN_ANY, on_refused},
};

static const struct exchange_kind pairing_kind = {
	.name = "pairing",
	.version = PAIRING_VERSION,
	.framed = true,
	.code = KCODE_PAIRING,
	.refused = STAGE_REFUSED,
	.stages = stages,
	.messages = messages,
	.message_count = ARRAY_SIZE(messages),
	.malformed = "A pairing message is malformed.",
	.other_version = "The other device speaks another version of pairing.",
	.out_of_order = "A pairing message came out of order.",
	.bad_size = "A pairing message has an impossible size.",
	.no_room = "A pairing message does not fit.",
	.failed = "Pairing failed inside this device.",
	.late = pairing_late,
	.refusal = pairing_refusal,
	.wipe = pairing_wipe,
};

static int commit_send(struct pairing *p)
{
	pairing_commitment(&p->own, p->commitment);
	exchange_message_begin(&p->x, PAIRING_COMMIT);
	wbuf_bytes(p->x.out, p->commitment, sizeof(p->commitment));
	exchange_stage_set(&p->x, STAGE_WAIT_ANSWER);
	return exchange_message_end(&p->x);
}

enum conversation_state pairing_start(struct pairing *p, struct wbuf *out, struct kerr *err)
{
	int r = exchange_begin(&p->x, out);

	if (r >= 0 && p->x.stage != STAGE_NEW)
		r = exchange_fail(&p->x, "This pairing was started twice.");
	else if (r >= 0 && p->config.initiator)
		r = commit_send(p);
	else if (r >= 0)
		exchange_stage_set(&p->x, STAGE_WAIT_COMMIT);
	return exchange_end(&p->x, r, err);
}

enum conversation_state pairing_step(struct pairing *p, const uint8_t *data, size_t len,
				     uint64_t now_ms, struct wbuf *out, struct kerr *err)
{
	int r = exchange_begin(&p->x, out);

	if (r >= 0)
		r = exchange_take(&p->x, data, len, now_ms);
	return exchange_end(&p->x, r, err);
}

/* A yes counts only while a code is shown, and once. */
static int owner_take(struct pairing *p, bool same_code)
{
	int r;

	if (!same_code)
		return pairing_end(p, PAIRING_WHY_NO);
	if (p->x.stage != STAGE_COMPARE || p->confirmed)
		return 0;
	p->confirmed = true;
	r = confirm_send(p);
	return r < 0 ? r : confirmed_both(p);
}

enum conversation_state pairing_owner(struct pairing *p, bool same_code, uint64_t now_ms,
				      struct wbuf *out, struct kerr *err)
{
	int r = exchange_begin(&p->x, out);

	if (r >= 0)
		r = exchange_in_time(&p->x, now_ms);
	if (r >= 0 && p->x.stage != STAGE_DONE)
		r = owner_take(p, same_code);
	return exchange_end(&p->x, r, err);
}

enum conversation_state pairing_stop(struct pairing *p, struct wbuf *out, struct kerr *err)
{
	int r = exchange_begin(&p->x, out);

	if (r >= 0 && p->x.stage != STAGE_DONE)
		r = pairing_end(p, PAIRING_WHY_GAVE_UP);
	return exchange_end(&p->x, r, err);
}

enum conversation_state pairing_poll(struct pairing *p, uint64_t now_ms, struct wbuf *out,
				     struct kerr *err)
{
	int r = exchange_begin(&p->x, out);

	if (r >= 0)
		r = exchange_in_time(&p->x, now_ms);
	return exchange_end(&p->x, r, err);
}

static bool config_valid(const struct pairing_config *config, const struct pairing_ops *ops)
{
	return pairing_material_valid(&config->own, NULL) &&
	       config->own.has_cloud == (config->own_record_len > 0) &&
	       config->own_record_len <= RECORD_MAX && config->required_pcrs &&
	       config->record_validity_s && ops->make_credential && ops->activate_credential &&
	       ops->quote && ops->sign;
}

int pairing_new(const struct pairing_config *config, const struct pairing_ops *ops, void *ctx,
		uint64_t now_ms, struct pairing **ret)
{
	_cleanup_(pairing_freep) struct pairing *p = NULL;
	int r;

	if (!config_valid(config, ops))
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->config = *config;
	p->ops = ops;
	p->ctx = ctx;
	exchange_init(&p->x, &pairing_kind, p, STAGE_NEW, now_ms + PAIRING_CONFIRM_MS);
	randombytes_buf(p->own.nonce, sizeof(p->own.nonce));
	r = pairing_material_encode(&config->own, &p->own);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

struct pairing *pairing_free(struct pairing *p)
{
	if (p) {
		sodium_memzero(p, sizeof(*p));
		free(p);
	}
	return NULL;
}

const char *pairing_code(const struct pairing *p)
{
	return p->code[0] ? p->code : NULL;
}

const uint8_t *pairing_hash(const struct pairing *p)
{
	return p->code[0] ? p->transcript : NULL;
}

bool pairing_known_there(const struct pairing *p)
{
	return p->known_there;
}

const struct pairing_result *pairing_result(const struct pairing *p)
{
	return p->x.stage == STAGE_DONE ? &p->result : NULL;
}
