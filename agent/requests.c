/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers behind the request table of api.c. */
#include <gio/gio.h>
#include <netdb.h>
#include <string.h>

#include "agent/agent-internal.h"
#include "base/buf.h"
#include "base/log.h"

#define PREFIX_MIN 4 /* hex digits that name a device */
#define STRANGER_AGE_MS 2000

/* A request that waits for policyd, the mover, the resolver or a peer. */
struct call {
	struct agent *a;
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

static struct call *call_new(struct agent *a, const struct control_peer *peer,
			     const struct api_request *r)
{
	struct call *c = g_new0(struct call, 1);

	c->a = a;
	c->peer = *peer;
	c->request = *r;
	a->calls = g_list_prepend(a->calls, c);
	return c;
}

static void call_free(struct call *c)
{
	c->a->calls = g_list_remove(c->a->calls, c);
	if (c->cancellable) {
		g_cancellable_cancel(c->cancellable);
		g_object_unref(c->cancellable);
	}
	free(c->vms);
	g_free(c);
}

static void call_reply(struct call *c, json_t *result)
{
	control_reply(c->a->control, &c->peer, api_reply(c->request.id, result));
	call_free(c);
}

static void call_fail(struct call *c, const struct kerr *err)
{
	control_reply(c->a->control, &c->peer, api_reply_error(c->request.id, err));
	call_free(c);
}

void requests_free(struct agent *a)
{
	while (a->calls) {
		struct call *c = a->calls->data;

		asks_forget(a->asks, c);
		overview_forget(a->overview, c);
		call_free(c);
	}
}

/* -- status -- */

static void on_status(void *user)
{
	struct call *c = user;
	struct agent *a = c->a;
	struct policyd_status st = {0};
	struct kerr err = {0};
	static const uint8_t no_id[DEVICE_ID_LEN];
	bool good = overview_status(a->overview, &st, &err) == 0;
	bool named = good && memcmp(st.device_id, no_id, DEVICE_ID_LEN) != 0;

	if (!good)
		st.role = a->config.role;
	call_reply(c, json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:i}",
				"id", named ? api_hex(st.device_id, DEVICE_ID_LEN) : json_null(),
				"name", good ? st.name : a->config.name, "role",
				device_role_to_string(st.role), "tier",
				good ? tpm_tier_to_string(st.tier) : "none", "owner",
				good && st.owner[0] ? api_text(st.owner) : json_null(), "state",
				good ? api_text(policyd_state_to_string(st.state)) : json_null(),
				"detail", api_text(st.detail), "error", api_error(&err), "pairing",
				overview_window_open(a->overview), "mover",
				courier_client(a->courier) != NULL, "discovery",
				discovery_running(a->discovery), "port",
				(int)listener_port(a->listener)));
}

/* Other users get what was true a moment ago: the questions that policyd is asked are the owner's
 * (A3). */
static void look(struct call *c, void (*fn)(void *user))
{
	struct agent *a = c->a;

	if (control_is_owner(a->control, c->peer.uid))
		overview_refresh_for_person(a->overview, fn, c);
	else if (overview_is_fresh(a->overview, STRANGER_AGE_MS))
		fn(c);
	else
		overview_refresh(a->overview, fn, c);
}

static void handle_status(struct agent *a, const struct control_peer *peer,
			  const struct api_request *r)
{
	look(call_new(a, peer, r), on_status);
}

/* -- devices -- */

static void add_sighting(json_t *o, const struct sighting *s)
{
	int64_t age = 0;
	struct endpoint e;
	bool live = s && sighting_live(s, agent_now_ms(), &age);

	json_object_set_new(o, "nearby", json_boolean(live));
	json_object_set_new(o, "pairing", json_boolean(live && s->name[0]));
	json_object_set_new(o, "age_ms", s ? json_integer(age) : json_null());
	if (s && sighting_endpoints(s, &e, 1) == 1) {
		json_object_set_new(o, "address", api_text(e.address));
		json_object_set_new(o, "port", json_integer(e.port));
	} else {
		json_object_set_new(o, "address", json_null());
		json_object_set_new(o, "port", json_null());
	}
}

static json_t *paired_json(struct agent *a, const struct policyd_peer *p)
{
	json_t *o = json_pack(
		"{s:o, s:o, s:s, s:b, s:b, s:o, s:s, s:s, s:s, s:o, s:o}", "id",
		api_hex(p->id, DEVICE_ID_LEN), "name", api_text(p->name), "role",
		device_role_to_string(p->role), "paired", 1, "own", p->own, "person",
		api_text(p->person), "person_role", person_role_to_string(p->person_role), "tier",
		tpm_tier_to_string(p->tier), "verdict", verdict_to_string(p->verdict), "reason",
		api_error(&p->reason), "evidence_time",
		p->evidence_time ? json_integer((json_int_t)p->evidence_time) : json_null());

	json_object_set_new(o, "receive", json_boolean(p->receive));
	add_sighting(o, roster_find(discovery_roster(a->discovery), p->id));
	return o;
}

/* `known`: who is paired; on a locked device nobody can say. */
static json_t *stranger_json(struct agent *a, const struct sighting *s, bool known)
{
	char label[NAME_MAX_LEN + 1];
	json_t *o;

	agent_device_label(a, s->id, ADVERT_ID_LEN, label, sizeof(label));
	o = json_pack("{s:o, s:o, s:s, s:o, s:o, s:n, s:n, s:n, s:n, s:n, s:n}", "id",
		      api_hex(s->id, ADVERT_ID_LEN), "name", api_text(label), "role",
		      device_role_to_string(s->role), "paired", known ? json_false() : json_null(),
		      "own", known ? json_false() : json_null(), "person", "person_role", "tier",
		      "verdict", "reason", "evidence_time");
	json_object_set_new(o, "receive", json_null());
	add_sighting(o, s);
	return o;
}

static void on_devices(void *user)
{
	struct call *c = user;
	struct agent *a = c->a;
	json_t *list = json_array();
	struct kerr why = {0};
	bool known = overview_tells(a->overview, &why);
	size_t count;
	const struct policyd_peer *peers = overview_peers(a->overview, &count);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, paired_json(a, &peers[i]));
	for (size_t i = 0; i < roster_count(discovery_roster(a->discovery)); i++) {
		const struct sighting *s = roster_get(discovery_roster(a->discovery), i);
		bool paired = false;

		for (size_t j = 0; j < count && !paired; j++)
			paired = memcmp(peers[j].id, s->id, ADVERT_ID_LEN) == 0;
		if (!paired)
			json_array_append_new(list, stranger_json(a, s, known));
	}
	call_reply(c, json_pack("{s:o, s:o}", "devices", list, "error", api_error(&why)));
}

static void handle_devices(struct agent *a, const struct control_peer *peer,
			   const struct api_request *r)
{
	look(call_new(a, peer, r), on_devices);
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
static int find_paired(struct agent *a, const char *text, struct peers_target *t, struct kerr *err)
{
	size_t count, hits = 0;
	const struct policyd_peer *peers = overview_peers(a->overview, &count);

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

static int find_sighted(struct agent *a, const char *text, struct peers_target *t, struct kerr *err)
{
	char ids[4 * (2 * ADVERT_ID_LEN + 2) + 1] = "";
	size_t hits = 0;

	for (size_t i = 0; i < roster_count(discovery_roster(a->discovery)); i++) {
		const struct sighting *s = roster_get(discovery_roster(a->discovery), i);

		if (strcmp(s->name, text) != 0 && !names_id(text, s->id, ADVERT_ID_LEN))
			continue;
		hits++;
		add_id(ids, sizeof(ids), s->id);
		memcpy(t->id, s->id, ADVERT_ID_LEN);
		t->id_len = ADVERT_ID_LEN;
		agent_device_label(a, s->id, ADVERT_ID_LEN, t->label, sizeof(t->label));
	}
	return hits > 1 ? ambiguous(err, text, ids) : hits == 1;
}

/* Whom to pair with. A name that is announced is only a claim, so even a paired device of that
 * name does not win over a stranger that says it has it too. */
static int find_pairable(struct agent *a, const char *text, struct peers_target *t,
			 struct kerr *err)
{
	struct peers_target seen = {0};
	char ids[2 * (2 * ADVERT_ID_LEN + 2) + 1] = "";
	int paired = find_paired(a, text, t, err);
	int sighted = paired < 0 ? paired : find_sighted(a, text, &seen, err);

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
		agent_add_endpoint(t, &e);
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
		add_text(&c->target, text, c->a->config.port);
		next(c);
		return 0;
	}
	parsed = g_network_address_parse(text, c->a->config.port, NULL);
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
	peers_pair(c->a->peers, &c->target, on_pair_started, c);
}

static void on_may_pair(void *user)
{
	struct call *c = user;
	struct kerr err = {0};
	int r = find_pairable(c->a, c->request.device, &c->target, &err);

	if (r > 0) {
		agent_find_endpoints(c->a, c->target.id, c->target.id_len, &c->target);
		pair_now(c);
		return;
	}
	if (r == 0)
		r = resolve_address(c, c->request.device, pair_now, &err);
	if (r < 0)
		call_fail(c, &err);
}

static void handle_pair(struct agent *a, const struct control_peer *peer,
			const struct api_request *r)
{
	overview_refresh(a->overview, on_may_pair, call_new(a, peer, r));
}

/* -- hand-offs -- */

json_t *requests_job_json(struct agent *a _unused_, const struct job *job)
{
	const struct mover_progress *p = &job->progress;
	json_t *o = json_pack("{s:o, s:o, s:s, s:o, s:o, s:b, s:s, s:s}", "hid",
			      api_hex(p->hid, HID_LEN), "uuid", api_hex(p->uuid, UUID_LEN), "vm",
			      p->vm, "device", api_hex(p->peer, DEVICE_ID_LEN), "device_name",
			      api_text(p->peer_name), "source", p->source, "state",
			      job_state_to_string(job->state), "phase", phase_to_string(p->phase));

	json_object_set_new(o, "ram_bytes", json_integer((json_int_t)p->ram_bytes));
	json_object_set_new(o, "ram_total", json_integer((json_int_t)p->ram_total));
	json_object_set_new(o, "disk_bytes", json_integer((json_int_t)p->disk_bytes));
	json_object_set_new(o, "disk_total", json_integer((json_int_t)p->disk_total));
	json_object_set_new(o, "rate_bytes_s", json_integer((json_int_t)p->rate_bytes_s));
	json_object_set_new(o, "elapsed_ms", json_integer((json_int_t)p->elapsed_ms));
	json_object_set_new(o, "left_ms",
			    p->left_ms == UINT64_MAX ? json_null()
						     : json_integer((json_int_t)p->left_ms));
	json_object_set_new(o, "downtime_ms", json_integer((json_int_t)p->downtime_ms));
	json_object_set_new(o, "error", api_error(&p->error));
	return o;
}

static void handoff_now(struct call *c)
{
	struct agent *a = c->a;
	struct job *job = jobs_open(a->jobs, c->request.hid, true, agent_now_ms());
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
	agent_job_changed(a, job);
	peers_handoff(a->peers, c->request.hid, &c->target);
	call_reply(c, json_pack("{s:b}", "started", 1));
}

static void handoff_resolved(struct call *c)
{
	agent_find_endpoints(c->a, c->target.id, c->target.id_len, &c->target);
	handoff_now(c);
}

static void on_may_hand_off(void *user)
{
	struct call *c = user;
	struct kerr err = {0};
	int r = find_paired(c->a, c->request.device, &c->target, &err);

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

static void handle_handoff(struct agent *a, const struct control_peer *peer,
			   const struct api_request *r)
{
	overview_refresh(a->overview, on_may_hand_off, call_new(a, peer, r));
}

static void handle_jobs(struct agent *a, const struct control_peer *peer,
			const struct api_request *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < jobs_count(a->jobs); i++)
		json_array_append_new(list, requests_job_json(a, jobs_get(a->jobs, i)));
	control_reply(a->control, peer, api_reply(r->id, json_pack("{s:o}", "jobs", list)));
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

static void cancel_at_mover(struct agent *a, const struct control_peer *peer,
			    const struct api_request *r)
{
	struct mover_client *mover = courier_client(a->courier);
	struct call *c = call_new(a, peer, r);
	struct kerr err = {0};

	if (mover && mover_client_cancel(mover, r->hid, on_cancelled, c) == 0)
		return;
	kerr_set(&err, EAGAIN, KCODE_NOT_READY, "The local service kith-mover does not answer.");
	call_fail(c, &err);
}

static void handle_cancel(struct agent *a, const struct control_peer *peer,
			  const struct api_request *r)
{
	struct job *job = jobs_find(a->jobs, r->hid);
	struct kerr err = {0};

	if (!job || job->state == JOB_ENDED) {
		kerr_set(&err, ENOENT, KCODE_NOT_FOUND, "There is no such hand-off under way.");
		control_reply(a->control, peer, api_reply_error(r->id, &err));
		return;
	}
	kerr_set(&err, ECANCELED, KCODE_CANCELLED, "The hand-off was cancelled.");
	if (job->state == JOB_SESSION && peers_cancel(a->peers, r->hid, &err) == 0)
		control_reply(a->control, peer,
			      api_reply(r->id, json_pack("{s:b}", "cancelling", 1)));
	else
		cancel_at_mover(a, peer, r);
}

/* -- VMs -- */

static void add_custody(json_t *o, const struct policyd_vm *v)
{
	json_object_set_new(o, "epoch", json_integer((json_int_t)v->epoch));
	json_object_set_new(o, "policy_version", json_integer((json_int_t)v->policy_version));
	json_object_set_new(o, "here", json_boolean(v->here));
	json_object_set_new(o, "holder", api_hex(v->holder, DEVICE_ID_LEN));
	json_object_set_new(o, "holder_name", api_text(v->holder_name));
	json_object_set_new(o, "hid", v->open ? api_hex(v->hid, HID_LEN) : json_null());
}

static void add_domain(json_t *o, const struct mover_vm *m)
{
	json_object_set_new(o, "state", json_string(mover_vm_state_to_string(m->state)));
	json_object_set_new(o, "memory_bytes", json_integer((json_int_t)m->memory_bytes));
	json_object_set_new(o, "disk_bytes", json_integer((json_int_t)m->disk_bytes));
	json_object_set_new(o, "vcpus", json_integer(m->vcpus));
}

/* `locked`: policyd does not say what it knows. */
static json_t *vm_json(const uint8_t uuid[UUID_LEN], const char *name, const struct policyd_vm *v,
		       const struct mover_vm *m, bool locked)
{
	json_t *o = json_pack("{s:o, s:o, s:o, s:b}", "uuid", api_hex(uuid, UUID_LEN), "name",
			      api_text(name), "known",
			      locked ? json_null() : json_boolean(v != NULL), "defined", m != NULL);

	/* What policyd has never heard of is only where libvirt has it. */
	if (v)
		add_custody(o, v);
	else if (locked)
		json_object_set_new(o, "here", json_null());
	else
		json_object_set_new(o, "here", json_true());
	if (m)
		add_domain(o, m);
	return o;
}

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
		json_array_append_new(
			list, vm_json(c->vms[i].uuid, c->vms[i].name, &c->vms[i], m, locked));
	}
	for (size_t j = 0; j < count; j++) {
		bool listed = false;

		for (size_t i = 0; i < c->vm_count && !listed; i++)
			listed = memcmp(domains[j].uuid, c->vms[i].uuid, UUID_LEN) == 0;
		if (!listed)
			json_array_append_new(list, vm_json(domains[j].uuid, domains[j].name, NULL,
							    &domains[j], locked));
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
	struct mover_client *mover = courier_client(c->a->courier);
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

static void handle_vms(struct agent *a, const struct control_peer *peer,
		       const struct api_request *r)
{
	asks_submit(a->asks, ask_new(ask_vms, on_vms, call_new(a, peer, r)));
}

/* -- watch -- */

static void handle_watch(struct agent *a, const struct control_peer *peer,
			 const struct api_request *r)
{
	control_set_watching(a->control, peer);
	control_reply(a->control, peer, api_reply(r->id, json_pack("{s:b}", "watching", 1)));
}

/* `owner`: only the device's owner and root may ask (policyd decides once more). All answers but
 * those of `status` and `devices` name VMs or hand-offs, and a hand-off's number is what a data
 * connection is known by (N10). */
static const struct {
	void (*handle)(struct agent *a, const struct control_peer *peer,
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
	struct agent *a = ctx;
	struct kerr err = {0};

	if (!rows[r->op].owner || control_is_owner(a->control, peer->uid)) {
		if (rows[r->op].logged)
			log_info("control", "uid %u, pid %d: %s", (unsigned)peer->uid,
				 (int)peer->pid, api_op_to_string(r->op));
		rows[r->op].handle(a, peer, r);
		return;
	}
	log_debug("control", "uid %u, pid %d may not ask for %s", (unsigned)peer->uid,
		  (int)peer->pid, api_op_to_string(r->op));
	kerr_set(
		&err, EPERM, KCODE_NOT_ALLOWED,
		"Only this device's owner and root may ask kithd for \"%s\"; this user may ask for "
		"\"status\" and \"devices\".",
		api_op_to_string(r->op));
	control_reply(a->control, peer, api_reply_error(r->id, &err));
}
