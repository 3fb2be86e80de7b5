/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of `kith` as data: usage, help, completion and the check of a command line all come
 * from here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct cli;
struct kerr;

/* What may stand for a word or the value of an option. */
enum fills {
	FILLS_TEXT, /* whatever the user likes; nothing can be offered */
	FILLS_LIST, /* one of `list` */
	FILLS_VM,
	FILLS_JOB,    /* a VM of which a hand-off is open */
	FILLS_DEVICE, /* that is paired */
	FILLS_NEAR,   /* or in sight */
	FILLS_FILE,
	FILLS_KEY,     /* of kith.conf */
	FILLS_COMMAND, /* of this program */
};

enum opt {
	/* Those of every command. */
	OPT_JSON,
	OPT_YES,
	OPT_NO_INPUT,
	OPT_CONFIG,
	OPT_COLOR,
	OPT_TIMEOUT,
	OPT_HELP,
	OPT_VERSION,
	/* Without a command. */
	OPT_READ_ONLY,
	/* Of the commands that name them. */
	OPT_QUIET,
	OPT_WAIT,
	OPT_WATCH,
	OPT_ALL,
	OPT_RUNG,
	OPT_EJECT,
	OPT_SERIAL,
	OPT_FORCE,
	OPT_PRINT,
	OPT_DEVICES,
	OPT_UNDO,
	OPT_SOFTWARE_TPM,
	OPT_LINES,
	OPT_SINCE,
	OPT_FOLLOW,
	OPT_VM,
	OPT_DEVICE,
	OPT_REFUSED,
	OPT_VERIFY,
	_OPT_MAX,
};
#define OPT_BIT(opt) (UINT32_C(1) << (opt))
#define OPTS_EVERY (OPT_BIT(OPT_READ_ONLY) - 1) /* those of every command */

struct opt_row {
	const char *name; /* without the dashes */
	char letter;	  /* 0: it has none */
	const char *value, *list;
	enum fills fills;
	const char *help;
};
/* By enum opt. */
extern const struct opt_row opt_rows[_OPT_MAX];

#define COMMAND_WORDS_MAX 4

struct command_word {
	const char *name; /* NULL behind the last */
	enum fills fills;
	const char *list; /* FILLS_LIST: the words, blanks between */
};

/* Exit statuses besides 0, 1, 2, 3 and 75, which every command may have. */
enum command_exit {
	EXIT_UNTRUSTED = 1u << 0,
	EXIT_UNREACHABLE = 1u << 1,
	EXIT_IMPOSSIBLE = 1u << 2,
	EXIT_CANCELLED = 1u << 3,
};

struct command {
	const char *name;  /* one word, or two: "trust accept" */
	const char *group; /* heading of the help; the first of each has it */
	struct command_word words[COMMAND_WORDS_MAX + 1];
	const char *synopsis; /* of the words, where it is not what they say */
	uint8_t min;	      /* words that have to be there */
	uint32_t options;     /* OPT_BIT() of its own */
	unsigned exits;	      /* enum command_exit */
	bool any_config;      /* it works with a configuration that cannot be used, too */
	const char *help;     /* one line */
	const char *more;     /* what else is worth knowing, sentences */
	int (*run)(struct cli *cli, int argc, char **argv, struct kerr *err);
};

/* In the order of the help; a row without name ends them. */
extern const struct command commands[];

/* By file. `argv` are the words behind the name. 0, or negative with *err. */
int cmd_init(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_status(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_devices(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_pair(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_unlock(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_recovery(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_trust(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_trust_accept(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_trust_forget(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_trust_receive(struct cli *cli, int argc, char **argv, struct kerr *err);

int cmd_config(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_config_get(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_config_set(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_config_unset(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_doctor(struct cli *cli, int argc, char **argv, struct kerr *err);

int cmd_vms(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_claim(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_policy_list(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_policy_show(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_policy_set(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_policy_edit(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_policy_withdraw(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_policy_check(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_policy_diff(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_policy_why(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_log(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_plan(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_move(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_fetch(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_jobs(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_watch(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_cancel(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_vm_show(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_vm_roam(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_console(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_disks(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_disks_remove(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_disks_forget(struct cli *cli, int argc, char **argv, struct kerr *err);

int cmd_help(struct cli *cli, int argc, char **argv, struct kerr *err);
int cmd_version(struct cli *cli, int argc, char **argv, struct kerr *err);
