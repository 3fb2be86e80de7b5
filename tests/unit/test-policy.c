/* SPDX-License-Identifier: Apache-2.0 */
/* Policy: text to binary to decision; each denial beside the permission it must not break. */
#include <glib.h>
#include <string.h>

#include "attest/quote.h"
#include "policyd/api/policy.h"
#include "tests/unit/golden.h"
#include "ui-tui/policytext.h"

static struct policy *compile(const char *text)
{
	struct policy *p = g_new0(struct policy, 1);
	struct kerr err = {0};

	g_assert_cmpint(policytext_compile(text, p, &err), ==, 0);
	return p;
}

static struct policy_facts move_to(enum person_role whose, enum device_role role, const char *name)
{
	return (struct policy_facts){
		.person = PERSON_ROLE_OWNER,
		.action = POLICY_ACTION_MOVE_OUT,
		.fresh = true,
		.dest_person = whose,
		.dest_role = role,
		.dest_name = name,
		.verdict = VERDICT_TRUSTED,
		.tier = TPM_TIER_SOFTWARE,
		.age_s = 1,
	};
}

static bool allowed(const char *text, const struct policy_facts *f, struct policy_decision *ret)
{
	g_autofree struct policy *p = compile(text);
	struct policy_decision d;

	policy_decide(p, "work", f, &d);
	g_assert_true(d.allowed == (d.reason.code == KCODE_OK));
	if (ret)
		*ret = d;
	return d.allowed;
}

static void test_s1_15(void)
{
	struct policy_facts own = move_to(PERSON_ROLE_OWNER, DEVICE_ROLE_DESKTOP, "desktop");
	struct policy_facts bob = move_to(PERSON_ROLE_GUEST, DEVICE_ROLE_DESKTOP, "bobs");
	struct policy_facts weak = own;
	struct policy_decision d;

	weak.verdict = VERDICT_UNTRUSTED;
	g_assert_true(allowed(policytext_default, &own, &d));
	g_assert_cmpstr(d.rule, ==,
			"allow owner all to own laptop, desktop, server if verdict trusted");
	g_assert_false(allowed(policytext_default, &bob, &d));
	g_assert_cmpint(d.reason.code, ==, KCODE_POLICY);
	g_assert_cmpstr(d.rule, ==, "deny anyone move-out, move-in to guest");
	g_assert_false(allowed(policytext_default, &weak, &d));
	/* Bob's machine below level, where the policy would let it leave. */
	bob.tier = TPM_TIER_NONE;
	g_assert_false(allowed("allow owner move-out to guest if tier >= software", &bob, &d));
	g_assert_cmpint(d.reason.code, ==, KCODE_TIER);
	bob.tier = TPM_TIER_SOFTWARE;
	g_assert_true(allowed("allow owner move-out to guest if tier >= software", &bob, NULL));
}

static void test_s1_17(void)
{
	struct policy_facts f = move_to(PERSON_ROLE_OWNER, DEVICE_ROLE_LAPTOP, "l");

	g_assert_true(allowed(policytext_default, &f, NULL));
	f.person = PERSON_ROLE_GUEST;
	g_assert_false(allowed(policytext_default, &f, NULL));
	f.person = PERSON_ROLE_FAMILY;
	g_assert_false(allowed(policytext_default, &f, NULL));
	f.action = POLICY_ACTION_VIEW;
	g_assert_true(allowed(policytext_default, &f, NULL));
}

static void test_deny_wins(void)
{
	struct policy_facts f = move_to(PERSON_ROLE_OWNER, DEVICE_ROLE_LAPTOP, "old");

	g_assert_false(
		allowed("allow anyone all\ndeny anyone move-out to device \"old\"", &f, NULL));
	g_assert_false(
		allowed("deny anyone move-out to device \"old\"\nallow anyone all", &f, NULL));
	g_assert_false(
		allowed("allow anyone all\ndeny anyone move-out to device\"old\"", &f, NULL));
	f.dest_name = "new";
	g_assert_true(
		allowed("allow anyone all\ndeny anyone move-out to device \"old\"", &f, NULL));
}

static void test_conditions(void)
{
	const char *text = "allow owner move-out to own if verdict trusted, age <= 1m";
	struct policy_facts f = move_to(PERSON_ROLE_OWNER, DEVICE_ROLE_LAPTOP, "l");

	f.age_s = 60;
	g_assert_true(allowed(text, &f, NULL));
	f.age_s = 61;
	g_assert_false(allowed(text, &f, NULL));
	/* Before the evidence is taken, the same question is only about who and where. */
	f.fresh = false;
	f.verdict = VERDICT_STALE;
	g_assert_true(allowed(text, &f, NULL));
	f.dest_person = PERSON_ROLE_GUEST;
	g_assert_false(allowed(text, &f, NULL));
	/* A deny that depends on evidence waits for it. */
	f = move_to(PERSON_ROLE_OWNER, DEVICE_ROLE_LAPTOP, "l");
	f.fresh = false;
	g_assert_true(allowed("allow anyone all\ndeny anyone move-out if verdict stale", &f, NULL));
	f.fresh = true;
	f.verdict = VERDICT_STALE;
	g_assert_false(
		allowed("allow anyone all\ndeny anyone move-out if verdict stale", &f, NULL));
}

/* By day, and over midnight; judged before there is evidence. */
static void test_hours(void)
{
	static const struct {
		const char *hours;
		unsigned minute;
		bool allowed;
	} rows[] = {
		{"08:00-18:30", 479, false},  {"08:00-18:30", 480, true},
		{"08:00-18:30", 1109, true},  {"08:00-18:30", 1110, false},
		{"22:00-06:00", 1319, false}, {"22:00-06:00", 1320, true},
		{"22:00-06:00", 0, true},     {"22:00-06:00", 359, true},
		{"22:00-06:00", 360, false},  {"00:00-00:01", 0, true},
		{"00:00-00:01", 1, false},    {"23:59-00:00", 1439, true},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct policy_facts f = move_to(PERSON_ROLE_OWNER, DEVICE_ROLE_LAPTOP, "l");
		g_autofree char *allow =
			g_strdup_printf("allow owner all if hours %s", rows[i].hours);
		g_autofree char *deny = g_strdup_printf(
			"allow owner all\ndeny owner all if hours %s", rows[i].hours);

		f.fresh = false;
		f.minute = rows[i].minute;
		g_assert_true(allowed(allow, &f, NULL) == rows[i].allowed);
		g_assert_true(allowed(deny, &f, NULL) == !rows[i].allowed);
	}
}

/* S1-19: a register that nothing was measured into proves nothing. */
static void test_s1_19(void)
{
	static const char text[] = "allow owner all if pcr 17, pcr 18";
	struct policy_facts f = move_to(PERSON_ROLE_OWNER, DEVICE_ROLE_LAPTOP, "l");
	uint8_t values[PCR_COUNT][HASH_LEN] = {0};
	struct policy_decision d;

	f.pcrs = pcrs_extended(PCR_MASK_ALL, values);
	g_assert_false(allowed(text, &f, &d));
	g_assert_cmpint(d.reason.code, ==, KCODE_POLICY);
	memset(values[17], 0xff, HASH_LEN);
	memset(values[18], 0x17, HASH_LEN);
	values[18][3] = 1;
	f.pcrs = pcrs_extended(PCR_MASK_ALL, values);
	g_assert_cmphex(f.pcrs, ==, POLICY_BIT(18));
	g_assert_false(allowed(text, &f, NULL));
	values[17][31] = 0;
	f.pcrs = pcrs_extended(PCR_MASK_ALL, values);
	g_assert_true(allowed(text, &f, NULL));
	/* What is not in the evidence is not measured. */
	f.pcrs = pcrs_extended(POLICY_BIT(17), values);
	g_assert_false(allowed(text, &f, NULL));
	f.fresh = false;
	g_assert_true(allowed(text, &f, NULL));
}

static void test_default_deny(void)
{
	struct policy_facts f = move_to(PERSON_ROLE_OWNER, DEVICE_ROLE_LAPTOP, "l");
	struct policy empty = {0};
	struct policy_decision d;

	policy_decide(&empty, "work", &f, &d);
	g_assert_false(d.allowed);
	g_assert_cmpint(d.reason.code, ==, KCODE_POLICY);
}

static void test_bad_text(void)
{
	static const char *const bad[] = {
		"",
		"# only a comment\n",
		"permit owner all",
		"allow",
		"allow owner",
		"allow owner fly",
		"allow nobody all",
		"allow owner all to",
		"allow owner all to own x",
		"allow owner all if",
		"allow owner all if weather fine",
		"allow owner all if age <= 0s",
		"allow owner all if age <= 5",
		"allow owner all if age <= 36526s",
		"allow owner all if age < 5s",
		"allow owner all if tier >= gold",
		"allow owner all if verdict good",
		"allow owner all if hours 8:00-18:00",
		"allow owner all if hours 08:00-24:00",
		"allow owner all if hours 08:60-09:00",
		"allow owner all if hours 08:00-08:00",
		"allow owner all if hours 08:00-09:000",
		"allow owner all if hours 08:00",
		"allow owner all if pcr 16",
		"allow owner all if pcr 23",
		"allow owner all if pcr 24",
		"allow owner all if pcr -1",
		"allow owner all if pcr 7x",
		"allow owner all if pcr",
		"allow owner all to device \"x",
		"allow owner all to device\"x",
		"allow owner, all",
		"allow owner all to device \"\"",
		"allow owner all\x01",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct kerr err = {0};
		struct policy *p = g_new0(struct policy, 1);

		g_assert_cmpint(policytext_compile(bad[i], p, &err), <, 0);
		g_assert_cmpint(err.code, ==, KCODE_USAGE);
		g_assert_cmpint(p->count, ==, 0);
		g_free(p);
	}
}

/* The words of a table, and none of them forgotten. */
static void test_expected_condition(void)
{
	struct kerr err = {0};
	struct policy p;

	g_assert_cmpint(policytext_compile("\nallow owner all if weather fine", &p, &err), <, 0);
	g_assert_cmpstr(err.text, ==,
			"Line 2, column 20 of the policy: \"weather\" where a condition (verdict, "
			"tier, age, hours or "
			"pcr) "
			"is expected.");
}

static void test_s1_07(void)
{
	g_autofree struct policy *p = compile(policytext_default);
	g_autofree struct policy *back = g_new0(struct policy, 1);
	struct kerr err = {0};
	uint8_t buf[32768];
	size_t len;

	g_assert_cmpint(policytext_encode(p, buf, sizeof(buf), &len), ==, 0);
	g_assert_cmpint(policy_decode(buf, len, back, &err), ==, 0);
	g_assert_cmpmem(p, sizeof(*p), back, sizeof(*back));
	for (size_t cut = 0; cut < len; cut++) {
		kerr_clear(&err);
		g_assert_cmpint(policy_decode(buf, cut, back, &err), <, 0);
		g_assert_cmpint(err.code, ==, KCODE_POLICY);
	}
	buf[len] = 0;
	g_assert_cmpint(policy_decode(buf, len + 1, back, NULL), <, 0);
	/* An unknown action bit could be a restriction of a newer version. */
	buf[3 + 1 + 4 + 3] |= 0x80;
	g_assert_cmpint(policy_decode(buf, len, back, NULL), <, 0);
}

/* A policy that older devices could read is not hidden from them, and none has two forms. */
static void test_version(void)
{
	static const char *const texts[] = {"allow owner all if age <= 1m",
					    "allow owner all if hours 08:00-09:00",
					    "allow owner all\nallow owner view if pcr 7"};

	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autofree struct policy *p = compile(texts[i]);
		g_autofree struct policy *back = g_new0(struct policy, 1);
		static uint8_t buf[32768];
		size_t len;

		g_assert_cmpint(policytext_encode(p, buf, sizeof(buf), &len), ==, 0);
		g_assert_cmpint(buf[0], ==, i ? 2 : 1);
		g_assert_cmpint(policy_decode(buf, len, back, NULL), ==, 0);
		for (int version = 0; version < 256; version++) {
			if (version == (i ? 2 : 1))
				continue;
			buf[0] = (uint8_t)version;
			g_assert_cmpint(policy_decode(buf, len, back, NULL), <, 0);
		}
	}
}

static int written(const struct policy *good, void (*spoil)(struct policy *p))
{
	static uint8_t buf[32768];
	g_autofree struct policy *p = g_memdup2(good, sizeof(*good));
	size_t len;

	if (spoil)
		spoil(p);
	return policytext_encode(p, buf, sizeof(buf), &len);
}

static void no_action(struct policy *p)
{
	p->rules[0].actions = 0;
}

static void unknown_person(struct policy *p)
{
	p->rules[0].persons = POLICY_BIT(_PERSON_ROLE_MAX);
}

static void unknown_effect(struct policy *p)
{
	p->rules[0].effect = _POLICY_EFFECT_MAX;
}

static void unknown_tier(struct policy *p)
{
	p->rules[0].condition[POLICY_CONDITION_TIER] = _TPM_TIER_MAX;
}

static void unknown_verdict(struct policy *p)
{
	p->rules[0].condition[POLICY_CONDITION_VERDICT] = POLICY_BIT(_VERDICT_MAX);
}

static void no_time(struct policy *p)
{
	p->rules[0].condition[POLICY_CONDITION_HOURS] = POLICY_HOURS(0, 1440);
}

static void never(struct policy *p)
{
	p->rules[0].condition[POLICY_CONDITION_HOURS] = POLICY_HOURS(60, 60);
}

static void weak_pcr(struct policy *p)
{
	p->rules[0].condition[POLICY_CONDITION_PCR] = POLICY_BIT(16);
}

static void two_lines(struct policy *p)
{
	memcpy(p->rules[0].line, "a\nb", 4);
}

static void no_end(struct policy *p)
{
	memset(p->rules[0].line, 'a', sizeof(p->rules[0].line));
}

static void too_many(struct policy *p)
{
	p->count = POLICY_RULES_MAX + 1;
}

/* As a u16 that is one rule. */
static void far_too_many(struct policy *p)
{
	p->count = (size_t)UINT16_MAX + 2;
}

/* Nobody signs what no device would read. */
static void test_not_written(void)
{
	static void (*const bad[])(struct policy * p) = {
		no_action,	 unknown_person, unknown_effect, unknown_tier,
		unknown_verdict, no_time,	 never,		 weak_pcr,
		two_lines,	 no_end,	 too_many,	 far_too_many,
	};
	g_autofree struct policy *p = compile(policytext_default);

	g_assert_cmpint(written(p, NULL), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_cmpint(written(p, bad[i]), ==, -EINVAL);
}

/* As many rules as may be, and one more. */
static void test_full(void)
{
	g_autofree struct policy *p = compile("allow owner view");
	g_autofree struct policy *back = g_new0(struct policy, 1);
	static uint8_t buf[65536];
	struct rbuf count;
	size_t len, one;

	for (p->count = 1; p->count < POLICY_RULES_MAX; p->count++)
		p->rules[p->count] = p->rules[0];
	g_assert_cmpint(policytext_encode(p, buf, sizeof(buf), &len), ==, 0);
	g_assert_cmpint(policy_decode(buf, len, back, NULL), ==, 0);
	g_assert_cmpuint(back->count, ==, POLICY_RULES_MAX);
	one = (len - 3) / POLICY_RULES_MAX;
	memcpy(buf + len, buf + 3, one);
	buf[1]++;
	count = rbuf_init(buf + 1, 2);
	g_assert_cmpuint(rbuf_u16(&count), ==, POLICY_RULES_MAX + 1);
	g_assert_cmpint(policy_decode(buf, len + one, back, NULL), ==, -EBADMSG);
	g_assert_cmpuint(back->count, ==, 0);
}

/* What is signed and sealed on devices already. */
static void test_golden(void)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{"default", policytext_default},
		{"whom", "allow owner, family ,guest,admin move-out,move-in , request, suspend, "
			 "stop, abort, view to own phone\n"
			 "  deny\tguest all to any laptop, desktop,server  # who\n"
			 "\n"
			 "allow anyone view to family\n"
			 "allow admin stop to guest device \"the old, #1\"\n"
			 "deny family abort to admin server device desk"},
		{"conditions",
		 "allow owner move-out if verdict trusted, verdict stale,verdict unknown\n"
		 "allow owner move-in to own if tier >= software, age <= 30s, tier >= pinned\n"
		 "deny owner request if tier >= hardware, verdict untrusted\n"
		 "deny anyone suspend if age <= 10m\n"
		 "deny anyone stop if age <= 36525d, tier >= none\n"
		 "allow anyone abort to device x if verdict trusted, age <= 24h"},
		{"newer", "allow owner move-out to own if hours 22:00-06:00, pcr 17,pcr 18\n"
			  "deny anyone view if hours 00:00-23:59\n"
			  "allow owner view if tier >= pinned"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree struct policy *p = compile(rows[i].text);
		g_autofree struct policy *back = g_new0(struct policy, 1);
		uint8_t got[4096], want[4096];
		size_t len, n = golden_read("policy.txt", rows[i].name, want, sizeof(want));

		g_assert_cmpint(policytext_encode(p, got, sizeof(got), &len), ==, 0);
		g_assert_cmpmem(got, len, want, n);
		g_assert_cmpint(policy_decode(want, n, back, NULL), ==, 0);
		g_assert_cmpmem(p, sizeof(*p), back, sizeof(*back));
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/policy/S1-15 own allowed, guest and weak refused", test_s1_15);
	g_test_add_func("/policy/S1-17 only the owner initiates", test_s1_17);
	g_test_add_func("/policy/deny wins in any order", test_deny_wins);
	g_test_add_func("/policy/conditions on evidence", test_conditions);
	g_test_add_func("/policy/hours", test_hours);
	g_test_add_func("/policy/S1-19 registers that hold nothing", test_s1_19);
	g_test_add_func("/policy/default deny", test_default_deny);
	g_test_add_func("/policy/S1-07 the lowest version, and no other", test_version);
	g_test_add_func("/policy/bad text names the line", test_bad_text);
	g_test_add_func("/policy/an unknown condition is told the known", test_expected_condition);
	g_test_add_func("/policy/S1-07 malformed binary denies", test_s1_07);
	g_test_add_func("/policy/S1-07 what nobody reads is not written", test_not_written);
	g_test_add_func("/policy/S1-07 one rule too many", test_full);
	g_test_add_func("/policy/binary as it always was", test_golden);
	return g_test_run();
}
