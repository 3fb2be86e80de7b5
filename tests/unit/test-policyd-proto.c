/* SPDX-License-Identifier: Apache-2.0 */
/* Wire forms of policyd: golden bytes, round trips, cuts at every byte, refused values, stubs. */
#include <glib.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file.h"
#include "policyd/api/client.h"
#include "tests/unit/golden.h"

/* -- One of each -- */

static void set(uint8_t *p, size_t len, uint8_t value)
{
	memset(p, value, len);
}

static void make_peer(struct policyd_peer *v)
{
	*v = (struct policyd_peer){.role = DEVICE_ROLE_DESKTOP,
				   .tier = TPM_TIER_PINNED,
				   .own = 1,
				   .person_role = PERSON_ROLE_GUEST,
				   .verdict = VERDICT_UNTRUSTED,
				   .reason = {KCODE_ATTEST_PCR, "PCR 4."},
				   .evidence_time = 0x0102030405060708,
				   .receive = 1};
	set(v->id, sizeof(v->id), 0xa1);
	set(v->sign_pk, sizeof(v->sign_pk), 0xa2);
	g_strlcpy(v->name, "desk", sizeof(v->name));
	g_strlcpy(v->person, "tom", sizeof(v->person));
}

static void put_status(struct wbuf *w)
{
	struct policyd_status v = {.state = POLICYD_STATE_LOCKED,
				   .role = DEVICE_ROLE_SERVER,
				   .tier = TPM_TIER_SOFTWARE,
				   .name = "laptop",
				   .owner = "tom",
				   .detail = "Locked.",
				   .alarm = "Awake.",
				   .alarm_time = 0x1112131415161718,
				   .config_later = "[tpm] tcti"};

	set(v.device_id, sizeof(v.device_id), 0x11);
	set(v.owner_id, sizeof(v.owner_id), 0x22);
	set(v.config_mark, sizeof(v.config_mark), 0x33);
	policyd_status_put(w, &v);
}

static void put_pair_status(struct wbuf *w)
{
	struct policyd_pair_status v = {.open = 1,
					.waiting = 1,
					.code = "123 4567",
					.peer_name = "phone",
					.peer_owner = "bob",
					.peer_role = DEVICE_ROLE_PHONE,
					.peer_tier = TPM_TIER_HARDWARE,
					.seconds_left = 119,
					.error = {KCODE_PAIRING, "No."},
					.past = PAIR_PAST_FORGOTTEN,
					.known_there = 1};

	set(v.hash, sizeof(v.hash), 0x33);
	policyd_pair_status_put(w, &v);
}

static void put_peer(struct wbuf *w)
{
	struct policyd_peer v;

	make_peer(&v);
	policyd_peer_put(w, &v);
}

static void put_trust(struct wbuf *w)
{
	struct policyd_trust v = {.pcrs = 1u << 0 | 1u << 23, .versions = "qemu 7.2\nkith 1"};

	make_peer(&v.peer);
	set(v.now[0], HASH_LEN, 0xc0);
	set(v.want[0], HASH_LEN, 0xc1);
	set(v.now[23], HASH_LEN, 0xd0);
	set(v.want[23], HASH_LEN, 0xd1);
	set(v.hash, HASH_LEN, 0xe0);
	policyd_trust_put(w, &v);
}

static void put_plan(struct wbuf *w)
{
	struct policyd_plan v = {.reason = {KCODE_POLICY, "Denied."},
				 .rule = "deny guest move-in",
				 .verdict = VERDICT_STALE,
				 .device = "bobs"};

	policyd_plan_put(w, &v);
}

static void put_audit(struct wbuf *w)
{
	struct policyd_audit v = {.seq = 7,
				  .time = 8,
				  .allowed = 1,
				  .person = "tom",
				  .device = "desk",
				  .vm = "work",
				  .action = "move-out"};

	set(v.hash, sizeof(v.hash), 0xee);
	policyd_audit_put(w, &v);
}

static void put_vm(struct wbuf *w)
{
	struct policyd_vm v = {.name = "work",
			       .epoch = 3,
			       .policy_version = 4,
			       .holder_name = "desk",
			       .open = 1,
			       .doubt = 1};

	set(v.uuid, sizeof(v.uuid), 0x31);
	set(v.holder, sizeof(v.holder), 0x32);
	set(v.hid, sizeof(v.hid), 0x33);
	policyd_vm_put(w, &v);
}

static void put_grant(struct wbuf *w)
{
	struct policyd_grant v = {
		.vm = "work", .epoch = 9, .peer_name = "desk", .rung = MOVE_RUNG_WARM};

	set(v.uuid, sizeof(v.uuid), 0x41);
	set(v.peer, sizeof(v.peer), 0x42);
	set(v.key, sizeof(v.key), 0x43);
	policyd_grant_put(w, &v);
}

static void put_open(struct wbuf *w)
{
	struct policyd_open v = {
		.vm = "work", .epoch = 9, .source = 1, .record = CUSTODY_PREPARED, .started = 1};

	set(v.hid, sizeof(v.hid), 0x51);
	set(v.uuid, sizeof(v.uuid), 0x52);
	set(v.peer, sizeof(v.peer), 0x53);
	policyd_open_put(w, &v);
}

static void put_fence(struct wbuf *w)
{
	struct policyd_fence v = {.name = "work", .peer_name = "desk", .verdict = FENCE_KILL};

	set(v.uuid, sizeof(v.uuid), 0x61);
	policyd_fence_put(w, &v);
}

static void put_letter(struct wbuf *w)
{
	struct policyd_letter v = {.statement = "vote", .len = 4};

	set(v.peer, sizeof(v.peer), 0x62);
	policyd_letter_put(w, &v);
}

static void put_conversation(struct wbuf *w)
{
	struct policyd_conversation v = {.state = CONVERSATION_REFUSED,
					 .error = {KCODE_TIER, "Too low."},
					 .blob = (const uint8_t *)"blob",
					 .len = 4};

	policyd_conversation_put(w, &v);
}

/* Decodes and encodes again: 0, or the decoder's error. */
#define DEFINE_AGAIN(type)                                             \
	static int again_##type(struct rbuf *r, struct wbuf *w)        \
	{                                                              \
		struct policyd_##type v;                               \
		int e;                                                 \
                                                                       \
		memset(&v, 0x5a, sizeof(v));                           \
		e = policyd_##type##_get(r, &v);                       \
		if (e == 0) {                                          \
			policyd_##type##_put(w, &v);                   \
			return 0;                                      \
		}                                                      \
		/* Never clobbered on failure. */                      \
		for (size_t i = 0; i < sizeof(v); i++)                 \
			g_assert_cmpint(((uint8_t *)&v)[i], ==, 0x5a); \
		return e;                                              \
	}

DEFINE_AGAIN(status)
DEFINE_AGAIN(pair_status)
DEFINE_AGAIN(peer)
DEFINE_AGAIN(trust)
DEFINE_AGAIN(plan)
DEFINE_AGAIN(audit)
DEFINE_AGAIN(vm)
DEFINE_AGAIN(grant)
DEFINE_AGAIN(open)
DEFINE_AGAIN(fence)
DEFINE_AGAIN(letter)
DEFINE_AGAIN(conversation)

static const struct {
	const char *name;
	void (*put)(struct wbuf *w);
	int (*again)(struct rbuf *r, struct wbuf *w);
} rows[] = {
	{"status", put_status, again_status},
	{"pair-status", put_pair_status, again_pair_status},
	{"peer", put_peer, again_peer},
	{"trust", put_trust, again_trust},
	{"plan", put_plan, again_plan},
	{"audit", put_audit, again_audit},
	{"vm", put_vm, again_vm},
	{"grant", put_grant, again_grant},
	{"open", put_open, again_open},
	{"fence", put_fence, again_fence},
	{"letter", put_letter, again_letter},
	{"conversation", put_conversation, again_conversation},
};

static void test_golden(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint8_t got[4096], want[4096];
		struct wbuf w = wbuf_init(got, sizeof(got));
		size_t n = golden_read("policyd.txt", rows[i].name, want, sizeof(want));

		rows[i].put(&w);
		g_assert_cmpint(wbuf_error(&w), ==, 0);
		g_test_message("%s: %zu bytes", rows[i].name, w.len);
		g_assert_cmpmem(got, w.len, want, n);
	}
}

static void test_round_trip(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint8_t first[4096], second[4096];
		struct wbuf a = wbuf_init(first, sizeof(first)),
			    b = wbuf_init(second, sizeof(second));
		struct rbuf r;

		rows[i].put(&a);
		r = rbuf_init(first, a.len);
		g_assert_cmpint(rows[i].again(&r, &b), ==, 0);
		g_assert_cmpint(rbuf_end(&r), ==, 0);
		g_assert_cmpint(wbuf_error(&b), ==, 0);
		g_assert_cmpmem(first, a.len, second, b.len);
	}
}

static void test_truncated(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint8_t full[4096], spare[4096];
		struct wbuf a = wbuf_init(full, sizeof(full));

		rows[i].put(&a);
		for (size_t n = 0; n < a.len; n++) {
			/* On the heap, so that a sanitizer sees one byte too many. */
			uint8_t *cut = g_memdup2(full, n);
			struct wbuf b = wbuf_init(spare, sizeof(spare));
			struct rbuf r = rbuf_init(cut, n);

			g_assert_cmpint(rows[i].again(&r, &b), ==, -EBADMSG);
			g_free(cut);
		}
		for (size_t n = 0; n < a.len; n++) {
			uint8_t *small = g_malloc0(n ? n : 1);
			struct wbuf b = wbuf_init(small, n);

			rows[i].put(&b);
			g_assert_cmpint(wbuf_error(&b), ==, -ENOBUFS);
			g_free(small);
		}
	}
}

/* Any single byte changed: refused, or a value that encodes to exactly those bytes. */
static void test_canonical(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint8_t full[4096], out[4096];
		struct wbuf a = wbuf_init(full, sizeof(full));

		rows[i].put(&a);
		for (size_t at = 0; at < a.len * 255; at++) {
			uint8_t old = full[at / 255];
			struct wbuf b = wbuf_init(out, sizeof(out));
			struct rbuf r = rbuf_init(full, a.len);

			full[at / 255] = (uint8_t)(old + 1 + at % 255);
			if (rows[i].again(&r, &b) == 0 && rbuf_end(&r) == 0) {
				g_assert_cmpint(wbuf_error(&b), ==, 0);
				g_assert_cmpmem(full, a.len, out, b.len);
			}
			full[at / 255] = old;
		}
	}
}

static void test_refused_values(void)
{
	uint8_t buf[4096];
	struct wbuf w;
	struct policyd_open o = {.vm = "work"};
	struct policyd_trust t = {0};
	struct policyd_conversation c = {.len = POLICYD_BLOB_MAX + 1};
	struct policyd_vm v = {0};

	w = wbuf_init(buf, sizeof(buf));
	policyd_open_put(&w, &o);
	g_assert_cmpint(wbuf_error(&w), ==, 0);
	o.record = _CUSTODY_RECORD_MAX;
	w = wbuf_init(buf, sizeof(buf));
	policyd_open_put(&w, &o);
	g_assert_cmpint(wbuf_error(&w), ==, -EINVAL);
	o.record = CUSTODY_PREP;
	o.source = 2;
	w = wbuf_init(buf, sizeof(buf));
	policyd_open_put(&w, &o);
	g_assert_cmpint(wbuf_error(&w), ==, -EINVAL);

	t.pcrs = 1u << 24;
	w = wbuf_init(buf, sizeof(buf));
	policyd_trust_put(&w, &t);
	g_assert_cmpint(wbuf_error(&w), ==, -EINVAL);
	w = wbuf_init(buf, sizeof(buf));
	policyd_conversation_put(&w, &c);
	g_assert_cmpint(wbuf_error(&w), ==, -EINVAL);

	g_strlcpy(v.name, "two\nlines", sizeof(v.name));
	w = wbuf_init(buf, sizeof(buf));
	policyd_vm_put(&w, &v);
	g_assert_cmpint(wbuf_error(&w), ==, -EINVAL);
	memset(v.name, 'x', sizeof(v.name));
	w = wbuf_init(buf, sizeof(buf));
	policyd_vm_put(&w, &v);
	g_assert_cmpint(wbuf_error(&w), ==, -EINVAL);
}

/* A sentence that was cut in the middle of a character still arrives. */
static void test_cut_text(void)
{
	uint8_t buf[4096];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct policyd_plan v = {.reason = {KCODE_POLICY, "caf\xc3"}}, back;
	struct rbuf r;

	policyd_plan_put(&w, &v);
	g_assert_cmpint(wbuf_error(&w), ==, 0);
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(policyd_plan_get(&r, &back), ==, 0);
	g_assert_cmpstr(back.reason.text, ==, "caf");
}

static void test_names(void)
{
	for (int i = 0; i < _POLICYD_STATE_MAX; i++)
		g_assert_cmpint(
			policyd_state_from_string(policyd_state_to_string((enum policyd_state)i)),
			==, i);
	for (int i = 0; i < _CUSTODY_RECORD_MAX; i++)
		g_assert_cmpint(custody_record_from_string(
					custody_record_to_string((enum custody_record)i)),
				==, i);
	for (int i = 0; i < _CUSTODY_USE_MAX; i++)
		g_assert_cmpint(custody_use_from_string(custody_use_to_string((enum custody_use)i)),
				==, i);
	g_assert_cmpint(custody_record_from_string("nonsense"), ==, -1);
}

/* As a server writes them, by hand. */
static size_t count_begin(struct wbuf *w)
{
	wbuf_u16(w, 0);
	return w->len - 2;
}

static void count_end(struct wbuf *w, size_t at, size_t count)
{
	w->data[at] = (uint8_t)count;
	w->data[at + 1] = (uint8_t)(count >> 8);
}

static void test_lists(void)
{
	const struct policyd_hid hid = {"0123456789abcde"};
	struct policyd_hid *back;
	uint8_t buf[100];
	struct wbuf w = wbuf_init(buf, sizeof(buf));
	struct record_list list;
	struct rbuf r;
	void *ret;
	size_t n;

	record_list_begin(&list, &w, &policyd_hid_record);
	for (int i = 0; i < 6; i++)
		record_list_add(&list, &hid);
	record_list_end(&list);
	g_assert_cmpint(wbuf_error(&w), ==, 0);
	g_assert_cmpuint(w.len, ==, 2 + 6 * 16);
	g_assert_cmpint(buf[0], ==, 6);
	g_assert_cmpint(buf[1], ==, 0);
	r = rbuf_init(buf, w.len);
	g_assert_cmpint(record_list_get(&r, &policyd_hid_record, &ret, &n), ==, 0);
	g_assert_cmpuint(n, ==, 6);
	back = ret;
	g_assert_cmpmem(back[5].hid, HID_LEN, hid.hid, HID_LEN);
	free(back);
	/* One more has no room, and one too many no number. */
	record_list_add(&list, &hid);
	g_assert_cmpint(wbuf_error(&w), ==, -ENOBUFS);
	w = wbuf_init(buf, sizeof(buf));
	record_list_begin(&list, &w, &policyd_hid_record);
	list.count = 65536;
	record_list_end(&list);
	g_assert_cmpint(wbuf_error(&w), ==, -EINVAL);
}

/* -- The stubs against a server that answers with prepared bytes -- */

struct server {
	char *dir, *path;
	int listen_fd;
	uint16_t op;
	uint8_t request[IPC_MAX_FRAME], reply[IPC_MAX_FRAME];
	size_t request_len, reply_len;
	bool refuse;
	GThread *thread;
	struct ipc_client *client;
};

static gpointer serve(gpointer data)
{
	struct server *s = data;
	int fd = accept(s->listen_fd, NULL, NULL);
	g_autofree uint8_t *buf = g_malloc(IPC_MAX_FRAME);
	struct ipc_msg m;

	while (ipc_recv(fd, buf, &m) == 1) {
		s->op = m.op;
		s->request_len = m.len;
		memcpy(s->request, m.body, m.len);
		if (ipc_send(fd, m.op, IPC_FLAG_REPLY | (s->refuse ? IPC_FLAG_ERROR : 0), m.serial,
			     s->reply, s->reply_len, -1) < 0)
			break;
	}
	close(fd);
	return NULL;
}

static void setup(struct server *s, const void *data _unused_)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	memset(s, 0, sizeof(*s));
	s->dir = g_dir_make_tmp("kith-proto-XXXXXX", NULL);
	s->path = g_build_filename(s->dir, "sock", NULL);
	g_strlcpy(sa.sun_path, s->path, sizeof(sa.sun_path));
	s->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	g_assert_cmpint(bind(s->listen_fd, (struct sockaddr *)&sa, sizeof(sa)), ==, 0);
	g_assert_cmpint(listen(s->listen_fd, 1), ==, 0);
	s->thread = g_thread_new("server", serve, s);
	g_assert_cmpint(ipc_client_new(s->path, &s->client), ==, 0);
}

static void teardown(struct server *s, const void *data _unused_)
{
	ipc_client_free(s->client);
	g_thread_join(s->thread);
	close(s->listen_fd);
	unlink(s->path);
	rmdir(s->dir);
	g_free(s->path);
	g_free(s->dir);
}

static struct wbuf reply(struct server *s)
{
	return wbuf_init(s->reply, sizeof(s->reply));
}

static void check_request(const struct server *s, uint16_t op, const char *golden)
{
	uint8_t want[256];
	size_t n = golden[0] ? golden_parse(golden, want, sizeof(want)) : 0;

	g_assert_cmpint(s->op, ==, op);
	g_assert_cmpmem(s->request, s->request_len, want, n);
}

static void test_stub_values(struct server *s, const void *data _unused_)
{
	uint8_t uuid[UUID_LEN], device[DEVICE_ID_LEN], hid[HID_LEN];
	struct policyd_conversation c;
	struct policyd_status st;
	struct policyd_grant g;
	char key[POLICYD_RECOVERY_KEY_MAX];
	struct policyd_talk talk = {
		.kind = TALK_SESSION, .verb = TALK_STEP, .blob = (const uint8_t *)"xyz", .len = 3};
	struct wbuf w = reply(s);

	set(uuid, sizeof(uuid), 0x61);
	set(device, sizeof(device), 0x62);
	wbuf_bytes(&w, "0123456789abcdef", 16);
	s->reply_len = w.len;
	g_assert_cmpint(
		policyd_client_move_request(s->client, uuid, device, MOVE_RUNG_COLD, hid, NULL), ==,
		0);
	check_request(s, POLICYD_OP_MOVE_REQUEST, "16x61 32x62 03");
	g_assert_cmpmem(hid, HID_LEN, "0123456789abcdef", 16);

	w = reply(s);
	put_status(&w);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_status(s->client, &st, NULL), ==, 0);
	check_request(s, POLICYD_OP_STATUS, "");
	g_assert_cmpint((int)st.state, ==, POLICYD_STATE_LOCKED);
	g_assert_cmpstr(st.name, ==, "laptop");

	memcpy(talk.hid, hid, sizeof(hid));
	memcpy(talk.peer, device, sizeof(device));
	memcpy(talk.exporter, device, sizeof(device));
	w = reply(s);
	put_conversation(&w);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_converse(s->client, &talk, &c, NULL), ==, 0);
	check_request(s, POLICYD_OP_CONVERSE,
		      "01 01 00 30313233343536373839616263646566 64x62 03000000 78797a");
	g_assert_cmpmem(c.blob, c.len, "blob", 4);
	g_assert_cmpint((int)c.error.code, ==, KCODE_TIER);

	w = reply(s);
	put_grant(&w);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_grant_take(s->client, hid, true, &g, NULL), ==, 0);
	check_request(s, POLICYD_OP_GRANT_TAKE, "30313233343536373839616263646566 01");
	g_assert_cmpint(g.key[31], ==, 0x43);

	s->reply_len = 0;
	g_assert_cmpint(policyd_client_custody_check(s->client, uuid, CUSTODY_USE_INCOMING, NULL),
			==, 0);
	check_request(s, POLICYD_OP_CUSTODY_CHECK, "16x61 01");
	w = reply(s);
	wbuf_string(&w, "KEY");
	s->reply_len = w.len;
	g_assert_cmpint(
		policyd_client_pair_open(s->client, PERSON_ROLE_GUEST, 120, true, key, NULL), ==,
		0);
	check_request(s, POLICYD_OP_PAIR_OPEN, "02 78000000 01");
	g_assert_cmpstr(key, ==, "KEY");
}

static void test_stub_lists(struct server *s, const void *data _unused_)
{
	struct policyd_audit *audit = (void *)1;
	struct policyd_peer *peers = NULL;
	struct policyd_open *opens = NULL;
	struct policyd_vm *vms = NULL;
	size_t n = 99, at;
	struct wbuf w = reply(s);

	at = count_begin(&w);
	put_peer(&w);
	put_peer(&w);
	count_end(&w, at, 2);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_peers(s->client, &peers, &n, NULL), ==, 0);
	g_assert_cmpuint(n, ==, 2);
	g_assert_cmpstr(peers[1].name, ==, "desk");
	free(peers);
	/* The count is a lie, or something is left over. */
	for (size_t lie = 0; lie < 4; lie++) {
		struct kerr err = {0};

		if (lie == 2)
			continue;
		count_end(&w, at, lie);
		n = 99;
		g_assert_cmpint(policyd_client_peers(s->client, &peers, &n, &err), ==, -EBADMSG);
		g_assert_cmpint((int)err.code, ==, KCODE_BAD_MESSAGE);
		g_assert_cmpuint(n, ==, 99);
	}
	count_end(&w, at, 65535);
	g_assert_cmpint(policyd_client_peers(s->client, &peers, &n, NULL), ==, -EBADMSG);

	w = reply(s);
	at = count_begin(&w);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_audit_read(s->client, 5, 6, &audit, &n, NULL), ==, 0);
	check_request(s, POLICYD_OP_AUDIT_READ, "0500000000000000 0600");
	g_assert_null(audit);
	g_assert_cmpuint(n, ==, 0);

	put_vm(&w);
	count_end(&w, at, 1);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_vms(s->client, &vms, &n, NULL), ==, 0);
	g_assert_cmpstr(vms[0].name, ==, "work");
	free(vms);

	w = reply(s);
	at = count_begin(&w);
	put_open(&w);
	count_end(&w, at, 1);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_open_list(s->client, &opens, &n, NULL), ==, 0);
	g_assert_cmpint((int)opens[0].record, ==, CUSTODY_PREPARED);
	free(opens);
}

static void test_stub_blobs(struct server *s, const void *data _unused_)
{
	uint8_t uuid[UUID_LEN] = {1}, hid[HID_LEN] = {2}, peer[DEVICE_ID_LEN] = {3};
	uint8_t *a = NULL, *b = NULL;
	struct policyd_policy p = {0};
	size_t a_len, b_len;
	char key[POLICYD_RECOVERY_KEY_MAX];
	uint64_t version = 0;
	struct wbuf w = reply(s);

	wbuf_blob(&w, "leaf", 4);
	wbuf_blob(&w, "device", 6);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_tls_leaf(s->client, "spki", 4, &a, &a_len, &b, &b_len, NULL),
			==, 0);
	g_assert_cmpmem(a, a_len, "leaf", 4);
	g_assert_cmpmem(b, b_len, "device", 6);
	free(a);
	free(b);

	w = reply(s);
	wbuf_blob(&w, NULL, 0);
	s->reply_len = w.len;
	g_assert_cmpint(
		policyd_client_journal(s->client, hid, CUSTODY_DONE, "ack", 3, &a, &a_len, NULL),
		==, 0);
	check_request(s, POLICYD_OP_JOURNAL, "02 15x00 03 03000000 61636b 00");
	g_assert_null(a);
	g_assert_cmpint(policyd_client_custody_step(s->client, peer, "s", 1, &a, &a_len, NULL), ==,
			0);
	check_request(s, POLICYD_OP_CUSTODY_STEP, "03 31x00 01000000 73");

	w = reply(s);
	wbuf_u64(&w, 12);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_policy_set(s->client, uuid, "work", "allow", "\1\2", 2,
						  &version, NULL),
			==, 0);
	g_assert_cmpuint(version, ==, 12);
	wbuf_bytes(&w, peer, HASH_LEN);
	wbuf_string(&w, "work");
	wbuf_blob(&w, "allow\n", 6);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_policy_get(s->client, uuid, &p, NULL), ==, 0);
	g_assert_cmpstr(p.text, ==, "allow\n");
	policyd_policy_clear(&p);
	/* Control bytes of a policy reach no terminal. */
	s->reply[w.len - 2] = 0x1b;
	g_assert_cmpint(policyd_client_policy_get(s->client, uuid, &p, NULL), ==, -EBADMSG);
	s->reply[w.len - 2] = 0;
	g_assert_cmpint(policyd_client_policy_get(s->client, uuid, &p, NULL), ==, -EBADMSG);

	w = reply(s);
	wbuf_string(&w, "ABCD-EFGH");
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_init(s->client, "tom", key, NULL), ==, 0);
	g_assert_cmpstr(key, ==, "ABCD-EFGH");
}

/* Statements that travel outside their hand-off's channel, and the fence. */
static void test_stub_letters(struct server *s, const void *data _unused_)
{
	uint8_t hid[HID_LEN] = {2}, peer[DEVICE_ID_LEN], *blob = NULL;
	struct policyd_letter *letters = NULL;
	struct policyd_fence *fence = NULL;
	struct wbuf w = reply(s);
	size_t n = 99, at, len;

	set(peer, sizeof(peer), 0x62);
	at = count_begin(&w);
	wbuf_bytes(&w, peer, sizeof(peer));
	wbuf_blob(&w, "abort", 5);
	count_end(&w, at, 1);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_custody_outbox(s->client, &letters, &n, NULL), ==, 0);
	check_request(s, POLICYD_OP_CUSTODY_OUTBOX, "");
	g_assert_cmpuint(n, ==, 1);
	g_assert_cmpmem(letters[0].statement, letters[0].len, "abort", 5);
	g_assert_cmpmem(letters[0].peer, DEVICE_ID_LEN, peer, DEVICE_ID_LEN);
	free(letters);
	s->reply_len--;
	g_assert_cmpint(policyd_client_custody_outbox(s->client, &letters, &n, NULL), ==, -EBADMSG);

	w = reply(s);
	wbuf_blob(&w, "ack", 3);
	s->reply_len = w.len;
	g_assert_cmpint(
		policyd_client_release_forward(s->client, hid, "vote", 4, &blob, &len, NULL), ==,
		0);
	check_request(s, POLICYD_OP_JOURNAL, "02 15x00 01 04000000 766f7465 01");
	free(blob);

	for (unsigned verdict = 0; verdict <= _FENCE_VERDICT_MAX; verdict++) {
		int want = verdict < _FENCE_VERDICT_MAX ? 0 : -EBADMSG;

		w = reply(s);
		at = count_begin(&w);
		wbuf_bytes(&w, hid, UUID_LEN);
		wbuf_string(&w, "work");
		wbuf_string(&w, "desktop");
		wbuf_u8(&w, (uint8_t)verdict);
		count_end(&w, at, 1);
		s->reply_len = w.len;
		g_assert_cmpint(policyd_client_fence(s->client, &fence, &n, NULL), ==, want);
		if (want == 0) {
			g_assert_cmpstr(fence[0].peer_name, ==, "desktop");
			g_assert_cmpint((int)fence[0].verdict, ==, (int)verdict);
			free(fence);
		}
	}
}

/* C2: the kind comes with the statement, and none means none. */
static void test_stub_inbox(struct server *s, const void *data _unused_)
{
	enum custody_statement_kind kind = CUSTODY_STATEMENT_VOTE;
	uint8_t hid[HID_LEN] = {2}, *blob = NULL;
	size_t len;

	for (int k = 0; k <= _CUSTODY_STATEMENT_MAX; k++)
		for (size_t n = 0; n <= 3; n += 3) {
			struct wbuf w = reply(s);
			bool fits = k < _CUSTODY_STATEMENT_MAX && (k == 0) == (n == 0);

			wbuf_u8(&w, (uint8_t)k);
			wbuf_blob(&w, "ack", n);
			s->reply_len = w.len;
			g_assert_cmpint(policyd_client_custody_inbox(s->client, hid, &kind, &blob,
								     &len, NULL),
					==, fits ? 0 : -EBADMSG);
			check_request(s, POLICYD_OP_CUSTODY_INBOX, "02 15x00");
			if (!fits)
				continue;
			g_assert_cmpint((int)kind, ==, k);
			g_assert_cmpmem(blob, len, "ack", n);
			free(blob);
		}
	s->reply_len = 0;
	g_assert_cmpint(policyd_client_custody_accept(s->client, hid, "vote", 4, NULL), ==, 0);
	check_request(s, POLICYD_OP_CUSTODY_ACCEPT, "02 15x00 04000000 766f7465");
}

/* What the warden asks and tells (F2), and the owner's word about a VM in doubt (H2). */
static void test_stub_warden(struct server *s, const void *data _unused_)
{
	struct policyd_fence *list = NULL;
	uint8_t uuid[UUID_LEN] = {2};
	struct wbuf w = reply(s);
	uint64_t epoch;
	size_t n, at;

	at = count_begin(&w);
	wbuf_bytes(&w, uuid, UUID_LEN);
	wbuf_string(&w, "work");
	wbuf_string(&w, "desktop");
	wbuf_u8(&w, FENCE_KILL);
	count_end(&w, at, 1);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_ward(s->client, &list, &n, NULL), ==, 0);
	check_request(s, POLICYD_OP_WARD, "");
	g_assert_cmpuint(n, ==, 1);
	g_assert_cmpint((int)list[0].verdict, ==, FENCE_KILL);
	free(list);

	s->reply_len = 0;
	g_assert_cmpint(policyd_client_alarm(s->client, uuid, "awake", NULL), ==, 0);
	check_request(s, POLICYD_OP_ALARM, "02 15x00 0500 6177616b65");

	w = reply(s);
	wbuf_u64(&w, 7);
	s->reply_len = w.len;
	g_assert_cmpint(policyd_client_claim(s->client, uuid, &epoch, NULL), ==, 0);
	check_request(s, POLICYD_OP_CLAIM, "02 15x00");
	g_assert_cmpuint(epoch, ==, 7);
	s->reply_len = 7;
	g_assert_cmpint(policyd_client_claim(s->client, uuid, &epoch, NULL), ==, -EBADMSG);
}

/* Every stub that takes no more than ids, refused by the server and given a wrong reply. */
static void test_stub_refusals(struct server *s, const void *data _unused_)
{
	uint8_t id[DEVICE_ID_LEN] = {1};
	struct policyd_talk talk = {.kind = TALK_PAIRING};
	struct policyd_conversation c;
	struct policyd_pair_status ps;
	char recovery[POLICYD_RECOVERY_KEY_MAX];
	struct policyd_trust t;
	struct policyd_plan p;
	const struct policyd_question q = {.device = {1}, .action = POLICY_ACTION_VIEW};
	bool new_ak;

	for (int lie = 0; lie < 2; lie++) {
		struct wbuf w = reply(s);
		struct kerr why = {KCODE_POLICY, "A rule denies."};
		int want = lie ? -EBADMSG : -EREMOTEIO;

		s->refuse = !lie;
		if (lie)
			wbuf_bytes(&w, "\xff\xff\xff", 3);
		else
			kerr_put(&w, &why);
		s->reply_len = w.len;
#define CHECK(call)                                                                         \
	do {                                                                                \
		struct kerr err = {0};                                                      \
		g_assert_cmpint((call), ==, want);                                          \
		g_assert_cmpint((int)err.code, ==, lie ? KCODE_BAD_MESSAGE : KCODE_POLICY); \
	} while (0)
		CHECK(policyd_client_unlock(s->client, "key", &new_ak, &err));
		CHECK(policyd_client_recovery_renew(s->client, recovery, &err));
		CHECK(policyd_client_recovery_shown(s->client, &err));
		CHECK(policyd_client_pair_close(s->client, &err));
		CHECK(policyd_client_pair_status(s->client, &ps, &err));
		CHECK(policyd_client_pair_confirm(s->client, id, true, &err));
		CHECK(policyd_client_trust_show(s->client, id, &t, &err));
		CHECK(policyd_client_trust_accept(s->client, id, id, &err));
		CHECK(policyd_client_peer_forget(s->client, id, &err));
		CHECK(policyd_client_peer_receive(s->client, id, true, &err));
		CHECK(policyd_client_plan(s->client, id, id, &p, &err));
		CHECK(policyd_client_why(s->client, &q, &p, &err));
		CHECK(policyd_client_abort_request(s->client, id, &err));
		for (unsigned verb = 0; verb < _TALK_VERB_MAX; verb++) {
			talk.verb = (enum talk_verb)verb;
			CHECK(policyd_client_converse(s->client, &talk, &c, &err));
		}
		CHECK(policyd_client_abort_allowed(s->client, id, &err));
		CHECK(policyd_client_requote(s->client, id, &err));
	}
}

/* Too long for a request: nothing is sent. */
static void test_stub_limits(struct server *s, const void *data _unused_)
{
	g_autofree char *text = g_strnfill(POLICYD_POLICY_MAX + 1, 'x');
	g_autofree uint8_t *blob = g_malloc0(POLICYD_BLOB_MAX + 1);
	struct policyd_talk talk = {
		.kind = TALK_PAIRING, .verb = TALK_STEP, .blob = blob, .len = POLICYD_BLOB_MAX + 1};
	struct policyd_conversation c;
	struct kerr err = {0};
	uint8_t id[DEVICE_ID_LEN] = {0};
	uint64_t version;
	bool new_ak;

	g_assert_cmpint(
		policyd_client_policy_set(s->client, id, "work", text, NULL, 0, &version, &err), ==,
		-EMSGSIZE);
	g_assert_cmpint((int)err.code, ==, KCODE_USAGE);
	g_assert_cmpint(policyd_client_converse(s->client, &talk, &c, NULL), ==, -EMSGSIZE);
	g_assert_cmpint(policyd_client_unlock(s->client, text, &new_ak, NULL), ==, -EMSGSIZE);
	g_assert_cmpint(s->op, ==, 0);
	/* And the longest that is allowed gets through. */
	{
		struct wbuf w = reply(s);

		put_conversation(&w);
		s->reply_len = w.len;
	}
	talk.len = POLICYD_BLOB_MAX;
	g_assert_cmpint(policyd_client_converse(s->client, &talk, &c, NULL), ==, 0);
	g_assert_cmpuint(s->request_len, ==,
			 3 + HID_LEN + DEVICE_ID_LEN + EXPORTER_LEN + 4 + POLICYD_BLOB_MAX);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_test_add_func("/policyd-proto/golden bytes", test_golden);
	g_test_add_func("/policyd-proto/round trip", test_round_trip);
	g_test_add_func("/policyd-proto/cut at every byte", test_truncated);
	g_test_add_func("/policyd-proto/one form for each value", test_canonical);
	g_test_add_func("/policyd-proto/values that the reader refuses", test_refused_values);
	g_test_add_func("/policyd-proto/a cut sentence arrives", test_cut_text);
	g_test_add_func("/policyd-proto/names", test_names);
	g_test_add_func("/policyd-proto/lists that are full", test_lists);
#define ADD(name, fn) g_test_add(name, struct server, NULL, setup, fn, teardown)
	ADD("/policyd-proto/stubs with values", test_stub_values);
	ADD("/policyd-proto/stubs with lists", test_stub_lists);
	ADD("/policyd-proto/stubs with blobs", test_stub_blobs);
	ADD("/policyd-proto/stubs with letters and fence", test_stub_letters);
	ADD("/policyd-proto/C2 the inbox names the kind", test_stub_inbox);
	ADD("/policyd-proto/F2 H2 stubs of warden and claim", test_stub_warden);
	ADD("/policyd-proto/stubs refused or lied to", test_stub_refusals);
	ADD("/policyd-proto/stubs keep the limits", test_stub_limits);
	return g_test_run();
}
