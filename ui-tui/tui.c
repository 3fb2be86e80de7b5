/* SPDX-License-Identifier: Apache-2.0 */
/* On a terminal the full screen; elsewhere the same facts, once. */
#include "ui-tui/tui.h"

#include <string.h>

#include "ui-tui/cli.h"
#include "ui-tui/screen/screen.h"
#include "ui-tui/screen/term.h"

static int show(struct cli *cli, const struct cli_command *table, const char *name)
{
	struct kerr err = {0};
	int r;

	while (table->name && strcmp(table->name, name) != 0)
		table++;
	r = table->run(cli, 0, NULL, &err);
	if (r < 0)
		fprintf(stderr, "kith: %s\n", err.text);
	return r < 0 ? kcode_exit_status(err.code) : 0;
}

static int print_lists(struct cli *cli)
{
	int status = show(cli, cli_device_commands, "status");

	if (status == 0) {
		puts("\nDevices");
		status = show(cli, cli_device_commands, "devices");
	}
	if (status == 0) {
		puts("\nVirtual machines");
		status = show(cli, cli_vm_commands, "vms");
	}
	if (!cli->json)
		puts("\nMove one with `kith move VM DEVICE`; `kith help` lists all commands.");
	return status ? status : cli->status;
}

int tui_main(struct cli *cli)
{
	struct kerr err = {0};

	if (cli->json || !cli->terminal || !cli->input || isatty(STDIN_FILENO) != 1 || !term_can())
		return print_lists(cli);
	if (screen_run(cli, cli->read_only, &err) == 0)
		return 0;
	fprintf(stderr, "kith: %s\n", err.text);
	return kcode_exit_status(err.code);
}
