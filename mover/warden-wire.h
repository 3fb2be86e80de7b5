/* SPDX-License-Identifier: Apache-2.0 */
/* What kith-mover and kith-warden say to each other. Wire forms as base/code.h has them. */
#pragma once

#include "base/code.h"

#define WARDEN_SOCKET "warden/warden.sock" /* below the run directory */

enum warden_op {
	WARDEN_OP_PING = 1, /* () -> () */
	WARDEN_OP_FREEZE,   /* warden_vm -> warden_answer : refused unless a hand-off is open */
	WARDEN_OP_SETTLE,   /* warden_vm -> warden_answer : do now what the markers say */
};

/* How the copy's process stands after the call. */
enum warden_copy {
	WARDEN_COPY_GONE,   /* no QEMU of this VM */
	WARDEN_COPY_FROZEN, /* stopped by the warden, and watched */
	WARDEN_COPY_FREE,   /* not held */
	_WARDEN_COPY_MAX,
};

struct warden_vm {
	uint8_t uuid[UUID_LEN];
};

struct warden_answer {
	enum warden_copy copy;
};

DECLARE_RECORD(warden_vm);
DECLARE_RECORD(warden_answer);
