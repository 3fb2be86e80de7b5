/* SPDX-License-Identifier: Apache-2.0 */
/* What source and destination of a hand-off have in common: one worker process, its poll loop,
 * its connections to supervisor, policyd, libvirt and the other worker. */
#pragma once

#include <poll.h>

#include "mover/side.h"
#include "mover/task.h"
#include "mover/workplace.h"

#define WORKER_FD 3 /* the socketpair to the supervisor */

/* Supervisor to worker, beside MOVER_OP_CONN, MOVER_OP_CANCEL and MOVER_OP_GONE. */
#define WORKER_OP_LONELY 256 /* () event: kithd is gone */
#define WORKER_OP_STOP 257   /* () event: the service stops */

#define WORKER_RELAYS_MAX 48
#define WORKER_CANDIDATES_MAX 8
#define WORKER_REDIALS_MAX 16 /* of one hand-off */
#define WORKER_WATCH_MAX 32

struct worker;

typedef void (*worker_ready_fn)(struct worker *w, int fd, short revents);

struct worker_relay {
	struct relay *relay;
	uint16_t channel;
	enum relay_state seen;
	uint64_t since_ms;
};

/* The control channel and the relays; worker-link.c looks after them. */
struct links {
	struct frames *control; /* the one that both ends proved */
	struct frames *candidates[WORKER_CANDIDATES_MAX];
	uint64_t candidate_since[WORKER_CANDIDATES_MAX];
	uint64_t heard_ms, heard_bytes, beat_ms;
	bool more_frames; /* of the peer are in memory, and wait for their turn */
	struct worker_relay relays[WORKER_RELAYS_MAX];
	int wake_fd; /* relays ring here */
	struct {
		uint16_t channel;
		uint64_t at_ms; /* 0 = done */
	} redials[WORKER_REDIALS_MAX];
	size_t redial_count;
};

struct worker {
	struct workplace place;
	struct links links;
	const struct side *side;
	struct side_machine machine;
	void *ctx; /* struct source or struct destination */
	bool source;
	struct policyd_grant grant;

	struct tasks *tasks;
	struct tasks *long_tasks; /* the one call that lasts as long as the copy */
	struct {
		struct pollfd poll[WORKER_WATCH_MAX];
		worker_ready_fn ready[WORKER_WATCH_MAX];
		size_t count;
	} watch;

	struct kerr failure; /* the first cause, shown to people */
	bool started;	     /* START was answered */
	uint32_t start_serial;
	uint64_t job_ms;  /* WORKER_LOOK_JOB saw the job held then */
	bool keep_paused; /* the owner paused the guest: it is not ours to resume */
	bool off;	  /* the VM is switched off: its copy is ended instead of resumed */
	uint64_t mail_ms; /* the inbox was read then */
	bool clean;	  /* nothing is left for recovery */
	bool dropping;	  /* images are being removed: the end waits for that */
	bool super_lost;
	uint64_t leave_ms; /* 0 = stays; else when it goes at the latest */
	uint64_t begin_ms;

	struct mover_progress progress;
	uint64_t progress_ms, rate_ms, rate_bytes;
};

/* Sets a signal to be ignored, in this process and those it becomes. */
void worker_ignore(int sig);

/* Runs one worker: HID in hex, side. Never returns; the exit status is 0 if nothing is left to
 * recover. */
_Noreturn void worker_main(const struct config *config, const char *hid_hex, bool source);

/* -- worker-io.c: what the rest stands on -- */

uint64_t worker_now_ms(void); /* CLOCK_MONOTONIC */
uint64_t worker_now_ns(void);

/* Waits for a descriptor in the next turn of the loop; a negative one is nobody. */
void worker_watch(struct worker *w, int fd, short events, worker_ready_fn ready);

/* To the other worker, if the control channel stands: a frame; why the hand-off fails here. */
void worker_send(struct worker *w, enum frame_type type, const void *body, size_t len);
void worker_send_error(struct worker *w);

/* To the supervisor: the answer to a request (`err` NULL = it is done), the one to START, the wish
 * for a connection, where the hand-off is. */
void worker_answer(uint16_t op, uint32_t serial, const struct kerr *err);
void worker_answer_start(struct worker *w);
void worker_dial(struct worker *w, uint16_t channel);
void worker_phase(struct worker *w, enum phase phase);
void worker_progress(struct worker *w);

/* -- the loop and the copy -- */

/* Ends the worker in this last phase, once everything is sent and the images are removed, or in a
 * while. */
void worker_leave(struct worker *w, enum phase last);

/* The event that tells a state of the copy. */
enum transfer_event worker_copy_event(enum copy_state state);

/* What the copy of this very VM means, now: one that its owner paused, or that is switched off and
 * defined where it shall be, goes on as it is (COPY_HALTED). */
enum transfer_event worker_copy_means(struct worker *w, const struct virt_copy *copy);

/* What a look at the copy asks for. */
enum worker_look {
	WORKER_LOOK_STATE, /* what libvirt says; neither QEMU nor a job is waited for */
	WORKER_LOOK_JOB,   /* the same, and the migration's job must still be held (S5a) */
	WORKER_LOOK_HELD,  /* what kith-warden says of a frozen copy; libvirt is not asked at all:
			      after a restart it waits for the monitor of a stopped QEMU */
};

/* Asks for the state of this host's copy; posts a COPY event. `before` (may be NULL) runs in the
 * task first; if it fails (negative) the copy counts as COPY_UNKNOWN, so that what failed is done
 * again; if it gives 1 the copy is held by kith-warden, and FROZEN is posted instead. */
typedef int (*worker_copy_fn)(struct worker *w);
void worker_check_copy(struct worker *w, worker_copy_fn before, enum worker_look look);

/* Has kith-warden stop the copy below libvirt and looks once more: FROZEN (or gone at the source,
 * which can run as little), COPY_GONE at the destination, COPY_UNKNOWN if it does not hold still.
 */
void worker_freeze(struct worker *w);

/* -- worker-link.c -- */

/* Channels by what becomes of a connection. */
enum channel_kind {
	CHANNEL_CONTROL,
	CHANNEL_RAM,
	CHANNEL_DISK,
	_CHANNEL_KIND_MAX,
};

/* A data connection came: opens what its channel is for. Takes `fd` over. */
int worker_channel_open(struct worker *w, uint16_t channel, int fd);

/* Starts the handshake on a data connection; both take `fd` over. Anybody can come so far: it
 * counts only when it proved the key, and when there are too many the oldest goes (H19). */
int worker_candidate_add(struct worker *w, int fd);
int worker_relay_add(struct worker *w, uint16_t channel, int fd, const char *local_path);
void worker_relays_drop(struct worker *w);

/* Bytes that went through the channels of a kind so far. */
uint64_t worker_bytes(struct worker *w, enum channel_kind kind);

void worker_link_drop(struct worker *w);

/* The loop's share of worker-link.c. */
void worker_links_watch(struct worker *w);
void worker_links_tick(struct worker *w, uint64_t now_ms);
