/* SPDX-License-Identifier: Apache-2.0 */
/* What of a VM is still to be sent, from the first second on. Pure. */
#pragma once

#include "mover/virt.h"

struct estimate {
	uint64_t capacity, used; /* of the disks that are sent: their size, what is allocated */
	uint64_t memory;	 /* of the VM; 0 if it is off */
	uint64_t disk_sent;	 /* bytes on the wire */
	bool memory_turn;	 /* QEMU has begun to send memory */
};

/* libvirt's figures count what QEMU has found so far, with the holes, and memory when its turn has
 * come; people want to know before. */
void estimate_left(const struct estimate *e, const struct virt_job *job, uint64_t *ret_disk,
		   uint64_t *ret_ram);
