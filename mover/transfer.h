/* SPDX-License-Identifier: Apache-2.0 */
/* The hand-off as two pure machines: (state, event) in, next state and actions out. They mirror
 * tests/model/commit.pml; the rims carry the actions out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/names.h"
#include "policyd/api/proto.h"

/* What happens to either side. Which one means what is said in the tables of transfer.c. */
enum transfer_event {
	TRANSFER_EVENT_GRANTED,	    /* policyd gave the grant */
	TRANSFER_EVENT_JOURNALLED,  /* the record asked for is written */
	TRANSFER_EVENT_REFUSED,	    /* policyd refused the record, or the measurements changed */
	TRANSFER_EVENT_DOUBT,	    /* policyd went away: the record may be written or not */
	TRANSFER_EVENT_QUOTED,	    /* own measurements are unchanged (B6) */
	TRANSFER_EVENT_LINK_UP,	    /* the control channel stands, both ends proved the key */
	TRANSFER_EVENT_LINK_LOST,   /* it broke or fell silent */
	TRANSFER_EVENT_OFFER,	    /* D: what will come */
	TRANSFER_EVENT_IMAGES,	    /* D: images are made; S: the destination says so */
	TRANSFER_EVENT_FINISH_HELD, /* Finish3 succeeded; its reply waits for the decision */
	TRANSFER_EVENT_MIGRATED,    /* S: virDomainMigrate3() returned success */
	TRANSFER_EVENT_MIGRATE_FAILED,
	TRANSFER_EVENT_VOTE,
	TRANSFER_EVENT_RELEASE,
	TRANSFER_EVENT_ABORT,
	TRANSFER_EVENT_ACK,
	TRANSFER_EVENT_NACK,
	TRANSFER_EVENT_MOVED,	    /* D: the source is done */
	TRANSFER_EVENT_COPY_GONE,   /* answers to CHECK_COPY and the like: this host's copy */
	TRANSFER_EVENT_COPY_PAUSED, /* complete, no job */
	TRANSFER_EVENT_COPY_RUNS,
	TRANSFER_EVENT_COPY_HALTED, /* it does not run and should not: it crashed or went to sleep
				       by itself, or its owner paused it */
	TRANSFER_EVENT_COPY_UNKNOWN,
	TRANSFER_EVENT_FROZEN,	  /* no instruction of the copy is executed any more (F2) */
	TRANSFER_EVENT_PROVED,	  /* S: policyd took the ACK as genuine, for this hand-off (C2) */
	TRANSFER_EVENT_DEFINED,	  /* D: the VM is persistent here */
	TRANSFER_EVENT_UNDEFINED, /* D: it could not be made so yet */
	TRANSFER_EVENT_STOP,	  /* cancel, deadline, error, peer's error, kithd or policyd lost */
	_TRANSFER_EVENT_MAX,
};
DECLARE_NAMES(transfer_event, enum transfer_event);

enum transfer_action {
	TRANSFER_ACTION_NONE,
	TRANSFER_ACTION_JOURNAL_PREP,
	TRANSFER_ACTION_JOURNAL_RELEASED,
	TRANSFER_ACTION_JOURNAL_ABORTED, /* answers nothing and does not decide: the guest comes
					    first. But only ABORTED thaws a copy that was frozen
					    already, so it is repeated until it is written */
	TRANSFER_ACTION_JOURNAL_RECLAIM,
	TRANSFER_ACTION_JOURNAL_MOVED, /* DONE with the ACK as proof */
	TRANSFER_ACTION_JOURNAL_KEPT,  /* DONE after ABORTED or RECLAIM */
	TRANSFER_ACTION_JOURNAL_RECV,
	TRANSFER_ACTION_JOURNAL_PREPARED,
	TRANSFER_ACTION_JOURNAL_OWN,
	TRANSFER_ACTION_JOURNAL_VOID,
	TRANSFER_ACTION_JOURNAL_CLOSE, /* D: DONE, the source knows */
	TRANSFER_ACTION_READY,	       /* answer the supervisor's START */
	TRANSFER_ACTION_DIAL,	       /* S: ask for a control connection */
	TRANSFER_ACTION_SEND_OFFER,
	TRANSFER_ACTION_SEND_IMAGES,
	TRANSFER_ACTION_SEND_VOTE,
	TRANSFER_ACTION_SEND_RELEASE,
	TRANSFER_ACTION_SEND_ABORT,
	TRANSFER_ACTION_SEND_ACK,
	TRANSFER_ACTION_SEND_NACK,
	TRANSFER_ACTION_SEND_MOVED,
	TRANSFER_ACTION_MAKE_IMAGES,
	TRANSFER_ACTION_MIGRATE,      /* S: start virDomainMigrate3() */
	TRANSFER_ACTION_LET_THROUGH,  /* the Finish3 reply goes to its client */
	TRANSFER_ACTION_FAIL_RPC,     /* S: the client gets an error: Confirm(cancelled) */
	TRANSFER_ACTION_STOP_GATEWAY, /* D: libvirtd's connection ends: autodestroy */
	TRANSFER_ACTION_CHECK_COPY,
	TRANSFER_ACTION_FREEZE,	   /* by kith-warden; FROZEN, COPY_GONE or COPY_UNKNOWN */
	TRANSFER_ACTION_PROVE_ACK, /* S: ask policyd whether the ACK is one */
	TRANSFER_ACTION_FORWARD,   /* S: release with the VOTE in hand, if there is one */
	TRANSFER_ACTION_RESUME_COPY,
	TRANSFER_ACTION_DESTROY_COPY,
	TRANSFER_ACTION_BOOT_COPY, /* D: cold start, the copy died while it was ours */
	TRANSFER_ACTION_DEFINE,
	TRANSFER_ACTION_REQUOTE,
	TRANSFER_ACTION_DROP_IMAGES, /* D: made for nothing; S: the copy moved away */
	TRANSFER_ACTION_KEEP_IMAGES, /* forget what recovery would have had to remove */
	TRANSFER_ACTION_LATER,	     /* do what this state is about again in a while */
	TRANSFER_ACTION_REPORT,	     /* tell the peer why (FRAME_ERROR) */
	TRANSFER_ACTION_LEAVE,	     /* end the worker once everything is sent */
	_TRANSFER_ACTION_MAX,
};
DECLARE_NAMES(transfer_action, enum transfer_action);

enum source_state {
	SOURCE_NEW,
	SOURCE_PREPARING,  /* PREP; control channel and destination's images are made */
	SOURCE_TRANSFER,   /* libvirt copies */
	SOURCE_VOTING,	   /* own CPUs stopped; Finish3's reply is held */
	SOURCE_COMMITTING, /* VOTE is here: last checks, freeze, then RELEASED */
	SOURCE_DECIDING,   /* RELEASED is being written, or may be written already */
	SOURCE_RELEASED,   /* committed: never resume again */
	SOURCE_CONFIRMING, /* ACK is here: the own copy goes */
	SOURCE_RECLAIMING, /* NACK after RELEASED (R4) */
	SOURCE_ABORTING,   /* the own copy shall run again; nobody is told before (R2) */
	SOURCE_FORWARD,	   /* the own copy died before the commit: VOTE or NACK? (R1) */
	SOURCE_KEPT,
	SOURCE_MOVED,
	_SOURCE_STATE_MAX,
};
DECLARE_NAMES(source_state, enum source_state);

enum destination_state {
	DESTINATION_NEW,
	DESTINATION_RECEIVING, /* RECV; images, Prepare, stream */
	DESTINATION_CHECKING,  /* Finish3 done; is the copy complete? Then it is frozen */
	DESTINATION_VOTING,    /* PREPARED is being written, or may be written already */
	DESTINATION_PREPARED,  /* voted: nothing but RELEASE or ABORT moves us */
	DESTINATION_CLAIMING,  /* RELEASE is here; is the copy still there? */
	DESTINATION_DECIDING,  /* OWN is being written, or may be written already */
	DESTINATION_OWNING,    /* OWN; resuming */
	DESTINATION_SETTLING,  /* the guest runs; it is being made persistent */
	DESTINATION_RUNNING,   /* ACK sent */
	DESTINATION_VOIDING,   /* an incomplete copy is being destroyed, then VOID */
	DESTINATION_YIELDING,  /* ABORT is here, or the copy died: VOID, before anything goes */
	DESTINATION_ENDING,    /* VOID is written: the copy goes */
	DESTINATION_VOID,
	DESTINATION_DONE,
	_DESTINATION_STATE_MAX,
};
DECLARE_NAMES(destination_state, enum destination_state);

#define TRANSFER_ACTIONS_MAX 6

/* What a machine answers. `legal` false: the event has no place in this state; nothing changes. */
struct transfer_step {
	bool legal;
	int next; /* enum source_state or destination_state */
	enum transfer_action actions[TRANSFER_ACTIONS_MAX]; /* in order, NONE-terminated */
};

struct transfer_step source_step(enum source_state state, enum transfer_event event);
struct transfer_step destination_step(enum destination_state state, enum transfer_event event);

/* True from the decision on: whatever happens, this host's copy may not be resumed. */
bool source_is_committed(enum source_state state);
/* True where a cancel still takes effect. */
bool source_can_stop(enum source_state state);
bool destination_can_stop(enum destination_state state);

/* What a restarted mover does for a hand-off that nobody works on. */
enum recovery {
	RECOVERY_NOTHING,
	RECOVERY_ABORT,		/* S: ABORTED, then as RUN */
	RECOVERY_RUN,		/* make the copy run (and persistent), then DONE */
	RECOVERY_CLOSE,		/* S: the copy ran and is gone: DONE, an ordinary crash */
	RECOVERY_ASK,		/* S: own copy gone in PREP: only the destination's VOTE helps */
	RECOVERY_AWAIT_ANSWER,	/* S: RELEASED: keep it paused until ACK or NACK */
	RECOVERY_AWAIT_RELEASE, /* D: PREPARED: keep it paused until RELEASE or ABORT */
	RECOVERY_VOID,		/* D: destroy what is there, VOID */
	RECOVERY_BOOT,		/* D: OWN, copy gone: cold start, then DONE */
	RECOVERY_LATER,		/* libvirt cannot be asked */
	_RECOVERY_MAX,
};
DECLARE_NAMES(recovery, enum recovery);

/* By last record and the state of this host's copy (crash windows W1-W16). `copy` is one of the
 * COPY events. */
enum recovery transfer_recovery(enum custody_record record, enum transfer_event copy);
