/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about VMs, their policies, and what was done with them. */
#include <string.h>

#include "policyd/api/policy.h"
#include "policyd/core.h"
#include "policyd/dispatch.h"
#include "policyd/handoff.h"
#include "policyd/policy-sign.h"
#include "policyd/server.h"

/* Version, owner and signature of a new policy text. */
static int sign_policy(struct core *core, struct store_policy *p, struct kerr *err)
{
	int r = store_policy_version(core->store, p->uuid, &p->version, err);

	if (r < 0)
		return r;
	p->version++;
	return policy_sign(core, p, err);
}

/* The VM is in Kith's care from now on, and this device holds it. */
static int adopt_vm(struct core *core, const struct store_policy *p, struct kerr *err)
{
	struct custody_view view;
	int r = handoff_chain_begin(core, p->uuid, err);

	return r < 0 ? r
		     : store_custody_adopt(core->store, p->uuid, p->name, core->id.id,
					   core->config.name, &view, err);
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

static int save_policy(struct caller *caller, struct store_policy *p, struct kerr *err)
{
	struct core *core = caller->core;
	struct custody_view view;
	int r = store_custody_get(core->store, p->uuid, &view, err);

	if (r == 0)
		r = check_owner(core, p, err);
	if (r == 0 && view.known && !view.here)
		r = kerr_set(err, EACCES, KCODE_CUSTODY,
			     "\"%s\" is on \"%s\" now; change its policy when it is back.",
			     view.name, view.holder_name);
	if (r == 0 && (custody_is_open(&view) || handoff_is_under_way(caller->handoffs, p->uuid)))
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
	return adopt_vm(core, p, err);
}

OP_HANDLER(op_policy_set)
{
	const struct policyd_rules *q = request;
	struct policyd_number *ret = reply;
	_cleanup_free_ char *text = strndup((const char *)q->text, q->text_len);
	struct store_policy p = {.text = text,
				 .text_len = q->text_len,
				 .compiled = (uint8_t *)(uintptr_t)q->compiled,
				 .compiled_len = q->compiled_len};
	int r;

	if (!text)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	memcpy(p.uuid, q->uuid, sizeof(p.uuid));
	memcpy(p.name, q->name, sizeof(p.name));
	if (!text_is_name(p.name, NAME_MAX_LEN) || strlen(text) != q->text_len ||
	    !text_is_clean(text))
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"The name or the policy is not plain UTF-8 text.");
	r = check_compiled(&p, err);
	if (r == 0)
		r = save_policy(caller, &p, err);
	ret->value = p.version;
	return r;
}

OP_HANDLER(op_policy_get)
{
	const struct policyd_uuid *q = request;
	struct policyd_rules_held *ret = reply;
	_cleanup_(store_policy_clear) struct store_policy p = {0};
	int r = store_policy_get(caller->core->store, q->uuid, &p, err);

	if (r < 0)
		return r;
	ret->version = p.version;
	device_id_of(p.owner_pk, ret->owner_id);
	memcpy(ret->name, p.name, sizeof(ret->name));
	ret->text_len = p.text_len;
	ret->text = caller->kept = TAKE_PTR(p.text);
	return 0;
}

OP_HANDLER(op_vms)
{
	struct core *core = caller->core;
	_cleanup_free_ struct custody_view *views = NULL;
	size_t n = 0;
	int r = 0;

	/* As in op_peers(): a person is told why there is nothing. */
	if (core->state != POLICYD_STATE_NO_CLOUD && !(caller->who & (WHO_AGENT | WHO_MOVER)))
		r = core_require_device(core, err);
	if (r == 0 && core->store)
		r = store_custody_list(core->store, &views, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct policyd_vm vm;
		uint64_t version = 0;

		store_policy_version(core->store, views[i].uuid, &version, NULL);
		custody_to_vm(&views[i], version, &vm);
		record_list_add(reply, &vm);
	}
	return r;
}

OP_HANDLER(op_claim)
{
	const struct policyd_uuid *q = request;
	struct policyd_number *ret = reply;

	return handoff_claim(caller->handoffs, q->uuid, &ret->value, err);
}

OP_HANDLER(op_audit_verify)
{
	static const enum store_log logs[] = {STORE_AUDIT, STORE_PEER_AUDIT};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(logs); i++) {
		struct policyd_audit_log log = {.peers = logs[i] == STORE_PEER_AUDIT};

		r = store_audit_verify(caller->core->store, logs[i], &log, err);
		if (r == 0)
			record_list_add(reply, &log);
	}
	return r;
}

OP_HANDLER(op_audit_read)
{
	const struct policyd_range *q = request;
	_cleanup_free_ struct policyd_audit *list = NULL;
	size_t n = 0;
	/* So many fit one frame whatever their texts are. */
	int r = store_audit_list(caller->core->store, q->from, MIN_OF(q->max, 64u), &list, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++)
		record_list_add(reply, &list[i]);
	return r;
}
