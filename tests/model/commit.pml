/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model of the hand-off commit: source, destination, both libvirtds, both QEMUs, both wardens, the
 * owner with `virsh`, and a hostile network.
 *
 * The code that this file is about is the pure state machine of the mover; README.md beside this
 * file holds the same transitions as tables.  Numbers: "step n" are the steps of the protocol,
 * Rn the rules, Wn the crash windows (what libvirt 9.0.0 was observed to do by itself).
 *
 *   step 1  S journals PREP, Begin3, Prepare3          Source: S1a S1b S1c
 *   step 2  D journals RECV, prepares                  Dest:   D2a D2b
 *   step 3  Perform3, source CPUs stop                 SrcLibvirt: L3, Source: S4
 *   step 4  Finish3 (PAUSED), freeze, PREPARED, VOTE   Source: S4, Dest: D4a..D4f, DstLibvirt: M4
 *   step 5  freeze, check, RELEASED (commit), RELEASE  Source: S5a S5f S5g S5b S5c
 *   step 6  D journals OWN, thaws, resumes, defines,   Dest:   D6a D6b D6c D6p D6q D6z
 *           ACK, DONE
 *   step 7  kill, undefine, DONE(moved)                Source: S7a..S7d, SrcLibvirt: L7, Wardens: WK
 *   abort   ABORTED, thaw, runs, DONE(kept), ABORT     Source: A1..A6, SrcLibvirt: LA, Dest: DA
 *   R1      worker token; PREP after a restart         Source: S5b, recovery SR1 SR2, F1..F6
 *   R2      ABORT only from DONE(kept); re-decision    Source: A6, F1 F2
 *   R3      Confirm(0) only after ACK                  Source: S7a (guard CONFIRM_OK), WK
 *   R4      lost copy: VOID, NACK; reclaim             Dest: DV1 DV2, Source: S6n
 *   R5      fence before libvirtd                      SrcLibvirt: W3a.. (guard FENCE)
 *   R6      managed + PAUSED, one process              SrcLibvirt: W6; DstLibvirt: M4
 *   R7      a copy that may not run is frozen          Source: S5f S5g, Dest: D4f, Wardens
 *   R8      a start that was allowed forbids release   Owner: O3, Source: F6
 *   R9      a statement is checked before it is used   Liar (with -DLIES)
 *   R10     a rolled-back journal is in doubt          Doubt (with -DROLLBACK)
 *   W1 W3a W3c W6 W8 W9 W14                            SrcLibvirt
 *   W2 W3b W10 W11                                     DstLibvirt, recovery DR*
 *   W12 W13 W15 W16                                    Faults: Q1 Q2 (a power cut is the death of a
 *                                                      QEMU, of its agent and of its libvirtd)
 *
 * Every transition is one d_step: one fsynced journal record or one libvirt call or one message.
 * A check through libvirt and the journal record that rests on it are two transitions (S5g, S5b).
 *
 * Frozen (sf, df): the QEMU process is stopped below libvirt.  sq == RUN && sf is a copy whose
 * `cont` was sent (by the owner, by libvirtd in W9) and waits for the thaw.  libvirt's calls about
 * a frozen copy are taken never to return; whether it is there is the warden's word.  A warden that
 * is dead is one that takes its time: what it froze stays stopped.
 *
 * policyd answers what is in its journal even when no agent lives (A6, D6d, DN1..DN3).
 *
 * Not here: W5 is a VOTE or an answer that does not come (A1 in VOTING; RELEASED, PREPARED wait);
 * W17 needs a host that never returns, then the survivor waits for the owner; W18 is refused;
 * journals that were pruned; the owner who sends SIGCONT to a frozen process as root.
 *
 * Messages are signed and bound to (hid, e), so a message of another hand-off is not modelled: it
 * is refused.  The network loses, duplicates, delays, reorders and replays whatever was ever sent.
 *
 * Failures: QEMU deaths, crashes of an agent, kill -9 of a libvirtd, a connection that the source's
 * libvirtd drops although the worker lives (frozen worker), a policyd that dies between a record
 * and its answer or refuses one with certainty (a TPM in trouble).  `calm` ends all failures and
 * the owner's acts at any moment; from there the model must come to rest in FINAL.
 *
 * Properties (see Monitor):
 *   no_double  never both copies running;
 *   no_lost    once the destination was PREPARED a complete copy exists, unless two QEMUs died or
 *              the copy that died was the one in use (source running, destination after OWN):
 *              that is an ordinary crash, the holder of custody boots the VM cold; or unless the
 *              owner decided (started the VM from its disk, accepted a rolled-back journal);
 *   no_stale   no copy is resumed after the other one ran, except the destination's when the
 *              source ran unseen: see "unseen" below;
 *   no_stuck   once failures end, the system rests with one running copy, closed journals and the
 *              VM defined exactly there (with `pan -l`: and it does come to rest, no cycle).
 *
 * "unseen": between ABORTED and DONE(kept) the source may have run or not when its QEMU and its
 * agent (or libvirtd) died, and so it may by the owner's resume in PREP.  No order of records can
 * tell.  The rule taken here (R2) is to release forward, which may set the guest back by the time
 * between the two records; NO_REDECIDE is the other choice and loses the copy after one QEMU death.
 *
 * Switches, each of which must break what the run script says.  One rule or choice left out each:
 * NO_PAUSED P2P NO_R1 NO_R2 NO_R3 NO_R4 NO_KEPT NO_REDECIDE NO_RESEND NO_STARTED, REFUSED_KILLS
 * (a certain refusal of OWN or RECLAIM is taken for the other decision), NO_REPEAT (a repeated
 * record is not answered), NO_ASK (no VOTE in hand means cold boot), FORWARD_GIVES_UP (a failed
 * release forward means cold boot), NO_DEFINE, NO_UNDEFINE.
 * Of the freeze: NO_FREEZE_S NO_FREEZE_D, LATE_FREEZE (after RELEASED), NO_RECHECK (what is frozen is
 * not looked at again), ASK_LIBVIRT (libvirt is asked about frozen copies), NO_THAW, OWNER_EARLY
 * (the owner resumes the incoming copy before the freeze: the limit of this design), and the ways
 * of before, FENCE_KILL, S_TIMEOUT, D_TIMEOUT.  With LIES: NO_CHECK, NO_ACCEPT.  With ROLLBACK:
 * NO_DOUBT, NOT_HELD_OPEN.  PINGPONG: a cycle, so that the search for cycles is seen to find one.
 * GOALS turns the outcomes that must be possible into "errors", so that they are seen found.
 *
 * TRACE: the observable transitions (SEES) happen only in the order of a file, see ./trace.
 */

#ifndef MAX_DEATHS
#define MAX_DEATHS	2
#endif
#ifndef MAX_CRASHES
#define MAX_CRASHES	2
#endif
#ifndef MAX_KILLS
#define MAX_KILLS	1
#endif
#ifndef MAX_DROPS
#define MAX_DROPS	1
#endif
#ifndef MAX_POLS
#define MAX_POLS	1
#endif

/* A QEMU.  INCOMING: destination only, the stream is not complete. */
#define GONE		0
#define PAUSED		1
#define RUN		2
#define INCOMING	3

/* Phase of the migration job in the source's libvirtd (saved in the status XML). */
#define J_NONE		0
#define J_BEGIN		1	/* BEGIN3 */
#define J_PERFORM	2	/* PERFORM3 */
#define J_DONE		3	/* PERFORM3_DONE */
#define J_CLEAN		4	/* client gone, cleaning up, CONFIRM3_CANCELLED saved */
#define J_CANCEL	5	/* Confirm(cancelled): CONFIRM3_CANCELLED, will resume */
#define J_CONFIRM	6	/* CONFIRM3, will kill */
/* ... and in the destination's. */
#define J_PREPARE	1	/* PREPARE, autodestroy armed */
#define J_FINISH	2	/* FINISH3 */

/* Source agent. */
#define S_DOWN		0
#define S_RECOVER	1
#define S_IDLE		2
#define S_PREPARING	3
#define S_TRANSFER	4
#define S_VOTING	5
#define S_COMMITTING	6
#define S_READY		7	/* frozen and looked at: RELEASED is asked for */
#define S_DECIDING	8	/* RELEASED is written, the answer was lost */
#define S_RELEASED	9
#define S_CONFIRMING	10
#define S_ABORTING	11
#define S_FORWARD	12
#define S_KEPT		13
#define S_MOVED		14
#define S_DOUBT		15	/* policyd: roll-back accepted, nobody asked yet */

/* Source journal: last record of this hid. */
#define SJ_NONE		0
#define SJ_PREP		1
#define SJ_RELEASED	2
#define SJ_ABORTED	3	/* ABORTED(hid, e) */
#define SJ_RECLAIMED	4	/* ABORTED(hid, e + 2), after a NACK */
#define SJ_KEPT		5	/* DONE(kept) */
#define SJ_MOVED	6	/* DONE(moved), or known to be elsewhere */

/* Destination agent. */
#define D_DOWN		0
#define D_RECOVER	1
#define D_IDLE		2
#define D_CHECKING	3
#define D_RECEIVING	4
#define D_FINISHING	5
#define D_PREPARED	6
#define D_OWNING	7
#define D_SETTLING	8
#define D_RUNNING	9
#define D_DONE		10
#define D_VOID		11

/* Destination journal. */
#define DJ_NONE		0
#define DJ_RECV		1
#define DJ_PREPARED	2
#define DJ_OWN		3
#define DJ_DONE		4
#define DJ_VOID		5

/* Messages between the agents. */
#define VOTE		1	/* D to S: I am PREPARED; repeated until answered */
#define ACK		2	/* D to S: I am OWN */
#define NACK		4	/* D to S: I am VOID, or do not know this hid */
#define RELEASE		8	/* S to D; repeated until answered */
#define ABORT		16	/* S to D: destroy; the answer to a VOTE in DONE(kept) */
#define ASK		32	/* S to D: VOTE or NACK? */
#define WHERE		64	/* S in doubt to D: do you hold the VM? */
#define HELD		128	/* D to S: yes */
#define NOT_HELD	256	/* D to S: no, and no hand-off of it is open here */

byte sq = RUN, sph = J_NONE, sst = S_IDLE, sj = SJ_NONE;
bool slv = true;	/* libvirtd is up */
bool sconn;		/* the connection that owns the migration job is up */
bool stok;		/* policyd's token of the worker that ran the migration (R1) */
bool s_saw;		/* this incarnation saw its domain run after the switch-over */
bool sf;		/* frozen by the warden */
bool sdef = true;	/* defined in libvirt */
bool started;		/* custody: a start from disk was allowed after ABORTED (R8) */

byte dq = GONE, dph = J_NONE, dst = D_IDLE, dj = DJ_NONE;
bool dlv = true;
bool dconn;		/* data connection S to D = the connection that called Prepare */
bool preq, fin;		/* Prepare3, Finish3 on their way on that connection */
bool df;
bool ddef;

/*
 * Messages.  Before `calm` a bit says "was sent at some time": the message can arrive at any moment
 * from now on and as often as the network likes, or never.  That is loss, delay, reordering,
 * duplication and replay at once, without a state for each.  At `calm` whatever did not arrive is
 * lost (what arrives later would as well have arrived before a later `calm`); from there on a bit
 * is a message in flight which arrives once.
 */
/* Steps of a run (TRACE): records, the wardens' acts, states. */
#define START		0
#define R_PREP		1
#define R_RELEASED	2
#define R_ABORTED	3
#define R_RECLAIM	4
#define R_S_DONE	5
#define R_RECV		6
#define R_PREPARED	7
#define R_OWN		8
#define R_VOID		9
#define R_D_DONE	10
#define W_S_FREEZE	20
#define W_S_THAW	21
#define W_S_KILL	22
#define W_D_FREEZE	23
#define W_D_THAW	24
#define W_D_KILL	25
#define STATE_S		40
#define STATE_D		41

#ifdef ROLLBACK
short net;
bool rolled;
#else
byte net;
#endif
#ifdef LIES
byte lie;		/* a statement of somebody else is in kithd's hands */
bool lied;
#endif

byte deaths, crashes, kills, drops, pols;
bool calm;

/* Ghosts: no transition of the design reads them. */
bool was_prepared;	/* D wrote PREPARED at some time */
bool ordinary;		/* the copy in use died, or the owner decided: cold boot is right */
bool cold;		/* somebody booted cold */
bool s_ran, d_ran;	/* source ran again after the switch-over, destination ran */
bool unseen;		/* s_ran, and no incarnation of S knows */
bool stale;		/* an overtaken copy was resumed */
bool no_double = true, no_lost = true, no_stale = true, no_stuck = true;

#define IN(m)		((net & (m)) != 0)
#define SEND(m)		net = net | (m)
#define TAKE(m)		net = (calm -> net & (511 - (m)) : net)

#ifdef TRACE
/* What a run showed, step by step: ./trace writes it, replay.h reads it. */
c_decl {
\#include "replay.h"
}
byte step;	/* how far the model came */
byte want = START, wardens;
byte dies;	/* how many QEMU deaths this run may have had */
int states;	/* for STATE_S, STATE_D: bit n is the model's state n */
byte gaps;	/* records that a policyd which was killed may have written without a line */
#define SEES(x)		&& (want == x || gaps > 0) -> shown = x
#define SEEN		; if :: want == shown -> SHOWN :: else -> gaps-- fi; shown = START
#define SHOWN		c_code { replay_on(&now.step, &now.want, &now.states); }
byte shown;
/* A warden's act; free if the run has no log of the wardens. */
#define WARDEN(x)	&& (want == x || !wardens)
#define WARDED		; if :: wardens -> SHOWN :: else fi
#else
#define SEES(x)
#define SEEN
#define WARDEN(x)
#define WARDED
#endif

#define S_EXECUTES	(sq == RUN && !sf)
#define D_EXECUTES	(dq == RUN && !df)
#define DOUBLE		(S_EXECUTES && D_EXECUTES)
#define D_COMPLETE	(dq == PAUSED || dq == RUN)
#define LOST		(was_prepared && !ordinary && deaths <= 1 && \
			 (cold || (sq == GONE && !D_COMPLETE)))
#ifdef GOALS
byte goal;
#define SAFE		(goal == 0)
#else
#define SAFE		(!DOUBLE && !LOST && !stale)
#endif
#define UNHARMED	(deaths + crashes + kills + drops + pols == 0 && !calm)

#define FINAL_KEPT	(sst == S_KEPT && S_EXECUTES && sdef && dq == GONE && \
			 ((dst == D_IDLE && dj == DJ_NONE) || (dst == D_VOID && dj == DJ_VOID)))
#define FINAL_MOVED	(sst == S_MOVED && sj == SJ_MOVED && sq == GONE && !sdef && \
			 dst == D_DONE && dj == DJ_DONE && D_EXECUTES && ddef)
#define FINAL		(slv && dlv && (FINAL_KEPT || FINAL_MOVED))

/* A copy starts to execute: is it overtaken by the other one? */
#define S_RUNS		stale = stale || d_ran; s_ran = true
#define D_RUNS		stale = stale || (s_ran && !unseen); d_ran = true
/* `cont` while it is frozen takes effect at the thaw. */
#define S_CONT		sq = RUN; if :: !sf -> S_RUNS :: else fi
#define D_CONT		dq = RUN; if :: !df -> D_RUNS :: else fi
#define S_THAW		sf = false; if :: sq == RUN -> S_RUNS; unseen = true :: else fi
#define D_THAW		df = false; if :: dq == RUN -> D_RUNS :: else fi
/* The process ends; a job whose client is there stays until that one was answered. */
#define S_DIES		sq = GONE; sf = false; sph = (sph == J_DONE -> J_DONE : J_NONE)
#define D_DIES		dq = GONE; df = false; dph = J_NONE

/* The worker is still in the phase that uses the data connection. */
#define S_HOLDS		(sst >= S_PREPARING && sst <= S_CONFIRMING)
#define S_BEFORE	(sst >= S_PREPARING && sst <= S_READY && sj == SJ_PREP)

/* R7: may the commit go on without a freeze?  Afterwards: is the copy held? */
#if defined(NO_FREEZE_S) || defined(LATE_FREEZE)
#define S_FREEZE
#define S_FROZEN	true
#else
#define S_FREEZE	sf = true
#define S_FROZEN	sf
#endif
#ifdef NO_FREEZE_D
#define D_FREEZE
#define D_HELD		(dlv && D_COMPLETE)
#define D_FROZEN	true
#else
#define D_FREEZE	df = true
#define D_FROZEN	df
#ifdef ASK_LIBVIRT
#define D_HELD		(dlv && !df && D_COMPLETE)
#else
#define D_HELD		(df && D_COMPLETE)
#endif
#endif

#ifdef NO_RESEND
#define RESEND		!calm	/* sent once, perhaps lost */
#else
#define RESEND		true
#endif

/* R3 */
#ifdef NO_R3
#define CONFIRM_OK	(sst == S_CONFIRMING || sst == S_RELEASED)
#else
#define CONFIRM_OK	(sst == S_CONFIRMING)
#endif

/* R5: before the source's libvirtd starts, every worker's incarnation ends and what is RELEASED is
 * frozen.  libvirtd itself is not held. */
#define UNRESOLVED	(sj == SJ_RELEASED && sq != GONE && sph != J_CONFIRM)
#ifdef NO_FENCE
#define REVOKE
#else
#define REVOKE		stok = false
#endif
#ifdef FENCE_KILL
#define FENCE		REVOKE; if :: UNRESOLVED -> S_DIES :: else fi
#else
#define FENCE		REVOKE
#endif

#ifdef NO_R1
#define TOKEN		true
#else
#define TOKEN		stok
#endif

active proctype Source() provided (SAFE)
{
end:	do
	/* ---- step 1 ---- */
	:: d_step { sst == S_IDLE && sj == SJ_NONE SEES(R_PREP) ->
		printf("S1a source journals PREP\n");
		sj = SJ_PREP; sst = S_PREPARING; stok = true SEEN }
	:: d_step { sst == S_PREPARING && slv && sq == RUN && sph == J_NONE && sj == SJ_PREP &&
		    stok && !preq && !dconn && (dst == D_IDLE || dst == D_CHECKING) ->
		printf("S1b Begin3; Prepare3 sent\n");
		sph = J_BEGIN; sconn = true; preq = true }
	:: d_step { sst == S_PREPARING && slv && sconn && sph == J_BEGIN && dconn &&
		    dph == J_PREPARE ->
		printf("S1c Prepare3 answered; Perform3 starts\n");
		sph = J_PERFORM; sst = S_TRANSFER }
	/* ---- steps 3, 4 ---- */
	:: d_step { sst == S_TRANSFER && slv && sconn && sph == J_DONE ->
		printf("S4  Perform3 returned; Finish3(0) sent\n");
		fin = dconn; sst = S_VOTING }
	/* ---- step 5 ---- */
	:: d_step { sst == S_VOTING && sj == SJ_PREP && IN(VOTE) &&
		    slv && sconn && sph == J_DONE && sq == PAUSED ->
		printf("S5a VOTE valid, job held, domain paused\n");
		TAKE(VOTE); sst = S_COMMITTING }
#ifndef NO_FREEZE_S
	:: d_step { sst == S_COMMITTING && sq != GONE && !sf WARDEN(W_S_FREEZE) ->
		printf("S5f source copy frozen\n");
		S_FREEZE WARDED }
#endif
#ifdef NO_RECHECK
	:: d_step { sst == S_COMMITTING && S_FROZEN ->
#else
	:: d_step { sst == S_COMMITTING && S_FROZEN &&
		    slv && sconn && sph == J_DONE && sq == PAUSED ->
#endif
		printf("S5g looked again: job held, domain paused\n");
		sst = S_READY }
	:: d_step { sst == S_READY && sj == SJ_PREP && TOKEN SEES(R_RELEASED) ->
		printf("S5b source journals RELEASED: commit point\n");
		sj = SJ_RELEASED; sst = S_RELEASED; unseen = false SEEN }
	:: d_step { sst == S_READY && sj == SJ_PREP && TOKEN && !calm &&
		    pols < MAX_POLS SEES(R_RELEASED) ->
		printf("S5d source journals RELEASED *** and policyd dies before it answers\n");
		sj = SJ_RELEASED; stok = false; unseen = false; pols++; sst = S_DECIDING SEEN }
#ifdef NO_REPEAT
	:: d_step { sst == S_DECIDING && TOKEN ->
#else
	:: d_step { sst == S_DECIDING ->
#endif
		printf("S5r asked again: RELEASED is written\n");
		sst = S_RELEASED }
	:: d_step { (sst == S_RELEASED || sst == S_DECIDING) && !IN(RELEASE) && RESEND ->
		printf("S5c RELEASE sent\n");
		SEND(RELEASE) }
	/* ---- step 7 ---- */
	:: d_step { sst == S_RELEASED && IN(ACK) ->
		printf("S6a ACK received and accepted\n");
		TAKE(ACK); sst = S_CONFIRMING }
	:: d_step { CONFIRM_OK && slv && sconn && sph == J_DONE && sq == PAUSED ->
		printf("S7a Finish3 reply let through; Confirm3(0)\n");
		sph = J_CONFIRM; sconn = false }
	:: d_step { CONFIRM_OK && slv && sph == J_NONE && sq != GONE ->
		printf("S7b no job any more: source copy destroyed\n");
		S_DIES }
	:: d_step { sst == S_CONFIRMING && slv && sq == GONE && sdef ->
		printf("S7u source definition removed\n");
		sdef = false }
#ifdef NO_UNDEFINE
	:: d_step { sst == S_CONFIRMING && sq == GONE SEES(R_S_DONE) ->
#else
	:: d_step { sst == S_CONFIRMING && sq == GONE && !sdef SEES(R_S_DONE) ->
#endif
		printf("S7d source journals DONE(moved)\n");
		sj = SJ_MOVED; sst = S_MOVED SEEN }
#ifdef S_TIMEOUT
	:: d_step { sst == S_RELEASED && sq != GONE ->
		printf("X1  no answer: source copy thawed and resumed\n");
		sf = false; S_CONT }
#endif
	/* ---- R4 ---- */
	:: d_step { sst == S_RELEASED && IN(NACK) SEES(R_RECLAIM) ->
		printf("S6n NACK received; source journals ABORTED(e+2): reclaim\n");
		TAKE(NACK); sj = SJ_RECLAIMED; sst = S_ABORTING SEEN }
	:: d_step { sst == S_RELEASED && IN(NACK) && !calm && pols < MAX_POLS ->
		printf("S6x *** policyd refuses the reclaim: nothing changes\n");
#ifdef REFUSED_KILLS
		S_DIES;
#endif
		pols++ }
	/* ---- abort: cancel, deadline, error, refused token, peer's NACK, revoked token ---- */
	:: d_step { S_BEFORE && !(slv && sq == GONE) SEES(R_ABORTED) ->
		printf("A1  source journals ABORTED\n");
		sj = SJ_ABORTED; sst = S_ABORTING SEEN }
	:: d_step { sst == S_ABORTING && slv && sconn && (sph == J_BEGIN || sph == J_PERFORM) ->
		printf("A2  job aborted before the switch-over\n");
		sph = J_NONE; sconn = false }
	:: d_step { sst == S_ABORTING && slv && sconn && sph == J_DONE && sq != GONE ->
		printf("A3  Finish3 error let through: Confirm3(cancelled)\n");
		sph = J_CANCEL }
	:: d_step { sst == S_ABORTING && slv && !sf && sph == J_NONE && sq == PAUSED ->
		printf("A4  source copy resumed\n");
		S_CONT; s_saw = true }
#ifdef BELIEVE_FROZEN
	:: d_step { sst == S_ABORTING && slv && sph == J_NONE && sq == RUN ->
#else
	:: d_step { sst == S_ABORTING && slv && !sf && sph == J_NONE && sq == RUN SEES(R_S_DONE) ->
#endif
		printf("A5  source runs: source journals DONE(kept)\n");
		sj = SJ_KEPT; sst = S_KEPT; s_saw = false; unseen = false SEEN }
	:: d_step { sj == SJ_KEPT && IN(VOTE) && !IN(ABORT) ->
		printf("A6  VOTE answered with ABORT\n");
		TAKE(VOTE); SEND(ABORT) }
#ifdef NO_R2
	:: d_step { sst == S_ABORTING && !IN(ABORT) ->
		printf("A6' ABORT sent at once\n");
		SEND(ABORT) }
#endif
	/* ---- source copy gone before the commit: release forward (R1, R2) ---- */
	:: d_step { S_BEFORE && slv && sq == GONE ->
		printf("F1  source copy gone in PREP: ask the destination\n");
		sconn = false; sst = S_FORWARD }
#ifdef NO_REDECIDE
	:: d_step { sst == S_ABORTING && slv && sq == GONE SEES(R_S_DONE) ->
		printf("F2' source copy gone after ABORTED: DONE(kept)\n");
		sconn = false; sj = SJ_KEPT; sst = S_KEPT SEEN }
#else
	:: d_step { sst == S_ABORTING && slv && sq == GONE && sj == SJ_ABORTED && !s_saw &&
		    !started ->
		printf("F2  source copy gone in ABORTED before it ran: ask the destination\n");
		sconn = false; sst = S_FORWARD }
	:: d_step { sst == S_ABORTING && slv && sq == GONE &&
		    (sj == SJ_RECLAIMED || s_saw || started) SEES(R_S_DONE) ->
		printf("F2k source copy gone after it ran, or reclaimed: DONE(kept)\n");
		sconn = false; sj = SJ_KEPT; sst = S_KEPT; s_saw = false; unseen = false SEEN }
#endif
	:: d_step { (sst == S_FORWARD || sj == SJ_ABORTED) && !IN(ASK) && RESEND ->
		printf("F3a ASK sent\n");
		SEND(ASK) }
	:: d_step { sst == S_FORWARD && IN(VOTE) && !started SEES(R_RELEASED) ->
		printf("F3  VOTE, source copy gone: source journals RELEASED\n");
		TAKE(VOTE); sj = SJ_RELEASED; sst = S_RELEASED SEEN }
	:: d_step { sst == S_FORWARD && IN(VOTE) && !calm && pols < MAX_POLS ->
		printf("F3x *** policyd dies before RELEASED or refuses it: asked again\n");
#ifdef FORWARD_GIVES_UP
		sj = SJ_KEPT; sst = S_KEPT;
#endif
		pols++ }
	:: d_step { sst == S_FORWARD && IN(NACK) SEES(R_S_DONE) ->
		printf("F4  NACK, source copy gone: source journals DONE(kept)\n");
		TAKE(NACK); sj = SJ_KEPT; sst = S_KEPT SEEN }
#ifdef NO_ASK
	:: d_step { sst == S_FORWARD SEES(R_S_DONE) ->
		printf("F4' no VOTE in hand: source journals DONE(kept)\n");
		sj = SJ_KEPT; sst = S_KEPT SEEN }
#endif
	:: d_step { sst == S_FORWARD && sj == SJ_PREP SEES(R_ABORTED) ->
		printf("F5  no word yet: source journals ABORTED, the owner may start the VM\n");
		sj = SJ_ABORTED SEEN }
	:: d_step { sst == S_FORWARD && started ->
		printf("F6  RELEASED is refused, the VM was started here\n");
		sst = S_ABORTING }
	:: d_step { sst == S_KEPT && slv && sph == J_NONE && sq == GONE ->
		printf("A7  source boots the VM cold\n");
		cold = true; S_CONT }
	/* ---- recovery ---- */
	:: d_step { sst == S_DOWN ->
		printf("SR0 source agent restarts\n");
		sst = S_RECOVER }
#ifdef ASK_LIBVIRT
	:: d_step { sst == S_RECOVER && sj == SJ_PREP && slv && !sf && sq != GONE SEES(R_ABORTED) ->
#else
	:: d_step { sst == S_RECOVER && sj == SJ_PREP && (slv || sf) && sq != GONE SEES(R_ABORTED) ->
#endif
		printf("SR1 PREP, copy present: source journals ABORTED\n");
		sj = SJ_ABORTED; sst = S_ABORTING SEEN }
#ifdef NO_R1
	:: d_step { sst == S_RECOVER && sj == SJ_PREP && slv && IN(VOTE) ->
		printf("SR1' PREP, VOTE: another incarnation journals RELEASED\n");
		TAKE(VOTE); sj = SJ_RELEASED; sst = S_RELEASED }
#endif
	:: d_step { sst == S_RECOVER && sj == SJ_PREP && slv && sq == GONE ->
		printf("SR2 PREP, copy gone: ask the destination\n");
		sst = S_FORWARD }
#ifdef NO_KEPT
	:: d_step { sst == S_RECOVER && sj == SJ_KEPT && slv && sq == GONE ->
		printf("SR6' ABORTED is the last record, copy gone: ask the destination\n");
		sst = S_FORWARD }
	:: d_step { sst == S_RECOVER && sj == SJ_KEPT && slv && sq != GONE ->
		sst = S_KEPT }
#else
	:: d_step { sst == S_RECOVER && sj == SJ_KEPT ->
		printf("SR6 DONE(kept)\n");
		sst = S_KEPT }
#endif
	:: d_step { sst == S_RECOVER && sj == SJ_RELEASED ->
		printf("SR3 RELEASED: RELEASE again until ACK or NACK\n");
		sst = S_RELEASED }
	:: d_step { sst == S_RECOVER && (sj == SJ_ABORTED || sj == SJ_RECLAIMED) ->
		printf("SR4 ABORTED: make the source run\n");
		sst = S_ABORTING }
	:: d_step { sst == S_RECOVER && sj == SJ_MOVED ->
		printf("SR5 DONE(moved)\n");
		sst = S_MOVED }
	od
}

/* What the source's libvirt does by itself. */
active proctype SrcLibvirt() provided (SAFE)
{
end:	do
	:: d_step { slv && sconn && sph == J_PERFORM && sq == RUN &&
		    dconn && dlv && dph == J_PREPARE && dq == INCOMING ->
		printf("L3  switch-over: source CPUs stopped, PERFORM3_DONE\n");
		sq = PAUSED; sph = J_DONE }
	:: d_step { slv && !sconn && (sph == J_BEGIN || sph == J_PERFORM) ->
		printf("W1/W3c client gone: job dropped, source runs on\n");
		sph = J_NONE }
#ifdef P2P
	:: d_step { slv && !sconn && sph == J_DONE ->
		printf("P2P relay gone: source libvirtd resumes the source\n");
		if
		:: sq == PAUSED -> S_CONT; unseen = unseen || !sf
		:: else
		fi;
		sph = J_NONE }
#else
	:: d_step { slv && !sconn && sph == J_DONE ->
		printf("W6/W7 client gone: libvirtd cleans up\n");
		sph = J_CLEAN }
#endif
	:: d_step { slv && !sf && sph == J_CLEAN ->
		printf("W6/W7 clean: source stays paused, job gone\n");
		sph = J_NONE }
	:: d_step { slv && !sf && sph == J_CANCEL ->
		printf("LA  Confirm3(cancelled): source resumed\n");
		S_CONT; sph = J_NONE;
		if
		:: sconn -> s_saw = true
		:: else -> unseen = true
		fi;
		sconn = false }
	:: d_step { slv && sph == J_CONFIRM ->
		printf("L7  Confirm3(0): source copy killed\n");
		sq = GONE; sf = false; sph = J_NONE }
	/* libvirtd starts again, after the fence */
	:: d_step { !slv && (sph == J_NONE || sph == J_BEGIN || sph == J_PERFORM) ->
		printf("W3a source libvirtd restarts: copy as it was\n");
		FENCE; sph = J_NONE; slv = true }
	:: d_step { !slv && sph == J_DONE ->
		printf("W8  source libvirtd restarts: source stays paused, job gone\n");
		FENCE; sph = J_NONE; slv = true }
	:: d_step { !slv && (sph == J_CLEAN || sph == J_CANCEL) ->
		printf("W9  source libvirtd restarts in CONFIRM3_CANCELLED: source resumed\n");
		FENCE;
		if
		:: sq == PAUSED -> S_CONT; unseen = unseen || !sf
		:: else
		fi;
		sph = J_NONE; slv = true }
	:: d_step { !slv && sph == J_CONFIRM ->
		printf("W14 source libvirtd restarts in CONFIRM3: source copy killed\n");
		FENCE; sq = GONE; sf = false; sph = J_NONE; slv = true }
	od
}

active proctype Dest() provided (SAFE)
{
end:	do
	/* ---- step 2 ---- */
	:: d_step { dst == D_IDLE && dj == DJ_NONE SEES(R_RECV) ->
		printf("D2a granted: destination journals RECV\n");
		dj = DJ_RECV; dst = D_CHECKING SEEN }
	:: d_step { dst == D_CHECKING && preq && dlv ->
		printf("D2b Prepare3: destination QEMU waits for the stream\n");
		preq = false; dconn = true; dq = INCOMING; dph = J_PREPARE; dst = D_RECEIVING }
	:: d_step { dst == D_CHECKING SEES(R_VOID) ->
		printf("DV0 refused (policy, quota, connection): VOID, NACK\n");
		dj = DJ_VOID; dst = D_VOID; SEND(NACK) SEEN }
	/* ---- step 4 ---- */
	:: d_step { dst == D_RECEIVING && dconn && fin && dlv && dph == J_PREPARE ->
		printf("D4a Finish3(0) with PAUSED forced\n");
		fin = false; dph = J_FINISH; dst = D_FINISHING }
	:: d_step { dst == D_FINISHING && dlv && dph == J_NONE && D_COMPLETE &&
		    !df WARDEN(W_D_FREEZE) ->
		printf("D4f Finish3 returned: destination copy frozen\n");
		df = true WARDED }
	:: d_step { dst == D_FINISHING && dlv && dph == J_NONE && D_COMPLETE && df &&
		    !d_ran SEES(R_PREPARED) ->
		printf("D4b copy paused, no job, flushed: destination journals PREPARED\n");
#ifdef NO_FREEZE_D
		df = false;
#endif
		dj = DJ_PREPARED; dst = D_PREPARED; was_prepared = true SEEN }
	:: d_step { dst == D_FINISHING && dlv && dph == J_NONE && D_COMPLETE ->
		printf("DV3 check failed: copy destroyed\n");
		D_DIES }
	:: d_step { dst == D_FINISHING && df SEES(R_VOID) ->
		printf("DV4 given up, copy frozen: VOID, NACK\n");
		dj = DJ_VOID; dst = D_VOID; SEND(NACK) SEEN }
	:: d_step { dst == D_PREPARED && !IN(VOTE) ->
		printf("D4c VOTE sent\n");
		SEND(VOTE) }
	/* ---- step 6 ---- */
	:: d_step { dst == D_PREPARED && IN(RELEASE) && D_HELD SEES(R_OWN) ->
		printf("D6a RELEASE received, copy present: destination journals OWN\n");
		TAKE(RELEASE); dj = DJ_OWN; dst = D_OWNING SEEN }
	:: d_step { dst == D_PREPARED && IN(RELEASE) && D_HELD && !calm && pols < MAX_POLS ->
		printf("D6x *** policyd refuses OWN: nothing changes\n");
#ifdef REFUSED_KILLS
		D_DIES;
#endif
		pols++ }
	:: d_step { dst == D_OWNING && dlv && !df && dq == PAUSED ->
		printf("D6b destination copy resumed\n");
		D_CONT; dst = D_SETTLING }
#ifdef D_TIMEOUT
	:: d_step { dst == D_PREPARED && dq == PAUSED ->
		printf("X2  no answer: destination copy thawed and resumed\n");
		df = false; D_CONT }
#endif
	:: d_step { dst == D_OWNING && dlv && !df && dq == RUN ->
		printf("D6r destination copy runs already\n");
		dst = D_SETTLING }
	:: d_step { dst == D_OWNING && dlv && dq == GONE ->
		printf("D6c destination boots the VM cold\n");
		cold = true; ddef = true; D_CONT; dst = D_SETTLING }
	:: d_step { dst == D_SETTLING && dlv && dq != GONE && !ddef ->
		printf("D6p destination defines the VM\n");
		ddef = true }
#ifdef NO_DEFINE
	:: d_step { dst == D_SETTLING && dq != GONE ->
#else
	:: d_step { dst == D_SETTLING && ddef ->
#endif
		printf("D6q the VM runs and stays: ACK sent\n");
		dst = D_RUNNING; SEND(ACK) }
	:: d_step { (dj == DJ_OWN || dj == DJ_DONE) && IN(RELEASE) && !IN(ACK) ->
		printf("D6d RELEASE again: ACK again\n");
		TAKE(RELEASE); SEND(ACK) }
	:: d_step { (dst == D_RUNNING || dst == D_SETTLING) && dlv && dq == GONE ->
		printf("D6e ordinary crash at the destination\n");
		dst = D_OWNING }
	:: d_step { dst == D_RUNNING && dq != GONE SEES(R_D_DONE) ->
		printf("D6z destination journals DONE\n");
		dj = DJ_DONE; dst = D_DONE SEEN }
	:: d_step { dst == D_DONE && dlv && dq == GONE && ddef ->
		printf("D7  the VM is started again\n");
		cold = true; D_CONT }
	/* ---- abort ---- */
	:: d_step { dst == D_PREPARED && IN(ABORT) && D_FROZEN SEES(R_VOID) ->
		printf("DA  ABORT received, copy frozen: destination journals VOID, NACK\n");
#ifdef NO_FREEZE_D
		D_DIES;
#endif
		TAKE(ABORT); dj = DJ_VOID; dst = D_VOID; SEND(NACK) SEEN }
	/* ---- R4 ---- */
	:: d_step { (dst == D_RECEIVING || dst == D_FINISHING) && dlv && dph == J_NONE &&
		    dq == GONE SEES(R_VOID) ->
		printf("DV1 copy gone before PREPARED: VOID, NACK\n");
		dj = DJ_VOID; dst = D_VOID; SEND(NACK) SEEN }
#ifndef NO_R4
	:: d_step { dst == D_PREPARED && dq == GONE SEES(R_VOID) ->
		printf("DV2 copy gone before OWN: destination journals VOID, NACK\n");
		dj = DJ_VOID; dst = D_VOID; SEND(NACK) SEEN }
#endif
	/* ---- what policyd answers by its journal, whether or not an agent lives ---- */
	:: d_step { dj == DJ_VOID && IN(RELEASE) && !IN(NACK) ->
		printf("DN1 RELEASE in VOID: NACK\n");
		TAKE(RELEASE); SEND(NACK) }
	:: d_step { dj == DJ_VOID && IN(ASK) && !IN(NACK) ->
		printf("DN2 ASK in VOID: NACK\n");
		TAKE(ASK); SEND(NACK) }
	:: d_step { dj == DJ_NONE && IN(ASK) && !IN(NACK) ->
		printf("DN3 ASK for an unknown hand-off: NACK\n");
		TAKE(ASK); SEND(NACK) }
#ifdef PINGPONG
	:: d_step { dst == D_PREPARED && IN(ASK) ->
#else
	:: d_step { dst == D_PREPARED && IN(ASK) && !IN(VOTE) ->
#endif
		printf("DN4 ASK in PREPARED: VOTE\n");
		TAKE(ASK); SEND(VOTE) }
	/* ---- recovery ---- */
	:: d_step { dst == D_DOWN ->
		printf("DR0 destination agent restarts\n");
		dst = D_RECOVER }
	:: d_step { dst == D_RECOVER && dj == DJ_NONE ->
		printf("DR1 no record\n");
		dst = D_IDLE }
	:: d_step { dst == D_RECOVER && dj == DJ_RECV && dlv && dph == J_NONE SEES(R_VOID) ->
		printf("DR2 RECV: destroy what is there, VOID, NACK\n");
		D_DIES; dj = DJ_VOID; dst = D_VOID; SEND(NACK) SEEN }
	:: d_step { dst == D_RECOVER && dj == DJ_RECV && df SEES(R_VOID) ->
		printf("DR7 RECV, copy frozen: VOID, NACK\n");
		dj = DJ_VOID; dst = D_VOID; SEND(NACK) SEEN }
	:: d_step { dst == D_RECOVER && dj == DJ_PREPARED ->
		printf("DR3 PREPARED: VOTE again, or VOID if the copy is gone\n");
		dst = D_PREPARED }
	:: d_step { dst == D_RECOVER && dj == DJ_OWN ->
		printf("DR4 OWN: resume or boot, define, ACK\n");
		dst = D_OWNING }
	:: d_step { dst == D_RECOVER && dj == DJ_DONE ->
		printf("DR6 DONE\n");
		dst = D_DONE }
	:: d_step { dst == D_RECOVER && dj == DJ_VOID ->
		printf("DR5 VOID\n");
		dst = D_VOID }
	od
}

/* What the destination's libvirt does by itself. */
active proctype DstLibvirt() provided (SAFE)
{
end:	do
	:: d_step { dlv && dph == J_PREPARE && !dconn ->
		printf("W2  Prepare's connection closed: autodestroy\n");
		dq = GONE; dph = J_NONE }
	:: d_step { dlv && dph == J_FINISH ->
		printf("M4  Finish3 done: complete copy\n");
#ifdef NO_PAUSED
		D_CONT;
#else
		dq = PAUSED;
#endif
		dph = J_NONE }
	:: d_step { !dlv && dph == J_PREPARE ->
		printf("W2/W3b destination libvirtd restarts in PREPARE: copy killed\n");
		dq = GONE; dph = J_NONE; dlv = true }
	:: d_step { !dlv && dph == J_FINISH ->
		printf("W10 destination libvirtd restarts in FINISH3: copy killed\n");
		dq = GONE; dph = J_NONE; dlv = true }
	:: d_step { !dlv && dph == J_NONE ->
		printf("W10/W11 destination libvirtd restarts: copy as it was\n");
		dlv = true }
	od
}

/*
 * R7: the two wardens.  They obey the journal (policyd's markers) and nobody else, and need neither
 * libvirtd nor an agent.  FREEZE, which an agent asks for in PREP and RECV, is S5f and D4f.
 */
active proctype Wardens() provided (SAFE)
{
end:	do
#if defined(LATE_FREEZE) || defined(NO_R1)
	:: d_step { sj == SJ_RELEASED && !sf && sq != GONE ->
		printf("WF  RELEASED: source copy frozen\n");
		sf = true }
#endif
#ifndef NO_THAW
	:: d_step { (sj == SJ_ABORTED || sj == SJ_RECLAIMED || sj == SJ_KEPT) &&
		    sf WARDEN(W_S_THAW) ->
		printf("WT  custody is here: source copy thawed\n");
		S_THAW WARDED }
#endif
	:: d_step { sf && sj == SJ_RELEASED && (sst == S_CONFIRMING || IN(ACK)) WARDEN(W_S_KILL) ->
		printf("WK  policyd has the ACK: source copy killed\n");
		S_DIES WARDED }
	:: d_step { df && (dj == DJ_OWN || dj == DJ_DONE) WARDEN(W_D_THAW) ->
		printf("WTd OWN: destination copy thawed\n");
		D_THAW WARDED }
#ifndef NO_KILL
	:: d_step { df && dj == DJ_VOID WARDEN(W_D_KILL) ->
		printf("WKd VOID: destination copy killed\n");
		D_DIES WARDED }
#endif
	od
}

/* The owner with `virsh`, while no job of libvirt holds him off. */
active proctype Owner() provided (SAFE)
{
end:	do
	:: d_step { !calm && slv && sph == J_NONE && sq == PAUSED ->
		printf("O1  the owner resumes the source copy\n");
		S_CONT; unseen = unseen || !sf }
#ifdef OWNER_EARLY
	:: d_step { !calm && dlv && dph == J_NONE && dq == PAUSED ->
#else
	:: d_step { !calm && dlv && dph == J_NONE && dq == PAUSED && (df || dj != DJ_RECV) ->
#endif
		printf("O2  the owner resumes the destination copy\n");
		D_CONT }
	:: d_step { !calm && slv && sph == J_NONE && sq == GONE && sj == SJ_ABORTED ->
		printf("O3  the owner starts the VM from its disk at the source\n");
#ifndef NO_STARTED
		started = true;
#endif
		ordinary = true; cold = true; S_CONT; unseen = false }
	od
}

/* The data connection and the two requests on it; messages between the agents: see `net`. */
active proctype Network() provided (SAFE)
{
end:	do
	:: d_step { dconn && !S_HOLDS ->
		printf("N1  source closed the data connection\n");
		dconn = false; fin = false }
	:: d_step { dconn && !calm ->
		printf("N2  data connection cut\n");
		dconn = false; fin = false }
	:: d_step { preq && !calm ->
		printf("N3  Prepare3 lost\n");
		preq = false }
	od
}

#ifdef LIES
/*
 * R9: one statement that is not the peer's (another device signed it, a former holder, another
 * hand-off) and reaches policyd's inbox or the agent by the control channel.
 */
active proctype Liar() provided (SAFE)
{
end:	do
	:: d_step { !calm && !lied -> printf("V1  *** false VOTE\n"); lied = true; lie = VOTE }
	:: d_step { !calm && !lied -> printf("V2  *** false ACK\n"); lied = true; lie = ACK }
	:: d_step { !calm && !lied -> printf("V3  *** false NACK\n"); lied = true; lie = NACK }
	:: d_step { !calm && !lied -> printf("V4  *** false RELEASE\n"); lied = true; lie = RELEASE }
	:: d_step { !calm && !lied -> printf("V5  *** false ABORT\n"); lied = true; lie = ABORT }
#ifdef NO_CHECK
	:: d_step { lie != 0 ->
		printf("V6' it is kept and believed\n");
		SEND(lie); lie = 0 }
#else
#ifdef NO_ACCEPT
	:: d_step { lie == ABORT && dst == D_PREPARED && dq != GONE ->
		printf("V7' ABORT is obeyed before policyd is asked\n");
		D_DIES; lie = 0 }
	:: d_step { lie == ACK && sst == S_RELEASED && sq != GONE ->
		printf("V8' ACK is obeyed before policyd is asked\n");
		S_DIES; lie = 0 }
#endif
	:: d_step { lie != 0 ->
		printf("V6  policyd: not the peer's word for this hand-off, dropped\n");
		lie = 0 }
#endif
	od
}
#endif

#ifdef ROLLBACK
/* R10: S's journal and definition are those of before RELEASED, and the owner accepted that. */
active proctype Doubt() provided (SAFE)
{
end:	do
	:: d_step { !calm && !rolled && (sj == SJ_RELEASED || sj == SJ_MOVED) ->
		printf("B0  *** the source's journal is rolled back; the owner accepts it\n");
		rolled = true; ordinary = true; sconn = false; stok = false; sdef = true;
#ifdef NO_DOUBT
		sj = SJ_KEPT; sst = S_KEPT }
#else
		sj = SJ_NONE; sst = S_DOUBT }
#endif
	:: d_step { sst == S_DOUBT && !IN(WHERE) ->
		printf("B1  WHERE sent\n");
		SEND(WHERE) }
	:: d_step { IN(WHERE) && (dj == DJ_OWN || dj == DJ_DONE) && !IN(HELD) ->
		printf("B2  the destination holds it: HELD\n");
		TAKE(WHERE); SEND(HELD) }
	:: d_step { IN(WHERE) && dj == DJ_VOID && !IN(NOT_HELD) ->
		printf("B3  NOT_HELD\n");
		TAKE(WHERE); SEND(NOT_HELD) }
	:: d_step { IN(WHERE) && dst == D_PREPARED && df && !IN(NOT_HELD) ->
#ifdef NOT_HELD_OPEN
		printf("B3' NOT_HELD while the hand-off is open\n");
#else
		printf("B4  the source forgot a hand-off that is open: VOID, NOT_HELD\n");
		dj = DJ_VOID; dst = D_VOID;
#endif
		TAKE(WHERE); SEND(NOT_HELD) }
	:: d_step { sst == S_DOUBT && IN(HELD) ->
		printf("B5  HELD: the VM is elsewhere\n");
		TAKE(HELD); sj = SJ_MOVED; sst = S_MOVED }
	:: d_step { sst == S_DOUBT && IN(NOT_HELD) ->
		printf("B6  all peers ticked off: the VM is here\n");
		TAKE(NOT_HELD); sj = SJ_KEPT; sst = S_KEPT }
	:: d_step { sf && sj == SJ_MOVED ->
		printf("B7  elsewhere: frozen source copy killed\n");
		S_DIES }
	:: d_step { sst == S_MOVED && slv && sq == GONE && sdef ->
		printf("B8  elsewhere, not running: definition replaced\n");
		sdef = false }
	:: d_step { sst == S_KEPT && slv && !sf && sph == J_NONE && sq == PAUSED ->
		printf("B9  here: the owner resumes it\n");
		S_CONT }
	od
}
#endif

active proctype Faults() provided (SAFE)
{
end:	do
#ifndef TRACE
	:: d_step { !calm ->
		printf("--- no failures from here on ---\n");
		calm = true; net = 0; crashes = 0; kills = 0; drops = 0; pols = 0 }
#endif
	:: d_step { !calm && sq != GONE && deaths < MAX_DEATHS ->
		printf("Q1  *** source QEMU dies (W3d, W12, W15)\n");
		ordinary = ordinary || S_EXECUTES || !was_prepared;
		S_DIES; deaths++ }
	:: d_step { !calm && dq != GONE && deaths < MAX_DEATHS ->
		printf("Q2  *** destination QEMU dies (W3c, W13, W16)\n");
		ordinary = ordinary || dj == DJ_OWN || dj == DJ_DONE;
		D_DIES; deaths++ }
	:: d_step { !calm && sst != S_DOWN && sst != S_IDLE && sst != S_DOUBT &&
		    crashes < MAX_CRASHES ->
		printf("C1  *** source agent dies\n");
		unseen = unseen || s_saw;
		sst = S_DOWN; sconn = false; stok = false; s_saw = false; crashes++ }
	:: d_step { !calm && dst != D_DOWN && crashes < MAX_CRASHES ->
		printf("C2  *** destination agent dies\n");
		dst = D_DOWN; dconn = false; fin = false; crashes++ }
	:: d_step { !calm && slv && sj != SJ_NONE && kills < MAX_KILLS ->
		printf("C3  *** source libvirtd dies\n");
		slv = false; sconn = false; kills++ }
	:: d_step { !calm && dlv && dj != DJ_NONE && kills < MAX_KILLS ->
		printf("C4  *** destination libvirtd dies\n");
		dlv = false; dconn = false; fin = false; kills++ }
	:: d_step { !calm && slv && sconn && drops < MAX_DROPS ->
		printf("C5  *** source libvirtd drops a frozen worker's connection\n");
		sconn = false; drops++ }
	od
}

/*
 * The only process that moves in an unsafe state, so that one violation does not breed others.
 * Goals: 1 moved, nothing failed; 2 cancelled after PREPARED, nothing failed; 3 reclaimed:
 * destination lost after RELEASED, source copy runs; 4 released forward: source lost in PREP or
 * ABORTED, destination copy runs; 5 moved in spite of every agent, libvirtd, policyd and connection
 * failure of the budget; 6 cold boot at the destination; 7 both copies lost, cold boot at the
 * source; 8 the owner's start from disk wins over a complete copy.
 */
active proctype Monitor()
{
end:	do
#ifdef TRACE
	:: d_step { want == START ->
		c_code { now.wardens = replay_load(&now.step, &now.want, &now.states);
			 now.dies = replay_limit("TRACE_DEATHS");
			 now.gaps = replay_limit("TRACE_GAPS"); } }
	/* A state that the log names is where the model is, or may be. */
	:: d_step { (want == STATE_S && (states >> sst) & 1) ||
		    (want == STATE_D && (states >> dst) & 1) -> SHOWN }
#elif defined(GOALS)
	:: atomic { SAFE && FINAL_MOVED && UNHARMED && !cold -> goal = 1; assert(goal != 1) }
	:: atomic { SAFE && FINAL_KEPT && UNHARMED && was_prepared -> goal = 2; assert(goal != 2) }
	:: atomic { SAFE && FINAL_KEPT && deaths == 1 && !cold && IN(RELEASE) && !calm ->
		    goal = 3; assert(goal != 3) }
	:: atomic { SAFE && FINAL_MOVED && !cold && deaths == 1 && IN(ASK) && !calm ->
		    goal = 4; assert(goal != 4) }
	:: atomic { SAFE && FINAL_MOVED && !cold && crashes == MAX_CRASHES && kills == MAX_KILLS &&
		    drops == MAX_DROPS && pols == MAX_POLS -> goal = 5; assert(goal != 5) }
	:: atomic { SAFE && FINAL_MOVED && calm && cold -> goal = 6; assert(goal != 6) }
	:: atomic { SAFE && FINAL_KEPT && calm && cold && deaths == 2 && was_prepared ->
		    goal = 7; assert(goal != 7) }
	:: atomic { SAFE && FINAL_KEPT && started && IN(VOTE) -> goal = 8; assert(goal != 8) }
#else
	:: atomic { no_double && DOUBLE -> no_double = false; assert(no_double) }
	:: atomic { no_lost && LOST && !DOUBLE -> no_lost = false; assert(no_lost) }
	:: atomic { no_stale && stale && !DOUBLE && !LOST -> no_stale = false; assert(no_stale) }
	:: atomic { timeout && SAFE && no_stuck && !FINAL -> no_stuck = false; assert(no_stuck) }
#endif
	od
}
