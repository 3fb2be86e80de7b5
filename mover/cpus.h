/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs as libvirt here tells them: it knows what the models' names mean. */
#pragma once

#include "mover/filter/cpu.h"
#include "mover/virt.h"

/* What this host can give to guests, of the <cpu> of its domain capabilities. Never fails: what
 * cannot be found out is not known. Blocks as long as libvirt does; QEMU is not asked. */
void cpus_of_host(struct virt *v, const struct _xmlNode *capabilities, bool kvm, struct cpu *ret);

/* What the guest sees: a running one what it has, one that is off what it would have here. Of one
 * that sees its host's own CPU, that one. `host`: what cpus_of_host() says; features that it does
 * not name QEMU gives by itself, and so does the next one, so they are left out. Never fails. */
void cpus_of_guest(struct virt *v, const uint8_t uuid[UUID_LEN], const struct cpu *host,
		   struct cpu *ret);

/* The same of a VM with this configuration. */
void cpus_of_definition(struct virt *v, const char *xml, const struct cpu *host, struct cpu *ret);

#define CPUS_HOSTS_MAX 32

/* A <cpu> that all of these hosts can give to a guest, and that may leave them again; malloced.
 * DOMAIN with libvirt's words if there is none. */
int cpus_baseline(struct virt *v, const struct cpu *hosts, size_t n, bool kvm, char **ret,
		  struct kerr *err);
