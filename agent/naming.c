/* SPDX-License-Identifier: Apache-2.0 */
/* Names and prefixes of ids; what fits more than one device fits none. */
#include "agent/naming.h"

#include <string.h>

#include "base/buf.h"

#define ID_DIGITS "0123456789abcdefABCDEF"

static const char *without_prefix(const char *text)
{
	return g_str_has_prefix(text, "device-") ? text + strlen("device-") : text;
}

bool naming_is_id(const char *text)
{
	const char *digits = without_prefix(text);

	return (digits != text || strlen(digits) >= 8) &&
	       strspn(digits, ID_DIGITS) == strlen(digits);
}

bool naming_fits(const char *text, const uint8_t *id, size_t id_len)
{
	char hex[2 * DEVICE_ID_LEN + 1];
	size_t len;

	text = without_prefix(text);
	len = strlen(text);
	hex_encode(id, id_len, hex);
	if (len == 2 * DEVICE_ID_LEN)
		return g_ascii_strncasecmp(text, hex, 2 * id_len) == 0;
	return len >= NAMING_PREFIX_MIN && len <= 2 * id_len &&
	       g_ascii_strncasecmp(text, hex, len) == 0;
}

void naming_label(const struct policyd_peer *p, const struct sighting *s, const uint8_t *id,
		  char *ret, size_t size)
{
	char hex[9];

	hex_encode(id, 4, hex);
	if (p)
		snprintf(ret, size, "%s", p->name);
	else if (s && s->name[0])
		snprintf(ret, size, "%s", s->name);
	else
		snprintf(ret, size, "device-%s", hex);
}

int naming_paired(const struct policyd_peer *peers, size_t count, const char *text,
		  struct peers_target *t, struct kerr *err)
{
	size_t hits = 0;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(peers[i].name, text) != 0 &&
		    !naming_fits(text, peers[i].id, DEVICE_ID_LEN))
			continue;
		hits++;
		memcpy(t->id, peers[i].id, DEVICE_ID_LEN);
		t->id_len = DEVICE_ID_LEN;
		snprintf(t->label, sizeof(t->label), "%s", peers[i].name);
	}
	if (hits > 1)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"\"%s\" could be more than one device; give more of its id.", text);
	return hits == 1;
}

/* Appends an announced id to a list for people, as long as there is room. */
static void add_id(char *ids, size_t size, const uint8_t id[ADVERT_ID_LEN])
{
	char hex[2 * ADVERT_ID_LEN + 1];
	size_t len = strlen(ids);

	hex_encode(id, ADVERT_ID_LEN, hex);
	if (size - len > sizeof(hex) + 2)
		snprintf(ids + len, size - len, "%s%s", len ? ", " : "", hex);
}

static int ambiguous(struct kerr *err, const char *text, const char *ids)
{
	return kerr_set(err, EINVAL, KCODE_USAGE,
			"\"%s\" could be more than one device: %s. Name it by its id; `kith "
			"status` on it shows that.",
			text, ids);
}

static int naming_sighted(const struct roster *roster, const char *text, struct peers_target *t,
			  struct kerr *err)
{
	char ids[4 * (2 * ADVERT_ID_LEN + 2) + 1] = "";
	size_t hits = 0;

	for (size_t i = 0; i < roster_count(roster); i++) {
		const struct sighting *s = roster_get(roster, i);

		if (strcmp(s->name, text) != 0 && !naming_fits(text, s->id, ADVERT_ID_LEN))
			continue;
		hits++;
		add_id(ids, sizeof(ids), s->id);
		memcpy(t->id, s->id, ADVERT_ID_LEN);
		t->id_len = ADVERT_ID_LEN;
		naming_label(NULL, s, s->id, t->label, sizeof(t->label));
	}
	return hits > 1 ? ambiguous(err, text, ids) : hits == 1;
}

int naming_pairable(const struct policyd_peer *peers, size_t count, const struct roster *roster,
		    const char *text, struct peers_target *t, struct kerr *err)
{
	struct peers_target seen = {0};
	char ids[2 * (2 * ADVERT_ID_LEN + 2) + 1] = "";
	int paired = naming_paired(peers, count, text, t, err);
	int sighted = paired < 0 ? paired : naming_sighted(roster, text, &seen, err);

	if (sighted < 0)
		return sighted;
	if (paired && sighted && memcmp(t->id, seen.id, ADVERT_ID_LEN) != 0) {
		add_id(ids, sizeof(ids), t->id);
		add_id(ids, sizeof(ids), seen.id);
		return ambiguous(err, text, ids);
	}
	if (!paired)
		*t = seen;
	return paired || sighted;
}
