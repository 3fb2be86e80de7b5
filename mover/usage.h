/* SPDX-License-Identifier: Apache-2.0 */
/* Does anything that libvirt has on this host need a file? */
#pragma once

#include "mover/virt.h"

/* 0 if nothing does: no domain (defined, running, or in a snapshot) names it, by this path or by
 * another one of the same file, and no image stands on it. -EBUSY with a sentence that says who
 * does, or what could not be looked at. Blocks. */
int usage_check(struct virt *v, const char *path, struct kerr *err);
