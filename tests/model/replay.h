/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled into the verifier of commit.pml with -DTRACE: reads the steps of one run from the file
 * that TRACE_FILE names, which ./trace wrote. Two numbers a line: the step (commit.pml has their
 * names) and, for a state, the set of states that the model may be in. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define REPLAY_MAX 250
/* The first of each kind of step. */
#define REPLAY_WARDEN 20
#define REPLAY_STATE 40

static struct {
	int what, states;
} replay[REPLAY_MAX];
static int replay_count;

/* Says how far the model came whenever it came further; at the end the run is one that it has. */
static void replay_show(unsigned char step, unsigned char *want, int *states)
{
	static int best = -1;

	if (step > best) {
		best = step;
		printf("replayed %d of %d\n", best, replay_count);
	}
	if (step == replay_count)
		exit(0);
	*want = (unsigned char)replay[step].what;
	*states = replay[step].states;
}

static void replay_on(unsigned char *step, unsigned char *want, int *states)
{
	(*step)++;
	replay_show(*step, want, states);
}

/* True if the run shows what the wardens did. */
static int replay_load(const unsigned char *step, unsigned char *want, int *states)
{
	const char *path = getenv("TRACE_FILE");
	FILE *f = path ? fopen(path, "r") : NULL;
	int wardens = 0, n = 0;

	while (f && n < REPLAY_MAX && fscanf(f, "%d %d", &replay[n].what, &replay[n].states) == 2) {
		wardens |= replay[n].what >= REPLAY_WARDEN && replay[n].what < REPLAY_STATE;
		n++;
	}
	if (f)
		fclose(f);
	replay_count = n;
	replay_show(*step, want, states);
	return wardens;
}

static unsigned char replay_limit(const char *name)
{
	const char *limit = getenv(name);

	return limit ? (unsigned char)atoi(limit) : 0;
}
