/* SPDX-License-Identifier: Apache-2.0 */
/* Hand-offs that this device takes part in, for people to look at: open ones and the last ended. */
#pragma once

#include <stdbool.h>

#include "discovery/discovery.h"
#include "mover/proto.h"

#define JOBS_OPEN_MAX 64
#define JOBS_ENDED_MAX 16
#define JOBS_QUIET_MS 5000
#define JOBS_RATE_BYTES ((uint64_t)16 << 20) /* less says nothing of the rate */
#define JOBS_RATE_MAX ((uint64_t)1 << 40)    /* what a peer tells of it counts up to this */

enum job_state {
	JOB_SESSION, /* the two policyds talk */
	JOB_MOVING,  /* the mover has it */
	JOB_ENDED,
	_JOB_STATE_MAX,
};
DECLARE_NAMES(job_state, enum job_state);

struct job {
	enum job_state state;
	/* Ids, phase, figures and the error: the mover's word once it has it, ours before. */
	struct mover_progress progress;
	struct endpoint endpoint; /* the peer's address that worked; port 0: none to dial, but at
				   * the destination the one from which it came */
	uint64_t strangers;	  /* pace of data connections from other addresses */
	int64_t started, ended;	  /* ms of the monotonic clock */
	int64_t heard;		  /* when the mover last spoke of it */
};

struct jobs;
struct jobs *jobs_new(void);
struct jobs *jobs_free(struct jobs *jobs);
DEFINE_CLEANUP(struct jobs *, jobs_free)

/* Enters a hand-off. NULL with errno EEXIST if it is there and open, EBUSY with too many open. */
struct job *jobs_open(struct jobs *jobs, const uint8_t hid[HID_LEN], bool source, int64_t now);

/* Borrowed until a job is opened or ended. */
struct job *jobs_find(struct jobs *jobs, const uint8_t hid[HID_LEN]);
size_t jobs_count(const struct jobs *jobs);
/* Newest first. */
struct job *jobs_get(struct jobs *jobs, size_t index);

void jobs_set_state(struct job *job, enum job_state state, int64_t now);

/* Ends it; of more than JOBS_ENDED_MAX ended ones the oldest is forgotten. */
void jobs_end(struct jobs *jobs, struct job *job, const struct kerr *err, int64_t now);

/* The mover's word; a job not known yet (kithd was restarted) is entered. NULL if that is not
 * possible. */
struct job *jobs_progress(struct jobs *jobs, const struct mover_progress *p, int64_t now);

/* Bytes a second of the last hand-off with this peer that went well and was long enough to tell; 0:
 * there was none, or it is forgotten. */
uint64_t jobs_rate(const struct jobs *jobs, const uint8_t peer[DEVICE_ID_LEN]);

/* True while the mover switches a VM over to or from this peer: then the two workers talk, and
 * nobody else has to carry what they say. A worker that is stuck says nothing for JOBS_QUIET_MS. */
bool jobs_switching(const struct jobs *jobs, const uint8_t peer[DEVICE_ID_LEN], int64_t now);
