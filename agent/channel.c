/* SPDX-License-Identifier: Apache-2.0 */
/* Dialling for our mover, and opening to the peer's. */
#include "agent/channel.h"

#include <string.h>
#include <sys/socket.h>

#include "agent/dial.h"
#include "agent/race.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#define DIALS_MAX 128

/* The address where the conversation proved the device to be, before any other is tried: whoever
 * is at another one need only answer faster. */
#define PROVEN_HEAD_MS 2000

/* Data connections of a hand-off from other addresses than the peer's: a device may have several,
 * and so have those who only know the number. */
#define STRANGERS_BURST 8
#define STRANGERS_EVERY_MS 250

struct channel {
	struct courier *courier;
	struct jobs *jobs;
	struct viewings *viewings;
	const struct whereabouts *whereabouts;
	GList *dials;
};

struct channel_dial {
	struct channel *c;
	struct dial *dial;
	uint8_t hid[HID_LEN];
	uint16_t number;
};

struct channel *channel_new(struct courier *courier, struct jobs *jobs, struct viewings *viewings,
			    const struct whereabouts *whereabouts)
{
	struct channel *c = g_new0(struct channel, 1);

	c->courier = courier;
	c->jobs = jobs;
	c->viewings = viewings;
	c->whereabouts = whereabouts;
	return c;
}

/* The descriptor stays the caller's. */
static void pass_on(struct channel *c, int fd, const uint8_t hid[HID_LEN], uint16_t number)
{
	struct mover_client *mover = courier_client(c->courier);
	int r = mover ? mover_client_conn(mover, hid, number, fd, NULL, NULL) : -ENOTCONN;

	if (r < 0)
		log_warning("channel", "The mover does not take channel %u: %s.", number,
			    g_strerror(-r));
}

/* The worker waits for its control channel and for nothing else: it need not wait in vain. */
static void tell_unreachable(struct channel *c, const uint8_t hid[HID_LEN], int error)
{
	struct mover_client *mover = courier_client(c->courier);
	struct kerr err = {0};

	kerr_set(&err, error, KCODE_UNREACHABLE,
		 "No data connection to the other device could be made: %s.", g_strerror(error));
	if (mover && mover_client_gone(mover, hid, &err) < 0)
		log_debug("channel", "the mover hears nothing now");
}

static void on_dialled(void *arg, int fd, const struct endpoint *used _unused_)
{
	struct channel_dial *d = arg;
	struct channel *c = d->c;
	struct data_preface v = {.channel = d->number};
	uint8_t preface[DATA_PREFACE_LEN];
	struct wbuf w = wbuf_init(preface, sizeof(preface));

	if (fd < 0) {
		log_warning("channel", "No data connection to the peer: %s.", g_strerror(-fd));
		if (d->number == DATA_CHANNEL_CONTROL)
			tell_unreachable(c, d->hid, -fd);
	} else {
		memcpy(v.hid, d->hid, HID_LEN);
		/* The first bytes of a connection fit its empty buffer. */
		if (data_preface_put(&w, &v) == 0 &&
		    send(fd, preface, sizeof(preface), MSG_NOSIGNAL) == sizeof(preface))
			pass_on(c, fd, d->hid, d->number);
		close(fd);
	}
	c->dials = g_list_remove(c->dials, d);
	g_free(d);
}

/* The other end of a hand-off or console, as this device knows it. */
struct party {
	const uint8_t *peer;
	const struct endpoint *endpoint;
	uint64_t *strangers;
};

/* `begin`: of one where this device makes the connections; else where it takes them. */
static bool find_party(struct channel *c, const uint8_t hid[HID_LEN], bool begin, struct party *ret)
{
	struct job *job = jobs_find(c->jobs, hid);
	struct viewing *console = viewings_find(c->viewings, hid, begin);

	if (job && job->state != JOB_ENDED && !!job->progress.source == begin)
		*ret = (struct party){job->progress.peer, &job->endpoint, &job->strangers};
	else if (console)
		*ret = (struct party){console->peer, &console->endpoint, &console->strangers};
	else
		return false;
	return true;
}

void channel_dial(struct channel *c, const uint8_t hid[HID_LEN], uint16_t number)
{
	struct peers_target t = {0};
	struct channel_dial *d;
	struct party party;

	if (!find_party(c, hid, true, &party) || g_list_length(c->dials) >= DIALS_MAX) {
		log_warning("channel", "The mover asks for a connection of an unknown hand-off.");
		return;
	}
	if (party.endpoint->port)
		whereabouts_add(&t, party.endpoint);
	whereabouts_find(c->whereabouts, party.peer, DEVICE_ID_LEN, &t);
	d = g_new0(struct channel_dial, 1);
	d->c = c;
	memcpy(d->hid, hid, HID_LEN);
	d->number = number;
	c->dials = g_list_prepend(c->dials, d);
	d->dial = dial_new(t.endpoints, t.count,
			   party.endpoint->port ? PROVEN_HEAD_MS : RACE_STEP_MS, on_dialled, d);
}

struct channel *channel_free(struct channel *c)
{
	if (!c)
		return NULL;
	while (c->dials) {
		struct channel_dial *d = c->dials->data;

		dial_free(d->dial);
		c->dials = g_list_delete_link(c->dials, c->dials);
		g_free(d);
	}
	g_free(c);
	return NULL;
}

static bool is_welcome(const struct party *party, int fd)
{
	char from[ROSTER_ADDRESS_LEN];

	if (wire_socket_address(fd, from, sizeof(from)) < 0)
		return false;
	return strcmp(from, party->endpoint->address) == 0 ||
	       clock_pace(party->strangers, STRANGERS_EVERY_MS, STRANGERS_BURST, clock_ms());
}

void channel_accept(struct channel *c, int fd, const uint8_t hid[HID_LEN], uint16_t number)
{
	struct party party;

	/* Nothing is said to a stranger: the preface is no secret, but naming an open hand-off
	 * takes 128 random bits. Whoever knows them gets a handshake, and only so many. */
	if (find_party(c, hid, false, &party) && is_welcome(&party, fd))
		pass_on(c, fd, hid, number);
	else
		log_debug("channel", "a data connection for no open hand-off was closed");
	close(fd);
}
