/* SPDX-License-Identifier: Apache-2.0 */
/* The mover's front: serves kithd, starts a worker process for each hand-off, forwards. */
#pragma once

#include "base/config.h"

/* Serves <run>/mover/mover.sock until SIGTERM. `config_path` is handed to the workers. Exit
 * status for main(). No libvirt call is made in this process: libvirt may hang. */
int supervisor_main(const struct config *config, const char *config_path);
