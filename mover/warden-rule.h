/* SPDX-License-Identifier: Apache-2.0 */
/* What kith-warden does with a copy: pure tables. It obeys policyd's markers and policyd's word,
 * never the one who asks; a VM that Kith does not know, and a stop that is not its own, it leaves
 * alone. */
#pragma once

#include <stdbool.h>

#include "mover/qemu-process.h"
#include "policyd/api/proto.h"

/* What the marker of a VM says; the two more are no states of custody. */
#define WARDEN_MARKER_NONE (_CUSTODY_MARKER_MAX)
#define WARDEN_MARKER_BAD (_CUSTODY_MARKER_MAX + 1)
#define WARDEN_MARKERS (_CUSTODY_MARKER_MAX + 2)

/* What policyd has just said about the VM (WARD). */
enum warden_word {
	WARDEN_WORD_NONE, /* not in its list, or not asked */
	WARDEN_WORD_FREEZE,
	WARDEN_WORD_KILL,
	_WARDEN_WORD_MAX,
};

enum warden_request {
	WARDEN_WATCH,  /* nobody asked: a marker changed, or a second is over */
	WARDEN_FREEZE, /* the mover wants the copy to stand still */
	WARDEN_SETTLE,
};

/* How the copy has to be. */
enum warden_aim {
	WARDEN_LEAVE, /* as it is */
	WARDEN_HOLD,  /* stopped by us */
	WARDEN_THAW,  /* running, where we stopped it */
	WARDEN_END,   /* dead */
	WARDEN_REFUSE,
};

/* One step towards it. */
enum warden_act {
	WARDEN_NOTHING,
	WARDEN_TAKE,   /* note it, then stop it */
	WARDEN_STOP,   /* stop again what is noted */
	WARDEN_LET_GO, /* let it run and forget it */
	WARDEN_KILL,
	WARDEN_FORGET, /* the process is gone */
};

enum warden_aim warden_aim(int marker, enum warden_word word, bool held,
			   enum warden_request request);
enum warden_act warden_act(enum warden_aim aim, bool held, enum qemu_state state);
