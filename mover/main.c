/* SPDX-License-Identifier: Apache-2.0 */
/* kith-mover: hands running VMs over. The options below are for its own use but -c. */
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "mover/discs.h"
#include "mover/disks.h"
#include "mover/listing.h"
#include "mover/plan.h"
#include "mover/recover.h"
#include "mover/roam.h"
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
	const char *path = CONFIG_PATH_DEFAULT, *mode;
	struct config config;
	struct kerr err = {0};
	int at = 1;

	/* For the supervisor only, which takes it from its queue: its children go on. */
	worker_ignore(SIGHUP);
	if (argc > at + 1 && strcmp(argv[at], "-c") == 0) {
		path = argv[at + 1];
		at += 2;
	}
	mode = argc > at ? argv[at++] : NULL;
	if (config_load(path, &config, &err) < 0) {
		log_error("mover", "%s", err.text);
		return 2;
	}
	if (!mode)
		return supervisor_main(&config);
	if ((strcmp(mode, "--source") == 0 || strcmp(mode, "--destination") == 0) && argc == at + 1)
		worker_main(&config, argv[at], strcmp(mode, "--source") == 0);
	if (strcmp(mode, PLAN_MODE_OFFERS) == 0 && argc == at)
		plan_offers_main(&config);
	if (strcmp(mode, PLAN_MODE_ASK) == 0 && argc == at)
		plan_main(&config);
	if (strcmp(mode, ROAM_MODE) == 0 && argc == at)
		roam_main(&config);
	if (strcmp(mode, "--vms") == 0 && argc == at)
		listing_main(&config);
	if (strcmp(mode, DISKS_MODE_LIST) == 0 || strncmp(mode, "--disk-", 7) == 0)
		disks_main(&config, mode, argv[at]);
	if (strncmp(mode, "--disc", 6) == 0 && argc == at)
		discs_main(&config, mode);
	if (strncmp(mode, "--recover", 9) == 0 && argc == at)
		return recover_main(&config, strcmp(mode, "--recover-again") == 0);
	return usage();
}
