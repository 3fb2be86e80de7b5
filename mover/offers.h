/* SPDX-License-Identifier: Apache-2.0 */
/* What this host gives to VMs that arrive, as a record that another device of the same owner may
 * read: the destination publishes, and whoever plans a hand-off judges by it. The destination's
 * worker judges by the very same functions, so that plan and move say the same.
 *
 * A further field: the struct, one line of offers_code(), where it is looked up in offers_look(),
 * and where it counts: in offers_judge(), or in the limits of the filter (offers_limits()). */
#pragma once

#include "mover/disk.h"
#include "mover/host.h"
#include "mover/stores.h"
#include "policyd/api/proto.h"

#define OFFERS_VERSION 3
#define OFFERS_TAKEN_MAX 256
#define OFFERS_VOLUMES_MAX 256
#define OFFERS_SALT_LEN 16
#define OFFERS_MARK_LEN 8
#define OFFERS_MAX MOVER_OFFERS_MAX

struct offers {
	struct kerr why;       /* nothing can arrive, and the rest says nothing; OK = it can */
	uint64_t memory_bytes; /* available; 0 = not known */
	struct kerr no_place;  /* no disk can arrive; OK = `room` is known */
	struct disk_room room;
	struct domain_host host; /* its paths are told to nobody */
	struct domain_networks networks;
	/* VMs that libvirt has here: keyed hashes, so that the list tells nobody a name that he
	 * does not know. */
	uint8_t salt[OFFERS_SALT_LEN];
	size_t taken_count;
	struct offers_taken {
		uint8_t name[OFFERS_MARK_LEN], uuid[OFFERS_MARK_LEN];
		uint8_t stays; /* 0: only a definition that makes room for the VM it is of (F7) */
	} taken[OFFERS_TAKEN_MAX];
	/* Storage over the network that VMs may have disks on; of it are told pool, name and what
	 * is missing. What is in there, again by keyed hashes. */
	struct stores stores;
	size_t volume_count;
	struct offers_volume {
		uint8_t name[OFFERS_MARK_LEN];
		uint8_t users; /* VMs here that have it; 2 = more than one */
		uint8_t user[OFFERS_MARK_LEN];
	} volumes[OFFERS_VOLUMES_MAX];
};

/* get: -EPROTONOSUPPORT if the version is another one, -EBADMSG, -ENOMEM; *ret is untouched then.
 * Bytes may follow. */
int offers_put(struct wbuf *w, const struct offers *o);
int offers_get(struct rbuf *r, struct offers *ret);

/* Looks all of it up at this host. `known` are the VMs of which policyd here has a record: their
 * definitions make room for them. Blocks as long as libvirt does. */
void offers_look(struct virt *v, const struct config *config, const struct policyd_vm *known,
		 size_t known_count, struct offers *ret);

/* What a VM needs that arrives. */
struct offers_need {
	const char *name;
	uint8_t uuid[UUID_LEN];
	const struct frame_offer *offer;
};

/* Could it arrive? 0, or negative with the reason as the destination's person and the other one
 * read it: NOT_READY and others as `why` and `no_place` say, IDENTITY, ROOM. */
int offers_judge(const struct offers *o, const struct offers_need *need, struct kerr *err);

/* Enters what the filter of the VM's configuration has to know; pointers into both stay. */
void offers_limits(const struct offers *o, const struct offers_need *need,
		   struct domain_limits *limits);

/* Enters where shared disks of the offer are, as this host reaches them; pointers into `o` stay.
 * They are what offers_judge() let pass. */
int offers_place_shared(const struct offers *o, const struct frame_offer *offer,
			struct domain_disk_map *map, struct kerr *err);

/* Are they as large here, too, and files the very same? IDENTITY if not, or as the storage server's
 * pool says. Asks the server. */
int offers_check_shared(struct virt *v, const struct offers *o, const struct frame_offer *offer,
			struct kerr *err);

/* The same questions about the VM's UUID and name to libvirt itself, just before something is made
 * (H21). `was_here`: policyd has a record of it. */
int offers_check_uuid(struct virt *v, const uint8_t uuid[UUID_LEN], bool was_here,
		      struct kerr *err);
int offers_check_name(struct virt *v, const char *name, struct kerr *err);
