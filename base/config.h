/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: `[section]`, `key = value`, `#` comments; unknown keys are errors. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/ids.h"
#include "base/kerr.h"

#define CONFIG_PATH_DEFAULT "/etc/kith/kith.conf"
#define CONFIG_POOL_DEFAULT "default"
#define CONFIG_SIZE_MAX 65536		    /* bytes of the file */
#define CONFIG_MOVER_COPY "mover/kith.conf" /* below the run directory: what kith-mover goes by */
#define CONFIG_MARK_LEN 32
#define CONFIG_LATER_MAX 128 /* all keys that are not live, in words */

struct config {
	char name[NAME_MAX_LEN + 1]; /* [device] name; default: the host name */
	enum device_role role;	     /* [device] role */
	char tcti[256];		     /* [tpm] tcti; default "device:/dev/tpmrm0" */
	uint32_t pcrs;		     /* [tpm] pcrs = 0,2,4,7: bit set that quotes cover */
	uint16_t port;		     /* [peer] port; default 4747 */
	char state[108], run[108];   /* [paths] state, run */
	char images[108];	     /* [paths] images: where incoming disks are made... */
	char pool[NAME_MAX_LEN + 1]; /* [libvirt] pool: ...unless there is this storage pool */
	char other_network[NAME_MAX_LEN + 1]; /* [libvirt] of them, for cards of any other */
	char networks[256];	      /* [libvirt] networks that VMs may join: names, commas */
	char shared_pools[256];	      /* [libvirt] pools whose volumes VMs may use: names, commas */
	char owner[NAME_MAX_LEN + 1]; /* [people] owner: local user who acts for the owner */
	uint32_t evidence_max_age_s;  /* [trust] max_age: older evidence makes a verdict stale */
	/* About the file. */
	const char *path;	       /* as config_load() was given it; has to outlive this */
	uint8_t mark[CONFIG_MARK_LEN]; /* a hash of the text that was read last */
	char later[CONFIG_LATER_MAX];  /* what it says otherwise and that waits for a restart */
};

enum config_service {
	CONFIG_POLICYD = 1 << 0,
	CONFIG_KITHD = 1 << 1,
	CONFIG_MOVER = 1 << 2,
	CONFIG_WARDEN = 1 << 3,
};

/* A row of the table of keys, for who shows or edits the file; the rest is config.c's own. */
struct config_key {
	const char *section, *key, *expects;
	const char *fallback; /* the default; NULL = the host name */
	unsigned restarts;    /* the services that hold on to it until they are restarted */
	bool (*set)(void *to, unsigned long bound, const char *value);
	size_t member, size;
	unsigned long bound;
};

/* The rows, by number; NULL behind the last. */
const struct config_key *config_key(size_t i);

/* A service ends with this if its configuration cannot be read, and is not started again until
 * somebody does (EX_CONFIG of sysexits.h; RestartPreventExitStatus in packaging/systemd). */
#define CONFIG_EXIT 78

/* Reads `path`; a missing file means defaults. The error names line, key and what is expected;
 * *ret then has what the other lines say, for those who must go on all the same (hook, fence). */
int config_load(const char *path, struct config *ret, struct kerr *err);

/* The same, with the text itself, malloced; "" where there is no file. */
int config_read(const char *path, struct config *ret, char **ret_text, struct kerr *err);

/* Parses text in memory (config_load() and the fuzz target). `text` is NUL-terminated. */
int config_parse(const char *text, struct config *ret, struct kerr *err);

/* Takes over from `fresh` what can change while this service runs, and names the rest in
 * c->later. */
void config_renew(struct config *c, const struct config *fresh, enum config_service service);

/* SIGHUP: reads the file again. A bad one changes nothing. Says in the log what came of it. */
void config_reload(struct config *c, enum config_service service);

/* Path of a file below the run directory, e.g. config_run_path(c, "policyd/policyd.sock"). */
int config_run_path(const struct config *c, const char *rest, char *ret, size_t size);
