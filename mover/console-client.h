/* SPDX-License-Identifier: Apache-2.0 */
/* What `kith` asks the mover of this device about consoles that policyd granted. The owner asks it
 * directly: what is seen of a VM does not pass through kithd (trust line 1). */
#pragma once

#include "base/config.h"
#include "mover/proto.h"

/* Opens the console `hid`; it is open while `ret_life` is. Both return 0, or negative with *err
 * filled. */
int console_client_open(const struct config *config, const uint8_t hid[HID_LEN],
			enum mover_display *ret, int *ret_life, struct kerr *err);

/* Connects `fd` (a stream socket, which stays the caller's) with what is seen: once for a serial
 * console, for graphics as often as the viewer connects. */
int console_client_attach(const struct config *config, const uint8_t hid[HID_LEN], int fd,
			  struct kerr *err);

/* Why an open console ended, when `life` is readable; INTERRUPTED if nobody said so. */
void console_client_end(int life, struct kerr *ret);
