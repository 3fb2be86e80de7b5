/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to policyd with a question on it that is answered when something changed. */
#include "agent/changes.h"

#include <glib-unix.h>

#include "base/log.h"
#include "policyd/api/client.h"

#define RETRY_FIRST_MS 250
#define RETRY_MAX_MS 5000
#define BREATH_MS 100 /* changes come together; whoever looks then sees them all */

struct changes {
	char *path;
	void (*changed)(void *ctx);
	void (*lost)(void *ctx);
	void *ctx;
	struct ipc_client *client;
	struct policyd_mark seen;
	guint watch, timer, retry_ms;
};

static void connect_now(struct changes *c);
static void ask_again(struct changes *c);

static gboolean on_retry(gpointer data)
{
	struct changes *c = data;

	c->timer = 0;
	connect_now(c);
	return G_SOURCE_REMOVE;
}

static gboolean on_breath(gpointer data)
{
	struct changes *c = data;

	c->timer = 0;
	ask_again(c);
	return G_SOURCE_REMOVE;
}

static void hang_up(struct changes *c)
{
	if (c->watch)
		g_source_remove(c->watch);
	c->watch = 0;
	c->client = ipc_client_free(c->client);
}

static void retry_later(struct changes *c)
{
	hang_up(c);
	c->timer = g_timeout_add(c->retry_ms, on_retry, c);
	c->retry_ms = MIN(2 * c->retry_ms, RETRY_MAX_MS);
}

static gboolean on_ready(int fd _unused_, GIOCondition condition _unused_, gpointer data)
{
	struct changes *c = data;
	struct kerr err = {0};

	/* It is removed by what is returned here. */
	c->watch = 0;
	if (policyd_client_changes_wait(c->client, 0, &c->seen, &err) < 0) {
		log_debug("policyd", "nothing is heard from it: %s", err.text);
		retry_later(c);
		c->lost(c->ctx);
		return G_SOURCE_REMOVE;
	}
	c->retry_ms = RETRY_FIRST_MS;
	c->timer = g_timeout_add(BREATH_MS, on_breath, c);
	c->changed(c->ctx);
	return G_SOURCE_REMOVE;
}

static void ask_again(struct changes *c)
{
	struct kerr err = {0};

	if (policyd_client_changes_ask(c->client, &c->seen, &err) < 0) {
		retry_later(c);
		c->lost(c->ctx);
		return;
	}
	c->watch =
		g_unix_fd_add(ipc_client_fd(c->client), G_IO_IN | G_IO_HUP | G_IO_ERR, on_ready, c);
}

static void connect_now(struct changes *c)
{
	/* A policyd that was restarted may say what the last one said. */
	c->seen = (struct policyd_mark){{0}};
	if (ipc_client_new(c->path, &c->client) < 0)
		retry_later(c);
	else
		ask_again(c);
}

struct changes *changes_new(const char *path, void (*changed)(void *ctx), void (*lost)(void *ctx),
			    void *ctx)
{
	struct changes *c = g_new0(struct changes, 1);

	c->path = g_strdup(path);
	c->changed = changed;
	c->lost = lost;
	c->ctx = ctx;
	c->retry_ms = RETRY_FIRST_MS;
	c->timer = g_idle_add(on_retry, c);
	return c;
}

struct changes *changes_free(struct changes *c)
{
	if (!c)
		return NULL;
	hang_up(c);
	if (c->timer)
		g_source_remove(c->timer);
	g_free(c->path);
	g_free(c);
	return NULL;
}
