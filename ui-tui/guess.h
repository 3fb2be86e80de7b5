/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": the nearest of some words. */
#pragma once

/* What was typed, and the best so far. */
struct guess {
	const char *typed;
	const char *best; /* NULL: nothing is near */
	unsigned distance;
};

/* One more word that may have been meant: near by Damerau's distance (a letter more, less, another
 * one, or two swapped), or begun. */
void guess_try(struct guess *g, const char *candidate);
