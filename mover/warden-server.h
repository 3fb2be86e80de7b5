/* SPDX-License-Identifier: Apache-2.0 */
/* kith-warden's loop: its socket, the markers' folder, the watch. */
#pragma once

#include "base/config.h"

/* Runs until SIGTERM; what is frozen stays so. Returns the exit status. */
int warden_main(const struct config *config);
