/* SPDX-License-Identifier: Apache-2.0 */
/* The pairing machine: commit, answer, reveal, compare, prove, conclude. */
#include "attest/pairing.h"

#include "attest/pairing-wire.h"
#include "base/log.h"

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

static const char *const stage_names[_STAGE_MAX] = {
	[STAGE_NEW] = "new",
	[STAGE_WAIT_COMMIT] = "wait-commit",
	[STAGE_WAIT_ANSWER] = "wait-answer",
	[STAGE_WAIT_REVEAL] = "wait-reveal",
	[STAGE_COMPARE] = "compare",
	[STAGE_PROVE] = "prove",
	[STAGE_DONE] = "done",
	[STAGE_REFUSED] = "refused",
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
	enum stage stage;
	uint64_t deadline;
	struct kerr error;

	struct pairing_hello own, peer; /* bytes as sent */
	uint8_t commitment[HASH_LEN], transcript[HASH_LEN];
	char code[PAIRING_CODE_LEN + 1];
	bool peer_refused;

	enum pairing_why why; /* what the peer is told of a refusal */

	bool known, known_there; /* paired already, as this device and as the peer sees it */
	bool confirmed, peer_confirmed;
	uint8_t challenge_secret[32];		  /* that the peer has to show */
	struct pairing_credential peer_challenge; /* that this device has to answer */
	bool peer_proven, result_sent;
	struct pairing_result result;
};

static int fail(struct kerr *err, const char *sentence)
{
	return kerr_set(err, EBADMSG, KCODE_PAIRING, "%s", sentence);
}

/* Of a failure that a person is the reason of: what the peer reads, and what is read here. */
static int fail_why(struct pairing *p, enum pairing_why why, struct kerr *err, const char *sentence)
{
	p->why = why;
	return fail(err, sentence);
}

static void stage_set(struct pairing *p, enum stage stage)
{
	log_debug("pairing", "%s -> %s", stage_names[p->stage], stage_names[stage]);
	p->stage = stage;
}

static enum conversation_state state_of(const struct pairing *p)
{
	switch (p->stage) {
	case STAGE_NEW:
	case STAGE_WAIT_COMMIT:
	case STAGE_WAIT_ANSWER:
	case STAGE_WAIT_REVEAL:
	case STAGE_PROVE:
		return CONVERSATION_SEND;
	case STAGE_COMPARE:
		return CONVERSATION_WAIT_OWNER;
	case STAGE_DONE:
		return CONVERSATION_DONE;
	case STAGE_REFUSED:
	case _STAGE_MAX:
		break;
	}
	return CONVERSATION_REFUSED;
}

/* -- outgoing messages: begin, fields, end -- */

static size_t message_begin(struct wbuf *out, enum pairing_message type)
{
	wbuf_u8(out, (uint8_t)type);
	wbuf_u8(out, PAIRING_VERSION);
	wbuf_u32(out, 0);
	return out->len;
}

/* Writes the length of a message that began at `start` into its prefix. */
static int message_end(struct wbuf *out, size_t start, struct kerr *err)
{
	struct wbuf prefix;

	if (wbuf_error(out) < 0)
		return kerr_set(err, ENOBUFS, KCODE_FAILED, "A pairing message does not fit.");
	prefix = wbuf_init(out->data + start - 4, 4);
	wbuf_u32(&prefix, (uint32_t)(out->len - start));
	return 0;
}

static void hello_put(struct wbuf *out, const struct pairing_hello *hello)
{
	wbuf_bytes(out, hello->nonce, sizeof(hello->nonce));
	wbuf_blob(out, hello->material, hello->material_len);
}

static int hello_get(struct rbuf *r, struct pairing_hello *ret)
{
	const uint8_t *at;

	rbuf_bytes(r, ret->nonce, sizeof(ret->nonce));
	at = rbuf_blob(r, sizeof(ret->material), &ret->material_len);
	if (at)
		memcpy(ret->material, at, ret->material_len);
	return rbuf_end(r);
}

/* -- commit, answer, reveal -- */

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

static int mode_choose(struct pairing *p, struct kerr *err)
{
	const struct pairing_material *own = &p->config.own, *peer = &p->result.peer;

	if (!own->has_cloud && !peer->has_cloud)
		return fail(err, "Neither device belongs to anybody yet: run `kith init` on one "
				 "of them.");
	if (!own->has_cloud)
		p->result.mode = PAIRING_MODE_JOINED;
	else if (!peer->has_cloud)
		p->result.mode = PAIRING_MODE_ADOPTED;
	else if (memcmp(own->owner_pk, peer->owner_pk, SIGN_PK_LEN) == 0)
		p->result.mode = PAIRING_MODE_REPAIRED;
	else
		p->result.mode = PAIRING_MODE_MET;
	if (p->result.mode == PAIRING_MODE_ADOPTED && !p->ops->owner_sign)
		return kerr_set(err, ENOKEY, KCODE_NOT_READY,
				"%s cannot sign for its owner: pair with the device on which the "
				"cloud was made.",
				own->name);
	return 0;
}

/* Both hellos are known: checks the peer, computes the code. */
static int hello_accept(struct pairing *p, uint64_t now, struct kerr *err)
{
	const struct pairing_hello *own = &p->own, *peer = &p->peer;
	struct pairing_material *m = &p->result.peer;
	int r;

	if (pairing_material_decode(peer, m) < 0)
		return fail(err, "What that device says about itself is malformed.");
	if (reflected(p, m))
		return fail(err, "That device answers with this device's own keys.");
	if (!pairing_material_valid(m, err))
		return -EBADMSG;
	r = mode_choose(p, err);
	if (r < 0)
		return r;
	if (p->ops->check_peer) {
		r = p->ops->check_peer(p->ctx, m, err);
		if (r < 0)
			return r;
		p->known = r > 0;
	}
	device_id_of(m->sign_pk, p->result.peer_id);
	pairing_transcript(p->config.exporter, p->commitment, p->config.initiator ? own : peer,
			   p->config.initiator ? peer : own, p->transcript);
	pairing_code_of(p->transcript, p->code);
	p->deadline = now + PAIRING_CONFIRM_MS;
	stage_set(p, STAGE_COMPARE);
	return 0;
}

static int on_commit(struct pairing *p, struct rbuf *r, _unused_ uint64_t now, struct wbuf *out,
		     struct kerr *err)
{
	size_t start;

	rbuf_bytes(r, p->commitment, sizeof(p->commitment));
	if (rbuf_end(r) < 0)
		return fail(err, "The commitment is malformed.");
	start = message_begin(out, PAIRING_ANSWER);
	hello_put(out, &p->own);
	stage_set(p, STAGE_WAIT_REVEAL);
	return message_end(out, start, err);
}

static int on_answer(struct pairing *p, struct rbuf *r, uint64_t now, struct wbuf *out,
		     struct kerr *err)
{
	size_t start;
	int e;

	if (hello_get(r, &p->peer) < 0)
		return fail(err, "The answer of that device is malformed.");
	e = hello_accept(p, now, err);
	if (e < 0)
		return e;
	start = message_begin(out, PAIRING_REVEAL);
	hello_put(out, &p->own);
	return message_end(out, start, err);
}

static int on_reveal(struct pairing *p, struct rbuf *r, uint64_t now, _unused_ struct wbuf *out,
		     struct kerr *err)
{
	uint8_t hash[HASH_LEN];

	if (hello_get(r, &p->peer) < 0)
		return fail(err, "The second message of that device is malformed.");
	/* Without this check a man in the middle may search for a matching code
	 * (CVE-2016-6271). */
	pairing_commitment(&p->peer, hash);
	if (sodium_memcmp(hash, p->commitment, sizeof(hash)) != 0)
		return fail(err, "That device did not keep to what it committed to: somebody may "
				 "sit between the devices.");
	return hello_accept(p, now, err);
}

/* -- confirm -- */

static int confirm_send(struct pairing *p, struct wbuf *out, struct kerr *err)
{
	const struct pairing_material *peer = &p->result.peer;
	struct pairing_credential challenge = {0};
	uint8_t body[PAIRING_CONFIRM_BODY_MAX], sig[SIGN_LEN], name[TPM_NAME_LEN];
	struct wbuf b = wbuf_init(body, sizeof(body));
	size_t start;
	int r;

	randombytes_buf(p->challenge_secret, sizeof(p->challenge_secret));
	r = quote_ak_name(peer->ak_public, peer->ak_public_len, name);
	if (r >= 0)
		r = p->ops->make_credential(p->ctx, peer->ek_public, peer->ek_public_len, name,
					    p->challenge_secret, &challenge, err);
	if (r < 0)
		return r;
	pairing_confirm_body(p->transcript, p->config.initiator, p->known, &challenge, &b);
	r = wbuf_error(&b);
	if (r >= 0)
		r = p->ops->sign(p->ctx, body, b.len, sig);
	if (r < 0)
		return r;
	start = message_begin(out, PAIRING_CONFIRM);
	wbuf_bytes(out, sig, sizeof(sig));
	wbuf_u8(out, p->known);
	wbuf_blob(out, challenge.blob, challenge.blob_len);
	wbuf_blob(out, challenge.secret, challenge.secret_len);
	return message_end(out, start, err);
}

static int challenge_get(struct rbuf *r, struct pairing_credential *ret)
{
	const uint8_t *blob = rbuf_blob(r, sizeof(ret->blob), &ret->blob_len);
	const uint8_t *secret = rbuf_blob(r, sizeof(ret->secret), &ret->secret_len);

	if (rbuf_end(r) < 0 || !ret->blob_len || !ret->secret_len)
		return -EBADMSG;
	memcpy(ret->blob, blob, ret->blob_len);
	memcpy(ret->secret, secret, ret->secret_len);
	return 0;
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
static int proof_send(struct pairing *p, struct wbuf *out, struct kerr *err)
{
	struct evidence_binding binding = binding_of(p, p->config.initiator);
	_cleanup_evidence_ struct evidence ev = {0};
	uint8_t secret[32], hash[HASH_LEN];
	size_t start;
	int r;

	r = p->ops->activate_credential(p->ctx, &p->peer_challenge, secret, err);
	if (r < 0)
		return r;
	pairing_activation(p->transcript, p->config.initiator, secret, hash);
	sodium_memzero(secret, sizeof(secret));
	r = p->ops->quote(p->ctx, &binding, &ev, err);
	if (r < 0)
		return r;
	start = message_begin(out, PAIRING_PROOF);
	wbuf_bytes(out, hash, sizeof(hash));
	r = evidence_put(out, &ev);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "This device's evidence is too large.");
	return message_end(out, start, err);
}

/* Goes on to the proofs once both owners have confirmed. */
static int confirmed_both(struct pairing *p, uint64_t now, struct wbuf *out, struct kerr *err)
{
	if (!p->confirmed || !p->peer_confirmed)
		return 0;
	p->deadline = now + PAIRING_PROOF_MS;
	stage_set(p, STAGE_PROVE);
	return proof_send(p, out, err);
}

static int on_confirm(struct pairing *p, struct rbuf *r, uint64_t now, struct wbuf *out,
		      struct kerr *err)
{
	uint8_t body[PAIRING_CONFIRM_BODY_MAX], sig[SIGN_LEN], known;
	struct wbuf b = wbuf_init(body, sizeof(body));

	if (p->peer_confirmed)
		return fail(err, "That device confirmed twice.");
	rbuf_bytes(r, sig, sizeof(sig));
	known = rbuf_u8(r);
	if (known > 1 || challenge_get(r, &p->peer_challenge) < 0)
		return fail(err, "The confirmation of that device is malformed.");
	pairing_confirm_body(p->transcript, !p->config.initiator, known == 1, &p->peer_challenge,
			     &b);
	if (wbuf_error(&b) < 0 ||
	    crypto_sign_verify_detached(sig, body, b.len, p->result.peer.sign_pk) != 0)
		return fail(err, "The confirmation is not signed by the device that this pairing "
				 "is with.");
	p->known_there = known == 1;
	p->peer_confirmed = true;
	return confirmed_both(p, now, out, err);
}

/* -- prove, conclude -- */

/* The best tier that a device's own word is good for. */
static enum tpm_tier tier_of_claim(enum tpm_tier claimed)
{
	return claimed > TPM_TIER_PINNED ? TPM_TIER_PINNED : claimed;
}

static void record_fill(const struct pairing *p, struct device_record *ret)
{
	const struct pairing_material *peer = &p->result.peer;

	*ret = (struct device_record){
		.version = RECORD_VERSION,
		.role = peer->role,
		.tier = tier_of_claim(peer->tier),
		.ak_public_len = peer->ak_public_len,
		.issued = p->config.unix_now,
		.expires = p->config.unix_now + p->config.record_validity_s,
	};
	memcpy(ret->name, peer->name, sizeof(ret->name));
	memcpy(ret->sign_pk, peer->sign_pk, sizeof(ret->sign_pk));
	memcpy(ret->ak_public, peer->ak_public, peer->ak_public_len);
	crypto_hash_sha256(ret->ek_hash, peer->ek_public, peer->ek_public_len);
	memcpy(ret->owner_pk, p->config.own.owner_pk, sizeof(ret->owner_pk));
}

/* The owner of this device vouches for the one that joins. */
static int adopt(struct pairing *p, struct kerr *err)
{
	struct wbuf w = wbuf_init(p->result.peer_record, sizeof(p->result.peer_record));
	struct device_record rec;
	int r;

	record_fill(p, &rec);
	r = record_sign(&rec, p->ops->owner_sign, p->ctx, &w);
	if (r < 0)
		return kerr_set(err, -r, KCODE_NOT_READY,
				"The owner's key could not sign the record of %s (%s).", rec.name,
				strerror(-r));
	p->result.peer_record_len = w.len;
	p->result.peer.tier = rec.tier;
	return 0;
}

static int result_send(struct pairing *p, struct wbuf *out, struct kerr *err)
{
	bool adopting = p->result.mode == PAIRING_MODE_ADOPTED;
	size_t start;

	if (adopting) {
		int r = adopt(p, err);

		if (r < 0)
			return r;
	}
	start = message_begin(out, PAIRING_RESULT);
	wbuf_blob(out, p->result.peer_record, adopting ? p->result.peer_record_len : 0);
	wbuf_blob(out, p->config.own_record, p->config.own_record_len);
	p->result_sent = true;
	return message_end(out, start, err);
}

static void reference_keep(struct pairing *p, const struct evidence *ev)
{
	struct pcr_set *ref = &p->result.reference;

	ref->mask = p->config.required_pcrs;
	for (unsigned i = 0; i < PCR_COUNT; i++)
		if (ref->mask & (1u << i))
			memcpy(ref->values[i], ev->pcrs.values[i], HASH_LEN);
	memcpy(p->result.versions, ev->versions, sizeof(p->result.versions));
}

static int on_proof(struct pairing *p, struct rbuf *r, _unused_ uint64_t now, struct wbuf *out,
		    struct kerr *err)
{
	const struct pairing_material *peer = &p->result.peer;
	struct evidence_binding binding = binding_of(p, !p->config.initiator);
	_cleanup_evidence_ struct evidence ev = {0};
	uint8_t got[HASH_LEN], want[HASH_LEN], qualifying[HASH_LEN];
	int e;

	if (p->peer_proven)
		return fail(err, "That device sent its proof twice.");
	rbuf_bytes(r, got, sizeof(got));
	if (evidence_get(r, &ev) < 0)
		return fail(err, "The proof of that device is malformed.");
	pairing_activation(p->transcript, !p->config.initiator, p->challenge_secret, want);
	if (sodium_memcmp(got, want, sizeof(want)) != 0)
		return kerr_set(err, EKEYREJECTED, KCODE_ATTEST_QUOTE,
				"The attestation key of %s does not live in the TPM that it "
				"showed.",
				peer->name);
	evidence_qualifying(&binding, &ev, qualifying);
	e = evidence_verify(&ev, peer->ak_public, peer->ak_public_len, qualifying,
			    p->config.required_pcrs, &p->result.quote, err);
	if (e < 0)
		return e;
	reference_keep(p, &ev);
	p->peer_proven = true;
	sodium_memzero(p->challenge_secret, sizeof(p->challenge_secret));
	return result_send(p, out, err);
}

/* A record has to be about exactly the keys that were paired. */
static int record_match(const struct device_record *rec, const struct pairing_material *m,
			struct kerr *err)
{
	uint8_t ek_hash[HASH_LEN];

	crypto_hash_sha256(ek_hash, m->ek_public, m->ek_public_len);
	if (memcmp(rec->sign_pk, m->sign_pk, SIGN_PK_LEN) != 0 ||
	    !same_bytes(rec->ak_public, rec->ak_public_len, m->ak_public, m->ak_public_len) ||
	    memcmp(rec->ek_hash, ek_hash, HASH_LEN) != 0)
		return kerr_set(err, EKEYREJECTED, KCODE_PEER_KEY,
				"The signed record of %s is about other keys than it shows.",
				m->name);
	return 0;
}

static int peer_record_take(struct pairing *p, const uint8_t *data, size_t len, struct kerr *err)
{
	struct pairing_material *peer = &p->result.peer;
	struct device_record rec;
	int r = record_verify(data, len, peer->owner_pk, p->config.unix_now, &rec, err);

	if (r >= 0)
		r = record_match(&rec, peer, err);
	if (r < 0)
		return r;
	memcpy(p->result.peer_record, data, len);
	p->result.peer_record_len = len;
	/* Only the own owner's word, not a stranger's, can raise a tier above PINNED. */
	peer->tier = p->result.mode == PAIRING_MODE_MET ? tier_of_claim(rec.tier) : rec.tier;
	return 0;
}

static int own_record_take(struct pairing *p, const uint8_t *data, size_t len, struct kerr *err)
{
	struct device_record rec;
	int r = record_verify(data, len, p->result.peer.owner_pk, p->config.unix_now, &rec, err);

	if (r >= 0)
		r = record_match(&rec, &p->config.own, err);
	if (r < 0)
		return r;
	memcpy(p->result.own_record, data, len);
	p->result.own_record_len = len;
	return 0;
}

static int on_result(struct pairing *p, struct rbuf *r, _unused_ uint64_t now,
		     _unused_ struct wbuf *out, struct kerr *err)
{
	enum pairing_mode mode = p->result.mode;
	size_t ours_len, theirs_len;
	const uint8_t *ours = rbuf_blob(r, RECORD_MAX, &ours_len);
	const uint8_t *theirs = rbuf_blob(r, RECORD_MAX, &theirs_len);
	int e = 0;

	if (!p->peer_proven || !p->result_sent)
		return fail(err, "That device wants to conclude before its proof.");
	if (rbuf_end(r) < 0 || !ours_len != (mode != PAIRING_MODE_JOINED) ||
	    !theirs_len != (mode == PAIRING_MODE_ADOPTED))
		return fail(err, "The last message of that device is malformed.");
	if (mode == PAIRING_MODE_JOINED)
		e = own_record_take(p, ours, ours_len, err);
	if (e >= 0 && mode != PAIRING_MODE_ADOPTED)
		e = peer_record_take(p, theirs, theirs_len, err);
	if (e < 0)
		return e;
	stage_set(p, STAGE_DONE);
	return 0;
}

static int on_refused(struct pairing *p, struct rbuf *r, _unused_ uint64_t now,
		      _unused_ struct wbuf *out, struct kerr *err)
{
	static const char *const sentences[_PAIRING_WHY_MAX] = {
		[PAIRING_WHY_NO] = "The other one said no: the codes differ there. The devices are "
				   "not paired.",
		[PAIRING_WHY_GAVE_UP] = "The other one gave up; the devices are not paired.",
		[PAIRING_WHY_SLOW] =
			"The other one was too slow: nobody compared the code there in time.",
		[PAIRING_WHY_LATE] = "The code was not compared on this device in time.",
		[PAIRING_WHY_NOBODY] = "Nobody compared the code in time.",
	};
	uint8_t why = rbuf_u8(r);

	p->peer_refused = true;
	if (why < _PAIRING_WHY_MAX && sentences[why])
		return fail(err, sentences[why]);
	return refusal_get(r, err);
}

/* -- the machine -- */

#define IN(stage) (1u << (stage))
#define IN_ANY (IN(_STAGE_MAX) - 1)

static const struct message {
	enum pairing_message type;
	unsigned stages; /* in which it may arrive */
	int (*handle)(struct pairing *p, struct rbuf *r, uint64_t now, struct wbuf *out,
		      struct kerr *err);
} messages[] = {
	{PAIRING_COMMIT, IN(STAGE_WAIT_COMMIT), on_commit},
	{PAIRING_ANSWER, IN(STAGE_WAIT_ANSWER), on_answer},
	{PAIRING_REVEAL, IN(STAGE_WAIT_REVEAL), on_reveal},
	{PAIRING_CONFIRM, IN(STAGE_COMPARE), on_confirm},
	{PAIRING_PROOF, IN(STAGE_PROVE), on_proof},
	{PAIRING_RESULT, IN(STAGE_PROVE), on_result},
	{PAIRING_REFUSED, IN_ANY, on_refused},
};

static const struct message *message_find(const struct pairing *p, uint8_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (messages[i].type == type && (messages[i].stages & IN(p->stage)))
			return &messages[i];
	return NULL;
}

/* Takes one message off `r`. */
static int message_take(struct pairing *p, struct rbuf *r, uint64_t now, struct wbuf *out,
			struct kerr *err)
{
	uint8_t type = rbuf_u8(r), version = rbuf_u8(r);
	size_t len;
	const uint8_t *body = rbuf_blob(r, ATTEST_BLOB_MAX, &len);
	const struct message *m;
	struct rbuf b;

	if (rbuf_error(r) < 0)
		return fail(err, "A pairing message is malformed.");
	if (version != PAIRING_VERSION)
		return fail(err, "The other device speaks another version of pairing.");
	m = message_find(p, type);
	if (!m)
		return fail(err, "A pairing message came out of order.");
	b = rbuf_init(body, len);
	return m->handle(p, &b, now, out, err);
}

/* One failure ends the machine: nothing half-made is sent, secrets go. */
static void refuse(struct pairing *p, struct wbuf *out, size_t out_start, const struct kerr *cause)
{
	struct kerr ignored = {0};
	size_t start;

	p->error = *cause;
	kerr_set(&p->error, EIO, KCODE_FAILED, "Pairing failed inside this device.");
	sodium_memzero(p->challenge_secret, sizeof(p->challenge_secret));
	p->code[0] = '\0';
	stage_set(p, STAGE_REFUSED);
	out->len = out_start;
	out->error = 0;
	if (p->peer_refused)
		return;
	start = message_begin(out, PAIRING_REFUSED);
	wbuf_u8(out, (uint8_t)p->why);
	refusal_put(out, &p->error);
	if (message_end(out, start, &ignored) < 0) {
		out->len = out_start;
		out->error = 0;
	}
}

static enum conversation_state answer(const struct pairing *p, struct kerr *err)
{
	if (p->stage == STAGE_REFUSED)
		*err = p->error;
	return state_of(p);
}

static int expired(struct pairing *p, uint64_t now, struct kerr *err)
{
	if (p->stage == STAGE_DONE || now < p->deadline)
		return 0;
	if (p->stage != STAGE_COMPARE)
		return fail(err, "The other device did not finish in time.");
	if (p->confirmed)
		return fail_why(p, PAIRING_WHY_LATE, err,
				"The other one was too slow: nobody compared the code there in "
				"time.");
	if (p->peer_confirmed)
		return fail_why(p, PAIRING_WHY_SLOW, err,
				"The code was not compared on this device in time.");
	return fail_why(p, PAIRING_WHY_NOBODY, err, "Nobody compared the code in time.");
}

static int input_check(struct pairing *p, size_t len, uint64_t now, const struct wbuf *out,
		       struct kerr *err)
{
	if (wbuf_error(out) < 0)
		return kerr_set(err, EINVAL, KCODE_FAILED, "There is no room for an answer.");
	if (!len || len > ATTEST_BLOB_MAX)
		return fail(err, "A pairing message has an impossible size.");
	return expired(p, now, err);
}

enum conversation_state pairing_start(struct pairing *p, struct wbuf *out, struct kerr *err)
{
	size_t out_start = out->len, start;
	struct kerr cause = {0};
	int r = 0;

	if (p->stage == STAGE_REFUSED)
		return answer(p, err);
	if (p->stage != STAGE_NEW) {
		r = fail(&cause, "This pairing was started twice.");
	} else if (!p->config.initiator) {
		stage_set(p, STAGE_WAIT_COMMIT);
	} else {
		pairing_commitment(&p->own, p->commitment);
		start = message_begin(out, PAIRING_COMMIT);
		wbuf_bytes(out, p->commitment, sizeof(p->commitment));
		r = message_end(out, start, &cause);
		stage_set(p, STAGE_WAIT_ANSWER);
	}
	if (r < 0)
		refuse(p, out, out_start, &cause);
	return answer(p, err);
}

enum conversation_state pairing_step(struct pairing *p, const uint8_t *data, size_t len,
				     uint64_t now_ms, struct wbuf *out, struct kerr *err)
{
	struct rbuf r = rbuf_init(data, len);
	size_t out_start = out->len;
	struct kerr cause = {0};
	int e;

	if (p->stage == STAGE_REFUSED)
		return answer(p, err);
	e = input_check(p, len, now_ms, out, &cause);
	while (e >= 0 && r.left)
		e = message_take(p, &r, now_ms, out, &cause);
	if (e < 0)
		refuse(p, out, out_start, &cause);
	return answer(p, err);
}

enum conversation_state pairing_owner(struct pairing *p, bool same_code, uint64_t now_ms,
				      struct wbuf *out, struct kerr *err)
{
	size_t out_start = out->len;
	struct kerr cause = {0};
	int r;

	if (p->stage == STAGE_REFUSED || p->stage == STAGE_DONE)
		return answer(p, err);
	r = expired(p, now_ms, &cause);
	if (r >= 0 && !same_code)
		r = fail_why(p, PAIRING_WHY_NO, &cause,
			     "You said that the codes differ; the devices are not paired.");
	/* A yes counts only while a code is shown, and once. */
	if (r >= 0 && p->stage == STAGE_COMPARE && !p->confirmed) {
		p->confirmed = true;
		r = confirm_send(p, out, &cause);
		if (r >= 0)
			r = confirmed_both(p, now_ms, out, &cause);
	}
	if (r < 0)
		refuse(p, out, out_start, &cause);
	return answer(p, err);
}

enum conversation_state pairing_stop(struct pairing *p, struct wbuf *out, struct kerr *err)
{
	struct kerr cause = {0};

	if (p->stage != STAGE_REFUSED && p->stage != STAGE_DONE) {
		fail_why(p, PAIRING_WHY_GAVE_UP, &cause,
			 "Pairing was stopped on this device; the devices are not paired.");
		refuse(p, out, out->len, &cause);
	}
	return answer(p, err);
}

enum conversation_state pairing_poll(struct pairing *p, uint64_t now_ms, struct wbuf *out,
				     struct kerr *err)
{
	struct kerr cause = {0};

	if (p->stage != STAGE_REFUSED && expired(p, now_ms, &cause) < 0)
		refuse(p, out, out->len, &cause);
	return answer(p, err);
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
	p->deadline = now_ms + PAIRING_CONFIRM_MS;
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
	return p->stage == STAGE_DONE ? &p->result : NULL;
}
