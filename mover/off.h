/* SPDX-License-Identifier: Apache-2.0 */
/* A VM that is switched off, or is for its hand-off, at the source: it is started with its CPUs
 * stopped, so that it leaves as a running one does, and no instruction of it is ever executed
 * (F13). */
#pragma once

#include "mover/luggage.h"
#include "mover/virt.h"
#include "mover/workplace.h"

/* Starts what carries it (fit_vehicle()), paused; its definition stays as it is. Noted before, so
 * that recovery ends it. */
int off_start(struct workplace *p, const char *vehicle, struct kerr *err);

/* Asks the guest of a running VM to shut down and waits until it is off. Noted before, so that
 * recovery starts it again; once it is here to stay, the note goes. NOT_RUNNING if the guest does
 * not obey in time; it may do so later. */
int off_shut_down(struct workplace *p, struct kerr *err);

/* Starts such a VM again, or lets go on what was started of it. 1 = its guest may still obey. */
int off_again(struct workplace *p, struct kerr *err);

/* UEFI variables of a VM that off_start() started: QEMU has them in its flash, below its firmware's
 * code, and would write them at the destination only once the VM runs. */
int off_pack(struct workplace *p, const struct domain_origin *origin, struct luggage *ret,
	     struct kerr *err);

/* Ends what off_start() started: the VM is off as before, and its definition stays. No such process
 * is fine. 1 = somebody let the guest run meanwhile: it is left as it is. */
int off_end(struct workplace *p, struct kerr *err);

/* The guest has run: from now on the VM is one that its owner paused, also for recovery. */
int off_forget(struct workplace *p);
