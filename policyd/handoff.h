/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions about one hand-off: request, attested session, grant, custody records. */
#pragma once

#include "attest/session.h"
#include "policyd/api/proto.h"

struct core;
struct handoffs;

int handoffs_new(struct core *core, struct handoffs **ret);
struct handoffs *handoffs_free(struct handoffs *h);

/* Decides whether `person` may do `action` with the VM towards the device, without evidence newer
 * than the trust table's. Fills *ret either way; 0 allowed, negative refused with *err. */
int handoff_plan(struct handoffs *h, enum person_role person, const uint8_t uuid[UUID_LEN],
		 const uint8_t device[DEVICE_ID_LEN], struct policyd_plan *ret, struct kerr *err);

/* What the VM's policy says to a question, by which rule, whether or not anything else stands in
 * the way. 0 if *ret is filled; negative if there is no such VM or device. */
int handoff_why(struct core *core, const struct policyd_question *question,
		struct policyd_plan *ret, struct kerr *err);

/* As handoff_plan(), and on success remembers the request under a fresh hand-off id, for a minute.
 */
int handoff_request(struct handoffs *h, enum person_role person, const struct policyd_move *move,
		    uint8_t ret_hid[HID_LEN], struct kerr *err);

/* True from the session's begin until the hand-off has ended: its VM's policy may not change now.
 */
bool handoff_is_under_way(struct handoffs *h, const uint8_t uuid[UUID_LEN]);

/* A person wants the hand-off to stop; the mover may then abort it, before it is released. */
int handoff_abort_request(struct handoffs *h, enum person_role person, const uint8_t hid[HID_LEN],
			  struct kerr *err);
int handoff_abort_allowed(struct handoffs *h, const uint8_t hid[HID_LEN], struct kerr *err);

/* The conversation with the other policyd, carried by kithd. */
enum conversation_state handoff_session_start(struct handoffs *h, const uint8_t hid[HID_LEN],
					      const uint8_t exporter[EXPORTER_LEN],
					      struct wbuf *out, struct kerr *err);
enum conversation_state handoff_session_step(struct handoffs *h, const uint8_t hid[HID_LEN],
					     const uint8_t peer[DEVICE_ID_LEN],
					     const uint8_t exporter[EXPORTER_LEN],
					     const uint8_t *data, size_t len, struct wbuf *out,
					     struct kerr *err);
/* That channel is gone; another one's end is nothing to the hand-off (M10). */
void handoff_session_end(struct handoffs *h, const uint8_t hid[HID_LEN],
			 const uint8_t exporter[EXPORTER_LEN]);

/* Gives the mover what it needs, once; the caller wipes *ret. `worker` is the connection that took
 * it: the only one that may release while the copy here exists (R1). */
int handoff_grant_take(struct handoffs *h, const uint8_t hid[HID_LEN], bool source, uint64_t worker,
		       struct policyd_grant *ret, struct kerr *err);

/* One custody record as a worker asks for it. */
struct handoff_entry {
	const uint8_t *hid; /* HID_LEN bytes */
	enum custody_record record;
	const uint8_t *proof; /* signed statement of the peer */
	size_t proof_len;
	uint64_t worker; /* connection that asks */
	bool copy_gone;	 /* the worker saw that this host's copy does not exist any more */
};

/* Writes it (docs/architecture.md, "One hand-off"); *ret is the statement it obliges us to make. */
int handoff_journal(struct handoffs *h, const struct handoff_entry *entry,
		    struct policyd_statement *ret, struct kerr *err);

/* B6: 0 if this device is as it was when it proved itself for this hand-off. */
int handoff_requote(struct handoffs *h, const uint8_t hid[HID_LEN], struct kerr *err);

/* Custody statements outside a hand-off's own channel, so that no crash leaves a VM in doubt once
 * both devices are back (W7, W11): what peers have to hear again, what one says, and what waits
 * for the mover. */
int handoff_custody_outbox(struct handoffs *h, struct record_list *out, struct kerr *err);
int handoff_custody_step(struct handoffs *h, const uint8_t peer[DEVICE_ID_LEN], const uint8_t *data,
			 size_t len, struct policyd_statement *ret, struct kerr *err);
void handoff_custody_inbox(struct handoffs *h, const uint8_t hid[HID_LEN],
			   struct policyd_news *ret);

/* The same for a statement that came over the hand-off's own channel: 0 if it is genuine, belongs
 * to the hand-off and moves it on; then the inbox has it. */
int handoff_custody_accept(struct handoffs *h, const uint8_t hid[HID_LEN], const uint8_t *data,
			   size_t len, struct kerr *err);

/* The copies on this device that may not run now, and those that never may again. */
int handoff_bound_list(struct handoffs *h, struct record_list *out, struct kerr *err);
/* R5, before libvirtd starts: takes from every worker the right to release: a frozen one could wake
 * up later. */
void handoff_end_workers(struct handoffs *h);

/* The owner wants a VM here that another device of his has: that one is asked by way of the outbox,
 * for a minute. *ret_wish is what to ask with how it stands. Commits. */
int handoff_fetch(struct handoffs *h, const struct policyd_fetch *want, uint8_t ret_wish[HID_LEN],
		  struct kerr *err);
int handoff_fetch_status(struct handoffs *h, const uint8_t wish[HID_LEN],
			 struct policyd_fetched *ret, struct kerr *err);
/* Hand-offs that other devices' wishes allowed and that are to be begun. */
void handoff_wanted(struct handoffs *h, struct record_list *out);
/* Another number whenever a wish stands differently. */
uint64_t handoff_news_count(const struct handoffs *h);

/* Before a VM is taken into Kith's care here: where the owner's key is not kept, what begins its
 * custody chain is signed and kept. The caller commits. */
int handoff_chain_begin(struct core *core, const uint8_t uuid[UUID_LEN], struct kerr *err);

/* The owner says that a VM in doubt is here (W17). */
int handoff_claim(struct handoffs *h, const uint8_t uuid[UUID_LEN], uint64_t *ret_epoch,
		  struct kerr *err);

/* A copy that may not run was woken up (F2): for the audit log, and for whoever asks for the
 * status. */
int handoff_alarm(struct handoffs *h, const uint8_t uuid[UUID_LEN], const char *text,
		  struct kerr *err);

/* The libvirt hook's question (H10, R5). `locked` while there is no store: the markers answer it.
 */
int handoff_custody_check(struct handoffs *h, const uint8_t uuid[UUID_LEN], enum custody_use use,
			  struct kerr *err);
