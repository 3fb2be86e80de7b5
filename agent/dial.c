/* SPDX-License-Identifier: Apache-2.0 */
/* Non-blocking connect() on the main loop. */
#include "agent/dial.h"

#include <glib-unix.h>
#include <netdb.h>
#include <sys/socket.h>

struct dial {
	struct endpoint endpoints[DIAL_MAX];
	size_t count, next;
	int fd, error;
	guint watch, timer;
	dial_done_fn done;
	void *arg;
};

static void stop_attempt(struct dial *d)
{
	if (d->watch)
		g_source_remove(d->watch);
	if (d->timer)
		g_source_remove(d->timer);
	d->watch = d->timer = 0;
}

struct dial *dial_free(struct dial *d)
{
	if (!d)
		return NULL;
	stop_attempt(d);
	closep(&d->fd);
	g_free(d);
	return NULL;
}

static void end(struct dial *d, int fd)
{
	dial_done_fn done = d->done;
	void *arg = d->arg;
	struct endpoint used = {0};

	if (fd >= 0)
		used = d->endpoints[d->next - 1];
	dial_free(d);
	done(arg, fd, &used);
}

static void try_next(struct dial *d);

static void attempt_failed(struct dial *d, int error)
{
	stop_attempt(d);
	closep(&d->fd);
	d->fd = -EBADF;
	d->error = error;
	try_next(d);
}

static gboolean on_timeout(gpointer data)
{
	struct dial *d = data;

	d->timer = 0;
	attempt_failed(d, -ETIMEDOUT);
	return G_SOURCE_REMOVE;
}

static gboolean on_connected(int fd, GIOCondition condition _unused_, gpointer data)
{
	struct dial *d = data;
	int error = 0;
	socklen_t len = sizeof(error);

	d->watch = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error)
		attempt_failed(d, -error);
	else
		end(d, TAKE_FD(d->fd));
	return G_SOURCE_REMOVE;
}

static int start(struct dial *d, const struct endpoint *e)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				 .ai_socktype = SOCK_STREAM},
			*ai;
	char port[8];
	int r = 0;

	snprintf(port, sizeof(port), "%u", e->port);
	if (getaddrinfo(e->address, port, &hints, &ai) != 0)
		return -EINVAL;
	d->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd < 0 || (connect(d->fd, ai->ai_addr, ai->ai_addrlen) < 0 && errno != EINPROGRESS))
		r = -errno;
	freeaddrinfo(ai);
	return r;
}

static gboolean on_exhausted(gpointer data)
{
	struct dial *d = data;

	d->timer = 0;
	end(d, d->error);
	return G_SOURCE_REMOVE;
}

static void try_next(struct dial *d)
{
	while (d->next < d->count) {
		int r = start(d, &d->endpoints[d->next++]);

		if (r == 0) {
			d->watch = g_unix_fd_add(d->fd, G_IO_OUT | G_IO_ERR | G_IO_HUP,
						 on_connected, d);
			d->timer = g_timeout_add(DIAL_TIMEOUT_MS, on_timeout, d);
			return;
		}
		closep(&d->fd);
		d->fd = -EBADF;
		d->error = r;
	}
	d->timer = g_idle_add(on_exhausted, d);
}

struct dial *dial_new(const struct endpoint *endpoints, size_t count, dial_done_fn done, void *arg)
{
	struct dial *d = g_new0(struct dial, 1);

	d->count = MIN_OF(count, DIAL_MAX);
	memcpy(d->endpoints, endpoints, d->count * sizeof(*endpoints));
	d->fd = -EBADF;
	d->error = -EHOSTUNREACH;
	d->done = done;
	d->arg = arg;
	try_next(d);
	return d;
}
