/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of kith-warden, one row for each marker. */
#include "mover/warden-rule.h"

static const struct {
	enum warden_aim held, free;
	bool freezable; /* a FREEZE request is obeyed */
	bool killable;	/* policyd's list may ask for its end */
	bool stoppable; /* ... or for its stop */
} rules[WARDEN_MARKERS] = {
	/* The marker that allows is written after the record: it is newer than any list. */
	[CUSTODY_MARKER_HERE] = {WARDEN_THAW, WARDEN_LEAVE, false, false, false},
	[CUSTODY_MARKER_KEPT] = {WARDEN_THAW, WARDEN_LEAVE, false, false, false},
	/* What we froze was a copy of the hand-off that ended: it may never run again. */
	[CUSTODY_MARKER_ELSEWHERE] = {WARDEN_END, WARDEN_LEAVE, false, true, true},
	[CUSTODY_MARKER_LEAVING] = {WARDEN_HOLD, WARDEN_LEAVE, true, false, true},
	[CUSTODY_MARKER_ARRIVING] = {WARDEN_HOLD, WARDEN_LEAVE, true, false, true},
	[CUSTODY_MARKER_RELEASED] = {WARDEN_HOLD, WARDEN_HOLD, true, true, true},
	[CUSTODY_MARKER_PREPARED] = {WARDEN_HOLD, WARDEN_HOLD, true, true, true},
	/* Nobody said that it may run, nobody said that it may not. */
	[CUSTODY_MARKER_DOUBT] = {WARDEN_HOLD, WARDEN_LEAVE, false, true, true},
	[WARDEN_MARKER_NONE] = {WARDEN_HOLD, WARDEN_LEAVE, false, true, true},
	[WARDEN_MARKER_BAD] = {WARDEN_HOLD, WARDEN_LEAVE, false, true, true},
};

enum warden_aim warden_aim(int marker, enum warden_word word, bool held,
			   enum warden_request request)
{
	if (marker < 0 || marker >= WARDEN_MARKERS)
		marker = WARDEN_MARKER_BAD;
	if (word == WARDEN_WORD_KILL && rules[marker].killable)
		return WARDEN_END;
	if (held)
		return rules[marker].held;
	if (word == WARDEN_WORD_FREEZE && rules[marker].stoppable)
		return WARDEN_HOLD;
	if (request == WARDEN_FREEZE)
		return rules[marker].freezable ? WARDEN_HOLD : WARDEN_REFUSE;
	return rules[marker].free;
}

enum warden_act warden_act(enum warden_aim aim, bool held, enum qemu_state state)
{
	if (state == QEMU_GONE)
		return held ? WARDEN_FORGET : WARDEN_NOTHING;
	switch (aim) {
	case WARDEN_HOLD:
		if (!held)
			return WARDEN_TAKE;
		return state == QEMU_STOPPED ? WARDEN_NOTHING : WARDEN_STOP;
	case WARDEN_THAW:
		return held ? WARDEN_LET_GO : WARDEN_NOTHING;
	case WARDEN_END:
		return WARDEN_KILL;
	case WARDEN_LEAVE:
	case WARDEN_REFUSE:
		break;
	}
	return WARDEN_NOTHING;
}
