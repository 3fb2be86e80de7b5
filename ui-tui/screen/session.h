/* SPDX-License-Identifier: Apache-2.0 */
/* The running screen: what it knows, whom it asks, what is under way. */
#pragma once

#include "ui-tui/cli.h"
#include "ui-tui/editor.h"
#include "ui-tui/model/canvas.h"
#include "ui-tui/model/moving.h"
#include "ui-tui/model/ui.h"
#include "ui-tui/screen/agent-wire.h"
#include "ui-tui/screen/child.h"
#include "ui-tui/screen/core-wire.h"

#define SESSION_MOVES_MAX 16
#define SESSION_PLANS_MAX 4

struct session;

/* A move that was begun here. */
struct session_move {
	struct session *session;
	bool open;
	struct moving moving;
};

/* A plan that was asked for. */
struct session_plan {
	struct session *session;
	bool open;
	struct target target;
	struct outlook outlook;
};

struct session {
	struct cli *cli;
	struct state state;
	struct ui ui;
	struct canvas canvas;
	struct agent_wire *agent;
	struct core_wire *core;
	struct session_move moves[SESSION_MOVES_MAX];
	struct session_plan plans[SESSION_PLANS_MAX];
	char cancelling[MODEL_HID_TEXT];
	bool asking_trust, asking_policy, asking_log, log_again;
	struct target asked; /* whose trust and policy */
	struct target fetched;
	struct child doctor, pair, sign, init, fetch;
	struct errand_edit {
		pid_t editor;		     /* 0: none runs */
		char draft[EDITOR_PATH_MAX]; /* the file, "" = none */
		char *original;		     /* what was in it at first */
		struct target target;
	} edit;
	struct {
		struct target target; /* the VM */
		struct target asked;  /* what the answer that is out is about */
		size_t next;	      /* of state.devices */
		bool asking;
	} why;
	bool dirty, anew, over;
	uint64_t look_ms, key_ms; /* when to look again; the last key */
};

/* -- news.c: kithd -- */

extern const struct agent_wire_hooks news_hooks;
/* Asks for everything. */
void news_refresh(struct session *s);
/* For VMs and devices, of which kithd tells no events or too few. */
void news_look(struct session *s);

/* -- moves.c: moves that were begun here -- */

void moves_begin(struct session *s, const struct target *target);
/* A hand-off that kithd tells of. */
void moves_tell(struct session *s, const struct model_job *job);

/* -- wishes.c: what the person wants -- */

void wishes_fulfil(struct session *s);

/* -- why.c: where a VM may go -- */

void why_begin(struct session *s, const struct target *t);

/* -- errands.c: other processes -- */

void errands_doctor(struct session *s);
void errands_init(struct session *s, const char *person);
void errands_fetch(struct session *s, const struct target *t);
void errands_pair(struct session *s, const char *device, enum person_role role);
void errands_edit(struct session *s, const struct target *target, const char *text);
/* What they print, and that they ended. */
void errands_run(struct session *s);
void errands_release(struct session *s);
