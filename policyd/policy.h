/* SPDX-License-Identifier: Apache-2.0 */
/* Policy of a VM: the small binary form that travels with it, and the pure evaluation. */
#pragma once

#include <stdbool.h>

#include "base/ids.h"
#include "base/kerr.h"

#define POLICY_RULES_MAX 64
#define POLICY_LINE_MAX 159 /* text of one rule, without the NUL */
#define POLICY_VERSION 1

enum policy_action {
	POLICY_ACTION_MOVE_OUT,
	POLICY_ACTION_MOVE_IN,
	POLICY_ACTION_REQUEST,
	POLICY_ACTION_SUSPEND,
	POLICY_ACTION_STOP,
	POLICY_ACTION_ABORT,
	POLICY_ACTION_VIEW,
	_POLICY_ACTION_MAX,
};
DECLARE_NAMES(policy_action, enum policy_action);

enum policy_effect {
	POLICY_DENY,
	POLICY_ALLOW,
	_POLICY_EFFECT_MAX,
};

/* One rule. A zero mask means "any". Conditions that are not met make an allow rule not apply;
 * for a deny rule they narrow what it denies. */
struct policy_rule {
	enum policy_effect effect;
	uint32_t persons;     /* bit set of enum person_role: who asks */
	uint32_t actions;     /* bit set of enum policy_action; never zero */
	uint32_t dest_people; /* bit set of enum person_role: whose device; OWNER bit = own */
	uint32_t dest_roles;  /* bit set of enum device_role */
	char dest_name[NAME_MAX_LEN + 1]; /* "" = any */
	uint32_t verdicts;		  /* bit set of enum verdict */
	enum tpm_tier min_tier;
	uint32_t max_age_s;		/* of the evidence; 0 = any */
	char line[POLICY_LINE_MAX + 1]; /* the rule as its owner wrote it */
};

struct policy {
	size_t count;
	struct policy_rule rules[POLICY_RULES_MAX];
};

/* Everything a decision may depend on. `fresh` false: evidence is still to be taken, so verdict
 * and age conditions are assumed met; the same question is asked again with the evidence. */
struct policy_facts {
	enum person_role person;
	enum policy_action action;
	bool fresh;
	enum person_role dest_person; /* OWNER = the VM owner's own device */
	enum device_role dest_role;
	const char *dest_name;
	enum verdict verdict;
	enum tpm_tier tier;
	uint64_t age_s;
};

struct policy_decision {
	bool allowed;
	char rule[POLICY_LINE_MAX + 1]; /* the rule that decided; "" = none applied */
	struct kerr reason;		/* of a denial */
};

/* Default deny; deny wins over allow; total: always fills *ret. */
void policy_decide(const struct policy *policy, const char *vm, const struct policy_facts *facts,
		   struct policy_decision *ret);

/* Binary form: u8 version, u16 count, rules. -EBADMSG with a sentence for anything that is not
 * exactly a policy this version understands: an unreadable policy denies (S1-07). */
int policy_decode(const void *data, size_t len, struct policy *ret, struct kerr *err);
int policy_encode(const struct policy *policy, void *buf, size_t size, size_t *ret_len);
