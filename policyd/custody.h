/* SPDX-License-Identifier: Apache-2.0 */
/* The custody machine: who holds a VM, which hand-off of it is open, which record may come next. */
#pragma once

#include <stdbool.h>

#include "policyd/custody-wire.h"

/* Highest epoch that is ever stored: SQLite integers are signed. */
#define CUSTODY_EPOCH_MAX ((uint64_t)INT64_MAX)

/* How sure this device is of where a VM is. */
enum custody_doubt {
	CUSTODY_SURE,
	CUSTODY_ASKING,	 /* after an accepted roll-back: it may not start or leave */
	CUSTODY_HEARSAY, /* not here by word alone: the owner may still claim it */
	_CUSTODY_DOUBT_MAX,
};

/* One VM as this device knows it, with the last hand-off of it that still needs something.
 * A VM that is not `known` has only `uuid` and `epoch`: the highest epoch that the journal ever
 * saw for it (0 = none). */
struct custody_view {
	uint8_t uuid[UUID_LEN];
	char name[NAME_MAX_LEN + 1];
	bool known;
	bool here; /* this device holds it */
	uint64_t epoch;
	uint8_t holder[DEVICE_ID_LEN]; /* last known holder, this device included */
	char holder_name[NAME_MAX_LEN + 1];
	enum custody_doubt doubt;
	uint8_t nonce[HID_LEN]; /* ASKING: number of our questions */
	uint64_t told_epoch;	/* HEARSAY: what was said about it */

	/* The hand-off. Present from PREP/RECV until DONE/VOID; ABORTED, RECLAIM and OWN leave it
	 * here, no longer open, until the mover writes DONE ("the guest runs, the peer knows") or
	 * the next hand-off starts: so that a restarted mover finds what it has to finish (W6,
	 * W11). */
	bool handoff;
	bool source;  /* this device is the source */
	bool fresh;   /* destination: the VM was not known before; VOID forgets it again */
	bool started; /* source: a start from disk was allowed after ABORTED (F6) */
	uint8_t hid[HID_LEN];
	enum custody_record record; /* the last one */
	uint64_t handoff_epoch;	    /* `e`: epoch at PREP, as offered */
	uint8_t peer[DEVICE_ID_LEN];
	char peer_name[NAME_MAX_LEN + 1];
};

/* True while a hand-off decides about custody: no second one may start (H9). */
bool custody_is_open(const struct custody_view *view);

/* -- What has to be said -- */

/* The statement that the record in `after`, as custody_step() or store_custody_step() gave it,
 * obliges this device to make; kind NONE if it makes none. */
void custody_statement_for(const struct custody_view *after, const uint8_t self[DEVICE_ID_LEN],
			   struct custody_statement *ret);

/* What a hand-off which ended long ago said at its `record`, for a peer that asks again. */
enum custody_statement_kind custody_statement_of(enum custody_record record);

/* What this side says again and again until the other one answers: RELEASE, VOTE, or the question
 * ASK of a source that gave up and whose copy may be gone; kind NONE if it has nothing to say. */
void custody_statement_again(const struct custody_view *view, const uint8_t self[DEVICE_ID_LEN],
			     struct custody_statement *ret);

/* A statement of `kind` about the hand-off with epoch `e`; kind NONE gives an empty one. */
void custody_statement_make(enum custody_statement_kind kind, const uint8_t hid[HID_LEN],
			    const uint8_t uuid[UUID_LEN], uint64_t handoff_epoch,
			    const uint8_t self[DEVICE_ID_LEN], const uint8_t peer[DEVICE_ID_LEN],
			    struct custody_statement *ret);

/* `e` of the hand-off that a statement is about. */
uint64_t custody_statement_handoff_epoch(const struct custody_statement *statement);

/* -- The machine -- */

/* What one record wants to do. `proof` has had its signature verified; its content is checked
 * here. `hid_last`, `hid_uuid`, `name_taken` are facts that the store adds. */
struct custody_step {
	enum custody_record record;
	uint8_t hid[HID_LEN];
	uint8_t self[DEVICE_ID_LEN];
	char self_name[NAME_MAX_LEN + 1];
	const struct custody_statement *proof; /* NULL = none */
	bool copy_gone; /* RELEASED: this device's copy does not exist any more */

	/* PREP and RECV only. */
	uint8_t uuid[UUID_LEN]; /* the others find the VM by hid */
	uint8_t peer[DEVICE_ID_LEN];
	char peer_name[NAME_MAX_LEN + 1];

	/* RECV only. */
	char name[NAME_MAX_LEN + 1]; /* name of the VM in the offer */
	uint64_t epoch;		     /* epoch in the offer */

	/* Facts from the store. */
	int hid_last;	 /* last record ever written for this hid, -1 = never seen */
	bool name_taken; /* another VM that is known here has this name */
};

/* Checks one record against the table of legal moves and gives the view after it. Pure.
 * 0 = a new record to be written; 1 = exactly this record is already there (a mover that asks
 * again after a crash): nothing to write, the statement may be made again. Refusals: `busy` (H9),
 * `stale-epoch` (HO7), `custody`, `identity` (H21), `not-found` (no such hand-off), `usage` (the
 * record may not follow the last one), `attest-binding` (the proof belongs to something else). */
int custody_step(const struct custody_view *before, const struct custody_step *step,
		 struct custody_view *ret_after, struct kerr *err);

/* True if exactly this record is the last one of this hand-off (custody_step() gives 1). Asked
 * before anything else: an answer that was lost must be had again, whoever asks (F3). */
bool custody_is_repeat(const struct custody_view *view, const struct custody_step *step);

/* Is this signed statement the word that moves the hand-off on from where it stands: its kind, its
 * hand-off, its VM, its epoch, and from the one peer to this device (C2)? `attest-binding` or
 * `usage` if not. Nothing may be done because of a statement that was not asked about here. */
int custody_accepts(const struct custody_view *view, const uint8_t self[DEVICE_ID_LEN],
		    const struct custody_statement *statement, struct kerr *err);

/* True if a start of the VM now, that custody_may_start() allowed, has to be written down before it
 * happens: the source gave up, and without the record could still release forward (F6). */
bool custody_must_note_start(const struct custody_view *view);

/* A VM of this device enters Kith's custody. -EEXIST/`exists` if it is known, `identity` if another
 * VM here has the name. The new epoch is one above any the journal saw. */
int custody_adopt(const struct custody_view *before, const char *name, bool name_taken,
		  const uint8_t self[DEVICE_ID_LEN], const char *self_name,
		  struct custody_view *ret_after, struct kerr *err);

/* True for the records that need the TPM counter: after RELEASED, OWN and RECLAIM a restored older
 * journal would let a second copy run (D4). */
bool custody_is_guarded(enum custody_record record);

/* May libvirt start this VM here (H10, R5)? 0 or -EACCES with a sentence.
 * START: yes if unknown to Kith, or held here with no hand-off open. INCOMING: only into an open
 * RECV; never for a VM unknown to Kith. libvirt's `prepare` hook cannot tell an incoming start
 * from any other: a START during RECV passes only if `incoming_seen`, that is, the `migrate` hook
 * asked INCOMING for this hand-off before and no START has used that up since. `self_name` is this
 * device's name for the sentence (NULL = not known). */
int custody_may_start(const struct custody_view *view, enum custody_use use, bool incoming_seen,
		      const char *self_name, struct kerr *err);

/* Forms for the wire; `policy_version` comes from the policies. */
void custody_to_vm(const struct custody_view *view, uint64_t policy_version,
		   struct policyd_vm *ret);
void custody_to_open(const struct custody_view *view, struct policyd_open *ret);
