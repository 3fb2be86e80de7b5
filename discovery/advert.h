/* SPDX-License-Identifier: Apache-2.0 */
/* What a device tells its network in a DNS-SD TXT record: a version, an id, a role; its name only
 * while its owner wants to pair it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"

#define ADVERT_SERVICE "_kith._tcp"
#define ADVERT_ID_LEN 8	   /* leading bytes of the device id: a hint, never proof (P1) */
#define ADVERT_TXT_MAX 200 /* bytes of a whole TXT record (RFC 6763 6.2) */
#define ADVERT_VERSION 1

struct advert {
	uint8_t id[ADVERT_ID_LEN];
	enum device_role role;
	char name[NAME_MAX_LEN + 1]; /* "" but while a pairing window is open; only a claim */
};

/* Writes the TXT record in its wire form (RFC 6763 6.1: strings with a length byte each).
 * Returns its length, -ENOBUFS, or -EINVAL for a name that is none (text_is_name()). */
int advert_build(const struct advert *a, uint8_t *txt, size_t size);

/* Reads one, from anybody on the network. Unknown keys are skipped, of equal keys the first
 * counts, keys are case-insensitive (RFC 6763 6.4, 6.5), a name is clean text (N9). "txtvers" comes
 * first on the wire (6.7), but Avahi hands the strings over in reverse, so any place will do.
 * -EBADMSG for anything else, -EPROTONOSUPPORT for another version. */
int advert_parse(const uint8_t *txt, size_t len, struct advert *ret);
