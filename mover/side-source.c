/* SPDX-License-Identifier: Apache-2.0 */
/* The source of a hand-off: carries out what the table in transfer.c says. */
#include "mover/side-source.h"

#include <string.h>

#include "base/log.h"
#include "mover/disk.h"
#include "mover/estimate.h"
#include "mover/off.h"

#define CONNECT_MS 30000  /* from START to "images are made" */
#define VOTE_MS 20000	  /* own CPUs stand still meanwhile */
#define QUOTE_AGE_MS 3000 /* B6 allows 5 s */
#define RESEND_MS 2000
#define FORWARD_MS 10000 /* then recovery waits for the destination's word, not a worker */
#define LOOK_MS 2000
#define OWNER_PAUSE_NS 3000000000u /* the switch-over stops the CPUs for much less */
#define PROGRESS_MS 250
#define ALIVE_MS 2000 /* kithd hears of what takes its time before there is progress */
#define ABORT_RETRY_MS 1000

static struct source *source_self(struct worker *w)
{
	return w->ctx;
}

static int quote_now(struct worker *w, struct kerr *err)
{
	int r;

	if (!w->place.policyd)
		return kerr_set(err, ECONNRESET, KCODE_INTERRUPTED,
				"kith-policyd on this device went away during the hand-off.");
	r = policyd_client_requote(w->place.policyd, w->place.hid, err);
	if (r == 0)
		source_self(w)->quoted_ms = worker_now_ms();
	return r;
}

/* B6, ahead of time: runs while the destination finishes, instead of after it. */
static void source_quote(struct worker *w)
{
	struct kerr err = {0};

	/* A failure counts when it is asked for: the client may have cancelled. */
	if (quote_now(w, &err) < 0)
		log_info("source", "%s", err.text);
}

static void source_start(struct worker *w)
{
	struct source *s = calloc(1, sizeof(*s));

	if (!s)
		_exit(1);
	w->ctx = s;
	source_rpc_init(w, source_quote);
	worker_phase(w, PHASE_PREPARING);
	source_facts_read(w);
}

/* -- libvirt's migration call -- */

static void migrate_work(void *arg)
{
	struct worker *w = arg;
	struct source *s = source_self(w);
	struct virt_migration m = {w->place.sockets[WORKPLACE_RPC], w->place.sockets[WORKPLACE_RAM],
				   w->place.sockets[WORKPLACE_NBD], &s->facts,
				   .still = w->grant.rung == MOVE_RUNG_WARM};

	s->migrate_result = virt_migrate(w->place.uuid, &m, &s->migrate_err);
}

static void migrate_done(void *arg)
{
	struct worker *w = arg;
	struct source *s = source_self(w);

	s->migrating = false;
	if (s->migrate_result < 0) {
		if (w->failure.code == KCODE_OK && !source_is_committed(source_state(w)))
			w->failure = s->migrate_err;
		log_notice("source", "libvirt: %s", s->migrate_err.text);
	}
	side_post(w,
		  s->migrate_result < 0 ? TRANSFER_EVENT_MIGRATE_FAILED : TRANSFER_EVENT_MIGRATED);
}

#define SIZE_SUMMED (UINT64_C(1) << 56) /* of a disk, so that a sum does not overflow */

/* What was sent, and in all will be; what is left of it. */
static uint64_t count_bytes(struct worker *w)
{
	struct source *s = source_self(w);
	struct mover_progress *p = &w->progress;
	struct estimate e = {.memory = w->off ? 0 : s->offer.memory_bytes,
			     .memory_turn = source_rpc_memory_ns(w) != 0};
	uint64_t disk_left, ram_left;

	for (size_t i = 0; i < s->offer.count; i++) {
		if (frame_disk_is_shared(&s->offer.disks[i]))
			continue;
		e.capacity += MIN_OF(s->offer.disks[i].capacity, SIZE_SUMMED);
		e.used += MIN_OF(s->offer.disks[i].used, SIZE_SUMMED);
	}
	p->ram_bytes = worker_bytes(w, CHANNEL_RAM);
	p->disk_bytes = e.disk_sent = worker_bytes(w, CHANNEL_DISK);
	estimate_left(&e, &s->job, &disk_left, &ram_left);
	p->ram_total = p->ram_bytes + ram_left;
	p->disk_total = p->disk_bytes + disk_left;
	return ram_left + disk_left;
}

static void source_migrate(struct worker *w)
{
	struct source *s = source_self(w);

	s->migrating = true;
	count_bytes(w); /* so that the first word of this phase has the total */
	worker_phase(w, domain_facts_copied(&s->facts) ? PHASE_COPYING_DISK : PHASE_COPYING_MEMORY);
	if (tasks_run(w->long_tasks, migrate_work, migrate_done, w) < 0) {
		s->migrating = false;
		side_post(w, TRANSFER_EVENT_MIGRATE_FAILED);
	}
}

static void abort_work(void *arg)
{
	struct worker *w = arg;
	struct kerr err = {0};

	if (virt_job_abort(w->place.virt, w->place.uuid, &err) < 0)
		log_debug("source", "%s", err.text);
}

static void abort_done(void *arg _unused_)
{
}

static void source_check(struct worker *w);

/* Makes virDomainMigrate3() fail: never after the decision (R1). */
static void fail_rpc(struct worker *w)
{
	struct source *s = source_self(w);

	if (source_is_committed(source_state(w))) {
		log_error("source", "Refused to fail a committed hand-off.");
		return;
	}
	source_rpc_give_up(w);
	if (!s->migrating) {
		source_check(w);
		return;
	}
	s->abort_ms = worker_now_ms();
	if (!source_rpc_finishing(w))
		tasks_run(w->tasks, abort_work, abort_done, w);
}

/* -- actions -- */

/* Off as before, or on again if it was shut down for this: then what runs is no vehicle any more,
 * should this be asked for twice. */
static int go_back(struct worker *w, struct kerr *err)
{
	struct source *s = source_self(w);
	int r = s->again ? 0 : source_end_off(w, err);

	if (r < 0 || s->again || !w->off || !source_goes_again(w))
		return r;
	r = virt_start(w->place.virt, w->place.uuid, err);
	s->again = r == 0;
	return r;
}

static int resume_copy(struct worker *w)
{
	struct kerr err = {0};
	int r = workplace_settle(&w->place);

	/* A stopped QEMU would keep libvirt waiting; ABORTED or RECLAIM thaws it. */
	if (r == 0)
		r = w->off ? go_back(w, &err) : virt_resume(w->place.virt, w->place.uuid, &err);
	if (r < 0)
		log_warning("source", "%s", err.text);
	return r;
}

/* R3, S7: the process, then the definition; 0 only if both are gone (F7). */
static int destroy_copy(struct worker *w)
{
	struct kerr err = {0};
	int r = workplace_settle(&w->place);

	if (r == 0)
		r = virt_end(w->place.virt, w->place.uuid, &err);
	if (r == 0)
		r = virt_retire(w->place.virt, w->place.uuid, w->place.folder, &err);
	if (r < 0)
		log_warning("source", "%s", err.text);
	return r;
}

/* A frozen copy runs only for libvirt, if somebody's resume waits in its monitor. And it may have
 * been resumed with the end of the copy although its owner wants it paused. */
static int free_copy(struct worker *w)
{
	struct virt_copy copy;
	struct kerr err = {0};
	int r = workplace_settle(&w->place);

	if (r < 0)
		return r;
	virt_copy_get(w->place.virt, w->place.uuid, &copy);
	if (w->keep_paused && copy.state == COPY_RUNS &&
	    virt_suspend(w->place.virt, w->place.uuid, &err) < 0)
		log_warning("source", "%s", err.text);
	return 0;
}

static void requote(struct worker *w)
{
	struct source *s = source_self(w);
	struct kerr err = {0};

	if (s->quoted_ms && worker_now_ms() - s->quoted_ms < QUOTE_AGE_MS) {
		side_post(w, TRANSFER_EVENT_QUOTED);
		return;
	}
	if (quote_now(w, &err) == 0) {
		side_post(w, TRANSFER_EVENT_QUOTED);
		return;
	}
	if (w->failure.code == KCODE_OK)
		w->failure = err;
	side_post(w, TRANSFER_EVENT_REFUSED);
}

static void send_luggage(struct worker *w, enum luggage_kind kind, const struct luggage *l)
{
	for (size_t at = 0; at < l->len; at += LUGGAGE_PIECE_MAX) {
		const struct frame_luggage v = {kind, l->data + at,
						MIN_OF(l->len - at, LUGGAGE_PIECE_MAX)};
		uint8_t body[LUGGAGE_PIECE_MAX + 16];
		struct wbuf b = wbuf_init(body, sizeof(body));

		if (frame_luggage_put(&b, &v) == 0)
			worker_send(w, FRAME_LUGGAGE, body, b.len);
	}
}

static void send_offer(struct worker *w)
{
	struct source *s = source_self(w);
	uint8_t body[FRAME_OFFER_MAX];
	struct wbuf b = wbuf_init(body, sizeof(body));

	if (frame_offer_put(&b, &s->offer) == 0)
		worker_send(w, FRAME_OFFER, body, b.len);
	for (size_t i = 0; i < _LUGGAGE_MAX; i++)
		send_luggage(w, (enum luggage_kind)i, &s->luggage[i]);
}

static void send_moved(struct worker *w)
{
	const struct frame_moved v = {source_self(w)->downtime_us / 1000};
	uint8_t body[8];
	struct wbuf b = wbuf_init(body, sizeof(body));

	if (frame_moved_put(&b, &v) == 0)
		worker_send(w, FRAME_MOVED, body, b.len);
}

static void settle_work(void *arg)
{
	workplace_settle(&((struct worker *)arg)->place);
}

static void settle_done(void *arg _unused_)
{
}

static void let_through(struct worker *w)
{
	struct source *s = source_self(w);

	source_rpc_let_through(w);
	/* Confirm(0) asks QEMU to end, which a frozen one does not hear: the warden ends it, now
	 * that policyd has the ACK. */
	tasks_run(w->tasks, settle_work, settle_done, w);
	/* The client may be gone (its libvirtd died): then nobody reports an end. */
	if (!s->migrating)
		side_post(w, TRANSFER_EVENT_MIGRATE_FAILED);
}

static int accept_ack(struct worker *w, struct kerr *err)
{
	const struct statement *ack = &w->machine.words[CUSTODY_STATEMENT_ACK];

	return policyd_client_custody_accept(w->place.policyd, w->place.hid, ack->data, ack->len,
					     err);
}

static void prove_ack(struct worker *w)
{
	struct kerr err = {0};

	if (workplace_policyd(&w->place) < 0) {
		side_post(w, TRANSFER_EVENT_DOUBT);
		return;
	}
	if (accept_ack(w, &err) == 0) {
		side_post(w, TRANSFER_EVENT_PROVED);
		return;
	}
	log_warning("source", "The destination's ACK does not count: %s", err.text);
	side_post(w, TRANSFER_EVENT_REFUSED);
}

static void source_dial(struct worker *w)
{
	struct source *s = source_self(w);

	s->resend_ms = worker_now_ms();
	if (source_state(w) == SOURCE_PREPARING && w->links.control)
		side_post(w, TRANSFER_EVENT_LINK_UP); /* since the guest shut down */
	else
		worker_dial(w, DATA_CHANNEL_CONTROL);
	if (source_state(w) != SOURCE_PREPARING)
		return;
	/* All connections are made while the destination makes its images. */
	worker_dial(w, DATA_CHANNEL_RAM);
	for (size_t i = 0; i < domain_facts_copied(&s->facts); i++)
		worker_dial(w, (uint16_t)(DATA_CHANNEL_DISK + i));
}

static void end_phase(struct worker *w)
{
	struct source *s = source_self(w);

	if (source_state(w) == SOURCE_MOVED) {
		w->progress.downtime_ms = s->downtime_us / 1000;
		w->progress.ram_bytes = w->progress.ram_total = worker_bytes(w, CHANNEL_RAM);
		w->progress.disk_bytes = w->progress.disk_total = worker_bytes(w, CHANNEL_DISK);
		w->progress.left_ms = 0;
	}
	if (source_state(w) == SOURCE_KEPT && w->failure.code == KCODE_OK)
		kerr_set(&w->failure, EIO, KCODE_FAILED, "The hand-off failed.");
	worker_leave(w, source_state(w) == SOURCE_MOVED ? PHASE_DONE : PHASE_FAILED);
}

static void journal_prep(struct worker *w)
{
	side_journal(w, CUSTODY_PREP, CUSTODY_STATEMENT_NONE, CUSTODY_STATEMENT_NONE);
}

static void journal_released(struct worker *w)
{
	side_journal(w, CUSTODY_RELEASED, CUSTODY_STATEMENT_VOTE, CUSTODY_STATEMENT_RELEASE);
}

static void journal_aborted(struct worker *w)
{
	enum transfer_event e =
		side_write(w, CUSTODY_ABORTED, CUSTODY_STATEMENT_NONE, CUSTODY_STATEMENT_ABORT);

	/* Not written for want of a disk or a TPM is no refusal: the copy may be frozen. */
	if (e == TRANSFER_EVENT_DOUBT ||
	    (e == TRANSFER_EVENT_REFUSED && w->place.refusal == KCODE_OK))
		side_defer(w, TRANSFER_ACTION_JOURNAL_ABORTED);
}

static void journal_reclaim(struct worker *w)
{
	source_self(w)->reclaimed =
		side_journal(w, CUSTODY_RECLAIM, CUSTODY_STATEMENT_NACK, CUSTODY_STATEMENT_NONE);
}

static void journal_moved(struct worker *w)
{
	side_journal(w, CUSTODY_DONE, CUSTODY_STATEMENT_ACK, CUSTODY_STATEMENT_NONE);
}

static void journal_kept(struct worker *w)
{
	side_journal(w, CUSTODY_DONE, CUSTODY_STATEMENT_NONE, CUSTODY_STATEMENT_NONE);
}

static void send_release(struct worker *w)
{
	struct source *s = source_self(w);

	if (w->keep_paused)
		worker_send(w, FRAME_PAUSED, NULL, 0);
	side_say(w, FRAME_RELEASE, CUSTODY_STATEMENT_RELEASE);
	s->resend_ms = worker_now_ms();
}

/* R2: only ever called once the own copy runs again, or is gone for good. */
static void send_abort(struct worker *w)
{
	side_say(w, FRAME_ABORT, CUSTODY_STATEMENT_ABORT);
}

/* model:F1-F3: the VOTE of a complete copy releases; after a reclaim its NACK is in hand. */
static void source_forward(struct worker *w)
{
	enum transfer_event e;

	if (source_self(w)->reclaimed) {
		side_post(w, TRANSFER_EVENT_NACK);
		return;
	}
	if (!w->machine.words[CUSTODY_STATEMENT_VOTE].len)
		return;
	e = side_write(w, CUSTODY_RELEASED, CUSTODY_STATEMENT_VOTE, CUSTODY_STATEMENT_RELEASE);
	/* Only a start from disk (F6), or the end of the hand-off, is final. A policyd that died
	 * before the record, or is busy, is asked again: what waits there is the last copy. */
	if (e == TRANSFER_EVENT_REFUSED && w->place.refusal != KCODE_CUSTODY &&
	    w->place.refusal != KCODE_STALE_EPOCH && w->place.refusal != KCODE_NOT_FOUND)
		e = TRANSFER_EVENT_DOUBT;
	side_post(w, e);
}

/* Before the commit: what was offered as off did not run meanwhile. From here on libvirt lets
 * nobody resume it, since the migration's job is held. */
static int still_off(struct worker *w)
{
	struct kerr err = {0};
	int r = 1;

	if (w->off && !atomic_load(&source_self(w)->resumed))
		r = virt_untouched(w->place.virt, w->place.uuid, &err);
	else if (w->off)
		r = 0;
	if (r == 1 || r == -ENOENT)
		return 0;
	log_warning("source", "%s", r == 0 ? "The VM was off, and has run meanwhile." : err.text);
	return r < 0 ? r : -EBUSY;
}

static void source_check(struct worker *w)
{
	enum source_state state = source_state(w);

	if (state == SOURCE_COMMITTING)
		worker_check_copy(w, still_off, WORKER_LOOK_JOB);
	else
		worker_check_copy(w, state == SOURCE_ABORTING ? free_copy : NULL,
				  WORKER_LOOK_STATE);
}

static void source_resume(struct worker *w)
{
	worker_check_copy(w, resume_copy, WORKER_LOOK_STATE);
}

static void source_destroy(struct worker *w)
{
	struct kerr err = {0};

	/* A policyd that was started again has forgotten the ACK, and the warden obeys it only. */
	if (workplace_policyd(&w->place) < 0 || accept_ack(w, &err) < 0)
		log_info("source", "%s", err.text);
	worker_check_copy(w, destroy_copy, WORKER_LOOK_STATE);
}

/* What failed is done again, not only looked at (F7). */
static void source_later(struct worker *w)
{
	side_defer(w, source_state(w) == SOURCE_CONFIRMING ? TRANSFER_ACTION_DESTROY_COPY
							   : TRANSFER_ACTION_CHECK_COPY);
}

/* Recovery closes what could not be closed here, and goes by the note: whether the VM was off. It
 * also starts a VM that was shut down for this and died before it could boot. */
static void forget_images(struct worker *w)
{
	if (!w->clean)
		return;
	if (source_goes_again(w) && w->place.copy_gone)
		w->clean = false;
	else
		remnant_remove(w->place.folder, w->place.hid);
}

static void (*const source_acts[_TRANSFER_ACTION_MAX])(struct worker *w) = {
	[TRANSFER_ACTION_JOURNAL_PREP] = journal_prep,
	[TRANSFER_ACTION_JOURNAL_RELEASED] = journal_released,
	[TRANSFER_ACTION_JOURNAL_ABORTED] = journal_aborted,
	[TRANSFER_ACTION_JOURNAL_RECLAIM] = journal_reclaim,
	[TRANSFER_ACTION_JOURNAL_MOVED] = journal_moved,
	[TRANSFER_ACTION_JOURNAL_KEPT] = journal_kept,
	[TRANSFER_ACTION_READY] = worker_answer_start,
	[TRANSFER_ACTION_DIAL] = source_dial,
	[TRANSFER_ACTION_SEND_OFFER] = send_offer,
	[TRANSFER_ACTION_SEND_RELEASE] = send_release,
	[TRANSFER_ACTION_SEND_ABORT] = send_abort,
	[TRANSFER_ACTION_SEND_MOVED] = send_moved,
	[TRANSFER_ACTION_MIGRATE] = source_migrate,
	[TRANSFER_ACTION_LET_THROUGH] = let_through,
	[TRANSFER_ACTION_FAIL_RPC] = fail_rpc,
	[TRANSFER_ACTION_CHECK_COPY] = source_check,
	[TRANSFER_ACTION_FREEZE] = worker_freeze,
	[TRANSFER_ACTION_PROVE_ACK] = prove_ack,
	[TRANSFER_ACTION_FORWARD] = source_forward,
	[TRANSFER_ACTION_RESUME_COPY] = source_resume,
	[TRANSFER_ACTION_DESTROY_COPY] = source_destroy,
	[TRANSFER_ACTION_REQUOTE] = requote,
	[TRANSFER_ACTION_DROP_IMAGES] = side_drop_images,
	[TRANSFER_ACTION_KEEP_IMAGES] = forget_images,
	[TRANSFER_ACTION_LATER] = source_later,
	[TRANSFER_ACTION_REPORT] = worker_send_error,
	[TRANSFER_ACTION_LEAVE] = end_phase,
};

/* -- frames of the destination -- */

static void on_ack(struct worker *w, const struct frame *f)
{
	struct source *s = source_self(w);
	struct rbuf r = rbuf_init(f->body, f->len);
	struct frame_ack v;
	uint64_t now = worker_now_ns(), stopped = atomic_load(&s->stopped_ns);

	if (frame_ack_get(&r, &v) < 0 || rbuf_end(&r) < 0)
		return;
	/* From the stop of our CPUs to the arrival of ACK, less what the destination did after
	 * its CPUs ran: one network trip too long, never too short. */
	if ((!w->off || source_goes_again(w)) && !s->downtime_us && stopped && now > stopped &&
	    (now - stopped) / 1000 > v.late_us)
		s->downtime_us = (now - stopped) / 1000 - v.late_us;
	w->progress.off = w->progress.off || v.off;
	side_hear(w, CUSTODY_STATEMENT_ACK, v.ack, v.len);
}

static void on_disks_ready(struct worker *w, const struct frame *f)
{
	struct rbuf r = rbuf_init(f->body, f->len);
	int n = frame_ready_get(&r);

	if (n == -EPROTONOSUPPORT)
		side_stop_version(w);
	else if (n < 0 || rbuf_end(&r) < 0)
		side_stop(w, EBADMSG, KCODE_BAD_MESSAGE, "\"%s\" sent a malformed answer.",
			  w->grant.peer_name);
	else
		side_post(w, TRANSFER_EVENT_IMAGES);
}

static void source_frame(struct worker *w, const struct frame *f)
{
	switch (f->type) {
	case FRAME_RPC:
		source_rpc_frame(w, f);
		return;
	case FRAME_DISKS_READY:
		on_disks_ready(w, f);
		return;
	case FRAME_VOTE:
		side_hear(w, CUSTODY_STATEMENT_VOTE, f->body, f->len);
		return;
	case FRAME_ACK:
		on_ack(w, f);
		return;
	case FRAME_NACK:
		if (w->failure.code == KCODE_OK)
			kerr_set(&w->failure, EREMOTEIO, KCODE_INTERRUPTED,
				 "The destination's copy of the VM was lost before it ran.");
		side_hear(w, CUSTODY_STATEMENT_NACK, f->body, f->len);
		return;
	case FRAME_OFFER:
	case FRAME_RELEASE:
	case FRAME_ABORT:
	case FRAME_PROGRESS:
	case FRAME_ERROR:
	case FRAME_MOVED:
	case FRAME_PAUSED:
	case FRAME_LUGGAGE:
	case FRAME_BEAT:
	case FRAME_CONSOLE:
	case _FRAME_MAX:
		break;
	}
	side_stop(w, EBADMSG, KCODE_BAD_MESSAGE,
		  "\"%s\" sent a message that only the source of a hand-off may send.",
		  w->grant.peer_name);
}

static void source_relay(struct worker *w, size_t index, const struct relay_status *st)
{
	if (st->state == RELAY_IDLE)
		source_rpc_attach(w);
	else if (st->state == RELAY_FAILED && st->error != -ECANCELED)
		/* libvirt sees the end of its connection and fails the job by itself. */
		side_stop(
			w, ECONNRESET, KCODE_INTERRUPTED,
			"The data connection %u to \"%s\" broke. Try again; if it breaks again, "
			"QEMU gives up there, and /var/log/libvirt/qemu/%s.log of that device says "
			"why.",
			w->links.relays[index].channel, w->grant.peer_name, w->grant.vm);
}

/* -- progress and time -- */

static void stats_work(void *arg)
{
	struct worker *w = arg;
	struct kerr err = {0};

	virt_job_get(w->place.virt, w->place.uuid, &source_self(w)->job, &err);
}

static void update_progress(struct worker *w, uint64_t now)
{
	struct source *s = source_self(w);
	struct mover_progress *p = &w->progress;
	uint64_t left = count_bytes(w), bytes = p->ram_bytes + p->disk_bytes;

	if (now > w->rate_ms) {
		uint64_t fresh = bytes - MIN_OF(bytes, w->rate_bytes);
		uint64_t rate = fresh * 1000 / (now - w->rate_ms);

		p->rate_bytes_s = p->rate_bytes_s ? (3 * p->rate_bytes_s + rate) / 4 : rate;
	}
	w->rate_ms = now;
	w->rate_bytes = bytes;
	p->left_ms = p->rate_bytes_s && s->job.active ? left * 1000 / p->rate_bytes_s : UINT64_MAX;
	if (p->phase == PHASE_COPYING_DISK && p->ram_bytes > 65536)
		worker_phase(w, PHASE_COPYING_MEMORY);
}

/* On the warm rung libvirt stops the CPUs when memory's turn comes; who stopped them long before
 * that was the owner. */
static bool owner_paused(const struct worker *w)
{
	const struct source *s = w->ctx;
	uint64_t stopped = atomic_load(&s->stopped_ns), until = worker_now_ns();

	if (source_goes_again(w))
		return false;
	if (w->grant.rung == MOVE_RUNG_WARM && source_rpc_memory_ns(w))
		until = source_rpc_memory_ns(w);
	return stopped && until > stopped && until - stopped > OWNER_PAUSE_NS;
}

/* A guest that its owner pauses while it is copied stays paused, wherever it ends. */
static void notice_pause(struct worker *w)
{
	bool paused = !source_rpc_finishing(w) && owner_paused(w);

	if (paused && !w->keep_paused)
		log_notice("source", "The VM was paused by its owner; it will stay paused.");
	if (source_rpc_finishing(w) || paused == w->keep_paused)
		return;
	w->keep_paused = w->place.remnant.paused = paused;
	if (remnant_write(w->place.folder, &w->place.remnant) < 0)
		log_warning("source", "Cannot note that the guest stays paused.");
}

static void stats_done(void *arg)
{
	struct worker *w = arg;
	struct source *s = source_self(w);
	uint8_t body[2048];
	struct wbuf b = wbuf_init(body, sizeof(body));

	s->stats_busy = false;
	if (source_state(w) != SOURCE_TRANSFER)
		return; /* the numbers stay as they were */
	if (!w->off)
		notice_pause(w);
	update_progress(w, worker_now_ms());
	worker_progress(w);
	if (mover_progress_put(&b, &w->progress) == 0)
		worker_send(w, FRAME_PROGRESS, body, b.len);
}

/* It was offered as off, so the other device would not go on with what is in its memory now. Noted
 * before the hand-off stops: recovery cannot see that a guest ran for a moment and did nothing. */
static void notice_resume(struct worker *w)
{
	int r;

	/* Not before the thread that started it is done with the note. */
	if (!source_self(w)->carried || !atomic_load(&source_self(w)->resumed) ||
	    !source_can_stop(source_state(w)))
		return;
	r = off_forget(&w->place);
	if (r < 0)
		log_warning("source", "Cannot note that the VM ran: %s.", strerror(-r));
	side_stop(w, EBUSY, KCODE_INTERRUPTED,
		  "Somebody let the VM \"%s\" run while it was handed over switched off. It stays "
		  "on this device as it is; hand it over again.",
		  w->grant.vm);
}

static void deadlines(struct worker *w, uint64_t in_state)
{
	if (source_state(w) == SOURCE_PREPARING && in_state > CONNECT_MS)
		side_stop(w, ETIMEDOUT, KCODE_UNREACHABLE, "\"%s\" did not get ready within %d s.",
			  w->grant.peer_name, CONNECT_MS / 1000);
	if (source_state(w) == SOURCE_VOTING && in_state > VOTE_MS)
		side_stop(w, ETIMEDOUT, KCODE_INTERRUPTED,
			  "\"%s\" did not confirm its copy within %d s.", w->grant.peer_name,
			  VOTE_MS / 1000);
}

/* Our copy died: the owner may start the VM from its disk meanwhile, which ends the waiting; a
 * person should not wait in front of a command for a device that may be off. */
static void wait_forward(struct worker *w, uint64_t now)
{
	struct source *s = source_self(w);

	if (now - s->stats_ms >= LOOK_MS) {
		s->stats_ms = now;
		source_check(w);
	}
	if (now - w->machine.entered_ms < FORWARD_MS || w->leave_ms)
		return;
	kerr_clear(&w->failure);
	kerr_set(&w->failure, EIO, KCODE_INTERRUPTED,
		 "The VM died on this device during the hand-off. \"%s\" may have a complete copy "
		 "of it and goes on with it as soon as both devices reach each other; or start the "
		 "VM here from its disk.",
		 w->grant.peer_name);
	worker_leave(w, PHASE_FAILED);
}

static void source_tick(struct worker *w, uint64_t now)
{
	struct source *s = source_self(w);

	deadlines(w, now - w->machine.entered_ms);
	/* Its guest shuts down, or it is started although it was off. */
	if (source_state(w) == SOURCE_NEW && w->started && now - w->progress_ms >= ALIVE_MS)
		worker_progress(w);
	notice_resume(w);
	if ((source_state(w) == SOURCE_RELEASED || source_state(w) == SOURCE_FORWARD) &&
	    now - s->resend_ms >= RESEND_MS) {
		/* For ever: only ACK or NACK ends this. */
		if (!w->links.control)
			source_dial(w);
		else if (source_state(w) == SOURCE_RELEASED)
			send_release(w);
		s->resend_ms = now;
	}
	if (source_state(w) == SOURCE_FORWARD)
		wait_forward(w, now);
	if (source_state(w) == SOURCE_ABORTING && s->migrating && !source_rpc_finishing(w) &&
	    now - s->abort_ms >= ABORT_RETRY_MS)
		fail_rpc(w);
	if (source_state(w) == SOURCE_TRANSFER && !s->stats_busy &&
	    now - s->stats_ms >= PROGRESS_MS) {
		s->stats_ms = now;
		s->stats_busy = tasks_run(w->tasks, stats_work, stats_done, w) == 0;
	}
}

static bool source_may_stop(struct worker *w)
{
	return source_can_stop(source_state(w));
}

static bool source_rests(struct worker *w)
{
	return source_state(w) == SOURCE_ABORTING || source_state(w) == SOURCE_FORWARD;
}

static struct transfer_step source_next(int state, enum transfer_event event)
{
	return source_step((enum source_state)state, event);
}

static const char *source_state_name(int state)
{
	return source_state_to_string((enum source_state)state);
}

const struct side source_side = {
	.name = "source",
	.step = source_next,
	.state_name = source_state_name,
	.acts = source_acts,
	.words =
		{
			[CUSTODY_STATEMENT_VOTE] = TRANSFER_EVENT_VOTE,
			[CUSTODY_STATEMENT_ACK] = TRANSFER_EVENT_ACK,
			[CUSTODY_STATEMENT_NACK] = TRANSFER_EVENT_NACK,
		},
	.start = source_start,
	.frame = source_frame,
	.relay = source_relay,
	.watch = source_rpc_watch,
	.tick = source_tick,
	.can_stop = source_may_stop,
	.rests = source_rests,
};
