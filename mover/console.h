/* SPDX-License-Identifier: Apache-2.0 */
/* The process of one console: on the device that sees the VM, on the one that holds it, or on both
 * at once. */
#pragma once

#include "base/config.h"

#define CONSOLE_MODE_SHOW "--console-show" /* the VM is here, a peer sees it */
#define CONSOLE_MODE_OPEN "--console-open" /* somebody at this device sees a VM */

/* Ends with the process. */
_Noreturn void console_main(const struct config *config, const char *mode, const char *hid_hex);
