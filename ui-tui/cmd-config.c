/* SPDX-License-Identifier: Apache-2.0 */
/* `kith config`: what kith.conf says, and changes of it without an editor. */
#include <string.h>

#include "ui-tui/change.h"
#include "ui-tui/cli.h"
#include "ui-tui/config-edit.h"
#include "ui-tui/config-file.h"

/* A key as it stands in the file. */
struct entry {
	char name[64];
	char value[512];
	unsigned line; /* 0 = the default */
};

static int entry_of(const char *text, const struct config_key *k, struct entry *ret)
{
	_cleanup_free_ char *value = NULL;
	struct entry e = {0};
	struct config none;
	int r = config_edit_find(text, k->section, k->key, &value, &e.line);

	if (r < 0 && r != -ENOENT)
		return r;
	snprintf(e.name, sizeof(e.name), "%s.%s", k->section, k->key);
	/* Only the name's default is no word of the table. */
	if (!value && !k->fallback && config_parse("", &none, NULL) == 0)
		snprintf(e.value, sizeof(e.value), "%s", none.name);
	else
		snprintf(e.value, sizeof(e.value), "%s", value ? value : k->fallback);
	*ret = e;
	return 0;
}

static json_t *entry_json(const struct config_key *k, const struct entry *e)
{
	return json_pack("{s:s, s:s, s:b, s:o, s:s, s:b}", "key", e->name, "value", e->value, "set",
			 e->line != 0, "line", e->line ? json_integer(e->line) : json_null(),
			 "expects", k->expects, "restart", k->restarts != 0);
}

static int config_list(struct cli *cli, struct kerr *err)
{
	_cleanup_(config_file_release) struct config_file f = {0};
	const struct config_key *k;
	json_t *list = json_array();
	int r = config_file_read(cli->path, &f, err);

	if (r == 0 && !cli->json)
		printf("%s%s\n", cli->path, f.exists ? "" : " is not there: all defaults");
	for (size_t i = 0; r == 0 && (k = config_key(i)); i++) {
		struct entry e;

		r = entry_of(f.text, k, &e);
		if (r == 0 && cli->json)
			json_array_append_new(list, entry_json(k, &e));
		else if (r == 0 && e.line)
			printf("  %-15s %-28s line %u\n", e.name, e.value, e.line);
		else if (r == 0)
			printf("  %-15s %-28s default\n", e.name, e.value);
	}
	if (r == 0 && cli->json)
		cli_print_json(json_pack("{s:s, s:b, s:O, s:o}", "file", cli->path, "exists",
					 f.exists, "keys", list, "error",
					 cli_kerr_json(&cli->broken)));
	else if (r == 0 && cli->broken.code != KCODE_OK)
		printf("! %s\n  Services that run go by what was there before; those that start "
		       "do not.\n",
		       cli->broken.text);
	json_decref(list);
	return r;
}

static int config_get(struct cli *cli, const char *word, struct kerr *err)
{
	_cleanup_(config_file_release) struct config_file f = {0};
	const struct config_key *k;
	struct entry e;
	int r = config_edit_key(word, &k, err);

	if (r == 0)
		r = config_file_read(cli->path, &f, err);
	if (r == 0)
		r = entry_of(f.text, k, &e);
	if (r < 0)
		return r;
	if (cli->json)
		cli_print_json(entry_json(k, &e));
	else
		puts(e.value);
	return 0;
}

static int config_change(struct cli *cli, const char *word, const char *value, struct kerr *err)
{
	struct change c;
	int r = change_config(cli, word, value, &c, err);

	if (r < 0)
		return r;
	if (cli->json)
		cli_print_json(change_json(cli, &c));
	else
		change_print(cli, &c);
	return 0;
}

int cmd_config(struct cli *cli, int argc _unused_, char **argv _unused_, struct kerr *err)
{
	return config_list(cli, err);
}

int cmd_config_get(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	return config_get(cli, argv[0], err);
}

int cmd_config_set(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	return config_change(cli, argv[0], argv[1], err);
}

int cmd_config_unset(struct cli *cli, int argc _unused_, char **argv, struct kerr *err)
{
	return config_change(cli, argv[0], NULL, err);
}
