/* SPDX-License-Identifier: Apache-2.0 */
/* What source and destination of a hand-off do alike: the machine of transfer.c is driven, records
 * are written, the other device's words are kept. What they do differently is a table of each. */
#pragma once

#include "mover/frames.h"
#include "mover/relay.h"
#include "mover/workplace.h"

#define SIDE_EVENTS_MAX 32
#define SIDE_EVENTS_OWN 24 /* of them for what does not come from the peer */
#define SIDE_DEFERRED_MAX 4

struct worker;

struct side {
	const char *name; /* in the log */

	/* The machine: its table and names. */
	struct transfer_step (*step)(int state, enum transfer_event event);
	const char *(*state_name)(int state);
	void (*const *acts)(struct worker *w); /* _TRANSFER_ACTION_MAX, NULL = nothing to do */
	/* Sees an event before the machine does. May be NULL. */
	void (*notice)(struct worker *w, enum transfer_event event);
	/* What the other device may say here, and the event that it is; GRANTED = nothing. */
	enum transfer_event words[_CUSTODY_STATEMENT_MAX];

	void (*start)(struct worker *w);
	void (*frame)(struct worker *w, const struct frame *f);
	/* A relay entered a state (RELAY_IDLE, RELAY_FAILED, ...). */
	void (*relay)(struct worker *w, size_t index, const struct relay_status *s);
	void (*watch)(struct worker *w); /* adds descriptors with worker_watch() */
	void (*tick)(struct worker *w, uint64_t now_ms);
	bool (*can_stop)(struct worker *w);
	/* True where a VM that is switched off shall be defined here, without a process. */
	bool (*rests)(struct worker *w);
};

extern const struct side source_side;
extern const struct side destination_side;

/* Where the machine stands, and what waits for it. */
struct side_machine {
	int state; /* enum source_state or destination_state */
	uint64_t entered_ms;
	enum transfer_event events[SIDE_EVENTS_MAX]; /* posted, not yet handled */
	size_t event_count;
	struct {
		enum transfer_action action;
		uint64_t at_ms;
		int state;
	} deferred[SIDE_DEFERRED_MAX];
	struct statement words[_CUSTODY_STATEMENT_MAX]; /* own and the other device's */
};

/* Queues an event for the machine. */
void side_post(struct worker *w, enum transfer_event event);

/* Stops the hand-off if it still can be stopped; the first reason is kept for people. */
void side_stop(struct worker *w, int num, enum kcode code, const char *fmt, ...) _printf_(4, 5);
/* The same, because the other device's first word is of another FRAMES_VERSION. */
void side_stop_version(struct worker *w);
void side_stop_err(struct worker *w, const struct kerr *err);

/* Whether one more frame of the peer may be taken: it may post two events. */
bool side_has_room(const struct worker *w);

/* Gives the machine what was posted, in order, until nothing is left. */
void side_drain(struct worker *w);

/* Runs `action` again in a second if the state is still the same then. */
void side_defer(struct worker *w, enum transfer_action action);
void side_run_deferred(struct worker *w, uint64_t now_ms);

/* Keeps a statement of the other device, by its channel or by way of kithd, and posts its event;
 * one that has no place on this side is ignored. */
void side_hear(struct worker *w, enum custody_statement_kind kind, const void *data, size_t len);

/* Sends one. */
void side_say(struct worker *w, enum frame_type type, enum custody_statement_kind kind);

/* Writes a record with the statement `proof` in hand, and keeps what policyd says to it as `says`
 * (both may be NONE). Answers as workplace_journal(). */
enum transfer_event side_write(struct worker *w, enum custody_record record,
			       enum custody_statement_kind proof, enum custody_statement_kind says);

/* The same, and the answer is posted. True = it is written. */
bool side_journal(struct worker *w, enum custody_record record, enum custody_statement_kind proof,
		  enum custody_statement_kind says);

/* Starts images_drop() in a task; the worker stays until it is done, and is not clean if it fails:
 * the note stays for recovery. */
void side_drop_images(struct worker *w);
