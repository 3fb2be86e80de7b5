/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the control channel. */
#include "mover/frames.h"

#include <ctype.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

static const char *const frame_type_names[_FRAME_MAX] = {
	[FRAME_RPC] = "rpc",	   [FRAME_OFFER] = "offer",	[FRAME_DISKS_READY] = "disks-ready",
	[FRAME_VOTE] = "vote",	   [FRAME_RELEASE] = "release", [FRAME_ACK] = "ack",
	[FRAME_NACK] = "nack",	   [FRAME_ABORT] = "abort",	[FRAME_PROGRESS] = "progress",
	[FRAME_ERROR] = "error",   [FRAME_MOVED] = "moved",	[FRAME_BEAT] = "beat",
	[FRAME_PAUSED] = "paused",
};
DEFINE_NAMES(frame_type, enum frame_type, _FRAME_MAX)

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

int frame_offer_put(struct wbuf *w, const struct frame_offer *offer)
{
	wbuf_u8(w, FRAMES_VERSION);
	wbuf_u64(w, offer->memory_bytes);
	wbuf_u32(w, offer->vcpus);
	wbuf_u16(w, (uint16_t)offer->count);
	for (size_t i = 0; i < offer->count; i++) {
		wbuf_string(w, offer->disks[i].target);
		wbuf_u8(w, (uint8_t)offer->disks[i].format);
		wbuf_u64(w, offer->disks[i].capacity);
		wbuf_u64(w, offer->disks[i].used);
	}
	return wbuf_error(w);
}

int frame_version_get(struct rbuf *r)
{
	return rbuf_u8(r) == FRAMES_VERSION ? 0 : -EPROTONOSUPPORT;
}

/* Targets become part of file names: letters and digits only. */
static bool target_ok(const char *t)
{
	if (!islower((unsigned char)t[0]))
		return false;
	for (; *t; t++)
		if (!islower((unsigned char)*t) && !isdigit((unsigned char)*t))
			return false;
	return true;
}

static bool known_target(const struct frame_offer *o, const char *target)
{
	for (size_t i = 0; i < o->count; i++)
		if (strcmp(o->disks[i].target, target) == 0)
			return true;
	return false;
}

int frame_offer_get(struct rbuf *r, struct frame_offer *ret)
{
	struct frame_offer o = {0};
	size_t count;
	int version = frame_version_get(r);

	if (version < 0)
		return version;
	o.memory_bytes = rbuf_u64(r);
	o.vcpus = rbuf_u32(r);
	count = rbuf_u16(r);
	if (rbuf_error(r) < 0 || count > DOMAIN_DISKS_MAX)
		return -EBADMSG;
	while (o.count < count) {
		struct frame_disk d = {0};
		uint8_t format;

		rbuf_string(r, d.target, sizeof(d.target));
		format = rbuf_u8(r);
		d.capacity = rbuf_u64(r);
		d.used = rbuf_u64(r);
		if (rbuf_error(r) < 0 || format >= _DISK_FORMAT_MAX || !target_ok(d.target) ||
		    known_target(&o, d.target) || d.capacity == 0 || d.capacity % 512 ||
		    d.capacity >> 62 || d.used >> 62)
			return -EBADMSG;
		d.format = (enum disk_format)format;
		o.disks[o.count++] = d;
	}
	*ret = o;
	return 0;
}

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
	wbuf_u8(&w, (uint8_t)type);
	wbuf_blob(&w, body, len);
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
	struct frame f = {0};
	uint8_t type;
	uint32_t size;

	if (len < FRAMES_HEADER_LEN)
		return 0;
	type = rbuf_u8(&r);
	size = rbuf_u32(&r);
	if (type == 0 || type >= _FRAME_MAX || size > FRAMES_BODY_MAX)
		return -EBADMSG;
	if (size > len - FRAMES_HEADER_LEN)
		return 0;
	f.type = (enum frame_type)type;
	f.body = data + FRAMES_HEADER_LEN;
	f.len = size;
	*ret = f;
	*ret_used = FRAMES_HEADER_LEN + (size_t)size;
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
