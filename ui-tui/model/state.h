/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that the screen knows, as it was told last. */
#pragma once

#include "ui-tui/model/model.h"
#include "ui-tui/model/sheet.h"

#define STATE_LOG_MAX 1000 /* newest records */
#define STATE_ROWS_MAX 4096

/* What kithd says of this device. */
struct state_here {
	char name[NAME_MAX_LEN + 1], owner[NAME_MAX_LEN + 1];
	char role[MODEL_WORD_MAX], tier[MODEL_WORD_MAX], state[MODEL_WORD_MAX];
	char trouble[KERR_TEXT_MAX]; /* why it is not ready, or cannot say; "" = it is */
	bool mover;
};

/* A row of `kith doctor`. */
struct state_check {
	char name[MODEL_WORD_MAX], verdict[MODEL_WORD_MAX], sentence[400], remedy[320];
};

/* Somebody whose devices are paired here, or the owner. */
struct state_person {
	char key[MODEL_ID_TEXT];
	char name[NAME_MAX_LEN + 1], role[MODEL_WORD_MAX];
	bool own;
	size_t devices; /* without this one */
};

/* `kith pair`, as it goes. */
struct state_pairing {
	bool running, asking, answered; /* a code is shown; the person has said something */
	char code[MODEL_WORD_MAX];
	char peer[NAME_MAX_LEN + 1], peer_owner[NAME_MAX_LEN + 1];
	char peer_role[MODEL_WORD_MAX], peer_tier[MODEL_WORD_MAX], past[MODEL_WORD_MAX];
	char recovery[POLICYD_RECOVERY_KEY_MAX]; /* shown once, "" = none; wiped when left */
	char end[KERR_TEXT_MAX + 256];		 /* how the last one ended, "" = none did yet */
	bool paired;
};

struct state {
	uint64_t now;		     /* Unix seconds */
	char user[NAME_MAX_LEN + 1]; /* who sits here, "" = not known */
	char acts[NAME_MAX_LEN + 1]; /* the user who acts for the owner here, "" = not known */
	bool kithd;		     /* it answers */
	uint64_t silent_s;	     /* since when it does not, Unix seconds */
	struct kerr silent;	     /* why not */
	struct state_here here;
	struct model_vm *vms;
	size_t vm_count;
	char vms_trouble[KERR_TEXT_MAX]; /* what is missing in the list and why, "" = nothing */
	struct model_device *devices;
	size_t device_count;
	struct state_person *people; /* the owner first */
	size_t person_count;
	struct model_job *jobs; /* newest first */
	size_t job_count;
	struct policyd_audit *log; /* oldest first */
	size_t log_count;
	char trust_of[MODEL_ID_TEXT]; /* whose `trust` is; "" = nobody's */
	struct policyd_trust trust;
	struct kerr no_trust; /* why it cannot be told; code OK: it is */
	char policy_of[MODEL_UUID_TEXT];
	struct sheet policy;
	struct state_check *checks;
	size_t check_count;
	bool checking;
	struct state_pairing pairing;
};

void state_release(struct state *s);

/* kithd answers, or does not any more because of *why. */
void state_connected(struct state *s);
void state_lost(struct state *s, const struct kerr *why);

/* kithd's answers. */
void state_take_here(struct state *s, const json_t *status);
void state_take_vms(struct state *s, const json_t *answer);
void state_take_devices(struct state *s, const json_t *answer);
void state_take_jobs(struct state *s, const json_t *answer);
/* One of them; true if it has just ended. */
bool state_take_job(struct state *s, const struct model_job *job);

/* policyd's. */
void state_take_doubt(struct state *s, const struct policyd_vm *vms, size_t count);
void state_take_log(struct state *s, const struct policyd_audit *records, size_t count);
void state_take_trust(struct state *s, const struct policyd_trust *trust);
void state_no_trust(struct state *s, const char *id, const struct kerr *why);
void state_take_policy(struct state *s, const uint8_t uuid[UUID_LEN], uint64_t version,
		       const char *text);
/* The VM has none, or it cannot be read. */
void state_no_policy(struct state *s, const char *uuid, const struct kerr *why);

/* The documents of `kith --json doctor` and `init`, and the events of `kith --json pair`. */
void state_take_checks(struct state *s, const json_t *document);
void state_take_init(struct state *s, const json_t *document);
void state_take_pairing(struct state *s, const json_t *event);
/* Forgets all of an earlier one but a recovery key, which may not have been written down yet. */
void state_pairing_begin(struct state *s);
/* It is over, with this exit status. */
void state_pairing_over(struct state *s, int status);

const struct model_vm *state_vm(const struct state *s, const char *uuid);
const struct model_device *state_device(const struct state *s, const char *id);
const struct model_job *state_job(const struct state *s, const char *hid);
/* A record of the log by its number, or NULL. */
const struct policyd_audit *state_record(const struct state *s, const char *seq);
const struct state_person *state_person(const struct state *s, const char *key);
/* Whether the device is paired, and that person's. */
bool state_is_of(const struct model_device *d, const struct state_person *p);
/* The hand-off of a VM that is under way, or NULL. */
const struct model_job *state_job_of(const struct state *s, const char *uuid);
/* The device from which a VM came here last; NULL if nobody remembers. */
const struct model_device *state_origin(const struct state *s, const char *uuid);
