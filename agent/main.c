/* SPDX-License-Identifier: Apache-2.0 */
/* kithd: the device's face to its network. Holds no long-term key and decides nothing. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "agent/agent.h"
#include "base/advice.h"
#include "base/log.h"
#include "base/secret.h"

static int usage(FILE *to, int status)
{
	fputs("Usage: kithd [-c FILE]\n"
	      "The network daemon of Kith; see kithd(8).\n"
	      "  -c FILE  configuration (default " CONFIG_PATH_DEFAULT ")\n",
	      to);
	return status;
}

int main(int argc, char **argv)
{
	const char *path = CONFIG_PATH_DEFAULT;
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	_cleanup_(agent_freep) struct agent *agent = NULL;
	struct config config;
	struct kerr err = {0};
	int opt;

	while ((opt = getopt(argc, argv, "c:h")) != -1) {
		if (opt == 'c')
			path = optarg;
		else
			return opt == 'h' ? usage(stdout, 0) : usage(stderr, 2);
	}
	if (optind != argc)
		return usage(stderr, 2);
	log_setup("kithd");
	sigaction(SIGPIPE, &ignore, NULL);
	/* Until there is something to do about it. */
	sigaction(SIGHUP, &ignore, NULL);
	if (secret_process_setup() < 0) {
		log_error("main", "Cannot protect the process's memory.");
		return 1;
	}
	if (config_load(path, &config, &err) < 0) {
		log_error("main", "%s", err.text);
		return CONFIG_EXIT;
	}
	if (agent_new(&config, &agent, &err) < 0) {
		log_error("main", "%s", err.text);
		return kcode_exit_status(err.code);
	}
	agent_run(agent);
	return 0;
}
