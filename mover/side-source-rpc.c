/* SPDX-License-Identifier: Apache-2.0 */
/* The source's sockets: libvirt's client library on one side, the destination's filter on the
 * other, and the connections of QEMU. */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "mover/filter/cookie.h"
#include "mover/side-source.h"

static struct source_rpc *source_rpc_self(const struct worker *w)
{
	return &((struct source *)w->ctx)->rpc;
}

void source_rpc_init(struct worker *w, void (*finishing)(struct worker *w))
{
	struct source_rpc *s = source_rpc_self(w);

	bridge_init(&s->bridge);
	s->rpc_listen = s->ram_listen = s->nbd_listen = -EBADF;
	s->held = xdr_out_init(BRIDGE_FRAME_MAX);
	s->next_disk = DATA_CHANNEL_DISK;
	s->finishing = finishing;
}

/* The folder's default ACL says who may connect: our user and QEMU's (H18). */
static int listen_local(const char *path, int *ret_fd)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	memcpy(sa.sun_path, path, MIN_OF(strlen(path), sizeof(sa.sun_path) - 1));
	unlink(path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, DOMAIN_DISKS_MAX) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int source_rpc_open(struct worker *w, const struct domain_disk_map *map)
{
	struct source_rpc *s = source_rpc_self(w);
	int r = listen_local(w->place.sockets[WORKPLACE_RPC], &s->rpc_listen);

	if (r == 0)
		r = listen_local(w->place.sockets[WORKPLACE_RAM], &s->ram_listen);
	if (r == 0)
		r = listen_local(w->place.sockets[WORKPLACE_NBD], &s->nbd_listen);
	s->map = *map;
	s->copied = (uint16_t)domain_facts_copied(&((struct source *)w->ctx)->facts);
	s->limits.expect_name = w->grant.vm;
	memcpy(s->limits.expect_uuid, w->place.uuid, UUID_LEN);
	return r < 0 ? r : bridge_open(&s->bridge);
}

/* -- libvirt's client and the destination -- */

static void shut(int *fd)
{
	closep(fd);
	*fd = -EBADF;
}

void source_rpc_give_up(struct worker *w)
{
	struct source_rpc *s = source_rpc_self(w);

	/* An error in the client's ears would resume a guest that is no longer ours (R1). */
	if (source_is_committed(source_state(w))) {
		log_error("source", "Refused to give up a committed hand-off.");
		return;
	}
	bridge_close(&s->bridge);
	shut(&s->rpc_listen);
	shut(&s->ram_listen);
	shut(&s->nbd_listen);
	while (s->waiting_count)
		close(s->waiting[--s->waiting_count].fd);
	/* QEMU must not wait for a network that may be gone. */
	worker_relays_drop(w);
}

bool source_rpc_finishing(const struct worker *w)
{
	return source_rpc_self(w)->finish_called;
}

uint64_t source_rpc_memory_ns(const struct worker *w)
{
	return source_rpc_self(w)->memory_ns;
}

void source_rpc_let_through(struct worker *w)
{
	bridge_send(&source_rpc_self(w)->bridge, source_rpc_self(w)->held.data,
		    source_rpc_self(w)->held.len);
}

/* The library's last call waits for an answer that nobody there needs to give. */
static void answer_close(struct source_rpc *s, const struct rpc_msg *m)
{
	_cleanup_xdr_out_ struct xdr_out reply = xdr_out_init(RPC_HEADER_LEN);
	struct rpc_header h = rpc_reply_header(&m->h, RPC_STATUS_OK);

	if (rpc_put_empty(&reply, &h) == 0)
		bridge_send(&s->bridge, reply.data, reply.len);
}

static void from_client(struct worker *w, const struct rpc_msg *m)
{
	struct source_rpc *s = source_rpc_self(w);

	if (m->h.program == RPC_PROGRAM_REMOTE && m->h.procedure == RPC_PROC_CLOSE) {
		answer_close(s, m);
		return;
	}
	if (m->h.program == RPC_PROGRAM_KEEPALIVE) {
		_cleanup_xdr_out_ struct xdr_out pong = xdr_out_init(RPC_HEADER_LEN);

		/* W5: answered here, so that a slow network cannot end the connection. */
		if (m->h.procedure == RPC_KEEPALIVE_PING && rpc_put_pong(&pong) == 0)
			bridge_send(&s->bridge, pong.data, pong.len);
		return;
	}
	s->call = m->h;
	s->calling = true;
	if (m->h.procedure == RPC_PROC_FINISH3_PARAMS) {
		s->finish_called = true;
		worker_phase(w, PHASE_SWITCHING);
	}
	if (!w->links.control || frames_send_rpc(w->links.control, m->frame, m->frame_len) < 0)
		side_stop(w, ECONNRESET, KCODE_INTERRUPTED, "The connection to \"%s\" broke.",
			  w->grant.peer_name);
	else if (m->h.procedure == RPC_PROC_FINISH3_PARAMS)
		s->finishing(w);
}

static void on_rpc(struct worker *w, int fd, short revents)
{
	struct source_rpc *s = source_rpc_self(w);
	struct rpc_msg m;
	int r;

	if (fd != s->bridge.fd)
		return;
	r = bridge_read(&s->bridge, revents);
	if (r == -ECONNRESET) /* not ours to judge: virDomainMigrate3() says how it went */
		bridge_close(&s->bridge);
	if (r == 0 || r == -ECONNRESET)
		return;
	while (r >= 0 && (r = rpc_stream_next(s->bridge.local, &m)) == 1)
		from_client(w, &m);
	if (r < 0)
		source_rpc_give_up(w);
}

static int rebuild_cookie(struct worker *w, enum cookie_step step, const void *data, size_t len,
			  char **ret, size_t *ret_len)
{
	struct source_rpc *s = source_rpc_self(w);
	struct kerr err = {0};
	int r = cookie_rebuild(step, data, len, &s->limits, &s->map, ret, ret_len, &err);

	if (r < 0)
		side_stop_err(w, &err);
	return r;
}

/* Prepare's answer: libvirt here would connect wherever the URI says, so it may say nothing. */
static int prepare_reply(struct worker *w, const struct rpc_msg *m, struct xdr_out *out)
{
	_cleanup_free_ char *cookie = NULL;
	struct rpc_prepare_ret ret;
	size_t len;
	int r = rpc_get_prepare_ret(m, &ret);

	if (r < 0)
		return r;
	r = rebuild_cookie(w, COOKIE_STEP_PREPARE_RET, ret.cookie, ret.cookie_len, &cookie, &len);
	return r < 0 ? r : rpc_put_prepare_ret(out, &m->h, cookie, len, NULL);
}

static int finish_reply(struct worker *w, const struct rpc_msg *m, struct xdr_out *out)
{
	_cleanup_free_ char *cookie = NULL;
	struct rpc_finish_ret ret;
	size_t len;
	int r = rpc_get_finish_ret(m, &ret);

	if (r < 0)
		return r;
	r = rebuild_cookie(w, COOKIE_STEP_FINISH_RET, ret.cookie, ret.cookie_len, &cookie, &len);
	if (r < 0)
		return r;
	ret.cookie = (const uint8_t *)cookie;
	ret.cookie_len = len;
	return rpc_put_finish_ret(out, &m->h, &ret);
}

static int pass(struct xdr_out *out, const struct rpc_msg *m)
{
	xdr_put_fixed(out, m->frame, m->frame_len);
	return out->error;
}

/* One reply of the destination. Success of Finish3 is held back (finding 3). */
static int from_peer(struct worker *w, const struct rpc_msg *m)
{
	_cleanup_xdr_out_ struct xdr_out out = xdr_out_init(BRIDGE_FRAME_MAX);
	struct source_rpc *s = source_rpc_self(w);
	int r;

	if (m->h.program == RPC_PROGRAM_KEEPALIVE)
		return 0;
	if (!s->calling || m->h.program != RPC_PROGRAM_REMOTE || m->h.type != RPC_TYPE_REPLY ||
	    (m->h.status != RPC_STATUS_OK && m->h.status != RPC_STATUS_ERROR) ||
	    m->h.procedure != s->call.procedure || m->h.serial != s->call.serial)
		return -EBADMSG;
	s->calling = false;
	if (m->h.status == RPC_STATUS_OK && m->h.procedure == RPC_PROC_FINISH3_PARAMS) {
		r = finish_reply(w, m, &s->held);
		if (r == 0)
			side_post(w, TRANSFER_EVENT_FINISH_HELD);
		return r;
	}
	if (m->h.status == RPC_STATUS_OK && m->h.procedure == RPC_PROC_PREPARE3_PARAMS)
		r = prepare_reply(w, m, &out);
	else
		r = pass(&out, m);
	if (r == 0)
		bridge_send(&s->bridge, out.data, out.len);
	return r;
}

void source_rpc_frame(struct worker *w, const struct frame *f)
{
	struct source_rpc *s = source_rpc_self(w);
	struct rpc_msg m;
	int r;

	/* Once we abort, only our own error may reach the client; once committed nothing but the
	 * held reply. */
	if (source_state(w) != SOURCE_TRANSFER)
		return;
	r = rpc_stream_push(s->bridge.peer, f->body, f->len);
	while (r >= 0 && (r = rpc_stream_next(s->bridge.peer, &m)) == 1)
		r = from_peer(w, &m);
	if (r < 0)
		side_stop(w, EBADMSG, KCODE_BAD_MESSAGE,
			  "\"%s\" sent a libvirt answer that Kith does not accept.",
			  w->grant.peer_name);
}

/* -- local connections of libvirt and QEMU -- */

void source_rpc_attach(struct worker *w)
{
	struct source_rpc *s = source_rpc_self(w);

	for (size_t k = 0; k < s->waiting_count;) {
		bool done = false;

		for (size_t i = 0; i < WORKER_RELAYS_MAX && !done; i++)
			if (w->links.relays[i].relay && w->links.relays[i].seen == RELAY_IDLE &&
			    w->links.relays[i].channel == s->waiting[k].channel)
				done = relay_attach(w->links.relays[i].relay, s->waiting[k].fd) ==
				       0;
		if (done)
			s->waiting[k] = s->waiting[--s->waiting_count];
		else
			k++;
	}
}

static void wait_relay(struct worker *w, int fd, uint16_t channel)
{
	struct source_rpc *s = source_rpc_self(w);

	if (s->waiting_count == ARRAY_SIZE(s->waiting) || channel >= DATA_CHANNEL_MAX) {
		close(fd);
		return;
	}
	s->waiting[s->waiting_count].fd = fd;
	s->waiting[s->waiting_count++].channel = channel;
	source_rpc_attach(w);
}

static int accept_local(struct worker *w, int listener, bool own)
{
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (fd < 0)
		return -EAGAIN;
	if (own ? getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.pid != getpid()
		: !relay_peer_allowed(fd, w->place.qemu_uid)) {
		log_warning("source", "A foreign process connected to the hand-off's socket and "
				      "was refused.");
		return -EPERM;
	}
	return TAKE_FD(fd);
}

static void on_rpc_listen(struct worker *w, int fd, short revents _unused_)
{
	struct source_rpc *s = source_rpc_self(w);
	int c = fd == s->rpc_listen ? accept_local(w, fd, true) : -EAGAIN;

	if (c >= 0 && s->bridge.fd >= 0)
		close(c);
	else if (c >= 0)
		s->bridge.fd = c;
}

/* One connection carries the memory (H18): then the door is shut. */
static void on_ram_listen(struct worker *w, int fd, short revents _unused_)
{
	struct source_rpc *s = source_rpc_self(w);
	int c = fd == s->ram_listen ? accept_local(w, fd, false) : -EAGAIN;

	if (c < 0)
		return;
	shut(&s->ram_listen);
	s->memory_ns = worker_now_ns();
	wait_relay(w, c, DATA_CHANNEL_RAM);
}

static void on_nbd_listen(struct worker *w, int fd, short revents _unused_)
{
	struct source_rpc *s = source_rpc_self(w);
	int c = fd == s->nbd_listen ? accept_local(w, fd, false) : -EAGAIN;

	if (c < 0)
		return;
	if (s->next_disk >= DATA_CHANNEL_DISK + s->copied)
		worker_dial(w, s->next_disk); /* more than one for each disk: not dialled yet */
	wait_relay(w, c, s->next_disk++);
}

void source_rpc_watch(struct worker *w)
{
	struct source_rpc *s = source_rpc_self(w);

	worker_watch(w, s->rpc_listen, POLLIN, on_rpc_listen);
	worker_watch(w, s->ram_listen, POLLIN, on_ram_listen);
	worker_watch(w, s->nbd_listen, POLLIN, on_nbd_listen);
	worker_watch(w, s->bridge.fd, bridge_events(&s->bridge), on_rpc);
}
