/* SPDX-License-Identifier: Apache-2.0 */
/* Every request that kith-policyd answers, one row each: what its server checks and calls, what its
 * clients write and read, and what docs/requests.md prints. Numbers are the wire's: append only.
 *
 *   R(OP, number, name, who, needs, max, request, reply, ONE|LIST, handler)
 *
 * who:      kinds of callers (policyd/server.h), joined by |
 * needs:    what has to be there first (policyd/dispatch.h)
 * max:      bytes of the request
 * request:  struct policyd_<request> of policyd/api/proto.h
 * reply:    struct policyd_<reply>, or a list of them */
#pragma once

#define POLICYD_SMALL 256
#define POLICYD_MEDIUM 1024

#define POLICYD_REQUESTS(R)                                                                        \
	/* What everyone on this device may know. */                                               \
	R(STATUS, 1, "status", WHO_ANYONE, NEEDS_NOTHING, 0, nothing, status, ONE, op_status)      \
                                                                                                   \
	/* -- people (the peer uid maps to a principal) -- */                                      \
	/* Makes the cloud; shows its first recovery key. */                                       \
	R(INIT, 16, "init", WHO_OWNER, NEEDS_NOTHING, POLICYD_SMALL, person, recovery, ONE,        \
	  op_init)                                                                                 \
	/* True: another attestation key, so pair again. */                                        \
	R(UNLOCK, 17, "unlock", WHO_OWNER, NEEDS_NOTHING, POLICYD_SMALL, recovery, flag, ONE,      \
	  op_unlock)                                                                               \
	/* Open while the connection is; the recovery key of a device that is to join, or "". */   \
	R(PAIR_OPEN, 18, "pair-open", WHO_OWNER, NEEDS_NOTHING, POLICYD_SMALL, window, recovery,   \
	  ONE, op_pair_open)                                                                       \
	R(PAIR_CLOSE, 19, "pair-close", WHO_OWNER, NEEDS_NOTHING, 0, nothing, nothing, ONE,        \
	  op_pair_close)                                                                           \
	R(PAIR_STATUS, 20, "pair-status", WHO_OWNER | WHO_AGENT, NEEDS_NOTHING, 0, nothing,        \
	  pair_status, ONE, op_pair_status)                                                        \
	/* Is it the code that was shown? */                                                       \
	R(PAIR_CONFIRM, 21, "pair-confirm", WHO_OWNER, NEEDS_NOTHING, POLICYD_SMALL, yes, nothing, \
	  ONE, op_pair_confirm)                                                                    \
	R(PEERS, 22, "peers", WHO_OWNER | WHO_AGENT, NEEDS_NOTHING, 0, nothing, peer, LIST,        \
	  op_peers)                                                                                \
	R(TRUST_SHOW, 23, "trust-show", WHO_OWNER, NEEDS_DEVICE, POLICYD_SMALL, device, trust,     \
	  ONE, op_trust_show)                                                                      \
	/* What was shown is the reference from now on. */                                         \
	R(TRUST_ACCEPT, 24, "trust-accept", WHO_OWNER, NEEDS_DEVICE, POLICYD_SMALL, accept,        \
	  nothing, ONE, op_trust_accept)                                                           \
	R(PEER_FORGET, 25, "peer-forget", WHO_OWNER, NEEDS_DEVICE, POLICYD_SMALL, device, nothing, \
	  ONE, op_peer_forget)                                                                     \
	R(POLICY_SET, 26, "policy-set", WHO_OWNER, NEEDS_READY, IPC_MAX_BODY, rules, number, ONE,  \
	  op_policy_set)                                                                           \
	R(POLICY_GET, 27, "policy-get", WHO_OWNER, NEEDS_READY, POLICYD_SMALL, uuid, rules_held,   \
	  ONE, op_policy_get)                                                                      \
	/* Decides, changes nothing. */                                                            \
	R(PLAN, 28, "plan", WHO_OWNER, NEEDS_TPM, POLICYD_SMALL, target, plan, ONE, op_plan)       \
	R(MOVE_REQUEST, 29, "move-request", WHO_OWNER, NEEDS_TPM, POLICYD_SMALL, move, hid, ONE,   \
	  op_move_request)                                                                         \
	R(ABORT_REQUEST, 30, "abort-request", WHO_OWNER, NEEDS_READY, POLICYD_SMALL, hid, nothing, \
	  ONE, op_abort_request)                                                                   \
	R(AUDIT_READ, 31, "audit-read", WHO_OWNER, NEEDS_DEVICE, POLICYD_SMALL, range, audit,      \
	  LIST, op_audit_read)                                                                     \
	R(VMS, 32, "vms", WHO_OWNER | WHO_AGENT | WHO_MOVER, NEEDS_NOTHING, 0, nothing, vm, LIST,  \
	  op_vms)                                                                                  \
	/* The owner says that a VM in doubt is here; its new epoch. */                            \
	R(CLAIM, 33, "claim", WHO_OWNER, NEEDS_READY, POLICYD_SMALL, uuid, number, ONE, op_claim)  \
	/* Opens beside the earlier one... */                                                      \
	R(RECOVERY_RENEW, 35, "recovery-renew", WHO_OWNER, NEEDS_DEVICE, 0, nothing, recovery,     \
	  ONE, op_recovery_renew)                                                                  \
	/* May a device of another person send VMs here? */                                        \
	R(PEER_RECEIVE, 36, "peer-receive", WHO_OWNER, NEEDS_READY, POLICYD_SMALL, receive,        \
	  nothing, ONE, op_peer_receive)                                                           \
	/* ...until the newest was shown: then it opens alone. */                                  \
	R(RECOVERY_SHOWN, 37, "recovery-shown", WHO_OWNER, NEEDS_DEVICE, 0, nothing, nothing, ONE, \
	  op_recovery_shown)                                                                       \
	/* The owner wants to see a VM, here or on the device that has it. */                      \
	R(CONSOLE_REQUEST, 38, "console-request", WHO_OWNER, NEEDS_READY, POLICYD_SMALL,           \
	  console_wish, console_place, ONE, op_console_request)                                    \
	/* What the policy says, and by which rule; changes nothing. */                            \
	R(WHY, 39, "why", WHO_OWNER, NEEDS_READY, POLICYD_SMALL, question, plan, ONE, op_why)      \
	/* Answered when something changed since the mark that is asked with: in the state, the    \
	 * pairing window or the store. Until then nothing else may be asked on the connection. */ \
	R(CHANGES, 40, "changes", WHO_OWNER | WHO_AGENT, NEEDS_NOTHING, POLICYD_SMALL, mark, mark, \
	  ONE, op_changes)                                                                         \
	/* Both audits, once they were found whole: a changed, missing or moved record refuses. */ \
	R(AUDIT_VERIFY, 41, "audit-verify", WHO_OWNER, NEEDS_DEVICE, 0, nothing, audit_log, LIST,  \
	  op_audit_verify)                                                                         \
	/* Asks the device that has a VM to hand it over to this one; then, how that stands. */    \
	R(FETCH, 42, "fetch", WHO_OWNER, NEEDS_TPM, POLICYD_SMALL, fetch, hid, ONE, op_fetch)      \
	R(FETCH_STATUS, 43, "fetch-status", WHO_OWNER, NEEDS_READY, POLICYD_SMALL, hid, fetched,   \
	  ONE, op_fetch_status)                                                                    \
                                                                                                   \
	/* -- kithd -- */                                                                          \
	R(TLS_LEAF, 64, "tls-leaf", WHO_AGENT, NEEDS_DEVICE, POLICYD_MEDIUM, spki, leaf, ONE,      \
	  op_tls_leaf)                                                                             \
	/* Start, step, poll and end of a pairing or a session; what they need stands there. */    \
	R(CONVERSE, 65, "converse", WHO_AGENT, NEEDS_NOTHING, IPC_MAX_BODY, talk, conversation,    \
	  ONE, op_converse)                                                                        \
	/* A peer's statement, and what this device answers. */                                    \
	R(CUSTODY_STEP, 72, "custody-step", WHO_AGENT, NEEDS_READY, POLICYD_MEDIUM, letter,        \
	  statement, ONE, op_custody_step)                                                         \
	R(CUSTODY_OUTBOX, 73, "custody-outbox", WHO_AGENT, NEEDS_READY, 0, nothing, letter, LIST,  \
	  op_custody_outbox)                                                                       \
	/* Hand-offs that were allowed because another device of the owner's asked. */             \
	R(WANTED, 74, "wanted", WHO_AGENT, NEEDS_READY, 0, nothing, wanted, LIST, op_wanted)       \
                                                                                                   \
	/* -- kith-mover -- */                                                                     \
	/* Once per hand-off and side. */                                                          \
	R(GRANT_TAKE, 128, "grant-take", WHO_MOVER, NEEDS_READY, POLICYD_SMALL, side, grant, ONE,  \
	  op_grant_take)                                                                           \
	R(JOURNAL, 129, "journal", WHO_MOVER, NEEDS_READY, POLICYD_MEDIUM, entry, statement, ONE,  \
	  op_journal)                                                                              \
	R(OPEN_LIST, 130, "open-list", WHO_MOVER, NEEDS_NOTHING, 0, nothing, open, LIST,           \
	  op_open_list)                                                                            \
	/* Refused unless a person asked for it. */                                                \
	R(ABORT_ALLOWED, 131, "abort-allowed", WHO_MOVER, NEEDS_READY, POLICYD_SMALL, hid,         \
	  nothing, ONE, op_abort_allowed)                                                          \
	/* Own PCRs unchanged since the session (B6). */                                           \
	R(REQUOTE, 132, "requote", WHO_MOVER, NEEDS_READY, POLICYD_SMALL, hid, nothing, ONE,       \
	  op_requote)                                                                              \
	R(CUSTODY_INBOX, 133, "custody-inbox", WHO_MOVER, NEEDS_READY, POLICYD_SMALL, hid, news,   \
	  ONE, op_custody_inbox)                                                                   \
	/* Came over the control channel; checked against the journal, then kept as by the inbox.  \
	 */                                                                                        \
	R(CUSTODY_ACCEPT, 134, "custody-accept", WHO_MOVER, NEEDS_READY, POLICYD_MEDIUM, word,     \
	  nothing, ONE, op_custody_accept)                                                         \
	/* Once; open while the connection is. */                                                  \
	R(CONSOLE_TAKE, 135, "console-take", WHO_MOVER, NEEDS_READY, POLICYD_SMALL, hid,           \
	  console_grant, ONE, op_console_take)                                                     \
	/* Refused when what is so now does not allow it any more. */                              \
	R(CONSOLE_CHECK, 136, "console-check", WHO_MOVER, NEEDS_READY, POLICYD_SMALL, hid,         \
	  nothing, ONE, op_console_check)                                                          \
                                                                                                   \
	/* -- the libvirt hook and the fence (root) -- */                                          \
	R(CUSTODY_CHECK, 192, "custody-check", WHO_ROOT, NEEDS_NOTHING, POLICYD_SMALL, use,        \
	  nothing, ONE, op_custody_check)                                                          \
	/* Ends the incarnation of every worker. */                                                \
	R(FENCE, 193, "fence", WHO_ROOT, NEEDS_NOTHING, 0, nothing, fence, LIST, op_fence)         \
	/* The same list, nothing ended. */                                                        \
	R(WARD, 194, "ward", WHO_ROOT, NEEDS_NOTHING, 0, nothing, fence, LIST, op_ward)            \
	/* A copy that must not run was woken up. */                                               \
	R(ALARM, 195, "alarm", WHO_ROOT, NEEDS_NOTHING, POLICYD_MEDIUM, alarm, nothing, ONE,       \
	  op_alarm)
