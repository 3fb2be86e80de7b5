/* SPDX-License-Identifier: Apache-2.0 */
/* Never two, never none: what attacks and aimed crashes once broke, on real cores. */
#include "policyd/dispatch.h"
#include "tests/unit/policyd-fixture.h"

/* -- C2 -- */

/* A third device, paired and measured, speaks about somebody else's hand-off; its number stands in
 * clear on the wire. Nothing here may change because of it. */
static void test_c2_forged(void)
{
	static const enum custody_statement_kind kinds[] = {CUSTODY_STATEMENT_NACK,
							    CUSTODY_STATEMENT_ACK};
	struct world *w = world_new();
	struct wire forged, reply;
	struct kerr err;

	go_to(w, CUSTODY_RELEASED);
	g_assert_cmpint(bound(w->laptop), ==, FENCE_FREEZE);
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		struct custody_statement st = {.kind = kinds[i], .epoch = 12345};

		memcpy(st.hid, w->run.hid, HID_LEN);
		memcpy(st.from, w->bobs->core->id.id, DEVICE_ID_LEN);
		memcpy(st.to, w->laptop->core->id.id, DEVICE_ID_LEN);
		for (int right = 0; right < 2; right++) {
			sign_as(w->bobs, &st, &forged);
			tell(w->bobs, w->laptop, &forged, &reply, &err);
			g_assert_cmpint(kind_of(&reply), ==, CUSTODY_STATEMENT_NONE);
			g_assert_cmpint(inbox(w->laptop, &w->run), ==, CUSTODY_STATEMENT_NONE);
			g_assert_cmpint(bound(w->laptop), ==, FENCE_FREEZE);
			kerr_clear(&err);
			g_assert_cmpint(handoff_custody_accept(w->laptop->handoffs, w->run.hid,
							       forged.room, forged.buf.len, &err),
					==, -EBADMSG);
			/* Once more with all but the sender right. */
			memcpy(st.uuid, vm, UUID_LEN);
			st.epoch = kinds[i] == CUSTODY_STATEMENT_ACK ? 2 : 1;
		}
	}
	/* The twin: the destination's own word is kept, with its kind. */
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_OWN, &w->release, &w->ack, &err), ==,
			0);
	g_assert_cmpint(tell(w->desktop, w->laptop, &w->ack, &reply, &err), ==, 0);
	g_assert_cmpint(inbox(w->laptop, &w->run), ==, CUSTODY_STATEMENT_ACK);
	g_assert_cmpint(bound(w->laptop), ==, FENCE_KILL);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_DONE, &w->ack, NULL, &err), ==, 0);
	g_assert_cmpint(inbox(w->laptop, &w->run), ==, CUSTODY_STATEMENT_NONE);
	g_assert_cmpint(bound(w->laptop), ==, -1);
	world_free(w);
}

/* What comes over the hand-off's own channel is checked before anybody acts on it. */
static void test_c2_accept(void)
{
	struct world *w = world_new();
	struct custody_statement st;
	struct wire bad;
	struct kerr err = {0};

	go_to(w, CUSTODY_PREPARED);
	g_assert_cmpint(bound(w->desktop), ==, FENCE_FREEZE);
	g_assert_cmpint(custody_statement_parse(w->vote.room, w->vote.buf.len, &st), ==, 0);
	/* A word of another kind, epoch, VM, or of nobody's signature. */
	for (int wrong = 0; wrong < 4; wrong++) {
		struct custody_statement t = st;

		if (wrong == 0)
			t.kind = CUSTODY_STATEMENT_ACK;
		t.epoch += wrong == 1;
		t.uuid[0] ^= wrong == 2;
		sign_as(wrong == 3 ? w->bobs : w->desktop, &t, &bad);
		g_assert_cmpint(handoff_custody_accept(w->laptop->handoffs, w->run.hid, bad.room,
						       bad.buf.len, &err),
				<, 0);
		g_assert_cmpint(inbox(w->laptop, &w->run), ==, CUSTODY_STATEMENT_NONE);
	}
	kerr_clear(&err);
	g_assert_cmpint(handoff_custody_accept(w->laptop->handoffs, w->run.hid, w->vote.room,
					       w->vote.buf.len, &err),
			==, 0);
	g_assert_cmpint(inbox(w->laptop, &w->run), ==, CUSTODY_STATEMENT_VOTE);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_RELEASED, &w->vote, &w->release, &err),
			==, 0);
	g_assert_cmpint(handoff_custody_accept(w->desktop->handoffs, w->run.hid, w->release.room,
					       w->release.buf.len, &err),
			==, 0);
	g_assert_cmpint(inbox(w->desktop, &w->run), ==, CUSTODY_STATEMENT_RELEASE);
	g_assert_cmpint(bound(w->desktop), ==, FENCE_FREEZE);
	world_free(w);
}

/* An accepted ABORT does not let the copy go, nor end it, before VOID is on the disk. */
static void test_c2_void_first(void)
{
	struct world *w = world_new();
	struct wire abort_said, reply;
	struct kerr err;

	go_to(w, CUSTODY_PREPARED);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_ABORTED, NULL, &abort_said, &err), ==,
			0);
	g_assert_cmpint(tell(w->laptop, w->desktop, &abort_said, &reply, &err), ==, 0);
	g_assert_cmpint(inbox(w->desktop, &w->run), ==, CUSTODY_STATEMENT_ABORT);
	g_assert_cmpint(bound(w->desktop), ==, FENCE_FREEZE);
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_VOID, &abort_said, NULL, &err), ==, 0);
	g_assert_cmpint(bound(w->desktop), ==, -1);
	/* An answer is not answered: it would go to and fro for ever. */
	g_assert_cmpint(tell(w->laptop, w->desktop, &abort_said, &reply, &err), ==, 0);
	g_assert_cmpint(kind_of(&reply), ==, CUSTODY_STATEMENT_NONE);
	world_free(w);
}

/* -- F3, F6, F8 -- */

/* policyd died after RELEASED was on the disk and before it answered: the worker asks again over a
 * new connection. */
static void test_f3_released_again(void)
{
	struct world *w = world_new();
	struct wire again;
	struct kerr err;

	go_to(w, CUSTODY_RELEASED);
	restart(w->laptop);
	w->run.worker = WORKER + 1;
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_RELEASED, &w->vote, &again, &err), ==,
			0);
	g_assert_cmpmem(again.room, again.buf.len, w->release.room, w->release.buf.len);
	world_free(w);
	/* The twin: not released yet, the other connection may not. */
	w = world_new();
	go_to(w, CUSTODY_PREPARED);
	w->run.worker = WORKER + 1;
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_PREP, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_PREPARED, NULL, &again, &err), ==, 0);
	g_assert_cmpmem(again.room, again.buf.len, w->vote.room, w->vote.buf.len);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_RELEASED, &w->vote, NULL, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_INTERRUPTED);
	world_free(w);
}

/* The owner starts the VM in the moment in which recovery releases it. */
static void test_f6_start_or_release(void)
{
	struct world *w = world_new();
	struct custody_view view;
	struct kerr err;

	go_to(w, CUSTODY_ABORTED);
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	restart(w->laptop);
	g_assert_cmpint(store_custody_get(w->laptop->core->store, vm, &view, NULL), ==, 0);
	g_assert_true(view.started);
	g_assert_cmpint(release_forward(w, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_CUSTODY);
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	world_free(w);
	/* The twin: released first, the start is refused. */
	w = world_new();
	go_to(w, CUSTODY_ABORTED);
	g_assert_cmpint(release_forward(w, &err), ==, 0);
	g_assert_cmpint(may_start(w->laptop), <, 0);
	world_free(w);
}

/* A source that gave up and whose copy is gone asks; the destination says what it has. */
static void test_f8_ask(void)
{
	struct world *w = world_new();
	struct wire ask, reply, none;
	struct kerr err;

	go_to(w, CUSTODY_ABORTED);
	g_assert_cmpint(outbox(w->laptop, &ask), ==, CUSTODY_STATEMENT_ASK);
	g_assert_cmpint(tell(w->laptop, w->desktop, &ask, &reply, &err), ==, 0);
	g_assert_cmpint(kind_of(&reply), ==, CUSTODY_STATEMENT_VOTE);
	g_assert_cmpint(tell(w->desktop, w->laptop, &reply, &none, &err), ==, 0);
	g_assert_cmpint(inbox(w->laptop, &w->run), ==, CUSTODY_STATEMENT_VOTE);
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_VOID, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(tell(w->laptop, w->desktop, &ask, &reply, &err), ==, 0);
	g_assert_cmpint(kind_of(&reply), ==, CUSTODY_STATEMENT_NACK);
	g_assert_cmpint(tell(w->desktop, w->laptop, &reply, &none, &err), ==, 0);
	g_assert_cmpint(kind_of(&none), ==, CUSTODY_STATEMENT_NONE);
	g_assert_cmpint(inbox(w->laptop, &w->run), ==, CUSTODY_STATEMENT_NACK);
	/* Closed, it has nothing more to ask. */
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_DONE, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(outbox(w->laptop, &ask), ==, CUSTODY_STATEMENT_NONE);
	world_free(w);
}

/* A destination that never wrote a record can never own; one that may write it now says nothing. */
static void test_f8_ask_unknown(void)
{
	struct world *w = world_new();
	struct wire ask, reply;
	struct kerr err;

	g_assert_true(attest(&w->run, exporter, exporter));
	take_grants(&w->run);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_PREP, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_ABORTED, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(outbox(w->laptop, &ask), ==, CUSTODY_STATEMENT_ASK);
	g_assert_cmpint(tell(w->laptop, w->desktop, &ask, &reply, &err), ==, 0);
	g_assert_cmpint(kind_of(&reply), ==, CUSTODY_STATEMENT_NONE);
	restart(w->desktop);
	g_assert_cmpint(tell(w->laptop, w->desktop, &ask, &reply, &err), ==, 0);
	g_assert_cmpint(kind_of(&reply), ==, CUSTODY_STATEMENT_NACK);
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_RECV, NULL, NULL, &err), <, 0);
	world_free(w);
}

static void drop_journal(struct device *d)
{
	g_assert_cmpint(
		sql_change(d->core->store, NULL, "DELETE FROM journal WHERE hid<>zeroblob(16)"), ==,
		0);
	g_assert_cmpint(store_commit(d->core->store, COMMIT_PLAIN, NULL), ==, 0);
}

/* The record that would answer RELEASE was pushed out of the journal: the epoch still tells. */
static void test_m12_aged_out(void)
{
	struct world *w = world_new();
	struct wire reply, none;
	struct kerr err;

	go_to(w, CUSTODY_RELEASED);
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_OWN, &w->release, NULL, &err), ==, 0);
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_DONE, NULL, NULL, &err), ==, 0);
	drop_journal(w->desktop);
	g_assert_cmpint(tell(w->laptop, w->desktop, &w->release, &reply, &err), ==, 0);
	g_assert_cmpint(kind_of(&reply), ==, CUSTODY_STATEMENT_ACK);
	g_assert_cmpint(tell(w->desktop, w->laptop, &reply, &none, &err), ==, 0);
	g_assert_cmpint(inbox(w->laptop, &w->run), ==, CUSTODY_STATEMENT_ACK);
	world_free(w);
	/* The twin: it was voided. */
	w = world_new();
	go_to(w, CUSTODY_RELEASED);
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_VOID, NULL, NULL, &err), ==, 0);
	drop_journal(w->desktop);
	g_assert_cmpint(tell(w->laptop, w->desktop, &w->release, &reply, &err), ==, 0);
	g_assert_cmpint(kind_of(&reply), ==, CUSTODY_STATEMENT_NACK);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_RECLAIM, &reply, NULL, &err), ==, 0);
	world_free(w);
}

/* -- F2 -- */

static void test_f2_alarm(void)
{
	struct world *w = world_new();
	struct policyd_audit *list;
	struct kerr err = {0};
	size_t n;

	go_to(w, CUSTODY_RELEASED);
	g_assert_cmpstr(w->laptop->core->alarm, ==, "");
	g_assert_cmpint(handoff_alarm(w->laptop->handoffs, vm, "Somebody woke \"work\".", &err), ==,
			0);
	g_assert_cmpstr(w->laptop->core->alarm, ==, "Somebody woke \"work\".");
	g_assert_cmpuint(w->laptop->core->alarm_time, >, 0);
	restart(w->laptop);
	g_assert_cmpint(store_log_verify(w->laptop->core->store, STORE_AUDIT, &err), ==, 0);
	g_assert_cmpint(store_audit_list(w->laptop->core->store, 0, 1000, &list, &n, &err), ==, 0);
	g_assert_cmpstr(list[n - 1].action, ==, "alarm");
	g_assert_cmpstr(list[n - 1].vm, ==, "work");
	g_assert_cmpint(list[n - 1].allowed, ==, 0);
	free(list);
	world_free(w);
}

/* The fence takes the right to release from the worker; the warden's question does not. */
static void test_f2_ward(void)
{
	struct world *w = world_new();
	struct kerr err;

	go_to(w, CUSTODY_PREPARED);
	g_assert_cmpint(bound(w->desktop), ==, FENCE_FREEZE);
	g_assert_cmpint(bound(w->laptop), ==, -1);
	handoff_end_workers(w->laptop->handoffs);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_RELEASED, &w->vote, NULL, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_INTERRUPTED);
	world_free(w);
}

/* -- The policy is bound -- */

/* As `kith policy set` does it. */
static int set_policy(struct device *d, const char *text, struct kerr *err)
{
	g_autofree struct policy *rules = g_new0(struct policy, 1);
	static uint8_t compiled[STORE_POLICY_MAX];
	struct caller caller = caller_of(d, 0, 1);
	struct policyd_rules q = {.name = "work",
				  .text = (const uint8_t *)text,
				  .text_len = strlen(text),
				  .compiled = compiled};
	struct policyd_number version;
	int r;

	kerr_clear(err);
	g_assert_cmpint(policytext_compile(text, rules, err), ==, 0);
	g_assert_cmpint(policytext_encode(rules, compiled, sizeof(compiled), &q.compiled_len), ==,
			0);
	memcpy(q.uuid, vm, sizeof(q.uuid));
	r = op_policy_set(&caller, &q, &version, err);
	store_rollback(d->core->store);
	return r;
}

static void test_gap5_policy_bound(void)
{
	static const char second[] = "allow owner all to own\nallow owner all to guest\n";
	struct world *w = world_new();
	uint64_t here, there;
	struct kerr err;

	g_assert_true(attest(&w->run, exporter, exporter));
	/* The policy was shown to the desktop; nobody can change it now... */
	g_assert_cmpint(set_policy(w->laptop, second, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_BUSY);
	take_grants(&w->run);
	g_assert_cmpint(set_policy(w->laptop, second, &err), <, 0);
	/* ...and one that changed all the same does not leave. */
	g_assert_cmpint(sql_change(w->laptop->core->store, NULL, "UPDATE policies SET version=2"),
			==, 0);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_PREP, NULL, NULL, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_POLICY);
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_PREP, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(set_policy(w->laptop, second, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_BUSY);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_ABORTED, NULL, NULL, &err), ==, 0);
	handoff_session_end(w->desktop->handoffs, w->run.hid, exporter);
	handoff_enter(&w->desktop->handoffs->list[0], HANDOFF_FREE);
	/* The twin: between two hand-offs it may; it travels, rules there, and comes home. */
	g_assert_cmpint(set_policy(w->laptop, second, &err), ==, 0);
	g_assert_true(attest(&w->run, exporter, exporter));
	commit(&w->run);
	g_assert_cmpint(store_policy_version(w->laptop->core->store, vm, &here, NULL), ==, 0);
	g_assert_cmpint(store_policy_version(w->desktop->core->store, vm, &there, NULL), ==, 0);
	g_assert_cmpuint(here, ==, 2);
	g_assert_cmpuint(there, ==, 2);
	w->run.s = w->desktop;
	w->run.d = w->laptop;
	g_assert_true(attest(&w->run, exporter, exporter));
	commit(&w->run);
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	world_free(w);
}

/* -- H3: the chain -- */

/* A former holder keeps the policy, his copy and his chain, and offers them to whoever does not
 * know better. */
static void test_h3_fork(void)
{
	static const char text[] = "allow owner all to own\nallow owner all to guest\n"
				   "allow guest move-out, move-in to own\n";
	struct world *w = world_new();
	struct kerr err;

	pair(w->desktop, w->bobs, PERSON_ROLE_GUEST);
	take_from(w->desktop, w->bobs);
	take_from(w->bobs, w->laptop);
	g_assert_cmpint(set_policy(w->laptop, text, &err), ==, 0);
	g_assert_true(move(w, w->laptop, w->bobs));
	/* He holds it, and may not even then give it to another device of the owner. */
	g_assert_false(move(w, w->bobs, w->desktop));
	g_assert_cmpint(w->run.err.code, ==, KCODE_CUSTODY);
	g_assert_true(move(w, w->bobs, w->laptop));
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	/* The fork: as he was when he held it, and with a bigger number. */
	rewrite(w->bobs, "UPDATE custody SET here=1, epoch=2," IDLE);
	g_assert_false(move(w, w->bobs, w->desktop));
	g_assert_cmpint(w->run.err.code, ==, KCODE_CUSTODY);
	g_assert_cmpint(may_start(w->desktop), ==, 0); /* it never heard of the VM */
	rewrite(w->bobs, "UPDATE custody SET epoch=52");
	g_assert_false(move(w, w->bobs, w->desktop));
	g_assert_cmpint(w->run.err.code, ==, KCODE_CUSTODY);
	/* Nor does the laptop take it twice. */
	rewrite(w->bobs, "UPDATE custody SET epoch=2");
	g_assert_false(move(w, w->bobs, w->laptop));
	/* The twin: the true one goes on to the desktop, and its chain grows there. */
	g_assert_true(move(w, w->laptop, w->desktop));
	g_assert_cmpint(may_start(w->desktop), ==, 0);
	g_assert_cmpint(may_start(w->laptop), <, 0);
	g_assert_true(move(w, w->desktop, w->laptop));
	world_free(w);
}

/* A source that says it holds what it does not, in an own cloud, with the chain it once had. */
static void test_h3_unproved(void)
{
	struct world *w = world_new();

	g_assert_true(move(w, w->laptop, w->desktop));
	g_assert_true(move(w, w->desktop, w->laptop));
	rewrite(w->desktop, "UPDATE custody SET here=1, epoch=99," IDLE);
	g_assert_false(move(w, w->desktop, w->laptop));
	/* Behind its own back: the chain that is stored is another VM's, a cut one, or none. */
	rewrite(w->desktop, "UPDATE custody SET epoch=2");
	rewrite(w->desktop, "UPDATE chains SET links=zeroblob(434)");
	g_assert_false(move(w, w->desktop, w->laptop));
	g_assert_cmpint(w->run.err.code, ==, KCODE_CUSTODY);
	rewrite(w->desktop, "DELETE FROM chains");
	g_assert_false(move(w, w->desktop, w->laptop));
	g_assert_cmpint(w->run.err.code, ==, KCODE_CUSTODY);
	world_free(w);
}

/* A hop that failed is proved too: the way on from a device without the owner's key. */
static void test_h3_reclaimed(void)
{
	struct world *w = world_new();
	struct custody_chain *chain = g_new0(struct custody_chain, 1);
	struct wire nack;
	struct kerr err;

	g_assert_true(move(w, w->laptop, w->desktop));
	w->run.s = w->desktop;
	w->run.d = w->laptop;
	go_to(w, CUSTODY_RELEASED);
	g_assert_cmpint(journal(w->laptop, &w->run, CUSTODY_VOID, NULL, &nack, &err), ==, 0);
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_RECLAIM, &nack, NULL, &err), ==, 0);
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_DONE, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(store_chain_get(w->desktop->core->store, vm, chain, &err), ==, 0);
	g_assert_cmpuint(chain->len, ==, 4 * CUSTODY_LINK_LEN);
	g_assert_true(move(w, w->desktop, w->laptop));
	g_assert_cmpint(may_start(w->laptop), ==, 0);
	g_free(chain);
	world_free(w);
}

/* Two own devices hand the VM to and fro without the owner's key, then it comes to where that is.
 */
static void test_h3_long(void)
{
	struct world *w = world_new();
	struct custody_chain *chain = g_new0(struct custody_chain, 1);
	struct device *attic = device_new("attic", DEVICE_ROLE_DESKTOP, NULL);
	struct custody_view view;
	struct kerr err;

	pair(w->laptop, attic, PERSON_ROLE_GUEST);
	pair(w->desktop, attic, PERSON_ROLE_GUEST);
	g_assert_true(move(w, w->laptop, w->desktop));
	g_assert_true(move(w, w->desktop, attic));
	g_assert_true(move(w, attic, w->desktop));
	g_assert_cmpint(store_chain_get(w->desktop->core->store, vm, chain, &err), ==, 0);
	g_assert_cmpuint(chain->len, ==, 4 * CUSTODY_LINK_LEN);
	/* The desktop's chain is made as long as one may be. */
	g_assert_cmpint(store_custody_get(w->desktop->core->store, vm, &view, &err), ==, 0);
	while (chain->len < CUSTODY_CHAIN_MAX * CUSTODY_LINK_LEN) {
		struct device *from = chain->len / CUSTODY_LINK_LEN % 2 ? attic : w->desktop;
		struct device *to = from == attic ? w->desktop : attic;
		struct custody_statement st;
		struct wire said;

		custody_statement_make(CUSTODY_STATEMENT_RELEASE, w->run.hid, vm, view.epoch++,
				       from->core->id.id, to->core->id.id, &st);
		sign_as(from, &st, &said);
		custody_chain_add(chain, said.room, from->core->id.sign_pk);
	}
	g_assert_cmpint(store_chain_put(w->desktop->core->store, vm, chain, &err), ==, 0);
	rewrite(w->desktop, "UPDATE custody SET epoch=128");
	rewrite(attic, "UPDATE custody SET epoch=128");
	g_assert_cmpuint(view.epoch, ==, 128);
	g_assert_false(move(w, w->desktop, attic));
	g_assert_cmpint(w->run.err.code, ==, KCODE_CUSTODY);
	g_assert_nonnull(strstr(w->run.err.text, "Move it there once"));
	/* The twin: where the owner's key is it is taken, and begins anew. */
	g_assert_true(move(w, w->desktop, w->laptop));
	g_assert_true(move(w, w->laptop, w->desktop));
	g_assert_cmpint(store_chain_get(w->desktop->core->store, vm, chain, &err), ==, 0);
	g_assert_cmpuint(chain->len, ==, 2 * CUSTODY_LINK_LEN);
	device_free(attic);
	g_free(chain);
	world_free(w);
}

/* H4: what somebody offered and nobody took binds nothing: the owner's own VM of that UUID comes.
 */
static void test_h4_void(void)
{
	static const char text[] = "allow owner all to own\nallow owner all to guest\n";
	struct world *w = world_new();
	struct kerr err;

	pair(w->desktop, w->bobs, PERSON_ROLE_GUEST);
	take_from(w->desktop, w->bobs);
	give_policy(w->bobs, text);
	rewrite(w->bobs, "UPDATE custody SET epoch=9000000000");
	w->run.s = w->bobs;
	go_to(w, CUSTODY_PREPARED);
	g_assert_cmpint(journal(w->desktop, &w->run, CUSTODY_VOID, NULL, NULL, &err), ==, 0);
	g_assert_true(move(w, w->laptop, w->desktop));
	world_free(w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(secret_process_setup(), ==, 0);
	g_test_add_func("/promise/C2 a third device's word changes nothing", test_c2_forged);
	g_test_add_func("/promise/C2 the own channel's word is checked first", test_c2_accept);
	g_test_add_func("/promise/C2 VOID before the copy goes", test_c2_void_first);
	g_test_add_func("/promise/F3 RELEASED asked for again", test_f3_released_again);
	g_test_add_func("/promise/F6 a start and a release exclude each other",
			test_f6_start_or_release);
	g_test_add_func("/promise/F8 ASK is answered", test_f8_ask);
	g_test_add_func("/promise/F8 ASK about what is not known", test_f8_ask_unknown);
	g_test_add_func("/promise/M12 the answer aged out of the journal", test_m12_aged_out);
	g_test_add_func("/promise/F2 an alarm is recorded", test_f2_alarm);
	g_test_add_func("/promise/F2 the list of copies that may not run", test_f2_ward);
	g_test_add_func("/promise/gap 5 the policy that was offered is the one that leaves",
			test_gap5_policy_bound);
	g_test_add_func("/promise/H3 a former holder cannot fork the VM", test_h3_fork);
	g_test_add_func("/promise/H3 what is not proved is not taken", test_h3_unproved);
	g_test_add_func("/promise/H3 a hop that failed is proved", test_h3_reclaimed);
	g_test_add_func("/promise/H3 a long chain begins anew at the owner's device", test_h3_long);
	g_test_add_func("/promise/H4 an offer that was voided binds nothing", test_h4_void);
	return g_test_run();
}
