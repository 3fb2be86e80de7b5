/* SPDX-License-Identifier: Apache-2.0 */
/* What would become of a hand-off: first the other device is asked what it offers, then our mover
 * holds the VM against it. Nothing is begun. */
#include <string.h>

#include "agent/call.h"
#include "agent/view.h"

/* The other device's half, while our mover is asked: the state of the call. */
struct planning {
	struct kerr reason; /* why it cannot tell */
	bool reached;	    /* it told */
};

static struct planning *planning_of(struct call *c)
{
	return c->state;
}

/* The destination's sentence may say "this device" and mean that one. */
static void mark_theirs(struct kerr *err, const char *label, const char *how)
{
	struct kerr marked = {0};

	kerr_set(&marked, EREMOTEIO, err->code, "\"%s\" %s: %.380s", label, how, err->text);
	*err = marked;
}

static void reply_plan(struct call *c, const struct mover_plan *plan)
{
	const struct planning *k = planning_of(c);
	struct kerr reason = k->reason;

	if (reason.code == KCODE_OK) {
		reason = plan->reason;
		if (plan->there)
			mark_theirs(&reason, c->target.label, "would stop the hand-off");
	}
	call_reply(c,
		   view_plan(plan, &reason, k->reached, jobs_rate(c->parts->jobs, c->target.id)));
}

static void on_plan(void *arg, int r, const struct kerr *err, const struct mover_plan *plan)
{
	struct mover_plan none = {0};

	if (r < 0)
		none.reason = *err;
	reply_plan(arg, r < 0 ? &none : plan);
}

static void ask_mover(struct call *c, const uint8_t *offers, size_t len)
{
	struct mover_client *mover = courier_client(c->parts->courier);
	struct mover_plan_ask ask = {.offers = offers, .len = len};
	struct mover_plan none = {0};

	memcpy(ask.uuid, c->request.vm, UUID_LEN);
	if (mover && mover_client_plan(mover, &ask, on_plan, c) == 0)
		return;
	kerr_set(&none.reason, EAGAIN, KCODE_NOT_READY,
		 "The local service kith-mover does not answer.");
	reply_plan(c, &none);
}

/* What its kithd did not even understand it cannot have: an older one says that it is malformed. */
static void cannot_tell(struct call *c, const struct kerr *err, bool theirs)
{
	struct kerr *reason = &planning_of(c)->reason;

	if (theirs && err->code == KCODE_BAD_MESSAGE) {
		kerr_set(reason, EPROTONOSUPPORT, KCODE_UNREACHABLE,
			 "\"%s\" runs another version of Kith, which does not say beforehand what "
			 "it can take; install the same version on both devices.",
			 c->target.label);
		return;
	}
	/* It does not count this device as its owner's: then it tells nothing, and that is all. */
	if (theirs && err->code == KCODE_NOT_ALLOWED)
		return;
	*reason = *err;
	if (theirs)
		mark_theirs(reason, c->target.label, "says");
}

static void on_told(void *user, const struct kerr *err, bool theirs, const uint8_t *offers,
		    size_t len)
{
	struct call *c = user;

	planning_of(c)->reached = err->code == KCODE_OK;
	if (err->code != KCODE_OK)
		cannot_tell(c, err, theirs);
	ask_mover(c, offers, len);
}

static void begin(struct call *c)
{
	c->state = g_new0(struct planning, 1);
	c->state_free = g_free;
}

static void on_may_plan(void *user)
{
	struct call *c = user;
	struct kerr err = {0};
	const struct policyd_peer *peer = call_find_paired(c, &err);

	if (!peer) {
		call_fail(c, &err);
		return;
	}
	begin(c);
	/* Others tell nobody; what our own host has against it can be told all the same. */
	if (!peer->own) {
		ask_mover(c, NULL, 0);
		return;
	}
	whereabouts_find(c->parts->whereabouts, c->target.id, c->target.id_len, &c->target);
	peers_ask(c->parts->peers, &c->target, on_told, c);
}

void request_plan(struct call *c)
{
	/* To nowhere in particular: what this host alone has against it. */
	if (!c->request.device[0]) {
		begin(c);
		ask_mover(c, NULL, 0);
		return;
	}
	overview_refresh_for_person(c->parts->overview, on_may_plan, c);
}

/* -- what it offers, as it is -- */

static void on_offers(void *user, const struct kerr *err, bool theirs, const uint8_t *offers,
		      size_t len)
{
	_cleanup_free_ char *hex = err->code == KCODE_OK ? g_malloc(2 * len + 1) : NULL;
	struct call *c = user;
	struct kerr why = *err;

	if (hex) {
		hex_encode(offers, len, hex);
		call_reply(c, json_pack("{s:s}", "offers", hex));
		return;
	}
	if (theirs)
		mark_theirs(&why, c->target.label, "says");
	call_fail(c, &why);
}

static void on_may_ask(void *user)
{
	struct call *c = user;
	struct kerr err = {0};
	const struct policyd_peer *peer = call_find_paired(c, &err);

	if (peer && !peer->own)
		kerr_set(&err, EPERM, KCODE_NOT_ALLOWED,
			 "\"%s\" is another person's device: what it can give to VMs it tells "
			 "nobody.",
			 c->target.label);
	if (err.code != KCODE_OK) {
		call_fail(c, &err);
		return;
	}
	whereabouts_find(c->parts->whereabouts, c->target.id, c->target.id_len, &c->target);
	peers_ask(c->parts->peers, &c->target, on_offers, c);
}

/* Not read here: the person's program hands it to the mover, which reads it. */
void request_offers(struct call *c)
{
	overview_refresh_for_person(c->parts->overview, on_may_ask, c);
}
