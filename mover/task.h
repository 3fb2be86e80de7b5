/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that runs blocking calls in order, so that the main loop never waits for libvirt. */
#pragma once

#include "base/cleanup.h"

typedef void (*task_fn)(void *arg);

struct tasks;

/* Starts the thread. */
int tasks_new(struct tasks **ret);

/* Readable when tasks_dispatch() has something to do. */
int tasks_fd(const struct tasks *t);

/* `work` runs in the thread, after everything queued before it; `done` then runs in
 * tasks_dispatch() and disposes of `arg`. */
int tasks_run(struct tasks *t, task_fn work, task_fn done, void *arg);
void tasks_dispatch(struct tasks *t);
