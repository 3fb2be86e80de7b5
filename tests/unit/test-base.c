/* SPDX-License-Identifier: Apache-2.0 */
/* base/: cursors, text, IPC frames and op tables, configuration, files, secrets, errors. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/advice.h"
#include "base/box.h"
#include "base/buf.h"
#include "base/config.h"
#include "base/file.h"
#include "base/ipc-client.h"
#include "base/notify.h"
#include "base/secret.h"

static void test_cursor_round_trip(void)
{
	uint8_t b[64];
	struct wbuf w = wbuf_init(b, sizeof(b));
	struct rbuf r;
	char text[16];
	size_t n;

	wbuf_u8(&w, 1);
	wbuf_u16(&w, 0x0203);
	wbuf_u32(&w, 0x04050607);
	wbuf_u64(&w, UINT64_MAX - 1);
	wbuf_string(&w, "grüße");
	wbuf_blob(&w, "xyz", 3);
	g_assert_cmpint(wbuf_error(&w), ==, 0);
	g_assert_cmpint(b[1], ==, 3); /* little-endian */
	r = rbuf_init(b, w.len);
	g_assert_cmpuint(rbuf_u8(&r), ==, 1);
	g_assert_cmpuint(rbuf_u16(&r), ==, 0x0203);
	g_assert_cmpuint(rbuf_u32(&r), ==, 0x04050607);
	g_assert_cmpuint(rbuf_u64(&r), ==, UINT64_MAX - 1);
	rbuf_string(&r, text, sizeof(text));
	g_assert_cmpstr(text, ==, "grüße");
	g_assert_cmpmem(rbuf_blob(&r, 8, &n), n, "xyz", 3);
	g_assert_cmpint(rbuf_end(&r), ==, 0);
}

static void test_n1_cursor_bounds(void)
{
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 1, 2};
	struct rbuf r = rbuf_init(huge, sizeof(huge));
	uint8_t small[3];
	struct wbuf w = wbuf_init(small, sizeof(small));
	size_t n = 99;

	g_assert_null(rbuf_blob(&r, SIZE_MAX, &n));
	g_assert_cmpuint(n, ==, 0);
	g_assert_cmpint(rbuf_end(&r), ==, -EBADMSG);
	g_assert_cmpuint(rbuf_u8(&r), ==, 0); /* the failure sticks */
	wbuf_u32(&w, 7);
	wbuf_u8(&w, 7);
	g_assert_cmpint(wbuf_error(&w), ==, -ENOBUFS);
	g_assert_cmpuint(w.len, ==, 0);
	r = rbuf_init(huge, sizeof(huge));
	rbuf_u32(&r);
	g_assert_cmpint(rbuf_end(&r), ==, -EBADMSG); /* left-over bytes */
}

static void test_n9_text(void)
{
	static const char *const bad[] = {
		"\x1b[31m",	    "a\rb",	    "\xc3",	"\xc0\x80", "\xed\xa0\x80",
		"\xf5\x80\x80\x80", "\xe0\x80\x80", "\xc2\x9b", "\x7f",	    "\xff",
	};

	g_assert_true(text_is_clean("tab\tand\nline, ü, 日本, 😀"));
	g_assert_true(text_is_name("laptop", 63));
	g_assert_false(text_is_name("two\nlines", 63));
	g_assert_false(text_is_name("", 63));
	g_assert_false(text_is_name("long", 3));
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct kerr err = {0};

		g_assert_false(text_is_clean(bad[i]));
		/* In a sentence it is mended, wherever it stands; the rest stays. */
		kerr_set(&err, EIO, KCODE_FAILED, "libvirt says: %s, ü. %s", bad[i], bad[i]);
		g_test_message("%s", err.text);
		g_assert_true(text_is_clean(err.text));
		g_assert_true(g_str_has_prefix(err.text, "libvirt says: "));
		g_assert_nonnull(strstr(err.text, ", ü. "));
	}
}

/* What is on the screen must be what the name says; each row beside a twin that passes. */
static void test_d_names(void)
{
	static const char *const free_bad[] = {
		"a\xd8\x9c",
		"a\xe2\x80\x8e",
		"a\xe2\x80\xae"
		"b",
		"\xe2\x81\xa6x",
		"\xe2\x81\xa9",
	};
	static const char *const bad[] = {
		"a\xc2\xad"
		"b",		 /* soft hyphen */
		"a\xe2\x80\x8b", /* zero width space */
		"\xe2\x80\x8d",	 /* joiner */
		"a\xe2\x80\xa8"
		"b",		     /* line separator */
		"a\xef\xbb\xbf",     /* byte order mark */
		"a\xe1\xa0\x8e",     /* Mongolian separator */
		"a\xf0\x91\x82\xbd", /* U+110BD */
		"a\xf3\xa0\x80\x81", /* language tag */
		"a\xf3\xa0\x81\xbf", /* cancel tag */
		"\xcc\x80"
		"a",			     /* a mark on nothing */
		"a\xcc\x80\xcc\x80\xcc\x80", /* three on one letter */
		"a\xe2\x83\x9d\xef\xb8\xa0\xe1\xb7\x80",
	};
	static const char *const good[] = {
		"Zoe\xcc\x88",
		"a\xcc\x80\xcc\x81"
		"b\xcc\x80",
		"\xd9\x84\xd8\xa7\xd8\xa8",
		"\xe2\x80\xa6",
		"\xe2\x81\x91",
		"\xf0\x9f\x98\x80",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(free_bad); i++) {
		g_assert_false(text_is_name(free_bad[i], 63));
		g_assert_false(text_is_clean(free_bad[i]));
	}
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_assert_false(text_is_name(bad[i], 63));
		g_assert_true(text_is_clean(bad[i]));
	}
	for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
		g_assert_true(text_is_name(good[i], 63));
		g_assert_true(text_is_clean(good[i]));
	}
}

static void test_hex(void)
{
	uint8_t b[3];
	char text[7];

	g_assert_cmpint(hex_decode("00fFa1", b, 3), ==, 0);
	hex_encode(b, 3, text);
	g_assert_cmpstr(text, ==, "00ffa1");
	g_assert_cmpint(hex_decode("00ffa", b, 3), ==, -EBADMSG);
	g_assert_cmpint(hex_decode("00ffag", b, 3), ==, -EBADMSG);
}

static int handle_nothing(void *ctx _unused_, struct ipc_msg *msg _unused_, struct rbuf *r _unused_,
			  struct wbuf *w _unused_, struct kerr *err _unused_)
{
	return 0;
}

static void test_op_table(void)
{
	static const struct ipc_op table[] = {{7, "seven", 2, 4, false, handle_nothing}};
	struct ipc_msg good = {.op = 7, .len = 4, .fd = -EBADF};
	struct ipc_msg bad = good;
	struct kerr err = {0};

	g_assert_nonnull(ipc_op_check(table, 1, 2 | 1, &good, &err));
	g_assert_null(ipc_op_check(table, 1, 1, &good, &err));
	g_assert_cmpint(err.code, ==, KCODE_NOT_ALLOWED);
	kerr_clear(&err);
	bad.len = 5;
	g_assert_null(ipc_op_check(table, 1, 2, &bad, &err));
	g_assert_cmpint(err.code, ==, KCODE_BAD_MESSAGE);
	bad = good;
	bad.fd = 0;
	g_assert_null(ipc_op_check(table, 1, 2, &bad, NULL));
	bad = good;
	bad.op = 8;
	g_assert_null(ipc_op_check(table, 1, 2, &bad, NULL));
}

static void test_ipc_frames(void)
{
	static uint8_t buf[IPC_MAX_FRAME];
	uint8_t frame[IPC_HEADER_LEN + 2];
	struct ipc_msg m;
	int sv[2], fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), ==, 0);
	g_assert_cmpint(ipc_send(sv[0], 5, IPC_FLAG_EVENT, 9, "hi", 2, fd), ==, 0);
	g_assert_cmpint(ipc_recv(sv[1], buf, &m), ==, 1);
	g_assert_cmpuint(m.op, ==, 5);
	g_assert_cmpuint(m.serial, ==, 9);
	g_assert_cmpmem(m.body, m.len, "hi", 2);
	g_assert_cmpint(fcntl(m.fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
	memcpy(frame, buf, sizeof(frame));
	ipc_msg_release(&m);
	g_assert_cmpint(fcntl(m.fd, F_GETFD), ==, -1);
	/* The same bytes parse; every cut and every flipped header bit that matters does not. */
	g_assert_cmpint(ipc_parse(frame, sizeof(frame), &m), ==, 0);
	for (size_t cut = 0; cut < sizeof(frame); cut++)
		g_assert_cmpint(ipc_parse(frame, cut, &m), ==, -EBADMSG);
	frame[0] ^= 1;
	g_assert_cmpint(ipc_parse(frame, sizeof(frame), &m), ==, -EBADMSG);
	frame[0] ^= 1;
	frame[16] ^= 1;
	g_assert_cmpint(ipc_parse(frame, sizeof(frame), &m), ==, -EBADMSG);
	g_assert_cmpint(ipc_send(sv[0], 5, 0, 0, buf, IPC_MAX_BODY + 1, -1), ==, -EMSGSIZE);
	close(sv[0]);
	g_assert_cmpint(ipc_recv(sv[1], buf, &m), ==, 0);
	close(sv[1]);
	close(fd);
}

static gpointer answer_once(gpointer data)
{
	static uint8_t buf[IPC_MAX_FRAME];
	int listen_fd = GPOINTER_TO_INT(data), fd = -1;
	struct kerr refusal = {KCODE_BUSY, "Later."};
	uint8_t body[600];
	struct wbuf w = wbuf_init(body, sizeof(body));
	struct ipc_peer peer;
	struct ipc_msg m;

	while (ipc_accept(listen_fd, &peer, &fd) == -EAGAIN)
		g_usleep(1000);
	g_assert_cmpuint(peer.uid, ==, getuid());
	kerr_put(&w, &refusal);
	for (int i = 0; i < 2; i++) {
		while (ipc_recv(fd, buf, &m) == -EAGAIN)
			g_usleep(1000);
		ipc_send(fd, 99, IPC_FLAG_EVENT, 0, NULL, 0, -1); /* noise */
		if (i == 0)
			ipc_send(fd, m.op, IPC_FLAG_REPLY, m.serial, "\x2a", 1, -1);
		else
			ipc_send(fd, m.op, IPC_FLAG_REPLY | IPC_FLAG_ERROR, m.serial, body, w.len,
				 -1);
	}
	close(fd);
	return NULL;
}

static void test_ipc_call(void)
{
	g_autofree char *dir = g_dir_make_tmp("kith-test-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(dir, "sock", NULL);
	_cleanup_(ipc_client_freep) struct ipc_client *c = NULL;
	struct kerr err = {0};
	struct stat st;
	struct rbuf r;
	GThread *thread;
	int fd;

	g_assert_cmpint(ipc_listen(path, 0600, &fd), ==, 0);
	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 0777, ==, 0600);
	thread = g_thread_new("server", answer_once, GINT_TO_POINTER(fd));
	g_assert_cmpint(ipc_client_new(path, &c), ==, 0);
	g_assert_cmpint(ipc_call(c, 3, NULL, 5000, &r, &err), ==, 0);
	g_assert_cmpuint(rbuf_u8(&r), ==, 42);
	g_assert_cmpint(ipc_call(c, 3, NULL, 5000, &r, &err), ==, -EREMOTEIO);
	g_assert_cmpint(err.code, ==, KCODE_BUSY);
	g_assert_cmpstr(err.text, ==, "Later.");
	g_thread_join(thread);
	kerr_clear(&err);
	g_assert_cmpint(ipc_call(c, 3, NULL, 5000, &r, &err), ==, -ECONNRESET);
	g_assert_cmpint(err.code, ==, KCODE_INTERRUPTED);
	close(fd);
	g_unlink(path);
	g_rmdir(dir);
}

static void test_config(void)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"[device]\nnam = x\n", "Line 2"},
		{"name = x\n", "Line 1"},
		{"[device]\nrole = toaster\n", "phone, laptop, desktop or server"},
		{"[peer]\nport = 0\n", "a TCP port"},
		{"[peer]\nport = 70000\n", "a TCP port"},
		{"[peer]\nport = 12x\n", "a TCP port"},
		{"[tpm]\npcrs = 0,16\n", "not 16 or 23"},
		{"[tpm]\npcrs = 24\n", "PCR numbers"},
		{"[paths]\nstate = relative\n", "an absolute path"},
		{"[device\n", "not closed"},
		{"nonsense\n", "neither"},
	};
	struct config c;
	struct kerr err = {0};

	g_assert_cmpint(config_parse("# nothing\n", &c, &err), ==, 0);
	g_assert_cmpuint(c.port, ==, 4747);
	g_assert_cmpint(config_parse("[device]\nname = my laptop\nrole=desktop\n[tpm]\npcrs = 0,7\n"
				     "[peer]\nport = 1234\n[trust]\nmax_age = 60\n",
				     &c, &err),
			==, 0);
	g_assert_cmpstr(c.name, ==, "my laptop");
	g_assert_cmpint(c.role, ==, DEVICE_ROLE_DESKTOP);
	g_assert_cmpuint(c.pcrs, ==, 1 << 0 | 1 << 7);
	g_assert_cmpuint(c.port, ==, 1234);
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		kerr_clear(&err);
		g_assert_cmpint(config_parse(bad[i].text, &c, &err), <, 0);
		g_assert_cmpint(err.code, ==, KCODE_USAGE);
		g_assert_nonnull(strstr(err.text, bad[i].says));
	}
	/* What must go on has the lines that are right, before and behind the first fault. */
	kerr_clear(&err);
	g_assert_cmpint(config_parse("[peer]\nport = 12\nprot = 13\n[paths]\nstate = /srv/kith\n"
				     "run = relative\n",
				     &c, &err),
			<, 0);
	g_assert_nonnull(strstr(err.text, "Line 3"));
	g_assert_cmpuint(c.port, ==, 12);
	g_assert_cmpstr(c.state, ==, "/srv/kith");
	g_assert_cmpstr(c.run, ==, "/run/kith");
}

/* Somebody who neither answers nor, once his queue is full, lets in. */
static void test_ipc_patience(void)
{
	g_autofree char *dir = g_dir_make_tmp("kith-test-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(dir, "s", NULL);
	_cleanup_close_ int listener = -EBADF;
	_cleanup_(ipc_client_freep) struct ipc_client *c = NULL, *late = NULL;
	GArray *waiting = g_array_new(FALSE, FALSE, sizeof(int));
	struct kerr err = {0};
	struct sockaddr_un sa;
	struct rbuf r;
	int fd;

	g_assert_cmpint(ipc_listen(path, 0600, &listener), ==, 0);
	g_assert_cmpint(ipc_client_patient(path, 50, &c), ==, 0);
	g_assert_cmpint(ipc_call(c, 3, NULL, 60000, &r, &err), ==, -ETIMEDOUT);
	g_assert_cmpint(err.code, ==, KCODE_INTERRUPTED);
	g_assert_cmpint(ipc_address(path, &sa), ==, 0);
	for (;;) {
		fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
			break;
		g_array_append_val(waiting, fd);
	}
	close(fd);
	g_assert_cmpuint(waiting->len, >, 0);
	g_assert_cmpint(ipc_client_patient(path, 50, &late), ==, -EAGAIN);
	g_assert_null(late);
	for (guint i = 0; i < waiting->len; i++)
		close(g_array_index(waiting, int, i));
	g_array_free(waiting, TRUE);
	unlink(path);
	rmdir(dir);
}

/* What systemd would read next from our socket; "" = nothing. */
static const char *heard(int fd)
{
	static char text[256];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void test_notify(void)
{
	g_autofree char *dir = g_dir_make_tmp("kith-test-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(dir, "notify", NULL);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;

	g_assert_cmpint(ipc_address(path, &sa), ==, 0);
	g_assert_cmpint(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), ==, 0);
	g_setenv("NOTIFY_SOCKET", path, TRUE);
	g_setenv("WATCHDOG_USEC", "300000", TRUE);
	g_assert_cmpint(notify_turn(-1, "locked"), <=, 100);
	g_assert_cmpstr(heard(fd), ==, "READY=1\nSTATUS=locked");
	g_assert_cmpstr(heard(fd), ==, "WATCHDOG=1");
	/* Children must not speak in our name. */
	g_assert_null(g_getenv("NOTIFY_SOCKET"));
	g_assert_cmpint(notify_turn(7, "locked"), <=, 7);
	g_assert_cmpstr(heard(fd), ==, "");
	notify_turn(-1, "ready");
	g_assert_cmpstr(heard(fd), ==, "STATUS=ready");
	g_usleep(110000);
	notify_turn(-1, "ready");
	g_assert_cmpstr(heard(fd), ==, "WATCHDOG=1");
	g_assert_cmpstr(heard(fd), ==, "");
	unlink(path);
	rmdir(dir);
}

static void test_d1_file(void)
{
	g_autofree char *dir = g_dir_make_tmp("kith-test-XXXXXX", NULL);
	_cleanup_close_ int dirfd = -1;
	_cleanup_free_ uint8_t *data = NULL;
	struct stat st;
	size_t len;

	g_assert_cmpint(dir_open(dir, 0700, &dirfd), ==, 0);
	g_assert_cmpint(file_write_atomic(dirfd, "f", "old", 3, 0600), ==, 0);
	umask(0077);
	g_assert_cmpint(file_write_atomic(dirfd, "f", "newer", 5, 0644), ==, 0);
	g_assert_cmpint(fstatat(dirfd, "f", &st, 0), ==, 0);
	g_assert_cmpint(st.st_mode & 0777, ==, 0644);
	g_assert_cmpint(file_read(dirfd, "f", 5, &data, &len), ==, 0);
	g_assert_cmpmem(data, len, "newer", 5);
	g_assert_cmpint(file_read(dirfd, "f", 4, &data, &len), ==, -EFBIG);
	g_assert_cmpint(file_read(dirfd, "absent", 4, &data, &len), ==, -ENOENT);
	g_assert_cmpint(symlinkat("f", dirfd, "link"), ==, 0);
	g_assert_cmpint(file_read(dirfd, "link", 5, &data, &len), ==, -ELOOP);
	unlinkat(dirfd, "link", 0);
	unlinkat(dirfd, "f", 0);
	/* Nothing else was left behind. */
	g_assert_cmpint(g_rmdir(dir), ==, 0);
}

static void test_kerr(void)
{
	struct kerr err = {0}, back;
	uint8_t b[600];
	struct wbuf w = wbuf_init(b, sizeof(b));
	struct rbuf r;

	g_assert_cmpint(kerr_set(&err, EACCES, KCODE_POLICY, "No %s.", "way"), ==, -EACCES);
	kerr_set(&err, EIO, KCODE_TPM, "Later cause.");
	g_assert_cmpint(err.code, ==, KCODE_POLICY);
	g_assert_cmpstr(err.text, ==, "No way.");
	g_assert_cmpint(kcode_exit_status(KCODE_POLICY), ==, 3);
	kerr_put(&w, &err);
	r = rbuf_init(b, w.len);
	g_assert_cmpint(kerr_get(&r, &back), ==, 0);
	g_assert_cmpstr(back.text, ==, err.text);
	b[0] = 0xff;
	r = rbuf_init(b, w.len);
	g_assert_cmpint(kerr_get(&r, &back), ==, -EBADMSG);
	w = wbuf_init(b, sizeof(b));
	g_assert_cmpint(kerr_put(&w, &(struct kerr){_KCODE_MAX, "No."}), ==, -EINVAL);
	/* Too long: cut between two characters, whatever their width. */
	for (int pad = 0; pad < 8; pad++) {
		kerr_clear(&err);
		kerr_set(&err, EIO, KCODE_FAILED, "%*s%0*d%s", pad, "", KERR_TEXT_MAX - 12, 0,
			 "äöü日本語😀😀");
		g_assert_cmpuint(strlen(err.text), >, KERR_TEXT_MAX - 6);
		g_assert_true(text_is_clean(err.text));
	}
	for (int i = 0; i < _KCODE_MAX; i++) {
		g_assert_cmpint(kcode_from_string(kcode_to_string((enum kcode)i)), ==, i);
		g_assert_nonnull(kcode_next_step((enum kcode)i));
		g_assert_cmpint(kcode_exit_status((enum kcode)i) == 0, ==, i == KCODE_OK);
	}
}

static void test_secret(void)
{
	_cleanup_secret_ struct secret s = SECRET_INIT;

	g_assert_cmpint(secret_from("abc", 3, &s), ==, 0);
	g_assert_cmpmem(s.data, s.len, "abc", 3);
	secret_clear(&s);
	g_assert_null(s.data);
}

/* -- The box -- */

static void test_box(void)
{
	static const size_t sizes[] = {0, 1, 4096, 3 << 20};
	uint8_t key[BOX_KEY_LEN];

	randombytes_buf(key, sizeof(key));
	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		size_t n = sizes[i], len = n + BOX_OVERHEAD;
		g_autofree uint8_t *plain = g_malloc(n + 1), *back = g_malloc(n + 1);
		g_autofree uint8_t *box = g_malloc(len), *other = g_malloc(len);

		randombytes_buf(plain, n);
		box_seal(key, "store", 5, plain, n, box);
		box_seal(key, "store", 5, plain, n, other);
		g_assert_cmpint(memcmp(box, other, len), !=, 0); /* fresh nonce */
		g_assert_cmpint(box_open(key, "store", 5, box, len, back), ==, 0);
		g_assert_cmpint(memcmp(plain, back, n), ==, 0);
	}
}

/* D3: 10,000 random flips, every truncation, other context, other key, nonce and all. */
static void test_box_refuses(void)
{
	uint8_t key[BOX_KEY_LEN], other[BOX_KEY_LEN];
	uint8_t plain[500] = "policy", back[500], zero[500] = {0};
	uint8_t file[8 + sizeof(plain) + BOX_OVERHEAD] = "header";
	uint8_t *box = file + 8;
	size_t aad = 8 + BOX_NONCE_LEN, len = sizeof(file) - 8;

	randombytes_buf(key, sizeof(key));
	randombytes_buf(other, sizeof(other));
	box_seal(key, file, aad, plain, sizeof(plain), box);
	for (int i = 0; i < 10000; i++) {
		uint32_t bit = randombytes_uniform(sizeof(file) * 8);

		memset(back, 1, sizeof(back));
		file[bit / 8] ^= (uint8_t)(1 << bit % 8);
		g_assert_cmpint(box_open(key, file, aad, box, len, back), ==, -EBADMSG);
		file[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	g_assert_cmpmem(back, sizeof(back), zero, sizeof(zero));
	for (size_t cut = 0; cut < len; cut++)
		g_assert_cmpint(box_open(key, file, aad, box, cut, back), ==, -EBADMSG);
	g_assert_cmpint(box_open(key, file, aad - 1, box, len, back), ==, -EBADMSG);
	g_assert_cmpint(box_open(key, file, aad + 1, box, len, back), ==, -EBADMSG);
	g_assert_cmpint(box_open(key, NULL, 0, box, len, back), ==, -EBADMSG);
	g_assert_cmpint(box_open(other, file, aad, box, len, back), ==, -EBADMSG);
	g_assert_cmpint(box_open(key, file, aad, box, len, back), ==, 0);
	g_assert_cmpmem(back, sizeof(back), plain, sizeof(plain));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(secret_process_setup(), ==, 0);
	g_test_add_func("/base/systemd hears of ready, status and watchdog", test_notify);
	g_test_add_func("/base/cursor round trip", test_cursor_round_trip);
	g_test_add_func("/base/N1 cursors never pass their bounds", test_n1_cursor_bounds);
	g_test_add_func("/base/N9 control bytes are no text", test_n9_text);
	g_test_add_func("/base/D names have no format characters", test_d_names);
	g_test_add_func("/base/hex", test_hex);
	g_test_add_func("/base/op table refuses by caller, size, descriptor", test_op_table);
	g_test_add_func("/base/ipc frames", test_ipc_frames);
	g_test_add_func("/base/ipc call, refusal and lost server", test_ipc_call);
	g_test_add_func("/base/N10 ipc gives up in time, also before a full queue",
			test_ipc_patience);
	g_test_add_func("/base/config says line and what it expects", test_config);
	g_test_add_func("/base/D1 files are old or new", test_d1_file);
	g_test_add_func("/base/errors", test_kerr);
	g_test_add_func("/base/secrets", test_secret);
	g_test_add_func("/base/box round trip", test_box);
	g_test_add_func("/base/D3 box refuses every change", test_box_refuses);
	return g_test_run();
}
