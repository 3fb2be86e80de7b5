/* SPDX-License-Identifier: Apache-2.0 */
/* policyd/tpm through an interposer on the bus: it listens, changes answers, refuses, goes away. */
#include <string.h>

#include "tests/unit/swtpm-fixture.h"

static const uint8_t own_auth[TPM_COUNTER_AUTH_LEN] = "the vault's";

#define INDEX 0x0180abcd
#define MASK (1u << 0 | 1u << 4 | 1u << 7)

static struct swtpm one;

static const uint8_t qualifying[32] = "qualifying data of this session";

struct shim {
	char *path, *control, *tcti, *target;
	int listen_fd;
	GThread *thread;
	GMutex lock; /* guards what follows */
	GByteArray *seen;
	uint32_t fail_cc, fail_rc, flip_cc, cut_cc; /* command codes, 0 = none */
	unsigned fail_left, failed, flipped;
	unsigned flip_offset; /* from the end of the response */
};

static bool read_exactly(int fd, uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = read(fd, data, len);

		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static size_t read_frame(int fd, uint8_t buf[4096])
{
	size_t len;

	if (!read_exactly(fd, buf, 10))
		return 0;
	len = be32(buf + 2);
	if (len < 10 || len > 4096 || !read_exactly(fd, buf + 10, len - 10))
		return 0;
	return len;
}

/* Length of the response in `buf`, which holds the command; 0 = hang up. */
static size_t shim_turn(struct shim *s, int tpm, uint8_t buf[4096], size_t len)
{
	uint32_t cc = be32(buf + 6);

	g_byte_array_append(s->seen, buf, (guint)len);
	if (cc == s->cut_cc)
		return 0;
	if (cc == s->fail_cc && s->fail_left) {
		const uint8_t answer[10] = {0x80,
					    0x01,
					    0,
					    0,
					    0,
					    10,
					    (uint8_t)(s->fail_rc >> 24),
					    (uint8_t)(s->fail_rc >> 16),
					    (uint8_t)(s->fail_rc >> 8),
					    (uint8_t)s->fail_rc};
		s->fail_left--;
		s->failed++;
		memcpy(buf, answer, sizeof(answer));
		return sizeof(answer);
	}
	if (write(tpm, buf, len) != (ssize_t)len)
		return 0;
	len = read_frame(tpm, buf);
	g_byte_array_append(s->seen, buf, (guint)len);
	/* Not in the header: a wrong size would only make the reader wait. */
	if (cc == s->flip_cc && len >= 11 + s->flip_offset && be32(buf + 6) == 0) {
		buf[len - 1 - s->flip_offset] ^= 1;
		s->flipped++;
	}
	return len;
}

static void shim_serve(struct shim *s, int client)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int tpm = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint8_t buf[4096];
	size_t len;

	g_strlcpy(a.sun_path, s->target, sizeof(a.sun_path));
	if (connect(tpm, (struct sockaddr *)&a, sizeof(a)) < 0)
		return;
	while ((len = read_frame(client, buf)) > 0) {
		g_mutex_lock(&s->lock);
		len = shim_turn(s, tpm, buf, len);
		g_mutex_unlock(&s->lock);
		if (!len || write(client, buf, len) != (ssize_t)len)
			return;
	}
}

static gpointer shim_main(gpointer data)
{
	struct shim *s = data;

	for (;;) {
		_cleanup_close_ int client = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0)
			return NULL;
		shim_serve(s, client);
	}
}

static void shim_start(struct shim *s, const struct swtpm *behind)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	s->path = g_strdup_printf("%s/shim", behind->dir);
	s->tcti = g_strdup_printf("swtpm:path=%s", s->path);
	s->target = g_strdup_printf("%s/sock", behind->dir);
	/* libtss2-tcti-swtpm sets the locality through PATH.ctrl. */
	s->control = g_strdup_printf("%s.ctrl", s->path);
	g_unlink(s->control);
	g_assert_cmpint(symlink("sock.ctrl", s->control), ==, 0);
	s->seen = g_byte_array_new();
	g_mutex_init(&s->lock);
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	g_strlcpy(a.sun_path, s->path, sizeof(a.sun_path));
	g_unlink(s->path);
	g_assert_cmpint(bind(s->listen_fd, (struct sockaddr *)&a, sizeof(a)), ==, 0);
	g_assert_cmpint(listen(s->listen_fd, 4), ==, 0);
	s->thread = g_thread_new("shim", shim_main, s);
}

static void shim_stop(struct shim *s)
{
	shutdown(s->listen_fd, SHUT_RDWR);
	g_thread_join(s->thread);
	close(s->listen_fd);
	g_unlink(s->path);
	g_unlink(s->control);
	g_byte_array_unref(s->seen);
	g_mutex_clear(&s->lock);
	g_free(s->path);
	g_free(s->control);
	g_free(s->tcti);
	g_free(s->target);
}

static void shim_fail(struct shim *s, uint32_t cc, uint32_t rc, unsigned times)
{
	g_mutex_lock(&s->lock);
	s->fail_cc = cc;
	s->fail_rc = rc;
	s->fail_left = times;
	s->failed = 0;
	g_mutex_unlock(&s->lock);
}

static void shim_flip(struct shim *s, uint32_t cc, unsigned offset)
{
	g_mutex_lock(&s->lock);
	s->flip_cc = cc;
	s->flip_offset = offset;
	s->flipped = 0;
	g_mutex_unlock(&s->lock);
}

static bool shim_saw(struct shim *s, const void *what, size_t len)
{
	bool found;

	g_mutex_lock(&s->lock);
	found = memmem(s->seen->data, s->seen->len, what, len) != NULL;
	g_mutex_unlock(&s->lock);
	return found;
}

/* No secret crosses the bus in the clear, in or out. */
static void test_bus_listener(void)
{
	_cleanup_(tpm_freep) struct tpm *t = NULL;
	uint8_t proof[32], got[32], name[TPM_NAME_LEN];
	_cleanup_secret_ struct secret s = SECRET_INIT;
	struct pairing_credential c;
	struct tpm_sealed sealed;
	struct tpm_approval ok;
	struct shim shim = {0};
	struct tpm_blob ek;
	struct authority a;
	struct tpm_ak ak;
	enum kcode code;

	shim_start(&shim, &one);
	t = open_tpm(shim.tcti);
	make_authority(&a);
	g_assert_cmpint(secret_random(64, &s), ==, 0);
	randombytes_buf(proof, sizeof(proof));
	g_assert_cmpint(tpm_seal(t, &a.pub, &s, &sealed, NULL), ==, 0);
	ok = approve(t, &a, MASK);
	g_assert_cmpint(unseal(t, &sealed, &a, &ok, &s, &code), ==, 0);
	g_assert_cmpint(tpm_ak_create(t, &ak, NULL), ==, 0);
	g_assert_cmpint(tpm_ek_public(t, &ek, NULL), ==, 0);
	g_assert_cmpint(quote_ak_name(ak.pub.data, ak.pub.len, name), ==, 0);
	g_assert_cmpint(tpm_make_credential(t, &ek, name, proof, &c, NULL), ==, 0);
	g_assert_cmpint(tpm_activate_credential(t, &ak, &c, got, NULL), ==, 0);
	g_assert_cmpmem(got, 32, proof, 32);
	/* The listener does see what is public ... */
	g_assert_true(shim_saw(&shim, a.pub.x, 32));
	g_assert_true(shim_saw(&shim, sealed.priv.data, sealed.priv.len));
	/* ... and nothing else. */
	g_assert_false(shim_saw(&shim, s.data, 16));
	g_assert_false(shim_saw(&shim, s.data + 48, 16));
	g_assert_false(shim_saw(&shim, proof, 16));
	t = tpm_free(t);
	shim_stop(&shim);
}

/* Changed answers are noticed where they matter. Offset 100 lies before the session area. */
static void test_bus_tamperer(void)
{
	_cleanup_secret_ struct secret s = SECRET_INIT, none = SECRET_INIT;
	_cleanup_(tpm_freep) struct tpm *t = NULL;
	struct tpm_sealed sealed;
	struct tpm_approval ok;
	struct kerr err = {0};
	struct shim shim = {0};
	struct authority a;
	unsigned refusals = 0;
	enum kcode code;
	uint64_t v, w = 0;

	shim_start(&shim, &one);
	t = open_tpm(shim.tcti);
	make_authority(&a);
	g_assert_cmpint(secret_random(64, &s), ==, 0);
	g_assert_cmpint(tpm_seal(t, &a.pub, &s, &sealed, NULL), ==, 0);
	ok = approve(t, &a, MASK);
	g_assert_cmpint(tpm_counter_create(t, INDEX, own_auth, &v, NULL), ==, 0);
	/* All of the answer behind the header: parameter size, 64 secret bytes, session. */
	for (unsigned offset = 0; offset < 4 + 66 + 2 + 32 + 1 + 2 + 32; offset++) {
		shim_flip(&shim, TPM2_CC_Unseal, offset);
		g_assert_cmpint(tpm_unseal(t, &sealed, &a.pub, &ok, &none, NULL), ==, -EIO);
		g_assert_cmpuint(shim.flipped, ==, 1);
	}
	/* Value of the counter, then the acknowledgement of an increment (5 bytes of session
	 * trailer, 34 of HMAC, 34 of nonce). */
	shim_flip(&shim, TPM2_CC_NV_Read, 1 + 34 + 34);
	g_assert_cmpint(tpm_counter_read(t, INDEX, own_auth, &w, &err), ==, -EIO);
	g_assert_cmpuint(shim.flipped, ==, 1);
	g_test_message("%s", err.text);
	g_assert_nonnull(strstr(err.text, "altered"));
	g_assert_cmpuint(w, ==, 0);
	shim_flip(&shim, TPM2_CC_NV_Increment, 10);
	g_assert_cmpint(tpm_counter_increment(t, INDEX, own_auth, &w, NULL), ==, -EIO);
	/* The storage key's public area (its 64 bytes of point at least) cannot be replaced; what
	 * else the answer holds is not used. */
	for (unsigned offset = 0; offset < 400; offset++) {
		shim_flip(&shim, TPM2_CC_CreatePrimary, offset);
		refusals += unseal(t, &sealed, &a, &ok, &s, &code) < 0;
	}
	g_test_message("%u of 400 changes of the storage key refused", refusals);
	g_assert_cmpuint(refusals, >=, 64);
	shim_flip(&shim, 0, 0);
	g_assert_cmpint(unseal(t, &sealed, &a, &ok, &s, &code), ==, 0);
	g_assert_cmpint(tpm_counter_read(t, INDEX, own_auth, &w, NULL), ==, 0);
	g_assert_cmpuint(w, ==, v + 1);
	g_assert_cmpint(remove_index(t, INDEX, NULL), ==, 0);
	t = tpm_free(t);
	shim_stop(&shim);
}

static const uint32_t commands[] = {
	TPM2_CC_CreatePrimary,	TPM2_CC_StartAuthSession, TPM2_CC_Create,
	TPM2_CC_Load,		TPM2_CC_LoadExternal,	  TPM2_CC_VerifySignature,
	TPM2_CC_PolicyPCR,	TPM2_CC_PolicyGetDigest,  TPM2_CC_PolicyAuthorize,
	TPM2_CC_Unseal,		TPM2_CC_PCR_Read,	  TPM2_CC_Quote,
	TPM2_CC_PolicySecret,	TPM2_CC_MakeCredential,	  TPM2_CC_ActivateCredential,
	TPM2_CC_NV_DefineSpace, TPM2_CC_NV_ReadPublic,	  TPM2_CC_NV_Increment,
	TPM2_CC_NV_Read,	TPM2_CC_NV_UndefineSpace, TPM2_CC_FlushContext,
	TPM2_CC_ReadClock,
};

/* One of everything; the first error, or 0. */
static int do_all(struct tpm *t, struct authority *a, const struct secret *s, struct kerr *err)
{
	_cleanup_secret_ struct secret got = SECRET_INIT;
	uint8_t proof[32] = {1}, back[32], name[TPM_NAME_LEN];
	struct tpm_approval ok = {.pcrs.mask = MASK};
	struct pairing_credential c;
	struct tpm_sealed sealed;
	struct tpm_clock clock;
	struct evidence q;
	struct tpm_blob ek;
	struct tpm_ak ak;
	uint64_t v;
	int r;

	r = tpm_clock(t, &clock, err);
	if (r == 0)
		r = tpm_seal(t, &a->pub, s, &sealed, err);
	if (r == 0)
		r = tpm_pcr_read(t, MASK, ok.pcrs.values, err);
	if (r < 0)
		return r;
	sign_approval(a, &ok);
	r = tpm_unseal(t, &sealed, &a->pub, &ok, &got, err);
	if (r == 0)
		r = tpm_ak_create(t, &ak, err);
	if (r == 0)
		r = tpm_quote(t, &ak, qualifying, MASK, &q, err);
	if (r == 0)
		r = tpm_ek_public(t, &ek, err);
	if (r < 0)
		return r;
	g_assert_cmpint(quote_ak_name(ak.pub.data, ak.pub.len, name), ==, 0);
	r = tpm_make_credential(t, &ek, name, proof, &c, err);
	if (r == 0)
		r = tpm_activate_credential(t, &ak, &c, back, err);
	if (r == 0)
		r = tpm_counter_create(t, INDEX, own_auth, &v, err);
	if (r == 0)
		r = tpm_counter_increment(t, INDEX, own_auth, &v, err);
	if (r == 0)
		r = remove_index(t, INDEX, err);
	return r;
}

/* Each command answers "retry" or "NV rate" a few times: nobody notices. */
static void test_patience(void)
{
	static const uint32_t codes[] = {TPM2_RC_RETRY, TPM2_RC_YIELDED, TPM2_RC_TESTING,
					 TPM2_RC_NV_RATE};
	_cleanup_secret_ struct secret s = SECRET_INIT;
	_cleanup_(tpm_freep) struct tpm *t = NULL;
	struct shim shim = {0};
	struct authority a;

	shim_start(&shim, &one);
	t = open_tpm(shim.tcti);
	make_authority(&a);
	g_assert_cmpint(secret_random(64, &s), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
		struct kerr err = {0};

		shim_fail(&shim, commands[i], codes[i % G_N_ELEMENTS(codes)], 2);
		g_assert_cmpint(do_all(t, &a, &s, &err), ==, 0);
		g_assert_cmpstr(err.text, ==, "");
		g_assert_cmpuint(shim.failed, ==, 2);
		g_assert_cmpuint(loaded(t), ==, 0);
	}
	t = tpm_free(t);
	shim_stop(&shim);
}

/* Each command fails for good: a clean error, no handle left, and all is well afterwards. */
static void test_failures(void)
{
	_cleanup_secret_ struct secret s = SECRET_INIT;
	_cleanup_(tpm_freep) struct tpm *t = NULL;
	struct shim shim = {0};
	struct authority a;

	shim_start(&shim, &one);
	t = open_tpm(shim.tcti);
	make_authority(&a);
	g_assert_cmpint(secret_random(64, &s), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
		struct tpm_clock clock;
		struct kerr err = {0};
		uint64_t v;
		int r;

		shim_fail(&shim, commands[i], TPM2_RC_NO_RESULT, 1);
		r = do_all(t, &a, &s, &err);
		g_assert_cmpuint(shim.failed, ==, 1);
		if (commands[i] != TPM2_CC_FlushContext) {
			g_assert_cmpint(r, ==, -EIO);
			g_assert_cmpint(err.code, ==, KCODE_TPM);
			g_assert_false(t->broken);
		}
		/* A handle that cannot be flushed goes with the connection, by the next call. */
		g_assert_cmpint(tpm_clock(t, &clock, NULL), ==, 0);
		g_assert_cmpuint(loaded(t), ==, 0);
		if (tpm_counter_read(t, INDEX, own_auth, &v, NULL) != -ENOENT)
			g_assert_cmpint(remove_index(t, INDEX, NULL), ==, 0);
		g_assert_cmpint(do_all(t, &a, &s, NULL), ==, 0);
	}
	t = tpm_free(t);
	shim_stop(&shim);
}

/* Patience ends. */
static void test_impatience(void)
{
	_cleanup_(tpm_freep) struct tpm *t = NULL;
	gint64 t0 = g_get_monotonic_time();
	struct tpm_clock clock;
	struct kerr err = {0};
	struct shim shim = {0};

	shim_start(&shim, &one);
	t = open_tpm(shim.tcti);
	shim_fail(&shim, TPM2_CC_ReadClock, TPM2_RC_RETRY, 100000);
	g_assert_cmpint(tpm_clock(t, &clock, &err), ==, -EIO);
	g_assert_cmpint(err.code, ==, KCODE_TPM);
	g_assert_cmpfloat(since(t0), <, 20000);
	shim_fail(&shim, 0, 0, 0);
	g_assert_cmpint(tpm_clock(t, &clock, NULL), ==, 0);
	t = tpm_free(t);
	shim_stop(&shim);
}

/* The TPM goes away in the middle of each command. */
static void test_lost(void)
{
	_cleanup_secret_ struct secret s = SECRET_INIT;
	struct authority a;

	make_authority(&a);
	g_assert_cmpint(secret_random(64, &s), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
		_cleanup_(tpm_freep) struct tpm *t = NULL;
		struct shim shim = {0};
		struct tpm_clock clock;
		struct kerr err = {0};

		shim_start(&shim, &one);
		t = open_tpm(shim.tcti);
		g_mutex_lock(&shim.lock);
		shim.cut_cc = commands[i];
		g_mutex_unlock(&shim.lock);
		g_assert_cmpint(do_all(t, &a, &s, &err), <, 0);
		g_assert_cmpint(err.code, ==, KCODE_TPM);
		g_assert_true(t->broken);
		g_mutex_lock(&shim.lock);
		shim.cut_cc = 0;
		g_mutex_unlock(&shim.lock);
		/* The next call connects again. */
		g_assert_cmpint(tpm_clock(t, &clock, NULL), ==, 0);
		g_assert_false(t->broken);
		g_assert_cmpuint(loaded(t), ==, 0);
		remove_index(t, INDEX, NULL);
		t = tpm_free(t);
		shim_stop(&shim);
	}
}

int main(int argc, char **argv)
{
	int r;

	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
	swtpm_start(&one);
	g_test_add_func("/tpm-bus/D12 listener on the bus", test_bus_listener);
	g_test_add_func("/tpm-bus/D12 changed answers", test_bus_tamperer);
	g_test_add_func("/tpm-bus/D11 patience", test_patience);
	g_test_add_func("/tpm-bus/D11 each command fails", test_failures);
	g_test_add_func("/tpm-bus/D11 patience ends", test_impatience);
	g_test_add_func("/tpm-bus/D11 connection lost", test_lost);
	r = g_test_run();
	swtpm_stop(&one);
	return r;
}
