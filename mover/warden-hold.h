/* SPDX-License-Identifier: Apache-2.0 */
/* The copies that are stopped by Kith: each is noted in a file, so that a restarted kith-warden
 * goes on, and watched, so that nobody wakes it. */
#pragma once

#include "base/config.h"
#include "mover/qemu-process.h"

#define HOLDS_MAX 64
#define HOLD_STOP_MS 2000 /* a process that does not stop within this is an error */

struct hold {
	bool used;
	uint8_t uuid[UUID_LEN];
	struct qemu_process p;
	bool stopped;	      /* all its threads were seen standing still */
	bool weak;	      /* it could not be bolted, only watched */
	unsigned woken, told; /* times it was woken up; those of which were said */
	uint64_t alarm_at;    /* not before */
};

struct holds {
	int notes_fd;
	bool tidied; /* what a death left of its own is removed, once */
	struct hold list[HOLDS_MAX];
	/* A copy was woken up, or ran while nobody watched it. */
	void (*alarm)(void *ctx, const uint8_t uuid[UUID_LEN]);
	void *ctx;
};

/* Opens or makes the folder of the notes. */
int holds_open(const struct config *config, struct holds *ret);

/* Takes up what is noted and not in the table: by an earlier kith-warden, or by the fence. */
void holds_adopt(struct holds *h);
bool holds_any(const struct holds *h);
struct hold *holds_find(struct holds *h, const uint8_t uuid[UUID_LEN]);

/* Notes the process, stops it and takes it over from `p`. It is `stopped` after some calls of
 * holds_watch(). */
int holds_take(struct holds *h, const uint8_t uuid[UUID_LEN], struct qemu_process *p);
void holds_let_go(struct holds *h, struct hold *hold);
void holds_forget(struct holds *h, struct hold *hold);

/* Looks at each copy and stops again what runs. */
void holds_watch(struct holds *h);
void hold_watch(struct holds *h, struct hold *hold);

/* For the fence, which does not stay: notes, stops and waits until it stands still. */
int holds_stop_and_leave(struct holds *h, const uint8_t uuid[UUID_LEN], struct qemu_process *p);
