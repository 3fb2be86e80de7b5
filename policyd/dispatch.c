/* SPDX-License-Identifier: Apache-2.0 */
/* The op table: what kith-policyd does, for whom, and how much it reads to do it. */
#include "policyd/dispatch.h"

#include <sodium.h>
#include <string.h>

#include "base/log.h"
#include "policyd/core.h"
#include "policyd/ops.h"
#include "policyd/server.h"

#define SMALL 256

static const struct ipc_op table[] = {
	{POLICYD_OP_STATUS, "status", WHO_ANYONE, 0, false, op_status},

	{POLICYD_OP_INIT, "init", WHO_OWNER, SMALL, false, op_init},
	{POLICYD_OP_UNLOCK, "unlock", WHO_OWNER, SMALL, false, op_unlock},
	{POLICYD_OP_PAIR_OPEN, "pair-open", WHO_OWNER, SMALL, false, op_pair_open},
	{POLICYD_OP_PAIR_CLOSE, "pair-close", WHO_OWNER, 0, false, op_pair_close},
	{POLICYD_OP_PAIR_STATUS, "pair-status", WHO_OWNER | WHO_AGENT, 0, false, op_pair_status},
	{POLICYD_OP_PAIR_CONFIRM, "pair-confirm", WHO_OWNER, SMALL, false, op_pair_confirm},
	{POLICYD_OP_PEERS, "peers", WHO_OWNER | WHO_AGENT, 0, false, op_peers},
	{POLICYD_OP_TRUST_SHOW, "trust-show", WHO_OWNER, SMALL, false, op_trust_show},
	{POLICYD_OP_TRUST_ACCEPT, "trust-accept", WHO_OWNER, SMALL, false, op_trust_accept},
	{POLICYD_OP_PEER_FORGET, "peer-forget", WHO_OWNER, SMALL, false, op_peer_forget},
	{POLICYD_OP_POLICY_SET, "policy-set", WHO_OWNER, IPC_MAX_BODY, false, op_policy_set},
	{POLICYD_OP_POLICY_GET, "policy-get", WHO_OWNER, SMALL, false, op_policy_get},
	{POLICYD_OP_PLAN, "plan", WHO_OWNER, SMALL, false, op_plan},
	{POLICYD_OP_MOVE_REQUEST, "move-request", WHO_OWNER, SMALL, false, op_move_request},
	{POLICYD_OP_ABORT_REQUEST, "abort-request", WHO_OWNER, SMALL, false, op_abort_request},
	{POLICYD_OP_AUDIT_READ, "audit-read", WHO_OWNER, SMALL, false, op_audit_read},
	{POLICYD_OP_VMS, "vms", WHO_OWNER | WHO_AGENT | WHO_MOVER, 0, false, op_vms},
	{POLICYD_OP_CLAIM, "claim", WHO_OWNER, SMALL, false, op_claim},
	{POLICYD_OP_RECOVERY_RENEW, "recovery-renew", WHO_OWNER, 0, false, op_recovery_renew},
	{POLICYD_OP_RECOVERY_SHOWN, "recovery-shown", WHO_OWNER, 0, false, op_recovery_shown},
	{POLICYD_OP_PEER_RECEIVE, "peer-receive", WHO_OWNER, SMALL, false, op_peer_receive},

	{POLICYD_OP_TLS_LEAF, "tls-leaf", WHO_AGENT, 1024, false, op_tls_leaf},
	{POLICYD_OP_PAIR_START, "pair-start", WHO_AGENT, SMALL, false, op_pair_start},
	{POLICYD_OP_PAIR_STEP, "pair-step", WHO_AGENT, IPC_MAX_BODY, false, op_pair_step},
	{POLICYD_OP_PAIR_POLL, "pair-poll", WHO_AGENT, 0, false, op_pair_poll},
	{POLICYD_OP_PAIR_END, "pair-end", WHO_AGENT, 0, false, op_pair_end},
	{POLICYD_OP_SESSION_START, "session-start", WHO_AGENT, SMALL, false, op_session_start},
	{POLICYD_OP_SESSION_STEP, "session-step", WHO_AGENT, IPC_MAX_BODY, false, op_session_step},
	{POLICYD_OP_SESSION_END, "session-end", WHO_AGENT, 1024, false, op_session_end},
	{POLICYD_OP_CUSTODY_STEP, "custody-step", WHO_AGENT, 1024, false, op_custody_step},
	{POLICYD_OP_CUSTODY_OUTBOX, "custody-outbox", WHO_AGENT, 0, false, op_custody_outbox},

	{POLICYD_OP_GRANT_TAKE, "grant-take", WHO_MOVER, SMALL, false, op_grant_take},
	{POLICYD_OP_JOURNAL, "journal", WHO_MOVER, 1024, false, op_journal},
	{POLICYD_OP_OPEN_LIST, "open-list", WHO_MOVER, 0, false, op_open_list},
	{POLICYD_OP_ABORT_ALLOWED, "abort-allowed", WHO_MOVER, SMALL, false, op_abort_allowed},
	{POLICYD_OP_REQUOTE, "requote", WHO_MOVER, SMALL, false, op_requote},
	{POLICYD_OP_CUSTODY_INBOX, "custody-inbox", WHO_MOVER, SMALL, false, op_custody_inbox},
	{POLICYD_OP_CUSTODY_ACCEPT, "custody-accept", WHO_MOVER, 1024, false, op_custody_accept},

	{POLICYD_OP_CUSTODY_CHECK, "custody-check", WHO_ROOT, SMALL, false, op_custody_check},
	{POLICYD_OP_FENCE, "fence", WHO_ROOT, 0, false, op_fence},
	{POLICYD_OP_WARD, "ward", WHO_ROOT, 0, false, op_ward},
	{POLICYD_OP_ALARM, "alarm", WHO_ROOT, 1024, false, op_alarm},
};

int op_request_end(struct rbuf *r, struct kerr *err)
{
	if (rbuf_end(r) < 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The request is too short, too long or malformed.");
	return 0;
}

struct wbuf op_conversation_room(void)
{
	static uint8_t room[ATTEST_BLOB_MAX];

	return wbuf_init(room, sizeof(room));
}

int op_conversation_reply(struct wbuf *w, enum attest_state state, const struct wbuf *blob,
			  struct kerr *err)
{
	const struct policyd_conversation v = {.state = (enum conversation_state)state,
					       .error = *err,
					       .blob = blob->data,
					       .len = blob->len};

	policyd_conversation_put(w, &v);
	kerr_clear(err);
	return wbuf_error(w);
}

static int send_reply(int fd, const struct ipc_msg *msg, uint32_t flags, const struct wbuf *w)
{
	int r = ipc_send(fd, msg->op, IPC_FLAG_REPLY | flags, msg->serial, w->data, w->len, -1);

	/* A client that does not read its replies is of no use. */
	return r < 0 ? -ECONNRESET : 0;
}

int dispatch(struct caller *caller, int fd, struct ipc_msg *msg, uint8_t *out, size_t size)
{
	struct rbuf r = rbuf_init(msg->body, msg->len);
	struct wbuf w = wbuf_init(out, size);
	struct kerr err = {0};
	const struct ipc_op *op = ipc_op_check(table, ARRAY_SIZE(table), caller->who, msg, &err);
	int ret = op ? op->handle(caller, msg, &r, &w, &err) : -EBADMSG;

	if (ret == 0 && wbuf_error(&w) == 0) {
		ret = send_reply(fd, msg, 0, &w);
		sodium_memzero(out, w.len);
		return ret;
	}
	if (caller->core->store)
		store_rollback(caller->core->store);
	if (err.code == KCODE_OK)
		kerr_set(&err, EIO, KCODE_FAILED, "The request failed inside kith-policyd: %s.",
			 strerror(ret < 0 ? -ret : EIO));
	log_info("request", "%s of uid %u refused (%s): %s", op ? op->name : "unknown", caller->uid,
		 kcode_to_string(err.code), err.text);
	w = wbuf_init(out, size);
	kerr_put(&w, &err);
	return send_reply(fd, msg, IPC_FLAG_ERROR, &w);
}
