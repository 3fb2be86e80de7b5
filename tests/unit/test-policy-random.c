/* SPDX-License-Identifier: Apache-2.0 */
/* The policy's way from text over bytes to a decision, against a slow and obvious evaluator that
 * knows none of it: on random policies, and on the usual one for everything that can be asked. */
#include <glib.h>
#include <string.h>

#include "policyd/api/policy.h"
#include "ui-tui/policytext.h"

#define POLICIES 20000
#define QUESTIONS 5 /* of each */
#define RULES 6
#define NAMES 3

static const char *const device_names[NAMES] = {"desk", "lap", "the old one"};

/* A rule as a person thinks of it: what is listed, by number. Nothing listed means any. */
struct thought {
	bool deny, all_actions, to, own, iff;
	bool person[_PERSON_ROLE_MAX], action[_POLICY_ACTION_MAX], role[_DEVICE_ROLE_MAX];
	int dest_person; /* -1 = any */
	int device;	 /* -1 = any */
	bool verdict[_VERDICT_MAX];
	int tier;	     /* -1 = none */
	int age;	     /* seconds, 0 = none */
	int from, to_minute; /* equal = none */
	bool pcr[16];
};

/* -- thinking -- */

static bool chance(GRand *r, int percent)
{
	return g_rand_int_range(r, 0, 100) < percent;
}

static void think(GRand *r, struct thought *t)
{
	*t = (struct thought){.dest_person = -1, .device = -1, .tier = -1};
	t->deny = chance(r, 30);
	for (int i = 0; i < _PERSON_ROLE_MAX; i++)
		t->person[i] = chance(r, 40);
	t->all_actions = chance(r, 30);
	for (int i = 0; i < _POLICY_ACTION_MAX; i++)
		t->action[i] = chance(r, 30);
	t->action[g_rand_int_range(r, 0, _POLICY_ACTION_MAX)] = true;
	if (chance(r, 60))
		t->dest_person = g_rand_int_range(r, 0, _PERSON_ROLE_MAX);
	for (int i = 0; chance(r, 50) && i < _DEVICE_ROLE_MAX; i++)
		t->role[i] = chance(r, 40);
	if (chance(r, 30))
		t->device = g_rand_int_range(r, 0, NAMES);
	for (int i = 0; chance(r, 60) && i < _VERDICT_MAX; i++)
		t->verdict[i] = chance(r, 40);
	if (chance(r, 20))
		t->tier = g_rand_int_range(r, 1, _TPM_TIER_MAX);
	t->age = chance(r, 20) ? g_rand_int_range(r, 1, 100) : 0;
	if (chance(r, 20)) {
		t->from = g_rand_int_range(r, 0, 1440);
		t->to_minute = g_rand_int_range(r, 0, 1440);
	}
	for (int i = 0; chance(r, 30) && i < 16; i++)
		t->pcr[i] = chance(r, 20);
}

/* -- writing -- */

static int count(const bool *list, int n)
{
	int found = 0;

	for (int i = 0; i < n; i++)
		found += list[i];
	return found;
}

#define WRITE_LIST(s, list, max, name, between)                                       \
	for (int i_ = 0, first_ = 1; i_ < (max); i_++) {                              \
		if (!(list)[i_])                                                      \
			continue;                                                     \
		g_string_append_printf(s, "%s%s", first_ ? "" : (between), name(i_)); \
		first_ = 0;                                                           \
	}

static const char *person_word(int i)
{
	return person_role_to_string((enum person_role)i);
}

static const char *action_word(int i)
{
	return policy_action_to_string((enum policy_action)i);
}

static const char *role_word(int i)
{
	return device_role_to_string((enum device_role)i);
}

static void write_where(GString *s, const struct thought *t)
{
	if (t->dest_person < 0 && !count(t->role, _DEVICE_ROLE_MAX) && t->device < 0)
		return;
	g_string_append_printf(s, " to %s ",
			       t->dest_person < 0		     ? "any"
			       : t->dest_person == PERSON_ROLE_OWNER ? "own"
								     : person_word(t->dest_person));
	WRITE_LIST(s, t->role, _DEVICE_ROLE_MAX, role_word, ", ");
	if (t->device >= 0)
		g_string_append_printf(s, " device \"%s\"", device_names[t->device]);
}

static void write_conditions(GString *s, const struct thought *t)
{
	const char *gap = " if ";

	for (int i = 0; i < _VERDICT_MAX; i++)
		if (t->verdict[i]) {
			g_string_append_printf(s, "%sverdict %s", gap,
					       verdict_to_string((enum verdict)i));
			gap = ", ";
		}
	if (t->tier > 0) {
		g_string_append_printf(s, "%stier >= %s", gap,
				       tpm_tier_to_string((enum tpm_tier)t->tier));
		gap = ", ";
	}
	if (t->age) {
		g_string_append_printf(s, "%sage <= %ds", gap, t->age);
		gap = ", ";
	}
	if (t->from != t->to_minute) {
		g_string_append_printf(s, "%shours %02d:%02d-%02d:%02d", gap, t->from / 60,
				       t->from % 60, t->to_minute / 60, t->to_minute % 60);
		gap = ", ";
	}
	for (int i = 0; i < 16; i++)
		if (t->pcr[i]) {
			g_string_append_printf(s, "%spcr %d", gap, i);
			gap = ", ";
		}
}

/* False if it is longer than a line may be. */
static bool write_rule(GString *text, const struct thought *t)
{
	g_autoptr(GString) s = g_string_new(t->deny ? "deny " : "allow ");

	if (count(t->person, _PERSON_ROLE_MAX)) {
		WRITE_LIST(s, t->person, _PERSON_ROLE_MAX, person_word, ",");
	} else {
		g_string_append(s, "anyone");
	}
	g_string_append_c(s, ' ');
	if (t->all_actions) {
		g_string_append(s, "all");
	} else {
		WRITE_LIST(s, t->action, _POLICY_ACTION_MAX, action_word, ",");
	}
	write_where(s, t);
	write_conditions(s, t);
	if (s->len > POLICY_LINE_MAX - 20)
		return false;
	g_string_append_printf(text, "%s\n", s->str);
	return true;
}

/* -- judging, slowly -- */

static bool about(const struct thought *t, const struct policy_facts *f)
{
	if (count(t->person, _PERSON_ROLE_MAX) && !t->person[f->person])
		return false;
	if (!t->all_actions && !t->action[f->action])
		return false;
	if (t->dest_person >= 0 && (int)f->dest_person != t->dest_person)
		return false;
	if (count(t->role, _DEVICE_ROLE_MAX) && !t->role[f->dest_role])
		return false;
	return t->device < 0 || strcmp(device_names[t->device], f->dest_name) == 0;
}

static bool minute_fits(const struct thought *t, uint32_t minute)
{
	int m = t->from;

	if (t->from == t->to_minute)
		return true;
	for (; m != t->to_minute; m = (m + 1) % 1440)
		if ((uint32_t)m == minute)
			return true;
	return false;
}

/* What can be judged without evidence. */
static bool plain_met(const struct thought *t, const struct policy_facts *f)
{
	return (t->tier < 0 || (int)f->tier >= t->tier) && minute_fits(t, f->minute);
}

static bool evidence_met(const struct thought *t, const struct policy_facts *f)
{
	if (count(t->verdict, _VERDICT_MAX) && !t->verdict[f->verdict])
		return false;
	if (t->age && f->age_s > (uint64_t)t->age)
		return false;
	for (unsigned i = 0; i < 16; i++)
		if (t->pcr[i] && !(f->pcrs & 1u << i))
			return false;
	return true;
}

static bool needs_evidence(const struct thought *t)
{
	return count(t->verdict, _VERDICT_MAX) || t->age || count(t->pcr, 16);
}

/* Deny wins; what waits for evidence allows for now, and does not deny yet. */
static bool judge(const struct thought *t, size_t n, const struct policy_facts *f)
{
	bool allowed = false;

	for (size_t i = 0; i < n; i++) {
		if (!about(&t[i], f) || !plain_met(&t[i], f))
			continue;
		if (f->fresh && !evidence_met(&t[i], f))
			continue;
		if (t[i].deny && (f->fresh || !needs_evidence(&t[i])))
			return false;
		if (!t[i].deny)
			allowed = true;
	}
	return allowed;
}

/* -- the two of them -- */

static struct policy_facts ask(GRand *r)
{
	return (struct policy_facts){
		.person = (enum person_role)g_rand_int_range(r, 0, _PERSON_ROLE_MAX),
		.action = (enum policy_action)g_rand_int_range(r, 0, _POLICY_ACTION_MAX),
		.fresh = chance(r, 80),
		.dest_person = (enum person_role)g_rand_int_range(r, 0, _PERSON_ROLE_MAX),
		.dest_role = (enum device_role)g_rand_int_range(r, 0, _DEVICE_ROLE_MAX),
		.dest_name = device_names[g_rand_int_range(r, 0, NAMES)],
		.verdict = (enum verdict)g_rand_int_range(r, 0, _VERDICT_MAX),
		.tier = (enum tpm_tier)g_rand_int_range(r, 0, _TPM_TIER_MAX),
		.age_s = (uint64_t)g_rand_int_range(r, 0, 100),
		.minute = (uint32_t)g_rand_int_range(r, 0, 1440),
		.pcrs = g_rand_int(r) | g_rand_int(r),
	};
}

static void compile(const char *text, struct policy *ret)
{
	static uint8_t bytes[65536];
	static struct policy compiled;
	struct kerr err = {0};
	size_t len = 0;
	int r = policytext_compile(text, &compiled, &err);

	if (r < 0)
		g_error("%s\n%s", err.text, text);
	g_assert_cmpint(policytext_encode(&compiled, bytes, sizeof(bytes), &len), ==, 0);
	g_assert_cmpint(policy_decode(bytes, len, ret, &err), ==, 0);
}

static size_t think_policy(GRand *r, struct thought *t, GString *text)
{
	size_t n = 0, want = (size_t)g_rand_int_range(r, 1, RULES + 1);

	g_string_truncate(text, 0);
	while (n < want) {
		think(r, &t[n]);
		n += write_rule(text, &t[n]);
	}
	return n;
}

static void test_random(void)
{
	guint32 seed = g_test_rand_int() ? (guint32)g_test_rand_int() : 1;
	g_autoptr(GRand) r = g_rand_new_with_seed(seed);
	g_autoptr(GString) text = g_string_new(NULL);
	static struct policy policy;
	struct thought t[RULES];
	unsigned said[2] = {0};

	for (int i = 0; i < POLICIES; i++) {
		size_t n = think_policy(r, t, text);

		compile(text->str, &policy);
		for (int k = 0; k < QUESTIONS; k++) {
			struct policy_facts f = ask(r);
			struct policy_decision d;
			bool want = judge(t, n, &f);

			policy_decide(&policy, "work", &f, &d);
			said[want]++;
			if (d.allowed != want)
				g_error("seed %u, policy %d, question %d: %d\n%s", seed, i, k,
					d.allowed, text->str);
			g_assert_true(d.allowed == (d.reason.code == KCODE_OK));
		}
	}
	g_test_message("%u allowed, %u denied", said[1], said[0]);
	/* Else it would prove little. */
	g_assert_cmpuint(said[0], >, POLICIES * QUESTIONS / 20);
	g_assert_cmpuint(said[1], >, POLICIES * QUESTIONS / 20);
}

/* The usual rules, said once more in C. */
static bool usual(const struct policy_facts *f)
{
	bool moves = f->action == POLICY_ACTION_MOVE_OUT || f->action == POLICY_ACTION_MOVE_IN;
	bool host = f->dest_role == DEVICE_ROLE_LAPTOP || f->dest_role == DEVICE_ROLE_DESKTOP ||
		    f->dest_role == DEVICE_ROLE_SERVER;

	if (f->person == PERSON_ROLE_GUEST || (moves && f->dest_person == PERSON_ROLE_GUEST))
		return false;
	if (f->person == PERSON_ROLE_FAMILY)
		return f->action == POLICY_ACTION_VIEW;
	return f->person == PERSON_ROLE_OWNER && f->dest_person == PERSON_ROLE_OWNER && host &&
	       f->verdict == VERDICT_TRUSTED;
}

static void test_usual(void)
{
	static struct policy policy;
	struct policy_decision d;
	unsigned rows = 0;

	compile(policytext_default, &policy);
	for (unsigned i = 0; i < 1u << 15; i++) {
		struct policy_facts f = {.person = i & 7,
					 .action = i >> 3 & 7,
					 .fresh = true,
					 .dest_person = i >> 6 & 7,
					 .dest_role = i >> 9 & 7,
					 .dest_name = "desk",
					 .verdict = i >> 12 & 7,
					 .tier = TPM_TIER_HARDWARE};

		if (f.person >= _PERSON_ROLE_MAX || f.action >= _POLICY_ACTION_MAX ||
		    f.dest_person >= _PERSON_ROLE_MAX || f.dest_role >= _DEVICE_ROLE_MAX ||
		    f.verdict >= _VERDICT_MAX)
			continue;
		policy_decide(&policy, "work", &f, &d);
		if (d.allowed != usual(&f))
			g_error("%s %s to %s %s, %s: %d", person_word((int)f.person),
				action_word((int)f.action), person_word((int)f.dest_person),
				role_word((int)f.dest_role), verdict_to_string(f.verdict),
				d.allowed);
		rows++;
	}
	g_test_message("%u rows", rows);
	g_assert_cmpuint(rows, >=, 500);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/policy/random policies are judged as by hand", test_random);
	g_test_add_func("/policy/S1-15 S1-17 the usual one, whatever is asked", test_usual);
	return g_test_run();
}
