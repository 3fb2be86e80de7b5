/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, the command lines that it takes, and the manual page beside it. */
#include <glib.h>
#include <string.h>
#include <time.h>

#include "base/advice.h"
#include "policyd/api/requests.h"
#include "ui-tui/cli.h"
#include "ui-tui/cmdline.h"
#include "ui-tui/guess.h"
#include "ui-tui/next.h"
#include "ui-tui/when.h"

static struct cmdline line;
static struct kerr error;

/* Reads a command line, words with blanks between. */
static int parse(const char *text)
{
	static char *words[32];
	g_auto(GStrv) split = g_strsplit(text, " ", -1);
	int n = 0;

	for (; split[n]; n++) {
		g_free(words[n]);
		words[n] = g_strdup(split[n]);
	}
	kerr_clear(&error);
	return cmdline_parse(n, words, &line, &error);
}

static void takes(const char *text, const char *command, int args)
{
	g_test_message("%s", text);
	g_assert_cmpint(parse(text), ==, 0);
	g_assert_cmpstr(error.text, ==, "");
	g_assert_cmpstr(line.command ? line.command->name : "", ==, command);
	g_assert_cmpint(line.arg_count, ==, args);
}

static void refuses(const char *text, const char *says)
{
	g_test_message("%s", text);
	g_assert_cmpint(parse(text), ==, -EINVAL);
	g_assert_cmpint(error.code, ==, KCODE_USAGE);
	g_test_message("%s", error.text);
	g_assert_nonnull(strstr(error.text, says));
}

static void test_anywhere(void)
{
	takes("kith status", "status", 0);
	takes("kith --json status", "status", 0);
	takes("kith status --json", "status", 0);
	g_assert_nonnull(line.given[OPT_JSON]);
	takes("kith trust accept desktop --yes", "trust accept", 1);
	g_assert_cmpstr(line.args[0], ==, "desktop");
	g_assert_nonnull(line.given[OPT_YES]);
	takes("kith trust --yes accept desktop", "trust accept", 1);
	takes("kith move work --rung warm desktop", "move", 2);
	g_assert_cmpstr(line.given[OPT_RUNG], ==, "warm");
	takes("kith move --rung=cold work desktop", "move", 2);
	g_assert_cmpstr(line.given[OPT_RUNG], ==, "cold");
	takes("kith move --all desktop", "move", 1);
	takes("kith -yjc /x status", "status", 0);
	g_assert_cmpstr(line.given[OPT_CONFIG], ==, "/x");
	takes("kith -c/x status", "status", 0);
	g_assert_cmpstr(line.given[OPT_CONFIG], ==, "/x");
	takes("kith log -n 5 -f", "log", 0);
	g_assert_cmpstr(line.given[OPT_LINES], ==, "5");
	g_assert_null(line.given[OPT_NO_INPUT]);
	takes("kith -n log", "log", 0);
	g_assert_nonnull(line.given[OPT_NO_INPUT]);
	g_assert_null(line.given[OPT_LINES]);
	takes("kith vms -n", "vms", 0);
	g_assert_nonnull(line.given[OPT_NO_INPUT]);
	takes("kith", "", 0);
	takes("kith --read-only", "", 0);
}

static void test_ended(void)
{
	takes("kith vm show -- --odd", "vm show", 1);
	g_assert_cmpstr(line.args[0], ==, "--odd");
	takes("kith -- status", "status", 0);
	takes("kith policy set work -", "policy set", 2);
	g_assert_cmpstr(line.args[1], ==, "-");
	refuses("kith vm show --odd", "no option --odd");
	refuses("kith status -- --json", "used like this");
}

static void test_typos(void)
{
	refuses("kith mvoe work desktop", "Did you mean \"move\"?");
	refuses("kith stat", "Did you mean \"status\"?");
	refuses("kith devcies", "Did you mean \"devices\"?");
	refuses("kith migrate work desktop", "Did you mean \"move\"?");
	refuses("kith trust accpt desktop", "Did you mean \"trust accept\"?");
	refuses("kith policy shw work", "Did you mean \"policy show\"?");
	refuses("kith plicy set work", "Did you mean \"policy\"?");
	refuses("kith status --jsno", "Did you mean --json?");
	refuses("kith move work desktop --rnug warm", "Did you mean --rung?");
	refuses("kith move work desktop --rung wram", "Did you mean \"warm\"?");
	refuses("kith trust receive desktop of", "Did you mean \"off\"?");
	refuses("kith xyzzy", "There is no command \"xyzzy\".");
	g_assert_null(strstr(error.text, "mean"));
	refuses("kith status --xyzzy", "There is no option --xyzzy.");
}

static void test_misuse(void)
{
	refuses("kith move work", "kith move");
	refuses("kith move --all work desktop", "kith move");
	refuses("kith policy", "kith policy set, kith policy show");
	refuses("kith status now", "used like this: kith status");
	refuses("kith status --rung live", "`kith status` has no option --rung");
	refuses("kith --read-only status", "full screen");
	refuses("kith --all", "`kith` has no option --all");
	refuses("kith move a b --rung", "needs a value");
	refuses("kith status --json=1", "takes no value");
	refuses("kith status -x", "no option -x");
	refuses("kith a b c d e f g h i j", "too many");
	refuses("kith devices some", "\"some\" is none of all.");
	/* What was right is known all the same: the error comes as JSON. */
	refuses("kith nosuch --json", "nosuch");
	g_assert_nonnull(line.given[OPT_JSON]);
}

static void test_help(void)
{
	takes("kith move --help", "move", 0);
	takes("kith --help", "", 0);
	takes("kith policy -h", "", 1);
	g_assert_cmpstr(line.words[0], ==, "policy");
	takes("kith help trust accept", "help", 2);
}

static void test_guess(void)
{
	static const struct {
		const char *typed, *word;
		bool near;
	} rows[] = {
		{"mvoe", "move", true},	      {"mov", "move", true},
		{"movee", "move", true},      {"mode", "move", true},
		{"status", "status", true},   {"st", "status", true},
		{"vms", "move", false},	      {"x", "move", false},
		{"", "move", false},	      {"abcd", "move", false},
		{"log", "help", false},	      {"recover", "recovery", true},
		{"cosnole", "console", true}, {"ab", "cd", false},
	};
	g_autofree char *endless = g_strnfill(4096, 'm');
	struct guess g = {.typed = endless};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct guess one = {.typed = rows[i].typed};

		g_test_message("%s %s", rows[i].typed, rows[i].word);
		guess_try(&one, rows[i].word);
		g_assert_cmpint(one.best != NULL, ==, rows[i].near);
	}
	guess_try(&g, "move");
	g_assert_null(g.best);
}

static void test_when(void)
{
	static const struct {
		const char *text;
		int64_t at; /* negative: it is no time */
	} rows[] = {
		{"30s", 1800000000 - 30},
		{"10m", 1800000000 - 600},
		{"2h", 1800000000 - 7200},
		{"3d", 1800000000 - 3 * 86400},
		{"00:00", 1799971200},
		{"08:00", 1800000000},
		{"today", 1799971200},
		{"yesterday", 1799971200 - 86400},
		{"2027-01-14", 1799884800},
		{"2027-01-15 07:59:59", 1799999999},
		{"2027-01-15 07:59", 1799999940},
		{"", -1},
		{"soon", -1},
		{"10", -1},
		{"10x", -1},
		{"10mm", -1},
		{"-5m", -1},
		{"2027-01-15x", -1},
		{"2027-13-01", -1},
		{"25:00", -1},
		{"99999999999999999999d", -1},
		{"36500m", 1800000000 - 36500 * 60},
		{"36501m", -1},
		{"1970-01-01 00:00:00 ", -1},
	};

	g_setenv("TZ", "UTC0", true);
	tzset();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t at = 0;
		bool good = when_read(rows[i].text, 1800000000, &at);

		g_test_message("\"%s\"", rows[i].text);
		g_assert_cmpint(good, ==, rows[i].at >= 0);
		if (good)
			g_assert_cmpint(at, ==, rows[i].at);
	}
}

/* -- the table -- */

static void test_rows(void)
{
	char usage[CMDLINE_USAGE_MAX];

	for (const struct command *c = commands; c->name; c++) {
		g_test_message("%s", c->name);
		g_assert_nonnull(c->run);
		g_assert_cmpuint(strlen(c->help), >, 6);
		g_assert_true(c->help[strlen(c->help) - 1] != '.');
		g_assert_true(g_str_has_suffix(c->more, "."));
		cmdline_usage(c, true, usage, sizeof(usage));
		g_assert_cmpuint(strlen(usage), <, sizeof(usage) - 1);
		g_assert_true(g_str_has_prefix(usage, c->name));
		for (size_t i = 0; i <= COMMAND_WORDS_MAX && c->words[i].name; i++)
			g_assert_cmpint(c->words[i].fills == FILLS_LIST, ==,
					c->words[i].list != NULL);
		/* Two of its options with one letter could not both be meant. */
		for (int i = OPT_READ_ONLY + 1; i < _OPT_MAX; i++)
			if (c->options & OPT_BIT(i) && opt_rows[i].letter)
				g_assert_cmpint(cmdline_letter(c, opt_rows[i].letter), ==, i);
	}
	for (int i = 0; i < _OPT_MAX; i++) {
		g_assert_nonnull(opt_rows[i].name);
		g_assert_nonnull(opt_rows[i].help);
		g_assert_cmpint(cmdline_option(opt_rows[i].name, strlen(opt_rows[i].name)), ==, i);
	}
}

/* -- what to do about errors -- */

/* A sentence about a machine, by a command that knows none, sends people astray. */
static void test_next(void)
{
	static const char *const ops[] = {
#define NAME(op, number, name, ...) name,
		POLICYD_REQUESTS(NAME)
#undef NAME
	};
	char next[400];

	for (const struct command *c = commands; c->name; c++) {
		bool vm = strstr(c->name, "vm") || strcmp(c->name, "disks") == 0;

		for (size_t i = 0; i < COMMAND_WORDS_MAX && c->words[i].name; i++)
			vm = vm || c->words[i].fills == FILLS_VM || c->words[i].fills == FILLS_JOB;
		for (int code = KCODE_OK; code < _KCODE_MAX; code++) {
			const struct next_facts f = {c, "/etc/kith/kith.conf", "tom", false};

			next_step(&f, (enum kcode)code, next, sizeof(next));
			g_test_message("%s, %s: %s", c->name, kcode_to_string((enum kcode)code),
				       next);
			if (!vm) {
				g_assert_null(strstr(next, "VM"));
				g_assert_null(strstr(next, "machine"));
				g_assert_null(strstr(next, "kith move"));
			}
			g_assert_true(!*next || g_str_has_suffix(next, ".") ||
				      g_str_has_suffix(next, ")."));
			/* Names of the protocol are no words for people. */
			for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
				if (strchr(ops[i], '-'))
					g_assert_null(strstr(next, ops[i]));
		}
	}
}

/* Who may use Kith: the file, the key and the user. */
static void test_next_owner(void)
{
	const struct next_facts f = {commands, "/etc/other.conf", "tom", false};
	char next[400];

	next_step(&f, KCODE_NOT_ALLOWED, next, sizeof(next));
	g_assert_nonnull(strstr(next, "[people] owner in /etc/other.conf"));
	g_assert_nonnull(strstr(next, "tom"));
}

/* -- the manual page -- */

static char *document(const char *name)
{
	const char *top = g_getenv("top_srcdir");
	g_autofree char *path = g_build_filename(top ? top : ".", name, NULL);
	char *text = NULL;

	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	return text;
}

static char *manual(void)
{
	return document("packaging/man/kith.1");
}

/* Each command has a schema of what its --json prints, and nothing else has. */
static void test_schema(void)
{
	g_autofree char *text = document("docs/kith.schema.json");
	json_t *whole = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const json_t *schemas = json_object_get(whole, "commands");
	size_t n = 0;

	for (const struct command *c = commands; c->name; c++, n++) {
		g_test_message("%s", c->name);
		g_assert_true(json_is_object(json_object_get(schemas, c->name)));
	}
	/* And that of an error. */
	g_assert_cmpuint(json_object_size(schemas), ==, n + 1);
	json_decref(whole);
}

/* Each command has a paragraph, each option is named. */
static void test_manual(void)
{
	g_autofree char *text = manual();

	for (const struct command *c = commands; c->name; c++) {
		g_autofree char *item = g_strdup_printf("\n.It Cm %s", c->name);
		g_autofree char *marked = g_strdup_printf("\nCm %s", c->name);
		g_autofree char *joined = g_strdup_printf(", %s", c->name);
		g_autofree char *block = g_strdup_printf("\n.Cm %s\n", c->name);

		g_test_message("%s", c->name);
		g_assert_true(strstr(text, item) || strstr(text, marked) || strstr(text, joined) ||
			      strstr(text, block));
	}
	for (int i = 0; i < _OPT_MAX; i++) {
		g_autofree char *flag = g_strdup_printf("Fl -%s", opt_rows[i].name);

		g_test_message("%s", opt_rows[i].name);
		g_assert_nonnull(strstr(text, flag));
	}
}

/* The tables of the page are those of the code, row by row. */
static void test_statuses(void)
{
	g_autofree char *text = manual();
	size_t codes = 0, said = 0;

	for (const struct exit_status *e = exit_statuses; e->meaning; e++) {
		g_autofree char *row =
			g_strdup_printf("\n.It %d\n%c%s.\n", e->status,
					g_ascii_toupper(*e->meaning), e->meaning + 1);

		g_test_message("%s", row);
		g_assert_nonnull(strstr(text, row));
	}
	for (int i = KCODE_OK + 1; i < _KCODE_MAX; i++) {
		g_autofree char *row = g_strdup_printf(
			"\n.It %s Ta %d Ta %s\n", kcode_to_string((enum kcode)i),
			kcode_exit_status((enum kcode)i), kcode_meaning((enum kcode)i));
		bool known = false;

		g_test_message("%s", row);
		g_assert_nonnull(strstr(text, row));
		for (const struct exit_status *e = exit_statuses; e->meaning; e++)
			known = known || e->status == kcode_exit_status((enum kcode)i);
		g_assert_true(known);
		codes++;
	}
	for (const char *at = strstr(text, ".Sh EXIT STATUS"); (at = strstr(at, "\n.It "));) {
		const char *end = strchr(++at, '\n');

		said += g_strstr_len(at, end - at, " Ta ") && !g_str_has_prefix(at, ".It Sy");
	}
	g_assert_cmpuint(said, ==, codes);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/cmdline/options stand anywhere", test_anywhere);
	g_test_add_func("/cmdline/-- ends them", test_ended);
	g_test_add_func("/cmdline/typos are answered", test_typos);
	g_test_add_func("/cmdline/misuse", test_misuse);
	g_test_add_func("/cmdline/help is not misuse", test_help);
	g_test_add_func("/cmdline/what is near", test_guess);
	g_test_add_func("/cmdline/times", test_when);
	g_test_add_func("/cmdline/each row is whole", test_rows);
	g_test_add_func("/cmdline/the next step fits the command", test_next);
	g_test_add_func("/cmdline/who may, with file, key and user", test_next_owner);
	g_test_add_func("/cmdline/the manual page has all", test_manual);
	g_test_add_func("/cmdline/the schema has all", test_schema);
	g_test_add_func("/cmdline/its statuses are those of the code", test_statuses);
	return g_test_run();
}
