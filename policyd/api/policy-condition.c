/* SPDX-License-Identifier: Apache-2.0 */
/* The conditions of a policy: one row is all that there is to each of them. */
#include "policyd/api/policy.h"

#define DAY_MINUTES 1440

static uint32_t fact_verdict(const struct policy_facts *f)
{
	return f->verdict;
}

static uint32_t fact_tier(const struct policy_facts *f)
{
	return f->tier;
}

static uint32_t fact_age(const struct policy_facts *f)
{
	return (uint32_t)MIN_OF(f->age_s, (uint64_t)UINT32_MAX);
}

static uint32_t fact_minute(const struct policy_facts *f)
{
	return f->minute;
}

static uint32_t fact_pcrs(const struct policy_facts *f)
{
	return f->pcrs;
}

/* The order is that on the wire. */
const struct policy_condition_row policy_conditions[_POLICY_CONDITION_MAX] = {
	[POLICY_CONDITION_VERDICT] = {.word = "verdict",
				      .kind = POLICY_KIND_ONE_OF,
				      .name = verdict_from_string,
				      .expected =
					      "a verdict (trusted, stale, unknown or untrusted)",
				      .max = POLICY_BIT(_VERDICT_MAX) - 1,
				      .since = 1,
				      .needs_evidence = true,
				      .fact = fact_verdict},
	[POLICY_CONDITION_TIER] = {.word = "tier",
				   .relation = ">=",
				   .kind = POLICY_KIND_AT_LEAST,
				   .name = tpm_tier_from_string,
				   .expected = "a tier (software, pinned or hardware)",
				   .max = _TPM_TIER_MAX - 1,
				   .is_byte = true,
				   .since = 1,
				   .code = KCODE_TIER,
				   .fact = fact_tier},
	[POLICY_CONDITION_AGE] = {.word = "age",
				  .relation = "<=",
				  .kind = POLICY_KIND_SECONDS,
				  .expected = "a time such as 30s, 10m, 24h or 7d",
				  .max = UINT32_MAX,
				  .since = 1,
				  .needs_evidence = true,
				  .fact = fact_age},
	[POLICY_CONDITION_HOURS] = {.word = "hours",
				    .kind = POLICY_KIND_HOURS,
				    .expected = "two times of a day such as 08:00-18:30",
				    .since = 2,
				    .fact = fact_minute},
	[POLICY_CONDITION_PCR] = {.word = "pcr",
				  .kind = POLICY_KIND_ALL_OF,
				  .expected = "the number of a PCR (0 to 23)",
				  .max = PCR_MASK_ALL & ~PCR_MASK_RESETTABLE,
				  .since = 2,
				  .needs_evidence = true,
				  .fact = fact_pcrs},
};

/* From 22:00 to 06:00 is the night; the last minute is not in it. */
static bool is_in_hours(uint32_t wanted, uint32_t minute)
{
	uint32_t from = wanted >> 16, to = wanted & UINT16_MAX;

	return from < to ? minute >= from && minute < to : minute >= from || minute < to;
}

bool policy_condition_met(enum policy_condition which, uint32_t wanted,
			  const struct policy_facts *f)
{
	uint32_t fact = policy_conditions[which].fact(f);

	switch (policy_conditions[which].kind) {
	case POLICY_KIND_ONE_OF:
		return wanted & POLICY_BIT(fact);
	case POLICY_KIND_ALL_OF:
		return (fact & wanted) == wanted;
	case POLICY_KIND_AT_LEAST:
		return fact >= wanted;
	case POLICY_KIND_SECONDS:
		return fact <= wanted;
	case POLICY_KIND_HOURS:
		return is_in_hours(wanted, fact);
	case _POLICY_KIND_MAX:
		break;
	}
	return false;
}

static bool are_hours(uint32_t value)
{
	uint32_t from = value >> 16, to = value & UINT16_MAX;

	return !value || (from < DAY_MINUTES && to < DAY_MINUTES && from != to);
}

bool policy_condition_possible(enum policy_condition which, uint32_t value)
{
	const struct policy_condition_row *row = &policy_conditions[which];

	switch (row->kind) {
	case POLICY_KIND_ONE_OF:
	case POLICY_KIND_ALL_OF:
		return !(value & ~row->max);
	case POLICY_KIND_AT_LEAST:
	case POLICY_KIND_SECONDS:
		return value <= row->max;
	case POLICY_KIND_HOURS:
		return are_hours(value);
	case _POLICY_KIND_MAX:
		break;
	}
	return false;
}
