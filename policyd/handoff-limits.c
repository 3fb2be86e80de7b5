/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer may cost this device before it proved anything: how often it may begin, how many
 * places it may fill, and whether it may send at all. Nothing here is written to the disk. */
#include <string.h>

#include "base/clock.h"
#include "policyd/handoff-internal.h"

/* The others are kept for what the owner asks for here (H5). */
#define INCOMING_MAX (HANDOFFS_MAX / 2)

/* Own devices always find half of the incoming places. */
static const struct {
	uint64_t every_ms; /* pace: so many at once, then one each so often */
	unsigned at_once;
	size_t each, person, all; /* places of one device, of one person's, of all such */
} limits[2] = {
	[false] = {5000, 4, 1, 2, INCOMING_MAX / 2},
	[true] = {1000, 8, INCOMING_MAX, INCOMING_MAX, INCOMING_MAX},
};

static int check_pace(struct handoffs *h, const struct store_peer *peer, struct kerr *err)
{
	uint64_t every = limits[peer->own].every_ms;

	if (pace_take(&h->pace, peer->id, every, limits[peer->own].at_once, clock_ms()))
		return 0;
	return kerr_set(err, EBUSY, KCODE_BUSY, "\"%s\" asks too often. Try again in %llu seconds.",
			peer->name, (unsigned long long)(every / 1000));
}

static int check_places(const struct handoffs *h, const struct store_peer *peer, struct kerr *err)
{
	size_t each = 0, person = 0, all = 0, incoming = 0;

	for (size_t i = 0; i < HANDOFFS_MAX; i++) {
		const struct handoff *ho = &h->list[i];

		if (ho->state == HANDOFF_FREE || ho->source || handoff_is_over(ho))
			continue;
		incoming++;
		each += memcmp(ho->peer, peer->id, DEVICE_ID_LEN) == 0;
		person += ho->peer_own == peer->own && strcmp(ho->person, peer->person) == 0;
		all += ho->peer_own == peer->own;
	}
	if (incoming < INCOMING_MAX && each < limits[peer->own].each &&
	    person < limits[peer->own].person && all < limits[peer->own].all)
		return 0;
	return kerr_set(err, EBUSY, KCODE_BUSY,
			"Too many hand-offs from \"%s\", or from others, are under way here. Try "
			"again when one has ended.",
			peer->name);
}

int handoff_may_send(const struct core *core, const struct store_peer *peer, struct kerr *err)
{
	if (peer->own || peer->receive)
		return 0;
	return kerr_set(err, EACCES, KCODE_POLICY,
			"\"%s\" takes no VMs from devices of %s. Its owner can allow it there: "
			"`kith trust receive %s on`.",
			core->config.name, peer->person, peer->name);
}

/* A VM of our owner may come back from wherever it is; which one comes is only known with the
 * offer. */
static int check_rule(struct core *core, const struct store_peer *peer, struct kerr *err)
{
	bool lent = false;
	int r = handoff_may_send(core, peer, NULL);

	if (r == 0)
		return 0;
	r = store_custody_lent(core->store, core->id.owner_pk, &lent, err);
	if (r < 0 || lent)
		return r;
	r = handoff_may_send(core, peer, err);
	core_audit_peer(core, peer->person, peer->name, "", "move-in", err);
	return r;
}

int handoff_admit(struct handoffs *h, const struct store_peer *peer, struct kerr *err)
{
	struct core *core = h->core;
	int r = check_pace(h, peer, err);

	if (r == 0)
		r = check_places(h, peer, err);
	return r < 0 ? r : check_rule(core, peer, err);
}
