/* SPDX-License-Identifier: Apache-2.0 */
/* `kith` without arguments. */
#pragma once

struct cli;

/* The full screen until it is left; where there is no terminal, status, devices and VMs once.
 * Returns the exit status. */
int tui_main(struct cli *cli);
