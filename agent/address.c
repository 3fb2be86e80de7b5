/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that people typed. */
#include <gio/gio.h>
#include <netdb.h>

#include "agent/call.h"
#include "agent/naming.h"
#include "base/config.h"

/* While the name server is asked: the state of the call. */
struct resolving {
	struct call *c;
	uint16_t port;
	GCancellable *cancellable;
	void (*next)(struct call *c);
};

static bool is_numeric(const char *host)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *ai;

	if (getaddrinfo(host, NULL, &hints, &ai) != 0)
		return false;
	freeaddrinfo(ai);
	return true;
}

static void add_text(struct peers_target *t, const char *host, uint16_t port)
{
	struct endpoint e = {.port = port};

	if (g_strlcpy(e.address, host, sizeof(e.address)) < sizeof(e.address))
		whereabouts_add(t, &e);
}

static void resolving_free(gpointer data)
{
	struct resolving *r = data;

	g_cancellable_cancel(r->cancellable);
	g_object_unref(r->cancellable);
	g_free(r);
}

static void on_resolved(GObject *source, GAsyncResult *result, gpointer data)
{
	g_autoptr(GError) error = NULL;
	GList *found = g_resolver_lookup_by_name_finish(G_RESOLVER(source), result, &error);
	struct resolving *r = data;

	/* The request ended meanwhile: it is freed. */
	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return;
	for (GList *l = found; l; l = l->next) {
		g_autofree char *text = g_inet_address_to_string(l->data);

		add_text(&r->c->target, text, r->port);
	}
	g_resolver_free_addresses(found);
	r->next(r->c);
}

static void ask_resolver(struct call *c, const char *host, uint16_t port,
			 void (*next)(struct call *c))
{
	g_autoptr(GResolver) resolver = g_resolver_get_default();
	struct resolving *r = g_new0(struct resolving, 1);

	*r = (struct resolving){c, port, g_cancellable_new(), next};
	c->state = r;
	c->state_free = resolving_free;
	g_resolver_lookup_by_name_async(resolver, host, r->cancellable, on_resolved, r);
}

void address_resolve(struct call *c, const char *text, void (*next)(struct call *c))
{
	g_autoptr(GSocketConnectable) parsed = NULL;
	uint16_t port = c->parts->config->port;
	const char *host = text;
	struct kerr err = {0};

	if (naming_is_id(text)) {
		kerr_set(&err, ENOENT, KCODE_NOT_FOUND, "There is no device \"%s\" in sight.",
			 text);
		call_fail(c, &err);
		return;
	}
	/* A bare IPv6 address has colons, but no port. */
	if (!is_numeric(text)) {
		parsed = g_network_address_parse(text, port, NULL);
		if (!parsed) {
			kerr_set(&err, EINVAL, KCODE_NOT_FOUND,
				 "There is no device \"%s\" in sight, and it is no address either.",
				 text);
			call_fail(c, &err);
			return;
		}
		host = g_network_address_get_hostname(G_NETWORK_ADDRESS(parsed));
		port = g_network_address_get_port(G_NETWORK_ADDRESS(parsed));
	}
	if (!is_numeric(host)) {
		ask_resolver(c, host, port, next);
		return;
	}
	add_text(&c->target, host, port);
	next(c);
}
