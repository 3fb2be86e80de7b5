/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about pairing: the owner's and kithd's. */
#include <sodium.h>
#include <string.h>

#include "policyd/core.h"
#include "policyd/dispatch.h"
#include "policyd/ops.h"
#include "policyd/pairdesk.h"

OP_HANDLER(op_pair_open)
{
	struct core *core = core_of(ctx);
	char recovery[VAULT_RECOVERY_TEXT];
	uint8_t role = rbuf_u8(r);
	uint32_t seconds = rbuf_u32(r);
	int ret = op_request_end(r, err);

	(void)msg;
	if (ret == 0 && role >= _PERSON_ROLE_MAX)
		ret = kerr_set(err, EINVAL, KCODE_USAGE, "There is no such role of a person.");
	/* A device that is to join needs keys first; its recovery key is shown now or never. */
	if (ret == 0)
		ret = core_ensure_device(core, recovery, err);
	if (ret == 0)
		ret = core_require_tpm(core, err);
	if (ret == 0)
		ret = pairdesk_open(core->pairdesk, (enum person_role)role, seconds, err);
	if (ret < 0)
		return ret;
	wbuf_string(w, recovery);
	sodium_memzero(recovery, sizeof(recovery));
	return wbuf_error(w);
}

OP_HANDLER(op_pair_close)
{
	int ret = op_request_end(r, err);

	(void)msg;
	(void)w;
	if (ret == 0)
		pairdesk_close(core_of(ctx)->pairdesk);
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
	uint8_t same = rbuf_u8(r);
	int ret = op_request_end(r, err);

	(void)msg;
	(void)w;
	if (ret == 0 && same > 1)
		ret = kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
			       "The answer is neither yes nor no.");
	return ret < 0 ? ret : pairdesk_confirm(core_of(ctx)->pairdesk, same == 1, err);
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
