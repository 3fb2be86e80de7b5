/* SPDX-License-Identifier: Apache-2.0 */
/* A move that is begun where the VM shall go: its owner, at this device, signs the wish; the device
 * that has the VM decides as if he sat there, and hands it over. The wish names the VM's epoch, so
 * that none of before, kept by somebody, moves it again later; and a time, and is heard once. */
#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "policyd/handoff-internal.h"

#define FETCH_MS 60000
#define WISH_AGE_S 300 /* clocks of two devices differ */

/* A wish is u64 Unix seconds, u8 rung, and 7 random bytes. */
static void make_wish(enum move_rung rung, uint8_t ret[HID_LEN])
{
	struct wbuf w = wbuf_init(ret, HID_LEN);
	uint8_t random[HID_LEN - 9];

	randombytes_buf(random, sizeof(random));
	wbuf_u64(&w, clock_unix());
	wbuf_u8(&w, (uint8_t)rung);
	wbuf_bytes(&w, random, sizeof(random));
}

static bool read_wish(const uint8_t wish[HID_LEN], enum move_rung *ret)
{
	struct rbuf r = rbuf_init(wish, HID_LEN);
	uint64_t time = rbuf_u64(&r), now = clock_unix();

	*ret = (enum move_rung)rbuf_u8(&r);
	return time <= now + WISH_AGE_S && now <= time + WISH_AGE_S && *ret < _MOVE_RUNG_MAX;
}

bool handoff_is_about_fetch(enum custody_statement_kind kind)
{
	return kind == CUSTODY_STATEMENT_WANT || kind == CUSTODY_STATEMENT_COMING ||
	       kind == CUSTODY_STATEMENT_STAYS;
}

uint64_t handoff_news_count(const struct handoffs *h)
{
	return h->news;
}

/* -- Where the VM shall go -- */

static int check_fetch(struct core *core, const struct custody_view *view, struct store_peer *peer,
		       struct kerr *err)
{
	if (!view->known)
		return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
				"This device does not know of that VM. It has to be handed over to "
				"it once from where it is.");
	if (view->here)
		return kerr_set(err, EEXIST, KCODE_EXISTS, "\"%s\" is here already.", view->name);
	if (custody_is_open(view))
		return kerr_set(err, EBUSY, KCODE_BUSY,
				"A hand-off of \"%s\" is under way already.", view->name);
	if (store_peer_get(core->store, view->holder, peer, err) < 0)
		return -ENOENT;
	if (!peer->own)
		return kerr_set(err, EACCES, KCODE_NOT_ALLOWED,
				"\"%s\" is on \"%s\", which is %s's: only there it can be sent.",
				view->name, peer->name, peer->person);
	return 0;
}

int handoff_fetch(struct handoffs *h, const struct policyd_fetch *want, uint8_t ret_wish[HID_LEN],
		  struct kerr *err)
{
	struct core *core = h->core;
	struct handoff_fetch *f;
	struct store_peer peer = {0};
	struct custody_view view = {0};
	int r = store_custody_get(core->store, want->uuid, &view, err);

	if (r == 0)
		r = check_fetch(core, &view, &peer, err);
	core_audit(core, core->id.owner_name, peer.name, view.name, "fetch", r < 0 ? err : NULL);
	if (r == 0)
		r = store_commit(core->store, COMMIT_PLAIN, err);
	if (r < 0)
		return r;
	f = &h->fetches[h->fetch_next++ % FETCHES_MAX];
	*f = (struct handoff_fetch){.epoch = view.epoch, .until_ms = clock_ms() + FETCH_MS};
	make_wish(want->rung, f->wish);
	memcpy(f->uuid, want->uuid, UUID_LEN);
	memcpy(f->holder, view.holder, DEVICE_ID_LEN);
	memcpy(ret_wish, f->wish, HID_LEN);
	h->news++;
	return 0;
}

static bool is_asking(const struct handoff_fetch *f)
{
	return f->until_ms && f->now.state == FETCH_ASKING;
}

void handoff_fetch_outbox(struct handoffs *h, struct record_list *out)
{
	for (size_t i = 0; i < FETCHES_MAX; i++) {
		const struct handoff_fetch *f = &h->fetches[i];
		struct custody_statement st;

		if (!is_asking(f) || clock_ms() > f->until_ms)
			continue;
		custody_statement_make(CUSTODY_STATEMENT_WANT, f->wish, f->uuid, f->epoch,
				       h->core->id.id, f->holder, &st);
		handoff_add_letter(h->core, &st, out);
	}
}

int handoff_fetch_status(struct handoffs *h, const uint8_t wish[HID_LEN],
			 struct policyd_fetched *ret, struct kerr *err)
{
	for (size_t i = 0; i < FETCHES_MAX; i++) {
		struct handoff_fetch *f = &h->fetches[i];

		if (!f->until_ms || memcmp(f->wish, wish, HID_LEN) != 0)
			continue;
		if (is_asking(f) && clock_ms() > f->until_ms) {
			f->now.state = FETCH_STAYS;
			kerr_set(&f->now.reason, EHOSTUNREACH, KCODE_UNREACHABLE,
				 "The device that has the VM was not heard within a minute. Is it "
				 "on, and in the same network?");
		}
		*ret = f->now;
		return 0;
	}
	return kerr_set(err, ENOENT, KCODE_NOT_FOUND,
			"Nobody asked for that, or too long ago. Ask again.");
}

/* The holder's sentence is in its own log: what crosses is the code. */
static void hear_refusal(struct handoff_fetch *f, const struct custody_statement *said)
{
	enum kcode code =
		said->epoch && said->epoch < _KCODE_MAX ? (enum kcode)said->epoch : KCODE_FAILED;

	f->now.state = FETCH_STAYS;
	kerr_set(&f->now.reason, EREMOTEIO, code,
		 code == KCODE_STALE_EPOCH
			 ? "That device does not have the VM any more, or this one has not heard "
			   "yet what became of it."
		 : code == KCODE_POLICY
			 ? "The VM's policy does not let it go from there to here. `kith policy "
			   "why` on that device names the rule."
			 : "That device refuses to hand the VM over; `kith log` there says why.");
}

/* An answer of the device that was asked, to a wish that still waits. */
static void hear_answer(struct handoffs *h, const struct custody_statement *said)
{
	bool coming = said->kind == CUSTODY_STATEMENT_COMING;

	for (size_t i = 0; i < FETCHES_MAX; i++) {
		struct handoff_fetch *f = &h->fetches[i];

		if (!is_asking(f) || memcmp(f->holder, said->from, DEVICE_ID_LEN) != 0 ||
		    memcmp(f->uuid, said->uuid, UUID_LEN) != 0 ||
		    (coming ? said->epoch != f->epoch : memcmp(f->wish, said->hid, HID_LEN) != 0))
			continue;
		if (coming) {
			f->now.state = FETCH_COMING;
			memcpy(f->now.hid, said->hid, HID_LEN);
		} else {
			hear_refusal(f, said);
		}
		h->news++;
	}
}

/* -- Where the VM is -- */

static int check_wish(struct handoffs *h, const struct custody_statement *said,
		      struct policyd_move *ret, struct kerr *err)
{
	struct core *core = h->core;
	struct custody_view view;
	struct store_peer peer;
	int r = store_peer_get(core->store, said->from, &peer, err);

	if (r == 0)
		r = store_custody_get(core->store, said->uuid, &view, err);
	if (r < 0)
		return r;
	if (!peer.own)
		return kerr_set(err, EACCES, KCODE_NOT_ALLOWED,
				"\"%s\" is another person's: it may not ask for VMs.", peer.name);
	if (!read_wish(said->hid, &ret->rung))
		return kerr_set(err, ESTALE, KCODE_ATTEST_REPLAY,
				"The wish of \"%s\" is too old, or the clocks of the two devices "
				"differ by minutes.",
				peer.name);
	if (!view.known || !view.here || view.epoch != said->epoch)
		return kerr_set(err, ESTALE, KCODE_STALE_EPOCH,
				"\"%s\" wants a VM that is not here, or has moved since.",
				peer.name);
	memcpy(ret->uuid, said->uuid, UUID_LEN);
	memcpy(ret->device, said->from, DEVICE_ID_LEN);
	return 0;
}

static const struct handoff_answer *answered(const struct handoffs *h,
					     const struct custody_statement *said)
{
	for (size_t i = 0; i < ANSWERS_MAX; i++) {
		const struct handoff_answer *a = &h->answers[i];

		if (a->said.kind != CUSTODY_STATEMENT_NONE &&
		    memcmp(a->wish, said->hid, HID_LEN) == 0 &&
		    memcmp(a->said.to, said->from, DEVICE_ID_LEN) == 0)
			return a;
	}
	return NULL;
}

/* The owner is at the other device, and that this is so the wish says, signed by a device of his:
 * his policy decides, and both devices prove themselves in the session as always. */
static const struct handoff_answer *decide_wish(struct handoffs *h,
						const struct custody_statement *said)
{
	struct handoff_answer *a = &h->answers[h->answer_next++ % ANSWERS_MAX];
	struct policyd_move move = {0};
	uint8_t hid[HID_LEN];
	struct kerr why = {0};
	int r = check_wish(h, said, &move, &why);

	*a = (struct handoff_answer){0};
	memcpy(a->wish, said->hid, HID_LEN);
	if (r == 0)
		r = handoff_request(h, PERSON_ROLE_OWNER, &move, hid, &why);
	if (r < 0) {
		custody_statement_make(CUSTODY_STATEMENT_STAYS, said->hid, said->uuid, why.code,
				       h->core->id.id, said->from, &a->said);
		return a;
	}
	custody_statement_make(CUSTODY_STATEMENT_COMING, hid, said->uuid, said->epoch,
			       h->core->id.id, said->from, &a->said);
	a->until_ms = clock_ms() + HANDOFF_REQUEST_MS;
	h->news++;
	return a;
}

void handoff_wanted(struct handoffs *h, struct record_list *out)
{
	for (size_t i = 0; i < ANSWERS_MAX; i++) {
		const struct handoff_answer *a = &h->answers[i];
		struct policyd_wanted wanted;

		if (clock_ms() >= a->until_ms || handoff_find(h, a->said.hid))
			continue;
		memcpy(wanted.hid, a->said.hid, HID_LEN);
		memcpy(wanted.device, a->said.to, DEVICE_ID_LEN);
		record_list_add(out, &wanted);
	}
}

void handoff_fetch_step(struct handoffs *h, const struct custody_statement *said,
			struct policyd_statement *out)
{
	static const struct custody_statement none;
	const struct handoff_answer *a = NULL;

	if (said->kind == CUSTODY_STATEMENT_WANT)
		a = answered(h, said) ?: decide_wish(h, said);
	else
		hear_answer(h, said);
	handoff_sign_statement(h->core, a ? &a->said : &none, out);
}
