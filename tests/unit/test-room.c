/* SPDX-License-Identifier: Apache-2.0 */
/* What others cause takes no room in the store that is needed: offers until they are taken, records
 * of refusals beside the owner's history, and the reserve of custody. */
#include "tests/unit/store-fixture.h"

static const uint8_t VM[UUID_LEN] = {0xaa, 1}, HID[HID_LEN] = {1}, HID2[HID_LEN] = {2};
static const uint8_t SELF[DEVICE_ID_LEN] = {1}, PEER[DEVICE_ID_LEN] = {2};

static int step(struct fixture *f, const uint8_t hid[HID_LEN], enum custody_record record,
		uint64_t epoch, const struct custody_statement *proof)
{
	struct custody_step s = {.record = record, .proof = proof, .epoch = epoch};
	struct custody_view v;

	memcpy(s.hid, hid, HID_LEN);
	memcpy(s.self, SELF, DEVICE_ID_LEN);
	memcpy(s.uuid, VM, UUID_LEN);
	memcpy(s.peer, PEER, DEVICE_ID_LEN);
	g_strlcpy(s.self_name, "laptop", sizeof(s.self_name));
	g_strlcpy(s.peer_name, "desktop", sizeof(s.peer_name));
	g_strlcpy(s.name, "work", sizeof(s.name));
	return store_custody_step(f->s, &s, NULL, 0, &v, NULL);
}

static uint64_t number(struct fixture *f, const char *sql)
{
	uint64_t n = 99;

	g_assert_cmpint(sql_number(f->s, NULL, &n, sql), ==, 0);
	return n;
}

static struct store_policy make_policy(void)
{
	struct store_policy p = {.name = "work", .version = 3, .text = (char *)""};

	memcpy(p.uuid, VM, UUID_LEN);
	return p;
}

/* -- H4: offers -- */

static void test_void_forgets(struct fixture *f, const void *data _unused_)
{
	g_autofree struct custody_chain *chain = g_new0(struct custody_chain, 1);
	struct store_policy p = make_policy();
	struct custody_view v;
	uint64_t version;

	chain->len = CUSTODY_LINK_LEN;
	g_assert_cmpint(store_offer_put(f->s, HID, &p, chain, NULL, 0, NULL), ==, 0);
	g_assert_cmpint(step(f, HID, CUSTODY_RECV, 9000000000, NULL), ==, 0);
	must_reopen(f);
	g_assert_cmpint(store_policy_version(f->s, VM, &version, NULL), ==, 0);
	g_assert_cmpuint(version, ==, 0);
	g_assert_cmpint(step(f, HID, CUSTODY_PREPARED, 0, NULL), ==, 0);
	g_assert_cmpint(step(f, HID, CUSTODY_VOID, 0, NULL), ==, 0);
	must_reopen(f);
	g_assert_cmpuint(number(f, "SELECT (SELECT count(*) FROM policies)"
				   " + (SELECT count(*) FROM offers)"
				   " + (SELECT count(*) FROM chains)"
				   " + (SELECT count(*) FROM custody)"),
			 ==, 0);
	/* Nor does it know an epoch that it could tell a device in doubt. */
	g_assert_cmpint(store_custody_get(f->s, VM, &v, NULL), ==, 0);
	g_assert_cmpuint(v.epoch, ==, 0);
}

/* The twin: another owner's VM of that UUID comes to stay, with restarts between. */
static void test_own_keeps(struct fixture *f, const void *data _unused_)
{
	struct custody_statement release = {.kind = CUSTODY_STATEMENT_RELEASE, .epoch = 2};
	g_autofree struct custody_chain *chain = g_new0(struct custody_chain, 1);
	struct store_policy p = make_policy();
	uint64_t version;

	test_void_forgets(f, NULL);
	memcpy(release.hid, HID2, HID_LEN);
	memcpy(release.uuid, VM, UUID_LEN);
	memcpy(release.from, PEER, DEVICE_ID_LEN);
	memcpy(release.to, SELF, DEVICE_ID_LEN);
	p.owner_pk[0] = 7;
	chain->len = CUSTODY_LINK_LEN;
	g_assert_cmpint(store_offer_put(f->s, HID2, &p, chain, NULL, 0, NULL), ==, 0);
	g_assert_cmpint(step(f, HID2, CUSTODY_RECV, 1, NULL), ==, 0);
	g_assert_cmpint(step(f, HID2, CUSTODY_PREPARED, 0, NULL), ==, 0);
	must_reopen(f);
	chain->len = 0;
	g_assert_cmpint(store_offer_chain(f->s, HID2, chain, NULL), ==, 0);
	g_assert_cmpuint(chain->len, ==, CUSTODY_LINK_LEN);
	g_assert_cmpint(step(f, HID2, CUSTODY_OWN, 0, &release), ==, 0);
	must_reopen(f);
	g_assert_cmpint(store_policy_version(f->s, VM, &version, NULL), ==, 0);
	g_assert_cmpuint(version, ==, 3);
	g_assert_cmpuint(number(f, "SELECT count(*) FROM offers"), ==, 0);
}

static void test_offers_bounded(struct fixture *f, const void *data _unused_)
{
	g_autofree struct custody_chain *chain = g_new0(struct custody_chain, 1);
	struct store_policy p = make_policy();
	uint8_t hid[HID_LEN] = {0};
	struct kerr err = {0};

	for (hid[0] = 0; hid[0] < STORE_OFFERS_MAX; hid[0]++)
		g_assert_cmpint(store_offer_put(f->s, hid, &p, chain, NULL, 0, NULL), ==, 0);
	g_assert_cmpint(store_offer_put(f->s, hid, &p, chain, NULL, 0, &err), ==, -EBUSY);
	g_assert_cmpint((int)err.code, ==, KCODE_BUSY);
}

/* -- H4: the reserve -- */

/* Policies until the store takes no more. */
static void fill_up(struct fixture *f, struct kerr *err)
{
	static char text[31000];
	struct store_policy p = {.name = "x", .version = 1, .text = text};
	uint32_t i = 0;
	int r;

	memset(text, '#', sizeof(text));
	for (p.text_len = sizeof(text); p.text_len > 100; p.text_len /= 4) {
		do {
			i++;
			memcpy(p.uuid, &i, sizeof(i));
			r = store_policy_put(f->s, &p, err);
		} while (r == 0);
		g_assert_cmpint(r, ==, -ENOSPC);
	}
	g_assert_cmpint(store_commit(f->s, COMMIT_PLAIN, NULL), ==, 0);
}

/* As many records as the journal keeps, each with a proof. */
static void fill_journal(struct fixture *f)
{
	for (int i = 0; i < STORE_JOURNAL_KEEP + STORE_JOURNAL_PRUNE; i++) {
		struct journal_entry e = {.record = 1,
					  .epoch = UINT64_C(1) << 40,
					  .handoff_epoch = UINT64_C(1) << 40,
					  .source = true,
					  .proof_len = CUSTODY_STATEMENT_LEN};

		randombytes_buf(e.hid, sizeof(e.hid));
		randombytes_buf(e.uuid, sizeof(e.uuid));
		randombytes_buf(e.peer, sizeof(e.peer));
		g_assert_cmpint(store_log_append(f->s, STORE_JOURNAL, &e, 1, NULL), ==, 0);
	}
}

static void test_reserve(struct fixture *f, const void *data _unused_)
{
	g_autofree struct custody_chain *chain = g_new0(struct custody_chain, 1);
	struct policyd_audit a = {.time = 1, .action = "move"};
	struct store_policy p = make_policy();
	struct custody_view v;
	struct kerr err = {0};

	fill_up(f, &err);
	g_assert_cmpint((int)err.code, ==, KCODE_ROOM);
	must_reopen(f);
	g_assert_cmpint(store_audit_append(f->s, STORE_AUDIT, &a, NULL), ==, -ENOSPC);
	g_assert_cmpint(store_offer_put(f->s, HID2, &p, chain, NULL, 0, NULL), ==, -ENOSPC);
	/* What custody needs goes on, to the last record that the journal keeps. */
	g_assert_cmpint(store_custody_adopt(f->s, VM, "work", SELF, "laptop", &v, NULL), ==, 0);
	g_assert_cmpint(step(f, HID, CUSTODY_PREP, 0, NULL), ==, 0);
	g_assert_cmpint(step(f, HID, CUSTODY_ABORTED, 0, NULL), ==, 0);
	fill_journal(f);
	g_assert_cmpint(store_commit(f->s, COMMIT_PLAIN, &err), ==, 0);
	g_assert_cmpint(reopen(f, &err), ==, 0);
	g_assert_cmpint(step(f, HID, CUSTODY_DONE, 0, NULL), ==, 0);
}

/* -- H5: two histories -- */

static void append(struct fixture *f, enum store_log log, const char *vm)
{
	struct policyd_audit a = {.time = 1, .action = "move-in"};

	g_strlcpy(a.vm, vm, sizeof(a.vm));
	g_assert_cmpint(store_audit_append(f->s, log, &a, NULL), ==, 0);
}

static void test_histories(struct fixture *f, const void *data _unused_)
{
	struct policyd_audit *list;
	struct kerr err = {0};
	size_t n;

	append(f, STORE_AUDIT, "first");
	for (int i = 0; i < STORE_AUDIT_KEEP + 1200; i++)
		append(f, STORE_PEER_AUDIT, "theirs");
	append(f, STORE_AUDIT, "last");
	g_assert_cmpint(store_commit(f->s, COMMIT_PLAIN, NULL), ==, 0);
	must_reopen(f);
	g_assert_cmpint(store_audit_list(f->s, 0, SIZE_MAX, &list, &n, NULL), ==, 0);
	g_assert_cmpuint(n, >=, STORE_PEER_AUDIT_KEEP + 2);
	g_assert_cmpuint(n, <=, STORE_PEER_AUDIT_KEEP + 2 + 64);
	g_assert_cmpstr(list[0].vm, ==, "first");
	g_assert_cmpstr(list[n - 1].vm, ==, "last");
	g_assert_cmpuint(list[n - 1].seq, ==, STORE_AUDIT_KEEP + 1202);
	free(list);
	/* Each chain is checked by itself; a record that changes sides breaks both. */
	g_assert_cmpint(store_verify(f->s, NULL), ==, 0);
	g_assert_cmpint(sql_change(f->s, NULL,
				   "INSERT INTO peer_audit SELECT * FROM audit WHERE vm='first'"),
			==, 0);
	g_assert_cmpint(store_log_verify(f->s, STORE_PEER_AUDIT, NULL), ==, -EBADMSG);
	g_assert_cmpint(sql_change(f->s, NULL, "DELETE FROM audit WHERE vm='first'"), ==, 0);
	g_assert_cmpint(store_log_verify(f->s, STORE_AUDIT, NULL), ==, -EBADMSG);
	store_rollback(f->s);
	g_assert_cmpint(sql_change(f->s, NULL,
				   "DELETE FROM peer_audit"
				   " WHERE seq=(SELECT max(seq) FROM peer_audit)"),
			==, 0);
	g_assert_cmpint(store_log_verify(f->s, STORE_AUDIT, NULL), ==, 0);
	g_assert_cmpint(store_log_verify(f->s, STORE_PEER_AUDIT, &err), ==, -EBADMSG);
	g_assert_nonnull(strstr(err.text, "record 5296 "));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
#define ADD(name, fn) g_test_add(name, struct fixture, NULL, setup, fn, teardown)
	ADD("/room/H4 VOID forgets what came", test_void_forgets);
	ADD("/room/H4 OWN keeps it, also over restarts", test_own_keeps);
	ADD("/room/H4 offers are bounded", test_offers_bounded);
	ADD("/room/H4 custody always has room", test_reserve);
	ADD("/room/H5 refusals of peers do not push out the owner's history", test_histories);
	return g_test_run();
}
