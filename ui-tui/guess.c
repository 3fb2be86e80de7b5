/* SPDX-License-Identifier: Apache-2.0 */
/* Words here are short, and few are compared. */
#include "ui-tui/guess.h"

#include <limits.h>
#include <string.h>

#include "base/cleanup.h"

#define WORD_MAX 32

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: three rows are enough. */
static unsigned distance_of(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	size_t len = strlen(b);

	for (unsigned j = 0; j <= len; j++)
		rows[0][j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= len; j++) {
			now[j] = least(least(last[j], now[j - 1]) + 1,
				       last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = least(now[j], before[j - 2] + 1);
		}
	}
	return rows[strlen(a) % 3][len];
}

void guess_try(struct guess *g, const char *candidate)
{
	size_t typed = strlen(g->typed), len = strlen(candidate);
	unsigned distance;

	if (typed < 2 || typed > WORD_MAX || len > WORD_MAX)
		return;
	/* Who typed the beginning of a word meant it more likely than another one. */
	distance = strncmp(candidate, g->typed, typed) == 0 ? 0 : distance_of(g->typed, candidate);
	if (distance > 1 + least((unsigned)typed, (unsigned)len) / 4 ||
	    distance >= (typed > len ? typed : len))
		return;
	if (!g->best || distance < g->distance) {
		g->best = candidate;
		g->distance = distance;
	}
}
