/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to kith-policyd from a thread of their own: a TPM may take its time, the main loop
 * may not. One thread, so that they are answered in the order they were made. */
#pragma once

#include <glib.h>

#include "policyd/api/client.h"

struct asks;

/* One request with everything it may need and everything it may bring. The maker fills the upper
 * part; asks_submit() takes it over and frees it after `done`. */
struct ask {
	/* In the thread: 0, or negative with a->err filled. */
	int (*run)(struct ipc_client *c, struct ask *a);
	/* In the main loop. Set to NULL (asks_forget()) when nobody waits any more. */
	void (*done)(struct ask *a, void *user);
	void *user;
	uint8_t hid[HID_LEN], peer[DEVICE_ID_LEN], exporter[EXPORTER_LEN];
	bool flag;
	uint64_t tag;
	GBytes *blob;
	enum talk_kind talk;
	enum talk_verb verb;

	int r;
	struct kerr err;
	enum conversation_state state;
	struct kerr refused;
	GBytes *reply; /* never NULL after success of a conversation or custody step */
	struct policyd_status status;
	struct policyd_pair_status window;
	struct policyd_peer *peers;
	struct policyd_vm *vms;
	struct policyd_letter *letters;
	struct policyd_wanted *wanted;
	size_t peer_count, vm_count, letter_count, wanted_count;
	uint8_t *leaf, *device;
	size_t leaf_len, device_len;
};

/* `path` is policyd's socket. */
struct asks *asks_new(const char *path);
/* Waits for the request that is under way; what waits is dropped, `done` is not called. */
struct asks *asks_free(struct asks *q);
DEFINE_CLEANUP(struct asks *, asks_free)

struct ask *ask_new(int (*run)(struct ipc_client *c, struct ask *a),
		    void (*done)(struct ask *a, void *user), void *user);

/* Never blocks. With too many waiting the answer is `busy`. */
void asks_submit(struct asks *q, struct ask *a);

/* Nobody with this `user` waits any more: their `done` will not be called. */
void asks_forget(struct asks *q, const void *user);

/* The requests that kithd makes; each reads and fills the fields its policyd op names. */

/* Status, peers, pairing window; and leaf and device certificate for the SPKI in `blob` if `flag`
 * is set or the device id is not `peer`. Only the status has to succeed. */
int ask_overview(struct ipc_client *c, struct ask *a);
int ask_vms(struct ipc_client *c, struct ask *a);
/* `talk` and `verb`; flag = initiator. */
int ask_talk(struct ipc_client *c, struct ask *a);
int ask_custody(struct ipc_client *c, struct ask *a);
/* A policyd that is locked or has no cloud has none. */
int ask_outbox(struct ipc_client *c, struct ask *a);
/* The same. */
int ask_wanted(struct ipc_client *c, struct ask *a);
