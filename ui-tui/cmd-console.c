/* SPDX-License-Identifier: Apache-2.0 */
/* `kith console`: a VM's display or serial console, wherever the VM is, also while it moves. */
#include <string.h>

#include "ui-tui/console.h"

static void on_stop(int sig)
{
	console_stop = sig;
}

static int parse(struct console *c, int argc, char **argv, bool *ret_print, struct kerr *err)
{
	const char *vm = NULL;

	c->wish.kind = CONSOLE_GRAPHICS;
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--serial") == 0)
			c->wish.kind = CONSOLE_SERIAL;
		else if (strcmp(argv[i], "--force") == 0)
			c->wish.force = 1;
		else if (strcmp(argv[i], "--print") == 0)
			*ret_print = true;
		else if (!vm && argv[i][0] != '-')
			vm = argv[i];
		else
			return kerr_set(err, EINVAL, KCODE_USAGE,
					"`kith console` has no option \"%.40s\".", argv[i]);
	}
	if (!vm)
		return kerr_set(err, EINVAL, KCODE_USAGE, "Which VM? `kith vms` lists them.");
	if (c->wish.kind == CONSOLE_SERIAL ? *ret_print || c->cli->json : c->wish.force)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"--force is for the serial console; --print and --json are for "
				"the display.");
	return cli_find_vm(c->cli, vm, c->wish.uuid, c->vm, err);
}

static int cmd_console(struct cli *cli, int argc, char **argv, struct kerr *err)
{
	const struct sigaction action = {.sa_handler = on_stop};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct console c = {.cli = cli, .life = -EBADF};
	bool print = false;
	int r = parse(&c, argc, argv, &print, err);

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
						  : console_viewer(&c, print, err);
	console_close(&c);
	return r;
}

const struct cli_command cli_console_commands[] = {
	{"console", "console [--serial [--force]|--print] VM",
	 "see a VM, wherever it is: its display, or its serial port", 1, 3, cmd_console},
	{0},
};
