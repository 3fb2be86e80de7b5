/* SPDX-License-Identifier: Apache-2.0 */
/* A command line, read by the table of commands: options anywhere, `--` ends them. Pure. */
#pragma once

#include <stddef.h>

#include "base/kerr.h"
#include "ui-tui/commands.h"

#define CMDLINE_WORDS_MAX 8
#define CMDLINE_USAGE_MAX 160

struct cmdline {
	const struct command *command; /* NULL: none was given, or there was an error */
	const char *given[_OPT_MAX];   /* the value, "" for one that takes none; NULL: not given */
	char *words[CMDLINE_WORDS_MAX + 1]; /* all words, with those of the command's name */
	int count;
	char **args; /* the words behind the name */
	int arg_count;
};

/* Reads argv[1] and the rest. USAGE with *err for what no command takes; *ret then still tells
 * which options were read. With --help words may be missing. */
int cmdline_parse(int argc, char **argv, struct cmdline *ret, struct kerr *err);

/* The command that these words begin with; NULL: none. *ret_words: how many are its name. */
const struct command *cmdline_find(char *const words[], int count, int *ret_words);
/* An option by its name of `len` bytes, or by its letter, for a command (may be NULL); _OPT_MAX:
 * there is none. */
enum opt cmdline_option(const char *name, size_t len);
enum opt cmdline_letter(const struct command *c, char letter);

/* Whether `word` is the first word of a command's name of two, or the whole name. */
bool cmdline_begins_with(const char *name, const char *word);

/* Whether `word` is one of the words of `list`, blanks between. */
bool cmdline_is_one(const char *list, const char *word);

/* "move [--rung live|warm|cold] VM|--all DEVICE"; without `options` only name and words. */
void cmdline_usage(const struct command *c, bool options, char *ret, size_t size);

/* Why there is no such command, with what was perhaps meant. Returns -EINVAL. */
int cmdline_no_command(char *const words[], int count, struct kerr *err);
