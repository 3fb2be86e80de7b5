/* SPDX-License-Identifier: Apache-2.0 */
/* Counting and comparing. */
#include "agent/places.h"

enum places_room places_local(const uid_t *uids, size_t count, uid_t uid, uid_t owner)
{
	bool stranger = uid != 0 && uid != owner;
	size_t own = 0, strangers = 0;

	for (size_t i = 0; i < count; i++) {
		own += uids[i] == uid;
		strangers += uids[i] != 0 && uids[i] != owner;
	}
	if (own >= (stranger ? PLACES_STRANGER_MAX : PLACES_OWN_MAX))
		return PLACES_USER_FULL;
	return stranger && strangers >= PLACES_STRANGERS_MAX ? PLACES_STRANGERS_FULL : PLACES_ROOM;
}

ssize_t places_yield(const struct place *waiting, size_t count, enum places_rank rank)
{
	ssize_t victim = -1;

	for (size_t i = 0; i < count; i++) {
		const struct place *v = victim < 0 ? NULL : &waiting[victim];

		if (waiting[i].rank > rank)
			continue;
		if (!v || waiting[i].rank < v->rank ||
		    (waiting[i].rank == v->rank && waiting[i].order < v->order))
			victim = (ssize_t)i;
	}
	return victim;
}
