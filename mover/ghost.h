/* SPDX-License-Identifier: Apache-2.0 */
/* Arrivals that libvirtd forgot halfway (F12). */
#pragma once

/* A libvirtd that is killed after it noted an arriving VM, and before it started QEMU, comes back
 * with a VM that has no process and a job that nobody ends: virDomainDestroy() waits for that job
 * in vain, in libvirt 9.0.0 after every restart again. Only Finish3 of the migration, cancelled, is
 * served without it, and that has no public call. This says it on a connection of its own; blocks
 * for at most 20 s. 0 = libvirtd was told (look whether it helped), else a negative errno. */
int ghost_end(const char *name);
