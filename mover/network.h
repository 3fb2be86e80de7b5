/* SPDX-License-Identifier: Apache-2.0 */
/* Which networks of the local libvirt a VM that arrives may join, and whether it can. */
#pragma once

#include "mover/virt.h"

/* Looks each name of `names` (commas between them; "none" is none) up; `other` is that of the one
 * for cards of other networks, or "none". What is not there, or not active, gets a sentence for the
 * other device's person that says what to do. Blocks. */
void network_look(struct virt *v, const char *names, const char *other,
		  struct domain_networks *ret);
