/* SPDX-License-Identifier: Apache-2.0 */
/* The conversation between two kithds as a pure machine: (state, event, now) in, actions out.
 * It carries blobs between policyds and keeps order and deadlines; it decides nothing. */
#pragma once

#include <stdbool.h>

#include "agent/link-codec.h"
#include "policyd/api/proto.h"

#define LINK_STEP_MS 30000	/* for each answer of the peer */
#define LINK_OWNER_MS 150000	/* for the people: the pairing window is 120 s */
#define LINK_POLL_MS 250	/* how often policyd is asked whether the owner confirmed */
#define LINK_TOTAL_MS 300000	/* for all of a conversation */
#define LINK_FINISH_MS 60000	/* after the agreement, until the workers' own channel stands */
#define LINK_ENDING_MS 5000	/* for a destination that is called off, to close its side */
#define LINK_ASK_MS 3000	/* for a plan, which a person waits for */
#define LINK_RETRY_MS 5000	/* between two talks about one statement... */
#define LINK_RETRY_MAX_MS 60000 /* ...and at most, while the peer cannot be talked to */

enum link_role {
	LINK_ROLE_ANSWER, /* accepted; the first message decides which of the next it is */
	LINK_ROLE_PAIR_OUT,
	LINK_ROLE_PAIR_IN,
	LINK_ROLE_SOURCE,
	LINK_ROLE_DESTINATION,
	LINK_ROLE_CUSTODY, /* hears a statement of the peer, may answer */
	LINK_ROLE_MAIL,	   /* says a statement, hears at most one answer */
	LINK_ROLE_ASK,	   /* wants to know what the peer offers to VMs */
	LINK_ROLE_TELL,	   /* is asked that */
	LINK_ROLE_VIEWER,  /* wants a console of a VM there */
	LINK_ROLE_HOLDER,  /* has that VM */
	_LINK_ROLE_MAX,
};
DECLARE_NAMES(link_role, enum link_role);

enum link_step {
	LINK_OPENING,  /* until the channel is there */
	LINK_WAITING,  /* for a message of the peer */
	LINK_ASKING,   /* policyd works on one */
	LINK_OWNER,    /* people compare the code; the peer may speak too */
	LINK_STARTING, /* the mover makes its worker ready */
	LINK_MOVING,   /* the movers have it; said here: that their own channel stands, or not */
	LINK_ENDING,   /* the source gave up before; until the destination's mover has closed */
	LINK_OVER,
	_LINK_STEP_MAX,
};
DECLARE_NAMES(link_step, enum link_step);

enum link_event_kind {
	LINK_EV_OPEN,	 /* the channel is there */
	LINK_EV_MESSAGE, /* `message` */
	LINK_EV_ASKED,	 /* policyd answered: `error`, or `state` and `message.blob` */
	LINK_EV_STARTED, /* the mover answered: `error` (code OK = ready) */
	LINK_EV_OFFERS,	 /* the mover answered: `error`, or `message.blob` */
	LINK_EV_STANDS,	 /* the workers' own channel stands: it tells the rest */
	LINK_EV_ENDED,	 /* the hand-off ended at our mover: `error` (code OK = done) */
	LINK_EV_CLOSED,	 /* `error` says how */
	LINK_EV_CANCEL,	 /* somebody here wants it to end: `error` */
	LINK_EV_TICK,
};

struct link_event {
	enum link_event_kind kind;
	struct link_message message;
	enum conversation_state state;
	struct kerr error;
};

enum link_act {
	LINK_ACT_TALK,	      /* ask policyd: `talk` and `verb`; `flag` = initiator; blob */
	LINK_ACT_TALK_END,    /* tell policyd that the channel of `talk` is gone */
	LINK_ACT_ASK_CUSTODY, /* blob */
	LINK_ACT_SEND,	      /* message */
	LINK_ACT_START_MOVER, /* `flag` = source; a holder's shows the VM */
	LINK_ACT_LOOK,	      /* ask the mover what this host offers */
	LINK_ACT_TOLD,	      /* tell whoever asked what the peer offers: message */
	LINK_ACT_PEER_GONE,   /* tell the mover that the other side gave up; error */
	LINK_ACT_RESULT,      /* error; code OK = as agreed. At most once, at the end */
	LINK_ACT_FINISH,      /* close when what was sent is out */
};

struct link_action {
	enum link_act act;
	enum talk_kind talk;
	enum talk_verb verb;
	bool flag;
	struct link_message message;
	struct kerr error;
};

#define LINK_ACTIONS_MAX 8
struct link_actions {
	struct link_action list[LINK_ACTIONS_MAX];
	size_t count;
};

/* All of a conversation's state. Initialise with link_init(), release with link_clear(). */
struct link {
	enum link_role role;
	enum link_step step;
	uint8_t hid[HID_LEN];
	bool known;	   /* the peer is paired: more than PAIR may pass */
	bool own;	   /* it is of the same owner: OFFERS may pass */
	bool closed;	   /* the channel went away while policyd or the mover was at work */
	bool pair_open;	   /* policyd has a pairing of ours */
	bool session_open; /* policyd has a session of ours */
	bool mover;	   /* the mover has it, and hears of the peer only by us */
	bool refused;	   /* it ended in the peer's words */
	unsigned asks;	   /* questions to policyd that are not answered yet */
	struct kerr close_error;
	struct kerr end_error;		  /* LINK_ENDING: why */
	int64_t deadline, end, next_poll; /* ms of the monotonic clock */
	uint8_t *held;			  /* one message that came while policyd was at work */
	size_t held_len;
	bool has_held;
	/* What waits for its moment: a destination's agreement, a statement to be said. */
	uint8_t *reply;
	size_t reply_len;
	uint8_t error_blob[KERR_TEXT_MAX + 8];
};

void link_init(struct link *l, enum link_role role, const uint8_t *hid, int64_t now);
void link_clear(struct link *l);

/* Whether a peer that is not paired may go on; set before LINK_EV_OPEN. */
void link_set_known(struct link *l, bool known);

/* Whether it is a device of the same owner. */
void link_set_own(struct link *l, bool own);

/* LINK_ROLE_MAIL: what it will say (copied); before LINK_EV_OPEN. -ENOMEM. */
int link_set_statement(struct link *l, const uint8_t *statement, size_t len);

/* Feeds one event. Blobs in the actions are borrowed: until the next call, or from the event. */
void link_feed(struct link *l, const struct link_event *ev, int64_t now, struct link_actions *ret);

/* True while the end of the hand-off at our mover is waited for. */
bool link_awaits_mover(const struct link *l);

/* When to say to a peer again what it has to hear (W7, W11): after LINK_RETRY_MS, later and later
 * while it cannot be talked to. Zeroed: at once. */
struct link_retry {
	int64_t last, next; /* ms of the monotonic clock: the end of a talk, the start of another */
	int64_t pause;
};

/* A talk ended; `good`: the peer took part in it. */
void link_retry_ended(struct link_retry *r, bool good, int64_t now);
/* The peer came into sight: no need to wait for long, however often somebody says so (P2). */
void link_retry_sight(struct link_retry *r);
bool link_retry_due(const struct link_retry *r, int64_t now);
