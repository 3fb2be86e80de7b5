/* SPDX-License-Identifier: Apache-2.0 */
/* Compiler of policy files: one rule per line, words from the enum tables, no precedence rules. */
#include "ui-tui/policytext.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "ui-tui/when.h"

const char policytext_default[] =
	"# Who may do what with this virtual machine. What is not allowed is denied; deny wins.\n"
	"allow owner all to own laptop, desktop, server if verdict trusted\n"
	"allow family view\n"
	"deny guest all\n"
	"deny anyone move-out, move-in to guest\n";

/* One line cut into words; a comma is a word of its own, "..." one word without the quotes. */
#define WORDS_MAX 64
struct words {
	char word[WORDS_MAX][POLICY_LINE_MAX + 1];
	unsigned column[WORDS_MAX + 1]; /* of each, from 1; behind them that of the end */
	size_t count, at;
	unsigned line;
	struct kerr *err;
};

static int fail(struct words *w, const char *expected)
{
	const char *found = w->at < w->count ? w->word[w->at] : "the end of the line";

	return kerr_set(w->err, EINVAL, KCODE_USAGE,
			"Line %u, column %u of the policy: \"%.60s\" where %s is expected.",
			w->line, w->column[w->at], found, expected);
}

static const char *peek(const struct words *w)
{
	return w->at < w->count ? w->word[w->at] : "";
}

static bool take(struct words *w, const char *word)
{
	if (w->at >= w->count || strcmp(w->word[w->at], word) != 0)
		return false;
	w->at++;
	return true;
}

static int cut(struct words *w, const char *s)
{
	const char *line = s;

	if (strlen(s) > POLICY_LINE_MAX)
		return kerr_set(w->err, EINVAL, KCODE_USAGE,
				"Line %u of the policy is longer than %d bytes.", w->line,
				POLICY_LINE_MAX);
	for (s += strspn(s, " \t"); *s && *s != '#'; s += strspn(s, " \t")) {
		bool quoted = *s == '"', comma = *s == ',';
		size_t len;

		s += quoted;
		len = comma ? 1 : strcspn(s, quoted ? "\"" : " \t,\"#");
		if (quoted && !s[len])
			return kerr_set(w->err, EINVAL, KCODE_USAGE,
					"Line %u of the policy: a quote is not closed.", w->line);
		if (w->count == WORDS_MAX)
			return kerr_set(w->err, EINVAL, KCODE_USAGE,
					"Line %u of the policy has too many words.", w->line);
		memcpy(w->word[w->count], s, len);
		w->column[w->count++] = (unsigned)(s - line) + !quoted;
		s += len + quoted;
	}
	w->column[w->count] = (unsigned)(s - line) + 1;
	return 0;
}

/* Comma-separated names of one enum into a bit set; `any` stands for the empty set. */
static int names(struct words *w, int (*from_string)(const char *), const char *any,
		 const char *expected, uint32_t *ret)
{
	uint32_t mask = 0;

	if (any && take(w, any)) {
		*ret = 0;
		return 0;
	}
	do {
		int v = from_string(peek(w));

		if (v < 0)
			return fail(w, expected);
		mask |= POLICY_BIT(v);
		w->at++;
	} while (take(w, ","));
	*ret = mask;
	return 0;
}

static int actions(struct words *w, struct policy_rule *rule)
{
	if (take(w, "all")) {
		rule->actions = POLICY_BIT(_POLICY_ACTION_MAX) - 1;
		return 0;
	}
	return names(w, policy_action_from_string, NULL,
		     "an action (move-out, move-in, request, suspend, stop, abort, view or all)",
		     &rule->actions);
}

/* `to` [own | any | family | guest | admin] [role, role] [device "name"] */
static int destination(struct words *w, struct policy_rule *rule)
{
	size_t before = w->at;
	int person;

	if (take(w, "own")) {
		rule->dest_people = POLICY_BIT(PERSON_ROLE_OWNER);
	} else if (!take(w, "any")) {
		person = person_role_from_string(peek(w));
		if (person >= 0 && person != PERSON_ROLE_OWNER) {
			rule->dest_people = POLICY_BIT(person);
			w->at++;
		}
	}
	if (device_role_from_string(peek(w)) >= 0 &&
	    names(w, device_role_from_string, NULL, "a device role", &rule->dest_roles) < 0)
		return -EINVAL;
	if (take(w, "device")) {
		if (!text_is_name(peek(w), NAME_MAX_LEN))
			return fail(w, "a device name");
		memcpy(rule->dest_name, peek(w), strlen(peek(w)) + 1);
		w->at++;
	}
	if (w->at == before)
		return fail(w, "own, any, a role of people, a role of devices or device \"name\"");
	return 0;
}

/* -- Conditions: how each kind is written -- */

static bool read_one_of(const struct policy_condition_row *row, const char *word, uint32_t *value)
{
	int v = row->name(word);

	if (v >= 0)
		*value |= POLICY_BIT(v);
	return v >= 0;
}

static bool read_all_of(const struct policy_condition_row *row, const char *word, uint32_t *value)
{
	char *end = NULL;
	unsigned long n = isdigit((unsigned char)*word) ? strtoul(word, &end, 10) : 32;

	if (n >= 32 || *end || !(POLICY_BIT(n) & row->max))
		return false;
	*value |= POLICY_BIT(n);
	return true;
}

static bool read_at_least(const struct policy_condition_row *row, const char *word, uint32_t *value)
{
	int v = row->name(word);

	if (v >= 0)
		*value = (uint32_t)v;
	return v >= 0;
}

static bool read_seconds(const struct policy_condition_row *row _unused_, const char *word,
			 uint32_t *value)
{
	uint64_t seconds;

	if (!when_span(word, 36525, &seconds) || !seconds)
		return false;
	*value = (uint32_t)seconds;
	return true;
}

/* "08:30" to minutes; the end of it, or NULL. */
static const char *read_time(const char *s, unsigned *ret)
{
	unsigned hour, minute;

	for (size_t i = 0; i < 5; i++)
		if (i == 2 ? s[i] != ':' : !isdigit((unsigned char)s[i]))
			return NULL;
	hour = (unsigned)(s[0] - '0') * 10 + (unsigned)(s[1] - '0');
	minute = (unsigned)(s[3] - '0') * 10 + (unsigned)(s[4] - '0');
	*ret = hour * 60 + minute;
	return hour < 24 && minute < 60 ? s + 5 : NULL;
}

static bool read_hours(const struct policy_condition_row *row _unused_, const char *word,
		       uint32_t *value)
{
	unsigned from, to;
	const char *end = read_time(word, &from);

	if (!end || *end != '-')
		return false;
	end = read_time(end + 1, &to);
	if (!end || *end || from == to)
		return false;
	*value = POLICY_HOURS(from, to);
	return true;
}

static bool (*const reads[_POLICY_KIND_MAX])(const struct policy_condition_row *row,
					     const char *word, uint32_t *value) = {
	[POLICY_KIND_ONE_OF] = read_one_of,	[POLICY_KIND_ALL_OF] = read_all_of,
	[POLICY_KIND_AT_LEAST] = read_at_least, [POLICY_KIND_SECONDS] = read_seconds,
	[POLICY_KIND_HOURS] = read_hours,
};

static int fail_condition(struct words *w)
{
	char expected[160] = "a condition (";
	size_t len = strlen(expected);

	for (size_t i = 0; i < _POLICY_CONDITION_MAX && len < sizeof(expected); i++) {
		size_t more = _POLICY_CONDITION_MAX - 1 - i;

		len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%s%s",
					policy_conditions[i].word,
					more > 1    ? ", "
					: more == 1 ? " or "
						    : ")");
	}
	return fail(w, expected);
}

static int condition(struct words *w, struct policy_rule *rule)
{
	const struct policy_condition_row *row = policy_conditions;

	while (row < policy_conditions + _POLICY_CONDITION_MAX && !take(w, row->word))
		row++;
	if (row == policy_conditions + _POLICY_CONDITION_MAX)
		return fail_condition(w);
	if (row->relation && !take(w, row->relation))
		return fail(w, row->relation);
	if (!reads[row->kind](row, peek(w), &rule->condition[row - policy_conditions]))
		return fail(w, row->expected);
	w->at++;
	return 0;
}

static int rule_parse(struct words *w, struct policy_rule *rule)
{
	int r;

	if (take(w, "allow"))
		rule->effect = POLICY_ALLOW;
	else if (take(w, "deny"))
		rule->effect = POLICY_DENY;
	else
		return fail(w, "allow or deny");
	r = names(w, person_role_from_string, "anyone",
		  "who (owner, family, guest, admin or anyone)", &rule->persons);
	if (r == 0)
		r = actions(w, rule);
	if (r == 0 && take(w, "to"))
		r = destination(w, rule);
	if (r == 0 && take(w, "if")) {
		do {
			r = condition(w, rule);
		} while (r == 0 && take(w, ","));
	}
	if (r == 0 && w->at < w->count)
		r = fail(w, "the end of the rule");
	return r;
}

/* The rule as written, one space between words: what people see in answers. */
static void keep_line(const struct words *w, struct policy_rule *rule)
{
	size_t len = 0;

	for (size_t i = 0; i < w->count; i++) {
		const char *gap = i && strcmp(w->word[i], ",") != 0 ? " " : "";
		int n = snprintf(rule->line + len, sizeof(rule->line) - len, "%s%s", gap,
				 w->word[i]);

		if (n < 0 || (size_t)n >= sizeof(rule->line) - len)
			return;
		len += (size_t)n;
	}
}

static int line_compile(struct policy *p, const char *line, unsigned number, struct kerr *err)
{
	struct words w = {.line = number, .err = err};
	struct policy_rule rule = {0};
	int r = cut(&w, line);

	if (r < 0 || w.count == 0)
		return r;
	r = rule_parse(&w, &rule);
	if (r < 0)
		return r;
	if (p->count == POLICY_RULES_MAX)
		return kerr_set(err, E2BIG, KCODE_USAGE, "A policy has at most %d rules.",
				POLICY_RULES_MAX);
	keep_line(&w, &rule);
	p->rules[p->count++] = rule;
	return 0;
}

int policytext_compile(const char *text, struct policy *ret, struct kerr *err)
{
	_cleanup_free_ struct policy *p = calloc(1, sizeof(*p));
	_cleanup_free_ char *copy = strdup(text);
	char *rest = copy, *line;
	unsigned number = 0;

	if (!p || !copy)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	if (strlen(text) > POLICYTEXT_MAX || !text_is_clean(text))
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"A policy is plain UTF-8 text of at most %d bytes.",
				POLICYTEXT_MAX);
	while ((line = strsep(&rest, "\n"))) {
		int r = line_compile(p, line, ++number, err);

		if (r < 0)
			return r;
	}
	if (!p->count)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"The policy has no rule; it would deny everything. Write at least "
				"one \"allow\" line.");
	*ret = *p;
	return 0;
}

void policytext_explain(const char *text, struct sheet *ret)
{
	_cleanup_free_ struct policy *unused = calloc(1, sizeof(*unused));
	_cleanup_free_ char *copy = strdup(text);
	char *rest = copy, *line;
	unsigned number = 0;

	while (unused && (line = strsep(&rest, "\n"))) {
		struct kerr err = {0};

		unused->count = 0;
		if (line_compile(unused, line, ++number, &err) == 0)
			continue;
		sheet_add(ret, STYLE_STRONG, "%4u  %s", number, line);
		sheet_add(ret, STYLE_WARN, "      %s", err.text);
	}
}

int policytext_encode(struct policy *policy, void *buf, size_t size, size_t *ret_len)
{
	struct wbuf w = wbuf_init(buf, size);
	struct coder c = {.w = &w};

	policy_code(&c, policy);
	if (!code_good(&c))
		return wbuf_error(&w);
	*ret_len = w.len;
	return 0;
}
