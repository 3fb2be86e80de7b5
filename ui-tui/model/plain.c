/* SPDX-License-Identifier: Apache-2.0 */
/* base/text.h says what is clean; here its characters are taken one by one, and measured. */
#include "ui-tui/model/plain.h"

#include <string.h>
#include <wchar.h>

#include "base/text.h"

#define MARKS_MAX 2

/* Bytes of the character at `s` by its first one; its value in *ret. 0 if it is no UTF-8 at all. */
static size_t decode(const unsigned char *s, wchar_t *ret)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	unsigned c = s[0] & (len == 1 ? 0x7fu : 0xffu >> (len + 1));

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	*ret = (wchar_t)c;
	return len;
}

/* text_is_name() takes neither what is no proper UTF-8 nor controls nor format characters. What
 * only chooses another look of the letter before it makes terminals disagree about the width. */
static bool is_shown(const char *s, size_t len, wchar_t c)
{
	char name[8] = "a";

	if (c >= 0xfe00 && c <= 0xfe0f)
		return false;
	memcpy(name + 1, s, len);
	return text_is_name(name, sizeof(name) - 1);
}

/* Width of the character at `s`, -1 if it may not stand there; its bytes in *ret_len. */
static int measure(const char *s, size_t *ret_len)
{
	wchar_t c;
	size_t len;

	*ret_len = 1;
	if (*s >= ' ' && *s < 0x7f)
		return 1;
	len = decode((const unsigned char *)s, &c);
	if (!len)
		return -1;
	*ret_len = len;
	return is_shown(s, len, c) ? wcwidth(c) : -1;
}

static void take_marks(const char **at, struct glyph *g, size_t used)
{
	unsigned marks = 0;
	size_t len;

	while (**at && measure(*at, &len) == 0) {
		if (marks++ < MARKS_MAX && used + len < sizeof(g->text)) {
			memcpy(g->text + used, *at, len);
			used += len;
			g->text[used] = '\0';
		}
		*at += len;
	}
}

bool plain_next(const char **at, struct glyph *ret)
{
	struct glyph g = {.text = "?", .width = 1};
	size_t len;
	int width;

	if (!**at)
		return false;
	width = measure(*at, &len);
	if (**at == '\n' || **at == '\t') {
		g.text[0] = ' ';
	} else if (width > 0) {
		memcpy(g.text, *at, len);
		g.text[len] = '\0';
		g.width = (unsigned)width;
	}
	*at += len;
	if (width > 0)
		take_marks(at, &g, len);
	*ret = g;
	return true;
}

unsigned plain_width(const char *text)
{
	unsigned columns = 0;
	struct glyph g;

	while (plain_next(&text, &g))
		columns += g.width;
	return columns;
}

const char *plain_rest(void)
{
	return wcwidth(L'…') == 1 ? "…" : "~";
}

unsigned plain_cut(const char *text, unsigned columns, char *ret, size_t size)
{
	bool cut = plain_width(text) > columns;
	unsigned used = 0, room = cut && columns ? columns - 1 : columns;
	size_t len = 0;
	struct glyph g;

	while (plain_next(&text, &g) && used + g.width <= room && len + strlen(g.text) < size) {
		memcpy(ret + len, g.text, strlen(g.text));
		len += strlen(g.text);
		used += g.width;
	}
	ret[len] = '\0';
	if (cut && columns && len + strlen(plain_rest()) < size) {
		memcpy(ret + len, plain_rest(), strlen(plain_rest()) + 1);
		used++;
	}
	return used;
}
