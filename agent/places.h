/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets a place where there are few: pure rules for the two doors of kithd. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* -- the local socket: by user -- */

#define PLACES_OWN_MAX 16	/* connections of the owner, and as many of root */
#define PLACES_STRANGER_MAX 4	/* of any other user */
#define PLACES_STRANGERS_MAX 16 /* of all other users together */

enum places_room {
	PLACES_ROOM,
	PLACES_USER_FULL,      /* this user has all that he may have */
	PLACES_STRANGERS_FULL, /* all others than owner and root have them together */
};

/* Whether a program of `uid` may connect while those of `uids` are. */
enum places_room places_local(const uid_t *uids, size_t count, uid_t uid, uid_t owner);

/* -- the peer port: by what is known of the address -- */

enum places_rank {
	PLACES_UNKNOWN,
	PLACES_ANNOUNCED, /* somebody announced that a paired device is there */
	PLACES_PROVEN,	  /* a paired device proved its key from there */
};

/* A connection that has not proved anything yet, and may be closed for another one. */
struct place {
	enum places_rank rank;
	uint64_t order; /* the smaller, the longer it waits */
};

/* Which of `count` waiting ones goes when there are no more places and one of `rank` comes: the
 * one of the lowest rank that waits longest. -1: none, the newcomer is worth less than all. */
ssize_t places_yield(const struct place *waiting, size_t count, enum places_rank rank);
