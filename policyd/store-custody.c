/* SPDX-License-Identifier: Apache-2.0 */
/* Custody of VMs and the chained journal: facts in, custody_step(), rows, markers, commit. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "policyd/custody-marker.h"
#include "policyd/store-sql.h"

/* -- Views -- */

#define CUSTODY_SELECT                                                       \
	"SELECT uuid, name, epoch, holder, holder_name, here, doubt, nonce," \
	" told_epoch, hid, source, fresh,"                                   \
	" started, record, handoff_epoch, peer, peer_name FROM custody"

static int read_view(sqlite3_stmt *stmt, struct custody_view *ret, struct kerr *err)
{
	struct sql_row r = sql_row(stmt);

	*ret = (struct custody_view){.known = true};
	sql_row_bytes(&r, ret->uuid, sizeof(ret->uuid));
	sql_row_text(&r, ret->name, sizeof(ret->name));
	ret->epoch = sql_row_u64(&r);
	sql_row_bytes(&r, ret->holder, sizeof(ret->holder));
	sql_row_text(&r, ret->holder_name, sizeof(ret->holder_name));
	ret->here = sql_row_bool(&r);
	ret->doubt = (enum custody_doubt)sql_row_enum(&r, _CUSTODY_DOUBT_MAX);
	sql_row_bytes(&r, ret->nonce, sizeof(ret->nonce));
	ret->told_epoch = sql_row_u64(&r);
	if (sql_row_null(&r))
		return sql_row_end(&r, err);
	ret->handoff = true;
	sql_row_bytes(&r, ret->hid, sizeof(ret->hid));
	ret->source = sql_row_bool(&r);
	ret->fresh = sql_row_bool(&r);
	ret->started = sql_row_bool(&r);
	ret->record = (enum custody_record)sql_row_enum(&r, _CUSTODY_RECORD_MAX);
	ret->handoff_epoch = sql_row_u64(&r);
	sql_row_bytes(&r, ret->peer, sizeof(ret->peer));
	sql_row_text(&r, ret->peer_name, sizeof(ret->peer_name));
	return sql_row_end(&r, err);
}

/* 1 = found, 0 = none, negative errno. */
static int find_view(struct store *s, const char *sql, const struct sql_arg *args, size_t n,
		     struct custody_view *ret, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	struct custody_view v;
	int r = sql_query(s, sql, args, n, &stmt, err);

	if (r == 0)
		r = sql_step(s, stmt, err);
	if (r <= 0)
		return r;
	r = read_view(stmt, &v, err);
	if (r < 0)
		return r;
	*ret = v;
	return 1;
}

int store_custody_get(struct store *s, const uint8_t uuid[UUID_LEN], struct custody_view *ret,
		      struct kerr *err)
{
	struct custody_view v = {0};
	int r = find_view(s, CUSTODY_SELECT " WHERE uuid=?1", SQL_ARGS(SQL_BLOB(uuid, UUID_LEN)),
			  &v, err);

	if (r == 0) {
		memcpy(v.uuid, uuid, UUID_LEN);
		/* What came and was never owned proves no epoch: anybody may offer (H4). */
		r = sql_number(s,
			       "SELECT max(epoch) FROM (SELECT epoch FROM journal WHERE uuid=?1"
			       " AND record NOT IN (?2,?3,?4)"
			       " UNION ALL SELECT epoch FROM forgotten WHERE uuid=?1)",
			       SQL_ARGS(SQL_BLOB(uuid, UUID_LEN), SQL_U64(CUSTODY_RECV),
					SQL_U64(CUSTODY_PREPARED), SQL_U64(CUSTODY_VOID)),
			       &v.epoch, err);
	}
	if (r < 0)
		return r;
	*ret = v;
	return 0;
}

int store_custody_by_hid(struct store *s, const uint8_t hid[HID_LEN], struct custody_view *ret,
			 struct kerr *err)
{
	int r = find_view(s, CUSTODY_SELECT " WHERE hid=?1", SQL_ARGS(SQL_BLOB(hid, HID_LEN)), ret,
			  err);

	if (r == 0)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"There is no hand-off with this number here.");
	return r < 0 ? r : 0;
}

int store_custody_lent(struct store *s, const uint8_t owner_pk[SIGN_PK_LEN], bool *ret,
		       struct kerr *err)
{
	uint64_t n;
	int r = sql_number(s,
			   "SELECT count(*) FROM custody JOIN policies USING(uuid)"
			   " WHERE here=0 AND owner_pk=?1 AND holder NOT IN"
			   " (SELECT id FROM peers WHERE own=1 AND revoked=0)",
			   SQL_ARGS(SQL_BLOB(owner_pk, SIGN_PK_LEN)), &n, err);

	if (r == 0)
		*ret = n > 0;
	return r;
}

int store_custody_list(struct store *s, struct custody_view **ret, size_t *ret_n, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	_cleanup_free_ void *list = NULL;
	size_t n = 0;
	int r = sql_query(s, CUSTODY_SELECT " ORDER BY name", NULL, 0, &stmt, err);

	if (r < 0)
		return r;
	while ((r = sql_step(s, stmt, err)) > 0) {
		struct custody_view *v = sql_list_grow(&list, &n, sizeof(*v));

		if (!v)
			return kerr_set(err, ENOMEM, KCODE_FAILED, "There is no memory left.");
		r = read_view(stmt, v, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

/* -- Journal -- */

#define JOURNAL_SELECT                                                                          \
	"SELECT seq, time, record, hid, uuid, epoch, handoff_epoch, peer, source, proof, prev," \
	" hash FROM journal"

static int read_entry(sqlite3_stmt *stmt, struct journal_entry *ret, struct kerr *err)
{
	struct sql_row r = sql_row(stmt);

	ret->seq = sql_row_u64(&r);
	ret->time = sql_row_u64(&r);
	ret->record = (int)sql_row_enum(&r, 256);
	sql_row_bytes(&r, ret->hid, sizeof(ret->hid));
	sql_row_bytes(&r, ret->uuid, sizeof(ret->uuid));
	ret->epoch = sql_row_u64(&r);
	ret->handoff_epoch = sql_row_u64(&r);
	sql_row_bytes(&r, ret->peer, sizeof(ret->peer));
	ret->source = sql_row_bool(&r);
	sql_row_blob(&r, ret->proof, sizeof(ret->proof), &ret->proof_len);
	sql_row_bytes(&r, ret->prev, sizeof(ret->prev));
	sql_row_bytes(&r, ret->hash, sizeof(ret->hash));
	return sql_row_end(&r, err);
}

/* 1 = found, 0 = this hand-off never wrote a record. */
static int find_last(struct store *s, const uint8_t hid[HID_LEN], struct journal_entry *ret,
		     struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	struct journal_entry e = {0};
	int r;

	r = sql_query(s, JOURNAL_SELECT " WHERE hid=?1 AND record<?2 ORDER BY seq DESC LIMIT 1",
		      SQL_ARGS(SQL_BLOB(hid, HID_LEN), SQL_U64(_CUSTODY_RECORD_MAX)), &stmt, err);
	if (r == 0)
		r = sql_step(s, stmt, err);
	if (r <= 0)
		return r;
	r = read_entry(stmt, &e, err);
	if (r < 0)
		return r;
	*ret = e;
	return 1;
}

int store_journal_last(struct store *s, const uint8_t hid[HID_LEN], struct journal_entry *ret,
		       struct kerr *err)
{
	int r = find_last(s, hid, ret, err);

	if (r == 0)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"There is no hand-off with this number here.");
	return r < 0 ? r : 0;
}

int store_journal_verify(struct store *s, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	struct store_anchor at, head;
	int r;

	r = store_anchor_get(s, STORE_JOURNAL_BASE, &at, err);
	if (r == 0)
		r = store_anchor_get(s, STORE_JOURNAL_HEAD, &head, err);
	if (r == 0)
		r = sql_query(s, JOURNAL_SELECT " ORDER BY seq", NULL, 0, &stmt, err);
	if (r < 0)
		return r;
	while ((r = sql_step(s, stmt, err)) > 0) {
		struct journal_entry e = {0};
		uint8_t hash[HASH_LEN];

		r = read_entry(stmt, &e, err);
		if (r < 0)
			return r;
		journal_hash(&e, hash);
		if (e.seq != at.seq + 1 || memcmp(e.prev, at.hash, HASH_LEN) != 0 ||
		    memcmp(e.hash, hash, HASH_LEN) != 0)
			break;
		at.seq = e.seq;
		memcpy(at.hash, hash, HASH_LEN);
	}
	if (r < 0)
		return r;
	if (r > 0 || at.seq != head.seq || memcmp(at.hash, head.hash, HASH_LEN) != 0)
		return kerr_set(err, EBADMSG, KCODE_FAILED,
				"The custody journal was changed: record %llu does not fit the "
				"chain.",
				(unsigned long long)at.seq + 1);
	return 0;
}

/* Old records go, many at a time, but none from the first record of an open hand-off on. */
static int prune(struct store *s, uint64_t newest, struct kerr *err)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	struct store_anchor base;
	struct sql_row row;
	uint64_t open;
	int r = store_anchor_get(s, STORE_JOURNAL_BASE, &base, err);

	if (r < 0 || newest - base.seq <= STORE_JOURNAL_KEEP + STORE_JOURNAL_PRUNE)
		return r;
	r = sql_number(s,
		       "SELECT min(seq) FROM journal WHERE hid IN"
		       " (SELECT hid FROM custody WHERE record IN (?1,?2,?3,?4))",
		       SQL_ARGS(SQL_U64(CUSTODY_PREP), SQL_U64(CUSTODY_RELEASED),
				SQL_U64(CUSTODY_RECV), SQL_U64(CUSTODY_PREPARED)),
		       &open, err);
	if (r < 0)
		return r;
	base.seq = newest - STORE_JOURNAL_KEEP;
	if (open && open <= base.seq)
		base.seq = open - 1;
	r = sql_query(s, "SELECT hash FROM journal WHERE seq=?1", SQL_ARGS(SQL_U64(base.seq)),
		      &stmt, err);
	if (r == 0)
		r = sql_step(s, stmt, err);
	if (r <= 0)
		return r; /* the open hand-off begins where the journal does */
	row = sql_row(stmt);
	sql_row_bytes(&row, base.hash, HASH_LEN);
	r = sql_row_end(&row, err);
	if (r == 0)
		r = store_anchor_set(s, STORE_JOURNAL_BASE, &base, err);
	if (r == 0)
		r = sql_change(s, "DELETE FROM journal WHERE seq<=?1", SQL_ARGS(SQL_U64(base.seq)),
			       err);
	return r;
}

static int append(struct store *s, const struct custody_view *v, int record, uint64_t time,
		  const void *proof, size_t proof_len, struct kerr *err)
{
	struct journal_entry e = {.time = time,
				  .record = record,
				  .epoch = v->epoch,
				  .handoff_epoch = v->handoff_epoch,
				  .source = v->source,
				  .proof_len = proof_len};
	struct store_anchor head;
	int r = store_anchor_get(s, STORE_JOURNAL_HEAD, &head, err);

	if (r < 0)
		return r;
	e.seq = head.seq + 1;
	memcpy(e.hid, v->hid, HID_LEN);
	memcpy(e.uuid, v->uuid, UUID_LEN);
	memcpy(e.peer, v->peer, DEVICE_ID_LEN);
	if (proof_len)
		memcpy(e.proof, proof, proof_len);
	memcpy(e.prev, head.hash, HASH_LEN);
	journal_hash(&e, e.hash);
	r = sql_change(s, "INSERT INTO journal VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
		       SQL_ARGS(SQL_U64(e.seq), SQL_U64(e.time), SQL_U64(e.record),
				SQL_BLOB(e.hid, HID_LEN), SQL_BLOB(e.uuid, UUID_LEN),
				SQL_U64(e.epoch), SQL_U64(e.handoff_epoch),
				SQL_BLOB(e.peer, DEVICE_ID_LEN), SQL_U64(e.source),
				SQL_BLOB(e.proof, e.proof_len), SQL_BLOB(e.prev, HASH_LEN),
				SQL_BLOB(e.hash, HASH_LEN)),
		       err);
	head.seq = e.seq;
	memcpy(head.hash, e.hash, HASH_LEN);
	if (r == 0)
		r = store_anchor_set(s, STORE_JOURNAL_HEAD, &head, err);
	return r < 0 ? r : prune(s, e.seq, err);
}

/* -- Writing a view -- */

/* A VM that came, was new here and was not owned leaves nothing behind: its policy and chain were
 * never more than an offer (H4). */
static int delete_view(struct store *s, const struct custody_view *v, struct kerr *err)
{
	int r = sql_change(s, "DELETE FROM custody WHERE uuid=?1",
			   SQL_ARGS(SQL_BLOB(v->uuid, UUID_LEN)), err);

	return r < 0 ? r
		     : sql_change(s, "DELETE FROM chains WHERE uuid=?1",
				  SQL_ARGS(SQL_BLOB(v->uuid, UUID_LEN)), err);
}

static int check_room(struct store *s, const struct custody_view *v, struct kerr *err)
{
	uint64_t n;
	int r = sql_number(s, "SELECT count(*) FROM custody WHERE uuid<>?1",
			   SQL_ARGS(SQL_BLOB(v->uuid, UUID_LEN)), &n, err);

	if (r < 0 || n < STORE_VMS_MAX)
		return r;
	return kerr_set(err, EBUSY, KCODE_BUSY,
			"Kith on this device knows %d VMs, which is the most it can. Remove one "
			"first.",
			STORE_VMS_MAX);
}

static int write_view(struct store *s, const struct custody_view *v, struct kerr *err)
{
	bool h = v->handoff;
	int r;

	if (!v->known)
		return delete_view(s, v, err);
	r = check_room(s, v, err);
	if (r < 0)
		return r;
	return sql_change(
		s,
		"INSERT INTO custody VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,"
		"?16,?17)"
		" ON CONFLICT(uuid) DO UPDATE SET name=excluded.name, epoch=excluded.epoch,"
		" holder=excluded.holder, holder_name=excluded.holder_name, here=excluded.here,"
		" doubt=excluded.doubt, nonce=excluded.nonce, told_epoch=excluded.told_epoch,"
		" hid=excluded.hid, source=excluded.source, fresh=excluded.fresh,"
		" started=excluded.started, record=excluded.record, "
		"handoff_epoch=excluded.handoff_epoch,"
		" peer=excluded.peer, peer_name=excluded.peer_name",
		SQL_ARGS(SQL_BLOB(v->uuid, UUID_LEN), SQL_TEXT(v->name), SQL_U64(v->epoch),
			 SQL_BLOB(v->holder, DEVICE_ID_LEN), SQL_TEXT(v->holder_name),
			 SQL_U64(v->here), SQL_U64(v->doubt), SQL_BLOB(v->nonce, HID_LEN),
			 SQL_U64(v->told_epoch), h ? SQL_BLOB(v->hid, HID_LEN) : SQL_NULL,
			 h ? SQL_U64(v->source) : SQL_NULL, h ? SQL_U64(v->fresh) : SQL_NULL,
			 h ? SQL_U64(v->started) : SQL_NULL, h ? SQL_U64(v->record) : SQL_NULL,
			 h ? SQL_U64(v->handoff_epoch) : SQL_NULL,
			 h ? SQL_BLOB(v->peer, DEVICE_ID_LEN) : SQL_NULL,
			 h ? SQL_TEXT(v->peer_name) : SQL_NULL),
		err);
}

/* -- Markers around a commit -- */

/* Whether the marker goes out before the commit. At every moment the markers together allow no more
 * than the journal: what forbids a start or makes a copy freeze comes first; what lets a copy go
 * on, or ends one that may never run again, only when that is certain. Nothing that is "here"
 * becomes "elsewhere" or "kept" in one record. */
static bool goes_first(const struct custody_view *v)
{
	static const bool first[_CUSTODY_MARKER_MAX] = {
		[CUSTODY_MARKER_LEAVING] = true,  [CUSTODY_MARKER_ARRIVING] = true,
		[CUSTODY_MARKER_RELEASED] = true, [CUSTODY_MARKER_PREPARED] = true,
		[CUSTODY_MARKER_DOUBT] = true,
	};

	return v->known && first[custody_marker_state(v)];
}

static int put_marker(int dir, const struct custody_view *v, struct kerr *err)
{
	int r = dir < 0 ? 0 : custody_marker_write(dir, v);

	if (r == 0)
		return 0;
	return kerr_set(err, -r, KCODE_FAILED,
			"The custody marker of the VM \"%s\" could not be written: %s.", v->name,
			strerror(-r));
}

/* A VM that came and was given up is unknown again, but its copy may still be there, frozen: until
 * the next start of policyd the marker says that it is elsewhere, which ends the copy. */
static struct custody_view shown(const struct custody_view *before,
				 const struct custody_view *after)
{
	struct custody_view v = *after;

	if (after->known || !before->known || !before->handoff || before->source)
		return v;
	v = *before;
	v.handoff = v.here = false;
	return v;
}

/* A marker that could not be loosened is no failure: it forbids too much until the next start of
 * policyd. */
static int commit_with_marker(struct store *s, int dir, const struct custody_view *before,
			      const struct custody_view *after, enum commit_kind kind,
			      struct kerr *err)
{
	struct custody_view last = shown(before, after);
	struct kerr ignored = {0};
	int r = 0;

	if (goes_first(after))
		r = put_marker(dir, after, err);
	if (r == 0)
		r = store_commit(s, kind, err);
	else
		store_rollback(s);
	if (r < 0) {
		/* A broken store may hold the new state after the next start. */
		if (!s->broken && put_marker(dir, before, &ignored) < 0)
			log_warning("custody", "%s", ignored.text);
		return r;
	}
	if (!goes_first(after) && put_marker(dir, &last, &ignored) < 0)
		log_warning("custody", "%s", ignored.text);
	return 0;
}

int store_view_write(struct store *s, int dir, const struct custody_view *before,
		     const struct custody_view *after, int record, uint64_t time, const void *proof,
		     size_t proof_len, bool guarded, struct kerr *err)
{
	int r = write_view(s, after, err);

	if (r == 0)
		r = append(s, after, record, time, proof, proof_len, err);
	if (r < 0) {
		store_rollback(s);
		return r;
	}
	return commit_with_marker(s, dir, before, after, guarded ? COMMIT_GUARDED : COMMIT_PLAIN,
				  err);
}

/* -- The records -- */

static int name_taken(struct store *s, const char *name, const uint8_t uuid[UUID_LEN], bool *ret,
		      struct kerr *err)
{
	uint64_t n;
	int r = sql_number(s, "SELECT count(*) FROM custody WHERE name=?1 AND uuid<>?2",
			   SQL_ARGS(SQL_TEXT(name), SQL_BLOB(uuid, UUID_LEN)), &n, err);

	if (r == 0)
		*ret = n > 0;
	return r;
}

/* The view that the record is about: by UUID at the start, by hand-off later. */
static int find_before(struct store *s, const struct custody_step *step,
		       const struct journal_entry *last, struct custody_view *ret, struct kerr *err)
{
	int r;

	if (step->record == CUSTODY_PREP || step->record == CUSTODY_RECV)
		return store_custody_get(s, step->uuid, ret, err);
	r = find_view(s, CUSTODY_SELECT " WHERE hid=?1", SQL_ARGS(SQL_BLOB(step->hid, HID_LEN)),
		      ret, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (step->hid_last >= 0)
		return store_custody_get(s, last->uuid, ret, err);
	*ret = (struct custody_view){0};
	return 0;
}

static int fill_facts(struct store *s, struct custody_step *step, struct journal_entry *ret_last,
		      struct kerr *err)
{
	int r = find_last(s, step->hid, ret_last, err);

	if (r < 0)
		return r;
	step->hid_last = r ? ret_last->record : -1;
	step->name_taken = false;
	if (step->record != CUSTODY_RECV)
		return 0;
	return name_taken(s, step->name, step->uuid, &step->name_taken, err);
}

/* A record of a hand-off that is over: the view is about the VM today, the answer is not. */
static void describe(struct custody_view *v, const struct custody_step *step,
		     const struct journal_entry *last)
{
	if (v->handoff && memcmp(v->hid, step->hid, HID_LEN) == 0)
		return;
	v->record = step->record;
	memcpy(v->hid, last->hid, HID_LEN);
	v->handoff = false;
	v->source = last->source;
	v->handoff_epoch = last->handoff_epoch;
	memcpy(v->peer, last->peer, DEVICE_ID_LEN);
	v->peer_name[0] = '\0';
}

int store_custody_step(struct store *s, int marker_dir, struct custody_step *step, uint64_t time,
		       const void *proof, size_t proof_len, struct custody_view *ret_after,
		       struct kerr *err)
{
	struct custody_view before, after;
	struct journal_entry last;
	int r;

	if (proof_len > JOURNAL_PROOF_MAX)
		return kerr_set(err, EMSGSIZE, KCODE_BAD_MESSAGE, "The proof is too long.");
	r = fill_facts(s, step, &last, err);
	if (r == 0)
		r = find_before(s, step, &last, &before, err);
	if (r == 0)
		r = custody_step(&before, step, &after, err);
	if (r < 0)
		return r;
	if (r > 0) {
		describe(&after, step, &last);
		*ret_after = after;
		return 1;
	}
	r = store_offer_settle(s, step->hid, step->record, err);
	if (r < 0) {
		store_rollback(s);
		return r;
	}
	r = store_view_write(s, marker_dir, &before, &after, (int)step->record, time, proof,
			     proof_len, custody_is_guarded(step->record), err);
	if (r < 0)
		return r;
	log_debug("custody", "vm \"%s\": %s -> %s, epoch %llu -> %llu, here %d -> %d", after.name,
		  before.handoff ? custody_record_to_string(before.record) : "none",
		  custody_record_to_string(after.record), (unsigned long long)before.epoch,
		  (unsigned long long)after.epoch, before.here, after.here);
	*ret_after = after;
	return 0;
}

int store_custody_repeated(struct store *s, struct custody_step *step,
			   struct custody_view *ret_after, struct kerr *err)
{
	struct custody_view view;
	struct journal_entry last;
	int r = find_last(s, step->hid, &last, err);

	if (r <= 0 || last.record != (int)step->record)
		return r < 0 ? r : 0;
	r = store_custody_get(s, last.uuid, &view, err);
	if (r < 0)
		return r;
	step->hid_last = last.record;
	if (!custody_is_repeat(&view, step))
		return 0;
	describe(&view, step, &last);
	*ret_after = view;
	return 1;
}

int store_custody_started(struct store *s, const uint8_t uuid[UUID_LEN], struct kerr *err)
{
	int r = sql_change(s, "UPDATE custody SET started=1 WHERE uuid=?1",
			   SQL_ARGS(SQL_BLOB(uuid, UUID_LEN)), err);

	return r < 0 ? r : store_commit(s, COMMIT_GUARDED, err);
}

int store_custody_adopt(struct store *s, int marker_dir, const uint8_t uuid[UUID_LEN],
			const char *name, const uint8_t self[DEVICE_ID_LEN], const char *self_name,
			uint64_t time, struct custody_view *ret_after, struct kerr *err)
{
	struct custody_view before, after;
	bool taken;
	int r;

	r = store_custody_get(s, uuid, &before, err);
	if (r == 0)
		r = name_taken(s, name, uuid, &taken, err);
	if (r == 0)
		r = custody_adopt(&before, name, taken, self, self_name, &after, err);
	if (r == 0)
		r = store_view_write(s, marker_dir, &before, &after, JOURNAL_ADOPT, time, NULL, 0,
				     true, err);
	if (r < 0)
		return r;
	*ret_after = after;
	return 0;
}

int store_custody_forget(struct store *s, int marker_dir, const uint8_t uuid[UUID_LEN],
			 uint64_t time, struct kerr *err)
{
	struct custody_view before, after = {0};
	int r = store_custody_get(s, uuid, &before, err);

	if (r < 0)
		return r;
	if (!before.known)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "Kith does not know this VM.");
	if (custody_is_open(&before))
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"A hand-off of the VM \"%s\" is open; it cannot be removed now.",
				before.name);
	memcpy(after.uuid, uuid, UUID_LEN);
	after.epoch = before.epoch;
	r = sql_change(s, "INSERT OR REPLACE INTO forgotten VALUES(?1,?2)",
		       SQL_ARGS(SQL_BLOB(uuid, UUID_LEN), SQL_U64(before.epoch)), err);
	if (r < 0)
		return r;
	return store_view_write(s, marker_dir, &before, &after, JOURNAL_FORGET, time, NULL, 0, true,
				err);
}

/* -- All markers, at start -- */

static bool is_known(const struct custody_view *list, size_t n, const uint8_t uuid[UUID_LEN])
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(list[i].uuid, uuid, UUID_LEN) == 0)
			return true;
	return false;
}

static int remove_unknown(int dirfd, const struct custody_view *list, size_t n)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		int saved = errno;

		if (fd >= 0)
			close(fd);
		return -saved;
	}
	while ((entry = readdir(dir))) {
		uint8_t uuid[UUID_LEN];

		if (custody_uuid_parse(entry->d_name, uuid) == 0 && !is_known(list, n, uuid))
			unlinkat(dirfd, entry->d_name, 0);
	}
	closedir(dir);
	return 0;
}

int store_custody_markers(struct store *s, int marker_dir, struct kerr *err)
{
	_cleanup_free_ struct custody_view *list = NULL;
	size_t n;
	int r = store_custody_list(s, &list, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++)
		r = put_marker(marker_dir, &list[i], err);
	if (r < 0)
		return r;
	r = remove_unknown(marker_dir, list, n);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "The custody markers could not be read: %s.",
				strerror(-r));
	return 0;
}
