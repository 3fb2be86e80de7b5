/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about pairing: the owner's and kithd's. */
#include <sodium.h>
#include <string.h>

#include "policyd/core.h"
#include "policyd/dispatch.h"
#include "policyd/ops.h"
#include "policyd/pairdesk.h"

static uint64_t connection_of(void *ctx)
{
	return ((struct caller *)ctx)->connection;
}

OP_HANDLER(op_pair_open)
{
	struct core *core = core_of(ctx);
	char recovery[VAULT_RECOVERY_TEXT];
	uint8_t role = rbuf_u8(r), replace;
	struct pairdesk_window window = {.seconds = rbuf_u32(r), .connection = connection_of(ctx)};
	int ret;

	(void)msg;
	replace = rbuf_u8(r);
	ret = op_request_end(r, err);
	if (ret == 0 && (role >= _PERSON_ROLE_MAX || replace > 1))
		ret = kerr_set(err, EINVAL, KCODE_USAGE, "There is no such window.");
	window.role = (enum person_role)role;
	window.replace = replace == 1;
	if (ret == 0)
		ret = pairdesk_open(core->pairdesk, &window, err);
	if (ret < 0)
		return ret;
	/* A device that is to join needs keys first. Its recovery key is shown when it has joined,
	 * so that of an earlier pairing, which came to nothing, was never shown: a new one (A7). */
	ret = core_ensure_device(core, recovery, err);
	if (ret == 0)
		ret = core_require_tpm(core, err);
	if (ret == 0 && !recovery[0] && !core->id.cloud)
		ret = vault_recovery_add(core->state_fd, &core->keys, recovery, err);
	if (ret == 0)
		wbuf_string(w, recovery);
	else
		pairdesk_close(core->pairdesk, window.connection);
	sodium_memzero(recovery, sizeof(recovery));
	return ret < 0 ? ret : wbuf_error(w);
}

OP_HANDLER(op_pair_close)
{
	int ret = op_request_end(r, err);

	(void)msg;
	(void)w;
	if (ret == 0)
		pairdesk_close(core_of(ctx)->pairdesk, connection_of(ctx));
	return ret;
}

OP_HANDLER(op_pair_status)
{
	struct policyd_pair_status st;
	int ret = op_request_end(r, err);

	(void)msg;
	if (ret < 0)
		return ret;
	pairdesk_status(core_of(ctx)->pairdesk, &st);
	policyd_pair_status_put(w, &st);
	return wbuf_error(w);
}

OP_HANDLER(op_pair_confirm)
{
	uint8_t hash[HASH_LEN], same;
	int ret;

	(void)msg;
	(void)w;
	rbuf_bytes(r, hash, sizeof(hash));
	same = rbuf_u8(r);
	ret = op_request_end(r, err);
	if (ret == 0 && same > 1)
		ret = kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
			       "The answer is neither yes nor no.");
	return ret < 0 ? ret : pairdesk_confirm(core_of(ctx)->pairdesk, hash, same == 1, err);
}

OP_HANDLER(op_pair_start)
{
	struct core *core = core_of(ctx);
	struct wbuf blob = op_conversation_room();
	uint8_t initiator = rbuf_u8(r), exporter[EXPORTER_LEN];
	int ret;

	(void)msg;
	rbuf_bytes(r, exporter, sizeof(exporter));
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_require_device(core, err);
	if (ret == 0)
		ret = core_require_tpm(core, err);
	if (ret < 0)
		return ret;
	pairdesk_set_carrier(core->pairdesk, connection_of(ctx));
	return op_conversation_reply(
		w, pairdesk_start(core->pairdesk, initiator == 1, exporter, &blob, err), &blob,
		err);
}

OP_HANDLER(op_pair_step)
{
	struct wbuf blob = op_conversation_room();
	size_t len;
	const uint8_t *data = rbuf_blob(r, ATTEST_BLOB_MAX, &len);
	int ret = op_request_end(r, err);

	(void)msg;
	if (ret < 0)
		return ret;
	return op_conversation_reply(
		w, pairdesk_step(core_of(ctx)->pairdesk, data, len, &blob, err), &blob, err);
}

OP_HANDLER(op_pair_poll)
{
	struct wbuf blob = op_conversation_room();
	int ret = op_request_end(r, err);

	(void)msg;
	if (ret < 0)
		return ret;
	return op_conversation_reply(w, pairdesk_poll(core_of(ctx)->pairdesk, &blob, err), &blob,
				     err);
}

OP_HANDLER(op_pair_end)
{
	int ret = op_request_end(r, err);

	(void)msg;
	(void)w;
	if (ret == 0)
		pairdesk_end(core_of(ctx)->pairdesk);
	return ret;
}
