/* SPDX-License-Identifier: Apache-2.0 */
/* The mover's front: serves kithd, starts a worker process for each hand-off, forwards. */
#pragma once

#include "base/config.h"

/* Serves <run>/mover/mover.sock until SIGTERM. Workers get a copy of the configuration,
 * CONFIG_MOVER_COPY, which changes at SIGHUP only. Exit status. */
int supervisor_main(const struct config *config);
