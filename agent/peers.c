/* SPDX-License-Identifier: Apache-2.0 */
/* Glue around the pure machine of link.c: feeds it events, carries its actions out. */
#include "agent/peers.h"

#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "agent/link.h"
#include "agent/now.h"
#include "agent/race.h"
#include "agent/tls.h"
#include "base/log.h"
#include "base/pace.h"

#define CONNECT_MS 5000 /* for each address: TCP, TLS and WebSocket */
#define TICK_MS 100
#define REFUSED_TELL_MS 60000

/* How often a device may ask what this host offers. */
enum { OFFERS_AT_ONCE = 20, OFFERS_EVERY_MS = 1000 };

struct peers {
	struct peers_parts parts;
	const struct peers_events *events;
	void *ctx;
	struct wire_net *net;
	GList *talks;
	struct talk *pairing; /* has policyd's one pairing */
	guint incoming, refused;
	uint64_t last_order;
	int64_t refused_told;
	struct pace asked; /* for what we offer */
};

struct talk;

/* One connection of a talk. An outgoing one has several until the first of them proved whom it
 * leads to. */
struct attempt {
	struct talk *t;
	struct wire *wire;
	struct endpoint at;
	guint timer;
};

/* One conversation. */
struct talk {
	struct peers *p;
	struct link link;
	GList *attempts; /* of struct attempt; when `open` the one that counts */
	bool outgoing, open;
	struct peers_target target;
	struct race race;   /* which endpoint to try when */
	enum kcode failure; /* the most telling failure of the endpoints so far */
	int fd;		    /* accepted, while policyd is asked who is known */
	char from[ROSTER_ADDRESS_LEN];
	struct place place; /* of an accepted one */
	uint8_t id[DEVICE_ID_LEN], exporter[EXPORTER_LEN];
	guint ticker, timer, starter;
	struct errand *errand; /* the mover is asked */
	struct kerr why;       /* it cannot be */
	void (*started)(void *user, const struct kerr *err);
	peers_told_fn told;
	void *user;
};

/* A request to the mover that may outlive the talk. */
struct errand {
	struct talk *t;
};

static void tell_started(struct talk *t, const struct kerr *err)
{
	void (*started)(void *user, const struct kerr *err) = t->started;

	t->started = NULL;
	if (started)
		started(t->user, err);
}

static void tell_asker(struct talk *t, const struct kerr *err, const struct link_message *m)
{
	peers_told_fn told = t->told;

	t->told = NULL;
	if (told)
		told(t->user, err, t->link.refused, m ? m->blob : NULL, m ? m->len : 0);
}

static void attempt_free(struct attempt *at)
{
	if (at->timer)
		g_source_remove(at->timer);
	wire_free(at->wire);
	at->t->attempts = g_list_remove(at->t->attempts, at);
	g_free(at);
}

static struct attempt *attempt_new(struct talk *t)
{
	struct attempt *at = g_new0(struct attempt, 1);

	at->t = t;
	t->attempts = g_list_prepend(t->attempts, at);
	return at;
}

/* The connection that stands, or NULL. */
static struct wire **wire_of(struct talk *t)
{
	return t->open && t->attempts ? &((struct attempt *)t->attempts->data)->wire : NULL;
}

static void talk_free(struct talk *t)
{
	struct peers *p = t->p;

	overview_forget(p->parts.overview, t);
	asks_forget(p->parts.asks, t);
	if (t->errand)
		t->errand->t = NULL;
	if (t->ticker)
		g_source_remove(t->ticker);
	if (t->timer)
		g_source_remove(t->timer);
	if (t->starter)
		g_source_remove(t->starter);
	while (t->attempts)
		attempt_free(t->attempts->data);
	closep(&t->fd);
	link_clear(&t->link);
	p->talks = g_list_remove(p->talks, t);
	if (p->pairing == t)
		p->pairing = NULL;
	if (!t->outgoing)
		p->incoming--;
	g_free(t);
}

static void peers_feed(struct talk *t, const struct link_event *ev);

/* -- actions -- */

static void peers_on_answer(struct ask *a, void *user)
{
	struct link_event ev = {.kind = LINK_EV_ASKED, .error = a->err, .state = a->state};
	gsize len = 0;

	if (a->r < 0 && ev.error.code == KCODE_OK)
		kerr_set(&ev.error, EIO, KCODE_FAILED, "kith-policyd failed without a reason.");
	/* A refused conversation is an answer, not an error of the request. */
	if (a->r == 0 && a->state == CONVERSATION_REFUSED) {
		ev.error = a->refused;
	} else if (a->r < 0) {
		ev.state = CONVERSATION_SEND;
	}
	if (a->run == ask_talk && a->talk == TALK_PAIRING && a->verb == TALK_START && a->r == 0 &&
	    a->state != CONVERSATION_REFUSED)
		((struct talk *)user)->p->pairing = user;
	if (a->reply) {
		ev.message.blob = g_bytes_get_data(a->reply, &len);
		ev.message.len = len;
	}
	peers_feed(user, &ev);
}

static struct ask *make_ask(struct talk *t, int (*run)(struct ipc_client *c, struct ask *a),
			    const struct link_action *action)
{
	struct ask *a = ask_new(run, peers_on_answer, t);

	memcpy(a->hid, t->link.hid, HID_LEN);
	memcpy(a->peer, t->id, DEVICE_ID_LEN);
	memcpy(a->exporter, t->exporter, EXPORTER_LEN);
	a->flag = action->flag;
	a->blob = g_bytes_new(action->message.blob, action->message.len);
	a->talk = action->talk;
	a->verb = action->verb;
	return a;
}

static void peers_submit(struct talk *t, int (*run)(struct ipc_client *c, struct ask *a),
			 const struct link_action *action)
{
	asks_submit(t->p->parts.asks, make_ask(t, run, action));
}

/* Says so and waits for nothing. */
static void peers_notify(struct talk *t, int (*run)(struct ipc_client *c, struct ask *a),
			 const struct link_action *action)
{
	struct ask *a = make_ask(t, run, action);

	a->done = NULL;
	a->user = NULL;
	asks_submit(t->p->parts.asks, a);
}

static void on_mover_started(void *arg, int r, const struct kerr *err)
{
	struct errand *e = arg;
	struct link_event ev = {.kind = LINK_EV_STARTED};
	struct talk *t = e->t;

	g_free(e);
	if (!t)
		return;
	t->errand = NULL;
	if (r < 0) {
		ev.error = *err;
		kerr_set(&ev.error, EIO, KCODE_FAILED, "kith-mover failed without a reason.");
	}
	peers_feed(t, &ev);
}

static gboolean on_mover_missing(gpointer data)
{
	struct talk *t = data;
	struct link_event ev = {.kind = LINK_EV_STARTED};

	t->timer = 0;
	kerr_set(&ev.error, EAGAIN, KCODE_NOT_READY,
		 "The local service kith-mover does not answer.");
	peers_feed(t, &ev);
	return G_SOURCE_REMOVE;
}

static void start_mover(struct talk *t, bool source)
{
	struct mover_client *c = courier_client(t->p->parts.courier);
	struct errand *e = g_new0(struct errand, 1);

	bool show = t->link.role == LINK_ROLE_HOLDER;

	e->t = t;
	if (!source)
		(show ? t->p->events->showing : t->p->events->incoming)(t->p->ctx, t->link.hid,
									t->id, t->from);
	if (c && (show ? mover_client_show(c, t->link.hid, on_mover_started, e)
		       : mover_client_start(c, t->link.hid, source, on_mover_started, e)) == 0) {
		t->errand = e;
		return;
	}
	g_free(e);
	if (!t->timer)
		t->timer = g_idle_add(on_mover_missing, t);
}

static void peers_on_offers(void *arg, int r, const struct kerr *err, const uint8_t *offers,
			    size_t len)
{
	struct errand *e = arg;
	struct link_event ev = {.kind = LINK_EV_OFFERS, .message = {.blob = offers, .len = len}};
	struct talk *t = e->t;

	g_free(e);
	if (!t)
		return;
	t->errand = NULL;
	if (r < 0)
		ev.error = *err;
	peers_feed(t, &ev);
}

static gboolean on_no_offers(gpointer data)
{
	struct talk *t = data;
	struct link_event ev = {.kind = LINK_EV_OFFERS, .error = t->why};

	t->timer = 0;
	peers_feed(t, &ev);
	return G_SOURCE_REMOVE;
}

/* The peer wants to know what this host offers: at a pace, since each look is a process. */
static void look_offers(struct talk *t)
{
	struct mover_client *c = courier_client(t->p->parts.courier);
	struct errand *e = g_new0(struct errand, 1);

	e->t = t;
	if (!pace_take(&t->p->asked, t->id, OFFERS_EVERY_MS, OFFERS_AT_ONCE, (uint64_t)now_ms())) {
		kerr_set(&t->why, EBUSY, KCODE_BUSY,
			 "It was asked too often; try again in some seconds.");
	} else if (c && mover_client_offers(c, peers_on_offers, e) == 0) {
		t->errand = e;
		return;
	} else {
		kerr_set(&t->why, EAGAIN, KCODE_NOT_READY,
			 "The local service kith-mover does not answer.");
	}
	g_free(e);
	t->timer = g_idle_add(on_no_offers, t);
}

static void peer_gone(struct talk *t, const struct kerr *why)
{
	struct mover_client *c = courier_client(t->p->parts.courier);

	if (c && mover_client_gone(c, t->link.hid, why) < 0)
		log_debug("peers", "the mover hears nothing now");
}

static void send_message(struct talk *t, const struct link_message *m)
{
	_cleanup_free_ uint8_t *buf = malloc(LINK_MESSAGE_MAX);
	struct wbuf w = wbuf_init(buf, buf ? LINK_MESSAGE_MAX : 0);
	struct wire **wire = wire_of(t);

	if (!wire || !*wire || link_encode(&w, m) < 0 || wire_send(*wire, w.data, w.len) < 0)
		log_debug("peers", "a %s message could not be sent", link_kind_to_string(m->kind));
}

/* Whoever knocks is counted, not logged one by one (P7, P10). */
static void count_refused(struct peers *p)
{
	int64_t now = now_ms();

	p->refused++;
	if (p->refused_told && now - p->refused_told < REFUSED_TELL_MS)
		return;
	log_info("peers", "%u connections of devices that are not paired, or broken, were refused.",
		 p->refused);
	p->refused_told = now;
	p->refused = 0;
}

/* Statements are said again and again: whoever says them tells when it begins or stops to work. And
 * a person is told what came of his question. */
static bool is_repeated(const struct talk *t)
{
	enum link_role role = t->link.role;

	return role == LINK_ROLE_MAIL || role == LINK_ROLE_CUSTODY || role == LINK_ROLE_ASK ||
	       role == LINK_ROLE_TELL;
}

static void peers_result(struct talk *t, const struct kerr *err)
{
	struct peers *p = t->p;

	tell_started(t, err);
	if (err->code != KCODE_OK && t->link.role == LINK_ROLE_ANSWER)
		count_refused(p);
	else if (err->code != KCODE_OK)
		log_line(is_repeated(t) ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "peers",
			 "%s with %s ended: %s", link_role_to_string(t->link.role),
			 t->target.label[0] ? t->target.label : "a device", err->text);
	switch (t->link.role) {
	case LINK_ROLE_SOURCE:
		p->events->session(p->ctx, t->link.hid, true, t->open ? t->id : t->target.id, err);
		return;
	case LINK_ROLE_DESTINATION:
		p->events->session(p->ctx, t->link.hid, false, t->id, err);
		return;
	case LINK_ROLE_PAIR_OUT:
	case LINK_ROLE_PAIR_IN:
		p->events->pairing(p->ctx, t->id, err);
		return;
	case LINK_ROLE_MAIL:
		p->events->mail(p->ctx, t->target.id, err);
		return;
	case LINK_ROLE_ASK:
		tell_asker(t, err, NULL);
		return;
	case LINK_ROLE_VIEWER: /* tell_started() did */
	case LINK_ROLE_HOLDER:
	case LINK_ROLE_ANSWER:
	case LINK_ROLE_CUSTODY:
	case LINK_ROLE_TELL:
	case _LINK_ROLE_MAX:
		return;
	}
}

static void peers_finish(struct talk *t)
{
	struct wire **wire = wire_of(t);

	if (wire && *wire)
		wire_finish(TAKE_PTR(*wire));
}

static void peers_act(struct talk *t, const struct link_action *a)
{
	static const struct kerr none;

	switch (a->act) {
	case LINK_ACT_TALK:
		peers_submit(t, ask_talk, a);
		return;
	case LINK_ACT_TALK_END:
		/* Who only tried to get in between ends no pairing of another one. */
		if (a->talk != TALK_PAIRING || !t->p->pairing || t->p->pairing == t)
			peers_notify(t, ask_talk, a);
		return;
	case LINK_ACT_ASK_CUSTODY:
		peers_submit(t, ask_custody, a);
		return;
	case LINK_ACT_SEND:
		send_message(t, &a->message);
		return;
	case LINK_ACT_START_MOVER:
		start_mover(t, a->flag);
		return;
	case LINK_ACT_LOOK:
		look_offers(t);
		return;
	case LINK_ACT_TOLD:
		tell_asker(t, &none, &a->message);
		return;
	case LINK_ACT_PEER_GONE:
		peer_gone(t, &a->error);
		return;
	case LINK_ACT_RESULT:
		peers_result(t, &a->error);
		return;
	case LINK_ACT_FINISH:
		peers_finish(t);
		return;
	}
}

/* May free the talk. */
static void peers_feed(struct talk *t, const struct link_event *ev)
{
	struct link_actions actions;

	link_feed(&t->link, ev, now_ms(), &actions);
	for (size_t i = 0; i < actions.count; i++)
		peers_act(t, &actions.list[i]);
	if (t->link.step == LINK_OVER)
		talk_free(t);
}

static void end_talk(struct talk *t, enum kcode why);

/* A person waits: he hears that it does not answer before all addresses were tried. */
static bool is_overdue(const struct talk *t)
{
	return !t->open && t->link.role == LINK_ROLE_ASK && now_ms() >= t->link.deadline;
}

static gboolean peers_on_tick(gpointer data)
{
	struct talk *t = data;
	struct link_event ev = {.kind = LINK_EV_TICK};
	guint ticker = t->ticker;

	/* Out of the way while the talk may be freed. */
	t->ticker = 0;
	if (t->open || is_overdue(t)) {
		struct peers *p = t->p;

		if (t->open)
			peers_feed(t, &ev);
		else
			end_talk(t, t->failure);
		if (!g_list_find(p->talks, t))
			return G_SOURCE_REMOVE;
	}
	t->ticker = ticker;
	return G_SOURCE_CONTINUE;
}

/* -- connections -- */

static void closed_error(const struct talk *t, enum kcode why, struct kerr *ret)
{
	const char *who = t->target.label[0] ? t->target.label : "The other device";

	switch ((int)why) {
	case KCODE_UNREACHABLE:
		kerr_set(ret, 1, why,
			 "%s does not answer at any address known for it; it may be switched off, "
			 "elsewhere, or locked.",
			 who);
		return;
	case KCODE_PEER_KEY:
		kerr_set(ret, 1, why,
			 "What answers at the address of %s shows another key than %s; nothing was "
			 "sent to it.",
			 who, who);
		return;
	case KCODE_PEER_UNKNOWN:
		kerr_set(ret, 1, why,
			 t->outgoing ? "%s does not know this device and no pairing window is "
				       "open there."
				     : "%s is not paired with this device.",
			 who);
		return;
	case KCODE_BAD_MESSAGE:
		kerr_set(ret, 1, why, "%s sent something that is no message.", who);
		return;
	default:
		kerr_set(ret, 1, KCODE_INTERRUPTED, "The connection to %s was lost.", who);
	}
}

static void end_talk(struct talk *t, enum kcode why)
{
	struct link_event ev = {.kind = LINK_EV_CLOSED};

	closed_error(t, why, &ev.error);
	peers_feed(t, &ev);
}

/* How much a failure tells, of several addresses of one device. */
static int weight(enum kcode why)
{
	return why == KCODE_PEER_UNKNOWN ? 3 : why == KCODE_PEER_KEY ? 2 : why != KCODE_UNREACHABLE;
}

static void peers_go_on(struct talk *t);

/* May free the talk. */
static void attempt_failed(struct attempt *at, enum kcode why)
{
	struct talk *t = at->t;

	attempt_free(at);
	if (weight(why) > weight(t->failure))
		t->failure = why;
	peers_go_on(t);
}

static gboolean on_connect_timeout(gpointer data)
{
	struct attempt *at = data;

	at->timer = 0;
	attempt_failed(at, KCODE_UNREACHABLE);
	return G_SOURCE_REMOVE;
}

static void try_endpoint(struct talk *t, const struct endpoint *e)
{
	struct attempt *at = attempt_new(t);

	log_debug("peers", "connecting to %s port %u", e->address, e->port);
	at->at = *e;
	at->timer = g_timeout_add(CONNECT_MS, on_connect_timeout, at);
	wire_connect(t->p->net, e->address, e->port, at, &at->wire);
}

static gboolean on_starter(gpointer data)
{
	struct talk *t = data;

	t->starter = 0;
	peers_go_on(t);
	return G_SOURCE_REMOVE;
}

/* Starts the attempts that are due; without any left the talk ends (and is freed). */
static void peers_go_on(struct talk *t)
{
	int64_t now = now_ms(), wait;
	size_t i;

	if (t->starter)
		g_source_remove(t->starter);
	t->starter = 0;
	while (race_next(&t->race, !t->attempts, now, &i))
		try_endpoint(t, &t->target.endpoints[i]);
	wait = race_wait(&t->race, now);
	if (wait >= 0)
		t->starter = g_timeout_add((guint)wait, on_starter, t);
	else if (!t->attempts)
		end_talk(t, t->failure);
}

static bool wire_judge(void *user, const uint8_t id[DEVICE_ID_LEN])
{
	struct talk *t = ((struct attempt *)user)->t;
	struct overview *o = t->p->parts.overview;
	uint8_t own[DEVICE_ID_LEN];
	const struct policyd_peer *peer = overview_peer(o, id);
	bool known = peer != NULL;

	if (!tls_identity_ready(wire_net_identity(t->p->net), own) ||
	    memcmp(own, id, DEVICE_ID_LEN) == 0)
		return false;
	link_set_known(&t->link, known);
	link_set_own(&t->link, peer && peer->own);
	if (t->outgoing)
		return memcmp(id, t->target.id, t->target.id_len) == 0 &&
		       (known || t->link.role == LINK_ROLE_PAIR_OUT);
	return known || overview_window_open(o);
}

static void drop_others(struct talk *t, const struct attempt *won)
{
	for (GList *l = t->attempts, *next; l; l = next) {
		next = l->next;
		if (l->data != won)
			attempt_free(l->data);
	}
}

static void wire_opened(void *user, const uint8_t id[DEVICE_ID_LEN],
			const uint8_t exporter[EXPORTER_LEN])
{
	struct attempt *won = user;
	struct talk *t = won->t;
	struct link_event ev = {.kind = LINK_EV_OPEN};
	struct endpoint at = {0};

	if (won->timer)
		g_source_remove(won->timer);
	won->timer = 0;
	if (t->starter)
		g_source_remove(t->starter);
	t->starter = 0;
	drop_others(t, won);
	t->open = true;
	memcpy(t->id, id, DEVICE_ID_LEN);
	memcpy(t->exporter, exporter, EXPORTER_LEN);
	if (t->outgoing)
		at = won->at;
	else
		memcpy(at.address, t->from, sizeof(at.address));
	t->p->events->reached(t->p->ctx, id, &at);
	if (t->link.role == LINK_ROLE_SOURCE || t->link.role == LINK_ROLE_VIEWER)
		t->p->events->attesting(t->p->ctx, t->link.hid, &at);
	peers_feed(t, &ev);
}

static void wire_message(void *user, const uint8_t *data, size_t len)
{
	struct talk *t = ((struct attempt *)user)->t;
	struct link_event ev = {.kind = LINK_EV_MESSAGE};
	static const struct kerr none;

	if (link_decode(data, len, &ev.message) < 0) {
		ev.kind = LINK_EV_CANCEL;
		kerr_set(&ev.error, EBADMSG, KCODE_BAD_MESSAGE,
			 "A message of the peer channel breaks its format.");
	} else if (ev.message.kind == LINK_PAIR) {
		/* It takes part: from now on the two policyds tell how it goes. */
		tell_started(t, &none);
	}
	peers_feed(t, &ev);
}

static void wire_closed(void *user, enum kcode why)
{
	struct attempt *at = user;
	struct talk *t = at->t;

	if (t->outgoing && !t->open) {
		attempt_failed(at, why);
		return;
	}
	attempt_free(at);
	end_talk(t, why);
}

static const struct wire_ops wire_ops = {
	.judge = wire_judge,
	.open = wire_opened,
	.message = wire_message,
	.closed = wire_closed,
};

/* -- from outside -- */

static struct talk *talk_new(struct peers *p, enum link_role role, const uint8_t *hid,
			     bool outgoing)
{
	struct talk *t = g_new0(struct talk, 1);

	t->p = p;
	t->outgoing = outgoing;
	t->fd = -EBADF;
	t->failure = KCODE_UNREACHABLE;
	link_init(&t->link, role, hid, now_ms());
	t->ticker = g_timeout_add(TICK_MS, peers_on_tick, t);
	p->talks = g_list_prepend(p->talks, t);
	if (!outgoing)
		p->incoming++;
	return t;
}

static void on_may_connect(void *user)
{
	struct talk *t = user;
	struct link_event ev = {.kind = LINK_EV_CLOSED};
	struct policyd_status status;

	if (overview_status(t->p->parts.overview, &status, &ev.error) < 0 ||
	    !overview_tells(t->p->parts.overview, &ev.error)) {
		peers_feed(t, &ev);
		return;
	}
	if (!tls_identity_ready(wire_net_identity(t->p->net), NULL)) {
		kerr_set(&ev.error, EAGAIN, KCODE_NOT_READY,
			 "This device has no certificate yet: %s",
			 status.detail[0] ? status.detail : "kith-policyd is not ready.");
		peers_feed(t, &ev);
		return;
	}
	if (t->link.role != LINK_ROLE_PAIR_OUT &&
	    !overview_peer(t->p->parts.overview, t->target.id)) {
		kerr_set(&ev.error, EACCES, KCODE_PEER_UNKNOWN,
			 "%s is not paired with this device.", t->target.label);
		peers_feed(t, &ev);
		return;
	}
	t->race = race_begin(t->target.count, RACE_STEP_MS, now_ms());
	peers_go_on(t);
}

static void peers_start(struct talk *t, const struct peers_target *target)
{
	t->target = *target;
	overview_refresh(t->p->parts.overview, on_may_connect, t);
}

void peers_pair(struct peers *p, const struct peers_target *target,
		void (*started)(void *user, const struct kerr *err), void *user)
{
	struct talk *t = talk_new(p, LINK_ROLE_PAIR_OUT, NULL, true);

	t->started = started;
	t->user = user;
	peers_start(t, target);
}

void peers_handoff(struct peers *p, const uint8_t hid[HID_LEN], const struct peers_target *target)
{
	peers_start(talk_new(p, LINK_ROLE_SOURCE, hid, true), target);
}

void peers_console(struct peers *p, const uint8_t hid[HID_LEN], const struct peers_target *target,
		   void (*agreed)(void *user, const struct kerr *err), void *user)
{
	struct talk *t = talk_new(p, LINK_ROLE_VIEWER, hid, true);

	t->started = agreed;
	t->user = user;
	peers_start(t, target);
}

int peers_mail(struct peers *p, const struct peers_target *target, const uint8_t *statement,
	       size_t len)
{
	struct talk *t = talk_new(p, LINK_ROLE_MAIL, NULL, true);
	int r = link_set_statement(&t->link, statement, len);

	if (r < 0)
		talk_free(t);
	else
		peers_start(t, target);
	return r;
}

void peers_ask(struct peers *p, const struct peers_target *target, peers_told_fn told, void *user)
{
	struct talk *t = talk_new(p, LINK_ROLE_ASK, NULL, true);

	t->told = told;
	t->user = user;
	peers_start(t, target);
}

static guint count_from(struct peers *p, const char *address)
{
	guint n = 0;

	for (GList *l = p->talks; l; l = l->next)
		n += strcmp(((struct talk *)l->data)->from, address) == 0;
	return n;
}

/* policyd has said who is known and whether a window is open. */
static void on_may_accept(void *user)
{
	struct talk *t = user;
	struct kerr why = {0};
	struct attempt *at;
	int fd;

	/* Locked, it knows nobody: silence is true, "not paired" would not be (A6). */
	if (!overview_tells(t->p->parts.overview, &why)) {
		end_talk(t, KCODE_INTERRUPTED);
		return;
	}
	at = attempt_new(t);
	fd = TAKE_FD(t->fd);
	wire_accept(t->p->net, fd, at, &at->wire);
}

/* The least known of those that have proved nothing gives way. */
static bool make_room(struct peers *p, enum places_rank rank)
{
	struct talk *talks[PEERS_INCOMING_MAX];
	struct place places[PEERS_INCOMING_MAX];
	ssize_t victim;
	size_t n = 0;

	if (p->incoming < PEERS_INCOMING_MAX)
		return true;
	for (GList *l = p->talks; l && n < PEERS_INCOMING_MAX; l = l->next) {
		struct talk *t = l->data;

		if (t->outgoing || t->open)
			continue;
		talks[n] = t;
		places[n++] = t->place;
	}
	victim = places_yield(places, n, rank);
	if (victim < 0)
		return false;
	count_refused(p);
	talk_free(talks[victim]);
	return true;
}

void peers_accept(struct peers *p, int fd)
{
	char from[ROSTER_ADDRESS_LEN];
	enum places_rank rank;
	struct talk *t;

	if (wire_socket_address(fd, from, sizeof(from)) < 0 ||
	    count_from(p, from) >= PEERS_PER_ADDRESS_MAX ||
	    !tls_identity_ready(wire_net_identity(p->net), NULL)) {
		close(fd);
		return;
	}
	rank = p->events->rank(p->ctx, from);
	if (!make_room(p, rank)) {
		close(fd);
		return;
	}
	t = talk_new(p, LINK_ROLE_ANSWER, NULL, false);
	t->fd = fd;
	t->place = (struct place){rank, ++p->last_order};
	memcpy(t->from, from, sizeof(from));
	snprintf(t->target.label, sizeof(t->target.label), "The device at %.48s", from);
	overview_refresh(p->parts.overview, on_may_accept, t);
}

static struct talk *find_session(struct peers *p, const uint8_t hid[HID_LEN])
{
	for (GList *l = p->talks; l; l = l->next) {
		struct talk *t = l->data;

		if (memcmp(t->link.hid, hid, HID_LEN) == 0 &&
		    (t->link.role == LINK_ROLE_SOURCE || t->link.role == LINK_ROLE_DESTINATION))
			return t;
	}
	return NULL;
}

int peers_cancel(struct peers *p, const uint8_t hid[HID_LEN], const struct kerr *why)
{
	struct link_event ev = {.kind = LINK_EV_CANCEL, .error = *why};
	struct talk *t = find_session(p, hid);

	if (!t || link_awaits_mover(&t->link))
		return -ENOENT;
	peers_feed(t, &ev);
	return 0;
}

void peers_stands(struct peers *p, const uint8_t hid[HID_LEN])
{
	struct link_event ev = {.kind = LINK_EV_STANDS};
	struct talk *t = find_session(p, hid);

	if (t)
		peers_feed(t, &ev);
}

bool peers_ended(struct peers *p, const uint8_t hid[HID_LEN], const struct kerr *err)
{
	struct link_event ev = {.kind = LINK_EV_ENDED, .error = *err};
	struct talk *t = find_session(p, hid);

	/* A worker says it twice; the second word must not overtake the other side's answer. */
	if (!t || (!link_awaits_mover(&t->link) && t->link.step != LINK_ENDING))
		return false;
	peers_feed(t, &ev);
	return true;
}

void peers_mover_lost(struct peers *p, const struct kerr *err)
{
	struct link_event ev = {.kind = LINK_EV_ENDED, .error = *err};
	GList *all = g_list_copy(p->talks);

	/* One that is being fed may be freed, no other. */
	for (GList *l = all; l; l = l->next) {
		struct talk *t = l->data;

		if (link_awaits_mover(&t->link))
			peers_feed(t, &ev);
	}
	g_list_free(all);
}

int peers_new(const struct peers_parts *parts, const struct peers_events *events, void *ctx,
	      struct peers **ret)
{
	struct peers *p = g_new0(struct peers, 1);
	int r;

	p->parts = *parts;
	p->events = events;
	p->ctx = ctx;
	r = wire_net_new(parts->loop, &wire_ops, &p->net);
	if (r < 0) {
		g_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

struct peers *peers_free(struct peers *p)
{
	if (!p)
		return NULL;
	while (p->talks)
		talk_free(p->talks->data);
	wire_net_free(p->net);
	g_free(p);
	return NULL;
}

struct tls_identity *peers_identity(struct peers *p)
{
	return wire_net_identity(p->net);
}
