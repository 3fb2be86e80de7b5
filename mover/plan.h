/* SPDX-License-Identifier: Apache-2.0 */
/* What would become of a hand-off, told beforehand: short-lived processes for the supervisor, since
 * libvirt may hang. They change nothing. */
#pragma once

#include "base/config.h"
#include "mover/offers.h"

#define PLAN_MODE_OFFERS "--offers"
#define PLAN_MODE_ASK "--plan"

/* A VM that may leave, as its source sees it. */
struct plan_vm {
	const char *xml;
	struct domain_facts facts;
	struct frame_offer offer;
	bool off; /* and `xml` is its definition */
};

/* Would a destination with these offers take it? As its worker would find out: first what
 * offers_judge() looks at, then what its filter says of the VM's configuration; one that is off
 * would be fitted to it. Of *ret are filled `rewired` and what it would be there. */
int plan_judge(const struct plan_vm *vm, const struct offers *o, struct mover_plan *ret,
	       struct kerr *err);

/* The bytes that would be sent, and how. */
void plan_count(const struct plan_vm *vm, enum copy_state state, struct mover_plan *ret);

/* Which ways it could be asked to go. */
void plan_rungs(const struct virt_domain *d, struct mover_plan *ret);

/* Sends this host's offers on WORKER_FD, or why no worker would start, and ends the process. */
_Noreturn void plan_offers_main(const struct config *config);

/* Reads one mover_plan_ask from WORKER_FD, answers it by a mover_plan and ends the process. */
_Noreturn void plan_main(const struct config *config);
