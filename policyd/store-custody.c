/* SPDX-License-Identifier: Apache-2.0 */
/* Custody of VMs: facts in, custody_step(), row, journal, marker, commit. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "policyd/custody-marker.h"
#include "policyd/store-sql.h"

/* -- Views -- */

static void view_row(struct sql *q, void *p)
{
	struct custody_view *v = p;

	if (q->way == SQL_READ)
		v->known = true;
	ROW_BYTES(q, "uuid", v->uuid);
	ROW_TEXT(q, "name", v->name);
	ROW_U64(q, "epoch", v->epoch);
	ROW_BYTES(q, "holder", v->holder);
	ROW_TEXT(q, "holder_name", v->holder_name);
	ROW_FLAG(q, "here", v->here);
	ROW_NUMBER(q, "doubt", v->doubt, _CUSTODY_DOUBT_MAX);
	ROW_BYTES(q, "nonce", v->nonce);
	ROW_U64(q, "told_epoch", v->told_epoch);
	if (row_present(q, v->handoff))
		v->handoff = true;
	ROW_BYTES(q, "hid", v->hid);
	ROW_FLAG(q, "source", v->source);
	ROW_FLAG(q, "fresh", v->fresh);
	ROW_FLAG(q, "started", v->started);
	ROW_NUMBER(q, "record", v->record, _CUSTODY_RECORD_MAX);
	ROW_U64(q, "handoff_epoch", v->handoff_epoch);
	ROW_BYTES(q, "peer", v->peer);
	ROW_TEXT(q, "peer_name", v->peer_name);
}

const struct sql_table custody_table = SQL_TABLE(
	"custody", "PRIMARY KEY(uuid), UNIQUE(name), UNIQUE(hid), CHECK(epoch>0)", custody_view,
	view_row, "VM's record", KCODE_NOT_FOUND, "There is no hand-off with this number here.");

int store_custody_get(struct store *s, const uint8_t uuid[UUID_LEN], struct custody_view *ret,
		      struct kerr *err)
{
	struct custody_view v = {0};
	int r = sql_get(s, err, &custody_table, &v, "WHERE uuid=?1", SQL_UUID(uuid));

	if (r == 0) {
		memcpy(v.uuid, uuid, UUID_LEN);
		/* What came and was never owned proves no epoch: anybody may offer (H4). */
		r = sql_number(s, err, &v.epoch,
			       "SELECT max(epoch) FROM journal WHERE uuid=?1"
			       " AND record NOT IN (?2,?3,?4)",
			       SQL_UUID(uuid), SQL_U64(CUSTODY_RECV), SQL_U64(CUSTODY_PREPARED),
			       SQL_U64(CUSTODY_VOID));
	}
	if (r < 0)
		return r;
	*ret = v;
	return 0;
}

static int find_handoff(struct store *s, const uint8_t hid[HID_LEN], struct custody_view *ret,
			struct kerr *err)
{
	return sql_get(s, err, &custody_table, ret, "WHERE hid=?1", SQL_HID(hid));
}

/* 1 = found, 0 = this hand-off never wrote a record. */
static int find_last(struct store *s, const uint8_t hid[HID_LEN], struct journal_entry *ret,
		     struct kerr *err)
{
	return sql_get(s, err, &journal_table, ret,
		       "WHERE hid=?1 AND record<?2 ORDER BY seq DESC LIMIT 1", SQL_HID(hid),
		       SQL_U64(_CUSTODY_RECORD_MAX));
}

int store_custody_by_hid(struct store *s, const uint8_t hid[HID_LEN], struct custody_view *ret,
			 struct kerr *err)
{
	return sql_found(find_handoff(s, hid, ret, err), &custody_table, err);
}

int store_journal_last(struct store *s, const uint8_t hid[HID_LEN], struct journal_entry *ret,
		       struct kerr *err)
{
	return sql_found(find_last(s, hid, ret, err), &journal_table, err);
}

int store_custody_lent(struct store *s, const uint8_t owner_pk[SIGN_PK_LEN], bool *ret,
		       struct kerr *err)
{
	uint64_t n;
	int r = sql_number(s, err, &n,
			   "SELECT count(*) FROM custody JOIN policies USING(uuid)"
			   " WHERE here=0 AND owner_pk=?1 AND holder NOT IN"
			   " (SELECT id FROM peers WHERE own=1)",
			   SQL_BLOB(owner_pk, SIGN_PK_LEN));

	if (r == 0)
		*ret = n > 0;
	return r;
}

int store_custody_list(struct store *s, struct custody_view **ret, size_t *ret_n, struct kerr *err)
{
	return sql_list(s, err, &custody_table, ret, ret_n, "ORDER BY name");
}

/* -- Writing a view -- */

static int check_room(struct store *s, const struct custody_view *v, struct kerr *err)
{
	uint64_t n;
	int r = sql_number(s, err, &n, "SELECT count(*) FROM custody WHERE uuid<>?1",
			   SQL_UUID(v->uuid));

	if (r < 0 || n < STORE_VMS_MAX)
		return r;
	return kerr_set(err, EBUSY, KCODE_BUSY,
			"Kith on this device knows %d VMs, which is the most it can. Remove one "
			"first.",
			STORE_VMS_MAX);
}

/* A VM that came, was new here and was not owned leaves nothing behind: its policy and chain were
 * never more than an offer (H4). Never REPLACE: it would take another VM's row of the same name. */
static int write_view(struct store *s, const struct custody_view *v, struct kerr *err)
{
	int r = v->known ? check_room(s, v, err) : 0;

	if (r == 0)
		r = sql_change(s, err, "DELETE FROM custody WHERE uuid=?1", SQL_UUID(v->uuid));
	if (r < 0)
		return r;
	return v->known ? sql_put(s, err, &custody_table, "INSERT", v)
			: sql_change(s, err, "DELETE FROM chains WHERE uuid=?1", SQL_UUID(v->uuid));
}

/* The journal keeps an open hand-off whole. */
static int write_record(struct store *s, const struct custody_change *c, struct kerr *err)
{
	const struct custody_view *v = &c->after;
	struct journal_entry e = {.time = clock_unix(),
				  .record = c->record,
				  .epoch = v->epoch,
				  .handoff_epoch = v->handoff_epoch,
				  .source = v->source,
				  .proof_len = c->proof_len};
	uint64_t open;
	int r = sql_number(s, err, &open,
			   "SELECT min(seq) FROM journal WHERE hid IN"
			   " (SELECT hid FROM custody WHERE record IN (?1,?2,?3,?4))",
			   SQL_U64(CUSTODY_PREP), SQL_U64(CUSTODY_RELEASED), SQL_U64(CUSTODY_RECV),
			   SQL_U64(CUSTODY_PREPARED));

	memcpy(e.hid, v->hid, HID_LEN);
	memcpy(e.uuid, v->uuid, UUID_LEN);
	memcpy(e.peer, v->peer, DEVICE_ID_LEN);
	if (e.proof_len)
		memcpy(e.proof, c->proof, e.proof_len);
	return r < 0 ? r : store_log_append(s, STORE_JOURNAL, &e, open, err);
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

static int put_marker(struct store *s, const struct custody_view *v, struct kerr *err)
{
	int r = s->marker_dir < 0 ? 0 : custody_marker_write(s->marker_dir, v);

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
static int commit_with_marker(struct store *s, const struct custody_change *c,
			      enum commit_kind kind, struct kerr *err)
{
	struct custody_view last = shown(&c->before, &c->after);
	struct kerr ignored = {0};
	int r = 0;

	if (goes_first(&c->after))
		r = put_marker(s, &c->after, err);
	if (r == 0)
		r = store_commit(s, kind, err);
	else
		store_rollback(s);
	if (r < 0) {
		/* A broken store may hold the new state after the next start. */
		if (!s->broken && put_marker(s, &c->before, &ignored) < 0)
			log_warning("custody", "%s", ignored.text);
		return r;
	}
	if (!goes_first(&c->after) && put_marker(s, &last, &ignored) < 0)
		log_warning("custody", "%s", ignored.text);
	return 0;
}

/* D4: what an older journal may not undo. */
static bool is_guarded(int record)
{
	return record < _CUSTODY_RECORD_MAX ? custody_is_guarded((enum custody_record)record)
					    : record == JOURNAL_ADOPT || record == JOURNAL_CLAIM;
}

int store_custody_write(struct store *s, const struct custody_change *c, struct kerr *err)
{
	int r = store_offer_settle(s, c->before.hid, c->record, err);

	if (r == 0)
		r = write_view(s, &c->after, err);
	if (r == 0)
		r = write_record(s, c, err);
	if (r == 0)
		return commit_with_marker(
			s, c, is_guarded(c->record) ? COMMIT_GUARDED : COMMIT_PLAIN, err);
	store_rollback(s);
	return r;
}

/* -- The records -- */

static int name_taken(struct store *s, const char *name, const uint8_t uuid[UUID_LEN],
		      uint64_t *ret, struct kerr *err)
{
	return sql_number(s, err, ret, "SELECT count(*) FROM custody WHERE name=?1 AND uuid<>?2",
			  SQL_TEXT(name), SQL_UUID(uuid));
}

/* What the record is about, before it: the VM is found by UUID at the start, by hand-off later. */
static int find_before(struct store *s, struct custody_step *step, struct journal_entry *ret_last,
		       struct custody_view *ret, struct kerr *err)
{
	uint64_t taken = 0;
	int r = find_last(s, step->hid, ret_last, err);

	step->hid_last = r > 0 ? ret_last->record : -1;
	if (r >= 0 && step->record == CUSTODY_RECV)
		r = name_taken(s, step->name, step->uuid, &taken, err);
	step->name_taken = taken;
	if (r < 0)
		return r;
	if (step->record == CUSTODY_PREP || step->record == CUSTODY_RECV)
		return store_custody_get(s, step->uuid, ret, err);
	r = find_handoff(s, step->hid, ret, err);
	if (r == 0 && step->hid_last >= 0)
		return store_custody_get(s, ret_last->uuid, ret, err);
	return r < 0 ? r : 0;
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

int store_custody_step(struct store *s, struct custody_step *step, const void *proof,
		       size_t proof_len, struct custody_view *ret_after, struct kerr *err)
{
	struct custody_change c = {
		.record = (int)step->record, .proof = proof, .proof_len = proof_len};
	struct journal_entry last;
	int r;

	if (proof_len > JOURNAL_PROOF_MAX)
		return kerr_set(err, EMSGSIZE, KCODE_BAD_MESSAGE, "The proof is too long.");
	r = find_before(s, step, &last, &c.before, err);
	if (r == 0)
		r = custody_step(&c.before, step, &c.after, err);
	if (r < 0)
		return r;
	if (r > 0) {
		describe(&c.after, step, &last);
		*ret_after = c.after;
		return 1;
	}
	r = store_custody_write(s, &c, err);
	if (r < 0)
		return r;
	log_debug("custody", "vm \"%s\": %s -> %s, epoch %llu -> %llu, here %d -> %d", c.after.name,
		  c.before.handoff ? custody_record_to_string(c.before.record) : "none",
		  custody_record_to_string(c.after.record), (unsigned long long)c.before.epoch,
		  (unsigned long long)c.after.epoch, c.before.here, c.after.here);
	*ret_after = c.after;
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
	int r = sql_change(s, err, "UPDATE custody SET started=1 WHERE uuid=?1", SQL_UUID(uuid));

	return r < 0 ? r : store_commit(s, COMMIT_GUARDED, err);
}

int store_custody_adopt(struct store *s, const uint8_t uuid[UUID_LEN], const char *name,
			const uint8_t self[DEVICE_ID_LEN], const char *self_name,
			struct custody_view *ret_after, struct kerr *err)
{
	struct custody_change c = {.record = JOURNAL_ADOPT};
	uint64_t taken;
	int r = store_custody_get(s, uuid, &c.before, err);

	if (r == 0)
		r = name_taken(s, name, uuid, &taken, err);
	if (r == 0)
		r = custody_adopt(&c.before, name, taken, self, self_name, &c.after, err);
	if (r == 0)
		r = store_custody_write(s, &c, err);
	if (r == 0)
		*ret_after = c.after;
	return r;
}

/* -- All markers, at start -- */

static int cannot_read_markers(struct kerr *err, int num)
{
	return kerr_set(err, num, KCODE_FAILED, "The custody markers could not be read: %s.",
			strerror(num));
}

static int remove_unknown(struct store *s, struct kerr *err)
{
	int fd = openat(s->marker_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct custody_view v;
	struct dirent *entry;
	int r = 0;

	if (!dir) {
		r = cannot_read_markers(err, errno);
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0) {
		uint8_t uuid[UUID_LEN];

		errno = 0;
		entry = readdir(dir);
		if (!entry && errno)
			r = cannot_read_markers(err, errno);
		if (!entry)
			break;
		if (custody_uuid_parse(entry->d_name, uuid) < 0)
			continue;
		r = store_custody_get(s, uuid, &v, err);
		if (r == 0 && !v.known)
			unlinkat(s->marker_dir, entry->d_name, 0);
	}
	closedir(dir);
	return r;
}

int store_custody_markers(struct store *s, int marker_dir, struct kerr *err)
{
	_cleanup_free_ struct custody_view *list = NULL;
	size_t n;
	int r = store_custody_list(s, &list, &n, err);

	s->marker_dir = marker_dir;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = put_marker(s, &list[i], err);
	return r < 0 ? r : remove_unknown(s, err);
}
