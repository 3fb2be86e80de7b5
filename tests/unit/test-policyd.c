/* SPDX-License-Identifier: Apache-2.0 */
/* Two and more trusted cores in one program, each on a TPM of its own, without network: pairing,
 * the attested session, custody, and the attacks on them. */
#include "policyd/policy-sign.h"
#include "policyd/server.h"
#include "tests/unit/policyd-fixture.h"

static void test_hand_off(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	struct run *run = g_new0(struct run, 1);

	pair(laptop, desktop, PERSON_ROLE_GUEST);
	g_assert_cmpstr(desktop->core->id.owner_name, ==, "Tom");
	g_assert_cmpint(desktop->core->state, ==, POLICYD_STATE_READY);
	give_policy(laptop, policytext_default);
	run->s = laptop;
	run->d = desktop;
	g_assert_true(attest(run, exporter, exporter));
	commit(run);
	g_assert_cmpint(may_start(laptop), <, 0);
	g_assert_cmpint(may_start(desktop), ==, 0);
	/* And it survives both being restarted. */
	close_core(laptop);
	close_core(desktop);
	open_core(laptop);
	open_core(desktop);
	g_assert_cmpint(may_start(laptop), <, 0);
	g_assert_cmpint(may_start(desktop), ==, 0);
	/* S1-16: the policy travelled; it rules the way back without its first device's word. */
	run->s = desktop;
	run->d = laptop;
	run->rung = MOVE_RUNG_WARM;
	g_assert_true(attest(run, exporter, exporter));
	commit(run);
	g_assert_cmpint(may_start(laptop), ==, 0);
	g_assert_cmpint(may_start(desktop), <, 0);
	g_free(run);
	device_free(laptop);
	device_free(desktop);
}

static void test_attacks_on_session(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	struct run *run = g_new0(struct run, 1);
	struct store_peer peer;
	struct wire out;

	pair(laptop, desktop, PERSON_ROLE_GUEST);
	give_policy(laptop, policytext_default);
	run->s = laptop;
	run->d = desktop;
	/* B1: somebody in the middle has two channels, so the ends see two exporters. */
	g_assert_false(attest(run, exporter, other_exporter));
	g_assert_cmpint(run->err.code, ==, KCODE_ATTEST_BINDING);
	/* The twin: the same over one channel passes. */
	g_assert_true(attest(run, exporter, exporter));
	/* B2, HO7: the recorded first message again. */
	wire_clear(&out);
	kerr_clear(&run->err);
	g_assert_cmpint(handoff_session_step(desktop->handoffs, run->hid, laptop->core->id.id,
					     exporter, run->blob[1].room, run->blob[1].buf.len,
					     &out.buf, &run->err),
			==, CONVERSATION_REFUSED);
	g_assert_cmpint(run->err.code, ==, KCODE_ATTEST_REPLAY);
	handoff_session_end(desktop->handoffs, run->hid, exporter);
	wire_clear(&out);
	kerr_clear(&run->err);
	g_assert_cmpint(handoff_session_step(desktop->handoffs, run->hid, laptop->core->id.id,
					     exporter, run->blob[1].room, run->blob[1].buf.len,
					     &out.buf, &run->err),
			==, CONVERSATION_REFUSED);
	g_assert_cmpint(run->err.code, ==, KCODE_ATTEST_REPLAY);
	handoff_session_end(laptop->handoffs, run->hid, exporter);
	/* S1-10, S1-15: the desktop's boot loader changed after pairing. */
	close_core(desktop);
	extend(&desktop->tpm, 4);
	open_core(desktop);
	g_assert_cmpint(desktop->core->state, ==, POLICYD_STATE_LOCKED);
	g_free(run);
	g_assert_cmpint(store_peer_get(laptop->core->store, laptop->core->id.id, &peer, NULL), <,
			0);
	device_free(laptop);
	device_free(desktop);
}

static void test_pcr_and_policy(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	struct device *bobs = device_new("bobs", DEVICE_ROLE_LAPTOP, "Bob");
	struct run *run = g_new0(struct run, 1);
	struct store_peer peer;
	struct kerr err = {0};

	pair(laptop, desktop, PERSON_ROLE_GUEST);
	pair(laptop, bobs, PERSON_ROLE_GUEST);
	give_policy(laptop, policytext_default);
	run->s = laptop;
	/* S1-15: Bob's machine is sound, but the VM may not leave for it. */
	run->d = bobs;
	g_assert_false(attest(run, exporter, exporter));
	g_assert_cmpint(run->err.code, ==, KCODE_POLICY);
	/* Tom's own device, measured otherwise than accepted. */
	run->d = desktop;
	extend_running(desktop, 4);
	g_assert_false(attest(run, exporter, exporter));
	g_assert_cmpint(run->err.code, ==, KCODE_ATTEST_PCR);
	g_assert_cmpint(store_peer_get(laptop->core->store, desktop->core->id.id, &peer, NULL), ==,
			0);
	g_assert_cmpint(peer.verdict, ==, VERDICT_UNTRUSTED);
	/* The owner accepts it: the same request succeeds without new pairing. */
	g_assert_cmpint(accept_evidence(laptop, desktop, &err), ==, 0);
	g_assert_true(attest(run, exporter, exporter));
	/* B6: between quote and commit the source changes: no release. */
	take_grants(run);
	g_assert_cmpint(journal(laptop, run, CUSTODY_PREP, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(journal(desktop, run, CUSTODY_RECV, NULL, NULL, &err), ==, 0);
	extend_running(desktop, 2);
	g_assert_cmpint(journal(desktop, run, CUSTODY_PREPARED, NULL, NULL, &err), <, 0);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_PCR);
	g_assert_cmpint(journal(desktop, run, CUSTODY_VOID, NULL, NULL, &err), ==, 0);
	g_assert_cmpint(journal(laptop, run, CUSTODY_ABORTED, NULL, NULL, &err), ==, 0);
	/* Neither running copy lost its right. */
	g_assert_cmpint(may_start(laptop), ==, 0);
	g_free(run);
	device_free(bobs);
	device_free(laptop);
	device_free(desktop);
}

static void test_s1_17_foreign_holder(void)
{
	static const char text[] = "allow owner all to own\nallow owner all to guest\n"
				   "allow guest move-out, move-in to own laptop\n";
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *bobs = device_new("bobs", DEVICE_ROLE_LAPTOP, "Bob");
	struct device *bobs2 = device_new("bobs-second", DEVICE_ROLE_LAPTOP, NULL);
	struct run *run = g_new0(struct run, 1);
	struct policyd_plan plan;
	struct kerr err = {0};

	pair(laptop, bobs, PERSON_ROLE_GUEST);
	pair(bobs, bobs2, PERSON_ROLE_GUEST);
	take_from(bobs, laptop);
	give_policy(laptop, text);
	run->s = laptop;
	run->d = bobs;
	g_assert_true(attest(run, exporter, exporter));
	commit(run);
	/* Bob holds it and is no owner of it: his own other device is not "own" for this VM. */
	g_assert_cmpint(handoff_plan(bobs->handoffs, PERSON_ROLE_OWNER, vm, bobs2->core->id.id,
				     &plan, &err),
			<, 0);
	g_assert_cmpint(err.code, ==, KCODE_POLICY);
	kerr_clear(&err);
	g_assert_cmpint(handoff_plan(bobs->handoffs, PERSON_ROLE_OWNER, vm, laptop->core->id.id,
				     &plan, &err),
			==, 0);
	run->s = bobs;
	run->d = laptop;
	g_assert_true(attest(run, exporter, exporter));
	commit(run);
	g_assert_cmpint(may_start(laptop), ==, 0);
	g_assert_cmpint(may_start(bobs), <, 0);
	g_free(run);
	device_free(bobs2);
	device_free(bobs);
	device_free(laptop);
}

/* As `kith policy set`; the version, 0 where it is refused. */
static uint64_t set_policy(struct device *d, const char *text, struct kerr *err)
{
	g_autofree struct policy *rules = g_new0(struct policy, 1);
	static uint8_t compiled[STORE_POLICY_MAX];
	struct caller caller = caller_of(d, WHO_OWNER, 1);
	struct policyd_number version = {0};
	struct policyd_rules q = {.name = "work",
				  .text = (const uint8_t *)text,
				  .text_len = strlen(text),
				  .compiled = compiled};

	kerr_clear(err);
	g_assert_cmpint(policytext_compile(text, rules, err), ==, 0);
	g_assert_cmpint(policytext_encode(rules, compiled, sizeof(compiled), &q.compiled_len), ==,
			0);
	memcpy(q.uuid, vm, UUID_LEN);
	if (op_policy_set(&caller, &q, &version, err) < 0) {
		store_rollback(d->core->store);
		return 0;
	}
	return version.value;
}

static void hand_over(struct run *run, struct device *s, struct device *d)
{
	run->s = s;
	run->d = d;
	g_assert_true(attest(run, exporter, exporter));
	commit(run);
	g_assert_cmpint(may_start(s), <, 0);
	g_assert_cmpint(may_start(d), ==, 0);
}

/* A VM that is made on the device that joined: taken in there, moved, ruled wherever it is. */
static void test_device_signs(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	struct run *run = g_new0(struct run, 1);
	struct kerr err = {0};

	pair(laptop, desktop, PERSON_ROLE_GUEST);
	g_assert_cmpuint(set_policy(desktop, policytext_default, &err), ==, 1);
	hand_over(run, desktop, laptop);
	g_assert_cmpuint(set_policy(laptop, "allow owner all to own\n", &err), ==, 2);
	hand_over(run, laptop, desktop);
	g_assert_cmpuint(set_policy(desktop, policytext_default, &err), ==, 3);
	/* Where it is not, nobody signs for it. */
	g_assert_cmpuint(set_policy(laptop, policytext_default, &err), ==, 0);
	g_assert_cmpint(err.code, ==, KCODE_CUSTODY);
	hand_over(run, desktop, laptop);
	g_free(run);
	device_free(laptop);
	device_free(desktop);
}

/* What a policy's signature may be by, and what not (S1-17). */
static void test_signers(void)
{
	struct world *w = world_new();
	struct device *desktop = w->desktop;
	static const char text[] = "allow owner all to own\n", other[] = "allow guest all to own\n";
	struct store_policy p = {
		.name = "work", .version = 4, .text = (char *)text, .text_len = sizeof(text) - 1};
	struct store_policy bad;
	struct kerr err = {0};
	uint8_t digest[HASH_LEN];

	g_assert_cmpint(policy_sign(desktop->core, &p, &err), ==, 0);
	g_assert_cmpuint(p.record_len, >, 0);
	g_assert_cmpint(policy_signed(w->laptop->core, &p, &err), ==, 0);
	/* Bob's device has a record too: of Bob. */
	bad = p;
	g_assert_cmpint(policy_sign(w->bobs->core, &bad, &err), ==, 0);
	g_assert_cmpint(store_meta_get(w->bobs->core->store, STORE_DEVICE_RECORD, bad.record,
				       sizeof(bad.record), &bad.record_len, &err),
			==, 0);
	memcpy(bad.owner_pk, p.owner_pk, sizeof(bad.owner_pk));
	offer_policy_digest(&bad, digest);
	g_assert_cmpint(identity_sign(&w->bobs->core->id, digest, sizeof(digest), bad.signature),
			==, 0);
	g_assert_cmpint(policy_signed(w->laptop->core, &bad, &err), <, 0);
	g_assert_nonnull(strstr(err.text, "none of its owner's"));
	/* ...or he borrows the desktop's record, or none. */
	memcpy(bad.record, p.record, sizeof(bad.record));
	bad.record_len = p.record_len;
	g_assert_cmpint(policy_signed(w->laptop->core, &bad, NULL), <, 0);
	bad.record_len = 0;
	g_assert_cmpint(policy_signed(w->laptop->core, &bad, NULL), <, 0);
	for (size_t i = 0; i < p.record_len; i++) {
		bad = p;
		bad.record[i] ^= 0x10;
		g_assert_cmpint(policy_signed(w->laptop->core, &bad, NULL), <, 0);
	}
	bad = p;
	bad.text = (char *)other;
	bad.text_len = sizeof(other) - 1;
	g_assert_cmpint(policy_signed(w->laptop->core, &bad, NULL), <, 0);
	bad = p;
	bad.version++;
	g_assert_cmpint(policy_signed(w->laptop->core, &bad, NULL), <, 0);
	/* A device that is lost speaks for nobody, whatever it signed before (P9). */
	kerr_clear(&err);
	g_assert_cmpint(store_peer_revoke(w->laptop->core->store, desktop->core->id.id, &err), ==,
			0);
	g_assert_cmpint(policy_signed(w->laptop->core, &p, &err), <, 0);
	g_assert_nonnull(strstr(err.text, "forgotten"));
	world_free(w);
}

static void test_d6_moved_state(void)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *thief = device_new("thief", DEVICE_ROLE_LAPTOP, NULL);
	static const char *const files[] = {VAULT_SEALED_FILE, VAULT_RECOVERY_FILE, STORE_FILE};
	g_autofree char *whole = NULL;

	close_core(laptop);
	close_core(thief);
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *from =
			g_build_filename(laptop->tpm.dir, "policyd", files[i], NULL);
		g_autofree char *to = g_build_filename(thief->tpm.dir, "policyd", files[i], NULL);
		g_autofree char *data = NULL;
		gsize len;

		g_assert_true(g_file_get_contents(from, &data, &len, NULL));
		g_assert_true(g_file_set_contents(to, data, (gssize)len, NULL));
	}
	open_core(thief);
	g_assert_cmpint(thief->core->state, ==, POLICYD_STATE_LOCKED);
	g_assert_nonnull(strstr(thief->core->reason.text, "another TPM"));
	open_core(laptop);
	g_assert_cmpint(laptop->core->state, ==, POLICYD_STATE_READY);
	device_free(laptop);
	device_free(thief);
}

static void test_p7_window(void)
{
	const struct pairdesk_window window = {.role = PERSON_ROLE_GUEST, .seconds = 60};
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct kerr err = {0};
	struct wire out;

	wire_clear(&out);
	g_assert_cmpint(pairdesk_start(laptop->pairdesk, false, exporter, &out.buf, &err), ==,
			CONVERSATION_REFUSED);
	g_assert_cmpint(err.code, ==, KCODE_PAIRING);
	kerr_clear(&err);
	g_assert_cmpint(pairdesk_open(laptop->pairdesk, &window, &err), ==, 0);
	g_assert_cmpint(pairdesk_start(laptop->pairdesk, false, exporter, &out.buf, &err), ==,
			CONVERSATION_SEND);
	device_free(laptop);
}

/* A VM that is called otherwise than in its policy stays. */
static void test_h21_two_names(void)
{
	struct world *w = world_new();

	rewrite(w->laptop, "UPDATE custody SET name='play'");
	g_assert_false(attest(&w->run, exporter, exporter));
	g_assert_cmpint(w->run.err.code, ==, KCODE_IDENTITY);
	rewrite(w->laptop, "UPDATE custody SET name='work'");
	g_assert_true(attest(&w->run, exporter, exporter));
	world_free(w);
}

/* In which way is the person's word, as that it moves: one that is no longer known moves not at
 * all. */
static void test_wishes(void)
{
	struct world *w = world_new();
	struct kerr err = {0};
	struct wire hello;
	uint8_t hid[HID_LEN], other[HID_LEN];

	g_assert_cmpint(ask_to_move_so(w->laptop, w->desktop, MOVE_RUNG_COLD, hid, &err), ==, 0);
	rewrite(w->laptop, "UPDATE requests SET person='first'");
	for (int i = 0; i < STORE_REQUESTS_MAX; i++) {
		rewrite(w->laptop, "DELETE FROM requests WHERE person<>'first'");
		g_assert_cmpint(ask_to_move(w->laptop, w->desktop, other, &err), ==, 0);
	}
	wire_clear(&hello);
	g_assert_cmpint(handoff_session_start(w->laptop->handoffs, hid, exporter, &hello.buf, &err),
			==, CONVERSATION_REFUSED);
	g_assert_cmpint(err.code, ==, KCODE_BUSY);
	kerr_clear(&err);
	g_assert_cmpint(
		handoff_session_start(w->laptop->handoffs, other, exporter, &hello.buf, &err), ==,
		CONVERSATION_SEND);
	world_free(w);
}

static bool has_changed(struct device *d, struct policyd_mark *seen)
{
	struct caller caller = caller_of(d, WHO_OWNER, 1);
	struct policyd_mark now = {{0}};
	struct kerr err = {0};

	g_assert_cmpint(op_changes(&caller, seen, &now, &err), ==, 0);
	*seen = now;
	return !caller.later;
}

/* Whoever waits hears of the store, the state and the pairing window, and of nothing else. */
static void test_changes(void)
{
	struct world *w = world_new();
	struct pairdesk_window window = {.role = PERSON_ROLE_GUEST, .seconds = 60, .connection = 1};
	struct policyd_mark seen = {{0}};
	struct kerr err = {0};
	uint8_t hid[HID_LEN];

	g_assert_true(has_changed(w->laptop, &seen));
	g_assert_false(has_changed(w->laptop, &seen));
	g_assert_cmpint(ask_to_move(w->laptop, w->desktop, hid, &err), ==, 0);
	g_assert_true(has_changed(w->laptop, &seen));
	g_assert_cmpint(pairdesk_open(w->laptop->pairdesk, &window, &err), ==, 0);
	g_assert_true(has_changed(w->laptop, &seen));
	g_usleep(1100000); /* a second less is left of it */
	g_assert_false(has_changed(w->laptop, &seen));
	pairdesk_close(w->laptop->pairdesk, 1);
	g_assert_true(has_changed(w->laptop, &seen));
	/* What was not committed did not happen. */
	g_assert_cmpint(core_audit(w->laptop->core, "Tom", "laptop", "work", "policy-set", NULL),
			==, 0);
	g_assert_false(has_changed(w->laptop, &seen));
	store_rollback(w->laptop->core->store);
	g_assert_false(has_changed(w->laptop, &seen));
	world_free(w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(secret_process_setup(), ==, 0);
	g_test_add_func("/policyd/hand-off there and back, custody survives restarts",
			test_hand_off);
	g_test_add_func("/policyd/B1 B2 HO7 relay, replay, old message", test_attacks_on_session);
	g_test_add_func("/policyd/S1-15 B6 policy, changed PCR, change before commit",
			test_pcr_and_policy);
	g_test_add_func("/policyd/S1-17 whoever holds another owner's VM is not its owner",
			test_s1_17_foreign_holder);
	g_test_add_func("/policyd/a VM is taken in on whichever device of its owner it is",
			test_device_signs);
	g_test_add_func("/policyd/S1-17 P9 who may sign a policy", test_signers);
	g_test_add_func("/policyd/D6 state moved to another TPM stays closed", test_d6_moved_state);
	g_test_add_func("/policyd/H21 a VM has the name that its policy gives it",
			test_h21_two_names);
	g_test_add_func("/policyd/the way in which a VM shall move", test_wishes);
	g_test_add_func("/policyd/whoever waits hears of each change", test_changes);
	g_test_add_func("/policyd/P7 no pairing outside the window", test_p7_window);
	return g_test_run();
}
