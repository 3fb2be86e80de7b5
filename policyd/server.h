/* SPDX-License-Identifier: Apache-2.0 */
/* The poll loop of kith-policyd: connections, who they are, one request at a time. */
#pragma once

#include "base/config.h"
#include "base/kerr.h"

struct policyd;

/* Who a connection may be; the op table says which of them may ask what. */
enum server_who {
	WHO_ANYONE = 1 << 0,
	WHO_OWNER = 1 << 1, /* a local user that the configuration maps to the owner */
	WHO_AGENT = 1 << 2, /* kithd */
	WHO_MOVER = 1 << 3, /* kith-mover */
	WHO_ROOT = 1 << 4,  /* the libvirt hook and the fence */
};

#define SERVER_USER_AGENT "kith"
#define SERVER_USER_MOVER "kith-mover"

struct server;

/* From here on SIGHUP does not end this process: server_run() reads the configuration again. */
void server_catch_reload(void);

/* Looks the users up, makes the socket. Call before sandbox_enter(). */
int server_new(const struct config *config, const struct policyd *policyd, struct server **ret,
	       struct kerr *err);
struct server *server_free(struct server *s);

/* Serves until SIGTERM or SIGINT; SIGHUP reads the configuration again. 0 on an orderly end. */
int server_run(struct server *s);
