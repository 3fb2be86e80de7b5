/* SPDX-License-Identifier: Apache-2.0 */
/* What this device is, which others there are, and pairing with one. */
#include <string.h>

#include "agent/call.h"
#include "agent/naming.h"
#include "agent/now.h"
#include "agent/view.h"

#define STRANGER_AGE_MS 2000

/* Other users get what was true a moment ago: the questions that policyd is asked are the owner's
 * (A3). */
static void look(struct call *c, void (*fn)(void *user))
{
	struct overview *o = c->parts->overview;

	if (c->asker.kind == ASKER_OWNER)
		overview_refresh_for_person(o, fn, c);
	else if (overview_is_fresh(o, STRANGER_AGE_MS))
		fn(c);
	else
		overview_refresh(o, fn, c);
}

static void on_status(void *user)
{
	struct call *c = user;
	const struct requests_parts *p = c->parts;
	struct view_device here = {p->config, overview_window_open(p->overview),
				   courier_client(p->courier) != NULL,
				   discovery_running(p->discovery), p->port};
	struct policyd_status st;
	struct kerr why = {0};
	int r = overview_status(p->overview, &st, &why);

	call_reply(c, view_status(&here, r < 0 ? NULL : &st, &why));
}

void request_status(struct call *c)
{
	look(c, on_status);
}

static bool is_paired(const struct policyd_peer *peers, size_t count, const struct sighting *s)
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(peers[i].id, s->id, ADVERT_ID_LEN) == 0)
			return true;
	return false;
}

static void on_devices(void *user)
{
	struct call *c = user;
	const struct roster *roster = discovery_roster(c->parts->discovery);
	json_t *list = json_array();
	struct kerr why = {0};
	bool known = overview_tells(c->parts->overview, &why);
	size_t count;
	const struct policyd_peer *peers = overview_peers(c->parts->overview, &count);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(
			list, view_paired(&peers[i], roster_find(roster, peers[i].id), now_ms()));
	for (size_t i = 0; i < roster_count(roster); i++) {
		const struct sighting *s = roster_get(roster, i);

		if (!is_paired(peers, count, s))
			json_array_append_new(list, view_stranger(s, known, now_ms()));
	}
	call_reply(c, json_pack("{s:o, s:o}", "devices", list, "error", api_error(&why)));
}

void request_devices(struct call *c)
{
	look(c, on_devices);
}

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
	peers_pair(c->parts->peers, &c->target, on_pair_started, c);
}

static void on_may_pair(void *user)
{
	struct call *c = user;
	struct kerr err = {0};
	size_t count;
	const struct policyd_peer *peers = overview_peers(c->parts->overview, &count);
	int r = naming_pairable(peers, count, discovery_roster(c->parts->discovery),
				c->request.device, &c->target, &err);

	if (r < 0) {
		call_fail(c, &err);
	} else if (r == 0) {
		address_resolve(c, c->request.device, pair_now);
	} else {
		whereabouts_find(c->parts->whereabouts, c->target.id, c->target.id_len, &c->target);
		pair_now(c);
	}
}

void request_pair(struct call *c)
{
	overview_refresh(c->parts->overview, on_may_pair, c);
}
