/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks kithd for something, and the way back to him. Whoever answers needs to know no more. */
#pragma once

#include <stdint.h>

/* Each door says in one place who comes in by it as what: for programs of this device that is
 * asker_of() in control.c. */
enum asker_kind {
	ASKER_OWNER, /* a program of the device's owner, or of root */
	ASKER_USER,  /* a program of another user of this device */
};

/* For the table of requests: who may. */
#define ASKERS_OWNER (1u << ASKER_OWNER)
#define ASKERS_ALL (ASKERS_OWNER | 1u << ASKER_USER)

struct asker;

struct asker_ops {
	/* Sends a line (malloced, taken over, NULL = out of memory). */
	void (*reply)(const struct asker *a, char *line);
	/* From now on he is told of events, too. */
	void (*watch)(const struct asker *a);
};

struct asker {
	enum asker_kind kind;
	char principal[48]; /* for the log: "uid 1000, pid 4711" */
	const struct asker_ops *ops;
	void *door;
	uint64_t serial; /* names the connection at its door even after it is gone */
};
