/* SPDX-License-Identifier: Apache-2.0 */
/* After a roll-back that was accepted: who is asked what, what answers change, and the owner's
 * word. */
#include "policyd/custody-doubt.h"
#include "policyd/dispatch.h"
#include "tests/unit/policyd-fixture.h"

static const uint8_t SELF[DEVICE_ID_LEN] = {1}, PEER[DEVICE_ID_LEN] = {2};
static const uint8_t NONCE[HID_LEN] = {7};

/* -- Pure -- */

static struct custody_view view_at(enum custody_doubt doubt, bool here, uint64_t epoch)
{
	struct custody_view v = {
		.known = true, .here = here, .epoch = epoch, .doubt = doubt, .name = "work"};

	memcpy(v.uuid, vm, UUID_LEN);
	memcpy(v.holder, here ? SELF : PEER, DEVICE_ID_LEN);
	if (doubt == CUSTODY_ASKING)
		memcpy(v.nonce, NONCE, HID_LEN);
	return v;
}

static struct custody_statement says(enum custody_statement_kind kind, uint64_t epoch)
{
	struct custody_statement s = {.kind = kind, .epoch = epoch};

	memcpy(s.hid, NONCE, HID_LEN);
	memcpy(s.uuid, vm, UUID_LEN);
	memcpy(s.from, PEER, DEVICE_ID_LEN);
	memcpy(s.to, SELF, DEVICE_ID_LEN);
	return s;
}

static void test_answers(void)
{
	static const struct {
		bool here, handoff, source;
		enum custody_record record;
		enum custody_doubt doubt;
		enum custody_statement_kind kind;
	} rows[] = {
		{.here = true, .kind = CUSTODY_STATEMENT_HELD},
		{.kind = CUSTODY_STATEMENT_NOT_HELD},
		{.here = true, .doubt = CUSTODY_ASKING, .kind = CUSTODY_STATEMENT_NONE},
		{.doubt = CUSTODY_HEARSAY, .kind = CUSTODY_STATEMENT_NOT_HELD},
		{.here = true,
		 .handoff = true,
		 .source = true,
		 .record = CUSTODY_PREP,
		 .kind = CUSTODY_STATEMENT_HELD},
		{.handoff = true,
		 .source = true,
		 .record = CUSTODY_RELEASED,
		 .kind = CUSTODY_STATEMENT_NOT_HELD},
		{.handoff = true, .record = CUSTODY_RECV, .kind = CUSTODY_STATEMENT_NONE},
		{.handoff = true, .record = CUSTODY_PREPARED, .kind = CUSTODY_STATEMENT_NONE},
		{.here = true,
		 .handoff = true,
		 .record = CUSTODY_OWN,
		 .kind = CUSTODY_STATEMENT_HELD},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct custody_view v = view_at(rows[i].doubt, rows[i].here, 4);
		struct custody_statement where = says(CUSTODY_STATEMENT_WHERE, 2), said;

		v.handoff = rows[i].handoff;
		v.source = rows[i].source;
		v.record = rows[i].record;
		custody_doubt_answer(&v, &where, SELF, &said);
		g_assert_cmpint((int)said.kind, ==, (int)rows[i].kind);
		if (said.kind == CUSTODY_STATEMENT_NONE)
			continue;
		g_assert_cmpuint(said.epoch, ==, 4);
		g_assert_cmpmem(said.hid, HID_LEN, NONCE, HID_LEN);
		g_assert_cmpmem(said.to, DEVICE_ID_LEN, PEER, DEVICE_ID_LEN);
	}
}

static void test_hear(void)
{
	static const struct {
		enum custody_statement_kind kind;
		uint64_t epoch;
		enum custody_hearing heard;
	} rows[] = {
		{CUSTODY_STATEMENT_HELD, 4, CUSTODY_HEARD_NOTHING},
		{CUSTODY_STATEMENT_HELD, 5, CUSTODY_HEARD_ELSEWHERE},
		{CUSTODY_STATEMENT_HELD, 6, CUSTODY_HEARD_ELSEWHERE},
		{CUSTODY_STATEMENT_NOT_HELD, 0, CUSTODY_HEARD_NOT_THERE},
		{CUSTODY_STATEMENT_NOT_HELD, 5, CUSTODY_HEARD_NOT_THERE},
		{CUSTODY_STATEMENT_NOT_HELD, 6, CUSTODY_HEARD_ELSEWHERE},
		{CUSTODY_STATEMENT_NOT_HELD, CUSTODY_EPOCH_MAX, CUSTODY_HEARD_NOTHING},
		{CUSTODY_STATEMENT_HELD, CUSTODY_EPOCH_MAX, CUSTODY_HEARD_NOTHING},
		{CUSTODY_STATEMENT_ACK, 5, CUSTODY_HEARD_NOTHING},
		{CUSTODY_STATEMENT_WHERE, 5, CUSTODY_HEARD_NOTHING},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct custody_view v = view_at(CUSTODY_ASKING, true, 5);
		struct custody_statement s = says(rows[i].kind, rows[i].epoch);

		g_assert_cmpint((int)custody_doubt_hear(&v, SELF, &s), ==, (int)rows[i].heard);
		/* Another question's answer, another VM's, another device's; nobody asked. */
		for (int wrong = 0; wrong < 4; wrong++) {
			struct custody_view u = wrong == 3 ? view_at(CUSTODY_SURE, true, 5) : v;
			struct custody_statement t = s;

			t.hid[0] ^= wrong == 0;
			t.uuid[0] ^= wrong == 1;
			t.to[0] ^= wrong == 2;
			g_assert_cmpint((int)custody_doubt_hear(&u, SELF, &t), ==,
					CUSTODY_HEARD_NOTHING);
		}
	}
}

static void test_outcomes(void)
{
	struct custody_view v = view_at(CUSTODY_ASKING, true, 5), after;
	struct custody_statement s = says(CUSTODY_STATEMENT_HELD, 9);

	custody_doubt_over(&v, &after);
	g_assert_true(after.here && after.doubt == CUSTODY_SURE && after.epoch == 5);
	custody_doubt_elsewhere(&v, &s, "desktop", &after);
	g_assert_true(!after.here && after.doubt == CUSTODY_HEARSAY);
	/* A word binds no epoch: the VM can still come home with its own. */
	g_assert_cmpuint(after.epoch, ==, 5);
	g_assert_cmpuint(after.told_epoch, ==, 9);
	g_assert_cmpstr(after.holder_name, ==, "desktop");
	s.kind = CUSTODY_STATEMENT_NOT_HELD;
	custody_doubt_elsewhere(&v, &s, "desktop", &after);
	g_assert_cmpstr(after.holder_name, ==, "");
	v = view_at(CUSTODY_ASKING, false, 5);
	custody_doubt_over(&v, &after);
	g_assert_true(!after.here && after.doubt == CUSTODY_HEARSAY);
}

static void test_claim(void)
{
	struct custody_view v = view_at(CUSTODY_ASKING, true, 5), after;
	struct kerr err = {0};

	g_assert_cmpint(custody_claim(&v, SELF, "laptop", &after, NULL), ==, 0);
	g_assert_true(after.here && after.doubt == CUSTODY_SURE);
	g_assert_cmpuint(after.epoch, ==, 5 + CUSTODY_CLAIM_JUMP);
	g_assert_cmpstr(after.holder_name, ==, "laptop");
	v = view_at(CUSTODY_HEARSAY, false, 5);
	v.told_epoch = CUSTODY_EPOCH_MAX / 2;
	g_assert_cmpint(custody_claim(&v, SELF, "laptop", &after, NULL), ==, 0);
	g_assert_cmpuint(after.epoch, ==, CUSTODY_EPOCH_MAX / 2 + CUSTODY_CLAIM_JUMP);
	/* What is known is not claimed; nor what is on its way; nor above the last number. */
	g_assert_cmpint(custody_claim(&after, SELF, "laptop", &v, &err), ==, -EACCES);
	g_assert_cmpint((int)err.code, ==, KCODE_CUSTODY);
	v = view_at(CUSTODY_ASKING, true, 5);
	v.handoff = v.source = true;
	v.record = CUSTODY_RELEASED;
	g_assert_cmpint(custody_claim(&v, SELF, "laptop", &after, NULL), ==, -EBUSY);
	v = view_at(CUSTODY_ASKING, true, CUSTODY_EPOCH_MAX - 1);
	g_assert_cmpint(custody_claim(&v, SELF, "laptop", &after, NULL), ==, -ERANGE);
}

/* In doubt nothing starts, comes or leaves. */
static void test_doubt_forbids(void)
{
	struct custody_view v = view_at(CUSTODY_ASKING, true, 5), after;
	struct custody_step s = {
		.record = CUSTODY_PREP, .hid_last = -1, .name = "work", .epoch = 9};
	struct kerr err = {0};

	memcpy(s.uuid, vm, UUID_LEN);
	memcpy(s.self, SELF, DEVICE_ID_LEN);
	memcpy(s.peer, PEER, DEVICE_ID_LEN);
	g_assert_cmpint(custody_may_start(&v, CUSTODY_USE_START, true, NULL, &err), ==, -EACCES);
	g_assert_nonnull(strstr(err.text, "kith claim work"));
	g_assert_cmpint(custody_may_start(&v, CUSTODY_USE_INCOMING, true, NULL, NULL), ==, -EACCES);
	g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, -EACCES);
	v.here = false;
	s.record = CUSTODY_RECV;
	g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, -EACCES);
	v.doubt = CUSTODY_HEARSAY;
	v.told_epoch = 7;
	g_assert_cmpint(custody_step(&v, &s, &after, NULL), ==, 0);
	g_assert_true(after.doubt == CUSTODY_SURE && after.told_epoch == 0);
}

/* -- On cores -- */

static void copy_store(struct device *d, const char *from, const char *to)
{
	g_autofree char *f = g_build_filename(d->tpm.dir, "policyd", from, NULL);
	g_autofree char *t = g_build_filename(d->tpm.dir, "policyd", to, NULL);
	g_autofree char *data = NULL;
	gsize len;

	g_assert_true(g_file_get_contents(f, &data, &len, NULL));
	g_assert_true(g_file_set_contents(t, data, (gssize)len, NULL));
}

/* An older copy of the store is put back, and the owner accepts it. */
static void roll_back(struct device *d)
{
	struct kerr err = {0};

	close_core(d);
	copy_store(d, "backup", STORE_FILE);
	open_core(d);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_ROLLBACK);
	g_assert_cmpint(core_unlock(d->core, d->recovery, &err), ==, 0);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_READY);
}

static enum custody_marker marker_of(struct device *d)
{
	struct marker info;

	g_assert_cmpint(marker_read(d->core->marker_fd, vm, &info), ==, 0);
	return info.state;
}

static struct custody_view view_of(struct device *d)
{
	struct custody_view v;

	g_assert_cmpint(store_custody_get(d->core->store, vm, &v, NULL), ==, 0);
	return v;
}

/* Everything that `d` wants to ask goes to `to` if it is for it, and the answer comes back. */
static int ask_and_answer(struct device *d, struct device *to, struct wire *ret_answer)
{
	_cleanup_free_ struct policyd_letter *list = NULL;
	struct kerr err = {0};
	struct wire question, none;
	size_t n = take_list(d, handoff_custody_outbox, &policyd_letter_record, (void **)&list);

	wire_clear(ret_answer);
	for (size_t i = 0; i < n; i++) {
		if (memcmp(list[i].peer, to->core->id.id, DEVICE_ID_LEN) != 0)
			continue;
		wire_set(&question, list[i].statement, list[i].len);
		g_assert_cmpint(tell(d, to, &question, ret_answer, &err), ==, 0);
		if (ret_answer->buf.len)
			g_assert_cmpint(tell(to, d, ret_answer, &none, &err), ==, 0);
		return kind_of(&question);
	}
	return CUSTODY_STATEMENT_NONE;
}

/* Restored from before the move, the device does not take the VM as its own again. */
static void test_h2_moved(void)
{
	struct world *w = world_new();
	struct wire answer;

	copy_store(w->laptop, STORE_FILE, "backup");
	g_assert_true(move(w, w->laptop, w->desktop));
	roll_back(w->laptop);
	g_assert_cmpint(may_start(w->laptop), <, 0);
	g_assert_cmpint(may_start(w->desktop), ==, 0);
	g_assert_cmpint(marker_of(w->laptop), ==, CUSTODY_MARKER_DOUBT);
	g_assert_false(move(w, w->laptop, w->desktop));
	restart(w->laptop);
	g_assert_cmpint(may_start(w->laptop), <, 0);
	/* Bob has nothing, which is not enough; the desktop has it. */
	g_assert_cmpint(ask_and_answer(w->laptop, w->bobs, &answer), ==, CUSTODY_STATEMENT_WHERE);
	g_assert_cmpint(kind_of(&answer), ==, CUSTODY_STATEMENT_NOT_HELD);
	g_assert_cmpint(ask_and_answer(w->laptop, w->bobs, &answer), ==, CUSTODY_STATEMENT_NONE);
	g_assert_cmpint(may_start(w->laptop), <, 0);
	restart(w->laptop);
	g_assert_cmpint(ask_and_answer(w->laptop, w->bobs, &answer), ==, CUSTODY_STATEMENT_NONE);
	g_assert_cmpint(ask_and_answer(w->laptop, w->desktop, &answer), ==,
			CUSTODY_STATEMENT_WHERE);
	g_assert_cmpint(kind_of(&answer), ==, CUSTODY_STATEMENT_HELD);
	g_assert_cmpint(may_start(w->laptop), <, 0);
	g_assert_cmpint(marker_of(w->laptop), ==, CUSTODY_MARKER_ELSEWHERE);
	g_assert_cmpstr(view_of(w->laptop).holder_name, ==, "desktop");
	g_assert_cmpint(ask_and_answer(w->laptop, w->desktop, &answer), ==, CUSTODY_STATEMENT_NONE);
	/* And it comes home. */
	g_assert_true(move(w, w->desktop, w->laptop));
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	g_assert_cmpint((int)view_of(w->laptop).doubt, ==, CUSTODY_SURE);
	world_free(w);
}

/* The twin: it never left, everybody says so, and it goes on. */
static void test_h2_stayed(void)
{
	struct world *w = world_new();
	struct wire answer, none;
	struct kerr err;

	copy_store(w->laptop, STORE_FILE, "backup");
	g_assert_cmpint(store_commit(w->laptop->core->store, COMMIT_GUARDED, &err), ==, 0);
	roll_back(w->laptop);
	g_assert_cmpint(may_start(w->laptop), <, 0);
	g_assert_cmpint(ask_and_answer(w->laptop, w->desktop, &answer), ==,
			CUSTODY_STATEMENT_WHERE);
	g_assert_cmpint(may_start(w->laptop), <, 0);
	g_assert_cmpint(ask_and_answer(w->laptop, w->bobs, &answer), ==, CUSTODY_STATEMENT_WHERE);
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	g_assert_cmpint(marker_of(w->laptop), ==, CUSTODY_MARKER_HERE);
	/* An old answer is none to the next question. */
	copy_store(w->laptop, STORE_FILE, "backup");
	g_assert_cmpint(store_commit(w->laptop->core->store, COMMIT_GUARDED, &err), ==, 0);
	roll_back(w->laptop);
	g_assert_cmpint(tell(w->bobs, w->laptop, &answer, &none, &err), ==, 0);
	g_assert_cmpint(ask_and_answer(w->laptop, w->desktop, &answer), ==,
			CUSTODY_STATEMENT_WHERE);
	g_assert_cmpint(may_start(w->laptop), <, 0);
	/* A device that is lost has nothing to say any more once its owner forgot it. */
	g_assert_cmpint(store_peer_revoke(w->laptop->core->store, w->bobs->core->id.id, &err), ==,
			0);
	g_assert_cmpint(store_commit(w->laptop->core->store, COMMIT_GUARDED, &err), ==, 0);
	g_assert_cmpint(ask_and_answer(w->laptop, w->desktop, &answer), ==, CUSTODY_STATEMENT_NONE);
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	world_free(w);
}

/* A locked device that lost nothing is not in doubt: kernels change often. */
static void test_h2_only_locked(void)
{
	struct world *w = world_new();
	struct kerr err = {0};

	close_core(w->laptop);
	extend(&w->laptop->tpm, 4);
	open_core(w->laptop);
	g_assert_cmpint(w->laptop->core->state, ==, POLICYD_STATE_LOCKED);
	/* The hook is told to go by the marker (R5). */
	g_assert_cmpint(handoff_custody_check(w->laptop->handoffs, vm, CUSTODY_USE_START, &err), ==,
			-EAGAIN);
	g_assert_cmpint((int)err.code, ==, KCODE_LOCKED);
	g_assert_cmpint(marker_of(w->laptop), ==, CUSTODY_MARKER_HERE);
	kerr_clear(&err);
	g_assert_cmpint(core_unlock(w->laptop->core, w->laptop->recovery, &err), ==, 0);
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	g_assert_cmpint((int)view_of(w->laptop).doubt, ==, CUSTODY_SURE);
	world_free(w);
}

/* Somebody knows of a later hand-off: the VM went on from here, wherever it is. A RELEASE that the
 * device forgot is not answered with what it does not know. */
static void test_h2_later_epoch(void)
{
	struct world *w = world_new();
	struct wire answer, reply;
	struct kerr err;

	g_assert_true(move(w, w->laptop, w->desktop));
	copy_store(w->desktop, STORE_FILE, "backup");
	g_assert_true(move(w, w->desktop, w->laptop));
	w->run.s = w->laptop;
	w->run.d = w->desktop;
	go_to(w, CUSTODY_RELEASED);
	roll_back(w->desktop);
	g_assert_cmpint(tell(w->laptop, w->desktop, &w->release, &reply, &err), ==, 0);
	g_assert_cmpint(kind_of(&reply), ==, CUSTODY_STATEMENT_NONE);
	g_assert_cmpint(ask_and_answer(w->desktop, w->laptop, &answer), ==,
			CUSTODY_STATEMENT_WHERE);
	g_assert_cmpint(kind_of(&answer), ==, CUSTODY_STATEMENT_NOT_HELD);
	g_assert_cmpint((int)view_of(w->desktop).doubt, ==, CUSTODY_HEARSAY);
	g_assert_cmpint(may_start(w->desktop), <, 0);
	g_assert_cmpint(tell(w->laptop, w->desktop, &w->release, &reply, &err), ==, 0);
	g_assert_cmpint(kind_of(&reply), ==, CUSTODY_STATEMENT_NONE);
	/* The owner decides: it is on the desktop. Then the source may let go. */
	{
		uint64_t epoch;

		kerr_clear(&err);
		g_assert_cmpint(handoff_claim(w->desktop->handoffs, vm, &epoch, &err), ==, 0);
		g_assert_cmpuint(epoch, >, CUSTODY_CLAIM_JUMP);
	}
	g_assert_cmpint(may_start(w->desktop), ==, 0);
	g_assert_cmpint(tell(w->laptop, w->desktop, &w->release, &reply, &err), ==, 0);
	g_assert_cmpint(kind_of(&reply), ==, CUSTODY_STATEMENT_ACK);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_DONE, &reply, NULL, &err), ==, 0);
	/* The claim is a link of the chain, and the VM comes home with it. */
	idle(w->laptop);
	idle(w->desktop);
	g_assert_true(move(w, w->desktop, w->laptop));
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	world_free(w);
}

static int claim_by_request(struct device *d, uint64_t *ret, struct kerr *err)
{
	struct caller caller = caller_of(d, 0, 1);
	struct policyd_number epoch = {0};
	struct policyd_uuid uuid;
	int r;

	memcpy(uuid.uuid, vm, UUID_LEN);
	kerr_clear(err);
	r = op_claim(&caller, &uuid, &epoch, err);
	if (r == 0)
		*ret = epoch.value;
	store_rollback(d->core->store);
	return r;
}

/* A peer's lie, or a peer that is gone, does not take the VM from its owner for ever. */
static void test_w17_claim(void)
{
	struct world *w = world_new();
	struct custody_statement st = {.kind = CUSTODY_STATEMENT_HELD, .epoch = 77};
	struct wire lie, none;
	struct kerr err;
	uint64_t epoch = 0;

	g_assert_cmpint(claim_by_request(w->laptop, &epoch, &err), <, 0);
	g_assert_cmpint((int)err.code, ==, KCODE_CUSTODY);
	copy_store(w->laptop, STORE_FILE, "backup");
	kerr_clear(&err);
	g_assert_cmpint(store_commit(w->laptop->core->store, COMMIT_GUARDED, &err), ==, 0);
	roll_back(w->laptop);
	memcpy(st.hid, view_of(w->laptop).nonce, HID_LEN);
	memcpy(st.uuid, vm, UUID_LEN);
	memcpy(st.from, w->bobs->core->id.id, DEVICE_ID_LEN);
	memcpy(st.to, w->laptop->core->id.id, DEVICE_ID_LEN);
	sign_as(w->bobs, &st, &lie);
	g_assert_cmpint(tell(w->bobs, w->laptop, &lie, &none, &err), ==, 0);
	g_assert_cmpint(may_start(w->laptop), <, 0);
	g_assert_cmpint(claim_by_request(w->laptop, &epoch, &err), ==, 0);
	g_assert_cmpuint(epoch, ==, 77 + CUSTODY_CLAIM_JUMP);
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	restart(w->laptop);
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	g_assert_cmpint(marker_of(w->laptop), ==, CUSTODY_MARKER_HERE);
	g_assert_true(move(w, w->laptop, w->desktop));
	world_free(w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(secret_process_setup(), ==, 0);
	g_test_add_func("/doubt/H2 what a device answers", test_answers);
	g_test_add_func("/doubt/H2 what an answer says", test_hear);
	g_test_add_func("/doubt/H2 what becomes of the VM", test_outcomes);
	g_test_add_func("/doubt/W17 the claim", test_claim);
	g_test_add_func("/doubt/H2 in doubt nothing starts, comes or leaves", test_doubt_forbids);
	g_test_add_func("/doubt/H2 rolled back behind a move", test_h2_moved);
	g_test_add_func("/doubt/H2 rolled back, and it never left", test_h2_stayed);
	g_test_add_func("/doubt/H2 a locked device is not in doubt", test_h2_only_locked);
	g_test_add_func("/doubt/H2 a later epoch, and what was forgotten", test_h2_later_epoch);
	g_test_add_func("/doubt/W17 the owner decides in spite of a lie", test_w17_claim);
	return g_test_run();
}
