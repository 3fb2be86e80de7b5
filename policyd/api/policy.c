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

/* -- Conditions -- */

static bool verdict_met(uint32_t wanted, const struct policy_facts *f)
{
	return in_mask(wanted, f->verdict);
}

static bool tier_met(uint32_t wanted, const struct policy_facts *f)
{
	return f->tier >= wanted;
}

static bool age_met(uint32_t wanted, const struct policy_facts *f)
{
	return f->age_s <= wanted;
}

/* Their words are in ui-tui/policytext.c. */
static const struct condition {
	bool (*met)(uint32_t wanted, const struct policy_facts *f);
	bool needs_evidence; /* cannot be judged before it is taken */
	bool is_byte;	     /* on the wire; else a u32 */
	uint32_t max;
} conditions[_POLICY_CONDITION_MAX] = {
	[POLICY_CONDITION_VERDICT] = {.met = verdict_met,
				      .needs_evidence = true,
				      .max = POLICY_BIT(_VERDICT_MAX) - 1},
	[POLICY_CONDITION_TIER] = {.met = tier_met, .is_byte = true, .max = _TPM_TIER_MAX - 1},
	[POLICY_CONDITION_AGE] = {.met = age_met, .needs_evidence = true, .max = UINT32_MAX},
};

/* -- Evaluation -- */

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
		if (conditions[i].needs_evidence && !f->fresh)
			j = WAITS;
		else if (!conditions[i].met(rule->condition[i], f))
			return UNMET;
	}
	return j;
}

static const char *whose(const struct policy_facts *f)
{
	return f->dest_person == PERSON_ROLE_OWNER ? "the owner's own"
						   : person_role_to_string(f->dest_person);
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
		kerr_set(ret, EACCES,
			 tier_met(rule->condition[POLICY_CONDITION_TIER], f) ? KCODE_POLICY
									     : KCODE_TIER,
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

/* -- Binary form -- */

/* A bit this version does not know could be a restriction: refuse, never ignore. */
static void mask_code(struct coder *c, uint32_t *mask, unsigned max)
{
	code_u32(c, mask);
	code_check(c, *mask < POLICY_BIT(max));
}

static void rule_code(struct coder *c, struct policy_rule *rule)
{
	CODE_ENUM(c, rule->effect, _POLICY_EFFECT_MAX);
	mask_code(c, &rule->persons, _PERSON_ROLE_MAX);
	mask_code(c, &rule->actions, _POLICY_ACTION_MAX);
	code_check(c, rule->actions);
	mask_code(c, &rule->dest_people, _PERSON_ROLE_MAX);
	mask_code(c, &rule->dest_roles, _DEVICE_ROLE_MAX);
	CODE_TEXT(c, rule->dest_name);
	for (size_t i = 0; i < _POLICY_CONDITION_MAX; i++) {
		const struct condition *k = &conditions[i];

		if (k->is_byte)
			CODE_ENUM(c, rule->condition[i], k->max + 1);
		else
			code_u32(c, &rule->condition[i]);
		code_check(c, rule->condition[i] <= k->max);
	}
	CODE_TEXT(c, rule->line);
	code_check(c, !strpbrk(rule->line, "\n\t"));
}

void policy_code(struct coder *c, struct policy *policy)
{
	uint8_t version = POLICY_VERSION;
	uint16_t count = (uint16_t)policy->count;

	code_u8(c, &version);
	code_u16(c, &count);
	code_check(c, version == POLICY_VERSION && count <= POLICY_RULES_MAX);
	for (size_t i = 0; i < count && code_good(c); i++)
		rule_code(c, &policy->rules[i]);
	policy->count = count;
}

int policy_decode(const void *data, size_t len, struct policy *ret, struct kerr *err)
{
	struct rbuf r = rbuf_init(data, len);
	struct coder c = {.r = &r};

	memset(ret, 0, sizeof(*ret));
	policy_code(&c, ret);
	if (rbuf_end(&r) == 0)
		return 0;
	ret->count = 0;
	return kerr_set(err, EBADMSG, KCODE_POLICY,
			"The policy cannot be read by this version of Kith, so it denies.");
}
