/* SPDX-License-Identifier: Apache-2.0 */
/* Lends TPM and keys to the pairing machine, and writes its result into the store. */
#include "policyd/pairdesk.h"

#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "policyd/core.h"
#include "policyd/measure.h"
#include "policyd/trust.h"

#define RECORD_VALIDITY_S (10ULL * 366 * 86400)

struct pairdesk {
	struct core *core;
	uint64_t open_until_ms; /* 0: closed */
	struct pairdesk_window window;
	uint64_t carrier; /* the connection that carries the channel */
	struct pairing *machine;
	bool heard;			 /* the peer said something */
	bool answered;			 /* the owner did */
	enum pair_past past;		 /* what is known of the peer */
	bool done;			 /* the last pairing succeeded */
	struct kerr error;		 /* why the last one failed */
	struct policyd_pair_status last; /* who came to the code; filled as far as that goes */
	/* Left by the owner, or by time, for the next poll of kithd. */
	bool pending;
	enum conversation_state pending_state;
	size_t pending_len;
	uint8_t pending_blob[ATTEST_BLOB_MAX];
};

int pairdesk_new(struct core *core, struct pairdesk **ret)
{
	struct pairdesk *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->core = core;
	*ret = d;
	return 0;
}

struct pairdesk *pairdesk_free(struct pairdesk *d)
{
	if (d)
		pairing_free(d->machine);
	free(d);
	return NULL;
}

/* -- What the machine borrows -- */

static int on_make_credential(void *ctx, const uint8_t *ek_public, size_t ek_public_len,
			      const uint8_t ak_name[TPM_NAME_LEN], const uint8_t secret[32],
			      struct pairing_credential *ret, struct kerr *err)
{
	struct pairdesk *d = ctx;
	struct tpm_blob ek = {.len = ek_public_len};

	if (ek_public_len > sizeof(ek.data))
		return -EMSGSIZE;
	memcpy(ek.data, ek_public, ek_public_len);
	return tpm_make_credential(d->core->tpm, &ek, ak_name, secret, ret, err);
}

static int on_activate_credential(void *ctx, const struct pairing_credential *credential,
				  uint8_t ret_secret[32], struct kerr *err)
{
	struct pairdesk *d = ctx;

	return tpm_activate_credential(d->core->tpm, &d->core->id.ak, credential, ret_secret, err);
}

static int on_quote(void *ctx, const struct evidence_binding *binding, struct evidence *ret,
		    struct kerr *err)
{
	struct pairdesk *d = ctx;

	return measure_quote(d->core, binding, ret, err);
}

static int on_sign(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
{
	struct pairdesk *d = ctx;

	return identity_sign(&d->core->id, data, len, ret_sig);
}

static int on_owner_sign(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
{
	struct pairdesk *d = ctx;

	return identity_owner_sign(d->core->store, data, len, ret_sig, NULL);
}

/* Without one this device belongs to its owner, but has lost what says so: see own_material(). */
static bool has_record(struct core *core)
{
	uint8_t record[RECORD_MAX];
	size_t len;

	return store_meta_get(core->store, STORE_DEVICE_RECORD, record, sizeof(record), &len,
			      NULL) != -ENOENT;
}

static bool same_tpm(const struct store_peer *known, const struct pairing_material *m)
{
	uint8_t hash[HASH_LEN];

	crypto_hash_sha256(hash, m->ek_public, m->ek_public_len);
	return memcmp(hash, known->ek_hash, sizeof(hash)) == 0 &&
	       known->ak_public_len == m->ak_public_len &&
	       memcmp(known->ak_public, m->ak_public, m->ak_public_len) == 0;
}

/* B5: a device id that is known must not silently get another TPM behind it. */
static int check_known(struct pairdesk *d, const struct pairing_material *peer,
		       const struct store_peer *known, struct kerr *err)
{
	bool same = same_tpm(known, peer);

	if (!same && !d->window.replace)
		return kerr_set(err, EACCES, KCODE_PEER_KEY,
				"\"%s\" shows the key of a known device but another TPM or "
				"attestation key. Somebody may be posing as it. If you replaced "
				"its mainboard or cleared its TPM: `kith pair %s replace`.",
				known->name, known->name);
	d->past = same ? PAIR_PAST_PAIRED : PAIR_PAST_REPLACED;
	return 1;
}

/* What is shown of the peer outlives the machine. */
static void remember_peer(struct pairdesk *d, const struct pairing_material *peer)
{
	struct policyd_pair_status *last = &d->last;

	memcpy(last->peer_name, peer->name, sizeof(last->peer_name));
	memcpy(last->peer_owner, peer->owner_name, sizeof(last->peer_owner));
	last->peer_role = peer->role;
	last->peer_tier = peer->tier;
}

static int on_check_peer(void *ctx, const struct pairing_material *peer, struct kerr *err)
{
	struct pairdesk *d = ctx;
	struct store_peer known;
	uint8_t id[DEVICE_ID_LEN];
	int r;

	remember_peer(d, peer);
	device_id_of(peer->sign_pk, id);
	if (memcmp(id, d->core->id.id, sizeof(id)) == 0)
		return kerr_set(err, ELOOP, KCODE_PAIRING, "This device cannot pair with itself.");
	if (d->core->id.cloud && !has_record(d->core) &&
	    memcmp(peer->owner_pk, d->core->id.owner_pk, SIGN_PK_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_PAIRING,
				"This device has a new TPM. Pair it first with the device of %s "
				"on which the cloud was made.",
				d->core->id.owner_name);
	if (store_peer_get(d->core->store, id, &known, NULL) == 0)
		return check_known(d, peer, &known, err);
	r = store_peer_is_revoked(d->core->store, id);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The list of devices cannot be read.");
	if (r > 0)
		d->past = PAIR_PAST_FORGOTTEN;
	if (store_peer_by_name(d->core->store, peer->name, &known, NULL) == 0 ||
	    strcmp(peer->name, d->core->config.name) == 0)
		return kerr_set(err, EEXIST, KCODE_EXISTS,
				"There is a device called \"%s\" already. Give one of them another "
				"name in its configuration, or forget the old one with `kith trust "
				"forget`.",
				peer->name);
	return 0;
}

static const struct pairing_ops machine_ops = {
	.make_credential = on_make_credential,
	.activate_credential = on_activate_credential,
	.quote = on_quote,
	.sign = on_sign,
	.owner_sign = on_owner_sign,
	.check_peer = on_check_peer,
};

/* -- The window -- */

/* A pairing that goes on keeps it open: it has deadlines of its own. */
static bool window_open(const struct pairdesk *d)
{
	return d->machine || d->open_until_ms > clock_ms();
}

int pairdesk_open(struct pairdesk *d, const struct pairdesk_window *w, struct kerr *err)
{
	if (w->seconds < 1 || w->seconds > 600 || w->role == PERSON_ROLE_OWNER)
		return kerr_set(
			err, EINVAL, KCODE_USAGE,
			"A pairing window lasts 1 to 600 seconds, and another person can be "
			"family, guest or admin here.");
	if (window_open(d) && d->window.connection != w->connection)
		return kerr_set(err, EBUSY, KCODE_EXISTS,
				"Another `kith pair` waits on this device already. End that one "
				"first.");
	pairdesk_end(d);
	d->open_until_ms = clock_ms() + UINT64_C(1000) * w->seconds;
	d->window = *w;
	d->done = false;
	d->past = PAIR_PAST_NONE;
	d->last = (struct policyd_pair_status){0};
	kerr_clear(&d->error);
	return 0;
}

static enum conversation_state settle(struct pairdesk *d, enum conversation_state state,
				      struct wbuf *out, struct kerr *err);

/* Keeps for kithd what an end by the owner or by time made; it asks soon. */
static void leave_pending(struct pairdesk *d, enum conversation_state state, const struct wbuf *out)
{
	d->pending = true;
	d->pending_state = state;
	d->pending_len = out->len;
}

void pairdesk_close(struct pairdesk *d, uint64_t connection)
{
	struct wbuf out = wbuf_init(d->pending_blob, sizeof(d->pending_blob));
	struct kerr err = {0};

	if (!window_open(d) || d->window.connection != connection)
		return;
	if (d->machine)
		leave_pending(d, settle(d, pairing_stop(d->machine, &out, &err), &out, &err), &out);
	d->open_until_ms = 0;
}

void pairdesk_connection_gone(struct pairdesk *d, uint64_t connection)
{
	/* A window nobody watches must not stay open. */
	pairdesk_close(d, connection);
	if (d->machine && d->carrier == connection)
		pairdesk_end(d);
}

/* Time passes for the owner's side too, whatever kithd does. */
static void look_at_clock(struct pairdesk *d)
{
	struct wbuf out = wbuf_init(d->pending_blob, sizeof(d->pending_blob));
	struct kerr err = {0};
	enum conversation_state state;

	if (!d->machine || d->pending)
		return;
	state = settle(d, pairing_poll(d->machine, clock_ms(), &out, &err), &out, &err);
	if (state == CONVERSATION_REFUSED)
		leave_pending(d, state, &out);
}

void pairdesk_status(struct pairdesk *d, struct policyd_pair_status *ret)
{
	struct policyd_pair_status st;
	const char *code;
	uint64_t now;

	look_at_clock(d);
	now = clock_ms();
	code = d->machine ? pairing_code(d->machine) : NULL;
	st = d->last;
	st.done = d->done;
	st.error = d->error;
	st.open = window_open(d);
	if (d->open_until_ms > now)
		st.seconds_left = (uint32_t)((d->open_until_ms - now) / 1000);
	if (code) {
		st.waiting = !d->answered;
		snprintf(st.code, sizeof(st.code), "%s", code);
		memcpy(st.hash, pairing_hash(d->machine), sizeof(st.hash));
	}
	st.past = d->past;
	if (d->machine)
		st.known_there = pairing_known_there(d->machine);
	*ret = st;
}

static int own_material(struct core *core, struct pairing_config *c)
{
	struct pairing_material *m = &c->own;

	snprintf(m->name, sizeof(m->name), "%s", core->config.name);
	m->role = core->config.role;
	memcpy(m->sign_pk, core->id.sign_pk, sizeof(m->sign_pk));
	m->tier = tpm_facts(core->tpm)->tier;
	if (core->id.ak.pub.len > sizeof(m->ak_public) ||
	    core->id.ek_pub.len > sizeof(m->ek_public))
		return -EMSGSIZE;
	memcpy(m->ak_public, core->id.ak.pub.data, core->id.ak.pub.len);
	m->ak_public_len = core->id.ak.pub.len;
	memcpy(m->ek_public, core->id.ek_pub.data, core->id.ek_pub.len);
	m->ek_public_len = core->id.ek_pub.len;
	measure_versions(m->versions, sizeof(m->versions));
	/* A record about an earlier TPM is gone: the owner's device adopts this one again (H7). */
	if (!core->id.cloud || !has_record(core))
		return 0;
	m->has_cloud = true;
	memcpy(m->owner_pk, core->id.owner_pk, sizeof(m->owner_pk));
	snprintf(m->owner_name, sizeof(m->owner_name), "%s", core->id.owner_name);
	return store_meta_get(core->store, STORE_DEVICE_RECORD, c->own_record,
			      sizeof(c->own_record), &c->own_record_len, NULL);
}

static int make_machine(struct pairdesk *d, bool initiator, const uint8_t exporter[EXPORTER_LEN],
			struct kerr *err)
{
	struct pairing_config c = {.initiator = initiator,
				   .required_pcrs = d->core->config.pcrs,
				   .unix_now = clock_unix(),
				   .record_validity_s = RECORD_VALIDITY_S};
	int r = own_material(d->core, &c);

	memcpy(c.exporter, exporter, EXPORTER_LEN);
	d->heard = d->answered = d->pending = false;
	d->past = PAIR_PAST_NONE;
	d->last = (struct policyd_pair_status){0};
	if (r == 0)
		r = pairing_new(&c, &machine_ops, d, clock_ms(), &d->machine);
	return r == 0 ? 0
		      : kerr_set(err, -r, KCODE_PAIRING,
				 "This device could not describe itself for pairing: %s.",
				 strerror(-r));
}

/* -- The result -- */

/* A device that joined is of this one's owner; any other one of the owner that it named. */
static void fill_peer(const struct pairdesk *d, const struct pairing_result *res,
		      struct store_peer *p)
{
	const struct pairing_material *m = &res->peer;
	const struct identity *own = &d->core->id;
	bool adopted = res->mode == PAIRING_MODE_ADOPTED;

	memcpy(p->id, res->peer_id, sizeof(p->id));
	memcpy(p->sign_pk, m->sign_pk, sizeof(p->sign_pk));
	memcpy(p->name, m->name, sizeof(p->name));
	p->role = m->role;
	p->tier = m->tier;
	p->own = res->mode != PAIRING_MODE_MET;
	p->person_role = p->own ? PERSON_ROLE_OWNER : d->window.role;
	memcpy(p->person, adopted ? own->owner_name : m->owner_name, sizeof(p->person));
	memcpy(p->owner_pk, adopted ? own->owner_pk : m->owner_pk, sizeof(p->owner_pk));
	memcpy(p->ak_public, m->ak_public, m->ak_public_len);
	p->ak_public_len = m->ak_public_len;
	crypto_hash_sha256(p->ek_hash, m->ek_public, m->ek_public_len);
	memcpy(p->record, res->peer_record, res->peer_record_len);
	p->record_len = res->peer_record_len;
	trust_begin(p, &res->reference, &res->quote, res->versions);
}

static int save_joined(struct core *core, const struct pairing_result *res, struct kerr *err)
{
	const struct pairing_material *m = &res->peer;
	int r = store_meta_set(core->store, STORE_OWNER_PK, m->owner_pk, sizeof(m->owner_pk), err);

	if (r == 0)
		r = store_meta_set(core->store, STORE_OWNER_NAME, m->owner_name,
				   strlen(m->owner_name), err);
	if (r == 0)
		r = store_meta_set(core->store, STORE_DEVICE_RECORD, res->own_record,
				   res->own_record_len, err);
	return r;
}

/* M8, H7: what went before has a name of its own in the audit. */
static const char *const audit_actions[_PAIR_PAST_MAX] = {
	[PAIR_PAST_NONE] = "pair",
	[PAIR_PAST_PAIRED] = "pair",
	[PAIR_PAST_FORGOTTEN] = "pair-again",
	[PAIR_PAST_REPLACED] = "pair-replace",
};

/* The peer, what is recorded of it, and the owner of a device that joined: all in one commit. */
static int store_result(struct pairdesk *d, const struct pairing_result *res,
			const struct store_peer *p, struct kerr *err)
{
	struct core *core = d->core;
	int r = res->mode == PAIRING_MODE_JOINED ? save_joined(core, res, err) : 0;

	if (r == 0)
		r = store_peer_put(core->store, p, err);
	if (r == 0)
		r = core_audit(core, p->person, p->name, "", audit_actions[d->past], NULL);
	if (r == 0)
		r = store_commit(core->store, COMMIT_GUARDED, err);
	if (r < 0)
		store_rollback(core->store);
	return r;
}

static int save_result(struct pairdesk *d, struct kerr *err)
{
	const struct pairing_result *res = pairing_result(d->machine);
	struct core *core = d->core;
	struct store_peer p = {0};
	int r;

	fill_peer(d, res, &p);
	r = store_result(d, res, &p, err);
	if (r < 0)
		return r;
	log_notice("pairing", "%s with \"%s\" of %s", pairing_mode_to_string(res->mode), p.name,
		   p.person);
	memcpy(d->last.peer_owner, p.person, sizeof(d->last.peer_owner));
	d->last.known_there = pairing_known_there(d->machine);
	if (res->mode != PAIRING_MODE_JOINED)
		return 0;
	identity_clear(&core->id);
	r = identity_load(core->store, core->tpm, &core->id, err);
	core_update_state(core);
	return r;
}

static void end_machine(struct pairdesk *d)
{
	d->machine = pairing_free(d->machine);
	d->open_until_ms = 0;
}

/* One failure: a new window, a new code (P6). */
static void failed(struct pairdesk *d, const struct kerr *why)
{
	d->error = *why;
	core_audit(d->core, "", d->last.peer_name, "", "pair", why);
	end_machine(d);
}

/* Ends the machine where the state says so. */
static enum conversation_state settle(struct pairdesk *d, enum conversation_state state,
				      struct wbuf *out, struct kerr *err)
{
	if (state == CONVERSATION_SEND || state == CONVERSATION_WAIT_OWNER)
		return state;
	if (state == CONVERSATION_DONE && save_result(d, err) == 0) {
		d->done = true;
		end_machine(d);
		return state;
	}
	if (state == CONVERSATION_DONE)
		out->len = 0;
	failed(d, err);
	return CONVERSATION_REFUSED;
}

enum conversation_state pairdesk_start(struct pairdesk *d, bool initiator,
				       const uint8_t exporter[EXPORTER_LEN], struct wbuf *out,
				       struct kerr *err)
{
	/* Of a channel that came from outside the other device's owner reads it. */
	if (!window_open(d) || d->error.code != KCODE_OK) {
		kerr_set(err, EACCES, KCODE_PAIRING,
			 "%s has no pairing window open: run `kith "
			 "pair` there.",
			 initiator ? "This device" : "The other device");
		return CONVERSATION_REFUSED;
	}
	if (d->machine) {
		kerr_set(err, EBUSY, KCODE_BUSY, "%s is pairing with another one just now.",
			 initiator ? "This device" : "The other device");
		return CONVERSATION_REFUSED;
	}
	if (make_machine(d, initiator, exporter, err) < 0)
		return CONVERSATION_REFUSED;
	return settle(d, pairing_start(d->machine, out, err), out, err);
}

static bool machine_present(const struct pairdesk *d, struct kerr *err)
{
	if (!d->machine && d->error.code != KCODE_OK)
		*err = d->error;
	else if (!d->machine)
		kerr_set(err, ENOENT, KCODE_PAIRING, "No pairing is going on.");
	return d->machine;
}

static enum conversation_state take_pending(struct pairdesk *d, struct wbuf *out, struct kerr *err)
{
	d->pending = false;
	wbuf_bytes(out, d->pending_blob, d->pending_len);
	if (d->pending_state == CONVERSATION_REFUSED)
		*err = d->error;
	return d->pending_state;
}

enum conversation_state pairdesk_step(struct pairdesk *d, const uint8_t *data, size_t len,
				      struct wbuf *out, struct kerr *err)
{
	/* What the owner's answer made leaves before what this message makes. */
	if (d->pending)
		take_pending(d, out, err);
	if (!d->machine && d->done)
		return CONVERSATION_DONE;
	if (!machine_present(d, err))
		return CONVERSATION_REFUSED;
	d->heard = true;
	return settle(d, pairing_step(d->machine, data, len, clock_ms(), out, err), out, err);
}

int pairdesk_confirm(struct pairdesk *d, const uint8_t *hash, bool same_code, struct kerr *err)
{
	struct wbuf out = wbuf_init(d->pending_blob, sizeof(d->pending_blob));
	enum conversation_state state;

	if (!d->machine && d->error.code != KCODE_OK)
		return kerr_set(err, ECONNRESET, d->error.code, "%s", d->error.text);
	if (!d->machine || !pairing_code(d->machine) || d->answered)
		return kerr_set(err, ENOENT, KCODE_PAIRING, "No code waits for an answer.");
	/* C1: whoever came since must not get the yes that was meant for another one. */
	if (sodium_memcmp(hash, pairing_hash(d->machine), HASH_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_PAIRING,
				"Another code is shown now than the one that you compared; nothing "
				"was confirmed.");
	d->answered = true;
	state = settle(d, pairing_owner(d->machine, same_code, clock_ms(), &out, err), &out, err);
	leave_pending(d, state, &out);
	/* Saying no is a success of the one who says it. */
	if (state == CONVERSATION_REFUSED && same_code)
		return -EACCES;
	if (!same_code)
		kerr_clear(err);
	return 0;
}

enum conversation_state pairdesk_poll(struct pairdesk *d, struct wbuf *out, struct kerr *err)
{
	if (d->pending)
		return take_pending(d, out, err);
	if (!d->machine && d->done)
		return CONVERSATION_DONE;
	if (!machine_present(d, err))
		return CONVERSATION_REFUSED;
	return settle(d, pairing_poll(d->machine, clock_ms(), out, err), out, err);
}

void pairdesk_end(struct pairdesk *d)
{
	struct kerr lost = {0};

	if (d->machine && d->heard) {
		kerr_set(&lost, ECONNRESET, KCODE_PAIRING,
			 "The connection to the other device was lost while pairing; start again "
			 "on both.");
		failed(d, &lost);
	}
	d->machine = pairing_free(d->machine);
	d->pending = false;
	d->pending_len = 0;
}

void pairdesk_set_carrier(struct pairdesk *d, uint64_t connection)
{
	d->carrier = connection;
}
