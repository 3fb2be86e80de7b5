/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the log piece by piece. */
#include "ui-tui/audit.h"

#include "policyd/api/client.h"

#define BATCH 64

int audit_each(struct cli *cli, uint64_t *next,
	       void (*take)(void *ctx, const struct policyd_audit *a), void *ctx, struct kerr *err)
{
	struct ipc_client *policyd;
	int r = cli_policyd(cli, &policyd, err);

	while (r == 0) {
		_cleanup_free_ struct policyd_audit *records = NULL;
		size_t n = 0;

		r = policyd_client_audit_read(policyd, *next, BATCH, &records, &n, err);
		if (r < 0 || !n)
			break;
		for (size_t i = 0; i < n; i++)
			take(ctx, &records[i]);
		*next = records[n - 1].seq + 1;
	}
	return r;
}
