/* SPDX-License-Identifier: Apache-2.0 */
/* A client of libvirtd that says one thing. */
#include "mover/ghost.h"

#include <libvirt/libvirt.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "mover/filter/rpc.h"

#define STEP_S 5

struct talk {
	int fd;
	uint32_t serial;
	struct rpc_stream *in;
};

static void talk_done(struct talk *t)
{
	rpc_stream_free(t->in);
	closep(&t->fd);
}

static int talk_open(struct talk *t)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = RPC_LIBVIRTD_SOCKET};
	struct timeval limit = {.tv_sec = STEP_S};

	t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (t->fd < 0 || setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(t->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return rpc_stream_new(RPC_FRAME_MAX, &t->in);
}

/* The reply to the last call; a ping in between is not answered, because we are soon gone. */
static int await_reply(struct talk *t, struct rpc_msg *ret)
{
	uint8_t buf[4096];
	ssize_t n;
	int r;

	for (;;) {
		while ((r = rpc_stream_next(t->in, ret)) > 0)
			if (ret->h.type == RPC_TYPE_REPLY && ret->h.serial == t->serial)
				return 0;
		if (r < 0)
			return r;
		n = recv(t->fd, buf, sizeof(buf), 0);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && errno != EINTR)
			return -errno;
		r = n > 0 ? rpc_stream_push(t->in, buf, (size_t)n) : 0;
		if (r < 0)
			return r;
	}
}

static int call(struct talk *t, struct xdr_out *out, struct rpc_msg *ret)
{
	ssize_t n;

	if (out->error)
		return out->error;
	n = send(t->fd, out->data, out->len, MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return (size_t)n == out->len ? await_reply(t, ret) : -EIO;
}

static int say_nothing(struct talk *t, uint32_t procedure, struct rpc_msg *ret)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	struct rpc_header h = rpc_call_header(procedure, ++t->serial);

	rpc_put_empty(&out, &h);
	return call(t, &out, ret);
}

/* As the gateway: nobody asks for a password, or polkit lets the mover in. */
static int authenticate(struct talk *t)
{
	bool none, polkit;
	struct rpc_msg m;
	int r = say_nothing(t, RPC_PROC_AUTH_LIST, &m);

	if (r == 0)
		r = rpc_get_auth_list_ret(&m, &none, &polkit);
	if (r < 0 || none)
		return r;
	if (!polkit)
		return -EACCES;
	r = say_nothing(t, RPC_PROC_AUTH_POLKIT, &m);
	return r == 0 && m.h.status != RPC_STATUS_OK ? -EACCES : r;
}

static int open_driver(struct talk *t)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	struct rpc_header h = rpc_call_header(RPC_PROC_OPEN, ++t->serial);
	struct rpc_msg m;
	int r;

	rpc_put_open(&out, &h, RPC_LIBVIRTD_URI, 0);
	r = call(t, &out, &m);
	return r == 0 && m.h.status != RPC_STATUS_OK ? -EACCES : r;
}

/* libvirtd ends the VM and then complains that it had no monitor: its answer says nothing. */
static int finish_cancelled(struct talk *t, const char *name)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(RPC_FRAME_MAX);
	_cleanup_free_ struct rpc_finish_args *args = calloc(1, sizeof(*args));
	struct rpc_header h = rpc_call_header(RPC_PROC_FINISH3_PARAMS, ++t->serial);
	struct rpc_msg m;
	int r;

	if (!args)
		return -ENOMEM;
	args->flags = VIR_MIGRATE_LIVE;
	args->cancelled = 1;
	r = xdr_params_add_string(&args->params, VIR_MIGRATE_PARAM_DEST_NAME, name, strlen(name));
	if (r < 0)
		return r;
	rpc_put_finish(&out, &h, args);
	return call(t, &out, &m);
}

int ghost_end(const char *name)
{
	_cleanup_(talk_done) struct talk t = {.fd = -EBADF};
	int r = talk_open(&t);

	if (r == 0)
		r = authenticate(&t);
	if (r == 0)
		r = open_driver(&t);
	return r < 0 ? r : finish_cancelled(&t, name);
}
