/* SPDX-License-Identifier: Apache-2.0 */
/* Cache of policyd's view. Only hints hang on it: policyd checks everything again itself. */
#include "agent/overview.h"

#include <string.h>

#define MIN_INTERVAL_MS 100
#define PERSON_INTERVAL_MS 20 /* while the device's owner waits for the answer */

struct waiter {
	void (*fn)(void *user);
	void *user;
	bool person;
};

struct overview {
	struct asks *asks;
	const struct overview_hooks *hooks;
	void *ctx;
	bool valid;
	struct kerr error;
	struct policyd_status status;
	struct policyd_pair_status window;
	struct policyd_peer *peers;
	size_t peer_count;
	GList *waiting, *next; /* for the question that is out, and for the one after it */
	bool asking;
	gint64 last_asked;
	guint timer;
};

static void overview_ask(struct overview *o);

static gboolean on_timer(gpointer data)
{
	struct overview *o = data;

	o->timer = 0;
	overview_ask(o);
	return G_SOURCE_REMOVE;
}

static gint64 interval_ms(const struct overview *o)
{
	for (const GList *l = o->next; l; l = l->next)
		if (((const struct waiter *)l->data)->person)
			return PERSON_INTERVAL_MS;
	return MIN_INTERVAL_MS;
}

static void overview_ask_soon(struct overview *o)
{
	gint64 left = interval_ms(o) - (g_get_monotonic_time() - o->last_asked) / 1000;

	if (o->asking)
		return;
	if (o->timer)
		g_source_remove(o->timer);
	o->timer = 0;
	if (o->last_asked && left > 0)
		o->timer = g_timeout_add((guint)left, on_timer, o);
	else
		overview_ask(o);
}

static void overview_take(struct overview *o, struct ask *a)
{
	free(o->peers);
	o->peers = TAKE_PTR(a->peers);
	o->peer_count = a->peer_count;
	o->status = a->status;
	o->window = a->window;
	o->valid = a->r == 0;
	o->error = a->err;
	if (!o->valid) {
		free(o->peers);
		o->peers = NULL;
		o->peer_count = 0;
		o->window = (struct policyd_pair_status){0};
	}
}

static void on_answer(struct ask *a, void *user)
{
	struct overview *o = user;

	o->asking = false;
	overview_take(o, a);
	o->hooks->changed(o->ctx, a);
	while (o->waiting) {
		struct waiter *w = o->waiting->data;

		o->waiting = g_list_delete_link(o->waiting, o->waiting);
		w->fn(w->user);
		g_free(w);
	}
	if (o->next)
		overview_ask_soon(o);
}

static void overview_ask(struct overview *o)
{
	struct ask *a;

	o->asking = true;
	o->last_asked = g_get_monotonic_time();
	o->waiting = g_list_concat(o->waiting, o->next);
	o->next = NULL;
	a = ask_new(ask_overview, on_answer, o);
	o->hooks->prepare(o->ctx, a);
	asks_submit(o->asks, a);
}

struct overview *overview_new(struct asks *asks, const struct overview_hooks *hooks, void *ctx)
{
	struct overview *o = g_new0(struct overview, 1);

	o->asks = asks;
	o->hooks = hooks;
	o->ctx = ctx;
	kerr_set(&o->error, EAGAIN, KCODE_NOT_READY, "kithd is still starting.");
	return o;
}

struct overview *overview_free(struct overview *o)
{
	if (!o)
		return NULL;
	asks_forget(o->asks, o);
	if (o->timer)
		g_source_remove(o->timer);
	g_list_free_full(o->waiting, g_free);
	g_list_free_full(o->next, g_free);
	free(o->peers);
	g_free(o);
	return NULL;
}

static void add_waiter(struct overview *o, struct waiter waiter)
{
	struct waiter *w = g_new(struct waiter, 1);

	*w = waiter;
	o->next = g_list_append(o->next, w);
	overview_ask_soon(o);
}

void overview_refresh(struct overview *o, void (*fn)(void *user), void *user)
{
	add_waiter(o, (struct waiter){fn, user, false});
}

void overview_refresh_for_person(struct overview *o, void (*fn)(void *user), void *user)
{
	add_waiter(o, (struct waiter){fn, user, true});
}

bool overview_is_fresh(const struct overview *o, int64_t age_ms)
{
	return o->valid && (g_get_monotonic_time() - o->last_asked) / 1000 < age_ms;
}

static GList *without(GList *list, const void *user)
{
	for (GList *l = list, *following; l; l = following) {
		struct waiter *w = l->data;

		following = l->next;
		if (w->user == user) {
			g_free(w);
			list = g_list_delete_link(list, l);
		}
	}
	return list;
}

void overview_forget(struct overview *o, const void *user)
{
	o->waiting = without(o->waiting, user);
	o->next = without(o->next, user);
}

bool overview_is_open(const struct policyd_status *st, struct kerr *why)
{
	switch (st->state) {
	case POLICYD_STATE_READY:
	case POLICYD_STATE_NO_CLOUD:
		return true;
	case POLICYD_STATE_LOCKED:
	case POLICYD_STATE_ROLLBACK:
	case POLICYD_STATE_NO_TPM:
	case _POLICYD_STATE_MAX:
		break;
	}
	kerr_set(why, EAGAIN, KCODE_LOCKED, "This device is locked (%s): %s",
		 policyd_state_to_string(st->state), st->detail);
	return false;
}

int overview_status(const struct overview *o, struct policyd_status *ret, struct kerr *err)
{
	if (!o->valid)
		return kerr_set(err, EAGAIN, o->error.code, "%s", o->error.text);
	*ret = o->status;
	return 0;
}

bool overview_tells(const struct overview *o, struct kerr *why)
{
	if (o->valid)
		return overview_is_open(&o->status, why);
	kerr_set(why, EAGAIN, o->error.code, "%s", o->error.text);
	return false;
}

bool overview_window_open(const struct overview *o)
{
	return o->valid && o->window.open;
}

const struct policyd_peer *overview_peers(const struct overview *o, size_t *ret_count)
{
	*ret_count = o->peer_count;
	return o->peers;
}

const struct policyd_peer *overview_peer(const struct overview *o, const uint8_t id[DEVICE_ID_LEN])
{
	for (size_t i = 0; i < o->peer_count; i++)
		if (memcmp(o->peers[i].id, id, DEVICE_ID_LEN) == 0)
			return &o->peers[i];
	return NULL;
}
