/* SPDX-License-Identifier: Apache-2.0 */
/* What the mover tells the device's owner of disk images and discs on this host, and removes or
 * ejects at his word. He
 * asks it directly: what a person decides does not pass through kithd (trust line 1). */
#pragma once

#include "base/code.h"
#include "base/ipc-client.h"

#define DISKS_PATH_MAX 1023

/* Where the disks of arriving VMs are made. */
struct disks_place {
	char pool[NAME_MAX_LEN + 1];	 /* "" = in a plain folder */
	char folder[DISKS_PATH_MAX + 1]; /* "" = nowhere, as `why` says */
	uint64_t free_bytes, total_bytes;
	struct kerr why; /* why it is not the pool that was meant; OK = it is */
};

enum disks_state {
	DISKS_STATE_THERE,
	DISKS_STATE_GONE,
	DISKS_STATE_UNKNOWN, /* the mover may not look there */
	_DISKS_STATE_MAX,
};
DECLARE_NAMES(disks_state, enum disks_state);

/* An image that a VM left here when it went elsewhere. */
struct disks_stale {
	uint8_t uuid[UUID_LEN], peer[DEVICE_ID_LEN];
	char vm[NAME_MAX_LEN + 1], peer_name[NAME_MAX_LEN + 1]; /* where it went */
	char path[DISKS_PATH_MAX + 1];
	uint64_t time;	/* Unix seconds */
	uint64_t bytes; /* allocated; of one that is THERE */
	enum disks_state state;
	uint8_t made; /* Kith made it, and could not remove it */
	uint8_t here; /* the VM is on this device again, on another image */
};

/* What came of a wish to remove one. */
enum disks_outcome {
	DISKS_OUTCOME_REMOVED,
	DISKS_OUTCOME_GONE,    /* it was not there any more; its note is away */
	DISKS_OUTCOME_BY_HAND, /* nothing needs it, but only root may remove it; noted still */
	_DISKS_OUTCOME_MAX,
};

struct disks_wish {
	char path[DISKS_PATH_MAX + 1];
	uint8_t forget; /* the note only, whatever is with the file */
};

struct disks_answer {
	enum disks_outcome outcome;
};

/* A disc in a drive of a VM, or the question which there are (then only `uuid` counts). */
#define DISKS_TARGET_MAX 15
#define DISKS_DISCS_MAX 8
struct disks_disc {
	uint8_t uuid[UUID_LEN];		   /* of the VM; zeros in an answer */
	char target[DISKS_TARGET_MAX + 1]; /* the drive */
	char what[DISKS_PATH_MAX + 1];	   /* file or device */
};

DECLARE_CODEC(disks_disc);
DECLARE_CODEC(disks_place);
DECLARE_CODEC(disks_wish);
DECLARE_CODEC(disks_answer);
DECLARE_RECORD(disks_stale);

/* Both fill *err where they fail. The list is malloced. */
int disks_client_get(struct ipc_client *c, struct disks_place *ret, struct disks_stale **ret_list,
		     size_t *ret_n, struct kerr *err);
/* The discs of a VM, at most DISKS_DISCS_MAX; malloced. Only of one that is here and in Kith's
 * care, while no hand-off of it is open. */
int disks_client_discs(struct ipc_client *c, const uint8_t uuid[UUID_LEN], struct disks_disc **ret,
		       size_t *ret_n, struct kerr *err);
/* Ejects just this one, if it is still there. */
int disks_client_eject(struct ipc_client *c, const struct disks_disc *disc, struct kerr *err);
int disks_client_remove(struct ipc_client *c, const struct disks_wish *wish,
			enum disks_outcome *ret, struct kerr *err);
