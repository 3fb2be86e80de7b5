/* SPDX-License-Identifier: Apache-2.0 */
/* The allow-list of migration cookies: one table per message that carries one. What each element
 * does was read in libvirt 9.0.0, qemu_migration_cookie.c. */
#include "mover/filter/cookie.h"

#include <inttypes.h>
#include <string.h>

#include "mover/filter/domain-rules.h"

#define COOKIE_DEPTH_MAX 6

static const char *const cookie_step_names[_COOKIE_STEP_MAX] = {
	[COOKIE_STEP_PREPARE] = "prepare",
	[COOKIE_STEP_FINISH] = "finish",
	[COOKIE_STEP_PREPARE_RET] = "prepare-reply",
	[COOKIE_STEP_FINISH_RET] = "finish-reply",
};

DEFINE_NAMES(cookie_step, enum cookie_step, _COOKIE_STEP_MAX)

struct cookie_walk {
	const struct domain_limits *limits;
	const struct domain_disk_map *map;
	uint32_t seen; /* bit n: disk n of the map was in <nbd> */
};

/* ---- hooks ---- */

static int enter_name(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const struct cookie_walk *w = f->ctx;
	const char *text = filter_text_of(node);

	if (!text || node->properties || strcmp(text, w->limits->expect_name) != 0)
		return kerr_set(f->err, EACCES, KCODE_IDENTITY,
				"The migration data belongs to a VM with another name than the "
				"agreed one; nothing was started.");
	filter_put_element(f, rule->name, w->limits->expect_name);
	return 1;
}

static int enter_uuid(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	const struct cookie_walk *w = f->ctx;
	const char *text = filter_text_of(node);
	char canonical[DOMAIN_UUID_TEXT];
	uint8_t uuid[UUID_LEN];

	if (!text || node->properties || domain_uuid_parse(text, uuid) < 0 ||
	    memcmp(uuid, w->limits->expect_uuid, UUID_LEN) != 0)
		return kerr_set(f->err, EACCES, KCODE_IDENTITY,
				"The migration data belongs to a VM with another UUID than the "
				"agreed one; nothing was started.");
	domain_uuid_text(uuid, canonical);
	filter_put_element(f, rule->name, canonical);
	return 1;
}

static int enter_nbd_disk(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	struct cookie_walk *w = f->ctx;
	const char *target = filter_prop(node, "target"), *size = filter_prop(node, "capacity");
	const struct domain_disk_target *disk =
		target ? domain_disk_map_find(w->map, target) : NULL;
	uint64_t capacity;
	size_t i;

	(void)rule;
	if (!disk || !size || filter_number(size, UINT64_MAX, &capacity) < 0)
		return filter_refuse(f, "The migration data names a disk that was not announced; "
					"nothing was started.");
	/* Precreation and mirror follow this number, so it must be the granted one (H23). */
	if (capacity != disk->capacity)
		return kerr_set(f->err, ENOSPC, KCODE_ROOM,
				"Disk %s has %" PRIu64 " bytes now, but %" PRIu64
				" were announced; nothing was started.",
				disk->target, capacity, disk->capacity);
	i = (size_t)(disk - w->map->disks);
	if (w->seen & 1u << i)
		return filter_refuse(f, "The migration data names disk %s twice.", disk->target);
	w->seen |= 1u << i;
	return 0;
}

static int enter_cpu(struct filter *f, const xmlNode *node, const struct filter_rule *rule)
{
	int r = filter_element(f, node, &domain_cpu_rule);

	(void)rule;
	return r < 0 ? r : 1;
}

/* ---- tables ---- */

#define ATTRS(...)                   \
	(const struct filter_attr[]) \
	{                            \
		__VA_ARGS__,         \
		{                    \
			.name = NULL \
		}                    \
	}
#define VALUES(...)               \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}
#define REFUSE(n, sentence)                                          \
	{                                                            \
		.name = (n), .act = FILTER_REFUSE, .why = (sentence) \
	}
#define SKIP(n)                                 \
	{                                       \
		.name = (n), .act = FILTER_SKIP \
	}

static const struct filter_attr hostname_text = {.kind = FILTER_TOKEN, .max = 255};
static const struct filter_attr uuid_text = {.kind = FILTER_UUID};
static const struct filter_attr uint_text = {.kind = FILTER_UINT, .max = UINT64_MAX};
static const struct filter_attr int_text = {.kind = FILTER_INT, .max = INT64_MAX};

/* In every cookie. libvirt compares the first two with the domain, needs the third, and refuses
 * its own host's UUID in the fourth. */
#define COMMON                                                          \
	{.name = "name", .min = 1, .enter = enter_name},                \
		{.name = "uuid", .min = 1, .enter = enter_uuid},        \
		{.name = "hostname", .min = 1, .text = &hostname_text}, \
	{                                                               \
		.name = "hostuuid", .min = 1, .text = &uuid_text        \
	}

/* Never acceptable, whichever message they sit in. <domain> is the persistent definition that
 * libvirt would store unchecked (H14); <lockstate> and <network> feed host services (lock
 * manager, Open vSwitch); dirty bitmaps would be merged into the destination's image. */
#define NEVER                                                                                      \
	REFUSE("domain", "The other device tried to store a VM definition here through the "       \
			 "migration data; nothing was stored."),                                   \
		REFUSE("lockstate", "The VM is held by a lock manager of the old host; it cannot " \
				    "be handed over."),                                            \
		REFUSE("network", "A network card of the VM carries data of the old host's "       \
				  "switch; it cannot be handed over."),                            \
		REFUSE("blockDirtyBitmaps",                                                        \
		       "A disk of the VM has change bitmaps of incremental backups, which this "   \
		       "version of Kith cannot hand over. Delete them, then try again.")

/* Mandatory features are a demand on the reader. lockstate is demanded by every libvirt, also
 * with the null lock manager and no state; cpu-hotplug only says that <vcpus> is exact. */
#define FEATURE                                                                               \
	{                                                                                     \
		.name = "feature", .max = 4,                                                  \
		.attrs = ATTRS({.name = "name",                                               \
				.kind = FILTER_ENUM,                                          \
				.required = true,                                             \
				.values = VALUES("lockstate", "cpu-hotplug"),                 \
				.why = "The migration data demands a feature that cannot be " \
				       "handed over; nothing was started."})                  \
	}

/* Sizes for precreation (our images exist already) and the export list. The port is for TCP. */
#define NBD                                                                           \
	{                                                                             \
		.name = "nbd", .attrs = ATTRS({.name = "port", .kind = FILTER_DROP}), \
		.children = nbd_rows                                                  \
	}
static const struct filter_rule nbd_rows[] = {
	{.name = "disk",
	 .max = DOMAIN_DISKS_MAX,
	 .attrs = ATTRS(
		 {.name = "target",
		  .kind = FILTER_TOKEN,
		  .max = DOMAIN_TARGET_MAX,
		  .required = true},
		 {.name = "capacity", .kind = FILTER_UINT, .max = UINT64_MAX, .required = true}),
	 .enter = enter_nbd_disk},
	{.name = NULL},
};

/* Capabilities of QEMU's migration that each side has or always turns on. */
#define CAPABILITIES                                                \
	{                                                           \
		.name = "capabilities", .children = capability_rows \
	}
static const struct filter_rule capability_rows[] = {
	{.name = "cap",
	 .max = 32,
	 .attrs = ATTRS({.name = "name",
			 .kind = FILTER_ENUM,
			 .required = true,
			 .values = VALUES("xbzrle", "auto-converge", "rdma-pin-all", "events",
					  "postcopy-ram", "compress", "pause-before-switchover",
					  "late-block-activate", "multifd", "dirty-bitmaps",
					  "return-path", "zero-copy-send")},
			{.name = "auto", .kind = FILTER_ENUM, .values = VALUES("yes", "no")})},
	{.name = NULL},
};

/* Numbers for `virsh domjobinfo`; no decision hangs on them. */
#define STATISTICS                                                \
	{                                                         \
		.name = "statistics", .children = statistics_rows \
	}
#define NUMBER(n)                               \
	{                                       \
		.name = (n), .text = &uint_text \
	}
static const struct filter_rule statistics_rows[] = {
	NUMBER("started"),
	NUMBER("stopped"),
	NUMBER("sent"),
	{.name = "delta", .text = &int_text},
	NUMBER("time_elapsed"),
	NUMBER("downtime"),
	NUMBER("setup_time"),
	NUMBER("memory_total"),
	NUMBER("memory_processed"),
	NUMBER("memory_remaining"),
	NUMBER("memory_bps"),
	NUMBER("memory_constant"),
	NUMBER("memory_normal"),
	NUMBER("memory_normal_bytes"),
	NUMBER("memory_dirty_rate"),
	NUMBER("memory_iteration"),
	NUMBER("memory_postcopy_requests"),
	NUMBER("memory_page_size"),
	NUMBER("disk_total"),
	NUMBER("disk_processed"),
	NUMBER("disk_remaining"),
	NUMBER("disk_bps"),
	NUMBER("compression_cache"),
	NUMBER("compression_bytes"),
	NUMBER("compression_pages"),
	NUMBER("compression_cache_misses"),
	NUMBER("compression_overflow"),
	{.name = "auto_converge_throttle", .text = &int_text},
	{.name = NULL},
};

static const struct filter_rule prepare_rows[] = {
	COMMON,
	NEVER,
	FEATURE,
	NBD,
	/* The CPU the guest really sees; it replaces the one of the domain XML, same rules. */
	{.name = "cpu", .enter = enter_cpu},
	CAPABILITIES,
	{.name = NULL},
};

static const struct filter_rule finish_rows[] = {
	COMMON, NEVER, FEATURE, NBD, STATISTICS, {.name = NULL},
};

static const struct filter_rule prepare_ret_rows[] = {
	COMMON,		  NEVER,	  NBD,
	SKIP("graphics"), /* would send viewers from the old host to an address here */
	CAPABILITIES,	  {.name = NULL},
};

static const struct filter_rule finish_ret_rows[] = {
	COMMON,
	NEVER,
	STATISTICS,
	{.name = NULL},
};

static const struct filter_rule step_rules[_COOKIE_STEP_MAX] = {
	[COOKIE_STEP_PREPARE] = {.name = "qemu-migration", .children = prepare_rows},
	[COOKIE_STEP_FINISH] = {.name = "qemu-migration", .children = finish_rows},
	[COOKIE_STEP_PREPARE_RET] = {.name = "qemu-migration", .children = prepare_ret_rows},
	[COOKIE_STEP_FINISH_RET] = {.name = "qemu-migration", .children = finish_ret_rows},
};

/* libvirt 9.0.0 reads through a NULL pointer if Prepare3 comes without a cookie
 * (qemuMigrationDstPrepareActive: mig->caps), so none must reach it. */
static int empty_cookie(enum cookie_step step, char **ret, size_t *ret_len, struct kerr *err)
{
	if (step == COOKIE_STEP_PREPARE)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The other device sent no migration data; nothing was started.");
	*ret = NULL;
	*ret_len = 0;
	return 0;
}

int cookie_rebuild(enum cookie_step step, const void *data, size_t len,
		   const struct domain_limits *limits, const struct domain_disk_map *map,
		   char **ret, size_t *ret_len, struct kerr *err)
{
	struct cookie_walk w = {.limits = limits, .map = map};
	_cleanup_filter_ struct filter f = {.ctx = &w, .err = err};
	_cleanup_doc_ xmlDoc *doc = NULL;
	const xmlNode *root;
	int r;

	if (len == 0)
		return empty_cookie(step, ret, ret_len, err);
	r = filter_parse(data, len, COOKIE_MAX, COOKIE_DEPTH_MAX, "migration data", &doc, err);
	if (r < 0)
		return r;
	root = xmlDocGetRootElement(doc);
	if (root->ns || strcmp((const char *)root->name, "qemu-migration") != 0)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"The other device sent no migration data; nothing was started.");
	r = filter_element(&f, root, &step_rules[step]);
	if (r == 0)
		r = filter_take(&f, ret, ret_len);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "There is not enough memory.");
	*ret_len += 1; /* libvirt counts the NUL */
	return 0;
}
