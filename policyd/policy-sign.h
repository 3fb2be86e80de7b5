/* SPDX-License-Identifier: Apache-2.0 */
/* Who may sign the policy of a VM: its owner's key, or a device that this key says is the owner's
 * own. So a policy can be given on whichever of his devices the VM is. */
#pragma once

#include "policyd/core.h"
#include "policyd/store.h"

/* Signs *p as this device's owner: by his key where it is kept, else by the device's own, with its
 * record as the proof. `not-ready` where it has lost its record. */
int policy_sign(struct core *core, struct store_policy *p, struct kerr *err);

/* 0 if p->owner_pk stands behind the signature; else `policy` with a sentence. A device that was
 * forgotten here speaks for nobody, whatever it signed when. */
int policy_signed(struct core *core, const struct store_policy *p, struct kerr *err);
