/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a hand-off's images on this host once the VM is elsewhere, or never came. */
#pragma once

#include "mover/workplace.h"

/* Images that Kith made are removed, those that are their owner's stay; then the hand-off's own
 * note goes. -EAGAIN with *err if that has to be tried again. Blocks: for tasks. */
int images_drop(struct workplace *p, struct kerr *err);
