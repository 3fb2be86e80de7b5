/* SPDX-License-Identifier: Apache-2.0 */
/* What a restarted mover does about hand-offs that nobody works on any more. */
#pragma once

#include <stdbool.h>

#include "base/config.h"

#define RECOVER_LATER 75 /* something waits for libvirt, policyd or the other device */

/* One pass over policyd's open hand-offs and the notes of what may be left on this host. A
 * hand-off whose worker lives is left alone. `quiet`: do not repeat what is waited for.
 * Exit status: 0 = nothing is open, RECOVER_LATER = run again in a while. */
int recover_main(const struct config *config, bool quiet);
