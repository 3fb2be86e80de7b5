/* SPDX-License-Identifier: Apache-2.0 */
/* One console: the descriptors that `kith` brings, the VM's display or serial port at libvirt, and
 * between two devices a TLS channel for each of them. The first one, the control channel, says what
 * is seen and why it ended. Everything that comes from the peer beside that goes on unread. */
#include "mover/console.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/secret.h"
#include "mover/frames.h"
#include "mover/relay.h"
#include "mover/virt-console.h"
#include "mover/worker.h"

#define CHANNELS_MAX 16	 /* at once: SPICE has about eight */
#define SLOTS_MAX 24	 /* those, and strangers who have not proved the key */
#define CANDIDATES_MAX 4 /* for the control channel */
#define TICK_MS 200
#define CONNECT_MS 15000 /* until the control channel stands */
#define DIAL_MS 15000	 /* for a connection that was asked for */
#define BEAT_MS 1000
#define SILENCE_MS 10000 /* of the peer */
#define LOOK_MS 1000	 /* between two looks whether the VM is still there */
#define CHECK_MS 5000	 /* between two questions whether it may still be seen */
#define GONE_MS 4000	 /* for the other side to say why a serial console ended */
#define DRAIN_MS 1000	 /* for the last bytes of a console that ended */
#define BYE_MS 1000
#define LIBVIRT_S 20 /* a call that hangs longer ends this process */
#define FILES_MAX 256

/* A connection: wanted, on its way, or there. Free: neither relay nor local. */
struct slot {
	struct relay *relay;
	int local; /* viewer: kith's end, until the relay has it; -EBADF */
	uint16_t channel;
	enum relay_state seen;
	uint64_t since_ms;
};

struct console {
	struct config config;
	uint8_t hid[HID_LEN];
	bool show;
	struct policyd_console_grant grant;
	struct ipc_client *policyd; /* the console is open for policyd while this is */
	struct virt *virt;
	enum mover_display display;
	char serial[DISPLAY_ALIAS_MAX + 1]; /* which port */
	bool serial_taken;
	unsigned looks_after; /* at the VM, since its serial console ended: it may be about to go */

	int life; /* to kith; -EBADF */
	uint16_t op;
	uint32_t request; /* serial of the request that started this */
	bool answered, super_lost;

	struct frames *control;
	struct frames *candidates[CANDIDATES_MAX];
	uint64_t candidate_since[CANDIDATES_MAX];
	struct slot slots[SLOTS_MAX];
	int wake_fd;

	struct kerr end; /* why it is over; code OK: it is not */
	uint64_t begin_ms, beat_ms, heard_ms, look_ms, check_ms, leave_ms;
	uint64_t heard_bytes;
	uint64_t serial_gone_ms; /* viewer: when its connection ended */
};

static bool is_remote(const struct console *c)
{
	return c->grant.side != CONSOLE_SIDE_LOCAL;
}

static bool is_over(const struct console *c)
{
	return c->end.code != KCODE_OK;
}

/* The first reason counts. */
static void over(struct console *c, const struct kerr *why)
{
	if (is_over(c))
		return;
	c->end = *why;
	log_info("console", "It ends: %s", why->text);
}

#define OVER(c, num, code, ...)                          \
	do {                                             \
		struct kerr why_ = {0};                  \
		kerr_set(&why_, num, code, __VA_ARGS__); \
		over(c, &why_);                          \
	} while (0)

/* -- the supervisor -- */

static void reply_body(uint16_t op, uint32_t serial, uint32_t flags, const struct wbuf *w)
{
	ipc_send(WORKER_FD, op, IPC_FLAG_REPLY | flags, serial, w->data, w->len, -EBADF);
}

/* To whoever started this: what can be seen, or why nothing. */
static void answer(struct console *c)
{
	const struct mover_console v = {.display = c->display};
	uint8_t body[KERR_TEXT_MAX + 8];
	struct wbuf w = wbuf_init(body, sizeof(body));

	if (c->answered)
		return;
	c->answered = true;
	if (is_over(c))
		kerr_put(&w, &c->end);
	else if (!c->show)
		record_put(&w, &mover_console_record, &v);
	reply_body(c->op, c->request, is_over(c) ? IPC_FLAG_ERROR : 0, &w);
}

static void dial(struct console *c, uint16_t channel)
{
	struct mover_conn v = {.channel = channel};
	uint8_t body[HID_LEN + 2];
	struct wbuf w = wbuf_init(body, sizeof(body));

	memcpy(v.hid, c->hid, HID_LEN);
	if (record_put(&w, &mover_conn_record, &v) == 0)
		ipc_send(WORKER_FD, MOVER_EVENT_DIAL, IPC_FLAG_EVENT, 0, body, w.len, -EBADF);
}

/* -- connections -- */

static struct slot *slot_free(struct console *c)
{
	struct slot *oldest = NULL;

	for (size_t i = 0; i < SLOTS_MAX; i++) {
		struct slot *s = &c->slots[i];

		if (!s->relay && s->local < 0)
			return s;
		/* Strangers that try must not keep others out (H19, H26). */
		if (c->show && s->seen == RELAY_HANDSHAKE &&
		    (!oldest || s->since_ms < oldest->since_ms))
			oldest = s;
	}
	if (oldest)
		oldest->relay = relay_free(oldest->relay);
	return oldest;
}

static void slot_clear(struct slot *s)
{
	s->relay = relay_free(s->relay);
	closep(&s->local);
	*s = (struct slot){.local = -EBADF};
}

static struct slot *slot_find(struct console *c, uint16_t channel)
{
	for (size_t i = 0; i < SLOTS_MAX; i++)
		if ((c->slots[i].relay || c->slots[i].local >= 0) && c->slots[i].channel == channel)
			return &c->slots[i];
	return NULL;
}

static size_t slots_used(const struct console *c)
{
	size_t n = 0;

	for (size_t i = 0; i < SLOTS_MAX; i++)
		n += c->slots[i].relay || c->slots[i].local >= 0;
	return n;
}

static int slot_relay(struct console *c, struct slot *s, uint16_t channel, int fd)
{
	uint8_t key[TLS_KEY_LEN];
	int r = tls_channel_key(c->grant.key, channel, key);

	if (r < 0) {
		close(fd);
		return r;
	}
	r = relay_new(!c->show, c->hid, channel, key, fd, NULL, 0, c->wake_fd, &s->relay);
	explicit_bzero(key, sizeof(key));
	s->channel = channel;
	s->seen = RELAY_HANDSHAKE;
	s->since_ms = worker_now_ms();
	return r;
}

/* The VM's end of a connection, in a socket of which `fd` is the other end. */
static int open_vm(struct console *c, int fd, struct kerr *err)
{
	_cleanup_close_ int own = fd;
	int r;

	alarm(LIBVIRT_S);
	if (c->display == MOVER_DISPLAY_SERIAL)
		r = virt_serial(c->virt, c->grant.wish.uuid, c->serial, c->grant.wish.force,
				TAKE_FD(own), c->wake_fd, err);
	else
		r = virt_graphics(c->virt, c->grant.wish.uuid, own, err);
	alarm(0);
	return r;
}

/* There is one serial console: a second connection to it would be another console. */
static int take_serial(struct console *c, struct kerr *err)
{
	if (c->display != MOVER_DISPLAY_SERIAL)
		return 0;
	if (c->serial_taken)
		return kerr_set(err, EBUSY, KCODE_BUSY, "This console is connected already.");
	c->serial_taken = true;
	return 0;
}

/* Holder: the viewer is at the other end of this relay. */
static void serve(struct console *c, struct slot *s)
{
	struct kerr err = {0};
	int pair[2], r = take_serial(c, &err);

	if (r == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		r = kerr_set(&err, errno, KCODE_FAILED, "There is no socket left.");
	if (r < 0) {
		slot_clear(s);
		return;
	}
	r = open_vm(c, pair[1], &err);
	if (r == 0)
		r = relay_attach(s->relay, pair[0]);
	if (r == 0)
		return;
	close(pair[0]);
	slot_clear(s);
	log_notice("console", "%s", err.text);
	if (c->display == MOVER_DISPLAY_SERIAL)
		over(c, &err);
}

/* Why, the other side says on the control channel; but not for ever. */
static void on_serial_gone(struct console *c)
{
	if (c->serial_taken && !c->show)
		c->serial_gone_ms = worker_now_ms();
}

static void on_relay(struct console *c, struct slot *s, enum relay_state state)
{
	s->seen = state;
	if (state == RELAY_WANTED)
		serve(c, s);
	else if (state == RELAY_ENDED || state == RELAY_FAILED) {
		slot_clear(s);
		on_serial_gone(c);
	}
}

static void on_wake(struct console *c)
{
	uint64_t count;

	(void)!read(c->wake_fd, &count, sizeof(count));
	for (size_t i = 0; i < SLOTS_MAX; i++) {
		struct relay_status status;

		if (!c->slots[i].relay)
			continue;
		relay_get(c->slots[i].relay, &status);
		if (status.state != c->slots[i].seen)
			on_relay(c, &c->slots[i], status.state);
	}
	c->look_ms = 0; /* why a serial console ended is looked up at once */
}

/* -- the control channel -- */

static int control_new(struct console *c, int fd, struct frames **ret)
{
	_cleanup_(tls_freep) struct tls *tls = NULL;
	uint8_t key[TLS_KEY_LEN];
	int r = tls_channel_key(c->grant.key, DATA_CHANNEL_CONTROL, key);

	if (r == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	if (r == 0)
		r = tls_new(!c->show, c->hid, DATA_CHANNEL_CONTROL, key, fd, &tls);
	explicit_bzero(key, sizeof(key));
	if (r < 0) {
		close(fd);
		return r;
	}
	r = frames_new(tls, ret);
	if (r == 0)
		TAKE_PTR(tls);
	return r;
}

static int candidate_add(struct console *c, int fd)
{
	size_t at = 0;

	if (c->control) {
		close(fd);
		return -EBUSY;
	}
	for (size_t i = 0; i < CANDIDATES_MAX; i++) {
		if (!c->candidates[i]) {
			at = i;
			break;
		}
		if (c->candidate_since[i] < c->candidate_since[at])
			at = i;
	}
	c->candidates[at] = frames_free(c->candidates[at]);
	c->candidate_since[at] = worker_now_ms();
	return control_new(c, fd, &c->candidates[at]);
}

static void say(struct console *c, enum frame_type type, const struct wbuf *w)
{
	if (c->control && frames_send(c->control, type, w ? w->data : NULL, w ? w->len : 0) < 0)
		OVER(c, ECONNRESET, KCODE_INTERRUPTED, "\"%s\" does not take what is said to it.",
		     c->grant.peer_name);
}

/* Holder: the peer proved the key. */
static void introduce(struct console *c)
{
	const struct mover_console v = {.display = c->display};
	uint8_t body[8];
	struct wbuf w = wbuf_init(body, sizeof(body));

	record_put(&w, &mover_console_record, &v);
	say(c, FRAME_CONSOLE, &w);
}

/* Viewer: what the holder says of itself. */
static void on_introduced(struct console *c, const struct frame *f)
{
	struct rbuf r = rbuf_init(f->body, f->len);
	struct mover_console v;

	if (c->answered || record_get(&r, &mover_console_record, &v) < 0 || rbuf_end(&r) < 0 ||
	    (v.display == MOVER_DISPLAY_SERIAL) != (c->grant.wish.kind == CONSOLE_SERIAL)) {
		OVER(c, EBADMSG, KCODE_BAD_MESSAGE,
		     "\"%s\" says of the console what makes no sense.", c->grant.peer_name);
		return;
	}
	c->display = v.display;
	answer(c);
}

static void on_peer_end(struct console *c, const struct frame *f)
{
	struct rbuf r = rbuf_init(f->body, f->len);
	struct kerr said;

	if (kerr_get(&r, &said) < 0 || rbuf_end(&r) < 0 || said.code == KCODE_OK)
		OVER(c, EBADMSG, KCODE_BAD_MESSAGE,
		     "\"%s\" ended the console for no readable reason.", c->grant.peer_name);
	else
		OVER(c, EREMOTEIO, said.code, "\"%s\" says: %.400s", c->grant.peer_name, said.text);
}

static void on_frame(struct console *c, const struct frame *f)
{
	if (f->type == FRAME_BEAT)
		return;
	if (!c->show && f->type == FRAME_CONSOLE)
		on_introduced(c, f);
	else if (!c->show && f->type == FRAME_ERROR)
		on_peer_end(c, f);
	else
		OVER(c, EBADMSG, KCODE_BAD_MESSAGE,
		     "\"%s\" says what does not belong to a console.", c->grant.peer_name);
}

static void on_control(struct console *c)
{
	struct frame f;
	int r = 0;

	/* Few, and small: more than these at once is no console. */
	for (int i = 0; i < 64 && !is_over(c); i++) {
		r = frames_next(c->control, &f);
		if (r <= 0)
			break;
		on_frame(c, &f);
	}
	if (r < 0)
		OVER(c, ECONNRESET, KCODE_INTERRUPTED, "The connection to \"%s\" broke.",
		     c->grant.peer_name);
}

static void on_candidate(struct console *c, size_t i)
{
	struct frame f;
	int r = frames_next(c->candidates[i], &f);

	if (r < 0) {
		c->candidates[i] = frames_free(c->candidates[i]);
		if (!c->show)
			OVER(c, ECONNRESET, KCODE_INTERRUPTED,
			     "The data connection to \"%s\" could not be set up: %s.",
			     c->grant.peer_name,
			     r == -EACCES ? "what answers there does not know this console"
					  : strerror(-r));
		return;
	}
	if (!frames_ready(c->candidates[i]))
		return;
	c->control = TAKE_PTR(c->candidates[i]);
	c->heard_ms = worker_now_ms();
	log_info("console", "The control channel stands.");
	if (c->show)
		introduce(c);
	if (r > 0)
		on_frame(c, &f);
}

/* -- requests -- */

/* The preface is still unread at the holder: it must name this console and this channel. */
static int eat_preface(const struct console *c, int fd, uint16_t channel)
{
	uint8_t preface[DATA_PREFACE_LEN];
	struct rbuf r = rbuf_init(preface, sizeof(preface));
	struct data_preface said;

	if (!c->show)
		return 0;
	if (recv(fd, preface, sizeof(preface), MSG_DONTWAIT) != (ssize_t)sizeof(preface) ||
	    data_preface_get(&r, &said) < 0 || said.channel != channel ||
	    memcmp(said.hid, c->hid, HID_LEN) != 0)
		return -EBADMSG;
	return 0;
}

static int channel_open(struct console *c, uint16_t channel, int fd)
{
	struct slot *s;
	int r, one = 1;

	/* A key that was typed waits for nobody. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (channel == DATA_CHANNEL_CONTROL)
		return candidate_add(c, fd);
	/* Nothing before the control channel: whoever has that one proved the key. */
	s = c->show ? (c->control ? slot_free(c) : NULL) : slot_find(c, channel);
	if (!s || s->relay) {
		close(fd);
		return -EBUSY;
	}
	r = slot_relay(c, s, channel, fd);
	if (r < 0 || c->show)
		return r;
	return relay_attach(s->relay, TAKE_FD(s->local));
}

static void on_conn(struct console *c, struct ipc_msg *m)
{
	struct rbuf r = rbuf_init(m->body, m->len);
	struct kerr err = {0};
	struct mover_conn v;

	if (record_get(&r, &mover_conn_record, &v) < 0 || rbuf_end(&r) < 0 || m->fd < 0 ||
	    !is_remote(c) || eat_preface(c, m->fd, v.channel) < 0)
		kerr_set(&err, EBADMSG, KCODE_BAD_MESSAGE,
			 "This is not a data connection of this console.");
	else if (channel_open(c, v.channel, TAKE_FD(m->fd)) < 0)
		kerr_set(&err, EBUSY, KCODE_BUSY, "This channel is taken already.");
	worker_answer(m->op, m->serial, err.code == KCODE_OK ? NULL : &err);
}

/* Viewer: a connection to the holder is asked for; it comes by MOVER_OP_CONN. */
static int attach_remote(struct console *c, int fd, struct kerr *err)
{
	_cleanup_close_ int own = fd;
	struct slot *s = slots_used(c) < CHANNELS_MAX ? slot_free(c) : NULL;
	uint16_t channel = DATA_CHANNEL_CONTROL + 1;

	if (!s)
		return kerr_set(err, EBUSY, KCODE_BUSY, "This console has too many connections.");
	while (slot_find(c, channel))
		channel++;
	*s = (struct slot){.local = TAKE_FD(own), .channel = channel};
	s->since_ms = worker_now_ms();
	dial(c, channel);
	return 0;
}

static void on_attach(struct console *c, struct ipc_msg *m)
{
	struct kerr err = {0};

	if (m->fd < 0 || c->show || !c->answered)
		kerr_set(&err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.");
	else if (take_serial(c, &err) == 0 && is_remote(c))
		attach_remote(c, TAKE_FD(m->fd), &err);
	else if (err.code == KCODE_OK)
		open_vm(c, TAKE_FD(m->fd), &err);
	worker_answer(m->op, m->serial, err.code == KCODE_OK ? NULL : &err);
}

/* The peer's kithd, or ours, says that nothing will come; while there is no channel of our own. */
static void on_gone(struct console *c, const struct ipc_msg *m)
{
	struct rbuf r = rbuf_init(m->body, m->len);
	struct mover_gone v;

	if (record_get(&r, &mover_gone_record, &v) == 0 && rbuf_end(&r) == 0 && !c->control)
		over(c, &v.why);
	worker_answer(m->op, m->serial, NULL);
}

static void on_super(struct console *c)
{
	static uint8_t buf[IPC_MAX_FRAME];
	struct ipc_msg m = {.fd = -EBADF};
	int r = ipc_recv(WORKER_FD, buf, &m);

	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		c->super_lost = true;
		OVER(c, ECONNRESET, KCODE_INTERRUPTED, "kith-mover on this device went away.");
		return;
	}
	if (m.op == MOVER_OP_CONN)
		on_conn(c, &m);
	else if (m.op == MOVER_OP_ATTACH)
		on_attach(c, &m);
	else if (m.op == MOVER_OP_GONE)
		on_gone(c, &m);
	ipc_msg_release(&m);
}

/* -- time -- */

static void end_where_it_is(struct console *c)
{
	struct virt_copy copy;

	alarm(LIBVIRT_S);
	virt_copy_get(c->virt, c->grant.wish.uuid, &copy);
	alarm(0);
	if (copy.state == COPY_GONE)
		OVER(c, ENOENT, KCODE_NOT_RUNNING, "\"%s\" does not run on this device any more.",
		     c->grant.vm);
	else if (c->serial_taken && virt_serial_over() && ++c->looks_after >= 3)
		OVER(c, EBUSY, KCODE_BUSY,
		     "The serial console of \"%s\" was closed here, or somebody else took it over.",
		     c->grant.vm);
}

static void ask_policyd(struct console *c)
{
	struct kerr err = {0};

	if (policyd_client_console_check(c->policyd, c->hid, &err) < 0)
		over(c, &err);
}

static void listen_for_life(struct console *c, uint64_t now)
{
	uint64_t bytes = frames_received(c->control);

	if (bytes != c->heard_bytes)
		c->heard_ms = now;
	c->heard_bytes = bytes;
	if (now - c->heard_ms > SILENCE_MS)
		OVER(c, ETIMEDOUT, KCODE_INTERRUPTED, "\"%s\" does not answer any more.",
		     c->grant.peer_name);
	if (now - c->beat_ms >= BEAT_MS) {
		c->beat_ms = now;
		say(c, FRAME_BEAT, NULL);
	}
}

static void drop_late(struct console *c, uint64_t now)
{
	for (size_t i = 0; i < SLOTS_MAX; i++)
		if (c->slots[i].local >= 0 && now - c->slots[i].since_ms > DIAL_MS) {
			slot_clear(&c->slots[i]);
			on_serial_gone(c);
		}
	if (c->serial_gone_ms && now - c->serial_gone_ms > GONE_MS)
		OVER(c, ECONNRESET, KCODE_INTERRUPTED, "The connection to \"%s\" broke.",
		     c->grant.peer_name);
	if (!c->control && is_remote(c) && now - c->begin_ms > CONNECT_MS)
		OVER(c, ETIMEDOUT, KCODE_UNREACHABLE,
		     "No data connection to \"%s\" was made in time.", c->grant.peer_name);
}

static void on_tick(struct console *c, uint64_t now)
{
	drop_late(c, now);
	if (c->control)
		listen_for_life(c, now);
	if (c->grant.side != CONSOLE_SIDE_VIEWER && now - c->look_ms >= LOOK_MS) {
		end_where_it_is(c);
		c->look_ms = now;
	}
	if (now - c->check_ms >= CHECK_MS) {
		c->check_ms = now;
		ask_policyd(c);
	}
}

/* -- life -- */

/* Both the peer and kith are told why. */
static _Noreturn void console_finish(struct console *c)
{
	uint8_t body[KERR_TEXT_MAX + 8];
	struct wbuf w = wbuf_init(body, sizeof(body));

	answer(c);
	kerr_put(&w, &c->end);
	if (c->show)
		say(c, FRAME_ERROR, &w);
	if (c->life >= 0)
		ipc_send(c->life, MOVER_EVENT_CONSOLE_END, IPC_FLAG_EVENT, 0, w.data, w.len,
			 -EBADF);
	if (c->control)
		frames_bye(c->control, BYE_MS);
	_exit(0);
}

/* What the VM said last is still on its way. */
static bool may_finish(struct console *c, uint64_t now)
{
	if (!is_over(c))
		return false;
	if (!c->leave_ms)
		c->leave_ms = now + DRAIN_MS;
	return now >= c->leave_ms || slots_used(c) == 0;
}

enum {
	WATCH_SUPER,
	WATCH_LIFE,
	WATCH_WAKE,
	WATCH_POLICYD,
	WATCH_CONTROL,
	WATCH_CANDIDATES,
	WATCH_COUNT = WATCH_CANDIDATES + CANDIDATES_MAX,
};

static void watch_all(const struct console *c, struct pollfd p[WATCH_COUNT])
{
	for (size_t i = 0; i < WATCH_COUNT; i++)
		p[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	p[WATCH_SUPER].fd = c->super_lost ? -1 : WORKER_FD;
	p[WATCH_LIFE].fd = is_over(c) ? -1 : c->life;
	p[WATCH_WAKE].fd = c->wake_fd;
	p[WATCH_POLICYD].fd = is_over(c) ? -1 : ipc_client_fd(c->policyd);
	if (c->control && !is_over(c)) {
		p[WATCH_CONTROL].fd = frames_fd(c->control);
		p[WATCH_CONTROL].events = frames_events(c->control);
	}
	for (size_t i = 0; i < CANDIDATES_MAX; i++)
		if (c->candidates[i]) {
			p[WATCH_CANDIDATES + i].fd = frames_fd(c->candidates[i]);
			p[WATCH_CANDIDATES + i].events = frames_events(c->candidates[i]);
		}
}

static void on_ready(struct console *c, const struct pollfd p[WATCH_COUNT])
{
	if (p[WATCH_LIFE].revents)
		OVER(c, EPIPE, KCODE_CANCELLED, "The console was closed.");
	if (p[WATCH_POLICYD].revents)
		OVER(c, ECONNRESET, KCODE_INTERRUPTED, "kith-policyd on this device went away.");
	if (p[WATCH_WAKE].revents)
		on_wake(c);
	if (p[WATCH_CONTROL].revents && c->control)
		on_control(c);
	for (size_t i = 0; i < CANDIDATES_MAX; i++)
		if (p[WATCH_CANDIDATES + i].revents && c->candidates[i] && !c->control)
			on_candidate(c, i);
	if (p[WATCH_SUPER].revents)
		on_super(c);
}

static _Noreturn void console_loop(struct console *c)
{
	for (;;) {
		struct pollfd p[WATCH_COUNT];
		uint64_t now = worker_now_ms();

		if (may_finish(c, now))
			console_finish(c);
		watch_all(c, p);
		if (poll(p, WATCH_COUNT, TICK_MS) < 0 && errno != EINTR)
			_exit(1);
		on_ready(c, p);
		if (!is_over(c))
			on_tick(c, worker_now_ms());
	}
}

/* -- start -- */

static int take_grant(struct console *c, struct kerr *err)
{
	char path[160];
	int r = config_run_path(&c->config, POLICYD_SOCKET, path, sizeof(path));

	if (r == 0)
		r = ipc_client_new(path, &c->policyd);
	if (r < 0)
		return kerr_set(err, -r, KCODE_INTERRUPTED, "kith-policyd cannot be reached.");
	r = policyd_client_console_take(c->policyd, c->hid, &c->grant, err);
	if (r == 0 && c->show != (c->grant.side == CONSOLE_SIDE_HOLDER))
		r = kerr_set(err, EACCES, KCODE_NOT_ALLOWED,
			     "This console is to be seen on another device.");
	return r;
}

static int no_display(const struct console *c, const struct display *d, struct kerr *err)
{
	if (d->graphics == DISPLAY_NONE)
		return kerr_set(err, ENODEV, KCODE_DOMAIN, "\"%s\" has no display (<graphics>).%s",
				c->grant.vm,
				d->serial[0] ? " It has a serial console: `kith console --serial`."
					     : "");
	return kerr_set(err, ENODEV, KCODE_DOMAIN,
			"The display of \"%s\" is neither VNC nor SPICE, so libvirt hands no "
			"connection to it out.",
			c->grant.vm);
}

/* Where the VM is: what can be seen of it. */
static int look(struct console *c, struct kerr *err)
{
	struct display d;
	int r;

	c->virt = virt_new();
	if (!c->virt || virt_setup() < 0)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "The console could not start.");
	alarm(LIBVIRT_S);
	r = virt_display(c->virt, c->grant.wish.uuid, &d, err);
	alarm(0);
	if (r < 0)
		return r;
	if (c->grant.wish.kind == CONSOLE_SERIAL) {
		c->display = MOVER_DISPLAY_SERIAL;
		memcpy(c->serial, d.serial, sizeof(c->serial));
		return d.serial[0] ? 0
				   : kerr_set(err, ENODEV, KCODE_DOMAIN,
					      "\"%s\" has no serial port that is a terminal (type "
					      "pty).",
					      c->grant.vm);
	}
	if (d.graphics != DISPLAY_VNC && d.graphics != DISPLAY_SPICE)
		return no_display(c, &d, err);
	c->display = d.graphics == DISPLAY_VNC ? MOVER_DISPLAY_VNC : MOVER_DISPLAY_SPICE;
	return 0;
}

/* The request itself, with the descriptor that lives as long as whoever asks. */
static int read_request(struct console *c, struct kerr *err)
{
	static uint8_t buf[IPC_MAX_FRAME];
	struct ipc_msg m = {.fd = -EBADF};

	if (ipc_recv(WORKER_FD, buf, &m) != 1)
		return -ECONNRESET;
	c->op = m.op;
	c->request = m.serial;
	c->life = TAKE_FD(m.fd);
	return c->life < 0 ? kerr_set(err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.")
			   : 0;
}

static int console_setup(struct console *c, const char *hid_hex, struct kerr *err)
{
	int r = c->show ? 0 : read_request(c, err);

	if (r < 0)
		return r;
	if (hex_decode(hid_hex, c->hid, HID_LEN) < 0)
		return kerr_set(err, EINVAL, KCODE_USAGE, "The console's number is malformed.");
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake_fd < 0 || secret_process_setup() < 0)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "The console could not start.");
	r = take_grant(c, err);
	return r < 0 || c->grant.side == CONSOLE_SIDE_VIEWER ? r : look(c, err);
}

static void console_limits(void)
{
	struct rlimit files = {FILES_MAX, FILES_MAX}, none = {0, 0};

	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_CORE, &none);
	worker_ignore(SIGPIPE);
	worker_ignore(SIGINT);
}

_Noreturn void console_main(const struct config *config, const char *mode, const char *hid_hex)
{
	bool show = strcmp(mode, CONSOLE_MODE_SHOW) == 0;
	static struct console c; /* as long-lived as the process */
	struct kerr err = {0};
	int r;

	log_setup(show ? "kith-mover show" : "kith-mover console");
	console_limits();
	c.config = *config;
	c.show = show;
	c.op = MOVER_OP_SHOW;
	c.request = 1;
	c.life = c.wake_fd = -EBADF;
	for (size_t i = 0; i < SLOTS_MAX; i++)
		c.slots[i].local = -EBADF;
	r = console_setup(&c, hid_hex, &err);
	if (r < 0) {
		kerr_set(&err, -r, KCODE_FAILED, "The console could not start.");
		over(&c, &err);
		console_finish(&c);
	}
	c.begin_ms = c.check_ms = c.look_ms = worker_now_ms();
	if (c.grant.side == CONSOLE_SIDE_VIEWER)
		dial(&c, DATA_CHANNEL_CONTROL);
	else
		answer(&c);
	console_loop(&c);
}
