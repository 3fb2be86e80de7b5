/* SPDX-License-Identifier: Apache-2.0 */
/* Relay threads. They share nothing with the main thread but atomics and two descriptors. */
#include "mover/relay.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define BUFFER_BYTES ((size_t)512 * 1024)
#define RECORD_BYTES 16384
#define HANDSHAKE_MS 10000
#define ATTACH_MS 30000
#define OPEN_BYTE 0x4f /* the source's local side is there: connect yours */

static const char *const relay_state_names[_RELAY_STATE_MAX] = {
	[RELAY_HANDSHAKE] = "handshake", [RELAY_IDLE] = "idle",	    [RELAY_OPEN] = "open",
	[RELAY_ENDED] = "ended",	 [RELAY_FAILED] = "failed", [RELAY_WANTED] = "wanted",
};
DEFINE_NAMES(relay_state, enum relay_state, _RELAY_STATE_MAX)

/* One direction. Bytes `at`..`len` of `data` wait to be written. */
struct flow {
	uint8_t *data;
	size_t at, len;
	bool eof, closed;
};

struct relay {
	bool source;
	struct tls *tls;
	int local;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	uid_t qemu_uid;
	int wake_fd, stop_fd;
	atomic_bool stopping;
	atomic_int attached; /* local descriptor on its way to the thread, -1 = none */
	atomic_int state, error;
	atomic_uint_fast64_t sent, received;
	struct flow up, down;
	pthread_t thread;
	bool started;
};

static void relay_ring(int fd)
{
	uint64_t one = 1;

	/* EAGAIN means that it rings already. */
	(void)!write(fd, &one, sizeof(one));
}

static void relay_enter(struct relay *r, enum relay_state state)
{
	atomic_store(&r->state, (int)state);
	relay_ring(r->wake_fd);
}

bool relay_peer_allowed(int fd, uid_t uid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
	       (cred.uid == 0 || cred.uid == uid);
}

/* Waits for events or the stop bell. 0, -ECANCELED, -ETIMEDOUT. */
static int wait_for(struct relay *r, short net, short local, int timeout_ms)
{
	struct pollfd p[3] = {
		{.fd = r->stop_fd, .events = POLLIN},
		{.fd = net ? tls_fd(r->tls) : -1, .events = net},
		{.fd = local ? r->local : -1, .events = local},
	};
	int n;

	do {
		n = poll(p, 3, timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (atomic_load(&r->stopping))
		return -ECANCELED;
	if (p[0].revents) {
		uint64_t count;

		(void)!read(r->stop_fd, &count, sizeof(count));
	}
	return n == 0 ? -ETIMEDOUT : 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* In all, not for each byte. */
static int handshake(struct relay *r)
{
	int64_t end = now_ms() + HANDSHAKE_MS;
	int n;

	while ((n = tls_handshake(r->tls)) == 0) {
		int64_t left = end - now_ms();

		n = left <= 0 ? -ETIMEDOUT : wait_for(r, tls_read_events(r->tls), 0, (int)left);
		if (n < 0)
			return n;
	}
	return n < 0 ? n : 0;
}

/* Source: waits for relay_attach(), then tells the other side. */
static int open_source(struct relay *r)
{
	static const uint8_t open_byte = OPEN_BYTE;
	int n;

	while ((r->local = atomic_exchange(&r->attached, -1)) < 0) {
		/* The peer has nothing to say yet: input here is its hang-up. */
		n = wait_for(r, POLLIN, 0, -1);
		if (n < 0)
			return n;
		if (atomic_load(&r->attached) < 0) {
			uint8_t nothing;

			n = tls_read(r->tls, &nothing, 1);
			if (n != -EAGAIN)
				return n > 0 ? -EPROTO : n == 0 ? -ECONNRESET : n;
		}
	}
	while ((n = tls_write(r->tls, &open_byte, 1)) == -EAGAIN) {
		n = wait_for(r, tls_write_events(r->tls), 0, -1);
		if (n < 0)
			return n;
	}
	return n < 0 ? n : 0;
}

static int connect_local(struct relay *r)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memcpy(sa.sun_path, r->path, sizeof(sa.sun_path));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	if (!relay_peer_allowed(fd, r->qemu_uid))
		return -EPERM;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r->local = TAKE_FD(fd);
	return 0;
}

/* Destination: what the source says meanwhile waits in the network. */
static int await_local(struct relay *r)
{
	relay_enter(r, RELAY_WANTED);
	while ((r->local = atomic_exchange(&r->attached, -1)) < 0) {
		int n = wait_for(r, 0, 0, ATTACH_MS);

		if (n < 0)
			return n;
	}
	return 0;
}

static int open_destination(struct relay *r)
{
	uint8_t byte = 0;
	int n;

	while ((n = tls_read(r->tls, &byte, 1)) == -EAGAIN) {
		n = wait_for(r, tls_read_events(r->tls), 0, -1);
		if (n < 0)
			return n;
	}
	if (n <= 0)
		return n == 0 ? -ECONNRESET : n;
	if (byte != OPEN_BYTE)
		return -EPROTO;
	return r->path[0] ? connect_local(r) : await_local(r);
}

/* The four below move what they can: 1 = something moved, 0 = must wait, negative = failed. */

/* Reads from the local socket, once all that came before is gone. */
static int fill_up(struct relay *r)
{
	struct flow *f = &r->up;
	ssize_t n;

	if (f->at < f->len || f->eof)
		return 0;
	n = recv(r->local, f->data, BUFFER_BYTES, 0);
	f->at = f->len = 0;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	f->len = (size_t)n;
	f->eof = n == 0;
	return 1;
}

/* Local socket to TLS. */
static int move_up(struct relay *r)
{
	struct flow *f = &r->up;
	int moved = fill_up(r);

	if (moved < 0)
		return moved;
	while (f->at < f->len) {
		int n = tls_write(r->tls, f->data + f->at, f->len - f->at);

		if (n == -EAGAIN)
			return moved;
		if (n < 0)
			return n;
		f->at += (size_t)n;
		atomic_fetch_add_explicit(&r->sent, (size_t)n, memory_order_relaxed);
		moved = 1;
	}
	if (f->eof && !f->closed) {
		int n = tls_close_write(r->tls);

		if (n < 0)
			return n == -EAGAIN ? moved : n;
		f->closed = true;
		moved = 1;
	}
	return moved;
}

/* For one more record of TLS. */
static bool has_room(const struct flow *f)
{
	return !f->eof && f->len + RECORD_BYTES <= BUFFER_BYTES;
}

/* Collects records until the buffer is well filled: the local side gets few large writes. */
static int fill_down(struct relay *r)
{
	struct flow *f = &r->down;
	int moved = 0;

	if (f->at == f->len)
		f->at = f->len = 0;
	while (has_room(f)) {
		int n = tls_read(r->tls, f->data + f->len, BUFFER_BYTES - f->len);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			return n;
		if (n == 0)
			f->eof = true;
		f->len += (size_t)n;
		moved = 1;
	}
	return moved;
}

/* TLS to local socket. */
static int move_down(struct relay *r)
{
	struct flow *f = &r->down;
	int moved = fill_down(r);

	if (moved < 0)
		return moved;
	while (f->at < f->len) {
		ssize_t n = send(r->local, f->data + f->at, f->len - f->at, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return moved;
		if (n < 0)
			return -errno;
		f->at += (size_t)n;
		atomic_fetch_add_explicit(&r->received, (size_t)n, memory_order_relaxed);
		moved = 1;
	}
	if (f->eof && !f->closed) {
		shutdown(r->local, SHUT_WR);
		f->closed = true;
		moved = 1;
	}
	return moved;
}

/* What each flow waits for, when neither moves: its reader, its writer, or both. */
static int wait_flows(struct relay *r)
{
	const struct flow *up = &r->up, *down = &r->down;
	short net = 0, local = 0;

	if (up->at < up->len || (up->eof && !up->closed))
		net |= tls_write_events(r->tls);
	else if (!up->eof)
		local |= POLLIN;
	if (down->at < down->len)
		local |= POLLOUT;
	if (has_room(down))
		net |= tls_read_events(r->tls);
	return wait_for(r, net, local, -1);
}

static int relay_pump(struct relay *r)
{
	while (!r->up.closed || !r->down.closed) {
		int up = move_up(r);
		int down = up < 0 ? up : move_down(r);
		int n = down < 0 ? down : 0;

		if (n == 0 && atomic_load_explicit(&r->stopping, memory_order_relaxed))
			n = -ECANCELED;
		if (n == 0 && !up && !down)
			n = wait_flows(r);
		if (n < 0)
			return n;
	}
	return 0;
}

static void *relay_run(void *arg)
{
	struct relay *r = arg;
	int n = handshake(r);

	if (n == 0) {
		relay_enter(r, RELAY_IDLE);
		n = r->source ? open_source(r) : open_destination(r);
	}
	if (n == 0) {
		relay_enter(r, RELAY_OPEN);
		n = relay_pump(r);
	}
	/* QEMU must see the end of a broken channel at once. */
	if (r->local >= 0)
		shutdown(r->local, SHUT_RDWR);
	shutdown(tls_fd(r->tls), n == 0 ? SHUT_WR : SHUT_RDWR);
	atomic_store(&r->error, n);
	relay_enter(r, n == 0 ? RELAY_ENDED : RELAY_FAILED);
	return NULL;
}

static int relay_prepare(struct relay *r, const uint8_t hid[HID_LEN], uint16_t channel,
			 const uint8_t key[TLS_KEY_LEN], int net_fd)
{
	int one = 1;

	r->up.data = malloc(BUFFER_BYTES);
	r->down.data = malloc(BUFFER_BYTES);
	r->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!r->up.data || !r->down.data || r->stop_fd < 0)
		return -ENOMEM;
	/* NBD answers are small and waited for. Buffer sizes are left to the kernel: SO_SNDBUF
	 * would switch its tuning off, which reaches further than an unprivileged setting. */
	if (setsockopt(net_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 &&
	    errno != EOPNOTSUPP)
		return -errno;
	if (fcntl(net_fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return tls_new(r->source, hid, channel, key, net_fd, &r->tls);
}

int relay_new(bool source, const uint8_t hid[HID_LEN], uint16_t channel,
	      const uint8_t key[TLS_KEY_LEN], int net_fd, const char *local_path, uid_t qemu_uid,
	      int wake_fd, struct relay **ret)
{
	_cleanup_close_ int fd = net_fd;
	_cleanup_(relay_freep) struct relay *r = calloc(1, sizeof(*r));
	int n;

	if (!r)
		return -ENOMEM;
	r->source = source;
	r->local = r->stop_fd = -EBADF;
	r->qemu_uid = qemu_uid;
	r->wake_fd = wake_fd;
	atomic_store(&r->attached, -1);
	if (local_path && strlen(local_path) >= sizeof(r->path))
		return -ENAMETOOLONG;
	if (local_path)
		memcpy(r->path, local_path, strlen(local_path) + 1);
	n = relay_prepare(r, hid, channel, key, fd);
	if (n < 0)
		return n;
	TAKE_FD(fd); /* tls_new() has it */
	n = -pthread_create(&r->thread, NULL, relay_run, r);
	if (n < 0)
		return n;
	r->started = true;
	*ret = TAKE_PTR(r);
	return 0;
}

int relay_attach(struct relay *r, int local_fd)
{
	int none = -1;

	if (fcntl(local_fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	if (!atomic_compare_exchange_strong(&r->attached, &none, local_fd))
		return -EBUSY;
	relay_ring(r->stop_fd);
	return 0;
}

void relay_get(struct relay *r, struct relay_status *ret)
{
	ret->state = (enum relay_state)atomic_load(&r->state);
	ret->error = atomic_load(&r->error);
	ret->sent = atomic_load_explicit(&r->sent, memory_order_relaxed);
	ret->received = atomic_load_explicit(&r->received, memory_order_relaxed);
}

struct relay *relay_free(struct relay *r)
{
	int attached;

	if (!r)
		return NULL;
	atomic_store(&r->stopping, true);
	if (r->started) {
		relay_ring(r->stop_fd);
		pthread_join(r->thread, NULL);
	}
	attached = atomic_exchange(&r->attached, -1);
	if (attached >= 0)
		close(attached);
	closep(&r->local);
	closep(&r->stop_fd);
	tls_free(r->tls);
	free(r->up.data);
	free(r->down.data);
	free(r);
	return NULL;
}
