/* SPDX-License-Identifier: Apache-2.0 */
/* Filters first, fits then, and filters what came of it. */
#include "mover/arrival.h"

#include <string.h>

int arrival_definition(const struct offers *o, const struct offers_need *need,
		       const struct domain_limits *limits, const struct domain_disk_map *map,
		       const char *xml, size_t len, struct domain_facts *ret_facts,
		       struct fit *ret_fit, char **ret_xml, struct kerr *err)
{
	_cleanup_free_ char *clean = NULL, *fitted = NULL;
	struct domain_limits l = *limits;
	int r;

	offers_limits(o, need, &l);
	l.permanent = true;
	l.fits = true;
	r = domain_rebuild(xml, len, &l, map, &clean, NULL, err);
	if (r == 0)
		r = fit_definition(clean, &o->host, &need->offer->origin.cpu, ret_fit, &fitted,
				   err);
	/* What it was before was in the source's words, too. */
	return r < 0 ? r : domain_rebuild(fitted, strlen(fitted), &l, map, ret_xml, ret_facts, err);
}
