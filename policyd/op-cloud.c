/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about this device, its owner and its peers. */
#include <sodium.h>
#include <string.h>

#include "attest/pk.h"
#include "base/clock.h"
#include "base/log.h"
#include "policyd/core.h"
#include "policyd/dispatch.h"
#include "policyd/handoff.h"
#include "policyd/pairdesk.h"
#include "policyd/server.h"

/* Whoever hijacks kithd has a certificate for its key: for a day (M13). */
#define LEAF_DAYS 1

OP_HANDLER(op_status)
{
	struct core *core = caller->core;
	struct policyd_status *st = reply;

	st->state = core->state;
	st->role = core->config.role;
	memcpy(st->device_id, core->id.id, sizeof(st->device_id));
	memcpy(st->name, core->config.name, sizeof(st->name));
	st->tier = core->tpm ? tpm_facts(core->tpm)->tier : TPM_TIER_NONE;
	memcpy(st->owner, core->id.owner_name, sizeof(st->owner));
	memcpy(st->owner_id, core->id.owner_id, sizeof(st->owner_id));
	snprintf(st->detail, sizeof(st->detail), "%s", core->reason.text);
	memcpy(st->alarm, core->alarm, sizeof(st->alarm));
	st->alarm_time = core->alarm_time;
	memcpy(st->config_mark, core->config.mark, sizeof(st->config_mark));
	memcpy(st->config_later, core->config.later, sizeof(st->config_later));
	return 0;
}

/* Time alone is no change: whoever waits for the end of a window knows when that is. */
OP_HANDLER(op_changes)
{
	const struct policyd_mark *seen = request;
	struct policyd_mark *ret = reply;
	struct policyd_pair_status window = {0};
	struct policyd_status status = {0};
	uint8_t mark[STORE_MARK_LEN] = {0}, buf[RECORD_SIZE_MAX];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	int r = op_status(caller, NULL, &status, err);

	if (r < 0)
		return r;
	pairdesk_status(caller->pairdesk, &window);
	window.seconds_left = 0;
	if (caller->core->store)
		store_mark(caller->core->store, mark);
	policyd_status_put(&w, &status);
	policyd_pair_status_put(&w, &window);
	wbuf_bytes(&w, mark, sizeof(mark));
	wbuf_u64(&w, handoff_news_count(caller->handoffs));
	if (wbuf_error(&w) < 0)
		return kerr_set(err, EIO, KCODE_FAILED, "What may have changed has no room.");
	crypto_hash_sha256(ret->bytes, w.data, w.len);
	sodium_memzero(buf, sizeof(buf));
	caller->later = memcmp(ret->bytes, seen->bytes, sizeof(ret->bytes)) == 0;
	return 0;
}

/* After a change that failed; a key that nobody saw and that stays opens nothing for anybody. */
static void drop_recovery(struct core *core)
{
	int r = vault_recovery_settle(core->state_fd, false);

	if (r < 0)
		log_warning("vault", "A recovery key that was given up stays in its file: %s.",
			    strerror(-r));
}

/* The owner's name and the cloud are committed with the record of it. */
static int found_cloud(struct core *core, const char *person, struct kerr *err)
{
	struct device_record rec;
	int r;

	core_own_record(core, &rec);
	r = identity_found_cloud(core->store, &core->id, &rec, person, err);
	if (r == 0)
		r = core_audit(core, person, core->config.name, "", "init", NULL);
	return r < 0 ? r : store_commit(core->store, COMMIT_GUARDED, err);
}

OP_HANDLER(op_init)
{
	const struct policyd_person *q = request;
	struct policyd_recovery *ret = reply;
	struct core *core = caller->core;
	bool renewed = false;
	int r;

	if (!text_is_name(q->name, NAME_MAX_LEN))
		return kerr_set(err, EINVAL, KCODE_USAGE, "Give the owner's name, 1 to 63 bytes.");
	if (core->id.cloud)
		return kerr_set(err, EEXIST, KCODE_EXISTS, "This device belongs to %s already.",
				core->id.owner_name);
	r = core_ensure_device(core, ret->key, err);
	if (r == 0)
		r = core_require_tpm(core, err);
	if (r < 0)
		return r;
	/* The device was made for a pairing that did not happen: its key was shown then, and opens
	 * it until the new one was shown too. */
	if (!ret->key[0]) {
		r = vault_recovery_add(core->state_fd, &core->keys, ret->key, err);
		renewed = r == 0;
	}
	if (r == 0)
		r = found_cloud(core, q->name, err);
	if (renewed && r < 0)
		drop_recovery(core);
	if (r < 0)
		core->id.cloud = false;
	else
		core_update_state(core);
	return r;
}

OP_HANDLER(op_unlock)
{
	const struct policyd_recovery *q = request;
	struct policyd_flag *new_ak = reply;
	int r = core_unlock(caller->core, q->key, err);

	new_ak->on = caller->core->new_ak;
	return r;
}

OP_HANDLER(op_recovery_renew)
{
	struct policyd_recovery *ret = reply;
	struct core *core = caller->core;
	int r = vault_recovery_add(core->state_fd, &core->keys, ret->key, err);

	if (r < 0)
		return r;
	r = core_audit(core, core->id.owner_name, core->config.name, "", "recovery-renew", NULL);
	if (r == 0)
		r = store_commit(core->store, COMMIT_GUARDED, err);
	if (r < 0)
		drop_recovery(core);
	return r;
}

OP_HANDLER(op_recovery_shown)
{
	int r = vault_recovery_settle(caller->core->state_fd, true);

	return r < 0 ? kerr_set(err, -r, KCODE_FAILED,
				"The earlier recovery key still opens this device too: %s.",
				strerror(-r))
		     : 0;
}

/* An old verdict is said to be old; an untrusted one stays what it is. */
static void age_verdict(const struct core *core, struct policyd_peer *p)
{
	if (p->verdict == VERDICT_TRUSTED &&
	    clock_unix() > p->evidence_time + core->config.evidence_max_age_s)
		p->verdict = VERDICT_STALE;
}

OP_HANDLER(op_peers)
{
	struct core *core = caller->core;
	_cleanup_free_ struct store_peer *peers = NULL;
	size_t n = 0;
	int r = 0;

	/* kithd goes on without peers; a person must not read "none" where it is "locked". */
	if (core->state != POLICYD_STATE_NO_CLOUD && !(caller->who & WHO_AGENT))
		r = core_require_device(core, err);
	if (r == 0 && core->store)
		r = store_peer_list(core->store, &peers, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct policyd_peer p;

		store_peer_to_wire(&peers[i], &p);
		age_verdict(core, &p);
		record_list_add(reply, &p);
	}
	return r;
}

OP_HANDLER(op_trust_show)
{
	const struct policyd_device *q = request;
	struct policyd_trust *trust = reply;
	struct store_peer peer;
	int r = store_peer_get(caller->core->store, q->id, &peer, err);

	if (r < 0)
		return r;
	store_peer_to_trust(&peer, trust);
	age_verdict(caller->core, &trust->peer);
	return 0;
}

/* Records and commits what changed with one peer, under the counter. */
static int peer_changed(struct core *core, const struct store_peer *peer, const char *action,
			struct kerr *err)
{
	int ret = core_audit(core, core->id.owner_name, peer->name, "", action, NULL);

	return ret < 0 ? ret : store_commit(core->store, COMMIT_GUARDED, err);
}

static int change_peer(struct core *core, const uint8_t id[DEVICE_ID_LEN], const char *action,
		       int (*change)(struct store *s, const uint8_t id[DEVICE_ID_LEN],
				     struct kerr *err),
		       struct kerr *err)
{
	struct store_peer peer;
	int ret = store_peer_get(core->store, id, &peer, err);

	if (ret == 0)
		ret = change(core->store, id, err);
	return ret < 0 ? ret : peer_changed(core, &peer, action, err);
}

OP_HANDLER(op_trust_accept)
{
	const struct policyd_accept *q = request;
	struct core *core = caller->core;
	struct store_peer peer;
	int r = store_peer_get(core->store, q->id, &peer, err);

	if (r == 0)
		r = store_peer_accept(core->store, q->id, core->config.pcrs, q->shown, err);
	return r < 0 ? r : peer_changed(core, &peer, "trust-accept", err);
}

OP_HANDLER(op_peer_forget)
{
	const struct policyd_device *q = request;

	return change_peer(caller->core, q->id, "forget", store_peer_revoke, err);
}

static int receive_on(struct store *s, const uint8_t id[DEVICE_ID_LEN], struct kerr *err)
{
	return store_peer_set_receive(s, id, true, err);
}

static int receive_off(struct store *s, const uint8_t id[DEVICE_ID_LEN], struct kerr *err)
{
	return store_peer_set_receive(s, id, false, err);
}

OP_HANDLER(op_peer_receive)
{
	const struct policyd_receive *q = request;

	return q->on ? change_peer(caller->core, q->id, "receive-on", receive_on, err)
		     : change_peer(caller->core, q->id, "receive-off", receive_off, err);
}

OP_HANDLER(op_tls_leaf)
{
	const struct policyd_spki *q = request;
	struct policyd_leaf *ret = reply;
	const uint8_t *seed = caller->core->id.device_sk.data;
	uint8_t *leaf = op_room().data, *device = leaf + CERT_DER_MAX;
	/* libsodium keeps the seed in the first half of the secret key. An hour back for peers
	 * whose clock is behind. */
	int r = pk_device_cert(seed, device, &ret->device_len);

	if (r == 0)
		r = pk_leaf_cert(seed, q->der, q->len, (int64_t)clock_unix() - 3600, LEAF_DAYS,
				 leaf, &ret->leaf_len);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The certificate could not be made: %s.",
				strerror(-r));
	ret->leaf = leaf;
	ret->device = device;
	return 0;
}
