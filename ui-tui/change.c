/* SPDX-License-Identifier: Apache-2.0 */
/* File first, services after: one that does not run reads the new file when it starts. */
#include "ui-tui/change.h"

#include <string.h>

#include "ui-tui/cli.h"
#include "ui-tui/config-edit.h"
#include "ui-tui/config-file.h"
#include "ui-tui/owner.h"

void change_how(const char *verb, const char *what, char *ret, size_t size)
{
	if (access("/run/systemd/system", F_OK) == 0)
		snprintf(ret, size, "sudo systemctl %s %s", verb, what);
	else if (strcmp(verb, "reload") == 0)
		snprintf(ret, size, "kill -HUP $(pidof %s)", what);
	else
		snprintf(ret, size, "%s %s", verb, what);
}

static bool is_key(const struct config_key *k, const char *section, const char *key)
{
	return strcmp(k->section, section) == 0 && strcmp(k->key, key) == 0;
}

/* The services look into /etc/passwd only. */
static void choose_value(struct change *c, const char *value)
{
	enum owner_kind kind;

	snprintf(c->value, sizeof(c->value), "%s", value);
	if (!is_key(c->key, "people", "owner"))
		return;
	kind = owner_look(value, c->value, sizeof(c->value));
	c->numbered = kind == OWNER_DIRECTORY;
	c->missing = kind == OWNER_MISSING;
}

static int edit(const struct config_file *f, struct change *c, const char *value, char **ret,
		struct kerr *err)
{
	const char *section = c->key->section, *key = c->key->key;
	int r;

	if (!value) {
		r = config_edit_unset(f->text, section, key, ret);
		return r == -ENOENT ? kerr_set(err, ENOENT, KCODE_NOT_FOUND,
					       "%s.%s is not set in %s; it has its default.",
					       section, key, f->path)
				    : r;
	}
	if (strlen(value) >= sizeof(c->value))
		return kerr_set(err, EINVAL, KCODE_USAGE, "\"%s\" must be %s.", key,
				c->key->expects);
	choose_value(c, value);
	r = config_edit_set(f->text, section, key, c->value, ret);
	return r == -EINVAL ? kerr_set(err, EINVAL, KCODE_USAGE, "\"%s\" must be %s.", key,
				       c->key->expects)
			    : r;
}

int change_config(struct cli *cli, const char *word, const char *value, struct change *ret,
		  struct kerr *err)
{
	_cleanup_(config_file_release) struct config_file f = {0};
	_cleanup_free_ char *text = NULL;
	struct change c = {0};
	struct config now;
	int r = config_edit_key(word, &c.key, err);

	if (r == 0)
		r = config_file_read(cli->path, &f, err);
	if (r == 0)
		r = edit(&f, &c, value, &text, err);
	if (r == 0 && strcmp(text, f.text) != 0)
		r = config_file_save(&f, text, err);
	if (r == 0)
		r = config_parse(text, &now, err);
	if (r < 0)
		return r;
	services_renew(cli, now.mark, c.services);
	*ret = c;
	return 0;
}

/* -- what became of it -- */

static const char *const config_words[] = {
	[SERVICE_CONFIG_UNKNOWN] = "unknown",
	[SERVICE_CONFIG_TAKEN] = "taken",
	[SERVICE_CONFIG_UNREAD] = "unread",
	[SERVICE_CONFIG_LATER] = "restart",
};

static const char *word_of(const struct service *s)
{
	return s->run == SERVICE_AWAY ? "away" : config_words[s->config];
}

/* Their names in a row; false if there is none. */
static bool names(const struct change *c, const char *word, char *ret, size_t size)
{
	size_t len = 0;

	*ret = '\0';
	for (int i = 0; i < SERVICES_MAX; i++)
		/* kith-warden takes nothing that can change, and says nothing. */
		if (strcmp(word_of(&c->services[i]), word) == 0 &&
		    c->services[i].bit != CONFIG_WARDEN)
			len += (size_t)snprintf(ret + len, size - len, "%s%s", len ? " " : "",
						c->services[i].name);
	return *ret;
}

void change_print(const struct cli *cli, const struct change *c)
{
	char who[128], how[256];

	if (*c->value)
		printf("%s.%s is %s now, in %s.\n", c->key->section, c->key->key, c->value,
		       cli->path);
	else
		printf("%s.%s has its default now.\n", c->key->section, c->key->key);
	if (c->numbered)
		puts("That is the user's number: he is of a directory service, and kith-policyd "
		     "looks into /etc/passwd only.");
	if (c->missing)
		puts("! There is no such user yet. Once there is, he is the owner's; nothing has "
		     "to be restarted.");
	if (names(c, "taken", who, sizeof(who)))
		printf("In force: %s.\n", who);
	if (names(c, "away", who, sizeof(who)))
		printf("Not running, so they read it when they start: %s.\n", who);
	if (names(c, "unread", who, sizeof(who))) {
		change_how("reload", who, how, sizeof(how));
		printf("! Not read yet by %s: `%s`\n", who, how);
	}
	services_to_restart(c->services, who, sizeof(who));
	if (*who) {
		change_how("restart", who, how, sizeof(how));
		printf("! In force only after a restart: `%s`\n", how);
	}
}

json_t *change_json(const struct cli *cli, const struct change *c)
{
	char key[64], who[128];
	json_t *services = json_object();

	for (int i = 0; i < SERVICES_MAX; i++)
		json_object_set_new(services, c->services[i].name,
				    json_string(word_of(&c->services[i])));
	snprintf(key, sizeof(key), "%s.%s", c->key->section, c->key->key);
	services_to_restart(c->services, who, sizeof(who));
	return json_pack("{s:s, s:o, s:s, s:o, s:s, s:b}", "key", key, "value",
			 *c->value ? json_string(c->value) : json_null(), "file", cli->path,
			 "services", services, "restart", who, "user_missing", c->missing);
}
