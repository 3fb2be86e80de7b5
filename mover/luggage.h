/* SPDX-License-Identifier: Apache-2.0 */
/* What belongs to a VM and is neither in its memory nor on its disks: announced in the offer by
 * kind, length and hash, sent in pieces after it, and whole at the destination before anything is
 * copied.
 */
#pragma once

#include "mover/frames-wire.h"

#define LUGGAGE_PIECE_MAX 32768u

/* One kind on its way. Owns `data`. */
struct luggage {
	uint8_t *data;
	size_t len;
};

void luggage_clear(struct luggage *l);

/* What the offer says of it; nothing where there is none. */
void luggage_announce(const struct luggage *l, struct frame_packed *ret);

/* Adds a piece to what has come. 1 = it is whole and what was announced, 0 = more has to come,
 * -EBADMSG: more than was announced, or something else; -ENOMEM. */
int luggage_take(struct luggage *l, const struct frame_packed *announced, const uint8_t *piece,
		 size_t len);
