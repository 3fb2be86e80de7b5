/* SPDX-License-Identifier: Apache-2.0 */
/* Candidates come from the tables, and names from kithd, which is asked once and not waited for. */
#include "ui-tui/complete.h"

#include <string.h>

#include "agent/client.h"
#include "ui-tui/cli.h"
#include "ui-tui/cmdline.h"

#define WAIT_MS 700 /* for names: who presses Tab waits for the answer */
#define WORDS_MAX 32

struct asked {
	struct cli *cli;
	char *words[WORDS_MAX]; /* those before the one that is typed */
	int count;
	const char *typed;
	struct cmdline line; /* of what stands there */
};

/* Names are others' words: what could drive a terminal is left out, not mended. */
static void offer(const struct asked *a, const char *prefix, const char *word, const char *what)
{
	size_t len = strlen(a->typed);

	for (const char *at = word; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return;
	if (strncmp(prefix, a->typed, MIN_OF(len, strlen(prefix))) != 0 ||
	    (len > strlen(prefix) &&
	     strncmp(word, a->typed + strlen(prefix), len - strlen(prefix)) != 0))
		return;
	printf("%s%s\t%s\n", prefix, word, what);
}

/* -- names -- */

static json_t *ask(const struct asked *a, const char *op)
{
	_cleanup_(agent_client_freep) struct agent_client *agent = NULL;
	struct kerr ignored = {0};
	json_t *result = NULL;
	char path[256];

	if (config_run_path(&a->cli->config, AGENT_SOCKET, path, sizeof(path)) < 0 ||
	    agent_client_new_nowait(path, &agent, &ignored) < 0 ||
	    agent_client_call(agent, op, NULL, WAIT_MS, &result, &ignored) < 0)
		return NULL;
	return result;
}

static void offer_vms(const struct asked *a)
{
	json_t *result = ask(a, "vms"), *row;
	struct model_vm vm;
	char where[384];
	size_t i;

	json_array_foreach(json_object_get(result, "vms"), i, row)
	{
		model_read_vm(row, &vm);
		model_where(&vm, where, sizeof(where));
		offer(a, "", vm.name, where);
	}
	json_decref(result);
}

static void offer_jobs(const struct asked *a)
{
	json_t *result = ask(a, "jobs"), *row;
	struct model_job job;
	size_t i;

	json_array_foreach(json_object_get(result, "jobs"), i, row)
	{
		model_read_job(row, &job);
		if (!model_is_over(&job))
			offer(a, "", job.vm, phase_to_string(job.phase));
	}
	json_decref(result);
}

/* `prefix`: what stands before the name in the same word, as in A,B. */
static void offer_devices(const struct asked *a, const char *prefix, bool all)
{
	json_t *result = ask(a, "devices"), *row;
	struct model_device d;
	size_t i;

	json_array_foreach(json_object_get(result, "devices"), i, row)
	{
		model_read_device(row, &d);
		if (all || d.paired == MAYBE_YES)
			offer(a, prefix, d.name, d.paired == MAYBE_YES ? d.verdict : "not paired");
	}
	json_decref(result);
}

static void offer_list(const struct asked *a, const char *prefix, const char *list)
{
	char word[40];

	for (const char *at = list; at && *at; at += strspn(at, " ")) {
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(at, " "), at);
		offer(a, prefix, word, "");
		at += strcspn(at, " ");
	}
}

static void offer_keys(const struct asked *a)
{
	const struct config_key *k;
	char name[80];

	for (size_t i = 0; (k = config_key(i)); i++) {
		snprintf(name, sizeof(name), "%s.%s", k->section, k->key);
		offer(a, "", name, k->expects);
	}
}

/* The next word of the names of commands that begin with the `count` words. */
static void offer_commands(const struct asked *a, char *const words[], int count)
{
	char word[24], last[24] = "";

	for (const struct command *c = commands; c->name; c++) {
		const char *second = strchr(c->name, ' ');
		size_t len = strcspn(c->name, " ");

		if (count > 1 || (count && (!second || !cmdline_begins_with(c->name, words[0]))))
			continue;
		snprintf(word, sizeof(word), "%.*s", count ? (int)strlen(second + 1) : (int)len,
			 count ? second + 1 : c->name);
		/* "trust", once for all its forms. */
		if (strcmp(word, last) != 0)
			offer(a, "", word, c->help);
		memcpy(last, word, sizeof(last));
	}
}

/* -- where the word stands -- */

static void offer_fill(const struct asked *a, enum fills fills, const char *list,
		       const char *prefix)
{
	switch (fills) {
	case FILLS_LIST:
		offer_list(a, prefix, list);
		break;
	case FILLS_VM:
		offer_vms(a);
		break;
	case FILLS_JOB:
		offer_jobs(a);
		break;
	case FILLS_DEVICE:
		offer_devices(a, prefix, false);
		break;
	case FILLS_NEAR:
		offer_devices(a, prefix, true);
		break;
	case FILLS_FILE:
		puts("\tfiles");
		break;
	case FILLS_KEY:
		offer_keys(a);
		break;
	case FILLS_COMMAND:
		offer_commands(a, a->line.args, a->line.arg_count);
		break;
	case FILLS_TEXT:
		break;
	}
}

static void offer_options(const struct asked *a)
{
	const struct command *c = a->line.command;

	/* Its own first. */
	for (int i = OPT_READ_ONLY + 1; c && i < _OPT_MAX; i++)
		if (!a->line.given[i] && c->options & OPT_BIT(i))
			offer(a, "--", opt_rows[i].name, opt_rows[i].help);
	for (int i = 0; i <= (c ? OPT_VERSION : OPT_READ_ONLY); i++)
		if (!a->line.given[i])
			offer(a, "--", opt_rows[i].name, opt_rows[i].help);
}

/* The value of an option: of the word before, or behind "=". False: this is none. */
static bool offer_value(const struct asked *a)
{
	const char *last = a->count ? a->words[a->count - 1] : "", *end = strchr(a->typed, '=');
	char prefix[128] = "";
	enum opt opt = _OPT_MAX;

	if (strncmp(a->typed, "--", 2) == 0 && end) {
		opt = cmdline_option(a->typed + 2, (size_t)(end - a->typed - 2));
		snprintf(prefix, sizeof(prefix), "%.*s", (int)(end + 1 - a->typed), a->typed);
	} else if (strncmp(last, "--", 2) == 0 && last[2]) {
		opt = cmdline_option(last + 2, strlen(last + 2));
	} else if (last[0] == '-' && last[1] && !last[2]) {
		opt = cmdline_letter(a->line.command, last[1]);
	}
	if (opt == _OPT_MAX || !opt_rows[opt].value)
		return false;
	/* A,B: what is complete stays. */
	if (opt == OPT_DEVICES && strrchr(a->typed, ','))
		snprintf(prefix, sizeof(prefix), "%.*s",
			 (int)(strrchr(a->typed, ',') + 1 - a->typed), a->typed);
	offer_fill(a, opt_rows[opt].fills, opt_rows[opt].list, prefix);
	return true;
}

static void offer_words(const struct asked *a)
{
	const struct cmdline *l = &a->line;
	const struct command *c = l->command;
	int at = l->arg_count;

	if (l->count == 0 || (l->count == 1 && (!c || !at)))
		offer_commands(a, l->words, l->count);
	if (!c)
		return;
	/* --all stands for the first word. */
	if (c->synopsis && l->given[OPT_ALL])
		at++;
	if (at < COMMAND_WORDS_MAX && c->words[at].name)
		offer_fill(a, c->words[at].fills, c->words[at].list, "");
}

/* bash takes "--rung=live" for three words. */
static void take_words(struct asked *a, int argc, char **argv)
{
	static char joined[256], typed[256];

	a->typed = argc ? argv[argc - 1] : "";
	for (int i = 0; i + 1 < argc && a->count + 1 < WORDS_MAX; i++)
		a->words[a->count++] = argv[i];
	if (strcmp(a->typed, "=") == 0)
		a->typed = "";
	else if (a->count < 2 || strcmp(a->words[a->count - 1], "=") != 0)
		return;
	else
		a->count--;
	snprintf(joined, sizeof(joined), "%s", a->count ? a->words[a->count - 1] : "");
	snprintf(typed, sizeof(typed), "%s", a->typed);
	a->typed = typed;
	if (a->count)
		a->words[a->count - 1] = joined;
}

int complete_main(struct cli *cli, int argc, char **argv)
{
	char *line[WORDS_MAX + 1] = {"kith"};
	struct asked a = {.cli = cli};
	struct kerr ignored = {0};

	if (argc && strcmp(argv[0], "--") == 0) {
		argc--;
		argv++;
	}
	take_words(&a, argc, argv);
	for (int i = 0; i < a.count; i++)
		line[i + 1] = a.words[i];
	/* What is wrong so far may still become right. */
	(void)cmdline_parse(a.count + 1, line, &a.line, &ignored);
	if (a.line.given[OPT_CONFIG])
		cli->path = a.line.given[OPT_CONFIG];
	(void)config_load(cli->path, &cli->config, &cli->broken);
	if (offer_value(&a))
		return 0;
	if (a.typed[0] == '-' && a.typed[1])
		offer_options(&a);
	else if (a.typed[0] == '-')
		offer_options(&a), offer_words(&a);
	else
		offer_words(&a);
	return 0;
}
