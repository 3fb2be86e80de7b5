/* SPDX-License-Identifier: Apache-2.0 */
/* Which characters may stand in names and in sentences of others. */
#include "base/text.h"

#include <string.h>

#include "base/cleanup.h"

#define MARKS_MAX 2 /* on one letter: more than any language needs pile up over other lines */

enum kind {
	KIND_PLAIN,
	KIND_FORMAT, /* Unicode's Cf: not seen, but changes what is seen */
	KIND_BIDI,   /* the ones of them that turn the direction of a line around */
	KIND_MARK,   /* combines with the letter before it */
};

/* Unicode 15, DerivedGeneralCategory; ascending. */
static const struct {
	uint32_t first, last;
	enum kind kind;
} ranges[] = {
	{0x00ad, 0x00ad, KIND_FORMAT},	 {0x0300, 0x036f, KIND_MARK},
	{0x0600, 0x0605, KIND_FORMAT},	 {0x061c, 0x061c, KIND_BIDI},
	{0x06dd, 0x06dd, KIND_FORMAT},	 {0x070f, 0x070f, KIND_FORMAT},
	{0x0890, 0x0891, KIND_FORMAT},	 {0x08e2, 0x08e2, KIND_FORMAT},
	{0x180e, 0x180e, KIND_FORMAT},	 {0x1ab0, 0x1aff, KIND_MARK},
	{0x1dc0, 0x1dff, KIND_MARK},	 {0x200b, 0x200d, KIND_FORMAT},
	{0x200e, 0x200f, KIND_BIDI},	 {0x2028, 0x2029, KIND_FORMAT},
	{0x202a, 0x202e, KIND_BIDI},	 {0x2060, 0x2064, KIND_FORMAT},
	{0x2066, 0x2069, KIND_BIDI},	 {0x206a, 0x206f, KIND_FORMAT},
	{0x20d0, 0x20ff, KIND_MARK},	 {0xfe20, 0xfe2f, KIND_MARK},
	{0xfeff, 0xfeff, KIND_FORMAT},	 {0xfff9, 0xfffb, KIND_FORMAT},
	{0x110bd, 0x110bd, KIND_FORMAT}, {0x110cd, 0x110cd, KIND_FORMAT},
	{0x13430, 0x1343f, KIND_FORMAT}, {0x1bca0, 0x1bca3, KIND_FORMAT},
	{0x1d173, 0x1d17a, KIND_FORMAT}, {0xe0001, 0xe0001, KIND_FORMAT},
	{0xe0020, 0xe007f, KIND_FORMAT},
};

static enum kind kind_of(uint32_t c)
{
	for (size_t i = 0; i < ARRAY_SIZE(ranges) && ranges[i].first <= c; i++)
		if (c <= ranges[i].last)
			return ranges[i].kind;
	return KIND_PLAIN;
}

/* The character at *at of valid UTF-8; goes past it. */
static uint32_t next(const uint8_t **at)
{
	uint32_t c = *(*at)++;

	if (c < 0x80)
		return c;
	c &= c >= 0xf0 ? 0x07u : c >= 0xe0 ? 0x0fu : 0x1fu;
	while ((**at & 0xc0) == 0x80)
		c = c << 6 | (*(*at)++ & 0x3fu);
	return c;
}

static bool is_bidi(uint32_t c)
{
	return kind_of(c) == KIND_BIDI;
}

/* Number of continuation bytes that follow a UTF-8 lead byte, or -1. */
static int utf8_tail(uint8_t lead)
{
	if (lead < 0x80)
		return 0;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 1;
	if (lead >= 0xe0 && lead <= 0xef)
		return 2;
	if (lead >= 0xf0 && lead <= 0xf4)
		return 3;
	return -1;
}

/* Second bytes that would give an overlong form, a surrogate or a value above U+10FFFF. */
static bool utf8_second_ok(uint8_t lead, uint8_t second)
{
	switch (lead) {
	case 0xe0:
		return second >= 0xa0;
	case 0xed:
		return second <= 0x9f;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second <= 0x8f;
	default:
		return true;
	}
}

/* All controls of UAX 9 have two or three bytes. */
static bool turns_lines(const uint8_t *s, int tail)
{
	if (tail == 1)
		return is_bidi((s[0] & 0x1fu) << 6 | (s[1] & 0x3fu));
	return tail == 2 && is_bidi((s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu));
}

/* Length of the clean character at `s`, which has `left` bytes; 0 if there is none. */
static size_t clean_char(const uint8_t *s, size_t left)
{
	int tail = utf8_tail(s[0]);

	if (tail < 0 || (size_t)tail >= left)
		return 0;
	if ((s[0] < 0x20 && s[0] != '\t' && s[0] != '\n') || s[0] == 0x7f)
		return 0;
	if (tail && !utf8_second_ok(s[0], s[1]))
		return 0;
	/* 8-bit controls drive terminals too (N9). */
	if (s[0] == 0xc2 && s[1] < 0xa0)
		return 0;
	for (int k = 1; k <= tail; k++)
		if ((s[k] & 0xc0) != 0x80)
			return 0;
	return turns_lines(s, tail) ? 0 : (size_t)tail + 1;
}

bool text_bytes_clean(const uint8_t *s, size_t len)
{
	for (size_t i = 0, n; i < len; i += n) {
		n = clean_char(s + i, len - i);
		if (!n)
			return false;
	}
	return true;
}

bool text_is_clean(const char *text)
{
	return text_bytes_clean((const uint8_t *)text, strlen(text));
}

void text_mend(char *text)
{
	uint8_t *at = (uint8_t *)text;

	for (size_t left = strlen(text), n; left; left -= n, at += n) {
		n = clean_char(at, left);
		if (n)
			continue;
		if (utf8_tail(*at) >= (int)left) {
			*at = '\0';
			return;
		}
		*at = '?';
		n = 1;
	}
}

bool text_is_name(const char *text, size_t max)
{
	const uint8_t *at = (const uint8_t *)text;
	unsigned marks = MARKS_MAX; /* none may come first */
	size_t len = strlen(text);

	if (len == 0 || len > max || strpbrk(text, "\t\n") || !text_is_clean(text))
		return false;
	while (*at) {
		enum kind kind = kind_of(next(&at));

		if (kind == KIND_FORMAT || kind == KIND_BIDI)
			return false;
		if (kind == KIND_PLAIN)
			marks = 0;
		else if (++marks > MARKS_MAX)
			return false;
	}
	return true;
}
