/* SPDX-License-Identifier: Apache-2.0 */
/* A VM that is switched off is tied to no processor: its definition can be fitted to the host where
 * it arrives (S1-28). What it was before is noted in an element of its <metadata>, which goes with
 * it, and comes back wherever a host can give it. Only machine type, accelerator and CPU change.
 * What comes out is as trustworthy as what went in: the filter is for that. */
#pragma once

#include "mover/filter/domain.h"

#define FIT_XML_NS "urn:kith:fit:1"

/* What is otherwise than the VM's owner defined it; all zero = nothing. */
struct fit {
	bool emulated; /* without KVM */
	/* 100 * major + minor of the QEMU that the machine type is of; 0 = it stays. */
	uint32_t machine_from, machine_to;
	bool cpu;		   /* it has another one: the nearest to the host's */
	char lacks[CPU_WORDS_MAX]; /* of that of a name: what the host's lacks; "" = not named */
};

/* What carries a VM that is off: a definition which every host that runs Kith can start with its
 * CPUs stopped, so that its disks can be copied. Emulated, no CPU of a name, and a machine type
 * that the oldest QEMU which Kith runs with knows. No instruction of it is ever executed.
 * *ret_xml is malloced. -EBADMSG, -ENOMEM. */
int fit_vehicle(const char *definition, char **ret_xml, struct kerr *err);

/* As its owner defined it; *ret_kvm: with KVM. */
int fit_wish(const char *definition, char **ret_xml, bool *ret_kvm, struct kerr *err);

/* As `host` can start it: as much of the owner's wish as that host has. `cpu`: what a CPU of a name
 * in the wish can do, as domain_origin tells it. */
int fit_definition(const char *definition, const struct domain_host *host, const struct cpu *cpu,
		   struct fit *ret, char **ret_xml, struct kerr *err);
