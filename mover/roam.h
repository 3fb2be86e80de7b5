/* SPDX-License-Identifier: Apache-2.0 */
/* A short-lived process that gives a VM a CPU which several devices have, at its owner's word, for
 * the supervisor, since libvirt may hang. Only the definition changes, and only its CPU. */
#pragma once

#include "base/config.h"

#define ROAM_MODE "--roam"

/* Reads one roam_wish from WORKER_FD, answers it by a roam_answer and ends the process. */
_Noreturn void roam_main(const struct config *config);
