/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of JSON over a unix stream socket, one request at a time. */
#include "agent/client.h"

#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define LINE_MAX_BYTES (2u << 20)
#define EVENTS_MAX 64

struct agent_client {
	int fd;
	json_int_t id;
	char *buf;
	size_t len, size;
	json_t *events[EVENTS_MAX];
	size_t event_count;
};

static int client_gone(struct kerr *err)
{
	return kerr_set(err, ECONNRESET, KCODE_INTERRUPTED, "kithd went away or is too slow.");
}

static int connect_to(const char *path, int flags, struct agent_client **ret, struct kerr *err)
{
	_cleanup_(agent_client_freep) struct agent_client *c = calloc(1, sizeof(*c));
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (!c)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (strlen(path) >= sizeof(sa.sun_path))
		return kerr_set(err, ENAMETOOLONG, KCODE_USAGE, "The path %s is too long.", path);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return kerr_set(err, errno, KCODE_NOT_READY,
				"The local service kithd does not answer at %s: %s.", path,
				strerror(errno));
	*ret = TAKE_PTR(c);
	return 0;
}

int agent_client_new(const char *path, struct agent_client **ret, struct kerr *err)
{
	return connect_to(path, 0, ret, err);
}

int agent_client_new_nowait(const char *path, struct agent_client **ret, struct kerr *err)
{
	return connect_to(path, SOCK_NONBLOCK, ret, err);
}

int agent_client_fd(const struct agent_client *c)
{
	return c->fd;
}

struct agent_client *agent_client_free(struct agent_client *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->event_count; i++)
		json_decref(c->events[i]);
	if (c->fd >= 0)
		close(c->fd);
	free(c->buf);
	free(c);
	return NULL;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Takes the first complete line out of the buffer. 1, 0 = none yet, -EBADMSG. */
static int take_line(struct agent_client *c, json_t **ret)
{
	char *end = c->len ? memchr(c->buf, '\n', c->len) : NULL;
	json_error_t e;
	json_t *v;
	size_t used;

	if (!end)
		return c->len >= LINE_MAX_BYTES ? -EBADMSG : 0;
	used = (size_t)(end - c->buf) + 1;
	v = json_loadb(c->buf, used - 1, JSON_REJECT_DUPLICATES, &e);
	memmove(c->buf, c->buf + used, c->len - used);
	c->len -= used;
	if (!json_is_object(v)) {
		json_decref(v);
		return -EBADMSG;
	}
	*ret = v;
	return 1;
}

static int read_more(struct agent_client *c)
{
	ssize_t n;

	if (c->size - c->len < 4096) {
		char *bigger = realloc(c->buf, c->size + 65536);

		if (!bigger)
			return -ENOMEM;
		c->buf = bigger;
		c->size += 65536;
	}
	n = recv(c->fd, c->buf + c->len, c->size - c->len, 0);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	c->len += (size_t)n;
	return 0;
}

/* The next object: 1, 0 = none before the deadline (-1 = for ever), negative with *err. */
static int next_object(struct agent_client *c, int64_t deadline, json_t **ret, struct kerr *err)
{
	for (;;) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		int64_t left = deadline < 0 ? -1 : deadline - now_ms();
		int r = take_line(c, ret);

		if (r < 0)
			return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
					"kithd sent something that is no JSON object.");
		if (r > 0)
			return 1;
		if (deadline >= 0 && left < 0)
			left = 0;
		r = poll(&p, 1, (int)left);
		if (r < 0 && errno != EINTR)
			return client_gone(err);
		if (r == 0)
			return 0;
		if (r > 0 && read_more(c) < 0)
			return client_gone(err);
	}
}

static void keep_event(struct agent_client *c, json_t *event)
{
	if (c->event_count == EVENTS_MAX) {
		json_decref(c->events[0]);
		memmove(&c->events[0], &c->events[1], (EVENTS_MAX - 1) * sizeof(c->events[0]));
		c->event_count--;
	}
	c->events[c->event_count++] = event;
}

static int send_all(struct agent_client *c, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_request(struct agent_client *c, const char *op, json_t *arguments, struct kerr *err)
{
	json_t *request = arguments ? arguments : json_object();
	char *text;
	int r;

	json_object_set_new(request, "id", json_integer(++c->id));
	json_object_set_new(request, "op", json_string(op));
	text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	if (!text)
		return kerr_set(err, EINVAL, KCODE_USAGE, "The request is no text.");
	r = send_all(c, text, strlen(text));
	if (r == 0)
		r = send_all(c, "\n", 1);
	free(text);
	return r < 0 ? client_gone(err) : 0;
}

int agent_client_result(json_t *reply, json_t **ret_result, struct kerr *err)
{
	json_t *error = json_object_get(reply, "error");
	const char *code = json_string_value(json_object_get(error, "code"));
	const char *text = json_string_value(json_object_get(error, "text"));
	int known = kcode_from_string(code);

	if (json_is_true(json_object_get(reply, "ok"))) {
		if (ret_result)
			*ret_result = json_incref(json_object_get(reply, "result"));
		return 0;
	}
	return kerr_set(err, EREMOTEIO, known > 0 ? (enum kcode)known : KCODE_FAILED, "%s",
			text ? text : "kithd refused without a reason.");
}

int agent_client_call(struct agent_client *c, const char *op, json_t *arguments, int timeout_ms,
		      json_t **ret_result, struct kerr *err)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	struct kerr lost = {0};
	int r = send_request(c, op, arguments, &lost);

	/* Whoever finds no place at kithd is told so in a line, perhaps before he could ask. */
	if (r < 0 && r != -ECONNRESET)
		return kerr_set(err, -r, lost.code, "%s", lost.text);
	for (;;) {
		json_t *o, *id;

		r = next_object(c, deadline, &o, err);
		if (r < 0)
			return r;
		if (r == 0)
			return client_gone(err);
		id = json_object_get(o, "id");
		if (json_object_get(o, "event")) {
			keep_event(c, o);
			continue;
		}
		/* 0: it could not even tell which request it refuses. */
		if (json_integer_value(id) == c->id ||
		    (json_is_integer(id) && json_integer_value(id) == 0)) {
			r = agent_client_result(o, ret_result, err);
			json_decref(o);
			return r;
		}
		json_decref(o); /* the late answer to a request that timed out */
	}
}

int agent_client_event(struct agent_client *c, int timeout_ms, json_t **ret, struct kerr *err)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;

	if (c->event_count) {
		*ret = c->events[0];
		memmove(&c->events[0], &c->events[1], --c->event_count * sizeof(c->events[0]));
		return 1;
	}
	for (;;) {
		json_t *o;
		int r = next_object(c, deadline, &o, err);

		if (r <= 0)
			return r;
		if (json_object_get(o, "event")) {
			*ret = o;
			return 1;
		}
		json_decref(o);
	}
}

int agent_client_ask(struct agent_client *c, const char *op, json_t *arguments, json_int_t *ret_id,
		     struct kerr *err)
{
	int r = send_request(c, op, arguments, err);

	if (r == 0)
		*ret_id = c->id;
	return r;
}

int agent_client_take(struct agent_client *c, json_t **ret, struct kerr *err)
{
	int r = take_line(c, ret);

	if (r == 0) {
		r = read_more(c);
		/* One read: whoever polls is called again if there is more. */
		if (r == 0)
			r = take_line(c, ret);
		else if (r == -EAGAIN)
			return 0;
	}
	if (r == -EBADMSG)
		return kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE,
				"kithd sent something that is no JSON object.");
	return r < 0 ? client_gone(err) : r;
}
