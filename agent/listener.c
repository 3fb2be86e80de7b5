/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting and peeking. */
#include "agent/listener.h"

#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "agent/lws-wire.h"
#include "agent/preface.h"
#include "base/log.h"
#include "discovery/discovery.h"

#define BACKLOG 64
#define ACCEPTS_PER_TURN 16
#define PAUSE_MS 250 /* when descriptors have run out: the backlog waits, we do not spin */

struct listener {
	int fd;
	guint watch, pause;
	GList *guests;
	guint guest_count;
	gint64 last_complaint;
	uint64_t last_order;
	const struct listener_events *events;
	void *ctx;
};

/* A connection that has not said what it wants. */
struct guest {
	struct listener *l;
	int fd;
	struct in6_addr from;
	struct place place;
	guint watch, timer;
};

static void guest_free(struct guest *g)
{
	if (g->watch)
		g_source_remove(g->watch);
	if (g->timer)
		g_source_remove(g->timer);
	closep(&g->fd);
	g->l->guests = g_list_remove(g->l->guests, g);
	g->l->guest_count--;
	g_free(g);
}

static gboolean on_guest_timeout(gpointer data)
{
	struct guest *g = data;

	g->timer = 0;
	guest_free(g);
	return G_SOURCE_REMOVE;
}

static gboolean on_guest_readable(int fd, GIOCondition condition _unused_, gpointer data)
{
	struct guest *g = data;
	struct listener *l = g->l;
	uint8_t first[DATA_PREFACE_LEN], hid[HID_LEN];
	uint16_t channel;
	ssize_t n = recv(fd, first, sizeof(first), MSG_PEEK | MSG_DONTWAIT);
	enum preface_kind kind = preface_classify(first, n > 0 ? (size_t)n : 0, hid, &channel);
	int one = 1;

	g->watch = 0;
	if (kind == PREFACE_BAD || setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one)) < 0) {
		guest_free(g);
		return G_SOURCE_REMOVE;
	}
	fd = TAKE_FD(g->fd);
	guest_free(g);
	if (kind == PREFACE_TLS)
		l->events->tls(l->ctx, fd);
	else
		l->events->data(l->ctx, fd, hid, channel);
	return G_SOURCE_REMOVE;
}

/* At most one line a minute, whatever comes in (P10). */
static void complain(struct listener *l, const char *what)
{
	gint64 now = g_get_monotonic_time();

	if (l->last_complaint && now - l->last_complaint < 60 * G_USEC_PER_SEC)
		return;
	l->last_complaint = now;
	log_warning("listener", "%s; more of this is not logged for a minute.", what);
}

/* Whoever is least known and waits longest makes room. */
static bool make_room(struct listener *l, enum places_rank rank)
{
	struct guest *guests[LISTENER_MAX];
	struct place places[LISTENER_MAX];
	ssize_t victim;
	size_t n = 0;

	if (l->guest_count < LISTENER_MAX)
		return true;
	complain(l, "Too many connections wait on the peer port");
	for (GList *i = l->guests; i && n < LISTENER_MAX; i = i->next) {
		guests[n] = i->data;
		places[n] = guests[n]->place;
		n++;
	}
	victim = places_yield(places, n, rank);
	if (victim >= 0)
		guest_free(guests[victim]);
	return victim >= 0;
}

static bool has_room(struct listener *l, const struct in6_addr *from, enum places_rank rank)
{
	guint same = 0;

	for (GList *i = l->guests; i; i = i->next)
		same += IN6_ARE_ADDR_EQUAL(&((struct guest *)i->data)->from, from);
	if (same < LISTENER_PER_ADDRESS_MAX)
		return make_room(l, rank);
	complain(l, "One address keeps too many connections waiting on the peer port");
	return false;
}

static void add_guest(struct listener *l, int fd, const struct in6_addr *from)
{
	char address[ROSTER_ADDRESS_LEN];
	enum places_rank rank = PLACES_UNKNOWN;
	int low = DATA_PREFACE_LEN, one = 1;
	struct guest *g;

	if (wire_socket_address(fd, address, sizeof(address)) == 0)
		rank = l->events->rank(l->ctx, address);
	/* Readable means then: all of a preface, or the end. */
	if (!has_room(l, from, rank) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)) < 0) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	g = g_new0(struct guest, 1);
	g->l = l;
	g->fd = fd;
	g->from = *from;
	g->place = (struct place){rank, ++l->last_order};
	g->watch = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_guest_readable, g);
	g->timer = g_timeout_add(LISTENER_FIRST_BYTES_MS, on_guest_timeout, g);
	l->guests = g_list_prepend(l->guests, g);
	l->guest_count++;
}

static gboolean on_connection(int fd, GIOCondition condition, gpointer data);

static gboolean on_pause_over(gpointer data)
{
	struct listener *l = data;

	l->pause = 0;
	l->watch = g_unix_fd_add(l->fd, G_IO_IN, on_connection, l);
	return G_SOURCE_REMOVE;
}

static gboolean on_connection(int fd, GIOCondition condition _unused_, gpointer data)
{
	struct listener *l = data;

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_in6 from = {0};
		socklen_t len = sizeof(from);
		int c = accept4(fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (c >= 0) {
			add_guest(l, c, &from.sin6_addr);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			complain(l, "No descriptors left for connections on the peer port");
			l->watch = 0;
			l->pause = g_timeout_add(PAUSE_MS, on_pause_over, l);
			return G_SOURCE_REMOVE;
		}
		return G_SOURCE_CONTINUE;
	}
	return G_SOURCE_CONTINUE;
}

static int open_socket(uint16_t port)
{
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int one = 1, zero = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int listener_new(uint16_t port, const struct listener_events *events, void *ctx,
		 struct listener **ret)
{
	struct listener *l;
	int fd = open_socket(port);

	if (fd < 0)
		return fd;
	l = g_new0(struct listener, 1);
	l->fd = fd;
	l->events = events;
	l->ctx = ctx;
	l->watch = g_unix_fd_add(fd, G_IO_IN, on_connection, l);
	*ret = l;
	return 0;
}

struct listener *listener_free(struct listener *l)
{
	if (!l)
		return NULL;
	while (l->guests)
		guest_free(l->guests->data);
	if (l->watch)
		g_source_remove(l->watch);
	if (l->pause)
		g_source_remove(l->pause);
	closep(&l->fd);
	g_free(l);
	return NULL;
}

uint16_t listener_port(const struct listener *l)
{
	struct sockaddr_in6 sa = {0};
	socklen_t len = sizeof(sa);

	return getsockname(l->fd, (struct sockaddr *)&sa, &len) < 0 ? 0 : ntohs(sa.sin6_port);
}
