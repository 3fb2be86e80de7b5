/* SPDX-License-Identifier: Apache-2.0 */
/* policyd/tpm: keys, quotes, credentials, counter and sealing on real software TPMs. */
#include <string.h>

#include "attest/quote.h"
#include "tests/unit/swtpm-fixture.h"

static const uint8_t own_auth[TPM_COUNTER_AUTH_LEN] = "the vault's";

#define INDEX 0x0180abcd
#define MASK (1u << 0 | 1u << 4 | 1u << 7)

static struct swtpm one, two;

static const uint8_t qualifying[32] = "qualifying data of this session";

/* -- Opening -- */

static void test_facts(void)
{
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti);
	const struct tpm_facts *f = tpm_facts(t);
	struct tpm_clock a, b;

	g_assert_cmpint(f->tier, ==, TPM_TIER_SOFTWARE);
	g_assert_cmpstr(f->manufacturer, ==, "IBM");
	g_assert_cmpint(tpm_clock(t, &a, NULL), ==, 0);
	g_usleep(20000);
	g_assert_cmpint(tpm_clock(t, &b, NULL), ==, 0);
	g_assert_cmpuint(b.clock_ms, >, a.clock_ms);
	g_assert_cmpuint(b.reset_count, ==, a.reset_count);
	g_assert_cmpuint(b.restart_count, ==, a.restart_count);
}

static void test_open_fails(void)
{
	static const char *const bad[] = {"", "swtpm:path=/nonexistent/sock", "nosuchtcti:x",
					  "device:/nonexistent"};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct tpm *t = NULL;
		struct kerr err = {0};

		g_assert_cmpint(tpm_open(bad[i], &t, &err), <, 0);
		g_assert_null(t);
		g_assert_cmpint(err.code, ==, i ? KCODE_TPM : KCODE_USAGE);
		g_test_message("%s", err.text);
	}
}

static void test_startup(void)
{
	struct swtpm s = {0};

	s.dir = g_dir_make_tmp("kith-swtpm-XXXXXX", NULL);
	s.tcti = g_strdup_printf("swtpm:path=%s/sock", s.dir);
	swtpm_run(&s, "not-need-init");
	for (int i = 0; i < 2; i++) {
		_cleanup_(tpm_freep) struct tpm *t = open_tpm(s.tcti);
		_cleanup_handle_ struct tpm_handle srk = TPM_HANDLE_INIT(t);

		g_assert_cmpint(tpm_srk(t, &srk, NULL), ==, 0);
	}
	swtpm_stop(&s);
}

/* What a predecessor killed in the middle leaves behind. */
static void test_strays(void)
{
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti), *u = NULL;
	struct tpm_handle h = TPM_HANDLE_INIT(t);
	TPMS_CONTEXT *saved = NULL;

	for (int i = 0; i < 3; i++)
		g_assert_cmpint(tpm_srk(t, &h, NULL), ==, 0);
	for (int i = 0; i < 3; i++)
		g_assert_cmpint(tpm_session(t, TPM2_SE_HMAC, ESYS_TR_NONE, &h, NULL), ==, 0);
	g_assert_cmpuint(Esys_ContextSave(t->esys, h.tr, &saved), ==, 0);
	Esys_Free(saved);
	g_assert_cmpuint(loaded(t), >=, 6);
	t = tpm_free(t);
	u = open_tpm(one.tcti);
	g_assert_cmpuint(loaded(u), ==, 0);
}

/* -- Quotes -- */

static void verify_quote(const struct tpm_ak *ak, const struct evidence *q, struct quote_info *ret)
{
	struct quote_expect expect = {ak->pub.data, ak->pub.len, qualifying, &q->pcrs, NULL};
	struct kerr err = {0};

	quote_verify(&expect, q->quote, q->quote_len, q->signature, q->signature_len, ret, &err);
	g_assert_cmpstr(err.text, ==, "");
}

static void test_quote(void)
{
	static const uint32_t masks[] = {MASK, 1, 1u << 23, PCR_MASK_ALL};
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti);
	uint8_t zero[HASH_LEN] = {0};
	struct quote_info info;
	struct evidence q, q2;
	struct kerr err = {0};
	struct tpm_ak ak;

	g_assert_cmpint(tpm_ak_create(t, &ak, &err), ==, 0);
	g_assert_cmpint(quote_ak_check(ak.pub.data, ak.pub.len, &err), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(masks); i++) {
		g_assert_cmpint(tpm_quote(t, &ak, qualifying, masks[i], &q, &err), ==, 0);
		verify_quote(&ak, &q, &info);
	}
	extend_pcr(t, 4);
	g_assert_cmpint(tpm_quote(t, &ak, qualifying, MASK, &q, &err), ==, 0);
	verify_quote(&ak, &q, &info);
	extend_pcr(t, 4);
	g_assert_cmpint(tpm_quote(t, &ak, qualifying, MASK, &q2, &err), ==, 0);
	g_assert_cmpint(memcmp(q.pcrs.values[4], q2.pcrs.values[4], HASH_LEN), !=, 0);
	g_assert_cmpmem(q2.pcrs.values[5], HASH_LEN, zero, HASH_LEN);
	g_assert_cmpint(tpm_quote(t, &ak, qualifying, 0, &q2, NULL), ==, -EINVAL);
	g_assert_cmpint(tpm_quote(t, &ak, qualifying, 1u << 24, &q2, NULL), ==, -EINVAL);
	g_assert_cmpuint(loaded(t), ==, 0);
}

static void test_ak_elsewhere(void)
{
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti), *u = open_tpm(two.tcti);
	struct tpm_ak ak, bad;
	struct evidence q;
	struct kerr err = {0};

	g_assert_cmpint(tpm_ak_create(t, &ak, NULL), ==, 0);
	g_assert_cmpint(tpm_ak_check(t, &ak, NULL), ==, 0);
	g_assert_cmpint(tpm_ak_check(u, &ak, &err), ==, -EXDEV);
	g_assert_cmpint(err.code, ==, KCODE_LOCKED);
	g_assert_nonnull(strstr(err.text, "another TPM"));
	g_assert_cmpint(tpm_quote(u, &ak, qualifying, MASK, &q, NULL), ==, -EXDEV);
	for (unsigned cut = 0; cut < ak.pub.len; cut++) {
		bad = ak;
		bad.pub.len = (uint16_t)cut;
		g_assert_cmpint(tpm_ak_check(t, &bad, NULL), ==, -EBADMSG);
	}
	for (unsigned i = 0; i < ak.priv.len; i++) {
		bad = ak;
		bad.priv.data[i] ^= 1;
		g_assert_cmpint(tpm_ak_check(t, &bad, NULL), <, 0);
	}
	g_assert_cmpuint(loaded(t), ==, 0);
	g_assert_cmpuint(loaded(u), ==, 0);
}

/* The name as the TPM has it; no public area makes trouble where it is read. */
static void test_names(void)
{
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti);
	_cleanup_handle_ struct tpm_handle h = TPM_HANDLE_INIT(t);
	_cleanup_esys_ TPM2B_NAME *name = NULL;
	uint8_t a[TPM_NAME_LEN];
	struct tpm_blob longer;
	TPM2B_PUBLIC public;
	struct tpm_ak ak;

	g_assert_cmpint(tpm_ak_create(t, &ak, NULL), ==, 0);
	g_assert_cmpint(quote_ak_name(ak.pub.data, ak.pub.len, a), ==, 0);
	g_assert_cmpint(tpm_load(t, &ak.pub, &ak.priv, &h, NULL), ==, 0);
	g_assert_cmpuint(Esys_TR_GetName(t->esys, h.tr, &name), ==, 0);
	g_assert_cmpmem(a, sizeof(a), name->name, name->size);
	longer = ak.pub;
	g_assert_cmpint(tpm_blob_get_public(&longer, &public), ==, 0);
	longer.len++;
	g_assert_cmpint(tpm_blob_get_public(&longer, &public), ==, -EBADMSG);
	longer.data[1]++; /* the size field agrees, the content does not fill it */
	g_assert_cmpint(tpm_blob_get_public(&longer, &public), ==, -EBADMSG);
	for (int i = 0; i < 20000; i++) {
		randombytes_buf(longer.data, 200);
		longer.len = randombytes_uniform(200);
		if (i % 2) {
			longer = ak.pub;
			longer.data[randombytes_uniform((uint32_t)longer.len)] ^=
				(uint8_t)(1 + randombytes_uniform(255));
		}
		tpm_blob_get_public(&longer, &public);
	}
}

/* -- Credential activation -- */

static void activation_works(struct tpm *prover, struct tpm *verifier)
{
	uint8_t secret[32], got[32] = {0}, name[TPM_NAME_LEN];
	struct pairing_credential c;
	struct kerr err = {0};
	struct tpm_blob ek;
	struct tpm_ak ak;

	randombytes_buf(secret, sizeof(secret));
	g_assert_cmpint(tpm_ak_create(prover, &ak, &err), ==, 0);
	g_assert_cmpint(tpm_ek_public(prover, &ek, &err), ==, 0);
	g_assert_cmpint(quote_ek_check(ek.data, ek.len, &err), ==, 0);
	g_assert_cmpint(quote_ak_name(ak.pub.data, ak.pub.len, name), ==, 0);
	g_assert_cmpint(tpm_make_credential(verifier, &ek, name, secret, &c, &err), ==, 0);
	g_assert_cmpint(tpm_activate_credential(prover, &ak, &c, got, &err), ==, 0);
	g_assert_cmpstr(err.text, ==, "");
	g_assert_cmpmem(got, 32, secret, 32);
	g_assert_cmpuint(loaded(prover), ==, 0);
	g_assert_cmpuint(loaded(verifier), ==, 0);
}

static void test_activation(void)
{
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti), *u = open_tpm(two.tcti);

	activation_works(t, u);
	activation_works(u, t);
	activation_works(t, t);
	t->ek_type = TPM2_ALG_RSA;
	activation_works(t, u);
}

static void refused(struct tpm *prover, const struct tpm_ak *ak, struct tpm *verifier,
		    const struct tpm_blob *ek, const uint8_t name[TPM_NAME_LEN])
{
	uint8_t secret[32] = "a secret that must not come out", got[32] = {0}, zero[32] = {0};
	struct pairing_credential c;
	struct kerr err = {0};

	g_assert_cmpint(tpm_make_credential(verifier, ek, name, secret, &c, NULL), ==, 0);
	g_assert_cmpint(tpm_activate_credential(prover, ak, &c, got, &err), ==, -EACCES);
	g_test_message("%s", err.text);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_BINDING);
	g_assert_cmpmem(got, 32, zero, 32);
	g_assert_cmpuint(loaded(prover), ==, 0);
}

/* B3: an AK that does not live in the TPM of that EK. */
static void test_activation_refused(void)
{
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti), *u = open_tpm(two.tcti);
	uint8_t name[TPM_NAME_LEN], other[TPM_NAME_LEN], foreign[TPM_NAME_LEN];
	struct tpm_ak ak, ak2, far;
	struct tpm_blob ek, far_ek;

	for (int rsa = 0; rsa < 2; rsa++) {
		t->ek_type = u->ek_type = rsa ? TPM2_ALG_RSA : TPM2_ALG_ECC;
		g_assert_cmpint(tpm_ak_create(t, &ak, NULL), ==, 0);
		g_assert_cmpint(tpm_ak_create(t, &ak2, NULL), ==, 0);
		g_assert_cmpint(tpm_ak_create(u, &far, NULL), ==, 0);
		g_assert_cmpint(tpm_ek_public(t, &ek, NULL), ==, 0);
		g_assert_cmpint(tpm_ek_public(u, &far_ek, NULL), ==, 0);
		g_assert_cmpint(quote_ak_name(ak.pub.data, ak.pub.len, name), ==, 0);
		g_assert_cmpint(quote_ak_name(ak2.pub.data, ak2.pub.len, other), ==, 0);
		g_assert_cmpint(quote_ak_name(far.pub.data, far.pub.len, foreign), ==, 0);
		refused(t, &ak, u, &ek, other);	   /* another AK of this TPM */
		refused(t, &ak, u, &ek, foreign);  /* an AK of another TPM */
		refused(t, &ak, u, &far_ek, name); /* the EK of another TPM */
	}
}

static void test_activation_malformed(void)
{
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti);
	uint8_t name[TPM_NAME_LEN], secret[32] = {1}, got[32];
	struct pairing_credential c, bad;
	struct tpm_blob ek, bad_ek;
	struct kerr err = {0};
	struct tpm_ak ak;

	g_assert_cmpint(tpm_ak_create(t, &ak, NULL), ==, 0);
	g_assert_cmpint(tpm_ek_public(t, &ek, NULL), ==, 0);
	g_assert_cmpint(quote_ak_name(ak.pub.data, ak.pub.len, name), ==, 0);
	g_assert_cmpint(tpm_make_credential(t, &ek, name, secret, &c, NULL), ==, 0);
	/* A signing key is not an EK; nor is an EK with one bit of its template changed. */
	g_assert_cmpint(tpm_make_credential(t, &ak.pub, name, secret, &bad, &err), ==, -EBADMSG);
	g_assert_cmpint(err.code, ==, KCODE_ATTEST_QUOTE);
	for (unsigned i = 0; i < ek.len; i++) {
		bad_ek = ek;
		bad_ek.data[i] ^= 1;
		g_assert_cmpint(tpm_make_credential(t, &bad_ek, name, secret, &bad, NULL), ==,
				-EBADMSG);
	}
	for (unsigned i = 0; i < c.blob_len; i += 7) {
		bad = c;
		bad.blob[i] ^= 1;
		g_assert_cmpint(tpm_activate_credential(t, &ak, &bad, got, NULL), <, 0);
	}
	for (unsigned i = 0; i < c.secret_len; i += 7) {
		bad = c;
		bad.secret[i] ^= 1;
		g_assert_cmpint(tpm_activate_credential(t, &ak, &bad, got, NULL), <, 0);
	}
	bad = c;
	bad.blob_len--;
	g_assert_cmpint(tpm_activate_credential(t, &ak, &bad, got, NULL), ==, -EBADMSG);
	g_assert_cmpint(tpm_activate_credential(t, &ak, &c, got, NULL), ==, 0);
	g_assert_cmpmem(got, 32, secret, 32);
	g_assert_cmpuint(loaded(t), ==, 0);
}

/* -- Counter -- */

static void test_counter(void)
{
	struct tpm *t = open_tpm(one.tcti);
	struct kerr err = {0};
	uint64_t v, w = 77;

	g_assert_cmpint(tpm_counter_read(t, INDEX, own_auth, &w, &err), ==, -ENOENT);
	g_assert_cmpint(err.code, ==, KCODE_NOT_FOUND);
	g_assert_cmpint(tpm_counter_increment(t, INDEX, own_auth, &w, NULL), ==, -ENOENT);
	g_assert_cmpuint(w, ==, 77);
	g_assert_cmpint(tpm_counter_create(t, INDEX, own_auth, &v, NULL), ==, 0);
	g_assert_cmpint(tpm_counter_create(t, INDEX, own_auth, &w, NULL), ==, 0);
	g_assert_cmpuint(w, ==, v);
	for (uint64_t i = 1; i <= 5; i++) {
		g_assert_cmpint(tpm_counter_increment(t, INDEX, own_auth, &w, NULL), ==, 0);
		g_assert_cmpuint(w, ==, v + i);
	}
	g_assert_cmpuint(loaded(t), ==, 0);
	tpm_free(t);
	/* Power cycle. */
	swtpm_halt(&one);
	swtpm_run(&one, "not-need-init,startup-clear");
	t = open_tpm(one.tcti);
	g_assert_cmpint(tpm_counter_read(t, INDEX, own_auth, &w, NULL), ==, 0);
	g_assert_cmpuint(w, ==, v + 5);
	/* Removing and making it again does not turn it back (D4). */
	g_assert_cmpint(remove_index(t, INDEX, NULL), ==, 0);
	g_assert_cmpint(tpm_counter_read(t, INDEX, own_auth, &w, NULL), ==, -ENOENT);
	g_assert_cmpint(tpm_counter_create(t, INDEX, own_auth, &w, NULL), ==, 0);
	g_assert_cmpuint(w, >, v + 5);
	g_assert_cmpint(remove_index(t, INDEX, NULL), ==, 0);
	tpm_free(t);
}

static void define_index(struct tpm *t, TPMA_NV attributes, uint16_t size)
{
	TPM2B_NV_PUBLIC pub = {.nvPublic = {.nvIndex = INDEX,
					    .nameAlg = TPM2_ALG_SHA256,
					    .attributes = attributes,
					    .dataSize = size}};
	TPM2B_AUTH auth = {0};
	ESYS_TR nv;

	g_assert_cmpuint(Esys_NV_DefineSpace(t->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD,
					     ESYS_TR_NONE, ESYS_TR_NONE, &auth, &pub, &nv),
			 ==, 0);
	Esys_TR_Close(t->esys, &nv);
}

static void test_counter_edges(void)
{
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti);
	struct kerr err = {0};
	uint64_t v;

	g_assert_cmpint(tpm_counter_create(t, 0x01c00002, own_auth, &v, NULL), ==, -EINVAL);
	g_assert_cmpint(tpm_counter_read(t, 0x81000001, own_auth, &v, NULL), ==, -EINVAL);
	/* A crash between definition and first increment. */
	define_index(t,
		     TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA |
			     (TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT),
		     8);
	g_assert_cmpint(tpm_counter_read(t, INDEX, own_auth, &v, &err), ==, -ENODATA);
	g_assert_cmpint(tpm_counter_increment(t, INDEX, own_auth, &v, NULL), ==, -ENODATA);
	g_assert_cmpint(tpm_counter_create(t, INDEX, own_auth, &v, NULL), ==, 0);
	g_assert_cmpint(remove_index(t, INDEX, NULL), ==, 0);
	/* Somebody else's index: untouched. */
	kerr_clear(&err);
	define_index(t, TPMA_NV_OWNERREAD | TPMA_NV_OWNERWRITE, 16);
	g_assert_cmpint(tpm_counter_create(t, INDEX, own_auth, &v, &err), ==, -EEXIST);
	g_assert_cmpint(err.code, ==, KCODE_EXISTS);
	g_assert_cmpint(remove_index(t, INDEX, NULL), ==, 0);
}

static int raise_with(struct tpm *t, const TPM2B_AUTH *auth)
{
	ESYS_TR nv;
	TSS2_RC rc;

	g_assert_cmpuint(Esys_TR_FromTPMPublic(t->esys, INDEX, ESYS_TR_NONE, ESYS_TR_NONE,
					       ESYS_TR_NONE, &nv),
			 ==, 0);
	g_assert_cmpuint(Esys_TR_SetAuth(t->esys, nv, auth), ==, 0);
	rc = Esys_NV_Increment(t->esys, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
	Esys_TR_Close(t->esys, &nv);
	if (rc == TSS2_RC_SUCCESS)
		return 0;
	return tpm_rc_is(rc, TPM2_RC_BAD_AUTH) || tpm_rc_is(rc, TPM2_RC_AUTH_FAIL) ? -EACCES : -EIO;
}

/* M9: another program of group tss cannot raise the counter, and does not lock the TPM by trying.
 * One that takes another password, such as one of somebody else, is replaced, and only upwards. */
static void test_counter_password(void)
{
	static const uint8_t other[TPM_COUNTER_AUTH_LEN] = "another vault's";
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti);
	TPM2B_AUTH empty = {0}, ours = {.size = TPM_COUNTER_AUTH_LEN};
	struct kerr err = {0};
	uint64_t v, w = 0;

	memcpy(ours.buffer, own_auth, sizeof(own_auth));
	g_assert_cmpint(tpm_counter_create(t, INDEX, own_auth, &v, NULL), ==, 0);
	for (int i = 0; i < 40; i++)
		g_assert_cmpint(raise_with(t, &empty), ==, -EACCES);
	g_assert_cmpint(tpm_counter_increment(t, INDEX, other, &w, &err), ==, -EACCES);
	g_assert_cmpint(err.code, ==, KCODE_LOCKED);
	g_assert_cmpint(tpm_counter_read(t, INDEX, other, &w, NULL), ==, -EACCES);
	g_assert_cmpint(tpm_counter_read(t, INDEX, own_auth, &w, NULL), ==, 0);
	g_assert_cmpuint(w, ==, v);
	/* The twin. */
	g_assert_cmpint(tpm_counter_increment(t, INDEX, own_auth, &w, NULL), ==, 0);
	g_assert_cmpuint(w, ==, v + 1);
	g_assert_cmpint(raise_with(t, &ours), ==, 0);
	g_assert_cmpint(tpm_counter_create(t, INDEX, own_auth, &w, NULL), ==, 0);
	g_assert_cmpuint(w, ==, v + 2);
	g_assert_cmpint(tpm_counter_create(t, INDEX, other, &w, NULL), ==, 0);
	g_assert_cmpuint(w, >, v + 2);
	g_assert_cmpint(tpm_counter_read(t, INDEX, own_auth, &w, NULL), ==, -EACCES);
	g_assert_cmpuint(loaded(t), ==, 0);
	g_assert_cmpint(remove_index(t, INDEX, NULL), ==, 0);
}

/* -- Sealing -- */

static void test_seal_sizes(void)
{
	static const size_t sizes[] = {1, 32, 64, TPM_SECRET_MAX};
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti);
	struct tpm_approval ok;
	struct authority a;
	enum kcode code;

	make_authority(&a);
	ok = approve(t, &a, PCR_MASK_ALL);
	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		_cleanup_secret_ struct secret s = SECRET_INIT;
		struct tpm_sealed sealed;

		g_assert_cmpint(secret_random(sizes[i], &s), ==, 0);
		g_assert_cmpint(tpm_seal(t, &a.pub, &s, &sealed, NULL), ==, 0);
		g_assert_cmpint(unseal(t, &sealed, &a, &ok, &s, &code), ==, 0);
	}
}

static void test_seal_policy(void)
{
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti);
	_cleanup_secret_ struct secret s = SECRET_INIT;
	struct tpm_approval old, now, forged;
	struct authority a, b;
	struct tpm_sealed sealed;
	enum kcode code;

	make_authority(&a);
	make_authority(&b);
	g_assert_cmpint(secret_random(64, &s), ==, 0);
	g_assert_cmpint(tpm_seal(t, &a.pub, &s, &sealed, NULL), ==, 0);
	old = approve(t, &a, MASK);
	g_assert_cmpint(unseal(t, &sealed, &a, &old, &s, &code), ==, 0);
	extend_pcr(t, 5); /* not in the mask */
	g_assert_cmpint(unseal(t, &sealed, &a, &old, &s, &code), ==, 0);
	extend_pcr(t, 7);
	g_assert_cmpint(unseal(t, &sealed, &a, &old, &s, &code), ==, -EPERM);
	g_assert_cmpint(code, ==, KCODE_LOCKED);
	now = approve(t, &a, MASK);
	g_assert_cmpint(unseal(t, &sealed, &a, &now, &s, &code), ==, 0);
	g_assert_cmpint(unseal(t, &sealed, &a, &old, &s, &code), ==, -EPERM);
	/* The present policy with the signature of the old one, or of another key. */
	forged = now;
	forged.sig = old.sig;
	g_assert_cmpint(unseal(t, &sealed, &a, &forged, &s, &code), ==, -EKEYREJECTED);
	forged = approve(t, &b, MASK);
	g_assert_cmpint(unseal(t, &sealed, &a, &forged, &s, &code), ==, -EKEYREJECTED);
	g_assert_cmpint(unseal(t, &sealed, &b, &forged, &s, &code), ==, -EKEYREJECTED);
	g_assert_cmpint(code, ==, KCODE_LOCKED);
	/* A policy over no PCR at all, unsigned. */
	forged = now;
	forged.pcrs.mask = 0;
	g_assert_cmpint(unseal(t, &sealed, &a, &forged, &s, &code), ==, -EKEYREJECTED);
	g_assert_cmpint(unseal(t, &sealed, &a, &now, &s, &code), ==, 0);
}

/* The library's own checks aside: the TPM itself refuses an object of another authority. */
static void test_seal_enforced(void)
{
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti);
	_cleanup_handle_ struct tpm_handle object = TPM_HANDLE_INIT(t),
					   session = TPM_HANDLE_INIT(t);
	_cleanup_secret_ struct secret s = SECRET_INIT;
	TPM2B_SENSITIVE_DATA *data = NULL;
	struct tpm_sealed sealed;
	struct authority a;

	make_authority(&a);
	g_assert_cmpint(secret_random(64, &s), ==, 0);
	g_assert_cmpint(tpm_seal(t, &a.pub, &s, &sealed, NULL), ==, 0);
	g_assert_cmpint(tpm_load(t, &sealed.pub, &sealed.priv, &object, NULL), ==, 0);
	g_assert_cmpuint(Esys_Unseal(t->esys, object.tr, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				     ESYS_TR_NONE, &data),
			 !=, 0);
	g_assert_cmpint(tpm_session(t, TPM2_SE_POLICY, ESYS_TR_NONE, &session, NULL), ==, 0);
	g_assert_cmpuint(
		Esys_Unseal(t->esys, object.tr, session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &data), !=,
		0);
	g_assert_null(data);
}

static void test_seal_elsewhere(void)
{
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti), *u = open_tpm(two.tcti);
	_cleanup_secret_ struct secret s = SECRET_INIT, none = SECRET_INIT;
	struct tpm_sealed sealed, bad;
	struct kerr err = {0};
	struct tpm_approval ok;
	struct authority a;
	enum kcode code;

	make_authority(&a);
	g_assert_cmpint(secret_random(64, &s), ==, 0);
	g_assert_cmpint(tpm_seal(t, &a.pub, &s, &sealed, NULL), ==, 0);
	ok = approve(u, &a, MASK);
	g_assert_cmpint(tpm_unseal(u, &sealed, &a.pub, &ok, &none, &err), ==, -EXDEV);
	g_assert_cmpint(err.code, ==, KCODE_LOCKED);
	g_assert_nonnull(strstr(err.text, "sealed to another TPM"));
	/* The name in the file made to fit: the TPM itself refuses. */
	bad = sealed;
	memcpy(bad.srk_name, u->srk_name, TPM_NAME_LEN);
	g_assert_cmpint(unseal(u, &bad, &a, &ok, &s, &code), ==, -EBADMSG);
	g_assert_cmpint(code, ==, KCODE_LOCKED);
	ok = approve(t, &a, MASK);
	for (unsigned i = 0; i < sealed.priv.len; i += 5) {
		bad = sealed;
		bad.priv.data[i] ^= 0x80;
		g_assert_cmpint(unseal(t, &bad, &a, &ok, &s, &code), <, 0);
	}
	g_assert_cmpint(unseal(t, &sealed, &a, &ok, &s, &code), ==, 0);
}

/* D10: TPM2_Clear makes another storage key. */
static void test_clear(void)
{
	_cleanup_secret_ struct secret s = SECRET_INIT, none = SECRET_INIT;
	_cleanup_(tpm_freep) struct tpm *t = NULL;
	struct tpm_sealed sealed;
	struct tpm_approval ok;
	struct kerr err = {0};
	struct swtpm box = {0};
	struct authority a;
	struct tpm_ak ak;
	uint64_t v, w;
	enum kcode code;

	swtpm_start(&box);
	t = open_tpm(box.tcti);
	make_authority(&a);
	g_assert_cmpint(secret_random(64, &s), ==, 0);
	g_assert_cmpint(tpm_seal(t, &a.pub, &s, &sealed, NULL), ==, 0);
	g_assert_cmpint(tpm_ak_create(t, &ak, NULL), ==, 0);
	g_assert_cmpint(tpm_counter_create(t, INDEX, own_auth, &v, NULL), ==, 0);
	ok = approve(t, &a, MASK);
	g_assert_cmpint(unseal(t, &sealed, &a, &ok, &s, &code), ==, 0);
	g_assert_cmpuint(Esys_Clear(t->esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				    ESYS_TR_NONE),
			 ==, 0);
	g_assert_cmpint(tpm_unseal(t, &sealed, &a.pub, &ok, &none, &err), ==, -EIO);
	g_assert_nonnull(strstr(err.text, "cleared"));
	t = tpm_free(t);
	t = open_tpm(box.tcti);
	g_assert_cmpint(unseal(t, &sealed, &a, &ok, &s, &code), ==, -EXDEV);
	g_assert_cmpint(tpm_ak_check(t, &ak, NULL), ==, -EXDEV);
	g_assert_cmpint(tpm_counter_read(t, INDEX, own_auth, &w, NULL), ==, -ENOENT);
	g_assert_cmpint(tpm_counter_create(t, INDEX, own_auth, &w, NULL), ==, 0);
	g_assert_cmpuint(w, >, v);
	t = tpm_free(t);
	swtpm_stop(&box);
}

static void test_hundred(void)
{
	_cleanup_(tpm_freep) struct tpm *t = open_tpm(one.tcti);
	_cleanup_secret_ struct secret s = SECRET_INIT;
	double ms[5] = {0};
	struct tpm_sealed sealed;
	struct tpm_approval ok;
	struct authority a;
	struct evidence q;
	enum kcode code;
	struct tpm_ak ak;
	uint64_t v;

	make_authority(&a);
	g_assert_cmpint(secret_random(64, &s), ==, 0);
	g_assert_cmpint(tpm_ak_create(t, &ak, NULL), ==, 0);
	g_assert_cmpint(tpm_counter_create(t, INDEX, own_auth, &v, NULL), ==, 0);
	ok = approve(t, &a, MASK);
	for (int i = 0; i < 100; i++) {
		gint64 t0 = g_get_monotonic_time();

		g_assert_cmpint(tpm_seal(t, &a.pub, &s, &sealed, NULL), ==, 0);
		ms[0] += since(t0);
		t0 = g_get_monotonic_time();
		g_assert_cmpint(tpm_quote(t, &ak, qualifying, MASK, &q, NULL), ==, 0);
		ms[1] += since(t0);
		t0 = g_get_monotonic_time();
		g_assert_cmpint(unseal(t, &sealed, &a, &ok, &s, &code), ==, 0);
		ms[2] += since(t0);
		t0 = g_get_monotonic_time();
		g_assert_cmpint(tpm_counter_increment(t, INDEX, own_auth, &v, NULL), ==, 0);
		ms[3] += since(t0);
		t0 = g_get_monotonic_time();
		g_assert_cmpint(tpm_counter_read(t, INDEX, own_auth, &v, NULL), ==, 0);
		ms[4] += since(t0);
	}
	g_test_message("mean ms: seal %.1f quote %.1f unseal %.1f increment %.1f read %.1f",
		       ms[0] / 100, ms[1] / 100, ms[2] / 100, ms[3] / 100, ms[4] / 100);
	g_assert_cmpuint(loaded(t), ==, 0);
	g_assert_cmpint(remove_index(t, INDEX, NULL), ==, 0);
}

/* D9: our objects stay usable while the TPM is in dictionary-attack lockout. */
static void test_lockout(void)
{
	_cleanup_(tpm_freep) struct tpm *t = NULL;
	_cleanup_secret_ struct secret s = SECRET_INIT;
	TPM2B_AUTH wrong = {.size = 5, .buffer = "wrong"};
	struct swtpm box = {0};
	struct tpm_sealed sealed;
	struct tpm_approval ok;
	struct authority a;
	struct evidence q;
	struct tpm_ak ak;
	enum kcode code;
	TSS2_RC rc = 0;
	uint64_t v;
	ESYS_TR nv;

	swtpm_start(&box);
	t = open_tpm(box.tcti);
	make_authority(&a);
	g_assert_cmpint(secret_random(64, &s), ==, 0);
	g_assert_cmpint(tpm_seal(t, &a.pub, &s, &sealed, NULL), ==, 0);
	g_assert_cmpint(tpm_ak_create(t, &ak, NULL), ==, 0);
	define_index(t, TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE, 8);
	g_assert_cmpuint(Esys_TR_FromTPMPublic(t->esys, INDEX, ESYS_TR_NONE, ESYS_TR_NONE,
					       ESYS_TR_NONE, &nv),
			 ==, 0);
	Esys_TR_SetAuth(t->esys, nv, &wrong);
	for (int i = 0; i < 40 && !tpm_rc_is(rc, TPM2_RC_LOCKOUT); i++) {
		TPM2B_MAX_NV_BUFFER *data = NULL;

		rc = Esys_NV_Read(t->esys, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, 8,
				  0, &data);
	}
	g_assert_true(tpm_rc_is(rc, TPM2_RC_LOCKOUT));
	Esys_TR_Close(t->esys, &nv);
	ok = approve(t, &a, MASK);
	g_assert_cmpint(unseal(t, &sealed, &a, &ok, &s, &code), ==, 0);
	g_assert_cmpint(tpm_quote(t, &ak, qualifying, MASK, &q, NULL), ==, 0);
	activation_works(t, t);
	g_assert_cmpint(tpm_counter_create(t, INDEX + 1, own_auth, &v, NULL), ==, 0);
	g_assert_cmpint(tpm_counter_increment(t, INDEX + 1, own_auth, &v, NULL), ==, 0);
	t = tpm_free(t);
	swtpm_stop(&box);
}

int main(int argc, char **argv)
{
	int r;

	g_test_init(&argc, &argv, NULL);
	g_test_set_nonfatal_assertions();
	g_assert_cmpint(sodium_init(), >=, 0);
	swtpm_start(&one);
	swtpm_start(&two);
	g_test_add_func("/tpm/B14 an emulator is known as one", test_facts);
	g_test_add_func("/tpm/open fails with a sentence", test_open_fails);
	g_test_add_func("/tpm/starts the TPM up", test_startup);
	g_test_add_func("/tpm/left-over handles are flushed", test_strays);
	g_test_add_func("/tpm/B4 quotes verify and cover the values", test_quote);
	g_test_add_func("/tpm/B3 key of another TPM, damaged key", test_ak_elsewhere);
	g_test_add_func("/tpm/names and malformed public areas", test_names);
	g_test_add_func("/tpm/B3 credential activation", test_activation);
	g_test_add_func("/tpm/B3 credential for another key refused", test_activation_refused);
	g_test_add_func("/tpm/B3 malformed credentials", test_activation_malformed);
	g_test_add_func("/tpm/D4 counter only rises", test_counter);
	g_test_add_func("/tpm/M9 only the vault's password raises the counter",
			test_counter_password);
	g_test_add_func("/tpm/D5 half-made and foreign index", test_counter_edges);
	g_test_add_func("/tpm/seal sizes", test_seal_sizes);
	g_test_add_func("/tpm/D7 changed PCR, new approval", test_seal_policy);
	g_test_add_func("/tpm/D7 the TPM enforces the policy", test_seal_enforced);
	g_test_add_func("/tpm/D6 sealed to another TPM", test_seal_elsewhere);
	g_test_add_func("/tpm/D10 cleared TPM", test_clear);
	g_test_add_func("/tpm/D9 lockout", test_lockout);
	g_test_add_func("/tpm/a hundred of each", test_hundred);
	r = g_test_run();
	swtpm_stop(&one);
	swtpm_stop(&two);
	return r;
}
