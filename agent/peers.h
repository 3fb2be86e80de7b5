/* SPDX-License-Identifier: Apache-2.0 */
/* Runs conversations with other devices: connections below, policyd and mover above. */
#pragma once

#include "agent/asks.h"
#include "agent/courier.h"
#include "agent/lws-wire.h"
#include "agent/overview.h"
#include "agent/places.h"
#include "discovery/discovery.h"

#define PEERS_INCOMING_MAX 32
#define PEERS_PER_ADDRESS_MAX 8
#define PEERS_ENDPOINTS_MAX                                                  \
	34 /* all that discovery says, one that was true, one that was typed \
	    */

struct peers;

/* What becomes of hand-offs; all from the main loop. */
struct peers_events {
	/* What is known of an address from which somebody comes who has not proved himself. */
	enum places_rank (*rank)(void *ctx, const char *address);
	/* A device proved to be at this address; `port` 0: it came to us from there. */
	void (*reached)(void *ctx, const uint8_t id[DEVICE_ID_LEN], const struct endpoint *at);
	/* The conversation is up: the source attests from here on. */
	void (*attesting)(void *ctx, const uint8_t hid[HID_LEN], const struct endpoint *used);
	/* A device, which came from this address, wants to hand a VM to us and policyd agreed. */
	void (*incoming)(void *ctx, const uint8_t hid[HID_LEN], const uint8_t peer[DEVICE_ID_LEN],
			 const char *from);
	/* The same for a console of a VM that is here. */
	void (*showing)(void *ctx, const uint8_t hid[HID_LEN], const uint8_t peer[DEVICE_ID_LEN],
			const char *from);
	/* The end of the conversation: code OK = the mover has it. */
	void (*session)(void *ctx, const uint8_t hid[HID_LEN], bool source,
			const uint8_t peer[DEVICE_ID_LEN], const struct kerr *err);
	/* The end of a pairing conversation; `peer` may be zeros. */
	void (*pairing)(void *ctx, const uint8_t peer[DEVICE_ID_LEN], const struct kerr *err);
	/* The end of a talk of peers_mail(): code OK = the peer heard the statement. */
	void (*mail)(void *ctx, const uint8_t peer[DEVICE_ID_LEN], const struct kerr *err);
};

struct peers_parts {
	GMainLoop *loop;
	struct asks *asks;
	struct courier *courier;
	struct overview *overview;
};

/* `events` has to be static; the parts have to outlive it. */
int peers_new(const struct peers_parts *parts, const struct peers_events *events, void *ctx,
	      struct peers **ret);
struct peers *peers_free(struct peers *p);
DEFINE_CLEANUP(struct peers *, peers_free)
struct tls_identity *peers_identity(struct peers *p);

/* Where to go and who should be there. */
struct peers_target {
	struct endpoint endpoints[PEERS_ENDPOINTS_MAX];
	size_t count;
	uint8_t id[DEVICE_ID_LEN];
	size_t id_len; /* how many bytes of it are known: 0, ADVERT_ID_LEN or all */
	char label[NAME_MAX_LEN + 1];
};

/* Starts a pairing. `started` is told once: the other device answered the first message (code OK),
 * or why not. `user` must stay valid until then. */
void peers_pair(struct peers *p, const struct peers_target *t,
		void (*started)(void *user, const struct kerr *err), void *user);

/* Starts the session of a hand-off as its source; the outcome comes by events->session. */
void peers_handoff(struct peers *p, const uint8_t hid[HID_LEN], const struct peers_target *t);

/* Starts the session of a console that was asked for here. `agreed` is told once how it ended: code
 * OK = the other device's mover waits for ours. `user` must stay valid until then. */
void peers_console(struct peers *p, const uint8_t hid[HID_LEN], const struct peers_target *t,
		   void (*agreed)(void *user, const struct kerr *err), void *user);

/* Says a signed custody statement to a paired device and gives its answer, if it has one, to
 * policyd. The end comes by events->mail, never from inside this call. -ENOMEM: nothing comes. */
int peers_mail(struct peers *p, const struct peers_target *t, const uint8_t *statement, size_t len);

/* What a paired device of the same owner offers to VMs that arrive: the mover's record, unread.
 * With an error `offers` is NULL; `theirs`: the sentence is that device's. */
typedef void (*peers_told_fn)(void *user, const struct kerr *err, bool theirs,
			      const uint8_t *offers, size_t len);

/* Asks for it; `told` is called once, within LINK_ASK_MS. `user` must stay valid until then. */
void peers_ask(struct peers *p, const struct peers_target *t, peers_told_fn told, void *user);

/* Takes an accepted connection over; nothing was read from it. When there are too many, one that
 * has not proved its key gives way as places_yield() says. */
void peers_accept(struct peers *p, int fd);

/* Ends the session of a hand-off. -ENOENT if there is none (any more): the mover has it. */
int peers_cancel(struct peers *p, const uint8_t hid[HID_LEN], const struct kerr *why);

/* The mover's channel to the other one stands: nobody needs us to hear of the peer's end. */
void peers_stands(struct peers *p, const uint8_t hid[HID_LEN]);

/* A hand-off ended at our mover. True if the other side still has to hear that from us: then
 * events->session tells the outcome, when it did. */
bool peers_ended(struct peers *p, const uint8_t hid[HID_LEN], const struct kerr *err);

/* The mover went away, and with it all hand-offs that it was about to begin. */
void peers_mover_lost(struct peers *p, const struct kerr *err);
