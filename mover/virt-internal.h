/* SPDX-License-Identifier: Apache-2.0 */
/* Private to those who call libvirt: the connection, domains, and its errors. */
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

/* By its UUID, connecting first where needed; the caller frees it (_cleanup_domain_). */
int virt_lookup(struct virt *v, const uint8_t uuid[UUID_LEN], virDomainPtr *ret, struct kerr *err);

static inline void virt_free_domain(virDomainPtr *d)
{
	if (*d)
		virDomainFree(*d);
}

#define _cleanup_domain_ _cleanup_(virt_free_domain)
