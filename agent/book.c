/* SPDX-License-Identifier: Apache-2.0 */
/* Where devices are: what discovery says, and what proved to be true. */
#include <string.h>

#include "agent/agent-internal.h"

void agent_add_endpoint(struct peers_target *t, const struct endpoint *e)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->endpoints[i].port == e->port &&
		    strcmp(t->endpoints[i].address, e->address) == 0)
			return;
	if (t->count < PEERS_ENDPOINTS_MAX)
		t->endpoints[t->count++] = *e;
}

/* Anybody can announce any address for any device: what was true the last time comes first. */
void agent_find_endpoints(struct agent *a, const uint8_t *id, size_t id_len, struct peers_target *t)
{
	const struct sighting *s = roster_find(discovery_roster(a->discovery), id);
	struct endpoint seen[ROSTER_ADDRESSES_MAX];
	size_t n = s ? sighting_endpoints(s, seen, ROSTER_ADDRESSES_MAX) : 0;

	for (size_t i = 0; i < a->book_count; i++)
		if (memcmp(a->book[i].id, id, id_len) == 0)
			agent_add_endpoint(t, &a->book[i].endpoint);
	for (size_t i = 0; i < n; i++)
		agent_add_endpoint(t, &seen[i]);
}

static struct book_entry *find_entry(struct agent *a, const uint8_t id[DEVICE_ID_LEN])
{
	struct book_entry *oldest = &a->book[0];

	for (size_t i = 0; i < a->book_count; i++) {
		if (memcmp(a->book[i].id, id, DEVICE_ID_LEN) == 0)
			return &a->book[i];
		if (a->book[i].when < oldest->when)
			oldest = &a->book[i];
	}
	if (a->book_count < AGENT_BOOK_MAX)
		oldest = &a->book[a->book_count++];
	*oldest = (struct book_entry){0};
	memcpy(oldest->id, id, DEVICE_ID_LEN);
	return oldest;
}

void agent_reached(struct agent *a, const uint8_t id[DEVICE_ID_LEN], const struct endpoint *at)
{
	struct book_entry *e = find_entry(a, id);

	e->when = agent_now_ms();
	/* Where it came from tells no port: most use the same as we do. */
	if (!at->port)
		memcpy(e->from, at->address, sizeof(e->from));
	if (at->port || !e->endpoint.port)
		e->endpoint = *at;
	if (!e->endpoint.port)
		e->endpoint.port = a->config.port;
}

enum places_rank agent_rank(struct agent *a, const char *address)
{
	for (size_t i = 0; i < a->book_count; i++)
		if ((strcmp(a->book[i].from, address) == 0 ||
		     strcmp(a->book[i].endpoint.address, address) == 0) &&
		    overview_peer(a->overview, a->book[i].id))
			return PLACES_PROVEN;
	return roster_announces(discovery_roster(a->discovery), address) ? PLACES_ANNOUNCED
									 : PLACES_UNKNOWN;
}
