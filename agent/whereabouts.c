/* SPDX-License-Identifier: Apache-2.0 */
/* A small book of addresses beside the roster of discovery. */
#include "agent/whereabouts.h"

#include <string.h>

#include "agent/naming.h"
#include "agent/now.h"

#define ENTRIES_MAX 64

/* Where a device proved to be last: for when discovery does not show it, or shows much else (P3).
 */
struct entry {
	uint8_t id[DEVICE_ID_LEN];
	struct endpoint endpoint;
	char from[ROSTER_ADDRESS_LEN]; /* when it came to us, else "" */
	int64_t when;
};

struct whereabouts {
	const struct overview *overview;
	const struct discovery *discovery;
	uint16_t port;
	struct entry entries[ENTRIES_MAX];
	size_t count;
};

struct whereabouts *whereabouts_new(const struct overview *overview,
				    const struct discovery *discovery, uint16_t port)
{
	struct whereabouts *w = g_new0(struct whereabouts, 1);

	w->overview = overview;
	w->discovery = discovery;
	w->port = port;
	return w;
}

struct whereabouts *whereabouts_free(struct whereabouts *w)
{
	g_free(w);
	return NULL;
}

void whereabouts_label(const struct whereabouts *w, const uint8_t id[DEVICE_ID_LEN], char *ret,
		       size_t size)
{
	naming_label(overview_peer(w->overview, id),
		     roster_find(discovery_roster(w->discovery), id), id, ret, size);
}

void whereabouts_add(struct peers_target *t, const struct endpoint *e)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->endpoints[i].port == e->port &&
		    strcmp(t->endpoints[i].address, e->address) == 0)
			return;
	if (t->count < PEERS_ENDPOINTS_MAX)
		t->endpoints[t->count++] = *e;
}

void whereabouts_find(const struct whereabouts *w, const uint8_t *id, size_t len,
		      struct peers_target *t)
{
	const struct sighting *s = roster_find(discovery_roster(w->discovery), id);
	struct endpoint seen[ROSTER_ADDRESSES_MAX];
	size_t n = s ? sighting_endpoints(s, seen, ROSTER_ADDRESSES_MAX) : 0;

	for (size_t i = 0; i < w->count; i++)
		if (memcmp(w->entries[i].id, id, len) == 0)
			whereabouts_add(t, &w->entries[i].endpoint);
	for (size_t i = 0; i < n; i++)
		whereabouts_add(t, &seen[i]);
}

static struct entry *entry_of(struct whereabouts *w, const uint8_t id[DEVICE_ID_LEN])
{
	struct entry *oldest = &w->entries[0];

	for (size_t i = 0; i < w->count; i++) {
		if (memcmp(w->entries[i].id, id, DEVICE_ID_LEN) == 0)
			return &w->entries[i];
		if (w->entries[i].when < oldest->when)
			oldest = &w->entries[i];
	}
	if (w->count < ENTRIES_MAX)
		oldest = &w->entries[w->count++];
	*oldest = (struct entry){0};
	memcpy(oldest->id, id, DEVICE_ID_LEN);
	return oldest;
}

void whereabouts_reached(struct whereabouts *w, const uint8_t id[DEVICE_ID_LEN],
			 const struct endpoint *at)
{
	struct entry *e = entry_of(w, id);

	e->when = now_ms();
	/* Where it came from tells no port: most use the same as we do. */
	if (!at->port)
		memcpy(e->from, at->address, sizeof(e->from));
	if (at->port || !e->endpoint.port)
		e->endpoint = *at;
	if (!e->endpoint.port)
		e->endpoint.port = w->port;
}

enum places_rank whereabouts_rank(const struct whereabouts *w, const char *address)
{
	for (size_t i = 0; i < w->count; i++)
		if ((strcmp(w->entries[i].from, address) == 0 ||
		     strcmp(w->entries[i].endpoint.address, address) == 0) &&
		    overview_peer(w->overview, w->entries[i].id))
			return PLACES_PROVEN;
	return roster_announces(discovery_roster(w->discovery), address) ? PLACES_ANNOUNCED
									 : PLACES_UNKNOWN;
}
