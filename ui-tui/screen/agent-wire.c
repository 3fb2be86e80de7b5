/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for their reply, and the next time to try. */
#include "ui-tui/screen/agent-wire.h"

#include <string.h>

#include "agent/client.h"
#include "base/clock.h"

#define RETRY_MS 1000
#define REPLY_MS 60000 /* after that kithd counts as gone */
#define OPEN_MAX 12    /* requests; kithd takes 16 of one client */

struct pending {
	json_int_t id;
	agent_wire_fn fn;
	void *user;
	uint64_t end_ms;
};

struct agent_wire {
	const char *path;
	const struct agent_wire_hooks *hooks;
	void *ctx;
	struct agent_client *client;
	bool answered; /* since it was connected */
	uint64_t retry_ms;
	struct pending open[OPEN_MAX];
	size_t open_count;
};

struct agent_wire *agent_wire_new(const char *path, const struct agent_wire_hooks *hooks, void *ctx)
{
	struct agent_wire *w = calloc(1, sizeof(*w));

	if (w)
		*w = (struct agent_wire){.path = path, .hooks = hooks, .ctx = ctx};
	return w;
}

struct agent_wire *agent_wire_free(struct agent_wire *w)
{
	if (!w)
		return NULL;
	agent_client_free(w->client);
	free(w);
	return NULL;
}

int agent_wire_fd(const struct agent_wire *w)
{
	return w->client ? agent_client_fd(w->client) : -EBADF;
}

int agent_wire_wait_ms(const struct agent_wire *w)
{
	uint64_t now = clock_ms(), next = w->client ? UINT64_MAX : w->retry_ms;

	for (size_t i = 0; i < w->open_count; i++)
		next = MIN_OF(next, w->open[i].end_ms);
	if (next == UINT64_MAX)
		return -1;
	return next > now ? (int)MIN_OF(next - now, (uint64_t)REPLY_MS) : 0;
}

/* Whoever is told may ask again, so they are taken out before. */
static void lose(struct agent_wire *w, const struct kerr *why)
{
	struct pending open[OPEN_MAX];
	size_t count = w->open_count;

	memcpy(open, w->open, sizeof(open));
	w->open_count = 0;
	w->client = agent_client_free(w->client);
	w->answered = false;
	w->retry_ms = clock_ms() + RETRY_MS;
	for (size_t i = 0; i < count; i++)
		open[i].fn(open[i].user, NULL, why);
	w->hooks->down(w->ctx, why);
}

static void on_watch(void *user, const json_t *result, const struct kerr *err)
{
	struct agent_wire *w = user;

	/* Whoever may not watch may ask for a part; each answer says what. */
	(void)result;
	(void)err;
	if (w->client)
		w->hooks->up(w->ctx);
}

static void dial(struct agent_wire *w)
{
	struct kerr err = {0};

	if (agent_client_new_nowait(w->path, &w->client, &err) < 0) {
		w->client = NULL;
		w->retry_ms = clock_ms() + RETRY_MS;
		w->hooks->down(w->ctx, &err);
		return;
	}
	/* First listen, then ask: nothing is missed in between. */
	agent_wire_ask(w, json_pack("{s:s}", "op", "watch"), on_watch, w);
}

void agent_wire_ask(struct agent_wire *w, json_t *request, agent_wire_fn fn, void *user)
{
	struct pending p = {.fn = fn, .user = user, .end_ms = clock_ms() + REPLY_MS};
	_cleanup_free_ char *op = strdup(json_string_value(json_object_get(request, "op")));
	struct kerr err = {0};

	json_object_del(request, "op");
	if (!w->client || !op || w->open_count == OPEN_MAX) {
		json_decref(request);
		kerr_set(&err, EAGAIN, w->client ? KCODE_BUSY : KCODE_NOT_READY,
			 w->client ? "Too many questions to kithd are open."
				   : "kithd does not answer.");
		fn(user, NULL, &err);
		return;
	}
	if (agent_client_ask(w->client, op, request, &p.id, &err) == 0) {
		w->open[w->open_count++] = p;
		return;
	}
	fn(user, NULL, &err);
	lose(w, &err);
}

static void take_reply(struct agent_wire *w, json_t *reply)
{
	json_int_t id = json_integer_value(json_object_get(reply, "id"));
	struct kerr err = {0};

	/* It could not even tell which request it refuses: there is no place for this client. */
	if (id == 0) {
		if (agent_client_result(reply, NULL, &err) < 0)
			lose(w, &err);
		return;
	}
	for (size_t i = 0; i < w->open_count; i++) {
		struct pending p = w->open[i];
		json_t *result = NULL;

		if (p.id != id)
			continue;
		w->open[i] = w->open[--w->open_count];
		if (agent_client_result(reply, &result, &err) < 0)
			result = NULL;
		p.fn(p.user, result, &err);
		json_decref(result);
		return;
	}
}

static void read_all(struct agent_wire *w)
{
	struct kerr err = {0};
	json_t *o;
	int r = 1;

	while (w->client && (r = agent_client_take(w->client, &o, &err)) > 0) {
		if (json_object_get(o, "event"))
			w->hooks->event(w->ctx, o);
		else
			take_reply(w, o);
		json_decref(o);
	}
	if (r < 0)
		lose(w, &err);
}

void agent_wire_run(struct agent_wire *w, bool readable)
{
	uint64_t now = clock_ms();
	struct kerr err = {0};

	if (readable)
		read_all(w);
	for (size_t i = 0; i < w->open_count; i++)
		if (now >= w->open[i].end_ms) {
			kerr_set(&err, ETIMEDOUT, KCODE_INTERRUPTED,
				 "kithd did not answer within %d s.", REPLY_MS / 1000);
			lose(w, &err);
			return;
		}
	if (!w->client && now >= w->retry_ms)
		dial(w);
}
