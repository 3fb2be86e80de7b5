/* SPDX-License-Identifier: Apache-2.0 */
/* What the rest of a worker stands on: time, what is waited for, and what is said to the other
 * worker and to the supervisor. */
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "mover/worker.h"

uint64_t worker_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t worker_now_ms(void)
{
	return worker_now_ns() / 1000000u;
}

void worker_watch(struct worker *w, int fd, short events, worker_ready_fn ready)
{
	if (fd < 0 || w->watch.count == WORKER_WATCH_MAX)
		return;
	w->watch.poll[w->watch.count] = (struct pollfd){.fd = fd, .events = events};
	w->watch.ready[w->watch.count++] = ready;
}

/* -- the other worker -- */

void worker_send(struct worker *w, enum frame_type type, const void *body, size_t len)
{
	int r;

	if (!w->links.control)
		return;
	r = frames_send(w->links.control, type, body, len);
	if (r < 0)
		log_warning("link", "Cannot send \"%s\": %s.", frame_type_to_string(type),
			    strerror(-r));
}

void worker_send_error(struct worker *w)
{
	uint8_t body[KERR_TEXT_MAX + 8];
	struct wbuf b = wbuf_init(body, sizeof(body));

	if (w->failure.code != KCODE_OK && kerr_put(&b, &w->failure) == 0)
		worker_send(w, FRAME_ERROR, body, b.len);
}

/* -- the supervisor -- */

void worker_answer(uint16_t op, uint32_t serial, const struct kerr *err)
{
	uint8_t body[KERR_TEXT_MAX + 8];
	struct wbuf b = wbuf_init(body, sizeof(body));
	uint32_t flags = IPC_FLAG_REPLY;

	if (err) {
		flags |= IPC_FLAG_ERROR;
		kerr_put(&b, err);
	}
	ipc_send(WORKER_FD, op, flags, serial, body, b.len, -EBADF);
}

void worker_answer_start(struct worker *w)
{
	if (w->started)
		return;
	w->started = true;
	worker_answer(MOVER_OP_START, w->start_serial,
		      w->failure.code == KCODE_OK ? NULL : &w->failure);
}

void worker_dial(struct worker *w, uint16_t channel)
{
	struct mover_conn v = {.channel = channel};
	uint8_t body[HID_LEN + 2];
	struct wbuf b = wbuf_init(body, sizeof(body));

	memcpy(v.hid, w->place.hid, HID_LEN);
	if (record_put(&b, &mover_conn_record, &v) == 0)
		ipc_send(WORKER_FD, MOVER_EVENT_DIAL, IPC_FLAG_EVENT, 0, body, b.len, -EBADF);
}

void worker_progress(struct worker *w)
{
	uint8_t body[2048];
	struct wbuf b = wbuf_init(body, sizeof(body));

	w->progress.elapsed_ms = worker_now_ms() - w->begin_ms;
	if (w->progress.phase == PHASE_FAILED)
		w->progress.error = w->failure;
	if (mover_progress_put(&b, &w->progress) == 0)
		ipc_send(WORKER_FD, MOVER_EVENT_PROGRESS, IPC_FLAG_EVENT, 0, body, b.len, -EBADF);
	w->progress_ms = worker_now_ms();
}

void worker_phase(struct worker *w, enum phase phase)
{
	if (w->progress.phase == phase)
		return;
	log_info("worker", "Phase \"%s\" after \"%s\".", phase_to_string(phase),
		 phase_to_string(w->progress.phase));
	w->progress.phase = phase;
	worker_progress(w);
}
