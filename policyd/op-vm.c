/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about VMs, their policies, and what was done with them. */
#include <string.h>

#include "base/clock.h"
#include "policyd/core.h"
#include "policyd/dispatch.h"
#include "policyd/handoff.h"
#include "policyd/ops.h"
#include "policyd/policy.h"
#include "policyd/server.h"

/* Version, owner and signature of a new policy text. */
static int sign_policy(struct core *core, struct store_policy *p, struct kerr *err)
{
	uint8_t digest[HASH_LEN];
	int r = store_policy_version(core->store, p->uuid, &p->version, err);

	if (r < 0)
		return r;
	p->version++;
	memcpy(p->owner_pk, core->id.owner_pk, sizeof(p->owner_pk));
	handoff_policy_digest(p, digest);
	return identity_owner_sign(core->store, digest, sizeof(digest), p->signature, err);
}

/* A policy that policyd itself cannot read must never be signed. */
static int check_compiled(const struct store_policy *p, struct kerr *err)
{
	_cleanup_free_ struct policy *rules = calloc(1, sizeof(*rules));

	if (!rules)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	return policy_decode(p->compiled, p->compiled_len, rules, err);
}

/* Whoever holds somebody else's VM may not rewrite its rules (S1-17). */
static int check_owner(struct core *core, const struct store_policy *p, struct kerr *err)
{
	struct store_policy old;
	int r = store_policy_get(core->store, p->uuid, &old, NULL);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (memcmp(old.owner_pk, core->id.owner_pk, SIGN_PK_LEN) != 0)
		r = kerr_set(err, EACCES, KCODE_POLICY,
			     "\"%s\" belongs to another owner; only they can change its policy.",
			     old.name);
	store_policy_clear(&old);
	return r;
}

static int save_policy(struct core *core, struct store_policy *p, struct kerr *err)
{
	struct custody_view view;
	int r = store_custody_get(core->store, p->uuid, &view, err);

	if (r == 0)
		r = check_owner(core, p, err);
	if (r == 0 && view.known && !view.here)
		r = kerr_set(err, EACCES, KCODE_CUSTODY,
			     "\"%s\" is on \"%s\" now; change its policy when it is back.",
			     view.name, view.holder_name);
	if (r == 0 && (custody_is_open(&view) || handoff_is_under_way(core, p->uuid)))
		r = kerr_set(err, EBUSY, KCODE_BUSY,
			     "A hand-off of \"%s\" is under way with the policy that it has now; "
			     "change it when that has ended.",
			     p->name);
	if (r == 0)
		r = sign_policy(core, p, err);
	if (r == 0)
		r = store_policy_put(core->store, p, err);
	if (r == 0)
		r = core_audit(core, core->id.owner_name, core->config.name, p->name, "policy-set",
			       NULL);
	if (r < 0)
		return r;
	/* Both ways commit guarded. */
	if (view.known)
		return store_commit(core->store, COMMIT_GUARDED, err);
	return store_custody_adopt(core->store, core->marker_fd, p->uuid, p->name, core->id.id,
				   core->config.name, clock_unix(), &view, err);
}

OP_HANDLER(op_policy_set)
{
	struct core *core = core_of(ctx);
	struct store_policy p = {0};
	_cleanup_free_ char *text = NULL;
	const uint8_t *text_at, *compiled;
	int ret;

	(void)msg;
	rbuf_bytes(r, p.uuid, UUID_LEN);
	rbuf_string(r, p.name, sizeof(p.name));
	text_at = rbuf_blob(r, STORE_POLICY_MAX, &p.text_len);
	compiled = rbuf_blob(r, STORE_POLICY_MAX, &p.compiled_len);
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_require_ready(core, err);
	if (ret < 0)
		return ret;
	text = calloc(1, p.text_len + 1);
	if (!text)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	memcpy(text, text_at, p.text_len);
	p.text = text;
	p.compiled = (uint8_t *)(uintptr_t)compiled;
	if (!text_is_name(p.name, NAME_MAX_LEN) || !text_is_clean(text))
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"The name or the policy is not plain UTF-8 text.");
	ret = check_compiled(&p, err);
	if (ret == 0)
		ret = save_policy(core, &p, err);
	if (ret == 0)
		wbuf_u64(w, p.version);
	return ret;
}

OP_HANDLER(op_policy_get)
{
	struct core *core = core_of(ctx);
	struct store_policy p = {0};
	uint8_t uuid[UUID_LEN], owner_id[HASH_LEN];
	int ret;

	(void)msg;
	rbuf_bytes(r, uuid, sizeof(uuid));
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_require_ready(core, err);
	if (ret == 0)
		ret = store_policy_get(core->store, uuid, &p, err);
	if (ret < 0)
		return ret;
	device_id_of(p.owner_pk, owner_id);
	wbuf_u64(w, p.version);
	wbuf_bytes(w, owner_id, sizeof(owner_id));
	wbuf_string(w, p.name);
	wbuf_blob(w, p.text, p.text_len);
	store_policy_clear(&p);
	return wbuf_error(w);
}

OP_HANDLER(op_vms)
{
	struct core *core = core_of(ctx);
	_cleanup_free_ struct custody_view *views = NULL;
	size_t n = 0;
	int ret = op_request_end(r, err);

	(void)msg;
	/* As in op_peers(): a person is told why there is nothing. */
	if (ret == 0 && core->state != POLICYD_STATE_NO_CLOUD &&
	    !(((struct caller *)ctx)->who & (WHO_AGENT | WHO_MOVER)))
		ret = core_require_device(core, err);
	if (ret == 0 && core->store)
		ret = store_custody_list(core->store, &views, &n, err);
	if (ret < 0)
		return ret;
	wbuf_u16(w, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		struct policyd_vm vm;
		uint64_t version = 0;

		store_policy_version(core->store, views[i].uuid, &version, NULL);
		custody_to_vm(&views[i], version, &vm);
		policyd_vm_put(w, &vm);
	}
	return wbuf_error(w);
}

OP_HANDLER(op_claim)
{
	struct core *core = core_of(ctx);
	uint8_t uuid[UUID_LEN];
	uint64_t epoch = 0;
	int ret;

	(void)msg;
	rbuf_bytes(r, uuid, sizeof(uuid));
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_require_ready(core, err);
	if (ret == 0)
		ret = handoff_claim(core, uuid, &epoch, err);
	if (ret == 0)
		wbuf_u64(w, epoch);
	return ret;
}

OP_HANDLER(op_audit_read)
{
	struct core *core = core_of(ctx);
	_cleanup_free_ struct policyd_audit *list = NULL;
	uint64_t from = rbuf_u64(r);
	size_t max = rbuf_u16(r), n = 0;
	int ret = op_request_end(r, err);

	(void)msg;
	if (ret == 0)
		ret = core_require_device(core, err);
	/* So many fit one frame whatever their texts are. */
	if (ret == 0)
		ret = store_audit_list(core->store, from, MIN_OF(max, 64u), &list, &n, err);
	if (ret < 0)
		return ret;
	wbuf_u16(w, (uint16_t)n);
	for (size_t i = 0; i < n; i++)
		policyd_audit_put(w, &list[i]);
	return wbuf_error(w);
}
