/* SPDX-License-Identifier: Apache-2.0 */
/* --watch: a list that is printed again when kithd says that something changed. */
#pragma once

#include "ui-tui/cli.h"

/* Prints by `print` now and after each change, until a signal ends it, --timeout does (then 0), or
 * an error. On a terminal in the same place; in JSON a document each time. `every_ms`: it also
 * looks so often, for what nobody tells; 0 = never. */
int live_run(struct cli *cli, int (*print)(struct cli *cli, struct kerr *err), int every_ms,
	     struct kerr *err);
