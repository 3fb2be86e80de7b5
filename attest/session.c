/* SPDX-License-Identifier: Apache-2.0 */
/* The attested exchange: hello, evidence, evidence with a sealed offer, sealed answer. */
#include "attest/session.h"

#include "attest/exchange.h"
#include "base/box.h"

#define SESSION_VERSION 1
#define ANSWER_MAX (1 + 2 + 2 + KERR_TEXT_MAX)

/* Blobs: u8 type, u8 version, then what the comment says. */
enum session_message {
	SESSION_HELLO = 1, /* S: nonce32, eph32 */
	SESSION_EVIDENCE,  /* D: nonce32, eph32, evidence */
	SESSION_OFFER,	   /* S: blob evidence, sealed offer */
	SESSION_ANSWER,	   /* D: sealed (u8 accepted, kerr if not) */
	SESSION_REFUSED,   /* both: kerr */
};

enum stage {
	STAGE_NEW,	     /* source */
	STAGE_WAIT_HELLO,    /* destination */
	STAGE_WAIT_EVIDENCE, /* source */
	STAGE_WAIT_OFFER,    /* destination */
	STAGE_WAIT_ANSWER,   /* source */
	STAGE_DONE,
	STAGE_REFUSED,
	_STAGE_MAX,
};

static const struct exchange_stage stages[_STAGE_MAX] = {
	[STAGE_NEW] = {"new", CONVERSATION_SEND},
	[STAGE_WAIT_HELLO] = {"wait-hello", CONVERSATION_SEND},
	[STAGE_WAIT_EVIDENCE] = {"wait-evidence", CONVERSATION_SEND},
	[STAGE_WAIT_OFFER] = {"wait-offer", CONVERSATION_SEND},
	[STAGE_WAIT_ANSWER] = {"wait-answer", CONVERSATION_SEND},
	[STAGE_DONE] = {"done", CONVERSATION_DONE},
	[STAGE_REFUSED] = {"refused", CONVERSATION_REFUSED},
};

struct hello {
	uint8_t nonce[ATTEST_NONCE_LEN];
	uint8_t eph[crypto_scalarmult_BYTES];
};

struct session_keys {
	uint8_t ephemeral[SESSION_KEY_LEN]; /* own X25519 scalar */
	uint8_t shared[SESSION_KEY_LEN], data[SESSION_KEY_LEN];
};

struct session {
	struct session_config config;
	const struct session_ops *ops;
	void *ctx;
	struct exchange x;
	bool offer_opened; /* destination: a refusal is for the source alone from here on */

	struct hello own, peer;
	/* Hash over all that was said: each message extends it. */
	uint8_t transcript[HASH_LEN];
	struct secret locked; /* where the keys are */
	struct session_keys *keys;
};

static int session_malformed(struct session *s)
{
	return exchange_fail(&s->x, "A message of the hand-off is malformed.");
}

/* -- transcript and keys -- */

static void transcript_begin(struct session *s)
{
	static const char *const labels[_SESSION_PURPOSE_MAX] = {
		[SESSION_HANDOFF] = "kith-session-v1",
		[SESSION_CONSOLE] = "kith-console-v1",
	};
	const struct session_config *c = &s->config;
	struct digest d;

	digest_begin(&d, labels[c->purpose]);
	digest_field(&d, c->hid, sizeof(c->hid));
	digest_field(&d, c->exporter, sizeof(c->exporter));
	digest_field(&d, c->source ? c->own : c->peer, DEVICE_ID_LEN);
	digest_field(&d, c->source ? c->peer : c->own, DEVICE_ID_LEN);
	digest_end(&d, s->transcript);
}

static void transcript_add(struct session *s, const void *data, size_t len)
{
	struct digest d;

	digest_begin(&d, "kith-session-step-v1");
	digest_field(&d, s->transcript, sizeof(s->transcript));
	digest_field(&d, data, len);
	digest_end(&d, s->transcript);
}

/* Adds what was written from `start` on. */
static void transcript_said(struct session *s, size_t start)
{
	transcript_add(s, s->x.out->data + start, s->x.out->len - start);
}

/* BLAKE2b-256 keyed with the X25519 secret over label and transcript. */
static void key_derive(const struct session *s, const char *label, uint8_t ret[SESSION_KEY_LEN])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, s->keys->shared, SESSION_KEY_LEN, SESSION_KEY_LEN);
	crypto_generichash_update(&state, (const uint8_t *)label, strlen(label) + 1);
	crypto_generichash_update(&state, s->transcript, sizeof(s->transcript));
	crypto_generichash_final(&state, ret, SESSION_KEY_LEN);
	sodium_memzero(&state, sizeof(state));
}

/* X25519 (RFC 7748); a point of low order would fix the secret, so it is refused (section 6.1). */
static int secret_agree(struct session *s)
{
	if (crypto_scalarmult(s->keys->shared, s->keys->ephemeral, s->peer.eph) != 0)
		return exchange_fail(&s->x, "The other device offers a weak key.");
	sodium_memzero(s->keys->ephemeral, SESSION_KEY_LEN);
	return 0;
}

/* What is written in between goes into a box where it stands, and into the transcript. */
static size_t seal_begin(struct session *s)
{
	static const uint8_t nonce[BOX_NONCE_LEN];

	wbuf_bytes(s->x.out, nonce, sizeof(nonce));
	return s->x.out->len;
}

static int seal_end(struct session *s, const char *label, size_t start)
{
	static const uint8_t tag[BOX_OVERHEAD - BOX_NONCE_LEN];
	size_t len = s->x.out->len - start;
	uint8_t key[SESSION_KEY_LEN], *at = s->x.out->data + start;
	int r;

	wbuf_bytes(s->x.out, tag, sizeof(tag));
	r = exchange_message_end(&s->x);
	if (r < 0)
		return r;
	key_derive(s, label, key);
	box_seal(key, NULL, 0, at, len, at - BOX_NONCE_LEN);
	sodium_memzero(key, sizeof(key));
	transcript_said(s, start - BOX_NONCE_LEN);
	return 0;
}

/* Opens the rest of `r`; `plain` has room for r->left bytes. */
static int seal_get(struct session *s, const char *label, const struct rbuf *r, uint8_t *plain,
		    size_t *ret_len)
{
	uint8_t key[SESSION_KEY_LEN];
	int e;

	key_derive(s, label, key);
	e = box_open(key, NULL, 0, r->data, r->left, plain);
	sodium_memzero(key, sizeof(key));
	if (e < 0)
		return e;
	transcript_add(s, r->data, r->left);
	*ret_len = r->left - BOX_OVERHEAD;
	return 0;
}

/* -- evidence -- */

static struct evidence_binding binding_of(const struct session *s, enum evidence_role role)
{
	bool source = s->config.source;
	const struct hello *from = source ? &s->own : &s->peer, *to = source ? &s->peer : &s->own;
	struct evidence_binding b = {.role = role};

	memcpy(b.exporter, s->config.exporter, sizeof(b.exporter));
	memcpy(b.source, source ? s->config.own : s->config.peer, sizeof(b.source));
	memcpy(b.destination, source ? s->config.peer : s->config.own, sizeof(b.destination));
	memcpy(b.nonce_source, from->nonce, sizeof(b.nonce_source));
	memcpy(b.nonce_destination, to->nonce, sizeof(b.nonce_destination));
	memcpy(b.eph_source, from->eph, sizeof(b.eph_source));
	memcpy(b.eph_destination, to->eph, sizeof(b.eph_destination));
	memcpy(b.hid, s->config.hid, sizeof(b.hid));
	return b;
}

static int quote_put(struct session *s, enum evidence_role role)
{
	struct evidence_binding binding = binding_of(s, role);

	return exchange_evidence_put(&s->x, s->ops->quote, s->ctx, &binding);
}

/* Everything but TRUSTED ends the hand-off, with or without a reason (B12). */
static int peer_judge(struct session *s, enum evidence_role role, const uint8_t *data, size_t len)
{
	struct evidence_binding binding = binding_of(s, role);
	struct evidence ev = {0};
	struct rbuf r = rbuf_init(data, len);
	uint8_t qualifying[HASH_LEN];
	enum verdict verdict;

	if (evidence_get(&r, &ev) < 0)
		return exchange_fail(&s->x, "The evidence of the other device is malformed.");
	evidence_qualifying(&binding, &ev, qualifying);
	verdict = s->ops->judge(s->ctx, &ev, qualifying, &s->x.error);
	if (verdict == VERDICT_TRUSTED)
		return 0;
	return kerr_set(&s->x.error, EACCES, KCODE_ATTEST_ERROR,
			"The evidence of the other device could not be judged (%s).",
			verdict_to_string(verdict));
}

/* -- messages -- */

static void hello_put(struct session *s, uint8_t type)
{
	exchange_message_begin(&s->x, type);
	wbuf_bytes(s->x.out, s->own.nonce, sizeof(s->own.nonce));
	wbuf_bytes(s->x.out, s->own.eph, sizeof(s->own.eph));
}

static int hello_get(struct session *s, struct rbuf *r)
{
	rbuf_bytes(r, s->peer.nonce, sizeof(s->peer.nonce));
	rbuf_bytes(r, s->peer.eph, sizeof(s->peer.eph));
	if (rbuf_error(r) < 0)
		return session_malformed(s);
	if (memcmp(s->peer.nonce, s->own.nonce, sizeof(s->own.nonce)) == 0 ||
	    memcmp(s->peer.eph, s->own.eph, sizeof(s->own.eph)) == 0)
		return kerr_set(&s->x.error, EACCES, KCODE_ATTEST_REPLAY,
				"The other device sends this device's own message back.");
	if (s->ops->seen(s->ctx, s->config.source ? NULL : s->config.hid, s->peer.nonce))
		return kerr_set(&s->x.error, EACCES, KCODE_ATTEST_REPLAY,
				"This hand-off, or a message of it, was seen before.");
	return 0;
}

/* Source: blob 1 out. */
static int hello_send(struct session *s)
{
	hello_put(s, SESSION_HELLO);
	transcript_said(s, s->x.body);
	exchange_stage_set(&s->x, STAGE_WAIT_EVIDENCE);
	return exchange_message_end(&s->x);
}

/* Destination: blob 1 in, blob 2 out. */
static int on_hello(void *self, struct rbuf *r)
{
	struct session *s = self;
	const struct rbuf body = *r;
	int e = hello_get(s, r);

	if (e < 0)
		return e;
	if (rbuf_end(r) < 0)
		return session_malformed(s);
	e = secret_agree(s);
	if (e < 0)
		return e;
	transcript_add(s, body.data, body.left);
	hello_put(s, SESSION_EVIDENCE);
	e = quote_put(s, EVIDENCE_ROLE_DESTINATION);
	if (e < 0)
		return e;
	transcript_said(s, s->x.body);
	exchange_stage_set(&s->x, STAGE_WAIT_OFFER);
	return exchange_message_end(&s->x);
}

static int offer_put(struct session *s)
{
	struct wbuf *out = s->x.out;
	size_t start = seal_begin(s), left = out->size - out->len;
	struct wbuf w = wbuf_init(out->data + start, MIN_OF(left, (size_t)SESSION_OFFER_MAX));
	int r = s->ops->offer(s->ctx, &w, &s->x.error);

	out->len += w.len;
	if (r < 0)
		return r;
	if (wbuf_error(&w) < 0)
		return exchange_no_room(&s->x);
	return seal_end(s, "kith-session-offer-v1", start);
}

/* Source: blob 2 in, blob 3 out. Nothing about the VM is said before the verdict (S1-11). */
static int on_evidence(void *self, struct rbuf *r)
{
	struct session *s = self;
	const struct rbuf body = *r;
	size_t evidence;
	int e = hello_get(s, r);

	if (e >= 0)
		e = secret_agree(s);
	if (e >= 0)
		e = peer_judge(s, EVIDENCE_ROLE_DESTINATION, r->data, r->left);
	if (e < 0)
		return e;
	transcript_add(s, body.data, body.left);
	exchange_message_begin(&s->x, SESSION_OFFER);
	evidence = exchange_length_begin(&s->x);
	e = quote_put(s, EVIDENCE_ROLE_SOURCE);
	if (e < 0)
		return e;
	exchange_length_end(&s->x, evidence);
	transcript_said(s, s->x.body);
	exchange_stage_set(&s->x, STAGE_WAIT_ANSWER);
	return offer_put(s);
}

static int answer_put(struct session *s, const struct kerr *refusal)
{
	size_t start;

	exchange_message_begin(&s->x, SESSION_ANSWER);
	start = seal_begin(s);
	wbuf_u8(s->x.out, !refusal);
	if (refusal)
		kerr_put(s->x.out, refusal);
	return seal_end(s, "kith-session-answer-v1", start);
}

static void session_done(struct session *s)
{
	key_derive(s, "kith-session-data-v1", s->keys->data);
	sodium_memzero(s->keys->shared, SESSION_KEY_LEN);
	exchange_stage_set(&s->x, STAGE_DONE);
}

static int offer_get(struct session *s, struct rbuf *r, uint8_t **ret, size_t *ret_len)
{
	_cleanup_free_ uint8_t *plain = NULL;

	if (r->left > SESSION_OFFER_MAX + BOX_OVERHEAD)
		return exchange_fail(&s->x, "The offer of the other device is too large.");
	plain = malloc(r->left + 1);
	if (!plain)
		return -ENOMEM;
	if (seal_get(s, "kith-session-offer-v1", r, plain, ret_len) < 0)
		return kerr_set(&s->x.error, EBADMSG, KCODE_ATTEST_BINDING,
				"The offer was not sealed for this hand-off and channel.");
	*ret = TAKE_PTR(plain);
	return 0;
}

/* Destination: blob 3 in, blob 4 out. A refusal of the offer itself is told sealed. */
static int on_offer(void *self, struct rbuf *r)
{
	struct session *s = self;
	_cleanup_free_ uint8_t *offer = NULL;
	const uint8_t *body = r->data, *evidence;
	size_t len = 0, evidence_len;
	int e;

	evidence = rbuf_blob(r, EVIDENCE_MAX, &evidence_len);
	if (!evidence)
		return session_malformed(s);
	e = peer_judge(s, EVIDENCE_ROLE_SOURCE, evidence, evidence_len);
	if (e < 0)
		return e;
	transcript_add(s, body, 4 + evidence_len);
	e = offer_get(s, r, &offer, &len);
	if (e < 0)
		return e;
	s->offer_opened = true;
	e = s->ops->accept(s->ctx, offer, len, &s->x.error);
	sodium_memzero(offer, len);
	if (e >= 0)
		e = answer_put(s, NULL);
	if (e >= 0)
		session_done(s);
	return e;
}

/* Source: blob 4 in. */
static int on_answer(void *self, struct rbuf *r)
{
	struct session *s = self;
	uint8_t plain[ANSWER_MAX], accepted;
	struct rbuf p;
	size_t len;

	if (r->left > sizeof(plain) + BOX_OVERHEAD)
		return session_malformed(s);
	if (seal_get(s, "kith-session-answer-v1", r, plain, &len) < 0)
		return kerr_set(&s->x.error, EBADMSG, KCODE_ATTEST_BINDING,
				"The answer was not sealed for this hand-off and channel.");
	p = rbuf_init(plain, len);
	accepted = rbuf_u8(&p);
	if (rbuf_error(&p) == 0 && accepted == 0)
		return exchange_refused(&s->x, &p);
	if (rbuf_end(&p) < 0 || accepted != 1)
		return session_malformed(s);
	session_done(s);
	return 0;
}

static int on_refused(void *self, struct rbuf *r)
{
	return exchange_refused(&((struct session *)self)->x, r);
}

/* -- the machine -- */

static int session_late(void *self)
{
	return kerr_set(&((struct session *)self)->x.error, ETIME, KCODE_ATTEST_REPLAY,
			"The proof of what both devices run took too long and is no longer fresh.");
}

static int session_refusal(void *self)
{
	struct session *s = self;

	if (s->offer_opened && s->x.stage == STAGE_WAIT_OFFER)
		return answer_put(s, &s->x.error);
	exchange_message_begin(&s->x, SESSION_REFUSED);
	kerr_put(s->x.out, &s->x.error);
	return exchange_message_end(&s->x);
}

static void session_wipe(void *self)
{
	struct session *s = self;

	sodium_memzero(s->keys, sizeof(*s->keys));
}

static const struct exchange_message messages[] = {
	{SESSION_HELLO, EXCHANGE_IN(STAGE_WAIT_HELLO), on_hello},
	{SESSION_EVIDENCE, EXCHANGE_IN(STAGE_WAIT_EVIDENCE), on_evidence},
	{SESSION_OFFER, EXCHANGE_IN(STAGE_WAIT_OFFER), on_offer},
	{SESSION_ANSWER, EXCHANGE_IN(STAGE_WAIT_ANSWER), on_answer},
	{SESSION_REFUSED, EXCHANGE_IN_ANY, on_refused},
};

static const struct exchange_kind session_kind = {
	.name = "session",
	.version = SESSION_VERSION,
	.code = KCODE_BAD_MESSAGE,
	.refused = STAGE_REFUSED,
	.stages = stages,
	.messages = messages,
	.message_count = ARRAY_SIZE(messages),
	.malformed = "A message of the hand-off is malformed.",
	.other_version = "The other device speaks another version of the hand-off.",
	.out_of_order = "A message of the hand-off came out of order.",
	.bad_size = "A message of the hand-off has an impossible size.",
	.no_room = "The message for the other device is too large.",
	.failed = "The hand-off failed inside this device.",
	.late = session_late,
	.refusal = session_refusal,
	.wipe = session_wipe,
};

enum conversation_state session_start(struct session *s, struct wbuf *out, struct kerr *err)
{
	int r = exchange_begin(&s->x, out);

	if (r >= 0 && s->x.stage != STAGE_NEW)
		r = exchange_fail(&s->x, "This hand-off was started twice, or by the wrong side.");
	if (r >= 0)
		r = hello_send(s);
	return exchange_end(&s->x, r, err);
}

enum conversation_state session_step(struct session *s, const uint8_t peer[DEVICE_ID_LEN],
				     const uint8_t exporter[EXPORTER_LEN], const uint8_t *data,
				     size_t len, uint64_t now_ms, struct wbuf *out,
				     struct kerr *err)
{
	int r = exchange_begin(&s->x, out);

	if (r >= 0 && (memcmp(peer, s->config.peer, DEVICE_ID_LEN) != 0 ||
		       sodium_memcmp(exporter, s->config.exporter, EXPORTER_LEN) != 0))
		r = kerr_set(&s->x.error, EACCES, KCODE_ATTEST_BINDING,
			     "A message of the hand-off came over another channel or from another "
			     "device.");
	if (r >= 0)
		r = exchange_take(&s->x, data, len, now_ms);
	return exchange_end(&s->x, r, err);
}

static bool ops_valid(const struct session_config *config, const struct session_ops *ops)
{
	return ops->quote && ops->judge && ops->seen &&
	       (config->source ? !!ops->offer : !!ops->accept);
}

int session_new(const struct session_config *config, const struct session_ops *ops, void *ctx,
		uint64_t now_ms, struct session **ret)
{
	_cleanup_(session_freep) struct session *s = NULL;
	int r;

	if (!ops_valid(config, ops) || memcmp(config->own, config->peer, DEVICE_ID_LEN) == 0)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->config = *config;
	s->ops = ops;
	s->ctx = ctx;
	exchange_init(&s->x, &session_kind, s, config->source ? STAGE_NEW : STAGE_WAIT_HELLO,
		      now_ms + SESSION_MAX_MS);
	r = secret_new(sizeof(*s->keys), &s->locked);
	if (r < 0)
		return r;
	s->keys = (struct session_keys *)s->locked.data;
	randombytes_buf(s->own.nonce, sizeof(s->own.nonce));
	randombytes_buf(s->keys->ephemeral, SESSION_KEY_LEN);
	if (crypto_scalarmult_base(s->own.eph, s->keys->ephemeral) != 0)
		return -EIO;
	transcript_begin(s);
	*ret = TAKE_PTR(s);
	return 0;
}

struct session *session_free(struct session *s)
{
	if (s) {
		secret_clear(&s->locked);
		sodium_memzero(s, sizeof(*s));
		free(s);
	}
	return NULL;
}

int session_data_key(const struct session *s, struct secret *ret)
{
	if (s->x.stage != STAGE_DONE)
		return -EACCES;
	return secret_from(s->keys->data, SESSION_KEY_LEN, ret);
}
