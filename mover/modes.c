/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what the program is as a child. */
#include "mover/modes.h"

#include <string.h>

#include "mover/console.h"
#include "mover/discs.h"
#include "mover/disks.h"
#include "mover/listing.h"
#include "mover/plan.h"
#include "mover/recover.h"
#include "mover/roam.h"
#include "mover/worker.h"

/* `word`: the one behind the mode, or NULL. */
typedef int (*mode_fn)(const struct config *config, const char *mode, const char *word);

static int run_source(const struct config *config, const char *mode _unused_, const char *word)
{
	worker_main(config, word, true);
}

static int run_destination(const struct config *config, const char *mode _unused_, const char *word)
{
	worker_main(config, word, false);
}

static int run_console(const struct config *config, const char *mode, const char *word)
{
	console_main(config, mode, word);
}

static int run_offers(const struct config *config, const char *mode _unused_,
		      const char *word _unused_)
{
	plan_offers_main(config);
}

static int run_plan(const struct config *config, const char *mode _unused_,
		    const char *word _unused_)
{
	plan_main(config);
}

static int run_roam(const struct config *config, const char *mode _unused_,
		    const char *word _unused_)
{
	roam_main(config);
}

static int run_listing(const struct config *config, const char *mode _unused_,
		       const char *word _unused_)
{
	listing_main(config);
}

static int run_disks(const struct config *config, const char *mode, const char *word)
{
	disks_main(config, mode, word);
}

static int run_discs(const struct config *config, const char *mode, const char *word _unused_)
{
	discs_main(config, mode);
}

static int run_recovery(const struct config *config, const char *mode, const char *word _unused_)
{
	return recover_main(config, strcmp(mode, "--recover-again") == 0);
}

static const struct {
	const char *name;
	bool family;	 /* it begins with that */
	int least, most; /* words behind it */
	mode_fn run;
} modes[] = {
	{"--source", false, 1, 1, run_source},	 {"--destination", false, 1, 1, run_destination},
	{"--console-", true, 1, 1, run_console}, {PLAN_MODE_OFFERS, false, 0, 0, run_offers},
	{PLAN_MODE_ASK, false, 0, 0, run_plan},	 {ROAM_MODE, false, 0, 0, run_roam},
	{"--vms", false, 0, 0, run_listing},	 {DISKS_MODE_LIST, false, 0, 0, run_disks},
	{"--disk-", true, 0, 1, run_disks},	 {"--disc", true, 0, 0, run_discs},
	{"--recover", true, 0, 0, run_recovery},
};

int modes_run(const struct config *config, int argc, char *argv[])
{
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		const char *name = modes[i].name;
		bool named = modes[i].family ? strncmp(argv[0], name, strlen(name)) == 0
					     : strcmp(argv[0], name) == 0;

		if (named && argc - 1 >= modes[i].least && argc - 1 <= modes[i].most)
			return modes[i].run(config, argv[0], argv[1]);
	}
	return -1;
}
