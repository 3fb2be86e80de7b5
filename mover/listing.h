/* SPDX-License-Identifier: Apache-2.0 */
/* A short-lived process that lists libvirt's domains for the supervisor. */
#pragma once

/* Sends one reply to MOVER_OP_VMS on WORKER_FD; exit status for main(). */
int listing_main(void);
