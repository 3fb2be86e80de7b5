/* SPDX-License-Identifier: Apache-2.0 */
/* A plan: what the policy says of a move, and what both devices say of one that it allows. */
#pragma once

#include "ui-tui/model/model.h"
#include "ui-tui/model/sheet.h"

/* The two words of plan and move, and in which way. */
struct target {
	uint8_t uuid[UUID_LEN], device[DEVICE_ID_LEN];
	enum move_rung rung;
	char vm[NAME_MAX_LEN + 1], name[NAME_MAX_LEN + 1];
};

struct outlook {
	struct policyd_plan plan; /* policyd's word, then both devices' */
	const char *rung;	  /* a name of enum mover_rung; "none" while it is not known */
	uint64_t memory_bytes, disk_bytes;
	uint64_t rewired;	    /* network cards that would be on another network there */
	uint64_t shared;	    /* disks on storage that both reach */
	uint64_t least_ms, most_ms; /* as fast as the last hand-off with that device; 0 = none */
	bool asked, reached;	    /* whether the other device told */
	bool off;		    /* the VM is switched off */
	bool roams;		    /* another CPU waits for its next start */
	json_t *rungs;		    /* as kithd lists them, or NULL */
	json_t *fitted; /* what a VM that is off would be there, as kithd tells it, or NULL */
};

/* Begins with policyd's plan. True if the devices have to be asked too: by the request that
 * outlook_request() makes (new reference). */
bool outlook_begin(const struct policyd_plan *plan, struct outlook *ret);
void outlook_release(struct outlook *o);
json_t *outlook_request(const struct target *t);

/* kithd's answer to it; or why there was none. What the policy allows may still not work, and the
 * sentence is the one that the move would end with. */
void outlook_take(struct outlook *o, const json_t *answer);
void outlook_fail(struct outlook *o, const struct kerr *why);

/* Whether it would go in that way; what kithd does not name would not. */
bool outlook_can(const struct outlook *o, enum move_rung rung);
/* The same, with the reason: that of the rung, or of the plan where kithd names no rungs. */
bool outlook_why_not(const struct outlook *o, enum move_rung rung, struct kerr *ret);
/* The rung that a person is offered first: what runs goes on running if it can. ANY where there is
 * nothing to choose, as for a VM that is off; or where kithd names none. */
enum move_rung outlook_first(const struct outlook *o);
/* The next one that would work, below `from` or (`back`) above it; `from` if there is none. */
enum move_rung outlook_next(const struct outlook *o, enum move_rung from, bool back);

#define OUTLOOK_CHOSEN "  (*)" /* how the line of the rung begins that `t` names */

/* In words, line by line; the first says whether it is allowed. If `t` names a rung, they are to
 * choose from. */
void outlook_say(const struct outlook *o, const struct target *t, struct sheet *ret);
/* Which rule decides that, in a line or two. */
void outlook_because(const struct policyd_plan *plan, const struct target *t, struct sheet *ret);
/* As `kith --json plan` prints it, without `reason` (new reference). */
json_t *outlook_json(const struct outlook *o, const struct target *t);
