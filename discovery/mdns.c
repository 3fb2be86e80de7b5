/* SPDX-License-Identifier: Apache-2.0 */
/* The only use of Avahi: one thread with a main context of its own, everything rebuilt from
 * nothing whenever the daemon or the bus went away. */
#include <avahi-client/client.h>
#include <avahi-client/lookup.h>
#include <avahi-client/publish.h>
#include <avahi-common/alternative.h>
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-glib/glib-watch.h>
#include <glib.h>
#include <net/if.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "discovery/source.h"

#define SERVICES_MAX 512   /* announced instances we keep track of */
#define RESOLVERS_MAX 128  /* of them followed for changes of address */
#define RESOLVES_PER_S 100 /* so that a flood costs little (P2) */
#define TICK_MS 100
#define RETRIES_MAX 5
#define RETRY_MS 5000
#define REBUILD_FIRST_MS 200
#define REBUILD_MAX_MS 5000
#define RENAMES_MAX 20
#define REBROWSE_US (60 * G_USEC_PER_SEC)

struct service {
	struct mdns *m;
	struct roster_source source;
	AvahiIfIndex interface;
	AvahiProtocol protocol;
	char *name, *type, *domain;
	AvahiServiceResolver *resolver;
	bool resolved, known, has_id;
	uint8_t id[ADVERT_ID_LEN];
	unsigned tries;
	gint64 retry_at; /* us; 0 = not waiting */
	GList link;	 /* in m->services, newest first */
};

struct mdns {
	const struct source_events *events;
	void *ctx;
	GThread *thread;
	GMainContext *context;
	GMainLoop *loop;
	gint running; /* atomic: the daemon answers */
	gint ended;   /* atomic: no more reports */

	/* Below: only the thread. */
	AvahiGLibPoll *poll;
	AvahiClient *client;
	AvahiEntryGroup *group;
	AvahiServiceBrowser *browser;
	GSource *rebuild, *ticker;
	guint rebuild_ms, tokens, renames;
	GQueue services;
	guint resolver_count;
	bool evicted; /* something announced is not in our table */
	gint64 browsed_at;
	bool publish; /* below is what we say */
	struct advert advert;
	uint16_t port;
	char *name;
	uint8_t (*known)[ADVERT_ID_LEN];
	size_t known_count;
};

/* -- reports, from the thread to the default main context -- */

struct report {
	struct mdns *m;
	enum { REPORT_SEEN, REPORT_LOST, REPORT_ALL_LOST } kind;
	struct advert advert;
	struct endpoint endpoint;
	struct roster_source source;
};

static gboolean on_report(gpointer data)
{
	struct report *r = data;
	const struct source_events *ev = r->m->events;

	if (g_atomic_int_get(&r->m->ended))
		return G_SOURCE_REMOVE;
	switch (r->kind) {
	case REPORT_SEEN:
		ev->seen(r->m->ctx, &r->advert, &r->endpoint, &r->source);
		break;
	case REPORT_LOST:
		ev->lost(r->m->ctx, &r->source);
		break;
	case REPORT_ALL_LOST:
		ev->all_lost(r->m->ctx);
		break;
	}
	return G_SOURCE_REMOVE;
}

static void report_free(gpointer data)
{
	struct report *r = data;

	g_atomic_rc_box_release(r->m);
	g_free(r);
}

static void mdns_report(const struct report *r)
{
	g_atomic_rc_box_acquire(r->m);
	g_idle_add_full(G_PRIORITY_DEFAULT, on_report, g_memdup2(r, sizeof(*r)), report_free);
}

/* -- services that others announce -- */

static void drop_resolver(struct service *s)
{
	if (!s->resolver)
		return;
	avahi_service_resolver_free(s->resolver);
	s->resolver = NULL;
	s->m->resolver_count--;
}

static void service_free(struct service *s)
{
	drop_resolver(s);
	g_queue_unlink(&s->m->services, &s->link);
	g_free(s->name);
	g_free(s->type);
	g_free(s->domain);
	g_free(s);
}

static void drop_services(struct mdns *m)
{
	while (m->services.head)
		service_free(m->services.head->data);
}

static struct service *find_service(struct mdns *m, AvahiIfIndex interface, AvahiProtocol protocol,
				    const char *name)
{
	for (GList *l = m->services.head; l; l = l->next) {
		struct service *s = l->data;

		if (s->interface == interface && s->protocol == protocol &&
		    strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

static bool is_known(const struct mdns *m, const uint8_t id[ADVERT_ID_LEN])
{
	for (size_t i = 0; i < m->known_count; i++)
		if (memcmp(m->known[i], id, ADVERT_ID_LEN) == 0)
			return true;
	return false;
}

static bool read_txt(AvahiStringList *txt, struct advert *ret)
{
	uint8_t wire[ADVERT_TXT_MAX];
	size_t len = avahi_string_list_serialize(txt, NULL, 0);

	if (len > sizeof(wire))
		return false;
	len = avahi_string_list_serialize(txt, wire, sizeof(wire));
	return advert_parse(wire, len, ret) == 0;
}

static bool read_address(const AvahiAddress *a, AvahiIfIndex interface, uint16_t port,
			 struct endpoint *ret)
{
	char ifname[IF_NAMESIZE];
	size_t len;

	if (!port)
		return false;
	ret->port = port;
	avahi_address_snprint(ret->address, sizeof(ret->address), a);
	if (a->proto != AVAHI_PROTO_INET6 || a->data.ipv6.address[0] != 0xfe ||
	    (a->data.ipv6.address[1] & 0xc0) != 0x80)
		return true;
	/* A link-local address means nothing without its link. */
	if (interface <= 0 || !if_indextoname((unsigned)interface, ifname))
		return false;
	len = strlen(ret->address);
	return snprintf(ret->address + len, sizeof(ret->address) - len, "%%%s", ifname) <
	       (int)(sizeof(ret->address) - len);
}

static void on_found(struct service *s, const AvahiAddress *a, uint16_t port, AvahiStringList *txt)
{
	struct mdns *m = s->m;
	struct report r = {.m = m, .kind = REPORT_SEEN, .source = s->source};

	if (!read_txt(txt, &r.advert) ||
	    (m->publish && memcmp(r.advert.id, m->advert.id, ADVERT_ID_LEN) == 0) ||
	    !read_address(a, s->interface, port, &r.endpoint)) {
		/* Not ours, not readable, or our own: nobody has to follow it. */
		drop_resolver(s);
		s->resolved = true;
		return;
	}
	s->resolved = true;
	s->retry_at = 0;
	s->has_id = true;
	memcpy(s->id, r.advert.id, sizeof(s->id));
	s->known = is_known(m, s->id);
	mdns_report(&r);
}

static void keep_ticking(struct mdns *m);

static void on_resolved(AvahiServiceResolver *resolver _unused_, AvahiIfIndex interface _unused_,
			AvahiProtocol protocol _unused_, AvahiResolverEvent event,
			const char *name _unused_, const char *type _unused_,
			const char *domain _unused_, const char *host _unused_,
			const AvahiAddress *a, uint16_t port, AvahiStringList *txt,
			AvahiLookupResultFlags flags _unused_, void *data)
{
	struct service *s = data;

	if (event == AVAHI_RESOLVER_FOUND) {
		on_found(s, a, port, txt);
		return;
	}
	drop_resolver(s);
	if (!s->resolved && ++s->tries < RETRIES_MAX) {
		s->retry_at = g_get_monotonic_time() + RETRY_MS * 1000;
		keep_ticking(s->m);
	}
}

/* The longest followed stranger is followed no more; what it said stands. */
static void make_resolver_room(struct mdns *m)
{
	for (GList *l = m->services.tail; l && m->resolver_count >= RESOLVERS_MAX; l = l->prev) {
		struct service *s = l->data;

		if (s->resolver && s->resolved && !s->known)
			drop_resolver(s);
	}
}

/* False: there is no room for resolvers now. */
static bool mdns_resolve(struct service *s)
{
	struct mdns *m = s->m;

	make_resolver_room(m);
	if (m->resolver_count >= 2 * RESOLVERS_MAX)
		return false;
	m->tokens--;
	s->retry_at = 0;
	s->resolver =
		avahi_service_resolver_new(m->client, s->interface, s->protocol, s->name, s->type,
					   s->domain, s->protocol, 0, on_resolved, s);
	if (s->resolver)
		m->resolver_count++;
	else if (++s->tries < RETRIES_MAX)
		s->retry_at = g_get_monotonic_time() + RETRY_MS * 1000;
	else
		s->resolved = true;
	return true;
}

/* True if its address is still to be asked for, now or later. */
static bool is_open(const struct service *s)
{
	return !s->resolver && !s->resolved && s->tries < RETRIES_MAX;
}

static struct service *next_open(struct mdns *m, bool newest, gint64 now)
{
	for (GList *l = newest ? m->services.head : m->services.tail; l;
	     l = newest ? l->next : l->prev) {
		struct service *s = l->data;

		if (is_open(s) && s->retry_at <= now)
			return s;
	}
	return NULL;
}

/* Newest first from the head, oldest first from the tail, in turn: so neither a flood before nor
 * a flood after the one that matters keeps it waiting. */
static void resolve_some(struct mdns *m)
{
	gint64 now = g_get_monotonic_time();

	for (bool newest = true; m->client && m->tokens; newest = !newest) {
		struct service *s = next_open(m, newest, now);

		if (!s || !mdns_resolve(s))
			return;
	}
}

static void start_browser(struct mdns *m);

static bool work_waits(const struct mdns *m)
{
	if (m->evicted)
		return true;
	for (GList *l = m->services.head; l; l = l->next)
		if (is_open(l->data))
			return true;
	return false;
}

static gboolean on_tick(gpointer data)
{
	struct mdns *m = data;

	m->tokens = MIN(m->tokens + RESOLVES_PER_S * TICK_MS / 1000, RESOLVES_PER_S);
	resolve_some(m);
	/* Avahi tells of each service once: what a flood pushed out is asked for again. */
	if (m->evicted && m->browser && g_get_monotonic_time() - m->browsed_at > REBROWSE_US) {
		avahi_service_browser_free(m->browser);
		m->browser = NULL;
		start_browser(m);
	}
	if (work_waits(m) || m->tokens < RESOLVES_PER_S)
		return G_SOURCE_CONTINUE;
	/* A device at rest is not woken ten times a second. */
	g_clear_pointer(&m->ticker, g_source_unref);
	return G_SOURCE_REMOVE;
}

static GSource *add_timer(struct mdns *m, guint ms, GSourceFunc fn);

static void keep_ticking(struct mdns *m)
{
	if (!m->ticker)
		m->ticker = add_timer(m, TICK_MS, on_tick);
}

/* The oldest stranger gives way; false if all are paired devices. */
static bool make_service_room(struct mdns *m)
{
	if (g_queue_get_length(&m->services) < SERVICES_MAX)
		return true;
	for (GList *l = m->services.tail; l; l = l->prev) {
		struct service *s = l->data;
		struct report r = {.m = m, .kind = REPORT_LOST, .source = s->source};

		if (s->known)
			continue;
		if (s->resolved)
			mdns_report(&r);
		service_free(s);
		m->evicted = true;
		return true;
	}
	return false;
}

static void on_new(struct mdns *m, AvahiIfIndex interface, AvahiProtocol protocol, const char *name,
		   const char *type, const char *domain)
{
	struct service *s;

	if (find_service(m, interface, protocol, name) || !make_service_room(m))
		return;
	s = g_new0(struct service, 1);
	s->m = m;
	s->interface = interface;
	s->protocol = protocol;
	s->name = g_strdup(name);
	s->type = g_strdup(type);
	s->domain = g_strdup(domain);
	s->source.interface = interface;
	s->source.protocol = protocol == AVAHI_PROTO_INET6 ? 6 : 4;
	g_strlcpy(s->source.name, name, sizeof(s->source.name));
	s->link.data = s;
	g_queue_push_head_link(&m->services, &s->link);
	resolve_some(m);
	keep_ticking(m);
}

static void on_removed(struct mdns *m, AvahiIfIndex interface, AvahiProtocol protocol,
		       const char *name)
{
	struct service *s = find_service(m, interface, protocol, name);
	struct report r = {.m = m, .kind = REPORT_LOST};

	if (!s)
		return;
	r.source = s->source;
	service_free(s);
	mdns_report(&r);
}

static void schedule_rebuild(struct mdns *m);

static void on_browsed(AvahiServiceBrowser *b _unused_, AvahiIfIndex interface,
		       AvahiProtocol protocol, AvahiBrowserEvent event, const char *name,
		       const char *type, const char *domain, AvahiLookupResultFlags flags,
		       void *data)
{
	struct mdns *m = data;

	switch (event) {
	case AVAHI_BROWSER_NEW:
		/* 63 bytes at most (RFC 6763 4.1.1), so a source can hold it. */
		if (!(flags & AVAHI_LOOKUP_RESULT_OUR_OWN) &&
		    strlen(name) < sizeof(((struct roster_source *)0)->name))
			on_new(m, interface, protocol, name, type, domain);
		return;
	case AVAHI_BROWSER_REMOVE:
		on_removed(m, interface, protocol, name);
		return;
	case AVAHI_BROWSER_FAILURE:
		schedule_rebuild(m);
		return;
	case AVAHI_BROWSER_CACHE_EXHAUSTED:
	case AVAHI_BROWSER_ALL_FOR_NOW:
		return;
	}
}

/* -- our own service -- */

static AvahiStringList *make_txt(const struct advert *a)
{
	uint8_t wire[ADVERT_TXT_MAX];
	AvahiStringList *txt = NULL;
	int len = advert_build(a, wire, sizeof(wire));

	if (len < 0 || avahi_string_list_parse(wire, (size_t)len, &txt) < 0)
		return NULL;
	return txt;
}

static bool rename_service(struct mdns *m)
{
	char *other;

	if (++m->renames > RENAMES_MAX) {
		log_warning("mdns", "No free name for our service after %d tries.", RENAMES_MAX);
		return false;
	}
	other = avahi_alternative_service_name(m->name);
	log_notice("mdns", "The name \"%s\" is taken; we are \"%s\" now.", m->name, other);
	g_free(m->name);
	m->name = g_strdup(other);
	avahi_free(other);
	return true;
}

static void add_service(struct mdns *m);

static void on_group(AvahiEntryGroup *g, AvahiEntryGroupState state, void *data)
{
	struct mdns *m = data;

	switch (state) {
	case AVAHI_ENTRY_GROUP_COLLISION:
		m->group = g;
		if (rename_service(m))
			add_service(m);
		return;
	case AVAHI_ENTRY_GROUP_FAILURE:
		schedule_rebuild(m);
		return;
	case AVAHI_ENTRY_GROUP_ESTABLISHED:
		log_debug("mdns", "published as \"%s\"", m->name);
		return;
	case AVAHI_ENTRY_GROUP_UNCOMMITED:
	case AVAHI_ENTRY_GROUP_REGISTERING:
		return;
	}
}

static int try_add(struct mdns *m)
{
	AvahiStringList *txt = make_txt(&m->advert);
	int r;

	avahi_entry_group_reset(m->group);
	r = avahi_entry_group_add_service_strlst(m->group, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, 0,
						 m->name, ADVERT_SERVICE, NULL, NULL, m->port, txt);
	avahi_string_list_free(txt);
	return r < 0 ? r : avahi_entry_group_commit(m->group);
}

/* (Re-)adds our service in the one entry group: for a moment it is gone for everybody. */
static void add_service(struct mdns *m)
{
	int r;

	if (!m->publish || !m->client ||
	    avahi_client_get_state(m->client) != AVAHI_CLIENT_S_RUNNING)
		return;
	if (!m->group)
		m->group = avahi_entry_group_new(m->client, on_group, m);
	if (!m->group) {
		schedule_rebuild(m);
		return;
	}
	do {
		r = try_add(m);
	} while (r == AVAHI_ERR_COLLISION && rename_service(m));
	if (r < 0 && r != AVAHI_ERR_COLLISION) {
		log_warning("mdns", "Cannot publish our service: %s.", avahi_strerror(r));
		schedule_rebuild(m);
	}
}

/* Changes the TXT record in place, so that nobody loses sight of us. */
static void update_txt(struct mdns *m)
{
	AvahiStringList *txt = m->group ? make_txt(&m->advert) : NULL;
	int r = AVAHI_ERR_BAD_STATE;

	if (txt && !avahi_entry_group_is_empty(m->group))
		r = avahi_entry_group_update_service_txt_strlst(m->group, AVAHI_IF_UNSPEC,
								AVAHI_PROTO_UNSPEC, 0, m->name,
								ADVERT_SERVICE, NULL, txt);
	avahi_string_list_free(txt);
	if (r < 0)
		add_service(m);
}

/* -- the daemon -- */

static void start_browser(struct mdns *m)
{
	if (m->browser)
		return;
	m->evicted = false;
	m->browsed_at = g_get_monotonic_time();
	m->browser = avahi_service_browser_new(m->client, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC,
					       ADVERT_SERVICE, NULL, 0, on_browsed, m);
	if (!m->browser)
		schedule_rebuild(m);
}

static void on_client(AvahiClient *client, AvahiClientState state, void *data)
{
	struct mdns *m = data;

	/* The first call comes before avahi_client_new() returns. */
	m->client = client;
	g_atomic_int_set(&m->running, state == AVAHI_CLIENT_S_RUNNING);
	switch (state) {
	case AVAHI_CLIENT_S_RUNNING:
		m->rebuild_ms = REBUILD_FIRST_MS;
		start_browser(m);
		add_service(m);
		return;
	case AVAHI_CLIENT_S_COLLISION:
	case AVAHI_CLIENT_S_REGISTERING:
		/* The host name changes: our records are added again in S_RUNNING. */
		if (m->group)
			avahi_entry_group_reset(m->group);
		return;
	case AVAHI_CLIENT_FAILURE:
		log_debug("mdns", "client: %s", avahi_strerror(avahi_client_errno(client)));
		schedule_rebuild(m);
		return;
	case AVAHI_CLIENT_CONNECTING:
		return;
	}
}

/* Frees every Avahi object; the client owns group, browser and resolvers, but frees them without
 * telling. */
static void tear_down(struct mdns *m)
{
	struct report r = {.m = m, .kind = REPORT_ALL_LOST};

	g_atomic_int_set(&m->running, 0);
	drop_services(m);
	if (m->browser)
		avahi_service_browser_free(m->browser);
	if (m->group)
		avahi_entry_group_free(m->group);
	if (m->client)
		avahi_client_free(m->client);
	m->browser = NULL;
	m->group = NULL;
	m->client = NULL;
	mdns_report(&r);
}

static void mdns_build(struct mdns *m)
{
	int error = 0;
	AvahiClient *client;

	m->tokens = RESOLVES_PER_S;
	m->renames = 0;
	client = avahi_client_new(avahi_glib_poll_get(m->poll), AVAHI_CLIENT_NO_FAIL, on_client, m,
				  &error);
	m->client = client;
	if (client)
		return;
	log_debug("mdns", "no Avahi: %s", avahi_strerror(error));
	schedule_rebuild(m);
}

static gboolean on_rebuild(gpointer data)
{
	struct mdns *m = data;

	g_clear_pointer(&m->rebuild, g_source_unref);
	tear_down(m);
	mdns_build(m);
	return G_SOURCE_REMOVE;
}

static GSource *add_timer(struct mdns *m, guint ms, GSourceFunc fn)
{
	GSource *s = g_timeout_source_new(ms);

	g_source_set_callback(s, fn, m, NULL);
	g_source_attach(s, m->context);
	return s;
}

/* Never from inside: Avahi's callbacks must not free the object they are called for. */
static void schedule_rebuild(struct mdns *m)
{
	if (m->rebuild)
		return;
	g_atomic_int_set(&m->running, 0);
	m->rebuild = add_timer(m, m->rebuild_ms, on_rebuild);
	m->rebuild_ms = MIN(2 * m->rebuild_ms, REBUILD_MAX_MS);
}

/* -- the thread and what it is told -- */

struct order {
	struct mdns *m;
	struct advert advert;
	uint16_t port;
	uint8_t (*known)[ADVERT_ID_LEN];
	size_t known_count;
};

static void destroy_source(GSource **s)
{
	if (!*s)
		return;
	g_source_destroy(*s);
	g_source_unref(*s);
	*s = NULL;
}

static gpointer thread_main(gpointer data)
{
	struct mdns *m = data;

	g_main_context_push_thread_default(m->context);
	m->poll = avahi_glib_poll_new(m->context, G_PRIORITY_DEFAULT);
	mdns_build(m);
	g_main_loop_run(m->loop);
	destroy_source(&m->ticker);
	destroy_source(&m->rebuild);
	tear_down(m);
	avahi_glib_poll_free(m->poll);
	g_main_context_pop_thread_default(m->context);
	return NULL;
}

static void *mdns_new(const struct source_events *events, void *ctx)
{
	struct mdns *m = g_atomic_rc_box_new0(struct mdns);

	m->events = events;
	m->ctx = ctx;
	m->rebuild_ms = REBUILD_FIRST_MS;
	g_queue_init(&m->services);
	m->context = g_main_context_new();
	m->loop = g_main_loop_new(m->context, FALSE);
	m->thread = g_thread_new("mdns", thread_main, m);
	return m;
}

static gboolean on_quit(gpointer data)
{
	g_main_loop_quit(((struct mdns *)data)->loop);
	return G_SOURCE_REMOVE;
}

static void mdns_tell(struct mdns *m, GSourceFunc fn, gpointer data, GDestroyNotify release)
{
	g_main_context_invoke_full(m->context, G_PRIORITY_DEFAULT, fn, data, release);
}

static void mdns_free(void *source)
{
	struct mdns *m = source;

	g_atomic_int_set(&m->ended, 1);
	mdns_tell(m, on_quit, m, NULL);
	g_thread_join(m->thread);
	g_main_loop_unref(m->loop);
	g_main_context_unref(m->context);
	g_free(m->name);
	g_free(m->known);
	/* Reports on their way still hold it. */
	g_atomic_rc_box_release(m);
}

static gboolean on_publish(gpointer data)
{
	struct order *o = data;
	struct mdns *m = o->m;
	bool same = m->publish && o->port == m->port &&
		    memcmp(o->advert.id, m->advert.id, ADVERT_ID_LEN) == 0;
	char hex[9];

	m->advert = o->advert;
	if (same) {
		update_txt(m);
		return G_SOURCE_REMOVE;
	}
	hex_encode(o->advert.id, 4, hex);
	g_free(m->name);
	m->name = g_strdup_printf("kith-%s", hex);
	m->port = o->port;
	m->publish = true;
	m->renames = 0;
	add_service(m);
	return G_SOURCE_REMOVE;
}

static void mdns_publish(void *source, const struct advert *a, uint16_t port)
{
	struct order *o = g_new0(struct order, 1);

	o->m = source;
	o->port = port;
	o->advert = *a;
	mdns_tell(o->m, on_publish, o, g_free);
}

static gboolean on_known(gpointer data)
{
	struct order *o = data;
	struct mdns *m = o->m;

	g_free(m->known);
	m->known = o->known;
	m->known_count = o->known_count;
	for (GList *l = m->services.head; l; l = l->next) {
		struct service *s = l->data;

		s->known = s->has_id && is_known(m, s->id);
	}
	return G_SOURCE_REMOVE;
}

static void mdns_set_known(void *source, const uint8_t (*ids)[ADVERT_ID_LEN], size_t count)
{
	struct order *o = g_new0(struct order, 1);

	o->m = source;
	o->known = g_memdup2(ids, count * ADVERT_ID_LEN);
	o->known_count = count;
	mdns_tell(o->m, on_known, o, g_free);
}

static bool mdns_running(const void *source)
{
	return g_atomic_int_get(&((const struct mdns *)source)->running);
}

const struct source_ops mdns_source = {
	.new = mdns_new,
	.free = mdns_free,
	.publish = mdns_publish,
	.set_known = mdns_set_known,
	.running = mdns_running,
};
