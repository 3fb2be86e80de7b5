/* SPDX-License-Identifier: Apache-2.0 */
/* `kith help`: what the tables say, for people and as JSON. */
#include "ui-tui/help.h"

#include <string.h>

#include "config.h"
#include "ui-tui/cli.h"
#include "ui-tui/cmdline.h"

#define WIDTH 78 /* columns of a paragraph */

static void print_wrapped(const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (column && column + 1 + len > WIDTH) {
			putchar('\n');
			column = 0;
		}
		printf("%s%.*s", column ? " " : "", (int)len, text);
		column += len + (column ? 1 : 0);
		text += len;
		text += strspn(text, " ");
	}
	putchar('\n');
}

static void print_option(const struct opt_row *o)
{
	char left[40];

	snprintf(left, sizeof(left), "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
		 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name, o->value ? " " : "",
		 o->value ? o->value : "");
	printf("  %-24s  %s\n", left, o->help);
}

static void print_options(const struct command *c)
{
	if (c->options)
		puts("\nOptions:");
	for (int i = OPT_READ_ONLY + 1; i < _OPT_MAX; i++)
		if (c->options & OPT_BIT(i))
			print_option(&opt_rows[i]);
}

/* Every command may fail, be misused, be denied, or come at a bad time. */
static bool may_exit(const struct command *c, int status)
{
	static const struct {
		int status;
		unsigned bit;
	} some[] = {
		{4, EXIT_UNTRUSTED},
		{5, EXIT_UNREACHABLE},
		{6, EXIT_IMPOSSIBLE},
		{130, EXIT_CANCELLED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(some); i++)
		if (some[i].status == status)
			return c->exits & some[i].bit;
	return true;
}

static void print_exits(const struct command *c)
{
	puts("\nExit status:");
	for (const struct exit_status *e = exit_statuses; e->meaning; e++)
		if (may_exit(c, e->status))
			printf("  %-4d %s\n", e->status, e->meaning);
}

static void print_command(const struct command *c)
{
	char usage[CMDLINE_USAGE_MAX];

	cmdline_usage(c, true, usage, sizeof(usage));
	printf("usage: kith %s\n\n%c%s.\n", usage, c->help[0] & ~0x20, c->help + 1);
	print_wrapped(c->more);
	print_options(c);
	print_exits(c);
	puts("\n`kith help` names the options of every command; kith(1) tells all of this.");
}

static void print_overview(void)
{
	char usage[CMDLINE_USAGE_MAX];

	puts("usage: kith [OPTION...] COMMAND\n"
	     "       kith [--read-only]             the full screen\n\n"
	     "Moves a running virtual machine between your own devices, after they proved\n"
	     "themselves to each other.");
	for (const struct command *c = commands; c->name; c++) {
		cmdline_usage(c, false, usage, sizeof(usage));
		if (c->group)
			printf("\n%s\n", c->group);
		printf("  %-34s %s\n", usage, c->help);
	}
	puts("\nOptions, before or behind the command");
	for (int i = 0; i <= OPT_READ_ONLY; i++)
		print_option(&opt_rows[i]);
	puts("\n`kith help COMMAND` tells more, kith(1) tells all.");
}

static void print_statuses(void)
{
	puts("Exit statuses");
	for (const struct exit_status *e = exit_statuses; e->meaning; e++)
		printf("  %-16d %s\n", e->status, e->meaning);
	puts("\nError codes, each with its exit status");
	for (int i = KCODE_OK + 1; i < _KCODE_MAX; i++)
		printf("  %-16s %-4d %s\n", kcode_to_string((enum kcode)i),
		       kcode_exit_status((enum kcode)i), kcode_meaning((enum kcode)i));
}

static json_t *options_json(uint32_t bits)
{
	json_t *list = json_array();

	for (int i = 0; i < _OPT_MAX; i++)
		if (bits & OPT_BIT(i))
			json_array_append_new(list, json_pack("{s:s, s:s*, s:s}", "name",
							      opt_rows[i].name, "value",
							      opt_rows[i].value, "help",
							      opt_rows[i].help));
	return list;
}

static json_t *exits_json(const struct command *c)
{
	json_t *list = json_array();

	for (const struct exit_status *e = exit_statuses; e->meaning; e++)
		if (may_exit(c, e->status))
			json_array_append_new(list, json_integer(e->status));
	return list;
}

static json_t *command_json(const struct command *c)
{
	char usage[CMDLINE_USAGE_MAX];

	cmdline_usage(c, true, usage, sizeof(usage));
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "name", c->name, "usage", usage, "help",
			 c->help, "more", c->more, "options", options_json(c->options), "exits",
			 exits_json(c));
}

static void print_codes_json(void)
{
	json_t *statuses = json_array(), *codes = json_array();

	for (const struct exit_status *e = exit_statuses; e->meaning; e++)
		json_array_append_new(statuses, json_pack("{s:i, s:s}", "status", e->status,
							  "meaning", e->meaning));
	for (int i = KCODE_OK + 1; i < _KCODE_MAX; i++)
		json_array_append_new(codes, json_pack("{s:s, s:i, s:s}", "code",
						       kcode_to_string((enum kcode)i), "status",
						       kcode_exit_status((enum kcode)i), "meaning",
						       kcode_meaning((enum kcode)i)));
	cli_print_json(json_pack("{s:o, s:o}", "exits", statuses, "codes", codes));
}

int help_print(const struct cli *cli, int count, char *const words[], struct kerr *err)
{
	const struct command *one = NULL;
	json_t *list = json_array();
	size_t printed = 0;
	int name = 0;

	if (count && strcmp(words[0], "exit") == 0) {
		json_decref(list);
		cli->json ? print_codes_json() : print_statuses();
		return 0;
	}
	/* A command, or all forms of it, as "trust" alone is one and the first of its forms. */
	if (count > 1)
		one = cmdline_find(words, count, &name);
	if (name < 2)
		one = NULL;
	for (const struct command *c = commands; c->name; c++) {
		if (count && !(one ? c == one : cmdline_begins_with(c->name, words[0])))
			continue;
		if (cli->json)
			json_array_append_new(list, command_json(c));
		else if (count)
			printf("%s", printed ? "\n" : ""), print_command(c);
		printed++;
	}
	if (printed && cli->json)
		cli_print_json(json_pack("{s:O, s:o}", "commands", list, "options",
					 options_json(OPTS_EVERY | OPT_BIT(OPT_READ_ONLY))));
	else if (printed && !count)
		print_overview();
	json_decref(list);
	return printed ? 0 : cmdline_no_command(words, count, err);
}

int cmd_help(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	return help_print(cli, argc, argv, err);
}

int cmd_version(struct cli *cli, int argc _unused_, char **argv _unused_, struct kerr *err _unused_)
{
	if (cli->json)
		cli_print_json(json_pack("{s:s}", "version", PACKAGE_VERSION));
	else
		puts("kith " PACKAGE_VERSION);
	return 0;
}
