/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's queue of events and its door, under those who send much at once. */
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mover/side-destination.h"
#include "mover/side-source.h"
#include "tests/unit/golden.h"

static const uint8_t HID[HID_LEN] = {1, 2, 3}, KEY[TLS_KEY_LEN] = {9};
static unsigned frames;

/* As bad as a frame can be: two events each. */
static void on_frame(struct worker *w, const struct frame *f)
{
	g_assert_cmpint(f->type, ==, FRAME_VOTE);
	frames++;
	side_post(w, TRANSFER_EVENT_VOTE);
	side_post(w, TRANSFER_EVENT_LINK_UP);
}

static bool can_stop(struct worker *w)
{
	(void)w;
	return true;
}

static const struct side side = {.frame = on_frame, .can_stop = can_stop};

static struct frames *make(bool source, int fd)
{
	struct frames *c = NULL;
	struct tls *tls = NULL;

	g_assert_cmpint(tls_new(source, HID, DATA_CHANNEL_CONTROL, KEY, fd, &tls), ==, 0);
	g_assert_cmpint(frames_new(tls, &c), ==, 0);
	return c;
}

/* The two ends of a control channel that stands. */
static void connected(struct frames **ret_ours, struct frames **ret_peer)
{
	struct frame f;
	int fd[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), ==,
			0);
	*ret_ours = make(false, fd[0]);
	*ret_peer = make(true, fd[1]);
	for (int i = 0; i < 20 && !(frames_ready(*ret_ours) && frames_ready(*ret_peer)); i++) {
		g_assert_cmpint(frames_next(*ret_peer, &f), ==, 0);
		g_assert_cmpint(frames_next(*ret_ours, &f), ==, 0);
	}
	g_assert_true(frames_ready(*ret_ours));
}

/* What the loop does for the channel, without its sleep. */
static void turn(struct worker *w, uint64_t now)
{
	w->watch.count = 0;
	worker_links_watch(w);
	for (size_t i = 0; i < w->watch.count; i++)
		if (w->links.control && w->watch.poll[i].fd == frames_fd(w->links.control))
			w->watch.ready[i](w, w->watch.poll[i].fd, POLLIN);
	worker_links_tick(w, now);
}

static void test_flood(void)
{
	struct worker *w = g_new0(struct worker, 1);
	struct frames *peer;
	unsigned turns = 0;

	w->side = &side;
	w->links.wake_fd = -EBADF;
	frames = 0;
	connected(&w->links.control, &peer);
	w->links.heard_ms = w->links.beat_ms = worker_now_ms();
	for (int i = 0; i < 64; i++)
		g_assert_cmpint(frames_send(peer, FRAME_VOTE, "x", 1), ==, 0);
	for (; frames < 64 && turns < 64; turns++) {
		turn(w, worker_now_ms());
		/* Whatever came, our own side still has a word, and it is not the last one. */
		for (size_t i = 0; i < SIDE_EVENTS_OWN - 1; i++)
			side_post(w, TRANSFER_EVENT_COPY_PAUSED);
		side_post(w, TRANSFER_EVENT_STOP);
		g_assert_cmpuint(w->machine.event_count, <=, SIDE_EVENTS_MAX);
		g_assert_cmpint(w->machine.events[w->machine.event_count - 1], ==,
				TRANSFER_EVENT_STOP);
		w->machine.event_count = 0; /* all handled */
	}
	/* None was lost, and no descriptor had to ring for those in memory. */
	g_assert_cmpuint(frames, ==, 64);
	g_assert_cmpuint(turns, >, 1);
	turn(w, worker_now_ms());
	g_assert_false(w->links.more_frames);
	frames_free(peer);
	turn(w, worker_now_ms());
	g_assert_null(w->links.control);
	g_assert_false(w->links.more_frames);
	g_assert_cmpint(w->machine.events[w->machine.event_count - 1], ==,
			TRANSFER_EVENT_LINK_LOST);
	g_free(w);
}

static void test_one_stop(void)
{
	struct worker *w = g_new0(struct worker, 1);

	w->side = &side;
	for (int i = 0; i < 40; i++)
		side_stop(w, ECONNRESET, KCODE_INTERRUPTED, "Data connection %d broke.", i);
	side_post(w, TRANSFER_EVENT_LINK_LOST);
	g_assert_cmpuint(w->machine.event_count, ==, 2);
	g_assert_cmpstr(w->failure.text, ==, "Data connection 0 broke.");
	g_free(w);
}

/* A beat may wait long behind the guest's data: any byte is a sign of life. */
static void test_life(void)
{
	struct worker *w = g_new0(struct worker, 1);
	uint64_t now = worker_now_ms();
	struct frames *peer;

	w->side = &side;
	w->links.wake_fd = -EBADF;
	connected(&w->links.control, &peer);
	w->links.heard_ms = w->links.beat_ms = now;
	worker_links_tick(w, now);
	worker_links_tick(w, now + 9000);
	g_assert_nonnull(w->links.control);
	g_assert_cmpint(frames_send(peer, FRAME_BEAT, NULL, 0), ==, 0);
	turn(w, now + 9500);
	worker_links_tick(w, now + 15000);
	g_assert_nonnull(w->links.control);
	worker_links_tick(w, now + 19600);
	g_assert_null(w->links.control);
	frames_free(peer);
	g_free(w);
}

/* -- early strangers: the number of a hand-off is all that they know -- */

static void stranger(int *ret_ours, int *ret_theirs)
{
	int fd[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), ==,
			0);
	*ret_ours = fd[0];
	*ret_theirs = fd[1];
}

static struct worker *with_grant(bool source)
{
	struct worker *w = g_new0(struct worker, 1);

	w->side = &side;
	w->source = source;
	w->links.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	memcpy(w->place.hid, HID, HID_LEN);
	memcpy(w->grant.key, KEY, TLS_KEY_LEN);
	return w;
}

static void all_ready(struct worker *w)
{
	w->watch.count = 0;
	worker_links_watch(w);
	for (size_t i = 0; i < w->watch.count; i++)
		if (poll(&w->watch.poll[i], 1, 0) == 1)
			w->watch.ready[i](w, w->watch.poll[i].fd, POLLIN);
}

static void test_early_control(void)
{
	struct worker *w = with_grant(false);
	struct frame f;
	struct frames *genuine;
	uint8_t key[TLS_KEY_LEN];
	struct tls *tls;
	int ours, theirs[40];

	for (size_t i = 0; i < G_N_ELEMENTS(theirs); i++) {
		stranger(&ours, &theirs[i]);
		if (i % 2)
			g_assert_cmpint(send(theirs[i], "GET / HTTP/1.1\r\n", 16, 0), ==, 16);
		g_assert_cmpint(worker_candidate_add(w, ours), ==, 0);
		all_ready(w);
	}
	stranger(&ours, &theirs[0]);
	g_assert_cmpint(tls_channel_key(KEY, DATA_CHANNEL_CONTROL, key), ==, 0);
	g_assert_cmpint(tls_new(true, HID, DATA_CHANNEL_CONTROL, key, theirs[0], &tls), ==, 0);
	g_assert_cmpint(frames_new(tls, &genuine), ==, 0);
	g_assert_cmpint(worker_candidate_add(w, ours), ==, 0);
	for (int i = 0; i < 20 && !w->links.control; i++) {
		g_assert_cmpint(frames_next(genuine, &f), >=, 0);
		all_ready(w);
	}
	g_assert_nonnull(w->links.control);
	g_assert_cmpint(w->failure.code, ==, KCODE_OK);
	frames_free(genuine);
	for (size_t i = 1; i < G_N_ELEMENTS(theirs); i++)
		close(theirs[i]);
	for (size_t i = 0; i < WORKER_CANDIDATES_MAX; i++)
		frames_free(w->links.candidates[i]);
	frames_free(w->links.control);
	close(w->links.wake_fd);
	g_free(w);
}

static void test_early_relays(void)
{
	struct worker *w = with_grant(false);
	uint8_t key[TLS_KEY_LEN];
	struct relay_status st = {0};
	struct tls *tls;
	int ours, theirs[WORKER_RELAYS_MAX + 10], r = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(theirs); i++) {
		stranger(&ours, &theirs[i]);
		g_assert_cmpint(worker_relay_add(w, DATA_CHANNEL_RAM, ours, "/nonexistent"), ==, 0);
	}
	stranger(&ours, &theirs[0]);
	g_assert_cmpint(tls_channel_key(KEY, DATA_CHANNEL_RAM, key), ==, 0);
	g_assert_cmpint(tls_new(true, HID, DATA_CHANNEL_RAM, key, theirs[0], &tls), ==, 0);
	g_assert_cmpint(worker_relay_add(w, DATA_CHANNEL_RAM, ours, "/nonexistent"), ==, 0);
	for (int i = 0; i < 2000 && r == 0; i++) {
		r = tls_handshake(tls);
		g_usleep(1000);
	}
	g_assert_cmpint(r, ==, 1);
	for (int i = 0; i < 2000 && st.state != RELAY_IDLE; i++) {
		for (size_t k = 0; k < WORKER_RELAYS_MAX && st.state != RELAY_IDLE; k++)
			if (w->links.relays[k].relay)
				relay_get(w->links.relays[k].relay, &st);
		g_usleep(1000);
	}
	g_assert_cmpint(st.state, ==, RELAY_IDLE);
	/* The channel is taken now, and not to be had by coming often. */
	stranger(&ours, &theirs[1]);
	g_assert_cmpint(worker_relay_add(w, DATA_CHANNEL_RAM, ours, "/nonexistent"), ==, -EBUSY);
	worker_relays_drop(w);
	tls_free(tls);
	for (size_t i = 1; i < G_N_ELEMENTS(theirs); i++)
		close(theirs[i]);
	close(w->links.wake_fd);
	g_free(w);
}

/* The source's: a door that was full of strangers is knocked at again, but not for ever. */
static void test_dial_again(void)
{
	struct worker *w = with_grant(true);
	unsigned dials = 0;
	int super[2], ours, theirs;
	uint8_t buf[256];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, super), ==, 0);
	g_assert_cmpint(dup2(super[0], WORKER_FD), ==, WORKER_FD);
	for (int i = 0; i < 40 && w->failure.code == KCODE_OK; i++) {
		stranger(&ours, &theirs);
		g_assert_cmpint(worker_candidate_add(w, ours), ==, 0);
		close(theirs);
		all_ready(w);
		worker_links_tick(w, worker_now_ms() + 1000);
		dials += recv(super[1], buf, sizeof(buf), 0) > 0;
	}
	g_assert_cmpuint(dials, ==, WORKER_REDIALS_MAX);
	g_assert_cmpint(w->failure.code, ==, KCODE_INTERRUPTED);
	close(super[1]);
	close(w->links.wake_fd);
	g_free(w);
}

/* -- the first words of the two sides -- */

static struct worker *on_side(const struct side *s, int state, void *ctx)
{
	struct worker *w = g_new0(struct worker, 1);

	w->side = s;
	w->ctx = ctx;
	w->machine.state = state;
	memcpy(w->grant.peer_name, "desktop", 8);
	return w;
}

static void first_word(struct worker *w, enum frame_type type, const void *body, size_t len)
{
	struct frame f = {.type = type, .body = body, .len = len};

	w->machine.event_count = 0;
	kerr_clear(&w->failure);
	w->side->frame(w, &f);
	g_assert_cmpuint(w->machine.event_count, ==, 1);
}

static void refused_version(struct worker *w)
{
	g_assert_cmpint(w->machine.events[0], ==, TRANSFER_EVENT_STOP);
	g_assert_cmpint(w->failure.code, ==, KCODE_BAD_MESSAGE);
	g_assert_nonnull(strstr(w->failure.text, "\"desktop\" runs another version of Kith"));
}

static void test_version(void)
{
	struct source s = {0};
	struct destination d = {0};
	struct worker *source = on_side(&source_side, SOURCE_PREPARING, &s);
	struct worker *destination = on_side(&destination_side, DESTINATION_RECEIVING, &d);
	struct frame_offer offer = {.memory_bytes = 1 << 20, .vcpus = 1};
	uint8_t buf[128];
	struct wbuf b = wbuf_init(buf, sizeof(buf));

	g_assert_cmpint(frame_offer_put(&b, &offer), ==, 0);
	buf[0] = FRAMES_VERSION + 1;
	first_word(destination, FRAME_OFFER, buf, b.len);
	refused_version(destination);
	buf[0] = FRAMES_VERSION;
	first_word(destination, FRAME_OFFER, buf, b.len);
	g_assert_cmpint(destination->machine.events[0], ==, TRANSFER_EVENT_OFFER);

	first_word(source, FRAME_DISKS_READY, NULL, 0); /* before there were versions */
	refused_version(source);
	first_word(source, FRAME_DISKS_READY, (uint8_t[]){FRAMES_VERSION + 1}, 1);
	refused_version(source);
	first_word(source, FRAME_DISKS_READY, (uint8_t[]){FRAMES_VERSION}, 1);
	g_assert_cmpint(source->machine.events[0], ==, TRANSFER_EVENT_IMAGES);
	g_free(source);
	g_free(destination);
}

/* -- a VM that is switched off -- */

static void test_off(void)
{
	static const struct {
		const struct side *side;
		int state;
		bool off;
		struct virt_copy copy;
		enum transfer_event event;
	} rows[] = {
		/* given up: off as before is how it goes on */
		{&source_side,
		 SOURCE_ABORTING,
		 true,
		 {COPY_GONE, true, false},
		 TRANSFER_EVENT_COPY_HALTED},
		{&source_side,
		 SOURCE_FORWARD,
		 true,
		 {COPY_GONE, true, false},
		 TRANSFER_EVENT_COPY_HALTED},
		/* nobody has a definition of it: only the other copy is left */
		{&source_side,
		 SOURCE_ABORTING,
		 true,
		 {COPY_GONE, false, false},
		 TRANSFER_EVENT_COPY_GONE},
		/* one that ran died */
		{&source_side,
		 SOURCE_ABORTING,
		 false,
		 {COPY_GONE, true, false},
		 TRANSFER_EVENT_COPY_GONE},
		/* what is to be ended, and what somebody woke */
		{&source_side,
		 SOURCE_ABORTING,
		 true,
		 {COPY_PAUSED, true, false},
		 TRANSFER_EVENT_COPY_PAUSED},
		{&source_side,
		 SOURCE_ABORTING,
		 true,
		 {COPY_RUNS, true, false},
		 TRANSFER_EVENT_COPY_RUNS},
		/* R1, R3: released, its end is what DONE waits for */
		{&source_side,
		 SOURCE_COMMITTING,
		 true,
		 {COPY_GONE, true, false},
		 TRANSFER_EVENT_COPY_GONE},
		{&source_side,
		 SOURCE_CONFIRMING,
		 true,
		 {COPY_GONE, true, false},
		 TRANSFER_EVENT_COPY_GONE},
		/* before OWN only a copy counts, since OWN it may be gone */
		{&destination_side,
		 DESTINATION_CHECKING,
		 true,
		 {COPY_GONE, true, false},
		 TRANSFER_EVENT_COPY_GONE},
		{&destination_side,
		 DESTINATION_CLAIMING,
		 true,
		 {COPY_GONE, true, false},
		 TRANSFER_EVENT_COPY_GONE},
		{&destination_side,
		 DESTINATION_OWNING,
		 true,
		 {COPY_GONE, true, false},
		 TRANSFER_EVENT_COPY_HALTED},
		{&destination_side,
		 DESTINATION_OWNING,
		 true,
		 {COPY_GONE, false, false},
		 TRANSFER_EVENT_COPY_GONE},
		{&destination_side,
		 DESTINATION_OWNING,
		 false,
		 {COPY_GONE, true, false},
		 TRANSFER_EVENT_COPY_GONE},
		{&destination_side,
		 DESTINATION_OWNING,
		 true,
		 {COPY_PAUSED, true, false},
		 TRANSFER_EVENT_COPY_PAUSED},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct worker *w = on_side(rows[i].side, rows[i].state, NULL);

		w->off = rows[i].off;
		g_test_message("row %zu", i);
		g_assert_cmpint(worker_copy_means(w, &rows[i].copy), ==, rows[i].event);
		g_free(w);
	}
}

/* Noted by the destination with the offer, and shown. */
static void test_offered_off(void)
{
	struct frame_offer offer = {.memory_bytes = 1 << 20, .vcpus = 1, .off = true};
	uint8_t buf[128];

	/* 2: shut down for this, so that it is started here */
	for (int off = 2; off >= 0; off--) {
		struct destination d = {0};
		struct worker *w = on_side(&destination_side, DESTINATION_RECEIVING, &d);
		struct wbuf b = wbuf_init(buf, sizeof(buf));

		offer.off = off;
		offer.boots = off == 2;
		offer.luggage[LUGGAGE_DEFINITION].len = (uint32_t)off * 9000;
		g_assert_cmpint(frame_offer_put(&b, &offer), ==, 0);
		first_word(w, FRAME_OFFER, buf, b.len);
		g_assert_cmpint(w->off, ==, off != 0);
		g_assert_cmpint(w->place.remnant.off, ==, off != 0);
		g_assert_cmpint(w->place.remnant.again_until, ==, off == 2);
		g_assert_cmpint(w->progress.off, ==, off == 1);
		g_free(w);
	}
}

/* Somebody woke what was offered as off: it stays, while it still can. */
static void test_off_resumed(void)
{
	static const struct {
		int state;
		bool off, read, resumed, stops;
	} rows[] = {
		{SOURCE_TRANSFER, true, true, true, true},
		{SOURCE_COMMITTING, true, true, true, true},
		{SOURCE_RELEASED, true, true, true, false},
		{SOURCE_TRANSFER, true, true, false, false},
		{SOURCE_TRANSFER, false, false, true, false},
		/* The thread that started it writes its note yet. */
		{SOURCE_NEW, true, false, true, false},
		{SOURCE_NEW, true, true, true, true},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct source s = {.stats_busy = true};
		struct worker *w = on_side(&source_side, rows[i].state, &s);
		uint64_t now = worker_now_ms();

		w->off = rows[i].off;
		s.carried = rows[i].off && rows[i].read;
		s.resumed = rows[i].resumed;
		s.resend_ms = w->machine.entered_ms = now;
		w->side->tick(w, now);
		g_test_message("row %zu", i);
		g_assert_cmpuint(w->machine.event_count, ==, rows[i].stops);
		if (rows[i].stops)
			g_assert_nonnull(strstr(w->failure.text, "switched off"));
		g_free(w);
	}
}

/* F14: a source whose guest shuts down has time, as long as it is there; one that offered has not.
 */
static void test_patience(void)
{
	static const struct {
		bool there, offered;
		uint64_t since_ms, offered_since_ms;
		bool stops;
	} rows[] = {
		{false, false, 29000, 0, false},   {false, false, 31000, 0, true},
		{true, false, 31000, 0, false},	   {true, false, 200000, 0, false},
		{true, false, 241000, 0, true},	   {true, true, 200000, 29000, false},
		{true, true, 200000, 31000, true}, {false, true, 200000, 29000, false},
	};
	struct frames *ours, *peer;

	connected(&ours, &peer);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint64_t now = worker_now_ms() + 1000000;
		struct destination d = {.offered = rows[i].offered,
					.offered_ms = now - rows[i].offered_since_ms};
		struct worker *w = on_side(&destination_side, DESTINATION_RECEIVING, &d);

		w->machine.entered_ms = now - rows[i].since_ms;
		w->links.control = rows[i].there ? ours : NULL;
		w->side->tick(w, now);
		g_test_message("row %zu", i);
		g_assert_cmpuint(w->machine.event_count, ==, rows[i].stops);
		g_free(w);
	}
	frames_free(ours);
	frames_free(peer);
}

/* -- what goes over the wire, from those who say it -- */

/* Our end of a control channel, and the other one below its frames. */
static void connected_raw(struct frames **ret_ours, struct tls **ret_peer)
{
	struct frame f;
	int fd[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), ==,
			0);
	*ret_ours = make(false, fd[0]);
	g_assert_cmpint(tls_new(true, HID, DATA_CHANNEL_CONTROL, KEY, fd[1], ret_peer), ==, 0);
	for (int i = 0; i < 20 && !frames_ready(*ret_ours); i++) {
		g_assert_cmpint(tls_handshake(*ret_peer), >=, 0);
		g_assert_cmpint(frames_next(*ret_ours, &f), ==, 0);
	}
	g_assert_true(frames_ready(*ret_ours));
}

static void said(struct tls *peer, const char *name)
{
	uint8_t buf[1024];
	int n = tls_read(peer, buf, sizeof(buf));

	g_assert_cmpint(n, >, 0);
	golden_same("mover.txt", name, buf, n > 0 ? (size_t)n : 0);
}

static struct frame_offer two_disks(void)
{
	return (struct frame_offer){.memory_bytes = 1 << 20,
				    .vcpus = 2,
				    .origin = {.uefi = 1,
					       .firmware = {.secure_boot = 1,
							    .code_size = 3653632,
							    .vars_size = 540672},
					       .cpu = {"EPYC", "AMD", 7002, "avx2 fpu"}},
				    .luggage = {{540672, {7}}},
				    .count = 2,
				    .disks = {{"vda", DISK_FORMAT_RAW, 1 << 20, 4096},
					      {"sdb1", DISK_FORMAT_QCOW2, 512, 0}}};
}

static void test_said_by_source(void)
{
	struct source s = {.offer = two_disks(), .downtime_us = 2000000};
	struct worker *w = on_side(&source_side, SOURCE_PREPARING, &s);
	struct tls *peer;

	connected_raw(&w->links.control, &peer);
	w->side->acts[TRANSFER_ACTION_SEND_OFFER](w);
	said(peer, "offer");
	w->side->acts[TRANSFER_ACTION_SEND_MOVED](w);
	said(peer, "moved");
	kerr_set(&w->failure, EIO, KCODE_INTERRUPTED, "The link broke.");
	worker_send_error(w);
	said(peer, "error");
	frames_free(w->links.control);
	tls_free(peer);
	g_free(w);
}

static void test_said_by_destination(void)
{
	struct destination d = {0};
	struct worker *w = on_side(&destination_side, DESTINATION_RECEIVING, &d);
	struct tls *peer;

	w->machine.words[CUSTODY_STATEMENT_VOTE] = (struct statement){(uint8_t *)"vote", 4};
	w->machine.words[CUSTODY_STATEMENT_ACK] = (struct statement){(uint8_t *)"ack", 3};
	connected_raw(&w->links.control, &peer);
	w->side->acts[TRANSFER_ACTION_SEND_IMAGES](w);
	said(peer, "disks-ready");
	w->side->acts[TRANSFER_ACTION_SEND_VOTE](w);
	said(peer, "vote");
	w->side->acts[TRANSFER_ACTION_SEND_ACK](w);
	said(peer, "ack");
	worker_send(w, FRAME_BEAT, NULL, 0);
	said(peer, "beat");
	frames_free(w->links.control);
	tls_free(peer);
	g_free(w);
}

/* As a connection is handed over: hid and channel. */
static void test_said_to_kithd(void)
{
	struct worker *w = g_new0(struct worker, 1);
	uint8_t buf[IPC_MAX_FRAME];
	struct ipc_msg m = {.fd = -EBADF};
	int super[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, super), ==, 0);
	g_assert_cmpint(dup2(super[0], WORKER_FD), ==, WORKER_FD);
	memcpy(w->place.hid, (uint8_t[HID_LEN]){1, 2}, HID_LEN);
	worker_dial(w, 33);
	g_assert_cmpint(ipc_recv(super[1], buf, &m), ==, 1);
	g_assert_cmpuint(m.op, ==, MOVER_EVENT_DIAL);
	golden_same("mover.txt", "conn", m.body, m.len);
	close(super[1]);
	g_free(w);
}

/* -- the machine, with the source's own table -- */

static unsigned journalled, sent;

static void count_journal(struct worker *w)
{
	(void)w;
	journalled++;
}

static void count_send(struct worker *w)
{
	(void)w;
	sent++;
}

static void post(struct worker *w, enum transfer_event event)
{
	side_post(w, event);
	side_drain(w);
}

/* While policyd is away the same question is asked again, but not at once, and not any more when
 * the state is another one. */
static void test_doubt(void)
{
	static void (*const acts[_TRANSFER_ACTION_MAX])(struct worker * w) = {
		[TRANSFER_ACTION_JOURNAL_RELEASED] = count_journal,
		[TRANSFER_ACTION_SEND_RELEASE] = count_send,
	};
	struct side counted = source_side;
	struct worker *w = on_side(&counted, SOURCE_DECIDING, NULL);

	counted.acts = acts;
	journalled = sent = 0;
	post(w, TRANSFER_EVENT_DOUBT);
	side_run_deferred(w, worker_now_ms());
	g_assert_cmpuint(journalled, ==, 0);
	side_run_deferred(w, worker_now_ms() + 1500);
	g_assert_cmpuint(journalled, ==, 1);
	side_run_deferred(w, worker_now_ms() + 3000);
	g_assert_cmpuint(journalled, ==, 1);
	post(w, TRANSFER_EVENT_OFFER); /* no row: nothing happens */
	g_assert_cmpint(w->machine.state, ==, SOURCE_DECIDING);
	post(w, TRANSFER_EVENT_DOUBT);
	post(w, TRANSFER_EVENT_JOURNALLED);
	g_assert_cmpint(w->machine.state, ==, SOURCE_RELEASED);
	g_assert_cmpuint(sent, ==, 1);
	side_run_deferred(w, worker_now_ms() + 1500);
	g_assert_cmpuint(journalled, ==, 1);
	g_free(w);
}

/* Nobody tells the source to release. */
static void test_words(void)
{
	struct worker *w = on_side(&source_side, SOURCE_RELEASED, NULL);

	side_hear(w, CUSTODY_STATEMENT_RELEASE, "x", 1);
	side_hear(w, CUSTODY_STATEMENT_ABORT, "x", 1);
	side_hear(w, CUSTODY_STATEMENT_NONE, NULL, 0);
	g_assert_cmpuint(w->machine.event_count, ==, 0);
	g_assert_null(w->machine.words[CUSTODY_STATEMENT_RELEASE].data);
	side_hear(w, CUSTODY_STATEMENT_NACK, "nack", 4);
	g_assert_cmpuint(w->machine.event_count, ==, 1);
	g_assert_cmpint(w->machine.events[0], ==, TRANSFER_EVENT_NACK);
	g_assert_cmpmem(w->machine.words[CUSTODY_STATEMENT_NACK].data,
			w->machine.words[CUSTODY_STATEMENT_NACK].len, "nack", 4);
	free(w->machine.words[CUSTODY_STATEMENT_NACK].data);
	g_free(w);
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	worker_ignore(SIGPIPE);
	g_test_add_func("/worker/N1 64 frames at once", test_flood);
	g_test_add_func("/worker/one stop is enough", test_one_stop);
	g_test_add_func("/worker/a silent peer", test_life);
	g_test_add_func("/worker/D early strangers at the control channel", test_early_control);
	g_test_add_func("/worker/D early strangers at a bulk channel", test_early_relays);
	g_test_add_func("/worker/D a closed door is knocked at again", test_dial_again);
	g_test_add_func("/worker/another version of Kith at the other end", test_version);
	g_test_add_func("/worker/F13 off, and where that is how it goes on", test_off);
	g_test_add_func("/worker/off, in the offer", test_offered_off);
	g_test_add_func("/worker/F13 off, and woken meanwhile", test_off_resumed);
	g_test_add_func("/worker/F14 patience with a guest that shuts down", test_patience);
	g_test_add_func("/worker/golden bytes of the source", test_said_by_source);
	g_test_add_func("/worker/golden bytes of the destination", test_said_by_destination);
	g_test_add_func("/worker/golden bytes to kithd", test_said_to_kithd);
	g_test_add_func("/worker/R1 a doubt is asked again, in its state", test_doubt);
	g_test_add_func("/worker/words of the wrong side", test_words);
	return g_test_run();
}
