/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of legal moves. A row that is not here does not happen. */
#include "mover/transfer.h"

#include <string.h>

#include "base/cleanup.h"

#define E(x) TRANSFER_EVENT_##x
#define A(x) TRANSFER_ACTION_##x
#define S(x) SOURCE_##x
#define D(x) DESTINATION_##x

static const char *const transfer_event_names[_TRANSFER_EVENT_MAX] = {
	[E(GRANTED)] = "granted",
	[E(JOURNALLED)] = "journalled",
	[E(REFUSED)] = "refused",
	[E(DOUBT)] = "doubt",
	[E(QUOTED)] = "quoted",
	[E(LINK_UP)] = "link-up",
	[E(LINK_LOST)] = "link-lost",
	[E(OFFER)] = "offer",
	[E(IMAGES)] = "images",
	[E(FINISH_HELD)] = "finish-held",
	[E(MIGRATED)] = "migrated",
	[E(MIGRATE_FAILED)] = "migrate-failed",
	[E(VOTE)] = "vote",
	[E(RELEASE)] = "release",
	[E(ABORT)] = "abort",
	[E(ACK)] = "ack",
	[E(NACK)] = "nack",
	[E(MOVED)] = "moved",
	[E(COPY_GONE)] = "copy-gone",
	[E(COPY_PAUSED)] = "copy-paused",
	[E(COPY_RUNS)] = "copy-runs",
	[E(COPY_HALTED)] = "copy-halted",
	[E(COPY_UNKNOWN)] = "copy-unknown",
	[E(FROZEN)] = "frozen",
	[E(PROVED)] = "proved",
	[E(DEFINED)] = "defined",
	[E(UNDEFINED)] = "undefined",
	[E(STOP)] = "stop",
};
DEFINE_NAMES(transfer_event, enum transfer_event, _TRANSFER_EVENT_MAX)

static const char *const transfer_action_names[_TRANSFER_ACTION_MAX] = {
	[A(NONE)] = "none",
	[A(JOURNAL_PREP)] = "journal-prep",
	[A(JOURNAL_RELEASED)] = "journal-released",
	[A(JOURNAL_ABORTED)] = "journal-aborted",
	[A(JOURNAL_RECLAIM)] = "journal-reclaim",
	[A(JOURNAL_MOVED)] = "journal-moved",
	[A(JOURNAL_KEPT)] = "journal-kept",
	[A(JOURNAL_RECV)] = "journal-recv",
	[A(JOURNAL_PREPARED)] = "journal-prepared",
	[A(JOURNAL_OWN)] = "journal-own",
	[A(JOURNAL_VOID)] = "journal-void",
	[A(JOURNAL_CLOSE)] = "journal-close",
	[A(READY)] = "ready",
	[A(DIAL)] = "dial",
	[A(SEND_OFFER)] = "send-offer",
	[A(SEND_IMAGES)] = "send-images",
	[A(SEND_VOTE)] = "send-vote",
	[A(SEND_RELEASE)] = "send-release",
	[A(SEND_ABORT)] = "send-abort",
	[A(SEND_ACK)] = "send-ack",
	[A(SEND_NACK)] = "send-nack",
	[A(SEND_MOVED)] = "send-moved",
	[A(MAKE_IMAGES)] = "make-images",
	[A(MIGRATE)] = "migrate",
	[A(LET_THROUGH)] = "let-through",
	[A(FAIL_RPC)] = "fail-rpc",
	[A(STOP_GATEWAY)] = "stop-gateway",
	[A(CHECK_COPY)] = "check-copy",
	[A(FREEZE)] = "freeze",
	[A(PROVE_ACK)] = "prove-ack",
	[A(FORWARD)] = "forward",
	[A(RESUME_COPY)] = "resume-copy",
	[A(DESTROY_COPY)] = "destroy-copy",
	[A(BOOT_COPY)] = "boot-copy",
	[A(DEFINE)] = "define",
	[A(REQUOTE)] = "requote",
	[A(DROP_IMAGES)] = "drop-images",
	[A(KEEP_IMAGES)] = "keep-images",
	[A(LATER)] = "later",
	[A(REPORT)] = "report",
	[A(LEAVE)] = "leave",
};
DEFINE_NAMES(transfer_action, enum transfer_action, _TRANSFER_ACTION_MAX)

static const char *const source_state_names[_SOURCE_STATE_MAX] = {
	[S(NEW)] = "new",	    [S(PREPARING)] = "preparing",   [S(TRANSFER)] = "transfer",
	[S(VOTING)] = "voting",	    [S(COMMITTING)] = "committing", [S(DECIDING)] = "deciding",
	[S(RELEASED)] = "released", [S(CONFIRMING)] = "confirming", [S(RECLAIMING)] = "reclaiming",
	[S(ABORTING)] = "aborting", [S(FORWARD)] = "forward",	    [S(KEPT)] = "kept",
	[S(MOVED)] = "moved",
};
DEFINE_NAMES(source_state, enum source_state, _SOURCE_STATE_MAX)

static const char *const destination_state_names[_DESTINATION_STATE_MAX] = {
	[D(NEW)] = "new",	    [D(RECEIVING)] = "receiving", [D(CHECKING)] = "checking",
	[D(VOTING)] = "voting",	    [D(PREPARED)] = "prepared",	  [D(CLAIMING)] = "claiming",
	[D(DECIDING)] = "deciding", [D(OWNING)] = "owning",	  [D(SETTLING)] = "settling",
	[D(RUNNING)] = "running",   [D(VOIDING)] = "voiding",	  [D(YIELDING)] = "yielding",
	[D(ENDING)] = "ending",	    [D(VOID)] = "void",		  [D(DONE)] = "done",
};
DEFINE_NAMES(destination_state, enum destination_state, _DESTINATION_STATE_MAX)

static const char *const recovery_names[_RECOVERY_MAX] = {
	[RECOVERY_NOTHING] = "nothing",
	[RECOVERY_ABORT] = "abort",
	[RECOVERY_RUN] = "run",
	[RECOVERY_CLOSE] = "close",
	[RECOVERY_ASK] = "ask",
	[RECOVERY_AWAIT_ANSWER] = "await-answer",
	[RECOVERY_AWAIT_RELEASE] = "await-release",
	[RECOVERY_VOID] = "void",
	[RECOVERY_BOOT] = "boot",
	[RECOVERY_LATER] = "later",
};
DEFINE_NAMES(recovery, enum recovery, _RECOVERY_MAX)

struct row {
	int state;
	enum transfer_event event;
	int next;
	enum transfer_action actions[TRANSFER_ACTIONS_MAX];
};

/* How each phase before the commit gives up: ABORTED first, then the guest runs (model:A1). Where
 * libvirt's client is at work it must fail first; its end then leads to CHECK_COPY. */
#define ABORT_IDLE                                           \
	{                                                    \
		A(JOURNAL_ABORTED), A(REPORT), A(CHECK_COPY) \
	}
#define ABORT_BUSY                              \
	{                                       \
		A(JOURNAL_ABORTED), A(FAIL_RPC) \
	}

static const struct row source_rows[] = {
	{S(NEW), E(GRANTED), S(NEW), {A(JOURNAL_PREP)}},
	{S(NEW), E(JOURNALLED), S(PREPARING), {A(READY), A(DIAL)}},
	{S(NEW), E(REFUSED), S(KEPT), {A(LEAVE)}},
	/* PREP may be written: recovery aborts it. The guest was not touched. */
	{S(NEW), E(DOUBT), S(KEPT), {A(LEAVE)}},
	{S(NEW), E(STOP), S(KEPT), {A(REPORT), A(LEAVE)}},
	/* Only while a guest shuts down: nothing is offered and no record written yet. */
	{S(NEW), E(LINK_UP), S(NEW), {A(NONE)}},
	{S(NEW), E(LINK_LOST), S(KEPT), {A(LEAVE)}},
	{S(NEW), E(NACK), S(KEPT), {A(LEAVE)}},

	{S(PREPARING), E(LINK_UP), S(PREPARING), {A(SEND_OFFER)}},
	{S(PREPARING), E(IMAGES), S(TRANSFER), {A(MIGRATE)}},
	{S(PREPARING), E(LINK_LOST), S(ABORTING), ABORT_IDLE},
	{S(PREPARING), E(STOP), S(ABORTING), ABORT_IDLE},
	{S(PREPARING), E(NACK), S(ABORTING), ABORT_IDLE},
	{S(PREPARING), E(REFUSED), S(ABORTING), ABORT_IDLE},

	{S(TRANSFER), E(FINISH_HELD), S(VOTING), {A(NONE)}},
	{S(TRANSFER), E(MIGRATE_FAILED), S(ABORTING), ABORT_IDLE},
	{S(TRANSFER), E(LINK_LOST), S(ABORTING), ABORT_BUSY},
	{S(TRANSFER), E(STOP), S(ABORTING), ABORT_BUSY},
	{S(TRANSFER), E(NACK), S(ABORTING), ABORT_BUSY},

	{S(VOTING), E(VOTE), S(COMMITTING), {A(CHECK_COPY)}},
	{S(VOTING), E(MIGRATE_FAILED), S(ABORTING), ABORT_IDLE},
	{S(VOTING), E(LINK_LOST), S(ABORTING), ABORT_BUSY},
	{S(VOTING), E(STOP), S(ABORTING), ABORT_BUSY},
	{S(VOTING), E(NACK), S(ABORTING), ABORT_BUSY},

	/* S5a: own copy paused, job held; B6; then it is frozen, so that nobody can wake what is
	 * released (F2); then the commit point. */
	{S(COMMITTING), E(COPY_PAUSED), S(COMMITTING), {A(REQUOTE)}},
	{S(COMMITTING), E(COPY_HALTED), S(COMMITTING), {A(REQUOTE)}},
	{S(COMMITTING), E(QUOTED), S(COMMITTING), {A(FREEZE)}},
	{S(COMMITTING), E(FROZEN), S(DECIDING), {A(JOURNAL_RELEASED)}},
	/* W12: the copy died while the destination's is complete: forward (R1). */
	{S(COMMITTING), E(COPY_GONE), S(COMMITTING), {A(REQUOTE)}},
	{S(COMMITTING), E(COPY_RUNS), S(ABORTING), ABORT_BUSY},
	{S(COMMITTING), E(COPY_UNKNOWN), S(ABORTING), ABORT_BUSY},
	{S(COMMITTING), E(REFUSED), S(ABORTING), ABORT_BUSY},
	{S(COMMITTING), E(DOUBT), S(ABORTING), ABORT_BUSY},
	{S(COMMITTING), E(STOP), S(ABORTING), ABORT_BUSY},
	{S(COMMITTING), E(LINK_LOST), S(ABORTING), ABORT_BUSY},
	{S(COMMITTING), E(NACK), S(ABORTING), ABORT_BUSY},
	{S(COMMITTING), E(VOTE), S(COMMITTING), {A(NONE)}},
	{S(COMMITTING), E(MIGRATE_FAILED), S(ABORTING), ABORT_IDLE},

	{S(DECIDING), E(JOURNALLED), S(RELEASED), {A(SEND_RELEASE)}},
	{S(DECIDING), E(REFUSED), S(ABORTING), ABORT_BUSY},
	/* RELEASED may be written: neither resume nor go on; ask policyd until it answers. */
	{S(DECIDING), E(DOUBT), S(DECIDING), {A(JOURNAL_RELEASED)}},
	{S(DECIDING), E(STOP), S(DECIDING), {A(NONE)}},
	{S(DECIDING), E(LINK_LOST), S(DECIDING), {A(NONE)}},
	{S(DECIDING), E(LINK_UP), S(DECIDING), {A(NONE)}},
	{S(DECIDING), E(ACK), S(DECIDING), {A(NONE)}},
	{S(DECIDING), E(NACK), S(DECIDING), {A(NONE)}},
	{S(DECIDING), E(VOTE), S(DECIDING), {A(NONE)}},
	{S(DECIDING), E(MIGRATE_FAILED), S(DECIDING), {A(NONE)}},

	/* Committed: no time-out and no error ever resumes the copy. An ACK counts when policyd
	 * says that it is one (C2): what follows cannot be undone. */
	{S(RELEASED), E(ACK), S(RELEASED), {A(PROVE_ACK)}},
	{S(RELEASED), E(PROVED), S(CONFIRMING), {A(LET_THROUGH)}},
	{S(RELEASED), E(REFUSED), S(RELEASED), {A(NONE)}},
	{S(RELEASED), E(DOUBT), S(RELEASED), {A(NONE)}},
	{S(RELEASED), E(NACK), S(RECLAIMING), {A(JOURNAL_RECLAIM)}},
	{S(RELEASED), E(LINK_LOST), S(RELEASED), {A(NONE)}},
	{S(RELEASED), E(LINK_UP), S(RELEASED), {A(SEND_RELEASE)}},
	{S(RELEASED), E(MIGRATED), S(RELEASED), {A(NONE)}},
	{S(RELEASED), E(MIGRATE_FAILED), S(RELEASED), {A(NONE)}},
	{S(RELEASED), E(VOTE), S(RELEASED), {A(SEND_RELEASE)}},
	{S(RELEASED), E(STOP), S(RELEASED), {A(NONE)}},

	/* R3: only now Confirm(0). DONE follows when the copy is gone *and* no longer defined (F7),
	 * so that a fence which runs in between still knows (S7a-S7d). */
	{S(CONFIRMING), E(MIGRATED), S(CONFIRMING), {A(DESTROY_COPY)}},
	{S(CONFIRMING), E(MIGRATE_FAILED), S(CONFIRMING), {A(DESTROY_COPY)}},
	{S(CONFIRMING), E(COPY_GONE), S(CONFIRMING), {A(JOURNAL_MOVED)}},
	{S(CONFIRMING), E(COPY_PAUSED), S(CONFIRMING), {A(LATER)}},
	{S(CONFIRMING), E(COPY_RUNS), S(CONFIRMING), {A(LATER)}},
	{S(CONFIRMING), E(COPY_HALTED), S(CONFIRMING), {A(LATER)}},
	{S(CONFIRMING), E(COPY_UNKNOWN), S(CONFIRMING), {A(LATER)}},
	{S(CONFIRMING), E(JOURNALLED), S(MOVED), {A(DROP_IMAGES), A(SEND_MOVED), A(LEAVE)}},
	{S(CONFIRMING), E(REFUSED), S(MOVED), {A(LEAVE)}},
	{S(CONFIRMING), E(DOUBT), S(CONFIRMING), {A(JOURNAL_MOVED)}},
	{S(CONFIRMING), E(LINK_LOST), S(CONFIRMING), {A(NONE)}},
	{S(CONFIRMING), E(LINK_UP), S(CONFIRMING), {A(NONE)}},
	{S(CONFIRMING), E(PROVED), S(CONFIRMING), {A(NONE)}},
	{S(CONFIRMING), E(ACK), S(CONFIRMING), {A(NONE)}},
	{S(CONFIRMING), E(STOP), S(CONFIRMING), {A(NONE)}},

	{S(RECLAIMING), E(JOURNALLED), S(ABORTING), {A(FAIL_RPC)}},
	{S(RECLAIMING), E(REFUSED), S(RELEASED), {A(NONE)}},
	{S(RECLAIMING), E(DOUBT), S(RECLAIMING), {A(JOURNAL_RECLAIM)}},
	{S(RECLAIMING), E(MIGRATE_FAILED), S(RECLAIMING), {A(NONE)}},
	{S(RECLAIMING), E(LINK_LOST), S(RECLAIMING), {A(NONE)}},
	{S(RECLAIMING), E(LINK_UP), S(RECLAIMING), {A(NONE)}},
	{S(RECLAIMING), E(NACK), S(RECLAIMING), {A(NONE)}},
	{S(RECLAIMING), E(STOP), S(RECLAIMING), {A(NONE)}},

	{S(ABORTING), E(MIGRATE_FAILED), S(ABORTING), {A(CHECK_COPY)}},
	{S(ABORTING), E(MIGRATED), S(ABORTING), {A(CHECK_COPY)}},
	{S(ABORTING), E(COPY_PAUSED), S(ABORTING), {A(RESUME_COPY)}},
	{S(ABORTING), E(COPY_UNKNOWN), S(ABORTING), {A(LATER)}},
	/* model:A5, R2: it runs; only now the destination may destroy. */
	{S(ABORTING),
	 E(COPY_RUNS),
	 S(KEPT),
	 {A(JOURNAL_KEPT), A(SEND_ABORT), A(KEEP_IMAGES), A(LEAVE)}},
	/* It crashed or sleeps by itself, or its owner paused it: that is how it goes on. */
	{S(ABORTING),
	 E(COPY_HALTED),
	 S(KEPT),
	 {A(JOURNAL_KEPT), A(SEND_ABORT), A(KEEP_IMAGES), A(LEAVE)}},
	{S(ABORTING), E(COPY_GONE), S(FORWARD), {A(FORWARD)}},
	{S(ABORTING), E(LINK_LOST), S(ABORTING), {A(NONE)}},
	{S(ABORTING), E(LINK_UP), S(ABORTING), {A(NONE)}},
	{S(ABORTING), E(VOTE), S(ABORTING), {A(NONE)}},
	{S(ABORTING), E(NACK), S(ABORTING), {A(NONE)}},
	{S(ABORTING), E(IMAGES), S(ABORTING), {A(NONE)}},
	{S(ABORTING), E(QUOTED), S(ABORTING), {A(NONE)}},
	{S(ABORTING), E(FROZEN), S(ABORTING), {A(NONE)}},
	{S(ABORTING), E(FINISH_HELD), S(ABORTING), {A(FAIL_RPC)}},
	{S(ABORTING), E(STOP), S(ABORTING), {A(NONE)}},

	/* model:F1-F4: with a VOTE the VM is saved; a NACK says that nothing is complete over
	 * there. Until one of them comes nobody knows, so nothing is closed (F8). A refusal means
	 * that the owner started it from its disk meanwhile (F6), or that it ran since. */
	{S(FORWARD), E(VOTE), S(FORWARD), {A(FORWARD)}},
	{S(FORWARD), E(JOURNALLED), S(RELEASED), {A(SEND_RELEASE)}},
	{S(FORWARD),
	 E(REFUSED),
	 S(KEPT),
	 {A(JOURNAL_KEPT), A(SEND_ABORT), A(KEEP_IMAGES), A(LEAVE)}},
	{S(FORWARD), E(NACK), S(KEPT), {A(JOURNAL_KEPT), A(KEEP_IMAGES), A(LEAVE)}},
	{S(FORWARD),
	 E(COPY_RUNS),
	 S(KEPT),
	 {A(JOURNAL_KEPT), A(SEND_ABORT), A(KEEP_IMAGES), A(LEAVE)}},
	{S(FORWARD),
	 E(COPY_PAUSED),
	 S(KEPT),
	 {A(JOURNAL_KEPT), A(SEND_ABORT), A(KEEP_IMAGES), A(LEAVE)}},
	{S(FORWARD),
	 E(COPY_HALTED),
	 S(KEPT),
	 {A(JOURNAL_KEPT), A(SEND_ABORT), A(KEEP_IMAGES), A(LEAVE)}},
	{S(FORWARD), E(COPY_GONE), S(FORWARD), {A(NONE)}},
	{S(FORWARD), E(COPY_UNKNOWN), S(FORWARD), {A(NONE)}},
	{S(FORWARD), E(DOUBT), S(FORWARD), {A(FORWARD)}},
	{S(FORWARD), E(LINK_LOST), S(FORWARD), {A(NONE)}},
	{S(FORWARD), E(LINK_UP), S(FORWARD), {A(NONE)}},
	{S(FORWARD), E(MIGRATED), S(FORWARD), {A(NONE)}},
	{S(FORWARD), E(MIGRATE_FAILED), S(FORWARD), {A(NONE)}},
	{S(FORWARD), E(STOP), S(FORWARD), {A(NONE)}},

	{S(KEPT), E(JOURNALLED), S(KEPT), {A(NONE)}},
	{S(KEPT), E(REFUSED), S(KEPT), {A(NONE)}},
	{S(KEPT), E(DOUBT), S(KEPT), {A(NONE)}},
	{S(KEPT), E(VOTE), S(KEPT), {A(SEND_ABORT)}},
	{S(KEPT), E(NACK), S(KEPT), {A(NONE)}},
	{S(KEPT), E(LINK_LOST), S(KEPT), {A(NONE)}},
	{S(KEPT), E(STOP), S(KEPT), {A(NONE)}},
	{S(MOVED), E(ACK), S(MOVED), {A(NONE)}},
	{S(MOVED), E(LINK_LOST), S(MOVED), {A(NONE)}},
	{S(MOVED), E(STOP), S(MOVED), {A(NONE)}},
};

#define VOID_NOW                                            \
	{                                                   \
		A(REPORT), A(STOP_GATEWAY), A(DESTROY_COPY) \
	}

static const struct row destination_rows[] = {
	{D(NEW), E(GRANTED), D(NEW), {A(JOURNAL_RECV)}},
	{D(NEW), E(JOURNALLED), D(RECEIVING), {A(READY)}},
	{D(NEW), E(REFUSED), D(VOID), {A(LEAVE)}},
	{D(NEW), E(DOUBT), D(VOID), {A(LEAVE)}},
	{D(NEW), E(STOP), D(VOID), {A(LEAVE)}},

	{D(RECEIVING), E(LINK_UP), D(RECEIVING), {A(NONE)}},
	{D(RECEIVING), E(OFFER), D(RECEIVING), {A(MAKE_IMAGES)}},
	{D(RECEIVING), E(IMAGES), D(RECEIVING), {A(SEND_IMAGES)}},
	{D(RECEIVING), E(FINISH_HELD), D(CHECKING), {A(FREEZE)}},
	{D(RECEIVING), E(LINK_LOST), D(VOIDING), VOID_NOW},
	{D(RECEIVING), E(ABORT), D(VOIDING), VOID_NOW},
	{D(RECEIVING), E(STOP), D(VOIDING), VOID_NOW},
	{D(RECEIVING), E(REFUSED), D(VOIDING), VOID_NOW},

	/* D4b: frozen first, so that nobody's queued resume wakes it; then paused, flushed. */
	{D(CHECKING), E(FROZEN), D(CHECKING), {A(CHECK_COPY)}},
	{D(CHECKING), E(COPY_PAUSED), D(VOTING), {A(JOURNAL_PREPARED)}},
	{D(CHECKING), E(COPY_HALTED), D(VOTING), {A(JOURNAL_PREPARED)}},
	{D(CHECKING), E(COPY_GONE), D(VOIDING), VOID_NOW},
	{D(CHECKING), E(COPY_RUNS), D(VOIDING), VOID_NOW},
	{D(CHECKING), E(COPY_UNKNOWN), D(VOIDING), VOID_NOW},
	{D(CHECKING), E(REFUSED), D(VOIDING), VOID_NOW},
	{D(CHECKING), E(LINK_LOST), D(VOIDING), VOID_NOW},
	{D(CHECKING), E(ABORT), D(VOIDING), VOID_NOW},
	{D(CHECKING), E(STOP), D(VOIDING), VOID_NOW},

	{D(VOTING), E(JOURNALLED), D(PREPARED), {A(LET_THROUGH), A(SEND_VOTE)}},
	{D(VOTING), E(REFUSED), D(VOIDING), VOID_NOW},
	/* PREPARED may be written, and policyd may have said VOTE by mail: only it knows. */
	{D(VOTING), E(DOUBT), D(VOTING), {A(JOURNAL_PREPARED)}},
	{D(VOTING), E(LINK_LOST), D(VOTING), {A(NONE)}},
	{D(VOTING), E(LINK_UP), D(VOTING), {A(NONE)}},
	{D(VOTING), E(ABORT), D(VOTING), {A(NONE)}},
	{D(VOTING), E(STOP), D(VOTING), {A(NONE)}},

	/* Voted: the source decides, however long it takes. */
	{D(PREPARED), E(RELEASE), D(CLAIMING), {A(CHECK_COPY)}},
	{D(PREPARED), E(ABORT), D(YIELDING), {A(JOURNAL_VOID)}},
	{D(PREPARED), E(LINK_LOST), D(PREPARED), {A(NONE)}},
	{D(PREPARED), E(LINK_UP), D(PREPARED), {A(SEND_VOTE)}},
	{D(PREPARED), E(STOP), D(PREPARED), {A(NONE)}},
	{D(PREPARED), E(COPY_PAUSED), D(PREPARED), {A(NONE)}},
	{D(PREPARED), E(COPY_RUNS), D(PREPARED), {A(NONE)}},
	{D(PREPARED), E(COPY_HALTED), D(PREPARED), {A(NONE)}},
	{D(PREPARED), E(COPY_UNKNOWN), D(PREPARED), {A(NONE)}},
	/* R4: the copy died. */
	{D(PREPARED), E(COPY_GONE), D(YIELDING), {A(JOURNAL_VOID)}},

	/* D6a: OWN only for a copy that is there. RELEASE is repeated, so it may be dropped. One
	 * that runs already was woken against all locks (an alarm says so); it is ours now. */
	{D(CLAIMING), E(COPY_PAUSED), D(DECIDING), {A(JOURNAL_OWN)}},
	{D(CLAIMING), E(COPY_HALTED), D(DECIDING), {A(JOURNAL_OWN)}},
	{D(CLAIMING), E(COPY_RUNS), D(DECIDING), {A(JOURNAL_OWN)}},
	{D(CLAIMING), E(COPY_GONE), D(YIELDING), {A(JOURNAL_VOID)}},
	{D(CLAIMING), E(COPY_UNKNOWN), D(PREPARED), {A(NONE)}},
	{D(CLAIMING), E(RELEASE), D(CLAIMING), {A(NONE)}},
	{D(CLAIMING), E(LINK_LOST), D(CLAIMING), {A(NONE)}},
	{D(CLAIMING), E(LINK_UP), D(CLAIMING), {A(NONE)}},
	{D(CLAIMING), E(STOP), D(CLAIMING), {A(NONE)}},

	{D(DECIDING), E(JOURNALLED), D(OWNING), {A(RESUME_COPY)}},
	/* Not written, for whatever reason: the copy stays, RELEASE comes again (C2). */
	{D(DECIDING), E(REFUSED), D(PREPARED), {A(NONE)}},
	{D(DECIDING), E(DOUBT), D(DECIDING), {A(JOURNAL_OWN)}},
	{D(DECIDING), E(COPY_PAUSED), D(DECIDING), {A(NONE)}},
	{D(DECIDING), E(COPY_GONE), D(DECIDING), {A(NONE)}},
	{D(DECIDING), E(RELEASE), D(DECIDING), {A(NONE)}},
	{D(DECIDING), E(LINK_LOST), D(DECIDING), {A(NONE)}},
	{D(DECIDING), E(LINK_UP), D(DECIDING), {A(NONE)}},
	{D(DECIDING), E(STOP), D(DECIDING), {A(NONE)}},

	{D(OWNING), E(COPY_PAUSED), D(OWNING), {A(RESUME_COPY)}},
	{D(OWNING), E(COPY_RUNS), D(SETTLING), {A(DEFINE)}},
	{D(OWNING), E(COPY_HALTED), D(SETTLING), {A(DEFINE)}},
	{D(OWNING), E(COPY_GONE), D(OWNING), {A(BOOT_COPY)}},
	{D(OWNING), E(COPY_UNKNOWN), D(OWNING), {A(LATER)}},
	{D(OWNING), E(RELEASE), D(OWNING), {A(NONE)}},
	{D(OWNING), E(LINK_LOST), D(OWNING), {A(NONE)}},
	{D(OWNING), E(LINK_UP), D(OWNING), {A(NONE)}},
	{D(OWNING), E(STOP), D(OWNING), {A(NONE)}},

	/* ACK lets the source end its copy: only when the VM would survive a power-off here (F5).
	 */
	{D(SETTLING), E(DEFINED), D(RUNNING), {A(KEEP_IMAGES), A(SEND_ACK)}},
	{D(SETTLING), E(UNDEFINED), D(SETTLING), {A(LATER)}},
	{D(SETTLING), E(COPY_RUNS), D(SETTLING), {A(NONE)}},
	{D(SETTLING), E(COPY_PAUSED), D(SETTLING), {A(NONE)}},
	{D(SETTLING), E(COPY_HALTED), D(SETTLING), {A(NONE)}},
	{D(SETTLING), E(RELEASE), D(SETTLING), {A(NONE)}},
	{D(SETTLING), E(LINK_LOST), D(SETTLING), {A(NONE)}},
	{D(SETTLING), E(LINK_UP), D(SETTLING), {A(NONE)}},
	{D(SETTLING), E(STOP), D(SETTLING), {A(NONE)}},

	{D(RUNNING), E(RELEASE), D(RUNNING), {A(SEND_ACK)}},
	{D(RUNNING), E(LINK_UP), D(RUNNING), {A(SEND_ACK)}},
	{D(RUNNING), E(LINK_LOST), D(RUNNING), {A(NONE)}},
	/* The source is done; or it cannot be heard, then policyd tells it (answer to RELEASE). */
	{D(RUNNING), E(MOVED), D(DONE), {A(JOURNAL_CLOSE), A(LEAVE)}},
	{D(RUNNING), E(STOP), D(RUNNING), {A(NONE)}},

	/* Before the vote: the copy goes first, then VOID says so. */
	{D(VOIDING), E(COPY_GONE), D(VOIDING), {A(JOURNAL_VOID)}},
	{D(VOIDING), E(COPY_PAUSED), D(VOIDING), {A(LATER)}},
	{D(VOIDING), E(COPY_RUNS), D(VOIDING), {A(LATER)}},
	{D(VOIDING), E(COPY_HALTED), D(VOIDING), {A(LATER)}},
	{D(VOIDING), E(COPY_UNKNOWN), D(VOIDING), {A(LATER)}},
	/* It is frozen: VOID may come first, and lets the warden end it at once. */
	{D(VOIDING), E(FROZEN), D(VOIDING), {A(JOURNAL_VOID)}},
	{D(VOIDING), E(JOURNALLED), D(ENDING), {A(SEND_NACK), A(DESTROY_COPY)}},
	/* Recovery has the note. */
	{D(VOIDING), E(REFUSED), D(VOID), {A(LEAVE)}},
	{D(VOIDING), E(DOUBT), D(VOID), {A(LEAVE)}},
	{D(VOIDING), E(LINK_LOST), D(VOIDING), {A(NONE)}},
	{D(VOIDING), E(LINK_UP), D(VOIDING), {A(NONE)}},
	{D(VOIDING), E(ABORT), D(VOIDING), {A(NONE)}},
	{D(VOIDING), E(FINISH_HELD), D(VOIDING), {A(NONE)}},
	{D(VOIDING), E(IMAGES), D(VOIDING), {A(NONE)}},
	{D(VOIDING), E(STOP), D(VOIDING), {A(NONE)}},

	/* DA, DV2: after the vote VOID comes first. A copy that policyd does not give up stays
	 * (C2: the ABORT may be somebody else's, or policyd in trouble). */
	{D(YIELDING), E(JOURNALLED), D(ENDING), {A(SEND_NACK), A(DESTROY_COPY)}},
	{D(YIELDING), E(REFUSED), D(PREPARED), {A(NONE)}},
	{D(YIELDING), E(DOUBT), D(YIELDING), {A(JOURNAL_VOID)}},
	{D(YIELDING), E(COPY_GONE), D(YIELDING), {A(NONE)}},
	{D(YIELDING), E(COPY_PAUSED), D(YIELDING), {A(NONE)}},
	{D(YIELDING), E(COPY_UNKNOWN), D(YIELDING), {A(NONE)}},
	{D(YIELDING), E(RELEASE), D(YIELDING), {A(NONE)}},
	{D(YIELDING), E(ABORT), D(YIELDING), {A(NONE)}},
	{D(YIELDING), E(LINK_LOST), D(YIELDING), {A(NONE)}},
	{D(YIELDING), E(LINK_UP), D(YIELDING), {A(NONE)}},
	{D(YIELDING), E(STOP), D(YIELDING), {A(NONE)}},

	{D(ENDING), E(COPY_GONE), D(VOID), {A(DROP_IMAGES), A(LEAVE)}},
	{D(ENDING), E(COPY_PAUSED), D(ENDING), {A(LATER)}},
	{D(ENDING), E(COPY_RUNS), D(ENDING), {A(LATER)}},
	{D(ENDING), E(COPY_HALTED), D(ENDING), {A(LATER)}},
	{D(ENDING), E(COPY_UNKNOWN), D(ENDING), {A(LATER)}},
	{D(ENDING), E(FROZEN), D(ENDING), {A(NONE)}},
	{D(ENDING), E(JOURNALLED), D(ENDING), {A(NONE)}},
	{D(ENDING), E(REFUSED), D(ENDING), {A(NONE)}},
	{D(ENDING), E(DOUBT), D(ENDING), {A(NONE)}},
	{D(ENDING), E(RELEASE), D(ENDING), {A(SEND_NACK)}},
	{D(ENDING), E(ABORT), D(ENDING), {A(NONE)}},
	{D(ENDING), E(LINK_LOST), D(ENDING), {A(NONE)}},
	{D(ENDING), E(LINK_UP), D(ENDING), {A(SEND_NACK)}},
	{D(ENDING), E(STOP), D(ENDING), {A(NONE)}},

	{D(VOID), E(LINK_LOST), D(VOID), {A(NONE)}},
	{D(VOID), E(COPY_GONE), D(VOID), {A(NONE)}},
	{D(VOID), E(COPY_UNKNOWN), D(VOID), {A(NONE)}},
	{D(VOID), E(STOP), D(VOID), {A(NONE)}},
	{D(DONE), E(JOURNALLED), D(DONE), {A(NONE)}},
	{D(DONE), E(REFUSED), D(DONE), {A(NONE)}},
	{D(DONE), E(DOUBT), D(DONE), {A(NONE)}},
	{D(DONE), E(LINK_LOST), D(DONE), {A(NONE)}},
	{D(DONE), E(STOP), D(DONE), {A(NONE)}},
};

static struct transfer_step find(const struct row *rows, size_t count, int state,
				 enum transfer_event event)
{
	struct transfer_step step = {.legal = false, .next = state};

	for (size_t i = 0; i < count; i++)
		if (rows[i].state == state && rows[i].event == event) {
			step.legal = true;
			step.next = rows[i].next;
			memcpy(step.actions, rows[i].actions, sizeof(step.actions));
			break;
		}
	return step;
}

struct transfer_step source_step(enum source_state state, enum transfer_event event)
{
	return find(source_rows, ARRAY_SIZE(source_rows), (int)state, event);
}

struct transfer_step destination_step(enum destination_state state, enum transfer_event event)
{
	return find(destination_rows, ARRAY_SIZE(destination_rows), (int)state, event);
}

bool source_is_committed(enum source_state state)
{
	return state == SOURCE_DECIDING || state == SOURCE_RELEASED || state == SOURCE_CONFIRMING ||
	       state == SOURCE_RECLAIMING || state == SOURCE_MOVED;
}

bool source_can_stop(enum source_state state)
{
	return state <= SOURCE_COMMITTING;
}

bool destination_can_stop(enum destination_state state)
{
	return state <= DESTINATION_CHECKING;
}

/* Columns: copy gone, paused, running, halted, unknown. */
static const enum recovery recoveries[_CUSTODY_RECORD_MAX][5] = {
	[CUSTODY_PREP] = {RECOVERY_ASK, RECOVERY_ABORT, RECOVERY_ABORT, RECOVERY_ABORT,
			  RECOVERY_LATER},
	/* SR3: whatever libvirt says or does not say; the copy is frozen. */
	[CUSTODY_RELEASED] = {RECOVERY_AWAIT_ANSWER, RECOVERY_AWAIT_ANSWER, RECOVERY_AWAIT_ANSWER,
			      RECOVERY_AWAIT_ANSWER, RECOVERY_AWAIT_ANSWER},
	[CUSTODY_ABORTED] = {RECOVERY_ASK, RECOVERY_RUN, RECOVERY_RUN, RECOVERY_RUN,
			     RECOVERY_LATER},
	[CUSTODY_RECLAIM] = {RECOVERY_CLOSE, RECOVERY_RUN, RECOVERY_RUN, RECOVERY_RUN,
			     RECOVERY_LATER},
	[CUSTODY_RECV] = {RECOVERY_VOID, RECOVERY_VOID, RECOVERY_VOID, RECOVERY_VOID,
			  RECOVERY_LATER},
	[CUSTODY_PREPARED] = {RECOVERY_VOID, RECOVERY_AWAIT_RELEASE, RECOVERY_AWAIT_RELEASE,
			      RECOVERY_AWAIT_RELEASE, RECOVERY_LATER},
	[CUSTODY_OWN] = {RECOVERY_BOOT, RECOVERY_RUN, RECOVERY_RUN, RECOVERY_RUN, RECOVERY_LATER},
	[CUSTODY_DONE] = {RECOVERY_NOTHING, RECOVERY_NOTHING, RECOVERY_NOTHING, RECOVERY_NOTHING,
			  RECOVERY_NOTHING},
	[CUSTODY_VOID] = {RECOVERY_NOTHING, RECOVERY_NOTHING, RECOVERY_NOTHING, RECOVERY_NOTHING,
			  RECOVERY_NOTHING},
};

enum recovery transfer_recovery(enum custody_record record, enum transfer_event copy)
{
	if (copy < E(COPY_GONE) || copy > E(COPY_UNKNOWN))
		return RECOVERY_LATER;
	return recoveries[record][copy - E(COPY_GONE)];
}
