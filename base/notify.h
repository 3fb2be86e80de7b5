/* SPDX-License-Identifier: Apache-2.0 */
/* What a daemon tells systemd: that it serves, how it is, and that it still goes round. */
#pragma once

/* For each turn of a main loop. The first one says READY=1; whenever `status` is another one than
 * before, systemd gets it for `systemctl status`; and with WatchdogSec= it hears from us in time.
 * Returns for how many milliseconds the loop may sleep: `timeout_ms` (-1 = for ever), or less for
 * the watchdog's sake. Without systemd (NOTIFY_SOCKET) nothing happens. See sd_notify(3). */
int notify_turn(int timeout_ms, const char *status);
