/* SPDX-License-Identifier: Apache-2.0 */
/* The screen and the serial console of a VM on this host, by libvirt. All calls block. */
#pragma once

#include "mover/filter/display.h"
#include "mover/virt.h"

/* What of the VM can be seen; NOT_RUNNING if it is off. */
int virt_display(struct virt *v, const uint8_t uuid[UUID_LEN], struct display *ret,
		 struct kerr *err);

/* Hands one end of a connected unix socket to the VM's display, as if a viewer had connected there;
 * no password is asked, because policyd decided. `fd` stays the caller's. */
int virt_graphics(struct virt *v, const uint8_t uuid[UUID_LEN], int fd, struct kerr *err);

/* Connects the serial port `alias` with `fd`, a stream socket, by two threads of this process, and
 * takes it over in any case. libvirt has one console for each port: BUSY if somebody has it, unless
 * `force`, which takes it away from him. `wake_fd` (an eventfd, borrowed) rings when it ended. */
int virt_serial(struct virt *v, const uint8_t uuid[UUID_LEN], const char *alias, bool force, int fd,
		int wake_fd, struct kerr *err);

/* The one that virt_serial() opened in this process has ended. */
bool virt_serial_over(void);
