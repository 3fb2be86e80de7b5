/* SPDX-License-Identifier: Apache-2.0 */
/* What agent.c, its data connections and its request handlers share. */
#pragma once

#include <glib.h>

#include "agent/agent.h"
#include "agent/asks.h"
#include "agent/control.h"
#include "agent/courier.h"
#include "agent/jobs.h"
#include "agent/link.h"
#include "agent/listener.h"
#include "agent/overview.h"
#include "agent/peers.h"
#include "discovery/discovery.h"

#define AGENT_BOOK_MAX 64
#define AGENT_MAIL_MAX 16

/* Where a device proved to be last: for when discovery does not show it, or shows much else (P3).
 */
struct book_entry {
	uint8_t id[DEVICE_ID_LEN];
	struct endpoint endpoint;
	char from[ROSTER_ADDRESS_LEN]; /* when it came to us, else "" */
	int64_t when;
};

enum mail_state {
	MAIL_NEW,
	MAIL_HEARD,   /* the last time the peer could be talked to */
	MAIL_UNHEARD, /* it could not */
	_MAIL_STATE_MAX,
};
DECLARE_NAMES(mail_state, enum mail_state);

/* A peer that has to hear custody statements; there is hardly ever one. */
struct mail {
	uint8_t peer[DEVICE_ID_LEN];
	enum mail_state state;
	bool talking;  /* one talk at a time */
	bool wanted;   /* policyd's outbox still has something for it */
	unsigned turn; /* which of several statements is next */
	struct link_retry retry;
};

struct agent {
	struct config config;
	uid_t owner;
	GMainLoop *loop;
	struct asks *asks;
	struct courier *courier;
	struct overview *overview;
	struct peers *peers;
	struct listener *listener;
	struct discovery *discovery;
	struct control *control;
	struct jobs *jobs;
	struct book_entry book[AGENT_BOOK_MAX];
	size_t book_count;
	struct mail mail[AGENT_MAIL_MAX];
	size_t mail_count;
	bool outbox_asked, announced; /* our name is in the TXT record */
	GList *dials;		      /* of struct channel_dial */
	GList *calls;		      /* requests that wait for something, of requests.c */
	int64_t last_look;
	guint housekeeping, outbox_timer, devices_timer, sigterm, sigint;
};

static inline int64_t agent_now_ms(void)
{
	return g_get_monotonic_time() / 1000;
}

/* The name that policyd knows, else what the device calls itself while it wants to pair, else
 * "device-0123abcd". `id` may be a prefix of `len` bytes. */
void agent_device_label(struct agent *a, const uint8_t *id, size_t len, char *ret, size_t size);

/* book.c: appends what is known of where a device is: what proved true last, then sightings. */
void agent_find_endpoints(struct agent *a, const uint8_t *id, size_t id_len,
			  struct peers_target *t);
void agent_add_endpoint(struct peers_target *t, const struct endpoint *e);
/* A device proved its key there; port 0: it came from there. */
void agent_reached(struct agent *a, const uint8_t id[DEVICE_ID_LEN], const struct endpoint *at);
/* What is known of an address from which somebody comes. */
enum places_rank agent_rank(struct agent *a, const char *address);

/* Tells those who watch. */
void agent_job_changed(struct agent *a, const struct job *job);

/* channel.c: the mover wants a data connection to the peer; a peer brought one. */
void channel_dial(void *ctx, const uint8_t hid[HID_LEN], uint16_t channel);
void channel_accept(void *ctx, int fd, const uint8_t hid[HID_LEN], uint16_t channel);
void channel_cancel_all(struct agent *a);

/* requests.c: the handler of the control socket. */
void requests_handle(void *ctx, const struct control_peer *peer, const struct api_request *r);
void requests_free(struct agent *a);
json_t *requests_job_json(struct agent *a, const struct job *job);
