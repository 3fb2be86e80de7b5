/* SPDX-License-Identifier: Apache-2.0 */
/* The window of pairing with whole cores: whose yes counts for whom, what ends it, what each side
 * reads, and devices that know each other from before. */
#include "policyd/dispatch.h"
#include "tests/unit/policyd-fixture.h"

#define KITH_PAIR 7	  /* number of the connection of `kith pair` */
#define OTHER_KITH_PAIR 8 /* of another one */
#define KITHD 9

static struct wire to_a, to_b;

static struct pairdesk *desk(struct device *d)
{
	return d->pairdesk;
}

static struct policyd_pair_status status(struct device *d)
{
	struct policyd_pair_status st;

	pairdesk_status(desk(d), &st);
	return st;
}

static int open_for(struct device *d, uint64_t connection, bool replace)
{
	const struct pairdesk_window window = {.role = PERSON_ROLE_GUEST,
					       .seconds = 60,
					       .replace = replace,
					       .connection = connection};
	struct kerr err = {0};

	return pairdesk_open(desk(d), &window, &err);
}

static void open_both(struct device *a, struct device *b)
{
	g_assert_cmpint(open_for(a, KITH_PAIR, false), ==, 0);
	g_assert_cmpint(open_for(b, KITH_PAIR, false), ==, 0);
}

static enum conversation_state start(struct device *d, bool initiator, struct wire *out)
{
	struct kerr err = {0};

	wire_clear(out);
	pairdesk_set_carrier(desk(d), KITHD);
	return pairdesk_start(desk(d), initiator, exporter, &out->buf, &err);
}

/* `a` calls; up to the code, if both get that far. */
static void meet(struct device *a, struct device *b)
{
	g_assert_cmpint(start(b, false, &to_a), ==, CONVERSATION_SEND);
	g_assert_cmpint(start(a, true, &to_b), ==, CONVERSATION_SEND);
	exchange(a, b, &to_b, &to_a);
}

/* What kithd fetches of both, and all that follows. */
static void fetch(struct device *a, struct device *b)
{
	struct kerr err = {0};

	wire_clear(&to_a);
	wire_clear(&to_b);
	pairdesk_poll(desk(a), &to_b.buf, &err);
	kerr_clear(&err);
	pairdesk_poll(desk(b), &to_a.buf, &err);
	exchange(a, b, &to_b, &to_a);
}

static int answer(struct device *d, const struct policyd_pair_status *shown, bool same,
		  struct kerr *err)
{
	kerr_clear(err);
	return pairdesk_confirm(desk(d), shown->hash, same, err);
}

static void both_say_yes(struct device *a, struct device *b)
{
	struct policyd_pair_status sa = status(a), sb = status(b);
	struct kerr err = {0};

	g_assert_true(sa.waiting && sb.waiting);
	g_assert_cmpstr(sa.code, ==, sb.code);
	g_assert_cmpint(answer(a, &sa, true, &err), ==, 0);
	g_assert_false(status(a).waiting);
	g_assert_cmpint(answer(b, &sb, true, &err), ==, 0);
	fetch(a, b);
}

static bool knows(struct device *d, struct device *other)
{
	struct store_peer peer;

	return store_peer_get(d->core->store, other->core->id.id, &peer, NULL) == 0;
}

/* Newest record of pairing. */
static struct policyd_audit last_audit(struct device *d)
{
	_cleanup_free_ struct policyd_audit *list = NULL;
	struct policyd_audit last = {0};
	size_t n = 0;

	g_assert_cmpint(store_audit_list(d->core->store, 1, 4096, &list, &n, NULL), ==, 0);
	for (size_t i = 0; i < n; i++)
		if (g_str_has_prefix(list[i].action, "pair"))
			last = list[i];
	return last;
}

#define assert_says(device, sentence) g_assert_nonnull(strstr(status(device).error.text, sentence))

struct three {
	struct device *laptop, *desktop, *mallory;
};

static void three_new(struct three *t)
{
	t->laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	t->desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	t->mallory = device_new("mallory", DEVICE_ROLE_LAPTOP, NULL);
}

static void three_free(struct three *t)
{
	device_free(t->laptop);
	device_free(t->desktop);
	device_free(t->mallory);
}

/* -- C1 -- */

/* The channel is reset while people compare, and somebody else comes at once. */
static void test_c1_reset(void)
{
	struct policyd_pair_status shown;
	struct kerr err = {0};
	struct three t;

	three_new(&t);
	open_both(t.laptop, t.desktop);
	g_assert_cmpint(open_for(t.mallory, KITH_PAIR, false), ==, 0);
	meet(t.laptop, t.desktop);
	shown = status(t.laptop);
	g_assert_true(shown.waiting);
	pairdesk_end(desk(t.laptop));
	pairdesk_end(desk(t.desktop));
	g_assert_cmpint(start(t.laptop, false, &to_a), ==, CONVERSATION_REFUSED);
	g_assert_cmpint(start(t.laptop, true, &to_a), ==, CONVERSATION_REFUSED);
	g_assert_cmpint(answer(t.laptop, &shown, true, &err), <, 0);
	g_assert_nonnull(strstr(err.text, "was lost while pairing"));
	assert_says(t.laptop, "start again on both");
	assert_says(t.desktop, "start again on both");
	g_assert_false(status(t.laptop).open || status(t.desktop).open || status(t.laptop).done);
	g_assert_cmpint(last_audit(t.laptop).allowed, ==, 0);
	three_free(&t);
}

/* Even with a window of its own for the stranger the old yes is worth nothing; the new one is. */
static void test_c1_answer(void)
{
	struct policyd_pair_status shown, now;
	struct kerr err = {0};
	struct three t;

	three_new(&t);
	open_both(t.laptop, t.desktop);
	meet(t.laptop, t.desktop);
	shown = status(t.laptop);
	pairdesk_end(desk(t.laptop));
	g_assert_cmpint(open_for(t.laptop, KITH_PAIR, false), ==, 0);
	g_assert_cmpint(open_for(t.mallory, KITH_PAIR, false), ==, 0);
	meet(t.laptop, t.mallory);
	now = status(t.laptop);
	g_assert_true(now.waiting);
	g_assert_true(memcmp(now.hash, shown.hash, HASH_LEN) != 0);
	g_assert_cmpint(answer(t.laptop, &shown, true, &err), ==, -EACCES);
	g_assert_cmpint(err.code, ==, KCODE_PAIRING);
	g_assert_nonnull(strstr(err.text, "Another code is shown now"));
	g_assert_true(status(t.laptop).waiting);
	both_say_yes(t.laptop, t.mallory);
	g_assert_true(status(t.laptop).done && status(t.mallory).done);
	g_assert_cmpstr(status(t.laptop).peer_name, ==, "mallory");
	g_assert_cmpstr(status(t.mallory).peer_owner, ==, "Tom");
	g_assert_true(knows(t.laptop, t.mallory));
	g_assert_false(knows(t.laptop, t.desktop));
	three_free(&t);
}

/* Whoever hangs up before he said anything is a port scanner, not a failure. */
static void test_c1_scanner(void)
{
	struct three t;

	three_new(&t);
	open_both(t.laptop, t.desktop);
	for (int i = 0; i < 3; i++) {
		g_assert_cmpint(start(t.laptop, i & 1, &to_a), ==, CONVERSATION_SEND);
		/* Nobody gets in between, and who tries ends nothing. */
		g_assert_cmpint(start(t.laptop, false, &to_b), ==, CONVERSATION_REFUSED);
		pairdesk_end(desk(t.laptop));
		g_assert_true(status(t.laptop).open);
		g_assert_cmpstr(status(t.laptop).error.text, ==, "");
	}
	meet(t.laptop, t.desktop);
	both_say_yes(t.laptop, t.desktop);
	g_assert_true(status(t.laptop).done && status(t.desktop).done);
	three_free(&t);
}

/* One failure is one try: he has seen which code it would be. */
static void test_c1_one_try(void)
{
	struct kerr err = {0};
	struct wire out;
	struct three t;

	three_new(&t);
	open_both(t.laptop, t.mallory);
	g_assert_cmpint(start(t.laptop, false, &to_a), ==, CONVERSATION_SEND);
	g_assert_cmpint(start(t.mallory, true, &to_b), ==, CONVERSATION_SEND);
	wire_clear(&out);
	g_assert_cmpint(pairdesk_step(desk(t.laptop), to_b.room, to_b.buf.len, &out.buf, &err), ==,
			CONVERSATION_SEND);
	pairdesk_end(desk(t.laptop));
	assert_says(t.laptop, "was lost while pairing");
	g_assert_cmpint(start(t.laptop, false, &to_a), ==, CONVERSATION_REFUSED);
	three_free(&t);
}

/* -- A4 -- */

static void test_a4_no(void)
{
	struct policyd_pair_status shown;
	struct kerr err = {0};
	struct three t;

	three_new(&t);
	open_both(t.laptop, t.desktop);
	meet(t.laptop, t.desktop);
	shown = status(t.laptop);
	g_assert_cmpint(answer(t.laptop, &shown, true, &err), ==, 0);
	shown = status(t.desktop);
	g_assert_cmpint(answer(t.desktop, &shown, false, &err), ==, 0);
	/* `kith` ends and closes its window before kithd came by. */
	pairdesk_close(desk(t.desktop), KITH_PAIR);
	pairdesk_connection_gone(t.desktop->pairdesk, KITH_PAIR);
	fetch(t.laptop, t.desktop);
	assert_says(t.laptop, "The other one said no");
	assert_says(t.desktop, "You said that the codes differ");
	g_assert_false(status(t.laptop).open || status(t.desktop).open);
	g_assert_nonnull(strstr(last_audit(t.laptop).reason.text, "The other one said no"));
	g_assert_cmpstr(last_audit(t.laptop).device, ==, "desktop");
	three_free(&t);
}

/* `kith` is killed: before anybody came, while it asks, and after its yes. */
static void test_a4_killed(void)
{
	struct policyd_pair_status shown;
	struct kerr err = {0};
	struct three t;

	three_new(&t);
	g_assert_cmpint(open_for(t.laptop, KITH_PAIR, false), ==, 0);
	pairdesk_connection_gone(t.laptop->pairdesk, OTHER_KITH_PAIR);
	g_assert_true(status(t.laptop).open);
	pairdesk_connection_gone(t.laptop->pairdesk, KITH_PAIR);
	g_assert_false(status(t.laptop).open);
	g_assert_cmpint(start(t.laptop, false, &to_a), ==, CONVERSATION_REFUSED);
	for (int yes = 0; yes < 2; yes++) {
		open_both(t.laptop, t.desktop);
		meet(t.laptop, t.desktop);
		shown = status(t.desktop);
		if (yes)
			g_assert_cmpint(answer(t.desktop, &shown, true, &err), ==, 0);
		pairdesk_connection_gone(t.desktop->pairdesk, KITH_PAIR);
		g_assert_false(status(t.desktop).open);
		fetch(t.laptop, t.desktop);
		assert_says(t.laptop, "The other one gave up");
		/* A late yes hears the same. */
		shown = status(t.laptop);
		g_assert_cmpint(answer(t.laptop, &shown, true, &err), <, 0);
		g_assert_nonnull(strstr(err.text, "The other one gave up"));
	}
	three_free(&t);
}

static void test_a4_whose_window(void)
{
	struct three t;

	three_new(&t);
	open_both(t.laptop, t.desktop);
	g_assert_cmpint(open_for(t.laptop, OTHER_KITH_PAIR, false), ==, -EBUSY);
	pairdesk_close(desk(t.laptop), OTHER_KITH_PAIR);
	g_assert_true(status(t.laptop).open);
	meet(t.laptop, t.desktop);
	g_assert_cmpint(open_for(t.laptop, OTHER_KITH_PAIR, false), ==, -EBUSY);
	/* With kithd the channel is gone. */
	pairdesk_connection_gone(t.laptop->pairdesk, KITHD);
	assert_says(t.laptop, "was lost while pairing");
	g_assert_cmpint(open_for(t.laptop, OTHER_KITH_PAIR, false), ==, 0);
	three_free(&t);
}

/* -- A7 -- */

/* PAIR_OPEN as `kith` sends it; the recovery key that it got. */
static void request_window(struct device *d, char ret_key[VAULT_RECOVERY_TEXT])
{
	const struct policyd_window window = {.role = PERSON_ROLE_GUEST, .seconds = 60};
	struct caller caller = caller_of(d, 0, KITH_PAIR);
	struct policyd_recovery key = {0};
	struct kerr err = {0};

	g_assert_cmpint(op_pair_open(&caller, &window, &key, &err), ==, 0);
	g_assert_cmpstr(err.text, ==, "");
	g_strlcpy(ret_key, key.key, VAULT_RECOVERY_TEXT);
}

static bool opens(struct device *d, const char *key)
{
	struct vault_keys keys = {0};
	struct kerr err = {0};
	int r = vault_recover(d->core->state_fd, key, &keys, &err);

	vault_keys_clear(&keys);
	return r == 0;
}

/* A key is shown when the device is paired, so each window that may lead there brings one. */
static void test_a7_key(void)
{
	char first[VAULT_RECOVERY_TEXT], second[VAULT_RECOVERY_TEXT], none[VAULT_RECOVERY_TEXT];
	struct three t;

	three_new(&t);
	request_window(t.desktop, first);
	g_assert_true(opens(t.desktop, first));
	pairdesk_close(desk(t.desktop), KITH_PAIR);
	request_window(t.desktop, second);
	g_assert_true(opens(t.desktop, second));
	/* As `kith` says when it printed the key: until then an earlier one may be all there is. */
	g_assert_cmpint(vault_recovery_settle(t.desktop->core->state_fd, true), ==, 0);
	g_assert_false(opens(t.desktop, first) || opens(t.desktop, t.desktop->recovery));
	g_assert_cmpint(open_for(t.laptop, KITH_PAIR, false), ==, 0);
	meet(t.laptop, t.desktop);
	both_say_yes(t.laptop, t.desktop);
	g_assert_true(status(t.desktop).done);
	/* It has an owner now, who has its key. */
	request_window(t.desktop, none);
	g_assert_cmpstr(none, ==, "");
	g_assert_true(opens(t.desktop, second));
	three_free(&t);
}

/* -- A8, M8, H7: devices that know each other -- */

static void forget(struct device *d, struct device *other)
{
	struct kerr err = {0};

	g_assert_cmpint(store_peer_revoke(d->core->store, other->core->id.id, &err), ==, 0);
	g_assert_cmpint(store_commit(d->core->store, COMMIT_GUARDED, &err), ==, 0);
}

static void test_a8_m8_again(void)
{
	struct three t;

	three_new(&t);
	pair(t.laptop, t.desktop, PERSON_ROLE_GUEST);
	g_assert_cmpstr(last_audit(t.laptop).action, ==, "pair");
	/* Both know each other. */
	open_both(t.laptop, t.desktop);
	meet(t.laptop, t.desktop);
	g_assert_cmpint(status(t.laptop).past, ==, PAIR_PAST_PAIRED);
	both_say_yes(t.laptop, t.desktop);
	g_assert_true(status(t.laptop).done && status(t.desktop).done);
	g_assert_cmpstr(last_audit(t.laptop).action, ==, "pair");
	/* One forgot the other, which does not know that. */
	forget(t.laptop, t.desktop);
	g_assert_false(knows(t.laptop, t.desktop));
	open_both(t.laptop, t.desktop);
	meet(t.laptop, t.desktop);
	g_assert_cmpint(status(t.laptop).past, ==, PAIR_PAST_FORGOTTEN);
	g_assert_cmpint(status(t.desktop).past, ==, PAIR_PAST_PAIRED);
	g_assert_false(knows(t.laptop, t.desktop));
	both_say_yes(t.laptop, t.desktop);
	g_assert_true(status(t.laptop).done && status(t.desktop).done);
	g_assert_true(status(t.laptop).known_there);
	g_assert_false(status(t.desktop).known_there);
	g_assert_true(knows(t.laptop, t.desktop) && knows(t.desktop, t.laptop));
	g_assert_cmpstr(last_audit(t.laptop).action, ==, "pair-again");
	g_assert_cmpstr(last_audit(t.desktop).action, ==, "pair");
	three_free(&t);
}

/* M8: whoever was forgotten does not come back without a yes. */
static void test_m8_no(void)
{
	struct policyd_pair_status shown;
	struct kerr err = {0};
	struct three t;

	three_new(&t);
	pair(t.laptop, t.desktop, PERSON_ROLE_GUEST);
	forget(t.laptop, t.desktop);
	open_both(t.laptop, t.desktop);
	meet(t.laptop, t.desktop);
	shown = status(t.desktop);
	g_assert_cmpint(answer(t.desktop, &shown, true, &err), ==, 0);
	shown = status(t.laptop);
	g_assert_cmpint(answer(t.laptop, &shown, false, &err), ==, 0);
	fetch(t.laptop, t.desktop);
	g_assert_false(knows(t.laptop, t.desktop));
	g_assert_cmpint(store_peer_is_revoked(t.laptop->core->store, t.desktop->core->id.id), ==,
			1);
	three_free(&t);
}

/* What unlocking does after the TPM was cleared or replaced: a new attestation key, and no record
 * of the owner about it, so that the device comes as one that is to join. */
static void new_attestation_key(struct device *d)
{
	struct identity *id = &d->core->id;
	struct kerr err = {0};

	g_assert_cmpint(tpm_ak_create(d->core->tpm, &id->ak, &err), ==, 0);
	g_assert_cmpint(tpm_ek_public(d->core->tpm, &id->ek_pub, &err), ==, 0);
	g_assert_cmpint(store_meta_set(d->core->store, STORE_AK_PUBLIC, id->ak.pub.data,
				       id->ak.pub.len, &err),
			==, 0);
	g_assert_cmpint(store_meta_set(d->core->store, STORE_AK_PRIVATE, id->ak.priv.data,
				       id->ak.priv.len, &err),
			==, 0);
	g_assert_cmpint(store_commit(d->core->store, COMMIT_GUARDED, &err), ==, 0);
	id->cloud = false;
	memset(id->owner_pk, 0, sizeof(id->owner_pk));
	id->owner_name[0] = '\0';
}

/* The state of the device stays, its chip is another one. */
static void new_tpm(struct device *d)
{
	g_autofree char *state = g_build_filename(d->tpm.dir, "tpm2-00.permall", NULL);
	struct kerr err = {0};

	close_core(d);
	swtpm_halt(&d->tpm);
	g_assert_cmpint(g_unlink(state), ==, 0);
	swtpm_run(&d->tpm, "not-need-init,startup-clear");
	boot(&d->tpm);
	open_core(d);
	g_assert_cmpint(d->core->state, ==, POLICYD_STATE_LOCKED);
	g_assert_cmpint(core_unlock(d->core, d->recovery, &err), ==, 0);
}

static void test_h7(bool other_tpm)
{
	struct device *laptop = device_new("laptop", DEVICE_ROLE_LAPTOP, "Tom");
	struct device *desktop = device_new("desktop", DEVICE_ROLE_DESKTOP, NULL);
	struct store_peer before, after;
	struct policyd_audit last;

	pair(laptop, desktop, PERSON_ROLE_GUEST);
	if (other_tpm)
		new_tpm(desktop);
	new_attestation_key(desktop);
	g_assert_cmpint(store_peer_get(laptop->core->store, desktop->core->id.id, &before, NULL),
			==, 0);
	open_both(laptop, desktop);
	meet(laptop, desktop);
	g_assert_cmpint(status(laptop).error.code, ==, KCODE_PEER_KEY);
	assert_says(laptop, "`kith pair desktop replace`");
	assert_says(desktop, "`kith pair desktop replace`");
	g_assert_cmpint(store_peer_get(laptop->core->store, desktop->core->id.id, &after, NULL), ==,
			0);
	g_assert_cmpmem(after.ak_public, (int)after.ak_public_len, before.ak_public,
			(int)before.ak_public_len);

	g_assert_cmpint(open_for(laptop, KITH_PAIR, true), ==, 0);
	g_assert_cmpint(open_for(desktop, KITH_PAIR, false), ==, 0);
	meet(laptop, desktop);
	g_assert_cmpint(status(laptop).past, ==, PAIR_PAST_REPLACED);
	both_say_yes(laptop, desktop);
	g_assert_cmpstr(status(laptop).error.text, ==, "");
	g_assert_true(status(laptop).done && status(desktop).done);
	g_assert_cmpint(store_peer_get(laptop->core->store, desktop->core->id.id, &after, NULL), ==,
			0);
	g_assert_cmpmem(after.ak_public, (int)after.ak_public_len, desktop->core->id.ak.pub.data,
			desktop->core->id.ak.pub.len);
	g_assert_cmpint(memcmp(after.ek_hash, before.ek_hash, HASH_LEN) != 0, ==, other_tpm);
	g_assert_true(after.own);
	last = last_audit(laptop);
	g_assert_cmpstr(last.action, ==, "pair-replace");
	g_assert_cmpint(last.allowed, ==, 1);
	g_assert_cmpstr(desktop->core->id.owner_name, ==, "Tom");
	device_free(laptop);
	device_free(desktop);
}

static void test_h7_cleared(void)
{
	test_h7(false);
}

static void test_h7_mainboard(void)
{
	test_h7(true);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(secret_process_setup(), ==, 0);
	g_test_add_func("/pairdesk/C1 a stranger behind a reset is refused", test_c1_reset);
	g_test_add_func("/pairdesk/C1 a yes counts only for the code that was shown",
			test_c1_answer);
	g_test_add_func("/pairdesk/C1 a port scanner does not close the window", test_c1_scanner);
	g_test_add_func("/pairdesk/C1 whoever said something had his one try", test_c1_one_try);
	g_test_add_func("/pairdesk/A4 a no is said on both sides", test_a4_no);
	g_test_add_func("/pairdesk/A4 a window ends with its connection", test_a4_killed);
	g_test_add_func("/pairdesk/A4 a window belongs to its connection", test_a4_whose_window);
	g_test_add_func("/pairdesk/A7 the key of the window that succeeds is valid", test_a7_key);
	g_test_add_func("/pairdesk/A8 M8 known here, forgotten there", test_a8_m8_again);
	g_test_add_func("/pairdesk/M8 a forgotten device stays so after a no", test_m8_no);
	g_test_add_func("/pairdesk/H7 the same TPM, cleared", test_h7_cleared);
	g_test_add_func("/pairdesk/H7 another TPM", test_h7_mainboard);
	return g_test_run();
}
