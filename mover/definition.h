/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's definition in libvirt, to be changed by its owner's word. */
#pragma once

#include "mover/virt.h"

struct definition {
	char *kept; /* of its next start, with the secrets that libvirt shows to nobody else */
	char *live; /* of a guest that runs; else NULL */
	bool kvm;   /* else TCG */
};

void definition_done(struct definition *d);

/* Reads both. NOT_FOUND as virt_domain(), DOMAIN for a VM that libvirt does not keep. */
int definition_read(struct virt *v, const uint8_t uuid[UUID_LEN], struct definition *ret,
		    struct kerr *err);

/* Does a CPU of `kith vm roam`, or the way back from one, wait for the guest's next start? */
bool definition_waits(const struct definition *d);

/* Puts `xml` in the place of d->kept, which it then is; a running guest sees nothing of it. -EBUSY
 * if the definition is not the same any more. */
int definition_replace(struct virt *v, const uint8_t uuid[UUID_LEN], const char *xml,
		       struct definition *d, struct kerr *err);
