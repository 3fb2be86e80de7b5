/* SPDX-License-Identifier: Apache-2.0 */
/* Pairing at this device: the window the owner opened and the one machine that runs in it. */
#pragma once

#include "attest/pairing.h"
#include "policyd/api/proto.h"

struct core;
struct pairdesk;

int pairdesk_new(struct core *core, struct pairdesk **ret);
struct pairdesk *pairdesk_free(struct pairdesk *d);

struct pairdesk_window {
	enum person_role role; /* what a foreign owner becomes here */
	uint32_t seconds;      /* 1 to 600 */
	bool replace;	       /* a known device may show another TPM and attestation key (H7) */
	uint64_t connection;   /* of the one who asks: the window ends with it */
};

/* Opens the window; an older one of the same connection ends, one of another is `busy`. */
int pairdesk_open(struct pairdesk *d, const struct pairdesk_window *w, struct kerr *err);
/* Closes the window of that connection. A pairing in it ends, and the peer is told that the owner
 * gave up. */
void pairdesk_close(struct pairdesk *d, uint64_t connection);
/* A local connection is gone: what hangs on it ends, the window or the channel to the peer. */
void pairdesk_connection_gone(struct pairdesk *d, uint64_t connection);
void pairdesk_status(struct pairdesk *d, struct policyd_pair_status *ret);

/* A channel to somebody exists: refuses outside the window (P7), while a pairing runs, and after
 * one failed in it (P6). These append to `out` what goes to the peer and give the state of the
 * conversation. */
enum conversation_state pairdesk_start(struct pairdesk *d, bool initiator,
				       const uint8_t exporter[EXPORTER_LEN], struct wbuf *out,
				       struct kerr *err);
enum conversation_state pairdesk_step(struct pairdesk *d, const uint8_t *data, size_t len,
				      struct wbuf *out, struct kerr *err);

/* The connection that carries it: with it the channel is gone. */
void pairdesk_set_carrier(struct pairdesk *d, uint64_t connection);

/* The owner compared the code that was shown with `hash` (HASH_LEN bytes); an answer to another one
 * is refused (C1). What follows from it is fetched by pairdesk_poll(). */
int pairdesk_confirm(struct pairdesk *d, const uint8_t *hash, bool same_code, struct kerr *err);
enum conversation_state pairdesk_poll(struct pairdesk *d, struct wbuf *out, struct kerr *err);

/* The channel is gone. Once the peer has said anything that is a failure like any other: it could
 * have seen the code before it hung up. Before, the window stays open. */
void pairdesk_end(struct pairdesk *d);
