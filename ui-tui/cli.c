/* SPDX-License-Identifier: Apache-2.0 */
/* Options, the table of commands, errors and exit statuses of `kith`. */
#include "ui-tui/cli.h"

#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

#include "agent/client.h"
#include "config.h"
#include "mover/proto.h"
#include "ui-tui/tui.h"

#define AGENT_WAIT_MS 30000

static const struct {
	const struct cli_command *rows;
	bool any_config; /* they work with a configuration that cannot be used, too */
} command_tables[] = {
	{cli_device_commands, false}, {cli_config_commands, true},  {cli_doctor_commands, true},
	{cli_vm_commands, false},     {cli_policy_commands, false}, {cli_move_commands, false},
	{cli_disks_commands, false},  {cli_roam_commands, false},   {cli_console_commands, false},
};

static void print_commands(FILE *to)
{
	fputs("usage: kith [--json] [--yes] [--no-input] [--config FILE] COMMAND\n"
	      "       kith [--read-only] [--config FILE]     the full screen\n"
	      "\n"
	      "Moves a running virtual machine between your own devices, after they proved\n"
	      "themselves to each other.\n\n",
	      to);
	for (size_t t = 0; t < ARRAY_SIZE(command_tables); t++)
		for (const struct cli_command *c = command_tables[t].rows; c->name; c++)
			fprintf(to, "  %-29s %s\n", c->usage, c->help);
	fputs("  help                          this text; more in kith(1)\n"
	      "  version                      version of this program\n",
	      to);
}

static const struct cli_command *find_command(const char *name, bool *ret_any_config)
{
	for (size_t t = 0; t < ARRAY_SIZE(command_tables); t++)
		for (const struct cli_command *c = command_tables[t].rows; c->name; c++)
			if (strcmp(c->name, name) == 0) {
				*ret_any_config = command_tables[t].any_config;
				return c;
			}
	return NULL;
}

int cli_policyd(struct cli *cli, struct ipc_client **ret, struct kerr *err)
{
	char path[256];
	int r;

	if (!cli->policyd) {
		r = config_run_path(&cli->config, POLICYD_SOCKET, path, sizeof(path));
		if (r == 0)
			r = ipc_client_new(path, &cli->policyd);
		if (r < 0)
			return kerr_set(err, -r, KCODE_INTERRUPTED,
					"kith-policyd does not answer (%s): %s. Start it with "
					"`systemctl start kith-policyd`.",
					path, strerror(-r));
	}
	*ret = cli->policyd;
	return 0;
}

static int connect_agent(struct cli *cli, struct kerr *err)
{
	char path[256];
	int r;

	if (cli->agent)
		return 0;
	r = config_run_path(&cli->config, AGENT_SOCKET, path, sizeof(path));
	if (r < 0)
		return kerr_set(err, -r, KCODE_USAGE, "The run directory's path is too long.");
	return agent_client_new(path, &cli->agent, err);
}

int cli_agent(struct cli *cli, json_t *request, json_t **ret, struct kerr *err)
{
	_cleanup_free_ char *op = strdup(json_string_value(json_object_get(request, "op")));
	int r = op ? connect_agent(cli, err) : -ENOMEM;

	json_object_del(request, "op");
	if (r == 0)
		return agent_client_call(cli->agent, op, request, AGENT_WAIT_MS, ret, err);
	json_decref(request);
	return r;
}

int cli_agent_event(struct cli *cli, int timeout_ms, json_t **ret, struct kerr *err)
{
	int r;

	*ret = NULL;
	r = agent_client_event(cli->agent, timeout_ms, ret, err);
	return r < 0 ? r : 0;
}

/* Reads one line from standard input, the question on standard error. -EPIPE at its end. */
static int cli_read_line(char *buf, size_t size, const char *question)
{
	fputs(question, stderr);
	fflush(stderr);
	if (!fgets(buf, (int)size, stdin))
		return -EPIPE;
	buf[strcspn(buf, "\r\n")] = '\0';
	return 0;
}

/* -- what must not be seen -- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	interrupted = sig;
}

static const int interrupts[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

/* Without stdio, whose buffer would keep it. */
static int read_raw_line(char *buf, size_t size)
{
	size_t len = 0;

	for (;;) {
		char c;
		ssize_t n = read(STDIN_FILENO, &c, 1);

		if (n < 0 && errno == EINTR && !interrupted)
			continue;
		if (n < 0 || (n == 0 && !len))
			return -EPIPE;
		if (n == 0 || c == '\n')
			break;
		if (len + 1 == size)
			return -EMSGSIZE;
		if (c != '\r')
			buf[len++] = c;
	}
	buf[len] = '\0';
	return 0;
}

int cli_read_secret(char *buf, size_t size, const char *question)
{
	const struct sigaction action = {.sa_handler = on_interrupt};
	struct sigaction before[ARRAY_SIZE(interrupts)];
	struct termios shown, hidden;
	bool terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
	int r;

	fputs(question, stderr);
	fflush(stderr);
	if (!terminal)
		return read_raw_line(buf, size);
	/* The terminal comes back whatever ends this. */
	for (size_t i = 0; i < ARRAY_SIZE(interrupts); i++)
		sigaction(interrupts[i], &action, &before[i]);
	hidden = shown;
	hidden.c_lflag = (hidden.c_lflag & ~(tcflag_t)ECHO) | ECHONL;
	r = tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) < 0 ? -errno : read_raw_line(buf, size);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
	for (size_t i = 0; i < ARRAY_SIZE(interrupts); i++)
		sigaction(interrupts[i], &before[i], NULL);
	if (interrupted) {
		fputc('\n', stderr);
		raise(interrupted);
		r = -EINTR;
	}
	return r;
}

int cli_mover(const struct cli *cli, struct ipc_client **ret, struct kerr *err)
{
	char path[256];
	int r = config_run_path(&cli->config, MOVER_SOCKET, path, sizeof(path));

	if (r == 0)
		r = ipc_client_new(path, ret);
	return r < 0 ? kerr_set(err, -r, KCODE_INTERRUPTED,
				"kith-mover does not answer (%s): %s. Start it with `systemctl "
				"start kith-mover`.",
				path, strerror(-r))
		     : 0;
}

int cli_mover_refused(int r, struct kerr *err)
{
	if (r >= 0 || err->code != KCODE_INTERRUPTED)
		return r;
	kerr_clear(err);
	return kerr_set(err, EPERM, KCODE_NOT_ALLOWED,
			"kith-mover hung up: only this device's owner and root may ask it about "
			"disks, and not with many programs at the same time.");
}

int cli_confirm(const struct cli *cli, const char *question, struct kerr *err)
{
	char answer[16];

	if (cli->yes || (cli->input && cli_read_line(answer, sizeof(answer), question) == 0 &&
			 answer[0] == 'y'))
		return 0;
	return kerr_set(err, ECANCELED, KCODE_CANCELLED,
			"Nothing was changed. Answer y, or use --yes.");
}

void cli_print_json(json_t *result)
{
	json_object_set_new(result, "schema", json_integer(CLI_SCHEMA));
	json_dumpf(result, stdout, JSON_COMPACT | JSON_SORT_KEYS);
	putchar('\n');
	fflush(stdout);
	json_decref(result);
}

json_t *cli_kerr_json(const struct kerr *err)
{
	if (err->code == KCODE_OK)
		return json_null();
	return json_pack("{s:s, s:s, s:s}", "code", kcode_to_string(err->code), "text", err->text,
			 "next", kcode_next_step(err->code));
}

static void print_error(const struct cli *cli, const struct kerr *err)
{
	const char *next = kcode_next_step(err->code);

	if (cli->json) {
		cli_print_json(json_pack("{s:o}", "error", cli_kerr_json(err)));
		return;
	}
	fprintf(stderr, "kith: %s\n", err->text);
	if (*next && !strstr(err->text, next))
		fprintf(stderr, "      %s\n", next);
	fprintf(stderr, "      (code: %s)\n", kcode_to_string(err->code));
}

static const struct option options[] = {
	{"json", no_argument, NULL, 'j'},      {"yes", no_argument, NULL, 'y'},
	{"no-input", no_argument, NULL, 'n'},  {"config", required_argument, NULL, 'c'},
	{"read-only", no_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},   {NULL, 0, NULL, 0},
};

/* 0 to go on, 1 if everything was done, negative for a wrong option. */
static int parse_options(struct cli *cli, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "+jync:rhV", options, NULL)) != -1) {
		if (c == 'j') {
			cli->json = true;
		} else if (c == 'y') {
			cli->yes = true;
		} else if (c == 'n') {
			cli->input = false;
		} else if (c == 'c') {
			cli->path = optarg;
		} else if (c == 'r') {
			cli->read_only = true;
		} else if (c == 'h') {
			print_commands(stdout);
			return 1;
		} else if (c == 'V') {
			puts("kith " PACKAGE_VERSION);
			return 1;
		} else {
			return -EINVAL;
		}
	}
	return 0;
}

static int run_command(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	bool any_config;
	const struct cli_command *c = find_command(argv[0], &any_config);

	if (cli->read_only)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"--read-only is for the full screen, which comes without a "
				"command.");
	if (!c)
		return kerr_set(err, EINVAL, KCODE_USAGE, "There is no command \"%.40s\".",
				argv[0]);
	if (argc - 1 < c->min_args || argc - 1 > c->max_args)
		return kerr_set(err, EINVAL, KCODE_USAGE, "This command is used like this: kith %s",
				c->usage);
	if (cli->broken.code != KCODE_OK && !any_config)
		return kerr_set(err, EINVAL, cli->broken.code, "%s", cli->broken.text);
	return c->run(cli, argc - 1, argv + 1, err);
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct kerr err = {0};
	int r = run_command(cli, argc, argv, &err);

	if (cli->agent)
		agent_client_free(cli->agent);
	ipc_client_free(cli->policyd);
	if (r >= 0)
		return cli->status;
	if (err.code == KCODE_OK)
		kerr_set(&err, -r, KCODE_FAILED, "The command failed: %s.", strerror(-r));
	print_error(cli, &err);
	return kcode_exit_status(err.code);
}

int cli_main(int argc, char **argv)
{
	struct cli cli = {.terminal = isatty(STDOUT_FILENO) == 1, .input = true};
	int r;

	setlocale(LC_ALL, "");
	cli.path = getenv("KITH_CONFIG");
	if (!cli.path)
		cli.path = CONFIG_PATH_DEFAULT;
	r = parse_options(&cli, argc, argv);
	if (r != 0)
		return r < 0 ? 2 : 0;
	argc -= optind;
	argv += optind;
	if (argc && strcmp(argv[0], "help") == 0) {
		print_commands(stdout);
		return 0;
	}
	if (argc && strcmp(argv[0], "version") == 0) {
		puts("kith " PACKAGE_VERSION);
		return 0;
	}
	/* What the other lines say is enough for those commands that may go on. */
	(void)config_load(cli.path, &cli.config, &cli.broken);
	if (argc)
		return run(&cli, argc, argv);
	if (cli.broken.code == KCODE_OK)
		return tui_main(&cli);
	print_error(&cli, &cli.broken);
	return kcode_exit_status(cli.broken.code);
}
