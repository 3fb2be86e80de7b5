/* SPDX-License-Identifier: Apache-2.0 */
/* Errors people read and programs match: a stable code, what happened, what to do next. */
#pragma once

#include "base/cleanup.h"
#include "base/names.h"

struct rbuf;
struct wbuf;

/* Stable codes. The order is the wire value: append only. kerr.c gives each its name (used in
 * JSON and audit), advice.c the exit status of `kith` and the usual next step. */
enum kcode {
	KCODE_OK = 0,
	KCODE_FAILED,	      /* internal failure that has no better name */
	KCODE_USAGE,	      /* the request itself is malformed or incomplete */
	KCODE_BAD_MESSAGE,    /* a frame or message breaks its format */
	KCODE_NOT_ALLOWED,    /* this local user or process may not ask this */
	KCODE_NOT_READY,      /* no cloud yet, locked, or still starting */
	KCODE_EXISTS,	      /* there is one already */
	KCODE_NOT_FOUND,      /* no such VM, device, hand-off */
	KCODE_BUSY,	      /* another hand-off of this VM is open; limits reached */
	KCODE_POLICY,	      /* a policy rule, or the lack of one, denies */
	KCODE_PEER_UNKNOWN,   /* the peer is not paired with this device */
	KCODE_PEER_KEY,	      /* the peer showed a certificate other than the pinned one */
	KCODE_PAIRING,	      /* pairing failed: window, commitment, code or timeout */
	KCODE_ATTEST_PCR,     /* genuine quote, but measurements differ from the accepted ones */
	KCODE_ATTEST_QUOTE,   /* the quote does not verify: signature, structure, AK */
	KCODE_ATTEST_BINDING, /* a quote made for another channel, role or hand-off */
	KCODE_ATTEST_REPLAY,  /* nonce or offer used before, or too old */
	KCODE_ATTEST_ERROR,   /* the verifier itself failed: verdict unknown */
	KCODE_CUSTODY,	      /* this device does not hold the VM */
	KCODE_STALE_EPOCH,    /* the (VM, epoch) was accepted before */
	KCODE_IDENTITY,	      /* name, UUID and custody chain do not belong together */
	KCODE_DOMAIN,	      /* the VM uses something that cannot be handed over safely */
	KCODE_ROOM,	      /* not enough disk or memory at the destination */
	KCODE_UNREACHABLE,    /* no connection to the device */
	KCODE_INTERRUPTED,    /* link, peer or local service went away; guest stays at source */
	KCODE_CANCELLED,      /* the owner cancelled */
	KCODE_TPM,	      /* the TPM failed or is missing */
	KCODE_LOCKED,	      /* the sealed database does not open here */
	KCODE_ROLLBACK,	      /* stored state is older than the TPM counter says */
	KCODE_TIER,	      /* the device's TPM tier is too low */
	KCODE_NOT_RUNNING,    /* the VM is paused, or off and not whole without running */
	_KCODE_MAX,
};

DECLARE_NAMES(kcode, enum kcode);

#define KERR_TEXT_MAX 480

/* One error, by value; code KCODE_OK means none. `text` holds whole sentences, and is always clean
 * (text_is_clean()): kerr_set() and kerr_get() see to it, so that whoever sends it need not. */
struct kerr {
	enum kcode code;
	char text[KERR_TEXT_MAX];
};

/* Fills *err (if not NULL and still empty: the first cause wins) and returns -`num`, so that
 * `return kerr_set(err, EACCES, KCODE_POLICY, "...")` is one statement. Sentences, no newline.
 * Words of others may stand in by %s, whole or cut: what is not clean in them is mended. */
int kerr_set(struct kerr *err, int num, enum kcode code, const char *fmt, ...) _printf_(4, 5);

/* Makes *err empty again. */
void kerr_clear(struct kerr *err);

/* Wire form: u16 code, string text (code_kerr()). -EBADMSG for an unknown code or bad text. */
int kerr_put(struct wbuf *w, const struct kerr *err);
int kerr_get(struct rbuf *r, struct kerr *ret_err);
