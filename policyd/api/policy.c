/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation of a VM's policy: small, total, deny by default, with a reason for each answer. */
#include "policyd/api/policy.h"

#include <string.h>

static const char *const policy_action_names[_POLICY_ACTION_MAX] = {
	[POLICY_ACTION_MOVE_OUT] = "move-out", [POLICY_ACTION_MOVE_IN] = "move-in",
	[POLICY_ACTION_REQUEST] = "request",   [POLICY_ACTION_SUSPEND] = "suspend",
	[POLICY_ACTION_STOP] = "stop",	       [POLICY_ACTION_ABORT] = "abort",
	[POLICY_ACTION_VIEW] = "view",
};
DEFINE_NAMES(policy_action, enum policy_action, _POLICY_ACTION_MAX)

static bool in_mask(uint32_t mask, unsigned value)
{
	return !mask || mask & POLICY_BIT(value);
}

/* Who, what and where: the part of a rule that evidence cannot change. */
static bool rule_is_about(const struct policy_rule *rule, const struct policy_facts *f)
{
	return in_mask(rule->persons, f->person) && in_mask(rule->actions, f->action) &&
	       in_mask(rule->dest_people, f->dest_person) &&
	       in_mask(rule->dest_roles, f->dest_role) &&
	       (!rule->dest_name[0] || strcmp(rule->dest_name, f->dest_name) == 0);
}

enum judgement {
	NOT_ABOUT,
	UNMET,
	WAITS, /* met, but for conditions on evidence that is still to be taken */
	MET,
};

static enum judgement judge(const struct policy_rule *rule, const struct policy_facts *f)
{
	enum judgement j = rule_is_about(rule, f) ? MET : NOT_ABOUT;

	for (size_t i = 0; j != NOT_ABOUT && i < _POLICY_CONDITION_MAX; i++) {
		if (!rule->condition[i])
			continue;
		if (policy_conditions[i].needs_evidence && !f->fresh)
			j = WAITS;
		else if (!policy_condition_met((enum policy_condition)i, rule->condition[i], f))
			return UNMET;
	}
	return j;
}

static const char *whose(const struct policy_facts *f)
{
	return f->dest_person == PERSON_ROLE_OWNER ? "the owner's own"
						   : person_role_to_string(f->dest_person);
}

/* Of an allow rule that is not met: the first condition's that has one of its own. */
static enum kcode unmet_code(const struct policy_rule *rule, const struct policy_facts *f)
{
	for (size_t i = 0; i < _POLICY_CONDITION_MAX; i++)
		if (policy_conditions[i].code != KCODE_OK && rule->condition[i] &&
		    !policy_condition_met((enum policy_condition)i, rule->condition[i], f))
			return policy_conditions[i].code;
	return KCODE_POLICY;
}

/* Why it is denied: by a deny rule, by an allow rule that is nearly right, or by none (NULL). */
static void explain(const struct policy_rule *rule, const char *vm, const struct policy_facts *f,
		    struct kerr *ret)
{
	const char *action = policy_action_to_string(f->action);

	if (!rule)
		kerr_set(ret, EACCES, KCODE_POLICY,
			 "The policy of \"%s\" has no rule that lets %s %s it to \"%s\" (%s %s); "
			 "what is not allowed is denied.",
			 vm, person_role_to_string(f->person), action, f->dest_name, whose(f),
			 device_role_to_string(f->dest_role));
	else if (rule->effect == POLICY_DENY)
		kerr_set(ret, EACCES, KCODE_POLICY,
			 "The policy of \"%s\" forbids \"%s\" to \"%s\": %s.", vm, action,
			 f->dest_name, rule->line);
	else
		kerr_set(ret, EACCES, unmet_code(rule, f),
			 "The policy of \"%s\" allows \"%s\" to \"%s\" only under a condition that "
			 "is not met now: %s.",
			 vm, action, f->dest_name, rule->line);
}

void policy_decide(const struct policy *policy, const char *vm, const struct policy_facts *facts,
		   struct policy_decision *ret)
{
	const struct policy_rule *allow = NULL, *deny = NULL, *nearly = NULL, *by;

	for (size_t i = 0; i < policy->count && !deny; i++) {
		const struct policy_rule *rule = &policy->rules[i];
		enum judgement j = judge(rule, facts);

		if (j == NOT_ABOUT)
			continue;
		if (rule->effect == POLICY_DENY)
			deny = j == MET ? rule : NULL; /* what waits must not deny early */
		else if (j == UNMET)
			nearly = nearly ? nearly : rule;
		else
			allow = allow ? allow : rule;
	}
	by = deny ? deny : allow ? allow : nearly;
	*ret = (struct policy_decision){.allowed = allow && !deny};
	if (by)
		memcpy(ret->rule, by->line, sizeof(ret->rule));
	if (!ret->allowed)
		explain(by, vm, facts, &ret->reason);
}
