/* SPDX-License-Identifier: Apache-2.0 */
/* A CPU that several devices can give, as the device's owner asks the mover for it. He asks it
 * directly: what a person decides does not pass through kithd (trust line 1). */
#pragma once

#include "base/code.h"
#include "base/ipc-client.h"

enum roam_step {
	ROAM_STEP_STATE, /* what CPU has the VM, and which at its next start? */
	ROAM_STEP_READ,	 /* data: what a device offers; none: this one. Back: its CPU */
	ROAM_STEP_SHOW,	 /* data: CPUs as READ gave them. Back: the one that all can give */
	ROAM_STEP_SET, /* the same, and `hash` as SHOW gave it: the VM has it from its next start on
			*/
	ROAM_STEP_UNDO, /* the CPU before comes back */
	_ROAM_STEP_MAX,
};

#define ROAM_DATA_MAX 60000 /* bytes */
#define ROAM_HASH_LEN 32
#define ROAM_WORD_MAX 64
#define ROAM_LOST_MAX 320

struct roam_wish {
	uint8_t uuid[UUID_LEN];
	enum roam_step step;
	uint8_t hash[ROAM_HASH_LEN];
	const uint8_t *data; /* borrowed */
	size_t len;
};

struct roam_answer {
	uint8_t running; /* the guest runs: what changes waits for its next start */
	uint8_t waits;	 /* such a change waits */
	uint8_t kept;	 /* there is one to go back to */
	char now[ROAM_WORD_MAX +
		 1]; /* model or mode of the CPU; of a guest that is off as of `next` */
	char next[ROAM_WORD_MAX + 1];	/* the one that it has from its next start on */
	char vendor[ROAM_WORD_MAX + 1]; /* of a READ: who made the processor; "" = not known */
	uint32_t lost_count;		/* features that the guest has now, and not with this CPU */
	char lost[ROAM_LOST_MAX];	/* some of them, in words */
	uint8_t hash[ROAM_HASH_LEN];	/* of the definition that SET would make */
	const uint8_t *data;		/* borrowed: of a READ the CPU, else none */
	size_t len;
};

DECLARE_CODEC(roam_wish);
DECLARE_CODEC(roam_answer);

/* Fills *err where it fails. The answer's data lives until the next call. */
int roam_client_ask(struct ipc_client *c, const struct roam_wish *wish, struct roam_answer *ret,
		    struct kerr *err);
