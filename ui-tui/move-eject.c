/* SPDX-License-Identifier: Apache-2.0 */
/* Discs in the drives of a VM that shall move: they would stay here, so it leaves without them. */
#include <string.h>

#include "base/buf.h"
#include "mover/disks-client.h"
#include "policyd/api/client.h"
#include "ui-tui/move.h"

/* A disc that is ejected for a move which was never allowed would be ejected for nothing. */
static int check_allowed(struct cli *cli, const struct target *t, struct kerr *err)
{
	struct policyd_plan plan;
	int r = policyd_client_plan(cli->policyd, t->uuid, t->device, &plan, err);

	if (r == 0 && !plan.allowed)
		return kerr_set(err, EACCES, plan.reason.code, "%s", plan.reason.text);
	return r;
}

/* All of them in one question. */
static int ask(const struct cli *cli, const struct target *t, const struct disks_disc *discs,
	       size_t n, struct kerr *err)
{
	char question[2048];
	struct wbuf w = wbuf_init(question, sizeof(question) - 256);

	for (size_t i = 0; i < n; i++) {
		char line[DISKS_PATH_MAX + 64];
		int len = snprintf(line, sizeof(line), "%s%.200s from drive %s", i ? ", " : "",
				   discs[i].what, discs[i].target);

		wbuf_bytes(&w, line, (size_t)len);
	}
	snprintf(question + w.len, sizeof(question) - w.len,
		 " of \"%s\": eject, also for its next start? It is not copied. [y/N] ", t->vm);
	return cli_confirm(cli, question, err);
}

static int eject_all(struct cli *cli, struct ipc_client *mover, const struct target *t,
		     struct disks_disc *discs, size_t n, struct kerr *err)
{
	int r = n ? ask(cli, t, discs, n, err) : 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		memcpy(discs[i].uuid, t->uuid, UUID_LEN);
		r = disks_client_eject(mover, &discs[i], err);
		if (r == 0 && !cli->json)
			printf("Ejected %s from drive %s.\n", discs[i].what, discs[i].target);
	}
	return r;
}

int move_eject(struct cli *cli, const struct target *t, struct kerr *err)
{
	_cleanup_free_ struct disks_disc *discs = NULL;
	struct ipc_client *mover = NULL;
	size_t n = 0;
	int r = check_allowed(cli, t, err);

	if (r == 0)
		r = cli_mover(cli, &mover, err);
	if (r < 0)
		return r;
	r = cli_mover_refused(disks_client_discs(mover, t->uuid, &discs, &n, err), err);
	if (r == 0)
		r = eject_all(cli, mover, t, discs, n, err);
	ipc_client_free(mover);
	return r;
}
