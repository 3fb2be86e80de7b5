/* SPDX-License-Identifier: Apache-2.0 */
/* What all of kith-policyd stands on: what is open, who this device is, and in which state. */
#pragma once

#include "attest/record.h"
#include "base/config.h"
#include "policyd/identity.h"
#include "policyd/seal.h"

struct audit_runs;

struct core {
	struct config config;
	int state_fd;	 /* policyd's own folder */
	int marker_fd;	 /* custody markers for the hook */
	int lock_fd;	 /* held while this process lives: there is one kith-policyd (flock) */
	struct tpm *tpm; /* NULL where none answered */
	struct kerr tpm_missing; /* then: why */
	struct vault_keys keys;
	struct store *store; /* NULL unless unlocked */
	struct identity id;
	bool new_ak;		     /* opening made another attestation key */
	struct audit_runs *refusals; /* of peers, that repeat; NULL until there are any */
	enum policyd_state state;
	struct kerr reason;	   /* why it is not ready */
	char alarm[KERR_TEXT_MAX]; /* the last one since the start, "" = none */
	uint64_t alarm_time;	   /* Unix seconds */
};

/* Locks the state folder (-EBUSY if another kith-policyd has it), then opens TPM, vault and store
 * as far as they go; a part that fails leaves a state that says so
 * (TPM trouble degrades, never bricks: D10, D11). Fails only where nothing can be served. */
int core_new(const struct config *config, struct core **ret, struct kerr *err);
struct core *core_free(struct core *core);
DEFINE_CLEANUP(struct core *, core_free)

/* Makes vault, store and device keys if this device has none yet. `ret_recovery` is "" or the new
 * recovery key, to be shown once; the caller wipes it. */
int core_ensure_device(struct core *core, char ret_recovery[VAULT_RECOVERY_TEXT], struct kerr *err);

/* Opens a locked device by its recovery key and seals it to the present measurements. `new_ak`
 * then says that its TPM is another one than before, so that the peers have to take its new key
 * (H7). Without a TPM that works it is opened until the next start, and cannot hand over (M4). */
int core_unlock(struct core *core, const char *recovery, struct kerr *err);

/* This device as its owner signs it. Needs the TPM. */
void core_own_record(const struct core *core, struct device_record *ret);

/* Enters READY or NO_CLOUD by what the identity holds now. */
void core_update_state(struct core *core);

/* 0 if an owner is known and everything is open; else the refusal that says what to do. */
int core_require_ready(const struct core *core, struct kerr *err);
/* The same, but a device that has no owner yet will do. */
int core_require_device(const struct core *core, struct kerr *err);

/* 0 if there is a TPM to prove with and to guard by; else the refusal that says so. */
int core_require_tpm(const struct core *core, struct kerr *err);

/* Appends one audit record. `reason` NULL or code OK = allowed. The caller commits; a refusal is
 * committed here, because the failed request will be rolled back. Without room for it in the store
 * it is logged only, and that is no failure: what is recorded must not fail for the record. */
int core_audit(struct core *core, const char *person, const char *device, const char *vm,
	       const char *action, const struct kerr *reason);

/* The same about a session that a peer began: kept in a history of its own. Equal refusals within
 * CORE_AUDIT_RUN_MS become two records, of the first and of how many followed, and write nothing
 * in between (H5). */
#define CORE_AUDIT_RUN_MS 600000
int core_audit_peer(struct core *core, const char *person, const char *device, const char *vm,
		    const char *action, const struct kerr *reason);
/* Writes what is due; milliseconds until it wants to be called again, -1 = never. Between requests
 * only, as it commits. */
int core_audit_tick(struct core *core);
/* Writes all that is open, before the end. */
void core_audit_end(struct core *core);
