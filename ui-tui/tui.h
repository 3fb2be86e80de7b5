/* SPDX-License-Identifier: Apache-2.0 */
/* `kith` without arguments: the place of the full-screen interface. */
#pragma once

struct cli;

/* Until the full-screen interface exists this shows status, devices and VMs once, and says so.
 * Returns the exit status. */
int tui_main(struct cli *cli);
