/* SPDX-License-Identifier: Apache-2.0 */
/* The owner's requests about pairing; what is carried to the other device is in op-talk.c. */
#include "policyd/core.h"
#include "policyd/dispatch.h"
#include "policyd/pairdesk.h"

OP_HANDLER(op_pair_open)
{
	const struct policyd_window *q = request;
	struct policyd_recovery *ret = reply;
	struct core *core = caller->core;
	struct pairdesk_window window = {.role = q->role,
					 .seconds = q->seconds,
					 .replace = q->replace,
					 .connection = caller->connection};
	int r = pairdesk_open(caller->pairdesk, &window, err);

	if (r < 0)
		return r;
	/* A device that is to join needs keys first. Its recovery key is shown when it has joined,
	 * so that of an earlier pairing, which came to nothing, was never shown: a new one (A7). */
	r = core_ensure_device(core, ret->key, err);
	if (r == 0)
		r = core_require_tpm(core, err);
	if (r == 0 && !ret->key[0] && !core->id.cloud)
		r = vault_recovery_add(core->state_fd, &core->keys, ret->key, err);
	if (r < 0)
		pairdesk_close(caller->pairdesk, window.connection);
	return r;
}

OP_HANDLER(op_pair_close)
{
	pairdesk_close(caller->pairdesk, caller->connection);
	return 0;
}

OP_HANDLER(op_pair_status)
{
	pairdesk_status(caller->pairdesk, reply);
	return 0;
}

OP_HANDLER(op_pair_confirm)
{
	const struct policyd_yes *q = request;

	return pairdesk_confirm(caller->pairdesk, q->hash, q->same, err);
}
