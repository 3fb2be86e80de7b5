/* SPDX-License-Identifier: Apache-2.0 */
/* Watches the mover's socket on the main loop and connects anew when it is gone. */
#include "agent/courier.h"

#include <glib-unix.h>

#include "base/log.h"

#define RETRY_FIRST_MS 250
#define RETRY_MAX_MS 5000

struct courier {
	char *path;
	const struct courier_events *events;
	void *ctx;
	struct mover_client *client;
	guint watch, timer, retry_ms;
};

static void try_connect(struct courier *c);

static gboolean on_retry(gpointer data)
{
	struct courier *c = data;

	c->timer = 0;
	try_connect(c);
	return G_SOURCE_REMOVE;
}

static void retry_later(struct courier *c)
{
	c->timer = g_timeout_add(c->retry_ms, on_retry, c);
	c->retry_ms = MIN(2 * c->retry_ms, RETRY_MAX_MS);
}

static gboolean on_ready(int fd _unused_, GIOCondition condition _unused_, gpointer data)
{
	struct courier *c = data;

	if (mover_client_dispatch(c->client) == 0)
		return G_SOURCE_CONTINUE;
	log_warning("mover", "kith-mover went away; trying again.");
	c->watch = 0;
	c->client = mover_client_free(c->client);
	retry_later(c);
	c->events->lost(c->ctx);
	return G_SOURCE_REMOVE;
}

static void try_connect(struct courier *c)
{
	int r = mover_client_new(c->path, &c->events->mover, c->ctx, &c->client);

	if (r < 0) {
		log_debug("mover", "not there yet: %s", g_strerror(-r));
		retry_later(c);
		return;
	}
	c->retry_ms = RETRY_FIRST_MS;
	c->watch = g_unix_fd_add(mover_client_fd(c->client), G_IO_IN | G_IO_HUP | G_IO_ERR,
				 on_ready, c);
	log_info("mover", "kith-mover is there.");
	c->events->connected(c->ctx);
}

struct courier *courier_new(const char *path, const struct courier_events *events, void *ctx)
{
	struct courier *c = g_new0(struct courier, 1);

	c->path = g_strdup(path);
	c->events = events;
	c->ctx = ctx;
	c->retry_ms = RETRY_FIRST_MS;
	c->timer = g_idle_add(on_retry, c);
	return c;
}

struct courier *courier_free(struct courier *c)
{
	if (!c)
		return NULL;
	if (c->watch)
		g_source_remove(c->watch);
	if (c->timer)
		g_source_remove(c->timer);
	mover_client_free(c->client);
	g_free(c->path);
	g_free(c);
	return NULL;
}

struct mover_client *courier_client(struct courier *c)
{
	return c->client;
}
