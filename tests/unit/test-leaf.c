/* SPDX-License-Identifier: Apache-2.0 */
/* M13: the certificate of kithd's key: how long peers take it, and when it is renewed. */
#include <glib.h>
#include <sodium.h>

#include "agent/tls.h"
#include "attest/pk.h"
#include "base/clock.h"

#define HOUR 3600

static uint8_t seed[32];

static bool judge(void *arg _unused_, int fd _unused_, const uint8_t *id)
{
	return id != NULL;
}

static void refused(void *arg _unused_, int fd _unused_)
{
}

static struct tls_identity *identity_new(void)
{
	const struct tls_hooks hooks = {judge, refused, NULL};
	struct tls_identity *t = NULL;

	g_assert_cmpint(tls_identity_new(&hooks, &t), ==, 0);
	return t;
}

/* A leaf as policyd makes it, `age` seconds ago. */
static int issue(struct tls_identity *t, int64_t age)
{
	uint8_t leaf[CERT_DER_MAX], device[CERT_DER_MAX];
	size_t spki_len, leaf_len, device_len;
	g_autofree uint8_t *spki = NULL;

	g_assert_cmpint(tls_identity_spki(t, &spki, &spki_len), ==, 0);
	g_assert_cmpint(pk_device_cert(seed, device, &device_len), ==, 0);
	g_assert_cmpint(pk_leaf_cert(seed, spki, spki_len, (int64_t)clock_unix() - age - HOUR, 1,
				     leaf, &leaf_len),
			==, 0);
	return tls_identity_set_chain(t, leaf, leaf_len, device, device_len);
}

static void test_renewal(void)
{
	struct tls_identity *t = identity_new();
	int64_t now = (int64_t)clock_unix();

	g_assert_true(tls_identity_due(t, now));
	g_assert_cmpint(issue(t, 0), ==, 0);
	g_assert_false(tls_identity_due(t, now));
	g_assert_false(tls_identity_due(t, now + 10 * HOUR));
	g_assert_true(tls_identity_due(t, now + 12 * HOUR));
	/* After a long sleep, and after the clock was set back. */
	g_assert_true(tls_identity_due(t, now + 1000 * HOUR));
	g_assert_true(tls_identity_due(t, now - 1000 * HOUR));
	g_assert_cmpint(issue(t, 0), ==, 0);
	g_assert_false(tls_identity_due(t, now));
	tls_identity_free(t);
}

/* A day, and the grace for clocks that are off. */
static void test_life(void)
{
	struct tls_identity *t = identity_new();

	g_assert_cmpint(issue(t, 22 * HOUR), ==, 0);
	g_assert_cmpint(issue(t, 34 * HOUR), ==, 0);
	g_assert_cmpint(issue(t, 36 * HOUR), <, 0);
	g_assert_cmpint(issue(t, -10 * HOUR), ==, 0);
	g_assert_cmpint(issue(t, -14 * HOUR), <, 0);
	tls_identity_free(t);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	if (sodium_init() < 0)
		return 1;
	randombytes_buf(seed, sizeof(seed));
	g_test_add_func("/leaf/M13 renewed after half of its time", test_renewal);
	g_test_add_func("/leaf/M13 lives for a day", test_life);
	return g_test_run();
}
