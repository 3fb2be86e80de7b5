/* SPDX-License-Identifier: Apache-2.0 */
/* Lends TPM and keys to the pairing machine, and writes its result into the store. */
#include "policyd/pairdesk.h"

#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "policyd/core.h"
#include "policyd/measure.h"

#define RECORD_VALIDITY_S (10ULL * 366 * 86400)

struct pairdesk {
	struct core *core;
	uint64_t open_until_ms; /* 0: closed */
	enum person_role role;
	struct pairing *machine;
	bool done;	   /* the last pairing succeeded */
	struct kerr error; /* why the last one failed */
	/* Left by pairdesk_confirm() for the next poll of kithd. */
	bool pending;
	enum attest_state pending_state;
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

static int blob_from(struct tpm_blob *to, const uint8_t *data, size_t len)
{
	if (len > sizeof(to->data))
		return -EMSGSIZE;
	memcpy(to->data, data, len);
	to->len = (uint16_t)len;
	return 0;
}

static int op_make_credential(void *ctx, const uint8_t *ek_public, size_t ek_public_len,
			      const uint8_t ak_name[TPM_NAME_LEN], const uint8_t secret[32],
			      struct pairing_credential *ret, struct kerr *err)
{
	struct pairdesk *d = ctx;
	struct tpm_credential c;
	struct tpm_blob ek;
	int r = blob_from(&ek, ek_public, ek_public_len);

	if (r == 0)
		r = tpm_make_credential(d->core->tpm, &ek, ak_name, secret, &c, err);
	if (r == 0 && (c.blob.len > sizeof(ret->blob) || c.secret.len > sizeof(ret->secret)))
		r = -EMSGSIZE;
	if (r < 0)
		return r;
	memcpy(ret->blob, c.blob.data, c.blob.len);
	ret->blob_len = c.blob.len;
	memcpy(ret->secret, c.secret.data, c.secret.len);
	ret->secret_len = c.secret.len;
	return 0;
}

static int op_activate_credential(void *ctx, const struct pairing_credential *credential,
				  uint8_t ret_secret[32], struct kerr *err)
{
	struct pairdesk *d = ctx;
	struct tpm_credential c;
	int r = blob_from(&c.blob, credential->blob, credential->blob_len);

	if (r == 0)
		r = blob_from(&c.secret, credential->secret, credential->secret_len);
	if (r < 0)
		return r;
	return tpm_activate_credential(d->core->tpm, &d->core->id.ak, &c, ret_secret, err);
}

static int op_quote(void *ctx, const struct evidence_binding *binding, struct evidence *ret,
		    struct kerr *err)
{
	struct pairdesk *d = ctx;

	return measure_quote(d->core, binding, ret, err);
}

static int op_sign(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
{
	struct pairdesk *d = ctx;

	return identity_sign(&d->core->id, data, len, ret_sig);
}

static int op_owner_sign(void *ctx, const uint8_t *data, size_t len, uint8_t ret_sig[SIGN_LEN])
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

/* B5: a device id or a name that is known must not silently get another TPM behind it. */
static int op_check_peer(void *ctx, const struct pairing_material *peer, struct kerr *err)
{
	struct pairdesk *d = ctx;
	struct store_peer known;
	uint8_t id[DEVICE_ID_LEN];

	device_id_of(peer->sign_pk, id);
	if (memcmp(id, d->core->id.id, sizeof(id)) == 0)
		return kerr_set(err, ELOOP, KCODE_PAIRING, "This device cannot pair with itself.");
	if (d->core->id.cloud && !has_record(d->core) &&
	    memcmp(peer->owner_pk, d->core->id.owner_pk, SIGN_PK_LEN) != 0)
		return kerr_set(err, EACCES, KCODE_PAIRING,
				"This device has a new TPM. Pair it first with the device of %s "
				"on which the cloud was made.",
				d->core->id.owner_name);
	if (store_peer_get(d->core->store, id, &known, NULL) == 0) {
		uint8_t ek_hash[HASH_LEN];

		crypto_hash_sha256(ek_hash, peer->ek_public, peer->ek_public_len);
		if (memcmp(ek_hash, known.ek_hash, sizeof(ek_hash)) != 0)
			return kerr_set(err, EACCES, KCODE_PEER_KEY,
					"\"%s\" shows the key of a known device but another TPM. "
					"Somebody may be posing as it.",
					known.name);
		return 0;
	}
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
	.make_credential = op_make_credential,
	.activate_credential = op_activate_credential,
	.quote = op_quote,
	.sign = op_sign,
	.owner_sign = op_owner_sign,
	.check_peer = op_check_peer,
};

/* -- The window -- */

int pairdesk_open(struct pairdesk *d, enum person_role role, uint32_t seconds, struct kerr *err)
{
	if (seconds < 1 || seconds > 600 || role == PERSON_ROLE_OWNER)
		return kerr_set(
			err, EINVAL, KCODE_USAGE,
			"A pairing window lasts 1 to 600 seconds, and another person can be "
			"family, guest or admin here.");
	pairdesk_end(d);
	d->open_until_ms = clock_ms() + UINT64_C(1000) * seconds;
	d->role = role;
	d->done = false;
	kerr_clear(&d->error);
	return 0;
}

void pairdesk_close(struct pairdesk *d)
{
	pairdesk_end(d);
	d->open_until_ms = 0;
}

static bool window_open(const struct pairdesk *d)
{
	return d->open_until_ms > clock_ms();
}

void pairdesk_status(struct pairdesk *d, struct policyd_pair_status *ret)
{
	struct policyd_pair_status st = {.done = d->done, .error = d->error};
	const struct pairing_material *peer = d->machine ? pairing_peer(d->machine) : NULL;
	const char *code = d->machine ? pairing_code(d->machine) : NULL;
	uint64_t now = clock_ms();

	st.open = window_open(d);
	if (st.open)
		st.seconds_left = (uint32_t)((d->open_until_ms - now) / 1000);
	if (code) {
		st.waiting = !d->pending;
		snprintf(st.code, sizeof(st.code), "%s", code);
	}
	if (peer) {
		snprintf(st.peer_name, sizeof(st.peer_name), "%s", peer->name);
		snprintf(st.peer_owner, sizeof(st.peer_owner), "%s", peer->owner_name);
		st.peer_role = peer->role;
		st.peer_tier = peer->tier;
	}
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
	_cleanup_free_ struct pairing_config *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	c->initiator = initiator;
	memcpy(c->exporter, exporter, EXPORTER_LEN);
	c->required_pcrs = d->core->config.pcrs;
	c->unix_now = clock_unix();
	c->record_validity_s = RECORD_VALIDITY_S;
	r = own_material(d->core, c);
	if (r == 0)
		r = pairing_new(c, &machine_ops, d, clock_ms(), &d->machine);
	if (r < 0)
		return kerr_set(err, -r, KCODE_PAIRING,
				"This device could not describe itself for pairing: %s.",
				strerror(-r));
	return 0;
}

/* -- The result -- */

static void fill_peer(struct store_peer *p, const struct pairing_result *res)
{
	const struct pairing_material *m = &res->peer;

	memcpy(p->id, res->peer_id, sizeof(p->id));
	memcpy(p->sign_pk, m->sign_pk, sizeof(p->sign_pk));
	memcpy(p->name, m->name, sizeof(p->name));
	p->role = m->role;
	p->tier = m->tier;
	memcpy(p->ak_public, m->ak_public, m->ak_public_len);
	p->ak_public_len = m->ak_public_len;
	crypto_hash_sha256(p->ek_hash, m->ek_public, m->ek_public_len);
	memcpy(p->record, res->peer_record, res->peer_record_len);
	p->record_len = res->peer_record_len;
	p->reference_mask = p->evidence_mask = res->reference.mask;
	memcpy(p->reference, res->reference.values, sizeof(p->reference));
	p->quoted = true;
	p->quote = res->quote;
	memcpy(p->evidence, res->reference.values, sizeof(p->evidence));
	memcpy(p->versions, res->versions, MIN_OF(sizeof(p->versions), sizeof(res->versions)));
	p->versions[sizeof(p->versions) - 1] = '\0';
	p->evidence_time = clock_unix();
	p->verdict = VERDICT_TRUSTED;
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

static int save_result(struct pairdesk *d, struct kerr *err)
{
	const struct pairing_result *res = pairing_result(d->machine);
	_cleanup_free_ struct store_peer *p = calloc(1, sizeof(*p));
	struct core *core = d->core;
	const char *person = res->peer.owner_name;
	int r = 0;

	if (!p)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	fill_peer(p, res);
	p->own = res->mode != PAIRING_MODE_MET;
	p->person_role = p->own ? PERSON_ROLE_OWNER : d->role;
	if (res->mode == PAIRING_MODE_ADOPTED)
		person = core->id.owner_name;
	snprintf(p->person, sizeof(p->person), "%s", person);
	memcpy(p->owner_pk,
	       res->mode == PAIRING_MODE_ADOPTED ? core->id.owner_pk : res->peer.owner_pk,
	       sizeof(p->owner_pk));
	if (res->mode == PAIRING_MODE_JOINED)
		r = save_joined(core, res, err);
	if (r == 0)
		r = store_peer_put(core->store, p, err);
	if (r == 0)
		r = core_audit(core, p->person, p->name, "", "pair", NULL);
	if (r == 0)
		r = store_commit(core->store, COMMIT_GUARDED, err);
	if (r < 0) {
		store_rollback(core->store);
		return r;
	}
	log_notice("pairing", "%s with \"%s\" of %s", pairing_mode_to_string(res->mode), p->name,
		   p->person);
	if (res->mode != PAIRING_MODE_JOINED)
		return 0;
	identity_clear(&core->id);
	r = identity_load(core->store, core->tpm, &core->id, err);
	core_update_state(core);
	return r;
}

/* Ends the machine where the state says so. */
static enum attest_state settle(struct pairdesk *d, enum attest_state state, struct wbuf *out,
				struct kerr *err)
{
	switch (state) {
	case ATTEST_SEND:
	case ATTEST_WAIT_OWNER:
		return state;
	case ATTEST_DONE:
		if (save_result(d, err) == 0) {
			d->done = true;
			d->machine = pairing_free(d->machine);
			d->open_until_ms = 0;
			return state;
		}
		out->len = 0;
		break;
	case ATTEST_REFUSED:
	case _ATTEST_STATE_MAX:
		break;
	}
	d->error = *err;
	core_audit(d->core, "", pairing_peer(d->machine) ? pairing_peer(d->machine)->name : "", "",
		   "pair", err);
	d->machine = pairing_free(d->machine);
	d->open_until_ms = 0; /* one failure: a new window, a new code (P6) */
	return ATTEST_REFUSED;
}

enum attest_state pairdesk_start(struct pairdesk *d, bool initiator,
				 const uint8_t exporter[EXPORTER_LEN], struct wbuf *out,
				 struct kerr *err)
{
	if (!window_open(d)) {
		kerr_set(err, EACCES, KCODE_PAIRING,
			 "No pairing window is open here. Run `kith pair` on this device first.");
		return ATTEST_REFUSED;
	}
	if (d->machine) {
		kerr_set(err, EBUSY, KCODE_BUSY, "Another device is pairing with this one now.");
		return ATTEST_REFUSED;
	}
	if (make_machine(d, initiator, exporter, err) < 0)
		return ATTEST_REFUSED;
	return settle(d, pairing_start(d->machine, out, err), out, err);
}

static bool machine_present(const struct pairdesk *d, struct kerr *err)
{
	if (!d->machine)
		kerr_set(err, ENOENT, KCODE_PAIRING, "No pairing is going on.");
	return d->machine;
}

static enum attest_state take_pending(struct pairdesk *d, struct wbuf *out, struct kerr *err)
{
	d->pending = false;
	wbuf_bytes(out, d->pending_blob, d->pending_len);
	if (d->pending_state == ATTEST_REFUSED)
		*err = d->error;
	return d->pending_state;
}

enum attest_state pairdesk_step(struct pairdesk *d, const uint8_t *data, size_t len,
				struct wbuf *out, struct kerr *err)
{
	/* What the owner's answer made leaves before what this message makes. */
	if (d->pending)
		take_pending(d, out, err);
	if (!d->machine && d->done)
		return ATTEST_DONE;
	if (!machine_present(d, err))
		return ATTEST_REFUSED;
	return settle(d, pairing_step(d->machine, data, len, clock_ms(), out, err), out, err);
}

int pairdesk_confirm(struct pairdesk *d, bool same_code, struct kerr *err)
{
	struct wbuf out = wbuf_init(d->pending_blob, sizeof(d->pending_blob));

	if (!d->machine || !pairing_code(d->machine) || d->pending)
		return kerr_set(err, ENOENT, KCODE_PAIRING, "No code waits for an answer.");
	d->pending_state =
		settle(d, pairing_owner(d->machine, same_code, clock_ms(), &out, err), &out, err);
	d->pending = true;
	d->pending_len = out.len;
	/* Saying no is a success of the one who says it. */
	if (d->pending_state == ATTEST_REFUSED && same_code)
		return -EACCES;
	if (!same_code)
		kerr_clear(err);
	return 0;
}

enum attest_state pairdesk_poll(struct pairdesk *d, struct wbuf *out, struct kerr *err)
{
	if (d->pending)
		return take_pending(d, out, err);
	if (!d->machine && d->done)
		return ATTEST_DONE;
	if (!machine_present(d, err))
		return ATTEST_REFUSED;
	return settle(d, pairing_poll(d->machine, clock_ms(), out, err), out, err);
}

void pairdesk_end(struct pairdesk *d)
{
	if (d->machine && d->error.code == KCODE_OK && !d->done)
		kerr_set(&d->error, ECONNRESET, KCODE_INTERRUPTED,
			 "The connection to the other device was lost while pairing.");
	d->machine = pairing_free(d->machine);
	d->pending = false;
	d->pending_len = 0;
}
