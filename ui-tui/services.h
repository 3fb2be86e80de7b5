/* SPDX-License-Identifier: Apache-2.0 */
/* The daemons of this device as `kith` sees them: do they run, and which configuration is theirs.
 */
#pragma once

#include <stdbool.h>

#include <jansson.h>

#include "policyd/api/proto.h"

struct cli;

enum service_run {
	SERVICE_RUNS,
	SERVICE_AWAY,	/* nobody listens at its socket */
	SERVICE_UNSEEN, /* this user may not look, or its socket is full */
};

/* How far a service is with the configuration file. */
enum service_config {
	SERVICE_CONFIG_UNKNOWN,
	SERVICE_CONFIG_TAKEN,
	SERVICE_CONFIG_UNREAD, /* it goes by an earlier text */
	SERVICE_CONFIG_LATER,  /* it read it, and has to be restarted for some keys */
};

#define SERVICES_MAX 4

struct service {
	const char *name;
	enum config_service bit;
	enum service_run run;
	enum service_config config;
	char later[CONFIG_LATER_MAX]; /* the keys, "" = none */
};

/* What the two that can be asked say of themselves. */
struct services_said {
	bool policyd; /* `status` is its word */
	struct policyd_status status;
	json_t *agent; /* kithd's, or NULL */
};

void services_ask(struct cli *cli, struct services_said *ret);
void services_said_release(struct services_said *said);

/* Looks at all four. `mark` is that of the file as it is now; NULL: no configuration is compared.
 */
void services_look(struct cli *cli, const uint8_t mark[CONFIG_MARK_LEN],
		   const struct services_said *said, struct service ret[SERVICES_MAX]);

/* Tells those that run to read the file again. Who may not is told nothing. */
void services_reload(struct cli *cli);

/* services_reload(), then a look until all have answered, 3 s at most. */
void services_renew(struct cli *cli, const uint8_t mark[CONFIG_MARK_LEN],
		    struct service ret[SERVICES_MAX]);

/* "kith-policyd kithd": those to restart for the file. "" if none has to be. */
void services_to_restart(const struct service list[SERVICES_MAX], char *ret, size_t size);
