/* SPDX-License-Identifier: Apache-2.0 */
/* Makes and ends kith-policyd's parts in their order. */
#include "policyd/policyd.h"

int policyd_start(const struct config *config, struct policyd *ret, struct kerr *err)
{
	struct policyd p = {0};
	int r = core_new(config, &p.core, err);

	if (r == 0)
		r = pairdesk_new(p.core, &p.pairdesk);
	if (r == 0)
		r = handoffs_new(p.core, &p.handoffs);
	if (r == 0)
		r = consoles_new(p.core, &p.consoles);
	if (r < 0) {
		policyd_stop(&p);
		return kerr_set(err, -r, KCODE_FAILED, "Out of memory.");
	}
	*ret = p;
	return 0;
}

void policyd_stop(struct policyd *p)
{
	consoles_free(p->consoles);
	handoffs_free(p->handoffs);
	pairdesk_free(p->pairdesk);
	core_free(p->core);
	*p = (struct policyd){0};
}
