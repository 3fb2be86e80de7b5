/* SPDX-License-Identifier: Apache-2.0 */
/* What a destination would say to whatever disks a VM has. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "mover/filter/domain.h"

/* An image in this folder for each disk. */
static inline void map_disks(const struct domain_facts *facts, const char *folder,
			     struct domain_disk_map *map)
{
	*map = (struct domain_disk_map){.count = facts->disk_count};
	for (size_t i = 0; i < facts->disk_count; i++) {
		struct domain_disk_target *t = &map->disks[i];

		snprintf(t->target, sizeof(t->target), "%s", facts->disks[i].target);
		snprintf(t->path, sizeof(t->path), "%s/%zu", folder, i);
		t->format = facts->disks[i].format;
	}
}

/* Where a destination has what is on shared storage. `written`: as it wrote that itself. */
static inline void map_shared(const struct domain_facts *facts, bool written,
			      struct domain_disk_map *map)
{
	static struct domain_store stores[DOMAIN_DISKS_MAX];

	for (size_t i = 0; i < facts->disk_count; i++) {
		const struct domain_shared *shared = &facts->disks[i].shared;
		struct domain_disk_target *t = &map->disks[i];
		bool rbd;

		if (!facts->disks[i].is_shared)
			continue;
		rbd = strncmp(shared->store, "rbd", 3) == 0;
		stores[i] = (struct domain_store){
			.protocol = rbd ? STORAGE_RBD : STORAGE_ISCSI,
			.host_count = 1,
			.hosts = {{"nas", 0}},
			.name = "iqn.x",
		};
		snprintf(stores[i].store, sizeof(stores[i].store), "%s",
			 !written ? shared->store
			 : rbd	  ? "rbd://nas:6789/iqn.x"
				  : "iscsi://nas:3260/iqn.x");
		snprintf(t->volume, sizeof(t->volume), "%s",
			 shared->store[0] ? shared->volume : "1");
		t->store = &stores[i];
	}
}
