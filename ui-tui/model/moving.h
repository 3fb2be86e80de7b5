/* SPDX-License-Identifier: Apache-2.0 */
/* One move, from the wish to its end: what has to be asked next, and of whom. Pure; the command
 * asks and waits, the screen asks and goes on. */
#pragma once

#include "ui-tui/model/outlook.h"

enum moving_step {
	MOVING_REQUEST, /* policyd: MOVE_REQUEST for the target */
	MOVING_WATCH,	/* kithd: first listen, then start, as the end must not be missed */
	MOVING_START,	/* kithd: the hand-off that policyd allowed */
	MOVING_FOLLOW,	/* kithd's events */
	MOVING_OVER,	/* see `error` and `job` */
	_MOVING_STEP_MAX,
};

struct moving {
	struct target target;
	enum moving_step step;
	char hid[MODEL_HID_TEXT];
	struct model_job job; /* as it was told last */
	struct kerr error;    /* of a move that is over; code OK: it is there */
};

void moving_begin(struct moving *m, const struct target *target);

/* policyd's answer to MOVING_REQUEST. */
void moving_allowed(struct moving *m, const uint8_t hid[HID_LEN]);
/* What to ask of kithd now (new reference); NULL where nothing has to be. */
json_t *moving_request(const struct moving *m);
/* kithd's answer to that. */
void moving_answered(struct moving *m);
/* Whoever was asked refused, or went away. */
void moving_refused(struct moving *m, const struct kerr *why);

/* A hand-off that kithd tells of: true if it is this one. */
bool moving_progress(struct moving *m, const struct model_job *job);
