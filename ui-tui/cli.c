/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands share: connections, questions, JSON. */
#include "ui-tui/cli.h"

#include <signal.h>
#include <string.h>
#include <termios.h>

#include "agent/client.h"
#include "base/clock.h"
#include "mover/proto.h"

#define AGENT_WAIT_MS 30000

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

int cli_wait_ms(const struct cli *cli, int most_ms)
{
	uint64_t now = clock_ms();

	if (!cli->deadline_ms)
		return most_ms;
	return cli->deadline_ms <= now ? 0 : (int)MIN_OF(cli->deadline_ms - now, (uint64_t)most_ms);
}

bool cli_left(const struct cli *cli, uint64_t ms)
{
	return !cli->deadline_ms || clock_ms() + ms < cli->deadline_ms;
}

void cli_hang_up(struct cli *cli)
{
	cli->agent = agent_client_free(cli->agent);
	cli->policyd = ipc_client_free(cli->policyd);
}

int cli_agent(struct cli *cli, json_t *request, json_t **ret, struct kerr *err)
{
	_cleanup_free_ char *op = strdup(json_string_value(json_object_get(request, "op")));
	int r = op ? connect_agent(cli, err) : -ENOMEM;

	json_object_del(request, "op");
	if (r == 0)
		return agent_client_call(cli->agent, op, request, cli_wait_ms(cli, AGENT_WAIT_MS),
					 ret, err);
	json_decref(request);
	return r;
}

int cli_watch(struct cli *cli, struct kerr *err)
{
	json_t *result = NULL;
	int r = cli_agent(cli, json_pack("{s:s}", "op", "watch"), &result, err);

	json_decref(result);
	return r;
}

int cli_agent_event(struct cli *cli, int timeout_ms, json_t **ret, struct kerr *err)
{
	int r;

	*ret = NULL;
	r = agent_client_event(cli->agent, cli_wait_ms(cli, timeout_ms), ret, err);
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
