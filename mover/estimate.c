/* SPDX-License-Identifier: Apache-2.0 */
/* Holes are not sent: what is left of a disk costs what the allocated share of it costs. */
#include "mover/estimate.h"

#include "base/cleanup.h"

void estimate_left(const struct estimate *e, const struct virt_job *job, uint64_t *ret_disk,
		   uint64_t *ret_ram)
{
	uint64_t allocated = MIN_OF(e->used, e->capacity);
	uint64_t found = job->disk_total, rest = found - MIN_OF(job->disk_done, found);
	uint64_t unsent = allocated - MIN_OF(allocated, e->disk_sent);

	*ret_ram = e->memory_turn || job->ram_total ? job->ram_left : e->memory;
	if (!found)
		*ret_disk = e->memory_turn ? 0 : unsent;
	else if (found >= allocated || !allocated)
		*ret_disk = e->capacity && allocated < e->capacity && found > allocated
				    ? (uint64_t)((double)rest * (double)allocated / (double)found)
				    : rest;
	else /* it still looks for what is there */
		*ret_disk = e->memory_turn ? rest : unsent > rest ? unsent : rest;
}
