/* SPDX-License-Identifier: Apache-2.0 */
/* What a shell may complete: the words behind `kith __complete` are those behind `kith` so far, of
 * which the last is being typed (may be ""). One candidate a line, a tab, and what it is; nothing
 * else, and nothing where kithd does not answer at once. A first line "\tfiles" says that a file
 * may stand there. */
#pragma once

#define COMPLETE_COMMAND "__complete"

struct cli;

/* Returns the exit status: always 0, as a shell has nobody to tell of a failure. */
int complete_main(struct cli *cli, int argc, char **argv);
