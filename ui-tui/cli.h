/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one invocation of `kith` with arguments, and what its commands share. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/advice.h"
#include "base/config.h"
#include "base/ipc-client.h"
#include "policyd/api/proto.h"
#include "ui-tui/commands.h"
#include "ui-tui/model/model.h"

struct agent_client;

/* Number of the shape of all --json output. */
#define CLI_SCHEMA 1

struct cli {
	struct config config;
	const char *path;   /* the file that it was read from */
	struct kerr broken; /* why it cannot be used; then `config` holds the defaults */
	bool json;
	bool terminal;	/* stdout is one: progress may redraw its line */
	bool input;	/* questions may be asked: stdin is open and --no-input was not given */
	int status;	/* exit status of a command that is not a failure to report */
	bool read_only; /* --read-only: the full screen changes nothing */
	bool yes;	/* --yes: do not ask again before what cannot be undone */
	const char
		*given[_OPT_MAX]; /* options: the value, or "" for one without; NULL: not given */
	uint64_t deadline_ms;	  /* of clock_ms(), by --timeout; 0: there is none */
	struct ipc_client *policyd;
	struct agent_client *agent;
};

/* Parses the command line, runs the command, prints its refusal; returns the exit status. */
int cli_main(int argc, char **argv);

/* Connections, made at first use. */
int cli_policyd(struct cli *cli, struct ipc_client **ret, struct kerr *err);

/* To kith-mover; the caller frees it. */
int cli_mover(const struct cli *cli, struct ipc_client **ret, struct kerr *err);
/* Of a request to it that failed with `r`: hanging up is how it refuses who may not ask. */
int cli_mover_refused(int r, struct kerr *err);

/* Asks kithd; `request` is stolen, *ret is a new reference to its result. */
int cli_agent(struct cli *cli, json_t *request, json_t **ret, struct kerr *err);

/* Lets go of kithd and kith-policyd: what is asked next connects anew. */
void cli_hang_up(struct cli *cli);

/* How long to wait, in ms: at most `most_ms`, and until --timeout ends it. */
int cli_wait_ms(const struct cli *cli, int most_ms);

/* True while --timeout leaves more than so many ms to wait; always without it. */
bool cli_left(const struct cli *cli, uint64_t ms);

/* From now on kithd tells its events. */
int cli_watch(struct cli *cli, struct kerr *err);

/* Next event of kithd (new reference), waiting at most `timeout_ms`; *ret NULL if none came. */
int cli_agent_event(struct cli *cli, int timeout_ms, json_t **ret, struct kerr *err);

/* Prints one JSON document on a line; `result` is stolen and gets "schema". */
void cli_print_json(json_t *result);

/* Reads a secret as one line from standard input, the question on standard error: a terminal does
 * not show it, and shows again what follows also when a signal ends this. -EPIPE at the end of the
 * input. The caller wipes `buf`. */
int cli_read_secret(char *buf, size_t size, const char *question);
/* 0 if the user said y, or --yes; else `cancelled`: nothing was changed. */
int cli_confirm(const struct cli *cli, const char *question, struct kerr *err);

/* A glyph in its colour, if there are colours: '+', '!', '-', '?' or '~'. The glyph says all that
 * the colour does. */
const char *cli_glyph(char glyph);
/* What may be trusted, or not. */
const char *cli_mark(bool good);
/* Whether there are colours from now on. */
void cli_colours(bool on);

/* A device by name, id or the start (8 digits or more) of its id, from policyd's peers; for one
 * that is only in sight its known part of the id, zeros behind it (policyd then says that it is
 * not paired, and records it). */
int cli_find_device(struct cli *cli, const char *word, uint8_t ret_id[DEVICE_ID_LEN],
		    char ret_name[NAME_MAX_LEN + 1], struct kerr *err);

/* A VM by name or UUID, among those libvirt has here and those in Kith's care. */
int cli_find_vm(struct cli *cli, const char *word, uint8_t ret_uuid[UUID_LEN],
		char ret_name[NAME_MAX_LEN + 1], struct kerr *err);

/* Prints that this device is locked, and lets the command end with "not now". `error` is what
 * kithd says of it in a list; NULL or JSON null: it is not. */
void cli_print_locked(struct cli *cli, const json_t *error);

/* Prints which images a VM that just left has left here, if any. */
void cli_tell_stale(struct cli *cli, const uint8_t uuid[UUID_LEN]);

/* JSON forms. */
json_t *cli_kerr_json(const struct kerr *err);
json_t *cli_hex(const uint8_t *data, size_t len);
