/* SPDX-License-Identifier: Apache-2.0 */
/* `kith` without arguments. */
#pragma once

struct cli;
struct kerr;

/* The full screen until it is left; where there is no terminal, status, devices and VMs once.
 * 0, or negative with *err. */
int tui_main(struct cli *cli, struct kerr *err);
