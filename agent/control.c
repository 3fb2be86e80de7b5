/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of local programs, with bounds on everything they may occupy. */
#include "agent/control.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agent/places.h"
#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/user.h"

/* As many as places_local() lets in. */
#define CLIENTS_MAX (2 * PLACES_OWN_MAX + PLACES_STRANGERS_MAX)

struct client {
	struct control *c;
	struct asker asker;
	uid_t uid;
	int fd;
	guint readable, writable, silence, resume;
	GByteArray *in, *out;
	guint pending;
	bool watching, dying, listening, paced;
};

struct control {
	int fd;
	const char *owner_name;
	uid_t owner; /* root while there is no such user */
	char *path;
	guint watch, pause;
	GList *clients;
	uint64_t last_serial;
	uint64_t strangers_full_ms; /* clock_pace() */
	const struct api_row *rows;
	control_request_fn request;
	void *ctx;
};

static bool is_owner(const struct client *cl)
{
	return cl->asker.kind == ASKER_OWNER;
}

static void client_free(struct client *cl)
{
	if (cl->readable)
		g_source_remove(cl->readable);
	if (cl->writable)
		g_source_remove(cl->writable);
	if (cl->silence)
		g_source_remove(cl->silence);
	if (cl->resume)
		g_source_remove(cl->resume);
	close(cl->fd);
	g_byte_array_unref(cl->in);
	g_byte_array_unref(cl->out);
	cl->c->clients = g_list_remove(cl->c->clients, cl);
	g_free(cl);
}

/* NULL: he is gone. */
static struct client *client_of(const struct asker *a)
{
	struct control *c = a->door;

	for (GList *l = c->clients; l; l = l->next)
		if (((struct client *)l->data)->asker.serial == a->serial)
			return l->data;
	return NULL;
}

/* 1 = all is out, 0 = some waits, negative = the client is of no use any more. */
static int flush_out(struct client *cl)
{
	while (cl->out->len) {
		ssize_t n = send(cl->fd, cl->out->data, cl->out->len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		g_byte_array_remove_range(cl->out, 0, (guint)n);
	}
	/* It never shrinks by itself. */
	g_byte_array_unref(cl->out);
	cl->out = g_byte_array_new();
	return 1;
}

/* One thing at a time: before another user's program is heard again it has its answer, and has
 * taken it. Otherwise a few of them keep kithd busy with answers that nobody reads. */
static bool must_wait(const struct client *cl)
{
	return !is_owner(cl) && (cl->pending || cl->out->len || cl->paced);
}

static gboolean on_resume(gpointer data);

/* Whether the next request of this client may be heard now. If not, it is looked at again soon. */
static bool has_turn(struct client *cl)
{
	if (is_owner(cl) || clock_pace(&cl->c->strangers_full_ms, CONTROL_STRANGER_EVERY_MS,
				       CONTROL_STRANGER_BURST, clock_ms()))
		return true;
	cl->paced = true;
	if (cl->resume)
		g_source_remove(cl->resume);
	cl->resume = g_timeout_add(CONTROL_STRANGER_EVERY_MS, on_resume, cl);
	return false;
}

static void resume_soon(struct client *cl)
{
	if (!is_owner(cl) && !cl->resume && !must_wait(cl))
		cl->resume = g_idle_add(on_resume, cl);
}

static gboolean on_writable(int fd _unused_, GIOCondition condition _unused_, gpointer data)
{
	struct client *cl = data;
	int r = flush_out(cl);

	if (r == 0)
		return G_SOURCE_CONTINUE;
	cl->writable = 0;
	if (r < 0)
		client_free(cl);
	else
		resume_soon(cl);
	return G_SOURCE_REMOVE;
}

/* What waits for all clients of this one's kind. */
static size_t queued(const struct client *cl)
{
	size_t sum = 0;

	for (GList *l = cl->c->clients; l; l = l->next) {
		const struct client *other = l->data;

		if (is_owner(other) == is_owner(cl))
			sum += other->out->len;
	}
	return sum;
}

static bool fits(const struct client *cl, size_t len)
{
	size_t each = is_owner(cl) ? CONTROL_QUEUE_MAX : CONTROL_STRANGER_QUEUE_MAX;
	size_t all = is_owner(cl) ? CONTROL_QUEUES_MAX : CONTROL_STRANGER_QUEUES_MAX;

	return cl->out->len + len <= each && queued(cl) + len <= all;
}

/* Never frees the client: it may be in use further up. What cannot be sent shows at the next
 * readiness of its socket. */
static void control_put(struct client *cl, const char *line)
{
	size_t len = strlen(line);

	if (cl->dying)
		return;
	if (!fits(cl, len)) {
		cl->dying = true;
		shutdown(cl->fd, SHUT_RDWR);
		return;
	}
	g_byte_array_append(cl->out, (const uint8_t *)line, (guint)len);
	if (!cl->writable && flush_out(cl) <= 0)
		cl->writable =
			g_unix_fd_add(cl->fd, G_IO_OUT | G_IO_ERR | G_IO_HUP, on_writable, cl);
}

static void control_reply(const struct asker *a, char *line)
{
	struct client *cl = client_of(a);

	if (cl && cl->pending)
		cl->pending--;
	if (cl && line)
		control_put(cl, line);
	if (cl)
		resume_soon(cl);
	free(line);
}

static void control_watch(const struct asker *a)
{
	struct client *cl = client_of(a);

	if (cl)
		cl->watching = true;
}

static const struct asker_ops asker_ops = {control_reply, control_watch};

static enum asker_kind kind_of(const struct control *c, uid_t uid)
{
	return uid == 0 || uid == c->owner ? ASKER_OWNER : ASKER_USER;
}

/* His account may be made while this runs. */
static void find_owner(struct control *c)
{
	if (!user_find(c->owner_name, &c->owner))
		c->owner = 0;
}

/* The one place that says as whom a program of this device asks. */
static struct asker asker_of(struct control *c, const struct ipc_peer *peer)
{
	struct asker a = {
		.kind = kind_of(c, peer->uid),
		.ops = &asker_ops,
		.door = c,
		.serial = ++c->last_serial,
	};

	snprintf(a.principal, sizeof(a.principal), "uid %u, pid %d", (unsigned)peer->uid,
		 (int)peer->pid);
	return a;
}

void control_broadcast(struct control *c, char *line)
{
	for (GList *l = c->clients; l && line; l = l->next) {
		struct client *cl = l->data;

		if (cl->watching && cl->out->len + strlen(line) <= CONTROL_EVENTS_MAX)
			control_put(cl, line);
	}
	free(line);
}

static gboolean on_silence(gpointer data)
{
	struct client *cl = data;

	cl->silence = 0;
	client_free(cl);
	return G_SOURCE_REMOVE;
}

/* Another user's program has nothing to wait for here: `watch` is not for it. */
static void await_request(struct client *cl)
{
	if (cl->silence)
		g_source_remove(cl->silence);
	cl->silence = is_owner(cl) ? 0 : g_timeout_add(CONTROL_STRANGER_SILENCE_MS, on_silence, cl);
}

static void on_line(struct client *cl, const char *line, size_t len)
{
	struct api_request request;
	struct kerr err = {0};
	int r = api_parse(line, len, cl->c->rows, &request, &err);

	if (r == 0 && cl->pending >= CONTROL_PENDING_MAX)
		r = kerr_set(&err, EBUSY, KCODE_BUSY, "Wait for the answers to earlier requests.");
	cl->pending++;
	await_request(cl);
	if (r < 0)
		control_reply(&cl->asker, api_reply_error(request.id, &err));
	else
		cl->c->request(cl->c->ctx, &cl->asker, &request);
}

/* Handles the complete lines in `in`; false if what is left can never be one. */
static bool take_lines(struct client *cl)
{
	guint done = 0;

	while (!cl->dying && !must_wait(cl)) {
		uint8_t *start = cl->in->data + done;
		uint8_t *end = memchr(start, '\n', cl->in->len - done);

		if (!end || !has_turn(cl))
			break;
		on_line(cl, (const char *)start, (size_t)(end - start));
		done = (guint)(end - cl->in->data) + 1;
	}
	g_byte_array_remove_range(cl->in, 0, done);
	return cl->in->len < API_LINE_MAX;
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer data);

/* While it has to wait only its end is of interest. */
static void listen_to(struct client *cl)
{
	bool listening = !must_wait(cl);

	if (cl->readable && cl->listening == listening)
		return;
	if (cl->readable)
		g_source_remove(cl->readable);
	cl->listening = listening;
	cl->readable = g_unix_fd_add(cl->fd, (listening ? G_IO_IN : 0) | G_IO_HUP | G_IO_ERR,
				     on_readable, cl);
}

/* May free the client. */
static void control_go_on(struct client *cl)
{
	if (take_lines(cl) && !cl->dying)
		listen_to(cl);
	else
		client_free(cl);
}

static gboolean on_resume(gpointer data)
{
	struct client *cl = data;

	cl->resume = 0;
	cl->paced = false;
	control_go_on(cl);
	return G_SOURCE_REMOVE;
}

static gboolean on_readable(int fd, GIOCondition condition _unused_, gpointer data)
{
	struct client *cl = data;
	uint8_t buf[8192];
	ssize_t n = cl->listening ? recv(fd, buf, sizeof(buf), MSG_DONTWAIT) : 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	if (n <= 0) {
		client_free(cl);
		return G_SOURCE_CONTINUE; /* removed already */
	}
	g_byte_array_append(cl->in, buf, (guint)n);
	control_go_on(cl);
	return G_SOURCE_CONTINUE;
}

static void refuse_client(int fd, enum places_room room)
{
	struct kerr err = {0};
	char *line;

	kerr_set(&err, EBUSY, KCODE_BUSY,
		 room == PLACES_USER_FULL
			 ? "Too many programs of this user are connected to kithd. End some of "
			   "them, or try again in a moment."
			 : "Too many programs of users who do not own this device are connected to "
			   "kithd. Try again in a moment.");
	line = api_reply_error(0, &err);
	if (line && send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("control", "a refused client is gone already");
	free(line);
	close(fd);
}

static enum places_room room_for(const struct control *c, uid_t uid)
{
	uid_t uids[CLIENTS_MAX];
	size_t n = 0;

	for (GList *l = c->clients; l && n < CLIENTS_MAX; l = l->next)
		uids[n++] = ((struct client *)l->data)->uid;
	return places_local(uids, n, uid, c->owner);
}

static void add_client(struct control *c, const struct ipc_peer *peer, int fd)
{
	enum places_room room;
	struct client *cl;

	find_owner(c);
	room = room_for(c, peer->uid);
	if (room != PLACES_ROOM) {
		refuse_client(fd, room);
		return;
	}
	cl = g_new0(struct client, 1);
	cl->c = c;
	cl->fd = fd;
	cl->asker = asker_of(c, peer);
	cl->uid = peer->uid;
	cl->in = g_byte_array_new();
	cl->out = g_byte_array_new();
	listen_to(cl);
	await_request(cl);
	c->clients = g_list_prepend(c->clients, cl);
	log_debug("control", "%s connected", cl->asker.principal);
}

static gboolean on_connection(int fd, GIOCondition condition, gpointer data);

static gboolean on_pause_over(gpointer data)
{
	struct control *c = data;

	c->pause = 0;
	c->watch = g_unix_fd_add(c->fd, G_IO_IN, on_connection, c);
	return G_SOURCE_REMOVE;
}

static gboolean on_connection(int fd, GIOCondition condition _unused_, gpointer data)
{
	struct control *c = data;
	struct ipc_peer peer;
	int conn;
	int r = ipc_accept(fd, &peer, &conn);

	if (r == 0) {
		add_client(c, &peer, conn);
	} else if (r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM) {
		c->watch = 0;
		c->pause = g_timeout_add(250, on_pause_over, c);
		return G_SOURCE_REMOVE;
	}
	return G_SOURCE_CONTINUE;
}

static int listen_at(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	mode_t old;
	int r;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	old = umask(0111);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(old);
	if (r == 0 && listen(fd, 128) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

void control_look_again(struct control *c)
{
	find_owner(c);
	for (GList *l = c->clients; l; l = l->next) {
		struct client *cl = l->data;

		if (cl->asker.kind == kind_of(c, cl->uid))
			continue;
		cl->dying = true;
		shutdown(cl->fd, SHUT_RDWR);
	}
}

int control_new(const char *path, const char *owner, const struct api_row *rows,
		control_request_fn request, void *ctx, struct control **ret)
{
	g_autofree char *folder = g_path_get_dirname(path);
	struct control *c;
	int fd;

	/* Where no service manager makes it. */
	if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = listen_at(path);
	if (fd < 0)
		return fd;
	c = g_new0(struct control, 1);
	c->fd = fd;
	c->owner_name = owner;
	find_owner(c);
	c->path = g_strdup(path);
	c->rows = rows;
	c->request = request;
	c->ctx = ctx;
	c->watch = g_unix_fd_add(fd, G_IO_IN, on_connection, c);
	*ret = c;
	return 0;
}

struct control *control_free(struct control *c)
{
	if (!c)
		return NULL;
	while (c->clients)
		client_free(c->clients->data);
	if (c->watch)
		g_source_remove(c->watch);
	if (c->pause)
		g_source_remove(c->pause);
	close(c->fd);
	unlink(c->path);
	g_free(c->path);
	g_free(c);
	return NULL;
}
