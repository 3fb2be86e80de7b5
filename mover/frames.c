/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the control channel. */
#include "mover/frames.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define IN_SIZE ((size_t)FRAMES_HEADER_LEN + FRAMES_BODY_MAX)

struct frames {
	struct tls *tls;
	bool ready;
	int error; /* the connection's end, once it came */
	uint64_t received;
	uint8_t in[IN_SIZE];
	size_t in_len, in_used; /* in_used: the frame handed out last */
	uint8_t *out;
	size_t out_len, out_at, out_size;
};

int frames_new(struct tls *tls, struct frames **ret)
{
	struct frames *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->tls = tls;
	*ret = c;
	return 0;
}

struct frames *frames_free(struct frames *c)
{
	if (!c)
		return NULL;
	tls_free(c->tls);
	free(c->out);
	free(c);
	return NULL;
}

int frames_fd(const struct frames *c)
{
	return tls_fd(c->tls);
}

bool frames_ready(const struct frames *c)
{
	return c->ready;
}

uint64_t frames_received(const struct frames *c)
{
	return c->received;
}

bool frames_flushed(const struct frames *c)
{
	return c->out_at == c->out_len;
}

short frames_events(const struct frames *c)
{
	short events = tls_read_events(c->tls);

	if (c->ready && !frames_flushed(c))
		events |= tls_write_events(c->tls);
	return events;
}

static int reserve(struct frames *c, size_t more)
{
	size_t want, size = c->out_size ? c->out_size : 65536;
	uint8_t *data;

	if (frames_flushed(c))
		c->out_at = c->out_len = 0;
	if (c->out_len + more > FRAMES_QUEUE_MAX)
		return -ENOBUFS;
	want = c->out_len + more;
	while (size < want)
		size *= 2;
	if (size == c->out_size)
		return 0;
	data = realloc(c->out, size);
	if (!data)
		return -ENOMEM;
	c->out = data;
	c->out_size = size;
	return 0;
}

static void flush(struct frames *c)
{
	while (c->ready && !c->error && c->out_at < c->out_len) {
		int n = tls_write(c->tls, c->out + c->out_at, c->out_len - c->out_at);

		if (n == -EAGAIN)
			return;
		if (n < 0) {
			c->error = n;
			return;
		}
		c->out_at += (size_t)n;
	}
}

int frames_send(struct frames *c, enum frame_type type, const void *body, size_t len)
{
	struct wbuf w;
	int r;

	if (len > FRAMES_BODY_MAX)
		return -EMSGSIZE;
	r = reserve(c, FRAMES_HEADER_LEN + len);
	if (r < 0)
		return r;
	w = wbuf_init(c->out + c->out_len, FRAMES_HEADER_LEN + len);
	frame_header_put(&w, &(struct frame_header){type, (uint32_t)len});
	wbuf_bytes(&w, body, len);
	if (wbuf_error(&w) < 0)
		return wbuf_error(&w);
	c->out_len += w.len;
	flush(c);
	return 0;
}

int frames_send_rpc(struct frames *c, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len) {
		size_t n = MIN_OF(len, (size_t)FRAMES_BODY_MAX);
		int r = frames_send(c, FRAME_RPC, at, n);

		if (r < 0)
			return r;
		at += n;
		len -= n;
	}
	return 0;
}

int frames_parse(const uint8_t *data, size_t len, struct frame *ret, size_t *ret_used)
{
	struct rbuf r = rbuf_init(data, len);
	struct frame_header h;

	if (len < FRAMES_HEADER_LEN)
		return 0;
	if (frame_header_get(&r, &h) < 0)
		return -EBADMSG;
	if (h.len > r.left)
		return 0;
	*ret = (struct frame){.type = h.type, .body = r.data, .len = h.len};
	*ret_used = FRAMES_HEADER_LEN + (size_t)h.len;
	return 1;
}

int frames_next(struct frames *c, struct frame *ret)
{
	int n;

	if (!c->ready && !c->error) {
		n = tls_handshake(c->tls);
		if (n <= 0)
			return c->error = n;
		c->ready = true;
	}
	flush(c);
	memmove(c->in, c->in + c->in_used, c->in_len - c->in_used);
	c->in_len -= c->in_used;
	c->in_used = 0;
	for (;;) {
		n = frames_parse(c->in, c->in_len, ret, &c->in_used);
		if (n != 0)
			return n;
		/* Frames that came before the end still count; only then the end does. */
		n = tls_read(c->tls, c->in + c->in_len, sizeof(c->in) - c->in_len);
		if (n == -EAGAIN)
			return c->error;
		if (n <= 0)
			return c->error = n < 0 ? n : -ECONNRESET;
		c->in_len += (size_t)n;
		c->received += (uint64_t)n;
	}
}

void frames_bye(struct frames *c, int timeout_ms)
{
	struct pollfd p = {.fd = tls_fd(c->tls), .events = POLLIN};
	uint8_t nothing[4096];
	int n = -EAGAIN;

	if (!c->ready || c->error || tls_close_write(c->tls) < 0)
		return;
	shutdown(tls_fd(c->tls), SHUT_WR);
	/* The peer leaves soon after: a slow drip of beats cannot prolong this for long. */
	for (int i = 0; i < 16 && (n > 0 || n == -EAGAIN); i++) {
		n = tls_read(c->tls, nothing, sizeof(nothing));
		if (n == -EAGAIN && poll(&p, 1, timeout_ms) <= 0)
			return;
	}
}
