/* SPDX-License-Identifier: Apache-2.0 */
/* Data channels: who may speak, what a changed bit does (H11), downgrade (B11), the relay (H18). */
#include <fcntl.h>
#include <glib.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "mover/relay.h"
#include "mover/tls.h"

static const uint8_t HID[HID_LEN] = {1, 2, 3}, HID2[HID_LEN] = {1, 2, 4};
static const uint8_t KEY[TLS_KEY_LEN] = {9}, KEY2[TLS_KEY_LEN] = {8};

static void pair(int fd[2])
{
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), ==,
			0);
}

/* Turns both ends until they are done; what each said last. */
static void shake(struct tls *c, struct tls *s, int *rc, int *rs)
{
	*rc = *rs = 0;
	for (int i = 0; i < 20 && (*rc == 0 || *rs == 0); i++) {
		if (*rc == 0)
			*rc = tls_handshake(c);
		if (*rs == 0)
			*rs = tls_handshake(s);
	}
}

static void make(struct tls **c, struct tls **s)
{
	int fd[2];

	pair(fd);
	g_assert_cmpint(tls_new(true, HID, 1, KEY, fd[0], c), ==, 0);
	g_assert_cmpint(tls_new(false, HID, 1, KEY, fd[1], s), ==, 0);
}

static void test_talk(void)
{
	struct tls *c, *s;
	char buf[64];
	int rc, rs;

	make(&c, &s);
	shake(c, s, &rc, &rs);
	g_assert_cmpint(rc, ==, 1);
	g_assert_cmpint(rs, ==, 1);
	g_assert_cmpint(tls_read(s, buf, sizeof(buf)), ==, -EAGAIN);
	g_assert_cmpint(tls_read_events(s), ==, POLLIN);
	g_assert_cmpint(tls_write(c, "hello", 5), ==, 5);
	g_assert_cmpint(tls_read(s, buf, sizeof(buf)), ==, 5);
	g_assert_cmpmem(buf, 5, "hello", 5);
	/* Half closed: the other direction goes on. */
	g_assert_cmpint(tls_close_write(c), ==, 0);
	g_assert_cmpint(tls_read(s, buf, sizeof(buf)), ==, 0);
	g_assert_cmpint(tls_write(s, "late", 4), ==, 4);
	g_assert_cmpint(tls_read(c, buf, sizeof(buf)), ==, 4);
	tls_free(c);
	tls_free(s);
}

static void test_refused(const uint8_t *hid, uint16_t channel, const uint8_t *key)
{
	struct tls *c, *s;
	int fd[2], rc, rs;

	pair(fd);
	g_assert_cmpint(tls_new(true, HID, 1, KEY, fd[0], &c), ==, 0);
	g_assert_cmpint(tls_new(false, hid, channel, key, fd[1], &s), ==, 0);
	shake(c, s, &rc, &rs);
	g_assert_cmpint(rc, <, 0);
	g_assert_cmpint(rs, ==, -EACCES);
	tls_free(c);
	tls_free(s);
}

static void test_wrong_key(void)
{
	test_refused(HID, 1, KEY2);
}

static void test_wrong_channel(void)
{
	test_refused(HID, 2, KEY);
}

static void test_wrong_handoff(void)
{
	test_refused(HID2, 1, KEY);
}

static void test_keys(void)
{
	uint8_t a[TLS_KEY_LEN], b[TLS_KEY_LEN], again[TLS_KEY_LEN];
	/* BLAKE2b-256, key = 32 x 0x09 0 0..., input = "kith-data-v1" 01 00 */
	uint8_t want[TLS_KEY_LEN], text[14] = "kith-data-v1\x01";

	g_assert_cmpint(tls_channel_key(KEY, 1, a), ==, 0);
	g_assert_cmpint(tls_channel_key(KEY, 256, b), ==, 0);
	g_assert_cmpint(tls_channel_key(KEY, 1, again), ==, 0);
	crypto_generichash(want, sizeof(want), text, sizeof(text), KEY, sizeof(KEY));
	g_assert_cmpmem(a, sizeof(a), want, sizeof(want));
	g_assert_cmpmem(a, sizeof(a), again, sizeof(again));
	g_assert_true(memcmp(a, b, sizeof(a)) != 0);
}

/* A client or server that was made with OpenSSL directly, to be everything that ours is not. */
static int foreign(bool client, int fd, void (*tune)(SSL_CTX *ctx), struct tls *ours)
{
	SSL_CTX *ctx = SSL_CTX_new(client ? TLS_client_method() : TLS_server_method());
	SSL *ssl;
	int r = 0;

	if (tune)
		tune(ctx);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	if (client)
		SSL_set_connect_state(ssl);
	else
		SSL_set_accept_state(ssl);
	for (int i = 0; i < 20 && r == 0; i++) {
		SSL_do_handshake(ssl);
		r = tls_handshake(ours);
	}
	g_assert_false(SSL_is_init_finished(ssl) && r == 1);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return r;
}

static void old_protocol(SSL_CTX *ctx)
{
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
}

static void other_suite(SSL_CTX *ctx)
{
	SSL_CTX_set_ciphersuites(ctx, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256");
}

static void with_certificate(SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_sign(cert, key, EVP_sha256());
	g_assert_cmpint(SSL_CTX_use_certificate(ctx, cert), ==, 1);
	g_assert_cmpint(SSL_CTX_use_PrivateKey(ctx, key), ==, 1);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void check_foreign(bool client, void (*tune)(SSL_CTX *ctx))
{
	struct tls *ours;
	int fd[2];

	pair(fd);
	g_assert_cmpint(tls_new(!client, HID, 1, KEY, fd[0], &ours), ==, 0);
	g_assert_cmpint(foreign(client, fd[1], tune, ours), <, 0);
	tls_free(ours);
	close(fd[1]);
}

static void test_downgrade(void)
{
	check_foreign(true, old_protocol);
	check_foreign(true, other_suite);
	check_foreign(true, NULL); /* right protocol, no PSK */
	check_foreign(false, old_protocol);
}

/* A machine in between with any certificate it likes. */
static void test_certificate(void)
{
	check_foreign(false, with_certificate);
}

/* -- the relay -- */

struct bench {
	int net[2], wake, listener;
	char *dir, *path;
	struct relay *s, *d;
	int app_s, app_d; /* what QEMU holds on each side */
};

static int listen_at(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g_strlcpy(sa.sun_path, path, sizeof(sa.sun_path));
	g_assert_cmpint(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), ==, 0);
	g_assert_cmpint(listen(fd, 1), ==, 0);
	return fd;
}

static enum relay_state state_of(struct relay *r)
{
	struct relay_status s;

	relay_get(r, &s);
	return s.state;
}

static enum relay_state wait_state(struct relay *r, enum relay_state want)
{
	for (int i = 0; i < 2000 && state_of(r) != want && state_of(r) != RELAY_FAILED; i++)
		g_usleep(1000);
	return state_of(r);
}

static void bench_new(struct bench *b, uid_t qemu)
{
	int app[2];

	b->dir = g_dir_make_tmp("kith-relay-XXXXXX", NULL);
	b->path = g_build_filename(b->dir, "nbd.sock", NULL);
	b->listener = listen_at(b->path);
	b->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pair(b->net);
	pair(app);
	b->app_d = -1;
	b->app_s = app[0];
	g_assert_cmpint(relay_new(true, HID, 2, KEY, b->net[0], NULL, 0, b->wake, &b->s), ==, 0);
	g_assert_cmpint(relay_new(false, HID, 2, KEY, b->net[1], b->path, qemu, b->wake, &b->d), ==,
			0);
	g_assert_cmpint(wait_state(b->s, RELAY_IDLE), ==, RELAY_IDLE);
	g_assert_cmpint(wait_state(b->d, RELAY_IDLE), ==, RELAY_IDLE);
	g_assert_cmpint(relay_attach(b->s, app[1]), ==, 0);
}

static void bench_free(struct bench *b)
{
	relay_free(b->s);
	relay_free(b->d);
	close(b->wake);
	close(b->listener);
	close(b->app_s);
	if (b->app_d >= 0)
		close(b->app_d);
	unlink(b->path);
	rmdir(b->dir);
	g_free(b->path);
	g_free(b->dir);
}

static gpointer writer(gpointer arg)
{
	int fd = GPOINTER_TO_INT(arg);
	static uint8_t block[100000];

	for (int i = 0; i < 200; i++) {
		size_t at = 0;

		memset(block, i, sizeof(block));
		while (at < sizeof(block)) {
			ssize_t n = send(fd, block + at, sizeof(block) - at, MSG_NOSIGNAL);

			if (n > 0)
				at += (size_t)n;
			else
				g_usleep(100);
		}
	}
	shutdown(fd, SHUT_WR);
	return NULL;
}

static void test_relay(void)
{
	static uint8_t got[100000];
	struct relay_status st;
	struct bench b;
	GThread *t;
	size_t total = 0;

	bench_new(&b, getuid());
	b.app_d = accept(b.listener, NULL, NULL);
	g_assert_cmpint(b.app_d, >=, 0);
	t = g_thread_new("writer", writer, GINT_TO_POINTER(b.app_s));
	for (;;) {
		ssize_t n = recv(b.app_d, got, sizeof(got), 0);

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i += 997)
			g_assert_cmpint(got[i], ==, (uint8_t)((total + (size_t)i) / 100000));
		total += (size_t)n;
	}
	g_thread_join(t);
	g_assert_cmpuint(total, ==, 20000000);
	/* The way back still works after the way there has ended. */
	g_assert_cmpint(send(b.app_d, "bye", 3, 0), ==, 3);
	shutdown(b.app_d, SHUT_WR);
	g_assert_cmpint(wait_state(b.s, RELAY_ENDED), ==, RELAY_ENDED);
	g_assert_cmpint(wait_state(b.d, RELAY_ENDED), ==, RELAY_ENDED);
	g_assert_cmpint(recv(b.app_s, got, sizeof(got), 0), ==, 3);
	relay_get(b.s, &st);
	g_assert_cmpuint(st.sent, ==, 20000000);
	g_assert_cmpuint(st.received, ==, 3);
	bench_free(&b);
}

static void test_relay_cut(void)
{
	struct bench b;
	char c;

	bench_new(&b, getuid());
	b.app_d = accept(b.listener, NULL, NULL);
	g_assert_cmpint(wait_state(b.d, RELAY_OPEN), ==, RELAY_OPEN);
	shutdown(b.net[0], SHUT_RDWR);
	g_assert_cmpint(wait_state(b.s, RELAY_FAILED), ==, RELAY_FAILED);
	g_assert_cmpint(wait_state(b.d, RELAY_FAILED), ==, RELAY_FAILED);
	/* QEMU sees it at once on both sides. */
	g_assert_cmpint(recv(b.app_s, &c, 1, 0), ==, 0);
	g_assert_cmpint(recv(b.app_d, &c, 1, 0), ==, 0);
	bench_free(&b);
}

static void test_relay_stops(void)
{
	struct bench b;
	char c;

	bench_new(&b, getuid());
	b.app_d = accept(b.listener, NULL, NULL);
	b.s = relay_free(b.s);
	g_assert_cmpint(recv(b.app_d, &c, 1, 0), ==, 0);
	bench_free(&b);
}

/* H18: what listens at the destination must be QEMU's user or root. */
static void test_relay_foreign_listener(void)
{
	int fd[2];

	pair(fd);
	g_assert_true(relay_peer_allowed(fd[0], getuid()));
	if (getuid() != 0)
		g_assert_false(relay_peer_allowed(fd[0], getuid() + 1));
	close(fd[0]);
	g_assert_false(relay_peer_allowed(fd[0], getuid()));
	close(fd[1]);
}

/* A stranger's connection fails before anything local is touched. */
static void test_relay_stranger(void)
{
	struct relay_status st;
	struct relay *d;
	int fd[2], wake = eventfd(0, EFD_CLOEXEC);

	pair(fd);
	g_assert_cmpint(relay_new(false, HID, 2, KEY, fd[0], "/nonexistent", 0, wake, &d), ==, 0);
	g_assert_cmpint(write(fd[1], "GET / HTTP/1.1\r\n\r\n", 18), ==, 18);
	g_assert_cmpint(wait_state(d, RELAY_FAILED), ==, RELAY_FAILED);
	relay_get(d, &st);
	g_assert_cmpint(st.error, ==, -EACCES);
	relay_free(d);
	close(fd[1]);
	close(wake);
}

/* A destination without a path: somebody brings its local end when the source has one, and what the
 * source said before is not lost. */
static void test_relay_wanted(void)
{
	int net[2], source[2], dest[2], wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct relay *s, *d;
	char got[8];

	pair(net);
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, source), ==, 0);
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, dest), ==, 0);
	g_assert_cmpint(relay_new(true, HID, 2, KEY, net[0], NULL, 0, wake, &s), ==, 0);
	g_assert_cmpint(relay_new(false, HID, 2, KEY, net[1], NULL, 0, wake, &d), ==, 0);
	g_assert_cmpint(wait_state(s, RELAY_IDLE), ==, RELAY_IDLE);
	g_assert_cmpint(wait_state(d, RELAY_IDLE), ==, RELAY_IDLE);
	g_assert_cmpint(write(source[0], "early", 5), ==, 5);
	g_assert_cmpint(relay_attach(s, source[1]), ==, 0);
	g_assert_cmpint(wait_state(d, RELAY_WANTED), ==, RELAY_WANTED);
	g_assert_cmpint(relay_attach(d, dest[1]), ==, 0);
	g_assert_cmpint(wait_state(d, RELAY_OPEN), ==, RELAY_OPEN);
	g_assert_cmpint(read(dest[0], got, sizeof(got)), ==, 5);
	g_assert_cmpmem(got, 5, "early", 5);
	g_assert_cmpint(write(dest[0], "back", 4), ==, 4);
	g_assert_cmpint(read(source[0], got, sizeof(got)), ==, 4);
	/* Whoever leaves is missed at the other end. */
	close(source[0]);
	g_assert_cmpint(read(dest[0], got, sizeof(got)), ==, 0);
	close(dest[0]);
	g_assert_cmpint(wait_state(d, RELAY_ENDED), ==, RELAY_ENDED);
	relay_free(s);
	relay_free(d);
	close(wake);
}

/* -- H11: a machine in between changes one bit of the stream -- */

static void pump_one(int from, int to, size_t *passed, size_t flip)
{
	uint8_t buf[4096];
	ssize_t n = recv(from, buf, sizeof(buf), MSG_DONTWAIT);

	if (n <= 0)
		return;
	if (flip >= *passed && flip < *passed + (size_t)n)
		buf[flip - *passed] ^= 1;
	*passed += (size_t)n;
	g_assert_cmpint(send(to, buf, (size_t)n, MSG_NOSIGNAL), ==, n);
}

/* True if the receiver got all of a message of 3000 bytes although byte `flip` was changed. */
static bool survives(size_t flip, size_t *ret_total)
{
	int left[2], right[2], rc = 0, rs = 0;
	static uint8_t out[3000], in[3000];
	size_t there = 0, back = 0, got = 0;
	struct tls *c, *s;
	bool sent = false;

	pair(left);
	pair(right);
	tls_new(true, HID, 1, KEY, left[0], &c);
	tls_new(false, HID, 1, KEY, right[0], &s);
	memset(out, 0x5a, sizeof(out));
	for (int i = 0; i < 40 && got < sizeof(in); i++) {
		if (rc == 0)
			rc = tls_handshake(c);
		pump_one(left[1], right[1], &there, flip);
		if (rs == 0)
			rs = tls_handshake(s);
		pump_one(right[1], left[1], &back, SIZE_MAX);
		if (rc == 1 && !sent)
			sent = tls_write(c, out, sizeof(out)) == (int)sizeof(out);
		if (rs == 1) {
			int n = tls_read(s, in + got, sizeof(in) - got);

			if (n > 0)
				got += (size_t)n;
			else if (n != -EAGAIN)
				break;
		}
		if (rc < 0 || rs < 0)
			break;
	}
	g_assert_true(got == 0 || memcmp(in, out, got) == 0);
	tls_free(c);
	tls_free(s);
	close(left[1]);
	close(right[1]);
	*ret_total = there;
	return got == sizeof(in);
}

static void test_bit_flips(void)
{
	size_t total, ignored;

	g_assert_true(survives(SIZE_MAX, &total));
	g_assert_cmpuint(total, >, 3000);
	/* 1,000 offsets over handshake and data. */
	for (size_t i = 0; i < 1000; i++)
		g_assert_false(survives(i * total / 1000, &ignored));
}

int main(int argc, char *argv[])
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0)
		return 1;
	g_test_add_func("/tls/two that share a key", test_talk);
	g_test_add_func("/tls/another key", test_wrong_key);
	g_test_add_func("/tls/another channel", test_wrong_channel);
	g_test_add_func("/tls/another hand-off", test_wrong_handoff);
	g_test_add_func("/tls/keys of channels differ", test_keys);
	g_test_add_func("/tls/B11 downgrade and no key", test_downgrade);
	g_test_add_func("/tls/a certificate instead of the key", test_certificate);
	g_test_add_func("/tls/H11 one changed bit, 1000 times", test_bit_flips);
	g_test_add_func("/relay/bytes, half close, counters", test_relay);
	g_test_add_func("/relay/cut under way", test_relay_cut);
	g_test_add_func("/relay/stopped", test_relay_stops);
	g_test_add_func("/relay/H18 who may listen", test_relay_foreign_listener);
	g_test_add_func("/relay/H19 a stranger", test_relay_stranger);
	g_test_add_func("/relay/a destination without a path", test_relay_wanted);
	return g_test_run();
}
