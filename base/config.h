/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: `[section]`, `key = value`, `#` comments; unknown keys are errors. */
#pragma once

#include "base/ids.h"
#include "base/kerr.h"

#define CONFIG_PATH_DEFAULT "/etc/kith/kith.conf"
#define CONFIG_POOL_DEFAULT "default"

struct config {
	char name[NAME_MAX_LEN + 1];  /* [device] name; default: the host name */
	enum device_role role;	      /* [device] role */
	char tcti[256];		      /* [tpm] tcti; default "device:/dev/tpmrm0" */
	uint32_t pcrs;		      /* [tpm] pcrs = 0,2,4,7: bit set that quotes cover */
	uint16_t port;		      /* [peer] port; default 4747 */
	char state[108], run[108];    /* [paths] state, run */
	char images[108];	      /* [paths] images: where incoming disks are made... */
	char pool[NAME_MAX_LEN + 1];  /* [libvirt] pool: ...unless there is this storage pool */
	char networks[256];	      /* [libvirt] networks that VMs may join: names, commas */
	char owner[NAME_MAX_LEN + 1]; /* [people] owner: local user who acts for the owner */
	uint32_t evidence_max_age_s;  /* [trust] max_age: older evidence makes a verdict stale */
};

/* Reads `path`; a missing file means defaults. The error names line, key and what is expected;
 * *ret then has what the other lines say, for those who must go on all the same (hook, fence). */
int config_load(const char *path, struct config *ret, struct kerr *err);

/* Parses text in memory (config_load() and the fuzz target). `text` is NUL-terminated. */
int config_parse(const char *text, struct config *ret, struct kerr *err);

/* Path of a file below the run directory, e.g. config_run_path(c, "policyd/policyd.sock"). */
int config_run_path(const struct config *c, const char *rest, char *ret, size_t size);
