/* SPDX-License-Identifier: Apache-2.0 */
/* Runs single requests: checks them against their row of policyd/api/requests.h, and their
 * handlers. */
#pragma once

#include <sys/types.h>

#include "base/ipc.h"
#include "policyd/api/proto.h"

struct consoles;
struct core;
struct handoffs;
struct pairdesk;

/* What has to be there before a handler is called; the refusals are core.h's. */
enum op_needs {
	NEEDS_NOTHING,
	NEEDS_DEVICE, /* unlocked; an owner need not be known */
	NEEDS_READY,  /* unlocked, and an owner is known */
	NEEDS_TPM,    /* ready, and a TPM to prove with */
};

/* What a handler works on, and what it knows about the one who asks. */
struct caller {
	struct core *core;
	struct pairdesk *pairdesk;
	struct handoffs *handoffs;
	struct consoles *consoles;
	unsigned who; /* bits of enum server_who */
	uid_t uid;
	uint64_t connection; /* never 0, never given twice */
	void *kept;	     /* what the reply borrows: freed when that was sent */
	bool later;	     /* there is nothing to reply yet */
};

/* The shape of a handler: `request` is the row's struct, decoded; `reply` the row's struct, zeroed,
 * or of a LIST the record_list to add to. 0, or negative with *err filled. */
#define OP_HANDLER(name)                                                       \
	int name(struct caller *caller _unused_, const void *request _unused_, \
		 void *reply _unused_, struct kerr *err _unused_)

/* The handlers, in op-*.c by subject. */
#define OP_DECLARE(op, number, name, who, needs, max, request, reply, list, handler) \
	OP_HANDLER(handler);
POLICYD_REQUESTS(OP_DECLARE)
#undef OP_DECLARE

/* Room for the bytes that one reply borrows; used again by the next request. */
struct wbuf op_room(void);

/* 0 if the device is as far as `needs` says, else the refusal. */
int op_require(const struct core *core, enum op_needs needs, struct kerr *err);

/* Checks `msg` against the table, runs its handler, sends the reply on `fd`. 0, or negative if the
 * connection is of no use any more; with caller->later set nothing was sent, and the same message
 * has to come again when something changed. `out` is scratch space for the reply body. */
int dispatch(struct caller *caller, int fd, struct ipc_msg *msg, uint8_t *out, size_t size);
