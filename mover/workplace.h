/* SPDX-License-Identifier: Apache-2.0 */
/* Where one hand-off is worked on, by its worker or by recovery: the processes that are asked, the
 * folder whose lock says that somebody is at it, and the note of what may be left behind. */
#pragma once

#include "base/config.h"
#include "base/ipc.h"
#include "mover/remnant.h"
#include "mover/transfer.h"
#include "mover/virt.h"
#include "mover/warden-client.h"
#include "policyd/api/client.h"

/* In the hand-off's folder: the worker makes them at the source, QEMU the last two at the
 * destination. */
enum workplace_socket {
	WORKPLACE_RPC,
	WORKPLACE_RAM,
	WORKPLACE_NBD,
	_WORKPLACE_SOCKET_MAX,
};

struct workplace {
	struct config config;
	struct virt *virt; /* in a worker used by the tasks thread only */
	int folder;	   /* remnants */

	/* The hand-off. */
	uint8_t hid[HID_LEN], uuid[UUID_LEN];
	char hex[2 * HID_LEN + 1];
	struct remnant remnant;
	bool copy_gone; /* as the last look at this host's copy saw it */

	char dir[128], sockets[_WORKPLACE_SOCKET_MAX][184]; /* paths */
	int dir_fd; /* locked: somebody works on this hand-off */
	uid_t qemu_uid;

	struct ipc_client *policyd;
	enum kcode refusal; /* of the record that policyd refused last; OK if it did not say */
};

/* A signed statement, malloced. */
struct statement {
	uint8_t *data;
	size_t len;
};

/* Makes the place, for no hand-off yet. */
int workplace_open(struct workplace *p, const struct config *config, struct kerr *err);

/* Makes the hand-off's folder and takes its lock. BUSY if somebody else has it. */
int workplace_lock(struct workplace *p, const uint8_t hid[HID_LEN], struct kerr *err);
/* Names the sockets after the VM, as soon as its UUID is known. */
void workplace_name_sockets(struct workplace *p);
/* Removes the folder with the sockets in it. The lock is held until dir_fd is closed. */
void workplace_remove(struct workplace *p);

/* Connects to policyd unless the connection stands. */
int workplace_policyd(struct workplace *p);
void workplace_policyd_drop(struct workplace *p);

/* What policyd knows of a VM: 1, or 0 if nothing; INTERRUPTED if it cannot be asked. */
int workplace_known(struct workplace *p, const uint8_t uuid[UUID_LEN], struct policyd_vm *ret,
		    struct kerr *err);

/* This hand-off as the journal has it; -ENOENT if it is closed or unknown there. */
int workplace_record(struct workplace *p, struct policyd_open *ret);

/* Writes a record. Fills the signed statement where there is one. JOURNALLED, REFUSED (certain: the
 * record is not written), or DOUBT. *err says why it was not written at the first try:
 *
 *	asked -- yes ------------------------------------------- JOURNALLED
 *	  |-- no, by rule -------------------------------------- REFUSED
 *	  `-- no answer, or it failed half way: is it there?
 *	        |-- no ----------------------------------------- REFUSED
 *	        |-- yes: asked again, for the statement -- yes - JOURNALLED
 *	        `-- nobody can say                      -- no -- DOUBT
 */
enum transfer_event workplace_journal(struct workplace *p, enum custody_record record,
				      const struct statement *proof, struct statement *ret,
				      struct kerr *err);

/* Has kith-warden do what the journal says: a thaw, or the end of a copy. 0 once the copy is free
 * or gone; -EBUSY while it is still held. Blocks: for tasks. */
int workplace_settle(struct workplace *p);
