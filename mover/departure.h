/* SPDX-License-Identifier: Apache-2.0 */
/* What the source asks of a VM that shall leave: its worker before anything is sent, and a plan. */
#pragma once

#include "mover/frames-wire.h"
#include "mover/virt.h"
#include "policyd/api/proto.h"

/* May this VM leave as it is? `granted`: its name as policyd knows it, NULL = not known. IDENTITY,
 * NOT_RUNNING, and what domain_disks() says. */
int departure_check(const struct virt_domain *d, const char *granted, struct domain_facts *ret,
		    struct kerr *err);

/* Can a VM that may leave go in this way, as it stands? NOT_RUNNING. */
int departure_rung(const struct virt_domain *d, enum move_rung rung, struct kerr *err);

/* Would what carries a VM that is off start here (mover/filter/fit-xml.h)? What libvirt can tell
 * without starting it. FAILED. */
int departure_starts(struct virt *v, const struct virt_domain *d, struct kerr *err);

/* Could a VM that runs leave, and start here again, as it is defined for its next start? Asked
 * before its guest is shut down for a cold move. As domain_disks(); DOMAIN if it
 * needs KVM, FAILED, NOT_FOUND. */
int departure_again(struct virt *v, const uint8_t uuid[UUID_LEN], struct kerr *err);

/* What its destination has to make room for. `definition`: of one that is off, else NULL. Asks
 * QEMU: not for a copy that may be frozen. */
int departure_measure(struct virt *v, const struct domain_facts *facts, const char *definition,
		      struct frame_offer *ret, struct kerr *err);
