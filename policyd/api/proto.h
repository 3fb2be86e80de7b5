/* SPDX-License-Identifier: Apache-2.0 */
/* What the requests to kith-policyd carry (policyd/api/requests.h has them): a struct each, and its
 * wire form in proto.c. Append only. Integers are little-endian, a text is u16 length and UTF-8, a
 * blob u32 length and bytes. */
#pragma once

#include "base/code.h"
#include "base/config.h"
#include "policyd/api/policy.h"
#include "policyd/api/requests.h"

#define POLICYD_SOCKET "policyd/policyd.sock" /* below the run directory */

/* Longest message of the conversation between two policyds, as a blob inside one frame. */
#define POLICYD_BLOB_MAX 49152
#define POLICYD_RECOVERY_KEY_MAX 128 /* bytes of the recovery key's text with NUL */
#define POLICYD_POLICY_MAX 32768     /* bytes of a policy's text or compiled form */
#define POLICYD_SPKI_MAX 256	     /* bytes of a DER SubjectPublicKeyInfo */
#define POLICYD_CERT_MAX 4096	     /* bytes of one DER certificate or public key */
#define POLICYD_PROOF_MAX 512	     /* bytes of a custody statement */

#define POLICYD_OP_NUMBER(op, number, ...) POLICYD_OP_##op = (number),
enum policyd_op { POLICYD_REQUESTS(POLICYD_OP_NUMBER) };
#undef POLICYD_OP_NUMBER

enum policyd_state {
	POLICYD_STATE_NO_CLOUD, /* no owner yet: `kith init` or pair with a device that has one */
	POLICYD_STATE_READY,
	POLICYD_STATE_LOCKED, /* sealed database does not open: recovery key needed */
	POLICYD_STATE_ROLLBACK,
	POLICYD_STATE_NO_TPM,
	_POLICYD_STATE_MAX,
};
DECLARE_NAMES(policyd_state, enum policyd_state);

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
	CUSTODY_STATEMENT_WANT, /* its owner wants the VM here; epoch: the VM's; hid: which wish */
	CUSTODY_STATEMENT_COMING, /* its answer: by the hand-off hid */
	CUSTODY_STATEMENT_STAYS,  /* its answer to the wish hid: no; epoch: a kcode, why */
	_CUSTODY_STATEMENT_MAX,
};
DECLARE_NAMES(custody_statement_kind, enum custody_statement_kind);

/* How a person wants the VM to move; each rung stops it for longer than the one before it. */
enum move_rung {
	MOVE_RUNG_ANY,	/* the first that is possible without an end of its guest */
	MOVE_RUNG_LIVE, /* while it runs */
	MOVE_RUNG_WARM, /* the disks while it runs, the memory while it stands still */
	MOVE_RUNG_COLD, /* switched off; one that runs is shut down first */
	_MOVE_RUNG_MAX,
};
DECLARE_NAMES(move_rung, enum move_rung);

/* What a hook asks for. */
enum custody_use {
	CUSTODY_USE_START,    /* libvirt is about to start the guest */
	CUSTODY_USE_INCOMING, /* libvirt receives the guest by migration */
	_CUSTODY_USE_MAX,
};

/* One small file per VM below the state directory says where the VM is, for those who start, stop
 * or hold copies while kith-policyd does not answer (R5). Its name is the VM's UUID; a sentence for
 * people is on the first line, then come "state", "epoch", "name" and "holder". */
#define CUSTODY_MARKER_DIR "custody"
enum custody_marker {
	CUSTODY_MARKER_HERE,
	CUSTODY_MARKER_ELSEWHERE,
	CUSTODY_MARKER_LEAVING,	 /* PREP at the source */
	CUSTODY_MARKER_ARRIVING, /* RECV at the destination */
	CUSTODY_MARKER_RELEASED, /* RELEASED at the source: its copy must be frozen */
	CUSTODY_MARKER_PREPARED, /* PREPARED at the destination: its copy must be frozen */
	CUSTODY_MARKER_KEPT,	 /* ABORTED at the source, not yet closed: its copy may run, but a
				    start from disk has to be recorded by kith-policyd (F6) */
	CUSTODY_MARKER_DOUBT, /* a roll-back was accepted; nobody said yet where the VM is (W17) */
	_CUSTODY_MARKER_MAX,
};
DECLARE_NAMES(custody_marker, enum custody_marker);

/* Text form of a UUID, 8-4-4-4-12 and the NUL; and back (-EBADMSG). */
#define CUSTODY_UUID_TEXT 37
void custody_uuid_text(const uint8_t uuid[UUID_LEN], char ret[CUSTODY_UUID_TEXT]);
int custody_uuid_parse(const char *text, uint8_t ret[UUID_LEN]);

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
	uint8_t config_mark[CONFIG_MARK_LEN]; /* of the configuration that was read last */
	char config_later[CONFIG_LATER_MAX];  /* what of it waits for a restart, "" = nothing */
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

#define POLICYD_VERSIONS_MAX 513 /* with its NUL: what evidence may say is kept whole */

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

/* One chain of such records: of those that are kept, the numbers of the oldest and the newest, and
 * the newest's hash, which stands for all before it. */
struct policyd_audit_log {
	uint8_t peers; /* what other devices began, or users who are not the owner */
	uint64_t kept, first, last;
	uint8_t head[HASH_LEN];
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
	uint8_t key[32];     /* data key; per channel: BLAKE2b keyed (see mover/tls.h) */
	enum move_rung rung; /* source: what was asked for */
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

/* -- What requests carry, where it is not one of the above. What is borrowed is so from the caller
 * when written, from the buffer that is read when read. -- */

struct policyd_nothing {
	uint8_t unused;
};

struct policyd_flag {
	uint8_t on;
};

/* Of all that may be asked about; only whether it is another one means something. */
struct policyd_mark {
	uint8_t bytes[HASH_LEN];
};

struct policyd_number {
	uint64_t value; /* a version, an epoch */
};

struct policyd_uuid {
	uint8_t uuid[UUID_LEN];
};

struct policyd_hid {
	uint8_t hid[HID_LEN];
};

struct policyd_device {
	uint8_t id[DEVICE_ID_LEN];
};

struct policyd_person {
	char name[NAME_MAX_LEN + 1]; /* any text: the handler says what is wrong with it */
};

struct policyd_recovery {
	char key[POLICYD_RECOVERY_KEY_MAX]; /* secret */
};

/* A pairing window. */
struct policyd_window {
	enum person_role role; /* of a foreign owner */
	uint32_t seconds;
	uint8_t replace; /* a known device may show another TPM */
};

struct policyd_yes {
	uint8_t hash[HASH_LEN]; /* of what the code stood for */
	uint8_t same;		/* the codes are the same */
};

struct policyd_accept {
	uint8_t id[DEVICE_ID_LEN], shown[HASH_LEN]; /* policyd_trust.hash */
};

struct policyd_receive {
	uint8_t id[DEVICE_ID_LEN], on;
};

struct policyd_rules {
	uint8_t uuid[UUID_LEN];
	char name[NAME_MAX_LEN + 1];
	const uint8_t *text, *compiled; /* borrowed */
	size_t text_len, compiled_len;	/* at most POLICYD_POLICY_MAX */
};

struct policyd_rules_held {
	uint64_t version;
	uint8_t owner_id[HASH_LEN];
	char name[NAME_MAX_LEN + 1];
	const uint8_t *text; /* borrowed */
	size_t text_len;
};

struct policyd_target {
	uint8_t uuid[UUID_LEN], device[DEVICE_ID_LEN];
};

struct policyd_question {
	uint8_t uuid[UUID_LEN], device[DEVICE_ID_LEN]; /* this device's own, too */
	enum policy_action action;
	enum person_role person;
};

struct policyd_move {
	uint8_t uuid[UUID_LEN], device[DEVICE_ID_LEN];
	enum move_rung rung;
};

/* A VM that is on another device of the owner's, and shall come here. */
struct policyd_fetch {
	uint8_t uuid[UUID_LEN];
	enum move_rung rung;
};

enum fetch_state {
	FETCH_ASKING, /* the device that has it was not heard yet */
	FETCH_COMING, /* it agreed: see `hid` */
	FETCH_STAYS,  /* it refused, or was not heard in time: see `reason` */
	_FETCH_STATE_MAX,
};

struct policyd_fetched {
	enum fetch_state state;
	uint8_t hid[HID_LEN]; /* of the hand-off that brings it */
	struct kerr reason;
};

/* A hand-off that policyd allowed because another device asked: for kithd to begin. */
struct policyd_wanted {
	uint8_t hid[HID_LEN], device[DEVICE_ID_LEN];
};

struct policyd_range {
	uint64_t from; /* seq */
	uint16_t max;
};

struct policyd_spki {
	const uint8_t *der; /* borrowed */
	size_t len;
};

struct policyd_leaf {
	const uint8_t *leaf, *device; /* certificates as DER, borrowed */
	size_t leaf_len, device_len;
};

/* One verb for every conversation of two policyds that kithd carries. */
enum talk_kind {
	TALK_PAIRING,
	TALK_SESSION,
	TALK_CONSOLE, /* a session before a console */
	_TALK_KIND_MAX,
};

enum talk_verb {
	TALK_START,
	TALK_STEP, /* the peer's blob */
	TALK_POLL, /* did the owner answer? */
	TALK_END,  /* the channel is gone */
	_TALK_VERB_MAX,
};

struct policyd_talk {
	enum talk_kind kind;
	enum talk_verb verb;
	uint8_t initiator;		/* pairing, START */
	uint8_t hid[HID_LEN];		/* session */
	uint8_t peer[DEVICE_ID_LEN];	/* session, STEP: whose blob it is */
	uint8_t exporter[EXPORTER_LEN]; /* of the channel; not for STEP and POLL of a pairing */
	const uint8_t *blob;		/* STEP; borrowed */
	size_t len;			/* at most POLICYD_BLOB_MAX */
};

/* A signed custody statement; empty: none. */
struct policyd_statement {
	uint8_t bytes[POLICYD_PROOF_MAX];
	size_t len;
};

/* One that a peer has to hear, or says. */
struct policyd_letter {
	uint8_t peer[DEVICE_ID_LEN];
	uint8_t statement[POLICYD_PROOF_MAX];
	size_t len;
};

/* One of the peer that belongs to a hand-off. */
struct policyd_word {
	uint8_t hid[HID_LEN];
	struct policyd_statement statement;
};

/* The one that moves a hand-off on; kind NONE and empty if none came. */
struct policyd_news {
	enum custody_statement_kind kind;
	struct policyd_statement statement;
};

struct policyd_side {
	uint8_t hid[HID_LEN], source;
};

struct policyd_entry {
	uint8_t hid[HID_LEN];
	enum custody_record record;
	struct policyd_statement proof;
	uint8_t copy_gone; /* this host's copy does not exist any more */
};

struct policyd_use {
	uint8_t uuid[UUID_LEN];
	enum custody_use use;
};

struct policyd_alarm {
	uint8_t uuid[UUID_LEN];
	char text[KERR_TEXT_MAX];
};

/* What is seen of a VM. */
enum console_kind {
	CONSOLE_SERIAL,	  /* its first serial port or console, in a terminal */
	CONSOLE_GRAPHICS, /* its display: VNC or SPICE */
	_CONSOLE_KIND_MAX,
};
DECLARE_NAMES(console_kind, enum console_kind);

/* Also what the offer of a console's session is. */
struct policyd_console_wish {
	uint8_t uuid[UUID_LEN];
	enum console_kind kind;
	uint8_t force; /* serial: whoever has it open loses it */
};

/* Where it is to be had. */
struct policyd_console_place {
	uint8_t hid[HID_LEN]; /* the console's number */
	uint8_t here;	      /* the mover can open it now; else kithd has to ask that device */
	uint8_t device[DEVICE_ID_LEN];
	char device_name[NAME_MAX_LEN + 1];
};

enum console_side {
	CONSOLE_SIDE_LOCAL,  /* seen where the VM is */
	CONSOLE_SIDE_VIEWER, /* seen here, the VM is at the peer */
	CONSOLE_SIDE_HOLDER, /* the VM is here, seen at the peer */
	_CONSOLE_SIDE_MAX,
};

struct policyd_console_grant {
	enum console_side side;
	struct policyd_console_wish wish;
	char vm[NAME_MAX_LEN + 1];
	char peer_name[NAME_MAX_LEN + 1]; /* of this device, where it is local */
	uint8_t key[32];		  /* data key; zeros where it is local */
};

/* -- Codecs (proto.c). Writing fails by wbuf_error(): -ENOBUFS, or -EINVAL for a value that the
 * reader would refuse. Reading fails by the returned -EBADMSG and leaves *ret as it was: enums
 * are checked, flags are 0 or 1, names and texts are clean and bounded. -- */
DECLARE_NAMES(custody_use, enum custody_use);

DECLARE_CODEC(policyd_status);
DECLARE_CODEC(policyd_pair_status);
DECLARE_CODEC(policyd_peer);
DECLARE_CODEC(policyd_trust);
DECLARE_CODEC(policyd_plan);
DECLARE_CODEC(policyd_audit);
DECLARE_RECORD(policyd_audit_log);
DECLARE_CODEC(policyd_vm);
DECLARE_CODEC(policyd_grant);
DECLARE_CODEC(policyd_open);
DECLARE_CODEC(policyd_conversation);
DECLARE_RECORD(policyd_nothing);
DECLARE_RECORD(policyd_flag);
DECLARE_RECORD(policyd_mark);
DECLARE_RECORD(policyd_fetch);
DECLARE_RECORD(policyd_fetched);
DECLARE_RECORD(policyd_wanted);
DECLARE_RECORD(policyd_number);
DECLARE_RECORD(policyd_uuid);
DECLARE_RECORD(policyd_hid);
DECLARE_RECORD(policyd_console_wish);
DECLARE_RECORD(policyd_console_place);
DECLARE_RECORD(policyd_console_grant);
DECLARE_RECORD(policyd_device);
DECLARE_RECORD(policyd_person);
DECLARE_RECORD(policyd_recovery);
DECLARE_RECORD(policyd_window);
DECLARE_RECORD(policyd_yes);
DECLARE_RECORD(policyd_accept);
DECLARE_RECORD(policyd_receive);
DECLARE_RECORD(policyd_rules);
DECLARE_RECORD(policyd_rules_held);
DECLARE_RECORD(policyd_target);
DECLARE_RECORD(policyd_question);
DECLARE_RECORD(policyd_move);
DECLARE_RECORD(policyd_range);
DECLARE_RECORD(policyd_spki);
DECLARE_RECORD(policyd_leaf);
DECLARE_CODEC(policyd_talk);
DECLARE_RECORD(policyd_statement);
DECLARE_CODEC(policyd_letter);
DECLARE_RECORD(policyd_word);
DECLARE_RECORD(policyd_news);
DECLARE_RECORD(policyd_side);
DECLARE_RECORD(policyd_entry);
DECLARE_RECORD(policyd_use);
DECLARE_RECORD(policyd_alarm);
DECLARE_CODEC(policyd_fence);
