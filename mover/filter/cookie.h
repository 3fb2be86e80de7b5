/* SPDX-License-Identifier: Apache-2.0 */
/* Rebuilds libvirt's migration cookie with known, harmless elements only (H14, H23). */
#pragma once

#include "mover/filter/domain.h"

#define COOKIE_MAX 65536u /* bytes; a real one has 1 to 4 KiB */

/* Which message of the migration carries the cookie. The first two come from the source's
 * libvirt, the others from the destination's own. */
enum cookie_step {
	COOKIE_STEP_PREPARE,	 /* Begin's, in Prepare3's arguments */
	COOKIE_STEP_FINISH,	 /* Perform's, in Finish3's arguments */
	COOKIE_STEP_PREPARE_RET, /* Prepare3's reply */
	COOKIE_STEP_FINISH_RET,	 /* Finish3's reply */
	_COOKIE_STEP_MAX,
};
DECLARE_NAMES(cookie_step, enum cookie_step);

/* Parses `data` (empty, or XML with one trailing NUL) and writes it anew. Name and UUID must be
 * those of `limits` (IDENTITY), disks and their capacities those of `map` (DOMAIN, ROOM).
 * *ret is malloced and NUL-terminated; *ret_len counts the NUL as libvirt does, 0 for an empty
 * cookie (then *ret is NULL). Errors as domain_rebuild(). */
int cookie_rebuild(enum cookie_step step, const void *data, size_t len,
		   const struct domain_limits *limits, const struct domain_disk_map *map,
		   char **ret, size_t *ret_len, struct kerr *err);
