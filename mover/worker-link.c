/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's network side: control channel and relays. */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "mover/worker.h"

#define HANDSHAKE_MS 10000
#define REDIAL_MS 300
#define DEAD_MS 6500
#define BEAT_MS 1000
#define SILENCE_MS 10000  /* of a device that lives: its program hangs */
#define FRAMES_AT_ONCE 64 /* other descriptors want their turn */

void worker_link_drop(struct worker *w)
{
	if (!w->links.control)
		return;
	w->links.control = frames_free(w->links.control);
	w->links.more_frames = false;
	if (w->failure.code == KCODE_OK && w->side->can_stop(w))
		kerr_set(&w->failure, ECONNRESET, KCODE_INTERRUPTED,
			 "The connection to \"%s\" broke.", w->grant.peer_name);
	side_post(w, TRANSFER_EVENT_LINK_LOST);
}

/* The peer gives up: its reason becomes ours, marked as the other side's words. */
static void on_peer_error(struct worker *w, const struct frame *f)
{
	struct rbuf r = rbuf_init(f->body, f->len);
	struct kerr said = {0}, err = {0};

	if (kerr_get(&r, &said) < 0 || rbuf_end(&r) < 0 || said.code == KCODE_OK) {
		side_stop(w, EBADMSG, KCODE_BAD_MESSAGE,
			  "The other device gave up for an unreadable reason.");
		return;
	}
	kerr_set(&err, EREMOTEIO, said.code, "\"%s\" stopped the hand-off: %.380s",
		 w->grant.peer_name, said.text);
	/* Data connections may break before the reason arrives; the reason is what people need. */
	if (w->failure.code == KCODE_INTERRUPTED)
		w->failure = err;
	side_stop_err(w, &err);
}

static void on_frame(struct worker *w, const struct frame *f)
{
	if (f->type == FRAME_BEAT)
		return;
	if (f->type == FRAME_ERROR)
		on_peer_error(w, f);
	else
		w->side->frame(w, f);
}

static void on_control(struct worker *w, int fd _unused_, short revents _unused_)
{
	struct frame f;
	int r = 1;

	/* However many the peer sends at once, there stays room for what our own side posts. */
	for (int i = 0; i < FRAMES_AT_ONCE && w->links.control && side_has_room(w); i++) {
		r = frames_next(w->links.control, &f);
		if (r <= 0)
			break;
		on_frame(w, &f);
	}
	/* What was read into memory already rings no descriptor again. */
	w->links.more_frames = r > 0 && w->links.control;
	if (r < 0 && w->links.control) {
		log_notice("link", "The control channel broke: %s.", strerror(-r));
		worker_link_drop(w);
	}
}

/* A connection of ours that failed before both ends proved the key says nothing about the peer: its
 * door may have been full of strangers. False: it was tried often enough. */
static bool dial_again(struct worker *w, uint16_t channel)
{
	if (!w->source || w->links.redial_count == WORKER_REDIALS_MAX || !w->side->can_stop(w))
		return false;
	w->links.redials[w->links.redial_count].channel = channel;
	w->links.redials[w->links.redial_count++].at_ms = worker_now_ms() + REDIAL_MS;
	return true;
}

/* The beats of a second keep it busy, so that a peer without power shows as soon as this; a slow
 * one does not: the time counts from the first repetition, which waits for the link's own pace. */
static void watch_peer(int fd)
{
	int dead = DEAD_MS;

	if (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead, sizeof(dead)) < 0)
		log_debug("worker", "A dead peer will be noticed late: %s.", strerror(errno));
}

/* A free place, or that of the one that has tried longest. */
static size_t candidate_slot(struct worker *w)
{
	size_t oldest = 0;

	for (size_t i = 0; i < WORKER_CANDIDATES_MAX; i++) {
		if (!w->links.candidates[i])
			return i;
		if (w->links.candidate_since[i] < w->links.candidate_since[oldest])
			oldest = i;
	}
	w->links.candidates[oldest] = frames_free(w->links.candidates[oldest]);
	return oldest;
}

int worker_candidate_add(struct worker *w, int fd)
{
	_cleanup_(tls_freep) struct tls *tls = NULL;
	uint8_t key[TLS_KEY_LEN];
	size_t slot;
	int one = 1, r;

	/* The decision waits for these frames: 40 ms of Nagle would be downtime. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	watch_peer(fd);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		close(fd);
		return -errno;
	}
	r = tls_channel_key(w->grant.key, DATA_CHANNEL_CONTROL, key);
	if (r == 0)
		r = tls_new(w->source, w->place.hid, DATA_CHANNEL_CONTROL, key, fd, &tls);
	explicit_bzero(key, sizeof(key));
	if (r < 0) {
		close(fd);
		return r;
	}
	slot = candidate_slot(w);
	r = frames_new(tls, &w->links.candidates[slot]);
	if (r < 0)
		return r;
	TAKE_PTR(tls);
	w->links.candidate_since[slot] = worker_now_ms();
	return 0;
}

/* The first candidate that proves the key becomes the channel; where there is one already, the
 * new one replaces it only if the old one is dead or the source dialled again. */
static void adopt(struct worker *w, size_t i)
{
	if (w->links.control)
		w->links.control = frames_free(w->links.control);
	w->links.control = TAKE_PTR(w->links.candidates[i]);
	w->links.heard_ms = worker_now_ms();
	w->links.heard_bytes = 0;
	log_info("link", "The control channel stands.");
	side_post(w, TRANSFER_EVENT_LINK_UP);
}

static void on_candidate(struct worker *w, int fd, short revents _unused_)
{
	for (size_t i = 0; i < WORKER_CANDIDATES_MAX; i++) {
		struct frame f;
		int r;

		if (!w->links.candidates[i] || frames_fd(w->links.candidates[i]) != fd)
			continue;
		r = frames_next(w->links.candidates[i], &f);
		if (r < 0) {
			log_debug("link", "A control connection failed: %s.", strerror(-r));
			w->links.candidates[i] = frames_free(w->links.candidates[i]);
			if (w->source && !w->links.control && !dial_again(w, DATA_CHANNEL_CONTROL))
				side_stop(w, ECONNRESET, KCODE_INTERRUPTED,
					  "The data connection to \"%s\" could not be set up: %s.",
					  w->grant.peer_name,
					  r == -EACCES ? "what answers there does not know this "
							 "hand-off"
						       : strerror(-r));
			return;
		}
		if (!frames_ready(w->links.candidates[i]))
			return;
		adopt(w, i);
		if (r == 1)
			on_frame(w, &f);
		on_control(w, fd, 0);
		return;
	}
}

/* -- relays -- */

static bool channel_taken(const struct worker *w, uint16_t channel)
{
	for (size_t i = 0; i < WORKER_RELAYS_MAX; i++) {
		struct relay_status s;

		if (!w->links.relays[i].relay || w->links.relays[i].channel != channel)
			continue;
		relay_get(w->links.relays[i].relay, &s);
		if (s.state == RELAY_IDLE || s.state == RELAY_OPEN || s.state == RELAY_ENDED)
			return true;
	}
	return false;
}

static bool is_trying(const struct worker_relay *r)
{
	struct relay_status s;

	relay_get(r->relay, &s);
	return s.state == RELAY_HANDSHAKE;
}

/* A free place, or that of the one that has tried longest; WORKER_RELAYS_MAX = all proved the key.
 */
static size_t relay_slot(struct worker *w)
{
	size_t oldest = WORKER_RELAYS_MAX;

	for (size_t i = 0; i < WORKER_RELAYS_MAX; i++) {
		struct worker_relay *r = &w->links.relays[i];

		if (r->relay && r->seen == RELAY_FAILED)
			r->relay = relay_free(r->relay);
		if (!r->relay)
			return i;
		if (is_trying(r) &&
		    (oldest == WORKER_RELAYS_MAX || r->since_ms < w->links.relays[oldest].since_ms))
			oldest = i;
	}
	if (oldest < WORKER_RELAYS_MAX)
		w->links.relays[oldest].relay = relay_free(w->links.relays[oldest].relay);
	return oldest;
}

/* Half-open connections of a stranger must not block the channel (H19): several may try, the
 * first that proves the key has it. */
int worker_relay_add(struct worker *w, uint16_t channel, int fd, const char *local_path)
{
	uint8_t key[TLS_KEY_LEN];
	size_t slot = channel_taken(w, channel) ? WORKER_RELAYS_MAX : relay_slot(w);
	int r;

	if (slot == WORKER_RELAYS_MAX) {
		close(fd);
		return -EBUSY;
	}
	r = tls_channel_key(w->grant.key, channel, key);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = relay_new(w->source, w->place.hid, channel, key, fd, local_path, w->place.qemu_uid,
		      w->links.wake_fd, &w->links.relays[slot].relay);
	explicit_bzero(key, sizeof(key));
	w->links.relays[slot].channel = channel;
	w->links.relays[slot].seen = RELAY_HANDSHAKE;
	w->links.relays[slot].since_ms = worker_now_ms();
	return r;
}

void worker_relays_drop(struct worker *w)
{
	for (size_t i = 0; i < WORKER_RELAYS_MAX; i++)
		w->links.relays[i].relay = relay_free(w->links.relays[i].relay);
}

/* -- kinds of channels -- */

static int open_control(struct worker *w, uint16_t channel _unused_, int fd,
			const char *local _unused_)
{
	return worker_candidate_add(w, fd);
}

static const struct {
	uint16_t first;		     /* its numbers end where the next kind's begin */
	enum workplace_socket local; /* of a relay: where the destination's end connects to */
	int (*open)(struct worker *w, uint16_t channel, int fd, const char *local);
} kinds[_CHANNEL_KIND_MAX] = {
	[CHANNEL_CONTROL] = {DATA_CHANNEL_CONTROL, WORKPLACE_RPC, open_control},
	[CHANNEL_RAM] = {DATA_CHANNEL_RAM, WORKPLACE_RAM, worker_relay_add},
	[CHANNEL_DISK] = {DATA_CHANNEL_DISK, WORKPLACE_NBD, worker_relay_add},
};

static enum channel_kind kind_of(uint16_t channel)
{
	size_t k = _CHANNEL_KIND_MAX - 1;

	while (channel < kinds[k].first)
		k--;
	return (enum channel_kind)k;
}

int worker_channel_open(struct worker *w, uint16_t channel, int fd)
{
	enum channel_kind k = kind_of(channel);

	return kinds[k].open(w, channel, fd, w->source ? NULL : w->place.sockets[kinds[k].local]);
}

uint64_t worker_bytes(struct worker *w, enum channel_kind kind)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < WORKER_RELAYS_MAX; i++) {
		struct relay_status s;

		if (!w->links.relays[i].relay || kind_of(w->links.relays[i].channel) != kind)
			continue;
		relay_get(w->links.relays[i].relay, &s);
		sum += w->source ? s.sent : s.received;
	}
	return sum;
}

/* True if a relay's failure is nothing that its side has to hear of. */
static bool means_nothing(struct worker *w, const struct worker_relay *r,
			  const struct relay_status *s)
{
	if (s->state != RELAY_FAILED || s->error == -ECANCELED || r->seen != RELAY_HANDSHAKE)
		return false;
	return !w->source || (w->links.control && dial_again(w, r->channel));
}

static void on_wake(struct worker *w, int fd, short revents _unused_)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
	for (size_t i = 0; i < WORKER_RELAYS_MAX; i++) {
		struct relay_status s;
		bool nothing;

		if (!w->links.relays[i].relay)
			continue;
		relay_get(w->links.relays[i].relay, &s);
		if (s.state == w->links.relays[i].seen)
			continue;
		log_debug("link", "Channel %u: %s.", w->links.relays[i].channel,
			  relay_state_to_string(s.state));
		nothing = means_nothing(w, &w->links.relays[i], &s);
		w->links.relays[i].seen = s.state;
		if (!nothing)
			w->side->relay(w, i, &s);
	}
}

void worker_links_watch(struct worker *w)
{
	worker_watch(w, w->links.wake_fd, POLLIN, on_wake);
	if (w->links.control)
		worker_watch(w, frames_fd(w->links.control), frames_events(w->links.control),
			     on_control);
	for (size_t i = 0; i < WORKER_CANDIDATES_MAX; i++)
		if (w->links.candidates[i])
			worker_watch(w, frames_fd(w->links.candidates[i]),
				     frames_events(w->links.candidates[i]), on_candidate);
}

/* Its guest's data counts too: on a slow link the beats wait behind them. */
static void listen_for_life(struct worker *w, uint64_t now)
{
	uint64_t bytes = frames_received(w->links.control);

	for (size_t i = 0; i < WORKER_RELAYS_MAX; i++) {
		struct relay_status s;

		if (!w->links.relays[i].relay)
			continue;
		relay_get(w->links.relays[i].relay, &s);
		bytes += s.received;
	}
	if (bytes != w->links.heard_bytes)
		w->links.heard_ms = now;
	w->links.heard_bytes = bytes;
}

static void redial(struct worker *w, uint64_t now)
{
	for (size_t i = 0; i < w->links.redial_count; i++) {
		if (!w->links.redials[i].at_ms || now < w->links.redials[i].at_ms)
			continue;
		w->links.redials[i].at_ms = 0;
		worker_dial(w, w->links.redials[i].channel);
	}
}

void worker_links_tick(struct worker *w, uint64_t now)
{
	for (size_t i = 0; i < WORKER_CANDIDATES_MAX; i++) {
		if (!w->links.candidates[i] || now - w->links.candidate_since[i] <= HANDSHAKE_MS)
			continue;
		w->links.candidates[i] = frames_free(w->links.candidates[i]);
		if (!w->links.control)
			dial_again(w, DATA_CHANNEL_CONTROL);
	}
	redial(w, now);
	if (w->links.more_frames)
		on_control(w, -1, 0);
	if (!w->links.control)
		return;
	listen_for_life(w, now);
	if (now - w->links.beat_ms >= BEAT_MS) {
		worker_send(w, FRAME_BEAT, NULL, 0);
		w->links.beat_ms = now;
	}
	if (now - w->links.heard_ms > SILENCE_MS) {
		log_notice("link", "The other device is silent for %d s.", SILENCE_MS / 1000);
		worker_link_drop(w);
	}
}
