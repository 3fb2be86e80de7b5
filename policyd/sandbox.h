/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that kith-policyd keeps after start-up. */
#pragma once

#include "base/kerr.h"

/* Installs a seccomp allow-list: files, the TPM device, local sockets; no network family, no new
 * program, no executable memory. Anything else fails with EPERM. Cannot be undone. */
int sandbox_enter(struct kerr *err);
