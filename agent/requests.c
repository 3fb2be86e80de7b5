/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers behind the request table of api.c. */
#include <gio/gio.h>
#include <netdb.h>
#include <string.h>

#include "agent/now.h"
#include "agent/requests.h"
#include "agent/view.h"
#include "base/buf.h"
#include "base/config.h"
#include "base/log.h"

#define PREFIX_MIN 4 /* hex digits that name a device */
#define STRANGER_AGE_MS 2000

struct requests {
	struct requests_parts parts;
	GList *calls; /* that wait for something */
};

/* A request that waits for policyd, the mover, the resolver or a peer. */
struct call {
	struct requests *q;
	struct control_peer peer;
	struct api_request request;
	struct peers_target target;
	uint16_t port; /* of an address that is being resolved */
	GCancellable *cancellable;
	void (*resolved)(struct call *c);
	struct policyd_vm *vms;
	size_t vm_count;
	struct kerr locked; /* why policyd cannot tell of them */
};

static struct call *call_new(struct requests *q, const struct control_peer *peer,
			     const struct api_request *r)
{
	struct call *c = g_new0(struct call, 1);

	c->q = q;
	c->peer = *peer;
	c->request = *r;
	q->calls = g_list_prepend(q->calls, c);
	return c;
}

static void call_free(struct call *c)
{
	c->q->calls = g_list_remove(c->q->calls, c);
	if (c->cancellable) {
		g_cancellable_cancel(c->cancellable);
		g_object_unref(c->cancellable);
	}
	free(c->vms);
	g_free(c);
}

static void call_reply(struct call *c, json_t *result)
{
	control_reply(c->q->parts.control, &c->peer, api_reply(c->request.id, result));
	call_free(c);
}

static void call_fail(struct call *c, const struct kerr *err)
{
	control_reply(c->q->parts.control, &c->peer, api_reply_error(c->request.id, err));
	call_free(c);
}

struct requests *requests_new(const struct requests_parts *parts)
{
	struct requests *q = g_new0(struct requests, 1);

	q->parts = *parts;
	return q;
}

struct requests *requests_free(struct requests *q)
{
	if (!q)
		return NULL;
	while (q->calls) {
		struct call *c = q->calls->data;

		asks_forget(q->parts.asks, c);
		overview_forget(q->parts.overview, c);
		call_free(c);
	}
	g_free(q);
	return NULL;
}

/* -- status -- */

static void on_status(void *user)
{
	struct call *c = user;
	const struct requests_parts *p = &c->q->parts;
	struct view_device here = {p->config, overview_window_open(p->overview),
				   courier_client(p->courier) != NULL,
				   discovery_running(p->discovery), listener_port(p->listener)};
	struct policyd_status st;
	struct kerr why = {0};
	int r = overview_status(p->overview, &st, &why);

	call_reply(c, view_status(&here, r < 0 ? NULL : &st, &why));
}

/* Other users get what was true a moment ago: the questions that policyd is asked are the owner's
 * (A3). */
static void look(struct call *c, void (*fn)(void *user))
{
	struct requests *q = c->q;

	if (control_is_owner(q->parts.control, c->peer.uid))
		overview_refresh_for_person(q->parts.overview, fn, c);
	else if (overview_is_fresh(q->parts.overview, STRANGER_AGE_MS))
		fn(c);
	else
		overview_refresh(q->parts.overview, fn, c);
}

static void handle_status(struct requests *q, const struct control_peer *peer,
			  const struct api_request *r)
{
	look(call_new(q, peer, r), on_status);
}

/* -- devices -- */

static void on_devices(void *user)
{
	struct call *c = user;
	struct requests *q = c->q;
	json_t *list = json_array();
	struct kerr why = {0};
	bool known = overview_tells(q->parts.overview, &why);
	const struct roster *roster = discovery_roster(q->parts.discovery);
	char label[NAME_MAX_LEN + 1];
	size_t count;
	const struct policyd_peer *peers = overview_peers(q->parts.overview, &count);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(
			list, view_paired(&peers[i], roster_find(roster, peers[i].id), now_ms()));
	for (size_t i = 0; i < roster_count(discovery_roster(q->parts.discovery)); i++) {
		const struct sighting *s = roster_get(discovery_roster(q->parts.discovery), i);
		bool paired = false;

		for (size_t j = 0; j < count && !paired; j++)
			paired = memcmp(peers[j].id, s->id, ADVERT_ID_LEN) == 0;
		whereabouts_label(q->parts.whereabouts, s->id, ADVERT_ID_LEN, label, sizeof(label));
		if (!paired)
			json_array_append_new(list, view_stranger(s, label, known, now_ms()));
	}
	call_reply(c, json_pack("{s:o, s:o}", "devices", list, "error", api_error(&why)));
}

static void handle_devices(struct requests *q, const struct control_peer *peer,
			   const struct api_request *r)
{
	look(call_new(q, peer, r), on_devices);
}

/* -- naming a device -- */

/* True if `text` is "device-" (or nothing) and at least PREFIX_MIN hex digits that `id` begins
 * with. */
static bool names_id(const char *text, const uint8_t *id, size_t id_len)
{
	char hex[2 * DEVICE_ID_LEN + 1];
	size_t len;

	if (g_str_has_prefix(text, "device-"))
		text += strlen("device-");
	len = strlen(text);
	hex_encode(id, id_len, hex);
	/* The full id also names a device of which only the announced part is known. */
	if (len == 2 * DEVICE_ID_LEN)
		return g_ascii_strncasecmp(text, hex, 2 * id_len) == 0;
	return len >= PREFIX_MIN && len <= 2 * id_len && g_ascii_strncasecmp(text, hex, len) == 0;
}

/* 1 = exactly one paired device is meant, 0 = none, negative with *err = several. */
static int find_paired(struct requests *q, const char *text, struct peers_target *t,
		       struct kerr *err)
{
	size_t count, hits = 0;
	const struct policyd_peer *peers = overview_peers(q->parts.overview, &count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(peers[i].name, text) != 0 && !names_id(text, peers[i].id, DEVICE_ID_LEN))
			continue;
		hits++;
		memcpy(t->id, peers[i].id, DEVICE_ID_LEN);
		t->id_len = DEVICE_ID_LEN;
		snprintf(t->label, sizeof(t->label), "%s", peers[i].name);
	}
	if (hits > 1)
		return kerr_set(err, EINVAL, KCODE_USAGE,
				"\"%s\" could be more than one device; give more of its id.", text);
	return hits == 1;
}

/* Appends an announced id to a list for people, as long as there is room. */
static void add_id(char *ids, size_t size, const uint8_t id[ADVERT_ID_LEN])
{
	size_t len = strlen(ids);
	char hex[2 * ADVERT_ID_LEN + 1];

	hex_encode(id, ADVERT_ID_LEN, hex);
	if (size - len > sizeof(hex) + 2)
		snprintf(ids + len, size - len, "%s%s", len ? ", " : "", hex);
}

static int ambiguous(struct kerr *err, const char *text, const char *ids)
{
	return kerr_set(err, EINVAL, KCODE_USAGE,
			"\"%s\" could be more than one device: %s. Name it by its id; `kith "
			"status` on it shows that.",
			text, ids);
}

static int find_sighted(struct requests *q, const char *text, struct peers_target *t,
			struct kerr *err)
{
	char ids[4 * (2 * ADVERT_ID_LEN + 2) + 1] = "";
	size_t hits = 0;

	for (size_t i = 0; i < roster_count(discovery_roster(q->parts.discovery)); i++) {
		const struct sighting *s = roster_get(discovery_roster(q->parts.discovery), i);

		if (strcmp(s->name, text) != 0 && !names_id(text, s->id, ADVERT_ID_LEN))
			continue;
		hits++;
		add_id(ids, sizeof(ids), s->id);
		memcpy(t->id, s->id, ADVERT_ID_LEN);
		t->id_len = ADVERT_ID_LEN;
		whereabouts_label(q->parts.whereabouts, s->id, ADVERT_ID_LEN, t->label,
				  sizeof(t->label));
	}
	return hits > 1 ? ambiguous(err, text, ids) : hits == 1;
}

/* Whom to pair with. A name that is announced is only a claim, so even a paired device of that
 * name does not win over a stranger that says it has it too. */
static int find_pairable(struct requests *q, const char *text, struct peers_target *t,
			 struct kerr *err)
{
	struct peers_target seen = {0};
	char ids[2 * (2 * ADVERT_ID_LEN + 2) + 1] = "";
	int paired = find_paired(q, text, t, err);
	int sighted = paired < 0 ? paired : find_sighted(q, text, &seen, err);

	if (sighted < 0)
		return sighted;
	if (paired && sighted && memcmp(t->id, seen.id, ADVERT_ID_LEN) != 0) {
		add_id(ids, sizeof(ids), t->id);
		add_id(ids, sizeof(ids), seen.id);
		return ambiguous(err, text, ids);
	}
	if (!paired)
		*t = seen;
	return paired || sighted;
}

/* -- addresses that people typed -- */

static bool is_numeric(const char *host)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *ai;

	if (getaddrinfo(host, NULL, &hints, &ai) != 0)
		return false;
	freeaddrinfo(ai);
	return true;
}

static bool is_id(const char *text)
{
	bool named = g_str_has_prefix(text, "device-");

	if (named)
		text += strlen("device-");
	return (named || strlen(text) >= 8) &&
	       strspn(text, "0123456789abcdefABCDEF") == strlen(text);
}

static void add_text(struct peers_target *t, const char *host, uint16_t port)
{
	struct endpoint e = {.port = port};

	if (g_strlcpy(e.address, host, sizeof(e.address)) < sizeof(e.address))
		whereabouts_add(t, &e);
}

static void on_resolved(GObject *source, GAsyncResult *result, gpointer data)
{
	g_autoptr(GError) error = NULL;
	GList *found = g_resolver_lookup_by_name_finish(G_RESOLVER(source), result, &error);
	struct call *c = data;

	/* The request ended meanwhile: it is freed. */
	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return;
	for (GList *l = found; l; l = l->next) {
		g_autofree char *text = g_inet_address_to_string(l->data);

		add_text(&c->target, text, c->port);
	}
	g_resolver_free_addresses(found);
	g_clear_object(&c->cancellable);
	c->resolved(c);
}

/* Adds what host[:port] means to the target, then calls `next` (perhaps later). */
static int resolve_address(struct call *c, const char *text, void (*next)(struct call *c),
			   struct kerr *err)
{
	g_autoptr(GSocketConnectable) parsed = NULL;
	g_autoptr(GResolver) resolver = NULL;
	const char *host;

	/* Nobody means the name server when typing a device's id. */
	if (is_id(text))
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND, "There is no device \"%s\" in sight.",
				text);
	/* A bare IPv6 address has colons, but no port. */
	if (is_numeric(text)) {
		add_text(&c->target, text, c->q->parts.config->port);
		next(c);
		return 0;
	}
	parsed = g_network_address_parse(text, c->q->parts.config->port, NULL);
	if (!parsed)
		return kerr_set(err, EINVAL, KCODE_NOT_FOUND,
				"There is no device \"%s\" in sight, and it is no address either.",
				text);
	host = g_network_address_get_hostname(G_NETWORK_ADDRESS(parsed));
	c->port = g_network_address_get_port(G_NETWORK_ADDRESS(parsed));
	if (is_numeric(host)) {
		add_text(&c->target, host, c->port);
		next(c);
		return 0;
	}
	c->resolved = next;
	c->cancellable = g_cancellable_new();
	resolver = g_resolver_get_default();
	g_resolver_lookup_by_name_async(resolver, host, c->cancellable, on_resolved, c);
	return 0;
}

/* -- pair -- */

static void on_pair_started(void *user, const struct kerr *err)
{
	struct call *c = user;

	if (err->code != KCODE_OK)
		call_fail(c, err);
	else
		call_reply(c, json_pack("{s:b, s:s}", "started", 1, "device", c->target.label));
}

static void pair_now(struct call *c)
{
	if (!c->target.label[0])
		snprintf(c->target.label, sizeof(c->target.label), "%.63s", c->request.device);
	peers_pair(c->q->parts.peers, &c->target, on_pair_started, c);
}

static void on_may_pair(void *user)
{
	struct call *c = user;
	struct kerr err = {0};
	int r = find_pairable(c->q, c->request.device, &c->target, &err);

	if (r > 0) {
		whereabouts_find(c->q->parts.whereabouts, c->target.id, c->target.id_len,
				 &c->target);
		pair_now(c);
		return;
	}
	if (r == 0)
		r = resolve_address(c, c->request.device, pair_now, &err);
	if (r < 0)
		call_fail(c, &err);
}

static void handle_pair(struct requests *q, const struct control_peer *peer,
			const struct api_request *r)
{
	overview_refresh(q->parts.overview, on_may_pair, call_new(q, peer, r));
}

/* -- hand-offs -- */

static void handoff_now(struct call *c)
{
	struct requests *q = c->q;
	struct job *job = jobs_open(q->parts.jobs, c->request.hid, true, now_ms());
	struct kerr err = {0};

	if (!job) {
		kerr_set(&err, EBUSY, errno == EEXIST ? KCODE_EXISTS : KCODE_BUSY,
			 errno == EEXIST ? "This hand-off is under way already."
					 : "Too many hand-offs are open on this device.");
		call_fail(c, &err);
		return;
	}
	memcpy(job->progress.peer, c->target.id, DEVICE_ID_LEN);
	snprintf(job->progress.peer_name, sizeof(job->progress.peer_name), "%s", c->target.label);
	q->parts.job_changed(q->parts.ctx, job);
	peers_handoff(q->parts.peers, c->request.hid, &c->target);
	call_reply(c, json_pack("{s:b}", "started", 1));
}

static void handoff_resolved(struct call *c)
{
	whereabouts_find(c->q->parts.whereabouts, c->target.id, c->target.id_len, &c->target);
	handoff_now(c);
}

static void on_may_hand_off(void *user)
{
	struct call *c = user;
	struct kerr err = {0};
	int r = find_paired(c->q, c->request.device, &c->target, &err);

	if (r == 0)
		r = kerr_set(&err, ENOENT, KCODE_PEER_UNKNOWN,
			     "No device \"%s\" is paired with this one.", c->request.device);
	if (r > 0 && !c->request.address[0]) {
		handoff_resolved(c);
		return;
	}
	if (r > 0)
		r = resolve_address(c, c->request.address, handoff_resolved, &err);
	if (r < 0)
		call_fail(c, &err);
}

static void handle_handoff(struct requests *q, const struct control_peer *peer,
			   const struct api_request *r)
{
	overview_refresh(q->parts.overview, on_may_hand_off, call_new(q, peer, r));
}

static void handle_jobs(struct requests *q, const struct control_peer *peer,
			const struct api_request *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < jobs_count(q->parts.jobs); i++)
		json_array_append_new(list, view_job(jobs_get(q->parts.jobs, i)));
	control_reply(q->parts.control, peer, api_reply(r->id, json_pack("{s:o}", "jobs", list)));
}

/* -- cancel -- */

static void on_cancelled(void *arg, int r, const struct kerr *err)
{
	struct call *c = arg;

	if (r < 0)
		call_fail(c, err);
	else
		call_reply(c, json_pack("{s:b}", "cancelling", 1));
}

static void cancel_at_mover(struct requests *q, const struct control_peer *peer,
			    const struct api_request *r)
{
	struct mover_client *mover = courier_client(q->parts.courier);
	struct call *c = call_new(q, peer, r);
	struct kerr err = {0};

	if (mover && mover_client_cancel(mover, r->hid, on_cancelled, c) == 0)
		return;
	kerr_set(&err, EAGAIN, KCODE_NOT_READY, "The local service kith-mover does not answer.");
	call_fail(c, &err);
}

static void handle_cancel(struct requests *q, const struct control_peer *peer,
			  const struct api_request *r)
{
	struct job *job = jobs_find(q->parts.jobs, r->hid);
	struct kerr err = {0};

	if (!job || job->state == JOB_ENDED) {
		kerr_set(&err, ENOENT, KCODE_NOT_FOUND, "There is no such hand-off under way.");
		control_reply(q->parts.control, peer, api_reply_error(r->id, &err));
		return;
	}
	kerr_set(&err, ECANCELED, KCODE_CANCELLED, "The hand-off was cancelled.");
	if (job->state == JOB_SESSION && peers_cancel(q->parts.peers, r->hid, &err) == 0)
		control_reply(q->parts.control, peer,
			      api_reply(r->id, json_pack("{s:b}", "cancelling", 1)));
	else
		cancel_at_mover(q, peer, r);
}

/* -- VMs -- */

static void reply_vms(struct call *c, const struct mover_vm *domains, size_t count,
		      const struct kerr *mover_error)
{
	bool locked = c->locked.code != KCODE_OK;
	json_t *list = json_array();

	for (size_t i = 0; i < c->vm_count; i++) {
		const struct mover_vm *m = NULL;

		for (size_t j = 0; j < count && !m; j++)
			if (memcmp(domains[j].uuid, c->vms[i].uuid, UUID_LEN) == 0)
				m = &domains[j];
		json_array_append_new(list, view_vm(&c->vms[i], m, locked));
	}
	for (size_t j = 0; j < count; j++) {
		bool listed = false;

		for (size_t i = 0; i < c->vm_count && !listed; i++)
			listed = memcmp(domains[j].uuid, c->vms[i].uuid, UUID_LEN) == 0;
		if (!listed)
			json_array_append_new(list, view_vm(NULL, &domains[j], locked));
	}
	call_reply(c, json_pack("{s:o, s:o, s:o}", "vms", list, "error", api_error(&c->locked),
				"mover_error", api_error(mover_error)));
}

static void on_domains(void *arg, int r, const struct kerr *err, const struct mover_vm *domains,
		       size_t count)
{
	static const struct kerr none;

	reply_vms(arg, domains, count, r < 0 ? err : &none);
}

static void on_vms(struct ask *ask, void *user)
{
	struct call *c = user;
	struct mover_client *mover = courier_client(c->q->parts.courier);
	struct kerr err = {0};

	/* A device without a cloud has VMs too. */
	if (ask->r < 0 && ask->err.code == KCODE_INTERRUPTED) {
		call_fail(c, &ask->err);
		return;
	}
	c->vms = TAKE_PTR(ask->vms);
	c->vm_count = ask->vm_count;
	overview_is_open(&ask->status, &c->locked);
	if (mover && mover_client_vms(mover, on_domains, c) == 0)
		return;
	kerr_set(&err, EAGAIN, KCODE_NOT_READY, "The local service kith-mover does not answer.");
	reply_vms(c, NULL, 0, &err);
}

static void handle_vms(struct requests *q, const struct control_peer *peer,
		       const struct api_request *r)
{
	asks_submit(q->parts.asks, ask_new(ask_vms, on_vms, call_new(q, peer, r)));
}

/* -- watch -- */

static void handle_watch(struct requests *q, const struct control_peer *peer,
			 const struct api_request *r)
{
	control_set_watching(q->parts.control, peer);
	control_reply(q->parts.control, peer, api_reply(r->id, json_pack("{s:b}", "watching", 1)));
}

/* `owner`: only the device's owner and root may ask (policyd decides once more). All answers but
 * those of `status` and `devices` name VMs or hand-offs, and a hand-off's number is what a data
 * connection is known by (N10). */
static const struct {
	void (*handle)(struct requests *q, const struct control_peer *peer,
		       const struct api_request *r);
	bool owner, logged;
} rows[_API_OP_MAX] = {
	[API_STATUS] = {handle_status, false, false},
	[API_DEVICES] = {handle_devices, false, false},
	[API_PAIR] = {handle_pair, true, true},
	[API_VMS] = {handle_vms, true, false},
	[API_HANDOFF] = {handle_handoff, true, true},
	[API_JOBS] = {handle_jobs, true, false},
	[API_CANCEL] = {handle_cancel, true, true},
	[API_WATCH] = {handle_watch, true, false},
};

void requests_handle(void *ctx, const struct control_peer *peer, const struct api_request *r)
{
	struct requests *q = ctx;
	struct kerr err = {0};

	if (!rows[r->op].owner || control_is_owner(q->parts.control, peer->uid)) {
		if (rows[r->op].logged)
			log_info("control", "uid %u, pid %d: %s", (unsigned)peer->uid,
				 (int)peer->pid, api_op_to_string(r->op));
		rows[r->op].handle(q, peer, r);
		return;
	}
	log_debug("control", "uid %u, pid %d may not ask for %s", (unsigned)peer->uid,
		  (int)peer->pid, api_op_to_string(r->op));
	kerr_set(
		&err, EPERM, KCODE_NOT_ALLOWED,
		"Only this device's owner and root may ask kithd for \"%s\"; this user may ask for "
		"\"status\" and \"devices\".",
		api_op_to_string(r->op));
	control_reply(q->parts.control, peer, api_reply_error(r->id, &err));
}
