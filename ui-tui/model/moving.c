/* SPDX-License-Identifier: Apache-2.0 */
/* The steps in their order. */
#include "ui-tui/model/moving.h"

#include <string.h>

#include "base/buf.h"

void moving_begin(struct moving *m, const struct target *target)
{
	*m = (struct moving){.target = *target, .step = MOVING_REQUEST};
}

void moving_allowed(struct moving *m, const uint8_t hid[HID_LEN])
{
	hex_encode(hid, HID_LEN, m->hid);
	m->step = MOVING_WATCH;
}

json_t *moving_request(const struct moving *m)
{
	char device[MODEL_ID_TEXT];

	switch (m->step) {
	case MOVING_WATCH:
		return json_pack("{s:s}", "op", "watch");
	case MOVING_START:
		hex_encode(m->target.device, DEVICE_ID_LEN, device);
		return json_pack("{s:s, s:s, s:s}", "op", "handoff", "hid", m->hid, "device",
				 device);
	case MOVING_REQUEST:
	case MOVING_FOLLOW:
	case MOVING_OVER:
	case _MOVING_STEP_MAX:
		break;
	}
	return NULL;
}

void moving_answered(struct moving *m)
{
	if (m->step == MOVING_WATCH)
		m->step = MOVING_START;
	else if (m->step == MOVING_START)
		m->step = MOVING_FOLLOW;
}

void moving_refused(struct moving *m, const struct kerr *why)
{
	m->error = *why;
	if (m->error.code == KCODE_OK)
		kerr_set(&m->error, EREMOTEIO, KCODE_FAILED, "The move failed.");
	m->step = MOVING_OVER;
}

bool moving_progress(struct moving *m, const struct model_job *job)
{
	if (!*m->hid || strcmp(job->hid, m->hid) != 0)
		return false;
	m->job = *job;
	if (!model_is_over(job))
		return true;
	m->step = MOVING_OVER;
	m->error = job->error;
	if (job->phase == PHASE_FAILED && m->error.code == KCODE_OK)
		kerr_set(&m->error, EREMOTEIO, KCODE_FAILED,
			 "The hand-off failed without a reason.");
	return true;
}
