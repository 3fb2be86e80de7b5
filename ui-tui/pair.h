/* SPDX-License-Identifier: Apache-2.0 */
/* `kith pair`: the window, the code on both screens, the answer. */
#pragma once

#include "ui-tui/cli.h"

/* pair [DEVICE [replace]] [as family|guest|admin] */
int pair_command(struct cli *cli, int argc, char **argv, struct kerr *err);
