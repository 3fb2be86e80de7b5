/* SPDX-License-Identifier: Apache-2.0 */
/* Which device a person means by a text: pure, for a name that is announced is only a claim. */
#pragma once

#include "agent/peers.h"

#define NAMING_PREFIX_MIN 4 /* hex digits that name a device */

/* True if `text` can only be meant as a device's id: nobody asks the name server for one. */
bool naming_is_id(const char *text);

/* True if `text` is "device-" (or nothing) and at least NAMING_PREFIX_MIN hex digits that `id`
 * begins with. The full id also names a device of which only the announced part is known. */
bool naming_fits(const char *text, const uint8_t *id, size_t id_len);

/* What a device is called: the name that policyd knows (`p` may be NULL), else what it calls itself
 * while it wants to pair (`s` may be NULL), else "device-0123abcd". */
void naming_label(const struct policyd_peer *p, const struct sighting *s, const uint8_t *id,
		  char *ret, size_t size);

/* Both fill id, id_len and label of *t. 1 = exactly one device is meant, 0 = none, negative with
 * *err = several. */

/* Which paired device, for a hand-off. */
int naming_paired(const struct policyd_peer *peers, size_t count, const char *text,
		  struct peers_target *t, struct kerr *err);

/* Whom to pair with. Even a paired device of a name does not win over a stranger in sight that says
 * it has it too. */
int naming_pairable(const struct policyd_peer *peers, size_t count, const struct roster *roster,
		    const char *text, struct peers_target *t, struct kerr *err);
