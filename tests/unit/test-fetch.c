/* SPDX-License-Identifier: Apache-2.0 */
/* Wishes for a VM that another device has: heard once, in time, from the owner's devices, and of
 * the VM as it is now; and what of the answers is believed. */
#include "policyd/dispatch.h"
#include "policyd/handoff-internal.h"
#include "policyd/server.h"
#include "tests/unit/policyd-fixture.h"

/* The VM is on the desktop; the laptop, where its owner is, knows that. */
static struct world *away(void)
{
	struct world *w = world_new();

	g_assert_true(attest(&w->run, exporter, exporter));
	commit(&w->run);
	return w;
}

static struct custody_statement wish_of(struct device *from, struct device *to, uint64_t epoch,
					int64_t age_s, uint8_t rung)
{
	struct custody_statement st;
	uint8_t wish[HID_LEN] = {0};
	struct wbuf w = wbuf_init(wish, sizeof(wish));

	wbuf_u64(&w, (uint64_t)((int64_t)g_get_real_time() / 1000000 - age_s));
	wbuf_u8(&w, rung);
	wbuf_u32(&w, g_random_int());
	custody_statement_make(CUSTODY_STATEMENT_WANT, wish, vm, epoch, from->core->id.id,
			       to->core->id.id, &st);
	return st;
}

/* What `to` answers to a statement that is signed by the one whom it names. */
static struct custody_statement answer_of(struct device *from, struct device *to,
					  const struct custody_statement *said)
{
	static struct wire word, reply;
	uint8_t bytes[CUSTODY_STATEMENT_LEN];
	struct custody_statement answer = {0};
	struct kerr err = {0};

	custody_statement_sign(said, from->core->id.device_sk.data, bytes);
	wire_set(&word, bytes, sizeof(bytes));
	g_assert_cmpint(tell(from, to, &word, &reply, &err), ==, 0);
	if (reply.buf.len)
		g_assert_cmpint(custody_statement_verify(reply.room, reply.buf.len,
							 to->core->id.sign_pk, &answer, &err),
				==, 0);
	return answer;
}

static uint64_t epoch_at(struct device *d)
{
	struct custody_view view;

	g_assert_cmpint(store_custody_get(d->core->store, vm, &view, NULL), ==, 0);
	return view.epoch;
}

static uint64_t wanted(struct device *d)
{
	uint8_t room[4096];
	struct wbuf w = wbuf_init(room, sizeof(room));
	struct record_list list;

	record_list_begin(&list, &w, &policyd_wanted_record);
	handoff_wanted(d->handoffs, &list);
	record_list_end(&list);
	return list.count;
}

static void check_stays(const struct custody_statement *answer, enum kcode code)
{
	g_assert_cmpint(answer->kind, ==, CUSTODY_STATEMENT_STAYS);
	g_assert_cmpuint(answer->epoch, ==, code);
}

/* By the requests, as `kith` and the two kithds make them. */
static void test_fetch(void)
{
	struct world *w = away();
	struct policyd_fetch want = {.rung = MOVE_RUNG_LIVE};
	struct custody_statement said, answer, again;
	struct policyd_fetched now;
	uint8_t wish[HID_LEN];
	struct kerr err = {0};
	enum move_rung rung;
	uint64_t news = handoff_news_count(w->laptop->handoffs);

	memcpy(want.uuid, vm, UUID_LEN);
	/* Not where it is. */
	g_assert_cmpint(handoff_fetch(w->desktop->handoffs, &want, wish, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_EXISTS);
	kerr_clear(&err);
	g_assert_cmpint(handoff_fetch(w->laptop->handoffs, &want, wish, &err), ==, 0);
	g_assert_cmpuint(handoff_news_count(w->laptop->handoffs), >, news);
	g_assert_cmpint(handoff_fetch_status(w->laptop->handoffs, wish, &now, &err), ==, 0);
	g_assert_cmpint(now.state, ==, FETCH_ASKING);
	custody_statement_make(CUSTODY_STATEMENT_WANT, wish, vm, epoch_at(w->laptop),
			       w->laptop->core->id.id, w->desktop->core->id.id, &said);
	g_assert_cmpuint(wanted(w->desktop), ==, 0);
	answer = answer_of(w->laptop, w->desktop, &said);
	g_assert_cmpint(answer.kind, ==, CUSTODY_STATEMENT_COMING);
	g_assert_cmpuint(wanted(w->desktop), ==, 1);
	g_assert_cmpint(handoff_wish(w->desktop->handoffs, answer.hid, &rung, &err), ==, 0);
	g_assert_cmpint(rung, ==, MOVE_RUNG_LIVE);
	/* Said again, as the answer may be lost: the same hand-off, not another one. */
	again = answer_of(w->laptop, w->desktop, &said);
	g_assert_cmpmem(again.hid, HID_LEN, answer.hid, HID_LEN);
	g_assert_cmpuint(wanted(w->desktop), ==, 1);
	answer_of(w->desktop, w->laptop, &answer);
	g_assert_cmpint(handoff_fetch_status(w->laptop->handoffs, wish, &now, &err), ==, 0);
	g_assert_cmpint(now.state, ==, FETCH_COMING);
	g_assert_cmpmem(now.hid, HID_LEN, answer.hid, HID_LEN);
	/* Too late: it is decided. */
	answer.kind = CUSTODY_STATEMENT_STAYS;
	answer_of(w->desktop, w->laptop, &answer);
	handoff_fetch_status(w->laptop->handoffs, wish, &now, &err);
	g_assert_cmpint(now.state, ==, FETCH_COMING);
	world_free(w);
}

static void test_refusals(void)
{
	struct world *w = away();
	struct device *laptop = w->laptop, *desktop = w->desktop;
	uint64_t epoch = epoch_at(desktop);
	struct custody_statement said, answer;
	struct {
		int64_t age_s;
		uint8_t rung;
		int64_t ahead; /* of the VM's epoch */
		enum kcode code;
	} rows[] = {
		{600, 0, 0, KCODE_ATTEST_REPLAY},
		{-600, 0, 0, KCODE_ATTEST_REPLAY},
		{0, _MOVE_RUNG_MAX, 0, KCODE_ATTEST_REPLAY},
		{0, 255, 0, KCODE_ATTEST_REPLAY},
		{0, 0, -1, KCODE_STALE_EPOCH},
		{0, 0, 1, KCODE_STALE_EPOCH},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		said = wish_of(laptop, desktop, epoch + (uint64_t)rows[i].ahead, rows[i].age_s,
			       rows[i].rung);
		answer = answer_of(laptop, desktop, &said);
		check_stays(&answer, rows[i].code);
	}
	/* Bob's device is paired, and none of the owner's. */
	said = wish_of(w->bobs, laptop, epoch_at(laptop), 0, 0);
	answer = answer_of(w->bobs, laptop, &said);
	check_stays(&answer, KCODE_NOT_ALLOWED);
	/* What is not there. */
	said = wish_of(desktop, laptop, epoch_at(laptop), 0, 0);
	answer = answer_of(desktop, laptop, &said);
	check_stays(&answer, KCODE_STALE_EPOCH);
	g_assert_cmpuint(wanted(desktop) + wanted(laptop), ==, 0);
	/* The twin. */
	said = wish_of(laptop, desktop, epoch, 0, 0);
	answer = answer_of(laptop, desktop, &said);
	g_assert_cmpint(answer.kind, ==, CUSTODY_STATEMENT_COMING);
	g_assert_cmpuint(wanted(desktop), ==, 1);
	world_free(w);
}

/* One by somebody else, or with a word that there is not. */
static void test_answers(void)
{
	struct world *w = away();
	struct policyd_fetch want = {.rung = MOVE_RUNG_ANY};
	struct custody_statement answer;
	struct policyd_fetched now;
	uint8_t wish[HID_LEN];
	struct kerr err = {0};

	memcpy(want.uuid, vm, UUID_LEN);
	g_assert_cmpint(handoff_fetch(w->laptop->handoffs, &want, wish, &err), ==, 0);
	custody_statement_make(CUSTODY_STATEMENT_STAYS, wish, vm, KCODE_POLICY,
			       w->bobs->core->id.id, w->laptop->core->id.id, &answer);
	answer_of(w->bobs, w->laptop, &answer);
	answer.kind = CUSTODY_STATEMENT_COMING;
	answer.epoch = epoch_at(w->laptop);
	answer_of(w->bobs, w->laptop, &answer);
	handoff_fetch_status(w->laptop->handoffs, wish, &now, &err);
	g_assert_cmpint(now.state, ==, FETCH_ASKING);
	/* Of another wish, or of before. */
	memcpy(answer.from, w->desktop->core->id.id, DEVICE_ID_LEN);
	answer.epoch--;
	answer_of(w->desktop, w->laptop, &answer);
	answer.kind = CUSTODY_STATEMENT_STAYS;
	answer.hid[15] ^= 1;
	answer_of(w->desktop, w->laptop, &answer);
	handoff_fetch_status(w->laptop->handoffs, wish, &now, &err);
	g_assert_cmpint(now.state, ==, FETCH_ASKING);
	answer.hid[15] ^= 1;
	answer.epoch = UINT64_C(1) << 40;
	answer_of(w->desktop, w->laptop, &answer);
	handoff_fetch_status(w->laptop->handoffs, wish, &now, &err);
	g_assert_cmpint(now.state, ==, FETCH_STAYS);
	g_assert_cmpint(now.reason.code, ==, KCODE_FAILED);
	wish[0] ^= 1;
	g_assert_cmpint(handoff_fetch_status(w->laptop->handoffs, wish, &now, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_NOT_FOUND);
	world_free(w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(secret_process_setup(), ==, 0);
	g_test_add_func("/fetch/asked, answered, heard once", test_fetch);
	g_test_add_func("/fetch/S1-17 old, late, stale, somebody else's wishes", test_refusals);
	g_test_add_func("/fetch/whose answers count", test_answers);
	return g_test_run();
}
