/* SPDX-License-Identifier: Apache-2.0 */
/* Private to those who call libvirt: the connection, and its errors. */
#pragma once

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "mover/virt.h"

struct virt {
	virConnectPtr conn;
};

/* Connects unless the connection stands. */
int virt_ensure(struct virt *v, struct kerr *err);

/* libvirt's last error as ours, of what was tried ("Looking the VM up"). Returns negative. */
int virt_fail(struct kerr *err, const char *what);
