/* SPDX-License-Identifier: Apache-2.0 */
/* Who is in sight: a bounded table of sightings, merged per device over addresses (P2). */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"
#include "discovery/advert.h"

#define ROSTER_MAX 256		/* devices */
#define ROSTER_ADDRESSES_MAX 32 /* of a paired device: some of them may be lies */
#define ROSTER_STRANGER_MAX 8	/* addresses of one that is not paired */
#define ROSTER_EXPIRE_MS 120000 /* how long one that vanished is still listed, with its age */
#define ROSTER_ADDRESS_LEN 64	/* numeric, IPv6 link-local with %interface, with the NUL */

struct endpoint {
	char address[ROSTER_ADDRESS_LEN];
	uint16_t port;
};

/* Where a sighting comes from, as opaque as possible: the same source can take it back. */
struct roster_source {
	unsigned number; /* which means of discovery */
	char name[64];	 /* service instance */
	int interface;
	int protocol; /* 4 or 6 */
};

struct roster_address {
	struct endpoint endpoint;
	struct roster_source source;
	bool live;	   /* the source still vouches for it */
	int64_t last_seen; /* ms of the monotonic clock */
};

struct sighting {
	uint8_t id[ADVERT_ID_LEN];
	enum device_role role;
	char name[NAME_MAX_LEN + 1]; /* what it calls itself while it wants to pair, else "" */
	bool known;		     /* a paired device: never pushed out by strangers */
	struct roster_address addresses[ROSTER_ADDRESSES_MAX];
	size_t address_count;
	int64_t last_seen;
};

struct roster;
struct roster *roster_new(void);
struct roster *roster_free(struct roster *r);
DEFINE_CLEANUP(struct roster *, roster_free)

/* Tells which ids are paired (the leading bytes of their device ids). Copied. */
void roster_set_known(struct roster *r, const uint8_t (*ids)[ADVERT_ID_LEN], size_t count);

/* Enters or refreshes a sighting. A source speaks for one id at a time: what it said before is
 * replaced. When full, the longest unseen stranger gives way, those out of sight first. False if
 * there was no room (all known, or too many addresses). */
bool roster_seen(struct roster *r, const struct advert *a, const struct endpoint *e,
		 const struct roster_source *source, int64_t now);

/* The source takes it back. */
void roster_lost(struct roster *r, const struct roster_source *source, int64_t now);

/* A means of discovery is gone (a restart of its daemon): nothing that it saw is vouched for any
 * more, but nothing is forgotten before its time either (P3). */
void roster_all_lost(struct roster *r, unsigned number, int64_t now);

/* Forgets what is out of sight for ROSTER_EXPIRE_MS. True if something was. */
bool roster_expire(struct roster *r, int64_t now);

size_t roster_count(const struct roster *r);
/* Borrowed, valid until the roster changes. `index` < roster_count(). */
const struct sighting *roster_get(const struct roster *r, size_t index);
const struct sighting *roster_find(const struct roster *r, const uint8_t id[ADVERT_ID_LEN]);

/* True if a paired device is announced to be at this address now. */
bool roster_announces(const struct roster *r, const char *address);

/* True if at least one address is vouched for; else *ret_age_ms says since when not (0 if so). */
bool sighting_live(const struct sighting *s, int64_t now, int64_t *ret_age_ms);

/* Addresses in the order to try: live before not, IPv4 before IPv6, others before link-local.
 * Returns how many were written. */
size_t sighting_endpoints(const struct sighting *s, struct endpoint *ret, size_t max);
