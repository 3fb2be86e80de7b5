/* SPDX-License-Identifier: Apache-2.0 */
/* Bulk bytes between a unix socket of QEMU and a TLS connection: one thread for each channel. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "mover/proto.h"
#include "mover/tls.h"

enum relay_state {
	RELAY_HANDSHAKE, /* TLS is being set up */
	RELAY_IDLE,	 /* ready; no local connection yet */
	RELAY_OPEN,	 /* bytes flow */
	RELAY_ENDED,	 /* both directions ended in order */
	RELAY_FAILED,
	RELAY_WANTED, /* destination without a path: the source is there, relay_attach() now */
	_RELAY_STATE_MAX,
};
DECLARE_NAMES(relay_state, enum relay_state);

struct relay_status {
	enum relay_state state;
	int error;	   /* negative errno when failed */
	uint64_t sent;	   /* bytes read from the local socket and encrypted */
	uint64_t received; /* bytes decrypted and written to the local socket */
};

struct relay;

/* Starts the thread. Takes over `net_fd` (connected TCP, preface already dealt with)
 * in any case. At the
 * source (`source`) the local connection comes with relay_attach(); at the destination the thread
 * connects to `local_path` once the source says that its side is open, and refuses a listener
 * that is not run by `qemu_uid` or root (H18); without a path it is RELAY_WANTED then. `wake_fd`
 * (an eventfd, borrowed) is written on every change of state. */
int relay_new(bool source, const uint8_t hid[HID_LEN], uint16_t channel,
	      const uint8_t key[TLS_KEY_LEN], int net_fd, const char *local_path, uid_t qemu_uid,
	      int wake_fd, struct relay **ret);

/* Hands the local connection to a source's relay, or to a destination's that has no path, and takes
 * it over; once. */
int relay_attach(struct relay *r, int local_fd);

void relay_get(struct relay *r, struct relay_status *ret);

/* Stops the thread, cutting what still flows, and frees. */
struct relay *relay_free(struct relay *r);
DEFINE_CLEANUP(struct relay *, relay_free)

/* True if the process at the other end of a connected unix socket runs as `uid` or root. */
bool relay_peer_allowed(int fd, uid_t uid);
