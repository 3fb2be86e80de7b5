/* SPDX-License-Identifier: Apache-2.0 */
/* Policy of a VM: the small binary form that travels with it, and the pure evaluation. */
#pragma once

#include <stdbool.h>

#include "base/code.h"

#define POLICY_RULES_MAX 64
#define POLICY_LINE_MAX 159 /* text of one rule, without the NUL */
#define POLICY_VERSION 2    /* the highest that is understood; see struct policy_condition_row */
#define POLICY_BIT(value) (UINT32_C(1) << (value))

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

/* What a rule may depend on besides who, what and where; policy_conditions[] says the rest. */
enum policy_condition {
	POLICY_CONDITION_VERDICT, /* bit set of enum verdict */
	POLICY_CONDITION_TIER,	  /* the lowest enum tpm_tier */
	POLICY_CONDITION_AGE,	  /* of the evidence, in seconds: the highest */
	POLICY_CONDITION_HOURS,	  /* POLICY_HOURS() of the device that decides */
	POLICY_CONDITION_PCR,	  /* bit set of PCRs into which something was measured (S1-19) */
	_POLICY_CONDITION_MAX,
};

/* Two minutes of a day, the second not included. */
#define POLICY_HOURS(from, to) ((uint32_t)(from) << 16 | (uint32_t)(to))

/* One rule. A zero mask means "any", a condition that is zero is none. Conditions that are not met
 * make an allow rule not apply; for a deny rule they narrow what it denies. */
struct policy_rule {
	enum policy_effect effect;
	uint32_t persons;     /* bit set of enum person_role: who asks */
	uint32_t actions;     /* bit set of enum policy_action; never zero */
	uint32_t dest_people; /* bit set of enum person_role: whose device; OWNER bit = own */
	uint32_t dest_roles;  /* bit set of enum device_role */
	char dest_name[NAME_MAX_LEN + 1]; /* "" = any */
	uint32_t condition[_POLICY_CONDITION_MAX];
	char line[POLICY_LINE_MAX + 1]; /* the rule as its owner wrote it */
};

struct policy {
	size_t count;
	struct policy_rule rules[POLICY_RULES_MAX];
};

/* Everything a decision may depend on. `fresh` false: evidence is still to be taken, so
 * conditions on it are assumed met; the same question is asked again with the evidence. */
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
	uint32_t minute; /* of the day here, 0 to 1439 */
	uint32_t pcrs;	 /* bit set: those that hold something, neither all zeros nor all ones */
};

/* What a condition's number means, and how it is written. */
enum policy_kind {
	POLICY_KIND_ONE_OF,   /* bits of a name, a name for each time it is written */
	POLICY_KIND_ALL_OF,   /* bits of a number */
	POLICY_KIND_AT_LEAST, /* a name */
	POLICY_KIND_SECONDS,  /* at most */
	POLICY_KIND_HOURS,
	_POLICY_KIND_MAX,
};

struct policy_condition_row {
	const char *word, *relation; /* relation NULL = none */
	enum policy_kind kind;
	int (*name)(const char *word); /* number of a name, or negative */
	const char *expected;	       /* for people: what stands behind the word */
	uint32_t max;		       /* or, of a bit set, all of them */
	bool is_byte;		       /* on the wire; else a u32 */
	uint8_t since;	     /* policies that use it have at least this version: older devices must
				refuse what they do not know */
	bool needs_evidence; /* cannot be judged before it is taken */
	enum kcode code;     /* of a denial because of it; KCODE_OK = KCODE_POLICY */
	uint32_t (*fact)(const struct policy_facts *f);
};

extern const struct policy_condition_row policy_conditions[_POLICY_CONDITION_MAX];

/* Is it met? `wanted` is not zero. */
bool policy_condition_met(enum policy_condition which, uint32_t wanted,
			  const struct policy_facts *f);

/* Could a rule hold this number? Zero, which is no condition, always. */
bool policy_condition_possible(enum policy_condition which, uint32_t value);

struct policy_decision {
	bool allowed;
	char rule[POLICY_LINE_MAX + 1]; /* the rule that decided; "" = none applied */
	struct kerr reason;		/* of a denial */
};

/* Default deny; deny wins over allow; total: always fills *ret. */
void policy_decide(const struct policy *policy, const char *vm, const struct policy_facts *facts,
		   struct policy_decision *ret);

/* Binary form: u8 version, the lowest that has all of its conditions, u16 count, rules. Not const
 * only because one function serves both directions: what is written stays as it is. */
void policy_code(struct coder *c, struct policy *policy);

/* -EBADMSG with a sentence for anything that is not exactly a policy this version understands: an
 * unreadable policy has no rule, and denies (S1-07). */
int policy_decode(const void *data, size_t len, struct policy *ret, struct kerr *err);
