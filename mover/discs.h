/* SPDX-License-Identifier: Apache-2.0 */
/* A short-lived process that tells the owner which discs are in a VM's drives, or ejects one, for
 * the supervisor, since libvirt may hang. */
#pragma once

#include "base/config.h"

/* The modes of its command line. */
#define DISCS_MODE_LIST "--discs"
#define DISCS_MODE_EJECT "--disc-eject"

/* Reads its question from WORKER_FD, sends one reply there and ends the process. */
_Noreturn void discs_main(const struct config *config, const char *mode);
