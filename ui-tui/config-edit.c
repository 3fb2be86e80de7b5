/* SPDX-License-Identifier: Apache-2.0 */
/* Lines are found by the rules of base/config.c, and left byte by byte as they are. */
#include "ui-tui/config-edit.h"

#include <stdbool.h>
#include <string.h>

#include "base/config.h"

#define BLANKS " \t"
#define WORD_MAX 64
#define CONFIG_LINE_MAX 1024

/* A piece of the text. */
struct span {
	const char *at;
	size_t len;
};

enum line_kind { LINE_OTHER, LINE_SECTION, LINE_KEY, LINE_COMMENTED };

struct line {
	struct span all; /* with its newline, if it has one */
	enum line_kind kind;
	struct span key, value; /* LINE_KEY; LINE_COMMENTED has the key only */
};

static struct span trim(struct span s)
{
	while (s.len && strchr(BLANKS, *s.at)) {
		s.at++;
		s.len--;
	}
	while (s.len && strchr(BLANKS "\r\n", s.at[s.len - 1]))
		s.len--;
	return s;
}

static bool is_word(struct span s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.at, word, s.len) == 0;
}

/* "key = value"; false if there is no '='. */
static bool split(struct span s, struct span *ret_key, struct span *ret_value)
{
	const char *eq = memchr(s.at, '=', s.len);

	if (!eq)
		return false;
	*ret_key = trim((struct span){s.at, (size_t)(eq - s.at)});
	*ret_value = trim((struct span){eq + 1, s.len - (size_t)(eq + 1 - s.at)});
	return true;
}

/* Reads the line at *at and steps over it; false behind the last. `section` follows. */
static bool next_line(const char **at, struct span *section, struct line *ret)
{
	const char *end = strchr(*at, '\n');
	struct line l = {.all = {*at, end ? (size_t)(end - *at) + 1 : strlen(*at)}};
	struct span s = trim(l.all);

	if (!l.all.len)
		return false;
	*at += l.all.len;
	if (s.len > 1 && *s.at == '[' && s.at[s.len - 1] == ']') {
		l.kind = LINE_SECTION;
		*section = (struct span){s.at + 1, s.len - 2};
	} else if (s.len && (*s.at == '#' || *s.at == ';')) {
		s = (struct span){s.at + 1, s.len - 1};
		l.kind = split(s, &l.key, &l.value) ? LINE_COMMENTED : LINE_OTHER;
	} else if (split(s, &l.key, &l.value)) {
		l.kind = LINE_KEY;
	}
	*ret = l;
	return true;
}

/* Where things of one key stand in a text; an empty span = nowhere. */
struct places {
	struct span key, value; /* the last line of it, which counts */
	struct span commented;	/* its commented default */
	struct span end;	/* the last line of its section that says something */
	unsigned line;
};

static struct places look(const char *text, const char *section, const char *key)
{
	struct span in = {"", 0};
	struct places p = {0};
	struct line l;

	for (unsigned n = 1; next_line(&text, &in, &l); n++) {
		if (!is_word(in, section))
			continue;
		/* A comment may belong to the next section. */
		if (l.kind != LINE_OTHER)
			p.end = l.all;
		if (l.kind == LINE_COMMENTED && is_word(l.key, key))
			p.commented = l.all;
		if (l.kind == LINE_KEY && is_word(l.key, key)) {
			p.key = l.all;
			p.value = l.value;
			p.line = n;
		}
	}
	return p;
}

int config_edit_find(const char *text, const char *section, const char *key, char **ret,
		     unsigned *ret_line)
{
	struct places p = look(text, section, key);
	char *value;

	if (!p.key.at)
		return -ENOENT;
	value = strndup(p.value.at, p.value.len);
	if (!value)
		return -ENOMEM;
	*ret = value;
	*ret_line = p.line;
	return 0;
}

/* The text with what is between `from` and `to` replaced. */
static int splice(const char *text, const char *from, const char *to, const char *by, char **ret)
{
	size_t size = strlen(text) + strlen(by) + 1;
	char *all = malloc(size);

	if (!all)
		return -ENOMEM;
	snprintf(all, size, "%.*s%s%s", (int)(from - text), text, by, to);
	*ret = all;
	return 0;
}

static int insert_behind(const char *text, struct span line, const char *added, char **ret)
{
	const char *at = line.at + line.len;
	bool whole = line.len && at[-1] == '\n';
	char by[CONFIG_LINE_MAX];
	int n = snprintf(by, sizeof(by), "%s%s", whole ? "" : "\n", added);

	return n < 0 || (size_t)n >= sizeof(by) ? -EINVAL : splice(text, at, at, by, ret);
}

static bool is_value(const char *value)
{
	struct span all = {value, strlen(value)};

	for (const char *c = value; *c; c++)
		if ((unsigned char)*c < ' ' || *c == '\x7f')
			return false;
	return all.len && trim(all).len == all.len;
}

int config_edit_set(const char *text, const char *section, const char *key, const char *value,
		    char **ret)
{
	const size_t len = strlen(text);
	struct places p = look(text, section, key);
	char added[CONFIG_LINE_MAX];
	int n;

	if (!is_value(value) || len > CONFIG_SIZE_MAX)
		return -EINVAL;
	if (p.key.at)
		return splice(text, p.value.at, p.value.at + p.value.len, value, ret);
	n = snprintf(added, sizeof(added), "%s = %s\n", key, value);
	if (n < 0 || (size_t)n >= sizeof(added))
		return -EINVAL;
	if (p.commented.at || p.end.at)
		return insert_behind(text, p.commented.at ? p.commented : p.end, added, ret);
	n = snprintf(added, sizeof(added), "%s[%s]\n%s = %s\n", len ? "\n" : "", section, key,
		     value);
	if (n < 0 || (size_t)n >= sizeof(added))
		return -EINVAL;
	if (!len)
		return splice(text, text, text, added, ret);
	return insert_behind(text, (struct span){text, len}, added, ret);
}

int config_edit_unset(const char *text, const char *section, const char *key, char **ret)
{
	const char *from = text;
	struct span in = {"", 0};
	struct line l;
	bool found = false;
	size_t len = 0;
	char *left = calloc(1, strlen(text) + 1);

	if (!left)
		return -ENOMEM;
	while (next_line(&from, &in, &l)) {
		if (l.kind == LINE_KEY && is_word(in, section) && is_word(l.key, key)) {
			found = true;
			continue;
		}
		memcpy(left + len, l.all.at, l.all.len);
		len += l.all.len;
	}
	if (!found) {
		free(left);
		return -ENOENT;
	}
	*ret = left;
	return 0;
}

/* -- names -- */

/* How many letters have to be added, left out or changed (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_MAX], n = strlen(b);

	if (n >= WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; *a; i++, a++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t changed = diagonal + (*a != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN_OF(changed, MIN_OF(row[j], row[j - 1]) + 1);
		}
	}
	return row[n];
}

int config_edit_key(const char *word, const struct config_key **ret, struct kerr *err)
{
	const struct config_key *k;
	char nearest[WORD_MAX] = "";
	size_t best = 4;

	for (size_t i = 0; (k = config_key(i)); i++) {
		char name[WORD_MAX];
		size_t far;

		snprintf(name, sizeof(name), "%s.%s", k->section, k->key);
		if (strcmp(name, word) == 0) {
			*ret = k;
			return 0;
		}
		/* The key alone is near enough, too. */
		far = MIN_OF(distance(name, word), distance(k->key, word));
		if (far < best) {
			best = far;
			memcpy(nearest, name, sizeof(nearest));
		}
	}
	if (*nearest)
		return kerr_set(err, ENOENT, KCODE_USAGE,
				"There is no key \"%.40s\". Did you mean %s? `kith config` lists "
				"them all.",
				word, nearest);
	return kerr_set(err, ENOENT, KCODE_USAGE,
			"There is no key \"%.40s\". `kith config` lists them all.", word);
}
