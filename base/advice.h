/* SPDX-License-Identifier: Apache-2.0 */
/* What to do about an error. */
#pragma once

#include "base/kerr.h"

/* What the exit statuses of `kith` mean; a row without meaning ends them. */
struct exit_status {
	int status;
	const char *meaning;
};
extern const struct exit_status exit_statuses[];

/* Exit status of the `kith` command for this code (one of exit_statuses). */
int kcode_exit_status(enum kcode code);

/* The usual next step for a person, a sentence, never NULL ("" where there is none). */
const char *kcode_next_step(enum kcode code);

/* What the code says, in a few words. */
const char *kcode_meaning(enum kcode code);
