/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind `kith jobs` and the progress bars. */
#include "agent/jobs.h"

#include <string.h>

#include "base/buf.h"
#include "base/log.h"

static const char *const job_state_names[_JOB_STATE_MAX] = {
	[JOB_SESSION] = "session",
	[JOB_MOVING] = "moving",
	[JOB_ENDED] = "ended",
};
DEFINE_NAMES(job_state, enum job_state, _JOB_STATE_MAX)

struct jobs {
	struct job *rows[JOBS_OPEN_MAX + JOBS_ENDED_MAX]; /* newest first */
	size_t count;
};

struct jobs *jobs_new(void)
{
	return calloc(1, sizeof(struct jobs));
}

struct jobs *jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return NULL;
	for (size_t i = 0; i < jobs->count; i++)
		free(jobs->rows[i]);
	free(jobs);
	return NULL;
}

static void remove_row(struct jobs *jobs, size_t i)
{
	free(jobs->rows[i]);
	jobs->count--;
	memmove(&jobs->rows[i], &jobs->rows[i + 1], (jobs->count - i) * sizeof(jobs->rows[0]));
}

static size_t count_open(const struct jobs *jobs)
{
	size_t n = 0;

	for (size_t i = 0; i < jobs->count; i++)
		n += jobs->rows[i]->state != JOB_ENDED;
	return n;
}

struct job *jobs_find(struct jobs *jobs, const uint8_t hid[HID_LEN])
{
	for (size_t i = 0; i < jobs->count; i++)
		if (memcmp(jobs->rows[i]->progress.hid, hid, HID_LEN) == 0)
			return jobs->rows[i];
	return NULL;
}

struct job *jobs_open(struct jobs *jobs, const uint8_t hid[HID_LEN], bool source, int64_t now)
{
	struct job *job;

	for (size_t i = 0; i < jobs->count; i++) {
		if (memcmp(jobs->rows[i]->progress.hid, hid, HID_LEN) != 0)
			continue;
		if (jobs->rows[i]->state != JOB_ENDED) {
			errno = EEXIST;
			return NULL;
		}
		remove_row(jobs, i);
		break;
	}
	if (count_open(jobs) >= JOBS_OPEN_MAX || jobs->count == ARRAY_SIZE(jobs->rows)) {
		errno = EBUSY;
		return NULL;
	}
	job = calloc(1, sizeof(*job));
	if (!job)
		return NULL;
	memcpy(job->progress.hid, hid, HID_LEN);
	job->progress.source = source;
	job->progress.phase = PHASE_CHECKING;
	job->progress.left_ms = UINT64_MAX;
	job->started = now;
	memmove(&jobs->rows[1], &jobs->rows[0], jobs->count * sizeof(jobs->rows[0]));
	jobs->rows[0] = job;
	jobs->count++;
	return job;
}

size_t jobs_count(const struct jobs *jobs)
{
	return jobs->count;
}

struct job *jobs_get(struct jobs *jobs, size_t index)
{
	return index < jobs->count ? jobs->rows[index] : NULL;
}

void jobs_set_state(struct job *job, enum job_state state, int64_t now)
{
	char hid[2 * HID_LEN + 1];

	if (job->state == state)
		return;
	hex_encode(job->progress.hid, HID_LEN, hid);
	log_debug("jobs", "%s: %s -> %s", hid, job_state_to_string(job->state),
		  job_state_to_string(state));
	job->state = state;
	if (state == JOB_ENDED)
		job->ended = now;
}

static void forget_oldest(struct jobs *jobs)
{
	size_t ended = jobs->count - count_open(jobs);

	for (size_t i = jobs->count; i-- > 0 && ended > JOBS_ENDED_MAX;)
		if (jobs->rows[i]->state == JOB_ENDED) {
			remove_row(jobs, i);
			ended--;
		}
}

void jobs_end(struct jobs *jobs, struct job *job, const struct kerr *err, int64_t now)
{
	if (job->state == JOB_ENDED)
		return;
	job->progress.phase = err->code == KCODE_OK ? PHASE_DONE : PHASE_FAILED;
	job->progress.error = *err;
	job->progress.left_ms = err->code == KCODE_OK ? 0 : UINT64_MAX;
	jobs_set_state(job, JOB_ENDED, now);
	forget_oldest(jobs);
}

struct job *jobs_progress(struct jobs *jobs, const struct mover_progress *p, int64_t now)
{
	struct job *job = jobs_find(jobs, p->hid);

	if (!job)
		job = jobs_open(jobs, p->hid, p->source, now);
	if (!job)
		return NULL;
	job->progress = *p;
	job->heard = now;
	if (p->phase == PHASE_DONE || p->phase == PHASE_FAILED) {
		jobs_set_state(job, JOB_ENDED, now);
		forget_oldest(jobs);
		return jobs_find(jobs, p->hid);
	}
	jobs_set_state(job, JOB_MOVING, now);
	return job;
}

uint64_t jobs_rate(const struct jobs *jobs, const uint8_t peer[DEVICE_ID_LEN])
{
	for (size_t i = 0; i < jobs->count; i++) {
		const struct mover_progress *p = &jobs->rows[i]->progress;
		uint64_t bytes = p->ram_bytes + p->disk_bytes;

		if (p->phase == PHASE_DONE && bytes >= JOBS_RATE_BYTES && p->elapsed_ms &&
		    memcmp(p->peer, peer, DEVICE_ID_LEN) == 0)
			return MIN_OF(bytes / p->elapsed_ms * 1000 + 1, JOBS_RATE_MAX);
	}
	return 0;
}

bool jobs_switching(const struct jobs *jobs, const uint8_t peer[DEVICE_ID_LEN], int64_t now)
{
	for (size_t i = 0; i < jobs->count; i++) {
		const struct job *job = jobs->rows[i];

		if (job->state == JOB_MOVING && job->progress.phase == PHASE_SWITCHING &&
		    memcmp(job->progress.peer, peer, DEVICE_ID_LEN) == 0 &&
		    now - job->heard < JOBS_QUIET_MS)
			return true;
	}
	return false;
}
