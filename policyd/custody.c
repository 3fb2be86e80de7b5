/* SPDX-License-Identifier: Apache-2.0 */
/* Custody as tables and pure functions: rules R1 to R5 (docs/threats.md). */
#include "policyd/custody.h"

/* -- Tables -- */

/* Every legal move within a hand-off. What is not here is refused. */
static const struct move {
	enum custody_record from, to;
	enum custody_statement_kind proof;
	bool proof_optional;
	bool copy_gone; /* only if the source's copy died before anybody saw it run again */
} moves[] = {
	/* source */
	{CUSTODY_PREP, CUSTODY_RELEASED, CUSTODY_STATEMENT_VOTE, false, false},
	{CUSTODY_PREP, CUSTODY_ABORTED, CUSTODY_STATEMENT_NONE, false, false},
	{CUSTODY_RELEASED, CUSTODY_DONE, CUSTODY_STATEMENT_ACK, false, false},	   /* R3 */
	{CUSTODY_RELEASED, CUSTODY_RECLAIM, CUSTODY_STATEMENT_NACK, false, false}, /* R4 */
	{CUSTODY_ABORTED, CUSTODY_DONE, CUSTODY_STATEMENT_NONE, false, false},
	/* R2: ABORT was not said yet, so the complete copy over there can still be the VM. */
	{CUSTODY_ABORTED, CUSTODY_RELEASED, CUSTODY_STATEMENT_VOTE, false, true},
	{CUSTODY_RECLAIM, CUSTODY_DONE, CUSTODY_STATEMENT_NONE, false, false},
	/* destination */
	{CUSTODY_RECV, CUSTODY_PREPARED, CUSTODY_STATEMENT_NONE, false, false},
	{CUSTODY_RECV, CUSTODY_VOID, CUSTODY_STATEMENT_ABORT, true, false},
	{CUSTODY_PREPARED, CUSTODY_OWN, CUSTODY_STATEMENT_RELEASE, false, false},
	{CUSTODY_PREPARED, CUSTODY_VOID, CUSTODY_STATEMENT_ABORT, true, false},
	{CUSTODY_OWN, CUSTODY_DONE, CUSTODY_STATEMENT_NONE, false, false},
};

/* What each record means by itself. */
static const struct {
	bool starts;  /* first record of a hand-off: check_prep(), check_recv() */
	bool open;    /* while it is the last one, no other hand-off may start */
	bool guarded; /* an older journal would let a second copy run */
	bool repeats; /* may be asked again when the hand-off is over */
	bool ends;    /* nothing of the hand-off is left to do */
	enum { HOLDER_STAYS, HOLDER_PEER, HOLDER_SELF } holder; /* who has the VM from now on... */
	uint8_t adds; /* ...and what that adds to the epoch of the hand-off */
	enum custody_statement_kind statement;
	enum custody_statement_kind again; /* said until the other side answers */
} records[_CUSTODY_RECORD_MAX] = {
	[CUSTODY_PREP] = {.starts = true, .open = true},
	[CUSTODY_RELEASED] = {.open = true,
			      .guarded = true,
			      .holder = HOLDER_PEER,
			      .adds = 1,
			      .statement = CUSTODY_STATEMENT_RELEASE,
			      .again = CUSTODY_STATEMENT_RELEASE},
	/* R2: ABORT is not said before the source runs again; a source that cannot asks. */
	[CUSTODY_ABORTED] = {.repeats = true,
			     .statement = CUSTODY_STATEMENT_ABORT,
			     .again = CUSTODY_STATEMENT_ASK},
	[CUSTODY_DONE] = {.repeats = true, .ends = true},
	[CUSTODY_RECLAIM] = {.guarded = true, .holder = HOLDER_SELF, .adds = 2},
	[CUSTODY_RECV] = {.starts = true, .open = true, .holder = HOLDER_PEER},
	[CUSTODY_PREPARED] = {.open = true,
			      .statement = CUSTODY_STATEMENT_VOTE,
			      .again = CUSTODY_STATEMENT_VOTE},
	[CUSTODY_OWN] = {.guarded = true,
			 .holder = HOLDER_SELF,
			 .adds = 1,
			 .statement = CUSTODY_STATEMENT_ACK},
	[CUSTODY_VOID] = {.repeats = true, .ends = true, .statement = CUSTODY_STATEMENT_NACK},
};

/* Words that no record takes as its proof, but that tell the mover how to go on: that the copy over
 * there will never run, so that a source which gave up can close. */
static const struct {
	enum custody_record at;
	enum custody_statement_kind kind;
} hints[] = {
	{CUSTODY_PREP, CUSTODY_STATEMENT_NACK},
	{CUSTODY_ABORTED, CUSTODY_STATEMENT_NACK},
};

/* Names the hand-off's epoch `e`, or the one after it that the destination gets. */
static uint64_t statement_epoch(enum custody_statement_kind kind, uint64_t e)
{
	return kind == CUSTODY_STATEMENT_RELEASE || kind == CUSTODY_STATEMENT_ACK ? e + 1 : e;
}

static const struct move *find_move(enum custody_record from, enum custody_record to)
{
	for (size_t i = 0; i < ARRAY_SIZE(moves); i++)
		if (moves[i].from == from && moves[i].to == to)
			return &moves[i];
	return NULL;
}

bool custody_is_open(const struct custody_view *view)
{
	return view->handoff && records[view->record].open;
}

bool custody_is_guarded(enum custody_record record)
{
	return records[record].guarded;
}

/* -- Statements -- */

uint64_t custody_statement_handoff_epoch(const struct custody_statement *statement)
{
	return statement->epoch - statement_epoch(statement->kind, 0);
}

void custody_statement_make(enum custody_statement_kind kind, const uint8_t hid[HID_LEN],
			    const uint8_t uuid[UUID_LEN], uint64_t handoff_epoch,
			    const uint8_t self[DEVICE_ID_LEN], const uint8_t peer[DEVICE_ID_LEN],
			    struct custody_statement *ret)
{
	*ret = (struct custody_statement){.kind = kind};
	if (kind == CUSTODY_STATEMENT_NONE)
		return;
	memcpy(ret->hid, hid, HID_LEN);
	memcpy(ret->uuid, uuid, UUID_LEN);
	ret->epoch = statement_epoch(kind, handoff_epoch);
	memcpy(ret->from, self, DEVICE_ID_LEN);
	memcpy(ret->to, peer, DEVICE_ID_LEN);
}

enum custody_statement_kind custody_statement_of(enum custody_record record)
{
	return records[record].statement;
}

static void make(enum custody_statement_kind kind, const struct custody_view *v,
		 const uint8_t self[DEVICE_ID_LEN], struct custody_statement *ret)
{
	custody_statement_make(kind, v->hid, v->uuid, v->handoff_epoch, self, v->peer, ret);
}

void custody_statement_for(const struct custody_view *after, const uint8_t self[DEVICE_ID_LEN],
			   struct custody_statement *ret)
{
	make(records[after->record].statement, after, self, ret);
}

void custody_statement_again(const struct custody_view *view, const uint8_t self[DEVICE_ID_LEN],
			     struct custody_statement *ret)
{
	make(view->handoff ? records[view->record].again : CUSTODY_STATEMENT_NONE, view, self, ret);
}

/* -- Refusals in words -- */

/* "" has no place inside quotes. */
static const char *or_unknown(const char *name)
{
	return name[0] ? name : "another device";
}

static int refuse_busy(const struct custody_view *v, struct kerr *err)
{
	return kerr_set(err, EBUSY, KCODE_BUSY,
			"A hand-off of the VM \"%s\" %s \"%s\" is open already (%s). Only one can "
			"be open at a time.",
			v->name, v->source ? "to" : "from", or_unknown(v->peer_name),
			custody_record_to_string(v->record));
}

static int refuse_elsewhere(const struct custody_view *v, const char *self_name, struct kerr *err)
{
	return kerr_set(
		err, EACCES, KCODE_CUSTODY,
		"This device does not hold the VM \"%s\"; it is on \"%s\" since epoch %llu. "
		"Bring it back with `kith move %s %s` there.",
		v->name, or_unknown(v->holder_name), (unsigned long long)v->epoch, v->name,
		self_name && self_name[0] ? self_name : "THIS-DEVICE");
}

static int refuse_doubt(const struct custody_view *v, struct kerr *err)
{
	return kerr_set(
		err, EACCES, KCODE_CUSTODY,
		"Whether the VM \"%s\" is on this device is in doubt: its state was rolled back. "
		"Bring your other devices into sight, or decide with `kith claim %s`.",
		v->name, v->name);
}

static int refuse_name(const char *name, struct kerr *err)
{
	return kerr_set(err, EEXIST, KCODE_IDENTITY,
			"This device knows another VM that is called \"%s\", with another UUID.",
			name);
}

static int refuse_ended(const struct custody_step *step, struct kerr *err)
{
	if (step->hid_last < 0)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"There is no hand-off with this number here.");
	return kerr_set(err, ESTALE, KCODE_STALE_EPOCH,
			"This hand-off has ended already (%s); \"%s\" comes too late.",
			custody_record_to_string((enum custody_record)step->hid_last),
			custody_record_to_string(step->record));
}

/* -- The first record of a hand-off -- */

static int check_unused(const struct custody_step *step, struct kerr *err)
{
	if (step->hid_last < 0)
		return 0;
	return kerr_set(err, ESTALE, KCODE_STALE_EPOCH,
			"This hand-off was used before; somebody may be replaying it.");
}

static int check_prep(const struct custody_view *v, const struct custody_step *step,
		      struct kerr *err)
{
	int r = check_unused(step, err);

	if (r < 0)
		return r;
	if (!v->known)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"This VM is not in Kith's care on this device yet.");
	if (custody_is_open(v))
		return refuse_busy(v, err);
	if (v->doubt == CUSTODY_ASKING)
		return refuse_doubt(v, err);
	if (!v->here)
		return refuse_elsewhere(v, step->self_name, err);
	if (memcmp(step->peer, step->self, DEVICE_ID_LEN) == 0)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"The VM \"%s\" is on this device already.", v->name);
	/* Room for RELEASED and RECLAIM. */
	if (v->epoch > CUSTODY_EPOCH_MAX - 2)
		return kerr_set(err, ERANGE, KCODE_FAILED,
				"The VM \"%s\" was handed over too often to be counted.", v->name);
	return 0;
}

/* The name and UUID in an offer belong together as they always did (H21). */
static int check_identity(const struct custody_view *v, const struct custody_step *step,
			  struct kerr *err)
{
	if (v->known && strcmp(v->name, step->name) != 0)
		return kerr_set(err, EEXIST, KCODE_IDENTITY,
				"\"%s\" offers a VM \"%s\" under the UUID that this device knows "
				"as \"%s\".",
				or_unknown(step->peer_name), step->name, v->name);
	return step->name_taken ? refuse_name(step->name, err) : 0;
}

/* The order matters: a replayed old offer is called stale even while something is open (HO7). */
static int check_recv(const struct custody_view *v, const struct custody_step *step,
		      struct kerr *err)
{
	int r;

	if (step->epoch == 0 || step->epoch > CUSTODY_EPOCH_MAX - 2 ||
	    !text_is_name(step->name, NAME_MAX_LEN) ||
	    memcmp(step->peer, step->self, DEVICE_ID_LEN) == 0)
		return kerr_set(
			err, EBADMSG, KCODE_BAD_MESSAGE,
			"The other device's offer names an impossible VM, device or epoch.");
	r = check_unused(step, err);
	if (r < 0)
		return r;
	if (step->epoch < v->epoch)
		return kerr_set(err, ESTALE, KCODE_STALE_EPOCH,
				"\"%s\" offers the VM \"%s\" of epoch %llu, but this device knows "
				"epoch %llu already. An old hand-off was refused.",
				or_unknown(step->peer_name), step->name,
				(unsigned long long)step->epoch, (unsigned long long)v->epoch);
	if (custody_is_open(v))
		return refuse_busy(v, err);
	if (v->doubt == CUSTODY_ASKING)
		return refuse_doubt(v, err);
	if (v->known && v->here)
		return kerr_set(err, EEXIST, KCODE_CUSTODY,
				"\"%s\" offers the VM \"%s\", but this device holds it (epoch "
				"%llu).",
				or_unknown(step->peer_name), v->name, (unsigned long long)v->epoch);
	return check_identity(v, step, err);
}

/* -- Any other record -- */

/* A mover that was interrupted asks for what it wrote before. */
bool custody_is_repeat(const struct custody_view *v, const struct custody_step *step)
{
	bool same = v->handoff && memcmp(v->hid, step->hid, HID_LEN) == 0;

	if (same && v->record == step->record)
		return true;
	return records[step->record].repeats && step->hid_last == (int)step->record;
}

static bool belongs(const struct custody_view *v, const uint8_t self[DEVICE_ID_LEN],
		    const struct custody_statement *p)
{
	return v->handoff && memcmp(p->hid, v->hid, HID_LEN) == 0 &&
	       memcmp(p->uuid, v->uuid, UUID_LEN) == 0 &&
	       memcmp(p->from, v->peer, DEVICE_ID_LEN) == 0 &&
	       memcmp(p->to, self, DEVICE_ID_LEN) == 0 &&
	       p->epoch == statement_epoch(p->kind, v->handoff_epoch);
}

static int refuse_proof(const struct custody_view *v, const struct custody_statement *p,
			struct kerr *err)
{
	return kerr_set(
		err, EBADMSG, KCODE_ATTEST_BINDING,
		"The signed \"%s\" does not belong to this hand-off of the VM \"%s\" and was "
		"refused.",
		custody_statement_kind_to_string(p->kind), v->name);
}

static int check_proof(const struct custody_view *v, const struct move *m,
		       const struct custody_step *step, struct kerr *err)
{
	const struct custody_statement *p = step->proof;

	if (!p && (m->proof == CUSTODY_STATEMENT_NONE || m->proof_optional))
		return 0;
	if (!p)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"The record \"%s\" needs a signed \"%s\" of the other device.",
				custody_record_to_string(m->to),
				custody_statement_kind_to_string(m->proof));
	if (p->kind != m->proof || m->proof == CUSTODY_STATEMENT_NONE || !belongs(v, step->self, p))
		return refuse_proof(v, p, err);
	return 0;
}

/* Does a record that may come next, or the mover, wait for a word of this kind? */
static bool is_awaited(const struct custody_view *v, enum custody_statement_kind kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(moves); i++)
		if (moves[i].from == v->record && moves[i].proof == kind)
			return !moves[i].copy_gone || !v->started;
	for (size_t i = 0; i < ARRAY_SIZE(hints); i++)
		if (hints[i].at == v->record && hints[i].kind == kind)
			return true;
	return false;
}

int custody_accepts(const struct custody_view *view, const uint8_t self[DEVICE_ID_LEN],
		    const struct custody_statement *statement, struct kerr *err)
{
	if (!belongs(view, self, statement))
		return refuse_proof(view, statement, err);
	if (statement->kind == CUSTODY_STATEMENT_NONE || !is_awaited(view, statement->kind))
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"The hand-off of the VM \"%s\" (%s) does not wait for a signed "
				"\"%s\".",
				view->name, custody_record_to_string(view->record),
				custody_statement_kind_to_string(statement->kind));
	return 0;
}

static int check_next(const struct custody_view *v, const struct custody_step *step,
		      struct kerr *err)
{
	const struct move *m;

	if (!v->handoff || memcmp(v->hid, step->hid, HID_LEN) != 0)
		return refuse_ended(step, err);
	m = find_move(v->record, step->record);
	if (!m)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"In the hand-off of the VM \"%s\" the record \"%s\" may not follow "
				"\"%s\".",
				v->name, custody_record_to_string(step->record),
				custody_record_to_string(v->record));
	if (m->copy_gone && !step->copy_gone)
		return kerr_set(
			err, EINVAL, KCODE_USAGE,
			"The hand-off of the VM \"%s\" was given up; it may be released only "
			"if its copy on this device is gone.",
			v->name);
	if (m->copy_gone && v->started)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"The VM \"%s\" was started here again after its hand-off was given "
				"up; it cannot be released any more.",
				v->name);
	return check_proof(v, m, step, err);
}

/* -- Effects -- */

static void set_holder(struct custody_view *v, const uint8_t id[DEVICE_ID_LEN], const char *name)
{
	memcpy(v->holder, id, DEVICE_ID_LEN);
	snprintf(v->holder_name, sizeof(v->holder_name), "%s", name);
}

static void begin(struct custody_view *v, const struct custody_step *step)
{
	v->handoff = true;
	v->source = step->record == CUSTODY_PREP;
	v->fresh = !v->source && !v->known;
	v->started = false;
	v->handoff_epoch = v->source ? v->epoch : step->epoch;
	memcpy(v->hid, step->hid, HID_LEN);
	memcpy(v->peer, step->peer, DEVICE_ID_LEN);
	snprintf(v->peer_name, sizeof(v->peer_name), "%s", step->peer_name);
	if (v->source)
		return;
	memcpy(v->uuid, step->uuid, UUID_LEN);
	snprintf(v->name, sizeof(v->name), "%s", step->name);
	v->known = true;
	v->doubt = CUSTODY_SURE; /* the offer proved who holds it */
	v->told_epoch = 0;
}

static void apply(struct custody_view *v, const struct custody_step *step)
{
	if (records[step->record].starts)
		begin(v, step);
	if (records[step->record].holder != HOLDER_STAYS) {
		v->here = records[step->record].holder == HOLDER_SELF;
		v->epoch = v->handoff_epoch + records[step->record].adds;
		set_holder(v, v->here ? step->self : v->peer,
			   v->here ? step->self_name : v->peer_name);
	}
	if (records[step->record].ends)
		v->handoff = false;
	if (step->record == CUSTODY_VOID)
		v->known = !v->fresh;
	v->record = step->record;
}

int custody_step(const struct custody_view *before, const struct custody_step *step,
		 struct custody_view *ret_after, struct kerr *err)
{
	struct custody_view after = *before;
	int r;

	if ((size_t)step->record >= _CUSTODY_RECORD_MAX)
		return kerr_set(err, EINVAL, KCODE_USAGE, "There is no such custody record.");
	if (custody_is_repeat(before, step)) {
		*ret_after = after;
		return 1;
	}
	if (step->record == CUSTODY_PREP)
		r = check_prep(before, step, err);
	else if (step->record == CUSTODY_RECV)
		r = check_recv(before, step, err);
	else
		r = check_next(before, step, err);
	if (r < 0)
		return r;
	apply(&after, step);
	*ret_after = after;
	return 0;
}

int custody_adopt(const struct custody_view *before, const char *name, bool name_taken,
		  const uint8_t self[DEVICE_ID_LEN], const char *self_name,
		  struct custody_view *ret_after, struct kerr *err)
{
	struct custody_view after = {.known = true, .here = true, .epoch = before->epoch + 1};

	if (before->known)
		return kerr_set(err, EEXIST, KCODE_EXISTS,
				"The VM \"%s\" is in Kith's care already.", before->name);
	if (!text_is_name(name, NAME_MAX_LEN))
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"This VM's name is empty, too long or has control characters.");
	if (name_taken)
		return refuse_name(name, err);
	if (before->epoch > CUSTODY_EPOCH_MAX - 3)
		return kerr_set(err, ERANGE, KCODE_FAILED,
				"The VM \"%s\" was handed over too often to be counted.", name);
	memcpy(after.uuid, before->uuid, UUID_LEN);
	snprintf(after.name, sizeof(after.name), "%s", name);
	set_holder(&after, self, self_name);
	*ret_after = after;
	return 0;
}

/* -- The libvirt hook's question -- */

static int may_come_in(const struct custody_view *v, struct kerr *err)
{
	if (custody_is_open(v) && v->record == CUSTODY_RECV && v->doubt != CUSTODY_ASKING)
		return 0;
	if (!v->known)
		return kerr_set(err, EACCES, KCODE_CUSTODY,
				"No VM may come to this device except by a hand-off of Kith, and "
				"none is expected for this one.");
	return kerr_set(err, EACCES, KCODE_CUSTODY,
			"The VM \"%s\" may not come to this device now: no hand-off of it has been "
			"agreed.",
			v->name);
}

int custody_may_start(const struct custody_view *view, enum custody_use use, bool incoming_seen,
		      const char *self_name, struct kerr *err)
{
	if (use == CUSTODY_USE_INCOMING)
		return may_come_in(view, err);
	if (use != CUSTODY_USE_START)
		return kerr_set(err, EINVAL, KCODE_USAGE, "This is no question about custody.");
	if (!view->known)
		return 0;
	if (view->doubt == CUSTODY_ASKING)
		return refuse_doubt(view, err);
	if (!custody_is_open(view))
		return view->here ? 0 : refuse_elsewhere(view, self_name, err);
	if (view->record == CUSTODY_RECV && incoming_seen)
		return 0;
	return kerr_set(
		err, EACCES, KCODE_CUSTODY,
		view->source
			? "The VM \"%s\" is being handed over to \"%s\" (%s). Starting it here "
			  "now could make a second copy; wait until that has ended."
			: "The VM \"%s\" is just arriving from \"%s\" (%s) and still belongs "
			  "there. Wait until that has ended.",
		view->name, or_unknown(view->peer_name), custody_record_to_string(view->record));
}

bool custody_must_note_start(const struct custody_view *view)
{
	return view->handoff && view->source && view->record == CUSTODY_ABORTED && !view->started;
}

/* -- Other forms -- */

void custody_to_vm(const struct custody_view *view, uint64_t policy_version, struct policyd_vm *ret)
{
	*ret = (struct policyd_vm){.epoch = view->epoch,
				   .policy_version = policy_version,
				   .here = view->here,
				   .open = custody_is_open(view),
				   .doubt = view->doubt == CUSTODY_ASKING};
	memcpy(ret->uuid, view->uuid, UUID_LEN);
	snprintf(ret->name, sizeof(ret->name), "%s", view->name);
	memcpy(ret->holder, view->holder, DEVICE_ID_LEN);
	snprintf(ret->holder_name, sizeof(ret->holder_name), "%s", view->holder_name);
	if (ret->open)
		memcpy(ret->hid, view->hid, HID_LEN);
}

void custody_to_open(const struct custody_view *view, struct policyd_open *ret)
{
	*ret = (struct policyd_open){.epoch = view->handoff_epoch,
				     .source = view->source,
				     .record = view->record,
				     .fresh = view->fresh,
				     .started = view->started};
	memcpy(ret->hid, view->hid, HID_LEN);
	memcpy(ret->uuid, view->uuid, UUID_LEN);
	memcpy(ret->peer, view->peer, DEVICE_ID_LEN);
	snprintf(ret->vm, sizeof(ret->vm), "%s", view->name);
}
