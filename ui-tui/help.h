/* SPDX-License-Identifier: Apache-2.0 */
/* `kith help`, and --help of a command. */
#pragma once

struct cli;
struct kerr;

/* Without words all commands; else the one that they name, or its forms; "exit": what the exit
 * statuses and codes mean. USAGE if there is no such command. */
int help_print(const struct cli *cli, int count, char *const words[], struct kerr *err);
