/* SPDX-License-Identifier: Apache-2.0 */
/* The custody machine: every move of the table, every other one refused, replay and forgery. */
#include <glib.h>
#include <sodium.h>
#include <string.h>

#include "policyd/custody.h"

#define NOTHING -1
#define EPOCH 5

static const uint8_t S[DEVICE_ID_LEN] = {1}, D[DEVICE_ID_LEN] = {2}, X[DEVICE_ID_LEN] = {3};
static const uint8_t HID[HID_LEN] = {7, 7}, HID2[HID_LEN] = {8, 8};
static const uint8_t VM[UUID_LEN] = {9, 1};

/* -- Making views and steps -- */

static struct custody_view unknown_view(void)
{
	struct custody_view v = {0};

	memcpy(v.uuid, VM, UUID_LEN);
	return v;
}

static struct custody_view known_view(bool here, uint64_t epoch)
{
	struct custody_view v = {.known = true, .here = here, .epoch = epoch};

	memcpy(v.uuid, VM, UUID_LEN);
	g_strlcpy(v.name, "work", sizeof(v.name));
	memcpy(v.holder, here ? S : D, DEVICE_ID_LEN);
	g_strlcpy(v.holder_name, here ? "laptop" : "desktop", sizeof(v.holder_name));
	return v;
}

/* A step of the source (S) or of the destination (D) of the hand-off HID. */
static struct custody_step make_step(enum custody_record record, bool source)
{
	struct custody_step s = {.record = record, .epoch = EPOCH, .hid_last = -1};

	memcpy(s.hid, HID, HID_LEN);
	memcpy(s.self, source ? S : D, DEVICE_ID_LEN);
	g_strlcpy(s.self_name, source ? "laptop" : "desktop", sizeof(s.self_name));
	memcpy(s.uuid, VM, UUID_LEN);
	memcpy(s.peer, source ? D : S, DEVICE_ID_LEN);
	g_strlcpy(s.peer_name, source ? "desktop" : "laptop", sizeof(s.peer_name));
	g_strlcpy(s.name, "work", sizeof(s.name));
	return s;
}

static struct custody_statement make_statement(enum custody_statement_kind kind, bool by_source)
{
	struct custody_statement t = {.kind = kind, .epoch = EPOCH};

	if (kind == CUSTODY_STATEMENT_RELEASE || kind == CUSTODY_STATEMENT_ACK)
		t.epoch = EPOCH + 1;
	memcpy(t.hid, HID, HID_LEN);
	memcpy(t.uuid, VM, UUID_LEN);
	memcpy(t.from, by_source ? S : D, DEVICE_ID_LEN);
	memcpy(t.to, by_source ? D : S, DEVICE_ID_LEN);
	return t;
}

static bool is_source_record(int record)
{
	return record == CUSTODY_PREP || record == CUSTODY_RELEASED || record == CUSTODY_ABORTED ||
	       record == CUSTODY_RECLAIM;
}

/* The ways to each state, written out here again, not taken from the code under test. */
static const struct {
	int state;
	int path[4];
} paths[] = {
	{CUSTODY_PREP, {CUSTODY_PREP, NOTHING}},
	{CUSTODY_RELEASED, {CUSTODY_PREP, CUSTODY_RELEASED, NOTHING}},
	{CUSTODY_ABORTED, {CUSTODY_PREP, CUSTODY_ABORTED, NOTHING}},
	{CUSTODY_RECLAIM, {CUSTODY_PREP, CUSTODY_RELEASED, CUSTODY_RECLAIM, NOTHING}},
	{CUSTODY_RECV, {CUSTODY_RECV, NOTHING}},
	{CUSTODY_PREPARED, {CUSTODY_RECV, CUSTODY_PREPARED, NOTHING}},
	{CUSTODY_OWN, {CUSTODY_RECV, CUSTODY_PREPARED, CUSTODY_OWN, NOTHING}},
};

static enum custody_statement_kind proof_for(int from, int to)
{
	if (to == CUSTODY_RELEASED)
		return CUSTODY_STATEMENT_VOTE;
	if (to == CUSTODY_DONE && from == CUSTODY_RELEASED)
		return CUSTODY_STATEMENT_ACK;
	if (to == CUSTODY_RECLAIM)
		return CUSTODY_STATEMENT_NACK;
	if (to == CUSTODY_OWN)
		return CUSTODY_STATEMENT_RELEASE;
	return CUSTODY_STATEMENT_NONE;
}

/* One step with the proof it needs. */
static int advance(struct custody_view *v, int to, bool source, int last, struct kerr *err)
{
	struct custody_step s = make_step((enum custody_record)to, source);
	enum custody_statement_kind kind = proof_for(v->handoff ? (int)v->record : NOTHING, to);
	struct custody_statement proof = make_statement(kind, !source);

	s.hid_last = last;
	s.proof = kind == CUSTODY_STATEMENT_NONE ? NULL : &proof;
	return custody_step(v, &s, v, err);
}

static struct custody_view view_in(int state, bool known_before)
{
	struct custody_view v = is_source_record(state) ? known_view(true, EPOCH)
				: known_before		? known_view(false, EPOCH - 1)
							: unknown_view();

	for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
		if (paths[i].state != state)
			continue;
		for (size_t k = 0; paths[i].path[k] != NOTHING; k++)
			g_assert_cmpint(
				advance(&v, paths[i].path[k], is_source_record(state), -1, NULL),
				==, 0);
	}
	g_assert_true(v.handoff && (int)v.record == state);
	return v;
}

/* -- The moves -- */

static bool is_legal(int from, int to)
{
	static const int legal[][2] = {
		{CUSTODY_PREP, CUSTODY_RELEASED}, {CUSTODY_PREP, CUSTODY_ABORTED},
		{CUSTODY_RELEASED, CUSTODY_DONE}, {CUSTODY_RELEASED, CUSTODY_RECLAIM},
		{CUSTODY_ABORTED, CUSTODY_DONE},  {CUSTODY_RECLAIM, CUSTODY_DONE},
		{CUSTODY_RECV, CUSTODY_PREPARED}, {CUSTODY_RECV, CUSTODY_VOID},
		{CUSTODY_PREPARED, CUSTODY_OWN},  {CUSTODY_PREPARED, CUSTODY_VOID},
		{CUSTODY_OWN, CUSTODY_DONE},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(legal); i++)
		if (legal[i][0] == from && legal[i][1] == to)
			return true;
	return false;
}

static void test_every_move(void)
{
	unsigned done = 0, refused = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
		int from = paths[i].state;

		for (int to = 0; to < _CUSTODY_RECORD_MAX; to++) {
			struct custody_view before = view_in(from, true), v = before;
			struct kerr err = {0};
			int r = advance(&v, to, is_source_record(from), from, &err);

			if (is_legal(from, to)) {
				g_assert_cmpint(r, ==, 0);
				g_assert_cmpint((int)v.record, ==, to);
				done++;
			} else if (from == to) {
				/* Asked again: nothing changes. */
				g_assert_cmpint(r, ==, 1);
				g_assert_cmpmem(&v, sizeof(v), &before, sizeof(before));
			} else {
				g_assert_cmpint(r, <, 0);
				g_assert_cmpint((int)err.code, !=, KCODE_OK);
				g_assert_cmpuint(strlen(err.text), >, 10);
				g_assert_cmpmem(&v, sizeof(v), &before, sizeof(before));
				refused++;
			}
		}
	}
	g_assert_cmpuint(done, ==, 11);
	g_assert_cmpuint(refused, ==, 7 * 9 - 11 - 7);
}

static void test_from_nothing(void)
{
	for (int to = 0; to < _CUSTODY_RECORD_MAX; to++) {
		struct custody_view here = known_view(true, EPOCH), away = known_view(false, EPOCH);
		struct kerr err = {0};
		int r = advance(&here, to, true, -1, &err);

		g_assert_cmpint(r, ==,
				to == CUSTODY_PREP   ? 0
				: to == CUSTODY_RECV ? -EEXIST
						     : -ENOENT);
		kerr_clear(&err);
		r = advance(&away, to, false, -1, &err);
		g_assert_cmpint(r, ==,
				to == CUSTODY_RECV   ? 0
				: to == CUSTODY_PREP ? -EACCES
						     : -ENOENT);
		if (to == CUSTODY_PREP)
			g_assert_cmpint((int)err.code, ==, KCODE_CUSTODY);
	}
	{
		struct custody_view v = known_view(true, EPOCH);
		struct custody_step s = make_step((enum custody_record)99, true);

		g_assert_cmpint(custody_step(&v, &s, &v, NULL), ==, -EINVAL);
	}
}

static void test_epochs(void)
{
	struct custody_view v = view_in(CUSTODY_PREP, true);

	g_assert_true(v.here && v.epoch == EPOCH && custody_is_open(&v));
	g_assert_cmpint(advance(&v, CUSTODY_RELEASED, true, CUSTODY_PREP, NULL), ==, 0);
	g_assert_true(!v.here && v.epoch == EPOCH + 1 && custody_is_open(&v));
	g_assert_cmpmem(v.holder, DEVICE_ID_LEN, D, DEVICE_ID_LEN);
	g_assert_cmpstr(v.holder_name, ==, "desktop");
	g_assert_cmpint(advance(&v, CUSTODY_DONE, true, CUSTODY_RELEASED, NULL), ==, 0);
	g_assert_true(!v.here && v.epoch == EPOCH + 1 && !custody_is_open(&v) && !v.handoff);

	v = view_in(CUSTODY_RECLAIM, true);
	g_assert_true(v.here && v.epoch == EPOCH + 2 && !custody_is_open(&v) && v.handoff);
	g_assert_cmpmem(v.holder, DEVICE_ID_LEN, S, DEVICE_ID_LEN);

	v = view_in(CUSTODY_ABORTED, true);
	g_assert_true(v.here && v.epoch == EPOCH && !custody_is_open(&v) && v.handoff);

	v = view_in(CUSTODY_RECV, false);
	g_assert_true(v.known && !v.here && v.fresh && v.epoch == EPOCH && custody_is_open(&v));
	g_assert_cmpstr(v.name, ==, "work");
	g_assert_cmpint(advance(&v, CUSTODY_PREPARED, false, CUSTODY_RECV, NULL), ==, 0);
	g_assert_true(!v.here);
	g_assert_cmpint(advance(&v, CUSTODY_OWN, false, CUSTODY_PREPARED, NULL), ==, 0);
	g_assert_true(v.here && v.epoch == EPOCH + 1 && !custody_is_open(&v) && v.handoff);
	g_assert_cmpmem(v.holder, DEVICE_ID_LEN, D, DEVICE_ID_LEN);

	g_assert_true(custody_is_guarded(CUSTODY_RELEASED) && custody_is_guarded(CUSTODY_OWN) &&
		      custody_is_guarded(CUSTODY_RECLAIM));
	g_assert_false(custody_is_guarded(CUSTODY_PREP) || custody_is_guarded(CUSTODY_RECV) ||
		       custody_is_guarded(CUSTODY_PREPARED) || custody_is_guarded(CUSTODY_VOID) ||
		       custody_is_guarded(CUSTODY_ABORTED) || custody_is_guarded(CUSTODY_DONE));
}

/* A refused newcomer leaves no trace that could forbid a VM of our own. */
static void test_void_forgets(void)
{
	struct custody_view v = view_in(CUSTODY_PREPARED, false);

	g_assert_cmpint(advance(&v, CUSTODY_VOID, false, CUSTODY_PREPARED, NULL), ==, 0);
	g_assert_true(!v.known && !v.handoff && v.epoch == EPOCH);
	g_assert_cmpint(custody_may_start(&v, CUSTODY_USE_START, false, "desktop", NULL), ==, 0);

	v = view_in(CUSTODY_PREPARED, true);
	g_assert_cmpint(advance(&v, CUSTODY_VOID, false, CUSTODY_PREPARED, NULL), ==, 0);
	g_assert_true(v.known && !v.here && !v.handoff);
	g_assert_cmpint(custody_may_start(&v, CUSTODY_USE_START, false, "desktop", NULL), ==,
			-EACCES);
}

/* -- Attacks, each beside what must still work -- */

static int receive(const struct custody_view *v, uint64_t epoch, const uint8_t *hid, int last,
		   enum kcode *ret_code)
{
	struct custody_step s = make_step(CUSTODY_RECV, false);
	struct custody_view after;
	struct kerr err = {0};
	int r;

	s.epoch = epoch;
	s.hid_last = last;
	memcpy(s.hid, hid, HID_LEN);
	r = custody_step(v, &s, &after, &err);
	*ret_code = err.code;
	return r;
}

static void test_stale(void)
{
	struct custody_view v = known_view(false, EPOCH);
	enum kcode code;

	for (uint64_t e = 1; e < EPOCH; e++) {
		g_assert_cmpint(receive(&v, e, HID, -1, &code), ==, -ESTALE);
		g_assert_cmpint((int)code, ==, KCODE_STALE_EPOCH);
	}
	g_assert_cmpint(receive(&v, EPOCH, HID, -1, &code), ==, 0);
	g_assert_cmpint(receive(&v, EPOCH + 4, HID, -1, &code), ==, 0);

	/* The same hand-off a second time, whatever became of the first. */
	for (int last = 0; last < _CUSTODY_RECORD_MAX; last++) {
		g_assert_cmpint(receive(&v, EPOCH, HID, last, &code), ==, -ESTALE);
		g_assert_cmpint((int)code, ==, KCODE_STALE_EPOCH);
	}
	/* After OWN the offer of that run is stale, open or not, and after going away again too. */
	v = view_in(CUSTODY_OWN, true);
	g_assert_cmpint(receive(&v, EPOCH, HID2, -1, &code), ==, -ESTALE);
	g_assert_cmpint((int)code, ==, KCODE_STALE_EPOCH);
	/* A VM that was forgotten: the epoch is not. */
	v = unknown_view();
	v.epoch = EPOCH + 1;
	g_assert_cmpint(receive(&v, EPOCH, HID2, -1, &code), ==, -ESTALE);
	g_assert_cmpint(receive(&v, EPOCH + 1, HID2, -1, &code), ==, 0);

	/* Impossible epochs. */
	v = unknown_view();
	g_assert_cmpint(receive(&v, 0, HID, -1, &code), ==, -EBADMSG);
	g_assert_cmpint(receive(&v, UINT64_MAX, HID, -1, &code), ==, -EBADMSG);
	g_assert_cmpint(receive(&v, CUSTODY_EPOCH_MAX - 1, HID, -1, &code), ==, -EBADMSG);
	g_assert_cmpint(receive(&v, CUSTODY_EPOCH_MAX - 2, HID, -1, &code), ==, 0);
}

/* A late record of a hand-off that is over, while another one is open. */
static void test_late_record(void)
{
	for (int to = 0; to < _CUSTODY_RECORD_MAX; to++) {
		struct custody_view v = view_in(CUSTODY_PREPARED, true), after;
		struct custody_step s = make_step((enum custody_record)to, false);
		struct kerr err = {0};

		memcpy(s.hid, HID2, HID_LEN);
		s.hid_last = CUSTODY_PREPARED;
		g_assert_cmpint(custody_step(&v, &s, &after, &err), ==, -ESTALE);
		g_assert_cmpint((int)err.code, ==, KCODE_STALE_EPOCH);
	}
}

static void test_busy(void)
{
	static const int open[] = {CUSTODY_PREP, CUSTODY_RELEASED, CUSTODY_RECV, CUSTODY_PREPARED};
	static const int closed[] = {CUSTODY_ABORTED, CUSTODY_RECLAIM, CUSTODY_OWN};

	for (size_t i = 0; i < G_N_ELEMENTS(open); i++) {
		struct custody_view v = view_in(open[i], true), after;
		struct custody_step s = make_step(CUSTODY_PREP, true);
		struct kerr err = {0};
		enum kcode code;

		memcpy(s.hid, HID2, HID_LEN);
		g_assert_cmpint(custody_step(&v, &s, &after, &err), ==, -EBUSY);
		g_assert_cmpint((int)err.code, ==, KCODE_BUSY);
		g_assert_cmpint(receive(&v, v.epoch, HID2, -1, &code), ==, -EBUSY);
		g_assert_cmpint((int)code, ==, KCODE_BUSY);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(closed); i++) {
		struct custody_view v = view_in(closed[i], true), after;
		struct custody_step s = make_step(CUSTODY_PREP, closed[i] != CUSTODY_OWN);

		memcpy(s.hid, HID2, HID_LEN);
		g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, 0);
		g_assert_true(after.handoff_epoch == v.epoch && !after.fresh);
		g_assert_cmpmem(after.hid, HID_LEN, HID2, HID_LEN);
	}
}

static void test_identity(void)
{
	struct custody_view v = known_view(false, EPOCH), after;
	struct custody_step s = make_step(CUSTODY_RECV, false);
	struct kerr err = {0};

	g_strlcpy(s.name, "other", sizeof(s.name));
	g_assert_cmpint(custody_step(&v, &s, &after, &err), ==, -EEXIST);
	g_assert_cmpint((int)err.code, ==, KCODE_IDENTITY);

	kerr_clear(&err);
	v = unknown_view();
	s.name_taken = true;
	g_assert_cmpint(custody_step(&v, &s, &after, &err), ==, -EEXIST);
	g_assert_cmpint((int)err.code, ==, KCODE_IDENTITY);
	s.name_taken = false;
	g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, 0);

	g_strlcpy(s.name, "evil\n", sizeof(s.name));
	g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, -EBADMSG);

	/* Somebody offers what this device holds itself. */
	kerr_clear(&err);
	v = known_view(true, EPOCH);
	s = make_step(CUSTODY_RECV, false);
	g_assert_cmpint(custody_step(&v, &s, &after, &err), ==, -EEXIST);
	g_assert_cmpint((int)err.code, ==, KCODE_CUSTODY);
}

/* R2: given up, and the own copy died before it ran again: the complete copy over there is the VM.
 * While the own copy is there, or once it was seen to run, nothing is released any more. */
static void test_r2_redecision(void)
{
	struct custody_view v = view_in(CUSTODY_ABORTED, true), after;
	struct custody_step s = make_step(CUSTODY_RELEASED, true);
	struct custody_statement vote = make_statement(CUSTODY_STATEMENT_VOTE, false);
	struct kerr err = {0};

	s.proof = &vote;
	g_assert_cmpint(custody_step(&v, &s, &after, &err), ==, -EINVAL);
	s.copy_gone = true;
	s.proof = NULL;
	g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, -EINVAL);
	s.proof = &vote;
	g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, 0);
	g_assert_false(after.here);
	g_assert_cmpuint(after.epoch, ==, EPOCH + 1);
	g_assert_cmpint(advance(&v, CUSTODY_DONE, true, CUSTODY_ABORTED, NULL), ==, 0);
	s.hid_last = CUSTODY_DONE;
	g_assert_cmpint(custody_step(&v, &s, &after, NULL), <, 0);
}

static void test_proofs(void)
{
	static const struct {
		int from, to;
	} needs[] = {
		{CUSTODY_PREP, CUSTODY_RELEASED},
		{CUSTODY_RELEASED, CUSTODY_DONE},
		{CUSTODY_RELEASED, CUSTODY_RECLAIM},
		{CUSTODY_PREPARED, CUSTODY_OWN},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(needs); i++) {
		struct custody_view v = view_in(needs[i].from, true), after;
		bool source = needs[i].to != CUSTODY_OWN;
		struct custody_step s = make_step((enum custody_record)needs[i].to, source);
		enum custody_statement_kind kind = proof_for(needs[i].from, needs[i].to);
		struct kerr err = {0};

		g_assert_cmpint(custody_step(&v, &s, &after, &err), ==, -EINVAL);
		for (unsigned wrong = 0; wrong <= 6; wrong++) {
			struct custody_statement p = make_statement(kind, !source);

			s.proof = &p;
			p.hid[0] ^= wrong == 1;
			p.uuid[0] ^= wrong == 2;
			p.epoch += wrong == 3;
			p.from[31] ^= wrong == 4;
			p.to[31] ^= wrong == 5;
			if (wrong == 6)
				p.kind = CUSTODY_STATEMENT_ABORT;
			kerr_clear(&err);
			g_assert_cmpint(custody_step(&v, &s, &after, &err), ==,
					wrong ? -EBADMSG : 0);
			g_assert_cmpint((int)err.code, ==, wrong ? KCODE_ATTEST_BINDING : KCODE_OK);
		}
	}
}

/* VOID takes an ABORT, needs none, and takes nothing else. */
static void test_void_proof(void)
{
	struct custody_view v = view_in(CUSTODY_PREPARED, true), after;
	struct custody_step s = make_step(CUSTODY_VOID, false);
	struct custody_statement p = make_statement(CUSTODY_STATEMENT_ABORT, true);

	g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, 0);
	s.proof = &p;
	g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, 0);
	p.kind = CUSTODY_STATEMENT_RELEASE;
	g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, -EBADMSG);
}

static void test_repeats(void)
{
	static const int over[] = {CUSTODY_DONE, CUSTODY_VOID, CUSTODY_ABORTED};
	struct custody_view v = known_view(true, EPOCH + 9), after;

	for (size_t i = 0; i < G_N_ELEMENTS(over); i++) {
		struct custody_step s = make_step((enum custody_record)over[i], true);

		s.hid_last = over[i];
		g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, 1);
		s.hid_last = CUSTODY_PREP;
		g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, -ESTALE);
	}
	{
		/* An old OWN must not be granted again once the VM went on. */
		struct custody_step s = make_step(CUSTODY_OWN, false);

		s.hid_last = CUSTODY_OWN;
		g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, -ESTALE);
	}
}

/* F3: whoever asks for a record that is there gets the same answer, the first ones included. */
static void test_f3_repeat(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
		struct custody_view v = view_in(paths[i].state, true), after;
		struct custody_step s = make_step((enum custody_record)paths[i].state,
						  is_source_record(paths[i].state));

		s.hid_last = paths[i].state;
		g_assert_true(custody_is_repeat(&v, &s));
		g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, 1);
		g_assert_cmpmem(&after, sizeof(after), &v, sizeof(v));
		/* Another hand-off is none of it. */
		memcpy(s.hid, HID2, HID_LEN);
		s.hid_last = -1;
		g_assert_false(custody_is_repeat(&v, &s));
		g_assert_cmpint(custody_step(&v, &s, &after, NULL), <, 0);
	}
}

/* F6: what was started here may not be released any more; a hand-off later it may. */
static void test_f6_started(void)
{
	struct custody_view v = view_in(CUSTODY_ABORTED, true), after;
	struct custody_step s = make_step(CUSTODY_RELEASED, true);
	struct custody_statement vote = make_statement(CUSTODY_STATEMENT_VOTE, false);
	struct kerr err = {0};

	s.proof = &vote;
	s.copy_gone = true;
	g_assert_true(custody_must_note_start(&v));
	g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, 0);
	v.started = true;
	g_assert_false(custody_must_note_start(&v));
	g_assert_cmpint(custody_step(&v, &s, &after, &err), ==, -EACCES);
	g_assert_cmpint((int)err.code, ==, KCODE_CUSTODY);
	g_assert_cmpint(custody_accepts(&v, S, &vote, NULL), <, 0);
	g_assert_cmpint(advance(&v, CUSTODY_DONE, true, CUSTODY_ABORTED, NULL), ==, 0);
	s = make_step(CUSTODY_PREP, true);
	memcpy(s.hid, HID2, HID_LEN);
	g_assert_cmpint(custody_step(&v, &s, &v, NULL), ==, 0);
	g_assert_false(v.started);
	for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
		v = view_in(paths[i].state, true);
		g_assert_true(custody_must_note_start(&v) == (paths[i].state == CUSTODY_ABORTED));
	}
}

/* -- Statements -- */

/* C2: which words each record waits for, written out again. */
static bool is_awaited(int state, int kind)
{
	static const int awaited[][2] = {
		{CUSTODY_PREP, CUSTODY_STATEMENT_VOTE},
		{CUSTODY_PREP, CUSTODY_STATEMENT_NACK},
		{CUSTODY_ABORTED, CUSTODY_STATEMENT_VOTE},
		{CUSTODY_ABORTED, CUSTODY_STATEMENT_NACK},
		{CUSTODY_RELEASED, CUSTODY_STATEMENT_ACK},
		{CUSTODY_RELEASED, CUSTODY_STATEMENT_NACK},
		{CUSTODY_RECV, CUSTODY_STATEMENT_ABORT},
		{CUSTODY_PREPARED, CUSTODY_STATEMENT_RELEASE},
		{CUSTODY_PREPARED, CUSTODY_STATEMENT_ABORT},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(awaited); i++)
		if (awaited[i][0] == state && awaited[i][1] == kind)
			return true;
	return false;
}

static void test_c2_accepts(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
		for (int kind = 0; kind < _CUSTODY_STATEMENT_MAX; kind++) {
			struct custody_view v = view_in(paths[i].state, true);
			bool source = is_source_record(paths[i].state);
			struct custody_statement p =
				make_statement((enum custody_statement_kind)kind, !source);
			struct kerr err = {0};
			int want = is_awaited(paths[i].state, kind) ? 0 : -EINVAL;

			g_assert_cmpint(custody_accepts(&v, source ? S : D, &p, &err), ==, want);
			for (unsigned wrong = 0; wrong < 5; wrong++) {
				struct custody_statement q = p;

				q.hid[0] ^= wrong == 0;
				q.uuid[0] ^= wrong == 1;
				q.epoch += wrong == 2;
				q.from[31] ^= wrong == 3;
				q.to[31] ^= wrong == 4;
				kerr_clear(&err);
				g_assert_cmpint(custody_accepts(&v, source ? S : D, &q, &err), ==,
						-EBADMSG);
				g_assert_cmpint((int)err.code, ==, KCODE_ATTEST_BINDING);
			}
		}
	{
		struct custody_view v = known_view(true, EPOCH);
		struct custody_statement p = make_statement(CUSTODY_STATEMENT_ACK, false);

		g_assert_cmpint(custody_accepts(&v, S, &p, NULL), ==, -EBADMSG);
	}
}

/* What is said until the other side answers. */
static void test_again(void)
{
	static const struct {
		int state;
		enum custody_statement_kind kind;
		uint64_t epoch;
	} rows[] = {
		{CUSTODY_PREP, CUSTODY_STATEMENT_NONE, 0},
		{CUSTODY_RELEASED, CUSTODY_STATEMENT_RELEASE, EPOCH + 1},
		{CUSTODY_ABORTED, CUSTODY_STATEMENT_ASK, EPOCH},
		{CUSTODY_RECLAIM, CUSTODY_STATEMENT_NONE, 0},
		{CUSTODY_RECV, CUSTODY_STATEMENT_NONE, 0},
		{CUSTODY_PREPARED, CUSTODY_STATEMENT_VOTE, EPOCH},
		{CUSTODY_OWN, CUSTODY_STATEMENT_NONE, 0},
	};
	struct custody_statement t;
	struct custody_view v = known_view(true, EPOCH);

	custody_statement_again(&v, S, &t);
	g_assert_cmpint((int)t.kind, ==, CUSTODY_STATEMENT_NONE);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		bool source = is_source_record(rows[i].state);

		v = view_in(rows[i].state, true);
		custody_statement_again(&v, source ? S : D, &t);
		g_assert_cmpint((int)t.kind, ==, (int)rows[i].kind);
		g_assert_cmpuint(t.epoch, ==, rows[i].epoch);
		if (t.kind == CUSTODY_STATEMENT_NONE)
			continue;
		g_assert_cmpuint(custody_statement_handoff_epoch(&t), ==, EPOCH);
		g_assert_cmpmem(t.to, DEVICE_ID_LEN, source ? D : S, DEVICE_ID_LEN);
		g_assert_cmpmem(t.from, DEVICE_ID_LEN, source ? S : D, DEVICE_ID_LEN);
	}
}

static void test_statements(void)
{
	static const struct {
		int state;
		bool source;
		enum custody_statement_kind kind;
		uint64_t epoch;
	} rows[] = {
		{CUSTODY_PREP, true, CUSTODY_STATEMENT_NONE, 0},
		{CUSTODY_RELEASED, true, CUSTODY_STATEMENT_RELEASE, EPOCH + 1},
		{CUSTODY_ABORTED, true, CUSTODY_STATEMENT_ABORT, EPOCH},
		{CUSTODY_RECLAIM, true, CUSTODY_STATEMENT_NONE, 0},
		{CUSTODY_RECV, false, CUSTODY_STATEMENT_NONE, 0},
		{CUSTODY_PREPARED, false, CUSTODY_STATEMENT_VOTE, EPOCH},
		{CUSTODY_OWN, false, CUSTODY_STATEMENT_ACK, EPOCH + 1},
	};
	struct custody_statement t;
	struct custody_view v;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct custody_statement want = make_statement(rows[i].kind, rows[i].source);

		v = view_in(rows[i].state, true);
		custody_statement_for(&v, rows[i].source ? S : D, &t);
		g_assert_cmpint((int)t.kind, ==, (int)rows[i].kind);
		g_assert_cmpuint(t.epoch, ==, rows[i].epoch);
		if (t.kind != CUSTODY_STATEMENT_NONE)
			g_assert_cmpmem(&t, sizeof(t), &want, sizeof(want));
	}
	v = view_in(CUSTODY_RECV, false);
	g_assert_cmpint(advance(&v, CUSTODY_VOID, false, CUSTODY_RECV, NULL), ==, 0);
	custody_statement_for(&v, D, &t);
	g_assert_cmpint((int)t.kind, ==, CUSTODY_STATEMENT_NACK);
	g_assert_cmpuint(t.epoch, ==, EPOCH);
}

/* -- The hook's question -- */

static void check_start(int state, enum custody_use use, bool seen, bool allowed)
{
	struct custody_view v = view_in(state, true);
	struct kerr err = {0};
	int r = custody_may_start(&v, use, seen, "desktop", &err);

	g_assert_cmpint(r, ==, allowed ? 0 : -EACCES);
	g_assert_cmpint((int)err.code, ==, allowed ? KCODE_OK : KCODE_CUSTODY);
	if (!allowed)
		g_assert_nonnull(strstr(err.text, "\"work\""));
}

static void test_may_start(void)
{
	static const struct {
		int state;
		bool start, start_seen, incoming;
	} rows[] = {
		{CUSTODY_PREP, false, false, false},  {CUSTODY_RELEASED, false, false, false},
		{CUSTODY_ABORTED, true, true, false}, {CUSTODY_RECLAIM, true, true, false},
		{CUSTODY_RECV, false, true, true},    {CUSTODY_PREPARED, false, false, false},
		{CUSTODY_OWN, true, true, false},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		check_start(rows[i].state, CUSTODY_USE_START, false, rows[i].start);
		check_start(rows[i].state, CUSTODY_USE_START, true, rows[i].start_seen);
		check_start(rows[i].state, CUSTODY_USE_INCOMING, false, rows[i].incoming);
	}
}

static void test_may_start_idle(void)
{
	struct custody_view v = known_view(true, 3);
	struct kerr err = {0};

	g_assert_cmpint(custody_may_start(&v, CUSTODY_USE_START, false, NULL, NULL), ==, 0);
	g_assert_cmpint(custody_may_start(&v, CUSTODY_USE_INCOMING, true, NULL, NULL), ==, -EACCES);
	g_assert_cmpint(custody_may_start(&v, (enum custody_use)7, true, NULL, NULL), ==, -EINVAL);
	v = known_view(false, 3);
	g_assert_cmpint(custody_may_start(&v, CUSTODY_USE_START, true, "laptop", &err), ==,
			-EACCES);
	g_assert_cmpstr(
		err.text, ==,
		"This device does not hold the VM \"work\"; it is on \"desktop\" since epoch "
		"3. Bring it back with `kith move work laptop` there.");
	/* Not our business, but nothing of other people's comes in silently. */
	v = unknown_view();
	kerr_clear(&err);
	g_assert_cmpint(custody_may_start(&v, CUSTODY_USE_START, false, NULL, NULL), ==, 0);
	g_assert_cmpint(custody_may_start(&v, CUSTODY_USE_INCOMING, true, NULL, &err), ==, -EACCES);
	g_assert_cmpint((int)err.code, ==, KCODE_CUSTODY);
}

static void test_adopt(void)
{
	struct custody_view v = unknown_view(), after;
	struct kerr err = {0};

	g_assert_cmpint(custody_adopt(&v, "work", false, S, "laptop", &after, NULL), ==, 0);
	g_assert_true(after.known && after.here && after.epoch == 1 && !after.handoff);
	v.epoch = 41;
	g_assert_cmpint(custody_adopt(&v, "work", false, S, "laptop", &after, NULL), ==, 0);
	g_assert_cmpuint(after.epoch, ==, 42);
	g_assert_cmpint(custody_adopt(&after, "work", false, S, "laptop", &v, &err), ==, -EEXIST);
	g_assert_cmpint((int)err.code, ==, KCODE_EXISTS);
	v = unknown_view();
	kerr_clear(&err);
	g_assert_cmpint(custody_adopt(&v, "work", true, S, "laptop", &after, &err), ==, -EEXIST);
	g_assert_cmpint((int)err.code, ==, KCODE_IDENTITY);
	g_assert_cmpint(custody_adopt(&v, "", false, S, "laptop", &after, NULL), ==, -EINVAL);
	v.epoch = CUSTODY_EPOCH_MAX;
	g_assert_cmpint(custody_adopt(&v, "work", false, S, "laptop", &after, NULL), ==, -ERANGE);
}

static void test_forms(void)
{
	struct custody_view v = view_in(CUSTODY_RELEASED, true);
	struct policyd_open open;
	struct policyd_vm vm;

	custody_to_vm(&v, 12, &vm);
	g_assert_true(vm.open && !vm.here && vm.epoch == EPOCH + 1 && vm.policy_version == 12);
	g_assert_cmpmem(vm.hid, HID_LEN, HID, HID_LEN);
	custody_to_open(&v, &open);
	g_assert_true(open.source && open.record == CUSTODY_RELEASED && open.epoch == EPOCH);
	g_assert_false(open.started || open.fresh);
	v.started = true;
	custody_to_open(&v, &open);
	g_assert_true(open.started);
	v = view_in(CUSTODY_RECV, false);
	custody_to_open(&v, &open);
	g_assert_true(open.fresh && !open.source);
	v = view_in(CUSTODY_RELEASED, true);
	custody_to_open(&v, &open);
	g_assert_cmpstr(open.vm, ==, "work");
	g_assert_cmpmem(open.peer, DEVICE_ID_LEN, D, DEVICE_ID_LEN);
}

/* -- HO1, HO7, H9 at large: three devices, any record at any time, any statement ever made, lost,
 * repeated or late. Never two holders. -- */

#define DEVICES 3
#define HANDOFFS 64
#define STATEMENTS 512

struct world {
	struct custody_view view[DEVICES];
	int last[DEVICES][HANDOFFS];
	struct custody_statement said[STATEMENTS];
	size_t said_count;
	uint64_t owned_epoch; /* highest epoch that anybody took */
	unsigned moves, handoffs;
};

static unsigned count_here(const struct world *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < DEVICES; i++)
		n += w->view[i].here;
	return n;
}

/* Half of the time the latest statement about this hand-off, else any that was ever made. */
static const struct custody_statement *pick_proof(const struct world *w, unsigned hid)
{
	if (!w->said_count || randombytes_uniform(3) == 0)
		return NULL;
	if (randombytes_uniform(2))
		return &w->said[randombytes_uniform((uint32_t)w->said_count)];
	for (size_t i = w->said_count; i > 0; i--)
		if (w->said[i - 1].hid[0] == hid)
			return &w->said[i - 1];
	return NULL;
}

static struct custody_step random_record(const struct world *w, unsigned me, unsigned peer)
{
	const struct custody_view *v = &w->view[me], *p = &w->view[peer];
	struct custody_step s = {
		.record = (enum custody_record)randombytes_uniform(_CUSTODY_RECORD_MAX)};
	unsigned hid = randombytes_uniform(HANDOFFS);

	/* Giving up ends most hand-offs if it is as likely as going on. */
	if ((s.record == CUSTODY_ABORTED || s.record == CUSTODY_VOID) && randombytes_uniform(16))
		s.record = v->source ? CUSTODY_RELEASED : CUSTODY_PREPARED;
	s.epoch = 1 + randombytes_uniform((uint32_t)w->owned_epoch + 3);
	/* Mostly the hand-off that is there, sometimes any. */
	if (v->handoff && s.record != CUSTODY_PREP && randombytes_uniform(4))
		hid = v->hid[0];
	if (s.record == CUSTODY_RECV && p->handoff && p->source && randombytes_uniform(8)) {
		hid = p->hid[0];
		s.epoch = p->handoff_epoch;
	}
	s.hid[0] = (uint8_t)hid;
	s.hid_last = w->last[me][hid];
	s.proof = pick_proof(w, hid);
	return s;
}

static void random_step(struct world *w, const uint8_t ids[DEVICES][DEVICE_ID_LEN])
{
	unsigned me = randombytes_uniform(DEVICES);
	unsigned peer = (me + 1 + randombytes_uniform(2)) % DEVICES;
	struct custody_step s = random_record(w, me, peer);
	struct custody_view *v = &w->view[me], after;
	struct custody_statement said;

	memcpy(s.uuid, VM, UUID_LEN);
	memcpy(s.self, ids[me], DEVICE_ID_LEN);
	memcpy(s.peer, ids[peer], DEVICE_ID_LEN);
	g_strlcpy(s.name, "work", sizeof(s.name));
	if (custody_step(v, &s, &after, NULL) != 0)
		return;
	w->moves++;
	w->last[me][s.hid[0]] = (int)s.record;
	if (after.here && !v->here) {
		/* (VM, epoch) is taken once. */
		g_assert_cmpuint(after.epoch, >, w->owned_epoch);
		w->owned_epoch = after.epoch;
		w->handoffs += s.record == CUSTODY_OWN;
	}
	*v = after;
	custody_statement_for(v, ids[me], &said);
	if (said.kind != CUSTODY_STATEMENT_NONE && w->said_count < STATEMENTS)
		w->said[w->said_count++] = said;
}

static void test_random_worlds(void)
{
	uint8_t ids[DEVICES][DEVICE_ID_LEN];
	unsigned moves = 0, handoffs = 0;

	memcpy(ids[0], S, DEVICE_ID_LEN);
	memcpy(ids[1], D, DEVICE_ID_LEN);
	memcpy(ids[2], X, DEVICE_ID_LEN);
	for (unsigned run = 0; run < 500; run++) {
		struct world *w = g_new0(struct world, 1);

		for (unsigned i = 0; i < DEVICES; i++)
			for (unsigned k = 0; k < HANDOFFS; k++)
				w->last[i][k] = -1;
		for (unsigned i = 0; i < DEVICES; i++)
			w->view[i] = unknown_view();
		w->view[0] = known_view(true, 1);
		w->owned_epoch = 1;
		for (unsigned i = 0; i < 2000; i++) {
			random_step(w, ids);
			g_assert_cmpuint(count_here(w), <=, 1);
		}
		moves += w->moves;
		handoffs += w->handoffs;
		g_free(w);
	}
	/* The walk went somewhere. */
	g_test_message("%u records, %u hand-offs completed", moves, handoffs);
	g_assert_cmpuint(moves, >, 5000);
	g_assert_cmpuint(handoffs, >, 20);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
	g_test_add_func("/custody-rules/every record after every other", test_every_move);
	g_test_add_func("/custody-rules/only PREP and RECV start a hand-off", test_from_nothing);
	g_test_add_func("/custody-rules/epochs and holder", test_epochs);
	g_test_add_func("/custody-rules/VOID forgets a VM that was new", test_void_forgets);
	g_test_add_func("/custody-rules/HO7 stale epochs and replayed offers", test_stale);
	g_test_add_func("/custody-rules/HO7 late records of an ended hand-off", test_late_record);
	g_test_add_func("/custody-rules/H9 one open hand-off per VM", test_busy);
	g_test_add_func("/custody-rules/H21 name and UUID belong together", test_identity);
	g_test_add_func("/custody-rules/R2 given up, then released if the copy died",
			test_r2_redecision);
	g_test_add_func("/custody-rules/R3 R4 proofs must fit", test_proofs);
	g_test_add_func("/custody-rules/VOID takes an ABORT or nothing", test_void_proof);
	g_test_add_func("/custody-rules/a record asked again changes nothing", test_repeats);
	g_test_add_func("/custody-rules/F3 every record may be asked for again", test_f3_repeat);
	g_test_add_func("/custody-rules/F6 what was started here is not released", test_f6_started);
	g_test_add_func("/custody-rules/C2 only the awaited word of this very hand-off",
			test_c2_accepts);
	g_test_add_func("/custody-rules/F8 what is said until it is answered", test_again);
	g_test_add_func("/custody-rules/statements of each record", test_statements);
	g_test_add_func("/custody-rules/H10 start and incoming during a hand-off", test_may_start);
	g_test_add_func("/custody-rules/H10 start and incoming at rest", test_may_start_idle);
	g_test_add_func("/custody-rules/adoption", test_adopt);
	g_test_add_func("/custody-rules/wire forms", test_forms);
	g_test_add_func("/custody-rules/HO1 H9 random worlds have one holder", test_random_worlds);
	return g_test_run();
}
