/* SPDX-License-Identifier: Apache-2.0 */
/* kith-warden: holds the process of a copy that may not run, below libvirt (F2). */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "mover/warden-server.h"

int main(int argc, char *argv[])
{
	const char *path = CONFIG_PATH_DEFAULT;
	struct config config;
	struct kerr err = {0};

	log_setup("kith-warden");
	if (argc == 3 && strcmp(argv[1], "-c") == 0) {
		path = argv[2];
	} else if (argc != 1) {
		fprintf(stderr, "usage: kith-warden [-c FILE]\n");
		return 2;
	}
	/* A mistake in the file frees no copy: what the other lines say counts. */
	if (config_load(path, &config, &err) < 0)
		log_error("warden", "%s", err.text);
	return warden_main(&config);
}
