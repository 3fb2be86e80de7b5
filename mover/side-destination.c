/* SPDX-License-Identifier: Apache-2.0 */
/* The destination of a hand-off: carries out what the table in transfer.c says, and treats
 * everything that the source says as hostile, attested or not (docs/threats.md). */
#include "mover/side-destination.h"

#include <string.h>

#include "base/log.h"
#include "mover/arrival.h"

#define CONNECT_MS 30000
#define SHUTDOWN_MS 240000 /* a guest may shut down meanwhile; the source waits for less */
#define WATCH_MS 2000	   /* PREPARED: is the copy still there? */
#define REVOTE_MS 2000
#define GOODBYE_MS 60000 /* RUNNING: how long to wait for the source's last word */
#define LONELY_MS 3000	 /* the same without a channel: policyd has the rest of the talking */

static struct destination *destination_self(struct worker *w)
{
	return w->ctx;
}

static void destination_start(struct worker *w)
{
	struct destination *d = calloc(1, sizeof(*d));
	struct kerr err = {0};

	if (!d)
		_exit(1);
	for (size_t i = 0; i < DOMAIN_DISKS_MAX; i++)
		d->image_fd[i] = -EBADF;
	w->ctx = d;
	destination_rpc_init(w);
	worker_phase(w, PHASE_PREPARING);
	/* Without it nobody could hold the copy until it is ours (F2). */
	if (warden_ping(&w->place.config, &err) < 0)
		side_stop_err(w, &err);
	else
		side_post(w, TRANSFER_EVENT_GRANTED);
}

/* -- room and images -- */

/* Nothing that libvirt already has may be replaced: it would be destroyed on an abort. The
 * definition that a VM which once left here forgot is not in its way (F7). */
static int check_absent(struct worker *w, struct kerr *err)
{
	struct workplace *p = &w->place;
	int r = offers_check_uuid(p->virt, p->uuid, destination_self(w)->was_here, err);

	if (r == 0)
		r = virt_retire(p->virt, p->uuid, p->folder, err);
	return r < 0 ? r : offers_check_name(p->virt, w->grant.vm, err);
}

static struct offers_need need_of(struct worker *w)
{
	struct offers_need need = {.name = w->grant.vm, .offer = &destination_self(w)->offer};

	memcpy(need.uuid, w->place.uuid, UUID_LEN);
	return need;
}

/* By what a plan is made of too. */
static int judge_offer(struct worker *w, struct kerr *err)
{
	struct destination *d = destination_self(w);
	struct offers_need need = need_of(w);
	struct policyd_vm self = {0};

	memcpy(self.uuid, w->place.uuid, UUID_LEN);
	offers_look(w->place.virt, &w->place.config, &self, d->was_here, &d->offers);
	return offers_judge(&d->offers, &need, err);
}

static int make_images(struct worker *w, struct kerr *err)
{
	struct destination *d = destination_self(w);
	_cleanup_place_ struct disk_place place = {.fd = -EBADF};
	int r = judge_offer(w, err);

	if (r == 0)
		r = check_absent(w, err);
	if (r == 0)
		r = offers_check_shared(w->place.virt, &d->offers, &d->offer, err);
	if (r == 0)
		r = disk_place_open(w->place.virt, &w->place.config, &place, err);
	if (r == 0)
		r = disk_plan(&place, w->grant.vm, &d->offer, &d->map, err);
	if (r == 0)
		r = offers_place_shared(&d->offers, &d->offer, &d->map, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < d->map.count; i++)
		if (!d->map.disks[i].store)
			remnant_add(&w->place.remnant, d->map.disks[i].path, true);
	if (d->offer.origin.uefi) {
		r = disk_plan_variables(&w->place.config, w->place.folder, w->grant.vm, d->nvram,
					err);
		if (r < 0)
			return r;
		remnant_add(&w->place.remnant, d->nvram, true);
	}
	/* Noted first: a crash between the two leaves a note without images, not the reverse. */
	r = remnant_write(w->place.folder, &w->place.remnant);
	if (r < 0)
		return kerr_set(err, -r, KCODE_FAILED, "Cannot note what is made: %s.",
				strerror(-r));
	for (size_t i = 0; i < d->map.count; i++) {
		r = d->map.disks[i].store ? 0
					  : disk_create(&place, w->place.folder, &d->map.disks[i],
							&d->image_fd[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void drop_images(struct worker *w)
{
	struct destination *d = destination_self(w);

	worker_relays_drop(w);
	for (size_t i = 0; i < DOMAIN_DISKS_MAX; i++) {
		closep(&d->image_fd[i]);
		d->image_fd[i] = -EBADF;
	}
	side_drop_images(w);
}

/* -- tasks -- */

static void get_ready(struct worker *w);

/* Whatever of it cannot be had here is found now, and not when it is kept. */
static int keep_definition(struct worker *w, const struct luggage *l)
{
	struct destination *d = destination_self(w);
	char serial[SERIAL_PATH_MAX];
	struct domain_limits limits = {.nvram_path = d->nvram[0] ? d->nvram : NULL,
				       .serial_path = serial};
	struct offers_need need = need_of(w);
	struct fit fit;
	int r;

	destination_serial_path(w, serial);
	free(d->kept);
	d->kept = NULL;
	r = arrival_definition(&d->offers, &need, &limits, &d->map, (const char *)l->data, l->len,
			       NULL, &fit, &d->kept, &d->task_err);
	if (r == 0 && (fit.emulated || fit.machine_to || fit.cpu))
		log_notice("destination", "The VM \"%s\" is fitted to this device: %s%s%s.",
			   w->grant.vm, fit.emulated ? "no KVM " : "",
			   fit.machine_to ? "machine type " : "", fit.cpu ? "CPU" : "");
	return r < 0 ? r : virt_could_start(w->place.virt, d->kept, &d->task_err);
}

static void unpack_work(void *arg)
{
	struct worker *w = arg;
	struct destination *d = destination_self(w);
	const struct luggage *variables = &d->luggage[LUGGAGE_NVRAM];
	const struct luggage *definition = &d->luggage[LUGGAGE_DEFINITION];
	int r = 0;

	kerr_clear(&d->task_err);
	if (variables->len)
		r = disk_fill_variables(&w->place.config, d->nvram, variables->data, variables->len,
					&d->task_err);
	if (r == 0 && definition->len)
		keep_definition(w, definition);
	for (size_t i = 0; i < _LUGGAGE_MAX; i++)
		luggage_clear(&d->luggage[i]);
}

static void unpack_done(void *arg)
{
	struct worker *w = arg;
	struct destination *d = destination_self(w);

	if (d->task_err.code != KCODE_OK)
		side_stop_err(w, &d->task_err);
	else
		get_ready(w);
}

/* Once images are made and all luggage is here. */
static void unpack(struct worker *w)
{
	struct destination *d = destination_self(w);

	for (size_t i = 0; i < _LUGGAGE_MAX; i++)
		if (d->offer.luggage[i].len && !d->packed[i])
			return;
	if (!d->images_made)
		return;
	d->images_made = false;
	if (tasks_run(w->tasks, unpack_work, unpack_done, w) < 0)
		side_stop(w, ENOMEM, KCODE_FAILED, "Out of memory.");
}

static void images_work(void *arg)
{
	struct worker *w = arg;
	struct destination *d = destination_self(w);

	kerr_clear(&d->task_err);
	make_images(w, &d->task_err);
}

static void images_done(void *arg)
{
	struct worker *w = arg;
	struct destination *d = destination_self(w);

	if (d->task_err.code != KCODE_OK) {
		side_stop_err(w, &d->task_err);
		return;
	}
	d->images_made = true;
	unpack(w);
}

/* Images are made and all luggage is here: libvirt may begin. */
static void get_ready(struct worker *w)
{
	struct destination *d = destination_self(w);
	struct offers_need need = need_of(w);
	int r;

	if (!destination_can_stop(destination_state(w)))
		return; /* stopped meanwhile */
	r = destination_rpc_open(w, &need, &d->map);
	if (r < 0)
		side_stop(w, -r, KCODE_NOT_READY, "libvirt at the destination cannot be used: %s.",
			  strerror(-r));
	else
		side_post(w, TRANSFER_EVENT_IMAGES);
}

/* D4b: nothing of the disks may be in memory only when we vote (F9). */
static int flush_images(struct worker *w)
{
	struct destination *d = destination_self(w);

	for (size_t i = 0; i < d->map.count; i++)
		if (d->image_fd[i] >= 0 && fdatasync(d->image_fd[i]) < 0) {
			int r = -errno;

			log_error("destination", "Cannot flush the disk \"%s\": %s.",
				  d->map.disks[i].target, strerror(-r));
			return r;
		}
	return 0;
}

/* The copy of a VM that is switched off: it was needed for its definition and its disks. Defined
 * first, so that it is never unknown to libvirt; one that somebody woke is in use. */
static int end_off(struct worker *w, struct kerr *err)
{
	struct virt_copy copy;
	int r;

	virt_copy_get(w->place.virt, w->place.uuid, &copy);
	if (copy.state != COPY_PAUSED)
		return 0;
	r = virt_define(w->place.virt, w->place.remnant.xml, false, err);
	return r < 0 ? r : virt_end(w->place.virt, w->place.uuid, err);
}

/* One that was shut down for this goes on as it is defined here. It is here in any case, and its
 * owner can start it: a start that fails is not waited for. */
static void boot_off(struct worker *w)
{
	struct kerr err = {0};
	struct virt_copy copy;

	virt_copy_get(w->place.virt, w->place.uuid, &copy);
	if (copy.state != COPY_GONE || !copy.defined)
		return;
	destination_self(w)->booted = virt_start(w->place.virt, w->place.uuid, &err) == 0;
	w->progress.off = !destination_self(w)->booted;
	if (w->progress.off)
		log_error("destination", "The VM \"%s\" is here, but does not start: %s",
			  w->grant.vm, err.text);
}

static int go_on(struct worker *w, struct kerr *err)
{
	int r;

	/* What runs then is no vehicle any more, should this be asked for twice. */
	if (destination_self(w)->booted)
		return 0;
	if (w->off) {
		r = end_off(w, err);
		if (r == 0 && w->place.remnant.again_until)
			boot_off(w);
		return r;
	}
	return w->keep_paused ? 0 : virt_resume(w->place.virt, w->place.uuid, err);
}

static int resume_copy(struct worker *w)
{
	struct destination *d = destination_self(w);
	struct kerr err = {0};
	int r = workplace_settle(&w->place); /* OWN is written: the copy may go on */

	/* libvirt throws the TPM of a VM without a definition away when that ends, and from the
	 * first instruction on nobody else has it. */
	if (r == 0 && d->tpm && !d->defined) {
		r = virt_define(w->place.virt, w->place.remnant.xml, false, &err);
		d->defined = r == 0;
	}
	if (r == 0)
		r = go_on(w, &err);
	if (r < 0)
		log_warning("destination", "%s", err.text);
	else if (!d->resumed_ns)
		d->resumed_ns = worker_now_ns();
	return r;
}

static int destroy_copy(struct worker *w)
{
	struct destination *d = destination_self(w);
	struct kerr err = {0};
	int r = 0;

	/* A domain that we never asked for is not ours to destroy. */
	if (destination_rpc_prepared(w)) {
		if (workplace_settle(&w->place) == -EBUSY &&
		    destination_state(w) == DESTINATION_VOIDING)
			return 1;
		r = virt_end(w->place.virt, w->place.uuid, &err);
	}
	/* What an earlier stay left, if the end came before the arrival put it away (F7). Without
	 * room for that it stays: nobody can start it, and the next arrival tries again. */
	if (r < 0 ||
	    (d->was_here && virt_retire(w->place.virt, w->place.uuid, w->place.folder, &err) < 0))
		log_warning("destination", "%s", err.text);
	return r;
}

static int boot_copy(struct worker *w)
{
	struct kerr err = {0};
	bool boot = !w->off || w->place.remnant.again_until;
	int r = virt_define(w->place.virt, w->place.remnant.xml, boot, &err);

	if (r < 0)
		log_error("destination", "%s", err.text);
	return r;
}

static void define_work(void *arg)
{
	struct worker *w = arg;
	struct destination *d = destination_self(w);
	struct virt_copy copy;

	kerr_clear(&d->task_err);
	d->defined = virt_define(w->place.virt, w->place.remnant.xml, false, &d->task_err) == 0;
	if (!d->defined)
		return;
	virt_copy_get(w->place.virt, w->place.uuid, &copy);
	d->defined = copy.defined;
}

static void define_done(void *arg)
{
	struct worker *w = arg;
	struct destination *d = destination_self(w);

	if (!d->defined)
		log_error("destination", "The VM is here, but not permanent yet: %s",
			  d->task_err.text);
	side_post(w, d->defined ? TRANSFER_EVENT_DEFINED : TRANSFER_EVENT_UNDEFINED);
}

/* -- actions -- */

static void journal_recv(struct worker *w)
{
	struct policyd_open o;

	side_journal(w, CUSTODY_RECV, CUSTODY_STATEMENT_NONE, CUSTODY_STATEMENT_NONE);
	/* If that is unknown, nothing of libvirt's is touched. */
	destination_self(w)->was_here = workplace_record(&w->place, &o) == 0 && !o.fresh;
}

static void journal_prepared(struct worker *w)
{
	side_journal(w, CUSTODY_PREPARED, CUSTODY_STATEMENT_NONE, CUSTODY_STATEMENT_VOTE);
}

static void journal_own(struct worker *w)
{
	side_journal(w, CUSTODY_OWN, CUSTODY_STATEMENT_RELEASE, CUSTODY_STATEMENT_ACK);
}

static void journal_void(struct worker *w)
{
	if (side_journal(w, CUSTODY_VOID, CUSTODY_STATEMENT_ABORT, CUSTODY_STATEMENT_NACK))
		destination_self(w)->voided = true;
}

static void journal_close(struct worker *w)
{
	side_journal(w, CUSTODY_DONE, CUSTODY_STATEMENT_NONE, CUSTODY_STATEMENT_NONE);
}

static void destination_make(struct worker *w)
{
	if (tasks_run(w->tasks, images_work, images_done, w) < 0)
		side_stop(w, ENOMEM, KCODE_FAILED, "Out of memory.");
}

static void send_images(struct worker *w)
{
	uint8_t body[1];
	struct wbuf b = wbuf_init(body, sizeof(body));

	if (frame_ready_put(&b) == 0)
		worker_send(w, FRAME_DISKS_READY, body, b.len);
}

static void send_vote(struct worker *w)
{
	side_say(w, FRAME_VOTE, CUSTODY_STATEMENT_VOTE);
	destination_self(w)->vote_ms = worker_now_ms();
}

static void send_ack(struct worker *w)
{
	struct destination *d = destination_self(w);
	const struct statement *ack = &w->machine.words[CUSTODY_STATEMENT_ACK];
	const struct frame_ack v = {
		.off = w->off && w->progress.off && w->place.remnant.again_until,
		.late_us = d->resumed_ns ? (worker_now_ns() - d->resumed_ns) / 1000 : 0,
		.ack = ack->data,
		.len = ack->len,
	};
	uint8_t body[POLICYD_PROOF_MAX + 16];
	struct wbuf b = wbuf_init(body, sizeof(body));

	if (frame_ack_put(&b, &v) == 0)
		worker_send(w, FRAME_ACK, body, b.len);
}

static void send_nack(struct worker *w)
{
	side_say(w, FRAME_NACK, CUSTODY_STATEMENT_NACK);
}

static void destination_report(struct worker *w)
{
	if (!destination_rpc_given_up(w))
		worker_send_error(w);
}

/* Before the vote libvirt says whether it is a whole, paused copy; from then on it is frozen, and
 * only the warden knows whether it is still there. */
static void destination_check(struct worker *w)
{
	switch (destination_state(w)) {
	case DESTINATION_CHECKING:
		worker_check_copy(w, flush_images, WORKER_LOOK_STATE);
		break;
	case DESTINATION_PREPARED:
	case DESTINATION_CLAIMING:
		worker_check_copy(w, NULL, WORKER_LOOK_HELD);
		break;
	case DESTINATION_NEW:
	case DESTINATION_RECEIVING:
	case DESTINATION_VOTING:
	case DESTINATION_DECIDING:
	case DESTINATION_OWNING:
	case DESTINATION_SETTLING:
	case DESTINATION_RUNNING:
	case DESTINATION_VOIDING:
	case DESTINATION_YIELDING:
	case DESTINATION_ENDING:
	case DESTINATION_VOID:
	case DESTINATION_DONE:
	case _DESTINATION_STATE_MAX:
		worker_check_copy(w, NULL, WORKER_LOOK_STATE);
		break;
	}
}

static void destination_resume(struct worker *w)
{
	worker_check_copy(w, resume_copy, WORKER_LOOK_STATE);
}

static void destination_destroy(struct worker *w)
{
	worker_check_copy(w, destroy_copy, WORKER_LOOK_STATE);
}

static void destination_boot(struct worker *w)
{
	worker_check_copy(w, boot_copy, WORKER_LOOK_STATE);
}

static void destination_define(struct worker *w)
{
	if (tasks_run(w->tasks, define_work, define_done, w) < 0)
		side_post(w, TRANSFER_EVENT_UNDEFINED);
}

/* What failed is done again, not only looked at (F7). */
static void destination_later(struct worker *w)
{
	enum destination_state state = destination_state(w);
	enum transfer_action again = TRANSFER_ACTION_CHECK_COPY;

	if (state == DESTINATION_SETTLING)
		again = TRANSFER_ACTION_DEFINE;
	else if (state == DESTINATION_VOIDING || state == DESTINATION_ENDING)
		again = TRANSFER_ACTION_DESTROY_COPY;
	side_defer(w, again);
}

static void keep_images(struct worker *w)
{
	if (destination_self(w)->defined)
		remnant_remove(w->place.folder, w->place.hid);
}

static void end_phase(struct worker *w)
{
	struct destination *d = destination_self(w);

	if (destination_state(w) == DESTINATION_VOID && w->failure.code == KCODE_OK)
		kerr_set(&w->failure, EIO, KCODE_INTERRUPTED,
			 "The copy that came in was lost or not complete; the VM stays where it "
			 "was.");
	if (destination_state(w) == DESTINATION_VOID)
		w->clean = d->voided && w->dropping;
	worker_leave(w, destination_state(w) == DESTINATION_DONE ? PHASE_DONE : PHASE_FAILED);
}

static void (*const destination_acts[_TRANSFER_ACTION_MAX])(struct worker *w) = {
	[TRANSFER_ACTION_JOURNAL_RECV] = journal_recv,
	[TRANSFER_ACTION_JOURNAL_PREPARED] = journal_prepared,
	[TRANSFER_ACTION_JOURNAL_OWN] = journal_own,
	[TRANSFER_ACTION_JOURNAL_VOID] = journal_void,
	[TRANSFER_ACTION_JOURNAL_CLOSE] = journal_close,
	[TRANSFER_ACTION_READY] = worker_answer_start,
	[TRANSFER_ACTION_SEND_IMAGES] = send_images,
	[TRANSFER_ACTION_SEND_VOTE] = send_vote,
	[TRANSFER_ACTION_SEND_ACK] = send_ack,
	[TRANSFER_ACTION_SEND_NACK] = send_nack,
	[TRANSFER_ACTION_MAKE_IMAGES] = destination_make,
	[TRANSFER_ACTION_LET_THROUGH] = destination_rpc_let_through,
	[TRANSFER_ACTION_STOP_GATEWAY] = destination_rpc_stop,
	[TRANSFER_ACTION_CHECK_COPY] = destination_check,
	[TRANSFER_ACTION_FREEZE] = worker_freeze,
	[TRANSFER_ACTION_RESUME_COPY] = destination_resume,
	[TRANSFER_ACTION_DESTROY_COPY] = destination_destroy,
	[TRANSFER_ACTION_BOOT_COPY] = destination_boot,
	[TRANSFER_ACTION_DEFINE] = destination_define,
	[TRANSFER_ACTION_DROP_IMAGES] = drop_images,
	[TRANSFER_ACTION_KEEP_IMAGES] = keep_images,
	[TRANSFER_ACTION_LATER] = destination_later,
	[TRANSFER_ACTION_REPORT] = destination_report,
	[TRANSFER_ACTION_LEAVE] = end_phase,
};

static void destination_notice(struct worker *w, enum transfer_event event)
{
	if (event >= TRANSFER_EVENT_COPY_GONE && event <= TRANSFER_EVENT_COPY_UNKNOWN)
		destination_self(w)->watching = false;
}

/* -- frames of the source -- */

static void on_offer(struct worker *w, const struct frame *f)
{
	struct destination *d = destination_self(w);
	struct rbuf r = rbuf_init(f->body, f->len);
	int n = d->offered ? -EBADMSG : frame_offer_get(&r, &d->offer);

	if (n == -EPROTONOSUPPORT) {
		side_stop_version(w);
		return;
	}
	if (n < 0 || rbuf_end(&r) < 0) {
		side_stop(w, EBADMSG, KCODE_BAD_MESSAGE, "\"%s\" sent a malformed offer.",
			  w->grant.peer_name);
		return;
	}
	d->offered = true;
	d->offered_ms = worker_now_ms();
	/* Noted with the images, long before OWN. */
	w->off = w->place.remnant.off = d->offer.off;
	w->place.remnant.again_until = d->offer.boots;
	w->progress.off = w->off && !d->offer.boots;
	side_post(w, TRANSFER_EVENT_OFFER);
}

static void on_luggage(struct worker *w, const struct frame *f)
{
	struct destination *d = destination_self(w);
	struct rbuf r = rbuf_init(f->body, f->len);
	struct frame_luggage v;
	int n = d->offered && destination_state(w) == DESTINATION_RECEIVING ? 0 : -EBADMSG;

	if (n == 0 && (frame_luggage_get(&r, &v) < 0 || rbuf_end(&r) < 0 || d->packed[v.kind]))
		n = -EBADMSG;
	if (n == 0)
		n = luggage_take(&d->luggage[v.kind], &d->offer.luggage[v.kind], v.piece, v.len);
	if (n < 0) {
		side_stop(w, EBADMSG, KCODE_BAD_MESSAGE,
			  "\"%s\" sent other luggage of the VM than it had announced.",
			  w->grant.peer_name);
		return;
	}
	if (n > 0) {
		d->packed[v.kind] = true;
		unpack(w);
	}
}

/* The source's numbers, shown here too. Identity stays what the grant says. */
static void on_progress(struct worker *w, const struct frame *f)
{
	struct rbuf r = rbuf_init(f->body, f->len);
	struct mover_progress p;

	if (mover_progress_get(&r, &p) < 0 || rbuf_end(&r) < 0 ||
	    (p.phase != PHASE_COPYING_DISK && p.phase != PHASE_COPYING_MEMORY) ||
	    destination_state(w) != DESTINATION_RECEIVING)
		return;
	w->progress.ram_bytes = p.ram_bytes;
	w->progress.ram_total = p.ram_total;
	w->progress.disk_bytes = p.disk_bytes;
	w->progress.disk_total = p.disk_total;
	w->progress.rate_bytes_s = p.rate_bytes_s;
	w->progress.left_ms = p.left_ms;
	if (w->progress.phase == PHASE_COPYING_DISK && p.phase == PHASE_COPYING_MEMORY)
		worker_phase(w, p.phase);
	else if (worker_now_ms() - w->progress_ms >= 200)
		worker_progress(w);
}

static void on_moved(struct worker *w, const struct frame *f)
{
	struct rbuf r = rbuf_init(f->body, f->len);
	struct frame_moved v;

	if (frame_moved_get(&r, &v) == 0 && rbuf_end(&r) == 0)
		w->progress.downtime_ms = v.downtime_ms;
	side_post(w, TRANSFER_EVENT_MOVED);
}

/* Noted before OWN, so that recovery leaves it paused too. */
static void on_paused(struct worker *w)
{
	if (destination_state(w) >= DESTINATION_OWNING)
		return;
	w->keep_paused = w->place.remnant.paused = true;
	if (remnant_write(w->place.folder, &w->place.remnant) < 0)
		log_warning("destination", "Cannot note that the guest stays paused.");
}

static void destination_frame(struct worker *w, const struct frame *f)
{
	switch (f->type) {
	case FRAME_RPC:
		destination_rpc_frame(w, f);
		return;
	case FRAME_OFFER:
		on_offer(w, f);
		return;
	case FRAME_RELEASE:
		side_hear(w, CUSTODY_STATEMENT_RELEASE, f->body, f->len);
		return;
	case FRAME_ABORT:
		if (w->failure.code == KCODE_OK)
			kerr_set(&w->failure, ECANCELED, KCODE_INTERRUPTED,
				 "The source stopped the hand-off; the VM is there.");
		side_hear(w, CUSTODY_STATEMENT_ABORT, f->body, f->len);
		return;
	case FRAME_PROGRESS:
		on_progress(w, f);
		return;
	case FRAME_MOVED:
		on_moved(w, f);
		return;
	case FRAME_PAUSED:
		on_paused(w);
		return;
	case FRAME_LUGGAGE:
		on_luggage(w, f);
		return;
	case FRAME_DISKS_READY:
	case FRAME_VOTE:
	case FRAME_ACK:
	case FRAME_NACK:
	case FRAME_ERROR:
	case FRAME_BEAT:
	case FRAME_CONSOLE:
	case _FRAME_MAX:
		break;
	}
	side_stop(w, EBADMSG, KCODE_BAD_MESSAGE,
		  "\"%s\" sent a message that only the destination of a hand-off may send.",
		  w->grant.peer_name);
}

/* A connection that fails before it proved the key may be anybody's: it means nothing. One that
 * breaks later shows at the source's end, which decides. */
static void destination_relay(struct worker *w, size_t index, const struct relay_status *s)
{
	if (s->state == RELAY_FAILED && s->error != -ECANCELED)
		log_notice("destination", "Data connection %u ended: %s.",
			   w->links.relays[index].channel, strerror(-s->error));
}

/* The guest runs here for good. The source's last word only saves it a question; without a channel
 * it hears of it from our policyd, once DONE says that nothing can be lost here any more. */
static void say_goodbye(struct worker *w, uint64_t now)
{
	struct destination *d = destination_self(w);

	if (w->links.control)
		d->lonely_ms = 0;
	else if (!d->lonely_ms)
		d->lonely_ms = now;
	if (now - w->machine.entered_ms > GOODBYE_MS ||
	    (d->lonely_ms && now - d->lonely_ms > LONELY_MS))
		side_post(w, TRANSFER_EVENT_MOVED);
}

/* A source that is there and offers nothing yet waits for its guest to shut down. */
static bool is_late(const struct worker *w, uint64_t now)
{
	const struct destination *d = w->ctx;

	if (d->offered)
		return now - d->offered_ms > CONNECT_MS;
	return now - w->machine.entered_ms > (w->links.control ? SHUTDOWN_MS : CONNECT_MS);
}

static void destination_tick(struct worker *w, uint64_t now)
{
	struct destination *d = destination_self(w);
	uint64_t in_state = now - w->machine.entered_ms;

	if (destination_state(w) == DESTINATION_RECEIVING && !destination_rpc_prepared(w) &&
	    is_late(w, now))
		side_stop(w, ETIMEDOUT, KCODE_UNREACHABLE,
			  "\"%s\" did not start the hand-off within %d s.", w->grant.peer_name,
			  CONNECT_MS / 1000);
	if (destination_state(w) == DESTINATION_PREPARED && !d->watching && in_state > WATCH_MS &&
	    now - d->watch_ms > WATCH_MS) {
		d->watching = true;
		d->watch_ms = now;
		destination_check(w);
	}
	if (destination_state(w) == DESTINATION_PREPARED && now - d->vote_ms > REVOTE_MS)
		send_vote(w);
	if (destination_state(w) == DESTINATION_RUNNING)
		say_goodbye(w, now);
}

static bool destination_may_stop(struct worker *w)
{
	return destination_can_stop(destination_state(w));
}

static bool destination_rests(struct worker *w)
{
	return destination_state(w) == DESTINATION_OWNING;
}

static struct transfer_step destination_next(int state, enum transfer_event event)
{
	return destination_step((enum destination_state)state, event);
}

static const char *destination_state_name(int state)
{
	return destination_state_to_string((enum destination_state)state);
}

const struct side destination_side = {
	.name = "destination",
	.step = destination_next,
	.state_name = destination_state_name,
	.acts = destination_acts,
	.notice = destination_notice,
	.words =
		{
			[CUSTODY_STATEMENT_RELEASE] = TRANSFER_EVENT_RELEASE,
			[CUSTODY_STATEMENT_ABORT] = TRANSFER_EVENT_ABORT,
		},
	.start = destination_start,
	.frame = destination_frame,
	.relay = destination_relay,
	.watch = destination_rpc_watch,
	.tick = destination_tick,
	.can_stop = destination_may_stop,
	.rests = destination_rests,
};
