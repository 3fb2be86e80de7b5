/* SPDX-License-Identifier: Apache-2.0 */
/* The records of what was done and refused, as kith-policyd has them. */
#pragma once

#include "ui-tui/cli.h"

/* Gives `take` each record from number *next to the newest; *next is then that of the first one
 * that was not read. Negative with *err where policyd does not answer or refuses. */
int audit_each(struct cli *cli, uint64_t *next,
	       void (*take)(void *ctx, const struct policyd_audit *a), void *ctx, struct kerr *err);
