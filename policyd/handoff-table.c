/* SPDX-License-Identifier: Apache-2.0 */
/* The table of hand-offs under way: who has a place, for how long, and what goes with it. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "policyd/handoff-internal.h"

static const char *const handoff_state_names[_HANDOFF_STATE_MAX] = {
	[HANDOFF_FREE] = "free",
	[HANDOFF_SESSION] = "session",
	[HANDOFF_GRANTED] = "granted",
	[HANDOFF_TAKEN] = "taken",
};

int handoffs_new(struct core *core, struct handoffs **ret)
{
	struct handoffs *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->core = core;
	*ret = h;
	return 0;
}

void handoff_enter(struct handoff *ho, enum handoff_state state)
{
	char hid[2 * HID_LEN + 1];

	hex_encode(ho->hid, HID_LEN, hid);
	log_info("handoff", "%.8s %s -> %s", hid, handoff_state_names[ho->state],
		 handoff_state_names[state]);
	ho->state = state;
	if (state != HANDOFF_FREE)
		return;
	session_free(ho->session);
	if (ho->offered)
		store_policy_clear(&ho->offered->policy);
	free(ho->offered);
	*ho = (struct handoff){.all = ho->all, .core = ho->core};
}

struct handoffs *handoffs_free(struct handoffs *h)
{
	for (size_t i = 0; h && i < HANDOFFS_MAX; i++)
		if (h->list[i].state != HANDOFF_FREE)
			handoff_enter(&h->list[i], HANDOFF_FREE);
	free(h);
	return NULL;
}

struct handoff *handoff_find(struct handoffs *h, const uint8_t hid[HID_LEN])
{
	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		if (h->list[i].state != HANDOFF_FREE && memcmp(h->list[i].hid, hid, HID_LEN) == 0)
			return &h->list[i];
	return NULL;
}

/* Sessions and grants have deadlines. A taken one ends with its custody records; if its mover
 * died without any, nothing is open in the journal and the place is reclaimed here. */
bool handoff_is_over(const struct handoff *ho)
{
	struct custody_view view;

	return clock_ms() > ho->deadline_ms &&
	       (ho->state != HANDOFF_TAKEN ||
		store_custody_by_hid(ho->core->store, ho->hid, &view, NULL) < 0);
}

bool handoff_is_under_way(struct handoffs *h, const uint8_t uuid[UUID_LEN])
{
	const struct handoff *list = h->list;

	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		if (list[i].state != HANDOFF_FREE && !handoff_is_over(&list[i]) &&
		    memcmp(list[i].uuid, uuid, UUID_LEN) == 0)
			return true;
	return false;
}

/* What a peer caused does not push out what the owner did. */
void handoff_audit_end(const struct handoff *ho, const struct kerr *reason)
{
	(ho->source ? core_audit : core_audit_peer)(ho->core, ho->person, ho->peer_name, ho->vm,
						    ho->source ? "move-out" : "move-in", reason);
}

/* Recorded, because nobody else says how it ended. */
static void reclaim(struct handoff *ho)
{
	struct kerr why = {0};

	kerr_set(&why, ETIMEDOUT, KCODE_INTERRUPTED,
		 "The hand-off with \"%s\" was not carried on in time, so its place was given to "
		 "another one.",
		 ho->peer_name);
	handoff_audit_end(ho, &why);
	handoff_enter(ho, HANDOFF_FREE);
}

struct handoff *handoff_add(struct handoffs *h, const uint8_t hid[HID_LEN])
{
	for (size_t i = 0; i < HANDOFFS_MAX; i++) {
		struct handoff *ho = &h->list[i];

		if (ho->state != HANDOFF_FREE && handoff_is_over(ho))
			reclaim(ho);
		if (ho->state != HANDOFF_FREE)
			continue;
		ho->all = h;
		ho->core = h->core;
		memcpy(ho->hid, hid, HID_LEN);
		return ho;
	}
	return NULL;
}
