/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's RPC filter: a pure machine between the source's libvirt client and the local
 * libvirtd (H14, H15, H16). */
#pragma once

#include "mover/filter/cookie.h"
#include "mover/filter/domain.h"
#include "mover/filter/rpc.h"

/* Everything the destination decided before the first byte arrives. All strings are copied. */
struct gateway_config {
	struct domain_limits limits;
	struct domain_disk_map map;
	const char *migrate_uri; /* unix:///... where this libvirtd shall take the RAM stream */
	const char
		*disks_uri; /* unix:///... where it shall serve NBD; NULL without disks to copy */
	const char *source_uri; /* uri_out that the source's libvirt shall see */
};

/* Where the conversation stands. */
enum gateway_state {
	GATEWAY_STATE_NEW,	/* nothing opened yet: auth_list, keepalive feature, open */
	GATEWAY_STATE_OPENING,	/* open is at the local libvirtd */
	GATEWAY_STATE_OPEN,	/* supports_feature, prepare3 */
	GATEWAY_STATE_PREPARE,	/* prepare3 is at the local libvirtd */
	GATEWAY_STATE_PREPARED, /* it said yes: finish3 */
	GATEWAY_STATE_FINISH,	/* finish3 is at the local libvirtd */
	GATEWAY_STATE_HELD,	/* its reply is held back until gateway_release_finish() */
	GATEWAY_STATE_FINISHED, /* only close is left (finish3 or prepare3 answered) */
	GATEWAY_STATE_CLOSED,	/* close was seen */
	GATEWAY_STATE_REFUSED,	/* a rule was broken: hang up on both sides */
	_GATEWAY_STATE_MAX,
};
DECLARE_NAMES(gateway_state, enum gateway_state);

/* A zeroed action sends nothing. */
enum gateway_verdict {
	GATEWAY_DROP,	 /* nothing is sent: a keepalive pong, an event nobody asked for */
	GATEWAY_FORWARD, /* `data` goes on to the other side */
	GATEWAY_REPLY,	 /* `data` goes back to the side it came from; nothing is forwarded */
	GATEWAY_HOLD,	 /* nothing is sent now: Finish3's reply waits for the commit decision */
	GATEWAY_REFUSE,	 /* `err` is filled. `data`, if any, is the error reply for the source's
			  * client: send it, then abort the hand-off */
	_GATEWAY_VERDICT_MAX,
};
DECLARE_NAMES(gateway_verdict, enum gateway_verdict);

/* What the worker has to know about the message just handled. */
enum gateway_event {
	GATEWAY_EVENT_NONE,
	GATEWAY_EVENT_PREPARE,	/* prepare3 is about to be forwarded */
	GATEWAY_EVENT_PREPARED, /* the local libvirtd took it: RAM and NBD sockets are there */
	GATEWAY_EVENT_PREPARE_FAILED, /* it answered with an error (in `err`), being forwarded */
	GATEWAY_EVENT_FINISH,	      /* finish3(cancelled=0) is about to be forwarded */
	GATEWAY_EVENT_FINISH_CANCEL,  /* finish3(cancelled=1) is about to be forwarded */
	GATEWAY_EVENT_FINISHED,	      /* the local domain is complete and paused; reply is held */
	GATEWAY_EVENT_FINISH_FAILED,  /* local libvirtd has no domain (in `err`); being forwarded */
	GATEWAY_EVENT_CLOSED,	      /* the source's client said close */
};

struct gateway_action {
	enum gateway_verdict verdict;
	enum gateway_event event;
	uint8_t *data; /* owned: gateway_action_clear() */
	size_t len;
	struct kerr err;
};

void gateway_action_clear(struct gateway_action *a);
#define _cleanup_gateway_action_ _cleanup_(gateway_action_clear)

struct gateway;

/* Copies `config`. -EINVAL if a URI is not unix:///..., a path not absolute, or the like. */
int gateway_new(const struct gateway_config *config, struct gateway **ret);
struct gateway *gateway_free(struct gateway *g);
DEFINE_CLEANUP(struct gateway *, gateway_free)

/* One whole frame from the source's client (already reassembled with rpc_stream). Always fills
 * *ret (cleared first by the caller or zero); 0, or -ENOMEM with verdict REFUSE. Rules: exactly
 * the six procedures in order, `open` rewritten to RPC_LIBVIRTD_URI with flags 0, parameters
 * and flags rewritten or refused, VIR_MIGRATE_PAUSED forced, keepalive answered here. */
int gateway_from_source(struct gateway *g, const struct rpc_msg *msg, struct gateway_action *ret);

/* One whole frame from the local libvirtd. Only the reply to the call under way passes; its
 * cookies are rebuilt, uri_out is replaced; Finish3's success is held. */
int gateway_from_libvirt(struct gateway *g, const struct rpc_msg *msg, struct gateway_action *ret);

/* The commit decision was "release": the held Finish3 reply, rebuilt, for the source's client.
 * -EPROTO unless in state HELD. */
int gateway_release_finish(struct gateway *g, struct gateway_action *ret);

enum gateway_state gateway_state(const struct gateway *g);

/* The rebuilt domain XML as it is to be defined once the VM is here, NULL before
 * GATEWAY_EVENT_PREPARE, and what it says. Borrowed. */
const char *gateway_domain_xml(const struct gateway *g);
const struct domain_facts *gateway_domain_facts(const struct gateway *g);
