/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the CONTROL channel. */
#include "mover/control.h"

#include <ctype.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

static const char *const control_type_names[_CONTROL_MAX] = {
	[CONTROL_RPC] = "rpc",
	[CONTROL_OFFER] = "offer",
	[CONTROL_DISKS_READY] = "disks-ready",
	[CONTROL_VOTE] = "vote",
	[CONTROL_RELEASE] = "release",
	[CONTROL_ACK] = "ack",
	[CONTROL_NACK] = "nack",
	[CONTROL_ABORT] = "abort",
	[CONTROL_PROGRESS] = "progress",
	[CONTROL_ERROR] = "error",
	[CONTROL_MOVED] = "moved",
	[CONTROL_BEAT] = "beat",
	[CONTROL_PAUSED] = "paused",
};
DEFINE_NAMES(control_type, enum control_type, _CONTROL_MAX)

#define IN_SIZE ((size_t)CONTROL_HEADER_LEN + CONTROL_BODY_MAX)

struct control {
	struct tls *tls;
	bool ready;
	int error; /* the connection's end, once it came */
	uint64_t received;
	uint8_t in[IN_SIZE];
	size_t in_len, in_used; /* in_used: the frame handed out last */
	uint8_t *out;
	size_t out_len, out_at, out_size;
};

int control_offer_put(struct wbuf *w, const struct control_offer *offer)
{
	wbuf_u8(w, CONTROL_VERSION);
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

int control_version_get(struct rbuf *r)
{
	return rbuf_u8(r) == CONTROL_VERSION ? 0 : -EPROTONOSUPPORT;
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

static bool known_target(const struct control_offer *o, const char *target)
{
	for (size_t i = 0; i < o->count; i++)
		if (strcmp(o->disks[i].target, target) == 0)
			return true;
	return false;
}

int control_offer_get(struct rbuf *r, struct control_offer *ret)
{
	struct control_offer o = {0};
	size_t count;
	int version = control_version_get(r);

	if (version < 0)
		return version;
	o.memory_bytes = rbuf_u64(r);
	o.vcpus = rbuf_u32(r);
	count = rbuf_u16(r);
	if (rbuf_error(r) < 0 || count > DOMAIN_DISKS_MAX)
		return -EBADMSG;
	while (o.count < count) {
		struct control_disk d = {0};
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

int control_new(struct tls *tls, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->tls = tls;
	*ret = c;
	return 0;
}

struct control *control_free(struct control *c)
{
	if (!c)
		return NULL;
	tls_free(c->tls);
	free(c->out);
	free(c);
	return NULL;
}

int control_fd(const struct control *c)
{
	return tls_fd(c->tls);
}

bool control_ready(const struct control *c)
{
	return c->ready;
}

uint64_t control_received(const struct control *c)
{
	return c->received;
}

bool control_flushed(const struct control *c)
{
	return c->out_at == c->out_len;
}

short control_events(const struct control *c)
{
	short events = tls_read_events(c->tls);

	if (c->ready && !control_flushed(c))
		events |= tls_write_events(c->tls);
	return events;
}

static int reserve(struct control *c, size_t more)
{
	size_t want, size = c->out_size ? c->out_size : 65536;
	uint8_t *data;

	if (control_flushed(c))
		c->out_at = c->out_len = 0;
	if (c->out_len + more > CONTROL_QUEUE_MAX)
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

static void flush(struct control *c)
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

int control_send(struct control *c, enum control_type type, const void *body, size_t len)
{
	struct wbuf w;
	int r;

	if (len > CONTROL_BODY_MAX)
		return -EMSGSIZE;
	r = reserve(c, CONTROL_HEADER_LEN + len);
	if (r < 0)
		return r;
	w = wbuf_init(c->out + c->out_len, CONTROL_HEADER_LEN + len);
	wbuf_u8(&w, (uint8_t)type);
	wbuf_blob(&w, body, len);
	if (wbuf_error(&w) < 0)
		return wbuf_error(&w);
	c->out_len += w.len;
	flush(c);
	return 0;
}

int control_send_rpc(struct control *c, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len) {
		size_t n = MIN_OF(len, (size_t)CONTROL_BODY_MAX);
		int r = control_send(c, CONTROL_RPC, at, n);

		if (r < 0)
			return r;
		at += n;
		len -= n;
	}
	return 0;
}

int control_parse(const uint8_t *data, size_t len, struct control_frame *ret, size_t *ret_used)
{
	struct rbuf r = rbuf_init(data, len);
	struct control_frame f = {0};
	uint8_t type;
	uint32_t size;

	if (len < CONTROL_HEADER_LEN)
		return 0;
	type = rbuf_u8(&r);
	size = rbuf_u32(&r);
	if (type == 0 || type >= _CONTROL_MAX || size > CONTROL_BODY_MAX)
		return -EBADMSG;
	if (size > len - CONTROL_HEADER_LEN)
		return 0;
	f.type = (enum control_type)type;
	f.body = data + CONTROL_HEADER_LEN;
	f.len = size;
	*ret = f;
	*ret_used = CONTROL_HEADER_LEN + (size_t)size;
	return 1;
}

int control_next(struct control *c, struct control_frame *ret)
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
		n = control_parse(c->in, c->in_len, ret, &c->in_used);
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

void control_bye(struct control *c, int timeout_ms)
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
