/* SPDX-License-Identifier: Apache-2.0 */
/* `kith` on a terminal, without a command: the full screen. */
#pragma once

#include "ui-tui/cli.h"

/* Until the person leaves. Returns the exit status; negative with *err where the terminal cannot
 * show it, and then nothing was shown. */
int screen_run(struct cli *cli, bool read_only, struct kerr *err);
