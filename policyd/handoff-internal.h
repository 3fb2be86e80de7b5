/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about one hand-off share: the table of those under way. */
#pragma once

#include "base/pace.h"
#include "policyd/api/policy.h"
#include "policyd/core.h"
#include "policyd/custody.h"
#include "policyd/handoff.h"
#include "policyd/measure.h"
#include "policyd/replays.h"

#define HANDOFFS_MAX 8
#define HANDOFF_REQUEST_MS 60000 /* a request not started by then is void */
#define HANDOFF_GRANT_MS 30000	 /* a grant not taken by then is void */

enum handoff_state {
	HANDOFF_FREE,
	HANDOFF_SESSION, /* the devices prove themselves */
	HANDOFF_GRANTED, /* both did; the mover has not asked yet */
	HANDOFF_TAKEN,	 /* the mover works */
	_HANDOFF_STATE_MAX,
};

struct handoff_offered {
	struct store_policy policy;
	struct custody_chain chain;
};

struct handoff {
	struct handoffs *all;
	struct core *core;
	enum handoff_state state;
	bool source, measured;
	/* A person wants it to stop. Kept here alone: a source whose policyd was restarted lets no
	 * worker release any more (check_worker()), so that it ends without this word too; and at
	 * the destination, where the word is lost, the source decides anyway. */
	bool abort;
	bool quoted; /* `before` is there */
	struct quote_info
		before; /* the peer's last quote when this session's nonce was made (M3) */
	bool peer_own;	/* it is of this device's owner */
	uint8_t exporter[EXPORTER_LEN];
	uint8_t hid[HID_LEN], uuid[UUID_LEN], peer[DEVICE_ID_LEN];
	char vm[NAME_MAX_LEN + 1], peer_name[NAME_MAX_LEN + 1];
	char person[NAME_MAX_LEN + 1];
	uint64_t epoch, deadline_ms;
	uint64_t policy_version; /* of the policy in the offer: no other one may leave */
	uint64_t worker; /* connection that took the grant: only it may release (R1); 0 = none */
	enum move_rung rung; /* source: what the person asked for */
	enum verdict verdict;
	enum person_role dest_person; /* destination, by the offer: whose it is for the owner */
	struct session *session;
	struct measure_state own;	 /* this device when it proved itself (B6) */
	struct handoff_offered *offered; /* destination: kept apart from RECV to OWN */
};

/* A statement that came for the mover and was checked against the journal; lost with policyd, as it
 * is said again. Kind NONE: free. */
struct handoff_news {
	struct custody_statement said;
	uint8_t bytes[CUSTODY_STATEMENT_LEN];
};

/* In which way a person wants a VM to move; lost with policyd, as his request is (M11). */
struct handoff_wish {
	uint8_t hid[HID_LEN];
	enum move_rung rung;
};

/* A VM that its owner wants here (handoff-fetch.c). A wish that is asked about is remembered until
 * its place is needed; lost with policyd, like a request. Zeros: free. */
#define FETCHES_MAX 8
struct handoff_fetch {
	uint8_t wish[HID_LEN], uuid[UUID_LEN], holder[DEVICE_ID_LEN];
	uint64_t epoch, until_ms; /* of the VM; then nobody asks any more */
	struct policyd_fetched now;
};

/* What was answered to the wish of another device, so that the same one has the same answer. */
#define ANSWERS_MAX 32
struct handoff_answer {
	uint8_t wish[HID_LEN];
	struct custody_statement said;
	uint64_t until_ms; /* COMING: kithd may begin it */
};

struct handoffs {
	struct core *core;
	struct handoff_fetch fetches[FETCHES_MAX];
	struct handoff_answer answers[ANSWERS_MAX];
	size_t fetch_next, answer_next;
	uint64_t news;					/* counts what changed in them */
	struct handoff_wish wishes[STORE_REQUESTS_MAX]; /* the last ones */
	size_t wish_next;
	struct handoff list[HANDOFFS_MAX];
	struct replays replays;
	struct handoff_news inbox[HANDOFFS_MAX];
	size_t inbox_next;
	/* When each peer may begin the next session here (handoff-limits.c) */
	struct pace pace;
	size_t doubt_next; /* VM whose questions the next outbox begins with */
	/* VMs for which libvirt's `migrate` hook asked and may go on to start (custody_may_start)
	 */
	uint8_t incoming[HANDOFFS_MAX][UUID_LEN];
};

/* The one under way with this id, or NULL. */
struct handoff *handoff_find(struct handoffs *h, const uint8_t hid[HID_LEN]);
/* A free place, else an expired one, whose end is recorded; NULL if all are in use. Before anything
 * is changed in the store (handoff_audit_end()). */
struct handoff *handoff_add(struct handoffs *h, const uint8_t hid[HID_LEN]);
void handoff_enter(struct handoff *ho, enum handoff_state state);
/* Its time is up: whoever needs the place may take it. */
bool handoff_is_over(const struct handoff *ho);

/* Records of one how it came to nothing; drops what is not committed (core_audit()). */
void handoff_audit_end(const struct handoff *ho, const struct kerr *reason);

/* -- VMs that shall come (handoff-fetch.c) -- */

/* Its statements, which handoff_fetch_step() takes: `said` is the peer's, checked. */
bool handoff_is_about_fetch(enum custody_statement_kind kind);
void handoff_fetch_step(struct handoffs *h, const struct custody_statement *said,
			struct policyd_statement *out);
/* Adds what the holders have to hear. */
void handoff_fetch_outbox(struct handoffs *h, struct record_list *out);

/* What was asked for with this request. BUSY if too many came after it. */
int handoff_wish(const struct handoffs *h, const uint8_t hid[HID_LEN], enum move_rung *ret,
		 struct kerr *err);

/* May that peer begin a session here now? Asked before anything is spent on it (H5): its pace, the
 * places that are kept for others, and whether it may send anything at all (H4). */
int handoff_admit(struct handoffs *h, const struct store_peer *peer, struct kerr *err);
/* The owner's rule about VMs of other people: `policy` if the peer may not send them here. */
int handoff_may_send(const struct core *core, const struct store_peer *peer, struct kerr *err);

/* Everything a decision about (VM, device) needs, looked up. */
struct handoff_case {
	struct store_peer peer;
	struct custody_view view;
	struct store_policy policy;
	struct policy rules;
	bool foreign; /* the VM belongs to another owner than this device */
};
/* Fills *c, which is zeros and to be cleared in any case; refused if the VM is not in Kith's care.
 */
int handoff_case_load(struct core *core, const uint8_t uuid[UUID_LEN],
		      const uint8_t device[DEVICE_ID_LEN], struct handoff_case *c,
		      struct kerr *err);
/* The same without a device. */
int handoff_case_vm(struct core *core, const uint8_t uuid[UUID_LEN], struct handoff_case *c,
		    struct kerr *err);
void handoff_case_clear(struct handoff_case *c);

/* Whose the device is, as the VM's owner sees it. */
enum person_role handoff_dest_person(const struct handoff_case *c);
/* What a policy may ask of a paired device, with its last verdict, and of this one. Who asks, what
 * and whose device it is (person, action, dest_person) is for the caller to say, and `fresh` if the
 * evidence is of this very session. The names are borrowed. */
struct policy_facts handoff_facts_of(const struct store_peer *peer);
struct policy_facts handoff_facts_here(const struct core *core);

/* May the VM leave for that device? `fresh`: the verdict is from this very session. */
int handoff_decide_out(const struct handoff_case *c, enum person_role person, bool fresh,
		       enum verdict verdict, struct policy_decision *ret, struct kerr *err);

/* Signature and signer of a peer's statement; what it says is for the caller to judge. */
int handoff_check_proof(struct core *core, const uint8_t *proof, size_t len,
			struct custody_statement *ret, struct kerr *err);
/* *ret is empty where the kind is NONE. */
void handoff_sign_statement(struct core *core, const struct custody_statement *st,
			    struct policyd_statement *ret);
/* Adds the signed statement to an outbox, for the device that it names. */
void handoff_add_letter(struct core *core, const struct custody_statement *st,
			struct record_list *out);

/* One record on its way into the journal. */
struct handoff_writing {
	struct core *core;
	struct handoff *ho; /* NULL if policyd was restarted since the grant */
	const struct handoff_entry *entry;
	struct custody_step step;
	struct custody_statement proof;
};

/* Offer: what the source tells the destination about the VM, inside the attested session; `ctx` is
 * the hand-off, as these are callbacks of the session. Each decides first. */
int handoff_offer_put(void *ctx, struct wbuf *w, struct kerr *err);
int handoff_offer_accept(void *ctx, const uint8_t *data, size_t len, struct kerr *err);

/* The chain of a VM that is here, to be shown with its offer; refused if it does not end here. */
int handoff_chain_of(struct core *core, const struct custody_view *view,
		     const struct store_policy *policy, struct custody_chain *ret,
		     struct kerr *err);
/* Does the chain in the offer prove that the peer holds the VM, and may the peer give it here (H3)?
 */
int handoff_chain_check(const struct handoff *ho, const struct store_peer *peer, struct kerr *err);
/* Puts the hop of OWN or RECLAIM into the store, to be committed with the record. */
int handoff_chain_grow(struct handoff_writing *w, struct kerr *err);

/* Adds the questions about VMs in doubt to an outbox, and ends a doubt that nobody is left to ask
 * about. */
int handoff_doubt_outbox(struct handoffs *h, const struct custody_view *views, size_t n,
			 struct record_list *out, struct kerr *err);
bool handoff_is_about_doubt(enum custody_statement_kind kind);
/* A peer's question, which is answered, or its answer. */
int handoff_doubt_step(struct core *core, const struct custody_statement *said, const uint8_t *data,
		       size_t len, struct policyd_statement *out, struct kerr *err);
