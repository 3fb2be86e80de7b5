/* SPDX-License-Identifier: Apache-2.0 */
/* Strict order: every message has one step where it may come; anything else ends the talk. */
#include "agent/link.h"

#include <string.h>

#include "base/log.h"

static const char *const link_role_names[_LINK_ROLE_MAX] = {
	[LINK_ROLE_ANSWER] = "answer",
	[LINK_ROLE_PAIR_OUT] = "pair-out",
	[LINK_ROLE_PAIR_IN] = "pair-in",
	[LINK_ROLE_SOURCE] = "source",
	[LINK_ROLE_DESTINATION] = "destination",
	[LINK_ROLE_CUSTODY] = "custody",
	[LINK_ROLE_MAIL] = "mail",
	[LINK_ROLE_ASK] = "ask",
	[LINK_ROLE_TELL] = "tell",
	[LINK_ROLE_VIEWER] = "viewer",
	[LINK_ROLE_HOLDER] = "holder",
};
DEFINE_NAMES(link_role, enum link_role, _LINK_ROLE_MAX)

static const char *const link_step_names[_LINK_STEP_MAX] = {
	[LINK_OPENING] = "opening", [LINK_WAITING] = "waiting",	  [LINK_ASKING] = "asking",
	[LINK_OWNER] = "owner",	    [LINK_STARTING] = "starting", [LINK_MOVING] = "moving",
	[LINK_ENDING] = "ending",   [LINK_OVER] = "over",
};
DEFINE_NAMES(link_step, enum link_step, _LINK_STEP_MAX)

static void set_step(struct link *l, enum link_step step, int64_t deadline)
{
	if (l->step != step)
		log_debug("link", "%s: %s -> %s", link_role_to_string(l->role),
			  link_step_to_string(l->step), link_step_to_string(step));
	l->step = step;
	l->deadline = deadline;
}

void link_init(struct link *l, enum link_role role, const uint8_t *hid, int64_t now)
{
	*l = (struct link){.role = role, .step = LINK_OPENING};
	if (hid)
		memcpy(l->hid, hid, HID_LEN);
	/* policyd knows of a source's hand-off before anybody connects, and of its end by us. */
	l->session_open = role == LINK_ROLE_SOURCE || role == LINK_ROLE_VIEWER;
	l->deadline = now + (role == LINK_ROLE_ASK ? LINK_ASK_MS : LINK_STEP_MS);
	l->end = now + (role == LINK_ROLE_ASK ? LINK_ASK_MS : LINK_TOTAL_MS);
}

static void drop_blobs(struct link *l)
{
	free(l->held);
	free(l->reply);
	l->held = l->reply = NULL;
	l->held_len = l->reply_len = 0;
	l->has_held = false;
}

void link_clear(struct link *l)
{
	drop_blobs(l);
	l->step = LINK_OVER;
}

void link_set_known(struct link *l, bool known)
{
	l->known = known;
}

void link_set_own(struct link *l, bool own)
{
	l->own = own;
}

static bool copy_blob(uint8_t **to, size_t *to_len, const uint8_t *blob, size_t len)
{
	free(*to);
	*to_len = 0;
	*to = malloc(len ? len : 1);
	if (!*to)
		return false;
	if (len)
		memcpy(*to, blob, len);
	*to_len = len;
	return true;
}

int link_set_statement(struct link *l, const uint8_t *statement, size_t len)
{
	return copy_blob(&l->reply, &l->reply_len, statement, len) ? 0 : -ENOMEM;
}

static struct link_action *link_act(struct link_actions *out, enum link_act what)
{
	struct link_action *a = &out->list[out->count++];

	*a = (struct link_action){.act = what};
	return a;
}

/* The same, for what policyd will answer. */
static struct link_action *link_ask(struct link *l, struct link_actions *out, enum link_act what)
{
	l->asks++;
	return link_act(out, what);
}

/* The conversation of the two policyds that this channel carries. */
static enum talk_kind talk_of(const struct link *l)
{
	if (l->role == LINK_ROLE_PAIR_OUT || l->role == LINK_ROLE_PAIR_IN)
		return TALK_PAIRING;
	return l->role == LINK_ROLE_VIEWER || l->role == LINK_ROLE_HOLDER ? TALK_CONSOLE
									  : TALK_SESSION;
}

static struct link_action *link_talk(struct link *l, struct link_actions *out, enum talk_verb verb)
{
	struct link_action *a = link_ask(l, out, LINK_ACT_TALK);

	a->talk = talk_of(l);
	a->verb = verb;
	return a;
}

static void link_talk_end(struct link_actions *out, enum talk_kind talk)
{
	struct link_action *a = link_act(out, LINK_ACT_TALK_END);

	a->talk = talk;
	a->verb = TALK_END;
}

/* Everything that is said in it belongs to one number. */
static bool carries_session(enum link_role role)
{
	return role == LINK_ROLE_SOURCE || role == LINK_ROLE_DESTINATION ||
	       role == LINK_ROLE_VIEWER || role == LINK_ROLE_HOLDER;
}

static void send_blob(struct link *l, struct link_actions *out, enum link_kind kind,
		      const uint8_t *blob, size_t len)
{
	struct link_action *a;

	if (l->closed)
		return;
	a = link_act(out, LINK_ACT_SEND);
	a->message = (struct link_message){.kind = kind, .blob = blob, .len = len};
	if (carries_session(l->role))
		memcpy(a->message.hid, l->hid, HID_LEN);
}

static void send_refused(struct link *l, struct link_actions *out, const struct kerr *err)
{
	struct wbuf w = wbuf_init(l->error_blob, sizeof(l->error_blob));

	if (kerr_put(&w, err) == 0)
		send_blob(l, out, LINK_REFUSED, l->error_blob, w.len);
}

/* The end: policyd and whoever asked are told, the channel is closed. */
static void link_finish(struct link *l, struct link_actions *out, const struct kerr *err)
{
	bool failed = err->code != KCODE_OK;

	if (failed && l->pair_open)
		link_talk_end(out, TALK_PAIRING);
	if (failed && l->session_open)
		link_talk_end(out, talk_of(l));
	if (failed && l->mover)
		link_act(out, LINK_ACT_PEER_GONE)->error = *err;
	l->pair_open = l->session_open = l->mover = false;
	link_act(out, LINK_ACT_RESULT)->error = *err;
	link_act(out, LINK_ACT_FINISH);
	set_step(l, LINK_OVER, 0);
}

/* The mover may wait for a peer that is gone; whether it goes on is its own business. */
static void leave_to_mover(struct link *l, struct link_actions *out, const struct kerr *why)
{
	static const struct kerr none;

	if (l->mover)
		link_act(out, LINK_ACT_PEER_GONE)->error = *why;
	l->mover = false;
	link_finish(l, out, &none);
}

static void start_mover(struct link *l, struct link_actions *out)
{
	link_act(out, LINK_ACT_START_MOVER)->flag = l->role == LINK_ROLE_SOURCE;
	l->mover = true;
	set_step(l, LINK_STARTING, 0);
}

/* A failure on this side, of which the peer is told. */
static void link_fail(struct link *l, struct link_actions *out, const struct kerr *err)
{
	send_refused(l, out, err);
	link_finish(l, out, err);
}

/* Our mover gave up before its channel to the other one stood. The other side has made room by
 * now; whoever asked hears of it only when that is undone, so that he can try again at once. */
static void give_up(struct link *l, struct link_actions *out, const struct kerr *err, int64_t now)
{
	l->mover = false;
	if (l->role != LINK_ROLE_SOURCE || l->closed) {
		link_fail(l, out, err);
		return;
	}
	send_refused(l, out, err);
	if (l->session_open)
		link_talk_end(out, TALK_SESSION);
	l->session_open = false;
	l->end_error = *err;
	set_step(l, LINK_ENDING, now + LINK_ENDING_MS);
}

static void bad_message(struct link *l, struct link_actions *out, const char *what)
{
	struct kerr err = {0};

	kerr_set(&err, EBADMSG, KCODE_BAD_MESSAGE,
		 "The other device sent %s; the conversation was ended.", what);
	link_fail(l, out, &err);
}

static void link_on_open(struct link *l, struct link_actions *out, int64_t now)
{
	if (l->step != LINK_OPENING)
		return;
	switch (l->role) {
	case LINK_ROLE_PAIR_OUT:
		l->pair_open = true;
		link_talk(l, out, TALK_START)->flag = true;
		set_step(l, LINK_ASKING, 0);
		return;
	case LINK_ROLE_SOURCE:
	case LINK_ROLE_VIEWER:
		link_talk(l, out, TALK_START);
		set_step(l, LINK_ASKING, 0);
		return;
	case LINK_ROLE_MAIL:
		send_blob(l, out, LINK_CUSTODY, l->reply, l->reply_len);
		break;
	case LINK_ROLE_ASK:
		send_blob(l, out, LINK_OFFERS, NULL, 0);
		break;
	case LINK_ROLE_ANSWER:
	case LINK_ROLE_PAIR_IN:
	case LINK_ROLE_DESTINATION:
	case LINK_ROLE_CUSTODY:
	case LINK_ROLE_TELL:
	case LINK_ROLE_HOLDER:
	case _LINK_ROLE_MAX:
		break;
	}
	set_step(l, LINK_WAITING, now + LINK_STEP_MS);
}

/* Keeps the one message that may come early. False if there is one already. */
static bool link_hold(struct link *l, const struct link_message *m)
{
	if (l->has_held)
		return false;
	l->has_held = copy_blob(&l->held, &l->held_len, m->blob, m->len);
	return l->has_held;
}

static void ask_step(struct link *l, struct link_actions *out, const struct link_message *m)
{
	bool custody = l->role == LINK_ROLE_CUSTODY || l->role == LINK_ROLE_MAIL;
	struct link_action *a =
		custody ? link_ask(l, out, LINK_ACT_ASK_CUSTODY) : link_talk(l, out, TALK_STEP);

	a->message = *m;
	set_step(l, LINK_ASKING, 0);
}

/* What a host has room for, and which VMs it has, is for its owner's devices only. */
static void link_on_question(struct link *l, const struct link_message *m, struct link_actions *out)
{
	struct kerr err = {0};

	l->role = LINK_ROLE_TELL;
	if (m->len) {
		bad_message(l, out, "an answer to no question");
		return;
	}
	if (!l->own) {
		kerr_set(&err, EACCES, KCODE_NOT_ALLOWED,
			 "That device tells only devices of its own owner what it has room for.");
		link_fail(l, out, &err);
		return;
	}
	link_act(out, LINK_ACT_LOOK);
	set_step(l, LINK_ASKING, 0);
}

/* The first message of an accepted channel says what it is for. */
static void link_on_first(struct link *l, const struct link_message *m, struct link_actions *out)
{
	static const struct kerr none;

	if (m->kind == LINK_PAIR) {
		l->role = LINK_ROLE_PAIR_IN;
		l->pair_open = true;
		/* policyd has to be told of the channel first: the blob follows. */
		if (!link_hold(l, m)) {
			bad_message(l, out, "more than fits into memory");
			return;
		}
		link_talk(l, out, TALK_START)->flag = false;
		set_step(l, LINK_ASKING, 0);
	} else if ((m->kind == LINK_SESSION || m->kind == LINK_CONSOLE) && l->known) {
		l->role = m->kind == LINK_SESSION ? LINK_ROLE_DESTINATION : LINK_ROLE_HOLDER;
		l->session_open = true;
		memcpy(l->hid, m->hid, HID_LEN);
		ask_step(l, out, m);
	} else if (m->kind == LINK_CUSTODY && l->known) {
		l->role = LINK_ROLE_CUSTODY;
		ask_step(l, out, m);
	} else if (m->kind == LINK_OFFERS && l->known) {
		link_on_question(l, m, out);
	} else if (m->kind == LINK_REFUSED || m->kind == LINK_BYE) {
		link_finish(l, out, &none); /* the peer thought better of it */
	} else {
		bad_message(l, out, "something that does not begin a conversation");
	}
}

static enum link_kind expected_kind(const struct link *l)
{
	switch (l->role) {
	case LINK_ROLE_PAIR_OUT:
	case LINK_ROLE_PAIR_IN:
		return LINK_PAIR;
	case LINK_ROLE_CUSTODY:
	case LINK_ROLE_MAIL:
		return LINK_CUSTODY;
	case LINK_ROLE_ASK:
	case LINK_ROLE_TELL:
		return LINK_OFFERS;
	case LINK_ROLE_VIEWER:
	case LINK_ROLE_HOLDER:
		return LINK_CONSOLE;
	case LINK_ROLE_SOURCE:
	case LINK_ROLE_DESTINATION:
	case LINK_ROLE_ANSWER:
	case _LINK_ROLE_MAX:
		break;
	}
	return LINK_SESSION;
}

static void link_on_told(struct link *l, const struct link_message *m, struct link_actions *out)
{
	static const struct kerr none;

	if (!m->len) {
		bad_message(l, out, "a question instead of an answer");
		return;
	}
	link_act(out, LINK_ACT_TOLD)->message = *m;
	send_blob(l, out, LINK_BYE, NULL, 0);
	link_finish(l, out, &none);
}

static void link_on_step_message(struct link *l, const struct link_message *m,
				 struct link_actions *out)
{
	if (m->kind != expected_kind(l) ||
	    (carries_session(l->role) && memcmp(m->hid, l->hid, HID_LEN) != 0)) {
		bad_message(l, out, "a message that does not belong to this conversation");
		return;
	}
	switch (l->step) {
	case LINK_WAITING:
		if (l->role == LINK_ROLE_ASK)
			link_on_told(l, m, out);
		else
			ask_step(l, out, m);
		return;
	case LINK_OWNER:
		/* What our owner's yes has made has to go out before the answer to this. */
		if (!link_hold(l, m))
			break;
		link_talk(l, out, TALK_POLL);
		set_step(l, LINK_ASKING, 0);
		return;
	case LINK_ASKING:
		/* Two people confirm at their own time, so in a pairing the peer may be early. */
		if (m->kind == LINK_PAIR && link_hold(l, m))
			return;
		break;
	case LINK_OPENING:
	case LINK_STARTING:
	case LINK_MOVING:
	case LINK_ENDING:
	case LINK_OVER:
	case _LINK_STEP_MAX:
		break;
	}
	bad_message(l, out, "a message before its turn");
}

/* The source gave up while the movers have it: it hears from us when ours has closed. */
static void link_on_called_off(struct link *l, struct link_actions *out, const struct kerr *err,
			       int64_t now)
{
	if (l->role == LINK_ROLE_SOURCE) {
		leave_to_mover(l, out, err);
		return;
	}
	link_act(out, LINK_ACT_PEER_GONE)->error = *err;
	l->mover = false;
	l->end_error = *err;
	set_step(l, LINK_ENDING, now + LINK_ENDING_MS);
}

static void link_on_refused(struct link *l, const struct link_message *m, struct link_actions *out,
			    int64_t now)
{
	struct kerr err;

	if (link_decode_error(m, &err) < 0) {
		bad_message(l, out, "an unreadable refusal");
		return;
	}
	if (l->step == LINK_STARTING) { /* the mover first has to answer */
		l->closed = true;
		l->close_error = err;
	} else if (l->step == LINK_MOVING) {
		link_on_called_off(l, out, &err, now);
	} else {
		l->refused = true;
		link_finish(l, out, l->step == LINK_ENDING ? &l->end_error : &err);
	}
}

static void link_on_bye(struct link *l, struct link_actions *out)
{
	struct kerr err = {0};

	/* The answers still under way decide (a peer that is done says so at once). */
	if (l->step == LINK_ASKING || l->step == LINK_STARTING)
		return;
	if (l->step == LINK_MOVING)
		l->mover = false; /* its own channel stands */
	else if (l->step == LINK_ENDING)
		err = l->end_error;
	/* Nothing (more) to say about a statement is an answer too. */
	else if (l->role != LINK_ROLE_MAIL && l->role != LINK_ROLE_CUSTODY)
		kerr_set(&err, ECONNRESET, KCODE_INTERRUPTED,
			 "The other device ended the conversation early.");
	link_finish(l, out, &err);
}

static void link_on_message(struct link *l, const struct link_message *m, struct link_actions *out,
			    int64_t now)
{
	if (l->role == LINK_ROLE_ANSWER)
		link_on_first(l, m, out);
	else if (m->kind == LINK_REFUSED)
		link_on_refused(l, m, out, now);
	else if (m->kind == LINK_BYE)
		link_on_bye(l, out);
	else
		link_on_step_message(l, m, out);
}

/* Both sides agreed, and ours is the last word or nothing. */
static void link_on_agreed_source(struct link *l, const struct link_event *ev,
				  struct link_actions *out, int64_t now _unused_)
{
	if (ev->message.len)
		send_blob(l, out, LINK_SESSION, ev->message.blob, ev->message.len);
	start_mover(l, out);
}

/* The peer hears that we agree only when our worker waits for its data. */
static void link_on_agreed_destination(struct link *l, const struct link_event *ev,
				       struct link_actions *out, int64_t now _unused_)
{
	copy_blob(&l->reply, &l->reply_len, ev->message.blob, ev->message.len);
	start_mover(l, out);
}

/* The peer's mover waits; ours opens a connection when whoever wants to see asks it to. */
static void link_on_agreed_viewer(struct link *l, const struct link_event *ev _unused_,
				  struct link_actions *out, int64_t now _unused_)
{
	static const struct kerr none;

	l->session_open = false;
	link_finish(l, out, &none);
}

static void link_on_paired(struct link *l, const struct link_event *ev, struct link_actions *out,
			   int64_t now _unused_)
{
	static const struct kerr none;

	if (ev->message.len)
		send_blob(l, out, LINK_PAIR, ev->message.blob, ev->message.len);
	send_blob(l, out, LINK_BYE, NULL, 0);
	link_finish(l, out, &none);
}

/* A sealed refusal says more to the peer's policyd than ours in clear. */
static void link_on_denied(struct link *l, const struct link_event *ev, struct link_actions *out,
			   int64_t now _unused_)
{
	if (ev->message.len)
		send_blob(l, out, expected_kind(l), ev->message.blob, ev->message.len);
	else
		send_refused(l, out, &ev->error);
	l->pair_open = l->session_open = false;
	link_finish(l, out, &ev->error);
}

/* policyd wants to hear more from the peer (or from its owner). */
static void link_on_continue(struct link *l, const struct link_event *ev, struct link_actions *out,
			     int64_t now)
{
	if (ev->message.len)
		send_blob(l, out, expected_kind(l), ev->message.blob, ev->message.len);
	/* Answers come in the order of the questions: this one is of a poll, and a message of the
	 * peer was handed to policyd since. */
	if (l->asks)
		return;
	if (l->has_held) {
		struct link_message m = {.kind = LINK_PAIR, .blob = l->held, .len = l->held_len};

		/* The bytes stay until the next event, which may hold another message. */
		l->has_held = false;
		link_talk(l, out, TALK_STEP)->message = m;
		set_step(l, LINK_ASKING, 0);
		return;
	}
	if (l->closed) {
		link_finish(l, out, &l->close_error);
		return;
	}
	if (ev->state == CONVERSATION_WAIT_OWNER) {
		l->next_poll = now + LINK_POLL_MS;
		set_step(l, LINK_OWNER, now + LINK_OWNER_MS);
	} else {
		set_step(l, LINK_WAITING, now + LINK_STEP_MS);
	}
}

/* The answer to the peer's statement. */
static void link_on_custody_reply(struct link *l, const struct link_event *ev,
				  struct link_actions *out, int64_t now)
{
	static const struct kerr none;

	if (ev->message.len && !l->closed) {
		send_blob(l, out, LINK_CUSTODY, ev->message.blob, ev->message.len);
		set_step(l, LINK_WAITING, now + LINK_STEP_MS);
		return;
	}
	/* Nothing more to say about it now: what is left is said again in a while. */
	send_blob(l, out, LINK_BYE, NULL, 0);
	link_finish(l, out, &none);
}

/* The peer's answer to our statement was heard. */
static void link_on_mail_heard(struct link *l, const struct link_event *ev _unused_,
			       struct link_actions *out, int64_t now _unused_)
{
	static const struct kerr none;

	send_blob(l, out, LINK_BYE, NULL, 0);
	link_finish(l, out, &none);
}

typedef void (*answer_fn)(struct link *l, const struct link_event *ev, struct link_actions *out,
			  int64_t now);

#define EVERY_STATE 0 ... _CONVERSATION_STATE_MAX - 1

/* What an answer of policyd leads to: SEND, WAIT_OWNER, DONE, REFUSED. That to a statement has no
 * state. */
static const answer_fn answers[_LINK_ROLE_MAX][_CONVERSATION_STATE_MAX] = {
	[LINK_ROLE_PAIR_OUT] = {link_on_continue, link_on_continue, link_on_paired, link_on_denied},
	[LINK_ROLE_PAIR_IN] = {link_on_continue, link_on_continue, link_on_paired, link_on_denied},
	[LINK_ROLE_SOURCE] = {link_on_continue, link_on_continue, link_on_agreed_source,
			      link_on_denied},
	[LINK_ROLE_DESTINATION] = {link_on_continue, link_on_continue, link_on_agreed_destination,
				   link_on_denied},
	[LINK_ROLE_VIEWER] = {link_on_continue, link_on_continue, link_on_agreed_viewer,
			      link_on_denied},
	[LINK_ROLE_HOLDER] = {link_on_continue, link_on_continue, link_on_agreed_destination,
			      link_on_denied},
	[LINK_ROLE_CUSTODY] = {[EVERY_STATE] = link_on_custody_reply},
	[LINK_ROLE_MAIL] = {[EVERY_STATE] = link_on_mail_heard},
};

static void link_on_answer(struct link *l, const struct link_event *ev, struct link_actions *out,
			   int64_t now)
{
	answer_fn answer = answers[l->role][ev->state];

	if (l->asks)
		l->asks--;
	if (l->step != LINK_ASKING && l->step != LINK_OWNER)
		return;
	if (ev->error.code != KCODE_OK && ev->state != CONVERSATION_REFUSED)
		link_fail(l, out, &ev->error);
	else if (answer)
		answer(l, ev, out, now);
}

static void link_on_started(struct link *l, const struct link_event *ev, struct link_actions *out,
			    int64_t now)
{
	static const struct kerr none;

	if (l->step != LINK_STARTING)
		return;
	if (ev->error.code != KCODE_OK) {
		give_up(l, out, &ev->error, now);
		return;
	}
	l->session_open = false;
	if (l->closed) {
		link_finish(l, out, &l->close_error);
		return;
	}
	if (l->role != LINK_ROLE_SOURCE)
		send_blob(l, out, expected_kind(l), l->reply, l->reply_len);
	/* Of a console's end the two movers hear by themselves. */
	if (l->role == LINK_ROLE_HOLDER) {
		l->mover = false;
		link_finish(l, out, &none);
		return;
	}
	set_step(l, LINK_MOVING, now + LINK_FINISH_MS);
}

/* Our mover's answer to the peer's question. */
static void link_on_offers(struct link *l, const struct link_event *ev, struct link_actions *out)
{
	static const struct kerr none;

	if (l->role != LINK_ROLE_TELL || l->step != LINK_ASKING)
		return;
	if (ev->error.code != KCODE_OK) {
		link_fail(l, out, &ev->error);
		return;
	}
	send_blob(l, out, LINK_OFFERS, ev->message.blob, ev->message.len);
	link_finish(l, out, &none);
}

static void link_on_stands(struct link *l, struct link_actions *out)
{
	static const struct kerr none;

	if (l->step != LINK_MOVING || l->role != LINK_ROLE_SOURCE)
		return;
	send_blob(l, out, LINK_BYE, NULL, 0);
	l->mover = false;
	link_finish(l, out, &none);
}

static void link_on_ended(struct link *l, const struct link_event *ev, struct link_actions *out,
			  int64_t now)
{
	if (!link_awaits_mover(l))
		return;
	if (l->step != LINK_ENDING && ev->error.code != KCODE_OK) {
		give_up(l, out, &ev->error, now);
		return;
	}
	l->mover = false;
	send_blob(l, out, LINK_BYE, NULL, 0);
	link_finish(l, out, l->step == LINK_ENDING ? &l->end_error : &ev->error);
}

bool link_awaits_mover(const struct link *l)
{
	return l->step == LINK_STARTING || l->step == LINK_MOVING ||
	       (l->step == LINK_ENDING && l->role == LINK_ROLE_DESTINATION);
}

static void link_on_closed(struct link *l, const struct link_event *ev, struct link_actions *out)
{
	static const struct kerr none;

	l->closed = true;
	l->close_error = ev->error;
	/* What policyd or the mover is about to answer may still complete it. */
	if (l->step == LINK_ASKING || l->step == LINK_STARTING)
		return;
	if (l->step == LINK_MOVING)
		leave_to_mover(l, out, &ev->error);
	else if (l->step == LINK_ENDING)
		link_finish(l, out, &l->end_error);
	else
		link_finish(l, out, l->role == LINK_ROLE_CUSTODY ? &none : &ev->error);
}

static void link_on_tick(struct link *l, struct link_actions *out, int64_t now)
{
	static const struct kerr none;
	struct kerr err = {0};

	if (l->step == LINK_MOVING && now >= l->deadline) {
		l->mover = false; /* it has deadlines of its own */
		link_finish(l, out, &none);
		return;
	}
	if (l->step == LINK_ENDING) {
		if (now >= l->deadline)
			link_finish(l, out, &l->end_error);
		return;
	}
	if ((l->deadline && now >= l->deadline) || now >= l->end) {
		kerr_set(&err, ETIMEDOUT,
			 l->role == LINK_ROLE_ASK ? KCODE_UNREACHABLE : KCODE_INTERRUPTED,
			 "The other device did not answer in time.");
		link_fail(l, out, &err);
		return;
	}
	if (l->step == LINK_OWNER && now >= l->next_poll) {
		l->next_poll = INT64_MAX; /* until policyd answered this one */
		link_talk(l, out, TALK_POLL);
	}
}

void link_feed(struct link *l, const struct link_event *ev, int64_t now, struct link_actions *ret)
{
	ret->count = 0;
	if (l->step == LINK_OVER)
		return;
	switch (ev->kind) {
	case LINK_EV_OPEN:
		link_on_open(l, ret, now);
		return;
	case LINK_EV_MESSAGE:
		link_on_message(l, &ev->message, ret, now);
		return;
	case LINK_EV_ASKED:
		link_on_answer(l, ev, ret, now);
		return;
	case LINK_EV_STARTED:
		link_on_started(l, ev, ret, now);
		return;
	case LINK_EV_OFFERS:
		link_on_offers(l, ev, ret);
		return;
	case LINK_EV_STANDS:
		link_on_stands(l, ret);
		return;
	case LINK_EV_ENDED:
		link_on_ended(l, ev, ret, now);
		return;
	case LINK_EV_CLOSED:
		link_on_closed(l, ev, ret);
		return;
	case LINK_EV_CANCEL:
		link_fail(l, ret, &ev->error);
		return;
	case LINK_EV_TICK:
		link_on_tick(l, ret, now);
		return;
	}
}

void link_retry_ended(struct link_retry *r, bool good, int64_t now)
{
	r->pause = good || !r->pause ? LINK_RETRY_MS : 2 * r->pause;
	if (r->pause > LINK_RETRY_MAX_MS)
		r->pause = LINK_RETRY_MAX_MS;
	r->last = now;
	r->next = now + r->pause;
}

void link_retry_sight(struct link_retry *r)
{
	if (r->next > r->last + LINK_RETRY_MS)
		r->next = r->last + LINK_RETRY_MS;
	r->pause = 0;
}

bool link_retry_due(const struct link_retry *r, int64_t now)
{
	return now >= r->next;
}
