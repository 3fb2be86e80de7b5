/* SPDX-License-Identifier: Apache-2.0 */
/* kith-mover: hands VMs over. The options below are for its own use but -c. */
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "mover/modes.h"
#include "mover/supervisor.h"
#include "mover/worker.h"

static int usage(void)
{
	fputs("Usage: kith-mover [-c CONFIG]\n"
	      "Moves VMs between this device and others. systemd starts it, kithd asks it.\n",
	      stderr);
	return 2;
}

int main(int argc, char *argv[])
{
	const char *path = CONFIG_PATH_DEFAULT;
	struct config config;
	struct kerr err = {0};
	int at = 1, r;

	/* For the supervisor only, which takes it from its queue: its children go on. */
	worker_ignore(SIGHUP);
	if (argc > at + 1 && strcmp(argv[at], "-c") == 0) {
		path = argv[at + 1];
		at += 2;
	}
	if (config_load(path, &config, &err) < 0) {
		log_error("mover", "%s", err.text);
		return CONFIG_EXIT;
	}
	if (argc == at)
		return supervisor_main(&config);
	r = modes_run(&config, argc - at, argv + at);
	return r < 0 ? usage() : r;
}
