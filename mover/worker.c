/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's loop: everything waits here, nothing blocks here but policyd's short answers. */
#include "mover/worker.h"

#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/secret.h"

#define TICK_MS 200
#define LEAVE_MS 3000
#define DROP_MS 20000 /* until images are removed: a storage pool may be slow */
#define BYE_MS 1000
#define MAIL_MS 2000
#define JOB_TRUST_MS 5000
#define FILES_MAX 256

/* While images go the phase is not told yet: who hears of the end finds nothing left. */
void worker_leave(struct worker *w, enum phase last)
{
	if (w->dropping)
		w->progress.phase = last;
	else
		worker_phase(w, last);
	if (!w->leave_ms)
		w->leave_ms = worker_now_ms() + (w->dropping ? DROP_MS : LEAVE_MS);
}

/* -- policyd -- */

/* Whatever happened to the channel, the other device's word may be here already (F3, F8). */
static void read_mail(struct worker *w, uint64_t now)
{
	_cleanup_free_ uint8_t *data = NULL;
	enum custody_statement_kind kind = CUSTODY_STATEMENT_NONE;
	struct kerr err = {0};
	size_t len = 0;

	if (now - w->mail_ms < MAIL_MS || w->side->can_stop(w))
		return;
	w->mail_ms = now;
	if (workplace_policyd(&w->place) < 0 ||
	    policyd_client_custody_inbox(w->place.policyd, w->place.hid, &kind, &data, &len, &err) <
		    0)
		log_debug("worker", "No inbox: %s", err.text);
	else if (kind != CUSTODY_STATEMENT_NONE)
		side_hear(w, kind, data, len);
}

static void on_policyd(struct worker *w, int fd _unused_, short revents _unused_)
{
	/* Nothing comes unasked: this is its end. */
	workplace_policyd_drop(&w->place);
	side_stop(w, ECONNRESET, KCODE_INTERRUPTED,
		  "kith-policyd on this device went away during the hand-off.");
}

/* -- the local copy -- */

struct copy_task {
	struct worker *w;
	worker_copy_fn before;
	enum worker_look look;
	struct virt_copy copy;
	bool frozen;
};

static enum copy_state held_copy(struct worker *w)
{
	static const enum copy_state states[_WARDEN_COPY_MAX] = {
		[WARDEN_COPY_GONE] = COPY_GONE,
		[WARDEN_COPY_FROZEN] = COPY_PAUSED,
		[WARDEN_COPY_FREE] = COPY_RUNS, /* against all locks: an alarm says so */
	};
	enum warden_copy copy;
	struct kerr err = {0};

	if (warden_settle(&w->place.config, w->place.uuid, &copy, &err) < 0) {
		log_warning("worker", "%s", err.text);
		return COPY_UNKNOWN;
	}
	return states[copy];
}

static void copy_work(void *arg)
{
	struct copy_task *t = arg;
	struct worker *w = t->w;

	int r = t->before ? t->before(w) : 0;

	t->copy.state = COPY_UNKNOWN;
	t->frozen = r > 0;
	if (r != 0)
		return;
	switch (t->look) {
	case WORKER_LOOK_STATE:
		virt_copy_get(w->place.virt, w->place.uuid, &t->copy);
		break;
	case WORKER_LOOK_JOB:
		w->job_ms = worker_now_ms();
		virt_copy_job(w->place.virt, w->place.uuid, &t->copy);
		if (t->copy.state != COPY_GONE && !t->copy.job)
			t->copy.state = COPY_UNKNOWN;
		break;
	case WORKER_LOOK_HELD:
		t->copy.state = held_copy(w);
		break;
	}
}

enum transfer_event worker_copy_event(enum copy_state state)
{
	static const enum transfer_event events[_COPY_STATE_MAX] = {
		[COPY_GONE] = TRANSFER_EVENT_COPY_GONE,
		[COPY_PAUSED] = TRANSFER_EVENT_COPY_PAUSED,
		[COPY_RUNS] = TRANSFER_EVENT_COPY_RUNS,
		[COPY_HALTED] = TRANSFER_EVENT_COPY_HALTED,
		[COPY_UNKNOWN] = TRANSFER_EVENT_COPY_UNKNOWN,
	};

	return events[state];
}

enum transfer_event worker_copy_means(struct worker *w, const struct virt_copy *copy)
{
	bool rests = (copy->state == COPY_PAUSED && w->keep_paused) ||
		     (copy->state == COPY_GONE && copy->defined && w->off && w->side->rests(w));

	return rests ? TRANSFER_EVENT_COPY_HALTED : worker_copy_event(copy->state);
}

static void copy_done(void *arg)
{
	struct copy_task *t = arg;
	struct worker *w = t->w;

	w->place.copy_gone = t->copy.state == COPY_GONE;
	side_post(w, t->frozen ? TRANSFER_EVENT_FROZEN : worker_copy_means(w, &t->copy));
	free(t);
}

void worker_check_copy(struct worker *w, worker_copy_fn before, enum worker_look look)
{
	struct copy_task *t = calloc(1, sizeof(*t));

	if (t)
		*t = (struct copy_task){.w = w, .before = before, .look = look};
	if (!t || tasks_run(w->tasks, copy_work, copy_done, t) < 0) {
		free(t);
		side_post(w, TRANSFER_EVENT_COPY_UNKNOWN);
	}
}

struct freeze_task {
	struct worker *w;
	enum warden_copy copy;
	int result;
	struct kerr err;
};

/* libvirtd ends a client that is silent for 25 s, and with it the job that keeps everybody's hands
 * off the copy: a worker that was stopped for long between its look and the freeze knows nothing.
 */
static bool job_was_lost(const struct worker *w)
{
	return w->source && worker_now_ms() - w->job_ms > JOB_TRUST_MS;
}

/* Held first, looked at then: what ran until the last moment would show. */
static void freeze_work(void *arg)
{
	struct freeze_task *t = arg;
	struct virt_copy copy;

	t->result = warden_freeze(&t->w->place.config, t->w->place.uuid, &t->copy, &t->err);
	if (t->result < 0 || t->copy == WARDEN_COPY_GONE)
		return;
	virt_copy_get(t->w->place.virt, t->w->place.uuid, &copy);
	if (t->copy != WARDEN_COPY_FROZEN || job_was_lost(t->w) ||
	    (copy.state != COPY_PAUSED && copy.state != COPY_HALTED))
		t->result = kerr_set(&t->err, EBUSY, KCODE_INTERRUPTED,
				     "The VM's copy on this device does not hold still.");
}

static void freeze_done(void *arg)
{
	struct freeze_task *t = arg;
	struct worker *w = t->w;
	bool gone = t->result == 0 && t->copy == WARDEN_COPY_GONE;

	if (t->result < 0) {
		log_warning("worker", "%s", t->err.text);
		if (w->failure.code == KCODE_OK)
			w->failure = t->err;
	}
	if (gone)
		w->place.copy_gone = true;
	side_post(w, t->result < 0	  ? TRANSFER_EVENT_COPY_UNKNOWN
		     : gone && !w->source ? TRANSFER_EVENT_COPY_GONE
					  : TRANSFER_EVENT_FROZEN);
	free(t);
}

void worker_freeze(struct worker *w)
{
	struct freeze_task *t = calloc(1, sizeof(*t));

	if (t)
		t->w = w;
	if (!t || tasks_run(w->tasks, freeze_work, freeze_done, t) < 0) {
		free(t);
		side_post(w, TRANSFER_EVENT_COPY_UNKNOWN);
	}
}

static void on_tasks(struct worker *w, int fd, short revents _unused_)
{
	tasks_dispatch(fd == tasks_fd(w->tasks) ? w->tasks : w->long_tasks);
}

/* -- the supervisor -- */

/* The destination's preface is still unread: it must name this hand-off and this channel. */
static int eat_preface(struct worker *w, int fd, uint16_t channel)
{
	uint8_t preface[DATA_PREFACE_LEN];
	struct rbuf r = rbuf_init(preface, sizeof(preface));
	struct data_preface said;

	if (w->source)
		return 0;
	if (recv(fd, preface, sizeof(preface), MSG_DONTWAIT) != (ssize_t)sizeof(preface))
		return -EBADMSG;
	if (data_preface_get(&r, &said) < 0 || said.channel != channel ||
	    memcmp(said.hid, w->place.hid, HID_LEN) != 0)
		return -EBADMSG;
	return 0;
}

static void on_conn(struct worker *w, struct ipc_msg *m)
{
	struct rbuf r = rbuf_init(m->body, m->len);
	struct kerr err = {0};
	struct mover_conn v;

	if (record_get(&r, &mover_conn_record, &v) < 0 || rbuf_end(&r) < 0 || m->fd < 0 ||
	    eat_preface(w, m->fd, v.channel) < 0)
		kerr_set(&err, EBADMSG, KCODE_BAD_MESSAGE,
			 "This is not a data connection of this hand-off.");
	else if (worker_channel_open(w, v.channel, TAKE_FD(m->fd)) < 0)
		kerr_set(&err, EBUSY, KCODE_BUSY, "This channel is taken already.");
	worker_answer(m->op, m->serial, err.code == KCODE_OK ? NULL : &err);
}

/* policyd knows whether a person asked for it, and refuses a cancel out of nowhere. */
static void on_cancel(struct worker *w, const struct ipc_msg *m)
{
	struct kerr err = {0};

	if (!w->side->can_stop(w))
		kerr_set(&err, EBUSY, KCODE_BUSY,
			 "The hand-off is past the point where it can be cancelled.");
	else if (workplace_policyd(&w->place) < 0)
		kerr_set(&err, ECONNREFUSED, KCODE_INTERRUPTED, "kith-policyd cannot be reached.");
	else
		policyd_client_abort_allowed(w->place.policyd, w->place.hid, &err);
	worker_answer(m->op, m->serial, err.code == KCODE_OK ? NULL : &err);
	if (err.code == KCODE_OK)
		side_stop(w, ECANCELED, KCODE_CANCELLED, "The hand-off was cancelled.");
}

/* Only while nothing else tells how the other side is: kithd may be hijacked, so where the control
 * channel stands or the hand-off is bound, its word counts for nothing. */
static void on_gone(struct worker *w, const struct ipc_msg *m)
{
	struct rbuf r = rbuf_init(m->body, m->len);
	struct kerr err = {0};
	struct mover_gone v;

	if (record_get(&r, &mover_gone_record, &v) < 0 || rbuf_end(&r) < 0)
		kerr_set(&err, EBADMSG, KCODE_BAD_MESSAGE, "The request is malformed.");
	else if (w->links.control || !w->side->can_stop(w))
		kerr_set(&err, EBUSY, KCODE_BUSY, "The two sides have each other.");
	worker_answer(m->op, m->serial, err.code == KCODE_OK ? NULL : &err);
	if (err.code == KCODE_OK)
		side_stop(w, ECONNRESET, v.why.code,
			  "The hand-off with \"%s\" ended before it began: %.380s",
			  w->grant.peer_name, v.why.text);
}

static void on_super_message(struct worker *w, struct ipc_msg *m)
{
	switch (m->op) {
	case MOVER_OP_CONN:
		on_conn(w, m);
		break;
	case MOVER_OP_CANCEL:
		on_cancel(w, m);
		break;
	case MOVER_OP_GONE:
		on_gone(w, m);
		break;
	case WORKER_OP_LONELY:
		side_stop(w, ECONNRESET, KCODE_INTERRUPTED,
			  "kithd on this device went away during the hand-off.");
		break;
	case WORKER_OP_STOP:
		side_stop(w, ECANCELED, KCODE_INTERRUPTED,
			  "kith-mover on this device is being stopped.");
		break;
	}
}

static void on_super(struct worker *w, int fd, short revents _unused_)
{
	static uint8_t buf[IPC_MAX_FRAME];
	struct ipc_msg m = {.fd = -EBADF};
	int r = ipc_recv(fd, buf, &m);

	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		w->super_lost = true;
		side_stop(w, ECONNRESET, KCODE_INTERRUPTED,
			  "kith-mover on this device went away during the hand-off.");
		/* Nobody can bring a new connection any more: recovery takes over (W7, W11). */
		if (!w->side->can_stop(w))
			worker_leave(w, w->progress.phase);
		return;
	}
	on_super_message(w, &m);
	ipc_msg_release(&m);
}

/* -- life -- */

static void add_watches(struct worker *w)
{
	w->watch.count = 0;
	if (!w->super_lost)
		worker_watch(w, WORKER_FD, POLLIN, on_super);
	if (w->place.policyd)
		worker_watch(w, ipc_client_fd(w->place.policyd), POLLIN, on_policyd);
	worker_watch(w, tasks_fd(w->tasks), POLLIN, on_tasks);
	worker_watch(w, tasks_fd(w->long_tasks), POLLIN, on_tasks);
	worker_links_watch(w);
	w->side->watch(w);
}

static _Noreturn void worker_finish(struct worker *w)
{
	if (!w->started)
		worker_answer_start(w);
	worker_progress(w);
	if (w->links.control)
		frames_bye(w->links.control, BYE_MS);
	w->clean = w->clean && !w->dropping;
	log_info("worker", "The worker ends%s.", w->clean ? "" : "; recovery will look after it");
	workplace_remove(&w->place);
	/* Not exit(): other threads may be inside libvirt, and no descriptor may be closed before
	 * they are gone (a closed RPC socket would make libvirt's client resume the source). */
	_exit(w->clean ? 0 : 3);
}

static bool may_leave(struct worker *w, uint64_t now)
{
	if (!w->leave_ms)
		return false;
	if (now >= w->leave_ms)
		return true;
	return !w->dropping && (!w->links.control || frames_flushed(w->links.control));
}

static _Noreturn void worker_loop(struct worker *w)
{
	for (;;) {
		uint64_t now;

		side_drain(w);
		now = worker_now_ms();
		if (may_leave(w, now))
			worker_finish(w);
		add_watches(w);
		if (poll(w->watch.poll, w->watch.count, w->links.more_frames ? 0 : TICK_MS) < 0 &&
		    errno != EINTR)
			_exit(1);
		for (size_t i = 0; i < w->watch.count; i++)
			if (w->watch.poll[i].revents)
				w->watch.ready[i](w, w->watch.poll[i].fd, w->watch.poll[i].revents);
		now = worker_now_ms();
		worker_links_tick(w, now);
		side_run_deferred(w, now);
		read_mail(w, now);
		w->side->tick(w, now);
	}
}

/* -- start -- */

static int take_grant(struct worker *w, struct kerr *err)
{
	int r = workplace_policyd(&w->place);

	if (r < 0)
		return kerr_set(err, -r, KCODE_INTERRUPTED, "kith-policyd cannot be reached.");
	r = policyd_client_grant_take(w->place.policyd, w->place.hid, w->source, &w->grant, err);
	if (r < 0)
		return r;
	memcpy(w->place.uuid, w->grant.uuid, UUID_LEN);
	workplace_name_sockets(&w->place);
	memcpy(w->progress.hid, w->place.hid, HID_LEN);
	memcpy(w->progress.uuid, w->place.uuid, UUID_LEN);
	memcpy(w->progress.peer, w->grant.peer, DEVICE_ID_LEN);
	memcpy(w->progress.vm, w->grant.vm, sizeof(w->progress.vm));
	memcpy(w->progress.peer_name, w->grant.peer_name, sizeof(w->progress.peer_name));
	w->progress.source = w->source;
	w->progress.left_ms = UINT64_MAX;
	memcpy(w->place.remnant.hid, w->place.hid, HID_LEN);
	memcpy(w->place.remnant.uuid, w->place.uuid, UUID_LEN);
	memcpy(w->place.remnant.peer, w->grant.peer, DEVICE_ID_LEN);
	memcpy(w->place.remnant.vm, w->grant.vm, sizeof(w->place.remnant.vm));
	memcpy(w->place.remnant.peer_name, w->grant.peer_name, sizeof(w->place.remnant.peer_name));
	w->place.remnant.source = w->source;
	return 0;
}

void worker_ignore(int sig)
{
	struct sigaction sa = {.sa_handler = SIG_IGN};

	sigaction(sig, &sa, NULL);
}

static void worker_limits(void)
{
	struct rlimit files = {FILES_MAX, FILES_MAX}, none = {0, 0};

	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_CORE, &none);
	worker_ignore(SIGPIPE);
	/* The supervisor decides; a terminal's Ctrl-C must not kill a hand-off half way. */
	worker_ignore(SIGINT);
	worker_ignore(SIGTERM);
}

static int worker_setup(struct worker *w, const struct config *config, const char *hid_hex,
			struct kerr *err)
{
	uint8_t hid[HID_LEN];
	int r;

	if (hex_decode(hid_hex, hid, HID_LEN) < 0)
		return kerr_set(err, EINVAL, KCODE_USAGE, "The hand-off's number is malformed.");
	w->begin_ms = worker_now_ms();
	w->links.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->links.wake_fd < 0 || tasks_new(&w->tasks) < 0 || tasks_new(&w->long_tasks) < 0)
		return kerr_set(err, ENOMEM, KCODE_FAILED, "The worker could not start.");
	r = workplace_open(&w->place, config, err);
	if (r == 0)
		r = workplace_lock(&w->place, hid, err);
	return r < 0 ? r : take_grant(w, err);
}

void worker_main(const struct config *config, const char *hid_hex, bool source)
{
	static struct worker w; /* large, and as long-lived as the process */
	struct kerr err = {0};

	log_setup(source ? "kith-mover source" : "kith-mover destination");
	worker_limits();
	w.source = source;
	w.side = source ? &source_side : &destination_side;
	w.start_serial = 1;
	w.place.dir_fd = w.links.wake_fd = -EBADF;
	if (secret_process_setup() < 0 || worker_setup(&w, config, hid_hex, &err) < 0) {
		w.failure = err;
		if (err.code == KCODE_OK)
			kerr_set(&w.failure, EIO, KCODE_FAILED, "The worker could not start.");
		w.progress.phase = PHASE_FAILED;
		w.clean = true; /* nothing was journalled */
		worker_finish(&w);
	}
	w.machine.entered_ms = worker_now_ms();
	w.side->start(&w);
	worker_loop(&w);
}
