/* SPDX-License-Identifier: Apache-2.0 */
/* How a hand-off that is under way goes on, on the screen until its end. */
#pragma once

#include "ui-tui/cli.h"
#include "ui-tui/model/moving.h"

/* What was told last of one. */
struct followed {
	enum phase phase;
	uint64_t memory; /* of which advice was given */
	bool silent;	 /* nothing is shown: only the end is of interest */
	json_t *last;	 /* the event itself */
};
void followed_release(struct followed *seen);

#define FOLLOWED_NONE ((struct followed){.phase = _PHASE_MAX})

/* From now on an interrupt says that the hand-off goes on, and how to stop it. */
void follow_begin(const struct cli *cli, const struct moving *m);
/* Waits for the next word of kithd about it and shows it; after "watch". A kithd that goes away is
 * waited for. */
int follow_step(struct cli *cli, struct moving *m, struct followed *seen, struct kerr *err);
/* Says how it ended; its error is this one's. */
int follow_end(struct cli *cli, const struct moving *m, struct kerr *err);
