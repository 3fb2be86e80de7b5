/* SPDX-License-Identifier: Apache-2.0 */
/* Asking kith-warden, which holds the process of a copy that may not run (F2): a small root
 * helper that obeys policyd's markers, never the one who asks. All calls block for at most some
 * seconds: use them from a task thread. */
#pragma once

#include "base/config.h"
#include "mover/warden-wire.h"

/* All: 0, or negative errno with *err filled (`not-ready` if the warden does not answer, which
 * means that nothing may be released or voted for). */
int warden_ping(const struct config *config, struct kerr *err);
/* Stops the process of a VM that is leaving or arriving; when it returns FROZEN, no instruction of
 * the guest is executed any more until the journal says so. */
int warden_freeze(const struct config *config, const uint8_t uuid[UUID_LEN], enum warden_copy *ret,
		  struct kerr *err);
/* Applies what policyd says now: lets the copy go on where this device has custody again (ABORTED,
 * RECLAIM, OWN), ends it where policyd has the other side's ACK. */
int warden_settle(const struct config *config, const uint8_t uuid[UUID_LEN], enum warden_copy *ret,
		  struct kerr *err);
