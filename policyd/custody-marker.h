/* SPDX-License-Identifier: Apache-2.0 */
/* One small file per VM that tells libvirt's hook where it is while kith-policyd is down (R5). */
#pragma once

#include "policyd/journal.h"

#define CUSTODY_MARKER_DIR "custody" /* below the state directory */
#define CUSTODY_UUID_TEXT 37	     /* 8-4-4-4-12 and the NUL */

enum custody_marker {
	CUSTODY_MARKER_HERE,
	CUSTODY_MARKER_ELSEWHERE,
	CUSTODY_MARKER_LEAVING,	 /* PREP at the source */
	CUSTODY_MARKER_ARRIVING, /* RECV at the destination */
	CUSTODY_MARKER_RELEASED, /* RELEASED at the source: its copy must be frozen */
	CUSTODY_MARKER_PREPARED, /* PREPARED at the destination: its copy must be frozen */
	CUSTODY_MARKER_KEPT,	 /* ABORTED at the source, not yet closed: its copy may run, but a
				    start from disk has to be recorded by kith-policyd (F6) */
	CUSTODY_MARKER_DOUBT, /* a roll-back was accepted; nobody said yet where the VM is (W17) */
	_CUSTODY_MARKER_MAX,
};
DECLARE_NAMES(custody_marker, enum custody_marker);

struct custody_marker_info {
	enum custody_marker state;
	char name[NAME_MAX_LEN + 1];
	char holder[NAME_MAX_LEN + 1];
	uint64_t epoch;
};

/* What the marker of a known VM says. */
enum custody_marker custody_marker_state(const struct custody_view *view);

/* Writes (atomically, 0644) or, for a VM that is not known, removes the marker in the directory.
 * A marker that forbids goes out before the record is committed, one that allows after it; the
 * store does both (store_custody_step()). 0 or negative errno. */
int custody_marker_write(int dirfd, const struct custody_view *view);

/* -ENOENT = no marker: the VM is unknown to Kith. -EBADMSG = damaged. */
int custody_marker_read(int dirfd, const uint8_t uuid[UUID_LEN], struct custody_marker_info *ret);

/* The hook's decision when kith-policyd does not answer: START of a VM without marker or marked
 * "here" passes, all else is refused, damaged markers and incoming VMs included. */
int custody_marker_may_start(int dirfd, const uint8_t uuid[UUID_LEN], enum custody_use use,
			     struct kerr *err);

/* Text form of a UUID, which is the marker's file name; and back (-EBADMSG). */
void custody_uuid_text(const uint8_t uuid[UUID_LEN], char ret[CUSTODY_UUID_TEXT]);
int custody_uuid_parse(const char *text, uint8_t ret[UUID_LEN]);
