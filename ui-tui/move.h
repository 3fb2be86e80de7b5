/* SPDX-License-Identifier: Apache-2.0 */
/* What goes around one move: all of a device, one after another, and discs in drives. */
#pragma once

#include "ui-tui/cli.h"
#include "ui-tui/model/outlook.h"

/* Asks for one move, and follows it to its end. */
typedef int (*move_fn)(struct cli *cli, const struct target *t, struct kerr *err);

/* Every VM that is here and in Kith's care, by `one`; one that is refused does not keep the others.
 * The exit status is that of the first refusal. */
int move_all(struct cli *cli, const char *device, enum move_rung rung, move_fn one,
	     struct kerr *err);

/* Ejects what is in the drives of the VM, after a yes, if the policy would let it move at all. */
int move_eject(struct cli *cli, const struct target *t, struct kerr *err);
