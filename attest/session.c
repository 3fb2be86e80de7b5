/* SPDX-License-Identifier: Apache-2.0 */
/* The attested exchange: hello, evidence, evidence with a sealed offer, sealed answer. */
#include "attest/session.h"

#include "base/log.h"

#define SESSION_VERSION 1
#define SEAL_NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define SEAL_TAG crypto_aead_xchacha20poly1305_ietf_ABYTES
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

static const char *const stage_names[_STAGE_MAX] = {
	[STAGE_NEW] = "new",
	[STAGE_WAIT_HELLO] = "wait-hello",
	[STAGE_WAIT_EVIDENCE] = "wait-evidence",
	[STAGE_WAIT_OFFER] = "wait-offer",
	[STAGE_WAIT_ANSWER] = "wait-answer",
	[STAGE_DONE] = "done",
	[STAGE_REFUSED] = "refused",
};

struct hello {
	uint8_t nonce[ATTEST_NONCE_LEN];
	uint8_t eph[crypto_scalarmult_BYTES];
};

struct session {
	struct session_config config;
	const struct session_ops *ops;
	void *ctx;
	enum stage stage;
	uint64_t deadline;
	struct kerr error;

	bool offer_opened; /* destination: a refusal is for the source alone from here on */
	bool peer_refused; /* so it need not be told */

	struct hello own, peer;
	/* Hash over all that was said: each message extends it. */
	uint8_t transcript[HASH_LEN];
	/* [0] own X25519 scalar, [1] shared secret, [2] data key, SESSION_KEY_LEN each. */
	struct secret keys;
};

#define KEY_EPHEMERAL 0
#define KEY_SHARED 1
#define KEY_DATA 2
#define KEY_COUNT 3

static uint8_t *key_at(const struct session *s, unsigned which)
{
	return s->keys.data + (size_t)which * SESSION_KEY_LEN;
}

static int fail(struct kerr *err, const char *sentence)
{
	return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "%s", sentence);
}

static void stage_set(struct session *s, enum stage stage)
{
	log_debug("session", "%s -> %s", stage_names[s->stage], stage_names[stage]);
	s->stage = stage;
}

static enum conversation_state state_of(const struct session *s)
{
	switch (s->stage) {
	case STAGE_NEW:
	case STAGE_WAIT_HELLO:
	case STAGE_WAIT_EVIDENCE:
	case STAGE_WAIT_OFFER:
	case STAGE_WAIT_ANSWER:
		return CONVERSATION_SEND;
	case STAGE_DONE:
		return CONVERSATION_DONE;
	case STAGE_REFUSED:
	case _STAGE_MAX:
		break;
	}
	return CONVERSATION_REFUSED;
}

/* -- transcript and keys -- */

static void transcript_begin(struct session *s)
{
	const struct session_config *c = &s->config;
	struct digest d;

	digest_begin(&d, "kith-session-v1");
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

/* BLAKE2b-256 keyed with the X25519 secret over label and transcript. */
static void key_derive(const struct session *s, const char *label, uint8_t ret[SESSION_KEY_LEN])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, key_at(s, KEY_SHARED), SESSION_KEY_LEN, SESSION_KEY_LEN);
	crypto_generichash_update(&state, (const uint8_t *)label, strlen(label) + 1);
	crypto_generichash_update(&state, s->transcript, sizeof(s->transcript));
	crypto_generichash_final(&state, ret, SESSION_KEY_LEN);
	sodium_memzero(&state, sizeof(state));
}

/* X25519 (RFC 7748); a point of low order would fix the secret, so it is refused (section 6.1). */
static int secret_agree(struct session *s, struct kerr *err)
{
	if (crypto_scalarmult(key_at(s, KEY_SHARED), key_at(s, KEY_EPHEMERAL), s->peer.eph) != 0)
		return fail(err, "The other device offers a weak key.");
	sodium_memzero(key_at(s, KEY_EPHEMERAL), SESSION_KEY_LEN);
	return 0;
}

/* Appends nonce and ciphertext, and adds them to the transcript. */
static int seal_put(struct session *s, const char *label, const uint8_t *plain, size_t len,
		    struct wbuf *out)
{
	uint8_t key[SESSION_KEY_LEN], nonce[SEAL_NONCE];
	_cleanup_free_ uint8_t *sealed = malloc(len + SEAL_TAG);
	size_t start = out->len;

	if (!sealed)
		return -ENOMEM;
	key_derive(s, label, key);
	randombytes_buf(nonce, sizeof(nonce));
	crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, NULL, plain, len, NULL, 0, NULL, nonce,
						   key);
	sodium_memzero(key, sizeof(key));
	wbuf_bytes(out, nonce, sizeof(nonce));
	wbuf_bytes(out, sealed, len + SEAL_TAG);
	if (wbuf_error(out) < 0)
		return wbuf_error(out);
	transcript_add(s, out->data + start, out->len - start);
	return 0;
}

/* Opens the rest of `r`; `plain` has room for r->left bytes. */
static int seal_get(struct session *s, const char *label, struct rbuf *r, uint8_t *plain,
		    size_t *ret_len)
{
	const uint8_t *nonce = rbuf_view(r, SEAL_NONCE);
	size_t len = r->left;
	const uint8_t *sealed = rbuf_view(r, len);
	uint8_t key[SESSION_KEY_LEN];
	unsigned long long plain_len = 0;
	int bad;

	if (rbuf_error(r) < 0 || len < SEAL_TAG)
		return -EBADMSG;
	key_derive(s, label, key);
	bad = crypto_aead_xchacha20poly1305_ietf_decrypt(plain, &plain_len, NULL, sealed, len, NULL,
							 0, nonce, key);
	sodium_memzero(key, sizeof(key));
	if (bad)
		return -EBADMSG;
	transcript_add(s, nonce, SEAL_NONCE + len);
	*ret_len = (size_t)plain_len;
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

static int quote_put(struct session *s, enum evidence_role role, struct wbuf *out, struct kerr *err)
{
	struct evidence_binding binding = binding_of(s, role);
	_cleanup_evidence_ struct evidence ev = {0};
	int r = s->ops->quote(s->ctx, &binding, &ev, err);

	if (r < 0)
		return r;
	r = evidence_put(out, &ev);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "This device's evidence is too large.");
	return 0;
}

/* Everything but TRUSTED ends the hand-off, with or without a reason (B12). */
static int peer_judge(struct session *s, enum evidence_role role, const uint8_t *data, size_t len,
		      struct kerr *err)
{
	struct evidence_binding binding = binding_of(s, role);
	_cleanup_evidence_ struct evidence ev = {0};
	struct rbuf r = rbuf_init(data, len);
	uint8_t qualifying[HASH_LEN];
	enum verdict verdict;

	if (evidence_get(&r, &ev) < 0)
		return fail(err, "The evidence of the other device is malformed.");
	evidence_qualifying(&binding, &ev, qualifying);
	verdict = s->ops->judge(s->ctx, &ev, qualifying, err);
	if (verdict == VERDICT_TRUSTED)
		return 0;
	return kerr_set(err, EACCES, KCODE_ATTEST_ERROR,
			"The evidence of the other device could not be judged (%s).",
			verdict_to_string(verdict));
}

/* -- messages -- */

static void message_begin(struct wbuf *out, enum session_message type)
{
	wbuf_u8(out, (uint8_t)type);
	wbuf_u8(out, SESSION_VERSION);
}

static int room_check(const struct wbuf *out, struct kerr *err)
{
	if (wbuf_error(out) < 0)
		return kerr_set(err, ENOBUFS, KCODE_FAILED,
				"The message for the other device is too large.");
	return 0;
}

static void hello_put(struct session *s, struct wbuf *out)
{
	wbuf_bytes(out, s->own.nonce, sizeof(s->own.nonce));
	wbuf_bytes(out, s->own.eph, sizeof(s->own.eph));
}

static int hello_get(struct session *s, struct rbuf *r, struct kerr *err)
{
	rbuf_bytes(r, s->peer.nonce, sizeof(s->peer.nonce));
	rbuf_bytes(r, s->peer.eph, sizeof(s->peer.eph));
	if (rbuf_error(r) < 0)
		return fail(err, "A message of the hand-off is malformed.");
	if (memcmp(s->peer.nonce, s->own.nonce, sizeof(s->own.nonce)) == 0 ||
	    memcmp(s->peer.eph, s->own.eph, sizeof(s->own.eph)) == 0)
		return kerr_set(err, EACCES, KCODE_ATTEST_REPLAY,
				"The other device sends this device's own message back.");
	if (s->ops->seen(s->ctx, s->config.source ? NULL : s->config.hid, s->peer.nonce))
		return kerr_set(err, EACCES, KCODE_ATTEST_REPLAY,
				"This hand-off, or a message of it, was seen before.");
	return 0;
}

/* Destination: blob 1 in, blob 2 out. */
static int on_hello(struct session *s, struct rbuf *r, struct wbuf *out, struct kerr *err)
{
	const uint8_t *body = r->data;
	size_t len = r->left, start;
	int e = hello_get(s, r, err);

	if (e < 0)
		return e;
	if (rbuf_end(r) < 0)
		return fail(err, "A message of the hand-off is malformed.");
	e = secret_agree(s, err);
	if (e < 0)
		return e;
	transcript_add(s, body, len);
	message_begin(out, SESSION_EVIDENCE);
	start = out->len;
	hello_put(s, out);
	e = quote_put(s, EVIDENCE_ROLE_DESTINATION, out, err);
	if (e < 0)
		return e;
	transcript_add(s, out->data + start, out->len - start);
	stage_set(s, STAGE_WAIT_OFFER);
	return room_check(out, err);
}

/* Appends this device's evidence as a blob and adds it to the transcript. */
static int evidence_blob_put(struct session *s, struct wbuf *out, struct kerr *err)
{
	size_t prefix_at = out->len;
	struct wbuf prefix;
	int r;

	wbuf_u32(out, 0);
	r = quote_put(s, EVIDENCE_ROLE_SOURCE, out, err);
	if (r < 0)
		return r;
	prefix = wbuf_init(out->data + prefix_at, 4);
	wbuf_u32(&prefix, (uint32_t)(out->len - prefix_at - 4));
	transcript_add(s, out->data + prefix_at, out->len - prefix_at);
	return 0;
}

static int offer_put(struct session *s, struct wbuf *out, struct kerr *err)
{
	_cleanup_free_ uint8_t *plain = malloc(SESSION_OFFER_MAX);
	struct wbuf w = wbuf_init(plain, SESSION_OFFER_MAX);
	int r;

	if (!plain)
		return -ENOMEM;
	r = s->ops->offer(s->ctx, &w, err);
	if (r < 0)
		return r;
	r = room_check(&w, err);
	if (r >= 0)
		r = seal_put(s, "kith-session-offer-v1", plain, w.len, out);
	sodium_memzero(plain, w.len);
	return r;
}

/* Source: blob 2 in, blob 3 out. Nothing about the VM is said before the verdict (S1-11). */
static int on_evidence(struct session *s, struct rbuf *r, struct wbuf *out, struct kerr *err)
{
	const uint8_t *body = r->data;
	size_t len = r->left;
	int e = hello_get(s, r, err);

	if (e >= 0)
		e = secret_agree(s, err);
	if (e >= 0)
		e = peer_judge(s, EVIDENCE_ROLE_DESTINATION, r->data, r->left, err);
	if (e < 0)
		return e;
	transcript_add(s, body, len);
	message_begin(out, SESSION_OFFER);
	e = evidence_blob_put(s, out, err);
	if (e >= 0)
		e = offer_put(s, out, err);
	if (e < 0)
		return e;
	stage_set(s, STAGE_WAIT_ANSWER);
	return room_check(out, err);
}

static int answer_put(struct session *s, const struct kerr *refusal, struct wbuf *out)
{
	uint8_t plain[ANSWER_MAX];
	struct wbuf w = wbuf_init(plain, sizeof(plain));

	wbuf_u8(&w, !refusal);
	if (refusal)
		refusal_put(&w, refusal);
	message_begin(out, SESSION_ANSWER);
	return seal_put(s, "kith-session-answer-v1", plain, w.len, out);
}

static void done(struct session *s)
{
	key_derive(s, "kith-session-data-v1", key_at(s, KEY_DATA));
	sodium_memzero(key_at(s, KEY_SHARED), SESSION_KEY_LEN);
	stage_set(s, STAGE_DONE);
}

static int offer_get(struct session *s, struct rbuf *r, uint8_t **ret, size_t *ret_len,
		     struct kerr *err)
{
	_cleanup_free_ uint8_t *plain = NULL;

	if (r->left > SEAL_NONCE + SESSION_OFFER_MAX + SEAL_TAG)
		return fail(err, "The offer of the other device is too large.");
	plain = malloc(r->left + 1);
	if (!plain)
		return -ENOMEM;
	if (seal_get(s, "kith-session-offer-v1", r, plain, ret_len) < 0)
		return kerr_set(err, EBADMSG, KCODE_ATTEST_BINDING,
				"The offer was not sealed for this hand-off and channel.");
	*ret = TAKE_PTR(plain);
	return 0;
}

/* Destination: blob 3 in, blob 4 out. A refusal of the offer itself is told sealed. */
static int on_offer(struct session *s, struct rbuf *r, struct wbuf *out, struct kerr *err)
{
	_cleanup_free_ uint8_t *offer = NULL;
	const uint8_t *body = r->data, *evidence;
	size_t len = 0, evidence_len;
	int e;

	evidence = rbuf_blob(r, EVIDENCE_MAX, &evidence_len);
	if (!evidence)
		return fail(err, "A message of the hand-off is malformed.");
	e = peer_judge(s, EVIDENCE_ROLE_SOURCE, evidence, evidence_len, err);
	if (e < 0)
		return e;
	transcript_add(s, body, 4 + evidence_len);
	e = offer_get(s, r, &offer, &len, err);
	if (e < 0)
		return e;
	s->offer_opened = true;
	e = s->ops->accept(s->ctx, offer, len, err);
	sodium_memzero(offer, len);
	if (e >= 0)
		e = answer_put(s, NULL, out);
	if (e >= 0)
		done(s);
	return e;
}

/* Source: blob 4 in. */
static int on_answer(struct session *s, struct rbuf *r, _unused_ struct wbuf *out, struct kerr *err)
{
	uint8_t plain[ANSWER_MAX], accepted;
	struct rbuf p;
	size_t len;

	if (r->left > SEAL_NONCE + sizeof(plain) + SEAL_TAG)
		return fail(err, "A message of the hand-off is malformed.");
	if (seal_get(s, "kith-session-answer-v1", r, plain, &len) < 0)
		return kerr_set(err, EBADMSG, KCODE_ATTEST_BINDING,
				"The answer was not sealed for this hand-off and channel.");
	p = rbuf_init(plain, len);
	accepted = rbuf_u8(&p);
	if (rbuf_error(&p) == 0 && accepted == 0) {
		s->peer_refused = true;
		return refusal_get(&p, err);
	}
	if (rbuf_end(&p) < 0 || accepted != 1)
		return fail(err, "A message of the hand-off is malformed.");
	done(s);
	return 0;
}

static int on_refused(struct session *s, struct rbuf *r, _unused_ struct wbuf *out,
		      struct kerr *err)
{
	s->peer_refused = true;
	return refusal_get(r, err);
}

/* -- the machine -- */

#define IN(stage) (1u << (stage))
#define IN_ANY (IN(_STAGE_MAX) - 1)

static const struct message {
	enum session_message type;
	unsigned stages; /* in which it may arrive */
	int (*handle)(struct session *s, struct rbuf *r, struct wbuf *out, struct kerr *err);
} messages[] = {
	{SESSION_HELLO, IN(STAGE_WAIT_HELLO), on_hello},
	{SESSION_EVIDENCE, IN(STAGE_WAIT_EVIDENCE), on_evidence},
	{SESSION_OFFER, IN(STAGE_WAIT_OFFER), on_offer},
	{SESSION_ANSWER, IN(STAGE_WAIT_ANSWER), on_answer},
	{SESSION_REFUSED, IN_ANY, on_refused},
};

static const struct message *message_find(const struct session *s, uint8_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (messages[i].type == type && (messages[i].stages & IN(s->stage)))
			return &messages[i];
	return NULL;
}

static int message_take(struct session *s, struct rbuf *r, struct wbuf *out, struct kerr *err)
{
	uint8_t type = rbuf_u8(r), version = rbuf_u8(r);
	const struct message *m;

	if (rbuf_error(r) < 0)
		return fail(err, "A message of the hand-off is malformed.");
	if (version != SESSION_VERSION)
		return fail(err, "The other device speaks another version of the hand-off.");
	m = message_find(s, type);
	if (!m)
		return fail(err, "A message of the hand-off came out of order.");
	return m->handle(s, r, out, err);
}

/* One failure ends the machine: nothing half-made is sent, keys go. */
static void refuse(struct session *s, struct wbuf *out, size_t out_start, const struct kerr *cause)
{
	bool sealed = s->offer_opened && s->stage == STAGE_WAIT_OFFER;
	int r = 0;

	s->error = *cause;
	kerr_set(&s->error, EIO, KCODE_FAILED, "The hand-off failed inside this device.");
	out->len = out_start;
	out->error = 0;
	if (s->peer_refused) {
		log_debug("session", "the peer knows already");
	} else if (sealed) {
		r = answer_put(s, &s->error, out);
	} else {
		message_begin(out, SESSION_REFUSED);
		refusal_put(out, &s->error);
	}
	if (r < 0 || wbuf_error(out) < 0) {
		out->len = out_start;
		out->error = 0;
	}
	sodium_memzero(s->keys.data, s->keys.len);
	stage_set(s, STAGE_REFUSED);
}

static enum conversation_state answer(const struct session *s, struct kerr *err)
{
	if (s->stage == STAGE_REFUSED)
		*err = s->error;
	return state_of(s);
}

static int expired(const struct session *s, uint64_t now, struct kerr *err)
{
	if (s->stage == STAGE_DONE || now < s->deadline)
		return 0;
	return kerr_set(err, ETIME, KCODE_ATTEST_REPLAY,
			"The proof of what both devices run took too long and is no longer fresh.");
}

static int input_check(const struct session *s, const uint8_t *peer, const uint8_t *exporter,
		       size_t len, uint64_t now, struct kerr *err)
{
	if (memcmp(peer, s->config.peer, DEVICE_ID_LEN) != 0 ||
	    sodium_memcmp(exporter, s->config.exporter, EXPORTER_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_ATTEST_BINDING,
				"A message of the hand-off came over another channel or from "
				"another device.");
	if (!len || len > ATTEST_BLOB_MAX)
		return fail(err, "A message of the hand-off has an impossible size.");
	return expired(s, now, err);
}

enum conversation_state session_start(struct session *s, struct wbuf *out, struct kerr *err)
{
	size_t out_start = out->len, body;
	struct kerr cause = {0};
	int r;

	if (s->stage == STAGE_REFUSED)
		return answer(s, err);
	if (s->stage != STAGE_NEW) {
		r = fail(&cause, "This hand-off was started twice, or by the wrong side.");
	} else {
		message_begin(out, SESSION_HELLO);
		body = out->len;
		hello_put(s, out);
		r = room_check(out, &cause);
		if (r >= 0)
			transcript_add(s, out->data + body, out->len - body);
		stage_set(s, STAGE_WAIT_EVIDENCE);
	}
	if (r < 0)
		refuse(s, out, out_start, &cause);
	return answer(s, err);
}

enum conversation_state session_step(struct session *s, const uint8_t peer[DEVICE_ID_LEN],
				     const uint8_t exporter[EXPORTER_LEN], const uint8_t *data,
				     size_t len, uint64_t now_ms, struct wbuf *out,
				     struct kerr *err)
{
	struct rbuf r = rbuf_init(data, len);
	size_t out_start = out->len;
	struct kerr cause = {0};
	int e;

	if (s->stage == STAGE_REFUSED)
		return answer(s, err);
	e = input_check(s, peer, exporter, len, now_ms, &cause);
	if (e >= 0)
		e = message_take(s, &r, out, &cause);
	if (e < 0)
		refuse(s, out, out_start, &cause);
	return answer(s, err);
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
	s->stage = config->source ? STAGE_NEW : STAGE_WAIT_HELLO;
	s->deadline = now_ms + SESSION_MAX_MS;
	r = secret_new((size_t)KEY_COUNT * SESSION_KEY_LEN, &s->keys);
	if (r < 0)
		return r;
	randombytes_buf(s->own.nonce, sizeof(s->own.nonce));
	randombytes_buf(key_at(s, KEY_EPHEMERAL), SESSION_KEY_LEN);
	if (crypto_scalarmult_base(s->own.eph, key_at(s, KEY_EPHEMERAL)) != 0)
		return -EIO;
	transcript_begin(s);
	*ret = TAKE_PTR(s);
	return 0;
}

struct session *session_free(struct session *s)
{
	if (s) {
		secret_clear(&s->keys);
		sodium_memzero(s, sizeof(*s));
		free(s);
	}
	return NULL;
}

int session_data_key(const struct session *s, struct secret *ret)
{
	if (s->stage != STAGE_DONE)
		return -EACCES;
	return secret_from(key_at(s, KEY_DATA), SESSION_KEY_LEN, ret);
}
