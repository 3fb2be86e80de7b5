/* SPDX-License-Identifier: Apache-2.0 */
/* Typed calls to kith-policyd, one per request of policyd/api/requests.h, over a blocking
 * connection.
 *
 * All return 0 or a negative errno with *err filled: the server's refusal as it wrote it,
 * `interrupted` if it went away, `bad-message` for a reply that does not decode, `usage` for an
 * argument that does not fit a request. Results are written on success only. Lists and blobs are
 * malloced (NULL where empty) and belong to the caller. */
#pragma once

#include "base/ipc-client.h"
#include "policyd/api/proto.h"

#define POLICYD_CLIENT_TIMEOUT_MS 60000 /* a slow TPM may take seconds */

/* -- anyone on this device -- */
int policyd_client_status(struct ipc_client *c, struct policyd_status *ret, struct kerr *err);

/* Asks to be told when anything changes since *seen, zeros = at once; then waits for that (at most
 * `timeout_ms`, -1 = for ever), and *seen is what to ask with next. -ETIMEDOUT: not yet, wait
 * again. Nothing else may be asked on the connection in between. */
int policyd_client_changes_ask(struct ipc_client *c, const struct policyd_mark *seen,
			       struct kerr *err);
int policyd_client_changes_wait(struct ipc_client *c, int timeout_ms, struct policyd_mark *seen,
				struct kerr *err);

/* -- people -- */
int policyd_client_init(struct ipc_client *c, const char *person,
			char ret_recovery_key[POLICYD_RECOVERY_KEY_MAX], struct kerr *err);
/* *ret_new_ak: the device has to be paired again, because its TPM is another one. */
int policyd_client_unlock(struct ipc_client *c, const char *recovery_key, bool *ret_new_ak,
			  struct kerr *err);
/* Both keys open until policyd_client_recovery_shown() says that the owner has seen the new one. */
int policyd_client_recovery_renew(struct ipc_client *c,
				  char ret_recovery_key[POLICYD_RECOVERY_KEY_MAX],
				  struct kerr *err);
int policyd_client_recovery_shown(struct ipc_client *c, struct kerr *err);
/* The window is open as long as this connection is. `replace`: a known device may show another TPM.
 * The recovery key is "" unless this device has no owner yet: it is the one that counts from now
 * on, to be shown once the device is paired, then wiped. */
int policyd_client_pair_open(struct ipc_client *c, enum person_role foreign_role, uint32_t seconds,
			     bool replace, char ret_recovery_key[POLICYD_RECOVERY_KEY_MAX],
			     struct kerr *err);
int policyd_client_pair_close(struct ipc_client *c, struct kerr *err);
int policyd_client_pair_status(struct ipc_client *c, struct policyd_pair_status *ret,
			       struct kerr *err);
/* `hash` as shown together with the code that was compared. */
int policyd_client_pair_confirm(struct ipc_client *c, const uint8_t hash[HASH_LEN], bool same_code,
				struct kerr *err);
int policyd_client_peers(struct ipc_client *c, struct policyd_peer **ret, size_t *ret_n,
			 struct kerr *err);
int policyd_client_trust_show(struct ipc_client *c, const uint8_t device[DEVICE_ID_LEN],
			      struct policyd_trust *ret, struct kerr *err);
/* `shown`: the hash of the policyd_trust that the owner looked at. */
int policyd_client_trust_accept(struct ipc_client *c, const uint8_t device[DEVICE_ID_LEN],
				const uint8_t shown[HASH_LEN], struct kerr *err);
int policyd_client_peer_forget(struct ipc_client *c, const uint8_t device[DEVICE_ID_LEN],
			       struct kerr *err);
/* May a device of another person send VMs of theirs here? */
int policyd_client_peer_receive(struct ipc_client *c, const uint8_t device[DEVICE_ID_LEN], bool on,
				struct kerr *err);
int policyd_client_policy_set(struct ipc_client *c, const uint8_t uuid[UUID_LEN], const char *name,
			      const char *text, const void *compiled, size_t compiled_len,
			      uint64_t *ret_version, struct kerr *err);

/* Asks the device that has the VM for it; *ret_wish is what to ask with how that stands. */
int policyd_client_fetch(struct ipc_client *c, const uint8_t uuid[UUID_LEN], enum move_rung rung,
			 uint8_t ret_wish[HID_LEN], struct kerr *err);
int policyd_client_fetch_status(struct ipc_client *c, const uint8_t wish[HID_LEN],
				struct policyd_fetched *ret, struct kerr *err);

struct policyd_policy {
	uint64_t version;
	uint8_t owner_id[HASH_LEN];
	char name[NAME_MAX_LEN + 1];
	char *text; /* terminated, malloced */
};
int policyd_client_policy_get(struct ipc_client *c, const uint8_t uuid[UUID_LEN],
			      struct policyd_policy *ret, struct kerr *err);
void policyd_policy_clear(struct policyd_policy *p);

int policyd_client_plan(struct ipc_client *c, const uint8_t uuid[UUID_LEN],
			const uint8_t device[DEVICE_ID_LEN], struct policyd_plan *ret,
			struct kerr *err);
/* What the VM's policy says to a question, before anybody proves anything. */
int policyd_client_why(struct ipc_client *c, const struct policyd_question *question,
		       struct policyd_plan *ret, struct kerr *err);
int policyd_client_move_request(struct ipc_client *c, const uint8_t uuid[UUID_LEN],
				const uint8_t device[DEVICE_ID_LEN], enum move_rung rung,
				uint8_t ret_hid[HID_LEN], struct kerr *err);
int policyd_client_abort_request(struct ipc_client *c, const uint8_t hid[HID_LEN],
				 struct kerr *err);
/* The server sends as many as fit one reply: go on with the last `seq` + 1 until none come. */
/* Checks the chains of the audit now; a list of them (malloced), or the refusal that says where one
 * does not hold. */
int policyd_client_audit_verify(struct ipc_client *c, struct policyd_audit_log **ret, size_t *ret_n,
				struct kerr *err);
int policyd_client_audit_read(struct ipc_client *c, uint64_t from, uint16_t max,
			      struct policyd_audit **ret, size_t *ret_n, struct kerr *err);
int policyd_client_vms(struct ipc_client *c, struct policyd_vm **ret, size_t *ret_n,
		       struct kerr *err);
/* The owner decides that a VM in doubt is here (W17): its epoch jumps far ahead of any other. */
int policyd_client_claim(struct ipc_client *c, const uint8_t uuid[UUID_LEN], uint64_t *ret_epoch,
			 struct kerr *err);

/* -- kithd. The blob of a conversation is borrowed until the next call on this client. -- */
int policyd_client_tls_leaf(struct ipc_client *c, const void *spki, size_t spki_len,
			    uint8_t **ret_leaf, size_t *ret_leaf_len, uint8_t **ret_device,
			    size_t *ret_device_len, struct kerr *err);
/* A step of a pairing or of a session, as *talk says. */
int policyd_client_converse(struct ipc_client *c, const struct policyd_talk *talk,
			    struct policyd_conversation *ret, struct kerr *err);
int policyd_client_custody_step(struct ipc_client *c, const uint8_t peer[DEVICE_ID_LEN],
				const void *statement, size_t len, uint8_t **ret_reply,
				size_t *ret_len, struct kerr *err);

/* Statements that peers have to hear again and again until they answer. */
/* Hand-offs that another device's wish allowed. */
int policyd_client_wanted(struct ipc_client *c, struct policyd_wanted **ret, size_t *ret_n,
			  struct kerr *err);
int policyd_client_custody_outbox(struct ipc_client *c, struct policyd_letter **ret, size_t *ret_n,
				  struct kerr *err);

/* Where a console of the VM is to be had, and under which number. */
int policyd_client_console_request(struct ipc_client *c, const struct policyd_console_wish *wish,
				   struct policyd_console_place *ret, struct kerr *err);

/* -- kith-mover. The grant holds a key: explicit_bzero() it after use. -- */
int policyd_client_grant_take(struct ipc_client *c, const uint8_t hid[HID_LEN], bool source,
			      struct policyd_grant *ret, struct kerr *err);
int policyd_client_console_take(struct ipc_client *c, const uint8_t hid[HID_LEN],
				struct policyd_console_grant *ret, struct kerr *err);
int policyd_client_console_check(struct ipc_client *c, const uint8_t hid[HID_LEN],
				 struct kerr *err);
int policyd_client_journal(struct ipc_client *c, const uint8_t hid[HID_LEN],
			   enum custody_record record, const void *proof, size_t proof_len,
			   uint8_t **ret_statement, size_t *ret_len, struct kerr *err);
/* RELEASED by a worker that did not run the migration: allowed because this host's copy is gone
 * (R1, W12). */
int policyd_client_release_forward(struct ipc_client *c, const uint8_t hid[HID_LEN],
				   const void *vote, size_t vote_len, uint8_t **ret_statement,
				   size_t *ret_len, struct kerr *err);
/* The statement that moves this hand-off on, as policyd checked it against the journal: kind and
 * bytes; kind NONE and empty if none came. */
int policyd_client_custody_inbox(struct ipc_client *c, const uint8_t hid[HID_LEN],
				 enum custody_statement_kind *ret_kind, uint8_t **ret_statement,
				 size_t *ret_len, struct kerr *err);
/* Gives policyd a statement that came over the hand-off's own channel, before anything is done
 * because of it (C2): 0 = it is genuine, belongs to this hand-off and moves it on. */
int policyd_client_custody_accept(struct ipc_client *c, const uint8_t hid[HID_LEN],
				  const void *statement, size_t len, struct kerr *err);
int policyd_client_open_list(struct ipc_client *c, struct policyd_open **ret, size_t *ret_n,
			     struct kerr *err);
int policyd_client_abort_allowed(struct ipc_client *c, const uint8_t hid[HID_LEN],
				 struct kerr *err);
int policyd_client_requote(struct ipc_client *c, const uint8_t hid[HID_LEN], struct kerr *err);

/* -- the libvirt hook and the fence (root) -- */
int policyd_client_fence(struct ipc_client *c, struct policyd_fence **ret, size_t *ret_n,
			 struct kerr *err);
/* The same list without ending any worker's incarnation: what kith-warden has to hold or end. */
int policyd_client_ward(struct ipc_client *c, struct policyd_fence **ret, size_t *ret_n,
			struct kerr *err);
/* A frozen copy was woken up: recorded in the audit log and shown by `kith status`. */
int policyd_client_alarm(struct ipc_client *c, const uint8_t uuid[UUID_LEN], const char *text,
			 struct kerr *err);
int policyd_client_custody_check(struct ipc_client *c, const uint8_t uuid[UUID_LEN],
				 enum custody_use use, struct kerr *err);
