/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of one hand-off, from a person's wish to the last custody record. */
#include <sodium.h>
#include <string.h>

#include "policyd/core.h"
#include "policyd/dispatch.h"
#include "policyd/handoff.h"
#include "policyd/ops.h"

static int get_vm_and_device(struct core *core, struct rbuf *r, uint8_t uuid[UUID_LEN],
			     uint8_t device[DEVICE_ID_LEN], struct kerr *err)
{
	int ret;

	rbuf_bytes(r, uuid, UUID_LEN);
	rbuf_bytes(r, device, DEVICE_ID_LEN);
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_require_ready(core, err);
	return ret < 0 ? ret : core_require_tpm(core, err);
}

/* A5: a move asks for new evidence, so the last one decides nothing; but who is told "allowed" of a
 * device that is known to be changed learns the truth only when it is refused. */
static void count_known_evidence(struct core *core, const uint8_t device[DEVICE_ID_LEN],
				 struct policyd_plan *plan)
{
	struct store_peer peer;

	if (!plan->allowed || plan->verdict != VERDICT_UNTRUSTED ||
	    store_peer_get(core->store, device, &peer, NULL) < 0)
		return;
	plan->allowed = 0;
	kerr_set(&plan->reason, EACCES,
		 peer.reason.code == KCODE_OK ? KCODE_ATTEST_PCR : peer.reason.code,
		 "The policy allows it, but \"%s\" was untrusted when it last proved itself. %s",
		 peer.name, peer.reason.text);
}

OP_HANDLER(op_plan)
{
	struct core *core = core_of(ctx);
	uint8_t uuid[UUID_LEN], device[DEVICE_ID_LEN];
	struct policyd_plan plan;
	int ret = get_vm_and_device(core, r, uuid, device, err);

	(void)msg;
	if (ret < 0)
		return ret;
	handoff_plan(core, PERSON_ROLE_OWNER, uuid, device, &plan, err);
	kerr_clear(err); /* a refusal is what the plan says, not a failed request */
	count_known_evidence(core, device, &plan);
	policyd_plan_put(w, &plan);
	return wbuf_error(w);
}

OP_HANDLER(op_move_request)
{
	struct core *core = core_of(ctx);
	uint8_t uuid[UUID_LEN], device[DEVICE_ID_LEN], hid[HID_LEN];
	int ret = get_vm_and_device(core, r, uuid, device, err);

	(void)msg;
	if (ret == 0)
		ret = handoff_request(core, PERSON_ROLE_OWNER, uuid, device, hid, err);
	if (ret == 0)
		wbuf_bytes(w, hid, sizeof(hid));
	return ret;
}

static int get_hid(struct core *core, struct rbuf *r, uint8_t hid[HID_LEN], struct kerr *err)
{
	int ret;

	rbuf_bytes(r, hid, HID_LEN);
	ret = op_request_end(r, err);
	return ret < 0 ? ret : core_require_ready(core, err);
}

OP_HANDLER(op_abort_request)
{
	struct core *core = core_of(ctx);
	uint8_t hid[HID_LEN];
	int ret = get_hid(core, r, hid, err);

	(void)msg;
	(void)w;
	return ret < 0 ? ret : handoff_abort_request(core, PERSON_ROLE_OWNER, hid, err);
}

OP_HANDLER(op_abort_allowed)
{
	struct core *core = core_of(ctx);
	uint8_t hid[HID_LEN];
	int ret = get_hid(core, r, hid, err);

	(void)msg;
	(void)w;
	return ret < 0 ? ret : handoff_abort_allowed(core, hid, err);
}

OP_HANDLER(op_requote)
{
	struct core *core = core_of(ctx);
	uint8_t hid[HID_LEN];
	int ret = get_hid(core, r, hid, err);

	(void)msg;
	(void)w;
	return ret < 0 ? ret : handoff_requote(core, hid, err);
}

OP_HANDLER(op_session_start)
{
	struct core *core = core_of(ctx);
	struct wbuf blob = op_conversation_room();
	uint8_t hid[HID_LEN], exporter[EXPORTER_LEN];
	int ret;

	(void)msg;
	rbuf_bytes(r, hid, sizeof(hid));
	rbuf_bytes(r, exporter, sizeof(exporter));
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_require_ready(core, err);
	if (ret == 0)
		ret = core_require_tpm(core, err);
	if (ret < 0)
		return ret;
	return op_conversation_reply(w, handoff_session_start(core, hid, exporter, &blob, err),
				     &blob, err);
}

OP_HANDLER(op_session_step)
{
	struct core *core = core_of(ctx);
	struct wbuf blob = op_conversation_room();
	uint8_t hid[HID_LEN], peer[DEVICE_ID_LEN], exporter[EXPORTER_LEN];
	const uint8_t *data;
	size_t len;
	int ret;

	(void)msg;
	rbuf_bytes(r, hid, sizeof(hid));
	rbuf_bytes(r, peer, sizeof(peer));
	rbuf_bytes(r, exporter, sizeof(exporter));
	data = rbuf_blob(r, ATTEST_BLOB_MAX, &len);
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_require_ready(core, err);
	if (ret == 0)
		ret = core_require_tpm(core, err);
	if (ret < 0)
		return ret;
	return op_conversation_reply(
		w, handoff_session_step(core, hid, peer, exporter, data, len, &blob, err), &blob,
		err);
}

OP_HANDLER(op_session_end)
{
	struct core *core = core_of(ctx);
	uint8_t hid[HID_LEN], exporter[EXPORTER_LEN];
	struct kerr why;
	int ret;

	(void)msg;
	(void)w;
	rbuf_bytes(r, hid, sizeof(hid));
	rbuf_bytes(r, exporter, sizeof(exporter));
	if (kerr_get(r, &why) < 0)
		rbuf_fail(r, -EBADMSG);
	ret = op_request_end(r, err);
	if (ret == 0)
		handoff_session_end(core, hid, exporter);
	return ret;
}

OP_HANDLER(op_grant_take)
{
	struct core *core = core_of(ctx);
	struct policyd_grant grant;
	uint8_t hid[HID_LEN], source;
	int ret;

	(void)msg;
	rbuf_bytes(r, hid, sizeof(hid));
	source = rbuf_u8(r);
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_require_ready(core, err);
	if (ret == 0)
		ret = handoff_grant_take(core, hid, source == 1, ((struct caller *)ctx)->connection,
					 &grant, err);
	if (ret < 0)
		return ret;
	policyd_grant_put(w, &grant);
	sodium_memzero(&grant, sizeof(grant));
	return wbuf_error(w);
}

OP_HANDLER(op_journal)
{
	struct caller *caller = ctx;
	struct handoff_entry entry = {.worker = caller->connection};
	uint8_t hid[HID_LEN], record, copy_gone;
	int ret;

	(void)msg;
	rbuf_bytes(r, hid, sizeof(hid));
	record = rbuf_u8(r);
	entry.proof = rbuf_blob(r, JOURNAL_PROOF_MAX, &entry.proof_len);
	copy_gone = rbuf_u8(r);
	ret = op_request_end(r, err);
	if (ret == 0 && (record >= _CUSTODY_RECORD_MAX || copy_gone > 1))
		ret = kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "There is no such custody record.");
	if (ret == 0)
		ret = core_require_ready(caller->core, err);
	entry.hid = hid;
	entry.record = (enum custody_record)record;
	entry.copy_gone = copy_gone == 1;
	return ret < 0 ? ret : handoff_journal(caller->core, &entry, w, err);
}

OP_HANDLER(op_open_list)
{
	struct core *core = core_of(ctx);
	_cleanup_free_ struct custody_view *views = NULL;
	size_t n = 0, open = 0;
	int ret = op_request_end(r, err);

	(void)msg;
	if (ret == 0 && core->store)
		ret = store_custody_list(core->store, &views, &n, err);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < n; i++)
		open += views[i].handoff;
	wbuf_u16(w, (uint16_t)open);
	for (size_t i = 0; i < n; i++) {
		struct policyd_open o;

		if (!views[i].handoff)
			continue;
		custody_to_open(&views[i], &o);
		policyd_open_put(w, &o);
	}
	return wbuf_error(w);
}

OP_HANDLER(op_custody_check)
{
	uint8_t uuid[UUID_LEN], use;
	int ret;

	(void)msg;
	(void)w;
	rbuf_bytes(r, uuid, sizeof(uuid));
	use = rbuf_u8(r);
	ret = op_request_end(r, err);
	if (ret == 0 && use >= _CUSTODY_USE_MAX)
		ret = kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "There is no such use of a VM.");
	if (ret < 0)
		return ret;
	return handoff_custody_check(core_of(ctx), uuid, (enum custody_use)use, err);
}

OP_HANDLER(op_custody_step)
{
	struct core *core = core_of(ctx);
	uint8_t peer[DEVICE_ID_LEN];
	const uint8_t *data;
	size_t len;
	int ret;

	(void)msg;
	rbuf_bytes(r, peer, sizeof(peer));
	data = rbuf_blob(r, JOURNAL_PROOF_MAX, &len);
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_require_ready(core, err);
	return ret < 0 ? ret : handoff_custody_step(core, peer, data, len, w, err);
}

OP_HANDLER(op_custody_outbox)
{
	struct core *core = core_of(ctx);
	int ret = op_request_end(r, err);

	(void)msg;
	if (ret == 0)
		ret = core_require_ready(core, err);
	return ret < 0 ? ret : handoff_custody_outbox(core, w, err);
}

OP_HANDLER(op_custody_inbox)
{
	struct core *core = core_of(ctx);
	uint8_t hid[HID_LEN];
	int ret = get_hid(core, r, hid, err);

	(void)msg;
	return ret < 0 ? ret : handoff_custody_inbox(core, hid, w, err);
}

OP_HANDLER(op_custody_accept)
{
	struct core *core = core_of(ctx);
	uint8_t hid[HID_LEN];
	const uint8_t *data;
	size_t len;
	int ret;

	(void)msg;
	(void)w;
	rbuf_bytes(r, hid, sizeof(hid));
	data = rbuf_blob(r, JOURNAL_PROOF_MAX, &len);
	ret = op_request_end(r, err);
	if (ret == 0)
		ret = core_require_ready(core, err);
	return ret < 0 ? ret : handoff_custody_accept(core, hid, data, len, err);
}

/* Without a store nothing was ever handed off; locked, the one who asks has to go by the markers.
 */
static int bound_list(struct core *core, struct rbuf *r, struct wbuf *w, struct kerr *err)
{
	int ret = op_request_end(r, err);

	if (ret == 0 && core->state == POLICYD_STATE_NO_CLOUD) {
		wbuf_u16(w, 0);
		return 0;
	}
	if (ret == 0)
		ret = core_require_ready(core, err);
	return ret < 0 ? ret : handoff_bound_list(core, w, err);
}

OP_HANDLER(op_fence)
{
	struct core *core = core_of(ctx);

	(void)msg;
	handoff_end_workers(core);
	return bound_list(core, r, w, err);
}

OP_HANDLER(op_ward)
{
	(void)msg;
	return bound_list(core_of(ctx), r, w, err);
}

OP_HANDLER(op_alarm)
{
	char text[KERR_TEXT_MAX];
	uint8_t uuid[UUID_LEN];
	int ret;

	(void)msg;
	(void)w;
	rbuf_bytes(r, uuid, sizeof(uuid));
	rbuf_string(r, text, sizeof(text));
	ret = op_request_end(r, err);
	if (ret == 0 && (!text[0] || !text_is_clean(text)))
		ret = kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "An alarm has a plain sentence.");
	return ret < 0 ? ret : handoff_alarm(core_of(ctx), uuid, text, err);
}
