/* SPDX-License-Identifier: Apache-2.0 */
/* The requests that kith-policyd answers: numbers and layouts. Append only; see dispatch.c for
 * the op table that says who may ask what. Integers little-endian, "str" = u16 length + UTF-8,
 * "blob" = u32 length + bytes, id32/uuid16/hid16 = raw bytes. */
#pragma once

#include "base/code.h"

#define POLICYD_SOCKET "policyd/policyd.sock" /* below the run directory */

/* Longest message of the conversation between two policyds, as a blob inside one frame. */
#define POLICYD_BLOB_MAX 49152

enum policyd_op {
	/* -- anyone on this device -- */
	POLICYD_OP_STATUS = 1, /* () -> policyd_status */

	/* -- people (the peer uid maps to a principal) -- */
	POLICYD_OP_INIT = 16,	 /* (str person) -> (str recovery_key) : makes the cloud */
	POLICYD_OP_UNLOCK,	 /* (str recovery_key) -> (u8 new_ak) : pair again */
	POLICYD_OP_PAIR_OPEN,	 /* (u8 person_role for a foreign owner, u32 seconds, u8 replace)
				    -> (str recovery_key or "") : open while the connection is */
	POLICYD_OP_PAIR_CLOSE,	 /* () -> () */
	POLICYD_OP_PAIR_STATUS,	 /* () -> policyd_pair_status */
	POLICYD_OP_PAIR_CONFIRM, /* (id32 hash, u8 same_code) -> () : of the code that was shown */
	POLICYD_OP_PEERS,	 /* () -> u16 n, n x policyd_peer   (agent too) */
	POLICYD_OP_TRUST_SHOW,	 /* (id32) -> policyd_trust */
	POLICYD_OP_TRUST_ACCEPT, /* (id32, hash32 of what was shown) -> () : it is the reference */
	POLICYD_OP_PEER_FORGET,	 /* (id32) -> () */
	POLICYD_OP_POLICY_SET,	 /* (uuid16, str name, blob text, blob compiled) -> (u64 version) */
	POLICYD_OP_POLICY_GET,	 /* (uuid16) -> (u64 version, id32 owner_id, str name, blob text) */
	POLICYD_OP_PLAN,	 /* (uuid16, id32) -> policyd_plan : decides, changes nothing */
	POLICYD_OP_MOVE_REQUEST, /* (uuid16, id32) -> (hid16) */
	POLICYD_OP_ABORT_REQUEST, /* (hid16) -> () */
	POLICYD_OP_AUDIT_READ,	  /* (u64 from_seq, u16 max) -> u16 n, n x policyd_audit */
	POLICYD_OP_VMS,		  /* () -> u16 n, n x policyd_vm     (agent, mover too) */
	POLICYD_OP_CLAIM, /* (uuid16) -> (u64 epoch) : the owner says that a VM in doubt is here */
	POLICYD_OP_RECOVERY_RENEW =
		35,		      /* () -> (str recovery_key) : opens beside the earlier one */
	POLICYD_OP_PEER_RECEIVE = 36, /* (id32, u8 on) -> () : may a device of another person send
					 VMs here? */
	POLICYD_OP_RECOVERY_SHOWN = 37, /* () -> () : the newest was shown, and opens alone */

	/* -- kithd -- */
	POLICYD_OP_TLS_LEAF = 64, /* (blob spki_der) -> (blob leaf_der, blob device_der) */
	POLICYD_OP_PAIR_START,	  /* (u8 initiator, id32 exporter) -> policyd_conversation */
	POLICYD_OP_PAIR_STEP,	  /* (blob from_peer) -> policyd_conversation */
	POLICYD_OP_PAIR_POLL,	  /* () -> policyd_conversation : after the owner confirmed */
	POLICYD_OP_PAIR_END,	  /* () -> () : the channel is gone */
	POLICYD_OP_SESSION_START, /* (hid16, id32 exporter) -> policyd_conversation : source */
	POLICYD_OP_SESSION_STEP,  /* (hid16, id32 peer, id32 exporter, blob) -> policyd_conversation
				   */
	POLICYD_OP_SESSION_END,	  /* (hid16, id32 exporter, kerr) -> () : channel gone before grant
				   */
	POLICYD_OP_CUSTODY_STEP,  /* (id32 peer, blob statement) -> (blob reply or empty) */
	POLICYD_OP_CUSTODY_OUTBOX, /* () -> u16 n, n x (id32 peer, blob statement) */

	/* -- kith-mover -- */
	POLICYD_OP_GRANT_TAKE =
		128,		   /* (hid16, u8 source) -> policyd_grant : once per hid and side */
	POLICYD_OP_JOURNAL,	   /* (hid16, u8 record, blob proof, u8 copy_gone) -> (blob) */
	POLICYD_OP_OPEN_LIST,	   /* () -> u16 n, n x policyd_open */
	POLICYD_OP_ABORT_ALLOWED,  /* (hid16) -> () : refused unless a person asked for it */
	POLICYD_OP_REQUOTE,	   /* (hid16) -> () : own PCRs unchanged since the session (B6) */
	POLICYD_OP_CUSTODY_INBOX,  /* (hid16) -> (u8 statement_kind, blob statement or empty) */
	POLICYD_OP_CUSTODY_ACCEPT, /* (hid16, blob statement) -> () : came over the control channel;
				      checked against the journal, then kept as by the inbox */

	/* -- the libvirt hook and the fence (root) -- */
	POLICYD_OP_CUSTODY_CHECK = 192, /* (uuid16, u8 custody_use) -> () or a refusal */
	POLICYD_OP_FENCE, /* () -> u16 n, n x policyd_fence : ends the incarnation of every worker
			   */
	POLICYD_OP_WARD,  /* () -> u16 n, n x policyd_fence : the same list, nothing ended */
	POLICYD_OP_ALARM, /* (uuid16, str text) -> () : a copy that must not run was woken up */
};

enum policyd_state {
	POLICYD_STATE_NO_CLOUD, /* no owner yet: `kith init` or pair with a device that has one */
	POLICYD_STATE_READY,
	POLICYD_STATE_LOCKED, /* sealed database does not open: recovery key needed */
	POLICYD_STATE_ROLLBACK,
	POLICYD_STATE_NO_TPM,
	_POLICYD_STATE_MAX,
};
DECLARE_NAMES(policyd_state, enum policyd_state);

/* What a conversation between the two policyds (carried by kithd) wants next. */
enum conversation_state {
	CONVERSATION_SEND,	 /* send `blob` (may be empty: just wait) and wait for the peer */
	CONVERSATION_WAIT_OWNER, /* send `blob` if any; the owner has to compare the code */
	CONVERSATION_DONE,	 /* send `blob` if any; complete (session: the grant is ready) */
	CONVERSATION_REFUSED,	 /* send `blob` if any; `error` says why; over */
	_CONVERSATION_STATE_MAX,
};

/* Custody records, in the order of docs/architecture.md, "One hand-off". */
enum custody_record {
	CUSTODY_PREP,	  /* S: before anything moves */
	CUSTODY_RELEASED, /* S: commit point; proof = VOTE; statement = RELEASE */
	CUSTODY_ABORTED,  /* S: statement = ABORT (sent only after the source runs again, R2) */
	CUSTODY_DONE,	  /* S: proof = ACK */
	CUSTODY_RECLAIM,  /* S: proof = NACK; new epoch, source copy may run (R4) */
	CUSTODY_RECV,	  /* D: offer accepted */
	CUSTODY_PREPARED, /* D: paused, complete copy; statement = VOTE */
	CUSTODY_OWN,	  /* D: proof = RELEASE; statement = ACK */
	CUSTODY_VOID,	  /* D: copy destroyed; proof = ABORT or empty; statement = NACK */
	_CUSTODY_RECORD_MAX,
};
DECLARE_NAMES(custody_record, enum custody_record);

/* Signed statements between the two policyds of a hand-off, and about VMs in doubt. */
enum custody_statement_kind {
	CUSTODY_STATEMENT_NONE,
	CUSTODY_STATEMENT_VOTE,	    /* D: complete paused copy; names e */
	CUSTODY_STATEMENT_RELEASE,  /* S: custody is yours; names e + 1 */
	CUSTODY_STATEMENT_ABORT,    /* S: the source runs again, destroy the copy; names e */
	CUSTODY_STATEMENT_ACK,	    /* D: I own it; names e + 1 */
	CUSTODY_STATEMENT_NACK,	    /* D: my copy is gone and will never run; names e */
	CUSTODY_STATEMENT_ASK,	    /* S, its copy is gone: VOTE or NACK? names e */
	CUSTODY_STATEMENT_WHERE,    /* a device in doubt: do you hold this VM? hid is a nonce */
	CUSTODY_STATEMENT_HELD,	    /* its answer: I hold it since this epoch */
	CUSTODY_STATEMENT_NOT_HELD, /* its answer: I do not; the highest epoch I know */
	CUSTODY_STATEMENT_ADOPT,    /* only in custody chains: the VM's owner says who holds it */
	CUSTODY_STATEMENT_CLAIM,    /* only in custody chains: the owner's decision after a doubt */
	_CUSTODY_STATEMENT_MAX,
};
DECLARE_NAMES(custody_statement_kind, enum custody_statement_kind);

/* What a hook asks for. */
enum custody_use {
	CUSTODY_USE_START,    /* libvirt is about to start the guest */
	CUSTODY_USE_INCOMING, /* libvirt receives the guest by migration */
	_CUSTODY_USE_MAX,
};

/* What has to happen with a copy that may not run: by kith-warden at any time, and by the fence
 * before libvirtd starts (R5). */
enum fence_verdict {
	FENCE_FREEZE, /* RELEASED or PREPARED: its process must not run until the other side spoke
		       */
	FENCE_KILL,   /* the other side runs it, or will: the copy here has to go */
	_FENCE_VERDICT_MAX,
};

struct policyd_fence {
	uint8_t uuid[UUID_LEN];
	char name[NAME_MAX_LEN + 1], peer_name[NAME_MAX_LEN + 1];
	enum fence_verdict verdict;
};

struct policyd_status {
	enum policyd_state state;
	uint8_t device_id[DEVICE_ID_LEN];
	char name[NAME_MAX_LEN + 1];
	enum device_role role;
	enum tpm_tier tier;
	char owner[NAME_MAX_LEN + 1]; /* "" before init */
	uint8_t owner_id[HASH_LEN];   /* SHA-256 of the owner's public key; zeros before init */
	char detail[KERR_TEXT_MAX];   /* a sentence when not ready */
	char alarm[KERR_TEXT_MAX];    /* the last alarm since policyd started, "" = none */
	uint64_t alarm_time;	      /* Unix seconds */
};

/* What this device remembers of one that wants to pair. */
enum pair_past {
	PAIR_PAST_NONE,	     /* nothing */
	PAIR_PAST_PAIRED,    /* it is paired already */
	PAIR_PAST_FORGOTTEN, /* its owner made this device forget it on purpose */
	PAIR_PAST_REPLACED,  /* it is paired, with another TPM or attestation key */
	_PAIR_PAST_MAX,
};
DECLARE_NAMES(pair_past, enum pair_past);

struct policyd_pair_status {
	uint8_t open;	 /* a window is open, or a pairing goes on in it */
	uint8_t waiting; /* a code is shown and waits for the owner */
	uint8_t done;	 /* the last pairing in this window succeeded */
	char code[16];	 /* such as "123 4567" */
	/* Of the last one that came to the code; they stay when it is over. */
	char peer_name[NAME_MAX_LEN + 1];
	char peer_owner[NAME_MAX_LEN + 1]; /* "" if it joins our cloud or brings one */
	enum device_role peer_role;
	enum tpm_tier peer_tier;
	uint32_t seconds_left;
	struct kerr error;	/* why the last one failed; code OK if it did not */
	uint8_t hash[HASH_LEN]; /* of what the code stands for; zeros if none is shown */
	enum pair_past past;
	uint8_t known_there; /* the other one said that it is paired with this device already */
};

struct policyd_peer {
	uint8_t id[DEVICE_ID_LEN];
	uint8_t sign_pk[SIGN_PK_LEN]; /* pinned device key */
	char name[NAME_MAX_LEN + 1];
	enum device_role role;
	enum tpm_tier tier;
	uint8_t own; /* 1: of our owner's cloud */
	char person[NAME_MAX_LEN + 1];
	enum person_role person_role;
	enum verdict verdict;
	struct kerr reason;	/* of an untrusted or unknown verdict */
	uint64_t evidence_time; /* Unix seconds of the last evidence, 0 = never */
	uint8_t receive;	/* 1: VMs of its owner may come from it; own devices always */
};

#define POLICYD_MEASURED_MAX 24
#define POLICYD_VERSIONS_MAX 512

struct policyd_trust {
	struct policyd_peer peer;
	uint32_t pcrs;			   /* bit set of what follows, lowest PCR first */
	uint8_t now[PCR_COUNT][HASH_LEN];  /* last evidence */
	uint8_t want[PCR_COUNT][HASH_LEN]; /* accepted by the owner */
	char versions[POLICYD_VERSIONS_MAX];
	uint8_t hash[HASH_LEN]; /* of all this; TRUST_ACCEPT wants it back */
};

struct policyd_plan {
	uint8_t allowed;
	struct kerr reason; /* of a refusal */
	char rule[160];	    /* the rule that decided, as text */
	enum verdict verdict;
	char device[NAME_MAX_LEN + 1];
};

struct policyd_audit {
	uint64_t seq, time; /* Unix seconds */
	uint8_t allowed;
	char person[NAME_MAX_LEN + 1], device[NAME_MAX_LEN + 1], vm[NAME_MAX_LEN + 1];
	char action[32];
	struct kerr reason;
	uint8_t hash[HASH_LEN];
};

struct policyd_vm {
	uint8_t uuid[UUID_LEN];
	char name[NAME_MAX_LEN + 1];
	uint64_t epoch, policy_version;
	uint8_t here;		       /* this device holds it */
	uint8_t holder[DEVICE_ID_LEN]; /* last known holder */
	char holder_name[NAME_MAX_LEN + 1];
	uint8_t open; /* a hand-off is open */
	uint8_t hid[HID_LEN];
	uint8_t doubt; /* after a roll-back: not startable until peers or the owner spoke */
};

struct policyd_grant {
	uint8_t uuid[UUID_LEN];
	char vm[NAME_MAX_LEN + 1];
	uint64_t epoch;
	uint8_t peer[DEVICE_ID_LEN];
	char peer_name[NAME_MAX_LEN + 1];
	uint8_t key[32]; /* data key; per channel: BLAKE2b keyed (see mover/tls.h) */
};

struct policyd_open {
	uint8_t hid[HID_LEN], uuid[UUID_LEN], peer[DEVICE_ID_LEN];
	char vm[NAME_MAX_LEN + 1];
	uint64_t epoch;
	uint8_t source;		    /* this device is the source */
	enum custody_record record; /* the last one */
	uint8_t fresh;		    /* destination: the VM was not known here before */
	uint8_t started;	    /* source: a start from disk was allowed after ABORTED (F6) */
};

/* Answer of the PAIR and SESSION requests. `blob` is borrowed: from the caller when written, from
 * the buffer that is read when read. */
struct policyd_conversation {
	enum conversation_state state;
	struct kerr error; /* of REFUSED */
	const uint8_t *blob;
	size_t len; /* at most POLICYD_BLOB_MAX */
};

/* -- Codecs (proto.c). Writing fails by wbuf_error(): -ENOBUFS, or -EINVAL for a value that the
 * reader would refuse. Reading fails by the returned -EBADMSG and leaves *ret as it was: enums
 * are checked, flags are 0 or 1, names and texts are clean and bounded. -- */
DECLARE_NAMES(conversation_state, enum conversation_state);
DECLARE_NAMES(custody_use, enum custody_use);

DECLARE_CODEC(policyd_status);
DECLARE_CODEC(policyd_pair_status);
DECLARE_CODEC(policyd_peer);
DECLARE_CODEC(policyd_trust);
DECLARE_CODEC(policyd_plan);
DECLARE_CODEC(policyd_audit);
DECLARE_CODEC(policyd_vm);
DECLARE_CODEC(policyd_grant);
DECLARE_CODEC(policyd_open);
DECLARE_CODEC(policyd_conversation);

/* Lists are a u16 count, then the elements. Writes a count of 0 and returns where it stands... */
size_t policyd_count_begin(struct wbuf *w);
/* ...and sets it when the elements are written. */
void policyd_count_end(struct wbuf *w, size_t at, size_t count);
