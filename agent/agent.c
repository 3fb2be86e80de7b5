/* SPDX-License-Identifier: Apache-2.0 */
/* Joins discovery, peers, policyd, mover and the local socket. */
#include "agent/agent.h"

#include <glib-unix.h>
#include <pwd.h>
#include <string.h>

#include "agent/agent-internal.h"
#include "agent/tls.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#define HOUSEKEEPING_MS 2000
#define OVERVIEW_IDLE_MS 30000 /* between unasked looks at policyd */
#define DEVICES_EVENT_MS 250
#define OUTBOX_S 5 /* between looks for custody statements to say again */

/* -- what is told to those who watch -- */

void agent_job_changed(struct agent *a, const struct job *job)
{
	control_broadcast(a->control, api_event("progress", json_pack("{s:o}", "job",
								      requests_job_json(a, job))));
}

static gboolean on_devices_timer(gpointer data)
{
	struct agent *a = data;

	a->devices_timer = 0;
	control_broadcast(a->control, api_event("devices", json_object()));
	return G_SOURCE_REMOVE;
}

static void agent_devices_changed(struct agent *a)
{
	/* Bundled, so that a flood of announcements is none of events (P2). */
	if (!a->devices_timer)
		a->devices_timer = g_timeout_add(DEVICES_EVENT_MS, on_devices_timer, a);
}

/* -- custody statements that a peer has to hear (W7, W11) -- */

static const char *const mail_state_names[_MAIL_STATE_MAX] = {
	[MAIL_NEW] = "new",
	[MAIL_HEARD] = "heard",
	[MAIL_UNHEARD] = "unheard",
};
DEFINE_NAMES(mail_state, enum mail_state, _MAIL_STATE_MAX)

static void set_mail_state(struct agent *a, struct mail *m, enum mail_state state,
			   const char *because)
{
	char label[NAME_MAX_LEN + 1];

	if (m->state == state)
		return;
	agent_device_label(a, m->peer, DEVICE_ID_LEN, label, sizeof(label));
	log_notice("mail", "%s has to hear about an undecided hand-off: %s -> %s%s%s", label,
		   mail_state_to_string(m->state), mail_state_to_string(state),
		   *because ? ": " : "", because);
	m->state = state;
}

static struct mail *find_mail(struct agent *a, const uint8_t *peer, size_t len)
{
	for (size_t i = 0; i < a->mail_count; i++)
		if (memcmp(a->mail[i].peer, peer, len) == 0)
			return &a->mail[i];
	return NULL;
}

static void want_mail(struct agent *a, const uint8_t peer[DEVICE_ID_LEN])
{
	struct mail *m = find_mail(a, peer, DEVICE_ID_LEN);

	if (!m && a->mail_count < AGENT_MAIL_MAX) {
		m = &a->mail[a->mail_count++];
		*m = (struct mail){.state = MAIL_NEW};
		memcpy(m->peer, peer, DEVICE_ID_LEN);
	}
	if (m)
		m->wanted = true;
}

/* With several for one peer each has its turn. */
static const struct policyd_letter *next_letter(struct mail *m, const struct ask *ask)
{
	const struct policyd_letter *found = NULL;
	unsigned count = 0, turn;

	for (size_t i = 0; i < ask->letter_count; i++)
		count += memcmp(ask->letters[i].peer, m->peer, DEVICE_ID_LEN) == 0;
	turn = count ? m->turn++ % count : 0;
	for (size_t i = 0; i < ask->letter_count && !found; i++)
		if (memcmp(ask->letters[i].peer, m->peer, DEVICE_ID_LEN) == 0 && turn-- == 0)
			found = &ask->letters[i];
	return found;
}

static void say(struct agent *a, struct mail *m, const struct ask *ask)
{
	struct peers_target t = {.id_len = DEVICE_ID_LEN};
	const struct policyd_letter *letter;
	int64_t now = agent_now_ms();

	if (m->talking || !link_retry_due(&m->retry, now) || jobs_switching(a->jobs, m->peer, now))
		return;
	letter = next_letter(m, ask);
	memcpy(t.id, m->peer, DEVICE_ID_LEN);
	agent_device_label(a, t.id, DEVICE_ID_LEN, t.label, sizeof(t.label));
	agent_find_endpoints(a, t.id, DEVICE_ID_LEN, &t);
	m->talking = letter && peers_mail(a->peers, &t, letter->statement, letter->len) == 0;
}

static void drop_mail(struct agent *a, struct mail *m)
{
	char label[NAME_MAX_LEN + 1];

	agent_device_label(a, m->peer, DEVICE_ID_LEN, label, sizeof(label));
	if (m->state != MAIL_NEW)
		log_notice("mail", "%s has to hear of no hand-off any more.", label);
	*m = a->mail[--a->mail_count];
}

static void on_outbox(struct ask *ask, void *user)
{
	struct agent *a = user;

	a->outbox_asked = false;
	if (ask->r < 0)
		return;
	for (size_t i = 0; i < a->mail_count; i++)
		a->mail[i].wanted = false;
	for (size_t i = 0; i < ask->letter_count; i++)
		want_mail(a, ask->letters[i].peer);
	for (size_t i = a->mail_count; i-- > 0;) {
		struct mail *m = &a->mail[i];

		if (m->wanted)
			say(a, m, ask);
		else if (!m->talking)
			drop_mail(a, m);
	}
}

static void look_into_outbox(struct agent *a)
{
	if (a->outbox_asked || !tls_identity_ready(peers_identity(a->peers), NULL))
		return;
	a->outbox_asked = true;
	asks_submit(a->asks, ask_new(ask_outbox, on_outbox, a));
}

static gboolean on_outbox_timer(gpointer data)
{
	look_into_outbox(data);
	return G_SOURCE_CONTINUE;
}

static void on_mail(void *ctx, const uint8_t peer[DEVICE_ID_LEN], const struct kerr *err)
{
	struct agent *a = ctx;
	struct mail *m = find_mail(a, peer, DEVICE_ID_LEN);

	if (!m)
		return;
	m->talking = false;
	link_retry_ended(&m->retry, err->code == KCODE_OK, agent_now_ms());
	set_mail_state(a, m, err->code == KCODE_OK ? MAIL_HEARD : MAIL_UNHEARD, err->text);
}

static void mail_sight(struct agent *a, const uint8_t *peer, size_t len)
{
	struct mail *m = find_mail(a, peer, len);

	if (!m)
		return;
	link_retry_sight(&m->retry);
	look_into_outbox(a);
}

/* -- where devices are -- */

static void on_discovered(void *ctx)
{
	agent_devices_changed(ctx);
}

static void on_appeared(void *ctx, const uint8_t id[ADVERT_ID_LEN])
{
	mail_sight(ctx, id, ADVERT_ID_LEN);
}

static const struct discovery_events discovery_events = {on_discovered, on_appeared};

static void on_reached(void *ctx, const uint8_t id[DEVICE_ID_LEN], const struct endpoint *at)
{
	struct agent *a = ctx;

	if (!at->port)
		mail_sight(a, id, DEVICE_ID_LEN);
	agent_reached(a, id, at);
}

void agent_device_label(struct agent *a, const uint8_t *id, size_t len, char *ret, size_t size)
{
	const struct policyd_peer *p = len == DEVICE_ID_LEN ? overview_peer(a->overview, id) : NULL;
	const struct sighting *s = roster_find(discovery_roster(a->discovery), id);
	char hex[9];

	hex_encode(id, 4, hex);
	if (p)
		snprintf(ret, size, "%s", p->name);
	else if (s && s->name[0])
		snprintf(ret, size, "%s", s->name);
	else
		snprintf(ret, size, "device-%s", hex);
}

/* -- hand-offs -- */

static void on_attesting(void *ctx, const uint8_t hid[HID_LEN], const struct endpoint *used)
{
	struct agent *a = ctx;
	struct job *job = jobs_find(a->jobs, hid);

	if (!job)
		return;
	job->endpoint = *used;
	job->progress.phase = PHASE_ATTESTING;
	agent_job_changed(a, job);
}

static void set_peer(struct agent *a, struct job *job, const uint8_t peer[DEVICE_ID_LEN])
{
	memcpy(job->progress.peer, peer, DEVICE_ID_LEN);
	agent_device_label(a, peer, DEVICE_ID_LEN, job->progress.peer_name,
			   sizeof(job->progress.peer_name));
}

static void on_incoming(void *ctx, const uint8_t hid[HID_LEN], const uint8_t peer[DEVICE_ID_LEN],
			const char *from)
{
	struct agent *a = ctx;
	struct job *job = jobs_open(a->jobs, hid, false, agent_now_ms());

	if (!job)
		return;
	set_peer(a, job, peer);
	g_strlcpy(job->endpoint.address, from, sizeof(job->endpoint.address));
	job->progress.phase = PHASE_PREPARING;
	jobs_set_state(job, JOB_MOVING, agent_now_ms());
	agent_job_changed(a, job);
}

static void on_session(void *ctx, const uint8_t hid[HID_LEN], bool source,
		       const uint8_t peer[DEVICE_ID_LEN], const struct kerr *err)
{
	struct agent *a = ctx;
	struct job *job = jobs_find(a->jobs, hid);

	if (!job && err->code != KCODE_OK)
		job = jobs_open(a->jobs, hid, source, agent_now_ms());
	if (!job || job->state == JOB_ENDED)
		return;
	set_peer(a, job, peer);
	if (err->code == KCODE_OK && job->state == JOB_SESSION) {
		job->progress.phase = PHASE_PREPARING;
		jobs_set_state(job, JOB_MOVING, agent_now_ms());
	} else if (err->code != KCODE_OK) {
		jobs_end(a->jobs, job, err, agent_now_ms());
		job = jobs_find(a->jobs, hid);
		look_into_outbox(a);
	}
	if (job)
		agent_job_changed(a, job);
}

static void after_look(void *user);

static void on_pairing(void *ctx, const uint8_t peer[DEVICE_ID_LEN], const struct kerr *err)
{
	struct agent *a = ctx;

	control_broadcast(a->control, api_event("pairing", json_pack("{s:o, s:b, s:o}", "device",
								     api_hex(peer, DEVICE_ID_LEN),
								     "ok", err->code == KCODE_OK,
								     "error", api_error(err))));
	agent_devices_changed(a);
	/* The window may be closed now. */
	overview_refresh(a->overview, after_look, a);
}

static enum places_rank on_rank(void *ctx, const char *address)
{
	return agent_rank(ctx, address);
}

static const struct peers_events peers_events = {
	.rank = on_rank,
	.reached = on_reached,
	.attesting = on_attesting,
	.incoming = on_incoming,
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
	job = jobs_progress(a->jobs, p, agent_now_ms());

	if (!job)
		return;
	agent_job_changed(a, job);
	/* What its workers did not get said is ours to say now. */
	if (job->state == JOB_ENDED)
		look_into_outbox(a);
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

			jobs_end(a->jobs, job, &lost, agent_now_ms());
			copy.progress.phase = PHASE_FAILED;
			copy.progress.error = lost;
			copy.state = JOB_ENDED;
			agent_job_changed(a, &copy);
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

static const struct courier_events courier_events = {
	.mover = {.dial = channel_dial, .progress = on_progress},
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
			look_into_outbox(a);
		}
	}
	set_announced(a, overview_window_open(a->overview));
	/* A policyd that is away for a moment makes nobody a stranger to discovery. */
	if (ask->r == 0)
		tell_known(a);
}

static const struct overview_hooks overview_hooks = {prepare_overview, on_overview};

static void after_look(void *user _unused_)
{
}

static gboolean on_housekeeping(gpointer data)
{
	struct agent *a = data;
	bool ready = tls_identity_ready(peers_identity(a->peers), NULL);
	int64_t now = agent_now_ms();

	discovery_expire(a->discovery);
	/* Nobody tells us when an open pairing window closes. */
	if (!ready || overview_window_open(a->overview) || now - a->last_look >= OVERVIEW_IDLE_MS) {
		a->last_look = now;
		overview_refresh(a->overview, after_look, a);
	}
	return G_SOURCE_CONTINUE;
}

/* -- life -- */

static void on_tls(void *ctx, int fd)
{
	struct agent *a = ctx;

	peers_accept(a->peers, fd);
}

static const struct listener_events listener_events = {on_rank, on_tls, channel_accept};

static gboolean on_signal(gpointer data)
{
	g_main_loop_quit(((struct agent *)data)->loop);
	return G_SOURCE_CONTINUE;
}

static int make_parts(struct agent *a, struct kerr *err)
{
	char policyd[256], mover[256], control[256];
	struct peers_parts parts;
	int r;

	if (config_run_path(&a->config, POLICYD_SOCKET, policyd, sizeof(policyd)) < 0 ||
	    config_run_path(&a->config, MOVER_SOCKET, mover, sizeof(mover)) < 0 ||
	    config_run_path(&a->config, CONTROL_SOCKET, control, sizeof(control)) < 0)
		return kerr_set(err, ENAMETOOLONG, KCODE_USAGE,
				"The run directory's path is too long.");
	a->asks = asks_new(policyd);
	a->overview = overview_new(a->asks, &overview_hooks, a);
	a->courier = courier_new(mover, &courier_events, a);
	parts = (struct peers_parts){a->loop, a->asks, a->courier, a->overview};
	r = peers_new(&parts, &peers_events, a, &a->peers);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED,
				"libwebsockets cannot be set up; is its GLib plug-in "
				"(libwebsockets-evlib-glib) installed?");
	r = control_new(control, a->owner, requests_handle, a, &a->control);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "Cannot listen on %s: %s.", control,
				g_strerror(-r));
	r = listener_new(a->config.port, &listener_events, a, &a->listener);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "Cannot listen on TCP port %u: %s.",
				a->config.port, g_strerror(-r));
	a->discovery = discovery_new(&discovery_events, a);
	return a->discovery ? 0 : kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
}

int agent_new(const struct config *config, struct agent **ret, struct kerr *err)
{
	_cleanup_(agent_freep) struct agent *a = g_new0(struct agent, 1);
	const struct passwd *pw = getpwnam(config->owner);
	int r;

	a->config = *config;
	a->owner = pw ? pw->pw_uid : 0;
	a->loop = g_main_loop_new(NULL, FALSE);
	a->jobs = jobs_new();
	if (!a->jobs)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "Out of memory.");
	r = make_parts(a, err);
	if (r < 0)
		return r;
	a->sigterm = g_unix_signal_add(SIGTERM, on_signal, a);
	a->sigint = g_unix_signal_add(SIGINT, on_signal, a);
	a->housekeeping = g_timeout_add(HOUSEKEEPING_MS, on_housekeeping, a);
	a->outbox_timer = g_timeout_add_seconds(OUTBOX_S, on_outbox_timer, a);
	overview_refresh(a->overview, after_look, a);
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
	remove_source(a->housekeeping);
	remove_source(a->outbox_timer);
	remove_source(a->devices_timer);
	listener_free(a->listener);
	channel_cancel_all(a);
	peers_free(a->peers);
	/* It answers what still waits for the mover, so before those who asked. */
	courier_free(a->courier);
	requests_free(a);
	control_free(a->control);
	overview_free(a->overview);
	asks_free(a->asks);
	discovery_free(a->discovery);
	jobs_free(a->jobs);
	if (a->loop)
		g_main_loop_unref(a->loop);
	g_free(a);
	return NULL;
}

void agent_run(struct agent *a)
{
	log_info("agent", "Listening on TCP port %u.", listener_port(a->listener));
	g_main_loop_run(a->loop);
}
