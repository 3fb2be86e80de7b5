/* SPDX-License-Identifier: Apache-2.0 */
/* Which marker (policyd/api/proto.h) a VM has, and how it gets to its place. */
#pragma once

#include "policyd/custody.h"

/* What the marker of a known VM says. */
enum custody_marker custody_marker_state(const struct custody_view *view);

/* Writes (atomically, 0644) or, for a VM that is not known, removes the marker in the directory.
 * A marker that forbids goes out before the record is committed, one that allows after it; the
 * store does both (store_custody_step()). 0 or negative errno. */
int custody_marker_write(int dirfd, const struct custody_view *view);
