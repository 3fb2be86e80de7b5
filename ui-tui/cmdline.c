/* SPDX-License-Identifier: Apache-2.0 */
/* First all words and options are taken, as an option may stand before its command; then the
 * command's row says what of them it knows. */
#include "ui-tui/cmdline.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "ui-tui/guess.h"

/* -- the table -- */

bool cmdline_is_one(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; *at; at += strspn(at, " ")) {
		size_t n = strcspn(at, " ");

		if (n == len && len && memcmp(at, word, len) == 0)
			return true;
		at += n;
	}
	return false;
}

bool cmdline_begins_with(const char *name, const char *word)
{
	size_t len = strlen(word);

	return len && strncmp(name, word, len) == 0 && (!name[len] || name[len] == ' ');
}

const struct command *cmdline_find(char *const words[], int count, int *ret_words)
{
	const struct command *found = NULL;

	*ret_words = 0;
	for (const struct command *c = commands; count && c->name; c++) {
		const char *second = strchr(c->name, ' ');

		if (!cmdline_begins_with(c->name, words[0]) ||
		    (second && (count < 2 || strcmp(second + 1, words[1]) != 0)))
			continue;
		/* "trust accept" is no device called "accept". */
		if (!found || second) {
			found = c;
			*ret_words = second ? 2 : 1;
		}
	}
	return found;
}

enum opt cmdline_option(const char *name, size_t len)
{
	for (int i = 0; i < _OPT_MAX; i++)
		if (strlen(opt_rows[i].name) == len && memcmp(opt_rows[i].name, name, len) == 0)
			return (enum opt)i;
	return _OPT_MAX;
}

enum opt cmdline_letter(const struct command *c, char letter)
{
	enum opt found = _OPT_MAX;

	/* A command's own letter counts before one of every command. */
	for (int i = 0; i < _OPT_MAX; i++)
		if (opt_rows[i].letter == letter &&
		    (i <= OPT_READ_ONLY || (c && c->options & OPT_BIT(i))))
			found = (enum opt)i;
	return found;
}

static unsigned words_max(const struct command *c)
{
	unsigned n = 0;

	while (n < COMMAND_WORDS_MAX && c->words[n].name)
		n++;
	return n;
}

/* -- how it is used -- */

static void put(struct wbuf *w, const char *text)
{
	wbuf_bytes(w, text, strlen(text));
}

static void put_option(struct wbuf *w, const struct opt_row *o)
{
	put(w, " [--");
	put(w, o->name);
	if (o->value)
		put(w, " ");
	for (const char *at = o->list ? o->list : ""; *at; at++)
		wbuf_bytes(w, *at == ' ' ? "|" : at, 1);
	if (o->value && !o->list)
		put(w, o->value);
	put(w, "]");
}

void cmdline_usage(const struct command *c, bool options, char *ret, size_t size)
{
	struct wbuf w = wbuf_init(ret, size - 1);

	put(&w, c->name);
	for (int i = OPT_READ_ONLY + 1; options && i < _OPT_MAX; i++)
		if (c->options & OPT_BIT(i) &&
		    !(c->synopsis && strstr(c->synopsis, "--all") && i == OPT_ALL))
			put_option(&w, &opt_rows[i]);
	if (c->synopsis) {
		put(&w, " ");
		put(&w, c->synopsis);
	}
	for (unsigned i = 0; !c->synopsis && i < words_max(c); i++) {
		put(&w, i < c->min ? " " : " [");
		put(&w, c->words[i].name);
		put(&w, i < c->min ? "" : "]");
	}
	ret[w.len] = '\0';
}

static int misused(const struct command *c, struct kerr *err)
{
	char usage[CMDLINE_USAGE_MAX];

	cmdline_usage(c, true, usage, sizeof(usage));
	return kerr_set(err, EINVAL, KCODE_USAGE,
			"This command is used like this: kith %s (see `kith help %s`).", usage,
			c->name);
}

/* -- what was perhaps meant -- */

/* What others call it. */
static const struct {
	const char *word, *name;
} meant[] = {
	{"migrate", "move"},
	{"send", "move"},
	{"pull", "fetch"},
	{"bring", "fetch"},
	{"get", "fetch"},
	{"list", "vms"},
	{"ls", "vms"},
	{"peers", "devices"},
	{"nodes", "devices"},
	{"stop", "cancel"},
	{"abort", "cancel"},
	{"view", "console"},
	{"accept", "trust accept"},
	{"forget", "trust forget"},
	{"history", "log"},
};

/* "trust accept", "trust forget" ...: names that begin with this word. */
static void forms_of(const char *word, char *ret, size_t size)
{
	struct wbuf w = wbuf_init(ret, size - 1);

	for (const struct command *c = commands; c->name; c++) {
		if (!cmdline_begins_with(c->name, word))
			continue;
		put(&w, w.len ? ", kith " : "kith ");
		put(&w, c->name);
	}
	ret[w.len] = '\0';
}

/* The first words of names of two. */
static void guess_first(struct guess *g, char *near, size_t size)
{
	for (const struct command *c = commands; c->name; c++) {
		char first[24];

		snprintf(first, sizeof(first), "%.*s", (int)strcspn(c->name, " "), c->name);
		guess_try(g, first);
		if (g->best == first) {
			snprintf(near, size, "%s", first);
			g->best = near;
		}
	}
}

int cmdline_no_command(char *const words[], int count, struct kerr *err)
{
	struct guess whole = {.typed = words[0]}, part = {.typed = count > 1 ? words[1] : ""};
	char forms[200], near[24];

	for (size_t i = 0; i < ARRAY_SIZE(meant); i++)
		if (strcmp(meant[i].word, words[0]) == 0)
			whole = (struct guess){words[0], meant[i].name, 0};
	for (const struct command *c = commands; c->name; c++) {
		const char *second = strchr(c->name, ' ');

		if (!second)
			guess_try(&whole, c->name);
		else if (cmdline_begins_with(c->name, words[0]))
			guess_try(&part, second + 1);
	}
	forms_of(words[0], forms, sizeof(forms));
	if (*forms && part.best)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"There is no command \"%.40s %.40s\". Did you mean \"%.40s %s\"?",
				words[0], words[1], words[0], part.best);
	if (*forms)
		return kerr_set(err, EINVAL, KCODE_USAGE, "This is not a whole command. Use %s.",
				forms);
	if (!whole.best)
		guess_first(&whole, near, sizeof(near));
	if (whole.best)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"There is no command \"%.40s\". Did you mean \"%s\"?", words[0],
				whole.best);
	return kerr_set(err, EINVAL, KCODE_USAGE, "There is no command \"%.40s\".", words[0]);
}

static int no_option(const struct command *c, const char *typed, size_t len, struct kerr *err)
{
	char word[40];
	struct guess g = {.typed = word};

	snprintf(word, sizeof(word), "%.*s", (int)MIN_OF(len, sizeof(word) - 1), typed);
	for (int i = 0; i < _OPT_MAX; i++)
		if (!c || OPT_BIT(i) & (OPTS_EVERY | c->options))
			guess_try(&g, opt_rows[i].name);
	if (g.best)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"There is no option --%s. Did you mean --%s?", word, g.best);
	return kerr_set(err, EINVAL, KCODE_USAGE, "There is no option --%s.", word);
}

/* -- reading -- */

struct reading {
	struct cmdline *line;
	struct kerr *err;
	int argc, at;
	char **argv;
	const char *wrong; /* an option that nothing has; its command may still come */
};

static void add_word(struct reading *r, char *word)
{
	struct cmdline *l = r->line;
	int n;

	if (l->count == CMDLINE_WORDS_MAX) {
		kerr_set(r->err, EINVAL, KCODE_USAGE, "These are too many words.");
		return;
	}
	l->words[l->count++] = word;
	if (l->count <= 2)
		l->command = cmdline_find(l->words, l->count, &n);
}

/* `attached`: what stands behind "=" or the letter; NULL: nothing does. */
static void add_option(struct reading *r, enum opt opt, const char *attached)
{
	const struct opt_row *o = &opt_rows[opt];

	if (!o->value && attached)
		kerr_set(r->err, EINVAL, KCODE_USAGE, "The option --%s takes no value.", o->name);
	else if (!o->value)
		r->line->given[opt] = "";
	else if (attached)
		r->line->given[opt] = attached;
	else if (r->at + 1 < r->argc)
		r->line->given[opt] = r->argv[++r->at];
	else
		kerr_set(r->err, EINVAL, KCODE_USAGE, "The option --%s needs a value: --%s %s.",
			 o->name, o->name, o->value);
}

static void read_long(struct reading *r, const char *text)
{
	size_t len = strcspn(text, "=");
	enum opt opt = cmdline_option(text, len);

	if (opt == _OPT_MAX)
		r->wrong = r->wrong ? r->wrong : text;
	else
		add_option(r, opt, text[len] ? text + len + 1 : NULL);
}

static void read_letters(struct reading *r, const char *text)
{
	for (; *text; text++) {
		enum opt opt = cmdline_letter(r->line->command, *text);
		bool takes = opt < _OPT_MAX && opt_rows[opt].value;

		if (opt == _OPT_MAX) {
			kerr_set(r->err, EINVAL, KCODE_USAGE, "There is no option -%c.", *text);
			return;
		}
		add_option(r, opt, takes && text[1] ? text + 1 : NULL);
		if (takes)
			return;
	}
}

static void read_all(struct reading *r)
{
	bool ended = false;

	for (; r->at < r->argc; r->at++) {
		char *text = r->argv[r->at];

		if (ended || text[0] != '-' || !text[1])
			add_word(r, text);
		else if (strcmp(text, "--") == 0)
			ended = true;
		else if (text[1] == '-')
			read_long(r, text + 2);
		else
			read_letters(r, text + 1);
	}
}

/* -- what the command makes of it -- */

/* `option`: of which it is the value; NULL: it is a word. */
static int check_list(const char *list, const char *word, const char *option, struct kerr *err)
{
	struct guess g = {.typed = word};
	char words[120], copy[120], *rest = copy, *one;

	if (cmdline_is_one(list, word))
		return 0;
	snprintf(words, sizeof(words), "%s", list);
	for (char *at = words; (at = strchr(at, ' '));)
		*at = '|';
	snprintf(copy, sizeof(copy), "%s", list);
	while ((one = strsep(&rest, " ")))
		guess_try(&g, one);
	return kerr_set(err, EINVAL, KCODE_USAGE, "\"%.40s\" is none of %s%s%s.%s%s%s", word, words,
			option ? ", for --" : "", option ? option : "",
			g.best ? " Did you mean \"" : "", g.best ? g.best : "",
			g.best ? "\"?" : "");
}

static int check_options(const struct cmdline *l, struct kerr *err)
{
	const struct command *c = l->command;

	for (int i = 0; i < _OPT_MAX; i++) {
		const struct opt_row *o = &opt_rows[i];
		int r = 0;

		if (!l->given[i])
			continue;
		if (i == OPT_READ_ONLY && c)
			return kerr_set(err, EINVAL, KCODE_USAGE,
					"--read-only is for the full screen, which comes without a "
					"command.");
		if (i > OPT_READ_ONLY && !(c && c->options & OPT_BIT(i)))
			return kerr_set(err, EINVAL, KCODE_USAGE, "`kith%s%s` has no option --%s.",
					c ? " " : "", c ? c->name : "", o->name);
		if (o->list)
			r = check_list(o->list, l->given[i], o->name, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_words(const struct cmdline *l, struct kerr *err)
{
	const struct command *c = l->command;
	/* --all stands for the VM. */
	int less = c->synopsis && l->given[OPT_ALL] ? 1 : 0;

	if (l->arg_count < c->min - less || l->arg_count > (int)words_max(c) - less)
		return misused(c, err);
	for (int i = 0; !c->synopsis && i < l->arg_count; i++)
		if (c->words[i].list && check_list(c->words[i].list, l->args[i], NULL, err) < 0)
			return -EINVAL;
	return 0;
}

/* A word too many behind a command with forms: one of these may be meant. */
static bool is_misspelt_form(const struct cmdline *l)
{
	struct guess g = {.typed = l->count > 1 ? l->words[1] : ""};

	for (const struct command *c = commands; l->count > 1 && c->name; c++)
		if (cmdline_begins_with(c->name, l->words[0]) && strchr(c->name, ' '))
			guess_try(&g, strchr(c->name, ' ') + 1);
	return g.best && l->arg_count > (int)words_max(l->command);
}

int cmdline_parse(int argc, char **argv, struct cmdline *ret, struct kerr *err)
{
	struct reading r = {.line = ret, .err = err, .argc = argc, .argv = argv, .at = 1};
	int name = 0;

	*ret = (struct cmdline){0};
	read_all(&r);
	ret->command = cmdline_find(ret->words, ret->count, &name);
	ret->args = ret->words + name;
	ret->arg_count = ret->count - name;
	if (r.wrong)
		no_option(ret->command, r.wrong, strcspn(r.wrong, "="), err);
	if (err->code != KCODE_OK)
		return -EINVAL;
	/* What `kith help` makes of these words is not checked twice. */
	if (ret->given[OPT_HELP])
		return 0;
	if (ret->count && (!ret->command || is_misspelt_form(ret)))
		return cmdline_no_command(ret->words, ret->count, err);
	if (check_options(ret, err) < 0)
		return -EINVAL;
	return ret->command ? check_words(ret, err) : 0;
}
