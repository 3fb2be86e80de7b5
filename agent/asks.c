/* SPDX-License-Identifier: Apache-2.0 */
/* The queue to policyd and the typed requests that go through it. */
#include "agent/asks.h"

#include <poll.h>
#include <string.h>

#include "base/log.h"

#define WAITING_MAX 128

struct asks {
	char *path;
	GThreadPool *thread;	   /* exactly one */
	struct ipc_client *client; /* only the thread touches it */
	GList *open;		   /* main loop: submitted, not yet answered */
	guint open_count;
	gint stopping;
};

struct ticket {
	struct asks *q;
	struct ask *a;
};

struct ask *ask_new(int (*run)(struct ipc_client *c, struct ask *a),
		    void (*done)(struct ask *a, void *user), void *user)
{
	struct ask *a = g_new0(struct ask, 1);

	a->run = run;
	a->done = done;
	a->user = user;
	return a;
}

static void ask_free(struct ask *a)
{
	g_clear_pointer(&a->blob, g_bytes_unref);
	g_clear_pointer(&a->reply, g_bytes_unref);
	free(a->peers);
	free(a->vms);
	free(a->letters);
	free(a->wanted);
	free(a->leaf);
	free(a->device);
	g_free(a);
}

static gboolean on_answer(gpointer data)
{
	struct ticket *t = data;
	struct asks *q = t->q;
	struct ask *a = t->a;

	g_free(t);
	q->open = g_list_remove(q->open, a);
	q->open_count--;
	if (a->done)
		a->done(a, a->user);
	ask_free(a);
	g_rc_box_release(q);
	return G_SOURCE_REMOVE;
}

/* A policyd that was restarted has hung up: notice before the request is lost on it. */
static bool hung_up(const struct ipc_client *c)
{
	struct pollfd p = {.fd = ipc_client_fd(c), .events = POLLIN};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static int connect_client(struct asks *q, struct kerr *err)
{
	int r;

	if (q->client && hung_up(q->client))
		q->client = ipc_client_free(q->client);
	if (q->client)
		return 0;
	r = ipc_client_new(q->path, &q->client);
	if (r < 0)
		return kerr_set(err, -r, KCODE_NOT_READY,
				"The local service kith-policyd does not answer: %s.",
				strerror(-r));
	return 0;
}

static void run_in_thread(gpointer data, gpointer user)
{
	struct ticket *t = data;
	struct asks *q = user;

	if (g_atomic_int_get(&q->stopping))
		t->a->r = kerr_set(&t->a->err, ECANCELED, KCODE_CANCELLED, "kithd is ending.");
	else
		t->a->r = connect_client(q, &t->a->err);
	if (t->a->r == 0)
		t->a->r = t->a->run(q->client, t->a);
	/* A lost or late answer would be taken for the next request's. */
	if (t->a->r < 0 && t->a->err.code == KCODE_INTERRUPTED && q->client)
		q->client = ipc_client_free(q->client);
	g_idle_add_full(G_PRIORITY_DEFAULT, on_answer, t, NULL);
}

struct asks *asks_new(const char *path)
{
	struct asks *q = g_rc_box_new0(struct asks);

	q->path = g_strdup(path);
	q->thread = g_thread_pool_new(run_in_thread, q, 1, TRUE, NULL);
	return q;
}

struct asks *asks_free(struct asks *q)
{
	if (!q)
		return NULL;
	for (GList *l = q->open; l; l = l->next)
		((struct ask *)l->data)->done = NULL;
	g_atomic_int_set(&q->stopping, 1);
	g_thread_pool_free(q->thread, FALSE, TRUE);
	ipc_client_free(q->client);
	g_free(q->path);
	/* Answers that the main loop has not taken yet still hold it. */
	g_rc_box_release(q);
	return NULL;
}

void asks_submit(struct asks *q, struct ask *a)
{
	struct ticket *t = g_new(struct ticket, 1);

	*t = (struct ticket){g_rc_box_acquire(q), a};
	q->open = g_list_prepend(q->open, a);
	if (q->open_count++ >= WAITING_MAX) {
		a->r = kerr_set(&a->err, EBUSY, KCODE_BUSY,
				"Too many requests wait for kith-policyd.");
		g_idle_add_full(G_PRIORITY_DEFAULT, on_answer, t, NULL);
		return;
	}
	g_thread_pool_push(q->thread, t, NULL);
}

void asks_forget(struct asks *q, const void *user)
{
	for (GList *l = q->open; l; l = l->next) {
		struct ask *a = l->data;

		if (a->user == user)
			a->done = NULL;
	}
}

static const uint8_t *blob_data(const struct ask *a, size_t *ret_len)
{
	gsize len = 0;
	const uint8_t *data = a->blob ? g_bytes_get_data(a->blob, &len) : NULL;

	*ret_len = len;
	return data;
}

/* A device without keys, without a cloud or locked refuses some of it: then there is nothing.
 * False only if policyd is gone. */
static bool still_there(struct ask *a, int r, const char *what)
{
	if (r == 0)
		return true;
	if (a->err.code == KCODE_INTERRUPTED)
		return false;
	log_debug("policyd", "%s: %s", what, a->err.text);
	kerr_clear(&a->err);
	return true;
}

static int ask_leaf(struct ipc_client *c, struct ask *a)
{
	static const uint8_t no_id[DEVICE_ID_LEN];
	size_t len;
	const uint8_t *spki = blob_data(a, &len);

	if (!spki || memcmp(a->status.device_id, no_id, DEVICE_ID_LEN) == 0 ||
	    (!a->flag && memcmp(a->status.device_id, a->peer, DEVICE_ID_LEN) == 0))
		return 0;
	return policyd_client_tls_leaf(c, spki, len, &a->leaf, &a->leaf_len, &a->device,
				       &a->device_len, &a->err);
}

int ask_overview(struct ipc_client *c, struct ask *a)
{
	int r = policyd_client_status(c, &a->status, &a->err);

	if (r < 0)
		return r;
	r = policyd_client_peers(c, &a->peers, &a->peer_count, &a->err);
	if (!still_there(a, r, "peers"))
		return -ECONNRESET;
	r = policyd_client_pair_status(c, &a->window, &a->err);
	if (!still_there(a, r, "pairing window"))
		return -ECONNRESET;
	return still_there(a, ask_leaf(c, a), "certificate") ? 0 : -ECONNRESET;
}

int ask_vms(struct ipc_client *c, struct ask *a)
{
	int r = policyd_client_status(c, &a->status, &a->err);

	return r < 0 ? r : policyd_client_vms(c, &a->vms, &a->vm_count, &a->err);
}

/* The blob of the answer is the client's buffer, so it is copied before the next request. */
int ask_talk(struct ipc_client *c, struct ask *a)
{
	struct policyd_talk talk = {.kind = a->talk, .verb = a->verb, .initiator = a->flag};
	struct policyd_conversation conv;
	int r;

	memcpy(talk.hid, a->hid, sizeof(talk.hid));
	memcpy(talk.peer, a->peer, sizeof(talk.peer));
	memcpy(talk.exporter, a->exporter, sizeof(talk.exporter));
	talk.blob = blob_data(a, &talk.len);
	r = policyd_client_converse(c, &talk, &conv, &a->err);
	if (r < 0)
		return r;
	a->state = conv.state;
	a->refused = conv.error;
	a->reply = g_bytes_new(conv.blob, conv.len);
	return 0;
}

int ask_custody(struct ipc_client *c, struct ask *a)
{
	_cleanup_free_ uint8_t *reply = NULL;
	size_t len, reply_len = 0;
	const uint8_t *blob = blob_data(a, &len);
	int r = policyd_client_custody_step(c, a->peer, blob, len, &reply, &reply_len, &a->err);

	if (r == 0)
		a->reply = g_bytes_new(reply, reply_len);
	return r;
}

int ask_outbox(struct ipc_client *c, struct ask *a)
{
	int r = policyd_client_custody_outbox(c, &a->letters, &a->letter_count, &a->err);

	return still_there(a, r, "outbox") ? 0 : -ECONNRESET;
}

int ask_wanted(struct ipc_client *c, struct ask *a)
{
	int r = policyd_client_wanted(c, &a->wanted, &a->wanted_count, &a->err);

	return still_there(a, r, "wanted") ? 0 : -ECONNRESET;
}
