/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind "devices nearby". Linear searches: it has 256 rows. */
#include "discovery/roster.h"

#include <string.h>

struct roster {
	struct sighting *rows[ROSTER_MAX];
	size_t count;
	uint8_t (*known)[ADVERT_ID_LEN];
	size_t known_count;
};

struct roster *roster_new(void)
{
	return calloc(1, sizeof(struct roster));
}

struct roster *roster_free(struct roster *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < r->count; i++)
		free(r->rows[i]);
	free(r->known);
	free(r);
	return NULL;
}

static bool is_known(const struct roster *r, const uint8_t id[ADVERT_ID_LEN])
{
	for (size_t i = 0; i < r->known_count; i++)
		if (memcmp(r->known[i], id, ADVERT_ID_LEN) == 0)
			return true;
	return false;
}

void roster_set_known(struct roster *r, const uint8_t (*ids)[ADVERT_ID_LEN], size_t count)
{
	free(r->known);
	r->known_count = 0;
	r->known = count ? calloc(count, ADVERT_ID_LEN) : NULL;
	if (r->known) {
		memcpy(r->known, ids, count * ADVERT_ID_LEN);
		r->known_count = count;
	}
	for (size_t i = 0; i < r->count; i++)
		r->rows[i]->known = is_known(r, r->rows[i]->id);
}

static bool same_source(const struct roster_source *a, const struct roster_source *b)
{
	return a->number == b->number && a->interface == b->interface &&
	       a->protocol == b->protocol && strcmp(a->name, b->name) == 0;
}

static void drop_row(struct roster *r, size_t i)
{
	free(r->rows[i]);
	r->rows[i] = r->rows[--r->count];
}

static void drop_address(struct sighting *s, size_t i)
{
	s->addresses[i] = s->addresses[--s->address_count];
}

static bool any_live(const struct sighting *s)
{
	for (size_t i = 0; i < s->address_count; i++)
		if (s->addresses[i].live)
			return true;
	return false;
}

/* True if `a` should give way before `b`. */
static bool gives_way(const struct sighting *a, const struct sighting *b)
{
	bool la = any_live(a), lb = any_live(b);

	return la != lb ? !la : a->last_seen < b->last_seen;
}

static bool make_room(struct roster *r, bool for_known)
{
	size_t victim = ROSTER_MAX;

	if (r->count < ROSTER_MAX)
		return true;
	for (size_t i = 0; i < r->count; i++) {
		if (r->rows[i]->known && (!for_known || any_live(r->rows[i])))
			continue;
		if (victim == ROSTER_MAX || gives_way(r->rows[i], r->rows[victim]))
			victim = i;
	}
	if (victim == ROSTER_MAX)
		return false;
	drop_row(r, victim);
	return true;
}

static struct sighting *find(const struct roster *r, const uint8_t id[ADVERT_ID_LEN])
{
	for (size_t i = 0; i < r->count; i++)
		if (memcmp(r->rows[i]->id, id, ADVERT_ID_LEN) == 0)
			return r->rows[i];
	return NULL;
}

/* A source that now speaks for another id takes back what it said of the first. */
static void retract(struct roster *r, const struct roster_source *source, const uint8_t *except)
{
	for (size_t i = r->count; i-- > 0;) {
		struct sighting *s = r->rows[i];

		if (memcmp(s->id, except, ADVERT_ID_LEN) == 0)
			continue;
		for (size_t j = s->address_count; j-- > 0;)
			if (same_source(&s->addresses[j].source, source))
				drop_address(s, j);
		if (!s->address_count)
			drop_row(r, i);
	}
}

static struct roster_address *address_slot(struct sighting *s, const struct roster_source *source)
{
	struct roster_address *spare = NULL;

	for (size_t i = 0; i < s->address_count; i++) {
		struct roster_address *a = &s->addresses[i];

		if (same_source(&a->source, source))
			return a;
		if (!a->live && (!spare || a->last_seen < spare->last_seen))
			spare = a;
	}
	if (s->address_count < (s->known ? ROSTER_ADDRESSES_MAX : ROSTER_STRANGER_MAX))
		return &s->addresses[s->address_count++];
	return spare;
}

static struct sighting *add(struct roster *r, const struct advert *a)
{
	bool known = is_known(r, a->id);
	struct sighting *s;

	if (!make_room(r, known))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	memcpy(s->id, a->id, ADVERT_ID_LEN);
	s->known = known;
	r->rows[r->count++] = s;
	return s;
}

bool roster_seen(struct roster *r, const struct advert *a, const struct endpoint *e,
		 const struct roster_source *source, int64_t now)
{
	struct sighting *s;
	struct roster_address *slot;

	retract(r, source, a->id);
	s = find(r, a->id);
	if (!s)
		s = add(r, a);
	if (!s)
		return false;
	slot = address_slot(s, source);
	if (!slot)
		return false;
	*slot = (struct roster_address){*e, *source, true, now};
	s->role = a->role;
	memcpy(s->name, a->name, sizeof(s->name));
	s->last_seen = now;
	return true;
}

/* Who is out of sight wants nothing any more. */
static void lose_address(struct sighting *s, struct roster_address *a, int64_t now)
{
	a->live = false;
	a->last_seen = now;
	s->last_seen = now;
	if (!any_live(s))
		s->name[0] = '\0';
}

void roster_lost(struct roster *r, const struct roster_source *source, int64_t now)
{
	for (size_t i = 0; i < r->count; i++)
		for (size_t j = 0; j < r->rows[i]->address_count; j++) {
			struct roster_address *a = &r->rows[i]->addresses[j];

			if (a->live && same_source(&a->source, source))
				lose_address(r->rows[i], a, now);
		}
}

void roster_all_lost(struct roster *r, unsigned number, int64_t now)
{
	for (size_t i = 0; i < r->count; i++)
		for (size_t j = 0; j < r->rows[i]->address_count; j++) {
			struct roster_address *a = &r->rows[i]->addresses[j];

			if (a->live && a->source.number == number)
				lose_address(r->rows[i], a, now);
		}
}

bool roster_expire(struct roster *r, int64_t now)
{
	size_t before = r->count;

	for (size_t i = r->count; i-- > 0;) {
		struct sighting *s = r->rows[i];

		for (size_t j = s->address_count; j-- > 0;)
			if (!s->addresses[j].live &&
			    now - s->addresses[j].last_seen >= ROSTER_EXPIRE_MS)
				drop_address(s, j);
		if (!s->address_count)
			drop_row(r, i);
	}
	return r->count != before;
}

size_t roster_count(const struct roster *r)
{
	return r->count;
}

const struct sighting *roster_get(const struct roster *r, size_t index)
{
	return index < r->count ? r->rows[index] : NULL;
}

const struct sighting *roster_find(const struct roster *r, const uint8_t id[ADVERT_ID_LEN])
{
	return find(r, id);
}

bool roster_announces(const struct roster *r, const char *address)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct sighting *s = r->rows[i];

		for (size_t j = 0; s->known && j < s->address_count; j++)
			if (s->addresses[j].live &&
			    strcmp(s->addresses[j].endpoint.address, address) == 0)
				return true;
	}
	return false;
}

bool sighting_live(const struct sighting *s, int64_t now, int64_t *ret_age_ms)
{
	bool live = any_live(s);

	if (ret_age_ms)
		*ret_age_ms = live ? 0 : now - s->last_seen;
	return live;
}

static int rank(const struct roster_address *a)
{
	bool v6 = strchr(a->endpoint.address, ':') != NULL;
	bool scoped = strchr(a->endpoint.address, '%') != NULL;

	return (a->live ? 0 : 4) + (v6 ? 1 : 0) + (scoped ? 1 : 0);
}

size_t sighting_endpoints(const struct sighting *s, struct endpoint *ret, size_t max)
{
	size_t n = 0;

	for (int want = 0; want <= 6; want++)
		for (size_t i = 0; i < s->address_count && n < max; i++)
			if (rank(&s->addresses[i]) == want)
				ret[n++] = s->addresses[i].endpoint;
	return n;
}
