/* SPDX-License-Identifier: Apache-2.0 */
/* A change of kith.conf with all that follows from it: for `kith config`, and for `kith init`. */
#pragma once

#include <jansson.h>

#include "ui-tui/services.h"

struct change {
	const struct config_key *key;
	char value[512]; /* what was written; "" = the key was taken out */
	bool numbered;	 /* the owner, who is of a directory service, by his number */
	bool missing;	 /* there is no such user yet */
	struct service services[SERVICES_MAX];
};

/* Sets "SECTION.KEY" (`value` NULL: takes it out), and has the services read it. */
int change_config(struct cli *cli, const char *word, const char *value, struct change *ret,
		  struct kerr *err);

/* What became of it, in sentences on standard output; or as JSON (new reference). */
void change_print(const struct cli *cli, const struct change *c);
json_t *change_json(const struct cli *cli, const struct change *c);

/* "sudo systemctl VERB WHAT", or words for a computer without systemd. */
void change_how(const char *verb, const char *what, char *ret, size_t size);
