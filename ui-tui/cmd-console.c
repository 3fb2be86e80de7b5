/* SPDX-License-Identifier: Apache-2.0 */
/* `kith console`: a VM's display or serial console, wherever the VM is, also while it moves. */
#include <string.h>

#include "ui-tui/console.h"

static void on_stop(int sig)
{
	console_stop = sig;
}

static int parse(struct console *c, const char *vm, struct kerr *err)
{
	const char *const *given = c->cli->given;

	c->wish.kind = given[OPT_SERIAL] ? CONSOLE_SERIAL : CONSOLE_GRAPHICS;
	c->wish.force = given[OPT_FORCE] != NULL;
	if (given[OPT_SERIAL] ? given[OPT_PRINT] || c->cli->json : given[OPT_FORCE] != NULL)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"--force is for the serial console; --print and --json are for "
				"the display.");
	return cli_find_vm(c->cli, vm, c->wish.uuid, c->vm, err);
}

int cmd_console(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	const struct sigaction action = {.sa_handler = on_stop};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct console c = {.cli = cli, .life = -EBADF};
	int r = parse(&c, argv[0], err);

	if (r < 0)
		return r;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGQUIT, &action, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	r = console_open(&c, err);
	if (r == 0)
		r = c.wish.kind == CONSOLE_SERIAL ? console_terminal(&c, err)
						  : console_viewer(&c, cli->given[OPT_PRINT], err);
	console_close(&c);
	return r;
}
