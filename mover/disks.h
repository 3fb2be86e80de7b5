/* SPDX-License-Identifier: Apache-2.0 */
/* A short-lived process that answers the owner's questions about disk images for the supervisor,
 * since libvirt may hang. */
#pragma once

#include "base/config.h"

/* The modes of its command line. */
#define DISKS_MODE_LIST "--disks"
#define DISKS_MODE_REMOVE "--disk-remove"
#define DISKS_MODE_FORGET "--disk-forget"

/* Sends one reply on WORKER_FD and ends the process. `path` is NULL for the list. */
_Noreturn void disks_main(const struct config *config, const char *mode, const char *path);
