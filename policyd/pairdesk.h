/* SPDX-License-Identifier: Apache-2.0 */
/* Pairing at this device: the window the owner opened and the one machine that runs in it. */
#pragma once

#include "attest/pairing.h"
#include "policyd/proto.h"

struct core;
struct pairdesk;

int pairdesk_new(struct core *core, struct pairdesk **ret);
struct pairdesk *pairdesk_free(struct pairdesk *d);

/* Opens the window for `seconds` (1 to 600); replaces an older one. `role`: what a foreign owner
 * becomes here. */
int pairdesk_open(struct pairdesk *d, enum person_role role, uint32_t seconds, struct kerr *err);
void pairdesk_close(struct pairdesk *d);
void pairdesk_status(struct pairdesk *d, struct policyd_pair_status *ret);

/* A channel to somebody exists: refuses outside the window (P7) or while a pairing runs. These
 * append to `out` what goes to the peer and give the state of the conversation. */
enum attest_state pairdesk_start(struct pairdesk *d, bool initiator,
				 const uint8_t exporter[EXPORTER_LEN], struct wbuf *out,
				 struct kerr *err);
enum attest_state pairdesk_step(struct pairdesk *d, const uint8_t *data, size_t len,
				struct wbuf *out, struct kerr *err);

/* The owner compared the code. What follows from it is fetched by pairdesk_poll(). */
int pairdesk_confirm(struct pairdesk *d, bool same_code, struct kerr *err);
enum attest_state pairdesk_poll(struct pairdesk *d, struct wbuf *out, struct kerr *err);

/* The channel is gone. */
void pairdesk_end(struct pairdesk *d);
