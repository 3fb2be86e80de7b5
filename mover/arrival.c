/* SPDX-License-Identifier: Apache-2.0 */
/* Fits first: whatever the source wrote, and what came of it, passes the filter. */
#include "mover/arrival.h"

#include <string.h>

int arrival_definition(const struct offers *o, const struct offers_need *need,
		       const struct domain_limits *limits, const struct domain_disk_map *map,
		       const char *xml, size_t len, struct domain_facts *ret_facts,
		       struct fit *ret_fit, char **ret_xml, struct kerr *err)
{
	_cleanup_free_ char *text = strndup(xml, len), *fitted = NULL;
	struct domain_limits l = *limits;
	int r;

	offers_limits(o, need, &l);
	l.permanent = true;
	l.fits = true;
	if (!text)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	r = fit_definition(text, &o->host, &need->offer->origin.cpu, ret_fit, &fitted, err);
	return r < 0 ? r : domain_rebuild(fitted, strlen(fitted), &l, map, ret_xml, ret_facts, err);
}
