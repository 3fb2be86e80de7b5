/* SPDX-License-Identifier: Apache-2.0 */
/* What this libvirt host has for VMs, as libvirt tells it. */
#pragma once

#include "mover/virt.h"

/* Never fails: what cannot be found out counts as absent. Blocks, the first time for as long as
 * libvirtd needs to ask QEMU. */
void host_look(struct virt *v, struct domain_host *ret);

/* Of all that, the CPU that it can give to a guest. */
void host_cpu(struct virt *v, bool kvm, struct cpu *ret);

/* What the source has to say of its own host about a VM with these facts. Of one that is off, which
 * is carried by another configuration, `definition` is its own; else NULL. -ENOENT (DOMAIN) with
 * the sentence if it cannot be said. Blocks. */
int host_origin(struct virt *v, const struct domain_facts *facts, const char *definition,
		struct domain_origin *ret, struct kerr *err);
