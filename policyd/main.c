/* SPDX-License-Identifier: Apache-2.0 */
/* kith-policyd: the trusted core. Opens what it needs, gives up the rest, serves. */
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "policyd/policyd.h"
#include "policyd/sandbox.h"
#include "policyd/server.h"

static int run(const struct config *config, struct kerr *err)
{
	_cleanup_(policyd_stop) struct policyd policyd = {0};
	struct server *server = NULL;
	int r = policyd_start(config, &policyd, err);

	if (r == 0)
		r = server_new(config, &policyd, &server, err);
	if (r == 0)
		r = sandbox_enter(err);
	if (r == 0) {
		log_notice("start", "\"%s\" is %s", config->name,
			   policyd_state_to_string(policyd.core->state));
		r = server_run(server);
	}
	server_free(server);
	return r;
}

int main(int argc, char **argv)
{
	const char *path = CONFIG_PATH_DEFAULT;
	struct config config;
	struct kerr err = {0};
	int r = secret_process_setup(), broken = 0;

	log_setup("kith-policyd");
	server_catch_reload();
	umask(0077);
	/* The TSS must not print what peers sent. */
	setenv("TSS2_LOG", "all+NONE", 1);
	if (argc == 3 && strcmp(argv[1], "-c") == 0) {
		path = argv[2];
	} else if (argc != 1) {
		fprintf(stderr, "usage: kith-policyd [-c FILE]\n");
		return 2;
	}
	if (r == 0 && secret_lock_process() < 0)
		r = kerr_set(&err, EPERM, KCODE_FAILED,
			     "Kith may not keep its keys out of swap, so it does not start: the "
			     "limit of locked memory is too low. Start it as a service, or set "
			     "LimitMEMLOCK (`ulimit -l unlimited`).");
	if (r == 0)
		r = broken = config_load(path, &config, &err);
	if (r == 0)
		r = run(&config, &err);
	if (r < 0)
		log_error("start", "%s", err.code == KCODE_OK ? strerror(-r) : err.text);
	return r == 0 ? 0 : broken < 0 ? CONFIG_EXIT : 1;
}
