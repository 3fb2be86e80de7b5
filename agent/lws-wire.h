/* SPDX-License-Identifier: Apache-2.0 */
/* Binary messages over WebSocket over mutual TLS 1.3; the only header libwebsockets hides behind.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/kerr.h"

#define WIRE_MESSAGE_MAX 65536
#define WIRE_PATH "/peer"
#define WIRE_PROTOCOL "kith-peer"

struct wire_net; /* the libwebsockets context */
struct wire;	 /* one connection */
struct tls_identity;
struct _GMainLoop;

/* What the user of a connection is told. `user` is what wire_connect()/wire_accept() got. The
 * wire must not be freed inside judge(); in the others it may be. */
struct wire_ops {
	/* In the handshake: may this device pass? (see struct tls_hooks) */
	bool (*judge)(void *user, const uint8_t id[DEVICE_ID_LEN]);
	/* Established: who it is and the channel binding. */
	void (*open)(void *user, const uint8_t id[DEVICE_ID_LEN],
		     const uint8_t exporter[EXPORTER_LEN]);
	void (*message)(void *user, const uint8_t *data, size_t len);
	/* Over, once, not after wire_free() or wire_finish(). UNREACHABLE, PEER_KEY,
	 * PEER_UNKNOWN, BAD_MESSAGE or INTERRUPTED. */
	void (*closed)(void *user, enum kcode why);
};

/* Makes the context on the default main context of `loop`. `ops` must be static. The identity
 * has to be ready (it has a chain) before connections are made. */
int wire_net_new(struct _GMainLoop *loop, const struct wire_ops *ops, struct wire_net **ret);
struct wire_net *wire_net_free(struct wire_net *net);
DEFINE_CLEANUP(struct wire_net *, wire_net_free)
struct tls_identity *wire_net_identity(struct wire_net *net);

/* Starts a connection to a numeric address (IPv6 may carry %scope). The outcome comes by
 * open() or closed(), never from inside this call. */
int wire_connect(struct wire_net *net, const char *address, uint16_t port, void *user,
		 struct wire **ret);

/* Takes over an accepted socket (always, also on failure), nothing read from it yet. */
int wire_accept(struct wire_net *net, int fd, void *user, struct wire **ret);

/* Queues one message (copied). -ENOBUFS if too much is waiting, -ENOTCONN if not open. */
int wire_send(struct wire *w, const void *data, size_t len);

/* Numeric address of the peer of a connected socket (IPv4 as such also on a dual-stack one,
 * link-local IPv6 with %scope). -ENOSPC or another negative errno. */
int wire_socket_address(int fd, char *ret, size_t size);

/* Drops the connection at once. */
struct wire *wire_free(struct wire *w);

/* Lets the queue drain for at most 5 s, then closes; the wire is gone for the caller. */
void wire_finish(struct wire *w);
