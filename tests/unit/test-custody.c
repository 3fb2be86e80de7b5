/* SPDX-License-Identifier: Apache-2.0 */
/* The store's tables: policies, requests, audit; and custody with journal and markers. */
#include "mover/marker.h"
#include "policyd/custody-marker.h"
#include "tests/unit/store-fixture.h"

static const uint8_t SELF[DEVICE_ID_LEN] = {0x5e}, PEER[DEVICE_ID_LEN] = {0x9e};
static const uint8_t VM[UUID_LEN] = {0x77, 1}, VM2[UUID_LEN] = {0x77, 2};
static const uint8_t HID[HID_LEN] = {0x41}, HID2[HID_LEN] = {0x42};

/* -- Values -- */

static void test_meta(struct fixture *f, const void *data _unused_)
{
	_cleanup_free_ uint8_t *big = calloc(1, STORE_META_MAX + 1);
	struct kerr err = {0};
	char text[8];
	size_t len;

	g_assert_cmpint(store_meta_get(f->s, "none", text, sizeof(text), &len, &err), ==, -ENOENT);
	g_assert_cmpint((int)err.code, ==, KCODE_NOT_FOUND);
	g_assert_cmpint(store_meta_set(f->s, STORE_OWNER_NAME, "tom", 3, NULL), ==, 0);
	g_assert_cmpint(store_meta_set(f->s, STORE_OWNER_NAME, "thomas", 6, NULL), ==, 0);
	g_assert_cmpint(store_meta_get_text(f->s, STORE_OWNER_NAME, text, sizeof(text), NULL), ==,
			0);
	g_assert_cmpstr(text, ==, "thomas");
	g_assert_cmpint(store_meta_get_text(f->s, STORE_OWNER_NAME, text, 6, NULL), ==, -EMSGSIZE);
	g_assert_cmpint(store_meta_set(f->s, "zero", "a\0b", 3, NULL), ==, 0);
	g_assert_cmpint(store_meta_get_text(f->s, "zero", text, sizeof(text), NULL), ==, -EBADMSG);
	g_assert_cmpint(store_meta_get(f->s, "zero", text, sizeof(text), &len, NULL), ==, 0);
	g_assert_cmpuint(len, ==, 3);
	g_assert_cmpint(store_meta_set(f->s, "empty", NULL, 0, NULL), ==, 0);
	g_assert_cmpint(store_meta_get(f->s, "empty", text, sizeof(text), &len, NULL), ==, 0);
	g_assert_cmpuint(len, ==, 0);
	g_assert_cmpint(store_meta_delete(f->s, "zero", NULL), ==, 0);
	g_assert_cmpint(store_meta_get(f->s, "zero", text, sizeof(text), &len, NULL), ==, -ENOENT);
	g_assert_cmpint(store_meta_set(f->s, "big", big, STORE_META_MAX, NULL), ==, 0);
	g_assert_cmpint(store_meta_set(f->s, "big", big, STORE_META_MAX + 1, NULL), ==, -EMSGSIZE);
}

static void test_policies(struct fixture *f, const void *data _unused_)
{
	struct store_policy p = {.name = "work", .version = 3}, got;
	struct kerr err = {0};
	uint64_t version;

	memcpy(p.uuid, VM, UUID_LEN);
	p.owner_pk[0] = 1;
	p.text = (char *)"allow owner\n";
	p.text_len = strlen(p.text);
	p.compiled = (uint8_t *)"\1\0\2";
	p.compiled_len = 3;
	g_assert_cmpint(store_policy_get(f->s, VM, &got, &err), ==, -ENOENT);
	g_assert_cmpint(store_policy_version(f->s, VM, &version, NULL), ==, 0);
	g_assert_cmpuint(version, ==, 0);
	g_assert_cmpint(store_policy_put(f->s, &p, NULL), ==, 0);
	g_assert_cmpint(store_policy_put(f->s, &p, NULL), ==, 0);
	g_assert_cmpint(store_commit(f->s, COMMIT_GUARDED, NULL), ==, 0);
	must_reopen(f);
	g_assert_cmpint(store_policy_get(f->s, VM, &got, NULL), ==, 0);
	g_assert_cmpstr(got.text, ==, "allow owner\n");
	g_assert_cmpmem(got.compiled, got.compiled_len, "\1\0\2", 3);
	g_assert_cmpuint(got.version, ==, 3);
	store_policy_clear(&got);
	g_assert_null(got.text);

	/* Other content under the same number, an older one, another owner's. */
	kerr_clear(&err);
	p.text = (char *)"allow guests";
	g_assert_cmpint(store_policy_put(f->s, &p, &err), ==, -ESTALE);
	g_assert_cmpint((int)err.code, ==, KCODE_ROLLBACK);
	p.version = 2;
	g_assert_cmpint(store_policy_put(f->s, &p, NULL), ==, -ESTALE);
	p.version = 4;
	p.owner_pk[0] = 2;
	kerr_clear(&err);
	g_assert_cmpint(store_policy_put(f->s, &p, &err), ==, -EPERM);
	g_assert_cmpint((int)err.code, ==, KCODE_IDENTITY);
	p.owner_pk[0] = 1;
	g_assert_cmpint(store_policy_put(f->s, &p, NULL), ==, 0);
	g_assert_cmpint(store_policy_version(f->s, VM, &version, NULL), ==, 0);
	g_assert_cmpuint(version, ==, 4);
	p.version = 5;
	p.text_len = STORE_POLICY_MAX + 1;
	g_assert_cmpint(store_policy_put(f->s, &p, NULL), ==, -EINVAL);
}

static void test_requests(struct fixture *f, const void *data _unused_)
{
	struct store_request q = {.person = "tom", .time = 50}, got;
	struct kerr err = {0};
	uint64_t n;

	memcpy(q.hid, HID, HID_LEN);
	memcpy(q.uuid, VM, UUID_LEN);
	memcpy(q.device, PEER, DEVICE_ID_LEN);
	g_assert_cmpint(store_request_put(f->s, &q, NULL), ==, 0);
	g_assert_cmpint(store_request_put(f->s, &q, &err), ==, -EEXIST);
	g_assert_cmpint(store_request_get(f->s, HID, &got, NULL), ==, 0);
	g_assert_cmpmem(&got, sizeof(got), &q, sizeof(q));
	g_assert_cmpint(store_request_get(f->s, HID2, &got, NULL), ==, -ENOENT);
	g_assert_cmpint(store_request_delete(f->s, HID2, NULL), ==, -ENOENT);
	for (unsigned i = 1; i < STORE_REQUESTS_MAX; i++) {
		q.hid[5] = (uint8_t)i;
		q.time = 50 + i;
		g_assert_cmpint(store_request_put(f->s, &q, NULL), ==, 0);
	}
	q.hid[5] = 200;
	kerr_clear(&err);
	g_assert_cmpint(store_request_put(f->s, &q, &err), ==, -EBUSY);
	g_assert_cmpint((int)err.code, ==, KCODE_BUSY);
	g_assert_cmpint(sql_number(f->s, NULL, &n, "SELECT count(*) FROM requests"), ==, 0);
	g_assert_cmpuint(n, ==, STORE_REQUESTS_MAX);
	g_assert_cmpint(store_request_expire(f->s, 60, NULL), ==, 10);
	g_assert_cmpint(store_request_expire(f->s, 60, NULL), ==, 0);
	g_assert_cmpint(store_request_put(f->s, &q, NULL), ==, 0);
	g_assert_cmpint(store_request_delete(f->s, q.hid, NULL), ==, 0);
}

/* -- Custody in the store -- */

static struct custody_step make_step(enum custody_record record, const uint8_t hid[HID_LEN])
{
	struct custody_step s = {.record = record, .name = "work", .epoch = 7};

	memcpy(s.hid, hid, HID_LEN);
	memcpy(s.uuid, VM, UUID_LEN);
	memcpy(s.self, SELF, DEVICE_ID_LEN);
	g_strlcpy(s.self_name, "laptop", sizeof(s.self_name));
	memcpy(s.peer, PEER, DEVICE_ID_LEN);
	g_strlcpy(s.peer_name, "desktop", sizeof(s.peer_name));
	return s;
}

static struct custody_statement peer_says(enum custody_statement_kind kind, uint64_t epoch)
{
	struct custody_statement t = {.kind = kind, .epoch = epoch};

	memcpy(t.hid, HID, HID_LEN);
	memcpy(t.uuid, VM, UUID_LEN);
	memcpy(t.from, PEER, DEVICE_ID_LEN);
	memcpy(t.to, SELF, DEVICE_ID_LEN);
	return t;
}

static int do_step(struct fixture *f, enum custody_record record,
		   const struct custody_statement *proof, struct custody_view *ret,
		   struct kerr *err)
{
	struct custody_step s = make_step(record, HID);
	const char *bytes = proof ? "signed bytes" : NULL;

	s.proof = proof;
	return store_custody_step(f->s, &s, bytes, bytes ? strlen(bytes) : 0, ret, err);
}

static void check_marker(struct fixture *f, int want)
{
	struct marker info;
	int r = marker_read(f->dir, VM, &info);

	if (want < 0) {
		g_assert_cmpint(r, ==, -ENOENT);
		return;
	}
	g_assert_cmpint(r, ==, 0);
	g_assert_cmpint((int)info.state, ==, want);
}

static uint64_t of_journal(struct fixture *f, const char *query)
{
	uint64_t n = UINT64_MAX;

	g_assert_cmpint(sql_number(f->s, NULL, &n, query), ==, 0);
	return n;
}

static void adopt(struct fixture *f, struct custody_view *ret)
{
	g_assert_cmpint(store_custody_adopt(f->s, VM, "work", SELF, "laptop", ret, NULL), ==, 0);
}

static void test_source(struct fixture *f, const void *data _unused_)
{
	struct custody_statement vote = peer_says(CUSTODY_STATEMENT_VOTE, 1);
	struct custody_statement ack = peer_says(CUSTODY_STATEMENT_ACK, 2);
	struct journal_entry last;
	struct custody_view v, w;
	uint64_t counter;

	adopt(f, &v);
	g_assert_true(v.here && v.epoch == 1);
	check_marker(f, CUSTODY_MARKER_HERE);
	counter = f->counter->value;
	g_assert_cmpint(do_step(f, CUSTODY_PREP, NULL, &v, NULL), ==, 0);
	check_marker(f, CUSTODY_MARKER_LEAVING);
	g_assert_cmpuint(f->counter->value, ==, counter);
	must_reopen(f);
	g_assert_cmpint(do_step(f, CUSTODY_RELEASED, &vote, &v, NULL), ==, 0);
	g_assert_cmpuint(f->counter->value, ==, counter + 1);
	check_marker(f, CUSTODY_MARKER_RELEASED);
	g_assert_true(!v.here && v.epoch == 2);
	must_reopen(f);
	/* The mover was killed and asks again (W7). */
	g_assert_cmpint(do_step(f, CUSTODY_RELEASED, &vote, &w, NULL), ==, 1);
	g_assert_cmpmem(&w, sizeof(w), &v, sizeof(v));
	g_assert_cmpuint(f->counter->value, ==, counter + 1);
	g_assert_cmpint(do_step(f, CUSTODY_DONE, &ack, &v, NULL), ==, 0);
	check_marker(f, CUSTODY_MARKER_ELSEWHERE);
	must_reopen(f);
	g_assert_cmpint(do_step(f, CUSTODY_DONE, &ack, &v, NULL), ==, 1);
	g_assert_cmpmem(v.hid, HID_LEN, HID, HID_LEN);
	g_assert_cmpint(store_custody_get(f->s, VM, &v, NULL), ==, 0);
	g_assert_true(!v.here && !v.handoff && v.epoch == 2);
	g_assert_cmpstr(v.holder_name, ==, "desktop");
	g_assert_cmpint(store_custody_by_hid(f->s, HID, &v, NULL), ==, -ENOENT);
	g_assert_cmpint(store_journal_last(f->s, HID, &last, NULL), ==, 0);
	g_assert_cmpint(last.record, ==, CUSTODY_DONE);
	g_assert_cmpmem(last.proof, last.proof_len, "signed bytes", 12);
	g_assert_cmpuint(of_journal(f, "SELECT count(*) FROM journal"), ==, 4);
	g_assert_cmpuint(of_journal(f, "SELECT record FROM journal WHERE seq=1"), ==,
			 JOURNAL_ADOPT);
	g_assert_cmpuint(of_journal(f, "SELECT record FROM journal WHERE seq=3"), ==,
			 CUSTODY_RELEASED);
	g_assert_cmpuint(of_journal(f, "SELECT epoch FROM journal WHERE seq=3"), ==, 2);
	g_assert_cmpuint(of_journal(f, "SELECT handoff_epoch FROM journal WHERE seq=3"), ==, 1);
}

static void test_destination(struct fixture *f, const void *data _unused_)
{
	struct custody_statement release = peer_says(CUSTODY_STATEMENT_RELEASE, 8);
	uint64_t counter = f->counter->value;
	struct custody_view v;
	struct kerr err = {0};

	g_assert_cmpint(do_step(f, CUSTODY_RECV, NULL, &v, NULL), ==, 0);
	check_marker(f, CUSTODY_MARKER_ARRIVING);
	g_assert_cmpint(do_step(f, CUSTODY_PREPARED, NULL, &v, NULL), ==, 0);
	check_marker(f, CUSTODY_MARKER_PREPARED);
	must_reopen(f);
	g_assert_cmpint(do_step(f, CUSTODY_OWN, NULL, &v, NULL), ==, -EINVAL);
	g_assert_cmpint(do_step(f, CUSTODY_OWN, &release, &v, NULL), ==, 0);
	g_assert_cmpuint(f->counter->value, ==, counter + 1);
	check_marker(f, CUSTODY_MARKER_HERE);
	must_reopen(f);
	g_assert_cmpint(store_custody_by_hid(f->s, HID, &v, NULL), ==, 0);
	g_assert_true(v.here && v.epoch == 8 && v.record == CUSTODY_OWN && !custody_is_open(&v));
	/* HO7: the same offer once more, and one of the same epoch. */
	g_assert_cmpint(do_step(f, CUSTODY_RECV, NULL, &v, &err), ==, -ESTALE);
	g_assert_cmpint((int)err.code, ==, KCODE_STALE_EPOCH);
	{
		struct custody_step s = make_step(CUSTODY_RECV, HID2);

		kerr_clear(&err);
		g_assert_cmpint(store_custody_step(f->s, &s, NULL, 0, &v, &err), ==, -ESTALE);
		g_assert_cmpint((int)err.code, ==, KCODE_STALE_EPOCH);
	}
	g_assert_cmpint(do_step(f, CUSTODY_DONE, NULL, &v, NULL), ==, 0);
	g_assert_cmpint(store_custody_by_hid(f->s, HID, &v, NULL), ==, -ENOENT);
}

static void test_void(struct fixture *f, const void *data _unused_)
{
	struct custody_statement said;
	struct custody_view v, *list;
	struct kerr err = {0};
	size_t n;

	g_assert_cmpint(do_step(f, CUSTODY_RECV, NULL, &v, NULL), ==, 0);
	g_assert_cmpint(do_step(f, CUSTODY_VOID, NULL, &v, NULL), ==, 0);
	custody_statement_for(&v, SELF, &said);
	g_assert_cmpint((int)said.kind, ==, CUSTODY_STATEMENT_NACK);
	/* What is left of its copy may not run; the next start of policyd forgets that too. */
	check_marker(f, CUSTODY_MARKER_ELSEWHERE);
	must_reopen(f);
	g_assert_cmpint(store_custody_markers(f->s, f->dir, NULL), ==, 0);
	check_marker(f, -1);
	g_assert_cmpint(store_custody_list(f->s, &list, &n, NULL), ==, 0);
	g_assert_cmpuint(n, ==, 0);
	g_assert_null(list);
	/* Asked again by the source: the same NACK. */
	g_assert_cmpint(do_step(f, CUSTODY_VOID, NULL, &v, NULL), ==, 1);
	custody_statement_for(&v, SELF, &said);
	g_assert_cmpint((int)said.kind, ==, CUSTODY_STATEMENT_NACK);
	g_assert_cmpuint(said.epoch, ==, 7);
	g_assert_cmpmem(said.to, DEVICE_ID_LEN, PEER, DEVICE_ID_LEN);
	/* The number is used; the epoch that somebody named binds nobody (H4). */
	g_assert_cmpint(do_step(f, CUSTODY_RECV, NULL, &v, &err), ==, -ESTALE);
	g_assert_cmpint(store_custody_get(f->s, VM, &v, NULL), ==, 0);
	g_assert_true(!v.known && v.epoch == 0);
	g_assert_cmpint(custody_may_start(&v, CUSTODY_USE_START, false, NULL, NULL), ==, 0);
	g_assert_cmpint(do_step(f, CUSTODY_OWN, NULL, &v, NULL), ==, -ESTALE);
}

static void test_busy(struct fixture *f, const void *data _unused_)
{
	struct custody_step s = make_step(CUSTODY_PREP, HID2);
	struct custody_view v;
	struct kerr err = {0};

	adopt(f, &v);
	g_assert_cmpint(do_step(f, CUSTODY_PREP, NULL, &v, NULL), ==, 0);
	g_assert_cmpint(store_custody_step(f->s, &s, NULL, 0, &v, &err), ==, -EBUSY);
	g_assert_cmpint((int)err.code, ==, KCODE_BUSY);
	s = make_step(CUSTODY_RECV, HID2);
	kerr_clear(&err);
	g_assert_cmpint(store_custody_step(f->s, &s, NULL, 0, &v, &err), ==, -EBUSY);
	g_assert_cmpint((int)err.code, ==, KCODE_BUSY);
	g_assert_cmpint(do_step(f, CUSTODY_ABORTED, NULL, &v, NULL), ==, 0);
	check_marker(f, CUSTODY_MARKER_KEPT);
	s = make_step(CUSTODY_PREP, HID2);
	g_assert_cmpint(store_custody_step(f->s, &s, NULL, 0, &v, NULL), ==, 0);
}

static void test_identity(struct fixture *f, const void *data _unused_)
{
	struct custody_step s = make_step(CUSTODY_RECV, HID);
	struct custody_view v;
	struct kerr err = {0};

	adopt(f, &v);
	memcpy(s.uuid, VM2, UUID_LEN);
	g_assert_cmpint(store_custody_step(f->s, &s, NULL, 0, &v, &err), ==, -EEXIST);
	g_assert_cmpint((int)err.code, ==, KCODE_IDENTITY);
	g_assert_cmpint(store_custody_adopt(f->s, VM2, "work", SELF, "laptop", &v, NULL), ==,
			-EEXIST);
	g_assert_cmpint(store_custody_adopt(f->s, VM2, "play", SELF, "laptop", &v, NULL), ==, 0);
}

/* Each row is read for itself, with a hand-off after one without, and the other way around. */
static void test_list(struct fixture *f, const void *data _unused_)
{
	static const uint8_t vm3[UUID_LEN] = {0x77, 3};
	_cleanup_free_ struct custody_view *list = NULL;
	struct custody_view v;
	size_t n;

	g_assert_cmpint(store_custody_adopt(f->s, VM2, "attic", SELF, "laptop", &v, NULL), ==, 0);
	adopt(f, &v);
	g_assert_cmpint(store_custody_adopt(f->s, vm3, "zoo", SELF, "laptop", &v, NULL), ==, 0);
	g_assert_cmpint(do_step(f, CUSTODY_PREP, NULL, &v, NULL), ==, 0);
	g_assert_cmpint(store_custody_list(f->s, &list, &n, NULL), ==, 0);
	g_assert_cmpuint(n, ==, 3);
	for (size_t i = 0; i < n; i++) {
		g_assert_cmpint(store_custody_get(f->s, list[i].uuid, &v, NULL), ==, 0);
		g_assert_cmpmem(&list[i], sizeof(v), &v, sizeof(v));
		g_assert_true(v.known && v.here && v.epoch == 1);
		g_assert_cmpint(v.handoff, ==, i == 1);
	}
	g_assert_cmpstr(list[1].name, ==, "work");
	g_assert_cmpstr(list[2].name, ==, "zoo");
}

static void test_markers(struct fixture *f, const void *data _unused_)
{
	char file[CUSTODY_UUID_TEXT];
	struct custody_view v;

	adopt(f, &v);
	custody_uuid_text(VM, file);
	g_assert_cmpint(unlinkat(f->dir, file, 0), ==, 0);
	custody_uuid_text(VM2, file);
	g_assert_cmpint(file_write_atomic(f->dir, file, "old", 3, 0644), ==, 0);
	g_assert_cmpint(store_custody_markers(f->s, f->dir, NULL), ==, 0);
	check_marker(f, CUSTODY_MARKER_HERE);
	g_assert_cmpint(faccessat(f->dir, file, F_OK, 0), ==, -1);
	g_assert_cmpint(faccessat(f->dir, STORE_FILE, F_OK, 0), ==, 0);
}

/* At every failure of the disk: journal old or new, and a marker that never allows more. */
static void test_step_failures(struct fixture *f, const void *data _unused_)
{
	struct custody_statement vote = peer_says(CUSTODY_STATEMENT_VOTE, 1);
	unsigned failures = 0;

	for (int mode = 0; mode < 2; mode++) {
		for (int n = 1; n < 60; n++) {
			struct marker info;
			struct custody_view v;
			bool reached;
			int r;

			f->s = store_free(f->s);
			unlinkat(f->dir, STORE_FILE, 0);
			g_assert_cmpint(make_store(f), ==, 0);
			adopt(f, &v);
			g_assert_cmpint(do_step(f, CUSTODY_PREP, NULL, &v, NULL), ==, 0);
			arm(mode ? FAULT_ALL_ERRORS : FAULT_ERROR, n, EIO);
			r = do_step(f, CUSTODY_RELEASED, &vote, &v, NULL);
			reached = disarm();
			must_reopen(f);
			g_assert_cmpint(store_custody_get(f->s, VM, &v, NULL), ==, 0);
			if (r == 0)
				g_assert_cmpint((int)v.record, ==, CUSTODY_RELEASED);
			else if (mode == 0)
				g_assert_cmpint((int)v.record, ==, CUSTODY_PREP);
			g_assert_true(v.record == CUSTODY_RELEASED ? !v.here && v.epoch == 2
								   : v.here && v.epoch == 1);
			g_assert_cmpint(marker_read(f->dir, VM, &info), ==, 0);
			g_assert_true(
				info.state == CUSTODY_MARKER_RELEASED ||
				(v.record == CUSTODY_PREP && info.state == CUSTODY_MARKER_LEAVING));
			failures += r < 0;
			if (!reached)
				break;
		}
	}
	g_assert_cmpuint(failures, >=, 15);
}

/* A record that takes the permission away: the marker goes first, and comes back. */
static void test_marker_order(struct fixture *f, const void *data _unused_)
{
	struct custody_view v;

	adopt(f, &v);
	for (int n = 1; n < 60; n++) {
		struct custody_step s = make_step(CUSTODY_PREP, HID2);
		bool reached;
		int r;

		s.hid[9] = (uint8_t)n;
		arm(FAULT_ERROR, n, EIO);
		r = store_custody_step(f->s, &s, NULL, 0, &v, NULL);
		reached = disarm();
		g_assert_cmpint(store_custody_get(f->s, VM, &v, NULL), ==, 0);
		if (r < 0) {
			g_assert_false(custody_is_open(&v));
			check_marker(f, CUSTODY_MARKER_HERE);
		} else {
			check_marker(f, CUSTODY_MARKER_LEAVING);
			s.record = CUSTODY_ABORTED;
			g_assert_cmpint(store_custody_step(f->s, &s, NULL, 0, &v, NULL), ==, 0);
			check_marker(f, CUSTODY_MARKER_KEPT);
			s.record = CUSTODY_DONE;
			g_assert_cmpint(store_custody_step(f->s, &s, NULL, 0, &v, NULL), ==, 0);
			check_marker(f, CUSTODY_MARKER_HERE);
		}
		if (!reached)
			return;
	}
	g_assert_not_reached();
}

/* C2, F1: the marker that ends a copy, and the one that lets it go on, only after the record is on
 * the disk: a copy that was prepared can still be the VM. */
static void test_marker_last(struct fixture *f, const void *data)
{
	bool source = data != NULL;
	bool failed = false;

	for (int n = 1; n < 60; n++) {
		struct custody_step s = make_step(source ? CUSTODY_PREP : CUSTODY_RECV, HID2);
		int frozen = source ? CUSTODY_MARKER_LEAVING : CUSTODY_MARKER_PREPARED;
		struct custody_view v;
		bool reached;
		int r;

		s.hid[9] = (uint8_t)n;
		g_assert_cmpint(store_custody_step(f->s, &s, NULL, 0, &v, NULL), ==, 0);
		if (!source) {
			s.record = CUSTODY_PREPARED;
			g_assert_cmpint(store_custody_step(f->s, &s, NULL, 0, &v, NULL), ==, 0);
		}
		check_marker(f, frozen);
		s.record = source ? CUSTODY_ABORTED : CUSTODY_VOID;
		/* Nor can what went out too early be taken back. */
		arm(FAULT_ALL_ERRORS, n, EIO);
		r = store_custody_step(f->s, &s, NULL, 0, &v, NULL);
		reached = disarm();
		must_reopen(f);
		g_assert_cmpint(store_custody_get(f->s, VM, &v, NULL), ==, 0);
		if (v.handoff && v.record != s.record) {
			g_assert_cmpint(r, <, 0);
			check_marker(f, frozen);
			failed = true;
		}
		if (r < 0)
			g_assert_cmpint(store_custody_step(f->s, &s, NULL, 0, &v, NULL), >=, 0);
		if (!reached) {
			g_assert_true(failed);
			check_marker(f, source ? CUSTODY_MARKER_KEPT : CUSTODY_MARKER_ELSEWHERE);
			return;
		}
	}
	g_assert_not_reached();
}

static void test_source_marker_last(struct fixture *f, const void *data _unused_)
{
	struct custody_view v;

	adopt(f, &v);
	test_marker_last(f, f);
}

static void test_dest_marker_last(struct fixture *f, const void *data _unused_)
{
	struct custody_statement ack = peer_says(CUSTODY_STATEMENT_ACK, 2);
	struct custody_statement vote = peer_says(CUSTODY_STATEMENT_VOTE, 1);
	struct custody_view v;

	adopt(f, &v);
	g_assert_cmpint(do_step(f, CUSTODY_PREP, NULL, &v, NULL), ==, 0);
	g_assert_cmpint(do_step(f, CUSTODY_RELEASED, &vote, &v, NULL), ==, 0);
	g_assert_cmpint(do_step(f, CUSTODY_DONE, &ack, &v, NULL), ==, 0);
	test_marker_last(f, NULL);
}

/* F6: the start is on the disk, guarded, and the next hand-off forgets it. */
static void test_started(struct fixture *f, const void *data _unused_)
{
	struct custody_statement vote = peer_says(CUSTODY_STATEMENT_VOTE, 1);
	struct custody_step s;
	struct custody_view v;
	struct kerr err = {0};
	uint64_t counter;

	adopt(f, &v);
	g_assert_cmpint(do_step(f, CUSTODY_PREP, NULL, &v, NULL), ==, 0);
	g_assert_cmpint(do_step(f, CUSTODY_ABORTED, NULL, &v, NULL), ==, 0);
	counter = f->counter->value;
	f->counter->fail_increment = 1;
	g_assert_cmpint(store_custody_started(f->s, VM, NULL), <, 0);
	g_assert_cmpint(store_custody_get(f->s, VM, &v, NULL), ==, 0);
	g_assert_false(v.started);
	g_assert_cmpint(store_custody_started(f->s, VM, NULL), ==, 0);
	g_assert_cmpuint(f->counter->value, ==, counter + 1);
	must_reopen(f);
	g_assert_cmpint(store_custody_get(f->s, VM, &v, NULL), ==, 0);
	g_assert_true(v.started);
	s = make_step(CUSTODY_RELEASED, HID);
	s.proof = &vote;
	s.copy_gone = true;
	g_assert_cmpint(store_custody_step(f->s, &s, "x", 1, &v, &err), ==, -EACCES);
	g_assert_cmpint((int)err.code, ==, KCODE_CUSTODY);
	g_assert_cmpint(do_step(f, CUSTODY_DONE, NULL, &v, NULL), ==, 0);
	s = make_step(CUSTODY_PREP, HID2);
	g_assert_cmpint(store_custody_step(f->s, &s, NULL, 0, &v, NULL), ==, 0);
	must_reopen(f);
	g_assert_cmpint(store_custody_get(f->s, VM, &v, NULL), ==, 0);
	g_assert_true(v.record == CUSTODY_PREP && !v.started);
}

/* F3: found by its number and record alone, as long as it is the last one. */
static void test_repeated(struct fixture *f, const void *data _unused_)
{
	struct custody_statement vote = peer_says(CUSTODY_STATEMENT_VOTE, 1);
	struct custody_step s = {.record = CUSTODY_PREP};
	struct custody_view v, again;

	memcpy(s.hid, HID, HID_LEN);
	adopt(f, &v);
	g_assert_cmpint(store_custody_repeated(f->s, &s, &again, NULL), ==, 0);
	g_assert_cmpint(do_step(f, CUSTODY_PREP, NULL, &v, NULL), ==, 0);
	g_assert_cmpint(store_custody_repeated(f->s, &s, &again, NULL), ==, 1);
	g_assert_cmpmem(&again, sizeof(again), &v, sizeof(v));
	g_assert_cmpint(do_step(f, CUSTODY_RELEASED, &vote, &v, NULL), ==, 0);
	g_assert_cmpint(store_custody_repeated(f->s, &s, &again, NULL), ==, 0);
	s.record = CUSTODY_RELEASED;
	must_reopen(f);
	g_assert_cmpint(store_custody_repeated(f->s, &s, &again, NULL), ==, 1);
	g_assert_cmpmem(&again, sizeof(again), &v, sizeof(v));
	s.hid[3] ^= 1;
	g_assert_cmpint(store_custody_repeated(f->s, &s, &again, NULL), ==, 0);
}

/* What the caller wrote goes with the record, and is dropped with it. */
static void test_one_transaction(struct fixture *f, const void *data _unused_)
{
	struct custody_statement vote = peer_says(CUSTODY_STATEMENT_VOTE, 1);
	struct custody_view v;

	adopt(f, &v);
	commit_pair(f, 1, COMMIT_PLAIN);
	g_assert_cmpint(write_pair(f->s, 2, NULL), ==, 0);
	g_assert_cmpint(do_step(f, CUSTODY_PREP, NULL, &v, NULL), ==, 0);
	must_reopen(f);
	g_assert_cmpuint(read_pair(f->s), ==, 2);
	g_assert_cmpint(write_pair(f->s, 3, NULL), ==, 0);
	f->counter->fail_increment = 1;
	g_assert_cmpint(do_step(f, CUSTODY_RELEASED, &vote, &v, NULL), <, 0);
	g_assert_cmpuint(read_pair(f->s), ==, 2);
	g_assert_cmpint(store_custody_get(f->s, VM, &v, NULL), ==, 0);
	g_assert_cmpint((int)v.record, ==, CUSTODY_PREP);
	/* A refused record does not touch what the caller has not committed yet. */
	g_assert_cmpint(write_pair(f->s, 4, NULL), ==, 0);
	g_assert_cmpint(do_step(f, CUSTODY_OWN, NULL, &v, NULL), <, 0);
	g_assert_cmpuint(read_pair(f->s), ==, 4);
}

static void test_vm_limit(struct fixture *f, const void *data _unused_)
{
	struct kerr err = {0};
	struct custody_view v;
	uint8_t uuid[UUID_LEN] = {0};
	char name[16];

	for (unsigned i = 0; i <= STORE_VMS_MAX; i++) {
		int r;

		uuid[0] = (uint8_t)i;
		uuid[1] = (uint8_t)(i >> 8);
		g_snprintf(name, sizeof(name), "vm%u", i);
		r = store_custody_adopt(f->s, uuid, name, SELF, "laptop", &v, &err);
		g_assert_cmpint(r, ==, i < STORE_VMS_MAX ? 0 : -EBUSY);
	}
	g_assert_cmpint((int)err.code, ==, KCODE_BUSY);
}

/* Without markers and commits, which are not what this is about. */
static void append_records(struct fixture *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct journal_entry e = {.record = CUSTODY_VOID, .epoch = 1};
		uint64_t open = of_journal(f, "SELECT ifnull(min(seq),0) FROM journal WHERE hid IN"
					      " (SELECT hid FROM custody)");

		memcpy(e.hid, &i, sizeof(i));
		e.hid[15] = 1;
		memcpy(e.uuid, VM2, UUID_LEN);
		g_assert_cmpint(store_log_append(f->s, STORE_JOURNAL, &e, open, NULL), ==, 0);
	}
	g_assert_cmpint(store_commit(f->s, COMMIT_PLAIN, NULL), ==, 0);
}

/* The journal stays bounded, its chain whole, and an open hand-off complete. */
static void test_journal_prune(struct fixture *f, const void *data _unused_)
{
	struct custody_view v;
	uint64_t first;

	adopt(f, &v);
	g_assert_cmpint(store_log_verify(f->s, STORE_JOURNAL, NULL), ==, 0);
	append_records(f, STORE_JOURNAL_KEEP + 700);
	must_reopen(f);
	g_assert_cmpuint(of_journal(f, "SELECT count(*) FROM journal"), ==,
			 STORE_JOURNAL_KEEP + 701 - STORE_JOURNAL_PRUNE - 1);
	first = of_journal(f, "SELECT min(seq) FROM journal");
	g_assert_cmpuint(first, ==, STORE_JOURNAL_PRUNE + 2);
	/* The first kept record missing would be seen. */
	g_assert_cmpint(sql_change(f->s, NULL, "DELETE FROM journal WHERE seq=?1", SQL_U64(first)),
			==, 0);
	g_assert_cmpint(store_verify(f->s, NULL), ==, -EBADMSG);
	store_rollback(f->s);
	/* From PREP on nothing goes... */
	g_assert_cmpint(do_step(f, CUSTODY_PREP, NULL, &v, NULL), ==, 0);
	first = of_journal(f, "SELECT max(seq) FROM journal");
	append_records(f, STORE_JOURNAL_KEEP + 3 * STORE_JOURNAL_PRUNE);
	g_assert_cmpuint(of_journal(f, "SELECT min(seq) FROM journal"), ==, first);
	must_reopen(f);
	/* ...until the hand-off has ended. */
	g_assert_cmpint(do_step(f, CUSTODY_ABORTED, NULL, &v, NULL), ==, 0);
	g_assert_cmpint(do_step(f, CUSTODY_DONE, NULL, &v, NULL), ==, 0);
	must_reopen(f);
	g_assert_cmpuint(of_journal(f, "SELECT count(*) FROM journal"), <=,
			 STORE_JOURNAL_KEEP + STORE_JOURNAL_PRUNE);
}

static void test_journal_edited(struct fixture *f, const void *data _unused_)
{
	static const char *const edits[] = {
		"UPDATE journal SET epoch=9 WHERE seq=2",
		"UPDATE journal SET record=2 WHERE seq=2",
		"UPDATE journal SET proof=x'00' WHERE seq=2",
		"UPDATE journal SET hash=zeroblob(32) WHERE seq=2",
		"DELETE FROM journal WHERE seq=1",
		"DELETE FROM journal WHERE seq=2",
		"DELETE FROM journal WHERE seq=3",
		"DELETE FROM journal",
		"UPDATE journal SET hid=zeroblob(4) WHERE seq=2",
	};
	struct custody_view v;

	adopt(f, &v);
	g_assert_cmpint(do_step(f, CUSTODY_PREP, NULL, &v, NULL), ==, 0);
	g_assert_cmpint(do_step(f, CUSTODY_ABORTED, NULL, &v, NULL), ==, 0);
	g_assert_cmpint(store_verify(f->s, NULL), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(edits); i++) {
		g_assert_cmpint(sql_change(f->s, NULL, edits[i]), ==, 0);
		g_assert_cmpint(store_verify(f->s, NULL), ==, -EBADMSG);
		store_rollback(f->s);
	}
	g_assert_cmpint(store_verify(f->s, NULL), ==, 0);
}

/* -- Audit in the store -- */

static void append(struct store *s, unsigned i)
{
	struct policyd_audit a = {.time = i, .allowed = i % 2};

	g_strlcpy(a.person, "tom", sizeof(a.person));
	g_strlcpy(a.vm, "work", sizeof(a.vm));
	g_strlcpy(a.action, "move-out", sizeof(a.action));
	if (!a.allowed)
		kerr_set(&a.reason, EACCES, KCODE_POLICY, "No rule allows it.");
	g_assert_cmpint(store_audit_append(s, STORE_AUDIT, &a, NULL), ==, 0);
	g_assert_cmpuint(a.seq, ==, i + 1);
}

static void test_audit(struct fixture *f, const void *data _unused_)
{
	static const char *const edits[] = {
		"UPDATE audit SET allowed=1-allowed WHERE seq=5",
		"UPDATE audit SET person='bob' WHERE seq=5",
		"UPDATE audit SET reason_text='' WHERE seq=5",
		"UPDATE audit SET time=time+1 WHERE seq=5",
		"UPDATE audit SET hash=zeroblob(32) WHERE seq=5",
		"DELETE FROM audit WHERE seq=5",
	};
	static const char *const cuts[] = {"DELETE FROM audit WHERE seq=8",
					   "DELETE FROM audit WHERE seq=1", "DELETE FROM audit"};
	static const char *const where[] = {"record 7 ", "record 0 ", "record 0 "};
	struct policyd_audit *list, bad = {.person = "\x1b[2J"};
	struct kerr err = {0};
	size_t n;

	g_assert_cmpint(store_log_verify(f->s, STORE_AUDIT, NULL), ==, 0);
	for (unsigned i = 0; i < 8; i++)
		append(f->s, i);
	g_assert_cmpint(store_commit(f->s, COMMIT_PLAIN, NULL), ==, 0);
	must_reopen(f);
	g_assert_cmpint(store_log_verify(f->s, STORE_AUDIT, NULL), ==, 0);
	g_assert_cmpint(store_audit_list(f->s, 3, 4, &list, &n, NULL), ==, 0);
	g_assert_cmpuint(n, ==, 4);
	g_assert_cmpuint(list[0].seq, ==, 3);
	g_assert_cmpstr(list[0].reason.text, ==, "No rule allows it.");
	free(list);
	g_assert_cmpint(store_audit_list(f->s, 9, 4, &list, &n, NULL), ==, 0);
	g_assert_cmpuint(n, ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(edits); i++) {
		g_assert_cmpint(sql_change(f->s, NULL, edits[i]), ==, 0);
		kerr_clear(&err);
		g_assert_cmpint(store_log_verify(f->s, STORE_AUDIT, &err), ==, -EBADMSG);
		g_assert_nonnull(strstr(err.text, "record 4 "));
		store_rollback(f->s);
	}
	/* The newest, the oldest, and all of them cut off. */
	for (size_t i = 0; i < G_N_ELEMENTS(cuts); i++) {
		g_assert_cmpint(sql_change(f->s, NULL, cuts[i]), ==, 0);
		kerr_clear(&err);
		g_assert_cmpint(store_log_verify(f->s, STORE_AUDIT, &err), ==, -EBADMSG);
		g_assert_nonnull(strstr(err.text, where[i]));
		store_rollback(f->s);
	}
	g_assert_cmpint(store_log_verify(f->s, STORE_AUDIT, NULL), ==, 0);
	g_assert_cmpint(store_audit_append(f->s, STORE_AUDIT, &bad, NULL), ==, -EINVAL);
}

static void test_audit_prune(struct fixture *f, const void *data _unused_)
{
	struct policyd_audit *list;
	size_t n;

	for (unsigned i = 0; i < STORE_AUDIT_KEEP + 1200; i++)
		append(f->s, i);
	g_assert_cmpint(store_commit(f->s, COMMIT_PLAIN, NULL), ==, 0);
	must_reopen(f);
	g_assert_cmpint(store_audit_list(f->s, 0, SIZE_MAX, &list, &n, NULL), ==, 0);
	g_assert_cmpuint(n, >=, STORE_AUDIT_KEEP);
	g_assert_cmpuint(n, <=, STORE_AUDIT_KEEP + 512);
	g_assert_cmpuint(list[n - 1].seq, ==, STORE_AUDIT_KEEP + 1200);
	free(list);
	g_assert_cmpint(store_log_verify(f->s, STORE_AUDIT, NULL), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
#define ADD(name, data, fn) g_test_add(name, struct fixture, data, setup, fn, teardown)
	ADD("/tables/single values", NULL, test_meta);
	ADD("/tables/policies", NULL, test_policies);
	ADD("/tables/requests", NULL, test_requests);
	ADD("/tables/custody at the source", NULL, test_source);
	ADD("/tables/HO7 custody at the destination", NULL, test_destination);
	ADD("/tables/VOID of a VM that was new", NULL, test_void);
	ADD("/tables/H9 one open hand-off", NULL, test_busy);
	ADD("/tables/H21 names and UUIDs", NULL, test_identity);
	ADD("/tables/a list of VMs", NULL, test_list);
	ADD("/tables/R5 markers at start", NULL, test_markers);
	ADD("/tables/D1 each call fails in RELEASED", NULL, test_step_failures);
	ADD("/tables/R5 markers around a failing record", NULL, test_marker_order);
	ADD("/tables/C2 the marker KEPT goes last", NULL, test_source_marker_last);
	ADD("/tables/C2 the marker ELSEWHERE goes last", NULL, test_dest_marker_last);
	ADD("/tables/F6 a start is on the disk", NULL, test_started);
	ADD("/tables/F3 a record asked for again", NULL, test_repeated);
	ADD("/tables/a record takes the caller's changes along", NULL, test_one_transaction);
	ADD("/tables/VMs are limited", NULL, test_vm_limit);
	ADD("/tables/the journal stays bounded", NULL, test_journal_prune);
	ADD("/tables/an edited journal is found", NULL, test_journal_edited);
	ADD("/tables/S2-05 an edited audit record is found", NULL, test_audit);
	ADD("/tables/the audit log stays bounded", NULL, test_audit_prune);
	return g_test_run();
}
