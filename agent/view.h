/* SPDX-License-Identifier: Apache-2.0 */
/* What programs are shown of devices, VMs and hand-offs: structs in, JSON objects out. */
#pragma once

#include <jansson.h>

#include "agent/jobs.h"
#include "policyd/api/client.h"

/* `reason` OK: it would move. `reached`: the other device told what it offers. `rate`: bytes a
 * second, 0 = nobody knows. The time is from that of the disks alone, for memory that is empty is
 * not sent, to that of all. Where it would move, each rung is told with why not, or its pause. */
json_t *view_plan(const struct mover_plan *plan, const struct kerr *reason, bool reached,
		  uint64_t rate);

json_t *view_job(const struct job *job, int64_t now);
/* The event that tells of it: a line for control_broadcast(). */
char *view_progress(const struct job *job, int64_t now);

/* What kithd itself knows of the device, beside policyd's word. */
struct view_device {
	const struct config *config;
	bool window_open, mover, discovery;
	uint16_t port;
};

/* `st` NULL: policyd does not say, because of *why. */
json_t *view_status(const struct view_device *here, const struct policyd_status *st,
		    const struct kerr *why);

/* A paired device; `s`: where it is in sight, or NULL. */
json_t *view_paired(const struct policyd_peer *p, const struct sighting *s, int64_t now);

/* One that is in sight and not paired. `known`: who is paired; on a locked device nobody can say.
 */
json_t *view_stranger(const struct sighting *s, bool known, int64_t now);

/* `v` is policyd's word of it, `m` libvirt's; one of them may be NULL. `locked`: policyd does not
 * say what it knows. */
json_t *view_vm(const struct policyd_vm *v, const struct mover_vm *m, bool locked);
