/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of `kith` that take their time, as processes of their own: what they print is JSON. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct child {
	bool open; /* the rest means something */
	pid_t pid; /* 0: it ended */
	int out;   /* what it prints */
	int in;	   /* what it reads; negative: nothing */
	char *buf;
	size_t len;
};

/* Starts this program again with `argv` (behind its name). `talk`: it can be told something. */
int child_start(struct child *c, const char *const argv[], bool talk);
/* Writes a line to it. */
void child_tell(const struct child *c, const char *line);
/* Asks it to end. */
void child_stop(const struct child *c);

/* The next whole line that is there, parsed (new reference); false if there is none. What is no
 * JSON object is left out. */
bool child_take(struct child *c, json_t **ret);

/* True if it has ended now, and *ret_status is how; what it printed can still be taken. */
bool child_ended(struct child *c, int *ret_status);
/* Ends it if it runs, and waits for that. */
void child_release(struct child *c);
