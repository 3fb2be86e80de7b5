/* SPDX-License-Identifier: Apache-2.0 */
/* The definition of a VM that arrives switched off, as this host will keep it. */
#pragma once

#include "mover/filter/fit-xml.h"
#include "mover/offers.h"

/* Makes it of `xml` (`len` bytes, the source's word): fitted to what `o` says of the host, then
 * filtered as every configuration that arrives. `limits` has the paths; offers_limits() the rest.
 * *ret_xml is malloced. As domain_rebuild(). */
int arrival_definition(const struct offers *o, const struct offers_need *need,
		       const struct domain_limits *limits, const struct domain_disk_map *map,
		       const char *xml, size_t len, struct domain_facts *ret_facts,
		       struct fit *ret_fit, char **ret_xml, struct kerr *err);
