/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model of the hand-off commit: source, destination, both libvirtds, both QEMUs, a hostile network.
 *
 * The code that this file is about is the pure state machine of the mover; README.md beside this
 * file holds the same transitions as tables.  Numbers: "step n" are the steps of the protocol,
 * Rn the rules, Wn the crash windows (what libvirt 9.0.0 was observed to do by itself).
 *
 *   step 1  S journals PREP, Begin3, Prepare3          Source: S1a S1b S1c
 *   step 2  D journals RECV, prepares                  Dest:   D2a D2b
 *   step 3  Perform3, source CPUs stop                 SrcLibvirt: L3, Source: S3
 *   step 4  Finish3 (PAUSED), PREPARED, VOTE           Source: S4, Dest: D4a..D4c, DstLibvirt: M4
 *   step 5  check, RELEASED (commit point), RELEASE    Source: S5a S5b S5c
 *   step 6  D journals OWN, resumes, ACK               Dest:   D6a D6b D6c
 *   step 7  Confirm(0), DONE(moved)                    Source: S7a..S7d, SrcLibvirt: L7
 *   abort   ABORTED, source runs, DONE(kept), ABORT    Source: A1..A6, SrcLibvirt: LA, Dest: DA
 *   R1      worker token; PREP after a restart         Source: S5b, recovery SR1 SR2, F1..F4
 *   R2      ABORT only from DONE(kept); re-decision    Source: A6, F1 F2
 *   R3      Confirm(0) only after ACK                  Source: S7a (guard CONFIRM_OK)
 *   R4      lost copy: VOID, NACK; reclaim             Dest: DV1 DV2, Source: S6n
 *   R5      fence before libvirtd                      SrcLibvirt: WR (guards HOLD, REVOKE)
 *   R6      managed + PAUSED, one process              SrcLibvirt: W6; DstLibvirt: M4
 *   W1 W3a W3c W6 W8 W9 W14                            SrcLibvirt
 *   W2 W3b W10 W11                                     DstLibvirt, recovery DR*
 *   W12 W13 W15 W16                                    Faults: Q1 Q2 (a power cut is the death of a
 *                                                      QEMU, of its agent and of its libvirtd)
 *
 * Every transition is one d_step: one fsynced journal record or one libvirt call or one message.
 * A check through libvirt and the journal record that rests on it are two transitions (S5a, S5b).
 *
 * Not here: W5 is a VOTE or an answer that does not come (A1 in VOTING; RELEASED, PREPARED wait);
 * W17 needs a host that never returns, then the survivor waits for the owner; W18 is refused.
 *
 * Messages are signed and bound to (hid, e), so a message of another hand-off is not modelled: it
 * is refused.  The network loses, duplicates, delays, reorders and replays whatever was ever sent.
 *
 * Failures: 2 QEMU deaths, 4 crashes of an agent, 2 kill -9 of a libvirtd, one connection that the
 * source's libvirtd drops although the worker lives (frozen worker).  `calm` ends all failures at
 * any moment; from there the model must come to rest in FINAL.
 *
 * Properties (see Monitor):
 *   no_double  never both copies running;
 *   no_lost    once the destination was PREPARED a complete copy exists, unless two QEMUs died or
 *              the copy that died was the one in use (source running, destination after OWN):
 *              that is an ordinary crash, the holder of custody boots the VM cold;
 *   no_stale   no copy is resumed after the other one ran, except the destination's when the
 *              source ran unseen: see "unseen" below;
 *   no_stuck   once failures end, the system rests with one running copy and closed journals
 *              (with `pan -l`: and it does come to rest, there is no cycle).
 *
 * "unseen": between ABORTED and DONE(kept) the source may have run or not when its QEMU and its
 * agent (or libvirtd) died.  No order of records can tell.  The rule taken here (R2) is to release
 * forward, which may set the guest back by the time between the two records; NO_REDECIDE is the
 * other choice and loses the copy after one QEMU death.
 *
 * Switches, each of which must break what the run script says.  One rule or choice left out each:
 * NO_PAUSED P2P NO_FENCE NO_R1 NO_R2 NO_R3 NO_R4.  Finer ones: NO_HOLD (the fence does not hold
 * libvirtd), NO_REVOKE (it does not end the worker's incarnation), FENCE_KILL (it kills the source
 * copy instead of holding), NO_REDECIDE, NO_KEPT (no record after ABORTED that the source runs),
 * S_TIMEOUT and D_TIMEOUT (somebody resumes because nobody answers), NO_RESEND, PINGPONG (a cycle,
 * so that the search for cycles is seen to find one).  GOALS turns the outcomes that must be
 * possible into "errors", so that the run script sees them found.
 */

#ifndef MAX_DEATHS
#define MAX_DEATHS	2
#endif
#ifndef MAX_CRASHES
#define MAX_CRASHES	4
#endif
#ifndef MAX_KILLS
#define MAX_KILLS	2
#endif
#ifndef MAX_DROPS
#define MAX_DROPS	1
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
#define S_RELEASED	7
#define S_CONFIRMING	8
#define S_ABORTING	9
#define S_FORWARD	10
#define S_KEPT		11
#define S_MOVED		12

/* Source journal: last record of this hid. */
#define SJ_NONE		0
#define SJ_PREP		1
#define SJ_RELEASED	2
#define SJ_ABORTED	3	/* ABORTED(hid, e) */
#define SJ_RECLAIMED	4	/* ABORTED(hid, e + 2), after a NACK */
#define SJ_KEPT		5	/* DONE(kept) */
#define SJ_MOVED	6	/* DONE(moved) */

/* Destination agent. */
#define D_DOWN		0
#define D_RECOVER	1
#define D_IDLE		2
#define D_CHECKING	3
#define D_RECEIVING	4
#define D_FINISHING	5
#define D_PREPARED	6
#define D_OWNING	7
#define D_RUNNING	8
#define D_VOID		9

/* Destination journal. */
#define DJ_NONE		0
#define DJ_RECV		1
#define DJ_PREPARED	2
#define DJ_OWN		3
#define DJ_VOID		4

/* Messages between the agents. */
#define VOTE		1	/* D to S: I am PREPARED; repeated until answered */
#define ACK		2	/* D to S: I am OWN and the VM runs */
#define NACK		4	/* D to S: I am VOID */
#define RELEASE		8	/* S to D; repeated until answered */
#define ABORT		16	/* S to D: destroy; the answer to a VOTE in DONE(kept) */
#define ASK		32	/* S to D: VOTE or NACK? */

byte sq = RUN, sph = J_NONE, sst = S_IDLE, sj = SJ_NONE;
bool slv = true;	/* libvirtd is up */
bool sconn;		/* the connection that owns the migration job is up */
bool stok;		/* policyd's token of the worker that ran the migration (R1) */
bool s_saw;		/* this incarnation saw its domain run after the switch-over */

byte dq = GONE, dph = J_NONE, dst = D_IDLE, dj = DJ_NONE;
bool dlv = true;
bool dconn;		/* data connection S to D = the connection that called Prepare */
bool preq, fin;		/* Prepare3, Finish3 on their way on that connection */

/*
 * Messages.  Before `calm` a bit says "was sent at some time": the message can arrive at any moment
 * from now on and as often as the network likes, or never.  That is loss, delay, reordering,
 * duplication and replay at once, without a state for each.  At `calm` whatever did not arrive is
 * lost (what arrives later would as well have arrived before a later `calm`); from there on a bit
 * is a message in flight which arrives once.
 */
byte net;

byte deaths, crashes, kills, drops;
bool calm;

/* Ghosts: no transition of the design reads them. */
bool was_prepared;	/* D wrote PREPARED at some time */
bool ordinary;		/* the copy in use died: cold boot is right */
bool cold;		/* somebody booted cold */
bool s_ran, d_ran;	/* source ran again after the switch-over, destination ran */
bool unseen;		/* s_ran, and no incarnation of S knows */
bool stale;		/* an overtaken copy was resumed */
bool no_double = true, no_lost = true, no_stale = true, no_stuck = true;

#define IN(m)		((net & (m)) != 0)
#define SEND(m)		net = net | (m)
#define TAKE(m)		net = (calm -> net & (255 - (m)) : net)

#define DOUBLE		(sq == RUN && dq == RUN)
#define D_COMPLETE	(dq == PAUSED || dq == RUN)
#define LOST		(was_prepared && !ordinary && deaths <= 1 && \
			 (cold || (sq == GONE && !D_COMPLETE)))
#ifdef GOALS
byte goal;
#define SAFE		(goal == 0)
#else
#define SAFE		(!DOUBLE && !LOST && !stale)
#endif
#define UNHARMED	(deaths + crashes + kills + drops == 0 && !calm)

#define FINAL_KEPT	(sst == S_KEPT && sq == RUN && dq == GONE && \
			 ((dst == D_IDLE && dj == DJ_NONE) || (dst == D_VOID && dj == DJ_VOID)))
#define FINAL_MOVED	(sst == S_MOVED && sj == SJ_MOVED && sq == GONE && \
			 dst == D_RUNNING && dj == DJ_OWN && dq == RUN)
#define FINAL		(slv && dlv && (FINAL_KEPT || FINAL_MOVED))

/* Is a source copy that starts to run overtaken by the destination? */
#define S_RUNS		stale = stale || d_ran; sq = RUN; s_ran = true
#define D_RUNS		stale = stale || (s_ran && !unseen); dq = RUN; d_ran = true

/* The worker is still in the phase that uses the data connection. */
#define S_HOLDS		(sst >= S_PREPARING && sst <= S_CONFIRMING)
#define S_BEFORE	(sst >= S_PREPARING && sst <= S_COMMITTING && sj == SJ_PREP)

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

/* R5: libvirtd waits while the journal says RELEASED and the destination did not answer. */
#define UNRESOLVED	(sj == SJ_RELEASED && \
			 !(sst == S_CONFIRMING && (sq == GONE || sph == J_CONFIRM)))
#if defined(NO_FENCE) || defined(NO_HOLD) || defined(FENCE_KILL)
#define HOLD		false
#else
#define HOLD		UNRESOLVED
#endif
/* R5: and it ends the incarnation of every worker whose hand-off is in PREP. */
#if defined(NO_FENCE) || defined(NO_REVOKE)
#define REVOKE
#else
#define REVOKE		stok = false
#endif
#ifdef FENCE_KILL
#define FENCE_KILLS	if :: UNRESOLVED -> sq = GONE; sph = J_NONE :: else fi
#else
#define FENCE_KILLS
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
	:: d_step { sst == S_IDLE && sj == SJ_NONE ->
		printf("S1a source journals PREP\n");
		sj = SJ_PREP; sst = S_PREPARING; stok = true }
	:: d_step { sst == S_PREPARING && slv && sq == RUN && sph == J_NONE && sj == SJ_PREP &&
		    stok && !preq && !dconn && dst == D_IDLE ->
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
	:: d_step { sst == S_COMMITTING && sj == SJ_PREP && TOKEN ->
		printf("S5b source journals RELEASED: commit point\n");
		sj = SJ_RELEASED; sst = S_RELEASED }
	:: d_step { sst == S_RELEASED && !IN(RELEASE) && RESEND ->
		printf("S5c RELEASE sent\n");
		SEND(RELEASE) }
	/* ---- step 7 ---- */
	:: d_step { sst == S_RELEASED && IN(ACK) ->
		printf("S6a ACK received\n");
		TAKE(ACK); sst = S_CONFIRMING }
	:: d_step { CONFIRM_OK && slv && sconn && sph == J_DONE && sq == PAUSED ->
		printf("S7a Finish3 reply let through; Confirm3(0)\n");
		sph = J_CONFIRM; sconn = false }
	:: d_step { CONFIRM_OK && slv && sph == J_NONE && sq == PAUSED ->
		printf("S7b no job any more: source copy destroyed\n");
		sq = GONE }
	:: d_step { sst == S_CONFIRMING && !slv && sq == PAUSED && sph != J_CONFIRM ->
		printf("S7c libvirtd is held by the fence: fence kills the source QEMU\n");
		sq = GONE; sph = J_NONE }
	:: d_step { sst == S_CONFIRMING && sq == GONE ->
		printf("S7d source journals DONE(moved)\n");
		sj = SJ_MOVED; sst = S_MOVED }
#ifdef S_TIMEOUT
	:: d_step { sst == S_RELEASED && slv && sph == J_NONE && sq == PAUSED ->
		printf("X1  no answer: source copy resumed\n");
		S_RUNS }
#endif
	/* ---- R4 ---- */
	:: d_step { sst == S_RELEASED && IN(NACK) ->
		printf("S6n NACK received; source journals ABORTED(e+2): reclaim\n");
		TAKE(NACK); sj = SJ_RECLAIMED; sst = S_ABORTING }
	/* ---- abort: cancel, deadline, error, refused token, peer's NACK, revoked token ---- */
	:: d_step { S_BEFORE && !(slv && sq == GONE) ->
		printf("A1  source journals ABORTED\n");
		sj = SJ_ABORTED; sst = S_ABORTING }
	:: d_step { sst == S_ABORTING && slv && sconn && (sph == J_BEGIN || sph == J_PERFORM) ->
		printf("A2  job aborted before the switch-over\n");
		sph = J_NONE; sconn = false }
	:: d_step { sst == S_ABORTING && slv && sconn && sph == J_DONE && sq == PAUSED ->
		printf("A3  Finish3 error let through: Confirm3(cancelled)\n");
		sph = J_CANCEL }
	:: d_step { sst == S_ABORTING && slv && sph == J_NONE && sq == PAUSED ->
		printf("A4  source copy resumed\n");
		S_RUNS; s_saw = true }
	:: d_step { sst == S_ABORTING && slv && sph == J_NONE && sq == RUN ->
		printf("A5  source runs: source journals DONE(kept)\n");
		sj = SJ_KEPT; sst = S_KEPT; s_saw = false; unseen = false }
	:: d_step { sst == S_KEPT && IN(VOTE) && !IN(ABORT) ->
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
	:: d_step { sst == S_ABORTING && slv && sq == GONE ->
		printf("F2' source copy gone after ABORTED: DONE(kept)\n");
		sconn = false; sj = SJ_KEPT; sst = S_KEPT }
#else
	:: d_step { sst == S_ABORTING && slv && sq == GONE && sj == SJ_ABORTED && !s_saw ->
		printf("F2  source copy gone in ABORTED before it ran: ask the destination\n");
		sconn = false; sst = S_FORWARD }
	:: d_step { sst == S_ABORTING && slv && sq == GONE && (sj == SJ_RECLAIMED || s_saw) ->
		printf("F2k source copy gone after it ran, or reclaimed: DONE(kept)\n");
		sconn = false; sj = SJ_KEPT; sst = S_KEPT; s_saw = false; unseen = false }
#endif
	:: d_step { sst == S_FORWARD && !IN(ASK) ->
		printf("F3a ASK sent\n");
		SEND(ASK) }
	:: d_step { sst == S_FORWARD && IN(VOTE) ->
		printf("F3  VOTE, source copy gone: source journals RELEASED\n");
		TAKE(VOTE); sj = SJ_RELEASED; sst = S_RELEASED }
	:: d_step { sst == S_FORWARD && IN(NACK) ->
		printf("F4  NACK, source copy gone: source journals DONE(kept)\n");
		TAKE(NACK); sj = SJ_KEPT; sst = S_KEPT }
	:: d_step { sst == S_KEPT && slv && sph == J_NONE && sq == GONE ->
		printf("A7  source boots the VM cold\n");
		stale = stale || d_ran; sq = RUN; cold = true }
	/* ---- recovery ---- */
	:: d_step { sst == S_DOWN ->
		printf("SR0 source agent restarts\n");
		sst = S_RECOVER }
	:: d_step { sst == S_RECOVER && sj == SJ_PREP && slv && sq != GONE ->
		printf("SR1 PREP, copy present: source journals ABORTED\n");
		sj = SJ_ABORTED; sst = S_ABORTING }
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
	:: d_step { sst == S_RECOVER && (sj == SJ_ABORTED || sj == SJ_RECLAIMED) && slv ->
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
		:: sq == PAUSED -> S_RUNS; unseen = true
		:: else
		fi;
		sph = J_NONE }
#else
	:: d_step { slv && !sconn && sph == J_DONE ->
		printf("W6/W7 client gone: libvirtd cleans up\n");
		sph = J_CLEAN }
#endif
	:: d_step { slv && sph == J_CLEAN ->
		printf("W6/W7 clean: source stays paused, job gone\n");
		sph = J_NONE }
	:: d_step { slv && sph == J_CANCEL ->
		printf("LA  Confirm3(cancelled): source resumed\n");
		S_RUNS; sph = J_NONE;
		if
		:: sconn -> s_saw = true
		:: else -> unseen = true
		fi;
		sconn = false }
	:: d_step { slv && sph == J_CONFIRM ->
		printf("L7  Confirm3(0): source copy killed\n");
		sq = GONE; sph = J_NONE }
	/* libvirtd starts again, after the fence (WR) */
	:: d_step { !slv && !HOLD && (sph == J_NONE || sph == J_BEGIN || sph == J_PERFORM) ->
		printf("W3a source libvirtd restarts: copy as it was\n");
		REVOKE; FENCE_KILLS; sph = J_NONE; slv = true }
	:: d_step { !slv && !HOLD && sph == J_DONE ->
		printf("W8  source libvirtd restarts: source stays paused, job gone\n");
		REVOKE; FENCE_KILLS; sph = J_NONE; slv = true }
	:: d_step { !slv && !HOLD && (sph == J_CLEAN || sph == J_CANCEL) ->
		printf("W9  source libvirtd restarts in CONFIRM3_CANCELLED: source resumed\n");
		REVOKE; FENCE_KILLS;
		if
		:: sq == PAUSED -> S_RUNS; unseen = true
		:: else
		fi;
		sph = J_NONE; slv = true }
	:: d_step { !slv && !HOLD && sph == J_CONFIRM ->
		printf("W14 source libvirtd restarts in CONFIRM3: source copy killed\n");
		sq = GONE; sph = J_NONE; slv = true }
	od
}

active proctype Dest() provided (SAFE)
{
end:	do
	/* ---- step 2 ---- */
	:: d_step { dst == D_IDLE && dj == DJ_NONE && preq ->
		printf("D2a destination journals RECV\n");
		preq = false; dconn = true; dj = DJ_RECV; dst = D_CHECKING }
	:: d_step { dst == D_CHECKING && dconn && dlv ->
		printf("D2b Prepare3: destination QEMU waits for the stream\n");
		dq = INCOMING; dph = J_PREPARE; dst = D_RECEIVING }
	:: d_step { dst == D_CHECKING ->
		printf("DV0 refused (policy, quota, connection): VOID, NACK\n");
		dj = DJ_VOID; dst = D_VOID; SEND(NACK) }
	/* ---- step 4 ---- */
	:: d_step { dst == D_RECEIVING && dconn && fin && dlv && dph == J_PREPARE ->
		printf("D4a Finish3(0) with PAUSED forced\n");
		fin = false; dph = J_FINISH; dst = D_FINISHING }
	:: d_step { dst == D_FINISHING && dlv && dph == J_NONE && D_COMPLETE ->
		printf("D4b copy paused, no job, flushed: destination journals PREPARED\n");
		dj = DJ_PREPARED; dst = D_PREPARED; was_prepared = true }
	:: d_step { dst == D_FINISHING && dlv && dph == J_NONE && D_COMPLETE ->
		printf("DV3 check failed: destroy, VOID, NACK\n");
		dq = GONE; dj = DJ_VOID; dst = D_VOID; SEND(NACK) }
	:: d_step { dst == D_PREPARED && !IN(VOTE) ->
		printf("D4c VOTE sent\n");
		SEND(VOTE) }
	/* ---- step 6 ---- */
	:: d_step { dst == D_PREPARED && IN(RELEASE) && dlv && D_COMPLETE ->
		printf("D6a RELEASE received, copy present: destination journals OWN\n");
		TAKE(RELEASE); dj = DJ_OWN; dst = D_OWNING }
	:: d_step { dst == D_OWNING && dlv && dq == PAUSED ->
		printf("D6b destination copy resumed; ACK sent\n");
		D_RUNS; dst = D_RUNNING; SEND(ACK) }
#ifdef D_TIMEOUT
	:: d_step { dst == D_PREPARED && dlv && dq == PAUSED ->
		printf("X2  no answer: destination copy resumed\n");
		D_RUNS }
#endif
	:: d_step { dst == D_OWNING && dlv && dq == RUN ->
		printf("D6r destination copy runs already; ACK sent\n");
		dst = D_RUNNING; SEND(ACK) }
	:: d_step { dst == D_OWNING && dlv && dq == GONE ->
		printf("D6c destination boots the VM cold; ACK sent\n");
		dq = RUN; d_ran = true; cold = true; dst = D_RUNNING; SEND(ACK) }
	:: d_step { dst == D_RUNNING && IN(RELEASE) && !IN(ACK) ->
		printf("D6d RELEASE again: ACK again\n");
		TAKE(RELEASE); SEND(ACK) }
	:: d_step { dst == D_RUNNING && dlv && dq == GONE ->
		printf("D6e ordinary crash at the destination\n");
		dst = D_OWNING }
	/* ---- abort ---- */
	:: d_step { dst == D_PREPARED && IN(ABORT) && dlv ->
		printf("DA  ABORT received: destroy, destination journals VOID, NACK\n");
		TAKE(ABORT); dq = GONE; dj = DJ_VOID; dst = D_VOID; SEND(NACK) }
	/* ---- R4 ---- */
	:: d_step { (dst == D_RECEIVING || dst == D_FINISHING) && dlv && dph == J_NONE &&
		    dq == GONE ->
		printf("DV1 copy gone before PREPARED: VOID, NACK\n");
		dj = DJ_VOID; dst = D_VOID; SEND(NACK) }
#ifndef NO_R4
	:: d_step { dst == D_PREPARED && dlv && dq == GONE ->
		printf("DV2 copy gone before OWN: destination journals VOID, NACK\n");
		dj = DJ_VOID; dst = D_VOID; SEND(NACK) }
#endif
	:: d_step { dst == D_VOID && IN(RELEASE) && !IN(NACK) ->
		printf("DN1 RELEASE in VOID: NACK\n");
		TAKE(RELEASE); SEND(NACK) }
	:: d_step { dst == D_VOID && IN(ASK) && !IN(NACK) ->
		printf("DN2 ASK in VOID: NACK\n");
		TAKE(ASK); SEND(NACK) }
	:: d_step { dst == D_IDLE && dj == DJ_NONE && IN(ASK) ->
		printf("DN3 ASK for an unknown hand-off: destination journals VOID, NACK\n");
		TAKE(ASK); preq = false; dj = DJ_VOID; dst = D_VOID; SEND(NACK) }
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
	:: d_step { dst == D_RECOVER && dj == DJ_RECV && dlv && dph == J_NONE ->
		printf("DR2 RECV: destroy what is there, VOID, NACK\n");
		dq = GONE; dj = DJ_VOID; dst = D_VOID; SEND(NACK) }
	:: d_step { dst == D_RECOVER && dj == DJ_PREPARED && dlv ->
		printf("DR3 PREPARED: VOTE again, or VOID if the copy is gone\n");
		dst = D_PREPARED }
	:: d_step { dst == D_RECOVER && dj == DJ_OWN ->
		printf("DR4 OWN: resume or boot, ACK\n");
		dst = D_OWNING }
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
		dq = RUN; d_ran = true;
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

active proctype Faults() provided (SAFE)
{
end:	do
	:: d_step { !calm ->
		printf("--- no failures from here on ---\n");
		calm = true; net = 0; crashes = 0; kills = 0; drops = 0 }
	:: d_step { !calm && sq != GONE && deaths < MAX_DEATHS ->
		printf("Q1  *** source QEMU dies (W3d, W12, W15)\n");
		ordinary = ordinary || sq == RUN || !was_prepared;
		sq = GONE; sph = (sph == J_DONE -> J_DONE : J_NONE); deaths++ }
	:: d_step { !calm && dq != GONE && deaths < MAX_DEATHS ->
		printf("Q2  *** destination QEMU dies (W3c, W13, W16)\n");
		ordinary = ordinary || dj == DJ_OWN;
		dq = GONE; dph = J_NONE; deaths++ }
	:: d_step { !calm && sst != S_DOWN && sst != S_IDLE && crashes < MAX_CRASHES ->
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
 * ABORTED, destination copy runs; 5 moved in spite of every agent, libvirtd and connection failure
 * of the budget; 6 cold boot at the destination; 7 both copies lost, cold boot at the source.
 */
active proctype Monitor()
{
end:	do
#ifdef GOALS
	:: atomic { SAFE && FINAL_MOVED && UNHARMED && !cold -> goal = 1; assert(goal != 1) }
	:: atomic { SAFE && FINAL_KEPT && UNHARMED && was_prepared -> goal = 2; assert(goal != 2) }
	:: atomic { SAFE && FINAL_KEPT && deaths == 1 && !cold && IN(RELEASE) && !calm ->
		    goal = 3; assert(goal != 3) }
	:: atomic { SAFE && FINAL_MOVED && !cold && deaths == 1 && IN(ASK) && !calm ->
		    goal = 4; assert(goal != 4) }
	:: atomic { SAFE && FINAL_MOVED && !cold && crashes == MAX_CRASHES && kills == MAX_KILLS &&
		    drops == MAX_DROPS -> goal = 5; assert(goal != 5) }
	:: atomic { SAFE && FINAL_MOVED && calm && cold -> goal = 6; assert(goal != 6) }
	:: atomic { SAFE && FINAL_KEPT && calm && cold && deaths == 2 && was_prepared ->
		    goal = 7; assert(goal != 7) }
#else
	:: atomic { no_double && DOUBLE -> no_double = false; assert(no_double) }
	:: atomic { no_lost && LOST && !DOUBLE -> no_lost = false; assert(no_lost) }
	:: atomic { no_stale && stale && !DOUBLE && !LOST -> no_stale = false; assert(no_stale) }
	:: atomic { timeout && SAFE && no_stuck && !FINAL -> no_stuck = false; assert(no_stuck) }
#endif
	od
}
