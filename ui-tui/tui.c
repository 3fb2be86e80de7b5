/* SPDX-License-Identifier: Apache-2.0 */
/* On a terminal the full screen; elsewhere the same facts, once. */
#include "ui-tui/tui.h"

#include "ui-tui/cli.h"
#include "ui-tui/screen/screen.h"
#include "ui-tui/screen/term.h"

/* In JSON each of the three is a document. */
static int print_lists(struct cli *cli, struct kerr *err)
{
	static const struct {
		const char *heading;
		int (*run)(struct cli *cli, int argc, char **argv, struct kerr *err);
	} lists[] = {
		{NULL, cmd_status},
		{"\nDevices", cmd_devices},
		{"\nVirtual machines", cmd_vms},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(lists); i++) {
		if (lists[i].heading && !cli->json)
			puts(lists[i].heading);
		r = lists[i].run(cli, 0, NULL, err);
	}
	if (r == 0 && !cli->json)
		puts("\nMove one with `kith move VM DEVICE`; `kith help` lists all commands.");
	return r;
}

int tui_main(struct cli *cli, struct kerr *err)
{
	if (cli->json || !cli->terminal || !cli->input || isatty(STDIN_FILENO) != 1 || !term_can())
		return print_lists(cli, err);
	return screen_run(cli, cli->read_only, err);
}
