/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of kith-mover and of kith-warden, byte for byte, and what counts as an answer. */
#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/ipc.h"
#include "mover/client.h"
#include "mover/warden-client.h"
#include "tests/unit/golden.h"

static const uint8_t HID[HID_LEN] = {1, 2}, UUID[UUID_LEN] = {3, 4};

struct fixture {
	char *folder, *path;
	int listen_fd, fd; /* fd: the server's end */
	uint8_t buf[IPC_MAX_FRAME];
};

static void serve(struct fixture *f, const char *name)
{
	char *sub;

	f->fd = -EBADF;
	f->folder = g_dir_make_tmp("kith-client-XXXXXX", NULL);
	g_assert_nonnull(f->folder);
	f->path = g_build_filename(f->folder, name, NULL);
	sub = g_path_get_dirname(f->path);
	g_assert_cmpint(g_mkdir_with_parents(sub, 0700), ==, 0);
	g_assert_cmpint(ipc_listen(f->path, 0600, &f->listen_fd), ==, 0);
	g_free(sub);
}

static void stop(struct fixture *f)
{
	char *sub = g_path_get_dirname(f->path);

	close(f->fd);
	close(f->listen_fd);
	g_unlink(f->path);
	g_rmdir(sub);
	g_rmdir(f->folder);
	g_free(sub);
	g_free(f->path);
	g_free(f->folder);
}

static void accept_one(struct fixture *f)
{
	struct pollfd p = {.fd = f->listen_fd, .events = POLLIN};
	struct ipc_peer peer;

	g_assert_cmpint(poll(&p, 1, 5000), ==, 1);
	g_assert_cmpint(ipc_accept(f->listen_fd, &peer, &f->fd), ==, 0);
}

/* The next request is `op`, and its body that of the dump. Returns its serial. */
static uint32_t asked(struct fixture *f, uint16_t op, const char *name)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};
	struct ipc_msg m = {.fd = -EBADF};
	uint32_t serial;

	g_assert_cmpint(poll(&p, 1, 5000), ==, 1);
	g_assert_cmpint(ipc_recv(f->fd, f->buf, &m), ==, 1);
	g_assert_cmpuint(m.op, ==, op);
	g_assert_cmpuint(m.flags, ==, 0);
	golden_same("mover.txt", name, m.body, m.len);
	serial = m.serial;
	ipc_msg_release(&m);
	return serial;
}

/* -- kith-mover -- */

static unsigned dials;

static void on_dial(void *ctx _unused_, const uint8_t hid[HID_LEN], uint16_t channel)
{
	g_assert_cmpmem(hid, HID_LEN, HID, HID_LEN);
	g_assert_cmpuint(channel, ==, 33);
	dials++;
}

static const struct mover_client_events events = {.dial = on_dial};

static void test_requests(void)
{
	struct fixture f;
	const struct mover_plan_ask wish = {
		.uuid = {3, 4}, .offers = (const uint8_t *)"\1\2", .len = 2};
	struct mover_client *c;
	struct kerr why = {0};

	serve(&f, "mover.sock");
	g_assert_cmpint(mover_client_new(f.path, &events, NULL, &c), ==, 0);
	accept_one(&f);
	kerr_set(&why, EIO, KCODE_INTERRUPTED, "The link broke.");
	g_assert_cmpint(mover_client_start(c, HID, true, NULL, NULL), ==, 0);
	asked(&f, MOVER_OP_START, "start");
	g_assert_cmpint(mover_client_conn(c, HID, 33, 0, NULL, NULL), ==, 0);
	asked(&f, MOVER_OP_CONN, "conn");
	g_assert_cmpint(mover_client_cancel(c, HID, NULL, NULL), ==, 0);
	asked(&f, MOVER_OP_CANCEL, "cancel");
	g_assert_cmpint(mover_client_gone(c, HID, &why), ==, 0);
	asked(&f, MOVER_OP_GONE, "gone");
	g_assert_cmpint(mover_client_plan(c, &wish, NULL, NULL), ==, 0);
	asked(&f, MOVER_OP_PLAN, "plan-ask");
	mover_client_free(c);
	stop(&f);
}

/* -- answers to a plan -- */

struct told {
	int calls, r;
	struct kerr err;
	struct mover_plan plan;
	size_t len;
};

static void on_plan(void *arg, int r, const struct kerr *err, const struct mover_plan *plan)
{
	struct told *t = arg;

	t->calls++;
	t->r = r;
	t->err = *err;
	g_assert_cmpint(plan != NULL, ==, r == 0);
	if (plan)
		t->plan = *plan;
}

static void on_offers(void *arg, int r, const struct kerr *err, const uint8_t *offers, size_t len)
{
	struct told *t = arg;

	t->calls++;
	t->r = r;
	t->err = *err;
	t->len = len;
	if (r == 0)
		g_assert_cmpmem(offers, len, "offers", 6);
}

static void answer(struct fixture *f, struct mover_client *c, uint16_t op, const void *body,
		   size_t len)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};
	struct ipc_msg m = {.fd = -EBADF};

	g_assert_cmpint(poll(&p, 1, 5000), ==, 1);
	g_assert_cmpint(ipc_recv(f->fd, f->buf, &m), ==, 1);
	g_assert_cmpuint(m.op, ==, op);
	g_assert_cmpint(ipc_send(f->fd, op, IPC_FLAG_REPLY, m.serial, body, len, -EBADF), ==, 0);
	g_assert_cmpint(mover_client_dispatch(c), ==, 0);
}

static void test_plan(void)
{
	const struct mover_plan_ask wish = {.uuid = {3, 4}};
	static uint8_t body[MOVER_OFFERS_MAX + 1];
	struct mover_client *c;
	struct fixture f;
	struct told t = {0};
	size_t n = golden_read("mover.txt", "plan", body, sizeof(body));

	serve(&f, "mover.sock");
	g_assert_cmpint(mover_client_new(f.path, &events, NULL, &c), ==, 0);
	accept_one(&f);
	g_assert_cmpint(mover_client_plan(c, &wish, on_plan, &t), ==, 0);
	answer(&f, c, MOVER_OP_PLAN, body, n);
	g_assert_true(t.calls == 1 && t.r == 0 && t.plan.there);
	g_assert_cmpint(t.plan.reason.code, ==, KCODE_ROOM);
	g_assert_cmpstr(t.plan.reason.text, ==, "No room...");
	g_assert_true(t.plan.off && t.plan.rungs[MOVE_RUNG_LIVE].code == KCODE_NOT_RUNNING);
	g_assert_true(t.plan.rungs[MOVE_RUNG_COLD].code == KCODE_OK);
	g_assert_true(t.plan.memory_bytes == 1 << 28 && t.plan.disk_bytes == 1 << 29);
	/* N1: cut, or with more behind it. */
	for (size_t len = 0; len <= n + 1; len += len + 1 == n ? 2 : 1) {
		g_assert_cmpint(mover_client_plan(c, &wish, on_plan, &t), ==, 0);
		answer(&f, c, MOVER_OP_PLAN, body, len);
		g_assert_true(t.r < 0 && t.err.code == KCODE_BAD_MESSAGE);
	}
	/* A record is not read here, but nothing and too much of it are none. */
	for (size_t len = 0; len <= sizeof(body); len += sizeof(body)) {
		g_assert_cmpint(mover_client_offers(c, on_offers, &t), ==, 0);
		answer(&f, c, MOVER_OP_OFFERS, body, len);
		g_assert_true(t.r < 0 && t.err.code == KCODE_BAD_MESSAGE);
	}
	g_assert_cmpint(mover_client_offers(c, on_offers, &t), ==, 0);
	answer(&f, c, MOVER_OP_OFFERS, "offers", 6);
	g_assert_true(t.r == 0 && t.len == 6);
	/* A mover that goes away answers too. */
	g_assert_cmpint(mover_client_offers(c, on_offers, &t), ==, 0);
	mover_client_free(c);
	g_assert_cmpint(t.err.code, ==, KCODE_INTERRUPTED);
	stop(&f);
}

/* What kith-mover would refuse is not sent: neither by the calls, nor by the records below. */
static void test_not_sent(void)
{
	struct fixture f;
	struct mover_client *c;
	struct kerr none = {0};
	uint8_t buf[64];
	struct wbuf w = wbuf_init(buf, sizeof(buf));

	serve(&f, "mover.sock");
	g_assert_cmpint(mover_client_new(f.path, &events, NULL, &c), ==, 0);
	accept_one(&f);
	g_assert_cmpint(mover_client_conn(c, HID, DATA_CHANNEL_MAX, 0, NULL, NULL), ==, -EINVAL);
	g_assert_cmpint(mover_client_gone(c, HID, &none), ==, -EINVAL);
	g_assert_cmpint(mover_client_conn(c, HID, DATA_CHANNEL_MAX - 1, 0, NULL, NULL), ==, 0);
	asked(&f, MOVER_OP_CONN, "conn"); /* the first that came */
	g_assert_cmpint(record_put(&w, &mover_start_record, &(struct mover_start){.source = 2}), ==,
			-EINVAL);
	w = wbuf_init(buf, sizeof(buf));
	g_assert_cmpint(
		record_put(&w, &warden_answer_record, &(struct warden_answer){_WARDEN_COPY_MAX}),
		==, -EINVAL);
	mover_client_free(c);
	stop(&f);
}

/* The reader's side of the same, cut and out of range. */
static void test_read(void)
{
	static const struct {
		const char *name;
		const struct record *record;
		size_t at; /* a byte that may not be 0xff; 0 = any may */
	} rows[] = {
		{"start", &mover_start_record, HID_LEN}, {"conn", &mover_conn_record, HID_LEN},
		{"cancel", &mover_handoff_record, 0},	 {"gone", &mover_gone_record, HID_LEN},
		{"warden-vm", &warden_vm_record, 0},	 {"warden-copy", &warden_answer_record, 0},
		{"preface", &data_preface_record, 1},	 {"plan-ask", &mover_plan_ask_record, 0},
		{"plan", &mover_plan_record, 0},
	};
	static _Alignas(max_align_t) uint8_t out[RECORD_SIZE_MAX];
	uint8_t buf[256];
	struct rbuf r;

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		size_t len = golden_read("mover.txt", rows[i].name, buf, sizeof(buf));

		r = rbuf_init(buf, len);
		g_assert_cmpint(record_get(&r, rows[i].record, out), ==, 0);
		g_assert_cmpint(rbuf_end(&r), ==, 0);
		for (size_t n = 0; n < len; n++) {
			r = rbuf_init(buf, n);
			g_assert_cmpint(record_get(&r, rows[i].record, out), ==, -EBADMSG);
		}
		if (!rows[i].at)
			continue;
		buf[rows[i].at] = 0xff;
		r = rbuf_init(buf, len);
		g_assert_cmpint(record_get(&r, rows[i].record, out), ==, -EBADMSG);
	}
	/* Either it would move, or there is a reason. */
	golden_read("mover.txt", "plan", buf, sizeof(buf));
	buf[0] = MOVER_RUNG_LIVE;
	r = rbuf_init(buf, sizeof(buf));
	g_assert_cmpint(record_get(&r, &mover_plan_record, out), ==, -EBADMSG);
	/* Nobody gives up for no reason. */
	golden_read("mover.txt", "gone", buf, sizeof(buf));
	buf[HID_LEN] = KCODE_OK;
	r = rbuf_init(buf, sizeof(buf));
	g_assert_cmpint(record_get(&r, &mover_gone_record, out), ==, -EBADMSG);
}

static void say(struct fixture *f, const uint8_t *body, size_t len)
{
	g_assert_cmpint(ipc_send(f->fd, MOVER_EVENT_DIAL, IPC_FLAG_EVENT, 0, body, len, -EBADF), ==,
			0);
}

/* An order to dial is what a connection is handed over by; one that names no channel is none. */
static void test_dial(void)
{
	uint8_t body[HID_LEN + 3] = {0};
	struct fixture f;
	struct mover_client *c;
	size_t n = golden_read("mover.txt", "conn", body, sizeof(body));

	dials = 0;
	serve(&f, "mover.sock");
	g_assert_cmpint(mover_client_new(f.path, &events, NULL, &c), ==, 0);
	accept_one(&f);
	for (size_t len = 0; len < n; len++)
		say(&f, body, len);
	say(&f, body, n + 1);
	body[HID_LEN] = DATA_CHANNEL_MAX;
	say(&f, body, n);
	g_assert_cmpint(mover_client_dispatch(c), ==, 0);
	g_assert_cmpuint(dials, ==, 0);
	body[HID_LEN] = 33;
	say(&f, body, n);
	g_assert_cmpint(mover_client_dispatch(c), ==, 0);
	g_assert_cmpuint(dials, ==, 1);
	mover_client_free(c);
	stop(&f);
}

/* -- kith-warden, which is asked by calls that wait -- */

struct call {
	struct config config;
	bool settle;
	enum warden_copy copy;
	struct kerr err;
};

static void *ask(void *arg)
{
	struct call *c = arg;

	c->copy = _WARDEN_COPY_MAX;
	kerr_clear(&c->err);
	return GINT_TO_POINTER(c->settle ? warden_settle(&c->config, UUID, &c->copy, &c->err)
					 : warden_freeze(&c->config, UUID, &c->copy, &c->err));
}

static int answered(struct fixture *f, struct call *call, const uint8_t *body, size_t len)
{
	uint16_t op = call->settle ? WARDEN_OP_SETTLE : WARDEN_OP_FREEZE;
	GThread *thread = g_thread_new("ask", ask, call);
	uint32_t serial;

	accept_one(f);
	serial = asked(f, op, "warden-vm");
	g_assert_cmpint(ipc_send(f->fd, op, IPC_FLAG_REPLY, serial, body, len, -EBADF), ==, 0);
	close(f->fd);
	f->fd = -EBADF;
	return GPOINTER_TO_INT(g_thread_join(thread));
}

static void test_warden(void)
{
	struct call call;
	struct fixture f;
	uint8_t body[2];

	serve(&f, WARDEN_SOCKET);
	g_assert_cmpint(config_parse("", &call.config, &call.err), ==, 0);
	g_strlcpy(call.config.run, f.folder, sizeof(call.config.run));
	g_assert_cmpuint(golden_read("mover.txt", "warden-copy", body, sizeof(body)), ==, 1);
	for (int settle = 0; settle < 2; settle++) {
		call.settle = settle;
		g_assert_cmpint(answered(&f, &call, body, 1), ==, 0);
		g_assert_cmpint(call.copy, ==, WARDEN_COPY_FROZEN);
	}
	/* Nothing, a copy that is none, and more than was asked for. */
	body[1] = 0;
	g_assert_cmpint(answered(&f, &call, body, 0), ==, -EBADMSG);
	g_assert_cmpint(answered(&f, &call, body, 2), ==, -EBADMSG);
	body[0] = _WARDEN_COPY_MAX;
	g_assert_cmpint(answered(&f, &call, body, 1), ==, -EBADMSG);
	g_assert_cmpint(call.copy, ==, _WARDEN_COPY_MAX);
	g_assert_cmpint(call.err.code, ==, KCODE_BAD_MESSAGE);
	stop(&f);
}

int main(int argc, char *argv[])
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/mover-client/requests", test_requests);
	g_test_add_func("/mover-client/plans", test_plan);
	g_test_add_func("/mover-client/what is not sent", test_not_sent);
	g_test_add_func("/mover-client/N1 requests that are read", test_read);
	g_test_add_func("/mover-client/N1 orders to dial", test_dial);
	g_test_add_func("/mover-client/N1 answers of kith-warden", test_warden);
	return g_test_run();
}
