/* SPDX-License-Identifier: Apache-2.0 */
/* The two machines of a hand-off: the way through, rules R1 to R4 over every reachable row, and
 * both machines together under random losses and deaths. */
#include <glib.h>
#include <string.h>

#include "mover/transfer.h"

#define E(x) TRANSFER_EVENT_##x
#define A(x) TRANSFER_ACTION_##x

static bool does(const struct transfer_step *s, enum transfer_action a)
{
	for (size_t i = 0; i < TRANSFER_ACTIONS_MAX && s->actions[i]; i++)
		if (s->actions[i] == a)
			return true;
	return false;
}

struct way {
	enum transfer_event event;
	int next;
	enum transfer_action action; /* must be among the row's; NONE = there must be none */
};

static void walk(bool source, const struct way *way, size_t count)
{
	int state = 0;

	for (size_t i = 0; i < count; i++) {
		struct transfer_step s =
			source ? source_step((enum source_state)state, way[i].event)
			       : destination_step((enum destination_state)state, way[i].event);

		g_assert_true(s.legal);
		g_assert_cmpint(s.next, ==, way[i].next);
		if (way[i].action)
			g_assert_true(does(&s, way[i].action));
		else
			g_assert_cmpint(s.actions[0], ==, A(NONE));
		state = s.next;
	}
}

static void test_source_way(void)
{
	static const struct way way[] = {
		{E(GRANTED), SOURCE_NEW, A(JOURNAL_PREP)},
		{E(JOURNALLED), SOURCE_PREPARING, A(DIAL)},
		{E(LINK_UP), SOURCE_PREPARING, A(SEND_OFFER)},
		{E(IMAGES), SOURCE_TRANSFER, A(MIGRATE)},
		{E(FINISH_HELD), SOURCE_VOTING, A(NONE)},
		{E(VOTE), SOURCE_COMMITTING, A(CHECK_COPY)},
		{E(COPY_PAUSED), SOURCE_COMMITTING, A(REQUOTE)},
		{E(QUOTED), SOURCE_COMMITTING, A(FREEZE)},
		{E(FROZEN), SOURCE_DECIDING, A(JOURNAL_RELEASED)},
		{E(JOURNALLED), SOURCE_RELEASED, A(SEND_RELEASE)},
		{E(ACK), SOURCE_RELEASED, A(PROVE_ACK)},
		{E(PROVED), SOURCE_CONFIRMING, A(LET_THROUGH)},
		{E(MIGRATED), SOURCE_CONFIRMING, A(DESTROY_COPY)},
		{E(COPY_GONE), SOURCE_CONFIRMING, A(JOURNAL_MOVED)},
		{E(JOURNALLED), SOURCE_MOVED, A(LEAVE)},
	};

	walk(true, way, G_N_ELEMENTS(way));
}

/* A guest shuts down first: the link stands before there is a record, and may break. */
static void test_source_cold_way(void)
{
	static const struct way way[] = {
		{E(LINK_UP), SOURCE_NEW, A(NONE)},
		{E(GRANTED), SOURCE_NEW, A(JOURNAL_PREP)},
		{E(JOURNALLED), SOURCE_PREPARING, A(DIAL)},
		{E(LINK_UP), SOURCE_PREPARING, A(SEND_OFFER)},
	};
	static const enum transfer_event ends[] = {E(LINK_LOST), E(NACK), E(STOP)};

	walk(true, way, G_N_ELEMENTS(way));
	for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
		struct transfer_step s = source_step(SOURCE_NEW, ends[i]);

		g_assert_true(s.legal && s.next == SOURCE_KEPT && does(&s, A(LEAVE)));
		g_assert_false(does(&s, A(JOURNAL_ABORTED)));
	}
}

static void test_destination_way(void)
{
	static const struct way way[] = {
		{E(GRANTED), DESTINATION_NEW, A(JOURNAL_RECV)},
		{E(JOURNALLED), DESTINATION_RECEIVING, A(READY)},
		{E(OFFER), DESTINATION_RECEIVING, A(MAKE_IMAGES)},
		{E(IMAGES), DESTINATION_RECEIVING, A(SEND_IMAGES)},
		{E(FINISH_HELD), DESTINATION_CHECKING, A(FREEZE)},
		{E(FROZEN), DESTINATION_CHECKING, A(CHECK_COPY)},
		{E(COPY_PAUSED), DESTINATION_VOTING, A(JOURNAL_PREPARED)},
		{E(JOURNALLED), DESTINATION_PREPARED, A(SEND_VOTE)},
		{E(RELEASE), DESTINATION_CLAIMING, A(CHECK_COPY)},
		{E(COPY_PAUSED), DESTINATION_DECIDING, A(JOURNAL_OWN)},
		{E(JOURNALLED), DESTINATION_OWNING, A(RESUME_COPY)},
		{E(COPY_RUNS), DESTINATION_SETTLING, A(DEFINE)},
		{E(DEFINED), DESTINATION_RUNNING, A(SEND_ACK)},
		{E(MOVED), DESTINATION_DONE, A(LEAVE)},
	};

	walk(false, way, G_N_ELEMENTS(way));
}

static void test_source_abort_way(void)
{
	static const struct way way[] = {
		{E(GRANTED), SOURCE_NEW, A(JOURNAL_PREP)},
		{E(JOURNALLED), SOURCE_PREPARING, A(DIAL)},
		{E(IMAGES), SOURCE_TRANSFER, A(MIGRATE)},
		{E(STOP), SOURCE_ABORTING, A(FAIL_RPC)},
		{E(MIGRATE_FAILED), SOURCE_ABORTING, A(CHECK_COPY)},
		{E(COPY_PAUSED), SOURCE_ABORTING, A(RESUME_COPY)},
		{E(COPY_RUNS), SOURCE_KEPT, A(SEND_ABORT)},
	};

	walk(true, way, G_N_ELEMENTS(way));
}

/* States that can follow `from` without the event `without`. */
static void reach(bool source, int from, enum transfer_event without, bool *seen)
{
	if (seen[from])
		return;
	seen[from] = true;
	for (int e = 0; e < _TRANSFER_EVENT_MAX; e++) {
		struct transfer_step s =
			source ? source_step((enum source_state)from, (enum transfer_event)e)
			       : destination_step((enum destination_state)from,
						  (enum transfer_event)e);

		if (s.legal && e != (int)without)
			reach(source, s.next, without, seen);
	}
}

/* Calls `check` for every legal row. */
static void each(bool source,
		 void (*check)(int state, enum transfer_event event, const struct transfer_step *s))
{
	int max = source ? (int)_SOURCE_STATE_MAX : (int)_DESTINATION_STATE_MAX;

	for (int state = 0; state < max; state++)
		for (int e = 0; e < _TRANSFER_EVENT_MAX; e++) {
			struct transfer_step s =
				source ? source_step((enum source_state)state,
						     (enum transfer_event)e)
				       : destination_step((enum destination_state)state,
							  (enum transfer_event)e);

			if (s.legal)
				check(state, (enum transfer_event)e, &s);
		}
}

static bool committed_states[_SOURCE_STATE_MAX];

static void check_never_resumed(int state, enum transfer_event event, const struct transfer_step *s)
{
	if (!committed_states[state] || event == E(NACK))
		return;
	/* From DECIDING only policyd's refusal leads back. */
	if (state == SOURCE_DECIDING && event == E(REFUSED))
		return;
	g_assert_false(does(s, A(RESUME_COPY)));
	g_assert_false(does(s, A(FAIL_RPC)));
	g_assert_false(does(s, A(MIGRATE)));
	g_assert_false(does(s, A(JOURNAL_ABORTED)));
	g_assert_false(does(s, A(SEND_ABORT)));
}

static void test_committed(void)
{
	memset(committed_states, 0, sizeof(committed_states));
	reach(true, SOURCE_RELEASED, E(NACK), committed_states);
	g_assert_true(committed_states[SOURCE_MOVED]);
	g_assert_false(committed_states[SOURCE_ABORTING]);
	g_assert_false(committed_states[SOURCE_KEPT]);
	committed_states[SOURCE_DECIDING] = true;
	each(true, check_never_resumed);
	for (int s = 0; s < _SOURCE_STATE_MAX; s++)
		if (committed_states[s])
			g_assert_true(source_is_committed((enum source_state)s));
}

static void check_source_rules(int state, enum transfer_event event, const struct transfer_step *s)
{
	if (does(s, A(LET_THROUGH))) /* R3, C2: an ACK that policyd took */
		g_assert_true(state == SOURCE_RELEASED && event == E(PROVED));
	if (does(s, A(SEND_ABORT))) /* R2: after the own copy runs, or is as it will stay */
		g_assert_true(s->next == SOURCE_KEPT &&
			      (state == SOURCE_KEPT || event == E(COPY_RUNS) ||
			       event == E(COPY_HALTED) || state == SOURCE_FORWARD));
	/* F2: nothing is released that is not frozen, or gone. */
	if (does(s, A(JOURNAL_RELEASED)))
		g_assert_true((state == SOURCE_COMMITTING && event == E(FROZEN)) ||
			      (state == SOURCE_DECIDING && event == E(DOUBT)));
	if (does(s, A(SEND_RELEASE)))
		g_assert_true(s->next == SOURCE_RELEASED);
	if (does(s, A(DESTROY_COPY)) || does(s, A(DROP_IMAGES)))
		g_assert_true(state == SOURCE_CONFIRMING);
	if (does(s, A(JOURNAL_RECLAIM))) /* R4 */
		g_assert_true(event == E(NACK) || event == E(DOUBT));
	if (source_is_committed((enum source_state)state))
		g_assert_true(s->next != SOURCE_NEW && s->next != SOURCE_TRANSFER);
}

static void test_source_rules(void)
{
	each(true, check_source_rules);
}

static void test_forward_waits(void)
{
	/* F8: neither a lost link nor a look that finds nothing ends the waiting for a VOTE. */
	static const enum transfer_event waits[] = {E(LINK_LOST),    E(LINK_UP),
						    E(STOP),	     E(COPY_GONE),
						    E(COPY_UNKNOWN), E(MIGRATE_FAILED)};

	g_assert_cmpint(source_step(SOURCE_ABORTING, E(COPY_GONE)).next, ==, SOURCE_FORWARD);
	for (size_t i = 0; i < G_N_ELEMENTS(waits); i++) {
		g_assert_cmpint(source_step(SOURCE_FORWARD, waits[i]).next, ==, SOURCE_FORWARD);
		g_assert_cmpint(source_step(SOURCE_FORWARD, waits[i]).actions[0], ==, A(NONE));
	}
	g_assert_cmpint(source_step(SOURCE_FORWARD, E(VOTE)).actions[0], ==, A(FORWARD));
	g_assert_cmpint(source_step(SOURCE_FORWARD, E(JOURNALLED)).next, ==, SOURCE_RELEASED);
	g_assert_cmpint(source_step(SOURCE_FORWARD, E(NACK)).next, ==, SOURCE_KEPT);
	/* F6: it was started from its disk, so policyd does not release it any more. */
	g_assert_cmpint(source_step(SOURCE_FORWARD, E(REFUSED)).next, ==, SOURCE_KEPT);
	g_assert_cmpint(source_step(SOURCE_FORWARD, E(COPY_RUNS)).next, ==, SOURCE_KEPT);
}

static void test_failed_is_repeated(void)
{
	/* F7: the old definition is still there, or libvirt is away. */
	g_assert_cmpint(source_step(SOURCE_CONFIRMING, E(COPY_UNKNOWN)).actions[0], ==, A(LATER));
	g_assert_cmpint(source_step(SOURCE_CONFIRMING, E(COPY_UNKNOWN)).next, ==,
			SOURCE_CONFIRMING);
	g_assert_cmpint(source_step(SOURCE_CONFIRMING, E(COPY_GONE)).actions[0], ==,
			A(JOURNAL_MOVED));
	/* F5: not permanent is not done, and says no ACK. */
	g_assert_cmpint(destination_step(DESTINATION_SETTLING, E(UNDEFINED)).next, ==,
			DESTINATION_SETTLING);
	g_assert_cmpint(destination_step(DESTINATION_SETTLING, E(UNDEFINED)).actions[0], ==,
			A(LATER));
}

static void test_lying_statements(void)
{
	/* C2: what policyd refuses changes nothing at either end. */
	g_assert_cmpint(source_step(SOURCE_RELEASED, E(ACK)).next, ==, SOURCE_RELEASED);
	g_assert_cmpint(source_step(SOURCE_RELEASED, E(REFUSED)).next, ==, SOURCE_RELEASED);
	g_assert_cmpint(source_step(SOURCE_RELEASED, E(REFUSED)).actions[0], ==, A(NONE));
	g_assert_cmpint(source_step(SOURCE_RECLAIMING, E(REFUSED)).next, ==, SOURCE_RELEASED);
	g_assert_cmpint(destination_step(DESTINATION_PREPARED, E(ABORT)).actions[0], ==,
			A(JOURNAL_VOID));
	g_assert_cmpint(destination_step(DESTINATION_YIELDING, E(REFUSED)).next, ==,
			DESTINATION_PREPARED);
	g_assert_cmpint(destination_step(DESTINATION_DECIDING, E(REFUSED)).next, ==,
			DESTINATION_PREPARED);
	/* The twins: what policyd takes is done. */
	g_assert_cmpint(source_step(SOURCE_RELEASED, E(PROVED)).next, ==, SOURCE_CONFIRMING);
	g_assert_cmpint(destination_step(DESTINATION_YIELDING, E(JOURNALLED)).actions[1], ==,
			A(DESTROY_COPY));
}

static void check_destination_rules(int state, enum transfer_event event,
				    const struct transfer_step *s)
{
	bool owned = state >= DESTINATION_OWNING && state <= DESTINATION_RUNNING;

	/* H8: the guest runs here only after OWN was written. */
	if (does(s, A(RESUME_COPY)) || does(s, A(BOOT_COPY)) || does(s, A(DEFINE)))
		g_assert_true(owned || (state == DESTINATION_DECIDING && event == E(JOURNALLED)));
	/* A copy that may be the only one is never removed. */
	if (does(s, A(DESTROY_COPY)) || does(s, A(DROP_IMAGES)))
		g_assert_true(!owned && state != DESTINATION_DECIDING && state != DESTINATION_DONE);
	/* C2: once there was a vote, only after VOID is durable. */
	if (does(s, A(DESTROY_COPY)) && state >= DESTINATION_VOTING && event != E(REFUSED))
		g_assert_true((state == DESTINATION_YIELDING || state == DESTINATION_VOIDING) &&
			      event == E(JOURNALLED));
	if (does(s, A(SEND_ACK))) /* F5 */
		g_assert_cmpint(s->next, ==, DESTINATION_RUNNING);
	if (does(s, A(JOURNAL_OWN)))
		g_assert_true(event == E(COPY_PAUSED) || event == E(COPY_HALTED) ||
			      event == E(COPY_RUNS) || event == E(DOUBT));
}

static void test_destination_rules(void)
{
	each(false, check_destination_rules);
}

static void test_early_release(void)
{
	for (int s = DESTINATION_NEW; s < DESTINATION_PREPARED; s++)
		g_assert_false(destination_step((enum destination_state)s, E(RELEASE)).legal);
	g_assert_true(destination_step(DESTINATION_PREPARED, E(RELEASE)).legal);
	/* Twice: asked for its ACK again, nothing else. */
	g_assert_cmpint(destination_step(DESTINATION_RUNNING, E(RELEASE)).actions[0], ==,
			A(SEND_ACK));
	g_assert_false(destination_step(DESTINATION_VOID, E(RELEASE)).legal);
	/* A VOTE before Finish3 was answered is none. */
	g_assert_false(source_step(SOURCE_PREPARING, E(VOTE)).legal);
	g_assert_false(source_step(SOURCE_TRANSFER, E(VOTE)).legal);
	/* An ACK nobody asked for. */
	for (int s = SOURCE_NEW; s < SOURCE_RELEASED; s++) {
		struct transfer_step step = source_step((enum source_state)s, E(ACK));

		g_assert_true(!step.legal || (step.next == s && !step.actions[0]));
	}
}

/* The destination waits for a decision that only the source can make. */
static bool is_bound(enum destination_state state)
{
	return state == DESTINATION_VOTING || state == DESTINATION_PREPARED ||
	       state == DESTINATION_CLAIMING || state == DESTINATION_DECIDING ||
	       state == DESTINATION_YIELDING;
}

static void test_nobody_is_stuck(void)
{
	for (int s = 0; s < _SOURCE_STATE_MAX; s++) {
		g_assert_true(source_step((enum source_state)s, E(STOP)).legal);
		if (s != SOURCE_NEW)
			g_assert_true(source_step((enum source_state)s, E(LINK_LOST)).legal);
		if (source_can_stop((enum source_state)s))
			g_assert_cmpint(source_step((enum source_state)s, E(STOP)).next, !=, s);
	}
	for (int s = 0; s < _DESTINATION_STATE_MAX; s++) {
		g_assert_true(destination_step((enum destination_state)s, E(STOP)).legal);
		if (s != DESTINATION_NEW)
			g_assert_true(
				destination_step((enum destination_state)s, E(LINK_LOST)).legal);
		if (is_bound((enum destination_state)s)) {
			g_assert_cmpint(destination_step((enum destination_state)s, E(STOP)).next,
					==, s);
			g_assert_cmpint(
				destination_step((enum destination_state)s, E(LINK_LOST)).next, ==,
				s);
		}
	}
}

static void test_recovery(void)
{
	static const struct {
		enum custody_record record;
		enum recovery gone, paused, runs, unknown; /* halted is as paused */
	} want[] = {
		{CUSTODY_PREP, RECOVERY_ASK, RECOVERY_ABORT, RECOVERY_ABORT, RECOVERY_LATER},
		{CUSTODY_RELEASED, RECOVERY_AWAIT_ANSWER, RECOVERY_AWAIT_ANSWER,
		 RECOVERY_AWAIT_ANSWER, RECOVERY_AWAIT_ANSWER},
		{CUSTODY_ABORTED, RECOVERY_ASK, RECOVERY_RUN, RECOVERY_RUN, RECOVERY_LATER},
		{CUSTODY_RECLAIM, RECOVERY_CLOSE, RECOVERY_RUN, RECOVERY_RUN, RECOVERY_LATER},
		{CUSTODY_RECV, RECOVERY_VOID, RECOVERY_VOID, RECOVERY_VOID, RECOVERY_LATER},
		{CUSTODY_PREPARED, RECOVERY_VOID, RECOVERY_AWAIT_RELEASE, RECOVERY_AWAIT_RELEASE,
		 RECOVERY_LATER},
		{CUSTODY_OWN, RECOVERY_BOOT, RECOVERY_RUN, RECOVERY_RUN, RECOVERY_LATER},
		{CUSTODY_DONE, RECOVERY_NOTHING, RECOVERY_NOTHING, RECOVERY_NOTHING,
		 RECOVERY_NOTHING},
		{CUSTODY_VOID, RECOVERY_NOTHING, RECOVERY_NOTHING, RECOVERY_NOTHING,
		 RECOVERY_NOTHING},
	};

	g_assert_cmpint(G_N_ELEMENTS(want), ==, _CUSTODY_RECORD_MAX);
	for (size_t i = 0; i < G_N_ELEMENTS(want); i++) {
		g_assert_cmpint(transfer_recovery(want[i].record, E(COPY_GONE)), ==, want[i].gone);
		g_assert_cmpint(transfer_recovery(want[i].record, E(COPY_PAUSED)), ==,
				want[i].paused);
		g_assert_cmpint(transfer_recovery(want[i].record, E(COPY_HALTED)), ==,
				want[i].paused);
		g_assert_cmpint(transfer_recovery(want[i].record, E(COPY_RUNS)), ==, want[i].runs);
		g_assert_cmpint(transfer_recovery(want[i].record, E(COPY_UNKNOWN)), ==,
				want[i].unknown);
	}
}

/* -- both machines and a small world -- */

enum copy { GONE, INCOMING, PAUSED, RUN };

struct world {
	int s, d; /* states */
	enum copy sc, dc;
	bool sf, df; /* frozen: ABORTED, RECLAIM, OWN thaw; nothing else lets it run */
	bool migrating, held, voted, released, owned, acked, permanent, link;
	GQueue to_s, to_d;	       /* events */
	enum transfer_action again[2]; /* destination, source */
	int again_in[2];
	GRand *rand;
	unsigned faults;
};

static void put(GQueue *q, enum transfer_event e)
{
	g_queue_push_tail(q, GINT_TO_POINTER((int)e + 1));
}

/* A message of the peer: lost with the link. */
static void message(struct world *w, GQueue *q, enum transfer_event e)
{
	if (w->link)
		put(q, e);
}

static enum transfer_event seen(enum copy c)
{
	return c == GONE ? E(COPY_GONE) : c == RUN ? E(COPY_RUNS) : E(COPY_PAUSED);
}

/* policyd: sometimes away, never wrong about what it wrote. */
static void record(struct world *w, GQueue *q, bool allowed, bool *done)
{
	if (w->faults && g_rand_int_range(w->rand, 0, 12) == 0) {
		w->faults--;
		if (allowed && done && g_rand_boolean(w->rand))
			*done = true; /* written, the answer was lost */
		put(q, E(DOUBT));
		return;
	}
	if (allowed && done)
		*done = true;
	put(q, allowed ? E(JOURNALLED) : E(REFUSED));
}

static void source_does(struct world *w, enum transfer_action a)
{
	GQueue *q = &w->to_s;
	bool thaw;

	switch ((int)a) {
	case A(JOURNAL_RELEASED):
		g_assert_true(w->sf || w->sc == GONE);
		record(w, q, w->voted, &w->released);
		break;
	case A(FORWARD):
		if (w->voted)
			record(w, q, true, &w->released);
		break;
	case A(FREEZE):
		w->sf = w->sc != GONE;
		put(q, E(FROZEN));
		break;
	case A(PROVE_ACK):
		put(q, w->acked ? E(PROVED) : E(REFUSED));
		break;
	case A(JOURNAL_ABORTED): /* posts nothing, see transfer.h */
		if (w->faults && g_rand_int_range(w->rand, 0, 12) == 0) {
			w->faults--;
			w->again[1] = a;
			w->again_in[1] = w->s;
		} else {
			w->sf = false;
		}
		break;
	case A(JOURNAL_RECLAIM):
		thaw = false;
		record(w, q, true, &thaw);
		w->sf &= !thaw;
		break;
	case A(JOURNAL_PREP):
	case A(JOURNAL_MOVED):
	case A(JOURNAL_KEPT):
		record(w, q, true, NULL);
		break;
	case A(DIAL):
		w->link = true;
		put(&w->to_s, E(LINK_UP));
		put(&w->to_d, E(LINK_UP));
		break;
	case A(SEND_OFFER):
		message(w, &w->to_d, E(OFFER));
		break;
	case A(MIGRATE):
		w->migrating = true;
		break;
	case A(SEND_RELEASE):
		g_assert_true(w->released);
		message(w, &w->to_d, E(RELEASE));
		break;
	case A(SEND_ABORT):
		message(w, &w->to_d, E(ABORT));
		break;
	case A(SEND_MOVED):
		message(w, &w->to_d, E(MOVED));
		break;
	case A(LET_THROUGH): /* Confirm(0) */
		g_assert_true(w->acked);
		w->sc = GONE;
		w->migrating = false;
		put(q, E(MIGRATED));
		break;
	case A(FAIL_RPC): /* Confirm(cancelled) resumes */
		if (w->migrating) {
			w->migrating = false;
			if (w->sc == PAUSED && !w->sf)
				w->sc = RUN;
			put(q, E(MIGRATE_FAILED));
		} else {
			put(q, seen(w->sc));
		}
		break;
	case A(CHECK_COPY):
		put(q, seen(w->sc));
		break;
	case A(RESUME_COPY):
		if (w->sc == PAUSED && !w->sf)
			w->sc = RUN;
		put(q, w->sf ? E(COPY_UNKNOWN) : seen(w->sc));
		break;
	case A(LATER):
		source_does(w, w->s == SOURCE_CONFIRMING ? A(DESTROY_COPY) : A(CHECK_COPY));
		break;
	case A(DESTROY_COPY):
		w->sc = GONE;
		put(q, E(COPY_GONE));
		break;
	case A(REQUOTE):
		put(q, E(QUOTED));
		break;
	}
}

static void destination_does(struct world *w, enum transfer_action a)
{
	GQueue *q = &w->to_d;

	switch ((int)a) {
	case A(JOURNAL_OWN):
		record(w, q, w->released, &w->owned);
		w->df &= !w->owned;
		break;
	case A(FREEZE):
		w->df = w->dc != GONE;
		put(q, w->dc == GONE ? E(COPY_GONE) : E(FROZEN));
		break;
	case A(LATER):
		if (w->d == DESTINATION_SETTLING)
			destination_does(w, A(DEFINE));
		else
			destination_does(w,
					 w->d == DESTINATION_VOIDING || w->d == DESTINATION_ENDING
						 ? A(DESTROY_COPY)
						 : A(CHECK_COPY));
		break;
	case A(JOURNAL_RECV):
	case A(JOURNAL_PREPARED):
	case A(JOURNAL_CLOSE):
		record(w, q, true, NULL);
		break;
	case A(JOURNAL_VOID):
		record(w, q, !w->owned, NULL);
		break;
	case A(MAKE_IMAGES):
		put(q, E(IMAGES));
		break;
	case A(SEND_IMAGES):
		message(w, &w->to_s, E(IMAGES));
		break;
	case A(LET_THROUGH):
		message(w, &w->to_s, E(FINISH_HELD));
		break;
	case A(SEND_VOTE):
		w->voted = true;
		message(w, &w->to_s, E(VOTE));
		break;
	case A(SEND_ACK):
		g_assert_true(w->owned && w->permanent);
		w->acked = true;
		message(w, &w->to_s, E(ACK));
		break;
	case A(SEND_NACK):
		message(w, &w->to_s, E(NACK));
		break;
	case A(STOP_GATEWAY):
		if (w->dc == INCOMING)
			w->dc = GONE;
		break;
	case A(CHECK_COPY):
		put(q, seen(w->dc));
		break;
	case A(RESUME_COPY):
		g_assert_true(w->owned && !w->df);
		if (w->dc == PAUSED)
			w->dc = RUN;
		put(q, seen(w->dc));
		break;
	case A(BOOT_COPY):
		g_assert_true(w->owned);
		w->dc = RUN;
		put(q, E(COPY_RUNS));
		break;
	case A(DESTROY_COPY):
		g_assert_false(w->owned);
		w->dc = GONE;
		put(q, E(COPY_GONE));
		break;
	case A(DEFINE):
		w->permanent = !w->faults || g_rand_int_range(w->rand, 0, 4) > 0;
		put(q, w->permanent ? E(DEFINED) : E(UNDEFINED));
		break;
	}
}

static void deliver(struct world *w, bool source)
{
	GQueue *q = source ? &w->to_s : &w->to_d;
	enum transfer_event e = (enum transfer_event)(GPOINTER_TO_INT(g_queue_pop_head(q)) - 1);
	struct transfer_step s = source ? source_step((enum source_state)w->s, e)
					: destination_step((enum destination_state)w->d, e);

	if (!s.legal)
		return;
	/* As the workers do: the same question again a while later, if it is still one. */
	if (e == E(DOUBT) && s.actions[0] && s.next == (source ? w->s : w->d)) {
		w->again[source] = s.actions[0];
		w->again_in[source] = s.next;
		return;
	}
	*(source ? &w->s : &w->d) = s.next;
	for (size_t i = 0; i < TRANSFER_ACTIONS_MAX && s.actions[i]; i++)
		(source ? source_does : destination_does)(w, s.actions[i]);
}

/* libvirt's own progress, the network and bad luck. */
static void environment(struct world *w)
{
	if (w->migrating && w->s == SOURCE_TRANSFER && w->d == DESTINATION_RECEIVING && w->link) {
		if (w->dc == GONE && !w->held) {
			w->dc = INCOMING;
		} else if (w->dc == INCOMING) {
			w->sc = PAUSED;
			w->dc = PAUSED;
			w->held = true;
			put(&w->to_d, E(FINISH_HELD));
		}
	}
	if (w->faults && g_rand_int_range(w->rand, 0, 20) == 0) {
		w->faults--;
		switch (g_rand_int_range(w->rand, 0, 6)) {
		case 0:
		case 1:
			w->link = false;
			put(&w->to_s, E(LINK_LOST));
			put(&w->to_d, E(LINK_LOST));
			break;
		case 2:
			put(&w->to_s, E(STOP));
			break;
		case 3:
			put(&w->to_d, E(STOP));
			break;
		case 4:
			w->sc = GONE;
			if (w->migrating && !w->held)
				put(&w->to_s, E(MIGRATE_FAILED));
			break;
		case 5:
			w->dc = GONE;
			break;
		}
	}
	/* The owner, in front of virt-manager: what is frozen does not listen (F2). */
	if (w->sc == PAUSED && !w->sf && !w->migrating && w->s != SOURCE_ABORTING)
		w->sc = RUN;
	if (w->dc == PAUSED && !w->df && w->d >= DESTINATION_VOTING && !w->owned)
		w->dc = RUN;
	for (int side = 0; side < 2; side++) {
		enum transfer_action a = w->again[side];

		w->again[side] = A(NONE);
		if (a && w->again_in[side] == (side ? w->s : w->d))
			(side ? source_does : destination_does)(w, a);
	}
	/* Timers. */
	if (w->s == SOURCE_RELEASED && !w->link)
		source_does(w, A(DIAL));
	else if (w->s == SOURCE_RELEASED)
		source_does(w, A(SEND_RELEASE));
	if (w->d == DESTINATION_PREPARED)
		put(&w->to_d, seen(w->dc));
	if (w->d == DESTINATION_PREPARED && w->link)
		message(w, &w->to_s, E(VOTE));
	if (w->faults && w->s == SOURCE_VOTING && g_rand_int_range(w->rand, 0, 50) == 0)
		put(&w->to_s, E(STOP));
}

/* The worker on each side lives for ever here (death and recovery are the model's business): no
 * double run at any moment, and where both QEMUs live somebody runs in the end. */
static void test_together(void)
{
	unsigned moved = 0, kept = 0;

	for (guint32 seed = 0; seed < 20000; seed++) {
		struct world w = {.sc = RUN, .rand = g_rand_new_with_seed(seed)};

		w.faults = seed % 5;
		g_queue_init(&w.to_s);
		g_queue_init(&w.to_d);
		put(&w.to_s, E(GRANTED));
		put(&w.to_d, E(GRANTED));
		/* kithd starts the destination's worker first. */
		while (w.d == DESTINATION_NEW && !g_queue_is_empty(&w.to_d))
			deliver(&w, false);
		for (int i = 0; i < 400; i++) {
			bool s = g_rand_boolean(w.rand);

			if (!g_queue_is_empty(s ? &w.to_s : &w.to_d))
				deliver(&w, s);
			if (i % 4 == 0)
				environment(&w);
			g_assert_false(w.sc == RUN && w.dc == RUN);
			g_assert_false(w.released && w.s == SOURCE_DECIDING && w.sc == RUN);
		}
		if (seed % 5 == 0) {
			g_assert_cmpint(w.s, ==, SOURCE_MOVED);
			g_assert_true(w.dc == RUN && w.sc == GONE);
		}
		moved += w.s == SOURCE_MOVED;
		kept += w.s == SOURCE_KEPT && w.sc == RUN;
		g_queue_clear(&w.to_s);
		g_queue_clear(&w.to_d);
		g_rand_free(w.rand);
	}
	/* Both outcomes are really exercised. */
	g_assert_cmpuint(moved, >, 4000);
	g_assert_cmpuint(kept, >, 1000);
	g_test_message("%u moved, %u kept", moved, kept);
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/transfer/the source's way", test_source_way);
	g_test_add_func("/transfer/F14 the source's way after a shutdown", test_source_cold_way);
	g_test_add_func("/transfer/the destination's way", test_destination_way);
	g_test_add_func("/transfer/the source gives up", test_source_abort_way);
	g_test_add_func("/transfer/R1 a released source never resumes", test_committed);
	g_test_add_func("/transfer/R2 R3 R4 over every row of the source", test_source_rules);
	g_test_add_func("/transfer/F8 forward without a vote waits", test_forward_waits);
	g_test_add_func("/transfer/F5 F7 what failed is repeated", test_failed_is_repeated);
	g_test_add_func("/transfer/C2 what policyd refuses changes nothing", test_lying_statements);
	g_test_add_func("/transfer/H8 over every row of the destination", test_destination_rules);
	g_test_add_func("/transfer/H8 RELEASE early, twice, late", test_early_release);
	g_test_add_func("/transfer/no state ignores a stop or a lost link", test_nobody_is_stuck);
	g_test_add_func("/transfer/W1-W16 recovery", test_recovery);
	g_test_add_func("/transfer/HO1 20000 random hand-offs", test_together);
	return g_test_run();
}
