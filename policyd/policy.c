/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation of a VM's policy: small, total, deny by default, with a reason for each answer. */
#include "policyd/policy.h"

#include <string.h>

#include "base/buf.h"

static const char *const policy_action_names[_POLICY_ACTION_MAX] = {
	[POLICY_ACTION_MOVE_OUT] = "move-out", [POLICY_ACTION_MOVE_IN] = "move-in",
	[POLICY_ACTION_REQUEST] = "request",   [POLICY_ACTION_SUSPEND] = "suspend",
	[POLICY_ACTION_STOP] = "stop",	       [POLICY_ACTION_ABORT] = "abort",
	[POLICY_ACTION_VIEW] = "view",
};
DEFINE_NAMES(policy_action, enum policy_action, _POLICY_ACTION_MAX)

static bool in_mask(uint32_t mask, unsigned value)
{
	return !mask || mask & UINT32_C(1) << value;
}

/* Who, what and where: the part of a rule that evidence cannot change. */
static bool rule_is_about(const struct policy_rule *rule, const struct policy_facts *f)
{
	return in_mask(rule->persons, f->person) && in_mask(rule->actions, f->action) &&
	       in_mask(rule->dest_people, f->dest_person) &&
	       in_mask(rule->dest_roles, f->dest_role) &&
	       (!rule->dest_name[0] || strcmp(rule->dest_name, f->dest_name) == 0);
}

static bool conditions_met(const struct policy_rule *rule, const struct policy_facts *f)
{
	if (f->tier < rule->min_tier)
		return false;
	if (!f->fresh)
		return true;
	return in_mask(rule->verdicts, f->verdict) &&
	       (!rule->max_age_s || f->age_s <= rule->max_age_s);
}

/* A deny rule whose evidence conditions cannot be judged yet must not deny early. */
static bool denies(const struct policy_rule *rule, const struct policy_facts *f)
{
	if (rule->effect != POLICY_DENY || !rule_is_about(rule, f))
		return false;
	if (!f->fresh && (rule->verdicts || rule->max_age_s))
		return false;
	return conditions_met(rule, f);
}

static void decide_by(struct policy_decision *d, const struct policy_rule *rule)
{
	memcpy(d->rule, rule->line, sizeof(d->rule));
}

static const char *whose(const struct policy_facts *f)
{
	return f->dest_person == PERSON_ROLE_OWNER ? "the owner's own"
						   : person_role_to_string(f->dest_person);
}

static void explain_no_rule(struct policy_decision *d, const char *vm, const struct policy_facts *f,
			    const struct policy_rule *nearly)
{
	if (nearly) {
		decide_by(d, nearly);
		kerr_set(&d->reason, EACCES, f->tier < nearly->min_tier ? KCODE_TIER : KCODE_POLICY,
			 "The policy of \"%s\" allows \"%s\" to \"%s\" only under a condition that "
			 "is "
			 "not met now: %s.",
			 vm, policy_action_to_string(f->action), f->dest_name, nearly->line);
		return;
	}
	kerr_set(&d->reason, EACCES, KCODE_POLICY,
		 "The policy of \"%s\" has no rule that lets %s %s it to \"%s\" (%s %s); what is "
		 "not "
		 "allowed is denied.",
		 vm, person_role_to_string(f->person), policy_action_to_string(f->action),
		 f->dest_name, whose(f), device_role_to_string(f->dest_role));
}

void policy_decide(const struct policy *policy, const char *vm, const struct policy_facts *facts,
		   struct policy_decision *ret)
{
	const struct policy_rule *allow = NULL, *nearly = NULL;
	struct policy_decision d = {0};

	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_rule *rule = &policy->rules[i];

		if (denies(rule, facts)) {
			decide_by(&d, rule);
			kerr_set(&d.reason, EACCES, KCODE_POLICY,
				 "The policy of \"%s\" forbids \"%s\" to \"%s\": %s.", vm,
				 policy_action_to_string(facts->action), facts->dest_name,
				 rule->line);
			*ret = d;
			return;
		}
		if (rule->effect != POLICY_ALLOW || !rule_is_about(rule, facts))
			continue;
		if (!conditions_met(rule, facts))
			nearly = nearly ? nearly : rule;
		else if (!allow)
			allow = rule;
	}
	d.allowed = allow != NULL;
	if (allow)
		decide_by(&d, allow);
	else
		explain_no_rule(&d, vm, facts, nearly);
	*ret = d;
}

static void rule_get(struct rbuf *r, struct policy_rule *rule)
{
	uint8_t effect = rbuf_u8(r), tier;

	rule->persons = rbuf_u32(r);
	rule->actions = rbuf_u32(r);
	rule->dest_people = rbuf_u32(r);
	rule->dest_roles = rbuf_u32(r);
	rbuf_string(r, rule->dest_name, sizeof(rule->dest_name));
	rule->verdicts = rbuf_u32(r);
	tier = rbuf_u8(r);
	rule->max_age_s = rbuf_u32(r);
	rbuf_string(r, rule->line, sizeof(rule->line));
	/* A bit this version does not know could be a restriction: refuse, never ignore. */
	if (effect >= _POLICY_EFFECT_MAX || tier >= _TPM_TIER_MAX || !rule->actions ||
	    rule->persons >> _PERSON_ROLE_MAX || rule->actions >> _POLICY_ACTION_MAX ||
	    rule->dest_people >> _PERSON_ROLE_MAX || rule->dest_roles >> _DEVICE_ROLE_MAX ||
	    rule->verdicts >> _VERDICT_MAX || strpbrk(rule->line, "\n\t"))
		rbuf_fail(r, -EBADMSG);
	rule->effect = (enum policy_effect)effect;
	rule->min_tier = (enum tpm_tier)tier;
}

int policy_decode(const void *data, size_t len, struct policy *ret, struct kerr *err)
{
	_cleanup_free_ struct policy *p = calloc(1, sizeof(*p));
	struct rbuf r = rbuf_init(data, len);
	uint8_t version = rbuf_u8(&r);
	size_t count = rbuf_u16(&r);

	if (!p)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	if (version != POLICY_VERSION || count > POLICY_RULES_MAX)
		rbuf_fail(&r, -EBADMSG);
	for (size_t i = 0; i < count && rbuf_error(&r) == 0; i++)
		rule_get(&r, &p->rules[i]);
	if (rbuf_end(&r) < 0)
		return kerr_set(err, EBADMSG, KCODE_POLICY,
				"The policy cannot be read by this version of Kith, so it denies.");
	p->count = count;
	*ret = *p;
	return 0;
}

int policy_encode(const struct policy *policy, void *buf, size_t size, size_t *ret_len)
{
	struct wbuf w = wbuf_init(buf, size);

	wbuf_u8(&w, POLICY_VERSION);
	wbuf_u16(&w, (uint16_t)policy->count);
	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_rule *rule = &policy->rules[i];

		wbuf_u8(&w, (uint8_t)rule->effect);
		wbuf_u32(&w, rule->persons);
		wbuf_u32(&w, rule->actions);
		wbuf_u32(&w, rule->dest_people);
		wbuf_u32(&w, rule->dest_roles);
		wbuf_string(&w, rule->dest_name);
		wbuf_u32(&w, rule->verdicts);
		wbuf_u8(&w, (uint8_t)rule->min_tier);
		wbuf_u32(&w, rule->max_age_s);
		wbuf_string(&w, rule->line);
	}
	if (wbuf_error(&w) < 0)
		return wbuf_error(&w);
	*ret_len = w.len;
	return 0;
}
