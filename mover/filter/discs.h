/* SPDX-License-Identifier: Apache-2.0 */
/* Drives for discs and floppies with something in them. */
#pragma once

#include "mover/filter/domain.h"

#define DISCS_MAX 8
struct disc_drive {
	char target[DOMAIN_TARGET_MAX + 1];
	char what[DOMAIN_PATH_MAX + 1]; /* file, device, or what else libvirt calls it by */
};

/* Reads them out of libvirt's own XML of a VM; the first DISCS_MAX. -EBADMSG. */
int discs_read(const char *xml, struct disc_drive ret[DISCS_MAX], size_t *ret_n);

/* The drive's own XML without its disc, as libvirt takes it for a change; *ret is malloced. -ENOENT
 * if there is no such drive with that disc in it now, -EBADMSG, -ENOMEM. */
int discs_without(const char *xml, const struct disc_drive *disc, char **ret);
