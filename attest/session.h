/* SPDX-License-Identifier: Apache-2.0 */
/* The attested exchange of one hand-off between two policyds: a pure machine. */
#pragma once

#include "attest/evidence.h"
#include "base/secret.h"

/* From the first to the last message (B2): older nonces are worth nothing. */
#define SESSION_MAX_MS 60000
#define SESSION_OFFER_MAX 32768
#define SESSION_KEY_LEN 32

/* What the machine cannot do itself. All but the other side's op must be given. */
struct session_ops {
	/* As in pairing_ops. */
	int (*quote)(void *ctx, const struct evidence_binding *binding, struct evidence *ret,
		     struct kerr *err);
	/* Verdict on the peer's evidence; normally evidence_judge() with the pinned AK and the
	 * accepted reference. Everything but TRUSTED ends the hand-off. */
	enum verdict (*judge)(void *ctx, const struct evidence *peer,
			      const uint8_t qualifying[HASH_LEN], struct kerr *err);
	/* Was this hand-off id, or this nonce of the peer, in use before? Remembers both. `hid` is
	 * NULL at the source, which made the id itself. */
	bool (*seen)(void *ctx, const uint8_t *hid, const uint8_t nonce[ATTEST_NONCE_LEN]);
	/* Source: writes the offer {vm, epoch, policy}, at most SESSION_OFFER_MAX bytes. */
	int (*offer)(void *ctx, struct wbuf *w, struct kerr *err);
	/* Destination: decides on it; negative with *err refuses. */
	int (*accept)(void *ctx, const uint8_t *offer, size_t len, struct kerr *err);
};

/* What the two devices prove themselves for. A message of one purpose is none of the other. */
enum session_purpose {
	SESSION_HANDOFF,
	SESSION_CONSOLE, /* the source is the device that wants to see, the destination has the VM
			  */
	_SESSION_PURPOSE_MAX,
};

struct session_config {
	enum session_purpose purpose;
	bool source;
	uint8_t hid[HID_LEN];
	uint8_t exporter[EXPORTER_LEN];
	uint8_t own[DEVICE_ID_LEN], peer[DEVICE_ID_LEN]; /* peer: as pinned by TLS */
};

struct session;

/* Starts a machine. `ops` and `ctx` are borrowed. -EINVAL, -ENOMEM, -EIO. */
int session_new(const struct session_config *config, const struct session_ops *ops, void *ctx,
		uint64_t now_ms, struct session **ret);
struct session *session_free(struct session *s);
DEFINE_CLEANUP(struct session *, session_free)

/* Inputs; `out`, `err` and the returned state as for pairing. States used: SEND, DONE, REFUSED.
 *
 * session_start(): once, source only: blob 1.
 * session_step():  a blob that came from device `peer` over the channel with `exporter`; both must
 *                  be those of the session (ATTEST_BINDING otherwise).
 * The destination is DONE with blob 4 in `out`, the source when it has read blob 4. */
enum conversation_state session_start(struct session *s, struct wbuf *out, struct kerr *err);
enum conversation_state session_step(struct session *s, const uint8_t peer[DEVICE_ID_LEN],
				     const uint8_t exporter[EXPORTER_LEN], const uint8_t *data,
				     size_t len, uint64_t now_ms, struct wbuf *out,
				     struct kerr *err);

/* The data key of the movers (SESSION_KEY_LEN bytes), once the state is CONVERSATION_DONE: both
 * verdicts trusted, offer accepted. -EACCES otherwise. The caller owns *ret. */
int session_data_key(const struct session *s, struct secret *ret);
