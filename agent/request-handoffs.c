/* SPDX-License-Identifier: Apache-2.0 */
/* Hand-offs: to begin one, to look at them, to call one off. */
#include <string.h>

#include "agent/call.h"
#include "agent/now.h"
#include "agent/view.h"

int handoff_begin(const struct requests_parts *p, const uint8_t hid[HID_LEN],
		  struct peers_target *to, struct kerr *err)
{
	struct job *job = jobs_open(p->jobs, hid, true, now_ms());

	if (!job)
		return kerr_set(err, EBUSY, errno == EEXIST ? KCODE_EXISTS : KCODE_BUSY,
				errno == EEXIST ? "This hand-off is under way already."
						: "Too many hand-offs are open on this device.");
	whereabouts_find(p->whereabouts, to->id, to->id_len, to);
	memcpy(job->progress.peer, to->id, DEVICE_ID_LEN);
	snprintf(job->progress.peer_name, sizeof(job->progress.peer_name), "%s", to->label);
	control_broadcast(p->control, view_progress(job, now_ms()));
	peers_handoff(p->peers, hid, to);
	return 0;
}

static void handoff_now(struct call *c)
{
	struct kerr err = {0};

	if (handoff_begin(c->parts, c->request.hid, &c->target, &err) < 0)
		call_fail(c, &err);
	else
		call_reply(c, json_pack("{s:b}", "started", 1));
}

static void on_may_hand_off(void *user)
{
	struct call *c = user;
	struct kerr err = {0};

	if (!call_find_paired(c, &err))
		call_fail(c, &err);
	else if (c->request.address[0])
		address_resolve(c, c->request.address, handoff_now);
	else
		handoff_now(c);
}

void request_handoff(struct call *c)
{
	overview_refresh(c->parts->overview, on_may_hand_off, c);
}

void request_jobs(struct call *c)
{
	struct jobs *jobs = c->parts->jobs;
	json_t *list = json_array();

	for (size_t i = 0; i < jobs_count(jobs); i++)
		json_array_append_new(list, view_job(jobs_get(jobs, i), now_ms()));
	call_reply(c, json_pack("{s:o}", "jobs", list));
}

static void on_cancelled(void *arg, int r, const struct kerr *err)
{
	struct call *c = arg;

	if (r < 0)
		call_fail(c, err);
	else
		call_reply(c, json_pack("{s:b}", "cancelling", 1));
}

static void cancel_at_mover(struct call *c)
{
	struct mover_client *mover = courier_client(c->parts->courier);
	struct kerr err = {0};

	if (mover && mover_client_cancel(mover, c->request.hid, on_cancelled, c) == 0)
		return;
	kerr_set(&err, EAGAIN, KCODE_NOT_READY, "The local service kith-mover does not answer.");
	call_fail(c, &err);
}

void request_cancel(struct call *c)
{
	const uint8_t *hid = c->request.hid;
	struct job *job = jobs_find(c->parts->jobs, hid);
	struct kerr err = {0};

	if (!job || job->state == JOB_ENDED) {
		kerr_set(&err, ENOENT, KCODE_NOT_FOUND, "There is no such hand-off under way.");
		call_fail(c, &err);
		return;
	}
	kerr_set(&err, ECANCELED, KCODE_CANCELLED, "The hand-off was cancelled.");
	if (job->state == JOB_SESSION && peers_cancel(c->parts->peers, hid, &err) == 0)
		call_reply(c, json_pack("{s:b}", "cancelling", 1));
	else
		cancel_at_mover(c);
}
