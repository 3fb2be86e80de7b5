/* SPDX-License-Identifier: Apache-2.0 */
/* The op table of kith-policyd: every request, who may send it, and its handler. */
#pragma once

#include <sys/types.h>

#include "base/ipc.h"

struct core;

/* What a handler knows about the one who asks. */
struct caller {
	struct core *core;
	unsigned who; /* bits of enum server_who */
	uid_t uid;
	uint64_t connection; /* never 0, never given twice */
};

static inline struct core *core_of(void *ctx)
{
	return ((struct caller *)ctx)->core;
}

/* Checks `msg` against the table, runs its handler, sends the reply on `fd`. 0, or negative if the
 * connection is of no use any more. `out` is scratch space for the reply body. */
int dispatch(struct caller *caller, int fd, struct ipc_msg *msg, uint8_t *out, size_t size);
