/* SPDX-License-Identifier: Apache-2.0 */
/* The QEMU process of a VM as the kernel sees it: found, stopped, let go, ended; by kith-warden and
 * by the fence. No libvirt: what is here works while libvirtd is dead or stuck. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/ids.h"

/* Held by descriptors, so that a process number that was given away again is never meant. */
struct qemu_process {
	pid_t pid;
	uint64_t start; /* clock ticks since boot: tells two processes of one number apart */
	int pidfd, status_fd;
	bool bolted;
};

enum qemu_state {
	QEMU_GONE,
	QEMU_RUNNING, /* or about to stop */
	QEMU_STOPPED, /* no thread of it executes an instruction */
	QEMU_WOKEN,   /* somebody sent SIGCONT; where the bolt holds it still stands still */
};

#define QEMU_PROCESS_NONE ((struct qemu_process){.pidfd = -EBADF, .status_fd = -EBADF})

/* The process that runs this VM, by libvirt's pid file or else by looking at all processes; only
 * one whose command line names the UUID. -ENOENT = none. */
int qemu_find(const uint8_t uuid[UUID_LEN], const char *name, struct qemu_process *ret);

/* The process that was found before, -ENOENT if it is gone or another one. */
int qemu_reopen(const uint8_t uuid[UUID_LEN], pid_t pid, uint64_t start, struct qemu_process *ret);

struct qemu_process *qemu_close(struct qemu_process *p);
DEFINE_CLEANUP(struct qemu_process *, qemu_close)

int qemu_signal(const struct qemu_process *p, int signo);

/* Of the main thread, which is cheap and enough once all were stopped. */
enum qemu_state qemu_state(const struct qemu_process *p);
/* Of each thread: STOPPED only if all are. */
enum qemu_state qemu_state_all(const struct qemu_process *p);

/* Makes the stop of a stopped process immune to SIGCONT for as long as the caller lives: each
 * thread is traced and left in its trap, with one SIGSTOP pending. If the caller dies the kernel
 * lets the threads fall back into the stop. Calls must come from one thread. */
int qemu_bolt(struct qemu_process *p);
/* SIGCONT, unbolted. */
int qemu_let_go(struct qemu_process *p);
/* A traced process stays a zombie until its tracer looked: call it often. */
void qemu_reap(void);

/* Stops it and waits until no thread runs. -ETIMEDOUT, -ESRCH if it ended. */
int qemu_stop_wait(const struct qemu_process *p, int timeout_ms);
