/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about this device, its owner and its peers. */
#include <sodium.h>
#include <string.h>

#include "attest/pk.h"
#include "base/clock.h"
#include "base/log.h"
#include "policyd/core.h"
#include "policyd/dispatch.h"
#include "policyd/ops.h"
#include "policyd/server.h"

/* Whoever hijacks kithd has a certificate for its key: for a day (M13). */
#define LEAF_DAYS 1

OP_HANDLER(op_status)
{
	struct core *core = core_of(ctx);
	struct policyd_status st = {.state = core->state, .role = core->config.role};
	int ret = op_request_end(r, err);

	(void)msg;
	if (ret < 0)
		return ret;
	memcpy(st.device_id, core->id.id, sizeof(st.device_id));
	memcpy(st.name, core->config.name, sizeof(st.name));
	st.tier = core->tpm ? tpm_facts(core->tpm)->tier : TPM_TIER_NONE;
	memcpy(st.owner, core->id.owner_name, sizeof(st.owner));
	memcpy(st.owner_id, core->id.owner_id, sizeof(st.owner_id));
	snprintf(st.detail, sizeof(st.detail), "%s", core->reason.text);
	memcpy(st.alarm, core->alarm, sizeof(st.alarm));
	st.alarm_time = core->alarm_time;
	policyd_status_put(w, &st);
	return wbuf_error(w);
}

/* After a change that failed; a key that nobody saw and that stays opens nothing for anybody. */
static void drop_recovery(struct core *core)
{
	int r = vault_recovery_settle(core->state_fd, false);

	if (r < 0)
		log_warning("vault", "A recovery key that was given up stays in its file: %s.",
			    strerror(-r));
}

OP_HANDLER(op_init)
{
	struct core *core = core_of(ctx);
	char person[NAME_MAX_LEN + 1], recovery[VAULT_RECOVERY_TEXT];
	struct device_record rec;
	bool renewed = false;
	int ret;

	(void)msg;
	rbuf_string(r, person, sizeof(person));
	ret = op_request_end(r, err);
	if (ret < 0)
		return ret;
	if (!text_is_name(person, NAME_MAX_LEN))
		return kerr_set(err, EINVAL, KCODE_USAGE, "Give the owner's name, 1 to 63 bytes.");
	if (core->id.cloud)
		return kerr_set(err, EEXIST, KCODE_EXISTS, "This device belongs to %s already.",
				core->id.owner_name);
	ret = core_ensure_device(core, recovery, err);
	if (ret == 0)
		ret = core_require_tpm(core, err);
	if (ret < 0)
		return ret;
	/* The device was made for a pairing that did not happen: its key was shown then, and opens
	 * it until the new one was shown too. */
	if (!recovery[0]) {
		ret = vault_recovery_add(core->state_fd, &core->keys, recovery, err);
		renewed = ret == 0;
	}
	core_own_record(core, &rec);
	if (ret == 0)
		ret = identity_found_cloud(core->store, &core->id, &rec, person, err);
	if (ret == 0)
		ret = core_audit(core, person, core->config.name, "", "init", NULL);
	if (ret == 0)
		ret = store_commit(core->store, COMMIT_GUARDED, err);
	if (renewed && ret < 0)
		drop_recovery(core);
	if (ret == 0)
		wbuf_string(w, recovery);
	sodium_memzero(recovery, sizeof(recovery));
	if (ret < 0) {
		core->id.cloud = false;
		return ret;
	}
	core_update_state(core);
	return wbuf_error(w);
}

OP_HANDLER(op_unlock)
{
	struct core *core = core_of(ctx);
	char recovery[128];
	int ret;

	(void)msg;
	rbuf_string(r, recovery, sizeof(recovery));
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_unlock(core, recovery, err);
	sodium_memzero(recovery, sizeof(recovery));
	if (ret < 0)
		return ret;
	wbuf_u8(w, core->new_ak);
	return wbuf_error(w);
}

OP_HANDLER(op_recovery_renew)
{
	struct core *core = core_of(ctx);
	char recovery[VAULT_RECOVERY_TEXT];
	int ret = op_request_end(r, err);

	(void)msg;
	if (ret == 0)
		ret = core_require_device(core, err);
	if (ret == 0)
		ret = vault_recovery_add(core->state_fd, &core->keys, recovery, err);
	if (ret < 0)
		return ret;
	ret = core_audit(core, core->id.owner_name, core->config.name, "", "recovery-renew", NULL);
	if (ret == 0)
		ret = store_commit(core->store, COMMIT_GUARDED, err);
	if (ret == 0)
		wbuf_string(w, recovery);
	else
		drop_recovery(core);
	sodium_memzero(recovery, sizeof(recovery));
	return ret < 0 ? ret : wbuf_error(w);
}

OP_HANDLER(op_recovery_shown)
{
	struct core *core = core_of(ctx);
	int ret = op_request_end(r, err);

	(void)msg;
	(void)w;
	if (ret == 0)
		ret = core_require_device(core, err);
	if (ret < 0)
		return ret;
	ret = vault_recovery_settle(core->state_fd, true);
	return ret < 0 ? kerr_set(err, -ret, KCODE_FAILED,
				  "The earlier recovery key still opens this device too: %s.",
				  strerror(-ret))
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
	struct core *core = core_of(ctx);
	_cleanup_free_ struct store_peer *peers = NULL;
	size_t n = 0;
	int ret = op_request_end(r, err);

	(void)msg;
	/* kithd goes on without peers; a person must not read "none" where it is "locked". */
	if (ret == 0 && core->state != POLICYD_STATE_NO_CLOUD &&
	    !(((struct caller *)ctx)->who & WHO_AGENT))
		ret = core_require_device(core, err);
	if (ret == 0 && core->store)
		ret = store_peer_list(core->store, &peers, &n, err);
	if (ret < 0)
		return ret;
	wbuf_u16(w, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		struct policyd_peer p;

		store_peer_to_wire(&peers[i], &p);
		age_verdict(core, &p);
		policyd_peer_put(w, &p);
	}
	return wbuf_error(w);
}

static int get_device(struct core *core, struct rbuf *r, uint8_t ret_id[DEVICE_ID_LEN],
		      struct kerr *err)
{
	int ret;

	rbuf_bytes(r, ret_id, DEVICE_ID_LEN);
	ret = op_request_end(r, err);
	return ret < 0 ? ret : core_require_device(core, err);
}

OP_HANDLER(op_trust_show)
{
	struct core *core = core_of(ctx);
	uint8_t id[DEVICE_ID_LEN];
	struct policyd_trust trust;
	struct store_peer peer;
	int ret = get_device(core, r, id, err);

	(void)msg;
	if (ret == 0)
		ret = store_peer_get(core->store, id, &peer, err);
	if (ret < 0)
		return ret;
	store_peer_to_trust(&peer, &trust);
	age_verdict(core, &trust.peer);
	policyd_trust_put(w, &trust);
	return wbuf_error(w);
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
	struct core *core = core_of(ctx);
	uint8_t id[DEVICE_ID_LEN], shown[HASH_LEN];
	struct store_peer peer;
	int ret;

	(void)msg;
	(void)w;
	rbuf_bytes(r, id, sizeof(id));
	rbuf_bytes(r, shown, sizeof(shown));
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_require_device(core, err);
	if (ret == 0)
		ret = store_peer_get(core->store, id, &peer, err);
	if (ret == 0)
		ret = store_peer_accept(core->store, id, core->config.pcrs, shown, err);
	return ret < 0 ? ret : peer_changed(core, &peer, "trust-accept", err);
}

OP_HANDLER(op_peer_forget)
{
	struct core *core = core_of(ctx);
	uint8_t id[DEVICE_ID_LEN];
	int ret = get_device(core, r, id, err);

	(void)msg;
	(void)w;
	return ret < 0 ? ret : change_peer(core, id, "forget", store_peer_revoke, err);
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
	struct core *core = core_of(ctx);
	uint8_t id[DEVICE_ID_LEN], on;
	int ret;

	(void)msg;
	(void)w;
	rbuf_bytes(r, id, sizeof(id));
	on = rbuf_u8(r);
	if (on > 1)
		rbuf_fail(r, -EBADMSG);
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_require_ready(core, err);
	if (ret < 0)
		return ret;
	return on ? change_peer(core, id, "receive-on", receive_on, err)
		  : change_peer(core, id, "receive-off", receive_off, err);
}

OP_HANDLER(op_tls_leaf)
{
	struct core *core = core_of(ctx);
	uint8_t leaf[CERT_DER_MAX], device[CERT_DER_MAX];
	size_t len, leaf_len, device_len;
	const uint8_t *spki = rbuf_blob(r, SPKI_DER_MAX, &len);
	int ret = op_request_end(r, err);

	(void)msg;
	if (ret == 0)
		ret = core_require_device(core, err);
	if (ret < 0)
		return ret;
	/* libsodium keeps the seed in the first half of the secret key. An hour back for peers
	 * whose clock is behind. */
	ret = pk_device_cert(core->id.device_sk.data, device, &device_len);
	if (ret == 0)
		ret = pk_leaf_cert(core->id.device_sk.data, spki, len, (int64_t)clock_unix() - 3600,
				   LEAF_DAYS, leaf, &leaf_len);
	if (ret < 0)
		return kerr_set(err, -ret, KCODE_FAILED, "The certificate could not be made: %s.",
				strerror(-ret));
	wbuf_blob(w, leaf, leaf_len);
	wbuf_blob(w, device, device_len);
	return wbuf_error(w);
}
