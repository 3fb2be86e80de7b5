/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of the op table, by the file that holds them. Each has the shape that base/ipc.h
 * describes; `ctx` is the struct caller. */
#pragma once

#include "attest/wire.h"
#include "base/ipc.h"

#define OP_HANDLER(name) \
	int name(void *ctx, struct ipc_msg *msg, struct rbuf *r, struct wbuf *w, struct kerr *err)

/* op-cloud.c: this device, its owner, its peers */
OP_HANDLER(op_status);
OP_HANDLER(op_init);
OP_HANDLER(op_unlock);
OP_HANDLER(op_recovery_renew);
OP_HANDLER(op_recovery_shown);
OP_HANDLER(op_peers);
OP_HANDLER(op_trust_show);
OP_HANDLER(op_trust_accept);
OP_HANDLER(op_peer_forget);
OP_HANDLER(op_peer_receive);
OP_HANDLER(op_tls_leaf);

/* op-pair.c */
OP_HANDLER(op_pair_open);
OP_HANDLER(op_pair_close);
OP_HANDLER(op_pair_status);
OP_HANDLER(op_pair_confirm);
OP_HANDLER(op_pair_start);
OP_HANDLER(op_pair_step);
OP_HANDLER(op_pair_poll);
OP_HANDLER(op_pair_end);

/* op-vm.c: policies, lists, audit */
OP_HANDLER(op_policy_set);
OP_HANDLER(op_policy_get);
OP_HANDLER(op_vms);
OP_HANDLER(op_claim);
OP_HANDLER(op_audit_read);

/* op-handoff.c */
OP_HANDLER(op_plan);
OP_HANDLER(op_move_request);
OP_HANDLER(op_abort_request);
OP_HANDLER(op_session_start);
OP_HANDLER(op_session_step);
OP_HANDLER(op_session_end);
OP_HANDLER(op_grant_take);
OP_HANDLER(op_journal);
OP_HANDLER(op_open_list);
OP_HANDLER(op_abort_allowed);
OP_HANDLER(op_requote);
OP_HANDLER(op_custody_check);
OP_HANDLER(op_custody_step);
OP_HANDLER(op_fence);
OP_HANDLER(op_ward);
OP_HANDLER(op_alarm);
OP_HANDLER(op_custody_accept);
OP_HANDLER(op_custody_outbox);
OP_HANDLER(op_custody_inbox);

/* Ends the reading of a request: 0, or -EBADMSG with *err. */
int op_request_end(struct rbuf *r, struct kerr *err);

/* Room for the blob of one conversation reply; used again by the next request. */
struct wbuf op_conversation_room(void);

/* Appends a conversation reply: state, error, blob. A refusal is an answer of the conversation, not
 * a failed request, because kithd has to carry it: *err is put into the reply and cleared. */
int op_conversation_reply(struct wbuf *w, enum attest_state state, const struct wbuf *blob,
			  struct kerr *err);
