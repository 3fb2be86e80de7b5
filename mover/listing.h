/* SPDX-License-Identifier: Apache-2.0 */
/* A short-lived process that lists libvirt's domains for the supervisor. */
#pragma once

#include "base/config.h"
#include "mover/proto.h"

#define LISTING_MEMORY_MAX 256

/* Sizes that were known once: a listing does not ask QEMU while a hand-off goes on. */
struct listing_memory {
	struct {
		uint8_t uuid[UUID_LEN];
		uint64_t disk_bytes;
	} vms[LISTING_MEMORY_MAX];
	size_t count;
};

/* Keeps the sizes that a reply to MOVER_OP_VMS has, and fills in those that it lacks. A body that
 * is no such reply stays as it is. */
void listing_complete(struct listing_memory *m, uint8_t *body, size_t len);

/* Sends one reply to MOVER_OP_VMS on WORKER_FD and ends the process. */
_Noreturn void listing_main(const struct config *config);
