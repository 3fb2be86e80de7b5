/* SPDX-License-Identifier: Apache-2.0 */
/* The only use of libwebsockets: two vhosts (accepting, connecting) on one GLib main loop. */
#include "agent/lws-wire.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <libwebsockets.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "agent/tls.h"
#include "base/log.h"

/* A conversation is strictly alternating, so a longer queue means a broken peer. */
#define QUEUE_MAX 8
#define FINISH_S 5
#define FAREWELL_MS 1000
#define HANDSHAKE_S 5
#define FDS_MAX 256

/* A peer without power says no goodbye. Its kernel answers, so a slow device or program is not
 * taken for a dead one. */
#define IDLE_S 2
#define PROBE_S 1
#define DEAD_MS 7000

struct wire_net {
	struct lws_context *context;
	struct lws_vhost *server, *client;
	struct tls_identity *identity;
	const struct wire_ops *ops;
	GList *wires;
	GList *farewells;
	GMainLoop *loop;
};

struct wire {
	struct wire_net *net;
	struct lws *wsi; /* NULL once libwebsockets has let go of it */
	void *user;	 /* NULL once the caller has let go of it */
	int fd;		 /* of an accepted connection, until `wsi` knows it */
	int spare;	 /* a duplicate of it until the handshake is over, see farewell_new() */
	bool client, open, refused;
	enum kcode why;
	uint8_t id[DEVICE_ID_LEN];
	bool id_known;
	GQueue out;	/* of GBytes, LWS_PRE bytes of room in front */
	GByteArray *in; /* the message that is arriving */
	guint timer;	/* the report of closed(), or the deadline of wire_finish() */
};

/* A refused client whose last flight was not read yet would get a reset, which overtakes the alert
 * that tells it why. So the connection outlives libwebsockets' use of it by a moment. */
struct farewell {
	struct wire_net *net;
	int fd;
	guint watch, timer;
};

static void farewell_free(struct farewell *g)
{
	if (g->watch)
		g_source_remove(g->watch);
	if (g->timer)
		g_source_remove(g->timer);
	close(g->fd);
	g->net->farewells = g_list_remove(g->net->farewells, g);
	g_free(g);
}

static gboolean on_farewell_readable(int fd, GIOCondition condition _unused_, gpointer data)
{
	struct farewell *g = data;
	char waste[1024];
	ssize_t n = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);

	if (n > 0 || (n < 0 && errno == EAGAIN))
		return G_SOURCE_CONTINUE;
	g->watch = 0;
	farewell_free(g);
	return G_SOURCE_REMOVE;
}

static gboolean on_farewell_timeout(gpointer data)
{
	struct farewell *g = data;

	g->timer = 0;
	farewell_free(g);
	return G_SOURCE_REMOVE;
}

static void farewell_new(struct wire_net *net, int fd)
{
	struct farewell *g = g_new0(struct farewell, 1);

	shutdown(fd, SHUT_WR);
	g->net = net;
	g->fd = fd;
	g->watch = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_farewell_readable, g);
	g->timer = g_timeout_add(FAREWELL_MS, on_farewell_timeout, g);
	net->farewells = g_list_prepend(net->farewells, g);
}

static struct wire *wire_new(struct wire_net *net, void *user, bool client)
{
	struct wire *w = g_new0(struct wire, 1);

	w->net = net;
	w->user = user;
	w->client = client;
	w->fd = w->spare = -EBADF;
	w->why = client ? KCODE_UNREACHABLE : KCODE_INTERRUPTED;
	w->in = g_byte_array_new();
	g_queue_init(&w->out);
	net->wires = g_list_prepend(net->wires, w);
	return w;
}

/* Leaves the connection to libwebsockets to close. A timer set from outside its callbacks is
 * only looked at after a wake-up, hence lws_cancel_service(). */
static void kill_connection(struct wire *w)
{
	if (!w->wsi)
		return;
	lws_set_opaque_user_data(w->wsi, NULL);
	lws_set_timeout(w->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
	lws_cancel_service(w->net->context);
	w->wsi = NULL;
}

struct wire *wire_free(struct wire *w)
{
	if (!w)
		return NULL;
	kill_connection(w);
	if (w->timer)
		g_source_remove(w->timer);
	closep(&w->spare);
	g_queue_clear_full(&w->out, (GDestroyNotify)g_bytes_unref);
	g_byte_array_unref(w->in);
	w->net->wires = g_list_remove(w->net->wires, w);
	g_free(w);
	return NULL;
}

static gboolean on_finish_deadline(gpointer data)
{
	struct wire *w = data;

	w->timer = 0;
	wire_free(w);
	return G_SOURCE_REMOVE;
}

void wire_finish(struct wire *w)
{
	if (!w->wsi || !w->open) {
		wire_free(w);
		return;
	}
	w->user = NULL;
	if (w->timer)
		g_source_remove(w->timer);
	w->timer = g_timeout_add_seconds(FINISH_S, on_finish_deadline, w);
	lws_callback_on_writable(w->wsi);
}

static gboolean report_closed(gpointer data)
{
	struct wire *w = data;

	w->timer = 0;
	w->net->ops->closed(w->user, w->why);
	return G_SOURCE_REMOVE;
}

/* libwebsockets has let go of the connection, for whatever reason. The report waits for the
 * main loop, so that no caller is re-entered. */
static void wire_gone(struct wire *w)
{
	w->wsi = NULL;
	if (w->refused && w->spare >= 0)
		farewell_new(w->net, TAKE_FD(w->spare));
	if (!w->user)
		wire_free(w);
	else if (!w->timer)
		w->timer = g_idle_add(report_closed, w);
}

int wire_socket_address(int fd, char *ret, size_t size)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	char text[NI_MAXHOST];
	const char *from = text;

	if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	if (getnameinfo((struct sockaddr *)&sa, len, text, sizeof(text), NULL, 0, NI_NUMERICHOST) !=
	    0)
		return -EINVAL;
	if (g_str_has_prefix(from, "::ffff:"))
		from += strlen("::ffff:");
	return g_strlcpy(ret, from, size) < size ? 0 : -ENOSPC;
}

static struct wire *wire_find(struct wire_net *net, int fd)
{
	for (GList *l = net->wires; l; l = l->next) {
		struct wire *w = l->data;

		if (w->wsi ? lws_get_socket_fd(w->wsi) == fd : w->fd == fd)
			return w;
	}
	return NULL;
}

static bool wire_on_judge(void *arg, int fd, const uint8_t *id)
{
	struct wire *w = wire_find(arg, fd);

	if (!w || !w->user)
		return false;
	if (id && w->net->ops->judge(w->user, id)) {
		memcpy(w->id, id, sizeof(w->id));
		w->id_known = true;
		return true;
	}
	w->refused = true;
	w->why = w->client || !id ? KCODE_PEER_KEY : KCODE_PEER_UNKNOWN;
	return false;
}

static void wire_on_refused(void *arg, int fd)
{
	struct wire *w = wire_find(arg, fd);

	if (w && w->client)
		w->why = KCODE_PEER_UNKNOWN;
}

static void watch_peer(int fd)
{
	int on = 1, idle = IDLE_S, probe = PROBE_S, dead = DEAD_MS;

	if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe, sizeof(probe)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead, sizeof(dead)) < 0)
		log_debug("wire", "A dead peer will not be noticed: %s.", g_strerror(errno));
}

static int wire_on_open(struct wire *w, const void *in _unused_, size_t len _unused_)
{
	struct lws *wsi = w->wsi;
	uint8_t exporter[EXPORTER_LEN];

	watch_peer(lws_get_socket_fd(wsi));
	if (!w->user || !w->id_known || tls_exporter(lws_get_ssl(wsi), exporter) < 0)
		return -1;
	w->open = true;
	closep(&w->spare);
	w->spare = -EBADF;
	w->why = KCODE_INTERRUPTED;
	w->net->ops->open(w->user, w->id, exporter);
	return lws_get_opaque_user_data(wsi) ? 0 : -1;
}

static int wire_on_receive(struct wire *w, const void *data, size_t len)
{
	struct lws *wsi = w->wsi;

	if (!w->user)
		return 0; /* being finished: what still comes is of no interest */
	if (!lws_frame_is_binary(wsi) || len > WIRE_MESSAGE_MAX - w->in->len) {
		w->why = KCODE_BAD_MESSAGE;
		return -1;
	}
	g_byte_array_append(w->in, data, (guint)len);
	if (lws_is_final_fragment(wsi) && !lws_remaining_packet_payload(wsi)) {
		GByteArray *whole = w->in;

		w->in = g_byte_array_new();
		w->net->ops->message(w->user, whole->data, whole->len);
		g_byte_array_unref(whole);
	}
	return lws_get_opaque_user_data(wsi) ? 0 : -1;
}

static int wire_on_writable(struct wire *w, const void *in _unused_, size_t len _unused_)
{
	GBytes *next = g_queue_pop_head(&w->out);

	if (next) {
		gsize size;
		uint8_t *data = g_bytes_unref_to_data(next, &size);
		int n = lws_write(w->wsi, data + LWS_PRE, size - LWS_PRE, LWS_WRITE_BINARY);

		g_free(data);
		if (n < 0)
			return -1;
	}
	if (!g_queue_is_empty(&w->out)) {
		lws_callback_on_writable(w->wsi);
	} else if (!w->user) {
		lws_close_reason(w->wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
		return -1;
	}
	return 0;
}

/* Path and subprotocol have to be exactly ours. */
static int wire_on_upgrade(struct wire *w, const void *in _unused_, size_t len _unused_)
{
	char path[sizeof(WIRE_PATH) + 1], protocol[sizeof(WIRE_PROTOCOL) + 1];

	if (lws_hdr_copy(w->wsi, path, sizeof(path), WSI_TOKEN_GET_URI) <= 0 ||
	    lws_hdr_copy(w->wsi, protocol, sizeof(protocol), WSI_TOKEN_PROTOCOL) <= 0)
		return -1;
	return strcmp(path, WIRE_PATH) == 0 && strcmp(protocol, WIRE_PROTOCOL) == 0 ? 0 : -1;
}

static int wire_on_plain_http(struct wire *w _unused_, const void *in _unused_, size_t len _unused_)
{
	return -1;
}

static int wire_on_failed(struct wire *w _unused_, const void *in, size_t len)
{
	log_debug("wire", "connect: %.*s", (int)len, in ? (const char *)in : "");
	return 0;
}

static int wire_on_destroyed(struct wire *w, const void *in _unused_, size_t len _unused_)
{
	lws_set_opaque_user_data(w->wsi, NULL);
	wire_gone(w);
	return 0;
}

/* What libwebsockets tells of a connection; a negative answer closes it. The rest is its own. */
static const struct {
	enum lws_callback_reasons reason;
	int (*handle)(struct wire *w, const void *in, size_t len);
} callbacks[] = {
	{LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION, wire_on_upgrade},
	{LWS_CALLBACK_HTTP, wire_on_plain_http},
	{LWS_CALLBACK_ESTABLISHED, wire_on_open},
	{LWS_CALLBACK_CLIENT_ESTABLISHED, wire_on_open},
	{LWS_CALLBACK_RECEIVE, wire_on_receive},
	{LWS_CALLBACK_CLIENT_RECEIVE, wire_on_receive},
	{LWS_CALLBACK_SERVER_WRITEABLE, wire_on_writable},
	{LWS_CALLBACK_CLIENT_WRITEABLE, wire_on_writable},
	{LWS_CALLBACK_CLIENT_CONNECTION_ERROR, wire_on_failed},
	{LWS_CALLBACK_WSI_DESTROY, wire_on_destroyed},
};

/* Here `user` is the SSL_CTX and `wsi` only a stand-in. */
static int wire_on_ssl_ctx(struct lws *wsi, void *user)
{
	struct wire_net *net = lws_context_user(lws_get_context(wsi));

	return tls_setup_ctx(net->identity, user) < 0;
}

static int wire_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			 size_t len)
{
	if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
		return wire_on_ssl_ctx(wsi, user);
	for (size_t i = 0; i < ARRAY_SIZE(callbacks); i++) {
		struct wire *w;

		if (callbacks[i].reason != reason)
			continue;
		w = lws_get_opaque_user_data(wsi);
		if (!w)
			return reason == LWS_CALLBACK_WSI_DESTROY ? 0 : -1;
		w->wsi = wsi;
		return callbacks[i].handle(w, in, len);
	}
	return 0;
}

static const struct lws_protocols protocols[] = {
	{WIRE_PROTOCOL, wire_callback, 0, 8192, 0, NULL, 0},
	{NULL, NULL, 0, 0, 0, NULL, 0},
};

static void wire_on_log(int level _unused_, const char *line)
{
	log_debug("lws", "%.*s", (int)strcspn(line, "\n"), line);
}

static int make_vhosts(struct wire_net *net)
{
	struct lws_context_creation_info info = {
		.protocols = protocols,
		.alpn = "http/1.1",
		.timeout_secs = HANDSHAKE_S,
		.connect_timeout_secs = HANDSHAKE_S,
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
			   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
	};

	info.port = CONTEXT_PORT_NO_LISTEN;
	info.vhost_name = "peer-out";
	info.provided_client_ssl_ctx = tls_client_ctx(net->identity);
	net->client = info.provided_client_ssl_ctx ? lws_create_vhost(net->context, &info) : NULL;
	info.provided_client_ssl_ctx = NULL;
	info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
	info.vhost_name = "peer-in";
	info.options |= LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
	net->server = lws_create_vhost(net->context, &info);
	return net->client && net->server ? 0 : -EIO;
}

int wire_net_new(GMainLoop *loop, const struct wire_ops *ops, struct wire_net **ret)
{
	_cleanup_(wire_net_freep) struct wire_net *net = g_new0(struct wire_net, 1);
	struct tls_hooks hooks = {wire_on_judge, wire_on_refused, net};
	void *loops[1] = {loop};
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.gid = (gid_t)-1,
		.uid = (uid_t)-1,
		.foreign_loops = loops,
		.fd_limit_per_thread = FDS_MAX,
		.user = net,
		.options = LWS_SERVER_OPTION_GLIB | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
			   LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME,
	};
	int r;

	net->ops = ops;
	net->loop = loop;
	r = tls_identity_new(&hooks, &net->identity);
	if (r < 0)
		return r;
	/* It would send our peer connections through the proxy. */
	g_unsetenv("http_proxy");
	lws_set_log_level(LLL_ERR | LLL_WARN, wire_on_log);
	net->context = lws_create_context(&info);
	if (!net->context)
		return -EIO;
	r = make_vhosts(net);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(net);
	return 0;
}

struct wire_net *wire_net_free(struct wire_net *net)
{
	if (!net)
		return NULL;
	while (net->wires)
		wire_free(net->wires->data);
	while (net->farewells)
		farewell_free(net->farewells->data);
	if (net->context)
		lws_context_destroy(net->context);
	tls_identity_free(net->identity);
	g_free(net);
	return NULL;
}

struct tls_identity *wire_net_identity(struct wire_net *net)
{
	return net->identity;
}

int wire_connect(struct wire_net *net, const char *address, uint16_t port, void *user,
		 struct wire **ret)
{
	struct wire *w = wire_new(net, user, true);
	struct lws_client_connect_info info = {
		.context = net->context,
		.address = address,
		.port = port,
		.ssl_connection = LCCSCF_USE_SSL | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK,
		.path = WIRE_PATH,
		/* Also the SNI: the same for all, so that it tells nothing. */
		.host = "kith",
		.origin = NULL,
		.protocol = WIRE_PROTOCOL,
		.local_protocol_name = WIRE_PROTOCOL,
		.alpn = "http/1.1",
		.vhost = net->client,
		.pwsi = &w->wsi,
		.opaque_user_data = w,
		.ietf_version_or_minus_one = -1,
	};

	if (!lws_client_connect_via_info(&info))
		w->wsi = NULL;
	lws_cancel_service(net->context);
	if (!w->wsi)
		wire_gone(w);
	*ret = w;
	return 0;
}

int wire_accept(struct wire_net *net, int fd, void *user, struct wire **ret)
{
	struct wire *w = wire_new(net, user, false);
	lws_adopt_desc_t info = {
		.vh = net->server,
		.type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
		.fd.sockfd = fd,
		.opaque = w,
	};
	struct lws *wsi;

	w->fd = fd;
	w->spare = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	wsi = lws_adopt_descriptor_vhost_via_info(&info);
	if (!wsi)
		wire_gone(w);
	else
		w->wsi = wsi;
	w->fd = -EBADF;
	lws_cancel_service(net->context);
	*ret = w;
	return 0;
}

int wire_send(struct wire *w, const void *data, size_t len)
{
	uint8_t *copy;

	if (!w->wsi || !w->open)
		return -ENOTCONN;
	if (len > WIRE_MESSAGE_MAX || g_queue_get_length(&w->out) >= QUEUE_MAX)
		return -ENOBUFS;
	copy = g_malloc0(LWS_PRE + len);
	memcpy(copy + LWS_PRE, data, len);
	g_queue_push_tail(&w->out, g_bytes_new_take(copy, LWS_PRE + len));
	lws_callback_on_writable(w->wsi);
	return 0;
}
