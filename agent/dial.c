/* SPDX-License-Identifier: Apache-2.0 */
/* Non-blocking connect() on the main loop. */
#include "agent/dial.h"

#include <glib-unix.h>
#include <netdb.h>
#include <sys/socket.h>

#include "agent/race.h"

struct attempt {
	struct dial *d;
	int fd; /* -1 = not under way */
	guint watch;
	int64_t begin_ms;
};

struct dial {
	struct endpoint endpoints[DIAL_MAX];
	struct attempt attempts[DIAL_MAX];
	struct race race;
	int error;
	guint timer;
	dial_done_fn done;
	void *arg;
};

static int64_t now_ms(void)
{
	return g_get_monotonic_time() / 1000;
}

static void stop_attempt(struct attempt *at)
{
	if (at->watch)
		g_source_remove(at->watch);
	at->watch = 0;
	closep(&at->fd);
	at->fd = -EBADF;
}

struct dial *dial_free(struct dial *d)
{
	if (!d)
		return NULL;
	if (d->timer)
		g_source_remove(d->timer);
	for (size_t i = 0; i < DIAL_MAX; i++)
		stop_attempt(&d->attempts[i]);
	g_free(d);
	return NULL;
}

static void end(struct dial *d, int fd, const struct endpoint *used)
{
	dial_done_fn done = d->done;
	void *arg = d->arg;
	struct endpoint at = *used;

	dial_free(d);
	done(arg, fd, &at);
}

static size_t under_way(const struct dial *d)
{
	size_t n = 0;

	for (size_t i = 0; i < DIAL_MAX; i++)
		n += d->attempts[i].fd >= 0;
	return n;
}

static void dial_go_on(struct dial *d);

static gboolean on_connected(int fd, GIOCondition condition _unused_, gpointer data)
{
	struct attempt *at = data;
	struct dial *d = at->d;
	int error = 0;
	socklen_t len = sizeof(error);

	at->watch = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (!error) {
		end(d, TAKE_FD(at->fd), &d->endpoints[at - d->attempts]);
		return G_SOURCE_REMOVE;
	}
	stop_attempt(at);
	d->error = -error;
	dial_go_on(d);
	return G_SOURCE_REMOVE;
}

static int dial_start(struct attempt *at, const struct endpoint *e)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				 .ai_socktype = SOCK_STREAM},
			*ai;
	char port[8];
	int r = 0;

	snprintf(port, sizeof(port), "%u", e->port);
	if (getaddrinfo(e->address, port, &hints, &ai) != 0)
		return -EINVAL;
	at->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (at->fd < 0 ||
	    (connect(at->fd, ai->ai_addr, ai->ai_addrlen) < 0 && errno != EINPROGRESS))
		r = -errno;
	freeaddrinfo(ai);
	if (r == 0)
		at->watch = g_unix_fd_add(at->fd, G_IO_OUT | G_IO_ERR | G_IO_HUP, on_connected, at);
	at->begin_ms = now_ms();
	return r;
}

static gboolean on_timer(gpointer data)
{
	struct dial *d = data;

	d->timer = 0;
	dial_go_on(d);
	return G_SOURCE_REMOVE;
}

static gboolean on_exhausted(gpointer data)
{
	static const struct endpoint none;
	struct dial *d = data;

	d->timer = 0;
	end(d, d->error, &none);
	return G_SOURCE_REMOVE;
}

/* How long until the next address starts or one has had its time; DIAL_TIMEOUT_MS at most. */
static int64_t next_event(const struct dial *d, int64_t now)
{
	int64_t wait = race_wait(&d->race, now);

	if (wait < 0)
		wait = DIAL_TIMEOUT_MS;
	for (size_t i = 0; i < DIAL_MAX; i++)
		if (d->attempts[i].fd >= 0)
			wait = MIN(wait, d->attempts[i].begin_ms + DIAL_TIMEOUT_MS - now);
	return MAX(wait, 1);
}

static void dial_go_on(struct dial *d)
{
	int64_t now = now_ms();
	size_t i;

	for (i = 0; i < DIAL_MAX; i++)
		if (d->attempts[i].fd >= 0 && now - d->attempts[i].begin_ms >= DIAL_TIMEOUT_MS) {
			stop_attempt(&d->attempts[i]);
			d->error = -ETIMEDOUT;
		}
	while (race_next(&d->race, under_way(d) == 0, now, &i)) {
		int r = dial_start(&d->attempts[i], &d->endpoints[i]);

		if (r == 0)
			continue;
		stop_attempt(&d->attempts[i]);
		d->error = r;
	}
	if (d->timer)
		g_source_remove(d->timer);
	d->timer = under_way(d) ? g_timeout_add((guint)next_event(d, now), on_timer, d)
				: g_idle_add(on_exhausted, d);
}

struct dial *dial_new(const struct endpoint *endpoints, size_t count, int64_t head_ms,
		      dial_done_fn done, void *arg)
{
	struct dial *d = g_new0(struct dial, 1);

	count = MIN_OF(count, (size_t)DIAL_MAX);
	d->race = race_begin(count, head_ms, now_ms());
	memcpy(d->endpoints, endpoints, count * sizeof(*endpoints));
	for (size_t i = 0; i < DIAL_MAX; i++)
		d->attempts[i] = (struct attempt){.d = d, .fd = -EBADF};
	d->error = -EHOSTUNREACH;
	d->done = done;
	d->arg = arg;
	dial_go_on(d);
	return d;
}
