/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sources, and the one roster that they fill. */
#include "discovery/discovery.h"

#include <glib.h>

#include "discovery/source.h"

static const struct source_ops *const kinds[] = {
	&mdns_source,
};

#define SOURCES ARRAY_SIZE(kinds)

struct source {
	struct discovery *d;
	unsigned number; /* its row */
	void *it;	 /* what new() gave */
};

struct discovery {
	const struct discovery_events *events;
	void *ctx;
	struct roster *roster;
	struct source sources[SOURCES];
};

static int64_t now_ms(void)
{
	return g_get_monotonic_time() / 1000;
}

static struct roster_source named(const struct source *s, const struct roster_source *what)
{
	struct roster_source named = *what;

	named.number = s->number;
	return named;
}

static void on_seen(void *ctx, const struct advert *ad, const struct endpoint *e,
		    const struct roster_source *what)
{
	struct source *source = ctx;
	struct discovery *d = source->d;
	struct roster_source from = named(source, what);
	const struct sighting *s = roster_find(d->roster, ad->id);
	bool was_live = s && sighting_live(s, now_ms(), NULL);

	if (!roster_seen(d->roster, ad, e, &from, now_ms()))
		return;
	d->events->changed(d->ctx);
	if (!was_live)
		d->events->appeared(d->ctx, ad->id);
}

static void on_lost(void *ctx, const struct roster_source *what)
{
	struct source *source = ctx;
	struct discovery *d = source->d;
	struct roster_source from = named(source, what);

	roster_lost(d->roster, &from, now_ms());
	d->events->changed(d->ctx);
}

static void on_all_lost(void *ctx)
{
	struct source *source = ctx;
	struct discovery *d = source->d;

	roster_all_lost(d->roster, source->number, now_ms());
	d->events->changed(d->ctx);
}

static const struct source_events source_events = {on_seen, on_lost, on_all_lost};

struct discovery *discovery_new(const struct discovery_events *events, void *ctx)
{
	struct discovery *d = g_new0(struct discovery, 1);

	d->events = events;
	d->ctx = ctx;
	d->roster = roster_new();
	if (!d->roster) {
		g_free(d);
		return NULL;
	}
	for (unsigned i = 0; i < SOURCES; i++) {
		d->sources[i] = (struct source){d, i, NULL};
		d->sources[i].it = kinds[i]->new (&source_events, &d->sources[i]);
	}
	return d;
}

struct discovery *discovery_free(struct discovery *d)
{
	if (!d)
		return NULL;
	for (size_t i = 0; i < SOURCES; i++)
		kinds[i]->free(d->sources[i].it);
	roster_free(d->roster);
	g_free(d);
	return NULL;
}

void discovery_publish(struct discovery *d, const struct advert *a, uint16_t port)
{
	for (size_t i = 0; i < SOURCES; i++)
		kinds[i]->publish(d->sources[i].it, a, port);
}

void discovery_set_known(struct discovery *d, const uint8_t (*ids)[ADVERT_ID_LEN], size_t count)
{
	roster_set_known(d->roster, ids, count);
	for (size_t i = 0; i < SOURCES; i++)
		kinds[i]->set_known(d->sources[i].it, ids, count);
}

void discovery_expire(struct discovery *d)
{
	if (roster_expire(d->roster, now_ms()))
		d->events->changed(d->ctx);
}

bool discovery_running(const struct discovery *d)
{
	for (size_t i = 0; i < SOURCES; i++)
		if (kinds[i]->running(d->sources[i].it))
			return true;
	return false;
}

const struct roster *discovery_roster(const struct discovery *d)
{
	return d->roster;
}
