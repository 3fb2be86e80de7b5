/* SPDX-License-Identifier: Apache-2.0 */
/* Between the two halves of the gateway: what the source calls, and what libvirtd answers. */
#pragma once

#include "mover/filter/gateway.h"

#define OWN_SERIAL 0xfffffff0u /* of calls that the gateway makes itself */

/* The call that the local libvirtd works on. Procedure 0 = none. */
struct pending_call {
	struct rpc_header h;
	bool own; /* made by the gateway: its reply is not the source's business */
	bool cancelled;
};

struct gateway {
	struct domain_limits limits;
	struct domain_disk_map map;
	/* What `limits` points to. */
	char *name, *emulator, *serial_path, *nvram_path;
	struct domain_networks networks;
	struct domain_host host;
	struct domain_origin origin;

	char *migrate_uri, *disks_uri, *source_uri;

	enum gateway_state state;
	struct pending_call pending;
	struct rpc_header auth_call; /* waits while polkit is asked */
	uint32_t flags;		     /* of Prepare3, repeated in Finish3 */
	char *xml;		     /* for the copy that arrives */
	char *permanent;	     /* to be defined */
	struct domain_facts facts;
	uint8_t *held; /* Finish3's reply for the source */
	size_t held_len;
};

void gateway_enter(struct gateway *g, enum gateway_state state);

/* The call that libvirtd works on from now on. */
void gateway_set_pending(struct gateway *g, const struct rpc_header *h, bool own, bool cancelled);

/* Hands the frame over to the action. */
int gateway_give(struct gateway_action *ret, enum gateway_verdict verdict, struct xdr_out *out);

/* Forwards the message as it is: its bytes hold nothing but a header or checked integers. */
int gateway_forward_as_is(const struct rpc_msg *m, struct gateway_action *ret);

/* Answers pings. 1 = it was one. */
int gateway_keepalive(const struct rpc_msg *m, struct gateway_action *ret);

/* A refusal ends the conversation. A call gets an error reply, so that the client at the source
 * fails cleanly and resumes its guest instead of waiting. */
int gateway_refuse(struct gateway *g, const struct rpc_header *call, struct gateway_action *ret,
		   int error);
