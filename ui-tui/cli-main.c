/* SPDX-License-Identifier: Apache-2.0 */
/* One invocation of `kith`: its words and options, the command, and how it ends. */
#include <locale.h>
#include <string.h>

#include "agent/client.h"
#include "base/clock.h"
#include "base/user.h"
#include "ui-tui/cli.h"
#include "ui-tui/cmdline.h"
#include "ui-tui/complete.h"
#include "ui-tui/help.h"
#include "ui-tui/next.h"
#include "ui-tui/tui.h"

#define TIMEOUT_MAX 31622400 /* s: a year */

static void print_error(const struct cli *cli, const struct command *c, const struct kerr *err)
{
	const char *owner = *cli->config.owner ? cli->config.owner : "root";
	uid_t uid;
	const struct next_facts facts = {c, cli->path, owner,
					 geteuid() == 0 ||
						 (user_find(owner, &uid) && uid == geteuid())};
	char next[400];

	next_step(&facts, err->code, next, sizeof(next));
	if (cli->json) {
		json_t *error = cli_kerr_json(err);

		json_object_set_new(error, "next", json_string(next));
		cli_print_json(json_pack("{s:o}", "error", error));
		return;
	}
	fprintf(stderr, "kith: %s\n", err->text);
	/* One pointer to the help is enough. */
	if (*next && !strstr(err->text, next) &&
	    !(err->code == KCODE_USAGE && strstr(err->text, "`kith ")))
		fprintf(stderr, "      %s\n", next);
	fprintf(stderr, "      (code: %s)\n", kcode_to_string(err->code));
}

/* The end of a command that was asked for; negative `r`: it failed. */
static int finish(struct cli *cli, const struct command *c, int r, struct kerr *err)
{
	if (cli->agent)
		agent_client_free(cli->agent);
	ipc_client_free(cli->policyd);
	if (r >= 0)
		return cli->status;
	if (err->code == KCODE_OK)
		kerr_set(err, -r, KCODE_FAILED, "The command failed: %s.", strerror(-r));
	print_error(cli, c, err);
	return kcode_exit_status(err->code);
}

static int read_timeout(struct cli *cli, const char *text, struct kerr *err)
{
	char *end;
	unsigned long s = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || s > TIMEOUT_MAX)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"--timeout takes whole seconds, at most %d.", TIMEOUT_MAX);
	cli->deadline_ms = clock_ms() + s * 1000;
	return 0;
}

/* --color, then NO_COLOR, then whether anybody sees it. */
static void choose_colours(const struct cli *cli)
{
	const char *how = cli->given[OPT_COLOR], *no = getenv("NO_COLOR"), *term = getenv("TERM");
	bool on = cli->terminal && !(no && *no) && term && strcmp(term, "dumb") != 0;

	if (how && strcmp(how, "never") == 0)
		setenv("NO_COLOR", "1", 1); /* for the full screen */
	else if (how && strcmp(how, "always") == 0)
		unsetenv("NO_COLOR");
	cli_colours(how && strcmp(how, "auto") != 0 ? strcmp(how, "always") == 0 : on);
}

/* What is no data is not printed; questions and errors are. */
static int hush(struct cli *cli)
{
	if (!cli->given[OPT_QUIET] || cli->json)
		return 0;
	cli->terminal = false;
	return freopen("/dev/null", "w", stdout) ? 0 : -errno;
}

/* Without the usual file all defaults count; another one was meant to be read. */
static bool is_missing(const struct cli *cli)
{
	return strcmp(cli->path, CONFIG_PATH_DEFAULT) != 0 && access(cli->path, F_OK) < 0 &&
	       errno == ENOENT;
}

static int run(struct cli *cli, const struct cmdline *l, struct kerr *err)
{
	int r;

	if (l->given[OPT_HELP])
		return help_print(cli, l->count, l->words, err);
	if (l->given[OPT_VERSION])
		return cmd_version(cli, 0, NULL, err);
	if (is_missing(cli) && !(l->command && l->command->any_config))
		return kerr_set(err, ENOENT, KCODE_USAGE,
				"There is no configuration %.200s; it was named by --config or "
				"KITH_CONFIG.",
				cli->path);
	choose_colours(cli);
	r = l->given[OPT_TIMEOUT] ? read_timeout(cli, l->given[OPT_TIMEOUT], err) : 0;
	if (r == 0)
		r = hush(cli);
	if (r < 0)
		return r;
	/* What the other lines say is enough for those commands that may go on. */
	(void)config_load(cli->path, &cli->config, &cli->broken);
	if (cli->broken.code != KCODE_OK && !(l->command && l->command->any_config))
		return kerr_set(err, EINVAL, cli->broken.code, "%s", cli->broken.text);
	return l->command ? l->command->run(cli, l->arg_count, l->args, err) : tui_main(cli, err);
}

static void take_options(struct cli *cli, const struct cmdline *l)
{
	memcpy(cli->given, l->given, sizeof(cli->given));
	cli->json = l->given[OPT_JSON];
	cli->yes = l->given[OPT_YES];
	cli->input = !l->given[OPT_NO_INPUT];
	cli->read_only = l->given[OPT_READ_ONLY];
	if (l->given[OPT_CONFIG])
		cli->path = l->given[OPT_CONFIG];
}

int cli_main(int argc, char **argv)
{
	struct cli cli = {.terminal = isatty(STDOUT_FILENO) == 1};
	struct cmdline line;
	struct kerr err = {0};
	int r;

	setlocale(LC_ALL, "");
	cli.path = getenv("KITH_CONFIG");
	if (!cli.path)
		cli.path = CONFIG_PATH_DEFAULT;
	if (argc > 1 && strcmp(argv[1], COMPLETE_COMMAND) == 0)
		return complete_main(&cli, argc - 2, argv + 2);
	r = cmdline_parse(argc, argv, &line, &err);
	take_options(&cli, &line);
	return finish(&cli, line.command, r < 0 ? r : run(&cli, &line, &err), &err);
}
