/* SPDX-License-Identifier: Apache-2.0 */
/* Between domain.c and its table, and for the CPU element that cookies carry too. */
#pragma once

#include "mover/filter/domain.h"
#include "mover/filter/xml-filter.h"

/* State of one rebuild, the `ctx` of the filter. */
struct domain_walk {
	const struct domain_limits *limits; /* NULL at the source: nothing is rewritten */
	const struct domain_disk_map *map;  /* NULL at the source */
	struct domain_facts facts;
	const struct domain_disk_target *at; /* the disk being written */
	uint64_t current_bytes;
	bool serial_file_used, graphics_written;
};

extern const struct filter_rule domain_rule;	 /* <domain> */
extern const struct filter_rule domain_cpu_rule; /* <cpu> */

/* Hooks that the table names; each has the signature of filter_rule.enter. */
int domain_enter_domain(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_name(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_uuid(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_memory(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_vcpu(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_os_type(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_emulator(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_disk(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_disk_source(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_interface(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_serial(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_console(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_channel(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_graphics(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_audio(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_rng_backend(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_seclabel(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
