/* SPDX-License-Identifier: Apache-2.0 */
/* From policyd's outbox to the peers, one talk at a time for each. */
#include "agent/mail.h"

#include <string.h>

#include "agent/link.h"
#include "agent/now.h"
#include "agent/tls.h"
#include "base/log.h"

#define ADDRESSEES_MAX 16
#define LOOK_MS 5000 /* between looks, while somebody has to hear something */

enum mail_state {
	MAIL_NEW,
	MAIL_HEARD,   /* the last time the peer could be talked to */
	MAIL_UNHEARD, /* it could not */
};

static const char *const state_names[] = {
	[MAIL_NEW] = "new",
	[MAIL_HEARD] = "heard",
	[MAIL_UNHEARD] = "unheard",
};

/* A peer that has to hear something; there is hardly ever one. */
struct addressee {
	uint8_t peer[DEVICE_ID_LEN];
	enum mail_state state;
	bool talking;  /* one talk at a time */
	bool wanted;   /* policyd's outbox still has something for it */
	unsigned turn; /* which of several statements is next */
	struct link_retry retry;
};

struct mail {
	struct mail_parts parts;
	struct addressee rows[ADDRESSEES_MAX];
	size_t count;
	bool asked; /* policyd, for its outbox */
	bool again; /* there may be more in it than what it will answer */
	guint timer;
};

static void set_state(const struct mail *m, struct addressee *to, enum mail_state state,
		      const char *because)
{
	char label[NAME_MAX_LEN + 1];

	if (to->state == state)
		return;
	whereabouts_label(m->parts.whereabouts, to->peer, label, sizeof(label));
	log_notice("mail", "%s has to hear about an undecided hand-off: %s -> %s%s%s", label,
		   state_names[to->state], state_names[state], *because ? ": " : "", because);
	to->state = state;
}

static struct addressee *find_addressee(struct mail *m, const uint8_t *peer, size_t len)
{
	for (size_t i = 0; i < m->count; i++)
		if (memcmp(m->rows[i].peer, peer, len) == 0)
			return &m->rows[i];
	return NULL;
}

static void mail_want(struct mail *m, const uint8_t peer[DEVICE_ID_LEN])
{
	struct addressee *to = find_addressee(m, peer, DEVICE_ID_LEN);

	if (!to && m->count < ADDRESSEES_MAX) {
		to = &m->rows[m->count++];
		*to = (struct addressee){.state = MAIL_NEW};
		memcpy(to->peer, peer, DEVICE_ID_LEN);
	}
	if (to)
		to->wanted = true;
}

/* With several for one peer each has its turn. */
static const struct policyd_letter *next_letter(struct addressee *to, const struct ask *ask)
{
	const struct policyd_letter *found = NULL;
	unsigned count = 0, turn;

	for (size_t i = 0; i < ask->letter_count; i++)
		count += memcmp(ask->letters[i].peer, to->peer, DEVICE_ID_LEN) == 0;
	turn = count ? to->turn++ % count : 0;
	for (size_t i = 0; i < ask->letter_count && !found; i++)
		if (memcmp(ask->letters[i].peer, to->peer, DEVICE_ID_LEN) == 0 && turn-- == 0)
			found = &ask->letters[i];
	return found;
}

static void mail_say(const struct mail *m, struct addressee *to, const struct ask *ask)
{
	struct peers_target t = {.id_len = DEVICE_ID_LEN};
	const struct policyd_letter *letter;
	int64_t now = now_ms();

	if (to->talking || !link_retry_due(&to->retry, now) ||
	    jobs_switching(m->parts.jobs, to->peer, now))
		return;
	letter = next_letter(to, ask);
	memcpy(t.id, to->peer, DEVICE_ID_LEN);
	whereabouts_label(m->parts.whereabouts, t.id, t.label, sizeof(t.label));
	whereabouts_find(m->parts.whereabouts, t.id, DEVICE_ID_LEN, &t);
	to->talking = letter && peers_mail(m->parts.peers, &t, letter->statement, letter->len) == 0;
}

static void mail_drop(struct mail *m, struct addressee *to)
{
	char label[NAME_MAX_LEN + 1];

	whereabouts_label(m->parts.whereabouts, to->peer, label, sizeof(label));
	if (to->state != MAIL_NEW)
		log_notice("mail", "%s has to hear of no hand-off any more.", label);
	*to = m->rows[--m->count];
}

static gboolean mail_on_timer(gpointer data)
{
	struct mail *m = data;

	m->timer = 0;
	mail_look(m);
	return G_SOURCE_REMOVE;
}

static void take_outbox(struct mail *m, const struct ask *ask)
{
	for (size_t i = 0; i < m->count; i++)
		m->rows[i].wanted = false;
	for (size_t i = 0; i < ask->letter_count; i++)
		mail_want(m, ask->letters[i].peer);
	for (size_t i = m->count; i-- > 0;) {
		struct addressee *to = &m->rows[i];

		if (to->wanted)
			mail_say(m, to, ask);
		else if (!to->talking)
			mail_drop(m, to);
	}
}

static void on_outbox(struct ask *ask, void *user)
{
	struct mail *m = user;
	bool again = m->again;

	m->asked = m->again = false;
	if (ask->r == 0)
		take_outbox(m, ask);
	if (again)
		mail_look(m);
	else if ((m->count || ask->r < 0) && !m->timer)
		m->timer = g_timeout_add(LOOK_MS, mail_on_timer, m);
}

void mail_look(struct mail *m)
{
	m->again |= m->asked;
	if (m->asked || !tls_identity_ready(peers_identity(m->parts.peers), NULL))
		return;
	m->asked = true;
	asks_submit(m->parts.asks, ask_new(ask_outbox, on_outbox, m));
}

void mail_said(struct mail *m, const uint8_t peer[DEVICE_ID_LEN], const struct kerr *err)
{
	struct addressee *to = find_addressee(m, peer, DEVICE_ID_LEN);

	if (!to)
		return;
	to->talking = false;
	link_retry_ended(&to->retry, err->code == KCODE_OK, now_ms());
	set_state(m, to, err->code == KCODE_OK ? MAIL_HEARD : MAIL_UNHEARD, err->text);
}

void mail_sight(struct mail *m, const uint8_t *id, size_t len)
{
	struct addressee *to = find_addressee(m, id, len);

	if (!to)
		return;
	link_retry_sight(&to->retry);
	mail_look(m);
}

struct mail *mail_new(const struct mail_parts *parts)
{
	struct mail *m = g_new0(struct mail, 1);

	m->parts = *parts;
	return m;
}

struct mail *mail_free(struct mail *m)
{
	if (!m)
		return NULL;
	if (m->timer)
		g_source_remove(m->timer);
	asks_forget(m->parts.asks, m);
	g_free(m);
	return NULL;
}
