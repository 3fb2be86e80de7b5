/* SPDX-License-Identifier: Apache-2.0 */
/* Everything kith-policyd must not forget: one sealed SQLite image, old or new, never a mixture.
 *
 * Changes collect in one SQL transaction, opened by the first change; store_commit() makes them
 * durable, store_rollback() drops them. The dispatcher calls store_rollback() after every request
 * that failed. Single-threaded. All functions fill *err (may be NULL) with a sentence. */
#pragma once

#include "attest/evidence.h"
#include "attest/record.h"
#include "base/secret.h"
#include "policyd/custody-chain.h"
#include "policyd/custody.h"

#define STORE_FILE "store.db" /* below the state directory of policyd */
#define STORE_KEY_LEN 32
#define STORE_FILE_MAX (16u << 20)
#define STORE_IMAGE_MAX (STORE_FILE_MAX / 2)
#define STORE_RESERVE (1u << 20) /* of the image: for custody only */

/* Limits, so that every list fits one reply frame. */
#define STORE_PEERS_MAX 64
#define STORE_VMS_MAX 256
#define STORE_REQUESTS_MAX 64
#define STORE_META_MAX 65536
#define STORE_RECORD_MAX 4096
#define STORE_POLICY_MAX 32768
#define STORE_AUDIT_KEEP 4096
#define STORE_PEER_AUDIT_KEEP 512
#define STORE_JOURNAL_KEEP 4096
#define STORE_JOURNAL_PRUNE 512 /* so many go at a time */
#define STORE_OFFERS_MAX 8

/* The TPM's monotonic counter. Both give the value after the call and return 0 or negative errno.
 */
struct store_guard {
	int (*read)(void *ctx, uint64_t *ret);
	int (*increment)(void *ctx, uint64_t *ret);
	void *ctx;
};

enum commit_kind {
	COMMIT_PLAIN,	/* durable, but an older copy with the same counter passes */
	COMMIT_GUARDED, /* also raises the TPM counter: custody, revocation, policy, keys, trust */
	_COMMIT_KIND_MAX,
};

struct store;

/* Makes a new, empty store in memory; the first commit writes it, so that what a new device needs
 * is there at once or not at all (H6). -EEXIST/`exists` if there is one. The key and the guard are
 * copied; `dirfd` is duplicated; guard.ctx must outlive the store. */
int store_create(int dirfd, const struct secret *db_key, const struct store_guard *guard,
		 struct store **ret, struct kerr *err);

/* Opens. -ENOENT/`not-found` if there is none; -EBADMSG/`locked` for a wrong key or any changed
 * bit; -ESTALE/`rollback` if the file's counter is behind the TPM's or more than one ahead; one
 * ahead is a crash between write and increment and is rolled forward (D3, D4, D5). */
int store_open(int dirfd, const struct secret *db_key, const struct store_guard *guard,
	       struct store **ret, struct kerr *err);

/* Like store_open(), but accepts any counter and writes the image again under the present one. Only
 * after the owner gave the recovery key and was told what it means: state may be lost, so that
 * every VM is in doubt from then on (*ret_lost; H2). */
int store_open_rebase(int dirfd, const struct secret *db_key, const struct store_guard *guard,
		      struct store **ret, bool *ret_lost, struct kerr *err);

/* Opens where no TPM answers, after the owner gave the recovery key (M4). Nobody can tell whether
 * the file is the newest, so every VM is in doubt from then on. Guarded commits count in the file
 * alone: store_open() takes it as a crash if there was one, else as a roll-back. */
int store_open_unguarded(int dirfd, const struct secret *db_key, struct store **ret,
			 struct kerr *err);

/* Another one after each commit: to tell that something changed, not what. */
#define STORE_MARK_LEN 24
void store_mark(const struct store *s, uint8_t ret[STORE_MARK_LEN]);

/* Drops uncommitted changes. Accepts NULL, returns NULL. */
struct store *store_free(struct store *s);
DEFINE_CLEANUP(struct store *, store_free)

/* Makes the changes durable: serialise, encrypt, new file, fsync, rename, fsync of the directory,
 * and for COMMIT_GUARDED the TPM counter. On failure file and memory are back at the last committed
 * state. Where not even that is certain the store breaks: every later call fails with `not-ready`
 * until it is opened again, which finds either the old or the new state. */
int store_commit(struct store *s, enum commit_kind kind, struct kerr *err);
void store_rollback(struct store *s);

/* Structure of the image and the hash chains of journal and audit. -EBADMSG with a sentence. */
int store_verify(struct store *s, struct kerr *err);

/* -- Single values -- */

#define STORE_DEVICE_SK "device_sk"	    /* Ed25519, 64 bytes */
#define STORE_DEVICE_RECORD "device_record" /* as the owner signed it */
#define STORE_OWNER_SK "owner_sk"	    /* only on the device that made the cloud */
#define STORE_OWNER_PK "owner_pk"
#define STORE_OWNER_NAME "owner_name"
#define STORE_AK_PUBLIC "ak_pub"
#define STORE_AK_PRIVATE "ak_priv"
#define STORE_AUTHORITY_SK "authority_sk" /* re-signs the sealing policy */

int store_meta_set(struct store *s, const char *key, const void *value, size_t len,
		   struct kerr *err);
/* -ENOENT/`not-found`. At most `size` bytes, -EMSGSIZE if it is longer. */
int store_meta_get(struct store *s, const char *key, void *ret, size_t size, size_t *ret_len,
		   struct kerr *err);
/* Text as stored by store_meta_set(key, text, strlen(text)); terminated. */
int store_meta_get_text(struct store *s, const char *key, char *ret, size_t size, struct kerr *err);
/* Into locked memory; released with secret_clear(). */
int store_meta_get_secret(struct store *s, const char *key, struct secret *ret, struct kerr *err);
int store_meta_delete(struct store *s, const char *key, struct kerr *err);

/* -- Peers: the pinned devices and the trust table -- */

struct store_peer {
	uint8_t id[DEVICE_ID_LEN]; /* SHA-256 of sign_pk */
	uint8_t sign_pk[SIGN_PK_LEN];
	char name[NAME_MAX_LEN + 1]; /* unique among the peers */
	enum device_role role;
	enum tpm_tier tier;
	bool own; /* of our owner's cloud */
	char person[NAME_MAX_LEN + 1];
	enum person_role person_role;
	uint8_t owner_pk[SIGN_PK_LEN];
	uint8_t ak_public[STORE_RECORD_MAX]; /* TPM2B_PUBLIC */
	size_t ak_public_len;
	uint8_t ek_hash[HASH_LEN];
	uint8_t record[STORE_RECORD_MAX]; /* device record as signed */
	size_t record_len;
	uint32_t reference_mask; /* PCRs the owner accepted; array indexed by PCR */
	uint8_t reference[PCR_COUNT][HASH_LEN];
	uint64_t evidence_time; /* Unix seconds, 0 = never */
	uint32_t evidence_mask;
	uint8_t evidence[PCR_COUNT][HASH_LEN];
	char versions[POLICYD_VERSIONS_MAX];
	enum verdict verdict;
	struct kerr reason;
	bool quoted; /* `quote` is that of the last genuine evidence (M3) */
	struct quote_info quote;
	bool receive; /* of a device of another person: may it send VMs here? (H4) */
};

/* Inserts or replaces by id; also brings a revoked device back (a new pairing). `exists` if another
 * peer has the name, `busy` at STORE_PEERS_MAX. */
int store_peer_put(struct store *s, const struct store_peer *peer, struct kerr *err);
/* -ENOENT/`peer-unknown`, for revoked ones too (P9). */
int store_peer_get(struct store *s, const uint8_t id[DEVICE_ID_LEN], struct store_peer *ret,
		   struct kerr *err);
int store_peer_by_name(struct store *s, const char *name, struct store_peer *ret, struct kerr *err);
/* Sorted by name; *ret is malloced (NULL for none). */
int store_peer_list(struct store *s, struct store_peer **ret, size_t *ret_n, struct kerr *err);
/* Genuine evidence of a peer. */
struct store_evidence {
	uint64_t time; /* Unix seconds */
	const struct pcr_set *pcrs;
	const char *versions;
	const struct quote_info *quote;
};

/* What the verifier said, with the new evidence where that was genuine (else NULL). An `untrusted`
 * verdict stays until a `trusted` one replaces it: `stale` and `unknown` do not (B12). */
int store_peer_set_verdict(struct store *s, const uint8_t id[DEVICE_ID_LEN], enum verdict verdict,
			   const struct kerr *reason, const struct store_evidence *evidence,
			   struct kerr *err);
/* What the last evidence says of `required` and of what the peer was measured by before becomes the
 * reference, nothing else, and the verdict `trusted` (H1). `shown` is the hash that
 * store_peer_to_trust() gave: `attest-pcr` if the evidence is another one by now. `not-ready` if
 * there is none, `attest-quote` or `attest-pcr` if it lacks one of those PCRs; and the reason of
 * the verdict if that is not about measurements. Commit guarded. */
int store_peer_accept(struct store *s, const uint8_t id[DEVICE_ID_LEN], uint32_t required,
		      const uint8_t shown[HASH_LEN], struct kerr *err);
/* The owner's word on whether VMs of other people may come from it. Commit guarded. */
int store_peer_set_receive(struct store *s, const uint8_t id[DEVICE_ID_LEN], bool on,
			   struct kerr *err);
/* Keys and measurements are dropped, the id stays as revoked. Commit guarded (P9). */
int store_peer_revoke(struct store *s, const uint8_t id[DEVICE_ID_LEN], struct kerr *err);
/* 1 or 0, or negative errno. */
int store_peer_is_revoked(struct store *s, const uint8_t id[DEVICE_ID_LEN]);
void store_peer_to_wire(const struct store_peer *peer, struct policyd_peer *ret);
void store_peer_to_trust(const struct store_peer *peer, struct policyd_trust *ret);

/* -- Policies -- */

struct store_policy {
	uint8_t uuid[UUID_LEN];
	char name[NAME_MAX_LEN + 1]; /* of the VM */
	uint64_t version;
	uint8_t owner_pk[SIGN_PK_LEN];
	uint8_t signature[SIGN_LEN];
	uint8_t record[RECORD_MAX]; /* of the device that signed; none: the owner's key did */
	size_t record_len;
	char *text; /* terminated */
	uint8_t *compiled;
	size_t text_len, compiled_len; /* each at most STORE_POLICY_MAX */
};

/* 0 if store_policy_put() would take it, 1 if it is there already, or its refusal. */
int store_policy_check(struct store *s, const struct store_policy *policy, struct kerr *err);
/* Copies. The same version again is accepted only if it is the same policy; an older version is
 * refused (`rollback`), another owner too (`identity`). Commit guarded. */
int store_policy_put(struct store *s, const struct store_policy *policy, struct kerr *err);
/* -ENOENT/`not-found`. *ret is released with store_policy_clear(). */
int store_policy_get(struct store *s, const uint8_t uuid[UUID_LEN], struct store_policy *ret,
		     struct kerr *err);
/* Version alone, 0 if there is none. */
int store_policy_version(struct store *s, const uint8_t uuid[UUID_LEN], uint64_t *ret,
			 struct kerr *err);
void store_policy_clear(struct store_policy *policy);

/* -- Doubt about custody (custody-doubt.h) -- */

/* That peer has not got the VM; the caller commits. */
int store_doubt_answered(struct store *s, const uint8_t uuid[UUID_LEN],
			 const uint8_t peer[DEVICE_ID_LEN], struct kerr *err);
/* Peers that did not say so yet; *ret is malloced (NULL for none). */
int store_doubt_unheard(struct store *s, const uint8_t uuid[UUID_LEN], struct store_peer **ret,
			size_t *ret_n, struct kerr *err);
/* The view after it, as JOURNAL_DOUBT_OVER, _HEARSAY or _CLAIM (guarded), with journal and marker.
 */
int store_doubt_end(struct store *s, const struct custody_view *before,
		    const struct custody_view *after, int record, const void *proof,
		    size_t proof_len, struct kerr *err);

/* -- Offers: policy and chain of a hand-off that arrives. They bind nobody (H4) before OWN, which
 * makes the policy the VM's; VOID drops both (store_custody_step()). -- */

/* Also asks store_policy_check(). `measured` is what this device was when it proved itself for the
 * hand-off (measure_state_put()), kept so that a restart does not forget it (B6). `busy` at
 * STORE_OFFERS_MAX. The caller commits. */
int store_offer_put(struct store *s, const uint8_t hid[HID_LEN], const struct store_policy *policy,
		    const struct custody_chain *chain, const void *measured, size_t measured_len,
		    struct kerr *err);
/* -ENOENT/`not-found` without an offer. */
int store_offer_measured(struct store *s, const uint8_t hid[HID_LEN], void *ret, size_t size,
			 size_t *ret_len, struct kerr *err);
/* An empty chain if there is none. */
int store_offer_chain(struct store *s, const uint8_t hid[HID_LEN], struct custody_chain *ret,
		      struct kerr *err);

/* -- Custody chains: of a VM that is here, the proof that it is. The caller commits. -- */

int store_chain_put(struct store *s, const uint8_t uuid[UUID_LEN],
		    const struct custody_chain *chain, struct kerr *err);
/* An empty chain if there is none. */
int store_chain_get(struct store *s, const uint8_t uuid[UUID_LEN], struct custody_chain *ret,
		    struct kerr *err);

/* -- Custody and its journal -- */

/* Never -ENOENT: an unknown VM comes back with known = false. */
int store_custody_get(struct store *s, const uint8_t uuid[UUID_LEN], struct custody_view *ret,
		      struct kerr *err);
/* The VM's present hand-off only. -ENOENT/`not-found`. */
int store_custody_by_hid(struct store *s, const uint8_t hid[HID_LEN], struct custody_view *ret,
			 struct kerr *err);
/* Is a VM of that owner with a device that is not his own, or nobody knows where? */
int store_custody_lent(struct store *s, const uint8_t owner_pk[SIGN_PK_LEN], bool *ret,
		       struct kerr *err);
/* Sorted by name; *ret is malloced (NULL for none). */
int store_custody_list(struct store *s, struct custody_view **ret, size_t *ret_n, struct kerr *err);

/* Writes one record: fills the facts of *step, asks custody_step(), writes the row, puts a marker
 * that forbids out first, commits in the kind that the record needs together with whatever else the
 * caller changed (its audit record, say), and puts a marker that allows out last. `proof` is the
 * signed statement as received (NULL, 0 = none).
 * 0 = written; 1 = it was there already (other changes of the caller stay uncommitted); a refusal
 * of custody_step() changes nothing; any later failure drops all uncommitted changes. In each good
 * case *ret_after describes this hand-off, so that custody_statement_for() answers it. */
int store_custody_step(struct store *s, struct custody_step *step, const void *proof,
		       size_t proof_len, struct custody_view *ret_after, struct kerr *err);
/* 1 if exactly this record was the last one of its hand-off, with *ret_after as above; else 0.
 * Needs step->hid and step->record only, and writes nothing (F3). */
int store_custody_repeated(struct store *s, struct custody_step *step,
			   struct custody_view *ret_after, struct kerr *err);
/* A start that the hook may allow only once this is on the disk (F6). Commits guarded: an older
 * journal would let the VM be released although it runs here. */
int store_custody_started(struct store *s, const uint8_t uuid[UUID_LEN], struct kerr *err);
/* custody_adopt() and journal record with guarded commit and marker, in the same way. */
int store_custody_adopt(struct store *s, const uint8_t uuid[UUID_LEN], const char *name,
			const uint8_t self[DEVICE_ID_LEN], const char *self_name,
			struct custody_view *ret_after, struct kerr *err);
/* From now on records put their markers into that folder, which stays the caller's; before that
 * there are none. Writes those of all known VMs, and removes those of unknown ones. */
int store_custody_markers(struct store *s, int marker_dir, struct kerr *err);

/* The last record that was ever written for a hand-off: to answer a peer that asks again, and to
 * refuse a replayed offer before anything else. -ENOENT/`not-found`. */
int store_journal_last(struct store *s, const uint8_t hid[HID_LEN], struct journal_entry *ret,
		       struct kerr *err);

/* -- Requests of people that no hand-off has used yet -- */

struct store_request {
	uint8_t hid[HID_LEN], uuid[UUID_LEN], device[DEVICE_ID_LEN];
	char person[NAME_MAX_LEN + 1];
	uint64_t time; /* clock_ms() of the policyd that was asked */
};

/* `exists` for a hid that is there or was used, `busy` at STORE_REQUESTS_MAX. */
int store_request_put(struct store *s, const struct store_request *request, struct kerr *err);
int store_request_get(struct store *s, const uint8_t hid[HID_LEN], struct store_request *ret,
		      struct kerr *err);
int store_request_delete(struct store *s, const uint8_t hid[HID_LEN], struct kerr *err);
/* `time`: clock_ms() of the process that wrote it, so what a policyd finds at its start is void
 * (M11). Deletes those with time < `before`, except of hand-offs that are open. Count or negative.
 */
int store_request_expire(struct store *s, uint64_t before, struct kerr *err);

/* -- Logs: chained by hash, of a bounded length -- */

/* Both audits have one numbering, and each its own chain and length, so that what others cause
 * pushes nothing out of the owner's (H5). */
enum store_log {
	STORE_AUDIT,
	STORE_PEER_AUDIT, /* sessions that a peer began here */
	STORE_JOURNAL,	  /* of custody; written with each record of it */
	_STORE_LOG_MAX,
};

/* Appends to an audit: fills record->seq and record->hash. -ENOSPC without room. The caller
 * commits. */
int store_audit_append(struct store *s, enum store_log log, struct policyd_audit *record,
		       struct kerr *err);
/* Both audits, from sequence number `from` on, at most `max`; *ret is malloced (NULL for none). */
int store_audit_list(struct store *s, uint64_t from, size_t max, struct policyd_audit **ret,
		     size_t *ret_n, struct kerr *err);
/* The state of one of them (all but `peers`), if store_log_verify() finds nothing. */
int store_audit_verify(struct store *s, enum store_log log, struct policyd_audit_log *ret,
		       struct kerr *err);
/* 0 if the chain holds, from the oldest kept record to the newest written one; else -EBADMSG and a
 * sentence with the number of the last record that does. */
int store_log_verify(struct store *s, enum store_log log, struct kerr *err);
