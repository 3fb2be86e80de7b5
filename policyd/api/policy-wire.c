/* SPDX-License-Identifier: Apache-2.0 */
/* The binary form of a policy. */
#include <string.h>

#include "policyd/api/policy.h"

/* A bit this version does not know could be a restriction: refuse, never ignore. */
static void mask_code(struct coder *c, uint32_t *mask, unsigned max)
{
	code_u32(c, mask);
	code_check(c, *mask < POLICY_BIT(max));
}

static void rule_code(struct coder *c, struct policy_rule *rule, uint8_t version)
{
	CODE_ENUM(c, rule->effect, _POLICY_EFFECT_MAX);
	mask_code(c, &rule->persons, _PERSON_ROLE_MAX);
	mask_code(c, &rule->actions, _POLICY_ACTION_MAX);
	code_check(c, rule->actions);
	mask_code(c, &rule->dest_people, _PERSON_ROLE_MAX);
	mask_code(c, &rule->dest_roles, _DEVICE_ROLE_MAX);
	CODE_TEXT(c, rule->dest_name);
	for (size_t i = 0; i < _POLICY_CONDITION_MAX; i++) {
		if (policy_conditions[i].since > version)
			continue;
		if (policy_conditions[i].is_byte)
			CODE_ENUM(c, rule->condition[i], policy_conditions[i].max + 1);
		else
			code_u32(c, &rule->condition[i]);
		code_check(c,
			   policy_condition_possible((enum policy_condition)i, rule->condition[i]));
	}
	CODE_TEXT(c, rule->line);
	code_check(c, code_good(c) && !strpbrk(rule->line, "\n\t"));
}

/* The lowest that tells all of it, so that older devices read what they can. */
static uint8_t lowest_version(const struct policy *p)
{
	uint8_t version = 1;

	for (size_t i = 0; i < p->count && i < POLICY_RULES_MAX; i++)
		for (size_t k = 0; k < _POLICY_CONDITION_MAX; k++)
			if (p->rules[i].condition[k] && policy_conditions[k].since > version)
				version = policy_conditions[k].since;
	return version;
}

void policy_code(struct coder *c, struct policy *policy)
{
	uint8_t version = c->r ? 0 : lowest_version(policy);
	size_t count;

	code_u8(c, &version);
	code_check(c, version >= 1 && version <= POLICY_VERSION);
	count = code_count(c, policy->count, POLICY_RULES_MAX);
	for (size_t i = 0; i < count && code_good(c); i++)
		rule_code(c, &policy->rules[i], version);
	if (!c->r)
		return;
	policy->count = count;
	/* One policy has one form. */
	code_check(c, version == lowest_version(policy));
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
