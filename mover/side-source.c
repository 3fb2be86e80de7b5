/* SPDX-License-Identifier: Apache-2.0 */
/* The source of a hand-off: carries out what the table in transfer.c says. */
#include "mover/side-source.h"

#include <string.h>

#include "base/log.h"
#include "mover/disk.h"

#define CONNECT_MS 30000  /* from START to "images are made" */
#define VOTE_MS 20000	  /* own CPUs stand still meanwhile */
#define QUOTE_AGE_MS 3000 /* B6 allows 5 s */
#define RESEND_MS 2000
#define FORWARD_MS 10000 /* then recovery waits for the destination's word, not a worker */
#define LOOK_MS 2000
#define OWNER_PAUSE_NS 3000000000u /* the switch-over stops the CPUs for much less */
#define PROGRESS_MS 250
#define ABORT_RETRY_MS 1000

static struct source *self(struct worker *w)
{
	return w->ctx;
}

static void set_state(struct worker *w, enum source_state next)
{
	struct source *s = self(w);

	if (s->state == next)
		return;
	log_info("source", "%s: %s after %s.", w->hex, source_state_to_string(next),
		 source_state_to_string(s->state));
	s->state = next;
	s->entered_ms = worker_now_ms();
}

static void keep(struct statement *st, const struct control_frame *f)
{
	uint8_t *copy = malloc(f->len ? f->len : 1);

	if (!copy)
		return;
	memcpy(copy, f->body, f->len);
	free(st->data);
	*st = (struct statement){copy, f->len};
}

/* -- what is moved -- */

struct facts_task {
	struct worker *w;
	int result;
	struct kerr err;
};

static void on_cpus(void *ctx, uint64_t stopped_ns)
{
	struct source *s = ctx;

	atomic_store(&s->stopped_ns, stopped_ns);
}

static int read_disks(struct worker *w, struct kerr *err)
{
	struct source *s = self(w);

	s->offer.memory_bytes = s->facts.memory_bytes;
	s->offer.vcpus = s->facts.vcpus;
	s->map.count = s->offer.count = s->facts.disk_count;
	for (size_t i = 0; i < s->facts.disk_count; i++) {
		const struct domain_disk *d = &s->facts.disks[i];
		struct control_disk *o = &s->offer.disks[i];
		struct domain_disk_target *t = &s->map.disks[i];
		int r;

		memcpy(o->target, d->target, sizeof(o->target));
		o->format = d->format;
		r = virt_disk_size(w->virt, w->grant.uuid, d->target, &o->capacity, &o->used, err);
		if (r < 0)
			return r;
		memcpy(t->target, d->target, sizeof(t->target));
		memcpy(t->path, d->source, sizeof(t->path));
		t->format = d->format;
		t->capacity = o->capacity;
		if (disk_was_made(w->folder, w->config.images, d->source))
			memcpy(w->remnant.paths[w->remnant.count++], d->source, sizeof(d->source));
	}
	return 0;
}

static int read_facts(struct worker *w, struct kerr *err)
{
	struct source *s = self(w);
	struct virt_domain d = {0};
	/* Without it the copy could be woken after RELEASED (F2). */
	int r = warden_ping(&w->config, err);

	if (r == 0)
		r = virt_domain(w->virt, w->grant.uuid, &d, err);
	if (r < 0)
		return r;
	s->xml = d.xml;
	if (strcmp(d.name, w->grant.vm) != 0)
		return kerr_set(err, EACCES, KCODE_IDENTITY,
				"The VM is called \"%s\" here, but \"%s\" was granted.", d.name,
				w->grant.vm);
	if (d.copy.state != COPY_RUNS)
		return kerr_set(err, EINVAL, KCODE_NOT_RUNNING,
				"The VM \"%s\" %s; only a running VM can be handed over live.",
				d.name, d.copy.state == COPY_PAUSED ? "is paused" : "does not run");
	r = domain_disks(d.xml, strlen(d.xml), &s->facts, err);
	if (r < 0)
		return r;
	r = read_disks(w, err);
	if (r < 0)
		return r;
	return virt_watch(w->virt, w->grant.uuid, on_cpus, s, err);
}

static void facts_work(void *arg)
{
	struct facts_task *t = arg;

	t->result = read_facts(t->w, &t->err);
}

static void facts_done(void *arg)
{
	struct facts_task *t = arg;
	struct worker *w = t->w;
	struct source *s = self(w);
	int r;

	if (t->result < 0) {
		worker_stop_err(w, &t->err);
	} else if ((r = source_open_sockets(w)) < 0 ||
		   (r = remnant_write(w->folder, &w->remnant)) < 0) {
		worker_stop(w, -r, KCODE_FAILED, "The hand-off's files cannot be made: %s.",
			    strerror(-r));
	} else {
		s->limits.expect_name = w->grant.vm;
		memcpy(s->limits.expect_uuid, w->grant.uuid, UUID_LEN);
		worker_post(w, TRANSFER_EVENT_GRANTED);
	}
	free(t);
}

static void start(struct worker *w)
{
	struct source *s = calloc(1, sizeof(*s));
	struct facts_task *t = calloc(1, sizeof(*t));

	if (!s || !t)
		_exit(1);
	s->rpc_listen = s->ram_listen = s->nbd_listen = s->rpc = -EBADF;
	s->next_disk = DATA_CHANNEL_DISK;
	s->to_client = xdr_out_init(WORKER_RPC_FRAME_MAX);
	s->held = xdr_out_init(WORKER_RPC_FRAME_MAX);
	s->entered_ms = worker_now_ms();
	w->ctx = s;
	t->w = w;
	worker_phase(w, PHASE_PREPARING);
	if (tasks_run(w->tasks, facts_work, facts_done, t) < 0)
		worker_stop(w, ENOMEM, KCODE_FAILED, "Out of memory.");
}

/* -- libvirt's migration call -- */

static void migrate_work(void *arg)
{
	struct worker *w = arg;
	struct source *s = self(w);
	struct virt_migration m = {w->rpc_path, w->ram_path, w->nbd_path, &s->facts};

	s->migrate_result = virt_migrate(w->grant.uuid, &m, &s->migrate_err);
}

static void migrate_done(void *arg)
{
	struct worker *w = arg;
	struct source *s = self(w);

	s->migrating = false;
	if (s->migrate_result < 0) {
		if (w->failure.code == KCODE_OK && !source_is_committed(s->state))
			w->failure = s->migrate_err;
		log_notice("source", "libvirt: %s", s->migrate_err.text);
	}
	worker_post(w, s->migrate_result < 0 ? TRANSFER_EVENT_MIGRATE_FAILED
					     : TRANSFER_EVENT_MIGRATED);
}

static void migrate(struct worker *w)
{
	struct source *s = self(w);

	s->migrating = true;
	worker_phase(w, s->facts.disk_count ? PHASE_COPYING_DISK : PHASE_COPYING_MEMORY);
	if (tasks_run(w->long_tasks, migrate_work, migrate_done, w) < 0) {
		s->migrating = false;
		worker_post(w, TRANSFER_EVENT_MIGRATE_FAILED);
	}
}

static void abort_work(void *arg)
{
	struct worker *w = arg;
	struct kerr err = {0};

	if (virt_job_abort(w->virt, w->grant.uuid, &err) < 0)
		log_debug("source", "%s", err.text);
}

static void abort_done(void *arg _unused_)
{
}

static void check(struct worker *w);

/* Makes virDomainMigrate3() fail: never after the decision (R1). */
static void fail_rpc(struct worker *w)
{
	struct source *s = self(w);

	if (source_is_committed(s->state)) {
		log_error("source", "Refused to fail a committed hand-off.");
		return;
	}
	source_give_up(w);
	if (!s->migrating) {
		check(w);
		return;
	}
	s->abort_ms = worker_now_ms();
	if (!s->finish_called)
		tasks_run(w->tasks, abort_work, abort_done, w);
}

/* -- actions -- */

static int resume_copy(struct worker *w)
{
	struct kerr err = {0};
	int r = worker_settle(w);

	/* A stopped QEMU would keep libvirt waiting; ABORTED or RECLAIM thaws it. */
	if (r == 0)
		r = virt_resume(w->virt, w->grant.uuid, &err);
	if (r < 0)
		log_warning("source", "%s", err.text);
	return r;
}

/* R3, S7: the process, then the definition; 0 only if both are gone (F7). */
static int destroy_copy(struct worker *w)
{
	struct kerr err = {0};
	int r = worker_settle(w);

	if (r == 0)
		r = virt_end(w->virt, w->grant.uuid, &err);
	if (r == 0)
		r = virt_retire(w->virt, w->grant.uuid, w->folder, &err);
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
	int r = worker_settle(w);

	if (r < 0)
		return r;
	virt_copy_get(w->virt, w->grant.uuid, &copy);
	if (w->keep_paused && copy.state == COPY_RUNS &&
	    virt_suspend(w->virt, w->grant.uuid, &err) < 0)
		log_warning("source", "%s", err.text);
	return 0;
}

static enum transfer_event write_record(struct worker *w, enum custody_record record,
					const struct statement *proof, struct statement *ret)
{
	struct statement none = {0}, got = {0};
	const struct statement *p = proof ? proof : &none;
	enum transfer_event e = worker_journal(w, record, p->data, p->len, &got.data, &got.len);

	if (e == TRANSFER_EVENT_JOURNALLED && ret) {
		free(ret->data);
		*ret = got;
	} else {
		free(got.data);
	}
	return e;
}

static bool journal(struct worker *w, enum custody_record record, const struct statement *proof,
		    struct statement *ret)
{
	enum transfer_event e = write_record(w, record, proof, ret);

	if (record == CUSTODY_DONE && e == TRANSFER_EVENT_JOURNALLED)
		w->clean = true;
	worker_post(w, e);
	return e == TRANSFER_EVENT_JOURNALLED;
}

static int quote(struct worker *w, struct kerr *err)
{
	int r;

	if (!w->policyd)
		return kerr_set(err, ECONNRESET, KCODE_INTERRUPTED,
				"kith-policyd on this device went away during the hand-off.");
	r = policyd_client_requote(w->policyd, w->hid, err);
	if (r == 0)
		self(w)->quoted_ms = worker_now_ms();
	return r;
}

void source_quote(struct worker *w)
{
	struct kerr err = {0};

	/* A failure counts when it is asked for: the client may have cancelled. */
	if (quote(w, &err) < 0)
		log_info("source", "%s", err.text);
}

static void requote(struct worker *w)
{
	struct source *s = self(w);
	struct kerr err = {0};

	if (s->quoted_ms && worker_now_ms() - s->quoted_ms < QUOTE_AGE_MS) {
		worker_post(w, TRANSFER_EVENT_QUOTED);
		return;
	}
	if (quote(w, &err) == 0) {
		worker_post(w, TRANSFER_EVENT_QUOTED);
		return;
	}
	if (w->failure.code == KCODE_OK)
		w->failure = err;
	worker_post(w, TRANSFER_EVENT_REFUSED);
}

static void send_offer(struct worker *w)
{
	struct source *s = self(w);
	uint8_t body[2048];
	struct wbuf b = wbuf_init(body, sizeof(body));

	if (control_offer_put(&b, &s->offer) == 0)
		worker_send(w, CONTROL_OFFER, body, b.len);
}

static void send_moved(struct worker *w)
{
	struct source *s = self(w);
	uint8_t body[8];
	struct wbuf b = wbuf_init(body, sizeof(body));

	wbuf_u64(&b, s->downtime_us / 1000);
	worker_send(w, CONTROL_MOVED, body, b.len);
}

/* The VM is elsewhere: images that Kith made go, others are their owner's. */
static void drop_images(struct worker *w)
{
	struct source *s = self(w);
	_cleanup_close_ int folder = -EBADF;
	struct kerr err = {0};

	if (w->remnant.count && disk_folder_open(w->config.images, &folder, &err) < 0)
		log_warning("source", "%s", err.text);
	for (size_t i = 0; folder >= 0 && i < w->remnant.count; i++)
		if (disk_remove(w->folder, folder, w->config.images, w->remnant.paths[i]) < 0)
			log_warning("source", "Cannot remove %s.", w->remnant.paths[i]);
	for (size_t i = 0; i < s->facts.disk_count; i++)
		if (!remnant_has(&w->remnant, s->facts.disks[i].source))
			log_notice("source",
				   "The VM moved away; its old image %s is not Kith's "
				   "and stays.",
				   s->facts.disks[i].source);
	remnant_remove(w->folder, w->hid);
}

static void settle_work(void *arg)
{
	worker_settle(arg);
}

static void settle_done(void *arg _unused_)
{
}

static void let_through(struct worker *w)
{
	struct source *s = self(w);

	source_to_client(s, s->held.data, s->held.len);
	/* Confirm(0) asks QEMU to end, which a frozen one does not hear: the warden ends it, now
	 * that policyd has the ACK. */
	tasks_run(w->tasks, settle_work, settle_done, w);
	/* The client may be gone (its libvirtd died): then nobody reports an end. */
	if (!s->migrating)
		worker_post(w, TRANSFER_EVENT_MIGRATE_FAILED);
}

static void prove_ack(struct worker *w)
{
	struct source *s = self(w);
	struct kerr err = {0};

	if (worker_policyd(w) < 0) {
		worker_post(w, TRANSFER_EVENT_DOUBT);
		return;
	}
	if (policyd_client_custody_accept(w->policyd, w->hid, s->ack.data, s->ack.len, &err) == 0) {
		worker_post(w, TRANSFER_EVENT_PROVED);
		return;
	}
	log_warning("source", "The destination's ACK does not count: %s", err.text);
	worker_post(w, TRANSFER_EVENT_REFUSED);
}

static void dial(struct worker *w)
{
	struct source *s = self(w);

	worker_dial(w, DATA_CHANNEL_CONTROL);
	s->resend_ms = worker_now_ms();
	if (s->state != SOURCE_PREPARING)
		return;
	/* All connections are made while the destination makes its images. */
	worker_dial(w, DATA_CHANNEL_RAM);
	for (size_t i = 0; i < s->facts.disk_count; i++)
		worker_dial(w, (uint16_t)(DATA_CHANNEL_DISK + i));
}

static void end_phase(struct worker *w)
{
	struct source *s = self(w);

	if (s->state == SOURCE_MOVED) {
		w->progress.downtime_ms = s->downtime_us / 1000;
		w->progress.ram_bytes = w->progress.ram_total = worker_bytes(w, true);
		w->progress.disk_bytes = w->progress.disk_total = worker_bytes(w, false);
		w->progress.left_ms = 0;
	}
	if (s->state == SOURCE_KEPT && w->failure.code == KCODE_OK)
		kerr_set(&w->failure, EIO, KCODE_FAILED, "The hand-off failed.");
	worker_phase(w, s->state == SOURCE_MOVED ? PHASE_DONE : PHASE_FAILED);
	worker_leave(w);
}

static void journal_prep(struct worker *w)
{
	journal(w, CUSTODY_PREP, NULL, NULL);
}

static void journal_released(struct worker *w)
{
	journal(w, CUSTODY_RELEASED, &self(w)->vote, &self(w)->release);
}

static void journal_aborted(struct worker *w)
{
	struct source *s = self(w);

	enum transfer_event e = write_record(w, CUSTODY_ABORTED, NULL, &s->abort);

	/* Not written for want of a disk or a TPM is no refusal: the copy may be frozen. */
	if (e == TRANSFER_EVENT_DOUBT || (e == TRANSFER_EVENT_REFUSED && w->refusal == KCODE_OK))
		worker_defer(w, TRANSFER_ACTION_JOURNAL_ABORTED, (int)s->state);
}

static void journal_reclaim(struct worker *w)
{
	self(w)->reclaimed = journal(w, CUSTODY_RECLAIM, &self(w)->nack, NULL);
}

static void journal_moved(struct worker *w)
{
	journal(w, CUSTODY_DONE, &self(w)->ack, NULL);
}

static void journal_kept(struct worker *w)
{
	journal(w, CUSTODY_DONE, NULL, NULL);
}

static void send_release(struct worker *w)
{
	struct source *s = self(w);

	if (w->keep_paused)
		worker_send(w, CONTROL_PAUSED, NULL, 0);
	worker_send(w, CONTROL_RELEASE, s->release.data, s->release.len);
	s->resend_ms = worker_now_ms();
}

/* R2: only ever called once the own copy runs again, or is gone for good. */
static void send_abort(struct worker *w)
{
	worker_send(w, CONTROL_ABORT, self(w)->abort.data, self(w)->abort.len);
}

/* model:F1-F3: the VOTE of a complete copy releases; after a reclaim its NACK is in hand. */
static void forward(struct worker *w)
{
	struct source *s = self(w);

	enum transfer_event e;

	if (s->reclaimed) {
		worker_post(w, TRANSFER_EVENT_NACK);
		return;
	}
	if (!s->vote.len)
		return;
	e = write_record(w, CUSTODY_RELEASED, &s->vote, &s->release);
	/* Only a start from disk (F6), or the end of the hand-off, is final. A policyd that died
	 * before the record, or is busy, is asked again: what waits there is the last copy. */
	if (e == TRANSFER_EVENT_REFUSED && w->refusal != KCODE_CUSTODY &&
	    w->refusal != KCODE_STALE_EPOCH && w->refusal != KCODE_NOT_FOUND)
		e = TRANSFER_EVENT_DOUBT;
	worker_post(w, e);
}

static void check(struct worker *w)
{
	enum source_state state = self(w)->state;

	worker_check_copy(w, state == SOURCE_ABORTING ? free_copy : NULL,
			  state == SOURCE_COMMITTING ? WORKER_LOOK_JOB : WORKER_LOOK_STATE);
}

static void resume(struct worker *w)
{
	worker_check_copy(w, resume_copy, WORKER_LOOK_STATE);
}

static void destroy(struct worker *w)
{
	struct source *s = self(w);
	struct kerr err = {0};

	/* A policyd that was started again has forgotten the ACK, and the warden obeys it only. */
	if (worker_policyd(w) < 0 ||
	    policyd_client_custody_accept(w->policyd, w->hid, s->ack.data, s->ack.len, &err) < 0)
		log_info("source", "%s", err.text);
	worker_check_copy(w, destroy_copy, WORKER_LOOK_STATE);
}

/* What failed is done again, not only looked at (F7). */
static void later(struct worker *w)
{
	worker_defer(w,
		     self(w)->state == SOURCE_CONFIRMING ? TRANSFER_ACTION_DESTROY_COPY
							 : TRANSFER_ACTION_CHECK_COPY,
		     (int)self(w)->state);
}

static void forget_images(struct worker *w)
{
	remnant_remove(w->folder, w->hid);
}

static void (*const acts[_TRANSFER_ACTION_MAX])(struct worker *w) = {
	[TRANSFER_ACTION_JOURNAL_PREP] = journal_prep,
	[TRANSFER_ACTION_JOURNAL_RELEASED] = journal_released,
	[TRANSFER_ACTION_JOURNAL_ABORTED] = journal_aborted,
	[TRANSFER_ACTION_JOURNAL_RECLAIM] = journal_reclaim,
	[TRANSFER_ACTION_JOURNAL_MOVED] = journal_moved,
	[TRANSFER_ACTION_JOURNAL_KEPT] = journal_kept,
	[TRANSFER_ACTION_READY] = worker_answer_start,
	[TRANSFER_ACTION_DIAL] = dial,
	[TRANSFER_ACTION_SEND_OFFER] = send_offer,
	[TRANSFER_ACTION_SEND_RELEASE] = send_release,
	[TRANSFER_ACTION_SEND_ABORT] = send_abort,
	[TRANSFER_ACTION_SEND_MOVED] = send_moved,
	[TRANSFER_ACTION_MIGRATE] = migrate,
	[TRANSFER_ACTION_LET_THROUGH] = let_through,
	[TRANSFER_ACTION_FAIL_RPC] = fail_rpc,
	[TRANSFER_ACTION_CHECK_COPY] = check,
	[TRANSFER_ACTION_FREEZE] = worker_freeze,
	[TRANSFER_ACTION_PROVE_ACK] = prove_ack,
	[TRANSFER_ACTION_FORWARD] = forward,
	[TRANSFER_ACTION_RESUME_COPY] = resume,
	[TRANSFER_ACTION_DESTROY_COPY] = destroy,
	[TRANSFER_ACTION_REQUOTE] = requote,
	[TRANSFER_ACTION_DROP_IMAGES] = drop_images,
	[TRANSFER_ACTION_KEEP_IMAGES] = forget_images,
	[TRANSFER_ACTION_LATER] = later,
	[TRANSFER_ACTION_REPORT] = worker_send_error,
	[TRANSFER_ACTION_LEAVE] = end_phase,
};

static void event(struct worker *w, enum transfer_event event)
{
	struct source *s = self(w);
	struct transfer_step step = source_step(s->state, event);
	bool moves;

	if (!step.legal) {
		log_warning("source", "\"%s\" has no place in state \"%s\" and is ignored.",
			    transfer_event_to_string(event), source_state_to_string(s->state));
		return;
	}
	log_debug("source", "Event \"%s\" in \"%s\".", transfer_event_to_string(event),
		  source_state_to_string(s->state));
	moves = step.next != (int)s->state;
	set_state(w, (enum source_state)step.next);
	/* policyd is away: the same question again, not in a busy loop. */
	if (event == TRANSFER_EVENT_DOUBT && !moves && step.actions[0]) {
		worker_defer(w, step.actions[0], step.next);
		return;
	}
	for (size_t i = 0; i < TRANSFER_ACTIONS_MAX && step.actions[i]; i++)
		if (acts[step.actions[i]])
			acts[step.actions[i]](w);
}

static void act(struct worker *w, enum transfer_action action, int state)
{
	if ((int)self(w)->state == state && acts[action])
		acts[action](w);
}

/* -- frames of the destination -- */

static void on_ack(struct worker *w, const struct control_frame *f)
{
	struct source *s = self(w);
	struct rbuf r = rbuf_init(f->body, f->len);
	struct control_frame inner = {.type = f->type};
	uint64_t now = worker_now_ns(), stopped = atomic_load(&s->stopped_ns);

	s->ack_late_us = rbuf_u64(&r);
	inner.body = rbuf_blob(&r, POLICYD_PROOF_MAX, &inner.len);
	if (rbuf_end(&r) < 0)
		return;
	keep(&s->ack, &inner);
	/* From the stop of our CPUs to the arrival of ACK, less what the destination did after
	 * its CPUs ran: one network trip too long, never too short. */
	if (!s->downtime_us && stopped && now > stopped && (now - stopped) / 1000 > s->ack_late_us)
		s->downtime_us = (now - stopped) / 1000 - s->ack_late_us;
	worker_post(w, TRANSFER_EVENT_ACK);
}

static void frame(struct worker *w, const struct control_frame *f)
{
	struct source *s = self(w);

	switch (f->type) {
	case CONTROL_RPC:
		source_on_peer_rpc(w, f);
		return;
	case CONTROL_DISKS_READY:
		worker_post(w, TRANSFER_EVENT_IMAGES);
		return;
	case CONTROL_VOTE:
		keep(&s->vote, f);
		worker_post(w, TRANSFER_EVENT_VOTE);
		return;
	case CONTROL_ACK:
		on_ack(w, f);
		return;
	case CONTROL_NACK:
		keep(&s->nack, f);
		if (w->failure.code == KCODE_OK)
			kerr_set(&w->failure, EREMOTEIO, KCODE_INTERRUPTED,
				 "The destination's copy of the VM was lost before it ran.");
		worker_post(w, TRANSFER_EVENT_NACK);
		return;
	case CONTROL_OFFER:
	case CONTROL_RELEASE:
	case CONTROL_ABORT:
	case CONTROL_PROGRESS:
	case CONTROL_ERROR:
	case CONTROL_MOVED:
	case CONTROL_PAUSED:
	case CONTROL_BEAT:
	case _CONTROL_MAX:
		break;
	}
	worker_stop(w, EBADMSG, KCODE_BAD_MESSAGE,
		    "\"%s\" sent a message that only the source of a hand-off may send.",
		    w->grant.peer_name);
}

static void relay(struct worker *w, size_t index, const struct relay_status *st)
{
	if (st->state == RELAY_IDLE)
		source_attach(w);
	else if (st->state == RELAY_FAILED && st->error != -ECANCELED)
		/* libvirt sees the end of its connection and fails the job by itself. */
		worker_stop(w, ECONNRESET, KCODE_INTERRUPTED,
			    "The data connection %u to \"%s\" broke.", w->relays[index].channel,
			    w->grant.peer_name);
}

/* -- progress and time -- */

static void stats_work(void *arg)
{
	struct worker *w = arg;
	struct kerr err = {0};

	virt_job_get(w->virt, w->grant.uuid, &self(w)->job, &err);
}

static void update_progress(struct worker *w, uint64_t now)
{
	struct source *s = self(w);
	struct mover_progress *p = &w->progress;
	uint64_t bytes, left,
		disk_left = s->job.disk_total - MIN_OF(s->job.disk_done, s->job.disk_total);
	uint64_t capacity = 0, used = 0;

	for (size_t i = 0; i < s->offer.count; i++) {
		capacity += s->offer.disks[i].capacity >> 10;
		used += s->offer.disks[i].used >> 10;
	}
	/* Holes are not sent: the rest costs what the allocated share of it costs. */
	if (capacity && used < capacity)
		disk_left = (uint64_t)((double)disk_left * (double)used / (double)capacity);
	p->ram_bytes = worker_bytes(w, true);
	p->disk_bytes = worker_bytes(w, false);
	p->ram_total = p->ram_bytes + s->job.ram_left;
	p->disk_total = p->disk_bytes + disk_left;
	bytes = p->ram_bytes + p->disk_bytes;
	left = s->job.ram_left + disk_left;
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

/* A guest that its owner pauses while it is copied stays paused, wherever it ends. */
static void notice_pause(struct worker *w)
{
	struct source *s = self(w);
	uint64_t stopped = atomic_load(&s->stopped_ns);
	bool paused = stopped && !s->finish_called && worker_now_ns() - stopped > OWNER_PAUSE_NS;

	if (paused && !w->keep_paused)
		log_notice("source", "The VM was paused by its owner; it will stay paused.");
	if (s->finish_called || paused == w->keep_paused)
		return;
	w->keep_paused = w->remnant.paused = paused;
	if (remnant_write(w->folder, &w->remnant) < 0)
		log_warning("source", "Cannot note that the guest stays paused.");
}

static void stats_done(void *arg)
{
	struct worker *w = arg;
	struct source *s = self(w);
	uint8_t body[2048];
	struct wbuf b = wbuf_init(body, sizeof(body));

	s->stats_busy = false;
	if (s->state != SOURCE_TRANSFER)
		return; /* the numbers stay as they were */
	notice_pause(w);
	update_progress(w, worker_now_ms());
	worker_progress(w);
	if (mover_progress_put(&b, &w->progress) == 0)
		worker_send(w, CONTROL_PROGRESS, body, b.len);
}

static void deadlines(struct worker *w, uint64_t in_state)
{
	struct source *s = self(w);

	if (s->state == SOURCE_PREPARING && in_state > CONNECT_MS)
		worker_stop(w, ETIMEDOUT, KCODE_UNREACHABLE,
			    "\"%s\" did not get ready within %d s.", w->grant.peer_name,
			    CONNECT_MS / 1000);
	if (s->state == SOURCE_VOTING && in_state > VOTE_MS)
		worker_stop(w, ETIMEDOUT, KCODE_INTERRUPTED,
			    "\"%s\" did not confirm its copy within %d s.", w->grant.peer_name,
			    VOTE_MS / 1000);
}

/* The answer may come by way of kithd, if the destination's worker died. */
static void letter(struct worker *w, enum custody_statement_kind kind, const void *data, size_t len)
{
	struct source *s = self(w);
	struct control_frame f = {.body = data, .len = len};

	if (kind == CUSTODY_STATEMENT_ACK) {
		keep(&s->ack, &f);
		worker_post(w, TRANSFER_EVENT_ACK);
	} else if (kind == CUSTODY_STATEMENT_NACK) {
		keep(&s->nack, &f);
		worker_post(w, TRANSFER_EVENT_NACK);
	} else if (kind == CUSTODY_STATEMENT_VOTE) {
		keep(&s->vote, &f);
		worker_post(w, TRANSFER_EVENT_VOTE);
	}
}

/* Our copy died: the owner may start the VM from its disk meanwhile, which ends the waiting; a
 * person should not wait in front of a command for a device that may be off. */
static void wait_forward(struct worker *w, uint64_t now)
{
	struct source *s = self(w);

	if (now - s->stats_ms >= LOOK_MS) {
		s->stats_ms = now;
		check(w);
	}
	if (now - s->entered_ms < FORWARD_MS || w->leave_ms)
		return;
	kerr_clear(&w->failure);
	kerr_set(&w->failure, EIO, KCODE_INTERRUPTED,
		 "The VM died on this device during the hand-off. \"%s\" may have a complete copy "
		 "of it and goes on with it as soon as both devices reach each other; or start the "
		 "VM here from its disk.",
		 w->grant.peer_name);
	worker_phase(w, PHASE_FAILED);
	worker_leave(w);
}

static void tick(struct worker *w, uint64_t now)
{
	struct source *s = self(w);

	deadlines(w, now - s->entered_ms);
	if ((s->state == SOURCE_RELEASED || s->state == SOURCE_FORWARD) &&
	    now - s->resend_ms >= RESEND_MS) {
		/* For ever: only ACK or NACK ends this. */
		if (!w->control)
			dial(w);
		else if (s->state == SOURCE_RELEASED)
			send_release(w);
		s->resend_ms = now;
	}
	if (s->state == SOURCE_FORWARD)
		wait_forward(w, now);
	if (s->state == SOURCE_ABORTING && s->migrating && !s->finish_called &&
	    now - s->abort_ms >= ABORT_RETRY_MS)
		fail_rpc(w);
	if (s->state == SOURCE_TRANSFER && !s->stats_busy && now - s->stats_ms >= PROGRESS_MS) {
		s->stats_ms = now;
		s->stats_busy = tasks_run(w->tasks, stats_work, stats_done, w) == 0;
	}
}

static bool can_stop(struct worker *w)
{
	return source_can_stop(self(w)->state);
}

const struct worker_side source_side = {
	.start = start,
	.event = event,
	.frame = frame,
	.relay = relay,
	.watch = source_watch_sockets,
	.tick = tick,
	.can_stop = can_stop,
	.act = act,
	.letter = letter,
};
