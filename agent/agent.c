/* SPDX-License-Identifier: Apache-2.0 */
/* Joins discovery, peers, policyd, mover and the local socket. */
#include "agent/agent.h"

#include <glib-unix.h>
#include <string.h>

#include "agent/changes.h"
#include "agent/channel.h"
#include "agent/listener.h"
#include "agent/mail.h"
#include "agent/now.h"
#include "agent/requests.h"
#include "agent/tls.h"
#include "agent/view.h"
#include "agent/wishes.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"

#define HOUSEKEEPING_MS 10000
#define WINDOW_MS 2000 /* ... while a pairing window is open: nobody tells us when it closes */
#define OVERVIEW_IDLE_MS 30000 /* between unasked looks at policyd: verdicts and leaves age */
#define DEVICES_EVENT_MS 250

struct agent {
	struct config config;
	GMainLoop *loop;
	struct asks *asks;
	struct changes *changes;
	struct courier *courier;
	struct overview *overview;
	struct peers *peers;
	struct listener *listener;
	struct discovery *discovery;
	struct whereabouts *whereabouts;
	struct jobs *jobs;
	struct viewings *viewings;
	struct mail *mail;
	struct channel *channel;
	struct requests *requests;
	struct wishes *wishes;
	struct control *control;
	bool announced; /* our name is in the TXT record */
	int64_t last_look;
	guint house_every; /* milliseconds */
	guint housekeeping, devices_timer, sigterm, sigint, sighup;
};

/* -- what is told to those who watch -- */

static void job_changed(struct agent *a, const struct job *job)
{
	control_broadcast(a->control, view_progress(job, now_ms()));
}

static gboolean on_devices_timer(gpointer data)
{
	struct agent *a = data;

	a->devices_timer = 0;
	control_broadcast(a->control, api_event("devices", json_object()));
	return G_SOURCE_REMOVE;
}

static void devices_changed(void *ctx)
{
	struct agent *a = ctx;

	/* Bundled, so that a flood of announcements is none of events (P2). */
	if (!a->devices_timer)
		a->devices_timer = g_timeout_add(DEVICES_EVENT_MS, on_devices_timer, a);
}

/* -- where devices are -- */

static void on_appeared(void *ctx, const uint8_t id[ADVERT_ID_LEN])
{
	mail_sight(((struct agent *)ctx)->mail, id, ADVERT_ID_LEN);
}

static const struct discovery_events discovery_events = {devices_changed, on_appeared};

static void on_reached(void *ctx, const uint8_t id[DEVICE_ID_LEN], const struct endpoint *at)
{
	struct agent *a = ctx;

	if (!at->port)
		mail_sight(a->mail, id, DEVICE_ID_LEN);
	whereabouts_reached(a->whereabouts, id, at);
}

/* -- hand-offs -- */

static void on_attesting(void *ctx, const uint8_t hid[HID_LEN], const struct endpoint *used)
{
	struct agent *a = ctx;
	struct job *job = jobs_find(a->jobs, hid);
	struct viewing *console = viewings_find(a->viewings, hid, true);

	if (console)
		console->endpoint = *used;
	if (!job)
		return;
	job->endpoint = *used;
	job->progress.phase = PHASE_ATTESTING;
	job_changed(a, job);
}

static void set_peer(struct agent *a, struct job *job, const uint8_t peer[DEVICE_ID_LEN])
{
	memcpy(job->progress.peer, peer, DEVICE_ID_LEN);
	whereabouts_label(a->whereabouts, peer, job->progress.peer_name,
			  sizeof(job->progress.peer_name));
}

static void on_incoming(void *ctx, const uint8_t hid[HID_LEN], const uint8_t peer[DEVICE_ID_LEN],
			const char *from)
{
	struct agent *a = ctx;
	struct job *job = jobs_open(a->jobs, hid, false, now_ms());

	if (!job)
		return;
	set_peer(a, job, peer);
	g_strlcpy(job->endpoint.address, from, sizeof(job->endpoint.address));
	job->progress.phase = PHASE_PREPARING;
	jobs_set_state(job, JOB_MOVING, now_ms());
	job_changed(a, job);
}

static void on_showing(void *ctx, const uint8_t hid[HID_LEN], const uint8_t peer[DEVICE_ID_LEN],
		       const char *from)
{
	struct viewing *e = viewings_add(((struct agent *)ctx)->viewings, hid, false, peer);

	g_strlcpy(e->endpoint.address, from, sizeof(e->endpoint.address));
}

static void on_session(void *ctx, const uint8_t hid[HID_LEN], bool source,
		       const uint8_t peer[DEVICE_ID_LEN], const struct kerr *err)
{
	struct agent *a = ctx;
	struct job *job = jobs_find(a->jobs, hid);

	if (!job && err->code != KCODE_OK)
		job = jobs_open(a->jobs, hid, source, now_ms());
	if (!job || job->state == JOB_ENDED)
		return;
	set_peer(a, job, peer);
	if (err->code == KCODE_OK && job->state == JOB_SESSION) {
		job->progress.phase = PHASE_PREPARING;
		jobs_set_state(job, JOB_MOVING, now_ms());
	} else if (err->code != KCODE_OK) {
		jobs_end(a->jobs, job, err, now_ms());
		job = jobs_find(a->jobs, hid);
		mail_look(a->mail);
	}
	if (job)
		job_changed(a, job);
}

static void agent_look(struct agent *a);

static void on_pairing(void *ctx, const uint8_t peer[DEVICE_ID_LEN], const struct kerr *err)
{
	struct agent *a = ctx;

	control_broadcast(a->control, api_event("pairing", json_pack("{s:o, s:b, s:o}", "device",
								     api_hex(peer, DEVICE_ID_LEN),
								     "ok", err->code == KCODE_OK,
								     "error", api_error(err))));
	devices_changed(a);
	/* The window may be closed now. */
	agent_look(a);
}

static void on_mail(void *ctx, const uint8_t peer[DEVICE_ID_LEN], const struct kerr *err)
{
	mail_said(((struct agent *)ctx)->mail, peer, err);
}

static enum places_rank on_rank(void *ctx, const char *address)
{
	return whereabouts_rank(((struct agent *)ctx)->whereabouts, address);
}

static const struct peers_events peers_events = {
	.rank = on_rank,
	.reached = on_reached,
	.attesting = on_attesting,
	.incoming = on_incoming,
	.showing = on_showing,
	.session = on_session,
	.pairing = on_pairing,
	.mail = on_mail,
};

/* -- the mover -- */

/* While the two movers have no channel of their own, the other one hears from us how it stands.
 * True: it is told first that this one ended. */
static bool tell_peer(struct agent *a, const struct mover_progress *p)
{
	struct kerr err = p->error;

	switch (p->phase) {
	case PHASE_COPYING_DISK:
	case PHASE_COPYING_MEMORY:
	case PHASE_SWITCHING:
		peers_stands(a->peers, p->hid);
		return false;
	case PHASE_FAILED:
		kerr_set(&err, EIO, KCODE_FAILED, "The hand-off failed.");
		return peers_ended(a->peers, p->hid, &err);
	case PHASE_DONE:
		peers_ended(a->peers, p->hid, &err);
		return false;
	case PHASE_CHECKING:
	case PHASE_ATTESTING:
	case PHASE_PREPARING:
	case PHASE_SHUTTING_DOWN:
	case _PHASE_MAX:
		break;
	}
	return false;
}

static void on_progress(void *ctx, const struct mover_progress *p)
{
	struct agent *a = ctx;
	struct job *job;

	if (tell_peer(a, p))
		return;
	job = jobs_progress(a->jobs, p, now_ms());

	if (!job)
		return;
	job_changed(a, job);
	/* What its workers did not get said is ours to say now. */
	if (job->state == JOB_ENDED)
		mail_look(a->mail);
}

static bool is_listed(const struct job *job, const struct mover_progress *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(list[i].hid, job->progress.hid, HID_LEN) == 0)
			return true;
	return false;
}

/* After a restart of the mover (or ours): its list counts; what it does not know has ended. */
static void on_jobs(void *arg, int r, const struct kerr *err _unused_,
		    const struct mover_progress *list, size_t count)
{
	struct agent *a = arg;
	struct kerr lost = {0};

	if (r < 0)
		return;
	kerr_set(&lost, EIO, KCODE_INTERRUPTED, "The local service kith-mover was restarted.");
	for (size_t i = count; i-- > 0;)
		on_progress(a, &list[i]);
	for (size_t i = jobs_count(a->jobs); i-- > 0;) {
		struct job *job = jobs_get(a->jobs, i);

		if (job->state == JOB_MOVING && !is_listed(job, list, count)) {
			struct job copy = *job;

			jobs_end(a->jobs, job, &lost, now_ms());
			copy.progress.phase = PHASE_FAILED;
			copy.progress.error = lost;
			copy.state = JOB_ENDED;
			job_changed(a, &copy);
		}
	}
}

static void on_mover(void *ctx)
{
	struct agent *a = ctx;

	mover_client_jobs(courier_client(a->courier), on_jobs, a);
}

static void on_mover_lost(void *ctx)
{
	struct agent *a = ctx;
	struct kerr err = {0};

	kerr_set(&err, ECONNRESET, KCODE_INTERRUPTED, "The local service kith-mover went away.");
	peers_mover_lost(a->peers, &err);
}

static void on_dial(void *ctx, const uint8_t hid[HID_LEN], uint16_t channel)
{
	channel_dial(((struct agent *)ctx)->channel, hid, channel);
}

static const struct courier_events courier_events = {
	.mover = {.dial = on_dial, .progress = on_progress},
	.connected = on_mover,
	.lost = on_mover_lost,
};

/* -- policyd -- */

static void prepare_overview(void *ctx, struct ask *ask)
{
	struct agent *a = ctx;
	struct tls_identity *id = peers_identity(a->peers);
	uint8_t *spki;
	size_t len;

	if (tls_identity_spki(id, &spki, &len) < 0)
		return;
	ask->blob = g_bytes_new(spki, len);
	free(spki);
	/* Also before each handshake, so that no peer sees one that ran out while we slept. */
	ask->flag =
		!tls_identity_ready(id, ask->peer) || tls_identity_due(id, (int64_t)clock_unix());
}

static void publish(struct agent *a)
{
	struct advert ad = {.role = a->config.role};
	uint8_t id[DEVICE_ID_LEN];

	if (!tls_identity_ready(peers_identity(a->peers), id))
		return;
	memcpy(ad.id, id, sizeof(ad.id));
	if (a->announced)
		memcpy(ad.name, a->config.name, sizeof(ad.name));
	discovery_publish(a->discovery, &ad, listener_port(a->listener));
}

/* A name is said aloud only while the owner wants this device to be found by it. */
static void set_announced(struct agent *a, bool announced)
{
	announced = announced && text_is_name(a->config.name, NAME_MAX_LEN);
	if (a->announced == announced)
		return;
	log_info("agent", "The name \"%s\" is announced: %s -> %s.", a->config.name,
		 a->announced ? "yes" : "no", announced ? "yes" : "no");
	a->announced = announced;
	publish(a);
}

static void tell_known(struct agent *a)
{
	size_t count;
	const struct policyd_peer *peers = overview_peers(a->overview, &count);
	uint8_t(*ids)[ADVERT_ID_LEN] = g_malloc0((count + 1) * ADVERT_ID_LEN);

	for (size_t i = 0; i < count; i++)
		memcpy(ids[i], peers[i].id, ADVERT_ID_LEN);
	discovery_set_known(a->discovery, (const uint8_t(*)[ADVERT_ID_LEN])ids, count);
	g_free(ids);
}

static void on_overview(void *ctx, struct ask *ask)
{
	struct agent *a = ctx;

	if (ask->leaf) {
		int r = tls_identity_set_chain(peers_identity(a->peers), ask->leaf, ask->leaf_len,
					       ask->device, ask->device_len);

		if (r < 0) {
			log_error("agent", "kith-policyd's certificate is of no use: %s.",
				  g_strerror(-r));
		} else {
			log_info("agent", "This device has its certificate; peers may come.");
			publish(a);
			mail_look(a->mail);
		}
	}
	set_announced(a, overview_window_open(a->overview));
	/* A policyd that is away for a moment makes nobody a stranger to discovery. */
	if (ask->r == 0)
		tell_known(a);
}

static const struct overview_hooks overview_hooks = {prepare_overview, on_overview};

static gboolean on_housekeeping(gpointer data);

static void keep_house(void *user)
{
	struct agent *a = user;
	guint every = overview_window_open(a->overview) ? WINDOW_MS : HOUSEKEEPING_MS;

	/* Begun anew at each change it might never come to its end. */
	if (a->house_every == every)
		return;
	if (a->housekeeping)
		g_source_remove(a->housekeeping);
	a->house_every = every;
	a->housekeeping = g_timeout_add(every, on_housekeeping, a);
}

static void agent_look(struct agent *a)
{
	a->last_look = now_ms();
	overview_refresh(a->overview, keep_house, a);
}

static gboolean on_housekeeping(gpointer data)
{
	struct agent *a = data;
	bool ready = tls_identity_ready(peers_identity(a->peers), NULL);

	notify_turn(-1, ready ? "Ready."
			      : "It has no certificate yet: kith-policyd does not run, "
				"is locked, or has no cloud.");
	discovery_expire(a->discovery);
	if (overview_window_open(a->overview) || now_ms() - a->last_look >= OVERVIEW_IDLE_MS)
		agent_look(a);
	return G_SOURCE_CONTINUE;
}

/* -- policyd -- */

static void on_policyd_changed(void *ctx)
{
	struct agent *a = ctx;

	agent_look(a);
	mail_look(a->mail);
	wishes_look(a->wishes);
	control_broadcast(a->control, api_event("changed", json_object()));
}

static void on_policyd_lost(void *ctx)
{
	agent_look(ctx);
}

/* -- life -- */

static void on_tls(void *ctx, int fd)
{
	struct agent *a = ctx;

	peers_accept(a->peers, fd);
}

static void on_data(void *ctx, int fd, const uint8_t hid[HID_LEN], uint16_t channel)
{
	channel_accept(((struct agent *)ctx)->channel, fd, hid, channel);
}

static const struct listener_events listener_events = {on_rank, on_tls, on_data};

static void on_request(void *ctx, const struct asker *asker, const struct api_request *r)
{
	requests_handle(((struct agent *)ctx)->requests, asker, r);
}

static gboolean on_signal(gpointer data)
{
	g_main_loop_quit(((struct agent *)data)->loop);
	return G_SOURCE_CONTINUE;
}

static gboolean on_reload(gpointer data)
{
	struct agent *a = data;

	config_reload(&a->config, CONFIG_KITHD);
	control_look_again(a->control);
	publish(a);
	return G_SOURCE_CONTINUE;
}

/* What needs nothing from outside. */
static int make_parts(struct agent *a, const char *policyd, const char *mover, struct kerr *err)
{
	a->jobs = jobs_new();
	a->viewings = viewings_new();
	a->discovery = discovery_new(&discovery_events, a);
	if (!a->jobs || !a->viewings || !a->discovery)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	a->asks = asks_new(policyd);
	a->overview = overview_new(a->asks, &overview_hooks, a);
	a->courier = courier_new(mover, &courier_events, a);
	a->whereabouts = whereabouts_new(a->overview, a->discovery, a->config.port);
	a->channel = channel_new(a->courier, a->jobs, a->viewings, a->whereabouts);
	return 0;
}

/* The three doors: peers, local programs, and the port. */
static int open_doors(struct agent *a, const char *control, struct kerr *err)
{
	struct peers_parts parts = {a->loop, a->asks, a->courier, a->overview};
	int r = peers_new(&parts, &peers_events, a, &a->peers);

	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED,
				"libwebsockets cannot be set up; is its GLib plug-in "
				"(libwebsockets-evlib-glib) installed?");
	a->mail = mail_new(&(struct mail_parts){a->asks, a->peers, a->jobs, a->whereabouts});
	r = control_new(control, a->config.owner, requests_rows, on_request, a, &a->control);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "Cannot listen on %s: %s.", control,
				g_strerror(-r));
	r = listener_new(a->config.port, &listener_events, a, &a->listener);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "Cannot listen on TCP port %u: %s.",
				a->config.port, g_strerror(-r));
	return 0;
}

static void make_requests(struct agent *a)
{
	const struct requests_parts parts = {
		.config = &a->config,
		.asks = a->asks,
		.courier = a->courier,
		.overview = a->overview,
		.peers = a->peers,
		.jobs = a->jobs,
		.viewings = a->viewings,
		.discovery = a->discovery,
		.whereabouts = a->whereabouts,
		.port = listener_port(a->listener),
		.control = a->control,
	};

	a->requests = requests_new(&parts);
	a->wishes = wishes_new(&parts);
}

int agent_new(const struct config *config, struct agent **ret, struct kerr *err)
{
	_cleanup_(agent_freep) struct agent *a = g_new0(struct agent, 1);
	char policyd[256], mover[256], control[256];
	int r;

	a->config = *config;
	a->loop = g_main_loop_new(NULL, FALSE);
	if (config_run_path(&a->config, POLICYD_SOCKET, policyd, sizeof(policyd)) < 0 ||
	    config_run_path(&a->config, MOVER_SOCKET, mover, sizeof(mover)) < 0 ||
	    config_run_path(&a->config, CONTROL_SOCKET, control, sizeof(control)) < 0)
		return kerr_set(err, ENAMETOOLONG, KCODE_USAGE,
				"The run directory's path is too long.");
	r = make_parts(a, policyd, mover, err);
	if (r == 0)
		r = open_doors(a, control, err);
	if (r < 0)
		return r;
	make_requests(a);
	a->changes = changes_new(policyd, on_policyd_changed, on_policyd_lost, a);
	a->sigterm = g_unix_signal_add(SIGTERM, on_signal, a);
	a->sigint = g_unix_signal_add(SIGINT, on_signal, a);
	a->sighup = g_unix_signal_add(SIGHUP, on_reload, a);
	keep_house(a);
	agent_look(a);
	*ret = TAKE_PTR(a);
	return 0;
}

static void remove_source(guint id)
{
	if (id)
		g_source_remove(id);
}

struct agent *agent_free(struct agent *a)
{
	if (!a)
		return NULL;
	remove_source(a->sigterm);
	remove_source(a->sigint);
	remove_source(a->sighup);
	remove_source(a->housekeeping);
	remove_source(a->devices_timer);
	listener_free(a->listener);
	channel_free(a->channel);
	changes_free(a->changes);
	mail_free(a->mail);
	peers_free(a->peers);
	/* It answers what still waits for the mover, so before those who asked. */
	courier_free(a->courier);
	wishes_free(a->wishes);
	requests_free(a->requests);
	control_free(a->control);
	overview_free(a->overview);
	asks_free(a->asks);
	whereabouts_free(a->whereabouts);
	discovery_free(a->discovery);
	jobs_free(a->jobs);
	viewings_free(a->viewings);
	if (a->loop)
		g_main_loop_unref(a->loop);
	g_free(a);
	return NULL;
}

void agent_run(struct agent *a)
{
	log_info("agent", "Listening on TCP port %u.", listener_port(a->listener));
	notify_turn(-1, "Ready.");
	g_main_loop_run(a->loop);
}
