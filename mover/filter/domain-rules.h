/* SPDX-License-Identifier: Apache-2.0 */
/* Between domain.c and its table, and for the CPU element that cookies carry too. */
#pragma once

#include "mover/filter/domain.h"
#include "mover/filter/xml-filter.h"

#define DOMAIN_NOT_A_FILE                                                                       \
	"A disk of the VM is neither an image file of the old host nor on shared storage that " \
	"Kith knows (iSCSI, Ceph's RBD); it cannot be handed over."

/* State of one rebuild, the `ctx` of the filter. */
struct domain_walk {
	const struct domain_limits *limits; /* NULL at the source: nothing is rewritten */
	const struct domain_disk_map *map;  /* NULL at the source */
	struct domain_facts facts;
	const struct domain_disk_target *at; /* the disk being written */
	uint64_t current_bytes;
	bool serial_file_used, graphics_written;
	bool spice; /* the VM has a SPICE display, and so will the copy */
};

/* Refuses for want of room: so much of `what`, and at most so much. */
int domain_no_room(struct filter *f, const char *what, uint64_t wanted, uint64_t most);

/* As an `enter`: judges an element whose place the destination fills itself, and writes nothing. */
int domain_judge_only(struct filter *f, const xmlNode *node, const struct filter_rule *rule);

extern const struct filter_rule domain_rule;		 /* <domain> */
extern const struct filter_rule domain_cpu_rule;	 /* <cpu> */
extern const struct filter_rule domain_kept_cpu_rule;	 /* the one before, in <metadata> */
extern const struct filter_rule domain_shared_disk_rule; /* <disk> of types network and volume */

/* Hooks that the table names; each has the signature of filter_rule.enter. */
int domain_enter_domain(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_name(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_uuid(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_memory(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_vcpu(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_os(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_os_type(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_cpu(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_metadata(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_devices(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_emulator(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_disk(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_disk_source(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_backing(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_interface(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_serial(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_console(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_channel(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_graphics(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_video_model(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_redirdev(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_smartcard(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_tpm(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_tpm_secret(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_audio(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_rng_backend(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
int domain_enter_seclabel(struct filter *f, const xmlNode *node, const struct filter_rule *rule);
